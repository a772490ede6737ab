"""Tools of scikit-learn around the reward model, on text pairs and on feature differences."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV, CalibrationDisplay
from sklearn.ensemble import VotingClassifier
from sklearn.inspection import permutation_importance
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GroupKFold,
    LearningCurveDisplay,
    RandomizedSearchCV,
    ValidationCurveDisplay,
    cross_val_predict,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler

from sklearn_codex import PreferenceRewardModel
from sklearn_codex.datasets import make_preferences
from sklearn_codex.metrics import preference_log_loss

KINDS = ["text", "frame", "differences"]


@pytest.fixture(params=KINDS)
def data(request):
    """Pairs of 120 prompts, their labels and prompts, in three forms."""
    data = make_preferences(
        600,
        n_features=12,
        n_prompts=120,
        text=request.param != "differences",
        random_state=0,
    )
    if request.param == "frame":
        data.X = pd.DataFrame(data.X, columns=["prompt", "response_a", "response_b"])
    return data


def rows(X, chosen):
    return X.iloc[chosen] if hasattr(X, "iloc") else X[chosen]


def split(data):
    return next(GroupKFold(4).split(data.X, data.y, data.groups))


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_calibration_mends_a_model_that_is_too_sure(data, method):
    train, test = split(data)
    X, y = rows(data.X, train), data.y[train]
    sure = PreferenceRewardModel(C=100.0)
    folds = list(GroupKFold(4).split(X, y, data.groups[train]))
    calibrated = CalibratedClassifierCV(sure, method=method, cv=folds).fit(X, y)
    proba = calibrated.predict_proba(rows(data.X, test))
    assert_allclose(proba.sum(axis=1), 1.0)
    assert preference_log_loss(data.y[test], proba[:, 1]) < np.log(2)


def test_learning_and_validation_curves_are_drawn(data):
    pytest.importorskip("matplotlib").use("Agg")
    options = {"groups": data.groups, "cv": GroupKFold(3), "scoring": "neg_log_loss"}
    display = LearningCurveDisplay.from_estimator(
        PreferenceRewardModel(C=0.1), data.X, data.y, train_sizes=[0.3, 1.0], **options
    )
    assert display.test_scores.shape == (2, 3)
    assert display.test_scores[1].mean() > display.test_scores[0].mean()
    display = ValidationCurveDisplay.from_estimator(
        PreferenceRewardModel(),
        data.X,
        data.y,
        param_name="C",
        param_range=[1e-6, 0.1],
        **options,
    )
    assert display.test_scores[1].mean() > display.test_scores[0].mean()
    CalibrationDisplay.from_estimator(
        PreferenceRewardModel(C=0.1).fit(data.X, data.y), data.X, data.y
    )


def test_permutation_importance_knows_that_responses_matter_and_prompts_do_not(data):
    train, test = split(data)
    model = PreferenceRewardModel(C=0.1).fit(rows(data.X, train), data.y[train])
    X = rows(data.X, test)
    importance = permutation_importance(
        model, X, data.y[test], scoring="neg_log_loss", n_repeats=5, random_state=0
    ).importances_mean
    if X.shape[1] == 3:
        assert importance[0] == 0
        assert min(importance[1:]) > 0.05
    else:
        strongest = np.argmax(np.abs(model.coef_[0]) * data.X.std(axis=0))
        assert importance[strongest] > 0.05


def test_randomized_search(data):
    search = RandomizedSearchCV(
        PreferenceRewardModel(),
        {"C": np.geomspace(1e-4, 10, 9), "position_bias": [False, True]},
        n_iter=5,
        scoring="neg_log_loss",
        cv=GroupKFold(3),
        random_state=0,
    ).fit(data.X, data.y, groups=data.groups)
    assert search.best_score_ > -np.log(2)
    assert_allclose(search.predict_proba(data.X).sum(axis=1), 1.0)


def test_predictions_of_folds_votes_and_thresholds(data):
    cv = list(GroupKFold(3).split(data.X, data.y, data.groups))
    model = PreferenceRewardModel(C=0.1)
    margin = cross_val_predict(model, data.X, data.y, cv=cv, method="decision_function")
    assert np.mean((margin > 0) == data.y) > 0.6
    vote = VotingClassifier(
        [("one", model), ("other", clone(model).set_params(C=1e-3))], voting="soft"
    ).fit(data.X, data.y)
    first, second = (member.predict_proba(data.X) for member in vote.estimators_)
    assert_allclose(vote.predict_proba(data.X), (first + second) / 2)
    strict = FixedThresholdClassifier(model, threshold=0.7).fit(data.X, data.y)
    assert strict.predict(data.X).sum() < vote.predict(data.X).sum()


def test_a_pipeline_of_scaled_differences():
    data = make_preferences(300, n_features=6, random_state=0)
    pipeline = make_pipeline(MaxAbsScaler(), PreferenceRewardModel()).fit(data.X, data.y)
    assert pipeline.score(data.X, data.y) > 0.6
    assert_allclose(pipeline.predict_proba(-data.X), pipeline.predict_proba(data.X)[:, ::-1])
