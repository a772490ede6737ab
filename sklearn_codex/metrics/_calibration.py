"""Calibration of P(A preferred): reliability by bin, and the expected calibration error."""

from numbers import Integral

import numpy as np
from scipy.special import erf
from sklearn.utils._param_validation import Interval, StrOptions, validate_params

from sklearn_codex._checks.numbers import check_weight
from sklearn_codex._checks.probabilities import check_soft_labels
from sklearn_codex._tables import Table
from sklearn_codex.metrics._checks import (
    ANY_LABEL,
    ARRAY,
    OPTIONAL_ARRAY,
    check_probability,
)

_BINNING_PARAMS = {
    "y_true": ARRAY,
    "y_prob": ARRAY,
    "n_bins": [Interval(Integral, 1, 2**20, closed="both")],
    "strategy": [StrOptions({"uniform", "quantile"})],
    "sample_weight": OPTIONAL_ARRAY,
    "pos_label": ANY_LABEL,
}


@validate_params(_BINNING_PARAMS, prefer_skip_nested_validation=True)
def reliability_table(
    y_true, y_prob, *, n_bins=10, strategy="uniform", sample_weight=None, pos_label=None
):
    r"""Mean predicted and observed preference in bins of the prediction.

    Parameters
    ----------
    y_true : array-like of shape (n_pairs,)
        Probability that A is preferred: 1, 0, 0.5 for a tie, or a soft label between.
    y_prob : array-like of shape (n_pairs,) or (n_pairs, 2)
        Predicted P(A preferred), or both columns of ``predict_proba``, that of A last.
    n_bins : int, default=10
        Number of bins; empty ones are left out.
    strategy : {"uniform", "quantile"}, default="uniform"
        Bins of equal width on [0, 1], or of equal weight as far as equal predictions, which share a
        bin, allow.
    sample_weight : array-like of shape (n_pairs,), default=None
        Weights of pairs.
    pos_label : label, default=None
        The class of ``y_true`` that means A is preferred. None: ``y_true`` holds probabilities.

    Returns
    -------
    table : Table
        One row a bin, with the columns

        low, high : ndarray of shape (n_rows,)
            Borders; a bin is (low, high], the first one includes its lower border.
        n : ndarray of int of shape (n_rows,)
            Pairs in the bin.
        weight : ndarray of shape (n_rows,)
            Share of the whole weight.
        predicted, observed : ndarray of shape (n_rows,)
            Weighted means of the predictions and of the labels.
        standard_error : ndarray of shape (n_rows,)
            That of ``observed - predicted``, for independent pairs.

    Raises
    ------
    ValueError
        If labels or probabilities are outside [0, 1].

    See Also
    --------
    expected_calibration_error : One number from this table.
    sklearn.calibration.CalibrationDisplay : Draws the curve for hard labels.

    Notes
    -----
    With residuals r = y - q and weights s in a bin of n pairs, the squared standard error is
    :math:`\frac{n}{n - 1} \sum s^2 (r - \bar r)^2 / (\sum s)^2`; for n = 1 it is q (1 - q).

    Examples
    --------
    >>> from sklearn_codex.metrics import reliability_table
    >>> print(reliability_table([0, 0, 1, 0, 1, 1], [0.2, 0.2, 0.2, 0.8, 0.8, 0.8], n_bins=2))
      low   high  n  weight  predicted  observed  standard_error
    0.000  0.500  3   0.500      0.200     0.333           0.333
    0.500  1.000  3   0.500      0.800     0.667           0.333
    """
    label = check_soft_labels(y_true, name="y_true", pos_label=pos_label)
    probability = check_probability(y_prob, len(label))
    weight = check_weight(sample_weight, label)
    if strategy == "uniform":
        edges = np.linspace(0, 1, n_bins + 1)
    else:
        edges = _quantile_edges(probability, weight, n_bins)
    bins = np.searchsorted(edges[1:-1], probability)  # (n_pairs,); a border belongs below it
    totals = np.bincount(bins, weight, len(edges) - 1)
    rows = np.flatnonzero(totals)
    totals = totals[rows]

    def add_up(values):
        return np.bincount(bins, values, len(edges) - 1)[rows]

    n = add_up((weight > 0).astype(np.float64))
    predicted, observed = add_up(weight * probability) / totals, add_up(weight * label) / totals
    gap = np.zeros(len(edges) - 1)
    gap[rows] = observed - predicted
    residual = label - probability - gap[bins]
    variance = add_up(weight**2 * residual**2) / totals**2 * n / np.maximum(n - 1, 1)
    variance = np.where(n > 1, variance, predicted * (1 - predicted))
    return Table(
        low=edges[rows],
        high=edges[rows + 1],
        n=n.astype(np.intp),
        weight=totals / totals.sum(),
        predicted=predicted,
        observed=observed,
        standard_error=np.sqrt(variance),
    )


