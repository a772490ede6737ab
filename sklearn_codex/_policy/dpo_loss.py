"""DPO maths: the loss of a policy on preferences, its derivatives and the solver that fits it.

The policy is the reference tilted by weights w (V,), log pi = log ref + w / b - log Z(w), so the
log-ratio of a document is a sum over its tokens less its length times log Z. Pairs of unequal
length therefore see the normaliser, which makes their margins curved in w.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logsumexp

from sklearn_codex._categorical import FloatArray
from sklearn_codex._reward.bradley_terry import pair_losses
from sklearn_codex._solve.conjugate_gradients import (
    Preconditioner,
    check_within_floats,
    conjugate_gradients,
)
from sklearn_codex._solve.fit_monitor import describe_pairs
from sklearn_codex._solve.newton import ROUNDING, FitState, MarginOperator, Point

# What a loss of margins (n_pairs,) and targets (n_pairs,) gives: value, slope and curvature of each
# pair.
PairLoss = Callable[[FloatArray, FloatArray], tuple[FloatArray, FloatArray, FloatArray]]


def sigmoid_loss(margin: FloatArray, target: FloatArray):
    """Return -p log sigma(m) - (1 - p) log sigma(-m) and its two derivatives by m."""
    slope = (1 - target) * expit(margin) - target * expit(-margin)
    return pair_losses(margin, target), slope, expit(margin) * expit(-margin)


def ipo_loss(margin: FloatArray, target: FloatArray):
    """Return p (m - 1/2)^2 + (1 - p) (m + 1/2)^2 and its two derivatives by m."""
    lean = 2 * target - 1
    return margin**2 - lean * margin + 0.25, 2 * margin - lean, np.full_like(margin, 2.0)


def smooth(target: FloatArray, rate: float) -> FloatArray:
    """Return (1 - e) p + e (1 - p): the probability that a label p says when a share e is wrong."""
    return target + rate * (1 - 2 * target)


def unsmooth(target: FloatArray, rate: float) -> FloatArray:
    """Return (p - e) / (1 - 2 e), whose mean over labels turned round at rate e is the true p.

    A loss that is linear in p so has, in expectation, its value on labels without noise.
    """
    return (target - rate) / (1 - 2 * rate)


@dataclass(frozen=True)
class PreferenceLoss:
    """A loss of margins, and what it makes of labels of which some are wrong.

    Parameters
    ----------
    of_pair : callable
        A :data:`PairLoss`, linear in the target.
    target : callable
        Labels p (n_pairs,) and ``label_smoothing`` to the targets of the loss.
    """

    of_pair: PairLoss
    target: Callable[[FloatArray, float], FloatArray] = smooth


PREFERENCE_LOSSES: dict[str, PreferenceLoss] = {
    "sigmoid": PreferenceLoss(sigmoid_loss),
    "robust": PreferenceLoss(sigmoid_loss, unsmooth),
    "ipo": PreferenceLoss(ipo_loss),
}


@dataclass(frozen=True, kw_only=True)
class _Point(Point):
    """The loss at some weights, with all that its derivatives share."""

    prob: FloatArray  # (V,)
    gradient: FloatArray  # (V,)
    curvature: FloatArray  # (n_pairs,)
    length_residual: float


class ImplicitRewardLoss:
    r"""Penalised loss of a policy on preference pairs.

    Parameters
    ----------
    design : MarginOperator of shape (n_pairs, V)
        Multiplies the count differences n_A - n_B.
    target : ndarray of shape (n_pairs,)
        Probability that A is preferred; out of [0, 1] where labels are corrected for noise.
    sample_weight : ndarray of shape (n_pairs,)
        Weights of pairs.
    reference_log_prob : ndarray of shape (V,)
        Log-probabilities of the reference policy.
    kl_coef : float
        b.
    C : float
        Inverse strength of the penalty; infinite for none.
    pair_loss : callable
        :func:`sigmoid_loss` or :func:`ipo_loss`.

    Notes
    -----
    With differences d of sum s (what A is longer by), the margin of a pair is
    :math:`m = d \cdot w - s\, b \log Z(w)`, :math:`Z(w) = \sum_t ref_t e^{w_t / b}`, and

    .. math:: f(w) = \sum_i s_i\, \ell(m_i; p_i) + \tfrac{1}{2C} \|w\|^2.

    With slopes r and curvatures h of the pairs' losses and :math:`\pi` the policy at w, the
    gradient of m is :math:`g = d - s \pi`, its Hessian
    :math:`-(s / b)(diag(\pi) - \pi \pi')`, so the gradient of f is
    :math:`D' r - (s \cdot r) \pi + w / C`. Pairs of equal length make f convex.
    """

    def __init__(
        self,
        design: MarginOperator,
        target: FloatArray,
        sample_weight: FloatArray,
        reference_log_prob: FloatArray,
        *,
        kl_coef: float,
        C: float,
        pair_loss: PairLoss,
    ):
        self.design = design
        self.target = target
        self.sample_weight = sample_weight
        self.reference_log_prob = reference_log_prob
        self.kl_coef = kl_coef
        self.penalty = 1.0 / C
        self._pair_loss = pair_loss
        self._longer_by = design.matvec(np.ones(design.shape[1]))  # (n_pairs,)
        self._last: _Point | None = None

    def policy(self, weights: FloatArray) -> FloatArray:
        """Return the log-probabilities (V,) of the policy."""
        tilted = self.reference_log_prob + weights / self.kl_coef
        return tilted - logsumexp(tilted)

    def token_reward(self, weights: FloatArray) -> FloatArray:
        """Return b log(pi / ref) (V,), 0 for tokens that the reference cannot produce."""
        tilted = self.reference_log_prob + weights / self.kl_coef
        reward = weights - self.kl_coef * logsumexp(tilted)
        return np.where(np.isneginf(self.reference_log_prob), 0.0, reward)

    def margins(self, weights: FloatArray) -> FloatArray:
        """Return the implicit reward of A less that of B, (n_pairs,)."""
        return self.at(weights).margins

    def describe(self, point: _Point) -> dict[str, float]:
        """Return what ``history_`` has of the pairs."""
        losses = self._pair_loss(point.margins, self.target)[0]
        return describe_pairs(losses, point.margins, self.target, self.sample_weight)

    def at(self, weights: FloatArray) -> _Point:
        """Return the loss and what its derivatives need, computed once for the same weights."""
        if self._last is not None and np.array_equal(weights, self._last.weights):
            return self._last
        tilted = self.reference_log_prob + weights / self.kl_coef
        log_z = logsumexp(tilted)
        prob = np.exp(tilted - log_z)
        margins = self.design.matvec(weights) - self.kl_coef * log_z * self._longer_by
        losses, slopes, curvature = self._pair_loss(margins, self.target)
        slopes = self.sample_weight * slopes
        length_residual = float(self._longer_by @ slopes)
        gradient = self.design.rmatvec(slopes) - length_residual * prob + self.penalty * weights
        value = float(self.sample_weight @ losses) + 0.5 * self.penalty * float(weights @ weights)
        self._last = _Point(
            weights.copy(),
            margins,
            value,
            prob=prob,
            gradient=gradient,
            curvature=self.sample_weight * curvature,
            length_residual=length_residual,
        )
        return self._last

    def value(self, weights: FloatArray) -> float:
        """Return f(w)."""
        return self.at(weights).value

    def gradient(self, weights: FloatArray) -> FloatArray:
        """Return the gradient of f (V,)."""
        return self.at(weights).gradient

    def hessian_product(self, weights: FloatArray, direction: FloatArray) -> FloatArray:
        """Return H d (V,)."""
        point = self.at(weights)
        mean = float(point.prob @ direction)
        moved = self.design.matvec(direction) - mean * self._longer_by
        moved = point.curvature * moved
        product = self.design.rmatvec(moved) - float(self._longer_by @ moved) * point.prob
        spread = point.prob * (direction - mean)
        return product - point.length_residual / self.kl_coef * spread + self.penalty * direction

    def scale(self) -> FloatArray:
        """Return roots (V,) of the curvature of columns at w = 0, that put them on one scale."""
        curvature = self.at(np.zeros(self.design.shape[1])).curvature
        diagonal = self.design.column_squares(curvature) + self.penalty
        return np.sqrt(np.where(diagonal > 0, diagonal, 1.0))


def fit_implicit_reward(
    loss: ImplicitRewardLoss,
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
    loss : ImplicitRewardLoss
        What to minimise.
    tol : float
        The norm of the gradient, columns scaled by :meth:`ImplicitRewardLoss.scale`, relative to
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
