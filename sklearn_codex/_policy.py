"""Policy optimisation: PPO against a reward, held by KL and rules to a reference policy."""

import warnings
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, DensityMixin, _fit_context
from sklearn.callback import CallbackSupportMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Ridge
from sklearn.utils import Bunch, check_array, check_consistent_length, check_random_state
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from sklearn_codex._categorical import FloatArray, normalize_log
from sklearn_codex._documents import check_base_model, freeze
from sklearn_codex._language_model import CategoricalLanguageModelMixin
from sklearn_codex._policy_updates import AdamUpdate, NaturalUpdate
from sklearn_codex._rewards import DocumentReward
from sklearn_codex._rollouts import sample_rollouts
from sklearn_codex._stages import Stage
from sklearn_codex._training import (
    NEGLIGIBLE_KL,
    NoiseSchedule,
    PolicyProblem,
    PricedRule,
    Trainer,
)
from sklearn_codex._unigram_lm import UnigramLM
from sklearn_codex.exact import AdditiveObjective
from sklearn_codex.rules import check_rules

_N_PROBES = 64
_N_EVALUATION = 4096


def _check_clip_range(clip_range):
    """Return the clip range, a number or a pair (below, above) of numbers above 0."""
    pair = clip_range if isinstance(clip_range, tuple) else (clip_range, clip_range)
    if len(pair) != 2 or not all(isinstance(part, Real) and part > 0 for part in pair):
        raise ValueError(
            "PPOPolicyOptimizer: clip_range should be a number above 0 or a pair (below, above) of "
            f"numbers above 0, got {clip_range!r}."
        )
    return clip_range


