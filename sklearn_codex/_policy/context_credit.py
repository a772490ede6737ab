"""What tokens of a policy over n-grams are credited with, by values of contexts."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from sklearn.utils import Bunch

from sklearn_codex._categorical import FloatArray
from sklearn_codex._policy.critic import ContextCritic, KnownScores, LinearCritic
from sklearn_codex._policy.ppo import center
from sklearn_codex._policy.problem import PolicyProblem


@dataclass(frozen=True)
class JudgedBatch:
    """Documents drawn from a policy and what they are worth.

    Parameters
    ----------
    problem : PolicyProblem
        What judged them.
    log_prob : ndarray of shape (E,)
        The policy.
    rollouts : NGramRollouts
        The documents, with the context before each token.
    assessed : Bunch
        Their rewards, see :meth:`PolicyProblem.assess`.
    """

    problem: PolicyProblem
    log_prob: FloatArray
    rollouts: Any
    assessed: Bunch


def worth_of_events(
    values: ContextCritic, batch: JudgedBatch
) -> tuple[FloatArray | None, FloatArray | None]:
    """Return what all events (E,) bring by themselves, and (n_tokens,) the advantages by that.

    None where that is not known.
    """
    worth = values.worth_of_events(batch.assessed.token_score)
    if worth is None:
        return None, None
    rollouts = batch.rollouts
    return worth, center(rollouts.of_draws(worth) - values.values[rollouts.contexts])


def advantages_in_contexts(
    values: ContextCritic,
    batch: JudgedBatch,
    *,
    credit: str,
    critic: LinearCritic | None = None,
    takes_known: bool = False,
) -> FloatArray:
    """Return the advantages (n_tokens,) by values of contexts.

    A token has its own score, where that is known or forecast; what documents are worth beyond that
    is credited to all their tokens.

    Parameters
    ----------
    values : ContextCritic
        It learns from the documents first.
    batch : JudgedBatch
        The documents.
    credit : {"token", "sequence"}
        What is credited with the reward.
    critic : LinearCritic, default=None
        A forecast of what is not known of n-grams.
    takes_known : bool, default=False
        Whether values are learned from the scores of all tokens, where these are credited with
        them.
    """
    objective: Any = batch.problem.objective
    rollouts, score = batch.rollouts, batch.assessed.token_score
    if credit == "sequence":
        score = score - objective.reward_coef * objective.token_reward
    beyond = batch.assessed.shaped - rollouts.sum_over_tokens(score)
    if critic is not None:
        forecast = objective.of_features(critic.token_value)
        of_documents = rollouts.sum_over_tokens(forecast)
        trust = critic.trust(of_documents, beyond)
        score, beyond = score + trust * forecast, beyond - trust * of_documents
    rewards = rollouts.of_draws(score)
    if credit == "sequence":
        advantages = values.advantages(rollouts, rewards)
        return advantages + np.repeat(center(beyond), rollouts.lengths)
    rewards[rollouts.starts + rollouts.lengths - 1] += beyond
    known = None
    if takes_known:
        known = KnownScores(score, partial(objective.mean_of_next, batch.log_prob))
    return values.advantages(rollouts, rewards, known)
