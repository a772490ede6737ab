"""Linear operators from weights to the margins of pairs, which never form more than they need.

Each has ``shape``, ``matvec``, ``rmatvec``, ``bend`` and ``column_squares``, what a Bradley-Terry
loss asks for, ``n_entries``, ``dense_columns`` and ``mean_gram``, by which it solves faster,
``gram`` and ``take``, and rows by their positions. Beside them the columns of what moves a
preference and is no property of a response.
"""

from typing import Any, Literal

import numpy as np
from scipy import sparse

from sklearn_codex._categorical import FloatArray, root_mean_square
from sklearn_codex._data.rows import (
    SparseColumns,
    as_rows,
    blocks_of,
    column_squares,
    weighted_gram,
)

# Differences are formed this many pairs at a time where they have to be formed at all.
CHUNK_PAIRS = 4096
# Up to this many entries (12 bytes each) the products of the two responses of pairs are kept.
MAX_PRODUCTS = 2 * 10**7
# Of a dense design of counts at most this part is not 0 where a sparse one is quicker by far.
MOST_FILLED = 0.1
# Rows for each column of a dense design from which its mean Gram matrix is known well enough.
SAMPLE_ROWS = 4


def length_scale(difference: FloatArray, weight: FloatArray) -> float:
    """Return the root mean square of length differences; 1 where all are 0."""
    scale = root_mean_square(difference, weight)
    return scale if scale > 0 else 1.0


def length_columns(difference: FloatArray, scale: float) -> FloatArray:
    """Return the columns d and tanh(d) of scaled length differences (n_pairs, 2)."""
    scaled = difference / scale
    return np.column_stack([scaled, np.tanh(scaled)])


def mean_row(design: Any) -> FloatArray:
    """Return the mean of the rows of a design (V,)."""
    n_rows = design.shape[0]
    return design.rmatvec(np.full(n_rows, 1.0 / n_rows))


def as_columns(design: Any) -> Any:
    """Return a design whose sparse features are held by columns, which many products are worth."""
    if design.is_dense:
        return design
    rows = SparseColumns(sparse.csc_array(design.rows.matrix))
    if isinstance(design, DifferenceDesign):
        return DifferenceDesign(rows)
    return PairDesign(rows, design.a, design.b)


def thinned(design: Any) -> Any:
    """Return a design whose features are sparse where they are dense and nearly all of them 0.

    So are counts of tokens, however they come: a product then takes a tenth of the time or less.
    """
    rows = design.rows
    if not rows.is_dense or rows.n_filled() > MOST_FILLED * np.prod(rows.shape):
        return design
    parts = [sparse.csr_array(rows[here]) for here in blocks_of(*rows.shape)]
    thin = sparse.csr_array(sparse.vstack(parts))
    if isinstance(design, DifferenceDesign):
        return DifferenceDesign(thin)
    return PairDesign(thin, design.a, design.b)


