"""Sweeps: what they keep, how they go on, and their tables."""

import numpy as np
import pytest

import intrain


def test_a_sweep_goes_on_behind_what_it_kept(tmp_path):
    first = intrain.sweep(["wage"], ["digits-cnn"], "digits", [1, 2], folder=tmp_path, epochs=2, progress=False)
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(kept) == 2
    six = intrain.Recipe("wage").replace(activation="unit<6> nearest-even saturate clipped")
    both = intrain.sweep(["wage", six], ["digits-cnn"], "digits", [1, 2], folder=tmp_path, epochs=2, progress=False)
    assert len(list(tmp_path.iterdir())) == 4 and all(path.stat().st_mtime_ns == kept[path] for path in kept)
    assert [run.record for run in both[:2]] == [run.record for run in first]
    assert [len(run.history) for run in both] == [2] * 4
    hashes = {run.record["weights_sha256"] for run in both}
    assert len(hashes) == 4
    summary = both.summary()
    errors = [run.record["test_error"] for run in both[:2]]
    assert summary[0]["test_error"] == pytest.approx(np.mean(errors))
    assert summary[0]["deviation"] == pytest.approx(np.std(errors, ddof=1))
    assert "wage" in repr(both) and "<table>" in both._repr_html_() and len(both.table()) == 4


def test_a_damaged_file_is_named(tmp_path):
    words = (["wage"], ["digits-cnn"], "digits", [1])
    intrain.sweep(*words, folder=tmp_path, epochs=1, progress=False)
    (path,) = tmp_path.iterdir()
    path.write_text("{")
    with pytest.raises(intrain.ArtefactError, match="remove it"):
        intrain.sweep(*words, folder=tmp_path, epochs=1, progress=False)


def test_arrays_are_swept(tmp_path):
    (x, y), test = intrain.datasets.load("digits")
    named = intrain.sweep(["wage"], ["digits-cnn"], "digits", [1], epochs=1, progress=False)
    arrays = intrain.sweep(["wage"], ["digits-cnn"], ((x, y), test), [1], epochs=1, progress=False)
    assert named[0].record["weights_sha256"] == arrays[0].record["weights_sha256"]
    alone = intrain.sweep(["wage"], ["digits-cnn"], ((x, y),), [1], epochs=1, progress=False)
    assert alone[0].record["test_error"] is None and alone.summary("train_loss")[0]["train_loss"] > 0
