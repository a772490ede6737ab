"""The tests behind the sentences: formulas, level where nothing is there, power where it is."""

import math
from itertools import product

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import binom, binomtest, norm

from sklearn_codex._verdicts import (
    CROSS_FITTED,
    LEVEL,
    digits_to_tell,
    judge_columns,
    judge_mean,
    judge_share,
    judge_slope,
)

FALSE_ALARM = 1e-4
"""Probability that a simulation whose rate is the level fails here."""


def assert_rate_at_most(n_seen, n, rate=LEVEL):
    assert n_seen <= binom.ppf(1 - FALSE_ALARM, n, rate), f"{n_seen} of {n}"


def repeat(n, simulate, seed=0):
    rng = np.random.RandomState(seed)
    return sum(bool(simulate(rng)) for _ in range(n))


def coins(rng, n_groups, n_each, together=0.0, sizes=None):
    """Return hits of probability 1/2 whose groups lean one way or the other, and the groups."""
    groups = np.repeat(np.arange(n_groups), n_each if sizes is None else sizes)
    lean = rng.choice([-together / 2, together / 2], n_groups)
    return (rng.uniform(size=len(groups)) < 0.5 + lean[groups]).astype(float), groups


def test_statistic_is_that_of_the_formula():
    values = np.array([1.0, 1.0, 0.0, 1.0, 1.0, 1.0] * 10)
    groups = np.repeat(np.arange(20), 3)  # sums of 2 and of 3
    for inflation in (1.0, 2.0):
        test = judge_share(values, groups, inflation=inflation)
        # u_g is 1/2 or 3/2: squares 1/4 and 9/4, ten each; pairs give 60/4 = 15 < 25.
        statistic = (10 * 0.5 + 10 * 1.5) / math.sqrt(inflation * 25)
        assert test.p_value == pytest.approx(2 * norm.sf(statistic))
        reach = (norm.ppf(0.975) + norm.ppf(0.8)) * math.sqrt(inflation * 25) / 60
        assert test.detectable == pytest.approx(reach)
    assert test.value == 50 / 60
    assert (test.n_pairs, test.n_groups) == (60, 20)
    # Pairs that balance within their group are no surer than independent ones.
    balanced = np.tile([1.0, 0.0], 30)
    two = np.repeat(np.arange(30), 2)
    test = judge_share(balanced + 0.02, two, inflation=1.0)
    assert test.p_value == pytest.approx(2 * norm.sf(1.2 / np.sqrt(60 * 0.2504)))


def test_extra_variance_is_that_of_the_mean():
    values, groups = np.tile([1.0, -0.5, 1.0], 20), np.repeat(np.arange(20), 3)
    test = judge_mean(values, groups, extra_variance=0.01)
    # Sums of 3/2: squares 20 * 9 / 4 = 45, as those of pairs, and 60^2 times what a mean varies.
    deviation = math.sqrt(45 + 3600 * 0.01)
    assert test.p_value == pytest.approx(2 * norm.sf(30 / deviation))
    reach = (norm.ppf(0.975) + norm.ppf(0.8)) * deviation / 60
    assert test.detectable == pytest.approx(reach)


def test_sixteen_groups_are_enumerated_and_seventeen_are_not():
    for n_groups in (16, 17):
        values = np.r_[1.5, np.ones(11), np.full(n_groups - 12, -1.0)]
        test = judge_mean(values, np.arange(n_groups))
        totals = np.array(list(product([1.0, -1.0], repeat=n_groups))) @ values
        exact = np.mean(np.abs(totals) >= values.sum() - 1e-9)
        normal = 2 * norm.sf(values.sum() / math.sqrt(values @ values))
        assert exact > normal
        assert test.p_value == pytest.approx(exact if n_groups == 16 else normal)


def test_few_groups_are_enumerated():
    values = np.array([1.0, 1.0, 1.0, 0.5, 1.0, 0.0, 1.0])
    sums = values - 0.5
    flips = [abs(np.dot(signs, sums)) >= sums.sum() - 1e-12 for signs in product([-1, 1], repeat=7)]
    test = judge_share(values, np.arange(7))
    assert test.p_value == pytest.approx(max(np.mean(flips), 2 * norm.sf(2 / math.sqrt(1.5))))
    # Six of six are the fewest groups that can tell anything.
    assert judge_share(np.ones(5), np.arange(5)).p_value == pytest.approx(2 / 2**5)
    assert judge_share(np.ones(6), np.arange(6)).is_above
    assert not judge_share(np.ones(1000), np.zeros(1000, dtype=int)).is_above


