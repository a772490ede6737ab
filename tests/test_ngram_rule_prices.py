"""Prices of chance constraints on n-grams: what their search costs, and rules that never bind."""

import warnings

import numpy as np
import pytest
from ngram_policy_problems import REWARDS, TEXTS, frozen
from numpy.testing import assert_allclose, assert_array_equal
from test_ngram_rules import policy, problem_of

from sklearn_codex import ExactPolicyOptimizer, TokenCounter
from sklearn_codex._policy import rule_prices
from sklearn_codex.exact import _ngram
from sklearn_codex.rules import BannedNGrams, BannedTokens

__all__ = ["policy"]  # the fixture


def count_searches(monkeypatch):
    """Return a list to which each search of a best policy of documents that are cut adds."""
    searches = []
    search = _ngram.stationary_optimum

    def counted(*args):
        searches.append(args)
        return search(*args)

    monkeypatch.setattr(_ngram, "stationary_optimum", counted)
    return searches


def test_a_rule_that_does_not_bind_costs_no_search_of_its_own(policy, monkeypatch):
    searches = count_searches(monkeypatch)
    problem = problem_of(policy, [BannedNGrams(["a b"], max_rate=0.999)], max_length=4)
    assert problem.rules[0].price == 0.0
    best = problem.objective.optimum()
    assert len(searches) == 1
    assert_array_equal(best, problem_of(policy, [], max_length=4).objective.optimum())


def test_the_best_policy_at_the_prices_found_is_not_searched_again(policy, monkeypatch):
    searches = count_searches(monkeypatch)
    problem = problem_of(policy, [BannedNGrams(["a b"], max_rate=0.1)], max_length=3)
    assert problem.rules[0].price > 0
    assert len(searches) < 30  # and not some fifty after these
    searches.clear()
    marked = problem.rules[0].token_violations > 0
    rate = problem.objective.rate_of_any(problem.objective.optimum(), marked)
    assert not searches
    assert rate == pytest.approx(0.1, abs=1e-6)


def test_a_rule_that_nothing_violates_changes_no_other(policy):
    rules = [
        BannedNGrams(["a b"], max_rate=0.1),
        BannedTokens(["c"], max_rate=0.3, name="c"),
        BannedNGrams(["b a"], hard=True, name="ban"),
    ]
    never = BannedNGrams(["b a"], max_rate=0.5, name="never")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        alone = problem_of(policy, rules)
        found = problem_of(policy, [*rules, never])
    assert found.rules[3].price == 0.0
    expected = [rule.price for rule in alone.rules[:2]]
    assert min(expected) > 0
    assert_allclose([rule.price for rule in found.rules[:2]], expected, rtol=1e-8)


def test_the_search_goes_on_without_rules_that_nothing_violates():
    target, calls = np.array([0.7, 1.3]), []

    def excess(prices):
        calls.append(prices)
        return np.array([[1.0, 0.4], [-0.3, 0.8]]) @ (target - prices[:2])

    alone = rule_prices._root_by_broyden(excess, np.zeros(2))
    n_alone = len(calls)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = rule_prices._root_by_broyden(lambda p: np.append(excess(p), -np.inf), np.zeros(3))
    assert_allclose(alone, target, rtol=1e-10)
    assert_array_equal(found, [*alone, 0.0])
    # The slope of the others is learned as before: a fixed point would take more steps.
    assert len(calls) == 2 * n_alone


@pytest.mark.parametrize("order", [1, 2])
def test_rules_that_contradict_each_other_are_named(order):
    first, second, third = (
        ("some", BannedTokens(["a", "b"], max_rate=0.05)),
        ("others", BannedTokens(["c", "d", "<unk>"], max_rate=0.1)),
        ("innocent", BannedTokens(["d"], max_rate=0.2)),
    )
    # Documents without an end of their own have at least one of these tokens.
    given = {"vectorizer": TokenCounter()} if order == 1 else {"policy": frozen(2, eos=None)}
    said = r"rules \['some', 'others'\] together \(max_rate=\[0.05, 0.1\]\).* add up to 0.15 < 1"
    with pytest.raises(ValueError, match=said):
        ExactPolicyOptimizer(rules=[first, third, second], **given).fit(TEXTS, REWARDS)
