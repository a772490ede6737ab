import itertools
from dataclasses import replace

import numpy as np
import pytest
from assertions import assert_is_log_distribution
from eos_problems import EOS, numerical_optimum, random_policy, random_problem
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.optimize import minimize
from scipy.special import log_softmax

from sklearn_codex._rollouts import sample_rollouts
from sklearn_codex.exact import (
    AdditiveObjective,
    EosObjective,
)

SEEDS = st.integers(0, 2**32 - 1)
proved = settings(deadline=None, max_examples=60, derandomize=True)


def all_documents(n_columns, max_length):
    """Every document of at most max_length tokens, ended or cut."""
    others = [t for t in range(n_columns) if t != EOS]
    for body in range(max_length):
        for document in itertools.product(others, repeat=body):
            yield (*document, EOS)
    yield from itertools.product(others, repeat=max_length)


def enumerated_value(problem, policy_at):
    """J as the sum over all documents of their probability times what they are worth."""
    value, total = 0.0, 0.0
    for document in all_documents(len(problem.reference_log_prob), problem.max_length):
        log_p = sum(policy_at(i)[t] for i, t in enumerate(document))
        columns = list(document)
        worth = problem.reward_coef * problem.token_reward[columns].sum()
        worth -= problem.kl_coef * (log_p - problem.reference_log_prob[columns].sum())
        worth -= problem.kl_coef * problem.penalty[columns].sum()
        worth -= problem.missing_eos_penalty * (document[-1] != EOS)
        value += np.exp(log_p) * worth
        total += np.exp(log_p)
    assert_allclose(total, 1.0, rtol=1e-12)
    if problem.sft_coef:
        value += problem.sft_coef * problem.frequencies @ policy_at(0)
    return value


KINDS = [
    {"max_length": max_length, "demonstrations": demonstrations}
    for max_length in (None, 1, 2, 20)
    for demonstrations in (False, True)
]


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_optimum_is_that_of_a_general_purpose_optimiser(kind, seed):
    problem = random_problem(seed, **kind)
    best = problem.optimum()
    assert_is_log_distribution(best)
    value = problem.value(best)
    assert_allclose(value, numerical_optimum(problem), rtol=1e-8, atol=1e-8)
    assert problem.gap(best) == 0.0


@pytest.mark.parametrize("demonstrations", [False, True])
@pytest.mark.parametrize("max_length", [1, 2, 5])
def test_value_is_the_sum_over_all_documents(max_length, demonstrations):
    problem = random_problem(max_length, max_length=max_length, demonstrations=demonstrations)
    for policy in (random_policy(problem, 0), problem.optimum(), problem.reference_log_prob):
        expected = enumerated_value(problem, lambda i, policy=policy: policy)
        assert_allclose(problem.value(policy), expected, rtol=1e-11)


def test_value_without_a_maximal_length_is_the_limit_of_long_ones():
    problem = random_problem(3)
    policy = random_policy(problem, 3)
    long = replace(problem, max_length=5000)
    for quantity in ("value", "kl", "entropy", "expected_reward", "expected_length"):
        assert_allclose(
            getattr(long, quantity)(policy), getattr(problem, quantity)(policy), rtol=1e-11
        )
    assert long.missing_eos_rate(policy) < 1e-100
    assert_allclose(long.optimum(), problem.optimum(), atol=1e-9)


@pytest.mark.parametrize("kind", KINDS[:2] + KINDS[4:6], ids=str)
@given(seed=SEEDS, spread=st.sampled_from([0.01, 1.0, 6.0]))
@settings(proved, max_examples=12)
def test_gap_is_the_difference_of_values_and_never_negative(kind, seed, spread):
    problem = random_problem(seed, **kind)
    policy = random_policy(problem, seed, spread)
    best = problem.value(problem.optimum())
    value, gap = problem.value(policy), problem.gap(policy)
    assert gap >= 0
    assert_allclose(gap, best - value, rtol=1e-8, atol=1e-10 * max(1.0, abs(value)))


@pytest.mark.parametrize("kind", KINDS[:6], ids=str)
def test_gap_does_not_cancel_next_to_the_optimum(kind):
    problem = random_problem(1, **kind)
    best = problem.optimum()
    direction = np.random.default_rng(0).normal(size=len(best))
    gaps = [problem.gap(log_softmax(best + step * direction)) for step in (1e-3, 1e-7)]
    assert_allclose(gaps[1] / gaps[0], 1e-8, rtol=0.02)


