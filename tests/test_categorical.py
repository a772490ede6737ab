"""The maths of categorical distributions against scipy, by property and by simulation."""

from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
from assertions import assert_frequencies_agree, assert_is_log_distribution
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from sklearn_codex._categorical import (
    TokenSampler,
    close_kl,
    cross_entropy,
    entropy,
    exact_sum,
    expectation,
    kl_divergence,
    normalize_log,
    safe_log,
)

WEIGHT = st.one_of(
    st.just(0.0),
    st.floats(0.01, 1.0),
    st.floats(1e-18, 1e-12),
    st.floats(1e-320, 1e-290),
)


@st.composite
def log_distributions(draw, min_size=1, max_size=40, weights=WEIGHT):
    values = draw(st.lists(weights, min_size=min_size, max_size=max_size))
    values[draw(st.integers(0, len(values) - 1))] = 1.0
    return normalize_log(safe_log(values))


@st.composite
def pairs_of_distributions(draw):
    first = draw(log_distributions())
    return first, draw(log_distributions(min_size=len(first), max_size=len(first)))


class GivenUniforms:
    """A source of draws that returns the uniforms it was given."""

    def __init__(self, uniforms):
        self.uniforms = np.asarray(uniforms)

    def random_sample(self, size):
        assert size == len(self.uniforms)
        return self.uniforms


def searched(log_prob, uniforms):
    """The inverse CDF in three lines."""
    cdf = np.cumsum(np.exp(log_prob))
    cdf /= cdf[-1]
    return np.searchsorted(cdf, uniforms, side="right")


def difficult_uniforms(log_prob):
    """Uniforms at, just below and just above all steps of the CDF and all borders of buckets."""
    cdf = np.cumsum(np.exp(log_prob))
    n_buckets = max(1, int((np.exp(log_prob) > 0).sum()))
    borders = np.concatenate([cdf / cdf[-1], np.arange(n_buckets) / n_buckets])
    around = np.concatenate([borders, np.nextafter(borders, 0), np.nextafter(borders, 1)])
    return around[around < 1]


@given(log_distributions())
def test_normalised_weights_are_a_distribution(log_prob):
    assert_is_log_distribution(log_prob)
    assert_allclose(normalize_log(log_prob + 700.0), log_prob, rtol=1e-12, atol=1e-12)


def test_weights_beyond_the_range_of_floats_are_normalised():
    assert_allclose(normalize_log([-5000.0, -5000.0 + np.log(3)]), np.log([0.25, 0.75]))
    log_half = np.log(0.5)
    assert_allclose(normalize_log([5000.0, -np.inf, 5000.0]), [log_half, -np.inf, log_half])


@given(log_distributions())
def test_entropy_is_that_of_scipy(log_prob):
    assert_allclose(entropy(log_prob), stats.entropy(np.exp(log_prob)), rtol=1e-9, atol=1e-10)


@given(pairs_of_distributions())
def test_kl_is_that_of_scipy_and_never_negative(pair):
    log_p, log_q = pair
    kl = kl_divergence(log_p, log_q)
    assert kl >= 0
    if log_q[log_p > -np.inf].min() > -700:  # below, scipy has a denormal probability or none
        assert_allclose(kl, stats.entropy(np.exp(log_p), np.exp(log_q)), rtol=1e-9, atol=1e-10)
    if np.abs(np.exp(log_p) - np.exp(log_q)).max() > 1e-3:
        assert kl > 0
    assert kl_divergence(log_p, log_p) == 0


def test_kl_is_infinite_exactly_outside_the_support():
    half, one = np.log([0.5, 0.5]), safe_log([1.0, 0.0])
    assert kl_divergence(half, one) == np.inf
    assert_allclose(kl_divergence(one, half), np.log(2))
    far = np.array([-2000.0, 0.0])
    assert kl_divergence(far, np.array([-np.inf, 0.0])) == np.inf
    assert_allclose(kl_divergence(half, far), 1000 - np.log(2))


@given(pairs_of_distributions())
def test_cross_entropy_is_entropy_plus_kl(pair):
    log_p, log_q = pair
    assert_allclose(
        cross_entropy(np.exp(log_p), log_q),
        # Tokens whose probability underflows have no frequency.
        entropy(log_p) + kl_divergence(np.where(np.exp(log_p) > 0, log_p, -np.inf), log_q),
        rtol=1e-9,
        atol=1e-10,
    )


def test_expectation_takes_no_value_where_nothing_is_probable():
    assert expectation(safe_log([0.25, 0.75, 0.0]), np.array([4.0, 8.0, -np.inf])) == 7.0


@pytest.mark.parametrize("place", [0, 1])
def test_nan_is_never_hidden(place):
    good, bad = np.log([0.5, 0.5]), np.log([0.5, 0.5])
    bad[place] = np.nan
    for value in (
        kl_divergence(bad, good),
        kl_divergence(good, bad),
        entropy(bad),
        expectation(bad, good),
        cross_entropy(np.exp(bad), good),
    ):
        assert np.isnan(value)


@given(log_distributions(), st.lists(st.integers(0, 2**53 - 1), max_size=30))
def test_sampler_is_the_inverse_cdf_bit_for_bit(log_prob, integers):
    uniforms = np.concatenate([difficult_uniforms(log_prob), np.array(integers) / 2**53])
    tokens = TokenSampler(log_prob).sample(len(uniforms), GivenUniforms(uniforms))
    assert_array_equal(tokens, searched(log_prob, uniforms))
    assert (log_prob[tokens] > -np.inf).all()


