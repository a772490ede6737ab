"""Scores of margins and probabilities against preference labels, hard, tied or soft."""

import warnings

import numpy as np
from scipy.special import xlog1py, xlogy
from scipy.stats import kendalltau
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import roc_auc_score
from sklearn.utils._param_validation import StrOptions, validate_params

from sklearn_codex._checks.numbers import check_weight
from sklearn_codex._checks.probabilities import check_soft_labels
from sklearn_codex.metrics._checks import (
    ANY_LABEL,
    ARRAY,
    OPTIONAL_ARRAY,
    check_probability,
    check_scores,
)


def scored_pairs(y_true, margin, sample_weight, *, ties, harden, pos_label):
    """Return the credit and the weight of each pair (n_pairs,) and which pairs count (bool)."""
    label = check_soft_labels(y_true, name="y_true", pos_label=pos_label)
    margin = check_scores(margin, len(label))
    weight = check_weight(sample_weight, label)
    if harden:
        label = hard_label(label)
    counts = np.full(len(label), True) if ties == "half" else label != 0.5
    if not weight[counts].any():
        raise ValueError(
            f"All {len(label)} pairs of y_true are ties or weigh 0, and ties='exclude' leaves none "
            "to score. Pass ties='half'."
        )
    return credit(label, margin), weight, counts


def hard_label(label):
    """Return 1, 0.5 or 0 where the label is above, at or below one half."""
    return 0.5 + 0.5 * np.sign(label - 0.5)


def credit(label, margin):
    """Return the probability that the side a margin is on is the preferred one; 0.5 at margin 0."""
    return 0.5 + (label - 0.5) * np.sign(margin)


@validate_params(
    {
        "y_true": ARRAY,
        "margin": ARRAY,
        "sample_weight": OPTIONAL_ARRAY,
        "ties": [StrOptions({"half", "exclude"})],
        "harden": ["boolean"],
        "pos_label": ANY_LABEL,
    },
    prefer_skip_nested_validation=True,
)
def preference_accuracy(
    y_true, margin, *, sample_weight=None, ties="half", harden=False, pos_label=None
):
    r"""Share of pairs whose preferred response has the greater reward, ties half.

    Parameters
    ----------
    y_true : array-like of shape (n_pairs,)
        Probability that A is preferred: 1, 0, 0.5 for a tie, or a soft label between.
    margin : array-like of shape (n_pairs,)
        Reward margins r(A) - r(B). Only their sign counts; 0 is a tie of the model.
    sample_weight : array-like of shape (n_pairs,), default=None
        Weights of pairs.
    ties : {"half", "exclude"}, default="half"
        A pair labelled 0.5 gives half a point whatever the margin, or is left out.
    harden : bool, default=False
        Whether soft labels are first rounded to 1, 0.5 or 0, so that the share is one of agreement
        with the majority.
    pos_label : label, default=None
        The class of ``y_true`` that means A is preferred. None: ``y_true`` holds probabilities.

    Returns
    -------
    accuracy : float
        In [0, 1].

    Raises
    ------
    ValueError
        If labels are outside [0, 1], or no pair is left to score.

    See Also
    --------
    accuracy_by_slice : The same with intervals, for parts of the pairs.

    Notes
    -----
    With labels p, margins m and weights s, the accuracy is the weighted mean of the credit

    .. math::
        c_i = \tfrac{1}{2} + (p_i - \tfrac{1}{2}) \operatorname{sign}(m_i),

    the probability that a label drawn with p agrees with the margin. It is the accuracy on the rows
    of :func:`~sklearn_codex.labels.expand_soft_labels`. A soft label therefore bounds it by the
    mean of max(p, 1 - p), unless ``harden=True``. Counting equal rewards as wrong, as some trainers
    do, punishes a model for abstaining more than for guessing; half a point is the expectation of a
    guess.

    Examples
    --------
    >>> from sklearn_codex.metrics import preference_accuracy
    >>> preference_accuracy([1, 0, 1, 0.5], [2.0, -1.0, 0.0, 3.0])
    0.75
    >>> preference_accuracy([1, 0, 1, 0.5], [2.0, -1.0, 1.0, 3.0], ties="exclude")
    1.0
    """
    points, weight, counts = scored_pairs(
        y_true, margin, sample_weight, ties=ties, harden=harden, pos_label=pos_label
    )
    return float(np.average(points[counts], weights=weight[counts]))


def _labels_and_probability(y_true, y_prob, sample_weight, pos_label):
    label = check_soft_labels(y_true, name="y_true", pos_label=pos_label)
    return label, check_probability(y_prob, len(label)), check_weight(sample_weight, label)


_PROBABILITY_PARAMS = {
    "y_true": ARRAY,
    "y_prob": ARRAY,
    "sample_weight": OPTIONAL_ARRAY,
    "pos_label": ANY_LABEL,
}


