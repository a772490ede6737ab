"""Files of pairs with a weight or an orientation, as the command ``convert`` writes them."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import numpy as np

from sklearn_codex._layouts.base import Columns, Comparison, Form, Layout, fold
from sklearn_codex._layouts.given import Given

PROMPT, FIRST, SECOND, LABEL = PAIR = ("prompt", "response_a", "response_b", "label")
CHOSEN, REJECTED = "chosen", "rejected"
WEIGHT = "sample_weight"  # what a pair weighs
ORIENTED = "oriented"  # whether the file that was converted had chosen and rejected
ANNOTATOR = "annotator"
OWN = (WEIGHT, ORIENTED, ANNOTATOR)


class WrittenLayout(Layout):
    """One pair a row, with what else was known of it.

    Parameters
    ----------
    columns : mapping of str to str
        The columns of the row, by their folded names.
    weighted : bool
        Whether the column of weights is to be read.
    """

    def __init__(self, columns: Columns, *, weighted: bool):
        self.columns = {
            name: columns[name]
            for name in (*PAIR, CHOSEN, REJECTED, *OWN)
            if name in columns and (weighted or name != WEIGHT)
        }
        if CHOSEN in self.columns:
            self.columns = {n: c for n, c in self.columns.items() if n not in PAIR[1:]}
        super().__init__("pairs as convert writes them", frozenset(self.columns.values()))

    def read(self, row: Mapping[str, Any], where: str) -> Iterator[Comparison]:
        """Return the one comparison of a row."""
        value = {name: row[column] for name, column in self.columns.items()}
        if CHOSEN in value:
            form = Form(self.columns[CHOSEN], self.columns[REJECTED], oriented=True)
            first, second, label = value[CHOSEN], value[REJECTED], 1.0
        else:
            form = Form(
                self.columns[FIRST], self.columns[SECOND], self.columns[LABEL], "probability"
            )
            first, second, label = value[FIRST], value[SECOND], value[LABEL]
        if LABEL in value and _read_truth(value.get(ORIENTED, False), where):
            form = Form(form.first, form.second, oriented=True)
            label = _read_number(label, LABEL, where, 1.0)
            if label < 0.5:
                first, second, label = second, first, 1 - label
        yield Comparison(
            form,
            where,
            value.get(PROMPT),
            first,
            second,
            label,
            weight=_read_number(value.get(WEIGHT, 1.0), WEIGHT, where, np.inf),
            annotator=value.get(ANNOTATOR),
        )


def _read_number(value: Any, name: str, where: str, most: float) -> float:
    with suppress(TypeError, ValueError, OverflowError):
        if 0 <= (number := float(value)) <= most and np.isfinite(number):
            return number
    rule = "a number of at least 0" if most == np.inf else f"a number from 0 to {most:g}"
    raise ValueError(f"{where} has {name} = {value!r}. It is {rule}.")


def _read_truth(value: Any, where: str) -> bool:
    word = str(value).strip().casefold()
    if word in ("true", "1", "1.0", "false", "0", "0.0"):
        return word in ("true", "1", "1.0")
    raise ValueError(f"{where} has {ORIENTED} = {value!r}. It is true or false.")


def find_written(
    columns: Columns, row: Mapping[str, Any], given: Given, where: str
) -> WrittenLayout | None:
    """Return the layout of a row that ``convert`` wrote, which may have been edited since."""
    labelled = all(name in columns for name in (FIRST, SECOND, LABEL))
    oriented = all(name in columns for name in (CHOSEN, REJECTED))
    if labelled == oriented or (given.prompt is not None and fold(given.prompt) != PROMPT):
        return None
    if not (WEIGHT in columns or (ORIENTED in columns and labelled)):
        return None
    # Weights that the caller names are multiplied with those of a layout.
    return WrittenLayout(columns, weighted=given.weight is None)
