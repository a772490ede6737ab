import numpy as np
import pytest
from additive_problems import random_policy
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import log_softmax

from sklearn_codex._categorical import TokenSampler, kl_divergence
from sklearn_codex._policy.ppo import (
    Clipping,
    TokenAdvantages,
    approximate_kl,
    center,
    clipped_surrogate,
    probability_ratio,
    whiten,
)
from sklearn_codex.exact._trust_region import largest_share, trust_region_scale

SEEDS = st.integers(0, 2**32 - 1)
CLIP_RANGES = st.one_of(st.floats(0.01, 1.5), st.tuples(st.floats(0.01, 0.9), st.floats(0.01, 1.5)))
proved = settings(deadline=None, max_examples=80, derandomize=True)


class Batch:
    """Tokens drawn from an old policy, their advantages, and a policy that has moved since."""

    def __init__(self, seed, *, distance=0.4):
        rng = np.random.default_rng(seed)
        self.n_columns = int(rng.integers(2, 12))
        self.old = random_policy(self.n_columns, rng)
        self.logits = self.old + distance * rng.standard_normal(self.n_columns)
        self.new = log_softmax(self.logits)
        n_tokens = int(rng.integers(1, 60))
        self.tokens = rng.choice(self.n_columns, size=n_tokens, p=np.exp(self.old))
        self.advantages = rng.standard_normal(n_tokens) * rng.integers(0, 2, n_tokens)
        self.statistics = TokenAdvantages.collect(self.tokens, self.advantages, self.n_columns)

    def surrogate(self, log_prob, clip_range, dual_clip=None):
        """The clipped surrogate of PPO, token by token."""
        ratio = np.exp(log_prob - self.old)[self.tokens]
        return clipped_surrogate(ratio, self.advantages, Clipping(clip_range, dual_clip)).sum()


def test_clipped_surrogate_by_hand():
    ratio = np.array([1.5, 1.5, 0.5, 0.5, 1.1, 0.9])
    advantage = np.array([1.0, -1.0, 1.0, -1.0, 2.0, -2.0])
    expected = [1.2, -1.5, 0.5, -0.8, 2.2, -1.8]
    assert_allclose(clipped_surrogate(ratio, advantage, Clipping(0.2)), expected)
    expected = [1.3, -1.5, 0.5, -0.9, 2.2, -1.8]
    assert_allclose(clipped_surrogate(ratio, advantage, Clipping((0.1, 0.3))), expected)


def test_dual_clip_by_hand():
    ratio = np.array([5.0, 5.0, 2.9, 0.5, 0.5])
    advantage = np.array([-1.0, 1.0, -2.0, -1.0, 1.0])
    # Only ratios beyond 3 of negative advantages are held, at 3; the rest is as without.
    expected = [-3.0, 1.2, -5.8, -0.8, 0.5]
    assert_allclose(clipped_surrogate(ratio, advantage, Clipping(0.2, 3.0)), expected)
    assert_allclose(clipped_surrogate(ratio, advantage, Clipping(0.2))[1:], expected[1:])
    statistics = TokenAdvantages.collect(np.arange(5), advantage, 5)
    assert_allclose(statistics.surrogate(ratio, Clipping(0.2, 3.0)), sum(expected))
    gradient = statistics.surrogate_gradient(ratio, np.zeros(5), Clipping(0.2, 3.0))
    assert_allclose(gradient, [0, 0, -2 * 2.9, 0, 0.5])
    # Held: the first, the second (above 1.2) and the fourth (below 0.8).
    assert statistics.clip_fraction(ratio, Clipping(0.2, 3.0)) == 3 / 5


@given(seed=SEEDS, clip_range=CLIP_RANGES, dual_clip=st.floats(2.6, 6.0))
@proved
def test_dual_clip_gradient_by_finite_differences(seed, clip_range, dual_clip):
    batch, clipping = Batch(seed, distance=1.2), Clipping(clip_range, dual_clip)
    ratio = probability_ratio(batch.new, batch.old)
    kinks = np.array([clipping.low, clipping.high, clipping.ceiling])
    assume(np.abs(ratio - kinks[:, np.newaxis]).min() > 1e-3)
    assert_allclose(
        batch.statistics.surrogate(ratio, clipping),
        batch.surrogate(batch.new, clip_range, dual_clip),
        rtol=1e-10,
        atol=1e-10,
    )
    differences = [
        (
            batch.surrogate(log_softmax(batch.logits + h), clip_range, dual_clip)
            - batch.surrogate(log_softmax(batch.logits - h), clip_range, dual_clip)
        )
        / 2e-5
        for h in 1e-5 * np.eye(batch.n_columns)
    ]
    gradient = batch.statistics.surrogate_gradient(ratio, np.exp(batch.new), clipping)
    assert_allclose(gradient, differences, rtol=1e-5, atol=1e-5)


