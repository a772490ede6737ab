"""Where KTO rests: where the loss is stationary at a reference point that is the policy's own.

The reference point is no function of the weights to the loss, so a rest point is no minimum of it:
it is the root of a field.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sklearn_codex._categorical import IntArray
from sklearn_codex._policy.kto_field import RestField
from sklearn_codex._policy.kto_loss import DesirabilityLoss
from sklearn_codex._policy.kto_points import OwnPoint
from sklearn_codex._solve.arnoldi import solve
from sklearn_codex._solve.conjugate_gradients import (
    Preconditioner,
    check_within_floats,
    conjugate_gradients,
)
from sklearn_codex._solve.newton import ROUNDING, FitState

# Steps that may fail to bring a rest point nearer: past those that repel, or round where none
# attracts.
_PATIENCE = 150
# The part of the force to which a step solves its equations, products it may take, and how near to
# what its equations say a field has to be for the step to be taken, and had better be.
_EXACT, _MOST_PRODUCTS = 0.03, 400
_TAKEN, _AIM = 0.5, 0.2
# The fewest products where there are many weights, and numbers that are kept of them otherwise.
_FEW_PRODUCTS, _MOST_NUMBERS = 50, 4 * 10**7
# Times that a step may be made shorter, how many of them are many, what is the greatest shift, and
# what is beyond the least one.
_HESITATIONS, _OFTEN, _GREATEST_SHIFT, _MORE = 60, 10, 1e300, 1.1
# The part of the greatest rate from which on one counts at which policies go apart, and of a rate
# that goes round.
_REPELS, _SLOW = 1e-7, 1e-3
# Nats of reward below which a column may be falling, by which one falls in a Newton step that is
# no last one, and how many columns are looked at.
_FALLEN, _FAR, _MOST_FALLING = 3.0, 0.1, 32


class _Over(Exception):
    """The search has ended."""


@dataclass(frozen=True)
class RestState(FitState):
    """Where the search for the rest point stands.

    Attributes
    ----------
    loss : DesirabilityLoss
    fixed_point_gap : float
        Norm of the gradient at the policy's own reference point, relative to that at the reference
        policy.
    repels : bool
        Whether policies next to the one before were seen to go apart, as KTO moves them.
    """

    point: Any
    loss: Any = None
    fixed_point_gap: float = np.inf
    repels: bool = False


def find_rest(
    loss: DesirabilityLoss,
    own: OwnPoint,
    *,
    tol: float,
    max_iter: int,
    callback: Callable[[RestState], object],
) -> RestState:
    r"""Return where the loss rests, from the reference policy on.

    Parameters
    ----------
    loss : DesirabilityLoss
    own : OwnPoint
        The reference point of a policy.
    tol : float
        The fixed-point gap at which the search ends.
    max_iter : int
        At most this many steps.
    callback : callable
        Called with each :class:`RestState`, the first before any step; a true result stops.

    Notes
    -----
    KTO moves weights by :math:`dw/dt = -F(w)` with the field F. The search follows that from the
    reference by implicit steps, :math:`(I / \tau + F'(w)) \Delta = -F(w)`, as long as its linear
    equations describe the field, and longer ones where they do it well [1]_: at a rest point they
    are those of Newton. Steps that would go towards a rest point which repels are made shorter.
    Where that leads round one for ever, steps that are not look for that one. The search ends
    where it was nearest to one, unless it is ended before.

    References
    ----------
    .. [1] Kelley, C. T. and Keyes, D. E. (1998). "Convergence analysis of pseudo-transient
       continuation." SIAM Journal on Numerical Analysis 35(2), 508-523.
    """
    search = _Search(RestField(loss, own), tol, max_iter, callback)
    with suppress(_Over):
        search.run()
    return search.end()


class _Search:
    """One run: where it is, and what was told of that."""

    def __init__(self, field, tol, max_iter, callback):
        self._field, self._radius = field, field.loss.radius()
        self._tol, self._max_iter, self._callback = tol, max_iter, callback
        start = field.at(np.zeros(field.n_weights))
        self._first = start.norm
        self._best: Any = None
        self._repels = False
        self.is_over = self._tell(start, 0)
        # A step from a gradient this small promises less than the rounding error of the loss.
        self._floor = float(np.sqrt(2 * ROUNDING * abs(start.point.value))) / (self._first or 1.0)

    def _relative(self, norm):
        return norm / self._first if self._first > 0 else norm

    def _tell(self, here, iteration):
        """Take over where the search is now; return whether it is over."""
        check_within_floats(here.point.gradient, here.norm, here.point.value, self._field.scale)
        self._here, gap = here, self._relative(here.norm)
        self.state = RestState(
            iteration, here.point, gap, gap <= self._tol,
            loss=self._field.loss, fixed_point_gap=gap, repels=self._repels,
        )  # fmt: skip
        if self._best is None or here.norm < self._best.norm:
            self._best = here
        stopped = bool(self._callback(self.state))
        return stopped or self.state.converged or iteration >= self._max_iter

    def _go(self, here):
        """Take a step; raise where it is the last one."""
        self.is_over = self._tell(here, self.state.iteration + 1)
        if self.is_over:
            raise _Over

    def run(self):
        """Search until nothing is left to find."""
        if self.is_over:
            return
        for is_true in (True, False):
            self._follow(is_true)
            if self._best.norm < self._here.norm:
                self._go(self._best)
            if self.state.fixed_point_gap <= self._floor:
                return

    def _follow(self, is_true):
        """Follow KTO from where the search is to a rest point, or until none comes nearer.

        What is followed truly goes away from a rest point that repels, also if round it.
        """
        shift, best, since = 1.0, np.inf, 0
        while since < _PATIENCE:
            is_better = self._here.norm < 0.9 * best
            best, since = (self._here.norm, 0) if is_better else (best, since + 1)
            for n_failed in range(_HESITATIONS):
                with np.errstate(over="ignore", invalid="ignore"):  # such steps are made shorter
                    there, error, least = self._step(self._here, shift, is_true)
                shift = max(_next_shift(shift, error, n_failed), _MORE * least)
                if error < _TAKEN:
                    break
            else:
                return
            self._go(there)

    def _step(self, here, shift, is_true):
        """Return where an implicit step leads, how wrong its equations are, and the least shift."""
        exact, n_weights = min(_EXACT, self._relative(here.norm)), len(here.x)
        most = min(_MOST_PRODUCTS, max(_FEW_PRODUCTS, _MOST_NUMBERS // n_weights))
        step, krylov = solve(
            lambda d: shift * d + here.product(d), -here.force, tol=exact, most=most
        )
        size = here.field.length(step)
        if not np.isfinite(size):
            return here, np.inf, 0.0
        rates = shift - krylov.eigenvalues
        self._repels = bool(rates.real.max() > _REPELS * np.abs(rates).max())
        least = _least_shift(rates) if is_true else 0.0
        if shift < least:
            return here, np.inf, least
        part = min(1.0, self._radius / size) if size > 0 else 1.0
        there = self._field.at(here.x + part * step)
        if not np.isfinite(there.norm):
            return here, np.inf, least
        expected = here.force + part * here.product(step)
        wrong = self._field.norm(there.force - expected) / here.norm
        return there, wrong, least

    def end(self):
        """Return the last state, which has converged also where rounding leaves no better one."""
        if not self.is_over:
            # For the callback the search ends here, converged or not.
            self._callback(replace(self.state, converged=True))
            self.state = replace(self.state, converged=self.state.fixed_point_gap <= self._floor)
        return self.state


def _least_shift(rates):
    """Return the least 1 / tau with which implicit steps go away from where policies go apart.

    Of rates a + i w at which they do, steps go to where they come from with less than a, and with
    less than :math:`(a^2 + w^2) / 2 a` they come nearer as they go round, which is not true.
    """
    apart = rates[rates.real > _SLOW * np.abs(rates)]
    bound = np.abs(apart) ** 2 / (2 * apart.real)
    return max(0.0, 2 * float(rates.real.max()), float(bound.max(initial=0.0)))


def _next_shift(shift, error, n_failed):
    """Return the next 1 / tau, by how wrong the equations of a step were.

    Where steps fail again and again, as the scale of the problem is another by far, ever more.
    """
    factor = min(max((error / _AIM) ** 0.4, 1 / 8), 4.0)
    if error < _TAKEN:
        return factor * shift
    return min(max(factor ** max(1, n_failed - _OFTEN) * shift, 1e-6), _GREATEST_SHIFT)


def falling_columns(state: RestState) -> IntArray:
    """Return the columns that nothing holds, whose rewards fall without end, or some of them.

    Next to a minimum at a finite place a Newton step is next to none. Where the loss only tends to
    its least, as a column loses all its mass, slope and curvature fade together, and each step is
    as long as the one before.

    Parameters
    ----------
    state : RestState
        The end of a search without a penalty.
    """
    loss, point = state.loss, state.point
    reward = point.policy.reward
    lowest = np.argsort(reward)[:_MOST_FALLING]
    lowest = lowest[reward[lowest] < -_FALLEN]
    if loss.tilt.n_weights == len(reward):
        steps = np.array([_step_along(loss, point, column) for column in lowest])
    else:
        steps = _step_of_all(loss, point)[lowest]
    return np.sort(lowest[steps < -_FAR])


def _step_along(loss, point, column):
    """Return the Newton step of the weight of one column alone."""
    direction = np.zeros(loss.tilt.n_weights)
    direction[column] = 1.0
    curvature, slope = loss.bent(point, direction)[column], point.gradient[column]
    return -slope / curvature if curvature > 0 else 0.0


def _step_of_all(loss, point):
    """Return how far (n_columns,) a Newton step of all weights moves rewards."""
    scale = loss.scale()
    step, _ = conjugate_gradients(
        lambda p: (loss.bent(point, p / scale) / scale, p),
        Preconditioner(np.ones(len(scale))),
        -point.gradient / scale,
        tol=1e-8,
    )
    return point.policy.jvp(step / scale)
