from collections import Counter
from itertools import product
from math import comb

import numpy as np
import pytest
from additive_problems import random_policy
from assertions import assert_is_log_distribution
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize
from scipy.special import log_softmax

from sklearn_codex._rollouts import sample_rollouts
from sklearn_codex.exact import AdditiveObjective, EnumeratedObjective, enumerate_counts

REFERENCE = np.log([0.35, 0.25, 0.2, 0.15, 0.05])
WEIGHTS = np.array([0.5, -1.0, 2.0, 0.3, 1.5])
IDF = np.array([1.0, 1.2, 1.5, 2.0, 3.0])
SEEDS = st.integers(0, 2**32 - 1)
proved = settings(deadline=None, max_examples=40, derandomize=True)


def additive(counts):
    return counts @ WEIGHTS


def tf_idf(counts):
    return 4 * (IDF * counts) @ WEIGHTS / np.linalg.norm(IDF * counts, axis=1)


def saturating(counts):
    return 2.0 * (counts[:, 2] > 0) + 1.5 * (counts[:, 4] > 0) - 3.0 * (counts[:, 1] > 0)


def all_the_same(counts):
    return 3.0 * (counts.max(axis=1) == counts.sum(axis=1))


CASES = [
    (additive, 1.0), (tf_idf, 1.0), (tf_idf, 0.3), (saturating, 1.0), (saturating, 0.3),
    (all_the_same, 0.3),
]  # fmt: skip


def ordered_documents(length):
    """Every document as a sequence of tokens, and its counts."""
    documents = np.array(list(product(range(5), repeat=length)))
    return documents, (documents[:, :, None] == np.arange(5)).sum(axis=1) * 1.0


def written_out_value(objective, log_prob):
    """J as the sum over all sequences."""
    documents, counts = ordered_documents(objective.length)
    log_p = log_prob[documents].sum(axis=1)
    log_ref = objective.reference_log_prob[documents].sum(axis=1)
    worth = objective.reward_coef * objective.reward(counts) - objective.kl_coef * (log_p - log_ref)
    return np.exp(log_p) @ worth


def numerical_optimum(objective, n_starts=12):
    """The best product policy that a general-purpose optimiser finds, without our gradient."""
    rng = np.random.default_rng(0)
    starts = [REFERENCE, *(2.0 * rng.normal(size=(n_starts - 1, 5)))]
    found = [
        minimize(
            lambda logits: -written_out_value(objective, log_softmax(logits)),
            start,
            method="L-BFGS-B",
            jac="3-point",
            options={"ftol": 1e-15, "gtol": 1e-9, "maxiter": 1000},
        )
        for start in starts
    ]
    best = min(found, key=lambda result: result.fun)
    return -best.fun, log_softmax(best.x)


@pytest.mark.parametrize(("n_columns", "length"), [(1, 1), (1, 4), (4, 0), (2, 7), (5, 3), (4, 6)])
def test_counts_are_those_of_all_sequences(n_columns, length):
    counts = enumerate_counts(n_columns, length)
    assert counts.shape == (comb(n_columns + length - 1, length), n_columns)
    listed = [tuple(row) for row in counts]
    assert listed == sorted(listed)
    sequences = Counter(
        tuple(float(sequence.count(t)) for t in range(n_columns))
        for sequence in product(range(n_columns), repeat=length)
    )
    assert set(listed) == set(sequences)


def test_counts_of_a_larger_vocabulary_are_complete():
    counts = enumerate_counts(10, 8)
    assert len(np.unique(counts, axis=0)) == len(counts) == comb(17, 8)
    assert_array_equal(counts.sum(axis=1), 8)
    assert counts.min() == 0


def test_too_many_documents_are_refused():
    with pytest.raises(ValueError, match=r"40 columns and 6 tokens would list 8145060 documents"):
        enumerate_counts(40, 6)
    with pytest.raises(ValueError, match="more than 10000"):
        enumerate_counts(2000, 2)
    with pytest.raises(ValueError, match="n_columns=0 and length=3"):
        enumerate_counts(0, 3)


