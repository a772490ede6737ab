"""Standard errors that a fitted reward model has by itself, and intervals of its bias terms."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from reward_pairs import with_length
from scipy.special import expit
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

from sklearn_codex import (
    BootstrapRewardEnsemble,
    PreferenceRewardModel,
    PreferenceRewardModelCV,
    RewardUncertainty,
)
from sklearn_codex._reward import ensemble
from sklearn_codex.datasets import make_preferences
from sklearn_codex.text import TokenCounter

OPTIONS = [{}, {"position_bias": True}, {"position_bias": True, "control_length": True}]


@pytest.fixture
def data():
    return make_preferences(400, n_features=6, position_bias=0.5, n_prompts=80, random_state=0)


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("C", [0.05, 3.0])
def test_standard_errors_are_those_of_reward_uncertainty(data, C, options):
    weight = np.random.RandomState(0).exponential(size=400)
    X = with_length(data.X)
    model = PreferenceRewardModel(C, **options).fit(X, data.y, sample_weight=weight)
    margin, std = model.predict_margin(X, return_std=True)
    assert_array_equal(margin, model.decision_function(X))
    assert_array_equal(model.predict_margin(X), margin)
    uncertainty = RewardUncertainty(FrozenEstimator(model), method="dual")
    uncertainty.fit(X, data.y, sample_weight=weight)
    assert_allclose(std, uncertainty.predict_margin(X, return_std=True)[1], rtol=1e-6)


def test_text_pairs_and_pickles():
    data = make_preferences(300, n_features=12, n_prompts=60, text=True, random_state=0)
    model = PreferenceRewardModel(vectorizer=TokenCounter(max_features=10)).fit(data.X, data.y)
    uncertainty = RewardUncertainty(FrozenEstimator(model)).fit(data.X, data.y)
    expected = uncertainty.predict_margin(data.X[:9], return_std=True)
    assert_allclose(model.predict_margin(data.X[:9], return_std=True), expected, rtol=1e-6)
    loaded = pickle.loads(pickle.dumps(model))
    assert_allclose(loaded.predict_margin(data.X[:9], return_std=True), expected, rtol=1e-6)


def test_a_stream_has_those_of_the_curvature_of_its_batches(data):
    model = PreferenceRewardModel(C=2.0)
    information = np.eye(6) / 2.0
    for rows in np.array_split(np.arange(400), 4):
        model.partial_fit(data.X[rows], data.y[rows], classes=[0, 1])
        p = expit(data.X[rows] @ model.coef_[0])
        information += (data.X[rows].T * (p * (1 - p))) @ data.X[rows]
    _, std = model.predict_margin(np.eye(6), return_std=True)
    assert_allclose(std, np.sqrt(np.diag(np.linalg.inv(information))), rtol=1e-6)
    _, of_fit = PreferenceRewardModel(C=2.0).fit(data.X, data.y).predict_margin(np.eye(6), True)
    assert_allclose(std, of_fit, rtol=0.1)


def test_without_a_matrix_of_curvature_the_way_to_one_is_named(data):
    X = np.random.RandomState(0).randn(60, 129)
    for model in (PreferenceRewardModel(), PreferenceRewardModelCV([1.0], cv=2)):
        model.fit(X, X[:, 0] > 0)
        assert_array_equal(model.predict_margin(X), model.decision_function(X))
        with pytest.raises(ValueError, match=r"128 weights.*has 129.*RewardUncertainty\("):
            model.predict_margin(X, return_std=True)
        uncertainty = RewardUncertainty(FrozenEstimator(model)).fit(X, X[:, 0] > 0)
        assert (uncertainty.predict_margin(X, return_std=True)[1] > 0).all()


@pytest.mark.parametrize("position_bias", [False, True])
def test_length_gaps_of_one_size_leave_standard_errors_of_margins(position_bias):
    # Then d and tanh d are one column; the errors are those of a model that has it once.
    rng = np.random.RandomState(0)
    X = rng.randint(-3, 4, size=(60, 5)).astype(float)
    X[:, 4] = rng.choice([-3, 3], size=60) - X[:, :4].sum(axis=1)
    y = (rng.uniform(size=60) < expit(X[:, 0])).astype(int)
    model = PreferenceRewardModel(control_length=True, position_bias=position_bias)
    given = with_length(X)
    model.fit(given, y)
    position = [np.ones(60)] if position_bias else []
    design = np.column_stack([X, *position, X.sum(axis=1)])
    p = expit(model.decision_function(given))
    information = (design.T * (p * (1 - p))) @ design
    information[range(5), range(5)] += 1
    expected = np.sqrt(np.einsum("ij,ji->i", design, np.linalg.solve(information, design.T)))
    assert_allclose(model.predict_margin(given, return_std=True)[1], expected, rtol=1e-6)
    for method in ("dense", "dual"):
        uncertainty = RewardUncertainty(FrozenEstimator(model), method=method).fit(given, y)
        assert_allclose(uncertainty.predict_margin(given, return_std=True)[1], expected, rtol=1e-6)
        # A gap of another size would tell d from tanh d: nothing is known of it.
        other = with_length(2 * X[:1])
        assert uncertainty.predict_margin(other, return_std=True)[1][0] > 1e3


@pytest.mark.parametrize("method", ["dense", "dual"])
def test_bias_intervals_are_of_the_last_weights(data, method):
    X = with_length(data.X)
    model = PreferenceRewardModel(position_bias=True, control_length=True).fit(X, data.y)
    uncertainty = RewardUncertainty(FrozenEstimator(model), method=method).fit(X, data.y)
    table = uncertainty.bias_interval()
    assert table.feature.tolist() == ["position", "length", "tanh length"]
    assert_allclose(table.coef, [model.position_bias_, *model.length_coef_])
    # A pair of two equal responses has no margin but the position's.
    _, std = uncertainty.predict_margin(with_length(np.zeros((1, 6))), return_std=True)
    assert_allclose(table.std[0], std[0], rtol=1e-6)
    assert_allclose(table.high - table.coef, 1.959964 * table.std, rtol=1e-6)
    assert (uncertainty.bias_interval(0.99).low < table.low).all()
    one = RewardUncertainty(PreferenceRewardModel(position_bias=True)).fit(data.X, data.y)
    assert one.bias_interval().feature.tolist() == ["position"]
    assert one.coef_interval().coef.shape == (6,)


def test_a_model_without_bias_terms_has_no_interval_of_them(data):
    with pytest.raises(ValueError, match="Give it position_bias=True"):
        RewardUncertainty().fit(data.X, data.y).bias_interval()


def test_a_C_set_after_the_fit_changes_no_standard_error():
    data = make_preferences(200, n_features=5, random_state=0)
    model = PreferenceRewardModel(C=0.3).fit(data.X, data.y)
    before = model.predict_margin(data.X, return_std=True)[1]
    model.set_params(C=30.0)
    assert_array_equal(model.predict_margin(data.X, return_std=True)[1], before)
    uncertainty = RewardUncertainty(FrozenEstimator(model)).fit(data.X, data.y)
    assert_allclose(uncertainty.predict_margin(data.X, return_std=True)[1], before, rtol=1e-6)


@pytest.mark.parametrize("C", [0.3, 1.0, 10.0])
@pytest.mark.parametrize("n_features", [5, 150])
def test_members_of_an_ensemble_have_the_curvature_of_their_samples(n_features, C, monkeypatch):
    data = make_preferences(300, n_features=n_features, n_prompts=60, random_state=0)
    samples = []

    def remember(*args, **kwargs):
        samples.append(draw_weights(*args, **kwargs))
        return samples[-1]

    draw_weights = ensemble._draw_weights
    monkeypatch.setattr(ensemble, "_draw_weights", remember)
    model = PreferenceRewardModel(C=C, position_bias=True, tol=1e-10)
    refits = BootstrapRewardEnsemble(model, n_estimators=3, random_state=0)
    refits.fit(data.X, data.y, groups=data.groups)
    for member, weight in zip(refits.estimators_, samples, strict=True):
        alone = clone(model).fit(data.X, data.y, sample_weight=weight)
        assert_allclose(member.coef_, alone.coef_, atol=1e-7)
        assert not hasattr(member, "history_")
        if n_features == 5:  # as many as a matrix is kept for
            got, expected = (
                m.predict_margin(data.X[:20], return_std=True) for m in (member, alone)
            )
            assert_allclose(got, expected, rtol=1e-6)
            whole = refits.estimator_.predict_margin(data.X[:20], return_std=True)[1]
            assert np.abs(got[1] / whole - 1).max() > 0.01
        # And so they go on from where their own sample left them.
        for each in (member, alone):
            each.partial_fit(data.X[:50], data.y[:50])
        assert_allclose(member.coef_, alone.coef_, atol=1e-6)


def test_members_of_models_without_curvature_have_none():
    data = make_preferences(300, n_features=5, n_prompts=60, random_state=0)
    model = PreferenceRewardModelCV(Cs=[0.1, 1.0])
    refits = BootstrapRewardEnsemble(model, n_estimators=2, random_state=0)
    for member in refits.fit(data.X, data.y, groups=data.groups).estimators_:
        with pytest.raises(ValueError, match="Standard errors need the curvature"):
            member.predict_margin(data.X, return_std=True)
