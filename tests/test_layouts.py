import csv
import json

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from preference_layouts import LAYOUTS, PAIRS, assistant, expected, normalize, user

from sklearn_codex.datasets import read_preferences


@pytest.mark.parametrize("entry", LAYOUTS.values(), ids=LAYOUTS)
def test_every_layout_says_the_same(entry):
    data = read_preferences(entry.rows(), **entry.options or {})
    assert normalize(data.X, data.y, data.groups) == expected(entry.pairs)
    assert data.layout == entry.called
    assert data.oriented.all() if entry.oriented else not data.oriented.any()
    assert len(data.sample_weight) == data.n == data.n_rows == len(entry.pairs)
    assert data.sample_weight.tolist() == pytest.approx([1.0] * data.n)


def as_csv(rows, path, write):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        for row in rows:
            writer.writerow(
                {
                    k: v if v is None or isinstance(v, (str, int)) else write(v)
                    for k, v in row.items()
                }
            )
    return path


CONTAINERS = {
    "JSON in CSV": lambda rows, path: as_csv(rows, path, json.dumps),
    "repr in CSV": lambda rows, path: as_csv(rows, path, repr),
    "pandas": lambda rows, path: pd.DataFrame(rows),
    "pyarrow": lambda rows, path: pa.Table.from_pylist(rows),
    "pyarrow, pandas": lambda rows, path: pa.Table.from_pylist(rows).to_pandas(),
    "polars": lambda rows, path: pl.DataFrame(rows, infer_schema_length=None, strict=False),
}


@pytest.mark.parametrize("make", CONTAINERS.values(), ids=CONTAINERS)
@pytest.mark.parametrize("entry", LAYOUTS.values(), ids=LAYOUTS)
def test_every_layout_in_tables_and_cells(entry, make, tmp_path):
    data = read_preferences(make(entry.rows(), tmp_path / "data"), **entry.options or {})
    assert normalize(data.X, data.y, data.groups) == expected(entry.pairs)
    assert data.layout == entry.called


@pytest.mark.parametrize("entry", LAYOUTS.values(), ids=LAYOUTS)
def test_every_layout_with_columns_of_any_case_and_more_of_them(entry):
    rows = [
        {"Number": i, **{name.title(): row[name] for name in row}, "notes": "some words"}
        for i, row in enumerate(entry.rows())
    ]
    if entry.called == "Skywork":  # which is known by having no other column
        entry = entry._replace(called="TRL preference")
    data = read_preferences(rows, **entry.options or {})
    assert normalize(data.X, data.y, data.groups) == expected(entry.pairs)
    assert data.layout == entry.called
    assert {"Number", "notes"} <= data.columns.keys()


@pytest.mark.parametrize("entry", LAYOUTS.values(), ids=LAYOUTS)
def test_thirty_prompts_of_ten_pairs_are_thirty_groups(entry):
    pairs = [
        (f"What is {number} plus one?", f"It is {number + 1}.", f"Try {i} instead.", float(i % 2))
        for number in range(30)
        for i in range(10)
    ]
    data = read_preferences(entry.write(pairs), **entry.options or {})
    assert data.n == 300
    assert sorted(data.groups.tolist()) == sorted(list(range(30)) * 10)


def rows_of(name, **changes):
    """Return the first two rows of a layout, with other values in the first."""
    rows = LAYOUTS[name].rows()[:2]
    return [{**rows[0], **changes}, rows[1]]


def test_turns_in_lists_are_conversations():
    row = {
        "prompt": json.dumps(["Hi", "And now?"]),
        "response_a": json.dumps(["Hello", "Rain."]),
        "response_b": json.dumps(["Yes?", None]),
    }
    data = read_preferences(rows_of("Chatbot Arena, 55k", **row))
    assert data.X[0].tolist() == [
        "Hi",
        "Hello\n\nUser: And now?\n\nAssistant: Rain.",
        "Yes?\n\nUser: And now?\n\nAssistant:",
    ]
    lists = {name: json.loads(value) for name, value in row.items()}
    same = read_preferences(rows_of("Chatbot Arena, 55k", **lists))
    assert same.X[0].tolist() == data.X[0].tolist()


