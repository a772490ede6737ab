"""The value of a policy from what another policy chose, and when there is none to be had."""

import warnings
from numbers import Real

import numpy as np
from sklearn.utils import Bunch
from sklearn.utils._param_validation import Interval, StrOptions, validate_params

from sklearn_codex._few_groups import critical_value, effective_groups
from sklearn_codex.exceptions import OverlapWarning
from sklearn_codex.metrics._checks import ARRAY, OPTIONAL_ARRAY, check_groups, check_scores
from sklearn_codex.metrics._grouped_mean import GroupedMean
from sklearn_codex.metrics._intervals import LEVEL_PARAM

# A mean weight so far from 1 is no chance.
_LEVEL_OF_WEIGHTS = 0.999

_ESTIMATED = (
    "Propensities are the probabilities with which what was logged was chosen, written down when "
    "it was chosen. Those that a model estimates afterwards are none: values from them are wrong "
    "without any sign of it."
)


@validate_params(
    {
        "outcomes": ARRAY,
        "policy_prob": ARRAY,
        "logged_prob": OPTIONAL_ARRAY,
        "groups": OPTIONAL_ARRAY,
        "method": [StrOptions({"snips", "ips", "dr"})],
        "predicted": OPTIONAL_ARRAY,
        "predicted_value": OPTIONAL_ARRAY,
        **LEVEL_PARAM,
        "min_effective_size": [Interval(Real, 2, None, closed="left")],
    },
    prefer_skip_nested_validation=True,
)
def off_policy_value(
    outcomes,
    policy_prob,
    logged_prob,
    groups=None,
    *,
    method="snips",
    predicted=None,
    predicted_value=None,
    confidence_level=0.95,
    min_effective_size=30,
):
    r"""Value of a policy, estimated from outcomes of responses that another policy chose.

    Parameters
    ----------
    outcomes : array-like of shape (n_rows,)
        Outcome of each logged response, such as a rating or a click.
    policy_prob : array-like of shape (n_rows,)
        Probability of the logged response, given its prompt, under the policy that is asked about.
    logged_prob : array-like of shape (n_rows,)
        Its propensity: the probability with which the logging policy chose it, above 0, as it was
        known when the response was chosen. One that is estimated from the log is none.
    groups : array-like of shape (n_rows,), default=None
        What rows have in common, such as their prompt or their user. None: rows are independent.
    method : {"snips", "ips", "dr"}, default="snips"
        "ips" weighs outcomes by the ratio of the probabilities; "snips" divides by the sum of these
        weights, which has a small bias and much less variance; "dr" is doubly robust: it starts
        from predictions of the outcomes and corrects them by "ips".
    predicted : array-like of shape (n_rows,), default=None
        Predicted outcome of the logged response, for "dr", by a model that did not learn from
        these rows.
    predicted_value : array-like of shape (n_rows,), default=None
        The same, expected under the policy over all responses that the prompt has, for "dr".
    confidence_level : float, default=0.95
        Coverage aimed at.
    min_effective_size : float, default=30
        Effective number of groups below which there is no value.

    Returns
    -------
    estimate : Bunch
        ``value``, with ``low``, ``high`` and ``standard_error``: NaN where it is refused;
        ``refused``, why, or ""; ``effective_sample_size``, in groups; ``mean_weight``, which should
        be 1; ``max_weight_share``, the share of all weight that one group has; ``n_rows`` and
        ``n_groups``.

    Raises
    ------
    ValueError
        If there are no outcomes or no propensities, a propensity is not above 0 and at most 1, or
        "dr" has no predictions.

    Warns
    -----
    OverlapWarning
        If the value is refused: the weights have not the mean of 1 that they have where the logging
        policy can choose all that the policy chooses and propensities are right, or hang on too few
        groups.

    See Also
    --------
    CandidatePolicy.off_policy_value : The same with all candidates known, so that overlap is exact.

    Notes
    -----
    With weights :math:`w_i = \pi(y_i|x_i) / \mu(y_i|x_i)`, outcomes o and predictions q, the
    estimates are [1]_ [2]_

    .. math::
        V_{IPS} = \frac1n \sum_i w_i o_i, \quad
        V_{SNIPS} = \frac{\sum_i w_i o_i}{\sum_i w_i}, \quad
        V_{DR} = \frac1n \sum_i \Bigl(\sum_y \pi(y|x_i) q(x_i, y) + w_i (o_i - q(x_i, y_i))\Bigr).

    Standard errors are by the jackknife that leaves out groups. The interval has the quantile of
    Student's t for as many groups as there are in effect, at least 2,
    :math:`(\sum_g q_g)^2 / \sum_g q_g^2` with :math:`q_g = \sum_{i \in g} w_i^2`; the effective
    sample size is :math:`(\sum_g W_g)^2 / \sum_g W_g^2` of sums of weights [3]_. It covers what it
    says where propensities are right: of propensities estimated from the log no number here tells
    that they are wrong. Their weights have mean 1 and a large effective size by construction.

    References
    ----------
    .. [1] Swaminathan, A. and Joachims, T. (2015). "The self-normalized estimator for
       counterfactual learning." NeurIPS 28.
    .. [2] Dudik, M., Langford, J. and Li, L. (2011). "Doubly robust policy evaluation and
       learning." ICML. arXiv:1103.4601.
    .. [3] Owen, A. B. (2013). "Monte Carlo theory, methods and examples", chapter 9.

    Examples
    --------
    Two responses, logged at even odds; the policy chooses the better one, which is liked by 3 of 4,
    with probability .9:

    >>> import numpy as np
    >>> from sklearn_codex.metrics import off_policy_value
    >>> outcomes = np.tile([1, 1, 1, 0, 0, 1, 0, 0], 25)
    >>> is_better = np.tile([1, 1, 1, 1, 0, 0, 0, 0], 25)
    >>> estimate = off_policy_value(
    ...     outcomes, np.where(is_better, 0.9, 0.1), np.full(200, 0.5)
    ... )
    >>> round(estimate.value, 3), round(estimate.effective_sample_size)
    (0.7, 122)
    """
    outcome = _check_finite(outcomes, None, "outcomes")
    if not len(outcome):
        raise ValueError(
            "off_policy_value needs outcomes of logged responses, at least one, got none. Pass "
            "those whose outcome is known, with the propensities of each."
        )
    policy_prob = _check_policy(policy_prob, len(outcome))
    logged_prob = _check_logged(logged_prob, len(outcome))
    correction, baseline = _predictions(method, predicted, predicted_value, len(outcome))
    codes, n_groups = check_groups(groups, len(outcome))
    weight = policy_prob / logged_prob
    sizes = _Weights(weight, codes)
    reason = sizes.problem(min_effective_size)
    figures = (
        _estimate(method, outcome, weight, codes, correction, baseline, confidence_level)
        if not reason
        else dict.fromkeys(("value", "low", "high", "standard_error"), np.nan)
    )
    if reason:
        warnings.warn(
            f"off_policy_value has no value to give: {reason}", OverlapWarning, stacklevel=2
        )
    return Bunch(
        **figures,
        refused=reason,
        effective_sample_size=sizes.effective,
        mean_weight=sizes.mean.mean,
        max_weight_share=sizes.largest,
        n_rows=len(outcome),
        n_groups=n_groups,
    )


