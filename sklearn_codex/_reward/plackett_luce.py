"""Plackett-Luce maths: the penalised log-loss of rankings, whose utilities are linear in weights.

Rankings are held as matrices (K, G), a column for each choice set, the best item first.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from sklearn_codex._categorical import FloatArray
from sklearn_codex._solve.newton import Point, SmoothLoss


@dataclass(frozen=True)
class Rankings:
    """Choice sets in the order of preference.

    Attributes
    ----------
    rows : ndarray of int of shape (K, G)
        The item at each place of each set; where a set has fewer than K, any.
    present : ndarray of bool of shape (K, G)
        Whether there is an item.
    choices : ndarray of shape (K, G)
        Weight of the items chosen, at this place, from those here and below: that of more than one
        where items are equal, 0 within and at the last level.
    chosen : ndarray of shape (K, G)
        Weight of the item where it is above the last level, else 0.
    log_weight : ndarray of shape (K, G)
        Log of the weight of the item over the mean of its set.
    """

    rows: np.ndarray
    present: np.ndarray
    choices: FloatArray
    chosen: FloatArray
    log_weight: FloatArray

    @property
    def n_choices(self) -> int:
        """Number of choices in all sets."""
        return int(np.count_nonzero(self.chosen))

    @property
    def total_weight(self) -> float:
        """Weight of the choices in all sets."""
        return float(self.chosen.sum())


def arrange_rankings(
    relevance: FloatArray, codes: np.ndarray, weight: FloatArray | None = None
) -> Rankings:
    """Order the items of each choice set.

    Parameters
    ----------
    relevance : ndarray of shape (n_items,)
        The greater, the better.
    codes : ndarray of int of shape (n_items,)
        The set of each item, from 0.
    weight : ndarray of shape (n_items,), default=None
        Positive weights of items; None means 1.
    """
    sizes = np.bincount(codes)
    order = np.lexsort((-relevance, codes))
    columns = codes[order]
    places = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    shape = (int(sizes.max()), len(sizes))
    rows, present = np.zeros(shape, dtype=np.intp), np.zeros(shape, dtype=bool)
    rows[places, columns], present[places, columns] = order, True
    value = np.where(present, relevance[rows], -np.inf)
    lowest = np.min(np.where(present, value, np.inf), axis=0)
    weights = np.where(present, 1.0 if weight is None else weight[rows], 0.0)
    relative = np.where(present, weights * sizes / weights.sum(axis=0), 1.0)
    chosen = np.where(present & (value > lowest), weights, 0.0)
    is_first = np.ones(shape, dtype=bool)
    is_first[1:] = value[1:] < value[:-1]
    # Equal items are counted at the first of them.
    first = np.maximum.accumulate(np.where(is_first, np.arange(shape[0])[:, np.newaxis], 0), axis=0)
    choices = np.zeros(shape)
    np.add.at(choices, (first, np.arange(shape[1])[np.newaxis]), chosen)
    return Rankings(rows, present, choices, chosen, np.log(relative))


@dataclass(frozen=True)
class Stages:
    """Choice probabilities at some weights.

    Attributes
    ----------
    log_total : ndarray of shape (K, G)
        Log of the sum of exp(utility) of the items here and below.
    here : ndarray of shape (K, G)
        Probability that the item here is chosen from those here and below.
    below : ndarray of shape (K, G)
        Probability that one below is.
    """

    log_total: FloatArray
    here: FloatArray
    below: FloatArray


@dataclass(frozen=True)
class RankingCurvature:
    """Hessian of a Plackett-Luce loss."""

    loss: Any
    stages: Stages

    def product(self, direction):
        """Return H d (V,) and, computed on the way, D d (n_items,)."""
        loss = self.loss
        image = loss.design.matvec(direction)
        moved = loss.arrange(image)
        mean = moved * self.stages.here
        for place in range(len(mean) - 2, -1, -1):
            mean[place] += self.stages.below[place] * mean[place + 1]
        weights = self.stages.here * (
            loss.sum_choices(self.stages, np.ones_like(mean)) * moved
            - loss.sum_choices(self.stages, mean)
        )
        return loss.C * loss.design.rmatvec(loss.by_item(weights)) + direction, image

    def diagonal(self):
        """Return the diagonal of H without what the mean of a choice takes off (V,)."""
        loss = self.loss
        expected = self.stages.here * loss.sum_choices(self.stages, np.ones_like(self.stages.here))
        return loss.C * loss.design.column_squares(loss.by_item(expected)) + 1.0


class PlackettLuceLoss(SmoothLoss):
    r"""Penalised Plackett-Luce log-loss.

    Parameters
    ----------
    design : operator of shape (n_items, V)
        Turns weights into utilities, which the solver calls margins.
    rankings : Rankings
        The choice sets.
    C : float
        Inverse strength of the penalty.

    Notes
    -----
    With utilities u = Phi w, weights s of mean t in a set, and for each chosen item i of a set the
    items R_i that are not above it,

    .. math::
        f(w) = C \sum_i s_i [\log \sum_{j \in R_i} (s_j / t) e^{u_j} - u_i]
        + \tfrac{1}{2} \|w\|^2.
    """

    def __init__(self, design, rankings: Rankings, *, C: float = 1.0):
        self.design = design
        self.rankings = rankings
        self.C = C

    def arrange(self, values: FloatArray) -> FloatArray:
        """Return values of items (n_items,) at their places (K, G), 0 where there is none."""
        return np.where(self.rankings.present, values[self.rankings.rows], 0.0)

    def by_item(self, values: FloatArray) -> FloatArray:
        """Return values at places (K, G) for each item (n_items,)."""
        items = np.zeros(self.design.shape[0])
        present = self.rankings.present
        items[self.rankings.rows[present]] = values[present]
        return items

    def stages(self, utilities: FloatArray) -> Stages:
        """Return the choice probabilities of utilities (n_items,)."""
        present = self.rankings.present
        utility = self.arrange(utilities) + self.rankings.log_weight
        utility = np.where(present, utility, -np.inf)
        log_total = np.logaddexp.accumulate(utility[::-1], axis=0)[::-1]
        after = np.vstack([log_total[1:], np.full((1, utility.shape[1]), -np.inf)])
        log_total = np.where(present, log_total, 0.0)
        return Stages(log_total, np.exp(utility - log_total), np.exp(after - log_total))

    def sum_choices(self, stages: Stages, values: FloatArray) -> FloatArray:
        """Return, at each place, the sum over choices not below it of a value of the choice.

        Each is weighted with the probability that those between are not chosen, so that times
        ``here`` it is weighted with the probability of the item.
        """
        total = self.rankings.choices * values
        for place in range(1, len(total)):
            total[place] += stages.below[place - 1] * total[place - 1]
        return total

    def log_loss(self, utilities, stages=None):
        """Return the sum of -log P of all choices, in nats."""
        stages = self.stages(utilities) if stages is None else stages
        rankings = self.rankings
        return float(
            np.sum(rankings.choices * stages.log_total)
            - np.sum(rankings.chosen * self.arrange(utilities))
        )

    def at(self, weights, margins=None):
        """Return f at w."""
        utilities = self.design.matvec(weights) if margins is None else margins
        stages = self.stages(utilities)
        value = self.C * self.log_loss(utilities, stages) + 0.5 * float(np.sum(weights**2))
        return Point(weights, utilities, value, kept=stages)

    def derivatives(self, point):
        """Return the gradient (V,) and the Hessian."""
        stages = point.kept
        expected = stages.here * self.sum_choices(stages, np.ones_like(stages.here))
        residual = self.by_item(expected - self.rankings.chosen)
        gradient = self.C * self.design.rmatvec(residual) + point.weights
        return gradient, RankingCurvature(self, stages)
