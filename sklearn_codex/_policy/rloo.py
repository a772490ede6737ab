"""RLOO: REINFORCE with a leave-one-out baseline, in the loop that PPO runs in."""

from sklearn_codex._policy.sampled_optimizer import SampledPolicyOptimizer

# What PPO has parameters for. The baseline is that of whole documents.
_FIXED = {
    "credit": "sequence",
    "critic": False,
    "leave_one_out": True,
    "whiten_advantages": False,
    "n_epochs": 1,
    "n_minibatches": 1,
    "clip_range": None,
    "dual_clip": None,
}


class RLOOPolicyOptimizer(SampledPolicyOptimizer):
    r"""Policy gradient with a leave-one-out baseline, held against the exact optimum.

    The simplest optimiser of the RLHF objective that works: documents are drawn, each is compared
    with the mean of the others, and the policy takes one step. No clipping, no epochs, no critic.
    It shares reward, rules, KL and loop with :class:`PPOPolicyOptimizer`, so the two are checks of
    each other.

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
        Weight of KL(policy || reference) and of the rule penalties, per nat of a document.
    reward_coef : float, default=1.0
        Weight of the expected reward.
    sft_coef : float, default=0.0
        Weight of the cross-entropy of the demonstrations, in nats per token; the demonstrations are
        the rows of X.
    rules : Rule, callable, or list of these or of (name, rule), default=None
        Safety rules, see :mod:`sklearn_codex.rules`; their penalties are in nats of KL.
    response_length : int, default=None
        Tokens of a document; None means the mean length of the rows of X, rounded. Only where the
        vocabulary has no end-of-sequence token.
    max_length : int, default=None
        Tokens at which a document is cut, where the vocabulary has an end-of-sequence token and
        documents end by themselves; None means never.
    missing_eos_penalty : float, default=0.0
        What the objective loses for a document that was cut.
    entropy_coef : float, default=0.0
        Weight of the entropy of a document, in nats; for documents of fixed length.
    normalize_reward : bool, default=False
        Whether the reward enters the objective with mean 0 and standard deviation 1 under the
        reference; ``expected_reward_`` is always in the reward's own unit.
    n_rollouts : int or "auto", default="auto"
        Documents drawn an iteration, G; "auto" means a quarter of the vocabulary, at least 256 and
        enough for 5 V tokens; for policies over n-grams as for :class:`PPOPolicyOptimizer`.
    target_kl : float, "auto" or None, default="auto"
        Nats a document's distribution may move in one iteration: a trust region of the natural
        step. None means no limit; "auto" 1/40 for each token of a document, at most 0.5.
    max_iter : int, default=1000
        Iterations at most.
    tol : float or "auto", default=1e-3
        Stop when the distance to the optimum is below this share of the distance from the start to
        the optimum (exact where everything adds over tokens), or when documents show that less than
        this share of the improvement so far is left (otherwise). 0 means ``max_iter`` iterations,
        "auto" 1e-3.
    optimizer : {"natural", "adam"}, default="natural"
        "natural" is a damped natural-gradient step, which converges to the optimum; "adam" the
        textbook form, Adam on the logits.
    learning_rate : float or "auto", default="auto"
        Step size. "auto" means 0.5 for "natural", 0.03 for "adam".
    lr_schedule : {"auto", "constant", "linear"}, default="auto"
        "auto" means "linear" to zero over ``max_iter`` for "adam"; for "natural" a rate that is
        constant until only sampling noise is left and then falls.
    kl_controller : KLController, default=None
        Changes ``kl_coef`` after each iteration, see :mod:`sklearn_codex.kl_control`; None keeps
        it.
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
        J* - J, how far the policy is from the best one: exact where everything adds over tokens,
        else an estimate of an upper bound from fresh documents; nan where these cannot tell, as
        where all of them have the same reward. Of n-grams that are cut an upper bound that does
        not get to 0, as J* is that of policies that look at the position.
    optimality_gap_se_ : float
        Standard error of that estimate, 0 where exact, nan where not known.
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
        A document that goes on from a prompt has the reward of all n-grams that end in it, those
        that begin in its prompt among them: what ``transform_after`` counts.
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
        Nats of KL that a violation costs: given, or found for a chance constraint; ``inf`` of a
        hard rule. Where nobody said that reward and rules add over tokens, what a violating
        document costs.
    reward_model_ : estimator or callable
        What gave the rewards.
    frequencies_ : ndarray of shape (V,) or None
        Token frequencies of the demonstrations, where ``sft_coef`` > 0.
    response_length_ : int or None
        Tokens of a document, None where documents end by themselves.
    document_length_ : int
        The same; where documents end by themselves, their expected length, rounded.
    max_length_ : int or None
        Tokens at which documents that end by themselves are cut, None where they never are.
    history_ : list of dict
        One record per iteration, the first before any update, with the keys of
        :class:`PPOPolicyOptimizer`.
    n_iter_ : int
        Iterations run.
    n_sequences_ : int
        Documents drawn, without those that only tried whether reward and rules add over tokens.
    training_state_ : dict
        What ``warm_start`` goes on from, as numbers, lists and arrays: the records and batches so
        far, the update's own state, the critic's documents, prices and ``kl_coef``, and the best
        iterate where ``select_by`` asks for it.
    vectorizer_ : transformer or None
        The fitted vectorizer, None where the policy knows only columns.
    n_features_in_ : int
        V, the number of tokens in the vocabulary.
    feature_names_in_ : ndarray of shape (V,)
        Names of columns, where counts came as a data frame with string column names.

    See Also
    --------
    PPOPolicyOptimizer : The same loop with a clipped surrogate, epochs and minibatches.
    ExactPolicyOptimizer : The optimum itself, where it is known.

    Notes
    -----
    With the shaped rewards :math:`S_i` of G documents (reward, less KL and penalties), the
    advantage of document i is

    .. math::

        A_i = S_i - \frac{1}{G - 1} \sum_{j \ne i} S_j
            = \frac{G}{G - 1} \Big(S_i - \frac{1}{G} \sum_j S_j\Big),

    unbiased, since the baseline of a document does not depend on it [1]_ [2]_; a whole document is
    credited, never single tokens. A unigram policy has no prompts, so the documents of one
    iteration are one group.

    References
    ----------
    .. [1] Kool, W., van Hoof, H. and Welling, M. (2019). "Buy 4 REINFORCE samples, get a baseline
       for free!" ICLR workshop.
    .. [2] Ahmadian, A. et al. (2024). "Back to basics: revisiting REINFORCE-style optimization for
       learning from human feedback in LLMs." arXiv:2402.14740.

    Examples
    --------
    >>> from sklearn_codex import RLOOPolicyOptimizer
    >>> texts = ["good good bad", "bad fine", "good fine fine"]
    >>> policy = RLOOPolicyOptimizer(random_state=0).fit(texts, [1.0, -1.0, 1.0])
    >>> policy.predict(["anything"])
    array(['good'], dtype=...)
    >>> bool(0 <= policy.optimality_gap_ < 0.01)
    True
    """

    _parameter_constraints: dict = {
        name: constraint
        for name, constraint in SampledPolicyOptimizer._parameter_constraints.items()
        if name != "credit"
    }

    def __init__(
        self,
        policy=None,
        reward_model=None,
        *,
        kl_coef=1.0,
        reward_coef=1.0,
        sft_coef=0.0,
        rules=None,
        response_length=None,
        max_length=None,
        missing_eos_penalty=0.0,
        entropy_coef=0.0,
        normalize_reward=False,
        n_rollouts="auto",
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
        self.sft_coef = sft_coef
        self.rules = rules
        self.response_length = response_length
        self.max_length = max_length
        self.missing_eos_penalty = missing_eos_penalty
        self.entropy_coef = entropy_coef
        self.normalize_reward = normalize_reward
        self.n_rollouts = n_rollouts
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

    def _fixed_settings(self):
        return _FIXED
