"""KTO maths: the loss of documents that are desirable or not, each by itself, and derivatives.

The loss is one of the implicit rewards of documents, which are linear in their counts; how the
rewards of columns depend on the weights of a policy is its family's to say.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from sklearn_codex._categorical import FloatArray
from sklearn_codex._policy.tilts import Tilt, TiltPoint
from sklearn_codex._solve.fit_monitor import describe_pairs
from sklearn_codex._solve.newton import MarginOperator, Point

_GREATEST = 1e300


def kto_loss(margin: FloatArray, up: FloatArray, down: FloatArray):
    """Return a (1 - sigma(m)) + c (1 - sigma(-m)) and its two derivatives by m.

    Parameters
    ----------
    margin : ndarray of shape (n_documents,)
        m, the implicit reward less the reference point.
    up, down : ndarray of shape (n_documents,)
        a and c, the weights of a document as a desirable and as an undesirable one.
    """
    good, bad = expit(margin), expit(-margin)
    slope = (down - up) * good * bad
    return up * bad + down * good, slope, slope * (bad - good)


@dataclass(frozen=True, kw_only=True)
class _Point(Point):
    """The loss at some weights, with all that its derivatives share."""

    policy: TiltPoint
    reference_point: float | FloatArray
    gradient: FloatArray  # (n_weights,)
    curvature: FloatArray  # (n_documents,)
    column_slopes: FloatArray  # (n_columns,)


class DesirabilityLoss:
    r"""Penalised loss of a policy on desirable and undesirable documents, at a reference point.

    Parameters
    ----------
    design : MarginOperator of shape (n_documents, n_columns)
        Multiplies the counts of documents.
    target : ndarray of shape (n_documents,)
        Probability p that a document is desirable.
    sample_weight : ndarray of shape (n_documents,)
        Weights s of documents.
    tilt : Tilt
        The family of policies.
    C : float
        Inverse strength of the penalty; infinite for none.
    desirable_weight, undesirable_weight : float
        Weights D and U of the two kinds.
    reference_point : float or ndarray of shape (n_documents,), default=0.0
        z, which is held fixed, of all documents or of each.

    Notes
    -----
    With the implicit rewards :math:`\rho(w)` of the columns, which the tilt knows, and their
    Jacobian J, the rewards of documents of counts N are :math:`r = N \rho(w)` and

    .. math:: f(w) = \sum_i s_i \bigl(D p_i (1 - \sigma(r_i - z))
        + U (1 - p_i) (1 - \sigma(z - r_i))\bigr) + \tfrac{1}{2C} \|w\|^2.

    With slopes and curvatures h of the documents' losses, the gradient of f is
    :math:`J' N' s + w / C`, its Hessian
    :math:`J' N' diag(h) N J + \sum_c (N' s)_c \nabla^2 \rho_c + I / C`.
    """

    def __init__(
        self,
        design: MarginOperator,
        target: FloatArray,
        sample_weight: FloatArray,
        tilt: Tilt,
        *,
        C: float,
        desirable_weight: float,
        undesirable_weight: float,
        reference_point: float | FloatArray = 0.0,
    ):
        self.design = design
        self.target = target
        self.sample_weight = sample_weight
        self.tilt = tilt
        self.C = C
        self.desirable_weight = desirable_weight
        self.undesirable_weight = undesirable_weight
        self.reference_point = reference_point
        # The least C that there is has an inverse beyond all floats.
        self.penalty = min(1.0 / C, _GREATEST)
        self._up = desirable_weight * target
        self._down = undesirable_weight * (1 - target)
        self._last: _Point | None = None

    def describe(self, point: _Point) -> dict[str, float]:
        """Return what ``history_`` has of the documents."""
        losses = kto_loss(point.margins, self._up, self._down)[0]
        weight = None if np.ndim(point.reference_point) == 0 else self.sample_weight
        return {
            "reference_point": float(np.average(point.reference_point, weights=weight)),
            **describe_pairs(losses, point.margins, self.target, self.sample_weight),
        }

    def at(self, weights: FloatArray) -> _Point:
        """Return the loss and what its derivatives need, computed once for the same weights."""
        if self._last is not None and np.array_equal(weights, self._last.weights):
            return self._last
        self._last = self.point(weights.copy(), self.tilt.at(weights), self.reference_point)
        return self._last

    def point(
        self, weights: FloatArray, policy: TiltPoint, reference_point: float | FloatArray
    ) -> _Point:
        """Return the loss at weights, whose policy is known, and at any reference point."""
        margins = self.design.matvec(policy.reward) - reference_point
        losses, slopes, curvature = kto_loss(margins, self._up, self._down)
        column_slopes = self.design.rmatvec(self.sample_weight * slopes)
        return _Point(
            weights,
            margins,
            float(self.sample_weight @ losses) + 0.5 * self.penalty * float(weights @ weights),
            policy=policy,
            reference_point=reference_point,
            gradient=policy.vjp(column_slopes) + self.penalty * weights,
            curvature=self.sample_weight * curvature,
            column_slopes=column_slopes,
        )

    def value(self, weights: FloatArray) -> float:
        """Return f(w)."""
        return self.at(weights).value

    def gradient(self, weights: FloatArray) -> FloatArray:
        """Return the gradient of f (n_weights,)."""
        return self.at(weights).gradient

    def hessian_product(self, weights: FloatArray, direction: FloatArray) -> FloatArray:
        """Return H d (n_weights,)."""
        return self.bent(self.at(weights), direction)

    def bent(self, point: _Point, direction: FloatArray, moved: float | FloatArray = 0.0):
        """Return how the gradient changes along a direction (n_weights,), as :math:`H d`.

        With the reference point moving along, by so much, the slopes of documents change by that
        less.
        """
        along = self.design.matvec(point.policy.jvp(direction)) - moved
        product = point.policy.vjp(self.design.rmatvec(point.curvature * along))
        bent = point.policy.hvp(point.column_slopes, direction)
        return product + bent + self.penalty * direction

    def scale(self) -> FloatArray:
        """Return roots (n_weights,) of how much weights matter at 0, for one scale of all.

        The curvature itself is 0 there, where sigmoids turn; so it is the slope that counts. Where
        each column has a weight it is that of the column; other weights share one, by what rewards
        move along the gradient.
        """
        n_weights = self.tilt.n_weights
        steepness = 0.25 * self.sample_weight * (self._up + self._down)
        if n_weights != self.design.shape[1]:
            point = self.at(np.zeros(n_weights))
            moved = self.design.matvec(point.policy.jvp(point.gradient))
            length = float(point.gradient @ point.gradient)
            mean = float(steepness @ moved**2) / length if length > 0 else 0.0
            return np.full(n_weights, np.sqrt(mean + self.penalty) or 1.0)
        diagonal = self.design.column_squares(steepness) + self.penalty
        return np.sqrt(np.where(diagonal > 0, diagonal, 1.0))

    def radius(self) -> float:
        """Return how long a step of scaled weights moves rewards by about half a nat.

        A longer one can lead to where sigmoids are flat, which looks like a rest and is none.
        """
        steepness = 0.25 * self.sample_weight * (self._up + self._down)
        return 0.5 * float(np.sqrt(steepness.sum())) or 1.0
