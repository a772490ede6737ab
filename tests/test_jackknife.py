"""Standard errors from few groups, against computations of other kinds."""

from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse, stats
from scipy.special import expit, logit

from sklearn_codex import (
    BootstrapRewardEnsemble,
    PreferenceRewardModel,
    RewardUncertainty,
    length_controlled_win_rate,
    save_model,
)
from sklearn_codex._few_groups import critical_value, effective_groups
from sklearn_codex._reward.jackknife import GroupMoves, sort_by_group
from sklearn_codex._solve import precision as precision_room
from sklearn_codex._solve.precision import make_precision
from sklearn_codex.metrics import length_audit, paired_cluster_bootstrap, win_rate
from sklearn_codex.metrics._grouped_mean import GroupedMean


def sandwich(C=10.0, **options):
    return RewardUncertainty(PreferenceRewardModel(C=C, **options), kind="sandwich")


def draw(rng, sizes, coef=(0.8, -0.5), *, shared=True):
    """Pairs (n, V), labels and groups; a shared draw decides all labels of a group."""
    groups = np.repeat(np.arange(len(sizes)), sizes)
    X = rng.normal(size=(len(sizes), len(coef)))[groups] + 0.5 * rng.normal(
        size=(len(groups), len(coef))
    )
    draws = rng.uniform(size=len(sizes))[groups] if shared else rng.uniform(size=len(groups))
    return X, (draws < expit(X @ np.array(coef))).astype(int), groups


def test_groups_that_tell_alike_are_their_number_in_effect():
    assert_allclose(effective_groups(np.ones((7, 2))), 7)
    # Of parts 3, 1, 1, 1: 36 / 12.
    assert_allclose(effective_groups(np.array([[3.0], [1.0], [1.0], [1.0]])), 3)
    # One that tells all is taken as two, and so is what nobody tells of.
    assert_allclose(effective_groups(np.array([[1.0, 0.0], [0.0, 0.0]])), 2)
    assert_allclose(effective_groups(np.array([[3e-300], [1e-300], [1e-300], [1e-300]])), 3)


def test_degrees_of_freedom_of_balanced_groups_are_one_less_than_groups():
    assert critical_value(0.95, 10, 10) == pytest.approx(stats.t.ppf(0.975, 9))
    assert critical_value(0.95, np.inf) == pytest.approx(stats.norm.ppf(0.975))
    # A position bias alone, 10 prompts with 4 pairs each: all have one leverage, and the interval
    # is that of Student's t with 9 degrees of freedom for the residuals of their means.
    y = np.array([[1, 1, 1, 0], [1, 0, 0, 0]] * 5).ravel()
    groups = np.repeat(np.arange(10), 4)
    model = sandwich(position_bias=True).fit(np.zeros((40, 1)), y, groups=groups)
    table = model.bias_interval()
    means = y.reshape(10, 4).mean(axis=1)
    rate = means.mean()
    error = stats.sem(means) / (rate * (1 - rate))
    assert table.coef[0] == pytest.approx(logit(rate), abs=1e-6)
    assert table.std[0] == pytest.approx(error)
    assert table.high[0] - table.coef[0] == pytest.approx(stats.t.ppf(0.975, 9) * error)


