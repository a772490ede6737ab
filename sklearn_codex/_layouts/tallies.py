"""What columns, or a cell, say of each of two responses: marks, counts of votes, scores."""

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from sklearn_codex._checks.frames import is_missing
from sklearn_codex._conversations.cells import decode_cell
from sklearn_codex._labels.numbers import written_number
from sklearn_codex._labels.onehot import resolve_onehot
from sklearn_codex._labels.sides import Sides
from sklearn_codex._labels.words import read_words
from sklearn_codex._layouts.words import is_list

_FLAGS = {0: 0, 1: 1, "0": 0, "1": 1, "False": 0, "True": 1, "false": 0, "true": 1}
_ROUNDING = 1e-3


def _is_hashable(value: Any) -> bool:
    return isinstance(value, (bool, int, float, str, np.bool_, np.number))


def mark_of(value: Any) -> float | None:
    """Return a mark of one response as a number, true as 1; None for another value."""
    if _is_hashable(value) and (flag := _FLAGS.get(value)) is not None:
        return float(flag)
    with suppress(TypeError, ValueError, OverflowError):
        number = written_number(value) if isinstance(value, str) else float(value)
        if math.isfinite(number):
            return number
    return None


@dataclass(frozen=True)
class OneHot:
    """Reads columns of which each row has one set, or which share out 1, as 0.5 and 0.5.

    Where the names say no more than that they are labels (`is_sure` is False), such as label_0 and
    label_1, they could be those of two people as well, which do not sum to 1 wherever these agree.
    """

    names: tuple[str, ...]
    meanings: tuple[float, ...]
    first: str
    second: str
    is_sure: bool = True

    def __call__(self, row: Mapping[str, Any], where: str) -> float:
        marks = [mark_of(row.get(name)) for name in self.names]
        known = [mark for mark in marks if mark is not None and 0 <= mark <= 1]
        if len(known) == len(marks) and abs(sum(known) - 1) <= _ROUNDING:
            pairs = zip(known, self.meanings, strict=True)
            return sum(mark * meaning for mark, meaning in pairs) / sum(known)
        if not self.is_sure:
            raise ValueError(self._two_readings(row, where))
        columns = {name: [row.get(name)] for name in self.names}
        resolved = resolve_onehot(columns, [where], first=self.first, second=self.second)
        return float(resolved.probability[0])

    def _two_readings(self, row: Mapping[str, Any], where: str) -> str:
        said = " and ".join(f"{name} = {row.get(name)!r:.40}" for name in self.names)
        return (
            f"{where} has {said}, which can mean two things: a mark for each response, of which "
            "those of a row sum to 1, so that this row is wrong, or the labels of "
            f"{len(self.names)} people. Correct the row or leave it out for the one; name "
            f"{','.join(self.names)} as the label for the other. Counts are called votes."
        )


@dataclass(frozen=True)
class Counts:
    """Counts of votes in a column for each response, and in others for ties."""

    one: str
    two: str
    ties: tuple[str, ...]

    def __call__(self, row: Mapping[str, Any], where: str) -> float:
        names = (self.one, self.two, *self.ties)
        one, two, *ties = (as_number(row, name, where) for name in names)
        return _share(one, two, ties, (self.one, self.two), where)


def _share(one: float, two: float, ties: list[float], names: tuple[str, str], where: str) -> float:
    """Return the part of the first among all votes, of which ties are half."""
    total = one + two + sum(ties)
    if total <= 0 or min(one, two, *ties) < 0:
        raise ValueError(
            f"{where} has {names[0]} = {one:g} and {names[1]} = {two:g}. Of two responses at "
            "least one needs a vote; leave the row out."
        )
    return (one + sum(ties) / 2) / total


@dataclass(frozen=True)
class CellCounts:
    """Counts of votes in a cell, {"a": 3, "b": 1, "tie": 1}, by response.

    Numbered people may have voted in such a cell, too: what reads {"1": 2, "2": 1} in both ways is
    refused; so are counts under the name of a label (`is_sure` is False) that do not sum to 1.
    """

    name: str
    sides: Sides
    is_sure: bool = True

    def __call__(self, row: Mapping[str, Any], where: str) -> float:
        counts = counts_in(row.get(self.name), self.sides)
        if counts is None:
            raise ValueError(
                f"{where} has {self.name} = {row.get(self.name)!r:.60}, where other rows count the "
                f"votes for {self.sides.first} and for {self.sides.second}. Write such counts, or "
                "leave the row out."
            )
        of_side: dict[float, list[float]] = {1.0: [], 0.0: [], 0.5: []}
        for key, (meaning, value) in counts.items():
            of_side[meaning].append(as_number({key: value}, key, where))
        if self._can_be_votes(counts):
            raise ValueError(
                f"{where} has {self.name} = {row.get(self.name)!r:.60}, which can mean two things: "
                "how many votes each response has, or what persons of these names said. "
                f"Call the keys {self.sides.first} and {self.sides.second} for the one, "
                "rater_1 and rater_2 for the other."
            )
        names = (f"{self.name}.{self.sides.first}", f"{self.name}.{self.sides.second}")
        return _share(sum(of_side[1.0]), sum(of_side[0.0]), of_side[0.5], names, where)

    def _can_be_votes(self, counts: Mapping[str, tuple[float, Any]]) -> bool:
        """Return whether all keys are numbers, and all values numbers of responses."""
        if not self.is_sure:
            total = sum(mark_of(value) or 0 for _, value in counts.values())
            return abs(total - 1) > _ROUNDING
        numbers = {key for key in counts if key.strip().isdecimal()}
        values = {str(value).strip().removesuffix(".0") for _, value in counts.values()}
        return len(numbers) == len(counts) and values <= {*self.sides.markers}


def counts_in(value: Any, sides: Sides) -> dict[str, tuple[float, Any]] | None:
    """Return what each key of a cell means, and its count; None where these are no counts.

    There is one key for the first response (1), one for the second (0), and perhaps others for ties
    (0.5). A table fills up missing keys, which count 0.
    """
    if isinstance(value, str):
        value = decode_cell(value)
    if not isinstance(value, Mapping):
        return None
    counts: dict[str, tuple[float, Any]] = {}
    for key, count in value.items():
        verdict = read_words(str(key), sides)
        if verdict is None or verdict.probability is None or is_list(count):
            return None
        count = 0 if is_missing(count) else count
        if isinstance(count, bool) or mark_of(count) is None:
            return None
        counts[str(key)] = verdict.probability, count
    found = [meaning for meaning, _ in counts.values()]
    return counts if found.count(1.0) == found.count(0.0) == 1 else None


@dataclass(frozen=True)
class Scores:
    """Compares two numbers, in columns of their own or in a list of two; sign -1 for ranks."""

    names: tuple[str, ...]
    sign: float = 1.0

    def __call__(self, row: Mapping[str, Any], where: str) -> float:
        if len(self.names) == 1:
            name = self.names[0]
            pair = list_of(row.get(name))
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
        value = row[name]
        number = written_number(value) if isinstance(value, str) else float(value)
        if math.isfinite(number):
            return number
    raise ValueError(
        f"{where} has {name} = {row.get(name)!r:.60}, which should be a number. Fill it in, or "
        "leave the row out."
    )


def list_of(value: Any) -> list | None:
    """Return the list in a cell, also where it is written as text."""
    if isinstance(value, str):
        value = decode_cell(value)
    return list(value) if is_list(value) else None
