"""Newton's method: the one loop, with its line search, that fits smooth losses of parameters.

Losses are of margins m = D w, linear in the parameters w, which move along with them.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from numbers import Real
from typing import Any, Protocol

import numpy as np
from scipy.stats import norm
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._param_validation import Interval

from sklearn_codex._categorical import FloatArray
from sklearn_codex._checks.numbers import check_number
from sklearn_codex._solve.conjugate_gradients import (
    Preconditioner,
    check_within_floats,
    conjugate_gradients,
    dot,
)

# Sums of many floats are uncertain by a few units in the last place, so a step that promises less
# than this part of the loss cannot be told from no step.
ROUNDING = 16 * np.finfo(np.float64).eps
# Up to so many parameters a matrix is as quick as a few solutions by conjugate gradients.
MAX_WHOLE = 64
LEVEL = Interval(Real, 0, 1, closed="neither")


class MarginOperator(Protocol):
    """What a loss asks of D (n_pairs, V)."""

    @property
    def shape(self) -> tuple[int, int]:
        """Number of pairs and of columns."""
        ...

    def matvec(self, weights: FloatArray) -> FloatArray:
        """Return D w (n_pairs,)."""
        ...

    def rmatvec(self, residuals: FloatArray) -> FloatArray:
        """Return D' r (V,)."""
        ...

    def bend(self, by_margin: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return D' diag(h) D w (V,) and, computed on the way, D w (n_pairs,)."""
        ...

    def column_squares(self, pair_weights: FloatArray) -> FloatArray:
        """Return sum over i of h_i D_ij^2 (V,), the diagonal of D' diag(h) D."""
        ...


class Curvature(Protocol):
    """A positive definite matrix H: the Hessian, or the Fisher information in its place."""

    def product(self, direction: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return H d and, computed on the way, D d (n_pairs,)."""
        ...

    def diagonal(self) -> FloatArray:
        """Return the diagonal of H."""
        ...


@dataclass(frozen=True)
class Point:
    """A loss at some parameters.

    Attributes
    ----------
    weights : ndarray of shape (n_params,)
        The parameters.
    margins : ndarray of shape (n_pairs,)
        D w, of the parameters that have margins; (0,) where they stay in partitions.
    value : float
        The loss; infinite outside its domain.
    kept : object
        What else a loss has found for its derivatives.
    """

    weights: FloatArray
    margins: FloatArray
    value: float
    kept: Any = None


class SmoothLoss:
    """What is minimised. Derived classes have ``at`` and ``derivatives``."""

    def at(self, weights: FloatArray, margins: FloatArray | None = None) -> Point:
        """Return the loss at some parameters, whose margins may be known."""
        raise NotImplementedError

    def derivatives(self, point: Point) -> tuple[FloatArray, Any]:
        """Return the gradient and the :class:`Curvature` at a point."""
        raise NotImplementedError

    def image(self, step: FloatArray, found: FloatArray) -> FloatArray:
        """Return D d (n_pairs,) of a step d, of which conjugate gradients have found it about."""
        return found

    def precondition(self, curvature: Any, diagonal: FloatArray) -> Preconditioner:
        """Return an approximation of a curvature, whose diagonal is known, and made positive."""
        return Preconditioner(diagonal)


@dataclass(frozen=True)
class FitState:
    """Where the solver stands after an iteration.

    Attributes
    ----------
    iteration : int
        Newton steps taken so far.
    point : Point
        The loss at the parameters.
    gradient_norm : float
        Norm of the gradient relative to the reference of the stop criterion.
    converged : bool
        Whether the solver stops here because it has arrived, up to ``tol`` or to rounding.
    curvature : Curvature
        That of the loss at the point.
    """

    iteration: int
    point: Point
    gradient_norm: float
    converged: bool
    curvature: Any = None


def minimise(
    loss: SmoothLoss,
    start: FloatArray,
    *,
    tol: float,
    max_iter: int,
    reference: float | None = None,
    callback: Callable[[FitState], object] | None = None,
) -> FitState:
    r"""Minimise a smooth loss by preconditioned Newton-CG with a line search.

    Each iteration solves the Newton system by conjugate gradients, only as exactly as the distance
    to the optimum deserves [1]_, and halves the step until the loss falls enough.

    Parameters
    ----------
    loss : SmoothLoss
        What to minimise.
    start : ndarray
        Where to start.
    tol : float
        See Notes.
    max_iter : int
        At most this many Newton steps.
    reference : float, default=None
        See Notes; None means the norm at the start.
    callback : callable, default=None
        Called with each :class:`FitState`, the first before any step; a true result stops.

    Returns
    -------
    state : FitState
        The last state. ``converged`` is false where ``max_iter`` or the callback ended the fit.

    Raises
    ------
    ValueError
        If the gradient or the curvature leaves the range of floats.

    Notes
    -----
    With gradient g and diagonal h of the curvature, the norm of a gradient is
    :math:`(\sum_j g_j^2 / h_j)^{1/2}`, which no scaling of columns changes when the penalty is
    weak. The solver stops when it is at most ``tol`` times ``reference``, or when a whole Newton
    step promises a decrease below the rounding error of the loss.

    References
    ----------
    .. [1] Dembo, R. S. and Steihaug, T. (1983). "Truncated-Newton algorithms for large-scale
       unconstrained optimization." Mathematical Programming 26, 190-212.
    """
    point = loss.at(np.array(start, dtype=np.float64))
    at_precision = False
    for iteration in count():
        gradient, curvature = loss.derivatives(point)
        diagonal = _positive(curvature.diagonal())
        size = scaled_norm(gradient, diagonal)
        check_within_floats(gradient, size, point.value, diagonal.max(initial=1.0))
        reference = size if reference is None else reference
        relative = size / reference if reference > 0 else size
        converged = at_precision or size <= tol * reference
        state = FitState(iteration, point, relative, converged, curvature)
        stopped = callback is not None and callback(state)
        if stopped or converged or iteration >= max_iter:
            break
        step, image = conjugate_gradients(
            curvature.product,
            loss.precondition(curvature, diagonal),
            -gradient,
            tol=min(0.1, np.sqrt(relative)),
        )
        decrease = -dot(gradient, step)
        at_precision = bool(decrease <= ROUNDING * abs(point.value))
        point = _search_line(loss, point, step, loss.image(step, image), decrease)
    return state


def gradient_norm(loss: SmoothLoss, weights: FloatArray) -> float:
    """Return the norm of the gradient, each part scaled by the root of the curvature's diagonal."""
    gradient, curvature = loss.derivatives(loss.at(weights))
    return scaled_norm(gradient, curvature.diagonal())


def solve(curvature: Curvature, right: FloatArray, *, tol: float = 1e-10) -> FloatArray:
    """Return H^-1 B (n_params, k) for B (n_params, k), or H^-1 b for b (n_params,).

    That is by H itself where it is small, else by conjugate gradients, preconditioned with the
    diagonal of H.
    """
    diagonal = _positive(curvature.diagonal())
    if len(diagonal) <= MAX_WHOLE:
        whole = np.column_stack([curvature.product(unit)[0] for unit in np.eye(len(diagonal))])
        scale = 1 / np.sqrt(diagonal)
        scaled = np.linalg.solve(scale * whole * scale[:, np.newaxis], (scale * right.T).T)
        return (scale * scaled.T).T
    preconditioner = Preconditioner(diagonal)
    columns = [
        conjugate_gradients(curvature.product, preconditioner, column, tol=tol)[0]
        for column in np.atleast_2d(right.T)
    ]
    return np.reshape(columns, right.T.shape).T


def normal_quantile(confidence_level: float) -> float:
    """Return the half-width, in standard errors, of a normal interval."""
    level = check_number(
        confidence_level, "confidence_level", subject="An interval", interval=LEVEL
    )
    return float(norm.ppf((1 + level) / 2))


def standard_errors(curvature: Curvature, positions, *, scale: float = 1.0) -> FloatArray:
    """Return the standard errors of some parameters: the roots of scale times diag(H^-1) there."""
    units = np.zeros((len(curvature.diagonal()), len(positions)))
    units[positions, np.arange(len(positions))] = 1.0
    variances = np.sum(units * solve(curvature, units), axis=0)
    return np.sqrt(scale * np.maximum(variances, 0.0))


def warn_unless_converged(state: FitState, *, subject: str, stacklevel: int = 2) -> None:
    """Warn of a fit that ended for want of steps."""
    if not state.converged:
        warnings.warn(
            f"{subject} did not converge in {state.iteration} steps. Increase max_iter or tol, "
            "decrease C, or scale the features.",
            ConvergenceWarning,
            stacklevel=stacklevel + 1,
        )


def _positive(diagonal):
    """Return a diagonal, 1 where a free coefficient has no data."""
    return np.where(diagonal > 0, diagonal, 1.0)


def scaled_norm(gradient: FloatArray, diagonal: FloatArray) -> float:
    """Return the norm of a gradient, each part scaled by the root of the curvature's diagonal."""
    return float(np.sqrt(dot(gradient, gradient / _positive(diagonal))))


def _search_line(loss, point, step, image, decrease):
    """Halve a step from 1 until the loss falls by a part of what its slope promises.

    Margins move along with the weights, so a trial costs no product with D to find its value.
    """
    length, slack = 1.0, ROUNDING * abs(point.value)
    for _ in range(50):
        moved = loss.at(point.weights + length * step, point.margins + length * image)
        if moved.value <= point.value - 1e-4 * length * decrease + slack:
            break
        length /= 2
    return moved
