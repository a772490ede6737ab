"""Corpora: documents and their weights, which add up to one statistic wherever they are."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sklearn_codex._categorical import FloatArray
from sklearn_codex._checks.numbers import check_weight
from sklearn_codex._data.documents import read_documents
from sklearn_codex._data.partitioned import (
    PartitionedCorpus,
    define_columns_of_documents,
    sum_counts,
)
from sklearn_codex._partitions import is_collection


@dataclass(frozen=True)
class CorpusInMemory:
    """Documents as counts (n_documents, V), and their weights (n_documents,)."""

    counts: Any
    weight: FloatArray

    def sum(self, add_up: Callable = sum_counts) -> tuple:
        """Return the weighted sum of the documents' counts (V,), and the sum of their weights.

        Parameters
        ----------
        add_up : callable, default=sum_counts
            Of counts and weights returns the sums, a tuple, that come before that of the weights.
        """
        return *add_up(self.counts, self.weight), float(self.weight.sum())


Corpus = CorpusInMemory | PartitionedCorpus


def read_corpus(
    estimator: Any,
    X: Any,
    sample_weight: Any = None,
    *,
    reset: bool,
    vectorizer: Any = None,
    default: Any = None,
) -> Corpus:
    """Read documents as :func:`read_documents` does, in memory or in a dask collection.

    Documents of a collection stay where they are: to learn a vocabulary from them is a pass over
    them, and their sum is another one.

    Parameters
    ----------
    sample_weight : array-like of shape (n_documents,), number or None, default=None
        Weights of documents; for those of a collection also a collection with its partitions.
    estimator, X, reset, vectorizer, default
        As in :func:`read_documents`.
    """
    if is_collection(X):
        if reset:
            define_columns_of_documents(estimator, X, vectorizer=vectorizer, default=default)
        return PartitionedCorpus(estimator, X, sample_weight)
    counts = read_documents(estimator, X, reset=reset, vectorizer=vectorizer, default=default)
    weight = check_weight(sample_weight, counts)
    return CorpusInMemory(counts, weight)
