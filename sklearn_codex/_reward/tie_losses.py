"""Losses of pairs of which some are ties: Davidson's model and that of Rao and Kupper.

Both have weights w (V,) of the reward, with margins m = D w, and one parameter of ties t.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit, log_expit

from sklearn_codex._categorical import FloatArray, normalize_rows
from sklearn_codex._solve.newton import Point, SmoothLoss

B, TIE, A = 0, 1, 2


@dataclass(frozen=True)
class TieCurvature:
    """Hessian of a tie loss, by its second derivatives for each pair.

    Attributes
    ----------
    design : MarginOperator of shape (n_pairs, V)
        D.
    margin, cross : ndarray of shape (n_pairs,)
        Second derivatives by m and m, and by m and t.
    tie : float
        That by t and t, summed.
    penalty : ndarray of shape (V,)
        q.
    """

    design: Any
    margin: FloatArray
    cross: FloatArray
    tie: float
    penalty: FloatArray

    def product(self, direction):
        """Return H d (V + 1,) and, computed on the way, D d (n_pairs,)."""
        moved = self.design.matvec(direction[:-1])
        weights = self.design.rmatvec(self.margin * moved + self.cross * direction[-1])
        weights += self.penalty * direction[:-1]
        by_tie = np.sum(self.cross * moved) + self.tie * direction[-1]
        return np.append(weights, by_tie), moved

    def diagonal(self):
        """Return the diagonal of H (V + 1,)."""
        return np.append(self.design.column_squares(self.margin) + self.penalty, self.tie)


class TieLoss(SmoothLoss):
    r"""Penalised negative log-likelihood of outcomes with ties. Derived classes have the model.

    Parameters
    ----------
    design : MarginOperator of shape (n_pairs, V)
        Turns weights into margins.
    outcome : ndarray of int of shape (n_pairs,)
        0 where B, 1 where neither, 2 where A is preferred.
    sample_weight : ndarray of shape (n_pairs,)
        Weights of pairs.
    C : float
        Inverse strength of the penalty.
    penalty : ndarray of shape (V,), default=None
        Factor q of the penalty for each weight; 0 leaves a weight free. None means 1.

    Notes
    -----
    .. math::
        f(w, t) = -C \sum_i s_i \log P(y_i \mid m_i, t) + \tfrac{1}{2} \sum_j q_j w_j^2,
        \quad m = D w.

    It is convex in (w, t) together for both models.
    """

    def __init__(self, design, outcome, sample_weight, *, C=1.0, penalty=None):
        self.design = design
        self.outcome = outcome
        self.weight = C * sample_weight  # (n_pairs,)
        self.penalty = np.ones(design.shape[1]) if penalty is None else penalty
        self.is_a, self.is_tie, self.is_b = (
            (outcome == kind).astype(np.float64) for kind in (A, TIE, B)
        )

    @staticmethod
    def in_domain(t: float) -> bool:
        """Return whether t is a parameter."""
        raise NotImplementedError

    @staticmethod
    def initial_tie(tie_share: float) -> float:
        """Return t where a part of pairs without margin are ties."""
        raise NotImplementedError

    @staticmethod
    def log_prob(margin: FloatArray, t: float) -> FloatArray:
        """Return log P of B, tie and A (n_pairs, 3)."""
        raise NotImplementedError

    def first_derivatives(self, margin: FloatArray, t: float) -> tuple[FloatArray, FloatArray]:
        """Return derivatives of -log P by m and by t, (n_pairs,) each."""
        raise NotImplementedError

    def second_derivatives(
        self, margin: FloatArray, t: float
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return second derivatives of -log P by m, by m and t, and by t, (n_pairs,) each."""
        raise NotImplementedError

    def at(self, weights, margins=None):
        """Return f at (w, t) (V + 1,)."""
        w, t = weights[:-1], weights[-1]
        if margins is None:
            margins = self.design.matvec(w)
        if not self.in_domain(t):
            return Point(weights, margins, np.inf)
        chosen = self.log_prob(margins, t)[np.arange(len(self.outcome)), self.outcome]
        value = float(0.5 * np.sum(self.penalty * w**2) - np.sum(self.weight * chosen))
        return Point(weights, margins, value)

    def derivatives(self, point):
        """Return the gradient (V + 1,) and the Hessian."""
        w, t = point.weights[:-1], point.weights[-1]
        by_margin, by_tie = self.first_derivatives(point.margins, t)
        gradient = self.design.rmatvec(self.weight * by_margin) + self.penalty * w
        margin, cross, tie = (
            self.weight * second for second in self.second_derivatives(point.margins, t)
        )
        curvature = TieCurvature(self.design, margin, cross, float(np.sum(tie)), self.penalty)
        return np.append(gradient, np.sum(self.weight * by_tie)), curvature


