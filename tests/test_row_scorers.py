"""Scorers that read more of a row than its responses."""

import pickle
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score, cross_validate

from sklearn_codex import (
    PlackettLuceModel,
    PreferenceRewardModel,
    TiePreferenceModel,
    stack_rankings,
)
from sklearn_codex.datasets import make_preferences
from sklearn_codex.metrics import (
    best_of_n_accuracy,
    get_preference_scorer,
    length_audit,
    preference_accuracy,
    preference_brier_loss,
    preference_log_loss,
    preference_scorers,
    sectioned_accuracy,
)

SECTIONS = {"chat": ["easy", "hard"], "code": ["java"]}


@pytest.fixture(scope="module")
def frame():
    data = make_preferences(240, n_features=10, n_prompts=60, text=True, random_state=0)
    by_prompt = np.argsort(data.groups, kind="stable")  # 4 pairs of each
    X, y, groups = (data[name][by_prompt] for name in ("X", "y", "groups"))
    frame = pd.DataFrame(X, columns=["prompt", "response_a", "response_b"])
    frame["subset"] = np.random.RandomState(0).choice(["easy", "hard", "java"], size=240)
    return frame, y, groups


@pytest.fixture(scope="module")
def model(frame):
    return PreferenceRewardModel(C=0.1).fit(frame[0][:120], frame[1][:120])


def subset_of(X):
    return X["subset"]


@pytest.mark.parametrize("subset", ["subset", subset_of])
def test_sections_are_those_of_the_metric(frame, model, subset):
    X, y = frame[0][120:], frame[1][120:]
    points = (model.predict(X) == y).astype(float)
    scorer = get_preference_scorer(
        "sectioned_accuracy", subset=subset, sections=SECTIONS, weights={"code": 3.0}
    )
    expected = sectioned_accuracy(points, X["subset"], SECTIONS, {"code": 3.0}).overall
    assert scorer(model, X, y) == pytest.approx(expected)
    assert pickle.loads(pickle.dumps(scorer))(model, X, y) == pytest.approx(expected)
    weight = np.random.RandomState(1).exponential(size=120)
    expected = sectioned_accuracy(points, X["subset"], SECTIONS, sample_weight=weight).overall
    scorer = get_preference_scorer("sectioned_accuracy", subset=subset, sections=SECTIONS)
    assert scorer(model, X, y, sample_weight=weight) == pytest.approx(expected)
    alone = get_preference_scorer("sectioned_accuracy", subset=subset)
    means = [points[X["subset"] == name].mean() for name in ("easy", "hard", "java")]
    assert alone(model, X, y) == pytest.approx(np.mean(means))


def test_a_fold_without_a_section_has_the_others(frame, model):
    X, y = frame[0][120:], frame[1][120:]
    chat = X["subset"].to_numpy() != "java"
    scorer = get_preference_scorer(
        "sectioned_accuracy", subset="subset", sections=SECTIONS, weights={"code": 2.0}
    )
    expected = preference_accuracy(y[chat], model.decision_function(X[chat]))
    assert scorer(model, X[chat], y[chat]) == pytest.approx(expected)


def test_a_section_may_be_the_name_of_its_only_subset(frame, model):
    X, y = frame[0][120:], frame[1][120:]
    scores = [
        get_preference_scorer("sectioned_accuracy", subset="subset", sections=sections)(model, X, y)
        for sections in (SECTIONS, {**SECTIONS, "code": "java"})
    ]
    assert scores[0] == scores[1]


@pytest.mark.parametrize("form", ["frame", "array", "list"])
def test_lengths_are_those_of_the_audit(frame, model, form):
    X, y = frame[0][120:], frame[1][120:]
    difference = X["response_a"].str.len() - X["response_b"].str.len()
    audit = length_audit(y, model.decision_function(X), difference)
    rows = X[["prompt", "response_a", "response_b"]].to_numpy()
    X = {"frame": X, "array": rows, "list": rows.tolist()}[form]
    shorter = get_preference_scorer("shorter_preferred_accuracy")
    assert shorter(model, X, y) == pytest.approx(audit.accuracy_shorter_preferred)
    correlation = get_preference_scorer("neg_length_correlation")
    assert correlation(model, X, y) == pytest.approx(-abs(audit.margin_length_correlation))


def test_lengths_of_differences_have_to_be_told():
    data = make_preferences(200, n_features=6, random_state=0)
    model = PreferenceRewardModel().fit(data.X, data.y)
    with pytest.raises(ValueError, match="pass length_difference="):
        get_preference_scorer("neg_length_correlation")(model, data.X, data.y)
    told = get_preference_scorer("neg_length_correlation", length_difference=lambda X: X[:, 0])
    correlation = np.corrcoef(data.X[:, 0], model.decision_function(data.X))[0, 1]
    assert told(model, data.X, data.y) == pytest.approx(-abs(correlation))
    wrong = get_preference_scorer("neg_length_correlation", length_difference=lambda X: X[:5, 0])
    with pytest.raises(ValueError, match="length_difference"):
        wrong(model, data.X, data.y)


