r"""How many labels are the wrong way round, from margins that were predicted without them.

With z the margins over their standard deviation, P(A) = e + (1 - 2 e) sigmoid(t z): a Bradley-Terry
label, given the wrong way round with probability e. Confidence t and flip rate e are the maximum
likelihood estimates.
"""

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit
from scipy.stats import chi2

from sklearn_codex._categorical import FloatArray, IntArray

MAX_FLIP_RATE = 0.3
"""Beyond this, flipped labels cannot be told from labels that follow another rule."""
LOG_SLOPES = (-5.0, 5.0)


class Noise(NamedTuple):
    """Estimated label noise.

    Parameters
    ----------
    flip_rate : float
        Estimated probability e that a label is the wrong way round.
    p_value : float
        Of e = 0, by the likelihood ratio, whose limit at this boundary is half a chi-square of one
        degree of freedom, divided by the variance inflation of groups that err together.
    probability : ndarray of shape (n_pairs,)
        sigmoid(t z), P(A preferred) before any flip.
    p_wrong : ndarray of shape (n_pairs,)
        Probability that the label given was flipped, by Bayes' rule.
    """

    flip_rate: float
    p_value: float
    probability: FloatArray
    p_wrong: FloatArray


def estimate_noise(margins: FloatArray, y: FloatArray, groups: IntArray) -> Noise:
    """Fit confidence and flip rate to margins (n_pairs,) and labels (n_pairs,) in [0, 1]."""
    scale = float(np.std(margins))
    z = margins / scale if scale > 0 else margins

    def loss(parameters: np.ndarray) -> float:
        log_slope, flip_rate = parameters
        p = flip_rate + (1 - 2 * flip_rate) * expit(np.exp(log_slope) * z)
        p = np.clip(p, 1e-300, 1 - 1e-16)
        return -float(np.sum(y * np.log(p) + (1 - y) * np.log1p(-p)))

    plain = minimize_scalar(lambda s: loss(np.array([s, 0.0])), bounds=LOG_SLOPES, method="bounded")
    # The loss has more than one valley: a steep curve with flips, a flat one without.
    fits = [
        minimize(
            loss,
            np.array([min(plain.x + shift, LOG_SLOPES[1]), 0.1]),
            method="Nelder-Mead",
            bounds=[LOG_SLOPES, (0.0, MAX_FLIP_RATE)],
        )
        for shift in (0.0, 1.0, 2.0)
    ]
    best = min(fits, key=lambda fit: fit.fun)
    log_slope, flip_rate = best.x if best.fun < plain.fun else (plain.x, 0.0)
    ratio = 2 * max(plain.fun - best.fun, 0.0) / _inflation(z, y, np.exp(plain.x), groups)
    probability = expit(np.exp(log_slope) * z)
    given = np.where(y > 0.5, probability, 1 - probability)
    wrong = flip_rate * (1 - given)
    total = wrong + (1 - flip_rate) * given
    return Noise(
        flip_rate=float(flip_rate),
        p_value=float(chi2.sf(ratio, 1) / 2) if flip_rate > 0 else 0.5,
        probability=probability,
        p_wrong=np.divide(wrong, total, out=np.zeros_like(wrong), where=total > 0),
    )


def _inflation(z, y, slope, groups) -> float:
    """Return by how much groups inflate the variance of the score of e at e = 0, at least 1."""
    p = np.clip(expit(slope * z), 1e-12, 1 - 1e-12)
    score = (y / p - (1 - y) / (1 - p)) * (1 - 2 * p)  # of the flip rate
    slope_score = (y - p) * z
    total = np.sum(slope_score**2)
    if total > 0:
        score = score - slope_score * (np.sum(score * slope_score) / total)
    independent = np.sum(score**2)
    grouped = np.sum(np.bincount(groups, score) ** 2)
    return max(float(grouped / independent), 1.0) if independent > 0 else 1.0
