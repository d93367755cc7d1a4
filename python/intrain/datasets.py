"""Data sets by name, as arrays."""

from __future__ import annotations


import os

from typing import Tuple

import numpy as np
from numpy.typing import NDArray

from ._intrain import load_data

__all__ = ["load"]

_Part = Tuple[NDArray[np.uint8], NDArray[np.int64]]


def load(name: str | os.PathLike[str], *, folder: str | os.PathLike[str] | None = None) -> tuple[_Part, ...]:
    """The images and labels of a data set.

    Parameters
    ----------
    name : str
        'digits' (embedded), 'mnist', 'fashion-mnist', 'cifar-10', 'cifar-100', 'svhn', or what the command's ``--data`` takes:
        'npz:PATH', 'csv:PATH', 'folder:PATH'. ``intrain data fetch NAME`` downloads the published ones.
    folder : str or path, optional
        Where data sets lie; else the folder that the environment variable INTRAIN_DATA names, then the user's cache.

    Returns
    -------
    ((x, y), (x_test, y_test))
        Pixels as uint8 [n, height, width, channels], classes as int64 [n]. Images for validation, which few sets have, come
        between the two.

    Raises
    ------
    DataError
        It is unknown, missing or damaged.
    """
    folder = folder or os.environ.get("INTRAIN_DATA") or None
    _, _, _, (train, validation, test) = load_data(os.fspath(name), folder)
    return (train, test) if len(validation[1]) == 0 else (train, validation, test)
