"""Estimates of the KL from single tokens, as values and as losses."""

import numpy as np
from numpy.typing import ArrayLike

from sklearn_codex._categorical import FloatArray, exp_rest
from sklearn_codex._checks.options import check_option
from sklearn_codex.lab._numbers import ratio_of, read_mask, read_numbers


def _read(
    log_probs: tuple[ArrayLike, ...], response_mask: ArrayLike | None
) -> tuple[FloatArray, ...]:
    """Return log-probabilities as arrays, 0 at padding, which may hold anything."""
    mask = True if response_mask is None else read_mask(response_mask, "kl_penalty")
    names = ("log_prob", "ref_log_prob", "old_log_prob")
    arrays = tuple(
        read_numbers(x, name, "kl_penalty", mask) for x, name in zip(log_probs, names, strict=True)
    )
    shapes = {np.shape(array) for array in (*arrays, arrays[0] if mask is True else mask)}
    if len(shapes) > 1:
        raise ValueError(
            "kl_penalty needs log-probabilities, and response_mask, of one shape (n_responses, "
            f"n_tokens), got {', '.join(map(str, sorted(shapes)))}."
        )
    return arrays


def kl_penalty(
    log_prob: ArrayLike,
    ref_log_prob: ArrayLike,
    estimator: str = "k1",
    *,
    old_log_prob: ArrayLike | None = None,
    response_mask: ArrayLike | None = None,
) -> tuple[FloatArray, FloatArray]:
    r"""Return an estimate of KL(policy || reference) at each token, and its derivative.

    Parameters
    ----------
    log_prob, ref_log_prob : array-like of shape (..., n, T)
        Log-probabilities of the tokens under the policy and under the reference.
    estimator : {"k1", "k2", "k3"}, default="k1"
        With d = log(pi / ref):

        - "k1" : d
        - "k2" : d**2 / 2
        - "k3" : exp(-d) - 1 + d, never negative
    old_log_prob : array-like of shape (..., n, T), default=None
        Log-probabilities under the policy that drew the tokens. With them the estimate is weighted
        by the ratio of the policy to that one, through which the derivative goes.
    response_mask : array-like of bool of shape (..., n, T), default=None
        Which places hold tokens; elsewhere penalty and gradient are 0, whatever stands there. None
        means all.

    Returns
    -------
    penalty : ndarray of shape (..., n, T)
        The estimates, in nats.
    gradient : ndarray of shape (..., n, T)
        Their derivatives by ``log_prob``.

    Raises
    ------
    ValueError
        If the estimator is none of these, or shapes differ.

    Notes
    -----
    For tokens of the policy itself, the expected gradient by its parameters of

    ==================  ==========================================
    estimate            is that of
    ==================  ==========================================
    k1                  nothing: it is 0
    k2                  KL(policy || reference)
    k3                  KL(reference || policy)
    k1 or k3, weighted  KL(policy || reference), at one token
    k2, weighted        E[d**2 / 2], another objective
    ==================  ==========================================

    These hold for sums over tokens. Divided by the length of each response, k1 is a price per token
    that favours long ones.

    A loss of the KL at each token does not see that a token also leads to the KL of later tokens.
    It is right where only one token of a response is uncertain; for more, put the KL into the
    reward (:func:`shape_rewards`).

    References
    ----------
    .. [1] Schulman, J. (2020). "Approximating KL divergence." joschu.net/blog/kl-approx.html.
    .. [2] Shao, Z. et al. (2024). "DeepSeekMath." arXiv:2402.03300, eq. 4.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_codex.lab import kl_penalty
    >>> penalty, gradient = kl_penalty(np.log([[0.5]]), np.log([[0.25]]), "k3")
    >>> penalty.round(3), gradient
    (array([[0.193]]), array([[0.5]]))
    """
    given = (log_prob, ref_log_prob, log_prob if old_log_prob is None else old_log_prob)
    log_prob, ref, old = _read(given, response_mask)
    check_option(estimator, ("k1", "k2", "k3"), "estimator", subject="kl_penalty")
    difference = log_prob - ref
    if estimator == "k1":
        penalty, slope = difference, np.ones_like(difference)
    elif estimator == "k2":
        penalty, slope = 0.5 * difference**2, difference
    else:
        penalty, slope = exp_rest(-difference), -np.expm1(-difference)
    if old_log_prob is not None:
        ratio = ratio_of(log_prob, old)
        penalty, slope = ratio * penalty, ratio * (penalty + slope)
    if response_mask is not None:
        slope = np.where(read_mask(response_mask, "kl_penalty"), slope, 0.0)
    return penalty, slope
