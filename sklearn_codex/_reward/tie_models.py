"""Reward models of pairs of which some are ties, with the probability of a tie."""

import warnings
from collections.abc import Mapping
from functools import wraps
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_consistent_length
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted

from sklearn_codex._checks.numbers import check_weight
from sklearn_codex._data.pairs import known_pairs, read_pairs, read_responses
from sklearn_codex._doc_links import link_estimators
from sklearn_codex._fits import whole_fit
from sklearn_codex._reward.bradley_terry import BradleyTerryLoss, fit_weights
from sklearn_codex._reward.leakage import TrainingPairs, warn_of_scored_rows
from sklearn_codex._reward.presets import VECTORIZER_CONSTRAINTS, choose_vectorizer
from sklearn_codex._reward.targets import (
    check_no_label_missing,
    points_of,
    refuse_names_of_responses,
    warn_of_order,
)
from sklearn_codex._reward.tie_losses import TIE, TIE_LOSSES, A, B
from sklearn_codex._reward.top_features import TopFeaturesMixin
from sklearn_codex._solve.newton import (
    minimise,
    normal_quantile,
    standard_errors,
    warn_unless_converged,
)

NAMES = {"a": A, "b": B, "tie": TIE}
HALVES = {0.0: B, 0.5: TIE, 1.0: A}
_EPS = float(np.finfo(np.float64).eps)


def check_outcomes(y, *, subject):
    """Return the labels as B, TIE or A (n_pairs,), and what each label means, by label."""
    y = check_no_label_missing(y, subject=subject)
    labels = np.unique(y)
    known = set(labels.tolist())
    meaning: Mapping[Any, int]
    if known <= set(NAMES) and labels.dtype.kind in "OU":
        meaning = NAMES if "tie" in known else {"a": A, "b": B}
    elif labels.dtype.kind in "biuf" and known <= set(HALVES):
        meaning = HALVES if 0.5 in known else {label: HALVES[label] for label in labels.tolist()}
    else:
        check_classification_targets(y)
        if len(labels) > 2:
            raise ValueError(
                "Only binary classification is supported. The type of the target is "
                f"{type_of_target(y)}: {subject} got {len(labels)} classes. With ties, write "
                "labels as 1 (A), 0.5 (tie), 0 (B), as sklearn_codex.labels.convert_labels does, "
                "or as 'a', 'tie' and 'b'."
            )
        refuse_names_of_responses(labels, subject)
        meaning = dict(zip(labels.tolist(), (B, A), strict=False))
    return np.array([meaning[label] for label in y.tolist()], dtype=np.intp), meaning


def check_two_outcomes(outcome, weight, *, subject):
    """Raise where pairs of positive weight are all of one class."""
    kinds = np.unique(outcome[weight > 0])
    if len(kinds) < 2:
        name = {B: "B is preferred", TIE: "a tie", A: "A is preferred"}[int(kinds[0])]
        raise ValueError(
            f"{subject} needs pairs of two classes in y, got one class: in all, {name}. If the "
            "pairs are (chosen, rejected), swap half of them with X, y = balance_positions(X)."
        )


def _takes_tie_model_first(init):
    """Let the tie model be given by its position, as it was before C came first as elsewhere."""

    @wraps(init)
    def init_or_warn(self, *args, **kwargs):
        if args and isinstance(args[0], str):
            warnings.warn(
                "TiePreferenceModel takes C first, as its siblings do, and the tie model by name. "
                f"Pass tie_model={args[0]!r}.",
                FutureWarning,
                stacklevel=2,
            )
            kwargs, args = {"tie_model": args[0], **kwargs}, args[1:]
        init(self, *args, **kwargs)

    return init_or_warn