@given(SEEDS, st.sampled_from([additive, tf_idf, saturating, all_the_same]), st.integers(1, 4))
@proved
def test_value_and_gradient_are_those_of_the_sum_over_sequences(seed, reward, length):
    rng = np.random.default_rng(seed)
    objective = EnumeratedObjective(
        REFERENCE, reward, length, kl_coef=rng.uniform(0.2, 2), reward_coef=rng.uniform(0, 2)
    )
    log_prob = random_policy(5, rng)
    assert_allclose(np.exp(objective.log_probabilities(log_prob)).sum(), 1.0, rtol=1e-12)
    expected = written_out_value(objective, log_prob)
    assert_allclose(objective.value(log_prob), expected, rtol=1e-10, atol=1e-12)
    gradient = objective.gradient(log_prob)
    for t in range(5):
        step = 1e-5 * (np.arange(5) == t)
        slope = written_out_value(objective, log_softmax(log_prob + step))
        slope -= written_out_value(objective, log_softmax(log_prob - step))
        assert_allclose(gradient[t], slope / 2e-5, rtol=1e-5, atol=1e-7)


def test_token_values_are_conditional_expectations():
    objective = EnumeratedObjective(REFERENCE, tf_idf, 3)
    log_prob = random_policy(5, np.random.default_rng(0))
    documents, counts = ordered_documents(3)
    prob = np.exp(log_prob[documents].sum(axis=1))
    for t in range(5):
        first = documents[:, 0] == t
        expected = prob[first] @ tf_idf(counts)[first] / prob[first].sum()
        assert_allclose(objective.token_values(log_prob)[t], expected, rtol=1e-12)


@pytest.mark.parametrize(("reward", "kl_coef"), CASES)
def test_best_product_is_that_of_a_general_purpose_optimiser(reward, kl_coef):
    objective = EnumeratedObjective(REFERENCE, reward, 3, kl_coef=kl_coef)
    result = objective.optimum()
    assert_is_log_distribution(result.log_prob)
    value, policy = numerical_optimum(objective)
    assert_allclose(result.value, value, rtol=0, atol=1e-6)
    assert_allclose(np.exp(result.log_prob), np.exp(policy), rtol=0, atol=5e-5)
    assert result.residual < 1e-10
    assert np.abs(objective.gradient(result.log_prob)).max() < 1e-10
    assert_allclose(objective.mean_field_step(result.log_prob), result.log_prob, atol=1e-9)
    assert result.start_values.max() <= result.value + 1e-9


@pytest.mark.parametrize(("reward", "kl_coef"), CASES)
def test_tilt_is_the_best_distribution_over_sequences(reward, kl_coef):
    """And the certificate of a policy is its KL to the tilt, by another way."""
    objective = EnumeratedObjective(REFERENCE, reward, 3, kl_coef=kl_coef)
    documents, counts = ordered_documents(3)
    log_ref = REFERENCE[documents].sum(axis=1)
    weights = np.exp(log_ref + reward(counts) / kl_coef)
    assert_allclose(objective.tilt_value, kl_coef * np.log(weights.sum()), rtol=1e-12)
    marginals = [weights[documents[:, 0] == t].sum() for t in range(5)] / weights.sum()
    assert_allclose(np.exp(objective.tilt_marginals), marginals, rtol=1e-10)
    best = objective.optimum()
    for policy in (REFERENCE, best.log_prob, objective.tilt_marginals):
        # b log E exp(S / b) - E S with S the shaped reward of a sequence.
        log_p = policy[documents].sum(axis=1)
        shaped = reward(counts) - kl_coef * (log_p - log_ref)
        certificate = kl_coef * np.log(np.exp(log_p + shaped / kl_coef).sum())
        certificate -= np.exp(log_p) @ shaped
        assert_allclose(objective.gap_to_tilt(policy), certificate, atol=1e-10)
        assert_allclose(
            objective.gap_to_tilt(policy),
            objective.tilt_value - objective.value(policy),
            atol=1e-10,
        )
    assert best.value <= objective.tilt_value + 1e-12
    assert objective.value(objective.tilt_marginals) <= best.value + 1e-12


def test_a_product_is_worse_than_the_tilt_and_better_than_its_marginals():
    objective = EnumeratedObjective(REFERENCE, all_the_same, 3, kl_coef=0.3)
    best = objective.optimum()
    assert objective.tilt_value - best.value > 0.1
    assert best.value - objective.value(objective.tilt_marginals) > 1.0
    assert best.start_values.max() - best.start_values.min() > 0.1  # local maxima are real


