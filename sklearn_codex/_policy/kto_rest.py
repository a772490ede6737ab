"""Where KTO rests: the least loss at a reference point that is the policy's own KL.

The reference point is no function of the weights to the loss, so a rest point is no minimum of it:
it is the root of a field. It is found as the root of one number, the KL of the policy that is best
at a reference point less that point.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.optimize import brentq, minimize

from sklearn_codex._categorical import IntArray
from sklearn_codex._policy.kto_loss import DesirabilityLoss
from sklearn_codex._policy.kto_path import StationaryCurve
from sklearn_codex._policy.tilts import TiltPoint
from sklearn_codex._solve.conjugate_gradients import (
    Preconditioner,
    check_within_floats,
    conjugate_gradients,
)
from sklearn_codex._solve.newton import ROUNDING, FitState

# The part of the tolerance to which the loss is minimised at each reference point.
_FINER = 0.1
# The gap at which it is no longer followed where policies go from the reference, and the steps that
# may fail to make it smaller: they go to and fro where a policy's reference point overtakes it.
_NEAR, _PATIENCE = 1e-2, 20
# Nats of reward below which a column may be falling, by which one falls in a Newton step that is
# no last one, and how many columns are looked at.
_FALLEN, _FAR, _MOST_FALLING = 3.0, 0.1, 32


class _Over(Exception):
    """The search has ended."""


@dataclass(frozen=True)
class RestState(FitState):
    """Where the search for the rest point stands.

    Attributes
    ----------
    loss : DesirabilityLoss
        That at the reference point which is held.
    fixed_point_gap : float
        Norm of the gradient at the policy's own reference point, relative to that at the reference
        policy.
    """

    point: Any
    loss: Any = None
    fixed_point_gap: float = np.inf


def find_rest(
    loss: DesirabilityLoss,
    own_point: Callable[[TiltPoint], float] | None,
    *,
    tol: float,
    max_iter: int,
    callback: Callable[[RestState], object],
) -> RestState:
    r"""Return where the loss rests, from the reference policy on.

    Parameters
    ----------
    loss : DesirabilityLoss
        At the reference point of the reference policy, 0.
    own_point : callable or None
        The reference point of a policy, b KL(policy || reference). None where it stays at 0.
    tol : float
        The fixed-point gap at which the search ends.
    max_iter : int
        At most this many Newton steps, at all reference points together.
    callback : callable
        Called with each :class:`RestState`, the first before any step; a true result stops.

    Notes
    -----
    With :math:`w(z)` the weights of least loss at z, from those before, :math:`z(w)` the reference
    point of a policy, and :math:`g(z) = z(w(z)) - z`, :math:`g(0) \ge 0`. Brent's method keeps g
    positive below and negative above the root, so what it finds attracts a reference point that
    follows a policy which is always the best for it. Where w(z) jumps over the root, and there is a
    penalty, the search goes along the curve of stationary weights, on which there is a rest point.
    It ends where it was nearest to one.
    """
    search = _Search(loss, own_point, tol, max_iter, callback)
    with suppress(_Over):
        search.run()
    return search.end()


class _Search:
    """One run: the weights, wherever the reference point is, and what was told of them."""

    def __init__(self, loss, own_point, tol, max_iter, callback):
        self._loss, self._own_point = loss, own_point
        self._tol, self._max_iter, self._callback = tol, max_iter, callback
        self._scale = loss.scale()
        self._weights = np.zeros(len(self._scale))
        self._first = self._norm(loss.at(self._weights).gradient)
        self._gaps: dict[float, float] = {}
        self._best: Any = None
        self._tell(loss.at(self._weights), 0)
        value = abs(loss.value(self._weights))
        # A step from a gradient this small promises less than the rounding error of the loss.
        self._floor = float(np.sqrt(2 * ROUNDING * value)) / (self._first or 1.0)
        self._finest = max(_FINER * tol, self._floor)
        self._radius = loss.radius()

    def _norm(self, gradient):
        return float(np.linalg.norm(gradient / self._scale))

    def _relative(self, gradient):
        norm = self._norm(gradient)
        return norm / self._first if self._first > 0 else norm

    def _tell(self, point, iteration):
        """Take over where the loss is now; return whether the search is over."""
        check_within_floats(
            point.gradient, self._norm(point.gradient), point.value, self._scale.max(initial=1.0)
        )
        own = 0.0 if self._own_point is None else self._own_point(point.policy)
        gap = self._relative(self._loss.moved(point, own).gradient)
        self.state = RestState(
            iteration,
            point,
            self._relative(point.gradient),
            gap <= self._tol,
            loss=self._loss,
            fixed_point_gap=gap,
        )
        self._weights = point.weights
        if self._best is None or gap < self._best.fixed_point_gap:
            self._best = self.state
        stopped = bool(self._callback(self.state))
        self.is_over = stopped or self.state.converged or iteration >= self._max_iter
        return self.is_over

    def _minimise(self, reference_point):
        """Find the least loss at a reference point, from the weights there are."""
        self._loss = self._loss.holding(reference_point)
        if self._relative(self._loss.gradient(self._weights)) > self._finest:
            self._descend(2 * self._radius, self._max_iter - self.state.iteration)
        while self._polish():
            pass

    def _step(self, x):
        """Take over the weights after a step, if it was taken; raise where it is the last one."""
        if np.array_equal(x / self._scale, self._weights):
            return
        if self._tell(self._loss.at(x / self._scale), self.state.iteration + 1):
            raise _Over

    def _descend(self, radius, most):
        """Run a trust region, which copes with negative curvature."""

        def watch(xk):
            self._step(xk)

        minimize(
            self._value,
            self._weights * self._scale,
            method="trust-ncg",
            jac=self._gradient,
            hessp=self._hessian_product,
            callback=watch,
            options={
                "initial_trust_radius": radius / 2,
                "max_trust_radius": radius,
                "gtol": self._finest * (self._first or 1.0),
                "maxiter": most,
            },
        )

    def _polish(self):
        """Take a Newton step if it makes the gradient much smaller; return whether it does.

        A trust region compares values of the loss, so it ends at their rounding error.
        """
        x = self._weights * self._scale
        gradient = self._gradient(x)
        if self._norm(self._loss.gradient(self._weights)) <= _FINER * self._tol * self._first:
            return False
        step, _ = conjugate_gradients(
            lambda p: (self._hessian_product(x, p), p),
            Preconditioner(np.ones_like(x)),
            -gradient,
            tol=1e-6,
        )
        if not np.linalg.norm(self._gradient(x + step)) < 0.5 * np.linalg.norm(gradient):
            return False
        self._step(x + step)
        return True

    def _value(self, x):
        return self._loss.value(x / self._scale)

    def _gradient(self, x):
        return self._loss.gradient(x / self._scale) / self._scale

    def _hessian_product(self, x, direction):
        product = self._loss.hessian_product(x / self._scale, direction / self._scale)
        return product / self._scale

    def _excess(self, reference_point):
        """Return how much greater the best policy's own reference point is than the one held."""
        if reference_point not in self._gaps:
            self._minimise(reference_point)
            own = self._own_point(self._loss.at(self._weights).policy)
            self._gaps[reference_point] = own - reference_point
        return self._gaps[reference_point]

    def run(self):
        """Search until nothing is left to find."""
        if self.is_over:
            return
        if self._own_point is None:
            self._minimise(0.0)
            return
        self._follow()
        low, high = self._bracket()
        if low < high:
            brentq(self._excess, low, high, xtol=1e-14, rtol=4 * ROUNDING, disp=False)
        if not self._is_resting() and self._loss.penalty > 0:
            self._go_along_the_curve()

    def _is_resting(self):
        return self.state.fixed_point_gap <= max(self._tol, self._floor)

    def _go_along_the_curve(self):
        """Look for what lies where the best weights jump; come back to the best there was."""

        def tell(loss, weights):
            self._loss = loss
            if self._tell(loss.at(weights), self.state.iteration + 1):
                raise _Over

        enough = max(self._finest * self._first, np.finfo(np.float64).tiny)
        StationaryCurve(self._loss, self._scale, tell, enough).find_rest(self._own_point)
        if self._best.fixed_point_gap < self.state.fixed_point_gap:
            tell(self._best.loss, self._best.point.weights)

    def _follow(self):
        """Go step by step to near a rest point, the reference point being that of each policy."""
        radius = self._radius
        best, since = np.inf, 0
        while self.state.fixed_point_gap > _NEAR and since < _PATIENCE:
            is_better = self.state.fixed_point_gap < 0.9 * best
            best, since = (self.state.fixed_point_gap, 0) if is_better else (best, since + 1)
            self._loss = self._loss.holding(self._own_point(self.state.point.policy))
            before = self._weights
            self._descend(radius, most=1)
            stayed = np.array_equal(self._weights, before)
            radius = radius / 4 if stayed else min(2 * radius, self._radius)

    def _bracket(self):
        """Return a reference point that is too low and one that is too high, from one between."""
        here = self._own_point(self.state.point.policy)
        length = excess = self._excess(here)
        there = here
        while excess * length > 0:
            here, there = there, max(0.0, there + length)
            length *= 2
            if here == there:
                break
            excess = self._excess(there)
        return min(here, there), max(here, there)

    def end(self):
        """Return the last state, which has converged also where rounding leaves no better one."""
        if not self.is_over:
            # For the callback the search ends here, converged or not.
            self._callback(replace(self.state, converged=True))
            self.state = replace(self.state, converged=self.state.fixed_point_gap <= self._floor)
        return self.state


