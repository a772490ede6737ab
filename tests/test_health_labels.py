import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import minimize_scalar
from scipy.special import expit
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression

from sklearn_codex import PreferenceRewardModel
from sklearn_codex.datasets import make_preferences
from sklearn_codex.health import check_preferences
from sklearn_codex.health._noise import _inflation, estimate_noise


def simulate(n_pairs=400, n_prompts=80, **params):
    return make_preferences(n_pairs, n_prompts=n_prompts, text=True, random_state=0, **params)


def check(data, **params):
    params.setdefault("random_state", 0)
    return check_preferences(data.X, data.y, **params)


@pytest.mark.parametrize("flip_rate", [0.05, 0.1, 0.2])
def test_flipped_labels(flip_rate):
    data = simulate(2000, n_prompts=200, temperature=0.3, flip_rate=flip_rate)
    flipped = data.y != data.clean_label
    report = check(data)
    wrong = report.wrong_labels
    assert sorted(wrong.row) == list(range(2000))
    np.testing.assert_array_equal(wrong.label, data.y[wrong.row])
    flagged = wrong.row[wrong.flagged]
    assert np.mean(flipped[flagged]) > 0.7  # precision
    assert np.sum(flipped[flagged]) > 0.25 * flipped.sum()  # recall
    assert (
        np.mean(flipped[wrong.row[: flipped.sum()]]) > 0.5
    )  # at the true number; chance: the rate
    assert abs(report.predictability.flip_rate - flip_rate) < 0.04
    assert report.predictability.p_value < 1e-3
    # The number of false alarms is foretold.
    expected = np.sum(1 - wrong.p_wrong[wrong.flagged])
    assert np.sum(~flipped[flagged]) < 2 * expected + 5
    (found,) = [finding for finding in report.findings if finding.table == "wrong_labels"]
    assert found.status == "look"
    assert "more likely wrong than right" in found.text


def test_flip_rate_of_known_margins():
    rng = np.random.RandomState(0)
    margins = rng.normal(scale=3, size=20_000)
    clean = rng.uniform(size=20_000) < 1 / (1 + np.exp(-margins))
    flipped = rng.uniform(size=20_000) < 0.1
    noise = estimate_noise(margins, (clean ^ flipped).astype(float), np.arange(20_000))
    assert abs(noise.flip_rate - 0.1) < 0.02
    np.testing.assert_allclose(noise.probability, 1 / (1 + np.exp(-margins)), atol=0.03)
    # Calibrated: of the labels that are wrong with probability p, the part p is.
    for low, high in ((0.02, 0.1), (0.1, 0.3), (0.3, 0.7), (0.7, 1)):
        rows = (noise.p_wrong > low) & (noise.p_wrong <= high)
        assert abs(flipped[rows].mean() - noise.p_wrong[rows].mean()) < 0.06


@pytest.mark.slow
def test_clean_labels_are_not_accused():
    rng = np.random.RandomState(0)
    p_values = []
    for _ in range(300):
        margins = rng.normal(scale=3, size=400)
        y = rng.uniform(size=400) < 1 / (1 + np.exp(-margins))
        p_values.append(estimate_noise(margins, y.astype(float), np.arange(400)).p_value)
    assert np.mean(np.array(p_values) < 0.05) < 0.1
    assert np.mean(np.array(p_values) < 0.001) <= 0.01


def test_labels_that_no_model_predicts_are_not_judged():
    data = simulate()
    y = np.random.RandomState(0).randint(2, size=400)
    report = check_preferences(data.X, y, random_state=0)
    assert not report.wrong_labels.flagged.any()
    assert "not told from a coin, so it cannot judge single labels" in " ".join(str(report).split())


def test_model_of_the_user():
    data = simulate(flip_rate=0.1, temperature=0.3)
    report = check(data, model=PreferenceRewardModel(C=0.1))
    assert report.predictability.accuracy > 0.7
    assert "PreferenceRewardModel is right on" in str(report)
    counts = make_preferences(400, n_prompts=80, flip_rate=0.1, temperature=0.3, random_state=0)
    model = LogisticRegression(fit_intercept=False)
    for X in (counts.X, sparse.csr_array(counts.X), sparse.csr_matrix(counts.X)):
        report = check_preferences(X, counts.y, counts.groups, model=model, random_state=0)
        assert "LogisticRegression is right on" in str(report)
        assert report.predictability.accuracy > 0.7
    assert not hasattr(model, "coef_")


def test_wrong_labels_are_tested_by_the_likelihood_at_the_border_of_no_flips():
    rng = np.random.RandomState(3)
    margins = rng.normal(scale=3, size=300)
    wrong = rng.uniform(size=300) < 0.04
    y = ((rng.uniform(size=300) < expit(margins)) ^ wrong).astype(float)
    noise = estimate_noise(margins, y, np.arange(300))

    def loss(slope, rate):
        label_is_right = expit(slope * margins * (2 * y - 1))
        return -np.sum(np.log(rate + (1 - 2 * rate) * label_is_right))

    def least(rate):
        return minimize_scalar(lambda s: loss(s, rate), bounds=(0.01, 30), method="bounded").fun

    gained = least(0.0) - min(least(rate) for rate in np.linspace(0, 0.3, 301))
    # The root of twice the gain is a normal variable, of which half is below 0.
    assert noise.p_value == pytest.approx(norm.sf(np.sqrt(2 * gained)), rel=0.01)
    assert 1e-6 < noise.p_value < 0.3
    # Every pair twice, in one group, says no more.
    twice = estimate_noise(np.repeat(margins, 2), np.repeat(y, 2), np.repeat(np.arange(300), 2))
    assert twice.p_value == pytest.approx(noise.p_value, rel=0.01)


def test_groups_whose_labels_balance_make_no_test_surer():
    z, y = np.tile([1.0, 1.0, 2.0, 2.0], 5), np.tile([1.0, 0.0], 10)
    groups = np.repeat(np.arange(10), 2)
    assert _inflation(z, y, 1.0, np.arange(20)) == pytest.approx(1.0)
    assert _inflation(z, y, 1.0, groups) == 1.0
    double = np.repeat([z, y, groups], 2, axis=1)
    assert _inflation(double[0], double[1], 1.0, np.repeat(np.arange(20), 2)) == pytest.approx(2.0)
