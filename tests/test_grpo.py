"""GRPO: its advantages by hand, where it rests by enumeration, and that it gets there."""

import itertools
import warnings
from types import SimpleNamespace

import contract
import numpy as np
import pytest
from loops import RECORDS
from ngram_policy_problems import TEXTS, frozen, token_reward_model
from numpy.testing import assert_allclose
from scipy.optimize import approx_fprime
from scipy.special import log_softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV

from sklearn_codex import GRPOPolicyOptimizer, PreferenceRewardModel, RLHFPipeline, UnigramLM
from sklearn_codex._policy import rest_schedule
from sklearn_codex._policy.group_rest import group_rest
from sklearn_codex._policy.groups import GroupRule
from sklearn_codex._policy.ppo import Clipping, TokenAdvantages
from sklearn_codex._rollouts import sample_rollouts
from sklearn_codex.exact import (
    AdditiveObjective,
    CandidateObjective,
    EosObjective,
    LengthExplosionWarning,
)
from sklearn_codex.lab import Batch, CandidateProblem, RewardAlgorithm, rest_point
from sklearn_codex.rules import BannedTokens

PROMPTS = np.array([0, 0, 1, 1, 1, 2, 2])
SHARES = np.array([0.5, 0.3, 0.2])
REFERENCE = np.log(SHARES[PROMPTS] * [0.7, 0.3, 0.2, 0.5, 0.3, 0.9, 0.1])
REWARD = np.array([0.0, 1.0, 2.0, 0.0, 1.5, 0.0, 3.0])
CANDIDATES = CandidateObjective(REFERENCE, REWARD, PROMPTS, kl_coef=0.7)
TOKENS = AdditiveObjective(
    np.log([0.6, 0.3, 0.1]), np.array([0.0, 1.0, 0.5]), kl_coef=0.8, reward_coef=0.5, length=2
)
COINS = AdditiveObjective(np.log([0.7, 0.3]), np.array([0.0, 1.0]), kl_coef=0.6, length=3)


def known(objective):
    """A problem of which all adds, as the equation of the rest asks for it."""
    return SimpleNamespace(objective=objective, is_additive=True)


# Advantages and the KL, by hand


def test_advantages_by_hand():
    rewards = np.array([1.0, 2.0, 6.0, 0.0, 0.0, 3.0])
    centred = np.array([-2.0, -1.0, 3.0, -1.0, -1.0, 2.0])
    assert_allclose(GroupRule(3, "none").advantages(rewards), centred)
    deviation = np.repeat([np.sqrt(7.0), np.sqrt(3.0)], 3)
    assert_allclose(GroupRule(3).advantages(rewards), centred / (deviation + 1e-4))
    # All six have mean 2 and squares 1 + 0 + 16 + 4 + 4 + 1.
    whole = np.sqrt(26.0 / 5.0)
    assert_allclose(GroupRule(3, "batch").advantages(rewards), centred / (whole + 1e-4))
    assert_allclose(GroupRule(2).advantages(np.full(4, 0.3)), 0.0)


def test_weights_of_tokens_by_hand():
    lengths = np.array([1, 2, 6])
    assert_allclose(GroupRule(3, loss_type="grpo").weights(lengths, 2.0), [2.0, 1.0, 1 / 3])
    assert_allclose(GroupRule(3, loss_type="dapo").weights(lengths, 2.0), 2.0 / 3.0)
    assert_allclose(GroupRule(3, loss_type="dr_grpo").weights(lengths, 2.0), 1.0)


@pytest.mark.parametrize("is_corrected", [True, False])
def test_the_slope_of_the_kl_is_its_derivative(is_corrected):
    reference, old = np.log([0.2, 0.5]), np.log([0.4, 0.3])
    rule = GroupRule(2, is_corrected=is_corrected)

    def penalty(log_prob):
        d = log_prob - reference
        ratio = np.exp(log_prob - old) if is_corrected else 1.0
        return float(np.sum(ratio * (np.exp(-d) - 1 + d)))

    at = np.log([0.1, 0.6])
    assert_allclose(rule.kl_slope(at, reference, old), approx_fprime(at, penalty), rtol=1e-5)


def test_scores_leave_the_kl_out_and_take_penalties_off():
    rule = SimpleNamespace(name="r", cost=lambda amounts: 2.0 * amounts)
    problem = SimpleNamespace(
        objective=SimpleNamespace(reward_coef=3.0, kl_coef=0.5, missing_eos_penalty=4.0),
        reward_mean=1.0,
        rules=[rule],
    )
    assessed = SimpleNamespace(
        reward=np.array([1.0, 2.0]), violations={"r": np.array([0.0, 1.0])}, shaped=np.ones(2)
    )
    ended = np.array([False, True])
    assert_allclose(GroupRule(2).scores(problem, assessed, ended), [-4.0, 2.0])
    assert_allclose(GroupRule(2, kl_in="reward").scores(problem, assessed, ended), 1.0)


