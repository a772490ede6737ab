"""What files of a known layout usually mean by their labels, and labels that say otherwise."""

import json

import pytest

from sklearn_codex._labels import scores
from sklearn_codex._labels.sides import compare_names
from sklearn_codex.datasets import read_preferences


def rows_of(column, values, **others):
    """Return rows of two outputs with these labels."""
    row = {"output_1": "u", "output_2": "v", **others}
    return [{**row, column: value} for value in values]


@pytest.mark.parametrize(
    ("column", "prompt"),
    [("preference", "instruction"), ("label", "instruction"), ("label", "input")],
)
def test_labels_of_one_and_two_that_may_count_from_zero_are_refused(column, prompt):
    """A known layout does not turn 0 and 1 into ties and wins; 1 and 2 it reads."""
    for values in ((0, 1, 0, 1), ("0", "1"), (0, 0)):
        with pytest.raises(ValueError, match=r'can mean two things.*"index".*"probability"'):
            read_preferences(rows_of(column, values, **{prompt: "p"}))
    assert read_preferences(rows_of(column, (1, 2), **{prompt: "p"})).y.tolist() == [1, 0]
    assert read_preferences(rows_of(column, (0, 2), **{prompt: "p"})).y.tolist() == [0.5, 0]


@pytest.mark.parametrize("column", ["preference_strength", "overall_preference"])
def test_strengths_that_could_be_numbers_of_responses_are_refused(column):
    """All-positive strengths of 1 and 2 are shown in both readings."""
    rows = [{"prompt": "p", "response_a": "u", "response_b": "v", column: n} for n in (1, 2)]
    with pytest.raises(ValueError, match=r'two things.*"one_two".*"strength'):
        read_preferences(rows)
    assert read_preferences(rows, label=column, convention={1: 1, 2: 0}).y.tolist() == [1, 0]


@pytest.mark.parametrize(
    "name",
    ["hate_score", "score_std", "loss_score", "spam_score", "negative_score", "refusal_score",
     "rank_score", "quux_score"],
)  # fmt: skip
def test_a_score_of_what_nobody_knows_is_not_taken_for_the_greater_the_better(name):
    """Of a name with any other word beside that for a score the caller says what it is."""
    rows = [{"prompt": "p", "response": text, name: n} for n, text in enumerate("uv")]
    with pytest.raises(ValueError, match=name):
        read_preferences(rows)


@pytest.mark.parametrize("name", ["score", "human_rating", "overall_score", "fine-grained_score"])
def test_a_score_that_says_what_it_is_is_read(name):
    """The greater of two known scores is the better."""
    rows = [{"prompt": "p", "response": text, name: n} for n, text in enumerate("uv")]
    assert read_preferences(rows).X[0].tolist() == ["p", "v", "u"]


def test_columns_of_scores_are_found_without_comparing_each_with_each(monkeypatch):
    """Names are compared only where they differ in one place."""
    calls = []
    monkeypatch.setattr(
        scores, "compare_names", lambda *names: calls.append(names) or compare_names(*names)
    )
    names = [f"x{i}_score_{side}" for i in range(200) for side in "ab"]
    found = scores.find_score_columns(names, "response_a", "response_b", oriented=False)
    assert found == [(f"x{i}_score_a", f"x{i}_score_b", True) for i in range(200)]
    assert len(calls) <= 2 * len(names)


@pytest.mark.parametrize("keys", [("pairs", "pairs_2"), ("rows", "more"), ("data", "extra")])
def test_of_two_lists_of_records_none_is_dropped(tmp_path, keys):
    """A file that holds records under two keys is refused by both names."""
    row = {"prompt": "p", "chosen": "u", "rejected": "v"}
    path = tmp_path / "two.json"
    path.write_text(json.dumps({keys[0]: [row], keys[1]: [row] * 3}), encoding="utf-8")
    with pytest.raises(
        ValueError, match=f"several lists of records, under '{keys[0]}', '{keys[1]}'"
    ):
        read_preferences(path)


def _rows(labels, name="label"):
    return [
        {"prompt": f"q {i}", "response_a": f"one {i}", "response_b": f"two {i}", name: label}
        for i, label in enumerate(labels)
    ]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["0,75", "0,2", "1", "0,5"], [0.75, 0.2, 1, 0.5]),
        (["0,75", 0, "1,0"], [0.75, 0, 1]),
        (["0,9", "0,1"], [0.9, 0.1]),
    ],
)
def test_decimal_commas_are_read_where_they_can_be_nothing_else(labels, expected):
    assert read_preferences(_rows(labels)).y.tolist() == expected


@pytest.mark.parametrize("labels", [["0,1", "1"], ["1,2", "1", "2"], ["1,234", "1"]])
def test_commas_that_may_part_two_labels_or_thousands_are_refused(labels):
    with pytest.raises(ValueError, match=rf"label = '{labels[0]}' names neither"):
        read_preferences(_rows(labels))
    said = read_preferences(_rows(labels), convention=dict(zip(labels, (0.5, 1, 0), strict=False)))
    assert said.y.tolist() == [0.5, 1, 0][: len(labels)]


