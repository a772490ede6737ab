"""What every policy optimizer shares: its inputs, the problem it solves and the figures of it."""

import warnings

import numpy as np
from sklearn.base import DensityMixin
from sklearn.exceptions import ConvergenceWarning
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
from sklearn_codex._policy.problem import build_problem
from sklearn_codex._stage import Stage
from sklearn_codex.exact import EosObjective, LengthExplosionWarning

_N_EVALUATION = 4096
_LONGEST_SAMPLED = 10_000
# Where length explodes and nobody said at which length documents are cut: so many times the mean.
_CUT_FACTOR = 20
_SHORTEST_CUT = 200
# Share of documents that are cut there from which it is worth a warning.
_CUT_RATE = 0.01
# Times max_rate from which a chance constraint is not kept.
_FAR_BEYOND = 1.25


class PolicyOptimizerMixin(CategoricalLanguageModelMixin, DensityMixin):
    """A language model made from a reference policy and a reward.

    The class has the parameters ``policy``, ``reward_model``, ``kl_coef``, ``reward_coef``,
    ``sft_coef``, ``rules``, ``response_length``, ``max_length``, ``missing_eos_penalty``,
    ``entropy_coef``, ``normalize_reward``, ``vectorizer`` and ``random_state``.
    """

    rlhf_stage = Stage(
        reads=("demonstration", "corpus"),
        provides="policy",
        fills={"policy": "policy", "reward_model": "reward"},
    )

    token_log_prob_: FloatArray

    def _prepare(self, X, y):
        """Resolve reference, lengths, demonstrations and reward; return the counts of X."""
        subject = type(self).__name__
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
        self.document_length_ = self._mean_document_length = self._mean_length(counts)
        self._check_length_parameters(subject)
        self.response_length_ = None
        if self._eos_column() is None:
            self.response_length_ = self.response_length or self.document_length_
            self.document_length_ = self.response_length_
        self.frequencies_ = None
        if self.sft_coef > 0:
            self.frequencies_ = _frequencies(counts, f"{subject} with sft_coef > 0")
        self.reward_model_ = self._resolve_reward_model(counts, y, subject)
        return counts

    @staticmethod
    def _mean_length(counts):
        return max(1, round(float(counts.sum()) / counts.shape[0]))

    def _check_length_parameters(self, subject):
        """Check that the parameters of length are those of the kind of documents there are."""
        if self._eos_column() is None:
            if self.max_length is not None or self.missing_eos_penalty:
                raise ValueError(
                    f"{subject} got max_length={self.max_length} and missing_eos_penalty="
                    f"{self.missing_eos_penalty}, but the vocabulary has no end-of-sequence token, "
                    "so all documents have response_length tokens. Count with "
                    "TokenCounter(eos_token='<eos>'), or leave them out."
                )
        elif self.response_length is not None:
            raise ValueError(
                f"{subject} got response_length={self.response_length}, but the vocabulary has an "
                "end-of-sequence token, so documents end by themselves. Set max_length to cut "
                "them, or leave response_length at None."
            )
        elif self.entropy_coef:
            raise ValueError(
                f"{subject} got entropy_coef={self.entropy_coef}, which is defined for documents "
                "of fixed length only. Leave it at 0, or count without eos_token."
            )

    def _resolve_reward_model(self, counts, y, subject):
        """Return the given reward model, or a ridge regression of logged rewards on counts."""
        if self.reward_model is not None:
            return self.reward_model
        return freeze(Ridge(tol=1e-10).fit(counts, _check_rewards(y, counts, subject)))

    def _build_problem(self, *, warn=True):
        """Return the problem from what :meth:`_prepare` resolved, with draws of its own."""
        subject, eos = type(self).__name__, self._eos_column()
        settings = {
            "names": token_names(self),
            "rules": self.rules,
            "normalize_reward": self.normalize_reward,
            "subject": subject,
            "length": self.response_length_,
            "eos": eos,
            "missing_eos_penalty": self.missing_eos_penalty,
            "kl_coef": self.kl_coef,
            "reward_coef": self.reward_coef,
            "sft_coef": self.sft_coef,
            "frequencies": self.frequencies_,
            "entropy_coef": self.entropy_coef,
        }

        rng = np.random.RandomState([self._seed(), 0])
        problem = build_problem(
            self.reference_log_prob_,
            self.reward_model_,
            rng,
            max_length=self.max_length if eos is not None else None,
            **settings,
        )
        objective = problem.objective
        if not isinstance(objective, EosObjective) or objective.max_length is not None:
            return problem
        cut = max(_SHORTEST_CUT, _CUT_FACTOR * self._mean_document_length)
        if not problem.adds_reward:
            return problem.with_max_length(cut)
        if objective.length_explodes:
            if warn:
                _warn_of_explosion(objective, cut, subject)
            return problem.with_max_length(cut)
        return problem

    def _warn_if_cut(self, objective):
        """Warn where a reward that does not add over tokens made documents as long as it could."""
        if not isinstance(objective, EosObjective) or self.max_length is not None:
            return
        rate = objective.missing_eos_rate(self.token_log_prob_)
        if self.token_reward_ is None and rate > _CUT_RATE:
            warnings.warn(
                f"{type(self).__name__}: {rate:.0%} of the documents of the optimised policy are "
                f"cut at {objective.max_length} tokens, as the reward pays for length. Raise "
                f"kl_coef={self.kl_coef_:g}, price length in the reward, or set max_length to "
                "choose.",
                LengthExplosionWarning,
                stacklevel=3,
            )

    def _warn_if_violated(self, problem, moving=()):
        """Warn where a price that is learned does not keep its chance constraint, or still moves.

        ``moving`` are the names of rules whose price has not come to rest.
        """
        for priced in problem.rules:
            if not (priced.is_learned or priced.is_tracked):
                continue
            rate, most = self.rule_rates_[priced.name], priced.rule.max_rate
            price = self.rule_prices_[priced.name]
            noise = 3.0 * np.sqrt(rate * (1.0 - rate) / _N_EVALUATION)
            too_low = price > 0 and rate + noise + 3.0 / _N_EVALUATION < most / _FAR_BEYOND
            why = None
            if rate - noise > _FAR_BEYOND * most:
                why = "violate"
            elif too_low or priced.name in moving:
                why = "only violate" if too_low else "violate"
            if why is not None:
                warnings.warn(
                    f"{type(self).__name__}: {rate:.1%} of the documents of the optimised policy "
                    f"{why} rule {priced.name!r}, whose max_rate is {most:.3g}, at a price of "
                    f"{price:.3g} nats that has not come to rest. Increase max_iter; if the price "
                    "rises for ever, no policy keeps the rule. tol=0 asks for no warning.",
                    ConvergenceWarning,
                    stacklevel=3,
                )

    def _seed(self):
        """Return the seed of this fit, drawn once from ``random_state``."""
        return self.training_state_["seed"]

    def _draw_seed(self):
        self.training_state_ = {"seed": int(check_random_state(self.random_state).randint(2**31))}

    def _finish(self, problem, log_prob):
        """Set the fitted attributes of a policy that solves a problem.

        Returns
        -------
        problem : PolicyProblem
            The same, without what only seemed to add over tokens where fresh documents show that.
        n_documents : int
            Documents drawn.
        """
        n_documents = 2 if problem.is_additive and not problem.is_tested else _N_EVALUATION
        rng = np.random.RandomState([self._seed(), 1])
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
        length = self.document_length_ if problem.eos is None else max(1, round(result.length))
        return {
            "token_log_prob_": log_prob,
            "token_reward_": problem.reward.token_reward,
            "reward_mean_": problem.reward_mean,
            "reward_scale_": self._reward_scale(problem),
            "kl_coef_": problem.objective.kl_coef,
            "optimal_log_prob_": problem.objective.optimum() if problem.is_additive else None,
            "optimality_gap_": gap,
            "optimality_gap_se_": gap_se,
            "objective_": result.objective,
            "expected_reward_": result.expected_reward,
            "expected_length_": result.length,
            "document_length_": length,
            "max_length_": getattr(problem.objective, "max_length", None),
            "kl_": result.kl,
            "entropy_": result.entropy,
            "penalty_": result.penalty,
            "rule_rates_": result.rule_rates,
            "rule_prices_": problem.reported_prices(log_prob),
        }

    def _reward_scale(self, problem):
        weight = problem.objective.reward_coef
        return self.reward_coef / weight if weight else 1.0

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
        log_prob = self.token_log_prob_ if log_prob is None else self._check_log_prob(log_prob)
        problem = self._build_problem(warn=False).with_kl_coef(self.kl_coef_)
        if self.rule_prices_:
            # Those of training are of tokens where these are of documents.
            prices = self.training_state_.get("prices", self.rule_prices_)
            problem = problem.with_prices(prices)
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

    def score(self, X, y=None):
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
        if self.sft_coef > 0:
            shown = _frequencies(counts, f"{type(self).__name__} with sft_coef > 0")
            fitted = cross_entropy(self.frequencies_, self.token_log_prob_)
            value += self.sft_coef * (fitted - cross_entropy(shown, self.token_log_prob_))
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
            log_ratio = self.token_log_prob_ - self.reference_log_prob_
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

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.positive_only = True
        tags.target_tags.required = self.reward_model is None
        return tags


def _warn_of_explosion(objective, cut, subject):
    """Warn that no policy is best, naming the smallest safe kl_coef and where documents are cut."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        objective.warn_if_length_explodes(subject=subject)
    warnings.warn(
        f"{caught[0].message} Documents are cut at {cut} tokens instead; set max_length to choose.",
        LengthExplosionWarning,
        stacklevel=6,
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
