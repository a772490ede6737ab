"""How a policy moves along a surrogate gradient: a damped natural step, or Adam on its logits."""

from dataclasses import replace

import numpy as np

from sklearn_codex._categorical import FloatArray, normalize_log
from sklearn_codex._ppo import trust_region_scale
from sklearn_codex.exact import AdditiveObjective


class NaturalUpdate:
    """Damped natural-gradient ascent in the dual coordinates of the regularised objective.

    The policy is kept as the exact optimum of the known part of the objective (KL, additive rule
    penalties, demonstrations) plus a token reward q (V,) that is learned, starting at 0. Its shaped
    token score is then w_t - q_t up to a constant, so the gradient has no variance at the optimum
    q = w. Without demonstrations log pi = log ref + q / kl_coef - penalty up to a constant, and the
    step is a natural-gradient step of the logits.

    Parameters
    ----------
    objective : AdditiveObjective
        The objective; its ``token_reward`` is not used.
    batch_size : float
        Documents of a batch, N.
    learning_rate : float
        Share of the way to the batch's solution that one batch moves.
    damping : float
        Occurrences added to the expected ones of each token, so that rare tokens move slowly.
    steps_per_batch : int
        Optimiser steps (epochs times minibatches) that share one batch.
    n_epochs : int
        Passes over a batch; the step is divided by it.
    target_kl : float or None
        Trust region: nats that a document's distribution may move in one batch.
    """

    def __init__(
        self,
        objective: AdditiveObjective,
        *,
        batch_size: float,
        learning_rate: float,
        damping: float,
        n_epochs: int,
        n_minibatches: int,
        target_kl: float | None,
    ):
        self._known = objective
        self.learned_reward = np.zeros_like(objective.reference_log_prob)
        self.learning_rate = learning_rate
        self._batch_size = batch_size
        self._damping = damping
        self._n_epochs = n_epochs
        self._step_kl = None if target_kl is None else target_kl / (n_epochs * n_minibatches) ** 2

    def policy(self) -> FloatArray:
        """Return the log-probabilities (V,) of the current policy."""
        return replace(self._known, token_reward=self.learned_reward, reward_coef=1.0).optimum()

    def step(self, gradient: FloatArray, rollout_log_prob: FloatArray) -> None:
        """Move along the surrogate gradient (V,) of one minibatch, summed over its documents."""
        prob = np.exp(rollout_log_prob)
        known = self._known
        rate = self.learning_rate / self._n_epochs
        expected = self._batch_size * known.length * prob
        move = rate * gradient / (expected + self._damping)
        if self._step_kl is not None:
            stiffness = np.full_like(prob, known.kl_coef)
            if known.frequencies is not None:
                shown = prob > 0
                pull = known.sft_coef * known.frequencies[shown] / known.length
                stiffness[shown] += pull / prob[shown]
            move *= trust_region_scale(move / stiffness, prob, known.length, self._step_kl)
        self.learned_reward = self.learned_reward + move


class AdamUpdate:
    """Adam on softmax logits, the textbook form: eps 1e-5, learning rate to zero in a line.

    Parameters
    ----------
    objective : AdditiveObjective
        The objective; only its reference is used, as the start.
    batch_size : float
        Documents of a minibatch.
    learning_rate : float
        First learning rate.
    n_steps : int
        Steps after which the learning rate reaches zero.

    References
    ----------
    .. [1] Kingma, D. P. and Ba, J. (2015). "Adam: a method for stochastic optimization." ICLR.
    .. [2] Huang, S. et al. (2022). "The 37 implementation details of proximal policy
       optimization." ICLR Blog Track.
    """

    def __init__(
        self, objective: AdditiveObjective, *, batch_size: float, learning_rate: float, n_steps: int
    ):
        self._logits = objective.reference_log_prob.copy()
        self._batch_tokens = batch_size * objective.length
        self._first_rate = self.learning_rate = learning_rate
        self._n_steps = n_steps
        self._t = 0
        self._mean = np.zeros_like(self._logits)
        self._square = np.zeros_like(self._logits)

    def policy(self) -> FloatArray:
        """Return the log-probabilities (V,) of the current policy."""
        return normalize_log(self._logits)

    def step(self, gradient: FloatArray, rollout_log_prob: FloatArray) -> None:
        """Move along the surrogate gradient (V,) of one minibatch, summed over its documents."""
        self.learning_rate = self._first_rate * max(0.0, 1.0 - self._t / self._n_steps)
        self._t += 1
        gradient = gradient / self._batch_tokens
        self._mean = 0.9 * self._mean + 0.1 * gradient
        self._square = 0.999 * self._square + 0.001 * gradient**2
        mean = self._mean / (1.0 - 0.9**self._t)
        square = self._square / (1.0 - 0.999**self._t)
        self._logits = self._logits + self.learning_rate * mean / (np.sqrt(square) + 1e-5)
