"""Log-space maths of categorical distributions: normalise, entropy, KL, sampling.

Every function takes natural-log probabilities of shape (V,), may meet ``-inf`` for tokens that
cannot occur, and returns nats.
"""

import math
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray

# More buckets mean fewer steps; a table beyond these leaves the cache.
_BUCKETS_PER_TOKEN = 2
_BUCKETS = 8192
# Steps from a guide entry after which a binary search is the shorter way.
_MAX_STEPS = 8
# Logarithms of sums of probabilities that are rounding, and that are no mistake.
_MASS_ROUNDING = 1e-8
_MASS_TOLERANCE = 1e-3
# Where six terms of a series have all digits of exp(x) - 1 - x.
_SERIES = 1e-2

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]
BoolArray = NDArray[np.bool_]
# A number without rounding, or an infinity.
Exact = Fraction | float


def normalize_log(log_weights: ArrayLike) -> FloatArray:
    """Return log-probabilities (V,) from unnormalised log-weights (V,)."""
    log_weights = np.asarray(log_weights, dtype=np.float64)
    # scipy's log_softmax does the same, at several times the cost for a few thousand weights.
    shifted = log_weights - log_weights.max()
    return shifted - np.log(np.exp(shifted).sum())


def normalize_rows(log_weights: FloatArray) -> FloatArray:
    """Return log-probabilities (n, k) that sum to one in each row, from finite log-weights (n, k).

    Those near 0 keep their digits, as from scipy's ``logsumexp``, which takes several times as long
    for a few thousand weights.
    """
    rows, top = np.arange(len(log_weights)), log_weights.argmax(axis=1)
    shifted = log_weights - log_weights[rows, top][:, np.newaxis]
    others = np.exp(shifted)
    others[rows, top] = 0.0
    return shifted - np.log1p(others.sum(axis=1, keepdims=True))


def normalize_log_within(log_weights: ArrayLike, codes: IntArray) -> FloatArray:
    """Return log-probabilities (n,) that sum to one in each group, from log-weights (n,).

    Parameters
    ----------
    log_weights : array-like of shape (n,)
        At least one in each group is above ``-inf``.
    codes : ndarray of int of shape (n,)
        The group of each, from 0, each of them there.
    """
    log_weights = np.asarray(log_weights, dtype=np.float64)
    shifted = log_weights - _greatest(log_weights, codes)[codes]
    return shifted - np.log(_sums(np.exp(shifted), codes))[codes]


def tilted(
    log_prob: FloatArray, tilts: FloatArray, kl_coef: float, codes: IntArray | None = None
) -> tuple[FloatArray, FloatArray]:
    r"""Return :math:`\pi = p\, e^{u / b} / Z`, and :math:`b \log(\pi / p) = u - b \log Z`.

    Parameters
    ----------
    log_prob : ndarray of shape (n,)
        log p, which sums to one in each group.
    tilts : ndarray of shape (n,)
        u.
    kl_coef : float
        b.
    codes : ndarray of int of shape (n,), default=None
        The group of each, from 0, each of them there; None for one of all.

    Returns
    -------
    log_prob : ndarray of shape (n,)
        Which sums to one in each group, also where u / b is vast.
    reward : ndarray of shape (n,)
        To rounding of the greatest u, also where b is vast and log Z next to 0; 0 without mass.
    """
    possible = log_prob != -np.inf
    own = tilts - _of_each(_greatest(np.where(possible, tilts, -np.inf), codes), codes)
    own[~possible] = 0.0
    with np.errstate(over="ignore"):  # then there is no mass
        moves = own / kl_coef
        logits = log_prob + moves
        # No term is above 0, so that none of the digits of the sum are lost.
        change = _sums(np.exp(log_prob) * np.expm1(moves), codes)
    far, log_z = change < -0.5, np.log1p(np.maximum(change, -0.5))
    if not np.any(far):
        log_z = _of_each(log_z, codes)
        return logits - log_z, np.where(possible, own - kl_coef * log_z, 0.0)
    top = _greatest(logits, codes)
    logits -= _of_each(top, codes)
    rest = np.log(_sums(np.exp(logits), codes))
    reward = own - kl_coef * _of_each(np.where(far, top + rest, log_z), codes)
    # From the top, so that it sums to one however far that is.
    logits -= _of_each(np.where(far, rest, log_z - top), codes)
    return logits, np.where(possible, reward, 0.0)


