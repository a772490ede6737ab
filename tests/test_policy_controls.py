"""What shapes the objective from outside: KL controllers, entropy bonus, scale of the reward."""

import pickle

import numpy as np
import pytest
from additive_problems import LENGTH, LinearCallable, ZipfProblem, linear_reward, total_variation
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from policy_problems import TEXTS, Normalised, Saturating, fitted, optimizer, small_problem
from scipy.special import gammaln, log_softmax, logsumexp
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.utils._param_validation import InvalidParameterError

from sklearn_codex import PPOPolicyOptimizer, TokenCounter
from sklearn_codex.exact import AdditiveObjective, enumerate_counts, kl_coef_for_kl
from sklearn_codex.kl_control import AdaptiveKLController, FixedKLController, KLController

proved = settings(deadline=None, max_examples=100, derandomize=True)


# KL controllers


@given(
    kl_coef=st.floats(1e-6, 1e6),
    kl=st.floats(0, 1e4),
    target=st.floats(1e-3, 1e3),
    horizon=st.floats(1, 1e6),
    n=st.integers(1, 100_000),
)
@proved
def test_adaptive_controller_is_its_formula_and_stays_positive(kl_coef, kl, target, horizon, n):
    moved = AdaptiveKLController(target, horizon=horizon).next_coef(kl_coef, kl, n)
    error = min(max(kl / target - 1, -0.2), 0.2)
    assert moved > 0
    if 1 + error * n / horizon >= 0.2:
        assert_allclose(moved, kl_coef * (1 + error * n / horizon))
    if kl != target:
        assert (moved >= kl_coef) == (kl >= target)


def test_adaptive_controller_never_falls_by_more_than_four_fifths_at_once():
    controller = AdaptiveKLController(target=1.0, horizon=10)
    # By the formula 1 - 0.2 * 100 / 10 is below 0, and 1 - 0.2 * 45 / 10 is a tenth.
    for n_documents in (100, 45):
        assert controller.next_coef(3.0, kl=0.0, n_documents=n_documents) == pytest.approx(0.6)
    assert controller.next_coef(3.0, kl=0.0, n_documents=35) == pytest.approx(3.0 * 0.3)


def test_fixed_controller_keeps_the_weight():
    assert FixedKLController().next_coef(0.3, 1e9, 1) == 0.3
    problem = ZipfProblem(30, 0)
    assert_array_equal(
        fitted(problem, kl_controller=FixedKLController()).token_log_prob_,
        fitted(problem).token_log_prob_,
    )


@pytest.mark.parametrize("credit", ["token", "sequence"])
@pytest.mark.parametrize("kl_coef", [0.3, 3.0])
def test_adaptive_controller_finds_the_kl_coef_of_its_target(credit, kl_coef):
    problem = ZipfProblem(100, 1)
    model = fitted(
        problem,
        kl_coef=kl_coef,
        credit=credit,
        kl_controller=AdaptiveKLController(target=5.0, horizon=1000),
        tol=0,
        max_iter=200,
    )
    exact = kl_coef_for_kl(problem.reference_log_prob, problem.weights, 5.0, length=LENGTH)
    assert abs(model.kl_ - 5.0) < 0.01
    assert_allclose(model.kl_coef_, exact, rtol=0.01)
    assert total_variation(model.token_log_prob_, problem.objective(kl_coef=exact).optimum()) < 1e-3
    weights = [record["objective/kl_coef"] for record in model.history_]
    assert weights[0] == kl_coef
    assert weights[-1] == model.kl_coef_
    assert model.n_iter_ == 200
    best = problem.objective(kl_coef=model.kl_coef_)
    assert_allclose(model.objective_, best.value(model.token_log_prob_))
    assert_allclose(model.evaluate().objective, model.objective_)


@pytest.mark.parametrize(("settings", "error"), [({"optimizer": "adam"}, 0.05), ({}, 0.01)])
def test_adaptive_controller_with_other_forms_and_rewards(settings, error):
    problem = ZipfProblem(30, 1)
    problem.reward_model = LinearCallable(problem.weights)
    controller = AdaptiveKLController(target=3.0, horizon=1000)
    model = fitted(problem, kl_controller=controller, tol=0, max_iter=300, **settings)
    exact = kl_coef_for_kl(problem.reference_log_prob, problem.weights, 3.0, length=LENGTH)
    assert_allclose(model.kl_, 3.0, rtol=error)
    assert_allclose(model.kl_coef_, exact, rtol=error)


