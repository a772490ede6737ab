"""When GRPO is where it rests, which is not where the objective is greatest."""

import numpy as np

from sklearn_codex._categorical import FloatArray
from sklearn_codex._policy.group_rest import group_rest
from sklearn_codex._policy.noise_schedule import NoiseSchedule, middle
from sklearn_codex._policy.ppo import NEGLIGIBLE_KL
from sklearn_codex._policy.training import Trainer

# Windows of batches that do not agree where to go after which a policy is believed to hover.
_LONG = 2


class RestSchedule(NoiseSchedule):
    """Shrinks the step as :class:`NoiseSchedule` does, by the way from the reference to the rest.

    The gradients are those of the algorithm, so batches agree until it is where it rests. Where
    that is known, training may end when KL(policy || rest), of the policy or of the mean of where
    it hovers, is below ``tol`` times KL(reference || rest). Else when what is left, in the unit of
    ``kl_coef`` times a KL, is below ``tol`` times what the policy pays for its distance from the
    reference. It also ends where documents that nothing cuts are longer than ``longest``: the KL
    of a token in the loss does not see that it leads to the KL of later ones, so that length may
    have no bound. And where length explodes, so that documents are cut, when it stays where it is.
    """

    def __init__(self, trainer: Trainer, longest: float):
        super().__init__(trainer)
        assert trainer.settings.groups is not None
        self.rest = group_rest(trainer.problem, trainer.settings.groups)
        self._whole = self.distance(trainer.problem.start)
        self._longest = longest
        self._note()

    def distance(self, log_prob: FloatArray) -> float | None:
        """Return KL(policy || rest) of a document, in nats, None where the rest is not known."""
        return rest_gap(self._trainer, self.rest, log_prob)

    def has_converged(self) -> bool:
        """Adapt the step after an iteration; return whether training may stop."""
        trainer = self._trainer
        if trainer.contradicted:
            self.rest = None
        gap = self._note()
        adapts = trainer.settings.schedule == "adaptive" and not trainer.moves_kl_coef
        is_close = adapts and self.converged()
        if explodes(trainer, self._longest):
            return True
        if trainer.settings.tol == 0 or trainer.adapts:
            return False
        if gap is None:
            trainer.is_stuck = trainer.problem.explodes and not is_close and self._stays()
            return is_close or trainer.is_stuck
        assert self._whole is not None
        assert self.rest is not None
        enough = max(trainer.settings.tol * self._whole, NEGLIGIBLE_KL)
        if gap <= enough or not trainer.update.decay_start:
            return gap <= enough
        # The middle of where it hovers, which is what is kept then.
        return mean_gap(trainer, self.rest) <= enough

    def _stays(self):
        """Tell whether batches did not agree where to go for long, or exact figures did not move.

        To come to rest by smaller and smaller steps is worth no minutes where documents are cut.
        Where steps do not get smaller, figures may hover by as much as chance does.
        """
        trainer, n = self._trainer, self._window
        if (trainer.update.decay_start or 0) >= _LONG * n:
            return True
        latest = trainer.history[1:][-2 * n :]
        if len(latest) < 2 * n:
            return False
        paid = trainer.problem.temperature
        figures = np.array(
            [(row["objective/value"], paid * row["objective/kl_exact"]) for row in latest]
        ).reshape(2, n, 2)
        moved = np.abs(np.diff(figures.mean(axis=1), axis=0)[0])
        chance = np.zeros(2)
        if trainer.settings.schedule != "adaptive":
            chance = np.sqrt(figures.var(axis=1, ddof=1).sum(axis=0) / n)
        return bool((moved <= np.maximum(self.enough(), chance)).all())

    def _note(self):
        """Record how far the policy is from the rest."""
        gap = self.distance(self._trainer.recorded_log_prob)
        if gap is not None:
            self._trainer.history[-1]["objective/fixed_point_gap"] = gap
        return gap

    def improvement(self) -> float:
        """Return what the policy pays for its distance from the reference."""
        trainer = self._trainer
        return trainer.problem.temperature * float(trainer.history[-1]["objective/kl_exact"])

    def _floor(self):
        """Return the predicted distance to the rest at which the step hovers."""
        rate = self._trainer.update.learning_rate
        return rate / (2.0 - rate) * self._trainer.drift.noise_of_batch()


def explodes(trainer: Trainer, longest: float) -> bool:
    """Tell whether documents that nothing cuts are expected to be longer than this."""
    is_uncut = trainer.problem.objective.longest is None
    return bool(is_uncut and trainer.history[-1]["objective/length"] > longest)


def mean_gap(trainer: Trainer, rest: FloatArray) -> float:
    """Return KL(policy || rest) of the mean of where the policy hovers."""
    mean = middle(trainer)
    gap = None if mean is None else rest_gap(trainer, rest, mean)
    return np.inf if gap is None else gap


def rest_gap(trainer: Trainer, rest: FloatArray | None, log_prob: FloatArray) -> float | None:
    """Return KL(policy || rest) of a document, in nats, None where the rest is not known."""
    if rest is None or trainer.moves_kl_coef:
        return None
    at_rest = trainer.problem.objective.having(
        reference_log_prob=rest, token_reward=np.zeros_like(rest), penalty=None
    )
    return float(at_rest.kl(log_prob))
