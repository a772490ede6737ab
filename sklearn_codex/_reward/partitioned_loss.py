"""The loss of pairs in partitions: a sum over partitions, each with the loss of pairs in memory.

The solver sees a loss like any other, but for margins, which stay where they are: no vector as long
as the pairs is ever gathered. One pass over the partitions gives all that is asked of one point,
another each product with the Hessian.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from operator import methodcaller

import numpy as np

from sklearn_codex._categorical import FloatArray
from sklearn_codex._partitions import reduce_kept
from sklearn_codex._reward.targets import PreferenceLabels
from sklearn_codex._solve.conjugate_gradients import dot
from sklearn_codex._solve.newton import Point, SmoothLoss

MEANS = ("loss", "accuracy", "margin")


@dataclass(frozen=True)
class PartitionedProblem:
    """Training data in partitions, which offer a fit what those of a ``TrainingProblem`` do.

    Attributes
    ----------
    parts : list of delayed TrainingProblem or None
        One for each partition, without penalty.
    labels : PreferenceLabels
        Stand for all of them: same classes, least and greatest target.
    penalty : ndarray of shape (V + k,)
        1 for weights of the reward, 0 for nuisances.
    """

    parts: Sequence
    labels: PreferenceLabels
    penalty: FloatArray
    pairs: None = None

    @property
    def weight(self) -> FloatArray:
        """Those of the labels, which all count."""
        return np.ones(len(self.labels.target))

    def make_loss(self, C: float) -> "PartitionedLoss":
        """Return the loss of the pairs."""
        return PartitionedLoss(self.parts, C, self.penalty)

    def is_told_by(self, biases: FloatArray) -> bool:
        """Return whether what nuisances (k,) add to the margins has the side of all labels."""
        return reduce_kept(methodcaller("is_told_by", biases), self.parts, combine=all)


class PartitionedLoss(SmoothLoss):
    """The penalised loss of :class:`BradleyTerryLoss`, its pairs being in partitions.

    Parameters
    ----------
    parts : list of delayed TrainingProblem or None
        One for each partition, without penalty.
    C : float
        Inverse strength of the penalty.
    penalty : ndarray of shape (V,)
        Factors of the penalty.
    """

    def __init__(self, parts: Sequence, C: float, penalty: FloatArray):
        self.parts = parts
        self.C = C
        self.penalty = penalty
        self.n_features = len(penalty)

    def at(self, weights: FloatArray, margins: FloatArray | None = None) -> Point:
        """Return the loss at weights, by the pass that its derivatives need as well."""
        value, *sums = _sum_at(_evaluate, self, weights)
        value += 0.5 * dot(self.penalty, weights**2)
        return Point(weights, np.zeros(0), value, kept=sums)

    def derivatives(self, point: Point) -> "tuple[FloatArray, PartitionedCurvature]":
        """Return the gradient (V,) and the Hessian."""
        gradient, diagonal, _ = point.kept
        curvature = PartitionedCurvature(self, point.weights, diagonal)
        return gradient + self.penalty * point.weights, curvature

    def describe(self, point: Point) -> dict[str, float]:
        """Return what ``history_`` has of the pairs."""
        weight, *sums = point.kept[-1]
        return {name: float(total / weight) for name, total in zip(MEANS, sums, strict=True)}


@dataclass(frozen=True)
class PartitionedCurvature:
    """Hessian of a partitioned loss.

    Attributes
    ----------
    loss : PartitionedLoss
        Of which.
    weights : ndarray of shape (V,)
        At which weights.
    of_pairs : ndarray of shape (V,)
        The part of its diagonal that is of the pairs.
    """

    loss: PartitionedLoss
    weights: FloatArray
    of_pairs: FloatArray

    def product(self, direction: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return H d (V,), and nothing (0,) in the place of D d, which stays in the partitions."""
        (product,) = _sum_at(partial(_multiply, direction), self.loss, self.weights)
        return product + self.loss.penalty * direction, np.zeros(0)

    def diagonal(self) -> FloatArray:
        """Return the diagonal of the Hessian (V,)."""
        return self.add_to(self.loss.penalty)

    def add_to(self, precision: FloatArray) -> FloatArray:
        """Return a precision, (V,) or (V, V), with that of the pairs added."""
        if precision.ndim == 1:
            return precision + self.of_pairs
        return precision + _sum_at(_form, self.loss, self.weights)[0]


def _sum_at(function, loss, weights):
    """Return the sums of a function of the loss of each partition and of weights."""
    return reduce_kept(partial(_call_at, function, loss.C, weights), loss.parts)


def _call_at(function, C, weights, problem):
    return function(problem.make_loss(C), weights)


def _evaluate(loss, weights):
    point = loss.at(weights)
    gradient, curvature = loss.derivatives(point)
    means = loss.describe(point)
    sums = loss.weight.sum() * np.array([1.0, *(means[name] for name in MEANS)])
    return point.value, gradient, curvature.diagonal(), sums


def _multiply(direction, loss, weights):
    return (loss.curvature(loss.design.matvec(weights)).product(direction)[0],)


def _form(loss, weights):
    nothing = np.zeros((len(weights), len(weights)))
    return (loss.curvature(loss.design.matvec(weights)).add_to(nothing),)
