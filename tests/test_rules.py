"""Rules by examples that pass and fail, each with its reason, and by agreement of their forms."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from sklearn.base import clone

from sklearn_codex import PPOPolicyOptimizer
from sklearn_codex._rollouts import Rollouts, sample_rollouts
from sklearn_codex.rules import BannedTokens, Pattern, Rule, TokenBudget, check_rules

BANNED = BannedTokens(["eval", "exec"])
BUDGET = TokenBudget(["very", "really"], budget=2)
PATTERN = Pattern(r"except\s*:")


class LastToken(Rule):
    """A rule as a user writes one: a document must not end in a token."""

    def __init__(self, token, *, penalty=2.0, name="last_token"):
        self.token = token
        self.penalty = penalty
        self.name = name

    def violations(self, rollouts):
        ends = rollouts.starts + rollouts.lengths - 1
        return (rollouts.names[rollouts.tokens[ends]] == self.token).astype(float)


RULES = [BANNED, BUDGET, PATTERN, LastToken("x")]


@pytest.mark.parametrize(
    ("rule", "text", "violations", "reason"),
    [
        (BANNED, "eval ( x )", 1, "one banned token"),
        (BANNED, "eval exec eval", 3, "each occurrence counts"),
        (BANNED, "print ( x )", 0, "nothing banned"),
        (BANNED, "evaluate Eval", 0, "whole tokens, case and all"),
        (BANNED, "eval( x )", 0, "split at blanks only, this is another token"),
        (BANNED, "", 0, "no token"),
        (BUDGET, "very very", 0, "up to the budget is free"),
        (BUDGET, "very good really good very", 1, "the tokens share one budget"),
        (BUDGET, "very " * 5, 3, "what is beyond the budget counts"),
        (BUDGET, " \n", 0, "blank"),
        (TokenBudget(["a"]), "a b", 1, "no budget by default"),
        (PATTERN, "try : pass except : pass", 1, "a bare except"),
        (PATTERN, "except : except:", 2, "each match counts"),
        (PATTERN, "except OSError : pass", 0, "a named exception"),
        (PATTERN, "except\n\n:", 1, "tokens are joined by a blank"),
        (PATTERN, "", 0, "no token"),
        (LastToken("x"), "a b x", 1, "ends in it"),
        (LastToken("x"), "x a b", 0, "only begins with it"),
    ],
)
def test_examples(rule, text, violations, reason):
    assert_array_equal(rule([text]), [violations], err_msg=reason)


@pytest.mark.parametrize("rule", RULES)
def test_texts_are_judged_one_by_one_whatever_holds_them(rule):
    texts = ["", "eval very x", "really very very except :", "  ", "a"]
    together = rule(texts)
    assert together.dtype == np.float64
    assert_array_equal(together, [rule([text])[0] for text in texts])
    assert_array_equal(rule(np.array(texts)), together)
    assert_array_equal(rule(["", " "]), [0, 0])


@pytest.mark.parametrize("rule", RULES)
def test_what_is_no_texts_is_refused(rule):
    name = type(rule).__name__
    with pytest.raises(TypeError, match=f"{name} expected X .* got a str"):
        rule("eval x")
    with pytest.raises(TypeError, match=f"{name} expected texts.*csr_array of numbers.*decode"):
        rule(csr_array(np.ones((2, 3))))
    with pytest.raises(ValueError, match=f"{name} got 0 documents"):
        rule([])


@given(
    st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=9), min_size=1, max_size=6),
    st.sets(st.integers(0, 5)),
    st.booleans(),
)
def test_violations_of_tokens_add_up_to_those_of_documents(rows, banned, named):
    names = np.array(list("uvwxyz"), dtype=object) if named else None
    rollouts = Rollouts(np.concatenate(rows), np.array(list(map(len, rows))), 6, names)
    tokens = [names[column] for column in banned] if named else banned
    rule = BannedTokens(tokens)
    counted = [sum(token in banned for token in row) for row in rows]
    assert_array_equal(rule.violations(rollouts), counted)
    assert_array_equal(rollouts.counts @ rule.token_violations(names, 6), counted)
    assert_array_equal(TokenBudget(tokens).violations(rollouts), counted)
    assert_array_equal(
        TokenBudget(tokens, budget=2).violations(rollouts), np.maximum(np.array(counted) - 2, 0)
    )
    if named:
        assert_array_equal(rule(rollouts.texts), counted)


def test_only_banned_tokens_add_over_tokens():
    names = np.array(["a", "eval", "very"], dtype=object)
    assert_array_equal(BANNED.token_violations(names, 3), [0, 1, 0])
    assert BUDGET.token_violations(names, 3) is None
    assert PATTERN.token_violations(names, 3) is None


@pytest.mark.parametrize("make", [BannedTokens, TokenBudget])
def test_tokens_are_names_or_columns_as_the_policy_has_them(make):
    names = np.array(["a", "b", "3"], dtype=object)
    named = Rollouts(np.array([0, 1, 2]), np.array([3]), 3, names)
    unnamed = Rollouts(np.array([0, 1, 2]), np.array([3]), 3)
    assert make(["b", "absent"]).violations(named) == [1]
    assert make(np.array(["a", "b"])).violations(named) == [2]
    assert make([np.int64(2), 0]).violations(unnamed) == [2]
    assert make([]).violations(named) == make([]).violations(unnamed) == [0]
    name = make.__name__
    with pytest.raises(TypeError, match=rf"{name} has tokens \[2\], but the policy knows .* name"):
        make([2]).violations(named)
    for tokens in (["a"], [3], [-1], [0.5]):
        with pytest.raises(ValueError, match=rf"{name} has tokens .* integers from 0 to 2"):
            make(tokens).violations(unnamed)
    for rollouts in (named, unnamed):
        with pytest.raises(TypeError, match=rf"{name} needs a list of tokens, got 'ab'"):
            make("ab").violations(rollouts)


def test_pattern_needs_words():
    with pytest.raises(ValueError, match="policy fitted on counts have no text"):
        PATTERN.violations(Rollouts(np.array([0]), np.array([1]), 2))


@pytest.mark.parametrize("rule", RULES)
def test_rules_are_estimators(rule):
    texts = ["eval very very very x", "except : exec", ""]
    for copy in (clone(rule), pickle.loads(pickle.dumps(rule))):
        assert copy is not rule
        assert repr(copy) == repr(rule)
        assert_array_equal(copy(texts), rule(texts))
    changed = clone(rule).set_params(penalty=9.0, name="renamed")
    assert changed.get_params()["penalty"] == 9.0
    assert check_rules(changed, subject="S") == [("renamed", changed)]


def test_a_rule_without_violations_says_so():
    with pytest.raises(TypeError, match="Rule defines no violations"):
        Rule()(["a"])


def drawn(names=("a", "b"), n=5):
    names = None if names is None else np.array(names, dtype=object)
    rng = np.random.RandomState(0)
    return sample_rollouts(np.log([0.5, 0.5]), n, rng, length=3, names=names)


def test_rules_come_alone_in_lists_or_named():
    assert check_rules(None, subject="S") == []
    assert check_rules(BANNED, subject="S") == [("banned_tokens", BANNED)]
    expected = [("budget", BUDGET), ("pattern", PATTERN)]
    for rules in ([("budget", BUDGET), PATTERN], (("budget", BUDGET), ("pattern", PATTERN))):
        assert check_rules(rules, subject="S") == expected


def test_a_function_is_a_rule_that_returns_penalties():
    def too_many(documents):
        return [2.0 * max(0, text.split().count("a") - 1) for text in documents]

    [(name, rule)] = check_rules(too_many, subject="S")
    rollouts = drawn()
    assert (name, rule.penalty) == ("too_many", 1.0)
    assert_allclose(
        rule.violations(rollouts), 2 * np.maximum(rollouts.counts.toarray()[:, 0] - 1, 0)
    )
    [(_, on_counts)] = check_rules([lambda counts: counts @ np.array([0.0, 3.0])], subject="S")
    unnamed = drawn(names=None)
    assert_allclose(on_counts.violations(unnamed), 3 * unnamed.counts.toarray()[:, 1])


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ([0.0] * 4, r"each of 5 documents, got shape \(4,\)"),
        (1.0, r"got shape \(\)"),
        ([-1.0] + [0.0] * 4, r"penalty >= 0 .* with -1\.0"),
        ([np.nan] + [0.0] * 4, "with nan"),
        ([0.0] * 4 + [np.inf], "finite .* with inf"),
    ],
)
def test_penalties_of_functions_are_checked(returned, message):
    [(_, rule)] = check_rules([("mine", lambda documents: returned)], subject="S")
    with pytest.raises(ValueError, match=message):
        rule.violations(drawn())


@pytest.mark.parametrize(
    ("rules", "error", "message"),
    [
        ("eval", TypeError, "S needs a list of rules .* got str: 'eval'"),
        ([BANNED, 3], TypeError, "got int: 3"),
        (BannedTokens, TypeError, "got type: <class .*BannedTokens"),
        ([(1, BANNED)], TypeError, "got tuple: "),
        ([("a", BANNED, 1)], TypeError, "got tuple: "),
        ([BANNED, BannedTokens(["b"])], ValueError, r"distinct names.*'banned_tokens', 'banned_t"),
        ([("a", BANNED), ("a", BUDGET)], ValueError, "distinct names"),
        (BannedTokens([], penalty=-1), ValueError, "'penalty' parameter of BannedTokens must be"),
        (BannedTokens([], name=3), ValueError, "'name' parameter of BannedTokens must be"),
        (TokenBudget([], budget=-1), ValueError, "'budget' parameter of TokenBudget must be"),
        (Pattern(3), ValueError, "'pattern' parameter of Pattern must be"),
    ],
)
def test_what_is_no_rule_is_refused(rules, error, message):
    with pytest.raises(error, match=message):
        check_rules(rules, subject="S")


def test_a_priced_token_has_its_odds_divided_by_exp_of_the_price():
    texts = ["eval x y", "x y eval", "x y z"]
    policy = PPOPolicyOptimizer(
        rules=BannedTokens(["eval"], penalty=1.5), random_state=0, tol=0, max_iter=30
    ).fit(texts, np.zeros(3))
    column = list(policy.vectorizer_.get_feature_names_out()).index("eval")

    def log_odds(log_prob):
        p = np.exp(log_prob[column])
        return np.log(p / (1 - p))

    for log_prob, atol in ((policy.optimal_log_prob_, 1e-6), (policy.token_log_prob_, 1e-2)):
        shift = log_odds(log_prob) - log_odds(policy.reference_log_prob_)
        assert_allclose(shift, -1.5, atol=atol)
