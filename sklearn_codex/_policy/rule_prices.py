"""Prices at which the best policy keeps chance constraints, where these can be computed."""

import warnings
from dataclasses import replace
from typing import TypeVar

import numpy as np
from scipy.optimize import brentq
from sklearn.exceptions import ConvergenceWarning

from sklearn_codex._policy.priced_rule import PricedRule
from sklearn_codex.exact import LengthExplosionError, constrained_optimum
from sklearn_codex.exact._objective import Objective

AnyObjective = TypeVar("AnyObjective", bound=Objective)

_HIGH_PRICE = 50.0
_LARGEST_PRICE = 1e12
_PRICE_ROUNDS = 100
# Of prices that are found together: steps at most, nats of one at most, error of a logarithm of a
# rate that is rounding, the steps after which that has to have fallen, and trials to be below it.
_MOST_STEPS, _LONGEST_STEP, _FOUND = 25, 20.0, 1e-12
_PATIENCE, _MOST_NUDGES = 6, 5
# Error with which a search that goes no further is done: best policies that are searched themselves
# are no closer, and one price by itself takes some fifty of them.
_NEARLY = 1e-8
# Objectives at prices that were tried last.
_KEPT = 4


def price_rules(
    objective: AnyObjective, rules: list[PricedRule]
) -> tuple[list[PricedRule], AnyObjective]:
    """Return rules with the prices at which the best policy keeps their chance constraints.

    And the objective with their penalties, which knows its best policy already where prices were
    tried: that may have taken long to find.
    """
    is_open = [rule.is_found and not rule.is_tracked for rule in rules]
    places = [int(place) for place in np.flatnonzero(is_open)]
    rules = list(rules)
    if not places:
        return rules, with_penalty(objective, rules)
    rates = [rules[place].rule.max_rate for place in places]
    budgets = [objective.chance_budget(rate) for rate in rates if rate is not None]
    if None not in budgets:
        rules = _charging(rules, places, _exact_prices(objective, rules, places, budgets))
        return rules, with_penalty(objective, rules)
    trials = _Trials(objective)
    if (together := _prices_together(trials, rules, places)) is not None:
        rules = _charging(rules, places, together)
        return rules, trials.at(rules)
    for _ in range(_PRICE_ROUNDS if len(places) > 1 else 1):
        before = [rules[place].price for place in places]
        for place in places:
            rules[place] = replace(rules[place], price=_chance_price(trials, rules, place))
        if np.allclose([rules[place].price for place in places], before, rtol=1e-9, atol=1e-12):
            break
    return rules, trials.at(rules)


class _Trials:
    """An objective at prices that are tried, of which the last ones are kept with what they found.

    Where documents are cut, a best policy is a search of its own, and a price that does not move is
    asked for several times: by a rule that does not bind, of one that does when it is checked.
    """

    def __init__(self, objective):
        self._objective, self._kept = objective, []

    def at(self, rules):
        """Return the objective with the penalties of rules."""
        prices = tuple(rule.price for rule in rules)
        for place, (other, objective) in enumerate(self._kept):
            if other == prices:
                self._kept.insert(0, self._kept.pop(place))
                return objective
        self._kept.insert(0, (prices, with_penalty(self._objective, rules)))
        del self._kept[_KEPT:]
        return self._kept[0][1]


def _charging(rules, places, prices):
    """Return rules of which some have these prices."""
    rules = list(rules)
    for place, price in zip(places, prices, strict=True):
        rules[place] = replace(rules[place], price=float(price))
    return rules


def _exact_prices(objective, rules, places, budgets):
    """Return the prices of chance constraints that are budgets of tokens, all together."""
    unpriced = [replace(rule, price=0.0) if rule.is_found else rule for rule in rules]
    objective = with_penalty(objective, unpriced)
    costs = np.array([rules[place].token_violations for place in places])
    found = constrained_optimum(objective, costs, budgets)
    return [_just_above(price) for price in found.multipliers / objective.kl_coef]


def _just_above(price):
    """Return the side of a root on which a constraint holds, whatever the rounding.

    A price is in nats: a share of a vast one, where kl_coef is small, would ban.
    """
    return float(price + min(1e-9 * price, 1e-7) + 1e-14 * price + 1e-12) if price > 0 else 0.0


def with_penalty(objective: AnyObjective, rules: list[PricedRule]) -> AnyObjective:
    """Return the objective with the penalties of the rules that add over tokens."""
    costs = [
        priced.price * priced.token_violations
        for priced in rules
        if priced.token_violations is not None
    ]
    return objective.having(penalty=np.sum(costs, axis=0) if costs else None)


