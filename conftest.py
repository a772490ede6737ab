"""What is not collected: a script that trains, and what needs an extra that is not installed."""

import gc
from importlib.util import find_spec

import pytest

_LAB = "sklearn_codex/lab/_trl"
# A test runs it; doctests would, too, by importing it.
collect_ignore = ["tests/trl_on_a_table.py"]
if not (find_spec("torch") and find_spec("transformers")):
    collect_ignore += [f"{_LAB}/{name}.py" for name in ("adapter", "_model", "_tokens")]


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Collect tests without collecting garbage: all of them stay, and a third of the time goes."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()
