"""Intervals of means over pairs, which may share prompts."""

import warnings
from numbers import Integral, Real

import numpy as np
from scipy.stats import norm, t
from sklearn.utils import Bunch
from sklearn.utils._param_validation import Hidden, Interval, StrOptions, validate_params

from sklearn_codex._checks.numbers import check_weight
from sklearn_codex._checks.probabilities import check_soft_labels
from sklearn_codex._few_groups import (
    check_several_groups,
    warn_of_few_groups,
)
from sklearn_codex.metrics._checks import (
    ANY_LABEL,
    ARRAY,
    OPTIONAL_ARRAY,
    check_groups,
    check_scores,
    drop_weightless,
)
from sklearn_codex.metrics._grouped_mean import GroupedMean, interval_and_p_value

# A variance of shares below this is one of rounding.
NO_VARIANCE = 1e-30

LEVEL_PARAM = {"confidence_level": [Interval(Real, 0, 1, closed="neither")]}
BOOTSTRAP_PARAMS = {
    "groups": OPTIONAL_ARRAY,
    **LEVEL_PARAM,
    "n_resamples": [Interval(Integral, 1, 2**27, closed="both")],  # held at once
    "random_state": ["random_state"],
}
# Of intervals that are formulas; to be removed.
WITHOUT_EFFECT = {
    name: [Hidden(StrOptions({"deprecated"})), *BOOTSTRAP_PARAMS[name]]
    for name in ("n_resamples", "random_state")
}
FORMULA_PARAMS = {**BOOTSTRAP_PARAMS, **WITHOUT_EFFECT}


def warn_without_effect(subject, *, stacklevel=4, **values):
    """Warn of parameters that are passed although they have no effect any more."""
    passed = [name for name, value in values.items() if not isinstance(value, str)]
    if passed:
        names, verb = " and ".join(passed), "have" if len(passed) > 1 else "has"
        warnings.warn(
            f"{names} of {subject} {verb} no effect, as the interval is a formula, and will be "
            "removed. Leave out what is passed.",
            FutureWarning,
            stacklevel=stacklevel,
        )


@validate_params(
    {
        "share": [Interval(Real, 0, 1, closed="both")],
        "n": [Interval(Real, 0, None, closed="neither")],
        **LEVEL_PARAM,
    },
    prefer_skip_nested_validation=True,
)
def wilson_interval(share, n, *, confidence_level=0.95):
    r"""Wilson's score interval of a share of independent pairs.

    Parameters
    ----------
    share : float
        The share seen, in [0, 1].
    n : float
        Number of pairs; need not be whole, as the effective number of weighted pairs.
    confidence_level : float, default=0.95
        Coverage aimed at.

    Returns
    -------
    low, high : float
        Inside [0, 1], also at shares 0 and 1.

    See Also
    --------
    win_rate : An interval for pairs that share prompts.

    Notes
    -----
    With z the normal quantile of (1 + confidence_level) / 2,

    .. math::
        \frac{1}{1 + z^2 / n} \left(\hat p + \frac{z^2}{2n}
        \pm z \sqrt{\frac{\hat p (1 - \hat p)}{n} + \frac{z^2}{4 n^2}}\right).

    References
    ----------
    .. [1] Wilson, E. B. (1927). "Probable inference, the law of succession, and statistical
       inference." Journal of the American Statistical Association 22, 209-212.

    Examples
    --------
    >>> from sklearn_codex.metrics import wilson_interval
    >>> low, high = wilson_interval(0.7, 100)
    >>> round(low, 3), round(high, 3)
    (0.604, 0.781)
    """
    return _wilson(share, n, norm.ppf((1 + confidence_level) / 2))


def _wilson(share, n, quantile):
    """Return the shares whose distance from the one seen is at most that many standard errors."""
    z2 = quantile**2 / n
    half_width = np.sqrt(z2 * (share * (1 - share) + z2 / 4))
    low, high = (share + z2 / 2 + np.array([-half_width, half_width])) / (1 + z2)
    return max(0.0, float(low)), min(1.0, float(high))


