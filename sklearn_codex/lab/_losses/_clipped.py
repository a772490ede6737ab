"""Policy losses of trainers that reuse a batch: what the ratio to the old policy does."""

import numpy as np
from numpy.typing import ArrayLike

from sklearn_codex._categorical import BoolArray, FloatArray
from sklearn_codex._checks.numbers import check_number
from sklearn_codex.lab._batch import aggregate
from sklearn_codex.lab._numbers import ratio_of, read_mask, read_numbers


def _read(
    subject: str,
    old_log_prob: ArrayLike,
    log_prob: ArrayLike,
    advantages: ArrayLike,
    response_mask: ArrayLike,
) -> tuple[FloatArray, FloatArray, FloatArray, BoolArray]:
    """Return what a policy loss is given as arrays of one shape (..., n, T), 0 at padding.

    Raises
    ------
    ValueError
        If their shapes differ.
    """
    mask = read_mask(response_mask, subject)
    old, new, worth = (
        read_numbers(values, name, subject, mask)
        for values, name in (
            (old_log_prob, "old_log_prob"),
            (log_prob, "log_prob"),
            (advantages, "advantages"),
        )
    )
    shapes = [array.shape for array in (old, new, worth, mask)]
    if mask.ndim < 2 or len(set(shapes)) > 1:
        raise ValueError(
            f"{subject} needs old_log_prob, log_prob, advantages and response_mask of one shape "
            f"(n_responses, n_tokens), got {', '.join(map(str, shapes))}. An advantage of a whole "
            "response is repeated at each of its tokens."
        )
    return old, new, worth, mask


def _check_clips(subject: str, **clips: float | None) -> None:
    """Raise ValueError where a bound of a ratio is no number; below 0 it is beyond 1."""
    for name, value in clips.items():
        if value is not None:
            check_number(value, name, subject=subject)


def policy_gradient_loss(
    old_log_prob: ArrayLike,
    log_prob: ArrayLike,
    advantages: ArrayLike,
    response_mask: ArrayLike,
    loss_agg_mode: str = "seq-mean-token-sum",
) -> tuple[FloatArray, FloatArray]:
    r"""Return the loss of plain policy gradient, and its gradient.

    Parameters
    ----------
    old_log_prob : array-like of shape (..., n, T)
        Not used; there so that all policy losses are called alike.
    log_prob, advantages : array-like of shape (..., n, T)
        Log-probabilities of the tokens, and what each is worth.
    response_mask : array-like of bool of shape (..., n, T)
        Which places hold tokens.
    loss_agg_mode : str, default="seq-mean-token-sum"
        "token-mean", "seq-mean-token-sum", "seq-mean-token-mean" or "seq-mean-token-sum-norm".

    Returns
    -------
    loss : ndarray of shape (...)
        A number for one batch.
    gradient : ndarray of shape (..., n, T)
        By ``log_prob``.

    Raises
    ------
    ValueError
        If shapes differ, or there is no such ``loss_agg_mode``.

    Notes
    -----
    The loss of a token is :math:`-A_t \log \pi(y_t)`. Summed over tokens its expected gradient is
    that of the expected reward, if that is so of the advantages; it rests where these say. A mean
    over the tokens of each response (1/\|o\|) is a price per token as soon as the expected
    advantages at the rest point are not all 0.

    References
    ----------
    .. [1] Williams, R. J. (1992). "Simple statistical gradient-following algorithms for
       connectionist reinforcement learning." Machine Learning 8.

    Examples
    --------
    >>> from sklearn_codex.lab import policy_gradient_loss
    >>> loss, gradient = policy_gradient_loss([[-1.0]], [[-1.0]], [[2.0]], [[True]])
    >>> float(loss), gradient
    (2.0, array([[-2.]]))
    """
    _, log_prob, advantages, mask = _read(
        "policy_gradient_loss", old_log_prob, log_prob, advantages, response_mask
    )
    loss, gradient = aggregate(-advantages * log_prob, -advantages, mask, loss_agg_mode)
    return loss, gradient


