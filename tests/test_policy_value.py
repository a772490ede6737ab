"""What a policy is worth: off-policy from logged rewards, and how far from the best, certified."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from additive_problems import LENGTH, ZipfProblem, linear_reward
from numpy.testing import assert_allclose
from policy_problems import TEXTS, Normalised, Saturating, fitted
from sklearn.frozen import FrozenEstimator

from sklearn_codex import PPOPolicyOptimizer, UnigramLM
from sklearn_codex._policy.iteration_record import sampled_figures
from sklearn_codex._policy.problem import build_problem, unigram_objective
from sklearn_codex._rollouts import Rollouts
from sklearn_codex.exact import EnumeratedObjective
from sklearn_codex.rules import BannedTokens, TokenBudget

# Off-policy value


def logged(problem, n, seed=0, noise=1.0):
    """Documents of the reference, with noisy rewards of them."""
    rng = np.random.default_rng(seed)
    X = rng.multinomial(LENGTH, np.exp(problem.reference_log_prob), size=n).astype(float)
    return X, X @ problem.weights + noise * rng.standard_normal(n)


def test_off_policy_value_is_near_the_expected_reward():
    problem = ZipfProblem(20, 0)
    model = fitted(problem, kl_coef=4.0)
    prob = np.exp(model.token_log_prob_)
    exact = LENGTH * prob @ problem.weights
    estimates = [model.off_policy_value(*logged(problem, 2000, seed)) for seed in range(60)]
    values = np.array([estimate.value for estimate in estimates])
    spread = values.std(ddof=1)
    assert abs(values.mean() - exact) < 4 * spread / np.sqrt(60)
    errors = np.array([estimate.standard_error for estimate in estimates])
    # The standard error is that of the estimates, up to the error of a deviation of 60 of them.
    assert abs(np.median(errors) / spread - 1) < 4 / np.sqrt(2 * 60)
    X, y = logged(problem, 500)
    assert model.score(X, y) == model.off_policy_value(X, y).value


def test_off_policy_value_is_its_formula():
    problem = ZipfProblem(20, 0)
    model = fitted(problem, kl_coef=4.0)
    X, y = logged(problem, 50)
    weight = np.exp(model.score_samples(X) - X @ model.reference_log_prob_)
    estimate = model.off_policy_value(X, y)
    assert_allclose(estimate.value, weight @ y / weight.sum())
    assert_allclose(estimate.effective_sample_size, weight.sum() ** 2 / (weight**2).sum())
    assert 1 <= estimate.effective_sample_size <= 50
    moved = model.off_policy_value(X, 3 * y - 7)
    assert_allclose(moved.value, 3 * estimate.value - 7)
    assert_allclose(moved.standard_error, 3 * estimate.standard_error)


def test_off_policy_value_of_the_reference_is_the_mean():
    problem = ZipfProblem(20, 0)
    model = fitted(problem, reward_coef=0.0)
    X, y = logged(problem, 400)
    estimate = model.off_policy_value(X, y)
    assert_allclose(estimate.effective_sample_size, 400)
    assert_allclose(estimate.value, y.mean())
    assert_allclose(estimate.standard_error, y.std() / np.sqrt(400))


def test_off_policy_value_of_text_equals_that_of_counts():
    y = np.arange(5.0)
    model = PPOPolicyOptimizer(random_state=0).fit(TEXTS, y)
    counts = model.vectorizer_.transform(TEXTS)
    assert model.score(TEXTS, y) == model.score(counts, y)


def test_logged_documents_with_banned_tokens_have_no_weight():
    problem = ZipfProblem(20, 0)
    frequent = int(np.argmax(problem.reference_log_prob))
    model = fitted(problem, rules=BannedTokens([frequent], hard=True), kl_coef=4.0)
    X, y = logged(problem, 4000)
    clean = X[:, frequent] == 0
    assert 0 < clean.sum() < 4000
    assert_allclose(model.score(X, y), model.score(X[clean], y[clean]))
    with pytest.raises(ValueError, match=r"can produce none of the \d+ logged documents"):
        model.score(X[~clean], y[~clean])


def test_score_without_rewards_is_the_objective_on_other_demonstrations():
    problem = ZipfProblem(20, 0)
    problem.X = np.random.RandomState(0).poisson(1.0, size=(9, 20)) + 1.0
    plain = fitted(problem)
    assert plain.score(problem.X) == plain.score(problem.X[:2]) == plain.objective_
    model = fitted(problem, sft_coef=3.0)
    assert_allclose(model.score(problem.X), model.objective_)
    others = np.random.RandomState(1).poisson(1.0, size=(4, 20)) + 1.0
    loss = [np.log(model.perplexity(X)) for X in (problem.X, others)]
    assert_allclose(model.score(others), model.objective_ + 3.0 * (loss[0] - loss[1]))


# Certificates


def problem_of(reward, kl_coef, *, rules=None, reference=(0.35, 0.25, 0.2, 0.15, 0.05)):
    return build_problem(
        unigram_objective(np.log(reference), length=3, kl_coef=kl_coef),
        reward,
        np.random.RandomState(0),
        names=None,
        rules=rules,
        normalize_reward=False,
        subject="S",
    )


def test_rewards_and_penalties_of_three_documents_by_hand():
    # A KL of 2, a reward of 3 from its mean 0.5, and 1.5 nats for each token 2 after the first.
    problem = problem_of(Saturating(), 2.0, rules=TokenBudget([2], budget=1, penalty=1.5))
    objective = replace(problem.objective, reward_coef=3.0)
    problem = replace(problem, objective=objective, reward_mean=0.5)
    documents = np.array([[2, 2, 2], [1, 3, 2], [0, 0, 0]])
    rollouts = Rollouts(documents.ravel(), np.full(3, 3), 5)
    assessed = problem.assess(problem.start, rollouts)
    assert_allclose(assessed.reward, [0.0, 3.5, -3.0])
    assert_allclose(assessed.violations["token_budget"], [2, 0, 0])
    # The reference has no KL to itself, so this is all there is.
    by_hand = np.array([3 * (0.0 - 0.5) - 2 * 1.5 * 2, 3 * (3.5 - 0.5), 3 * (-3.0 - 0.5)])
    assert_allclose(assessed.rest, by_hand)
    assert_allclose(assessed.shaped, by_hand, atol=1e-12)
    assert_allclose(problem.evaluate(problem.start, rollouts, assessed).objective, by_hand.mean())
    # Drawn from another policy: the same, less the KL of tokens that were drawn.
    other = np.log([0.2, 0.2, 0.2, 0.2, 0.2])
    log_ratio = (other - problem.start)[documents].sum(axis=1)
    figures = sampled_figures(problem, other, rollouts, problem.assess(other, rollouts))
    assert_allclose(figures["objective/kl"], log_ratio.mean())
    assert_allclose(figures["objective/non_score_reward"], -2 * (log_ratio.mean() + 1.5 * 2 / 3))
    assert_allclose(figures["objective/rlhf_reward"], (by_hand - 2 * log_ratio).mean())


def test_certificate_of_three_documents_by_hand():
    problem = problem_of(Saturating(), 2.0)
    # With a KL of 2, weights e^(S / 2) of 1, 2 and 3, whose mean is 2.
    shaped = 5.0 + 2.0 * np.log([1.0, 2.0, 3.0])
    gap, error = problem.certificate(problem.start, SimpleNamespace(shaped=shaped))
    assert_allclose(gap, 5.0 + 2.0 * np.log(2.0) - shaped.mean())
    influence = 2.0 * np.array([0.5, 1.0, 1.5]) - shaped
    assert_allclose(error, np.sqrt(influence.var() * 3 / 2 / 3))


@pytest.mark.parametrize("reward", [Saturating(), Normalised()], ids=["saturating", "normalised"])
@pytest.mark.parametrize("kl_coef", [0.7, 2.0])
def test_certificate_is_a_bound_of_the_distance_to_the_best_policy(reward, kl_coef):
    problem = problem_of(reward, kl_coef)
    exact = EnumeratedObjective(problem.start, reward, length=3, kl_coef=kl_coef)
    best = exact.optimum()
    rng = np.random.default_rng(0)
    for seed in range(6):
        log_prob = 0.7 * best.log_prob + 0.2 * rng.standard_normal(5)
        log_prob -= np.log(np.exp(log_prob).sum())
        true_gap = best.value - exact.value(log_prob)
        to_tilt = exact.gap_to_tilt(log_prob)
        rollouts = problem.sample(log_prob, 20_000, np.random.RandomState(seed))
        gap, error = problem.certificate(log_prob, problem.assess(log_prob, rollouts))
        assert 0 < error < 0.1
        assert gap >= true_gap - 3 * error
        assert abs(gap - to_tilt) < 4 * error


def test_certificate_with_rules_that_do_not_add():
    rule, reward, b = TokenBudget([2], budget=1, penalty=1.5), Normalised(), 1.0

    def penalised(counts):
        return reward(counts) - b * 1.5 * np.maximum(counts[:, 2] - 1, 0)

    problem = problem_of(reward, b, rules=rule)
    exact = EnumeratedObjective(problem.start, penalised, length=3, kl_coef=b)
    log_prob = problem.start
    rollouts = problem.sample(log_prob, 20_000, np.random.RandomState(0))
    assessed = problem.assess(log_prob, rollouts)
    gap, error = problem.certificate(log_prob, assessed)
    assert abs(gap - exact.gap_to_tilt(log_prob)) < 4 * error
    value = problem.evaluate(log_prob, rollouts, assessed).objective
    assert abs(value - exact.value(log_prob)) < 4 * exact.rewards.std() / np.sqrt(20_000)


def test_standard_error_of_the_certificate_is_its_deviation():
    problem = problem_of(Saturating(), 1.0)
    found = np.array(
        [
            problem.certificate(
                problem.start,
                problem.assess(
                    problem.start, problem.sample(problem.start, 2000, np.random.RandomState(seed))
                ),
            )
            for seed in range(100)
        ]
    )
    ratio = np.median(found[:, 1]) / found[:, 0].std(ddof=1)
    assert abs(ratio - 1) < 4 / np.sqrt(200)


def test_certificate_of_additive_problems_is_exact_and_zero_at_the_optimum():
    problem = ZipfProblem(20, 0)
    model = fitted(problem)
    assert model.optimality_gap_se_ == 0
    built = model._build_problem()
    best = model.optimal_log_prob_
    rollouts = built.sample(best, 100, np.random.RandomState(0))
    assert built.certificate(best, built.assess(best, rollouts)) == (0.0, 0.0)
    # At the optimum the shaped reward of all documents is one, so sampled it is zero too.
    shaped = built.assess(best, rollouts).shaped
    assert np.ptp(shaped) < 1e-9


def test_a_policy_that_is_its_own_reference_reports_no_gap_where_nothing_can_be_gained():
    policy = UnigramLM(smoothing=0).fit(np.array([[3.0, 2.0, 1.0]]))
    reward = FrozenEstimator(linear_reward(np.full(3, 2.5)))
    model = PPOPolicyOptimizer(FrozenEstimator(policy), reward, random_state=0).fit(np.ones((1, 3)))
    assert model.optimality_gap_ < 1e-12
    assert_allclose(model.objective_, 2.5 * 3)
