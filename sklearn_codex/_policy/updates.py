"""How a policy moves along a surrogate gradient: a damped natural step, or Adam on its logits."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from sklearn_codex._categorical import FloatArray
from sklearn_codex._rollouts import Rollouts
from sklearn_codex.exact._objective import Objective


class PolicyUpdate(ABC):
    """A policy with a rule to move it.

    Attributes
    ----------
    objective : Objective
        What is maximised; its coefficients may change between batches.
    learning_rate : float
        Size of the next steps.
    batch_size : float
        Documents of a batch, or of a minibatch with Adam.
    decay_start : int or None
        Iterations for which a schedule has lowered it, None before.
    """

    objective: Objective
    learning_rate: float
    decay_start: int | None = None
    batch_size: float
    _first_rate: float

    @abstractmethod
    def policy(self) -> FloatArray:
        """Return the log-probabilities (V,) of the current policy."""

    @abstractmethod
    def step(self, gradient: FloatArray, known: FloatArray | None = None) -> None:
        """Move along the surrogate gradient (V,) of one minibatch, summed over its documents.

        What is known of the advantage (V,) of each token, beyond those the gradient is made of, is
        a natural gradient of its own.
        """

    def begin_batch(self, log_prob: FloatArray, rollouts: Rollouts | None = None) -> None:
        """Get ready for the steps of a batch of documents drawn from this policy (V,).

        Policies that draw tokens independently move without knowing the documents.
        """
        self._rollout_log_prob, self._rollouts = log_prob, rollouts

    @abstractmethod
    def move_to(self, log_prob: FloatArray) -> None:
        """Take another policy (V,)."""

    def restart(self) -> None:
        """Take the first learning rate again."""
        self.learning_rate, self.decay_start = self._first_rate, None

    @abstractmethod
    def damping(self, length: float) -> float:
        """Return the occurrences that damp the step of a token, in documents of this length."""

    def state(self) -> dict[str, Any]:
        """Return what changes while the policy is trained."""
        return {name: getattr(self, name) for name in self._state_names}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state of :meth:`state`.

        Raises
        ------
        ValueError
            If it is that of another kind of update.
        """
        if set(state) != set(self._state_names):
            raise ValueError(
                "warm_start goes on with the same kind of optimizer and documents, got a state of "
                f"{sorted(state)} for {type(self).__name__}, which has "
                f"{sorted(self._state_names)}. Set warm_start=False to begin anew."
            )
        for name in self._state_names:
            setattr(self, name, state[name])

    _state_names: tuple[str, ...] = ("learning_rate", "decay_start")


class _NaturalUpdate(PolicyUpdate):
    """What the natural steps in both coordinates share.

    Parameters
    ----------
    objective : Objective
        The objective; its ``token_reward`` is not used.
    batch_size : float
        Documents of a batch, N.
    learning_rate : float
        Share of the way to the batch's solution that one batch moves.
    damping : float
        Occurrences added to the expected ones of each token, so that rare tokens move slowly.
    damping_per_token : float
        The same in proportion to the length of documents: a whole-sequence reward puts the noise of
        all other tokens on each one.
    n_epochs, n_minibatches : int
        Passes over a batch and parts of a pass: the step is divided among them.
    target_kl : float or None
        Trust region: nats that a document's distribution may move in one batch.
    stays_near_reference : bool
        Whether what holds a token grows as it falls below its reference, so that its occurrences
        count as no fewer than those there.
    """

    def __init__(
        self,
        objective: Objective,
        *,
        batch_size: float,
        learning_rate: float,
        damping: float,
        damping_per_token: float = 0.0,
        n_epochs: int,
        n_minibatches: int,
        target_kl: float | None,
        stays_near_reference: bool = False,
    ):
        self.objective = objective
        self._first_rate = self.learning_rate = learning_rate
        self.batch_size = batch_size
        self._damping = (damping, damping_per_token)
        self._n_epochs, self._n_minibatches = n_epochs, n_minibatches
        self._target_kl = target_kl
        self._stays_near_reference = stays_near_reference

    def damping(self, length):
        """Return the occurrences that damp the step of a token, in documents of this length."""
        return self._damping[0] + self._damping[1] * length

    def begin_batch(self, log_prob, rollouts=None):
        """Get ready for the steps of a batch: expected occurrences and stiffness of each token."""
        super().begin_batch(log_prob, rollouts)
        self._length = self.objective.expected_length(log_prob)
        self._expected = self.objective.occurrences(log_prob, self.batch_size)
        if self._stays_near_reference:
            at_start = self.objective.occurrences(self.objective.start, self.batch_size)
            self._expected = np.maximum(self._expected, at_start)
        self._stiffness = self.objective.stiffness(log_prob)

    def _move(self, gradient, known=None):
        """Return the step (V,) in units of reward, inside the trust region.

        A known advantage (V,) has no noise to be damped: all of it is taken, while the learning
        rate is the first one.
        """
        objective, log_prob = self.objective, self._rollout_log_prob
        rate = self.learning_rate / self._n_epochs
        damping = self.damping(self._length)
        move = objective.natural_step(
            rate * gradient, log_prob, self._rollouts, occurrences=self._expected, damping=damping
        )
        if known is not None:
            move += rate / (self._first_rate * self._n_minibatches) * known
        move = objective.project(move, self._expected + damping)
        if self._target_kl is not None:
            # All steps of a batch as far as this one: their sum is inside if each of these is.
            all_steps = self._n_epochs * self._n_minibatches * move / self._stiffness
            move *= objective.trust_region_scale(log_prob, all_steps, self._target_kl)
        return move


