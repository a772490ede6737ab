"""What changes of a problem between batches: the weight of the KL, and prices of rules."""

from dataclasses import replace

import numpy as np

from sklearn_codex._categorical import FloatArray
from sklearn_codex._policy.prices import LearnedPrice
from sklearn_codex._policy.problem import PolicyProblem
from sklearn_codex.exact._objective import Objective
from sklearn_codex.kl_control import KLController

# Factor by which a controller may move kl_coef in all.
_KL_COEF_FACTOR = 1e8
# Times the smallest kl_coef at which length is finite that a controller may go down to.
_ABOVE_EXPLOSION = 1.05
# Largest change of a tracked price in one iteration, in nats or as a share of it.
_PRICE_STEP = 0.25
# Difference from the price that was found at which a tracked one is at rest.
_AT_REST = 1e-6


def next_kl_coef(
    controller: KLController,
    objective: Objective,
    log_prob: FloatArray,
    *,
    first: float,
    n_documents: int,
) -> float:
    """Return the weight of the KL that a controller wants, where there is an optimum.

    Parameters
    ----------
    controller : KLController
        What sets it.
    objective : Objective
        At the weight so far.
    log_prob : ndarray of shape (V,)
        The policy.
    first : float
        The weight at the start: a target that no policy has would drive it to 0 or to infinity.
    n_documents : int
        Documents of a batch.
    """
    kl_coef = controller.next_coef(objective.kl_coef, objective.kl(log_prob), n_documents)
    kl_coef = float(np.clip(kl_coef, first / _KL_COEF_FACTOR, first * _KL_COEF_FACTOR))
    nearest = objective.having(kl_coef=kl_coef / _ABOVE_EXPLOSION)
    if objective.longest is None and nearest.length_explodes:
        kl_coef = _ABOVE_EXPLOSION * objective._smallest_kl_coef()
    return kl_coef


def tracked_prices(problem: PolicyProblem, learned_reward: FloatArray) -> tuple[dict, bool]:
    """Return prices nearer to those of a learned reward (V,), and whether they are all there.

    Of chance constraints on tokens, see :meth:`PolicyProblem.token_prices`.
    """
    found, prices = problem.token_prices(learned_reward), {}
    for priced in problem.rules:
        if priced.name in found:
            most = _PRICE_STEP * max(1.0, priced.price)
            prices[priced.name] = float(
                np.clip(found[priced.name], priced.price - most, priced.price + most)
            )
    return prices, all(abs(found[name] - prices[name]) <= _AT_REST for name in found)


def learn_prices(
    problem: PolicyProblem,
    learned: dict[str, LearnedPrice],
    violations: dict[str, FloatArray],
    *,
    settles: bool,
) -> None:
    """Show prices of chance constraints that nobody can compute the violations of a batch.

    Parameters
    ----------
    problem : PolicyProblem
        With the rules.
    learned : dict of str to LearnedPrice
        What is known of their prices, changed in place.
    violations : dict of str to ndarray of shape (n_documents,)
        Those of each rule.
    settles : bool
        Whether prices are to come to rest, whatever the violations are.
    """
    for priced in problem.rules:
        max_rate = priced.rule.max_rate
        if priced.is_learned and max_rate is not None:
            price = learned.setdefault(priced.name, LearnedPrice(max_rate))
            if settles:
                price.settle()
            else:
                price.see(violations[priced.name])


def with_learned_prices(problem: PolicyProblem, learned: dict[str, LearnedPrice]) -> PolicyProblem:
    """Return the problem at the prices learned so far."""
    rules = [
        replace(
            priced,
            price=learned[priced.name].price,
            amount_price=learned[priced.name].amount_price,
        )
        if priced.is_learned and priced.name in learned
        else priced
        for priced in problem.rules
    ]
    return replace(problem, rules=rules)
