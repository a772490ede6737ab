"""Pairs that occur more than once, and those whose labels contradict each other."""

import numpy as np

from sklearn_codex._tables import Table
from sklearn_codex.health._data import BoolArray, PreferenceData, first_rows
from sklearn_codex.health._report import Finding, Status, find


def check_repeats(data: PreferenceData, oriented: BoolArray):
    """Find repeated pairs and contradictory labels.

    Of pairs that are ``oriented`` it is not said which of two copies are exchanged: they are the
    same two texts, chosen and rejected.

    Returns
    -------
    findings : list of Finding
    tables : dict
        ``duplicates``: ``row``, the ``first`` row of the same pair, whether it is ``swapped``.
        ``contradictions``: ``row``, the ``first`` row of the same pair, and the ``label`` given to
        the order that this first row has.
    """
    first = first_rows(data.pair)[data.pair]  # (n_pairs,)
    swapped = data.forward != data.forward[first]
    label = np.where(swapped, 1 - data.y, data.y)
    n_codes = data.pair.max() + 1
    for_one = np.bincount(data.pair, label > 0.5, n_codes) > 0
    for_other = np.bincount(data.pair, label < 0.5, n_codes) > 0
    opposed = (for_one & for_other)[data.pair] & ~data.identical
    repeated = (first != np.arange(len(data))) & ~opposed
    tables = {
        "duplicates": Table(
            row=np.flatnonzero(repeated), first=first[repeated], swapped=swapped[repeated]
        ),
        "contradictions": Table(
            row=np.flatnonzero(opposed), first=first[opposed], label=label[opposed]
        ),
    }
    findings = [
        _judge_repeats(data, tables["duplicates"], oriented),
        _judge_contradictions(data, tables["contradictions"]),
    ]
    return findings, tables


def _status(n: int, is_text: bool) -> Status:
    """Say how bad n rows are: different texts can have the same feature difference."""
    if not n:
        return "ok"
    return "look" if is_text else "note"


def _judge_repeats(data, found, oriented) -> Finding:
    n = found.row.size
    has_sides = ~(oriented[found.row] | oriented[found.first])
    return find(
        "repeats",
        _status(n, data.is_text),
        found.row,
        "duplicates",
        n=n,
        share=n / len(data),
        n_swapped=int(found.swapped[has_sides].sum()) if has_sides.any() or not n else None,
        is_text=data.is_text,
    )


def _judge_contradictions(data, found) -> Finding:
    n = found.row.size
    return find(
        "contradictions",
        _status(n, data.is_text),
        found.row,
        "contradictions",
        n_pairs=np.unique(found.first).size,
        n_rows=n,
    )
