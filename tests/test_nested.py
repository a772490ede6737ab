import json

import pytest
from ranked_layouts import PAIRS, as_set, read, write_unpaired

FIELDS = {"prompt": "p", "response_1": "x", "response_2": "y", "response_3": "z"}
TWO = {"prompt": "p", "response_1": "x", "response_2": "y"}
RANKS = [
    {"rank": 2, "value": "response_1"},
    {"rank": 1, "value": "response_2"},
    {"rank": 2, "value": "response_3"},
]
TURNED = {"rank": [2, 1, 2], "value": ["response_1", "response_2", "response_3"]}


def submitted(value, who="u"):
    return {"user_id": who, "status": "submitted", "value": value}


@pytest.mark.parametrize(
    "row",
    [
        {"fields": FIELDS, "responses": {"order": [submitted(RANKS)]}},
        {
            "fields": FIELDS,
            "responses": [
                {"user_id": "u", "status": "submitted", "values": {"order": {"value": RANKS}}}
            ],
        },
        FIELDS | {"choice": [submitted(RANKS)]},
        FIELDS | {"choice": [submitted(TURNED)]},
        FIELDS | {"choice": {"user_id": ["u"], "status": ["submitted"], "value": [TURNED]}},
        FIELDS
        | {
            "choice.responses": [TURNED],
            "choice.responses.users": ["u"],
            "choice.responses.status": ["submitted"],
            "choice.suggestion": None,
        },
    ],
)
def test_rankings_of_argilla(row):
    data = read([row | {"external_id": "7"}])
    assert data.layout.startswith("Argilla: ")
    assert {(a, b) for _, a, b, _ in as_set(data)} == {("y", "x"), ("y", "z")}
    assert (data.y == 0.5).sum() == 1
    assert data.sample_weight.sum() == pytest.approx(1)
    assert data.annotator.tolist() == ["u"] * 3
    assert data.columns["external_id"].tolist() == ["7"] * 3


def test_labels_and_ratings_of_argilla():
    row = {"fields": TWO, "responses": {"preference": [submitted("response_2", "v")]}}
    data = read([row])
    assert (data.y.tolist(), data.annotator.tolist()) == ([0.0], ["v"])
    rated = {"rating_1": [submitted(2)], "rating_2": [submitted(5)]}
    assert as_set(read([{"fields": TWO, "responses": rated}])) == [("p", "y", "x", 1.0)]


def test_a_question_of_any_name_is_answered_by_the_name_of_a_field():
    row = {"fields": TWO, "responses": {"which one?": [submitted("response_2")]}}
    assert read([row]).y.tolist() == [0.0]


def test_annotators_of_one_record_weigh_one_together():
    answers = [submitted("response_2", "u"), submitted("response_1", "v")]
    data = read([{"fields": TWO, "responses": {"preference": answers}}])
    assert (data.y.tolist(), data.annotator.tolist()) == ([0.0, 1.0], ["u", "v"])
    assert data.sample_weight.tolist() == [0.5, 0.5]
    assert "With several annotators, whose pairs weigh 1 together: 1 row." in data.notes


def test_answers_that_are_discarded_or_missing_are_counted():
    discarded = submitted("response_1") | {"status": "discarded"}
    rows = [
        TWO | {"preference": [submitted("response_1"), discarded]},
        TWO | {"preference": [discarded]},
    ]
    data = read(rows)
    assert data.n == 1
    assert "Left out, discarded or not submitted: 2 answers." in data.notes
    assert "Without an answer, so without a pair: 1 row." in data.notes


def task(selected, who=1, **more):
    result = {"type": "pairwise", "from_name": "pw", "value": {"selected": selected}}
    annotation = {"completed_by": who, "result": [result]} | more
    return {
        "id": 1,
        "data": {"prompt": "p", "answer1": "x", "answer2": "y", "topic": "t"},
        "annotations": [annotation],
        "predictions": [],
    }


def test_pairs_of_label_studio():
    data = read([task("left"), task("right", {"id": 3, "email": "a@b.c"}), task("none")])
    assert data.y.tolist() == [1.0, 0.0, 0.5]
    assert data.annotator.tolist() == [1, "a@b.c", 1]
    assert data.columns["topic"].tolist() == ["t"] * 3
    assert data.layout.startswith("Label Studio: ")
    data = read([task("left"), task("right", was_cancelled=True)])
    assert data.n == 1
    assert "Left out, discarded or not submitted: 1 answer." in data.notes


