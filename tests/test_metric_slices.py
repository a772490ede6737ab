"""Intervals, slices, sections, best of n."""

import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import expit

from sklearn_codex.metrics import (
    accuracy_by_slice,
    best_of_n_accuracy,
    length_audit,
    paired_cluster_bootstrap,
    preference_accuracy,
    quantile_slices,
    sectioned_accuracy,
    wilson_interval,
    win_rate,
)


def clustered_outcomes(rng, n_groups=40, spread=1.0, rate=0.6):
    """Outcomes of 1 to 8 pairs a prompt, alike within a prompt; their expected rate is not .6."""
    size = rng.randint(1, 9, n_groups)
    groups = np.repeat(np.arange(n_groups), size)
    logit = stats.logistic.ppf(rate) + spread * rng.normal(size=n_groups)
    return (rng.uniform(size=len(groups)) < expit(logit)[groups]).astype(float), groups


def expected_rate(spread=1.0, rate=0.6):
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    return weights @ expit(stats.logistic.ppf(rate) + spread * nodes) / weights.sum()


@pytest.mark.parametrize("n", [1, 7, 250])
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_wilson_interval_equals_scipy(n, level):
    for k in {0, n // 3, n}:
        expected = stats.binomtest(k, n).proportion_ci(level, method="wilson")
        got = wilson_interval(k / n, n, confidence_level=level)
        assert got == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_win_rate_of_independent_pairs_is_wilsons():
    result = win_rate([1, 1, 0, 0.5])
    assert result.win_rate == 0.625
    assert (result.low, result.high) == wilson_interval(0.625, 4)
    assert (result.n_pairs, result.n_groups) == (4, 4)


def test_a_pair_without_weight_is_as_none_to_intervals_by_group():
    rng = np.random.RandomState(0)
    outcomes, groups = clustered_outcomes(rng)
    weight = np.where(groups % 3 == 0, 0.0, rng.uniform(0.5, 2, size=len(groups)))
    length, kept = rng.normal(size=len(groups)), weight > 0
    whole, alone = (
        {"groups": groups[rows], "sample_weight": weight[rows]} for rows in (slice(None), kept)
    )
    result, expected = win_rate(outcomes, **whole), win_rate(outcomes[kept], **alone)
    assert [result.win_rate, result.low, result.high] == [
        expected.win_rate,
        expected.low,
        expected.high,
    ]
    result = length_audit(outcomes, None, length, **whole)
    expected = length_audit(outcomes[kept], None, length[kept], **alone)
    assert result.longer_wins_interval == expected.longer_wins_interval
    assert result.length_coef_interval == pytest.approx(expected.length_coef_interval)


def test_win_rate_counts_weighted_pairs_by_their_effective_number():
    result = win_rate([1, 0, 1], sample_weight=[2, 1, 1])
    assert (result.low, result.high) == wilson_interval(0.75, 16 / 6)


def test_unequal_weights_do_not_shorten_the_interval_of_independent_pairs():
    # Of few heavy pairs all may agree, and by them alone nothing varies.
    weight = [10.0, 10.0, 10.0, 1e-3, 1e-3]
    result = win_rate([1, 1, 1, 0, 1], sample_weight=weight)
    share, n_effective = np.average([1, 1, 1, 0, 1], weights=weight), 30.002**2 / 300.000002
    assert (result.low, result.high) == pytest.approx(wilson_interval(share, n_effective))
    rng, truth, covered = np.random.RandomState(0), 0.85, []
    for _ in range(400):
        weight = np.exp(1.2 * rng.normal(size=20))
        result = win_rate((rng.uniform(size=20) < truth).astype(float), sample_weight=weight)
        covered.append(result.low <= truth <= result.high)
    assert np.mean(covered) > 0.91  # 0.88 by the variance of the heavy pairs


def test_soft_outcomes_of_independent_pairs_vary_as_all_of_them_do():
    outcomes, weight = np.array([0.4, 0.5, 0.6, 0.5, 0.45, 0.55]), np.arange(1.0, 7)
    result = win_rate(outcomes, sample_weight=weight)
    n_effective = 21**2 / 91
    variance = weight @ (outcomes - result.win_rate) ** 2 / 21 / (n_effective - 1)
    n, q = result.win_rate * (1 - result.win_rate) / variance, stats.t.ppf(0.975, n_effective - 1)
    for end in (result.low, result.high):  # as many standard errors from the share seen
        assert abs(end - result.win_rate) == pytest.approx(q * np.sqrt(end * (1 - end) / n))


@pytest.mark.parametrize("spread", [0.0, 2.0])
def test_bootstrap_interval_covers_clustered_outcomes(spread):
    rng = np.random.RandomState(0)
    truth = expected_rate(spread)
    covered, covered_by_wilson = [], []
    for _ in range(500):
        outcomes, groups = clustered_outcomes(rng, spread=spread)
        result = win_rate(outcomes, groups)
        covered.append(result.low <= truth <= result.high)
        naive = win_rate(outcomes)
        covered_by_wilson.append(naive.low <= truth <= naive.high)
    # Two standard errors of a coverage of .95 in 500 simulations are .02.
    assert 0.925 < np.mean(covered) < 0.98
    if spread:
        assert np.mean(covered_by_wilson) < 0.85


def test_bootstrap_interval_of_few_groups_covers_too():
    rng = np.random.RandomState(1)
    covered = []
    for seed in range(500):
        values = rng.normal(size=8)
        result = paired_cluster_bootstrap(values, 0 * values, n_resamples=500, random_state=seed)
        covered.append(result.low <= 0 <= result.high)
    assert 0.92 < np.mean(covered) < 0.98


def test_standard_error_is_that_of_group_means():
    rng = np.random.RandomState(0)
    means = rng.normal(size=50)
    values, groups = np.repeat(means, 3), np.repeat(np.arange(50), 3)
    result = paired_cluster_bootstrap(values, 0 * values, groups, random_state=0)
    assert result.difference == pytest.approx(means.mean())
    assert result.standard_error == pytest.approx(stats.sem(means), rel=0.03)
    t_interval = stats.ttest_1samp(means, 0).confidence_interval()
    assert (result.low, result.high) == pytest.approx(tuple(t_interval), abs=0.02)


def test_standard_error_of_few_groups_is_as_large_as_the_truth():
    rng = np.random.RandomState(0)
    n_groups, variances = 4, []
    for seed in range(400):
        values = np.repeat(rng.normal(size=n_groups), 2)
        groups = np.repeat(np.arange(n_groups), 2)
        result = paired_cluster_bootstrap(
            values, 0 * values, groups, n_resamples=400, random_state=seed
        )
        variances.append(result.standard_error**2)
    # Four standard errors of a mean of variances of 3 degrees of freedom are 0.16 of it; without
    # the factor it would be 0.25 too small.
    assert n_groups * np.mean(variances) == pytest.approx(1.0, abs=0.16)


def test_p_value_is_uniform_under_no_difference_and_agrees_with_the_interval():
    rng = np.random.RandomState(0)
    p_values = []
    for seed in range(400):
        first, groups = clustered_outcomes(rng, spread=2.0)
        second = np.where(rng.uniform(size=len(first)) < 0.5, first, 1 - first)
        swap = rng.uniform(size=groups.max() + 1)[groups] < 0.5
        first, second = np.where(swap, second, first), np.where(swap, first, second)
        result = paired_cluster_bootstrap(first, second, groups, n_resamples=400, random_state=seed)
        p_values.append(result.p_value)
        excludes_0 = result.low > 0 or result.high < 0
        assert abs(result.p_value - 0.05) < 0.02 or excludes_0 == (result.p_value < 0.05)
    assert np.mean(np.array(p_values) < 0.05) == pytest.approx(0.05, abs=0.025)
    assert np.mean(np.array(p_values) < 0.5) == pytest.approx(0.5, abs=0.08)


def test_pairing_removes_what_is_hard_for_both():
    rng = np.random.RandomState(0)
    hard, groups = rng.normal(size=60)[np.repeat(np.arange(60), 2)], np.repeat(np.arange(60), 2)
    first, second = hard + 0.1, hard
    result = paired_cluster_bootstrap(first, second, groups, random_state=0)
    assert result.low == pytest.approx(0.1)
    assert result.high == pytest.approx(0.1)
    assert result.p_value < 1e-3
    same = paired_cluster_bootstrap(first, first, groups, random_state=0)
    assert (same.difference, same.low, same.high, same.p_value) == (0, 0, 0, 1)


def test_exchanging_the_models_turns_the_interval_round():
    rng = np.random.RandomState(0)
    first, second = rng.normal(size=(2, 30))
    one = paired_cluster_bootstrap(first, second, random_state=0)
    other = paired_cluster_bootstrap(second, first, random_state=0)
    assert (one.low, one.high, one.p_value) == pytest.approx(
        (-other.high, -other.low, other.p_value)
    )


def test_subsets_are_drawn_by_seed_and_groups_are_of_any_kind():
    outcomes, groups = clustered_outcomes(np.random.RandomState(0))
    names = [f"prompt {group}" for group in groups]
    assert win_rate(outcomes, groups) == win_rate(outcomes, names)
    pair = outcomes, 1 - outcomes
    one = paired_cluster_bootstrap(*pair, groups, random_state=3)
    assert one == paired_cluster_bootstrap(*pair, names, random_state=3)
    assert one == paired_cluster_bootstrap(*pair, names, random_state=np.random.RandomState(3))
    assert one != paired_cluster_bootstrap(*pair, groups, random_state=4)


def test_groups_that_all_agree_leave_doubt():
    result = win_rate([1, 1, 1, 1, 1, 1], groups=[0, 0, 1, 2, 3, 4])
    assert (result.low, result.high) == wilson_interval(1.0, 5)


def test_fewer_groups_than_five_are_warned_of():
    with pytest.warns(UserWarning, match="win_rate has 4 groups"):
        win_rate([1, 0, 0, 1, 1], groups=[0, 0, 1, 2, 3])
    with pytest.warns(UserWarning, match="length_audit has 3 groups"):
        length_audit([1, 0, 0, 1], None, [1, 2, -1, 3], groups=[0, 0, 1, 2])


def test_interval_errors():
    with pytest.raises(ValueError, match="needs at least 2 of them, got 1"):
        win_rate([1, 0], groups=["p", "p"])
    with pytest.raises(ValueError, match=r"outcomes\[0\] is 2"):
        win_rate([2, 0])
    with pytest.raises(ValueError, match="groups should have one value a pair: there are 2 pairs"):
        win_rate([1, 0], groups=[1])
    with pytest.raises(ValueError, match="metric_b should have one value a pair"):
        paired_cluster_bootstrap([1, 0], [1])
    with pytest.raises(ValueError, match="metric_a should be finite, but 1 are infinite"):
        paired_cluster_bootstrap([1, np.inf], [1, 1])
    with pytest.raises(ValueError, match="'confidence_level' parameter"):
        win_rate([1, 0], confidence_level=95)


Y = np.array([1, 0, 1, 0.5, 1, 0])

MARGIN = np.array([1.0, 2.0, 0.0, 1.0, 3.0, -1.0])


def test_slices_are_accuracies_of_their_pairs():
    slices = {"first": np.arange(6) < 3, "subset": list("ababab")}
    table = accuracy_by_slice(Y, MARGIN, slices, sample_weight=[1, 1, 2, 1, 1, 1])
    assert table.slice == ["all", "first", "subset=a", "subset=b"]
    assert table.n.tolist() == [6, 3, 3, 3]
    for row, mask in enumerate([slice(None), slice(3), slice(0, 6, 2), slice(1, 6, 2)]):
        weight = np.array([1, 1, 2, 1, 1, 1])[mask]
        expected = preference_accuracy(Y[mask], MARGIN[mask], sample_weight=weight)
        assert table.accuracy[row] == expected
        n_effective = weight.sum() ** 2 / (weight**2).sum()
        assert (table.low[row], table.high[row]) == wilson_interval(expected, n_effective)


def test_slices_may_be_one_array_of_levels_with_some_missing():
    table = accuracy_by_slice(Y, MARGIN, ["x", None, "y", "x", pd.NA, np.nan], ties="exclude")
    assert table.slice == ["all", "x", "y"]
    assert table.n.tolist() == [5, 1, 1]


def test_empty_slices_and_slices_of_one_group_have_no_interval():
    slices = {"none": np.zeros(6, bool), "one group": np.arange(6) < 2}
    table = accuracy_by_slice(Y, MARGIN, slices, groups=[0, 0, 1, 1, 2, 2])
    assert np.isnan(table.accuracy).tolist() == [False, True, False]
    # The group's interval is that of one prompt: next to nothing is known.
    assert (table.low[2], table.high[2]) == wilson_interval(0.5, 1)


def test_slices_by_group_equal_the_win_rate_of_their_credits():
    outcomes, groups = clustered_outcomes(np.random.RandomState(0))
    margin = np.ones(len(outcomes))
    table = accuracy_by_slice(outcomes, margin, {}, groups=groups)
    expected = win_rate(outcomes, groups)
    assert (table.accuracy[0], table.low[0], table.high[0]) == (
        expected.win_rate,
        expected.low,
        expected.high,
    )


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-5, 5), min_size=1, max_size=30), st.integers(1, 6))
def test_quantile_slices_cut_pairs_into_as_many_parts(values, n_bins):
    slices = quantile_slices(values, n_bins)
    assert 1 <= len(slices) <= n_bins
    np.testing.assert_array_equal(np.sum(list(slices.values()), axis=0), 1)
    tops = [np.array(values)[mask].max() for mask in slices.values() if mask.any()]
    assert tops == sorted(tops)