@pytest.mark.parametrize("n_tokens", [2, 49, 98, 103, 398, 1000])
def test_sampler_holds_where_a_bucket_border_is_rounded_up(n_tokens):
    # Steps of the CDF on the borders of buckets, and behind each many tokens that add nothing.
    log_prob = safe_log(np.tile(np.r_[1.0, np.full(4, 1e-300)], n_tokens)) - np.log(n_tokens)
    uniforms = difficult_uniforms(log_prob)
    tokens = TokenSampler(log_prob).sample(len(uniforms), GivenUniforms(uniforms))
    assert_array_equal(tokens, searched(log_prob, uniforms))


def test_sampler_finds_tokens_behind_thousands_of_improbable_ones():
    rng = np.random.RandomState(0)
    weights = np.full(50_000, 1e-9)
    weights[rng.choice(50_000, 10)] = 1.0
    log_prob = normalize_log(np.log(weights))
    uniforms = np.concatenate([rng.random_sample(50_000), difficult_uniforms(log_prob)])
    tokens = TokenSampler(log_prob).sample(len(uniforms), GivenUniforms(uniforms))
    assert_array_equal(tokens, searched(log_prob, uniforms))


def test_sampler_never_draws_what_has_no_probability():
    log_prob = normalize_log([-np.inf, 0.0, -800.0, -np.inf, 0.0, -np.inf])
    tokens = TokenSampler(log_prob).sample(10_000, np.random.RandomState(0))
    assert set(tokens) == {1, 4}


def test_sampler_of_one_token_always_draws_it():
    assert_array_equal(TokenSampler(np.zeros(1)).sample(5, np.random.RandomState(0)), np.zeros(5))


def test_sampler_takes_any_shape_from_one_stream():
    log_prob = np.log([0.2, 0.3, 0.5])
    flat = TokenSampler(log_prob).sample(12, np.random.RandomState(3))
    shaped = TokenSampler(log_prob).sample((3, 4), np.random.RandomState(3))
    assert_array_equal(shaped, flat.reshape(3, 4))


@pytest.mark.parametrize("seed", range(3))
def test_sampled_frequencies_agree_with_the_distribution(seed):
    rng = np.random.RandomState(seed)
    prob = rng.dirichlet(np.full(50, 0.5)) + 1e-3
    prob[::7] = 0
    prob /= prob.sum()
    tokens = TokenSampler(safe_log(prob)).sample(100_000, rng)
    assert_frequencies_agree(np.bincount(tokens, minlength=50), prob)


def close_kl_in_decimals(log_p, log_q):
    """The sum of p log(p / q) - p + q to 60 digits, q outside the support of p included."""
    with localcontext() as context:
        context.prec = 60
        total = Decimal(0)
        for a, b in zip(log_p.tolist(), log_q.tolist(), strict=True):
            p, q = Decimal(a).exp(), Decimal(b).exp()
            total += q if a == -np.inf else p * (Decimal(a) - Decimal(b)) - p + q
        return float(total)


@given(pairs_of_distributions())
def test_close_kl_of_any_two_distributions(pair):
    log_p, log_q = pair
    if np.any((log_q == -np.inf) & (log_p > -np.inf)):
        assert close_kl(log_p, log_q) == np.inf
    else:
        expected = close_kl_in_decimals(log_p, log_q)
        assert_allclose(close_kl(log_p, log_q), expected, rtol=1e-9, atol=1e-300)
        assert_allclose(close_kl(log_p, log_q), kl_divergence(log_p, log_q), atol=1e-12)


def test_divergences_of_nan_are_nan():
    uniform, broken = np.log([0.5, 0.5]), np.array([np.nan, 0.0])
    for function in (kl_divergence, close_kl):
        assert np.isnan(function(broken, uniform))
        assert np.isnan(function(uniform, broken))


@pytest.mark.parametrize("distance", [1e-2, 1e-5, 1e-7])
def test_close_kl_keeps_its_digits_where_kl_divergence_loses_them(distance):
    rng = np.random.default_rng(0)
    log_p = normalize_log(rng.standard_normal(50))
    log_q = log_p + distance * rng.standard_normal(50)
    # Both sum to one up to rounding, which is all that the plain sum keeps of the smallest.
    log_q = normalize_log(log_q)
    assert_allclose(close_kl(log_p, log_q), close_kl_in_decimals(log_p, log_q), rtol=1e-6)
    if distance == 1e-7:
        assert abs(kl_divergence(log_p, log_q) / close_kl(log_p, log_q) - 1) > 1e-4


def test_exact_sums_are_those_of_fractions():
    rng = np.random.RandomState(0)
    values = np.append(rng.normal(size=300) * np.exp(rng.normal(0, 60, 300)), [0.0, 5e-324])
    assert exact_sum(values) == sum(map(Fraction, values))
    assert exact_sum(values[:150]) + exact_sum(values[150:]) == exact_sum(values)
    assert exact_sum(np.zeros(0)) == 0
    assert exact_sum(np.array([1.0, -np.inf])) == -np.inf
    assert exact_sum(np.full(2, 1e308)) == np.inf
    assert np.isnan(exact_sum(np.array([1.0, np.nan])))
