"""Intervals of means over pairs: Wilson's for independent pairs, a bootstrap for clustered ones."""

from numbers import Integral, Real

import numpy as np
from scipy.stats import norm, t
from sklearn.utils import Bunch, check_random_state
from sklearn.utils._param_validation import Interval, validate_params

from sklearn_codex._soft_labels import check_soft_labels
from sklearn_codex.metrics._checks import (
    ANY_LABEL,
    ARRAY,
    OPTIONAL_ARRAY,
    check_groups,
    check_scores,
    check_weight,
    drop_weightless,
)

# Numbers drawn at a time by the bootstrap: 32 MB.
CHUNK_DRAWS = 2**22

LEVEL_PARAM = {"confidence_level": [Interval(Real, 0, 1, closed="neither")]}
BOOTSTRAP_PARAMS = {
    "groups": OPTIONAL_ARRAY,
    **LEVEL_PARAM,
    "n_resamples": [Interval(Integral, 1, 2**27, closed="both")],  # held at once
    "random_state": ["random_state"],
}


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
    z2 = norm.ppf((1 + confidence_level) / 2) ** 2 / n
    half_width = np.sqrt(z2 * (share * (1 - share) + z2 / 4))
    low, high = (share + z2 / 2 + np.array([-half_width, half_width])) / (1 + z2)
    return max(0.0, float(low)), min(1.0, float(high))


def share_interval(
    credits, weight, groups=None, *, confidence_level, n_resamples=2000, random_state=None
):
    """Return the weighted mean of credits in [0, 1] and its interval; NaN where there is none.

    Parameters
    ----------
    credits, weight : ndarray of shape (n_pairs,)
        Points and weights of pairs; there may be none.
    groups : ndarray of int of shape (n_pairs,), default=None
        Clusters. None: Wilson's interval, with the effective number of pairs.
    confidence_level, n_resamples, random_state
        As in :func:`win_rate`.

    Returns
    -------
    share, low, high : float
    """
    counts = weight > 0
    groups = None if groups is None else groups[counts]
    credits, weight = credits[counts], weight[counts]
    if len(credits) == 0:
        return np.nan, np.nan, np.nan
    share = float(np.clip(np.average(credits, weights=weight), 0, 1))
    if groups is None:
        n_effective = weight.sum() ** 2 / (weight**2).sum()
        return share, *wilson_interval(share, n_effective, confidence_level=confidence_level)
    result = bootstrap_mean(
        credits,
        weight,
        groups,
        n_resamples=n_resamples,
        confidence_level=confidence_level,
        random_state=random_state,
    )
    if np.ptp(result.resampled) == 0:
        # Where all groups agree, resampling them knows no doubt.
        low, high = wilson_interval(share, result.n_groups, confidence_level=confidence_level)
        return share, low, high
    return share, *result.interval


