"""Tilted policies over candidates: derivatives of rewards against differences of the rewards."""

import numpy as np
import pytest
from scipy import sparse

from sklearn_codex._policy.candidate_tilt import CandidateTilt
from sklearn_codex._policy.tilts import TokenTilt

STEP = 1e-5
PROMPTS = np.array([1, 0, 0, 2, 1, 1, 0, 2])


@pytest.fixture(params=[(kind, seed) for kind in ("table", "dense", "sparse") for seed in range(2)])
def case(request):
    """A tilt, weights, slopes and a direction."""
    kind, seed = request.param
    rng = np.random.default_rng(seed)
    reference = rng.normal(size=len(PROMPTS))
    reference[4] = -np.inf  # banned
    features = None if kind == "table" else rng.normal(size=(len(PROMPTS), 3))
    if kind == "sparse":
        features = sparse.csr_array(np.where(features > 0, features, 0.0))
    tilt = CandidateTilt(PROMPTS, reference, 0.3, features)
    return tilt, *rng.normal(size=(2, tilt.n_weights)), rng.normal(size=len(PROMPTS))


def test_a_policy_by_hand():
    tilt = CandidateTilt(np.array([0, 0, 1, 1]), np.log([2.0, 2.0, 3.0, 1.0]), 0.5)
    point = tilt.at(0.5 * np.log([1.0, 3.0, 1.0, 3.0]))  # shares 1 : 3 and 3 : 3
    assert np.exp(point.log_prob) == pytest.approx([0.25, 0.75, 0.5, 0.5])
    assert point.reward == pytest.approx(0.5 * np.log([0.5, 1.5, 2 / 3, 2.0]))


def test_a_log_linear_policy_by_hand():
    features = np.array([[0.0, 1.0], [2.0, 0.0], [1.0, 1.0]])
    tilt = CandidateTilt(np.zeros(3, int), np.zeros(3), 2.0, features)
    point = tilt.at(2 * np.log([2.0, 3.0]))  # 3 : 4 : 6
    assert np.exp(point.log_prob) == pytest.approx(np.array([3, 4, 6]) / 13)
    assert point.reward == pytest.approx(2 * np.log(3 * np.array([3, 4, 6]) / 13))


def test_candidates_of_one_prompt_are_tilted_as_tokens():
    rng = np.random.default_rng(0)
    reference = np.log(rng.dirichlet(np.ones(5)))
    weights, slopes, direction = rng.normal(size=(3, 5))
    own = CandidateTilt(np.zeros(5, int), reference, 0.7).at(weights)
    tokens = TokenTilt(reference, 0.7).at(weights)
    for found, expected in [
        (own.log_prob, tokens.log_prob),
        (own.reward, tokens.reward),
        (own.jvp(direction), tokens.jvp(direction)),
        (own.vjp(slopes), tokens.vjp(slopes)),
        (own.hvp(slopes, direction), tokens.hvp(slopes, direction)),
    ]:
        assert found == pytest.approx(expected, rel=1e-10)


def test_first_derivatives_are_those_of_rewards(case):
    tilt, weights, direction, slopes = case
    difference = tilt.at(weights + STEP * direction).reward
    difference = (difference - tilt.at(weights - STEP * direction).reward) / (2 * STEP)
    point = tilt.at(weights)
    assert point.jvp(direction) == pytest.approx(difference, rel=1e-6, abs=1e-8)
    assert point.vjp(slopes) @ direction == pytest.approx(slopes @ difference, rel=1e-6)


def test_second_derivatives_are_those_of_first(case):
    tilt, weights, direction, slopes = case
    difference = tilt.at(weights + STEP * direction).vjp(slopes)
    difference = (difference - tilt.at(weights - STEP * direction).vjp(slopes)) / (2 * STEP)
    found = tilt.at(weights).hvp(slopes, direction)
    assert found == pytest.approx(difference, rel=1e-6, abs=1e-7)


def test_a_banned_candidate_has_no_reward_and_no_slope(case):
    tilt, weights, direction, _ = case
    point = tilt.at(weights)
    assert np.isneginf(point.log_prob[4])
    assert point.reward[4] == 0.0 == point.jvp(direction)[4]
    assert not point.vjp(np.eye(len(PROMPTS))[4]).any()
    others = np.arange(len(PROMPTS)) != 4
    ratio = (point.log_prob[others]) - tilt.at(np.zeros(tilt.n_weights)).log_prob[others]
    assert point.reward[others] == pytest.approx(tilt.kl_coef * ratio)
