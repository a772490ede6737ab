"""Linear operators from weights to the margins of pairs, which never form more than they need.

Each has ``shape``, ``matvec``, ``rmatvec`` and ``column_squares``, what a Bradley-Terry loss asks
for, ``n_entries`` and ``dense_columns``, by which it solves faster, and ``gram``, ``take`` and
``tocsr``. Beside them the columns of what moves a preference and is no property of a response.
"""

from typing import Any, Literal

import numpy as np
from scipy import sparse

from sklearn_codex._categorical import FloatArray, root_mean_square
from sklearn_codex._checks.matrices import is_sparse

# Differences are formed this many pairs at a time where they have to be formed at all.
CHUNK_PAIRS = 4096
# Up to this many entries (12 bytes each) the products of the two responses of pairs are kept.
MAX_PRODUCTS = 2 * 10**7


def length_scale(difference: FloatArray, weight: FloatArray) -> float:
    """Return the root mean square of length differences; 1 where all are 0."""
    scale = root_mean_square(difference, weight)
    return scale if scale > 0 else 1.0


def length_columns(difference: FloatArray, scale: float) -> FloatArray:
    """Return the columns d and tanh(d) of scaled length differences (n_pairs, 2)."""
    scaled = difference / scale
    return np.column_stack([scaled, np.tanh(scaled)])


class DifferenceDesign:
    """Margins from an explicit matrix of feature differences.

    Parameters
    ----------
    differences : ndarray or csr_array of shape (n_pairs, V)
        phi(A) - phi(B).
    """

    def __init__(self, differences):
        self.differences = differences
        self.shape = differences.shape

    def matvec(self, weights):
        """Return D w (n_pairs,)."""
        return self.differences @ weights

    def rmatvec(self, residuals):
        """Return D' r (V,)."""
        return self.differences.T @ residuals

    @property
    def n_entries(self):
        """Number of stored entries of a sparse matrix, 0 for a dense one."""
        return _n_entries(self.differences)

    def dense_columns(self, columns):
        """Return some columns of D (n_pairs, k), dense."""
        return _dense(self.differences[:, columns])

    def column_squares(self, pair_weights):
        """Return sum over i of h_i D_ij^2 (V,)."""
        return _column_squares(self.differences, pair_weights)

    def gram(self, pair_weights):
        """Return D' diag(h) D (V, V), dense."""
        return _weighted_gram(self.differences, pair_weights)

    def take(self, rows):
        """Return the design of some of the pairs."""
        return DifferenceDesign(self.differences[rows])

    def tocsr(self):
        """Return D as a csr_array (n_pairs, V)."""
        return sparse.csr_array(self.differences)


class PairDesign:
    """Margins from the features of unique responses and pair indices; no difference matrix.

    A response that stands in many pairs is held and multiplied once.

    Parameters
    ----------
    features : ndarray or csr_array of shape (n_responses, V)
        phi of each unique response.
    a, b : ndarray of int of shape (n_pairs,)
        Rows of ``features`` that each pair compares.
    """

    def __init__(self, features, a, b):
        self.features = features
        self.a = a
        self.b = b
        self.shape = (len(a), features.shape[1])
        self._products: tuple[Any, Any] | Literal[False] | None = None

    def matvec(self, weights):
        """Return D w (n_pairs,), the difference of rewards."""
        rewards = self.features @ weights  # (n_responses,)
        return rewards[self.a] - rewards[self.b]

    def rmatvec(self, residuals):
        """Return D' r (V,)."""
        n_responses = self.features.shape[0]
        won = np.bincount(self.a, residuals, n_responses)
        lost = np.bincount(self.b, residuals, n_responses)
        return self.features.T @ (won - lost)

    @property
    def n_entries(self):
        """Number of stored entries of sparse features, 0 for dense ones."""
        return _n_entries(self.features)

    def dense_columns(self, columns):
        """Return some columns of D (n_pairs, k), dense."""
        features = _dense(self.features[:, columns])  # (n_responses, k)
        return features[self.a] - features[self.b]

    def column_squares(self, pair_weights):
        """Return sum over i of h_i D_ij^2 (V,)."""
        if self._products is None:
            self._products = self._multiply_responses()
        if self._products is False:
            total = np.zeros(self.shape[1])
            for chunk, differences in self._chunks():
                total += _column_squares(differences, pair_weights[chunk])
            return total
        # (x - y)^2 = x^2 + y^2 - 2 x y, of which only the last depends on the pair.
        n_responses = self.features.shape[0]
        uses = np.bincount(self.a, pair_weights, n_responses)
        uses += np.bincount(self.b, pair_weights, n_responses)
        products, squares = self._products
        total = squares.T @ uses - 2 * (products.T @ pair_weights)
        return np.maximum(total, 0.0)

    def _multiply_responses(self):
        """Return phi(A) phi(B) of all pairs (n_pairs, V), and phi^2; False: not kept."""
        if not is_sparse(self.features):
            return False
        parts, n_entries = [], 0
        for start in range(0, self.shape[0], CHUNK_PAIRS):
            chunk = slice(start, start + CHUNK_PAIRS)
            parts.append(self.features[self.a[chunk]].multiply(self.features[self.b[chunk]]))
            n_entries += parts[-1].nnz
            if n_entries > MAX_PRODUCTS:
                return False
        return sparse.csr_array(sparse.vstack(parts)), self.features.power(2)

    def gram(self, pair_weights):
        """Return D' diag(h) D (V, V), dense."""
        total = np.zeros((self.shape[1], self.shape[1]))
        for chunk, differences in self._chunks():
            total += _weighted_gram(differences, pair_weights[chunk])
        return total

    def _chunks(self):
        """Yield slices of pairs and their differences (n_chunk, V)."""
        for start in range(0, self.shape[0], CHUNK_PAIRS):
            chunk = slice(start, start + CHUNK_PAIRS)
            yield chunk, self.features[self.a[chunk]] - self.features[self.b[chunk]]

    def take(self, rows):
        """Return the design of some of the pairs, with the responses that stand in them."""
        ends = np.concatenate([self.a[rows], self.b[rows]])
        kept, positions = np.unique(ends, return_inverse=True)
        a, b = np.split(positions, 2)
        return PairDesign(self.features[kept], a, b)

    @property
    def differences(self):
        """D, formed (n_pairs, V): sparse where the features are."""
        return self.features[self.a] - self.features[self.b]

    def tocsr(self):
        """Return D as a csr_array (n_pairs, V)."""
        return sparse.csr_array(self.differences)


