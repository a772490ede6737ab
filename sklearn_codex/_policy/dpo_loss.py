"""DPO maths: losses of pairs, the loss of a policy on preferences, and its derivatives.

A loss of pairs is one of scores, linear in the implicit rewards of columns: the margin of a pair,
or the log-likelihoods of its two responses. How rewards depend on the weights of a policy is its
family's to say.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
from scipy.special import expit

from sklearn_codex._categorical import FloatArray
from sklearn_codex._data.designs import DifferenceDesign
from sklearn_codex._policy.tilts import Tilt, TiltPoint
from sklearn_codex._reward.bradley_terry import pair_losses
from sklearn_codex._solve.fit_monitor import describe_pairs
from sklearn_codex._solve.newton import Point

# What a loss of scores, margins (n_pairs,) or those of both responses (2, n_pairs), and of targets
# (n_pairs,) gives: its value for each pair, slopes, of the shape of the scores, and curvatures,
# with two axes of 2 where slopes have one.
PairLoss = Callable[[FloatArray, FloatArray], tuple[FloatArray, FloatArray, FloatArray]]

# Kinks are rounded until what that costs is this part of the loss; by this factor narrower each
# time, and not below a width.
SHARP, FALL, LEAST_WIDTH = 1e-9, 0.3, 1e-9
# They get narrower after a minimum that was at most so many steps away: sooner, the pairs at their
# kinks are others than before, and all but the last steps short.
NEAR = 3
# Where at most this part of the pairs is at its kinks, products are of these alone.
MOST_BENT = 0.75

# A loss whose curvature is less than this part of its squared slopes is straight for a step.
_STRAIGHT = 1e-6
# Curvature of a weight, as a share of the largest, below which next to nothing holds it.
_LEAST_HELD = 1e-8


class ScoreOperator(Protocol):
    """A linear operator from rewards (n_columns,) to scores (n_pairs,) or (2, n_pairs)."""

    shape: tuple[int, int]

    def matvec(self, rewards: FloatArray, /) -> FloatArray:
        """Return scores."""

    def rmatvec(self, slopes: FloatArray, /) -> FloatArray:
        """Return slopes (n_columns,) by rewards, from those by scores."""

    def column_squares(self, curvature: FloatArray, /) -> FloatArray:
        """Return about the curvatures (n_columns,) by rewards, from those by scores."""


def sigmoid_loss(margin: FloatArray, target: FloatArray):
    """Return -p log sigma(m) - (1 - p) log sigma(-m) and its two derivatives by m."""
    slope = (1 - target) * expit(margin) - target * expit(-margin)
    return pair_losses(margin, target), slope, expit(margin) * expit(-margin)


def ipo_loss(margin: FloatArray, target: FloatArray):
    """Return p (m - 1/2)^2 + (1 - p) (m + 1/2)^2 and its two derivatives by m."""
    lean = 2 * target - 1
    return margin**2 - lean * margin + 0.25, 2 * margin - lean, np.full_like(margin, 2.0)


def hinge_loss(
    margin: FloatArray, target: FloatArray, width: float = 0.0, shares: FloatArray | None = None
):
    """Return p max(0, 1 - m) + (1 - p) max(0, 1 + m) and its two derivatives by m.

    With a width the kinks are rounded, see :func:`round_kinks`.
    """
    sign, z = _kinks(margin)
    value, slope, curvature = round_kinks(z, width, shares)
    weight = np.stack([target, 1 - target])
    return (
        np.sum(weight * value, axis=0),
        np.sum(weight * sign * slope, axis=0),
        np.sum(weight * curvature, axis=0),
    )


def _kinks(margin):
    """Return the two signs (2, 1) of margins in 1 - m and 1 + m, and these (2, n_pairs)."""
    sign = np.array([[-1.0], [1.0]])
    return sign, 1 + sign * margin


def round_kinks(z: FloatArray, width: float, shares: FloatArray | None):
    r"""Return :math:`\max(0, z)`, rounded, and its two derivatives.

    Parameters
    ----------
    z : ndarray
        Where.
    width : float
        w, in units of z; 0 for the kink as it is.
    shares : ndarray or None
        Slopes a at the kink, of the shape of z; None means one half.

    Notes
    -----
    Rounded it is :math:`\max_{0 \le s \le 1} s z - \tfrac{w}{2} (s - a)^2`, whose slope is the s
    of the maximum. That is never above :math:`\max(0, z)`. Where a is the slope that the optimum
    has at its kinks, the rounded loss has the same optimum, at any width.
    """
    if width == 0:
        return np.maximum(z, 0.0), (z > 0).astype(np.float64), np.zeros_like(z)
    at_kink = np.full_like(z, 0.5) if shares is None else shares
    share = np.clip(at_kink + z / width, 0.0, 1.0)
    value = share * z - 0.5 * width * (share - at_kink) ** 2
    return value, share, ((share > 0) & (share < 1)) / width


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
        A :data:`PairLoss` of margins, convex in them and linear in the target.
    target : callable
        Labels p (n_pairs,) and ``label_smoothing`` to the targets of the loss.
    has_kinks : bool
        Whether it is the hinge loss, which :class:`HingeRewardLoss` rounds.
    """

    of_pair: Callable[..., Any]
    target: Callable[[FloatArray, float], FloatArray] = smooth
    has_kinks: bool = False


