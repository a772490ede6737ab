"""The Bradley-Terry loss of pairs in partitions: a sum over partitions, each of them a local loss.

The solver sees a loss like any other. Margins are linear in the weights, so where it holds margins
it is given the weights they belong to: no vector as long as the pairs is ever gathered.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np

from sklearn_codex._categorical import FloatArray
from sklearn_codex._partitions import reduce_kept
from sklearn_codex._reward.bradley_terry import BradleyTerryLoss, FitState
from sklearn_codex._solve.fit_monitor import describe

MEANS = ("loss", "accuracy", "margin")


class PartitionedDesign:
    """The products of a design that exists in partitions only.

    Parameters
    ----------
    losses : list of delayed BradleyTerryLoss or None
        One for each partition, without penalty.
    shape : tuple of int
        Number of pairs and of weights.
    """

    def __init__(self, losses: Sequence, shape: tuple[int, int]):
        self.losses = losses
        self.shape = shape

    def column_squares(self, weights):
        """Return the diagonal (V,) of D' diag(h) D with h the curvature at these weights."""
        return reduce_kept(partial(_column_squares, weights), self.losses)[0]

    def gram(self, weights):
        """Return D' diag(h) D (V, V) with h the curvature at these weights."""
        return reduce_kept(partial(_gram, weights), self.losses)[0]

    def tells_labels(self, weights):
        """Return whether no label is soft and every margin of these weights has its side."""
        return reduce_kept(partial(_least_agreement, weights), self.losses, combine=min) > 0


class PartitionedLoss(BradleyTerryLoss):
    """The penalised loss of :class:`BradleyTerryLoss`, its pairs being in partitions.

    What the solver calls margins, their curvature and the margins of a direction are weights (V,).
    One pass over the partitions gives all that is asked of one point, another each product with the
    Hessian.

    Parameters
    ----------
    design : PartitionedDesign
    penalty : ndarray of shape (V,)
        As in :class:`BradleyTerryLoss`.
    """

    def __init__(self, design, penalty):
        self.design = design
        self.penalty = penalty
        self._point = None
        self._sums = None

    def _at(self, weights):
        """Return value, gradient, Hessian diagonal and means of the data at weights."""
        if self._point is None or not np.array_equal(weights, self._point):
            self._sums = reduce_kept(partial(_evaluate, weights), self.design.losses)
            self._point = weights.copy()
        return self._sums

    def margins(self, weights):
        """Return the weights that stand for their margins (V,)."""
        return weights.copy()

    def curvature(self, margins):
        """Return the weights that stand for the curvature of their margins (V,)."""
        return margins

    def value(self, weights, margins):
        """Return f(w)."""
        return self._at(margins)[0] + 0.5 * float(np.sum(self.penalty * weights**2))

    def gradient(self, weights, margins):
        """Return the gradient of f (V,)."""
        return self._at(margins)[1] + self.penalty * weights

    def hessian_diagonal(self, curvature):
        """Return the diagonal of the Hessian (V,)."""
        return self._at(curvature)[2] + self.penalty

    def hessian_product(self, curvature, direction):
        """Return H d (V,), and d, which stands for D d."""
        product = reduce_kept(partial(_hessian_product, curvature, direction), self.design.losses)
        return product[0] + self.penalty * direction, direction.copy()

    def describe(self, state: FitState) -> dict:
        """Return the record of an iteration, as ``describe`` of pairs in memory."""
        weight, *sums = self._at(state.margins)[3]
        means = {name: float(total / weight) for name, total in zip(MEANS, sums, strict=True)}
        return {
            "iteration": state.iteration,
            "objective": state.objective,
            "gradient_norm": state.gradient_norm,
            **means,
        }


def _evaluate(weights: FloatArray, loss: BradleyTerryLoss):
    margins = loss.margins(weights)
    curvature = loss.curvature(margins)
    weight = loss.pair_weight
    mean_loss = float(np.average(loss.pair_losses(margins), weights=weight))
    state = FitState(0, weights, margins, objective=0.0, gradient_norm=0.0, converged=False)
    record = describe(state, loss.target, weight, mean_loss)
    means = np.array([1.0, *(record[name] for name in MEANS)])
    return (
        loss.value(weights, margins),
        loss.gradient(weights, margins),
        loss.hessian_diagonal(curvature),
        weight.sum() * means,
    )


def _hessian_product(weights, direction, loss):
    curvature = loss.curvature(loss.margins(weights))
    return (loss.hessian_product(curvature, direction)[0],)


def _column_squares(weights, loss):
    return (loss.design.column_squares(loss.curvature(loss.margins(weights))),)


def _gram(weights, loss):
    return (loss.design.gram(loss.curvature(loss.margins(weights))),)


def _least_agreement(weights, loss):
    counted = loss.pair_weight > 0
    side = 2 * loss.target[counted] - 1
    agreement = np.where(np.abs(side) == 1, side * loss.margins(weights)[counted], -np.inf)
    return float(agreement.min())
