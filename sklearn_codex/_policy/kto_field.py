"""The field whose roots are the rest points of KTO: the gradient at the policy's own reference."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from sklearn_codex._categorical import FloatArray
from sklearn_codex._policy.kto_loss import DesirabilityLoss
from sklearn_codex._policy.kto_points import OwnPoint


class RestField:
    r"""What KTO follows, :math:`F(w) = \nabla_w f(w; z)` at :math:`z = z(w)`.

    Parameters
    ----------
    loss : DesirabilityLoss
    own : OwnPoint
        The reference point z(w) of a policy.

    Attributes
    ----------
    scale : float
        Weights are multiplied by it: places are x = w * scale.

    Notes
    -----
    No gradient goes through z, so F is that of nothing, and its derivative

    .. math:: \nabla^2_w f - J' N' diag(h) \nabla_w z

    is not symmetric, with J the Jacobian of rewards and h the curvatures of documents.
    """

    def __init__(self, loss: DesirabilityLoss, own: OwnPoint):
        self.loss, self.own, self._scales = loss, own, loss.scale()
        self.scale = float(np.max(self._scales, initial=np.finfo(np.float64).tiny))
        self.n_weights = len(self._scales)

    def norm(self, force: FloatArray) -> float:
        """Return the norm of a force (n_weights,), each column on the scale of its documents."""
        return float(np.linalg.norm(force * (self.scale / self._scales)))

    def length(self, step: FloatArray) -> float:
        """Return the length of a step (n_weights,) on that scale."""
        return float(np.linalg.norm(step * (self._scales / self.scale)))

    def at(self, x: FloatArray) -> "FieldPoint":
        """Return the field at a place (n_weights,)."""
        weights = x / self.scale
        policy = self.loss.tilt.at(weights)
        point = self.loss.point(weights, policy, self.own.at(policy))
        return FieldPoint(self, x, point)


@dataclass(frozen=True)
class FieldPoint:
    """The field at a place, and its derivatives."""

    field: RestField
    x: FloatArray  # (n_weights,)
    point: Any

    @cached_property
    def force(self) -> FloatArray:
        """F (n_weights,), by x."""
        return self.point.gradient / self.field.scale

    @cached_property
    def norm(self) -> float:
        """The norm of F; infinite where it is none."""
        norm = self.field.norm(self.force)
        return norm if np.isfinite(norm) and np.isfinite(self.point.value) else float("inf")

    @cached_property
    def _own_along(self):
        return self.field.own.along(self.point.policy)

    def product(self, direction: FloatArray) -> FloatArray:
        """Return the derivative of F along a direction (n_weights,) of x."""
        scale, along = self.field.scale, direction / self.field.scale
        return self.field.loss.bent(self.point, along, self._own_along(along)) / scale
