"""Columns that differ in a number: several responses of a row, and their scores."""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from sklearn_codex._checks.frames import is_missing
from sklearn_codex._layouts.base import Columns, Layout, fold
from sklearn_codex._layouts.cells import as_number
from sklearn_codex._layouts.given import Given
from sklearn_codex._layouts.pairs import find_pairs
from sklearn_codex._layouts.prompts import PromptColumns, find_prompt
from sklearn_codex._layouts.ranking import Candidate, RankingLayout
from sklearn_codex._layouts.scores import Score, asks_for_columns, names_score, pick_score, singular
from sklearn_codex._layouts.words import BESIDE, RESPONSES

Row = Mapping[str, Any]

_REFERENCES = frozenset(("correct", "right", "positive", "pos", "good"))


class NumberedLayout(RankingLayout):
    """Responses in numbered columns, with their scores in others.

    Parameters
    ----------
    name, prompt
        As in :class:`RankingLayout`.
    columns : dict of tuple of str
        The columns of the response and of its score, by number.
    score : Score
        Its sign tells whether the scores are ranks.
    """

    def __init__(
        self,
        name: str,
        prompt: PromptColumns,
        columns: dict[str, tuple[str, str]],
        score: Score,
    ):
        super().__init__(
            name, prompt, [name for pair in columns.values() for name in pair], score.rule
        )
        self.columns, self.score = columns, score

    def candidates(self, row: Row, where: str) -> list[Candidate | None]:
        """Return the responses; one that a row lacks is none."""
        found: list[Candidate | None] = []
        for text, score in self.columns.values():
            good = as_number(row.get(score), score, where)
            response = row.get(text)
            if good is not None and not is_missing(response):
                found.append(Candidate(text, response, self.score.sign * good))
            elif good is not None or not (is_missing(response) or response == ""):
                found.append(None)
        return found


def has_pair(columns: Columns, row: Row) -> bool:
    """Return whether two columns hold responses of which the first is said to be preferred.

    Lists of what is correct and what is not are answers to compare responses with.
    """
    pairs = [pair for pair in find_pairs(columns, row) if pair.oriented]
    return any(_REFERENCES.isdisjoint(fold(pair.first).split("_")) for pair in pairs)


def find_numbered(columns: Columns, row: Row, given: Given, where: str) -> Layout | None:
    """Return the layout of rows with numbered columns of responses and of their scores."""
    if asks_for_columns(given) or has_pair(columns, row):
        return None
    # Also columns without a value here: rows may have responses of different number.
    texts = numbered_responses(row)
    groups = {
        rest: names
        for rest, names in number_columns(row).items()
        if names_score(rest.translate(_UNMARKED)) and len(texts.keys() & names.keys()) >= 2
    }
    if len(texts) < 3 or not groups:  # of two, columns of their own tell which was shown first
        return None
    score = pick_score([rest.translate(_UNMARKED) for rest in groups], Given(), where)
    chosen = next(rest for rest in groups if score and rest.translate(_UNMARKED) == score.name)
    pairs = {
        number: (texts[number], groups[chosen][number])
        for number in texts
        if number in groups[chosen]
    }
    left = [texts[number] for number in texts if number not in pairs]
    if left:
        raise ValueError(
            f"{where} has {list(groups[chosen].values())}, but no such column for "
            f"{' and '.join(left)}. Add it, or drop the response."
        )
    rest = {fold(name): name for name in columns.values() if name not in texts.values()}
    assert score is not None
    named = Score(groups[chosen][next(iter(pairs))], score.sign)
    layout = NumberedLayout(
        "numbered responses with scores", find_prompt(rest, given, where, row), pairs, named
    )
    return layout


_UNMARKED = str.maketrans("", "", "#@")


def number_columns(names: Iterable[Any]) -> dict[str, dict[str, str]]:
    """Return columns whose names differ in a number, or in a letter, only.

    Returns
    -------
    columns : dict of dict of str
        By what the names have in common, with "#" where the number is, or "@" where a letter is,
        the columns by number, in its order.
    """
    return _number_columns(tuple(map(str, names)))


@lru_cache(maxsize=256)
def _number_columns(names: tuple[str, ...]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for name in names:
        parts = re.split(r"(_|(?<=[a-z])(?=[0-9])|(?<=[0-9])(?=[a-z]))", fold(name))
        for position, part in enumerate(parts):
            if part.isdecimal() or (len(part) == 1 and "a" <= part <= "z"):
                mark = "#" if part.isdecimal() else "@"
                rest = [*parts[:position], mark, *parts[position + 1 :]]
                key = "_".join(word for word in rest if word.strip("_"))
                found.setdefault(key, {})[part] = name
    in_order = {
        key: sorted(columns, key=lambda part: (len(part.lstrip("0")), part))
        for key, columns in found.items()
    }
    return {key: {part: found[key][part] for part in parts} for key, parts in in_order.items()}


def numbered_responses(names: Iterable[Any]) -> dict[str, str]:
    """Return the columns of responses by number, none where there are several such families."""
    families = [
        columns
        for rest, columns in number_columns(names).items()
        if len(columns) > 1
        and _are_responses([word for word in rest.split("_") if word not in "#@"])
    ]
    return families[0] if len(families) == 1 else {}


def _are_responses(words: list[str]) -> bool:
    words = [singular(word) for word in words]
    return not RESPONSES.isdisjoint(words) and {*words} <= RESPONSES | BESIDE
