"""Pairs of documents, models that have stated probabilities, for DPO over n-grams."""

import numpy as np
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.frozen import FrozenEstimator

from sklearn_codex import NGramLM
from sklearn_codex._ngrams.backoff import BackoffModel

PAIRS = [
    ("a b", "b a"),
    ("c a b d", "a c"),
    ("b b", "a b"),
    ("a a b", "a c d"),
    ("d a", "a b a"),
    ("c", "a b c b"),
]
LABELS = [1, 1, 0, 1, 0, 0]
PROMPTS = ["a", "c a", "", "b", "d d d", "a"]
PROMPTED = [(prompt, *pair) for prompt, pair in zip(PROMPTS, PAIRS, strict=True)]


def model_on(trie, event_log_prob, length=4):
    """A fitted language model without words that has these probabilities."""
    counts = sparse.csr_array(np.ones((1, trie.n_events)))
    model = NGramLM(trie.order)
    model.vectorizer_, model._read_trie, model.order_ = None, trie, trie.order
    model._backoff = BackoffModel.of_events(trie, event_log_prob)
    model.n_features_in_, model.document_length_ = trie.n_events, length
    model.event_count_, model.n_tokens_, model.n_documents_ = counts.sum(axis=0), 1.0, 1.0
    return FrozenEstimator(model)


def differences(trie, pairs):
    sides = []
    for side in (0, 1):
        ids = np.array([token for pair in pairs for token in pair[side]])
        starts = np.cumsum([0, *(len(pair[side]) for pair in pairs)])
        sides.append(trie.events(ids, starts))
    return sparse.csr_array(sides[0] - sides[1])


def random_pairs(trie, seed, n=8):
    rng = np.random.default_rng([seed, 1])
    end = [trie.eos] if trie.eos >= 0 else []
    body = [token for token in range(trie.n_tokens) if token != trie.eos]
    return [
        tuple([*rng.choice(body, rng.integers(1, 6)).tolist(), *end] for _ in "ab")
        for _ in range(n)
    ]


def assert_same_bits(one, other):
    for name in ("token_reward_", "reference_log_prob_", "arc_log_prob_", "backoff_log_weight_"):
        assert_array_equal(getattr(one, name), getattr(other, name))
    assert_array_equal(one._initial, other._initial)
    assert one.kl_ == other.kl_
