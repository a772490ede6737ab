"""PPO of bigram policies against the exact optimum and the exact gradient."""

import numpy as np
import pytest
from bigram_problems import KINDS, Documents, random_problem, random_tilt
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning

from sklearn_codex.sequential import BigramObjective, BigramReference, optimize_bigram_policy
from sklearn_codex.sequential._ppo import (
    _Batch,
    _Steps,
    generalized_advantages,
    surrogate_gradient,
)

EXACT = ("value", "kl", "expected_reward", "gap")


def zipf_problem(seed, *, n_columns=20, length=10, kl_coef=1.0):
    rng = np.random.RandomState(seed)
    frequency = rng.permutation(1 / np.arange(1, n_columns + 1))
    unigram = frequency / frequency.sum()
    rows = 0.8 * rng.dirichlet(20 * unigram, size=n_columns) + 0.2 * unigram
    reference = BigramReference(rows, unigram)
    return BigramObjective(reference, rng.standard_normal(n_columns), length, kl_coef)


def lost_share(problem, gap):
    return gap / problem.gap(np.zeros(problem.reference.n_columns))


def all_documents(problem, log_tilt):
    """A batch of every document, and their probabilities (n,) under the policy."""
    documents = Documents(problem)
    tokens = documents.tokens
    states = np.hstack([np.zeros((len(tokens), 1), dtype=np.intp), tokens[:, :-1]])
    batch = _Batch(
        problem, log_tilt, problem._policies(log_tilt), problem.marginals(log_tilt), tokens, states
    )
    return batch, documents.under(log_tilt)


@pytest.mark.parametrize("critic", ["normalizer", "table"])
@pytest.mark.parametrize("seed", range(5))
def test_ppo_reaches_the_optimum(critic, seed):
    problem = zipf_problem(seed)
    result = optimize_bigram_policy(problem, critic=critic, random_state=seed)
    assert result.n_iter < 100
    assert lost_share(problem, result.gap) <= 1e-4
    # No policy that does not know the time gets there.
    assert result.gap < 0.5 * problem.gap(problem.stationary_tilt())


@pytest.mark.parametrize("gae_lambda", [0.0, 0.5, 1.0])
def test_no_noise_is_left_at_the_optimum_for_any_lambda(gae_lambda):
    lost = []
    for seed in range(4):
        problem = zipf_problem(seed)
        result = optimize_bigram_policy(
            problem, gae_lambda=gae_lambda, max_iter=120, tol=0, random_state=seed
        )
        lost.append(lost_share(problem, result.gap))
        assert result.history[-1]["objective/shaped_reward_std"] < 1e-3
        assert result.history[0]["objective/shaped_reward_std"] > 1.0
    # A token that is drawn once in ten thousand takes its time; the others are exact.
    assert max(lost) < 1e-7
    assert np.median(lost) < 1e-16


@pytest.mark.parametrize("seed", range(3))
def test_small_kl_coef_is_held_by_the_trust_region(seed):
    problem = zipf_problem(seed, kl_coef=0.1)
    result = optimize_bigram_policy(problem, target_kl=1.0, random_state=seed)
    moved = [record["policy/approxkl_avg"] for record in result.history]
    assert max(moved) < 2.0
    assert lost_share(problem, result.gap) < 1e-3


def test_ppo_on_a_sparse_reference_of_many_tokens():
    problem = random_problem("backoff", 0, n_columns=300, length=8, kl_coef=1.0)
    result = optimize_bigram_policy(problem, tol=1e-3, max_iter=60, random_state=0)
    assert lost_share(problem, result.gap) <= 1e-3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("gae_lambda", [0.0, 0.7, 1.0])