def ppo_loss(
    old_log_prob: ArrayLike,
    log_prob: ArrayLike,
    advantages: ArrayLike,
    response_mask: ArrayLike,
    loss_agg_mode: str = "token-mean",
    *,
    clip_ratio: float = 0.2,
    clip_ratio_low: float | None = None,
    clip_ratio_high: float | None = None,
    clip_ratio_c: float | None = None,
) -> tuple[FloatArray, FloatArray]:
    r"""Return the clipped surrogate of PPO, GRPO and DAPO, and its gradient.

    Parameters
    ----------
    old_log_prob, log_prob, advantages : array-like of shape (..., n, T)
        Log-probabilities of the tokens under the policy that drew them and under the policy, and
        what each is worth.
    response_mask : array-like of bool of shape (..., n, T)
        Which places hold tokens.
    loss_agg_mode : str, default="token-mean"
        "token-mean", "seq-mean-token-sum", "seq-mean-token-mean" or "seq-mean-token-sum-norm".
    clip_ratio : float, default=0.2
        How far the ratio may go to either side of 1.
    clip_ratio_low, clip_ratio_high : float, default=None
        How far below and above; None means ``clip_ratio``. A greater ``clip_ratio_high`` is DAPO's
        clip-higher.
    clip_ratio_c : float, default=None
        Ratio above which tokens of negative advantage have no gradient (dual clip), above 1; None
        means none.

    Returns
    -------
    loss : ndarray of shape (...)
        A number for one batch.
    gradient : ndarray of shape (..., n, T)
        By ``log_prob``; 0 where the clip is active.

    Raises
    ------
    ValueError
        If shapes differ, or there is no such ``loss_agg_mode``.

    Notes
    -----
    With :math:`\rho_t = \pi / \pi_{old}`,
    :math:`-\min(\rho_t A_t, \mathrm{clip}(\rho_t, 1 - l, 1 + h)\, A_t)`. At the first step on a
    batch it is policy gradient, whatever the clip, so the expected first step rests where the
    advantages say. Later steps rest elsewhere as far as the clip is active.

    Modes of aggregation are verl's, but that "seq-mean-token-sum-norm" is a mean over responses
    here and a sum there.

    References
    ----------
    .. [1] Schulman, J. et al. (2017). "Proximal policy optimization algorithms." arXiv:1707.06347.
    .. [2] Yu, Q. et al. (2025). "DAPO: an open-source LLM reinforcement learning system at scale."
       arXiv:2503.14476.
    .. [3] Ye, D. et al. (2020). "Mastering complex control in MOBA games with deep reinforcement
       learning." AAAI (dual clip).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_codex.lab import ppo_loss
    >>> old, new = np.log([[0.5, 0.5]]), np.log([[0.55, 0.75]])
    >>> loss, gradient = ppo_loss(old, new, [[1.0, 1.0]], [[True, True]])
    >>> round(float(loss), 3), gradient.round(3)
    (-1.15, array([[-0.55,  0.  ]]))
    """
    old_log_prob, log_prob, advantages, mask = _read(
        "ppo_loss", old_log_prob, log_prob, advantages, response_mask
    )
    _check_clips(
        "ppo_loss",
        clip_ratio=clip_ratio,
        clip_ratio_low=clip_ratio_low,
        clip_ratio_high=clip_ratio_high,
        clip_ratio_c=clip_ratio_c,
    )
    low = clip_ratio if clip_ratio_low is None else clip_ratio_low
    high = clip_ratio if clip_ratio_high is None else clip_ratio_high
    ratio = ratio_of(log_prob, old_log_prob)
    clipped = np.clip(ratio, 1 - low, 1 + high)
    losses = np.maximum(-advantages * ratio, -advantages * clipped)
    moves = -advantages * ratio >= -advantages * clipped
    if clip_ratio_c is not None:
        bounded = (advantages < 0) & (losses > -advantages * clip_ratio_c)
        losses = np.where(bounded, -advantages * clip_ratio_c, losses)
        moves &= ~bounded
    slopes = np.where(moves, -advantages * ratio, 0.0)
    loss, gradient = aggregate(losses, slopes, mask, loss_agg_mode)
    return loss, gradient