def share_interval(credits, weight, groups=None, *, confidence_level):
    """Return the weighted mean of credits in [0, 1] and its interval; NaN where there is none.

    Parameters
    ----------
    credits, weight : ndarray of shape (n_pairs,)
        Points and weights of pairs; there may be none.
    groups : ndarray of int of shape (n_pairs,), default=None
        Clusters. None: pairs are independent.
    confidence_level : float
        As in :func:`win_rate`, where the formula is.

    Returns
    -------
    share, low, high : float
    """
    counts = weight > 0
    credits, weight = credits[counts], weight[counts]
    if len(credits) == 0:
        return np.nan, np.nan, np.nan
    codes = np.arange(len(credits))
    if groups is not None:
        codes = np.unique(groups[counts], return_inverse=True)[1].reshape(-1)
    result = GroupedMean(credits, weight, codes)
    share = min(max(result.mean, 0.0), 1.0)
    ends, variance, quantile = [], np.nan, np.nan
    if result.n_groups == len(credits):
        # Nothing in [0, 1] varies more than what is 0 or 1, so this is never too short.
        n_effective = weight.sum() ** 2 / (weight**2).sum()
        ends.append(wilson_interval(share, n_effective, confidence_level=confidence_level))
        # Squared deviations of all pairs, not of those alone that weigh much: these may agree.
        spread = np.average((credits - share) ** 2, weights=weight)
        freedom = n_effective - 1
        variance = spread / freedom if freedom > 0 else np.inf
        quantile = t.ppf((1 + confidence_level) / 2, freedom)
    elif result.n_groups > 1:
        variance = result.standard_error**2
        quantile = result.critical_value(confidence_level)
    if NO_VARIANCE < variance < np.inf:
        ends.append(_wilson(share, share * (1 - share) / variance, quantile))
    elif not ends:
        # Where all groups agree, how they vary is not known.
        ends.append(wilson_interval(share, result.n_groups, confidence_level=confidence_level))
    return share, *min(ends, key=lambda end: end[1] - end[0])