def test_quantile_slices_of_distinct_values_are_equal_in_size():
    slices = quantile_slices(np.random.RandomState(0).permutation(40), 4, name="gap")
    assert [mask.sum() for mask in slices.values()] == [10] * 4
    assert next(iter(slices)) == "gap [0, 9.75]"


def test_tables_print_pickle_and_become_frames():
    table = accuracy_by_slice(Y, MARGIN, quantile_slices(MARGIN, 2) | {"s": ["x"] * 6})
    frame = pd.DataFrame(table)
    assert list(frame.columns) == ["slice", "n", "accuracy", "low", "high"]
    lines = str(table).splitlines()
    assert len(lines) == len(frame) + 1 == 5
    assert len({len(line) for line in lines}) == 1
    assert str(pickle.loads(pickle.dumps(table))) == str(table)


def test_slice_errors():
    with pytest.raises(ValueError, match=r"slices\['s'\] should have one value a pair"):
        accuracy_by_slice(Y, MARGIN, {"s": [True]})
    with pytest.raises(ValueError, match=r"slices\['length'\] has 101 levels.*quantile_slices"):
        accuracy_by_slice(np.ones(101), np.ones(101), {"length": np.arange(101)})
    with pytest.raises(ValueError, match=r"slices\['s'\] should have shape \(n_pairs,\)"):
        accuracy_by_slice(Y, MARGIN, {"s": np.zeros((6, 2), int)})


