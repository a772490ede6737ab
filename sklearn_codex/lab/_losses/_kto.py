"""KTO: each response alone, desirable or not."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit

from sklearn_codex._checks.numbers import NOT_NEGATIVE, check_number
from sklearn_codex.lab._losses._pairs import PairLoss, read_pairs_of


def kto_loss(
    policy_chosen_logps: ArrayLike,
    policy_rejected_logps: ArrayLike,
    ref_chosen_logps: ArrayLike,
    ref_rejected_logps: ArrayLike,
    kl: ArrayLike,
    *,
    beta: float = 0.1,
    desirable_weight: float = 1.0,
    undesirable_weight: float = 1.0,
) -> PairLoss:
    r"""Return the loss of KTO for as many desirable as undesirable responses, and its derivatives.

    Parameters
    ----------
    policy_chosen_logps, policy_rejected_logps : array-like of shape (...)
        Log-probabilities of desirable and of undesirable responses, summed over tokens. That they
        come in pairs has no meaning; of other shares use the weights.
    ref_chosen_logps, ref_rejected_logps : array-like of shape (...)
        The same under the reference.
    kl : float or array-like of shape (...)
        z0, the KL from the reference at the prompt, in nats. No gradient goes through it.
    beta : float, default=0.1
        Scale b of the log-ratio.
    desirable_weight, undesirable_weight : float, default=1.0
        Weights of the two kinds.

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
    With the log-ratios h, and weights D and U,
    :math:`D (1 - \sigma(b (h_w - z_0))) + U (1 - \sigma(b (z_0 - h_l)))`. As
    :math:`\sigma(-x) = 1 - \sigma(x)`, a response that comes up :math:`\mu` times and is desirable
    with probability d counts :math:`-c\, \sigma(b (h - z_0))` with
    :math:`c = \mu (D d - U (1 - d))`: the loss falls with its probability or rises with it, and has
    no minimum between. Where :math:`c \le 0`, that is :math:`d \le U / (D + U)`, its mass goes to
    0, though the push fades as :math:`e^{b h}`, at a small b over hundreds of nats. The others rest
    at :math:`c_k b\, \sigma'(b (h_k - z_0)) = \lambda \pi_k` with one :math:`\lambda` and
    :math:`z_0 = KL(\pi \| ref)`. With any other z0, as from a batch, they rest elsewhere.

    References
    ----------
    .. [1] Ethayarajh, K. et al. (2024). "KTO: model alignment as prospect theoretic optimization."
       ICML. arXiv:2402.01306.

    Examples
    --------
    >>> from sklearn_codex.lab import kto_loss
    >>> kto_loss([-1.0], [-1.0], [-1.0], [-1.0], [0.0], beta=2.0, undesirable_weight=0.5)
    (array([0.75]), array([-0.5]), array([0.25]))
    """
    chosen, rejected, ref_chosen, ref_rejected, z0 = read_pairs_of(
        "kto_loss",
        beta,
        policy_chosen_logps=policy_chosen_logps,
        policy_rejected_logps=policy_rejected_logps,
        ref_chosen_logps=ref_chosen_logps,
        ref_rejected_logps=ref_rejected_logps,
        kl=np.full(np.shape(policy_chosen_logps), kl) if np.ndim(kl) == 0 else kl,
    )
    for name, weight in (
        ("desirable_weight", desirable_weight),
        ("undesirable_weight", undesirable_weight),
    ):
        check_number(weight, name, subject="kto_loss", interval=NOT_NEGATIVE)
    good = expit(beta * (chosen - ref_chosen - z0))
    bad = expit(beta * (z0 - (rejected - ref_rejected)))
    loss = desirable_weight * (1 - good) + undesirable_weight * (1 - bad)
    by_chosen = -desirable_weight * beta * good * (1 - good)
    by_rejected = undesirable_weight * beta * bad * (1 - bad)
    return loss, by_chosen, by_rejected
