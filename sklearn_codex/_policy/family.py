"""The families of policies: what an optimiser has to know of what policies are made of."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.linear_model import Ridge
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

from sklearn_codex._categorical import FloatArray, IntArray, normalize_log, safe_log
from sklearn_codex._data.fitted_models import unwrap
from sklearn_codex._data.vectorizers import first_difference, token_names
from sklearn_codex._language.distributions import BackoffDistribution
from sklearn_codex._ngrams.backoff import BackoffModel, is_part_of
from sklearn_codex._ngrams.trie import Trie
from sklearn_codex._policy.ngram_refit import choose_strength, nearest_policy
from sklearn_codex._policy.ngram_tilt import NGramTilt
from sklearn_codex._policy.problem import PolicyProblem, unigram_objective
from sklearn_codex._policy.tilts import Tilt, TokenTilt
from sklearn_codex._rollouts import Rollouts
from sklearn_codex.exact import NGramObjective
from sklearn_codex.exact._eos_length import MAX_LENGTH
from sklearn_codex.exact._ngram_events import check_events
from sklearn_codex.exact._ngram_kernel import ContextKernel
from sklearn_codex.exact._objective import Objective

_MASS_ERROR = 1e-6
_VAST = 1e100  # Of a reward: sums of squares have to stay within floats.


@dataclass(frozen=True)
class TokenFamily:
    """Policies of independent tokens, arrays (V,) over the columns of documents."""

    def documents(self, counts: sparse.csr_array) -> sparse.csr_array:
        """Return documents (n, V) in the columns of policies."""
        return counts

    def of_documents(self, values: FloatArray) -> FloatArray:
        """Return values (V,) of columns of policies as those of columns of documents."""
        return values

    def given_prompt(self, log_prob: FloatArray) -> FloatArray:
        """Return log-probabilities (n_columns,) of a policy, given the prompt: as they are."""
        return log_prob

    def is_token(self, n_columns: int) -> FloatArray:
        """Return how many tokens of a document each column of policies (n_columns,) stands for."""
        return np.ones(n_columns)

    @property
    def reward_features(self) -> sparse.csr_array | None:
        """The map from columns of policies to what a reward is learned of, None for themselves."""
        return None

    @property
    def column_kind(self) -> str:
        """What columns of policies are called."""
        return "token(s)"

    def column_name(self, column: int, names: Any) -> int | str:
        """Return the name of a column of policies, by those (n_columns,) of documents or None."""
        return column if names is None else str(names[column])

    def tilt(self, reference: FloatArray, kl_coef: float) -> Tilt:
        """Return the policies that are a reference (V,), tilted."""
        return TokenTilt(reference, kl_coef)

    def count_tokens(self, documents: sparse.csr_array) -> float:
        """Return how many tokens documents (n, V) have."""
        return float(documents.sum())

    def learn_reward(self, documents: sparse.csr_array, rewards: FloatArray) -> Ridge:
        """Return the ridge regression of rewards on documents (n, V)."""
        return _ridge(documents, rewards)

    def names(self, names: Any) -> Any:
        """Return the names (V,) of tokens by those of columns, None where there are none."""
        return names

    def objective(
        self, reference: FloatArray, *, subject: str, initial: FloatArray | None = None, **own: Any
    ) -> Objective:
        """Return the objective without a reward; others are those of ``unigram_objective``."""
        if own["eos"] is not None:
            _check_longest(subject, "max_length", own["max_length"])
        return unigram_objective(reference, **own)

    def fitted(self, log_prob: FloatArray) -> dict[str, Any]:
        """Return the attributes of an estimator by which it is a policy."""
        return {"token_log_prob_": log_prob}

    def log_uses(self, objective: Objective, log_prob: FloatArray) -> FloatArray:
        """Return the logarithm of how often (V,) a token of a policy is each one."""
        return log_prob

    def begins(self, objective: Objective) -> tuple[IntArray, FloatArray]:
        """Return where documents start: contexts (k,), of which there is one, and shares (k,)."""
        return np.zeros(1, np.intp), np.ones(1)

    def contexts_after(self, prompts: sparse.csr_array) -> IntArray:
        """Return the contexts (n,) after prompts (n, V)."""
        return np.zeros(prompts.shape[0], np.intp)

    def sample(self, problem: PolicyProblem, contexts: IntArray, rng: Any, **cut: Any) -> Rollouts:
        """Draw a document of the reference after each context (n,)."""
        return problem.sample(problem.start, len(contexts), rng, **cut)

    def count(self, rollouts: Rollouts, weight: FloatArray) -> FloatArray:
        """Return the sum (V,) of weights (n_tokens,) of tokens drawn."""
        return np.bincount(rollouts.tokens, weight, rollouts.n_columns).astype(np.float64)

    def refined(self, log_prob: FloatArray, counts: FloatArray, strength: float) -> FloatArray:
        """Return the posterior mean (V,) after counts (V,) of a policy worth some tokens."""
        return normalize_log(np.logaddexp(safe_log(counts), safe_log(strength) + log_prob))

    def prior_strength(self, log_prob: FloatArray, seen: FloatArray, held_out: FloatArray) -> float:
        """Return the strength of the prior where nobody gave one: a token."""
        return 1.0

    def policy(self, given: Any, estimator: Any) -> FloatArray:
        """Return a policy (V,) given as an array or as a fitted language model."""
        model = unwrap(given)
        if isinstance(model, BackoffModel) or hasattr(model, "predict_log_proba"):
            found = _model_of(model, estimator)
            if found.trie.order > 1:
                raise ValueError(
                    f"{type(estimator).__name__} is a policy of single tokens, got one of n-grams "
                    f"of {found.trie.order} tokens to evaluate. Evaluate it by an optimiser whose "
                    "own policy is of n-grams."
                )
            given = found.root_log_prob
        log_prob = check_array(
            given, ensure_2d=False, ensure_all_finite=False, input_name="log_prob"
        )
        shape = estimator.reference_log_prob_.shape
        if log_prob.shape != shape:
            raise ValueError(
                f"log_prob should have the shape {shape} of the policy, got {log_prob.shape}."
            )
        total = float(np.exp(log_prob).sum())
        if not np.isclose(total, 1.0, rtol=0.0, atol=_MASS_ERROR):
            raise ValueError(
                "log_prob should be natural logarithms of probabilities that sum to 1, got a sum "
                f"of {total:.6g}."
            )
        return log_prob


@dataclass(frozen=True)
class NGramFamily:
    """Policies of n-grams, arrays (E,) over the events of a trie.

    Parameters
    ----------
    trie : Trie
        What policies are made of.
    read_trie : Trie
        Whose events the columns of documents are: the same, or one of a higher order.
    """

    trie: Trie
    read_trie: Trie

    def documents(self, counts: sparse.csr_array) -> sparse.csr_array:
        """Return documents (n, columns) as events (n, E) of policies."""
        if self.trie.order == self.read_trie.order:
            return counts
        return sparse.csr_array(counts @ self.read_trie.projection(self.trie))

    def of_documents(self, values: FloatArray) -> FloatArray:
        """Return values (E,) of columns of policies as those (n_columns,) of documents."""
        if self.trie.order == self.read_trie.order:
            return values
        of_columns: FloatArray = self.read_trie.projection(self.trie) @ values
        return of_columns

    def given_prompt(self, log_prob: FloatArray) -> FloatArray:
        """Return log-probabilities (n_columns,) of a policy, given the prompt: as they are."""
        return log_prob

    def is_token(self, n_columns: int) -> FloatArray:
        """Return how many tokens of a document each column of policies (n_columns,) stands for."""
        return (np.arange(n_columns) < self.trie.n_arcs).astype(np.float64)

    @property
    def reward_features(self) -> sparse.csr_array | None:
        """The map from columns of policies to what a reward is learned of, None for themselves."""
        return self.trie.cumulative

    @property
    def column_kind(self) -> str:
        """What columns of policies are called."""
        return "n-gram(s)"

    def column_name(self, column: int, names: Any) -> int | str:
        """Return the name of a column of policies, by those (n_columns,) of documents or None."""
        if names is None:
            return column
        arcs, contexts = self.trie.spell(names[: self.trie.n_tokens])
        return [*arcs, *(f"{context}  (backed off)" for context in contexts[1:])][column]

    def tilt(self, reference: FloatArray, kl_coef: float) -> Tilt:
        """Return the policies that are a reference (E,), tilted by the weights of n-grams."""
        return NGramTilt(self.trie, reference, kl_coef)

    def count_tokens(self, documents: sparse.csr_array) -> float:
        """Return how many tokens documents (n, E) have."""
        return float(documents[:, : self.trie.n_arcs].sum())

    def learn_reward(self, documents: sparse.csr_array, rewards: FloatArray) -> Ridge:
        """Return the ridge regression of rewards on counts of n-grams, as a model of events (E,).

        An n-gram counts for those that it ends with, so that what is learned of a token holds in
        contexts that were never seen.
        """
        ridge = _ridge(documents @ self.trie.cumulative, rewards)
        ridge.coef_, ridge.n_features_in_ = self.trie.cumulative @ ridge.coef_, self.trie.n_events
        return ridge

    def names(self, names: Any) -> Any:
        """Return the names (V,) of tokens by those of columns, None where there are none."""
        return None if names is None else names[: self.trie.n_tokens]

    def objective(
        self,
        reference: FloatArray,
        *,
        length: int | None,
        eos: int | None,
        max_length: int | None,
        subject: str,
        initial: FloatArray | None = None,
        **settings: Any,
    ) -> Objective:
        """Return the objective without a reward.

        Parameters
        ----------
        reference : ndarray of shape (E,)
            The reference policy.
        length : int or None
            Tokens of documents, where there is no end-of-sequence token.
        eos : int or None
            The end-of-sequence token, which the trie knows.
        max_length : int or None
            Tokens at which documents that end by themselves are cut.
        subject : str
            Who asks, for messages.
        initial : ndarray of shape (C,) or None
            How often documents start in each context.
        **settings
            Other parameters of :class:`NGramObjective`.
        """
        name, longest = ("response_length", length) if eos is None else ("max_length", max_length)
        _check_longest(subject, name, longest)
        return NGramObjective(
            reference,
            np.zeros(self.trie.n_events),
            self.trie,
            max_length=longest,
            initial=initial,
            **settings,
        )

    def fitted(self, log_prob: FloatArray) -> dict[str, Any]:
        """Return the attributes of an estimator by which it is a policy."""
        return {"_backoff": BackoffModel.of_events(self.trie, log_prob)}

    def log_uses(self, objective: Objective, log_prob: FloatArray) -> FloatArray:
        """Return the logarithm of the expected tokens (A,) of a document drawn by each n-gram."""
        return safe_log(objective.occurrences(log_prob)[: self.trie.n_arcs])

    def begins(self, objective: Any) -> tuple[IntArray, FloatArray]:
        """Return where documents start: contexts (k,), and shares (k,)."""
        contexts: IntArray = np.flatnonzero(objective.initial).astype(np.intp)
        return contexts, objective.initial[contexts]

    def contexts_after(self, prompts: sparse.csr_array) -> IntArray:
        """Return the contexts (n,) of policies after prompts (n, n_columns)."""
        model = BackoffModel.uniform(self.trie)
        return BackoffDistribution(model, self.read_trie).contexts_after(prompts).astype(np.intp)

    def sample(self, problem: PolicyProblem, contexts: IntArray, rng: Any, **cut: Any) -> Rollouts:
        """Draw a document of the reference after each context (n,)."""
        objective: Any = problem.objective
        return objective.sample(
            problem.start, len(contexts), rng, names=problem.names, contexts=contexts, **cut
        )

    def count(self, rollouts: Any, weight: FloatArray) -> FloatArray:
        """Return the sum (E,) of weights (n_tokens,) of tokens drawn over their events."""
        return rollouts.sum_of_events(weight)

    def refined(self, log_prob: FloatArray, counts: FloatArray, strength: float) -> FloatArray:
        """Return the tilt (E,) that is likeliest after counts (E,) and tokens of the policy.

        A policy is worth ``strength`` tokens in each context, of its own frequencies.
        """
        prior = strength * self._prior(log_prob)
        return nearest_policy(self.trie, log_prob, counts + prior)

    def prior_strength(self, log_prob: FloatArray, seen: FloatArray, held_out: FloatArray) -> float:
        """Return the strength at which events (E,) held out are likeliest, refined by others."""
        return choose_strength(self.trie, log_prob, self._prior(log_prob), seen, held_out)

    def _prior(self, log_prob: FloatArray) -> FloatArray:
        """Return the events (E,) of one token of a policy in each context."""
        objective: Any = self.objective(
            log_prob, length=1, eos=None, max_length=None, subject="refined"
        )
        prior: FloatArray = objective.events_after(log_prob, np.ones(self.trie.n_contexts))
        return prior

    def policy(self, given: Any, estimator: Any) -> FloatArray:
        """Return a policy (E,) given as an array or as a model of n-grams, or of single tokens."""
        subject = f"{type(estimator).__name__}.evaluate"
        model = unwrap(given)
        if isinstance(model, BackoffModel) or hasattr(model, "predict_log_proba"):
            found = _model_of(model, estimator)
            if not is_part_of(found.trie, self.trie):
                raise ValueError(
                    f"{subject} takes models of the n-grams of its policy, of {self.trie.order} "
                    f"tokens at most, or of the shorter ones of these, got a model of order "
                    f"{found.trie.order} with {found.trie.n_arcs} n-grams of its own. Fit it with "
                    "the vectorizer of the policy, in FrozenEstimator."
                )
            return found.on(self.trie).event_log_prob
        log_prob = check_events(given, "log_prob", subject=subject, trie=self.trie)
        sums = ContextKernel(self.trie, log_prob).log_sums()
        wrong = ~(np.abs(sums) <= _MASS_ERROR)
        if wrong.any():
            context = int(np.argmax(wrong))
            raise ValueError(
                f"{subject} needs log_prob, natural logarithms of probabilities of the next token "
                f"that sum to 1 after each context, got {np.exp(sums[context]):.6g} after context "
                f"{context}. Use event_log_prob of a back-off model."
            )
        return log_prob


def _ridge(counts, rewards):
    """Return the ridge regression of rewards on counts, of vast ones in a unit of their size."""
    largest = float(np.abs(rewards).max())
    unit = 1.0 if largest < _VAST else 2.0 ** np.floor(np.log2(largest))
    ridge = Ridge(tol=1e-10).fit(counts, rewards / unit)
    ridge.coef_, ridge.intercept_ = ridge.coef_ * unit, ridge.intercept_ * unit
    return ridge


def _check_longest(subject, name, length):
    """Check that documents whose tokens are gone through one by one are not too long for that."""
    if length is not None and length not in MAX_LENGTH:
        raise ValueError(
            f"{subject} got {name}={length}, and goes through the tokens of a document one by one, "
            f"at most {MAX_LENGTH.right:,} of them. Decrease {name}."
        )


Family = TokenFamily | NGramFamily


def family_of(model: Any) -> tuple[Family, FloatArray]:
    """Return the family that a fitted language model is of, and the model as a policy of it."""
    trie = getattr(model, "_read_trie", None)
    if trie is None or trie.order == 1:
        return TokenFamily(), model.token_log_prob_
    return NGramFamily(model._backoff.trie, trie), model._backoff.event_log_prob


def _model_of(model: Any, estimator: Any) -> BackoffModel:
    """Return a fitted language model, over the tokens of an estimator, as a back-off model."""
    if isinstance(model, BackoffModel):
        return model
    check_is_fitted(model)
    names, own = token_names(model), estimator._family.names(token_names(estimator))
    found = getattr(model, "_backoff", None)
    if found is None:
        found = BackoffModel.of_tokens(model.token_log_prob_)
    if names is not None and own is not None:
        names = names[: found.trie.n_tokens]
        if len(names) != len(own) or not np.array_equal(names, own):
            differ = f"{len(names)} where its own are {len(own)}"
            if len(names) == len(own):
                differ = f"the first difference is {first_difference(names, own)}"
            raise ValueError(
                f"{type(estimator).__name__} got a {type(model).__name__} of other tokens to "
                f"evaluate: {differ}. Fit it with the same vectorizer, in FrozenEstimator."
            )
    return found
