"""Vectors of norm 1, of whatever size they were."""

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.preprocessing import normalize

from sklearn_codex._checks.matrices import is_sparse, validate_numbers


def widened(X):
    """Return floats that scipy's sparse matrices can hold: float16 as float32."""
    return X.astype(np.float32) if X.dtype == np.float16 else X


def unit_rows(X):
    """Return rows (n, d) divided by their norms, those of zeros as they are.

    The greatest entry of each is divided out first, so that no square leaves the range of floats.
    """
    X = widened(X)
    if is_sparse(X):
        return normalize(normalize(X, norm="max"))
    largest = np.abs(X).max(axis=1, keepdims=True)
    scaled = X / np.where(largest > 0, largest, 1)
    norm = np.linalg.norm(scaled, axis=1, keepdims=True)
    return scaled / np.where(norm > 0, norm, 1)


class UnitRows(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Divides each row by its Euclidean norm; rows of zeros stay."""

    def fit(self, X, y=None):
        """Learn the number of columns of X (n, d)."""
        self._check(X, reset=True)
        return self

    def transform(self, X):
        """Return the rows (n, d), dense or sparse as they are, at least float32."""
        return unit_rows(self._check(X, reset=False))

    def _check(self, X, *, reset):
        return validate_numbers(self, X, reset=reset, dtype=[np.float64, np.float32, np.float16])

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
