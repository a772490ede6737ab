"""Whether pairs that are chosen for what they tell teach more than as many at random."""

import numpy as np
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GroupKFold

from sklearn_codex._reward.ensemble import most_informative_pairs
from sklearn_codex._reward.uncertainty import RewardUncertainty
from sklearn_codex._verdicts import CROSS_FITTED, judge_mean

START = 0.25
"""Share of the prompts of a training side that are labelled before."""


def compare_choices(estimator, X, y, groups, *, n_folds, n_repeats, rng):
    """Return what a choice of pairs brings over chance, as tests of both measures by prompt.

    Models of a quarter of the prompts of a training side choose as many pairs again among the rest.
    """
    wrong, loss = np.zeros((2, len(y))), np.zeros((2, len(y)))
    n_new = []
    for _ in range(n_repeats):
        folds = GroupKFold(n_folds, shuffle=True, random_state=rng.randint(2**31 - 1))
        for train, test in folds.split(y, groups=groups):
            start, pool = _draw_start(train[y[train] != 0.5], groups, rng)
            n = min(len(start), len(pool) // 2)
            n_new.append(n)
            choices = _choose(estimator, X, y, start, pool, n), rng.permutation(len(pool))[:n]
            for way, chosen in enumerate(choices):
                rows = np.concatenate([start, pool[chosen]])
                model = clone(estimator).fit(X[rows], (y[rows] > 0.5).astype(int))
                margin = model.decision_function(X[test])
                sign = np.sign(margin) * np.sign(y[test] - 0.5)
                wrong[way, test] += (0.5 - 0.5 * sign) / n_repeats
                loss[way, test] += (
                    y[test] * np.logaddexp(0, -margin) + (1 - y[test]) * np.logaddexp(0, margin)
                ) / n_repeats
    decided = y != 0.5
    accuracy = judge_mean(
        (wrong[1] - wrong[0])[decided],
        groups[decided],
        bounds=(-1.0, 1.0),
        inflation=CROSS_FITTED,
    )
    nats = judge_mean(loss[1] - loss[0], groups, inflation=CROSS_FITTED)
    return {
        "n_new_pairs": round(float(np.mean(n_new))),
        "accuracy": accuracy._asdict(),
        "nats": nats._asdict(),
    }


def _draw_start(train, groups, rng):
    """Return the rows of some prompts, and the others."""
    order = rng.permutation(np.unique(groups[train]))
    is_start = np.isin(groups[train], order[: max(2, round(START * len(order)))])
    return train[is_start], train[~is_start]


def _choose(estimator, X, y, start, pool, n):
    target = (y[start] > 0.5).astype(int)
    reward = clone(estimator).fit(X[start], target)
    posterior = RewardUncertainty(FrozenEstimator(reward), kind="laplace").fit(X[start], target)
    return most_informative_pairs(posterior, X[pool], n=n)
