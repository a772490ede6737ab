"""REINFORCE++: rewards to come, whitened over the whole batch."""

import numpy as np
from numpy.typing import ArrayLike

from sklearn_codex._categorical import FloatArray
from sklearn_codex._checks.numbers import PROBABILITY, check_number
from sklearn_codex.lab._advantages._arrays import (
    group_sizes,
    on_tokens,
    read_rewards,
    rewards_to_go,
    whiten,
)
from sklearn_codex.lab._batch import sum_within


def reinforce_plus_plus_advantage(
    token_level_rewards: ArrayLike, response_mask: ArrayLike, *, gamma: float = 1.0
) -> tuple[FloatArray, FloatArray]:
    r"""Return the advantages of REINFORCE++: rewards to come, whitened over tokens of the batch.

    Parameters
    ----------
    token_level_rewards : array-like of shape (..., n, T)
        Rewards of tokens, with the KL in them.
    response_mask : array-like of bool of shape (..., n, T)
        Which places hold tokens.
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
    :math:`A_t = (\sum_{u \ge t} r_u - m) / s`, with mean and standard deviation over all tokens of
    the batch. Both hold the response itself, and they count long responses more often, so the
    expected gradient is biased by the order of one over the size of the batch. Where all tokens
    but one are certain, rewards to come differ between first and later tokens even at the RLHF
    optimum, and it is no rest point; the one there is has no formula. It goes to the optimum as
    batches grow.

    References
    ----------
    .. [1] Hu, J. et al. (2025). "REINFORCE++: an efficient RLHF algorithm with robustness to both
       prompt and reward models." arXiv:2501.03262.

    Examples
    --------
    >>> from sklearn_codex.lab import reinforce_plus_plus_advantage
    >>> reinforce_plus_plus_advantage([[1.0], [2.0], [3.0]], [[True]] * 3)[0].ravel().round(6)
    array([-1.,  0.,  1.])
    """
    subject = "reinforce_plus_plus_advantage"
    rewards, mask = read_rewards(token_level_rewards, response_mask, subject)
    gamma = check_number(gamma, "gamma", subject=subject, interval=PROBABILITY)
    returns = np.where(mask, rewards_to_go(rewards, gamma), 0.0)
    return whiten(returns, mask), returns


def reinforce_plus_plus_baseline_advantage(
    token_level_rewards: ArrayLike, response_mask: ArrayLike, index: ArrayLike
) -> tuple[FloatArray, FloatArray]:
    r"""Return the advantages of REINFORCE++ with a baseline: less the group's mean, then whitened.

    Parameters
    ----------
    token_level_rewards : array-like of shape (..., n, T)
        Rewards of tokens; a response has their sum.
    response_mask : array-like of bool of shape (..., n, T)
        Which places hold tokens.
    index : array-like of shape (n,)
        The group of each response.

    Returns
    -------
    advantages, returns : ndarray of shape (..., n, T)
        0 at padding.

    Raises
    ------
    ValueError
        If a group has a single response.

    Notes
    -----
    :math:`A_i = (R_i - \bar R_g - m) / s`, with the mean of the group, and mean and standard
    deviation over all tokens of the batch. With the KL in the reward all are 0 at the RLHF optimum,
    which is a rest point.

    References
    ----------
    .. [1] Hu, J. et al. (2025). "REINFORCE++: an efficient RLHF algorithm with robustness to both
       prompt and reward models." arXiv:2501.03262.

    Examples
    --------
    >>> from sklearn_codex.lab import reinforce_plus_plus_baseline_advantage
    >>> rewards, mask = [[1.0], [2.0], [7.0], [8.0]], [[True]] * 4
    >>> reinforce_plus_plus_baseline_advantage(rewards, mask, [0, 0, 1, 1])[0].ravel().round(3)
    array([-0.866,  0.866, -0.866,  0.866])
    """
    subject = "reinforce_plus_plus_baseline_advantage"
    rewards, mask = read_rewards(token_level_rewards, response_mask, subject)
    codes, sizes = group_sizes(index, mask.shape[-2], subject)
    scores = rewards.sum(axis=-1)
    apart = on_tokens(scores - sum_within(scores, codes) / sizes, mask)
    advantages = whiten(apart, mask)
    return advantages, advantages
