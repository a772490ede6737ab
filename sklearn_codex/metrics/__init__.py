"""Numbers from arrays: how good, how calibrated and how sure a model of preferences is.

Labels are everywhere the probability that A is preferred (1, 0, 0.5 for a tie, or between), and a
soft label counts as the two weighted rows it stands for.
"""

from sklearn_codex.metrics._agreement import (
    annotator_accuracy,
    count_votes,
    fleiss_kappa,
    pairwise_agreement,
)
from sklearn_codex.metrics._calibration import expected_calibration_error, reliability_table
from sklearn_codex.metrics._compare_slices import compare_slices, side_slices
from sklearn_codex.metrics._intervals import paired_cluster_bootstrap, wilson_interval, win_rate
from sklearn_codex.metrics._length import length_audit
from sklearn_codex.metrics._off_policy import off_policy_value
from sklearn_codex.metrics._preferences import (
    kendall_correlation,
    preference_accuracy,
    preference_auc,
    preference_brier_loss,
    preference_log_loss,
    spearman_correlation,
)
from sklearn_codex.metrics._scorers import get_preference_scorer, preference_scorers
from sklearn_codex.metrics._slices import (
    accuracy_by_slice,
    best_of_n_accuracy,
    quantile_slices,
    sectioned_accuracy,
)

__all__ = [
    "accuracy_by_slice",
    "annotator_accuracy",
    "best_of_n_accuracy",
    "compare_slices",
    "count_votes",
    "expected_calibration_error",
    "fleiss_kappa",
    "get_preference_scorer",
    "kendall_correlation",
    "length_audit",
    "off_policy_value",
    "paired_cluster_bootstrap",
    "pairwise_agreement",
    "preference_accuracy",
    "preference_auc",
    "preference_brier_loss",
    "preference_log_loss",
    "preference_scorers",
    "quantile_slices",
    "reliability_table",
    "sectioned_accuracy",
    "side_slices",
    "spearman_correlation",
    "wilson_interval",
    "win_rate",
]