def test_additive_rewards_have_the_additive_optimum():
    objective = EnumeratedObjective(REFERENCE, additive, 4, kl_coef=0.7, reward_coef=1.3)
    closed_form = AdditiveObjective(REFERENCE, WEIGHTS, length=4, kl_coef=0.7, reward_coef=1.3)
    result = objective.optimum(n_starts=2)
    assert_allclose(result.log_prob, closed_form.optimum(), atol=1e-9)
    assert_allclose(objective.tilt_value, closed_form.value(closed_form.optimum()), rtol=1e-12)
    assert result.gap_to_tilt < 1e-12
    policy = random_policy(5, np.random.default_rng(0))
    for quantity in ("value", "kl", "expected_reward"):
        assert_allclose(
            getattr(objective, quantity)(policy), getattr(closed_form, quantity)(policy), rtol=1e-12
        )
    assert_allclose(objective.gap_to_tilt(policy), closed_form.gap(policy), rtol=1e-10)


@given(SEEDS, st.sampled_from([tf_idf, saturating, all_the_same]))
@settings(proved, max_examples=12)
def test_no_policy_beats_the_best_product_or_the_tilt(seed, reward):
    objective = EnumeratedObjective(REFERENCE, reward, 2, kl_coef=0.5)
    policy = random_policy(5, np.random.default_rng(seed), spread=3.0)
    gap = objective.gap_to_tilt(policy)
    assert gap >= 0
    assert objective.value(policy) <= objective.optimum(n_starts=4).value + 1e-9


def test_tokens_outside_the_reference_do_not_count():
    wide = np.append(np.insert(REFERENCE, 2, -np.inf), -np.inf)
    inside = np.isfinite(wide)
    objective = EnumeratedObjective(wide, lambda counts: tf_idf(counts[:, inside]), 3)
    narrow = EnumeratedObjective(REFERENCE, tf_idf, 3)
    assert objective.counts.shape == (35, 7)
    result, expected = objective.optimum(n_starts=2), narrow.optimum(n_starts=2)
    assert_allclose(result.log_prob[inside], expected.log_prob, atol=1e-9)
    assert np.isneginf(result.log_prob[~inside]).all()
    assert_array_equal(objective.gradient(result.log_prob)[~inside], 0.0)
    assert_allclose(objective.tilt_value, narrow.tilt_value, rtol=1e-12)


def test_policies_without_some_tokens_have_exact_values():
    objective = EnumeratedObjective(REFERENCE, saturating, 3, kl_coef=0.5)
    policy = np.array([np.log(0.5), -np.inf, np.log(0.5), -np.inf, -np.inf])
    # Both tokens twice in three places: R = 2 unless token 2 is missing, one time in eight.
    assert_allclose(objective.expected_reward(policy), 2 * 7 / 8, rtol=1e-12)
    kl = 3 * (np.log(0.5) - 0.5 * (REFERENCE[0] + REFERENCE[2]))
    assert_allclose(objective.value(policy), 1.75 - 0.5 * kl, rtol=1e-12)
    gap = objective.tilt_value - objective.value(policy)
    assert_allclose(objective.gap_to_tilt(policy), gap, rtol=1e-10)
    # The value of an absent token is what it would bring.
    values = objective.token_values(policy)
    assert_allclose(values[1], -3 + 2 * 3 / 4, rtol=1e-9)
    assert_allclose(values[4], 1.5 + 2 * 3 / 4, rtol=1e-9)


def test_simulated_documents_agree():
    objective = EnumeratedObjective(REFERENCE, tf_idf, 3, kl_coef=0.5)
    policy = objective.optimum(n_starts=1).log_prob
    drawn = sample_rollouts(policy, 40_000, np.random.RandomState(0), length=3)
    rewards = tf_idf(drawn.counts.toarray())
    error = 4 * rewards.std(ddof=1) / np.sqrt(len(rewards))
    assert abs(rewards.mean() - objective.expected_reward(policy)) < error


def test_invalid_problems_say_what_is_wrong():
    with pytest.raises(ValueError, match=r"kl_coef > 0, got 0\.0"):
        EnumeratedObjective(REFERENCE, additive, 3, kl_coef=0.0)
    with pytest.raises(ValueError, match=r"each of 35 documents, got shape \(\)"):
        EnumeratedObjective(REFERENCE, lambda counts: 1.0, 3)
    with pytest.raises(ValueError, match="some that are not finite"):
        EnumeratedObjective(REFERENCE, lambda counts: np.log(np.zeros(35) + np.nan), 3)
