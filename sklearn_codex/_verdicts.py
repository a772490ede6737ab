r"""Tests behind the sentences of the reports.

All are by group, the prompt as a rule: what pairs of one prompt say is added up first. With values
v, a null :math:`\mu` and :math:`u_g = \sum_{i \in g} (v_i - \mu)`, the statistic is

.. math:: T(\mu) = \frac{\sum_g u_g}{\sqrt{\kappa \max(\sum_g u_g^2, \sum_i (v_i - \mu)^2)}}.

The variance is that of the null, so that one large group, or few, cannot feign certainty: |T| is at
most the square root of the number of equal groups. Where the signs of the u_g are coins, as they
are if labels are, T has the distribution of their random flips, which is enumerated for up to 16
groups and is close to normal, or lighter in its tails, for more [1]_ [2]_. The interval holds all
:math:`\mu` that are not rejected.

:math:`\kappa` is 1 for values that are given. Values of a cross-fitted model depend on each other:
each two prompts are used twice, once to learn from and once to be judged. If labels are coins, the
sum over prompts is a degenerate U-statistic, whose variance is up to twice the sum of the squares,
so :math:`\kappa` is 2: cross-validated intervals without it are too short [3]_.

Of pairs with weights w, such as those of one ranking, the mean is the weighted one, and
:math:`w_i (v_i - \mu)` stands for :math:`v_i - \mu` in all sums.

References
----------
.. [1] Canay, I. A., Romano, J. P. and Shaikh, A. M. (2017). "Randomization tests under an
   approximate symmetry assumption." Econometrica 85(3), 1013-1030.
.. [2] Efron, B. (1969). "Student's t-test under symmetry conditions." Journal of the American
   Statistical Association 64(328), 1278-1302.
.. [3] Bates, S., Hastie, T. and Tibshirani, R. (2024). "Cross-validation: what does it estimate and
   how well does it do it?" Journal of the American Statistical Association 119(546), 1434-1445.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit
from scipy.stats import binomtest, norm

from sklearn_codex._categorical import FloatArray, IntArray

LEVEL = 0.05
"""A sentence is wrong in at most this share of the data sets in which it does not hold."""
WRONG_LABEL_LEVEL = 0.01
"""Of the test for wrong labels, which rests on a model and accuses."""
POWER = 0.8
GIVEN = 1.0
CROSS_FITTED = 2.0
MOST_FLIPPED = 16


class Judgement(NamedTuple):
    """A figure held against what it would be by chance.

    Parameters
    ----------
    value, low, high : float
        The figure and its interval of coverage 1 - level; it holds ``null`` if and only if the
        p-value is not below the level.
    null : float
        What chance gives.
    p_value : float
        Two-sided, of the null.
    level : float
        Below it the p-value tells the figure from the null.
    detectable : float
        Distance from the null that is told from it in four data sets of five, or infinite.
    n_pairs, n_groups : int
        What the figure is of.
    """

    value: float
    low: float
    high: float
    null: float
    p_value: float
    level: float
    detectable: float
    n_pairs: int
    n_groups: int

    @property
    def is_above(self) -> bool:
        """Whether the figure is greater than by chance."""
        return self.p_value < self.level and self.value > self.null

    @property
    def is_below(self) -> bool:
        """Whether the figure is smaller than by chance."""
        return self.p_value < self.level and self.value < self.null

    def pick(self, above: str, below: str | None, enough: float) -> str:
        """Return what the test says.

        Parameters
        ----------
        above, below : str
            What to return where the figure is told from chance; ``below`` is None where what is
            below chance is not asked for.
        enough : float
            Distance from the null that the data must be able to detect, and the interval must rule
            out, to return "not shown"; else there are "too few". So a figure that is as far from
            chance is called "not shown" in at most ``level`` of the data sets.
        """
        if self.is_above:
            return above
        if self.is_below:
            return "not shown" if below is None else below
        farthest = self.high - self.null
        if below is not None:
            farthest = max(farthest, self.null - self.low)
        return "not shown" if max(self.detectable, farthest) <= enough else "too few"


def judge_mean(
    values: FloatArray,
    groups: IntArray,
    *,
    null: float = 0.0,
    bounds: tuple[float, float] = (-math.inf, math.inf),
    inflation: float = GIVEN,
    extra_variance: float = 0.0,
    weights: FloatArray | None = None,
    level: float = LEVEL,
) -> Judgement:
    """Hold the mean of values (n_pairs,) against a null, by groups (n_pairs,).

    Parameters
    ----------
    values : ndarray of shape (n_pairs,)
        Finite numbers, one or more.
    groups : ndarray of int of shape (n_pairs,)
        What may depend on each other.
    null : float, default=0.0
        The mean by chance.
    bounds : tuple of float, default=(-inf, inf)
        What values are between; where all are equal, the interval is Wilson's for as many pairs as
        there are groups.
    inflation : float, default=1.0
        Kappa.
    extra_variance : float, default=0.0
        Of the mean, from what groups do not show.
    weights : ndarray of shape (n_pairs,), default=None
        Of the values, not negative, some positive; None weighs all alike.
    level : float, default=0.05
        Of the test.
    """
    codes = np.unique(groups, return_inverse=True)[1].reshape(-1)
    values = np.asarray(values, dtype=float)
    w = np.ones(len(values)) if weights is None else weights / np.max(weights)
    n_pairs, n, sizes = len(values), float(w.sum()), np.bincount(codes, w)
    z = float(norm.ppf(1 - level / 2))
    value = float(np.clip(np.sum(w * values) / n, *bounds))
    # The limit of T as the null goes away: if this is not rejected, nothing is.
    if n**2 <= z**2 * inflation * (sizes @ sizes):
        return Judgement(value, *bounds, null, 1.0, level, math.inf, n_pairs, sizes.size)
    totals, extra = np.bincount(codes, w * values), n**2 * extra_variance
    sums = totals - null * sizes
    variance = (
        inflation * max(float(sums @ sums), float(np.sum((w * (values - null)) ** 2))) + extra
    )
    p_value = _p_value(sums, variance)
    ends = [
        _invert(totals, sizes, z**2 * inflation, z**2 * extra),
        _invert(w * values, w, z**2 * inflation, z**2 * extra),
    ]
    if np.ptp(values) == 0 and np.isfinite(bounds).all():
        ends.append(_wilson(value, bounds, z**2 * inflation / sizes.size))
    if p_value >= level:  # where the enumeration is stricter than the normal law
        ends.append((null, null))
    low, high = max(bounds[0], min(ends)[0]), min(bounds[1], max(end[1] for end in ends))
    reach = float((z + norm.ppf(POWER)) * math.sqrt(variance) / n)
    return Judgement(value, low, high, null, p_value, level, reach, n_pairs, sizes.size)


def digits_to_tell(low: float, high: float, null: float, digits: int) -> int:
    """Return how many digits, at least ``digits``, show whether an interval holds its null.

    Rounded, an interval that ends just short of the null would seem to hold it. At most three more
    are given.
    """
    holds = low <= null <= high
    for more in range(digits, digits + 3):
        if (round(low, more) <= round(null, more) <= round(high, more)) == holds:
            return more
    return digits + 3


def judge_share(credits: FloatArray, groups: IntArray, **options) -> Judgement:
    """Hold the mean of credits in [0, 1] against one half; see ``judge_mean``."""
    return judge_mean(credits, groups, null=0.5, bounds=(0.0, 1.0), **options)


def _invert(totals, sizes, z2, extra):
    """Return all means mu with (sum of t - mu s)^2 <= z2 sum of (t - mu s)^2 + extra."""
    a = sizes.sum() ** 2 - z2 * (sizes @ sizes)
    b = sizes.sum() * totals.sum() - z2 * (sizes @ totals)
    c = totals.sum() ** 2 - z2 * (totals @ totals) - extra
    if a <= 0:
        return -math.inf, math.inf
    half_width = math.sqrt(max(b**2 - a * c, 0.0)) / a
    return b / a - half_width, b / a + half_width


def _wilson(value, bounds, z2):
    """Return Wilson's interval, of values between bounds; z2 is per group."""
    low, high = bounds
    share = (value - low) / (high - low)
    half_width = math.sqrt(z2 * (share * (1 - share) + z2 / 4))
    ends = [(share + z2 / 2 + side * half_width) / (1 + z2) for side in (-1, 1)]
    return low + (high - low) * ends[0], low + (high - low) * ends[1]


