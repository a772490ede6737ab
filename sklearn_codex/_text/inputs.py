"""What text is: the one place that tells documents given as text from documents given as counts."""

import reprlib
from numbers import Number
from operator import countOf
from typing import Any

import numpy as np
import scipy.sparse as sp

from sklearn_codex._checks.frames import holds_numbers, is_frame
from sklearn_codex._partitions import is_collection

__all__ = ["check_texts"]


def refuse_collection(X: Any, subject: str) -> str:
    """Say that a dask collection would be gathered here."""
    return (
        f"{subject} needs its data in memory here, got a dask {type(X).__name__}. Pass "
        "X.compute(). Dask bags and arrays are taken by fit and transform of TokenCounter, by "
        "fit, partial_fit and score of UnigramLM and SFTRefiner, by fit and score of "
        "PreferenceRewardModel, and by their predictions of rows."
    )


def as_objects(X: Any) -> np.ndarray:
    """Return an array of objects, also of rows of different length."""
    try:
        return np.asarray(X, dtype=object)
    except ValueError:  # rows of different length, some of them arrays themselves
        values = np.empty(len(X), dtype=object)
        values[:] = list(X)
        return values


def check_texts(X: Any, *, subject: str) -> list[str] | None:
    """Tell documents given as text from documents given as counts.

    This function alone decides what text is; counts are left to scikit-learn's own validation.

    Parameters
    ----------
    X : sequence of str (n_documents,), or array-like or sparse (n_documents, n_features)
        Text is a list, a tuple or another sequence, a 1-D array, or a column of a data frame.
    subject : str
        Who asks; error messages start with it.

    Returns
    -------
    texts : list of str or None
        The documents, or None where X is to be validated as counts.

    Raises
    ------
    TypeError
        If X is a single string, an unordered or one-pass container or a table of strings, or if
        one of its documents is not a str.
    ValueError
        If X has no document.
    """
    if type(X) is list and X and countOf(map(type, X), str) == len(X):
        return X
    return _check_other_texts(X, subject)


def _check_other_texts(X, subject):
    if is_collection(X):
        raise TypeError(refuse_collection(X, subject))
    if _has_numeric_type(X, subject):
        return None
    values = as_objects(X)
    expected = f"{subject} expected X to be a 1-D sequence of str or a 2-D matrix of counts"
    if values.ndim == 0:
        raise TypeError(
            f"{expected}, got a {type(X).__name__}: {reprlib.repr(X)}. "
            "Pass a list of the documents; [text] for one."
        )
    if values.ndim > 1:
        for value in values.flat:
            if isinstance(value, (str, bytes)):
                raise TypeError(
                    f"{expected}, got strings in {values.ndim}-D, such as {reprlib.repr(value)}. "
                    "Pass one column of texts (X['text']), or join tokens by a space."
                )
        return None
    texts = values.tolist()
    if not texts:
        raise ValueError(f"{subject} got 0 documents in X. Pass at least one document.")
    if all(isinstance(text, Number) for text in texts):
        return None
    if set(map(type, texts)) == {str}:
        return texts
    for position, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(
                f"{expected}, but X[{position}] is {reprlib.repr(text)}, of type "
                f"{type(text).__name__}. Drop missing documents, decode bytes, join tokens by a "
                "space: every document must be a str."
            )
    return texts


def _has_numeric_type(X, subject):
    kind = getattr(getattr(X, "dtype", None), "kind", "O")
    return sp.issparse(X) or kind in "biufc" or (is_frame(X, subject) and holds_numbers(X))
