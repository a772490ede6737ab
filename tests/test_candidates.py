"""A policy over the candidates of prompts: its optimum, its frontier, and what it reads."""

import re
from inspect import getmembers, isfunction, signature

import numpy as np
import pandas as pd
import pytest
import sklearn
from additive_problems import linear_reward
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, PoissonRegressor, Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold

from sklearn_codex import (
    CandidatePolicy,
    DPOPolicyOptimizer,
    ExactPolicyOptimizer,
    PlackettLuceModel,
    PPOPolicyOptimizer,
    PreferenceRewardModel,
    RewardUncertainty,
    RLOOPolicyOptimizer,
    TokenCounter,
    UnigramLM,
    load_model,
    make_rlhf_pipeline,
    save_model,
)
from sklearn_codex.exact import AdditiveObjective, CandidateObjective, EosObjective
from sklearn_codex.rules import BannedTokens, Pattern

# Three prompts, of two, three and two candidates.
GROUPS = np.array(["p", "p", "q", "q", "q", "r", "r"])
CODES = np.array([0, 0, 1, 1, 1, 2, 2])


class Stated:
    """A reward that is the first feature."""

    def __call__(self, X):
        return X[:, 0]


def random_rows(seed, n_prompts=12, n_features=3, most=6):
    """Rows of prompts of 2 to ``most`` candidates, and their prompts."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n_prompts), rng.integers(2, most + 1, n_prompts))
    return rng.standard_normal((len(groups), n_features)), groups, rng


def random_candidates(seed, **settings):
    """An objective of three prompts that do not come up equally often."""
    rng = np.random.default_rng(seed)
    within = np.concatenate([log_softmax(rng.standard_normal(n)) for n in (2, 3, 2)])
    shares = rng.dirichlet(np.ones(3))
    settings = {"kl_coef": float(rng.uniform(0.3, 3.0)), "reward_coef": 1.3, **settings}
    return CandidateObjective(
        within + np.log(shares)[CODES], rng.standard_normal(7), CODES, **settings
    )


def per_prompt(function, values, codes=CODES):
    """Apply a function to the values of each prompt."""
    return np.concatenate([function(values[codes == code]) for code in np.unique(codes)])


# The objective


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("penalised", [False, True])
def test_a_general_optimiser_finds_no_better_policy(seed, penalised):
    cost = np.random.default_rng(seed).exponential(size=7) if penalised else None
    objective = random_candidates(seed, penalty=cost)
    shares = np.log(objective.prompt_prob)[CODES]

    def policy(logits):
        return per_prompt(log_softmax, logits) + shares

    found = minimize(
        lambda logits: -objective.value(policy(logits)), np.zeros(7), method="BFGS", tol=1e-10
    )
    best = objective.optimum()
    assert_allclose(np.exp(policy(found.x)), np.exp(best), atol=1e-4)
    assert_allclose(-found.fun, objective.value(best), atol=1e-8)
    assert -found.fun <= objective.value(best) + 1e-12
    other = policy(np.random.default_rng(9).standard_normal(7))
    assert_allclose(objective.gap(other), objective.value(best) - objective.value(other))


def test_the_value_by_hand():
    reference = np.log([0.2, 0.2, 0.1, 0.1, 0.1, 0.15, 0.15])
    reward = np.array([1.0, 0.0, 3.0, 2.0, 1.0, 0.0, 4.0])
    objective = CandidateObjective(reference, reward, CODES, kl_coef=2.0)
    policy = np.log([0.4 * 0.75, 0.4 * 0.25, 0.1, 0.1, 0.1, 0.15, 0.15])
    kl = 0.4 * (0.75 * np.log(1.5) + 0.25 * np.log(0.5))
    assert_allclose(objective.kl(policy), kl)
    assert_allclose(objective.expected_reward(policy), 0.4 * 0.75 + 0.3 * 2 + 0.3 * 2)
    assert_allclose(objective.value(policy), 1.5 - 2 * kl)
    half = -0.75 * np.log(0.75) - 0.25 * np.log(0.25)
    assert_allclose(objective.entropy(policy), 0.4 * half + 0.3 * np.log(3) + 0.3 * np.log(2))


OTHER_SHARES = np.array([0.7, 0.1, 0.2])


def j_by_prompt(rows, policy, reference_within):
    """The documented J and KL, one prompt after the other."""
    value = kl = 0.0
    for code, share in enumerate(rows.prompt_prob):
        own = code == CODES
        within, prob = log_softmax(policy[own]), softmax(policy[own])
        used = prob > 0
        distance = prob[used] @ (within - reference_within[own])[used]
        value += share * (rows.reward_coef * prob @ rows.token_reward[own])
        kl += share * distance
    return value - rows.kl_coef * kl, kl


@pytest.mark.parametrize("seed", range(5))
def test_prompts_may_come_up_as_often_as_they_will(seed):
    usual = random_candidates(seed)
    reference = per_prompt(log_softmax, usual.reference_log_prob)
    rows = random_candidates(seed, prompt_prob=OTHER_SHARES)
    policy = per_prompt(log_softmax, np.random.default_rng(seed + 100).standard_normal(7))
    policy = policy + np.log(OTHER_SHARES)[CODES]
    assert_allclose(rows.kl(rows.start), 0, atol=1e-14)
    assert_allclose((rows.value(policy), rows.kl(policy)), j_by_prompt(rows, policy, reference))
    assert_allclose(rows.gap(policy), rows.value(rows.optimum()) - rows.value(policy))
    at = rows.having(kl_coef=rows.kl_coef_for_kl(0.05))
    assert_allclose(j_by_prompt(at, at.optimum(), reference)[1], 0.05)
    again = usual.having(prompt_prob=OTHER_SHARES)
    assert_allclose((again.value(policy), again.kl(policy)), (rows.value(policy), rows.kl(policy)))


def test_the_best_value_of_two_equal_prompts_by_hand():
    rows = CandidateObjective(
        np.log([0.25] * 4), np.array([1.0, 0, 0, 1]), np.array([0, 0, 1, 1]),
        prompt_prob=np.array([0.9, 0.1]),
    )  # fmt: skip
    assert_allclose(rows.value(rows.optimum()), np.log((np.e + 1) / 2))


def test_banned_rows_keep_their_share_where_prompts_come_up_otherwise():
    usual = random_candidates(1)
    reference = per_prompt(log_softmax, usual.reference_log_prob)
    banned = usual.reference_log_prob.copy()
    banned[[1, 3]] = -np.inf
    # Banned in the reference, which says how often prompts come up, and then asked of others.
    rows = usual.having(reference_log_prob=banned).having(prompt_prob=OTHER_SHARES)
    best = rows.optimum()
    assert_allclose((rows.value(best), rows.kl(best)), j_by_prompt(rows, best, reference))
    penalty = np.where(np.isneginf(banned), np.inf, 0.0)
    by_penalty = usual.having(prompt_prob=OTHER_SHARES, penalty=penalty)
    assert_allclose(by_penalty.optimum(), best)
    assert_allclose(by_penalty.kl(best), rows.kl(best))
    with pytest.raises(ValueError, match=r"prompt_prob that are those of the reference .*=inf"):
        CandidateObjective(banned, usual.token_reward, CODES, prompt_prob=[0.9, 0.05, 0.05])


@pytest.mark.parametrize("optimizer", ["natural", "adam"])
def test_optimisers_leave_prompts_as_often_as_they_are(optimizer):
    rows = random_candidates(2, prompt_prob=OTHER_SHARES)
    model = PPOPolicyOptimizer(optimizer=optimizer, random_state=0).fit_objective(rows)
    found = np.bincount(CODES, np.exp(model.token_log_prob_))
    assert_allclose(found, OTHER_SHARES, rtol=1e-9)
    assert model.optimality_gap_ < 0.05 * rows.gap(rows.start)


@pytest.mark.parametrize(
    "log_prob",
    [np.zeros(7), np.full(7, -np.inf), np.full(7, -np.log(7)), np.full(7, np.log(0.9 / 7))],
)
@pytest.mark.parametrize(
    "method",
    ["kl", "value", "gap", "entropy", "expected_reward", "expected_penalty", "token_scores",
     "stiffness", "moments", "covariance", "expected_sum", "rate_of_any"],
)  # fmt: skip
def test_a_policy_has_the_prompts_that_there_are(method, log_prob):
    rows = random_candidates(3, prompt_prob=OTHER_SHARES)
    more = {"moments": 1, "covariance": 2, "expected_sum": 1, "rate_of_any": 1}.get(method, 0)
    given = [np.ones(7)] * more
    getattr(rows, method)(rows.optimum(), *given)
    with pytest.raises(ValueError, match=r"sum to prompt_prob over the rows.*objective\.moved"):
        getattr(rows, method)(log_prob, *given)


def test_features_of_rows_are_numbers_of_two_dimensions():
    X = np.random.default_rng(0).standard_normal((7, 2))
    dense = random_candidates(0, features=X)
    move, weight = np.arange(7.0), np.exp(dense.start)
    for features in (X.tolist(), sparse.csr_array(X), sparse.csr_matrix(X), pd.DataFrame(X)):
        rows = random_candidates(0, features=features)
        assert_allclose(rows.project(move, weight), dense.project(move, weight))
    for features, words in (
        (X[:, 0], r"shape \(n_rows, n_features\), got shape \(7,\).*reshape"),
        (X[:4], "features of each of 7 rows, got 4"),
        (np.where(X > 0, np.nan, X), "finite features, got nan"),
        ([["a"]] * 7, "features, an array of numbers"),
    ):
        with pytest.raises(ValueError, match=words):
            random_candidates(0, features=features)


@pytest.mark.parametrize("kl_coef", [1e-300, 1e-8, 1e8, 1e300])
def test_extreme_weights_give_a_policy(kl_coef):
    objective = random_candidates(0, kl_coef=kl_coef, reward_coef=1.0)
    best = objective.optimum()
    assert_allclose(np.bincount(CODES, np.exp(best)), objective.prompt_prob)
    limit = objective.start
    if kl_coef < 1:
        top = per_prompt(lambda own: own == own.max(), objective.token_reward)
        limit = np.where(top, np.log(objective.prompt_prob)[CODES], -np.inf)
    assert_allclose(np.exp(best), np.exp(limit), atol=1e-6)


def test_what_is_banned_is_measured_from_the_whole_reference():
    objective = random_candidates(1)
    reference = objective.reference_log_prob.copy()
    reference[2] = -np.inf
    banned = objective.having(reference_log_prob=reference)
    assert_allclose(np.bincount(CODES, np.exp(banned.optimum())), objective.prompt_prob)
    same = objective.having(penalty=np.where(np.arange(7) == 2, np.inf, 0.0))
    assert_allclose(banned.optimum(), same.optimum())
    lost = np.exp(objective.reference_log_prob[2]) / objective.prompt_prob[1]
    assert_allclose(banned.kl(banned.start), -objective.prompt_prob[1] * np.log1p(-lost))


@pytest.mark.parametrize("share", [1e-6, 0.3, 0.999])
def test_kl_coef_for_a_kl_has_it(share):
    objective = random_candidates(2)
    most = objective.kl(objective.having(kl_coef=1e-9).optimum())
    kl_coef = objective.kl_coef_for_kl(share * most)
    at = objective.having(kl_coef=kl_coef)
    assert_allclose(at.kl(at.optimum()), share * most, rtol=1e-9)
    for wrong in (0.0, most, 2 * most, np.nan):
        with pytest.raises(ValueError, match="target_kl"):
            objective.kl_coef_for_kl(wrong)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"prompts": CODES[:3]}, "needs prompts"),
        ({"prompts": CODES - 1}, "needs prompts"),
        ({"penalty": np.where(CODES == 1, np.inf, 0.0)}, "prompt 1 has none"),
        ({"prompt_prob": np.array([0.5, 0.4, 0.3])}, "sum to 1, got 1.2"),
        ({"features": np.ones((3, 2))}, "features of each of 7"),
    ],
)
def test_objectives_say_what_does_not_fit(changed, words):
    with pytest.raises(ValueError, match=words):
        random_candidates(0).having(**changed)


# Trained from samples


@pytest.mark.parametrize("optimizer", [PPOPolicyOptimizer, RLOOPolicyOptimizer])
@pytest.mark.parametrize("has_features", [True, False], ids=["log-linear", "tabular"])
def test_sampled_optimisers_reach_the_optimum(optimizer, has_features):
    X, groups, rng = random_rows(3, n_prompts=8)
    weights = np.array([1.0, -0.5, 0.3])
    n_rows = len(groups)
    reference = per_prompt(log_softmax, rng.standard_normal(n_rows), groups) - np.log(8)
    rows = CandidateObjective(
        reference, X @ weights, groups, kl_coef=0.5, features=X if has_features else None
    )
    model = optimizer(random_state=0).fit_objective(rows)
    assert rows.gap(model.token_log_prob_) <= 1e-3 * rows.gap(rows.start)
    if has_features:
        # It has the form, not the optimum alone: log-ratios are linear within prompts.
        ratio = model.token_log_prob_ - reference
        center = [X - (np.add.reduceat(X, *np.unique(groups, return_index=True)[1:], axis=0)
                       / np.bincount(groups)[:, None])[groups]][0]  # fmt: skip
        ratio = ratio - (np.bincount(groups, ratio) / np.bincount(groups))[groups]
        theta, rest = np.linalg.lstsq(center, ratio, rcond=None)[:2]
        assert rest[0] <= 1e-16 * n_rows
        assert_allclose(theta, weights / 0.5, atol=0.15)


def rows_of_a_policy(**settings):
    X, groups, _ = random_rows(11, n_prompts=8)
    return CandidatePolicy(Stated(), kl_coef=0.4, **settings).fit(X, groups=groups), X, groups


@pytest.mark.parametrize("log_linear", [True, False])
def test_a_policy_states_what_optimisers_are_held_against(log_linear):
    policy, X, groups = rows_of_a_policy()
    objective = policy.objective(X, groups=groups, log_linear=log_linear)
    assert (objective.features is not None) == log_linear
    best = np.log(policy.predict_choice(X, groups=groups)) - np.log(8)
    assert_allclose(objective.optimum(), best)
    learned = RLOOPolicyOptimizer(random_state=0).fit_objective(objective)
    assert_allclose(learned.optimality_gap_, objective.gap(learned.token_log_prob_))
    assert learned.optimality_gap_ <= 1e-3 * objective.gap(objective.start)
    assert_allclose(learned.objective_, objective.value(learned.token_log_prob_))
    assert_allclose(learned.kl_, objective.kl(learned.token_log_prob_))
    assert_allclose(learned.evaluate().objective, learned.objective_)
    if log_linear:
        # And reaches prompts that it never saw: by the weights that its log-ratios have.
        ratio = learned.token_log_prob_ - learned.reference_log_prob_
        one_hot = np.eye(8)[groups]
        theta = np.linalg.lstsq(np.hstack([X, one_hot]), ratio, rcond=None)[0][:3]
        new, new_groups, _ = random_rows(12)
        there = policy.objective(new, groups=new_groups)
        chosen = per_prompt(log_softmax, new @ theta, new_groups) - np.log(12)
        assert there.gap(chosen) <= 0.02 * there.gap(there.start)


@pytest.mark.parametrize("penalty", [[0.0, 1.5, 0.5], [0.0, np.inf, 2.0]])
def test_optimisers_take_weights_and_penalties_from_the_objective(penalty):
    objective = random_candidates(0, penalty=np.resize(penalty, 7))
    exact = ExactPolicyOptimizer().fit_objective(objective)
    assert_allclose(np.exp(exact.token_log_prob_), np.exp(objective.optimum()))
    assert (exact.kl_coef_, exact.reward_scale_) == (objective.kl_coef, 1.0)
    assert_allclose(exact.expected_reward_, objective.expected_reward(objective.optimum()))
    assert np.isfinite(objective.value(objective.start))
    learned = PPOPolicyOptimizer(random_state=0).fit_objective(objective)
    assert objective.gap(learned.token_log_prob_) <= 1e-3 * objective.gap(objective.start)
    # Another fit forgets the objective.
    texts = ["a b", "b c", "a"]
    fresh = ExactPolicyOptimizer().fit(texts, [1.0, 0.0, 2.0])
    again = exact.fit(texts, [1.0, 0.0, 2.0])
    assert_array_equal(again.token_log_prob_, fresh.token_log_prob_)


def test_fit_objective_takes_any_family():
    for objective in (
        AdditiveObjective(np.log([0.5, 0.3, 0.2]), np.array([0.0, 1.0, 2.0]), 4, entropy_coef=0.2),
        EosObjective(np.log([0.5, 0.3, 0.2]), np.array([0.0, -1.0, -0.2]), eos=1),
    ):
        model = ExactPolicyOptimizer().fit_objective(objective)
        assert_allclose(model.token_log_prob_, objective.optimum(), atol=1e-9)


def test_fit_objective_says_what_is_stated_twice_or_is_no_objective():
    policy, X, groups = rows_of_a_policy()
    objective = policy.objective(X, groups=groups)
    with pytest.raises(
        ValueError, match=r"got kl_coef=0.5, but in fit_objective .*having\(kl_coef"
    ):
        PPOPolicyOptimizer(kl_coef=0.5).fit_objective(objective)
    with pytest.raises(TypeError, match=r"fit_objective needs an objective.* got a ndarray"):
        PPOPolicyOptimizer().fit_objective(X)
    of_text = CandidatePolicy(lambda texts: [len(text) for text in texts]).fit(ROWS)
    with pytest.raises(ValueError, match=r"log_linear=True, but rows of text.*of numbers"):
        of_text.objective(ROWS, log_linear=True)
    learned = CandidatePolicy().fit(ROWS, np.arange(7.0))
    assert learned.objective(ROWS, log_linear=True).features.shape == (7, learned.n_features_in_)


# The estimator


def test_the_policy_is_the_tilt_within_each_prompt():
    X, groups, _ = random_rows(0)
    policy = CandidatePolicy(FrozenEstimator(linear_reward([1.0, 2.0, -1.0])), kl_coef=0.7)
    policy.fit(X, groups=groups)
    exponent = X @ np.array([1.0, 2.0, -1.0]) / 0.7
    expected = per_prompt(softmax, exponent, groups)
    assert_allclose(policy.predict_choice(X, groups=groups), expected)
    assert_allclose(policy.predict_proba(X, groups=groups).sum(axis=1), 1.0)
    best = per_prompt(lambda own: own == own.max(), exponent, groups)
    assert_array_equal(policy.predict(X, groups=groups), best)
    ranks = per_prompt(lambda own: (-own).argsort().argsort() + 1, exponent, groups)
    assert_array_equal(policy.rank(X, groups=groups), ranks)
    # Order and names of prompts do not matter.
    order = np.random.RandomState(0).permutation(len(groups))
    again = policy.predict_choice(X[order], groups=[f"prompt {g}" for g in groups[order]])
    assert_allclose(again, expected[order])
    parts = policy.evaluate(X, groups=groups)
    kl = expected * np.log(expected * np.bincount(groups)[groups])
    assert_allclose(parts.kl, kl.sum() / parts.n_prompts)
    assert_allclose(parts.entropy, -(expected @ np.log(expected)) / parts.n_prompts)
    assert_allclose(parts.objective, parts.expected_reward - 0.7 * parts.kl)
    assert (policy.kl_, policy.entropy_) == (parts.kl, parts.entropy)
    assert_allclose(policy.score(X, groups=groups), parts.objective)
    gold = np.arange(len(groups), dtype=float)
    assert_allclose(policy.score(X, gold, groups=groups), expected @ gold / parts.n_prompts)


def test_the_policy_of_a_linear_reward_is_log_linear_with_w_over_b():
    X, groups, _ = random_rows(1)
    model = Ridge().fit(X, X @ [1.0, -2.0, 0.5] + 7.0)
    policy = CandidatePolicy(FrozenEstimator(model), kl_coef=0.4).fit(X, groups=groups)
    assert_allclose(policy.policy_coef_, model.coef_[np.newaxis] / 0.4)
    rows = CandidateObjective(
        -np.log(np.bincount(groups)[groups]) - np.log(12), model.predict(X), groups, kl_coef=0.4
    )

    def loss(theta):
        return -rows.value(per_prompt(log_softmax, X @ theta, groups) - np.log(12))

    found = minimize(loss, np.zeros(3), method="BFGS", tol=1e-10)
    assert_allclose(found.x, policy.policy_coef_[0], rtol=1e-3)
    new, new_groups, _ = random_rows(2)
    expected = per_prompt(softmax, new @ policy.policy_coef_[0], new_groups)
    assert_allclose(policy.predict_choice(new, groups=new_groups), expected)
    # A link is not linear, and has no such weights.
    positive = PoissonRegressor().fit(X, np.exp(X[:, 0]))
    curved = CandidatePolicy(FrozenEstimator(positive)).fit(X, groups=groups)
    assert not hasattr(curved, "coef_")


def test_the_reward_that_is_learned_knows_what_differs_within_prompts_alone():
    X, groups, rng = random_rows(4)
    y = X @ [1.0, -1.0, 2.0] + 0.1 * rng.standard_normal(len(groups))
    policy = CandidatePolicy(alpha=2.0, kl_coef=0.5).fit(X, y, groups=groups)
    # As by ridge regression with a free constant for each prompt, by its normal equations.
    one_hot = np.eye(12)[groups]
    design = np.hstack([X, one_hot])
    penalty = np.diag([2.0] * 3 + [0.0] * 12)
    solved = np.linalg.solve(design.T @ design + penalty, design.T @ y)
    assert_allclose(policy.coef_[0], solved[:3])
    assert_allclose(policy.policy_coef_, policy.coef_ / 0.5)
    shifted = CandidatePolicy(alpha=2.0).fit(X, y + 100 * groups, groups=groups)
    assert_allclose(shifted.coef_, policy.coef_)
    # By hand: one difference of 2 in the feature, of 3 in the rating, two rows of +-1 and +-1.5.
    by_hand = CandidatePolicy(alpha=1.0).fit([[0.0], [2.0]], [1.0, 4.0], groups=[0, 0])
    assert_allclose(by_hand.coef_, 3.0 / (2.0 + 1.0))


def test_sparse_dense_frames_and_text_agree():
    texts = ["good good", "bad", "fine good", "bad bad", "fine", "good", "bad fine"]
    y = [2.0, 0.0, 1.5, -1.0, 0.5, 1.0, 0.0]
    rows = list(zip(GROUPS, texts, strict=True))
    of_text = CandidatePolicy().fit(rows, y)
    counter = TokenCounter().fit(texts)
    counts = counter.transform(texts)
    expected = of_text.predict_choice(rows)
    for X in (counts, counts.toarray(), pd.DataFrame(counts.toarray(), columns=list("abcd"))):
        policy = CandidatePolicy().fit(X, y, groups=GROUPS)
        assert_allclose(policy.predict_choice(X, groups=GROUPS), expected)
    named = CandidatePolicy().fit(texts, y, groups=GROUPS)
    assert_allclose(named.predict_choice(texts, groups=GROUPS), expected)
    frame = pd.DataFrame(rows, columns=["prompt", "response"])
    assert_allclose(of_text.predict_choice(frame), expected)
    assert_allclose(of_text.predict_choice(rows[:2]), expected[:2])


def test_the_reference_is_normalised_within_prompts():
    X, groups, rng = random_rows(5)
    reward = FrozenEstimator(linear_reward([1.0, 0.0, 0.0]))
    log_prob = -5 * rng.random(len(groups))
    policy = CandidatePolicy(reward).fit(X, groups=groups, reference_log_prob=log_prob)
    shifted = log_prob - 30.0 * groups
    expected = per_prompt(softmax, log_prob + X[:, 0], groups)
    for reference in (log_prob, shifted):
        found = policy.predict_choice(X, groups=groups, reference_log_prob=reference)
        assert_allclose(found, expected)
    # A row twice is a row of twice the probability.
    twice = np.concatenate([np.arange(len(groups)), [0]])
    doubled = policy.predict_choice(X[twice], groups=groups[twice])
    weighed = policy.predict_choice(
        X, groups=groups, reference_log_prob=np.log(np.where(twice[:-1] == 0, 2.0, 1.0))
    )
    assert_allclose(doubled[0] + doubled[-1], weighed[0])
    assert_allclose(doubled[1:-1], weighed[1:])
    never = np.where(np.arange(len(groups)) == 0, -np.inf, 0.0)
    banned = policy.predict_log_proba(X, groups=groups, reference_log_prob=never)
    assert_array_equal(banned[0], [0.0, -np.inf])


@pytest.mark.parametrize("seed", range(3))
def test_the_frontier_is_monotone_and_concave_and_best_of_n_is_below_it(seed):
    X, groups, _ = random_rows(seed, n_prompts=20)
    policy = CandidatePolicy(Stated()).fit(X, groups=groups)
    frontier = policy.frontier(X, groups=groups)
    assert np.all(np.diff(frontier.kl) > 0)
    assert np.all(np.diff(frontier.expected_reward) > 0)
    slopes = np.diff(frontier.expected_reward) / np.diff(frontier.kl)
    assert np.all(np.diff(slopes) < 0)
    # The slope is kl_coef, somewhere between two points.
    assert np.all((slopes <= frontier.kl_coef[:-1]) & (slopes >= frontier.kl_coef[1:]))
    points = policy.best_of_n(X, groups=groups, ns=[1, 2, 3, 8])
    assert_allclose([points.kl[0], points.expected_reward[0]], [0.0, X[:, 0] @ (
        1 / np.bincount(groups)[groups]) / 20], atol=1e-12)  # fmt: skip
    assert np.all(points.kl[1:] <= points.kl_bound[1:])
    for kl, reward in zip(points.kl[1:], points.expected_reward[1:], strict=True):
        best = CandidatePolicy(Stated(), target_kl=kl).fit(X, groups=groups)
        assert_allclose(best.kl_, kl)
        assert reward < best.expected_reward_
    gold = -X[:, 0]
    against = policy.frontier(X, gold, groups=groups)
    assert_allclose(against.gold_reward, -frontier.expected_reward)


def test_draws_come_as_often_as_they_should():
    X, groups, _ = random_rows(6, n_prompts=5)
    policy = CandidatePolicy(Stated(), kl_coef=0.8).fit(X, groups=groups)
    drawn = policy.sample(X, groups=groups, n_samples=20_000, random_state=0)
    assert drawn.shape == (5, 20_000)
    assert_array_equal(groups[drawn], np.repeat(np.arange(5), 20_000).reshape(5, -1))
    probability = policy.predict_choice(X, groups=groups)
    share = np.bincount(drawn.ravel(), minlength=len(groups)) / 20_000
    error = np.sqrt(probability * (1 - probability) / 20_000)
    assert np.all(np.abs(share - probability) <= 4.5 * error)
    never = np.zeros(len(groups))
    never[np.unique(groups, return_index=True)[1]] = -np.inf
    others = policy.sample(
        X, groups=groups, reference_log_prob=never, n_samples=500, random_state=1
    )
    assert not np.isin(others, np.flatnonzero(np.isinf(never))).any()
    again = policy.sample(X, groups=groups, n_samples=20_000, random_state=0)
    assert_array_equal(drawn, again)


def test_equal_candidates_share_a_place_and_the_first_is_predicted():
    policy = CandidatePolicy(Stated()).fit([[1.0], [1.0], [0.0]], groups=[0, 0, 0])
    X = np.array([[0.0], [1.0], [1.0], [0.5]])
    assert_array_equal(policy.rank(X, groups=[0] * 4), [4, 1, 1, 3])
    assert_array_equal(policy.predict(X, groups=[0] * 4), [False, True, False, False])


# Rules

TEXTS = ["good stuff", "bad stuff", "good", "bad bad", "fine", "good fine", "bad"]
ROWS = list(zip(GROUPS, TEXTS, strict=True))


class Flat:
    """A reward that is the same for all responses."""

    def __call__(self, texts):
        return np.zeros(len(texts))


class Brief:
    """A reward of short responses."""

    def __call__(self, texts):
        return -np.array([len(text) for text in texts], dtype=float)


def test_a_penalty_divides_the_odds_by_its_exponential():
    policy = CandidatePolicy(Flat(), rules=BannedTokens(["bad"], penalty=2.0)).fit(ROWS)
    cost = np.array([0, 2, 0, 4, 0, 0, 2.0])
    assert_allclose(policy.predict_choice(ROWS), per_prompt(softmax, -cost))
    assert policy.rule_prices_ == {"banned_tokens": 2.0}
    rate = policy.predict_choice(ROWS) @ (cost > 0) / 3
    assert_allclose(policy.rule_rates_["banned_tokens"], rate)
    assert_allclose(policy.evaluate(ROWS).penalty, policy.predict_choice(ROWS) @ cost / 3)


def test_a_hard_rule_is_never_violated():
    policy = CandidatePolicy(Flat(), rules=BannedTokens(["bad"], hard=True)).fit(ROWS)
    expected = [1, 0, 0.5, 0, 0.5, 1, 0]
    assert_allclose(policy.predict_choice(ROWS), expected)
    assert_allclose(policy.kl_, (2 * np.log(2) + np.log(1.5)) / 3)
    with pytest.raises(ValueError, match="ban all 2 candidates of the prompt of row 0"):
        policy.predict([("new", "bad"), ("new", "bad one"), *ROWS])


def test_a_chance_constraint_is_just_kept():
    rule = Pattern("bad", max_rate=0.1)
    policy = CandidatePolicy(Flat(), rules=rule).fit(ROWS)
    violates = np.array(["bad" in text for text in TEXTS])
    choice = policy.predict_choice(ROWS)
    assert_allclose(choice @ violates / 3, 0.1, rtol=1e-6)
    price = policy.rule_prices_["pattern"]
    assert_allclose(choice, per_prompt(softmax, -price * violates))
    both = CandidatePolicy(Brief(), target_kl=0.35, rules=rule).fit(ROWS)
    assert_allclose([both.rule_rates_["pattern"], both.kl_], [0.1, 0.35], rtol=1e-6)


def test_rules_that_no_policy_keeps_are_refused():
    only_bad = [*ROWS, ("s", "bad"), ("s", "so bad")]
    with pytest.raises(ValueError, match=r"since all candidates violate it in 0.25"):
        CandidatePolicy(Flat(), rules=Pattern("bad", max_rate=0.1)).fit(only_bad)
    with pytest.raises(TypeError, match="reads responses as text, but rows of numbers"):
        CandidatePolicy(Stated(), rules=Pattern("bad")).fit(np.ones((3, 2)), groups=[0, 0, 0])


# Which rows belong together


def test_rows_without_groups_are_refused_where_they_could_mean_two_things():
    X, groups, _ = random_rows(0)
    words = r"of one prompt or of several\. Pass groups="
    model = FrozenEstimator(linear_reward([1.0, 0.0, 0.0]))
    with pytest.raises(ValueError, match=words):
        CandidatePolicy(model).fit(X)
    policy = CandidatePolicy(model).fit(X, groups=groups)
    for method in ("predict", "predict_choice", "predict_log_proba", "rank", "evaluate", "score"):
        with pytest.raises(ValueError, match=words):
            getattr(policy, method)(X)
    assert policy.predict_choice(X[:1]) == 1.0
    with pytest.raises(ValueError, match=words):
        CandidatePolicy(Flat()).fit(TEXTS)
    learned = CandidatePolicy().fit(X, X[:, 0], groups=groups)
    with pytest.raises(ValueError, match=words):
        learned.score(X, X[:, 0])


def test_a_reward_on_one_scale_is_learned_without_groups_with_a_warning():
    X, groups, _ = random_rows(0)
    y = X @ [1.0, 2.0, 3.0] + 5.0
    with pytest.warns(UserWarning, match="without groups: it takes y as rewards on one scale"):
        policy = CandidatePolicy(alpha=0.3).fit(X, y)
    assert_allclose(policy.coef_[0], Ridge(alpha=0.3).fit(X, y).coef_)
    assert_array_equal(policy.predict_choice(X), np.ones(len(X)))
    grouped = policy.predict_choice(X, groups=groups)
    assert_allclose(np.bincount(groups, grouped), 1.0)


def test_groups_of_several_prompts_are_refused():
    with pytest.raises(ValueError, match=r"group of row 2 has the prompts 'p' and 'q'"):
        CandidatePolicy(Flat()).fit(ROWS, groups=[0] * 7)
    # A prompt that was asked twice has two groups.
    rows = [("p", "a"), ("p", "b"), ("p", "c"), ("p", "d")]
    policy = CandidatePolicy(Flat()).fit(rows, groups=[0, 0, 1, 1])
    assert_allclose(policy.predict_choice(rows, groups=[0, 0, 1, 1]), 0.5)
    assert_allclose(policy.predict_choice(rows), 0.25)


def test_prompts_of_one_candidate_teach_nothing():
    with pytest.raises(ValueError, match="each of 3 rows has a prompt of its own"):
        CandidatePolicy().fit(np.eye(3), [1.0, 2.0, 3.0], groups=[0, 1, 2])


@pytest.mark.parametrize(
    ("settings", "fit", "error", "words"),
    [
        ({}, {}, ValueError, "requires y to be passed"),
        ({"conservative": 1.0}, {"y": np.ones(7)}, ValueError, "without a reward_model"),
        ({"reward_model": Ridge()}, {}, NotFittedError, "unfitted Ridge"),
        ({"reward_model": Stated(), "conservative": 1.0}, {}, ValueError, "return_std"),
        ({"reward_model": Stated(), "target_kl": 9.0}, {}, ValueError, "below 0.8"),
        ({"reward_model": Stated()}, {"reference_log_prob": np.zeros(3)}, ValueError, "shape"),
        (
            {"reward_model": Stated()},
            {"reference_log_prob": np.where(CODES == 1, -np.inf, 0.0)},
            ValueError,
            "all those of the prompt of row 2",
        ),
        ({"reward_model": Stated()}, {"reference_log_prob": np.full(7, np.nan)}, ValueError, "nan"),
    ],
)
def test_errors_of_fit(settings, fit, error, words):
    X = np.random.RandomState(0).standard_normal((7, 3))
    with pytest.raises(error, match=words):
        CandidatePolicy(**settings).fit(X, groups=GROUPS, **fit)


def test_a_classifier_is_no_reward():
    X = np.random.RandomState(0).standard_normal((7, 3))
    model = LogisticRegression().fit(X, CODES > 0)
    with pytest.raises(TypeError, match="got the classifier LogisticRegression"):
        CandidatePolicy(FrozenEstimator(model)).fit(X, groups=GROUPS)


# Reward models

PAIRS = [("p", "good stuff", "bad stuff"), ("q", "bad bad", "good"), ("r", "good fine", "bad")]


def test_reward_models_of_pairs_and_of_rankings_reward_rows_of_text():
    model = PreferenceRewardModel().fit(PAIRS, [1, 0, 1])
    policy = CandidatePolicy(FrozenEstimator(model)).fit(ROWS)
    assert_allclose(policy.predict_choice(ROWS), per_prompt(softmax, model.reward(TEXTS)))
    ranking = PlackettLuceModel().fit(ROWS, [1, 0, 2, 0, 1, 1, 0])
    of_rankings = CandidatePolicy(FrozenEstimator(ranking)).fit(ROWS)
    assert_allclose(of_rankings.predict_choice(ROWS), ranking.predict_choice(ROWS))


def test_a_fitted_loop_is_a_reward_model():
    records = [{"text": text} for text in TEXTS]
    records += [{"prompt": p, "chosen": a, "rejected": b} for p, a, b in PAIRS]
    loop = make_rlhf_pipeline(UnigramLM(), PreferenceRewardModel()).fit(records)
    policy = CandidatePolicy(FrozenEstimator(loop)).fit(ROWS)
    assert_allclose(policy.predict_choice(ROWS), per_prompt(softmax, loop.reward(TEXTS)))


def test_the_reward_of_rows_needs_no_groups_unless_it_is_conservative():
    X, groups, rng = random_rows(0)
    y = X[:, 0] + rng.standard_normal(len(X))
    policy = CandidatePolicy().fit(X, y, groups=groups)
    assert_allclose(policy.reward(X), X @ policy.coef_[0])
    again = CandidatePolicy(FrozenEstimator(policy)).fit(X, groups=groups)
    assert_allclose(again.predict_choice(X, groups=groups), policy.predict_choice(X, groups=groups))
    model = RewardUncertainty().fit(PAIRS, [1, 0, 1])
    careful = CandidatePolicy(FrozenEstimator(model), conservative=1.0).fit(ROWS)
    choice = per_prompt(softmax, careful.reward(ROWS))
    assert_allclose(choice, careful.predict_choice(ROWS))
    with pytest.raises(ValueError, match="without groups"):
        careful.reward(TEXTS)


class Asked:
    """A reward that needs the prompt: how many letters of it a response begins with."""

    wants_prompt = True

    def __call__(self, rows):
        return np.array([float(response.startswith(prompt)) for prompt, response in rows])


def test_a_callable_is_given_prompts_where_it_wants_them():
    rows = [("a", "a b"), ("a", "b"), ("b", "a"), ("b", "b a")]
    policy = CandidatePolicy(Asked()).fit(rows)
    assert_array_equal(policy.predict(rows), [True, False, False, True])


def test_a_ban_is_one_whatever_the_type_of_its_column():
    X, groups = np.array([[0.0], [1.0], [2.0], [0.0]]), [0, 0, 1, 1]
    reference = np.array([-1.0, -np.inf, -2.0, -1.0])
    policy = CandidatePolicy(Stated()).fit(X, groups=groups, reference_log_prob=reference)
    expected = policy.predict_choice(X, groups=groups, reference_log_prob=reference)
    assert expected[1] == 0
    for given in (
        pd.Series(reference, dtype=object),
        reference.astype(np.float32),
        reference.tolist(),
        pd.Series(reference, dtype="Float64"),
    ):
        found = policy.predict_choice(X, groups=groups, reference_log_prob=given)
        assert_allclose(found, expected)
    for wrong in (None, np.nan, np.inf):
        given = pd.Series([-1.0, wrong, -np.inf, 0.0], dtype=object)
        with pytest.raises(ValueError, match="finite reference_log_prob, got"):
            policy.predict_choice(X, groups=groups, reference_log_prob=given)


def test_a_conservative_reward_is_that_of_the_tilt_also_with_a_reference():
    model = RewardUncertainty(PreferenceRewardModel()).fit(
        [("ask", "good words please", "bad words"), ("say", "fine good", "bad never")] * 3,
        [1, 1, 0, 1, 1, 1],
    )
    texts, groups = ["good please", "bad", "fine words", "never", "words"], [0, 0, 0, 1, 1]
    policy = CandidatePolicy(FrozenEstimator(model), conservative=3.0, kl_coef=0.7)
    reference = np.array([-1.0, -9.0, -0.5, -1.0, -2.0])
    policy.fit(texts, groups=groups, reference_log_prob=reference)
    log_prob = policy.predict_log_proba(texts, groups=groups, reference_log_prob=reference)[:, 1]
    tilt = 0.7 * (log_prob - reference)
    reward = policy.reward(texts, groups=groups, reference_log_prob=reference)
    assert_allclose(np.diff(reward[:3]), np.diff(tilt[:3]))
    assert_allclose(np.diff(reward[3:]), np.diff(tilt[3:]))
    uniform = policy.reward(texts, groups=groups)
    assert np.abs(np.diff(uniform[:3]) - np.diff(tilt[:3])).max() > 1e-3


@pytest.mark.parametrize("text", [True, False])
def test_conservative_rewards_are_lower_by_the_error_against_the_mean_of_the_prompt(text):
    model = RewardUncertainty(PreferenceRewardModel(C=10.0)).fit(PAIRS, [1, 0, 1])
    phi = model.vectorizer_.transform(TEXTS).toarray()
    X, groups = (ROWS, None) if text else (phi, GROUPS)
    reward = FrozenEstimator(model)
    policy = CandidatePolicy(reward, conservative=2.0).fit(X, groups=groups)
    center = np.array([phi[code == CODES].mean(axis=0) for code in range(3)])[CODES]
    variance = np.einsum("ij,jk,ik->i", phi - center, model.covariance_, phi - center)
    careful = phi @ model.coef_[0] - 2.0 * np.sqrt(variance)
    assert_allclose(policy.predict_choice(X, groups=groups), per_prompt(softmax, careful))
    assert not hasattr(policy, "coef_")


def test_direct_preference_optimisation_finds_the_same_candidates():
    # Responses of five tokens each, so that no length is in the way.
    rng = np.random.RandomState(0)
    counts = rng.multinomial(5, np.full(6, 1 / 6), size=80).astype(float)
    X, y = counts[:40] - counts[40:], rng.randint(2, size=40)
    direct = DPOPolicyOptimizer(kl_coef=0.6, C=2.0, tol=1e-12, response_length=5).fit(X, y)
    reward = PreferenceRewardModel(C=2.0, tol=1e-12).fit(X, y)
    groups = np.arange(80) // 4
    policy = CandidatePolicy(FrozenEstimator(reward), kl_coef=0.6).fit(counts, groups=groups)
    log_ratio = counts @ (direct.token_log_prob_ - direct.reference_log_prob_)
    expected = per_prompt(softmax, log_ratio, groups)
    assert_allclose(policy.predict_choice(counts, groups=groups), expected, atol=1e-8)
    theta = direct.coef_[0] / 0.6
    assert_allclose(policy.policy_coef_[0] - policy.policy_coef_.mean(), theta - theta.mean(),
                    atol=1e-7)  # fmt: skip


def test_direct_preference_optimisation_on_feature_differences_is_the_policy_of_its_reward():
    # Of any features: a last one makes their sums equal, so that log-ratios of the columns, which
    # are normalised over these, can be any weights.
    rng = np.random.RandomState(1)
    features = rng.standard_normal((90, 4))
    phi = np.column_stack([features, 6.0 - features.sum(axis=1)])
    X, y = phi[:40] - phi[40:80], rng.randint(2, size=40)
    direct = DPOPolicyOptimizer(kl_coef=0.3, C=3.0, tol=1e-12, response_length=6).fit(X, y)
    reward = PreferenceRewardModel(C=3.0, tol=1e-12).fit(X, y)
    groups = np.arange(90) // 5
    policy = CandidatePolicy(FrozenEstimator(reward), kl_coef=0.3).fit(phi, groups=groups)
    theta = direct.token_log_prob_ - direct.reference_log_prob_
    chosen = per_prompt(log_softmax, phi @ theta, groups)
    assert_allclose(policy.predict_choice(phi, groups=groups), np.exp(chosen), atol=1e-8)
    objective = policy.objective(phi, groups=groups)
    assert objective.gap(chosen - np.log(18)) <= 1e-12
    assert objective.gap(objective.start) > 0.01


def test_a_search_finds_kl_coef_by_gold_rewards_of_other_prompts():
    X, groups, _ = random_rows(7, n_prompts=60)
    gold = X[:, 0]
    proxy = linear_reward([1.0, 2.0, 0.0])  # half of what it says is wrong
    grid = {"kl_coef": [0.1, 1.0, 10.0]}
    with sklearn.config_context(enable_metadata_routing=True):
        search = GridSearchCV(
            CandidatePolicy(FrozenEstimator(proxy)), grid, cv=GroupKFold(3), error_score="raise"
        ).fit(X, gold, groups=groups)
    scores = []
    for kl_coef in grid["kl_coef"]:
        policy = CandidatePolicy(FrozenEstimator(proxy), kl_coef=kl_coef).fit(X, groups=groups)
        folds = [
            policy.score(X[rows], gold[rows], groups=groups[rows])
            for _, rows in GroupKFold(3).split(X, gold, groups)
        ]
        scores.append(np.mean(folds))
    assert_allclose(search.cv_results_["mean_test_score"], scores)
    assert search.best_params_["kl_coef"] == grid["kl_coef"][int(np.argmax(scores))]


# A citizen of scikit-learn


def test_clones_keep_frozen_models_and_files_keep_policies(tmp_path):
    model = PreferenceRewardModel().fit(PAIRS, [1, 0, 1])
    policy = CandidatePolicy(FrozenEstimator(model), rules=Pattern("bad")).fit(ROWS)
    learned = CandidatePolicy().fit(ROWS, [1.0, 0.0, 2.0, 0.0, 1.0, 1.0, 0.0])
    for fitted in (policy, learned):
        save_model(fitted, tmp_path / "policy.skops", overwrite=True)
        loaded = load_model(tmp_path / "policy.skops")
        assert_array_equal(loaded.predict_proba(ROWS), fitted.predict_proba(ROWS))
    again = clone(policy).fit(ROWS)
    assert_array_equal(again.predict_proba(ROWS), policy.predict_proba(ROWS))


def test_a_file_of_a_policy_without_reward_is_refused(tmp_path):
    policy = CandidatePolicy().fit(ROWS, np.arange(7.0))
    del policy.coef_
    with pytest.raises(ValueError, match="neither a reward model nor the coef_"):
        save_model(policy, tmp_path / "policy.skops")


def test_a_fit_that_fails_leaves_the_policy_before():
    policy = CandidatePolicy().fit(ROWS, np.arange(7.0))
    before = policy.predict_choice(ROWS)
    with pytest.raises(ValueError, match="inconsistent"):
        policy.fit(np.eye(7), np.arange(5.0), groups=GROUPS)
    assert_array_equal(policy.predict_choice(ROWS), before)


def test_probabilities_near_0_and_1_keep_their_digits():
    policy = CandidatePolicy(Stated()).fit(np.array([[0.0], [50.0]]), groups=[0, 0])
    log_proba = policy.predict_log_proba(np.array([[0.0], [50.0]]), groups=[0, 0])
    assert_allclose(log_proba, [[0.0, -50.0], [-50.0, 0.0]], atol=1e-12, rtol=1e-12)


def test_read_only_and_memory_mapped_rows(tmp_path):
    X, groups, _ = random_rows(0)
    y = X[:, 0].copy()
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    y.flags.writeable = False
    policy = CandidatePolicy().fit(mapped, y, groups=groups)
    assert_allclose(policy.coef_, CandidatePolicy().fit(X, y, groups=groups).coef_)
    frozen = sparse.csr_array(X)
    frozen.data.flags.writeable = False
    assert_allclose(CandidatePolicy().fit(frozen, y, groups=groups).coef_, policy.coef_)


def test_every_parameter_of_a_method_is_in_its_docstring():
    methods = {
        name: method
        for name, method in getmembers(CandidatePolicy, isfunction)
        if "reference_log_prob" in signature(method).parameters and not name.startswith("_")
    }
    assert {"predict", "sample", "frontier", "objective", "off_policy_value"} <= set(methods)
    for name, method in methods.items():
        for parameter in [*signature(method).parameters][1:]:
            in_doc = re.search(rf"^ *{parameter} : ", method.__doc__, re.MULTILINE)
            assert in_doc, f"{name}: {parameter}"
