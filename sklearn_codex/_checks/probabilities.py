"""What a preference label is: the probability, in [0, 1], that A is preferred; 0.5 is a tie."""

from numbers import Number
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_codex._checks.frames import is_missing


def as_array(values: Any, *, name: str) -> NDArray:
    """Return values as an array, or say that they make none.

    Raises
    ------
    ValueError
        If they are nested lists of different lengths, or a data frame with columns of one name.
    """
    try:
        return np.asarray(values)
    except ValueError as error:
        raise ValueError(
            f"{name} should be an array, with one value for each row, got a "
            f"{type(values).__name__}: {error}"
        ) from None


def check_soft_labels(labels: Any, *, name: str, pos_label: Any = None) -> NDArray[np.float64]:
    """Return labels as probabilities that A is preferred.

    Parameters
    ----------
    labels : array-like of shape (n_pairs,)
        Numbers in [0, 1]; or, with ``pos_label``, any two classes.
    name : str
        What the labels are called; error messages start with it.
    pos_label : label, default=None
        The class that means A is preferred. None: the labels are probabilities already.

    Returns
    -------
    probability : ndarray of shape (n_pairs,)

    Raises
    ------
    ValueError
        If the labels are not one column, are empty, lie outside [0, 1] or are missing, or if there
        is more than one class beside ``pos_label``.
    """
    values = as_array(labels, name=name)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1 or len(values) == 0:
        raise ValueError(
            f"{name} should have one label a pair, shape (n_pairs,) with at least one pair, got "
            f"shape {values.shape}."
        )
    if pos_label is not None:
        return _one_against_the_other(values, pos_label, name)
    probability = _as_numbers(values)
    if probability is None:
        first = next(value for value in values.tolist() if not _is_number(value))
        what = "text" if isinstance(first, (str, bytes)) else f"a {type(first).__name__}"
        raise ValueError(_expected(name) + f"but got {what}, such as {first!r:.60}. " + _REMEDY)
    wrong = np.flatnonzero(~((probability >= 0) & (probability <= 1)))
    if len(wrong):
        raise ValueError(
            _expected(name) + f"but {name}[{wrong[0]}] is {values.tolist()[wrong[0]]!r}. " + _REMEDY
        )
    return probability


_REMEDY = (
    "Convert labels with sklearn_codex.labels.convert_labels, or, where two classes go to a "
    "metric, name the one of A: pos_label=..."
)


def _expected(name):
    return (
        f"{name} should be the probability, in [0, 1], that A is preferred: 1 (A), 0 (B), 0.5 (a "
        "tie) or between, "
    )


def _one_against_the_other(values, pos_label, name):
    if not all(map(_is_hashable, (pos_label, *values.tolist()))):
        raise ValueError(
            f"{name} and pos_label should be classes, names or numbers, got {name} of dtype "
            f"{values.dtype} and pos_label={pos_label!r:.60}."
        )
    others = set(values.tolist()) - {pos_label}
    if len(others) > 1:
        raise ValueError(
            f"{name} should hold one class beside pos_label={pos_label!r}, got "
            f"{sorted(others, key=repr)}. Ties are 0.5 among probabilities, not a class: convert "
            "labels with sklearn_codex.labels.convert_labels."
        )
    return (values == pos_label).astype(np.float64)


def _as_numbers(values):
    """Return values as floats, missing ones as NaN; None if there is text."""
    if values.dtype.kind in "biuf":
        return values.astype(np.float64)
    if values.dtype.kind != "O" or not all(map(_is_number, values.tolist())):
        return None
    return np.array([np.nan if is_missing(v) else float(v) for v in values.tolist()])


def _is_number(value):
    """Return whether a value is missing, or has a real number."""
    if is_missing(value):
        return True
    is_of_kind = isinstance(value, (Number, np.bool_))
    if isinstance(value, (str, bytes)) or not is_of_kind:
        return False
    try:
        float(value)
    except (TypeError, OverflowError):  # complex, or beyond the range of floats
        return False
    return True


def _is_hashable(value):
    try:
        hash(value)
    except TypeError:
        return False
    return True
