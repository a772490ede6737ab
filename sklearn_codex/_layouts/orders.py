"""Rows of several responses, and in which order they are."""

import re
import string
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sklearn_codex._checks.frames import is_missing
from sklearn_codex._layouts.base import Columns, Comparison, Layout, fold
from sklearn_codex._layouts.cells import decode
from sklearn_codex._layouts.given import Given
from sklearn_codex._layouts.numbered import numbered_responses
from sklearn_codex._layouts.pairs import find_pairs
from sklearn_codex._layouts.prompts import PromptColumns, find_prompt
from sklearn_codex._layouts.ranked import as_named, find_texts
from sklearn_codex._layouts.ranking import Candidate, RankingLayout
from sklearn_codex._layouts.scores import asks_for_columns, singular
from sklearn_codex._layouts.verdicts import find_verdicts
from sklearn_codex._layouts.words import LABELS

Row = Mapping[str, Any]
_ORDERS = frozenset(("order", "ordering", "sorted", "argsort", "worst"))
"""Words of names that say that responses are listed, the best first."""
_EITHER = frozenset(("ranking",))
"""Words of names under which there is such a list, or the rank of each response."""
_COMPARED = re.compile(r"[^<>=]*[^<>=\s][^<>=]*([>=][^<>=]*[^<>=\s][^<>=]*)+")


class OrderLayout(RankingLayout):
    """Several responses and a column with their order: "B > A = C", [2, 1, 3], or names.

    Parameters
    ----------
    name, prompt
        As in :class:`RankingLayout`.
    columns : list of str
        The column of the list of responses, or one column a response.
    order : str
        The column of the order.
    """

    def __init__(self, name: str, prompt: PromptColumns, columns: list[str], order: str):
        super().__init__(name, prompt, [*columns, order])
        self.columns, self.order = columns, order
        self.readings: set[str] = set()

    def candidates(self, row: Row, where: str) -> list[Candidate | None]:
        """Return the responses, each as good as its place in the order."""
        if len(self.columns) > 1:
            responses = {name: row.get(name) for name in self.columns}
        else:
            named = as_named(row[self.columns[0]], self.columns[0]) or {}
            responses = {f"{self.columns[0]}{key}": text for key, text in named.items()}
        responses = {name: text for name, text in responses.items() if not is_missing(text)}
        value = decode(row.get(self.order))
        goodness = self._read(value, responses, where)
        if goodness is None:
            raise ValueError(
                f"{where} has {self.order} = {value!r:.60}, which is no order of "
                f"{list(responses)}. List each of them once, the best first, or write A > B = C."
            )
        return [Candidate(name, text, goodness[name]) for name, text in responses.items()]

    def _read(self, value: Any, responses: dict[str, Any], where: str) -> dict[str, float] | None:
        """Return how good each response is; None where the value is no order of all of them."""
        if _is_run(value):
            value = list(str(value).strip())
        if isinstance(value, str) and ">" not in value and "=" not in value:
            value = re.split(r"[\s,;]+", value.strip())
        if isinstance(value, str):
            value = [[token.strip() for token in part.split("=")] for part in value.split(">")]
        if not isinstance(value, list):
            return None
        places = [entry if isinstance(entry, list) else [entry] for entry in value]
        as_order = _place(places, responses)
        as_ranks = self._ranks(value, responses)
        if as_ranks is None or as_order is None or as_ranks == _dense(as_order):
            reading = "the rank of each response" if as_order is None else "the best first"
            self.readings.add(reading)
            return as_order if as_order is not None else as_ranks
        best = [max(read, key=lambda name: read[name]) for read in (as_ranks, as_order)]
        raise ValueError(
            f"{where} has {self.order} = {value!r:.60}, which is either the rank of each "
            f"response, so that {best[0]} is the best, or the responses in order, so that "
            f"{best[1]} is. Rename the column: ranks for the one, best_to_worst for the other."
        )

    def finish(self) -> Iterable[Comparison]:
        """Note how rows were read."""
        if self.readings:
            self.notes.append(f"{self.order} was read as {' and as '.join(sorted(self.readings))}.")
        return super().finish()

    def _ranks(self, value: list, responses: dict[str, Any]) -> dict[str, float] | None:
        """Return the numbers as the rank of each response, where they can be that."""
        words = {singular(word) for word in fold(self.order).split("_")}
        if _EITHER.isdisjoint(words) or len(value) != len(responses):
            return None
        if not all(_is_whole(entry) for entry in value):
            return None
        ranks = zip(responses, value, strict=True)
        return _dense({name: -float(rank) for name, rank in ranks})


def _dense(goodness: dict[str, float]) -> dict[str, float]:
    """Return the same order in whole numbers from 0 for the best, -1 for the next."""
    order = sorted(set(goodness.values()), reverse=True)
    return {name: -float(order.index(good)) for name, good in goodness.items()}