@pytest.mark.parametrize("is_corrected", [True, False])
@pytest.mark.parametrize("scale", ["group", "none"])
@pytest.mark.parametrize(
    ("loss_type", "mode"),
    [
        ("grpo", "seq-mean-token-mean"),
        ("dapo", "token-mean"),
        ("dr_grpo", "seq-mean-token-sum"),
    ],
)
def test_the_gradient_of_a_batch_is_that_of_the_laboratory(loss_type, mode, scale, is_corrected):
    """Of documents of several lengths, in the middle of the epochs, token by token."""
    rng = np.random.RandomState(0)
    policy, old, reference = (log_softmax(rng.standard_normal(3)) for _ in range(3))
    rollouts = sample_rollouts(old, 12, rng, length=6, eos=2)
    rewards, length, b = rng.standard_normal(12), 2.5, 0.4
    mask = np.arange(rollouts.lengths.max()) < rollouts.lengths[:, np.newaxis]

    def padded(values):
        out = np.zeros(mask.shape)
        out[mask] = values[rollouts.tokens]
        return out

    algorithm = RewardAlgorithm(
        "grpo", "ppo", mode, "loss", "k3", is_corrected, None,
        {"epsilon": 1e-4, "norm_adv_by_std_in_grpo": scale == "group"},
    )  # fmt: skip
    batch = Batch(
        log_prob=padded(policy), old_log_prob=padded(old), ref_log_prob=padded(reference),
        response_mask=mask, token_level_rewards=rewards[:, np.newaxis] * np.eye(mask.shape[1])[0],
        values=np.zeros(mask.shape), reward_baselines=np.zeros(12), index=np.arange(12) // 3,
        rows=np.arange(12), policy_log_prob=policy, kl_coef=b,
    )  # fmt: skip
    by_token = algorithm(batch.log_prob, batch)[1]
    expected = -12 * np.bincount(rollouts.tokens, by_token[mask], 3)
    if loss_type != "dr_grpo":
        expected *= length

    rule = GroupRule(3, scale, loss_type, is_corrected=is_corrected)
    problem = SimpleNamespace(
        objective=SimpleNamespace(reward_coef=1.0, kl_coef=b, missing_eos_penalty=0.0),
        reward_mean=0.3, rules=[],
    )  # fmt: skip
    assessed = SimpleNamespace(reward=rewards)
    advantages = rule.token_advantages(problem, assessed, rollouts, length)
    ratio = np.exp(policy - old)
    assert ratio.max() > 1.2  # something is clipped
    collected = TokenAdvantages.collect(rollouts.tokens, advantages, 3)
    slopes = collected.slopes(ratio, Clipping(0.2))
    slopes = slopes - b * rule.kl_slopes(rollouts, length, policy, reference, old)
    assert_allclose(slopes, expected)


# Documents that start alike


def test_candidates_of_a_group_answer_one_prompt_as_often_as_they_should():
    rollouts = CANDIDATES.sample_groups(REFERENCE, 30_000, 4, np.random.RandomState(0))
    groups = rollouts.tokens.reshape(-1, 4)
    assert (PROMPTS[groups] == PROMPTS[groups[:, :1]]).all()
    prob = np.exp(REFERENCE)
    # Rows of a group are independent given its prompt, whose share has the larger error.
    shares = np.bincount(PROMPTS[groups[:, 0]]) / len(groups)
    assert np.abs(shares - SHARES).max() < 4 * np.sqrt(0.25 / len(groups))
    found = np.bincount(rollouts.tokens) / len(rollouts)
    assert np.abs(found - prob).max() < 4 * np.sqrt(0.25 / len(groups))
    banned = REFERENCE.copy()
    banned[[1, 2, 6]] = -np.inf
    policy = CANDIDATES.moved(banned, np.zeros(7))
    drawn = CANDIDATES.sample_groups(policy, 1000, 2, np.random.RandomState(1)).tokens
    assert set(drawn.tolist()) == {0, 3, 4, 5}


# Where it rests


