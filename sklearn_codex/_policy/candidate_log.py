"""Logged choices among candidates, all of which are known, and what they tell of a policy."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils import Bunch

from sklearn_codex._categorical import FloatArray, IntArray
from sklearn_codex._checks.groups import encode_groups
from sklearn_codex._checks.numbers import as_floats, check_values
from sklearn_codex.exceptions import OverlapWarning
from sklearn_codex.metrics import off_policy_value

_MOST_NEVER_LOGGED = 1e-3
_SUM_TOLERANCE = 1e-6


@dataclass(frozen=True)
class ChoiceLog:
    """Choices among candidates.

    Parameters
    ----------
    chosen : ndarray of int of shape (n_choices,)
        The row that was chosen in each choice with an outcome.
    outcomes : ndarray of shape (n_choices,)
        Their outcomes.
    propensity : ndarray of shape (n_rows,)
        Probability with which each candidate is chosen.
    predicted : ndarray of shape (n_rows,) or None
        Predicted outcome of each candidate.
    clusters : ndarray of int of shape (n_choices,) or None
        What choices have in common.
    choices : ndarray of int of shape (n_rows,)
        The choice of each row, from 0.
    """

    chosen: IntArray
    outcomes: FloatArray
    propensity: FloatArray
    predicted: FloatArray | None
    clusters: IntArray | None
    choices: IntArray


def read_log(
    y: Any, logged_prob: Any, predicted: Any, clusters: Any, choices: IntArray, subject: str
) -> ChoiceLog:
    """Return logged choices, checked; ``y`` is NaN for what was not chosen."""
    n_rows = len(choices)
    outcomes = as_floats(y, "y, the outcomes", subject=subject)
    if outcomes.shape != (n_rows,):
        raise ValueError(
            f"{subject} needs y, one outcome a row and NaN for candidates that were not chosen, of "
            f"shape ({n_rows},), got shape {outcomes.shape}."
        )
    chosen = np.flatnonzero(~np.isnan(outcomes))
    several = np.flatnonzero(np.bincount(choices[chosen], minlength=1) > 1)
    if several.size:
        row = int(np.flatnonzero(choices == several[0])[0])
        raise ValueError(
            f"{subject} needs one outcome a choice, got several for the group of row {row}. Give "
            "each choice a group of its own with all its candidates, and the prompt as clusters."
        )
    if not chosen.size:
        raise ValueError(f"{subject} needs y with an outcome, got {n_rows} rows of NaN.")
    propensity = _check_propensities(logged_prob, choices, subject)
    impossible = chosen[propensity[chosen] == 0]
    if impossible.size:
        raise ValueError(
            f"{subject} got an outcome of row {impossible[0]}, whose logged_prob is 0, so that it "
            "cannot have been chosen. Pass the propensities that were used."
        )
    if predicted is not None:
        predicted = check_values(predicted, "predicted", subject=subject, shape=(n_rows,))
    codes = None
    if clusters is not None:
        codes = encode_groups(clusters, n_rows, unit="row", name="clusters")[chosen]
    return ChoiceLog(chosen, outcomes[chosen], propensity, predicted, codes, choices)


def _check_propensities(logged_prob, choices, subject):
    """Return propensities (n_rows,) that add up to 1 over the candidates of each choice."""
    if logged_prob is None:
        return off_policy_value([0.0], [0.0], None)  # which says why there is no value
    propensity = check_values(
        logged_prob, "logged_prob", subject=subject, shape=(len(choices),), low=0.0
    )
    total = np.bincount(choices, propensity)
    wrong = np.flatnonzero(np.abs(total - 1.0) > _SUM_TOLERANCE)
    if wrong.size:
        row = int(np.flatnonzero(choices == wrong[0])[0])
        raise ValueError(
            f"{subject} needs logged_prob of all candidates, which add up to 1 in each choice, got "
            f"{total[wrong[0]]:.6g} for that of row {row}. Pass all candidates that there were; of "
            "chosen ones alone sklearn_codex.metrics.off_policy_value takes the propensity."
        )
    return propensity


def value_from_log(log: ChoiceLog, choice: FloatArray, *, method: str, **settings: Any) -> Bunch:
    """Return the value of a policy that chooses with probabilities ``choice`` (n_rows,)."""
    chosen = log.chosen
    more: dict[str, FloatArray] = {}
    if log.predicted is not None:
        expected = np.bincount(log.choices, choice * log.predicted).astype(np.float64)
        more["predicted"] = log.predicted[chosen]
        more["predicted_value"] = expected[log.choices[chosen]]
    logged = np.isin(log.choices, log.choices[chosen])
    missed = logged & (log.propensity == 0)
    never = float(choice[missed].sum() / len(chosen))
    with warnings.catch_warnings():
        if never > _MOST_NEVER_LOGGED:
            warnings.simplefilter("ignore", OverlapWarning)  # the one below says more
        estimate = off_policy_value(
            log.outcomes,
            np.minimum(choice[chosen], 1.0),
            log.propensity[chosen],
            log.clusters,
            method=method,
            **more,
            **settings,
        )
    estimate["never_logged"] = never
    if never > _MOST_NEVER_LOGGED:
        estimate["refused"] = (
            f"the policy chooses candidates with probability {never:.3g} that the logging policy "
            "never does, so that nothing is known of them. Log them at times, or ask about a "
            "policy that does not choose them."
        )
        estimate.update(dict.fromkeys(("value", "low", "high", "standard_error"), np.nan))
        warnings.warn(
            f"off_policy_value has no value to give: {estimate['refused']}",
            OverlapWarning,
            stacklevel=3,
        )
    return estimate
