"""A policy over real responses: it chooses among the candidates that a prompt has."""

from numbers import Real

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.callback import CallbackSupportMixin
from sklearn.linear_model import Ridge
from sklearn.utils import ClassifierTags
from sklearn.utils._param_validation import HasMethods, Interval
from sklearn.utils.validation import check_is_fitted

from sklearn_codex._checks.matrices import is_sparse
from sklearn_codex._data.fitted_models import unwrap
from sklearn_codex._doc_links import link_estimators
from sklearn_codex._fits import whole_fit
from sklearn_codex._policy.candidate_problem import (
    candidate_objective,
    check_row_rewards,
    judge_rules,
    rule_rates,
    settle,
)
from sklearn_codex._policy.candidate_rows import (
    center_within,
    features_of,
    is_linear,
    read_candidates,
    rewards_of,
)
from sklearn_codex._policy.candidate_values import CandidateValuesMixin
from sklearn_codex._reward.presets import VECTORIZER_CONSTRAINTS
from sklearn_codex._solve.conjugate_gradients import check_within_floats
from sklearn_codex._stage import Stage

_ROUTED = {"groups": True, "reference_log_prob": True}


@link_estimators
class CandidatePolicy(CallbackSupportMixin, CandidateValuesMixin, BaseEstimator):
    r"""The best policy over the candidate responses of prompts, exact.

    Rows are candidates, one a row; ``groups``, or the prompts of rows of text, say which of them
    belong together. The policy tilts the reference by the reward, within each prompt.

    Parameters
    ----------
    reward_model : fitted reward model, fitted regressor or callable, default=None
        What rewards a row: a model with ``reward(X)``, a regressor with ``predict(X)``, or a
        callable; pass a fitted one as ``FrozenEstimator(model)``. It is given rows of numbers as
        they are; of rows of text the responses, or rows (prompt, response) where it, or its
        vectorizer, has ``wants_prompt = True``. None: ``fit`` learns a reward that is linear in the
        features from ``y``.
    kl_coef : float, default=1.0
        Weight b of KL(policy || reference): the smaller, the further the policy goes. With rewards
        in log-odds of preference, as of a Bradley-Terry model, and a uniform reference, 1 gives
        each candidate the probability that people choose it as the best.
    target_kl : float, default=None
        Mean KL over the prompts of ``fit``, in nats, that is wanted; ``kl_coef`` is then found.
    alpha : float, default=1.0
        L2 penalty of the reward that is learned.
    conservative : float, default=0.0
        Standard deviations k by which a reward is lowered that ``reward_model`` is not sure of,
        from its ``return_std``. Of a model with ``reward(X)`` it is that of the reward compared to
        the mean of the candidates of the prompt. No stage of a pipeline has it: there too pass
        ``reward_model=FrozenEstimator(fitted RewardUncertainty)``.
    rules : None, Rule, callable, or list of these or of (name, rule) tuples, default=None
        Rules on the responses, as text: a violation costs its ``penalty`` in nats, is never chosen
        with ``hard=True``, and at most so often as ``max_rate`` says, at a price found in ``fit``.
        A row is also banned by a ``reference_log_prob`` of ``-inf``.
    vectorizer : transformer, "preference" or None, default=None
        Turns text into the features of the reward that is learned, as in
        :class:`PlackettLuceModel`. Not used with ``reward_model``.

    Attributes
    ----------
    kl_coef_ : float
        ``kl_coef``, or the one at which the mean KL is ``target_kl``.
    coef_ : ndarray of shape (1, n_features)
        Weights w of the reward, where it is linear in the features of rows.
    policy_coef_ : ndarray of shape (1, n_features)
        w / b: the log-odds of a feature, over the reference.
    classes_ : ndarray of bool of shape (2,)
        False and True: whether a row is the candidate that is chosen.
    reward_model_ : estimator, callable or None
        The reward model, None where the reward was learned.
    expected_reward_, kl_, entropy_ : float
        Of the policy on the prompts of ``fit``, means over prompts; KL and entropy in nats.
    n_prompts_ : int
        Prompts of ``fit``.
    rule_prices_ : dict of str to float
        Price of a violation of each rule, in nats; ``inf`` of a hard rule.
    rule_rates_ : dict of str to float
        Share of responses of the policy that violate each rule, on the prompts of ``fit``.
    vectorizer_ : transformer or None
        The fitted vectorizer of the reward that was learned from text.
    n_features_in_ : int
        Number of features of a row, where there are.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of columns, where features came as a data frame with string column names.

    See Also
    --------
    PlackettLuceModel : A reward learned from rankings of the candidates of prompts.
    BestOfNSampler : Keeps the best of n responses drawn from a language model.
    sklearn_codex.exact.CandidateObjective : What is maximised, for optimisers to be held against.
    sklearn_codex.metrics.off_policy_value : The value of a policy from logged responses.

    Notes
    -----
    On each prompt x the policy

    .. math:: \pi(y|x) \propto ref(y|x)\, \exp\bigl(r(x, y) / b - c(x, y)\bigr)

    maximises :math:`E[r] - b\,(KL(\pi \| ref) + E[c])` over all policies [1]_. All prompts count
    the same. A reward that is learned minimises

    .. math:: \sum_i \bigl(y_i - \bar y_{x(i)} - w \cdot (\phi_i - \bar\phi_{x(i)})\bigr)^2
        + \alpha \|w\|^2

    with means over the candidates of the same prompt, so it knows only what differs between them:
    ratings of different prompts need not be on one scale. The policy is then log-linear,
    :math:`\pi \propto ref\, e^{\theta \cdot \phi}` with :math:`\theta = w / b`, and has
    probabilities for the candidates of prompts it never saw.

    The reference is uniform over the candidates of a prompt, or as ``reference_log_prob`` says, and
    is normalised over them. Where candidates were *drawn* from the reference, uniform is right:
    each draw stands for as much of it as any other, and weighing draws by their probability would
    count it twice. Log-probabilities of whole responses differ by length, too.

    Rows of numbers need ``groups``; a single row does not. Only a reward on one scale can be
    learned without, from all rows together, and ``fit`` warns of it: to such a policy each row
    without groups is the only candidate of a prompt, of probability 1. Groups have to be routed in
    a cross-validation, and the splitter given them, so that no prompt is on both sides:
    ``sklearn.set_config(enable_metadata_routing=True)`` and
    ``GridSearchCV(policy, {"kl_coef": [...]}, cv=GroupKFold()).fit(X, gold, groups=groups)``.

    References
    ----------
    .. [1] Korbak, T., Perez, E. and Buckley, C. (2022). "RL with KL penalties is better viewed as
       Bayesian inference." Findings of EMNLP 2022.

    Examples
    --------
    >>> from sklearn_codex import CandidatePolicy
    >>> rows = [
    ...     ("Say hello.", "hello there"), ("Say hello.", "no"),
    ...     ("Say bye.", "goodbye friend"), ("Say bye.", "no"), ("Say bye.", "no no"),
    ... ]
    >>> policy = CandidatePolicy(kl_coef=0.5).fit(rows, [1.0, 0.0, 1.0, 0.0, -1.0])
    >>> policy.predict(rows)
    array([ True, False,  True, False, False])
    >>> new = [("Say yes.", "yes"), ("Say yes.", "no"), ("Say yes.", "no no")]
    >>> policy.predict_choice(new).round(2)
    array([0.71, 0.22, 0.07])
    >>> policy.frontier(rows, kl_coefs=[1.0, 0.5]).kl.round(2)
    array([0.13, 0.4 ])
    """

    _parameter_constraints: dict = {
        "reward_model": [HasMethods(["reward"]), HasMethods(["predict"]), callable, None],
        "kl_coef": [Interval(Real, 0, None, closed="neither")],
        "target_kl": [Interval(Real, 0, None, closed="neither"), None],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "conservative": [Interval(Real, 0, None, closed="left")],
        "vectorizer": VECTORIZER_CONSTRAINTS,
    }

    rlhf_stage = Stage(
        reads=("candidates",),
        provides="choice",
        fills={"reward_model": "reward"},
        learns_reward=True,
    )

    # Without groups rows of numbers have no meaning, so they are always asked for.
    __metadata_request__fit = _ROUTED
    __metadata_request__score = _ROUTED
    __metadata_request__predict = _ROUTED
    __metadata_request__predict_proba = _ROUTED
    __metadata_request__predict_log_proba = _ROUTED

    def __init__(
        self,
        reward_model=None,
        *,
        kl_coef=1.0,
        target_kl=None,
        alpha=1.0,
        conservative=0.0,
        rules=None,
        vectorizer=None,
    ):
        self.reward_model = reward_model
        self.kl_coef = kl_coef
        self.target_kl = target_kl
        self.alpha = alpha
        self.conservative = conservative
        self.rules = rules
        self.vectorizer = vectorizer

    @whole_fit(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, groups=None, reference_log_prob=None):
        """Learn the reward, where there is none, and find the policy on these prompts.

        Parameters
        ----------
        X : rows (prompt, response), sequence of str, or array-like of shape (n_rows, n_features)
            Candidates, as text, with or without their prompts, or as features.
        y : array-like of shape (n_rows,), default=None
            Rewards of rows; needed, and used, without a ``reward_model``.
        groups : array-like of shape (n_rows,), default=None
            The prompt of each row. None: rows of text are told apart by their prompts.
        reference_log_prob : array-like of shape (n_rows,), default=None
            Log-probability of each response under the reference, up to a constant of its prompt;
            ``-inf`` bans it. None: uniform over the candidates of a prompt.

        Returns
        -------
        self : CandidatePolicy

        Raises
        ------
        NotFittedError
            If ``reward_model`` is not fitted.
        ValueError
            If nobody says which rows belong together, a prompt has no candidate that is allowed, no
            two candidates of a prompt can be compared, or no policy has ``target_kl``.

        Warns
        -----
        UserWarning
            If a reward is learned without groups, so on one scale.
        """
        for name in ("coef_", "policy_coef_", "n_features_in_", "feature_names_in_"):
            self.__dict__.pop(name, None)
        self.vectorizer_ = None
        rows = read_candidates(self, X, groups, reference_log_prob, reset=True)
        context = self._init_callback_context()
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        self._has_groups = self.reward_model is not None or rows.told
        self.reward_model_, self.classes_ = self.reward_model, np.array([False, True])
        if self.reward_model is None:
            self._learn_reward(rows, y)
        reward = self._reward(rows)
        self._find_coef(rows, reward)
        objective, rules = self._settle(rows, reward)
        self.kl_coef_, self.n_prompts_ = objective.kl_coef, rows.n_prompts
        if hasattr(self, "coef_"):
            self.policy_coef_ = self.coef_ / self.kl_coef_
        best = objective.optimum()
        self.expected_reward_ = objective.expected_reward(best)
        self.kl_, self.entropy_ = objective.kl(best), objective.entropy(best)
        self.rule_prices_ = {rule.name: np.inf if rule.rule.hard else rule.price for rule in rules}
        self.rule_rates_ = rule_rates(objective, best, rules)
        context.call_on_fit_task_end(estimator=self, X=X, y=y)
        return self

    def _learn_reward(self, rows, y):
        """Set the weights of the reward that is linear in the features, from rewards of rows."""
        subject = type(self).__name__
        if self.conservative > 0:
            raise ValueError(
                f"{subject} got conservative={self.conservative:g} without a reward_model: it does "
                "not know how sure a reward that it learns is. Pass reward_model=FrozenEstimator("
                "fitted RewardUncertainty), or set conservative=0."
            )
        if y is None:
            raise ValueError(
                f"{subject} requires y to be passed, but the target y is None: without a "
                "reward_model it learns from rewards of rows. Pass y, one reward a row, or "
                "reward_model=FrozenEstimator(fitted reward model)."
            )
        features = features_of(self, rows, reset=True)
        y = check_row_rewards(y, len(rows), subject)
        codes = rows.prompts if rows.told else np.zeros(len(rows), dtype=np.intp)
        if rows.told and rows.n_prompts == len(rows):
            raise ValueError(
                f"{subject} needs prompts of two candidates or more to learn what makes a response "
                f"better, but each of {len(rows)} rows has a prompt of its own. Pass groups= that "
                "hold the rows of one prompt together."
            )
        ridge = Ridge(alpha=self.alpha, fit_intercept=False, tol=1e-10)
        difference = center_within(features, codes)
        means = np.bincount(codes, y) / np.bincount(codes)
        values = difference.data if is_sparse(difference) else difference
        with np.errstate(over="ignore", invalid="ignore"):
            largest = float(np.abs(values).max(initial=0.0))
            squares = float(len(rows) * largest * max(largest, np.abs(y).max(initial=0.0)))
        check_within_floats(values, largest, squares)
        ridge.fit(difference, y - means[codes])
        self.coef_ = np.asarray(ridge.coef_, dtype=np.float64).reshape(1, -1)

    def _reward(self, rows):
        """Return the reward (n_rows,) of each row."""
        if self.reward_model_ is None:
            return features_of(self, rows, reset=False) @ self.coef_[0]
        subject = type(self).__name__
        return rewards_of(self.reward_model_, rows, self.conservative, subject=subject)

    def _find_coef(self, rows, reward):
        """Set the weights of a reward model that proves to be linear in the features of rows."""
        weights = np.ravel(getattr(unwrap(self.reward_model_), "coef_", []))
        if rows.features is None or len(weights) != rows.features.shape[1]:
            return
        if is_linear(reward, rows.features, weights):
            self.coef_ = np.asarray(weights, dtype=np.float64)[np.newaxis]

    def _settle(self, rows, reward):
        """Return the objective at the ``kl_coef`` that is wanted, and the rules at their prices."""
        subject = type(self).__name__
        rules = judge_rules(self.rules, rows, {}, subject=subject)
        objective = candidate_objective(rows, reward, rules, self.kl_coef, subject=subject)
        return settle(objective, rules, self.target_kl, subject=subject)

    def _read(self, X, groups, reference_log_prob):
        """Return rows, and the objective that is best at the policy."""
        check_is_fitted(self)
        subject = type(self).__name__
        rows = read_candidates(self, X, groups, reference_log_prob, reset=False)
        rules = judge_rules(self.rules, rows, self.rule_prices_, subject=subject)
        reward = self._reward(rows)
        return rows, candidate_objective(rows, reward, rules, self.kl_coef_, subject=subject)

    def reward(self, X, groups=None, reference_log_prob=None):
        """Return the reward of each row, by which the policy tilts the reference.

        Parameters
        ----------
        X : rows (prompt, response), sequence of str, or array-like of shape (n_rows, n_features)
            Candidates, as in ``fit``; their prompts may be new.
        groups : array-like of shape (n_rows,), default=None
            The prompt of each row, as in ``fit``; it matters with ``conservative`` only.
        reference_log_prob : array-like of shape (n_rows,), default=None
            Log-probabilities under the reference, as in ``fit``; they matter with ``conservative``
            only, which compares a candidate to the mean of its prompt under the reference.

        Returns
        -------
        reward : ndarray of shape (n_rows,)
            Without rules, which :meth:`rank` and :meth:`predict_choice` keep. Only differences
            within a prompt have a meaning.
        """
        check_is_fitted(self)
        apart = self.conservative == 0
        if apart:
            groups = reference_log_prob = None
        return self._reward(
            read_candidates(self, X, groups, reference_log_prob, reset=False, apart=apart)
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = self.reward_model is None
        tags.input_tags.sparse = True
        # Of a row the policy says whether it is chosen, a class of two.
        tags.classifier_tags = ClassifierTags(multi_class=False)
        return tags
