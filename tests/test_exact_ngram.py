"""The exact optimum over n-gram policies, against enumeration and the other exact objectives."""

import pickle

import eos_problems
import numpy as np
import pytest
from ngram_problems import (
    Documents,
    dense_matrix,
    dense_rows,
    random_model,
    random_policy,
    random_problem,
    random_trie,
    random_values,
    safe_problem,
)
from scipy.optimize import minimize

from sklearn_codex._ngrams.trie import Trie
from sklearn_codex.exact import (
    AdditiveObjective,
    NGramObjective,
    _ngram_ascent,
    arc_reward,
    constrained_optimum,
    smallest_safe_kl_coef,
)
from sklearn_codex.exact._ngram_ascent import gradient

SEEDS = range(12)
LENGTHS = [1, 2, 5]


def rows_of(problem, log_prob):
    """Probabilities (C, V) of the next token after each context."""
    return np.exp(dense_rows(problem.trie, log_prob)[0])


# Against enumeration of all documents


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("seed", SEEDS)
def test_numbers_of_a_policy_are_those_of_all_its_documents(seed, length):
    entropy_coef = 0.2 * (seed % 2)
    problem = random_problem(
        seed, max_length=length, missing_eos_penalty=1.5, entropy_coef=entropy_coef
    )
    documents, rng = Documents(problem.trie, length), np.random.default_rng(seed)
    for policy in (problem.start, random_policy(problem, seed, 2.0)):
        log_prob = documents.log_prob(policy)
        prob = np.exp(log_prob)
        assert prob.sum() == pytest.approx(1.0, abs=1e-12)
        np.testing.assert_allclose(problem.occurrences(policy), prob @ documents.events, atol=1e-12)
        assert problem.value(policy) == pytest.approx(documents.value(problem, policy), abs=1e-12)
        reference = documents.log_prob(problem.reference_log_prob)
        assert problem.kl(policy) == pytest.approx(prob @ (log_prob - reference), abs=1e-12)
        assert problem.entropy(policy) == pytest.approx(-prob @ log_prob, abs=1e-12)
        assert problem.expected_length(policy) == pytest.approx(prob @ documents.lengths, abs=1e-12)
        assert problem.missing_eos_rate(policy) == pytest.approx(
            prob[documents.n_ended :].sum(), abs=1e-12
        )
        values = rng.normal(size=problem.trie.n_events)
        expected = prob @ documents.sums(values)
        assert problem.expected_sum(policy, values) == pytest.approx(expected, abs=1e-12)
        marked = np.zeros(problem.trie.n_events)
        marked[: problem.trie.n_arcs] = rng.random(problem.trie.n_arcs) < 0.3
        counted = marked.copy()
        if marked[problem.trie.eos]:  # else marks of arcs that end a document say how it ends
            counted[: problem.trie.n_arcs][problem.trie.next < 0] = 0.0
        hit = documents.events @ counted > 0
        assert problem.rate_of_any(policy, marked) == pytest.approx(prob @ hit, abs=1e-12)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("seed", SEEDS)
