import numpy as np
import pytest
import scipy.sparse as sp
from assertions import assert_frequencies_agree, assert_is_log_distribution
from bigram_problems import KINDS, Documents, random_problem, random_tilt, written_out
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize
from scipy.special import logsumexp
from sklearn.exceptions import ConvergenceWarning

from sklearn_codex._categorical import safe_log
from sklearn_codex.exact import AdditiveObjective, EosObjective
from sklearn_codex.sequential import BigramObjective, BigramReference
from sklearn_codex.sequential._kernel import Kernel

SEEDS = st.integers(0, 2**32 - 1)
proved = settings(deadline=None, max_examples=40, derandomize=True)
kinds = pytest.mark.parametrize("kind", KINDS)
QUANTITIES = ("value", "kl", "expected_reward", "gap")


def share_of_optimum(problem, log_tilt):
    return 1.0 - problem.gap(log_tilt) / problem.gap(np.zeros(problem.reference.n_columns))


def soft_value_iteration(problem):
    """The textbook recursion over all pairs of states and tokens, in logarithms."""
    log_prob = safe_log(problem.reference.toarray())
    to_come, log_tilts = np.zeros(problem.reference.n_columns), []
    for _ in range(problem.length):
        log_tilts.append(problem.token_reward / problem.kl_coef + to_come)
        to_come = logsumexp(log_prob + log_tilts[-1], axis=1)
    first = logsumexp(safe_log(problem.reference.initial) + log_tilts[-1])
    return np.array(log_tilts[::-1]), problem.kl_coef * first


@kinds
@pytest.mark.parametrize("seed", range(3))
def test_optimum_is_the_best_of_all_distributions_over_documents(kind, seed):
    problem = random_problem(kind, seed)
    documents = Documents(problem)
    prob, value = documents.optimum()
    best = problem.optimum()
    assert_allclose(problem.optimal_value(), value, rtol=0, atol=1e-10)
    assert_allclose(problem.value(best), value, rtol=0, atol=1e-10)
    assert_allclose(documents.under(best), prob, rtol=0, atol=1e-10)
    assert_allclose(problem.marginals(best)[0], documents.marginals(prob)[0], rtol=0, atol=1e-10)
    assert_array_equal(best.max(axis=1), 0.0)
    for position in (1, 2):
        with np.errstate(invalid="ignore"):
            expected = documents.conditional(prob, position)
        reached = np.isfinite(expected).all(axis=1)
        assert reached.any()
        policy = np.exp(problem.log_policy(best, position))
        assert_allclose(policy[reached], expected[reached], rtol=0, atol=1e-10)


@kinds
@given(seed=SEEDS, spread=st.sampled_from([0.01, 1.0, 5.0]))
@settings(proved, max_examples=10)
def test_a_policy_is_worth_the_sum_over_all_documents(kind, seed, spread):
    problem = random_problem(kind, seed)
    documents, log_tilt = Documents(problem), random_tilt(problem, seed, spread)
    prob = documents.under(log_tilt)
    best, best_value = documents.optimum()
    kl, reward = documents.kl(prob), prob @ documents.reward
    value = reward - problem.kl_coef * kl
    assert_allclose(prob.sum(), 1.0, rtol=1e-12)
    assert_allclose(problem.expected_reward(log_tilt), reward, rtol=0, atol=1e-10)
    assert_allclose(problem.kl(log_tilt), kl, rtol=0, atol=1e-10)
    assert_allclose(problem.value(log_tilt), value, rtol=0, atol=1e-10)
    assert_allclose(problem.marginals(log_tilt), documents.marginals(prob), rtol=0, atol=1e-10)
    assert_allclose(problem.gap(log_tilt), best_value - value, rtol=0, atol=1e-10)
    assert_allclose(problem.gap(log_tilt), problem.kl_coef * documents.kl(prob, best), atol=1e-10)