def _p_value(sums, variance):
    """Return the p-value of group sums: the greater of the normal and the exact one."""
    if variance == 0:
        return 1.0
    distance = abs(float(sums.sum()))
    p_value = float(2 * norm.sf(distance / math.sqrt(variance)))
    if sums.size <= MOST_FLIPPED:
        p_value = max(p_value, _flip(sums, distance * math.sqrt(sums @ sums / variance)))
    elif np.ptp(np.abs(sums)) < 1e-9 * abs(sums[0]) and variance <= (sums @ sums) * (1 + 1e-9):
        p_value = max(p_value, float(binomtest(int((sums > 0).sum()), sums.size).pvalue))
    return min(p_value, 1.0)


def _flip(sums, distance):
    """Return the share of all flips of signs whose total is as far from 0 as the distance."""
    totals = np.zeros(1)
    for part in sums:
        totals = np.concatenate([totals + part, totals - part])
    return float(np.mean(np.abs(totals) >= distance - 1e-9 * np.abs(sums).sum()))


def judge_slope(
    margin: FloatArray,
    y: FloatArray,
    groups: IntArray,
    *,
    inflation: float = GIVEN,
    weights: FloatArray | None = None,
    level: float = LEVEL,
) -> Judgement:
    r"""Hold the slope t of P(A preferred) = sigmoid(t m) against 1, where m are calibrated.

    Parameters
    ----------
    margin, y : ndarray of shape (n_pairs,)
        Log-odds that A is preferred, and what was: 1, 0 or between. The order of A and B does not
        matter, so there is no intercept.
    groups, inflation, weights, level : object
        As in ``judge_mean``, for the scores :math:`m_i (y_i - \sigma(t m_i))`.

    Returns
    -------
    test : Judgement
        The interval is the range of slopes around the fitted one that are not rejected.

    References
    ----------
    .. [1] Cox, D. R. (1958). "Two further applications of a model for binary regression."
       Biometrika 45(3/4), 562-565.
    """
    z = float(norm.ppf(1 - level / 2))
    weights = np.ones(len(y)) if weights is None else weights / np.max(weights)
    scores = _SlopeScores(margin, y, groups, inflation, weights)
    value = scores.solve()
    sums, variance = scores.at(1.0)
    p_value = _p_value(sums, variance)
    low, high = (scores.walk(1.0 if math.isnan(value) else value, side, z) for side in (-1, 1))
    if p_value >= level:  # where the enumeration is stricter than the normal law
        low, high = min(low, 1.0), max(high, 1.0)
    information = float((weights * margin**2) @ (expit(margin) * expit(-margin)))
    reach = (z + norm.ppf(POWER)) * math.sqrt(variance) / information if information else math.inf
    return Judgement(value, low, high, 1.0, p_value, level, float(reach), len(y), sums.size)


