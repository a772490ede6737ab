"""Baselines that check each other: RLOO, the exact optimum and best-of-n."""

from itertools import product

import contract
import numpy as np
import pytest
from additive_problems import LENGTH, LinearCallable, ZipfProblem, linear_reward, total_variation
from assertions import assert_frequencies_agree, assert_is_log_distribution
from loops import RECORDS
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge

from sklearn_codex import (
    BestOfNSampler,
    ExactPolicyOptimizer,
    PPOPolicyOptimizer,
    PreferenceRewardModel,
    RLHFPipeline,
    RLOOPolicyOptimizer,
    SFTRefiner,
    TokenCounter,
    UnigramLM,
)
from sklearn_codex._categorical import normalize_log
from sklearn_codex._policy import best_of_n_sampler as best_of_n_module
from sklearn_codex._policy.iteration_record import Evaluation
from sklearn_codex._policy.problem import build_problem, unigram_objective
from sklearn_codex._policy.settings import Settings
from sklearn_codex._policy.training import Trainer
from sklearn_codex._policy.updates import DualUpdate
from sklearn_codex._rollouts import Rollouts
from sklearn_codex.exact import (
    LengthExplosionError,
    LengthExplosionWarning,
    best_of_n,
    best_of_n_kl_bound,
    kl_coef_for_kl,
    kl_reward_frontier,
)
from sklearn_codex.kl_control import FixedKLController
from sklearn_codex.rules import BannedTokens, TokenBudget


def advantages(problem, *, leave_one_out):
    settings = Settings(
        n_rollouts=16, n_epochs=1, n_minibatches=1, clipping=None, target_kl=None,
        credit="sequence", whitened=False, leave_one_out=leave_one_out,
    )  # fmt: skip
    update = DualUpdate(
        problem.objective, batch_size=16, learning_rate=0.5, damping=1.0, n_epochs=1,
        n_minibatches=1, target_kl=None,
    )  # fmt: skip
    trainer = Trainer(problem, update, settings, FixedKLController(), Evaluation(), seed=0)
    trainer.begin()
    return trainer, trainer._advantages()


