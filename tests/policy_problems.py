"""Optimisers on problems whose optimum is known, exactly or by enumeration."""

import itertools
from types import SimpleNamespace

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, logsumexp
from sklearn.frozen import FrozenEstimator

from sklearn_codex import PPOPolicyOptimizer, UnigramLM

TEXTS = ["the cat sat on the mat", "the dog sat", "a cat and a dog ran on", "a good cat", "bad dog"]


def optimizer(problem, **settings):
    settings = {"policy": problem.policy, "reward_model": problem.reward_model} | settings
    return PPOPolicyOptimizer(**settings)


def fitted(problem, seed=0, **settings):
    return optimizer(problem, random_state=seed, **settings).fit(problem.X)


class Enumeration:
    """All documents of a few tokens, so that every expectation is a sum."""

    def __init__(self, reference_log_prob, length, reward, kl_coef, rule=None):
        n_columns = len(reference_log_prob)
        documents = np.array(list(itertools.product(range(n_columns), repeat=length)))
        self.counts = np.array([np.bincount(d, minlength=n_columns) for d in documents], float)
        self.reference_log_prob, self.kl_coef = reference_log_prob, kl_coef
        self.reward = np.asarray(reward(self.counts), dtype=float)
        self.cost = np.zeros(len(documents)) if rule is None else kl_coef * rule(self.counts)

    def value(self, log_prob):
        prob = np.exp(self.counts @ log_prob)
        kl = prob @ (self.counts @ (log_prob - self.reference_log_prob))
        return prob @ (self.reward - self.cost) - self.kl_coef * kl

    def best_policy(self, n_starts=5):
        """The best distribution over single tokens, by a general-purpose optimiser."""
        rng = np.random.default_rng(0)
        n_columns = len(self.reference_log_prob)
        starts = self.reference_log_prob + rng.standard_normal((n_starts, n_columns))
        found = [
            minimize(
                lambda logits: -self.value(log_softmax(logits)),
                start,
                jac="3-point",
                options={"gtol": 1e-8},
            )
            for start in starts
        ]
        return log_softmax(min(found, key=lambda result: result.fun).x)

    def best_value_over_documents(self):
        """The value of the best distribution over whole documents, which no policy exceeds."""
        exponent = self.counts @ self.reference_log_prob
        return self.kl_coef * logsumexp(exponent + (self.reward - self.cost) / self.kl_coef)


class Saturating:
    """A reward for the presence of tokens, however often: it does not add over tokens."""

    def __call__(self, counts):
        counts = counts.toarray() if hasattr(counts, "toarray") else counts
        present = counts > 0
        return 2.0 * present[:, 1] + 1.5 * present[:, 3] - 3.0 * present[:, 0]


class Normalised:
    """A tf-idf-like reward, divided by the norm of the weighted counts."""

    weights = np.array([0.5, -1.0, 2.0, 0.3, 1.5])
    idf = np.array([1.0, 1.2, 1.5, 2.0, 3.0])

    def __call__(self, counts):
        counts = counts.toarray() if hasattr(counts, "toarray") else counts
        weighted = counts * self.idf
        return 4.0 * (weighted @ self.weights) / np.linalg.norm(weighted, axis=1)


def small_problem(reward, length=3):
    reference = np.log([0.35, 0.25, 0.2, 0.15, 0.05])
    policy = UnigramLM(smoothing=0).fit(np.exp(reference)[np.newaxis])
    return SimpleNamespace(
        policy=FrozenEstimator(policy), reward_model=reward, X=np.full((1, 5), length / 5)
    )