def _greatest(values, codes):
    """Return the greatest value of each group (n_groups,), or of all."""
    if codes is None:
        return values.max()
    greatest = np.full(int(codes.max()) + 1, -np.inf)
    np.maximum.at(greatest, codes, values)
    return greatest


def _sums(values, codes):
    """Return the sum of the values of each group (n_groups,), or of all."""
    return values.sum() if codes is None else np.bincount(codes, values)


def _of_each(of_groups, codes):
    """Return for each value (n,) what is of its group, or of all."""
    return of_groups if codes is None else of_groups[codes]


def safe_log(values: ArrayLike) -> FloatArray:
    """Natural logarithm with ``log 0 = -inf`` and no warning."""
    with np.errstate(divide="ignore"):
        return np.log(np.asarray(values, dtype=np.float64))


def expectation(log_prob: FloatArray, values: FloatArray) -> float:
    """Return sum of p * value, where p = 0 contributes 0 even if the value is infinite."""
    prob = np.exp(log_prob)
    # A probability that is not 0 includes NaN, which > 0 would drop.
    prob, values = _restricted(prob != 0, prob, values)
    return float(prob @ values)


def root_mean_square(values: FloatArray, weight: FloatArray) -> float:
    """Return the weighted root mean square of values (n,), also where squares leave the floats."""
    largest = float(np.abs(values).max(initial=0.0))
    if not 0 < largest < np.inf:
        return largest
    return largest * float(np.sqrt(np.average((values / largest) ** 2, weights=weight)))


def _restricted(support, *arrays):
    """Return the parts of arrays (V,) on a support (V,), which is mostly all of them: no copies."""
    return arrays if support.all() else tuple(values[support] for values in arrays)


def entropy(log_prob: FloatArray) -> float:
    """Return H(p) = -sum p log p, in nats."""
    return -expectation(log_prob, log_prob)


def kl_divergence(log_p: FloatArray, log_q: FloatArray) -> float:
    """Return KL(p || q) = sum p (log p - log q), in nats; ``inf`` where p is not inside q."""
    log_p, log_q = _restricted(log_p != -np.inf, log_p, log_q)
    if np.any(log_q == -np.inf):
        return float("inf")
    # In this order: max(0.0, nan) is 0.0, which would call an undefined divergence a perfect one.
    return max(float(np.exp(log_p) @ (log_p - log_q)), 0.0)


def exp_rest(values: FloatArray) -> FloatArray:
    """Return exp(x) - 1 - x, which is never negative, to a small relative error also near 0."""
    with np.errstate(over="ignore"):
        rest = np.expm1(values) - values
    near = np.abs(values) < _SERIES
    x = values[near]
    series = 1.0 + x / 6 * (1.0 + x / 7)
    for divisor in (5, 4, 3):
        series = 1.0 + x / divisor * series
    with np.errstate(under="ignore"):
        rest[near] = 0.5 * x * x * series
    return rest


def close_kl(log_p: FloatArray, log_q: FloatArray) -> float:
    """Return KL(p || q) in nats, to a small relative error also where p and q are nearly equal.

    For distributions it is the sum of p log(p / q) - p + q, none of which is negative, while the
    first terms alone nearly cancel.
    """
    both = log_p != -np.inf  # NaN is in it, and makes the result NaN
    outside = 0.0 if both.all() else float(np.exp(log_q[~both]).sum())
    log_p, log_q = _restricted(both, log_p, log_q)
    if np.any(log_q == -np.inf):
        return float("inf")
    difference, prob = log_q - log_p, np.exp(log_p)
    # exp overflows where q is far above p; nothing cancels there.
    terms = prob * exp_rest(np.minimum(difference, 1.0))
    above = difference > 1.0
    if above.any():
        terms[above] = np.exp(log_q[above]) - prob[above] * (1.0 + difference[above])
    return float(terms.sum()) + outside


