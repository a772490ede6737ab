"""Whether those who wrote the responses, such as models, differ."""

import warnings

import numpy as np

from sklearn_codex import ModelRatings
from sklearn_codex._verdicts import LEVEL
from sklearn_codex.metrics._compare_slices import MIN_GROUPS, MIN_PAIRS, count_equal
from sklearn_codex.report._audit_columns import find_sides

NAMES = ("model", "generator", "system", "author")
"""What two columns have in common in their names, where they tell who wrote the responses."""
MOST_AUTHORS = 100
"""Of more, ``sklearn-codex rate`` tells alone: all differences of two are drawn together."""


def find_authors(pairs):
    """Return the cut of the two columns of who wrote the responses, None where there are none."""
    cuts, _ = find_sides(pairs)
    return next((cuts[name] for name in NAMES if name in cuts and cuts[name].has_sides), None)


def compare_authors(data, authors):
    """Return how many differences of two authors are sure, all tested together.

    Parameters
    ----------
    data : AuditData
        All pairs or a sample.
    authors : Cut or None
        As from ``find_authors``, of all pairs of the file.

    Returns
    -------
    figures : dict or None
        The ``name`` of what an author is, ``columns``, ``n_authors``, ``n_pairs`` of two authors,
        ``n_tests`` and of these ``n_differing``; the ``better`` and the ``worse`` of the surest
        difference, its ``p_value`` that holds for all together, and the ``level``. None where the
        pairs are too few, or the authors too many.
    """
    if authors is None:
        return None
    names = np.column_stack(authors.take(data.row_numbers).values)
    rows = np.array([None not in pair and pair[0] != pair[1] for pair in names.tolist()])
    rows &= data.sample_weight > 0
    if rows.sum() < MIN_PAIRS or not data.decided[rows].any():
        return None
    groups, weight, names = data.groups[rows], data.sample_weight[rows], names[rows].astype(str)
    n_authors = len(np.unique(names))
    if n_authors > MOST_AUTHORS or count_equal(groups, weight) < MIN_GROUPS:
        return None
    model = ModelRatings(confidence_level=1 - LEVEL, random_state=data.seed)
    with warnings.catch_warnings():  # who has won all, or met nobody, is not told from others
        warnings.simplefilter("ignore", UserWarning)
        model.fit(names, data.y[rows], sample_weight=weight, groups=groups)
    found = model.comparisons()
    return {
        "name": authors.name,
        "columns": list(authors.columns),
        "n_authors": n_authors,
        "n_pairs": int(rows.sum()),
        "n_tests": len(found.p_adjusted),
        "n_differing": int((found.p_adjusted < LEVEL).sum()),
        "better": str(found.model_a[0]),
        "worse": str(found.model_b[0]),
        "p_value": float(found.p_adjusted.min()),
        "level": LEVEL,
    }
