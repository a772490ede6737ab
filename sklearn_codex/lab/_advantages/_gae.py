"""GAE, the advantages of PPO with a critic."""

import numpy as np
from numpy.typing import ArrayLike

from sklearn_codex._categorical import FloatArray
from sklearn_codex._checks.numbers import PROBABILITY, check_number
from sklearn_codex.lab._advantages._arrays import read_rewards, whiten
from sklearn_codex.lab._numbers import read_numbers


def gae_advantage(
    token_level_rewards: ArrayLike,
    values: ArrayLike,
    response_mask: ArrayLike,
    gamma: float = 1.0,
    lam: float = 1.0,
    *,
    whiten_advantages: bool = False,
) -> tuple[FloatArray, FloatArray]:
    r"""Return generalised advantage estimates, and the returns that a critic is trained on.

    Parameters
    ----------
    token_level_rewards : array-like of shape (..., n, T)
        Rewards of tokens, with the KL in them.
    values : array-like of shape (..., n, T)
        What the critic says before each token.
    response_mask : array-like of bool of shape (..., n, T)
        Which places hold tokens; the next of a token is the next place that does.
    gamma : float, default=1.0
        Discount of a token.
    lam : float, default=1.0
        Weight of what is observed against what the critic says.
    whiten_advantages : bool, default=False
        Whether to give them mean 0 and variance 1 over the tokens of the batch, as trainers do.

    Returns
    -------
    advantages, returns : ndarray of shape (..., n, T)
        0 at padding. Returns are advantages plus values, before whitening.

    Raises
    ------
    ValueError
        If shapes differ, or ``gamma`` or ``lam`` is not from 0 to 1.

    Notes
    -----
    :math:`A_t = \delta_t + \gamma \lambda A_{t+1}` with
    :math:`\delta_t = r_t + \gamma V_{t+1} - V_t`, and V = 0 after the last token. The expected
    policy gradient is exact without a discount, for any lam with a perfect critic and for any
    critic with lam = 1, so PPO rests at the RLHF optimum then. Whitening by mean and deviation of a
    small batch, which hold the response itself, moves it.

    References
    ----------
    .. [1] Schulman, J. et al. (2016). "High-dimensional continuous control using generalized
       advantage estimation." ICLR. arXiv:1506.02438.

    Examples
    --------
    >>> from sklearn_codex.lab import gae_advantage
    >>> advantages, returns = gae_advantage([[0.0, 2.0]], [[1.0, 1.5]], [[True, True]], lam=0.5)
    >>> advantages, returns
    (array([[0.75, 0.5 ]]), array([[1.75, 2.  ]]))
    """
    rewards, mask = read_rewards(token_level_rewards, response_mask, "gae_advantage")
    values = read_numbers(values, "values", "gae_advantage", mask)
    if values.shape != mask.shape:
        raise ValueError(
            f"gae_advantage needs values of the shape {mask.shape} of rewards, got {values.shape}."
        )
    gamma = check_number(gamma, "gamma", subject="gae_advantage", interval=PROBABILITY)
    lam = check_number(lam, "lam", subject="gae_advantage", interval=PROBABILITY)
    advantages = np.zeros_like(rewards)
    following = np.zeros(rewards.shape[:-1])
    value = np.zeros(rewards.shape[:-1])
    for t in reversed(range(rewards.shape[-1])):
        here = mask[..., t]
        delta = rewards[..., t] + gamma * value - values[..., t]
        # A place without a token is passed over, also between tokens.
        following = np.where(here, delta + gamma * lam * following, following)
        value = np.where(here, values[..., t], value)
        advantages[..., t] = np.where(here, following, 0.0)
    returns = np.where(mask, advantages + values, 0.0)
    return (whiten(advantages, mask) if whiten_advantages else advantages), returns
