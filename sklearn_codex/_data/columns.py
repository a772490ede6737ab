"""The columns of an estimator: how many, their names, and the vectorizer that turns text into them.

An estimator that reads text or numbers has them as ``vectorizer_`` (None where columns are all that
is known), ``n_features_in_`` and, for data frames, ``feature_names_in_``.
"""

from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

from sklearn_codex.text import TokenCounter


def new_vectorizer(vectorizer: Any) -> Any:
    """Return a vectorizer to fit, or the frozen one that is given; None means a TokenCounter."""
    return clone(TokenCounter() if vectorizer is None else vectorizer)


def fit_transform(vectorizer: Any, texts: Any) -> Any:
    """Return what a vectorizer makes of texts (n, V), having learned from them if it learns."""
    if hasattr(vectorizer, "fit_transform"):
        return vectorizer.fit_transform(texts, None)
    return vectorizer.fit(texts, None).transform(texts)


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


def count_columns(vectorizer: Any, documents: Any = ("a",)) -> int:
    """Return the number of columns of a fitted vectorizer: of its names, or of any documents."""
    names = column_names(vectorizer)
    return vectorizer.transform(documents).shape[1] if names is None else len(names)


def set_columns_of_text(estimator: Any, n_columns: int) -> None:
    """Keep the number of columns of ``vectorizer_``, which alone knows their names."""
    estimator.n_features_in_ = n_columns
    vars(estimator).pop("feature_names_in_", None)


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
