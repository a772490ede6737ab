"""Covariances of fitted weights, held in whichever form the shape of the data makes cheap.

With Z (n, V) the training rows times the root of their curvature and q (V,) the penalty, the
information of a penalised fit is A = diag(q) + Z' Z. Covariances are A^-1 (Laplace) or A^-1 B A^-1
(sandwich), and are only asked for the variance of linear functions of the weights.
"""

from typing import Any, Literal, Protocol

import numpy as np
from scipy import sparse
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.sparse.linalg import svds

from sklearn_codex._categorical import FloatArray
from sklearn_codex._checks.matrices import is_sparse

Method = Literal["dense", "dual", "low_rank"]
# Rows whose covariances with the weights are held at one time.
CHUNK_ROWS = 256
# Beyond this many weights, rows of few are not made plain arrays to find what a fit leaves of them.
MANY_FEATURES = 200
# Part of their diagonal that is added for weights without a penalty, so that those the data cannot
# tell apart, such as the two of length where all gaps are of one size, have a solution. It is far
# below what the data say of any that they can.
FREE_RIDGE = 1e-12


class Precision(Protocol):
    """What solves A x = b."""

    def solve(self, right: FloatArray) -> FloatArray:
        """Return A^-1 B (V, k) for B (V, k)."""
        ...


class Complements(Protocol):
    """What a fit leaves of its own rows."""

    def __call__(self, here: slice, size: int) -> FloatArray:
        """Return I - Z_g A^-1 Z_g' (k, size, size) of the k groups of the rows at ``here``."""
        ...


class PrecisionOfRows(Precision, Protocol):
    """What was made of rows Z, so that groups of them can be left out."""

    def complements(self, rows) -> Complements:
        """Return the function that leaves out groups of the rows Z (n, V)."""
        ...


class HeldRows:
    """A matrix as plain arrays, which a model file may hold where it may not hold scipy's types.

    Parameters
    ----------
    rows : ndarray or csr_array of shape (n, V)
        The matrix.
    """

    def __init__(self, rows):
        n_rows, n_columns = rows.shape
        self._shape = (int(n_rows), int(n_columns))
        self._is_sparse = is_sparse(rows)
        self._parts: tuple[Any, ...]
        if self._is_sparse:
            rows = sparse.csr_array(rows)
            self._parts = (rows.data, rows.indices, rows.indptr)
        else:
            self._parts = (np.asarray(rows),)

    def matrix(self):
        """Return the ndarray or csr_array (n, V), of the arrays held."""
        if self._is_sparse:
            return sparse.csr_array(self._parts, shape=self._shape)
        return self._parts[0]


class MatrixPrecision:
    """A (V, V), positive definite, by its Cholesky factor.

    Parameters
    ----------
    matrix : ndarray of shape (V, V)
        A; it may be overwritten.
    """

    def __init__(self, matrix):
        self._factor = cho_factor(matrix, lower=True, overwrite_a=True)

    def solve(self, right):
        """Return A^-1 B (V, k) for B (V, k)."""
        return cho_solve(self._factor, right)


def settle_free(matrix, free):
    """Return a precision (V, V), changed in place, that has a solution for its free weights (V,).

    A weight without a penalty that no row has is taken as known to be 0.
    """
    diagonal = np.diag(matrix)[free]
    matrix[free, free] = np.where(diagonal > 0, (1 + FREE_RIDGE) * diagonal, 1.0)
    return matrix


class DensePrecision(MatrixPrecision):
    """A (V, V) from its rows. Entries of q may be 0 where the rows determine the weight.

    Parameters
    ----------
    rows : ndarray or csr_array of shape (n, V)
        Z.
    penalty : ndarray of shape (V,)
        q.
    """

    def __init__(self, rows, penalty):
        information = rows.T @ rows
        information = information.toarray() if is_sparse(information) else information
        information[np.diag_indices_from(information)] += penalty
        super().__init__(settle_free(information, penalty == 0))

    def whiten(self, rows):
        """Return R L^-T (n, V) for R (n, V), L being the factor of A = L L'."""
        return solve_triangular(self._factor[0], rows.T, lower=True, check_finite=False).T

    def complements(self, rows):
        """Return the function that leaves out groups of the rows Z (n, V)."""
        if is_sparse(rows) and rows.shape[1] > MANY_FEATURES:
            return self._sparse_complements(rows)

        def complements(here, size):
            white = self.whiten(toarray(rows[here])).reshape(-1, size, rows.shape[1])
            return np.eye(size) - white @ np.swapaxes(white, 1, 2)

        return complements

    def _sparse_complements(self, rows):
        """Do so by A^-1, of which rows with few entries take few rows."""
        inverse = self.solve(np.eye(rows.shape[1]))

        def complements(here, size):
            part = rows[here]
            solved = (part @ inverse).reshape(-1, size, rows.shape[1])
            plain = part.toarray().reshape(solved.shape)
            return np.eye(size) - solved @ np.swapaxes(plain, 1, 2)

        return complements


