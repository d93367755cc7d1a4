"""scikit-learn's protocol, by its own checks. Skipped where it is not installed."""

import pickle

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6")

from sklearn.datasets import load_wine  # noqa: E402
from sklearn.model_selection import GridSearchCV  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402
from sklearn.utils.estimator_checks import check_estimator  # noqa: E402

from intrain.sklearn import Classifier  # noqa: E402

#: Checks that are not for it, each with its reason.
EXCLUDED = {}


def test_the_checks_of_scikit_learn():
    check_estimator(Classifier(epochs=40), expected_failed_checks=EXCLUDED)


def test_pipelines_and_searches():
    x, y = load_wine(return_X_y=True)
    names = np.array(["a", "b", "c"])[y]
    pipeline = make_pipeline(StandardScaler(), Classifier(epochs=30))
    search = GridSearchCV(pipeline, {"classifier__recipe": ["gupta", "float32"]}, cv=3).fit(x, names)
    assert search.best_score_ > 0.9 and set(search.predict(x)) == set(names)
    again = pickle.loads(pickle.dumps(search))
    assert np.array_equal(again.predict(x), search.predict(x))
