"""The policy of n-grams that is nearest to documents: that of greatest likelihood among tilts."""

import numpy as np

from sklearn_codex._categorical import FloatArray
from sklearn_codex._ngrams.trie import Trie
from sklearn_codex._policy.ngram_tilt import NGramTilt, NGramTiltPoint
from sklearn_codex._solve.newton import Point
from sklearn_codex._solve.trust_region import minimise_curved

# The norm of the gradient, weights scaled to curvature 1 at the reference, at which the fit ends,
# relative to that at the reference, and its steps. About the square of it is the share of the
# likelihood gained that is left, and to choose a prior less will do.
_TOL, _ROUGH_TOL, _MAX_ITER = 1e-5, 1e-2, 200
# Strengths of the prior to choose from, in tokens a context, strongest first.
STRENGTHS = (1e5, 1e4, 1e3, 100.0, 10.0, 1.0)


class EventLikelihood:
    r"""Negative log-likelihood of events under tilts of a reference, less that of the reference.

    Parameters
    ----------
    tilt : NGramTilt
        The policies; its ``kl_coef`` is 1.
    events : ndarray of shape (E,)
        How often each was used, with the tokens of a prior.

    Notes
    -----
    With events c it is :math:`-c \cdot \log(\pi_w / ref)`, a sum of log Z of contexts that were
    visited less what is linear in the weights: convex.
    """

    def __init__(self, tilt: NGramTilt, events: FloatArray):
        self.tilt = tilt
        self.events = events
        self._last: tuple[FloatArray, NGramTiltPoint] | None = None

    def _policy(self, weights: FloatArray) -> NGramTiltPoint:
        """Return the policy at weights (A,), made once for the same weights."""
        if self._last is None or not np.array_equal(weights, self._last[0]):
            self._last = weights.copy(), self.tilt.at(weights)
        return self._last[1]

    def at(self, weights: FloatArray) -> Point:
        """Return the point of weights (A,)."""
        value = -float(self.events @ self._policy(weights).reward)
        return Point(weights.copy(), np.empty(0), value)

    def value(self, weights: FloatArray) -> float:
        """Return the value."""
        return self.at(weights).value

    def gradient(self, weights: FloatArray) -> FloatArray:
        """Return the gradient (A,): what is expected in the contexts visited, less what was."""
        return -self._policy(weights).vjp(self.events)

    def hessian_product(self, weights: FloatArray, direction: FloatArray) -> FloatArray:
        """Return the Hessian times a direction (A,)."""
        return -self._policy(weights).hvp(self.events, direction)

    def scale(self) -> FloatArray:
        r"""Return the square roots (A,) of how often the reference would use n-grams, or 1.

        In the contexts visited: next to the root of the diagonal of the Hessian, which is
        :math:`\sum_h c(h)\, p(1 - p)` with p the chance of the n-gram after h.
        """
        uses = self.tilt.at(np.zeros(self.tilt.n_weights)).uses(self.events)
        return np.sqrt(np.where(uses > 0, uses, 1.0))


def nearest_policy(
    trie: Trie,
    reference: FloatArray,
    events: FloatArray,
    *,
    tol: float = _TOL,
) -> FloatArray:
    """Return the tilt (E,) of a reference (E,) under which events (E,) are likeliest.

    Contexts that were never visited stay as they are but for what shorter ones tell of their
    tokens.
    """
    loss = EventLikelihood(NGramTilt(trie, reference, 1.0), events)
    state = minimise_curved(loss, tol=tol, max_iter=_MAX_ITER, callback=lambda state: False)
    return loss.tilt.at(state.point.weights).log_prob


def choose_strength(
    trie: Trie,
    reference: FloatArray,
    prior: FloatArray,
    seen: FloatArray,
    held_out: FloatArray,
) -> float:
    """Return the strength of a prior with which events that were held out are likeliest.

    Parameters
    ----------
    trie : Trie
    reference : ndarray of shape (E,)
    prior : ndarray of shape (E,)
        Events of the prior of strength 1.
    seen, held_out : ndarray of shape (E,)
        Events to fit tilts of the reference to, and others that judge these.

    Notes
    -----
    From the strongest of ``STRENGTHS`` on, until one is worse than that before it: weak ones, which
    take most steps, are tried only where they may be best.
    """
    best, chosen = -np.inf, STRENGTHS[0]
    used, policy = held_out > 0, reference
    for strength in STRENGTHS:
        # A tilt of a tilt is one of the reference, and the last is near.
        policy = nearest_policy(trie, policy, seen + strength * prior, tol=_ROUGH_TOL)
        gain = float(held_out[used] @ (policy - reference)[used])
        if gain <= best:
            break
        best, chosen = gain, strength
    return chosen
