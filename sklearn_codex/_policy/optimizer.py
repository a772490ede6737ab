"""What every policy optimizer shares: its inputs, the problem it solves and the figures of it."""

from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.base import DensityMixin
from sklearn.utils import Bunch, check_random_state
from sklearn.utils.validation import check_is_fitted

from sklearn_codex._categorical import (
    FloatArray,
    cross_entropy,
    normalize_log,
    root_mean_square,
)
from sklearn_codex._checks.numbers import COUNT, check_number
from sklearn_codex._data.documents import (
    check_prompts,
    count_after,
    read_documents,
    read_prompts,
)
from sklearn_codex._data.fitted_models import IncomingModel, freeze
from sklearn_codex._data.vectorizers import splitter_of, token_names, written_names
from sklearn_codex._language.backoff import BackoffLanguageModelMixin
from sklearn_codex._language.ngram_lm import NGramLM
from sklearn_codex._language.unigram_lm import UnigramLM
from sklearn_codex._policy.family import Family, NGramFamily, TokenFamily
from sklearn_codex._policy.inputs import (
    check_length_parameters,
    check_rewards,
    find_frequencies,
    warn_of_explosion,
)
from sklearn_codex._policy.problem import build_problem
from sklearn_codex._rule_entries import Vocabulary
from sklearn_codex._stage import Stage
from sklearn_codex.rules import read_rules

N_EVALUATION = 4096
_LONGEST_SAMPLED = 10_000
# Where length explodes and nobody said at which length documents are cut: so many times the mean.
_CUT_FACTOR = 20
_SHORTEST_CUT = 200
# Parts of the objective that an optimiser without these parameters knows nothing of.
_LEFT_OUT = {
    "sft_coef": 0.0,
    "rules": None,
    "missing_eos_penalty": 0.0,
    "entropy_coef": 0.0,
    "normalize_reward": False,
}
# Parameters that files of older versions have not, and where they change nothing.
_LATER = {"gae_lambda": 0.95}


