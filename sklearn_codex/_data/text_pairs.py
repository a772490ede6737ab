"""Pairs of responses as text: what is a pair of texts, and what is known of one."""

import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Number
from typing import Any

import numpy as np
from scipy import sparse

from sklearn_codex._checks.frames import (
    column_names,
    column_values,
    first_values,
    holds_numbers,
    is_frame,
)
from sklearn_codex._checks.matrices import refuse_masked
from sklearn_codex._data.lengths import pairs_alone
from sklearn_codex._data.responses import stack_prompts
from sklearn_codex._data.vectors import PAIR_COLUMNS, holds_vectors
from sklearn_codex._partitions import is_collection
from sklearn_codex._text.inputs import as_objects, refuse_collection


@dataclass(frozen=True)
class TextPairs:
    """Pairs of responses as text, each list of length n_pairs; ``prompts`` may be None."""

    prompts: list[str] | None
    responses_a: list[str]
    responses_b: list[str]

    def take(self, rows):
        """Return some of the pairs, by their positions."""
        responses = ([texts[row] for row in rows] for texts in (self.responses_a, self.responses_b))
        prompts = None if self.prompts is None else [self.prompts[row] for row in rows]
        return TextPairs(prompts, *responses)

    def length_difference(self):
        """Return how many characters A is longer than B (n_pairs,)."""
        lengths = [[len(text) for text in texts] for texts in (self.responses_a, self.responses_b)]
        return np.subtract(*np.array(lengths, dtype=np.float64))

    def unique_responses(self, *, with_prompts=False):
        """Return the distinct responses (m,), all A before other B, and indices a, b (n_pairs,).

        With prompts they are the distinct rows (prompt, response) (m, 2); pairs without prompts
        have the prompt ''.
        """
        sides: list[list] = [self.responses_a, self.responses_b]
        if with_prompts:
            prompts = [""] * len(sides[0]) if self.prompts is None else self.prompts
            sides = [list(zip(prompts, responses, strict=True)) for responses in sides]
        position: dict[Any, int] = {}
        a, b = (
            np.array([position.setdefault(item, len(position)) for item in side], dtype=np.intp)
            for side in sides
        )
        distinct = list(position)
        return (stack_prompts(*zip(*distinct, strict=True)) if with_prompts else distinct), a, b


def check_text_pairs(
    X: Any, *, subject: str, columns: tuple[str, str, str] = PAIR_COLUMNS
) -> TextPairs | None:
    """Tell pairs given as text from pairs given as vectors or feature differences.

    This function alone decides what a pair of texts is; numbers are left to scikit-learn's own
    validation.

    Parameters
    ----------
    X : array-like of shape (n_pairs, 2) or (n_pairs, 3), or data frame, or numeric matrix
        Text pairs are rows ``(response_a, response_b)`` or ``(prompt, response_a, response_b)``, or
        a data frame (pandas, polars, pyarrow) with these columns, in any order and among others.
    subject : str
        Who asks; error messages start with it.
    columns : tuple of str, default=("prompt", "response_a", "response_b")
        Names of the columns.

    Returns
    -------
    pairs : TextPairs or None
        The pairs, or None where X is to be read as numbers.

    Raises
    ------
    TypeError
        If X holds text, but not as pairs, or one of its cells is not a str.
    ValueError
        If X has no pair, too few or too many columns, or rows of different length.
    """
    X = pairs_alone(X)
    refuse_masked(X, subject)
    if sparse.issparse(X) or holds_vectors(X, columns):
        return None
    if is_collection(X):
        raise TypeError(refuse_collection(X, subject))
    if isinstance(X, (str, bytes)):
        raise TypeError(expected_pairs(subject, columns) + f"got one text: {reprlib.repr(X)}.")
    if is_frame(X, subject):
        return _check_frame(X, subject, columns)
    if getattr(getattr(X, "dtype", None), "kind", "O") in "biufc":
        return None
    # Without dtype=object every text would be padded to the length of the longest.
    values = np.asarray(X) if hasattr(X, "dtype") else as_objects(X)
    if values.ndim == 0 and not isinstance(X, Number):
        raise TypeError(
            expected_pairs(subject, columns)
            + f"got a {type(X).__name__}: {reprlib.repr(X)}. Pass a "
            "list of the rows, or a data frame."
        )
    if values.ndim == 1:
        values = _check_rows(values.tolist(), subject, columns)
    if values is not None and values.dtype.kind == "O":
        _refuse_messages(values, subject, columns)
    if values is None or not any(map(_is_text, values.flat)):
        return None
    if values.ndim != 2 or values.shape[1] not in (2, 3):
        form = f"{values.shape[1]} columns" if values.ndim == 2 else f"{values.ndim}-D"
        raise ValueError(expected_pairs(subject, columns) + f"got text in {form}. Pass only these.")
    return _from_columns(values.T.tolist(), columns[-values.shape[1] :], subject)


