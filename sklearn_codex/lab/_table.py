"""Policies over responses as a table: what problems of rewards and of preferences share."""

from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from sklearn_codex._categorical import FloatArray, IntArray
from sklearn_codex._checks.numbers import shown
from sklearn_codex.exact import CandidateObjective


@dataclass(frozen=True)
class Groups:
    """Batches that can be drawn, of responses to one prompt each, and how probable each is.

    Attributes
    ----------
    rows : ndarray of int of shape (n_batches, group_size)
        Rows of the problem.
    weights : ndarray of shape (n_batches,)
        Probabilities; equal where batches were drawn.
    is_exact : bool
        Whether they are all there are.
    """

    rows: IntArray
    weights: FloatArray
    is_exact: bool


def check_objective(objective: Any, subject: str) -> None:
    """Raise ValueError where an objective is none of candidates."""
    if not isinstance(objective, CandidateObjective):
        raise ValueError(
            f"{subject} needs objective, a CandidateObjective of sklearn_codex.exact, got "
            f"{shown(objective)}."
        )


class Table:
    """Responses of prompts, one row each, and distributions over those of a prompt.

    A policy is an array (n_rows,) of log-probabilities of prompt and response.
    """

    objective: CandidateObjective

    @property
    def rewards(self) -> FloatArray:
        """Reward (n_rows,) of each response, weighted."""
        return self.objective.reward_coef * self.objective.token_reward

    @property
    def kl_coef(self) -> float:
        """Weight of the KL."""
        return self.objective.kl_coef

    @property
    def prompts(self) -> IntArray:
        """The prompt (n_rows,) of each response."""
        return self.objective.prompts

    @property
    def reference(self) -> FloatArray:
        """Log-probabilities (n_rows,) of prompt and response under the reference."""
        return self.objective.start

    @property
    def shares(self) -> FloatArray:
        """How often (n_prompts,) each prompt comes up."""
        return cast(FloatArray, self.objective.prompt_prob)

    # Policies, (..., n_rows)

    def normalize(self, logits: FloatArray) -> FloatArray:
        """Return policies (..., n_rows) from logits, with each prompt as often as it comes up."""
        out = np.empty_like(logits)
        for prompt, share in enumerate(self.shares):
            rows = self.prompts == prompt
            part = logits[..., rows]
            top = part.max(axis=-1, keepdims=True)
            total = np.log(np.exp(part - top).sum(axis=-1, keepdims=True))
            out[..., rows] = part - top - total + np.log(share)
        return out

    def centred(self, values: FloatArray, weights: FloatArray | None = None) -> FloatArray:
        """Return values (n_rows,) less their mean, weighted or plain, over each prompt."""
        weights = np.ones(len(values)) if weights is None else weights
        n_prompts = len(self.shares)
        totals = np.bincount(self.prompts, weights * values, n_prompts)
        return values - (totals / np.bincount(self.prompts, weights, n_prompts))[self.prompts]

    def tilt(self, gain: FloatArray) -> FloatArray:
        """Return the policy (n_rows,) that is the reference times exp(gain), normalised."""
        return self.normalize(self.reference + gain)


def beside(problem: Table) -> FloatArray:
    """Return a policy (n_rows,) at a distance from the reference, where what is 0 there is not."""
    return problem.tilt(np.cos(np.arange(len(problem.reference))))


def kept_within(problem: Table, logits: FloatArray, nats: float) -> FloatArray:
    """Return policies (..., n_rows) from logits, however far these are apart.

    No response is less probable by more nats than its prompt.
    """
    policies = problem.normalize(logits)
    lowest = np.log(problem.shares)[problem.prompts] - nats
    if (policies < lowest).any():
        return problem.normalize(np.maximum(policies, lowest))
    return policies
