"""What is said of each of two responses: marks, counts in a cell, labels of several people."""

import json

import pytest
from pair_columns import labelled

from sklearn_codex._layouts.given import Given
from sklearn_codex.datasets import read_preferences
from sklearn_codex.datasets._readers import read_given

MARKS = [(1, 0), (0, 1), (0.5, 0.5)]


def marked(first, second, one, two, marks=MARKS):
    """Return rows of two responses with a mark for each."""
    rows = labelled(first, second)
    for row, (a, b) in zip(rows, marks, strict=True):
        del row["label"]
        row.update({one: a, two: b})
    return rows


@pytest.mark.parametrize(
    ("first", "second", "one", "two"),
    [
        ("response_0", "response_1", "label_0", "label_1"),
        ("caption_0", "caption_1", "label_0", "label_1"),
        ("response_1", "response_2", "label_1", "label_2"),
        ("response_a", "response_b", "label_a", "label_b"),
        ("Response A", "Response B", "A label", "B label"),
        ("response_1", "response_2", "vote_1", "vote_2"),
        ("response_a", "response_b", "preference_a", "preference_b"),
        ("response_a", "response_b", "human_label_a", "human_label_b"),
        ("answer_0", "answer_1", "preferred_0", "preferred_1"),
        ("answer_a", "answer_b", "a_wins", "b_wins"),
    ],
)
@pytest.mark.parametrize("write", [lambda mark: mark, str])
def test_marks_of_each_response_are_shares(first, second, one, two, write):
    marks = [(write(a), write(b)) for a, b in MARKS]
    data = read_preferences(marked(first, second, one, two, marks))
    assert data.y.tolist() == [1, 0, 0.5]
    assert not data.oriented.any()
    assert list(data.columns) == []


def test_marks_have_a_part_for_ties():
    rows = marked("response_a", "response_b", "label_a", "label_b", [(1, 0), (0.2, 0.4), (0, 0)])
    for row, tie in zip(rows, (0, 0.4, 1), strict=True):
        row["label_tie"] = tie
    assert read_preferences(rows).y.tolist() == pytest.approx([1, 0.4, 0.5])


@pytest.mark.parametrize("marks", [(1, 1), (0, 0), (2, 1), (0.7, 0.7)])
def test_marks_that_may_be_the_labels_of_two_people_are_refused(marks):
    rows = marked("response_0", "response_1", "label_0", "label_1", [(1, 0), marks, (0, 1)])
    match = (
        rf"record 1 has label_0 = {marks[0]} and label_1 = {marks[1]}, which can mean two things"
    )
    with pytest.raises(ValueError, match=match):
        read_preferences(rows)


def test_three_labels_are_those_of_three_people():
    rows = marked("response_1", "response_2", "label_1", "label_2", [(1, 2), (1, 1), (2, 2)])
    for row in rows:
        row["label_3"] = 2
    data = read_preferences(rows, convention="one_two")
    assert data.y.tolist() == pytest.approx([1 / 3, 2 / 3, 0])


@pytest.mark.parametrize(
    ("votes", "share"),
    [
        ({"A": 3, "B": 1}, 0.75),
        ({"B": 1, "A": 3}, 0.75),
        ({"response_a": 3, "response_b": 1, "tie": 1}, 0.7),
        ({"model_a": 2, "model_b": 2}, 0.5),
        ({"a": "0", "b": "1"}, 0),
        ({"a": 1, "b": None, "tie": None}, 1),
        ({"left": 1, "right": 4}, 0.2),
    ],
)
@pytest.mark.parametrize("write", [lambda votes: votes, json.dumps])
@pytest.mark.parametrize("name", ["votes", "Vote Counts", "human_votes"])
def test_counts_of_votes_in_a_cell_are_shares(votes, share, write, name):
    rows = labelled("response_a", "response_b")
    rows = [{n: v for n, v in row.items() if n != "label"} | {name: write(votes)} for row in rows]
    for data in (read_preferences(rows), read_preferences(rows, label=name)):
        assert data.y.tolist() == pytest.approx([share] * 3)
        assert list(data.columns) == []
        assert data.notes == [f"The label is the share of response_a among all votes in {name}."]


def test_shares_in_a_label_sum_to_one():
    row = {"prompt": "p", "response_a": "x", "response_b": "y"}
    labels = [{"a": 0.7, "b": 0.3}, {"a": 0.2, "b": 0.2, "tie": 0.6}, {"a": 0, "b": 1}]
    for name in ("preference", "label"):
        data = read_preferences([row | {name: label} for label in labels])
        assert data.y.tolist() == pytest.approx([0.7, 0.5, 0])
        with pytest.raises(ValueError, match=r"record 1 has .*, which can mean two things"):
            read_preferences([row | {name: labels[0]}, row | {name: {"a": 2, "b": 1}}])