PREFERENCE_LOSSES: dict[str, PreferenceLoss] = {
    "sigmoid": PreferenceLoss(sigmoid_loss),
    "robust": PreferenceLoss(sigmoid_loss, unsmooth),
    "ipo": PreferenceLoss(ipo_loss),
    "hinge": PreferenceLoss(hinge_loss, has_kinks=True),
}


@dataclass(frozen=True, kw_only=True)
class _Point(Point):
    """The loss at some weights, with all that its derivatives share."""

    policy: TiltPoint
    gradient: FloatArray  # (n_weights,)
    scores: FloatArray  # (n_pairs,), or (2, n_pairs)
    curvature: FloatArray  # (n_pairs,), or (2, 2, n_pairs)
    column_slopes: FloatArray  # (n_columns,)


class ImplicitRewardLoss:
    r"""Penalised loss of a policy on preference pairs.

    Parameters
    ----------
    design : ScoreOperator of shape (n_pairs, n_columns)
        Multiplies the count differences n_A - n_B, or what else turns rewards into scores.
    target : ndarray of shape (n_pairs,)
        Probability that A is preferred; out of [0, 1] where labels are corrected for noise.
    sample_weight : ndarray of shape (n_pairs,)
        Weights of pairs.
    tilt : Tilt
        The family of policies.
    C : float
        Inverse strength of the penalty; infinite for none.
    pair_loss : callable
        A :data:`PairLoss`.
    offset : float or ndarray, default=0.0
        Added to the scores, of which it has the shape.
    margin : callable, default=None
        The log-odds (n_pairs,) that A is preferred by the scores; None means the scores.

    Notes
    -----
    With the implicit rewards :math:`\rho(w)` of the columns, which the tilt knows, and their
    Jacobian J, the scores are :math:`m = D \rho(w) + o` and

    .. math:: f(w) = \sum_i s_i\, \ell(m_i; p_i) + \tfrac{1}{2C} \|w\|^2.

    With slopes r and curvatures h of the pairs' losses, the gradient of f is
    :math:`J' D' r + w / C`, its Hessian
    :math:`J' D' diag(h) D J + \sum_c (D' r)_c \nabla^2 \rho_c + I / C`.
    """

    def __init__(
        self,
        design: ScoreOperator,
        target: FloatArray,
        sample_weight: FloatArray,
        tilt: Tilt,
        *,
        C: float,
        pair_loss: PairLoss,
        offset: float | FloatArray = 0.0,
        margin: Callable[[FloatArray], FloatArray] | None = None,
    ):
        self.design = design
        self.target = target
        self.sample_weight = sample_weight
        self.tilt = tilt
        self.penalty = 1.0 / C
        self.offset = offset
        self._pair_loss = pair_loss
        self._margin = margin
        self._last: _Point | None = None

    def policy(self, weights: FloatArray) -> FloatArray:
        """Return the log-probabilities (n_columns,) of the policy."""
        return self.at(weights).policy.log_prob

    def token_reward(self, weights: FloatArray) -> FloatArray:
        """Return b log(pi / ref) (n_columns,), 0 for columns that the reference cannot produce."""
        return self.at(weights).policy.reward

    def margins(self, weights: FloatArray) -> FloatArray:
        """Return the log-odds (n_pairs,) that A is preferred."""
        return self.at(weights).margins

    def describe(self, point: _Point) -> dict[str, float]:
        """Return what ``history_`` has of the pairs."""
        losses = self._pair_loss(point.scores, self.target)[0]
        return describe_pairs(losses, point.margins, self.target, self.sample_weight)

    def at(self, weights: FloatArray) -> _Point:
        """Return the loss and what its derivatives need, computed once for the same weights."""
        if self._last is not None and np.array_equal(weights, self._last.weights):
            return self._last
        policy = self.tilt.at(weights)
        scores = self.design.matvec(policy.reward) + self.offset
        losses, slopes, curvature = self._pair_loss(scores, self.target)
        column_slopes = self.design.rmatvec(self.sample_weight * slopes)
        value = float(self.sample_weight @ losses) + 0.5 * self.penalty * float(weights @ weights)
        self._last = _Point(
            weights.copy(),
            scores if self._margin is None else self._margin(scores),
            value,
            policy=policy,
            gradient=policy.vjp(column_slopes) + self.penalty * weights,
            scores=scores,
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
        design, curvature = self._bent_pairs(point)
        moved = design.matvec(point.policy.jvp(direction))
        product = point.policy.vjp(design.rmatvec(_bend(curvature, moved)))
        bent = point.policy.hvp(point.column_slopes, direction)
        return product + bent + self.penalty * direction

    def _bent_pairs(self, point: _Point) -> tuple[Any, FloatArray]:
        """Return the design of the pairs that have curvature, and the latter."""
        return self.design, point.curvature

    def scale(self) -> FloatArray:
        """Return roots (n_weights,) of about the curvature of weights at 0, for one scale of all.

        Where each column has a weight it is that of the column; other weights stay as they are.
        """
        n_weights = self.tilt.n_weights
        if n_weights != self.design.shape[1]:
            return np.ones(n_weights)
        point = self.at(np.zeros(n_weights))
        if not point.curvature.any():  # as of a kink that is not at 0
            diagonal = self.design.column_squares(self.sample_weight)
        else:
            diagonal = self.design.column_squares(point.curvature)
            if point.scores.ndim == 2:  # margins are not 0, and losses may be almost straight there
                slopes = self._pair_loss(point.scores, self.target)[1]
                square = self.sample_weight * slopes**2
                bent = np.zeros((2, *square.shape))
                bent[0, 0], bent[1, 1] = square
                straight = self.design.column_squares(bent)
                diagonal = np.where(diagonal < _STRAIGHT * straight, straight, diagonal)
                greatest = np.max(slopes**2, initial=0.0)  # those that are ahead may have no slope
                least = self.design.column_squares(greatest * self.sample_weight)
                diagonal = np.maximum(diagonal, _STRAIGHT * least)
        # Weights that next to nothing holds would drown the others in a norm of the gradient.
        diagonal = np.maximum(diagonal + self.penalty, _LEAST_HELD * np.max(diagonal, initial=0.0))
        return np.sqrt(np.where(diagonal > 0, diagonal, 1.0))


def _bend(curvature, moved):
    """Return curvatures times moves of scores."""
    if moved.ndim == 1:
        return curvature * moved
    return np.einsum("abi,bi->ai", curvature, moved)


class HingeRewardLoss(ImplicitRewardLoss):
    r"""The same with the hinge loss, its kinks rounded, which tells of the one that is not.

    Parameters
    ----------
    *data : tuple
        As of :class:`ImplicitRewardLoss`.
    C : float
        As there.
    width : float, default=4.0
        That of the kinks, in units of the margin; at first so that no pair is beyond them.
    shares : ndarray of shape (2, n_pairs), default=None
        Slopes at the kinks, see :func:`round_kinks`.

    Notes
    -----
    :meth:`sharpened` takes the slopes found for those at the kinks, and a smaller width: the method
    of multipliers, which needs no width of 0.

    References
    ----------
    .. [1] Rockafellar, R. T. (1976). "Augmented Lagrangians and applications of the proximal point
       algorithm in convex programming." Mathematics of Operations Research 1(2), 97-116.
    """

    def __init__(self, *data: Any, C: float, width: float = 4.0, shares: FloatArray | None = None):
        loss = partial(hinge_loss, width=width, shares=shares)
        super().__init__(*data, C=C, pair_loss=loss)
        self._data, self._C = data, C
        self.width, self.shares = width, shares
        self._at_kinks: tuple[_Point, Any, FloatArray] | None = None

    def excess(self, point: _Point) -> float:
        """Return by how much pairs miss being optimal for their slopes s, in sum.

        That is l(m) + l*(s) - m s with the conjugate l* of the hinge loss.
        """
        _, z = _kinks(point.scores)
        of_kinks = np.maximum(z, 0.0) - round_kinks(z, self.width, self.shares)[1] * z
        weight = self.sample_weight * np.stack([self.target, 1 - self.target])
        return float(np.sum(weight * of_kinks))

    def _bent_pairs(self, point: _Point) -> tuple[Any, FloatArray]:
        """Return the design of the pairs that are at their kinks, and curvatures."""
        if self._at_kinks is None or self._at_kinks[0] is not point:
            bent = np.flatnonzero(point.curvature)
            if len(bent) > MOST_BENT * len(point.curvature):
                return self.design, point.curvature
            design = DifferenceDesign(self._data[0][bent])
            self._at_kinks = point, design, point.curvature[bent]
        return self._at_kinks[1:]

    def slope_along(self, weights: FloatArray, direction: FloatArray) -> Callable[[float], float]:
        """Return the slope by t of f(w + t d), about, which takes no product to be told of a t.

        It is exact but for how the rewards bend.
        """
        point = self.at(weights)
        moved = self.design.matvec(point.policy.jvp(direction))
        pull = self.penalty * float(weights @ direction)
        bend = float(point.policy.hvp(point.column_slopes, direction) @ direction)
        bend += self.penalty * float(direction @ direction)

        def slope(length):
            slopes = self._pair_loss(point.scores + length * moved, self.target)[1]
            return float((self.sample_weight * slopes) @ moved) + pull + length * bend

        return slope

    def sharpened(self, point: _Point, n_steps: int = 0) -> "HingeRewardLoss | None":
        """Return the loss nearer to that with kinks; None where the minimum would hardly move.

        The minimum that was found was so many steps away.
        """
        if self.excess(point) <= SHARP * abs(point.value) or self.width <= LEAST_WIDTH:
            return None
        _, z = _kinks(point.scores)
        shares = round_kinks(z, self.width, self.shares)[1]
        width = FALL * self.width if n_steps <= NEAR else self.width
        return HingeRewardLoss(*self._data, C=self._C, width=width, shares=shares)

    def describe(self, point: _Point) -> dict[str, float]:
        """Return what ``history_`` has of the pairs, and the penalised sum of their losses."""
        losses = hinge_loss(point.scores, self.target)[0]
        told = describe_pairs(losses, point.margins, self.target, self.sample_weight)
        pull = 0.5 * self.penalty * float(point.weights @ point.weights)
        return {**told, "objective": float(self.sample_weight @ losses) + pull}