def _quantile_edges(probability, weight, n_bins):
    """Return 0, the weighted quantiles of the predictions and 1; each once."""
    levels, index = np.unique(probability, return_inverse=True)
    share = np.cumsum(np.bincount(index.reshape(-1), weight)) / weight.sum()
    wanted = np.arange(1, n_bins) / n_bins
    # A share that is a quantile up to rounding is that quantile.
    inner = levels[np.minimum(np.searchsorted(share, wanted - 1e-12), len(levels) - 1)]
    return np.concatenate([[0.0], np.setdiff1d(inner, [0.0, 1.0]), [1.0]])


@validate_params(
    {**_BINNING_PARAMS, "norm": [StrOptions({"l1", "l2"})], "debias": ["boolean"]},
    prefer_skip_nested_validation=True,
)
def expected_calibration_error(
    y_true,
    y_prob,
    *,
    n_bins=10,
    strategy="uniform",
    norm="l1",
    debias=False,
    sample_weight=None,
    pos_label=None,
):
    r"""Measure how far P(A preferred) is from calibrated: the expected calibration error (ECE).

    Parameters
    ----------
    y_true : array-like of shape (n_pairs,)
        Probability that A is preferred: 1, 0, 0.5 for a tie, or a soft label between.
    y_prob : array-like of shape (n_pairs,) or (n_pairs, 2)
        Predicted P(A preferred), or both columns of ``predict_proba``, that of A last.
    n_bins : int, default=10
        Number of bins.
    strategy : {"uniform", "quantile"}, default="uniform"
        Bins of equal width on [0, 1], or of equal weight, see :func:`reliability_table`.
    norm : {"l1", "l2"}, default="l1"
        Mean absolute or root mean square gap of the bins.
    debias : bool, default=False
        Whether to subtract what chance adds, see Notes.
    sample_weight : array-like of shape (n_pairs,), default=None
        Weights of pairs.
    pos_label : label, default=None
        The class of ``y_true`` that means A is preferred. None: ``y_true`` holds probabilities.

    Returns
    -------
    error : float
        In [0, 1]; 0 is calibrated.

    Raises
    ------
    ValueError
        If labels or probabilities are outside [0, 1].

    See Also
    --------
    reliability_table : The bins.

    Notes
    -----
    With the weight share w and the gap d = mean label - mean prediction of each bin b [1]_,

    .. math::
        \mathrm{ECE}_1 = \sum_b w_b |d_b|, \qquad \mathrm{ECE}_2 = \sqrt{\sum_b w_b d_b^2}.

    Both depend on the binning, and chance makes them positive even where the model is perfectly
    calibrated, the more so the fewer pairs a bin has. ``debias=True`` subtracts an estimate of that
    part from the standard errors e of the gaps [2]_:

    .. math::
        \max\Bigl(0, \sum_b w_b \bigl(2 |d_b| - \mathbb{E} |N(d_b, e_b^2)|\bigr)\Bigr), \qquad
        \sqrt{\max\Bigl(0, \sum_b w_b (d_b^2 - e_b^2)\Bigr)}.

    The sum under the root is unbiased. The other is a correction of first order: on a perfectly
    calibrated model it takes away two fifths of the chance part.

    References
    ----------
    .. [1] Naeini, M. P., Cooper, G. F. and Hauskrecht, M. (2015). "Obtaining well calibrated
       probabilities using Bayesian binning." AAAI 29.
    .. [2] Kumar, A., Liang, P. and Ma, T. (2019). "Verified uncertainty calibration." Advances in
       Neural Information Processing Systems 32; their resampling has this closed form.

    Examples
    --------
    >>> from sklearn_codex.metrics import expected_calibration_error
    >>> y_true, y_prob = [0, 0, 1, 0, 1, 1], [0.2, 0.2, 0.2, 0.8, 0.8, 0.8]
    >>> round(expected_calibration_error(y_true, y_prob, n_bins=2), 3)
    0.133
    """
    table = reliability_table(
        y_true,
        y_prob,
        n_bins=n_bins,
        strategy=strategy,
        sample_weight=sample_weight,
        pos_label=pos_label,
    )
    gap = np.abs(table.observed - table.predicted)
    chance = table.standard_error if debias else np.zeros_like(gap)
    if norm == "l1":
        return max(0.0, float(table.weight @ (2 * gap - _mean_absolute_normal(gap, chance))))
    return float(np.sqrt(max(0.0, table.weight @ (gap**2 - chance**2))))


def _mean_absolute_normal(mean, deviation):
    """Return E|N(mean, deviation^2)|, the mean of a folded normal."""
    ratio = np.divide(mean, deviation, out=np.full_like(mean, np.inf), where=deviation > 0)
    chance = np.sqrt(2 / np.pi) * deviation * np.exp(-(ratio**2) / 2)
    return chance + mean * erf(ratio / np.sqrt(2))
