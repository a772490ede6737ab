"""Best-of-n sampling: its exact distribution and KL, and unbiased estimates of its reward."""

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import Bunch

from sklearn_codex._categorical import FloatArray
from sklearn_codex._checks.numbers import COUNT, check_log_prob, check_number, check_values
from sklearn_codex._checks.probabilities import as_array

_VAST = 1e150


def best_of_n(log_prob: ArrayLike, rewards: ArrayLike, n: int) -> Bunch:
    r"""Return the exact distribution of the best of n independent draws from a finite set.

    Parameters
    ----------
    log_prob : array-like of shape (n_outcomes,)
        Log-probabilities of the outcomes (documents, or tokens) under the reference.
    rewards : array-like of shape (n_outcomes,)
        Reward of each outcome.
    n : int
        Draws of which the one of greatest reward is kept; ties are broken at random.

    Returns
    -------
    result : Bunch
        ``log_prob`` (n_outcomes,), the distribution of the best draw; ``expected_reward``; ``kl``,
        exact nats from the reference; ``kl_bound``, log n - (n - 1) / n, which ``kl`` never
        exceeds and meets where no single reward has much probability.

    Raises
    ------
    ValueError
        If shapes differ, n is no integer or below 1, or a number is NaN or infinite.

    Notes
    -----
    With rewards sorted and :math:`F_g` the probability of a reward up to the g-th distinct one, the
    best draw has that reward with probability :math:`F_g^n - F_{g-1}^n`, and given its reward it is
    distributed as one draw.

    References
    ----------
    .. [1] Stiennon, N. et al. (2020). "Learning to summarize from human feedback." NeurIPS 33.
    .. [2] Beirami, A. et al. (2024). "Theoretical guarantees on the best-of-n alignment policy."
       arXiv:2401.01879.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_codex.exact import best_of_n
    >>> result = best_of_n(np.log([0.5, 0.3, 0.2]), [0.0, 1.0, 2.0], n=2)
    >>> np.exp(result.log_prob).round(2), round(result.expected_reward, 2)
    (array([0.25, 0.39, 0.36]), 1.11)
    >>> bool(result.kl <= result.kl_bound)
    True
    """
    log_prob = check_log_prob(log_prob, "log_prob", subject="best_of_n")
    n = _check_n(n, "best_of_n")
    rewards = as_array(rewards, name="rewards")
    if rewards.shape != log_prob.shape:
        raise ValueError(
            "best_of_n needs one reward for each outcome, got shapes "
            f"{np.shape(rewards)} and {log_prob.shape}."
        )
    rewards = check_values(rewards, "rewards that can be ordered", subject="best_of_n")
    possible = np.isfinite(log_prob)
    _, group = np.unique(rewards[possible], return_inverse=True)
    mass = np.bincount(group, weights=np.exp(log_prob[possible]))
    kept = mass > 0  # outcomes so rare that their probability underflows are lost
    if not kept.any():
        raise ValueError(
            f"best_of_n needs log_prob of a distribution, got none above {log_prob.max():g}, so "
            "that all probabilities are 0. Normalise them."
        )
    log_gain = np.full(len(mass), -np.inf)
    log_gain[kept] = _log_gain(mass[kept] / mass.sum(), n)
    best = np.full(len(log_prob), -np.inf)
    best[possible] = log_prob[possible] + log_gain[group]
    prob = np.exp(best)
    drawn = prob > 0
    return Bunch(
        log_prob=best,
        expected_reward=float(prob[drawn] @ rewards[drawn]),
        kl=max(0.0, float(prob[drawn] @ (best[drawn] - log_prob[drawn]))),
        kl_bound=best_of_n_kl_bound(n),
    )


def _log_gain(mass, n):
    """Return log((F_g^n - F_{g-1}^n) / p_g) of groups with probabilities p (n_groups,)."""
    below = np.concatenate([[0.0], np.cumsum(mass)[:-1]])
    above = np.concatenate([np.cumsum(mass[::-1])[-2::-1], [0.0]])
    # Near 1 the logarithm of F is known well from what is above only.
    with np.errstate(divide="ignore"):
        near_one = np.log1p(-np.minimum(above, 0.5))
        log_cdf = np.where(above < 0.5, near_one, np.log(below + mass))
        share = np.minimum(mass / np.exp(log_cdf), 1.0)
        log_ratio = np.log1p(-share)  # log(F_{g-1} / F_g)
    log_ratio[0] = -np.inf
    return n * log_cdf + np.log(-np.expm1(n * log_ratio)) - np.log(mass)


def best_of_n_kl_bound(n: ArrayLike) -> float | FloatArray:
    """Return log n - (n - 1) / n, the KL in nats that the best of n draws never exceeds.

    Parameters
    ----------
    n : int or array-like of int
        Draws.

    Raises
    ------
    ValueError
        If n is no integer, or below 1.

    Examples
    --------
    >>> from sklearn_codex.exact import best_of_n_kl_bound
    >>> round(best_of_n_kl_bound(4), 4)
    0.6363
    """
    given = as_array(n, name="n")
    draws = np.array([_check_n(one, "best_of_n_kl_bound") for one in given.ravel()], dtype=float)
    bound = np.log(draws) - (draws - 1.0) / draws
    return float(bound[0]) if np.ndim(n) == 0 else bound.reshape(np.shape(n))


