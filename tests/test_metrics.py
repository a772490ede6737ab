"""Metrics of preferences: parity with scikit-learn, ties, soft labels and errors."""

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metric_pairs import MARGIN_METRICS, PROBABILITY_METRICS, simulate
from scipy import stats
from scipy.special import expit
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss, roc_auc_score

from sklearn_codex.labels import expand_soft_labels
from sklearn_codex.metrics import (
    expected_calibration_error,
    kendall_correlation,
    preference_accuracy,
    preference_auc,
    preference_brier_loss,
    preference_log_loss,
    reliability_table,
    spearman_correlation,
)

# name: (our metric on labels and margins, scikit-learn's on the same, with hard labels)
PARITY = {
    "log_loss": (
        lambda y, m, w: preference_log_loss(y, expit(m), sample_weight=w),
        lambda y, m, w: log_loss(y, expit(m), sample_weight=w),
    ),
    "brier": (
        lambda y, m, w: preference_brier_loss(y, expit(m), sample_weight=w),
        lambda y, m, w: brier_score_loss(y, expit(m), sample_weight=w),
    ),
    "auc": (
        lambda y, m, w: preference_auc(y, m, sample_weight=w),
        lambda y, m, w: roc_auc_score(y, m, sample_weight=w),
    ),
    "accuracy": (
        lambda y, m, w: preference_accuracy(y, m, sample_weight=w),
        # A margin of 0 gives half a point: the mean of calling it A and calling it B.
        lambda y, m, w: np.mean(
            [accuracy_score(y, choice, sample_weight=w) for choice in (m > 0, m >= 0)]
        ),
    ),
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", PARITY)
def test_equals_scikit_learn_on_hard_labels(name, weighted):
    ours, theirs = PARITY[name]
    label, margin, weight = simulate()
    weight = weight if weighted else None
    assert ours(label, margin, weight) == pytest.approx(theirs(label, margin, weight), abs=1e-12)


@pytest.mark.parametrize("name", PARITY)
def test_equals_scikit_learn_on_the_weighted_rows_of_soft_labels(name):
    ours, theirs = PARITY[name]
    label, margin, weight = simulate(soft=True)
    label[:20] = 0.5
    rows = expand_soft_labels(margin, label, sample_weight=weight)
    expected = theirs(rows.y, rows.X, rows.sample_weight)
    assert ours(label, margin, weight) == pytest.approx(expected, abs=1e-12)


labels = st.sampled_from([0.0, 0.2, 0.5, 0.9, 1.0])
margins = st.sampled_from([-2.0, -0.5, 0.0, 0.5, 2.0])
pairs = st.lists(st.tuples(labels, margins, st.integers(0, 3)), min_size=1, max_size=20).filter(
    lambda rows: any(weight for *_, weight in rows)
)


def metric_values(label, margin, weight):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        return [
            *(ours(label, margin, weight) for ours, _ in PARITY.values()),
            preference_accuracy(label, margin, sample_weight=weight, harden=True),
            spearman_correlation(label, margin, sample_weight=weight),
            expected_calibration_error(label, expit(margin), sample_weight=weight, n_bins=3),
            expected_calibration_error(
                label, expit(margin), sample_weight=weight, n_bins=3, strategy="quantile"
            ),
        ]


@settings(max_examples=60, deadline=None)
@given(pairs)
def test_a_weight_is_so_many_copies(rows):
    label, margin, weight = map(np.array, zip(*rows, strict=True))
    copies = np.repeat(np.arange(len(rows)), weight)
    np.testing.assert_allclose(
        metric_values(label, margin, weight.astype(float)),
        metric_values(label[copies], margin[copies], None),
        atol=1e-12,
    )


@settings(max_examples=60, deadline=None)
@given(pairs)
def test_exchanging_a_and_b_changes_nothing(rows):
    label, margin, weight = map(np.array, zip(*rows, strict=True))
    one, other = (
        metric_values(y, m, weight.astype(float))[:6]
        for y, m in ((label, margin), (1 - label, -margin))
    )
    np.testing.assert_allclose(one, other, atol=1e-12)


def test_ties_in_accuracy():
    label, margin = [1, 1, 0, 0.5, 0.5], [1.0, 0.0, 2.0, 3.0, 0.0]
    assert preference_accuracy(label, margin) == (1 + 0.5 + 0 + 0.5 + 0.5) / 5
    assert preference_accuracy(label, margin, ties="exclude") == (1 + 0.5 + 0) / 3


def test_hardened_labels_in_accuracy():
    label, margin = [0.9, 0.2, 0.5], [1.0, 1.0, 1.0]
    assert preference_accuracy(label, margin) == pytest.approx((0.9 + 0.2 + 0.5) / 3)
    assert preference_accuracy(label, margin, harden=True) == (1 + 0 + 0.5) / 3


def test_log_loss_at_the_labels_is_their_entropy_and_it_is_finite_where_certain_and_wrong():
    label = np.array([0.3, 0.5, 1.0])
    entropy = stats.entropy([label, 1 - label]).mean()
    assert preference_log_loss(label, label) == pytest.approx(entropy)
    assert preference_log_loss([1, 0], [0.0, 1.0]) == pytest.approx(log_loss([1, 0], [0.0, 1.0]))


def test_brier_loss_exceeds_squared_error_by_the_variance_of_labels():
    label, margin, _ = simulate(soft=True)
    squared = np.mean((label - expit(margin)) ** 2)
    variance = np.mean(label * (1 - label))
    assert preference_brier_loss(label, expit(margin)) == pytest.approx(squared + variance)


def test_two_columns_of_probabilities_and_one_are_the_same():
    label, margin, _ = simulate()
    prob = expit(margin)
    for metric in PROBABILITY_METRICS:
        both = metric(label, np.column_stack([1 - prob, prob]))
        assert str(both) == str(metric(label, prob))


def test_auc_takes_infinite_margins():
    assert preference_auc([1, 0, 1], [np.inf, -np.inf, 0.0]) == 1.0


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
def test_what_is_not_defined_is_nan():
    assert np.isnan(preference_auc([1, 1], [1.0, 2.0]))
    assert np.isnan(spearman_correlation([1, 2], [3.0, 3.0]))
    assert np.isnan(kendall_correlation([1, 1], [3.0, 4.0]))


@pytest.mark.parametrize("correlation", [spearman_correlation, kendall_correlation])
def test_constant_scores_are_warned_of(correlation):
    with pytest.warns(UndefinedMetricWarning, match="not defined where all gold scores, or all"):
        correlation([1, 2], [3.0, 3.0])


@pytest.mark.parametrize("seed", range(3))
def test_correlations_equal_scipy(seed):
    label, margin, _ = simulate(50, seed, soft=True)
    label = np.round(label, 1)
    rho, tau = stats.spearmanr(label, margin).statistic, stats.kendalltau(label, margin).statistic
    assert spearman_correlation(label, margin) == pytest.approx(rho)
    assert kendall_correlation(label, margin) == pytest.approx(tau)


@pytest.mark.parametrize("container", [list, tuple, np.array, pd.Series, pl.Series])
def test_any_container_will_do(container):
    label, margin, weight = simulate(30)
    expected = preference_accuracy(label, margin, sample_weight=weight)
    args = [container(values.tolist()) for values in (label, margin, weight)]
    assert preference_accuracy(args[0], args[1], sample_weight=args[2]) == expected
    assert preference_accuracy(container((label > 0.5).tolist()), margin) == preference_accuracy(
        label, margin
    )


@pytest.mark.parametrize("classes", [("b", "a"), (-1, 1), (1, 2), (False, True)])
def test_pos_label_names_the_class_of_a(classes):
    label, margin, _ = simulate()
    named = np.array(classes)[label.astype(int)]
    for metric, score in [
        *((metric, margin) for metric in MARGIN_METRICS),
        *((metric, expit(margin)) for metric in PROBABILITY_METRICS),
    ]:
        assert str(metric(named, score, pos_label=classes[1])) == str(metric(label, score))


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ([1, 2], r"in \[0, 1\], that A is preferred.* but y_true\[1\] is 2. Convert labels"),
        ([1, -1], r"y_true\[1\] is -1"),
        ([1, np.nan], r"y_true\[1\] is nan"),
        ([1, None], r"y_true\[1\] is None"),
        ([1, pd.NA], r"y_true\[1\] is <NA>"),
        (["a", "b"], r"but got text, such as 'a'. Convert .* pos_label"),
        ([], r"at least one pair, got shape \(0,\)"),
        ([[1, 0], [0, 1]], r"got shape \(2, 2\)"),
    ],
)
@pytest.mark.parametrize("metric", MARGIN_METRICS + PROBABILITY_METRICS)
def test_bad_labels(metric, label, message):
    with pytest.raises(ValueError, match=message):
        metric(label, [0.5] * len(label))