@pytest.mark.parametrize(("length", "target_kl"), [(4, 0.1), (20, 0.5), (60, 0.5)])
def test_auto_settings_of_rloo(length, target_kl):
    zipf = ZipfProblem(300, 0)
    common = {"response_length": length, "max_iter": 4, "tol": 0, "random_state": 0}
    n_rollouts = max(256, 5 * 300 // length)
    auto, given = (
        RLOOPolicyOptimizer(zipf.policy, zipf.reward_model, **common, **settings).fit(zipf.X)
        for settings in ({}, {"target_kl": target_kl, "n_rollouts": n_rollouts})
    )
    assert auto.history_[0]["episode"] == n_rollouts
    assert_array_equal(auto.token_log_prob_, given.token_log_prob_)


def test_rloo_advantage_is_that_of_the_mean_baseline_times_g_over_g_minus_one():
    zipf = ZipfProblem(20, seed=0)
    problem = build_problem(
        unigram_objective(zipf.reference_log_prob, length=5), zipf.reward_model,
        np.random.RandomState(0), names=None, rules=None, normalize_reward=False, subject="test",
    )  # fmt: skip
    _, mean_baseline = advantages(problem, leave_one_out=False)
    trainer, leave_one_out = advantages(problem, leave_one_out=True)
    assert_allclose(leave_one_out, 16 / 15 * mean_baseline, rtol=1e-12, atol=1e-12)
    shaped = trainer.assessed.shaped
    by_definition = [shaped[i] - np.delete(shaped, i).mean() for i in range(16)]
    assert_allclose(leave_one_out, np.repeat(by_definition, 5), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("n_columns", [10, 50])
@pytest.mark.parametrize("seed", range(3))
def test_rloo_reaches_the_optimum(n_columns, seed):
    zipf = ZipfProblem(n_columns, seed)
    fitted = RLOOPolicyOptimizer(
        zipf.policy, zipf.reward_model, tol=0, max_iter=200, random_state=seed
    ).fit(zipf.X)
    assert total_variation(fitted.token_log_prob_, fitted.optimal_log_prob_) < 1e-6
    assert zipf.share_of_optimum(fitted) <= 1 + 1e-12


def test_rloo_stops_at_its_tolerance_and_takes_one_unclipped_step_an_iteration():
    zipf = ZipfProblem(100, seed=1)
    fitted = RLOOPolicyOptimizer(zipf.policy, zipf.reward_model, random_state=0).fit(zipf.X)
    assert zipf.share_of_optimum(fitted) >= 0.999
    assert {record["policy/n_steps"] for record in fitted.history_[1:]} == {1}
    assert {record["policy/clipfrac_avg"] for record in fitted.history_} == {0.0}
    assert {record["val/ratio"] for record in fitted.history_} == {1.0}
    assert "credit" not in fitted.get_params()


def test_rloo_takes_any_reward_and_rules():
    zipf = ZipfProblem(20, seed=0)
    reward = LinearCallable(zipf.weights)
    rules = [BannedTokens([3], penalty=2.0)]
    fitted = RLOOPolicyOptimizer(zipf.policy, reward, rules=rules, tol=1e-4, random_state=0).fit(
        zipf.X
    )
    best = ExactPolicyOptimizer(zipf.policy, zipf.reward_model, rules=rules).fit(zipf.X)
    assert total_variation(fitted.token_log_prob_, best.token_log_prob_) < 0.01


def test_rloo_adam_is_close():
    zipf = ZipfProblem(20, seed=0)
    fitted = RLOOPolicyOptimizer(
        zipf.policy, zipf.reward_model, optimizer="adam", tol=0, max_iter=500, random_state=0
    ).fit(zipf.X)
    assert zipf.share_of_optimum(fitted) > 0.98


def test_exact_is_the_optimum_of_the_objective():
    zipf = ZipfProblem(30, seed=0)
    fitted = ExactPolicyOptimizer(zipf.policy, zipf.reward_model, kl_coef=0.5).fit(zipf.X)
    tilt = normalize_log(zipf.reference_log_prob + zipf.weights / 0.5)
    assert_allclose(fitted.token_log_prob_, tilt, atol=1e-12)
    assert fitted.optimality_gap_ == fitted.optimality_gap_se_ == 0
    objective = zipf.objective(kl_coef=0.5)
    assert_allclose(fitted.objective_, objective.value(tilt))
    assert_allclose(fitted.kl_, objective.kl(tilt))
    assert_array_equal(fitted.optimal_log_prob_, fitted.token_log_prob_)


@pytest.mark.parametrize(
    "settings",
    [
        {"sft_coef": 2.0},
        {"entropy_coef": 0.5},
        {"normalize_reward": True, "kl_coef": 0.3},
        {"rules": BannedTokens([0, 4], hard=True)},
        {"rules": [BannedTokens([0], penalty=1.5), BannedTokens([1], penalty=0.5, name="other")]},
        {"rules": BannedTokens([2], max_rate=0.05)},
    ],
    ids=str,
)
def test_no_ppo_run_exceeds_exact(settings):
    zipf = ZipfProblem(20, seed=2)
    X = np.random.RandomState(0).poisson(1.0, (6, 20)) + 0.0
    best = ExactPolicyOptimizer(zipf.policy, zipf.reward_model, **settings).fit(X)
    assert best.optimality_gap_ == 0
    run = PPOPolicyOptimizer(
        zipf.policy, zipf.reward_model, tol=0, max_iter=60, random_state=0, **settings
    ).fit(X)
    assert run.objective_ <= best.objective_ + 1e-9
    assert_allclose(best.objective_ - run.objective_, run.optimality_gap_, atol=1e-8)
    assert total_variation(run.token_log_prob_, best.token_log_prob_) < 1e-3


def test_exact_keeps_bans_and_chance_constraints():
    zipf = ZipfProblem(20, seed=2)
    banned = ExactPolicyOptimizer(
        zipf.policy, zipf.reward_model, rules=BannedTokens([0, 4], hard=True)
    ).fit(zipf.X)
    assert_array_equal(banned.token_log_prob_[[0, 4]], -np.inf)
    chance = ExactPolicyOptimizer(
        zipf.policy, zipf.reward_model, rules=BannedTokens([2], max_rate=0.05)
    ).fit(zipf.X)
    without = (1.0 - np.exp(chance.token_log_prob_[2])) ** LENGTH
    assert_allclose(1.0 - without, 0.05, rtol=1e-6)
    assert chance.rule_rates_["banned_tokens"] <= 0.05


def test_exact_where_documents_end_by_themselves():
    texts = ["good bad fine", "fine", "bad bad good fine"]
    counter = TokenCounter(eos_token="<eos>")
    settings = {"vectorizer": counter, "kl_coef": 4.0}
    fitted = ExactPolicyOptimizer(**settings).fit(texts, [1.0, 0.0, -1.0])
    assert fitted.optimality_gap_ == 0
    assert_is_log_distribution(fitted.token_log_prob_)
    run = PPOPolicyOptimizer(tol=0, max_iter=100, random_state=0, **settings)
    run.fit(texts, [1.0, 0.0, -1.0])
    assert run.objective_ <= fitted.objective_ + 1e-9
    points = fitted.frontier()
    assert np.isfinite(points.expected_reward).all()
    assert (np.diff(points.kl) > 0).all()
    with pytest.raises(LengthExplosionError, match="Set kl_coef above"):
        ExactPolicyOptimizer(**settings).fit(texts, [5.0, 0.0, -1.0]).frontier([4.0, 0.1])


def test_exact_warns_where_length_explodes():
    texts = ["good good good", "good", "good good"]
    with pytest.warns(LengthExplosionWarning, match="ExactPolicyOptimizer has no optimum"):
        fitted = ExactPolicyOptimizer(vectorizer=TokenCounter(eos_token="<eos>"), kl_coef=0.1).fit(
            texts, [3.0, 1.0, 2.0]
        )
    assert fitted.optimality_gap_ == 0


class SquaredRidge(Ridge):
    """Has weights, which do not add up to what it says."""

    def predict(self, X):
        return super().predict(X) ** 2


def test_exact_says_what_does_not_add():
    zipf = ZipfProblem(10, seed=0)
    # Of a function nobody can tell, whether it adds or not.
    told = (
        r"add over tokens, but that cannot be told of a reward without weights \(coef_\), as this "
        r"function\. Pass a fitted linear model of the same rewards, or use PPOPolicyOptimizer or"
    )
    for reward in (lambda counts: (counts > 0).sum(axis=1), lambda counts: counts.sum(axis=1)):
        with pytest.raises(ValueError, match=told):
            ExactPolicyOptimizer(zipf.policy, reward).fit(zipf.X)
    with pytest.raises(
        ValueError, match=r"the rule\(s\) \['budget'\] do not say that they do\. Us"
    ):
        ExactPolicyOptimizer(
            zipf.policy, zipf.reward_model, rules=TokenBudget([1], name="budget")
        ).fit(zipf.X)


def test_frontier_is_that_of_the_exact_module():
    zipf = ZipfProblem(30, seed=3)
    fitted = ExactPolicyOptimizer(zipf.policy, zipf.reward_model).fit(zipf.X)
    expected = kl_reward_frontier(zipf.reference_log_prob, zipf.weights, length=LENGTH)
    points = fitted.frontier()
    for name in ("kl_coef", "kl", "expected_reward"):
        assert_allclose(points[name], expected[name], rtol=1e-9)
    assert_array_equal(points.expected_length, LENGTH)
    slope = np.diff(points.expected_reward) / np.diff(points.kl)
    assert (slope <= points.kl_coef[:-1] * (1 + 1e-6)).all()
    assert (slope >= points.kl_coef[1:] * (1 - 1e-6)).all()


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"normalize_reward": True},
        {"rules": BannedTokens([2], max_rate=0.05)},
        {"rules": BannedTokens([2], penalty=1.0), "sft_coef": 1.0},
    ],
    ids=str,
)
def test_each_point_of_the_frontier_is_a_fit(settings):
    zipf = ZipfProblem(20, seed=2)
    reward = linear_reward(zipf.weights)
    reward.intercept_ = 3.0
    settings = {"policy": zipf.policy, "reward_model": FrozenEstimator(reward), **settings}
    points = ExactPolicyOptimizer(**settings).fit(zipf.X).frontier([2.0, 0.5])
    for i, kl_coef in enumerate([2.0, 0.5]):
        fitted = ExactPolicyOptimizer(kl_coef=kl_coef, **settings).fit(zipf.X)
        for name in ("kl_coef", "kl", "expected_reward", "objective"):
            assert_allclose(points[name][i], getattr(fitted, f"{name}_"), rtol=1e-8)


