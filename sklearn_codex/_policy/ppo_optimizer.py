"""Policy optimisation: PPO against a reward, held by KL and rules to a reference policy."""

from numbers import Integral, Real

from sklearn.utils._param_validation import Interval, StrOptions

from sklearn_codex._policy.sampled_optimizer import SampledPolicyOptimizer


class PPOPolicyOptimizer(SampledPolicyOptimizer):
    r"""Proximal policy optimisation of a unigram language model, held against the exact optimum.

    The optimised policy M2 of the RLHF loop. Documents are drawn from the current policy, a reward
    model scores them, and the policy moves along the clipped surrogate over several epochs of
    minibatches, with the KL to the incoming policy and rule penalties inside the reward.

    Parameters
    ----------
    policy : fitted language model, default=None
        The incoming policy, which is also the reference of the KL; pass it as
        ``FrozenEstimator(model)``. None means a ``UnigramLM`` fitted on X.
    reward_model : fitted estimator or callable, default=None
        Scores documents: a ``PreferenceRewardModel``, any fitted regressor, or a callable
        ``documents -> (n_documents,)``. Regressors fitted on the vocabulary's columns get counts;
        everything else gets texts where words are known, else counts. None means that ``fit`` gets
        logged rewards as ``y``; a ridge regression of them on the counts is then the reward.
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
        documents end by themselves. None means never, but at 20 times the mean length of the rows
        of X (at least 200) where the reward pays, or does not add over tokens and so may pay, for
        length without end.
    missing_eos_penalty : float, default=0.0
        What the objective loses for a document that was cut.
    entropy_coef : float, default=0.0
        Weight of the entropy of a document, in nats; for documents of fixed length.
    normalize_reward : bool, default=False
        Whether the reward enters the objective with mean 0 and standard deviation 1 under the
        reference (exact moments where it adds over tokens), so that ``kl_coef`` means the same for
        any reward. Off by default, since a Bradley-Terry reward has a unit of its own, the
        log-odds of being preferred; ``expected_reward_`` is always in the reward's own unit.
    n_rollouts : int or "auto", default="auto"
        Documents drawn an iteration; "auto" means at least 256, and enough for 10 V tokens with
        token credit. With sequence credit it is a quarter of the vocabulary, at least 256 and
        enough for 5 V tokens; where a critic learns a reward that is known to add over tokens,
        which has no noise, a fifth of the vocabulary, at least 4 and enough for 4 V tokens. For
        policies over n-grams, V is the effective number of n-grams that the reference uses (the
        exponential of the entropy of their shares), and a batch is enough for 10 V tokens and for
        4096 documents, but for no more than 65,536 tokens where these are 256 documents. With token
        credit, a critic and no controller it is enough for V tokens there, at least 256, and grows
        to 4096 documents or 65,536 tokens, twofold after each step that led to no better policy and
        after each eighth.
    n_epochs : int, default=2
        Passes over each batch of rollouts.
    n_minibatches : int, default=2
        Parts into which each pass cuts the batch.
    clip_range : float or (float, float), default=0.2
        How far the probability ratio may leave 1 before the surrogate is clipped; a pair is (below,
        above).
    dual_clip : float or None, default=None
        Ratio beyond which a negative advantage pushes no more; above the clip range's upper end.
    target_kl : float, "auto" or None, default="auto"
        Nats a document's distribution may move in one iteration: a trust region of the natural
        step, and the early stop of the epochs at 1.5 times it. None means no limit. "auto" means
        0.2 for each token of a document, at most 4, with token credit; an eighth of that, as whole
        documents tell less of each token, with sequence credit and where documents end by
        themselves. For policies over n-grams the KL of a step is exact.
    max_iter : int, default=500
        Iterations at most.
    tol : float or "auto", default="auto"
        Stop when the distance to the optimum is below this share of the distance from the start
        (the reference, with the rule penalties applied) to the optimum (exact where everything adds
        over tokens). Otherwise when documents show, at two standard errors, that less than this
        share of the improvement so far is left to gain near the policy, other starts led to no
        better one, and no rare token is worth more. 0 means ``max_iter`` iterations. "auto" means
        1e-4 for natural steps with token credit on documents of fixed length, which come to rest at
        the optimum, 1e-3 otherwise.
    optimizer : {"natural", "adam"}, default="natural"
        "natural" is a damped natural-gradient step, which converges to the optimum; "adam" the
        textbook form, Adam on the logits with a learning rate that falls to zero over ``max_iter``
        iterations.
    learning_rate : float or "auto", default="auto"
        Step size. "auto" means 1 for "natural" with token credit, 0.5 with sequence credit, 0.03
        for "adam".
    lr_schedule : {"auto", "constant", "linear"}, default="auto"
        "auto" means "linear" to zero over ``max_iter`` for "adam"; for "natural" a rate that is
        constant until only sampling noise is left and then falls.
    whiten_advantages : bool or "auto", default="auto"
        Whether advantages are divided by their standard deviation besides being centred. "auto"
        means only for "adam": near the optimum the division amplifies noise.
    credit : {"auto", "token", "sequence"}, default="auto"
        Whether each token is credited with its own part of the reward or with that of its whole
        document. "auto" means "token" where reward and rules add over tokens.
    critic : bool, default=True
        Whether a linear forecast of rewards from token counts, learned from the documents drawn so
        far, takes over what it can of the credit for whole documents. It needs several times fewer
        documents and leaves the expected gradient as it is. It serves natural steps with sequence
        credit on documents of fixed length. For policies over n-grams it forecasts rewards of
        n-grams, and knows the value of each context; without it whole documents are credited.
    gae_lambda : float, default=0.95
        Decay, from 0 to 1, of generalised advantage estimation: 1 credits a token with all that
        follows, 0 with its own reward and what the critic expects next. It matters for policies
        over n-grams with a critic alone. TRL calls it ``lam``.
    kl_controller : KLController, default=None
        Changes ``kl_coef`` after each iteration, see :mod:`sklearn_codex.kl_control`; None keeps
        it. With one that moves, all ``max_iter`` iterations are run.
    gold_reward : fitted estimator or callable, default=None
        A second reward, recorded as ``gold/score``: what the reward stands for, as far as known.
    select_by : str, default=None
        Key of ``history_`` whose greatest value decides which iterate is kept, such as
        "gold/score", "eval/score" or "objective/value"; None means the last iterate.
    warm_start : bool, default=False
        Whether ``fit`` goes on from ``training_state_`` for ``max_iter`` more iterations: k and k
        iterations are 2k bit for bit (with "adam", where ``lr_schedule`` is "constant").
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
        else an estimate of an upper bound from fresh documents of the policy, the reference, an
        even policy and those that other starts led to. It is nan, "not known", where the best of
        these documents decide alone, so that better ones were probably missed, and where all of
        them have the same reward, as rare ones may have another. With ``sft_coef`` > 0, where
        documents end by themselves, it bounds the distance to policies of the same expected length
        only. Of n-grams that are cut J* is that of policies that look at the position, which these
        do not: an upper bound that does not get to 0, and training ends where nothing is left near
        the policy.
    optimality_gap_se_ : float
        Standard error of that estimate, 0 where exact, nan where not known.
    objective_ : float
        J of the policy.
    objective_se_ : float
        Its standard error, from the documents drawn; 0 where reward and rules add over tokens.
    kl_ : float
        KL(policy || reference) of a document, in nats, exact.
    entropy_ : float
        Entropy of a document, in nats, exact.
    expected_reward_ : float
        E[R] of a document, exact where the reward adds over tokens.
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
        One record per iteration under TRL's names, the first before any update: see Notes.
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
    PreferenceRewardModel : The reward.
    RLOOPolicyOptimizer : The same loop without clipping and epochs.
    ExactPolicyOptimizer : The optimum itself, where it is known.
    sklearn_codex.exact.AdditiveObjective : The optimum PPO is held against.

    Notes
    -----
    With documents y of L tokens, reward R, rule penalties c and demonstrations of token frequencies
    f, the objective is

    .. math::

        J(\pi) = \rho\, E_\pi[R(y)] - a\, CE(f, \pi)
                  - b\, \big(KL(\pi \| ref) + E_\pi[c(y)]\big)

    with :math:`\rho` = ``reward_coef``, a = ``sft_coef``, b = ``kl_coef``. The KL sits in the
    reward: the shaped reward :math:`S(y) = \rho R(y) - b (\log(\pi/ref)(y) + c(y))` (plus the
    demonstrations' part) has the gradient of J as policy gradient and is constant at the optimum of
    an additive reward, so the sampled gradient has no variance there and a constant step converges.
    With token credit each token is credited with its own share of an additive reward, which is
    close to being told the reward of each token drawn; to compare with other implementations of
    PPO, use ``credit="sequence"``.

    *Policies over n-grams* have one value a context, learned by GAE [4]_ and shrunk to that of the
    shorter context, and move by tilts of their arcs and back-offs. With the right values nothing is
    left of the noise at the optimum, for any ``gae_lambda``, so here too a constant step converges.
    With token credit the scores of all n-grams are known, and the value of the context after each:
    these move n-grams that no document of the batch has as well, and the value of a context is that
    of the expected next token [5]_, so that documents only correct values by what comes after it.
    So a policy finds documents that it would hardly ever draw. Where documents are long for a small
    ``gae_lambda``, the equation of these values is solved, as sweeps would carry them on token by
    token. For one near 1 tokens have the noise of all that follow: so much of it is taken that a
    step brings less noise than it takes away of what is known.

    ``history_`` describes the policy after each iteration: ``objective/value`` is J,
    ``objective/kl_exact``, ``objective/entropy_exact`` and ``objective/expected_reward`` are exact
    (the last where it can be), ``objective/length`` the expected tokens;
    ``objective/kl`` (k1), ``objective/kl_k3``, ``objective/entropy``,
    ``objective/scores``, ``objective/non_score_reward`` and ``objective/rlhf_reward`` are means
    over the documents drawn from it; ``policy/approxkl_avg`` (k3, nats a document),
    ``policy/clipfrac_avg``, ``val/ratio`` and ``loss/policy_avg`` describe the update that led to
    it. With values of contexts, of policies over n-grams, ``critic/error`` and
    ``critic/explained_variance`` compare these with the exact ones, where they are known, by visits
    to contexts: the root of the mean square difference, and 1 less its share of the variance. Where
    asked for there are ``rules/<name>/rate`` and ``rules/<name>/price``, ``gold/score``
    (expected gold reward) and ``eval/score`` (log-likelihood per token of ``X_val``).

    References
    ----------
    .. [1] Schulman, J. et al. (2017). "Proximal policy optimization algorithms." arXiv:1707.06347.
    .. [2] Ziegler, D. M. et al. (2019). "Fine-tuning language models from human preferences."
       arXiv:1909.08593.
    .. [3] Kakade, S. (2001). "A natural policy gradient." NeurIPS 14.
    .. [4] Schulman, J. et al. (2016). "High-dimensional continuous control using generalized
       advantage estimation." ICLR. arXiv:1506.02438.
    .. [5] van Seijen, H. et al. (2009). "A theoretical and empirical analysis of Expected Sarsa."
       IEEE ADPRL, 177-184.

    Examples
    --------
    >>> from sklearn_codex import PPOPolicyOptimizer
    >>> texts = ["good good bad", "bad fine", "good fine fine"]
    >>> policy = PPOPolicyOptimizer(
    ...     reward_model=lambda documents: [text.split().count("good") for text in documents],
    ...     random_state=0,
    ... ).fit(texts)
    >>> policy.predict(["anything"])
    array(['good'], dtype=...)

    With logged rewards, and the exact gap to the best policy:

    >>> policy = PPOPolicyOptimizer(random_state=0).fit(texts, [1.0, -1.0, 1.0])
    >>> bool(0 <= policy.optimality_gap_ < 0.01)
    True
    """

    _parameter_constraints: dict = {
        **SampledPolicyOptimizer._parameter_constraints,
        "n_epochs": [Interval(Integral, 1, None, closed="left")],
        "n_minibatches": [Interval(Integral, 1, None, closed="left")],
        "clip_range": [Interval(Real, 0, None, closed="neither"), tuple],
        "dual_clip": [Interval(Real, 1, None, closed="neither"), None],
        "critic": ["boolean"],
        "gae_lambda": [Interval(Real, 0, 1, closed="both")],
        "whiten_advantages": ["boolean", StrOptions({"auto"})],
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
        n_epochs=2,
        n_minibatches=2,
        clip_range=0.2,
        dual_clip=None,
        target_kl="auto",
        max_iter=500,
        tol="auto",
        optimizer="natural",
        learning_rate="auto",
        lr_schedule="auto",
        whiten_advantages="auto",
        credit="auto",
        critic=True,
        gae_lambda=0.95,
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
        self.n_epochs = n_epochs
        self.n_minibatches = n_minibatches
        self.clip_range = clip_range
        self.dual_clip = dual_clip
        self.target_kl = target_kl
        self.max_iter = max_iter
        self.tol = tol
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.lr_schedule = lr_schedule
        self.whiten_advantages = whiten_advantages
        self.credit = credit
        self.critic = critic
        self.gae_lambda = gae_lambda
        self.kl_controller = kl_controller
        self.gold_reward = gold_reward
        self.select_by = select_by
        self.warm_start = warm_start
        self.vectorizer = vectorizer
        self.random_state = random_state