@pytest.mark.parametrize("metric", MARGIN_METRICS + PROBABILITY_METRICS)
def test_three_classes(metric):
    with pytest.raises(ValueError, match=r"one class beside pos_label='a', got \['b', 'tie'\]"):
        metric(["a", "b", "tie"], [0.1, 0.2, 0.3], pos_label="a")


@pytest.mark.parametrize("metric", MARGIN_METRICS + PROBABILITY_METRICS)
def test_bad_scores(metric):
    with pytest.raises(ValueError, match="one value a pair: there are 2 pairs, got 3 values"):
        metric([1, 0], [0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match="1 are NaN, the first at position 1"):
        metric([1, 0], [0.1, np.nan])
    with pytest.raises(ValueError, match=r"should have shape \(n_pairs,\), got \(2, 3\)"):
        metric([1, 0], np.zeros((2, 3)))


@pytest.mark.parametrize("metric", PROBABILITY_METRICS)
def test_margins_are_not_probabilities(metric):
    with pytest.raises(ValueError, match=r"y_prob\[1\] is 1.5. Margins become probabilities"):
        metric([1, 0], [0.1, 1.5])


@pytest.mark.parametrize("metric", MARGIN_METRICS + PROBABILITY_METRICS)
def test_bad_weights(metric):
    with pytest.raises(ValueError, match="Negative values"):
        metric([1, 0], [0.1, 0.5], sample_weight=[1, -1])
    with pytest.raises(ValueError, match="at least one non-zero"):
        metric([1, 0], [0.1, 0.5], sample_weight=[0, 0])
    with pytest.raises(ValueError, match="sample_weight"):
        metric([1, 0], [0.1, 0.5], sample_weight=[1, 1, 1])


def test_nothing_but_ties():
    with pytest.raises(ValueError, match="All 2 pairs of y_true are ties or weigh 0"):
        preference_accuracy([0.5, 0.5], [1.0, 2.0], ties="exclude")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: preference_accuracy([1], [1.0], ties="drop"), "The 'ties' parameter"),
        (lambda: reliability_table([1], [1.0], n_bins=0), "The 'n_bins' parameter"),
        (lambda: expected_calibration_error([1], [1.0], strategy="x"), "The 'strategy' parameter"),
        (lambda: preference_log_loss(1, 0.5), "The 'y_true' parameter"),
    ],
)
def test_bad_options(call, message):
    with pytest.raises(ValueError, match=message):
        call()