class _Weights:
    """What importance weights (n_rows,) of rows in groups tell of themselves."""

    def __init__(self, weight, codes):
        total = np.bincount(codes, weight)
        scale = float(total.max())
        self.mean = GroupedMean(weight, np.ones(len(weight)), codes)
        share = total / scale if scale > 0 else total
        self.effective = float(share.sum() ** 2 / (share @ share)) if scale > 0 else 0.0
        self.largest = float(1.0 / share.sum()) if scale > 0 else np.nan

    def problem(self, min_effective_size):
        """Return why there is no value, "" where there is."""
        if self.effective == 0:
            return (
                "the policy can choose none of the logged responses. Log what it chooses, or ask "
                "about a policy nearer to the logging one."
            )
        if self.effective < min_effective_size:
            return (
                f"the weights are as good as {self.effective:.3g} groups of equal weight, and it "
                f"takes {min_effective_size:g} (min_effective_size): one group has "
                f"{self.largest:.0%} of all weight. Log more prompts, or ask about a policy nearer "
                "to the logging one."
            )
        low, high = self.mean.interval(_LEVEL_OF_WEIGHTS)
        mean = self.mean.mean
        # Equal weights have no error but that of rounding.
        if low - 1e-9 <= 1.0 <= high + 1e-9:
            return ""
        if mean < 1:
            why = (
                f"about {1 - mean:.0%} of what the policy chooses is never logged, or propensities "
                "are too large"
            )
        else:
            why = "propensities are too small, or the log was selected afterwards"
        return (
            f"the mean weight is {mean:.3g} +- {(high - low) / 2:.2g}, where it is 1 if the "
            f"logging policy can choose all that the policy chooses: {why}. {_ESTIMATED}"
        )


