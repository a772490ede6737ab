"""Displays of reward models: calibration, distribution, length bias."""

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
from scipy.stats import binomtest, t
from sklearn.base import clone

from sklearn_codex import PreferenceRewardModel
from sklearn_codex.inspection import (
    LengthBiasDisplay,
    RewardCalibrationDisplay,
    RewardDistributionDisplay,
    TrainingCurveDisplay,
)
from sklearn_codex.metrics import length_audit, reliability_table


@pytest.fixture(scope="module")
def reward_model():
    return PreferenceRewardModel().fit(PAIRS[:60], LABELS[:60])


def test_training_curves_of_a_reward_model(reward_model):
    display = TrainingCurveDisplay.from_estimator(reward_model)
    assert_array_equal(
        display.lines_[0].get_ydata(), [record["loss"] for record in reward_model.history_]
    )
    assert display.axes_[2].get_yscale() == "log"


def test_calibration_equals_the_table_and_wilson(reward_model):
    _, ax = plt.subplots()
    held_out, labels = PAIRS[60:], LABELS[60:]
    display = RewardCalibrationDisplay.from_estimator(
        reward_model, held_out, labels, n_bins=4, strategy="quantile", ax=ax
    )
    probability = reward_model.predict_proba(held_out)[:, 1]
    table = reliability_table(labels, probability, n_bins=4, strategy="quantile")
    for name in ("predicted", "observed", "n"):
        assert_array_equal(getattr(display, name), table[name])
    for i, (low, high) in enumerate(zip(table.low, table.high, strict=True)):
        inside = labels[(probability > low) & (probability <= high)]
        expected = binomtest(int(inside.sum()), len(inside)).proportion_ci(method="wilson")
        assert_allclose((display.low[i], display.high[i]), expected, atol=1e-12)
    assert [bar.get_height() for bar in display.bars_] == table.n.tolist()
    assert_array_equal(display.line_.get_xydata().T, [table.predicted, table.observed])
    assert ax.get_xlabel() == "Predicted P(A preferred)"
    assert_drawn_on(display, ax)


def test_calibration_of_weighted_pairs():
    # A pair of weight 0 is as if it were not there, even alone in its bin.
    labels, probability = [1, 0, 1, 1], [0.2, 0.3, 0.8, 0.55]
    weighted = RewardCalibrationDisplay.from_predictions(
        labels, probability, n_bins=4, sample_weight=[1, 1, 2, 0]
    )
    plain = RewardCalibrationDisplay.from_predictions(labels[:3], probability[:3], n_bins=4)
    for name in ("predicted", "observed", "low", "high", "n"):
        assert_allclose(getattr(weighted, name), getattr(plain, name))


def test_calibration_of_two_models_shares_the_counts():
    first = RewardCalibrationDisplay.from_predictions([0, 1, 1], [0.2, 0.6, 0.9], name="one")
    second = RewardCalibrationDisplay.from_predictions(
        [0, 1, 1], [0.3, 0.6, 0.9], name="two", ax=first.ax_
    )
    assert first.counts_ax_ is not None
    assert second.counts_ax_ is None
    assert first.line_.get_color() != second.line_.get_color()
    labels = [text.get_text() for text in first.ax_.get_legend().get_texts()]
    assert labels == ["calibrated", "one", "two"]


def test_classes_of_any_name(reward_model):
    named = clone(reward_model).fit(PAIRS[:60], np.array(["Y", "X"])[LABELS[:60]])
    # "Y" is the greater class, so it means that A of the pair is preferred.
    display = RewardCalibrationDisplay.from_estimator(
        named, PAIRS[60:], np.array(["Y", "X"])[LABELS[60:]], n_bins=3
    )
    other = RewardCalibrationDisplay.from_estimator(
        clone(reward_model).fit(PAIRS[:60], 1 - LABELS[:60]), PAIRS[60:], 1 - LABELS[60:], n_bins=3
    )
    assert_allclose(display.observed, other.observed)
    with pytest.raises(ValueError, match=r"labels \[0\.?0?, 1\.?0?\] in y, which are not among"):
        RewardCalibrationDisplay.from_estimator(named, PAIRS[60:], LABELS[60:])


def test_distribution_of_rewards(reward_model):
    _, ax = plt.subplots()
    display = RewardDistributionDisplay.from_estimator(reward_model, PAIRS, LABELS, ax=ax)
    chosen = [a if label else b for (_, a, b), label in zip(PAIRS, LABELS, strict=True)]
    rejected = [b if label else a for (_, a, b), label in zip(PAIRS, LABELS, strict=True)]
    assert_allclose(display.chosen, reward_model.reward(chosen))
    assert_allclose(display.rejected, reward_model.reward(rejected))
    margin = (2 * LABELS - 1) * reward_model.reward_margin(PAIRS)
    assert_allclose(display.accuracy_, np.mean(margin > 0) + 0.5 * np.mean(margin == 0))
    assert f"{display.accuracy_:.1%}" in ax.get_title()
    assert ax.get_xlabel() == "Reward (nats of log-odds)"
    assert_drawn_on(display, ax)