def test_judgments_of_a_turn_see_the_turns_up_to_it():
    data = read_preferences(rows_of("MT-bench judgments", turn=2))
    assert data.X[0, 1] == f"{PAIRS[0][1]}\n\nUser: And then?\n\nAssistant: Nothing."
    assert data.X[1].tolist() == list(PAIRS[1][:3])
    assert data.annotator.tolist() == ["expert_1", "expert_1"]
    assert "Conversations are cut after turn, which was judged." in data.notes


def test_the_history_of_a_session_is_said_to_be_unused():
    data = read_preferences(LAYOUTS["Chatbot Arena, 140k"].rows())
    assert 'groups="evaluation_session_id" keeps the pairs of a session together' in data.notes[0]


def test_posts_and_articles_are_prompts():
    info = {"title": "Owls", "post": "I have heard one.", "article": None}
    data = read_preferences(rows_of("OpenAI TL;DR", info=info))
    assert data.X[0, 0] == "Owls\nI have heard one."
    info = {"title": None, "post": None, "article": "An owl was heard."}
    data = read_preferences(rows_of("OpenAI TL;DR", info=info))
    assert data.X[0, 0] == "An owl was heard."
    assert data.annotator.tolist() == ["w1", "w1"]
    with pytest.raises(ValueError, match="record 0 should have a post as info and two as summ"):
        read_preferences(rows_of("OpenAI TL;DR", summaries=[{"text": "one"}]))


@pytest.mark.parametrize("name", ["HelpSteer2 preference", "HelpSteer3"])
def test_strengths_are_weights(name):
    column = {"HelpSteer3": "overall_preference"}.get(name, "preference_strength")
    rows = LAYOUTS[name].rows()[:3]
    for row, strength in zip(rows, (-3, 1, 2), strict=True):
        row[column] = strength
    data = read_preferences(rows)
    assert data.y.tolist() == [1, 0, 0]
    assert data.sample_weight.tolist() == [1.5, 0.5, 1]


@pytest.mark.parametrize(
    ("name", "label", "value", "expected"),
    [
        ("PKU-SafeRLHF", "safer_response_id", 1, 0.0),
        ("AlpacaFarm", "raw_preference", 2, 0.0),
    ],
)
def test_second_labels_are_said_and_can_be_asked_for(name, label, value, expected):
    rows = rows_of(name, **{label: value})
    data = read_preferences(rows)
    assert data.y.tolist() == [1, 0]
    assert any(f'There is another, {label}, for label="{label}".' in note for note in data.notes)
    assert label in data.columns
    asked = read_preferences(rows, label=label.upper())
    assert asked.y[0] == expected
    assert asked.layout == name


@pytest.mark.parametrize(
    ("value", "expected"), [(1.25, 0.75), (1.5, 0.5), (0, 0.5), ("2.0", 0.0), (1, 1.0)]
)
def test_annotations_of_alpaca_eval_are_soft(value, expected):
    data = read_preferences(rows_of("AlpacaEval", preference=value))
    assert data.y[0] == expected
    assert data.annotator.tolist() == ["judge", "judge"]


def test_votes_of_pandalm_are_means():
    data = read_preferences(rows_of("PandaLM", annotator1=1, annotator2=2, annotator3=0))
    assert data.y.tolist() == [0.5, 0]
    data = read_preferences(rows_of("PandaLM", annotator1=1, annotator2="1", annotator3=None))
    assert data.y.tolist() == [1, 0]
    assert data.where.tolist() == read_preferences(rows_of("PandaLM")).where.tolist()


@pytest.mark.parametrize(
    ("name", "changes", "match"),
    [
        ("WebGPT", {"score_0": "high"}, "record 0 has score_0 = 'high', which should be a number"),
        ("ms-swift", {"messages": [user("Hi")]}, "of which the last is the chosen answer"),
        ("Prodigy", {"accept": []}, r"as accept the id of the better one, got \[\]"),
        ("Prodigy", {"accept": ["z"]}, r"as accept the id of the better one, got \['z'\]"),
        ("PaddleNLP", {"sort": [1]}, "record 0 should have two texts as response, two numbers"),
        ("PaddleNLP", {"sort": ["x", "y"]}, "record 0 has sort = 'x', which should be a number"),
        ("Chatbot Arena, 55k", {"winner_tie": 1}, "record 0.* one should be set, but 2 of them"),
        ("SHP", {"labels": 2}, "record 0: labels = 2"),
        ("PKU-SafeRLHF", {"better_response_id": 2}, "record 0: better_response_id = 2"),
    ],
)
def test_values_that_a_layout_does_not_have_are_refused(name, changes, match):
    with pytest.raises(ValueError, match=match):
        read_preferences(rows_of(name, **changes))


