"""Newton's method in a trust region, for losses whose curvature may be negative."""

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import numpy as np
from scipy.optimize import minimize

from sklearn_codex._categorical import FloatArray
from sklearn_codex._solve.conjugate_gradients import (
    Preconditioner,
    check_within_floats,
    conjugate_gradients,
)
from sklearn_codex._solve.newton import ROUNDING, FitState, Point


class CurvedLoss(Protocol):
    """A twice differentiable function of weights (n_weights,), which need not be convex."""

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
) -> FitState:
    """Minimise the loss by a trust-region Newton method, then by plain Newton steps.

    The trust region copes with negative curvature; it compares values of the loss, so it ends at
    their rounding error, and the last Newton steps go on by the gradient alone.

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

    Raises
    ------
    ValueError
        If the gradient or the curvature leaves the range of floats.

    References
    ----------
    .. [1] Steihaug, T. (1983). "The conjugate gradient method and trust regions in large scale
       optimization." SIAM Journal on Numerical Analysis 20(3), 626-637.
    """
    fit = _Fit(loss, tol, max_iter, callback)
    if not fit.is_over:
        fit.search()
    while not fit.is_over:
        fit.polish()
    return fit.state


class _Fit:
    """One run of the solver, in coordinates x = w * scale, which put all columns on one scale."""

    def __init__(self, loss, tol, max_iter, callback):
        self._loss, self._tol, self._max_iter, self._callback = loss, tol, max_iter, callback
        self._scale = loss.scale()
        start = np.zeros(len(self._scale))
        self._first = self._norm(start)
        self.is_over = False
        self._tell(self._state(0, start))
        # A step from a gradient this small promises less than the rounding error of the loss.
        self._floor = float(np.sqrt(2 * ROUNDING * abs(self.state.point.value)))

    def _norm(self, x):
        return float(np.linalg.norm(self._gradient(x)))

    def _value(self, x):
        return self._loss.value(x / self._scale)

    def _gradient(self, x):
        return self._loss.gradient(x / self._scale) / self._scale

    def _hessian_product(self, x, direction):
        product = self._loss.hessian_product(x / self._scale, direction / self._scale)
        return product / self._scale

    def _state(self, iteration, x):
        weights = x / self._scale
        gradient = self._gradient(x)
        point, norm = self._loss.at(weights), float(np.linalg.norm(gradient))
        check_within_floats(gradient, norm, point.value, self._scale.max(initial=1.0))
        relative = norm / self._first if self._first > 0 else norm
        return FitState(iteration, point, relative, relative <= self._tol)

    def _tell(self, state):
        """Take a new state over and tell the callback of it."""
        self.state = state
        stopped = self._callback(state)
        self.is_over = bool(stopped or state.converged or state.iteration >= self._max_iter)

    def search(self):
        """Run the trust region."""

        def watch(xk):
            self._tell(self._state(self.state.iteration + 1, xk))
            if self.is_over:
                raise StopIteration

        minimize(
            self._value,
            np.zeros(len(self._scale)),
            method="trust-ncg",
            jac=self._gradient,
            hessp=self._hessian_product,
            callback=watch,
            options={
                "initial_trust_radius": max(1.0, self._first),
                "max_trust_radius": 1e8,
                "gtol": max(self._tol * self._first, self._floor),
                "maxiter": self._max_iter,
            },
        )

    def polish(self):
        """Take a Newton step if it makes the gradient smaller; else end where the fit is."""
        state, x = self.state, self.state.point.weights * self._scale
        step, _ = conjugate_gradients(
            lambda p: (self._hessian_product(x, p), p),
            Preconditioner(np.ones_like(x)),
            -self._gradient(x),
            tol=1e-6,
        )
        if self._norm(x + step) < 0.5 * self._norm(x):
            self._tell(self._state(state.iteration + 1, x + step))
            return
        # For the callback the fit ends here, converged or not.
        self._tell(replace(state, iteration=state.iteration + 1, converged=True))
        self.state = replace(self.state, converged=self._norm(x) <= self._floor)