def expected_max(samples: ArrayLike, n: int) -> tuple[float, float]:
    r"""Return the unbiased estimate of E[max of n draws] from N >= n draws, and its standard error.

    Parameters
    ----------
    samples : array-like of shape (n_samples,)
        Rewards of N independent draws.
    n : int
        Draws of which the greatest counts, at most N.

    Returns
    -------
    mean : float
        The mean of the maximum over all subsets of n of the N samples.
    standard_error : float
        By the jackknife; ``nan`` where N = n, when there is only one subset.

    Raises
    ------
    ValueError
        If there are fewer samples than n, one is NaN or infinite, or n is no integer or below 1.

    Notes
    -----
    The i-th smallest of N samples is the maximum of a share
    :math:`\binom{i-1}{n-1} / \binom{N}{n}` of the subsets. The weights are products of ratios of
    neighbours, summed as logarithms, which is exact where binomial coefficients overflow.

    References
    ----------
    .. [1] Hoeffding, W. (1948). "A class of statistics with asymptotically normal distribution."
       Annals of Mathematical Statistics 19(3), 293-325.
    .. [2] Efron, B. and Stein, C. (1981). "The jackknife estimate of variance." Annals of
       Statistics 9(3), 586-596.

    Examples
    --------
    >>> from sklearn_codex.exact import expected_max
    >>> mean, standard_error = expected_max([0.0, 1.0, 2.0, 3.0], 2)
    >>> round(mean, 4), round(standard_error, 4)
    (2.3333, 0.7071)
    """
    n = _check_n(n, "expected_max")
    samples = as_array(samples, name="samples")
    if samples.ndim != 1 or samples.size < n:
        raise ValueError(
            f"expected_max with n={n} needs a 1-D array of at least {n} samples without nan, got "
            f"shape {np.shape(samples)}. Draw more samples, or ask for a smaller n."
        )
    ordered = np.sort(
        check_values(samples, "samples without nan or inf", subject=f"expected_max with n={n}")
    )
    n_samples = len(ordered)
    # Squares of vast and of tiny rewards leave the range of floats.
    scale = float(np.abs(ordered).max())
    if scale > _VAST or 0 < scale < 1.0 / _VAST:
        scale = 2.0 ** np.floor(np.log2(scale))
        mean, error = expected_max(ordered / scale, n)
        return scale * mean, scale * error
    mean = float(_max_weights(n_samples, n) @ ordered)
    if n_samples == n:
        return mean, float("nan")
    # Without its j-th smallest sample, those above it move down one place.
    weights = _max_weights(n_samples - 1, n)
    below = np.concatenate([[0.0], np.cumsum(weights * ordered[:-1])])
    above = np.concatenate([np.cumsum((weights * ordered[1:])[::-1])[::-1], [0.0]])
    variance = (n_samples - 1) / n_samples * np.sum((below + above - mean) ** 2)
    return mean, float(np.sqrt(variance))


def _max_weights(n_samples, n):
    """Return the share (n_samples,) of subsets of n of which each sorted sample is the maximum."""
    weights = np.zeros(n_samples)
    # The ratio of the weights of samples i and i + 1 is (i - n + 1) / i.
    i = np.arange(n, n_samples)
    log_ratio = np.log1p(-(n - 1) / i)
    below = np.concatenate([np.cumsum(log_ratio[::-1])[::-1], [0.0]])
    weights[n - 1 :] = n / n_samples * np.exp(below)
    return weights


def best_of_n_frontier(rewards: ArrayLike, ns: ArrayLike) -> Bunch:
    """Return the reward of best-of-n sampling against its KL, for several n, from samples.

    Parameters
    ----------
    rewards : array-like of shape (n_samples,)
        Rewards of documents drawn independently from the reference.
    ns : array-like of int of shape (n_points,)
        Draws of which the best is kept, each at most ``n_samples``.

    Returns
    -------
    frontier : Bunch
        Arrays of shape (n_points,): ``n``; ``expected_reward``, unbiased; ``standard_error``;
        ``kl_bound``, log n - (n - 1) / n, in nats per document, which is the KL where rewards have
        no ties and above it otherwise; ``kl``, the KL of best-of-n on the samples themselves,
        consistent also with ties, and too small where n is not far below ``n_samples``.

    Raises
    ------
    ValueError
        As of :func:`expected_max`.

    See Also
    --------
    kl_reward_frontier : The exact frontier, which no point lies above.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_codex.exact import best_of_n_frontier
    >>> rewards = np.random.RandomState(0).standard_normal(2000)
    >>> points = best_of_n_frontier(rewards, [2, 4, 16])
    >>> points.kl_bound.round(3), points.expected_reward.round(1)
    (array([0.193, 0.636, 1.835]), array([0.5, 1. , 1.7]))
    """
    rewards = check_values(rewards, "rewards", subject="best_of_n_frontier")
    draws = np.atleast_1d(as_array(ns, name="ns"))
    if draws.ndim > 1 or not draws.size:
        raise ValueError(
            f"best_of_n_frontier needs ns of shape (n_points,), got shape {draws.shape}."
        )
    estimates = np.array([expected_max(rewards, n) for n in draws.tolist()])
    uniform = np.full(len(rewards), -np.log(len(rewards)))
    return Bunch(
        n=draws,
        expected_reward=estimates[:, 0],
        standard_error=estimates[:, 1],
        kl=np.array([best_of_n(uniform, rewards, n).kl for n in draws.tolist()]),
        kl_bound=np.asarray(best_of_n_kl_bound(draws)),
    )


def _check_n(n, subject):
    """Return a number of draws as an int."""
    return check_number(n, "n, an integer number of draws", subject=subject, interval=COUNT)