class DenseGram:
    """The mean product of columns over the rows of a dense design, by a sample of the rows.

    It is made when it is first asked for, once for a design and all that are taken of it: an
    approximation, which decides how quickly a loss is solved and not what the solution is.
    """

    def __init__(self):
        self._gram = None

    def of(self, design):
        """Return D' D / n (V, V), about."""
        if self._gram is None:
            n_pairs, n_features = design.shape
            rows = design[:: max(1, n_pairs // (SAMPLE_ROWS * n_features))]
            self._gram = rows.T @ rows / len(rows)
        return self._gram


class DifferenceDesign:
    """Margins from an explicit matrix of feature differences, or rewards from one of features.

    Parameters
    ----------
    differences : ndarray, csr_array, SparseRows or DenseRows of shape (n_pairs, V)
        phi(A) - phi(B).
    held : DenseGram, default=None
        That of the design of which this is a part.
    """

    def __init__(self, differences, held=None):
        self.rows = as_rows(differences)
        self.shape = self.rows.shape
        self.n_entries = self.rows.n_entries
        self.is_dense = self.rows.is_dense
        self.held = held or DenseGram()

    @property
    def differences(self):
        """D (n_pairs, V), as it is."""
        return self.rows.matrix

    def __getitem__(self, rows):
        """Return some rows of D (k, V): a csr_array, or float64."""
        return self.rows[rows]

    def matvec(self, weights):
        """Return D w (n_pairs,)."""
        return self.rows.times(weights)

    def rmatvec(self, residuals):
        """Return D' r (V,)."""
        return self.rows.transposed_times(residuals)

    def bend(self, by_margin, weights):
        """Return D' diag(h) D w (V,) and D w (n_pairs,)."""
        return self.rows.bend(by_margin, weights)

    def dense_columns(self, columns):
        """Return some columns of D (n_pairs, k), dense."""
        return self.rows.columns(columns)

    def column_squares(self, pair_weights):
        """Return sum over i of h_i D_ij^2 (V,)."""
        return self.rows.column_squares(pair_weights)

    def gram(self, pair_weights):
        """Return D' diag(h) D (V, V), dense."""
        return self.rows.gram(pair_weights)

    def mean_gram(self):
        """Return about D' D / n_pairs (V, V), by a sample of the pairs."""
        return self.held.of(self)

    def take(self, rows):
        """Return the design of some of the pairs."""
        return DifferenceDesign(self.rows.take(rows), self.held)

    def to_solve(self):
        """Return the design by which many products are quickest: itself."""
        return self


class PairDesign:
    """Margins from the features of unique responses and pair indices; no difference matrix.

    A response that stands in many pairs is held and multiplied once.

    Parameters
    ----------
    features : ndarray, csr_array, SparseRows or DenseRows of shape (n_responses, V)
        phi of each unique response.
    a, b : ndarray of int of shape (n_pairs,)
        Rows of ``features`` that each pair compares.
    held : DenseGram, default=None
        That of the design of which this is a part.
    """

    def __init__(self, features, a, b, held=None):
        self.rows = as_rows(features)
        self.a = a
        self.b = b
        self.shape = (len(a), self.rows.shape[1])
        self.n_entries = self.rows.n_entries
        self.is_dense = self.rows.is_dense
        self.held = held or DenseGram()
        self._products: tuple[Any, Any] | Literal[False] | None = None
        self._is_in_order: bool | None = None

    @property
    def features(self):
        """Features (n_responses, V), as they are."""
        return self.rows.matrix

    def __getitem__(self, rows):
        """Return some rows of D (k, V): a csr_array, or float64."""
        return self.rows[self.a[rows]] - self.rows[self.b[rows]]

    def matvec(self, weights):
        """Return D w (n_pairs,), the difference of rewards."""
        rewards = self.rows.times(weights)  # (n_responses,)
        return rewards[self.a] - rewards[self.b]

    def rmatvec(self, residuals):
        """Return D' r (V,)."""
        n_responses = self.rows.shape[0]
        won = np.bincount(self.a, residuals, n_responses)
        lost = np.bincount(self.b, residuals, n_responses)
        return self.rows.transposed_times(won - lost)

    def bend(self, by_margin, weights):
        """Return D' diag(h) D w (V,) and D w (n_pairs,); rows in order are widened once."""
        if not (self.is_dense and self.is_in_order()):
            moved = self.matvec(weights)
            return self.rmatvec(by_margin * moved), moved
        bent, moved = np.zeros(self.shape[1]), np.empty(self.shape[0])
        for here in blocks_of(self.shape[0], 2 * self.shape[1]):
            block = self.rows[slice(2 * here.start, 2 * here.stop)]
            rewards = (block @ weights).reshape(-1, 2)
            moved[here] = rewards[:, 0] - rewards[:, 1]
            push = by_margin[here] * moved[here]
            bent += block.T @ np.stack([push, -push], axis=1).ravel()
        return bent, moved

    def dense_columns(self, columns):
        """Return some columns of D (n_pairs, k), dense."""
        features = self.rows.columns(columns)  # (n_responses, k)
        return features[self.a] - features[self.b]

    def column_squares(self, pair_weights):
        """Return sum over i of h_i D_ij^2 (V,)."""
        if isinstance(self.rows, SparseColumns):
            return self._squares_of_columns(self.rows, pair_weights)
        if self._products is None:
            self._products = self._multiply_responses()
        if self._products is False:
            total = np.zeros(self.shape[1])
            for chunk in self._chunks():
                total += column_squares(self[chunk], pair_weights[chunk])
            return total
        # (x - y)^2 = x^2 + y^2 - 2 x y, of which only the last depends on the pair.
        products, squares = self._products
        total = squares @ self._uses(pair_weights) - 2 * (products @ pair_weights)
        return np.maximum(total, 0.0)

    def _uses(self, pair_weights):
        """Return the weight of the pairs that each response stands in (n_responses,)."""
        n_responses = self.rows.shape[0]
        uses = np.bincount(self.a, pair_weights, n_responses)
        return uses + np.bincount(self.b, pair_weights, n_responses)

    def _squares_of_columns(self, rows, pair_weights):
        """Return sum over i of h_i D_ij^2 (V,) of features held by their columns."""
        if self._products is None:
            self._products = self._multiply_columns(rows)
        total = rows.column_squares(self._uses(pair_weights))
        if self._products is False:
            for here, products in rows.multiply_rows(self.a, self.b):
                total[here] -= 2 * (products.T @ pair_weights)
        else:
            total -= 2 * (self._products[0] @ pair_weights)
        return np.maximum(total, 0.0)

    def _multiply_columns(self, rows):
        """Return phi(A) phi(B) of all pairs (V, n_pairs), by columns; False: not kept."""
        parts, n_entries = [], 0
        for _, products in rows.multiply_rows(self.a, self.b):
            parts.append(sparse.csc_array(products))
            n_entries += parts[-1].nnz
            if n_entries > MAX_PRODUCTS:
                return False
        return sparse.csc_array(sparse.hstack(parts, format="csc")).T, None

    def _multiply_responses(self):
        """Return phi(A) phi(B) of all pairs (V, n_pairs), and phi^2; False: not kept."""
        if self.is_dense:
            return False
        parts, n_entries = [], 0
        for chunk in self._chunks():
            parts.append(self.rows[self.a[chunk]].multiply(self.rows[self.b[chunk]]))
            n_entries += parts[-1].nnz
            if n_entries > MAX_PRODUCTS:
                return False
        return sparse.csr_array(sparse.vstack(parts)).T, self.features.power(2).T

    def gram(self, pair_weights):
        """Return D' diag(h) D (V, V), dense."""
        total = np.zeros((self.shape[1], self.shape[1]))
        for chunk in self._chunks():
            total += weighted_gram(self[chunk], pair_weights[chunk])
        return total

    def mean_gram(self):
        """Return about D' D / n_pairs (V, V), by a sample of the pairs."""
        return self.held.of(self)

    def _chunks(self):
        """Yield slices of pairs whose differences may be held."""
        if self.is_dense:
            return blocks_of(*self.shape)
        starts = range(0, self.shape[0], CHUNK_PAIRS)
        return (slice(start, start + CHUNK_PAIRS) for start in starts)

    def take(self, rows):
        """Return the design of some of the pairs, with the responses that stand in them."""
        ends = np.concatenate([self.a[rows], self.b[rows]])
        kept, positions = np.unique(ends, return_inverse=True)
        a, b = np.split(positions, 2)
        part = PairDesign(self.rows.take(kept), a, b, self.held)
        if isinstance(self.rows, SparseColumns) and self._products:
            part._products = self._products[0][:, rows], None  # quicker than to multiply again
        return part

    def to_solve(self):
        """Return the design by which many products are quickest.

        Of responses of float64 in memory that are at least two for each pair, that is of their
        differences, which take at most half of their room and half of the time; else itself.
        """
        if not (self.rows.is_plain() and self.is_half()):
            return self
        if self.is_in_order():
            features = self.features
            return DifferenceDesign(features[::2] - features[1::2], self.held)
        return DifferenceDesign(self.differences, self.held)

    def is_half(self):
        """Return whether differences take at most half of the room of the features."""
        return 2 * len(self.a) <= self.rows.shape[0]

    def is_in_order(self):
        """Return whether the rows are those of A and B of the first pair, then of the second..."""
        if self._is_in_order is None:
            ends = np.stack([self.a, self.b], axis=1).ravel()
            self._is_in_order = np.array_equal(ends, np.arange(self.rows.shape[0]))
        return self._is_in_order

    @property
    def differences(self):
        """D, formed (n_pairs, V): sparse where the features are, else at least float32.

        Where float32 cannot hold a difference of two, it is float64.
        """
        if not self.is_dense:
            return self[:]
        formed = np.empty(self.shape, dtype=np.result_type(self.rows.dtype, np.float32))
        for chunk in self._chunks():
            with np.errstate(over="ignore"):
                block = self[chunk]
            largest = np.max(np.abs(block), initial=0.0)
            if largest > np.finfo(formed.dtype).max:
                if not np.isfinite(largest):
                    raise ValueError(
                        f"Differences of vectors are beyond the range of floats in pairs "
                        f"{chunk.start} to {chunk.stop - 1}. Divide the vectors by the greatest."
                    )
                formed = formed.astype(np.float64)
            formed[chunk] = block
        return formed


class NuisanceDesign:
    """Margins of a design, with a few dense columns after its own.

    Parameters
    ----------
    design : PairDesign or DifferenceDesign of shape (n_pairs, V)
        Margins of rewards.
    columns : ndarray of shape (n_pairs, k)
        What else enters the margin of a pair.
    held : DenseGram, default=None
        That of the design of which this is a part.
    """

    def __init__(self, design, columns, held=None):
        self.design = design
        self.columns = columns
        self.shape = (design.shape[0], design.shape[1] + columns.shape[1])
        self.is_dense = design.is_dense
        self.held = held or DenseGram()

    def __getitem__(self, rows):
        """Return some rows of D (m, V + k): a csr_array, or float64."""
        own, columns = self.design[rows], self.columns[rows]
        if not self.is_dense:
            return sparse.csr_array(sparse.hstack([own, sparse.csr_array(columns)]))
        return np.hstack([own, columns])

    def matvec(self, weights):
        """Return D w (n_pairs,)."""
        n = self.design.shape[1]
        return self.design.matvec(weights[:n]) + self.columns @ weights[n:]

    def rmatvec(self, residuals):
        """Return D' r (V + k,)."""
        return np.concatenate([self.design.rmatvec(residuals), self.columns.T @ residuals])

    def bend(self, by_margin, weights):
        """Return D' diag(h) D w (V + k,) and D w (n_pairs,)."""
        moved = self.matvec(weights)
        return self.rmatvec(by_margin * moved), moved

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
        return NuisanceDesign(self.design.take(rows), self.columns[rows], self.held)

    def gram(self, pair_weights):
        """Return D' diag(h) D (V + k, V + k)."""
        n = self.design.shape[1]
        weighted = pair_weights[:, np.newaxis] * self.columns  # (n_pairs, k)
        total = np.empty((self.shape[1], self.shape[1]))
        total[:n, :n] = self.design.gram(pair_weights)
        for column in range(weighted.shape[1]):
            total[:n, n + column] = self.design.rmatvec(weighted[:, column])
        total[n:, :n] = total[:n, n:].T
        total[n:, n:] = self.columns.T @ weighted
        return total

    def mean_gram(self):
        """Return about D' D / n_pairs (V + k, V + k), by a sample of the pairs."""
        return self.held.of(self)
