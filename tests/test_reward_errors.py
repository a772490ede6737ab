"""What the reward model says of labels and inputs that it cannot take."""

import numpy as np
import pytest
from reward_pairs import make_differences, make_text_pairs
from sklearn.exceptions import NotFittedError

from sklearn_codex._reward.model import PreferenceRewardModel


@pytest.mark.parametrize(
    ("y", "weight", "match"),
    [
        ([1, 1, 1], None, r"two classes.*got one class: .*1.*balance_positions\(X\)"),
        ([1, 0, 1], [1, 0, 1], "two classes.*got one class"),
        ([0, 1, 2], None, "Only binary classification.*multiclass: .* got 3 classes.*ties"),
        ([0, 1.5, 1], None, r"Unknown label type.*in \[0, 1\].*Got 1.5 at position 1"),
        ([-0.5, 0.5, 1], None, r"Unknown label type.*Got -0.5 at position 0"),
        ([1, None, 0], None, "1 pair.* without a label, the first at position 1"),
        (["a", "b", "a"], None, r"name the better response.*convert_labels\(y, {'a': 1, 'b': 0}"),
        (["Model_A", "model_b", "Model_A"], None, "name the better response"),
        ([0, 1], None, "inconsistent numbers of samples"),
        ([0, 1, np.nan], None, "NaN"),
        (None, None, "requires y to be passed"),
        ([0, 1, 1], [1, -1, 1], "Negative values in data passed to `sample_weight`"),
        ([0, 1, 1], [0, 0, 0], "zero"),
    ],
)
def test_label_errors(y, weight, match):
    with pytest.raises(ValueError, match=match):
        PreferenceRewardModel().fit([("a", "b"), ("b", "c"), ("c", "a")], y, sample_weight=weight)


def test_labels_one_and_two_of_text_are_asked_about():
    pairs, y = make_text_pairs()
    with pytest.warns(UserWarning, match=r'label 2, the greater one.*convert_labels\(y, "one_two"'):
        PreferenceRewardModel().fit(pairs, y + 1)
    X, labels = make_differences()
    PreferenceRewardModel().fit(X, labels + 1)


def test_labels_that_cannot_be_scored():
    X, y = make_differences()
    model = PreferenceRewardModel().fit(X, y)
    with pytest.raises(ValueError, match=r"cannot be scored.*Got 2.5 at position 1"):
        model.score(X[:2], [0.5, 2.5])


def test_messages_are_no_texts():
    message = [{"role": "assistant", "content": "hello"}]
    with pytest.raises(TypeError, match=r"has messages.*read_preferences\(records\)\.X"):
        PreferenceRewardModel().fit([(message, message)] * 2, [0, 1])


def test_input_errors():
    pairs, y = make_text_pairs()
    model = PreferenceRewardModel()
    with pytest.raises(NotFittedError, match="not fitted yet"):
        model.predict(pairs)
    with pytest.raises(NotFittedError, match="not fitted yet"):
        model.reward(["a"])
    model.fit(pairs, y)
    with pytest.raises(TypeError, match="PreferenceRewardModel expected X to be pairs"):
        model.predict(["a", "b"])
    with pytest.raises(TypeError, match="1-D sequence of str"):
        model.reward("a")
    X, labels = make_differences()
    model.fit(X, labels)
    with pytest.raises(ValueError, match=r"fitted on feature differences.*8 columns"):
        model.predict(pairs)
    with pytest.raises(ValueError, match=r"fitted on feature differences.*8 columns"):
        model.reward(["a"])
    with pytest.raises(ValueError, match="'C' parameter of PreferenceRewardModel must be a float"):
        PreferenceRewardModel(C=0).fit(X, labels)