class DualPrecision:
    r"""A by the n x n matrix of Woodbury's identity; exact, and cheap where n is small.

    Parameters
    ----------
    rows : ndarray or csr_array of shape (n, V)
        Z.
    penalty : ndarray of shape (V,)
        q, positive.

    Notes
    -----
    .. math::
        A^{-1} = Q^{-1} - Q^{-1} Z^\top (I + Z Q^{-1} Z^\top)^{-1} Z Q^{-1}, \quad
        Q = \operatorname{diag}(q).
    """

    def __init__(self, rows, penalty):
        self._rows = HeldRows(rows)
        self._variance = 1.0 / penalty  # (V,)
        n_rows = rows.shape[0]
        kernel = np.empty((n_rows, n_rows))
        # A sparse product would hold nearly as many numbers as the kernel, and their places too.
        for start in range(0, n_rows, CHUNK_ROWS):
            chunk = toarray(rows[start : start + CHUNK_ROWS]) * self._variance
            kernel[:, start : start + CHUNK_ROWS] = rows @ chunk.T
        kernel[np.diag_indices_from(kernel)] += 1.0
        self._factor = cho_factor(kernel, lower=True, overwrite_a=True)

    def solve(self, right):
        """Return A^-1 B (V, k) for B (V, k)."""
        rows = self._rows.matrix()
        prior = self._variance[:, np.newaxis] * right
        known = rows.T @ cho_solve(self._factor, rows @ prior)
        return prior - self._variance[:, np.newaxis] * known

    def complements(self, rows):
        """Return the function that leaves out groups of the rows Z (n, V), which are its own.

        With K = Z Q^-1 Z' it finds blocks of I - K (I + K)^-1 = (I + K)^-1.
        """
        factor = self._factor[0]

        def complements(here, size):
            lower = factor[here.start :, here.start :]
            unit = np.eye(len(lower), here.stop - here.start, order="F")
            found = solve_triangular(lower, unit, lower=True, overwrite_b=True, check_finite=False)
            roots = found.T.reshape(-1, size, len(lower))
            return roots @ np.swapaxes(roots, 1, 2)

        return complements


class BorderedPrecision:
    """A where a few weights are free of any penalty: the penalised ones are eliminated first.

    Parameters
    ----------
    rows : ndarray or csr_array of shape (n, V)
        Z.
    free : ndarray of bool of shape (V,)
        Which weights have no penalty.
    inner : PrecisionOfRows
        That of the other weights alone.
    """

    def __init__(self, rows, free, inner):
        self._free = free
        self._inner = inner
        border = toarray(rows[:, np.flatnonzero(free)])  # (n, f)
        self._cross = rows[:, np.flatnonzero(~free)].T @ border  # (V - f, f)
        self._solved = inner.solve(self._cross)
        gram = border.T @ border
        ridge = FREE_RIDGE * np.diag(np.diag(gram))
        schur = gram + ridge - self._cross.T @ self._solved  # (f, f)
        self._factor = cho_factor(schur, lower=True)

    def solve(self, right):
        """Return A^-1 B (V, k) for B (V, k)."""
        inner = self._inner.solve(right[~self._free])
        free = cho_solve(self._factor, right[self._free] - self._cross.T @ inner)
        result = np.empty_like(right, dtype=np.float64)
        result[self._free] = free
        result[~self._free] = inner - self._solved @ free
        return result

    def complements(self, rows):
        """Return the function that leaves out groups of the rows Z (n, V), which are its own."""
        penalised = rows[:, np.flatnonzero(~self._free)]
        border = toarray(rows[:, np.flatnonzero(self._free)]) - penalised @ self._solved
        white = solve_triangular(self._factor[0], border.T, lower=True).T  # (n, f)
        inner = self._inner.complements(penalised)

        def complements(here, size):
            part = white[here].reshape(-1, size, white.shape[1])
            return inner(here, size) - part @ np.swapaxes(part, 1, 2)

        return complements


def choose_method(shape: tuple[int, int], *, max_features: int, max_pairs: int) -> Method:
    """Return the exact method that is cheap enough for rows of a shape, else "low_rank"."""
    n_rows, n_features = shape
    if n_features <= max_features:
        return "dense"
    return "dual" if n_rows <= max_pairs else "low_rank"


