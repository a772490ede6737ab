"""Bradley-Terry maths: the penalised log-loss of reward margins, and its curvature.

Margins m = D w are linear in the weights w (V,); row i of D is phi(A_i) - phi(B_i). D is only ever
multiplied, so a difference matrix, or the features of unique responses with pair indices, will do.
"""

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit

from sklearn_codex._categorical import FloatArray, IntArray
from sklearn_codex._solve.conjugate_gradients import Preconditioner, dot
from sklearn_codex._solve.fit_monitor import describe_pairs
from sklearn_codex._solve.newton import (
    FitState,
    MarginOperator,
    Point,
    SmoothLoss,
    gradient_norm,
    minimise,
    scaled_norm,
)

# The most frequent words make most of what the diagonal of the Hessian does not tell. More columns
# than this cost more than they save.
MAX_BLOCK = 32
# With fewer features the diagonal alone needs few products.
MIN_FEATURES = 256
# Of a dense design as many columns, if it has as many rows, are solved by their mean Gram matrix.
MAX_GRAM = 4096
# It is factored anew where the mean curvature is by more than this factor another.
MOST_DRIFT = 1.5
# A product of so few rows and MAX_BLOCK columns is made by one thread: several wait for each other
# on a busy machine, twenty times as long as it takes.
CHUNK_ROWS = 256
# Up to this many weights the precision that is kept of a fit is a matrix, beyond it the diagonal.
MAX_DENSE = 128
TINY = float(np.finfo(np.float64).tiny)


def pair_losses(margins: FloatArray, target: FloatArray) -> FloatArray:
    """Return -p log sigma(m) - (1 - p) log sigma(-m) of each pair (n_pairs,), in nats."""
    # log(1 + e^-|m|) plus |m| times the probability of the side the margin is against: exact in
    # both tails, where log(1 + e^m) - p m would cancel.
    against = np.where(margins > 0, 1 - target, target)
    return np.log1p(np.exp(-np.abs(margins))) + against * np.abs(margins)