def test_distribution_of_rewards_that_read_the_prompt():
    model = PreferenceRewardModel(vectorizer="preference").fit(PAIRS, LABELS)
    display = RewardDistributionDisplay.from_estimator(model, PAIRS, LABELS)
    margin = (2 * LABELS - 1) * model.reward_margin(PAIRS)
    assert_allclose(display.chosen - display.rejected, margin, rtol=1e-9, atol=1e-9)


def test_ties_have_no_chosen_response(reward_model):
    display = RewardDistributionDisplay.from_predictions(
        [1.0, 0.5, 0.2], [3.0, 9.0, 1.0], [2.0, 9.0, 4.0], bins=[0, 2, 5]
    )
    assert_array_equal(display.chosen, [3.0, 4.0])
    assert_array_equal(display.rejected, [2.0, 1.0])
    # Equal rewards are half right.
    equal = RewardDistributionDisplay.from_predictions([1.0, 0.0], [1.0, 1.0], [1.0, 0.0])
    assert equal.accuracy_ == 0.25
    with pytest.raises(ValueError, match="All 2 pairs are ties"):
        RewardDistributionDisplay.from_predictions([0.5, 0.5], [0.0, 1.0], [1.0, 0.0])
    with pytest.raises(ValueError, match="needs pairs of texts"):
        RewardDistributionDisplay.from_estimator(reward_model, np.eye(2), [0, 1])


def test_length_bias_equals_accuracy_by_hand(reward_model):
    _, ax = plt.subplots()
    display = LengthBiasDisplay.from_estimator(reward_model, PAIRS, LABELS, n_bins=4, ax=ax)
    sign = 2 * LABELS - 1
    longer = sign * np.array([len(a) - len(b) for _, a, b in PAIRS])
    margin = sign * reward_model.decision_function(PAIRS)
    edges = np.quantile(longer, [0, 0.25, 0.5, 0.75, 1])
    for i in range(4):
        inside = (longer <= edges[i + 1]) & ((longer > edges[i]) if i else True)
        right = np.mean(margin[inside] > 0)
        assert display.n[i] == inside.sum()
        assert_allclose(display.accuracy[i], right)
        assert_allclose(display.length_difference[i], np.median(longer[inside]))
        assert_allclose(display.margin[i], margin[inside].mean())
        error = margin[inside].std(ddof=1) / np.sqrt(inside.sum())
        half = t.ppf(0.975, inside.sum() - 1) * error
        assert_allclose(display.margin_high[i] - display.margin[i], half, rtol=1e-6)
        interval = binomtest(round(right * inside.sum()), int(inside.sum())).proportion_ci(
            method="wilson"
        )
        assert_allclose((display.accuracy_low[i], display.accuracy_high[i]), interval)
    audit = length_audit(LABELS, margin * sign, longer * sign)
    assert_allclose(display.overall_accuracy, audit.accuracy)
    assert ax.get_xlabel() == "Preferred longer by (characters)"
    assert_drawn_on(display, ax)


def test_length_bias_does_not_depend_on_the_order_of_a_and_b():
    margin, length = np.array([1.0, -2.0, 0.5, 3.0]), np.array([4.0, 3.0, -2.0, 8.0])
    labels = np.array([1.0, 0.0, 0.5, 1.0])
    one = LengthBiasDisplay.from_predictions(labels, margin, length, n_bins=2)
    other = LengthBiasDisplay.from_predictions(1 - labels, -margin, -length, n_bins=2)
    assert_allclose(one.accuracy, other.accuracy)
    assert_allclose(one.margin, other.margin)
    assert one.n.sum() == 3  # the tie is left out


def test_length_bias_of_prompts_and_of_counts(reward_model):
    clustered = LengthBiasDisplay.from_estimator(
        reward_model, PAIRS, LABELS, groups=PROMPTS, n_bins=2, quantity="margin"
    )
    assert clustered.ax_.get_ylabel() == "Margin (nats)"
    clustered.figure_.canvas.draw()
    # With one prompt there is no interval.
    single = LengthBiasDisplay.from_predictions(
        [1, 0, 1], [1.0, 2.0, 3.0], [1.0, 2.0, 3.0], groups=["p"] * 3, n_bins=1
    )
    assert np.isnan(single.margin_high).all()
    single.figure_.canvas.draw()
    differences = np.array([[1.0, 0.0], [0.0, 2.0], [-1.0, 0.0], [0.0, -2.0]])
    model = PreferenceRewardModel().fit(differences, [1, 1, 0, 0])
    display = LengthBiasDisplay.from_estimator(model, differences, [1, 1, 0, 0], n_bins=1)
    assert display.unit == "tokens"
    assert_array_equal(display.length_difference, [1.5])


def test_length_bias_errors():
    with pytest.raises(ValueError, match="All 1 pairs are ties"):
        LengthBiasDisplay.from_predictions([0.5], [1.0], [2.0])
    with pytest.raises(ValueError, match="'accuracy', 'margin', got 'reward'"):
        LengthBiasDisplay.from_predictions([1.0], [1.0], [2.0], quantity="reward")
