"""Tilted policies: derivatives of implicit rewards against differences of the rewards."""

from decimal import Decimal, localcontext

import numpy as np
import pytest
from candidates import TILTS, random_tilt
from numpy.testing import assert_allclose

from sklearn_codex._categorical import tilted
from sklearn_codex._ngrams.backoff import BackoffModel
from sklearn_codex._policy.candidate_tilt import CandidateTilt
from sklearn_codex._policy.ngram_tilt import NGramTilt
from sklearn_codex._policy.tilts import TokenTilt
from sklearn_codex.exact import bigram_model

STEP = 1e-5


@pytest.fixture(params=[(kind, seed) for kind in ("tokens", *TILTS) for seed in range(3)])
def case(request):
    """A tilt, weights, slopes and a direction."""
    kind, seed = request.param
    if kind != "tokens":
        return random_tilt(kind, seed)
    rng = np.random.default_rng(seed)
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


# Strengths at the ends


def exactly(log_prob, tilts, kl_coef, groups):
    """The policy and its reward, with 400 digits."""
    with localcontext() as context:
        context.prec, context.Emin, context.Emax = 400, -(10**15), 10**15
        weights = [Decimal(p).exp() for p in log_prob]
        b, logits = Decimal(kl_coef), []
        for group in sorted(set(groups)):
            own = [i for i, code in enumerate(groups) if code == group]
            mass = sum(weights[i] for i in own)
            top = max(Decimal(tilts[i]) for i in own)
            moved = [weights[i] / mass * ((Decimal(tilts[i]) - top) / b).exp() for i in own]
            z = sum(moved)
            logits += [
                (i, float((m / z).ln()), float(Decimal(tilts[i]) - top - b * z.ln()))
                for i, m in zip(own, moved, strict=True)
            ]
        return np.array([row[1:] for row in sorted(logits)]).T


STRENGTHS = [1e-12, 1e-8, 1e-3, 0.3, 1.0, 30.0, 1e4, 1e8, 1e12, 1e100, 1e300]
GROUPS = np.array([0, 1, 0, 1, 1, 0, 2])


@pytest.mark.parametrize("kl_coef", STRENGTHS)
@pytest.mark.parametrize("codes", [None, GROUPS], ids=["tokens", "prompts"])
def test_policies_and_rewards_have_all_digits_at_any_strength(kl_coef, codes):
    rng = np.random.default_rng(3)
    tilts, groups = rng.normal(size=7), np.zeros(7, int) if codes is None else codes
    tilts[3] = tilts[4]  # two at the top, or not
    reference = rng.dirichlet(np.ones(7))
    reference = np.log(reference / np.bincount(groups, reference)[groups])
    log_prob, reward = tilted(reference, tilts, kl_coef, codes)
    expected_prob, expected_reward = exactly(reference, tilts, kl_coef, groups)
    assert_allclose(reward, expected_reward, rtol=0, atol=4e-15)
    assert_allclose(np.exp(log_prob), np.exp(expected_prob), rtol=1e-13, atol=1e-15)
    assert_allclose(np.bincount(groups, np.exp(log_prob)), 1.0, rtol=1e-14)


@pytest.mark.parametrize("kl_coef", [1e-300, 1e-20, 1.0, 1e20])
def test_what_has_no_mass_changes_no_policy(kl_coef):
    reference, tilts = np.log([0.25, 0.75]), np.array([0.5, -0.5])
    plain = tilted(reference, tilts, kl_coef)
    for other in (-1e9, 0.0, 1e9):
        log_prob, reward = tilted(np.append(reference, -np.inf), np.append(tilts, other), kl_coef)
        assert_allclose(log_prob, np.append(plain[0], -np.inf))
        assert_allclose(reward, np.append(plain[1], 0.0))


def test_the_likeliest_of_a_vast_tilt_need_not_be_the_most_tilted():
    # e^-900 is no float, and the tilt of 2 nats too small to make up for it.
    reference = np.array([-900.0, np.log(0.5), np.log(0.5)])
    log_prob, reward = tilted(reference, np.array([2.0, 1.0, 0.0]), 1.0)
    assert_allclose(np.exp(log_prob), [0.0, np.e / (1 + np.e), 1 / (1 + np.e)])
    assert_allclose(reward, np.array([2.0, 1.0, 0.0]) - np.log((1 + np.e) / 2))


@pytest.mark.parametrize("kl_coef", STRENGTHS[4:])
def test_rewards_of_all_families_are_the_same(kl_coef):
    rng = np.random.default_rng(5)
    reference, weights = np.log(rng.dirichlet(np.ones(5))), rng.normal(size=5)
    model = BackoffModel.of_tokens(reference)
    of_tokens = TokenTilt(reference, kl_coef).at(weights).reward
    of_rows = CandidateTilt(np.zeros(5, int), reference, kl_coef).at(weights).reward
    events = NGramTilt(model.trie, model.event_log_prob, kl_coef).at(weights)
    assert_allclose(of_rows, of_tokens, rtol=0, atol=1e-15)
    assert_allclose(events.reward[:5], of_tokens, rtol=0, atol=1e-13)


@pytest.mark.parametrize("kl_coef", [1e6, 1e12, 1e100])
def test_rewards_after_each_context_sum_to_nothing_where_the_policy_stays(kl_coef):
    # b log Z tends to the mean of the tilts under the reference.
    model = bigram_model([[0.2, 0.8], [0.7, 0.3]], initial=[0.5, 0.5])
    weights = np.random.default_rng(6).normal(size=model.trie.n_arcs)
    tilt = NGramTilt(model.trie, model.event_log_prob, kl_coef)
    reward = tilt.at(weights).reward
    assert_allclose(tilt._mean(reward[: model.trie.n_arcs]), 0.0, atol=2 / kl_coef + 1e-14)
    assert np.abs(reward).max() > 0.1
