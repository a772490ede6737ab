"""When sampling noise is all that is left of the distance to the optimum."""

import numpy as np

from sklearn_codex._policy.training import Trainer

# Documents after which a reward that was the same for all is believed to be constant.
_ENOUGH_DOCUMENTS = 4096
# Documents from which a variance is taken: a few may have the same reward by chance.
_FEWEST_DOCUMENTS = 256


class NoiseSchedule:
    """Tells when sampling noise, not distance, is what is left, and shrinks the step then.

    A reward that does not add over tokens leaves variance in the shaped reward at the optimum. The
    step then hovers around it at a distance of about
    eta / (2 - eta) * V_eff * Var(S) / (2 kl_coef N). When the standard deviation of S no longer
    falls, the learning rate is divided by a growing number, until that distance is below ``tol``
    times the improvement made so far. Training also ends when the certificate itself, with three
    standard errors, is below that: a reward that adds over tokens unknown to us gets there. Both
    are means over the latest batches, 256 documents at least. Neither holds of a reward that was
    the same for all documents so far: it may be paid for rare ones.
    """

    def __init__(self, trainer: Trainer, tol: float, first_rate: float):
        self._trainer = trainer
        self._tol = tol
        self._first_rate = first_rate
        n_rollouts = trainer.settings.n_rollouts
        self._window = max(20, -(-len(trainer.log_prob) // n_rollouts))
        self._n_pooled = -(-_FEWEST_DOCUMENTS // n_rollouts)

    def converged(self) -> bool:
        """Adapt the learning rate after an iteration; return whether training may stop."""
        if len(self._trainer.history) <= self._n_pooled:
            return False
        if self._trainer.n_sequences < _ENOUGH_DOCUMENTS and not self._has_varied():
            return False
        error = np.sqrt(np.mean(self._latest("optimality_gap_se") ** 2) / self._n_pooled)
        certified = self._unbiased(self._latest("optimality_gap")) + 3.0 * error
        enough = max(self._tol * self._improvement(), self._trainer.negligible_gap())
        return certified <= enough or (self._only_noise_is_left() and self._floor() <= enough)

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

    def _improvement(self):
        """Return what training has gained so far, from the mean of the last values."""
        history = self._trainer.history
        values = [record["objective/value"] for record in history[1:][-self._window :]]
        gained = np.mean(values) - history[1]["objective/value"]
        # Where the KL is dear, the gain drowns in the noise of the first value; it is then as large
        # as what the policy pays for its distance from the reference.
        paid = self._trainer.problem.objective.kl_coef * history[-1]["objective/kl_exact"]
        return float(max(gained, paid))

    def _only_noise_is_left(self):
        """Tell whether the deviation of the shaped reward no longer falls; shrink the step then."""
        history, window = self._trainer.history, self._window
        n = len(history) - 1
        start = self._trainer.update.decay_start
        if start is None:
            if n < 2 * window:
                return False
            stds = [record["objective/shaped_reward_std"] for record in history[-2 * window :]]
            before, after = np.median(stds[:window]), np.median(stds[window:])
            if 0 < after <= 0.95 * before:
                return False
            self._trainer.update.decay_start = start = n
        self._trainer.update.learning_rate = self._first_rate / (1.0 + 2.0 * (n - start) / window)
        return True

    def _floor(self):
        """Return the predicted distance to the best policy at which the step hovers."""
        trainer = self._trainer
        n, rate = trainer.settings.n_rollouts, trainer.update.learning_rate
        length = trainer.problem.objective.expected_length(trainer.log_prob)
        expected = n * length * np.exp(trainer.log_prob)
        damping = trainer.update.damping(length)
        effective = float(np.minimum(1.0, expected / damping).sum())
        variance = self._unbiased(self._latest("shaped_reward_std") ** 2)
        floor = rate / (2.0 - rate) * effective * variance
        return floor / (2.0 * trainer.problem.temperature * n)