def test_percentages_say_whose_they_are_or_are_refused():
    rows = _rows(["80%", "20 %", "50%", "100%"])
    with pytest.raises(ValueError, match=r'80% can mean two .*"percent" or convention="percent_s'):
        read_preferences(rows)
    read = [
        read_preferences(rows, convention=name).y.tolist() for name in ("percent", "percent_second")
    ]
    assert read == [[0.8, 0.2, 0.5, 1], [0.2, 0.8, 0.5, 0]]
    assert read_preferences(_rows(["80%", "5%"], "p_a_better")).y.tolist() == [0.8, 0.05]
    assert read_preferences(_rows(["80%", "5%"], "p_b_better")).y.tolist() == [0.2, 0.95]
    with pytest.raises(ValueError, match="120% is not known as a label"):
        read_preferences(_rows(["120%", "20%"]))
    for labels in (["80%", "0.2"], ["80%", 1]):
        with pytest.raises(ValueError, match="is no percentage, as 80% is in another row"):
            read_preferences(_rows(labels))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("★★★☆☆", "★★☆☆☆"), ("⭐⭐⭐", "⭐"), ("⭐️⭐️", "⭐️"), ("★", "☆☆☆☆☆"), ("0,75", "0,5"),
        ("2,5", "1"), ("-1,5", "-1,75"),
    ],
)  # fmt: skip
def test_scores_are_read_as_people_write_them(one, other):
    row = {"prompt": "q", "response_a": "x", "response_b": "y"}
    rows = [row | {"score_a": one, "score_b": other}, row | {"score_a": other, "score_b": one}]
    assert read_preferences(rows).y.tolist() == [1, 0]
    rated = [{"prompt": "q", "response": text, "rating": rating}
             for text, rating in (("x", one), ("y", other))]  # fmt: skip
    assert read_preferences(rated).X.tolist() == [["q", "x", "y"]]
    with pytest.raises(ValueError, match="score_a = '1,234', which should be a number"):
        read_preferences([row | {"score_a": "1,234", "score_b": "2"}])


def test_stars_as_labels_can_mean_two_things():
    with pytest.raises(ValueError, match="⭐⭐⭐ can mean two things"):
        read_preferences(_rows(["⭐⭐⭐", "⭐"]))
    assert read_preferences(_rows(["⭐⭐⭐", "⭐"]), convention="scale_1_3").y.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("yes", "no"),
    [("ja", "nein"), ("Oui", "Non"), ("sí", "no"), ("sim", "não"), ("да", "нет"), ("是", "否")],
)
def test_yes_and_no_of_other_languages(yes, no):
    assert read_preferences(_rows([yes, no], "a_is_better")).y.tolist() == [1, 0]
    assert read_preferences(_rows([yes, no], "b_is_better")).y.tolist() == [0, 1]
    rows = [{"prompt": "q", "completion": t, "label": v} for t, v in (("x", yes), ("y", no))]
    assert read_preferences(rows).X.tolist() == [["q", "x", "y"]]


@pytest.mark.parametrize(
    "name",
    ["loser", "worse", "Worse Response", "losing_response", "rejected_id", "worst_model",
     "dispreferred", "inferior", "loser_index"],
)  # fmt: skip
def test_columns_that_name_the_worse_response_are_read_so(name):
    data = read_preferences(_rows(["a", "b", "tie"], name))
    assert data.y.tolist() == [0, 1, 0.5]
    assert data.notes[0].startswith(f"{name} read as \"words\": 'b' means response_a, 'a' means re")
    numbered = [
        {"response_1": "x", "response_2": "y", name: 1},
        {"response_1": "u", "response_2": "v", name: 2},
    ]
    assert read_preferences(numbered).y.tolist() == [0, 1]
    both = [row | {name: "b"} for row in _rows(["a"], "winner")]
    assert read_preferences(both).y.tolist() == [1]


@pytest.mark.parametrize(
    "form", ["a=a,b=b,skip=drop", {"a": 1, "b": 0, "skip": "drop"}, "Skip=drop"]
)
def test_a_convention_can_drop_the_rows_of_a_label(form):
    data = read_preferences(_rows(["a", "skip", "b", "SKIP "]), convention=form)
    assert data.X[:, 0].tolist() == ["q 0", "q 2"]
    assert data.y.tolist() == [1, 0]
    note = "2 rows left out, as the convention drops their labels: record 1, record 3."
    assert note in data.notes
    assert (data.n, data.n_rows) == (2, 4)


def test_votes_that_a_convention_drops_do_not_count():
    votes = [["a", "b", "skip"], ["a", "a", "skip"], ["skip", "skip", "skip"]]
    rows = [
        {**row, **{f"annotator{i}": vote for i, vote in enumerate(given, start=1)}}
        for row, given in zip(_rows([0, 0, 0], "n"), votes, strict=True)
    ]
    data = read_preferences(rows, convention="a=a,b=b,skip=drop")
    assert data.y.tolist() == [0.5, 1]
    assert any(note.startswith("1 row left out, as") for note in data.notes)


def test_what_cannot_be_dropped_is_an_error():
    with pytest.raises(
        ValueError, match=r"has 2 rows and no pair\. The convention drops the labels"
    ):
        read_preferences(_rows(["skip", "skip"]), convention="skip=drop")
    with pytest.raises(ValueError, match="has no column of labels, so that a convention has no m"):
        read_preferences([{"chosen": "x", "rejected": "y"}], convention="skip=drop")
    with pytest.raises(ValueError, match='A meaning of "drop" leaves its rows out'):
        read_preferences(_rows(["a", "skip"]))


@pytest.mark.parametrize("name", ["swapped", "is_flipped", "position_swapped"])
def test_a_column_of_exchanges_is_the_first_thing_that_is_said(name):
    rows = [row | {name: True} for row in _rows(["first", "second"], "winner")]
    assert read_preferences(rows).notes[0].startswith(f"{name} is not read: if it says")
