"""Who wrote the responses of pairs, as nuisance terms of a margin."""

from dataclasses import replace
from typing import Any

import numpy as np

from sklearn_codex._categorical import FloatArray
from sklearn_codex._checks.frames import is_frame, is_missing
from sklearn_codex._data.designs import NuisanceDesign


def author_columns(authors: Any, n_pairs: int, *, subject: str) -> tuple[np.ndarray, FloatArray]:
    """Return the names (k,) of authors, sorted, and the columns (n_pairs, k) of their terms.

    A column has 1 where its author wrote A, less 1 where B; 0 where both.

    Parameters
    ----------
    authors : array-like of shape (n_pairs, 2)
        Who wrote A and B.
    n_pairs : int
    subject : str
        Who asks.

    Raises
    ------
    ValueError
        If there are not two names a pair.
    """
    names = np.asarray(authors.to_numpy() if is_frame(authors) else authors, dtype=object)
    if names.shape != (n_pairs, 2):
        raise ValueError(
            f"{subject} needs authors of shape ({n_pairs}, 2), who wrote A and B of each pair, got "
            f"{names.shape}."
        )
    missing = [row for row, pair in enumerate(names.tolist()) if any(map(is_missing, pair))]
    if missing:
        raise ValueError(
            f"{subject} needs the author of both responses of each pair, but {len(missing)} of "
            f"{n_pairs} lack one, the first at position {missing[0]}. Drop these pairs, or give "
            "who is unknown a name."
        )
    known, codes = np.unique(names.ravel().astype(str), return_inverse=True)
    first, second = np.eye(len(known))[codes.reshape(-1, 2)].transpose(1, 0, 2)
    return known.astype(object), first - second


def add_authors(problem: Any, authors: Any, factor: float, *, subject: str) -> tuple[Any, Any]:
    """Return the names (k,) of authors, and a problem with a term for each after its own.

    Parameters
    ----------
    problem : TrainingProblem
    authors : array-like of shape (n_pairs, 2), or None
    factor : float
        Penalty of these terms, where that of the reward is 1.
    subject : str
        Who asks.
    """
    if authors is None:
        return np.array([], dtype=object), problem
    if not hasattr(problem, "design"):
        raise ValueError(
            f"{subject} takes authors for pairs in memory only, not in partitions of dask."
        )
    names, columns = author_columns(authors, problem.design.shape[0], subject=subject)
    return names, replace(
        problem,
        design=NuisanceDesign(problem.design, columns),
        penalty=np.append(problem.penalty, np.full(len(names), factor)),
    )


def without_last(precision: FloatArray, n_last: int) -> FloatArray:
    """Return the precision of all weights but the last, which may have any value.

    Parameters
    ----------
    precision : ndarray of shape (V,) or (V, V)
        Of independent weights, or of all.
    n_last : int
        Weights left out.

    Examples
    --------
    >>> without_last(np.array([[2.0, 1.0], [1.0, 4.0]]), 1).tolist()
    [[1.75]]
    """
    n = len(precision) - n_last
    if not n_last or precision.ndim == 1:
        return precision[:n] if n_last else precision
    cross = precision[:n, n:]
    return precision[:n, :n] - cross @ np.linalg.solve(precision[n:, n:], cross.T)
