"""The KL-reward frontier: the best expected reward at each KL divergence from the reference."""

import numpy as np
from scipy.optimize import brentq
from sklearn.utils import Bunch

from sklearn_codex._categorical import FloatArray
from sklearn_codex.exact._additive import AdditiveObjective


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

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_codex.exact import kl_reward_frontier
    >>> points = kl_reward_frontier(np.log([0.5, 0.5]), np.array([0.0, 1.0]), kl_coefs=[1.0, 0.5])
    >>> points.kl.round(3), points.expected_reward.round(3)
    (array([0.111, 0.328]), array([0.731, 0.881]))
    """
    if kl_coefs is None:
        prob = np.exp(reference_log_prob)
        mean = prob @ token_reward
        scale = float(np.sqrt(prob @ (token_reward - mean) ** 2)) or 1.0
        kl_coefs = scale * np.geomspace(100.0, 0.01, 50)
    kl_coefs = np.sort(np.asarray(kl_coefs, dtype=np.float64))[::-1]
    kl, reward = np.empty_like(kl_coefs), np.empty_like(kl_coefs)
    for i, kl_coef in enumerate(kl_coefs):
        problem = AdditiveObjective(
            reference_log_prob, token_reward, length=length, kl_coef=float(kl_coef)
        )
        best = problem.optimum()
        kl[i], reward[i] = problem.kl(best), problem.expected_reward(best)
    return Bunch(kl_coef=kl_coefs, kl=kl, expected_reward=reward)


def kl_coef_for_kl(
    reference_log_prob: FloatArray,
    token_reward: FloatArray,
    target_kl: float,
    *,
    length: int = 1,
) -> float:
    """Return the ``kl_coef`` whose optimum is ``target_kl`` nats a document from the reference.

    Parameters
    ----------
    reference_log_prob : ndarray of shape (V,)
        Log-probabilities of the reference policy.
    token_reward : ndarray of shape (V,)
        Reward of each token.
    target_kl : float
        KL(policy || reference) of a document, in nats, above 0.
    length : int, default=1
        Tokens of a document.

    Returns
    -------
    kl_coef : float

    Raises
    ------
    ValueError
        If no policy inside the reference's support is that far and still optimal: the most a
        reward can ask for is the best token alone.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_codex.exact import kl_coef_for_kl
    >>> round(kl_coef_for_kl(np.log([0.5, 0.5]), np.array([0.0, 1.0]), 0.11094), 2)
    1.0
    """

    def kl_at(log_kl_coef):
        problem = AdditiveObjective(
            reference_log_prob, token_reward, length=length, kl_coef=float(np.exp(log_kl_coef))
        )
        return problem.kl(problem.optimum())

    support = np.isfinite(reference_log_prob)
    best = support & np.isclose(token_reward, token_reward[support].max(), rtol=0, atol=0)
    largest = -length * float(np.log(np.exp(reference_log_prob[best]).sum()))
    if not 0 < target_kl < largest:
        raise ValueError(
            f"target_kl should be above 0 and below {largest:.6g}, the nats at which only the "
            f"tokens of greatest reward are left, got {target_kl}."
        )
    spread = float(np.ptp(token_reward[support]))
    low, high = np.log(spread) - 1.0, np.log(spread) + 1.0
    while kl_at(low) < target_kl:
        low -= 1.0
    while kl_at(high) > target_kl:
        high += 1.0
    return float(np.exp(brentq(lambda x: kl_at(x) - target_kl, low, high, xtol=1e-13)))