def test_two_scores_in_a_list_stay_two():
    rows = rows_of("JudgeLM")
    rows[1]["score"] = [1, 2, 3]
    with pytest.raises(ValueError, match=r"record 1 has score = \[1, 2, 3\], which should be the"):
        read_preferences(rows)


def test_system_and_earlier_turns_are_kept():
    given = {"system": "Be brief.", "history": [["Hi", "Hello"]]}
    data = read_preferences(rows_of("LLaMA-Factory, alpaca", **given))
    prompt = PAIRS[0][0]
    start = "System: Be brief.\n\nUser: Hi\n\nAssistant: Hello\n\nUser: "
    assert data.X[0, 0] == start + prompt
    turns = [user("Hi"), assistant("Hello"), user(prompt), assistant("Yes.")]
    swift = read_preferences(
        [{"system": "Be brief.", "messages": turns, "rejected_response": "No."}]
    )
    assert swift.X[0].tolist() == [start + prompt, "Yes.", "No."]
    paddle = {"src": ["Hi", prompt], "tgt": ["Hello"]}
    paddle = read_preferences(rows_of("PaddleNLP", **paddle))
    assert paddle.X[0, 0] == "User: Hi\n\nAssistant: Hello\n\nUser: " + prompt
    orca = read_preferences(rows_of("Orca DPO", system="Be brief."))
    assert orca.X[0, 0] == f"System: Be brief.\n\nUser: {prompt}"


@pytest.mark.parametrize("turn", [[], "x", 0, 1.5, float("inf")])
def test_a_turn_that_is_no_number_is_told(turn):
    rows = rows_of("MT-bench judgments", turn=turn)
    with pytest.raises(ValueError, match=r"record 0 has turn = .* the turn that was judged, from"):
        read_preferences(rows)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("OpenAI TL;DR", {"info": {"post": 3}}, "record 0 should have a post as info"),
        ("OpenAI TL;DR", {"info": {"title": ["a"], "post": "b"}}, "should have a post as info"),
        ("PaddleNLP", {"src": [None]}, "record 0 should have two texts as response"),
        ("PaddleNLP", {"src": ["a", "b"], "tgt": [3]}, "should have two texts as response"),
        ("Prodigy", {"accept": [{}]}, "record 0 should have two options and as accept the id"),
        ("Prodigy", {"accept": []}, "should have two options and as accept the id"),
        ("Prodigy", {"options": [{"id": 1, "text": "a"}] * 2, "accept": [1]}, "should have two op"),
        ("Label Studio", {"data": {"prompt": "p"}}, "record 0"),
        ("two responses and a label", {"response_b": []}, "which is empty. Leave the row out"),
    ],
)
def test_rows_that_are_not_as_their_layout_are_told(name, changes, message):
    with pytest.raises((TypeError, ValueError), match=message):
        read_preferences(rows_of(name, **changes))
    rows = [*rows_of(name), *rows_of(name, **changes)]
    with pytest.raises((TypeError, ValueError), match=message.replace("record 0", "record 2")):
        read_preferences(rows)


def test_options_that_are_none_are_told():
    rows = rows_of("Prodigy") + rows_of("Prodigy", options=[None, None])
    with pytest.raises(ValueError, match="record 2 should have two options and as accept the id"):
        read_preferences(rows)


def test_errors_are_one_line_whatever_columns_are_called():
    rows = [{**row, "label\n": row["winner"]} for row in rows_of("annotators as rows")]
    with pytest.raises(ValueError, match="two kinds of preference") as caught:
        read_preferences(rows)
    assert "\n" not in str(caught.value)
