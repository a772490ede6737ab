"""From rows of any layout to arrays of pairs."""

import reprlib
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from contextlib import suppress
from numbers import Real
from typing import Any

import numpy as np
from sklearn.utils import Bunch

from sklearn_codex._bunch import DataBunch
from sklearn_codex._categorical import FloatArray, IntArray
from sklearn_codex._checks.frames import is_missing
from sklearn_codex._conversations.prefixes import shared_prefix_marker
from sklearn_codex._conversations.split import split_pair
from sklearn_codex._labels.conventions import SCORE_CONVENTIONS
from sklearn_codex._labels.conventions import fold as fold_label
from sklearn_codex._labels.resolve import Resolved, resolve_labels
from sklearn_codex._labels.texts import sides_of_texts
from sklearn_codex._labels.words import says_both_bad
from sklearn_codex._layouts.agreement import compare_with_scores
from sklearn_codex._layouts.base import Comparison, Form, Layout, fold
from sklearn_codex._layouts.given import DROP, Given, part_dropped
from sklearn_codex._layouts.prompts import PromptColumns
from sklearn_codex._layouts.ranking import plural
from sklearn_codex._layouts.registry import check_given, find_layout
from sklearn_codex._layouts.roles import roles_of
from sklearn_codex._layouts.unused import (
    cut_note,
    exchange_notes,
    few_note,
    group_columns,
    prompt_notes,
    same_start_note,
    text_columns,
)

Row = Mapping[str, Any]

GREATEST_WEIGHT = 1e100
"""A greater one floats cannot square and add up."""