class _SlopeScores:
    """Scores of a slope t by group, and where they are as large as chance makes them."""

    def __init__(self, margin, y, groups, inflation, weights):
        self._weights = weights
        self._margin, self._y, self._inflation = margin, y, inflation
        self._codes = np.unique(groups, return_inverse=True)[1].reshape(-1)
        scale = float(np.sqrt(np.mean(margin**2)))
        self._unit = 1 / scale if scale > 0 else 1.0
        self._steepest = 1e3 * self._unit

    def at(self, slope):
        """Return the sums of the groups and the variance of their total."""
        parts = self._parts(slope)
        sums = np.bincount(self._codes, parts)
        return sums, self._inflation * max(float(sums @ sums), float(parts @ parts))

    def _parts(self, slope):
        """Return m (y - sigmoid(t m)), precise where no label is against the margin."""
        against, by = expit(slope * self._margin), expit(-slope * self._margin)
        return self._weights * self._margin * (self._y * by - (1 - self._y) * against)

    def _total(self, slope):
        return float(self.at(slope)[0].sum())

    def solve(self):
        """Return the fitted slope; infinite where no label is against it, NaN without margins."""
        if not np.any(self._margin):
            return math.nan
        if self._total(-self._steepest) <= 0 or self._total(self._steepest) >= 0:
            return math.copysign(math.inf, self._total(0.0))
        return float(brentq(self._total, -self._steepest, self._steepest, xtol=1e-9 * self._unit))

    def walk(self, start, side, z):
        """Return the first slope on a side of the fitted one that is rejected, or infinity."""
        start = float(np.clip(start, -self._steepest, self._steepest))

        def beyond(slope):
            parts = self._parts(slope)
            if not (largest := float(np.abs(parts).max())):
                return -z
            parts = parts / largest  # squares of tiny parts would be 0
            sums = np.bincount(self._codes, parts)
            variance = self._inflation * max(float(sums @ sums), float(parts @ parts))
            return -side * float(sums.sum()) - z * math.sqrt(variance)

        if beyond(start) > 0:  # labels so alike that each slope up to the steepest is rejected
            return start
        inner, step = start, 0.05 * self._unit
        while step < 4 * self._steepest:  # from one steepest slope past the other
            outer = start + side * step
            if beyond(outer) > 0:
                return float(brentq(beyond, inner, outer, xtol=1e-7 * self._unit))
            inner, step = outer, 1.5 * step
        return side * math.inf


