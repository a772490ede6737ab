"""Data for the whole loop: real (`load_*`), simulated (`make_*`), published (`fetch_*`), yours."""

from sklearn_codex.datasets._batches import read_batches
from sklearn_codex.datasets._candidates import read_candidates
from sklearn_codex.datasets._example import load_example_preferences
from sklearn_codex.datasets._fetchers import fetch_hh_rlhf, fetch_pandalm
from sklearn_codex.datasets._readers import read_preferences
from sklearn_codex.datasets._simulated import make_preferences
from sklearn_codex.datasets._stdlib_code import load_stdlib_code

__all__ = [
    "fetch_hh_rlhf",
    "fetch_pandalm",
    "load_example_preferences",
    "load_stdlib_code",
    "make_preferences",
    "read_batches",
    "read_candidates",
    "read_preferences",
]
