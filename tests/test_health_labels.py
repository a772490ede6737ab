import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import minimize_scalar
from scipy.special import expit
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression

from sklearn_codex import PreferenceRewardModel
from sklearn_codex._verdicts import WRONG_LABEL_LEVEL
from sklearn_codex.datasets import make_preferences
from sklearn_codex.health import check_preferences
from sklearn_codex.health._data import check_data
from sklearn_codex.health._noise import _inflation, estimate_noise
from sklearn_codex.health._wrong_labels import _cross_fit, _default_designs, cross_fit


def simulate(n_pairs=400, n_prompts=80, **params):
    return make_preferences(n_pairs, n_prompts=n_prompts, text=True, random_state=0, **params)


def check(data, **params):
    params.setdefault("random_state", 0)
    return check_preferences(data.X, data.y, **params)


@pytest.mark.parametrize("flip_rate", [0.05, 0.1])
def test_flipped_labels(flip_rate):
    data = simulate(1000, n_prompts=200, temperature=0.3, flip_rate=flip_rate)
    flipped = data.y != data.clean_label
    report = check(data)
    wrong, found = report.wrong_labels, report.predictability
    assert sorted(wrong.row) == list(range(1000))
    np.testing.assert_array_equal(wrong.label, data.y[wrong.row])
    # At the true number; chance: the rate.
    assert np.mean(flipped[wrong.row[: flipped.sum()]]) > 3.5 * flip_rate
    assert found.flip_low <= flipped.mean() <= found.flip_high < flip_rate + 0.15
    (told,) = [finding for finding in report.findings if finding.table == "wrong_labels"]
    assert told.facts["high"] == found.flip_high
    assert f"p = {found.p_value:.2g}, tested at the level of 0.01" in told.text


def test_labels_are_judged_by_the_default_model_that_predicts_them_better():
    """Labels by words alone are told by words; letters and form only mislead."""
    found = {}
    for kind, temperature in (("words", 0.3), ("length", None)):
        data = simulate(temperature=temperature or 1.0)
        if kind == "length":
            longer = [len(a) > len(b) for _, a, b in data.X]
            data.y = np.where(np.arange(400) % 5, longer, np.logical_not(longer)).astype(float)
        pairs = check_data(data.X, data.y, None, subject="check_preferences")
        units = np.unique(data.X[:, 0].astype(str), return_inverse=True)[1]
        designs, C = _default_designs(pairs, None)
        model = PreferenceRewardModel(C=C, tol=1e-3)
        seed = np.random.RandomState(0).randint(2**31 - 1)
        margins = [_cross_fit(pairs, units, one.differences, model, seed, float) for one in designs]
        losses = [np.mean(np.logaddexp(0, -(2 * data.y - 1) * margin)) for margin in margins]
        found[kind] = int(np.argmin(losses))
        best = cross_fit(pairs, units, None, 0)
        np.testing.assert_allclose(best, margins[found[kind]], rtol=1e-6, atol=1e-8)
    assert found == {"words": 1, "length": 0}


def test_wrong_labels_of_decisive_preferences_are_flagged():
    margins, y, flipped = flip(3000, 8.0, 0.05, seed=1)
    noise = estimate_noise(margins, y, np.arange(3000))
    assert noise.p_value < 0.01
    assert noise.low <= flipped.mean() <= noise.high
    flagged = noise.p_wrong > 0.5
    assert np.mean(flipped[flagged]) > 0.8
    assert abs(noise.flip_rate - flipped.mean()) < 0.02


def flip(n, scale, rate, seed):
    rng = np.random.RandomState(seed)
    margins = rng.normal(scale=scale, size=n)
    clean = rng.uniform(size=n) < expit(margins)
    flipped = rng.uniform(size=n) < rate
    return margins, (clean ^ flipped).astype(float), flipped


@pytest.mark.parametrize("kind", ["never sure", "heavy tails", "some guess", "two rules"])
def test_honest_doubt_is_not_accused(kind):
    rng = np.random.RandomState(0)
    n_accused = 0
    for _ in range(20):
        margins = rng.normal(scale=3, size=800)
        log_odds = {
            "never sure": 2 * np.tanh(margins),
            "heavy tails": 1.5 * np.arcsinh(margins),
            "some guess": margins * rng.choice([1.0, 0.2], 800, p=[0.7, 0.3]),
            "two rules": 1.5 * np.sign(margins),
        }[kind]
        y = (rng.uniform(size=800) < expit(log_odds)).astype(float)
        n_accused += estimate_noise(margins, y, np.arange(800)).p_value < WRONG_LABEL_LEVEL
    assert n_accused <= 1


def test_doubt_at_its_border_is_told_from_flips_as_seldom_as_said():
    """One in eight of all pairs is honestly judged otherwise, and margins are not exact."""
    rng = np.random.RandomState(0)
    p_values = []
    for _ in range(15):
        true = rng.normal(size=2400)
        margins = true + 0.3 * rng.normal(size=2400)
        y = (rng.uniform(size=2400) < expit(2 * np.sign(true))).astype(float)
        p_values.append(estimate_noise(margins, y, np.arange(2400)).p_value)
    assert np.sum(np.array(p_values) < WRONG_LABEL_LEVEL) <= 1
    # At the border the estimate is beyond it, where nothing is claimed, in half of the cases.
    assert np.sum(np.array(p_values) == 0.5) >= 3


def test_labels_are_not_judged_by_margins_that_do_not_fit_them():
    rng = np.random.RandomState(0)
    margins = rng.normal(size=1500)
    # Surest in the middle, against the margin at the ends.
    log_odds = np.where(np.abs(margins) < 1.2, 3.0, -1.0) * np.sign(margins)
    y = (rng.uniform(size=1500) < expit(log_odds)).astype(float)
    assert estimate_noise(margins, y, np.arange(1500)).misfit < 1e-3
    y = (rng.uniform(size=1500) < expit(2 * margins)).astype(float)
    assert estimate_noise(margins, y, np.arange(1500)).misfit > 0.05


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
    for _ in range(100):
        margins = rng.normal(scale=3, size=400)
        y = rng.uniform(size=400) < 1 / (1 + np.exp(-margins))
        p_values.append(estimate_noise(margins, y.astype(float), np.arange(400)).p_value)
    assert np.mean(np.array(p_values) < 0.05) < 0.07
    assert np.mean(np.array(p_values) < WRONG_LABEL_LEVEL) <= 0.02


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
    margins, y, _ = flip(300, 6.0, 0.03, seed=4)
    noise = estimate_noise(margins, y, np.arange(300))
    z = margins / margins.std()

    def loss(log_odds, rate):
        return -np.sum(np.log(rate + (1 - 2 * rate) * expit(log_odds * (2 * y - 1))))

    def least(rate, kind):
        limits = (1.0, 150.0) if kind is np.arcsinh else (0.05, 2.0)
        return min(
            minimize_scalar(
                lambda t, b=b: loss(b * kind(np.exp(t) * z / b), rate),
                bounds=(-5, 5),
                method="bounded",
            ).fun
            for b in np.geomspace(*limits, 15)
        )

    plain = min(least(0.0, np.arcsinh), least(0.0, np.tanh))
    gained = plain - min(least(rate, np.arcsinh) for rate in np.linspace(0, 0.1, 41))
    # The root of twice the gain is a normal variable, of which half is below 0.
    assert noise.p_value == pytest.approx(norm.sf(np.sqrt(2 * gained)), rel=0.03)
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
