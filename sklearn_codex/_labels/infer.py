"""Which conventions a column of numbers can follow, by its values, its name and its neighbours."""

import re

import numpy as np

from sklearn_codex._labels.conventions import Floats
from sklearn_codex._labels.sides import Sides, tokens_of
from sklearn_codex._labels.words import NOUNS

_OF_INDEX = {
    "id", "idx", "index", "choice", "choices", "winner", "winning", "preferred", "better", "best",
    "safer", "selected", "selection", "pick", "picked", "which",
}  # fmt: skip
_OF_SHARES = {"probability", "prob", "proba", "soft"}
_OF_STRENGTH = {"strength", "overall", "degree", "margin"}
WINS = {
    "better", "best", "preferred", "prefers", "prefer", "wins", "win", "won", "winner", "chosen",
    "probability", "prob", "proba", "p", "superior",
}  # fmt: skip
LOSES = {
    "worse", "worst", "loses", "lose", "lost", "loser", "losing", "rejected", "dispreferred",
    "inferior",
}  # fmt: skip
# preferred_a_id is no truth value, and has_a_winner is one of something else.
_SAYS_NOTHING = re.compile(r"\b(id|idx|index)$|\bnot\b|\b(is|was|has|had) a (win|winner|loser)\b")
_OVER = {"over", "beats", "minus", "gt"}


def side_in_name(column: str, sides: Sides) -> float | None:
    """Return the side that the name of a column speaks of, as a_is_better does.

    1 where its values say that the first response is better, 0 the second, None neither.
    """
    tokens = tokens_of(column)
    if _SAYS_NOTHING.search(" ".join(tokens)):
        return None
    first, second = _names_of(sides)
    named = [
        float(token in first)
        for before, token in zip(["", *tokens], tokens, strict=False)
        # winner_1 may be what annotator 1 says; winner_model_1 is not.
        if token in first | second and (not token.isdecimal() or before in NOUNS | sides.shared)
    ]
    if len(named) == 2 and named[0] != named[1] and _OVER.intersection(tokens):
        named = named[:1]
    elif len(named) != 1 or not (WINS | LOSES).intersection(tokens):
        return None
    negative = [token for token in tokens if token in LOSES]
    if len(negative) > 1:
        return None
    return 1 - named[0] if negative else named[0]


def names_worse(column: str, sides: Sides) -> bool:
    """Return whether a column such as loser or worse_id says which response is the worse one."""
    tokens = tokens_of(column)
    beside = NOUNS | _OF_INDEX | sides.shared | {"is", "the", "label", "name", "number", "of"}
    return not LOSES.isdisjoint(tokens) and set(tokens) <= LOSES | beside


def _names_of(sides: Sides) -> tuple[set[str], set[str]]:
    first, second = {"first", "left"}, {"second", "right"}
    if sides.turned or sides.style == "positions":
        first, second = set(), set()
    else:
        first, second = first | {"a"}, second | {"b"}
    if "" not in sides.markers:
        first, second = first | {sides.markers[0]}, second | {sides.markers[1]}
    return first, second


def possible_conventions(
    values: Floats, column: str, sides: Sides, *, booleans: bool, lettered: bool = False
) -> list[str]:
    """Return the names of conventions that a column may follow, the likeliest first.

    Parameters
    ----------
    values : ndarray of shape (n_distinct,)
        The numbers among its labels, at least one.
    column : str
    sides : Sides
    booleans : bool
        Whether all of them were true and false.
    lettered : bool, default=False
        Whether other labels of the column say in words which response is better.

    Returns
    -------
    names : list of str
        None of them where no convention has such numbers. Several need not be an ambiguity: where
        all say the same of the values seen, it does not matter which.
    """
    low, high = values.min(), values.max()
    if (
        lettered and np.isin(values, (0, 1)).all()
    ):  # a mixture, of which each part may count its own way
        return ["index", "probability"]
    if lettered and (values == 2).all():
        return ["one_two", "index_ties"]
    said = side_in_name(column, sides)
    if said is not None and -np.inf < low and high < np.inf:
        if np.isin(values, (0, 1)).all():
            return ["boolean" if said else "boolean_second"]
        if low >= 0 and high <= 1:
            return ["probability" if said else "probability_second"]
        if low < 0:
            return ["strength" if said else "strength_second"]
    words = set(tokens_of(column))
    if low < 0:
        if np.isin(values, (-1, 0, 1)).all():
            return ["sign", "sign_second"]
        return ["strength", "strength_second"] if np.isfinite([low, high]).all() else []
    if high <= 1:
        return _up_to_one(values, column, sides, booleans=booleans)
    if high <= 2:
        found = _up_to_two(values, sides)
        return [*found, "strength", "strength_second"] if _OF_STRENGTH & words else found
    if high <= 10 and (values == np.floor(values)).all():
        ends = f"{0 if low == 0 else 1}", f"{int(high)}"
        return [f"scale_{ends[0]}_{ends[1]}", f"scale_{ends[1]}_{ends[0]}"]
    return ["percent", "percent_second"] if high <= 100 else []


def _up_to_one(values, column, sides, *, booleans) -> list[str]:
    words = set(tokens_of(column))
    lettered = sides.style == "letters" and not sides.turned
    if lettered and (column.strip().casefold() in ("label", "labels") or _OF_SHARES & words):
        return ["probability"]
    if booleans:
        return ["boolean", "boolean_second"]
    if np.isin(values, (0, 1)).all():
        counted = ["one_two"] if sides.style == "from 1" and (values == 1).all() else []
        return [*counted, "index", "probability"]
    of_index = bool(_OF_INDEX & words) and not _OF_SHARES & words
    if of_index or sides.style == "from 0" or sides.turned or np.isin(values, (0, 0.5, 1)).all():
        return ["probability", "probability_second"]
    return ["probability"]


def _up_to_two(values, sides) -> list[str]:
    if (values != np.floor(values)).any():
        between = ((values > 0) & (values < 1)).any()
        return ["scale_0_2", "scale_2_0"] if between else ["one_to_two"]
    if sides.turned and sides.style != "from 1":
        return ["scale_1_2", "scale_2_1"] if values.min() > 0 else ["scale_0_2", "scale_2_0"]
    if sides.style == "from 0" or (values == 0).any():
        return ["one_two", "index_ties"]
    return ["one_two"]
