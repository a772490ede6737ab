"""The critic of whole-document rewards: least squares, and what it may do to the gradient."""

import numpy as np
import pytest
from additive_problems import LENGTH, LinearCallable, ZipfProblem, random_policy, total_variation
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from policy_problems import Enumeration, Normalised, Saturating, fitted, small_problem

from sklearn_codex._policy.critic import _KEPT_BATCHES, _KEPT_PER_TOKEN, LinearCritic
from sklearn_codex._policy.ppo import Clipping, TokenAdvantages, clipped_surrogate, surrogate_slope
from sklearn_codex._rollouts import Rollouts, sample_rollouts

SEEDS = st.integers(0, 2**32 - 1)
proved = settings(deadline=None, max_examples=30, derandomize=True)


def batch(log_prob, n_documents, seed):
    return sample_rollouts(log_prob, n_documents, np.random.RandomState(seed), length=LENGTH)


@given(SEEDS)
@proved
def test_it_finds_the_reward_of_each_token_up_to_a_constant(seed):
    rng = np.random.default_rng(seed)
    log_prob, weights = random_policy(12, rng), rng.standard_normal(12)
    critic = LinearCritic(12)
    for k in range(8):
        documents = batch(log_prob, 40, seed=k)
        critic.learn(documents, documents.sum_over_tokens(weights) + 3.0)
    difference = critic.token_value - weights
    assert_allclose(difference, difference.mean(), atol=1e-3)


@given(SEEDS)
@proved
def test_noisy_rewards_give_the_ridge_solution_around_the_values_before(seed):
    rng = np.random.default_rng(seed)
    log_prob = random_policy(6, rng)
    documents = batch(log_prob, 60, seed=0)
    reward = rng.standard_normal(60)
    critic = LinearCritic(6)
    before = critic.token_value = rng.standard_normal(6)
    critic.learn(documents, reward)
    counts = documents.counts.toarray()
    counts = counts - counts.mean(axis=0)
    # The same minimum by a dense solver; the penalty is what the class says: 0.1 occurrences.
    gain = np.linalg.solve(
        counts.T @ counts + 0.1 * np.eye(6), counts.T @ (reward - reward.mean() - counts @ before)
    )
    # A constant for all tokens is one for all documents, which is free.
    missing = critic.token_value - before - gain
    assert_allclose(missing, missing.mean(), atol=1e-2 * np.abs(gain).max())


def test_what_was_learned_of_tokens_no_longer_drawn_is_kept():
    log_prob = np.log(np.full(4, 0.25))
    weights = np.array([0.0, 1.0, -2.0, 5.0])
    critic = LinearCritic(4)
    documents = batch(log_prob, 200, seed=0)
    critic.learn(documents, documents.sum_over_tokens(weights))
    known = critic.token_value[3] - critic.token_value[0]
    with np.errstate(divide="ignore"):
        narrow = np.log(np.array([0.4, 0.3, 0.3, 0.0]))
    for k in range(1, 20):
        documents = batch(narrow, 50, seed=k)
        critic.learn(documents, documents.sum_over_tokens(weights))
    assert abs(critic.token_value[3] - critic.token_value[0] - known) < 0.01
    kept = [len(remembered["reward"]) for remembered in critic.state()["batches"]]
    assert len(kept) == _KEPT_BATCHES
    assert sum(kept) >= _KEPT_PER_TOKEN * 4


def test_trust_is_the_share_of_a_forecast_that_leaves_the_least_variance():
    rng = np.random.default_rng(0)
    forecast = rng.standard_normal(500)
    actual = 0.4 * forecast + rng.standard_normal(500)
    actual -= actual.mean()
    trust = LinearCritic(1).trust(forecast, actual)
    grid = np.linspace(0, 1, 1001)
    best = grid[np.argmin([np.var(actual - share * forecast) for share in grid])]
    assert abs(trust - best) < 1e-3
    assert LinearCritic(1).trust(forecast, -actual) == 0.0
    assert LinearCritic(1).trust(forecast, 3 * forecast) == 1.0
    assert LinearCritic(1).trust(np.ones(500), actual) == 0.0


def test_values_and_trust_of_two_documents_by_hand():
    critic = LinearCritic(2)
    critic.learn(Rollouts(np.array([0, 1]), np.array([1, 1]), 2), np.array([5.0, 6.0]))
    # Centred, each count is 1/2 to one side or the other: (1/2 + 1/2 + 0.1) v = 1/2.
    assert_allclose(critic.token_value, [-0.5 / 1.1, 0.5 / 1.1])
    # About their means they are 2 to either side, and rewards 1, wherever these means are.
    assert critic.trust(np.array([2.0, 6.0]), np.array([8.0, 10.0])) == pytest.approx(0.5)


