from dataclasses import replace

import numpy as np
import pytest
from assertions import assert_is_log_distribution
from eos_problems import EOS, random_problem
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.signal import find_peaks
from scipy.special import log_softmax

from sklearn_codex.exact import (
    AdditiveObjective,
    EosObjective,
    LengthExplosionError,
    LengthExplosionWarning,
    constrained_optimum,
    smallest_safe_kl_coef,
)

SEEDS = st.integers(0, 2**32 - 1)
proved = settings(deadline=None, max_examples=60, derandomize=True)


@given(SEEDS)
@proved
def test_length_explodes_below_the_smallest_safe_kl_coef_and_not_above(seed):
    problem = random_problem(seed, max_length=3)
    safe = smallest_safe_kl_coef(
        problem.reference_log_prob,
        problem.token_reward,
        EOS,
        reward_coef=problem.reward_coef,
        penalty=problem.penalty,
    )
    if safe == 0:
        assert not replace(problem, kl_coef=1e-6).length_explodes
        return
    above = replace(problem, kl_coef=1.01 * safe, max_length=None, missing_eos_penalty=0.0)
    assert not above.length_explodes
    assert np.isfinite(above.value(above.optimum()))
    below = replace(above, kl_coef=0.99 * safe)
    assert below.length_explodes
    with pytest.raises(LengthExplosionError, match=f"kl_coef above {safe:.6g}"):
        below.optimum()


def test_objective_grows_without_bound_where_length_explodes():
    problem = EosObjective(np.log([0.9, 0.1]), np.array([0.2, 0.0]), EOS)
    assert problem.length_explodes
    stops = np.geomspace(1e-1, 1e-8, 8)
    values = [problem.value(np.log([1 - p, p])) for p in stops]
    assert np.all(np.diff(values) > 0)
    assert values[-1] > 1e6


def test_smallest_safe_kl_coef_at_its_edges():
    reference = np.log([0.9, 0.1])
    assert smallest_safe_kl_coef(reference, np.array([0.0, 9.0]), EOS) == 0.0
    assert smallest_safe_kl_coef(reference, np.array([1.0, 9.0]), EOS, reward_coef=0.0) == 0.0
    never_ends = np.array([0.0, -np.inf])
    assert smallest_safe_kl_coef(never_ends, np.array([-1.0, 0.0]), EOS) == np.inf
    # One token: 0.9 exp(w / b) = 1, whatever the scale of w.
    for w in (1e-12, 1.0, 1e12):
        safe = smallest_safe_kl_coef(reference, np.array([w, 0.0]), EOS)
        assert_allclose(safe, -w / np.log(0.9), rtol=1e-13)
    # A coefficient below 0 wants what is punished.
    safe = smallest_safe_kl_coef(reference, np.array([-1.0, 0.0]), EOS, reward_coef=-2.0)
    assert_allclose(safe, -2 / np.log(0.9), rtol=1e-13)
    # A token the reference cannot produce does not count; a priced one counts less.
    reference = np.array([np.log(0.9), np.log(0.1), -np.inf])
    reward = np.array([1.0, 0.0, 5.0])
    assert_allclose(smallest_safe_kl_coef(reference, reward, EOS), -1 / np.log(0.9), rtol=1e-13)
    priced = smallest_safe_kl_coef(reference, reward, EOS, penalty=np.array([0.5, 0.0, 0.0]))
    assert_allclose(priced, 1 / (0.5 - np.log(0.9)), rtol=1e-13)
    with pytest.raises(ValueError, match=r"penalties >= 0, got a smallest one of -1"):
        smallest_safe_kl_coef(reference, reward, EOS, penalty=np.array([-1.0, 0.0, 0.0]))


def test_warning_names_the_smallest_safe_kl_coef():
    problem = EosObjective(np.log([0.9, 0.1]), np.array([1.0, 0.0]), EOS, max_length=50)
    with pytest.warns(LengthExplosionWarning, match=r"PPO at .*max_length=50 .*above 9\.49122"):
        problem.warn_if_length_explodes(subject="PPO")
    replace(problem, kl_coef=9.5).warn_if_length_explodes()  # a warning would be an error here


def test_reference_that_ends_at_once_or_never():
    at_once = EosObjective(np.array([-np.inf, 0.0]), np.array([3.0, 2.0]), EOS)
    assert_array_equal(at_once.optimum(), [-np.inf, 0.0])
    assert at_once.value(at_once.optimum()) == 2.0
    assert at_once.gap(np.log([0.5, 0.5])) == np.inf
    never = EosObjective(np.array([0.0, -np.inf]), np.array([3.0, 2.0]), EOS, max_length=7)
    assert_array_equal(never.optimum(), [0.0, -np.inf])
    assert never.value(never.optimum()) == 21.0
    assert never.time_dependent_optimum().value == 21.0
    assert never.gap(np.log([0.5, 0.5])) == np.inf