def test_independent_pairs_have_the_exact_binomial_test():
    for n, k in ((17, 5), (19, 5), (60, 40)):
        values = (np.arange(n) < k).astype(float)
        exact = binomtest(k, n).pvalue
        normal = 2 * norm.sf(abs(2 * k - n) / math.sqrt(n))
        assert judge_share(values, np.arange(n)).p_value == pytest.approx(max(exact, normal))


@pytest.mark.parametrize("extra_variance", [0.0, 0.001])
@pytest.mark.parametrize("inflation", [1.0, 2.0])
def test_interval_holds_what_is_not_rejected(inflation, extra_variance):
    rng = np.random.RandomState(0)
    groups = rng.randint(40, size=200)
    values = rng.normal(0.3, 1.0, 40)[groups] + rng.normal(size=200)
    options = {"inflation": inflation, "extra_variance": extra_variance}
    test = judge_mean(values, groups, **options)
    for end, inside in ((test.low, 1), (test.high, -1)):
        for step, rejected in ((1e-6, False), (-1e-6, True)):
            at = judge_mean(values, groups, null=end + inside * step, **options)
            assert (at.p_value < LEVEL) == rejected
    wider = judge_mean(values, groups, inflation=inflation + 1, extra_variance=extra_variance)
    assert wider.low < test.low < test.value < test.high < wider.high


