"""Labels that repeat what stands beside a response: winner = "gpt" where model_a is "gpt"."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from sklearn_codex._labels.column import Where, where_of
from sklearn_codex._labels.resolve import Resolved
from sklearn_codex._labels.sides import read_sides
from sklearn_codex._labels.words import read_words
from sklearn_codex._plain import plain


def resolve_repeated(
    values: Sequence[Any],
    first_values: Sequence[Any],
    second_values: Sequence[Any],
    wheres: Where,
    *,
    column: str,
    first: str,
    second: str,
) -> Resolved | None:
    """Return what labels mean that repeat the text of one of two columns of their row.

    Parameters
    ----------
    values : sequence of shape (n,)
        The labels.
    first_values, second_values : sequence of shape (n,)
        What they may repeat: the names of the models, or the responses.
    wheres : sequence of str (n,), or callable
        Where each row stands.
    column : str
        The name of the column of labels.
    first, second : str
        The names of the columns that they may repeat.

    Returns
    -------
    resolved : Resolved or None
        None unless each label is text that is in one of the two, or is a word for a tie, and one at
        least is in one.

    Raises
    ------
    ValueError
        If a label is in both columns of its row.
    """
    ties: dict[str, bool] = {}
    sides = read_sides(first, second)
    said = []
    both = None
    for row, (label, one, other) in enumerate(
        zip(values, first_values, second_values, strict=True)
    ):
        if not isinstance(label, str):
            return None
        label = label.strip()
        is_first, is_second = label == _strip(one), label == _strip(other)
        if is_first and is_second:
            both = row if both is None else both
        elif not is_first and not is_second:
            if label not in ties:
                verdict = read_words(label, sides)
                ties[label] = verdict is not None and verdict.probability == 0.5
            if not ties[label]:
                return None
        said.append(0.5 + 0.5 * (is_first - is_second))
    probability = np.array(said)
    if both is not None:
        raise ValueError(
            f"{where_of(wheres, both)}: {plain(column)} = {values[both]!r:.60} stands in both "
            f"{plain(first)} and {plain(second)}, so that it names neither. Drop the row, or name "
            "a column of labels."
        )
    if not (probability != 0.5).any():
        return None
    read_as = (
        f"{plain(column)} repeats {plain(first)} or {plain(second)}, that of the better response"
    )
    return Resolved(probability, None, "repeated", read_as)


def _strip(value):
    return value.strip() if isinstance(value, str) else value