def test_gap_is_expected_length_times_kl_without_a_maximal_length():
    problem = random_problem(5)
    policy, best = random_policy(problem, 5), problem.optimum()
    kl = np.exp(policy) @ (policy - best)
    expected = problem.kl_coef * problem.expected_length(policy) * kl
    assert_allclose(problem.gap(policy), expected, rtol=1e-13)


def test_optimum_in_closed_form():
    problem = random_problem(7)
    exponent = problem.reference_log_prob - problem.penalty
    exponent += problem.reward_coef * problem.token_reward / problem.kl_coef
    weights = np.exp(exponent)
    going_on = weights.sum() - weights[EOS]
    best = np.exp(problem.optimum())
    others = np.arange(len(best)) != EOS
    assert_allclose(best[others], weights[others], rtol=1e-14)
    assert_allclose(best[EOS], 1 - going_on, rtol=1e-12)
    assert_allclose(problem.expected_length(np.log(best)), 1 / (1 - going_on), rtol=1e-12)
    value = problem.kl_coef * np.log(weights[EOS] / (1 - going_on))
    assert_allclose(problem.value(np.log(best)), value, rtol=1e-12)


@pytest.mark.parametrize("max_length", [1, 2, 4])
def test_time_dependent_optimum_is_that_of_a_general_purpose_optimiser(max_length):
    problem = random_problem(max_length, max_length=max_length, n_columns=3)
    best = problem.time_dependent_optimum()
    assert_is_log_distribution(best.log_prob)
    assert best.log_prob.shape == (max_length, 3)
    assert_allclose(enumerated_value(problem, lambda i: best.log_prob[i]), best.value, rtol=1e-12)
    lengths = sum(
        len(document) * np.exp(sum(best.log_prob[i, t] for i, t in enumerate(document)))
        for document in all_documents(3, max_length)
    )
    assert_allclose(best.expected_length, lengths, rtol=1e-12)

    def loss(logits):
        policy = log_softmax(logits.reshape(max_length, 3), axis=1)
        return -enumerated_value(problem, lambda i: policy[i])

    found = minimize(loss, np.zeros(max_length * 3), method="BFGS")
    assert_allclose(-found.fun, best.value, rtol=1e-8)
    # The last token of a document is the one place where both kinds of policy agree for sure.
    stationary = problem.value(problem.optimum())
    assert (
        stationary <= best.value + 1e-12
        if max_length > 1
        else np.isclose(stationary, best.value, rtol=1e-12)
    )


@given(SEEDS, st.integers(1, 40))
@proved
def test_no_stationary_policy_beats_the_time_dependent_optimum(seed, max_length):
    problem = random_problem(seed, max_length=max_length)
    bound = problem.time_dependent_optimum().value
    slack = 1e-12 * max(1.0, abs(bound))
    best = problem.value(problem.optimum())
    assert problem.value(random_policy(problem, seed)) <= best + slack <= bound + 2 * slack


def test_demonstrated_optimum_is_the_best_of_two_local_maxima():
    # Next to S = 1 long documents are nearly free; demonstrations are of short ones.
    reference = np.log([0.5, 0.1, 0.4])
    reward = np.array([np.log(0.67 / 0.5), 0.0, np.log((0.33 - 1e-6) / 0.4)])
    problem = EosObjective(
        reference, reward, EOS, sft_coef=4.0, frequencies=np.array([0.6, 0.1, 0.3])
    )
    best = problem.value(problem.optimum())
    assert_allclose(best, numerical_optimum(problem, n_starts=12), rtol=1e-7)


def test_sum_of_token_scores_is_the_same_for_all_documents_at_the_optimum():
    problem = random_problem(11)
    best = problem.optimum()
    rollouts = sample_rollouts(best, 500, np.random.RandomState(0), length=10**6, eos=EOS)
    sums = rollouts.sum_over_tokens(problem.token_scores(best))
    assert np.unique(rollouts.lengths).size > 3
    assert_allclose(sums, problem.value(best), rtol=1e-10)
    problem = random_problem(11, demonstrations=True)
    best = problem.optimum()
    others = np.arange(len(best)) != EOS
    assert_allclose(problem.token_scores(best)[others], 0.0, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS[:2] + KINDS[4:6], ids=str)
