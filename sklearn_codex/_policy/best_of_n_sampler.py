"""Best-of-n sampling as an estimator: the baseline that needs no training."""

import warnings
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.callback import CallbackSupportMixin
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from sklearn_codex._checks.numbers import check_tokens_at_once
from sklearn_codex._data.documents import read_prompts
from sklearn_codex._fits import caller_level, whole_fit
from sklearn_codex._policy.inputs import PROBLEM_CONSTRAINTS
from sklearn_codex._policy.optimizer import PolicyOptimizerMixin
from sklearn_codex._rollouts import Rollouts
from sklearn_codex.exact import best_of_n_kl_bound, expected_max
from sklearn_codex.exact._best_of_n import _max_weights

# Documents drawn, and best ones of n among them, at least; and tokens drawn at most so that winners
# have one for each n-gram.
_FEWEST_ROLLOUTS, _WINNERS, _MOST_TOKENS_OF_NGRAMS = 4096, 64, 2**20
# Nats a document, and standard errors, by which a KL above that of best of n is not told.
_SLACK, _ERRORS = 0.05, 3.0
# Tokens drawn at one time.
_CHUNK_TOKENS = 2_000_000


class BestOfNSampler(CallbackSupportMixin, PolicyOptimizerMixin, BaseEstimator):
    r"""Draws n documents from the reference and keeps the one of greatest reward.

    Best-of-n, or rejection sampling: the baseline that every policy optimiser should beat at equal
    KL. ``sample`` gives true best-of-n documents. They are not those of any unigram policy, nor of
    one of n-grams; as a language model (``token_log_prob_``, ``predict``, ``score_samples``,
    ``evaluate``) the estimator is the policy of the reference's family nearest to them, refit to
    the weighted winners. Figures of best-of-n itself have names that begin with ``best_of_n_``; all
    others are of the refit policy.

    Parameters
    ----------
    policy : fitted language model, default=None
        The incoming policy, which is also the reference of the KL; pass it as
        ``FrozenEstimator(model)``. An ``NGramLM``, or what was refined or optimised from one, makes
        policies of its n-grams. None means a ``UnigramLM`` fitted on X, an ``NGramLM`` where
        ``vectorizer`` counts n-grams.
    reward_model : fitted estimator or callable, default=None
        Scores documents: a ``PreferenceRewardModel``, any fitted regressor, or a callable
        ``documents -> (n_documents,)``. None means that ``fit`` gets logged rewards as ``y``; a
        ridge regression of them on the counts is then the reward, where policies are of n-grams on
        counts of these, each counting for those that it ends with.
    n : int, default=16
        Documents of which the best is kept.
    kl_coef : float, default=1.0
        Weight of the KL in the objective J by which the refit policy is judged; the documents do
        not depend on it.
    reward_coef : float, default=1.0
        Weight of the expected reward in J.
    response_length : int, default=None
        Tokens of a document; None means the mean length of the rows of X, rounded. Only where the
        vocabulary has no end-of-sequence token.
    max_length : int, default=None
        Tokens at which a document is cut, where the vocabulary has an end-of-sequence token and
        documents end by themselves; None means never.
    n_rollouts : int or "auto", default="auto"
        Documents of the reference drawn in ``fit``, at least n; "auto" means 64 n, at least 4096;
        for a policy of n-grams whose reward adds over tokens, also enough that winners have as many
        tokens as there are n-grams, if no more than 2**20 tokens are drawn for that. Where they
        start in several contexts, as after prompts, at least 4 n in each.
    prior_strength : float or "auto", default="auto"
        Weight of the reference in the refit, in tokens, of n-grams in each context, so that what no
        winner used keeps a probability. 0 is the maximum likelihood estimate. A policy of n-grams
        is the likeliest tilt of the reference for both, found by Newton's method. "auto" means 1
        for a policy of single tokens; of n-grams, the power of ten from 1 to 100,000 with which a
        refit to every other document makes the winners among the others likeliest.
    vectorizer : transformer, default=None
        Turns text into counts; None means the policy's, or ``TokenCounter()`` without a policy.
    random_state : int, RandomState instance or None, default=None
        Source of the draws of ``fit``.

    Attributes
    ----------
    best_of_n_reward_ : float
        E[R] of the best of n documents: an unbiased estimate, the mean of the greatest reward over
        all subsets of n of the documents drawn.
    best_of_n_reward_se_ : float
        Its standard error by the jackknife; nan where only n documents were drawn.
    kl_bound_ : float
        log n - (n - 1) / n, in nats a document: KL(best of n || reference) is never above it, and
        is equal to it where no two documents that can be drawn have the same reward and none has
        much probability. With ties it is below.
    prior_strength_ : float
        Weight of the reference in the refit, given or chosen.
    token_log_prob_ : ndarray of shape (V,)
        Natural logarithm of each token's probability under the refit policy. Only of policies of
        single tokens.
    arc_log_prob_ : ndarray of shape (n_ngrams,)
        Of policies of n-grams, as that of :class:`NGramLM`.
    backoff_log_weight_ : ndarray of shape (n_contexts,)
        The same.
    reference_log_prob_ : ndarray of shape (V,), or (E,) of n-grams
        The same of the reference policy; of n-grams those of events, as in
        :class:`~sklearn_codex.exact.NGramObjective`.
    optimal_log_prob_ : ndarray of shape (V,), or (E,) of n-grams, or None
        The same of the exact optimum, where reward and rules add over tokens. None of n-grams where
        documents are cut.
    token_reward_ : ndarray of shape (V,), or (E,) of n-grams, or None
        Reward of each token, or event, where the reward adds over tokens.
    optimality_gap_ : float
        J* - J, how far the policy is from the best one: exact where everything adds over tokens,
        of n-grams an upper bound where documents are cut, else an estimate of an upper bound from
        fresh documents.
    optimality_gap_se_ : float
        Standard error of that estimate, 0 where exact.
    objective_ : float
        J of the refit policy.
    objective_se_ : float
        Its standard error, from the documents drawn; 0 where reward and rules add over tokens.
    kl_ : float
        KL(refit policy || reference) of a document, in nats, exact.
    entropy_ : float
        Entropy of a document, in nats, exact.
    expected_reward_ : float
        E[R] of a document of the refit policy, exact where the reward adds over
        tokens.
        A document that goes on from a prompt has the reward of all n-grams that end in it, those
        that begin in its prompt among them: what ``transform_after`` counts.
    expected_reward_se_ : float
        Its standard error; 0 where it is exact.
    expected_length_ : float
        Expected tokens of a document, exact.
    kl_coef_ : float
        Weight of the KL.
    reward_mean_, reward_scale_ : float
        What the reward is normalised by: (R - mean) / scale; 0 and 1 where it is not.
    penalty_ : float
        Expected rule penalty of a document, in nats.
    rule_rates_ : dict of str to float
        Share of documents that violate each rule.
    rule_prices_ : dict of str to float
        Nats of KL that a violation costs: given, or found for a chance constraint; ``inf`` of a
        hard rule.
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
    n_sequences_ : int
        Documents drawn.
    vectorizer_ : transformer or None
        The fitted vectorizer, None where the policy knows only columns.
    n_features_in_ : int
        Number of columns; V, the number of tokens in the vocabulary, of policies of single tokens.
    feature_names_in_ : ndarray of shape (V,)
        Names of columns, where counts came as a data frame with string column names.

    See Also
    --------
    ExactPolicyOptimizer : The best policy, which no best-of-n exceeds at equal KL.
    sklearn_codex.exact.best_of_n_frontier : Reward against KL for several n.
    sklearn_codex.exact.best_of_n : The exact distribution over a finite set of documents.

    Notes
    -----
    A document drawn that is the i-th worst of N is the best of a share
    :math:`\binom{i-1}{n-1} / \binom{N}{n}` of their subsets of n. With these weights
    :math:`v_i`, shared among equal rewards, the refit policy is

    .. math:: \pi_t \propto (N / n) \sum_i v_i n_{it} + \kappa\, ref_t

    with :math:`\kappa` = ``prior_strength``: the maximiser of the winners' likelihood, that is of
    -KL(best of n || policy), up to the prior. Where the reward adds over tokens and documents have
    a fixed length a policy of single tokens has, but for the prior, the expected reward of
    best-of-n at a smaller KL.

    A model of n-grams is refit to the likeliest tilt, that is the reference times
    :math:`e^{w}` for weights w of its n-grams, normalised in each context: with c(h, w) tokens of
    the winners, weighted in the same way, in context h, and :math:`\kappa` tokens more in each
    context as the reference draws them, it has the greatest likelihood among all tilts, by Newton's
    method. No formula gives it, as one weight counts in every context that its n-gram ends. After
    prompts a document competes with those that start in the same context. Winners hold little about
    n-grams that few of them have: with a weak prior such a policy learns them by heart, and its KL
    is far above that of best-of-n. "auto" therefore asks winners that were not seen, and the policy
    has less of the reward than best-of-n where n-grams are many.

    References
    ----------
    .. [1] Stiennon, N. et al. (2020). "Learning to summarize from human feedback." NeurIPS 33.
    .. [2] Beirami, A. et al. (2024). "Theoretical guarantees on the best-of-n alignment policy."
       arXiv:2401.01879.

    Examples
    --------
    >>> from sklearn_codex import BestOfNSampler
    >>> texts = ["good good bad", "bad fine", "good fine fine"]
    >>> sampler = BestOfNSampler(
    ...     reward_model=lambda documents: [text.split().count("good") for text in documents],
    ...     n=8, response_length=3, random_state=0,
    ... ).fit(texts)
    >>> sampler.sample(2, random_state=0)
    ['good good good', 'good <unk> good']
    >>> round(sampler.best_of_n_reward_, 1)
    2.2
    >>> bool(sampler.kl_ < sampler.kl_bound_)
    True
    """

    _parameter_constraints: dict = {
        **{
            name: PROBLEM_CONSTRAINTS[name]
            for name in (
                "policy", "reward_model", "kl_coef", "reward_coef", "response_length",
                "max_length", "vectorizer", "random_state",
            )
        },
        "n": [Interval(Integral, 1, None, closed="left")],
        "n_rollouts": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "prior_strength": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
    }  # fmt: skip

    def __init__(
        self,
        policy=None,
        reward_model=None,
        *,
        n=16,
        kl_coef=1.0,
        reward_coef=1.0,
        response_length=None,
        max_length=None,
        n_rollouts="auto",
        prior_strength="auto",
        vectorizer=None,
        random_state=None,
    ):
        self.policy = policy
        self.reward_model = reward_model
        self.n = n
        self.kl_coef = kl_coef
        self.reward_coef = reward_coef
        self.response_length = response_length
        self.max_length = max_length
        self.n_rollouts = n_rollouts
        self.prior_strength = prior_strength
        self.vectorizer = vectorizer
        self.random_state = random_state

    @whole_fit(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, *, prompts=None):
        """Measure best-of-n on documents of the reference, and refit the policy to the winners.

        Parameters
        ----------
        X : sequence of str or array-like of shape (n_documents, V)
            Documents: they give the response length, the vocabulary where there is no incoming
            policy, and, with ``y``, the logged responses.
        y : array-like of shape (n_documents,), default=None
            Logged rewards of the documents; used, and needed, where ``reward_model`` is None.
        prompts : sequence of str or array-like of shape (n_prompts, n_columns), default=None
            What documents of a policy of n-grams start after, each as often as it is there; None
            means nothing. Where documents are text and there are as many, each is counted after
            its own. They make no difference to a policy of single tokens.

        Returns
        -------
        self : BestOfNSampler

        Raises
        ------
        NotFittedError
            If ``policy`` or ``reward_model`` is not fitted.
        ValueError
            If ``n_rollouts`` is less than n, there is neither a reward model nor logged rewards, or
            X does not fit the policy.

        Warns
        -----
        UserWarning
            If ``kl_`` is above ``kl_bound_`` by more than chance: the refit policy has then learned
            its winners by heart.
        """
        n_rollouts = self.n_rollouts
        if n_rollouts == "auto":
            n_rollouts = max(_FEWEST_ROLLOUTS, _WINNERS * self.n)
        if n_rollouts < self.n:
            raise ValueError(
                f"{type(self).__name__} needs n_rollouts >= n documents to know the best of n, got "
                f"n_rollouts={n_rollouts} and n={self.n}. Raise it, or leave it at 'auto'."
            )
        self._prepare(X, y, prompts=prompts)
        check_tokens_at_once(
            n_rollouts,
            self.document_length_,
            remedy="Set a smaller response_length, or draw fewer documents (n_rollouts, n).",
        )
        problem = self._build_problem()
        if self.n_rollouts == "auto":
            n_rollouts = max(n_rollouts, self._n_for_ngrams(problem))
        context = self._init_callback_context()
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        rng = np.random.RandomState([self._seed, 2])
        family = self._family
        begins, shares = family.begins(problem.objective)
        sizes = np.full(1, n_rollouts)
        if len(begins) > 1:
            sizes = np.maximum(np.rint(n_rollouts * shares).astype(int), 4 * self.n)
        rollouts = family.sample(problem, np.repeat(begins, sizes), rng)
        rewards = problem.assess(problem.start, rollouts).reward
        ends = np.cumsum(sizes)[:-1]
        best = np.array([expected_max(own, self.n) for own in np.split(rewards, ends)])
        self.best_of_n_reward_ = float(shares @ best[:, 0])
        self.best_of_n_reward_se_ = float(np.linalg.norm(shares * best[:, 1]))
        self.kl_bound_ = best_of_n_kl_bound(self.n)
        log_prob = self._refit(rollouts, rewards, problem.start, ends, shares)
        self.n_sequences_ = len(rewards) + self._finish(problem, log_prob)[1]
        self._warn_if_too_far(len(rewards))
        context.call_on_fit_task_end(estimator=self, X=X, y=y)
        return self

    def _n_for_ngrams(self, problem):
        """Return how many documents have winners with a token for each n-gram, 0 if none need."""
        # What does not add over tokens may be dear to ask.
        if self._read_trie is None or not problem.is_additive or problem.is_tested:
            return 0
        tokens = min(self.n * self._trie.n_arcs, _MOST_TOKENS_OF_NGRAMS)
        return int(tokens / max(1.0, problem.objective.expected_length(problem.start)))

    def _refit(self, rollouts, rewards, reference, ends=(), shares=(1.0,)):
        """Return the policy of the winners, each weighted by its chance to win.

        Documents from one of ``ends`` to the next start in one context, as often as ``shares`` say,
        and compete with each other.
        """
        groups = zip(np.split(rewards, ends), shares, strict=True)
        weight = np.concatenate([share * _chances(own, self.n) for own, share in groups])
        weight *= len(rewards) / self.n
        family, own = self._family, np.repeat(np.arange(len(weight)), rollouts.lengths)
        winners = family.count(rollouts, weight[own])
        strength = self.prior_strength
        if strength == "auto":
            seen = family.count(rollouts, np.where(own % 2, 0.0, weight[own]))
            strength = family.prior_strength(reference, seen, winners - seen)
        self.prior_strength_ = float(strength)
        return family.refined(reference, winners, self.prior_strength_)

    def _warn_if_too_far(self, n_rollouts):
        """Warn where the refit policy is farther from the reference than any best of n."""
        n_winners = n_rollouts / self.n
        noise = _SLACK + _ERRORS * np.sqrt(2.0 * max(self.kl_, 0.0) / n_winners)
        if self.kl_ <= self.kl_bound_ + noise:
            return
        more = "" if self._read_trie is None else ", or 'auto'"
        warnings.warn(
            f"{type(self).__name__}: the refit policy has a KL of kl_={self.kl_:.3g} nats a "
            f"document to the reference, where best of n={self.n} has at most "
            f"kl_bound_={self.kl_bound_:.3g}: it has learned {n_winners:.6g} winners by heart. "
            f"Raise prior_strength, which is {self.prior_strength_:g}{more}, or n_rollouts, which "
            f"is {n_rollouts}. Documents of sample are the best of n all the same.",
            UserWarning,
            stacklevel=caller_level(),
        )

    def sample(self, n_samples=1, random_state=None, *, max_length=10_000, prompts=None):
        """Draw documents, each the best of n from the reference.

        Parameters
        ----------
        n_samples : int, default=1
            How many documents; with prompts, how many for each.
        random_state : int, RandomState instance or None, default=None
            Source of all draws.
        max_length : int, default=10_000
            Tokens at which a document is cut where the model has an end-of-sequence token, if the
            estimator's own ``max_length`` does not come first.
        prompts : sequence of str or array-like of shape (n_prompts, n_columns), default=None
            What documents go on from, without being part of them; None means that they start
            where those of ``fit`` do. They make no difference to a policy of single tokens.

        Returns
        -------
        documents : list of str or csr_array of shape (n_samples, V)
            Text (tokens joined as by `TokenCounter.decode`, without the end-of-sequence token),
            else counts where words are not known. With prompts there are n_prompts * n_samples,
            those of the first prompt first.

        Raises
        ------
        ValueError
            If a parameter is out of its range, or there would be more than 2**27 tokens.
        """
        check_is_fitted(self)
        for name, value in (("n_samples", n_samples), ("max_length", max_length)):
            if not isinstance(value, Integral) or value < 1:
                raise ValueError(f"{name} should be an integer of at least 1, got {value!r}.")
        n_samples, max_length = int(n_samples), int(max_length)
        if prompts is not None:
            prompts = read_prompts(self, prompts)
            prompts = prompts[np.repeat(np.arange(prompts.shape[0]), n_samples)]
            n_samples = prompts.shape[0]
        check_tokens_at_once(
            n_samples, self.document_length_, remedy="Draw fewer documents (n_samples)."
        )
        rng = check_random_state(random_state)
        problem, family = self._build_problem(warn=False), self._family
        if prompts is None:
            contexts, shares = family.begins(problem.objective)
            if len(contexts) > 1:
                contexts = rng.choice(contexts, n_samples, p=shares)
            contexts = np.resize(contexts, n_samples)
        else:
            contexts = family.contexts_after(prompts)
        at_once = max(1, _CHUNK_TOKENS // (self.n * self.document_length_))
        winners = []
        for start in range(0, n_samples, at_once):
            own = np.repeat(contexts[start : start + at_once], self.n)
            drafts = family.sample(problem, own, rng, max_length=max_length)
            rewards = problem.assess(problem.start, drafts).reward.reshape(-1, self.n)
            winners.append(_take(drafts, rewards.argmax(axis=1) + self.n * np.arange(len(rewards))))
        best = Rollouts(
            np.concatenate([part.tokens for part in winners]),
            np.concatenate([part.lengths for part in winners]),
            winners[0].n_columns,
            problem.names,
            winners[0].eos,
        )
        has_words = self.vectorizer_ is not None and best.names is not None
        return best.texts if has_words else best.counts


def _chances(rewards, n):
    """Return the chance (n_documents,) of each document to be the best of n of them."""
    weight = np.empty(len(rewards))
    weight[np.argsort(rewards, kind="stable")] = _max_weights(len(rewards), n)
    _, tie = np.unique(rewards, return_inverse=True)
    return (np.bincount(tie, weight) / np.bincount(tie))[tie]


def _take(rollouts, rows):
    """Return some documents of a batch, by increasing row."""
    kept = np.zeros(len(rollouts), dtype=bool)
    kept[rows] = True
    return Rollouts(
        rollouts.tokens[np.repeat(kept, rollouts.lengths)],
        rollouts.lengths[rows],
        rollouts.n_columns,
        rollouts.names,
        rollouts.eos,
    )