@given(seed=SEEDS)
@proved
def test_without_clipping_it_is_the_importance_weighted_advantage(seed):
    batch = Batch(seed, distance=1.5)
    ratio = probability_ratio(batch.new, batch.old)
    drawn = ratio[batch.tokens]
    assert_allclose(batch.statistics.surrogate(ratio, None), drawn @ batch.advantages, atol=1e-9)
    assert batch.statistics.clip_fraction(ratio, None) == 0
    scores = np.eye(batch.n_columns)[batch.tokens] - np.exp(batch.new)
    assert_allclose(
        batch.statistics.surrogate_gradient(ratio, np.exp(batch.new), None),
        (drawn * batch.advantages) @ scores,
        atol=1e-9,
    )


def test_clip_bounds_of_one_number_and_of_a_pair():
    assert (Clipping(0.2).low, Clipping(0.2).high) == (0.8, 1.2)
    assert (Clipping((0.1, 0.3)).low, Clipping((0.1, 0.3)).high) == (0.9, 1.3)


@given(seed=SEEDS, clip_range=CLIP_RANGES)
@proved
def test_surrogate_of_the_statistics_is_that_of_the_tokens(seed, clip_range):
    batch = Batch(seed)
    ratio = probability_ratio(batch.new, batch.old)
    assert_allclose(
        batch.statistics.surrogate(ratio, Clipping(clip_range)),
        batch.surrogate(batch.new, clip_range),
        rtol=1e-10,
        atol=1e-10,
    )
    low, high = Clipping(clip_range).low, Clipping(clip_range).high
    drawn, advantages = ratio[batch.tokens], batch.advantages
    clipped = np.where(advantages > 0, drawn > high, (advantages < 0) & (drawn < low))
    assert_allclose(batch.statistics.clip_fraction(ratio, Clipping(clip_range)), clipped.mean())


@given(seed=SEEDS, clip_range=CLIP_RANGES)
@proved
def test_surrogate_gradient_by_finite_differences(seed, clip_range):
    batch = Batch(seed, distance=0.6)
    ratio = probability_ratio(batch.new, batch.old)
    kinks = np.array([Clipping(clip_range).low, Clipping(clip_range).high])
    assume(np.abs(ratio - kinks[:, np.newaxis]).min() > 1e-3)
    differences = [
        (
            batch.surrogate(log_softmax(batch.logits + h), clip_range)
            - batch.surrogate(log_softmax(batch.logits - h), clip_range)
        )
        / 2e-5
        for h in 1e-5 * np.eye(batch.n_columns)
    ]
    gradient = batch.statistics.surrogate_gradient(ratio, np.exp(batch.new), Clipping(clip_range))
    assert_allclose(gradient, differences, rtol=1e-5, atol=1e-6)
    assert_allclose(gradient.sum(), 0.0, atol=1e-9)


@given(seed=SEEDS)
@proved
def test_before_any_step_it_is_the_plain_policy_gradient(seed):
    batch = Batch(seed)
    ratio = probability_ratio(batch.old, batch.old)
    assert_array_equal(ratio, 1.0)
    assert batch.statistics.clip_fraction(ratio, Clipping(0.2)) == 0
    score_functions = np.eye(batch.n_columns)[batch.tokens] - np.exp(batch.old)
    assert_allclose(
        batch.statistics.surrogate_gradient(ratio, np.exp(batch.old), Clipping(0.2)),
        batch.advantages @ score_functions,
        rtol=1e-10,
        atol=1e-10,
    )


def test_a_wide_clip_range_never_clips():
    batch = Batch(5, distance=2.0)
    ratio = probability_ratio(batch.new, batch.old)
    assert_allclose(
        batch.surrogate(batch.new, (0.999999, 1e9)), ratio[batch.tokens] @ batch.advantages
    )
    assert batch.statistics.clip_fraction(ratio, Clipping((0.999999, 1e9))) == 0


def test_ratio_of_tokens_that_cannot_occur_is_one():
    log_prob = np.array([np.log(0.4), np.log(0.6), -np.inf])
    old = np.array([np.log(0.5), np.log(0.5), -np.inf])
    assert_allclose(probability_ratio(log_prob, old), [0.8, 1.2, 1.0])


def test_center_and_whiten():
    values = np.random.default_rng(0).gamma(2.0, size=1000)
    assert_allclose(center(values), values - values.mean())
    assert_allclose([whiten(values).mean(), whiten(values).std()], [0, 1], atol=1e-12)
    assert_allclose(whiten(7.0 * values + 3.0), whiten(values), atol=1e-12)
    assert_allclose(whiten(1e-12 * values), whiten(values), atol=1e-12)
    # Rounding is not blown up to advantages of size one.
    assert_array_equal(whiten(np.full(7, 1e6 / 3) + 1e-10 * (np.arange(7) % 2)), 0.0)
    assert_array_equal(whiten(np.zeros(4)), 0.0)


