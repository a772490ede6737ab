"""Labels in words, in one-hot columns, and those that repeat the name of a model."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from label_columns import FROM_0, FROM_1, LETTERS, NAMES, PLACES, line, resolve

from sklearn_codex._labels.onehot import onehot_meanings, resolve_onehot
from sklearn_codex._labels.repeated import resolve_repeated
from sklearn_codex._labels.sides import read_sides, tokens_of
from sklearn_codex._labels.words import says_both_bad
from sklearn_codex.datasets import read_preferences
from sklearn_codex.labels import grades_to_soft_labels

WORDS = [
    (["a", "B", " Tie "], [1, 0, 0.5]),
    (["A", "B", "C"], [1, 0, 0.5]),
    (["[[A]]", "[[B]]", "[[C]]"], [1, 0, 0.5]),
    (["[A]", "(b)", "**B**", "A."], [1, 0, 0, 1]),
    (["The verdict is [[A]]", "so: [[C]]"], [1, 0.5]),
    (["A>B", "B > A", "A=B", "A < B", "A≻B", "a == b"], [1, 0, 0.5, 0, 1, 0.5]),
    (["model_a", "model_b", "tie", "tie (bothbad)", "both_bad", "bothbad"], [1, 0, *[0.5] * 4]),
    (["Response A", "answer b", "ModelA", "assistant-b"], [1, 0, 1, 0]),
    (["first", "second", "left", "right", "1st", "2nd"], [1, 0, 1, 0, 1, 0]),
    (["A is better", "B wins", "the first response", "A is better than B"], [1, 0, 1, 1]),
    (["a", "both", "neither", "same", "equal", "draw", "Both are bad", "no preference"],
     [1, *[0.5] * 7]),
    (["A and B are equally good", "neither A nor B", "It's a tie", "roughly the same"], [0.5] * 4),
]  # fmt: skip


@pytest.mark.parametrize(("values", "expected"), WORDS)
@pytest.mark.parametrize("responses", [LETTERS, FROM_0, FROM_1, NAMES, ("textA", "textB")])
def test_words(values, expected, responses):
    resolved = resolve(values, "winner", responses)
    assert resolved.probability.tolist() == expected
    assert resolved.convention == "words"
    assert resolved.weight is None


@pytest.mark.parametrize(
    ("values", "responses", "expected"),
    [
        (["response_0", "response_1"], FROM_0, [1, 0]),
        (["output_1", "Output 2", "model_2", "2nd"], FROM_1, [1, 0, 0, 0]),
        (["model_a", "model_b"], ("conversation_a", "conversation_b"), [1, 0]),
        (["gpt", "claude_answer", "Claude wins"], NAMES, [1, 0, 0]),
        (["gpt4", "GPT-4", "llama"], ("gpt4_text", "llama_text"), [1, 1, 0]),
        (["model_1", "model_2"], LETTERS, [1, 0]),
        (["model_0", "model_1"], LETTERS, [1, 0]),
        (["Response 2"], NAMES, [0]),
        (["1>2", "2>1", "1=2"], FROM_1, [1, 0, 0.5]),
        (["model_0 > model_1"], LETTERS, [1]),
        (["left", "right"], PLACES, [1, 0]),
        (["a", "b", "model_b"], LETTERS[::-1], [0, 1, 1]),
        (["left", "right"], PLACES[::-1], [0, 1]),
        (["回答A", "回答B"], ("回答A", "回答B"), [1, 0]),
        (["good", "bad"], ("good", "bad"), [1, 0]),
    ],
)
def test_words_that_name_the_columns(values, responses, expected):
    assert resolve(values, "winner", responses).probability.tolist() == expected


@pytest.mark.parametrize(
    ("values", "responses", "row"),
    [
        (["a", "spam"], LETTERS, 1),
        (["A is worse"], LETTERS, 0),
        (["not a"], LETTERS, 0),
        (["a and b"], LETTERS, 0),
        (["a", "d"], LETTERS, 1),
        (["unsure"], LETTERS, 0),
        (["a>a"], LETTERS, 0),
        (["a>=b"], LETTERS, 0),
        (["a>c"], LETTERS, 0),
        (["[[A]] or [[B]]"], LETTERS, 0),
        (["slightly much a"], LETTERS, 0),
        (["both a"], LETTERS, 0),
        (["model_1", "model_2"], FROM_0, 1),
        (["model_0", "model_1", "model_2"], LETTERS, 0),
        (["left"], LETTERS[::-1], 0),
        ([1, "spam"], LETTERS, 1),
    ],
)
def test_words_that_say_nothing(values, responses, row):
    expected = rf"line {row + 2}: winner = .* names neither {responses[0]} nor {responses[1]}, nor"
    with pytest.raises(ValueError, match=expected) as caught:
        resolve(values, "winner", responses)
    assert "Say what each label means, 1 for" in str(caught.value)


@pytest.mark.parametrize("value", [["b"], {}, b"a", ("a",), 1j])
@pytest.mark.parametrize("convention", [None, "names"])
def test_what_is_neither_text_nor_number(value, convention):
    expected = "is a .*, but a label should be text or a num" if not convention else "is not in the"
    with pytest.raises(ValueError, match=rf"^prefs.csv, line 3: winner = .* {expected}"):
        resolve(["a", value, value], "winner", LETTERS, convention=convention)


def test_one_number_in_words_may_count_from_0_or_1():
    expected = (
        r"line 2: winner = 'model_1' can mean two things: that response_a is better, counting from "
        r"1, or that response_b is better, counting from 0. Say which: convention=\{'model_1': 1\}"
    )
    with pytest.raises(ValueError, match=expected):
        resolve(["model_1", "tie"], "winner", LETTERS)


@pytest.mark.parametrize(
    ("labels", "strength"),
    [
        (["A>>B", "A>B", "B>A", "A=B"], [2, 1, -1, 0]),
        (["[[A>>B]]", "[[B>A]]"], [2, -1]),
        (["A is slightly better", "A is better", "B is much better", "tie"], [1, 2, -3, 0]),
        (["a_much", "a_slightly", "b", "tie"], [3, 1, -2, 0]),
        (["A is significantly better than B", "B is better than A"], [3, -2]),
        (["Response 1 is a bit better", "Response 2 wins by far"], [1, -3]),
    ],
)
def test_strengths_in_words_are_weights(labels, strength):
    resolved = resolve(labels, "winner", LETTERS)
    expected = grades_to_soft_labels(strength)
    assert resolved.probability.tolist() == expected.label.tolist()
    np.testing.assert_allclose(resolved.weight, expected.sample_weight)


@given(
    st.lists(st.sampled_from(["a", "b", "model_a", "B", "tie", "A>>B"]), min_size=1),
)
def test_words_follow_the_columns_where_these_change_place(labels):
    one, other = resolve(labels, "winner", LETTERS), resolve(labels, "winner", LETTERS[::-1])
    np.testing.assert_array_equal(one.probability, 1 - other.probability)


@pytest.mark.parametrize(
    ("first", "second", "markers", "style", "turned"),
    [
        ("response_a", "response_b", ("a", "b"), "letters", False),
        ("human_ref_A", "human_ref_B", ("a", "b"), "letters", False),
        ("model_b_answer", "model_a_answer", ("b", "a"), "letters", True),
        ("responseA", "responseB", ("a", "b"), "letters", False),
        ("output1", "output2", ("1", "2"), "from 1", False),
        ("output_01", "output_02", ("1", "2"), "from 1", False),
        ("option one", "option two", ("1", "2"), "from 1", False),
        ("response_1", "response_0", ("1", "0"), "from 0", True),
        ("left", "right", ("left", "right"), "positions", False),
        ("answer", "answer_b", ("", "b"), "other", False),
        ("gpt4-answer", "llama-answer", ("gpt4", "llama"), "other", False),
    ],
)
def test_how_columns_are_told_apart(first, second, markers, style, turned):
    sides = read_sides(first, second)
    assert (sides.markers, sides.style, sides.turned) == (markers, style, turned)


def test_words_of_names():
    assert tokens_of("modelA_score2 (Ünït)") == ["model", "a", "score", "2", "ünït"]
    assert tokens_of("回答A-02") == ["回答", "a", "2"]


ONE_HOT = {"winner_model_a": [1, 0, 0], "winner_model_b": [0, 1, 0], "winner_tie": [0, 0, 1]}


@pytest.mark.parametrize(
    ("columns", "responses", "expected"),
    [
        (ONE_HOT, LETTERS, [1, 0, 0.5]),
        (dict(reversed(ONE_HOT.items())), LETTERS, [1, 0, 0.5]),
        (ONE_HOT, LETTERS[::-1], [0, 1, 0.5]),
        ({"a_wins": ["True", "False"], "b_wins": ["false", "TRUE"]}, LETTERS, [1, 0]),
        ({"A": [True], "tie": [False], "both_bad": [False], "B": [False]}, LETTERS, [1]),
        ({"winner_1": ["0", "1.0"], "winner_2": [1.0, 0]}, FROM_1, [0, 1]),
        ({"gpt_wins": [0], "claude_wins": [0], "draw": [1]}, NAMES, [0.5]),
    ],
)
def test_one_hot(columns, responses, expected):
    first, second = responses
    resolved = resolve_onehot(columns, line, first=first, second=second)
    assert resolved.probability.tolist() == expected
    assert (resolved.weight, resolved.convention) == (None, "one-hot")
    for name in columns:
        assert f"{name} means" in resolved.read_as


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (
            {**ONE_HOT, "winner_model_b": [0, 1, 1]},
            "line 4: of winner_.* but 2 of them, winner_model_b",
        ),
        ({**ONE_HOT, "winner_tie": [0, 0, 0]}, "line 4: of .* none of them is, as in 1 of 3 rows"),
        ({**ONE_HOT, "winner_tie": [0, 0.5, 1]}, "line 3: winner_tie = 0.5, but should be 1 where"),
        ({**ONE_HOT, "winner_tie": [0, 0, None]}, "line 4: winner_tie is missing"),
        ({**ONE_HOT, "winner_tie": [0, 0, "x"]}, "line 4: winner_tie = 'x', but should be 1"),
        ({"winner_model_a": [1], "other": [0]}, "columns winner_model_a, other should be one for"),
        ({"winner_model_a": [1], "winner_tie": [0]}, "should be one for response_a, one for resp"),
        ({"a": [1], "b": [0], "model_a": [0]}, "should be one for response_a, one for response_b"),
    ],
)
def test_one_hot_errors(columns, expected):
    with pytest.raises(ValueError, match=expected):
        resolve_onehot(columns, line, first="response_a", second="response_b")


def test_which_columns_are_one_hot():
    found = onehot_meanings(list(ONE_HOT), *LETTERS)
    assert found == {"winner_model_a": 1, "winner_model_b": 0, "winner_tie": 0.5}
    assert onehot_meanings(["winner", "tie"], *LETTERS) is None


MODELS = ["m1", "m2", "m1"], ["m2", "m3", "m3"]


def repeat(labels, first=MODELS[0], second=MODELS[1]):
    return resolve_repeated(
        labels, first, second, line, column="winner", first="model_a", second="model_b"
    )


def test_labels_that_repeat_the_name_of_a_model():
    resolved = repeat(["m1", " m3", "tie"])
    assert resolved.probability.tolist() == [1, 0, 0.5]
    assert resolved.read_as == "winner repeats model_a or model_b, that of the better response"


@pytest.mark.parametrize(
    "labels", [["m1", "m3", "m2"], ["m1", "m3", 1], ["tie", "tie", "tie"], ["a", "b", "a"]]
)
def test_labels_that_repeat_nothing(labels):
    assert repeat(labels) is None


def test_labels_that_repeat_both():
    with pytest.raises(ValueError, match="line 3: winner = 'm2' stands in both model_a and"):
        repeat(["m1", "m2", "tie"], second=["m2", "m2", "m3"])


@pytest.mark.parametrize(
    ("label", "is_so"),
    [
        ("tie (bothbad)", True),
        ("Both are bad", True),
        ("both_bad", True),
        ("bothBad", True),
        ("neither is good", True),
        ("tie", False),
        ("both good", False),
        ("neither", False),
        ("a", False),
    ],
)
def test_what_says_that_both_are_bad(label, is_so):
    assert says_both_bad(label) is is_so


def test_ties_of_files_that_are_both_bad():
    pair = {"prompt": "p", "response_a": "one", "response_b": "two"}
    labels = ["model_a", "tie", "tie (bothbad)", "model_b"]
    data = read_preferences([{**pair, "winner": label} for label in labels])
    assert data.y.tolist() == [1, 0.5, 0.5, 0]
    assert data.both_bad.tolist() == [False, False, True, False]
    names = ["winner_model_a", "winner_tie", "winner_both_bad", "winner_model_b"]
    onehot = [{**pair, **{name: int(name == one) for name in names}} for one in names]
    data = read_preferences(onehot)
    assert data.y.tolist() == [1, 0.5, 0.5, 0]
    assert data.both_bad.tolist() == [False, False, True, False]
    # A column of its own that is called so, of files of chosen and rejected, is none of these.
    data = read_preferences([{"chosen": "one", "rejected": "two", "both_bad": 1}])
    assert data.both_bad.tolist() == [False]
