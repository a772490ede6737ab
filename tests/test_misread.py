"""Data that could be misread without a word: read as meant, or refused in one line."""

import json

import pytest

from sklearn_codex import read_preferences


def pair(number, label, **more):
    return {
        "prompt": f"Question {number}?", "response_a": f"left {number}",
        "response_b": f"right {number}", "label": label,
    } | more  # fmt: skip


def refusal(rows, **given):
    with pytest.raises((ValueError, TypeError), match=r"\w") as caught:
        read_preferences(rows, **given)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_header_that_stands_again_is_no_pair(tmp_path, mark):
    path = tmp_path / "joined.csv"
    path.write_text(f"prompt,chosen,rejected\nP,x,y\n{mark}prompt,chosen,rejected\nQ,x,y\n")
    assert "joined.csv, line 3 is the header" in refusal(path)


def test_an_empty_shard_is_said_to_be_empty(tmp_path):
    row = {"prompt": "P", "chosen": "x", "rejected": "y"}
    (tmp_path / "a.jsonl").write_text(json.dumps(row) + "\n")
    (tmp_path / "b.jsonl").write_text("")
    assert "b.jsonl is empty" in refusal(tmp_path)


@pytest.mark.parametrize("blank", ["", "  ", None, float("nan")])
def test_a_group_that_is_blank_is_missing(blank):
    rows = [pair(0, "A", task="t"), pair(1, "B", task=blank), pair(2, "A", task=blank)]
    assert "record 1 has no value in the column of the groups" in refusal(rows, groups="task")


@pytest.mark.parametrize("blank", ["", "  ", None, float("nan")])
def test_nobody_is_no_annotator(blank):
    rows = [pair(0, "A", who="ann"), pair(1, "B", who=blank)]
    assert read_preferences(rows, annotator="who").annotator.tolist() == ["ann", None]


@pytest.mark.parametrize(
    "given",
    [
        {"prompt": "chosen"},
        {"prompt": "rejected", "chosen": "chosen", "rejected": "rejected"},
        {"prompt": "Chosen ", "chosen": "chosen"},
    ],
)
def test_one_column_has_one_role(given):
    rows = [{"prompt": "P", "chosen": "x", "rejected": "y"}]
    message = refusal(rows, **given)
    assert "name one column" in message or "has a response or the label in the column" in message


def test_one_column_is_no_prompt_and_label():
    assert "name one column" in refusal([pair(0, "A")], prompt="label", label="label")


@pytest.mark.parametrize("numbers", [(0, 1), (1, 1), (False, True), ("0", "1")])
def test_words_beside_zero_and_one_can_mean_two_things(numbers):
    rows = [pair(n, label) for n, label in enumerate(["A", "B", *numbers])]
    message = refusal(rows)
    assert "can mean two things" in message
    assert 'convention="index" or convention="probability"' in message
    assert read_preferences(rows, convention="index").y.tolist() == [
        1.0, 0.0, *(1.0 - int(number) for number in numbers),
    ]  # fmt: skip


def test_words_beside_numbers_that_tell_are_read():
    rows = [pair(n, label) for n, label in enumerate(["A", "B", 1, 2, "tie"])]
    assert read_preferences(rows).y.tolist() == [1.0, 0.0, 1.0, 0.0, 0.5]
    rows = [pair(n, label) for n, label in enumerate(["tie", 0, 1, 0.7])]
    assert read_preferences(rows).y.tolist() == [0.5, 0.0, 1.0, 0.7]


def test_labels_that_are_the_texts_of_responses():
    rows = [pair(0, "left 0"), pair(1, "right  1"), pair(2, "left 2")]
    assert read_preferences(rows).y.tolist() == [1.0, 0.0, 1.0]


def test_a_text_that_is_the_name_of_the_other_side():
    texts = [("A", "B"), ("B", "A")]
    rows = [pair(0, "A", response_a=one, response_b=two) for one, two in texts]
    assert "record 1: label = 'A' can mean two things" in refusal(rows)
    assert read_preferences(rows, convention="names").y.tolist() == [1.0, 1.0]
    # Where one label is no text of its row, all of them name sides.
    assert read_preferences([*rows, pair(2, "B")]).y.tolist() == [1.0, 1.0, 0.0]