class SureColumns(NamedTuple):
    """Which of many weights are told from 0, all together.

    Parameters
    ----------
    p_value : ndarray of shape (n_columns,)
        Adjusted: that any of the weights is as far from 0 as this one, if labels are coins.
    sign : ndarray of shape (n_columns,)
        Of the weight.
    """

    p_value: FloatArray
    sign: FloatArray


def judge_columns(totals: FloatArray, *, rng, n_flips: int = 1999) -> SureColumns:
    r"""Tell which columns are not chance, by the greatest of all statistics under flips of groups.

    Parameters
    ----------
    totals : ndarray of shape (n_groups, n_columns)
        What the labels of each group add to each weight; of mean 0 and of either sign with equal
        probability where labels are coins.
    rng : RandomState
        Draws the flips.
    n_flips : int, default=1999
        Drawn.

    Notes
    -----
    With t the totals and random signs s, one for each group, the adjusted p-value of a column is
    (1 + number of flips with a greatest :math:`|\sum_g s_g t_{gj}| / \sqrt{\sum_g t_{gj}^2}` of all
    columns that reaches the column's own at s = 1) / (1 + n_flips): the max-T of Westfall and
    Young, which keeps the family-wise error however columns depend on each other [1]_.

    References
    ----------
    .. [1] Westfall, P. H. and Young, S. S. (1993). "Resampling-based multiple testing." Wiley.
    """
    scale = np.sqrt(np.sum(totals**2, axis=0))
    scaled = np.divide(totals, scale, out=np.zeros_like(totals), where=scale > 0)
    observed = scaled.sum(axis=0)
    reached = np.ones(len(observed))
    for start in range(0, n_flips, 500):
        signs = rng.choice([-1.0, 1.0], size=(min(500, n_flips - start), len(totals)))
        greatest = np.abs(signs @ scaled).max(axis=1, initial=0.0)
        reached += (greatest[:, np.newaxis] >= np.abs(observed) - 1e-9).sum(axis=0)
    return SureColumns(reached / (1 + n_flips), np.sign(observed))