def one_token_problem(n_columns=5, seed=0):
    rng = np.random.default_rng(seed)
    prob = rng.dirichlet(np.full(n_columns, 3.0))
    policy = UnigramLM(smoothing=0).fit(prob[np.newaxis])
    return policy, rng.standard_normal(n_columns)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("n", [1, 3, 8])
def test_best_of_n_of_single_tokens_is_the_exact_distribution(n, ties):
    policy, weights = one_token_problem(seed=n)
    if ties:
        weights = np.round(weights)
    exact = best_of_n(policy.token_log_prob_, weights, n)
    fitted = BestOfNSampler(
        FrozenEstimator(policy), FrozenEstimator(linear_reward(weights)), n=n, response_length=1,
        n_rollouts=40_000, prior_strength=0, random_state=0,
    ).fit(np.ones((1, 5)))  # fmt: skip
    assert total_variation(fitted.token_log_prob_, exact.log_prob) < 0.02
    error = abs(fitted.best_of_n_reward_ - exact.expected_reward)
    assert error < 4 * fitted.best_of_n_reward_se_
    assert fitted.kl_bound_ == best_of_n_kl_bound(n)
    drawn = np.asarray(fitted.sample(20_000, random_state=1).sum(axis=0)).ravel()
    kept = np.exp(exact.log_prob) * 20_000 > 20
    rest = [drawn[~kept].sum()] if (~kept).any() else []
    expected = np.exp(exact.log_prob)[kept].tolist()
    if rest and 20_000 * (1 - sum(expected)) >= 5:
        assert_frequencies_agree([*drawn[kept], *rest], [*expected, 1 - sum(expected)])
    else:
        assert_frequencies_agree(drawn[kept], np.array(expected) / sum(expected))


