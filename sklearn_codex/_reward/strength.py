"""What a strength of the penalty is chosen by: scores of held-out pairs, and its prior."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from sklearn_codex._categorical import FloatArray
from sklearn_codex._reward.bradley_terry import pair_losses

MARGIN_VARIANCE = 4.0
"""Of the margins of pairs, before any label is seen, where the prior of C is greatest."""


def log_prior_of_C(Cs: FloatArray, size: float, scale: float) -> FloatArray:
    """Return the log-density of each C (n_Cs,), in nats, less its greatest; 0 if size is 0.

    Parameters
    ----------
    Cs : ndarray of shape (n_Cs,)
        Values of C, which is the variance of weights before any label is seen.
    size : float
        Mean squared norm of the differences of features, each column by its own penalty.
    scale : float
        Standard deviation of the decimal logarithm of C.
    """
    if not size > 0:
        return np.zeros(len(Cs))
    decades = np.log10(Cs) + np.log10(size / MARGIN_VARIANCE)
    return -0.5 * (decades / scale) ** 2


def log_prior_of_factors(factors: FloatArray, scale: float) -> float:
    """Return the log-density of factors of blocks (n_blocks,), in nats, less its greatest, at 1."""
    return float(-0.5 * np.sum((np.log10(factors) / scale) ** 2))


def average_C(log_density: FloatArray, Cs: FloatArray) -> tuple[float, float]:
    """Return the logarithm of the sum of densities, and the C whose logarithm is their mean.

    Parameters
    ----------
    log_density : ndarray of shape (n_Cs,)
        In nats; -inf of what was not tried. If nothing was, the sum is -inf.
    Cs : ndarray of shape (n_Cs,)
        Values of C.
    """
    highest = log_density.max()
    if highest == -np.inf:
        return -np.inf, Cs[0]
    weight = np.exp(log_density - highest)
    total = weight.sum()
    return highest + float(np.log(total)), float(np.exp(weight @ np.log(Cs) / total))


def climb(
    value_of: Callable[[dict[str, float]], tuple], choices: Mapping[str, Sequence[float]]
) -> tuple:
    """Return the value of the best point that is found by changing one coordinate at a time.

    Parameters
    ----------
    value_of : callable
        Takes a point, a number for each name, and returns a tuple whose first is to be greatest.
    choices : dict of sequences of float
        What each may be. It starts with the first of each, and stays where others are no better.
    """
    known: dict[tuple, tuple] = {}

    def height(point):
        key = tuple(point.values())
        if key not in known:
            known[key] = value_of(point)
        return known[key][0]

    best, before = {name: values[0] for name, values in choices.items()}, None
    while best != before:
        before = best
        for name, values in choices.items():
            best = max([best, *({**best, name: value} for value in values)], key=height)
    height(best)  # where there is nothing to choose
    return known[tuple(best.values())]


def _neg_log_loss(target, margin, weight):
    return -np.average(pair_losses(margin, target), weights=weight)


def _accuracy(target, margin, weight):
    return np.average(0.5 + (target - 0.5) * np.sign(margin), weights=weight)


def _neg_brier_score(target, margin, weight):
    proba = expit(margin)
    return -np.average(target * (1 - proba) ** 2 + (1 - target) * proba**2, weights=weight)


def _roc_auc(target, margin, weight):
    """Return the area with each pair as a positive and a negative that share its weight."""
    classes = np.repeat([1, 0], len(target))
    weights = np.concatenate([weight * target, weight * (1 - target)])
    kept = weights > 0
    return roc_auc_score(classes[kept], np.tile(margin, 2)[kept], sample_weight=weights[kept])


SCORES = {
    "neg_log_loss": _neg_log_loss,
    "accuracy": _accuracy,
    "neg_brier_score": _neg_brier_score,
    "roc_auc": _roc_auc,
}