@validate_params(
    {
        "outcomes": ARRAY,
        "sample_weight": OPTIONAL_ARRAY,
        "pos_label": ANY_LABEL,
        **FORMULA_PARAMS,
    },
    prefer_skip_nested_validation=True,
)
def win_rate(
    outcomes,
    groups=None,
    *,
    sample_weight=None,
    pos_label=None,
    confidence_level=0.95,
    n_resamples="deprecated",
    random_state="deprecated",
):
    r"""Share of comparisons won, ties half, with an interval that knows of shared prompts.

    Parameters
    ----------
    outcomes : array-like of shape (n_pairs,)
        1 for a win, 0 for a loss, 0.5 for a tie, or the probability of a win.
    groups : array-like of shape (n_pairs,), default=None
        Prompt of each pair. None: pairs are independent.
    sample_weight : array-like of shape (n_pairs,), default=None
        Weights of pairs.
    pos_label : label, default=None
        The class of ``outcomes`` that means a win. None: ``outcomes`` holds numbers.
    confidence_level : float, default=0.95
        Coverage aimed at.
    n_resamples, random_state : object
        Have no effect, as intervals are formulas.

        .. deprecated:: 0.2
            Leave them out; they will be removed.

    Returns
    -------
    result : Bunch
        ``win_rate``, ``low`` and ``high`` (floats), ``n_pairs`` and ``n_groups`` (ints), of the
        pairs that weigh more than 0.

    Raises
    ------
    ValueError
        If outcomes are outside [0, 1], or all pairs are in one group.

    Warns
    -----
    UserWarning
        If there are fewer than 5 groups: in simulations intervals of so few cover less often than
        they say.

    Notes
    -----
    The win rate is :math:`\hat p = \sum s_i y_i / \sum s_i`. Of groups g with weights
    :math:`S_g`, which sum to S, and weighted deviations
    :math:`e_g = \sum_{i \in g} s_i (y_i - \hat p)`, without ``groups`` of the single pairs, the
    interval is Wilson's (:func:`wilson_interval`) for as many pairs as would have the variance V,
    with the quantile of Student's t with :math:`G^* - 1` degrees of freedom in place of the normal
    one:

    .. math::
        n = \frac{\hat p (1 - \hat p)}{V}, \quad
        V = \Bigl(1 - \frac{1}{G^*}\Bigr) \sum_g \frac{e_g^2}{(S - S_g)^2}, \quad
        G^* = \max\Bigl(2, \frac{(\sum_g q_g)^2}{\sum_g q_g^2}\Bigr), \quad
        q_g = \sum_{i \in g} s_i^2.

    Of independent pairs how a pair varies is known from all of them, also from those that weigh
    little, so with :math:`n^* = (\sum s)^2 / \sum s^2` pairs in effect

    .. math:: V = \frac{1}{n^* - 1} \frac{\sum_i s_i (y_i - \hat p)^2}{\sum_i s_i},

    with :math:`n^* - 1` degrees of freedom, and the interval is no wider than Wilson's for
    :math:`n^*` pairs, that of outcomes that are 0 or 1: a pair is one observation, however much it
    weighs.

    V is the jackknife estimate and G* the effective number of groups [1]_; that Wilson's interval
    with it keeps its level in samples by clusters is known from surveys [2]_. Soft labels vary less
    than hard ones, and have shorter intervals for it. Where all groups have one mean, so that V is
    0, the interval is Wilson's for G pairs. In simulations with fewer than 10 prompts, intervals of
    soft labels whose mean is near 0 or 1 covered in 88% to 93% of the data sets instead of 95%, and
    those of a prompt that has most of the pairs in more than 99%.

    References
    ----------
    .. [1] Carter, A. V., Schnepel, K. T. and Steigerwald, D. G. (2017). "Asymptotic behavior of a
       t-test robust to cluster heterogeneity." Review of Economics and Statistics 99(4), 698-709.
    .. [2] Dean, N. and Pagano, M. (2015). "Evaluating confidence interval methods for binomial
       proportions in clustered surveys." Journal of Survey Statistics and Methodology 3(4),
       484-503.

    Examples
    --------
    >>> from sklearn_codex.metrics import win_rate
    >>> groups = ["p", "p", "q", "r", "s", "s", "t"]
    >>> result = win_rate([1, 1, 0, 0.5, 1, 0, 1], groups=groups)
    >>> round(result.win_rate, 3), result.n_groups
    (0.643, 5)
    """
    warn_without_effect("win_rate", n_resamples=n_resamples, random_state=random_state)
    credits = check_soft_labels(outcomes, name="outcomes", pos_label=pos_label)
    weight = check_weight(sample_weight, credits)
    codes = check_groups(groups, len(credits))[0]
    weight, credits, codes = drop_weightless(weight, credits, codes)
    codes, n_groups = check_groups(codes, len(codes))
    if groups is not None:
        check_several_groups(n_groups, subject="win_rate")
        warn_of_few_groups(n_groups, subject="win_rate")
    share, low, high = share_interval(
        credits, weight, None if groups is None else codes, confidence_level=confidence_level
    )
    return Bunch(win_rate=share, low=low, high=high, n_pairs=len(credits), n_groups=n_groups)


