"""DPO maths: the loss of a policy on preferences, and its derivatives.

The loss is one of the implicit rewards of documents, which are linear in their counts; how the
rewards of columns depend on the weights of a policy is its family's to say.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from sklearn_codex._categorical import FloatArray
from sklearn_codex._policy.tilts import Tilt, TiltPoint
from sklearn_codex._reward.bradley_terry import pair_losses
from sklearn_codex._solve.fit_monitor import describe_pairs
from sklearn_codex._solve.newton import MarginOperator, Point

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

    policy: TiltPoint
    gradient: FloatArray  # (n_weights,)
    curvature: FloatArray  # (n_pairs,)
    column_slopes: FloatArray  # (n_columns,)


class ImplicitRewardLoss:
    r"""Penalised loss of a policy on preference pairs.

    Parameters
    ----------
    design : MarginOperator of shape (n_pairs, n_columns)
        Multiplies the count differences n_A - n_B.
    target : ndarray of shape (n_pairs,)
        Probability that A is preferred; out of [0, 1] where labels are corrected for noise.
    sample_weight : ndarray of shape (n_pairs,)
        Weights of pairs.
    tilt : Tilt
        The family of policies.
    C : float
        Inverse strength of the penalty; infinite for none.
    pair_loss : callable
        :func:`sigmoid_loss` or :func:`ipo_loss`.

    Notes
    -----
    With the implicit rewards :math:`\rho(w)` of the columns, which the tilt knows, and their
    Jacobian J, the margins are :math:`m = D \rho(w)` and

    .. math:: f(w) = \sum_i s_i\, \ell(m_i; p_i) + \tfrac{1}{2C} \|w\|^2.

    With slopes r and curvatures h of the pairs' losses, the gradient of f is
    :math:`J' D' r + w / C`, its Hessian
    :math:`J' D' diag(h) D J + \sum_c (D' r)_c \nabla^2 \rho_c + I / C`.
    """

    def __init__(
        self,
        design: MarginOperator,
        target: FloatArray,
        sample_weight: FloatArray,
        tilt: Tilt,
        *,
        C: float,
        pair_loss: PairLoss,
    ):
        self.design = design
        self.target = target
        self.sample_weight = sample_weight
        self.tilt = tilt
        self.penalty = 1.0 / C
        self._pair_loss = pair_loss
        self._last: _Point | None = None

    def policy(self, weights: FloatArray) -> FloatArray:
        """Return the log-probabilities (n_columns,) of the policy."""
        return self.at(weights).policy.log_prob

    def token_reward(self, weights: FloatArray) -> FloatArray:
        """Return b log(pi / ref) (n_columns,), 0 for columns that the reference cannot produce."""
        return self.at(weights).policy.reward

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
        policy = self.tilt.at(weights)
        margins = self.design.matvec(policy.reward)
        losses, slopes, curvature = self._pair_loss(margins, self.target)
        column_slopes = self.design.rmatvec(self.sample_weight * slopes)
        value = float(self.sample_weight @ losses) + 0.5 * self.penalty * float(weights @ weights)
        self._last = _Point(
            weights.copy(),
            margins,
            value,
            policy=policy,
            gradient=policy.vjp(column_slopes) + self.penalty * weights,
            curvature=self.sample_weight * curvature,
            column_slopes=column_slopes,
        )
        return self._last

    def value(self, weights: FloatArray) -> float:
        """Return f(w)."""
        return self.at(weights).value

    def gradient(self, weights: FloatArray) -> FloatArray:
        """Return the gradient of f (n_weights,)."""
        return self.at(weights).gradient

    def hessian_product(self, weights: FloatArray, direction: FloatArray) -> FloatArray:
        """Return H d (n_weights,)."""
        point = self.at(weights)
        moved = point.curvature * self.design.matvec(point.policy.jvp(direction))
        product = point.policy.vjp(self.design.rmatvec(moved))
        bent = point.policy.hvp(point.column_slopes, direction)
        return product + bent + self.penalty * direction

    def scale(self) -> FloatArray:
        """Return roots (n_weights,) of about the curvature of weights at 0, for one scale of all.

        Where each column has a weight it is that of the column; other weights stay as they are.
        """
        n_weights = self.tilt.n_weights
        if n_weights != self.design.shape[1]:
            return np.ones(n_weights)
        curvature = self.at(np.zeros(n_weights)).curvature
        diagonal = self.design.column_squares(curvature) + self.penalty
        return np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
