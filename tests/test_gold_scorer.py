"""Policies compared by a second reward, at one price of KL."""

import numpy as np
import pytest
from additive_problems import LENGTH, LinearCallable, ZipfProblem, linear_reward
from numpy.testing import assert_allclose
from policy_problems import fitted, optimizer
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV

from sklearn_codex import ExactPolicyOptimizer, UnigramLM
from sklearn_codex.overoptimization import GoldRewardScorer

KL_COEFS = [0.1, 0.3, 1.0, 3.0, 10.0]


def noisy_problem():
    """The reward that is optimised is what is meant, plus the noise of another token reward."""
    problem = ZipfProblem(40, 0)
    gold = problem.weights
    proxy = gold + 1.5 * np.random.default_rng(0).standard_normal(40)
    problem.reward_model = FrozenEstimator(linear_reward(proxy))
    return problem, gold, proxy


def test_it_is_expected_gold_less_the_price_of_the_kl():
    problem, gold, _ = noisy_problem()
    model = fitted(problem)
    expected = LENGTH * np.exp(model.token_log_prob_) @ gold
    exact = GoldRewardScorer(FrozenEstimator(linear_reward(gold)), kl_coef=0.7)(model, problem.X)
    assert_allclose(exact, expected - 0.7 * model.kl_, rtol=1e-9)
    sampled = GoldRewardScorer(LinearCallable(gold), kl_coef=0.7)
    # A token reward has a deviation of about 1, a document that of LENGTH tokens.
    assert abs(sampled(model) - exact) < 4 * 1.5 * np.sqrt(LENGTH / 4096)
    assert sampled(model) == sampled(FrozenEstimator(model))


def test_a_search_takes_the_best_kl_coef_by_gold_and_the_smallest_by_the_default_score():
    problem, gold, proxy = noisy_problem()
    grid, gold_model = {"kl_coef": KL_COEFS}, FrozenEstimator(linear_reward(gold))
    solver = ExactPolicyOptimizer(problem.policy, problem.reward_model)
    X = np.repeat(problem.X, 4, axis=0)
    by_score = GridSearchCV(solver, grid, cv=2).fit(X)
    assert by_score.best_params_ == {"kl_coef": KL_COEFS[0]}

    def true_score(kl_coef, price):
        """By hand: the tilted reference, its gold reward and its KL."""
        exponent = problem.reference_log_prob + proxy / kl_coef
        prob = np.exp(exponent - np.logaddexp.reduce(exponent))
        kl = prob @ (np.log(prob) - problem.reference_log_prob)
        return LENGTH * (prob @ gold - price * kl)

    for price in (0.0, 1.0, 3.0):
        search = GridSearchCV(
            solver, grid, cv=2, scoring=GoldRewardScorer(gold_model, kl_coef=price)
        )
        search.fit(X)
        assert_allclose(
            search.cv_results_["mean_test_score"],
            [true_score(kl_coef, price) for kl_coef in KL_COEFS],
            rtol=1e-9,
        )
    # A proxy with this much noise should be trusted less than the gold reward it stands for.
    assert search.best_params_["kl_coef"] > 3.0


def test_what_it_cannot_score():
    with pytest.raises(TypeError, match=r"GoldRewardScorer scores policy optimisers.*UnigramLM"):
        GoldRewardScorer(LinearCallable(np.ones(3)))(UnigramLM().fit(np.eye(3)))
    with pytest.raises(ValueError, match="not fitted"):
        GoldRewardScorer(LinearCallable(np.ones(40)))(optimizer(ZipfProblem(40, 0)))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("gold_reward", None), ("gold_reward", "a name"), ("kl_coef", -1.0), ("kl_coef", "1"),
        ("n_samples", 0), ("n_samples", 2.5), ("random_state", -1), ("random_state", "seed"),
    ],
)  # fmt: skip
def test_wrong_numbers_are_refused_before_anything_is_fitted(name, value):
    given = {"gold_reward": len, name: value}
    with pytest.raises(ValueError, match=rf"The '{name}' parameter of GoldRewardScorer must be"):
        GoldRewardScorer(**given)


def test_repr_names_the_reward_and_the_price():
    assert repr(GoldRewardScorer(len, kl_coef=2.0)) == (
        "GoldRewardScorer(<built-in function len>, kl_coef=2.0)"
    )
