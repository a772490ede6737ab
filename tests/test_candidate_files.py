"""Model files of policies over candidates: what comes back, and what is refused."""

import copy
import pickle

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sklearn_codex import (
    CandidatePolicy,
    ExactPolicyOptimizer,
    GRPOPolicyOptimizer,
    PPOPolicyOptimizer,
    RLOOPolicyOptimizer,
    load_model,
    save_model,
)
from sklearn_codex._persistence.fitted import check_fitted
from sklearn_codex.exact import CandidateObjective

PROMPTS = np.array([0, 1, 0, 1, 1, 2])
REFERENCE = np.log([0.1, 0.2, 0.3, 0.1, 0.1, 0.2])
PROBLEM = CandidateObjective(
    REFERENCE, np.array([1.0, -1.0, 0.0, 2.0, 0.5, 3.0]), PROMPTS, kl_coef=0.7, reward_coef=1.5
)
LEFT_OUT = CandidateObjective(
    np.where(np.arange(6) == 3, -np.inf, REFERENCE),
    PROBLEM.token_reward,
    PROMPTS,
    kl_coef=2.0,
    prompt_prob=np.array([0.4, 0.4, 0.2]),
)
PROBLEMS = {
    "candidates": PROBLEM,
    "with penalties and bans": PROBLEM.having(penalty=np.array([0, np.inf, 0.3, 0, 0, 1.0])),
    "log-linear": PROBLEM.having(features=np.random.RandomState(0).randn(6, 2)),
    "with rows left out": LEFT_OUT,
}
SHORT = {"max_iter": 3, "tol": 0, "n_rollouts": 16, "random_state": 0}


@pytest.fixture(scope="module")
def exact():
    return ExactPolicyOptimizer().fit_objective(PROBLEMS["with penalties and bans"])


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
@pytest.mark.parametrize(
    "optimiser",
    [
        ExactPolicyOptimizer(),
        GRPOPolicyOptimizer(**SHORT),
        PPOPolicyOptimizer(**SHORT),
        RLOOPolicyOptimizer(**SHORT),
    ],
    ids=lambda optimiser: type(optimiser).__name__,
)
def test_what_comes_back_is_the_same(optimiser, problem, tmp_path):
    pytest.importorskip("skops")
    policy = optimiser.fit_objective(problem)
    policy._stated.gap(policy.token_log_prob_)  # which computes more than is kept
    save_model(policy, tmp_path / "policy.skops")
    for again in (load_model(tmp_path / "policy.skops"), pickle.loads(pickle.dumps(policy))):
        assert_array_equal(again.token_log_prob_, policy.token_log_prob_)
        assert_array_equal(again._stated.optimum(), problem.optimum())
        assert again.evaluate().objective == policy.evaluate().objective
        assert again.optimality_gap_ == policy.optimality_gap_


def test_training_goes_on_from_a_file(tmp_path):
    pytest.importorskip("skops")
    policy = PPOPolicyOptimizer(**SHORT, warm_start=True).fit_objective(PROBLEM)
    save_model(policy, tmp_path / "policy.skops")
    loaded = load_model(tmp_path / "policy.skops").fit_objective(PROBLEM)
    assert_array_equal(loaded.token_log_prob_, policy.fit_objective(PROBLEM).token_log_prob_)
    assert loaded.n_iter_ == 6


def test_policy_of_fitted_candidates_is_kept(tmp_path):
    pytest.importorskip("skops")
    X, groups = np.random.RandomState(1).randn(12, 2), np.repeat([0, 1, 2], 4)
    problem = CandidatePolicy(lambda X: X[:, 0], kl_coef=0.5).fit(X, groups=groups)
    policy = RLOOPolicyOptimizer(**SHORT).fit_objective(problem.objective(X, groups=groups))
    save_model(policy, tmp_path / "policy.skops")
    assert load_model(tmp_path / "policy.skops").objective_ == policy.objective_


def test_what_an_objective_has_computed_is_not_kept(exact):
    assert {"possible", "_gain"} <= set(vars(exact._stated))
    kept = exact.__getstate__()["_stated"]
    assert set(vars(kept)) == set(CandidateObjective.__dataclass_fields__)
    assert {"possible", "_gain"} <= set(vars(exact._stated))


