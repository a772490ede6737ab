"""What rules say of documents, tokens and n-grams: finite numbers that are not negative."""

from typing import Any

import numpy as np

from sklearn_codex._categorical import FloatArray
from sklearn_codex._rollouts import Rollouts

__all__ = ["check_violations", "ngram_violations", "token_violations"]


def check_violations(amounts, name: str, rollouts: Rollouts) -> FloatArray:
    """Return what a rule said of documents as violations (n_documents,), or say what is wrong.

    Raises
    ------
    ValueError
        If they are not one finite number >= 0 for each document.
    """
    return _check_amounts(amounts, f"Rule {name!r}", (len(rollouts),), "documents")


def token_violations(
    rule: Any, name: str, names: np.ndarray | None, n_columns: int
) -> FloatArray | None:
    """Return the violations (V,) of each token, checked, or None where they do not add over tokens.

    Raises
    ------
    ValueError
        If they are not one finite number >= 0 for each token.
    """
    amounts = rule.token_violations(names, n_columns)
    if amounts is None:
        return None
    return _check_amounts(amounts, f"Rule {name!r} (token_violations)", (n_columns,), "tokens")


def ngram_violations(
    rule: Any, name: str, names: np.ndarray | None, n_columns: int
) -> tuple[np.ndarray, FloatArray] | None:
    """Return n-grams (n, k) and the violations (n,) that each is, checked; see ``Rule``.

    Raises
    ------
    ValueError
        If the violations are not one finite number >= 0 for each n-gram.
    """
    found = rule.ngram_violations(names, n_columns)
    if found is None:
        return None
    rows = np.asarray(found[0])
    subject = f"Rule {name!r} (ngram_violations)"
    return rows, _check_amounts(found[1], subject, (len(rows),), "n-grams")


def _check_amounts(amounts, subject, shape, unit):
    """Return violations as floats of a shape, finite and not negative."""
    try:
        amounts = np.asarray(amounts, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{subject} should return one number for each of {shape[0]} {unit}, got "
            f"{type(amounts).__name__}: {error}."
        ) from error
    valid = (amounts >= 0) & np.isfinite(amounts)
    if amounts.shape != shape or not valid.all():
        raise ValueError(
            f"{subject} should return one finite penalty >= 0 for each of {shape[0]} {unit}, got "
            f"shape {amounts.shape}" + (f" with {amounts[~valid][0]}." if not valid.all() else ".")
        )
    return amounts
