"""What is recorded of an iteration: the update, and the documents drawn after it."""

from dataclasses import dataclass

import numpy as np

from sklearn_codex._categorical import FloatArray, root_mean_square
from sklearn_codex._policy.ppo import approximate_kl
from sklearn_codex._policy.problem import PolicyProblem
from sklearn_codex._policy.rewards import DocumentReward
from sklearn_codex._rollouts import Rollouts


def sampled_figures(
    problem: PolicyProblem, log_prob: FloatArray, rollouts: Rollouts, assessed
) -> dict[str, float]:
    """Return the means over documents drawn from a policy, under TRL's names."""
    objective = problem.objective
    drawn, share = rollouts.drawn
    log_prob = rollouts.of_draws(log_prob)[drawn]
    log_ratio = log_prob - rollouts.of_draws(objective.reference_log_prob)[drawn]
    kl = float(share @ log_ratio)
    cost = sum(float(rule.cost(assessed.violations[rule.name]).mean()) for rule in problem.rules)
    non_score = -objective.kl_coef * (kl + cost)
    if objective.missing_eos_penalty:
        non_score -= objective.missing_eos_penalty * float(1.0 - rollouts.ended.mean())
    score = float(assessed.reward.mean())
    return {
        "objective/kl": kl,
        "objective/kl_k3": float(share @ approximate_kl(log_ratio, "k3")),
        "objective/entropy": -float(share @ log_prob),
        "objective/scores": score,
        "objective/scores_std": _deviation(assessed.reward),
        "objective/non_score_reward": non_score,
        "objective/rlhf_reward": objective.reward_coef * (score - problem.reward_mean) + non_score,
        "objective/shaped_reward_std": _deviation(assessed.shaped),
    }


def _deviation(values):
    """Return the standard deviation; numpy's takes twice as long for some hundred values."""
    centred = values - values.mean()
    with np.errstate(over="ignore"):
        variance = float(centred @ centred) / len(centred)
    # Squares of vast rewards are no floats, but their root is.
    return (
        float(np.sqrt(variance))
        if variance < np.inf
        else root_mean_square(centred, np.ones(len(centred)))
    )


@dataclass(frozen=True)
class Evaluation:
    """What is measured of each policy besides its objective.

    Parameters
    ----------
    gold : DocumentReward or None
        A second reward, recorded as ``gold/score``.
    frequencies : ndarray of shape (V,) or None
        Token frequencies of documents held out; ``eval/score`` is their log-likelihood per token.
    """

    gold: DocumentReward | None = None
    frequencies: FloatArray | None = None


class UpdateStatistics:
    """Collects what is logged of the steps on one batch."""

    def __init__(self, rollouts):
        self._drawn, per_document = rollouts.drawn
        self._length = len(rollouts.tokens) / len(rollouts)
        self._share = per_document / self._length
        self._rows: list[tuple[float, ...]] = []

    @property
    def n_steps(self):
        return len(self._rows)

    def kl(self, old, new):
        """Return the k3 estimate of KL(old || new) of a document, from the tokens of the batch.

        Both are log-probabilities (n_draws,) of what was drawn.
        """
        log_ratio = old[self._drawn] - new[self._drawn]
        return self._length * float(self._share @ approximate_kl(log_ratio, "k3"))

    def add(self, batch, ratio, clipping):
        """Note one step on a minibatch, taken at these ratios (n_draws,)."""
        beyond = ratio[self._drawn] - 1.0
        mean = float(self._share @ beyond)
        variance = float(self._share @ (beyond - mean) ** 2)
        loss = -batch.surrogate(ratio, clipping) / batch.n_tokens
        self._rows.append((loss, batch.clip_fraction(ratio, clipping), 1.0 + mean, variance))

    def summary(self, kl, learning_rate):
        """Return the statistics of one update under TRL's names."""
        loss, clip_fraction, mean, variance = np.mean(self._rows, axis=0).tolist()
        return {
            "policy/approxkl_avg": kl,
            "policy/clipfrac_avg": clip_fraction,
            "loss/policy_avg": loss,
            "val/ratio": mean,
            "val/ratio_var": variance,
            "policy/n_steps": self.n_steps,
            "lr": learning_rate,
        }


def neutral_statistics():
    """Return the update statistics of a policy that was not updated yet."""
    return {
        "policy/approxkl_avg": 0.0,
        "policy/clipfrac_avg": 0.0,
        "loss/policy_avg": 0.0,
        "val/ratio": 1.0,
        "val/ratio_var": 0.0,
        "policy/n_steps": 0,
        "lr": 0.0,
    }
