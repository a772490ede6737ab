"""PPO maths as pure functions of arrays: ratios, clipped surrogate, whitening, approximate KL.

A unigram policy has one state, so tokens of one kind share their ratio. The clipped surrogate of a
batch is then a sum over the vocabulary of two statistics, the positive and the negative advantages
collected by each token, and an epoch costs O(V), not O(number of tokens drawn).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from sklearn_codex._categorical import FloatArray, IntArray

# Nats of a document at which two policies are equal up to rounding.
NEGLIGIBLE_KL = 1e-12


def probability_ratio(log_prob: FloatArray, old_log_prob: FloatArray) -> FloatArray:
    """Return pi(t) / pi_old(t), (V,); exactly 1 where both are equal, also at ``-inf``."""
    difference = np.zeros_like(log_prob)
    np.subtract(log_prob, old_log_prob, out=difference, where=log_prob != old_log_prob)
    return np.exp(difference)


def center(values: FloatArray) -> FloatArray:
    """Subtract the mean."""
    return values - values.mean()


def whiten(values: FloatArray) -> FloatArray:
    """Subtract the mean and divide by the standard deviation; 0 where values differ by rounding."""
    std = values.std()
    if std <= 1e-13 * np.abs(values).max():
        return np.zeros_like(values)
    return center(values) / std


@dataclass(frozen=True)
class Clipping:
    """The band in which the probability ratio may move before the surrogate is clipped.

    Parameters
    ----------
    clip_range : float or (float, float)
        Distance of the band's ends from 1; a pair is (below, above).
    dual_clip : float or None, default=None
        Bound above 1 of the ratio of negative advantages: beyond it they push no more.

    References
    ----------
    .. [1] Schulman, J. et al. (2017). "Proximal policy optimization algorithms." arXiv:1707.06347.
    .. [2] Ye, D. et al. (2020). "Mastering complex control in MOBA games with deep reinforcement
       learning." AAAI (dual clip).
    """

    clip_range: float | tuple[float, float]
    dual_clip: float | None = None

    @property
    def low(self) -> float:
        """Lower end of the band."""
        below = self.clip_range[0] if isinstance(self.clip_range, tuple) else self.clip_range
        return 1.0 - below

    @property
    def high(self) -> float:
        """Upper end of the band."""
        return 1.0 + (self.clip_range[1] if isinstance(self.clip_range, tuple) else self.clip_range)

    @property
    def ceiling(self) -> float:
        """Greatest ratio at which a negative advantage still counts more."""
        return np.inf if self.dual_clip is None else self.dual_clip


_UNCLIPPED = Clipping((1.0, np.inf))


def clipped_surrogate(ratio: FloatArray, advantage: FloatArray, clipping: Clipping) -> FloatArray:
    """Return min(ratio * A, clip(ratio, 1 - e, 1 + e) * A), elementwise.

    With dual clip c, at least c * A where A < 0.
    """
    clipped = np.clip(ratio, clipping.low, clipping.high)
    surrogate = np.minimum(ratio * advantage, clipped * advantage)
    if clipping.dual_clip is None:
        return surrogate
    return np.where(advantage < 0, np.maximum(surrogate, clipping.dual_clip * advantage), surrogate)


def _inside(ratio: FloatArray, clipping: Clipping | None) -> tuple[np.ndarray, np.ndarray]:
    """Return whether (V,) a positive and whether a negative advantage still moves each ratio."""
    clipping = clipping or _UNCLIPPED
    return ratio <= clipping.high, (ratio >= clipping.low) & (ratio <= clipping.ceiling)


def surrogate_slope(
    ratio: FloatArray, advantage: FloatArray, clipping: Clipping | None
) -> FloatArray:
    """Return the derivative (V,) of the clipped surrogate by the logarithm of each ratio (V,)."""
    return np.where(advantage > 0, *_inside(ratio, clipping)) * ratio * advantage


@dataclass(frozen=True)
class TokenAdvantages:
    """Advantages of a batch of tokens, collected by token: all that PPO's epochs need.

    Parameters
    ----------
    positive, negative : ndarray of shape (V,)
        Sum of max(A, 0) and of max(-A, 0) over the occurrences of each token.
    n_positive, n_negative : ndarray of shape (V,)
        Occurrences with A > 0 and with A < 0.
    n_tokens : float
        Occurrences in all.
    """

    positive: FloatArray
    negative: FloatArray
    n_positive: FloatArray
    n_negative: FloatArray
    n_tokens: float

    @classmethod
    def collect(cls, tokens: IntArray, advantages: FloatArray, n_columns: int):
        """Collect the advantages (n_tokens,) of drawn tokens (n_tokens,)."""
        return cls(
            positive=_totals(tokens, np.maximum(advantages, 0.0), n_columns),
            negative=_totals(tokens, np.maximum(-advantages, 0.0), n_columns),
            n_positive=_totals(tokens, advantages > 0, n_columns),
            n_negative=_totals(tokens, advantages < 0, n_columns),
            n_tokens=len(tokens),
        )

    @classmethod
    def of_kinds(cls, occurrences: FloatArray, advantage: FloatArray):
        """Collect occurrences (V,) of tokens that share the advantage (V,) of their kind."""
        total = occurrences * advantage
        return cls(
            positive=np.maximum(total, 0.0),
            negative=np.maximum(-total, 0.0),
            n_positive=occurrences * (advantage > 0),
            n_negative=occurrences * (advantage < 0),
            n_tokens=float(occurrences.sum()),
        )

    def plus(self, advantage: FloatArray, occurrences: FloatArray) -> "TokenAdvantages":
        """Return these and occurrences (V,) that were not drawn, of known advantage (V,)."""
        known = TokenAdvantages.of_kinds(occurrences, advantage)
        return TokenAdvantages(
            positive=self.positive + known.positive,
            negative=self.negative + known.negative,
            n_positive=self.n_positive + known.n_positive,
            n_negative=self.n_negative + known.n_negative,
            n_tokens=self.n_tokens + known.n_tokens,
        )

    def surrogate(self, ratio: FloatArray, clipping: Clipping | None) -> float:
        """Return the clipped surrogate, summed over tokens: to be maximised; None clips nothing."""
        clipping = clipping or _UNCLIPPED
        gain = self.positive @ np.minimum(ratio, clipping.high)
        loss = np.minimum(np.maximum(ratio, clipping.low), clipping.ceiling)
        return float(gain - self.negative @ loss)

    def slopes(self, ratio: FloatArray, clipping: Clipping | None) -> FloatArray:
        """Return the derivative (V,) of the summed surrogate by the logarithm of each ratio."""
        rises, falls = _inside(ratio, clipping)
        return ratio * (self.positive * rises - self.negative * falls)

    def surrogate_gradient(
        self, ratio: FloatArray, prob: FloatArray, clipping: Clipping | None
    ) -> FloatArray:
        """Return the gradient (V,) of the summed surrogate with respect to the logits.

        ``prob`` (V,) are the current probabilities, ``ratio`` (V,) their ratio to those the tokens
        were drawn from.
        """
        per_token = self.slopes(ratio, clipping)
        return per_token - prob * per_token.sum()

    def clip_fraction(self, ratio: FloatArray, clipping: Clipping | None) -> float:
        """Return the share of tokens whose ratio is outside the band on the side that clips."""
        rises, falls = _inside(ratio, clipping)
        return float((self.n_positive @ ~rises + self.n_negative @ ~falls) / self.n_tokens)


@dataclass(frozen=True)
class PlacedAdvantages:
    """Advantages of tokens whose ratio depends on their place: what :class:`TokenAdvantages` is.

    Parameters
    ----------
    chosen : slice or ndarray of bool of shape (n_tokens,)
        The tokens of a minibatch.
    advantages : ndarray of shape (n_tokens,)
        Advantages of all tokens; those that are not chosen do not count.
    known : ndarray of shape (n_tokens,) or None, default=None
        The part of them that is known of tokens that are not drawn as well, and has no slope.
    """

    chosen: Any
    advantages: FloatArray
    known: FloatArray | None = None

    @property
    def n_tokens(self) -> int:
        """Tokens that are chosen."""
        return len(self.advantages[self.chosen])

    def surrogate(self, ratio: FloatArray, clipping: Clipping | None) -> float:
        """Return the clipped surrogate of ratios (n_tokens,), summed over the chosen tokens."""
        chosen = self.chosen
        clipping = clipping or _UNCLIPPED
        return float(clipped_surrogate(ratio[chosen], self.advantages[chosen], clipping).sum())

    def slopes(self, ratio: FloatArray, clipping: Clipping | None) -> FloatArray:
        """Return its derivative (n_tokens,) by the logarithm of each ratio."""
        chosen, slopes = self.chosen, np.zeros_like(ratio)
        rest = self.advantages if self.known is None else self.advantages - self.known
        slopes[chosen] = surrogate_slope(ratio[chosen], rest[chosen], clipping)
        return slopes

    def clip_fraction(self, ratio: FloatArray, clipping: Clipping | None) -> float:
        """Return the share of chosen tokens that are outside the band on the side that clips."""
        rises, falls = _inside(ratio[self.chosen], clipping)
        advantages = self.advantages[self.chosen]
        return float(np.mean(np.where(advantages > 0, ~rises, ~falls & (advantages < 0))))


def _totals(tokens: IntArray, values: np.ndarray, n_columns: int) -> FloatArray:
    """Return the sum (V,) of values (n_tokens,) over the occurrences of each token."""
    return np.asarray(np.bincount(tokens, weights=values, minlength=n_columns), dtype=np.float64)


def approximate_kl(log_ratio: FloatArray, estimator: str = "k3") -> FloatArray:
    """Return Schulman's estimates of KL(p || q) from d = log p - log q at draws of p.

    ``k1`` = d is unbiased; ``k2`` = d**2 / 2 is biased with little variance; ``k3`` =
    exp(-d) - 1 + d is unbiased, never negative.

    References
    ----------
    .. [1] Schulman, J. (2020). "Approximating KL divergence." http://joschu.net/blog/kl-approx.html
    """
    if estimator == "k1":
        return log_ratio
    if estimator == "k2":
        return 0.5 * log_ratio**2
    if estimator == "k3":
        # Infinite where p is more than 709 nats below q, where p has no draws.
        with np.errstate(over="ignore"):
            return np.expm1(-log_ratio) + log_ratio
    raise ValueError(f"estimator should be 'k1', 'k2' or 'k3', got {estimator!r}.")
