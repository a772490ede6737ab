import warnings
from itertools import pairwise

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import expit, logit
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV, calibration_curve
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss, roc_auc_score
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score, cross_validate

from sklearn_codex.datasets import make_preferences
from sklearn_codex.labels import expand_soft_labels
from sklearn_codex.metrics import (
    expected_calibration_error,
    get_preference_scorer,
    kendall_correlation,
    preference_accuracy,
    preference_auc,
    preference_brier_loss,
    preference_log_loss,
    preference_scorers,
    reliability_table,
    spearman_correlation,
)

MARGIN_METRICS = [preference_accuracy, preference_auc]
PROBABILITY_METRICS = [
    preference_log_loss,
    preference_brier_loss,
    reliability_table,
    expected_calibration_error,
]


def simulate(n=400, seed=0, *, soft=False):
    """Labels, margins and weights; some margins are 0 and some repeat."""
    rng = np.random.RandomState(seed)
    margin = np.round(rng.normal(size=n), 1)
    prob = expit(margin + rng.normal(size=n))
    label = prob if soft else (rng.uniform(size=n) < prob).astype(float)
    return label, margin, rng.uniform(0.1, 3, n)


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


# Calibration


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


# Scorers


@pytest.fixture(scope="module")
def data():
    return make_preferences(600, n_features=8, n_prompts=60, random_state=0)


MODEL = LogisticRegression(C=0.1, fit_intercept=False)


@pytest.mark.parametrize("name", preference_scorers)
def test_scorer_is_the_metric_of_held_out_margins(name, data):
    model = clone(MODEL).fit(data.X[:400], data.y[:400])
    X, y = data.X[400:], data.y[400:]
    margin = model.decision_function(X)
    expected = {
        "preference_accuracy": preference_accuracy(y, margin),
        "preference_auc": preference_auc(y, margin),
        "spearman_correlation": spearman_correlation(y, margin),
        "kendall_correlation": kendall_correlation(y, margin),
        "neg_preference_log_loss": -preference_log_loss(y, expit(margin)),
        "neg_preference_brier_loss": -preference_brier_loss(y, expit(margin)),
        "neg_expected_calibration_error": -expected_calibration_error(y, expit(margin)),
    }[name]
    assert get_preference_scorer(name)(model, X, y) == pytest.approx(expected)
    assert get_preference_scorer(name) is not preference_scorers[name]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("preference_accuracy", "accuracy"),
        ("preference_auc", "roc_auc"),
        ("neg_preference_log_loss", "neg_log_loss"),
        ("neg_preference_brier_loss", "neg_brier_score"),
    ],
)
def test_cross_validation_by_prompt_equals_the_scorers_of_scikit_learn(ours, theirs, data):
    scores = [
        cross_val_score(
            MODEL, data.X, data.y, groups=data.groups, cv=GroupKFold(4), scoring=scoring
        )
        for scoring in (get_preference_scorer(ours), theirs)
    ]
    np.testing.assert_allclose(*scores)


def test_all_scorers_at_once_in_cross_validate_and_grid_search(data):
    result = cross_validate(
        MODEL, data.X, data.y, groups=data.groups, cv=GroupKFold(3), scoring=preference_scorers
    )
    assert {f"test_{name}" for name in preference_scorers} <= set(result)
    search = GridSearchCV(
        MODEL,
        {"C": [1e-6, 0.1]},
        cv=GroupKFold(3),
        scoring=preference_scorers,
        refit="neg_preference_log_loss",
        error_score="raise",
    ).fit(data.X, data.y, groups=data.groups)
    assert search.best_params_ == {"C": 0.1}


def test_scorers_need_no_decision_function(data):
    calibrated = CalibratedClassifierCV(clone(MODEL), cv=3).fit(data.X, data.y)
    assert not hasattr(calibrated, "decision_function")
    prob = calibrated.predict_proba(data.X)[:, 1]
    accuracy = preference_scorers["preference_accuracy"](calibrated, data.X, data.y)
    assert accuracy == preference_accuracy(data.y, logit(prob)) > 0.6
    assert preference_scorers["spearman_correlation"](calibrated, data.X, data.y) > 0.3


@pytest.mark.parametrize("name", [name for name in preference_scorers if "correl" not in name])
def test_scorers_take_named_classes_by_pos_label(name, data):
    # "a" sorts before "b", so the margins of the model are for B.
    named = np.where(data.y == 1, "a", "b")
    scorer = get_preference_scorer(name, pos_label="a")
    expected = preference_scorers[name](clone(MODEL).fit(data.X, data.y), data.X, data.y)
    got = scorer(clone(MODEL).fit(data.X, named), data.X, named)
    assert got == pytest.approx(expected, abs=1e-5)


def test_scorer_options_reach_the_metric(data):
    model = clone(MODEL).fit(data.X, data.y)
    label = np.where(np.arange(600) < 100, 0.5, data.y)
    scorer = get_preference_scorer("preference_accuracy", ties="exclude")
    expected = preference_accuracy(label, model.decision_function(data.X), ties="exclude")
    assert scorer(model, data.X, label) == expected
    assert "ties=exclude" in repr(scorer)


def test_weights_of_soft_labels_are_routed_to_fit_and_score(data):
    rows = expand_soft_labels(data.X, data.probability, groups=data.groups)
    with sklearn.config_context(enable_metadata_routing=True):
        scorer = get_preference_scorer("neg_preference_log_loss")
        scores = cross_val_score(
            clone(MODEL).set_fit_request(sample_weight=True),
            rows.X,
            rows.y,
            cv=GroupKFold(3),
            scoring=scorer.set_score_request(sample_weight=True),
            params={"sample_weight": rows.sample_weight, "groups": rows.groups},
        )
    by_hand = []
    for train, test in GroupKFold(3).split(rows.X, rows.y, rows.groups):
        model = clone(MODEL).fit(rows.X[train], rows.y[train], rows.sample_weight[train])
        pairs = np.unique(rows.index[test])
        prob = model.predict_proba(data.X[pairs])
        by_hand.append(-preference_log_loss(data.probability[pairs], prob))
    np.testing.assert_allclose(scores, by_hand, rtol=1e-6)


def test_permutation_importance_takes_a_scorer(data):
    model = clone(MODEL).fit(data.X, data.y)
    result = permutation_importance(
        model,
        data.X,
        data.y,
        scoring=preference_scorers["neg_preference_log_loss"],
        n_repeats=2,
        random_state=0,
    )
    assert np.argmax(result.importances_mean) in np.argsort(-np.abs(data.coef))[:3]


def test_unknown_scorer():
    with pytest.raises(ValueError, match=r"no scorer 'accuracy'. Use one of \['best_of_n"):
        get_preference_scorer("accuracy")


# Errors


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
