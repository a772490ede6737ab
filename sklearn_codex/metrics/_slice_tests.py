r"""Whether a part of the pairs differs from the rest, by group, and in how many parts of many.

With values :math:`v_i` and weights :math:`w_i` of pairs, S the part and R the rest, :math:`\bar v`
the mean of both together, and :math:`W_S`, :math:`W_R` the weights of both, the difference of means
is

.. math::
   D = \sum_i a_i w_i (v_i - \bar v), \quad a_i = 1 / W_S \text{ in S}, -1 / W_R \text{ in R}.

Its variance if there is no difference is the greatest of three: the squares of the terms of D, the
squares of their sums by group, and what pairs that vary alike everywhere would give,

.. math:: s^2 \Bigl((1 - \rho) \sum_i a_i^2 w_i^2
   + \rho \sum_g \bigl(\sum_{i \in g} a_i w_i\bigr)^2\Bigr),

with s² the variance of all values and :math:`\rho`, at least 0, their correlation within groups.
Without the last a small part in which all values happen to be equal, such as ten pairs without a
tie where one in ten is one, would seem to be known exactly.
"""

import math

import numpy as np
from scipy.special import ndtr, ndtri

from sklearn_codex._verdicts import GIVEN, LEVEL, POWER, judge_mean


def judge_difference(
    values, inside, groups, *, bounds=(-1.0, 1.0), inflation=GIVEN, weights=None, level=LEVEL
):
    """Hold the mean of values of a part of the pairs against that of the others.

    Parameters
    ----------
    values : ndarray of shape (n_pairs,)
        Finite numbers.
    inside : ndarray of bool of shape (n_pairs,)
        The part, neither empty nor all pairs.
    groups : ndarray of int of shape (n_pairs,)
        What may depend on each other.
    bounds : tuple of float, default=(-1, 1)
        What differences are between.
    inflation, weights, level : object
        As in ``judge_mean``.

    Returns
    -------
    test : Judgement
        Of the difference, which is 0 by chance.
    """
    w = np.ones(len(values)) if weights is None else weights / np.sum(weights)
    share = float(w[inside].sum() / w.sum())
    side = inside - share  # (n_pairs,)
    a = np.where(inside, 1 / w[inside].sum(), -1 / w[~inside].sum())
    deviation = values - np.average(values, weights=w)
    # The difference is the mean of deviation / side with the weights a w side, which are positive.
    test = judge_mean(
        deviation / side,
        groups,
        bounds=bounds,
        inflation=inflation,
        weights=a * w * side,
        level=level,
    )
    spread = math.sqrt(inflation * _pooled_variance(deviation, a, w, groups))
    if not spread:
        return test
    z = float(ndtri(1 - level / 2))
    return test._replace(
        low=max(bounds[0], min(test.low, test.value - z * spread)),
        high=min(bounds[1], max(test.high, test.value + z * spread)),
        p_value=max(test.p_value, float(2 * ndtr(-abs(test.value) / spread))),
        detectable=max(test.detectable, float((z + ndtri(POWER)) * spread)),
    )


def _pooled_variance(deviation, a, w, groups):
    """Return the variance of a difference if all pairs vary alike, and alike within groups."""
    codes = np.unique(groups, return_inverse=True)[1].reshape(-1)
    variance = float(np.average(deviation**2, weights=w))
    together = np.sum(np.bincount(codes, w * deviation) ** 2) - np.sum((w * deviation) ** 2)
    possible = np.sum(np.bincount(codes, w) ** 2) - np.sum(w**2)
    alike = 0.0
    if variance > 0 and possible > 1e-12 * np.sum(w**2):
        alike = min(max(float(together / (variance * possible)), 0.0), 1.0)
    single, grouped = np.sum((a * w) ** 2), np.sum(np.bincount(codes, a * w) ** 2)
    return variance * float((1 - alike) * single + alike * grouped)


def adjust_for_many(p_values):
    r"""Return p-values (n_tests,) adjusted for the false discovery rate.

    Notes
    -----
    With :math:`p_{(1)} \le \dots \le p_{(m)}` the adjusted one of :math:`p_{(k)}` is
    :math:`\min_{j \ge k} m p_{(j)} / j`, of Benjamini and Hochberg [1]_. If there is no difference
    anywhere, one is below the level in at most so many of the data sets.

    References
    ----------
    .. [1] Benjamini, Y. and Hochberg, Y. (1995). "Controlling the false discovery rate: a practical
       and powerful approach to multiple testing." Journal of the Royal Statistical Society B 57(1),
       289-300.
    """
    p_values = np.asarray(p_values, dtype=float)
    order = np.argsort(-p_values, kind="stable")
    rank = np.arange(len(p_values), 0, -1)
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum.accumulate(p_values[order] * len(p_values) / rank)
    return np.minimum(adjusted, 1.0)
