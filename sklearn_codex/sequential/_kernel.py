"""Transition probabilities from states to tokens, and the same tilted by a weight of each token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.special import logsumexp

from sklearn_codex._categorical import FloatArray, IntArray, TokenSampler, normalize_log, safe_log
from sklearn_codex._checks.matrices import is_sparse

# Below it a sum of weights has lost digits to underflow, and its row is computed in logarithms.
_TINY = 1e-200
# Nats of a tilt from which sums of weights keep the digits of what they add up to.
_SLIGHT = 1e-2


@dataclass(frozen=True)
class Kernel:
    """Probabilities P = S + a u' of V tokens in each of n states.

    Parameters
    ----------
    matrix : ndarray or csr_array of shape (n, V)
        S.
    backoff : ndarray of shape (n,)
        a, the share of each row that comes from ``unigram``.
    unigram : ndarray of shape (V,)
        u, a distribution.
    """

    matrix: Any
    backoff: FloatArray
    unigram: FloatArray

    @classmethod
    def of_rows(cls, matrix: Any) -> Kernel:
        """Return the kernel of rows (n, V) that are distributions, without back-off."""
        n_rows, n_columns = matrix.shape
        return cls(matrix, np.zeros(n_rows), np.full(n_columns, 1.0 / n_columns))

    def dot(self, values: FloatArray) -> FloatArray:
        """Return P v (n,), the expectation in each state of a value (V,) of each token."""
        return self.matrix @ values + self.backoff * (self.unigram @ values)

    def push(self, weights: FloatArray) -> FloatArray:
        """Return P' d (V,), the weight that tokens receive from weights (n,) of the states."""
        return weights @ self.matrix + (weights @ self.backoff) * self.unigram

    def take(self, states: IntArray) -> Kernel:
        """Return the rows of these states (k,)."""
        return Kernel(self.matrix[states], self.backoff[states], self.unigram)

    def toarray(self) -> FloatArray:
        """Return P (n, V)."""
        matrix = self.matrix if isinstance(self.matrix, np.ndarray) else self.matrix.toarray()
        return matrix + np.outer(self.backoff, self.unigram)

    def tilt(self, log_tilt: FloatArray) -> tuple[Kernel, FloatArray]:
        """Return the kernel of P(t|s) exp(x_t) / Z(s) and log Z (n,), each row scaled by itself."""
        matrix = self.matrix
        # Tilts are taken from the best possible token of each row first: vast ones would swallow
        # the digits of log P.
        if isinstance(matrix, np.ndarray):
            log_prob = safe_log(self.toarray())
            top = np.where(np.isneginf(log_prob), -np.inf, log_tilt).max(axis=1)
            logits = log_prob + (log_tilt - top[:, None])
            log_norm = logsumexp(logits, axis=1)
            return Kernel.of_rows(np.exp(logits - log_norm[:, None])), top + log_norm
        rows = np.repeat(np.arange(len(self.backoff)), np.diff(matrix.indptr))
        shared_top = log_tilt[self.unigram > 0].max()
        top = np.where(self.backoff > 0, shared_top, -np.inf)
        entries = np.where(matrix.data > 0, log_tilt[matrix.indices], -np.inf)
        np.maximum.at(top, rows, entries)
        own = safe_log(matrix.data) + (log_tilt[matrix.indices] - top[rows])
        unigram = safe_log(self.unigram) + (log_tilt - shared_top)
        shared = safe_log(self.backoff) + (shared_top - top) + logsumexp(unigram)
        total = np.bincount(rows, np.exp(own), len(top)) + np.exp(shared)
        log_norm = np.log(total)
        data = np.exp(own - log_norm[rows])
        tilted = sp.csr_array((data, matrix.indices, matrix.indptr), shape=matrix.shape)
        tilt = Kernel(tilted, np.exp(shared - log_norm), np.exp(normalize_log(unigram)))
        return tilt, top + log_norm

    def sample(self, rows: IntArray, rng: np.random.RandomState) -> IntArray:
        """Return one token for each entry of ``rows`` (m,), drawn from that row."""
        uniform, share = rng.random_sample(len(rows)), self.backoff[rows]
        if not share.any():
            return _inverse_cdf(self.matrix, rows, uniform)
        tokens = TokenSampler(safe_log(self.unigram)).sample(len(rows), rng)
        # Beyond the share of the back-off, a uniform is one for the other tokens. A share of 1 may
        # have been rounded down: such a row has no others.
        own = np.flatnonzero((uniform >= share) & (self.matrix.sum(axis=1)[rows] > 0))
        rest = (uniform[own] - share[own]) / (1.0 - share[own])
        tokens[own] = _inverse_cdf(self.matrix, rows[own], rest)
        return tokens


