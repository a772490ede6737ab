"""Nash-MD: policy gradient on the probability to be preferred to an opponent."""

from numpy.typing import ArrayLike

from sklearn_codex._categorical import FloatArray
from sklearn_codex.lab._losses._pairs import read_pairs_of


def nash_md_loss(
    policy_logps: ArrayLike,
    ref_logps: ArrayLike,
    preference: ArrayLike,
    *,
    beta: float = 0.1,
) -> tuple[FloatArray, FloatArray]:
    r"""Return the loss of Nash-MD and of self-play, and its derivative.

    Parameters
    ----------
    policy_logps, ref_logps : array-like of shape (...)
        Log-probabilities of responses that the policy drew, under it and under the reference.
    preference : array-like of shape (...)
        Probability that each is preferred to a response that the opponent drew.
    beta : float, default=0.1
        Weight tau of the KL, in probability a nat.

    Returns
    -------
    loss, gradient : ndarray of shape (...)
        Of each response, and its derivative by the log-probability under the policy.

    Raises
    ------
    ValueError
        If shapes differ, or ``beta`` is out of range.

    Notes
    -----
    :math:`-(P(y > y') - 1/2 - \tau \log(\pi(y) / ref(y)))\, \log\pi(y)`, the bracket a number to
    the gradient. It rests at :math:`\pi \propto ref\, \exp(P(y > \pi') / \tau)` with the opponent
    :math:`\pi'`: in self-play the policy, and the rest point is the Nash equilibrium of the
    regularised game; P may be intransitive. Against the mixture
    :math:`\pi^{1-a} ref^a`, as trainers have it with a fixed, it rests beside that: the paper's
    mixture goes with the step size, so that its mirror descent ends at the equilibrium.

    References
    ----------
    .. [1] Munos, R. et al. (2024). "Nash learning from human feedback." ICML. arXiv:2312.00886.

    Examples
    --------
    >>> from sklearn_codex.lab import nash_md_loss
    >>> nash_md_loss([-1.0], [-1.0], [0.75])
    (array([0.25]), array([-0.25]))
    """
    log_prob, ref, preferred = read_pairs_of(
        "nash_md_loss", beta, policy_logps=policy_logps, ref_logps=ref_logps, preference=preference
    )
    advantage = preferred - 0.5 - beta * (log_prob - ref)
    return -advantage * log_prob, -advantage
