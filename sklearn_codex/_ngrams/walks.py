"""The way of documents through a trie."""

from typing import NamedTuple

from sklearn_codex._ngrams.table import Ints

__all__ = ["Walk"]


class Walk(NamedTuple):
    """What documents use of a trie, token by token.

    Attributes
    ----------
    arcs : ndarray of int (n,)
        The arc that predicts each token: the one of the longest context that has it.
    contexts : ndarray of int (n,)
        The longest context before each token.
    ends : ndarray of int (n_documents,)
        The longest context at the end of each document, before its end-of-sequence token.
    """

    arcs: Ints
    contexts: Ints
    ends: Ints
