"""Differences of float32, by which a fit of many dense vectors moves half as much memory.

Products of float32 are right to six digits or so. That is enough for the directions in which a fit
looks, so the steps of conjugate gradients are made of them at any tolerance; gradients and margins
are exact, but where the fit stops long before it could tell.
"""

from typing import Any

import numpy as np

from sklearn_codex._categorical import FloatArray
from sklearn_codex._data.designs import DifferenceDesign, PairDesign
from sklearn_codex._data.rows import DenseRows, blocks_of

# Numbers from which on it is worth to look at the differences once more.
LEAST_NUMBERS = 2**20
# A fit of this tolerance, or a greater one, stops before it could tell products from exact ones.
ROUGH_TOL = 1e-4
# Columns within these are products and squares of float32 without loss.
SMALLEST, GREATEST = 1e-12, 1e12


class RoundedRows(DenseRows):
    """Rows of an array of float32 in memory whose products are made in float32."""

    def _narrow(self, here):
        return self._array[here] if self._chosen is None else self._array[self._chosen[here]]

    def times(self, weights):
        """Return R w (n,)."""
        whole = self._of_whole()
        if whole is not None:
            return whole.times(weights)[self._chosen]
        weights, scale = _narrowed(weights)
        result = np.empty(self.shape[0])
        for here in blocks_of(*self.shape):
            result[here] = self._narrow(here) @ weights
        return scale * result

    def transposed_times(self, values):
        """Return R' v (V,)."""
        whole = self._of_whole()
        if whole is not None:
            return whole.transposed_times(np.bincount(self._chosen, values, len(self._array)))
        values, scale = _narrowed(values)
        result = np.zeros(self.shape[1])
        for here in blocks_of(*self.shape):
            result += values[here] @ self._narrow(here)
        return scale * result

    def bend(self, by_row, weights):
        """Return R' diag(h) R w (V,) and R w (n,), reading each row once."""
        whole = self._of_whole()
        if whole is not None:
            by_whole = np.bincount(self._chosen, by_row, len(self._array))
            bent, moved = whole.bend(by_whole, weights)
            return bent, moved[self._chosen]
        (by_row, row_scale), (weights, scale) = _narrowed(by_row), _narrowed(weights)
        bent, moved = np.zeros(self.shape[1]), np.empty(self.shape[0], dtype=np.float32)
        for here in blocks_of(*self.shape):
            block = self._narrow(here)
            np.matmul(block, weights, out=moved[here])
            bent += (by_row[here] * moved[here]) @ block
        return scale * row_scale * bent, scale * moved.astype(np.float64)

    def column_squares(self, weights):
        """Return sum over i of h_i R_ij^2 (V,)."""
        weights, scale = _narrowed(weights)
        result = np.zeros(self.shape[1])
        for here in blocks_of(*self.shape):
            result += weights[here] @ np.square(self._narrow(here))
        return scale * result


def _narrowed(values):
    """Return values of at most 1 as float32, and the float by which they are to be multiplied."""
    scale = float(np.max(np.abs(values), initial=0.0)) or 1.0
    return (values / scale).astype(np.float32), scale


class RoundedDesign(DifferenceDesign):
    """A design of which only the products of conjugate gradients are those of rounded differences.

    Parameters
    ----------
    exact : PairDesign or DifferenceDesign of shape (n_pairs, V)
        Dense.
    rounded : RoundedRows of shape (n_pairs, V)
        Its differences.
    """

    bends_about = True

    def __init__(self, exact, rounded):
        super().__init__(rounded, exact.held)
        self.exact = exact

    @property
    def differences(self):
        """D (n_pairs, V), formed exactly."""
        return self.exact.differences

    def __getitem__(self, rows):
        """Return some rows of D (k, V), as float64."""
        return self.exact[rows]

    def matvec(self, weights):
        """Return D w (n_pairs,)."""
        return self.exact.matvec(weights)

    def rmatvec(self, residuals):
        """Return D' r (V,)."""
        return self.exact.rmatvec(residuals)

    def dense_columns(self, columns):
        """Return some columns of D (n_pairs, k)."""
        return self.exact.dense_columns(columns)

    def column_squares(self, pair_weights):
        """Return sum over i of h_i D_ij^2 (V,)."""
        return self.exact.column_squares(pair_weights)

    def gram(self, pair_weights):
        """Return D' diag(h) D (V, V)."""
        return self.exact.gram(pair_weights)

    def take(self, rows):
        """Return the design of some of the pairs."""
        return RoundedDesign(self.exact.take(rows), self.rows.take(rows))


def to_fit(design: Any, tol: float) -> Any:
    """Return the design by which a fit up to a tolerance is quickest.

    Parameters
    ----------
    design : PairDesign or DifferenceDesign of shape (n_pairs, V)
    tol : float
        Of the norm of the gradient, as a part of that at zero weights.

    Returns
    -------
    design : PairDesign or DifferenceDesign of shape (n_pairs, V)
        For many vectors of float32 in memory one of their differences in float32, which take at
        most half of their room; else that of :meth:`PairDesign.to_solve`.
    """
    differences = _round(design)
    if differences is None:
        return design.to_solve()
    rows = RoundedRows(differences)
    return DifferenceDesign(rows, design.held) if tol >= ROUGH_TOL else RoundedDesign(design, rows)


def _round(design: Any) -> FloatArray | None:
    """Return the differences of float32 vectors, where products of them are right; else None."""
    if not (design.is_dense and design.rows.is_plain(np.float32)):
        return None
    if design.shape[0] * design.shape[1] < LEAST_NUMBERS:
        return None
    if isinstance(design, DifferenceDesign):
        differences = design.differences
    elif design.is_half():
        differences = _subtract(design)
    else:
        return None
    least, most = np.zeros((2, design.shape[1]), dtype=np.float32)
    for here in blocks_of(*differences.shape):
        block = differences[here]
        least, most = np.minimum(least, block.min(axis=0)), np.maximum(most, block.max(axis=0))
    size = np.maximum(most, -least)
    return differences if np.all((size == 0) | (size > SMALLEST) & (size < GREATEST)) else None


def _subtract(design: PairDesign) -> FloatArray:
    """Return phi(A) - phi(B) (n_pairs, V) of float32, the nearest to the exact ones."""
    table = design.features
    with np.errstate(over="ignore"):
        if design.is_in_order():
            return table[::2] - table[1::2]
        differences = np.empty(design.shape, dtype=np.float32)
        for here in blocks_of(*design.shape):
            np.subtract(table[design.a[here]], table[design.b[here]], out=differences[here])
    return differences