class PolicyOptimizerMixin(BackoffLanguageModelMixin, DensityMixin):
    """A language model made from a reference policy and a reward.

    The class has the parameters ``policy``, ``reward_model``, ``kl_coef``, ``reward_coef``,
    ``response_length``, ``max_length``, ``vectorizer`` and ``random_state``; and where it knows of
    them ``sft_coef``, ``rules``, ``missing_eos_penalty``, ``entropy_coef`` and
    ``normalize_reward``.
    """

    rlhf_stage = Stage(
        reads=("demonstration", "corpus"),
        provides="policy",
        fills={"policy": "policy", "reward_model": "reward"},
        starts_after_prompts=True,
    )

    _reads_ngrams = True
    token_log_prob_: FloatArray
    _trie: Any = None

    @property
    def _family(self) -> Family:
        """What the policy is made of."""
        if self._read_trie is None:
            return TokenFamily()
        return NGramFamily(self._trie, self._read_trie)

    @property
    def _policy_log_prob(self) -> FloatArray:
        """The optimised policy in the columns of its family, as objectives take it."""
        return self.token_log_prob_ if self._read_trie is None else self._backoff.event_log_prob

    def _prepare(self, X, y, *, prompts=None, seed=None):
        """Resolve seed, reference, lengths, demonstrations and reward; return documents.

        These are counts (n, V) or (n, E), in the columns of the policy.
        """
        subject, parameters = type(self).__name__, self._problem_parameters()
        if seed is None:
            seed = int(check_random_state(self.random_state).randint(2**31))
        self._seed = seed
        if self.reward_model is None and y is None:
            raise ValueError(
                f"{subject} requires y to be passed, but the target y is None: without a "
                "reward_model it learns from logged rewards. Pass y, one reward per document, or "
                "reward_model=FrozenEstimator(fitted reward model)."
            )
        policy = IncomingModel(self, "policy")
        counts = read_documents(self, X, reset=True, vectorizer=policy.vectorizer)
        documents = self._keep_reference(policy, X, counts, prompts)
        family, eos = self._family, self._eos_column()
        mean_length = max(1, round(family.count_tokens(documents) / documents.shape[0]))
        self.document_length_ = self._mean_document_length = mean_length
        check_length_parameters(parameters, eos, self._read_trie is not None, subject)
        self.response_length_ = None
        if eos is None:
            self.response_length_ = self.response_length or self.document_length_
            self.document_length_ = self.response_length_
        self.frequencies_ = None
        if parameters["sft_coef"] > 0:
            self.frequencies_ = find_frequencies(documents, f"{subject} with sft_coef > 0", family)
        self.reward_model_ = self.reward_model
        if self.reward_model is None:
            rewards = check_rewards(y, documents, subject)
            self.reward_model_ = freeze(family.learn_reward(documents, rewards))
        return documents

    def _keep_reference(self, policy, X, counts, prompts):
        """Keep the reference and what it is made of; return documents in the columns of policies.

        Parameters
        ----------
        policy : IncomingModel
        X : sequence of str or array-like of shape (n_documents, n_columns)
            Documents as they were given.
        counts : csr_array of shape (n_documents, n_columns)
            The same.
        prompts : sequence of str, array-like of shape (n_prompts, n_columns) or None
            What documents of policies start after.
        """
        policy.check_columns()
        self._read_trie, self._trie, self._initial = policy.read_trie, None, None
        for name in ("token_log_prob_", "_backoff"):
            self.__dict__.pop(name, None)
        before = None if prompts is None else read_prompts(self, prompts)
        if self._read_trie is None:
            reference = policy.log_prob()
            if reference is None:
                reference = UnigramLM().fit(counts).token_log_prob_
            self.reference_log_prob_ = normalize_log(reference)
            return counts
        if before is not None and before.shape[0] == counts.shape[0]:
            counts = count_after(self, prompts, X, counts)
        model = policy.backoff
        if model is None:
            order = self._read_trie.order
            model = NGramLM(order, vectorizer=freeze(self.vectorizer_)).fit(counts)._backoff
        self._trie, self.reference_log_prob_ = model.trie, model.event_log_prob
        if before is not None:
            contexts = self._family.contexts_after(before)
            self._initial = np.bincount(contexts, minlength=model.trie.n_contexts) / len(contexts)
        return self._family.documents(counts)

    def _read_after(self, X, prompts):
        """Return documents in the columns of the policy, each counted after its prompt."""
        counts = read_documents(self, X, reset=False)
        if prompts is not None:
            prompts = check_prompts(self, X, prompts)
            if self._read_trie is not None:
                counts = count_after(self, prompts, X, counts)
        return self._family.documents(counts)

    def _problem_parameters(self):
        """Return the parameters by name, those that this optimiser has not at what they mean."""
        return _LEFT_OUT | self.get_params(deep=False)

    def _build_objective(self):
        """Return the objective, which says what policies there are, without reward and rules."""
        names = ("kl_coef", "reward_coef", "sft_coef", "entropy_coef", "missing_eos_penalty")
        parameters = self._problem_parameters()
        return self._family.objective(
            self.reference_log_prob_,
            length=self.response_length_,
            eos=self._eos_column(),
            max_length=self.max_length,
            subject=type(self).__name__,
            frequencies=self.frequencies_,
            initial=self._initial,
            **{name: parameters[name] for name in names},
        )

    def _build_problem(self, *, warn=True):
        """Return the problem from what :meth:`_prepare` resolved, with draws of its own."""
        subject, parameters = type(self).__name__, self._problem_parameters()
        names = self._family.names(written_names(self))
        vocabulary = None if names is None else Vocabulary(names, splitter_of(self.vectorizer_))
        stated = build_problem(
            self._build_objective(),
            self.reward_model_,
            np.random.RandomState([self._seed, 0]),
            names=names,
            rules=read_rules(parameters["rules"], vocabulary, subject=subject, warn=warn),
            normalize_reward=parameters["normalize_reward"],
            subject=subject,
        )
        problem = self._recognise(stated)
        objective = problem.objective
        if objective.longest is not None:
            return problem
        cut = self._cut_length
        is_endless = problem.adds_reward and self._is_endless(objective)
        if is_endless and warn:
            warn_of_explosion(objective, cut, subject)
        if is_endless or not problem.adds_reward:
            return problem.with_max_length(cut)
        return replace(problem, cut=cut) if problem.is_tested else problem

    def _recognise(self, problem):
        """Return the problem with what adds over tokens though nobody said so."""
        return problem

    def _is_endless(self, objective):
        return objective.length_explodes

    @property
    def _cut_length(self) -> int:
        """Tokens at which documents are cut that would be longer and longer."""
        return max(_SHORTEST_CUT, _CUT_FACTOR * self._mean_document_length)

    def _finish(self, problem, log_prob):
        """Set the fitted attributes of a policy that solves a problem.

        Returns
        -------
        problem : PolicyProblem
            The same, without what only seemed to add over tokens where fresh documents show that.
        n_documents : int
            Documents drawn.
        """
        n_documents = 2 if problem.is_additive and not problem.is_tested else N_EVALUATION
        rng = np.random.RandomState([self._seed, 1])
        rollouts = problem.sample(log_prob, n_documents, rng)
        assessed = problem.assess(log_prob, rollouts)
        if assessed.contradicted:
            problem = problem.without_tested()
            assessed = problem.assess(log_prob, rollouts)
        for name, value in self._results(problem, log_prob, rollouts, assessed).items():
            setattr(self, name, value)
        return problem, n_documents

    def _results(self, problem, log_prob, rollouts, assessed):
        """Return the fitted attributes of a policy, by name, from documents drawn from it."""
        result = problem.evaluate(log_prob, rollouts, assessed)
        gap, gap_se = problem.certificate(log_prob, assessed)
        given = self._problem_parameters()["reward_coef"]
        objective = problem.objective
        weight = objective.reward_coef
        knows_optimum = problem.is_additive and not objective.gap_is_bound
        return {
            **self._family.fitted(log_prob),
            "token_reward_": problem.reward.token_reward,
            "reward_mean_": problem.reward_mean,
            "reward_scale_": given / weight if weight else 1.0,
            "kl_coef_": objective.kl_coef,
            "optimal_log_prob_": objective.optimum() if knows_optimum else None,
            "optimality_gap_": gap,
            "optimality_gap_se_": gap_se,
            "objective_": result.objective,
            "objective_se_": result.objective_se,
            "expected_reward_": result.expected_reward,
            "expected_reward_se_": result.expected_reward_se,
            "expected_length_": result.length,
            "document_length_": max(1, round(result.length)),
            "max_length_": objective.max_length if self.response_length_ is None else None,
            "kl_": result.kl,
            "entropy_": result.entropy,
            "penalty_": result.penalty,
            "rule_rates_": result.rule_rates,
            "rule_prices_": problem.reported_prices(log_prob),
        }

    def evaluate(self, log_prob=None, *, n_samples=4096, random_state=0):
        """Return the objective of any policy over the same vocabulary, and its parts.

        Parameters
        ----------
        log_prob : array-like of shape (V,) or (E,), or fitted language model, default=None
            Log-probabilities of a policy; None means the optimised one. Where policies are of
            n-grams, those of events, as ``backoff_model_.event_log_prob`` has them; a model may
            be of the same n-grams, of the shorter ones of them, or of single tokens.
        n_samples : int, default=4096
            Documents drawn where the reward or a rule does not add over tokens; else all is exact.
        random_state : int, RandomState instance or None, default=0
            Source of these draws.

        Returns
        -------
        parts : Bunch
            ``objective`` J and ``expected_reward``, with standard errors ``objective_se`` and
            ``expected_reward_se``; ``kl`` and ``penalty`` (nats a document), ``entropy``,
            ``length`` (tokens), ``missing_eos_rate`` (share of documents that are cut),
            ``sft_loss`` (nats a token, on the documents of ``fit``), ``rule_rates``.

        Raises
        ------
        ValueError
            If ``log_prob`` is no policy over the vocabulary, or over its n-grams, or
            ``n_samples`` no integer of at least 1.
        """
        check_is_fitted(self)
        n_samples = check_number(
            n_samples, "n_samples", subject=f"{type(self).__name__}.evaluate", interval=COUNT
        )
        policy = self._policy_log_prob
        log_prob = policy if log_prob is None else self._family.policy(log_prob, self)
        problem = self._build_problem(warn=False).with_kl_coef(self.kl_coef_)
        if self.rule_prices_:
            # Those of training are of tokens where these are of documents.
            state = getattr(self, "training_state_", {})
            problem = problem.with_prices(state.get("prices", self.rule_prices_))
        rng = check_random_state(random_state)
        is_known = problem.is_additive and not problem.is_tested
        rollouts = problem.sample(log_prob, 2 if is_known else n_samples, rng)
        assessed = problem.assess(log_prob, rollouts)
        if assessed.contradicted:
            problem = problem.without_tested()
            assessed = problem.assess(log_prob, rollouts)
        return problem.evaluate(log_prob, rollouts, assessed)

    # Not the score of a language model, so not of weighted documents.
    def score(self, X, y=None, *, prompts=None):  # type: ignore[override]
        """Return the objective, or the off-policy value of logged rewards; greater is better.

        Parameters
        ----------
        X : sequence of str or array-like of shape (n_documents, V)
            Without ``y``, documents on which the demonstrations' cross-entropy is measured, where
            ``sft_coef`` > 0. With ``y``, documents logged by the reference policy.
        y : array-like of shape (n_documents,), default=None
            Logged rewards.
        prompts : sequence of str (n_documents,), default=None
            What each document follows, where they are text. They make no difference to a policy
            of single tokens.

        Returns
        -------
        score : float
            Without ``y`` the objective J; with it, ``off_policy_value(X, y).value``.
        """
        check_is_fitted(self)
        if y is not None:
            return self.off_policy_value(X, y, prompts=prompts).value
        documents = self._read_after(X, prompts)
        value = self.objective_
        if self.frequencies_ is not None and self.sft_coef > 0:
            subject = f"{type(self).__name__} with sft_coef > 0"
            shown = find_frequencies(documents, subject, self._family)
            fitted = cross_entropy(self.frequencies_, self._policy_log_prob)
            value += self.sft_coef * (fitted - cross_entropy(shown, self._policy_log_prob))
        return float(value)

    def off_policy_value(self, X, y, *, prompts=None):
        r"""Return the expected reward of the policy estimated from documents of the reference.

        Parameters
        ----------
        X : sequence of str or array-like of shape (n_documents, V)
            Documents logged by the reference policy.
        y : array-like of shape (n_documents,)
            Their rewards.
        prompts : sequence of str (n_documents,), default=None
            What each document follows, where they are text. They make no difference to a policy
            of single tokens.

        Returns
        -------
        estimate : Bunch
            ``value``; ``standard_error``, to first order; ``effective_sample_size``, in documents:
            where it is small, the value hangs on a few of them.

        Notes
        -----
        Self-normalised importance sampling, :math:`\sum_i w_i y_i / \sum_i w_i` with
        :math:`w_i = (\pi / ref)(x_i)`, and :math:`(\sum_i w_i)^2 / \sum_i w_i^2` [1]_.

        References
        ----------
        .. [1] Owen, A. B. (2013). "Monte Carlo theory, methods and examples", chapter 9.
        """
        check_is_fitted(self)
        documents = self._read_after(X, prompts)
        y = check_rewards(y, documents, type(self).__name__)
        with np.errstate(invalid="ignore"):
            log_ratio = self._policy_log_prob - self.reference_log_prob_
        log_weight = documents @ np.where(np.isnan(log_ratio), 0.0, log_ratio)
        if np.isneginf(log_weight.max()):
            raise ValueError(
                f"{type(self).__name__}: the policy can produce none of the {len(y)} logged "
                "documents, so they say nothing of its value. Log more, or take out hard rules."
            )
        weight = np.exp(log_weight - log_weight.max())
        weight /= weight.sum()
        value = float(weight @ y)
        return Bunch(
            value=value,
            standard_error=float(
                np.sqrt(len(y)) * root_mean_square(weight * (y - value), np.ones(len(y)))
            ),
            effective_sample_size=float(1.0 / (weight @ weight)),
        )

    def sample(self, n_samples=1, random_state=None, *, max_length=None, prompts=None):
        """Draw documents from the optimised policy.

        Parameters
        ----------
        n_samples : int, default=1
            How many documents; with prompts, how many for each.
        random_state : int, RandomState instance or None, default=None
            Source of all draws.
        max_length : int, default=None
            Tokens at which a document is cut where the vocabulary has an end-of-sequence token;
            None means ``max_length_``, or 10,000 where documents are never cut.
        prompts : sequence of str or array-like of shape (n_prompts, n_columns), default=None
            What documents go on from, without being part of them; None means that they start
            where those of ``fit`` do. They make no difference to a policy of single tokens.

        Returns
        -------
        documents : list of str or csr_array of shape (n_samples, V)
            Text (tokens joined as by `TokenCounter.decode`, without the end-of-sequence token),
            else counts where words are not known. With prompts there are n_prompts * n_samples,
            those of the first prompt first.
        """
        check_is_fitted(self)
        if max_length is None:
            max_length = self.max_length_ or _LONGEST_SAMPLED
        return super().sample(n_samples, random_state, max_length=max_length, prompts=prompts)

    def token_shift(self, n=10):
        """Return the tokens, or the n-grams, whose probability rose and fell most.

        Parameters
        ----------
        n : int, default=10
            At most this many of each kind.

        Returns
        -------
        shift : Bunch
            ``risen`` and ``fallen``: lists of (token, log-ratio, change of probability), ordered by
            the change of the probability, largest first. Of a policy of n-grams, of (n-gram,
            log-ratio, change) of the tokens of a document that are expected to be drawn by each:
            a token counts for the longest known n-gram that it ends, so that all changes add up
            to that of the length.
        """
        check_is_fitted(self)
        n = check_number(n, "n", subject=f"{type(self).__name__}.token_shift", interval=COUNT)
        objective = self._build_objective()
        if self.max_length_ is not None:
            objective = objective.having(max_length=self.max_length_)
        own, before = (
            self._family.log_uses(objective, log_prob)
            for log_prob in (self._policy_log_prob, self.reference_log_prob_)
        )
        change = np.exp(own) - np.exp(before)
        with np.errstate(invalid="ignore"):
            log_ratio = own - before
        names = token_names(self)
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

    def __setstate__(self, state):
        before = state.get("training_state_")
        if isinstance(before, dict) and "seed" in before:
            # As files of the first versions have it; where nothing else was kept, nothing is.
            kept = {name: value for name, value in before.items() if name != "seed"}
            state = state | {"_seed": before["seed"], "training_state_": kept}
            if not kept:
                del state["training_state_"]
        names = self._get_param_names()
        state = {name: value for name, value in _LATER.items() if name in names} | state
        super().__setstate__(state)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.positive_only = True
        tags.target_tags.required = self.reward_model is None
        return tags
