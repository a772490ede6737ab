"""What goes into the objective: logged rewards, rules, demonstrations."""

import numpy as np
import pytest
from additive_problems import LENGTH, ZipfProblem, linear_reward, total_variation
from numpy.testing import assert_allclose
from policy_problems import Enumeration, Normalised, fitted, small_problem
from scipy.special import log_softmax
from scipy.stats import binom
from sklearn.frozen import FrozenEstimator

from sklearn_codex import PPOPolicyOptimizer
from sklearn_codex.rules import BannedTokens, TokenBudget


def test_logged_rewards_are_a_ridge_regression_and_its_tilt():
    rng = np.random.RandomState(0)
    X = rng.poisson(1.0, size=(60, 8)).astype(float)
    X[:, 0] += 1
    y = X @ rng.standard_normal(8) + rng.standard_normal(60)
    model = PPOPolicyOptimizer(random_state=0, tol=1e-10).fit(X, y)
    centred = X - X.mean(axis=0)
    weights = np.linalg.solve(centred.T @ centred + np.eye(8), centred.T @ (y - y.mean()))
    assert_allclose(model.token_reward_, weights, rtol=1e-6, atol=1e-8)
    reference = np.log((X.sum(axis=0) + 1) / (X.sum() + 8))
    assert_allclose(model.reference_log_prob_, reference)
    assert total_variation(model.token_log_prob_, log_softmax(reference + weights)) < 1e-4
    length = round(X.sum() / 60)
    assert model.response_length_ == length
    prob = np.exp(model.token_log_prob_)
    offset = y.mean() - X.mean(axis=0) @ weights
    assert_allclose(model.expected_reward_, length * prob @ weights + offset, rtol=1e-6)


def test_additive_penalties_reach_the_exact_optimum_at_its_rate():
    problem = ZipfProblem(50, 0)
    banned = np.argsort(problem.reference_log_prob)[-3:]
    problem.weights[banned] = 1.0
    rule = BannedTokens(banned.tolist(), penalty=2.0)
    model = fitted(problem, rules=rule, tol=1e-8)
    penalty = np.zeros(50)
    penalty[banned] = 2.0
    best = problem.objective(penalty=penalty).optimum()
    assert total_variation(model.token_log_prob_, best) < 1e-3
    p = np.exp(model.token_log_prob_[banned]).sum()
    assert_allclose(model.penalty_, 2.0 * LENGTH * p)
    rate = model.rule_rates_["banned_tokens"]
    assert_allclose(rate, 1 - (1 - p) ** LENGTH)
    assert model.history_[-1]["rules/banned_tokens/rate"] == rate
    assert rate < model.history_[0]["rules/banned_tokens/rate"]
    drawn = model.sample(20_000, random_state=1).tocsc()[:, banned].sum(axis=1) > 0
    assert abs(drawn.mean() - rate) < 4 * binom(20_000, rate).std() / 20_000


@pytest.mark.parametrize("sft_coef", [0.0, 1.0])
@pytest.mark.parametrize("penalty", [50.0, 1000.0])
def test_a_hard_penalty_bans_and_does_not_loosen_the_tolerance(sft_coef, penalty):
    problem = ZipfProblem(50, 0)
    rule = BannedTokens([1, 2], penalty=penalty)
    model = fitted(problem, rules=[("ban", rule)], sft_coef=sft_coef)
    banned = np.exp(model.optimal_log_prob_[[1, 2]]).sum()
    # The reward of tokens that are never drawn stays unknown: a factor exp(w).
    assert model.rule_rates_["ban"] <= 10 * LENGTH * banned
    assert (model.rule_rates_["ban"] > 0) == (penalty == 50)
    assert model.optimality_gap_ < 0.05
    assert total_variation(model.token_log_prob_, model.optimal_log_prob_) < 0.05


def test_a_rule_that_does_not_add_lowers_its_rate():
    problem = ZipfProblem(50, 0)
    free = fitted(problem)
    frequent = int(np.argmax(free.token_log_prob_))
    held = fitted(problem, rules=TokenBudget([frequent], budget=2, penalty=3.0))
    p = np.exp(free.token_log_prob_[frequent])
    rate_when_free = binom(LENGTH, p).sf(2)
    p = np.exp(held.token_log_prob_[frequent])
    rate_when_held = binom(LENGTH, p).sf(2)
    assert rate_when_held < 0.5 * rate_when_free
    assert abs(held.rule_rates_["token_budget"] - rate_when_held) < 4 * 0.5 / np.sqrt(4096)
    assert held.optimal_log_prob_ is None
    assert_allclose(held.token_reward_, problem.weights)


def test_a_rule_that_does_not_add_by_enumeration():
    rule = TokenBudget([2], budget=1, penalty=2.0)
    reward = FrozenEstimator(linear_reward(Normalised.weights))
    model = fitted(small_problem(reward), rules=rule, n_rollouts=1024, tol=1e-4, max_iter=2000)
    everything = Enumeration(
        model.reference_log_prob_,
        3,
        lambda counts: counts @ Normalised.weights,
        1.0,
        rule=lambda counts: 2.0 * np.maximum(counts[:, 2] - 1, 0),
    )
    best = everything.best_policy()
    assert total_variation(model.token_log_prob_, best) < 0.015


def test_a_callable_rule_is_named_and_priced():
    def too_many(counts):
        return np.maximum(counts[:, [0]].sum(axis=1) - 2.0, 0.0)

    problem = ZipfProblem(50, 0)
    model = fitted(problem, rules=[too_many, ("other", lambda counts: np.zeros(counts.shape[0]))])
    assert set(model.rule_rates_) == {"too_many", "other"}
    assert model.rule_rates_["other"] == 0


@pytest.mark.parametrize("credit", ["token", "sequence"])
def test_demonstrations_pull_the_policy(credit):
    problem = ZipfProblem(50, 0)
    problem.X = np.random.RandomState(1).multinomial(LENGTH, np.full(50, 0.02), size=10)
    problem.X = problem.X.astype(float)
    free = fitted(problem, credit=credit)
    held = fitted(problem, credit=credit, sft_coef=20.0)
    frequencies = problem.X.sum(axis=0) / problem.X.sum()
    assert_allclose(held.frequencies_, frequencies)
    assert free.frequencies_ is None
    loss = -(frequencies @ held.token_log_prob_)
    assert loss < -(frequencies @ free.token_log_prob_)
    assert loss < -(frequencies @ held.reference_log_prob_)
    assert_allclose(held.history_[-1]["objective/sft_loss"], loss)
    objective = problem.objective(sft_coef=20.0, frequencies=frequencies)
    assert problem.share_of_optimum(held, sft_coef=20.0, frequencies=frequencies) > 0.99
    assert total_variation(held.token_log_prob_, objective.optimum()) < 0.05
