r"""How many labels are the wrong way round, from margins that were predicted without them.

With z the margins over their standard deviation, P(A) = e + (1 - 2 e) sigmoid(g(z)): a preference
that grows with the margin, given the wrong way round with probability e. What g is nobody knows,
and a curve that rises slowly passes for flips, so kinds that need none are tried before one is
claimed: heavy tails, g = s asinh(t z / s) with s of 1 or more, whose limit for large s is the
logistic law of Bradley and Terry; and preferences that are never sure, of whose clearest pairs one
in eight or more is honestly judged otherwise: g = b tanh(t z / b) with b of 2 or less, and, since
they may rise in another way, what would be flips of heavy tails but for a rate e of sigmoid(-2) or
more.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import chi2

from sklearn_codex._categorical import FloatArray, IntArray
from sklearn_codex._verdicts import LEVEL, WRONG_LABEL_LEVEL

MAX_FLIP_RATE = 0.3
"""Beyond this, flipped labels cannot be told from labels that follow another rule."""
HONEST_DOUBT = 2.0
"""Log-odds: people may honestly disagree on one in eight even of the clearest pairs."""
SLOPES = (-5.0, 5.0)
SHAPES = (0.0, 5.0)
STARTS = ((-0.5, 0.5), (0.7, 3.0), (2.0, 1.0))
"""Of log t and log s or log b: the loss has more than one valley."""
LEAST_VARIANCE, MOST_BINS = 5.0, 10
"""Of the labels of a bin, in which the curve is held against them."""


class Noise(NamedTuple):
    """Estimated label noise.

    Parameters
    ----------
    flip_rate : float
        Estimated probability e that a label is the wrong way round.
    low, high : float
        Interval of e of coverage 1 - LEVEL, by the profile likelihood; ``low`` is 0 where e = 0 is
        not rejected at WRONG_LABEL_LEVEL, and ``high`` at most ``MAX_FLIP_RATE``.
    p_value : float
        Of no flips, by the likelihood ratio against the best of the kinds of preference without
        them, half a chi-square of one degree of freedom at this boundary, after division by
        the variance inflation of groups that err together.
    probability : ndarray of shape (n_pairs,)
        sigmoid(g(z)), P(A preferred) before any flip.
    p_wrong : ndarray of shape (n_pairs,)
        Probability that the label given was flipped, by Bayes' rule.
    misfit : float
        The p-value of the fitted curve.
    """

    flip_rate: float
    low: float
    high: float
    p_value: float
    probability: FloatArray
    p_wrong: FloatArray
    misfit: float


def estimate_noise(margins: FloatArray, y: FloatArray, groups: IntArray) -> Noise:
    """Fit the curve and the flip rate to margins (n_pairs,) and labels (n_pairs,) in [0, 1]."""
    scale = float(np.std(margins))
    z = margins / scale if scale > 0 else margins
    plain = min(_fit(_heavy, z, y, 0.0), _fit(_saturating, z, y, 0.0), key=lambda fit: fit.loss)
    flips = _fit(_heavy, z, y, None, (plain.slope, plain.shape))
    inflation = _inflation(plain.log_odds, y, 1.0, groups)
    doubt = _fit_doubt(z, y, flips)
    honest = min(plain.loss, doubt.loss)
    ratio = 2 * max(honest - flips.loss, 0.0) / inflation
    p_value = float(chi2.sf(ratio, 1) / 2) if flips.rate > 0 else 0.5
    best = flips if flips.loss < plain.loss else plain
    reach = float(chi2.isf(LEVEL, 1)) * inflation / 2

    def excess(rate: float) -> float:
        return _fit(_heavy, z, y, rate, (flips.slope, flips.shape)).loss - flips.loss - reach

    high = _walk(excess, flips.rate, MAX_FLIP_RATE)
    low = 0.0
    if p_value < WRONG_LABEL_LEVEL:  # then 0 is not in it
        low = max(_walk(excess, flips.rate, 0.0), min(flips.rate, 1e-3))
    probability = expit(best.log_odds)
    given = np.where(y > 0.5, probability, 1 - probability)
    wrong = best.rate * (1 - given)
    total = wrong + (1 - best.rate) * given
    return Noise(
        flip_rate=best.rate,
        low=low,
        high=high,
        p_value=p_value,
        probability=probability,
        p_wrong=np.divide(wrong, total, out=np.zeros_like(wrong), where=total > 0),
        misfit=_misfit(best, z, y, groups),
    )


def _fit_doubt(z, y, flips: "_Fit") -> "_Fit":
    """Return the best curve of preferences of which the clearest are in honest doubt."""
    least = float(expit(-HONEST_DOUBT))
    return flips if flips.rate >= least else _fit(_heavy, z, y, least, (flips.slope, flips.shape))


class _Fit(NamedTuple):
    loss: float
    slope: float
    shape: float
    rate: float
    log_odds: FloatArray


def _heavy(z: FloatArray, log_slope: float, log_shape: float) -> FloatArray:
    shape = np.exp(log_shape)
    return shape * np.arcsinh(np.exp(log_slope) * z / shape)


def _saturating(z: FloatArray, log_slope: float, log_shape: float) -> FloatArray:
    bound = np.exp(log_shape)
    return bound * np.tanh(np.exp(log_slope) * z / bound)


def _fit(link: Callable, z, y, rate: float | None, start=None) -> _Fit:
    """Return the best curve of a kind with a flip rate, the best one for None."""

    def loss(parameters: np.ndarray) -> float:
        e = parameters[2] if rate is None else rate
        log_odds = link(z, parameters[0], parameters[1])
        right = e + (1 - 2 * e) * expit(log_odds)
        wrong = e + (1 - 2 * e) * expit(-log_odds)
        tiny = 1e-300
        return -float(
            y @ np.log(np.maximum(right, tiny)) + (1 - y) @ np.log(np.maximum(wrong, tiny))
        )

    # A saturating bound may be small: preferences that are never far from a coin.
    shapes = (-3.0, float(np.log(HONEST_DOUBT))) if link is _saturating else SHAPES
    bounds = [SLOPES, shapes, *([(0.0, MAX_FLIP_RATE)] if rate is None else [])]
    starts = STARTS if start is None else (STARTS[1], start) if rate is None else (start,)
    fits = [
        minimize(
            loss,
            np.array([*np.clip(s, *np.transpose(bounds[:2])), *([0.05] if rate is None else [])]),
            bounds=bounds,
            method="L-BFGS-B",
        )
        for s in starts
    ]
    best = min(fits, key=lambda fit: fit.fun)
    found = float(best.x[2]) if rate is None else rate
    slope, shape = float(best.x[0]), float(best.x[1])
    return _Fit(float(best.fun), slope, shape, found, link(z, slope, shape))


def _walk(excess: Callable[[float], float], inside: float, end: float) -> float:
    """Return how far from a rate towards an end the excess stays below 0, to about .001."""
    if excess(end) <= 0:
        return end
    outside = end
    while abs(outside - inside) > 1e-3:
        middle = (inside + outside) / 2
        if excess(middle) <= 0:
            inside = middle
        else:
            outside = middle
    return outside


def _misfit(fit: _Fit, z, y, groups) -> float:
    """Return the p-value of the curve: labels against it in bins of margins, by group.

    Bins have equal variances, as a chi-square of bins that expect less than a few labels of the
    rarer kind is none.
    """
    p = fit.rate + (1 - 2 * fit.rate) * expit(fit.log_odds)
    variance = p * (1 - p)
    n_bins = min(int(variance.sum() / LEAST_VARIANCE), MOST_BINS)
    if n_bins < 3:
        return 1.0
    order = np.argsort(np.abs(z), kind="stable")
    share = np.cumsum(variance[order]) / variance.sum()
    bins = np.empty(len(z), dtype=np.intp)
    bins[order] = np.minimum(share * n_bins, n_bins - 1)
    residual = np.sign(z) * (y - p)
    total = 0.0
    for position in range(n_bins):
        here = residual * (bins == position)
        sums = np.bincount(groups, here)
        total += here.sum() ** 2 / max(sums @ sums, here @ here, (bins == position) @ variance)
    return float(chi2.sf(total, n_bins - 2))


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
