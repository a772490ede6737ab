"""How much of a preference, and of a reward model, is length."""

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit
from sklearn.utils import Bunch
from sklearn.utils._param_validation import validate_params

from sklearn_codex._categorical import root_mean_square
from sklearn_codex._checks.numbers import check_weight
from sklearn_codex._checks.probabilities import check_soft_labels
from sklearn_codex._few_groups import (
    check_several_groups,
    critical_value,
    effective_groups,
    jackknife_variance,
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
from sklearn_codex.metrics._intervals import FORMULA_PARAMS, share_interval, warn_without_effect
from sklearn_codex.metrics._preferences import credit, hard_label, spearman_correlation
from sklearn_codex.metrics._preferences import weighted_correlation as pearson_correlation

# A group that has all of the information but this part is the only one to tell of a coefficient.
ALONE = 1e-10


class LengthAudit(Bunch):
    """What :func:`length_audit` found; prints as a report."""

    def __str__(self):
        facts = {
            "longer wins": _share(self.longer_wins, self.longer_wins_interval),
            "log-odds per unit of length": (
                f"{self.length_coef:.3g} {_interval(self.length_coef_interval)}"
            ),
            "log-odds per typical gap": (
                f"{self.length_coef * self.length_scale:.3g} (a gap of {self.length_scale:.3g})"
            ),
        }
        if self.accuracy is not None:
            facts |= {
                "accuracy": _share(self.accuracy, self.accuracy_interval),
                "  where the longer is better": (
                    f"{self.accuracy_longer_preferred:.3f} (n={self.n_longer_preferred})"
                ),
                "  where the shorter is better": (
                    f"{self.accuracy_shorter_preferred:.3f} (n={self.n_shorter_preferred})"
                ),
                "model prefers the longer": f"{self.model_prefers_longer:.3f}",
                "margin and length correlate": (
                    f"{self.margin_length_correlation:.3f} "
                    f"(ranks: {self.margin_length_rank_correlation:.3f})"
                ),
            }
        title = (
            f"Length audit of {self.n_pairs} pairs in {self.n_groups} groups "
            f"({self.n_ties} ties, {self.n_equal_length} of equal length)"
        )
        return "\n".join([title, *(f"  {name:31}{fact}" for name, fact in facts.items())])


def _share(value, interval):
    return f"{value:.3f} {_interval(interval)}"


def _interval(interval):
    low, high = interval
    return f"[{low:.3g}, {high:.3g}]"


@validate_params(
    {
        "y_true": ARRAY,
        "margin": OPTIONAL_ARRAY,
        "length_difference": ARRAY,
        "sample_weight": OPTIONAL_ARRAY,
        "pos_label": ANY_LABEL,
        **FORMULA_PARAMS,
    },
    prefer_skip_nested_validation=True,
)
def length_audit(
    y_true,
    margin,
    length_difference,
    *,
    groups=None,
    sample_weight=None,
    pos_label=None,
    confidence_level=0.95,
    n_resamples="deprecated",
    random_state="deprecated",
):
    r"""Tell how far preferences, and a model of them, follow length.

    Parameters
    ----------
    y_true : array-like of shape (n_pairs,)
        Probability that A is preferred: 1, 0, 0.5 for a tie, or a soft label between.
    margin : array-like of shape (n_pairs,) or None
        Reward margins r(A) - r(B), best cross-fitted; None audits the labels only.
    length_difference : array-like of shape (n_pairs,)
        Length of A less length of B, in any unit.
    groups : array-like of shape (n_pairs,), default=None
        Prompt of each pair. None: pairs are independent.
    sample_weight : array-like of shape (n_pairs,), default=None
        Weights of pairs.
    pos_label : label, default=None
        The class of ``y_true`` that means A is preferred. None: ``y_true`` holds probabilities.
    confidence_level : float, default=0.95
        Coverage aimed at.
    n_resamples, random_state : object
        Have no effect, as intervals are formulas.

        .. deprecated:: 0.2
            Leave them out; they will be removed.

    Returns
    -------
    audit : LengthAudit
        A Bunch that prints as a report. Intervals are pairs (low, high).

        n_pairs, n_groups, n_ties, n_equal_length : int
            Sizes, of the pairs that weigh more than 0; ties are labels of 0.5.
        longer_wins : float
            Accuracy of "the longer wins" on pairs that are not ties, equal lengths half;
            ``longer_wins_interval`` as in :func:`win_rate`.
        length_coef : float
            Log-odds per unit of length in a logistic regression without intercept of the labels,
            soft ones and ties included, on the length difference; infinite where no label is
            against length; NaN where all lengths are equal. ``length_coef_interval`` is robust to
            clusters; it is infinite where only one group has lengths that differ.
        length_scale : float
            Root mean square of the length difference, a typical gap.
        accuracy : float
            Accuracy of the margin on pairs that are not ties, with ``accuracy_interval``.
        accuracy_longer_preferred, accuracy_shorter_preferred : float
            The same where the preferred response is the longer, or the shorter, of the two; with
            ``n_longer_preferred`` and ``n_shorter_preferred`` pairs. NaN without any.
        model_prefers_longer : float
            Share of the pairs of unequal length whose margin is for the longer, ties half.
        margin_length_correlation, margin_length_rank_correlation : float
            Pearson's and Spearman's correlation of margin and length difference.

        Without ``margin`` those from ``accuracy`` on are None.

    Raises
    ------
    ValueError
        If labels are outside [0, 1], there is not one number a pair, all pairs are ties, or all
        are in one group.

    Warns
    -----
    UserWarning
        If there are fewer than 5 groups, as in :func:`win_rate`.

    Notes
    -----
    Accuracies take soft labels as majorities: 1 above one half, 0 below. With labels p, weights s,
    length differences d and clusters g, the coefficient b and its variance are

    .. math::
        \sum_i s_i d_i (p_i - \sigma(b d_i)) = 0, \qquad
        \Bigl(1 - \frac{1}{G^*}\Bigr) \sum_g \Bigl(\frac{u_g}{A - A_g}\Bigr)^2,

    with :math:`u_g = \sum_{i \in g} s_i d_i (p_i - \sigma(b d_i))`, the information
    :math:`A_g = \sum_{i \in g} s_i d_i^2 \sigma(b d_i) \sigma(-b d_i)` of a cluster and A of all,
    and :math:`G^* = A^2 / \sum_g A_g^2` clusters in effect, 2 at least: the jackknife [2]_. The
    interval has the quantile of Student's t with :math:`G^* - 1` degrees of freedom. There is no
    intercept, so exchanging A and B changes nothing.

    References
    ----------
    .. [1] Singhal, P. et al. (2023). "A long way to go: investigating length correlations in RLHF."
       arXiv:2310.03716.
    .. [2] MacKinnon, J. G., Nielsen, M. Ø. and Webb, M. D. (2023). "Fast and reliable jackknife
       and bootstrap methods for cluster-robust inference." Journal of Applied Econometrics 38(5),
       671-694.

    Examples
    --------
    >>> from sklearn_codex.metrics import length_audit
    >>> audit = length_audit([1, 1, 0, 0], [2.0, 1.0, -1.0, 0.5], [30, -10, -20, 10])
    >>> print(audit)
    Length audit of 4 pairs in 4 groups (0 ties, 0 of equal length)
      longer wins                    0.500 [0.15, 0.85]
      log-odds per unit of length    0.0441 [-0.245, 0.333]
      log-odds per typical gap       0.854 (a gap of 19.4)
      accuracy                       0.750 [0.301, 0.954]
        where the longer is better   1.000 (n=2)
        where the shorter is better  0.500 (n=2)
      model prefers the longer       0.750
      margin and length correlate    0.827 (ranks: 0.800)
    """
    warn_without_effect("length_audit", n_resamples=n_resamples, random_state=random_state)
    label = check_soft_labels(y_true, name="y_true", pos_label=pos_label)
    length = _check_length_difference(length_difference, len(label))
    weight = check_weight(sample_weight, label)
    codes = check_groups(groups, len(label))[0]
    if not weight[label != 0.5].any():
        raise ValueError(
            f"All {len(label)} pairs are ties or weigh 0: there is no preference to audit."
        )
    if margin is not None:
        margin = _check_finite_margin(margin, len(label))
    weight, label, length, codes, margin = drop_weightless(weight, label, length, codes, margin)
    codes, n_groups = check_groups(codes, len(codes))
    if groups is not None:
        check_several_groups(n_groups, subject="length_audit")
        warn_of_few_groups(n_groups, subject="length_audit")
    setting = {
        "groups": None if groups is None else codes,
        "confidence_level": confidence_level,
    }
    longer_wins, longer_wins_interval = _decided_accuracy(label, length, weight, **setting)
    coef, coef_interval = _length_coefficient(label, length, weight, codes, confidence_level)
    audit = LengthAudit(
        n_pairs=len(label),
        n_groups=n_groups,
        n_ties=int((label == 0.5).sum()),
        n_equal_length=int((length == 0).sum()),
        longer_wins=longer_wins,
        longer_wins_interval=longer_wins_interval,
        length_coef=coef,
        length_coef_interval=coef_interval,
        length_scale=root_mean_square(length, weight),
        **dict.fromkeys(_MODEL_FIELDS),
    )
    if margin is not None:
        audit.update(_audit_margin(label, margin, length, weight, **setting))
    return audit


_LARGEST_COEF = 1e300
_MODEL_FIELDS = (
    "accuracy",
    "accuracy_interval",
    "accuracy_longer_preferred",
    "accuracy_shorter_preferred",
    "n_longer_preferred",
    "n_shorter_preferred",
    "model_prefers_longer",
    "margin_length_correlation",
    "margin_length_rank_correlation",
)


def _check_length_difference(length_difference, n_pairs):
    length = check_scores(length_difference, n_pairs, name="length_difference")
    if np.isinf(length).any():
        raise ValueError("length_difference should be finite, but holds infinite values.")
    return length


def _check_finite_margin(margin, n_pairs):
    margin = check_scores(margin, n_pairs)
    if np.isinf(margin).any():
        raise ValueError(
            "margin should be finite to be correlated with length, but holds infinite values."
        )
    return margin


def _decided_accuracy(label, score, weight, *, groups, confidence_level):
    """Return the accuracy of a score, and its interval, on pairs that are not ties."""
    decided = label != 0.5
    share, low, high = share_interval(
        credit(hard_label(label[decided]), score[decided]),
        weight[decided],
        None if groups is None else groups[decided],
        confidence_level=confidence_level,
    )
    return share, (low, high)


def _audit_margin(label, margin, length, weight, **setting):
    """Return the fields of the audit that are about the model."""
    accuracy, interval = _decided_accuracy(label, margin, weight, **setting)
    direction = np.sign(label - 0.5) * np.sign(length)  # 1: the longer is preferred
    longer, shorter = ((direction == sign) & (weight > 0) for sign in (1, -1))
    points = credit(hard_label(label), margin)
    for_longer = credit(0.5 + 0.5 * np.sign(length), margin)
    correlated = np.ptp(margin[weight > 0]) > 0 and np.ptp(length[weight > 0]) > 0
    values = (
        accuracy,
        interval,
        _mean(points, weight, longer),
        _mean(points, weight, shorter),
        int(longer.sum()),
        int(shorter.sum()),
        _mean(for_longer, weight, length != 0),
        pearson_correlation(margin, length, weight) if correlated else np.nan,
        spearman_correlation(margin, length, sample_weight=weight) if correlated else np.nan,
    )
    return dict(zip(_MODEL_FIELDS, values, strict=True))


def _mean(values, weight, rows):
    total = weight[rows].sum()
    return float(weight[rows] @ values[rows] / total) if total > 0 else float("nan")


def _length_coefficient(label, length, weight, codes, confidence_level):
    """Return the logistic coefficient of length, without intercept, and its robust interval."""
    scale = root_mean_square(length, weight)
    unknown = (np.nan, np.nan)
    if scale == 0:
        return np.nan, unknown
    length = length / scale
    # The score at plus and minus infinity: a label against length keeps the coefficient finite.
    side = np.where(length > 0, label, 1 - label)  # P(the longer is preferred)
    against, with_length = (weight * np.abs(length)) @ np.column_stack([1 - side, side])
    if against == 0 or with_length == 0:
        return (np.inf if against == 0 else -np.inf), unknown

    def score(b):
        return float((weight * length) @ (label - expit(b * length)))

    bound = 1.0
    while (score(-bound) < 0 or score(bound) > 0) and bound < _LARGEST_COEF:
        bound *= 2
    if bound >= _LARGEST_COEF:
        return np.copysign(np.inf, score(bound)), unknown
    coef = brentq(score, -bound, bound, xtol=1e-12)
    low, high = _coefficient_interval(
        coef, length, weight, label, codes, confidence_level=confidence_level
    )
    return coef / scale, (low / scale, high / scale)


def _coefficient_interval(coef, length, weight, label, codes, *, confidence_level):
    """Return the ends of the interval of the logistic coefficient; NaN with a single group."""
    prob = expit(coef * length)
    information = np.bincount(codes, weight * length**2 * prob * (1 - prob))  # (n_groups,)
    if len(information) < 2:
        return np.nan, np.nan
    rest = information.sum() - information
    if rest.min() <= ALONE * information.sum():  # without that group nothing is known
        return -np.inf, np.inf
    moves = np.bincount(codes, weight * length * (label - prob)) / rest
    n_effective = effective_groups(information[:, np.newaxis])[0]
    quantile = critical_value(confidence_level, n_effective, len(moves))
    half = float(quantile * np.sqrt(jackknife_variance(moves)))
    return coef - half, coef + half
