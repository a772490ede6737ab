"""REINFORCE and ReMax: the reward less a baseline that does not depend on the response."""

import numpy as np
from numpy.typing import ArrayLike

from sklearn_codex._categorical import FloatArray
from sklearn_codex._checks.numbers import PROBABILITY, check_number
from sklearn_codex.lab._advantages._arrays import read_rewards, rewards_to_go
from sklearn_codex.lab._numbers import read_numbers


def reinforce_advantage(
    token_level_rewards: ArrayLike,
    response_mask: ArrayLike,
    *,
    baseline: float = 0.0,
    gamma: float = 1.0,
) -> tuple[FloatArray, FloatArray]:
    r"""Return the advantages of REINFORCE: the rewards from a token on, less a constant.

    Parameters
    ----------
    token_level_rewards : array-like of shape (..., n, T)
        Rewards of tokens, with the KL in them where it is wanted (:func:`shape_rewards`).
    response_mask : array-like of bool of shape (..., n, T)
        Which places hold tokens.
    baseline : float, default=0.0
        What is taken off; it changes the variance alone.
    gamma : float, default=1.0
        Discount of a token.

    Returns
    -------
    advantages, returns : ndarray of shape (..., n, T)
        0 at padding.

    Raises
    ------
    ValueError
        If rewards and mask differ in shape.

    Notes
    -----
    :math:`A_t = \sum_{u \ge t} \gamma^{u - t} r_u - B`. Without a discount its expected policy
    gradient is exact, and with :math:`r_u - b \log(\pi/ref)_u` for rewards it rests at the RLHF
    optimum, :math:`ref\, e^{R/b} / Z`.

    References
    ----------
    .. [1] Williams, R. J. (1992). "Simple statistical gradient-following algorithms for
       connectionist reinforcement learning." Machine Learning 8.

    Examples
    --------
    >>> from sklearn_codex.lab import reinforce_advantage
    >>> advantages, _ = reinforce_advantage([[1.0, 2.0]], [[True, True]], baseline=0.5)
    >>> advantages
    array([[2.5, 1.5]])
    """
    rewards, mask = read_rewards(token_level_rewards, response_mask, "reinforce_advantage")
    baseline = check_number(baseline, "baseline", subject="reinforce_advantage")
    gamma = check_number(gamma, "gamma", subject="reinforce_advantage", interval=PROBABILITY)
    returns = np.where(mask, rewards_to_go(rewards, gamma), 0.0)
    return np.where(mask, returns - baseline, 0.0), returns


def remax_advantage(
    token_level_rewards: ArrayLike, reward_baselines: ArrayLike, response_mask: ArrayLike
) -> tuple[FloatArray, FloatArray]:
    r"""Return the advantages of ReMax: less the reward of the greedy response to the prompt.

    Parameters
    ----------
    token_level_rewards : array-like of shape (..., n, T)
        Rewards of tokens.
    reward_baselines : array-like of shape (..., n)
        Reward of the response that greedy decoding gives to the prompt of each.
    response_mask : array-like of bool of shape (..., n, T)
        Which places hold tokens.

    Returns
    -------
    advantages, returns : ndarray of shape (..., n, T)
        0 at padding.

    Raises
    ------
    ValueError
        If rewards and mask differ in shape.

    Notes
    -----
    :math:`A_t = \sum_{u \ge t} r_u - R(\mathrm{greedy})`. The greedy response changes where two
    responses change ranks, and the expected gradient does not: the baseline is the same for all
    responses. It rests where REINFORCE does, at :math:`ref\, e^{R/b} / Z` with the KL in the
    reward.

    References
    ----------
    .. [1] Li, Z. et al. (2024). "ReMax: a simple, effective, and efficient reinforcement learning
       method for aligning large language models." ICML. arXiv:2310.10505.

    Examples
    --------
    >>> from sklearn_codex.lab import remax_advantage
    >>> remax_advantage([[0.0, 2.0]], [0.5], [[True, True]])[0]
    array([[1.5, 1.5]])
    """
    rewards, mask = read_rewards(token_level_rewards, response_mask, "remax_advantage")
    returns = np.where(mask, rewards_to_go(rewards), 0.0)
    baselines = read_numbers(reward_baselines, "reward_baselines", "remax_advantage")
    if baselines.shape != mask.shape[:-1]:
        raise ValueError(
            f"remax_advantage needs reward_baselines of shape {mask.shape[:-1]}, one for each "
            f"response, got {baselines.shape}."
        )
    return np.where(mask, returns - baselines[..., np.newaxis], 0.0), returns
