"""What is preferred within single kinds of pair, where all pairs together show nothing."""

import numpy as np
from scipy import sparse
from sklearn.utils import check_random_state

from sklearn_codex._verdicts import LEVEL, judge_columns
from sklearn_codex.report._audit_preferred import N_FLIPS, coin_totals

MIN_DIFFERING = 10
"""Pairs of a kind that differ in a word for it to be tested."""


def audit_tastes(data, cuts):
    """Return the kinds in which preferred responses have more, or less, of some word.

    Tastes that are opposite in two kinds of pair cancel in a model of all pairs. Each word is
    counted by itself within each kind, and all of them are tested together, by flips of whole
    prompts: no model is fitted.

    Parameters
    ----------
    data : AuditData
        All pairs or a sample.
    cuts : list of Cut
        Of all pairs of the file; those of a column are looked at.

    Returns
    -------
    figures : dict or None
        ``n_candidates`` words of kinds, the smallest ``p_value`` and ``kinds``, those with a word
        beyond chance: ``column``, ``kind``, ``n_pairs`` and the ``words``, the surest first, each
        with ``+`` or ``-``. None where there is nothing to test.
    """
    words = sparse.csr_array(data.words)
    totals, of_column = [], []
    for cut in (cut.take(data.row_numbers) for cut in cuts if cut.kind == "column"):
        for part in cut.slices()[0]:
            rows = part.inside & data.decided
            D = sparse.csr_array(words.multiply(rows[:, np.newaxis]))
            tested = np.flatnonzero(np.diff(sparse.csc_array(D).indptr) >= MIN_DIFFERING)
            totals.append(coin_totals(data, D[:, tested]))
            of_column += [(cut.name, part.name, int(rows.sum()), token) for token in tested]
    if not of_column:
        return None
    found = judge_columns(np.hstack(totals), rng=check_random_state(data.seed), n_flips=N_FLIPS)
    return {
        "n_candidates": len(of_column),
        "p_value": float(found.p_value.min()),
        "kinds": _kinds(data, of_column, found),
    }


def _kinds(data, of_column, found):
    kinds: dict[tuple, list[str]] = {}
    for i in np.argsort(found.p_value, kind="stable"):
        if found.p_value[i] < LEVEL:
            *kind, token = of_column[i]
            sign = "+" if found.sign[i] > 0 else "-"
            kinds.setdefault(tuple(kind), []).append(f"{sign}{data.tokens[token]}")
    return [
        {"column": column, "kind": kind, "n_pairs": n_pairs, "words": words}
        for (column, kind, n_pairs), words in kinds.items()
    ]
