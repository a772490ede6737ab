"""The reward model of pairs labelled by several annotators, who are not equally reliable."""

import warnings
from dataclasses import replace
from numbers import Integral, Real

import numpy as np
from scipy.special import expit, logit
from sklearn.base import BaseEstimator
from sklearn.utils import check_consistent_length
from sklearn.utils._param_validation import Hidden, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from sklearn_codex._checks.groups import check_groups, encode_groups
from sklearn_codex._checks.numbers import check_weight
from sklearn_codex._data.pairs import read_pairs
from sklearn_codex._fits import whole_fit
from sklearn_codex._reward.annotator_loss import AnnotatorLoss, AnnotatorPrior
from sklearn_codex._reward.bradley_terry import BradleyTerryLoss, fit_weights
from sklearn_codex._reward.leakage import TrainingPairs
from sklearn_codex._reward.pair_classifier import PairClassifierMixin
from sklearn_codex._reward.presets import VECTORIZER_CONSTRAINTS, choose_vectorizer
from sklearn_codex._reward.targets import (
    check_both_preferred,
    check_labels,
    warn_of_order,
)
from sklearn_codex._solve.newton import (
    gradient_norm,
    minimise,
    normal_quantile,
    solve,
    warn_unless_converged,
)
from sklearn_codex._tables import Table

# A flip rate of 5%, and one between 0.8% and 21% with probability 2/3.
FLIP_PRIOR = (float(logit(2 * 0.05)), 1.5)
# Fisher scoring gets here quickly, part of the gradient at the start; the rest of the way it may be
# slow where labels are against great margins.
NEAR = 0.02
# What "auto" was called before.
_OLD_FLIP_RATE = Hidden(StrOptions({"estimate"}))
MAX_NEWTON_STEPS = 50


def _encode_annotators(annotators, n_pairs, rows):
    """Return the names of the annotators of some rows, and who labelled each of these (n_rows,)."""
    if annotators is None:
        return np.array([0]), np.zeros(len(rows), dtype=np.intp)
    names = check_groups(annotators, n_pairs, name="annotators")[rows]
    codes = encode_groups(names, len(rows), name="annotators")
    return names[np.unique(codes, return_index=True)[1]], codes