@pytest.mark.parametrize("size", [2, 3, 8])
@pytest.mark.parametrize("is_corrected", [True, False])
@pytest.mark.parametrize("scale", ["group", "none"])
def test_candidates_rest_where_the_laboratory_says(scale, is_corrected, size):
    algorithm = RewardAlgorithm(
        "grpo", "ppo", "seq-mean-token-sum", "loss", "k3", is_corrected, None,
        {"epsilon": 1e-4, "norm_adv_by_std_in_grpo": scale == "group"},
    )  # fmt: skip
    problem = CandidateProblem(CANDIDATES, np.arange(7)[:, np.newaxis])
    rest = group_rest(known(CANDIDATES), GroupRule(size, scale, is_corrected=is_corrected))
    assert_allclose(rest, rest_point(algorithm, problem, group_size=size), atol=1e-9)


def test_without_a_deviation_it_is_the_optimum_at_another_weight_of_the_kl():
    for objective in (CANDIDATES, TOKENS):
        rest = group_rest(known(objective), GroupRule(5, "none"))
        assert_allclose(rest, objective.having(kl_coef=objective.kl_coef * 5 / 4).optimum())
        for scale in ("none", "group"):
            rest = group_rest(known(objective), GroupRule(5, scale, kl_in="reward"))
            assert_allclose(rest, objective.optimum())


def expected_gradient(objective, log_prob, rule):
    """The expected gradient of the loss by logits, over all groups of all documents."""
    documents = np.array(list(itertools.product(range(len(log_prob)), repeat=objective.length)))
    counts = np.array([np.bincount(row, minlength=len(log_prob)) for row in documents])
    rewards = objective.reward_coef * counts @ objective.token_reward
    slope = rule.kl_slope(log_prob, objective.start, log_prob)
    total = np.zeros(len(log_prob))
    for group in itertools.product(range(len(documents)), repeat=rule.size):
        own = counts[list(group)]
        advantages = rule.advantages(rewards[list(group)])
        by_log_prob = advantages @ own - objective.kl_coef * own.sum(axis=0) * slope
        total += np.exp(own.sum(axis=0) @ log_prob) * (
            by_log_prob - np.exp(log_prob) * by_log_prob.sum()
        )
    return total


@pytest.mark.parametrize("is_corrected", [True, False])
@pytest.mark.parametrize("scale", ["group", "none"])
@pytest.mark.parametrize("objective", [TOKENS, COINS], ids=["tokens", "coins"])
def test_nothing_moves_documents_where_they_rest(objective, scale, is_corrected):
    rule = GroupRule(3, scale, is_corrected=is_corrected)
    rest = group_rest(known(objective), rule)
    assert np.abs(rest - objective.start).max() > 0.1
    assert_allclose(expected_gradient(objective, rest, rule), 0.0, atol=1e-9)
    assert np.abs(expected_gradient(objective, objective.start, rule)).max() > 1e-3


def test_the_deviation_of_the_batch_is_that_of_the_policy_where_it_rests():
    rest = group_rest(known(CANDIDATES), GroupRule(4, "batch"))
    deviation = CANDIDATES.moments(rest, REWARD)[1]
    gain = 0.75 * REWARD / (deviation + 1e-4) / 0.7
    assert_allclose(rest, CANDIDATES.moved(REFERENCE, gain), atol=1e-9)


def test_it_is_not_known_where_there_is_no_equation():
    many = AdditiveObjective(np.full(50, -np.log(50)), np.arange(50) ** 1.5, length=9)
    assert group_rest(known(many), GroupRule(8)) is None
    assert group_rest(known(many), GroupRule(8, "none")) is not None
    features = CANDIDATES.having(features=np.arange(7.0)[:, np.newaxis])
    assert group_rest(known(features), GroupRule(4)) is None
    unknown = SimpleNamespace(objective=CANDIDATES, is_additive=False)
    assert group_rest(unknown, GroupRule(4)) is None
    ending = EosObjective(np.log([0.5, 0.2, 0.3]), np.array([-0.1, 0.4, 0.0]), 2)
    rule = GroupRule(4, "none", kl_in="reward")
    assert_allclose(group_rest(known(ending), rule), ending.optimum())
    assert group_rest(known(ending.having(max_length=3)), rule) is None


def test_rewards_that_differ_by_rounding_are_listed_once():
    """Of five tenths there are 11 sums, and 19 as floats, of which groups are too many."""
    tenths = AdditiveObjective(np.log([0.5, 0.3, 0.2]), np.array([0.1, 0.2, 0.3]), length=5)
    whole = tenths.having(token_reward=np.array([1.0, 2.0, 3.0]), reward_coef=0.1)
    rest = group_rest(known(tenths), GroupRule(6))
    assert_allclose(rest, group_rest(known(whole), GroupRule(6)), atol=1e-9)


