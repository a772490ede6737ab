"""Vectorizers of estimators: what they are given, how they are fitted, which columns they name.

An estimator that reads text or numbers has its columns as ``vectorizer_`` (None where numbers have
no vectorizer), ``n_features_in_`` and, for data frames, ``feature_names_in_``.
"""

from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import FeatureUnion, Pipeline

from sklearn_codex.text import TokenCounter


def wants_prompt(vectorizer: Any) -> bool:
    """Return whether a vectorizer is to be given rows (prompt, response), not responses alone.

    It is if it says so by an attribute ``wants_prompt = True``. A ``ColumnTransformer`` reads
    columns, so it always is; a ``Pipeline`` if its first step is; a ``FeatureUnion`` if all its
    parts are.

    Raises
    ------
    ValueError
        If parts of a ``FeatureUnion`` differ, since all of them are given the same.
    """
    while isinstance(vectorizer, FrozenEstimator):
        vectorizer = vectorizer.estimator
    if hasattr(vectorizer, "wants_prompt"):
        return bool(vectorizer.wants_prompt)
    if isinstance(vectorizer, ColumnTransformer):
        return True
    if isinstance(vectorizer, Pipeline):
        return wants_prompt(vectorizer.steps[0][1])
    if isinstance(vectorizer, FeatureUnion):
        parts = [
            part for _, part in vectorizer.transformer_list if part not in ("drop", "passthrough")
        ]
        wanting = [type(part).__name__ for part in parts if wants_prompt(part)]
        if 0 < len(wanting) < len(parts):
            raise ValueError(
                f"The FeatureUnion given as vectorizer has parts that want the prompt, {wanting}, "
                "and others that read the response alone, but gives all the same. Use a "
                "ColumnTransformer of the columns 0, the prompt, and 1, the response: "
                "ColumnTransformer([('words', TfidfVectorizer(), 1), "
                "('form', ResponseFeatures(), [0, 1])])."
            )
        return bool(wanting)
    return False


def fit_vectorizer(vectorizer: Any, texts: Any) -> tuple[Any, Any]:
    """Fit a clone of a vectorizer; return it, and what it makes of the texts (n, V).

    Parameters
    ----------
    vectorizer : transformer or None
        None means ``TokenCounter()``. One in ``FrozenEstimator`` is used as it is.
    texts : list of str (n,), or ndarray of object of shape (n, 2)
        Texts, or rows (prompt, response).
    """
    vectorizer = clone(TokenCounter() if vectorizer is None else vectorizer)
    if hasattr(vectorizer, "fit_transform"):
        return vectorizer, vectorizer.fit_transform(texts, None)
    return vectorizer, vectorizer.fit(texts, None).transform(texts)


def column_names(vectorizer: Any) -> Any:
    """Return the names (V,) of a fitted vectorizer's columns; None where it has none, as a hash."""
    try:
        return vectorizer.get_feature_names_out()
    except AttributeError:
        return None


def token_names(estimator: Any) -> Any:
    """Return the names (V,) of a fitted estimator's columns; None where only columns are known."""
    vectorizer = getattr(estimator, "vectorizer_", None)
    if vectorizer is not None:
        return column_names(vectorizer)
    return getattr(estimator, "feature_names_in_", None)


def name_columns_of_numbers(estimator: Any, vectorizer: Any) -> None:
    """Keep a frozen vectorizer beside numbers if it has as many columns as they have."""
    estimator.vectorizer_ = None
    if not isinstance(vectorizer, FrozenEstimator):
        return
    names = column_names(vectorizer)
    if names is None:
        return
    if len(names) != estimator.n_features_in_:
        raise ValueError(
            f"{type(estimator).__name__} got counts of {estimator.n_features_in_} columns, but its "
            f"frozen vectorizer knows {len(names)} tokens. Count with that vectorizer, or "
            "leave vectorizer=None to have unnamed columns."
        )
    estimator.vectorizer_ = vectorizer


def first_difference(names: Any, others: Any) -> str:
    """Describe the first place where two equally long arrays of names differ."""
    place = int(np.flatnonzero(np.asarray(names) != np.asarray(others))[0])
    return f"column {place}, {names[place]!r} and {others[place]!r}"