def test_approximate_kl_estimates_the_kl():
    rng = np.random.default_rng(1)
    log_p = random_policy(30, rng)
    log_q = random_policy(30, rng, spread=0.5)
    tokens = TokenSampler(log_p).sample(100_000, np.random.RandomState(0))
    exact = kl_divergence(log_p, log_q)
    for estimator in ("k1", "k3"):
        drawn = approximate_kl(log_p - log_q, estimator)[tokens]
        assert abs(drawn.mean() - exact) < 4 * drawn.std() / np.sqrt(len(drawn))
        assert_allclose(np.exp(log_p) @ approximate_kl(log_p - log_q, estimator), exact)


@given(log_ratio=st.floats(-600, 1e6))
@proved
def test_k2_and_k3_are_never_negative(log_ratio):
    d = np.array([log_ratio])
    assert approximate_kl(d, "k3")[0] >= 0
    assert approximate_kl(d, "k2")[0] == 0.5 * log_ratio**2
    assert approximate_kl(d, "k1")[0] == log_ratio


def test_k2_and_k3_agree_for_close_policies():
    d = np.array([1e-3, -1e-3])
    assert_allclose(approximate_kl(d, "k3"), approximate_kl(d, "k2"), rtol=1e-3)


def test_approximate_kl_far_below_and_by_a_wrong_name():
    assert_array_equal(approximate_kl(np.array([-1000.0, 0.0]), "k3"), [np.inf, 0.0])
    with pytest.raises(ValueError, match=r"'k1', 'k2' or 'k3', got 'k4'"):
        approximate_kl(np.zeros(2), "k4")


@given(seed=SEEDS, target_kl=st.floats(1e-8, 1e-4))
@proved
def test_trust_region_holds_the_exact_kl_of_small_steps(seed, target_kl):
    rng = np.random.default_rng(seed)
    n_columns, length = int(rng.integers(2, 30)), int(rng.integers(1, 40))
    log_prob = random_policy(n_columns, rng, spread=0.5)
    step = rng.standard_normal(n_columns)
    scale = trust_region_scale(step, np.exp(log_prob), length, target_kl)
    moved = length * kl_divergence(log_prob, log_softmax(log_prob + scale * step))
    assume(scale < 1)
    assert_allclose(moved, target_kl, rtol=0.05)


@given(seed=SEEDS, target_kl=st.floats(1e-3, 1.0), size=st.floats(1.0, 100.0))
@proved
def test_no_step_moves_more_than_eight_times_the_trust_region(seed, target_kl, size):
    rng = np.random.default_rng(seed)
    n_columns, length = int(rng.integers(2, 30)), int(rng.integers(1, 40))
    log_prob = random_policy(n_columns, rng, spread=5.0)
    step = size * rng.standard_normal(n_columns)
    scale = trust_region_scale(step, np.exp(log_prob), length, target_kl)
    moved = length * kl_divergence(log_prob, log_softmax(log_prob + scale * step))
    assert moved <= 8.0 * target_kl * (1.0 + 1e-4)


def test_a_rare_token_is_not_raised_to_certainty_at_once():
    # Var_pi(step) / 2 is .0002 nats, but the step makes a token of probability 1e-6 one of .96.
    prob, step = np.array([1.0 - 1e-6, 1e-6]), np.array([0.0, 17.0])
    scale = trust_region_scale(step, prob, 1, 0.01)
    # log(1 - p + p e^x) - p x is 8 times .01 at about e^x = 1 + (e^.08 - 1) / p.
    assert_allclose(scale * 17.0, np.log(1.0 + np.expm1(0.08) / 1e-6), rtol=1e-3)


def test_a_step_inside_the_trust_region_is_left_alone():
    prob = np.array([0.5, 0.5])
    assert trust_region_scale(np.array([1e-3, 0.0]), prob, 20, 0.5) == 1.0
    assert trust_region_scale(np.full(2, 1e6), prob, 20, 1e-9) == 1.0
    assert trust_region_scale(np.zeros(2), prob, 20, 1e-9) == 1.0


@given(st.floats(1e-6, 1e6), st.floats(1.0, 6.0), st.floats(1e-3, 2.0))
@proved
def test_a_share_of_a_step_uses_most_of_its_trust_region(scale, power, target_kl):
    share = largest_share(lambda share: scale * share**power, target_kl)
    moved = scale * share**power
    assert moved <= target_kl
    assert share == 1.0 or moved >= 0.8 * target_kl
