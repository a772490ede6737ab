"""The one place where responses with their prompts are told from responses alone."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse

from sklearn_codex._partitions import is_collection
from sklearn_codex._text.inputs import check_texts


def stack_prompts(prompts: Sequence[str], responses: Sequence[str]) -> np.ndarray:
    """Return rows (prompt, response) as an array of objects (n_responses, 2)."""
    rows = np.empty((len(responses), 2), dtype=object)
    rows[:, 0], rows[:, 1] = prompts, responses
    return rows


def check_prompted_responses(X: Any, *, subject: str) -> tuple[list[str], list[str]] | None:
    """Return the prompt and the text of each response; a response alone has the prompt ''.

    Parameters
    ----------
    X : sequence of str (n_responses,), or array-like of str of shape (n_responses, 2)
        Responses, or rows ``(prompt, response)``, also as a data frame of these two columns.
    subject : str
        Who asks; error messages start with it.

    Returns
    -------
    texts : tuple of two lists of str or None
        Prompts and responses, or None where X is to be validated as numbers.

    Raises
    ------
    TypeError
        If X is a single text or a cell is not a str.
    ValueError
        If X is empty.
    """
    columns = _two_columns(X)
    if columns is None:
        responses = check_texts(X, subject=subject)
        return None if responses is None else ([""] * len(responses), responses)
    prompts, responses = (check_texts(column, subject=subject) for column in columns)
    return None if prompts is None or responses is None else (prompts, responses)


def _two_columns(X):
    """Return the two columns of X where it has two, of text, else None."""
    if isinstance(X, str) or sparse.issparse(X) or is_collection(X):
        return None
    if getattr(getattr(X, "dtype", None), "kind", "O") in "biufc":
        return None
    try:
        values = np.asarray(X, dtype=object)
    except ValueError:  # rows of different length
        return None
    if values.ndim != 2 or values.shape[1] != 2:
        return None
    has_text = any(isinstance(value, (str, bytes)) for value in values.flat)
    return (values[:, 0], values[:, 1]) if has_text else None
