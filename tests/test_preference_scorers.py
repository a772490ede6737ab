"""Scorers of preferences: the metrics of held-out margins, in all tools of scikit-learn."""

import numpy as np
import pytest
import sklearn
from scipy.special import expit, logit
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
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
    spearman_correlation,
)


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
    with pytest.raises(ValueError, match=r"name of a scorer, one of 'best_of_n.* got 'accuracy'"):
        get_preference_scorer("accuracy")
