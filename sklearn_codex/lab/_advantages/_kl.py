"""Rewards of tokens with the KL from the reference in them."""

from numpy.typing import ArrayLike

from sklearn_codex._categorical import FloatArray
from sklearn_codex._checks.numbers import check_number
from sklearn_codex.lab._advantages._arrays import read_rewards
from sklearn_codex.lab._losses._kl import kl_penalty


def shape_rewards(
    token_level_rewards: ArrayLike,
    old_log_prob: ArrayLike,
    ref_log_prob: ArrayLike,
    response_mask: ArrayLike,
    kl_coef: float,
    estimator: str = "k1",
) -> FloatArray:
    r"""Return rewards of tokens less ``kl_coef`` times an estimate of the KL at each.

    The KL is a number here, no gradient goes through it.

    Parameters
    ----------
    token_level_rewards, old_log_prob, ref_log_prob : array-like of shape (..., n, T)
        Rewards, and log-probabilities of the tokens under the policy that drew them and under the
        reference.
    response_mask : array-like of bool of shape (..., n, T)
        Which places hold tokens.
    kl_coef : float
        Weight b of the KL, per nat.
    estimator : {"k1", "k2", "k3"}, default="k1"
        With d = log(pi / ref): d, d**2 / 2, or exp(-d) - 1 + d. Only "k1" makes the policy gradient
        that of the reverse KL: its expectation has the gradient of the KL, those of the others'
        do not.

    Returns
    -------
    rewards : ndarray of shape (..., n, T)
        0 at padding.

    Raises
    ------
    ValueError
        If shapes differ, or there is no such estimator.

    References
    ----------
    .. [1] Stiennon, N. et al. (2020). "Learning to summarize from human feedback." NeurIPS.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_codex.lab import shape_rewards
    >>> shape_rewards([[0.0, 1.0]], [[-1.0, -2.0]], [[-2.0, -2.0]], [[True, True]], 0.5)
    array([[-0.5,  1. ]])
    """
    rewards, mask = read_rewards(token_level_rewards, response_mask, "shape_rewards")
    kl_coef = check_number(kl_coef, "kl_coef", subject="shape_rewards")
    penalty, _ = kl_penalty(old_log_prob, ref_log_prob, estimator, response_mask=mask)
    return rewards - kl_coef * penalty