def test_optimum_by_position_is_the_tilt_of_all_documents(seed, length, order):
    problem = random_problem(
        seed,
        order=order,
        max_length=length,
        missing_eos_penalty=float(seed % 3),
        entropy_coef=0.3 * (seed % 2),
    )
    documents = Documents(problem.trie, length)
    best, by_position = documents.best_value(problem), problem.time_dependent_optimum()
    assert problem.optimal_value() == pytest.approx(best, abs=1e-12)
    assert by_position.value == pytest.approx(best, abs=1e-12)
    for log_prob in by_position.log_prob:
        rows = rows_of(problem, log_prob)
        np.testing.assert_allclose(rows.sum(axis=1), 1.0, atol=1e-12)
    policy = random_policy(problem, seed)
    if order > 1:  # J* is that of policies that look at the position
        gap = best - documents.value(problem, policy)
        assert problem.gap(policy) == pytest.approx(gap, abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_without_an_end_documents_have_the_maximal_length(seed):
    problem = random_problem(seed, eos=None, n_tokens=3, max_length=5, scale=1.0)
    documents = Documents(problem.trie, 5)
    policy = random_policy(problem, seed)
    assert problem.value(policy) == pytest.approx(documents.value(problem, policy), abs=1e-12)
    assert problem.optimal_value() == pytest.approx(documents.best_value(problem), abs=1e-12)
    assert problem.expected_length(policy) == pytest.approx(5.0, abs=1e-12)
    assert not problem.length_explodes


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("seed", SEEDS)
def test_optimum_without_a_maximal_length_solves_the_dense_equation(seed, order):
    problem = safe_problem(seed, order=order, entropy_coef=0.0 if seed % 2 else 0.05)
    steps, ends = dense_matrix(problem.trie, problem.exponent)
    worth = np.linalg.solve(np.eye(len(steps)) - steps, ends)
    optimum = problem.optimum()
    table, following = dense_rows(problem.trie, problem.exponent)
    best = np.exp(table) * np.append(worth, 1.0)[following] / worth[:, np.newaxis]
    np.testing.assert_allclose(rows_of(problem, optimum), best, atol=1e-12)
    np.testing.assert_allclose(rows_of(problem, optimum).sum(axis=1), 1.0, atol=1e-12)
    value = problem.temperature * np.log(worth[problem.trie.first_context])
    assert problem.optimal_value() == pytest.approx(value, abs=1e-11)
    assert problem.value(optimum) == pytest.approx(value, abs=1e-11)
    assert problem.gap(optimum) == pytest.approx(0.0, abs=1e-14)


@pytest.mark.parametrize("seed", SEEDS)
def test_gap_is_the_difference_of_values(seed):
    problem = safe_problem(seed)
    for policy in (problem.start, random_policy(problem, seed), random_policy(problem, seed, 3.0)):
        gap = problem.optimal_value() - problem.value(policy)
        assert gap > 0
        assert problem.gap(policy) == pytest.approx(gap, rel=1e-9, abs=1e-11)


@pytest.mark.parametrize("seed", SEEDS)
def test_gap_has_its_digits_near_the_optimum(seed):
    problem = safe_problem(seed)
    optimum = problem.optimum()
    change = random_values(problem.trie, seed)
    near, nearer = (problem.gap(problem.moved(optimum, size * change)) for size in (1e-4, 1e-6))
    assert nearer / near == pytest.approx(1e-4, rel=1e-2)


# Gradients, values and moves


@pytest.mark.parametrize("max_length", [None, 4])
@pytest.mark.parametrize("seed", SEEDS)
def test_gradient_by_finite_differences(seed, max_length):
    problem = safe_problem(seed).having(
        max_length=max_length, missing_eos_penalty=1.0 if max_length else 0.0
    )
    policy, step = random_policy(problem, seed), 1e-6
    gradient = problem.gradient(policy)
    size = max(1.0, np.abs(gradient).max())
    n_weights = problem.trie.n_arcs + problem.trie.n_contexts - 1
    assert not gradient[n_weights:].any()
    for event in np.random.default_rng(seed).choice(n_weights, 12, replace=False):
        change = np.zeros(problem.trie.n_events)
        change[event] = step
        ends = [problem.value(problem.moved(policy, sign * change)) for sign in (1.0, -1.0)]
        assert gradient[event] == pytest.approx((ends[0] - ends[1]) / (2 * step), abs=1e-6 * size)


@pytest.mark.parametrize("seed", SEEDS)
def test_at_the_optimum_nothing_is_left_to_learn(seed):
    problem = safe_problem(seed)
    optimum = problem.optimum()
    assert np.abs(problem.gradient(optimum)).max() < 1e-11 * problem.expected_length(optimum)
    np.testing.assert_allclose(
        problem.values(optimum)[problem.trie.first_context], problem.optimal_value(), atol=1e-10
    )
    rollouts = problem.sample(optimum, 50, np.random.RandomState(seed))
    scores = problem.token_scores(optimum)
    np.testing.assert_allclose(
        rollouts.sum_over_tokens(scores), problem.optimal_value(), atol=1e-10
    )
    advantages = problem.token_advantages(optimum, rollouts, scores, 0.0)
    np.testing.assert_allclose(advantages, 0.0, atol=1e-10)


@pytest.mark.parametrize("seed", range(4))
def test_moved_changes_the_logits_of_the_events_used(seed):
    problem = random_problem(seed)
    policy, change = random_policy(problem, seed), random_values(problem.trie, seed)
    weights = np.exp(dense_rows(problem.trie, policy)[0] + dense_rows(problem.trie, change)[0])
    moved = rows_of(problem, problem.moved(policy, change))
    np.testing.assert_allclose(moved, weights / weights.sum(axis=1, keepdims=True), atol=1e-13)


@pytest.mark.parametrize("seed", range(4))
def test_events_after_contexts_are_those_of_their_rows(seed):
    problem = random_problem(seed)
    policy, trie = random_policy(problem, seed), problem.trie
    weight = np.random.default_rng(seed).normal(size=trie.n_contexts)
    expected = np.empty(trie.n_events)
    for event in range(trie.n_events):
        used = np.zeros(trie.n_events)
        used[event] = 1.0
        often = dense_rows(trie, used)[0]
        expected[event] = weight @ (rows_of(problem, policy) * often).sum(axis=1)
    expected[trie.n_arcs + trie.n_contexts - 1 :] = 0.0
    np.testing.assert_allclose(problem.events_after(policy, weight), expected, atol=1e-13)


@pytest.mark.parametrize("seed", range(6))
def test_natural_steps_lead_to_the_optimum(seed):
    problem = safe_problem(seed, factor=2.0)
    policy = problem.start
    for _ in range(200):
        used = np.maximum(problem.occurrences(policy), 1e-12)
        step = problem.gradient(policy) / (problem.temperature * used)
        policy = problem.moved(policy, 0.5 * step)
    assert problem.gap(policy) < 1e-5 * problem.gap(problem.start)


@pytest.mark.parametrize("seed", range(6))
def test_one_policy_for_all_positions_is_a_local_maximum(seed):
    problem = random_problem(seed, max_length=5, missing_eos_penalty=1.0)
    policy = problem.optimum()
    assert problem.gap(policy) < 0.2 * problem.gap(problem.start)
    assert np.abs(problem.gradient(policy)).max() < 1e-4
    for k in range(20):
        change = 0.05 * random_values(problem.trie, seed + k)
        assert problem.value(problem.moved(policy, change)) < problem.value(policy) + 1e-9


@pytest.mark.parametrize("seed", range(4))
def test_one_policy_for_all_positions_is_the_one_another_method_finds(seed):
    problem = random_problem(seed, max_length=4, missing_eos_penalty=1.0, kl_coef=0.7)

    def loss(change):
        policy = problem.moved(problem.start, change)
        return -problem.value(policy), -problem.gradient(policy)

    no_change = np.zeros(problem.trie.n_events)
    other = minimize(loss, no_change, jac=True, method="BFGS", options={"gtol": 1e-9})
    assert problem.value(problem.optimum()) >= -other.fun - 1e-9
    assert -other.fun >= problem.value(problem.optimum()) - 1e-6


def test_few_gradients_find_one_policy_for_all_positions(monkeypatch):
    rng = np.random.default_rng(0)
    trie = random_trie(0, n_tokens=30, eos=29, n_documents=300, longest=12)
    reward = arc_reward(trie, 0.3 * rng.normal(size=trie.n_arcs))
    problem = NGramObjective.of_model(random_model(trie, 0, stop=2.0), reward, max_length=20)
    asked = []
    monkeypatch.setattr(
        _ngram_ascent, "gradient", lambda *given: asked.append(1) or gradient(*given)
    )
    policy = problem.optimum()
    assert len(asked) <= 25
    # To first order, what another step of its own would gain.
    used, slope = problem.occurrences(policy), problem.gradient(policy)
    left = (slope[used > 0] ** 2 / used[used > 0]).sum() / problem.temperature
    assert left <= 1e-8 * problem.gap(problem.start)


# Documents that are drawn


@pytest.mark.parametrize("seed", range(3))
def test_documents_drawn_are_those_expected(seed):
    problem = safe_problem(seed)
    policy, n = random_policy(problem, seed), 20_000
    rollouts = problem.sample(policy, n, np.random.RandomState(seed), names=np.array(list("abcd")))
    events = rollouts.events.toarray()
    expected = problem.occurrences(policy)
    error = np.sqrt(np.maximum(events.var(axis=0), expected) / n) + 1e-9
    assert np.abs((events.mean(axis=0) - expected) / error).max() < 5.0
    values = random_values(problem.trie, seed)
    values[-2:] = [1.0, -1.0]  # of ends
    np.testing.assert_allclose(rollouts.sum_over_tokens(values), events @ values, atol=1e-12)
    np.testing.assert_array_equal(rollouts.occurrences, events.sum(axis=0))
    assert (
        rollouts.texts[0] == " ".join("abcd"[t] for t in rollouts.tokens[: rollouts.starts[1]])[:-2]
    )
    of_arcs, others = (random_values(problem.trie, k, of_backoffs=False) for k in (1, 2))
    sums, other_sums = events @ of_arcs, events @ others
    mean, deviation = problem.moments(policy, of_arcs)
    assert sums.mean() == pytest.approx(mean, abs=5 * deviation / np.sqrt(n))
    assert sums.std() == pytest.approx(deviation, rel=0.05)
    covariance = problem.covariance(policy, of_arcs, others)
    spread = deviation * problem.moments(policy, others)[1]
    assert np.cov(sums, other_sums)[0, 1] == pytest.approx(covariance, abs=0.05 * spread)


@pytest.mark.parametrize("max_length", [None, 4])
@pytest.mark.parametrize("seed", range(3))
def test_advantages_of_documents_are_the_gradient(seed, max_length):
    """Each event drawn, less those expected after its context, times the advantage."""
    problem = safe_problem(seed).having(
        max_length=max_length, missing_eos_penalty=1.0 if max_length else 0.0
    )
    policy, rng = random_policy(problem, seed), np.random.RandomState(seed)
    scores, sampled = problem.token_scores(policy), []
    for _ in range(40):
        rollouts = problem.sample(policy, 1000, rng)
        advantages = problem.token_advantages(policy, rollouts, scores, 0.0)
        of_contexts = np.bincount(rollouts.contexts, advantages, problem.trie.n_contexts)
        drawn = rollouts.sum_of_events(advantages)
        sampled.append((drawn - problem.events_after(policy, of_contexts)) / 1000)
    gradient = problem.gradient(policy)
    error = np.std(sampled, axis=0) / np.sqrt(len(sampled)) + 1e-3 * np.abs(gradient).max()
    assert np.abs((np.mean(sampled, axis=0) - gradient) / error).max() < 5.0
    values = random_values(problem.trie, seed)
    np.testing.assert_allclose(values @ drawn, advantages @ rollouts.of_tokens(values))


def test_documents_are_cut_at_the_smaller_of_two_lengths():
    problem = random_problem(0, max_length=4)
    rollouts = problem.sample(problem.start, 200, np.random.RandomState(0), max_length=9)
    assert rollouts.lengths.max() == 4
    rollouts = problem.sample(problem.start, 200, np.random.RandomState(0), max_length=2)
    assert rollouts.lengths.max() == 2
    assert not rollouts.ended.all()


def test_documents_start_where_prompts_end():
    problem = safe_problem(2)
    initial = np.zeros(problem.trie.n_contexts)
    initial[[0, 2]] = [0.25, 0.75]
    continued = problem.having(initial=initial)
    worth = [
        problem.having(initial=np.eye(len(initial))[context]).optimal_value() for context in (0, 2)
    ]
    assert continued.optimal_value() == pytest.approx(0.25 * worth[0] + 0.75 * worth[1], abs=1e-12)
    np.testing.assert_allclose(continued.optimum(), problem.optimum(), atol=1e-12)
    policy = random_policy(problem, 2)
    gap = continued.optimal_value() - continued.value(policy)
    assert continued.gap(policy) == pytest.approx(gap, abs=1e-11)
    rollouts = continued.sample(policy, 4000, np.random.RandomState(0))
    share = np.mean(rollouts.contexts[rollouts.starts] == 2)
    assert share == pytest.approx(0.75, abs=0.05)


# Against the objectives of order 1, and of order 2


@pytest.mark.parametrize("max_length", [None, 3, 12])
@pytest.mark.parametrize("seed", SEEDS)
def test_order_one_is_the_objective_of_independent_tokens(seed, max_length):
    other = eos_problems.random_problem(seed, max_length=max_length, demonstrations=seed % 3 == 0)
    names = ("kl_coef", "reward_coef", "penalty", "sft_coef", "frequencies", "max_length")
    settings = {name: getattr(other, name) for name in (*names, "missing_eos_penalty")}
    trie = Trie.of_root(4, eos=eos_problems.EOS)
    problem = NGramObjective(other.reference_log_prob, other.token_reward, trie, **settings)
    policy = eos_problems.random_policy(other, seed)
    for name in (
        "value", "gap", "kl", "entropy", "sft_loss", "expected_length", "expected_reward",
        "expected_penalty", "missing_eos_rate",
    ):  # fmt: skip
        for log_prob in (policy, other.start):
            expected = getattr(other, name)(log_prob)
            assert getattr(problem, name)(log_prob) == pytest.approx(expected, rel=1e-10, abs=1e-11)
    np.testing.assert_allclose(np.exp(problem.optimum()), np.exp(other.optimum()), atol=1e-12)
    marked, values = np.array([0, 1, 1, 0.0]), np.array([1.0, 0, 0.5, -1])
    rate = other.rate_of_any(policy, marked)
    assert problem.rate_of_any(policy, marked) == pytest.approx(rate, abs=1e-12)
    covariance = other.covariance(policy, values, marked * [1, 0, 1, 1])
    assert problem.covariance(policy, values, marked * [1, 0, 1, 1]) == pytest.approx(
        covariance, rel=1e-10, nan_ok=True
    )
    assert problem.length_explodes == other.length_explodes
    safe = smallest_safe_kl_coef(
        other.reference_log_prob,
        other.token_reward,
        other.eos,
        reward_coef=other.reward_coef,
        penalty=other.penalty,
    )
    without = problem.having(max_length=None, missing_eos_penalty=0.0, sft_coef=0.0)
    assert without.smallest_safe_kl_coef() == pytest.approx(safe, rel=1e-9)
    if other.sft_coef == 0:
        np.testing.assert_allclose(problem.token_scores(policy), other.token_scores(policy))
        if max_length is None:
            np.testing.assert_allclose(problem.kl_coef_grid(), other.kl_coef_grid(), rtol=1e-9)
        else:
            expected, best = other.time_dependent_optimum(), problem.time_dependent_optimum()
            assert best.value == pytest.approx(expected.value, abs=1e-12)
            assert best.expected_length == pytest.approx(expected.expected_length, abs=1e-12)
            np.testing.assert_allclose(np.exp(best.log_prob), np.exp(expected.log_prob), atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_order_one_without_an_end_is_the_objective_of_fixed_length(seed):
    rng = np.random.default_rng(seed)
    reference, reward = np.log(rng.dirichlet(np.ones(5))), rng.normal(size=5)
    frequencies = rng.dirichlet(np.ones(5))
    settings = {"kl_coef": 0.7, "sft_coef": 0.4, "frequencies": frequencies, "entropy_coef": 0.1}
    other = AdditiveObjective(reference, reward, 6, **settings)
    problem = NGramObjective(reference, reward, Trie.of_root(5), max_length=6, **settings)
    np.testing.assert_allclose(problem.optimum(), other.optimum(), atol=1e-12)
    policy = np.log(rng.dirichlet(np.ones(5)))
    for name in ("value", "gap", "kl", "entropy", "sft_loss"):
        expected = getattr(other, name)(policy)
        assert getattr(problem, name)(policy) == pytest.approx(expected, abs=1e-12)


# Rewards, bans, budgets, demonstrations


def test_arc_reward_adds_the_rewards_of_suffixes():
    problem = random_problem(3)
    trie, reward = problem.trie, np.random.default_rng(0).normal(size=problem.trie.n_arcs)
    np.testing.assert_allclose(arc_reward(trie, reward), trie.cumulative @ reward, atol=1e-14)
    few = np.where(np.arange(trie.n_arcs) < 4, reward, 0.0)
    np.testing.assert_array_equal(arc_reward(trie, reward[:4]), arc_reward(trie, few))
    with pytest.raises(ValueError, match="at most one reward for each of"):
        arc_reward(trie, np.zeros(trie.n_arcs + 1))


@pytest.mark.parametrize("seed", range(20))
def test_bans_of_ngrams(seed):
    problem, rng = random_problem(seed), np.random.default_rng(seed)
    trie = problem.trie
    penalty = np.zeros(trie.n_events)
    longer = np.arange(trie.n_arcs) >= trie.n_tokens
    penalty[: trie.n_arcs][longer & (rng.random(trie.n_arcs) < 0.25)] = np.inf
    problem = problem.having(penalty=penalty)
    if problem.length_explodes:
        problem = problem.having(kl_coef=1.3 * problem.smallest_safe_kl_coef())
    optimum, alive = problem.optimum(), problem.kernel.can_end()
    steps, ends = dense_matrix(trie, problem.exponent)
    worth = np.linalg.solve(np.eye(len(steps)) - steps, ends)
    np.testing.assert_array_equal(alive, worth > 1e-14)
    np.testing.assert_allclose(rows_of(problem, optimum).sum(axis=1), 1.0, atol=1e-12)
    value = problem.temperature * np.log(worth[trie.first_context])
    assert problem.optimal_value() == pytest.approx(value, abs=1e-11)
    assert problem.value(optimum) == pytest.approx(value, abs=1e-10)
    assert problem.rate_of_any(optimum, np.isinf(penalty)) == 0.0
    length = 5
    cut, documents = problem.having(max_length=length), Documents(trie, length)
    policy = problem.moved(optimum, random_values(trie, seed))
    assert cut.optimal_value() == pytest.approx(documents.best_value(cut), abs=1e-12)
    gap = documents.best_value(cut) - documents.value(cut, policy)
    assert cut.gap(policy) == pytest.approx(gap, abs=1e-11)
    if problem.rate_of_any(problem.start, np.isinf(penalty)) > 0:
        assert problem.gap(problem.start) == np.inf
        assert problem.value(problem.start) == -np.inf


def test_start_leaves_out_what_the_reference_bans():
    problem = random_problem(1)
    reference, trie = problem.reference_log_prob.copy(), problem.trie
    reference[trie.n_tokens] = reference[1] = -np.inf
    problem = problem.having(reference_log_prob=reference, penalty=None)
    rows = rows_of(problem, reference)
    expected = rows / rows.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(rows_of(problem, problem.start), expected, atol=1e-13)
    documents = Documents(trie, 4)
    cut = problem.having(max_length=4)
    assert cut.value(problem.start) == pytest.approx(documents.value(cut, cut.start), abs=1e-12)
    assert cut.kl(cut.start) > 0


@pytest.mark.parametrize("seed", range(8))
def test_best_policy_within_a_budget_of_an_ngram(seed):
    problem = safe_problem(seed, penalty=None)
    cost = np.zeros(problem.trie.n_events)
    cost[problem.trie.n_tokens : problem.trie.n_tokens + 6] = 1.0
    cost[: problem.trie.n_arcs][problem.trie.next < 0] = 0.0
    free = problem.expected_sum(problem.optimum(), cost)
    result = constrained_optimum(problem, cost, 0.3 * free)
    assert result.costs[0] == pytest.approx(0.3 * free, rel=1e-9)
    # The price makes the constrained policy the best one of all: no policy has a greater J - price.
    price = result.multipliers[0]
    assert price > 0
    priced = problem.having(
        token_reward=problem.reward_coef * problem.token_reward - price * cost, reward_coef=1.0
    )
    assert priced.gap(result.log_prob) == pytest.approx(0.0, abs=1e-10)
    assert result.loss == pytest.approx(problem.gap(result.log_prob))
    banned = constrained_optimum(problem, cost, 0.0)
    assert banned.multipliers[0] == np.inf
    assert problem.rate_of_any(banned.log_prob, cost) == 0.0


def test_budget_of_tokens_bounds_length():
    problem = safe_problem(4)
    cost = np.zeros(problem.trie.n_events)
    cost[: problem.trie.n_arcs] = 1.0
    length = problem.expected_length(problem.optimum())
    result = constrained_optimum(problem, cost, 0.5 * (1.0 + length))
    assert problem.expected_length(result.log_prob) == pytest.approx(0.5 * (1.0 + length), rel=1e-8)
    with pytest.raises(ValueError, match="the smallest feasible expected cost of a document is 1"):
        constrained_optimum(problem, cost, 0.9)
    at_once = constrained_optimum(problem, cost, 1.0)
    assert problem.expected_length(at_once.log_prob) == pytest.approx(1.0)
    cost[problem.trie.start + problem.trie.n_arcs - 1] = 1.0
    cost[np.flatnonzero(problem.trie.arc_context == problem.trie.start)] = 2.0
    with pytest.raises(ValueError, match="cost no more than their end"):
        constrained_optimum(problem, cost, 3.0)


@pytest.mark.parametrize("seed", range(8))
def test_with_demonstrations_the_gap_is_a_bound(seed):
    problem = safe_problem(seed, penalty=None)
    demonstrations = problem.sample(random_policy(problem, seed), 30, np.random.RandomState(seed))
    frequencies = demonstrations.occurrences / len(demonstrations.tokens)
    problem = problem.having(sft_coef=0.5, frequencies=frequencies)
    with pytest.raises(ValueError, match="no exact optimum with demonstrations"):
        problem.optimum()
    # Whatever is found is no further from the best than the bound says.
    policies = [problem.start, problem.having(sft_coef=0.0).optimum()]
    policies += [random_policy(problem, k) for k in range(20)]
    policies.append(problem.moved(problem.start, 5.0 * frequencies))
    values = np.array([problem.value(policy) for policy in policies])
    for policy, value in zip(policies, values, strict=True):
        assert problem.gap(policy) >= values.max() - value - 1e-12


# The frontier


def test_frontier_and_kl_coef_of_a_kl():
    problem = safe_problem(5, penalty=None)
    frontier = problem.frontier()
    assert np.all(np.diff(frontier.kl) > 0)
    assert np.all(np.diff(frontier.expected_reward) > 0)
    # Its slope is kl_coef, in units of the reward.
    fine = problem.frontier(np.geomspace(2.0, 1.9, 3))
    slope = (fine.expected_reward[2] - fine.expected_reward[0]) / (fine.kl[2] - fine.kl[0])
    assert problem.reward_coef * slope == pytest.approx(fine.kl_coef[1], rel=1e-3)
    for target in (0.01, 0.4):
        found = problem.having(kl_coef=problem.kl_coef_for_kl(target))
        assert found.kl(found.optimum()) == pytest.approx(target, rel=1e-9)
    with pytest.raises(ValueError, match="target_kl should be above"):
        problem.kl_coef_for_kl(-1.0)


def test_policies_are_solved_once_and_pickled_without():
    problem = safe_problem(0)
    policy = random_policy(problem, 0)
    assert problem.flow(policy) is problem.having(kl_coef=3.0).flow(policy.copy())
    assert problem.having(max_length=3).flow(policy) is not problem.flow(policy)
    again = pickle.loads(pickle.dumps(problem))
    np.testing.assert_array_equal(again.optimum(), problem.optimum())
