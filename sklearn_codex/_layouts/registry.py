"""The layouts that are known, in the order in which they are tried."""

import difflib
import shlex
from collections.abc import Callable, Mapping
from typing import Any

from sklearn_codex._layouts import (
    best,
    choices,
    nested,
    orders,
    pointers,
    ranked,
    trees,
    unpaired,
    votes,
)
from sklearn_codex._layouts.base import Columns, Layout, fold, fold_all
from sklearn_codex._layouts.forms import explain, find_columns
from sklearn_codex._layouts.given import PAIR_ROLES, Given
from sklearn_codex._layouts.known import find_known
from sklearn_codex._layouts.pairs import find_pairs
from sklearn_codex._layouts.words import is_scalar
from sklearn_codex._layouts.written import find_written

Finder = Callable[[Columns, Mapping[str, Any], Given, str], Layout | None]
"""Takes the columns of a row, the row, what the caller said, and where the row is; returns the
layout made for rows like it, None where it is another one."""

FINDERS: tuple[Finder, ...] = (find_written, find_known)
"""Layouts that are known by the names of their columns together, each before any it includes."""


RANKED: tuple[Finder, ...] = (
    *pointers.FINDERS,
    *trees.FINDERS,
    *ranked.FINDERS,
    *choices.FINDERS,
    *votes.FINDERS,
    *orders.FINDERS,
    *best.FINDERS,
    *unpaired.FINDERS,
)
"""Layouts whose rows are not one pair each; they read what the caller says themselves."""


def find_layout(columns: Columns, row: Mapping[str, Any], given: Given, where: str) -> Layout:
    """Return the layout of a row.

    Raises
    ------
    ValueError
        If there is none, or several that the columns do not tell apart.
    """
    # In the order of the file, so that errors name columns as a reader sees them.
    columns = {
        fold(name): name
        for name in row
        if isinstance(name, str) and columns.get(fold(name)) == name
    }
    given = given.part_labels(fold_all(row))
    layout = _find(columns, row, given, where)
    layout = layout or nested.find_wrapped(columns, row, given, where, _find)
    if layout is None:
        why = ranked.explain_lists(columns, row, given, where)
        why = why or unpaired.explain_one(columns, row, given, where)
        raise ValueError(why or explain(columns, row, given, where))
    return layout


def _find(columns: Columns, row: Mapping[str, Any], given: Given, where: str) -> Layout | None:
    """Return the layout of a row, None if there is none."""
    if given.response is not None:
        return unpaired.find_unpaired(columns, row, given, where)
    if given.labels:
        return find_columns(columns, row, given, where)
    exported = nested.find_exported(columns, row, given, where, _find)
    if exported is not None:
        return exported
    known = () if given.names_responses else FINDERS
    finders = (*ranked.ITEMS, *choices.LISTS, *known, *RANKED)
    for find in known if _labels_two(columns, row, given) else finders:
        layout = find(columns, row, given, where)
        if layout is not None:
            return layout
    return find_columns(columns, row, given, where)


def _labels_two(columns: Columns, row: Mapping[str, Any], given: Given) -> bool:
    """Return whether the caller names the one label of a row of two responses in columns."""
    label = columns.get(fold(given.label)) if given.label is not None else None
    if label is None or not is_scalar(row[label]):
        return False
    rest = {name: column for name, column in columns.items() if column != label}
    pairs = find_pairs(rest, row, series=False)
    return len(pairs) == 1 and not pairs[0].oriented


def check_given(
    row: Mapping[str, Any], columns: Columns, given: Given, where: str, *, is_first: bool = True
) -> None:
    """Raise where the caller names a column that a row does not have.

    Of the labels of several people rows after the first may lack some, as nobody gave them.
    """
    if is_first:
        _check_roles(given)
    labels = [name for name in given.labels if is_first or fold(name) in columns]
    labels = labels or [*given.labels[:1]]
    for role, name in (*given.columns().items(), *(("label", name) for name in labels)):
        if columns.get(fold(name)) is None and (role != "label" or not _names_key(name, columns)):
            close = difflib.get_close_matches(name, list(map(str, row)), 1, 0.6)
            meant = f" Did you mean {close[0]!r}?" if close else ""
            if role == "groups" and _are_all_columns(name, columns):
                meant = (
                    f" It names one column; {_slices_of(name, given)} compares parts by several."
                )
            elif role == "label" and given.command and "," in name:
                parts = [part.strip() for part in name.split(",")]
                lacking = [part for part in parts if fold(part) not in columns]
                meant = f" {' and '.join(map(repr, lacking))} is no column." if lacking else ""
            raise ValueError(
                f"{where} has no column {name!r}, which {given.say(role, name)} names.{meant} It "
                f"has {list(row)}."
            )


def _check_roles(given: Given) -> None:
    """Raise where the caller names one column as two of the prompt, the responses and the label."""
    taken: dict[str, str] = {}
    for role, name in given.columns().items():
        if role not in ("prompt", *PAIR_ROLES, "response"):
            continue
        other = taken.setdefault(fold(name), role)
        if other != role:
            raise ValueError(
                f"{given.say(other, name)} and {given.say(role, name)} name one column. Name two."
            )


def _are_all_columns(name: str, columns: Columns) -> bool:
    """Return whether a name is those of several columns, with commas between them."""
    parts = name.split(",")
    return len(parts) > 1 and all(fold(part.strip()) in columns for part in parts)


def _slices_of(name: str, given: Given) -> str:
    """Return how an audit is asked to compare the parts of several columns."""
    names = [part.strip() for part in name.split(",")]
    if given.command:
        return f"sklearn-codex audit --slices {shlex.quote(','.join(names))}"
    return f"slices={names} of an audit"


def _names_key(name: str, columns: Columns) -> bool:
    """Return whether a name is that of a key within the responses of a column: answers.score."""
    return "." in name and fold(name.split(".", 1)[0]) in columns
