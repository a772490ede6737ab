"""How sure a reward model is: standard errors and intervals of weights, margins and rewards."""

import warnings
from numbers import Integral

import numpy as np
from scipy import sparse
from scipy.special import expit
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from sklearn_codex._data.pairs import read_responses
from sklearn_codex._few_groups import critical_value
from sklearn_codex._fits import whole_fit
from sklearn_codex._reward.jackknife import GroupMoves, sort_by_group
from sklearn_codex._reward.uncertain_reward import (
    UncertainRewardMixin,
    fit_reward_model,
    group_codes,
    penalty_of_fit,
)
from sklearn_codex._solve.precision import (
    WeightCovariance,
    choose_method,
    make_precision,
    toarray,
)

# Up to this many weights the covariance is a matrix; beyond, up to this many pairs, it is exact by
# the matrix of pairs, 800 MB at most; beyond both it is a bound.
MAX_FEATURES = 2000
MAX_PAIRS = 10_000
# Rows of which more than this part is not 0 take less room as a plain array.
DENSE = 0.6
LEAST_CURVATURE = 1e-300


def _scaled_rows(design, kept, root):
    """Return rows of a design (n, V + k) times factors (n,), plain where they are not sparse."""
    if design.is_dense:
        return root[:, np.newaxis] * design[kept]  # which may be the user's own memory
    scaled = sparse.csr_array(sparse.diags_array(root) @ design[kept])
    is_dense = scaled.nnz > DENSE * scaled.shape[0] * scaled.shape[1]
    return scaled.toarray() if is_dense else scaled


