"""What all tests share."""

import sys

import pytest
from hypothesis import settings

# A busy machine is no failure of a property.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


@pytest.fixture(autouse=True)
def _close_figures():
    """Let no test leave figures to those after it."""
    yield
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")
