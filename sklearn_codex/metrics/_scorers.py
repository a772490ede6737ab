"""Metrics as scorers: for `cross_val_score`, `GridSearchCV` and whatever takes `scoring=`."""

from functools import partial

from sklearn.metrics._scorer import _Scorer

from sklearn_codex.metrics._calibration import expected_calibration_error
from sklearn_codex.metrics._preferences import (
    kendall_correlation,
    preference_accuracy,
    preference_auc,
    preference_brier_loss,
    preference_log_loss,
    spearman_correlation,
)


class _MarginScorer(_Scorer):
    """Scores ``decision_function``, or P(A preferred) - 1/2 where an estimator has none."""

    def _score(self, method_caller, estimator, X, y_true, **kwargs):
        return super()._score(partial(_margin, method_caller), estimator, X, y_true, **kwargs)


def _margin(method_caller, estimator, method, X, **kwargs):
    response = method_caller(estimator, method, X, **kwargs)
    return response - 0.5 if method == "predict_proba" else response


# name: (function, sign, whether it takes margins)
_METRICS = {
    "preference_accuracy": (preference_accuracy, 1, True),
    "preference_auc": (preference_auc, 1, True),
    "spearman_correlation": (spearman_correlation, 1, True),
    "kendall_correlation": (kendall_correlation, 1, True),
    "neg_preference_log_loss": (preference_log_loss, -1, False),
    "neg_preference_brier_loss": (preference_brier_loss, -1, False),
    "neg_expected_calibration_error": (expected_calibration_error, -1, False),
}


def get_preference_scorer(name, **kwargs):
    """Return a scorer for estimators that tell which response of a pair is preferred.

    Parameters
    ----------
    name : str
        One of "preference_accuracy", "preference_auc", "spearman_correlation",
        "kendall_correlation", "neg_preference_log_loss", "neg_preference_brier_loss",
        "neg_expected_calibration_error": the metric of that name, or less the loss, so that greater
        is better.
    **kwargs
        Options of the metric, such as ``ties="exclude"``, ``n_bins=15`` or ``pos_label="a"``.

    Returns
    -------
    scorer : callable
        ``scorer(estimator, X, y, sample_weight=None)``. Pass it as ``scoring=``: scikit-learn keeps
        its own list of names, which others cannot join. With metadata routing,
        ``scorer.set_score_request(sample_weight=True)`` routes the weights of ties and soft labels.

    Raises
    ------
    ValueError
        If the name is unknown.

    Notes
    -----
    The first four use the margin of ``decision_function`` and, where there is none, as in
    :class:`~sklearn.calibration.CalibratedClassifierCV`, P(A preferred) - 1/2 of ``predict_proba``;
    the rest use ``predict_proba``. Both are of the last class, or of ``pos_label``. Labels are
    numbers in [0, 1] unless ``pos_label`` names the class of A; correlations take numbers only.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import GroupKFold, cross_val_score
    >>> from sklearn_codex.datasets import make_preferences
    >>> from sklearn_codex.metrics import get_preference_scorer
    >>> data = make_preferences(400, n_prompts=40, random_state=0)
    >>> scores = cross_val_score(
    ...     LogisticRegression(fit_intercept=False), data.X, data.y, groups=data.groups,
    ...     cv=GroupKFold(4), scoring=get_preference_scorer("preference_accuracy"),
    ... )
    >>> scores.shape
    (4,)
    """
    if name not in _METRICS:
        raise ValueError(f"There is no scorer {name!r}. Use one of {sorted(_METRICS)}.")
    metric, sign, takes_margin = _METRICS[name]
    if takes_margin:
        return _MarginScorer(metric, sign, kwargs, ("decision_function", "predict_proba"))
    return _Scorer(metric, sign, kwargs, "predict_proba")


preference_scorers = {name: get_preference_scorer(name) for name in _METRICS}
"""All scorers by name, with their defaults; as it is, a `scoring=` of several metrics."""