def _estimate(method, outcome, weight, codes, correction, baseline, confidence_level):
    """Return value, interval and standard error."""
    if method == "snips":
        drawn = weight > 0
        kept = np.unique(codes[drawn], return_inverse=True)[1]
        result = GroupedMean(outcome[drawn], weight[drawn], kept)
    else:
        values = baseline + weight * (outcome - correction)
        result = GroupedMean(values, np.ones(len(values)), codes)
    # The weights say how many groups tell of the value, whatever the method.
    scaled = weight / weight.max()
    n_effective = float(effective_groups(np.bincount(codes, scaled**2)[:, np.newaxis])[0])
    half = float(critical_value(confidence_level, n_effective, result.n_groups))
    half *= result.standard_error
    return {
        "value": result.mean,
        "low": result.mean - half,
        "high": result.mean + half,
        "standard_error": result.standard_error,
    }


def _predictions(method, predicted, predicted_value, n_rows):
    """Return what is taken off outcomes (n_rows,), and what is added to the mean instead."""
    given = {"predicted": predicted, "predicted_value": predicted_value}
    if method != "dr":
        extra = [name for name, values in given.items() if values is not None]
        if extra:
            raise ValueError(
                f"off_policy_value got {' and '.join(extra)}, which method={method!r} does not "
                "use. Pass method='dr', or leave them out."
            )
        return np.zeros(n_rows), np.zeros(n_rows)
    missing = [name for name, values in given.items() if values is None]
    if missing:
        raise ValueError(
            f"off_policy_value with method='dr' needs {' and '.join(missing)}: the predicted "
            "outcome of each logged response, and its expectation under the policy. Pass them, or "
            "method='snips'."
        )
    return tuple(_check_finite(values, n_rows, name) for name, values in given.items())


def _check_finite(values, n_rows, name):
    values = check_scores(values, n_rows, name=name)
    if not np.isfinite(values).all():
        raise ValueError(f"{name} should be finite, but {np.isinf(values).sum()} are infinite.")
    return values


def _check_policy(policy_prob, n_rows):
    values = check_scores(policy_prob, n_rows, name="policy_prob")
    wrong = np.flatnonzero((values < 0) | (values > 1))
    if len(wrong):
        raise ValueError(
            f"policy_prob should hold probabilities in [0, 1], but policy_prob[{wrong[0]}] is "
            f"{values[wrong[0]]:g}. Of a CandidatePolicy they are predict_choice(X) of the logged "
            "rows."
        )
    return values


def _check_logged(logged_prob, n_rows):
    if logged_prob is None:
        raise ValueError(
            f"off_policy_value needs logged_prob, the propensities, got None. {_ESTIMATED} Without "
            "them, choose responses at random with known probabilities, and log these."
        )
    values = check_scores(logged_prob, n_rows, name="logged_prob")
    wrong = np.flatnonzero(~((values > 0) & (values <= 1)))
    if len(wrong):
        raise ValueError(
            f"logged_prob should hold probabilities above 0 and at most 1, as what was logged can "
            f"be chosen, but logged_prob[{wrong[0]}] is {values[wrong[0]]:g}. {_ESTIMATED}"
        )
    return values
