"""PPO maths as pure functions of arrays: ratios, clipped surrogate, whitening, approximate KL.

A unigram policy has one state, so tokens of one kind share their ratio. The clipped surrogate of a
batch is then a sum over the vocabulary of two statistics, the positive and the negative advantages
collected by each token, and an epoch costs O(V), not O(number of tokens drawn).
"""

from dataclasses import dataclass

import numpy as np

from sklearn_codex._categorical import FloatArray, IntArray


def probability_ratio(log_prob: FloatArray, old_log_prob: FloatArray) -> FloatArray:
    """Return pi(t) / pi_old(t), (V,); exactly 1 where both are equal, also at ``-inf``."""
    difference = np.zeros_like(log_prob)
    np.subtract(log_prob, old_log_prob, out=difference, where=log_prob != old_log_prob)
    return np.exp(difference)


def center(values: FloatArray) -> FloatArray:
    """Subtract the mean."""
    return values - values.mean()


def whiten(values: FloatArray, eps: float = 1e-8) -> FloatArray:
    """Subtract the mean and divide by the standard deviation."""
    return center(values) / (values.std() + eps)


def clipped_surrogate(
    ratio: FloatArray, advantage: FloatArray, clip_range: float | tuple[float, float]
) -> FloatArray:
    """Return min(ratio * A, clip(ratio, 1 - e, 1 + e) * A), elementwise.

    References
    ----------
    .. [1] Schulman, J. et al. (2017). "Proximal policy optimization algorithms." arXiv:1707.06347.
    """
    low, high = clip_bounds(clip_range)
    return np.minimum(ratio * advantage, np.clip(ratio, low, high) * advantage)


def clip_bounds(clip_range: float | tuple[float, float]) -> tuple[float, float]:
    """Return the band (1 - e_low, 1 + e_high) of a symmetric or asymmetric clip range."""
    below, above = clip_range if isinstance(clip_range, tuple) else (clip_range, clip_range)
    return 1.0 - below, 1.0 + above


@dataclass(frozen=True)
class TokenAdvantages:
    """Advantages of a batch of tokens, collected by token: all that PPO's epochs need.

    Parameters
    ----------
    positive, negative : ndarray of shape (V,)
        Sum of max(A, 0) and of max(-A, 0) over the occurrences of each token.
    n_positive, n_negative : ndarray of shape (V,)
        Occurrences with A > 0 and with A < 0.
    n_tokens : int
        Occurrences in all.
    """

    positive: FloatArray
    negative: FloatArray
    n_positive: FloatArray
    n_negative: FloatArray
    n_tokens: int

    @classmethod
    def collect(cls, tokens: IntArray, advantages: FloatArray, n_columns: int):
        """Collect the advantages (n_tokens,) of drawn tokens (n_tokens,)."""
        up, down = advantages > 0, advantages < 0
        return cls(
            positive=_totals(tokens[up], advantages[up], n_columns),
            negative=_totals(tokens[down], -advantages[down], n_columns),
            n_positive=np.bincount(tokens[up], minlength=n_columns).astype(np.float64),
            n_negative=np.bincount(tokens[down], minlength=n_columns).astype(np.float64),
            n_tokens=len(tokens),
        )

    def surrogate(self, ratio: FloatArray, clip_range) -> float:
        """Return the clipped surrogate, summed over tokens: to be maximised."""
        low, high = clip_bounds(clip_range)
        gain = self.positive @ np.minimum(ratio, high)
        return float(gain - self.negative @ np.maximum(ratio, low))

    def surrogate_gradient(self, ratio: FloatArray, prob: FloatArray, clip_range) -> FloatArray:
        """Return the gradient (V,) of the summed surrogate with respect to the logits.

        ``prob`` (V,) are the current probabilities, ``ratio`` (V,) their ratio to those the tokens
        were drawn from.
        """
        low, high = clip_bounds(clip_range)
        per_token = self.positive * ratio * (ratio <= high) - self.negative * ratio * (ratio >= low)
        return per_token - prob * per_token.sum()

    def clip_fraction(self, ratio: FloatArray, clip_range) -> float:
        """Return the share of tokens whose ratio is outside the band on the side that clips."""
        low, high = clip_bounds(clip_range)
        clipped = self.n_positive @ (ratio > high) + self.n_negative @ (ratio < low)
        return float(clipped / self.n_tokens)


def _totals(tokens: IntArray, values: FloatArray, n_columns: int) -> FloatArray:
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


def trust_region_scale(
    step: FloatArray, prob: FloatArray, length: float, target_kl: float
) -> float:
    """Return the factor at most 1 that keeps a step of the logits inside a KL trust region.

    To second order, moving the logits by ``step`` moves a document of ``length`` tokens by
    length * Var_pi(step) / 2 nats; the scaled step moves it by at most ``target_kl``.
    """
    mean = prob @ step
    kl = 0.5 * length * float(prob @ (step - mean) ** 2)
    return 1.0 if kl <= target_kl else float(np.sqrt(target_kl / kl))
