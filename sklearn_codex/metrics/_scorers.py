"""Metrics as scorers: for `cross_val_score`, `GridSearchCV` and whatever takes `scoring=`."""

from functools import partial

import numpy as np
from sklearn.metrics._scorer import _Scorer

from sklearn_codex._checks.options import check_option
from sklearn_codex.metrics._calibration import expected_calibration_error
from sklearn_codex.metrics._preferences import (
    kendall_correlation,
    preference_accuracy,
    preference_auc,
    preference_brier_loss,
    preference_log_loss,
    spearman_correlation,
)
from sklearn_codex.metrics._row_scorers import ROW_SCORERS, RowScorer, warn_if_scored


class _MarginScorer(_Scorer):
    """Scores ``decision_function``, or P(A preferred) - 1/2 where an estimator has none."""

    def _score(self, method_caller, estimator, X, y_true, **kwargs):
        return super()._score(partial(_margin, method_caller), estimator, X, y_true, **kwargs)


class _ProbabilityScorer(_Scorer):
    """Scores P(A preferred), to which a tie adds half its probability where it is an outcome."""

    def _score(self, method_caller, estimator, X, y_true, **kwargs):
        return super()._score(partial(_probability, method_caller), estimator, X, y_true, **kwargs)


def _ask(method_caller, estimator, method, X, **kwargs):
    """Return what an estimator predicts, to be scored."""
    prediction = method_caller(estimator, method, X, **kwargs)
    warn_if_scored(estimator, X)
    return prediction


def _margin(method_caller, estimator, method, X, **kwargs):
    if method == "decision_function":
        margin = _ask(method_caller, estimator, method, X, **kwargs)
        if np.ndim(margin) == 1:  # of two classes, not the confidence in each of three
            return margin
        method = "predict_proba"
    return _probability(method_caller, estimator, method, X, **kwargs) - 0.5


def _probability(method_caller, estimator, method, X, **kwargs):
    proba = _ask(method_caller, estimator, method, X, **kwargs)
    if proba.ndim == 2 and np.array_equal(estimator.classes_, [0.0, 0.5, 1.0]):
        return proba @ [0.0, 0.5, 1.0]
    return proba


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
        is better. Or one that reads more of a row: "sectioned_accuracy",
        "shorter_preferred_accuracy", "neg_length_correlation", "best_of_n_accuracy";
        or "neg_outcome_log_loss", for models that know ties.
    **kwargs
        Options of the metric, such as ``ties="exclude"``, ``n_bins=15`` or ``pos_label="a"``; for
        the last five see Notes.

    Returns
    -------
    scorer : callable
        ``scorer(estimator, X, y, sample_weight=None)``. Pass it as ``scoring=``: scikit-learn keeps
        its own list of names, which others cannot join. With metadata routing,
        ``scorer.set_score_request(sample_weight=True)`` routes the weights of ties and soft labels
        to the first seven.

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If "sectioned_accuracy" is not told the ``subset``.

    Notes
    -----
    A scorer gives the :class:`~sklearn_codex.exceptions.LeakageWarning` of a model of this package,
    once for a cross-validation. Scorers of scikit-learn, such as "neg_log_loss" and "roc_auc", ask
    for predictions alone, and never do.

    The first four use the margin of ``decision_function`` and, where there is none, as in
    :class:`~sklearn.calibration.CalibratedClassifierCV`, P(A preferred) - 1/2 of ``predict_proba``;
    the rest use ``predict_proba``. Both are of the last class, or of ``pos_label``. Where classes
    are 0, 0.5 and 1, as of :class:`~sklearn_codex.TiePreferenceModel`, half the probability of a
    tie is A's. Labels are numbers in [0, 1] unless ``pos_label`` names the class of A; correlations
    take numbers only.

    Four need to know more of each row, by the name of a column of a data frame X, or a function of
    X that returns one value a row:

    - "sectioned_accuracy": ``subset``, and the ``sections`` and ``weights`` of
      :func:`sectioned_accuracy`; without sections each subset is one. The overall number of the
      sections that a fold has.
    - "shorter_preferred_accuracy", "neg_length_correlation": ``length_difference``, for text pairs
      that in characters by default. ``accuracy_shorter_preferred``, and less the absolute
      ``margin_length_correlation``, of :func:`length_audit`.
    - "best_of_n_accuracy": ``groups``, by default the prompts of rows ``(prompt, response)``, for
      models with ``reward``, such as :class:`~sklearn_codex.PlackettLuceModel`; of the responses of
      a group those with the greatest y are best.

    "neg_outcome_log_loss" is the mean log-likelihood of labels as they are, of three where ties are
    an outcome of their own, in nats a pair: -inf where a tie is scored and the model knows none.

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
    names = sorted([*_METRICS, *ROW_SCORERS])
    check_option(name, names, "the name of a scorer", subject="get_preference_scorer")
    if name in ROW_SCORERS:
        if name == "sectioned_accuracy" and "subset" not in kwargs:
            raise TypeError(
                "The scorer 'sectioned_accuracy' needs subset=, the name of a column of X or a "
                "function of X."
            )
        return RowScorer(name, ROW_SCORERS[name], kwargs)
    metric, sign, takes_margin = _METRICS[name]
    if takes_margin:
        return _MarginScorer(metric, sign, kwargs, ("decision_function", "predict_proba"))
    return _ProbabilityScorer(metric, sign, kwargs, "predict_proba")


preference_scorers = {name: get_preference_scorer(name) for name in _METRICS}
"""The scorers that need pairs and labels only, by name; as it is, a `scoring=` of several metrics.
"""