@pytest.mark.parametrize("method", ["dense", "dual"])
@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("n_features", [3, 12])
def test_moves_are_those_of_the_system_without_the_group(method, make, n_features, monkeypatch):
    """Sizes below and above the number of features, in both kinds of arrays."""
    if make is sparse.csr_array:
        monkeypatch.setattr(precision_room, "MANY_FEATURES", 2)
    rng = np.random.RandomState(0)
    codes = rng.permutation(np.repeat([4, 1, 7, 2, 0, 5], [1, 1, 2, 5, 5, 9]))
    order, sizes = sort_by_group(codes)
    assert sizes.tolist() == [1, 1, 2, 5, 5, 9]
    Z = np.where(rng.uniform(size=(23, n_features)) < 0.6, rng.normal(size=(23, n_features)), 0.0)
    residual, penalty = rng.normal(size=23), rng.exponential(size=n_features)
    penalty[1] = 0.0  # not penalised, as the position is
    Z[:, 1] = 1.0
    rows = Z[order]
    precision = make_precision(make(rows), penalty, method=method)
    groups = GroupMoves(precision, make(rows), residual[order], sizes)
    A = Z.T @ Z + np.diag(penalty)
    by_group = {int(code): Z[codes == code] for code in codes[order]}  # in the order of the rows
    expected = np.array(
        [
            np.linalg.solve(A - part.T @ part, part.T @ residual[codes == code])
            for code, part in by_group.items()
        ]
    )
    solved = precision.solve(np.eye(n_features))
    assert_allclose(groups.move(solved), expected, rtol=1e-6, atol=1e-9)
    inverse = np.linalg.inv(A)
    gamma = np.array([np.diag(inverse @ part.T @ part @ inverse) for part in by_group.values()])
    n_effective = np.maximum(gamma.sum(axis=0) ** 2 / (gamma**2).sum(axis=0), 2)
    assert_allclose(groups.n_effective(solved), n_effective, rtol=1e-6)
    assert_allclose(groups.spread(expected), np.linalg.solve(inverse, expected.T @ expected))


def test_standard_errors_are_those_of_fits_without_each_prompt():
    X, y, groups = draw(np.random.RandomState(3), np.tile([4, 9, 2], 14), shared=False)
    model = sandwich().fit(X, y, groups=groups)
    refits = np.array(
        [
            PreferenceRewardModel(C=10).fit(X[groups != g], y[groups != g]).coef_[0]
            for g in range(42)
        ]
    )
    expected = np.sqrt(41 / 42 * np.sum((refits - model.coef_[0]) ** 2, axis=0))
    assert_allclose(model.coef_interval().std, expected, rtol=0.03)


def test_a_feature_that_only_one_prompt_has_has_an_interval_of_one_degree_of_freedom():
    X, y, groups = draw(np.random.RandomState(0), [6] * 30)
    X[groups > 0, 0] = 0.0
    table = sandwich().fit(X, y, groups=groups).coef_interval()
    assert table.high[0] - table.coef[0] > 8 * table.std[0]
    assert table.high[1] - table.coef[1] < 2.5 * table.std[1]
    # Without a penalty nothing but this prompt tells of its place.
    bias = sandwich(position_bias=True).fit(np.zeros((180, 1)), y, groups=groups).bias_interval()
    assert np.isfinite([bias.low[0], bias.high[0]]).all()


def doubled(rng, sizes):
    X, y, groups = draw(rng, sizes)
    weight = rng.randint(1, 4, size=len(y))
    return X, y, groups, weight, np.repeat(np.arange(len(y)), weight)


@pytest.mark.parametrize("by_group", [True, False])
def test_a_weight_of_two_is_the_pair_twice_in_its_group(by_group):
    """Without groups each row is one, so there both copies are in the group of the row."""
    X, y, groups, weight, rows = doubled(np.random.RandomState(1), [3, 5, 2, 4, 6, 3])
    groups = groups if by_group else None
    copies = rows if groups is None else groups[rows]
    one = sandwich().fit(X, y, sample_weight=weight, groups=groups)
    two = sandwich().fit(X[rows], y[rows], groups=copies)
    for table, other in (
        (one.coef_interval(), two.coef_interval()),
        (one.margin_interval(X), two.margin_interval(X)),
    ):
        assert_allclose(table.std, other.std, rtol=1e-5)
        assert_allclose(table.high, other.high, rtol=1e-5)
    length = X[:, 0]
    assert_allclose(
        length_controlled_win_rate(y, length, sample_weight=weight, groups=groups).interval,
        length_controlled_win_rate(y[rows], length[rows], groups=copies).interval,
        rtol=1e-6,
    )
    ends = [
        length_audit(labels, None, lengths, sample_weight=s, groups=g).length_coef_interval
        for labels, lengths, s, g in (
            (y, length, weight, groups), (y[rows], length[rows], None, copies)
        )
    ]  # fmt: skip
    assert_allclose(*ends, rtol=1e-6)