def test_simulated_documents_agree_with_exact_values(kind):
    problem = random_problem(2, **kind)
    policy = random_policy(problem, 2, 0.7)
    cut_at = problem.max_length or 10**6
    drawn = sample_rollouts(policy, 40_000, np.random.RandomState(0), length=cut_at, eos=EOS)
    is_cut = drawn.tokens[drawn.starts + drawn.lengths - 1] != EOS
    scores = drawn.sum_over_tokens(problem.token_scores(policy))
    pairs = [
        (drawn.lengths, problem.expected_length(policy)),
        (drawn.sum_over_tokens(problem.token_reward), problem.expected_reward(policy)),
        (drawn.sum_over_tokens(problem.penalty), problem.expected_penalty(policy)),
        (drawn.sum_over_tokens(policy - problem.reference_log_prob), problem.kl(policy)),
        (drawn.sum_over_tokens(-policy), problem.entropy(policy)),
        (is_cut, problem.missing_eos_rate(policy)),
        (
            scores - problem.missing_eos_penalty * is_cut,
            problem.value(policy) + problem.sft_coef * problem.sft_loss(policy),
        ),
    ]
    for sampled, exact in pairs:
        error = 4.0 * np.std(sampled, ddof=1) / np.sqrt(len(drawn))
        assert abs(np.mean(sampled) - exact) <= error
    # The score function of the documents times their score is the gradient of the objective.
    gradient = np.empty((4, len(drawn)))
    for t in range(4):
        occurrences = drawn.sum_over_tokens((np.arange(4) == t) * 1.0)
        gradient[t] = occurrences - np.exp(policy[t]) * drawn.lengths
    gradient *= scores - problem.missing_eos_penalty * is_cut
    for t in range(4):
        step = 1e-5 * (np.arange(4) == t)
        slope = problem.value(log_softmax(policy + step)) - problem.value(
            log_softmax(policy - step)
        )
        error = 4.0 * gradient[t].std(ddof=1) / np.sqrt(len(drawn))
        assert abs(gradient[t].mean() - slope / 2e-5) <= error


def test_one_token_is_the_additive_problem():
    problem = random_problem(4, max_length=1, missing_eos_penalty=0.0)
    additive = AdditiveObjective(
        problem.reference_log_prob,
        problem.token_reward,
        kl_coef=problem.kl_coef,
        reward_coef=problem.reward_coef,
        penalty=problem.penalty,
    )
    assert_allclose(problem.optimum(), additive.optimum(), atol=1e-12)
    policy = random_policy(problem, 4)
    assert_allclose(problem.value(policy), additive.value(policy), rtol=1e-12)
    assert_allclose(problem.gap(policy), additive.gap(policy), rtol=1e-12)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"kl_coef": 0.0}, r"kl_coef > 0, got 0\.0"),
        ({"penalty": np.array([0.0, -1.0])}, "penalties >= 0, got a smallest one of -1"),
        ({"eos": 2}, "a column from 0 to 1, got 2"),
        ({"token_reward": np.zeros(3)}, r"token_reward of shape \(2,\).*got shape \(3,\)"),
        ({"max_length": 0}, "max_length from 1 to 10000000, got 0"),
        ({"missing_eos_penalty": 1.0}, "needs max_length for a missing_eos_penalty"),
        ({"missing_eos_penalty": -1.0}, r"missing_eos_penalty >= 0, got -1\.0"),
        ({"sft_coef": 1.0}, "got frequencies=None"),
        (
            {"reference_log_prob": np.array([0.0, -np.inf])},
            "reference that can produce eos, got log-probability -inf in column 1",
        ),
        (
            {
                "reference_log_prob": np.array([-np.inf, 0.0]),
                "sft_coef": 1.0,
                "frequencies": np.array([0.5, 0.5]),
            },
            "demonstrations use token 0",
        ),
    ],
)
def test_invalid_problems_say_what_is_wrong(changed, message):
    parameters = {
        "reference_log_prob": np.log([0.5, 0.5]), "token_reward": np.zeros(2), "eos": EOS,
    }  # fmt: skip
    with pytest.raises(ValueError, match=message):
        EosObjective(**(parameters | changed))


def test_time_dependent_optimum_says_what_it_needs():
    with pytest.raises(ValueError, match="needs max_length, got None"):
        random_problem(0).time_dependent_optimum()
    with pytest.raises(ValueError, match="knows no demonstrations"):
        random_problem(0, max_length=3, demonstrations=True).time_dependent_optimum()


def test_demonstrations_that_only_end():
    only_eos = (np.arange(4) == EOS) * 1.0
    problem = random_problem(8, max_length=4, sft_coef=2.0, frequencies=only_eos)
    best = problem.optimum()
    assert_allclose(problem.value(best), numerical_optimum(problem), rtol=1e-8)
    assert problem.sft_loss(best) == -best[EOS]
    without = np.log([0.5, 1.0, 0.2, 0.3])
    without[EOS] = -np.inf
    assert problem.gap(without) == np.inf
