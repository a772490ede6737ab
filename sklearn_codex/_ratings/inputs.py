"""Comparisons of models as they come in: names with what else is known of a row, or differences."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import clone

from sklearn_codex._categorical import FloatArray, IntArray
from sklearn_codex._checks.frames import (
    as_arrays,
    column_names,
    column_values,
    holds_numbers,
    is_frame,
    is_missing,
)
from sklearn_codex._checks.groups import check_hashable
from sklearn_codex._checks.matrices import check_frame, is_sparse, validate_numbers
from sklearn_codex._checks.numbers import as_floats
from sklearn_codex._checks.probabilities import as_array
from sklearn_codex._plain import did_you_mean

SIDES = ("model_a", "model_b")


@dataclass(frozen=True)
class Comparisons:
    """Rows of which each compares a response of model A with one of model B.

    Attributes
    ----------
    a, b : ndarray of int of shape (n,) or None
        Codes of models; -1 for one that is unknown. None where rows are unnamed differences.
    differences : ndarray or csr_array of shape (n, n_models) or None
        The differences, where there are no names.
    style : ndarray of shape (n, k)
        Differences of style, A less B.
    topics : ndarray of shape (n, q)
        Features of the prompts, as they come.
    """

    a: IntArray | None
    b: IntArray | None
    differences: Any
    style: FloatArray
    topics: FloatArray

    @property
    def n_rows(self) -> int:
        """Number of comparisons."""
        return len(self.style)


def read_comparisons(estimator: Any, X: Any, *, reset: bool, grow: bool = False) -> Comparisons:
    """Return the rows of X, and set or meet what an estimator knows of its columns and models.

    Parameters
    ----------
    estimator : ModelRatings
        With ``reset`` its ``models_``, ``style_names_`` and ``n_features_in_`` are set.
    X : array-like or frame of shape (n, n_columns)
    reset : bool
        Whether this call defines the columns.
    grow : bool, default=False
        Whether models that are not known become known.
    """
    subject = type(estimator).__name__
    columns = _named_columns(X, subject)
    if columns is None:
        return _read_differences(estimator, X, reset=reset)
    if not reset and not estimator._has_names:
        raise ValueError(
            f"{subject} was fitted on a matrix of differences with {estimator.n_features_in_} "
            "columns and got names of models. Pass differences, or fit it on names."
        )
    names = [name for name in columns if name not in SIDES]
    style_names, topic_names = _part_columns(estimator, names, subject, reset=reset)
    if reset:
        estimator._has_names = True
        estimator.n_features_in_ = len(columns)
        estimator.__dict__.pop("feature_names_in_", None)
        estimator.style_names_ = np.array(style_names, dtype=object)
    sides = [columns[side] for side in SIDES]
    _check_models(sides, subject)
    if reset or grow:
        _learn_models(estimator, sides, reset=reset)
    a, b = (_codes_of(estimator, side, subject) for side in sides)
    same = np.flatnonzero((a == b) & (a >= 0))
    if len(same):
        raise ValueError(
            f"{subject} got {len(same)} row(s) that compare a model with itself, the first, "
            f"{sides[0][same[0]]!r}, at position {same[0]}. Such rows say nothing of ratings: drop "
            "them."
        )
    style = _numbers(columns, style_names, len(a), subject)
    topics = _read_topics(estimator, columns, topic_names, len(a), subject, reset=reset)
    return Comparisons(a, b, None, style, topics)


def _named_columns(X, subject):
    """Return the columns of rows that name models, by their names; None of a matrix of numbers.

    Of an array the first two columns are ``model_a`` and ``model_b``, and the others are known by
    their positions.
    """
    if is_frame(X, subject):
        check_frame(X, subject)
        names = column_names(X)
        if set(SIDES) <= set(names):
            return {name: column_values(X, name) for name in names}
        if holds_numbers(X):
            return None
        raise ValueError(
            f"{subject} needs the columns model_a and model_b, or columns of numbers only, in a "
            f"data frame, got {names}. Rename the columns with the names of the two models."
        )
    if is_sparse(X) or getattr(X, "dtype", np.dtype(object)).kind not in "OUST":
        return None
    rows = as_array(X, name="X") if hasattr(X, "dtype") else _as_objects(X)
    if rows is None or rows.ndim != 2 or not _has_text(rows):
        return None
    if rows.shape[1] < 2:
        raise ValueError(
            f"{subject} needs rows (model_a, model_b, ...) of names, got {rows.shape[1]} column. "
            "Pass both models of each comparison."
        )
    return {
        SIDES[column] if column < 2 else column: rows[:, column].tolist()
        for column in range(rows.shape[1])
    }


def _as_objects(X):
    """Return nested sequences as an array of objects, so that numbers stay numbers; None of others.

    What is no list of rows of one length is left to the checks of matrices.
    """
    if not isinstance(X, (list, tuple)) or not X:
        return None
    if not all(isinstance(row, (list, tuple, np.ndarray)) for row in X):
        return None
    if len({len(row) for row in X}) != 1:
        return None
    rows = np.empty((len(X), len(X[0])), dtype=object)
    for i, row in enumerate(X):
        rows[i] = list(row)
    return rows


def _has_text(rows):
    """Return whether a cell of the first two columns of an array is text."""
    if rows.dtype.kind != "O":
        return rows.dtype.kind in "UT"
    return any(isinstance(cell, str) for cell in rows[:, :2].ravel().tolist())


def _read_differences(estimator, X, *, reset):
    subject = type(estimator).__name__
    if estimator.topics is not None:
        raise ValueError(
            f"{subject} with topics needs names of models in X, with the columns of the prompt "
            "beside them, got a matrix of numbers."
        )
    if not reset and estimator._has_names:
        raise ValueError(
            f"{subject} was fitted on names of models and got a matrix of numbers. Pass rows "
            "(model_a, model_b); where names are numbers, as text or in columns model_a and "
            "model_b of a data frame."
        )
    _refuse_codes(X, subject)
    matrix = validate_numbers(estimator, X, reset=reset)
    if reset:
        estimator._has_names = False
        names = getattr(estimator, "feature_names_in_", np.arange(matrix.shape[1]))
        estimator.models_ = np.array(names, dtype=object)
        estimator.style_names_ = np.array([], dtype=object)
    nothing = np.zeros((matrix.shape[0], 0))
    return Comparisons(None, None, matrix, nothing, nothing)


def _refuse_codes(X, subject):
    """Raise where two columns of numbers can be nothing but the numbers of two models."""
    if is_sparse(X) or is_frame(X):
        return
    values = as_array(X, name="X")
    if values.ndim != 2 or values.shape[1] != 2 or values.dtype.kind not in "iu":
        return
    seem_names = len(values) and values.min() >= 0 and (values[:, 0] != values[:, 1]).all()
    if seem_names and len(np.unique(values)) > 2:
        raise ValueError(
            f"{subject} reads numbers as differences of columns, one a model, but the two "
            "columns of X seem to be numbers of two models. Pass them as text, X.astype(str), "
            "or in the columns model_a and model_b of a data frame; differences as floats."
        )


def _part_columns(estimator, names, subject, *, reset):
    """Return which of the columns beside the models are of style, and which of the prompt."""
    topics = estimator.topics
    wanted = [] if topics is None else [topics] if isinstance(topics, (str, int)) else list(topics)
    missing = [name for name in wanted if name not in names]
    if missing:
        raise ValueError(
            f"{subject} needs the column {missing[0]!r} of topics in X, which has {names} beside "
            f"the models.{did_you_mean(str(missing[0]), map(str, names))} In an array, columns are "
            "known by their positions, from 2."
        )
    style = [name for name in names if name not in wanted]
    if reset:
        return style, wanted
    known = estimator.style_names_.tolist()
    if set(style) != set(known):
        raise ValueError(
            f"{subject} was fitted with the columns {known} of style beside the models and got "
            f"{style}. Pass the same columns."
        )
    return known, wanted


def _check_models(sides, subject):
    """Raise where a model has no name, or one that is neither text nor a number."""
    for side, values in zip(SIDES, sides, strict=True):
        try:
            different = dict.fromkeys(values)
        except TypeError:
            check_hashable(values, side)
            raise
        for value in different:
            is_absent = is_missing(value) or value == ""
            if is_absent or not isinstance(value, (str, int, float, np.generic)):
                row = next(row for row, other in enumerate(values) if other is value)
                what = repr(value) if is_absent else f"a {type(value).__name__}, {value!r:.60},"
                raise ValueError(
                    f"{subject} needs the name of a model, text or a number, in {side} of each "
                    f"row, got {what} at position {row}. Drop such rows."
                )


def _learn_models(estimator, sides, *, reset):
    """Set or extend the models, sorted where they are first seen."""
    known = [] if reset else estimator.models_.tolist()
    new = set(sides[0]).union(sides[1]).difference(known)
    names = known + sorted(new, key=lambda name: (isinstance(name, str), name))
    # Name by name, so that an array of names is never one of numbers.
    models = np.empty(len(names), dtype=object)
    models[:] = names
    estimator.models_ = models


def _codes_of(estimator, names, subject):
    known = {name: code for code, name in enumerate(estimator.models_.tolist())}
    try:
        return np.array([known[name] for name in names], dtype=np.intp)
    except KeyError as error:
        if estimator.handle_unknown == "average":
            return np.array([known.get(name, -1) for name in names], dtype=np.intp)
        name = error.args[0]
        raise ValueError(
            f"{subject} knows no model {name!r}.{did_you_mean(str(name), map(str, known))} It was "
            f"fitted on {len(known)}, see models_. handle_unknown='average' gives others the "
            "rating 0."
        ) from None


def _numbers(columns, names, n_rows, subject):
    """Return columns of numbers as a matrix (n, k)."""
    matrix = np.empty((n_rows, len(names)))
    for j, name in enumerate(names):
        values = [np.nan if is_missing(value) else value for value in columns[name]]
        if any(isinstance(value, str) for value in values):
            text = next(value for value in values if isinstance(value, str))
            raise ValueError(
                f"{subject} takes columns beside the models as numbers, differences of style or "
                f"features named in topics, but {name!r} has the text {text!r:.60}. Drop it."
            )
        matrix[:, j] = as_floats(values, f"the column {name!r}", subject=subject)
        wrong = np.flatnonzero(~np.isfinite(matrix[:, j]))
        if len(wrong):
            raise ValueError(
                f"{subject} needs finite numbers in the column {name!r}, got {matrix[wrong[0], j]} "
                f"at position {wrong[0]}. Drop such rows, or fill them."
            )
    return matrix


@as_arrays
def _read_topics(estimator, columns, names, n_rows, subject, *, reset):
    """Return the features of prompts (n, q)."""
    if estimator.topic_vectorizer is None or not names:
        return _numbers(columns, names, n_rows, subject)
    if len(names) != 1:
        raise ValueError(
            f"{subject} with topic_vectorizer takes one column of texts as topics, got {names}."
        )
    texts = columns[names[0]]
    if reset:
        estimator.topic_vectorizer_ = clone(estimator.topic_vectorizer).fit(texts)
    return to_dense(estimator.topic_vectorizer_.transform(texts))


def to_dense(features: Any) -> FloatArray:
    """Return what a vectorizer made as a plain array."""
    return features.toarray() if is_sparse(features) else np.asarray(features, dtype=np.float64)
