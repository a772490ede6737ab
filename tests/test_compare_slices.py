"""Which slices differ: the formula, the level, and what is found."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, false_discovery_control, norm

from sklearn_codex.metrics import accuracy_by_slice, compare_slices, side_slices
from sklearn_codex.metrics._compare_slices import Slice, measures_of
from sklearn_codex.metrics._slice_tests import adjust_for_many, judge_difference

N_SETS = 200
MOST_FALSE = binom.ppf(1 - 1e-4, N_SETS, 0.05)
"""More data sets with a difference that is none are chance in one of ten thousand simulations."""


def make_groups(rng, n_groups=60, most=6):
    return np.repeat(np.arange(n_groups), rng.randint(1, most, n_groups))


def variance_of(values, inside, groups, weights):
    """The variance of the docstring, term by term."""
    w = weights / weights.sum()
    a = np.where(inside, 1 / w[inside].sum(), -1 / w[~inside].sum())
    e = values - w @ values
    s2 = w @ e**2
    same = groups[:, np.newaxis] == groups
    np.fill_diagonal(same, False)
    together, possible = (w * e) @ same @ (w * e), w @ same @ w
    rho = np.clip(together / (s2 * possible), 0, 1)
    by_group = [np.flatnonzero(groups == g) for g in np.unique(groups)]
    u = [np.sum((a * w * e)[rows]) for rows in by_group]
    alike = [np.sum((a * w)[rows]) for rows in by_group]
    return max(
        np.sum(np.square(u)),
        np.sum((a * w * e) ** 2),
        s2 * ((1 - rho) * np.sum((a * w) ** 2) + rho * np.sum(np.square(alike))),
    )


@pytest.mark.parametrize("inflation", [1.0, 2.0])
@pytest.mark.parametrize("kind", ["of prompts", "of pairs", "small and alike"])
def test_difference_is_held_against_the_variance_of_its_formula(kind, inflation):
    rng = np.random.RandomState(0)
    groups = make_groups(rng)
    values = (rng.uniform(size=len(groups)) < rng.beta(2, 1, 60)[groups]).astype(float)
    inside = {
        "of prompts": groups % 3 == 0,
        "of pairs": rng.uniform(size=len(groups)) < 0.3,
        "small and alike": np.isin(groups, np.arange(20)) & (values == 1),
    }[kind]
    weights = rng.uniform(0.5, 2, len(groups))
    test = judge_difference(values, inside, groups, inflation=inflation, weights=weights)
    difference = np.average(values[inside], weights=weights[inside])
    difference -= np.average(values[~inside], weights=weights[~inside])
    assert test.value == pytest.approx(difference)
    deviate = abs(difference) / np.sqrt(inflation * variance_of(values, inside, groups, weights))
    assert test.p_value == pytest.approx(2 * norm.sf(deviate))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.05, 0.95), st.floats(-0.6, 0.6))
def test_interval_holds_no_difference_if_and_only_if_it_is_not_rejected(seed, rate, shift):
    rng = np.random.RandomState(seed)
    groups = make_groups(rng, 30)
    inside = groups % 2 == 0
    values = (rng.uniform(size=len(groups)) < rate + shift * inside).astype(float)
    test = judge_difference(values, inside, groups)
    assert test.low <= test.value <= test.high
    assert (test.low <= 0 <= test.high) == (test.p_value >= test.level)


def test_a_small_slice_in_which_all_are_alike_is_no_evidence():
    # Of ten pairs none is a tie with probability .35 where one in ten is.
    values = np.r_[np.zeros(10), np.tile([1.0] + [0.0] * 9, 20)]
    test = judge_difference(values, np.arange(210) < 10, np.arange(210))
    assert test.p_value > 0.2
    assert test.low < 0 < test.high


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_adjusted_p_values_are_those_of_scipy(p_values):
    assert adjust_for_many(p_values) == pytest.approx(false_discovery_control(p_values))
    assert adjust_for_many([]).shape == (0,)


def simulate_given(rng):
    """Labels and margins that do not know of slices; prompts differ in how hard they are."""
    groups = make_groups(rng, 100)
    n = len(groups)
    y = rng.randint(2, size=n).astype(float)
    right = rng.uniform(size=n) < rng.beta(6, 2, 100)[groups]
    margin = np.where(right, 1.0, -1.0) * (2 * y - 1)
    y[rng.uniform(size=n) < 0.15] = 0.5
    return y, margin, rng.normal(size=n), groups


def simulate_cross_fitted(rng):
    """Margins of models that learned coins from the other prompts."""
    groups = make_groups(rng, 80)
    n = len(groups)
    y, X = rng.randint(2, size=n).astype(float), rng.normal(size=(n, 6))
    X[:, 0] += 2 * (groups % 4 == 0)
    margin = np.empty(n)
    for fold in range(5):
        test = groups % 5 == fold
        margin[test] = X[test] @ (X[~test].T @ (y[~test] - 0.5))
    return y, margin, X[:, 1], groups


@pytest.mark.parametrize("is_cross_fitted", [False, True])
def test_files_without_a_difference_report_none_but_for_one_in_twenty(is_cross_fitted):
    rng, n_false = np.random.RandomState(0), 0
    for _ in range(N_SETS):
        simulate = simulate_cross_fitted if is_cross_fitted else simulate_given
        y, margin, length, groups = simulate(rng)
        side = rng.choice(list("xyz"), (2, len(y)))
        parts = [groups % 4 == 0, groups % 4 == 1, groups < 12, rng.uniform(size=len(y)) < 0.3]
        parts += side_slices(*side).values()
        inflation = 2.0 if is_cross_fitted else 1.0
        measures = measures_of(y, margin, length, np.full(len(y), True), inflation=inflation)
        p_values = [
            measures[name].compare(Slice("", part, ~part), groups, np.ones(len(y)), 10, 5).p_value
            for name in ("accuracy", "longer_wins")
            for part in parts
        ]
        n_false += min(adjust_for_many(p_values)) <= 0.05
    assert n_false <= MOST_FALSE


def make_hard_and_easy(rng, rates=(0.52, 0.71), n_prompts=200):
    groups = np.repeat(np.arange(n_prompts), 5)
    kind = np.array(["hard", "easy"])[groups % 2]
    y = rng.randint(2, size=len(groups)).astype(float)
    right = rng.uniform(size=len(groups)) < np.where(kind == "hard", *rates)
    return y, np.where(right, 1.0, -1.0) * (2 * y - 1), kind, groups


def test_hard_pairs_are_found_to_be_predicted_worse():
    y, margin, kind, groups = make_hard_and_easy(np.random.RandomState(2), n_prompts=400)
    slices = {"kind": kind, "other": groups % 3}
    result = compare_slices(y, margin, slices, groups=groups, cross_fitted=True)
    found = {
        (name, measure): value
        for name, measure, value, differs in zip(
            *(result.tests[k] for k in ("slice", "measure", "difference", "differs")), strict=True
        )
        if differs
    }
    assert set(found) == {("kind=hard", "accuracy"), ("kind=easy", "accuracy")}
    assert found["kind=hard", "accuracy"] == pytest.approx(-0.19, abs=0.08)
    table = accuracy_by_slice(y, margin, slices, groups=groups)
    assert result.table.slice == table.slice
    assert result.table.accuracy == pytest.approx(table.accuracy)
    row = result.tests.slice.index("kind=hard")
    assert result.tests.inside[row] == pytest.approx(table.accuracy[table.slice.index("kind=hard")])


def test_labels_are_compared_without_a_model():
    groups = np.arange(400)
    kind = np.where(groups % 2, "a", "b")
    y = np.where((groups % 2 == 1) & (groups % 4 == 1), 0.5, 1.0)
    result = compare_slices(y, None, {"kind": kind})
    assert set(result.tests.measure) == {"ties"}
    assert result.tests.differs.all()
    assert result.table.ties.tolist() == [0.25, 0.5, 0.0]
    assert "accuracy" not in result.table


def test_log_loss_ties_and_length_are_those_of_the_pairs_that_have_them():
    y, margin = np.array([1, 0, 0.5, 1] * 10), np.array([1.0, 1.0, 2.0, -1.0] * 10)
    length = np.array([3, -2, 5, 0] * 10)
    table = compare_slices(y, margin, {}, length_difference=length).table
    loss = np.where(y == 1, np.log1p(np.exp(-margin)), np.log1p(np.exp(margin)))
    loss[y == 0.5] = np.log(np.exp(1) + np.exp(-1))  # half of either
    assert table.log_loss[0] == pytest.approx(loss.mean())
    assert table.accuracy[0] == pytest.approx(1 / 3)
    assert table.longer_wins[0] == 1.0
    assert table.ties[0] == 0.25


def test_slices_of_few_pairs_or_nearly_one_prompt_are_named_and_not_shown():
    groups = np.r_[np.zeros(60, int), np.arange(1, 141)]
    slices = {
        "few": np.arange(200) >= 190,
        "one prompt": np.arange(200) < 75,  # and fifteen pairs of other prompts
        "enough": np.arange(200) >= 100,
        "none": np.zeros(200, bool),
    }
    result = compare_slices(np.ones(200), np.ones(200), slices, groups=groups)
    assert result.table.slice == ["all", "enough"]
    assert result.too_small.slice == ["few", "one prompt", "none"]
    assert result.too_small.n_pairs.tolist() == [10, 75, 0]
    assert result.too_small.n_groups.tolist() == [10, 16, 0]


def test_pairs_of_which_it_is_not_known_are_in_no_rest():
    y = np.r_[np.ones(120), np.full(60, 0.5)]
    kind = np.r_[["a"] * 60, ["b"] * 60, [None] * 60]
    result = compare_slices(y, None, {"kind": kind})
    assert result.tests.outside.tolist() == [0.0, 0.0]


def test_a_pair_without_weight_is_as_none():
    y, margin, kind, groups = make_hard_and_easy(np.random.RandomState(1))
    weight = np.where(groups % 3 == 0, 0.0, 2.0)
    kept = weight > 0
    one = compare_slices(y, margin, {"k": kind}, groups=groups, sample_weight=weight)
    other = compare_slices(y[kept], margin[kept], {"k": kind[kept]}, groups=groups[kept])
    assert one.table.n_pairs.tolist() == other.table.n_pairs.tolist()
    for name in ("accuracy", "accuracy_low", "log_loss_high"):
        assert one.table[name] == pytest.approx(other.table[name])
    assert one.tests.p_value == pytest.approx(other.tests.p_value)


def test_sides_are_in_the_slices_of_both_values():
    slices = side_slices([1, 2, None, 2], [2, 2, 1, None], name="m")
    assert {name: mask.tolist() for name, mask in slices.items()} == {
        "m=1": [True, False, True, False],
        "m=2": [True, True, False, True],
        "same m": [False, True, False, False],
    }


def test_values_of_sides_that_are_called_alike_are_told():
    with pytest.raises(ValueError, match=r"got 1 and '1', which are different values .*'m=1'"):
        side_slices([1, 2], ["1", "x"], name="m")
    with pytest.raises(ValueError, match=r"first\[1\] is a dict"):
        side_slices([None, {"b": 2}], ["b", "c"])
    assert list(side_slices([1.0, 2], [1, True])) == ["side=1.0", "side=2.0", "same side"]


def test_a_pair_of_great_weight_does_not_stand_for_others():
    # By itself it decides the mean of its slice, however many pairs are beside it.
    rng = np.random.default_rng(0)
    y, margin = rng.integers(2, size=300).astype(float), rng.normal(size=300)
    kind, weight = np.array(["a", "b", "c"] * 100), np.ones(300)
    weight[0] = 1e6
    result = compare_slices(y, margin, {"k": kind}, sample_weight=weight)
    assert result.too_small["slice"] == ["k=a"]
    assert not any(result.tests.differs)
    # 10 groups of weights 1 to 10 count as 55^2 / 385 = 7.86, as do so many pairs each.
    groups = np.repeat(np.arange(10), 10)
    y, margin = np.tile([1.0, 0.0], 50), np.ones(100)
    for options, few in (({"min_groups": 8}, True), ({"min_groups": 7}, False)):
        weight = groups + 1.0
        found = compare_slices(
            y, margin, {"all of it": y >= 0}, groups=groups, sample_weight=weight, **options
        )
        rows = np.repeat(np.arange(100), groups + 1)
        same = compare_slices(
            y[rows], margin[rows], {"all of it": y[rows] >= 0}, groups=groups[rows], **options
        )
        assert bool(found.too_small["slice"]) == bool(same.too_small["slice"]) == few


def test_compare_slices_errors():
    with pytest.raises(ValueError, match="length_difference should have one value a pair"):
        compare_slices([1, 0], [1.0, 2.0], {}, length_difference=[1])
    with pytest.raises(ValueError, match=r"slices\['s'\] should have one value a pair"):
        compare_slices([1, 0], [1.0, 2.0], {"s": ["x"]})
    with pytest.raises(ValueError, match="'level' parameter"):
        compare_slices([1, 0], [1.0, 2.0], {}, level=5)
    with pytest.raises(ValueError, match="second should have one value a pair"):
        side_slices(["x", "y"], ["x"])
    with pytest.raises(ValueError, match=r"first should have shape \(n_pairs,\)"):
        side_slices([["x"], ["y"]], ["x", "y"])
