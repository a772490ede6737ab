"""Reliability tables and calibration errors, against brute force and simulated truth."""

from itertools import pairwise

import numpy as np
import pytest
from metric_pairs import simulate
from scipy.special import expit
from sklearn.calibration import calibration_curve

from sklearn_codex.metrics import expected_calibration_error, reliability_table


def brute_force_ece(label, prob, weight, edges):
    error = 0.0
    for low, high in pairwise(edges):
        inside = [low < p <= high or (p == 0 and low == 0) for p in prob]
        total = sum(w for w, is_in in zip(weight, inside, strict=True) if is_in)
        gap = sum(
            w * (y - p) for w, y, p, is_in in zip(weight, label, prob, inside, strict=True) if is_in
        )
        error += abs(gap) / sum(weight) if total else 0
    return error


@pytest.mark.parametrize("n_bins", [1, 3, 10])
def test_ece_by_brute_force(n_bins):
    label, margin, weight = simulate(100, soft=True)
    prob = np.round(expit(margin), 1)  # many predictions on borders
    expected = brute_force_ece(label, prob, weight, np.linspace(0, 1, n_bins + 1))
    got = expected_calibration_error(label, prob, n_bins=n_bins, sample_weight=weight)
    assert got == pytest.approx(expected)


@pytest.mark.parametrize("strategy", ["uniform", "quantile"])
def test_reliability_is_the_calibration_curve_of_scikit_learn(strategy):
    rng = np.random.RandomState(0)
    prob = rng.uniform(size=200)
    label = (rng.uniform(size=200) < prob**2).astype(float)
    table = reliability_table(label, prob, n_bins=5, strategy=strategy)
    if strategy == "quantile":  # theirs are interpolated between two predictions
        assert table.n.tolist() == [40] * 5
        return
    observed, predicted = calibration_curve(label, prob, n_bins=5, strategy=strategy)
    np.testing.assert_allclose(table.observed, observed)
    np.testing.assert_allclose(table.predicted, predicted)


def test_quantile_bins_keep_equal_predictions_together():
    table = reliability_table([1, 0, 1, 0], [0.3, 0.3, 0.3, 0.9], n_bins=4, strategy="quantile")
    assert table.n.tolist() == [3, 1]
    assert table.low.tolist() == [0.0, 0.3]
    assert table.high.tolist() == [0.3, 1.0]


def test_a_bin_of_one_pair_has_the_error_of_a_calibrated_prediction():
    table = reliability_table([1.0], [0.2])
    assert table.standard_error == pytest.approx(np.sqrt(0.2 * 0.8))


def test_standard_error_of_three_weighted_pairs_by_hand():
    table = reliability_table([0, 1, 1], [0.5, 0.5, 0.5], n_bins=1, sample_weight=[1, 1, 2])
    # Residuals -1/2, 1/2, 1/2 of mean 1/4: weights times deviations are -3/4, 1/4 and 2/4.
    assert table.observed - table.predicted == pytest.approx(1 / 4)
    squares = (9 + 1 + 4) / 16
    assert table.standard_error == pytest.approx(np.sqrt(3 / 2 * squares / 4**2))


def test_calibrated_predictions_have_gaps_of_about_their_standard_error():
    rng = np.random.RandomState(0)
    prob = rng.uniform(size=20_000)
    label = rng.uniform(size=20_000) < prob
    table = reliability_table(label, prob, n_bins=20)
    scores = (table.observed - table.predicted) / table.standard_error
    assert 0.5 < np.std(scores) < 1.5
    assert expected_calibration_error(label, prob) < 0.02


def simulated_ece(excess, **options):
    """Mean over simulations of labels more often 1, by a constant, than predicted."""
    rng = np.random.RandomState(0)
    errors = []
    for _ in range(200):
        prob = rng.uniform(0.2, 0.8, 300)
        label = rng.uniform(size=300) < prob + excess
        errors.append(expected_calibration_error(label, prob, **options))
    return np.array(errors)


@pytest.mark.parametrize("norm", ["l1", "l2"])
@pytest.mark.parametrize("excess", [0.0, 0.15])
def test_debiased_ece_is_nearer_the_truth_whether_calibrated_or_not(excess, norm):
    plain = simulated_ece(excess, norm=norm).mean()
    debiased = simulated_ece(excess, norm=norm, debias=True).mean()
    assert plain > debiased
    assert abs(debiased - excess) < 0.65 * abs(plain - excess) + 0.005


def test_squared_ece_is_unbiased_where_there_is_a_gap():
    squares = simulated_ece(0.15, norm="l2", debias=True) ** 2
    standard_error = squares.std() / np.sqrt(len(squares))
    assert abs(squares.mean() - 0.15**2) < 3 * standard_error


def test_debiasing_is_the_closed_form_of_its_resampling():
    label, margin, _ = simulate(200, soft=True)
    table = reliability_table(label, expit(margin))
    gap = table.observed - table.predicted
    draws = np.random.RandomState(0).normal(gap, table.standard_error, size=(200_000, len(gap)))
    plain = table.weight @ np.abs(gap)
    resampled = (np.abs(draws) @ table.weight).mean()
    got = expected_calibration_error(label, expit(margin), debias=True)
    assert got == pytest.approx(max(0, 2 * plain - resampled), abs=5e-4)
