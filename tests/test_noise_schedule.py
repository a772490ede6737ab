"""The schedule of the step by hand, for a run of which all is given."""

from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sklearn_codex._policy.noise_schedule import NoiseSchedule


def a_run(*, grows=False):
    """Batches of 128 documents of 3 tokens, at a KL of 2, and a step of 0.5."""
    objective = SimpleNamespace(
        kl_coef=2.0,
        n_parameters=2,
        expected_length=lambda log_prob: 3.0,
        occurrences=lambda log_prob, n: 3.0 * n * np.exp(log_prob),
    )
    return SimpleNamespace(
        settings=SimpleNamespace(n_rollouts=128, tol=1e-3, learning_rate=0.8, grows=grows),
        log_prob=np.log([0.75, 0.25]),
        problem=SimpleNamespace(temperature=2.0, objective=objective, explodes=False),
        update=SimpleNamespace(
            learning_rate=0.5, decay_start=None, damping=lambda length: 64.0 * length
        ),
        history=[{"objective/shaped_reward_std": std} for std in (9.0, 1.0, 3.0)],
        grown=0,
    )


def test_where_a_step_hovers_by_hand():
    # Two batches have the 256 documents that a variance takes: (1 + 9) / 2, without bias.
    variance = 5.0 * 128 / 127
    # 288 and 96 occurrences are expected, against a damping of 192.
    effective = 1.0 + 0.5
    by_hand = 0.5 / (2 - 0.5) * effective * variance / (2 * 2.0 * 128)
    assert_allclose(NoiseSchedule(a_run())._floor(), by_hand)


@pytest.mark.parametrize("grows", [False, True])
def test_a_step_shrinks_by_a_growing_number_or_its_root_where_batches_grow(grows):
    run = a_run(grows=grows)
    run.grow_batch = lambda: setattr(run, "grown", run.grown + 1)
    schedule = NoiseSchedule(run)
    rates = []
    for _ in range(40):
        schedule._shrink_step()
        rates.append(run.update.learning_rate)
    shrunk = 1 + 2 * np.arange(1, 41) / 20
    assert_allclose(rates, 0.8 / (np.sqrt(shrunk) if grows else shrunk))
    assert run.grown == (2 if grows else 0)


@pytest.mark.parametrize(
    ("gap", "error", "hovering", "ends"),
    [
        (0.1, 0.1, 1.0, True),  # 0.1 and two errors, and 0.2 of noise, are half of what is enough
        (0.12, 0.1, 1.0, False),
        (0.1, 0.11, 1.0, False),
        (-5.0, 0.15, 1.0, True),
        (0.1, 0.1, 1.01, False),
    ],
)
def test_training_ends_where_what_is_left_is_half_of_enough(gap, error, hovering, ends):
    run = a_run()
    run.history *= 20
    run.drift = SimpleNamespace(
        n=20, gap=lambda: (gap, error), noise=lambda: 0.2, restart=lambda: None
    )
    schedule = NoiseSchedule(run)
    schedule.enough, schedule._floor = lambda: 1.0, lambda: hovering
    assert schedule.converged() == ends
    # The step shrinks unless batches agree where to go.
    assert (run.update.decay_start is None) == (gap > 2 * error)


def test_where_batches_agree_the_look_begins_anew_and_the_step_stays():
    run, looks = a_run(), []
    run.history *= 20
    run.drift = SimpleNamespace(
        n=20, gap=lambda: (0.3, 0.1), noise=lambda: 0.0, restart=lambda: looks.append(1)
    )
    schedule = NoiseSchedule(run)
    schedule.enough, schedule._floor = lambda: 1.0, lambda: 1.0
    assert schedule.converged()
    assert looks == [1]
    assert run.update.learning_rate == 0.5