def test_a_weight_of_two_is_two_independent_pairs_to_laplace():
    X, y, _, weight, rows = doubled(np.random.RandomState(1), [3, 5, 2, 4, 6, 3])
    one = RewardUncertainty().fit(X, y, sample_weight=weight)
    assert_allclose(
        one.covariance_, RewardUncertainty().fit(X[rows], y[rows]).covariance_, rtol=1e-5
    )


def test_weights_in_another_unit_change_no_interval_of_few_prompts():
    rng = np.random.RandomState(0)
    X, y, groups = draw(rng, [3, 5, 2, 4, 6, 3])
    weight = rng.exponential(size=len(y))
    ends = [
        sandwich(C=1 / unit).fit(X, y, sample_weight=unit * weight, groups=groups).coef_interval()
        for unit in (1.0, 1e6)
    ]
    assert_allclose(ends[0].high, ends[1].high, rtol=1e-6)
    for unit in (1e6, 1e-90, 1e90):
        for method in (win_rate, paired_cluster_bootstrap):
            pair = (y,) if method is win_rate else (y, 1 - y)
            one, other = (
                method(*pair, groups, sample_weight=factor * weight) for factor in (1.0, unit)
            )
            assert_allclose([one.low, one.high], [other.low, other.high])


def test_a_prompt_that_outweighs_all_others_leaves_nearly_everything_open():
    weight = np.where(np.arange(12) < 2, 1e30, 1.0)
    y = np.array([1, 0.5, 0, 0, 1, 0, 1, 0, 1, 1, 0, 0])
    result = win_rate(y, np.repeat(np.arange(6), 2), sample_weight=weight)
    assert result.win_rate == pytest.approx(0.75)
    assert result.low < 0.1
    assert result.high > 0.9


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("_sizes", np.array([3, 2, 5])),
        ("_sizes", np.array([3, 3, 3, 3, -2, 6])),
        ("factor", float("nan")),
        ("_scores", None),
    ],
)
def test_groups_of_a_file_that_do_not_fit_together_are_refused(name, value, tmp_path):
    X, y, groups = draw(np.random.RandomState(0), [2, 3, 3, 3, 4, 1])
    model = sandwich().fit(X, y, groups=groups)
    save_model(model, tmp_path / "model.skops")
    setattr(model._covariance.groups, name, value)
    with pytest.raises(ValueError, match="groups of a covariance in it do not fit together"):
        save_model(model, tmp_path / "other.skops")


def test_one_prompt_is_an_error_everywhere():
    X, y, groups = np.array([[1.0], [-1.0], [0.5]]), np.array([1, 0, 0]), np.zeros(3)
    needs = "at least 2 of them, got 1"
    with pytest.raises(ValueError, match="at least 2 groups"):
        sandwich().fit(X, y, groups=groups)
    with pytest.raises(ValueError, match=needs):
        BootstrapRewardEnsemble(random_state=0).fit(X, y, groups=groups)
    with pytest.raises(ValueError, match=needs):
        length_controlled_win_rate(y, X[:, 0], groups=groups)
    with pytest.raises(ValueError, match=needs):
        length_audit(y, None, X[:, 0], groups=groups)
    with pytest.raises(ValueError, match=needs):
        win_rate(y, groups)
    with pytest.raises(ValueError, match=needs):
        paired_cluster_bootstrap(y, 1 - y, groups)


def test_length_that_tells_every_label_leaves_the_win_rate_open():
    length = np.array([3.0, 2.0, 1.0, -1.0, -2.0])
    with pytest.warns(match="length alone tells every label"):
        result = length_controlled_win_rate(length > 0, length, groups=np.arange(5))
    assert result.interval.tolist() == [0, 1]
    always = length_controlled_win_rate(np.ones(5), length, groups=np.arange(5))
    assert always.interval.tolist() == list(win_rate(np.ones(5), np.arange(5)).values())[1:3]


