"""What tests share: the command of the installed package, and data sets where they are."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest


@pytest.fixture(scope="session")
def command():
    """Runs the command of the package; gives its JSON object."""

    def run(*words, ok=True):
        done = subprocess.run([sys.executable, "-m", "intrain", *map(str, words), "--json"], capture_output=True, text=True)
        assert (done.returncode == 0) == ok, done.stderr
        return json.loads(done.stdout) if ok else done.stderr

    return run


@pytest.fixture(scope="session")
def mnist():
    """MNIST as arrays; the test is skipped where it is not at hand."""
    import intrain

    if not os.path.isdir(os.path.join(os.environ.get("INTRAIN_DATA", ""), "mnist")):
        pytest.skip("MNIST is not there: set INTRAIN_DATA to the folder of data sets")
    return intrain.datasets.load("mnist")


@pytest.fixture
def numbers():
    """Numbers of all sizes, with ties, limits, zeros, subnormals."""
    rng = np.random.default_rng(7)
    x = rng.standard_normal(1 << 15).astype(np.float32) * np.exp2(rng.integers(-20, 12, 1 << 15)).astype(np.float32)
    ties = (np.arange(-300, 300, dtype=np.float32) + 0.5) / 16
    ends = np.float32([0, -0.0, 1e-45, -1e-45, 3e38, -3e38, 8, -8, 7.9375, -8.03125])
    return np.concatenate([x, ties, ends])
