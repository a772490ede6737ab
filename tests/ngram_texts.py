"""Texts of few words, their n-grams by hand, and preferences by these, for tests."""

from collections import Counter

import numpy as np

END = "</s>"
OPTIONS = {"unk_token": None, "tokenizer": "whitespace"}


def draw_texts(seed, n=40, words="abc", longest=6):
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(list(words), rng.integers(1, longest))) for _ in range(n)]


def count_by_hand(text, names, end=None, before=None):
    """How often each n-gram, named by its tokens, occurs in a text."""
    begins = ["<s>"] if before is None else before
    line = [*begins, *text.split(), *([] if end is None else [end])]
    found = Counter(
        " ".join(line[start:stop])
        for stop in range(len(begins) + 1, len(line) + 1)
        for start in range(stop)
    )
    return [found[name] for name in names]


def prefers(texts, seed, weights, n=120, noise=1.0):
    """Pairs of texts, and which is preferred by the weights of n-grams."""
    rng = np.random.default_rng(seed)
    pairs = [tuple(texts[i] for i in row) for row in rng.integers(0, len(texts), (n, 2))]
    value = np.array(list(weights.values()))
    a, b = (
        np.array([count_by_hand(text, weights) for text in side]) @ value
        for side in zip(*pairs, strict=True)
    )
    return pairs, (a - b + noise * rng.logistic(size=len(pairs)) > 0).astype(int)


WEIGHTS = {"a b": 2.0, "c": -0.7, "<s> b": 1.3, "b c a": -1.5}
TEXTS = draw_texts(5, n=60)
PAIRS, LABELS = prefers(TEXTS, 0, WEIGHTS)


def numbers_of(counter, pairs):
    sides = [counter.transform(list(side)) for side in zip(*pairs, strict=True)]
    return sides[0] - sides[1], np.stack([side.toarray() for side in sides], axis=1)
