"""Labels: ties, and whether they follow the position or the length."""

import numpy as np
from sklearn.utils import Bunch

from sklearn_codex._categorical import FloatArray, IntArray
from sklearn_codex._tables import Table
from sklearn_codex._verdicts import Judgement, judge_share
from sklearn_codex.health._data import BoolArray, PreferenceData
from sklearn_codex.health._report import Finding, Status, find

ENOUGH = 0.2
"""Data that would miss a share of 70% in more than one case of five are too few to tell."""
FEWEST_TRIALS = 20
STATUS_OF: dict[str, Status] = {"not shown": "ok", "too few": "skipped"}
"""Of verdicts that tell no side."""


def check_ties(data: PreferenceData):
    """Count ties and soft labels; ``ties`` has their ``row`` and ``label``."""
    rows = np.flatnonzero((data.y > 0) & (data.y < 1))
    n_ties = int((~data.decided).sum())
    status: Status = "note" if rows.size else "ok"
    if n_ties == len(data):
        status = "look"
    finding = find("ties", status, n_pairs=len(data), n_ties=n_ties, n_soft=rows.size - n_ties)
    return [finding], {"ties": Table(row=rows, label=data.y[rows])}


def check_position(
    data: PreferenceData,
    units: IntArray,
    oriented: BoolArray | None = None,
    weight: FloatArray | None = None,
):
    """Tell how often the first response is preferred, of pairs that have a first one.

    Returns
    -------
    findings : list of Finding
    tables : dict
        ``position`` is as in ``measure_share``, or None.
    """
    has_first = np.ones(len(data.y), bool) if oriented is None else ~oriented
    unknown: list[Finding] = []
    if n_without := int((~has_first).sum()):
        n_with = int(has_first.sum())
        unknown = [find("no positions", "skipped", n_without=n_without, n_with=n_with)]
        if not n_with:
            return unknown, {"position": None}
    rows = data.decided & has_first & _counts(data, weight)
    n_decided = int(rows.sum())
    if n_decided < FEWEST_TRIALS:
        return [find("few decided", "skipped", n_pairs=n_decided), *unknown], {"position": None}
    test = judge_share((data.y > 0.5)[rows].astype(float), units[rows], weights=_of(weight, rows))
    measured = measure_share(test)
    if test.value in (0, 1):
        finding = find("one side", "look", side="A" if test.value else "B")
    else:
        finding = _tell("position", "look", test, test.pick("A", "B", ENOUGH), data.unit)
    return [finding, *unknown], {"position": measured}


def _counts(data, weight) -> BoolArray:
    """Tell which pairs (n_pairs,) have a weight."""
    return np.ones(len(data.y), bool) if weight is None else weight > 0


def _of(weight, rows):
    return None if weight is None else weight[rows]


def check_length(data: PreferenceData, units: IntArray, weight: FloatArray | None = None):
    """Tell how often the longer response is preferred; ``length`` is as in ``measure_share``."""
    if not data.is_text:
        return [], {"length": None}
    n_characters = np.array([len(text) for text in data.responses])
    difference = n_characters[data.a] - n_characters[data.b]  # (n_pairs,)
    used = data.decided & (difference != 0) & _counts(data, weight)
    if int(used.sum()) < FEWEST_TRIALS:
        return [find("few lengths", "skipped")], {"length": None}
    longer_won = ((difference > 0) == (data.y > 0.5)).astype(float)
    test = judge_share(longer_won[used], units[used], weights=_of(weight, used))
    finding = _tell("length", "note", test, test.pick("longer", "shorter", ENOUGH), data.unit)
    return [finding], {"length": measure_share(test)}


def _tell(kind, status_of_sides: Status, test: Judgement, verdict: str, unit) -> Finding:
    status = STATUS_OF.get(verdict, status_of_sides)
    return find(kind, status, measured=measure_share(test), verdict=verdict, unit=unit)


def measure_share(test: Judgement) -> Bunch:
    """Return a share and the test of 1/2 under the names that reports have.

    Returns
    -------
    result : Bunch
        ``n_pairs``, ``n_groups``, ``share``, the ends ``low`` and ``high`` of its 95% interval, the
        ``p_value`` of 1/2, and how far from 1/2 a share is ``detectable``; all by group.
    """
    return Bunch(
        n_pairs=test.n_pairs,
        n_groups=test.n_groups,
        share=test.value,
        low=test.low,
        high=test.high,
        p_value=test.p_value,
        detectable=test.detectable,
    )
