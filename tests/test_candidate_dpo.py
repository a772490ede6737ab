"""DPO of policies over candidates: its minimum, and what else has the same."""

import numpy as np
import pytest
from candidates import PAIRS, PROMPTS, stated
from candidates import PREFERRED as LABELS
from numpy.testing import assert_allclose
from scipy.optimize import minimize
from scipy.special import expit, log_softmax
from sklearn.frozen import FrozenEstimator

from sklearn_codex import CandidatePolicy, DPOPolicyOptimizer, PreferenceRewardModel
from sklearn_codex.exact import CandidateObjective


def naive_loss(problem, weights, targets, *, C):
    """By its definition, prompt by prompt."""
    tilts = weights if problem.features is None else problem.features @ weights
    ratio = np.empty(9)
    for prompt in range(3):
        own = prompt == PROMPTS
        before = log_softmax(problem.reference_log_prob[own])
        ratio[own] = log_softmax(before + tilts[own] / problem.kl_coef) - before
    margin = problem.kl_coef * (ratio[PAIRS[:, 0]] - ratio[PAIRS[:, 1]])
    likelihood = targets * np.log(expit(margin)) + (1 - targets) * np.log(expit(-margin))
    return 0.5 / C * weights @ weights - likelihood.sum()


@pytest.mark.parametrize("log_linear", [False, True])
def test_it_finds_the_minimum_of_the_loss_by_its_definition(log_linear):
    problem = stated(log_linear=log_linear)
    targets = np.where(np.arange(9) % 3, LABELS, 0.3)
    fitted = DPOPolicyOptimizer(kl_coef=0.6, C=2.5, tol=1e-12)
    fitted.fit_objective(problem, PAIRS, targets)
    start = np.zeros(2 if log_linear else 9)
    found = minimize(lambda w: naive_loss(problem, w, targets, C=2.5), start, tol=1e-10)
    assert fitted.history_[-1]["objective"] == pytest.approx(found.fun, rel=1e-8)
    tilts = problem.features @ found.x if log_linear else found.x
    assert_allclose(fitted.token_log_prob_, problem.moved(problem.start, tilts / 0.6), atol=1e-4)


def test_it_chooses_as_the_policy_by_a_reward_model_of_the_same_pairs():
    # Of candidates of one prompt the normaliser cancels.
    rng = np.random.default_rng(1)
    X = rng.normal(size=(9, 3))
    reward = PreferenceRewardModel(C=0.7, tol=1e-12).fit(X[PAIRS[:, 0]] - X[PAIRS[:, 1]], LABELS)
    chosen = CandidatePolicy(FrozenEstimator(reward), kl_coef=0.4).fit(X, groups=PROMPTS)
    problem = chosen.objective(X, PROMPTS, log_linear=True)
    direct = DPOPolicyOptimizer(kl_coef=0.4, C=0.7, tol=1e-12)
    direct.fit_objective(problem, PAIRS, LABELS)
    assert_allclose(direct.token_log_prob_, problem.optimum(), atol=1e-8)
    assert direct.optimality_gap_ < 1e-12
    assert direct.kl_ == pytest.approx(chosen.kl_, rel=1e-6)


@pytest.mark.parametrize("log_linear", [False, True])
def test_where_all_is_known_it_is_the_optimum_of_the_true_reward(log_linear):
    problem = stated(3, log_linear=log_linear)
    a, b = PAIRS.T
    targets = expit(problem.token_reward[a] - problem.token_reward[b])
    fitted = DPOPolicyOptimizer(kl_coef=0.6, C=1e7, tol=1e-12)
    fitted.fit_objective(problem, PAIRS, targets)
    assert problem.gap(problem.start) > 0.01
    assert fitted.optimality_gap_ < 1e-8 * problem.gap(problem.start)
    assert fitted.optimality_gap_ == problem.gap(fitted.token_log_prob_)


def fit_copies(n_prompts, loss, **options):
    """The same question of two candidates, asked as so many prompts."""
    rows = 2 * n_prompts
    reference = np.log(np.tile([0.3, 0.7], n_prompts) / n_prompts)
    problem = CandidateObjective(reference, np.zeros(rows), np.arange(rows) // 2, kl_coef=0.5)
    pairs = np.tile(np.arange(rows).reshape(-1, 2), (2, 1))
    labels, weight = np.repeat([1, 0], n_prompts), np.repeat([3.0, 1.0], n_prompts)
    direct = DPOPolicyOptimizer(loss=loss, kl_coef=0.5, C=0.8, tol=1e-12, **options)
    return direct.fit_objective(problem, pairs, labels, sample_weight=weight)


@pytest.mark.parametrize("loss", ["sigmoid", "ipo", "hinge", "simpo", "cpo", "orpo"])
def test_how_many_prompts_ask_a_question_makes_no_difference(loss):
    alone = fit_copies(1, loss)
    for n_prompts in (2, 7):
        many = fit_copies(n_prompts, loss)
        given_prompt = n_prompts * np.exp(many.token_log_prob_)
        assert_allclose(given_prompt, np.tile(np.exp(alone.token_log_prob_), n_prompts), atol=1e-8)
        assert many.loss_ == pytest.approx(alone.loss_, rel=1e-8)


@pytest.mark.parametrize("loss", ["cpo", "orpo"])
def test_losses_of_likelihoods_are_of_responses_given_the_prompt(loss):
    fitted = fit_copies(3, loss)

    def naive(weights):
        log_prob = log_softmax(np.log([0.3, 0.7]) + weights / 0.5)
        if loss == "cpo":
            margin, beta = 0.5 * (log_prob[0] - log_prob[1]), 1.0
        else:
            odds = log_prob - np.log1p(-np.exp(log_prob))
            margin, beta = odds[0] - odds[1], 0.5
        first = -beta * np.log(expit(margin)) - log_prob[0]
        second = -beta * np.log(expit(-margin)) - log_prob[1]
        return 3 * first + second, 0.5 / 0.8 * weights @ weights

    found = minimize(lambda w: sum(naive(w)), np.zeros(2), tol=1e-12)
    assert fitted.loss_ == pytest.approx(naive(found.x)[0] / 4, rel=1e-6)
    assert fitted.history_[-1]["objective"] == pytest.approx(3 * found.fun, rel=1e-9)
    expected = log_softmax(np.log([0.3, 0.7]) + found.x / 0.5)
    assert_allclose(fitted.token_log_prob_ + np.log(3), np.tile(expected, 3), atol=1e-5)
    documents = np.eye(6)[[[0, 1], [5, 4]]]
    margin = fitted.margin(documents)
    assert margin[0] == pytest.approx(-margin[1], rel=1e-9)
    # Three of four prefer the first.
    assert fitted.history_[-1]["margin"] == pytest.approx(0.5 * margin[0], rel=1e-9)
