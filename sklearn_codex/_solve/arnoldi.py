"""Arnoldi's process: linear systems whose operators need not be symmetric."""

from collections.abc import Callable

import numpy as np

from sklearn_codex._solve.conjugate_gradients import Vector

# How many vectors are added before the residual is looked at, at least, and as a part of all.
_AT_A_TIME, _PART = 8, 0.25
# Vectors that show well enough where eigenvalues begin.
_SHOW = 120
# The part of a vector that is left of it, beyond others, where it is rounding alone.
_NOTHING = 1e-14

Operator = Callable[[Vector], Vector]


class Krylov:
    """An orthonormal basis of the images of a vector, and the operator on it.

    Parameters
    ----------
    product : callable
        Returns A d (n,).
    start : ndarray of shape (n,)
        b, not 0.
    most : int
        At most this many vectors.
    """

    def __init__(self, product: Operator, start: Vector, most: int):
        self._product, most = product, min(most, len(start))
        self.length = float(np.linalg.norm(start))
        self._basis = np.empty((most + 1, len(start)))
        self._basis[0] = start / self.length
        self._hessenberg = np.zeros((most + 1, most))
        self.size, self.is_whole = 0, False

    @property
    def hessenberg(self) -> Vector:
        """The operator on the basis (size + 1, size)."""
        return self._hessenberg[: self.size + 1, : self.size]

    def grow(self) -> None:
        """Add a vector."""
        k = self.size
        image = self._product(self._basis[k])
        size, others = float(np.linalg.norm(image)), self._basis[: k + 1]
        for _ in range(2):  # once more, for what rounding left
            shares = others @ image
            self._hessenberg[: k + 1, k] += shares
            image = image - shares @ others
        left = float(np.linalg.norm(image))
        self.size = k + 1
        # Also where the range of floats was left.
        self.is_whole = not left > _NOTHING * size or self.size == self._hessenberg.shape[1]
        if left > _NOTHING * size:
            self._hessenberg[k + 1, k] = left
            self._basis[k + 1] = image / left

    @property
    def eigenvalues(self) -> np.ndarray:
        """Eigenvalues (k,) on the basis, about the outermost ones of the operator."""
        size = min(self.size, _SHOW)
        return np.linalg.eigvals(self._hessenberg[:size, :size])

    def combined(self, shares: Vector) -> Vector:
        """Return the sum (n,) of the vectors of the basis by shares (size,)."""
        return shares @ self._basis[: self.size]


def solve(product: Operator, right: Vector, *, tol: float, most: int) -> tuple[Vector, Krylov]:
    """Return x of least residual for A x = b, by GMRES, and the basis that it was found in.

    Parameters
    ----------
    product : callable
        Returns A d (n,).
    right : ndarray of shape (n,)
        b, not 0.
    tol : float
        Stops when the norm of the residual is at most this part of that of b.
    most : int
        At most this many products.

    Returns
    -------
    x : ndarray of shape (n,)
        NaN where a product leaves the range of floats.
    krylov : Krylov

    References
    ----------
    .. [1] Saad, Y. and Schultz, M. H. (1986). "GMRES: a generalized minimal residual algorithm for
       solving nonsymmetric linear systems." SIAM Journal on Scientific and Statistical Computing
       7(3), 856-869.
    """
    krylov = Krylov(product, right, most)
    while True:
        for _ in range(max(_AT_A_TIME, int(_PART * krylov.size))):
            if not krylov.is_whole:
                krylov.grow()
        matrix, first = krylov.hessenberg, np.zeros(krylov.size + 1)
        first[0] = krylov.length
        if not np.isfinite(matrix).all():
            return np.full_like(right, np.nan), krylov
        shares = np.linalg.lstsq(matrix, first, rcond=None)[0].astype(np.float64)
        residual = float(np.linalg.norm(first - matrix @ shares))
        if krylov.is_whole or residual <= tol * krylov.length:
            return krylov.combined(shares), krylov
