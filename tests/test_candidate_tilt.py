"""Tilted policies over candidates, by hand and as tokens; derivatives are in ``test_tilts``."""

import numpy as np
import pytest
from candidates import ASKED, TILTS, random_tilt

from sklearn_codex._policy.candidate_tilt import CandidateTilt
from sklearn_codex._policy.tilts import TokenTilt


@pytest.mark.parametrize("kind", TILTS)
@pytest.mark.parametrize("seed", range(2))
def test_a_banned_candidate_has_no_reward_and_no_slope(kind, seed):
    tilt, weights, _, direction = random_tilt(kind, seed)
    point = tilt.at(weights)
    assert np.isneginf(point.log_prob[4])
    assert point.reward[4] == 0.0 == point.jvp(direction)[4]
    assert not point.vjp(np.eye(len(ASKED))[4]).any()
    others = np.arange(len(ASKED)) != 4
    ratio = (point.log_prob[others]) - tilt.at(np.zeros(tilt.n_weights)).log_prob[others]
    assert point.reward[others] == pytest.approx(tilt.kl_coef * ratio)


def test_a_policy_by_hand():
    tilt = CandidateTilt(np.array([0, 0, 1, 1]), np.log([2.0, 2.0, 3.0, 1.0]), 0.5)
    point = tilt.at(0.5 * np.log([1.0, 3.0, 1.0, 3.0]))  # shares 1 : 3 and 3 : 3
    assert np.exp(point.log_prob) == pytest.approx([1.0, 3.0, 2.0, 2.0])  # each prompt keeps its 4
    assert point.prob == pytest.approx([0.25, 0.75, 0.5, 0.5])
    assert point.reward == pytest.approx(0.5 * np.log([0.5, 1.5, 2 / 3, 2.0]))


def test_a_log_linear_policy_by_hand():
    features = np.array([[0.0, 1.0], [2.0, 0.0], [1.0, 1.0]])
    tilt = CandidateTilt(np.zeros(3, int), np.zeros(3), 2.0, features)
    point = tilt.at(2 * np.log([2.0, 3.0]))  # 3 : 4 : 6
    assert point.prob == pytest.approx(np.array([3, 4, 6]) / 13)
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
