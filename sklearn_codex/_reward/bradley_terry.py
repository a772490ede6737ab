"""Bradley-Terry maths: the penalised log-loss of reward margins, and the solver that fits it.

Margins m = D w are linear in the weights w (V,); row i of D is phi(A_i) - phi(B_i). D is only ever
multiplied, so a difference matrix, or the features of unique responses with pair indices, will do.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit

from sklearn_codex._categorical import FloatArray, IntArray
from sklearn_codex._solve.conjugate_gradients import (
    Preconditioner,
    check_within_floats,
    conjugate_gradients,
)

# Sums of many floats are uncertain by a few units in the last place, so a step that promises less
# than this part of the objective cannot be told from no step.
ROUNDING = 16 * np.finfo(np.float64).eps

# The most frequent words make most of what the diagonal of the Hessian does not tell. More columns
# than this cost more than they save.
MAX_BLOCK = 32
# With fewer features the diagonal alone needs few products.
MIN_FEATURES = 256


def _dot(left: FloatArray, right: FloatArray) -> float:
    """Return the inner product of two vectors (n,), by sums as in ``conjugate_gradients``."""
    return float(np.sum(left * right))


class MarginOperator(Protocol):
    """What the loss asks of D (n_pairs, V)."""

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

    def column_squares(self, pair_weights: FloatArray) -> FloatArray:
        """Return sum over i of h_i D_ij^2 (V,), the diagonal of D' diag(h) D."""
        ...


