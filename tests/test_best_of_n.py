from itertools import combinations, product
from math import comb

import numpy as np
import pytest
from assertions import assert_frequencies_agree, assert_is_log_distribution
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.integrate import trapezoid
from scipy.special import log_softmax
from scipy.stats import norm

from sklearn_codex._categorical import kl_divergence
from sklearn_codex._rollouts import sample_rollouts
from sklearn_codex.exact import (
    AdditiveObjective,
    EnumeratedObjective,
    best_of_n,
    best_of_n_frontier,
    best_of_n_kl_bound,
    expected_max,
    kl_coef_for_kl,
)

SEEDS = st.integers(0, 2**32 - 1)
proved = settings(deadline=None, max_examples=100, derandomize=True)


def random_outcomes(seed, n_outcomes=8, spread=1.0, ties=False):
    rng = np.random.default_rng(seed)
    rewards = rng.integers(0, 3, n_outcomes) * 1.0 if ties else rng.normal(size=n_outcomes)
    return log_softmax(spread * rng.normal(size=n_outcomes)), rewards


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("n", [1, 2, 5])
def test_distribution_is_the_sum_over_all_draws(n, ties):
    log_prob, rewards = random_outcomes(n, n_outcomes=4, ties=ties)
    expected = np.zeros(4)
    for draw in product(range(4), repeat=n):
        best = [i for i in draw if rewards[i] == rewards[list(draw)].max()]
        for i in best:
            expected[i] += np.exp(log_prob[list(draw)].sum()) / len(best)
    result = best_of_n(log_prob, rewards, n)
    assert_allclose(np.exp(result.log_prob), expected, rtol=1e-12)
    assert_allclose(result.expected_reward, expected @ rewards, rtol=1e-12)
    assert_allclose(result.kl, expected @ (np.log(expected) - log_prob), rtol=1e-9, atol=1e-14)


@given(SEEDS, st.integers(1, 10**6), st.sampled_from([0.1, 1.0, 20.0]), st.booleans())
@proved
def test_it_is_a_distribution_whose_kl_is_bounded(seed, n, spread, ties):
    log_prob, rewards = random_outcomes(seed, spread=spread, ties=ties)
    result = best_of_n(log_prob, rewards, n)
    assert_is_log_distribution(result.log_prob)
    assert_allclose(result.kl, kl_divergence(result.log_prob, log_prob), rtol=1e-12, atol=1e-14)
    assert result.kl <= result.kl_bound + 1e-12
    assert result.expected_reward >= np.exp(log_prob) @ rewards - 1e-12


@given(SEEDS, st.integers(2, 100))
@proved
def test_the_tilt_is_never_worse_at_equal_kl(seed, n):
    log_prob, rewards = random_outcomes(seed)
    best = best_of_n(log_prob, rewards, n)
    largest = -log_prob[rewards.argmax()]
    if 1e-6 < best.kl < largest - 1e-6:
        problem = AdditiveObjective(
            log_prob, rewards, kl_coef=kl_coef_for_kl(log_prob, rewards, best.kl)
        )
        assert best.expected_reward <= problem.expected_reward(problem.optimum()) + 1e-9


def test_kl_meets_its_bound_without_large_outcomes():
    log_prob = np.full(200_000, -np.log(200_000))
    result = best_of_n(log_prob, np.arange(200_000.0), 16)
    assert_allclose(result.kl, best_of_n_kl_bound(16), atol=1e-4)
    assert_allclose(best_of_n_kl_bound([1, 2]), [0.0, np.log(2) - 0.5], atol=1e-15)


def test_far_tails_keep_their_digits():
    # The best of 10 is the rare outcome with probability 10 * 1e-30, and never the worst twice.
    log_prob = np.array([np.log(1e-20), np.log1p(-1e-20 - 1e-30), np.log(1e-30), -np.inf])
    result = best_of_n(log_prob, np.array([0.0, 1.0, 2.0, 9.0]), 10)
    assert_allclose(result.log_prob[[0, 2]], [-200 * np.log(10), np.log(1e-29)], rtol=1e-13)
    assert result.log_prob[3] == -np.inf


def test_best_of_n_of_whole_documents_is_what_simulation_gives():
    """Over the count vectors of documents, the outcomes that an additive reward can tell apart."""
    reference, reward = np.log([0.5, 0.3, 0.2]), np.array([0.0, 1.0, 3.0])
    problem = EnumeratedObjective(reference, lambda counts: counts @ reward, length=4)
    exact = best_of_n(problem.log_probabilities(reference), problem.rewards, 3)
    drawn = sample_rollouts(reference, 3 * 20_000, np.random.RandomState(0), length=4)
    best = drawn.sum_over_tokens(reward).reshape(-1, 3).max(axis=1)
    levels, group = np.unique(problem.rewards, return_inverse=True)
    expected = np.bincount(group, weights=np.exp(exact.log_prob))
    observed = np.bincount(np.searchsorted(levels, best), minlength=len(levels))
    # Rare levels count together with the most common one.
    cell = np.where(expected * 20_000 >= 5, np.arange(len(levels)), expected.argmax())
    cells = np.unique(cell, return_inverse=True)[1]
    assert_frequencies_agree(
        np.bincount(cells, weights=observed), np.bincount(cells, weights=expected)
    )