@link_estimators
class TiePreferenceModel(TopFeaturesMixin, ClassifierMixin, BaseEstimator):
    r"""Reward model of pairs that may be ties, which predicts the probability of a tie.

    Parameters
    ----------
    C : float, default=1.0
        Inverse strength of the L2 penalty of the weights. The tie parameter has none.
    tie_model : {"davidson", "rao-kupper"}, default="davidson"
        Ties as a third outcome between the two [1]_, or as a difference too small to be seen [2]_.
    vectorizer : transformer, "preference" or None, default=None
        Turns a text into its features phi; any scikit-learn transformer of texts. None means
        ``TokenCounter()``, "preference" :func:`~sklearn_codex.features.preference_features`, as in
        :class:`PreferenceRewardModel`.
    tol : float, default=1e-8
        The fit stops when the norm of the gradient, each part scaled by the root of the Hessian's
        diagonal, is at most ``tol`` times that at the start.
    max_iter : int, default=100
        At most this many Newton steps.

    Attributes
    ----------
    coef_ : ndarray of shape (1, V)
        Weights w of the reward.
    tie_parameter_ : float
        nu of Davidson's model, 0 where no pair is a tie; or theta of that of Rao and Kupper, then
        1.
    log_tie_parameter_std_ : float
        Standard error of its logarithm; NaN where no pair is a tie.
    classes_ : ndarray of shape (2,) or (3,)
        The labels, sorted: 0, 0.5 and 1; or 'a', 'b' and 'tie'; or two classes, of which the
        greater means that A is preferred, where no pair is a tie.
    n_iter_ : int
        Newton steps taken.
    vectorizer_ : transformer or None
        The fitted vectorizer, None where the model was fitted on unnamed differences.
    n_features_in_ : int
        V, the number of features of a response.
    feature_names_in_ : ndarray of shape (V,)
        Names of columns, where differences came as a data frame with string column names.

    See Also
    --------
    PreferenceRewardModel : Takes a tie as half a preference for each, and has two classes.

    Notes
    -----
    With the margin :math:`m = r(A) - r(B)`, :math:`r(y) = w \cdot \phi(y)`, Davidson's model is

    .. math::
        P(A) = \frac{e^{m / 2}}{e^{m / 2} + e^{-m / 2} + \nu}, \quad
        P(\text{tie}) = \frac{\nu}{e^{m / 2} + e^{-m / 2} + \nu},

    so P(tie) is :math:`\nu \sqrt{P(A) P(B)}` and :math:`P(A) / P(B) = e^m`, and that of Rao and
    Kupper is, with :math:`\theta \ge 1`,

    .. math::
        P(A) = \frac{e^m}{e^m + \theta}, \quad P(B) = \frac{1}{1 + \theta e^m}, \quad
        P(\text{tie}) = (\theta^2 - 1) P(A) P(B).

    The fit minimises :math:`-C \sum_i s_i \log P(y_i) + \tfrac{1}{2} \|w\|^2`, which is convex, by
    Newton's method. Without ties both are the Bradley-Terry model. A margin is the same to
    Davidson's model whether or not ties are dropped; to Rao and Kupper's it is not.

    References
    ----------
    .. [1] Davidson, R. R. (1970). "On extending the Bradley-Terry model to accommodate ties in
       paired comparison experiments." Journal of the American Statistical Association 65(329),
       317-328.
    .. [2] Rao, P. V. and Kupper, L. L. (1967). "Ties in paired-comparison experiments: a
       generalization of the Bradley-Terry model." Journal of the American Statistical Association
       62(317), 194-204.

    Examples
    --------
    >>> from sklearn_codex import TiePreferenceModel
    >>> pairs = [("good", "bad"), ("bad", "good"), ("good", "good day"), ("bad day", "good")]
    >>> model = TiePreferenceModel().fit(pairs, [1, 0, 0.5, 0])
    >>> model.classes_.tolist()
    [0.0, 0.5, 1.0]
    >>> model.predict_proba([("good", "bad"), ("good", "good")]).round(2).tolist()
    [[0.14, 0.24, 0.62], [0.35, 0.29, 0.35]]
    """

    _parameter_constraints: dict = {
        "C": [Interval(Real, 0, None, closed="neither")],
        "tie_model": [StrOptions({"davidson", "rao-kupper"})],
        "vectorizer": VECTORIZER_CONSTRAINTS,
        "tol": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
    }

    @_takes_tie_model_first
    def __init__(self, C=1.0, *, tie_model="davidson", vectorizer=None, tol=1e-8, max_iter=100):
        self.C = C
        self.tie_model = tie_model
        self.vectorizer = vectorizer
        self.tol = tol
        self.max_iter = max_iter

    @whole_fit(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Learn the reward, and how often pairs are ties.

        Parameters
        ----------
        X : array-like of str (n_pairs, 2 or 3), or of numbers (n_pairs, 2, V) or (n_pairs, V)
            Pairs: rows ``(response_a, response_b)`` or ``(prompt, response_a, response_b)``, a data
            frame with these columns, of texts or of vectors, an array of vectors phi(A), phi(B),
            their :class:`~sklearn_codex.ResponseIds`, or feature differences phi(A) - phi(B), dense
            or sparse.
        y : array-like of shape (n_pairs,)
            1 where A is preferred, 0 where B is, 0.5 for a tie; or 'a', 'b' and 'tie'. Or, without
            ties, any two classes, of which the greater means that A is preferred.
        sample_weight : array-like of shape (n_pairs,), default=None
            Weights of pairs: a weight of 2 is the pair twice.

        Returns
        -------
        self : TiePreferenceModel

        Raises
        ------
        ValueError
            If there are three classes otherwise named, or one class only.

        Warns
        -----
        ConvergenceWarning
            If ``max_iter`` steps were not enough.
        """
        subject = type(self).__name__
        vectorizer = choose_vectorizer(self.vectorizer)
        read = read_pairs(self, X, reset=True, vectorizer=vectorizer)
        design, pairs = read.design.to_solve(), read.known
        outcome, self._meaning = check_outcomes(y, subject=subject)
        check_consistent_length(design, outcome)
        weight = check_weight(sample_weight, outcome)
        self.classes_ = np.array(sorted(self._meaning))
        if pairs is not None:
            warn_of_order(self.classes_, subject=subject)
        check_two_outcomes(outcome, weight, subject=subject)
        if (weight[outcome == TIE] > 0).any():
            state = self._fit_with_ties(design, outcome, weight)
        else:
            state = self._fit_without_ties(design, outcome, weight)
        self.n_iter_ = state.iteration
        warn_unless_converged(state, subject=subject)
        self._training_pairs = TrainingPairs(pairs)
        return self

    def _fit_with_ties(self, design, outcome, weight):
        loss = TIE_LOSSES[self.tie_model](design, outcome, weight, C=self.C)
        # Where some weights are beside nothing to others, the share of ties is 0 or 1 by rounding.
        share = float(np.clip(np.average(outcome == TIE, weights=weight), _EPS, 1.0 - _EPS))
        start = np.append(np.zeros(design.shape[1]), loss.initial_tie(share))
        state = minimise(loss, start, tol=self.tol, max_iter=self.max_iter)
        self.coef_ = state.point.weights[np.newaxis, :-1]
        self._set_tie(state.point.weights[-1])
        by_log = standard_errors(state.curvature, [design.shape[1]], scale=self.C)
        self.log_tie_parameter_std_ = float(by_log[0])
        return state

    def _fit_without_ties(self, design, outcome, weight):
        """Fit the Bradley-Terry model, the limit of both models."""
        loss = BradleyTerryLoss(design, outcome == A, weight, C=self.C)
        state = fit_weights(loss, tol=self.tol, max_iter=self.max_iter)
        self.coef_ = state.point.weights[np.newaxis]
        self._set_tie(-np.inf if self.tie_model == "davidson" else 0.0)
        self.log_tie_parameter_std_ = float("nan")
        return state

    def _set_tie(self, log_parameter):
        self._log_tie_parameter = float(log_parameter)
        self.tie_parameter_ = float(np.exp(log_parameter))

    def tie_parameter_interval(self, confidence_level=0.95):
        """Return an interval of the tie parameter.

        Parameters
        ----------
        confidence_level : float, default=0.95
            Of the two-sided interval.

        Returns
        -------
        low, high : float
            Normal in the logarithm of the parameter; NaN where no pair was a tie. That of theta
            ends at 1. It takes pairs as independent, and a weight of 2 as two of them.
        """
        check_is_fitted(self)
        half = normal_quantile(confidence_level) * self.log_tie_parameter_std_
        with np.errstate(over="ignore"):
            low, high = np.exp(self._log_tie_parameter + np.array([-half, half]))
        return float(max(low, 1.0) if self.tie_model == "rao-kupper" else low), float(high)

    def predict_margin(self, X):
        """Return the reward margin r(A) - r(B) of each pair.

        Parameters
        ----------
        X : array-like of str (n_pairs, 2 or 3), or of numbers (n_pairs, 2, V) or (n_pairs, V)
            Pairs, as in ``fit``.

        Returns
        -------
        margin : ndarray of shape (n_pairs,)
            In nats; in Davidson's model the log-odds of A against B.
        """
        check_is_fitted(self)
        return read_pairs(self, X, reset=False).design.matvec(self.coef_[0])

    def decision_function(self, X):
        """Return the confidence in each class, the greatest for the one that is predicted.

        Parameters
        ----------
        X : array-like of str (n_pairs, 2 or 3), or of numbers (n_pairs, 2, V) or (n_pairs, V)
            Pairs, as in ``fit``.

        Returns
        -------
        confidence : ndarray of shape (n_pairs, 3) or (n_pairs,)
            Of three classes their log-probabilities, in the order of ``classes_``; of two the
            log-odds of the second, which without ties is the margin of :meth:`predict_margin`.
        """
        log_proba = self.predict_log_proba(X)
        return log_proba if log_proba.shape[1] > 2 else log_proba[:, 1] - log_proba[:, 0]

    def _log_prob(self, X):
        """Return log P of B, tie and A (n_pairs, 3)."""
        return TIE_LOSSES[self.tie_model].log_prob(self.predict_margin(X), self._log_tie_parameter)

    def _warn_if_scored(self, X):
        """Warn where a score of pairs measures memory. The scorers of ``metrics`` ask for it."""
        subject = type(self).__name__
        warn_of_scored_rows(self, lambda: known_pairs(X, subject=subject), stacklevel=3)

    def predict_log_proba(self, X):
        """Return the log-probability of each class.

        Parameters
        ----------
        X : array-like of str (n_pairs, 2 or 3), or of numbers (n_pairs, 2, V) or (n_pairs, V)
            Pairs, as in ``fit``.

        Returns
        -------
        log_proba : ndarray of shape (n_pairs, n_classes)
            Natural logarithms, in the order of ``classes_``.
        """
        log_prob = self._log_prob(X)
        return log_prob[:, [self._meaning[label] for label in self.classes_.tolist()]]

    def predict_proba(self, X):
        """Return the probability of each class.

        Parameters
        ----------
        X : array-like of str (n_pairs, 2 or 3), or of numbers (n_pairs, 2, V) or (n_pairs, V)
            Pairs, as in ``fit``.

        Returns
        -------
        proba : ndarray of shape (n_pairs, n_classes)
            In the order of ``classes_``: with labels 0, 0.5 and 1, P(B), P(tie) and P(A).
        """
        return np.exp(self.predict_log_proba(X))

    def predict(self, X):
        """Return the most probable class of each pair.

        Parameters
        ----------
        X : array-like of str (n_pairs, 2 or 3), or of numbers (n_pairs, 2, V) or (n_pairs, V)
            Pairs, as in ``fit``.

        Returns
        -------
        y : ndarray of shape (n_pairs,)
            A label of ``classes_``.
        """
        log_proba = self.predict_log_proba(X)
        return self.classes_[np.argmax(log_proba, axis=1)]

    def score(self, X, y, sample_weight=None):
        """Return the accuracy on pairs, ties and margins of 0 giving half a point.

        Parameters
        ----------
        X : array-like of str (n_pairs, 2 or 3), or of numbers (n_pairs, 2, V) or (n_pairs, V)
            Pairs, as in ``fit``.
        y : array-like of shape (n_pairs,)
            Labels, as in ``fit``.
        sample_weight : array-like of shape (n_pairs,), default=None
            Weights of pairs.

        Returns
        -------
        score : float
            In [0, 1], as :func:`sklearn_codex.metrics.preference_accuracy` of the margins, so that
            it compares with other models of pairs: the probability of a tie has no part in it. The
            mean log-likelihood of the three outcomes is the scorer "neg_outcome_log_loss" of
            :func:`~sklearn_codex.metrics.get_preference_scorer`.

        Raises
        ------
        ValueError
            If a label is not one that ``fit`` would know.

        Warns
        -----
        LeakageWarning
            As ``PreferenceRewardModel.score``, by this method and the scorers of
            :mod:`sklearn_codex.metrics`, not by those of scikit-learn.
        """
        margin = self.predict_margin(X)
        self._warn_if_scored(X)
        y = check_no_label_missing(y, subject=type(self).__name__)
        check_consistent_length(margin, y)
        ties = {"tie": TIE} if "a" in self._meaning else {0.5: TIE}
        meaning = {**ties, **self._meaning}
        unknown = sorted(set(y.tolist()) - set(meaning), key=str)
        if unknown:
            raise ValueError(
                f"{type(self).__name__} got the labels {unknown} in y, but was fitted on "
                f"{self.classes_.tolist()}."
            )
        target = np.array([meaning[label] for label in y.tolist()]) / 2  # B, tie, A: 0, 1/2, 1
        weight = check_weight(sample_weight, margin)
        return float(np.average(points_of(target, margin), weights=weight))

    def reward(self, X):
        """Return the reward of single responses.

        Parameters
        ----------
        X : sequence of str, array-like of shape (n_documents, V) or (n, k, V), or ResponseIds
            Responses, as text, as features phi or as ids, or k candidates a row.

        Returns
        -------
        reward : ndarray of shape (n_documents,) or (n, k)
            w . phi(y), in nats. Only differences have a meaning.
        """
        check_is_fitted(self)
        return read_responses(self, X).reward(self.coef_[0])

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        # Any two classes, or three that say which is the tie: not any three.
        tags.classifier_tags.multi_class = False
        tags.input_tags.sparse = True
        return tags
