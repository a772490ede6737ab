"""Reward models refitted on bootstrap samples of prompts, and the pairs most worth labelling."""

import warnings
from copy import copy
from numbers import Integral

import numpy as np
from scipy.special import expit
from scipy.stats import t
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions, validate_params
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_is_fitted

from sklearn_codex._few_groups import check_several_groups
from sklearn_codex._fits import whole_fit
from sklearn_codex._reward.bradley_terry import (
    BradleyTerryLoss,
    fit_weights,
    initial_precision,
)
from sklearn_codex._reward.conservative import ConservativeReward
from sklearn_codex._reward.uncertain_reward import (
    UncertainRewardMixin,
    fit_reward_model,
    group_codes,
    penalty_of_fit,
)


def _refit(problem, sample_weight, *, penalty, start, tol, max_iter):
    """Return the weights (V + k,) of a training problem with other sample weights, their precision.

    The precision is in nats of the pairs, so with C = 1.
    """
    loss = BradleyTerryLoss(problem.design, problem.labels.target, sample_weight, penalty=penalty)
    state = fit_weights(loss, start, tol=tol, max_iter=max_iter)
    precision = state.curvature.add_to(initial_precision(penalty))
    return state.point.weights, precision, state.converged


def _draw_weights(problem, codes, random_state, *, both_classes):
    """Return sample weights (n_pairs,) of a bootstrap sample of as many groups as there are."""
    groups = np.unique(codes[problem.weight > 0])  # one without weight is as none
    target = problem.labels.target
    for _ in range(100):
        drawn = groups[random_state.randint(len(groups), size=len(groups))]
        counts = np.bincount(drawn, minlength=codes.max() + 1)
        weight = problem.weight * counts[codes]
        labels = target[weight > 0]
        if not (both_classes and (labels.min() == 1 or labels.max() == 0)):
            return weight
    raise ValueError(
        "100 bootstrap samples of the groups had pairs of one class only. Give more groups, or a "
        "model without position_bias."
    )


