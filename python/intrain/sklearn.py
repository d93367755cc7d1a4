"""A network as a classifier of scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from ._network import Network

__all__ = ["Classifier"]


class Classifier(ClassifierMixin, BaseEstimator):
    """Learns a table [n, features] in low precision; `predict`, `score`, pipelines and searches are scikit-learn's.

    Parameters
    ----------
    model, recipe : str
        As `intrain.Network` takes them.
    epochs : int
    random_state : int
        The seed of every random bit; None is 1.
    settings : dict, optional
        Further settings of a run, such as ``{"learning_rate": 0.1}``.

    Attributes
    ----------
    classes_ : array
    network_ : intrain.Network
        What has learned; its ``history`` has a record for each epoch.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from intrain.sklearn import Classifier
    >>> x, y = load_iris(return_X_y=True)
    >>> Classifier(epochs=40).fit(x, y).score(x, y) > 0.9
    True
    """

    def __init__(
        self,
        model: str = "table-mlp",
        recipe: str = "gupta",
        epochs: int = 60,
        random_state: Any = None,
        settings: dict[str, Any] | None = None,
    ) -> None:
        self.model = model
        self.recipe = recipe
        self.epochs = epochs
        self.random_state = random_state
        self.settings = settings

    def fit(self, X: Any, y: Any) -> Classifier:
        """Learns from initial weights on."""
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_: NDArray[Any]
        self.classes_, places = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y has 1 class, {self.classes_[0]!r}; a classifier needs 2 classes or more")
        seed = 1 if self.random_state is None else self.random_state
        if not isinstance(seed, (int, np.integer)):
            seed = int(seed.randint(2**31))
        network = Network(self.model, self.recipe, seed=int(seed), epochs=self.epochs, **(self.settings or {}))
        self.network_ = network.fit(X, places.reshape(-1), classes=self.classes_, progress=False)
        return self

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """The logits as floats [n, classes]; of two classes, how far the second is above the first."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        logits, frac_bits = self.network_.logits(X)
        scores: NDArray[np.float64] = logits[:, : len(self.classes_)] * 2.0**-frac_bits
        return scores[:, 1] - scores[:, 0] if len(self.classes_) == 2 else scores

    def predict(self, X: Any) -> NDArray[Any]:
        """The class of each row."""
        scores = self.decision_function(X)
        places = (scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(axis=1)
        answers: NDArray[Any] = self.classes_[places]
        return answers