@dataclass(frozen=True)
class PairCurvature:
    """Hessian of a Bradley-Terry loss, by the second derivatives of pairs.

    Attributes
    ----------
    loss : BradleyTerryLoss
        Of which.
    by_margin : ndarray of shape (n_pairs,)
        Second derivatives of its weighted pairs by their margins.
    """

    loss: Any
    by_margin: FloatArray

    def product(self, direction: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return H d (V,) and, computed on the way, D d (n_pairs,)."""
        bent, moved = self.loss.design.bend(self.by_margin, direction)
        return bent + self.loss.pull(direction), moved

    def diagonal(self) -> FloatArray:
        """Return the diagonal of the Hessian (V,), about where a product with all columns is dear.

        There it is that of pairs with the mean curvature of all, and where the loss is rough, of a
        sample of them.
        """
        loss, penalty = self.loss, self.loss.penalty
        penalty = penalty if penalty.ndim == 1 else np.diag(penalty)
        if not loss.uses_gram():
            return self.add_to(penalty)
        if loss.rough:
            return penalty + self.total() * np.diag(loss.design.mean_gram())
        return penalty + self.total() * loss.mean_squares()

    def total(self) -> float:
        """Return the sum of second derivatives, above 0."""
        return max(float(np.sum(self.by_margin)), TINY)

    def add_to(self, precision: FloatArray) -> FloatArray:
        """Return a precision, (V,) or (V, V), with that of the pairs added."""
        form = self.loss.design.column_squares if precision.ndim == 1 else self.loss.design.gram
        return precision + form(self.by_margin)

    def block(self, columns: IntArray, differences: FloatArray) -> FloatArray:
        """Return the Hessian (k, k) of the columns whose differences (n_pairs, k) these are."""
        penalty = self.loss.penalty[columns]
        data = np.zeros((len(columns), len(columns)))
        for start in range(0, len(differences), CHUNK_ROWS):
            part = differences[start : start + CHUNK_ROWS]
            data += part.T @ (self.by_margin[start : start + CHUNK_ROWS, np.newaxis] * part)
        return data + (np.diag(penalty) if penalty.ndim == 1 else penalty[:, columns])


class BradleyTerryLoss(SmoothLoss):
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
    penalty : array-like of shape (V,) or (V, V), default=None
        Factor of the penalty for each coefficient; 0 leaves a coefficient free. None means 1. Or
        the matrix of the penalty.
    mean : ndarray of shape (V,), default=None
        Where the penalty is 0: the weights before a batch of a stream. None means 0.
    rough : bool, default=False
        Whether the diagonal of the Hessian, which decides when a fit is near enough, may be that of
        a sample of a dense design. The steps do not depend on it. Of many dense columns it is
        that of the mean curvature of pairs in any case.

    Notes
    -----
    With targets p, sample weights s, the penalty Q, which is diag(q) where it is given by factors,
    and the logistic function sigma,

    .. math::
        f(w) = C \sum_i s_i [-p_i \log \sigma(m_i) - (1 - p_i) \log \sigma(-m_i)]
               + \tfrac{1}{2} (w - \mu)' Q (w - \mu), \quad m = D w.

    Where Q is the identity, f is strongly convex with modulus 1, so a gradient g at w bounds the
    distance to the optimum: :math:`\|w - w^*\| \le \|g\|`, :math:`f(w) - f(w^*) \le \|g\|^2 / 2`.
    """

    def __init__(
        self,
        design: MarginOperator,
        target: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        C: float = 1.0,
        penalty: ArrayLike | None = None,
        mean: FloatArray | None = None,
        rough: bool = False,
    ):
        n_pairs, self.n_features = design.shape
        self.design = design
        self.target = np.asarray(target, dtype=np.float64)  # (n_pairs,)
        self.weight = np.ones(n_pairs) if sample_weight is None else np.asarray(sample_weight)
        self.C = C
        self.pair_weight = C * self.weight.astype(np.float64)  # (n_pairs,)
        self.rough = rough
        self.mean = mean
        if penalty is None:
            penalty = np.ones(self.n_features)
        self.penalty = np.asarray(penalty, dtype=np.float64)  # (V,) or (V, V)
        self._block: tuple[IntArray, Any] | None = None
        self._by_gram: tuple[float, Preconditioner] | None = None
        self._at_zero: tuple[FloatArray, FloatArray] | None = None
        self._mean_squares: FloatArray | None = None

    def mean_squares(self) -> FloatArray:
        """Return the mean square of each column of the design (V,), by the weights of pairs."""
        if self._mean_squares is None:
            total = max(float(np.sum(self.weight)), TINY)
            self._mean_squares = self.design.column_squares(self.weight / total)
        return self._mean_squares

    def with_C(self, C: float) -> "BradleyTerryLoss":
        """Return the loss of another C, which shares what does not depend on it."""
        other = copy(self)
        other.C, other.pair_weight = C, C * self.weight.astype(np.float64)
        other._by_gram = None
        return other

    def norm_at_zero(self) -> float:
        """Return the norm of the gradient at zero weights, as :func:`gradient_norm`."""
        if self.mean is not None or self.penalty.ndim != 1:
            return gradient_norm(self, np.zeros(self.n_features))
        if self._at_zero is None:
            nothing = self.with_C(1.0).curvature(np.zeros(len(self.target)))
            self._at_zero = (
                self.design.rmatvec(self.weight * (0.5 - self.target)),
                nothing.diagonal() - self.penalty,
            )
        gradient, diagonal = (self.C * part for part in self._at_zero)
        return scaled_norm(gradient, diagonal + self.penalty)

    def uses_gram(self) -> bool:
        """Return whether steps are preconditioned by the mean Gram matrix of a dense design."""
        n_pairs, n_features = self.design.shape
        is_dense = getattr(self.design, "is_dense", False)
        return is_dense and MIN_FEATURES <= n_features <= min(n_pairs, MAX_GRAM)

    def pull(self, direction: FloatArray) -> FloatArray:
        """Return Q d (V,)."""
        return self.penalty * direction if self.penalty.ndim == 1 else self.penalty @ direction

    def image(self, step: FloatArray, found: FloatArray) -> FloatArray:
        """Return D d (n_pairs,), anew where products of conjugate gradients are not exact."""
        return self.design.matvec(step) if getattr(self.design, "bends_about", False) else found

    def at(self, weights: FloatArray, margins: FloatArray | None = None) -> Point:
        """Return f at w."""
        if margins is None:
            is_zero = not np.any(weights)
            margins = np.zeros(len(self.target)) if is_zero else self.design.matvec(weights)
        away = weights if self.mean is None else weights - self.mean
        pull = self.pull(away)
        value = dot(self.pair_weight, pair_losses(margins, self.target)) + 0.5 * dot(away, pull)
        return Point(weights, margins, value, kept=pull)

    def derivatives(self, point: Point) -> tuple[FloatArray, PairCurvature]:
        """Return the gradient D' (C s (sigma(m) - p)) + Q (w - mu) (V,), and the Hessian."""
        margins = point.margins
        residuals = (1 - self.target) * expit(margins) - self.target * expit(-margins)
        gradient = self.design.rmatvec(self.pair_weight * residuals) + point.kept
        return gradient, self.curvature(margins)

    def curvature(self, margins: FloatArray) -> PairCurvature:
        """Return the Hessian of f at margins."""
        return PairCurvature(self, self.pair_weight * expit(margins) * expit(-margins))

    def describe(self, point: Point) -> dict[str, float]:
        """Return what ``history_`` has of the pairs."""
        losses = pair_losses(point.margins, self.target)
        return describe_pairs(losses, point.margins, self.target, self.weight)

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

    def precondition(self, curvature: PairCurvature, diagonal: FloatArray) -> Preconditioner:
        """Return what solves quickly: all columns about, or the diagonal and a block of them.

        Of a dense design that is C' times its mean Gram matrix, C' being the sum of curvatures by
        margins, and the penalty, where the pairs tell more than it; of another the block that was
        chosen, and formed, at first.
        """
        if self.uses_gram():
            penalty = self.penalty if self.penalty.ndim == 1 else np.diag(self.penalty)
            if not self.rough and diagonal.sum() < 2 * penalty.sum():
                return Preconditioner(diagonal)
            return self._precondition_by_gram(curvature, diagonal)
        if self._block is None:
            columns = self.choose_block(diagonal)
            own: Any = self.design  # one of ours, which have more than a loss asks for
            differences = own.dense_columns(columns) if len(columns) else None
            self._block = columns, differences
        columns, differences = self._block
        if not len(columns):
            return Preconditioner(diagonal)
        return Preconditioner(diagonal, columns, curvature.block(columns, differences))

    def _precondition_by_gram(self, curvature, diagonal):
        """Return the factor of the mean Gram matrix, or the one before where it is near enough."""
        total = curvature.total()
        if self._by_gram is not None:
            factored, preconditioner = self._by_gram
            if 1 / MOST_DRIFT <= total / factored <= MOST_DRIFT:
                return preconditioner
        design: Any = self.design
        block = total * design.mean_gram()
        penalty = self.penalty
        block[np.diag_indices_from(block)] += penalty if penalty.ndim == 1 else 0.0
        preconditioner = Preconditioner(diagonal, np.arange(len(diagonal)), block)
        self._by_gram = total, preconditioner
        return preconditioner


def fit_weights(
    loss: Any,
    initial_weights: FloatArray | None = None,
    *,
    tol: float = 1e-8,
    max_iter: int = 100,
    callback: Callable[[FitState], object] | None = None,
) -> FitState:
    """Minimise a Bradley-Terry loss, from zero or from weights of another fit.

    Wherever it starts, ``tol`` is relative to the norm of the gradient at zero.

    Parameters
    ----------
    loss : BradleyTerryLoss or PartitionedLoss
        What to minimise.
    initial_weights : ndarray of shape (V,), default=None
        Where to start; None means zero.
    tol, max_iter, callback
        As in :func:`~sklearn_codex._solve.newton.minimise`.

    Returns
    -------
    state : FitState
        The last state.
    """
    zero = np.zeros(loss.n_features)
    settings: dict = {"tol": tol, "max_iter": max_iter, "callback": callback}
    if initial_weights is None:
        return minimise(loss, zero, **settings)
    if isinstance(loss, BradleyTerryLoss):
        return minimise(loss, initial_weights, reference=loss.norm_at_zero(), **settings)
    return minimise(loss, initial_weights, reference=gradient_norm(loss, zero), **settings)


def initial_precision(penalty: FloatArray) -> FloatArray:
    """Return the precision (V,) or (V, V) before any pair, whose diagonal is the penalty."""
    return np.diag(penalty) if len(penalty) <= MAX_DENSE else penalty