def test_documents_sampled_are_the_best_of_n():
    policy, weights = one_token_problem(3)
    n, length = 4, 2
    fitted = BestOfNSampler(
        FrozenEstimator(policy), FrozenEstimator(linear_reward(weights)), n=n,
        response_length=length, random_state=0,
    ).fit(np.ones((1, 3)))  # fmt: skip
    documents = [np.bincount(tokens, minlength=3) for tokens in product(range(3), repeat=length)]
    log_prob = np.array([d @ policy.token_log_prob_ for d in documents])
    exact = best_of_n(log_prob, np.round(np.array(documents) @ weights, 12), n)
    sampled = fitted.sample(20_000, random_state=0) @ weights
    spread = (sampled**2).mean() - sampled.mean() ** 2
    assert abs(sampled.mean() - exact.expected_reward) < 4 * np.sqrt(spread / 20_000)
    assert abs(fitted.best_of_n_reward_ - exact.expected_reward) < 4 * fitted.best_of_n_reward_se_
    assert exact.kl <= fitted.kl_bound_


@pytest.mark.parametrize("n", [2, 16])
def test_refit_has_the_reward_of_best_of_n_and_both_lie_below_the_frontier(n):
    zipf = ZipfProblem(50, seed=0)
    fitted = BestOfNSampler(
        zipf.policy, zipf.reward_model, n=n, prior_strength=0, random_state=0
    ).fit(zipf.X)
    assert_allclose(fitted.expected_reward_, fitted.best_of_n_reward_, rtol=1e-9)
    assert fitted.kl_ < fitted.kl_bound_
    for kl, slack in ((fitted.kl_bound_, 3 * fitted.best_of_n_reward_se_), (fitted.kl_, 1e-9)):
        b = kl_coef_for_kl(zipf.reference_log_prob, zipf.weights, kl, length=LENGTH)
        best = zipf.objective(kl_coef=b)
        assert fitted.best_of_n_reward_ <= best.expected_reward(best.optimum()) + slack
    assert fitted.optimality_gap_ > 0


def test_refit_beside_a_prior_by_hand():
    # Of the three pairs of three documents the second wins one and the third two: in 3 / 2 draws of
    # two they are the best 1/2 and 1 times.
    rollouts = Rollouts(np.arange(3), np.ones(3, dtype=int), 3)
    reference = np.log([0.2, 0.3, 0.5])
    refit = BestOfNSampler(n=2, prior_strength=4.0)._refit(rollouts, np.arange(3.0), reference)
    assert_allclose(np.exp(refit), np.array([0.8, 0.5 + 1.2, 1.0 + 2.0]) / 5.5)


