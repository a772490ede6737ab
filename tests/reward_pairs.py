"""Pairs for tests of the reward model: text and differences, with Bradley-Terry labels."""

import numpy as np
from scipy.special import expit

from sklearn_codex import PairsWithLength

WORDS = np.array(
    ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"]
)
TRUTH = np.linspace(-1, 1, len(WORDS))


def make_text_pairs(n_pairs=300, n_responses=80, seed=0):
    """Pairs of texts, the second of which is now and then empty, with Bradley-Terry labels."""
    rng = np.random.RandomState(seed)
    tokens = [rng.choice(len(WORDS), size=size) for size in rng.poisson(4, n_responses)]
    tokens[0] = tokens[0][:0]
    texts = [" ".join(WORDS[t]) for t in tokens]
    rewards = np.array([TRUTH[t].sum() for t in tokens])
    a, b = rng.randint(n_responses, size=(2, n_pairs))
    y = (rng.rand(n_pairs) < expit(rewards[a] - rewards[b])).astype(int)
    return [(texts[i], texts[j]) for i, j in zip(a, b, strict=True)], y


def make_differences(n_pairs=300, n_features=8, seed=0):
    rng = np.random.RandomState(seed)
    X = rng.randn(n_pairs, n_features)
    y = (rng.rand(n_pairs) < expit(X @ np.linspace(-1, 1, n_features))).astype(int)
    return X, y


def with_length(X):
    """Differences of counts with the lengths that they are of: their row sums."""
    return PairsWithLength(X, np.asarray(X.sum(axis=1)).ravel())


def make_soft_labels(n_pairs=300, n_features=8, seed=0):
    X, _ = make_differences(n_pairs, n_features, seed)
    y = expit(X @ np.linspace(-1, 1, n_features) + np.random.RandomState(1).randn(n_pairs))
    y[:40], y[40:60] = 0.5, 1.0
    return X, y


def assert_same_weights(weights, expected, rtol=1e-5):
    """Coefficients agree relative to the largest of them."""
    assert weights.shape == expected.shape
    assert np.abs(weights - expected).max() <= rtol * np.abs(expected).max()