def test_choices_of_label_studio():
    row = task("left")
    row["annotations"][0]["result"][0] = {
        "from_name": "label", "type": "choices", "value": {"choices": ["answer2"]}
    }  # fmt: skip
    assert read([row]).y.tolist() == [0.0]


@pytest.mark.parametrize("name", ["data", "record", "example"])
def test_rows_within_a_column(name):
    rows = [
        {"id": str(k), name: {"prompt": p, "chosen": better, "rejected": worse}}
        for k, (p, better, worse) in enumerate(PAIRS)
    ]
    data = read(rows)
    assert as_set(data) == sorted((*pair, 1.0) for pair in PAIRS)
    assert data.columns["id"].tolist() == ["0", "1", "2", "3"]


def test_rows_within_a_column_can_be_unpaired():
    rows = [{"data": row} for row in write_unpaired("completion", "label", (True, False))(PAIRS)]
    data = read(rows)
    assert as_set(data) == sorted((*pair, 1.0) for pair in PAIRS)


def test_rows_within_a_column_without_a_preference_are_refused():
    rows = [{"data": {"prompt": "p", "chosen": "x", "rejected": "y"}}, {"data": {"prompt": "p"}}]
    with pytest.raises(ValueError, match=r"line 2 has no preference. Within data it has"):
        read(rows)
    with pytest.raises(ValueError, match=r"line 1 has no preference. It has \['data'\]"):
        read(rows[1:])


NAMES = ["responses", "response", "answers", "pair", "output", "completions", "model_outputs"]
CHOSEN = {"chosen": "x", "rejected": "y"}
SCORED = {"a": {"text": "y", "score": 1}, "b": {"text": "x", "score": 3}}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("within", "beside"),
    [
        (CHOSEN, {}),
        (CHOSEN, {"score": 3}),
        (json.dumps(CHOSEN), {}),
        ({"chosen": {"text": "x", "score": 1}, "rejected": {"text": "y", "score": 3}}, {}),
        ({side: {"role": "assistant", "content": text} for side, text in CHOSEN.items()}, {}),
        ({"better": "x", "worse": "y"}, {}),
        ({"a": "y", "b": "x"}, {"label": "b"}),
        ({"a": {"text": "y", "model": "m"}, "b": {"text": "x", "model": "n"}}, {"winner": "b"}),
        ({"a": {"text": "y", "model": "m"}, "b": {"text": "x", "model": "n"}}, {"winner": "n"}),
        ({"1": {"content": "y", "votes": 1}, "2": {"content": "x", "votes": 3}}, {"best": "2"}),
        (SCORED, {}),
        ({"response_a": "y", "response_b": "x"}, {"votes": {"a": 0, "b": 4}}),
    ],
)
def test_two_responses_within_a_column(name, within, beside):
    data = read([{"prompt": "p", name: within} | beside] * 2)
    assert data.X[:, 0].tolist() == ["p", "p"]
    better = {row[1] if y == 1 else row[2] for row, y in zip(data.X, data.y, strict=True)}
    assert better == {"x"}
    assert set(data.y.tolist()) <= {0, 1}


def test_scores_within_chosen_responses_are_compared_with_them():
    within = {"chosen": {"text": "x", "score": 1}, "rejected": {"text": "y", "score": 3}}
    (scores,) = read([{"prompt": "p", "responses": within}] * 3).scores
    assert (scores.better, scores.worse) == ("chosen_score", "rejected_score")
    assert scores.contradicting.tolist() == [0, 1, 2]


def test_scores_within_two_responses_tell_the_better():
    row = {"prompt": "p", "response_a": SCORED["a"], "response_b": SCORED["b"]}
    data = read([row, row | {"response_a": {"text": "z", "score": 3}}])
    assert data.X[:, 1:].tolist() == [["y", "x"], ["z", "x"]]
    assert data.y.tolist() == [0, 0.5]


def test_names_of_models_within_a_column_are_no_responses():
    row = {"prompt": "p", "models": {"chosen": "small", "rejected": "large"}, "note": "A text."}
    with pytest.raises(ValueError, match="has no preference"):
        read([row])


def test_roles_have_what_stands_beside_rows_within_a_column():
    data = read([{"prompt": "p", "responses": CHOSEN, "source": "web"}])
    assert data.roles == {
        "prompt": ["prompt"], "responses": [], "label": [], "others": ["responses"]
    }  # fmt: skip
    assert list(data.columns) == ["source"]
