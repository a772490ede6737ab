"""Policies over the candidates of prompts as tilts of a reference, prompt by prompt."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from sklearn_codex._categorical import FloatArray, IntArray, normalize_log_within, tilted


@dataclass(frozen=True)
class CandidateTilt:
    r"""Policies :math:`\pi(y|x) = ref(y|x)\, e^{u(x, y) / b} / Z(x)` over candidates of prompts.

    The tilt u of a candidate is its weight, or, with features, what the weights make of these.

    Parameters
    ----------
    prompts : ndarray of int (n_rows,)
        The prompt of each candidate, from 0.
    reference_log_prob : ndarray of shape (n_rows,)
        Log-probability of each candidate under the reference, that of its prompt included or not:
        policies have the same of each prompt.
    kl_coef : float
        b.
    features : ndarray or csr_array of shape (n_rows, n_features), default=None
        Of the candidates: policies are log-linear in them. None means a weight a candidate.

    Notes
    -----
    The reward of a candidate is :math:`u - b \log Z(x)`. With the candidates' features as rows of a
    matrix, the gradient of :math:`b \log Z(x)` by the weights is the mean of these under the
    policy, its Hessian their covariance, over b. Of a pair of candidates of one prompt, Z cancels.
    """

    prompts: IntArray
    reference_log_prob: FloatArray
    kl_coef: float
    features: Any = None

    @property
    def n_weights(self) -> int:
        """The number of candidates, or that of features."""
        return len(self.prompts) if self.features is None else self.features.shape[1]

    @cached_property
    def n_prompts(self) -> int:
        """How many prompts there are."""
        return int(self.prompts.max(initial=-1)) + 1

    @cached_property
    def _of_prompt(self) -> FloatArray:
        """Log-probabilities (n_rows,) of the reference, given the prompt."""
        return normalize_log_within(self.reference_log_prob, self.prompts)

    @cached_property
    def _log_shares(self) -> FloatArray:
        """Logarithm (n_rows,) of the probability of the prompt of each candidate."""
        with np.errstate(invalid="ignore"):
            return np.where(self.possible, self.reference_log_prob - self._of_prompt, 0.0)

    @cached_property
    def possible(self) -> np.ndarray:
        """Which candidates (n_rows,) the reference can choose."""
        return ~np.isneginf(self.reference_log_prob)

    def tilt_of(self, weights: FloatArray) -> FloatArray:
        """Return the tilts (n_rows,) of candidates by the weights (n_weights,)."""
        return weights if self.features is None else np.asarray(self.features @ weights)

    def sum_over_tilts(self, values: FloatArray) -> FloatArray:
        """Return the sums (n_weights,) of values (n_rows,) of candidates by their features."""
        return values if self.features is None else np.asarray(self.features.T @ values)

    def at(self, weights: FloatArray) -> "CandidateTiltPoint":
        """Return the policy at weights (n_weights,)."""
        given, reward = tilted(self._of_prompt, self.tilt_of(weights), self.kl_coef, self.prompts)
        return CandidateTiltPoint(self, given + self._log_shares, reward, np.exp(given))


@dataclass(frozen=True)
class CandidateTiltPoint:
    """A policy over candidates, and derivatives of its implicit reward."""

    tilt: CandidateTilt
    log_prob: FloatArray
    reward: FloatArray
    prob: FloatArray  # given the prompt

    def _total(self, values: FloatArray) -> FloatArray:
        """Return for each candidate (n_rows,) the sum of values (n_rows,) over its prompt."""
        totals = np.bincount(self.tilt.prompts, values, self.tilt.n_prompts)
        return totals[self.tilt.prompts].astype(np.float64)

    def jvp(self, direction: FloatArray) -> FloatArray:
        """Return what tilts move by, less the mean of the prompt, (n_rows,)."""
        moves = self.tilt.tilt_of(direction)
        return np.where(self.tilt.possible, moves - self._total(self.prob * moves), 0.0)

    def vjp(self, slopes: FloatArray) -> FloatArray:
        """Return the slopes less the policy's share of those of the prompt, (n_weights,)."""
        slopes = np.where(self.tilt.possible, slopes, 0.0)
        return self.tilt.sum_over_tilts(slopes - self.prob * self._total(slopes))

    def hvp(self, slopes: FloatArray, direction: FloatArray) -> FloatArray:
        """Return -1 / b of the covariances with the move, by slopes of prompts, (n_weights,)."""
        slopes, moves = np.where(self.tilt.possible, slopes, 0.0), self.tilt.tilt_of(direction)
        spread = self.prob * (moves - self._total(self.prob * moves)) * self._total(slopes)
        return -self.tilt.sum_over_tilts(spread) / self.tilt.kl_coef
