"""KTO's last resort: along the curve of all that is stationary, whatever the reference point is.

The weights of least loss may jump where the reference point moves on, and jump over the rest point.
Stationary weights do not: they make up a curve, which turns back where a minimum ends.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.sparse.linalg import LinearOperator, gmres

from sklearn_codex._categorical import FloatArray
from sklearn_codex._policy.kto_loss import DesirabilityLoss

# The corrections that a step may take, and how many are few, so that the next one is longer.
_MOST_CORRECTIONS, _FEW = 8, 3
# The cosine by which the direction may change in a step, and the shortest step, in first ones.
_STRAIGHT, _SHORTEST = 0.8, 1e-7
# Nats by which to go beyond where a bound of its curvature says that the loss is convex.
_BEYOND = 3.0
# Weights up to which the system of equations is written out.
_FEW_WEIGHTS, _MOST_VECTORS = 100, 60


class StationaryCurve:
    r"""The curve of :math:`\nabla_w f(w; z) = 0` in weights and reference points.

    Parameters
    ----------
    loss : DesirabilityLoss
        With a penalty.
    scale : ndarray of shape (n_weights,)
        By which weights are multiplied.
    tell : callable
        Called with a loss, whose reference point is held, and weights, after each Newton step. It
        raises where the search is over.
    enough : float
        Norm of the scaled gradient that counts as 0.

    Notes
    -----
    Where z is large all sigmoids are flat, so that the penalty makes the loss convex, and there is
    one stationary point, next to w = 0. Its curve, by arclength and not by z, so that it may turn
    back, cannot end and cannot leave through large weights, which the penalty holds; so it comes to
    z = 0. In between :math:`z(w) - z` has gone from below 0 to above, and was 0: at a rest point.
    """

    def __init__(
        self,
        loss: DesirabilityLoss,
        scale: FloatArray,
        tell: Callable[[DesirabilityLoss, FloatArray], Any],
        enough: float,
    ):
        self._loss, self._scale, self._tell, self._enough = loss, scale, tell, enough
        # A nat of the reference point is as long as a nat of rewards.
        self._nat = 2 * loss.radius()

    def find_rest(self, own_point: Callable[[Any], float]) -> None:
        """Go along the curve to where the reference point of the policy is the one held."""

        def excess(place):
            weights, z = self._parts(place)
            return own_point(self._at(weights, z).policy) - z

        place: Any = np.append(np.zeros(len(self._scale)), self._far() * self._nat)
        ahead = np.append(np.zeros(len(self._scale)), -1.0)
        place = self._correct(place, ahead) if place[-1] > 0 else None
        length = first = self._nat
        while place is not None and excess(place) < 0:
            tangent = self._tangent(place, ahead)
            found = self._step(place, tangent, length)
            straight = found is not None and float(self._tangent(found, tangent) @ tangent)
            if found is None or straight < _STRAIGHT:
                length /= 2
                if length < _SHORTEST * first:
                    return
                continue
            if excess(found) >= 0:
                self._close_in(place, tangent, length, excess)
                return
            length *= 1.5 if straight > 0.95 and self._corrections <= _FEW else 1.0
            place, ahead = found, tangent

    def _close_in(self, place, tangent, length, excess):
        """Find the place between two of the curve where the excess is 0."""

        def excess_after(distance):
            found = self._step(place, tangent, distance)
            return np.nan if found is None else excess(found)

        if excess_after(0.0) < 0:
            brentq(excess_after, 0.0, length, xtol=1e-14 * length, rtol=1e-15, disp=False)

    def _far(self):
        """Return a reference point beyond which there is one stationary point."""
        steepest = 4 * float(np.sum(self._scale**2))
        return max(0.0, np.log(steepest / self._loss.penalty)) + _BEYOND

    def _parts(self, place):
        return place[:-1] / self._scale, float(place[-1]) / self._nat

    def _at(self, weights, z):
        if z != self._loss.reference_point:
            self._loss = self._loss.holding(z)
        return self._loss.at(weights)

    def _bordered(self, place, border, right):
        """Return the solution of the derivative of the gradient, and a last row, by a side."""
        weights, z = self._parts(place)
        point = self._at(weights, z)
        loss, scale = self._loss, self._scale
        by_z = -point.policy.vjp(loss.design.rmatvec(point.curvature)) / scale / self._nat

        def product(d):
            curved = loss.hessian_product(weights, d[:-1] / scale) / scale
            return np.append(curved + by_z * d[-1], border @ d)

        n = len(place)
        if n <= _FEW_WEIGHTS:
            columns = np.array([product(d) for d in np.eye(n)]).T
            return np.linalg.lstsq(columns, right, rcond=1e-15)[0]
        operator = LinearOperator((n, n), matvec=product, dtype=np.float64)
        found, _ = gmres(operator, right, rtol=1e-8, restart=_MOST_VECTORS, maxiter=2)
        return found

    def _tangent(self, place, before):
        """Return the direction of the curve, which goes on as it did before."""
        right = np.zeros(len(place))
        right[-1] = 1.0
        found = self._bordered(place, before, right)
        return found / np.linalg.norm(found)

    def _step(self, place, tangent, length):
        return self._correct(place + length * tangent, tangent)

    def _correct(self, place, border):
        """Return the place of the curve beside one, None where Newton's method does not find it."""
        before = np.inf
        for self._corrections in range(_MOST_CORRECTIONS):
            weights, z = self._parts(place)
            gradient = self._at(weights, z).gradient / self._scale
            norm = float(np.linalg.norm(gradient))
            if norm <= self._enough:
                return place
            if not norm < before:
                # What rounding leaves is no failure.
                return place if norm <= 100 * self._enough else None
            before = norm
            place = place + self._bordered(place, border, np.append(-gradient, 0.0))
            weights, z = self._parts(place)
            self._at(weights, z)
            self._tell(self._loss, weights)
        return None
