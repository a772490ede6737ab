"""What tells which of two responses is better: a label, one-hot columns, votes or scores."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from sklearn_codex._checks.frames import is_missing
from sklearn_codex._conversations.cells import decode_cell
from sklearn_codex._labels.onehot import onehot_meanings, resolve_onehot
from sklearn_codex._labels.sides import Sides, read_sides
from sklearn_codex._labels.words import says_both_bad
from sklearn_codex._layouts.base import Columns, fold
from sklearn_codex._layouts.words import (
    CHANCES,
    LABELS,
    LISTS_OF_VOTES,
    OF_MODELS,
    PEOPLE,
    SCORES,
    TIES,
    VOTES,
    WEAK_LABELS,
    WINS,
    is_list,
    is_scalar,
    name_tokens,
)

RANKS = frozenset(("rank", "ranking"))
Direction = Callable[[str], float]


@dataclass(frozen=True)
class Verdict:
    """Where a file says which of two responses is better.

    Parameters
    ----------
    columns : tuple of str
        The columns.
    kind : {"label", "one-hot", "votes", "counts", "scores"}
        What they hold.
    read : callable, default=None
        From a row and where it is to the probability that the first response is preferred; None
        for labels and votes, whose meaning shows in all rows together.
    note : str, default=""
        What a reader should know of it.
    bad : tuple of str, default=()
        Those of one-hot columns that say that both responses are bad, which is a tie.
    """

    columns: tuple[str, ...]
    kind: str = "label"
    read: Callable[[Mapping[str, Any], str], float] | None = None
    note: str = ""
    bad: tuple[str, ...] = ()

    def says_both_bad(self, row: Mapping[str, Any]) -> bool:
        """Return whether a row, which has been read, says that both responses are bad."""
        return any(_FLAGS.get(row.get(name)) == 1 for name in self.bad)


def find_verdicts(
    first: str, second: str, columns: Columns, row: Mapping[str, Any]
) -> list[Verdict]:
    """Return what may tell the better of two responses, the kinds that say it most plainly first.

    Of several of one kind none is better than another, so all of them are returned.
    """
    rest = {name: column for name, column in columns.items() if column not in (first, second)}
    onehot = _find_onehot(first, second, rest)
    taken = {column for verdict in onehot for column in verdict.columns}
    single = {name: column for name, column in rest.items() if column not in taken}
    return (
        _find_labels(first, second, single, row)
        or onehot
        or _find_votes(first, second, rest, row)
        or _find_scores(first, second, rest, row)
    )


def verdict_with(
    label: str, first: str, second: str, columns: Columns, row: Mapping[str, Any], score: Direction
) -> Verdict:
    """Return what tells the better of two responses, of which the caller names a column.

    That of one of the responses says nothing without that of the other: votes_a without votes_b.

    Parameters
    ----------
    label : str
        The column.
    first, second, columns, row
        As in :func:`find_verdicts`.
    score : callable
        From the name of a column of scores to 1, or -1 where the smaller is the better.
    """
    rest = {name: column for name, column in columns.items() if column not in (first, second)}
    for verdict in _find_onehot(first, second, rest):
        if label in verdict.columns:
            return verdict
    sides = read_sides(first, second)
    one, two = (_of_side(label, side, sides, rest) for side in sides.markers)
    if one is None or two is None or one == two:
        return Verdict((label,))
    sign = score(label)
    return Verdict((one, two), "scores", _Scores((one, two), sign), _say_scores(one, two, sign))


def _of_side(label: str, side: str, sides: Sides, columns: Columns) -> str | None:
    """Return the column that is called as a label of one side is, for a side."""
    tokens = name_tokens(label)
    named = [at for at, token in enumerate(tokens) if token in sides.markers]
    if len(named) != 1 or not _ABOUT_BOTH.isdisjoint(tokens):
        return None
    wanted = [*tokens[: named[0]], side, *tokens[named[0] + 1 :]]
    return next((column for column in columns.values() if name_tokens(column) == wanted), None)


_ABOUT_BOTH = frozenset((*LABELS, *PEOPLE, *WINS, "vote", "annotation"))
"""Words for what is said of both responses: preference_1 may be what the first of some said."""


def _find_labels(first, second, columns: Columns, row) -> list[Verdict]:
    found = [column for name, column in columns.items() if name.split(".")[-1] in LABELS]
    texts = [row[name] for name in (first, second) if isinstance(row[name], str)]
    found = [name for name in found if is_scalar(row[name]) or row[name] in texts]
    if not found:
        found = [
            column
            for column in columns.values()
            if is_scalar(row[column]) and _speaks_of_one(column, first, second)
        ]
    if not found:
        found = [columns[name] for name in columns if name in WEAK_LABELS]
        found = [column for column in found if is_scalar(row[column])]
    return [Verdict((column,)) for column in found]


def _speaks_of_one(column: str, first: str, second: str) -> bool:
    """Return whether a column such as a_is_better says whether one response is preferred."""
    sides = read_sides(first, second)
    tokens = name_tokens(column)
    named = [token for token in tokens if token in sides.markers]
    beside = {"model", "is", "over", "than", "that", *sides.markers, *sides.shared}
    return (
        bool(named)
        and set(tokens) <= WINS | CHANCES | beside
        and not ((WINS | CHANCES).isdisjoint(tokens))
    )


def _find_onehot(first, second, columns: Columns) -> list[Verdict]:
    sides = read_sides(first, second)
    stems: dict[frozenset[str], list[str]] = {}
    for column in columns.values():
        tokens = set(name_tokens(column))
        sided = tokens & {*sides.markers} or tokens & TIES
        how = {"good", "bad", "are"} if tokens & TIES else set()
        stem = frozenset(tokens - {*sides.markers} - TIES - how - {"model", *sides.shared})
        if sided and (stem <= WINS | VOTES | {"label", "is", "n", "num", "number", "for", "of"}):
            stems.setdefault(stem, []).append(column)
    ties = stems.pop(frozenset(), [])
    ties = [column for column in ties if not TIES.isdisjoint(name_tokens(column))]
    found = []
    for stem, names in stems.items():
        names = names if any(set(name_tokens(name)) & TIES for name in names) else names + ties
        if not VOTES.isdisjoint(stem):
            found += _as_counts(names, sides)
        elif meanings := onehot_meanings(names, first, second):
            read = _OneHot(tuple(meanings), tuple(meanings.values()), first, second)
            bad = tuple(filter(says_both_bad, names))
            found.append(Verdict(tuple(names), "one-hot", read, bad=bad))
    return found


def _as_counts(names: list[str], sides) -> list[Verdict]:
    of_side = [[name for name in names if m in name_tokens(name)] for m in sides.markers]
    ties = [name for name in names if not TIES.isdisjoint(name_tokens(name))]
    if [len(side) for side in of_side] != [1, 1]:
        return []
    one, two = of_side[0][0], of_side[1][0]
    read = _Counts(one, two, tuple(ties))
    note = f"The label is the share of {one} among all votes."
    return [Verdict((one, two, *ties), "counts", read, note)]


_FLAGS = {0: 0, 1: 1, "0": 0, "1": 1, "False": 0, "True": 1, "false": 0, "true": 1}


def _is_hashable(value: Any) -> bool:
    return isinstance(value, (bool, int, float, str, np.bool_, np.number))


@dataclass(frozen=True)
class _OneHot:
    """Reads columns of which each row has one set, of a plain one at once."""

    names: tuple[str, ...]
    meanings: tuple[float, ...]
    first: str
    second: str

    def __call__(self, row: Mapping[str, Any], where: str) -> float:
        flags = [_FLAGS.get(row.get(name)) for name in self.names if _is_hashable(row.get(name))]
        if flags.count(1) == 1 and flags.count(0) == len(self.names) - 1:
            return self.meanings[flags.index(1)]
        columns = {name: [row.get(name)] for name in self.names}
        resolved = resolve_onehot(columns, [where], first=self.first, second=self.second)
        return float(resolved.probability[0])


@dataclass(frozen=True)
class _Counts:
    one: str
    two: str
    ties: tuple[str, ...]

    def __call__(self, row: Mapping[str, Any], where: str) -> float:
        one, two, *ties = (as_number(row, name, where) for name in (self.one, self.two, *self.ties))
        total = one + two + sum(ties)
        if total <= 0 or min(one, two, *ties) < 0:
            raise ValueError(
                f"{where} has {self.one} = {one:g} and {self.two} = {two:g}. Of two responses at "
                "least one needs a vote; leave the row out."
            )
        return (one + sum(ties) / 2) / total


@dataclass(frozen=True)
class _Scores:
    """Compares two numbers, in columns of their own or in a list of two; sign -1 for ranks."""

    names: tuple[str, ...]
    sign: float = 1.0

    def __call__(self, row: Mapping[str, Any], where: str) -> float:
        if len(self.names) == 1:
            name = self.names[0]
            pair = _list_of(row.get(name))
            if pair is None or len(pair) != 2:
                raise ValueError(
                    f"{where} has {name} = {row.get(name)!r:.60}, which should be the two scores "
                    "of its responses. Leave the row out."
                )
            one, two = (as_number({name: value}, name, where) for value in pair)
        else:
            one, two = (as_number(row, name, where) for name in self.names)
        return 0.5 + 0.5 * math.copysign(one != two, self.sign * (one - two))


def as_number(row: Mapping[str, Any], name: str, where: str) -> float:
    """Return the value of a column as a number.

    Raises
    ------
    ValueError
        If it is none.
    """
    with suppress(TypeError, ValueError, OverflowError):
        if math.isfinite(value := float(row[name])):
            return value
    raise ValueError(
        f"{where} has {name} = {row.get(name)!r:.60}, which should be a number. Fill it in, or "
        "leave the row out."
    )


def _list_of(value: Any) -> list | None:
    """Return the list in a cell, also where it is written as text."""
    if isinstance(value, str):
        value = decode_cell(value)
    return list(value) if is_list(value) else None


def _find_scores(first, second, columns: Columns, row) -> list[Verdict]:
    sides = read_sides(first, second)
    found: dict[tuple[str, ...], dict[str, str]] = {}
    for column in columns.values():
        tokens = name_tokens(column)
        named = [token for token in tokens if token in sides.markers]
        stem = tuple(token for token in tokens if token not in (*named, *sides.shared, "model"))
        if len(named) == 1 and len(stem) == 1 and stem[0] in SCORES | RANKS:
            found.setdefault(stem, {})[named[0]] = column
    pairs = [
        Verdict((one, two), "scores", _Scores((one, two), -1.0 if stem[0] in RANKS else 1.0),
                _say_scores(one, two, -1.0 if stem[0] in RANKS else 1.0))
        for stem, names in found.items()
        if (one := names.get(sides.markers[0])) and (two := names.get(sides.markers[1]))
    ]  # fmt: skip
    lists = [column for name, column in columns.items() if name in SCORES]
    for column in lists:
        values = _list_of(row[column])
        if values is not None and len(values) == 2 and not pairs:
            note = f"The response with the greater of the two numbers of {column} is the better."
            pairs.append(Verdict((column,), "scores", _Scores((column,)), note))
    return pairs


def _say_scores(one: str, two: str, sign: float) -> str:
    which = "smaller" if sign < 0 else "greater"
    return (
        f"There is no label: of {one} and {two} the {which} belongs to the better response, and "
        "equal ones are a tie."
    )


def _find_votes(first, second, columns: Columns, row) -> list[Verdict]:
    names = vote_columns(columns.values(), first, second)
    names = [name for name in names if is_scalar(row[name])]
    note = "Each label is the mean of the votes of a row"
    if len(names) > 1:
        return [Verdict(tuple(names), "votes", note=f"{note}: {', '.join(names)}.")]
    cells = [column for name, column in columns.items() if name in LISTS_OF_VOTES]
    cells = [column for column in cells if votes_in(row[column]) is not None]
    return [Verdict((column,), "votes", note=f"{note}, {column}.") for column in cells]


def vote_columns(names, first: str, second: str) -> list[str]:
    """Return the columns that hold a vote of one person each, such as annotator1 and annotator2.

    Of columns such as vote_1 and vote_2 beside response_1 and response_2 nothing tells whether
    these are two votes, or one for each response: they are none.
    """
    markers = set(read_sides(first, second).markers)
    stems: dict[tuple[str, ...], dict[str, str]] = {}
    for name in names:
        tokens = name_tokens(name)
        numbers = [token for token in tokens if token.isdecimal()]
        if len(numbers) == 1:
            stem = tuple(token for token in tokens if token not in numbers)
            stems.setdefault(stem, {})[numbers[0]] = name
    found = []
    for stem, of_number in stems.items():
        people = any(token in PEOPLE for token in stem)
        known = bool(stem) and set(stem) <= PEOPLE | {*LABELS} | VOTES | {
            "annotation",
            "human",
            "vote",
        }
        if known and (people or (len(of_number) > 2 or not markers & of_number.keys())):
            found.append(list(of_number.values()))
    return max(found, key=len) if found else []


def votes_in(value: Any) -> dict[str, Any] | None:
    """Return who voted and how, of a cell that holds a list or a dict of votes; else None."""
    if isinstance(value, str):
        value = decode_cell(value)
    if isinstance(value, Mapping):
        votes = {str(key): vote for key, vote in value.items() if not is_missing(vote)}
    elif is_list(value):
        items = [item.tolist() if hasattr(item, "tolist") else item for item in value]
        votes = {str(number): item for number, item in enumerate(items) if not _is_none(item)}
    else:
        return None
    votes = {who: _vote_of(vote) for who, vote in votes.items()}
    if not votes or not all(is_scalar(vote) and vote is not None for vote in votes.values()):
        return None
    return votes


def _is_none(item: Any) -> bool:
    return not is_list(item) and is_missing(item)


_VOTE_KEYS = ("value", "vote", "label", "preference", "winner", "choice", "score", "judgment")


def _vote_of(vote: Any) -> Any:
    """Return the vote in a dict that says more, such as who gave it."""
    if not isinstance(vote, Mapping):
        return vote
    found = {fold(key): entry for key, entry in vote.items() if not is_missing(entry)}
    return next((found[key] for key in _VOTE_KEYS if key in found), None)


def model_columns(first: str, second: str, columns: Columns) -> tuple[str, str] | None:
    """Return the columns that name the models of two responses, such as model_a and model_b."""
    markers = read_sides(first, second).markers
    found: Iterator[list[str]] = (
        [
            column
            for column in columns.values()
            if marker in (tokens := name_tokens(column)) and set(tokens) - {marker} <= OF_MODELS
            and "id" not in tokens
        ]
        for marker in markers
    )  # fmt: skip
    one, two = found
    return (one[0], two[0]) if len(one) == 1 and len(two) == 1 else None
