"""How far a step may go: trust regions in nats of a document's distribution."""

from collections.abc import Callable

import numpy as np
from scipy.optimize import brentq

from sklearn_codex._categorical import FloatArray, root_mean_square

# Times the trust region that a step may move a policy in truth: where a rare token rises fast, much
# more than to second order.
_FACTOR_IN_TRUTH = 8.0
# Share of a trust region that a step found by trying uses at least, and how often it is tried.
_WELL_USED, _MOST_TRIALS = 0.8, 30


def trust_region_scale(
    step: FloatArray, prob: FloatArray, length: float, target_kl: float
) -> float:
    """Return the factor at most 1 that keeps a step of the logits inside a KL trust region.

    To second order, moving the logits by ``step`` moves a document of ``length`` tokens by
    length * Var_pi(step) / 2 nats, and in truth KL(pi || moved) = length * log E_pi[e^c] with the
    centred step c, which is far more where a rare token is to take over. The scaled step moves it
    by at most ``target_kl`` to second order, and by no more than 8 times that in truth.
    """
    centred = step - prob @ step
    with np.errstate(over="ignore"):
        kl = 0.5 * length * float(prob @ centred**2)
    scale = 1.0
    if target_kl < kl < np.inf:
        scale = float(np.sqrt(target_kl / kl))
    elif kl > target_kl:
        # Squares of vast steps are no floats, but their root is.
        scale = float(np.sqrt(2.0 * target_kl / length) / root_mean_square(centred, prob))

    # Tokens the policy never draws may have moves beyond all others.
    drawn = prob > 0
    if not drawn.all():
        centred, prob = centred[drawn], prob[drawn]

    def excess(share):
        moved = share * centred
        top = moved.max()
        return length * (top + np.log(prob @ np.exp(moved - top))) - _FACTOR_IN_TRUTH * target_kl

    if scale == 0.0 or excess(scale) <= 0.0:
        return scale
    # It is convex and 0 at 0, where the centred step has no slope.
    return float(brentq(excess, 0.0, scale, xtol=1e-6 * scale))


def largest_share(divergence: Callable[[float], float], target_kl: float) -> float:
    """Return a share of a step, at most 1, that moves a policy by ``target_kl`` nats or less.

    Tried by the second-order guess, that the root of a divergence is linear in the share, until it
    lies between two shares, then by halving what is left; at least 0.8 of the trust region is used.

    Parameters
    ----------
    divergence : callable
        Takes a share, returns the nats it moves a document's distribution; rising, 0 at 0.
    target_kl : float
        The trust region.
    """
    low, high, share = 0.0, np.inf, 1.0
    for _ in range(_MOST_TRIALS):
        kl = divergence(share)
        if kl <= target_kl:
            low = share
            if share == 1.0 or kl >= _WELL_USED * target_kl:
                break
        else:
            high = share
        if low > 0.0 and high < np.inf:
            share = float(np.sqrt(low * high))
        elif 0.0 < kl < np.inf:
            share = min(1.0, float(share * np.sqrt(0.9 * target_kl / kl)))
        else:
            share *= 0.5
    return low
