"""How sure a reward model is: standard errors and intervals of weights, margins and rewards."""

import warnings
from numbers import Integral, Real

import numpy as np
from scipy import sparse
from scipy.special import expit
from scipy.stats import norm, t
from sklearn.base import BaseEstimator, _fit_context
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from sklearn_codex._reward.precision import (
    WeightCovariance,
    choose_method,
    make_precision,
    sum_by_group,
)
from sklearn_codex._reward.uncertain_reward import (
    UncertainRewardMixin,
    fit_reward_model,
    group_codes,
    penalty_of_fit,
)
from sklearn_codex.metrics._tables import Table

# Up to this many weights the covariance is a matrix; beyond, up to this many pairs, it is exact by
# the matrix of pairs, 800 MB at most; beyond both it is a bound.
MAX_FEATURES = 2000
MAX_PAIRS = 10_000


class RewardLowerBound:
    """Mean reward less k standard deviations.

    Parameters
    ----------
    model : RewardUncertainty
        A fitted one.
    k : float
        Standard deviations to take off.
    reference : sequence of str or array-like of shape (n_documents, V), default=None
        Responses compared to whose mean others are rewarded; None is no response.

    Attributes
    ----------
    n_features_in_ : int
        V.
    vectorizer_ : transformer or None
        That of the model.
    """

    def __init__(self, model, k, reference=None):
        self.model = model
        self.k = k
        self.n_features_in_ = model.n_features_in_
        self.vectorizer_ = model.vectorizer_
        self._center = None
        if reference is not None:
            features = model.model_._check_responses(reference)
            self._center = np.asarray(features.mean(axis=0)).ravel()

    def reward(self, X):
        """Return the reward of single responses, less k standard deviations.

        Parameters
        ----------
        X : sequence of str or array-like of shape (n_documents, V)
            Responses, as text or as features.

        Returns
        -------
        reward : ndarray of shape (n_documents,)
            In nats of log-odds.
        """
        features = self.model.model_._check_responses(X)
        mean, std = self.model._reward_of_features(features, True, center=self._center)
        return mean - self.k * std


