"""What methods of an objective over n-grams are given: policies and other values of events."""

from typing import Any

import numpy as np

from sklearn_codex._categorical import FloatArray
from sklearn_codex._checks.numbers import LOG_TOLERANCE, as_floats
from sklearn_codex._ngrams.trie import Trie
from sklearn_codex.exact._settings import checking


def check_events(
    values: Any, name: str, *, subject: str, trie: Trie, n_positions: int | None = None
) -> FloatArray:
    """Return the log-probabilities (E,) of events as floats; those of ends are 0.

    With a number of positions also (n_positions, E).
    """
    array = as_floats(values, name, subject=subject)
    shapes = [(trie.n_events,), *([] if n_positions is None else [(n_positions, trie.n_events)])]
    if array.shape not in shapes or np.isnan(array).any():
        wrong = "nan" if array.shape in shapes else f"shape {array.shape}"
        by_position = "" if n_positions is None else f", or {shapes[-1]} by position,"
        raise ValueError(
            f"{subject} needs {name}, logarithms of the events of its trie of shape "
            f"({trie.n_events},) = A + 2 (C - 1){by_position} without nan, got {wrong}. Use "
            "event_log_prob of a back-off model."
        )
    arcs = array[..., : trie.n_arcs]
    if (arcs > LOG_TOLERANCE).any():
        raise ValueError(
            f"{subject} needs {name}, natural logarithms of probabilities of arcs, which are at "
            f"most 0, got {arcs.max():.6g}. Only what backing off multiplies by may be above 0."
        )
    if not np.isfinite(arcs).any(axis=-1).all() or (array == np.inf).any():
        raise ValueError(
            f"{subject} needs {name} with an arc that can be used and none at inf, got "
            f"{'inf' if (array == np.inf).any() else '-inf for each of them'}."
        )
    of_ends = array[..., trie.n_arcs + trie.n_contexts - 1 :]
    if of_ends.any():
        raise ValueError(
            f"{subject} needs {name} of 0 for the context that a document ends in, which has no "
            f"probability of its own, got {of_ends[of_ends != 0][0]:.6g}."
        )
    return array


def _check_policy(objective, log_prob):
    subject = type(objective).__name__
    return check_events(log_prob, "log_prob", subject=subject, trie=objective.trie)


def _check_policies(objective, log_prob):
    return check_events(
        log_prob,
        "log_prob",
        subject=type(objective).__name__,
        trie=objective.trie,
        n_positions=objective.max_length,
    )


def _shape_of(objective, name):
    of_contexts = name in ("weight", "of_contexts")
    return (objective.trie.n_contexts if of_contexts else objective.trie.n_events,)


takes_events = checking(_check_policy, _shape_of)
"""Check what a method of an objective is given: a policy, and other values of events (E,).

Weights and what is said to be of contexts are (C,).
"""
takes_policies = checking(_check_policies, _shape_of)
"""Do :func:`takes_events` for policies (E,), or (max_length, E) that look at the position."""