def test_expected_step_is_the_gradient(kind, gae_lambda):
    problem = random_problem(kind, 1)
    log_tilt = random_tilt(problem, 1)
    batch, prob = all_documents(problem, log_tilt)
    # With the true values any lambda is unbiased, with others only 1.
    values = batch.values(problem.state_values(log_tilt))
    tables = [values, batch.values(None)] if gae_lambda == 1.0 else [values]
    for table in tables:
        advantages = generalized_advantages(batch.reward, table, gae_lambda)
        gradient = surrogate_gradient(
            batch.policies, batch.tokens, batch.states, prob[:, np.newaxis] * advantages
        )
        assert_allclose(gradient, problem.gradient(log_tilt), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_shaped_rewards_are_those_of_the_objective(kind):
    problem = random_problem(kind, 2)
    log_tilt = random_tilt(problem, 2)
    batch, prob = all_documents(problem, log_tilt)
    documents = Documents(problem)
    possible = prob > 0
    log_ratio = np.log(prob[possible] / documents.prob[possible])
    shaped = batch.reward.sum(axis=1)[possible]
    assert_allclose(shaped, documents.reward[possible] - problem.kl_coef * log_ratio, atol=1e-12)
    assert_allclose(prob[possible] @ shaped, problem.value(log_tilt), rtol=1e-11)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("gae_lambda", [0.0, 0.7, 1.0])
def test_advantages_vanish_at_the_optimum(kind, gae_lambda):
    problem = random_problem(kind, 3)
    best = problem.optimum()
    batch, prob = all_documents(problem, best)
    for values in (batch.values(None), batch.values(problem.state_values(best))):
        advantages = generalized_advantages(batch.reward, values, gae_lambda)[prob > 0]
        assert_allclose(advantages - advantages.mean(axis=0), 0.0, atol=1e-13)


@pytest.mark.parametrize("gae_lambda", [0.0, 0.3, 1.0])
def test_generalized_advantages_are_discounted_sums(gae_lambda):
    rng = np.random.default_rng(0)
    rewards, values = rng.standard_normal((5, 6)), rng.standard_normal((5, 7))
    differences = rewards + values[:, 1:] - values[:, :-1]
    decay = np.array([[gae_lambda ** max(k - h, 0) * (k >= h) for h in range(6)] for k in range(6)])
    assert_allclose(generalized_advantages(rewards, values, gae_lambda), differences @ decay)


def test_a_table_learns_the_values_of_a_policy():
    problem = random_problem("dense", 4)
    log_tilt, table = random_tilt(problem, 4), np.zeros((3, 4))
    rng = np.random.RandomState(0)
    for _ in range(5):
        batch = _Batch.draw(problem, log_tilt, 20_000, rng)
        batch.teach(table, generalized_advantages(batch.reward, batch.values(table), 1.0))
    values, visits = problem.state_values(log_tilt), problem.marginals(log_tilt)[:-1]
    assert np.abs(values).max() > 1.0
    assert np.max((visits * np.abs(table - values)[1:]).sum(axis=1)) < 0.05
    assert_allclose(table[0, 0], values[0, 0], rtol=0, atol=0.05)
    assert_array_equal(table[0, 1:], 0.0)


def test_a_table_moves_as_if_each_state_was_met_once_more_by_hand():
    problem = BigramObjective(BigramReference(np.full((2, 2), 0.5), [0.5, 0.5]), np.zeros(2), 2)
    tokens, states = np.array([[0, 1], [1, 1], [1, 0]]), np.array([[0, 0], [0, 1], [0, 1]])
    log_tilt = np.zeros((2, 2))
    policies, marginals = problem._policies(log_tilt), problem.marginals(log_tilt)
    batch = _Batch(problem, log_tilt, policies, marginals, tokens, states)
    table = np.array([[1.0, 1.0], [2.0, 2.0]])
    batch.teach(table, np.array([[4.0, 6.0], [4.0, 1.0], [0.0, 2.0]]))
    # State 0 is met three times at first, then once, and state 1 twice.
    assert_allclose(table, [[1 + 8 / 4, 1.0], [2 + 6 / 2, 2 + 3 / 3]])


def test_a_step_by_hand():
    # One token a document: drawn 0, 0 and 1 from 3/4 and 1/4, with slopes 1, 0 and -1.
    problem = BigramObjective(BigramReference(np.eye(2), [0.75, 0.25]), np.zeros(2), 1, kl_coef=2.0)
    log_tilt, tokens = np.zeros((1, 2)), np.array([[0], [0], [1]])
    policies, marginals = problem._policies(log_tilt), problem.marginals(log_tilt)
    batch = _Batch(problem, log_tilt, policies, marginals, tokens, np.zeros_like(tokens))
    steps = _Steps(n_epochs=1, clipping=None, target_kl=None, learning_rate=1.0)
    # Over a KL of 2, and over the occurrences expected and one more.
    by_hand = np.array([1.0, -1.0]) / 2 / (3 * np.array([0.75, 0.25]) + 1)
    by_hand -= 0.75 * by_hand[0] + 0.25 * by_hand[1]
    step = steps._step(batch, policies, np.array([[1.0], [0.0], [-1.0]]))
    assert_allclose(step, by_hand[np.newaxis])


def test_a_narrower_clip_range_clips_more_and_moves_less():
    problem = zipf_problem(0)
    clipped, moved = [], []
    for clip_range in (0.02, 0.2, (0.9, 20.0)):
        first = optimize_bigram_policy(
            problem, clip_range=clip_range, n_epochs=8, target_kl=None, max_iter=1, tol=0,
            random_state=0,
        ).history[1]  # fmt: skip
        clipped.append(first["policy/clipfrac_avg"])
        moved.append(first["policy/approxkl_avg"])
    assert clipped[0] > clipped[1] > clipped[2]
    assert moved[0] < moved[1] < moved[2]


def test_the_surrogate_rises_above_that_of_the_old_policy():
    # With centred advantages that one is 0; the loss is its negative.
    result = optimize_bigram_policy(zipf_problem(0), max_iter=3, tol=0, random_state=0)
    assert all(record["loss/policy_avg"] < 0 for record in result.history[1:])


def test_result_and_history_are_exact():
    problem = zipf_problem(1)
    result = optimize_bigram_policy(problem, n_rollouts=64, max_iter=7, tol=0, random_state=0)
    assert result.log_tilt.shape == (10, 20)
    assert (result.n_iter, result.n_sequences) == (7, 7 * 64)
    for name in EXACT:
        assert_allclose(result[name], getattr(problem, name)(result.log_tilt), rtol=1e-12)
    first, last = result.history[0], result.history[-1]
    assert [record["iteration"] for record in result.history] == list(range(8))
    assert last["episode"] == 7 * 64
    assert_allclose(first["objective/optimality_gap"], problem.gap(np.zeros(20)), rtol=1e-12)
    assert first["objective/kl_exact"] == 0
    for record in result.history:
        difference = problem.optimal_value() - record["objective/value"]
        assert_allclose(record["objective/optimality_gap"], difference, atol=1e-9)


def test_shaped_reward_std_is_that_of_documents():
    problem = zipf_problem(2)
    result = optimize_bigram_policy(problem, n_rollouts=20_000, max_iter=0, tol=0, random_state=0)
    rewards = problem.token_reward[problem.sample(np.zeros(20), 20_000, 1)].sum(axis=1)
    assert_allclose(result.history[0]["objective/shaped_reward_std"], rewards.std(), rtol=0.05)


def test_same_seed_same_bits():
    problem = zipf_problem(3)
    runs = [
        optimize_bigram_policy(problem, max_iter=3, tol=0, random_state=seed).log_tilt
        for seed in (0, np.random.RandomState(0), 1)
    ]
    assert_array_equal(runs[0], runs[1])
    assert (runs[0] != runs[2]).any()


def test_a_reward_that_is_the_same_for_all_leaves_the_reference():
    problem = zipf_problem(4)
    flat = BigramObjective(problem.reference, np.full(20, 3.0), 10)
    result = optimize_bigram_policy(flat, random_state=0)
    assert result.n_iter == 0
    result = optimize_bigram_policy(flat, max_iter=5, tol=0, random_state=0)
    assert_allclose(result.value, 30.0, rtol=1e-12)
    assert result.gap < 1e-20


def test_a_document_of_one_token():
    problem = zipf_problem(5, length=1)
    result = optimize_bigram_policy(problem, random_state=0)
    assert lost_share(problem, result.gap) <= 1e-4


def test_too_few_iterations_are_told():
    with pytest.warns(ConvergenceWarning, match=r"stopped at max_iter=2 before .* tol=0.0001 of"):
        optimize_bigram_policy(zipf_problem(0), max_iter=2, random_state=0)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"n_rollouts": 0}, "'n_rollouts' parameter of optimize_bigram_policy must be .* Got 0"),
        ({"gae_lambda": 1.5}, "'gae_lambda' .* Got 1.5"),
        ({"critic": "linear"}, "'critic' .* Got 'linear'"),
        ({"tol": -1.0}, "'tol' .* Got -1.0"),
        ({"clip_range": (0.2,)}, r"optimize_bigram_policy: clip_range should be .*got \(0.2,\)"),
        ({"objective": "J"}, "'objective' .* Got 'J'"),
    ],
)
def test_what_is_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        optimize_bigram_policy(**({"objective": zipf_problem(0)} | changed))