@pytest.mark.parametrize("kind", ["sparse", "backoff"])
@pytest.mark.parametrize("seed", range(3))
def test_a_sparse_reference_is_its_dense_one(kind, seed):
    problem = random_problem(kind, seed, n_columns=30, length=12)
    dense, log_tilt = written_out(problem), random_tilt(problem, seed)
    assert_allclose(problem.optimum(), dense.optimum(), rtol=0, atol=1e-12)
    assert_allclose(problem.optimal_value(), dense.optimal_value(), rtol=1e-12)
    for quantity in (*QUANTITIES, "marginals", "state_values", "gradient"):
        actual, desired = (getattr(p, quantity)(log_tilt) for p in (problem, dense))
        assert_allclose(actual, desired, rtol=1e-12, atol=1e-12, err_msg=quantity)
    policies = (np.exp(p.log_policy(log_tilt, 3)) for p in (problem, dense))
    assert_allclose(*policies, rtol=0, atol=1e-12)
    assert_allclose(problem.stationary_tilt(), dense.stationary_tilt(), rtol=0, atol=1e-10)


@kinds
@given(seed=SEEDS, spread=st.sampled_from([1e-4, 0.1, 1.0, 8.0]))
@proved
def test_no_policy_beats_the_optimum(kind, seed, spread):
    problem = random_problem(kind, seed, n_columns=6, length=5)
    best = problem.optimum()
    near, far = best + random_tilt(problem, seed, spread), random_tilt(problem, seed, spread)
    for log_tilt in (near, far, near[0], problem.stationary_tilt(), problem.myopic_tilt()):
        gap = problem.gap(log_tilt)
        assert gap >= 0
        difference = problem.optimal_value() - problem.value(log_tilt)
        assert_allclose(gap, difference, rtol=1e-8, atol=1e-11)
    assert problem.gap(best) <= 1e-28


@kinds
def test_gap_does_not_cancel_next_to_the_optimum(kind):
    problem = random_problem(kind, 1, n_columns=8, length=6)
    direction = random_tilt(problem, 2)
    gaps = [problem.gap(problem.optimum() + step * direction) for step in (1e-3, 1e-7)]
    assert_allclose(gaps[1] / gaps[0], 1e-8, rtol=0.02)
    assert_allclose(problem.kl(1e-7 * direction) / problem.kl(1e-3 * direction), 1e-8, rtol=0.02)


@pytest.mark.parametrize("seed", range(20))
def test_what_is_never_drawn_makes_no_gap_not_even_a_negative_one(seed):
    problem = random_problem("dense", seed, n_columns=6, length=5)
    padded = np.pad(problem.reference.toarray(), (0, 1))
    padded[-1, 0] = 1.0
    reference = BigramReference(padded, np.append(problem.reference.initial, 0.0))
    wider = BigramObjective(reference, np.append(problem.token_reward, 7.0), 5, problem.kl_coef)
    log_tilt = wider.optimum()
    log_tilt[:, -1] += 50.0
    assert 0 <= wider.gap(log_tilt) < 1e-13
    assert_allclose(wider.optimal_value(), problem.optimal_value(), rtol=1e-13)


@kinds
def test_a_constant_of_a_position_changes_nothing(kind):
    problem = random_problem(kind, 3)
    log_tilt = random_tilt(problem, 3)
    moved = log_tilt + np.array([[5.0], [-300.0], [2000.0]])
    for quantity in QUANTITIES:
        actual, desired = (getattr(problem, quantity)(tilt) for tilt in (moved, log_tilt))
        assert_allclose(actual, desired, rtol=1e-10, err_msg=quantity)


def test_one_tilt_is_that_of_every_position():
    problem = random_problem("backoff", 4)
    log_tilt = random_tilt(problem, 4)[0]
    everywhere = np.tile(log_tilt, (problem.length, 1))
    for quantity in QUANTITIES:
        assert getattr(problem, quantity)(log_tilt) == getattr(problem, quantity)(everywhere)


@kinds
def test_gradient_is_that_of_differences(kind):
    problem = random_problem(kind, 5)
    log_tilt, step = random_tilt(problem, 5), 1e-5
    expected = np.empty_like(log_tilt)
    for index in np.ndindex(log_tilt.shape):
        moved = np.zeros_like(log_tilt)
        moved[index] = step
        ends = [problem.value(log_tilt + sign * moved) for sign in (1, -1)]
        expected[index] = (ends[0] - ends[1]) / (2 * step)
    assert np.abs(expected).max() > 1e-2
    assert_allclose(problem.gradient(log_tilt), expected, rtol=0, atol=1e-9)
    assert_allclose(problem.gradient(problem.optimum()), 0.0, atol=1e-14)