class DavidsonLoss(TieLoss):
    r"""Davidson's model, with t the logarithm of nu.

    Notes
    -----
    .. math::
        P(A) : P(\text{tie}) : P(B) = e^{m / 2} : \nu : e^{-m / 2}.
    """

    @staticmethod
    def in_domain(t):
        """Return whether t is a parameter."""
        return bool(np.isfinite(t))

    @staticmethod
    def initial_tie(tie_share):
        """Return t where a part of pairs without margin are ties."""
        return float(np.log(2 * tie_share / (1 - tie_share)))

    @staticmethod
    def log_prob(margin, t):
        """Return log P of B, tie and A (n_pairs, 3)."""
        utility = np.column_stack([-margin / 2, np.full_like(margin, t), margin / 2])
        return normalize_rows(utility)

    def first_derivatives(self, margin, t):
        """Return derivatives of -log P by m and by t, (n_pairs,) each."""
        b, tie, a = np.exp(self.log_prob(margin, t)).T
        return ((a - self.is_a) - (b - self.is_b)) / 2, tie - self.is_tie

    def second_derivatives(self, margin, t):
        """Return second derivatives of -log P by m, by m and t, and by t, (n_pairs,) each."""
        b, tie, a = np.exp(self.log_prob(margin, t)).T
        # (a + b) - (a - b)^2, without cancellation where one of them is nearly 1.
        return a * b + (a + b) * tie / 4, -(a - b) * tie / 2, tie * (a + b)


class RaoKupperLoss(TieLoss):
    r"""The model of Rao and Kupper, with t the logarithm of theta, positive.

    Notes
    -----
    .. math::
        P(A) = \sigma(m - t), \quad P(B) = \sigma(-m - t), \quad
        P(\text{tie}) = (e^{2 t} - 1) P(A) P(B).
    """

    @staticmethod
    def in_domain(t):
        """Return whether t is a parameter."""
        return bool(0 < t < np.inf)

    @staticmethod
    def initial_tie(tie_share):
        """Return t where a part of pairs without margin are ties."""
        return float(np.log1p(tie_share) - np.log1p(-tie_share))

    @staticmethod
    def log_prob(margin, t):
        """Return log P of B, tie and A (n_pairs, 3)."""
        b, a = log_expit(-margin - t), log_expit(margin - t)
        # log(e^2t - 1), which overflows in no step.
        between = 2 * t + np.log(-np.expm1(-2 * t)) if t > 0 else -np.inf
        return np.column_stack([b, between + a + b, a])

    def first_derivatives(self, margin, t):
        """Return derivatives of -log P by m and by t, (n_pairs,) each."""
        not_a = (self.is_a + self.is_tie) * expit(t - margin)
        not_b = (self.is_b + self.is_tie) * expit(t + margin)
        return not_b - not_a, not_a + not_b + self.is_tie * 2 / np.expm1(-2 * t)

    def second_derivatives(self, margin, t):
        """Return second derivatives of -log P by m, by m and t, and by t, (n_pairs,) each."""
        by_a = (self.is_a + self.is_tie) * expit(t - margin) * expit(margin - t)
        by_b = (self.is_b + self.is_tie) * expit(t + margin) * expit(-margin - t)
        both = by_a + by_b
        return both, by_b - by_a, both - self.is_tie * 4 / (np.expm1(2 * t) * np.expm1(-2 * t))


TIE_LOSSES = {"davidson": DavidsonLoss, "rao-kupper": RaoKupperLoss}
