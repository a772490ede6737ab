"""The policy of n-grams that is nearest to documents: that of greatest likelihood among tilts."""

import numpy as np

from sklearn_codex._categorical import FloatArray
from sklearn_codex._ngrams.trie import Trie
from sklearn_codex._policy.ngram_tilt import NGramTilt
from sklearn_codex._solve.newton import Point
from sklearn_codex._solve.trust_region import minimise_curved

# The norm of the gradient at which the fit ends, relative to that at the reference, and its steps.
_TOL, _MAX_ITER = 1e-6, 200


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

    def at(self, weights: FloatArray) -> Point:
        """Return the point of weights (A,)."""
        value = -float(self.events @ self.tilt.at(weights).reward)
        return Point(weights.copy(), np.empty(0), value)

    def value(self, weights: FloatArray) -> float:
        """Return the value."""
        return self.at(weights).value

    def gradient(self, weights: FloatArray) -> FloatArray:
        """Return the gradient (A,): what is expected in the contexts visited, less what was."""
        return -self.tilt.at(weights).vjp(self.events)

    def hessian_product(self, weights: FloatArray, direction: FloatArray) -> FloatArray:
        """Return the Hessian times a direction (A,)."""
        return -self.tilt.at(weights).hvp(self.events, direction)

    def scale(self) -> FloatArray:
        """Return ones (A,)."""
        return np.ones(self.tilt.n_weights)


def nearest_policy(trie: Trie, reference: FloatArray, events: FloatArray) -> FloatArray:
    """Return the tilt (E,) of a reference (E,) under which events (E,) are likeliest.

    Contexts that were never visited stay as they are but for what shorter ones tell of their
    tokens.
    """
    loss = EventLikelihood(NGramTilt(trie, reference, 1.0), events)
    state = minimise_curved(loss, tol=_TOL, max_iter=_MAX_ITER, callback=lambda state: False)
    return loss.tilt.at(state.point.weights).log_prob