def test_batches_are_remembered_until_there_are_documents_enough(monkeypatch):
    def remembered(n_batches):
        critic = LinearCritic(10)  # for which 40 are enough
        for seed in range(n_batches):
            critic.learn(batch(np.log(np.full(10, 0.1)), 6, seed), np.zeros(6))
        return len(critic.state()["batches"])

    assert [remembered(n) for n in (3, 7, 12)] == [3, 7, 7]
    monkeypatch.setattr("sklearn_codex._policy.critic._MOST_KEPT", 5 * 6 * LENGTH)
    assert remembered(12) == 5


@given(SEEDS)
@proved
def test_slope_of_the_surrogate_by_finite_differences(seed):
    rng = np.random.default_rng(seed)
    ratio, advantage = np.exp(rng.normal(0, 0.3, 10)), rng.standard_normal(10)
    step = 1e-6
    for clipping in (Clipping(0.2), Clipping((0.1, 0.3), 1.5)):
        ends = [
            clipped_surrogate(ratio * np.exp(sign * step), advantage, clipping) for sign in (1, -1)
        ]
        numeric = (ends[0] - ends[1]) / (2 * step)
        assert_allclose(surrogate_slope(ratio, advantage, clipping), numeric, atol=1e-6)


def test_known_advantages_are_collected_as_if_they_were_drawn():
    rng = np.random.default_rng(1)
    tokens, kinds = rng.integers(0, 5, 300), rng.standard_normal(5)
    drawn = TokenAdvantages.collect(tokens, kinds[tokens], 5)
    known = TokenAdvantages.of_kinds(np.bincount(tokens, minlength=5).astype(float), kinds)
    for name in ("positive", "negative", "n_positive", "n_negative", "n_tokens"):
        assert_allclose(getattr(drawn, name), getattr(known, name), atol=1e-12)


@pytest.mark.parametrize("n_columns", [10, 100])
def test_it_takes_far_fewer_documents(n_columns):
    for seed in range(3):
        problem = ZipfProblem(n_columns, seed)
        chosen = {"credit": "sequence", "n_rollouts": max(4, n_columns // 4)}
        with_critic = fitted(problem, seed, **chosen)
        without = fitted(problem, seed, critic=False, max_iter=2000, **chosen)
        assert problem.share_of_optimum(with_critic) >= 0.999
        assert with_critic.n_sequences_ < 0.5 * without.n_sequences_


@pytest.mark.parametrize("reward", [Saturating(), Normalised()], ids=["saturating", "normalised"])
def test_it_does_not_bias_where_rewards_do_not_add(reward):
    problem = small_problem(reward)
    for seed in range(3):
        model = fitted(problem, seed, kl_coef=0.5, tol=1e-4, max_iter=2000)
        everything = Enumeration(model.reference_log_prob_, 3, reward, 0.5)
        best = everything.best_policy()
        gained = everything.value(best) - everything.value(model.reference_log_prob_)
        lost = everything.value(best) - everything.value(model.token_log_prob_)
        assert lost < 2e-3 * gained
        assert total_variation(model.token_log_prob_, best) < 0.03


def test_critic_has_no_part_in_token_credit_nor_in_the_textbook_form():
    problem = ZipfProblem(20, 0)
    for chosen in ({"credit": "token"}, {"optimizer": "adam", "credit": "sequence"}):
        policies = [
            fitted(problem, tol=0, max_iter=3, critic=critic, **chosen) for critic in (True, False)
        ]
        assert_array_equal(policies[0].token_log_prob_, policies[1].token_log_prob_)
        assert policies[0].training_state_["critic"] is None


@pytest.mark.parametrize("known", [False, True], ids=["callable", "additive"])
def test_it_goes_on_bit_for_bit(known):
    problem = ZipfProblem(30, 0)
    if not known:
        problem.reward_model = LinearCallable(problem.weights)
    chosen = {"credit": "sequence", "tol": 0, "warm_start": True}
    whole = fitted(problem, max_iter=12, **chosen)
    parts = fitted(problem, max_iter=6, **chosen).fit(problem.X)
    assert_array_equal(parts.token_log_prob_, whole.token_log_prob_)
    for ours, theirs in zip(
        parts.training_state_["critic"]["batches"],
        whole.training_state_["critic"]["batches"],
        strict=True,
    ):
        assert_array_equal(ours["tokens"], theirs["tokens"])
