"""What changes of a problem between batches, worked out by hand: the weight of the KL, prices."""

from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sklearn_codex._policy.adaptation import (
    learn_prices,
    next_kl_coef,
    tracked_prices,
    with_learned_prices,
)
from sklearn_codex._policy.priced_rule import PricedRule
from sklearn_codex._policy.prices import LearnedPrice
from sklearn_codex._policy.problem import PolicyProblem
from sklearn_codex.exact import AdditiveObjective, EosObjective
from sklearn_codex.rules import BannedTokens, TokenBudget

# Of one token and an end, which are as likely, and a document is worth 3 for each token: longer
# ones are worth more where exp(3 / b) / 2 > 1.
ENDING = EosObjective(np.log([0.5, 0.5]), np.array([2.0, 0.0]), 1, kl_coef=9.0, reward_coef=1.5)
SMALLEST = 3.0 / np.log(2.0)


class Wanting:
    """A controller that wants one weight, whatever it is told, and remembers that."""

    def __init__(self, kl_coef):
        self.kl_coef = kl_coef

    def next_coef(self, kl_coef, kl, n_documents):
        self.told = kl_coef, kl, n_documents
        return self.kl_coef


def moved_to(wanted, objective=ENDING, first=9.0):
    start = objective.start
    return next_kl_coef(Wanting(wanted), objective, start, first=first, n_documents=4)


# The weight of the KL


def test_a_controller_is_told_the_kl_of_a_document():
    objective = AdditiveObjective(
        np.log([0.5, 0.5]), np.zeros(2), length=3, kl_coef=2.0, reward_coef=7.0
    )
    wanting, policy = Wanting(5.0), np.log([0.75, 0.25])
    assert next_kl_coef(wanting, objective, policy, first=1.0, n_documents=30) == 5.0
    kl = 3 * (0.75 * np.log(1.5) + 0.25 * np.log(0.5))
    assert_allclose(wanting.told, (2.0, kl, 30))


def test_it_goes_no_further_than_a_factor_from_the_first_weight():
    objective = AdditiveObjective(np.log([0.5, 0.5]), np.zeros(2), length=3, kl_coef=2.0)
    assert_allclose(moved_to(1e20, objective, first=3.0), 3e8)
    assert_allclose(moved_to(1e-20, objective, first=3.0), 3e-8)


def test_it_stays_where_documents_have_a_best_length():
    assert_allclose(ENDING._smallest_kl_coef(), SMALLEST)
    # A twentieth above the smallest, also where the optimum is there, but nearer than that.
    assert_allclose(moved_to(1.0), 1.05 * SMALLEST)
    assert_allclose(moved_to(1.02 * SMALLEST), 1.05 * SMALLEST)
    assert moved_to(1.06 * SMALLEST) == 1.06 * SMALLEST
    assert moved_to(1.0, ENDING.having(max_length=10)) == 1.0


# Prices that follow a learned reward

LENGTH, KL_COEF = 2, 0.5
REFERENCE = np.array([0.4, 0.3, 0.2, 0.1])
RATES = {"first": 0.19, "second": 0.36}


def tracking(first, second, third=7.0):
    """Chance constraints on tokens 0 and 1 at these prices, and a rule on token 3 at its own."""
    objective = AdditiveObjective(
        np.log(REFERENCE), np.zeros(4), length=LENGTH, kl_coef=KL_COEF, reward_coef=3.0
    )
    tokens = np.eye(4)
    rules = [
        PricedRule(
            name, BannedTokens([at], max_rate=RATES[name]), tokens[at], price, is_tracked=True
        )
        for at, (name, price) in enumerate({"first": first, "second": second}.items())
    ]
    rules.append(PricedRule("third", BannedTokens([3], penalty=third), tokens[3], third))
    return PolicyProblem(objective, SimpleNamespace(token_reward=None), rules)


LEARNED = np.array([2.0, 1.5, 0.0, 3.0])
# Documents of two tokens have the first with a rate of 1 - 0.9^2, the second of 1 - 0.8^2. The
# others share what is left as exp((r - 0.5 * 7) / 0.5) has them, which is their own business.
OTHERS = REFERENCE[2:] * np.exp(LEARNED[2:] / KL_COEF - [0.0, 7.0])
LEFT = 0.7 * OTHERS[0] / OTHERS.sum()
FOUND = np.log(REFERENCE[:2] / REFERENCE[2]) + LEARNED[:2] / KL_COEF - np.log([0.1, 0.2] / LEFT)