SUBSET = np.array(["a", "a", "b", "b", "b", "c"])

SECTIONS = {"first": ["a", "b"], "second": ["c"]}

CORRECT = [1, 1, 0, 0, 1, 0.5]


def test_sections_average_pairs_and_the_overall_number_averages_sections():
    result = sectioned_accuracy(CORRECT, SUBSET, SECTIONS)
    assert result.sections.accuracy.tolist() == [3 / 5, 0.5]
    assert result.sections.n.tolist() == [5, 1]
    assert result.subsets.section == ["first", "first", "second"]
    assert result.subsets.accuracy.tolist() == pytest.approx([1, 1 / 3, 0.5])
    assert result.overall == pytest.approx((3 / 5 + 0.5) / 2)
    weighted = sectioned_accuracy(CORRECT, SUBSET, SECTIONS, {"second": 0.5})
    assert weighted.overall == pytest.approx((3 / 5 + 0.25) / 1.5)
    upweighted = sectioned_accuracy(
        CORRECT, SUBSET, SECTIONS, sample_weight=np.where(SUBSET == "a", 3, 1)
    )
    assert upweighted.sections.accuracy[0] == pytest.approx(7 / 9)


def test_a_section_may_name_subsets_that_are_not_there():
    sections = {"first": ["a", "b", "z"], "second": "c"}
    assert sectioned_accuracy(CORRECT, SUBSET, sections).overall == pytest.approx(0.55)