class DualUpdate(_NaturalUpdate):
    """Damped natural-gradient ascent in the dual coordinates of the regularised objective.

    The policy is kept as the exact optimum of the known part of the objective (KL, additive rule
    penalties, demonstrations) plus a token reward q (V,) that is learned, starting at 0. Its shaped
    token score is then w_t - q_t up to a constant, so the gradient has no variance at the optimum
    q = w. Without demonstrations log pi = log ref + q / kl_coef - penalty up to a constant, and the
    step is a natural-gradient step of the logits.
    """

    _state_names = ("learned_reward", "learning_rate", "decay_start")

    def __init__(self, objective: Objective, **settings):
        super().__init__(objective, **settings)
        self.learned_reward = np.zeros_like(objective.reference_log_prob)
        self._solved: tuple[Any, ...] | None = None

    def policy(self):
        """Return the log-probabilities (V,) of the current policy."""
        key = (self.objective, self.learned_reward)
        if self._solved is None or any(a is not b for a, b in zip(self._solved, key, strict=False)):
            known = self.objective.having(token_reward=self.learned_reward, reward_coef=1.0)
            self._solved = (*key, known.optimum())
        return self._solved[-1]

    def move_to(self, log_prob):
        """Take another policy (V,): that whose shaped score is the same for all tokens."""
        known = self.objective.having(token_reward=np.zeros_like(log_prob))
        learned = -known.token_scores(log_prob)
        possible = np.isfinite(log_prob)
        self.learned_reward = np.where(possible, learned - learned[possible].mean(), 0.0)

    def step(self, gradient, known=None):
        """Move along the surrogate gradient (V,) of one minibatch, and what is known beside it."""
        self.learned_reward = self.learned_reward + self._move(gradient, known)


class LogitUpdate(_NaturalUpdate):
    """The same step on the logits themselves, where not every learned reward has an optimum.

    On the way a policy of documents that end by themselves may want to go on for ever. Logits
    always give a policy that ends.
    """

    _state_names = ("logits", "learning_rate", "decay_start")

    def __init__(self, objective: Objective, **settings):
        super().__init__(objective, **settings)
        logits = objective.start
        if objective.penalty is not None:
            logits = objective.moved(logits, -objective.penalty)
        self.logits = logits

    def policy(self):
        """Return the log-probabilities (V,) of the current policy."""
        return self.logits

    def move_to(self, log_prob):
        """Take another policy (V,)."""
        self.logits = log_prob

    def step(self, gradient, known=None):
        """Move along the surrogate gradient (V,) of one minibatch, and what is known beside it."""
        step = self._move(gradient, known) / self._stiffness
        self.logits = self.objective.moved(self.logits, step)


class AdamUpdate(PolicyUpdate):
    """Adam on softmax logits, the textbook form, with eps 1e-5.

    The rate falls from batch to batch, however many steps of a batch are taken: epochs that end
    early on approximate KL do not hold it up.

    Parameters
    ----------
    objective : Objective
        The objective; only its reference is used, as the start.
    batch_size : float
        Documents of a minibatch.
    learning_rate : float
        First learning rate.
    n_batches : int or None
        Batches after which the learning rate reaches zero in a line; None means that it is kept.

    References
    ----------
    .. [1] Kingma, D. P. and Ba, J. (2015). "Adam: a method for stochastic optimization." ICLR.
    .. [2] Huang, S. et al. (2022). "The 37 implementation details of proximal policy
       optimization." ICLR Blog Track.
    """

    _state_names = ("logits", "_mean", "_square", "_t", "_batch", "learning_rate", "decay_start")

    def __init__(
        self,
        objective: Objective,
        *,
        batch_size: float,
        learning_rate: float,
        n_batches: int | None,
    ):
        self.objective = objective
        self.logits = objective.start
        self.batch_size = batch_size
        self._first_rate = self.learning_rate = learning_rate
        self._n_batches = n_batches
        self._batch = 0
        self._t = 0
        self._mean = np.zeros_like(self.logits)
        self._square = np.zeros_like(self.logits)

    def damping(self, length):
        """Return one occurrence: Adam knows no damping."""
        return 1.0

    def begin_batch(self, log_prob, rollouts=None):
        """Get ready for the steps of a new batch: lower the learning rate."""
        super().begin_batch(log_prob, rollouts)
        self._batch_tokens = self.batch_size * self.objective.expected_length(log_prob)
        if self._n_batches is not None:
            share = max(0.0, 1.0 - self._batch / self._n_batches)
            self.learning_rate = self._first_rate * share
        self._batch += 1

    def policy(self):
        """Return the log-probabilities (V,) of the current policy."""
        return self.objective.moved(self.logits, np.zeros_like(self.logits))

    def move_to(self, log_prob):
        """Take another policy (V,)."""
        self.logits = log_prob

    def step(self, gradient, known=None):
        """Move along the surrogate gradient (V,) of one minibatch; nothing else is known to it."""
        self._t += 1
        gradient = gradient / self._batch_tokens
        self._mean = 0.9 * self._mean + 0.1 * gradient
        self._square = 0.999 * self._square + 0.001 * gradient**2
        mean = self._mean / (1.0 - 0.9**self._t)
        square = self._square / (1.0 - 0.999**self._t)
        self.logits = self.logits + self.learning_rate * mean / (np.sqrt(square) + 1e-5)
