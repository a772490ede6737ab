"""Labels as columns, of which each row has one set: winner_model_a, winner_model_b, winner_tie."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sklearn_codex._categorical import IntArray
from sklearn_codex._labels.column import LabelColumn, Where, say_in_python, where_of
from sklearn_codex._labels.conventions import as_numbers
from sklearn_codex._labels.resolve import Resolved
from sklearn_codex._labels.sides import Sides, read_sides
from sklearn_codex._labels.words import read_words
from sklearn_codex._plain import plain


def resolve_onehot(
    columns: Mapping[str, Sequence[Any]], wheres: Where, *, first: str, second: str
) -> Resolved:
    """Return what columns mean of which each row has one set.

    Parameters
    ----------
    columns : mapping of str to sequence of shape (n,)
        Two columns or more of 0 and 1, or of true and false: one whose name speaks of the first
        response, one of the second, and any number of ties, such as ``winner_model_a``,
        ``winner_model_b`` and ``winner_tie``, or ``a_wins``, ``b_wins`` and ``tie``.
    wheres : sequence of str (n,), or callable
        Where each row stands.
    first, second : str
        The names of the columns of the two responses.

    Returns
    -------
    resolved : Resolved

    Raises
    ------
    ValueError
        If a name says nothing, a value is neither 0 nor 1, or a row has not one set.
    """
    sides = read_sides(first, second)
    meanings = _read_names(list(columns), sides)
    is_set = np.column_stack(
        [_read_column(values, wheres, name, sides) for name, values in columns.items()]
    )
    n_set = is_set.sum(axis=1)
    wrong = np.flatnonzero(n_set != 1)
    if len(wrong):
        row = int(wrong[0])
        names = [name for name, one in zip(columns, is_set[row], strict=True) if one]
        said = f"{n_set[row]} of them, {' and '.join(names)}," if names else "none of them"
        raise ValueError(
            f"{where_of(wheres, row)}: of {', '.join(map(plain, columns))} one should be set, but "
            f"{said} {'are' if names else 'is'}, as in {len(wrong):,} of {len(n_set):,} rows. "
            "Drop these rows, or name a column of labels."
        )
    probability = np.array(list(meanings.values()))[is_set.argmax(axis=1)]
    words = {1.0: first, 0.0: second, 0.5: "a tie"}
    said = ", ".join(f"{plain(name)} means {words[meaning]}" for name, meaning in meanings.items())
    return Resolved(probability, None, "one-hot", f"{said}, where it is set")


def onehot_meanings(names: Sequence[str], first: str, second: str) -> dict[str, float] | None:
    """Return what the names of one-hot columns mean, None where these are none.

    There is one for the first response (1), one for the second (0) and any number for ties (0.5).
    """
    sides = read_sides(first, second)
    said = {name: read_words(name, sides) for name in names}
    meanings = {
        name: verdict.probability
        for name, verdict in said.items()
        if verdict is not None and verdict.probability is not None
    }
    found = list(meanings.values())
    if len(meanings) != len(names) or found.count(1.0) != 1 or found.count(0.0) != 1:
        return None
    return meanings


def _read_names(names: list[str], sides: Sides) -> dict[str, float]:
    meanings = onehot_meanings(names, sides.first, sides.second)
    if meanings is None:
        raise ValueError(
            f"The columns {', '.join(map(plain, names))} should be one for {sides.first}, one for "
            f"{sides.second} and others for ties, by their names, such as winner_model_a, "
            "winner_model_b and winner_tie. Rename them, or name a column of labels."
        )
    return meanings


def _read_column(values, wheres: Where, name: str, sides: Sides) -> IntArray:
    column = LabelColumn(values, wheres, name, sides, say_in_python)
    column.refuse_missing(range(len(column.labels)))
    numbers = as_numbers(column.folded)
    wrong = np.flatnonzero(~np.isin(numbers, (0, 1)))
    if len(wrong):
        i = int(wrong[0])
        raise column.error(
            i,
            f"= {column.show(i)}, but should be 1 where it is so and 0 where it is not. Correct "
            "it, or name a column of labels.",
        )
    return numbers.astype(np.intp)[column.codes]
