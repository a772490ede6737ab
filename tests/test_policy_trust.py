"""PPO where not everything is known to add: it reaches the best policy, or says that it may not."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from additive_problems import LinearCallable, ZipfProblem
from numpy.testing import assert_allclose, assert_array_equal
from policy_problems import TEXTS, Saturating, fitted, small_problem
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator

from sklearn_codex import PPOPolicyOptimizer, RLOOPolicyOptimizer, UnigramLM
from sklearn_codex.exact import EnumeratedObjective
from sklearn_codex.rules import BannedTokens, Pattern, TokenBudget


def the_benchmark():
    path = Path(__file__).parents[1] / "benchmarks" / "policy_trust.py"
    spec = importlib.util.spec_from_file_location("policy_trust", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def counting_policy(prob, reward, length, optimizer=PPOPolicyOptimizer, **settings):
    prob = np.asarray(prob, dtype=float)[np.newaxis]
    policy = FrozenEstimator(UnigramLM(smoothing=0).fit(prob))
    settings = {"random_state": 0, "response_length": length} | settings
    return optimizer(policy, reward, **settings).fit(prob)


def column(counts, token):
    return counts[:, [token]].toarray().ravel()


# A few problems of each kind of benchmarks/policy_trust.py


def test_silence_means_that_the_best_policy_is_reached():
    trust = the_benchmark()
    rows = []
    for i, kind in enumerate([*trust.MAKERS, "pairwise", "occurrence", "threshold", "budget"]):
        problem = trust.MAKERS[kind](np.random.default_rng(5000 + i))
        rows.append(trust.judge(problem, 5000 + i))
    silent = np.array([row["share"] for row in rows if not row["warned"]])
    assert len(silent) >= 0.8 * len(rows)
    assert np.all(silent >= 0.99)
    assert np.sum(silent < 0.999) <= 1
    assert not any(row["wrong"] for row in rows)


# Rewards


def test_a_policy_of_one_token_that_no_mixed_document_leads_to():
    # An odd number of token 3: documents with one of it are worth more, policies with some less.
    prob = np.array([0.9] + [0.1 / 7] * 7)

    def odd(counts):
        return 1.15779 * (counts[:, [3]].toarray().ravel() % 2)

    best = 1.15779 + 5 * 0.011742 * np.log(prob[3])
    model = counting_policy(prob, odd, 5, kl_coef=0.011742, random_state=103)
    assert model.objective_ >= 0.998 * best


def test_small_kl_coef_with_a_reward_for_one_token():
    prob = 1 / np.arange(1, 7)
    prob /= prob.sum()
    exact = EnumeratedObjective(np.log(prob), lambda c: 2.0 * (c[:, 0] > 0), 5, 0.029)
    best, start = exact.optimum().value, exact.value(np.log(prob))
    for seed in range(2):
        model = counting_policy(
            prob, lambda c: 2.0 * (column(c, 0) > 0), 5, kl_coef=0.029, random_state=seed
        )
        assert (exact.value(model.token_log_prob_) - start) / (best - start) > 0.999
        distance = best - exact.value(model.token_log_prob_)
        assert model.optimality_gap_ + 3 * model.optimality_gap_se_ >= distance


def test_another_start_finds_what_the_reference_never_draws():
    # All of the third token pays most, and its documents are one in ten thousand.
    prob = np.array([0.5, 0.4, 0.1])
    reward = lambda c: 1.0 * (column(c, 0) > 3) + 6.0 * (column(c, 2) == 4)  # noqa: E731
    model = counting_policy(prob, reward, 4, kl_coef=0.1)
    assert model.token_log_prob_[2] > np.log(0.9)
    assert model.expected_reward_ > 5.5


def test_hidden_additivity_is_found_and_used():
    problem = ZipfProblem(50, 0)
    declared = fitted(problem, credit="sequence")
    problem.reward_model = LinearCallable(problem.weights)
    model = fitted(problem)
    assert problem.share_of_optimum(model) > 0.999
    assert_allclose(model.optimal_log_prob_, declared.optimal_log_prob_, atol=1e-9)
    objective = problem.objective()
    assert_allclose(model.optimality_gap_, objective.gap(model.token_log_prob_), rtol=1e-6)
    assert model.optimality_gap_se_ == 0
    assert_allclose(model.evaluate().objective, model.objective_)


class Turncoat:
    """A reward that adds over tokens until it has been asked so often, and saturates then."""

    def __init__(self, n_calls):
        self.n_calls = n_calls

    def __call__(self, counts):
        self.n_calls -= 1
        if self.n_calls > 0:
            return counts @ np.array([-3.0, 2.0, 0.0, 1.5, 0.0])
        return Saturating()(counts)


# Eight calls try whether it adds; the last of all is that of the final documents.
@pytest.mark.parametrize("n_calls", [12, 16])
def test_a_document_that_contradicts_ends_the_belief(n_calls):
    model = fitted(small_problem(Turncoat(n_calls)), max_iter=200)
    assert model.token_reward_ is None
    assert model.optimal_log_prob_ is None
    assert model.optimality_gap_se_ > 0
    exact = EnumeratedObjective(model.reference_log_prob_, Saturating(), 3)
    best, start = exact.optimum().value, exact.value(model.reference_log_prob_)
    assert exact.value(model.token_log_prob_) > start + 0.99 * (best - start)


def test_nothing_better_than_the_start_is_said():
    # An even reward of pairs: no policy of the four tokens gains anything.
    def parity(counts):
        return (-1.0) ** column(counts, 0) * (-1.0) ** column(counts, 1)

    prob = np.array([0.25, 0.25, 0.25, 0.25])
    exact = EnumeratedObjective(np.log(prob), lambda c: (-1.0) ** (c[:, 0] + c[:, 1]), 2, 20.0)
    with (
        pytest.warns(ConvergenceWarning, match="gained 0 over the policy it began with"),
        pytest.warns(ConvergenceWarning, match="stopped at max_iter=60 before"),
    ):
        model = counting_policy(prob, parity, 2, kl_coef=20.0, max_iter=60)
    assert exact.value(model.token_log_prob_) >= exact.value(np.log(prob)) - 1e-4


def test_where_it_stops_short_it_says_how_far():
    message = r"max_iter=3 before it was within tol=0.001.*It gained [\d.]+, and [\d.]+ \+- [\d.]+"
    with pytest.warns(ConvergenceWarning, match=message):
        fitted(small_problem(Saturating()), max_iter=3)


def test_an_unknown_gap_is_nan():
    # A reward of wide spread at a small price of KL: the few best of all documents drawn decide.
    weights = np.random.default_rng(0).normal(size=(40, 40))

    def reward(counts):
        counts = counts.toarray()
        return np.einsum("ni,ij,nj->n", counts, weights, counts)

    model = counting_policy(np.full(40, 1 / 40), reward, 10, kl_coef=0.5, tol=0, max_iter=1)
    assert np.isnan(model.optimality_gap_)
    assert np.isnan(model.optimality_gap_se_)
    assert np.isfinite(model.objective_)


# Prices of chance constraints


@pytest.mark.parametrize(
    "rule",
    [
        BannedTokens([0], max_rate=0.05, name="zero"),
        TokenBudget([0], budget=0, max_rate=0.05, name="zero"),
    ],
    ids=["banned", "budget of none"],
)
@pytest.mark.parametrize("optimizer", [PPOPolicyOptimizer, RLOOPolicyOptimizer])
def test_a_price_where_nearly_all_documents_would_violate(rule, optimizer):
    model = counting_policy(
        np.full(4, 0.25), lambda c: 2.0 * column(c, 0), 5, optimizer, rules=rule
    )
    # By hand: p of the token at a rate of 0.05, and what its log odds have to fall by.
    p = 1 - 0.95**0.2
    price = (2 - np.log(3) - np.log(p / (1 - p))) / (1 - p) ** 4
    value = 5 * (2 * p - p * np.log(4 * p) - (1 - p) * np.log((1 - p) / 0.75))
    assert_allclose([price, value], [5.71, -1.108], rtol=1e-3)
    assert_allclose(model.rule_prices_["zero"], price, rtol=1e-3)
    assert_allclose(model.rule_rates_["zero"], 0.05, rtol=1e-2)
    assert_allclose(model.objective_ + model.penalty_, value, atol=1e-3)
    assert model.history_[-1]["rules/zero/price"] == model.rule_prices_["zero"]
    assert_allclose(model.evaluate().objective, model.objective_)


def test_a_price_of_tokens_under_a_reward_that_does_not_add():
    model = counting_policy(
        np.full(4, 0.25),
        lambda c: 2.0 * np.minimum(column(c, 0), 2.0),
        5,
        rules=BannedTokens([0], max_rate=0.05),
    )
    p = 1 - 0.95**0.2
    assert_allclose(np.exp(model.token_log_prob_[0]), p, rtol=0.02)
    assert_allclose(model.rule_rates_["banned_tokens"], 0.05, rtol=1e-6)
    assert_allclose(model.evaluate().penalty, model.penalty_)
    assert_allclose(model.evaluate().objective, model.objective_, atol=0.05)
    # The others share what is left evenly, as they are alike.
    assert_allclose(np.exp(model.token_log_prob_[1:]), (1 - p) / 3, rtol=0.02)


@pytest.mark.parametrize("max_rate", [0.02, 0.2])
def test_a_price_of_a_budget_where_nearly_all_documents_would_violate(max_rate):
    model = counting_policy(
        np.full(4, 0.25),
        lambda c: 2.0 * column(c, 0),
        6,
        rules=TokenBudget([0], budget=1, max_rate=max_rate),
        max_iter=300,
    )
    p = np.exp(model.token_log_prob_[0])
    rate = 1 - (1 - p) ** 6 - 6 * p * (1 - p) ** 5
    assert abs(rate - max_rate) < 0.1 * max_rate + 3 * np.sqrt(max_rate / 4096)
    assert_allclose(np.exp(model.token_log_prob_[1:]), (1 - p) / 3, rtol=0.05)


def test_prices_of_several_rules_at_once():
    rules = [
        BannedTokens([0], max_rate=0.1, name="zero"),
        BannedTokens([1, 2], max_rate=0.3, name="others"),
        TokenBudget([3], budget=2, penalty=0.1, name="priced"),
    ]
    model = counting_policy(
        np.full(5, 0.2), lambda c: c @ np.array([3.0, 2.0, 1.0, 0.5, 0.0]), 8, rules=rules
    )
    prob = np.exp(model.token_log_prob_)
    assert_allclose(1 - (1 - prob[0]) ** 8, 0.1, rtol=0.01)
    assert_allclose(1 - (1 - prob[1] - prob[2]) ** 8, 0.3, rtol=0.01)
    assert model.rule_prices_["priced"] == 0.1


def test_a_price_of_a_pattern_of_two_words_is_learned():
    model = PPOPolicyOptimizer(
        reward_model=lambda texts: [float(len(set(text.split()))) for text in texts],
        rules=Pattern(r"\b(cat|dog) (cat|dog)\b", max_rate=0.02),
        random_state=0,
        max_iter=250,
    ).fit(TEXTS)
    assert abs(model.rule_rates_["pattern"] - 0.02) < 3 * np.sqrt(0.02 / 4096) + 0.003
    assert model.rule_prices_["pattern"] > 0


def test_a_price_that_still_moves_is_told():
    rules = TokenBudget([0], budget=1, max_rate=0.02, name="one")
    with pytest.warns(ConvergenceWarning, match=r"rule 'one', whose max_rate is 0.02.*not come to"):
        counting_policy(np.full(4, 0.25), lambda c: 2.0 * column(c, 0), 6, rules=rules, max_iter=12)


def test_training_with_tracked_prices_goes_on_bit_for_bit():
    def fit(max_iter, **settings):
        return PPOPolicyOptimizer(
            small.policy, Saturating(), response_length=3, random_state=0, tol=0,
            rules=BannedTokens([1], max_rate=0.2), max_iter=max_iter, **settings,
        )  # fmt: skip

    small = small_problem(Saturating())
    whole = fit(30).fit(small.X)
    half = fit(15, warm_start=True).fit(small.X).fit(small.X)
    assert_array_equal(half.token_log_prob_, whole.token_log_prob_)
    assert half.rule_prices_ == whole.rule_prices_
