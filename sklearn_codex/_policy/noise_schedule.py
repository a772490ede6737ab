"""When sampling noise is all that is left of the distance to the optimum."""

import numpy as np

from sklearn_codex._categorical import FloatArray
from sklearn_codex._policy.local_gap import slope_gains
from sklearn_codex._policy.training import Trainer

# Documents after which a reward that was the same for all is believed to be constant.
_ENOUGH_DOCUMENTS = 4096
# Documents from which a variance is taken: a few may have the same reward by chance.
_FEWEST_DOCUMENTS = 256
# Standard errors from which batches agree where to go, and within which nothing is left.
_AGREE, _SURE = 2.0, 2.0


def apart_from_cuts(trainer: Trainer, gained: float) -> float:
    """Return a gain over the start without what documents that were cut lost there.

    Where that is much, a share of the whole gain says nothing. Not less than what the policy pays
    for its distance from the reference.
    """
    objective = trainer.problem.objective
    if not objective.missing_eos_penalty:
        return float(gained)
    lost = objective.missing_eos_penalty * objective.missing_eos_rate(trainer.problem.start)
    paid = objective.kl_coef * trainer.history[-1]["objective/kl_exact"]
    return float(min(gained, max(gained - lost, paid)))


def middle(trainer: Trainer) -> FloatArray | None:
    """Return the policy (V,) at the mean of where it hovered since batches last agreed, if any."""
    if trainer.drift.n < 2:
        return None
    return trainer.problem.objective.policy_at(trainer.drift.mean_place())


def is_better_settled(trainer: Trainer) -> bool:
    """Tell whether the middle of where steps hover is better for certain, where length explodes."""
    if trainer.adapts or not trainer.problem.explodes or (mean := middle(trainer)) is None:
        return False
    value = trainer.problem.objective.value
    return value(mean) > value(trainer.recorded_log_prob)


