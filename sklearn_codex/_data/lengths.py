"""Lengths of responses that are given beside their pairs, since numbers do not tell them."""

import reprlib
from typing import Any

import numpy as np
from sklearn.utils import _safe_indexing

from sklearn_codex._checks.matrices import check_numbers


class PairsWithLength:
    """Pairs with the lengths of their responses, for models with ``control_length=True``.

    Vectors and differences of features do not tell how long a response is, and of text it may be
    tokens that count, not characters. This goes wherever the pairs go, into ``fit``, ``predict``
    and ``score``, and splits of a cross-validation take the lengths along.

    Parameters
    ----------
    pairs : array-like of str, numeric (n_pairs, 2, V) or (n_pairs, V), or ResponseIds
        Pairs, as models of pairs take them.
    length : array-like of shape (n_pairs, 2) or (n_pairs,)
        How long A and B are, or by how much A is longer, in the same unit for all pairs that one
        model sees.

    Attributes
    ----------
    pairs : object
        The pairs, as given.
    length : ndarray of shape (n_pairs,)
        By how much A is longer.
    shape : tuple of int
        That of the pairs, or (n_pairs,) where they are a list.

    Raises
    ------
    ValueError
        If lengths are not finite, or not as many as pairs.

    Examples
    --------
    >>> from sklearn_codex import PairsWithLength, PreferenceRewardModel
    >>> differences = [[1.0, 0.5], [-1.0, 0.5], [0.5, -1.0], [-0.5, -0.5]]
    >>> X = PairsWithLength(differences, length=[[30, 10], [20, 25], [10, 12], [8, 9]])
    >>> X.length.tolist()
    [20.0, -5.0, -2.0, -1.0]
    >>> model = PreferenceRewardModel(control_length=True).fit(X, [1, 0, 1, 0])
    >>> model.predict_proba(X).shape, model.reward_margin(differences).shape
    ((4, 2), (4,))
    """

    def __init__(self, pairs, length):
        subject = type(self).__name__
        values = np.asarray(length)
        values = values[:, np.newaxis] if values.ndim == 1 else values
        values = check_numbers(values, subject=subject, name="length")
        if not (hasattr(pairs, "__len__") or np.ndim(pairs)):
            raise TypeError(
                f"{subject} needs pairs as a model takes them, rows of texts, vectors or "
                f"differences, got {reprlib.repr(pairs)}."
            )
        n_pairs = np.shape(pairs)[0] if hasattr(pairs, "shape") else len(pairs)
        if values.shape[1] > 2 or len(values) != n_pairs:
            raise ValueError(
                f"{subject} needs length of shape (n_pairs, 2), of A and B, or (n_pairs,), by how "
                f"much A is longer, for n_pairs = {n_pairs}, got {np.shape(length)}."
            )
        self.pairs = pairs
        self.length = values[:, 0] if values.shape[1] == 1 else values[:, 0] - values[:, 1]

    @property
    def shape(self):
        """That of the pairs, or (n_pairs,) where they are a list."""
        return getattr(self.pairs, "shape", (len(self.length),))

    def __len__(self):
        return len(self.length)

    def __getitem__(self, key):
        """Return some of the pairs, with their lengths."""
        rows = key[0] if isinstance(key, tuple) else key
        return PairsWithLength(_safe_indexing(self.pairs, rows), self.length[rows])

    def __array__(self, dtype=None, copy=None):
        """Return the pairs as an array, without lengths."""
        return np.asarray(self.pairs, dtype=dtype)

    def __repr__(self):
        return f"{type(self).__name__}({type(self.pairs).__name__} of shape {self.shape})"


def pairs_alone(X: Any) -> Any:
    """Return pairs without the lengths that may be given beside them."""
    return X.pairs if isinstance(X, PairsWithLength) else X
