"""The loss of votes that may say that both responses are bad: Davidson's with a fourth outcome."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from sklearn_codex._categorical import FloatArray, normalize_rows
from sklearn_codex._ratings.labels import BAD
from sklearn_codex._solve.newton import Point, SmoothLoss


@dataclass(frozen=True)
class BothBadCurvature:
    """Hessian of a :class:`BothBadLoss`, by the second derivatives of votes.

    Attributes
    ----------
    loss : BothBadLoss
        Of which.
    second : ndarray of shape (3, 3, n)
        Second derivatives of weighted votes by margin, tie and badness.
    """

    loss: Any
    second: FloatArray

    def product(self, direction):
        """Return H d (V + 2,) and, computed on the way, how d moves what votes follow (3, n)."""
        moved = self.loss.predictors(direction)
        pull = self.loss.penalty * direction[:-2]
        result = self.loss.spread(np.einsum("jkn,kn->jn", self.second, moved))
        result[:-2] += pull
        return result, moved

    def diagonal(self):
        """Return the diagonal of H (V + 2,)."""
        design, level = self.loss.design, self.loss.level
        weights = design.power(2).T @ self.second[0, 0] + level.power(2).T @ self.second[2, 2]
        weights -= 2 * (design.multiply(level).T @ self.second[0, 2])
        return np.append(weights + self.loss.penalty, np.diagonal(self.second.sum(axis=2))[1:])


class BothBadLoss(SmoothLoss):
    r"""Penalised negative log-likelihood of votes for A, for B, for a tie and that both are bad.

    Parameters
    ----------
    design, level : csr_array of shape (n, V)
        What makes margins m = D w, and levels l = L w, the mean rating of the two models.
    outcome : ndarray of int of shape (n,)
        0 where B, 1 where neither, 2 where A is preferred, 3 where both are bad.
    sample_weight : ndarray of shape (n,)
        Weights of votes.
    penalty : ndarray of shape (V,)
        Factor q of the penalty for each weight.

    Notes
    -----
    With parameters w (V,), t and u,

    .. math::
        P(A) : P(\text{tie}) : P(B) : P(\text{bad}) = e^{m / 2} : e^t : e^{-m / 2} : e^{u - l},

    and :math:`f(w, t, u) = -\sum_i s_i \log P(y_i) + \tfrac{1}{2} \sum_j q_j w_j^2`, which is
    convex. t is :math:`-\infty`, and stays, where no vote is a tie.
    """

    def __init__(self, design, level, outcome, sample_weight, *, penalty):
        self.design, self.level = design, level
        self.weight, self.penalty = sample_weight, penalty
        self.outcome = outcome
        self.is_outcome = (outcome == np.arange(4)[:, np.newaxis]).astype(np.float64)  # (4, n)

    def start(self):
        """Return parameters (V + 2,) without margins, and the outcomes as often as they are."""
        share = self.is_outcome @ self.weight
        with np.errstate(divide="ignore"):
            ends = np.log(2 * share[[1, BAD]] / (share[0] + share[2]))
        return np.append(np.zeros(self.design.shape[1]), ends)

    def predictors(self, weights):
        """Return what is linear in parameters (V + 2,): margin, tie and badness (3, n)."""
        margin = self.design @ weights[:-2]
        badness = weights[-1] - self.level @ weights[:-2]
        return np.stack([margin, np.full_like(margin, weights[-2]), badness])

    def spread(self, moved):
        """Return the transpose of ``predictors`` at (3, n), as (V + 2,)."""
        weights = self.design.T @ moved[0] - self.level.T @ moved[2]
        return np.append(weights, moved[1:].sum(axis=1))

    @staticmethod
    def log_prob(margin, tie, badness):
        """Return log P of B, tie, A and both bad (n, 4); tie is one number, or (n,)."""
        utility = np.column_stack(
            [-margin / 2, np.broadcast_to(tie, margin.shape), margin / 2, badness]
        )
        return normalize_rows(utility)

    def at(self, weights, margins=None):
        """Return f at (w, t, u), where ``margins`` are the predictors (3, n)."""
        predictors = self.predictors(weights) if margins is None else margins
        chosen = self.log_prob(*predictors)[np.arange(len(self.outcome)), self.outcome]
        pull = 0.5 * np.sum(self.penalty * weights[:-2] ** 2)
        return Point(weights, predictors, float(pull - np.sum(self.weight * chosen)))

    def first_derivatives(self, predictors):
        """Return derivatives of -log P by margin, tie and badness (3, n)."""
        b, tie, a, bad = np.exp(self.log_prob(*predictors)).T - self.is_outcome
        return np.stack([(a - b) / 2, tie, bad])

    def second_derivatives(self, predictors):
        """Return second derivatives of -log P by margin, tie and badness (3, 3, n)."""
        b, tie, a, bad = np.exp(self.log_prob(*predictors)).T
        by_tie, by_bad = (b - a) * tie / 2, (b - a) * bad / 2
        # (a + b) - (a - b)^2, without cancellation where one of them is nearly 1.
        margin = a * b + (a + b) * (tie + bad) / 4
        return np.array(
            [
                [margin, by_tie, by_bad],
                [by_tie, tie * (a + b + bad), -tie * bad],
                [by_bad, -tie * bad, bad * (a + b + tie)],
            ]
        )

    def derivatives(self, point):
        """Return the gradient (V + 2,) and the Hessian."""
        gradient = self.spread(self.weight * self.first_derivatives(point.margins))
        gradient[:-2] += self.penalty * point.weights[:-2]
        second = self.weight * self.second_derivatives(point.margins)
        return gradient, BothBadCurvature(self, second)
