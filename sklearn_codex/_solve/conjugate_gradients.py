"""Conjugate gradients: the one solver of the linear systems in Newton's method."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

# Enough for any well-posed problem; a truncated solve is still a descent direction.
MAX_STEPS = 1000

# Added to the unit diagonal of a scaled block, so that columns that depend on each other can stay.
RIDGE = 1e-6
# Energy of a residual, as a multiple of that at the start, which is of rounding alone.
LOST = 1 / float(np.finfo(np.float64).eps) ** 2

Vector = NDArray[np.float64]


def dot(left: Vector, right: Vector) -> float:
    """Return the inner product of two vectors (n,).

    Not by BLAS, whose result depends on its number of threads and which, for vectors this short,
    takes longer to start them than to add.
    """
    return float(np.sum(left * right))


def check_within_floats(gradient: Vector, norm: float, *values: float) -> None:
    """Check that a fit can be followed: its gradient and its norm, and other values, are floats.

    Where squares of features leave the range of floats, a norm of 0 or infinity would pass for that
    of an optimum.

    Raises
    ------
    ValueError
        If one is not finite, or the norm is 0 and the gradient is not.
    """
    if np.isfinite([norm, *values]).all() and (norm > 0 or not np.any(gradient)):
        return
    small = np.isfinite(values).all() and norm == 0
    raise ValueError(
        "The fit leaves the range of floats: the "
        + ("norm of its gradient is rounded to 0" if small else "loss or its curvature is infinite")
        + f". Features, or C, are too {'small' if small else 'great'}. Scale the features, for "
        "instance by sklearn.preprocessing.StandardScaler or MaxAbsScaler."
    )


class Preconditioner:
    """An approximation of H that is cheap to solve: its diagonal, and perhaps one block of it.

    Parameters
    ----------
    diagonal : ndarray of shape (V,)
        Diagonal of H, positive.
    columns : ndarray of int of shape (k,), default=None
        Positions of the block, where there is one.
    block : ndarray of shape (k, k), default=None
        Rows and columns of H at these positions.
    """

    def __init__(
        self,
        diagonal: Vector,
        columns: NDArray[np.intp] | None = None,
        block: Vector | None = None,
    ):
        self.diagonal = diagonal
        self.columns = columns
        if columns is not None and block is not None:
            # Its own diagonal: after rounding, another might leave it not positive definite.
            own = np.diag(block)
            self._root = np.sqrt(np.where(own > 0, own, 1.0))  # (k,)
            scaled = block / np.outer(self._root, self._root)
            scaled[np.diag_indices_from(scaled)] = 1 + RIDGE
            self._factor = cho_factor(scaled, lower=True, check_finite=False)

    def solve(self, residual: Vector) -> Vector:
        """Return what H^-1 r is about (V,)."""
        solution = residual / self.diagonal
        if self.columns is not None:
            scaled = residual[self.columns] / self._root
            scaled = cho_solve(self._factor, scaled, check_finite=False) / self._root
            solution[self.columns] = scaled
        return solution


def conjugate_gradients(
    product: Callable[[Vector], tuple[Vector, Vector]],
    preconditioner: Preconditioner,
    right: Vector,
    *,
    tol: float,
    max_steps: int = MAX_STEPS,
) -> tuple[Vector, Vector]:
    """Return x and D x for H x = b, H being positive definite and D what it is made of.

    Parameters
    ----------
    product : callable
        Returns H d (V,) and, as it is computed on the way, D d (n,); n may be 0 where nobody asks.
    preconditioner : Preconditioner
        Approximates H.
    right : ndarray of shape (V,)
        b.
    tol : float
        Stops when the norm of the residual r, the root of r' P^-1 r with P the preconditioner, is
        at most this part of that of b, or where rounding leaves nothing to gain.
    max_steps : int, default=MAX_STEPS
        Stops after this many, too.
    """
    solution: Vector = np.zeros_like(right)
    image: Vector = np.zeros(0)
    residual = right.copy()
    preconditioned = preconditioner.solve(residual)
    direction = preconditioned.copy()
    energy = dot(residual, preconditioned)
    target = tol**2 * energy
    lost = LOST * energy
    for step in range(max_steps):
        bent, moved = product(direction)
        if step == 0:
            image = np.zeros_like(moved)
        with np.errstate(over="ignore", invalid="ignore"):
            bend = dot(direction, bent)
        if not 0 < bend < np.inf:
            break
        length = energy / bend
        solution += length * direction
        image += length * moved
        residual -= length * bent
        preconditioned = preconditioner.solve(residual)
        previous, energy = energy, dot(residual, preconditioned)
        if energy <= target or energy > lost:
            break
        direction *= energy / previous
        direction += preconditioned
    return solution, image