class BootstrapRewardEnsemble(UncertainRewardMixin, BaseEstimator):
    r"""Reward models refitted on bootstrap samples of prompts.

    Parameters
    ----------
    estimator : PreferenceRewardModel or PreferenceRewardModelCV, default=None
        The model, whose ``C`` is chosen once; it is cloned and fitted. One that is fitted already,
        on the same pairs, is used as it is if wrapped in ``FrozenEstimator``. None means
        ``PreferenceRewardModel()``.
    n_estimators : int, default=20
        Bootstrap samples, at least 2.
    random_state : int, RandomState instance or None, default=None
        Draws the samples.
    n_jobs : int, default=None
        Samples fitted at a time, as in scikit-learn; the result does not depend on it.

    Attributes
    ----------
    estimator_ : PreferenceRewardModel
        The model fitted on all pairs, whose features the ensemble shares.
    coef_ : ndarray of shape (n_estimators, V)
        Weights of each refit.
    estimators_ : list of PreferenceRewardModel
        The refits as models of their own, with the curvature of their own samples; they have no
        ``history_``, ``loss_`` and ``n_iter_``.
    n_groups_ : int
        Groups that samples are drawn of.
    classes_ : ndarray of shape (2,)
        The two labels; the second one means that A is preferred.
    vectorizer_ : transformer or None
        That of the model.
    n_features_in_ : int
        V, the number of features of a response.
    feature_names_in_ : ndarray of shape (V,)
        Names of columns, where differences came as a data frame with string column names.

    See Also
    --------
    RewardUncertainty : Standard errors by formula, from one fit.

    Notes
    -----
    A sample draws as many groups as there are, with replacement, and all pairs of each [1]_.
    Margins and rewards are those of the fit on all pairs. Standard errors are the standard
    deviations over the refits times :math:`\sqrt{G / (G - 1)}`, since a sample of G groups as they
    are varies by (G - 1) / G of what new groups would [2]_. Intervals are of Student's t with

    .. math:: \Bigl(\frac{1}{G - 1} + \frac{1}{B - 1}\Bigr)^{-1}

    degrees of freedom, for B refits are a sample too. As with the sandwich, a feature that no pair
    has is of no doubt here; one that few groups have is of too little, and
    :class:`RewardUncertainty` knows that. A group is one observation: a weight of 2 is the pair
    twice, both in one group.

    References
    ----------
    .. [1] Field, C. A. and Welsh, A. H. (2007). "Bootstrapping clustered data." Journal of the
       Royal Statistical Society B 69(3), 369-390.
    .. [2] Hesterberg, T. C. (2015). "What teachers should know about the bootstrap: resampling in
       the undergraduate statistics curriculum." The American Statistician 69(4), 371-386.

    Examples
    --------
    >>> from sklearn_codex import BootstrapRewardEnsemble
    >>> from sklearn_codex.datasets import make_preferences
    >>> data = make_preferences(500, n_features=3, n_prompts=100, random_state=0)
    >>> model = BootstrapRewardEnsemble(random_state=0).fit(data.X, data.y, groups=data.groups)
    >>> model.coef_.shape
    (20, 3)
    >>> margin, std = model.predict_margin(data.X[:2], return_std=True)
    """

    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit"]), None],
        "n_estimators": [Interval(Integral, 2, None, closed="left")],
        "random_state": ["random_state"],
        "n_jobs": [Integral, None],
    }

    # Which pairs belong together has to reach every fit, so groups are always asked for.
    __metadata_request__fit = {"groups": True}

    def __init__(self, estimator=None, n_estimators=20, *, random_state=None, n_jobs=None):
        self.estimator = estimator
        self.n_estimators = n_estimators
        self.random_state = random_state
        self.n_jobs = n_jobs

    @whole_fit(prefer_skip_nested_validation=False)
    def fit(self, X, y, sample_weight=None, groups=None):
        """Fit the model on all pairs, unless it is frozen, and on each bootstrap sample.

        Parameters
        ----------
        X : array-like of str (n_pairs, 2 or 3), or of numbers (n_pairs, 2, V) or (n_pairs, V)
            Pairs, as for the model.
        y : array-like of shape (n_pairs,)
            Their labels, as for the model.
        sample_weight : array-like of shape (n_pairs,), default=None
            Weights of pairs: a weight of 2 is the pair twice, both in one group.
        groups : array-like of shape (n_pairs,), default=None
            Prompt of each pair; a sample has all pairs of a prompt or none. None: each pair is its
            own group.

        Returns
        -------
        self : BootstrapRewardEnsemble

        Raises
        ------
        TypeError
            If ``estimator`` is no reward model.
        ValueError
            If the model does not take the pairs, or there are less than 2 groups.

        Warns
        -----
        ConvergenceWarning
            If the ``max_iter`` of the model were not enough for some sample.
        """
        subject = type(self).__name__
        self.estimator_ = fit_reward_model(
            self.estimator, X, y, sample_weight, groups, subject=subject
        )
        self._take_columns()
        problem = self.estimator_._read(X, y, sample_weight, reset=False)
        codes = group_codes(groups, len(problem.weight))
        self.n_groups_ = len(np.unique(codes[problem.weight > 0]))
        check_several_groups(self.n_groups_, subject=subject)
        weights, self._precisions, converged = self._refit_samples(problem, codes)
        if not converged:
            warnings.warn(
                f"{subject}: a fit on a bootstrap sample did not converge in "
                f"max_iter={self.estimator_.max_iter} steps. Increase max_iter of the estimator.",
                ConvergenceWarning,
                stacklevel=2,
            )
        self._all_weights = weights  # (n_estimators, V + k)
        self.coef_ = weights[:, : self.n_features_in_]
        return self

    def _refit_samples(self, problem, codes):
        """Return the weights (n_estimators, V + k) of the refits, precisions, and if converged."""
        model = self.estimator_
        random_state = check_random_state(self.random_state)
        samples = [
            _draw_weights(problem, codes, random_state, both_classes=model.position_bias)
            for _ in range(self.n_estimators)
        ]
        settings = {
            "penalty": penalty_of_fit(model, problem),
            "start": model._weights(),
            "tol": model.tol,
            "max_iter": model.max_iter,
        }
        results = Parallel(n_jobs=self.n_jobs)(
            delayed(_refit)(problem, weight, **settings) for weight in samples
        )
        weights, precisions, converged = zip(*results, strict=True)
        return np.array(weights), precisions, all(converged)

    def _deviation(self, rows, center=None):
        """Return standard errors (m,) of rows (m, V + k), less a center (V + k,)."""
        product = rows.matvec if hasattr(rows, "matvec") else rows.__matmul__
        by_refit = product(self._all_weights.T)  # (m, n_estimators)
        if center is not None:
            by_refit = by_refit - self._all_weights @ center
        return self._widening() * by_refit.std(axis=1, ddof=1)

    def _half_width(self, rows, confidence_level):
        std = self._deviation(rows)
        freedom = 1 / (1 / (self.n_groups_ - 1) + 1 / (len(self._all_weights) - 1))
        return std, t.ppf((1 + confidence_level) / 2, freedom) * std

    def _widening(self):
        return np.sqrt(self.n_groups_ / (self.n_groups_ - 1))

    def _margins(self, design):
        """Return the margins (n_estimators, n_pairs) by each refit."""
        return design.matvec(self._all_weights.T).T

    @property
    def estimators_(self):
        """The refits as models of their own (a list of n_estimators)."""
        check_is_fitted(self)
        return [
            self._make_member(weights, precision)
            for weights, precision in zip(self._all_weights, self._precisions, strict=True)
        ]

    def _make_member(self, weights, precision):
        """Return the model on all pairs with the weights and the curvature of a refit."""
        model = copy(self.estimator_)
        vars(model).update(model._attributes_of(weights))
        for name in ("history_", "loss_", "n_iter_"):  # of the other fit
            vars(model).pop(name, None)
        if hasattr(model, "_precision"):
            model._precision = model._fitted_C * precision
        if hasattr(model, "_training_pairs"):
            # What one learns later the others have not seen.
            model._training_pairs = copy(model._training_pairs)
        return model

    def conservative_reward(self, k=1.0, *, by="document"):
        """Return the mean reward of the refits, less k standard deviations over them.

        Parameters
        ----------
        k : float, default=1.0
            Standard deviations to take off.
        by : {"document", "token"}, default="document"
            Whether the deviation is that of the reward of a document, or the sum of those of its
            tokens, never less, with which the reward adds over tokens.

        Returns
        -------
        reward : ConservativeReward
            As of :mod:`sklearn_codex.overoptimization`: the ``reward_model`` of a
            :class:`~sklearn_codex.PPOPolicyOptimizer`, for one.

        Raises
        ------
        ValueError
            If k is not a finite number >= 0, ``by`` is unknown, or there is one refit only.
        """
        reward = ConservativeReward(self.estimators_, k, by=by)
        reward._check()
        return reward

    def _margin_covariance(self, X):
        """Return the variance (n_pairs,) of margins, and a function i -> covariances with it."""
        margins = self._margins(self._design(X))
        deviations = self._widening() * (margins - margins.mean(axis=0))
        deviations /= np.sqrt(len(margins) - 1)

        def column(i):
            return deviations[:, i] @ deviations

        return np.sum(deviations**2, axis=0), column


