"""What a whole column of labels means, or why it can mean two things."""

import re
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from label_columns import FROM_0, FROM_1, LETTERS, NAMES, PLACES, resolve

from sklearn_codex._labels.column import say_in_python, say_on_the_command_line
from sklearn_codex._labels.conventions import convention_names, find_convention, fold
from sklearn_codex._labels.resolve import resolve_labels
from sklearn_codex.labels import LABEL_CONVENTIONS, convert_labels, grades_to_soft_labels


@pytest.mark.parametrize(
    ("values", "column", "responses", "expected", "convention"),
    [
        # The contract of the library: label is P(A) beside columns called a and b.
        ([1, 0, 1], "label", LETTERS, [1, 0, 1], "probability"),
        (["1", "0", "1.0"], "Labels", LETTERS, [1, 0, 1], "probability"),
        ([True, False], "label", LETTERS, [1, 0], "probability"),
        (["True", "false"], "label", LETTERS, [1, 0], "probability"),
        ([1, 1], "labels", ("human_ref_A", "human_ref_B"), [1, 1], "probability"),
        ([0, 0.5, 1], "label", ("a", "b"), [0, 0.5, 1], "probability"),
        ([1, 0], "soft_label", LETTERS, [1, 0], "probability"),
        # What is strictly between 0 and 1 is a probability.
        ([0.7, 1, 0], "preference", LETTERS, [0.7, 1, 0], "probability"),
        ([0.7, 1, 0], "label", FROM_1, [0.7, 1, 0], "probability"),
        (["0.25", 0.5], "score", NAMES, [0.25, 0.5], "probability"),
        ([0.5, 0.5], "choice", FROM_0, [0.5, 0.5], "probability"),
        # 1 and 2 count from 1.
        ([1, 2], "label", FROM_1, [1, 0], "one_two"),
        (["2", "1"], "winner", LETTERS, [0, 1], "one_two"),
        ([2, 2], "choice", FROM_1, [0, 0], "one_two"),
        ([1.0, 2.0], "preference", NAMES, [1, 0], "one_two"),
        ([2, 1], "winner", ("output_2", "output_1"), [1, 0], "one_two"),
        ([1, 2, "tie"], "winner", FROM_1, [1, 0, 0.5], "one_two"),
        ([1, 1.5, 1.0625, 2, 0], "preference", FROM_1, [1, 0.5, 0.9375, 0, 0.5], "one_to_two"),
        # Names of columns that say.
        ([True, False], "a_is_better", LETTERS, [1, 0], "boolean"),
        (["True", "False"], "chosen_is_a", LETTERS, [1, 0], "boolean"),
        (["yes", "No"], "is_response_b_preferred", LETTERS, [0, 1], "boolean_second"),
        ([1, 0], "response_1_is_better", FROM_0, [0, 1], "boolean_second"),
        ([1, 0], "winner_model_1", FROM_1, [1, 0], "boolean"),
        ([1, 0], "b_is_worse", LETTERS, [1, 0], "boolean"),
        ([1, 0], "first_wins", FROM_0, [1, 0], "boolean"),
        ([1, 0], "gpt_wins", NAMES, [1, 0], "boolean"),
        ([1, 0], "aWins", LETTERS, [1, 0], "boolean"),
        ([0.25, 1], "p_b", LETTERS, [0.75, 0], "probability_second"),
        ([0.25, 1], "prob_a_beats_b", LETTERS, [0.25, 1], "probability"),
        ([0.25, 1], "p_b_over_a", LETTERS, [0.75, 0], "probability_second"),
        ([-2, 1], "b_minus_a", LETTERS, [1, 0], "strength_second"),
    ],
)
def test_numbers_that_can_mean_but_one_thing(values, column, responses, expected, convention):
    resolved = resolve(values, column, responses)
    assert resolved.probability.tolist() == expected
    assert resolved.convention == convention
    assert resolved.read_as.startswith(f'{column} read as "{convention}": ')


