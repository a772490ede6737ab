"""What functions of the laboratory are given: arrays of numbers, checked and told."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sklearn_codex._categorical import BoolArray, FloatArray
from sklearn_codex._checks.numbers import as_array, as_floats

# Squares and products of numbers beyond leave the floats; so do ratios beyond, which are e to a
# power.
_LARGEST, _LARGEST_POWER = 1e100, 200.0


def read_numbers(values: ArrayLike, name: str, subject: str, where: Any = True) -> FloatArray:
    """Return values as floats, 0 where they are not looked at, which may hold anything.

    Parameters
    ----------
    values : array-like
    name, subject : str
        What it is called, and who asks.
    where : bool or ndarray of bool, default=True
        Which are looked at; where it does not fit, all are.

    Raises
    ------
    ValueError
        If they are no numbers, or one of those looked at is not finite.
    """
    array = as_floats(values, name, subject=subject)
    if where is not True and np.shape(where) == array.shape:
        array = np.where(where, array, 0.0)
    # Of NaN no comparison holds.
    valid = np.abs(array) <= _LARGEST
    if not valid.all():
        bad = array[~valid].ravel()[0]
        masked = "" if where is True else " Leave padding to the mask."
        raise ValueError(
            f"{subject} needs {name} that are finite, of at most {_LARGEST:g}, got {bad}.{masked}"
        )
    return array


def read_mask(response_mask: ArrayLike, subject: str) -> BoolArray:
    """Return which places hold tokens.

    Raises
    ------
    ValueError
        If it is none of true and false, or of 1 and 0.
    """
    mask = as_array(response_mask, "response_mask", subject=subject)
    if mask.dtype.kind == "b":
        return mask
    return read_numbers(response_mask, "response_mask", subject) != 0


def ratio_of(log_prob: FloatArray, old_log_prob: FloatArray) -> FloatArray:
    """Return the ratio of two probabilities, from their logarithms."""
    return np.exp(np.minimum(log_prob - old_log_prob, _LARGEST_POWER))