def falling_columns(state: RestState) -> IntArray:
    """Return the columns that nothing holds, whose rewards fall without end, or some of them.

    Next to a minimum at a finite place a Newton step is next to none. Where the loss only tends to
    its least, as a column loses all its mass, slope and curvature fade together, and each step is
    as long as the one before.

    Parameters
    ----------
    state : RestState
        The end of a search without a penalty.
    """
    loss, point = state.loss, state.point
    reward = point.policy.reward
    lowest = np.argsort(reward)[:_MOST_FALLING]
    lowest = lowest[reward[lowest] < -_FALLEN]
    if loss.tilt.n_weights == len(reward):
        steps = np.array([_step_along(loss, point, column) for column in lowest])
    else:
        steps = _step_of_all(loss, point)[lowest]
    return np.sort(lowest[steps < -_FAR])


def _step_along(loss, point, column):
    """Return the Newton step of the weight of one column alone."""
    direction = np.zeros(loss.tilt.n_weights)
    direction[column] = 1.0
    curvature = loss.hessian_product(point.weights, direction)[column]
    slope = loss.gradient(point.weights)[column]
    return -slope / curvature if curvature > 0 else 0.0


def _step_of_all(loss, point):
    """Return how far (n_columns,) a Newton step of all weights moves rewards."""
    scale = loss.scale()
    step, _ = conjugate_gradients(
        lambda p: (loss.hessian_product(point.weights, p / scale) / scale, p),
        Preconditioner(np.ones(len(scale))),
        -loss.gradient(point.weights) / scale,
        tol=1e-8,
    )
    return point.policy.jvp(step / scale)
