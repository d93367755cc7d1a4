"""Arrays to what a network reads: images of bytes, and classes from 0 on."""

from __future__ import annotations


from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._intrain import DataError


class Encoder:
    """How numbers become bytes: ``round(255 (x - low) / (high - low))``, ties away from zero, held at 0 and 255.

    One range for all numbers, or one for each feature; a feature with ``low == high`` becomes 0.
    """

    def __init__(self, low: ArrayLike, high: ArrayLike) -> None:
        self.low = np.atleast_1d(np.asarray(low, dtype=np.float64))
        self.high = np.atleast_1d(np.asarray(high, dtype=np.float64))
        if self.low.shape != self.high.shape or self.low.ndim != 1:
            raise DataError("an encoder has one low and one high for each feature, or one of each for all")
        if not (np.isfinite(self.low).all() and np.isfinite(self.high).all() and (self.low <= self.high).all()):
            raise DataError("an encoder's limits are finite, and low is not above high")

    @classmethod
    def measured(cls, x: NDArray[np.float64]) -> Encoder:
        """The least and the greatest value of each feature of ``x`` [n, features]."""
        return cls(x.min(axis=0), x.max(axis=0))

    @classmethod
    def from_toml(cls, text: str) -> Encoder:
        """What a file says."""
        lists = dict(line.split(" = ", 1) for line in text.splitlines() if " = " in line)
        return cls(*([float(n) for n in lists[key].strip("[]").split(",")] for key in ("low", "high")))

    def to_toml(self) -> str:
        """As a file says it."""
        return "".join(
            f"{key} = [{', '.join(repr(float(n)) for n in limits)}]\n"
            for key, limits in (("low", self.low), ("high", self.high))
        )

    def bytes(self, x: ArrayLike) -> NDArray[np.uint8]:
        """The bytes of an array whose last axis has the features."""
        x = np.asarray(x, dtype=np.float64)
        if len(self.low) > 1 and x.reshape(len(x), -1).shape[1] != len(self.low):
            raise DataError(f"x has {x.reshape(len(x), -1).shape[1]} features, and the network knows {len(self.low)}")
        flat = x.reshape(len(x), -1)
        span = self.high - self.low
        scaled = 255.0 * (np.clip(flat, self.low, self.high) - self.low) / np.where(span == 0, 1, span)
        whole = np.floor(scaled)
        rounded = whole + (scaled - whole >= 0.5)
        return np.where(span == 0, 0, rounded).astype(np.uint8).reshape(x.shape)


def images(
    x: ArrayLike, what: str = "x", encoder: Encoder | None = None, learns: bool = False
) -> tuple[NDArray[np.uint8], Encoder | None]:
    """Pixels [n, height, width, channels] as bytes, and the encoder that made them bytes, if one did.

    Bytes are pixels as they are. Floats go through the encoder; where none is given, features of a table [n, features] have the
    ranges of what the network learns from, and numbers of images must lie in 0..1.
    """
    x = np.asarray(x)
    if x.ndim not in (2, 3, 4):
        raise DataError(
            f"{what} has the shape {x.shape}; give images [n, height, width, channels] or [n, height, width], or a table [n, features]"
        )
    if x.dtype.kind not in "fiub":
        raise DataError(f"{what} is an array of {x.dtype}; give pixels as numpy.uint8, or floats")
    if x.dtype != np.uint8:
        if x.dtype.kind == "f" and not np.isfinite(x).all():
            raise DataError(f"{what} has NaN or infinity; replace them, as with numpy.nan_to_num")
        if encoder is None and learns and x.ndim == 2:
            encoder = Encoder.measured(np.asarray(x, dtype=np.float64)) if len(x) else None
        elif encoder is None and x.ndim > 2:
            if len(x) and (x.min() < 0 or x.max() > 1):
                raise DataError(
                    f"{what} has numbers from {x.min()} to {x.max()}; give pixels as numpy.uint8, floats in 0..1, or say their "
                    "range, as range=(-1, 1)"
                )
            encoder = Encoder(0.0, 1.0)
        if encoder is None:
            raise DataError(f"{what} is an array of {x.dtype}, and the network learned from bytes; give numpy.uint8")
        x = encoder.bytes(x)
    shape = {2: (len(x), 1, *x.shape[1:], 1), 3: (*x.shape, 1), 4: x.shape}[x.ndim]
    return np.ascontiguousarray(x.reshape(shape)), encoder


def classes_of(y: ArrayLike) -> NDArray[Any]:
    """The classes that labels tell apart: 0 to the largest of whole numbers, else the different labels in order."""
    y = np.asarray(y)
    if y.dtype.kind in "iu":
        if y.size and y.min() < 0:
            raise DataError(f"y has the label {y.min()}; count classes from 0")
        return np.arange(int(y.max()) + 1 if y.size else 0)
    return np.unique(y)


def labels(y: ArrayLike, classes: NDArray[Any], what: str = "y") -> NDArray[np.int64]:
    """Labels as places among the classes."""
    y = np.asarray(y)
    if y.ndim != 1:
        raise DataError(f"{what} has the shape {y.shape}; give one label for each image, [n]")
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        raise DataError(f"{what} has NaN or infinity; give each image a class")
    places = np.searchsorted(classes, y)
    known = (places < len(classes)) & (np.take(classes, np.minimum(places, len(classes) - 1)) == y)
    if not known.all():
        first = int(np.argmin(known))
        label = y[first].item() if isinstance(y[first], np.generic) else y[first]
        raise DataError(f"{what} has the label {label!r} at {first}, which is none of the {len(classes)} classes")
    return places.astype(np.int64)
