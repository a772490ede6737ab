"""The win rate of a system against a baseline, as if both answered at one length."""

from numbers import Real

import numpy as np
from scipy.special import expit
from scipy.stats import norm
from sklearn.utils import Bunch
from sklearn.utils._param_validation import Interval, validate_params

from sklearn_codex._checks import check_sample_weight
from sklearn_codex._data.designs import DifferenceDesign
from sklearn_codex._data.groups import encode_groups
from sklearn_codex._reward.bradley_terry import BradleyTerryLoss, fit_weights
from sklearn_codex._reward.nuisance import length_columns, length_scale
from sklearn_codex._soft_labels import check_soft_labels
from sklearn_codex.metrics._checks import check_scores

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
        Weights of pairs.
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
        If labels are outside [0, 1], or lengths of arrays differ.

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
    a, by the sandwich estimate of its variance clustered by group, taken through the sigmoid.

    References
    ----------
    .. [1] Dubois, Y., Galambosi, B., Liang, P. and Hashimoto, T. B. (2024). "Length-controlled
       AlpacaEval: a simple way to debias automatic evaluators." arXiv:2404.04475.

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
    codes = None if groups is None else encode_groups(groups, len(label))
    weight = check_sample_weight(
        sample_weight,
        label,
        dtype=np.float64,
        ensure_non_negative=True,
        allow_all_zero_weights=False,
    )
    columns = length_columns(difference, length_scale(difference, weight))
    design = DifferenceDesign(np.column_stack([np.ones(len(label)), columns]))  # (n_pairs, 3)
    loss = BradleyTerryLoss(design, label, weight, penalty=np.full(3, WEAK_PENALTY))
    state = fit_weights(loss)
    advantage = float(state.weights[0])
    error = np.sqrt(_sandwich(loss, state.margins, codes)[0, 0])
    bound = norm.ppf((1 + confidence_level) / 2) * error
    return Bunch(
        win_rate=float(expit(advantage)),
        interval=expit([advantage - bound, advantage + bound]),
        raw_win_rate=float(np.average(label, weights=weight)),
        advantage=advantage,
        length_coef=state.weights[1:],
    )


def _sandwich(loss, margins, codes):
    """Return H^-1 B H^-1 (3, 3), B the variance of the gradient's sums by group."""
    counts = loss.pair_weight > 0
    residual = (loss.pair_weight * (expit(margins) - loss.target))[counts]
    parts = residual[:, np.newaxis] * loss.design.differences[counts]  # (n_counted, 3)
    if codes is not None:
        _, codes = np.unique(codes[counts], return_inverse=True)
        parts = np.column_stack([np.bincount(codes, part) for part in parts.T])
    inverse = np.linalg.inv(loss.design.gram(loss.curvature(margins)) + np.diag(loss.penalty))
    n_groups = max(len(parts), 2)
    return inverse @ (parts.T @ parts) @ inverse * (n_groups / (n_groups - 1))
