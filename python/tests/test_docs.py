"""Examples of docstrings and pages, as they stand there."""

import doctest
import importlib
import pathlib
import re
import warnings

import pytest

import intrain

ROOT = pathlib.Path(__file__).resolve().parents[2]


def examples():
    """Every docstring of the package with an example in it."""
    objects = [intrain, *(getattr(intrain, name) for name in intrain.__all__)]
    for module in ("intrain.torch", "intrain.sklearn"):
        try:
            module = importlib.import_module(module)
        except ImportError:
            continue
        objects.extend([module, *(getattr(module, name) for name in module.__all__)])
    named = [(getattr(thing, "__name__", "?"), getattr(thing, "__doc__", None) or "") for thing in objects]
    return [pytest.param(name, text, id=name) for name, text in named if ">>> " in text]


@pytest.mark.parametrize("name, text", examples())
def test_docstrings(name, text):
    test = doctest.DocTestParser().get_doctest(text, {}, name, None, 0)
    told = []
    doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test, out=told.append)
    assert not told, "".join(told)


@pytest.mark.parametrize("page", ["README.md", "python/README.md", "docs/python.md"])
def test_pages(page, tmp_path, monkeypatch):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.S)
    assert blocks
    monkeypatch.chdir(tmp_path)
    for block in blocks:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exec(compile(block.replace("epochs=5", "epochs=1"), page, "exec"), {})


def test_every_public_name_says_what_it_is():
    for name in intrain.__all__:
        assert name == "__version__" or (getattr(intrain, name).__doc__ or "").strip(), name
