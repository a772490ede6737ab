"""Which pairs of a large file the models of the audit learn from."""

import math

import numpy as np
from sklearn.utils import check_random_state

LARGE_GROUPS = 100
"""Groups of more than this part of the sample are not drawn whole."""
SMALLEST_LARGE = 50  # pairs
ON_ALL = ("sizes", "health", "leakage", "human_ceiling", "labels_to_check", "length.longer_wins")
ON_SAMPLE = (
    "prediction",
    "learning_curve",
    "length",
    "tokens",
    "form",
    "slices",
    "examples",
    "policy",
    "pairs_to_label",
)


def draw_sample(data, max_pairs):
    """Return the pairs that models learn from, and what is told of the draw.

    Each pair is drawn with the same probability, so what is computed on the sample is an estimate
    without bias of what all pairs would give. Groups are drawn whole, but for groups of more than a
    hundredth of the sample: of each of these the same share of the pairs is drawn.

    Parameters
    ----------
    data : AuditData
        All pairs.
    max_pairs : int
        About as many are drawn, more only where so few say nothing of new prompts; 0 is all.

    Returns
    -------
    sample : AuditData
        ``data`` itself where there are no more pairs than that.
    sampled : dict or None
        ``max_pairs``, ``n_pairs`` and ``n_groups`` drawn ``of_pairs`` and ``of_groups``, the number
        of groups that are not drawn whole, and the names of the figures that are computed on the
        sample and on all pairs; None without a sample.
    """
    n_pairs = len(data.y)
    wanted = max_pairs or n_pairs
    while wanted < n_pairs:
        rows, n_torn = draw_rows(data.groups, wanted, data.seed)
        sample = data.take(rows)
        if sample.is_large_enough:
            return sample, {
                "max_pairs": max_pairs,
                "n_pairs": len(rows),
                "of_pairs": n_pairs,
                "n_groups": sample.n_groups,
                "of_groups": data.n_groups,
                "n_groups_in_part": n_torn,
                "on_sample": [*ON_SAMPLE, *["embeddings"] * (data.vectors is not None)],
                "on_all": list(ON_ALL),
            }
        wanted *= 2
    return data, None


def draw_rows(groups, n_wanted, seed):
    """Return about as many rows, by group, and the number of groups that are drawn in part.

    Parameters
    ----------
    groups : ndarray of int of shape (n_pairs,)
        Codes from 0, all of which occur.
    n_wanted : int
        Fewer than there are pairs.
    seed : int
        Of the draw.
    """
    rng = check_random_state(seed)
    share = n_wanted / len(groups)
    sizes = np.bincount(groups)
    is_large = sizes > max(n_wanted // LARGE_GROUPS, SMALLEST_LARGE)
    small = np.flatnonzero(~is_large)
    n_kept = np.zeros(len(sizes), dtype=np.intp)  # pairs of each group
    n_kept[is_large] = np.ceil(share * sizes[is_large])
    drawn = rng.permutation(small)[: math.ceil(share * len(small))]
    n_kept[drawn] = sizes[drawn]
    # The first pairs of each group in an order by chance.
    order = np.lexsort((rng.uniform(size=len(groups)), groups))
    starts = np.cumsum(sizes) - sizes
    rank = np.empty(len(groups), dtype=np.intp)
    rank[order] = np.arange(len(groups)) - starts[groups[order]]
    return np.flatnonzero(rank < n_kept[groups]), int(is_large.sum())


def add_effect(sampled, prediction):
    """Add the half width of the interval of the best model's accuracy, and about that of all."""
    if sampled is None or prediction is None:
        return sampled
    test = prediction["models"][prediction["best"]]["accuracy"]
    half_width = (test["high"] - test["low"]) / 2
    share = sampled["n_pairs"] / sampled["of_pairs"]
    return sampled | {
        "half_width": half_width,
        # Prompts that are drawn in part are no fewer than those of all.
        "half_width_of_all": half_width * math.sqrt(share),
    }
