"""The optimum itself as an estimator: what every policy optimiser is held against."""

import warnings

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.callback import CallbackSupportMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import Bunch
from sklearn.utils.validation import check_is_fitted

from sklearn_codex._checks.numbers import check_values
from sklearn_codex._data.fitted_models import unwrap
from sklearn_codex._fits import whole_fit
from sklearn_codex._policy.inputs import PROBLEM_CONSTRAINTS
from sklearn_codex._policy.stated_objective import ObjectiveFitMixin

# Share of what the reference may be short of the best that a policy may be without a warning.
_CLOSE = 1e-3
_TINY = np.finfo(np.float64).tiny


class ExactPolicyOptimizer(CallbackSupportMixin, ObjectiveFitMixin, BaseEstimator):
    r"""The best policy for a reward that adds over tokens, in closed form.

    The same problem as :class:`PPOPolicyOptimizer`, solved and not searched: no rollouts, no
    learning rate, no gap. Where the reward or a rule does not add over tokens there is no such
    formula, and ``fit`` says which it is.

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
    vectorizer : transformer, default=None
        Turns text into counts; None means the policy's, or ``TokenCounter()`` without a policy.
    random_state : int, RandomState instance or None, default=None
        Source of the documents on which the reward must prove that it adds over tokens; and, where
        documents end by themselves, on which ``normalize_reward`` takes its moments.

    Attributes
    ----------
    token_log_prob_ : ndarray of shape (V,)
        Natural logarithm of each token's probability under the best policy. Only of policies of
        single tokens.
    arc_log_prob_ : ndarray of shape (n_ngrams,)
        Of policies of n-grams, as that of :class:`NGramLM`.
    backoff_log_weight_ : ndarray of shape (n_contexts,)
        The same.
    reference_log_prob_ : ndarray of shape (V,), or (E,) of n-grams
        The same of the reference policy; of n-grams those of events, as in
        :class:`~sklearn_codex.exact.NGramObjective`.
    optimal_log_prob_ : ndarray of shape (V,), or (E,) of n-grams, or None
        The same of the exact optimum: the same. None of n-grams where documents are cut, or with
        demonstrations.
    token_reward_ : ndarray of shape (V,), or (E,) of n-grams
        Reward of each token, or event.
    optimality_gap_ : float
        J* - J, which is 0. Of n-grams where documents are cut: no more than this is left to gain by
        policies that look at the position, as the best that do not are only searched. With
        demonstrations of n-grams: a bound of what is left to gain.
    optimality_gap_se_ : float
        0.
    objective_ : float
        J of the best policy.
    objective_se_ : float
        0.
    kl_ : float
        KL(policy || reference) of a document, in nats, exact.
    entropy_ : float
        Entropy of a document, in nats, exact.
    expected_reward_ : float
        E[R] of a document of the best policy, exact.
        A document that goes on from a prompt has the reward of all n-grams that end in it, those
        that begin in its prompt among them: what ``transform_after`` counts.
    expected_reward_se_ : float
        0.
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
    vectorizer_ : transformer or None
        The fitted vectorizer, None where the policy knows only columns.
    n_features_in_ : int
        Number of columns; V, the number of tokens in the vocabulary, of policies of single tokens.
    feature_names_in_ : ndarray of shape (V,)
        Names of columns, where counts came as a data frame with string column names.

    See Also
    --------
    PPOPolicyOptimizer : Searches for the optimum, for any reward.
    sklearn_codex.exact.AdditiveObjective : The formulas, for documents of fixed length.
    sklearn_codex.exact.EosObjective : The formulas, for documents that end by themselves.
    sklearn_codex.exact.NGramObjective : The formulas, for policies of n-grams.

    Notes
    -----
    Without demonstrations and for documents of fixed length the best policy is the tilted reference

    .. math:: \pi^*_t \propto ref_t \exp(\rho w_t / b - c_t)

    with the token rewards w, :math:`\rho` = ``reward_coef``, b = ``kl_coef`` and penalties c. With
    ``sft_coef`` or ``entropy_coef`` see :class:`~sklearn_codex.exact.AdditiveObjective`; where
    documents end by themselves :class:`~sklearn_codex.exact.EosObjective`, whose optimum is the
    best policy that does not look at the position; and for policies of n-grams
    :class:`~sklearn_codex.exact.NGramObjective`, where documents that are cut have no formula: the
    best policy is searched by steps that go through all positions, minutes for a hundred thousand
    n-grams, and ``optimality_gap_`` bounds what it misses. So it is where n-grams have
    demonstrations, and by a bound that is no better than some tenths of a nat for each unit of
    ``sft_coef``, whatever is found. Banned tokens have probability zero; the
    price of a chance constraint is the root at which the optimum just keeps it.

    References
    ----------
    .. [1] Korbak, T., Perez, E. and Buckley, C. (2022). "RL with KL penalties is better viewed as
       Bayesian inference." Findings of EMNLP 2022.

    Examples
    --------
    >>> from sklearn_codex import ExactPolicyOptimizer
    >>> texts = ["good good bad", "bad fine", "good fine fine"]
    >>> policy = ExactPolicyOptimizer().fit(texts, [1.0, -1.0, 1.0])
    >>> policy.predict(["anything"])
    array(['good'], dtype=...)
    >>> policy.optimality_gap_
    0.0
    >>> policy.frontier([1.0, 0.5]).kl.round(2)
    array([0.23, 0.82])

    A policy of n-grams, which learns from the same rewards what to say after what:

    >>> from sklearn.frozen import FrozenEstimator
    >>> from sklearn_codex import NGramCounter, NGramLM
    >>> counter = NGramCounter(2, eos_token="</s>")
    >>> model = NGramLM(smoothing="dirichlet", vectorizer=counter).fit(texts)
    >>> policy = ExactPolicyOptimizer(FrozenEstimator(model)).fit(texts, [1.0, -1.0, 1.0])
    >>> policy.token_shift(1).risen[0][0]
    'good good'
    >>> policy.sample(2, random_state=0, prompts=["fine"])
    ['fine fine good', 'good fine fine fine']
    """

    _parameter_constraints: dict = dict(PROBLEM_CONSTRAINTS)

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
        self.vectorizer = vectorizer
        self.random_state = random_state

    @whole_fit(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, *, prompts=None):
        """Compute the best policy.

        Parameters
        ----------
        X : sequence of str or array-like of shape (n_documents, V)
            Documents: they give the response length, the vocabulary where there is no incoming
            policy, the demonstrations where ``sft_coef`` > 0, and, with ``y``, the logged
            responses.
        y : array-like of shape (n_documents,), default=None
            Logged rewards of the documents; used, and needed, where ``reward_model`` is None.
        prompts : sequence of str or array-like of shape (n_prompts, n_columns), default=None
            What documents of a policy of n-grams start after, each as often as it is there; None
            means nothing. Where documents are text and there are as many, each is counted after
            its own; counts are taken as they are, as ``NGramCounter.transform_after`` makes them.
            They make no difference to a policy of single tokens.

        Returns
        -------
        self : ExactPolicyOptimizer

        Raises
        ------
        NotFittedError
            If ``policy`` or ``reward_model`` is not fitted.
        ValueError
            If the reward or a rule does not add over tokens, there is neither a reward model nor
            logged rewards, or X does not fit the policy.

        Warns
        -----
        ConvergenceWarning
            If a policy of n-grams has demonstrations, and what it may be short of the best is more
            than a thousandth of what the reference may be; or the search for one of documents that
            are cut ran out of steps.
        LengthExplosionWarning
            If documents end by themselves and no policy is best, as none is long enough.
        """
        self._prepare(X, y, prompts=prompts)
        problem = self._build_problem()
        if not problem.is_additive:
            raise ValueError(self._explain_what_does_not_add(problem))
        context = self._init_callback_context()
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        self._finish(problem, problem.objective.best_found())
        if not problem.objective.has_optimum:
            self._warn_of_bound(problem.objective)
        context.call_on_fit_task_end(estimator=self, X=X, y=y)
        return self

    def _warn_of_bound(self, objective):
        """Warn where the best policy found is not certain to be the best."""
        found, start = (
            objective.value(policy) for policy in (self._policy_log_prob, objective.start)
        )
        share = self.optimality_gap_ / max(found + self.optimality_gap_ - start, _TINY)
        if share > _CLOSE:
            warnings.warn(
                f"{type(self).__name__} with sft_coef={objective.sft_coef:g} found a policy of "
                "n-grams that no small change makes better, but not that it is the best: with "
                f"demonstrations there may be optimality_gap_={self.optimality_gap_:.3g} more, "
                f"{share:.2%} of what the reference may be short of. Refine the policy by them "
                "(SFTRefiner) and set sft_coef=0 for the best one for certain.",
                ConvergenceWarning,
                stacklevel=2,
            )

    def _explain_what_does_not_add(self, problem):
        subject, source = type(self).__name__, unwrap(problem.reward.source)
        culprits = [priced.name for priced in problem.rules if priced.token_violations is None]
        if not culprits and problem.reward.misfit is not None:
            return (
                f"{subject} knows the optimum where reward and rules add over the n-grams of the "
                f"policy, but the reward does not: {problem.reward.misfit}, or use "
                "PPOPolicyOptimizer or RLOOPolicyOptimizer, which draw documents."
            )
        remedy = "Use"
        if culprits:
            what = f"the rule(s) {culprits} do not say that they do"
        elif hasattr(source, "coef_"):
            what = "documents that were tried do not show that the reward does"
        else:
            kind = type(source).__name__
            what = f"that cannot be told of a reward without weights (coef_), as this {kind}"
            remedy = "Pass a fitted linear model of the same rewards, or use"
        return (
            f"{subject} knows the optimum where reward and rules add over tokens, but {what}. "
            f"{remedy} PPOPolicyOptimizer or RLOOPolicyOptimizer with the same parameters; for a "
            "vocabulary of a few tokens, sklearn_codex.exact.EnumeratedObjective is exact."
        )

    def frontier(self, kl_coefs=None):
        """Return the best expected reward at each KL, one optimum for each ``kl_coef``.

        Rules, demonstrations and lengths are those of the fit; chance constraints are priced again
        for each ``kl_coef``.

        Parameters
        ----------
        kl_coefs : array-like of shape (n_points,), default=None
            Weights of the KL; None means 50 from 0.01 to 100 times the standard deviation of the
            token reward under the reference, on a logarithmic grid, and above the smallest at which
            length does not explode.

        Returns
        -------
        frontier : Bunch
            Arrays of shape (n_points,), by falling ``kl_coef``: ``kl_coef``; ``kl``, nats a
            document; ``expected_reward`` of a document; ``objective``, J at that ``kl_coef``;
            ``expected_length``, tokens.

        Raises
        ------
        ValueError
            If ``kl_coefs`` are not positive and finite numbers of shape (n_points,), or documents
            of a policy of n-grams are cut or have demonstrations: the best that are found are no
            frontier then.
        LengthExplosionError
            If documents end by themselves and have no optimum at one of ``kl_coefs``.
        """
        check_is_fitted(self)
        problem = self._build_problem(warn=False)
        if problem.objective.gap_is_bound:
            raise ValueError(
                f"{type(self).__name__}.frontier knows the best policies of n-grams where "
                "documents are not cut and have no demonstrations, got documents of at most "
                f"{problem.objective.longest} tokens and sft_coef={problem.objective.sft_coef:g}. "
                "Count with eos_token, leave max_length at None, raise kl_coef where length "
                "explodes, and set sft_coef=0."
            )
        if kl_coefs is None:
            kl_coefs = problem.objective.kl_coef_grid()
        # What the offset and the mean of the reward add to every value of the objective.
        constant = problem.objective.reward_coef * (problem.reward.offset - problem.reward_mean)
        grid = np.sort(check_values(kl_coefs, "kl_coefs", subject="frontier"))[::-1]
        if not grid.size:
            raise ValueError(f"{type(self).__name__}.frontier needs at least one of kl_coefs.")
        rows = []
        for kl_coef in grid.tolist():
            objective = problem.with_kl_coef(kl_coef).objective
            best = objective.optimum()
            rows.append(
                (
                    kl_coef,
                    objective.kl(best),
                    objective.expected_reward(best) + problem.reward.offset,
                    objective.value(best) + constant,
                    objective.expected_length(best),
                )
            )
        columns = np.array(rows).T
        names = ("kl_coef", "kl", "expected_reward", "objective", "expected_length")
        return Bunch(**dict(zip(names, columns, strict=True)))