class PairReader:
    """Collects the pairs of rows.

    Parameters
    ----------
    given : Given
        What the caller says about the columns.
    place : str
        What errors call the file; what follows it in ``where`` is the place within the file.
    """

    def __init__(self, given: Given, place: str):
        self.given, self.place = part_dropped(given), place
        self.layouts: list[Layout] = []
        self.n_rows = 0
        # Rows with values in the same columns have the same layout, so it is found once.
        self._layout_of: dict[tuple[str, ...], Layout] = {}
        self._texts: dict[str, str] = {}  # one object for each distinct text
        self._forms: dict[Form, list[int]] = {}
        self._prompts: list[str] = []
        self._firsts: list[str] = []
        self._seconds: list[str] = []
        self._labels: list[Any] = []
        self._bad: list[bool] = []
        self._weights: list[float] = []
        self._annotators: list[Any] = []
        self._keys: list[Hashable] = []
        self._where: list[str] = []
        self._others: dict[str, list] = {}
        self._n_reasoning = 0
        self._blank: list[str] = []  # where rows without any value are
        self._dropped: list[str] = []  # where labels are that the caller leaves out
        self._empty: list[str] = []  # where pairs with an empty response are

    def read(self, rows: Iterable[tuple[str, Row]], *, source: str) -> Bunch:
        """Return the pairs of all rows, as ``read_preferences`` does."""
        for where, row in rows:
            if is_blank(row):
                self._blank.append(_within(where, self.place))
                continue
            self.n_rows += 1
            present = {str(name): name for name in row if not is_missing(row[name])}
            key = tuple(present)
            layout = self._layout_of.get(key) or self._find(key, row, where)
            for comparison in layout.read(row, where):
                self._add(comparison, row if comparison.row is None else comparison.row, layout)
        for layout in self.layouts:
            for comparison in layout.finish():
                self._add(comparison, comparison.row or {}, layout)
        if not self._where:
            raise ValueError(self._nothing())
        return self._bunch(source)

    def _nothing(self) -> str:
        notes = " ".join(note for layout in self.layouts for note in layout.notes)
        if self._dropped:
            notes = f"The convention drops the labels of {len(self._dropped):,} of them. {notes}"
        if self.n_rows:
            return f"{self.place} has {self.n_rows} rows and no pair. {notes}".rstrip()
        blank = f" but {plural(len(self._blank), 'row')} without any value" if self._blank else ""
        return f"{self.place} has no record{blank}. Pass at least one."

    def _find(self, key: tuple[str, ...], row: Row, where: str) -> Layout:
        """Return the layout of rows with values in these columns, found or known."""
        if not row:
            raise ValueError(
                f"{where} has no preference: it is an empty record, without a name or a value. "
                "Fill it in, or leave it out."
            )
        names = {fold(name): name for name in reversed(list(row))}
        self.given = self.given.part_labels(names)
        check_given(row, names, self.given, where, is_first=not self.layouts)
        columns = {fold(name): name for name in reversed(key)}
        self._check_complete(key, row, where)
        layout = find_layout(columns, row, self.given, where)
        self._keep_prompt(layout, row, key)
        for name, n in Counter(map(fold, key)).items():
            if n > 1 and columns[name] in layout.used:
                same = [column for column in key if fold(column) == name]
                raise ValueError(f"{where} has {n} columns of one name: {same}. Rename one.")
        for known in self.layouts:
            if known.covers(layout):
                known.used |= layout.used
                layout = known
        if layout not in self.layouts:
            self.layouts.append(layout)
        return self._layout_of.setdefault(key, layout)

    def _keep_prompt(self, layout: Layout, row: Row, key: tuple[str, ...]) -> None:
        """Take no other column for the prompt in a row that lacks the one that rows before have."""
        prompt = getattr(layout, "prompt", None)
        if not isinstance(prompt, PromptColumns) or not prompt.main:
            return
        for known in self.layouts:
            before = getattr(known, "prompt", None)
            if not isinstance(before, PromptColumns) or before.main not in row:
                continue
            if before.main not in key and prompt.main not in known.used:
                layout.used -= prompt.used
                layout.notes[:] = [note for note in layout.notes if note != prompt.describe()]
                layout.prompt = PromptColumns()  # type: ignore[attr-defined]

    def _check_complete(self, key, row, where):
        """Raise where a row lacks the value of a response or a label that rows before it have."""
        for form in self._forms:
            needed = [name for name in (form.first, form.second, form.label) if name in row]
            missing = [name for name in needed if name not in key]
            if 0 < len(missing) < len(needed):
                raise ValueError(
                    f"{where} has no {' and no '.join(missing)}, which the rows before have. Fill "
                    "it in, or leave the row out."
                )

    def _add(self, comparison: Comparison, row: Row, layout: Layout) -> None:
        form, where = comparison.form, comparison.where
        if form.label and self.given.dropped and fold_label(comparison.label) in self.given.dropped:
            self._dropped.append(_within(where, self.place))
            return
        split = split_pair(
            comparison.prompt,
            comparison.first,
            comparison.second,
            ("the prompt", form.first, form.second),
            where,
        )
        position = len(self._where)
        self._forms.setdefault(form, []).append(position)
        same = self._texts.setdefault
        self._prompts.append(same(split.prompt or "", split.prompt or ""))
        self._firsts.append(same(split.first, split.first))
        self._seconds.append(same(split.second, split.second))
        self._n_reasoning += split.reasoning
        if not split.first.strip() or not split.second.strip():
            self._empty.append(_within(where, self.place))
        self._labels.append(comparison.label)
        self._bad.append(comparison.both_bad)
        self._weights.append(comparison.weight * self._weight_of(row, where))
        annotator = self._given_value("annotator", row, comparison.annotator)
        self._annotators.append(None if is_nothing(annotator) else annotator)
        self._where.append(_within(where, self.place))
        self._keys.append(self._given_value("groups", row, None))
        self._add_others(row, layout.used, position)

    def _given_value(self, role: str, row: Row, default: Any) -> Any:
        """Return the value of a column that the caller names."""
        name = getattr(self.given, role)
        if name is None:
            return default
        return next((row[key] for key in row if fold(key) == fold(name)), None)

    def _weight_of(self, row: Row, where: str) -> float:
        if self.given.weight is None:
            return 1.0
        value = self._given_value("weight", row, None)
        with suppress(TypeError, ValueError, OverflowError):
            if 0 <= (weight := float(value)) <= GREATEST_WEIGHT:
                return weight
        raise ValueError(
            f"{where} has {self.given.weight} = {reprlib.repr(value)}. A weight is a number from 0 "
            f"to {GREATEST_WEIGHT:g}; leave out rows that should not count."
        )

    def _add_others(self, row: Row, used: frozenset[str], position: int) -> None:
        """Append the values of the columns that are not used, filling up rows that had none."""
        for name in row:
            if str(name) not in used:
                values = self._others.setdefault(str(name), [])
                values.extend([None] * (position - len(values)))
                values.append(None if is_missing(row[name]) else row[name])

    def _bunch(self, source: str) -> Bunch:
        n = len(self._where)
        self._drop_empty_columns()
        cut = self._cut_templates()
        y, weight, conventions = self._read_labels()
        columns = {name: _as_array(values, n) for name, values in self._others.items()}
        scores = compare_with_scores(columns, self._forms.items(), y)
        swapped = self._swap_oriented(y)
        notes = exchange_notes(self._others, swapped.tolist())
        notes += prompt_notes(self._prompts, self._others, self.given)
        notes += cut
        if not any(self._prompts) and not cut:
            notes += filter(None, [same_start_note(self._firsts, self._seconds, self.given)])
        notes += [note for layout in self.layouts for note in layout.notes] + conventions
        if self._n_reasoning:
            notes.append(f"{self._n_reasoning} pairs have reasoning, kept before the answer.")
        notes += _counted("pair", "with an empty response", self._empty)
        notes += _counted("row", "left out, as the convention drops their labels", self._dropped)
        notes += _counted("row", "without any value, left out", self._blank)
        X = np.empty((n, 3), dtype=object)
        X[:, 0], X[:, 1], X[:, 2] = self._prompts, self._firsts, self._seconds
        return DataBunch(
            X=X,
            y=y,
            both_bad=np.array(self._bad, dtype=bool),
            groups=_code(self._group_keys()),
            n=n,
            columns=columns,
            source=source,
            sample_weight=weight,
            annotator=_as_objects(self._annotators, n),
            where=_as_objects(self._where, n),
            oriented=swapped,
            layout=", ".join(dict.fromkeys(layout.name for layout in self.layouts)),
            n_rows=self.n_rows,
            notes=notes,
            unused_text=text_columns(self._others),
            unused_keys=group_columns(self._others),
            roles=roles_of(self.layouts, self._forms),
            scores=scores,
        )

    def _drop_empty_columns(self) -> None:
        """Leave out columns of rows that lacked what was read in others."""
        for name in {name for layout in self.layouts for name in layout.used & self._others.keys()}:
            if all(value is None for value in self._others[name]):
                del self._others[name]

    def _cut_templates(self) -> list[str]:
        """Take prompts out of texts that end them all in one way, where there is no other.

        Return a note on that, or on too few pairs to do so.
        """
        if any(self._prompts):
            return []
        cuts = shared_prefix_marker(self._firsts, self._seconds)
        if cuts is None:
            few = shared_prefix_marker(self._firsts, self._seconds, fewest=2)
            return few_note(self._firsts, few, self.given)
        notes = cut_note(self._firsts, cuts)
        for row, cut in enumerate(cuts):
            self._prompts[row] = self._firsts[row][:cut].strip()
            self._firsts[row] = self._firsts[row][cut:].strip()
            self._seconds[row] = self._seconds[row][cut:].strip()
        return notes

    def _read_labels(self) -> tuple[FloatArray, FloatArray, list[str]]:
        """Return P(first) and the weight of each pair, and how labels were read."""
        y, weight = np.empty(len(self._where)), np.array(self._weights)
        notes = []
        for form, rows in self._forms.items():
            if not form.label:
                y[rows] = [self._labels[row] for row in rows]
                continue
            resolved = self._resolve(form, rows)
            y[rows] = resolved.probability
            for row in rows:
                label = self._labels[row]
                self._bad[row] = y[row] == 0.5 and isinstance(label, str) and says_both_bad(label)
            if resolved.weight is not None:
                weight[rows] *= resolved.weight
            note = f"{resolved.read_as}; {_shares(resolved.probability, form)}."
            if resolved.convention == "probability" and self.given.convention is None:
                other = self.given.say("convention", "index")
                note += f" If a label of 0 is for {form.first}, say {other}."
            notes.append(note)
        understood = any(form.label for form in self._forms) or any(
            layout.reads_convention or self._has_direction(layout) for layout in self.layouts
        )
        told = self.given.convention or (DROP if self.given.dropped else None)
        if told is not None and not understood:
            raise ValueError(
                f"{self.place} has no column of labels, so that a convention has no "
                f"meaning: leave out {self.given.say('convention', str(told))}."
            )
        return y, weight, notes

    def _resolve(self, form: Form, rows: list[int]) -> Resolved:
        """Return what the labels of some rows mean, which may be the texts of the better ones."""
        labels = [self._labels[row] for row in rows]
        wheres = [self._whole(self._where[row]) for row in rows]
        texts = [[of[row] for row in rows] for of in (self._firsts, self._seconds)]
        by_text = None if self.given.convention else sides_of_texts(labels, *texts)

        def resolve(values: list) -> Resolved:
            return resolve_labels(
                values,
                wheres,
                column=form.label,
                first=form.first,
                second=form.second,
                convention=self.given.convention,
                usual=form.convention,
                say=self.given.say,
            )

        if by_text is None:
            return resolve(labels)
        sides = np.where(by_text == 0.5, "tie", np.where(by_text == 1, form.first, form.second))
        try:
            resolved = resolve(labels)
        except ValueError:
            return resolve(sides.tolist())
        turned = (by_text - 0.5) * (resolved.probability - 0.5) < 0
        if not turned.any():
            return resolved
        row = int(turned.argmax())
        by_name = "names" if resolved.convention == "words" else resolved.convention
        one, other = (form.first, form.second) if by_text[row] else (form.second, form.first)
        raise ValueError(
            f"{wheres[row]}: {form.label} = {labels[row]!r} can mean two things: that {other} is "
            f"better, as {labels[row]!r} names it, or that {one} is, which has that text. Write "
            f"{form.first} or {form.second}, or say what labels mean with "
            f"{self.given.say('convention', by_name)}."
        )

    def _has_direction(self, layout: Layout) -> bool:
        """Return whether a layout has scores of which the caller says which are better."""
        is_direction = self.given.convention in (*SCORE_CONVENTIONS,)
        verdict = getattr(layout, "verdict", None)
        is_scored = getattr(layout, "score", None) is not None
        return is_direction and (is_scored or getattr(verdict, "kind", "") == "scores")

    def _whole(self, where: str) -> str:
        """Return where something is with the file before it."""
        return where if where.startswith(self.place) else f"{self.place}, {where}"

    def _swap_oriented(self, y: FloatArray) -> np.ndarray:
        """Exchange every second oriented pair so that both classes occur; tell which are such."""
        oriented = np.zeros(len(y), dtype=bool)
        for form, rows in self._forms.items():
            oriented[rows] = form.oriented
        for row in np.flatnonzero(oriented)[1::2]:
            first = self._firsts[row]
            self._firsts[row], self._seconds[row] = self._seconds[row], first
            y[row] = 1 - y[row]
        return oriented

    def _group_keys(self) -> list[Hashable]:
        """Return what pairs of one group share."""
        if self.given.groups is None:
            return [" ".join(text.split()) or row for row, text in enumerate(self._prompts)]
        for where, key in zip(self._where, self._keys, strict=True):
            if is_nothing(key):
                raise ValueError(
                    f"{self._whole(where)} has no value in the column of the groups, "
                    f"{self.given.groups!r}. Every pair needs one."
                )
        return [key if isinstance(key, Hashable) else repr(key) for key in self._keys]