class RewardLowerBound:
    """Mean reward less k standard deviations.

    Parameters
    ----------
    model : RewardUncertainty
        A fitted one.
    k : float
        Standard deviations to take off.
    reference : "origin" or responses, default="origin"
        Responses compared to whose mean others are rewarded; "origin" is one without any feature.

    Attributes
    ----------
    n_features_in_ : int
        V.
    vectorizer_ : transformer or None
        That of the model.
    """

    def __init__(self, model, k, reference="origin"):
        self.model = model
        self.k = k
        self.n_features_in_ = model.n_features_in_
        self.vectorizer_ = model.vectorizer_
        self._center = model._center_of(reference)

    def reward(self, X):
        """Return the reward of single responses, less k standard deviations.

        Parameters
        ----------
        X : sequence of str, array-like of shape (n_documents, V) or (n, k, V), or ResponseIds
            Responses, as text, as features or as ids.

        Returns
        -------
        reward : ndarray of shape (n_documents,) or (n, k)
            In nats of log-odds.
        """
        read = read_responses(self.model.estimator_, X)
        mean, std = self.model._reward_less(read, self._center, True)
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
    estimator_ : PreferenceRewardModel
        The fitted model.
    coef_ : ndarray of shape (1, V)
        Its weights.
    classes_ : ndarray of shape (2,)
        The two labels; the second one means that A is preferred.
    covariance_ : ndarray of shape (V, V) or None
        Covariance of the weights of the reward; None unless ``method_`` is "dense".
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

    "laplace" is :math:`A^{-1}`, the posterior of the prior that the penalty stands for [1]_. To it
    a weight of 2 is two pairs that are independent, so weights that are no such counts make its
    standard errors wrong, and so do groups. Intervals are normal.

    "sandwich" is what leaving out groups does to the fit, by one Newton step: the jackknife
    (CR3 [2]_ [3]_). With :math:`A_g` the part of a group in the sum of the first term of A, and
    :math:`u_g` the sum over a group of :math:`s_i (y_i - p_i) D_i`,

    .. math::
        \frac{G - 1}{G} \sum_g \delta_g \delta_g^\top, \qquad \delta_g = (A - A_g)^{-1} u_g.

    Few groups, or a feature that few groups have, tell little of how groups differ, so intervals
    are wider than normal ones. A linear function :math:`c^\top w` of the weights has in effect
    :math:`G^*` groups [4]_, as many as tell of it in equal parts, and the interval goes to each
    side by so many standard errors:

    .. math::
        t_{G^* - 1} \sqrt{\frac{1 - 1 / G^*}{1 - 1 / G}}, \quad
        G^* = \max\Bigl(2, \frac{(\sum_g \gamma_g)^2}{\sum_g \gamma_g^2}\Bigr), \quad
        \gamma_g = c^\top A^{-1} A_g A^{-1} c.

    To the sandwich a group is one observation, however many pairs it has and whatever they weigh,
    so a weight of 2 is the pair twice, both in one group. That holds without ``groups`` too, where
    each row is one.

    Both say how much the estimate would vary and nothing of its bias. They are around what a fit of
    that ``C`` tends to: the weights that minimise the penalised loss as it is expected of so many
    pairs. Where the penalty is weak that is the minimum of the expected loss, and the truth if the
    model is right; where it is strong it is nearer to 0. A feature that no pair has is of no doubt
    to the sandwich. Where the model tells all labels there is no finite estimate but for the
    penalty, and intervals are those of the penalty.

    By "low_rank" the part of :math:`D^\top \operatorname{diag}(\cdot) D` that is left out is
    positive, so with "laplace" no standard error is below that of the exact method. For "sandwich"
    there is no such guarantee, and no group is left out: it is
    :math:`\frac{G}{G - 1} A^{-1} \sum_g u_g u_g^\top A^{-1}`.

    References
    ----------
    .. [1] MacKay, D. J. C. (1992). "The evidence framework applied to classification networks."
       Neural Computation 4(5), 720-736.
    .. [2] Bell, R. M. and McCaffrey, D. F. (2002). "Bias reduction in standard errors for linear
       regression with multi-stage samples." Survey Methodology 28(2), 169-181.
    .. [3] MacKinnon, J. G., Nielsen, M. Ø. and Webb, M. D. (2023). "Fast and reliable jackknife
       and bootstrap methods for cluster-robust inference." Journal of Applied Econometrics 38(5),
       671-694.
    .. [4] Carter, A. V., Schnepel, K. T. and Steigerwald, D. G. (2017). "Asymptotic behavior of a
       t-test robust to cluster heterogeneity." Review of Economics and Statistics 99(4), 698-709.

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
    x1       -0.416  0.047  -0.508  -0.324
    x2       -0.157  0.044  -0.244  -0.070
    >>> margin, std = model.predict_margin(data.X[:2], return_std=True)
    """

    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit"]), None],
        "kind": [StrOptions({"laplace", "sandwich"})],
        "method": [StrOptions({"auto", "dense", "dual", "low_rank"})],
        "rank": [Interval(Integral, 1, None, closed="left")],
    }

    # Which pairs belong together has to reach every fit, so groups are always asked for.
    __metadata_request__fit = {"groups": True}

    def __init__(self, estimator=None, *, kind="laplace", method="auto", rank=200):
        self.estimator = estimator
        self.kind = kind
        self.method = method
        self.rank = rank

    @whole_fit(prefer_skip_nested_validation=False)
    def fit(self, X, y, sample_weight=None, groups=None):
        """Fit the model, unless it is frozen, and find how sure its weights are.

        Parameters
        ----------
        X : array-like of str (n_pairs, 2 or 3), or of numbers (n_pairs, 2, V) or (n_pairs, V)
            The training pairs of the model.
        y : array-like of shape (n_pairs,)
            Their labels, as for the model.
        sample_weight : array-like of shape (n_pairs,), default=None
            Weights of pairs: a weight of 2 is the pair twice, to the sandwich both in one group.
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
        self.estimator_ = fit_reward_model(
            self.estimator, X, y, sample_weight, groups, subject=subject
        )
        self._take_columns()
        self.coef_ = self.estimator_.coef_
        problem = self.estimator_._read(X, y, sample_weight, reset=False)
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
            full = self._covariance.matrix(problem.design.shape[1])
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
        model = self.estimator_
        kept = np.flatnonzero(problem.weight > 0)
        order, sizes = sort_by_group(codes[kept])
        kept = kept[order]
        weight, margin = problem.weight[kept], problem.design.matvec(model._weights())[kept]
        # Above 0, so that the residual of a pair that the model is sure of has a unit.
        curvature = weight * np.maximum(expit(margin) * expit(-margin), LEAST_CURVATURE)
        root = np.sqrt(curvature)
        penalty = penalty_of_fit(model, problem)
        # A free weight of a constant column is not determined; it stays at 0.
        squares = problem.design.column_squares(problem.weight)
        penalty[(penalty == 0) & (squares == 0)] = 1.0
        rows = _scaled_rows(problem.design, kept, root)
        precision = make_precision(rows, penalty, method=self.method_, rank=self.rank)
        if self.kind == "laplace":
            return WeightCovariance(precision)
        residual = weight * (problem.labels.target[kept] - expit(margin)) / root
        exact = self.method_ != "low_rank"
        groups = GroupMoves(precision, rows, residual, sizes, leave_out=exact)
        return WeightCovariance(precision, groups)

    def _deviation(self, rows, center=None):
        """Return standard errors (m,) of rows (m, V + k)."""
        return np.sqrt(self._covariance.variance(rows, center))

    def _half_width(self, rows, confidence_level):
        variance, n_effective = self._covariance.variance_and_groups(rows)
        n_groups = np.inf if self.kind == "laplace" else self.n_groups_
        std = np.sqrt(variance)
        return std, critical_value(confidence_level, n_effective, n_groups) * std

    def conservative_reward(self, k=1.0, *, reference="origin"):
        """Return a reward that is k standard deviations less where the model is not sure.

        Parameters
        ----------
        k : float, default=1.0
            Standard deviations to take off.
        reference : "origin" or responses, default="origin"
            What a response is compared to, as in :meth:`reward`: the mean of responses, such as
            those of the reference policy, given as text, features or ids, or "origin", a response
            without any feature, so that with counts the deviation grows with the length of a
            response. None is the origin too.

        Returns
        -------
        reward : RewardLowerBound
            An object with ``reward(documents)``, to be used as the ``reward_model`` of a
            :class:`~sklearn_codex.PPOPolicyOptimizer`.
        """
        check_is_fitted(self)
        return RewardLowerBound(self, k, reference)

    def _margin_covariance(self, X):
        """Return the variance (n_pairs,) of margins, and a function i -> covariances with it."""
        design = self._design(X)

        def column(i):
            one = toarray(design[[i]]).T
            return design.matvec(self._covariance.times(one)[:, 0])

        return self._covariance.variance(design), column
