"""Separable labels, columns without variation, extreme penalties: finite, and said where it counts.

For every model of preferences alike.
"""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from reward_pairs import with_length
from sklearn.exceptions import ConvergenceWarning

from sklearn_codex import (
    AnnotatorRewardModel,
    BootstrapRewardEnsemble,
    PlackettLuceModel,
    PreferenceRewardModel,
    PreferenceRewardModelCV,
    RewardUncertainty,
    TiePreferenceModel,
)

OF_PAIRS = {
    "plain": lambda C: PreferenceRewardModel(C),
    "biases": lambda C: PreferenceRewardModel(C, position_bias=True, control_length=True),
    "chosen C": lambda C: PreferenceRewardModelCV([C, 2 * C]),
    "davidson": lambda C: TiePreferenceModel(C, tie_model="davidson"),
    "rao-kupper": lambda C: TiePreferenceModel(C, tie_model="rao-kupper"),
    "annotators": lambda C: AnnotatorRewardModel(C),
    "laplace": lambda C: RewardUncertainty(PreferenceRewardModel(C)),
    "sandwich": lambda C: RewardUncertainty(PreferenceRewardModel(C), kind="sandwich"),
    "ensemble": lambda C: BootstrapRewardEnsemble(PreferenceRewardModel(C), 3, random_state=0),
}
WITH_TIES = ("davidson", "rao-kupper")
EXTREME = [1e-12, 1e12]
X = np.random.RandomState(0).randn(60, 5)
SEPARABLE = (X[:, 0] > 0).astype(int)
NOISY = (np.random.RandomState(1).uniform(size=60) < 1 / (1 + np.exp(-X[:, 0]))).astype(int)


def given(model, X):
    """What a model takes: with lengths, which differences do not tell, where it controls them."""
    return with_length(X) if getattr(model, "control_length", False) else X


def fit_quietly(model, X, y, **params):
    """Fit; a warning that the optimum was not reached is allowed, no other is."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(given(model, X), y, **params)


def assert_finite(model, X):
    assert np.isfinite(model.coef_).all()
    assert np.isfinite(model.reward(X)).all()
    if hasattr(model, "predict_proba"):
        proba = model.predict_proba(given(model, X))
        assert_allclose(proba.sum(axis=1), 1.0)
        assert np.isfinite(proba).all()


@pytest.mark.parametrize("C", EXTREME)
@pytest.mark.parametrize("y", [SEPARABLE, NOISY], ids=["separable", "noisy"])
@pytest.mark.parametrize("name", OF_PAIRS)
def test_any_penalty_is_finite(name, y, C):
    model = fit_quietly(OF_PAIRS[name](C), X, y)
    assert_finite(model, X)
    assert_finite(model, 1e6 * X)
    if C < 1:
        assert np.abs(model.coef_).max() < 1e-9
    elif y is SEPARABLE:
        assert np.mean(model.predict(given(model, X)) == y) == 1
    if hasattr(model, "predict_margin") and name not in (*WITH_TIES, "chosen C"):
        assert np.isfinite(model.predict_margin(given(model, X), return_std=True)).all()


@pytest.mark.parametrize("C", EXTREME)
@pytest.mark.parametrize("name", WITH_TIES)
def test_ties_between_separable_labels_are_finite(name, C):
    y = np.where(np.abs(X[:, 0]) < 0.3, 0.5, SEPARABLE)
    model = fit_quietly(OF_PAIRS[name](C), X, y)
    assert_finite(model, X)
    low, high = model.tie_parameter_interval()
    assert 0 <= low <= model.tie_parameter_ <= high
    if C > 1:
        assert_array_equal(model.predict(X), y)


@pytest.mark.parametrize("C", EXTREME)
@pytest.mark.parametrize("y", [X[:, 0], NOISY], ids=["separable", "noisy"])
def test_rankings_of_any_penalty_are_finite(y, C):
    model = fit_quietly(PlackettLuceModel(C), X, y, groups=np.arange(60) // 6)
    assert_finite(model, X)
    assert_allclose(model.predict_choice(1e6 * X).sum(), 1.0)


@pytest.mark.parametrize("name", OF_PAIRS)
def test_columns_without_variation_have_no_weight(name):
    constant = np.column_stack([X[:, :2], np.zeros(60)])
    model = fit_quietly(OF_PAIRS[name](1.0), constant, NOISY)
    assert_array_equal(np.atleast_2d(model.coef_)[:, 2], 0)
    nothing = fit_quietly(OF_PAIRS[name](1.0), np.zeros((40, 2)), [0, 1] * 20)
    assert_array_equal(nothing.coef_, 0)
    assert_finite(nothing, np.zeros((3, 2)))


@pytest.mark.parametrize("scale", [1e-8, 1e8])
@pytest.mark.parametrize("name", OF_PAIRS)
def test_columns_of_any_scale_are_finite(name, scale):
    assert_finite(fit_quietly(OF_PAIRS[name](1.0), scale * X, NOISY), scale * X)


@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("name", OF_PAIRS)
def test_one_class_is_an_error_that_says_what_to_do(name, label):
    model = OF_PAIRS[name](1.0)
    with pytest.raises(ValueError, match=r"two classes.*one class.*balance_positions\(X\)") as info:
        model.fit(given(model, X), np.full(60, label))
    assert "np." not in str(info.value)
    if name in WITH_TIES:
        assert f"{'BA'[label]} is preferred" in str(info.value)


def test_biases_that_tell_every_label_have_no_optimum_and_it_is_said():
    longer_wins = [("aaa", "b"), ("c", "dddd"), ("eeeee", "f"), ("g", "hh")]
    y = np.array([1, 0, 1, 0])
    model = PreferenceRewardModel(control_length=True)
    with pytest.warns(ConvergenceWarning, match="no finite optimum"):
        model.fit(longer_wins, y)
    assert np.isfinite(model.length_coef_).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Not where one label is otherwise, or not certain, or no bias is modelled.
        model.fit([*longer_wins, ("h", "gg")], [*y, 1])
        model.fit(longer_wins, [1, 0, 1, 0.1])
        PreferenceRewardModel().fit(longer_wins, y)
    with pytest.warns(ConvergenceWarning, match="no finite optimum"):
        model.fit([*longer_wins, ("h", "gg")], [*y, 1], sample_weight=[1, 1, 1, 1, 0])


def test_empty_and_equal_responses():
    pairs = [("", "word"), ("word", ""), ("same", "same"), ("", ""), ("word word", "word")]
    y = [0, 1, 1, 0, 1]
    for model in (PreferenceRewardModel(), TiePreferenceModel(), AnnotatorRewardModel()):
        fit_quietly(model, pairs, y)
        assert_allclose(model.predict_proba([("", "")]), 0.5)
        assert model.reward(["word"]) > model.reward([""])
        assert model.reward([""]) == 0
