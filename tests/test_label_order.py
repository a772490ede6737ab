"""Labels of pairs in words: none of two classes is learned the wrong way round in silence."""

import re
import warnings

import numpy as np
import pytest

from sklearn_codex import (
    DPOPolicyOptimizer,
    ModelRatings,
    PreferenceRewardModel,
    PreferenceRewardModelCV,
    TiePreferenceModel,
)
from sklearn_codex._labels.order import Order, guess_meanings, read_order
from sklearn_codex.labels import convert_labels

PAIRS = [("p", "good", "bad"), ("q", "bad", "good")] * 3
REWARDS = [PreferenceRewardModel, TiePreferenceModel, PreferenceRewardModelCV, DPOPolicyOptimizer]
# Of A, then of B.
NAMES = [
    ("a", "b"),
    ("A", "B"),
    ("assistant_a", "assistant_b"),
    ("response_1", "response_2"),
    ("model_0", "model_1"),
    ("Response A", "Response B"),
    ("A wins", "B wins"),
    ("a better", "b better"),
    ("A>B", "B>A"),
    ("b < a", "a < b"),
    ("[[A]]", "[[B]]"),
    ("player_a", "player_b"),
    ("left", "right"),
    ("first", "second"),
    ("1st", "2nd"),
    ("1", "2"),
]
SPEAK = [("chosen", "rejected"), ("better", "worse"), ("ja", "nein"), ("accepted", "rejected")]
PLAIN = [("yes", "no"), ("true", "false"), ("1", "0"), ("win", "lose"), ("1", "-1")]
COUNTED = [("response_1", "response_2"), ("model_0", "model_1"), ("1", "2")]
# By ratings, which read all other words.
REFUSED = [*SPEAK, *COUNTED, ("player_a", "player_b")]


def learns_the_right_way(model, y):
    return np.subtract(*model.fit(PAIRS, y).reward(["good", "bad"])) > 0


@pytest.mark.parametrize("labels", [*NAMES, *SPEAK], ids="-".join)
@pytest.mark.parametrize("model", REWARDS, ids=lambda model: model.__name__)
def test_words_are_read_rightly_or_refused_with_a_remedy_that_works(model, labels):
    y = list(labels) * 3
    if model is TiePreferenceModel and labels == ("a", "b"):  # its own labels
        assert learns_the_right_way(model(), y)
        return
    lesser, greater = sorted(labels)
    remedy = dict(zip((lesser, greater), guess_meanings(lesser, greater), strict=True))
    said = f"{lesser!r}: {remedy[lesser]:g}, {greater!r}: {remedy[greater]:g}"
    with pytest.raises(ValueError, match=f"greater one.*{re.escape(said)}"):
        model().fit(PAIRS, y)
    assert learns_the_right_way(model(), convert_labels(y, remedy))


@pytest.mark.parametrize("labels", PLAIN, ids="-".join)
@pytest.mark.parametrize("model", REWARDS, ids=lambda model: model.__name__)
def test_words_whose_order_is_right_are_classes(model, labels):
    assert learns_the_right_way(model(), list(labels) * 3)


@pytest.mark.parametrize("labels", [*NAMES, *SPEAK, *PLAIN], ids="-".join)
def test_ratings_read_words_rightly_or_refuse_them(labels):
    X = [("x", "y"), ("y", "x"), ("y", "x")]
    y = [labels[0], labels[1], labels[0]]
    if labels in REFUSED:
        with pytest.raises(ValueError, match="greater one"):
            ModelRatings().fit(X, y)
    else:
        expected = ModelRatings().fit(X, ["a", "b", "a"]).ratings_
        np.testing.assert_allclose(ModelRatings().fit(X, y).ratings_, expected)


@pytest.mark.parametrize("words", [("A", "tie"), ("right", "tie"), ("1", "tie")], ids="-".join)
def test_a_tie_is_no_class_for_a(words):
    with pytest.raises(ValueError, match="'tie' that there is a tie"):
        PreferenceRewardModel().fit(PAIRS, list(words) * 3)


@pytest.mark.parametrize("y", [["x"] * 2, [2, 2], ["response_1"] * 2, ["1", "1"]], ids=str)
@pytest.mark.parametrize("ties", ["half", "davidson"])
def test_ratings_refuse_one_label_that_names_no_side(y, ties):
    with pytest.raises(ValueError, match=r"got one label in y.*which of two models"):
        ModelRatings(ties=ties).fit([("x", "y"), ("y", "x")], y)


def test_one_and_two_of_named_pairs_are_asked_about():
    y = [2, 1] * 3
    for model in [*REWARDS, ModelRatings]:
        X = [("x", "y"), ("y", "x"), ("y", "x")] * 2 if model is ModelRatings else PAIRS
        with pytest.warns(UserWarning, match=r"the greater one, to mean that A is pref.*convert_l"):
            model().fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of differences nobody doubts: any classifier takes them
        PreferenceRewardModel().fit(np.array([[1.0], [-1.0]] * 3), y)


@pytest.mark.parametrize("labels", [("same lab", "other lab"), ("two", "one"), ("Y", "X")], ids=str)
def test_words_that_name_nothing_are_classes(labels):
    for model in REWARDS:
        assert learns_the_right_way(model(), list(labels) * 3)


def test_order_of_two_words():
    assert read_order("no", "yes") is read_order("0", "1") is Order.PLAIN
    assert read_order("chosen", "rejected") is Order.REVERSED
    assert read_order("response_1", "response_2") is Order.NAMES
    assert read_order("A much better", "A wins") is Order.NAMES
    assert read_order("0", "a") is read_order("0", "2") is Order.UNKNOWN
    assert read_order("ham", "spam") is read_order("one", "two") is Order.UNKNOWN
    assert guess_meanings("1", "2") == guess_meanings("model_0", "model_1") == (1.0, 0.0)
    assert guess_meanings("a < b", "b < a") == (0.0, 1.0)
