"""What stands together: the group of each row, such as its prompt."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_codex._checks.frames import is_missing
from sklearn_codex._checks.matrices import refuse_masked
from sklearn_codex._checks.probabilities import as_array


def check_groups(groups: Any, n_rows: int, *, unit: str = "pair", name: str = "groups") -> NDArray:
    """Return the group (n_rows,) of each row.

    Parameters
    ----------
    groups : array-like of shape (n_rows,)
        Names or numbers.
    n_rows : int
        How many there should be.
    unit : str, default="pair"
        What a row is, for messages.
    name : str, default="groups"
        What the argument is called, for messages.

    Raises
    ------
    ValueError
        If there is not one group a row, or one is missing (None, NaN, NaT or pandas.NA): whether
        such rows belong together nobody knows. Or if one is masked.
    """
    refuse_masked(groups, None, name=name)
    values = as_array(groups, name=name)
    if values.dtype.kind in "US" and not hasattr(groups, "dtype"):
        # A list of names and numbers, or of names with some missing, became one of names only.
        values = np.asarray(groups, dtype=object)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        raise ValueError(f"{name} should have shape (n_{unit}s,), got {values.shape}.")
    if len(values) != n_rows:
        raise ValueError(
            f"{name} should have one value a {unit}: there are {n_rows} {unit}s, got {len(values)} "
            "values."
        )
    if values.dtype.kind == "O":
        check_hashable(values, name)
    if values.dtype.kind in "OfcmM":
        missing = [row for row, value in enumerate(values) if is_missing(value)]
        if missing:
            noun = name.removesuffix("s")
            example = ", such as its prompt" if noun == "group" else ""
            raise ValueError(
                f"{name} should name the {noun} of each {unit}{example}, but {len(missing)} of "
                f"{n_rows} are missing, the first, {values[missing[0]]}, at position "
                f"{missing[0]}. Drop these {unit}s, or give each a new {noun}."
            )
    return values


def check_hashable(values: Iterable, name: str) -> None:
    """Raise where a value cannot be told from others by its hash, as a list cannot."""
    for row, value in enumerate(values):
        try:
            hash(value)
        except TypeError:
            raise ValueError(
                f"{name} should hold names or numbers, but {name}[{row}] is a "
                f"{type(value).__name__}: {value!r:.60}."
            ) from None


def encode_groups(
    groups: Any, n_rows: int, *, unit: str = "pair", name: str = "groups"
) -> NDArray[np.intp]:
    """Return the code (n_rows,) of each group, from 0, in the order of groups where they have one.

    Parameters and errors are those of :func:`check_groups`.
    """
    values = check_groups(groups, n_rows, unit=unit, name=name)
    try:
        return np.unique(values, return_inverse=True)[1].reshape(-1)
    except TypeError:  # numbers and names together
        codes: dict[Any, int] = {}
        return np.array([codes.setdefault(value, len(codes)) for value in values.tolist()])
