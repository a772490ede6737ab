"""Policies of n-grams as tilts of a reference, context by context."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from sklearn_codex._categorical import FloatArray
from sklearn_codex._ngrams.trie import Trie
from sklearn_codex.exact._ngram_kernel import ContextKernel

# Nats of tilts, over kl_coef, below which a normaliser is too near to 0 to be a sum's logarithm.
_SMALL = 1e-3


@dataclass(frozen=True)
class NGramTilt:
    r"""Back-off models :math:`\pi(t|h) = ref(t|h)\, e^{u(a) / b} / Z(h)`.

    a is the arc that draws token t in context h: the longest n-gram that the trie knows. Its tilt u
    is the sum of the weights w of the n-grams that it ends with, itself included, so that what is
    learned of a token holds in contexts where it was never seen.

    Parameters
    ----------
    trie : Trie
        Its events are the columns, its arcs, which are n-grams, have the weights.
    reference_log_prob : ndarray of shape (E,)
        The reference, as ``event_log_prob`` of a back-off model.
    kl_coef : float
        b.

    Notes
    -----
    The reward of an arc of context h is :math:`u(a) - b \log Z(h)`, that of backing off from h to
    h', the context without its first token, :math:`b \log Z(h') - b \log Z(h)`: a token then costs
    :math:`b \log Z` of the longest context before it, whatever draws it.

    A document's visits to contexts are linear in its events, the gradient of :math:`b \log Z(h)`
    by u is how likely the policy uses each arc after h, and the Hessian of it the covariance of
    that, over b. Each product is one pass over the arcs.
    """

    trie: Trie
    reference_log_prob: FloatArray
    kl_coef: float

    @property
    def n_weights(self) -> int:
        """A, the number of n-grams."""
        return self.trie.n_arcs

    @cached_property
    def _kernel(self) -> ContextKernel:
        return ContextKernel(self.trie, self.reference_log_prob)

    @cached_property
    def possible(self) -> np.ndarray:
        """Which columns (E,) the reference can use."""
        return ~np.isneginf(self.reference_log_prob)

    def tilt_of(self, weights: FloatArray) -> FloatArray:
        """Return the tilts (A,) of arcs by the weights (A,) of n-grams."""
        tilts = np.array(weights, np.float64)
        for start, stop in self.trie.levels()[1:]:
            tilts[start:stop] += tilts[self.trie.lower[start:stop]]
        return tilts

    def sum_over_tilts(self, values: FloatArray) -> FloatArray:
        """Return the sum (A,) for each n-gram of values (A,) of the arcs that end with it."""
        return self.trie.raw_counts(values)

    def at(self, weights: FloatArray) -> "NGramTiltPoint":
        """Return the policy at weights (A,)."""
        trie, kernel = self.trie, self._kernel
        tilts = self.tilt_of(weights)
        top, rest = kernel.log_sum_parts(tilts / self.kl_coef)
        owner, log_z = trie.arc_context, top + rest
        arcs = self.reference_log_prob[: trie.n_arcs] + tilts / self.kl_coef
        ends = np.zeros(trie.n_contexts - 1)
        backoffs = kernel.log_backoff_share(top, rest)[1:]
        log_prob = np.concatenate([arcs - top[owner] - rest[owner], backoffs, ends])
        reward = self._reward(tilts, self.kl_coef * self._digits_of(log_z, tilts))
        return NGramTiltPoint(self, log_prob, reward)

    @cached_property
    def _mean(self) -> Callable[[FloatArray], FloatArray]:
        """What expects values (A,) of arcs after each context (C,), under the reference."""
        return _NextToken(self.trie, self.reference_log_prob, self._kernel).mean

    def _digits_of(self, log_z: FloatArray, tilts: FloatArray) -> FloatArray:
        """Return log Z (C,), with more digits where tilts (A,) are small and it is next to 0."""
        moves = tilts / self.kl_coef
        if np.abs(moves).max(initial=0.0) > _SMALL:
            return log_z
        return np.log1p(self._mean(np.expm1(moves)))

    def _reward(self, of_arcs: FloatArray, of_contexts: FloatArray) -> FloatArray:
        """Return the reward (E,) of tilts (A,) and normalisers (C,), or a derivative of it."""
        trie = self.trie
        arcs = of_arcs - of_contexts[trie.arc_context]
        backoffs = (of_contexts[trie.suffix] - of_contexts)[1:]
        reward = np.concatenate([arcs, backoffs, np.zeros(trie.n_contexts - 1)])
        return np.where(self.possible, reward, 0.0)

    def _visits(self, slopes: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return slopes (E,) as those of arcs (A,) and of visits to contexts (C,)."""
        trie = self.trie
        slopes = np.where(self.possible, slopes, 0.0)
        arcs = slopes[: trie.n_arcs]
        passed = np.append(0.0, slopes[trie.n_arcs : trie.n_arcs + trie.n_contexts - 1])
        come = np.bincount(trie.suffix[1:], passed[1:], trie.n_contexts)
        return arcs, trie.sum_by_context(arcs) + passed - come


@dataclass(frozen=True)
class NGramTiltPoint:
    """A back-off model, and derivatives of its implicit reward."""

    tilt: NGramTilt
    log_prob: FloatArray
    reward: FloatArray

    @cached_property
    def _next(self) -> "_NextToken":
        return _NextToken(self.tilt.trie, self.log_prob, self.tilt._kernel)

    def jvp(self, direction: FloatArray) -> FloatArray:
        """Return for an arc what its tilt moves by, less the mean of its context, (E,)."""
        moves = self.tilt.tilt_of(direction)
        return self.tilt._reward(moves, self._next.mean(moves))

    def vjp(self, slopes: FloatArray) -> FloatArray:
        """Return the slopes of n-grams less what the policy uses of them instead, (A,)."""
        arcs, visits = self.tilt._visits(slopes)
        return self.tilt.sum_over_tilts(arcs - self._next.uses(visits))

    def uses(self, slopes: FloatArray) -> FloatArray:
        """Return how often each n-gram (A,) ends what is drawn in the visits of events (E,)."""
        _, visits = self.tilt._visits(slopes)
        return self.tilt.sum_over_tilts(self._next.uses(visits))

    def hvp(self, slopes: FloatArray, direction: FloatArray) -> FloatArray:
        """Return -1 / b of the covariances, summed over visits, of n-grams with the move, (A,)."""
        _, visits = self.tilt._visits(slopes)
        moves = self.tilt.tilt_of(direction)
        spread = moves * self._next.uses(visits)
        spread -= self._next.uses(visits * self._next.mean(moves))
        return -self.tilt.sum_over_tilts(spread) / self.tilt.kl_coef


class _NextToken:
    """Expectations of the next token of a back-off model (E,), and what they are the transpose of.

    A sum over tokens is one over the arcs of the context, less those of the shorter one that they
    stand for, and what the shorter context says. Contexts that another kernel has written out are
    written out.
    """

    def __init__(self, trie: Trie, log_prob: FloatArray, like: ContextKernel):
        self._kernel = kernel = ContextKernel(trie, log_prob)
        kernel.write_out(like.written)
        self._backoff = kernel.backoff()
        self._matrix = self._assemble(np.exp(kernel.arc_log_weight))  # (C, A)

    def _assemble(self, prob: FloatArray) -> sparse.csr_array:
        kernel, trie = self._kernel, self._kernel.trie
        data, columns = np.empty((trie.n_arcs, 2)), np.empty((trie.n_arcs, 2), np.int64)
        data[:, 0], columns[:, 0] = prob, np.arange(trie.n_arcs)
        data[:, 1] = -self._backoff[trie.arc_context] * prob[kernel.lower]
        columns[:, 1] = kernel.lower
        shape = (trie.n_contexts, trie.n_arcs)
        rows = 2 * trie.indptr.astype(np.int64)
        matrix = sparse.csr_array((data.ravel(), columns.ravel(), rows), shape=shape)
        if not len(kernel.written):
            return matrix
        entries = np.exp(kernel.entry_log_weight + kernel.arc_log_weight[kernel.entry_arc])
        where = (kernel.entry_row, kernel.entry_arc)
        return sparse.csr_array(matrix + sparse.coo_array((entries, where), shape=shape))

    def mean(self, values: FloatArray) -> FloatArray:
        """Return the expected value (C,) of the arc (A,) that draws the next token."""
        suffix, total = self._kernel.trie.suffix, self._matrix @ values
        for low, high, _, _ in self._kernel.levels[1:]:
            total[low:high] += self._backoff[low:high] * total[suffix[low:high]]
        return total

    def uses(self, visits: FloatArray) -> FloatArray:
        """Return how often each arc (A,) draws a token in so many visits (C,), of either sign."""
        suffix, flow = self._kernel.trie.suffix, visits.copy()
        for low, high, _, _ in reversed(self._kernel.levels[1:]):
            passed = self._backoff[low:high] * flow[low:high]
            flow[:low] += np.bincount(suffix[low:high], passed, low)
        return self._matrix.T @ flow