def bootstrap_mean(values, weight, groups, *, n_resamples, confidence_level, random_state):
    """Bootstrap a weighted mean by resampling whole groups.

    Returns
    -------
    result : Bunch
        ``mean``, ``interval`` (low, high; NaN with a single group), ``resampled`` (n_resamples,)
        and ``n_groups``.
    """
    counts = weight > 0
    codes = np.unique(groups[counts], return_inverse=True)[1].reshape(-1)
    group_weight = np.bincount(codes, weight[counts])
    group_total = np.bincount(codes, weight[counts] * values[counts])
    n_groups = len(group_weight)
    mean = group_total.sum() / group_weight.sum()
    # Deviations from the mean, so that equal values resample to exactly their mean.
    deviation = np.bincount(codes, weight[counts] * (values[counts] - mean))
    rng = check_random_state(random_state)
    n_resamples = int(n_resamples)  # bool is an int, but no shape
    resampled = np.empty(n_resamples)
    chunk = max(1, CHUNK_DRAWS // n_groups)
    for start in range(0, n_resamples, chunk):
        rows = resampled[start : start + chunk]
        drawn = rng.randint(n_groups, size=(len(rows), n_groups))
        rows[:] = mean + deviation[drawn].sum(axis=1) / group_weight[drawn].sum(axis=1)
    interval = (np.nan, np.nan)
    if n_groups > 1:
        tail = _tail(confidence_level, n_groups)
        low, high = np.quantile(resampled, [tail, 1 - tail])
        interval = (float(low), float(high))
    return Bunch(mean=float(mean), interval=interval, resampled=resampled, n_groups=n_groups)


def _tail(confidence_level, n_groups):
    """Return the share of resamples to leave out on each side."""
    quantile = t.ppf((1 + confidence_level) / 2, n_groups - 1)
    return float(norm.cdf(-np.sqrt(n_groups / (n_groups - 1)) * quantile))


def _p_value(resampled, n_groups):
    """Return the level at which the interval of :func:`_tail` starts to hold 0."""
    n_beyond = min(np.sum(resampled <= 0), np.sum(resampled >= 0))
    tail = (n_beyond + 1) / (len(resampled) + 1)
    if n_groups < 2 or tail >= 0.5:
        return 1.0
    quantile = -norm.ppf(tail) * np.sqrt((n_groups - 1) / n_groups)
    return float(2 * t.sf(quantile, n_groups - 1))


@validate_params(
    {
        "outcomes": ARRAY,
        "sample_weight": OPTIONAL_ARRAY,
        "pos_label": ANY_LABEL,
        **BOOTSTRAP_PARAMS,
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
    n_resamples=2000,
    random_state=None,
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
    n_resamples : int, default=2000
        Bootstrap samples; used with ``groups`` only.
    random_state : int, RandomState instance or None, default=None
        Draws the bootstrap samples.

    Returns
    -------
    result : Bunch
        ``win_rate``, ``low`` and ``high`` (floats), ``n_pairs`` and ``n_groups`` (ints), of the
        pairs that weigh more than 0.

    Raises
    ------
    ValueError
        If outcomes are outside [0, 1], or all pairs are in one group.

    Notes
    -----
    The win rate is :math:`\sum s_i y_i / \sum s_i`. Without groups the interval is Wilson's
    (:func:`wilson_interval`) for :math:`(\sum s)^2 / \sum s^2` pairs. With G groups, whole groups
    are drawn with replacement and the interval has the percentiles of the resampled win rates at
    :math:`\Phi(-\sqrt{G / (G - 1)}\, t_{G - 1})` and one minus that, with the quantile of Student's
    t: the percentile interval, widened to cover for few groups [1]_. Where all groups agree, so
    that resampling shows no doubt, it is Wilson's for G pairs.

    References
    ----------
    .. [1] Hesterberg, T. C. (2015). "What teachers should know about the bootstrap: resampling in
       the undergraduate statistics curriculum." The American Statistician 69(4), 371-386.

    Examples
    --------
    >>> from sklearn_codex.metrics import win_rate
    >>> result = win_rate([1, 1, 0, 0.5], groups=["p", "p", "q", "r"], random_state=0)
    >>> result.win_rate, result.n_groups
    (0.625, 3)
    """
    credits = check_soft_labels(outcomes, name="outcomes", pos_label=pos_label)
    weight = check_weight(sample_weight, credits)
    codes = check_groups(groups, len(credits))[0]
    weight, credits, codes = drop_weightless(weight, credits, codes)
    codes, n_groups = check_groups(codes, len(codes))
    if groups is not None:
        _check_several_groups(n_groups)
    share, low, high = share_interval(
        credits,
        weight,
        None if groups is None else codes,
        confidence_level=confidence_level,
        n_resamples=n_resamples,
        random_state=random_state,
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
        Bootstrap samples.
    random_state : int, RandomState instance or None, default=None
        Draws the bootstrap samples.

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
    Both models see the same prompts, so differences are taken first and prompts resampled after:
    what makes a prompt hard for both cancels. The interval is that of :func:`win_rate` with groups.
    The p-value is the level at which this interval begins to contain 0, its tail counted as
    (1 + number of resamples beyond 0) / (1 + n_resamples), so that it is never 0.

    The standard error is the standard deviation of the resampled differences times
    :math:`\sqrt{G / (G - 1)}`. Resampling G groups as they are divides their squared deviations by
    G and not by G - 1, so that its variance is too small by (G - 1) / G [1]_ [2]_; for groups of
    equal size the product is the usual standard error of their means.

    References
    ----------
    .. [1] Efron, B. and Tibshirani, R. J. (1993). "An introduction to the bootstrap." Chapman and
       Hall, chapters 5, 13 and 15.
    .. [2] Hesterberg, T. C. (2015). "What teachers should know about the bootstrap: resampling in
       the undergraduate statistics curriculum." The American Statistician 69(4), 371-386.

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
    _check_several_groups(n_groups)
    result = bootstrap_mean(
        difference,
        weight,
        codes,
        n_resamples=n_resamples,
        confidence_level=confidence_level,
        random_state=random_state,
    )
    low, high = result.interval
    return Bunch(
        difference=result.mean,
        low=low,
        high=high,
        standard_error=float(np.sqrt(n_groups / (n_groups - 1)) * result.resampled.std()),
        p_value=_p_value(result.resampled, result.n_groups),
        n_pairs=len(difference),
        n_groups=n_groups,
    )


def _check_metric(values, n_pairs, name):
    values = check_scores(values, n_pairs, name=name)
    if np.isinf(values).any():
        raise ValueError(f"{name} should be finite, but {np.isinf(values).sum()} are infinite.")
    return values


def _check_several_groups(n_groups):
    if n_groups < 2:
        raise ValueError(
            f"Resampling groups needs at least 2 of them, got {n_groups}. Give the prompt of each "
            "pair as groups, or leave groups out where pairs are independent."
        )