# It gets there


@pytest.mark.parametrize("objective", [CANDIDATES, TOKENS], ids=["candidates", "tokens"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"scale_rewards": "batch"},
        {"scale_rewards": "none", "loss_type": "dr_grpo"},
        {"use_bias_correction_kl": False, "loss_type": "grpo"},
        {"kl_in": "reward"},
        {"kl_in": "reward", "scale_rewards": "none"},
        {"n_epochs": 4, "clip_range": (0.2, 0.28)},
        {"optimizer": "adam", "max_iter": 600},
    ],
    ids=str,
)
def test_it_reaches_its_fixed_point(objective, settings):
    model = GRPOPolicyOptimizer(num_generations=4, random_state=0, **settings)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit_objective(objective)
    rest, policy = model.fixed_point_log_prob_, model.token_log_prob_
    length = objective.length

    def divergence(log_prob):
        return length * float(np.exp(log_prob) @ (log_prob - rest))

    assert_allclose(model.fixed_point_gap_, divergence(policy), atol=1e-12)
    assert model.fixed_point_gap_ <= 1e-3 * divergence(objective.start)
    assert_allclose(model.optimality_gap_, objective.gap(policy))
    # The mean of the last ones is kept where that is nearer.
    assert model.fixed_point_gap_ <= model.history_[-1]["objective/fixed_point_gap"] * (1 + 1e-9)
    if settings.get("kl_in") != "reward":
        assert model.optimality_gap_ > 5 * objective.kl_coef * model.fixed_point_gap_


@pytest.mark.parametrize("settings", [{}, {"use_bias_correction_kl": False}], ids=str)
def test_documents_alone_tell_that_it_rests(monkeypatch, settings):
    """As where the fixed point is not known: by the gradients of its batches."""
    rule = GroupRule(4, is_corrected=settings.get("use_bias_correction_kl", True))
    rest = group_rest(known(TOKENS), rule)
    monkeypatch.setattr(rest_schedule, "group_rest", lambda problem, groups: None)
    model = GRPOPolicyOptimizer(num_generations=4, random_state=1, max_iter=2000, **settings)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit_objective(TOKENS)
    assert "objective/fixed_point_gap" not in model.history_[-1]
    whole = TOKENS.having(reference_log_prob=rest).kl(TOKENS.start)
    assert model.fixed_point_gap_ <= 2e-3 * whole