def test_a_number_that_is_the_text_of_the_other_response():
    rows = [
        pair(0, "1", response_a="2", response_b="1"),
        pair(1, "2", response_a="2", response_b="1"),
    ]
    assert "can mean two things" in refusal(rows)
    assert read_preferences(rows, convention="one_two").y.tolist() == [1.0, 0.0]


def test_models_that_are_called_as_sides():
    rows = [pair(0, "a", model_a="b", model_b="a")]
    assert "can mean two things" in refusal(rows)
    assert read_preferences([pair(0, "a", model_a="a", model_b="b")]).y.tolist() == [1.0]


def test_models_are_told_but_for_case_where_nothing_else_tells():
    rows = [
        pair(0, "Large", model_a="large", model_b="small"),
        pair(1, "large", model_a="Large", model_b="large"),
    ]
    assert read_preferences(rows).y.tolist() == [1.0, 0.0]


def test_a_model_against_itself():
    rows = [pair(0, "m", model_a="m", model_b="n"), pair(1, "m", model_a="m", model_b="m")]
    message = refusal(rows)
    assert "record 1 has label = 'm'" in message
    assert "nothing tells which is better" in message


def talk(*contents):
    roles = ("user", "assistant") * len(contents)
    return [{"role": role, "content": text} for role, text in zip(roles, contents, strict=False)]


@pytest.mark.parametrize("turned", [False, True])
def test_answers_to_two_questions_are_no_pair(turned):
    one, other = talk("One?", "Yes."), talk("Two?", "No.")
    if turned:
        one, other = other, one
    row = {"prompt": "One?", "chosen": one, "rejected": other}
    assert "record 0 has as" in refusal([row])
    assert "another question, 'Two?'" in refusal([row])


@pytest.mark.parametrize("times", [1, 2, 3])
def test_messages_written_as_json_several_times(times):
    rows = [{"chosen": talk("Hi?", "Yes."), "rejected": talk("Hi?", "No.")}]
    expected = read_preferences(rows).X.tolist()
    written = [dict(row) for row in rows]
    for _ in range(times):
        written = [{name: json.dumps(value) for name, value in row.items()} for row in written]
    assert read_preferences(written).X.tolist() == expected


@pytest.mark.parametrize("answer", ['"[1, 2]"', '"[see below]"', '"{}"', '"[' * 50, '"Yes"'])
def test_an_answer_in_quotes_stays_as_it_is(answer):
    rows = [{"prompt": "P", "chosen": answer, "rejected": "y"}]
    assert read_preferences(rows).X[0].tolist() == ["P", answer, "y"]


def test_levels_of_an_index_and_of_names_are_columns():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame([pair(0, "A"), pair(1, "B")])
    expected = read_preferences(frame).X.tolist()
    assert read_preferences(frame.set_index("prompt")).X.tolist() == expected
    assert read_preferences(frame.rename_axis("number")).X.tolist() == expected
    frame.columns = pd.MultiIndex.from_tuples(
        [("prompt", ""), ("response", "a"), ("response", "b"), ("label", "")]
    )
    assert read_preferences(frame).X.tolist() == expected


def test_names_that_are_no_text():
    rows = [{1: "n", "chosen": "x", "rejected": "y"}]
    assert read_preferences(rows).columns["1"].tolist() == ["n"]
    assert "two columns that are called '1'" in refusal([rows[0] | {"1": "m"}])


@pytest.mark.parametrize("mark", ["\ufeff", "\u200b", " "])
def test_what_is_not_seen_in_a_name_is_no_part_of_it(mark):
    rows = [{f"{mark}prompt": "P", "chosen": "x", "rejected": "y"}]
    assert read_preferences(rows).X[0, 0] == "P"


@pytest.mark.parametrize("weight", [1e101, float("inf"), -1, "x", 10**400])
def test_a_weight_that_floats_cannot_square_is_refused(weight):
    assert "A weight is a number from 0 to 1e+100" in refusal([pair(0, "A", w=weight)], weight="w")