class BradleyTerryLoss:
    r"""Penalised Bradley-Terry log-loss in the convention of ``LogisticRegression``.

    Parameters
    ----------
    design : MarginOperator of shape (n_pairs, V)
        Turns weights into margins.
    target : array-like of shape (n_pairs,)
        Probability, in [0, 1], that A is preferred; 0.5 is a tie.
    sample_weight : array-like of shape (n_pairs,), default=None
        Weights of pairs; None means 1.
    C : float, default=1.0
        Inverse strength of the penalty.
    penalty : array-like of shape (V,), default=None
        Factor of the penalty for each coefficient; 0 leaves a coefficient free. None means 1.

    Notes
    -----
    With targets p, sample weights s, penalty factors q and the logistic function sigma,

    .. math::
        f(w) = C \sum_i s_i [-p_i \log \sigma(m_i) - (1 - p_i) \log \sigma(-m_i)]
               + \tfrac{1}{2} \sum_j q_j w_j^2, \quad m = D w.

    Where all q = 1, f is strongly convex with modulus 1, so a gradient g at w bounds the distance
    to the optimum: :math:`\|w - w^*\| \le \|g\|`, :math:`f(w) - f(w^*) \le \|g\|^2 / 2`.
    """

    def __init__(
        self,
        design: MarginOperator,
        target: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        C: float = 1.0,
        penalty: ArrayLike | None = None,
    ):
        n_pairs, n_features = design.shape
        self.design = design
        self.target = np.asarray(target, dtype=np.float64)  # (n_pairs,)
        weight = np.ones(n_pairs) if sample_weight is None else np.asarray(sample_weight)
        self.pair_weight = C * weight.astype(np.float64)  # (n_pairs,)
        if penalty is None:
            penalty = np.ones(n_features)
        self.penalty = np.asarray(penalty, dtype=np.float64)  # (V,)

    @property
    def n_features(self) -> int:
        """Number of weights, V."""
        return self.design.shape[1]

    def margins(self, weights: FloatArray) -> FloatArray:
        """Return m = D w (n_pairs,)."""
        return self.design.matvec(weights)

    def pair_losses(self, margins: FloatArray) -> FloatArray:
        """Return the log-loss of each pair (n_pairs,), in nats, unweighted and unpenalised."""
        # log(1 + e^-|m|) plus |m| times the probability of the side the margin is against: exact
        # in both tails, where log(1 + e^m) - p m would cancel.
        against = np.where(margins > 0, 1 - self.target, self.target)
        return np.log1p(np.exp(-np.abs(margins))) + against * np.abs(margins)

    def value(self, weights: FloatArray, margins: FloatArray) -> float:
        """Return f(w)."""
        penalty = 0.5 * _dot(self.penalty, weights**2)
        return _dot(self.pair_weight, self.pair_losses(margins)) + penalty

    def gradient(self, weights: FloatArray, margins: FloatArray) -> FloatArray:
        """Return the gradient of f (V,): D' (C s (sigma(m) - p)) + q w."""
        residuals = (1 - self.target) * expit(margins) - self.target * expit(-margins)
        return self.design.rmatvec(self.pair_weight * residuals) + self.penalty * weights

    def value_and_gradient(self, weights: FloatArray) -> tuple[float, FloatArray]:
        """Return f(w) and its gradient (V,)."""
        margins = self.margins(weights)
        return self.value(weights, margins), self.gradient(weights, margins)

    def curvature(self, margins: FloatArray) -> FloatArray:
        """Return the second derivative of each pair's weighted loss by its margin (n_pairs,)."""
        return self.pair_weight * expit(margins) * expit(-margins)

    def hessian_product(
        self, curvature: FloatArray, direction: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Return H d (V,) and, computed on the way, D d (n_pairs,)."""
        moved = self.design.matvec(direction)
        return self.design.rmatvec(curvature * moved) + self.penalty * direction, moved

    def hessian_diagonal(self, curvature: FloatArray) -> FloatArray:
        """Return the diagonal of the Hessian (V,)."""
        return self.design.column_squares(curvature) + self.penalty

    def choose_block(self, diagonal: FloatArray) -> IntArray:
        """Return the columns (k,) of greatest curvature that are worth a dense block.

        Their differences take at most half as much memory as the entries of a sparse design; for
        others, and for few features, there is none.
        """
        if self.n_features < MIN_FEATURES:
            return np.empty(0, dtype=np.intp)
        n_entries = getattr(self.design, "n_entries", 0)
        size = min(MAX_BLOCK, n_entries // (2 * max(1, self.design.shape[0])))
        return np.argsort(-diagonal, kind="stable")[:size]

    def hessian_block(
        self, curvature: FloatArray, columns: IntArray, differences: FloatArray
    ) -> FloatArray:
        """Return the Hessian (k, k) of the columns whose differences (n_pairs, k) these are."""
        block = differences.T @ (curvature[:, np.newaxis] * differences)
        return block + np.diag(self.penalty[columns])


@dataclass(frozen=True)
class FitState:
    """Where the solver stands after an iteration.

    Attributes
    ----------
    iteration : int
        Newton steps taken so far.
    weights : ndarray of shape (V,)
        w.
    margins : ndarray of shape (n_pairs,)
        D w.
    objective : float
        f(w).
    gradient_norm : float
        Norm of the gradient relative to that at w = 0, as in the stop criterion.
    converged : bool
        Whether the solver stops here because it has arrived.
    """

    iteration: int
    weights: FloatArray
    margins: FloatArray
    objective: float
    gradient_norm: float
    converged: bool


def fit_weights(
    loss: BradleyTerryLoss,
    initial_weights: FloatArray | None = None,
    *,
    tol: float = 1e-8,
    max_iter: int = 100,
    callback: Callable[[FitState], object] | None = None,
) -> FitState:
    r"""Minimise a Bradley-Terry loss by preconditioned Newton-CG with a line search.

    Each iteration solves the Newton system by conjugate gradients, preconditioned with the diagonal
    of the Hessian, and for a sparse design its block of the most frequent columns, only as exactly
    as the distance to the optimum deserves [1]_, and halves the step until the objective falls
    enough.

    Parameters
    ----------
    loss : BradleyTerryLoss
        What to minimise.
    initial_weights : ndarray of shape (V,), default=None
        Where to start; None means zero.
    tol : float, default=1e-8
        See Notes.
    max_iter : int, default=100
        At most this many Newton steps.
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
    With gradient g and Hessian diagonal h, the norm of a gradient is
    :math:`(\sum_j g_j^2 / h_j)^{1/2}`, which no scaling of columns changes when the penalty is
    weak. The solver stops when it is at most ``tol`` times its value at w = 0 (wherever it
    started), or when a whole Newton step promises a decrease below the rounding error of f.

    References
    ----------
    .. [1] Dembo, R. S. and Steihaug, T. (1983). "Truncated-Newton algorithms for large-scale
       unconstrained optimization." Mathematical Programming 26, 190-212.
    """
    start = np.zeros(loss.n_features)
    weights = start if initial_weights is None else np.array(initial_weights, dtype=np.float64)
    reference = 0.0 if initial_weights is None else _gradient_norm(loss, start)
    margins = loss.margins(weights)
    objective, at_precision = loss.value(weights, margins), False
    block = _Block(loss)
    for iteration in count():
        gradient = loss.gradient(weights, margins)
        curvature = loss.curvature(margins)
        diagonal = _positive_diagonal(loss, curvature)
        norm = _scaled_norm(gradient, diagonal)
        check_within_floats(gradient, norm, objective, diagonal.max(initial=1.0))
        if iteration == 0 and initial_weights is None:
            reference = norm
        converged = at_precision or norm <= tol * reference
        relative = norm / reference if reference > 0 else norm
        state = FitState(iteration, weights, margins, objective, relative, converged)
        if (callback is not None and callback(state)) or converged or iteration >= max_iter:
            break
        forcing = min(0.1, np.sqrt(relative))
        step, moved = conjugate_gradients(
            partial(loss.hessian_product, curvature),
            block.precondition(curvature, diagonal),
            -gradient,
            tol=forcing,
        )
        decrease = -_dot(gradient, step)
        at_precision = bool(decrease <= ROUNDING * abs(objective))
        weights, margins, objective = _search_line(loss, state, step, moved, decrease)
    return state


class _Block:
    """The columns that a fit of a loss treats together, chosen and formed at its first step."""

    def __init__(self, loss):
        self.loss = loss
        self.columns = None

    def precondition(self, curvature, diagonal):
        """Return the preconditioner of a step."""
        if self.columns is None:
            self.columns = self.loss.choose_block(diagonal)
            if len(self.columns):
                self.differences = self.loss.design.dense_columns(self.columns)
        if not len(self.columns):
            return Preconditioner(diagonal)
        block = self.loss.hessian_block(curvature, self.columns, self.differences)
        return Preconditioner(diagonal, self.columns, block)


def _positive_diagonal(loss, curvature):
    """Return the Hessian's diagonal (V,), 1 where a free coefficient has no data."""
    diagonal = loss.hessian_diagonal(curvature)
    return np.where(diagonal > 0, diagonal, 1.0)


def _scaled_norm(gradient, diagonal):
    return float(np.sqrt(_dot(gradient, gradient / diagonal)))


def _gradient_norm(loss, weights):
    margins = loss.margins(weights)
    diagonal = _positive_diagonal(loss, loss.curvature(margins))
    return _scaled_norm(loss.gradient(weights, margins), diagonal)


def _search_line(loss, state, step, moved, decrease):
    """Halve a step from 1 until the objective falls by a part of what its slope promises.

    Margins move along with the weights, so a trial costs no product with the design.
    """
    length = 1.0
    slack = ROUNDING * abs(state.objective)
    for _ in range(50):
        weights, margins = state.weights + length * step, state.margins + length * moved
        objective = loss.value(weights, margins)
        if objective <= state.objective - 1e-4 * length * decrease + slack:
            break
        length /= 2
    return weights, margins, objective
