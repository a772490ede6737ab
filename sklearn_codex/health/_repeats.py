"""Pairs that occur more than once, and those whose labels contradict each other."""

import numpy as np

from sklearn_codex._tables import Table
from sklearn_codex.health._data import PreferenceData, first_rows
from sklearn_codex.health._report import Finding, count, percent

SECTION = "Pairs"


def check_repeats(data: PreferenceData):
    """Find repeated pairs and contradictory labels.

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
    findings = [_judge_repeats(data, tables), _judge_contradictions(data, tables)]
    return findings, tables


def _judge_repeats(data, tables) -> Finding:
    rows = tables["duplicates"].row
    what = "pair" if data.is_text else "row of X"
    if not rows.size:
        return Finding(SECTION, "ok", f"No {what} occurs twice.")
    n_swapped = int(tables["duplicates"].swapped.sum())
    text = (
        f"{count(rows.size, what, what.replace('row', 'rows') if 'X' in what else '')} "
        f"({percent(rows.size / len(data))}) {'repeats' if rows.size == 1 else 'repeat'} an "
        f"earlier one, {n_swapped or 'none'} of them with A and B exchanged. "
    )
    if not data.is_text:
        text += "Different texts can have the same feature difference."
        return Finding(SECTION, "note", text, rows, "duplicates")
    text += "Each copy weighs as much as a pair of its own: drop it, or, where several "
    text += "annotators judged the pair, give it their mean as a soft label."
    return Finding(SECTION, "look", text, rows, "duplicates")


def _judge_contradictions(data, tables) -> Finding:
    found = tables["contradictions"]
    if not found.row.size:
        return Finding(SECTION, "ok", "No pair has both labels.")
    n_pairs = np.unique(found.first).size
    text = (
        f"{count(n_pairs, 'pair')} {'has' if n_pairs == 1 else 'have'} opposite labels in "
        f"different rows ({count(found.row.size, 'row')}). No model can be right on both: "
        "relabel them, or give each pair once with the mean as a soft label."
    )
    return Finding(SECTION, "look" if data.is_text else "note", text, found.row, "contradictions")
