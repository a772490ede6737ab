"""What a penalised fit of pairs would be without each group, for the sandwich of few groups."""

from typing import Any

import numpy as np
from scipy import sparse

from sklearn_codex._checks.matrices import is_sparse
from sklearn_codex._few_groups import effective_groups
from sklearn_codex._solve.precision import DensePrecision, HeldRows, toarray

# Rows whose groups are left out at one time, where a group has no more.
BATCH_ROWS = 2048
# Numbers held at one time for the parts of groups: 64 MB.
CHUNK_NUMBERS = 2**23
# What a group leaves of a direction, below which nothing is left that could tell of it.
NOTHING_LEFT = 1e-10


class GroupMoves:
    r"""How far leaving out each group moves the weights of a fit, by one Newton step.

    Parameters
    ----------
    precision : Precision
        A, made of the rows in the order given here.
    rows : ndarray or csr_array of shape (n, V)
        Z, the rows of the pairs times the root of their curvature; those of a group together, and
        the groups in the order of their sizes.
    residual : ndarray of shape (n,)
        The weighted residuals over the root of the curvature, so that Z' r is the score.
    sizes : ndarray of int of shape (n_groups,)
        Rows of each group, rising.
    leave_out : bool, default=True
        Whether groups are left out; otherwise moves are :math:`A^{-1} Z_g' r_g`, too small by the
        part of the fit that the group decided.

    Notes
    -----
    With :math:`H_g = Z_g A^{-1} Z_g'`, the leverage of a group,

    .. math:: (A - Z_g' Z_g)^{-1} Z_g' r_g = A^{-1} Z_g' (I - H_g)^{-1} r_g,

    so that the scores of the new residuals :math:`(I - H_g)^{-1} r_g` are what is kept. Where
    without a group nothing tells of some direction of its rows, this direction is left out of them.
    """

    def __init__(self, precision, rows, residual, sizes, *, leave_out=True):
        if leave_out:
            residual = _leave_out(precision, rows, residual, sizes)
        # Where moves are too small, by 1 / G at least, the usual factor for it is in the other one.
        n_groups = len(sizes)
        self.factor = 1 - 1 / n_groups if leave_out else 1 / (1 - 1 / n_groups)
        self._scores = HeldRows(_add_up(sparse.diags_array(residual) @ rows, sizes))
        rows, sizes = _shorten(rows, sizes)
        self._rows = HeldRows(rows)
        self._sizes = sizes

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        return len(self._sizes)

    def move(self, solved):
        """Return the moves (n_groups, k) of C' w, from A^-1 C (V, k)."""
        return self._scores.matrix() @ solved

    def spread(self, moves):
        """Return U' M (V, k) for M (n_groups, k), where A^-1 U' are the moves of all weights."""
        return self._scores.matrix().T @ moves

    def n_effective(self, solved):
        """Return the effective number of groups (k,) of C' w, from A^-1 C (V, k)."""
        rows, n_rows, n = self._rows.matrix(), int(self._sizes.sum()), solved.shape[1]
        chunk = max(1, CHUNK_NUMBERS // n_rows)
        parts = (
            effective_groups(_add_squares(rows @ solved[:, start : start + chunk], self._sizes))
            for start in range(0, n, chunk)
        )
        return np.concatenate(list(parts))


def _alike(sizes):
    """Yield (first row, first group, size, number) of the groups of each size."""
    row = group = 0
    for size, number in zip(*np.unique(sizes, return_counts=True), strict=True):
        yield row, group, int(size), int(number)
        row, group = row + size * number, group + number


def _add_squares(values, sizes):
    """Return the sums (n_groups, k) of squares of values (n, k)."""
    sums = np.empty((len(sizes), values.shape[1]))
    for row, group, size, number in _alike(sizes):
        part = values[row : row + size * number].reshape(number, size, -1)
        np.einsum("gmk,gmk->gk", part, part, out=sums[group : group + number])
    return sums


def _add_up(rows, sizes):
    """Return the sums (n_groups, V) of rows (n, V)."""
    starts = np.concatenate([[0], np.cumsum(sizes)])
    membership = sparse.csr_array(
        (np.ones(starts[-1]), np.arange(starts[-1]), starts), shape=(len(sizes), starts[-1])
    )
    return membership @ rows


def _shorten(rows, sizes):
    """Return rows and sizes with the same Z_g' Z_g and no more than V rows of a group."""
    n_features = rows.shape[1]
    if sizes.max() <= n_features:
        return rows, sizes
    parts: list[Any] = []
    for row, _, size, number in _alike(sizes):
        part = rows[row : row + size * number]
        if size > n_features:
            part = toarray(part).reshape(number, size, n_features)
            # The types of numpy know no mode in which there is one array, not a tuple of two.
            part = np.asarray(np.linalg.qr(part, mode="r")).reshape(-1, n_features)
        parts.append(sparse.csr_array(part) if is_sparse(rows) else part)
    stack = sparse.vstack if is_sparse(rows) else np.concatenate
    return stack(parts), np.minimum(sizes, n_features)


def sort_by_group(codes):
    """Return the order (n,) of rows for :class:`GroupMoves`, and the sizes (n_groups,)."""
    codes = np.unique(codes, return_inverse=True)[1].reshape(-1)
    count = np.bincount(codes)
    order = np.lexsort([codes, count[codes]])
    return order, np.sort(count, kind="stable")


def _leave_out(precision, rows, residual, sizes):
    """Return (I - H_g)^-1 r_g of each group, as (n,)."""
    result = np.empty(len(residual))
    complements = precision.complements(rows)
    for row, _, size, number in _alike(sizes):
        batch = size * max(1, BATCH_ROWS // size)
        end = row + size * number
        for first in range(row, end, batch):
            here = slice(first, min(first + batch, end))
            of_groups = residual[here].reshape(-1, size)
            if isinstance(precision, DensePrecision) and size > rows.shape[1]:
                white = precision.whiten(toarray(rows[here])).reshape(*of_groups.shape, -1)
                found = _leave_out_large(white, of_groups)
            else:
                found = _solve_positive(complements(here, size), of_groups)
            result[here] = found.ravel()
    return result


def _leave_out_large(white, residual):
    """Return (I - W W')^-1 r (k, m), by Woodbury's identity, for W (k, m, V) with V < m."""
    across = np.swapaxes(white, 1, 2)  # (k, V, m)
    left = np.eye(across.shape[1]) - across @ white
    known = _solve_positive(left, (across @ residual[:, :, np.newaxis])[:, :, 0])
    return residual + (white @ known[:, :, np.newaxis])[:, :, 0]


def _solve_positive(matrices, right):
    """Return M^-1 b (k, m) for M (k, m, m), whose eigenvalues are in [0, 1], and b (k, m).

    Directions of eigenvalue 0, up to rounding, are left out.
    """
    try:
        pivots = np.diagonal(np.linalg.cholesky(matrices), axis1=1, axis2=2)
        is_safe = bool((pivots**2).min() > NOTHING_LEFT)
    except np.linalg.LinAlgError:
        is_safe = False
    if is_safe:
        return np.linalg.solve(matrices, right[:, :, np.newaxis])[:, :, 0]
    values, vectors = np.linalg.eigh(matrices)
    inverse = np.where(values > NOTHING_LEFT, 1 / np.maximum(values, NOTHING_LEFT), 0.0)
    known = np.einsum("kij,ki->kj", vectors, right) * inverse
    return np.einsum("kij,kj->ki", vectors, known)