@pytest.mark.parametrize(
    ("sections", "weights", "message"),
    [
        ({"first": ["a"]}, None, r"subsets \['b', 'c'\] are in no section"),
        ({"x": ["a", "b", "c"], "y": ["a"]}, None, "Subset 'a' is in the sections 'x' and 'y'"),
        ({**SECTIONS, "third": ["d"]}, None, "'third' has no pair of positive weight"),
        (SECTIONS, {"zzz": 1}, r"weights name \['zzz'\], but the sections are \['first'"),
        (SECTIONS, {"first": -1}, "non-negative and not all 0"),
    ],
)
def test_section_errors(sections, weights, message):
    with pytest.raises(ValueError, match=message):
        sectioned_accuracy(CORRECT, SUBSET, sections, weights)


def test_best_of_n_shares_a_point_among_ties():
    scores = [[2.0, 1.0, 0.0], [1.0, 1.0, 0.0], [1.0, 1.0, 1.0], [0.0, 1.0, 0.0]]
    assert best_of_n_accuracy(scores) == pytest.approx((1 + 1 / 2 + 1 / 3 + 0) / 4)
    assert best_of_n_accuracy(scores, 1) == pytest.approx((0 + 1 / 2 + 1 / 3 + 1) / 4)
    assert best_of_n_accuracy(scores, [0, 1, 2, 1]) == pytest.approx((1 + 1 / 2 + 1 / 3 + 1) / 4)
    weighted = best_of_n_accuracy(scores, sample_weight=[1, 0, 0, 3])
    assert weighted == 0.25