@pytest.mark.parametrize(
    ("values", "column", "responses", "conventions"),
    [
        *[
            ([0, 1], column, FROM_0, ("index", "probability"))
            for column in ("choice", "better_response_id", "safer_response_id", "label", "y")
        ],
        *[
            (values, column, LETTERS, ("index", "probability"))
            for column in ("choice", "winner", "preferred", "better", "best_id", "preference")
            for values in ([0, 1], ["1", "0"], [1, 1], [0, 0], [0.0, 1.0])
        ],
        ([0, 1], "label", FROM_1, ("index", "probability")),
        ([0, 1], "label", NAMES, ("index", "probability")),
        ([0, 1, "tie"], "winner", LETTERS, ("index", "probability")),
        ([0, 1], "label", LETTERS[::-1], ("index", "probability")),
        ([1, 0], "winner_1", FROM_1, ("index", "probability")),  # of annotator 1?
        ([1, 0], "preferred_a_id", LETTERS, ("index", "probability")),
        ([1, 0], "a_vs_b", LETTERS, ("index", "probability")),
        ([1, 0], "has_a_winner", LETTERS, ("index", "probability")),
        ([1, 0], "a_is_not_better", LETTERS, ("index", "probability")),
        ([1, 1], "label", FROM_1, ("one_two", "index")),
        ([1, 2], "label", FROM_0, ("one_two", "index_ties")),
        ([0, 1, 2], "label", FROM_1, ("one_two", "index_ties")),
        ([0, 2], "label", LETTERS, ("one_two", "index_ties")),
        (["2", "0", "1"], "choice", NAMES, ("one_two", "index_ties")),
        ([1, 2], "label", LETTERS[::-1], ("scale_1_2", "scale_2_1")),
        ([2, 1], "label", PLACES[::-1], ("scale_1_2", "scale_2_1")),
        ([0, 1, 2], "label", LETTERS[::-1], ("scale_0_2", "scale_2_0")),
        ([0, 0.5, 1.5], "label", LETTERS, ("scale_0_2", "scale_2_0")),
        ([True, False], "chosen", LETTERS, ("boolean", "boolean_second")),
        (["True", "True"], "preference", FROM_0, ("boolean", "boolean_second")),
        (["y", "n"], "good", LETTERS, ("boolean", "boolean_second")),
        ([0.5, 1], "label", FROM_0, ("probability", "probability_second")),
        ([0.5, 0, 1], "label", FROM_1, ("probability", "probability_second")),
        ([0.7, 0.2], "choice", LETTERS, ("probability", "probability_second")),
        ([0.7, 0.2], "label", FROM_0, ("probability", "probability_second")),
        ([0.7, 0.2], "label", LETTERS[::-1], ("probability", "probability_second")),
        ([-1, 1], "label", LETTERS, ("sign", "sign_second")),
        ([-1, 0, 1], "label", FROM_0, ("sign", "sign_second")),
        ([-3, 2, 0], "overall_preference", FROM_1, ("strength", "strength_second")),
        ([-0.5, 0.25], "margin", LETTERS, ("strength", "strength_second")),
        ([1, 5, 3], "likert", LETTERS, ("scale_1_5", "scale_5_1")),
        ([4, 7], "label", FROM_1, ("scale_1_7", "scale_7_1")),
        ([4, 0], "label", FROM_1, ("scale_0_4", "scale_4_0")),
        ([80, 12.5], "label", LETTERS, ("percent", "percent_second")),
    ],
)
def test_numbers_that_can_mean_two_things(values, column, responses, conventions):
    one, other = conventions
    with pytest.raises(ValueError, match="can mean two things") as caught:
        resolve(values, column, responses)
    message = str(caught.value)
    assert re.match(rf"prefs\.csv, line \d: {column} = ", message)
    assert f'(convention "{one}")' in message
    assert f'(convention "{other}")' in message
    assert f'Say which: convention="{one}" or convention="{other}".' in message
    assert "\n" not in message
    # What is said of the row is what each remedy gives.
    row = int(re.search(r"line (\d)", message)[1]) - 2
    first, second = (resolve(values, column, responses, convention=name) for name in conventions)
    for resolved, clause in zip((first, second), message.split(", or "), strict=True):
        p = resolved.probability[row]
        better = responses[0] if p > 0.5 else responses[1]
        expected = "a tie" if p == 0.5 else f"that {better} is better"
        if p in (0, 0.5, 1):
            assert expected in clause
    assert first.probability[row] != second.probability[row]
    np.testing.assert_array_equal(first.probability[:row], second.probability[:row])


