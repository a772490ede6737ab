"""Bigram problems small enough to write out every document."""

import itertools

import numpy as np
import scipy.sparse as sp

from sklearn_codex.exact import NGramObjective, arc_reward, bigram_model

KINDS = ["dense", "zeros", "sparse", "backoff"]


def random_model(kind, rng, n_columns):
    """A model whose rows are dense, have zeros, are sparse, or sparse with back-off."""
    initial = rng.dirichlet(np.ones(n_columns))
    if kind == "dense":
        return bigram_model(rng.dirichlet(np.ones(n_columns), size=n_columns), initial)
    rows = np.zeros((n_columns, n_columns))
    for row in rows:
        followers = rng.permutation(n_columns)[: max(2, n_columns // 2)]
        row[followers] = rng.dirichlet(np.ones(len(followers)))
    if kind == "zeros":
        return bigram_model(rows, initial)
    if kind == "sparse":
        return bigram_model(sp.csr_array(rows), initial)
    share = rng.uniform(0.05, 0.9, n_columns)
    share[0], share[-1] = 1.0, 0.0
    matrix = sp.csr_array((1.0 - share)[:, np.newaxis] * rows)
    matrix.eliminate_zeros()
    unigram = rng.dirichlet(np.ones(n_columns))
    return bigram_model(matrix, initial, backoff=share, unigram=unigram)


def random_problem(kind, seed, *, n_columns=4, length=3, **settings):
    rng = np.random.default_rng(seed)
    model = random_model(kind, rng, n_columns)
    settings = {"kl_coef": float(rng.uniform(0.3, 2.0))} | settings
    return problem_of(model, rng.standard_normal(n_columns), length, **settings)


def problem_of(model, reward, length, **settings):
    """The problem of a reward (V,) of each token."""
    return NGramObjective.of_model(model, arc_reward(model, reward), max_length=length, **settings)


def random_tilt(problem, seed, spread=1.0):
    shape = (problem.max_length, problem.trie.n_tokens)
    return spread * np.random.default_rng(seed).standard_normal(shape)


def tilted(problem, log_tilt):
    """The policy that multiplies the reference by e^tilt (V,), at each position if (H, V)."""
    rows = [
        problem.moved(problem.start, arc_reward(problem.trie, t)) for t in np.atleast_2d(log_tilt)
    ]
    return np.array(rows) if np.ndim(log_tilt) > 1 else rows[0]


def contexts_of(problem):
    """The context (V,) after each token; the root for those that have none."""
    return np.maximum(problem.trie.context_of_arc[: problem.trie.n_tokens], 0)


def rows_of(problem, log_prob):
    """Probabilities (V, V) of the next token given the last, and of the first (V,)."""
    model = problem.policy_model(log_prob)
    first = model.next_log_prob(np.array([problem.trie.start]))[0]
    return np.exp(model.next_log_prob(contexts_of(problem))), np.exp(first)


class Documents:
    """Every document of a problem, its reward and its probability under the reference."""

    def __init__(self, problem):
        self.problem = problem
        n_columns, length = problem.trie.n_tokens, problem.max_length
        self.tokens = np.array(list(itertools.product(range(n_columns), repeat=length)))
        self.reward = problem.token_reward[:n_columns][self.tokens].sum(axis=1)
        self.rows, self.initial = rows_of(problem, problem.reference_log_prob)
        self.prob = self._chain(lambda h: self.rows, self.initial)

    def _chain(self, transition, initial):
        prob = initial[self.tokens[:, 0]]
        for h in range(1, self.tokens.shape[1]):
            prob = prob * transition(h)[self.tokens[:, h - 1], self.tokens[:, h]]
        return prob

    def under(self, log_tilt):
        """Probabilities under the policy of a tilt (H, V), by its definition."""

        def tilted(prob, h):
            weights = prob * np.exp(log_tilt[h])
            return weights / weights.sum(axis=-1, keepdims=True)

        return self._chain(lambda h: tilted(self.rows, h), tilted(self.initial, 0))

    def kl(self, prob, other=None):
        other = self.prob if other is None else other
        shown = prob > 0
        return prob[shown] @ np.log(prob[shown] / other[shown])

    def optimum(self):
        """Probabilities of the best policy over documents, and J*."""
        weights = self.prob * np.exp(self.reward / self.problem.kl_coef)
        return weights / weights.sum(), self.problem.kl_coef * np.log(weights.sum())

    def marginals(self, prob):
        n_columns = self.problem.trie.n_tokens
        return np.array([np.bincount(column, prob, n_columns) for column in self.tokens.T])

    def conditional(self, prob, position):
        """P(token at a position | token before) (V, V) of documents of these probabilities."""
        pairs = np.zeros((self.problem.trie.n_tokens,) * 2)
        np.add.at(pairs, (self.tokens[:, position - 1], self.tokens[:, position]), prob)
        return pairs / pairs.sum(axis=1, keepdims=True)
