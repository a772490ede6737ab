"""Pairs of a dask collection as a reward model learns from them: a survey of labels, then problems.

Tasks read a partition by the model's own ``_read``, so pairs mean the same here as in memory.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import check_is_fitted

from sklearn_codex._checks.numbers import check_sample_weight
from sklearn_codex._data.partitioned import define_columns_of_pairs
from sklearn_codex._data.text_pairs import check_text_pairs
from sklearn_codex._data.vectorizers import count_ngrams, token_columns
from sklearn_codex._partitions import (
    holds_text,
    keep_partitions,
    on_dask,
    reader_of,
    reduce_partitions,
    split_rows,
)
from sklearn_codex._reward.lengths import count_tokens_of, keep_source
from sklearn_codex._reward.partitioned_loss import PartitionedProblem
from sklearn_codex._reward.presets import choose_vectorizer
from sklearn_codex._reward.targets import (
    PreferenceLabels,
    check_labels,
    check_stream_classes,
    credit,
)

READING = (
    "vectorizer_",
    "n_features_in_",
    "feature_names_in_",
    "length_scale_",
    "_length_of_text",
    "_length_given",
)


class Survey(NamedTuple):
    """What is known of labels before any pair is read; it adds up over partitions.

    Attributes
    ----------
    classes : ndarray
        The labels that occur; the least and the greatest where they are probabilities.
    weighted : ndarray
        The same of pairs with a positive weight.
    soft : bool
        Whether any label is a probability.
    sums : ndarray of shape (3,)
        The number of pairs, their weight, and the weighted square of their length differences.
    """

    classes: np.ndarray
    weighted: np.ndarray
    soft: bool
    sums: np.ndarray


def survey_partitions(
    pairs: Sequence[list], length_difference: Callable | None, *, subject: str
) -> Survey:
    """Look at all labels, and at all lengths where a function for them is given.

    Parameters
    ----------
    pairs : partitions of X, y and sample_weight
    length_difference : callable or None
        Given the rows of X, returns by how much A is longer.
    subject : str
        Who asks, for messages.
    """
    parts, labels, weights = pairs
    rows = labels if length_difference is None else parts
    survey = reduce_partitions(
        partial(_survey, length_difference, subject), rows, labels, weights, combine=_join_surveys
    )
    if survey is None:
        raise ValueError(f"{subject} got 0 pairs in X. Pass at least one pair.")
    if not survey.sums[1] > 0:
        raise ValueError("Sample weights must contain at least one non-zero number.")
    return survey


def _survey(length_difference, subject, rows, y, sample_weight):
    labels = check_labels(y, subject=subject)
    target = labels.target
    weight = _check_weight(sample_weight, target)
    squares = 0.0
    if length_difference is not None:
        check_consistent_length(rows, target)
        squares = float(weight @ length_difference(rows) ** 2)
    if labels.soft:
        classes, weighted = (_extremes(target[kept]) for kept in (slice(None), weight > 0))
    else:
        classes = labels.classes
        weighted = classes[np.unique(target[weight > 0].astype(np.intp))]
    sums = np.array([len(target), weight.sum(), squares])
    return Survey(classes, weighted, labels.soft, sums)


def _check_weight(sample_weight, rows):
    """Return the weights of a partition, which may all be zero."""
    return check_sample_weight(
        sample_weight,
        rows,
        dtype=np.float64,
        ensure_non_negative=True,
        allow_all_zero_weights=True,
    )


def _extremes(values):
    return np.unique([values.min(), values.max()]) if len(values) else values


def _join_surveys(surveys):
    classes, weighted = (
        np.unique(np.concatenate([survey[member] for survey in surveys])) for member in (0, 1)
    )
    sums = np.sum([survey.sums for survey in surveys], axis=0)
    return Survey(classes, weighted, any(survey.soft for survey in surveys), sums)


def labels_of(survey: Survey, *, subject: str) -> PreferenceLabels:
    """Return labels that stand for those of all pairs with a positive weight.

    They have the same classes, and their least and greatest target, which is all that is asked of
    labels before a fit.
    """
    if survey.soft:
        extremes = survey.weighted.astype(np.float64)
        return PreferenceLabels(extremes, np.array([0, 1]), soft=True)
    labels = check_labels(survey.classes, subject=subject)  # more than two are refused
    present = np.isin(survey.classes, survey.weighted)
    return PreferenceLabels(labels.target[present], labels.classes, soft=False)


def _read_partitions(model, X, y, sample_weight):
    """Do for pairs of a dask collection what ``_read`` does, each partition where it is."""
    subject = type(model).__name__
    if y is None:
        check_labels(y, subject=subject)
    pairs = split_rows(X, subject=subject, y=y, sample_weight=sample_weight)
    define_columns_of_pairs(model, X, vectorizer=choose_vectorizer(model.vectorizer))
    lengths = None
    model.length_scale_ = None
    if model.control_length:
        keep_source(model, "text" if holds_text(X) else "counts")
        if not holds_text(X):
            count_tokens_of(model)
        vectorizer = model.vectorizer_
        lengths = partial(_length_difference_of_rows, model._length_of_text, vectorizer)
    survey = survey_partitions(pairs, lengths, subject=subject)
    if model.control_length:
        _, weight, squares = survey.sums
        model.length_scale_ = float(np.sqrt(squares / weight)) or 1.0
    n_biases = bool(model.position_bias) + 2 * bool(model.control_length)
    penalty = np.repeat([1.0, 0.0], [model.n_features_in_, n_biases])
    problem = PartitionedProblem([], labels_of(survey, subject=subject), penalty)
    model._require_both_preferred(problem)
    read = partial(_read_partition, reader_of(model, *READING), problem.labels.classes)
    return replace(problem, parts=keep_partitions(read, *pairs))


@on_dask(_read_partitions)
def read_problem(model: Any, X: Any, y: Any, sample_weight: Any) -> Any:
    """Read pairs, in memory or in partitions, and set what a reward model learns before any weight.

    Parameters
    ----------
    model : reward model
        Its ``_read`` turns pairs in memory, or those of a partition, into a problem.
    X, y, sample_weight
        As in ``fit``.

    Returns
    -------
    problem : TrainingProblem or PartitionedProblem
    """
    return model._read(X, y, sample_weight)


def _length_difference_of_rows(of_text, vectorizer, rows):
    """Return by how much A is longer (n_pairs,) for the rows of a partition."""
    pairs = check_text_pairs(rows, subject="control_length") if of_text else None
    if pairs is not None:
        return pairs.length_difference()
    differences = rows[:, 0] - rows[:, 1] if rows.ndim == 3 else rows
    counts = count_ngrams(vectorizer, differences)
    return counts @ token_columns(vectorizer, counts.shape[1])


def _read_partition(reader, classes, rows, y, sample_weight):
    """Return the problem of a partition, without penalty; None if no pair of it counts."""
    if isinstance(sample_weight, np.ndarray | list) and not np.any(sample_weight):
        return None
    problem = reader._read(rows, y, sample_weight, reset=False)
    target, _ = check_stream_classes(problem.labels, classes, None, subject=type(reader).__name__)
    labels = PreferenceLabels(target, classes, problem.labels.soft)
    return replace(problem, pairs=None, labels=labels, penalty=np.zeros_like(problem.penalty))


def score_partitions(model: Any, X: Any, y: Any, sample_weight: Any = None) -> float:
    """Return the accuracy of a fitted reward model on pairs in partitions."""
    check_is_fitted(model)
    subject = type(model).__name__
    pairs = split_rows(X, subject=subject, y=y, sample_weight=sample_weight)
    sums = reduce_partitions(partial(_count_points, model), *pairs)
    if sums is None:
        raise ValueError(f"{subject} got 0 pairs in X. Pass at least one pair.")
    if not sums[1] > 0:
        raise ValueError("Sample weights must contain at least one non-zero number.")
    return sums[0] / sums[1]


def _count_points(model, rows, y, sample_weight):
    margin = model.decision_function(rows)
    check_consistent_length(margin, y)
    weight = _check_weight(sample_weight, margin)
    return float(credit(y, model.classes_, margin) @ weight), float(weight.sum())