@pytest.mark.parametrize("n_samples", [1, 2, 5, 9])
def test_expected_max_is_the_mean_over_all_subsets(n_samples):
    samples = np.random.default_rng(n_samples).normal(size=n_samples)
    for n in range(1, n_samples + 1):
        subsets = [max(subset) for subset in combinations(samples, n)]
        mean, error = expected_max(samples, n)
        assert_allclose(mean, np.mean(subsets), rtol=1e-12)
        if n == n_samples:
            assert np.isnan(error)
            continue
        left_out = [expected_max(np.delete(samples, i), n)[0] for i in range(n_samples)]
        variance = (n_samples - 1) / n_samples * np.sum((left_out - np.mean(left_out)) ** 2)
        assert_allclose(error, np.sqrt(variance), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize(("n_samples", "n"), [(3000, 2), (3000, 700), (3000, 2999)])
def test_weights_are_exact_where_binomials_overflow(n_samples, n):
    i = np.sort(np.random.default_rng(0).choice(np.arange(n, n_samples + 1), 2, replace=False))
    for rank in i.tolist():
        samples = np.zeros(n_samples)
        samples[rank - 1 :] = 1.0
        below = comb(rank - 1, n) / comb(n_samples, n)
        assert_allclose(expected_max(samples, n)[0], 1 - below, rtol=1e-11)


def test_one_draw_is_the_mean_with_its_usual_standard_error():
    samples = np.random.default_rng(1).normal(size=50)
    mean, error = expected_max(samples, 1)
    assert_allclose([mean, error], [samples.mean(), samples.std(ddof=1) / np.sqrt(50)], rtol=1e-12)


def test_estimate_is_unbiased_and_its_standard_error_right():
    # E[max of 4 normals] by quadrature.
    grid = np.linspace(-8, 8, 20_001)
    truth = trapezoid(grid * 4 * norm.cdf(grid) ** 3 * norm.pdf(grid), grid)
    rng = np.random.default_rng(0)
    estimates, errors = np.array([expected_max(rng.normal(size=40), 4) for _ in range(4000)]).T
    assert abs(estimates.mean() - truth) < 4 * estimates.std(ddof=1) / np.sqrt(4000)
    assert_allclose(np.sqrt(np.mean(errors**2)), estimates.std(ddof=1), rtol=0.06)


def test_frontier_of_samples_is_never_above_the_exact_one():
    rng = np.random.RandomState(0)
    reference = log_softmax(np.random.default_rng(0).normal(size=50))
    reward = np.random.default_rng(1).normal(size=50)
    rewards = sample_rollouts(reference, 20_000, rng, length=20).sum_over_tokens(reward)
    points = best_of_n_frontier(rewards, [1, 2, 4, 16, 64, 256])
    assert np.all(np.diff(points.expected_reward) > 0)
    assert np.all(points.kl <= points.kl_bound + 1e-12)
    assert_allclose(points.kl, points.kl_bound, atol=0.02)
    mean = 20 * np.exp(reference) @ reward
    assert abs(points.expected_reward[0] - mean) < 4 * points.standard_error[0]
    for kl, value, error in list(
        zip(points.kl_bound, points.expected_reward, points.standard_error, strict=True)
    )[1:]:
        kl_coef = kl_coef_for_kl(reference, reward, kl, length=20)
        problem = AdditiveObjective(reference, reward, length=20, kl_coef=kl_coef)
        frontier = problem.expected_reward(problem.optimum())
        assert value <= frontier + 3 * error
        assert (value - mean) / (frontier - mean) > 0.8


def test_kl_of_tied_rewards_is_below_its_bound():
    rng = np.random.default_rng(0)
    prob = np.array([0.6, 0.3, 0.1])
    rewards = rng.choice(3, size=100_000, p=prob) * 1.0
    points = best_of_n_frontier(rewards, [8])
    exact = best_of_n(np.log(prob), np.arange(3.0), 8)
    assert_allclose(points.kl, exact.kl, rtol=0.02)
    assert exact.kl < 0.9 * exact.kl_bound
    assert abs(points.expected_reward - exact.expected_reward) < 4 * points.standard_error


@pytest.mark.parametrize("n", [0, 1.5, -2])
def test_number_of_draws_is_a_positive_integer(n):
    with pytest.raises(ValueError, match=f"integer number of draws >= 1, got {n}"):
        best_of_n(np.log([0.5, 0.5]), [0.0, 1.0], n)
    with pytest.raises(ValueError, match=f"integer number of draws >= 1, got {n}"):
        expected_max([0.0, 1.0], n)


def test_invalid_rewards_say_what_is_wrong():
    with pytest.raises(ValueError, match=r"got shapes \(3,\) and \(2,\)"):
        best_of_n(np.log([0.5, 0.5]), np.zeros(3), 2)
    with pytest.raises(ValueError, match="can be ordered, got nan"):
        best_of_n(np.log([0.5, 0.5]), [0.0, np.nan], 2)
    with pytest.raises(ValueError, match=r"n=3 needs .* at least 3 samples .* got shape \(2,\)"):
        expected_max([0.0, 1.0], 3)
    with pytest.raises(ValueError, match="without nan"):
        expected_max([0.0, np.nan], 1)