def expected_pairs(subject: str, columns: tuple[str, str, str] = PAIR_COLUMNS) -> str:
    """Return the beginning of an error that says what pairs are, up to what was given."""
    prompt, first, second = columns
    return (
        f"{subject} expected X to be pairs, rows of ({first}, {second}) or ({prompt}, {first}, "
        f"{second}), vectors (n_pairs, 2, n_features), or a 2-D matrix of feature differences, "
    )


def _is_text(value) -> bool:
    return isinstance(value, (str, bytes))


def _refuse_messages(values, subject, columns):
    """Raise where responses are lists of messages, which are no texts yet."""
    first = next(iter(values.flat), None)
    messages = first if isinstance(first, (list, tuple)) else [first]
    if any(isinstance(message, Mapping) and "content" in message for message in messages):
        raise TypeError(
            expected_pairs(subject, columns) + f"but X[0] has messages: {reprlib.repr(values[0])}. "
            "Conversations become texts with sklearn_codex.read_preferences(records).X."
        )


def _check_rows(rows, subject, columns):
    """Return rows that made no 2-D array as objects (n_pairs, n_columns); None if no text."""
    for position, row in enumerate(rows):
        if isinstance(row, Mapping):
            raise TypeError(
                expected_pairs(subject, columns)
                + f"but X[{position}] is a {type(row).__name__} with "
                f"keys {reprlib.repr(list(row))}. Pass pandas.DataFrame(X)."
            )
        if _is_text(row):
            raise TypeError(
                expected_pairs(subject, columns) + f"but X[{position}] is one text: "
                f"{reprlib.repr(row)}. Single responses are for reward(documents)."
            )
    is_row = [isinstance(row, (Sequence, np.ndarray)) for row in rows]
    if not any(known and any(map(_is_text, row)) for known, row in zip(is_row, rows, strict=True)):
        return None
    for position, row in enumerate(rows):
        if not is_row[position] or len(row) != len(rows[0]):
            raise ValueError(
                expected_pairs(subject, columns)
                + f"but X[{position}] is {reprlib.repr(row)}, while "
                f"X[0] is {reprlib.repr(rows[0])}. Give all rows the same number of texts."
            )
    return np.array([list(row) for row in rows], dtype=object)


def _check_frame(X, subject, columns):
    """Return the text pairs of a data frame by its column names; None if it holds numbers."""
    names = [str(name) for name in column_names(X)]
    _, first, second = columns
    if first in names and second in names:
        present = [name for name in columns if name in names]
        for name in present:
            if names.count(name) > 1:
                raise ValueError(
                    expected_pairs(subject, columns) + f"got a data frame with {names.count(name)} "
                    f"columns {name!r}. Rename or drop all but one."
                )
        return _from_columns([column_values(X, name) for name in present], present, subject)
    if holds_numbers(X) or not (_holds_lists(X) or any(map(_is_text, as_objects(X).flat))):
        return None
    if {"chosen", "rejected"} <= set(names):
        remedy = (
            "Turn chosen and rejected into pairs of both orders with X, y = balance_positions(X)."
        )
    else:
        remedy = f"Rename the columns of the two responses to {first!r} and {second!r}."
    raise ValueError(expected_pairs(subject, columns) + f"got a data frame of {names}. {remedy}")


def _holds_lists(X):
    """Return whether a cell in the first row of a data frame is a list, such as a vector."""
    names = column_names(X)
    first = first_values(X, names) if len(set(names)) == len(names) else []
    return any(isinstance(value, (list, tuple, np.ndarray)) for value in first)


def _from_columns(values, names, subject):
    """Check that every cell is a str; return the pairs of columns in the order of ``names``."""
    if not len(values[0]):
        raise ValueError(f"{subject} got 0 pairs in X. Pass at least one pair.")
    for name, column in zip(names, values, strict=True):
        for position, value in enumerate(column):
            if not isinstance(value, str):
                raise TypeError(
                    f"{subject} expected every {name} of X to be a str, but that of pair "
                    f"{position} is {reprlib.repr(value)}, of type {type(value).__name__}. Drop "
                    "pairs with a missing text, decode bytes; '' is an empty text."
                )
    prompts = values[0] if len(values) == 3 else None
    return TextPairs(prompts, values[-2], values[-1])