def _prices_together(trials, rules, places):
    r"""Return the prices (n_places,) of chance constraints by Broyden's method, None if it fails.

    With the rates r of documents that violate each rule, the equations are
    :math:`h(r_j) = h(\delta_j)` where a price is above 0, of :math:`h(r) = \log(-\log(1 - r))`, the
    logarithm of the expected violations if these were independent: a nat of a price takes about one
    of it, which is the derivative to begin with.
    """
    largest = [rules[place].rule.max_rate for place in places]
    if not all(0.0 < rate < 1.0 for rate in largest):
        return None
    goal = _log_hazard(np.array(largest))

    def excess(prices):
        problem = trials.at(_charging(rules, places, prices))
        try:
            policy = _best_of(problem)
        except LengthExplosionError:
            return np.full(len(prices), np.inf)
        marked = (rules[place].token_violations > 0 for place in places)
        rates = [problem.rate_of_any(policy, own) for own in marked]
        return _log_hazard(np.array(rates)) - goal

    prices = _root_by_broyden(excess, np.zeros(len(places)))
    if prices is None:
        return None
    prices = np.array([_just_above(price) for price in prices])
    for _ in range(_MOST_NUDGES):
        missed = excess(prices)
        if not (missed > 0).any():
            return prices
        prices += 2.0 * np.maximum(missed, 0.0)
    return None


def _log_hazard(rates):
    """Return log(-log(1 - r)) of rates (n,)."""
    with np.errstate(divide="ignore"):
        return np.log(-np.log1p(-np.minimum(rates, 1.0)))


def _root_by_broyden(excess, prices):
    """Return prices (n,) of which each is 0 and has no excess, or has an excess of 0; else None.

    An excess of -inf is that of a rule that is never violated, whose price stays 0.
    """
    slope, best, nearest = -np.eye(len(prices)), [], None
    found = excess(prices)
    for _ in range(_MOST_STEPS):
        free = (prices > 0) | (found > 0)
        if not np.isfinite(found[free]).all():
            break
        best.append(float(np.abs(found[free]).max(initial=0.0)))
        if best[-1] <= min(_NEARLY, *best):
            nearest = prices
        if best[-1] <= _FOUND:
            return prices
        if len(best) > _PATIENCE and min(best[-_PATIENCE:]) > 0.5 * min(best[:-_PATIENCE]):
            break
        step = np.zeros(len(prices))
        try:
            step[free] = -np.linalg.solve(slope[np.ix_(free, free)], found[free])
        except np.linalg.LinAlgError:
            break
        step *= min(1.0, _LONGEST_STEP / float(np.abs(step).max()))
        moved = np.maximum(prices + step, 0.0)
        step = moved - prices
        if not np.abs(step).max() > _FOUND * np.abs(prices).max():
            return prices
        before, found, prices = found, excess(moved), moved
        # A rule that no document violates, or all, has no excess to speak of, and no slope.
        known = np.isfinite(found) & np.isfinite(before)
        missed = found[known] - before[known] - slope[known] @ step
        slope[known] += np.outer(missed, step) / (step @ step)
    return nearest


def _best_of(objective):
    """Return the best policy found at a price that is tried: only that of the last one is kept."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return objective.best_found()


def _chance_price(trials, rules, place):
    """Return the price at which the best policy just keeps a chance constraint, 0 where it does."""
    priced = rules[place]
    explodes = False

    def excess(price):
        nonlocal explodes
        trial = [*rules[:place], replace(priced, price=price), *rules[place + 1 :]]
        explodes = False
        problem = trials.at(trial)
        try:
            log_prob = _best_of(problem)
        except LengthExplosionError:
            explodes = True
            return 1.0
        rate = problem.rate_of_any(log_prob, priced.token_violations > 0)
        return rate - priced.rule.max_rate

    if excess(0.0) <= 0:
        return 0.0
    high = _HIGH_PRICE
    # A price has to outbid the reward, in units of kl_coef, which may be as small as you like.
    while excess(high) > 0:
        high *= 2.0
        if high > _LARGEST_PRICE:
            if not explodes:
                raise ValueError(
                    f"No price keeps rule {priced.name!r} (max_rate={priced.rule.max_rate}): "
                    "where some documents start, all that the reference policy can produce "
                    "violates it. Take out some of its tokens, or allow more."
                )
            # Where length explodes at any price, it has to be dealt with first.
            return 0.0
    return _just_above(brentq(excess, 0.0, high, xtol=1e-12))