def test_a_target_that_no_policy_has_is_no_end_of_the_world():
    for target in (1e-30, 1e9):
        controller = AdaptiveKLController(target=target, horizon=100)
        model = fitted(ZipfProblem(10, 0), kl_controller=controller, tol=0, max_iter=60)
        assert 1e-8 <= model.kl_coef_ <= 1e8
        assert np.isfinite(model.objective_)


def test_controllers_are_nested_parameters():
    controller = AdaptiveKLController(target=2.0, horizon=500)
    model = PPOPolicyOptimizer(kl_controller=controller, random_state=0, tol=0, max_iter=120)
    copied = clone(model)
    assert copied.kl_controller is not controller
    assert copied.get_params()["kl_controller__target"] == 2.0
    X = np.random.RandomState(0).poisson(2.0, size=(20, 8)) + 1.0
    y = X @ np.arange(8.0)
    search = GridSearchCV(
        model,
        {"kl_controller__target": [1.0, 4.0]},
        scoring=lambda estimator, X, y: estimator.kl_,
        cv=2,
    ).fit(X, y)
    assert_allclose(search.cv_results_["mean_test_score"], [1.0, 4.0], atol=0.05)
    assert search.best_params_ == {"kl_controller__target": 4.0}
    assert controller.target == 2.0
    assert pickle.loads(pickle.dumps(search.best_estimator_)).kl_ == search.best_estimator_.kl_


def test_controllers_are_checked():
    problem = ZipfProblem(10, 0)
    for wrong in (AdaptiveKLController(target=0.0), AdaptiveKLController(horizon=-1)):
        with pytest.raises(InvalidParameterError, match=r"parameter of AdaptiveKLController must"):
            fitted(problem, kl_controller=wrong)
    with pytest.raises(InvalidParameterError, match=r"'kl_controller' parameter of PPOPolicy"):
        fitted(problem, kl_controller=5.0)
    with pytest.raises(TypeError, match=r"KLController defines no next_coef"):
        fitted(problem, kl_controller=KLController())

    class Broken(KLController):
        def next_coef(self, kl_coef, kl, n_documents):
            return float("nan")

    with pytest.raises(ValueError, match=r"kl_coef > 0, got nan"):
        fitted(problem, kl_controller=Broken())


# Entropy bonus


