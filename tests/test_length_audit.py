"""The length audit: figures by hand, simulated truth and real pairs."""

import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import stats
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from sklearn_codex.labels import expand_soft_labels
from sklearn_codex.metrics import (
    length_audit,
    paired_cluster_bootstrap,
    preference_accuracy,
    wilson_interval,
    win_rate,
)

PANDALM = Path(__file__).parents[2] / "shared" / "data" / "pandalm.jsonl.gz"


def simulate_lengths(rng, n=300, coef=0.02, n_groups=60):
    length = np.round(rng.normal(scale=40, size=n))
    groups = rng.randint(n_groups, size=n)
    prompt = 0.5 * rng.normal(size=n_groups)[groups]  # some prompts ask for more
    label = (rng.uniform(size=n) < expit(coef * length + prompt * np.sign(length))).astype(float)
    return label, length, groups


def test_audit_by_hand():
    label = np.array([1, 1, 0, 0, 0.5, 0.8])
    length = np.array([5, -5, -5, 0, 7, 1])
    margin = np.array([1.0, 1.0, 2.0, -1.0, 1.0, 0.0])
    audit = length_audit(label, margin, length)
    assert (audit.n_pairs, audit.n_groups, audit.n_ties, audit.n_equal_length) == (6, 6, 1, 1)
    assert audit.longer_wins == pytest.approx((1 + 0 + 1 + 0.5 + 1) / 5)
    assert audit.longer_wins_interval == wilson_interval(audit.longer_wins, 5)
    assert audit.accuracy == pytest.approx((1 + 1 + 0 + 1 + 0.5) / 5)
    assert (audit.n_longer_preferred, audit.n_shorter_preferred) == (3, 1)
    assert audit.accuracy_longer_preferred == pytest.approx((1 + 0 + 0.5) / 3)
    assert audit.accuracy_shorter_preferred == 1
    assert audit.model_prefers_longer == pytest.approx((1 + 0 + 0 + 1 + 0.5) / 5)
    assert audit.margin_length_correlation == pytest.approx(np.corrcoef(margin, length)[0, 1])
    rho = stats.spearmanr(margin, length).statistic
    assert audit.margin_length_rank_correlation == pytest.approx(rho)
    assert audit.length_scale == pytest.approx(np.sqrt(np.mean(length**2)))


def test_rows_without_weight_are_counted_by_nobody():
    rng = np.random.RandomState(0)
    label, length, groups = simulate_lengths(rng, n=60, n_groups=20)
    label[:10], length[5:15] = 0.5, 0.0
    margin = rng.normal(size=60)
    weight = rng.uniform(0.5, 2, 60) * ((groups % 4 > 0) & (np.arange(60) % 3 > 0))
    kept = weight > 0

    def audits(rows):
        options = {"groups": groups[rows], "sample_weight": weight[rows]}
        return (
            win_rate(label[rows], **options),
            paired_cluster_bootstrap(label[rows], margin[rows], **options),
            length_audit(label[rows], margin[rows], length[rows], **options),
        )

    for whole, alone in zip(audits(slice(None)), audits(kept), strict=True):
        assert whole.n_pairs == kept.sum()
        assert whole.n_groups == len(np.unique(groups[kept]))
        assert whole.keys() == alone.keys()
        for name, value in alone.items():
            assert_allclose(whole[name], value, rtol=1e-12, err_msg=name)


def test_length_coefficient_is_an_unpenalised_logistic_fit():
    label, length, _ = simulate_lengths(np.random.RandomState(0))
    label[:30] = 0.7
    rows = expand_soft_labels(length[:, np.newaxis] / 40, label)
    model = LogisticRegression(C=1e10, fit_intercept=False, tol=1e-10)
    expected = model.fit(rows.X, rows.y, rows.sample_weight).coef_[0, 0] / 40
    assert length_audit(label, None, length).length_coef == pytest.approx(expected, rel=1e-4)


def test_length_coefficient_is_covered_by_its_interval():
    rng = np.random.RandomState(0)
    covered = []
    for _ in range(400):
        length = rng.normal(scale=40, size=200)
        twice = np.repeat(length, 2)  # every pair is in the data twice
        label = np.repeat((rng.uniform(size=200) < expit(0.02 * length)).astype(float), 2)
        audit = length_audit(label, None, twice, groups=np.repeat(np.arange(200), 2))
        low, high = audit.length_coef_interval
        covered.append(low <= 0.02 <= high)
    assert 0.925 < np.mean(covered) < 0.98


def test_audit_does_not_know_which_response_is_a():
    label, length, groups = simulate_lengths(np.random.RandomState(0))
    margin = np.random.RandomState(1).normal(size=len(label))
    one = length_audit(label, margin, length, groups=groups)
    other = length_audit(1 - label, -margin, -length, groups=groups)
    assert str(one) == str(other)
    assert one.keys() == other.keys()


def test_audit_in_another_unit_has_the_coefficient_in_that_unit():
    label, length, groups = simulate_lengths(np.random.RandomState(0))
    one = length_audit(label, None, length, groups=groups)
    other = length_audit(label, None, length * 10, groups=groups)
    assert one.length_coef == pytest.approx(10 * other.length_coef)
    assert one.length_coef_interval == pytest.approx(
        tuple(10 * bound for bound in other.length_coef_interval)
    )


def test_audit_of_labels_alone_and_without_variation():
    audit = length_audit([1, 0], None, [3, -2])
    assert audit.length_coef == np.inf
    assert length_audit([0, 1], None, [3, -2]).length_coef == -np.inf
    assert np.isnan(audit.length_coef_interval).all()
    assert audit.accuracy is None
    assert "accuracy" not in str(audit)
    equal = length_audit([1, 0], [1.0, 2.0], [0, 0])
    assert equal.longer_wins == 0.5
    assert np.isnan([equal.length_coef, equal.model_prefers_longer]).all()
    assert np.isnan(equal.margin_length_correlation)
    assert "nan" in str(equal)


def test_audit_errors():
    with pytest.raises(ValueError, match="All 2 pairs are ties or weigh 0"):
        length_audit([0.5, 0.5], None, [1, 2])
    with pytest.raises(ValueError, match="length_difference should be finite"):
        length_audit([1, 0], None, [1, np.inf])
    with pytest.raises(ValueError, match="length_difference should have one value a pair"):
        length_audit([1, 0], None, [1])
    with pytest.raises(ValueError, match="margin should be finite to be correlated"):
        length_audit([1, 0], [np.inf, 0], [1, 2])


@pytest.mark.skipif(not PANDALM.exists(), reason=f"needs real data: {PANDALM.name} is missing")
def test_longer_wins_on_pandalm():
    with gzip.open(PANDALM, "rt", encoding="utf-8") as file:
        records = pd.DataFrame([json.loads(line) for line in file])
    length = records.response_a.str.len() - records.response_b.str.len()
    audit = length_audit(records.label, length, length, groups=records.prompt)
    assert (audit.n_pairs, audit.n_groups) == (999, 170)
    assert audit.longer_wins == audit.accuracy == pytest.approx(0.675, abs=0.01)
    low, high = audit.longer_wins_interval
    assert (high - low) / 2 == pytest.approx(0.055, abs=0.01)
    assert (audit.accuracy_longer_preferred, audit.accuracy_shorter_preferred) == (1, 0)
    excluded = preference_accuracy(records.label, length, ties="exclude")
    assert excluded == pytest.approx(audit.longer_wins)