def _is_whole(value: Any) -> bool:
    return not isinstance(value, bool) and bool(re.fullmatch(r"\d{1,9}(\.0)?", str(value).strip()))


def _place(places: list[list], responses: dict[str, Any]) -> dict[str, float] | None:
    """Return how good each response is from the places, the best first, that name all of them."""
    tokens = [token for place in places for token in place]
    if len(tokens) != len(responses):
        return None
    names = _names_of(tokens, responses)
    if names is None or len(set(names)) != len(responses):
        return None
    given = iter(names)
    return {next(given): -float(rank) for rank, place in enumerate(places) for _ in place}


def _names_of(tokens: list, responses: dict[str, Any]) -> list[str] | None:
    """Return the responses that tokens mean: numbers, letters, names, or the responses."""
    names = list(responses)
    if all(_is_whole(token) for token in tokens):
        numbers = [int(float(token)) for token in tokens]
        start = min(numbers)
        if start not in (0, 1) or sorted(numbers) != [*range(start, start + len(names))]:
            return None
        return [names[number - start] for number in numbers]
    known: dict[Any, str] = {}
    for letter, name in zip(string.ascii_lowercase, names, strict=False):
        known |= {letter: name, fold(name): name, fold(name.split("[")[-1].strip("]")): name}
    known |= {fold(text): name for name, text in responses.items() if isinstance(text, str)}
    found = [known.get(fold(token)) for token in tokens]
    return [name for name in found if name is not None] if None not in found else None


def find_order(columns: Columns, row: Row, given: Given, where: str) -> Layout | None:
    """Return the layout of rows with several responses and a column of their order."""
    if asks_for_columns(given) or any(pair.oriented for pair in find_pairs(columns)):
        return None
    texts = find_texts(columns, row)
    names = texts[:1] or list(numbered_responses(row).values())
    rest = {name: column for name, column in columns.items() if column not in names}
    asked = given.label
    orders = [
        column
        for name, column in rest.items()
        if (fold(asked) == name if asked is not None else _names_order(name, row[column]))
    ]
    if not orders or not _is_order(decode(row[orders[0]])):
        return None
    said = {name for name in LABELS if name in rest and rest[name] != orders[0]}
    if _is_run(row[orders[0]]) and said:
        return None  # in this order they were shown: the label says which is better
    names = names or _columns_in(decode(row[orders[0]]), rest)
    if len(names) == 0:
        return None
    rest = {name: column for name, column in rest.items() if column not in names}
    if not texts and len(names) == 2 and isinstance(row[orders[0]], str):
        words = {singular(word) for word in fold(orders[0]).split("_")}
        is_one = not _is_run(row[orders[0]]) and not re.search(r"\w\W+\w", row[orders[0]])
        if (_ORDERS | _EITHER).isdisjoint(words) or is_one:
            return None  # labels of two columns
        others = {n: c for n, c in rest.items() if c != orders[0]}
        if find_verdicts(names[0], names[1], others, row):
            return None
    rest.pop(fold(orders[0]))
    prompt = find_prompt(rest, given, where, row)
    return OrderLayout(f"several responses in order of {orders[0]}", prompt, names, orders[0])


def _columns_in(value: Any, columns: Columns) -> list[str]:
    """Return the columns of which a list gives the order, if all its entries are columns."""
    tokens = value if isinstance(value, list) else []
    tokens = [
        token for entry in tokens for token in (entry if isinstance(entry, list) else [entry])
    ]
    names = [columns.get(fold(token), "") for token in tokens]
    return names if "" not in names and len(set(names)) == len(names) > 1 else []


def _names_order(name: str, value: Any) -> bool:
    words = {singular(word) for word in name.split("_")}
    if not (_ORDERS | _EITHER).isdisjoint(words):
        return True
    places = decode(value)
    if isinstance(places, list) and places and all(isinstance(place, list) for place in places):
        return all(isinstance(token, str) for place in places for token in place)
    is_compared = isinstance(value, str) and len(value) < 200 and _COMPARED.fullmatch(value)
    return bool(is_compared) and not {"preference", "label", "judgment", "result"}.isdisjoint(words)


def _is_run(value: Any) -> bool:
    """Return whether a word has each of the first letters, or numbers, once: "ACB" or 132.

    Of two numbers it is none: 12 and 21 may number rows.
    """
    text = fold(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
    runs = (string.ascii_lowercase, string.digits, string.digits[1:])
    is_long = len(text) > (2 if text.isdecimal() else 1)
    return is_long and any(sorted(text) == [*run[: len(text)]] for run in runs)


def _is_order(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(
            isinstance(entry, (str, list)) or _is_whole(entry) for entry in value
        )
    if _is_run(value):
        return True
    if not isinstance(value, str) or len(value) > 1000:
        return False
    return bool(_COMPARED.fullmatch(value)) or all(
        _is_whole(token) or len(token) == 1 for token in re.split(r"[\s,;]+", value.strip())
    )


FINDERS: tuple[Callable, ...] = (find_order,)
