"""What methods of an objective over n-grams are given: policies and other values of events."""

from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import Any, TypeVar, cast

import numpy as np

from sklearn_codex._categorical import FloatArray
from sklearn_codex._checks.numbers import LOG_TOLERANCE, as_floats, check_values
from sklearn_codex._ngrams.trie import Trie

Method = TypeVar("Method", bound=Callable[..., Any])


def takes_events(method: Method, *, by_position: bool = False) -> Method:
    """Check what a method of an objective is given: a policy, and other values of events (E,).

    Weights are those of contexts (C,).
    """
    names = [*signature(method).parameters][2:]

    @wraps(method)
    def checked(self, log_prob, *args, **kwargs):
        subject, shape = type(self).__name__, self.reference_log_prob.shape
        policy = check_events(
            log_prob,
            "log_prob",
            subject=subject,
            trie=self.trie,
            n_positions=self.max_length if by_position else None,
        )
        given = dict(zip(names, args, strict=False)) | kwargs
        for name in given.keys() & set(names):
            expected = (self.trie.n_contexts,) if name == "weight" else shape
            given[name] = check_values(given[name], name, subject=subject, shape=expected)
        return method(self, policy, *args[len(names) :], **given)

    return cast(Method, checked)


def takes_policies(method: Method) -> Method:
    """Do :func:`takes_events` for policies (E,), or (max_length, E) that look at the position."""
    return takes_events(method, by_position=True)


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