def test_interval_where_all_agree_is_wilsons():
    test = judge_share(np.ones(50), np.arange(50) // 5)
    z2 = norm.ppf(0.975) ** 2 / 10
    assert test.low == pytest.approx(1 / (1 + z2))
    assert test.high == 1
    half = judge_share(np.full(50, 0.5), np.arange(50) // 5)
    assert half.p_value == 1
    assert (half.low + half.high) / 2 == pytest.approx(0.5)
    assert half.low < 0.3


@pytest.mark.parametrize("seed", range(20))
def test_verdict_and_interval_agree(seed):
    rng = np.random.RandomState(seed)
    for n_groups in (3, 6, 10, 16, 17, 60):
        for together in (0.0, 1.0):
            values, groups = coins(rng, n_groups, 4, together)
            test = judge_share(values, groups)
            assert (test.low <= 0.5 <= test.high) == (test.p_value >= LEVEL)
            assert 0 <= test.low <= test.value <= test.high <= 1


@pytest.mark.slow
@pytest.mark.parametrize("together", [0.0, 0.8])
@pytest.mark.parametrize(
    ("n_groups", "n_each", "sizes"),
    [
        (6, 10, None),
        (10, 5, None),
        (19, 1, None),
        (20, 10, None),
        (60, 5, None),
        (200, 1, None),
        (31, None, [50, 50, *[3] * 29]),
    ],
)
def test_coins_are_told_from_one_half_at_the_level(n_groups, n_each, sizes, together):
    def simulate(rng):
        return judge_share(*coins(rng, n_groups, n_each, together, sizes)).p_value < LEVEL

    assert_rate_at_most(repeat(1000, simulate), 1000)


@pytest.mark.slow
def test_what_is_said_to_be_detectable_is_detected():
    values, groups = coins(np.random.RandomState(0), 80, 5)
    reach = judge_share(values, groups).detectable

    def simulate(rng):
        hits = (rng.uniform(size=400) < 0.5 + reach).astype(float)
        return judge_share(hits, groups).is_above

    assert 0.72 < repeat(500, simulate) / 500 < 0.88


@pytest.mark.slow
@pytest.mark.parametrize("n_features", [2, 200])
def test_cross_fitted_skill_needs_the_inflation(n_features):
    """Each two prompts are used twice, so that a coin looks predictable too often without it."""

    def simulate(rng):
        groups = np.arange(300) // 5
        X, y = rng.normal(size=(300, n_features)), rng.randint(2, size=300)
        margin = np.empty(300)
        for fold in range(5):
            test = groups % 5 == fold
            A = X[~test].T @ X[~test] + 50 * np.eye(n_features)
            margin[test] = X[test] @ np.linalg.solve(A, X[~test].T @ (y[~test] - 0.5))
        right = 0.5 + 0.5 * np.sign(margin) * (2 * y - 1)
        for inflation in (1.0, CROSS_FITTED):
            seen[inflation] += judge_share(right, groups, inflation=inflation).is_above
        return False

    seen = dict.fromkeys((1.0, CROSS_FITTED), 0)
    repeat(400, simulate)
    # Of the level, half is for being better than a coin.
    assert_rate_at_most(seen[CROSS_FITTED], 400, LEVEL / 2)
    if n_features == 200:
        assert seen[1.0] > binom.ppf(0.95, 400, LEVEL / 2)


def test_slope_of_margins_by_hand():
    # Four equal margins, three labels with them: sigmoid(t) = 3 / 4.
    test = judge_slope(np.ones(40), np.tile([1.0, 1.0, 1.0, 0.0], 10), np.arange(40))
    assert test.value == pytest.approx(math.log(3))
    score = 40 * (0.75 - expit(1.0))
    variance = 30 * expit(-1.0) ** 2 + 10 * expit(1.0) ** 2
    assert test.p_value == pytest.approx(2 * norm.sf(score / math.sqrt(variance)))
    # Turned pairs say the same.
    sign = np.tile([1.0, -1.0], 20)
    y = np.where(sign > 0, np.tile([1.0, 1.0, 1.0, 0.0], 10), np.tile([0.0, 0.0, 0.0, 1.0], 10))
    assert judge_slope(sign, y, np.arange(40)) == pytest.approx(test)


def test_slope_of_a_model_that_was_cross_fitted_by_hand():
    y = np.tile([1.0, 1.0, 1.0, 0.0], 10)
    test = judge_slope(np.ones(40), y, np.arange(40), inflation=CROSS_FITTED)
    deviation = math.sqrt(2 * (30 * expit(-1.0) ** 2 + 10 * expit(1.0) ** 2))
    assert test.p_value == pytest.approx(2 * norm.sf(40 * (0.75 - expit(1.0)) / deviation))
    reach = (norm.ppf(0.975) + norm.ppf(0.8)) * deviation / (40 * expit(1.0) * expit(-1.0))
    assert test.detectable == pytest.approx(reach)


def test_slope_that_few_groups_do_not_reject_is_in_its_interval():
    # Five alike: 2 of 32 signs are no less likely, though by the normal law they would be.
    test = judge_slope(np.full(5, 2.0), np.full(5, 0.5), np.arange(5))
    assert test.p_value == 2 / 32 > LEVEL > 2 * norm.sf(math.sqrt(5))
    assert test.high == 1.0
    assert judge_slope(np.full(5, -2.0), np.full(5, 0.5), np.arange(5)) == pytest.approx(test)


def test_slope_interval_holds_what_is_not_rejected():
    rng = np.random.RandomState(0)
    margin, groups = rng.normal(size=400), np.arange(400) // 5
    y = (rng.uniform(size=400) < expit(0.7 * margin)).astype(float)
    test = judge_slope(margin, y, groups)
    assert test.low < 0.7 < test.high
    for end, inside in ((test.low, 1), (test.high, -1)):
        for step, rejected in ((1e-4, False), (-1e-4, True)):
            # A margin times t has slope 1 where the margin has slope t.
            scaled = judge_slope(margin * (end + inside * step), y, groups)
            assert (scaled.p_value < LEVEL) == rejected


def test_slope_where_no_label_tells():
    margin = np.linspace(-2, 2, 50)
    sure = judge_slope(margin, (margin > 0).astype(float), np.arange(50))
    assert sure.high == sure.value == math.inf
    against = judge_slope(margin, (margin < 0).astype(float), np.arange(50))
    assert against.low == against.value == -math.inf
    assert against.is_below
    for y in (np.ones(50), np.arange(50) % 2.0):  # margins alike: all that can be told is rejected
        alike = judge_slope(np.where(y > 0, 1.0, -1.0), y, np.arange(50))
        assert alike.value == alike.high == math.inf
        assert 700 < alike.low <= 1000
        assert alike.p_value < 1e-9
    few = np.r_[np.full(40, 1.0), 0.01]  # a pair of a small margin alone tells of steep slopes
    assert 1 < judge_slope(few, np.ones(41), np.arange(41)).low < 500
    nothing = judge_slope(np.zeros(50), np.tile([0.0, 1.0], 25), np.arange(50))
    assert nothing.p_value == 1
    assert math.isnan(nothing.value)


@pytest.mark.parametrize("scale", [1e-6, 1e-2, 1.0, 50.0])
def test_slope_does_not_depend_on_the_unit_of_margins(scale):
    rng = np.random.RandomState(0)
    margin, groups = rng.normal(size=200), np.arange(200) // 5
    y = (rng.uniform(size=200) < expit(margin)).astype(float)
    test, scaled = judge_slope(margin, y, groups), judge_slope(margin * scale, y, groups)
    for name in ("value", "low", "high"):
        assert getattr(scaled, name) * scale == pytest.approx(getattr(test, name), rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("scale", "n_each"), [(1.0, 1), (1.0, 10), (0.1, 5), (3.0, 5)])
def test_calibrated_margins_are_called_so_at_the_level(scale, n_each):
    def simulate(rng):
        margin = scale * rng.normal(size=200)
        y = (rng.uniform(size=200) < expit(margin)).astype(float)
        return judge_slope(margin, y, np.arange(200) // n_each).p_value < LEVEL

    assert_rate_at_most(repeat(400, simulate), 400)


@pytest.mark.slow
@pytest.mark.parametrize(("slope", "side"), [(0.4, "is_below"), (2.5, "is_above")])
def test_wrong_slopes_are_seen(slope, side):
    def simulate(rng):
        margin = rng.normal(size=400)
        y = (rng.uniform(size=400) < expit(slope * margin)).astype(float)
        return getattr(judge_slope(margin, y, np.arange(400) // 5), side)

    assert repeat(100, simulate) > 90


def test_columns_are_held_against_all_flips():
    rng = np.random.RandomState(0)
    totals = rng.normal(size=(9, 3)) + np.array([1.0, 0.0, -2.0])
    scaled = totals / np.sqrt((totals**2).sum(axis=0))
    flips = np.array(list(product([-1, 1], repeat=9)))
    greatest = np.abs(flips @ scaled).max(axis=1)
    exact = [np.mean(greatest >= t - 1e-9) for t in np.abs(scaled.sum(axis=0))]
    found = judge_columns(totals, rng=rng, n_flips=20_000)
    np.testing.assert_allclose(found.p_value, exact, atol=0.01)
    np.testing.assert_array_equal(found.sign, np.sign(totals.sum(axis=0)))
    assert judge_columns(np.zeros((5, 2)), rng=rng).p_value.tolist() == [1, 1]


@pytest.mark.slow
def test_no_column_of_many_is_told_from_chance_too_often():
    """Of 60 columns, some of them alike, any; a rare one that stands in two groups is none."""

    def simulate(rng):
        shared = rng.normal(size=(40, 5))
        totals = np.repeat(shared, 12, axis=1) + rng.normal(size=(40, 60))
        totals[2:, 7] = 0
        totals *= rng.choice([-1, 1], size=(40, 1))  # labels that are coins
        return (judge_columns(totals, rng=rng, n_flips=199).p_value < LEVEL).any()

    assert_rate_at_most(repeat(300, simulate), 300)
    rng = np.random.RandomState(1)
    totals = rng.normal(size=(40, 60))
    totals[:, 3] += 1.0
    found = judge_columns(totals, rng=rng)
    assert np.flatnonzero(found.p_value < LEVEL).tolist() == [3]


@pytest.mark.parametrize(
    ("low", "high", "digits"),
    [(0.41, 0.52, 2), (0.41, 0.49, 2), (0.41, 0.498, 3), (0.50004, 0.6, 5), (0.4, 0.49999999, 5)],
)
def test_digits_tell_on_which_side_of_the_null_an_interval_is(low, high, digits):
    assert digits_to_tell(low, high, 0.5, 2) == digits