def _inverse_cdf(matrix, rows, uniform):
    """Return the token (m,) of each row at which its cumulative weight passes a uniform (m,)."""
    if is_sparse(matrix):
        weights, columns, ends = matrix.data, matrix.indices, matrix.indptr
    else:
        n_rows, n_columns = matrix.shape
        weights = matrix.ravel()
        columns, ends = np.tile(np.arange(n_columns), n_rows), np.arange(n_rows + 1) * n_columns
    cdf = np.append(0.0, np.cumsum(weights))
    low, high = cdf[ends[rows]], cdf[ends[rows + 1]]
    # Rounding must not lead out of the row, nor to a token of weight 0 behind its last.
    point = np.minimum(low + uniform * (high - low), np.nextafter(high, 0.0))
    return columns[np.searchsorted(cdf, point, side="right") - 1].astype(np.intp)


class TiltedKernel:
    r"""The policy of one position, :math:`\pi(t|s) = P(t|s) e^{x_t} / Z(s)`, never written out.

    All that is asked of it is a product of P with a vector, whatever the number of entries of P.
    Rows whose tokens all weigh so little that their weights underflow are kept by themselves.

    Parameters
    ----------
    kernel : Kernel
        P, n states and V tokens.
    log_tilt : ndarray of shape (V,)
        x, finite.

    Attributes
    ----------
    log_norm : ndarray of shape (n,)
        log Z(s), which is the logarithm of P e^x.
    """

    def __init__(self, kernel: Kernel, log_tilt: FloatArray):
        self._kernel, self._log_tilt = kernel, log_tilt
        shift = log_tilt.max()
        self._weights = np.exp(log_tilt - shift)
        self._sums = kernel.dot(self._weights)
        self._lost = np.flatnonzero(self._sums < _TINY)
        self._sums[self._lost] = 1.0
        if np.ptp(log_tilt) < _SLIGHT:
            # Rows sum to one: what a slight tilt adds to it has digits that the sum loses.
            self.log_norm = shift + np.log1p(kernel.dot(np.expm1(log_tilt - shift)))
        else:
            self.log_norm = shift + np.log(self._sums)
        if self._lost.size:
            self._exact, self.log_norm[self._lost] = kernel.take(self._lost).tilt(log_tilt)

    def expect(self, values: FloatArray) -> FloatArray:
        """Return the expectation (n,) of a value (V,) of the token."""
        means = self._kernel.dot(self._weights * values) / self._sums
        if self._lost.size:
            means[self._lost] = self._exact.dot(values)
        return means

    def push(self, weights: FloatArray) -> FloatArray:
        """Return the weight (V,) that tokens receive from weights (n,) of the states."""
        if not self._lost.size:
            return self._weights * self._kernel.push(weights / self._sums)
        kept = weights / self._sums
        kept[self._lost] = 0.0
        return self._weights * self._kernel.push(kept) + self._exact.push(weights[self._lost])

    def rows(self, states: IntArray) -> Kernel:
        """Return the probabilities of these states (k,), written out."""
        return self._kernel.take(states).tilt(self._log_tilt)[0]

    def sample(self, states: IntArray, rng: np.random.RandomState) -> IntArray:
        """Return one token for each state (m,)."""
        distinct, rows = np.unique(states, return_inverse=True)
        return self.rows(distinct).sample(rows, rng)
