"""Data for the whole loop: real code (`load_*`) and simulations with a known truth (`make_*`)."""

from sklearn_codex.datasets._simulated import make_preferences
from sklearn_codex.datasets._stdlib_code import load_stdlib_code

__all__ = ["load_stdlib_code", "make_preferences"]
