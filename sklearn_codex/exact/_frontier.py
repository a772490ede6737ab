"""The KL-reward frontier: the best expected reward at each KL divergence from the reference."""

import numpy as np
from scipy.optimize import brentq
from scipy.special import logsumexp
from sklearn.utils import Bunch
from sklearn.utils._param_validation import InvalidParameterError

from sklearn_codex._categorical import FloatArray, exp_rest, log_mass
from sklearn_codex._checks.numbers import check_number, check_values, shown
from sklearn_codex.exact._additive import AdditiveObjective
from sklearn_codex.exact._settings import below_best, reward_spread

_EPS, _TINY = np.finfo(np.float64).eps, np.nextafter(0.0, 1.0)
# exp(-800) is 0.
_CERTAIN = 800.0
# Added to the logarithm of a bound of kl_coef, for rounding.
_ROOM = 0.1
# exp(705) is still a float.
_LOWEST = -705.0


def kl_reward_frontier(
    reference_log_prob: FloatArray,
    token_reward: FloatArray,
    *,
    length: int = 1,
    kl_coefs=None,
) -> Bunch:
    """Return the exact frontier of expected reward against KL, one optimum for each ``kl_coef``.

    No policy lies above it: :math:`E^*[R]` is increasing and concave in KL, with slope ``kl_coef``.

    Parameters
    ----------
    reference_log_prob : ndarray of shape (V,)
        Log-probabilities of the reference policy.
    token_reward : ndarray of shape (V,)
        Reward of each token.
    length : int, default=1
        Tokens of a document.
    kl_coefs : array-like of shape (n_points,), default=None
        Weights of the KL; None means 50 from 0.01 to 100 times the standard deviation of the token
        reward under the reference, on a logarithmic grid.

    Returns
    -------
    frontier : Bunch
        ``kl_coef``, ``kl`` (nats per document) and ``expected_reward`` (per document), arrays of
        shape (n_points,), by increasing KL.

    Raises
    ------
    ValueError
        If a shape does not fit, or a number is NaN, infinite or out of its range.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_codex.exact import kl_reward_frontier
    >>> points = kl_reward_frontier(np.log([0.5, 0.5]), np.array([0.0, 1.0]), kl_coefs=[1.0, 0.5])
    >>> points.kl.round(3), points.expected_reward.round(3)
    (array([0.111, 0.328]), array([0.731, 0.881]))
    """
    problem = AdditiveObjective(reference_log_prob, token_reward, length=length)
    if kl_coefs is None:
        scale = reward_spread(problem.reference_log_prob, problem.token_reward)
        kl_coefs = scale * np.geomspace(100.0, 0.01, 50)
    kl_coefs = np.sort(check_values(kl_coefs, "kl_coefs", subject="kl_reward_frontier"))[::-1]
    if not kl_coefs.size:
        raise ValueError("kl_reward_frontier needs kl_coefs, at least one, got none.")
    return problem.frontier(kl_coefs)


