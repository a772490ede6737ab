"""What a group of documents that share a start makes of their rewards: the maths of GRPO."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from sklearn_codex._categorical import FloatArray, IntArray
from sklearn_codex._rollouts import Rollouts
from sklearn_codex.lab._advantages._groups import grpo_advantage
from sklearn_codex.lab._losses._kl import kl_penalty

# What is added to standard deviations, as TRL does.
EPSILON = 1e-4


@dataclass(frozen=True)
class GroupRule:
    """How documents of a group are compared, and what their loss is.

    Parameters
    ----------
    size : int
        Documents of a group, G.
    scale_rewards : {"group", "batch", "none"}
        Whose standard deviation a centred reward is divided by.
    loss_type : {"grpo", "dapo", "dr_grpo"}
        What the loss of a token is divided by: the length of its document, the tokens of the batch,
        or a constant.
    kl_in : {"loss", "reward"}
        Where the KL from the reference is.
    is_corrected : bool
        Whether a KL in the loss is weighted by the ratio to the policy that drew the tokens.
    """

    size: int
    scale_rewards: str = "group"
    loss_type: str = "dapo"
    kl_in: str = "loss"
    is_corrected: bool = True

    @property
    def stays_near_reference(self) -> bool:
        """Whether the KL is stiff where the policy is far below its reference."""
        return self.kl_in == "loss" and not self.is_corrected

    def whole(self, n_rollouts: int, *, given: bool, subject: str) -> int:
        """Return the documents of a batch, so many that groups are whole.

        Raises
        ------
        ValueError
            If they were given and do not make whole groups.
        """
        n_groups = -(-n_rollouts // self.size)
        if given and n_groups * self.size != n_rollouts:
            raise ValueError(
                f"{subject} draws groups of num_generations={self.size} documents, so it needs "
                f"n_rollouts, a multiple of that, got {n_rollouts}. Use {n_groups * self.size}."
            )
        return n_groups * self.size

    def scores(self, problem: Any, assessed: Any, ended: np.ndarray) -> FloatArray:
        """Return the rewards (n,) that documents are compared by, rule penalties taken off."""
        if self.kl_in == "reward":
            return np.asarray(assessed.shaped)
        objective = problem.objective
        scores = objective.reward_coef * (assessed.reward - problem.reward_mean)
        for priced in problem.rules:
            scores = scores - objective.kl_coef * priced.cost(assessed.violations[priced.name])
        return np.asarray(scores - objective.missing_eos_penalty * ~ended)

    def advantages(self, scores: FloatArray) -> FloatArray:
        """Return the advantages (n,) of documents by their scores (n,), group after group."""
        groups = scores.reshape(-1, self.size, 1)
        advantages, _ = grpo_advantage(
            groups,
            np.ones(groups.shape, dtype=bool),
            np.zeros(self.size, dtype=int),
            epsilon=EPSILON,
            norm_adv_by_std_in_grpo=self.scale_rewards == "group",
        )
        if self.scale_rewards == "batch":
            advantages = advantages / (scores.std(ddof=1) + EPSILON)
        return np.asarray(advantages).ravel()

    def token_advantages(
        self, problem: Any, assessed: Any, rollouts: Rollouts, expected_length: float
    ) -> FloatArray:
        """Return the advantage (n_tokens,) of each token drawn, times its weight in the loss."""
        advantages = self.advantages(self.scores(problem, assessed, rollouts.ended))
        weights = self.weights(rollouts.lengths, expected_length)
        return np.repeat(advantages * weights, rollouts.lengths)

    def kl_slopes(
        self,
        rollouts: Rollouts,
        expected_length: float,
        log_prob: FloatArray,
        reference: FloatArray,
        old_log_prob: FloatArray,
    ) -> FloatArray:
        """Return the derivative (n_draws,) of the KL in the loss, summed over a batch.

        Parameters
        ----------
        rollouts : Rollouts
            The batch.
        expected_length : float
            Tokens that a document of the policy that drew it is expected to have.
        log_prob, reference, old_log_prob : ndarray of shape (V,)
            The policy, its reference, and the policy that drew.
        """
        drawn = rollouts.drawn[0]
        weights = self.weights(rollouts.lengths, expected_length)
        slopes = rollouts.collect(np.repeat(weights, rollouts.lengths))
        policies = (log_prob, reference, old_log_prob)
        slopes[drawn] *= self.kl_slope(*(rollouts.of_draws(policy)[drawn] for policy in policies))
        return slopes

    def weights(self, lengths: IntArray, expected_length: float) -> FloatArray:
        """Return the weight (n,) of each token of a document, about 1 on average."""
        if self.loss_type == "grpo":
            return expected_length / lengths
        if self.loss_type == "dapo":
            return np.full(len(lengths), expected_length / lengths.mean())
        return np.ones(len(lengths))

    def kl_slope(
        self, log_prob: FloatArray, reference: FloatArray, old_log_prob: FloatArray
    ) -> FloatArray:
        """Return the derivative (n,) of the KL in the loss by log-probabilities (n,) of draws."""
        old = old_log_prob if self.is_corrected else None
        return kl_penalty(log_prob, reference, "k3", old_log_prob=old)[1]
