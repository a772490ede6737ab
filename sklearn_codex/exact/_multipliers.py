"""Lagrange multipliers of expected-cost constraints: one root, or a convex dual."""

import warnings

import numpy as np
from scipy.optimize import brentq, linprog, minimize, root
from sklearn.exceptions import ConvergenceWarning

from sklearn_codex._categorical import FloatArray
from sklearn_codex.exact._eos_length import LengthExplosionError
from sklearn_codex.exact._priced_objective import PricedObjective
from sklearn_codex.exact._settings import in_nats

_EPS = np.finfo(np.float64).eps
_LARGEST_PRICE = 1e300
# Relative error of an expected cost that is not rounding.
_MISSED = 1e-6


def priced(problem: PricedObjective, cost: FloatArray, multipliers: FloatArray) -> PricedObjective:
    """Return the problem with costs (n_constraints, V), at given prices, taken from the reward."""
    token_reward = problem.reward_coef * problem.token_reward - multipliers @ cost
    return problem.having(token_reward=token_reward, reward_coef=1.0)


def solve_dual(problem: PricedObjective, cost: FloatArray, budget: FloatArray) -> FloatArray:
    """Return the multipliers (n_constraints,) of budgets above their floors.

    Parameters
    ----------
    problem : AdditiveObjective, EosObjective or NGramObjective
        What is maximised.
    cost : ndarray of shape (n_constraints, V)
        Cost of each token.
    budget : ndarray of shape (n_constraints,)
        Largest expected cost of a document, above the least possible one.

    Raises
    ------
    ValueError
        If the budgets can be kept one by one but not together.
    LengthExplosionError
        If tokens without cost alone make length explode.
    """
    floor, extra = problem.cost_floor(cost)
    room = budget - floor
    problem.check_free(extra)
    possible = problem.possible
    spread = extra[:, possible].max(axis=1, initial=0.0)
    multipliers = np.zeros(len(cost))
    binds = np.flatnonzero(spread > 0)
    if len(binds) == 1:
        i = binds[0]
        multipliers[i] = _solve_one(problem, cost[i], extra[i], float(room[i]))
    elif len(binds):
        assert problem.length is not None
        # Per token and from 0 to 1, so that all multipliers have one scale.
        scaled = extra[binds] / spread[binds, np.newaxis]
        scale = problem.length * spread[binds]
        _check_together(scaled[:, possible], room[binds], scale, budget, binds)
        prices = _solve_many(problem, scaled, room[binds] / scale)
        with np.errstate(over="ignore"):
            multipliers[binds] = prices / spread[binds]
        if not np.isfinite(multipliers).all():
            raise ValueError(
                "constrained_optimum finds prices beyond the range of floats, of costs that differ "
                f"by {spread[binds].min():.3g} only. Scale costs and budgets up alike."
            )
    return multipliers


def _solve_one(problem, cost, extra, room):
    """Return the multiplier of one constraint E[extra] <= room, where extra >= 0 < room."""

    def excess(multiplier):
        # From -1 to 1, also where the price is too low for any optimum.
        try:
            log_prob = priced(problem, cost[np.newaxis], np.array([multiplier])).optimum()
        except LengthExplosionError:
            return 1.0
        amount = problem.expected_sum(log_prob, extra)
        return (amount - room) / (amount + room)

    if excess(0.0) <= 0:
        return 0.0
    upper = in_nats(
        1.0,
        problem.kl_coef,
        float(extra[problem.possible].max()),
        subject="constrained_optimum",
    )
    # Each doubling takes the price a nat or more above the rewards; a price beyond them all bans.
    upper = max(float(upper), np.finfo(np.float64).tiny)
    while excess(upper) > 0 and upper < _LARGEST_PRICE:
        upper *= 2.0
    price = upper
    if excess(upper) <= 0:
        price = float(brentq(excess, 0.0, upper, xtol=1e-300, rtol=4 * _EPS, maxiter=5000))
    if not abs(excess(price)) <= _MISSED:
        raise ValueError(
            "constrained_optimum finds no price that keeps a budget: the expected cost jumps from "
            f"above to below it at a price of {price:.6g}, as kl_coef={problem.kl_coef:.3g} is "
            "less than the rounding of rewards and costs. Raise kl_coef, or round the rewards."
        )
    return price


def _check_together(scaled, room, scale, budget, rows):
    """Check by a linear program that some policy keeps all budgets with room to spare."""
    n_constraints, n_possible = scaled.shape
    # Minimise t over (policy, t) subject to scaled @ policy - t <= room / scale.
    program = linprog(
        np.append(np.zeros(n_possible), 1.0),
        A_ub=np.hstack([scaled, -np.ones((n_constraints, 1))]),
        b_ub=room / scale,
        A_eq=np.append(np.ones(n_possible), 0.0)[np.newaxis],
        b_eq=[1.0],
        bounds=[(0, None)] * n_possible + [(None, None)],
    )
    if program.x is None:  # the solver gave up: the search for prices says whether there are any
        return
    shortage = program.x[-1]
    if shortage > -1e-9:
        needed = budget[rows] + scale * max(shortage, 0.0)
        raise ValueError(
            f"constrained_optimum: each of the budgets {rows.tolist()} can be kept, but not all "
            "together with room to spare. The nearest that can are above "
            f"{[float(f'{value:.6g}') for value in needed]}."
        )


def _solve_many(problem, scaled, room):
    """Return the multipliers (n_constraints,) of E[scaled cost] <= room per token."""

    def solution(prices):
        return priced(problem, scaled, problem.kl_coef * prices).optimum()

    def dual(prices):
        charged = priced(problem, scaled, problem.kl_coef * prices)
        log_prob = charged.optimum()
        value = charged.value(log_prob) / (problem.length * problem.kl_coef) + prices @ room
        return value, room - scaled @ np.exp(log_prob)

    bounds = [(0, None)] * len(room)
    found = minimize(
        dual,
        np.zeros(len(room)),
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"ftol": 1e-16, "gtol": 1e-12, "maxiter": 1000},
    )
    prices = _polish(solution, scaled, room, found.x)
    spent = scaled @ np.exp(solution(prices))
    if not np.all(spent <= room + _MISSED):
        row = int(np.argmax(spent - room))
        warnings.warn(
            "constrained_optimum did not find prices that keep all budgets: the expected cost of "
            f"one is {spent[row] / room[row] - 1.0:.3g} times itself above it. Raise "
            f"kl_coef={problem.kl_coef:.3g}, or scale the rewards.",
            ConvergenceWarning,
            stacklevel=4,
        )
    return problem.kl_coef * prices


def _polish(solution, scaled, room, prices):
    """Return prices at which the binding budgets are met to rounding, if there are any."""
    binding = prices > 1e-9
    if not binding.any():
        return np.zeros_like(prices)

    def with_binding(values):
        full = np.zeros_like(prices)
        full[binding] = np.maximum(values, 0.0)
        return full

    def surplus(values):
        return scaled[binding] @ np.exp(solution(with_binding(values))) - room[binding]

    found = root(surplus, prices[binding], tol=1e-14)
    better = np.abs(found.fun).max() <= np.abs(surplus(prices[binding])).max()
    return with_binding(found.x if better and found.x.min() >= 0 else prices[binding])