def test_an_ambiguity_in_the_words_of_the_command_line():
    with pytest.raises(ValueError, match="can mean two things") as caught:
        resolve([0, 1], "choice", FROM_0, say=say_on_the_command_line)
    assert str(caught.value) == (
        "prefs.csv, line 2: choice = 0 can mean two things: that response_0 is better, counting "
        'from 0 (convention "index"), or that response_1 is better, 0 being the probability that '
        'response_0 is (convention "probability"). Say which: --convention index or --convention '
        "probability."
    )


@pytest.mark.parametrize("value", [1e308, float("inf"), -float("inf"), 10**400, 101, "1e999"])
def test_numbers_that_no_convention_has(value):
    values = [0.5, value]
    with pytest.raises(ValueError, match=r"line 3: label = .* is not known as a label. Known are"):
        resolve(values, "label", LETTERS)


@pytest.mark.parametrize(
    "missing", [None, np.nan, float("nan"), pd.NA, pd.NaT, "", " ", "NaN", "null", "N/A", "None"]
)
@pytest.mark.parametrize("convention", [None, "index", "names", {1: 1, 0: 0}])
def test_missing_labels_are_an_error_with_the_line(missing, convention):
    values = ["a", "b", missing, missing] if convention == "names" else [1, 0, missing, missing]
    expected = r"line 4: label is missing \(.*\), which it is in 2 of 4 rows\. Every pair needs"
    with pytest.raises(ValueError, match=expected):
        resolve(values, "label", LETTERS, convention=convention)


def test_a_mapping_may_have_a_meaning_for_what_is_missing_otherwise():
    resolved = resolve(["", "x"], "label", LETTERS, convention={"": 0.5, "x": 1})
    assert resolved.probability.tolist() == [0.5, 1]


@pytest.mark.parametrize("convention", LABEL_CONVENTIONS)
@given(data=st.data())
def test_each_label_of_a_table_is_read_back(convention, data):
    table = LABEL_CONVENTIONS[convention]
    labels = data.draw(st.lists(st.sampled_from(list(table)), min_size=1))
    write = data.draw(st.sampled_from([lambda x: x, str, lambda x: f" {str(x).upper()} "]))
    resolved = resolve([write(x) for x in labels], "choice", LETTERS, convention=convention)
    assert resolved.probability.tolist() == [table[label] for label in labels]
    assert resolved.convention == convention
    np.testing.assert_array_equal(
        convert_labels([write(x) for x in labels], convention), resolved.probability
    )


WRITERS = {
    "probability": lambda p: p,
    "probability_second": lambda p: 1 - p,
    "percent": lambda p: 100 * p,
    "percent_second": lambda p: 100 * (1 - p),
    "one_to_two": lambda p: 2 - p,
}


@pytest.mark.parametrize("convention", WRITERS)
@given(st.lists(st.floats(0, 1), min_size=1), st.sampled_from([float, str, lambda x: f" {x!r}"]))
def test_each_probability_is_read_back(convention, probability, write):
    labels = [write(WRITERS[convention](p)) for p in probability]
    resolved = resolve(labels, "choice", FROM_0, convention=convention)
    np.testing.assert_allclose(resolved.probability, probability, atol=1e-12)
    assert resolved.weight is None
    np.testing.assert_array_equal(convert_labels(labels, convention), resolved.probability)


