"""Policies that see the last token, against the textbook and all documents."""

import numpy as np
import pytest
import scipy.sparse as sp
from assertions import assert_frequencies_agree
from bigram_problems import (
    KINDS,
    Documents,
    contexts_of,
    problem_of,
    random_problem,
    random_tilt,
    rows_of,
    tilted,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.special import logsumexp

from sklearn_codex._categorical import safe_log
from sklearn_codex.exact import AdditiveObjective, EosObjective, arc_reward, bigram_model

SEEDS = st.integers(0, 2**32 - 1)
proved = settings(deadline=None, max_examples=30, derandomize=True)
kinds = pytest.mark.parametrize("kind", KINDS)
QUANTITIES = ("value", "kl", "expected_reward", "gap")


def myopic(problem):
    """The policy that looks one token ahead."""
    reward = problem.token_reward[: problem.trie.n_tokens]
    return tilted(problem, reward / problem.kl_coef)


def share_of_optimum(problem, log_prob):
    return 1.0 - problem.gap(log_prob) / problem.gap(problem.start)


def soft_value_iteration(problem):
    """The textbook recursion over all pairs of states and tokens, in logarithms."""
    rows, first = map(safe_log, rows_of(problem, problem.reference_log_prob))
    reward = problem.token_reward[: len(first)]
    to_come, policies = np.zeros(len(first)), []
    for _ in range(problem.max_length):
        log_tilt = reward / problem.kl_coef + to_come
        to_come = logsumexp(rows + log_tilt, axis=1)
        policies.append(np.exp(rows + log_tilt - to_come[:, np.newaxis]))
    return policies[::-1], problem.kl_coef * logsumexp(first + log_tilt)


@kinds
@pytest.mark.parametrize("seed", range(3))
def test_optimum_is_the_best_of_all_distributions_over_documents(kind, seed):
    problem = random_problem(kind, seed)
    documents = Documents(problem)
    prob, value = documents.optimum()
    best = problem.time_dependent_optimum()
    assert_allclose(problem.optimal_value(), value, rtol=0, atol=1e-10)
    assert_allclose(best.value, value, rtol=0, atol=1e-10)
    assert_allclose(problem.value(best.log_prob), value, rtol=0, atol=1e-10)
    marginals = documents.marginals(prob)
    assert_allclose(problem.marginals(best.log_prob), marginals, rtol=0, atol=1e-10)
    for position in (1, 2):
        with np.errstate(invalid="ignore"):
            expected = documents.conditional(prob, position)
        reached = np.isfinite(expected).all(axis=1)
        assert reached.any()
        policy, _ = rows_of(problem, best.log_prob[position])
        assert_allclose(policy[reached], expected[reached], rtol=0, atol=1e-10)


@kinds
@given(seed=SEEDS, spread=st.sampled_from([0.01, 1.0, 5.0]))
@settings(proved, max_examples=10)
def test_a_policy_is_worth_the_sum_over_all_documents(kind, seed, spread):
    problem = random_problem(kind, seed)
    documents, log_tilt = Documents(problem), random_tilt(problem, seed, spread)
    prob, policy = documents.under(log_tilt), tilted(problem, log_tilt)
    best, best_value = documents.optimum()
    kl, reward = documents.kl(prob), prob @ documents.reward
    value = reward - problem.kl_coef * kl
    assert_allclose(prob.sum(), 1.0, rtol=1e-12)
    assert_allclose(problem.expected_reward(policy), reward, rtol=0, atol=1e-10)
    assert_allclose(problem.kl(policy), kl, rtol=0, atol=1e-10)
    assert_allclose(problem.value(policy), value, rtol=0, atol=1e-10)
    assert_allclose(problem.marginals(policy), documents.marginals(prob), rtol=0, atol=1e-10)
    assert_allclose(problem.gap(policy), best_value - value, rtol=0, atol=1e-10)
    assert_allclose(problem.gap(policy), problem.kl_coef * documents.kl(prob, best), atol=1e-10)


@pytest.mark.parametrize("kind", ["sparse", "backoff"])
@pytest.mark.parametrize("seed", range(3))
def test_a_sparse_reference_is_its_dense_one(kind, seed):
    problem = random_problem(kind, seed, n_columns=30, length=12)
    rows, first = rows_of(problem, problem.reference_log_prob)
    reward = problem.token_reward[:30]
    dense = problem_of(bigram_model(rows, first), reward, 12, kl_coef=problem.kl_coef)
    assert dense.trie.n_arcs == 30 + (rows > 0).sum() + 30 > problem.trie.n_arcs - 1
    assert_allclose(problem.optimal_value(), dense.optimal_value(), rtol=1e-12)
    log_tilt = random_tilt(problem, seed)
    policies = [tilted(p, log_tilt) for p in (problem, dense)]
    for quantity in (*QUANTITIES, "marginals"):
        own, other = (
            getattr(p, quantity)(policy)
            for p, policy in zip((problem, dense), policies, strict=True)
        )
        assert_allclose(own, other, rtol=1e-12, atol=1e-12, err_msg=quantity)
    values = [
        p.state_values(policy)[1:, contexts_of(p)]
        for p, policy in zip((problem, dense), policies, strict=True)
    ]
    assert_allclose(*values, rtol=1e-12, atol=1e-12)
    rows = [rows_of(p, p.infinite_horizon_optimum())[0] for p in (problem, dense)]
    assert_allclose(*rows, rtol=0, atol=1e-10)


@kinds
@given(seed=SEEDS, spread=st.sampled_from([1e-4, 0.1, 1.0, 8.0]))
@settings(proved, max_examples=15)
def test_no_policy_beats_the_optimum(kind, seed, spread):
    problem = random_problem(kind, seed, n_columns=6, length=5)
    best, far = problem.time_dependent_optimum().log_prob, random_tilt(problem, seed, spread)
    moves = [arc_reward(problem.trie, row) for row in far]
    near = np.array(list(map(problem.moved, best, moves)))
    for policy in (near, tilted(problem, far), tilted(problem, far[0]), myopic(problem)):
        gap = problem.gap(policy)
        assert gap >= 0
        difference = problem.optimal_value() - problem.value(policy)
        assert_allclose(gap, difference, rtol=1e-8, atol=1e-11)
    assert problem.gap(best) <= 1e-28


@pytest.mark.parametrize("seed", range(20))
def test_what_is_never_drawn_makes_no_gap_not_even_a_negative_one(seed):
    problem = random_problem("dense", seed, n_columns=6, length=5)
    rows, first = rows_of(problem, problem.reference_log_prob)
    padded = np.pad(rows, (0, 1))
    padded[-1, 0] = 1.0
    reward = np.append(problem.token_reward[:6], 7.0)
    model = bigram_model(padded, np.append(first, 0.0))
    wider = problem_of(model, reward, 5, kl_coef=problem.kl_coef)
    move = arc_reward(wider.trie, np.append(np.zeros(6), 50.0))
    best = wider.time_dependent_optimum().log_prob
    moved = np.array([wider.moved(row, move) for row in best])
    assert 0 <= wider.gap(moved) < 1e-13
    assert_allclose(wider.optimal_value(), problem.optimal_value(), rtol=1e-13)


@kinds
def test_a_constant_of_a_position_changes_nothing(kind):
    problem = random_problem(kind, 3)
    log_tilt = random_tilt(problem, 3)
    moved = log_tilt + np.array([[5.0], [-300.0], [2000.0]])
    for quantity in QUANTITIES:
        actual, desired = (
            getattr(problem, quantity)(tilted(problem, tilt)) for tilt in (moved, log_tilt)
        )
        assert_allclose(actual, desired, rtol=1e-10, err_msg=quantity)


@kinds
@pytest.mark.parametrize("kl_coef", [1.0, 1e-2, 1e-4])
def test_optimum_is_that_of_soft_value_iteration_also_where_weights_underflow(kind, kl_coef):
    problem = random_problem(kind, 7, n_columns=12, length=8, kl_coef=kl_coef)
    policies, value = soft_value_iteration(problem)
    best = problem.time_dependent_optimum().log_prob
    for position in range(1, 8):
        policy, _ = rows_of(problem, best[position])
        assert_allclose(policy, policies[position], rtol=1e-8, atol=1e-11 / kl_coef**0.5)
    assert_allclose(problem.optimal_value(), value, rtol=1e-12)
    assert_allclose(problem.value(best), value, rtol=1e-10)
    assert problem.gap(best) <= 1e-12 * problem.gap(problem.start)
    assert_allclose(problem.marginals(best).sum(axis=1), 1.0, rtol=1e-12)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_with_equal_rows_it_is_the_additive_objective(sparse, seed):
    rng = np.random.default_rng(seed)
    unigram, reward = rng.dirichlet(np.ones(7)), rng.standard_normal(7)
    model = bigram_model(np.tile(unigram, (7, 1)), unigram)
    if sparse:
        model = bigram_model(sp.csr_array((7, 7)), unigram, backoff=np.ones(7), unigram=unigram)
        assert model.trie.n_contexts == 2
    problem = problem_of(model, reward, 9, kl_coef=0.7)
    additive = AdditiveObjective(np.log(unigram), reward, length=9, kl_coef=0.7)
    best = additive.optimum()
    assert_allclose(problem.optimal_value(), additive.value(best), rtol=0, atol=1e-10)
    for policy in (
        *problem.time_dependent_optimum().log_prob,
        problem.infinite_horizon_optimum(),
        myopic(problem),
    ):
        rows, first = rows_of(problem, policy)
        assert_allclose(rows, np.tile(np.exp(best), (7, 1)), rtol=0, atol=1e-10)
        assert_allclose(first, np.exp(best), rtol=0, atol=1e-10)
    assert_allclose(problem.gap(problem.infinite_horizon_optimum()), 0.0, atol=1e-12)
    policy = tilted(problem, rng.standard_normal(7))
    own = np.log(rows_of(problem, policy)[1])
    for quantity in QUANTITIES:
        expected = getattr(additive, quantity)(own)
        assert_allclose(getattr(problem, quantity)(policy), expected, rtol=0, atol=1e-10)


def test_documents_that_end_are_documents_with_an_absorbing_token_or_an_end():
    rng = np.random.default_rng(0)
    unigram, eos = rng.dirichlet(np.ones(6)), 2
    reward = rng.standard_normal(6)
    reward[eos] = 0.0
    rows = np.tile(unigram, (6, 1))
    rows[eos] = np.eye(6)[eos]
    ending = EosObjective(np.log(unigram), reward, eos, kl_coef=0.8, max_length=15)
    best = ending.time_dependent_optimum()
    tilt = rng.standard_normal(6)
    for end in (None, eos):
        problem = problem_of(bigram_model(rows, unigram, eos=end), reward, 15, kl_coef=0.8)
        assert_allclose(problem.optimal_value(), best.value, rtol=1e-12)
        found = problem.time_dependent_optimum().log_prob
        for position in (1, 7, 14):
            policy, _ = rows_of(problem, found[position])
            assert_allclose(policy[0], np.exp(best.log_prob[position]), rtol=0, atol=1e-10)
        # A policy that does not look at the position is one tilt, its value the other class's.
        policy = tilted(problem, tilt)
        own = np.log(rows_of(problem, policy)[0][0])
        for quantity in ("value", "kl", "expected_reward"):
            expected = getattr(ending, quantity)(own)
            assert_allclose(getattr(problem, quantity)(policy), expected, rtol=1e-11)


@kinds
@pytest.mark.parametrize("seed", range(3))
def test_the_long_run_is_tilted_by_the_perron_vector(kind, seed):
    problem = random_problem(kind, seed, n_columns=9, length=400)
    rows, _ = rows_of(problem, problem.reference_log_prob)
    weights = rows * np.exp(problem.token_reward[:9] / problem.kl_coef)
    eigenvalues, vectors = np.linalg.eig(weights)
    largest = np.argmax(eigenvalues.real)
    expected = weights * np.abs(vectors[:, largest].real)
    expected /= expected.sum(axis=1, keepdims=True)
    policy, _ = rows_of(problem, problem.infinite_horizon_optimum())
    assert_allclose(policy, expected, rtol=0, atol=1e-9)
    # Far from the end the optimum does not change any more, and each token brings b log(lambda).
    best = problem.time_dependent_optimum().log_prob
    assert_allclose(rows_of(problem, best[1])[0], expected, rtol=0, atol=1e-8)
    growth = problem.having(max_length=401).optimal_value() - problem.optimal_value()
    assert_allclose(growth, problem.kl_coef * np.log(eigenvalues[largest].real), atol=1e-10)


def test_the_long_run_of_a_cycle():
    model = bigram_model(np.roll(np.eye(3), 1, axis=1), [1.0, 0.0, 0.0])
    problem = problem_of(model, [1.0, 2.0, 4.0], 3)
    rows, _ = rows_of(problem, problem.infinite_horizon_optimum())
    assert_allclose(rows, np.roll(np.eye(3), 1, axis=1), atol=1e-12)
    assert_allclose(problem.spectral_radius(), np.exp(7 / 3), rtol=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_a_policy_without_time_loses_less_on_long_documents_one_without_foresight_does_not(seed):
    stationary, shortsighted = [], []
    for length in (5, 20, 100):
        rng = np.random.default_rng(seed)
        rows = rng.dirichlet(np.full(50, 0.1), size=50)
        model = bigram_model(0.8 * rows + 0.2 / 50, np.full(50, 1 / 50))
        problem = problem_of(model, rng.standard_normal(50), length)
        stationary.append(share_of_optimum(problem, problem.infinite_horizon_optimum()))
        shortsighted.append(share_of_optimum(problem, myopic(problem)))
    assert 0.9 < stationary[0] < stationary[1] < stationary[2] < 1.0
    assert stationary[2] > 0.99
    assert all(0 < low < high for low, high in zip(shortsighted, stationary, strict=True))
    assert 0.5 < shortsighted[2] < shortsighted[0] < 1.0


@kinds
@pytest.mark.parametrize("seed", range(2))
def test_the_best_policy_without_time_is_between_the_optimum_and_the_long_run(kind, seed):
    problem = random_problem(kind, seed, n_columns=6, length=8, kl_coef=0.5)
    gaps = [problem.gap(p) for p in (problem.optimum(), problem.infinite_horizon_optimum())]
    assert 1e-6 < gaps[0] <= gaps[1]
    assert np.abs(problem.gradient(problem.optimum())).max() < 1e-5


@kinds
def test_samples_have_the_probabilities_of_the_policy(kind):
    problem = random_problem(kind, 8, n_columns=3, length=3)
    documents, log_tilt = Documents(problem), random_tilt(problem, 8)
    drawn = problem.sample(tilted(problem, log_tilt), 40_000, np.random.RandomState(0))
    assert set(drawn.lengths) == {3}
    observed = np.bincount(drawn.tokens.reshape(-1, 3) @ [9, 3, 1], minlength=27)
    assert_frequencies_agree(observed, documents.under(log_tilt))


@pytest.mark.parametrize("kind", ["zeros", "sparse", "backoff"])
def test_samples_keep_to_the_reference_where_weights_underflow(kind):
    problem = random_problem(kind, 9, n_columns=8, length=4, kl_coef=1e-3)
    rows, _ = rows_of(problem, problem.reference_log_prob)
    best = problem.time_dependent_optimum().log_prob
    drawn = problem.sample(best, 5000, np.random.RandomState(0)).tokens.reshape(-1, 4)
    marginals = problem.marginals(best)
    for position in range(1, 4):
        assert (rows[drawn[:, position - 1], drawn[:, position]] > 0).all()
        observed = np.bincount(drawn[:, position], minlength=8) / 5000
        assert_allclose(observed, marginals[position], rtol=0, atol=0.05)