def test_intervals_of_an_ensemble_are_of_groups_and_refits():
    X, y, groups = draw(np.random.RandomState(0), [8] * 12)
    model = BootstrapRewardEnsemble(PreferenceRewardModel(C=10), 20, random_state=0)
    model.fit(X, y, groups=groups)
    table = model.coef_interval(0.9)
    std = np.sqrt(12 / 11) * model.coef_.std(axis=0, ddof=1)
    assert_allclose(table.std, std)
    half = stats.t.ppf(0.95, 1 / (1 / 11 + 1 / 19)) * std
    assert_allclose(table.low, model.estimator_.coef_[0] - half)
    margins = model.margin_interval(X[:5])
    assert_allclose(margins.std, model.predict_margin(X[:5], return_std=True)[1])
    with pytest.raises(ValueError, match="BootstrapRewardEnsemble has no bias terms"):
        model.bias_interval()


def test_interval_of_a_difference_is_the_wider_of_two():
    # Groups with means 1 to 6: 64 sets of signs, of which the 95% interval leaves out one at each
    # end, the means of the least and of the greatest group alone.
    values = np.arange(1.0, 7)
    result = paired_cluster_bootstrap(values, np.zeros(6), random_state=0)
    assert (result.low, result.high) == (1.0, 6.0)
    assert result.p_value == pytest.approx(2 / 64)
    assert result.standard_error == pytest.approx(stats.sem(values))
    # Of five groups 32 are too few, and Student's t is all there is.
    fewer = paired_cluster_bootstrap(values[:5], np.zeros(5))
    expected = stats.ttest_1samp(values[:5], 0)
    assert fewer.p_value == pytest.approx(expected.pvalue)
    interval = expected.confidence_interval()
    assert (fewer.low, fewer.high) == pytest.approx((interval.low, interval.high))
    # Of many alike it is the wider one where the bootstrap, whose ends are among them, is not.
    values = np.array([0.0] * 9 + [1.0] * 3)
    coarse = paired_cluster_bootstrap(values, np.zeros(12))
    assert coarse.low == pytest.approx(stats.ttest_1samp(values, 0).confidence_interval().low)
    assert coarse.low < 0 < coarse.high


def test_signs_are_those_of_the_wild_bootstrap():
    """The interval is of the differences that a test with random signs does not reject."""
    rng = np.random.RandomState(0)
    sizes = [3, 1, 4, 2, 2, 6, 1, 3]
    groups = np.repeat(np.arange(8), sizes)
    values = rng.exponential(size=8)[groups] ** 2 + rng.normal(size=len(groups))
    weight = rng.uniform(0.5, 2, size=len(groups))
    means = GroupedMean(values, weight, groups).subset_means(1000, None)
    assert len(means) == 255
    ends = np.sort(means)[[5, -6]]  # 256 sets of signs, 2.5% of them at each end: 6 of each
    signs = np.array(list(product([1.0, -1.0], repeat=8)))

    def tails(theta):
        totals = np.bincount(groups, weight * (values - theta))
        flipped = signs @ totals
        return np.mean(flipped >= totals.sum()), np.mean(flipped <= totals.sum())

    shift = 1e-9
    assert tails(ends[0] - shift)[0] <= 0.025 < tails(ends[0] + shift)[0]
    assert tails(ends[1] + shift)[1] <= 0.025 < tails(ends[1] - shift)[1]


def test_win_rate_of_groups_by_hand():
    # Two pairs a group, means 1, .5, 0, .5, 1: mean .6, variance of the mean .175 / 5.
    outcomes = [1, 1, 1, 0, 0, 0, 0, 1, 1, 1]
    result = win_rate(outcomes, np.repeat(np.arange(5), 2))
    n, z = 0.6 * 0.4 / (0.175 / 5), stats.t.ppf(0.975, 4)
    for end in (result.low, result.high):  # where the distance is z standard errors
        assert abs(0.6 - end) == pytest.approx(z * np.sqrt(end * (1 - end) / n))
    # Soft labels that vary less have the shorter interval.
    soft = win_rate(0.5 + 0.1 * (np.array(outcomes) - 0.5), np.repeat(np.arange(5), 2))
    assert soft.high - soft.low < 0.15 * (result.high - result.low)