def test_best_of_more_is_better_and_of_one_is_the_reference():
    zipf = ZipfProblem(30, seed=1)
    fits = [
        BestOfNSampler(zipf.policy, zipf.reward_model, n=n, random_state=0).fit(zipf.X)
        for n in (1, 4, 64)
    ]
    rewards = [fitted.best_of_n_reward_ for fitted in fits]
    assert rewards == sorted(rewards)
    one = fits[0]
    reference = one.evaluate(one.reference_log_prob_).expected_reward
    assert abs(one.best_of_n_reward_ - reference) < 4 * one.best_of_n_reward_se_
    assert one.kl_bound_ == 0


def test_best_of_n_does_not_depend_on_how_many_are_drawn_at_once(monkeypatch):
    zipf = ZipfProblem(30, seed=1)
    fitted = BestOfNSampler(zipf.policy, zipf.reward_model, random_state=0).fit(zipf.X)
    at_once = fitted.sample(50, random_state=3)
    monkeypatch.setattr(best_of_n_module, "_CHUNK_TOKENS", 7 * LENGTH * 16)
    assert_array_equal(fitted.sample(50, random_state=3).toarray(), at_once.toarray())
    again = BestOfNSampler(zipf.policy, zipf.reward_model, random_state=0).fit(zipf.X)
    assert_array_equal(again.token_log_prob_, fitted.token_log_prob_)
    assert_array_equal(at_once.sum(axis=1), LENGTH)


def test_best_of_n_on_text_that_ends_by_itself():
    texts = ["good bad fine", "fine", "bad bad good fine"]
    fitted = BestOfNSampler(
        reward_model=lambda documents: [len(text.split()) for text in documents],
        n=8, vectorizer=TokenCounter(eos_token="<eos>"), random_state=0,
    ).fit(texts)  # fmt: skip
    documents = fitted.sample(200, random_state=0)
    reference = UnigramLM(vectorizer=TokenCounter(eos_token="<eos>")).fit(texts)
    plain = reference.sample(200, random_state=0)
    assert np.mean([len(d.split()) for d in documents]) > np.mean([len(d.split()) for d in plain])
    assert "<eos>" not in " ".join(documents)
    short = fitted.sample(200, random_state=0, max_length=3)
    assert max(len(text.split()) for text in short) <= 3


def test_best_of_n_in_the_pipeline():
    loop = RLHFPipeline(
        [
            ("pretrain", UnigramLM()),
            ("sft", SFTRefiner(prior_strength=20.0)),
            ("reward", PreferenceRewardModel()),
            ("policy", BestOfNSampler(n=8, random_state=0)),
        ]
    ).fit(RECORDS)
    drawn = loop.reward(loop.sample(100, random_state=0)).mean()
    assert drawn > loop.reward(loop[:2].sample(100, random_state=0)).mean()
    assert np.isfinite(loop.score(RECORDS))


@pytest.mark.parametrize("policy", [ExactPolicyOptimizer(), RLOOPolicyOptimizer(random_state=0)])
def test_baselines_take_the_place_of_ppo_in_the_pipeline(policy):
    loop = RLHFPipeline(
        [("pretrain", UnigramLM()), ("reward", PreferenceRewardModel()), ("policy", policy)]
    )
    callback = contract.RecordingCallback()
    loop.set_callbacks(callback).fit(RECORDS)
    contract.assert_balanced(callback)
    parts = loop.objective(RECORDS)
    assert parts.rlhf_loss < loop.objective(RECORDS, stage="pretrain").rlhf_loss


def test_best_of_n_errors():
    zipf = ZipfProblem(10, seed=0)
    sampler = BestOfNSampler(zipf.policy, zipf.reward_model, n=16, n_rollouts=8)
    with pytest.raises(ValueError, match=r"n_rollouts >= n .* n_rollouts=8 and n=16"):
        sampler.fit(zipf.X)
    fitted = sampler.set_params(n_rollouts="auto").fit(zipf.X)
    with pytest.raises(ValueError, match="n_samples should be an integer of at least 1, got 0"):
        fitted.sample(0)
    with pytest.raises(ValueError, match="requires y to be passed"):
        BestOfNSampler().fit(zipf.X)
