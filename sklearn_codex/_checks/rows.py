"""Rows of records, from any container of them in memory."""

import reprlib
from collections.abc import Mapping

from sklearn_codex._checks.frames import column_names, is_frame, repeated_names, row_dicts


def check_rows(X, subject, *, first=0) -> list[Mapping]:
    """Return the rows of any container of records, of which errors count from ``first``."""
    expected = f"{subject} expected X to be records, a list of dicts or a DataFrame"
    is_container = is_frame(X, subject) or (hasattr(X, "__len__") and getattr(X, "ndim", 1) > 0)
    if isinstance(X, (Mapping, str, bytes)) or not is_container:
        raise TypeError(
            f"{expected}, got a {type(X).__name__}: {reprlib.repr(X)}. Make a list of the records, "
            'such as [{"text": "..."}, {"prompt": "...", "completion": "..."}].'
        )
    if is_frame(X):
        _check_names(X, subject)
        rows = row_dicts(X)
    else:
        rows = list(X)
    if not rows:
        raise ValueError(f"{subject} got 0 records. Pass at least one.")
    for position, row in enumerate(rows, start=first):
        if type(row) is not dict and not isinstance(row, Mapping):
            raise TypeError(
                f"{expected}, but X[{position}] is a {type(row).__name__}: {reprlib.repr(row)}. "
                'Write each record as a dict, such as {"text": "..."} for a corpus text.'
            )
    return rows


def _check_names(X, subject):
    """Raise where a column stands twice, of which a dict would keep the last."""
    for name in repeated_names(X):
        raise ValueError(
            f"{subject} got a DataFrame with {column_names(X).count(name)} columns of the name "
            f"{name!r}. Rename or drop all but one."
        )
