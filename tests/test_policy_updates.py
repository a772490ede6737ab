import numpy as np
import pytest
from additive_problems import random_objective, random_policy, total_variation
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_codex._categorical import kl_divergence
from sklearn_codex._policy_updates import AdamUpdate, NaturalUpdate

SEEDS = st.integers(0, 2**32 - 1)
proved = settings(deadline=None, max_examples=40, derandomize=True)


def natural(objective, **changed):
    given = {
        "batch_size": 100.0,
        "learning_rate": 1.0,
        "damping": 0.0,
        "n_epochs": 1,
        "n_minibatches": 1,
        "target_kl": None,
    }
    return NaturalUpdate(objective, **(given | changed))


def expected_gradient(objective, log_prob, batch_size=100.0):
    """The policy gradient of the shaped token scores, summed over a batch, without noise."""
    prob, scores = np.exp(log_prob), objective.token_scores(log_prob)
    return batch_size * objective.length * prob * (scores - prob @ scores)


@pytest.mark.parametrize("demonstrations", [False, True])
@pytest.mark.parametrize("zeros", [False, True])
@given(seed=SEEDS)
@proved
def test_one_full_step_without_noise_is_the_optimum(demonstrations, zeros, seed):
    objective = random_objective(
        seed, demonstrations=demonstrations, penalised=True, zeros=zeros, reward_coef=1.0
    )
    # Nothing is expected to occur outside the reference, so a little damping is needed there.
    update = natural(objective, damping=1e-9)
    update.step(expected_gradient(objective, update.policy()), update.policy())
    assert total_variation(update.policy(), objective.optimum()) < 1e-6


def test_starts_at_the_optimum_of_what_is_known():
    objective = random_objective(3, penalised=True)
    start = natural(objective).policy()
    tilted = np.exp(objective.reference_log_prob - objective.penalty)
    assert_allclose(np.exp(start), tilted / tilted.sum())
    plain = random_objective(3)
    assert_allclose(natural(plain).policy(), plain.reference_log_prob, atol=1e-14)


def test_does_not_move_at_the_optimum():
    objective = random_objective(5, demonstrations=True, reward_coef=1.0)
    update = natural(objective)
    update.learned_reward = objective.token_reward.copy()
    best = update.policy()
    assert_allclose(best, objective.optimum(), rtol=1e-10)
    update.step(expected_gradient(objective, best), best)
    assert total_variation(update.policy(), best) < 1e-12


def test_is_the_natural_gradient_of_the_logits():
    objective = random_objective(2, kl_coef=0.7)
    update = natural(objective)
    rng = np.random.default_rng(0)
    old = update.policy()
    gradient = rng.standard_normal(len(old))
    gradient -= gradient.mean()
    update.step(1e-6 * gradient, old)
    fisher = np.diag(np.exp(old)) - np.outer(np.exp(old), np.exp(old))
    occurrences = 100.0 * objective.length
    assert_allclose(
        0.7 * occurrences * fisher @ (update.policy() - old), 1e-6 * gradient, atol=1e-11
    )


def test_damping_holds_rare_tokens_and_epochs_share_the_step():
    objective = random_objective(2)
    gradient = expected_gradient(objective, objective.reference_log_prob)

    def moved(**changed):
        update = natural(objective, **changed)
        update.step(gradient, objective.reference_log_prob)
        return update.learned_reward

    expected = 100.0 * objective.length * np.exp(objective.reference_log_prob)
    assert_allclose(moved(damping=5.0), moved() * expected / (expected + 5.0))
    assert_allclose(moved(n_epochs=4), moved() / 4)
    assert_allclose(moved(n_minibatches=4), moved())
    assert_allclose(moved(learning_rate=0.3), 0.3 * moved())


@pytest.mark.parametrize("demonstrations", [False, True])
@given(seed=SEEDS)
@proved
def test_trust_region_holds_the_exact_kl_of_a_batch(demonstrations, seed):
    objective = random_objective(seed, demonstrations=demonstrations, reward_coef=100.0)
    update = natural(objective, target_kl=1e-4, n_epochs=2, n_minibatches=3)
    old = update.policy()
    for _ in range(6):
        update.step(expected_gradient(objective, old) / 3, old)
    moved = objective.length * kl_divergence(old, update.policy())
    assert moved <= 1.1e-4


def test_adam_is_its_definition():
    objective = random_objective(1)
    rng = np.random.default_rng(0)
    gradients = rng.standard_normal((5, len(objective.token_reward)))
    update = AdamUpdate(objective, batch_size=10, learning_rate=0.1, n_steps=5)
    assert_allclose(update.policy(), objective.reference_log_prob, atol=1e-14)
    logits = objective.reference_log_prob.copy()
    per_token = gradients / (10 * objective.length)
    for t in range(1, 6):
        update.step(gradients[t - 1], objective.reference_log_prob)
        rate = 0.1 * (6 - t) / 5
        assert_allclose(update.learning_rate, rate)
        ages = np.arange(t)[::-1, np.newaxis]
        mean = (0.9**ages * per_token[:t]).sum(axis=0) / (0.9**ages).sum()
        square = (0.999**ages * per_token[:t] ** 2).sum(axis=0) / (0.999**ages).sum()
        logits = logits + rate * mean / (np.sqrt(square) + 1e-5)
    assert_allclose(update.policy(), logits - np.log(np.exp(logits).sum()))
    after = update.policy()
    update.step(gradients[0], objective.reference_log_prob)
    assert update.learning_rate == 0
    assert_array_equal(update.policy(), after)


def test_adam_never_gives_probability_to_what_the_reference_cannot_produce():
    objective = random_objective(1, zeros=True)
    update = AdamUpdate(objective, batch_size=10, learning_rate=0.1, n_steps=5)
    inside = np.isfinite(objective.reference_log_prob)
    gradient = np.where(inside, 1.0, 0.0) * random_policy(len(inside), np.random.default_rng(0))
    update.step(gradient, objective.reference_log_prob)
    assert_array_equal(np.isfinite(update.policy()), inside)
    assert_allclose(np.exp(update.policy()).sum(), 1.0)
