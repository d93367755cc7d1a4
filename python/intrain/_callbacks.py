"""What `Network.fit` calls after each epoch: any function of (network, record), or one of these."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._network import Network



class EarlyStop:
    """Ends the training when a number has not fallen for so many epochs.

    Parameters
    ----------
    patience : int
        Epochs.
    monitor : str, optional
        A key of the record. Without it, the validation error, or the test error where there are no images for validation, or
        the training loss where nothing is measured.
    """

    def __init__(self, patience: int, monitor: str | None = None) -> None:
        if patience < 1:
            raise ValueError(f"patience={patience} must be at least 1")
        self.patience = patience
        self.monitor = monitor
        self.begin()

    def begin(self) -> None:
        """Forgets what it saw: called when a training starts anew."""
        self.best = float("inf")
        self.since = 0

    def __call__(self, network: Network, record: dict[str, Any]) -> bool:
        value = _monitored(record, self.monitor)
        self.since = 0 if value < self.best else self.since + 1
        self.best = min(self.best, value)
        return self.since >= self.patience


class Checkpoint:
    """Saves the network after each epoch, or after each that is the best so far.

    Parameters
    ----------
    path : str or path
        The file, written whole or not at all. ``{epoch}`` in it is the epoch's number.
    only_best : bool
        Whether only epochs are saved whose number is lower than all before.
    monitor : str, optional
        As `EarlyStop` has it.
    """

    def __init__(
        self, path: str | os.PathLike[str], only_best: bool = True, monitor: str | None = None
    ) -> None:
        self.path = path
        self.only_best = only_best
        self.monitor = monitor
        self.begin()

    def begin(self) -> None:
        """Forgets what it saw: called when a training starts anew."""
        self.best = float("inf")

    def __call__(self, network: Network, record: dict[str, Any]) -> None:
        value = _monitored(record, self.monitor)
        if value < self.best or not self.only_best:
            network.save(os.fspath(self.path).replace("{epoch}", str(record["epoch"])))
        self.best = min(self.best, value)


def _monitored(record: dict[str, Any], name: str | None) -> float:
    if name is not None:
        if name not in record:
            raise KeyError(f"monitor='{name}' is no key of the record; there are {', '.join(record)}")
        value = record[name]
    else:
        value = next(
            (record[key] for key in ("validation_error", "test_error", "train_loss") if record[key] is not None),
            None,
        )
    return float("inf") if value is None else float(value)
