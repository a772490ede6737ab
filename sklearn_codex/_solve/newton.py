"""Newton's method for smooth losses of a vector that are more than margins of pairs.

``bradley_terry`` has the same steps for margins that move on a line, where a line search is cheap;
here a loss says its value, gradient and curvature at a point, and the curvature is never a matrix.
"""

import warnings
from dataclasses import dataclass
from itertools import count
from numbers import Real
from typing import Protocol

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
)

# A step that promises less than this part of the loss cannot be told from none.
ROUNDING = 16 * np.finfo(np.float64).eps
LEVEL = Interval(Real, 0, 1, closed="neither")


class Curvature(Protocol):
    """A positive definite matrix H: the Hessian, or the Fisher information in its place."""

    def product(self, direction: FloatArray) -> FloatArray:
        """Return H d."""
        ...

    def diagonal(self) -> FloatArray:
        """Return the diagonal of H."""
        ...


class SmoothLoss(Protocol):
    """What is minimised. Outside its domain the value is infinite."""

    def value(self, params: FloatArray) -> float:
        """Return f."""
        ...

    def gradient(self, params: FloatArray) -> FloatArray:
        """Return the gradient of f."""
        ...

    def curvature(self, params: FloatArray) -> Curvature:
        """Return the curvature of f."""
        ...


@dataclass(frozen=True)
class Minimum:
    """Where the solver ended.

    Attributes
    ----------
    params : ndarray
        The point.
    value : float
        f there.
    n_iter : int
        Newton steps taken.
    converged : bool
        Whether it is the minimum, up to ``tol`` or to rounding.
    """

    params: FloatArray
    value: float
    n_iter: int
    converged: bool


def minimise(loss: SmoothLoss, start: FloatArray, *, tol: float, max_iter: int) -> Minimum:
    """Minimise a smooth loss by preconditioned Newton-CG with a line search.

    Stops when the norm of the gradient, each part scaled by the root of the curvature's diagonal,
    is at most ``tol`` times that at the start, or a step promises less than rounding takes.

    Raises
    ------
    ValueError
        If the gradient or the curvature leaves the range of floats.
    """
    params = np.array(start, dtype=np.float64)
    value, reference, at_precision = loss.value(params), 0.0, False
    for iteration in count():
        gradient, curvature = loss.gradient(params), loss.curvature(params)
        diagonal = _positive(curvature.diagonal())
        norm = float(np.sqrt(np.sum(gradient * (gradient / diagonal))))
        check_within_floats(gradient, norm, value, diagonal.max(initial=1.0))
        reference = reference if iteration else norm
        converged = at_precision or norm <= tol * reference
        if converged or iteration >= max_iter:
            break
        forcing = min(0.1, np.sqrt(norm / reference))
        step = solve(curvature, -gradient, tol=forcing)
        decrease = -float(np.sum(gradient * step))
        at_precision = bool(decrease <= ROUNDING * abs(value))
        params, value = _search_line(loss, params, value, step, decrease)
    return Minimum(params, value, iteration, bool(converged))


def solve(curvature: Curvature, right: FloatArray, *, tol: float = 1e-10) -> FloatArray:
    """Return H^-1 b by conjugate gradients, preconditioned with the diagonal of H."""
    preconditioner = Preconditioner(_positive(curvature.diagonal()))
    return conjugate_gradients(lambda d: (curvature.product(d), d), preconditioner, right, tol=tol)[
        0
    ]


def normal_quantile(confidence_level: float) -> float:
    """Return the half-width, in standard errors, of a normal interval."""
    level = check_number(
        confidence_level, "confidence_level", subject="An interval", interval=LEVEL
    )
    return float(norm.ppf((1 + level) / 2))


def standard_errors(curvature: Curvature, positions, *, scale: float = 1.0) -> FloatArray:
    """Return the standard errors of some parameters: the roots of scale times diag(H^-1) there."""
    n_params = len(curvature.diagonal())
    variances = []
    for position in positions:
        unit = np.zeros(n_params)
        unit[position] = 1.0
        variances.append(solve(curvature, unit)[position])
    return np.sqrt(scale * np.maximum(variances, 0.0))


def warn_unless_converged(minimum: Minimum, *, subject: str, stacklevel: int = 2) -> None:
    """Warn of a fit that ended for want of steps."""
    if not minimum.converged:
        warnings.warn(
            f"{subject} did not converge in {minimum.n_iter} steps. Increase max_iter or tol, "
            "decrease C, or scale the features.",
            ConvergenceWarning,
            stacklevel=stacklevel + 1,
        )


def _positive(diagonal):
    return np.where(diagonal > 0, diagonal, 1.0)


def _search_line(loss, params, value, step, decrease):
    """Halve a step from 1 until the loss falls by a part of what its slope promises."""
    length, slack = 1.0, ROUNDING * abs(value)
    for _ in range(50):
        moved = params + length * step
        found = loss.value(moved)
        if found <= value - 1e-4 * length * decrease + slack:
            return moved, found
        length /= 2
    return params, value
