"""How far a policy is from the best distribution over documents, and from where it began."""

import numpy as np
from scipy.special import logsumexp

from sklearn_codex._categorical import FloatArray
from sklearn_codex._policy.problem import PolicyProblem

# Documents that the estimate has to rest on, or it says nothing.
_FEWEST_EFFECTIVE = 25.0


def tilt_gap(
    problem: PolicyProblem,
    log_prob: FloatArray,
    others: list[FloatArray],
    n_documents: int,
    rng: np.random.RandomState,
) -> tuple[float, float]:
    r"""Return an upper bound of J* - J(policy) and its standard error, nan where it is not known.

    Parameters
    ----------
    problem : PolicyProblem
        The problem.
    log_prob : ndarray of shape (V,)
        The policy.
    others : list of ndarray of shape (V,)
        Other policies whose documents are looked at.
    n_documents : int
        Documents of each.
    rng : RandomState
        Source of the documents.

    Notes
    -----
    The best distribution over documents, which no unigram policy exceeds, has
    :math:`J_{tilt} = \tau \log E_\pi[e^{S / \tau}]` with the shaped reward S of any policy
    :math:`\pi`. Documents drawn from the mean :math:`\mu` of several policies give it by importance
    weights [1]_,

    .. math::

        J_{tilt} - J(\pi) = \tau \log E_\mu\Big[\frac{\pi}{\mu} e^{S / \tau}\Big] - E_\pi[S].

    Where the effective number of these documents, :math:`(\sum w)^2 / \sum w^2`, is below 25 the
    best of those drawn decide alone: better ones were probably missed, and the answer is nan.

    References
    ----------
    .. [1] Veach, E. and Guibas, L. (1995). "Optimally combining sampling techniques for Monte Carlo
       rendering." SIGGRAPH: the balance heuristic.
    """
    policies = [log_prob, *others]
    weights, rewards, own = [], [], None
    for policy in policies:
        rollouts = problem.sample(policy, n_documents, rng)
        assessed = problem.assess(log_prob, rollouts)
        densities = np.array([rollouts.sum_over_tokens(each) for each in policies])
        mixture = logsumexp(densities, axis=0) - np.log(len(policies))
        weights.append(assessed.shaped / problem.temperature + densities[0] - mixture)
        rewards.append(assessed.reward)
        own = assessed.shaped if own is None else own
    assert own is not None
    log_weight = np.concatenate(weights)
    relative = np.exp(log_weight - log_weight.max())
    effective = relative.sum() ** 2 / (relative @ relative)
    if effective < _FEWEST_EFFECTIVE or np.ptp(np.concatenate(rewards)) == 0:
        return np.nan, np.nan
    n = len(log_weight)
    gap = problem.temperature * (logsumexp(log_weight) - np.log(n)) - own.mean()
    spread = problem.temperature * np.sqrt(max(1.0 / effective - 1.0 / n, 0.0))
    return max(float(gap), 0.0), float(np.hypot(spread, own.std(ddof=1) / np.sqrt(len(own))))


def gain_over(
    problem: PolicyProblem,
    log_prob: FloatArray,
    other: FloatArray,
    n_documents: int,
    rng: np.random.RandomState,
) -> tuple[float, float]:
    r"""Return J of a policy less that of another, however near, and its standard error.

    Parameters
    ----------
    problem : PolicyProblem
        The problem.
    log_prob, other : ndarray of shape (V,)
        The two policies.
    n_documents : int
        Documents of each.
    rng : RandomState
        Source of the documents.

    Notes
    -----
    What adds over tokens is exact. The rest r of the shaped reward is compared on documents of
    both, whose mean density is :math:`\mu = (\pi + \pi') / 2`,

    .. math::

        E_\pi[r] - E_{\pi'}[r] = E_\mu\Big[\frac{\pi - \pi'}{\mu} r\Big]
            = E_\mu[2 \tanh(d / 2)\, r], \quad d = \log \frac{\pi}{\pi'},

    which has little noise where the policies are close, as d is small.
    """
    known = problem.objective.value(log_prob) - problem.objective.value(other)
    factors, rests = [], []
    for policy in (log_prob, other):
        rollouts = problem.sample(policy, n_documents, rng)
        difference = rollouts.sum_over_tokens(log_prob) - rollouts.sum_over_tokens(other)
        factors.append(2.0 * np.tanh(0.5 * difference))
        rests.append(problem.assess(other, rollouts).rest)
    middle = np.concatenate(rests).mean()
    terms = [factor * (rest - middle) for factor, rest in zip(factors, rests, strict=True)]
    error = np.sqrt(sum(term.var(ddof=1) for term in terms) / n_documents) / 2.0
    return float(known + np.mean(terms)), float(error)