# Three groups by hand


def test_mean_of_three_groups_by_hand():
    # Weights 1, 1, 2 and a mean of 5/4; without each group it is 5/3, 4/3 and 1/2.
    result = GroupedMean(np.array([0.0, 1.0, 2.0]), np.array([1.0, 1.0, 2.0]), np.arange(3))
    assert result.mean == 5 / 4
    moves = np.array([5 / 3, 4 / 3, 1 / 2]) - 5 / 4
    assert result.standard_error == pytest.approx(np.sqrt(2 / 3 * moves @ moves))
    # In effect 16 / (1 + 1 + 4) = 2.67 groups by weight; by what they tell of it, w^2, 36 / 18.
    assert result.n_effective == 2
    # Of two groups 1/2 is left in place of 2/3, and Student's t of 1 degree is Cauchy's law.
    error = np.sqrt((1 / 2) / (2 / 3)) * result.standard_error
    assert result.interval(0.5) == pytest.approx((5 / 4 - error, 5 / 4 + error))
    assert result.p_value() == pytest.approx(1 - 2 / np.pi * np.arctan(5 / 4 / error))


def test_groups_that_all_agree_have_the_p_value_of_their_signs():
    assert GroupedMean(np.ones(3), np.array([1.0, 1.0, 2.0]), np.arange(3)).p_value() == 2 / 8
    assert GroupedMean(np.zeros(3), np.ones(3), np.arange(3)).p_value() == 1.0


# Without a coefficient labels are even; what each group adds to score and to information.
THREE_SCORES, THREE_PARTS = np.array([0.5, -1.0, 0.5]), np.array([0.25, 0.5, 0.75])


def three_groups_half_width(ridge=0.0):
    moves = THREE_SCORES / (1.5 + ridge - THREE_PARTS)
    n_effective = 1.5**2 / (THREE_PARTS @ THREE_PARTS)
    quantile = stats.t.ppf(0.975, n_effective - 1)
    share = (1 - 1 / n_effective) / (1 - 1 / 3)
    return quantile * np.sqrt(share * 2 / 3 * (moves @ moves))


# One pair, one of weight 2, and two of which one has weight 2 and is a tie.
THREE_GROUPS = {"groups": [0, 1, 2, 2], "sample_weight": [1, 2, 1, 2]}
THREE_LABELS = [1, 0, 1, 0.5]


def test_length_coefficient_of_three_groups_by_hand():
    with pytest.warns(UserWarning, match="has 3 groups"):
        audit = length_audit(THREE_LABELS, None, np.ones(4), **THREE_GROUPS)
    assert audit.length_coef == pytest.approx(0.0, abs=1e-9)
    half = three_groups_half_width()
    assert audit.length_coef_interval == pytest.approx((-half, half))


def test_length_controlled_win_rate_of_three_groups_by_hand():
    # No pair differs in length, so that the advantage is all there is, with its weak prior.
    result = length_controlled_win_rate(THREE_LABELS, np.zeros(4), **THREE_GROUPS)
    assert result.advantage == pytest.approx(0.0, abs=1e-6)
    half = three_groups_half_width(ridge=1e-3)
    assert logit(result.interval) == pytest.approx([-half, half], rel=1e-5)


def test_moves_that_leave_nobody_out_have_the_usual_factor():
    rows, residual = np.eye(3), np.ones(3)
    precision = make_precision(rows, np.ones(3), method="dense")
    factors = [
        GroupMoves(precision, rows, residual, np.ones(3, dtype=int), leave_out=leave_out).factor
        for leave_out in (True, False)
    ]
    assert factors == pytest.approx([2 / 3, 3 / 2])