def is_blank(row: Row) -> bool:
    """Return whether a row has nothing in any column, as spreadsheets write after their data."""
    return bool(row) and all(map(is_nothing, row.values()))


def is_nothing(value: Any) -> bool:
    """Return whether a cell has no value, as CSV can say by a blank alone."""
    return is_missing(value) or (isinstance(value, str) and not value.strip())


def _counted(unit: str, what: str, places: list[str]) -> list[str]:
    """Return a note on how many there are of something and where the first are."""
    if not places:
        return []
    more = ", ..." if len(places) > 3 else "."
    return [f"{plural(len(places), unit)} {what}: {', '.join(places[:3])}{more}"]


def _within(where: str, place: str) -> str:
    """Return where in a file something is, of where it is with the file before it."""
    return where.removeprefix(f"{place}, ").removeprefix(f"{place}: ")


def _shares(probability: FloatArray, form: Form) -> str:
    """Return for how many pairs each response is the better one."""
    n_first, n_second = int((probability > 0.5).sum()), int((probability < 0.5).sum())
    shares = f"{n_first:,} for {form.first}, {n_second:,} for {form.second}"
    n_ties = len(probability) - n_first - n_second
    return f"{shares}, {n_ties:,} tie{'s' * (n_ties > 1)}" if n_ties else shares


def _as_array(values: list, n: int) -> np.ndarray:
    """Return a column as numbers where all values are, else as objects."""
    values.extend([None] * (n - len(values)))
    if all(isinstance(value, (Real, np.bool_)) for value in values):
        with suppress(OverflowError):  # no float is as large as an int can be
            return np.array(values)
    return _as_objects(values, n)


def _as_objects(values: list, n: int) -> np.ndarray:
    column = np.empty(n, dtype=object)
    for row, value in enumerate(values):  # not at once: lists of one length would be an array
        column[row] = value
    return column


def _code(keys: list[Hashable]) -> IntArray:
    """Return the index (n,) of each key in the order in which they first occur."""
    index: dict[Hashable, int] = {}
    return np.array([index.setdefault(key, len(index)) for key in keys], dtype=np.intp)