@pytest.mark.parametrize(
    ("convention", "grade"),
    [
        ("strength", lambda x: x),
        ("strength_second", lambda x: -x),
        ("sign", np.sign),
        ("sign_second", lambda x: -np.sign(x)),
        ("scale_1_7", lambda x: 4 - x),
        ("scale_7_1", lambda x: 4 + x),
        ("scale_0_6", lambda x: 3 - x),
    ],
)
@given(st.lists(st.integers(-3, 3), min_size=1))
def test_strengths_are_those_of_grades(convention, grade, strengths):
    labels = [int(grade(strength)) for strength in strengths]
    resolved = resolve(labels, "choice", LETTERS, convention=convention)
    expected = grades_to_soft_labels(strengths)
    assert resolved.probability.tolist() == expected.label.tolist()
    if resolved.weight is not None:
        np.testing.assert_allclose(resolved.weight, expected.sample_weight)
        assert resolved.read_as.endswith("weights by strength")
    elif not convention.startswith("sign"):  # where all count alike there is nothing to weigh
        np.testing.assert_allclose(expected.sample_weight, 1)


def test_scales_without_a_middle_have_no_ties():
    labels = [1, 2, 3, 4]
    resolved = resolve(labels, "choice", LETTERS, convention="scale_1_4")
    assert resolved.probability.tolist() == [1, 1, 0, 0]
    assert resolved.weight.tolist() == [1.5, 0.5, 0.5, 1.5]


def test_weights_have_no_overflow():
    resolved = resolve([1e308, -1e308, 5e307], "label", LETTERS, convention="strength")
    np.testing.assert_allclose(resolved.weight, [1.2, 1.2, 0.6])


@pytest.mark.parametrize(
    ("value", "convention", "known"),
    [
        (3, "index", '"index", which has 0, 1.'),
        ("x", "sign", '"sign", which has 1, -1, 0.'),
        (2, "probability", '"probability", which has a number from 0 to 1.'),
        (-1, "percent", '"percent", which has a number from 0 to 100.'),
        (6, "scale_1_5", '"scale_1_5", which has the numbers from 1 to 5.'),
        ("much", "strength", '"strength", which has a number.'),
        ("x", {"y": 1, "z": 0}, "given, which has 'y', 'z'."),
    ],
)
def test_labels_that_a_convention_does_not_have(value, convention, known):
    values = [next(iter(convention)) if isinstance(convention, dict) else 1, value]
    with pytest.raises(ValueError, match=r"line 3: choice = .* is not in the convention") as caught:
        resolve(values, "choice", LETTERS, convention=convention)
    assert known in str(caught.value)


@pytest.mark.parametrize("name", ["", "indexes", "scale_1", "scale_3_3", "scale_a_b", "SIGN"])
def test_unknown_conventions(name):
    with pytest.raises(ValueError, match=r"There is no convention .*There are names, arena"):
        resolve([1], "choice", LETTERS, convention=name)


def test_a_name_that_is_nearly_one():
    with pytest.raises(ValueError, match=r"'indeks'\. Did you mean \"index\"\? There are names"):
        find_convention("indeks")


def test_mappings():
    convention = {"Yes!": 1, 2: 0.25, True: 0.75}
    values = ["yes! ", "2.0", 2, 1, "TRUE"]
    resolved = resolve(values, "choice", LETTERS, convention=convention)
    assert resolved.probability.tolist() == [1, 0.25, 0.25, 0.75, 0.75]
    assert resolved.convention == "given"
    with pytest.raises(ValueError, match="two meanings of the label '1'"):
        find_convention({1: 1, "1": 0})
    with pytest.raises(ValueError, match="empty mapping"):
        find_convention({})
    with pytest.raises(ValueError, match=r"meaning of a label in convention should be .* is 2"):
        find_convention({"a": 2})


def test_how_callers_write_options():
    assert say_in_python("convention", "index") == 'convention="index"'
    assert say_in_python("convention", {"a": 1}) == "convention={'a': 1}"
    assert say_on_the_command_line("response_a", "x") == "--response-a x"
    said = say_on_the_command_line("convention", {"a": 1, 2: 0.5})
    assert said == """--convention '{"a": 1, "2": 0.5}'"""


def test_every_named_convention_is_found():
    for name in convention_names():
        assert find_convention(name).name == name