def test_counts_by_number_are_read_where_they_are_no_votes_of_numbered_people():
    row = {"prompt": "p", "response_1": "x", "response_2": "y"}
    assert read_preferences([row | {"votes": {"1": 3, "2": 1}}]).y.tolist() == [0.75]
    with pytest.raises(ValueError, match=r"votes = \{'1': 2, '2': 1\}, which can mean two things"):
        read_preferences([row | {"votes": {"1": 2, "2": 1}}])
    named = row | {"votes": {"rater_1": 2, "rater_2": 1}}
    assert read_preferences([named], convention="one_two").y.tolist() == [0.5]


@pytest.mark.parametrize(
    ("votes", "what"),
    [
        ({"a": 0, "b": 0}, "at least one needs a vote"),
        ({"a": -1, "b": 2}, "at least one needs a vote"),
        ({"a": 3}, "Write such counts"),
        ({"a": 3, "b": "many"}, "Write such counts"),
    ],
)
def test_counts_that_are_none_are_refused(votes, what):
    row = {"prompt": "p", "response_a": "x", "response_b": "y"}
    rows = [row | {"votes": {"a": 1, "b": 2}}, row | {"votes": votes}]
    with pytest.raises(ValueError, match=rf"record 1 has votes.*{what}"):
        read_preferences(rows)


def test_what_persons_said_is_no_count():
    row = {"prompt": "p", "response_a": "x", "response_b": "y"}
    data = read_preferences([row | {"votes": {"ann": "a", "bob": "b", "cid": "a"}}])
    assert data.y.tolist() == pytest.approx([2 / 3])
    rows = [row | {"annotations": {"A": 1, "B": 0}}]
    data = read_preferences(rows, convention="probability")
    assert data.y.tolist() == [0.5]


def raters():
    """Return rows that three people labelled, of which one left out a row and one half of them."""
    rows = labelled("response_a", "response_b")
    said = [("a", "b", "a"), ("b", None, "b"), ("tie", "a", None)]
    for row, labels in zip(rows, said, strict=True):
        del row["label"]
        row.update(zip(("ann", "bob", "cid"), labels, strict=True))
    return rows


def test_labels_of_several_people_are_named():
    data = read_preferences(raters(), label=["ann", "Bob", "cid"])
    assert data.y.tolist() == pytest.approx([2 / 3, 0, 0.75])
    assert list(data.columns) == []
    assert data.notes == [
        "Each label is the mean of the votes of a row: ann, bob, cid.",
        'Votes were read as "words".',
    ]
    again = read_given(raters(), Given(label="ann, bob,CID", command=True), "it")
    assert again.y.tolist() == data.y.tolist()
    absent = [{name: value for name, value in row.items() if value} for row in raters()]
    assert read_preferences(absent, label=["ann", "bob", "cid"]).y.tolist() == data.y.tolist()
    one = read_preferences(raters(), label=["ann"])
    assert one.y.tolist() == read_preferences(raters(), label="ann").y.tolist()


def test_labels_of_several_people_may_be_called_like_responses():
    rows = raters()
    for row in rows:
        row.update(a=row.pop("ann"), b=row.pop("bob"), c=row.pop("cid"))
    given = Given(label="a,b,c", command=True)
    for data in (read_preferences(rows, label=["a", "b", "c"]), read_given(rows, given, "it")):
        assert data.y.tolist() == pytest.approx([2 / 3, 0, 0.75])


def test_a_name_with_a_comma_is_that_of_one_column():
    rows = labelled("response_a", "response_b", label="a,b")
    assert read_given(rows, Given(label="a,b", command=True), "it").y.tolist() == [1, 0, 1]
    with pytest.raises(ValueError, match=r'no column \'ann,bob\', which label="ann,bob" names'):
        read_preferences(raters(), label="ann,bob")


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"label": ["ann", "bop"]}, r"no column 'bop', which label=\"bop\" names.*mean 'bob'"),
        ({"label": ["ann", "bob"], "chosen": "response_a"}, "do not go together"),
        ({"label": ["ann", "bob"], "response": "response_a"}, "do not go together"),
    ],
)
def test_labels_of_several_people_that_make_no_sense_are_refused(given, what):
    with pytest.raises(ValueError, match=what):
        read_preferences(raters(), **given)
    if "response" in given:
        match = r"^--response response_a and --label ann,bob do not go together"
        with pytest.raises(ValueError, match=match):
            read_given(raters(), Given(**given, command=True), "it")


def test_a_list_of_labels_has_names():
    with pytest.raises(TypeError, match=r"label is the name of a column or a list of such names"):
        read_preferences(raters(), label=["ann", 2])
    with pytest.raises(ValueError, match=r"--label ann,bop names.* 'bop' is no column"):
        read_given(raters(), Given(label="ann,bop", command=True), "it")