def test_best_of_n_of_rankings():
    rankings = [["good", "bad", "poor"], ["poor", "good"], ["fine day", "bad day", "bad", "poor"]]
    rows = stack_rankings(rankings, prompts=["one", "two", "three"])
    model = PlackettLuceModel().fit(rows.X, rows.y)
    reward = model.reward(rows.X)
    scores = np.full((3, 4), np.nan)
    for i, ranking in enumerate(rankings):
        scores[i, : len(ranking)] = reward[rows.groups == i]
    scorer = get_preference_scorer("best_of_n_accuracy")
    expected = best_of_n_accuracy(scores)
    assert 0 < expected < 1
    assert scorer(model, rows.X, rows.y) == pytest.approx(expected)
    order = np.random.RandomState(0).permutation(9)
    shuffled = [rows.X[i] for i in order]
    assert scorer(model, shuffled, rows.y[order]) == pytest.approx(expected)
    weight = np.array([1.0, 5.0, 2.0])
    assert scorer(model, rows.X, rows.y, weight[rows.groups]) == pytest.approx(
        best_of_n_accuracy(scores, sample_weight=weight)
    )
    told = get_preference_scorer("best_of_n_accuracy", groups=lambda X: rows.groups)
    texts = [text for _, text in rows.X]
    assert told(model, texts, rows.y) == pytest.approx(expected)
    with pytest.raises(ValueError, match="pass groups="):
        scorer(model, texts, rows.y)


def test_a_prompt_weighs_the_mean_of_its_responses():
    # Right of the first prompt, wrong of the second, which weighs 3 to 2.
    model = SimpleNamespace(reward=lambda X: np.array([2.0, 1.0, 2.0, 1.0]))
    rows, gold = [("p", "a"), ("p", "b"), ("q", "c"), ("q", "d")], np.array([1.0, 0.0, 0.0, 1.0])
    scorer = get_preference_scorer("best_of_n_accuracy")
    weight = np.array([1.0, 3.0, 5.0, 1.0])
    assert scorer(model, rows, gold, sample_weight=weight) == pytest.approx(2 / 5)


def test_in_cross_validation_and_search(frame):
    X, y, groups = frame
    scorers = {
        "sections": get_preference_scorer("sectioned_accuracy", subset="subset"),
        "shorter": get_preference_scorer("shorter_preferred_accuracy"),
        "length": get_preference_scorer("neg_length_correlation"),
        "accuracy": get_preference_scorer("preference_accuracy"),
    }
    model, cv = PreferenceRewardModel(C=0.1), GroupKFold(3)
    together = cross_validate(model, X, y, groups=groups, cv=cv, scoring=scorers)
    for name, scorer in scorers.items():
        alone = cross_val_score(model, X, y, groups=groups, cv=cv, scoring=scorer)
        assert_allclose(together[f"test_{name}"], alone)
    search = GridSearchCV(model, {"C": [1e-3, 0.1]}, cv=cv, scoring=scorers["sections"])
    assert 0.3 < search.fit(X, y, groups=groups).best_score_ < 1


def test_half_of_a_tie_is_for_each():
    data = make_preferences(300, n_features=6, n_prompts=60, random_state=0)
    y = np.where(np.arange(300) % 4 == 0, 0.5, data.y)
    model = TiePreferenceModel().fit(data.X, y)
    _, tie, a = model.predict_proba(data.X).T
    for name, metric in (
        ("neg_preference_log_loss", preference_log_loss),
        ("neg_preference_brier_loss", preference_brier_loss),
    ):
        assert get_preference_scorer(name)(model, data.X, y) == pytest.approx(
            -metric(y, a + tie / 2)
        )
    margin = model.predict_margin(data.X)
    assert get_preference_scorer("preference_accuracy")(model, data.X, y) == pytest.approx(
        preference_accuracy(y, margin)
    )
    scores = cross_validate(
        model, data.X, y, groups=data.groups, cv=GroupKFold(3), scoring=preference_scorers
    )
    assert all(np.isfinite(values).all() for values in scores.values())


def test_what_is_missing_is_said():
    with pytest.raises(TypeError, match="needs subset="):
        get_preference_scorer("sectioned_accuracy")
    with pytest.raises(
        ValueError, match=r"name of a scorer, one of .*'best_of_n_accuracy'.* got 'accuracy'"
    ):
        get_preference_scorer("accuracy")
    scorer = get_preference_scorer("sectioned_accuracy", subset="subset")
    assert repr(scorer) == "get_preference_scorer('sectioned_accuracy', subset='subset')"
