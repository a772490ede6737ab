"""What differs from one part of the pairs to another: columns, topics of prompts, sides."""

import numpy as np

from sklearn_codex._verdicts import CROSS_FITTED, LEVEL, judge_share
from sklearn_codex.metrics._compare_slices import (
    MEASURES,
    MIN_GROUPS,
    MIN_PAIRS,
    count_equal,
    judge_slices,
    measures_of,
)
from sklearn_codex.report._audit_authors import compare_authors
from sklearn_codex.report._audit_columns import SAME, Cut, show_value
from sklearn_codex.report._audit_data import weights_of
from sklearn_codex.report._audit_predict import accuracy
from sklearn_codex.report._audit_topics import find_topics

MOST_SIDES = 12
"""Values of a side with a row of their own in the table of who is better."""


def audit_slices(data, margin, cuts, authors=None):
    """Return the figures of each slice of the pairs, tested all together.

    Parameters
    ----------
    data : AuditData
        All pairs or a sample.
    margin : ndarray of shape (n_pairs,)
        Cross-fitted log-odds of the best model.
    cuts : list of Cut
        Of all pairs of the file.
    authors : Cut, default=None
        Of them that of who wrote the responses, if it is known.

    Returns
    -------
    figures : dict
        ``level`` of the false discovery rate, ``min_pairs`` and ``min_groups`` of a slice,
        ``n_slices``, ``n_tests``, ``n_differing`` slices, the smallest ``adjusted`` p-value (None
        without a test), ``authors`` (see ``compare_authors``), ``tastes`` (None, or see
        ``audit_tastes``), and ``cuts``: ``name``, ``kind``, ``columns``, ``rows`` (see
        ``judge_slices``), ``n_too_small`` and ``sides``, None or what is known of which side is the
        better one (see ``_compare_sides``).
    """
    cuts = [cut.take(data.row_numbers) for cut in cuts]
    topics = find_topics([prompt for prompt, _, _ in data.X], data.seed)
    if topics is not None:
        cuts.append(Cut("topic of the prompt", "topics", (), (topics,)))
    weight = data.sample_weight
    measures = measures_of(
        data.y, margin, data.length_difference, weight > 0, inflation=CROSS_FITTED
    )
    sliced = [cut.slices() for cut in cuts]
    # All of them together, as the rate of false discoveries is one of all tests.
    rows, _ = judge_slices(
        [
            part._replace(name=(number, part.name))
            for number, (parts, _) in enumerate(sliced)
            for part in parts
        ],
        measures,
        data.groups,
        weight,
        level=LEVEL,
        min_pairs=MIN_PAIRS,
        min_groups=MIN_GROUPS,
    )
    tests = [test for row in rows for test in row["tests"].values()]
    return {
        "level": LEVEL,
        "min_pairs": MIN_PAIRS,
        "min_groups": MIN_GROUPS,
        "n_slices": len(rows),
        "n_tests": len(tests),
        "n_differing": sum(any(t["differs"] for t in row["tests"].values()) for row in rows),
        "authors": compare_authors(data, authors),
        "tastes": None,
        "adjusted": min((test["adjusted"] for test in tests), default=None),
        "cuts": [
            _describe(data, margin, cut, rows, number, *sliced[number])
            for number, cut in enumerate(cuts)
        ],
    }


def _describe(data, margin, cut, rows, number, parts, n_few):
    own = [row for row in rows if row["slice"][0] == number]
    return {
        "name": cut.name,
        "kind": cut.kind,
        "columns": list(cut.columns),
        "rows": [
            _plain(row) | {"is_same": cut.kind == "sides" and row["slice"][1] == SAME}
            for row in own
        ],
        "n_too_small": n_few + len(parts) - len(own),
        "sides": _compare_sides(data, margin, cut) if cut.has_sides else None,
    }


def _plain(row):
    figures = {name: _ends(row[name]) for name in MEASURES if name in row}
    sizes = {"slice": row["slice"][1], "n_pairs": row["n_pairs"], "n_groups": row["n_groups"]}
    return sizes | figures | {"tests": row["tests"]}


def _ends(test):
    names = ("value", "low", "high", "n_pairs", "n_groups")
    return None if test is None else {name: getattr(test, name) for name in names}


def _compare_sides(data, margin, cut):
    """Return, for each value, how labels and the model treat it where one side alone has it.

    Returns
    -------
    rows : list of dict
        ``value``, ``n_pairs``, the shares in which it is ``better`` by label and in which the model
        ``prefers`` it, and the accuracies ``where_better`` has it and ``where_worse`` has it; those
        of too few pairs are left out, and None is a figure of no pair.
    """
    found = []
    levels = cut.levels()
    for level in sorted(levels, key=lambda level: -levels[level])[:MOST_SIDES]:
        a, b = (values == level for values in cut.values)
        rows = data.decided & (a != b)
        if (
            rows.sum() < MIN_PAIRS
            or count_equal(data.groups[rows], data.sample_weight[rows]) < MIN_GROUPS
        ):
            continue
        side = np.where(a, 1.0, -1.0)
        lean, prefers = np.sign(data.y - 0.5) * side, np.sign(margin) * side
        found.append(
            {
                "value": show_value(level),
                "n_pairs": int(rows.sum()),
                "better": _share(data, lean, rows),
                "prefers": _share(data, prefers, rows, inflation=CROSS_FITTED),
                "where_better": _accuracy(data, margin, rows & (lean > 0)),
                "where_worse": _accuracy(data, margin, rows & (lean < 0)),
            }
        )
    return found


def _share(data, sign, rows, **options):
    test = judge_share(
        0.5 + 0.5 * sign[rows], data.groups[rows], weights=weights_of(data, rows), **options
    )
    return test._asdict()


def _accuracy(data, margin, rows):
    return accuracy(data, margin, rows) if rows.any() else None
