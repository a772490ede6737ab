"""A problem of preferences between the responses of prompts, as a table of wins."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from scipy.sparse.csgraph import connected_components

from sklearn_codex._categorical import FloatArray, IntArray
from sklearn_codex._checks.numbers import check_values, shown
from sklearn_codex._checks.options import check_option
from sklearn_codex.exact import CandidateObjective
from sklearn_codex.lab._batch import no_field
from sklearn_codex.lab._table import Groups, Table, check_objective

SOURCES = ("data", "online", "self-play")


@dataclass(frozen=True, eq=False)
class PreferenceBatch:
    """Pairs of responses, one row each; the first is the one that won.

    Where all batches that can be drawn are held at once, every array has one more axis in front.

    Attributes
    ----------
    log_prob, ref_log_prob : ndarray of shape (n_pairs, 2)
        Log-probabilities of the two responses under the policy and under the reference, summed over
        tokens.
    lengths : ndarray of int of shape (n_pairs, 2)
        Their tokens.
    preference : ndarray of shape (n_pairs,)
        Probability that the first is preferred, for what asks a preference model.
    kl : ndarray of shape (n_pairs,)
        KL(policy || reference) of the prompt, in nats, exact: z0 of KTO.
    rows : ndarray of int of shape (n_pairs, 2)
        Rows of the problem.
    policy_log_prob : ndarray of shape (n_rows,)
        The whole policy, for what returns a new one.
    kl_coef : float
        Weight b of the KL that the problem asks for; beta of DPO.
    """

    log_prob: FloatArray
    ref_log_prob: FloatArray
    lengths: IntArray
    preference: FloatArray
    kl: FloatArray
    rows: IntArray
    policy_log_prob: FloatArray
    kl_coef: float

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(no_field("PreferenceBatch", name))

    def at(self, place: int) -> "PreferenceBatch":
        """Return one of the batches that are held at once."""
        stacked = (
            "log_prob", "ref_log_prob", "lengths", "preference", "kl", "rows", "policy_log_prob",
        )  # fmt: skip
        return replace(self, **{name: getattr(self, name)[place] for name in stacked})


@dataclass(frozen=True, eq=False)
class PreferenceProblem(Table):
    r"""Preferences between responses, and the policies that are learned from them.

    Parameters
    ----------
    objective : CandidateObjective
        Reference, prompts, ``kl_coef`` and, where preferences come from one, the reward.
    wins : ndarray of shape (n_rows, n_rows)
        How often the row won against the column, as weights of any sum; 0 between prompts.
    lengths : ndarray of int of shape (n_rows,)
        Tokens of each response.
    source : {"data", "online", "self-play"}, default="data"
        What is in a batch:

        - "data" : pairs as often as they are in ``wins``
        - "online" : pairs that the policy itself draws, decided as in ``wins``
        - "self-play" : a response of the policy and one of its opponent, undecided
    mixture_coef : float, default=0.0
        Of the opponent, which is the policy to the power of one less this, times the reference to
        the power of this, normalised; 0 is the policy itself.
    name, reason : str
        What the problem is called, and what shows in it.

    Raises
    ------
    ValueError
        If ``wins`` are not as said, or a pair that a policy can draw has never met.

    Examples
    --------
    >>> from sklearn_codex.lab import problems
    >>> problem = problems["two-sided"]()
    >>> float(problem.probability[0, 1] + problem.probability[1, 0])
    1.0
    """

    objective: CandidateObjective
    wins: FloatArray
    lengths: IntArray
    source: str = "data"
    mixture_coef: float = 0.0
    name: str = "custom"
    reason: str = ""

    def __post_init__(self):
        check_objective(self.objective, "PreferenceProblem")
        n_rows = len(self.objective.token_reward)
        wins = check_values(
            self.wins, "wins", subject="PreferenceProblem", shape=(n_rows, n_rows), low=0.0
        )
        if np.diag(wins).any() or wins[self.prompts[:, np.newaxis] != self.prompts].any():
            raise ValueError(
                "PreferenceProblem needs wins between two responses of one prompt, got some of a "
                "response against itself, or between prompts. Set those to 0."
            )
        if not wins.any():
            raise ValueError("PreferenceProblem needs wins, got 0 for every pair.")
        check_option(self.source, SOURCES, "source", subject="PreferenceProblem")
        lengths = check_values(
            self.lengths, "lengths", subject="PreferenceProblem", shape=(n_rows,), low=1.0
        )
        if (lengths % 1 != 0).any():
            raise ValueError(
                "PreferenceProblem needs lengths, the tokens of each response, whole numbers, got "
                f"{shown(self.lengths)}."
            )
        object.__setattr__(self, "wins", wins / wins.sum())
        object.__setattr__(self, "lengths", lengths.astype(np.intp))
        if self.source != "data" and np.isnan(self.probability[self._same_prompt]).any():
            first, second = np.argwhere(np.isnan(self.probability) & self._same_prompt)[0]
            raise ValueError(
                f'PreferenceProblem with source "{self.source}" needs every pair of responses of a '
                f"prompt to have met, but rows {first} and {second} never did."
            )

    def drawn_from(self, source: str, mixture_coef: float = 0.0) -> "PreferenceProblem":
        """Return the same preferences, asked of other pairs."""
        return replace(self, source=source, mixture_coef=mixture_coef)

    def of_equal_lengths(self) -> "PreferenceProblem":
        """Return the same preferences between responses that are all as long as the longest."""
        return replace(self, lengths=np.full_like(self.lengths, self.lengths.max()))

    @cached_property
    def _same_prompt(self):
        return self.prompts[:, np.newaxis] == self.prompts

    @cached_property
    def probability(self) -> FloatArray:
        """Probability (n_rows, n_rows) that the row is preferred; NaN for pairs that never met."""
        met = self.wins + self.wins.T
        with np.errstate(invalid="ignore"):
            probability = np.where(met > 0, self.wins / met, np.nan)
        np.fill_diagonal(probability, 0.5)
        return probability

    @cached_property
    def is_decided(self) -> bool:
        """Whether some responses only ever win against others, so that no finite score fits.

        Also where there are responses that are not compared, by no chain of pairs.
        """
        n_strong, _ = connected_components(self.wins > 0, directed=True, connection="strong")
        return bool(n_strong > len(self.shares))

    @cached_property
    def is_connected(self) -> bool:
        """Whether pairs compare all responses of a prompt, by chains of them."""
        n_parts, _ = connected_components(self.wins > 0, directed=False)
        return bool(n_parts == len(self.shares))

    def opponent(self, log_prob: FloatArray) -> FloatArray:
        """Return the policy (..., n_rows) that self-play is against."""
        a = self.mixture_coef
        return self.normalize((1 - a) * log_prob + a * self.reference)

    def groups(
        self,
        log_prob: FloatArray,
        group_size: int = 1,
        n_samples: int | None = None,
        random_state: Any = None,
    ) -> Groups:
        """Return all pairs that can be drawn, each a batch, or so many drawn."""
        if self.source == "data":
            weights = self.wins
        else:
            other = self.opponent(log_prob) if self.source == "self-play" else log_prob
            joint = np.exp(log_prob[:, np.newaxis] + other)
            weights = np.where(self._same_prompt, joint / self.shares[self.prompts], 0.0)
            if self.source == "online":
                weights = 2 * weights * np.where(self._same_prompt, self.probability, 0.0)
        rows = np.argwhere(weights > 0).astype(np.intp)
        prob = weights[rows[:, 0], rows[:, 1]]
        if n_samples is None:
            return Groups(rows, prob, True)
        drawn = random_state.choice(len(rows), n_samples, p=prob / prob.sum())
        return Groups(rows[drawn], np.full(n_samples, 1 / n_samples), False)

    def batch(self, groups: Groups, policies: FloatArray, log_prob: FloatArray) -> PreferenceBatch:
        """Return the batches of one pair each."""
        rows = groups.rows
        places = np.arange(len(rows))[:, np.newaxis]
        log_ratio = np.exp(policies) * (policies - self.reference)
        kl = np.stack(
            [log_ratio[:, self.prompts == x].sum(axis=1) / s for x, s in enumerate(self.shares)],
            axis=1,
        )
        log_share = np.log(self.shares)[self.prompts]
        probability = np.where(self._same_prompt, self.probability, 0.5)
        return PreferenceBatch(
            log_prob=(policies - log_share)[places, rows][:, np.newaxis],
            ref_log_prob=(self.reference - log_share)[rows][:, np.newaxis],
            lengths=self.lengths[rows][:, np.newaxis],
            preference=probability[rows[:, 0], rows[:, 1]][:, np.newaxis],
            kl=kl[np.arange(len(rows)), self.prompts[rows[:, 0]]][:, np.newaxis],
            rows=rows[:, np.newaxis].copy(),
            policy_log_prob=policies,
            kl_coef=self.kl_coef,
        )

    def logit_gradient(
        self, groups: Groups, policies: FloatArray, gradient: FloatArray
    ) -> FloatArray:
        """Return gradients (n_batches, n_rows) by logits from those (n_batches, 1, 2) of pairs."""
        by_row = np.zeros_like(policies)
        places = np.arange(len(by_row))[:, np.newaxis]
        np.add.at(by_row, (places, groups.rows), gradient[:, 0])
        out = by_row.copy()
        for prompt, share in enumerate(self.shares):
            rows = self.prompts == prompt
            total = by_row[:, rows].sum(axis=1, keepdims=True)
            out[:, rows] -= np.exp(policies[:, rows]) / share * total
        return out
