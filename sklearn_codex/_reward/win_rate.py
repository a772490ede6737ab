"""The win rate of a system against a baseline, as if both answered at one length."""

import warnings
from numbers import Real

import numpy as np
from scipy.special import expit
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import Bunch
from sklearn.utils._param_validation import Interval, validate_params

from sklearn_codex._checks.groups import encode_groups
from sklearn_codex._checks.numbers import check_weight
from sklearn_codex._checks.probabilities import check_soft_labels
from sklearn_codex._data.designs import DifferenceDesign, length_columns, length_scale
from sklearn_codex._few_groups import check_several_groups, critical_value
from sklearn_codex._reward.bradley_terry import BradleyTerryLoss, fit_weights
from sklearn_codex._reward.jackknife import GroupMoves, sort_by_group
from sklearn_codex._solve.precision import DensePrecision, WeightCovariance
from sklearn_codex.metrics._checks import check_scores
from sklearn_codex.metrics._intervals import share_interval

# The precision of a prior on each term: nothing beside a few pairs, and finite where A always wins.
WEAK_PENALTY = 1e-3


@validate_params(
    {
        "y": ["array-like"],
        "length_difference": ["array-like"],
        "sample_weight": ["array-like", None],
        "groups": ["array-like", None],
        "confidence_level": [Interval(Real, 0, 1, closed="neither")],
    },
    prefer_skip_nested_validation=True,
)
def length_controlled_win_rate(
    y, length_difference, *, sample_weight=None, groups=None, confidence_level=0.95
):
    r"""Win rate of a system against a baseline at equal length.

    Parameters
    ----------
    y : array-like of shape (n_pairs,)
        Probability that the system is preferred to the baseline: 1, 0, 0.5 for a tie, or between.
    length_difference : array-like of shape (n_pairs,)
        By how much its response is longer than that of the baseline, in any unit.
    sample_weight : array-like of shape (n_pairs,), default=None
        Weights of pairs: a weight of 2 is the pair twice, both in one group.
    groups : array-like of shape (n_pairs,), default=None
        Prompt of each pair, for the interval. None: pairs are independent.
    confidence_level : float, default=0.95
        Of the interval.

    Returns
    -------
    result : Bunch
        ``win_rate``, at equal length; ``interval`` (2,); ``raw_win_rate``, the mean label;
        ``advantage``, the log-odds of ``win_rate``; ``length_coef`` (2,), what d and tanh(d) add to
        the log-odds.

    Raises
    ------
    ValueError
        If labels are outside [0, 1], lengths of arrays differ, or all pairs are in one group.

    Warns
    -----
    ConvergenceWarning
        If length alone tells every label, so that nothing is known of equal length.

    See Also
    --------
    PreferenceRewardModel : With ``control_length=True``, a whole reward net of length; with
        ``position_bias=True`` and the system as A, ``expit(model.reward_margin(X) +
        model.position_bias_).mean()`` is its win rate at equal length, response by response.

    Notes
    -----
    As in length-controlled AlpacaEval [1]_, without its term for the difficulty of a prompt, a
    logistic regression

    .. math:: P(\text{system preferred}) = \sigma(a + c_1 d + c_2 \tanh d)

    of d, the length difference over its root mean square, is evaluated at d = 0. The interval is of
    a, as those of :class:`~sklearn_codex.RewardUncertainty` with ``kind="sandwich"`` [2]_, taken
    through the sigmoid. Where one of the two always wins it is that of
    :func:`~sklearn_codex.metrics.win_rate`.

    References
    ----------
    .. [1] Dubois, Y., Galambosi, B., Liang, P. and Hashimoto, T. B. (2024). "Length-controlled
       AlpacaEval: a simple way to debias automatic evaluators." arXiv:2404.04475.
    .. [2] MacKinnon, J. G., Nielsen, M. Ø. and Webb, M. D. (2023). "Fast and reliable jackknife
       and bootstrap methods for cluster-robust inference." Journal of Applied Econometrics 38(5),
       671-694.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.special import expit
    >>> from sklearn_codex import length_controlled_win_rate
    >>> difference = np.random.RandomState(0).normal(100, 200, size=2000)
    >>> y = expit(difference / 100)  # longer wins, and nothing else
    >>> result = length_controlled_win_rate(y, difference)
    >>> round(result.raw_win_rate, 2), round(result.win_rate, 2)
    (0.64, 0.5)
    """
    label = check_soft_labels(y, name="y")
    difference = check_scores(length_difference, len(label), name="length_difference")
    if np.isinf(difference).any():
        raise ValueError("length_difference should be finite, but holds infinite values.")
    codes = np.arange(len(label)) if groups is None else encode_groups(groups, len(label))
    weight = check_weight(sample_weight, label)
    n_groups = len(np.unique(codes[weight > 0]))
    check_several_groups(n_groups, subject="length_controlled_win_rate")
    columns = length_columns(difference, length_scale(difference, weight))
    design = np.column_stack([np.ones(len(label)), columns])  # (n_pairs, 3)
    loss = BradleyTerryLoss(
        DifferenceDesign(design), label, weight, penalty=np.full(3, WEAK_PENALTY)
    )
    state = fit_weights(loss)
    advantage = float(state.point.weights[0])
    return Bunch(
        win_rate=float(expit(advantage)),
        interval=_interval(label, weight, design, loss, state, codes, confidence_level),
        raw_win_rate=float(np.average(label, weights=weight)),
        advantage=advantage,
        length_coef=state.point.weights[1:],
    )


def _interval(label, weight, design, loss, state, codes, confidence_level):
    """Return the ends (2,) of the interval of the win rate at equal length."""
    kept = np.flatnonzero(weight > 0)
    order, sizes = sort_by_group(codes[kept])
    kept = kept[order]
    label, margin = label[kept], state.point.margins[kept]
    if np.all(label == label[0]):
        return np.array(share_interval(label, weight[kept], codes[kept],
                                       confidence_level=confidence_level)[1:])  # fmt: skip
    if np.all(np.where(margin > 0, label == 1, label == 0)):
        warnings.warn(
            "length_controlled_win_rate found that length alone tells every label, so that the win "
            "rate at equal length can be anything: the interval is [0, 1].",
            ConvergenceWarning,
            stacklevel=3,
        )
        return np.array([0.0, 1.0])
    root = np.sqrt(state.curvature.by_margin[kept])
    rows = root[:, np.newaxis] * design[kept]
    precision = DensePrecision(rows, loss.penalty)
    residual = weight[kept] * (label - expit(margin)) / root
    covariance = WeightCovariance(precision, GroupMoves(precision, rows, residual, sizes))
    variance, n_effective = covariance.variance_and_groups(np.eye(1, 3))
    quantile = critical_value(confidence_level, n_effective, len(sizes))
    half = float((quantile * np.sqrt(variance))[0])
    return expit(state.point.weights[0] + np.array([-half, half]))
