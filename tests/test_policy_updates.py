import numpy as np
import pytest
from additive_problems import random_objective, random_policy, total_variation
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_codex._categorical import kl_divergence
from sklearn_codex._policy.updates import AdamUpdate, DualUpdate, LogitUpdate
from sklearn_codex.exact import AdditiveObjective, EosObjective

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
    return DualUpdate(objective, **(given | changed))


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
    update.begin_batch(update.policy())
    update.step(expected_gradient(objective, update.policy()))
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
    update.begin_batch(best)
    update.step(expected_gradient(objective, best))
    assert total_variation(update.policy(), best) < 1e-12


def test_is_the_natural_gradient_of_the_logits():
    objective = random_objective(2, kl_coef=0.7)
    update = natural(objective)
    rng = np.random.default_rng(0)
    old = update.policy()
    gradient = rng.standard_normal(len(old))
    gradient -= gradient.mean()
    update.begin_batch(old)
    update.step(1e-6 * gradient)
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
        update.begin_batch(objective.reference_log_prob)
        update.step(gradient)
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
    update.begin_batch(old)
    for _ in range(6):
        update.step(expected_gradient(objective, old) / 3)
    moved = objective.length * kl_divergence(old, update.policy())
    assert moved <= 1.1e-4


def test_trust_region_beside_demonstrations_by_hand():
    # Each of two tokens is shown as often as it is drawn, and pulls as two more kl_coef.
    half = np.log([0.5, 0.5])
    objective = AdditiveObjective(
        half, np.zeros(2), sft_coef=2.0, frequencies=np.array([0.5, 0.5]), kl_coef=1.0
    )
    update = natural(objective, target_kl=0.01)
    update.begin_batch(half)
    update.step(np.array([40.0, -40.0]))
    # Logits move by a third of the learned reward, and a document by half their square.
    assert_allclose(update.learned_reward, np.array([3.0, -3.0]) * np.sqrt(2 * 0.01))


def test_adam_is_its_definition():
    objective = random_objective(1)
    rng = np.random.default_rng(0)
    gradients = rng.standard_normal((5, len(objective.token_reward)))
    update = AdamUpdate(objective, batch_size=10, learning_rate=0.1, n_batches=3)
    assert_allclose(update.policy(), objective.reference_log_prob, atol=1e-14)
    logits = objective.reference_log_prob.copy()
    per_token = gradients / (10 * objective.length)
    for t in range(1, 6):
        if t % 2:
            update.begin_batch(update.policy())
        update.step(gradients[t - 1])
        rate = 0.1 * [1, 1, 2 / 3, 2 / 3, 1 / 3][t - 1]
        assert_allclose(update.learning_rate, rate)
        ages = np.arange(t)[::-1, np.newaxis]
        mean = (0.9**ages * per_token[:t]).sum(axis=0) / (0.9**ages).sum()
        square = (0.999**ages * per_token[:t] ** 2).sum(axis=0) / (0.999**ages).sum()
        logits = logits + rate * mean / (np.sqrt(square) + 1e-5)
    assert_allclose(update.policy(), logits - np.log(np.exp(logits).sum()))
    after = update.policy()
    update.begin_batch(update.policy())
    update.step(gradients[0])
    assert update.learning_rate == 0
    assert_array_equal(update.policy(), after)


def test_adam_never_gives_probability_to_what_the_reference_cannot_produce():
    objective = random_objective(1, zeros=True)
    update = AdamUpdate(objective, batch_size=10, learning_rate=0.1, n_batches=5)
    inside = np.isfinite(objective.reference_log_prob)
    update.begin_batch(update.policy())
    gradient = np.where(inside, 1.0, 0.0) * random_policy(len(inside), np.random.default_rng(0))
    update.step(gradient)
    assert_array_equal(np.isfinite(update.policy()), inside)
    assert_allclose(np.exp(update.policy()).sum(), 1.0)


def test_damping_in_proportion_to_the_length_of_documents():
    objective = random_objective(2, length=6)
    gradient = expected_gradient(objective, objective.reference_log_prob)

    def moved(**changed):
        update = natural(objective, **changed)
        update.begin_batch(objective.reference_log_prob)
        update.step(gradient)
        return update.learned_reward

    assert_allclose(moved(damping=1.0, damping_per_token=0.5), moved(damping=4.0))


def eos_objective(seed, **settings):
    rng = np.random.default_rng(seed)
    return EosObjective(random_policy(6, rng), rng.normal(size=6) - 1.0, eos=2, **settings)


def test_a_step_of_the_logits_is_that_of_the_dual_where_length_is_fixed():
    objective = random_objective(4, penalised=True)
    settings = {
        "batch_size": 100.0,
        "learning_rate": 0.5,
        "damping": 3.0,
        "n_epochs": 2,
        "n_minibatches": 1,
        "target_kl": 0.3,
    }
    updates = [DualUpdate(objective, **settings), LogitUpdate(objective, **settings)]
    gradients = np.random.default_rng(0).standard_normal((4, len(objective.token_reward)))
    for gradient in 30 * gradients:
        for update in updates:
            update.begin_batch(update.policy())
            update.step(gradient)
    assert_allclose(updates[0].policy(), updates[1].policy(), atol=1e-10)


def test_logits_start_at_the_reference_with_its_penalties():
    objective = eos_objective(0, penalty=np.array([0.0, 3.0, 0, 0, 1.0, 0]))
    settings = {"batch_size": 1, "learning_rate": 1, "damping": 1, "n_epochs": 1}
    start = LogitUpdate(objective, n_minibatches=1, target_kl=None, **settings).policy()
    tilted = np.exp(objective.reference_log_prob - objective.penalty)
    assert_allclose(np.exp(start), tilted / tilted.sum())


@given(seed=SEEDS)
@proved
def test_trust_region_of_documents_that_end_by_themselves(seed):
    objective = eos_objective(seed)
    update = LogitUpdate(
        objective,
        batch_size=50,
        learning_rate=1.0,
        damping=1.0,
        n_epochs=1,
        n_minibatches=1,
        target_kl=1e-4,
    )
    old = update.policy()
    update.begin_batch(old)
    update.step(1e4 * np.random.default_rng(seed).standard_normal(6))
    moved = objective.expected_length(old) * kl_divergence(old, update.policy())
    assert_allclose(moved, 1e-4, rtol=0.05)


def test_a_state_brings_an_update_back():
    rng = np.random.default_rng(0)
    objective = random_objective(1)
    settings = {"batch_size": 10, "learning_rate": 0.1}

    def adam():
        return AdamUpdate(objective, n_batches=None, **settings)

    for make in (adam, lambda: natural(objective, damping=1.0)):
        update, restored = make(), make()
        gradients = rng.standard_normal((4, len(objective.token_reward)))
        for gradient in gradients[:2]:
            update.begin_batch(update.policy())
            update.step(gradient)
        restored.restore(update.state())
        for gradient in gradients[2:]:
            for one in (update, restored):
                one.begin_batch(one.policy())
                one.step(gradient)
        assert_array_equal(update.policy(), restored.policy())
    with pytest.raises(ValueError, match=r"same kind of optimizer.*for DualUpdate"):
        natural(objective).restore(adam().state())