class AnnotatorRewardModel(PairClassifierMixin, BaseEstimator):
    r"""Reward model that estimates how reliable each annotator is, and how many labels are wrong.

    Parameters
    ----------
    C : float, default=1.0
        Inverse strength of the L2 penalty of the weights.
    vectorizer : transformer, "preference" or None, default=None
        Turns a text into its features phi; any scikit-learn transformer of texts. None means
        ``TokenCounter()``, "preference" :func:`~sklearn_codex.features.preference_features`, as in
        :class:`PreferenceRewardModel`.
    flip_rate : float in [0, 0.5) or "auto", default="auto"
        Part of labels that are the wrong way round, whatever the margin; "auto" learns it.
    temperature_scale : float, default=0.5
        Standard deviation, in the prior, of the logarithms of temperatures: the smaller, the more
        alike annotators are thought to be.
    tol : float, default=1e-6
        The fit stops when the norm of the gradient, scaled, is at most ``tol`` times that at the
        start, the Bradley-Terry model.
    max_iter : int, default=200
        At most this many steps.

    Attributes
    ----------
    coef_ : ndarray of shape (1, V)
        Weights w of the reward, in nats of an annotator of temperature 1.
    annotators_ : ndarray of shape (n_annotators,)
        Their names, sorted; 0 where ``annotators`` was not given.
    temperatures_ : ndarray of shape (n_annotators,)
        The noise of each annotator, of geometric mean 1: the greater, the less a margin decides.
    log_temperature_std_ : ndarray of shape (n_annotators,)
        Standard errors of their logarithms.
    flip_rate_ : float
        Part of labels that are the wrong way round.
    flip_logit_std_ : float
        Standard error of the log-odds of twice the flip rate; 0 where it was given.
    classes_ : ndarray of shape (2,)
        The two labels; the second, greater one means that A is preferred.
    n_iter_ : int
        Steps taken.
    vectorizer_ : transformer or None
        The fitted vectorizer, None where the model was fitted on unnamed differences.
    n_features_in_ : int
        V, the number of features of a response.
    feature_names_in_ : ndarray of shape (V,)
        Names of columns, where differences came as a data frame with string column names.

    See Also
    --------
    sklearn_codex.metrics.annotator_accuracy : Agreement of each annotator with the others.
    sklearn_codex.labels.votes_to_soft_labels : One label of several votes, without a model.

    Notes
    -----
    An annotator a with temperature :math:`\tau_a`, asked about a pair with margin
    :math:`m = r(A) - r(B)`, is recorded to prefer A with probability [1]_

    .. math:: P(A) = (1 - e)\, \sigma(m / \tau_a) + e\, \sigma(-m / \tau_a).

    Only ratios of temperatures are known, since a reward twice as large with temperatures twice as
    large is the same; their logarithms have mean 0. The logarithms have a normal prior, and so has
    the log-odds of 2 e, centred at a flip rate of 5%, wide enough that a few hundred pairs outweigh
    it. Each row is one label of one annotator: a pair with three labels is three rows. A flip rate
    is told from a high temperature by labels against a great margin, so it takes some of these.

    Margins and rewards are those of an annotator of temperature 1, in nats. ``predict_proba`` has
    flips besides.

    The fit is by Fisher scoring from the Bradley-Terry model, and by Newton's method near the end.
    Standard errors are of the Fisher information with the priors. They take rows as independent
    given the reward, and a weight of 2 as two rows; intervals by them are normal.

    References
    ----------
    .. [1] Chen, X., Bennett, P. N., Collins-Thompson, K. and Horvitz, E. (2013). "Pairwise ranking
       aggregation in a crowdsourced setting." WSDM 2013, 193-202.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_codex import AnnotatorRewardModel
    >>> from sklearn_codex.datasets import make_preferences
    >>> data = make_preferences(2000, n_features=5, random_state=0)
    >>> who = np.where(np.arange(2000) < 1000, "careful", "careless")
    >>> y = np.where(who == "careful", data.y, np.random.RandomState(0).permutation(data.y))
    >>> model = AnnotatorRewardModel(flip_rate=0.0).fit(data.X, y, annotators=who)
    >>> dict(zip(model.annotators_.tolist(), model.temperatures_.round(1).tolist()))
    {'careful': 0.3, 'careless': 3.6}
    """

    _parameter_constraints: dict = {
        "C": [Interval(Real, 0, None, closed="neither")],
        "vectorizer": VECTORIZER_CONSTRAINTS,
        "flip_rate": [Interval(Real, 0, 0.5, closed="left"), StrOptions({"auto"}), _OLD_FLIP_RATE],
        "temperature_scale": [Interval(Real, 1e-100, None, closed="left")],  # squared
        "tol": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
    }

    # Without annotators there is nothing to tell apart, so they are always asked for.
    __metadata_request__fit = {"annotators": True}

    def __init__(
        self,
        C=1.0,
        *,
        vectorizer=None,
        flip_rate="auto",
        temperature_scale=0.5,
        tol=1e-6,
        max_iter=200,
    ):
        self.C = C
        self.vectorizer = vectorizer
        self.flip_rate = flip_rate
        self.temperature_scale = temperature_scale
        self.tol = tol
        self.max_iter = max_iter

    @whole_fit(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None, annotators=None):
        """Learn the reward, and how reliable labels are.

        Parameters
        ----------
        X : array-like of str (n_pairs, 2 or 3), or of numbers (n_pairs, 2, V) or (n_pairs, V)
            Pairs: rows ``(response_a, response_b)`` or ``(prompt, response_a, response_b)``, a data
            frame with these columns, of texts or of vectors, an array of vectors phi(A), phi(B),
            their :class:`~sklearn_codex.ResponseIds`, or feature differences phi(A) - phi(B), dense
            or sparse.
        y : array-like of shape (n_pairs,)
            Two classes; the greater one means that A is preferred. Or probabilities that it is.
        sample_weight : array-like of shape (n_pairs,), default=None
            Weights of rows: a weight of 2 is the row twice, and one of 0 is no row.
        annotators : array-like of shape (n_pairs,), default=None
            Who labelled each row. None: one annotator, and nothing of temperatures is learned.

        Returns
        -------
        self : AnnotatorRewardModel

        Raises
        ------
        ValueError
            If y has neither two classes nor probabilities.

        Warns
        -----
        ConvergenceWarning
            If ``max_iter`` steps were not enough.
        """
        subject = type(self).__name__
        vectorizer = choose_vectorizer(self.vectorizer)
        read = read_pairs(self, X, reset=True, vectorizer=vectorizer)
        design, pairs = read.design.to_solve(), read.known
        labels = check_labels(y, subject=subject)
        check_consistent_length(design, labels.target)
        weight = check_weight(sample_weight, labels.target)
        if not labels.soft:
            check_both_preferred(labels, weight, subject=subject)
        self.classes_ = labels.classes
        if pairs is not None:
            warn_of_order(self.classes_, subject=subject)
        # An annotator of rows that weigh nothing would have a part in the mean of temperatures.
        rows = np.flatnonzero(weight > 0)
        self.annotators_, codes = _encode_annotators(annotators, len(weight), rows)
        loss = AnnotatorLoss(
            design if len(rows) == len(weight) else design.take(rows),
            labels.target[rows],
            codes,
            weight[rows],
            C=self.C,
            prior=AnnotatorPrior(self.temperature_scale, *FLIP_PRIOR),
            flip_rate=self._given_flip_rate(),
        )
        state = self._minimise(loss)
        self.n_iter_ = state.iteration
        warn_unless_converged(state, subject=subject)
        self._take_parameters(loss, state.point.weights)
        self._training_pairs = TrainingPairs(pairs)
        return self

    def _given_flip_rate(self):
        """Return the flip rate that was given, None where it is learned."""
        if self.flip_rate == "estimate":
            warnings.warn(
                "AnnotatorRewardModel(flip_rate='estimate') is called flip_rate='auto' now, as all "
                "that is learned or chosen. Pass 'auto'.",
                FutureWarning,
                stacklevel=5,
            )
        return None if isinstance(self.flip_rate, str) else float(self.flip_rate)

    def _minimise(self, loss):
        """Return the minimum: by Fisher scoring, which is safe, and near it by Newton's steps."""
        start = self._start(loss)
        goal = self.tol * gradient_norm(loss, start)
        at = minimise(loss, start, tol=max(NEAR, self.tol), max_iter=self.max_iter)
        n_iter = at.iteration
        if n_iter < self.max_iter and gradient_norm(loss, at.point.weights) > goal:
            loss.is_near = True
            steps = min(MAX_NEWTON_STEPS, self.max_iter - n_iter)
            near = minimise(loss, at.point.weights, tol=self.tol, max_iter=steps)
            loss.is_near = False
            n_iter += near.iteration
            at = near if near.point.value <= at.point.value else at
        norm = gradient_norm(loss, at.point.weights)
        if n_iter < self.max_iter and norm > goal:
            tol = goal / norm if norm > 0 else 0.0
            at = minimise(loss, at.point.weights, tol=tol, max_iter=self.max_iter - n_iter)
            return replace(at, iteration=n_iter + at.iteration)
        return replace(at, iteration=n_iter, converged=bool(norm <= goal))

    def _start(self, loss):
        """Return the parameters of the Bradley-Terry model, with the priors' centers."""
        start = loss.center.copy()
        plain = BradleyTerryLoss(loss.design, loss.target, loss.weight, C=self.C)
        start[: loss.design.shape[1]] = fit_weights(plain, tol=1e-4).point.weights
        return start

    def _take_parameters(self, loss, params):
        weights, log_precision, z = loss.split(params)
        self.coef_ = weights[np.newaxis]
        self.temperatures_ = np.exp(log_precision.mean() - log_precision)
        self.flip_rate_ = loss.rate(z)
        _, curvature = loss.derivatives(loss.at(params))
        n_features, n = len(weights), loss.n_annotators
        # What each log-temperature is apart from their mean, and the flip rate where it is learned.
        asked = np.zeros((len(params), n + len(z)))
        asked[n_features : n_features + n, :n] = np.eye(n) - 1 / n
        asked[len(params) - len(z) :, n:] = np.eye(len(z))
        errors = np.sqrt(np.maximum(np.sum(asked * solve(curvature, asked), axis=0), 0.0))
        self.log_temperature_std_ = errors[:n] if n > 1 else np.zeros(n)
        self.flip_logit_std_ = float(errors[n:].sum())

    def temperature_interval(self, confidence_level=0.95):
        """Return an interval of the temperature of each annotator.

        Parameters
        ----------
        confidence_level : float, default=0.95
            Of the two-sided interval.

        Returns
        -------
        table : Table
            Columns ``annotator``, ``temperature``, ``low`` and ``high``.
        """
        check_is_fitted(self)
        half = normal_quantile(confidence_level) * self.log_temperature_std_
        return Table(
            annotator=self.annotators_,
            temperature=self.temperatures_,
            low=self.temperatures_ * np.exp(-half),
            high=self.temperatures_ * np.exp(half),
        )

    def flip_rate_interval(self, confidence_level=0.95):
        """Return an interval of the flip rate.

        Parameters
        ----------
        confidence_level : float, default=0.95
            Of the two-sided interval.

        Returns
        -------
        low, high : float
            Normal in the log-odds of twice the rate, so in (0, 0.5); the rate itself where it was
            given.
        """
        check_is_fitted(self)
        if self.flip_logit_std_ == 0:
            return self.flip_rate_, self.flip_rate_
        half = normal_quantile(confidence_level) * self.flip_logit_std_
        low, high = expit(logit(2 * self.flip_rate_) + np.array([-half, half])) / 2
        return float(low), float(high)

    def predict_proba(self, X):
        """Return the probability of each label, from an annotator of temperature 1.

        Parameters
        ----------
        X : array-like of str (n_pairs, 2 or 3), or of numbers (n_pairs, 2, V) or (n_pairs, V)
            Pairs, as in ``fit``.

        Returns
        -------
        proba : ndarray of shape (n_pairs, 2)
            P(B recorded) and P(A recorded), flips included, in the order of ``classes_``. Without
            flips it is ``expit(decision_function(X))``.
        """
        clean = super().predict_proba(X)
        return self.flip_rate_ + (1 - 2 * self.flip_rate_) * clean

    def predict_log_proba(self, X):
        """Return the log-probability of each label, from an annotator of temperature 1.

        Parameters
        ----------
        X : array-like of str (n_pairs, 2 or 3), or of numbers (n_pairs, 2, V) or (n_pairs, V)
            Pairs, as in ``fit``.

        Returns
        -------
        log_proba : ndarray of shape (n_pairs, 2)
            Natural logarithms of ``predict_proba``, exact where that rounds to 0.
        """
        clean = super().predict_log_proba(X)
        with np.errstate(divide="ignore"):  # without flips
            flipped = np.log(self.flip_rate_)
        return np.logaddexp(flipped, np.log1p(-2 * self.flip_rate_) + clean)
