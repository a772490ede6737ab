"""A problem over responses that are made of tokens, with the exact expectation of any update."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import combinations_with_replacement, product
from math import comb
from typing import Any

import numpy as np
from scipy.special import gammaln

from sklearn_codex._categorical import (
    BoolArray,
    FloatArray,
    IntArray,
    normalize_log_within,
    safe_log,
)
from sklearn_codex._checks.numbers import COUNT, as_array, check_number
from sklearn_codex.exact import CandidateObjective
from sklearn_codex.lab._batch import Batch
from sklearn_codex.lab._table import Groups, Table, check_objective

# An update: (log-probabilities of a batch, the batch) -> gradient of a loss by them, a pair of loss
# and gradient, or the log-probabilities of a new policy.
Update = Callable[[Any, Any], Any]
# Groups that are listed, and those where each order of one counts.
MOST_GROUPS, MOST_ORDERED = 20_000, 2_000


@lru_cache(maxsize=32)
def multisets(n: int, size: int) -> tuple[IntArray, FloatArray]:
    """Return all multisets (m, size) of so many of n things, and the logarithm of their orders."""
    rows = np.array(list(combinations_with_replacement(range(n), size)), dtype=np.intp)
    counts = (rows[:, :, np.newaxis] == np.arange(n)).sum(axis=1)
    return rows, gammaln(size + 1) - gammaln(counts + 1).sum(axis=1)


def sequences(n: int, size: int) -> tuple[IntArray, float]:
    """Return all sequences (m, size) of so many of n things, and the logarithm of 1."""
    return np.array(list(product(range(n), repeat=size)), dtype=np.intp), 0.0


@dataclass(frozen=True, eq=False)
class CandidateProblem(Table):
    r"""Prompts whose responses are sequences of tokens, as a table: every policy is one of it.

    A response is drawn token by token. Those of a prompt that begin alike share the tokens they
    begin with, so they are the leaves of a tree, and a policy is a distribution at each fork. As
    many distributions over responses, with the chain rule between them.

    Parameters
    ----------
    objective : CandidateObjective
        Reference, reward, prompts, ``kl_coef``; a token of the objective is a response here.
    tokens : ndarray of int of shape (n_rows, n_tokens)
        Tokens of each response, -1 after the last.
    name, reason : str
        What the problem is called, and what shows in it.
    is_ordered : bool
        Whether groups are listed in each order.

    Raises
    ------
    ValueError
        If tokens are not of each row, or a response is empty or begins with a whole other one of
        its prompt.

    Notes
    -----
    With M the probability of all responses that begin with some tokens, the log-probability of a
    token is :math:`\log M(y_{\le t}) - \log M(y_{<t})`, and its derivative by the logit of response
    k is :math:`\pi_k\,(1[k \ge y_{\le t}] / M(y_{\le t}) - 1[k \ge y_{<t}] / M(y_{<t}))`, where
    :math:`k \ge` says that k begins with these tokens.

    Examples
    --------
    >>> from sklearn_codex.lab import problems
    >>> problem = problems["lengths"]()
    >>> problem.lengths
    array([1, 1, 2, 4, 4])
    >>> gradient = problem.exact_gradient(problem.objective.optimum())
    >>> bool(abs(gradient).max() < 1e-12)
    True
    """

    objective: CandidateObjective
    tokens: IntArray
    name: str = "custom"
    reason: str = ""
    is_ordered: bool = False

    def __post_init__(self):
        check_objective(self.objective, "CandidateProblem")
        tokens = as_array(self.tokens, "tokens", subject="CandidateProblem")
        n_rows = len(self.objective.token_reward)
        if tokens.ndim != 2 or len(tokens) != n_rows or tokens.dtype.kind not in "iu":
            raise ValueError(
                f"CandidateProblem needs tokens, an array of integers of shape ({n_rows}, n_tokens)"
                f" with -1 after the last token, got shape {tokens.shape} of dtype {tokens.dtype}."
            )
        object.__setattr__(self, "tokens", tokens.astype(np.intp))
        if not self.mask.any(axis=1).all() or (np.diff(self.mask.astype(int), axis=1) > 0).any():
            raise ValueError(
                "CandidateProblem needs tokens that begin in the first column and go on without a "
                "gap; -1 stands after the last token alone."
            )
        whole = self.begins[np.arange(n_rows), self.lengths].sum(axis=1)
        if (whole > 1).any():
            row = int(np.argmax(whole > 1))
            raise ValueError(
                "CandidateProblem needs responses of which none is the beginning of another of its "
                f"prompt, but row {row} is. Close each with a token for its end."
            )

    # What responses are made of

    @cached_property
    def mask(self) -> BoolArray:
        """Which places (n_rows, n_tokens) hold a token."""
        return self.tokens >= 0

    @cached_property
    def lengths(self) -> IntArray:
        """Tokens (n_rows,) of each response."""
        return self.mask.sum(axis=1)

    @cached_property
    def begins(self) -> BoolArray:
        """Whether [i, t, k] response k begins with the first t tokens of response i."""
        same = self.tokens[:, np.newaxis] == self.tokens[np.newaxis]
        same_prompt = self.prompts[:, np.newaxis] == self.prompts
        begins = np.concatenate([same_prompt[:, :, np.newaxis], same], axis=2)
        begins = np.logical_and.accumulate(begins, axis=2).transpose(0, 2, 1)
        return begins

    @property
    def first_token_decides(self) -> bool:
        """Whether the first token of a response says which it is, so that all others are sure."""
        return bool((self.begins[:, 1].sum(axis=1) == 1).all())

    @cached_property
    def _begins_flat(self) -> FloatArray:
        n_rows, n_places, _ = self.begins.shape
        return self.begins.reshape(n_rows * n_places, n_rows).astype(np.float64)

    # Tokens of policies, (..., n_rows)

    def mass(self, policies: FloatArray) -> FloatArray:
        """Return the probability (..., n_rows, n_tokens + 1) of the first t tokens of each row."""
        mass = np.exp(policies) @ self._begins_flat.T
        return mass.reshape(*policies.shape[:-1], len(self.tokens), -1)

    def token_log_prob(self, policies: FloatArray) -> FloatArray:
        """Return log-probabilities (..., n_rows, n_tokens) of tokens; the first's at padding."""
        log_mass = safe_log(self.mass(policies))
        with np.errstate(invalid="ignore"):
            log_prob = np.diff(log_mass, axis=-1)
        return np.where(self.mask, log_prob, log_prob[..., :1])

    def pull_back(self, policies: FloatArray, gradient: FloatArray) -> FloatArray:
        """Return the gradient by logits of responses, from that by log-probabilities of tokens.

        Parameters
        ----------
        policies : ndarray of shape (..., n_rows)
            The policies.
        gradient : ndarray of shape (..., n_rows, n_tokens)
            Derivatives by their :meth:`token_log_prob`.

        Returns
        -------
        gradient : ndarray of shape (..., n_rows)
        """
        inside = np.where(self.mask, gradient, 0.0)
        # Padding shows the first token once more.
        inside[..., 0] += np.where(self.mask, 0.0, gradient).sum(axis=-1)
        ends = np.zeros((*inside.shape[:-1], 1))
        flow = np.concatenate([ends, inside], axis=-1) - np.concatenate([inside, ends], axis=-1)
        mass = self.mass(policies)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            per_mass = np.where(flow != 0, flow / mass, 0.0)
        flat = per_mass.reshape(*per_mass.shape[:-2], -1)
        return np.exp(policies) * (flat @ self._begins_flat)

    def token_values(self, policies: FloatArray) -> FloatArray:
        """Return what a perfect critic says (..., n_rows, n_tokens) before each token.

        The expected reward to come less ``kl_coef`` times the KL to come; 0 at padding.
        """
        log_ratio = self.token_log_prob(policies) - self.token_log_prob(self.reference)
        cost = np.where(self.mask, self.kl_coef * log_ratio, 0.0)
        to_come = np.flip(np.cumsum(np.flip(cost, axis=-1), axis=-1), axis=-1)
        scores = self.rewards[:, np.newaxis] - to_come
        prob = np.exp(policies)[..., np.newaxis, np.newaxis, :]
        at_t = self.begins[:, :-1] * np.moveaxis(scores, -1, -2)[..., np.newaxis, :, :]
        values = (prob * at_t).sum(axis=-1) / self.mass(policies)[..., :-1]
        return np.where(self.mask, values, 0.0)

    # Exact answers

    def exact_gradient(self, log_prob: FloatArray) -> FloatArray:
        r"""Return the gradient (n_rows,) of the RLHF objective by the logits of responses.

        :math:`\pi_k (s_k - \bar s)` with the shaped reward
        :math:`s = r - b \log(\pi / ref)` and its mean over the prompt.
        """
        prob = np.exp(log_prob)
        scores = self.rewards - self.kl_coef * (log_prob - self.reference)
        return prob * self.centred(scores, prob)

    def of_equal_lengths(self) -> "CandidateProblem":
        """Return the same problem, each response made as long as the longest by sure tokens."""
        return replace(self, tokens=np.where(self.mask, self.tokens, self.tokens.max() + 1))

    # Groups

    def in_order(self) -> "CandidateProblem":
        """Return the same problem with each order of a group listed by itself.

        For an update to which it matters which response comes first.
        """
        return replace(self, is_ordered=True)

    @property
    def most_groups(self) -> int:
        """How many groups are listed at most."""
        return MOST_ORDERED if self.is_ordered else MOST_GROUPS

    def n_groups(self, group_size: int) -> int:
        """Return how many groups of a size there are, in any order or, if it matters, in each."""
        sizes = np.bincount(self.prompts).tolist()
        if self.is_ordered:
            return sum(n**group_size for n in sizes)
        return sum(comb(n + group_size - 1, group_size) for n in sizes)

    def groups(
        self,
        log_prob: FloatArray,
        group_size: int,
        n_samples: int | None = None,
        random_state: np.random.RandomState | None = None,
    ) -> Groups:
        """Return all groups of a size, or so many drawn.

        Raises
        ------
        ValueError
            If there are more than ``most_groups`` groups and ``n_samples`` is None.
        """
        group_size = check_number(
            group_size, "group_size", subject="CandidateProblem", interval=COUNT
        )
        if n_samples is not None:
            assert random_state is not None
            return self._drawn(log_prob, group_size, n_samples, random_state)
        total = self.n_groups(group_size)
        if total > self.most_groups:
            each = ", each order counted" * self.is_ordered
            raise ValueError(
                f"CandidateProblem lists at most {self.most_groups:,} groups, but there are "
                f"{total:,} of {group_size} responses{each}. Pass n_samples to draw groups, or a "
                "smaller group_size."
            )
        within = normalize_log_within(log_prob, self.prompts)
        rows, weights = [], []
        for prompt, share in enumerate(self.shares):
            of_prompt = np.flatnonzero(self.prompts == prompt)
            sets, orders = (sequences if self.is_ordered else multisets)(len(of_prompt), group_size)
            rows.append(of_prompt[sets])
            weights.append(share * np.exp(orders + within[of_prompt[sets]].sum(axis=1)))
        return Groups(np.concatenate(rows), np.concatenate(weights), True)

    def _drawn(self, log_prob, group_size, n_samples, rng):
        rows = np.empty((n_samples, group_size), dtype=np.intp)
        asked = rng.choice(len(self.shares), n_samples, p=self.shares / self.shares.sum())
        within = np.exp(normalize_log_within(log_prob, self.prompts))
        for prompt in np.unique(asked):
            of_prompt = np.flatnonzero(self.prompts == prompt)
            prob = within[of_prompt] / within[of_prompt].sum()
            size = ((asked == prompt).sum(), group_size)
            rows[asked == prompt] = rng.choice(of_prompt, size, p=prob)
        return Groups(rows, np.full(n_samples, 1 / n_samples), False)

    def batch(self, groups: Groups, policies: FloatArray, log_prob: FloatArray) -> Batch:
        """Return the batches (n_groups, ...) of groups drawn from a policy.

        Parameters
        ----------
        groups : Groups
        policies : ndarray of shape (n_groups, n_rows)
            The policy that each group has trained so far.
        log_prob : ndarray of shape (n_rows,)
            The policy that drew them.
        """
        rows = groups.rows
        places = np.arange(len(rows))[:, np.newaxis]
        mask = self.mask[rows]
        last = np.where(self.mask & ~np.roll(self.mask, -1, axis=1), 1.0, 0.0)
        last[:, -1] = self.mask[:, -1]
        best = [
            np.flatnonzero(self.prompts == prompt)[np.argmax(log_prob[self.prompts == prompt])]
            for prompt in range(len(self.shares))
        ]
        return Batch(
            log_prob=self.token_log_prob(policies)[places, rows],
            old_log_prob=self.token_log_prob(log_prob)[rows],
            ref_log_prob=self.token_log_prob(self.reference)[rows],
            response_mask=mask,
            token_level_rewards=(self.rewards[:, np.newaxis] * last)[rows],
            values=self._values_at_padding_too(log_prob)[rows],
            reward_baselines=self.rewards[np.array(best)][self.prompts[rows]],
            index=np.zeros(rows.shape[1], dtype=np.intp),
            rows=rows.copy(),
            policy_log_prob=policies,
            kl_coef=self.kl_coef,
        )

    def _values_at_padding_too(self, log_prob: FloatArray) -> FloatArray:
        values = self.token_values(log_prob)
        return np.where(self.mask, values, values[:, :1])

    def logit_gradient(
        self, groups: Groups, policies: FloatArray, gradient: FloatArray
    ) -> FloatArray:
        """Return gradients (n_groups, n_rows) by logits from those (n_groups, n, T) of batches."""
        of_rows = np.zeros((len(groups.rows), *self.tokens.shape))
        places = np.arange(len(groups.rows))[:, np.newaxis]
        np.add.at(of_rows, (places, groups.rows), gradient)
        return self.pull_back(policies, of_rows)