@kinds
def test_state_values_are_what_is_still_to_come(kind):
    problem = random_problem(kind, 6)
    log_tilt = random_tilt(problem, 6)
    values = problem.state_values(log_tilt)
    assert_allclose(values[0], problem.value(log_tilt), rtol=1e-12)
    # After the first token, a document is one of a problem that begins there.
    for state in range(problem.reference.n_columns):
        reference = BigramReference(problem.reference.toarray(), problem.reference.toarray()[state])
        rest = BigramObjective(reference, problem.token_reward, 2, problem.kl_coef)
        assert_allclose(values[1, state], rest.value(log_tilt[1:]), rtol=0, atol=1e-12)


@kinds
@pytest.mark.parametrize("kl_coef", [1.0, 1e-2, 1e-4])
def test_optimum_is_that_of_soft_value_iteration_also_where_weights_underflow(kind, kl_coef):
    problem = random_problem(kind, 7, n_columns=12, length=8, kl_coef=kl_coef)
    log_tilt, value = soft_value_iteration(problem)
    log_tilt -= log_tilt.max(axis=1, keepdims=True)
    rounding = 1e-14 * np.abs(log_tilt).max()
    assert_allclose(problem.optimum(), log_tilt, rtol=1e-12, atol=rounding)
    assert_allclose(problem.optimal_value(), value, rtol=1e-12)
    best = problem.optimum()
    assert_allclose(problem.value(best), value, rtol=1e-10)
    assert problem.gap(best) <= 1e-12 * problem.gap(np.zeros(12))
    assert_allclose(problem.marginals(best).sum(axis=1), 1.0, rtol=1e-12)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_with_equal_rows_it_is_the_additive_objective(sparse, seed):
    rng = np.random.default_rng(seed)
    unigram, reward = rng.dirichlet(np.ones(7)), rng.standard_normal(7)
    reference = BigramReference(np.tile(unigram, (7, 1)), unigram)
    if sparse:
        reference = BigramReference(sp.csr_array((7, 7)), unigram, np.ones(7), unigram)
    problem = BigramObjective(reference, reward, length=9, kl_coef=0.7)
    additive = AdditiveObjective(np.log(unigram), reward, length=9, kl_coef=0.7)
    best = additive.optimum()
    assert_allclose(problem.optimal_value(), additive.value(best), rtol=0, atol=1e-10)
    for position in range(9):
        policy = problem.log_policy(problem.optimum(), position)
        assert_allclose(policy, np.tile(best, (7, 1)), rtol=0, atol=1e-10)
    assert_allclose(problem.gap(problem.myopic_tilt()), 0.0, atol=1e-12)
    assert_allclose(problem.gap(problem.stationary_tilt()), 0.0, atol=1e-12)
    log_tilt = rng.standard_normal(7)
    policy = problem.log_policy(log_tilt, 1)[0]
    assert_is_log_distribution(policy, 7)
    for quantity in QUANTITIES:
        expected = getattr(additive, quantity)(policy)
        assert_allclose(getattr(problem, quantity)(log_tilt), expected, rtol=0, atol=1e-10)


def test_documents_that_end_by_themselves_are_documents_with_an_absorbing_token():
    rng = np.random.default_rng(0)
    unigram, eos = rng.dirichlet(np.ones(6)), 2
    reward = rng.standard_normal(6)
    reward[eos] = 0.0
    rows = np.tile(unigram, (6, 1))
    rows[eos] = np.eye(6)[eos]
    problem = BigramObjective(BigramReference(rows, unigram), reward, length=15, kl_coef=0.8)
    ending = EosObjective(np.log(unigram), reward, eos, kl_coef=0.8, max_length=15)
    best = ending.time_dependent_optimum()
    assert_allclose(problem.optimal_value(), best.value, rtol=1e-12)
    for position in (0, 7, 14):
        policy = problem.log_policy(problem.optimum(), position)
        assert_allclose(policy[0], best.log_prob[position], rtol=0, atol=1e-10)
    # A policy that does not look at the position is one tilt, and its value the other class's.
    stationary = rng.standard_normal(6)
    policy = problem.log_policy(stationary, 3)[0]
    for quantity in ("value", "kl", "expected_reward"):
        expected = getattr(ending, quantity)(policy)
        assert_allclose(getattr(problem, quantity)(stationary), expected, rtol=1e-11)


