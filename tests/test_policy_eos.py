"""Policy optimisation where documents end by themselves: length is a result, and it can explode."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from additive_problems import linear_reward, total_variation
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.frozen import FrozenEstimator

from sklearn_codex import ExactPolicyOptimizer, PPOPolicyOptimizer, TokenCounter, UnigramLM
from sklearn_codex.exact import EosObjective, LengthExplosionWarning, smallest_safe_kl_coef
from sklearn_codex.kl_control import AdaptiveKLController
from sklearn_codex.rules import BannedTokens, TokenBudget

N = 20_000


def eos_problem(seed=0, n_words=12, shift=0.0):
    """Texts of about 8 words, a language model of them, and a reward of each token."""
    rng = np.random.RandomState(seed)
    words = np.array([f"w{i}" for i in range(n_words)])
    prob = rng.dirichlet(np.ones(n_words))
    lengths = 1 + rng.poisson(7.0, size=200)
    texts = [" ".join(rng.choice(words, size=length, p=prob)) for length in lengths]
    policy = UnigramLM(vectorizer=TokenCounter(eos_token="<eos>")).fit(texts)
    weights = 0.3 * rng.standard_normal(len(policy.token_log_prob_)) + shift
    return SimpleNamespace(
        texts=texts,
        policy=policy,
        weights=weights,
        reward=FrozenEstimator(linear_reward(weights)),
        eos=policy.vectorizer_.eos_index_,
        reference=policy.token_log_prob_,
    )


def fitted(problem, reward=None, seed=0, **settings):
    reward = problem.reward if reward is None else reward
    model = PPOPolicyOptimizer(
        FrozenEstimator(problem.policy), reward, random_state=seed, **settings
    )
    return model.fit(problem.texts)


def share_of_optimum(objective, model, reference):
    return 1.0 - objective.gap(model.token_log_prob_) / objective.gap(reference)


KINDS = [
    {},
    {"max_length": 12, "missing_eos_penalty": 1.0},
    {"max_length": 5},
    {"sft_coef": 2.0},
    {"max_length": 12, "sft_coef": 1.0},
]


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("credit", ["token", "sequence"])
def test_reaches_the_exact_optimum(kind, credit):
    # The exact optimum itself takes seconds with both a cut and demonstrations.
    for seed in range(1 if len(kind) == 2 and "sft_coef" in kind else 3):
        problem = eos_problem(seed)
        model = fitted(problem, seed=seed, credit=credit, **kind)
        shown = {"frequencies": model.frequencies_} if "sft_coef" in kind else {}
        objective = EosObjective(problem.reference, problem.weights, problem.eos, **kind, **shown)
        assert 0.999 <= share_of_optimum(objective, model, problem.reference) <= 1
        assert_allclose(model.optimality_gap_, objective.gap(model.token_log_prob_), rtol=1e-9)
        assert_allclose(model.objective_, objective.value(model.token_log_prob_), rtol=1e-9)
        assert_allclose(np.exp(model.optimal_log_prob_), np.exp(objective.optimum()))
        values = np.array([record["objective/value"] for record in model.history_])
        best = objective.value(objective.optimum())
        assert np.all(values <= best + 1e-12 * abs(best))


@pytest.mark.parametrize("credit", ["token", "sequence"])
def test_without_a_cut_it_converges_to_the_optimum_itself(credit):
    for seed in range(2):
        model = fitted(eos_problem(seed), seed=seed, credit=credit, tol=0, max_iter=100)
        assert total_variation(model.token_log_prob_, model.optimal_log_prob_) < 1e-6
        # The shaped reward of every document is then the same.
        assert model.history_[-1]["objective/shaped_reward_std"] < 1e-5


@pytest.mark.slow
def test_textbook_form_with_end_of_sequence():
    problem = eos_problem()
    model = fitted(problem, optimizer="adam", n_epochs=4, n_minibatches=4, tol=0.02, max_iter=200)
    objective = EosObjective(problem.reference, problem.weights, problem.eos)
    assert share_of_optimum(objective, model, problem.reference) >= 0.98


def test_length_is_a_result_and_documents_end_by_themselves():
    problem = eos_problem()
    model = fitted(problem)
    p = np.exp(model.token_log_prob_[problem.eos])
    assert_allclose(model.expected_length_, 1 / p)
    assert model.response_length_ is model.max_length_ is None
    assert model.document_length_ == round(1 / p)
    texts = model.sample(N, random_state=0)
    assert not any("<eos>" in text for text in texts)
    lengths = np.array([len(text.split()) + 1 for text in texts])
    assert abs(lengths.mean() - 1 / p) < 4 * lengths.std() / np.sqrt(N)
    # Text and counts of the same documents are the same.
    counts = model.vectorizer_.transform(texts)
    assert_array_equal(counts[:, [problem.eos]].toarray(), 1)
    assert_allclose(model.score_samples(texts), counts @ model.token_log_prob_)
    again = PPOPolicyOptimizer(FrozenEstimator(problem.policy), problem.reward, random_state=0)
    again.fit(problem.policy.vectorizer_.transform(problem.texts))
    assert_array_equal(again.token_log_prob_, model.token_log_prob_)
    for record in model.history_:
        assert record["objective/length"] > 1
    assert_allclose(
        model.history_[0]["objective/length"], 1 / np.exp(problem.reference[problem.eos])
    )
    assert_allclose(model.history_[-1]["objective/length"], model.expected_length_)


def test_expectations_under_a_cut_agree_with_simulation():
    problem = eos_problem()
    model = fitted(problem, max_length=6, missing_eos_penalty=1.5)
    counts = model.vectorizer_.transform(model.sample(N, random_state=0))
    words = counts.sum(axis=1) - 1  # The vectorizer counts an end for each text.
    ended = words < 6
    lengths = words + ended
    assert abs(lengths.mean() - model.expected_length_) < 4 * lengths.std() / np.sqrt(N)
    rewards = counts @ problem.weights - problem.weights[problem.eos] * ~ended
    assert abs(rewards.mean() - model.expected_reward_) < 4 * rewards.std() / np.sqrt(N)
    values = rewards - 1.5 * ~ended - model.kl_
    assert abs(values.mean() - model.objective_) < 4 * values.std() / np.sqrt(N)
    # A price of the cut makes documents end.
    free = fitted(problem, max_length=6)
    assert model.expected_length_ < free.expected_length_
    record = model.history_[-1]
    exact = record["objective/value"]
    assert abs(record["objective/rlhf_reward"] - exact) < 4 * values.std() / 16


@pytest.mark.parametrize("kl_coef", [0.5, 1.0])
def test_exploding_length_is_named_and_cut(kl_coef):
    problem = eos_problem(shift=0.3)
    safe = smallest_safe_kl_coef(problem.reference, problem.weights, problem.eos)
    assert safe > kl_coef
    message = rf"no optimum at kl_coef={kl_coef:g}.*above {safe:.6g}, the smallest.*cut at 200 tok"
    with pytest.warns(LengthExplosionWarning, match=message):
        model = fitted(problem, kl_coef=kl_coef)
    objective = EosObjective(
        problem.reference, problem.weights, problem.eos, kl_coef=kl_coef, max_length=200
    )
    assert share_of_optimum(objective, model, problem.reference) >= 0.999
    assert 150 < model.expected_length_ <= 200
    assert model.max_length_ == 200
    assert max(len(text.split()) for text in model.sample(50, random_state=0)) == 200
    # What is evaluated later is the problem that was trained, and nothing warns again.
    parts = model.evaluate()
    assert_allclose(parts.objective, model.objective_)
    # Cut is a document none of whose tokens ended it.
    goes_on = 1 - np.exp(model.token_log_prob_[problem.eos])
    assert_allclose(parts.missing_eos_rate, goes_on**200, rtol=1e-9)
    assert all(np.isfinite(value) for record in model.history_ for value in record.values())
    chosen = fitted(problem, kl_coef=kl_coef, max_length=30)
    assert chosen.expected_length_ <= 30


@pytest.mark.parametrize("credit", ["token", "sequence"])
def test_training_is_stable_just_above_the_smallest_safe_kl_coef(credit):
    problem = eos_problem(shift=0.3)
    safe = smallest_safe_kl_coef(problem.reference, problem.weights, problem.eos)
    model = fitted(problem, kl_coef=1.01 * safe, credit=credit)
    objective = EosObjective(problem.reference, problem.weights, problem.eos, kl_coef=1.01 * safe)
    longest = objective.expected_length(objective.optimum())
    assert longest > 500
    assert share_of_optimum(objective, model, problem.reference) >= 0.999
    lengths = np.array([record["objective/length"] for record in model.history_])
    assert lengths.max() < 1.2 * longest
    assert np.all(np.diff(lengths) > -0.1 * lengths[1:])


# Rewards and rules that do not add over tokens


def test_a_reward_that_does_not_add_over_tokens():
    problem = eos_problem()
    seen = []

    def distinct(texts):
        seen.extend(texts)
        return [1.5 * len(set(text.split())) ** 0.5 - 0.2 * len(text.split()) for text in texts]

    model = fitted(problem, distinct, kl_coef=0.5, tol=0.02)
    assert not any("<eos>" in text for text in seen)
    assert model.optimal_log_prob_ is None
    drawn = model.sample(N, random_state=0)
    rewards = np.array(distinct(drawn))
    assert abs(rewards.mean() - model.expected_reward_) < 4 * rewards.std() / np.sqrt(4096) * 1.3
    value = rewards.mean() - 0.5 * model.kl_
    start = np.mean(distinct(problem.policy.sample(N, random_state=0)))
    assert value > start + 0.05
    # No policy near it is better by more than the certificate says.
    rng = np.random.default_rng(0)
    for _ in range(5):
        other = model.token_log_prob_ + 0.3 * rng.standard_normal(len(model.token_log_prob_))
        other -= np.log(np.exp(other).sum())
        better = model.evaluate(other, n_samples=N).objective - value
        assert better < model.optimality_gap_ + 3 * model.optimality_gap_se_ + 0.05


def test_a_reward_that_does_not_add_and_pays_for_length_is_cut_and_named():
    def longer(texts):
        return [0.5 * len(text.split()) + 0.01 * (len(text) % 4 > 0) for text in texts]

    with pytest.warns(LengthExplosionWarning, match=r"documents of the optim.*cut at 200 tokens"):
        model = fitted(eos_problem(), longer)
    assert 150 < model.expected_length_ <= 200
    assert model.history_[0]["objective/length"] < 10


def test_additive_rules_and_their_rates():
    problem = eos_problem()
    rules = [
        BannedTokens(["w1"], penalty=1.0),
        TokenBudget(["w2", "w3"], budget=1, penalty=0.5),
        BannedTokens(["w4"], hard=True, name="ban"),
    ]
    for settings in ({}, {"max_length": 6}):
        model = fitted(problem, rules=rules, tol=1e-2, **settings)
        texts = model.sample(N, random_state=0)
        counts = model.vectorizer_.transform(texts)
        column = {name: counts[:, [i]].toarray().ravel()
                  for name, i in model.vectorizer_.vocabulary_.items()}  # fmt: skip
        rate = (column["w1"] > 0).mean()
        error = 4 * 0.5 / np.sqrt(N)
        assert abs(model.rule_rates_["banned_tokens"] - rate) < error
        over = (column["w2"] + column["w3"] > 1).mean()
        assert abs(model.rule_rates_["token_budget"] - over) < 4 * 0.5 / np.sqrt(4096)
        assert model.rule_rates_["ban"] == column["w4"].sum() == 0
        excess = np.maximum(column["w2"] + column["w3"] - 1, 0)
        penalty = (column["w1"] + 0.5 * excess).mean()
        assert abs(model.penalty_ - penalty) < 0.05


@pytest.mark.parametrize("max_length", [None, 6])
def test_chance_constraints_of_documents_that_end(max_length):
    problem = eos_problem()
    problem.weights[problem.policy.vectorizer_.vocabulary_["w1"]] = 1.0
    problem.reward = FrozenEstimator(linear_reward(problem.weights))
    rules = [BannedTokens(["w1"], max_rate=0.1)]
    if max_length is None:
        rules.append(BannedTokens(["w1", "w2"], max_rate=0.3, name="wide"))
    model = fitted(problem, rules=rules, kl_coef=2.0, max_length=max_length)
    best = model.optimal_log_prob_
    p, stop = np.exp(best[model.vectorizer_.vocabulary_["w1"]]), np.exp(best[problem.eos])
    rate = p / (p + stop)
    if max_length is not None:
        rate *= 1 - (1 - p - stop) ** max_length
    assert 0.1 * (1 - 1e-6) < rate <= 0.1
    assert max_length is not None or model.evaluate(best).rule_rates["wide"] <= 0.3
    assert model.rule_prices_["banned_tokens"] > 0
    texts = model.sample(N, random_state=0)
    drawn = np.mean(["w1" in text.split() for text in texts])
    assert abs(drawn - model.rule_rates_["banned_tokens"]) < 4 * 0.3 / np.sqrt(N)


@pytest.mark.parametrize("kl_coef", [0.05, 1e-4])
def test_a_chance_constraint_outbids_a_reward_many_times_kl_coef(kl_coef):
    problem = eos_problem()
    problem.weights[problem.policy.vectorizer_.vocabulary_["w1"]] = 3.0
    model = ExactPolicyOptimizer(
        FrozenEstimator(problem.policy),
        FrozenEstimator(linear_reward(problem.weights)),
        kl_coef=kl_coef,
        max_length=12,
        rules=BannedTokens(["w1"], max_rate=0.1),
    ).fit(problem.texts)
    assert model.rule_prices_["banned_tokens"] > 2.5 / kl_coef
    assert 0.1 * (1 - 1e-3) < model.rule_rates_["banned_tokens"] <= 0.1


def test_a_chance_constraint_can_keep_length_from_exploding():
    problem = eos_problem(shift=-0.05)
    column = problem.policy.vectorizer_.vocabulary_["w1"]
    problem.weights[column] = 8.0
    problem.reward = FrozenEstimator(linear_reward(problem.weights))
    assert smallest_safe_kl_coef(problem.reference, problem.weights, problem.eos) > 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = fitted(problem, rules=BannedTokens(["w1"], max_rate=0.2))
    best = model.evaluate(model.optimal_log_prob_)
    assert_allclose(best.rule_rates["banned_tokens"], 0.2, rtol=1e-6)
    with pytest.warns(LengthExplosionWarning, match="Set kl_coef above"):
        fitted(problem)


# Controls


def test_adaptive_controller_with_end_of_sequence():
    controller = AdaptiveKLController(target=0.5, horizon=1000)
    model = fitted(eos_problem(), kl_controller=controller, tol=0, max_iter=150)
    assert_allclose(model.kl_, 0.5, rtol=1e-3)
    assert model.optimality_gap_ < 1e-6


def test_normalized_rewards_with_end_of_sequence():
    problem = eos_problem()
    model = fitted(problem, normalize_reward=True)
    rewards = problem.policy.vectorizer_.transform(problem.policy.sample(N, random_state=0))
    rewards = rewards @ problem.weights
    error = 4 * rewards.std() * (1 / np.sqrt(N) + 1 / np.sqrt(4096))
    assert abs(model.reward_mean_ - rewards.mean()) < error
    assert abs(model.reward_scale_ / rewards.std() - 1) < 0.2
    objective = EosObjective(
        problem.reference, problem.weights, problem.eos, reward_coef=1 / model.reward_scale_
    )
    assert share_of_optimum(objective, model, problem.reference) >= 0.999
    value = objective.value(model.token_log_prob_) - model.reward_mean_ / model.reward_scale_
    assert_allclose(model.objective_, value)


def test_k_and_k_iterations_are_2k_with_end_of_sequence():
    problem, settings = eos_problem(), {"tol": 0, "max_length": 9, "missing_eos_penalty": 1.0}
    whole = fitted(problem, max_iter=60, **settings)
    parts = fitted(problem, max_iter=30, warm_start=True, **settings).fit(problem.texts)
    assert_array_equal(parts.token_log_prob_, whole.token_log_prob_)
    assert parts.history_ == whole.history_


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"response_length": 5}, r"response_length=5, but the vocabulary has an end-of-sequence"),
        ({"missing_eos_penalty": 1.0}, r"needs max_length for a missing_eos_penalty"),
        ({"rules": BannedTokens(["<eos>"], hard=True)}, r"reference that can produce eos"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        fitted(eos_problem(), **settings)


def test_lengths_of_endings_need_an_end_of_sequence():
    model = PPOPolicyOptimizer(max_length=5, missing_eos_penalty=1.0)
    with pytest.raises(ValueError, match=r"max_length=5 and missing_eos_penalty=1.0, but the voc"):
        model.fit(["a b", "b"], [0.0, 1.0])


@pytest.mark.parametrize("n_words", [12, 300])
def test_auto_settings_count_the_tokens_of_an_expected_document(n_words):
    problem = eos_problem(n_words=n_words)
    start = EosObjective(problem.reference, problem.weights, problem.eos)
    length = start.expected_length(problem.reference)
    n_rollouts = max(256, int(np.ceil(10 * len(problem.reference) / length)))
    given = {"target_kl": length / 40, "n_rollouts": n_rollouts, "tol": 1e-3}
    assert given["target_kl"] < 0.5
    auto, explicit = fitted(problem), fitted(problem, **given)
    assert auto.history_[0]["episode"] == n_rollouts
    assert_array_equal(auto.token_log_prob_, explicit.token_log_prob_)