HUGE = np.array([0, 1, 0, 1, 1, 2**40])


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("kl_coef", -1.0, "an objective in it is none: .*kl_coef"),
        ("kl_coef", "much", "an objective in it is none|has kl_coef in another form"),
        ("reward_coef", np.nan, "an objective in it is none: .*reward_coef"),
        ("token_reward", np.full(6, np.nan), "an objective in it is none: .*token_reward"),
        ("token_reward", np.zeros(5), "an objective in it is none: .*token_reward"),
        ("token_reward", [0.0] * 6, "has token_reward in another form"),
        ("token_reward", np.arange(6), "has token_reward in another form"),
        ("reference_log_prob", REFERENCE + 0.1, "an objective in it is none"),
        ("prompts", HUGE, "candidates of prompts that there are not"),
        ("prompts", PROMPTS - 1, "an objective in it is none: .*prompts"),
        ("prompts", PROMPTS * 2, "an objective in it is none"),
        ("prompts", PROMPTS.astype(np.int16), "has prompts in another form"),
        ("prompts", PROMPTS.reshape(2, 3), "candidates of prompts that there are not"),
        ("prompts", None, "candidates of prompts that there are not"),
        ("prompt_prob", np.array([0.5, 0.5, 0.5]), "an objective in it is none: .*sum to 1"),
        ("prompt_prob", None, "has prompt_prob in another form"),
        ("penalty", np.full(6, -1.0), "an objective in it is none: .*penalties"),
        ("features", np.full((6, 1), np.inf), "an objective in it is none: .*features"),
        ("possible", np.ones(6, dtype=bool), "other parts than its parameters"),
        ("_optimum", np.zeros(6), "other parts than its parameters"),
        ("gap", 0.0, "other parts than its parameters"),
    ],
)
def test_damaged_objectives_are_refused(exact, part, value, message):
    bad = copy.copy(exact)
    vars(bad._stated)[part] = value  # of a copy: what is computed is not copied
    assert part not in vars(exact._stated) or vars(exact._stated)[part] is not value
    with pytest.raises(ValueError, match=message):
        check_fitted(bad)


def test_objectives_that_lack_a_part_are_refused(exact):
    bad = copy.copy(exact)
    del vars(bad._stated)["penalty"]
    with pytest.raises(ValueError, match="other parts than its parameters"):
        check_fitted(bad)


@pytest.mark.parametrize(
    ("attribute", "value", "message"),
    [
        ("_stated", None, "an objective over candidates or n-grams"),
        ("_stated", {"kl_coef": 1.0}, "an objective over candidates or n-grams"),
        ("n_features_in_", 5, "has to be"),
        ("response_length_", 2, "has not the candidates of its objective"),
        ("reference_log_prob_", REFERENCE[::-1], "reference_log_prob_ .* not that of its obj"),
        ("reference_log_prob_", REFERENCE[:-1], "reference_log_prob_ .* not that of its obj"),
        ("reference_log_prob_", None, "reference_log_prob_ .* not that of its objective"),
        ("reward_model_", None, "reward_model_ .* not that of its objective"),
        ("token_reward_", np.full(6, np.nan), "token_reward_ of its ExactPolicyOptimizer has to"),
        ("token_log_prob_", np.zeros(6), "the logarithms of 6 probabilities"),
    ],
)
def test_damaged_policies_are_refused(exact, attribute, value, message):
    check_fitted(copy.copy(exact))
    bad = copy.copy(exact)
    setattr(bad, attribute, value)
    with pytest.raises(ValueError, match=message):
        check_fitted(bad)


def test_rewards_of_other_candidates_are_refused(exact):
    for change in (lambda reward: reward[:-1], lambda reward: reward + 1.0):
        bad = copy.copy(exact)
        bad.reward_model_ = copy.copy(bad.reward_model_)
        bad.reward_model_.token_reward = change(bad.reward_model_.token_reward)
        with pytest.raises(ValueError, match=r"reward_model_ .* not that of its objective"):
            check_fitted(bad)