@validate_params(_PROBABILITY_PARAMS, prefer_skip_nested_validation=True)
def preference_log_loss(y_true, y_prob, *, sample_weight=None, pos_label=None):
    r"""Mean log-loss of P(A preferred) against hard or soft labels, in nats.

    Parameters
    ----------
    y_true : array-like of shape (n_pairs,)
        Probability that A is preferred: 1, 0, 0.5 for a tie, or a soft label between.
    y_prob : array-like of shape (n_pairs,) or (n_pairs, 2)
        Predicted P(A preferred), or both columns of ``predict_proba``, that of A last.
    sample_weight : array-like of shape (n_pairs,), default=None
        Weights of pairs.
    pos_label : label, default=None
        The class of ``y_true`` that means A is preferred. None: ``y_true`` holds probabilities.

    Returns
    -------
    loss : float
        Nats per pair. A coin has log 2 = 0.693.

    Raises
    ------
    ValueError
        If labels or probabilities are outside [0, 1].

    Notes
    -----
    .. math::
        \frac{1}{\sum_i s_i} \sum_i s_i [-p_i \log q_i - (1 - p_i) \log(1 - q_i)]

    with labels p and predictions q, which are clipped to [eps, 1 - eps] of float64, as in
    :func:`sklearn.metrics.log_loss`. Its minimum, at q = p, is the mean entropy of the labels.

    Examples
    --------
    >>> from sklearn_codex.metrics import preference_log_loss
    >>> preference_log_loss([1, 0, 0.5], [0.9, 0.1, 0.5])
    0.301...
    """
    label, probability, weight = _labels_and_probability(y_true, y_prob, sample_weight, pos_label)
    eps = np.finfo(np.float64).eps
    probability = np.clip(probability, eps, 1 - eps)
    losses = -xlogy(label, probability) - xlog1py(1 - label, -probability)
    return float(np.average(losses, weights=weight))


@validate_params(_PROBABILITY_PARAMS, prefer_skip_nested_validation=True)
def preference_brier_loss(y_true, y_prob, *, sample_weight=None, pos_label=None):
    r"""Mean squared error of P(A preferred) against a label drawn from hard or soft labels.

    Parameters
    ----------
    y_true : array-like of shape (n_pairs,)
        Probability that A is preferred: 1, 0, 0.5 for a tie, or a soft label between.
    y_prob : array-like of shape (n_pairs,) or (n_pairs, 2)
        Predicted P(A preferred), or both columns of ``predict_proba``, that of A last.
    sample_weight : array-like of shape (n_pairs,), default=None
        Weights of pairs.
    pos_label : label, default=None
        The class of ``y_true`` that means A is preferred. None: ``y_true`` holds probabilities.

    Returns
    -------
    loss : float
        In [0, 1]. A coin has 0.25.

    Raises
    ------
    ValueError
        If labels or probabilities are outside [0, 1].

    Notes
    -----
    With labels p and predictions q, the weighted mean of

    .. math::
        p (1 - q)^2 + (1 - p) q^2 = (q - p)^2 + p (1 - p),

    which is :func:`sklearn.metrics.brier_score_loss` on the rows of
    :func:`~sklearn_codex.labels.expand_soft_labels`, so that a tie counts as two half labels here
    as everywhere. It exceeds the squared error against the soft labels themselves by p (1 - p),
    which no prediction can change.

    References
    ----------
    .. [1] Brier, G. W. (1950). "Verification of forecasts expressed in terms of probability."
       Monthly Weather Review 78(1), 1-3.

    Examples
    --------
    >>> from sklearn_codex.metrics import preference_brier_loss
    >>> round(preference_brier_loss([1, 0, 0.5], [0.9, 0.1, 0.5]), 4)
    0.09
    """
    label, probability, weight = _labels_and_probability(y_true, y_prob, sample_weight, pos_label)
    losses = (probability - label) ** 2 + label * (1 - label)
    return float(np.average(losses, weights=weight))


@validate_params(
    {
        "y_true": ARRAY,
        "margin": ARRAY,
        "sample_weight": OPTIONAL_ARRAY,
        "pos_label": ANY_LABEL,
    },
    prefer_skip_nested_validation=True,
)
def preference_auc(y_true, margin, *, sample_weight=None, pos_label=None):
    """Area under the ROC curve of margins, with hard or soft labels.

    The probability that the margin of a pair where A is preferred exceeds that of a pair where B
    is: unlike accuracy, it compares margins between pairs.

    Parameters
    ----------
    y_true : array-like of shape (n_pairs,)
        Probability that A is preferred: 1, 0, 0.5 for a tie, or a soft label between.
    margin : array-like of shape (n_pairs,)
        Reward margins r(A) - r(B), or any increasing function of them.
    sample_weight : array-like of shape (n_pairs,), default=None
        Weights of pairs.
    pos_label : label, default=None
        The class of ``y_true`` that means A is preferred. None: ``y_true`` holds probabilities.

    Returns
    -------
    auc : float
        In [0, 1]; NaN, with a warning, where the labels have only one class.

    Raises
    ------
    ValueError
        If labels are outside [0, 1].

    Warns
    -----
    UndefinedMetricWarning
        If all labels are 1, or all are 0, as in data given as chosen and rejected. Exchange the
        responses of half of the pairs first.

    Notes
    -----
    :func:`sklearn.metrics.roc_auc_score` on the rows of
    :func:`~sklearn_codex.labels.expand_soft_labels`: each pair as a positive of weight p and a
    negative of weight 1 - p.

    Examples
    --------
    >>> from sklearn_codex.metrics import preference_auc
    >>> preference_auc([1, 0, 1, 0], [2.0, -1.0, 0.5, 1.0])
    0.75
    """
    label = check_soft_labels(y_true, name="y_true", pos_label=pos_label)
    margin = check_scores(margin, len(label))
    weight = check_weight(sample_weight, label)
    # Ranks order as margins do, and an infinite margin has one.
    ranks = np.unique(margin, return_inverse=True)[1].reshape(-1)
    hard = np.repeat([1, 0], len(label))
    row_weight = np.concatenate([weight * label, weight * (1 - label)])
    kept = row_weight > 0
    ranks = np.concatenate([ranks, ranks])
    return float(roc_auc_score(hard[kept], ranks[kept], sample_weight=row_weight[kept]))


