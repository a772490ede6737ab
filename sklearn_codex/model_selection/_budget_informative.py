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


def fit_margins(estimator, X, y, rows, test):
    """Return the margins of test rows by a model of rows, 0 where these have one label only."""
    rows = rows[y[rows] != 0.5]
    target = (y[rows] > 0.5).astype(int)
    if len(np.unique(target)) < 2:  # the few there are tell nothing
        return np.zeros(len(test))
    return clone(estimator).fit(X[rows], target).decision_function(X[test])


def compare_choices(estimator, X, y, groups, *, n_folds, n_repeats, rng, most=None):
    """Return what a choice of pairs brings over chance, as tests of both measures by prompt.

    Models of a quarter of the prompts of a training side choose as many pairs again among the rest,
    but no more than ``most``.
    """
    wrong, loss = np.zeros((2, len(y))), np.zeros((2, len(y)))
    n_new = []
    for _ in range(n_repeats):
        folds = GroupKFold(n_folds, shuffle=True, random_state=rng.randint(2**31 - 1))
        for train, test in folds.split(y, groups=groups):
            start, pool = _draw_start(train[y[train] != 0.5], groups, rng)
            n = min(len(start), len(pool) // 2, len(pool) if most is None else most)
            n_new.append(n)
            by_chance = rng.permutation(len(pool))[:n]
            choices = _choose(estimator, X, y, start, pool, n, by_chance), by_chance
            for way, chosen in enumerate(choices):
                rows = np.concatenate([start, pool[chosen]])
                margin = fit_margins(estimator, X, y, rows, test)
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


def _choose(estimator, X, y, start, pool, n, by_chance):
    """Return the pairs that tell most, those by chance where no model says which these are."""
    target = (y[start] > 0.5).astype(int)
    if len(np.unique(target)) < 2:
        return by_chance
    reward = clone(estimator).fit(X[start], target)
    posterior = RewardUncertainty(FrozenEstimator(reward), kind="laplace").fit(X[start], target)
    return most_informative_pairs(posterior, X[pool], n=n)
