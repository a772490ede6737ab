"""The weight of the KL at which the optimum has the KL that is wanted."""

from collections.abc import Callable

import numpy as np
from scipy.optimize import brentq

from sklearn_codex._checks.numbers import check_number

_EPS = np.finfo(np.float64).eps
# Between guesses of the logarithm of kl_coef.
_STEP = 2.0


def find_kl_coef(
    kl_at: Callable[[float], float], target_kl: float, limits: tuple[float, float], guess: float
) -> float:
    """Return the ``kl_coef`` whose optimum has a KL, by a root in its logarithm.

    Parameters
    ----------
    kl_at : callable
        Returns the KL of the optimum at a ``kl_coef``.
    target_kl : float
        Nats that are wanted.
    limits : tuple of two floats
        The KL where ``kl_coef`` is infinite, and where it is 0.
    guess : float
        Where to begin.

    Raises
    ------
    ValueError
        If the target is not between the limits.
    """
    target = check_number(target_kl, "target_kl", subject="CandidateObjective")
    floor, most = limits
    if not floor < target < most:
        raise ValueError(
            f"target_kl should be above {floor:.6g}, the nats that penalties and bans cost alone, "
            f"and below {most:.6g}, the nats at which only the candidates of greatest reward are "
            f"left, got {target:.6g}."
        )
    low = high = float(np.log(guess))
    while kl_at(float(np.exp(high))) > target:
        high += _STEP
    while kl_at(float(np.exp(low))) < target:
        low -= _STEP
    root = brentq(
        lambda log_kl_coef: kl_at(float(np.exp(log_kl_coef))) - target,
        low,
        high,
        xtol=1e-14,
        rtol=4 * _EPS,
    )
    return float(np.exp(root))
