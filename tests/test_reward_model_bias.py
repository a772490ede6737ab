"""Position and length: recovered where they are, and kept out of the reward."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from reward_pairs import with_length
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from sklearn_codex import (
    BootstrapRewardEnsemble,
    PreferenceRewardModel,
    PreferenceRewardModelCV,
    RewardUncertainty,
    length_controlled_win_rate,
)
from sklearn_codex._data.designs import DifferenceDesign, NuisanceDesign, PairDesign
from sklearn_codex._solve.precision import toarray
from sklearn_codex.datasets import make_preferences
from sklearn_codex.text import TokenCounter


def make_length_pairs(n_pairs=2_000, utility=0.02, seed=0):
    """Text pairs whose preference is a function of the number of characters alone."""
    rng = np.random.RandomState(seed)
    words = [f"w{i:02d}" for i in range(30)]
    texts = [" ".join(rng.choice(words, size=size)) for size in rng.randint(1, 60, 2 * n_pairs)]
    pairs = list(zip(texts[::2], texts[1::2], strict=True))
    difference = np.array([len(a) - len(b) for a, b in pairs])
    y = (rng.rand(n_pairs) < expit(utility * difference)).astype(int)
    return pairs, y, difference


@pytest.mark.parametrize("bias", [-1.0, 0.0, 0.7])
def test_position_bias_is_recovered_within_its_interval(bias):
    data = make_preferences(6_000, n_features=10, position_bias=bias, random_state=0)
    model = PreferenceRewardModel(C=1e3, position_bias=True).fit(data.X, data.y)
    p = model.predict_proba(data.X)[:, 1]
    design = np.column_stack([data.X, np.ones(len(data.y))])
    covariance = np.linalg.inv(design.T @ ((p * (1 - p))[:, np.newaxis] * design))
    assert abs(model.position_bias_ - bias) < 3 * np.sqrt(covariance[-1, -1])
    assert np.abs(model.coef_[0] - data.coef).max() < 0.15


@pytest.mark.parametrize("C", [1e-3, 1.0])
def test_intercept_is_that_of_logistic_regression(C):
    data = make_preferences(500, n_features=6, position_bias=0.8, random_state=1)
    model = PreferenceRewardModel(C=C, position_bias=True).fit(data.X, data.y)
    expected = LogisticRegression(C=C, tol=1e-12, max_iter=10_000).fit(data.X, data.y)
    assert_allclose(model.coef_, expected.coef_, atol=1e-6)
    assert_allclose(model.position_bias_, expected.intercept_[0], atol=1e-6)
    assert_allclose(model.predict_proba(data.X), expected.predict_proba(data.X), atol=1e-6)


def test_position_is_part_of_the_margin_and_not_of_the_reward():
    data = make_preferences(400, n_features=6, position_bias=0.8, random_state=1)
    model = PreferenceRewardModel(position_bias=True).fit(data.X, data.y)
    margin = model.decision_function(data.X)
    assert_allclose(margin - model.reward_margin(data.X), model.position_bias_)
    assert_allclose(model.reward(np.eye(6)), model.coef_[0])
    turned = model.decision_function(-data.X)
    assert_allclose(margin + turned, 2 * model.position_bias_)
    assert_allclose(logit(model.predict_proba(data.X)[:, 1]), margin)


def test_without_options_there_is_no_bias():
    data = make_preferences(200, n_features=6, random_state=1)
    model = PreferenceRewardModel().fit(data.X, data.y)
    assert model.position_bias_ == 0
    assert_array_equal(model.length_coef_, [0, 0])
    assert model.length_scale_ is None
    assert_array_equal(model.reward_margin(data.X), model.decision_function(data.X))


def test_reward_is_free_of_length_when_only_length_is_preferred():
    pairs, y, difference = make_length_pairs()
    texts = [text for pair in pairs for text in pair]
    lengths = np.array([len(text) for text in texts])
    plain = PreferenceRewardModel(C=0.1).fit(pairs, y)
    net = PreferenceRewardModel(C=0.1, control_length=True).fit(pairs, y)
    assert np.corrcoef(plain.reward(texts), lengths)[0, 1] > 0.9
    assert abs(np.corrcoef(net.reward(texts), lengths)[0, 1]) < 0.15
    assert net.reward(texts).std() < 0.2 * plain.reward(texts).std()
    # What annotators will prefer is predicted all the same, with length.
    assert net.score(pairs, y) > plain.score(pairs, y) - 0.01
    total = net.length_coef_[0] * difference / net.length_scale_
    total += net.length_coef_[1] * np.tanh(difference / net.length_scale_)
    assert_allclose(net.decision_function(pairs) - net.reward_margin(pairs), total, atol=1e-12)
    assert np.corrcoef(total, 0.02 * difference)[0, 1] > 0.99


def test_weights_are_recovered_beside_a_utility_of_length():
    data = make_preferences(8_000, n_features=8, length_bias=0.2, random_state=0)
    plain = PreferenceRewardModel(C=1.0).fit(data.X, data.y)
    net = PreferenceRewardModel(C=1.0, control_length=True).fit(with_length(data.X), data.y)
    # A constant in all weights is a utility of length: it is what the model cannot tell from it.
    truth = data.coef - data.coef.mean()
    assert np.abs(net.coef_[0] - truth).max() < 0.15
    assert abs(net.coef_[0].mean()) < 1e-6
    assert abs(plain.coef_[0].mean() - data.coef.mean() - 0.2) < 0.05


def test_only_length_varies_in_what_is_left_at_equal_length():
    pairs, y, _ = make_length_pairs(500)
    model = PreferenceRewardModel(control_length=True, position_bias=True).fit(pairs, y)
    same = [(a, a) for a, _ in pairs[:5]]
    assert_allclose(model.decision_function(same), model.position_bias_, atol=1e-12)


def test_lengths_of_text_are_not_those_of_differences():
    pairs, y, _ = make_length_pairs(200)
    model = PreferenceRewardModel(control_length=True).fit(pairs, y)
    counts = model.vectorizer_.transform([a for a, _ in pairs])
    with pytest.raises(ValueError, match=r"fitted on text and got counts.*reward_margin"):
        model.decision_function(counts)
    with pytest.raises(ValueError, match=r"fitted on text and got given lengths.*reward_margin"):
        model.decision_function(with_length(counts))
    assert_allclose(model.reward_margin(counts), model.reward([a for a, _ in pairs]))


def test_equal_lengths_and_separable_labels_are_finite():
    pairs = [("aa", "bb"), ("bb", "aa"), ("aa", "cc"), ("cc", "aa")]
    model = PreferenceRewardModel(control_length=True).fit(pairs, [1, 0, 1, 0])
    assert model.length_scale_ == 1
    assert_array_equal(model.length_coef_, [0, 0])
    X = np.random.RandomState(0).randn(40, 50)
    model = PreferenceRewardModel(C=1e6, position_bias=True, control_length=True)
    model.fit(with_length(X), X[:, 0] > 0)
    assert np.isfinite(model.decision_function(with_length(X))).all()


def test_one_class_of_soft_labels_has_no_intercept():
    X = np.random.RandomState(0).randn(6, 2)
    y = np.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.5])
    with pytest.raises(ValueError, match="two classes"):
        PreferenceRewardModel(position_bias=True).fit(X[:2], [1, 1])
    with pytest.raises(ValueError, match="two classes"):
        PreferenceRewardModel(position_bias=True).fit(X, y, sample_weight=[1, 1, 1, 0, 0, 0])
    PreferenceRewardModel().fit(X, y, sample_weight=[1, 1, 1, 0, 0, 0])


SOFT = np.array([0.3, 0.7, 0.9, 0.6, 0.8, 0.9, 1.0, 0.2])


@pytest.mark.parametrize("y", [SOFT, np.maximum(SOFT, 0.5), 1 - SOFT, np.full(8, 0.5),
                               np.r_[np.ones(7), 0.9], np.r_[np.zeros(7), 0.1]])  # fmt: skip
def test_position_bias_of_soft_labels_meets_their_mean(y):
    # Without a penalty of the bias b, the derivative of the loss in b, sum (p - y), is 0.
    X = np.random.RandomState(0).randn(8, 2)
    fits = [
        PreferenceRewardModel(position_bias=True, tol=1e-10).fit(X, y),
        PreferenceRewardModel(position_bias=True, tol=1e-10).partial_fit(X, y),
        PreferenceRewardModelCV(Cs=2, cv=2, position_bias=True, tol=1e-10).fit(X, y),
        RewardUncertainty(PreferenceRewardModel(position_bias=True, tol=1e-10))
        .fit(X, y)
        .estimator_,
        BootstrapRewardEnsemble(
            PreferenceRewardModel(position_bias=True, tol=1e-10), n_estimators=2, random_state=0
        )
        .fit(X, y)
        .estimator_,
    ]
    for model in fits:
        assert_allclose(model.predict_proba(X)[:, 1].mean(), y.mean(), atol=1e-8)


@pytest.mark.parametrize("text", [True, False])
def test_designs_with_nuisances_are_their_matrix(text):
    rng = np.random.RandomState(0)
    if text:
        features = TokenCounter().fit_transform(["a b", "b c c", "d", "a d"])
        design = PairDesign(features, np.array([0, 1, 2, 3, 0]), np.array([1, 2, 3, 0, 2]))
    else:
        design = DifferenceDesign(rng.randn(5, 4))
    joint = NuisanceDesign(design, rng.randn(5, 2))
    matrix = toarray(joint[:])
    w, r, h = rng.randn(joint.shape[1]), rng.randn(5), rng.rand(5)
    assert_allclose(joint.matvec(w), matrix @ w)
    assert_allclose(joint.rmatvec(r), matrix.T @ r)
    assert_allclose(joint.column_squares(h), matrix.T**2 @ h)
    assert_allclose(joint.gram(h), matrix.T @ np.diag(h) @ matrix)
    assert_allclose(design.gram(h), joint.gram(h)[: design.shape[1], : design.shape[1]])
    rows = np.array([4, 1])
    assert_allclose(toarray(joint.take(rows)[:]), matrix[rows])


def test_products_of_responses_are_kept_or_not_with_one_result(monkeypatch):
    features = TokenCounter().fit_transform(["a b", "b c c", "d", "a d"])
    a, b, h = np.array([0, 1, 2, 3, 0]), np.array([1, 2, 3, 0, 2]), np.linspace(0.1, 1, 5)
    kept = PairDesign(features, a, b).column_squares(h)
    monkeypatch.setattr("sklearn_codex._data.designs.MAX_PRODUCTS", 0)
    assert_allclose(PairDesign(features, a, b).column_squares(h), kept)


def test_win_rate_at_equal_length():
    rng = np.random.RandomState(0)
    difference = rng.normal(150, 200, size=6_000)
    truth = expit(-0.4 + 0.008 * difference)
    y = (rng.rand(6_000) < truth).astype(float)
    result = length_controlled_win_rate(y, difference)
    assert result.raw_win_rate > 0.6
    assert result.interval[0] < expit(-0.4) < result.interval[1]
    assert result.interval[1] - result.interval[0] < 0.1
    assert result.win_rate == pytest.approx(expit(result.advantage))


def test_win_rate_interval_covers_and_knows_groups():
    rng = np.random.RandomState(0)
    covered = 0
    for _ in range(200):
        difference = rng.normal(0.3, 1, size=300)
        y = rng.rand(300) < expit(0.5 + difference)
        interval = length_controlled_win_rate(y.astype(float), difference).interval
        covered += interval[0] < expit(0.5) < interval[1]
    assert 0.89 < covered / 200 < 0.99
    single = length_controlled_win_rate(y.astype(float), difference)
    double = length_controlled_win_rate(
        np.tile(y.astype(float), 2), np.tile(difference, 2), groups=np.tile(np.arange(300), 2)
    )
    assert_allclose(double.interval, single.interval, atol=1e-3)


@pytest.mark.parametrize("by_group", [False, True])
def test_a_pair_without_weight_is_as_none_to_the_win_rate(by_group):
    rng = np.random.RandomState(0)
    difference, y = rng.normal(size=60), (rng.rand(60) < 0.6).astype(float)
    groups = list(np.arange(60) // 2) if by_group else None
    weight = np.repeat([1.0, 0.0], 30)
    weighted = length_controlled_win_rate(y, difference, sample_weight=weight, groups=groups)
    alone = length_controlled_win_rate(y[:30], difference[:30], groups=groups and groups[:30])
    assert_allclose(weighted.interval, alone.interval, rtol=1e-9)


def test_win_rate_of_one_who_always_wins_is_finite():
    result = length_controlled_win_rate(np.ones(20), np.arange(20.0))
    assert 0.9 < result.win_rate <= 1
    assert np.isfinite(result.interval).all()
    with pytest.raises(
        ValueError, match="length_difference should have one value a pair: there are 2"
    ):
        length_controlled_win_rate([1, 0], [1.0])
    with pytest.raises(ValueError, match=r"y should be the probability, in \[0, 1\]"):
        length_controlled_win_rate([1, 2], [1.0, 2.0])


def test_win_rate_from_a_model_is_that_of_its_margin():
    rng = np.random.RandomState(1)
    texts = [" ".join(rng.choice(list("abcdefgh"), size=n)) for n in rng.randint(1, 30, 4_000)]
    pairs = list(zip(texts[::2], texts[1::2], strict=True))
    longer = np.array([len(a) - len(b) for a, b in pairs])
    y = (rng.rand(2_000) < expit(0.5 + 0.05 * longer)).astype(int)
    model = PreferenceRewardModel(C=0.01, position_bias=True, control_length=True).fit(pairs, y)
    by_model = expit(model.reward_margin(pairs) + model.position_bias_).mean()
    by_length = length_controlled_win_rate(y, longer).win_rate
    assert by_model == pytest.approx(by_length, abs=0.02)
    assert by_model == pytest.approx(expit(0.5), abs=0.05)
