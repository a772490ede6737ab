"""Checks of positions: whole numbers that say which rows of something else are meant."""

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_codex._checks.matrices import refuse_masked
from sklearn_codex._checks.numbers import shown


def check_positions(
    values: Any, name: str, shape: str, *, n_rows: int, rows: str, subject: str, remedy: str
) -> NDArray[np.intp]:
    """Return positions (n,), or (n, 2) where each item has two.

    Parameters
    ----------
    values : array-like of int
    name, shape : str
        What they are called, and their shape, such as "(n_pairs, 2)".
    n_rows : int
        How many rows there are.
    rows : str
        What rows they are.
    subject : str
        Who asks.
    remedy : str
        A sentence of what to pass instead.

    Raises
    ------
    ValueError
        If they are no array of this shape, there are none, or one is no row.
    """
    refuse_masked(values, subject, name=name)
    array, trouble = _as_items(values)
    trouble = trouble or _shape_trouble(array, shape) or _row_trouble(array, n_rows)
    if trouble:
        raise ValueError(
            f"{subject} needs {name} {shape} of {rows}, whole numbers from 0 to {n_rows - 1}, got "
            f"{trouble}. {remedy}"
        )
    return array.astype(np.intp)


def _as_items(values):
    """Return values as an array of items, and what is wrong with it, "" where nothing is."""
    try:
        array = np.asarray(values)
    except ValueError:
        return None, "lists of different lengths"
    if array.ndim:
        return array, ""
    # What numpy sees no items in: a number, but also a set, or a generator.
    is_value = values is None or isinstance(array.item(), (str, bytes, int, float, complex))
    return array, shown(values) if is_value else f"a {type(values).__name__}"


def _shape_trouble(array, shape):
    if not array.size:
        return "none"
    is_shaped = array.shape[1:] == ((2,) if shape.endswith(", 2)") else ())
    return "" if is_shaped else f"an array of shape {array.shape}"


def _row_trouble(array, n_rows):
    items = array.ravel()
    if array.dtype.kind in "iu":
        wrong = (items < 0) | (items >= n_rows)
    else:
        wrong = np.array([not _is_row(item, n_rows) for item in items.tolist()])
    if not wrong.any():
        return ""
    first = int(np.argmax(wrong))
    return f"{shown(items.tolist()[first])} at position {first * len(array) // len(items)}"


def _is_row(item, n_rows):
    return isinstance(item, Integral) and not isinstance(item, bool) and 0 <= int(item) < n_rows