class PPOPolicyOptimizer(
    CallbackSupportMixin, CategoricalLanguageModelMixin, DensityMixin, BaseEstimator
):
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
        Tokens of a document; None means the mean length of the rows of X, rounded.
    n_rollouts : int or "auto", default="auto"
        Documents drawn an iteration; "auto" means a quarter of the vocabulary, at least 256.
    n_epochs : int, default=2
        Passes over each batch of rollouts.
    n_minibatches : int, default=2
        Parts into which each pass cuts the batch.
    clip_range : float or (float, float), default=0.2
        How far the probability ratio may leave 1 before the surrogate is clipped; a pair is (below,
        above).
    target_kl : float or None, default=0.5
        Nats a document's distribution may move in one iteration: a trust region of the natural
        step, and the early stop of the epochs at 1.5 times it. None means no limit.
    max_iter : int, default=500
        Iterations at most.
    tol : float, default=1e-3
        Stop when the distance to the optimum is below this share of the distance from the start
        (the reference, with the rule penalties applied) to the optimum (exact where everything adds
        over tokens), or below this share of the improvement so far (predicted, otherwise). 0 means
        ``max_iter`` iterations.
    optimizer : {"natural", "adam"}, default="natural"
        "natural" is a damped natural-gradient step, which converges to the optimum; "adam" the
        textbook form, Adam on the logits with a learning rate that falls to zero over ``max_iter``
        iterations.
    learning_rate : float or "auto", default="auto"
        Step size. "auto" means 1 for "natural" with token credit, 0.5 with sequence credit, 0.03
        for "adam".
    whiten_advantages : bool or "auto", default="auto"
        Whether advantages are divided by their standard deviation besides being centred. "auto"
        means only for "adam": near the optimum the division amplifies noise.
    credit : {"auto", "token", "sequence"}, default="auto"
        Whether each token is credited with its own part of the reward or with that of its whole
        document. "auto" means "token" where reward and rules add over tokens.
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
        Reward of each token, where the reward adds over tokens.
    optimality_gap_ : float
        J* - J, how far the policy is from the best one: exact where everything adds over tokens,
        else an upper bound estimated from fresh documents.
    optimality_gap_se_ : float
        Standard error of that estimate, 0 where exact.
    objective_ : float
        J of the policy.
    kl_ : float
        KL(policy || reference) of a document, in nats, exact.
    entropy_ : float
        Entropy of a document, in nats, exact.
    expected_reward_ : float
        E[R] of a document, exact where the reward adds over tokens.
    penalty_ : float
        Expected rule penalty of a document, in nats.
    rule_rates_ : dict of str to float
        Share of documents that violate each rule.
    reward_model_ : estimator or callable
        What gave the rewards.
    frequencies_ : ndarray of shape (V,) or None
        Token frequencies of the demonstrations, where ``sft_coef`` > 0.
    response_length_ : int
        Tokens of a document.
    history_ : list of dict
        One record per iteration under TRL's names, the first before any update: see Notes.
    n_iter_ : int
        Iterations run.
    n_sequences_ : int
        Documents drawn.
    vectorizer_ : transformer or None
        The fitted vectorizer, None where the policy knows only columns.
    n_features_in_ : int
        V, the number of tokens in the vocabulary.
    feature_names_in_ : ndarray of shape (V,)
        Names of columns, where counts came as a data frame with string column names.

    See Also
    --------
    PreferenceRewardModel : The reward.
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

    ``history_`` describes the policy after each iteration: ``objective/value`` is J,
    ``objective/kl_exact``, ``objective/entropy_exact`` and ``objective/expected_reward`` are exact
    (the last where it can be); ``objective/kl`` (k1), ``objective/kl_k3``, ``objective/entropy``,
    ``objective/scores``, ``objective/non_score_reward`` and ``objective/rlhf_reward`` are means
    over the documents drawn from it; ``policy/approxkl_avg`` (k3, nats a document),
    ``policy/clipfrac_avg``, ``val/ratio`` and ``loss/policy_avg`` describe the update that led to
    it.

    References
    ----------
    .. [1] Schulman, J. et al. (2017). "Proximal policy optimization algorithms." arXiv:1707.06347.
    .. [2] Ziegler, D. M. et al. (2019). "Fine-tuning language models from human preferences."
       arXiv:1909.08593.
    .. [3] Kakade, S. (2001). "A natural policy gradient." NeurIPS 14.

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
        "policy": [HasMethods(["predict_log_proba"]), None],
        "reward_model": [HasMethods(["reward"]), HasMethods(["predict"]), callable, None],
        "kl_coef": [Interval(Real, 0, None, closed="neither")],
        "reward_coef": [Interval(Real, 0, None, closed="left")],
        "sft_coef": [Interval(Real, 0, None, closed="left")],
        "rules": "no_validation",
        "response_length": [Interval(Integral, 1, None, closed="left"), None],
        "n_rollouts": [Interval(Integral, 2, None, closed="left"), StrOptions({"auto"})],
        "n_epochs": [Interval(Integral, 1, None, closed="left")],
        "n_minibatches": [Interval(Integral, 1, None, closed="left")],
        "clip_range": [Interval(Real, 0, None, closed="neither"), tuple],
        "target_kl": [Interval(Real, 0, None, closed="neither"), None],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "optimizer": [StrOptions({"natural", "adam"})],
        "learning_rate": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
        "whiten_advantages": ["boolean", StrOptions({"auto"})],
        "credit": [StrOptions({"auto", "token", "sequence"})],
        "vectorizer": [HasMethods(["fit", "transform"]), None],
        "random_state": ["random_state"],
    }

    rlhf_stage = Stage(
        reads=("demonstration", "corpus"),
        provides="policy",
        fills={"policy": "policy", "reward_model": "reward"},
    )

    token_log_prob_: FloatArray

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
        n_rollouts="auto",
        n_epochs=2,
        n_minibatches=2,
        clip_range=0.2,
        target_kl=0.5,
        max_iter=500,
        tol=1e-3,
        optimizer="natural",
        learning_rate="auto",
        whiten_advantages="auto",
        credit="auto",
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
        self.n_rollouts = n_rollouts
        self.n_epochs = n_epochs
        self.n_minibatches = n_minibatches
        self.clip_range = clip_range
        self.target_kl = target_kl
        self.max_iter = max_iter
        self.tol = tol
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.whiten_advantages = whiten_advantages
        self.credit = credit
        self.vectorizer = vectorizer
        self.random_state = random_state

    @_fit_context(
        # policy and reward_model are fitted models, whose parameters were validated by their fit
        prefer_skip_nested_validation=True
    )
    def fit(self, X, y=None):
        """Optimise the policy.

        Parameters
        ----------
        X : sequence of str or array-like of shape (n_documents, V)
            Documents: they give the response length, the vocabulary where there is no incoming
            policy, the demonstrations where ``sft_coef`` > 0, and, with ``y``, the logged
            responses.
        y : array-like of shape (n_documents,), default=None
            Logged rewards of the documents; used, and needed, where ``reward_model`` is None.

        Returns
        -------
        self : PPOPolicyOptimizer

        Raises
        ------
        NotFittedError
            If ``policy`` or ``reward_model`` is not fitted.
        ValueError
            If there is neither a reward model nor logged rewards, or X does not fit the policy.
        """
        rng = check_random_state(self.random_state)
        problem = self._build_problem(X, y, rng)
        trainer, damping = self._build_trainer(problem, rng)
        context = self._init_callback_context(max_subtasks=self.max_iter)
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        converged = self._train(trainer, damping, context, X, y)
        self._finish(problem, trainer, rng)
        context.call_on_fit_task_end(estimator=self, X=X, y=y)
        if not converged and self.tol > 0:
            warnings.warn(
                f"PPOPolicyOptimizer stopped at max_iter={self.max_iter} before it was within "
                f"tol={self.tol} of the optimum: optimality_gap_ is {self.optimality_gap_:.3g}. "
                "Increase max_iter or n_rollouts, or set tol=0 for a fixed number of iterations.",
                ConvergenceWarning,
                stacklevel=2,
            )
        return self

    def _build_problem(self, X, y, rng):
        """Resolve policy, reward and rules into the problem to be solved."""
        if self.reward_model is None and y is None:
            raise ValueError(
                "PPOPolicyOptimizer requires y to be passed, but the target y is None: without a "
                "reward_model it learns from logged rewards. Pass y, one reward per document, or "
                "reward_model=FrozenEstimator(fitted reward model)."
            )
        counts, reference = check_base_model(
            self, X, model=self.policy, parameter="policy", vectorizer=self.vectorizer
        )
        if reference is None:
            reference = UnigramLM().fit(counts).token_log_prob_
        if self._eos_column() is not None:
            raise ValueError(
                "PPOPolicyOptimizer draws documents of fixed length, but the vocabulary has an "
                "end-of-sequence token. Count with TokenCounter(eos_token=None)."
            )
        self.reference_log_prob_ = normalize_log(reference)
        self.response_length_ = self.response_length or max(
            1, round(float(counts.sum()) / counts.shape[0])
        )
        self.document_length_ = self.response_length_
        self.reward_model_ = self._resolve_reward_model(counts, y)
        self.frequencies_ = None
        if self.sft_coef > 0:
            self.frequencies_ = counts.sum(axis=0) / counts.sum()
        return self._assemble(rng)

    def _resolve_reward_model(self, counts, y):
        """Return the given reward model, or a ridge regression of logged rewards on counts."""
        if self.reward_model is not None:
            return self.reward_model
        y = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y", estimator=self)
        if y.ndim != 1:
            raise ValueError(
                "PPOPolicyOptimizer: y should be a 1d array of one logged reward per document, got "
                f"an array of shape {y.shape} instead."
            )
        check_consistent_length(counts, y)
        return freeze(Ridge(tol=1e-10).fit(counts, y))

    def _assemble(self, rng):
        """Put reference, reward, rules and demonstrations together."""
        reference, names = self.reference_log_prob_, self._token_names()
        n_columns, length = len(reference), self.response_length_
        probe = sample_rollouts(reference, _N_PROBES, rng, length=length, names=names)
        reward = DocumentReward(self.reward_model_, probe, subject=type(self).__name__)
        priced, penalty = [], np.zeros(n_columns)
        for name, rule in check_rules(self.rules, subject=type(self).__name__):
            per_token = rule.token_violations(names, n_columns)
            priced.append(PricedRule(name, rule, per_token))
            if per_token is not None:
                penalty += rule.penalty * per_token
        no_reward = np.zeros(n_columns)
        objective = AdditiveObjective(
            reference,
            no_reward if reward.token_reward is None else reward.token_reward,
            length=length,
            kl_coef=self.kl_coef,
            reward_coef=self.reward_coef,
            penalty=penalty,
            sft_coef=self.sft_coef,
            frequencies=self.frequencies_,
        )
        return PolicyProblem(objective, reward, priced, names)

    def _build_trainer(self, problem, rng):
        """Return the trainer with all "auto" settings resolved, and the damping of its step."""
        objective = problem.objective
        credit = self.credit
        if credit == "auto":
            credit = "token" if problem.is_additive else "sequence"
        if credit == "token" and not problem.is_additive:
            raise ValueError(
                "PPOPolicyOptimizer with credit='token' needs a reward and rules that add over "
                "tokens, got at least one that does not. Use credit='sequence' or 'auto'."
            )
        n_rollouts = self.n_rollouts
        if n_rollouts == "auto":
            n_rollouts = max(256, -(-len(self.reference_log_prob_) // 4), self.n_minibatches)
        if n_rollouts < self.n_minibatches:
            raise ValueError(
                "PPOPolicyOptimizer cuts each batch of n_rollouts documents into n_minibatches "
                f"parts, so it needs n_rollouts >= n_minibatches, got {n_rollouts} and "
                f"{self.n_minibatches}."
            )
        natural = self.optimizer == "natural"
        rate = self.learning_rate
        if rate == "auto":
            rate = (1.0 if credit == "token" else 0.5) if natural else 0.03
        # A whole-sequence reward puts the noise of length - 1 other tokens on each token.
        damping = 1.0 if credit == "token" else 0.5 * rate * objective.length
        update: NaturalUpdate | AdamUpdate
        if natural:
            update = NaturalUpdate(
                objective,
                batch_size=n_rollouts,
                learning_rate=rate,
                damping=damping,
                n_epochs=self.n_epochs,
                n_minibatches=self.n_minibatches,
                target_kl=self.target_kl,
            )
        else:
            update = AdamUpdate(
                objective,
                batch_size=n_rollouts / self.n_minibatches,
                learning_rate=rate,
                n_steps=self.max_iter * self.n_epochs * self.n_minibatches,
            )
        trainer = Trainer(
            problem,
            update,
            rng,
            n_rollouts=n_rollouts,
            n_epochs=self.n_epochs,
            n_minibatches=self.n_minibatches,
            clip_range=_check_clip_range(self.clip_range),
            target_kl=self.target_kl,
            credit=credit,
            whitened=not natural if self.whiten_advantages == "auto" else self.whiten_advantages,
        )
        return trainer, damping

    def _train(self, trainer, damping, context, X, y):
        """Iterate until converged, stopped by a callback or out of iterations."""
        problem = trainer.problem
        schedule = None
        if problem.is_additive:
            reference = problem.objective.reference_log_prob
            # From the start where that is better: rule penalties can make the reference so bad that
            # a share of its distance says nothing.
            start = min(map(problem.objective.gap, (reference, trainer.log_prob)))
            enough = self.tol * start
        elif self.optimizer == "natural":
            schedule = NoiseSchedule(trainer, self.tol)
        self.n_iter_ = 0
        converged = False
        for _ in range(self.max_iter):
            task = context.subcontext(task_name="iteration")
            task.call_on_fit_task_begin(estimator=self, X=X, y=y)
            trainer.iterate()
            self.n_iter_ += 1
            if problem.is_additive:
                gap = trainer.history[-1]["objective/optimality_gap"]
                converged = gap <= max(enough, NEGLIGIBLE_KL * self.kl_coef)
            elif schedule is not None:
                converged = schedule.converged(damping)
            converged = converged and self.tol > 0
            stop = task.call_on_fit_task_end(
                estimator=self,
                X=X,
                y=y,
                reconstruction_attributes=lambda: {
                    "token_log_prob_": trainer.log_prob,
                    "history_": trainer.history,
                },
            )
            if converged or stop:
                return True
        return self.optimizer == "adam" and not problem.is_additive

    def _finish(self, problem, trainer, rng):
        """Set the fitted attributes from the trained policy."""
        self.token_log_prob_ = trainer.log_prob
        self.history_ = trainer.history
        self.token_reward_ = problem.reward.token_reward
        self.optimal_log_prob_ = problem.objective.optimum() if problem.is_additive else None
        n_evaluation = 2 if problem.is_additive else max(_N_EVALUATION, trainer.n_rollouts)
        rollouts = problem.sample(self.token_log_prob_, n_evaluation, rng)
        self.n_sequences_ = trainer.n_sequences + n_evaluation
        assessed = problem.assess(self.token_log_prob_, rollouts)
        result = problem.evaluate(self.token_log_prob_, rollouts, assessed)
        self.optimality_gap_, self.optimality_gap_se_ = problem.certificate(
            self.token_log_prob_, assessed
        )
        self.objective_ = result.objective
        self.expected_reward_ = result.expected_reward
        self.kl_ = result.kl
        self.entropy_ = result.entropy
        self.penalty_ = result.penalty
        self.rule_rates_ = result.rule_rates

    def evaluate(self, log_prob=None, *, n_samples=4096, random_state=0):
        """Return the objective of any policy over the same vocabulary, and its parts.

        Parameters
        ----------
        log_prob : array-like of shape (V,), default=None
            Log-probabilities of a policy; None means the optimised one.
        n_samples : int, default=4096
            Documents drawn where the reward or a rule does not add over tokens; else all is exact.
        random_state : int, RandomState instance or None, default=0
            Source of these draws.

        Returns
        -------
        parts : Bunch
            ``objective`` J, ``expected_reward``, ``kl`` and ``penalty`` (nats a document),
            ``entropy``, ``sft_loss`` (nats a token, on the documents of ``fit``), ``rule_rates``.
        """
        check_is_fitted(self)
        if log_prob is None:
            log_prob = self.token_log_prob_
        log_prob = check_array(
            log_prob, ensure_2d=False, ensure_all_finite=False, input_name="log_prob"
        )
        if log_prob.shape != self.reference_log_prob_.shape:
            raise ValueError(
                f"log_prob should have the shape {self.reference_log_prob_.shape} of the policy, "
                f"got {log_prob.shape}."
            )
        total = float(np.exp(log_prob).sum())
        if not np.isclose(total, 1.0, rtol=0.0, atol=1e-6):
            raise ValueError(
                "log_prob should be natural logarithms of probabilities that sum to 1, got a sum "
                f"of {total:.6g}."
            )
        rng = check_random_state(random_state)
        problem = self._assemble(rng)
        rollouts = problem.sample(log_prob, 2 if problem.is_additive else n_samples, rng)
        return problem.evaluate(log_prob, rollouts, problem.assess(log_prob, rollouts))

    def score(self, X, y=None):
        """Return the mean log-likelihood per token, or the off-policy value of logged rewards.

        Parameters
        ----------
        X : sequence of str or array-like of shape (n_documents, V)
            Documents.
        y : array-like of shape (n_documents,), default=None
            Ignored where there is a reward model.

        Returns
        -------
        score : float
        """
        return super().score(X)

    def token_shift(self, n=10):
        """Return the tokens whose probability rose and fell most.

        Parameters
        ----------
        n : int, default=10
            Tokens of each kind.

        Returns
        -------
        shift : Bunch
            ``risen`` and ``fallen``: lists of (token, log-ratio, change of probability), ordered by
            the change of the probability, largest first.
        """
        check_is_fitted(self)
        change = np.exp(self.token_log_prob_) - np.exp(self.reference_log_prob_)
        with np.errstate(invalid="ignore"):
            log_ratio = self.token_log_prob_ - self.reference_log_prob_
        names = self._token_names()
        order = np.argsort(change, kind="stable")

        def rows(columns):
            return [
                (
                    int(column) if names is None else str(names[column]),
                    float(log_ratio[column]),
                    float(change[column]),
                )
                for column in columns
            ]

        risen = [column for column in order[::-1][:n] if change[column] > 0]
        fallen = [column for column in order[:n] if change[column] < 0]
        return Bunch(risen=rows(risen), fallen=rows(fallen))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.positive_only = True
        tags.target_tags.required = self.reward_model is None
        return tags
