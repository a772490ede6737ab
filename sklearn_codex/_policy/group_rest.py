"""Where GRPO comes to rest, from the equation of its rest point, where that can be listed."""

from math import comb
from typing import Any

import numpy as np
from scipy.optimize import brentq

from sklearn_codex._categorical import FloatArray, IntArray, normalize_log
from sklearn_codex._policy.groups import EPSILON, GroupRule
from sklearn_codex._policy.problem import PolicyProblem
from sklearn_codex.exact import CandidateObjective
from sklearn_codex.lab._problem import CandidateProblem, multisets
from sklearn_codex.lab._rest_rewards import implicit_rest, tilt_to

# Documents, and places of all groups, that are listed at most.
_MOST_DOCUMENTS, _MOST_PLACES = 20_000, 2_000_000
# Steps in which the deviation of a batch is looked for, and how far down.
_N_DEVIATIONS, _LEAST_DEVIATION = 200, 1e-6


def group_rest(problem: PolicyProblem, groups: GroupRule) -> FloatArray | None:
    r"""Return the policy (V,) at which exact expected updates rest, None where it is not known.

    Parameters
    ----------
    problem : PolicyProblem
        The problem.
    groups : GroupRule
        How groups make an update of it.

    Notes
    -----
    With the KL in the reward it is the RLHF optimum, where that makes the shaped reward of all
    documents equal. With the KL in the loss, documents of one length, a token t and the advantage
    :math:`a_t(\pi)` that documents expect that have it in a given place, the gradient by its logit
    is 0 at :math:`\pi_t \propto ref_t\, e^{a_t / b}`, and without the correction at
    :math:`\pi_t = ref_t / (1 - (a_t - c) / b)`. Without a deviation
    :math:`a_t = (G - 1) / G\, (r_t - \bar r)`; with that of the batch, it is divided by one number;
    with that of the group, it is a sum over all multisets of rewards that a group can have.
    """
    objective = problem.objective
    if not problem.is_additive or objective.gap_is_bound or not objective.has_optimum:
        return None
    if groups.kl_in == "reward":
        return None if objective.is_noisy else objective.optimum()
    if objective.length is None or objective.is_log_linear:
        return None
    try:
        return _Equation(objective, groups).solve()
    except ValueError:
        # The KL weighs too little for the equation to have a solution near the reference.
        return None


class _Equation:
    """The equation of the rest point, one start of documents after the other."""

    def __init__(self, objective: Any, groups: GroupRule):
        self._objective, self._groups = objective, groups
        self._divergence = "reverse" if groups.is_corrected else "forward"
        self._start = objective.start
        self._possible = np.flatnonzero(np.isfinite(self._start))
        cost = 0.0 if objective.penalty is None else objective.penalty[self._possible]
        reward = objective.reward_coef * objective.token_reward[self._possible]
        self._worth = reward - objective.kl_coef * cost
        self._forks = objective.forks[self._possible]

    def solve(self) -> FloatArray | None:
        share = (self._groups.size - 1) / self._groups.size
        if self._groups.scale_rewards == "none":
            return self._tilted(share)
        if self._groups.scale_rewards == "batch":
            return self._of_batch(share)
        return self._of_groups()

    def _tilted(self, gain: float) -> FloatArray:
        """Return the policy (V,) at which rewards times a gain are worth their KL."""
        kl_coef = self._objective.kl_coef

        def solve(reference, rows):
            worth = gain * self._worth[rows]
            if self._groups.is_corrected:
                return normalize_log(reference + worth / kl_coef)
            return tilt_to(reference, worth, np.full(len(rows), kl_coef), 1.0, self._divergence)

        return self._per_fork(solve)

    def _per_fork(self, solve: Any) -> FloatArray:
        """Return the policy (V,) from those that are solved for, given each start."""
        policy = np.full(len(self._start), -np.inf)
        for fork in np.unique(self._forks):
            rows = np.flatnonzero(self._forks == fork)
            reference = self._start[self._possible[rows]]
            within = normalize_log(reference)
            policy[self._possible[rows]] = solve(within, rows) + (reference - within)
        return policy

    def _of_batch(self, share: float) -> FloatArray | None:
        """Return the policy (V,) whose own deviation is the one that made it."""
        values = np.zeros(len(self._start))
        values[self._possible] = self._worth

        def excess(deviation: float) -> float:
            policy = self._tilted(share / (deviation + EPSILON))
            return self._objective.moments(policy, values)[1] - deviation

        first = self._objective.moments(self._start, values)[1]
        if first <= 0:
            return self._start
        # From the deviation of the reference on, in the direction in which training moves it.
        up = excess(first) > 0
        far = float(np.abs(self._worth).max()) * 4.0 * np.sqrt(self._objective.length)
        end = max(far, 2.0 * first) if up else _LEAST_DEVIATION * first
        before = first
        for deviation in np.geomspace(first, end, _N_DEVIATIONS)[1:]:
            if (excess(deviation) > 0) != up:
                found = brentq(excess, before, float(deviation), rtol=1e-13)
                return self._tilted(share / (found + EPSILON))
            before = float(deviation)
        return None

    def _of_groups(self) -> FloatArray | None:
        """Return the policy (V,) by the advantages that all groups give."""
        lists = {}
        for fork in np.unique(self._forks):
            worth = self._worth[self._forks == fork]
            listed = _Listed.of(worth, self._objective.length, self._groups)
            if listed is None:
                return None
            lists[fork] = listed

        def solve(reference, rows):
            objective = CandidateObjective(
                reference,
                self._worth[rows],
                np.zeros(len(rows), dtype=np.intp),
                kl_coef=self._objective.kl_coef,
            )
            table = CandidateProblem(objective, np.arange(len(rows))[:, np.newaxis])
            ones = np.ones(len(rows))
            return implicit_rest(
                table,
                lambda log_prob: (lists[self._forks[rows[0]]].expected(log_prob), ones),
                self._objective.kl_coef,
                self._divergence,
            )

        return self._per_fork(solve)


