"""What tokens of a policy over n-grams are credited with, by values of contexts."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from sklearn.utils import Bunch

from sklearn_codex._categorical import FloatArray, IntArray
from sklearn_codex._policy.critic import (
    ContextCritic,
    KnownScores,
    LinearCritic,
    noise_variance,
)
from sklearn_codex._policy.ppo import center
from sklearn_codex._policy.problem import PolicyProblem

# Noise that a step may leave, as a share of what is known to it and which it takes away.
_MOST_NOISE = 2.0 / 3.0


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
        known = KnownScores(
            score,
            partial(objective.mean_of_next, batch.log_prob),
            partial(objective.sum_to_come, batch.log_prob),
        )
    return values.advantages(rollouts, rewards, known)


def steadied(advantages: FloatArray, known: FloatArray | None, arcs: IntArray) -> FloatArray:
    r"""Return the advantages (n_tokens,) with so much of what documents tell that a step gains.

    What is known of advantages, k, is taken whole, and of the rest x the share

    .. math::

        \min\Big(1, \sqrt{\frac{2}{3} \frac{\sum_t k_t^2}
            {\sigma^2 \sum_a (N_a / (N_a + 1))^2}}\Big)

    with the variance :math:`\sigma^2` of x among the :math:`N_a` tokens of an arc.

    Parameters
    ----------
    advantages : ndarray of shape (n_tokens,)
    known : ndarray of shape (n_tokens,) or None
        The part of them that is known of tokens that nobody drew as well.
    arcs : ndarray of int of shape (n_tokens,)
        What each token was drawn by.

    Notes
    -----
    A step moves an arc by the sum of x over :math:`N_a + 1`, of which the sum below the line is the
    noise, over all tokens. With right values x is noise alone, of all that follows a token, as far
    as ``gae_lambda`` looks: it is as large as what is known of each token, and as documents are
    long. What is known, a step takes away, and what it brings of noise is known to the next.
    Where that is more, policies hover, however far from the best one, until batches have most
    n-grams many times. So it is held to less, as rates of learning are by the noise of gradients
    [1]_. At the optimum both parts are 0.

    References
    ----------
    .. [1] Schaul, T., Zhang, S. and LeCun, Y. (2013). "No more pesky learning rates." ICML.
       arXiv:1206.1106.
    """
    if known is None:
        return advantages
    rest = advantages - known
    total, visits = (np.bincount(arcs, of).astype(np.float64) for of in (rest, None))
    variance = noise_variance(rest, total, visits)
    noise = variance * float(np.sum((visits / (visits + 1.0)) ** 2))
    most = _MOST_NOISE * float(known @ known)
    return advantages if noise <= most else known + np.sqrt(most / noise) * rest
