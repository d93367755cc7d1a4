"""Recipes, models and seeds, run one after the other, and what came of them."""

from __future__ import annotations


import hashlib
import itertools
import json
import os

from . import datasets
from typing import Any, Iterable, List, Sequence

from ._intrain import ArtefactError, Model, Recipe
from ._network import Network, write_whole
from ._table import Table


class Run:
    """One run of a sweep: its record, and its history of epochs."""

    def __init__(self, record: dict[str, Any], history: Iterable[dict[str, Any]]) -> None:
        self.record = record
        self.history = Table(history, title=", ".join(f"{key} {record[key]}" for key in ("recipe", "model", "seed")))

    def __repr__(self) -> str:
        return f"<Run {self.history.title}>"


class Sweep(List[Run]):
    """The runs of a sweep, in order."""

    def table(self) -> Table:
        """A record for each run."""
        return Table([run.record for run in self], "runs")

    def summary(self, key: str = "test_error") -> Table:
        """A record for each recipe and model: mean and standard deviation of a number over the seeds."""
        groups: dict[tuple[str, str], list[Any]] = {}
        for run in self:
            groups.setdefault((run.record["recipe"], run.record["model"]), []).append(run.record[key])
        rows = []
        for (recipe, model), values in groups.items():
            values = [value for value in values if value is not None]
            mean = sum(values) / len(values) if values else None
            spread = None
            if len(values) > 1:
                spread = (sum((value - mean) ** 2 for value in values) / (len(values) - 1)) ** 0.5
            rows.append({"recipe": recipe, "model": model, "seeds": len(values), key: mean, "deviation": spread})
        return Table(rows, key)

    def plot(self, key: str = "test_error", ax: Any = None) -> Any:
        """The number over the epochs, a line for each run, with matplotlib."""
        if ax is None:
            import matplotlib.pyplot

            ax = matplotlib.pyplot.subplots()[1]
        colours: dict[str, str] = {}
        seen: set[str] = set()
        for run in self:
            name = f"{run.record['recipe']}, {run.record['model']}"
            colour = colours.setdefault(name, f"C{len(colours) % 10}")
            points = [(record["epoch"], record[key]) for record in run.history if record.get(key) is not None]
            label = None if name in seen else name
            ax.plot(*zip(*points), color=colour, label=label, alpha=0.8)
            seen.add(name)
        ax.set_xlabel("epoch")
        ax.set_ylabel(key.replace("_", " "))
        ax.legend()
        return ax

    def __repr__(self) -> str:
        return repr(self.summary())

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()


def sweep(
    recipes: Iterable[str | Recipe],
    models: Iterable[str | Model],
    data: str | Sequence[Any],
    seeds: Iterable[int] = (1, 2, 3),
    *,
    folder: str | os.PathLike[str] | None = None,
    progress: bool | None = None,
    **settings: Any,
) -> Sweep:
    """Trains every recipe on every model with every seed.

    Parameters
    ----------
    recipes, models : list of str, Recipe or Model
    data : str or ((x, y), (x_test, y_test))
        The name of a data set, or arrays.
    seeds : iterable of int
    folder : str or path, optional
        Where each finished run is kept: a sweep that is started again goes on behind those.
    progress : bool, optional
        As `Network.fit` has it.
    **settings
        Of each run, such as epochs=5.

    Returns
    -------
    Sweep
    """
    parts = datasets.load(data) if isinstance(data, str) else data
    train, test = parts[0], parts[-1] if len(parts) > 1 else None
    name = data if isinstance(data, str) else "arrays"
    runs = Sweep()
    for model, recipe, seed in itertools.product(models, recipes, seeds):
        network = Network(model, recipe, seed=seed, **settings)
        runs.append(_run(network, seed, (train, test, name), folder, progress))
    return runs


def _run(
    network: Network,
    seed: int,
    data: tuple[Any, Any, str],
    folder: str | os.PathLike[str] | None,
    progress: bool | None,
) -> Run:
    (x, y), test, name = data
    session = network._begin(x, y, None, test, None, name)
    path = None
    if folder is not None:
        digest = hashlib.sha256()
        digest.update(session.config.encode())
        digest.update(session.fingerprint.encode())
        path = os.path.join(os.fspath(folder), f"{digest.hexdigest()[:24]}.json")
        if os.path.exists(path):
            return _read(path)
    network.fit(progress=progress)
    last = network.history[-1] if network.history else {}
    errors = [record["test_error"] for record in network.history if record["test_error"] is not None]
    record = {
        "recipe": network._recipe_name(),
        "model": network.model.name,
        "seed": seed,
        "data": name,
        "train_loss": last.get("train_loss"),
        "test_error": last.get("test_error"),
        "best_test_error": min(errors, default=None),
        "weights_sha256": network.weights_sha256,
    }
    if path is not None:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        write_whole(path, json.dumps({"record": record, "history": list(network.history)}).encode())
    return Run(record, network.history)


def _read(path: str) -> Run:
    try:
        with open(path, encoding="utf-8") as file:
            kept = json.load(file)
        return Run(kept["record"], kept["history"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtefactError(f"{path}: not a run of a sweep: {error}; remove it, and it is trained again") from None