def test_best_of_n_by_gold_scores():
    gold = [[3, 1, 2], [5, 5, 0]]
    assert best_of_n_accuracy([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], gold) == 1
    # Three share the top, two of them are best.
    assert best_of_n_accuracy([[1.0, 0.0, 0.0], [1.0, 1.0, 1.0]], gold) == (1 + 2 / 3) / 2


def test_best_of_n_with_missing_responses():
    assert best_of_n_accuracy([[1.0, np.nan, 0.0], [-np.inf, np.nan, np.nan]]) == 1


def test_best_of_two_is_the_accuracy_of_margins():
    rng = np.random.RandomState(0)
    scores = rng.randint(3, size=(50, 2)).astype(float)
    assert best_of_n_accuracy(scores) == preference_accuracy(np.ones(50), scores @ [1, -1])


def test_best_of_n_errors():
    with pytest.raises(ValueError, match=r"scores should have shape \(n_prompts, k\), got \(2,\)"):
        best_of_n_accuracy([1.0, 2.0])
    with pytest.raises(ValueError, match="Prompt 1 has no score"):
        best_of_n_accuracy([[1.0], [np.nan]])
    with pytest.raises(ValueError, match="The best response of prompt 0 has no score"):
        best_of_n_accuracy([[np.nan, 1.0]])
    with pytest.raises(ValueError, match="columns from 0 to 1, got 2"):
        best_of_n_accuracy([[0.0, 1.0]], 2)
    with pytest.raises(ValueError, match="best should have one value a pair"):
        best_of_n_accuracy([[0.0, 1.0]], [0, 1])
    with pytest.raises(ValueError, match=r"the shape of scores, \(1, 2\): \(1, 3\)"):
        best_of_n_accuracy([[0.0, 1.0]], [[0, 1, 2]])
    with pytest.raises(ValueError, match="of dtype float64"):
        best_of_n_accuracy([[0.0, 1.0]], [0.5])


def test_all_weight_in_one_group_is_no_bootstrap():
    with pytest.raises(ValueError, match="at least 2 of them, got 1"):
        win_rate([1, 0, 1], [0, 0, 1], sample_weight=[1, 1, 0])


@pytest.mark.parametrize(
    "call",
    [
        lambda **kw: win_rate([1, 0, 1], **kw),
        lambda **kw: length_audit([1, 0, 1], None, [2, 1, 3], **kw),
        lambda **kw: accuracy_by_slice([1, 0, 1], [1.0, 2.0, 3.0], {}, **kw),
    ],
)
def test_what_intervals_by_formula_do_not_need_is_deprecated(call):
    call()
    for name in ("n_resamples", "random_state"):
        with pytest.warns(FutureWarning, match=f"{name} of .* has no effect") as caught:
            call(**{name: 7})
        assert caught[0].filename == __file__
