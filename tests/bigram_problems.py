"""Bigram problems small enough to write out every document."""

import itertools

import numpy as np
import scipy.sparse as sp

from sklearn_codex.sequential import BigramObjective, BigramReference

KINDS = ["dense", "zeros", "sparse", "backoff"]


def random_reference(kind, rng, n_columns):
    """A reference whose rows are dense, have zeros, are sparse, or sparse with back-off."""
    initial = rng.dirichlet(np.ones(n_columns))
    if kind == "dense":
        return BigramReference(rng.dirichlet(np.ones(n_columns), size=n_columns), initial)
    rows = np.zeros((n_columns, n_columns))
    for row in rows:
        followers = rng.permutation(n_columns)[: max(2, n_columns // 2)]
        row[followers] = rng.dirichlet(np.ones(len(followers)))
    if kind == "zeros":
        return BigramReference(rows, initial)
    if kind == "sparse":
        return BigramReference(sp.csr_array(rows), initial)
    share = rng.uniform(0.05, 0.9, n_columns)
    share[0], share[-1] = 1.0, 0.0
    matrix = sp.csr_array((1.0 - share)[:, np.newaxis] * rows)
    matrix.eliminate_zeros()
    return BigramReference(matrix, initial, share, rng.dirichlet(np.ones(n_columns)))


def random_problem(kind, seed, *, n_columns=4, length=3, **settings):
    rng = np.random.default_rng(seed)
    reference = random_reference(kind, rng, n_columns)
    settings = {"kl_coef": float(rng.uniform(0.3, 2.0))} | settings
    return BigramObjective(reference, rng.standard_normal(n_columns), length, **settings)


def random_tilt(problem, seed, spread=1.0):
    shape = (problem.length, problem.reference.n_columns)
    return spread * np.random.default_rng(seed).standard_normal(shape)


def written_out(problem):
    """The same problem with a dense reference."""
    reference = BigramReference(problem.reference.toarray(), problem.reference.initial)
    return BigramObjective(reference, problem.token_reward, problem.length, problem.kl_coef)


class Documents:
    """Every document of a problem, its reward and its probability under the reference."""

    def __init__(self, problem):
        self.problem = problem
        n_columns = problem.reference.n_columns
        self.tokens = np.array(list(itertools.product(range(n_columns), repeat=problem.length)))
        self.reward = problem.token_reward[self.tokens].sum(axis=1)
        self.prob = self._chain(lambda h: problem.reference.toarray(), problem.reference.initial)

    def _chain(self, transition, initial):
        prob = initial[self.tokens[:, 0]]
        for h in range(1, self.problem.length):
            prob = prob * transition(h)[self.tokens[:, h - 1], self.tokens[:, h]]
        return prob

    def under(self, log_tilt):
        """Probabilities under the policy of a tilt (H, V), by its definition."""

        def tilted(prob, h):
            weights = prob * np.exp(log_tilt[h])
            return weights / weights.sum(axis=-1, keepdims=True)

        reference = self.problem.reference
        return self._chain(lambda h: tilted(reference.toarray(), h), tilted(reference.initial, 0))

    def kl(self, prob, other=None):
        other = self.prob if other is None else other
        shown = prob > 0
        return prob[shown] @ np.log(prob[shown] / other[shown])

    def optimum(self):
        """Probabilities of the best policy over documents, and J*."""
        weights = self.prob * np.exp(self.reward / self.problem.kl_coef)
        return weights / weights.sum(), self.problem.kl_coef * np.log(weights.sum())

    def marginals(self, prob):
        n_columns = self.problem.reference.n_columns
        return np.array([np.bincount(column, prob, n_columns) for column in self.tokens.T])

    def conditional(self, prob, position):
        """P(token at a position | token before) (V, V) of documents of these probabilities."""
        pairs = np.zeros((self.problem.reference.n_columns,) * 2)
        np.add.at(pairs, (self.tokens[:, position - 1], self.tokens[:, position]), prob)
        return pairs / pairs.sum(axis=1, keepdims=True)
