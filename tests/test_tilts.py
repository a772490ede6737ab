"""Tilted policies: derivatives of implicit rewards against differences of the rewards."""

import numpy as np
import pytest

from sklearn_codex._policy.tilts import TokenTilt

STEP = 1e-5


@pytest.fixture(params=[0, 1, 2])
def case(request):
    """A tilt, weights, slopes and a direction."""
    rng = np.random.default_rng(request.param)
    reference = np.log(rng.dirichlet(np.ones(6)))
    return TokenTilt(reference, 0.3), *rng.normal(size=(3, 6))


def test_a_unigram_policy_by_hand():
    tilt = TokenTilt(np.log([0.5, 0.25, 0.25]), 0.5)
    point = tilt.at(np.array([0.0, 0.5 * np.log(2), 0.0]))  # shares 2 : 2 : 1
    assert np.exp(point.log_prob) == pytest.approx([0.4, 0.4, 0.2])
    assert point.reward == pytest.approx(0.5 * np.log([0.8, 1.6, 0.8]))


def test_a_token_without_mass_has_no_reward():
    point = TokenTilt(np.array([-np.log(2), -np.log(2), -np.inf]), 0.5).at(np.ones(3))
    assert point.reward[2] == 0.0
    assert np.isneginf(point.log_prob[2])


def test_first_derivatives_are_those_of_rewards(case):
    tilt, weights, slopes, direction = case
    difference = tilt.at(weights + STEP * direction).reward
    difference = (difference - tilt.at(weights - STEP * direction).reward) / (2 * STEP)
    point = tilt.at(weights)
    assert point.jvp(direction) == pytest.approx(difference, rel=1e-6, abs=1e-8)
    assert point.vjp(slopes) @ direction == pytest.approx(slopes @ difference, rel=1e-6)


def test_second_derivatives_are_those_of_first(case):
    tilt, weights, slopes, direction = case
    difference = tilt.at(weights + STEP * direction).vjp(slopes)
    difference = (difference - tilt.at(weights - STEP * direction).vjp(slopes)) / (2 * STEP)
    found = tilt.at(weights).hvp(slopes, direction)
    assert found == pytest.approx(difference, rel=1e-6, abs=1e-8)