def test_policy_that_never_ends_is_infinitely_bad():
    problem = EosObjective(np.log([0.7, 0.3]), np.array([0.0, 1.0]), EOS)
    never = np.array([0.0, -np.inf])
    assert problem.expected_length(never) == np.inf
    assert problem.value(never) == -np.inf
    assert problem.gap(never) == np.inf


@pytest.mark.parametrize("kl_coef", [0.7, 30.0])
@pytest.mark.parametrize("budget", [1.0, 1.5, 4.0, 50.0])
def test_expected_length_can_be_bounded_by_a_budget(budget, kl_coef):
    problem = EosObjective(np.log([0.5, 0.2, 0.3]), np.array([1.0, 0.0, 0.5]), EOS, kl_coef)
    result = constrained_optimum(problem, np.ones(3), budget)
    assert_is_log_distribution(result.log_prob)
    assert_allclose(result.costs, problem.expected_length(result.log_prob), rtol=1e-12)
    assert result.costs[0] <= budget * (1 + 1e-12)
    if result.multipliers[0] > 0:
        assert_allclose(result.costs, budget, rtol=1e-12)
    assert (result.loss == np.inf) == problem.length_explodes
    if budget > 1:
        # At that length only the shape is left to choose.
        tilt = problem.exponent.copy()
        tilt[EOS] = -np.inf
        length = result.costs[0]
        shape = log_softmax(tilt) + np.log1p(-1 / length)
        shape[EOS] = -np.log(length)
        assert_allclose(result.log_prob, shape, atol=1e-10)


def test_budget_cannot_bound_the_length_of_free_tokens():
    problem = EosObjective(np.log([0.9, 0.05, 0.05]), np.array([1.0, 0.0, 0.0]), EOS)
    with pytest.raises(LengthExplosionError, match="tokens without cost alone"):
        constrained_optimum(problem, [0.0, 0.0, 1.0], 5.0)
    with pytest.raises(ValueError, match=r"smallest feasible expected cost .* is 1\. Raise"):
        constrained_optimum(problem, np.ones(3), 0.9)
    with pytest.raises(ValueError, match="one constraint with costs >= 0"):
        constrained_optimum(problem, [-1.0, 0.0, 1.0], 5.0)
    with pytest.raises(ValueError, match="without max_length and sft_coef, got max_length=9"):
        constrained_optimum(replace(problem, max_length=9), np.ones(3), 5.0)


def test_policy_that_always_ends_at_once():
    problem = random_problem(6, max_length=5, missing_eos_penalty=2.0)
    at_once = np.where(np.arange(4) == EOS, 0.0, -np.inf)
    assert problem.expected_length(at_once) == 1.0
    assert problem.missing_eos_rate(at_once) == 0.0
    assert_allclose(problem.value(at_once), problem.kl_coef * problem.exponent[EOS], rtol=1e-12)
    best = problem.value(problem.optimum())
    assert_allclose(problem.gap(at_once), best - problem.value(at_once), rtol=1e-12)


def test_documents_of_a_reference_without_eos_have_a_fixed_length():
    reference = np.array([np.log(0.3), -np.inf, np.log(0.7)])
    reward = np.array([1.0, 0.0, -1.0])
    problem = EosObjective(reference, reward, EOS, max_length=6, missing_eos_penalty=2.0)
    fixed = AdditiveObjective(reference, reward, length=6)
    policy = np.array([np.log(0.6), -np.inf, np.log(0.4)])
    assert_allclose(problem.optimum(), fixed.optimum(), atol=1e-12)
    assert_allclose(problem.value(policy), fixed.value(policy) - 2.0, rtol=1e-12)
    assert_allclose(problem.gap(policy), fixed.gap(policy), rtol=1e-12)
    assert problem.expected_penalty(policy) == 0.0


def test_truncated_optimum_is_the_best_of_two_local_maxima():
    # Stopping is dear: either hardly ever stop, or stop as late as a hundred tokens on average.
    for log_eos, stops in [(-80.0, True), (-120.0, False)]:
        reference = np.array([np.log1p(-np.exp(log_eos)), log_eos])
        problem = EosObjective(reference, np.array([-0.01, 0.0]), EOS, max_length=10_000)
        best = problem.optimum()
        assert (problem.expected_length(best) < 200) == stops
        odds = np.linspace(-200, 60, 5201)
        grid = [problem.value(np.array([-np.logaddexp(0, x), -np.logaddexp(0, -x)])) for x in odds]
        (peak,) = find_peaks(grid, prominence=1e-3)[0]
        assert min(grid[:peak]) < grid[0] - 1  # a valley lies between it and never stopping
        assert max(grid) <= problem.value(best) + 1e-12
        assert_allclose(problem.value(best), max(grid), rtol=1e-4)
