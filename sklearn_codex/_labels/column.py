"""A column of labels: each distinct one once, where it is first, and how a caller would answer."""

import json
from collections.abc import Callable, Mapping, Sequence
from reprlib import Repr
from typing import Any

import numpy as np

from sklearn_codex._categorical import IntArray
from sklearn_codex._checks.frames import is_missing
from sklearn_codex._labels.conventions import fold
from sklearn_codex._labels.numbers import with_decimal_commas
from sklearn_codex._labels.sides import Sides
from sklearn_codex._plain import plain

Where = Sequence[str] | Callable[[int], str]
Say = Callable[[str, Any], str]

_show = Repr()
_show.maxstring = 60
_BLANK = {"", "nan", "none", "null", "na", "n/a", "<na>"}


def say_in_python(name: str, value: Any) -> str:
    """Return an option as it is written in a call."""
    return f'{name}="{value}"' if isinstance(value, str) else f"{name}={value!r}"


def say_on_the_command_line(name: str, value: Any) -> str:
    """Return an option as it is written in a terminal, a mapping in JSON."""
    if isinstance(value, Mapping):
        value = f"'{json.dumps({str(key): meaning for key, meaning in value.items()})}'"
    return f"--{name.replace('_', '-')} {value}"


def where_of(wheres: Where, row: int) -> str:
    """Return where a row stands."""
    return wheres(row) if callable(wheres) else wheres[row]


def find_distinct(values: Sequence[Any]) -> tuple[list, IntArray]:
    """Return the distinct values in the order in which they occur, and which each one is."""
    keys: Sequence[Any] = values
    try:
        index = dict.fromkeys(keys)
    except TypeError:  # lists and dicts are told by what they look like
        keys = [_as_hashable(value) for value in values]
        index = dict.fromkeys(keys)
    number = dict(zip(index, range(len(index)), strict=True))
    codes = np.fromiter(map(number.__getitem__, keys), np.intp, count=len(keys))
    if keys is values:
        return list(index), codes
    return [values[row] for row in np.unique(codes, return_index=True)[1]], codes


def _as_hashable(value):
    try:
        hash(value)
    except TypeError:
        return (repr(value),)
    return value


class LabelColumn:
    """The distinct labels of a column.

    Attributes
    ----------
    name : str
    labels : list
        Distinct labels in the order in which they first occur.
    folded : list
        Each as a number where it is one, else as a folded word.
    codes : ndarray of shape (n,)
        Which of them the label of each row is.
    sides : Sides
    say : callable
    percentages : list of int
        Which distinct labels are numbers with a percent sign.
    """

    def __init__(
        self,
        values: Sequence[Any],
        wheres: Where,
        name: str,
        sides: Sides,
        say: Say,
        *,
        decimal_commas: bool = True,
    ):
        values = values.tolist() if isinstance(values, np.ndarray) else values
        self.labels, self.codes = find_distinct(values)
        self.folded = [fold(label) for label in self.labels]
        for i, number in (with_decimal_commas(self.labels) if decimal_commas else {}).items():
            self.folded[i] = number
        self.name, self.sides, self.say = plain(name), sides, say
        self._wheres = wheres
        self.percentages = [
            i
            for i, label in enumerate(self.labels)
            if isinstance(label, str) and label.rstrip().endswith("%")
            if isinstance(self.folded[i], float)
        ]

    def refuse_some_percentages(self) -> None:
        """Raise where some numbers are percentages and others are not."""
        numbers = [i for i, label in enumerate(self.folded) if isinstance(label, float)]
        others = [i for i in numbers if i not in set(self.percentages) and not self._is_missing(i)]
        if self.percentages and others:
            raise self.error(
                others[0],
                f"= {self.show(others[0])} is no percentage, as {self.show(self.percentages[0])} "
                "is in another row. Write all labels in one way.",
            )

    def show(self, i: int) -> str:
        """Return a distinct label as a message shows it."""
        label = self.labels[i]
        is_numeral = isinstance(label, str) and isinstance(self.folded[i], float)
        return label.strip() if is_numeral else _show.repr(label)

    def error(self, i: int, problem: str) -> ValueError:
        """Return an error about a distinct label, at the first row that has it."""
        row = int(np.argmax(self.codes == i))
        return ValueError(f"{where_of(self._wheres, row)}: {self.name} {problem}")

    def refuse_missing(self, among: Sequence[int]):
        """Raise where one of some distinct labels stands for none."""
        missing = [i for i in among if self._is_missing(i)]
        if missing:
            n = int(np.isin(self.codes, missing).sum())
            raise self.error(
                missing[0],
                f"is missing ({self.show(missing[0])}), which it is in {n:,} of "
                f"{len(self.codes):,} rows. Every pair needs a label: fill it in, or drop these "
                "rows.",
            )

    def _is_missing(self, i):
        label = self.folded[i]
        if isinstance(label, float):
            return label != label
        return label in _BLANK or is_missing(self.labels[i])