def gspo_loss(
    old_log_prob: ArrayLike,
    log_prob: ArrayLike,
    advantages: ArrayLike,
    response_mask: ArrayLike,
    loss_agg_mode: str = "seq-mean-token-mean",
    *,
    clip_ratio_low: float = 3e-4,
    clip_ratio_high: float = 4e-4,
) -> tuple[FloatArray, FloatArray]:
    r"""Return the loss of GSPO, whose ratio is one of the whole response, and its gradient.

    Parameters
    ----------
    old_log_prob, log_prob, advantages : array-like of shape (..., n, T)
        Log-probabilities of the tokens under the policy that drew them and under the policy, and
        what each is worth, the same at all tokens of a response.
    response_mask : array-like of bool of shape (..., n, T)
        Which places hold tokens.
    loss_agg_mode : str, default="seq-mean-token-mean"
        "token-mean", "seq-mean-token-sum", "seq-mean-token-mean" or "seq-mean-token-sum-norm".
    clip_ratio_low, clip_ratio_high : float, default=3e-4, 4e-4
        How far the ratio may go below and above 1.

    Returns
    -------
    loss : ndarray of shape (...)
        A number for one batch.
    gradient : ndarray of shape (..., n, T)
        By ``log_prob``.

    Raises
    ------
    ValueError
        If shapes differ, or there is no such ``loss_agg_mode``.

    Notes
    -----
    :math:`s_i = (\pi(y_i) / \pi_{old}(y_i))^{1/|y_i|}` takes the place of the ratio, its gradient
    at a token is :math:`s_i / |y_i|` in the mean over tokens: a policy gradient with 1/\|o\|. So it
    rests at the RLHF optimum with the KL in a reward that is centred by its group, and has a length
    bias with the KL in the loss.

    References
    ----------
    .. [1] Zheng, C. et al. (2025). "Group sequence policy optimization." arXiv:2507.18071.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_codex.lab import gspo_loss
    >>> same = np.log([[0.5, 0.25]])
    >>> loss, gradient = gspo_loss(same, same, [[1.0, 1.0]], [[True, True]])
    >>> float(loss), gradient
    (-1.0, array([[-0.5, -0.5]]))
    """
    old_log_prob, log_prob, advantages, mask = _read(
        "gspo_loss", old_log_prob, log_prob, advantages, response_mask
    )
    _check_clips("gspo_loss", clip_ratio_low=clip_ratio_low, clip_ratio_high=clip_ratio_high)
    lengths = np.maximum(mask.sum(axis=-1, keepdims=True), 1)
    mean = (log_prob - old_log_prob).sum(axis=-1, keepdims=True) / lengths
    ratio = ratio_of(mean, np.zeros_like(mean))
    clipped = np.clip(ratio, 1 - clip_ratio_low, 1 + clip_ratio_high)
    losses = np.maximum(-advantages * ratio, -advantages * clipped)
    slopes = np.where(-advantages * ratio >= -advantages * clipped, -advantages * ratio, 0.0)
    loss, by_ratio = aggregate(losses, slopes, mask, loss_agg_mode)
    # The ratio of a response moves with each of its tokens.
    gradient = np.where(mask, by_ratio.sum(axis=-1, keepdims=True) / lengths, 0.0)
    return loss, gradient


def cispo_loss(
    old_log_prob: ArrayLike,
    log_prob: ArrayLike,
    advantages: ArrayLike,
    response_mask: ArrayLike,
    loss_agg_mode: str = "token-mean",
    *,
    clip_ratio_low: float = 10.0,
    clip_ratio_high: float = 0.2,
) -> tuple[FloatArray, FloatArray]:
    r"""Return the loss of CISPO, policy gradient with clipped weights, and its gradient.

    Parameters
    ----------
    old_log_prob, log_prob, advantages : array-like of shape (..., n, T)
        Log-probabilities of the tokens under the policy that drew them and under the policy, and
        what each is worth.
    response_mask : array-like of bool of shape (..., n, T)
        Which places hold tokens.
    loss_agg_mode : str, default="token-mean"
        "token-mean", "seq-mean-token-sum", "seq-mean-token-mean" or "seq-mean-token-sum-norm".
    clip_ratio_low, clip_ratio_high : float, default=10.0, 0.2
        How far the weight may go below and above 1; 10 below is no bound.

    Returns
    -------
    loss : ndarray of shape (...)
        A number for one batch.
    gradient : ndarray of shape (..., n, T)
        By ``log_prob``; the weight is a number to it.

    Raises
    ------
    ValueError
        If shapes differ, or there is no such ``loss_agg_mode``.

    Notes
    -----
    :math:`-\mathrm{sg}[\mathrm{clip}(\rho_t, 1 - l, 1 + h)]\, A_t \log \pi(y_t)`, where sg stops
    the gradient. No token loses its gradient, unlike under PPO's clip. At the first step it is
    policy gradient and rests where the advantages say.

    References
    ----------
    .. [1] MiniMax (2025). "MiniMax-M1: scaling test-time compute efficiently with lightning
       attention." arXiv:2506.13585.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_codex.lab import cispo_loss
    >>> _, gradient = cispo_loss(np.log([[0.5]]), np.log([[0.75]]), [[1.0]], [[True]])
    >>> gradient
    array([[-1.2]])
    """
    old_log_prob, log_prob, advantages, mask = _read(
        "cispo_loss", old_log_prob, log_prob, advantages, response_mask
    )
    _check_clips("cispo_loss", clip_ratio_low=clip_ratio_low, clip_ratio_high=clip_ratio_high)
    ratio = ratio_of(log_prob, old_log_prob)
    weight = np.clip(ratio, 1 - clip_ratio_low, 1 + clip_ratio_high) * advantages
    loss, gradient = aggregate(-weight * log_prob, -weight, mask, loss_agg_mode)
    return loss, gradient
