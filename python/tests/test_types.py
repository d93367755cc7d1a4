"""The types: the package under mypy's strict rules, and the stub against the module. Skipped where mypy is not installed."""

import pathlib
import subprocess
import sys

import pytest

pytest.importorskip("mypy")

ROOT = pathlib.Path(__file__).resolve().parents[2]


def run(*words):
    done = subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_package_is_typed():
    pytest.importorskip("torch")
    run("mypy", "--config-file", "pyproject.toml")


def test_the_stub_is_the_module():
    run("mypy.stubtest", "intrain._intrain", "--mypy-config-file", "pyproject.toml")
