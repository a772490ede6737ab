"""When documents that end by themselves stay finite, and how long they are."""

import numpy as np
from scipy.optimize import brentq
from scipy.special import logsumexp

from sklearn_codex._categorical import FloatArray

_EPS = np.finfo(np.float64).eps


class LengthExplosionError(ValueError):
    """There is no optimum: every policy is beaten by one with longer documents."""


class LengthExplosionWarning(UserWarning):
    """The reward pays for length without end; only a maximal length keeps documents finite."""


def smallest_safe_kl_coef(
    reference_log_prob: FloatArray,
    token_reward: FloatArray,
    eos: int,
    *,
    reward_coef: float = 1.0,
    penalty: FloatArray | None = None,
) -> float:
    r"""Return the ``kl_coef`` above which documents that end by themselves stay finite.

    The best policy continues a document with the total weight
    :math:`S(b) = \sum_{t \ne eos} ref_t \exp(\rho w_t / b - c_t)`, and it exists where S < 1. As
    log S is convex in 1 / b and negative at 1 / b = 0, S = 1 has at most one root, found in one
    dimension.

    Parameters
    ----------
    reference_log_prob : ndarray of shape (V,)
        Log-probabilities of the reference policy.
    token_reward : ndarray of shape (V,)
        Reward w_t of each token.
    eos : int
        Column of the end-of-sequence token.
    reward_coef : float, default=1.0
        Weight of the reward.
    penalty : ndarray of shape (V,), default=None
        Rule penalty c_t >= 0 of each token, in nats of KL; None means 0.

    Returns
    -------
    kl_coef : float
        Every ``kl_coef`` strictly above it is safe; at it and below, length explodes. 0 where no
        token but ``eos`` that the reference can produce has a positive weighted reward: then every
        ``kl_coef`` is safe. Infinite where the reference never produces ``eos``: then none is.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_codex.exact import smallest_safe_kl_coef
    >>> reference = np.log([0.7, 0.2, 0.1])
    >>> round(smallest_safe_kl_coef(reference, np.array([0.1, 0.2, 5.0]), eos=2), 4)
    1.1672
    >>> smallest_safe_kl_coef(reference, np.array([-0.1, -0.2, 5.0]), eos=2)
    0.0
    """
    penalty = np.zeros_like(reference_log_prob) if penalty is None else penalty
    if np.any(penalty < 0):
        raise ValueError(
            "smallest_safe_kl_coef needs penalties >= 0, got a smallest one of "
            f"{penalty.min():.6g}. Give what should be preferred a positive token_reward instead."
        )
    if np.isneginf(reference_log_prob[eos]):
        return float("inf")
    body = np.isfinite(reference_log_prob - penalty)
    body[eos] = False
    start = reference_log_prob[body] - penalty[body]
    gain = reward_coef * token_reward[body]
    pays = gain > 0
    if not pays.any():
        return 0.0
    # At this 1 / b one paying token alone weighs one; twice it leaves room for rounding.
    highest = 2.0 * float(np.min(-start[pays] / gain[pays]))
    inverse = brentq(
        lambda x: logsumexp(start + x * gain), 0.0, highest, xtol=1e-300, rtol=4 * _EPS, maxiter=500
    )
    return 1.0 / inverse


def log_stop_go(log_prob: FloatArray, eos: int) -> tuple[float, float]:
    """Return the log-probabilities that a token ends the document and that it does not."""
    log_stop = float(log_prob[eos])
    if log_stop < -1.0:
        return log_stop, float(np.log1p(-np.exp(log_stop)))
    return log_stop, float(logsumexp(np.delete(log_prob, eos)))


def truncated_length(log_stop: float, log_go: float, max_length: int | None) -> float:
    """Return E[min(N, max_length)] of a geometric length N, in tokens; ``inf`` where it never ends.

    Parameters
    ----------
    log_stop, log_go : float
        Logarithms of the probabilities that a token ends the document, p, and that it does not.
    max_length : int or None
        Tokens at which the document is cut; None means never.
    """
    if max_length is None:
        with np.errstate(over="ignore"):
            return float(np.exp(-log_stop))
    stop = np.exp(log_stop)
    if stop == 0:
        return float(max_length)
    return float(-np.expm1(max_length * log_go) / stop) if log_go > -np.inf else 1.0


def survival(log_go: float, max_length: int) -> FloatArray:
    """Return the probabilities (max_length,) that a document has more than 0, 1, ... tokens."""
    survival = np.zeros(max_length)
    survival[0] = 1.0
    if log_go > -np.inf:
        survival[1:] = np.exp(np.arange(1, max_length) * log_go)
    return survival


def survival_difference(log_go: float, other_log_go: float, max_length: int) -> FloatArray:
    """Return the difference (max_length,) of two survivals, exact to the last digits of both."""
    if np.isneginf(log_go) or np.isneginf(other_log_go):
        return survival(log_go, max_length) - survival(other_log_go, max_length)
    steps = np.arange(max_length)
    low, high = sorted((log_go, other_log_go))
    difference = np.exp(steps * high) * -np.expm1(steps * (low - high))
    return difference if log_go == high else -difference