def test_prices_at_which_the_best_policy_for_a_learned_reward_keeps_rates():
    found = tracking(0.0, 0.0).token_prices(LEARNED)
    assert_allclose([found["first"], found["second"]], FOUND, rtol=1e-7)
    # Nobody would draw them often, so that nothing is to be paid.
    assert tracking(1.0, 2.0).token_prices(np.array([-9.0, -9.0, 0.0, 0.0])) == {
        "first": 0.0,
        "second": 0.0,
    }


def test_tracked_prices_move_by_a_quarter_of_a_nat_or_of_themselves():
    first, second = FOUND
    assert first > 4.0
    prices, rest = tracked_prices(tracking(0.5, 2 * second), LEARNED)
    assert_allclose([prices["first"], prices["second"]], [0.75, 1.5 * second])
    assert not rest
    prices, rest = tracked_prices(tracking(0.9 * first, second), LEARNED)
    assert_allclose([prices["first"], prices["second"]], FOUND, rtol=1e-7)
    assert rest
    # One that is there does not make the other one rest.
    prices, rest = tracked_prices(tracking(0.5 * first, second), LEARNED)
    assert_allclose(prices["first"], 0.625 * first)
    assert not rest
    assert set(prices) == {"first", "second"}


# Prices that documents teach


def learning():
    """Two rules whose prices are learned, and one that has a price."""
    objective = AdditiveObjective(np.log(REFERENCE), np.zeros(4), length=LENGTH)
    budgets = [
        TokenBudget([0], budget=1, max_rate=0.25),
        TokenBudget([1], budget=1, max_rate=0.5),
        TokenBudget([2], budget=1, penalty=2.0),
    ]
    rules = [
        PricedRule(name, rule, None, price)
        for name, rule, price in zip("abc", budgets, (0.0, 0.0, 2.0), strict=True)
    ]
    return PolicyProblem(objective, SimpleNamespace(token_reward=None), rules)


VIOLATIONS = {
    "a": np.array([0.0, 0.0, 1.0, 3.0]),
    "b": np.array([0.0, 0.0, 0.0, 2.0]),
    "c": np.array([5.0, 5.0, 5.0, 5.0]),
}


def test_each_price_is_learned_from_its_own_violations():
    problem, learned = learning(), {}
    learn_prices(problem, learned, VIOLATIONS, settles=False)
    assert set(learned) == {"a", "b"}
    # Of 4 documents half a one counts 1/8: log odds of 5/8 to 3/8, and of 3/8 to 5/8.
    m = 0.25 * np.log(5.0 / 3.0)
    assert_allclose([learned["a"].multiplier, learned["b"].multiplier], [m, 0.0])
    priced = {rule.name: rule for rule in with_learned_prices(problem, learned).rules}
    # It wants m / 0.5, which is more than a quarter of a nat. Two documents of eight that should
    # be without a violation are, so that three quarters lie on one violation a document.
    assert_allclose(priced["a"].price, 0.25 * 0.25)
    assert_allclose(priced["a"].amount_price, 0.75 * m)
    assert (priced["b"].price, priced["b"].amount_price) == (0.0, 0.0)
    assert (priced["c"].price, priced["c"].amount_price) == (2.0, 0.0)
    assert_allclose(priced["a"].cost(np.array([0.0, 3.0])), [0.0, 0.0625 + 3 * 0.75 * m])


def test_prices_that_settle_see_no_more():
    problem, learned = learning(), {}
    learn_prices(problem, learned, VIOLATIONS, settles=False)
    m = learned["a"].multiplier
    for _ in range(2):
        learn_prices(problem, learned, VIOLATIONS, settles=True)
        assert learned["a"].settled
        priced = with_learned_prices(problem, learned).rules[0]
        assert_allclose((priced.price, priced.amount_price), (m / 0.75, 0.0))


def test_a_rule_is_unpriced_until_its_documents_were_seen():
    problem = learning()
    learned = {"b": LearnedPrice(0.5)}
    learned["b"].see(np.ones(40))
    rules = with_learned_prices(problem, learned).rules
    assert rules[0] == problem.rules[0]
    assert rules[1].amount_price == pytest.approx(learned["b"].amount_price)
    assert rules[2] == problem.rules[2]