def test_log_linear_policies_rest_where_their_gradient_has_no_direction_left():
    """Only directions of the features count, there the table's own rest is not theirs."""
    features = np.column_stack([REWARD, np.arange(7) % 2]).astype(float)
    objective = CANDIDATES.having(features=features)
    model = GRPOPolicyOptimizer(num_generations=3, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit_objective(objective)
    assert model.fixed_point_gap_ is None
    policy, rule = model.token_log_prob_, GroupRule(3)
    gradient = np.zeros(7)
    for prompt, share in enumerate(SHARES):
        rows = np.flatnonzero(prompt == PROMPTS)
        within = policy[rows] - np.log(share)
        for group in itertools.product(range(len(rows)), repeat=3):
            drawn = rows[list(group)]
            slopes = rule.advantages(REWARD[drawn]) - 0.7 * (policy - REFERENCE)[drawn]
            np.add.at(gradient, drawn, share * np.exp(within[list(group)].sum()) * slopes)
    gradient -= np.exp(policy) * (np.bincount(PROMPTS, gradient) / SHARES)[PROMPTS]
    # In directions of the features it is noise, in others it is not.
    assert np.abs(features.T @ gradient).max() < 0.02
    assert np.abs(gradient).max() > 0.08


def test_policies_of_ngrams_rest_at_the_optimum_with_the_kl_in_the_reward():
    model = GRPOPolicyOptimizer(
        frozen(2), token_reward_model(), kl_in="reward", scale_rewards="none", random_state=0
    ).fit(TEXTS, prompts=[text.split()[0] for text in TEXTS])
    assert_allclose(model.fixed_point_gap_, model.optimality_gap_, rtol=1e-4)
    assert model.optimality_gap_ <= 1e-3 * model.history_[0]["objective/optimality_gap"]
    model.set_params(kl_in="loss", max_iter=3, tol=0).fit(TEXTS)
    assert model.fixed_point_log_prob_ is model.fixed_point_gap_ is None


def test_the_kl_in_the_loss_may_make_documents_longer_and_longer():
    model = GRPOPolicyOptimizer(
        frozen(2), token_reward_model(), scale_rewards="none", n_rollouts=512, random_state=0
    )
    with pytest.warns(LengthExplosionWarning, match="does not pay for that of the tokens it leads"):
        model.fit(TEXTS)
    assert model.n_iter_ < 200


# In the loop


def test_training_goes_on_where_it_stopped():
    settings = {"num_generations": 4, "tol": 0, "random_state": 3}
    whole = GRPOPolicyOptimizer(max_iter=8, **settings).fit_objective(TOKENS)
    half = GRPOPolicyOptimizer(max_iter=4, warm_start=True, **settings)
    half.fit_objective(TOKENS).fit_objective(TOKENS)
    assert half.n_iter_ == whole.n_iter_ == 8
    assert np.array_equal(half.token_log_prob_, whole.token_log_prob_)


def test_penalties_and_bans_hold_candidates():
    objective = CANDIDATES.having(penalty=np.array([0.0, 1.5, 0.5, 0.0, np.inf, 0.0, 1.0]))
    model = GRPOPolicyOptimizer(num_generations=3, random_state=0).fit_objective(objective)
    assert model.token_log_prob_[4] == model.fixed_point_log_prob_[4] == -np.inf
    start = objective.start
    at_start = objective.having(reference_log_prob=model.fixed_point_log_prob_, penalty=None)
    assert model.fixed_point_gap_ <= 1e-3 * at_start.kl(start)
    without = objective.having(
        penalty=np.where(np.isinf(objective.penalty), np.inf, 0.0),
        token_reward=REWARD - 0.7 * np.where(np.isinf(objective.penalty), 0.0, objective.penalty),
    )
    rest = group_rest(known(without), GroupRule(3))
    assert_allclose(np.exp(model.fixed_point_log_prob_), np.exp(rest), atol=1e-9)


def whole_loop():
    policy = GRPOPolicyOptimizer(max_iter=3, tol=0, num_generations=4, random_state=0)
    stages = [("language", UnigramLM()), ("reward", PreferenceRewardModel()), ("policy", policy)]
    return RLHFPipeline(stages)


def test_the_loop_of_these_promises_moves_its_policy():
    stages = dict(whole_loop().fit(RECORDS).steps_)
    start, end = (stages[name].token_log_prob_ for name in ("language", "policy"))
    assert stages["policy"].n_iter_ == 3
    assert np.abs(np.exp(end) - np.exp(start)).max() > 1e-3


@pytest.mark.parametrize("promise", contract.PROMISES, ids=lambda promise: promise.__name__)
def test_a_pipeline_with_it_keeps_its_promises(promise):
    promise(whole_loop, RECORDS)


def test_searches_try_what_groups_are():
    texts, rewards = TEXTS[:24], np.arange(24) % 5
    policy = GRPOPolicyOptimizer(max_iter=4, tol=0, random_state=0)
    grid = {"num_generations": [2, 4], "scale_rewards": ["none", "group"]}
    search = GridSearchCV(policy, grid, cv=2).fit(texts, rewards)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_estimator_.n_iter_ == 4


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"n_rollouts": 30}, "groups of num_generations=8.*got 30. Use 32"),
        ({"rules": BannedTokens([0], max_rate=0.5)}, "rules at a given price.*max_rate=0.5"),
    ],
)
def test_it_says_what_does_not_fit(settings, words):
    model = UnigramLM(smoothing=0).fit(np.array([[3.0, 2.0, 1.0]]))
    policy = GRPOPolicyOptimizer(FrozenEstimator(model), random_state=0, **settings)
    with pytest.raises(ValueError, match=words):
        policy.fit(np.ones((3, 3)), [0.0, 1.0, 2.0])


def test_an_objective_with_demonstrations_is_refused():
    shown = TOKENS.having(sft_coef=1.0, frequencies=np.full(3, 1 / 3))
    with pytest.raises(ValueError, match=r"no demonstrations and no entropy.*sft_coef=1"):
        GRPOPolicyOptimizer().fit_objective(shown)


def test_it_says_where_it_did_not_arrive():
    model = GRPOPolicyOptimizer(max_iter=1, num_generations=4, random_state=0)
    with pytest.warns(ConvergenceWarning, match=r"max_iter=1 before.*fixed_point_gap_ is"):
        model.fit_objective(TOKENS)


def test_candidates_too_many_to_draw_are_refused():
    with pytest.raises(ValueError, match=r"Drawing .* than the limit.*Draw fewer documents"):
        GRPOPolicyOptimizer(n_rollouts=8 * 10**17).fit_objective(CANDIDATES)
