"""Documents, models and rewards for the tests of optimised policies over n-grams."""

from functools import cache

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge

from sklearn_codex import NGramCounter, NGramLM

WORDS = np.array(["a", "b", "c", "d"])
_RNG = np.random.RandomState(0)
TEXTS = [
    " ".join(_RNG.choice(WORDS, size=_RNG.randint(1, 7), p=[0.4, 0.3, 0.2, 0.1]))
    for _ in range(120)
]
# What an n-gram earns, less than what its tokens cost: length does not explode.
REWARDS = np.array([1.5 * text.count("a b") - 0.5 * len(text.split()) for text in TEXTS])


@cache
def language_model(order=3, *, eos="<eos>", counted=None):
    """A model of n-grams of the texts, of a counter of the same order or a higher one."""
    counter = NGramCounter(counted or order, eos_token=eos)
    return NGramLM(order, vectorizer=counter).fit(TEXTS)


def frozen(*args, **kwargs):
    return FrozenEstimator(language_model(*args, **kwargs))


@cache
def token_reward_model(eos="<eos>"):
    """A reward of tokens alone, "b" and "<eos>" worth something and the others costly."""
    names = language_model(2, eos=eos).vectorizer_.get_feature_names_out().tolist()
    weights = {"a": -0.6, "b": 0.1, "c": -0.2, "d": -0.9, "<eos>": 0.3, "<unk>": -1.0}
    n_tokens = 5 if eos is None else 6
    values = np.array([weights[name] for name in names[:n_tokens]])
    return Ridge(alpha=1e-12).fit(np.eye(n_tokens), values)


def z_score(counts, expected):
    """How far the mean of rows is from what is expected, in standard errors."""
    counts = np.asarray(counts, dtype=float)
    error = counts.std(axis=0, ddof=1) / np.sqrt(len(counts))
    return (counts.mean(axis=0) - expected) / np.where(error > 0, error, 1.0)
