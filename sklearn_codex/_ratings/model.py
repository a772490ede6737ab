"""Ratings of models from comparisons of their responses."""

from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils._param_validation import Interval, StrOptions

from sklearn_codex._checks.numbers import check_weight
from sklearn_codex._data.vectorizers import FEATURES
from sklearn_codex._doc_links import link_estimators
from sklearn_codex._fits import whole_fit
from sklearn_codex._ratings.graph import find_connections, tell_connections
from sklearn_codex._ratings.groups import Names, code_groups
from sklearn_codex._ratings.inputs import read_comparisons
from sklearn_codex._ratings.labels import HALF, check_several, read_outcomes
from sklearn_codex._ratings.parameters import VoteParameters
from sklearn_codex._ratings.predictions import VotePredictions
from sklearn_codex._ratings.reports import RatingReports
from sklearn_codex._ratings.vote_models import (
    TIES,
    fit_outcomes,
)
from sklearn_codex._ratings.votes import Votes, ends_of
from sklearn_codex._reward.targets import warn_of_order
from sklearn_codex._solve.newton import warn_unless_converged

# Penalty that makes ratings finite which have no finite estimate, where alpha is 0; the ratings of
# the others do not feel it.
FLOOR = 1e-8


@link_estimators
class ModelRatings(VoteParameters, VotePredictions, RatingReports, ClassifierMixin, BaseEstimator):
    r"""Ratings of models from votes on pairs of their responses, with intervals and sets of ranks.

    Parameters
    ----------
    ties : {"half", "davidson", "rao-kupper", "both-bad"}, default="half"
        A tie as half a vote for each, for which labels may be soft too; as an outcome of its own
        [1]_; or as a difference too small to be seen [2]_. With these a vote that both are bad is
        a tie; "both-bad" is Davidson's model with that as a fourth outcome, see Notes.
    alpha : float, default=0.001
        Strength of the L2 penalty of ratings, in votes: information of ``alpha`` is added to what
        votes say of a rating, about n / 4 for n of them. With 0, models that no chain of
        comparisons connects are an error, and ratings without a finite estimate are infinite.
    position_bias : bool, default=False
        Whether to fit the log-odds that the first of two equal responses is preferred.
    topics : str, int or list of these, default=None
        Columns of X that describe the prompt, not the difference of the responses: names in a data
        frame, positions, from 2, in an array. Ratings become linear functions of them.
    topic_alpha : float, default=1.0
        Strength of the L2 penalty of how ratings depend on topics.
    topic_vectorizer : transformer, default=None
        Turns the one column of ``topics``, the text of prompts, into a few features.
    confidence_level : float, default=0.95
        Of the sets of ranks, all of which hold together, and of intervals.
    handle_unknown : {"error", "average"}, default="error"
        What ``predict`` does with a model that was not in the fit: "average" gives it rating 0.
    tol : float, default=1e-8
        The fit stops when the norm of the gradient, each part scaled by the root of the Hessian's
        diagonal, is at most ``tol`` times that at the start.
    max_iter : int, default=100
        At most this many Newton steps.
    random_state : int, RandomState instance or None, default=None
        Of the draws by which sets of ranks and comparisons hold together.

    Attributes
    ----------
    models_ : ndarray of shape (n_models,)
        The models, sorted; those of later batches follow. For differences the names of columns.
    ratings_ : ndarray of shape (n_models,)
        Ratings in nats, with mean 0 over the models that are not in ``separated_``: the log-odds
        that a model is preferred to another one is the difference of theirs.
    rating_std_ : ndarray of shape (n_models,)
        Standard errors, by the jackknife of groups; infinite where no estimate is finite.
    covariance_ : ndarray of shape (n_models, n_models)
        Their covariance.
    rank_sets_ : ndarray of int of shape (n_models, 2)
        Best and worst rank of each model, 1 being the first, which hold for all models together.
    separated_ : ndarray of bool of shape (n_models,)
        Models that have won, or lost, all against the others, so that votes give no finite
        estimate, or that nothing connects with them.
    n_comparisons_ : ndarray of shape (n_models,)
        Weight of the votes on each model.
    n_groups_ : int
        Groups of the standard errors, of two ways those of the way with fewer.
    style_names_ : ndarray of shape (k,)
        Columns of style: names, or positions.
    style_coef_ : ndarray of shape (k,)
        What a difference of 1 in a column of style adds to the log-odds.
    position_bias_ : float
        Log-odds that the first of two equal responses is preferred; 0 if not fitted.
    topic_coef_ : ndarray of shape (n_models, q)
        By how much the rating of a model grows with each feature of the prompt.
    topic_mean_ : ndarray of shape (q,)
        Means of these features, for which ``ratings_`` are.
    topic_vectorizer_ : transformer or None
        The fitted vectorizer.
    tie_parameter_ : float or None
        nu of Davidson's model, theta of that of Rao and Kupper; None for "half".
    both_bad_odds_ : float or None
        Odds of "both bad" against a win of A, of two models of rating 0; None unless that is an
        outcome, 0 where it never is.
    classes_ : ndarray of shape (2,), (3,) or (4,)
        The labels, sorted. Two where ties are halves, four with "both bad".
    n_iter_ : int
        Newton steps taken.
    n_features_in_ : int
        Columns of X.
    feature_names_in_ : ndarray of shape (n_models,)
        Names of columns, where differences came as a data frame with string column names.

    See Also
    --------
    PreferenceRewardModel : Learns from the text of responses what is preferred.
    TiePreferenceModel : The same with ties as outcomes.

    Notes
    -----
    With ratings :math:`\theta`, the differences z of style, and features x of the prompt, the
    margin of a comparison is

    .. math::
        m = \theta_a - \theta_b + (\gamma_a - \gamma_b) \cdot (x - \bar x) + \beta \cdot z + \delta.

    It is the log-odds of A in the Bradley-Terry model, and enters the models of ties as in
    :class:`TiePreferenceModel`. The fit minimises

    .. math::
        -\sum_i s_i \log P(y_i) + \tfrac{\alpha}{2} \|\theta\|^2
        + \tfrac{\alpha_t}{2} \|\gamma\|^2

    by Newton's method; style, position and ties have no penalty.

    Rows of X name models: ``(model_a, model_b)``, as text, or the columns of these names of a data
    frame, where names may be numbers. All other columns are numbers, differences of style, unless
    they are ``topics``. A matrix of numbers is a design of differences instead, one column a model,
    with 1 for A and -1 for B as a rule; if all its rows are such, it is the same as names.

    With ``ties="both-bad"`` and the level :math:`l = (\theta_a + \theta_b) / 2`, with topics as in
    the margin,

    .. math::
        P(A) : P(\text{tie}) : P(B) : P(\text{bad})
        = e^{m / 2} : \nu : e^{-m / 2} : \beta e^{-l},

    so that both are found bad as if something of the rating :math:`\log \beta`, ``both_bad_odds_``,
    took part and won, as in the grounded model of Rao and Kupper [7]_, with Davidson's ties. This
    takes it that what is preferred less often is bad more often, in which votes that both are bad
    tell of ratings too, and connect models that meet no other way. Where they tell of hard prompts,
    which some models got more of, they make ratings worse: compare the log-loss of votes held out
    with that of ``ties="davidson"`` on A, B and ties. Style and position have no part in them.

    Standard errors are those of :class:`RewardUncertainty` with ``kind="sandwich"``: each group,
    such as a voter or a prompt, is left out. Of two ways the covariance is the sum of that by each
    less that by what has both in common [5]_ [6]_, without the part of negative eigenvalues, and
    degrees of freedom are those of the way in which fewer groups tell of a rating. Fewer than five
    groups may agree by chance, and ties only agree always: such a rating is no surer than
    independent votes that the model made, by the inverse of their information.

    Differences of ratings are compared all at once by the greatest of their ratios
    :math:`(Z_i - Z_j) / s_{ij}` with Z normal as the ratings vary [3]_; a ratio with few groups is
    first taken to the normal one of its p-value by Student's t. It steps down: from the surest
    difference on, what has been told is no longer compared on its side. Model j is better than i
    where that says so at level :math:`1 - c`, c being ``confidence_level``; the best rank of i is 1
    plus the number of models that are better, the worst the number of models less that of those
    that are worse [4]_. So all sets hold the ranks of all models in at least a part c of data sets.

    References
    ----------
    .. [1] Davidson, R. R. (1970). "On extending the Bradley-Terry model to accommodate ties in
       paired comparison experiments." Journal of the American Statistical Association 65(329),
       317-328.
    .. [2] Rao, P. V. and Kupper, L. L. (1967). "Ties in paired-comparison experiments: a
       generalization of the Bradley-Terry model." Journal of the American Statistical Association
       62(317), 194-204.
    .. [3] Hothorn, T., Bretz, F. and Westfall, P. (2008). "Simultaneous inference in general
       parametric models." Biometrical Journal 50(3), 346-363.
    .. [4] Mogstad, M., Romano, J. P., Shaikh, A. M. and Wilhelm, D. (2024). "Inference for ranks
       with applications to mobility across neighbourhoods and academic achievement across
       countries." Review of Economic Studies 91(1), 476-518.
    .. [5] Cameron, A. C., Gelbach, J. B. and Miller, D. L. (2011). "Robust inference with multiway
       clustering." Journal of Business & Economic Statistics 29(2), 238-249.
    .. [6] MacKinnon, J. G., Nielsen, M. Ø. and Webb, M. D. (2024). "Jackknife inference with
       two-way clustering." Queen's Economics Department Working Paper 1516.
    .. [7] Frick, E. et al. (2025). "Prompt-to-Leaderboard." arXiv:2502.14855.

    Examples
    --------
    >>> from sklearn_codex import ModelRatings
    >>> votes = [("a", "b")] * 8 + [("b", "c")] * 8 + [("a", "c")] * 8
    >>> y = [1, 1, 1, 1, 1, 1, 0, 0.5, 1, 1, 1, 1, 1, 0, 0, 0.5, 1, 1, 1, 1, 1, 1, 1, 0]
    >>> model = ModelRatings(random_state=0).fit(votes, y)
    >>> print(model.table())
    model  rating    std     low    high  rank_low  rank_high       n
    a       1.153  0.470   0.162   2.145         1          3  16.000
    b      -0.217  0.369  -0.995   0.561         1          3  16.000
    c      -0.936  0.445  -1.871  -0.002         1          3  16.000
    >>> model.predict_proba([("a", "c")]).round(2).tolist()
    [[0.11, 0.89]]
    """

    _parameter_constraints: dict = {
        "ties": [StrOptions(set(TIES))],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "position_bias": ["boolean"],
        "topics": [str, Integral, list, tuple, None],
        "topic_alpha": [Interval(Real, 0, None, closed="neither")],
        "topic_vectorizer": [FEATURES, None],
        "confidence_level": [Interval(Real, 0, 1, closed="neither")],
        "handle_unknown": [StrOptions({"error", "average"})],
        "tol": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }

    _group_names: Names | None

    # Which votes depend on each other has to reach every fit, so groups are always asked for.
    __metadata_request__fit = {"groups": True}
    __metadata_request__partial_fit = {"groups": True}

    def __init__(
        self,
        ties=HALF,
        *,
        alpha=0.001,
        position_bias=False,
        topics=None,
        topic_alpha=1.0,
        topic_vectorizer=None,
        confidence_level=0.95,
        handle_unknown="error",
        tol=1e-8,
        max_iter=100,
        random_state=None,
    ):
        self.ties = ties
        self.alpha = alpha
        self.position_bias = position_bias
        self.topics = topics
        self.topic_alpha = topic_alpha
        self.topic_vectorizer = topic_vectorizer
        self.confidence_level = confidence_level
        self.handle_unknown = handle_unknown
        self.tol = tol
        self.max_iter = max_iter
        self.random_state = random_state

    @whole_fit(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None, groups=None):
        """Learn the ratings.

        Parameters
        ----------
        X : array-like of shape (n, 2 + k), or numeric (n, n_models)
            Names of models A and B and differences of style, or a data frame with the columns
            ``model_a`` and ``model_b``; or differences of columns, see Notes of the class.
        y : array-like of shape (n,)
            1 where A is preferred, 0 where B, 0.5 for a tie; between, for ``ties="half"``, the
            probability that A is preferred. Or in words: "a", "b", "tie", "model_a", "model_b",
            "both_bad", "tie (bothbad)"; always so for ``ties="both-bad"``.
        sample_weight : array-like of shape (n,), default=None
            Weights of votes: a weight of 2 is the vote twice, to standard errors in one group.
        groups : array-like of shape (n,) or (n, 2), default=None
            Whose votes may depend on each other, such as the voter or the prompt of each; for
            standard errors. Two columns where votes that share either may. None: each vote is its
            own group.

        Returns
        -------
        self : ModelRatings

        Raises
        ------
        ValueError
            If ``alpha`` is 0 and comparisons do not connect all models.

        Warns
        -----
        SeparationWarning
            If some models have won, or lost, all, so that what is given depends on ``alpha``.
        UserWarning
            If comparisons do not connect all models.
        ConvergenceWarning
            If ``max_iter`` steps were not enough.
        """
        self._group_names = None
        rows = read_comparisons(self, X, reset=True)
        votes, outcomes = self._read_votes(rows, y, sample_weight, groups)
        self._set_classes(outcomes.meaning)
        self._seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        if self.topic_vectorizer is None or self.topics is None:
            self.topic_vectorizer_ = None
        self._fit_votes(votes.gathered())
        return self

    @whole_fit(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, classes=None, sample_weight=None, groups=None):
        """Learn the ratings of all batches so far.

        The result is that of ``fit`` on all of them at once. Of names without style, equal votes of
        a group are one row, so that memory grows with the kinds of votes, not with their number;
        with style, or of differences, all rows are kept. Not for ``topics``.

        Parameters
        ----------
        X : array-like of shape (n, 2 + k), or numeric (n, n_models)
            A batch of comparisons, as for ``fit``. Models may be new.
        y : array-like of shape (n,)
            Their labels.
        classes : array-like of shape (n_classes,), default=None
            All labels, where the first batch may not have them.
        sample_weight : array-like of shape (n,), default=None
            Weights of votes.
        groups : array-like of shape (n,) or (n, 2), default=None
            Groups of votes, with each batch or with none; one group may be in several.

        Returns
        -------
        self : ModelRatings
        """
        if self.topics is not None:
            raise ValueError(
                f"{type(self).__name__}.partial_fit cannot be used with topics, whose features are "
                "learned from all prompts. Use fit."
            )
        if not hasattr(self, "_votes"):
            self._group_names = None
            self._seed = int(check_random_state(self.random_state).randint(2**31 - 1))
            self.topic_vectorizer_ = None
            rows, known = read_comparisons(self, X, reset=True), None
        else:
            rows, known = read_comparisons(self, X, reset=False, grow=True), self._meaning
        votes, outcomes = self._read_votes(
            rows, y, sample_weight, groups, known=known, given=classes
        )
        self._set_classes(outcomes.meaning)
        votes = votes.gathered()
        if known is not None:
            votes = Votes.of_state(self._votes).joined(votes).gathered()
        self._fit_votes(votes)
        return self

    def _read_votes(self, rows, y, sample_weight, groups, *, known=None, given=None):
        """Return the votes of a batch, those of weight 0 left out, and how y was read."""
        subject = type(self).__name__
        outcomes = read_outcomes(y, self.ties, subject=subject, known=known, given=given)
        check_consistent_length(rows.style, outcomes.target)
        weight = check_weight(sample_weight, outcomes.target)
        if known is None and rows.a is not None:
            warn_of_order(np.array(sorted(outcomes.meaning)), subject=subject)
        if known is None and given is None:
            symmetric = rows.a is not None and not self.position_bias
            check_several(outcomes, weight, self.ties, symmetric=symmetric, subject=subject)
        group, self._group_names = code_groups(
            groups,
            rows.n_rows,
            subject=subject,
            known=self._group_names,
            is_first=known is None,
        )
        count = np.ones(rows.n_rows)
        votes = Votes(rows, outcomes.target, outcomes.bad, weight, count, group)
        return (votes if (weight > 0).all() else votes.take(weight > 0)), outcomes

    def _set_classes(self, meaning):
        self._meaning = dict(meaning)
        self.classes_ = np.array(sorted(meaning))

    def _fit_votes(self, votes):
        """Set all that is learned from votes."""
        self._votes = votes.state()
        self.topic_mean_ = _mean(votes.rows.topics, votes.total)
        design, level = self._design(votes.rows), self._level(votes.rows)
        core = self._check_connections(votes)
        alpha = self.alpha if self.alpha > 0 or core.all() else FLOOR
        penalty = self._penalty(design.shape[1], alpha)
        settings: dict[str, Any] = {"tol": self.tol, "max_iter": self.max_iter}
        state, weights, outcomes = fit_outcomes(
            self.ties, votes, design, level, penalty, **settings
        )
        self.n_iter_ = state.iteration
        warn_unless_converged(state, subject=type(self).__name__, stacklevel=5)
        self._set_weights(weights, outcomes, core)
        self._uncertainty = None

    def _check_connections(self, votes):
        """Return which ratings have a finite estimate (n_models,), having told of the others."""
        ends = ends_of(votes.rows)
        n_models = len(self.models_)
        self._is_of_names = ends is not None
        if ends is None:
            uses = abs(votes.rows.differences) > 0  # of columns
            self.n_comparisons_ = np.asarray(uses.T @ votes.total, dtype=np.float64)
            self._infinite = np.zeros(n_models)
        else:
            a, b = ends
            uses = np.bincount(np.concatenate([a, b]), np.tile(votes.total, 2), n_models)
            self.n_comparisons_ = uses.astype(np.float64)
            found = find_connections(a, b, votes.target, votes.total, n_models, votes.bad)
            self._infinite = found.infinite
            tell_connections(found, self.models_, self.alpha, subject=type(self).__name__)
        self.separated_ = self._infinite != 0
        return ~self.separated_

    def _set_weights(self, weights, outcomes, core):
        """Set the fitted attributes that the weights and the parameters of outcomes are."""
        n_models, n_topics = len(self.models_), len(self.topic_mean_)
        weights = weights.copy()
        self._log_tie, self._log_bad = outcomes
        if self._is_of_names:
            mean = weights[:n_models][core if core.any() else ~core].mean()
            weights[:n_models] -= mean
            self._log_bad = None if self._log_bad is None else self._log_bad - mean
        self._weights = weights
        self.ratings_ = weights[:n_models].copy()
        if self.alpha == 0:
            self.ratings_[~core] = self._infinite[~core]
        end = n_models * (1 + n_topics)
        self.topic_coef_ = weights[n_models:end].reshape(n_models, n_topics)
        self.style_coef_ = weights[end : end + len(self.style_names_)]
        self.position_bias_ = float(weights[-1]) if self.position_bias else 0.0
        self.tie_parameter_ = None if self._log_tie is None else float(np.exp(self._log_tie))
        self.both_bad_odds_ = None if self._log_bad is None else float(np.exp(self._log_bad))

    def __getstate__(self):
        """Return the state without what is found again when it is asked for."""
        state = super().__getstate__()
        return {**state, "_uncertainty": None} if "_uncertainty" in state else state

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        tags.input_tags.sparse = True
        tags.input_tags.string = True
        return tags


def _mean(features, weight):
    """Return the weighted means (q,) of features (n, q)."""
    return weight @ features / weight.sum() if features.shape[1] else np.zeros(0)
