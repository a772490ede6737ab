"""Documents and pairs of dask collections, read where they are.

A vocabulary is learned in a pass over the partitions. From then on a partition is read as data in
memory are, by tasks that know the columns.
"""

import reprlib
from collections.abc import Callable
from functools import partial
from typing import Any

from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils import get_tags

from sklearn_codex._categorical import FloatArray
from sklearn_codex._checks.numbers import check_sample_weight
from sklearn_codex._data.documents import check_order, read_documents
from sklearn_codex._data.pairs import read_pairs
from sklearn_codex._data.responses import stack_prompts
from sklearn_codex._data.text_pairs import check_text_pairs, expected_pairs
from sklearn_codex._data.vectorizers import apply_vectorizer, column_names, wants_prompt
from sklearn_codex._partitions import (
    holds_text,
    make_bag,
    reader_of,
    reduce_partitions,
    split_rows,
    stand_in,
)
from sklearn_codex.text import TokenCounter


def define_columns_of_documents(
    estimator: Any, X: Any, *, vectorizer: Any = None, default: Any = None
) -> None:
    """Set the columns for documents of a dask bag of texts or array of counts.

    They are those that :func:`read_documents` sets for the same documents in memory.
    """
    if holds_text(X):
        _learn_columns(estimator, default if vectorizer is None else vectorizer, X)
        check_order(estimator)
    else:
        one = stand_in(X, subject=type(estimator).__name__)
        read_documents(estimator, one, reset=True, vectorizer=vectorizer)


def define_columns_of_pairs(estimator: Any, X: Any, *, vectorizer: Any = None) -> None:
    """Set the columns for pairs of a dask bag, or for a dask array of vectors or differences.

    They are those that :func:`read_pairs` sets for the same pairs in memory.
    """
    subject = type(estimator).__name__
    if not holds_text(X):
        read_pairs(estimator, stand_in(X, subject=subject), reset=True, vectorizer=vectorizer)
        return
    _check_counts_add_up(vectorizer, subject)
    responses = make_bag(partial(_responses_of, subject), X, subject=subject)
    one = stack_prompts([""], ["a"]) if wants_prompt(vectorizer) else ["a"]
    _learn_columns(estimator, vectorizer, responses, one)


def _learn_columns(estimator, vectorizer, texts, one=("a",)):
    """Set the columns by a vectorizer, fitted on a dask bag of texts if it learns from texts.

    One that has no names for its columns shows how many there are on ``one``, any text.
    """
    vectorizer = clone(TokenCounter() if vectorizer is None else vectorizer)
    if isinstance(vectorizer, TokenCounter):
        vectorizer.fit(texts)
    elif not isinstance(vectorizer, FrozenEstimator) and get_tags(vectorizer).requires_fit:
        raise ValueError(
            f"{type(estimator).__name__} cannot fit the vectorizer {type(vectorizer).__name__} on "
            "a dask collection, only a TokenCounter, whose counts add up over partitions. Fit it "
            "on a sample in memory and pass vectorizer=FrozenEstimator(fitted)."
        )
    estimator.vectorizer_ = vectorizer
    names = column_names(vectorizer)
    n_columns = (
        apply_vectorizer(vectorizer, one, subject=type(estimator).__name__).shape[1]
        if names is None
        else len(names)
    )
    estimator.n_features_in_ = n_columns
    vars(estimator).pop("feature_names_in_", None)


def sum_counts(counts: Any, weight: FloatArray) -> tuple[FloatArray]:
    """Return the weighted sum (V,) of counts (n_documents, V)."""
    return (counts.T @ weight,)


class PartitionedCorpus:
    """Documents of a dask collection and their weights, for an estimator whose columns are set."""

    def __init__(self, estimator: Any, X: Any, sample_weight: Any):
        self.subject = type(estimator).__name__
        self.reader = reader_of(estimator, "vectorizer_", "n_features_in_", "feature_names_in_")
        self.partitions = split_rows(X, subject=self.subject, sample_weight=sample_weight)

    def sum(self, add_up: Callable = sum_counts) -> tuple:
        """Return what :meth:`CorpusInMemory.sum` does for the same documents."""
        sums = reduce_partitions(partial(_sum_partition, self.reader, add_up), *self.partitions)
        if sums is None:
            raise ValueError(f"{self.subject} got 0 documents in X. Pass at least one document.")
        if not sums[-1] > 0:
            raise ValueError("Sample weights must contain at least one non-zero number.")
        return sums


def _sum_partition(reader, add_up, rows, sample_weight):
    counts = read_documents(reader, rows, reset=False)
    weight = check_sample_weight(
        sample_weight,
        counts,
        ensure_non_negative=True,
        allow_all_zero_weights=True,  # of a partition
    )
    return *add_up(counts, weight), float(weight.sum())


def _responses_of(subject, rows):
    """Return the distinct responses of a partition of pairs."""
    pairs = check_text_pairs(rows, subject=subject)
    if pairs is None:
        raise TypeError(
            expected_pairs(subject) + f"got a dask collection of {reprlib.repr(rows[0])}. "
            "Pass a dask bag of tuples of str, or differences as a dask array of numbers."
        )
    return pairs.unique_responses()[0]


def _check_counts_add_up(vectorizer, subject):
    """Raise where a vocabulary would be chosen by counts in responses that are distinct."""
    if not isinstance(vectorizer, TokenCounter):
        return
    if vectorizer.min_count > 1 or vectorizer.max_features is not None:
        raise ValueError(
            f"{subject} cannot choose the vocabulary of a dask collection of pairs by min_count="
            f"{vectorizer.min_count} and max_features={vectorizer.max_features}: these count each "
            "distinct response once, and which are distinct is not known across partitions. Fit "
            "the TokenCounter on a dask bag of responses and pass FrozenEstimator(fitted)."
        )