@validate_params(
    {
        "metric_a": ARRAY,
        "metric_b": ARRAY,
        "sample_weight": OPTIONAL_ARRAY,
        **BOOTSTRAP_PARAMS,
    },
    prefer_skip_nested_validation=True,
)
def paired_cluster_bootstrap(
    metric_a,
    metric_b,
    groups=None,
    *,
    sample_weight=None,
    confidence_level=0.95,
    n_resamples=10_000,
    random_state=None,
):
    r"""Compare two models by a metric known for each pair, resampling prompts.

    Parameters
    ----------
    metric_a, metric_b : array-like of shape (n_pairs,)
        What each model gets on each pair: 1 where it is right, its log-loss, and so on.
    groups : array-like of shape (n_pairs,), default=None
        Prompt of each pair. None: pairs are independent.
    sample_weight : array-like of shape (n_pairs,), default=None
        Weights of pairs.
    confidence_level : float, default=0.95
        Coverage aimed at.
    n_resamples : int, default=10000
        Subsets of the groups to draw.
    random_state : int, RandomState instance or None, default=None
        Draws them.

    Returns
    -------
    result : Bunch
        ``difference`` (mean of metric_a - metric_b), ``low``, ``high``, ``standard_error`` and
        ``p_value`` (floats; two-sided, of no difference), ``n_pairs`` and ``n_groups`` (ints), of
        the pairs that weigh more than 0.

    Raises
    ------
    ValueError
        If the metrics are not one finite number a pair, or all pairs are in one group.

    See Also
    --------
    win_rate : The interval of one share.

    Notes
    -----
    Both models see the same prompts, so differences are taken first: what makes a prompt hard for
    both cancels. The interval is the wider, at each end, of two, since Student's t misses where
    differences are skewed and the bootstrap of few groups where they take few values.

    That of Student's t has the variance and the degrees of freedom of :func:`win_rate`.

    That of the wild bootstrap is of the :math:`\theta` that it does not reject: the deviations from
    :math:`\theta` of whole groups, whose sums are :math:`e_g`, get random signs [1]_. Sums with
    signs are at most the sum seen where the deviations of the groups of negative sign sum to 0 or
    more, so where the mean of these groups alone is at least :math:`\theta`. So the interval has
    the quantiles of the means of random subsets of the groups, each group being in one with
    probability one half [2]_. Where deviations of groups are independent and symmetric, it covers
    as often as it says whatever the sizes and weights of groups, up to the number of subsets. There
    are :math:`2^G - 1` subsets; where these are no more than ``n_resamples``, each is taken once.
    Fewer than 6 groups are too few for it at 95%.

    The p-value is the level at which the interval begins to contain 0; of the bootstrap, its tail
    is counted as (1 + number of means beyond 0) / (1 + number of subsets), so that it is never 0.
    The standard error is that of the jackknife, for groups of equal size the usual one of their
    means. Where the difference is the same in all groups nothing is known of how it varies, and the
    interval is that number.

    References
    ----------
    .. [1] Cameron, A. C., Gelbach, J. B. and Miller, D. L. (2008). "Bootstrap-based improvements
       for inference with clustered errors." Review of Economics and Statistics 90(3), 414-427.
    .. [2] Hartigan, J. A. (1969). "Using subsample values as typical values." Journal of the
       American Statistical Association 64(328), 1303-1317.

    Examples
    --------
    >>> from sklearn_codex.metrics import paired_cluster_bootstrap
    >>> result = paired_cluster_bootstrap(
    ...     [1, 1, 1, 1, 0, 1], [0, 1, 0, 1, 0, 0], groups=[0, 0, 1, 1, 2, 2], random_state=0
    ... )
    >>> result.difference
    0.5
    """
    metric_a = _check_metric(metric_a, len(metric_a), "metric_a")
    metric_b = _check_metric(metric_b, len(metric_a), "metric_b")
    weight = check_weight(sample_weight, metric_a)
    codes = check_groups(groups, len(metric_a))[0]
    weight, difference, codes = drop_weightless(weight, metric_a - metric_b, codes)
    codes, n_groups = check_groups(codes, len(codes))
    check_several_groups(n_groups, subject="paired_cluster_bootstrap")
    result = GroupedMean(difference, weight, codes)
    low, high, p_value = interval_and_p_value(
        result, confidence_level, result.subset_means(n_resamples, random_state)
    )
    return Bunch(
        difference=result.mean,
        low=low,
        high=high,
        standard_error=result.standard_error,
        p_value=p_value,
        n_pairs=len(difference),
        n_groups=n_groups,
    )


def _check_metric(values, n_pairs, name):
    values = check_scores(values, n_pairs, name=name)
    if np.isinf(values).any():
        raise ValueError(f"{name} should be finite, but {np.isinf(values).sum()} are infinite.")
    return values