@kinds
@pytest.mark.parametrize("seed", range(3))
def test_stationary_tilt_is_the_perron_vector(kind, seed):
    problem = random_problem(kind, seed, n_columns=9, length=400)
    tilted = problem.reference.toarray() * np.exp(problem.myopic_tilt())
    eigenvalues, vectors = np.linalg.eig(tilted)
    largest = np.argmax(eigenvalues.real)
    expected = problem.myopic_tilt() + np.log(np.abs(vectors[:, largest].real))
    assert_allclose(problem.stationary_tilt(), expected - expected.max(), rtol=0, atol=1e-9)
    # Far from the end the optimum does not change any more, and each token brings b log(lambda).
    assert_allclose(problem.optimum()[1], problem.stationary_tilt(), rtol=0, atol=1e-8)
    longer = random_problem(kind, seed, n_columns=9, length=401)
    growth = longer.optimal_value() - problem.optimal_value()
    assert_allclose(growth, problem.kl_coef * np.log(eigenvalues[largest].real), atol=1e-10)


def test_stationary_tilt_of_a_cycle():
    cycle = np.roll(np.eye(3), 1, axis=1)
    problem = BigramObjective(BigramReference(cycle, [1.0, 0.0, 0.0]), np.array([1.0, 2.0, 4.0]), 3)
    log_z = problem.stationary_tilt() - problem.myopic_tilt()
    moved = np.roll(problem.stationary_tilt(), -1)
    assert_allclose(moved - log_z, moved[0] - log_z[0], atol=1e-9)


def test_no_stationary_tilt_where_the_best_tokens_are_left_for_good():
    trap = np.array([[0.5, 0.5], [0.0, 1.0]])
    problem = BigramObjective(BigramReference(trap, [1.0, 0.0]), np.array([3.0, 0.0]), 5)
    with pytest.warns(ConvergenceWarning, match="no stationary tilt in 10000.*use optimum"):
        problem.stationary_tilt()


@pytest.mark.parametrize("seed", range(3))
def test_a_tilt_without_time_loses_less_on_long_documents_one_without_foresight_does_not(seed):
    stationary, myopic = [], []
    for length in (5, 20, 100):
        rng = np.random.default_rng(seed)
        rows = rng.dirichlet(np.full(50, 0.1), size=50)
        reference = BigramReference(0.8 * rows + 0.2 / 50, np.full(50, 1 / 50))
        problem = BigramObjective(reference, rng.standard_normal(50), length)
        stationary.append(share_of_optimum(problem, problem.stationary_tilt()))
        myopic.append(share_of_optimum(problem, problem.myopic_tilt()))
    assert 0.9 < stationary[0] < stationary[1] < stationary[2] < 1.0
    assert stationary[2] > 0.99
    assert all(0 < low < high for low, high in zip(myopic, stationary, strict=True))
    assert 0.5 < myopic[2] < myopic[0] < 1.0


@pytest.mark.parametrize("seed", range(3))
def test_the_best_tilt_without_time_is_no_better_than_the_optimum_nor_worse_than_perron(seed):
    problem = random_problem("dense", seed, n_columns=6, length=8, kl_coef=0.5)
    found = minimize(
        lambda tilt: -problem.value(tilt),
        problem.stationary_tilt(),
        jac=lambda tilt: -problem.gradient(tilt).sum(axis=0),
        method="BFGS",
        options={"gtol": 1e-9},
    )
    gaps = [problem.gap(tilt) for tilt in (found.x, problem.stationary_tilt())]
    assert 1e-6 < gaps[0] <= gaps[1]
    assert np.abs(found.jac).max() < 1e-6