def log_mass(log_prob: FloatArray) -> float:
    """Return the logarithm of a sum of probabilities: 0, to the last digit, where it is about 1.

    Below 0 where tokens of a distribution were banned and the others left as they are.

    Raises
    ------
    ValueError
        If they sum to more than 1.
    """
    top = log_prob.max()
    mass = float(top + np.log(np.exp(log_prob - top).sum()))
    if mass > _MASS_TOLERANCE:
        raise ValueError(
            "Probabilities should not sum to more than 1, got log-probabilities that sum to "
            f"{np.exp(mass):.6g}. Normalise them: log_prob - scipy.special.logsumexp(log_prob)."
        )
    return 0.0 if abs(mass) <= _MASS_ROUNDING else mass


def reference_kl(log_prob: FloatArray, reference: FloatArray, mass: float) -> float:
    """Return KL(policy || reference) in nats, to a small relative error also where it is tiny.

    Parameters
    ----------
    log_prob, reference : ndarray of shape (V,)
        Log-probabilities. Those of the reference need not sum to 1.
    mass : float
        The :func:`log_mass` of the reference.
    """
    return close_kl(log_prob, reference - mass) - mass


def cross_entropy(frequencies: FloatArray, log_prob: FloatArray) -> float:
    """Return CE(f, p) = -sum f log p, in nats per token; f (V,) sums to one."""
    support = frequencies != 0
    return -float(frequencies[support] @ log_prob[support])


def exact_sum(values: FloatArray) -> Exact:
    """Return the sum of floats (n,) without any rounding, or the infinity that it is as a float.

    Sums of parts therefore add up to the same, whatever the parts.
    """
    with np.errstate(over="ignore"):
        rounded = float(values.sum())
    if not np.isfinite(rounded):
        return rounded
    listed: list[float] = values.tolist()
    rounding: list[float] = []
    while rest := math.fsum(listed + rounding):
        rounding.append(-rest)
    return -sum(map(Fraction, rounding), Fraction())


class TokenSampler:
    """Draws tokens from a categorical distribution by an indexed inverse CDF.

    A guide table of at least 2 V buckets holds, for each bucket of the unit interval, the first
    token whose cumulative probability reaches into it; a draw starts there and walks up to its
    token, one vectorised step for all draws that have not arrived. The few that are far, because
    thousands of improbable tokens share a bucket, are found by binary search. The result is that
    of ``np.searchsorted(cdf, u, side="right")`` for the same uniforms.

    Parameters
    ----------
    log_prob : ndarray of shape (V,)
        Log-probabilities. Tokens at ``-inf`` are never drawn.

    References
    ----------
    .. [1] Chen, H. C. and Asau, Y. (1974). "On generating random variates from an empirical
       distribution." AIIE Transactions 6(2), 163-166.
    """

    def __init__(self, log_prob: FloatArray):
        prob = np.exp(log_prob)
        self._support = np.flatnonzero(prob > 0)
        cdf = np.cumsum(prob[self._support])
        cdf /= cdf[-1]
        # A uniform is below 1, so the last token with positive probability always ends the walk.
        cdf[-1] = np.inf
        self._cdf = cdf
        # A power of two, by which products are exact: no draw starts behind its token.
        self._n_buckets = max(_BUCKETS, 2 ** int(np.ceil(np.log2(_BUCKETS_PER_TOKEN * len(cdf)))))
        # Entry j counts the tokens whose cumulative probability is at most j / n_buckets.
        reached = np.ceil(cdf[:-1] * self._n_buckets).astype(np.intp)
        self._guide = np.cumsum(np.bincount(reached, minlength=self._n_buckets + 1))

    def sample(self, size: int | tuple[int, ...], rng: np.random.RandomState) -> IntArray:
        """Return tokens of the given shape, drawn independently."""
        uniform = rng.random_sample(size).ravel()
        position = self._guide[(uniform * self._n_buckets).astype(np.intp)]
        pending = np.flatnonzero(self._cdf[position] <= uniform)
        for _ in range(_MAX_STEPS):
            if not pending.size:
                break
            position[pending] += 1
            pending = pending[self._cdf[position[pending]] <= uniform[pending]]
        position[pending] = np.searchsorted(self._cdf, uniform[pending], side="right")
        return self._support[position].reshape(size)
