"""Prices at which the best policy keeps chance constraints, where these can be computed."""

from dataclasses import replace
from typing import TypeVar

import numpy as np
from scipy.optimize import brentq

from sklearn_codex._policy.priced_rule import PricedRule
from sklearn_codex.exact import LengthExplosionError, constrained_optimum
from sklearn_codex.exact._objective import Objective

AnyObjective = TypeVar("AnyObjective", bound=Objective)

_HIGH_PRICE = 50.0
_LARGEST_PRICE = 1e12
_PRICE_ROUNDS = 100


def price_rules(objective: Objective, rules: list[PricedRule]) -> list[PricedRule]:
    """Return rules with the prices at which the best policy keeps their chance constraints."""
    is_open = [rule.is_found and not rule.is_tracked for rule in rules]
    places = [int(place) for place in np.flatnonzero(is_open)]
    rules = list(rules)
    if not places:
        return rules
    rates = [rules[place].rule.max_rate for place in places]
    budgets = [objective.chance_budget(rate) for rate in rates if rate is not None]
    if None not in budgets:
        prices = _exact_prices(objective, rules, places, budgets)
        for place, price in zip(places, prices, strict=True):
            rules[place] = replace(rules[place], price=price)
        return rules
    for _ in range(_PRICE_ROUNDS if len(places) > 1 else 1):
        before = [rules[place].price for place in places]
        for place in places:
            rules[place] = replace(rules[place], price=_chance_price(objective, rules, place))
        if np.allclose([rules[place].price for place in places], before, rtol=1e-9, atol=1e-12):
            break
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


def _chance_price(objective, rules, place):
    """Return the price at which the best policy just keeps a chance constraint, 0 where it does."""
    priced = rules[place]
    explodes = False

    def excess(price):
        nonlocal explodes
        trial = [*rules[:place], replace(priced, price=price), *rules[place + 1 :]]
        explodes = False
        try:
            log_prob = with_penalty(objective, trial).optimum()
        except LengthExplosionError:
            explodes = True
            return 1.0
        rate = objective.rate_of_any(log_prob, priced.token_violations > 0)
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
