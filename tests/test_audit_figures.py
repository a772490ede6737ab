"""Figures of the audit, each by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.metrics import roc_auc_score

from sklearn_codex._verdicts import CROSS_FITTED, judge_mean, judge_slope
from sklearn_codex.report import _audit_policy, _audit_predict, _audit_verdicts
from sklearn_codex.report._audit_words import between, change


def test_area_has_the_interval_of_resampled_prompts_root_two_times_as_wide(monkeypatch):
    rng = np.random.RandomState(0)
    groups = np.repeat(np.arange(20), 3)
    y, margin = rng.randint(2, size=60).astype(float), np.round(rng.normal(size=60), 1)
    data = SimpleNamespace(y=y, groups=groups, n_groups=20, seed=1)
    monkeypatch.setattr(_audit_predict, "N_RESAMPLES_AUC", 100)
    label, score = np.r_[y, 1 - y], np.r_[margin, -margin]
    value, draws, rng = roc_auc_score(label, score), [], np.random.RandomState(1)
    for _ in range(100):
        rows = np.concatenate([np.flatnonzero(groups == g) for g in rng.randint(20, size=20)])
        draws.append(roc_auc_score(label[np.r_[rows, rows + 60]], score[np.r_[rows, rows + 60]]))
    ends = value + np.sqrt(CROSS_FITTED) * (np.quantile(draws, [0.025, 0.975]) - value)
    found = _audit_predict._auc(data, margin)
    assert_allclose([found["value"], found["low"], found["high"]], [value, *ends])


def test_errors_of_a_calibration_by_three_groups():
    residual, groups = np.array([0.5, 0.5, -0.5, 0.5]), np.array([0, 0, 1, 2])
    for independent in (0.1, 0.5):
        table = SimpleNamespace(standard_error=np.array([independent]), n=np.array([4]))
        errors = _audit_predict._standard_errors(
            residual, np.zeros(4, dtype=int), groups, table, total=table.n
        )
        # Sums of 1, -1/2 and 1/2 over four pairs, and 3 / 2 for three groups.
        assert errors == pytest.approx([max(independent, np.sqrt(3 / 2 * 1.5) / 4)])


def test_error_of_a_calibration_by_chance():
    # 200 pairs in which the model prefers one by odds of 3, and is right in 160.
    margin, y = np.tile([np.log(3.0), -np.log(3.0)], 100), np.tile([1.0, 0.0], 100)
    y[:40] = 1 - y[:40]
    found = _audit_predict.calibrate(SimpleNamespace(y=y, groups=np.arange(200), seed=0), margin)
    assert_allclose((found["predicted"], found["observed"]), [[0.75], [0.8]])
    assert found["error"] == pytest.approx(0.05)
    deviation = np.sqrt(0.75 * 0.25 / 200)
    assert found["error_by_chance"] == pytest.approx(deviation * np.sqrt(2 / np.pi))


def test_a_difference_is_what_a_reader_of_both_figures_subtracts():
    # 0.6034 and 0.6878 show as 0.603 and 0.688, which are 8.5 points apart, not 8.4.
    parts = {"value": 0.6034}, {"value": 0.6878}
    price = {"value": -0.0844, "low": -0.154, "high": -0.015}
    assert change(price) == "-8.4 points (-15.4 to -1.5)"
    assert change(between(price, *parts)) == "-8.5 points (-15.4 to -1.5)"
    assert (price["value"], parts[0]["value"]) == (-0.0844, 0.6034)  # what was measured stays


def test_variance_of_draws_by_hand():
    data = SimpleNamespace(decided=np.array([True, True, True, False]))
    folds = [(None, np.array([0, 1])), (None, np.array([2, 3]))]
    # Means of decided pairs of 0.3 and -0.1: a quarter, and a half more, of the mean square.
    variance = _audit_predict._variance_of_draws(data, np.array([0.2, 0.4, -0.1, 9.0]), folds)
    assert variance == pytest.approx(1.5 * (0.09 + 0.01) / 2 / 4)


def test_half_the_pairs_have_twice_the_c():
    D = np.random.RandomState(0).normal(size=(40, 2))
    data = SimpleNamespace(y=(D[:, 0] > 0).astype(float))
    model = _audit_policy._fit_half(data, D, 0.3, np.arange(40) < 20)
    assert model.C == 0.6


def test_the_last_of_equal_gains_is_taken():
    assert _audit_policy._last_best(np.array([0.0, 1.0, 1.0 - 1e-12, 0.9])) == 2
    assert _audit_policy._last_best(np.array([-2.0, -1.0])) == 1


def test_safe_kl_coef_of_documents_of_three_tokens_and_an_end():
    # One token of reward 2, drawn three times in four: 3/4 e^(2 / b) = 1.
    found = _audit_policy._safe_kl_coef(np.array([0.0]), np.array([2.0]), 3)
    assert found == pytest.approx(2 / np.log(4 / 3))


def share(low, n):
    """A judgement of n pairs, of which a share is right."""
    return judge_mean(
        (np.arange(n) < low * n).astype(float), np.arange(n), null=0.5, bounds=(0.0, 1.0)
    )._asdict()


@pytest.mark.parametrize(
    ("longer", "shorter", "verdict", "weaker"),
    [
        ((0.9, 200), (0.8, 100), "both", "shorter"),
        ((0.8, 100), (0.9, 200), "both", "longer"),
        ((0.9, 200), (0.2, 100), "padding", "shorter"),
        ((0.2, 100), (0.9, 200), "brevity", "longer"),
        ((0.9, 200), (0.5, 100), "not shown", "shorter"),
    ],
)
def test_the_weaker_of_two_kinds_of_pairs_is_the_evidence(longer, shorter, verdict, weaker):
    tests = {"longer": share(*longer), "shorter": share(*shorter)}
    found = _audit_verdicts._treats(
        {"where_longer": tests["longer"], "where_shorter": tests["shorter"]}
    )
    assert found["verdict"] == verdict
    assert found["figure"] == f"accuracy where the {weaker} is better"
    assert found["p_value"] == tests[weaker]["p_value"]
    assert found["p_value"] == max(test["p_value"] for test in tests.values())


@pytest.mark.parametrize(
    ("scale", "farthest", "of_gaps", "verdict"),
    [
        (3.0, 0.2, 0.5, "too sure"),
        (1 / 3, 0.2, 0.01, "too careful"),
        (1.0, 0.2, 0.5, "unclear"),
        (3.0, 0.05, 0.5, "close"),
        (1.0, 0.2, 0.01, "uneven"),
        (1.0, 0.05, 0.01, "uneven"),
        (3.0, 0.05, 0.01, "too sure"),
    ],
)
def test_a_model_is_too_sure_where_its_slope_is_below_one(scale, farthest, of_gaps, verdict):
    rng = np.random.RandomState(0)
    margin = rng.normal(scale=2, size=2000)
    y = (rng.uniform(size=2000) < 1 / (1 + np.exp(-margin))).astype(float)
    slope = judge_slope(scale * margin, y, np.arange(2000))._asdict()
    calibration = {"slope": slope, "farthest": farthest, "error_p_value": of_gaps}
    found = _audit_verdicts._calibrated(calibration)
    assert found["verdict"] == verdict
