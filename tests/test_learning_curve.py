"""The learning curve by prompts."""

import numpy as np
import pytest
from displays import (
    LABELS,
    PAIRS,
    PROMPTS,
    assert_drawn_on,
    close_figures,  # noqa: F401
    plt,
)
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.model_selection import GroupKFold, KFold

from sklearn_codex import PreferenceRewardModel
from sklearn_codex.inspection import PromptLearningCurveDisplay
from sklearn_codex.inspection._learning_curve import _check_sizes


def test_learning_curve_grows_by_whole_prompts():
    class Recorder(PreferenceRewardModel):
        fits = []

        def fit(self, X, y, sample_weight=None):
            self.fits.append({prompt for prompt, _, _ in X})
            return super().fit(X, y, sample_weight=sample_weight)

    _, ax = plt.subplots()
    display = PromptLearningCurveDisplay.from_estimator(
        Recorder(), PAIRS, LABELS, train_sizes=[5, 20, 30], cv=4, random_state=0, ax=ax
    )
    assert_array_equal(display.n_prompts, [5, 20, 30])
    assert display.test_scores.shape == display.train_scores.shape == (3, 4)
    sizes = np.array([len(prompts) for prompts in Recorder.fits]).reshape(3, 4)
    assert_array_equal(sizes, np.repeat([[5], [20], [30]], 4, axis=1))
    for split in range(4):
        assert Recorder.fits[split] < Recorder.fits[4 + split] < Recorder.fits[8 + split]
    assert_array_equal(display.lines_[0].get_ydata(), display.test_scores.mean(axis=1))
    assert ax.get_ylabel() == "Accuracy"
    assert ax.get_xlabel() == "Prompts in the training set"
    assert_drawn_on(display, ax)


def test_learning_curve_on_all_prompts_is_cross_validation():
    cv = GroupKFold(4)
    display = PromptLearningCurveDisplay.from_estimator(
        PreferenceRewardModel(), PAIRS, LABELS, groups=PROMPTS, train_sizes=[1.0], cv=cv,
        scoring="neg_log_loss", score_type="test",
    )  # fmt: skip
    scores = []
    for train, test in cv.split(PAIRS, LABELS, PROMPTS):
        model = PreferenceRewardModel().fit([PAIRS[i] for i in train], LABELS[train])
        probability = model.predict_proba([PAIRS[i] for i in test])
        scores.append(np.log(probability[np.arange(len(test)), LABELS[test]]).mean())
    assert_allclose(display.test_scores[0], scores, rtol=1e-6)
    assert display.ax_.get_ylabel() == "Negative log loss"
    assert len(display.lines_) == 1


def test_learning_curve_of_given_splits():
    test = np.isin(PROMPTS, PROMPTS[:30])
    display = PromptLearningCurveDisplay.from_estimator(
        PreferenceRewardModel(), PAIRS, LABELS, train_sizes=[30],
        cv=[(np.flatnonzero(~test), np.flatnonzero(test))],
    )  # fmt: skip
    model = PreferenceRewardModel().fit([PAIRS[i] for i in np.flatnonzero(~test)], LABELS[~test])
    score = model.score([PAIRS[i] for i in np.flatnonzero(test)], LABELS[test])
    assert_allclose(display.test_scores, [[score]])


def test_learning_curve_is_seeded():
    one, other = (
        PromptLearningCurveDisplay.from_estimator(
            PreferenceRewardModel(), PAIRS, LABELS, cv=3, random_state=7
        )
        for _ in range(2)
    )
    assert_array_equal(one.n_prompts, other.n_prompts)
    assert_array_equal(one.test_scores, other.test_scores)


def test_learning_curve_over_a_wide_range_is_logarithmic():
    display = PromptLearningCurveDisplay(
        n_prompts=[5, 500], train_scores=np.ones((2, 2)), test_scores=np.ones((2, 2)), name="m"
    ).plot(score_type="train", score_name="AUC")
    assert display.ax_.get_xscale() == "log"
    assert display.lines_[0].get_label() == "m, training prompts"
    assert display.ax_.get_ylabel() == "AUC"
    with pytest.raises(ValueError, match="got 'validation'"):
        display.plot(score_type="validation")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cv": KFold(3)}, r"KFold\(.*puts a prompt on both sides"),
        ({"train_sizes": [99]}, r"from 1 to 30.*got \[99\]"),
        ({"train_sizes": [0.0, 0.5]}, r"shares in \(0, 1\], got \[0\.0, 0\.5\]"),
    ],
)
def test_learning_curve_errors(options, message):
    options = {"cv": 4, **options}
    with pytest.raises(ValueError, match=message):
        PromptLearningCurveDisplay.from_estimator(
            PreferenceRewardModel(), PAIRS, LABELS, random_state=0, **options
        )


def test_learning_curve_needs_prompts():
    pairs = [(a, b) for _, a, b in PAIRS]
    with pytest.raises(ValueError, match=r"X has none\. Pass groups="):
        PromptLearningCurveDisplay.from_estimator(PreferenceRewardModel(), pairs, LABELS)


def test_shares_of_prompts_are_rounded_to_one_at_least():
    assert _check_sizes([0.01, 0.07, 0.5, 1.0], 20).tolist() == [1, 10, 20]
    assert _check_sizes([3, 20, 3], 20).tolist() == [3, 20]
