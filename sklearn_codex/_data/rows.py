"""Rows of features, sparse or dense, and the products that a design is made of.

Dense ones may be narrow floats or lie on disk. They are widened a block at a time, never as a
whole, and rows that are taken of them are no copy.
"""

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse

from sklearn_codex._categorical import FloatArray
from sklearn_codex._checks.matrices import is_sparse

# Entries of a sparse matrix whose squares are held at one time: 8 MB.
BLOCK_ENTRIES = 2**20
# Types that stay as they are; all others become the first.
FLOATS = (np.float64, np.float32, np.float16)
# Numbers of a dense matrix that are float64 at one time: 2 MB, and at least 64 rows.
BLOCK_NUMBERS = 2**18
LEAST_BLOCK = 64


def as_rows(matrix: Any) -> "SparseRows | DenseRows":
    """Return a csr_array or an ndarray (n, V) as rows."""
    if isinstance(matrix, (SparseRows, DenseRows)):
        return matrix
    return SparseRows(matrix) if is_sparse(matrix) else DenseRows(np.asarray(matrix))


def blocks_of(n_rows: int, n_columns: int) -> Iterator[slice]:
    """Yield slices of as many dense rows as are float64 at one time."""
    size = max(LEAST_BLOCK, BLOCK_NUMBERS // max(1, n_columns))
    for start in range(0, n_rows, size):
        yield slice(start, min(start + size, n_rows))


def column_squares(rows: Any, weights: FloatArray) -> FloatArray:
    """Return sum over i of h_i R_ij^2 (V,) of a csr_array or ndarray R (n, V)."""
    if not is_sparse(rows):
        return weights @ rows**2
    total = np.zeros(rows.shape[1])
    # Each block adds up all columns, so that it is not small beside their number.
    for here in _blocks_of_entries(rows.indptr, max(BLOCK_ENTRIES, 4 * rows.shape[1])):
        part = _slice_of(rows, here, sparse.csr_array)
        part.data = part.data**2
        total += part.T @ weights[here]
    return total


def _blocks_of_entries(indptr, size) -> Iterator[slice]:
    """Yield slices of the rows, or columns, of a compressed matrix with about ``size`` entries."""
    start = 0
    while start < len(indptr) - 1:
        stop = int(np.searchsorted(indptr, int(indptr[start]) + size, side="right"))
        stop = min(max(stop, start + 1), len(indptr) - 1)
        yield slice(start, stop)
        start = stop


def _slice_of(matrix, here, kind):
    """Return rows of a csr_array or columns of a csc_array, whose entries are no copy."""
    first, last = int(matrix.indptr[here.start]), int(matrix.indptr[here.stop])
    indptr = matrix.indptr[here.start : here.stop + 1] - first
    parts = matrix.data[first:last], matrix.indices[first:last], indptr
    n = here.stop - here.start
    shape = (n, matrix.shape[1]) if kind is sparse.csr_array else (matrix.shape[0], n)
    return kind(parts, shape=shape)


def weighted_gram(rows: Any, weights: FloatArray) -> FloatArray:
    """Return R' diag(h) R (V, V), dense, of a csr_array or ndarray R (n, V)."""
    if is_sparse(rows):
        return (rows.T @ (sparse.diags_array(weights) @ rows)).toarray()
    return rows.T @ (weights[:, np.newaxis] * rows)


def _as_slice(rows: Any) -> Any:
    """Return positions as a slice, which copies nothing, where they rise by one and the same."""
    if not isinstance(rows, np.ndarray) or rows.dtype == bool or len(rows) < 2:
        return rows
    step = int(rows[1] - rows[0])
    if step < 1 or not (np.diff(rows) == step).all():
        return rows
    return slice(int(rows[0]), int(rows[-1]) + 1, step)


class SparseRows:
    """Rows of a csr_array.

    Parameters
    ----------
    matrix : csr_array of shape (n, V)
        Features, or their differences.
    """

    is_dense = False

    def is_plain(self, dtype=np.float64):
        """Return whether these are rows of an array of a type of floats in memory."""
        return False

    def __init__(self, matrix):
        self.matrix = matrix
        self.shape = matrix.shape
        self.n_entries = matrix.nnz
        self.dtype = matrix.dtype

    def __getitem__(self, rows):
        """Return some rows (k, V), as a csr_array."""
        return self.matrix[rows]

    def take(self, rows):
        """Return some rows as rows of their own."""
        return SparseRows(self.matrix[rows])

    def columns(self, columns):
        """Return some columns (n, k), dense."""
        return self.matrix[:, columns].toarray()

    @cached_property
    def _transposed(self):
        """The matrix R' (V, n), which costs more to make than many a product."""
        return self.matrix.T

    @cached_property
    def _squares(self):
        """The matrix of R_ij^2 (V, n), kept of a small one."""
        return self.matrix.power(2).T

    def times(self, weights):
        """Return R w (n,), or R W (n, k)."""
        return self.matrix @ weights

    def transposed_times(self, values):
        """Return R' v (V,)."""
        return self._transposed @ values

    def bend(self, by_row, weights):
        """Return R' diag(h) R w (V,) and R w (n,)."""
        moved = self.matrix @ weights
        return self.matrix.T @ (by_row * moved), moved

    def column_squares(self, weights):
        """Return sum over i of h_i R_ij^2 (V,)."""
        if self.n_entries <= BLOCK_ENTRIES:
            return self._squares @ weights
        return self._column_squares(weights)

    def _column_squares(self, weights):
        return column_squares(self.matrix, weights)

    def gram(self, weights):
        """Return R' diag(h) R (V, V), dense."""
        return weighted_gram(self.matrix, weights)


class SparseColumns(SparseRows):
    """Rows of a csc_array, of far more columns than rows.

    Its products take half the time of those of a csr_array: what is looked up and added to has one
    number a row, which stays in the cache, and what has one a column is passed in order.

    Parameters
    ----------
    matrix : csc_array of shape (n, V)
        Features, or their differences.
    """

    def __getitem__(self, rows):
        """Return some rows (k, V), as a csr_array."""
        return sparse.csr_array(self.matrix[rows])

    def take(self, rows):
        """Return some rows as rows of their own."""
        return SparseColumns(self.matrix[rows])

    def _column_squares(self, weights):
        total = np.empty(self.shape[1])
        for here, part in self._blocks():
            part.data = part.data**2
            total[here] = part.T @ weights
        return total

    def multiply_rows(self, a, b):
        """Yield the products of rows a and b (n_pairs, k) of some columns at a time, as csr_array.

        Yields
        ------
        here : slice
            Which columns.
        products : csr_array of shape (n_pairs, k)
        """
        for here, part in self._blocks():
            rows = sparse.csr_array(part)
            yield here, rows[a].multiply(rows[b])

    def _blocks(self):
        for here in _blocks_of_entries(self.matrix.indptr, BLOCK_ENTRIES):
            yield here, _slice_of(self.matrix, here, sparse.csc_array)


class DenseRows:
    """Rows of an array of floats of any width, in memory or on disk.

    Parameters
    ----------
    array : ndarray of shape (m, V)
        Features, or their differences.
    chosen : ndarray of int of shape (n,), default=None
        The rows of ``array`` that these are; None means all.
    """

    is_dense = True
    n_entries = 0
    dtype: np.dtype

    def __init__(self, array, chosen=None):
        self._array = array
        self._chosen = chosen
        self.shape = (len(array) if chosen is None else len(chosen), array.shape[1])
        self.dtype = array.dtype

    @property
    def matrix(self):
        """The rows (n, V) in their own type; a copy where they are some of the array's."""
        return self._array if self._chosen is None else self._array[self._chosen]

    def __getitem__(self, rows):
        """Return some rows (k, V), as float64: to be read, for they may be those of the array."""
        chosen = rows if self._chosen is None else self._chosen[rows]
        return np.asarray(self._array[_as_slice(chosen)], dtype=np.float64)

    def is_plain(self, dtype=np.float64):
        """Return whether these are all rows of an array of a type of floats in memory."""
        array = self._array if self._chosen is None else None
        if array is None or array.dtype != dtype:
            return False
        while isinstance(array, np.ndarray) and not isinstance(array, np.memmap):
            array = array.base
        return array is None

    def take(self, rows):
        """Return some rows as rows of their own, without a copy."""
        every = np.arange(self.shape[0]) if self._chosen is None else self._chosen
        return type(self)(self._array, every[rows])

    def n_filled(self):
        """Return how many entries are not 0."""
        return sum(np.count_nonzero(self[here]) for here in blocks_of(*self.shape))

    def columns(self, columns):
        """Return some columns (n, k), as float64."""
        part = self._array[:, columns]
        return np.asarray(part if self._chosen is None else part[self._chosen], dtype=np.float64)

    def _of_whole(self):
        """Return the rows of the whole array where it is as quick to multiply all of them."""
        if self._chosen is None or 2 * len(self._chosen) < len(self._array):
            return None
        return type(self)(self._array)

    def _blocks(self):
        """Yield slices of the rows and these as float64, narrow ones until the next are asked."""
        if self.dtype == np.float64:
            yield from ((here, self[here]) for here in blocks_of(*self.shape))
            return
        wide = np.empty((0, self.shape[1]))
        for here in blocks_of(*self.shape):
            n_rows = here.stop - here.start
            if len(wide) < n_rows:  # a new one for each block would cost as much again
                wide = np.empty((n_rows, self.shape[1]))
            chosen = here if self._chosen is None else _as_slice(self._chosen[here])
            np.copyto(wide[:n_rows], self._array[chosen])
            yield here, wide[:n_rows]

    def times(self, weights):
        """Return R w (n,), or R W (n, k)."""
        whole = self._of_whole()
        if whole is not None:
            return whole.times(weights)[self._chosen]
        if self._chosen is None and self._array.dtype == np.float64:
            return self._array @ weights
        result = np.empty((self.shape[0], *weights.shape[1:]))
        for here, block in self._blocks():
            result[here] = block @ weights
        return result

    def transposed_times(self, values):
        """Return R' v (V,)."""
        whole = self._of_whole()
        if whole is not None:
            return whole.transposed_times(np.bincount(self._chosen, values, len(self._array)))
        if self._chosen is None and self._array.dtype == np.float64:
            return self._array.T @ values
        result = np.zeros(self.shape[1])
        for here, block in self._blocks():
            result += block.T @ values[here]
        return result

    def bend(self, by_row, weights):
        """Return R' diag(h) R w (V,) and R w (n,), reading, and widening, each row once."""
        whole = self._of_whole()
        if whole is not None:
            by_whole = np.bincount(self._chosen, by_row, len(self._array))
            bent, moved = whole.bend(by_whole, weights)
            return bent, moved[self._chosen]
        bent, moved = np.zeros(self.shape[1]), np.empty(self.shape[0])
        for here, block in self._blocks():
            moved[here] = block @ weights
            bent += block.T @ (by_row[here] * moved[here])
        return bent, moved

    def column_squares(self, weights):
        """Return sum over i of h_i R_ij^2 (V,)."""
        result, squares = np.zeros(self.shape[1]), np.empty(0)
        for here, block in self._blocks():
            if len(squares) < len(block):
                squares = np.empty(block.shape)
            result += weights[here] @ np.square(block, out=squares[: len(block)])
        return result

    def gram(self, weights):
        """Return R' diag(h) R (V, V)."""
        result = np.zeros((self.shape[1], self.shape[1]))
        for here, block in self._blocks():
            result += weighted_gram(block, weights[here])
        return result
