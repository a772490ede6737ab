"""Rows with lists of better and of worse responses, with the best of several, or in an order."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from sklearn_codex._checks.frames import is_missing
from sklearn_codex._conversations.cells import as_turns
from sklearn_codex._layouts.base import Columns, Comparison, Layout, fold
from sklearn_codex._layouts.cells import as_responses, decode
from sklearn_codex._layouts.given import Given
from sklearn_codex._layouts.numbered import numbered_responses
from sklearn_codex._layouts.pairs import find_pairs
from sklearn_codex._layouts.prompts import ASKED, PromptColumns, find_prompt
from sklearn_codex._layouts.ranked import find_texts, names_responses
from sklearn_codex._layouts.ranking import (
    Candidate,
    RankingLayout,
    oriented_form,
)
from sklearn_codex._layouts.scores import asks_for_columns, singular

Row = Mapping[str, Any]
BEST_FIRST = frozenset(("ranked", "sorted", "ordered", "ranking"))


class ChosenListsLayout(RankingLayout):
    """Lists of better and of worse texts: each better one is paired with each worse one."""

    def __init__(
        self, name: str, prompt: PromptColumns, better: str, worse: str, *, as_text: bool = False
    ):
        super().__init__(name, prompt, {better, worse})
        self.better, self.worse, self.as_text = better, worse, as_text

    def candidates(self, row: Row, where: str) -> list[Candidate | None]:
        """Return the texts of both lists."""
        return [
            Candidate(f"{column}[{position}]", text, good)
            for column, good in ((self.better, 1.0), (self.worse, 0.0))
            for position, text in enumerate(_texts_of(row, column, where, as_text=self.as_text))
        ]

    def compare(self, candidates: list[Candidate], prompt: Any, where: str) -> Iterator[Comparison]:
        """Generate the pairs of one text of each list."""
        return cross_pairs(candidates, prompt, where)


def cross_pairs(
    candidates: Iterable[Candidate], prompt: Any, where: str, total: float = 1.0
) -> Iterator[Comparison]:
    """Generate the pairs of a better and a worse one, which weigh ``total`` together."""
    candidates = list(candidates)
    better = [one for one in candidates if one.goodness]
    worse = [one for one in candidates if not one.goodness]
    weight = total / max(len(better) * len(worse), 1)
    for one in better:
        for other in worse:
            form = oriented_form(one.name, other.name)
            yield Comparison(form, where, prompt, one.response, other.response, 1.0, weight)


def _texts_of(row: Row, column: str, where: str, *, as_text: bool = True) -> list:
    """Return the texts of a cell; a list in text counts as one if lists are ``as_text``."""
    value = row[column]
    texts = as_responses(value)
    if isinstance(value, str) and texts is not None and not as_text:
        raise ValueError(
            f"{where} has {column} = {value!r:.60}, a text, where other rows have a list of texts: "
            f"it can mean {_several(len(texts))}, or one response in brackets. Write the list "
            "itself, or a list of this one text."
        )
    if texts is not None and not any(is_missing(text) for text in texts):
        return texts
    if isinstance(value, str):
        return [value]
    raise ValueError(
        f"{where} has {column} = {value!r:.60}, where other rows have a list of texts. Write "
        "such a list, also for one text."
    )


def find_chosen_lists(columns: Columns, row: Row, given: Given, where: str) -> Layout | None:
    """Return the layout of rows whose better or worse responses are lists of texts."""
    if not {"response_a", "response_b", "label"}.isdisjoint(given.columns()):
        return None
    if given.chosen and given.rejected:
        named = (columns.get(fold(given.chosen), ""), columns.get(fold(given.rejected), ""))
        pairs = [named] if "" not in named else []
    else:
        pairs = _pairs_of_lists(columns, row)
    for better, worse in pairs:
        if not _are_lists(row[better], row[worse]):
            continue
        rest = {name: column for name, column in columns.items() if column not in (better, worse)}
        if _are_turns([*rest.values()], row, len(decode(row[better]))):
            continue
        name = f"lists of texts in {better} and {worse}"
        as_text = isinstance(row[better], str) and isinstance(row[worse], str)
        if {"num_correct", "total_completions"} <= rest.keys():
            name = "reward-bench 2"
        elif "domain" in rest and len(decode(row[better])) == len(decode(row[worse])) == 3:
            name = "RM-Bench"
        elif as_text and given.chosen and given.rejected:  # each is one response, says the caller
            return None
        elif as_text:
            raise ValueError(_two_readings(row, better, worse, given, where))
        prompt = find_prompt(rest, given, where, row)
        return ChosenListsLayout(name, prompt, better, worse, as_text=as_text)
    return None


def _several(n: int) -> str:
    return "one response in a list" if n == 1 else f"a list of {n} responses"


def _two_readings(row: Row, better: str, worse: str, given: Given, where: str) -> str:
    """Return that text in brackets can be a list of responses, or a response that is a list."""
    n = len(decode(row[better]))
    said = f"{given.say('chosen', better)} and {given.say('rejected', worse)}"
    return (
        f"{where} has {better} = {row[better]!r:.60}, a text that can mean two things: "
        f"{_several(n)}, {decode(row[better])!r:.60}, or one response that is written in brackets. "
        f"If each is one response, say {said}; else write the lists as JSON lines or Parquet have "
        "them, and not as text: df.map(ast.literal_eval) of pandas makes lists of them."
    )


def _pairs_of_lists(columns: Columns, row: Row) -> list[tuple[str, str]]:
    """Return columns for better and for worse responses; either may be called by a plural."""
    found = [(pair.first, pair.second) for pair in find_pairs(columns) if pair.oriented]
    of_one: dict[str, str] = {}
    for column in columns.values():
        of_one.setdefault("_".join(singular(word) for word in fold(column).split("_")), column)
    pairs = find_pairs({name: name for name in of_one})
    found += [(of_one[pair.first], of_one[pair.second]) for pair in pairs if pair.oriented]
    best = [name for name in of_one if not _BEST.isdisjoint(name.split("_"))]
    rest = [name for name in of_one if not _OTHERS.isdisjoint(name.split("_"))]
    if len(best) == len(rest) == 1 and as_responses(row[of_one[rest[0]]]) is not None:
        found.append((of_one[best[0]], of_one[rest[0]]))
    return list(dict.fromkeys(found))


_BEST = frozenset(("best", "chosen", "preferred", "accepted", "selected", "winner", "top"))
_OTHERS = frozenset(("other", "rest", "alternative", "remaining"))


def _are_turns(columns: list[str], row: Row, n: int) -> bool:
    """Return whether a prompt is a list too, of as many turns as a response has."""
    prompts = [as_turns(row[column]) for column in columns if fold(column) in ASKED]
    return any(turns is not None and len(turns) == n for turns in prompts)


def _are_lists(better: Any, worse: Any) -> bool:
    """Return whether one of two cells is a list of texts and the other one, or a text, too.

    Of text that could be such a list by chance, an answer in JSON, both have to be one.
    """
    lists = [as_responses(value) is not None for value in (better, worse)]
    if any(isinstance(value, str) for value in (better, worse)) and not all(lists):
        real = [
            found and not isinstance(value, str)
            for found, value in zip(lists, (better, worse), strict=True)
        ]
        return any(real)
    return all(lists)


class BestFirstLayout(RankingLayout):
    """A list of responses, the best one first."""

    def __init__(self, name: str, prompt: PromptColumns, column: str, rule: str):
        super().__init__(name, prompt, {column}, rule)
        self.column = column

    def candidates(self, row: Row, where: str) -> list[Candidate | None]:
        """Return the responses, each better than those after it."""
        texts = _texts_of(row, self.column, where)
        return [
            Candidate(f"{self.column}[{position}]", text, -float(position))
            for position, text in enumerate(texts)
        ]


def find_best_first(columns: Columns, row: Row, given: Given, where: str) -> Layout | None:
    """Return the layout of rows with a list of responses that is said to be in order."""
    if asks_for_columns(given):
        return None
    others = set(find_texts(columns, row))
    for name, column in columns.items():
        texts = as_responses(row[column])
        if (
            not texts
            or others - {column}
            or not all(isinstance(text, (str, list)) for text in texts)
        ):
            continue
        words = {singular(word) for word in name.split("_")}
        rest = {other: kept for other, kept in columns.items() if other != name}
        if _is_best_first(words, texts, row):
            rule = f"The texts of {column} were read as the best first."
            return BestFirstLayout(
                f"responses in order in {column}",
                find_prompt(rest, given, where, row),
                column,
                rule,
            )
        if name == "output" and {*columns} <= _ALPACA and len(texts) == 2:
            rule = f"The first text of {column} is the better one, as LLaMA-Factory documents."
            prompt = find_prompt(rest, given, where, row)
            return BestFirstLayout("LLaMA-Factory, two outputs", prompt, column, rule)
    return None


def _is_best_first(words: set[str], texts: list, row: Row) -> bool:
    """Return whether a name says so, and the texts are no names of responses in other columns."""
    if BEST_FIRST.isdisjoint(words) or numbered_responses(row):
        return False
    names = {fold(name) for name in row}
    if any(isinstance(text, str) and fold(text) in names for text in texts):
        return False
    known = any(names_responses(word) for word in words)
    return known or any(not isinstance(text, str) or " " in text.strip() for text in texts)


_ALPACA = frozenset(("instruction", "input", "output", "history", "system"))

LISTS: tuple[Callable, ...] = (find_chosen_lists,)
"""Told by the values, so that they are tried before what is told by names."""
FINDERS: tuple[Callable, ...] = (find_best_first,)
