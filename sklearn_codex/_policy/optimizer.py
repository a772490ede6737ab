"""What every policy optimizer shares: its inputs, the problem it solves and the figures of it."""

import warnings

import numpy as np
from sklearn.base import DensityMixin
from sklearn.linear_model import Ridge
from sklearn.utils import Bunch, check_array, check_consistent_length, check_random_state
from sklearn.utils.validation import check_is_fitted

from sklearn_codex._categorical import (
    FloatArray,
    cross_entropy,
    normalize_log,
    root_mean_square,
)
from sklearn_codex._checks.matrices import check_frame
from sklearn_codex._checks.numbers import COUNT, check_number
from sklearn_codex._data.documents import read_documents
from sklearn_codex._data.fitted_models import IncomingModel, freeze
from sklearn_codex._data.vectorizers import token_names
from sklearn_codex._language.categorical import CategoricalLanguageModelMixin
from sklearn_codex._language.unigram_lm import UnigramLM
from sklearn_codex._policy.problem import build_problem, unigram_objective
from sklearn_codex._stage import Stage
from sklearn_codex.exact import LengthExplosionWarning

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


class PolicyOptimizerMixin(CategoricalLanguageModelMixin, DensityMixin):
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
    )

    token_log_prob_: FloatArray

    @property
    def _policy_log_prob(self) -> FloatArray:
        """The optimised policy in the columns of its family, as objectives take it."""
        return self.token_log_prob_

    def _prepare(self, X, y, *, prompts=None, seed=None):
        """Resolve seed, reference, lengths, demonstrations and reward; return the counts of X."""
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
        reference = policy.log_prob()
        if reference is None:
            reference = UnigramLM().fit(counts).token_log_prob_
        self.reference_log_prob_ = normalize_log(reference)
        mean_length = max(1, round(float(counts.sum()) / counts.shape[0]))
        self.document_length_ = self._mean_document_length = mean_length
        eos = self._eos_column()
        _check_length_parameters(parameters, eos, subject)
        self.response_length_ = None
        if eos is None:
            self.response_length_ = self.response_length or self.document_length_
            self.document_length_ = self.response_length_
        self.frequencies_ = None
        if parameters["sft_coef"] > 0:
            self.frequencies_ = _frequencies(counts, f"{subject} with sft_coef > 0")
        self.reward_model_ = self.reward_model
        if self.reward_model is None:
            rewards = _check_rewards(y, counts, subject)
            self.reward_model_ = freeze(Ridge(tol=1e-10).fit(counts, rewards))
        return counts

    def _problem_parameters(self):
        """Return the parameters by name, those that this optimiser has not at what they mean."""
        return _LEFT_OUT | self.get_params(deep=False)

    def _build_objective(self):
        """Return the objective, which says what policies there are, without reward and rules."""
        names = ("kl_coef", "reward_coef", "sft_coef", "entropy_coef", "missing_eos_penalty")
        parameters = self._problem_parameters()
        return unigram_objective(
            self.reference_log_prob_,
            length=self.response_length_,
            eos=self._eos_column(),
            max_length=self.max_length,
            frequencies=self.frequencies_,
            **{name: parameters[name] for name in names},
        )

    def _build_problem(self, *, warn=True):
        """Return the problem from what :meth:`_prepare` resolved, with draws of its own."""
        subject, parameters = type(self).__name__, self._problem_parameters()
        problem = build_problem(
            self._build_objective(),
            self.reward_model_,
            np.random.RandomState([self._seed, 0]),
            names=token_names(self),
            rules=parameters["rules"],
            normalize_reward=parameters["normalize_reward"],
            subject=subject,
        )
        objective = problem.objective
        if objective.longest is not None:
            return problem
        cut = max(_SHORTEST_CUT, _CUT_FACTOR * self._mean_document_length)
        if not problem.adds_reward:
            return problem.with_max_length(cut)
        if objective.length_explodes:
            if warn:
                _warn_of_explosion(objective, cut, subject)
            return problem.with_max_length(cut)
        return problem

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
        weight = problem.objective.reward_coef
        return {
            "token_log_prob_": log_prob,
            "token_reward_": problem.reward.token_reward,
            "reward_mean_": problem.reward_mean,
            "reward_scale_": given / weight if weight else 1.0,
            "kl_coef_": problem.objective.kl_coef,
            "optimal_log_prob_": problem.objective.optimum()
            if problem.is_additive and problem.objective.has_optimum
            else None,
            "optimality_gap_": gap,
            "optimality_gap_se_": gap_se,
            "objective_": result.objective,
            "expected_reward_": result.expected_reward,
            "expected_length_": result.length,
            "document_length_": max(1, round(result.length)),
            "max_length_": problem.objective.max_length,
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
            ``entropy``, ``length`` (tokens), ``missing_eos_rate`` (share of documents that are
            cut), ``sft_loss`` (nats a token, on the documents of ``fit``), ``rule_rates``.

        Raises
        ------
        ValueError
            If ``log_prob`` is no policy over the vocabulary, or ``n_samples`` no integer of at
            least 1.
        """
        check_is_fitted(self)
        n_samples = check_number(
            n_samples, "n_samples", subject=f"{type(self).__name__}.evaluate", interval=COUNT
        )
        log_prob = self._policy_log_prob if log_prob is None else self._check_log_prob(log_prob)
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

    def _check_log_prob(self, log_prob):
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
        return log_prob

    # Not the score of a language model, so not of weighted documents.
    def score(self, X, y=None):  # type: ignore[override]
        """Return the objective, or the off-policy value of logged rewards; greater is better.

        Parameters
        ----------
        X : sequence of str or array-like of shape (n_documents, V)
            Without ``y``, documents on which the demonstrations' cross-entropy is measured, where
            ``sft_coef`` > 0. With ``y``, documents logged by the reference policy.
        y : array-like of shape (n_documents,), default=None
            Logged rewards.

        Returns
        -------
        score : float
            Without ``y`` the objective J; with it, ``off_policy_value(X, y).value``.
        """
        check_is_fitted(self)
        if y is not None:
            return self.off_policy_value(X, y).value
        counts = read_documents(self, X, reset=False)
        value = self.objective_
        if self.frequencies_ is not None and self.sft_coef > 0:
            shown = _frequencies(counts, f"{type(self).__name__} with sft_coef > 0")
            fitted = cross_entropy(self.frequencies_, self._policy_log_prob)
            value += self.sft_coef * (fitted - cross_entropy(shown, self._policy_log_prob))
        return float(value)

    def off_policy_value(self, X, y):
        r"""Return the expected reward of the policy estimated from documents of the reference.

        Parameters
        ----------
        X : sequence of str or array-like of shape (n_documents, V)
            Documents logged by the reference policy.
        y : array-like of shape (n_documents,)
            Their rewards.

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
        counts = read_documents(self, X, reset=False)
        y = _check_rewards(y, counts, type(self).__name__)
        with np.errstate(invalid="ignore"):
            log_ratio = self._policy_log_prob - self.reference_log_prob_
        log_weight = counts @ np.where(np.isnan(log_ratio), 0.0, log_ratio)
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

    def sample(self, n_samples=1, random_state=None, *, max_length=None):
        """Draw documents from the optimised policy.

        Parameters
        ----------
        n_samples : int, default=1
            How many documents.
        random_state : int, RandomState instance or None, default=None
            Source of all draws.
        max_length : int, default=None
            Tokens at which a document is cut where the vocabulary has an end-of-sequence token;
            None means ``max_length_``, or 10,000 where documents are never cut.

        Returns
        -------
        documents : list of str or csr_array of shape (n_samples, V)
            Text (tokens joined by a space, without the end-of-sequence token) where words are
            known, else counts.
        """
        check_is_fitted(self)
        if max_length is None:
            max_length = self.max_length_ or _LONGEST_SAMPLED
        return super().sample(n_samples, random_state, max_length=max_length)

    def token_shift(self, n=10):
        """Return the tokens whose probability rose and fell most.

        Parameters
        ----------
        n : int, default=10
            At most this many of each kind.

        Returns
        -------
        shift : Bunch
            ``risen`` and ``fallen``: lists of (token, log-ratio, change of probability), ordered by
            the change of the probability, largest first.
        """
        check_is_fitted(self)
        n = check_number(n, "n", subject=f"{type(self).__name__}.token_shift", interval=COUNT)
        change = np.exp(self.token_log_prob_) - np.exp(self.reference_log_prob_)
        with np.errstate(invalid="ignore"):
            log_ratio = self.token_log_prob_ - self.reference_log_prob_
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
        super().__setstate__(state)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.positive_only = True
        tags.target_tags.required = self.reward_model is None
        return tags


def _check_length_parameters(parameters, eos, subject):
    """Check that the parameters of length are those of the kind of documents there are."""
    if eos is None:
        if parameters["max_length"] is not None or parameters["missing_eos_penalty"]:
            raise ValueError(
                f"{subject} got max_length={parameters['max_length']} and missing_eos_penalty="
                f"{parameters['missing_eos_penalty']}, but the vocabulary has no end-of-sequence "
                "token, so all documents have response_length tokens. Count with "
                "TokenCounter(eos_token='<eos>'), or leave them out."
            )
    elif parameters["response_length"] is not None:
        raise ValueError(
            f"{subject} got response_length={parameters['response_length']}, but the vocabulary "
            "has an end-of-sequence token, so documents end by themselves. Set max_length to cut "
            "them, or leave response_length at None."
        )
    elif parameters["entropy_coef"]:
        raise ValueError(
            f"{subject} got entropy_coef={parameters['entropy_coef']}, which is defined for "
            "documents of fixed length only. Leave it at 0, or count without eos_token."
        )


def _warn_of_explosion(objective, cut, subject):
    """Warn that no policy is best, naming the smallest safe kl_coef and where documents are cut."""
    warnings.warn(
        f"{objective.explain_explosion(subject)} Documents are cut at {cut} tokens instead; set "
        "max_length to choose.",
        LengthExplosionWarning,
        stacklevel=7,
    )


def _frequencies(counts, subject):
    """Return the token frequencies (V,) of documents (n, V)."""
    total = counts.sum()
    if not total > 0:
        raise ValueError(
            f"{subject} needs demonstrations of at least one token, got {counts.shape[0]} "
            "document(s) with none."
        )
    return counts.sum(axis=0) / total


def _check_rewards(y, counts, subject):
    """Return logged rewards (n_documents,) as floats."""
    y = check_array(check_frame(y, subject), ensure_2d=False, dtype=np.float64, input_name="y")
    if y.ndim != 1:
        raise ValueError(
            f"{subject}: y should be a 1d array of one logged reward per document, got an array of "
            f"shape {y.shape} instead."
        )
    check_consistent_length(counts, y)
    return y
