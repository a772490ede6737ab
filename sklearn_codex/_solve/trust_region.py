"""Newton's method in a trust region, for losses whose curvature may be negative."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from scipy.optimize import minimize

from sklearn_codex._categorical import FloatArray
from sklearn_codex._solve.conjugate_gradients import (
    Preconditioner,
    check_within_floats,
    conjugate_gradients,
)
from sklearn_codex._solve.newton import ROUNDING, FitState, Point

# How near to its optimum, by the norm of the gradient, a loss is followed that a sharper one is to
# follow: the first, and by what factor nearer each of those after it.
_ROUGH, _FALL = 1e-2, 0.3
# A line is searched until its slope is this part of the first, or so many times.
_FLAT, _HALVINGS = 0.1, 30
# A trust region grows up to this radius, unless the first step is as long.
_WIDEST = 1e8
# Curvature, of columns of one scale, that is none.
_STRAIGHT = 1e-150
# Logarithms of probabilities that differ by at most this are of about the same policy.
_SAME = 1e-6


class CurvedLoss(Protocol):
    """A twice differentiable function of weights (n_weights,), which need not be convex.

    The weights are those of a policy, which its ``tilt`` makes of them.
    """

    tilt: Any

    def at(self, weights: FloatArray) -> Point:
        """Return the point whose ``weights`` and ``value`` are those of the loss."""

    def value(self, weights: FloatArray) -> float:
        """Return the loss."""

    def gradient(self, weights: FloatArray) -> FloatArray:
        """Return its gradient (n_weights,)."""

    def hessian_product(self, weights: FloatArray, direction: FloatArray) -> FloatArray:
        """Return its Hessian times a direction (n_weights,)."""

    def scale(self) -> FloatArray:
        """Return positive factors (n_weights,) that put all weights on one scale."""


def minimise_curved(
    loss: CurvedLoss,
    *,
    tol: float,
    max_iter: int,
    callback: Callable[[FitState], object],
    sharpen: Callable[[CurvedLoss, Point, int], CurvedLoss | None] | None = None,
) -> FitState:
    """Minimise the loss by Newton steps that are searched, in a trust region, then by plain ones.

    Where the loss curves upwards, steps that are searched go along narrow valleys that a trust
    region, round as it is, takes hundreds of steps for. That copes with negative curvature; it
    compares values of the loss, so it ends at their rounding error, and the last Newton steps go on
    by the gradient alone.

    Parameters
    ----------
    loss : CurvedLoss
        What to minimise.
    tol : float
        The norm of the gradient, columns scaled by :meth:`CurvedLoss.scale`, relative to
        that at zero weights, at which the fit has converged.
    max_iter : int
        At most this many iterations.
    callback : callable
        Called with each :class:`FitState`, the first before any step; a true result stops.
    sharpen : callable, default=None
        Given a loss, the point of its minimum, about, and how many steps led there, returns a loss
        that is nearer to one which is not smooth, or None where this one is near enough. Then the
        minimum of that one is meant. Such losses have ``slope_along``, too.

    Raises
    ------
    ValueError
        If the gradient or the curvature leaves the range of floats.

    References
    ----------
    .. [1] Steihaug, T. (1983). "The conjugate gradient method and trust regions in large scale
       optimization." SIAM Journal on Numerical Analysis 20(3), 626-637.
    """
    fit = _Fit(loss, tol, max_iter, callback, is_kinked=sharpen is not None)
    if sharpen is None:
        fit.run(to=tol, is_last=True)
        return fit.state
    to, before = max(tol, _ROUGH), 0
    fit.run(to=to, is_last=False)
    while not fit.is_stopped:
        sharper = sharpen(fit.loss, fit.state.point, fit.state.iteration - before)
        before = fit.state.iteration
        if sharper is not None:
            fit.go_on_with(sharper)
        elif to <= tol:
            fit.end()
            return fit.state
        to = tol if sharper is None else max(tol, _FALL * to)
        fit.run(to=to, is_last=False)
    return replace(fit.state, converged=False)  # whatever it is of a loss that is to be sharpened


class _Fit:
    """One run of the solver, in coordinates x = w * scale, which put all columns on one scale."""

    def __init__(self, loss, tol, max_iter, callback, *, is_kinked):
        self.loss, self._tol, self._max_iter, self._callback = loss, tol, max_iter, callback
        self._is_kinked = is_kinked
        self._scale = loss.scale()
        start = np.zeros(len(self._scale))
        self._first = self._norm(start)
        self.is_stopped = self._is_told = False
        self._left: FloatArray | None = None  # the last step that did not help
        self.state = self._state(0, start)

    def _norm(self, x):
        return float(np.linalg.norm(self._gradient(x)))

    def _value(self, x):
        return self.loss.value(x / self._scale)

    def _gradient(self, x):
        return self.loss.gradient(x / self._scale) / self._scale

    def _hessian_product(self, x, direction):
        product = self.loss.hessian_product(x / self._scale, direction / self._scale)
        return product / self._scale

    def _state(self, iteration, x):
        weights = x / self._scale
        gradient = self._gradient(x)
        point, norm = self.loss.at(weights), float(np.linalg.norm(gradient))
        check_within_floats(gradient, norm, point.value, self._scale.max(initial=1.0))
        relative = norm / self._first if self._first > 0 else norm
        return FitState(iteration, point, relative, relative <= self._tol)

    def _tell(self, state):
        """Take a new state over and tell the callback of it, for which only the last loss ends."""
        self.state, self._is_told = state, True
        shown = state if self._is_last else replace(state, converged=False)
        self.is_stopped = bool(self._callback(shown)) or state.iteration >= self._max_iter
        self._is_over = self.is_stopped or state.gradient_norm <= self._to or state.converged

    def go_on_with(self, loss):
        """Take another loss, where the fit is."""
        self.loss = loss
        self.state = self._state(self.state.iteration, self.state.point.weights * self._scale)

    def end(self):
        """Tell the callback that the fit ends where it is."""
        self._is_last = True
        converged = self.state.converged or self._is_at_floor()
        self._tell(replace(self.state, iteration=self.state.iteration + 1, converged=True))
        self.state = replace(self.state, converged=converged)

    def _is_at_floor(self):
        """Return whether the gradient is as small as rounding lets it be.

        Where it is from the beginning, that says nothing of a policy which small weights change.
        """
        if self.state.gradient_norm > self._floor / self._first:
            return False
        if self._floor < self._first:
            return True
        if self._left is None:
            return False
        weights = self.state.point.weights
        here, there = (self.loss.tilt.at(w).log_prob for w in (weights, weights + self._left))
        known = np.isfinite(here)
        return bool(np.abs(there - here)[known].max(initial=0.0) <= _SAME)

    def run(self, *, to, is_last):
        """Minimise the loss to a relative norm of the gradient."""
        self._to, self._is_last = to, is_last
        # A step from a gradient this small promises less than the rounding error of the loss.
        self._floor = float(np.sqrt(2 * ROUNDING * abs(self.state.point.value)))
        self._is_over = self.state.gradient_norm <= to
        if not self._is_told:
            self._tell(self.state)
        while not self._is_over and self._descend():
            pass
        if not self._is_over:
            self._search()
        while not self._is_over:
            self._polish()

    def _search(self):
        """Run the trust region."""

        def watch(xk):
            self._tell(self._state(self.state.iteration + 1, xk))
            if self._is_over:
                raise StopIteration

        def product(xk, direction):
            bent = _check_floats(self._hessian_product(xk, direction))
            # A line this straight has its least value beyond all floats: go to the boundary.
            is_straight = abs(direction @ bent) <= _STRAIGHT * (direction @ direction)
            return np.zeros_like(bent) if is_straight else bent

        radius = max(1.0, self._first)
        arguments = self._value, self.state.point.weights * self._scale
        options = {
            "initial_trust_radius": radius,
            "max_trust_radius": max(_WIDEST, 2 * radius),
            "gtol": max(self._to * self._first, self._floor),
            "maxiter": self._max_iter,
        }
        try:
            minimize(  # type: ignore[call-overload]
                *arguments,
                method="trust-ncg",
                jac=lambda xk: _check_floats(self._gradient(xk)),
                hessp=product,
                callback=watch,
                options=options,
            )
        except FloatingPointError:  # a loss that falls without bound: the last point stands
            self._give_up()

    def _give_up(self):
        """End where the fit is."""
        if self._is_last:
            # For the callback the fit ends here, converged or not.
            self.end()
        else:
            self._is_over = True

    def _newton_step(self, x, tol):
        return conjugate_gradients(
            lambda p: (self._hessian_product(x, p), p),
            Preconditioner(np.ones_like(x)),
            -self._gradient(x),
            tol=tol,
        )[0]

    def _descend(self):
        """Take a Newton step to where the loss falls no more along it; return whether there is one.

        Where curvature jumps, as at the ends of rounded kinks, or weights are on unlike scales away
        from the start, this takes a quarter of the steps of a trust region, or fewer.
        """
        state, x = self.state, self.state.point.weights * self._scale
        step = self._newton_step(x, min(1e-2, np.sqrt(state.gradient_norm)))
        slope = float(self._gradient(x) @ step)
        if not slope < 0:
            return False
        slopes = [lambda t: float(self._gradient(x + t * step) @ step)]
        if self._is_kinked:
            slopes.insert(0, self.loss.slope_along(state.point.weights, step / self._scale))
        slack = ROUNDING * abs(state.point.value)
        for slope_at in slopes:
            moved = self._state(state.iteration + 1, x + _level(slope_at, slope) * step)
            falls = moved.point.value < state.point.value - slack
            if falls or moved.gradient_norm < 0.5 * state.gradient_norm:
                self._tell(moved)
                return True
        return False

    def _step(self):
        """Take a Newton step if it makes the gradient smaller by half; return whether it does."""
        state, x = self.state, self.state.point.weights * self._scale
        step = self._newton_step(x, 1e-6)
        if not self._norm(x + step) < 0.5 * self._norm(x):
            # Without curvature there is no step; about, it is one by that of the scale.
            self._left = (step if step.any() else -self._gradient(x)) / self._scale
            return False
        self._tell(self._state(state.iteration + 1, x + step))
        return True

    def _polish(self):
        """Take a Newton step if it helps; else end where the fit is."""
        if self._step():
            return
        self._give_up()


def _check_floats(values):
    """Return values, or raise where they left the range of floats."""
    if not np.isfinite(values).all():
        raise FloatingPointError
    return values


def _level(slope_at, start):
    """Return a length up to 1 at which a slope, below 0 at the start, is not above 0 by much."""
    low, high, length = 0.0, 1.0, 1.0
    for _ in range(_HALVINGS):
        slope = slope_at(length)
        if slope > -_FLAT * start or not np.isfinite(slope):
            high = length
        elif slope < _FLAT * start and length < 1.0:
            low = length
        else:
            break
        length = 0.5 * (low + high)
    return length