def kl_coef_for_kl(
    reference_log_prob: FloatArray,
    token_reward: FloatArray,
    target_kl: float,
    *,
    length: int = 1,
) -> float:
    r"""Return the ``kl_coef`` whose optimum is ``target_kl`` nats a document from the reference.

    Parameters
    ----------
    reference_log_prob : ndarray of shape (V,)
        Log-probabilities of the reference policy. Where tokens were banned and it sums to less than
        one, no policy is nearer to it than -log of the sum for each token, the floor.
    token_reward : ndarray of shape (V,)
        Reward of each token.
    target_kl : float
        KL(policy || reference) of a document, in nats, above the floor, which is 0 where nothing
        was banned.
    length : int, default=1
        Tokens of a document.

    Returns
    -------
    kl_coef : float

    Raises
    ------
    ValueError
        If no policy inside the reference's support is that far and still optimal: the least is the
        floor, the most a reward can ask for is the best tokens alone; or if a number is NaN,
        infinite or out of its range.

    Notes
    -----
    The KL at b, of a document of L tokens, falls in b and is at most the floor and
    :math:`L s^2 / (8 b^2)` with the range s of the rewards (by Hoeffding's lemma); at
    :math:`b = d / (800 - \log ref_{best})` with the distance d from the best reward to the next,
    nothing but the best tokens is left. The root between is found in log b. The KL is a sum of
    terms that are never negative, so it has its digits where it is tiny too.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_codex.exact import kl_coef_for_kl
    >>> round(kl_coef_for_kl(np.log([0.5, 0.5]), np.array([0.0, 1.0]), 0.11094), 2)
    1.0
    """
    subject = "kl_coef_for_kl"
    problem = AdditiveObjective(reference_log_prob, token_reward, length=length)
    possible = np.isfinite(problem.reference_log_prob)
    reference = problem.reference_log_prob[possible]
    reward, _ = below_best(problem.token_reward[possible], 1.0, np.ones(len(reference), dtype=bool))
    mass = log_mass(reference)
    best = reward == 0.0
    log_best = float(logsumexp(reference[best]))
    try:
        target = check_number(target_kl, "target_kl", subject=subject)
    except InvalidParameterError:
        target = np.nan
    target_per_token = target / problem.length + mass
    if best.all() or not 0 < target_per_token < mass - log_best:
        floor, largest = 0.0 - problem.length * mass, 0.0 - problem.length * log_best
        raise ValueError(_explain_target(target_kl, floor, largest, bool(best.all())))
    reference = reference - mass
    scale = float(-reward.min())
    if not scale < np.inf:
        raise ValueError(
            f"{subject} needs token rewards whose range is a float, got {np.min(token_reward):.3g} "
            f"to {np.max(token_reward):.3g}. Scale them down."
        )
    reward = reward / scale
    low = float(np.log(max(-reward[~best].max(), _TINY)) - np.log(_CERTAIN - log_best))
    low = max(low, _LOWEST)
    high = -0.5 * np.log(8.0 * target_per_token) + _ROOM

    def excess(log_kl_coef):
        return tilt_kl(reference, reward * np.exp(-log_kl_coef)) - target_per_token

    if excess(low) <= 0:  # the target is the largest but for rounding
        return _as_kl_coef(low, scale)
    return _as_kl_coef(brentq(excess, low, high, xtol=1e-15, rtol=4 * _EPS, maxiter=1000), scale)


def _as_kl_coef(log_kl_coef, scale):
    """Return a positive float, in two steps as each factor may be beyond the floats alone."""
    half = np.exp(0.5 * log_kl_coef)
    return max(float(half * scale * half), _TINY)


def _explain_target(target, floor, largest, is_flat):
    why_not_less = (
        "" if floor == 0 else ", the nats that the tokens banned from the reference cost alone,"
    )
    most = (
        "the nats of every optimum, as all possible tokens have the same reward"
        if is_flat
        else "the nats at which only the tokens of greatest reward are left"
    )
    return (
        f"target_kl should be above {floor:.6g}{why_not_less} and below {largest:.6g}, {most}, got "
        f"{shown(target)}."
    )


def tilt_kl(reference: FloatArray, tilt: FloatArray) -> float:
    r"""Return KL(pi || ref) in nats of pi ~ ref exp(tilt), to a small relative error also if tiny.

    With :math:`d_t = \log(\pi_t / ref_t)` it is the sum of :math:`\pi_t (d_t - 1) + ref_t`, of
    which none is negative. The d_t come from the tilt, whose digits ``log ref_t + tilt_t`` loses.

    Parameters
    ----------
    reference : ndarray of shape (V,)
        Finite log-probabilities that sum to one.
    tilt : ndarray of shape (V,)
        Finite.
    """
    prob = np.exp(reference)
    tilt = tilt - prob @ tilt
    if np.abs(tilt).max() < 1.0:
        log_norm = float(np.log1p(prob @ np.expm1(tilt)))
    else:
        log_norm = float(logsumexp(reference + tilt))
    ratio = tilt - log_norm
    near = np.abs(ratio) < 1.0
    policy = np.exp(reference + ratio)
    terms = policy * (ratio - 1.0) + prob
    terms[near] = policy[near] * exp_rest(-ratio[near])
    return float(terms.sum())