def make_precision(
    rows, penalty: FloatArray, *, method: Method, rank: int = 200
) -> PrecisionOfRows:
    """Return A = diag(q) + Z' Z, ready to be solved.

    Parameters
    ----------
    rows : ndarray or csr_array of shape (n, V)
        Z.
    penalty : ndarray of shape (V,)
        q, not negative.
    method : {"dense", "dual", "low_rank"}
        The last keeps the ``rank`` leading singular values of Z Q^-1/2 and forgets the rest of the
        data, so A^-1 is never understated.
    rank : int, default=200
        Singular values to keep.
    """
    if method == "dense":
        return DensePrecision(rows, penalty)
    free = penalty == 0
    if free.any():
        inner = make_precision(
            rows[:, np.flatnonzero(~free)], penalty[~free], method=method, rank=rank
        )
        return BorderedPrecision(rows, free, inner)
    if method == "low_rank" and rank < min(rows.shape):
        rows = _leading_rows(rows, penalty, rank)
    return DualPrecision(rows, penalty)


def _leading_rows(rows, penalty, rank):
    """Return rows (rank, V) whose products are the leading part of Z' Z, in the metric of q."""
    scale = np.sqrt(penalty)
    start = np.random.RandomState(0).standard_normal(min(rows.shape))
    _, values, directions = svds(
        rows * (1.0 / scale), k=rank, v0=start, return_singular_vectors=True
    )
    return values[:, np.newaxis] * directions * scale


def toarray(rows):
    """Return rows (n, V) as a plain array."""
    return rows.toarray() if is_sparse(rows) else np.asarray(rows)


class GroupSandwich(Protocol):
    """The middle of a sandwich: what leaving out groups does to functions of the weights."""

    factor: float

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        ...

    def move(self, solved: FloatArray) -> FloatArray:
        """Return the moves (n_groups, k) of C' w, from A^-1 C (V, k)."""
        ...

    def spread(self, moves: FloatArray) -> FloatArray:
        """Return U' M (V, k) for M (n_groups, k), where A^-1 U' are the moves of all weights."""
        ...

    def n_effective(self, solved: FloatArray) -> FloatArray:
        """Return the effective number of groups (k,) of C' w, from A^-1 C (V, k)."""
        ...


class WeightCovariance:
    """Covariance of the weights of a fit.

    Parameters
    ----------
    precision : Precision
        A.
    groups : GroupSandwich, default=None
        The groups of the sandwich; None means the covariance is A^-1.
    """

    def __init__(self, precision: Precision, groups: GroupSandwich | None = None):
        self.precision = precision
        self.groups = groups

    def times(self, right: FloatArray) -> FloatArray:
        """Return the covariance of the weights with B' w (V, k), for B (V, k)."""
        solved = self.precision.solve(right)
        if self.groups is None:
            return solved
        spread = self.groups.spread(self.groups.move(solved))
        return self.groups.factor * self.precision.solve(spread)

    def matrix(self, n_weights: int) -> FloatArray:
        """Return the covariance of the weights (V, V)."""
        if self.groups is None or self.groups.n_groups > n_weights:
            return self.times(np.eye(n_weights))
        moves = self.precision.solve(self.groups.spread(np.eye(self.groups.n_groups)))
        return self.groups.factor * moves @ moves.T

    def variance(self, rows, center: FloatArray | None = None) -> FloatArray:
        """Return the variance (m,) of R w, for rows R (m, V) less a center (V,)."""
        parts = []
        for start in range(0, rows.shape[0], CHUNK_ROWS):
            right = toarray(rows[start : start + CHUNK_ROWS]).T
            right = right if center is None else right - center[:, np.newaxis]
            parts.append(self._of_chunk(right, self.precision.solve(right)))
        return np.concatenate(parts) if parts else np.zeros(0)

    def variance_and_groups(self, rows):
        """Return the variance (m,) of R w, and its effective number of groups (m,); inf of A^-1."""
        parts = []
        for start in range(0, rows.shape[0], CHUNK_ROWS):
            right = toarray(rows[start : start + CHUNK_ROWS]).T
            solved = self.precision.solve(right)
            variance, n_effective = self._of_chunk(right, solved), np.full(right.shape[1], np.inf)
            if self.groups is not None:
                n_effective = self.groups.n_effective(solved)
            parts.append((variance, n_effective))
        if not parts:
            return np.zeros(0), np.zeros(0)
        variance, n_effective = (np.concatenate(part) for part in zip(*parts, strict=True))
        return variance, n_effective

    def _of_chunk(self, right, solved):
        if self.groups is not None:
            return self.groups.factor * np.sum(self.groups.move(solved) ** 2, axis=0)
        # Rounding may leave a variance of 0 a little below it.
        return np.maximum(np.einsum("ij,ij->j", right, solved), 0.0)