class NuisanceDesign:
    """Margins of a design, with a few dense columns after its own.

    Parameters
    ----------
    design : PairDesign or DifferenceDesign of shape (n_pairs, V)
        Margins of rewards.
    columns : ndarray of shape (n_pairs, k)
        What else enters the margin of a pair.
    """

    def __init__(self, design, columns):
        self.design = design
        self.columns = columns
        self.shape = (design.shape[0], design.shape[1] + columns.shape[1])

    def matvec(self, weights):
        """Return D w (n_pairs,)."""
        n = self.design.shape[1]
        return self.design.matvec(weights[:n]) + self.columns @ weights[n:]

    def rmatvec(self, residuals):
        """Return D' r (V + k,)."""
        return np.concatenate([self.design.rmatvec(residuals), self.columns.T @ residuals])

    @property
    def n_entries(self):
        """Number of stored entries of sparse rewards, 0 for dense ones."""
        return self.design.n_entries

    def dense_columns(self, columns):
        """Return some columns of D (n_pairs, m), dense."""
        n = self.design.shape[1]
        chosen = np.empty((self.shape[0], len(columns)))
        own = columns < n
        chosen[:, own] = self.design.dense_columns(columns[own])
        chosen[:, ~own] = self.columns[:, columns[~own] - n]
        return chosen

    def column_squares(self, pair_weights):
        """Return sum over i of h_i D_ij^2 (V + k,)."""
        return np.concatenate(
            [self.design.column_squares(pair_weights), pair_weights @ self.columns**2]
        )

    def take(self, rows):
        """Return the design of some of the pairs."""
        return NuisanceDesign(self.design.take(rows), self.columns[rows])

    def tocsr(self):
        """Return D as a csr_array (n_pairs, V + k)."""
        return sparse.csr_array(
            sparse.hstack([self.design.tocsr(), sparse.csr_array(self.columns)])
        )

    def gram(self, pair_weights):
        """Return D' diag(h) D (V + k, V + k)."""
        return _weighted_gram(self.tocsr(), pair_weights)


def _n_entries(matrix):
    return matrix.nnz if is_sparse(matrix) else 0


def _dense(matrix):
    return matrix.toarray() if is_sparse(matrix) else matrix


def _column_squares(differences, pair_weights):
    if is_sparse(differences):
        parts = differences.data**2, differences.indices, differences.indptr
        return type(differences)(parts, shape=differences.shape).T @ pair_weights
    return np.einsum("ij,ij,i->j", differences, differences, pair_weights)


def _weighted_gram(differences, pair_weights):
    if is_sparse(differences):
        weighted = sparse.diags_array(pair_weights) @ differences
        return (differences.T @ weighted).toarray()
    return differences.T @ (pair_weights[:, np.newaxis] * differences)
