"""SimPO, CPO and ORPO: losses of pairs that know no reference."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit

from sklearn_codex._checks.numbers import check_number
from sklearn_codex.lab._losses._pairs import PairLoss, read_pairs_of, softplus


def _read(subject, beta, chosen, rejected, chosen_lengths, rejected_lengths):
    arrays = read_pairs_of(
        subject,
        beta,
        policy_chosen_logps=chosen,
        policy_rejected_logps=rejected,
        chosen_lengths=chosen_lengths,
        rejected_lengths=rejected_lengths,
    )
    for name, lengths in (("chosen_lengths", arrays[2]), ("rejected_lengths", arrays[3])):
        if not (lengths >= 1).all():
            least = lengths.min()
            raise ValueError(f"{subject} needs {name} of at least 1, got {least:g}.")
    return arrays


def simpo_loss(
    policy_chosen_logps: ArrayLike,
    policy_rejected_logps: ArrayLike,
    chosen_lengths: ArrayLike,
    rejected_lengths: ArrayLike,
    *,
    beta: float = 2.0,
    simpo_gamma: float = 0.5,
) -> PairLoss:
    r"""Return the loss of SimPO, and its derivatives.

    Parameters
    ----------
    policy_chosen_logps, policy_rejected_logps : array-like of shape (...)
        Log-probabilities of the response that won and of the other, summed over tokens.
    chosen_lengths, rejected_lengths : array-like of shape (...)
        Their tokens.
    beta : float, default=2.0
        Scale of the mean log-probability of a token.
    simpo_gamma : float, default=0.5
        Margin that is asked for.

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
    :math:`-\log \sigma(\beta \log\pi(y_w) / |y_w| - \beta \log\pi(y_l) / |y_l| - \gamma)`. With
    margin 0 and both orders labelled, it rests at :math:`\pi = \exp(|y| (\hat r + c) / \beta)` with
    the scores of Bradley and Terry and the c that makes probabilities of it: no reference, and the
    length in the exponent. That needs a c with all of it below 0, which there always is. With a
    margin there is no formula.

    References
    ----------
    .. [1] Meng, Y., Xia, M. and Chen, D. (2024). "SimPO: simple preference optimization with a
       reference-free reward." NeurIPS. arXiv:2405.14734.

    Examples
    --------
    >>> from sklearn_codex.lab import simpo_loss
    >>> loss, chosen, rejected = simpo_loss([-2.0], [-4.0], [2], [4], simpo_gamma=0.0)
    >>> loss.round(3), chosen, rejected
    (array([0.693]), array([-0.5]), array([0.25]))
    """
    chosen, rejected, n_chosen, n_rejected = _read(
        "simpo_loss",
        beta,
        policy_chosen_logps,
        policy_rejected_logps,
        chosen_lengths,
        rejected_lengths,
    )
    simpo_gamma = check_number(simpo_gamma, "simpo_gamma", subject="simpo_loss")
    margin = beta * (chosen / n_chosen - rejected / n_rejected) - simpo_gamma
    slope = -beta * expit(-margin)
    return softplus(-margin), slope / n_chosen, -slope / n_rejected


def cpo_loss(
    policy_chosen_logps: ArrayLike,
    policy_rejected_logps: ArrayLike,
    chosen_lengths: ArrayLike,
    rejected_lengths: ArrayLike,
    *,
    beta: float = 0.1,
    cpo_alpha: float = 1.0,
) -> PairLoss:
    r"""Return the loss of CPO, and its derivatives.

    Parameters
    ----------
    policy_chosen_logps, policy_rejected_logps : array-like of shape (...)
        Log-probabilities of the response that won and of the other, summed over tokens.
    chosen_lengths, rejected_lengths : array-like of shape (...)
        Their tokens.
    beta : float, default=0.1
        Scale of the margin.
    cpo_alpha : float, default=1.0
        Weight of the cross-entropy of the response that won, a mean over its tokens.

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
    :math:`-\log \sigma(\beta (\log\pi(y_w) - \log\pi(y_l))) - \alpha \log\pi(y_w) / |y_w|`: DPO
    with a uniform reference and a term of fine-tuning. It is convex in the logits, so its rest
    point is the one minimum, which has no formula; where every response wins some pair it is
    finite, also where pairs are decided one way only.

    References
    ----------
    .. [1] Xu, H. et al. (2024). "Contrastive preference optimization: pushing the boundaries of LLM
       performance in machine translation." ICML. arXiv:2401.08417.

    Examples
    --------
    >>> from sklearn_codex.lab import cpo_loss
    >>> loss, chosen, rejected = cpo_loss([-2.0], [-2.0], [2], [1], beta=1.0)
    >>> loss.round(3), chosen, rejected
    (array([1.693]), array([-1.]), array([0.5]))
    """
    chosen, rejected, n_chosen, _ = _read(
        "cpo_loss",
        beta,
        policy_chosen_logps,
        policy_rejected_logps,
        chosen_lengths,
        rejected_lengths,
    )
    margin = beta * (chosen - rejected)
    slope = -beta * expit(-margin)
    cpo_alpha = check_number(cpo_alpha, "cpo_alpha", subject="cpo_loss")
    loss = softplus(-margin) - cpo_alpha * chosen / n_chosen
    return loss, slope - cpo_alpha / n_chosen, -slope


def orpo_loss(
    policy_chosen_logps: ArrayLike,
    policy_rejected_logps: ArrayLike,
    chosen_lengths: ArrayLike,
    rejected_lengths: ArrayLike,
    *,
    beta: float = 0.1,
) -> PairLoss:
    r"""Return the loss of ORPO, and its derivatives.

    Parameters
    ----------
    policy_chosen_logps, policy_rejected_logps : array-like of shape (...)
        Log-probabilities of the response that won and of the other, summed over tokens; below 0.
    chosen_lengths, rejected_lengths : array-like of shape (...)
        Their tokens.
    beta : float, default=0.1
        Weight of the odds ratio, the paper's lambda.

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
    With :math:`\ell = \log\pi(y) / |y|` and the log-odds :math:`o = \ell - \log(1 - e^\ell)`,
    :math:`-\ell_w - \lambda \log \sigma(o_w - o_l)`. As the weight goes to 0 it rests at the
    fine-tuned policy, :math:`\pi(y)` in proportion to how often y wins, over its tokens; for more
    there is no formula.

    References
    ----------
    .. [1] Hong, J., Lee, N. and Thorne, J. (2024). "ORPO: monolithic preference optimization
       without reference model." EMNLP. arXiv:2403.07691.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_codex.lab import orpo_loss
    >>> half = np.log([0.5])
    >>> loss, chosen, rejected = orpo_loss(half, half, [1], [1], beta=1.0)
    >>> loss.round(3), chosen.round(3), rejected.round(3)
    (array([1.386]), array([-2.]), array([1.]))
    """
    chosen, rejected, n_chosen, n_rejected = _read(
        "orpo_loss",
        beta,
        policy_chosen_logps,
        policy_rejected_logps,
        chosen_lengths,
        rejected_lengths,
    )
    mean_chosen, mean_rejected = chosen / n_chosen, rejected / n_rejected
    # A response that is certain has infinite odds.
    rest_chosen, rest_rejected = (
        -np.expm1(np.minimum(mean, -1e-300)) for mean in (mean_chosen, mean_rejected)
    )
    margin = (mean_chosen - np.log(rest_chosen)) - (mean_rejected - np.log(rest_rejected))
    slope = -beta * expit(-margin)
    loss = -mean_chosen + beta * softplus(-margin)
    by_chosen = (slope / rest_chosen - 1.0) / n_chosen
    return loss, by_chosen, -slope / rest_rejected / n_rejected
