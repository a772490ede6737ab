"""DPO and its nearest relatives: losses of the log-ratio margin to a reference."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit

from sklearn_codex._checks.numbers import check_number
from sklearn_codex.lab._losses._pairs import PairLoss, log_ratios, softplus


def dpo_loss(
    policy_chosen_logps: ArrayLike,
    policy_rejected_logps: ArrayLike,
    ref_chosen_logps: ArrayLike,
    ref_rejected_logps: ArrayLike,
    *,
    beta: float = 0.1,
    label_smoothing: float = 0.0,
) -> PairLoss:
    r"""Return the loss of DPO, also label-smoothed, and its derivatives.

    Parameters
    ----------
    policy_chosen_logps, policy_rejected_logps : array-like of shape (...)
        Log-probabilities of the response that won and of the other, summed over tokens.
    ref_chosen_logps, ref_rejected_logps : array-like of shape (...)
        The same under the reference.
    beta : float, default=0.1
        Weight b of the KL in the objective that DPO stands for.
    label_smoothing : float, default=0.0
        Probability e, below 1/2, with which a label is taken to be wrong ("conservative" DPO).

    Returns
    -------
    loss, chosen_gradient, rejected_gradient : ndarray of shape (...)
        Of each pair, and its derivatives by the two log-probabilities of the policy.

    Raises
    ------
    ValueError
        If shapes differ, or ``beta`` or ``label_smoothing`` is out of range.

    Notes
    -----
    With the log-ratio margin h,
    :math:`-(1 - e) \log \sigma(b h) - e \log \sigma(-b h)`. Over all policies it rests at
    :math:`ref\, e^{\hat r / b} / Z` with the maximum likelihood scores of Bradley and Terry for the
    preferences, of which a share e is turned round. Without smoothing these are infinite where some
    responses never lose against others: then it rests nowhere, at any beta. From the policy's own
    pairs (online DPO), with preferences that are Bradley-Terry in r, it rests at
    :math:`ref\, e^{r / b} / Z`, the RLHF optimum.

    References
    ----------
    .. [1] Rafailov, R. et al. (2023). "Direct preference optimization: your language model is
       secretly a reward model." NeurIPS. arXiv:2305.18290.
    .. [2] Mitchell, E. (2023). "A note on DPO with noisy preferences and relationship to IPO."
    .. [3] Guo, S. et al. (2024). "Direct language model alignment from online AI feedback."
       arXiv:2402.04792.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_codex.lab import dpo_loss
    >>> loss, chosen, rejected = dpo_loss([-1.0], [-2.0], [-1.5], [-1.5], beta=1.0)
    >>> loss.round(3), chosen.round(3), rejected.round(3)
    (array([0.313]), array([-0.269]), array([0.269]))
    """
    logps = (policy_chosen_logps, policy_rejected_logps, ref_chosen_logps, ref_rejected_logps)
    margin = beta * log_ratios("dpo_loss", beta, *logps)
    e = check_number(label_smoothing, "label_smoothing", subject="dpo_loss")
    if not 0 <= e < 0.5:
        raise ValueError(f"dpo_loss needs label_smoothing from 0 to below 0.5, got {e}.")
    loss = (1 - e) * softplus(-margin) + e * softplus(margin)
    slope = beta * (e * expit(margin) - (1 - e) * expit(-margin))
    return loss, slope, -slope


def ipo_loss(
    policy_chosen_logps: ArrayLike,
    policy_rejected_logps: ArrayLike,
    ref_chosen_logps: ArrayLike,
    ref_rejected_logps: ArrayLike,
    *,
    beta: float = 0.1,
) -> PairLoss:
    r"""Return the loss of IPO, and its derivatives.

    Parameters
    ----------
    policy_chosen_logps, policy_rejected_logps : array-like of shape (...)
        Log-probabilities of the response that won and of the other, summed over tokens.
    ref_chosen_logps, ref_rejected_logps : array-like of shape (...)
        The same under the reference.
    beta : float, default=0.1
        The paper's tau: the weight of the KL, where the probability to be preferred is the reward.

    Returns
    -------
    loss, chosen_gradient, rejected_gradient : ndarray of shape (...)
        Of each pair, and its derivatives by the two log-probabilities of the policy.

    Raises
    ------
    ValueError
        If shapes differ, or ``beta`` is out of range.

    Notes
    -----
    :math:`(h - 1 / (2 \tau))^2` of the log-ratio margin h. Where both responses come independently
    from one distribution mu it rests at
    :math:`\pi \propto ref\, \exp(E_{y' \sim \mu} P(y > y') / \tau)`, with no Bradley-Terry needed
    and finite also where pairs are decided one way only. From other pairs, h is the weighted least
    squares fit of scores to margins :math:`\pm 1 / (2 \tau)`.

    References
    ----------
    .. [1] Azar, M. G. et al. (2024). "A general theoretical paradigm to understand learning from
       human preferences." AISTATS. arXiv:2310.12036.

    Examples
    --------
    >>> from sklearn_codex.lab import ipo_loss
    >>> ipo_loss([-1.0], [-2.0], [-1.5], [-1.5], beta=1.0)
    (array([0.25]), array([1.]), array([-1.]))
    """
    logps = (policy_chosen_logps, policy_rejected_logps, ref_chosen_logps, ref_rejected_logps)
    apart = log_ratios("ipo_loss", beta, *logps) - 0.5 / beta
    return apart**2, 2 * apart, -2 * apart


def hinge_loss(
    policy_chosen_logps: ArrayLike,
    policy_rejected_logps: ArrayLike,
    ref_chosen_logps: ArrayLike,
    ref_rejected_logps: ArrayLike,
    *,
    beta: float = 0.1,
) -> PairLoss:
    r"""Return the hinge loss of the log-ratio margin, as of SLiC-HF and RSO, and its derivatives.

    Parameters
    ----------
    policy_chosen_logps, policy_rejected_logps : array-like of shape (...)
        Log-probabilities of the response that won and of the other, summed over tokens.
    ref_chosen_logps, ref_rejected_logps : array-like of shape (...)
        The same under the reference.
    beta : float, default=0.1
        One over the margin, in nats, that is asked for.

    Returns
    -------
    loss, chosen_gradient, rejected_gradient : ndarray of shape (...)
        Of each pair, and its derivatives by the two log-probabilities of the policy.

    Raises
    ------
    ValueError
        If shapes differ, or ``beta`` is out of range.

    Notes
    -----
    :math:`\max(0, 1 - b h)` of the log-ratio margin h. The expected loss is piecewise linear, so it
    rests at a solution of a linear programme, of which there may be many. Of two responses the one
    preferred more often gets the margin :math:`1 / b`, however much more often: how sure a
    preference is is lost.

    References
    ----------
    .. [1] Zhao, Y. et al. (2023). "SLiC-HF: sequence likelihood calibration with human feedback."
       arXiv:2305.10425.
    .. [2] Liu, T. et al. (2024). "Statistical rejection sampling improves preference
       optimization." ICLR. arXiv:2309.06657.

    Examples
    --------
    >>> from sklearn_codex.lab import hinge_loss
    >>> hinge_loss([-1.0], [-2.0], [-1.5], [-1.5], beta=0.5)
    (array([0.5]), array([-0.5]), array([0.5]))
    """
    logps = (policy_chosen_logps, policy_rejected_logps, ref_chosen_logps, ref_rejected_logps)
    margin = beta * log_ratios("hinge_loss", beta, *logps)
    slope = np.where(margin < 1, -beta, 0.0)
    return np.maximum(0.0, 1 - margin), slope, -slope
