"""When documents of the best policy over n-grams stay finite, and what all of them weigh."""

from functools import cached_property
from typing import Self

import numpy as np
from scipy.optimize import brentq

from sklearn_codex._categorical import FloatArray
from sklearn_codex.exact._eos_length import LengthExplosionError
from sklearn_codex.exact._ngram_kernel import ContextKernel
from sklearn_codex.exact._ngram_search import best_events
from sklearn_codex.exact._ngram_solve import log_desirability, log_spectral_radius
from sklearn_codex.exact._ngram_training import NGramTraining

# The spread of rewards, in units of kl_coef, up to which a smallest safe kl_coef is looked for.
_WIDEST = 1e4
# Where it is above this many times that spread, there is none but for rounding.
_FARTHEST = 1e25
# The highest kl_coef that is tried, with room for an entropy_coef.
_HIGHEST = 1e307
# The logarithm of a spectral radius that is rounding.
_NO_GROWTH = 1e-12


class NGramLength(NGramTraining):
    """Weights and lengths of documents of an ``NGramObjective``, see there."""

    @cached_property
    def _log_worth_if_any(self) -> FloatArray | None:
        try:
            return self._desirability(self.kernel)
        except LengthExplosionError:
            return None

    def _desirability(self, kernel):
        """Return the log-weights (C,) of all documents of a kernel, by contexts they begin in."""
        assert self.initial is not None
        return log_desirability(
            kernel, kernel.can_reach(self.initial > 0), lambda: self._worth_of_reference(kernel)
        )

    def _worth_of_reference(self, kernel):
        """Return what the reference, given that documents end, has of a kernel (C,), in nats."""
        trie = self.trie
        weights = np.concatenate(
            [kernel.arc_log_weight, kernel.backoff_log_weight[1:], np.zeros(trie.n_contexts - 1)]
        )
        possible = ContextKernel(
            trie, np.where(weights > -np.inf, self.reference_log_prob, -np.inf)
        )
        everywhere = np.ones(trie.n_contexts, bool)
        worth = log_desirability(possible, everywhere, lambda: np.zeros(trie.n_contexts))
        policy = best_events(possible, possible.after(worth), self.start)
        used = np.isfinite(policy) & np.isfinite(weights)
        scores = np.zeros_like(policy)
        scores[used] = weights[used] - policy[used]
        return self.values_of(policy, scores)

    @property
    def _log_worth(self) -> FloatArray:
        """Logarithm z (C,) of the weight of the documents that begin in each context."""
        worth = self._log_worth_if_any
        if worth is None:
            raise LengthExplosionError(self.explain_explosion(type(self).__name__))
        return worth

    @cached_property
    def _where_length_is_decided(self):
        """Contexts (C,) that documents get to, and from which they can end, if any can."""
        assert self.initial is not None
        reached = self.kernel.can_reach(self.initial > 0)
        ends = reached & self.kernel.can_end() if self.trie.eos >= 0 else reached
        return ends if ends.any() else reached

    @property
    def length_explodes(self) -> bool:
        """Whether, without a maximal length, no document would be long enough."""
        return self.trie.eos >= 0 and self._log_worth_if_any is None

    @cached_property
    def _never_cut(self) -> Self | None:
        """The same where documents are never cut, None where no policy is best for these."""
        assert self.initial is not None
        ends = self.trie.eos >= 0 and self.kernel.can_end()[self.initial > 0].all()
        if not ends or self.length_explodes:
            return None
        return self.having(max_length=None, missing_eos_penalty=0.0)

    def spectral_radius(self) -> float:
        """Return by what a long document gains in weight with one token more; below 1 if safe."""
        with np.errstate(over="ignore"):
            return float(np.exp(log_spectral_radius(self.kernel, self._where_length_is_decided)[0]))

    def smallest_safe_kl_coef(self) -> float:
        r"""Return the ``kl_coef`` above which documents that end by themselves stay finite.

        The logarithm of the spectral radius is convex in 1 / kl_coef, and below 0 where that is 0,
        so it has one root at most. 0 where none is found up to 10,000 over the spread of rewards,
        infinite where the reference itself does not end.
        """
        among, vector = self._where_length_is_decided, None
        scale = self._reward_scale()

        def log_radius(inverse):
            nonlocal vector
            kl_coef = min(scale / inverse, _HIGHEST)
            changed = self.having(kl_coef=kl_coef, max_length=None, missing_eos_penalty=0.0)
            found, vector = log_spectral_radius(changed.kernel, among, vector)
            return 0.0 if abs(found) < _NO_GROWTH else found

        low, high = 1e-9, 1.0
        while not log_radius(low) < 0:
            low, high = 1e-3 * low, low
            if low < 1.0 / _FARTHEST:
                return float("inf")
        while log_radius(high) < 0:
            low, high = high, 2.0 * high
            if high > _WIDEST:
                return 0.0
        return scale / float(brentq(log_radius, low, high, xtol=1e-300, rtol=1e-13))

    def _safe_kl_coef(self):
        return self.smallest_safe_kl_coef()

    def _what_explodes(self):
        return (
            "a token more gains a long document more than it costs "
            f"(spectral radius {self.spectral_radius():.6g} >= 1)"
        )
