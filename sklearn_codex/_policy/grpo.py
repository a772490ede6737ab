"""GRPO: documents are compared with others of their group, in the loop that PPO runs in."""

import warnings
from numbers import Integral, Real

from sklearn.utils._param_validation import Interval, StrOptions

from sklearn_codex._fits import caller_level
from sklearn_codex._policy.group_rest import group_rest
from sklearn_codex._policy.groups import GroupRule
from sklearn_codex._policy.rest_schedule import RestSchedule, explodes, mean_gap, rest_gap
from sklearn_codex._policy.sampled_optimizer import SampledPolicyOptimizer
from sklearn_codex.exact import LengthExplosionWarning

# What PPO has parameters for.
_FIXED = {
    "credit": "sequence",
    "critic": False,
    "whiten_advantages": False,
    "n_minibatches": 1,
    "dual_clip": None,
}


class GRPOPolicyOptimizer(SampledPolicyOptimizer):
    r"""Group relative policy optimisation, held against its own fixed point and the exact optimum.

    The default of the field: documents are drawn in groups that start alike, each is worth what its
    reward is above the mean of its group, divided by a standard deviation, and the KL is in the
    loss. It shares reward, rules and loop with :class:`PPOPolicyOptimizer`. It does not rest at the
    RLHF optimum, but at a fixed point of its own, and is told its distance to both.

    Parameters
    ----------
    policy : fitted language model, default=None
        The incoming policy, which is also the reference of the KL; pass it as
        ``FrozenEstimator(model)``. None means a ``UnigramLM`` fitted on X.
    reward_model : fitted estimator or callable, default=None
        Scores documents: a ``PreferenceRewardModel``, any fitted regressor, or a callable
        ``documents -> (n_documents,)``. None means that ``fit`` gets logged rewards as ``y``; a
        ridge regression of them on the counts is then the reward.
    kl_coef : float, default=1.0
        Weight of KL(policy || reference) and of the rule penalties, per nat of a document. TRL
        calls it ``beta``, of a token, where its default is 0: no KL.
    reward_coef : float, default=1.0
        Weight of the expected reward. With a deviation in the advantage, and no KL in the reward,
        it makes no difference to the policy.
    num_generations : int, default=8
        Documents of a group, G. Documents of a policy of single tokens all start alike, so that
        groups part a batch; those of a policy over n-grams share a prompt of ``fit``, and those of
        candidates (``fit_objective``) the prompt.
    scale_rewards : {"group", "batch", "none"}, default="group"
        Whose standard deviation a centred reward is divided by: that of its group, of the batch, or
        none. Any makes the unit of the reward disappear.
    loss_type : {"grpo", "dapo", "dr_grpo"}, default="dapo"
        What divides the loss of a token, reward and KL: "grpo" the length of its document, so that
        tokens of long ones count less, "dapo" the tokens of the batch, "dr_grpo" a constant. They
        differ only where documents differ in length.
    kl_in : {"loss", "reward"}, default="loss"
        Where the KL is: k3 at each token in the loss, or k1 of documents in the reward.
    use_bias_correction_kl : bool, default=True
        Whether a KL in the loss is weighted by the probability ratio, so that its gradient is that
        of KL(policy || reference). Without it, as GRPO was published, its gradient is that of
        KL(reference || policy).
    rules : Rule, callable, or list of these or of (name, rule), default=None
        Safety rules with a penalty in nats of KL, or hard ones, see :mod:`sklearn_codex.rules`. Not
        with ``max_rate``: a price that keeps it is one at the RLHF optimum.
    response_length : int, default=None
        Tokens of a document; None means the mean length of the rows of X, rounded. Only where the
        vocabulary has no end-of-sequence token.
    max_length : int, default=None
        Tokens at which a document is cut, where the vocabulary has an end-of-sequence token and
        documents end by themselves; None means never.
    missing_eos_penalty : float, default=0.0
        What the objective loses for a document that was cut.
    normalize_reward : bool, default=False
        Whether the reward enters the objective with mean 0 and standard deviation 1 under the
        reference; ``expected_reward_`` is always in the reward's own unit.
    n_rollouts : int or "auto", default="auto"
        Documents drawn an iteration, a multiple of ``num_generations``; "auto" means as many as
        :class:`RLOOPolicyOptimizer` draws, in whole groups.
    n_epochs : int, default=1
        Steps on each batch. TRL calls it ``num_iterations``.
    clip_range : float or (float, float), default=0.2
        How far the probability ratio may leave 1 before the surrogate is clipped; a pair is (below,
        above), TRL's ``epsilon`` and ``epsilon_high``. It matters with several epochs alone.
    target_kl : float, "auto" or None, default="auto"
        Nats a document's distribution may move in one iteration: a trust region of the natural
        step. None means no limit; "auto" 1/40 for each token of a document, at most 0.5.
    max_iter : int, default=1000
        Iterations at most.
    tol : float or "auto", default=1e-3
        Stop when KL(policy || fixed point) is below this share of KL(reference || fixed point),
        where that is known, for the policy or for the mean of where it hovers; else when documents
        show that what is left of the way is below this share of the way from the reference. 0 means
        ``max_iter`` iterations, "auto" 1e-3.
    optimizer : {"natural", "adam"}, default="natural"
        "natural" is a damped natural-gradient step; "adam" the textbook form, Adam on the logits.
    learning_rate : float or "auto", default="auto"
        Step size. "auto" means 0.5 for "natural", 0.03 for "adam".
    lr_schedule : {"auto", "constant", "linear"}, default="auto"
        "auto" means "linear" to zero over ``max_iter`` for "adam"; for "natural" a rate that is
        constant until only sampling noise is left and then falls, as advantages that are divided by
        their deviation do not get small.
    kl_controller : KLController, default=None
        Changes ``kl_coef`` after each iteration, see :mod:`sklearn_codex.kl_control`; None keeps
        it. With one that moves no fixed point is known.
    gold_reward : fitted estimator or callable, default=None
        A second reward, recorded as ``gold/score``.
    select_by : str, default=None
        Key of ``history_`` whose greatest value decides which iterate is kept; None means the last.
    warm_start : bool, default=False
        Whether ``fit`` goes on from ``training_state_`` for ``max_iter`` more iterations.
    vectorizer : transformer, default=None
        Turns text into counts; None means the policy's, or ``TokenCounter()`` without a policy.
    random_state : int, RandomState instance or None, default=None
        Source of all draws; the same seed gives the same bits.

    Attributes
    ----------
    token_log_prob_ : ndarray of shape (V,)
        Natural logarithm of each token's probability under the optimised policy.
    reference_log_prob_ : ndarray of shape (V,)
        The same of the reference policy.
    optimal_log_prob_ : ndarray of shape (V,) or None
        The same of the exact optimum, where reward and rules add over tokens.
    token_reward_ : ndarray of shape (V,) or None
        Reward of each token, where the reward adds over tokens: a linear model, or a function that
        does so on every document that was tried.
    optimality_gap_ : float
        J* - J, how far the policy is from the RLHF optimum, where GRPO does not rest in general:
        exact where everything adds over tokens, else an estimate of an upper bound from fresh
        documents; nan where these cannot tell. Of n-grams that are cut an upper bound that does not
        get to 0, as J* is that of policies that look at the position.
    optimality_gap_se_ : float
        Standard error of that estimate, 0 where exact, nan where not known.
    fixed_point_log_prob_ : ndarray of shape (V,) or None
        Log-probabilities of the policy at which exact expected updates rest, None where it is not
        known: see Notes. For policies over n-grams those of events.
    fixed_point_gap_ : float or None
        KL(policy || fixed point) of a document, in nats; None where the fixed point is not known.
    objective_ : float
        J of the optimised policy.
    objective_se_ : float
        Its standard error, from the documents drawn; 0 where reward and rules add over tokens.
    kl_ : float
        KL(policy || reference) of a document, in nats, exact.
    entropy_ : float
        Entropy of a document, in nats, exact.
    expected_reward_ : float
        E[R] of a document of the optimised policy, exact where the reward adds over
        tokens.
    expected_reward_se_ : float
        Its standard error; 0 where it is exact.
    expected_length_ : float
        Expected tokens of a document, exact.
    kl_coef_ : float
        Weight of the KL at the end.
    reward_mean_, reward_scale_ : float
        What the reward is normalised by: (R - mean) / scale; 0 and 1 where it is not.
    penalty_ : float
        Expected rule penalty of a document, in nats.
    rule_rates_ : dict of str to float
        Share of documents that violate each rule.
    rule_prices_ : dict of str to float
        Nats of KL that a violation costs: given, as given.
    reward_model_ : estimator or callable
        What gave the rewards.
    frequencies_ : None
        There are no demonstrations.
    response_length_ : int or None
        Tokens of a document, None where documents end by themselves.
    document_length_ : int
        The same; where documents end by themselves, their expected length, rounded.
    max_length_ : int or None
        Tokens at which documents that end by themselves are cut, None where they never are.
    history_ : list of dict
        One record per iteration, the first before any update, with the keys of
        :class:`PPOPolicyOptimizer`, and
        ``objective/fixed_point_gap`` where the fixed point is known.
    n_iter_ : int
        Iterations run.
    n_sequences_ : int
        Documents drawn, without those that only tried whether reward and rules add over tokens.
    training_state_ : dict
        What ``warm_start`` goes on from, as numbers, lists and arrays: the records and batches so
        far, the update's own state, prices and ``kl_coef``, and the best
        iterate where ``select_by`` asks for it.
    vectorizer_ : transformer or None
        The fitted vectorizer, None where the policy knows only columns.
    n_features_in_ : int
        V, the number of tokens in the vocabulary.
    feature_names_in_ : ndarray of shape (V,)
        Names of columns, where counts came as a data frame with string column names.

    See Also
    --------
    PPOPolicyOptimizer : The same loop with a critic, and the KL in the reward.
    RLOOPolicyOptimizer : The same loop, comparing documents without bias.
    sklearn_codex.lab.rest_point : Where GRPO and its relatives rest on small problems.

    Notes
    -----
    With the rewards :math:`R_i` of a group, less rule penalties, their mean and their standard
    deviation s (with G - 1), the advantage of all tokens of document i is

    .. math:: A_i = (R_i - \bar R) / (s + 10^{-4}),

    as in TRL [1]_ [2]_. With weights :math:`w_i` of documents by ``loss_type``, the ratio
    :math:`\rho` of the policy to that which drew, and :math:`d = \log(\pi / ref)` of a token, what
    is maximised is the mean over documents of the sum over tokens of

    .. math::

        w_i \big(\min(\rho A_i, \mathrm{clip}(\rho) A_i)
            - b\, \rho\, (e^{-d} - 1 + d)\big),

    the last :math:`\rho` only with ``use_bias_correction_kl``.

    *Fixed point.* With :math:`a_t(\pi)`, the advantage that a document expects that has token t in
    a given place, the expected gradient is 0 at :math:`\pi_t \propto ref_t\, e^{a_t(\pi) / b}`,
    without the correction at :math:`\pi_t = ref_t / (1 - (a_t(\pi) - c) / b)` with c so that they
    sum to 1. The mean of a group holds the document itself, so for ``scale_rewards="none"`` and the
    correction that is the RLHF optimum at the weight :math:`b\, G / (G - 1)` of the KL [3]_. With
    the KL in the reward it is the RLHF optimum, wherever that makes all documents worth the same.

    It is known, and ``fixed_point_log_prob_`` not None, where reward and rules add over tokens, all
    documents have one length (or are candidates, not log-linear), and, for
    ``scale_rewards="group"``, all groups can be listed: some ten different rewards of a document at
    G = 8, some forty at G = 4. With the deviation of the batch and a small ``kl_coef`` there may be
    none but the greatest reward alone: the narrower the policy, the larger its advantages. Where
    documents end by themselves and where policies see the tokens
    before, a KL at each token in the loss does not see that a token leads to the KL of later ones;
    no formula is known, and the fixed point is that of the KL in the reward alone.

    References
    ----------
    .. [1] Shao, Z. et al. (2024). "DeepSeekMath: pushing the limits of mathematical reasoning in
       open language models." arXiv:2402.03300.
    .. [2] Yu, Q. et al. (2025). "DAPO: an open-source LLM reinforcement learning system at scale."
       arXiv:2503.14476.
    .. [3] Liu, Z. et al. (2025). "Understanding R1-Zero-like training: a critical perspective."
       arXiv:2503.20783.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_codex import GRPOPolicyOptimizer
    >>> from sklearn_codex.exact import CandidateObjective
    >>> problem = CandidateObjective(
    ...     np.log([0.6, 0.3, 0.1]), np.array([0.0, 1.0, 0.5]), np.array([0, 0, 0]), kl_coef=0.5
    ... )
    >>> policy = GRPOPolicyOptimizer(num_generations=4, random_state=0).fit_objective(problem)
    >>> np.exp(policy.fixed_point_log_prob_).round(2), np.exp(problem.optimum()).round(2)
    (array([0.09, 0.89, 0.02]), array([0.19, 0.72, 0.09]))
    >>> bool(policy.fixed_point_gap_ < 0.01), bool(policy.optimality_gap_ > 0.04)
    (True, True)
    """

    _parameter_constraints: dict = {
        **{
            name: constraint
            for name, constraint in SampledPolicyOptimizer._parameter_constraints.items()
            if name not in ("credit", "sft_coef", "entropy_coef")
        },
        "num_generations": [Interval(Integral, 2, None, closed="left")],
        "scale_rewards": [StrOptions({"group", "batch", "none"})],
        "loss_type": [StrOptions({"grpo", "dapo", "dr_grpo"})],
        "kl_in": [StrOptions({"loss", "reward"})],
        "use_bias_correction_kl": ["boolean"],
        "n_epochs": [Interval(Integral, 1, None, closed="left")],
        "clip_range": [Interval(Real, 0, None, closed="neither"), tuple],
    }

    def __init__(
        self,
        policy=None,
        reward_model=None,
        *,
        kl_coef=1.0,
        reward_coef=1.0,
        num_generations=8,
        scale_rewards="group",
        loss_type="dapo",
        kl_in="loss",
        use_bias_correction_kl=True,
        rules=None,
        response_length=None,
        max_length=None,
        missing_eos_penalty=0.0,
        normalize_reward=False,
        n_rollouts="auto",
        n_epochs=1,
        clip_range=0.2,
        target_kl="auto",
        max_iter=1000,
        tol=1e-3,
        optimizer="natural",
        learning_rate="auto",
        lr_schedule="auto",
        kl_controller=None,
        gold_reward=None,
        select_by=None,
        warm_start=False,
        vectorizer=None,
        random_state=None,
    ):
        self.policy = policy
        self.reward_model = reward_model
        self.kl_coef = kl_coef
        self.reward_coef = reward_coef
        self.num_generations = num_generations
        self.scale_rewards = scale_rewards
        self.loss_type = loss_type
        self.kl_in = kl_in
        self.use_bias_correction_kl = use_bias_correction_kl
        self.rules = rules
        self.response_length = response_length
        self.max_length = max_length
        self.missing_eos_penalty = missing_eos_penalty
        self.normalize_reward = normalize_reward
        self.n_rollouts = n_rollouts
        self.n_epochs = n_epochs
        self.clip_range = clip_range
        self.target_kl = target_kl
        self.max_iter = max_iter
        self.tol = tol
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.lr_schedule = lr_schedule
        self.kl_controller = kl_controller
        self.gold_reward = gold_reward
        self.select_by = select_by
        self.warm_start = warm_start
        self.vectorizer = vectorizer
        self.random_state = random_state

    def _check_problem(self, problem):
        """Raise where the problem has what GRPO knows nothing of."""
        for priced in problem.rules:
            if priced.rule.max_rate is not None:
                raise ValueError(
                    f"{type(self).__name__} takes rules at a given price, got rule {priced.name!r} "
                    f"with max_rate={priced.rule.max_rate:g}. Give it a penalty, or use "
                    "PPOPolicyOptimizer."
                )
        objective = problem.objective
        if objective.sft_coef or objective.temperature != objective.kl_coef:
            raise ValueError(
                f"{type(self).__name__} has no demonstrations and no entropy in its loss, got an "
                f"objective with sft_coef={objective.sft_coef:g} and a temperature of "
                f"{objective.temperature:g} at kl_coef={objective.kl_coef:g}. State it without "
                "them, or use PPOPolicyOptimizer."
            )

    def _fixed_settings(self):
        """Return what PPO has parameters for, and how documents of a group are compared."""
        groups = GroupRule(
            self.num_generations,
            self.scale_rewards,
            self.loss_type,
            self.kl_in,
            self.use_bias_correction_kl,
        )
        return _FIXED | {"groups": groups}

    def _make_schedule(self, trainer):
        """Return what adapts the step after an iteration, and tells whether training may stop."""
        return RestSchedule(trainer, self._cut_length).has_converged

    def _snapshot(self, trainer):
        """Return the attributes this estimator would have if training stopped here."""
        return super()._snapshot(trainer) | self._rest_of(trainer, trainer.log_prob)

    def _rest_of(self, trainer, log_prob):
        """Return where it rests on the problem as it is now, and how far a policy is from there."""
        rest = None
        if not trainer.moves_kl_coef:
            rest = group_rest(trainer.problem, trainer.settings.groups)
        return {
            "fixed_point_log_prob_": rest,
            "fixed_point_gap_": rest_gap(trainer, rest, log_prob),
        }

    def _conclude(self, trainer, best, converged):
        """Set the fitted attributes; warn where the policy is not where it rests."""
        self._keep_state(trainer, best)
        rest, gap = self._rest_of(trainer, trainer.log_prob).values()
        knows_rest = rest is not None
        is_too_long = explodes(trainer, self._cut_length)
        hovers = self.optimizer == "natural" and not (trainer.moves_kl_coef or is_too_long)
        is_far = not knows_rest or mean_gap(trainer, rest) < gap
        if self.tol != 0 and best.is_last and hovers and is_far:
            best.settle(trainer)
        self._keep(trainer, best)
        self._warn_if_cut(trainer.problem.objective)
        self.fixed_point_log_prob_ = rest
        self.fixed_point_gap_ = rest_gap(trainer, rest, best.log_prob)
        if is_too_long:
            warnings.warn(
                f"{type(self).__name__} stopped where documents are expected to have "
                f"{self.expected_length_:.0f} tokens: with the KL in the loss a token does not pay "
                "for that of the tokens it leads to, and length may have no bound. Set "
                f"kl_in='reward', max_length, or a kl_coef above {self.kl_coef_:g}.",
                LengthExplosionWarning,
                stacklevel=caller_level(),
            )
        if self.tol != 0 and (trainer.is_stuck or not converged):
            left = f": fixed_point_gap_ is {self.fixed_point_gap_:.3g}." if knows_rest else "."
            self._warn_of_max_iter(self.tol, f"where it rests{left}", is_stuck=trainer.is_stuck)
