"""Linear equations with one unknown a context, and the weights of all that can follow one."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.sparse.linalg import (
    ArpackNoConvergence,
    LinearOperator,
    bicgstab,
    eigs,
    gmres,
    splu,
)

from sklearn_codex._categorical import FloatArray
from sklearn_codex.exact._eos_length import LengthExplosionError
from sklearn_codex.exact._ngram_kernel import ContextKernel, ContextOperator

# Contexts up to which equations are solved by factors, to all digits.
_FEW_CONTEXTS = 1500
# Residuals of equations, as a share of their right side.
_TOL = 1e-13
_ROUNDS, _ROUND_TOL = 8, 1e-7
# Newton's method in the logarithms: change at which the next is rounding, and steps at most.
_CHANGE, _MOST_STEPS = 1e-12, 200
# Nats that a sum over tokens may have where the equation itself is solved first.
_MODERATE = 200.0
# Steps over whose later half growth beyond floats is a mean.
_GROWTH_STEPS = 360
# Steps towards the vector of a spectral radius before it is one of floats; contexts up to which
# all eigenvalues are computed.
_POWER_STEPS, _FEW_EIGENVALUES, _MOST_PRODUCTS = 200, 300, 2000
# The same for the vector itself; change of its logarithms that is rounding.
_LONG_RUN_STEPS, _SAME = 10_000, 1e-13
# The logarithm of a spectral radius that is rounding.
_ZERO = 1e-11


class ContextEquation:
    """The equation (I - K) y = b of an operator, or of its transpose.

    Few contexts are solved by sparse factors, many by BiCGSTAB, with GMRES where that breaks down.
    What a pass through the levels does is part of the operator: it is the preconditioner.
    """

    def __init__(self, operator: ContextOperator):
        self._operator = operator
        self._n = len(operator.down)
        self._factors: Any = None
        if self._n <= _FEW_CONTEXTS:
            try:
                self._factors = splu(operator.written_whole())
            except RuntimeError:  # exactly singular
                self._factors = False

    def solve(self, right: FloatArray, *, tol: float = _TOL) -> FloatArray | None:
        """Return y (C,), None where there is no solution to a relative residual of ``tol``."""
        if self._factors is not None:
            if not self._factors:
                return None
            base = right.copy()
            suffix, down = self._operator.kernel.trie.suffix, self._operator.down
            base -= down * right[suffix]
            found = self._factors.solve(base)
            return found if np.isfinite(found).all() else None
        return self._iterate(self._operator.dot, right, tol)

    def solve_transposed(self, right: FloatArray, *, tol: float = _TOL) -> FloatArray | None:
        """Return d (C,) of (I - K') d = b, None where there is none."""
        if self._factors is not None:
            if not self._factors:
                return None
            flow = self._factors.solve(right, trans="T")
            suffix, down = self._operator.kernel.trie.suffix, self._operator.down
            found = flow - np.bincount(suffix[1:], (down * flow)[1:], self._n)
            return found if np.isfinite(found).all() else None
        return self._iterate(self._operator.transposed_dot, right, tol)

    def _iterate(self, product, right, tol):
        """Solve in rounds, each for what the last one left."""
        operator = LinearOperator(
            (self._n, self._n), matvec=lambda y: y - product(y), dtype=np.float64
        )
        size = float(np.linalg.norm(right))
        solution, left = np.zeros(self._n), right
        best = size
        for _ in range(_ROUNDS):
            if best <= tol * size:
                break
            share = max(_ROUND_TOL, 0.5 * tol * size / best)
            with np.errstate(all="ignore"):
                step, _ = bicgstab(operator, left, rtol=share, maxiter=1000)
                rest = left - operator.matvec(step)
                if not np.linalg.norm(rest) < 0.5 * best:
                    step, _ = gmres(operator, left, rtol=share, restart=60, maxiter=10)
                    rest = left - operator.matvec(step)
            norm = float(np.linalg.norm(rest))
            if not norm < 0.9 * best:
                break
            solution, best = solution + step, norm
            left = right - operator.matvec(solution)
        return solution if best <= max(10 * tol, 1e-10) * size else None


def log_desirability(
    kernel: ContextKernel, needed: np.ndarray, fallback: Callable[[], FloatArray]
) -> FloatArray:
    r"""Return the logarithm z (C,) of the weight of all documents that begin in each context.

    Parameters
    ----------
    kernel : ContextKernel
        Weights of tokens.
    needed : ndarray of bool of shape (C,)
        Contexts that documents get to.
    fallback : callable
        Returns the logarithms (C,) to start from where the equation is beyond floats, those of some
        policy whose documents end.

    Returns
    -------
    log_z : ndarray of shape (C,)
        ``-inf`` where no document can end. It solves z = K z + ends.

    Raises
    ------
    LengthExplosionError
        If there is none, as longer documents weigh ever more in contexts that are needed.
    ValueError
        If there is one that the iterations do not find.

    Notes
    -----
    The solution of a linear equation that is positive everywhere is the one; its digits come from
    Newton's method in the logarithms, :math:`\delta = (\log Z - \log z) + P \delta` with the policy
    P that the last step is best for: policy iteration, which overflows nowhere and rises to the
    solution from any policy that ends.
    """
    alive = kernel.can_end()
    try:
        return _solve_alive(_among(kernel, alive), alive, fallback)
    except LengthExplosionError:
        if not (alive & ~needed).any():
            raise
    alive &= needed
    return _solve_alive(_among(kernel, alive), alive, fallback)


def _among(kernel, alive):
    """Return the kernel without arcs to contexts that no document gets on from, or from them."""
    if alive.all():
        return kernel
    trie = kernel.trie
    good = np.append(alive, True)[trie.next] & alive[trie.arc_context]
    weights = np.where(good, kernel.arc_log_weight, -np.inf)
    ends = np.zeros(trie.n_contexts - 1)
    return ContextKernel(trie, np.concatenate([weights, kernel.backoff_log_weight[1:], ends]))


def _solve_alive(kernel, alive, fallback):
    log_z = np.where(alive, 0.0, -np.inf)
    if not alive.any():
        return log_z
    sums = kernel.log_sums()
    start = _linear_start(kernel, sums, alive)
    if start is None and log_spectral_radius(kernel, alive)[0] >= -_ZERO:
        raise LengthExplosionError("The length of documents explodes.")
    log_z[alive] = (fallback() if start is None else start)[alive]
    length = 1.0
    for k in range(_MOST_STEPS):
        parts = kernel.log_sum_parts(kernel.after(log_z))
        sums = np.add(*parts)
        residual = np.where(alive, sums - np.where(alive, log_z, 0.0), 0.0)
        size = max(1.0, float(np.abs(log_z[alive]).max()))
        largest = float(np.abs(residual).max())
        if not np.isfinite(largest):
            break
        if largest <= 4e-16 * size or length * largest <= _CHANGE * size:
            return np.where(alive, sums, -np.inf)
        equation = ContextEquation(kernel.operator(log_z, parts))
        change = equation.solve(residual, tol=1e-7)
        if change is None or (k > 0 and change.min() < -1e-6 * size):
            break
        length = max(1.0, float(np.abs(change).max()) / largest)
        before = log_z
        log_z = np.where(alive, log_z + change, -np.inf)
        if np.array_equal(before[alive], log_z[alive]):
            return log_z
    if len(alive) > _FEW_CONTEXTS and log_spectral_radius(kernel, alive)[0] < -_ZERO:
        raise ValueError(
            "The weights of documents were not found to a relative residual of 1e-10: either "
            "length all but explodes, or rewards are too vast for so many contexts. Raise kl_coef."
        )
    raise LengthExplosionError("The length of documents explodes.")


def _linear_start(kernel, sums, alive):
    """Return the logarithm of the solution where it is one of floats and positive, else None."""
    if not np.abs(sums[alive]).max() <= _MODERATE:
        return None
    log_z = np.where(alive, 0.0, -np.inf)
    operator = kernel.operator(log_z, (log_z, np.zeros(len(log_z))))
    solution = ContextEquation(operator).solve(operator.ends, tol=_ROUND_TOL)
    if solution is None or not (solution[alive] > 0).all():
        return None
    with np.errstate(divide="ignore"):
        return np.log(np.where(alive, solution, 0.0))


def log_spectral_radius(
    kernel: ContextKernel, among: np.ndarray, log_vector: FloatArray | None = None
) -> tuple[float, FloatArray]:
    """Return the logarithm of what a long document gains in weight by one token more.

    Parameters
    ----------
    kernel : ContextKernel
        Weights of tokens.
    among : ndarray of bool of shape (C,)
        Contexts to which documents are confined.
    log_vector : ndarray of shape (C,) or None, default=None
        Logarithm of a vector near to that of the greatest eigenvalue.

    Returns
    -------
    log_radius : float
    log_vector : ndarray of shape (C,)
    """
    inner = _confined(kernel, among)
    if log_vector is None:
        log_vector = np.where(among, 0.0, -np.inf)
    for _ in range(_POWER_STEPS):
        moved = inner.log_sums(inner.after(log_vector, -np.inf))
        inside = np.isfinite(moved) & np.isfinite(log_vector)
        if not inside.any():
            return -np.inf, log_vector
        growth = moved[inside] - log_vector[inside]
        top = float(growth.max())
        if np.ptp(growth) < 1e-13 * max(1.0, float(np.abs(growth).max())):
            return float(growth.mean()), log_vector
        if np.ptp(growth) < _MODERATE:
            break
        # Half of a step stands still, so that cycles do not swing for ever.
        log_vector = np.logaddexp(moved - top, log_vector)
        log_vector -= log_vector.max()
    return _greatest_eigenvalue(inner, log_vector, top)


def long_run_weight(kernel: ContextKernel, among: np.ndarray) -> tuple[FloatArray, float]:
    """Return what a context does to the weight of long documents, those that never end.

    By power iteration on the steps between contexts and the identity.

    Parameters
    ----------
    kernel : ContextKernel
        Weights of tokens.
    among : ndarray of bool of shape (C,)
        Contexts to which documents are confined.

    Returns
    -------
    log_vector : ndarray of shape (C,)
        Logarithm of the eigenvector of the greatest eigenvalue.
    change : float
        What a step still changes, in nats; 0 where it is rounding.
    """
    inner = _confined(kernel, among)
    log_vector = log_spectral_radius(kernel, among)[1]
    for _ in range(_LONG_RUN_STEPS):
        moved = inner.log_sums(inner.after(log_vector, -np.inf))
        moved = np.logaddexp(moved - moved.max(), log_vector)
        moved -= moved.max()
        inside = np.isfinite(moved)
        change = float(np.abs(moved[inside] - log_vector[inside]).max())
        log_vector = moved
        if change <= _SAME * max(1.0, float(np.abs(log_vector[inside]).max())):
            return log_vector, 0.0
    return log_vector, change


def _confined(kernel, among):
    """Return the kernel of documents that stay among some contexts (C,) and never end."""
    trie = kernel.trie
    stays = ~kernel.ends & among[trie.arc_context] & np.append(among, False)[trie.next]
    weights = np.where(stays, kernel.arc_log_weight, -np.inf)
    ends = np.zeros(trie.n_contexts - 1)
    return ContextKernel(trie, np.concatenate([weights, kernel.backoff_log_weight[1:], ends]))


def _greatest_eigenvalue(kernel, log_vector, top):
    """Return the logarithms of the spectral radius and of its vector.

    From a vector, in which unit all weights are e^top at most.
    """
    operator = kernel.operator(log_vector, (log_vector, np.full(len(log_vector), top)))
    inside = np.isfinite(log_vector)
    n = len(log_vector)
    if n <= _FEW_EIGENVALUES:
        whole = np.column_stack([operator.dot(column) for column in np.eye(n)])
        values, vectors = np.linalg.eig(whole)
        best = int(np.argmax(values.real))
        value, vector = values[best], vectors[:, best]
    else:
        value, vector = _by_arnoldi(operator, inside.astype(float))
    radius = float(value.real)
    if radius <= 0:
        return _mean_growth(kernel, log_vector), log_vector
    size = np.abs(vector)
    with np.errstate(divide="ignore"):
        moved = log_vector + np.log(np.maximum(size, 1e-300 * size.max()))
    return top + float(np.log(radius)), np.where(inside, moved - moved[inside].max(), -np.inf)


def _mean_growth(kernel, log_vector):
    """Return what a token adds to the logarithm of the weight, in the later half of many steps.

    Where weights are so far from each other that no floats hold all of them.
    """
    first = 0.0
    for step in range(2 * _GROWTH_STEPS):
        log_vector = kernel.log_sums(kernel.after(log_vector, -np.inf))
        top = float(log_vector.max())
        if top == -np.inf:
            return -np.inf
        if step + 1 == _GROWTH_STEPS:
            first = top
    return (top - first) / _GROWTH_STEPS


def _by_arnoldi(operator, start):
    """Return the eigenvalue of greatest real part and its vector, of an operator of many rows."""
    product = LinearOperator((len(start), len(start)), matvec=operator.dot, dtype=np.float64)
    try:
        values, vectors = eigs(product, k=1, which="LR", v0=start, tol=1e-11, ncv=20, maxiter=60)
        return values[0], vectors[:, 0]
    except ArpackNoConvergence:
        # Steps go on to its vector, at worst slowly.
        for _ in range(_MOST_PRODUCTS):
            moved = operator.dot(start) + start
            start, before = moved / np.linalg.norm(moved), start
            if np.abs(start - before).max() <= 1e-13:
                break
        return float(np.linalg.norm(operator.dot(start))), start
