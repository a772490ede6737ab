"""What a preference label is: the probability, in [0, 1], that A is preferred; 0.5 is a tie."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._missing import is_pandas_na, is_scalar_nan


def is_missing(label: Any) -> bool:
    """Return whether a label is None, NaN or pandas.NA."""
    return label is None or is_scalar_nan(label) or is_pandas_na(label)


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
    values = np.asarray(labels)
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
        first = next(value for value in values.tolist() if isinstance(value, (str, bytes)))
        raise ValueError(_expected(name) + f"but got text, such as {first!r}. " + _REMEDY)
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
    if values.dtype.kind != "O" or any(isinstance(v, (str, bytes)) for v in values.tolist()):
        return None
    return np.array([np.nan if is_missing(v) else v for v in values.tolist()], dtype=np.float64)
