"""Good data of every kind that is taken: text, counts, pairs, labels, models fitted on them."""

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from sklearn.frozen import FrozenEstimator

from sklearn_codex import (
    NGramCounter,
    NGramLM,
    PairsWithLength,
    PPOPolicyOptimizer,
    PreferenceRewardModel,
    ResponseIds,
    TokenCounter,
    UnigramLM,
    make_rlhf_pipeline,
)
from sklearn_codex.exact import AdditiveObjective, EosObjective
from sklearn_codex.rules import BannedNGrams, BannedTokens, Pattern, TokenBudget

N, V = 8, 4
TEXTS = ["a b", "b c d", "a a", "d", "c b a", "b", "a d", "c c"]
OTHERS = ["b a", "c", "d d a", "a b c", "c", "d a", "b b", "a"]
VOTES = [("a", "b"), ("b", "c"), ("c", "a"), ("b", "a")] * 2
PROMPTS = ["p", "p", "q", "q", "r", "r", "s", "s"]
RNG = np.random.RandomState(0)
COUNTS = RNG.poisson(1.0, size=(N, V)) + 1.0
DIFFERENCES = np.round(RNG.normal(size=(N, V)), 1)
MANY = RNG.normal(size=(240, V))
LABELS = np.array([1, 0, 1, 1, 0, 0, 1, 0])
SOFT = np.array([0.9, 0.2, 0.5, 1.0, 0.0, 0.3, 0.7, 0.5])
LOG_P = np.log([0.4, 0.3, 0.2, 0.1])
RECORDS = [
    *({"text": text} for text in TEXTS[:3]),
    *({"prompt": p, "completion": text} for p, text in zip("pq", TEXTS, strict=False)),
    *({"prompt": p, "chosen": a, "rejected": b}
      for p, a, b in zip("pqrs", TEXTS, OTHERS, strict=False)),
]  # fmt: skip


@cache
def fitted(kind: str, text: Any):
    """Return a fitted model that others need, of text, of text with "eos", or of counts."""
    X = TEXTS if text else COUNTS
    if kind == "LM":
        counter = TokenCounter(eos_token="<eos>") if text == "eos" else None
        return FrozenEstimator(UnigramLM(vectorizer=counter).fit(X))
    data = [*zip(TEXTS, OTHERS, strict=True)] if text else DIFFERENCES
    vectorizer = FrozenEstimator(fitted("LM", text).estimator.vectorizer_) if text else None
    reward = FrozenEstimator(PreferenceRewardModel(vectorizer=vectorizer).fit(data, LABELS))
    if kind == "reward":
        return reward
    gold = reward if kind == "watched policy" else None
    return PPOPolicyOptimizer(
        policy=fitted("LM", text), reward_model=reward, gold_reward=gold, max_iter=2, tol=0,
        random_state=0,
    ).fit(X)  # fmt: skip


@cache
def fitted_pipeline():
    """Return a fitted pipeline."""
    return make_rlhf_pipeline(
        UnigramLM(),
        PreferenceRewardModel(),
        PPOPolicyOptimizer(max_iter=2, tol=0, random_state=0),
    ).fit(RECORDS)


def frame_of_pairs():
    """Return the pairs of text as a data frame."""
    return pd.DataFrame({"prompt": PROMPTS, "response_a": TEXTS, "response_b": OTHERS})


def documents(rng, text=None):
    """Return documents, as text or as counts."""
    if text is None:
        text = rng.rand() < 0.5
    if text:
        return list(TEXTS)
    forms = (COUNTS.copy, lambda: sp.csr_array(COUNTS),
             lambda: pd.DataFrame(COUNTS, columns=list("abcd")))  # fmt: skip
    return forms[rng.randint(3)]()


def pairs(rng, text=None):
    """Return pairs, as text or as differences."""
    if text is None:
        text = rng.rand() < 0.5
    if not text:
        forms = (DIFFERENCES.copy, lambda: sp.csr_array(DIFFERENCES),
                 lambda: pd.DataFrame(DIFFERENCES, columns=list("abcd")))  # fmt: skip
        return forms[rng.randint(3)]()
    forms = (
        lambda: [*zip(TEXTS, OTHERS, strict=True)],
        lambda: [*zip(PROMPTS, TEXTS, OTHERS, strict=True)],
        frame_of_pairs,
    )
    return forms[rng.randint(3)]()


def pairs_of_vectors(rng):
    """Return pairs of vectors, as an array of any width, as their ids, or with lengths."""
    vectors = np.stack([DIFFERENCES, -DIFFERENCES], axis=1)
    kind = (np.float64, np.float32, np.float16)[rng.randint(3)]
    forms = (
        lambda: vectors.astype(kind),
        lambda: vectors.tolist(),
        lambda: ResponseIds(rng.randint(N, size=(N, 2)), COUNTS.astype(kind)),
        lambda: PairsWithLength(vectors, np.arange(N)),
    )
    return forms[rng.randint(4)]()


def labels(rng):
    """Return labels of pairs: two classes, names of them, or probabilities."""
    forms = (
        LABELS.copy,
        SOFT.copy,
        lambda: LABELS.astype(bool),
        lambda: np.array(["lost", "won"])[LABELS].tolist(),
        lambda: LABELS.tolist(),
    )
    return forms[rng.choice(5, p=[0.5, 0.2, 0.1, 0.1, 0.1])]()


def groups(rng):
    """Return the prompt of each pair."""
    forms = (lambda: np.repeat(np.arange(4), 2), lambda: list(PROMPTS),
             lambda: [0, "a", 0, 1, 1, "b", "b", "a"])  # fmt: skip
    return forms[rng.randint(3)]()


def votes():
    """Return votes (6, 3) with a missing one."""
    return np.array([[1, 1, 0], [0, 0, 0], [1, np.nan, 1], [1, 0, 1], [0, 1, 0], [1, 1, 1]])


def probabilities(rng):
    """Return predictions (n_pairs,)."""
    return np.round(rng.rand(N), 2)


def numbers(rng):
    """Return scores (n_pairs,)."""
    return np.round(rng.normal(size=N), 1)


def rule(rng):
    """Return a list of rules for policies of counts."""
    one = (
        BannedTokens([0]),
        BannedNGrams([[0, 1], [2]]),
        TokenBudget([1], budget=1),
        Pattern("a"),
        BannedTokens([2], hard=True),
        BannedTokens([0], max_rate=0.3),
    )
    return [one[rng.randint(len(one))]]


def objective(rng):
    """Return an exact objective."""
    if rng.rand() < 0.5:
        return AdditiveObjective(LOG_P, np.array([1.0, 0, 0, -1]), length=3)
    return EosObjective(LOG_P, np.array([-1.0, 0, 0, 0]), eos=3, max_length=5)


@cache
def ngram_model():
    """Return a model of bigrams of documents that end."""
    return NGramLM(vectorizer=NGramCounter(2, eos_token="<eos>")).fit(TEXTS)


def log_prob(rng):
    """Return the log-probabilities of a policy over the vocabulary."""
    p = rng.dirichlet(np.ones(V))
    return np.log(p)


# Good values by the name of an argument, wherever it stands.