class RewardUncertainty(UncertainRewardMixin, BaseEstimator):
    r"""Standard errors and intervals of the weights, margins and rewards of a reward model.

    Parameters
    ----------
    estimator : PreferenceRewardModel or PreferenceRewardModelCV, default=None
        The model; it is cloned and fitted. One that is fitted already, on the same pairs, is used
        as it is if wrapped in ``FrozenEstimator``. None means ``PreferenceRewardModel()``.
    kind : {"laplace", "sandwich"}, default="laplace"
        The posterior covariance of the Bradley-Terry model with its penalty as the prior, which is
        large for features never seen; or the sampling covariance, robust to a wrong model and to
        labels that depend on each other within a prompt, for which give ``groups`` to ``fit``.
    method : {"auto", "dense", "dual", "low_rank"}, default="auto"
        How covariances are held. "dense" (up to 2,000 weights by "auto") and "dual" (up to 10,000
        pairs) are exact. "low_rank" keeps the ``rank`` directions of which the pairs say most and
        takes the others as unknown but for the penalty; "auto" warns where it has to.
    rank : int, default=200
        Directions kept by "low_rank".

    Attributes
    ----------
    model_ : PreferenceRewardModel
        The fitted model.
    coef_ : ndarray of shape (1, V)
        Its weights.
    classes_ : ndarray of shape (2,)
        The two labels; the second one means that A is preferred.
    covariance_ : ndarray of shape (V, V) or None
        Covariance of the weights; None unless ``method_`` is "dense".
    method_ : str
        The method used: "dense", "dual" or "low_rank".
    n_groups_ : int
        Groups that the sandwich sums over.
    vectorizer_ : transformer or None
        That of the model.
    n_features_in_ : int
        V, the number of features of a response.
    feature_names_in_ : ndarray of shape (V,)
        Names of columns, where differences came as a data frame with string column names.

    See Also
    --------
    BootstrapRewardEnsemble : The same questions answered by refitting.
    most_informative_pairs : What to label next.

    Notes
    -----
    With D the difference of features (and the columns of position and length), p the probabilities
    of the fit, s the sample weights and q the penalty, the information is

    .. math:: A = D^\top \operatorname{diag}(s_i p_i (1 - p_i)) D + \operatorname{diag}(q) / C.

    "laplace" is :math:`A^{-1}`, the posterior of the prior that the penalty stands for [1]_.
    "sandwich" is :math:`\frac{G}{G - 1} A^{-1} \sum_g u_g u_g^\top A^{-1}` with :math:`u_g` the sum
    over a group of :math:`s_i (p_i - y_i) D_i` [2]_ [3]_. It says how much the estimate would vary
    and nothing of its bias: where the penalty is strong, intervals are around what a penalised fit
    tends to, not around the truth, and a feature that no pair has is of no doubt. Intervals are
    normal, or of Student's t with G - 1 degrees of freedom for the sandwich.

    By "low_rank" the part of :math:`D^\top \operatorname{diag}(\cdot) D` that is left out is
    positive, so with "laplace" no standard error is below that of the exact method. For "sandwich"
    there is no such guarantee.

    References
    ----------
    .. [1] MacKay, D. J. C. (1992). "The evidence framework applied to classification networks."
       Neural Computation 4(5), 720-736.
    .. [2] White, H. (1982). "Maximum likelihood estimation of misspecified models." Econometrica
       50(1), 1-25.
    .. [3] Liang, K.-Y. and Zeger, S. L. (1986). "Longitudinal data analysis using generalized
       linear models." Biometrika 73(1), 13-22.

    Examples
    --------
    >>> from sklearn_codex import PreferenceRewardModel, RewardUncertainty
    >>> from sklearn_codex.datasets import make_preferences
    >>> data = make_preferences(500, n_features=3, random_state=0)
    >>> model = RewardUncertainty(PreferenceRewardModel(C=100), kind="sandwich").fit(
    ...     data.X, data.y, groups=data.groups
    ... )
    >>> print(model.coef_interval())
    feature    coef    std     low    high
    x0        0.231  0.029   0.173   0.288
    x1       -0.416  0.046  -0.507  -0.325
    x2       -0.157  0.044  -0.243  -0.071
    >>> margin, std = model.predict_margin(data.X[:2], return_std=True)
    """

    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit"]), None],
        "kind": [StrOptions({"laplace", "sandwich"})],
        "method": [StrOptions({"auto", "dense", "dual", "low_rank"})],
        "rank": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(self, estimator=None, *, kind="laplace", method="auto", rank=200):
        self.estimator = estimator
        self.kind = kind
        self.method = method
        self.rank = rank

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, sample_weight=None, groups=None):
        """Fit the model, unless it is frozen, and find how sure its weights are.

        Parameters
        ----------
        X : array-like of str of shape (n_pairs, 2) or (n_pairs, 3), or numeric (n_pairs, V)
            The training pairs of the model.
        y : array-like of shape (n_pairs,)
            Their labels, as for the model.
        sample_weight : array-like of shape (n_pairs,), default=None
            Weights of pairs: a weight of 2 is the pair twice.
        groups : array-like of shape (n_pairs,), default=None
            Prompt of each pair, whose labels may depend on each other; for the sandwich. None: each
            pair is its own group.

        Returns
        -------
        self : RewardUncertainty

        Raises
        ------
        TypeError
            If ``estimator`` is no reward model.
        ValueError
            If the model does not take the pairs, or the sandwich has less than 2 groups.

        Warns
        -----
        UserWarning
            If ``method="auto"`` and standard errors are no more than a bound.
        """
        subject = type(self).__name__
        self.model_ = fit_reward_model(self.estimator, X, y, sample_weight, groups, subject=subject)
        self._take_columns()
        self.coef_ = self.model_.coef_
        problem = self.model_._read(X, y, sample_weight, reset=False)
        codes = group_codes(groups, len(problem.weight))
        self.n_groups_ = len(np.unique(codes[problem.weight > 0]))
        if self.kind == "sandwich" and self.n_groups_ < 2:
            raise ValueError(
                f"{subject} needs at least 2 groups for kind='sandwich', got {self.n_groups_}. "
                "Leave groups out, or use kind='laplace'."
            )
        self.method_ = self._choose_method(problem.design.shape)
        self._covariance = self._estimate_covariance(problem, codes)
        self.covariance_ = None
        if self.method_ == "dense":
            # Equal to its own transpose up to rounding, so made so.
            full = self._covariance.times(np.eye(problem.design.shape[1]))
            n_features = self.n_features_in_
            self.covariance_ = ((full + full.T) / 2)[:n_features, :n_features]
        return self

    def _choose_method(self, shape):
        if self.method != "auto":
            return self.method
        method = choose_method(shape, max_features=MAX_FEATURES, max_pairs=MAX_PAIRS)
        if method == "low_rank":
            warnings.warn(
                f"{type(self).__name__} has {shape[1]} weights and {shape[0]} pairs, too many for "
                f"exact standard errors, so they are bounds from the {self.rank} directions of "
                "which the pairs say most. Increase rank for a closer bound; method='low_rank' "
                "says that this is known.",
                UserWarning,
                stacklevel=3,
            )
        return method

    def _estimate_covariance(self, problem, codes):
        """Return the covariance of all weights of a training problem, those of nuisances too."""
        model = self.model_
        rows = problem.design.tocsr()
        margin = problem.design.matvec(model._weights())
        curvature = problem.weight * expit(margin) * expit(-margin)
        penalty = penalty_of_fit(model, problem)
        # A free weight of a constant column is not determined; it stays at 0.
        penalty[(penalty == 0) & (problem.design.column_squares(curvature) == 0)] = 1.0
        scaled = sparse.csr_array(sparse.diags_array(np.sqrt(curvature)) @ rows)
        precision = make_precision(scaled, penalty, method=self.method_, rank=self.rank)
        if self.kind == "laplace":
            return WeightCovariance(precision)
        residual = problem.weight * (expit(margin) - problem.labels.target)
        correction = np.sqrt(self.n_groups_ / (self.n_groups_ - 1))
        scores = sum_by_group(sparse.diags_array(correction * residual) @ rows, codes)
        return WeightCovariance(precision, scores)

    def _margin_of_design(self, design, return_std):
        margin = design.matvec(self.model_._weights())
        if not return_std:
            return margin
        return margin, np.sqrt(self._covariance.variance(design.tocsr()))

    def margin_interval(self, X, confidence_level=0.95):
        """Return an interval of the margin of each pair.

        Parameters
        ----------
        X : array-like of str of shape (n_pairs, 2) or (n_pairs, 3), or numeric (n_pairs, V)
            Pairs, as in ``fit``.
        confidence_level : float, default=0.95
            Of the two-sided interval.

        Returns
        -------
        table : Table
            Columns ``margin``, ``std``, ``low`` and ``high``, one row a pair.
        """
        margin, std = self.predict_margin(X, return_std=True)
        half = self._quantile(confidence_level) * std
        return Table(margin=margin, std=std, low=margin - half, high=margin + half)

    def coef_interval(self, confidence_level=0.95):
        """Return an interval of each weight.

        Parameters
        ----------
        confidence_level : float, default=0.95
            Of the two-sided interval.

        Returns
        -------
        table : Table
            Columns ``feature``, ``coef``, ``std``, ``low`` and ``high``, one row a feature.
        """
        check_is_fitted(self)
        coef = self.coef_[0]
        names = self.model_._token_names()
        if names is None:
            names = [f"x{j}" for j in range(len(coef))]
        return self._interval_of_weights(names, slice(0, len(coef)), confidence_level)

    def bias_interval(self, confidence_level=0.95):
        """Return an interval of what position and length add to the margin.

        Parameters
        ----------
        confidence_level : float, default=0.95
            Of the two-sided interval.

        Returns
        -------
        table : Table
            Columns ``feature``, ``coef``, ``std``, ``low`` and ``high``; rows ``position``, the
            intercept, with ``position_bias=True``, and ``length`` and ``tanh length``, as in
            ``length_coef_``, with ``control_length=True``.

        Raises
        ------
        ValueError
            If the model has neither.
        """
        check_is_fitted(self)
        model = self.model_
        names = ["position"] if model.position_bias else []
        names += ["length", "tanh length"] if model.control_length else []
        if not names:
            raise ValueError(
                f"The model of {type(self).__name__} has no bias terms. Give it position_bias=True "
                "or control_length=True."
            )
        return self._interval_of_weights(names, slice(-len(names), None), confidence_level)

    def _interval_of_weights(self, names, places, confidence_level):
        """Return the table of some of the weights (V + k,) of rewards and nuisances."""
        weights = self.model_._weights()
        coef = weights[places]
        std = np.sqrt(self._covariance.diagonal(len(weights), places))
        half = self._quantile(confidence_level) * std
        return Table(
            feature=np.asarray(names), coef=coef, std=std, low=coef - half, high=coef + half
        )

    def _quantile(self, confidence_level):
        if not (isinstance(confidence_level, Real) and 0 < confidence_level < 1):
            raise ValueError(f"confidence_level should be in (0, 1), got {confidence_level!r:.60}.")
        tail = (1 + confidence_level) / 2
        return t.ppf(tail, self.n_groups_ - 1) if self.kind == "sandwich" else norm.ppf(tail)

    def conservative_reward(self, k=1.0, *, reference=None):
        """Return a reward that is k standard deviations less where the model is not sure.

        Parameters
        ----------
        k : float, default=1.0
            Standard deviations to take off.
        reference : sequence of str or array-like of shape (n_documents, V), default=None
            Responses, such as those of the reference policy, compared to whose mean a response is
            rewarded. None: compared to no response, so that the deviation grows with the length of
            a response.

        Returns
        -------
        reward : RewardLowerBound
            An object with ``reward(documents)``, to be used as the ``reward_model`` of a
            :class:`~sklearn_codex.PPOPolicyOptimizer`.
        """
        check_is_fitted(self)
        return RewardLowerBound(self, k, reference)

    def _reward_of_features(self, features, return_std, *, center=None):
        weights = self.model_._weights()
        offset = 0.0 if center is None else center @ self.coef_[0]
        reward = features @ self.coef_[0] - offset
        if not return_std:
            return reward
        padding = sparse.csr_array((features.shape[0], len(weights) - features.shape[1]))
        rows = sparse.csr_array(sparse.hstack([sparse.csr_array(features), padding]))
        if center is None:
            return reward, np.sqrt(self._covariance.variance(rows))
        center = np.concatenate([center, np.zeros(padding.shape[1])])
        return reward, np.sqrt(self._covariance.variance(rows, center))

    def _margin_covariance(self, X):
        """Return the variance (n_pairs,) of margins, and a function i -> covariances with it."""
        design = self._design(X)
        rows = design.tocsr()

        def column(i):
            one = rows[[i]].toarray().T
            return design.matvec(self._covariance.times(one)[:, 0])

        return self._covariance.variance(rows), column