@pytest.mark.parametrize("entropy_coef", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("credit", ["token", "sequence"])
def test_entropy_bonus_tempers_the_optimum(entropy_coef, credit):
    problem, b, h = ZipfProblem(50, 0), 0.8, entropy_coef
    model = fitted(problem, kl_coef=b, entropy_coef=h, credit=credit, tol=0, max_iter=200)
    best = log_softmax((b * problem.reference_log_prob + problem.weights) / (b + h))
    assert total_variation(model.optimal_log_prob_, best) < 1e-12
    assert total_variation(model.token_log_prob_, best) < 1e-6
    prob = np.exp(model.token_log_prob_)
    value = (
        LENGTH
        * prob
        @ (
            problem.weights
            - b * (model.token_log_prob_ - problem.reference_log_prob)
            - h * model.token_log_prob_
        )
    )
    assert_allclose(model.objective_, value)
    assert model.entropy_ > fitted(problem, kl_coef=b).entropy_


def test_entropy_bonus_of_a_reward_that_does_not_add_has_a_certificate():
    reward, b, h = Saturating(), 1.0, 0.5
    model = fitted(small_problem(reward), entropy_coef=h, tol=0, max_iter=3)

    # J = E[R + b log ref] + (b + h) H, so the best over documents is a log-sum at b + h.
    counts = enumerate_counts(5, 3)

    orders = gammaln(4) - gammaln(counts + 1).sum(axis=1)
    exponent = (reward(counts) + b * counts @ model.reference_log_prob_) / (b + h)
    best = (b + h) * logsumexp(orders + exponent)
    prob = np.exp(orders + counts @ model.token_log_prob_)
    value = prob @ (
        reward(counts) + b * counts @ (model.reference_log_prob_ - model.token_log_prob_)
    )
    value -= h * 3 * np.exp(model.token_log_prob_) @ model.token_log_prob_
    assert abs(model.optimality_gap_ - (best - value)) < 4 * model.optimality_gap_se_
    assert abs(model.objective_ - value) < 0.2


def test_entropy_bonus_needs_documents_of_fixed_length():
    model = PPOPolicyOptimizer(vectorizer=TokenCounter(eos_token="<eos>"), entropy_coef=0.1)
    with pytest.raises(ValueError, match=r"entropy_coef=0.1, which is defined for documents of f"):
        model.fit(TEXTS, np.arange(5.0))


# Scale of the reward


@pytest.mark.parametrize("factor", [1e-9, 0.02, 1.0, 300.0])
@pytest.mark.parametrize("shift", [0.0, -7.0])
def test_normalized_additive_rewards_do_not_know_their_scale(factor, shift):
    problem = ZipfProblem(30, 0)
    plain = fitted(problem, normalize_reward=True)
    model = linear_reward(factor * problem.weights)
    model.intercept_ = factor * shift
    scaled = fitted(problem, reward_model=FrozenEstimator(model), normalize_reward=True)
    assert_allclose(np.exp(scaled.token_log_prob_), np.exp(plain.token_log_prob_), rtol=1e-9)
    assert_allclose(scaled.objective_, plain.objective_, rtol=1e-9)
    assert_allclose(scaled.reward_scale_, factor * plain.reward_scale_)
    assert_allclose(scaled.reward_mean_, factor * (plain.reward_mean_ + shift), atol=1e-20)
    assert_allclose(scaled.expected_reward_, factor * (plain.expected_reward_ + shift))


@pytest.mark.parametrize(("factor", "shift"), [(1e-6, 0.0), (50.0, 0.0), (3.0, -2.0)])
def test_normalized_sampled_rewards_do_not_know_their_scale(factor, shift):
    class Affine(Normalised):
        def __call__(self, counts):
            return factor * (super().__call__(counts) + shift)

    settings = {"normalize_reward": True, "tol": 0, "max_iter": 30}
    plain = fitted(small_problem(Normalised()), **settings)
    scaled = fitted(small_problem(Affine()), **settings)
    assert_allclose(np.exp(scaled.token_log_prob_), np.exp(plain.token_log_prob_), rtol=1e-9)
    assert_allclose(scaled.expected_reward_, factor * (plain.expected_reward_ + shift), rtol=1e-9)
    assert_allclose(scaled.reward_scale_, factor * plain.reward_scale_, rtol=1e-9)


@pytest.mark.parametrize("additive", [True, False])
def test_rewards_are_normalized_by_their_moments_under_the_reference(additive):
    problem = ZipfProblem(30, 0)
    if not additive:
        problem.reward_model = LinearCallable(problem.weights)
    model = fitted(problem, normalize_reward=True, reward_coef=2.0)
    drawn = np.random.default_rng(0).multinomial(
        LENGTH, np.exp(problem.reference_log_prob), size=40_000
    )
    rewards = drawn @ problem.weights
    error = 4 * rewards.std() * (1 / np.sqrt(40_000) + (0 if additive else 1 / np.sqrt(4096)))
    assert abs(model.reward_mean_ - rewards.mean()) < error
    assert abs(model.reward_scale_ - rewards.std()) < error
    # The objective is that of the normalised reward.
    prob = np.exp(model.token_log_prob_)
    gained = 2.0 * (LENGTH * prob @ problem.weights - model.reward_mean_) / model.reward_scale_
    atol = 1e-9 if additive else 0.2
    assert_allclose(model.objective_, gained - model.kl_, atol=atol)
    objective = AdditiveObjective(
        problem.reference_log_prob,
        problem.weights,
        length=LENGTH,
        reward_coef=2.0 / model.reward_scale_,
    )
    assert total_variation(model.token_log_prob_, objective.optimum()) < 0.03


def test_rewards_are_not_normalized_by_default():
    model = fitted(ZipfProblem(30, 0), reward_coef=3.0)
    assert (model.reward_mean_, model.reward_scale_) == (0.0, 1.0)


@pytest.mark.parametrize("reward", [np.zeros(30), np.full(30, 1e6 / 3)])
def test_a_constant_reward_has_no_scale(reward):
    problem = ZipfProblem(30, 0)
    for model in (FrozenEstimator(linear_reward(reward)), LinearCallable(reward)):
        found = optimizer(problem, random_state=0, reward_model=model, normalize_reward=True)
        found.fit(problem.X)
        assert found.reward_scale_ == 1.0
        assert found.kl_ < 1e-6
