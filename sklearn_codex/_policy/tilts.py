"""Policies as tilts of a reference: what direct methods (DPO, KTO) know of a family of policies.

A document's log-likelihood is linear in its counts in every family: of tokens, of events of
n-grams, of candidates. So is its implicit reward, b log(pi / ref), whose value at each column is a
function of the weights w of the tilt. A family is that function and its derivatives; losses of
preferences are functions of the rewards of documents, and know no family.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from sklearn_codex._categorical import FloatArray, tilted


class TiltPoint(Protocol):
    """A tilted policy, and derivatives of its implicit reward by the weights."""

    @property
    def log_prob(self) -> FloatArray:
        """Log-probabilities (n_columns,) of the policy."""

    @property
    def reward(self) -> FloatArray:
        """The reward b log(pi / ref) of each column (n_columns,), 0 without reference mass."""

    def jvp(self, direction: FloatArray) -> FloatArray:
        """Return the derivative (n_columns,) of the reward along a direction (n_weights,)."""

    def vjp(self, slopes: FloatArray) -> FloatArray:
        """Return the gradient (n_weights,) of slopes (n_columns,) times the reward."""

    def hvp(self, slopes: FloatArray, direction: FloatArray) -> FloatArray:
        """Return the Hessian of slopes times the reward, times a direction, (n_weights,)."""


class Tilt(Protocol):
    """A family of policies with weights (n_weights,), 0 at the reference."""

    @property
    def n_weights(self) -> int:
        """How many weights there are."""

    @property
    def kl_coef(self) -> float:
        """b, by which weights are divided."""

    def at(self, weights: FloatArray) -> TiltPoint:
        """Return the policy at some weights."""


@dataclass(frozen=True)
class TokenTilt:
    r"""Unigram policies :math:`\pi_t = ref_t e^{w_t / b} / Z(w)`.

    Parameters
    ----------
    reference_log_prob : ndarray of shape (V,)
        Log-probabilities of the reference.
    kl_coef : float
        b.

    Notes
    -----
    The reward of a token is :math:`w_t - b \log Z(w)`, the gradient of the normaliser
    :math:`\pi`, its Hessian :math:`(diag(\pi) - \pi \pi') / b`.
    """

    reference_log_prob: FloatArray
    kl_coef: float

    @property
    def n_weights(self) -> int:
        """V."""
        return len(self.reference_log_prob)

    def at(self, weights: FloatArray) -> "TokenTiltPoint":
        """Return the policy at weights (V,)."""
        log_prob, reward = tilted(self.reference_log_prob, weights, self.kl_coef)
        return TokenTiltPoint(log_prob, reward, self.kl_coef)


@dataclass(frozen=True)
class TokenTiltPoint:
    """A unigram policy, and derivatives of its implicit reward."""

    log_prob: FloatArray
    reward: FloatArray
    kl_coef: float

    @property
    def prob(self) -> FloatArray:
        """Probabilities (V,) of the policy."""
        prob: FloatArray = np.exp(self.log_prob)
        return prob

    def jvp(self, direction: FloatArray) -> FloatArray:
        """Return d - pi'd (V,)."""
        return direction - float(self.prob @ direction)

    def vjp(self, slopes: FloatArray) -> FloatArray:
        """Return s - (sum of s) pi (V,)."""
        return slopes - slopes.sum() * self.prob

    def hvp(self, slopes: FloatArray, direction: FloatArray) -> FloatArray:
        """Return -(sum of s) / b times (diag(pi) - pi pi') d (V,)."""
        spread = self.prob * (direction - float(self.prob @ direction))
        return -slopes.sum() / self.kl_coef * spread
