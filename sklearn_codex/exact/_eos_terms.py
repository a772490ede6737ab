"""What is known of documents that end by themselves before the best policy is searched."""

from dataclasses import dataclass
from functools import cached_property
from numbers import Integral

import numpy as np
from scipy.special import logsumexp
from sklearn.utils._param_validation import Interval

from sklearn_codex._categorical import FloatArray, expectation, reference_kl
from sklearn_codex._checks.numbers import check_number
from sklearn_codex.exact._eos_length import (
    EndingObjective,
    log_stop_go,
    log_sum_of_body,
    truncated_length,
)
from sklearn_codex.exact._settings import (
    below_best,
    check_demonstrations,
    in_nats,
    keep_checked,
    takes_policy,
)
from sklearn_codex.exact._unigram import UnigramObjective


@dataclass(frozen=True, repr=False)
class EosTerms(EndingObjective, UnigramObjective):
    """Parameters, weights and value of an ``EosObjective``, see there."""

    reference_log_prob: FloatArray
    token_reward: FloatArray
    eos: int
    kl_coef: float = 1.0
    reward_coef: float = 1.0
    penalty: FloatArray | None = None
    sft_coef: float = 0.0
    frequencies: FloatArray | None = None
    max_length: int | None = None
    missing_eos_penalty: float = 0.0

    def __post_init__(self):
        keep_checked(self)
        self._check_ends(len(self.reference_log_prob))
        check_demonstrations(self, self.possible)

    def _check_ends(self, n_columns):
        """Check what decides where documents end."""
        eos = check_number(
            self.eos,
            "eos, a column",
            subject="EosObjective",
            interval=Interval(Integral, 0, n_columns, closed="left"),
        )
        object.__setattr__(self, "eos", eos)
        self._check_max_length()
        if self.max_length is None and np.isneginf(self.reference_log_prob[self.eos]):
            raise ValueError(
                "EosObjective without max_length needs a reference that can produce eos, got "
                f"log-probability -inf in column {self.eos}. Smooth the reference, or set "
                "max_length."
            )

    def _in_nats(self, reward):
        return in_nats(reward, self.reward_coef, self.kl_coef, subject="EosObjective")

    def _weights(self, tokens, relative_reward):
        """Return log-weights (k,) of some tokens, given their rewards less any constant."""
        weights = self.reference_log_prob[tokens] + self._in_nats(relative_reward)
        return weights if self.penalty is None else weights - self.penalty[tokens]

    @cached_property
    def exponent(self) -> FloatArray:
        """Unnormalised log-weights x (V,) of the tilted reference."""
        exponent = np.full_like(self.reference_log_prob, -np.inf)
        possible = self.possible
        exponent[possible] = self._weights(possible, self.token_reward[possible])
        return exponent

    @cached_property
    def _body(self) -> tuple[FloatArray, float]:
        """Log-shares (V,) of the tokens that do not end a document, and log S.

        The reward of the best of them is taken out first, so that the shares keep the digits of
        ``reference_log_prob`` where kl_coef is small.
        """
        body = self.possible.copy()
        body[self.eos] = False
        shares = np.full_like(self.reference_log_prob, -np.inf)
        if not body.any():
            return shares, -np.inf
        relative, best = below_best(self.token_reward, self.reward_coef, body)
        weights = self._weights(body, relative[body])
        total = float(logsumexp(weights))
        shares[body] = weights - total
        continuation = total + float(self._in_nats(best))
        if abs(continuation) < 1.0:
            reference = self.reference_log_prob
            nats = self._weights(body, self.token_reward[body]) - reference[body]
            continuation = log_sum_of_body(
                reference[body], nats, reference[self.eos], self._log_mass
            )
        return shares, continuation

    @property
    def body_shares(self) -> FloatArray:
        """Log-probabilities (V,) of the best policy's tokens, given that they end no document."""
        return self._body[0]

    @property
    def log_continuation(self) -> float:
        """Logarithm of S, the weight with which the best policy continues a document."""
        return self._body[1]

    @property
    def length_explodes(self) -> bool:
        """Whether S >= 1: without a maximal length, no document would be long enough."""
        return self.log_continuation >= 0

    def _tokens(self, log_prob):
        return truncated_length(*log_stop_go(log_prob, self.eos), self.max_length)

    @takes_policy
    def missing_eos_rate(self, log_prob: FloatArray) -> float:
        """Return the share of documents that are cut before they end; 0 without maximal length."""
        if self.max_length is None:
            return 0.0
        return float(np.exp(self.max_length * log_stop_go(log_prob, self.eos)[1]))

    @takes_policy
    def value(self, log_prob: FloatArray) -> float:
        """Return the objective J of a policy, given by its log-probabilities (V,)."""
        per_token = self.reward_coef * expectation(log_prob, self.token_reward)
        per_token -= self.kl_coef * reference_kl(log_prob, self.reference_log_prob, self._log_mass)
        if self.penalty is not None:
            per_token -= self.kl_coef * expectation(log_prob, self.penalty)
        value = self._per_document(log_prob, per_token)
        value -= self.missing_eos_penalty * self.missing_eos_rate(log_prob)
        if self.sft_coef > 0:
            value -= self.sft_coef * self.sft_loss(log_prob)
        return value