class NoiseSchedule:
    """Tells when sampling noise, not distance, is what is left, and shrinks the step then.

    A reward that does not add over tokens leaves variance in the shaped reward at the optimum. The
    step then hovers around it at a distance of about
    eta / (2 - eta) * V_eff * Var(S) / (2 kl_coef N). Gradients of batches tell how far the middle
    of that is, without bias, see :class:`~local_gap.Drift`. While they agree where to go, the rate
    stays. Where they do not, it is divided by a growing number, and batches grow where nobody gave
    their size. Training may end when what is left, with two standard errors and the noise of that
    middle, is below half of ``tol`` times the improvement made so far, and the hovering below all
    of it: the policy is then the mean of where it hovered. Not so where the reward was the same for
    all documents so far: it may be paid for rare ones.
    """

    def __init__(self, trainer: Trainer):
        self._trainer = trainer
        self._tol = trainer.settings.tol
        self._first_rate = trainer.settings.learning_rate
        n_rollouts = trainer.settings.n_rollouts
        n_parameters = trainer.problem.objective.n_parameters
        self._window = max(20, -(-n_parameters // n_rollouts))
        self._n_start = 0
        self._n_pooled = -(-_FEWEST_DOCUMENTS // n_rollouts)

    def converged(self) -> bool:
        """Adapt the learning rate after an iteration; return whether training may stop."""
        trainer, drift = self._trainer, self._trainer.drift
        if self._knows_value and self._has_fallen():
            self._shrink_step()
        if drift.n < self._window or len(trainer.history) <= self._window:
            return False
        gap, error = drift.gap()
        enough = self.enough() if self._tol > 0 else -np.inf
        left = max(gap, 0.0) + _SURE * error + drift.noise()
        is_close = left <= 0.5 * enough and self._floor() <= enough
        if gap > _AGREE * error:
            drift.restart()
        elif not self._knows_value:
            self._shrink_step()
        return is_close

    def enough(self):
        """Return the distance to the best policy at which training may stop."""
        trainer = self._trainer
        if len(trainer.history) <= self._n_pooled:
            return -np.inf
        if trainer.n_sequences < _ENOUGH_DOCUMENTS and not self._has_varied():
            return -np.inf
        return max(self._tol * self.improvement(), trainer.negligible_gap())

    def leaves_no_slope(self) -> bool:
        """Return whether the exact gradient leaves no more than enough to gain near the policy.

        Where length explodes, also whether it does near the mean of where it hovers.
        """
        trainer, enough = self._trainer, self.enough()
        if slope_gains(trainer.problem, trainer.log_prob) <= enough:
            return True
        mean = middle(trainer) if self._knows_value else None
        return mean is not None and slope_gains(trainer.problem, mean) <= enough

    def gains_no_more(self) -> bool:
        """Return whether the last steps gained no more than enough, where length explodes.

        The optimum is one of where documents are cut there, and worth no minutes.
        """
        if not self._knows_value:
            return False
        values = [record["objective/value"] for record in self._trainer.history]
        before, last = values[: -self._window], values[-self._window :]
        return len(before) >= self._window and max(last) - max(before) <= self.enough()

    def _latest(self, key):
        """Return a figure of the latest batches (n_pooled,)."""
        latest = self._trainer.history[-self._n_pooled :]
        return np.array([record[f"objective/{key}"] for record in latest])

    def _unbiased(self, values):
        """Return the mean of variances of batches, or of what grows like these.

        Those of n documents are too small by (n - 1) / n.
        """
        n = self._trainer.settings.n_rollouts
        return float(np.mean(values)) * n / (n - 1)

    def _has_varied(self):
        """Tell whether documents of one batch have had different rewards."""
        return any(record["objective/scores_std"] > 0 for record in self._trainer.history)

    def improvement(self) -> float:
        """Return what training has gained so far, from the mean of the last values."""
        history = self._trainer.history
        values = [record["objective/value"] for record in history[1:][-self._window :]]
        n_documents = len(values) * self._trainer.settings.n_rollouts
        start, error = self._start(n_documents)
        gained = np.mean(values) - start
        # Where the KL is dear, the gain drowns in the noise of the first value; it is then as large
        # as what the policy pays for its distance from the reference.
        spread = history[-1]["objective/shaped_reward_std"] / np.sqrt(n_documents)
        noise = 2.0 * np.hypot(error, spread)
        paid = self._trainer.problem.objective.kl_coef * history[-1]["objective/kl_exact"]
        return apart_from_cuts(self._trainer, max(gained - noise, min(paid, gained + noise)))

    def _start(self, n_documents):
        """Return J of the start and its standard error, from about as many documents or more."""
        if n_documents > 2 * self._n_start:
            self._n_start = int(n_documents)
            rng = np.random.RandomState([self._trainer.seed, 4])
            start = self._trainer.problem.start
            self._start_value = self._trainer.value_of(start, self._n_start, rng)
        return self._start_value

    @property
    def _knows_value(self):
        """Whether a step that lost is known for certain, where length explodes."""
        return self._trainer.problem.explodes and self._trainer.settings.groups is None

    def _has_fallen(self):
        """Tell whether the last step lost, of a value that is exact."""
        before, last = (record["objective/value"] for record in self._trainer.history[-2:])
        return last <= before

    def _shrink_step(self):
        """Lower the rate by another iteration in which batches did not agree, or that lost."""
        update = self._trainer.update
        update.decay_start = (update.decay_start or 0) + 1
        n_each = 4.0 if self._knows_value else 0.5 * self._window
        shrunk = 1.0 + update.decay_start / n_each
        if self._trainer.settings.grows:
            # Batches grow instead: the mean of places needs steps that forget the earlier ones.
            shrunk = np.sqrt(shrunk)
            if update.decay_start % self._window == 0:
                self._trainer.grow_batch()
        update.learning_rate = float(self._first_rate / shrunk)

    def _floor(self):
        """Return the predicted distance to the best policy at which the step hovers."""
        trainer = self._trainer
        n, rate = trainer.settings.n_rollouts, trainer.update.learning_rate
        length = trainer.problem.objective.expected_length(trainer.log_prob)
        expected = trainer.problem.objective.occurrences(trainer.log_prob, n)
        damping = trainer.update.damping(length)
        effective = float(np.minimum(1.0, expected / damping).sum())
        variance = self._unbiased(self._latest("shaped_reward_std") ** 2)
        floor = rate / (2.0 - rate) * effective * variance
        return floor / (2.0 * trainer.problem.temperature * n)