@validate_params(
    {
        "model": "no_validation",
        "n": [Interval(Integral, 1, None, closed="left")],
        "criterion": [StrOptions({"information", "variance"})],
        "diverse": ["boolean"],
    },
    prefer_skip_nested_validation=True,
)
def most_informative_pairs(model, X, n=10, *, criterion="information", diverse=True):
    r"""Return the pairs whose labels would teach a reward model most.

    Parameters
    ----------
    model : RewardUncertainty or BootstrapRewardEnsemble
        A fitted one. Where pairs have features that no training pair had, use ``RewardUncertainty``
        with ``kind="laplace"``: the others are of no doubt about them.
    X : array-like of str (n_pairs, 2 or 3), or of numbers (n_pairs, 2, V) or (n_pairs, V)
        Pairs without labels, as in ``fit``.
    n : int, default=10
        Pairs to choose; all of them if there are fewer.
    criterion : {"information", "variance"}, default="information"
        The information of a label about the weights, or the variance of the margin, which does not
        ask how open the preference is.
    diverse : bool, default=True
        Whether to choose the second pair as if the first were labelled, and so on, so that no two
        ask the same.

    Returns
    -------
    index : ndarray of int of shape (min(n, n_pairs),)
        Rows of X, the first to be labelled first.

    Raises
    ------
    TypeError
        If the model does not know how sure it is.

    Notes
    -----
    With v the variance of the margin and p the probability that A is preferred, a label tells
    :math:`\tfrac{1}{2} \log(1 + p (1 - p) v)` nats about the weights, in the Gaussian approximation
    [1]_. Choosing one after another is the greedy solution of Bayesian D-optimal design.

    References
    ----------
    .. [1] MacKay, D. J. C. (1992). "Information-based objective functions for active data
       selection." Neural Computation 4(4), 590-604.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_codex import RewardUncertainty, most_informative_pairs
    >>> model = RewardUncertainty().fit([[1.0, 0.0], [2.0, 0.0], [-1.0, 0.0]], [1, 1, 0])
    >>> most_informative_pairs(model, [[1.0, 0.0], [0.0, 2.0], [0.0, 1.9]], n=2).tolist()
    [1, 2]
    """
    if not isinstance(model, UncertainRewardMixin):
        raise TypeError(
            "most_informative_pairs needs a fitted RewardUncertainty or BootstrapRewardEnsemble, "
            f"got {type(model).__name__}. Of a fitted PreferenceRewardModel and its training "
            "pairs, RewardUncertainty(FrozenEstimator(model)).fit(X, y) is one."
        )
    check_is_fitted(model)
    margin = model.predict_margin(X)
    curvature = expit(margin) * expit(-margin)  # (n_pairs,)
    variance, column = model._margin_covariance(X)
    scale = curvature if criterion == "information" else np.ones_like(curvature)
    n = min(n, len(margin))
    if not diverse:
        return np.argsort(-scale * variance, kind="stable")[:n]
    chosen: list[int] = []
    updates: list[np.ndarray] = []
    for _ in range(n):
        gain = scale * variance
        gain[chosen] = -np.inf
        best = int(np.argmax(gain))
        chosen.append(best)
        covariance = column(best) - sum(update[best] * update for update in updates)
        # What a label of this pair takes off the covariance of all margins.
        update = covariance * np.sqrt(curvature[best] / (1 + curvature[best] * variance[best]))
        updates.append(update)
        variance = np.maximum(variance - update**2, 0.0)
    return np.array(chosen)