@given(st.one_of(st.integers(), st.floats(), st.booleans(), st.text(), st.none()))
def test_numbers_fold_to_one_label(value):
    folded = fold(value)
    assert isinstance(folded, (float, str))
    if isinstance(value, int) and abs(value) < 2**53:
        assert fold(str(value)) == fold(float(value)) == folded


ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 8), st.integers(), st.floats(), st.text(max_size=9),
    st.sampled_from(["a", "model_b", "A>>B", "[[C]]", "model_1", "both bad", "A is better"]),
    st.lists(st.integers(0, 1), max_size=2), st.binary(max_size=2),
)  # fmt: skip


@given(
    st.one_of(
        st.lists(ANYTHING, min_size=1, max_size=6),
        st.lists(st.integers(-1, 2), min_size=1, max_size=6),
        st.lists(st.floats(0, 1), min_size=1, max_size=3),
    ),
    st.sampled_from(["label", "choice", "winner", "a_wins", "x_id", "", "p_second"]),
    st.sampled_from([LETTERS, FROM_0, FROM_1, NAMES, PLACES, ("x", "y"), ("a", "a_b"), ("", "b")]),
)
def test_any_column_is_read_or_told_in_one_line(values, column, responses):
    try:
        resolved = resolve(values, column, responses)
    except ValueError as error:
        message = str(error)
        assert message.startswith("prefs.csv, line ")
        assert "\n" not in message
        return
    assert resolved.probability.shape == (len(values),)
    assert ((resolved.probability >= 0) & (resolved.probability <= 1)).all()
    # The order of the rows has no part in it.
    turned = resolve(values[::-1], column, responses)
    np.testing.assert_array_equal(turned.probability[::-1], resolved.probability)
    if resolved.weight is not None:
        np.testing.assert_allclose(resolved.weight.mean(), 1)


def test_a_report_says_how_labels_were_read():
    resolved = resolve([1, 0], "choice", FROM_0, convention="index")
    assert resolved.read_as == 'choice read as "index": 0 means response_0, 1 means response_1'
    assert resolve([0.3], "label", LETTERS).read_as == (
        'label read as "probability": a number from 0 to 1, the probability that response_a is '
        "preferred"
    )
    assert resolve(["A>>B", "B>A", "A=B"], "w", LETTERS).read_as == (
        "w read as \"words\": 'A>>B' means response_a, 'B>A' means response_b, 'A=B' means a tie, "
        "weights by strength"
    )


def test_places_may_be_a_list():
    with pytest.raises(ValueError, match=r"^here, row 2: label = 'x'"):
        resolve_labels(
            ["a", "x"], ["here, row 1", "here, row 2"], column="label", first="a", second="b"
        )


@pytest.mark.parametrize("kind", ["words", "floats", "text"])
def test_many_labels_are_read_at_once(kind):
    rng = np.random.RandomState(0)
    values = {
        "words": rng.choice(["model_a", "model_b", "tie"], 200_000).tolist(),
        "floats": rng.uniform(size=200_000).tolist(),
        "text": list(map(str, rng.uniform(size=200_000))),
    }[kind]
    start = time.process_time()
    resolve(values, "label", LETTERS)
    assert time.process_time() - start < 5  # a tenth of it where the machine does nothing else


@pytest.mark.parametrize(
    ("values", "example"),
    [
        (["A", "B", "remis"], "{'A': 1.0, 'B': 0.0, 'remis': 0.5} where 'remis' is a tie"),
        (["remis", "B", "A"], "{'A': 1.0, 'B': 0.0, 'remis': 0.5} where 'remis' is a tie"),
        (["tie", "zwei"], "{'zwei': 1, 'tie': 0.5} where 'zwei' is for response_a"),
        (["A", "zwei"], "{'A': 1.0, 'zwei': 0} where 'zwei' is for response_b"),
    ],
)
def test_examples_keep_what_known_labels_mean(values, example):
    with pytest.raises(ValueError, match=re.escape(f"convention={example}.")):
        resolve(values, "winner", LETTERS)


def test_a_third_number_may_be_a_tie():
    with pytest.raises(ValueError, match=r"scale_3_1\" or convention={1: 1, 2: 0, 3: 0.5} where 3"):
        resolve([1, 2, 3], "winner", LETTERS)