@validate_params(
    {"gold": ARRAY, "score": ARRAY, "sample_weight": OPTIONAL_ARRAY},
    prefer_skip_nested_validation=True,
)
def spearman_correlation(gold, score, *, sample_weight=None):
    """Spearman's rank correlation of scores with gold scores.

    Parameters
    ----------
    gold : array-like of shape (n_samples,)
        Gold scores of responses, or gold margins or soft labels of pairs.
    score : array-like of shape (n_samples,)
        Rewards or margins.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights; a weight of 2 is the sample twice.

    Returns
    -------
    rho : float
        In [-1, 1]; NaN, with a warning, where one side is constant.

    Warns
    -----
    UndefinedMetricWarning
        If gold scores or scores are all equal.

    Notes
    -----
    Pearson's correlation of the ranks. The weighted rank of a value is the weight below it plus
    half the weight of the values equal to it, itself included, so without weights this is
    :func:`scipy.stats.spearmanr`.

    Examples
    --------
    >>> from sklearn_codex.metrics import spearman_correlation
    >>> round(spearman_correlation([1, 2, 3, 4], [1.0, 3.0, 2.0, 9.0]), 3)
    0.8
    """
    gold, score = _check_gold(gold, score)
    weight = check_weight(sample_weight, gold)
    return weighted_correlation(
        _weighted_ranks(gold, weight), _weighted_ranks(score, weight), weight
    )


@validate_params({"gold": ARRAY, "score": ARRAY}, prefer_skip_nested_validation=True)
def kendall_correlation(gold, score):
    """Kendall's tau-b of scores with gold scores.

    Parameters
    ----------
    gold : array-like of shape (n_samples,)
        Gold scores of responses, or gold margins or soft labels of pairs.
    score : array-like of shape (n_samples,)
        Rewards or margins.

    Returns
    -------
    tau : float
        In [-1, 1]; NaN, with a warning, where one side is constant.

    Warns
    -----
    UndefinedMetricWarning
        If gold scores or scores are all equal.

    Notes
    -----
    :func:`scipy.stats.kendalltau`: concordant less discordant pairs of samples, over the geometric
    mean of the pairs not tied in one and not tied in the other.

    Examples
    --------
    >>> from sklearn_codex.metrics import kendall_correlation
    >>> round(kendall_correlation([1, 2, 3, 4], [1.0, 3.0, 2.0, 9.0]), 3)
    0.667
    """
    gold, score = _check_gold(gold, score)
    if np.ptp(_weighted_ranks(gold)) == 0 or np.ptp(_weighted_ranks(score)) == 0:
        return _undefined_correlation()
    return float(kendalltau(gold, score).statistic)


def _check_gold(gold, score):
    gold = check_scores(gold, None, name="gold")
    return gold, check_scores(score, len(gold), name="score")


def _weighted_ranks(values, weight=None):
    """Return the weight below each value plus half the weight at it (n_samples,)."""
    levels = np.unique(values, return_inverse=True)[1].reshape(-1)
    totals = np.bincount(levels, weight)
    return (np.cumsum(totals) - totals / 2)[levels]


def weighted_correlation(first, second, weight):
    """Return Pearson's correlation; NaN, with a warning, where one side is constant."""
    counts = weight > 0
    first, second, weight = first[counts], second[counts], weight[counts]
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return _undefined_correlation()
    # In units of the greatest, so that no square leaves the range of floats.
    first, second = (_center(x / np.abs(x).max(), weight) for x in (first, second))
    spread = np.sqrt((weight @ first**2) * (weight @ second**2))
    return float(np.clip((weight * first) @ second / spread, -1.0, 1.0))


def _center(values, weight):
    values = values - np.average(values, weights=weight)
    return values / (np.abs(values).max() or 1.0)


def _undefined_correlation():
    warnings.warn(
        "A correlation is not defined where all gold scores, or all scores, are equal: NaN is "
        "returned.",
        UndefinedMetricWarning,
        stacklevel=3,
    )
    return float("nan")
