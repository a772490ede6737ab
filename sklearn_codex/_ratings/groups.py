"""Whose votes depend on each other: groups of one way, such as voters, or of two, prompts too."""

from typing import Any

import numpy as np

from sklearn_codex._categorical import IntArray
from sklearn_codex._checks.frames import column_names, column_values, is_frame
from sklearn_codex._checks.groups import check_groups
from sklearn_codex._checks.probabilities import as_array

Names = list[dict[Any, int]]


def code_groups(
    groups: Any, n_rows: int, *, subject: str, known: Names | None = None, is_first: bool = True
) -> tuple[IntArray | None, Names | None]:
    """Return the codes of groups, (n,) or of two ways (n, 2), and the names of each way.

    Parameters
    ----------
    groups : array-like of shape (n,) or (n, 2), or None
    n_rows : int
        How many votes there are.
    subject : str
        Who asks.
    known : list of dict, default=None
        The names of the batches before, one dict a way, which are not changed; None without groups.
    is_first : bool, default=True
        Whether there was no batch before.

    Raises
    ------
    ValueError
        If groups are of another shape or number, or not as in the batches before.
    """
    ways = [] if groups is None else _split_ways(groups, n_rows)
    if is_first:
        known = [{} for _ in ways] if ways else None
    if len(ways) != len(known or ()):
        said = ("without groups", "with groups", "with groups of two ways")[len(known or ())]
        raise ValueError(
            f"{subject}.partial_fit needs groups with each batch or with none, and as many ways. "
            f"The first batch came {said}."
        )
    if not ways:
        return None, None
    names = [dict(of_way) for of_way in known or ()]
    codes = [
        np.array([of_way.setdefault(value, len(of_way)) for value in way], dtype=np.intp)
        for of_way, way in zip(names, ways, strict=True)
    ]
    return codes[0] if len(codes) == 1 else np.column_stack(codes), names


def _split_ways(groups, n_rows):
    """Return the groups of each way as lists."""
    if is_frame(groups):
        columns = [column_values(groups, name) for name in column_names(groups)]
    else:
        values = as_array(groups, name="groups")
        if values.ndim != 2:
            return [check_groups(groups, n_rows, unit="vote").tolist()]
        if values.dtype.kind in "US" and not hasattr(groups, "dtype"):
            values = np.array([list(row) for row in groups], dtype=object)
        columns = list(values.T)
    if not 1 <= len(columns) <= 2 or len(columns[0]) != n_rows:
        raise ValueError(
            f"groups should have shape ({n_rows},), or ({n_rows}, 2) for two ways such as prompt "
            f"and voter, got ({len(columns[0]) if columns else 0}, {len(columns)}). Join two with "
            "np.column_stack([prompts, voters])."
        )
    return [check_groups(column, n_rows, unit="vote").tolist() for column in columns]
