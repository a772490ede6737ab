"""What the objectives over policies of independent tokens share."""

from abc import abstractmethod
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sklearn_codex._categorical import (
    FloatArray,
    cross_entropy,
    entropy,
    exp_rest,
    expectation,
    log_mass,
    normalize_log,
    reference_kl,
)
from sklearn_codex._checks.numbers import COUNT, check_number
from sklearn_codex.exact._priced_objective import PricedObjective
from sklearn_codex.exact._settings import reward_spread, takes_policy


class UnigramObjective(PricedObjective):
    """An objective over policies that draw each token independently of all others."""

    @cached_property
    def possible(self) -> NDArray[np.bool_]:
        """Which tokens (V,) a policy of finite value can produce."""
        possible = np.isfinite(self.reference_log_prob)
        return possible if self.penalty is None else possible & np.isfinite(self.penalty)

    @cached_property
    def _log_mass(self) -> float:
        return log_mass(self.reference_log_prob)

    @abstractmethod
    def _tokens(self, log_prob) -> float:
        """Return the expected tokens of a document."""

    def _per_document(self, log_prob, per_token):
        """Return the expected sum over a document of what has this expectation per token."""
        return self._tokens(log_prob) * per_token if per_token else 0.0

    def _demonstrations_gap(self, log_prob, best):
        """Return what the demonstrations' cross-entropy adds to the gap to the best policy."""
        if self.sft_coef == 0:
            return 0.0
        assert self.frequencies is not None
        shown = self.frequencies > 0
        if np.any(np.isneginf(log_prob[shown])):
            return float("inf")
        log_ratio = log_prob[shown] - best[shown]
        return self.sft_coef * float(self.frequencies[shown] @ exp_rest(log_ratio))

    @property
    def start(self) -> FloatArray:
        """The reference policy (V,), given that no token is produced that is banned."""
        return normalize_log(self.reference_log_prob)

    @takes_policy
    def stiffness(self, log_prob: FloatArray) -> FloatArray:
        """Return what a unit of each logit (V,) costs: temperature and the demonstrations' pull."""
        stiffness = np.full_like(log_prob, self.temperature)
        if self.frequencies is not None and self.sft_coef > 0:
            prob = np.exp(log_prob)
            shown = prob > 0
            pull = self.sft_coef * self.frequencies[shown] / self._tokens(log_prob)
            stiffness[shown] += pull / prob[shown]
        return stiffness

    def kl_coef_grid(self, n_points: int = 50) -> FloatArray:
        """Return falling ``kl_coef`` (n_points,) that cover the frontier, from near the reference.

        They go from 100 to 0.01 times the standard deviation of a token's weighted reward, and no
        further down than there is an optimum.
        """
        n_points = check_number(n_points, "n_points", subject=type(self).__name__, interval=COUNT)
        scale = reward_spread(self.reference_log_prob, self.reward_coef * self.token_reward)
        lowest = max(0.01 * scale, 1.01 * self._smallest_kl_coef())
        return np.geomspace(max(100.0 * scale, 10.0 * lowest), lowest, n_points)

    @takes_policy
    def expected_length(self, log_prob: FloatArray) -> float:
        """Return the expected tokens of a document, ``eos`` included."""
        return self._tokens(log_prob)

    @takes_policy
    def expected_reward(self, log_prob: FloatArray) -> float:
        """Return E[R], the unweighted expected reward of a document."""
        return self._per_document(log_prob, expectation(log_prob, self.token_reward))

    @takes_policy
    def expected_penalty(self, log_prob: FloatArray) -> float:
        """Return the expected rule penalty of a document, in nats."""
        if self.penalty is None:
            return 0.0
        return self._per_document(log_prob, expectation(log_prob, self.penalty))

    @takes_policy
    def expected_sum(self, log_prob: FloatArray, values: FloatArray) -> float:
        """Return the expected sum over a document of values (V,) of its tokens."""
        return self._per_document(log_prob, expectation(log_prob, values))

    @takes_policy
    def kl(self, log_prob: FloatArray) -> float:
        """Return KL(policy || reference) of a document, in nats."""
        per_token = reference_kl(log_prob, self.reference_log_prob, self._log_mass)
        return self._per_document(log_prob, per_token)

    @takes_policy
    def entropy(self, log_prob: FloatArray) -> float:
        """Return the entropy of a document, in nats."""
        return self._per_document(log_prob, entropy(log_prob))

    @takes_policy
    def sft_loss(self, log_prob: FloatArray) -> float:
        """Return CE(demonstrations, policy) in nats per token; 0 without demonstrations."""
        return 0.0 if self.frequencies is None else cross_entropy(self.frequencies, log_prob)


def covariance_of_tokens(prob: FloatArray, values: FloatArray, others: FloatArray) -> float:
    """Return the covariance of two values (V,) of a token drawn with probabilities (V,)."""
    support = prob > 0
    prob, values, others = prob[support], values[support], others[support]
    return float(prob @ ((values - prob @ values) * (others - prob @ others)))
