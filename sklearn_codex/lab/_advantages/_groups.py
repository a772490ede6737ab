"""RLOO and GRPO: a response is compared with the others to the same prompt."""

import numpy as np
from numpy.typing import ArrayLike

from sklearn_codex._categorical import FloatArray
from sklearn_codex._checks.numbers import POSITIVE, check_number
from sklearn_codex.lab._advantages._arrays import group_sizes, on_tokens, read_rewards
from sklearn_codex.lab._batch import sum_within


def rloo_advantage(
    token_level_rewards: ArrayLike, response_mask: ArrayLike, index: ArrayLike
) -> tuple[FloatArray, FloatArray]:
    r"""Return the advantages of RLOO: the reward less the mean of the others of the group.

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
        The same at all tokens of a response, 0 at padding.

    Raises
    ------
    ValueError
        If a group has a single response.

    Notes
    -----
    :math:`A_i = R_i - \frac{1}{G - 1} \sum_{j \ne i} R_j`. The baseline does not depend on the
    response, so the expected policy gradient is exact, at any G. With the KL in the reward it rests
    at the RLHF optimum, :math:`ref\, e^{R/b} / Z`.

    References
    ----------
    .. [1] Ahmadian, A. et al. (2024). "Back to basics: revisiting REINFORCE-style optimization for
       learning from human feedback in LLMs." arXiv:2402.14740.

    Examples
    --------
    >>> from sklearn_codex.lab import rloo_advantage
    >>> rloo_advantage([[1.0], [2.0], [6.0]], [[True]] * 3, ["a", "a", "a"])[0].ravel()
    array([-3. , -1.5,  4.5])
    """
    rewards, mask = read_rewards(token_level_rewards, response_mask, "rloo_advantage")
    codes, sizes = group_sizes(index, mask.shape[-2], "rloo_advantage")
    scores = rewards.sum(axis=-1)
    others = (sum_within(scores, codes) - scores) / (sizes - 1)
    advantages = on_tokens(scores - others, mask)
    return advantages, advantages


def grpo_advantage(
    token_level_rewards: ArrayLike,
    response_mask: ArrayLike,
    index: ArrayLike,
    *,
    epsilon: float = 1e-6,
    norm_adv_by_std_in_grpo: bool = True,
) -> tuple[FloatArray, FloatArray]:
    r"""Return the advantages of GRPO, or of Dr. GRPO: the reward less the mean of the group.

    Parameters
    ----------
    token_level_rewards : array-like of shape (..., n, T)
        Rewards of tokens; a response has their sum.
    response_mask : array-like of bool of shape (..., n, T)
        Which places hold tokens.
    index : array-like of shape (n,)
        The group of each response.
    epsilon : float, default=1e-6
        What is added to the standard deviation.
    norm_adv_by_std_in_grpo : bool, default=True
        Whether to divide by the standard deviation of the group (with G - 1), as GRPO does. False
        is Dr. GRPO.

    Returns
    -------
    advantages, returns : ndarray of shape (..., n, T)
        The same at all tokens of a response, 0 at padding.

    Raises
    ------
    ValueError
        If a group has a single response.

    Notes
    -----
    :math:`A_i = (R_i - \bar R) / (s + \epsilon)`. The mean holds the response itself, so without s
    the expected advantage is (G - 1) / G of the true one. Where it rests, with weight b of the KL,
    expected advantage :math:`a(y; \pi)` of a response in a group that holds it, and one uncertain
    token:

    - the KL in the reward: the RLHF optimum, as all advantages are 0 there
    - k3 in the loss: :math:`\pi = ref / (1 - a(\pi) / b)`, which descends KL(ref || policy)
    - k2, or weighted k1 or k3, in the loss: :math:`\pi \propto ref\, e^{a(\pi) / b}`
    - the same without s: the RLHF optimum of the weight b G / (G - 1)
    - k1 in the loss: nowhere, the KL has no gradient

    With s the scale of the reward is lost: twice the reward has the same rest point.

    References
    ----------
    .. [1] Shao, Z. et al. (2024). "DeepSeekMath: pushing the limits of mathematical reasoning in
       open language models." arXiv:2402.03300.
    .. [2] Liu, Z. et al. (2025). "Understanding R1-Zero-like training: a critical perspective."
       arXiv:2503.20783.

    Examples
    --------
    >>> from sklearn_codex.lab import grpo_advantage
    >>> rewards, mask, index = [[1.0], [2.0], [6.0]], [[True]] * 3, [0, 0, 0]
    >>> grpo_advantage(rewards, mask, index)[0].ravel().round(3)
    array([-0.756, -0.378,  1.134])
    >>> grpo_advantage(rewards, mask, index, norm_adv_by_std_in_grpo=False)[0].ravel()
    array([-2., -1.,  3.])
    """
    rewards, mask = read_rewards(token_level_rewards, response_mask, "grpo_advantage")
    codes, sizes = group_sizes(index, mask.shape[-2], "grpo_advantage")
    epsilon = check_number(epsilon, "epsilon", subject="grpo_advantage", interval=POSITIVE)
    scores = rewards.sum(axis=-1)
    apart = scores - sum_within(scores, codes) / sizes
    # What is rounding of equal rewards is not to be divided by its own size.
    apart = np.where(np.abs(apart) <= 1e-13 * np.abs(scores), 0.0, apart)
    if norm_adv_by_std_in_grpo:
        apart = apart / (np.sqrt(sum_within(apart**2, codes) / (sizes - 1)) + epsilon)
    advantages = on_tokens(apart, mask)
    return advantages, advantages