@kinds
def test_samples_have_the_probabilities_of_the_policy(kind):
    problem = random_problem(kind, 8, n_columns=3, length=3)
    documents, log_tilt = Documents(problem), random_tilt(problem, 8)
    drawn = problem.sample(log_tilt, 40_000, 0)
    assert drawn.shape == (40_000, 3)
    observed = np.bincount(drawn @ [9, 3, 1], minlength=27)
    assert_frequencies_agree(observed, documents.under(log_tilt))


@pytest.mark.parametrize("kind", ["zeros", "sparse", "backoff"])
def test_samples_keep_to_the_reference_where_weights_underflow(kind):
    problem = random_problem(kind, 9, n_columns=8, length=4, kl_coef=1e-3)
    dense, best = problem.reference.toarray(), problem.optimum()
    drawn = problem.sample(best, 5000, 0)
    for position in range(1, 4):
        assert (dense[drawn[:, position - 1], drawn[:, position]] > 0).all()
        observed = np.bincount(drawn[:, position], minlength=8) / 5000
        assert_allclose(observed, problem.marginals(best)[position], rtol=0, atol=0.05)


class OneUniform:
    """A random source whose every uniform is the same."""

    def __init__(self, uniform):
        self.uniform = uniform

    def random_sample(self, size):
        return np.full(size, self.uniform)


@pytest.mark.parametrize("uniform", [0.0, 0.5, np.nextafter(1.0, 0.0)])
@pytest.mark.parametrize("as_matrix", [np.asarray, sp.csr_array])
def test_no_uniform_leads_to_what_a_row_cannot_produce(uniform, as_matrix):
    rows = np.tile([0.0, 0.1, 0.2, 0.0, 0.7, 0.0], (200, 1))
    drawn = Kernel.of_rows(as_matrix(rows)).sample(np.arange(200), OneUniform(uniform))
    assert set(drawn) == {1 if uniform == 0.0 else 4}
    # A share of the back-off that was rounded leaves a sliver of the uniform to an empty row.
    share = np.array([np.nextafter(1.0, 0.0)] * 2)
    matrix, unigram = sp.csr_array((2, 3)), np.array([0.0, 1.0, 0.0])
    drawn = Kernel(matrix, share, unigram).sample(np.array([0, 1, 1]), OneUniform(uniform))
    assert_array_equal(drawn, 1)


def test_samples_are_seeded():
    problem = random_problem("backoff", 10)
    drawn = [problem.sample(np.zeros(4), 50, seed) for seed in (0, 0, 1)]
    assert_array_equal(drawn[0], drawn[1])
    assert (drawn[0] != drawn[2]).any()


REFERENCE = BigramReference([[0.5, 0.5], [0.1, 0.9]], [0.5, 0.5])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"token_reward": np.zeros(3)}, r"token_reward of shape \(2,\).*got shape \(3,\)"),
        ({"token_reward": np.array([0.0, -np.inf])}, "finite token_reward, got -inf at position 1"),
        ({"length": 0}, "length >= 1, an integer, got 0"),
        ({"length": 2.5}, "length >= 1, an integer, got 2.5"),
        ({"kl_coef": 0.0}, "kl_coef > 0, got 0.0.*make kl_coef small"),
        ({"kl_coef": np.nan}, "kl_coef > 0, got nan"),
    ],
)
def test_what_the_objective_refuses(changed, message):
    settings = {"token_reward": np.zeros(2), "length": 3} | changed
    with pytest.raises(ValueError, match=message):
        BigramObjective(REFERENCE, **settings)


def test_what_a_policy_has_to_be():
    problem = BigramObjective(REFERENCE, np.zeros(2), length=3)
    with pytest.raises(ValueError, match=r"log-tilt of shape \(3, 2\), or \(2,\).*got \(3,\)"):
        problem.value(np.zeros(3))
    with pytest.raises(ValueError, match=r"finite log-tilts, got -inf.*tilt it by -1000"):
        problem.sample([0.0, -np.inf], 5)
    with pytest.raises(ValueError, match="position from 0 to 2, got 3"):
        problem.log_policy(np.zeros(2), 3)