class _Listed:
    """All rewards of documents after one start, and all groups of them.

    Parameters
    ----------
    others, orders : ndarray of shape (n_others, L - 1) and (n_others,)
        The other tokens of a document, as multisets, and the logarithm of their orders.
    places : ndarray of int of shape (n_tokens, n_others)
        Which reward a document of a token and these others has.
    peers, peer_orders : ndarray of shape (n_peers, G - 1) and (n_peers,)
        Rewards of the other documents of a group, as multisets, and their orders.
    advantages : ndarray of shape (n_rewards, n_peers)
        Advantage of a document of each reward among them.
    """

    def __init__(
        self,
        others: IntArray,
        orders: FloatArray,
        places: IntArray,
        peers: IntArray,
        peer_orders: FloatArray,
        advantages: FloatArray,
    ):
        self._others, self._orders, self._places = others, orders, places
        self._peers, self._peer_orders, self._advantages = peers, peer_orders, advantages

    @classmethod
    def of(cls, worth: FloatArray, length: int, groups: GroupRule) -> "_Listed | None":
        """List the documents of so many tokens of these rewards (n,), None where they are many."""
        n, size = len(worth), groups.size
        if comb(n + length - 2, length - 1) * n > _MOST_DOCUMENTS:
            return None
        others, orders = multisets(n, length - 1)
        of_documents = worth[:, np.newaxis] + worth[others].sum(axis=1)
        digits = 12 - int(np.ceil(np.log10(max(np.abs(of_documents).max(), 1e-300))))
        rewards, places = np.unique(np.round(of_documents, digits), return_inverse=True)
        k = len(rewards)
        if comb(k + size - 2, size - 1) * k * size > _MOST_PLACES:
            return None
        peers, peer_orders = multisets(k, size - 1)
        own = np.repeat(np.arange(k), len(peers))[:, np.newaxis]
        rows = np.hstack([own, np.tile(peers, (k, 1))])
        advantages = groups.advantages(rewards[rows].ravel()).reshape(len(rows), size)[:, 0]
        return cls(
            others,
            orders,
            places.reshape(of_documents.shape),
            peers,
            peer_orders,
            advantages.reshape(k, len(peers)),
        )

    def expected(self, log_prob: FloatArray) -> FloatArray:
        """Return the advantage (n,) that a document expects that has a token in one place."""
        of_others = np.exp(self._orders + log_prob[self._others].sum(axis=1))
        of_documents = np.exp(log_prob)[:, np.newaxis] * of_others
        of_rewards = np.bincount(self._places.ravel(), of_documents.ravel())
        with np.errstate(divide="ignore"):
            log_rewards = np.log(of_rewards)
        of_peers = np.exp(self._peer_orders + log_rewards[self._peers].sum(axis=1))
        by_reward = self._advantages @ of_peers
        return np.asarray(by_reward[self._places] @ of_others)
