"""N-grams among those known."""

from typing import Any

import numpy as np

from sklearn_codex._fast_counts import KeyTable, find_keys
from sklearn_codex._ngrams.table import Ints

__all__ = ["KeyTable", "find_keys", "find_ngrams"]


def find_ngrams(trie: Any, ngrams: Ints) -> Ints:
    """Return the arcs (n,) of a trie that n-grams are; -1 where one is none.

    Parameters
    ----------
    trie : Trie
        The n-grams that are known.
    ngrams : ndarray of int (n, k)
        Their tokens, behind -1 where they are shorter, -2 being the start of a document. One with
        any other number below 0 is none.
    """
    contexts = np.zeros(len(ngrams), np.int32)
    arcs = np.full(len(ngrams), -1, np.int32)
    for tokens in ngrams.T:
        contexts[tokens < -1] = -1
        contexts[tokens == -2] = trie.start
        at = np.flatnonzero((tokens >= 0) & (contexts >= 0))
        arcs[tokens != -1] = -1
        arcs[at] = trie.find(contexts[at], tokens[at])
        contexts[at] = trie.context_of_arc[arcs[at]]
    return arcs
