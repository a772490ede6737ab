"""Files of one pair a row whose columns have no layout of their own: read by their names."""

import re

import pytest
from pair_columns import ROWS, labelled, oriented

from sklearn_codex._layouts.given import Given
from sklearn_codex.cli._preferences import read_mixed
from sklearn_codex.datasets import read_preferences
from sklearn_codex.datasets._readers import read_given


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("response_a", "response_b"),
        ("responseA", "responseB"),
        ("Response A", "Response B"),
        ("RESPONSE_A", "RESPONSE_B"),
        ("response-a", "response-b"),
        ("a_response", "b_response"),
        ("model_a_response", "model_b_response"),
        ("modelAResponse", "modelBResponse"),
        ("output_1", "output_2"),
        ("output1", "output2"),
        ("response_model_1", "response_model_2"),
        ("answer_0", "answer_1"),
        ("response.0", "response.1"),
        ("completion[0]", "completion[1]"),
        ("left_text", "right_text"),
        ("first_answer", "second_answer"),
        ("response_one", "response_two"),
        ("Input.reply_a", "Input.reply_b"),
        ("candidate_1", "candidate_2"),
        ("generated_text_a", "generated_text_b"),
        ("summary 1", "summary 2"),
        ("a", "b"),
        ("A", "B"),
        ("回答1", "回答2"),
    ],
)
def test_two_responses_under_every_naming(first, second):
    data = read_preferences(labelled(first, second, words=(first, second)))
    assert data.X.tolist() == [list(row) for row in ROWS]
    assert data.y.tolist() == [1, 0, 1]
    assert data.groups.tolist() == [0, 1, 0]
    assert data.columns == {}
    assert not data.oriented.any()


@pytest.mark.parametrize(
    ("chosen", "rejected"),
    [
        ("chosen", "rejected"),
        ("Chosen Response", "Rejected Response"),
        ("response_chosen", "response_rejected"),
        ("chosenAnswer", "rejectedAnswer"),
        ("chosen", "reject"),
        ("preferred", "dispreferred"),
        ("preferred_output", "non_preferred_output"),
        ("preferred_response", "rejected_response"),
        ("accepted", "rejected"),
        ("good_answer", "bad_answer"),
        ("winner", "loser"),
        ("winning_response", "losing_response"),
        ("better", "worse"),
        ("best_summary", "worst_summary"),
        ("positive", "negative"),
        ("pos", "neg"),
        ("correct_solution", "incorrect_solution"),
        ("y_w", "y_l"),
        ("response_w", "response_l"),
    ],
)
def test_better_and_worse_under_every_naming(chosen, rejected):
    for rows in (oriented(chosen, rejected), oriented(chosen, rejected)[::-1]):
        swapped = [{name: row[name] for name in reversed(row)} for row in rows]
        for table in (rows, swapped):  # the order of columns says nothing
            data = read_preferences(table)
            assert data.oriented.all()
            preferred = [
                pair[1] if label else pair[2] for pair, label in zip(data.X, data.y, strict=True)
            ]
            assert preferred == [row[chosen] for row in table]
            assert data.X[:, 0].tolist() == [row["prompt"] for row in table]


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("winner", ("model_a", "model_b")),
        ("Preference", ("A", "B")),
        ("preferred", ("response_a", "response_b")),
        ("better_response", ("response_a", "response_b")),
        ("judgement", ("[[A]]", "[[B]]")),
        ("Answer.winner", ("a", "b")),
        ("chosen", ("response_a", "response_b")),
        ("outcome", ("a", "b")),
        ("a_is_better", (True, False)),
        ("prob_a_wins", (0.875, 0.25)),
        ("vote", ("left", "right")),
    ],
)
def test_labels_under_every_common_name(label, words):
    data = read_preferences(labelled("response_a", "response_b", label=label, words=words))
    expected = words if isinstance(words[0], float) else (1, 0)
    assert data.y.tolist() == [*expected, expected[0]]


def test_a_response_of_another_series_is_no_third_one():
    rows = labelled("response_a", "response_b", response_0="some words")
    data = read_preferences(rows)
    assert data.X.tolist() == [list(row) for row in ROWS]
    assert data.y.tolist() == [1, 0, 1]
    assert list(data.columns) == ["response_0"]


@pytest.mark.parametrize("label", [0, "a", "b", "c"])
def test_the_order_of_columns_says_nothing(label):
    row = {"prompt": "p", "response_a": "x", "response_b": "y", "response_c": "z", "label": label}
    turned = {name: row[name] for name in reversed(row)}
    first, second = (read_preferences([rows] * 2) for rows in (row, turned))
    for data in (first, second):
        better = {pair[1] if y else pair[2] for pair, y in zip(data.X, data.y, strict=True)}
        assert better == {"xyz"["abc".index(label or "a")]}


@pytest.mark.parametrize("words", [("crow", "owl"), ("response_a", "response_b")])
@pytest.mark.parametrize("names", [("winner", "loser"), ("chosen", "rejected")])
def test_winners_that_name_a_response_are_labels(words, names):
    rows = labelled("response_a", "response_b", label=names[0], words=words)
    for row, other in zip(rows, (1, 0, 1), strict=True):
        row.update({names[1]: words[other], "model_a": "crow", "model_b": "owl"})
    data = read_preferences(rows)
    assert data.X.tolist() == [list(row) for row in ROWS]
    assert data.y.tolist() == [1, 0, 1]


def test_labels_that_name_a_model_or_hold_the_text():
    rows = labelled(
        "response_a", "response_b", words=("crow", "owl"), model_a="crow", model_b="owl"
    )
    assert read_preferences(rows).y.tolist() == [1, 0, 1]
    rows[2].update(model_a="owl", model_b="crow")
    assert read_preferences(rows).y.tolist() == [1, 0, 0]
    rows[2].update(model_a="crow", model_b="crow")
    with pytest.raises(ValueError, match="label = 'crow'"):
        read_preferences(rows)
    long = [(f"{p} Please.", a * 3, b * 3) for p, a, b in ROWS]
    rows = [
        {"prompt": p, "response_a": a, "response_b": b, "preferred_response": (a, b)[i % 2]}
        for i, (p, a, b) in enumerate(long)
    ]
    assert read_preferences(rows).y.tolist() == [1, 0, 1]


def test_votes_in_columns():
    rows = labelled("response_1", "response_2", label="idx")
    votes = [(1, 1, 2), (2, 2, 2), (1, None, 0)]
    for row, cast in zip(rows, votes, strict=True):
        row.update({f"annotator_{i}": vote for i, vote in enumerate(cast, 1)})
    data = read_preferences(rows, convention="one_two")
    assert data.y.tolist() == pytest.approx([2 / 3, 0, 0.75])
    assert list(data.columns) == ["idx"]
    assert data.columns["idx"].tolist() == ["a", "b", "a"]
    assert data.notes == [
        "Each label is the mean of the votes of a row: annotator_1, annotator_2, annotator_3.",
        'Votes were read as "one_two".',
    ]
    rows[1].update(annotator_1=None, annotator_2=None, annotator_3=None)
    with pytest.raises(
        ValueError, match=r"record 1 .*There is no value in annotator_1, annotator_2"
    ):
        read_preferences(rows, convention="one_two")


def test_numbers_for_each_response_are_no_votes():
    rows = labelled("response_1", "response_2", label="vote_1", words=(1, 2), vote_2=1)
    with pytest.raises(ValueError, match="vote_1 = 1 and vote_2 = 1, which can mean two things"):
        read_preferences(rows)


def test_votes_on_other_responses_in_one_file():
    rows = labelled("response_a", "response_b", label="votes", words=(["a"], ["b", "b"]))
    others = labelled("answer_1", "answer_2", label="votes", words=(["answer_1"], ["answer_2"]))
    data = read_preferences(rows + others)
    assert data.X.tolist() == [list(row) for row in ROWS * 2]
    assert data.y.tolist() == [1, 0, 1, 1, 0, 1]


def test_a_convention_without_labels_is_refused():
    with pytest.raises(ValueError, match=r'no column of labels.*leave out convention="one_two"'):
        read_preferences(oriented(), convention="one_two")


def test_a_label_goes_before_votes():
    rows = labelled("response_a", "response_b", votes=["a", "b", "b"])
    data = read_preferences(rows)
    assert data.y.tolist() == [1, 0, 1]
    assert list(data.columns) == ["votes"]


def test_scores_and_ranks_of_two_responses():
    rows = labelled("answer_1", "answer_2", label="score_1", words=(5, 2), score_2=3)
    assert read_preferences(rows).y.tolist() == [1, 0, 1]
    rows = labelled("answer_1", "answer_2", label="rank_1", words=("1", "3"), rank_2="2")
    assert read_preferences(rows).y.tolist() == [1, 0, 1]
    assert "of rank_1 and rank_2 the smaller" in read_preferences(rows).notes[0]
    rows[1]["rank_2"] = "x"
    with pytest.raises(ValueError, match="record 1 has rank_2 = 'x', which should be a number"):
        read_preferences(rows)
    rows = labelled("answer_1", "answer_2", label="score", words=([9, 1], [2, 7]))
    assert read_preferences(rows).y.tolist() == [1, 0, 1]
    rows[2]["score"] = [1]
    with pytest.raises(ValueError, match=r"record 2 has score = \[1\], which should be the two"):
        read_preferences(rows)


def test_counts_of_votes_are_shares():
    rows = labelled("answer_a", "answer_b", label="votes_a", words=(3, 0), votes_b=1)
    assert read_preferences(rows).y.tolist() == [0.75, 0, 0.75]
    ties = [{**row, "votes_tie": 2} for row in rows]
    assert read_preferences(ties).y.tolist() == pytest.approx([4 / 6, 1 / 3, 4 / 6])
    rows[0].update(votes_a=0, votes_b=0)
    with pytest.raises(ValueError, match="record 0 has votes_a = 0 and votes_b = 0"):
        read_preferences(rows)


def test_one_hot_labels():
    rows = labelled("answer_a", "answer_b", label="a_wins", words=(1, 0), b_wins=0, tie=0)
    rows[1].update(b_wins=1)
    rows[2].update(a_wins=0, tie=1)
    assert read_preferences(rows).y.tolist() == [1, 0, 0.5]
    rows[2].update(tie=0)
    with pytest.raises(ValueError, match=r"record 2.* one should be set, but none of them is"):
        read_preferences(rows)


def test_who_gave_a_label():
    rows = labelled("answer_a", "answer_b", worker_id="w1")
    rows[1]["worker_id"] = "w2"
    data = read_preferences(rows)
    assert data.annotator.tolist() == ["w1", "w2", "w1"]
    assert data.columns == {}
    assert "Each row is the label of one person or judge, whom worker_id names." in data.notes
    given = read_preferences(oriented(who="w1"), annotator="Who")
    assert given.annotator.tolist() == ["w1"] * 3


def test_chosen_and_rejected_with_a_label_are_one_kind():
    data = read_preferences(oriented(label=0, winner="model_b"))
    assert data.oriented.all()
    assert data.columns["label"].tolist() == [0, 0, 0]
    assert data.notes == [
        "chosen is the better response of every row; label and winner is not used."
    ]


PAIR = {"prompt": "p", "response_a": "x", "response_b": "y", "label": "a"}
REFUSED = {
    "two pairs": (
        {**PAIR, "answer_a": "u", "answer_b": "v"},
        "two kinds of preference: response_a and response_b with label, and answer_a and answer_b",
        ('response_a="response_a"', 'response_a="answer_a"'),
    ),
    "oriented and labelled": (
        {**PAIR, "chosen": "u", "rejected": "v"},
        "two kinds of preference: chosen and rejected, and response_a and response_b with label",
        ('chosen="chosen"', 'response_a="response_a"'),
    ),
    "two oriented": (
        {"chosen": "u", "rejected": "v", "full_text_chosen": "pu", "full_text_rejected": "pv"},
        "two kinds of preference: chosen and rejected, and full_text_chosen and full_text_rejected",
        ('chosen="chosen"', 'chosen="full_text_chosen"'),
    ),
    "two labels": (
        {**PAIR, "winner": "b"},
        "response_a and response_b with label, and response_a and response_b with winner",
        ('label="label"', 'label="winner"'),
    ),
    "three": (
        {"prompt": "p", "response_a": "x", "response_b": "y", "response_c": "z"},
        "3 responses, response_a, response_b, response_c, and nothing",
        ('response_a="response_a"', 'response_b="response_b"', 'label="NAME"'),
    ),
    "choosen": (
        {"prompt": "p", "choosen": "u", "rejected": "v"},
        "rejected and no chosen. Did you mean 'choosen'?",
        ('chosen="choosen"', 'rejected="rejected"'),
    ),
    "rejcted_response": (
        {"prompt": "p", "chosen_response": "u", "rejcted_response": "v"},
        "chosen_response and no rejected_response. Did you mean 'rejcted_response'?",
        ('chosen="chosen_response"', 'rejected="rejcted_response"'),
    ),
    "respnse_b": (
        {"prompt": "p", "response_a": "x", "respnse_b": "y", "label": "a"},
        "response_a and no response_b. Did you mean 'respnse_b'?",
        ('response_b="respnse_b"',),
    ),
    "lable": (
        {"prompt": "p", "response_a": "x", "response_b": "y", "lable": "a"},
        "no column that is known to say which is better. Did you mean 'lable'?",
        ('label="lable"',),
    ),
    "no label": (
        {"prompt": "p", "response_a": "x", "response_b": "y", "zeta": "a"},
        "no column that is known to say which is better. The others are ['prompt', 'zeta']",
        ('label="NAME"',),
    ),
    "no value": ({**PAIR, "label": None}, "record 0 has no value in label", ()),
    "no response": (
        {"prompt": "p", "chosen": "u", "rejected": None},
        "record 0 has no value in rejected",
        (),
    ),
    "one response": (
        {"prompt": "p", "chosen": "u", "other": "v"},
        "chosen and no rejected. It has ['prompt', 'chosen', 'other']",
        ('rejected="NAME"',),
    ),
    "a step and the whole": (
        {"prompt": "p", "chosen": "u", "rejected": "v", "full_chosen": "pu", "full_rejected": "pv"},
        "two kinds of preference: chosen and rejected, and full_chosen and full_rejected",
        ('chosen="chosen"', 'chosen="full_chosen"'),
    ),
    "numbers": (
        {**PAIR, "response_b": 4},
        "record 0 should have text or messages as response_b, got a int: 4",
        ('response_a="NAME"', 'response_b="NAME"'),
    ),
    "lists of different lengths": (
        {"prompt": '["p", "q"]', "response_a": '["x", "y"]', "response_b": '["z"]', "label": "a"},
        "lists of different lengths, 2 as prompt, 2 as response_a, 1 as response_b",
        (),
    ),
    "nothing": (
        {"x": 1, "y": 2},
        "record 0 has no preference. It has ['x', 'y']",
        ('chosen="NAME"', 'rejected="NAME"'),
    ),
}


@pytest.mark.parametrize(("row", "said", "remedies"), REFUSED.values(), ids=REFUSED)
def test_rows_that_are_refused_say_the_remedy(row, said, remedies):
    with pytest.raises(ValueError, match=re.escape(said)) as caught:
        read_preferences([row])
    for remedy in remedies:
        assert remedy in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=re.escape(said)) as caught:
        read_given([row], Given(command=True), "pairs.csv")
    assert str(caught.value).startswith("pairs.csv: list, record 0 ")
    for remedy in remedies:
        role, name = remedy.removesuffix('"').split('="')
        assert f"--{role.replace('_', '-')} {name}" in str(caught.value)


NAMELESS = [{"ask": p, "nice": a, "nasty": b, "said": "AB"[i % 2]}
            for i, (p, a, b) in enumerate(ROWS)]  # fmt: skip


def test_names_that_a_caller_gives():
    data = read_preferences(NAMELESS, prompt="ASK", chosen="Nice", rejected="nasty")
    assert data.X[:, 0].tolist() == [row[0] for row in ROWS]
    assert data.y.tolist() == [1, 0, 1]
    assert list(data.columns) == ["said"]
    data = read_preferences(NAMELESS, response_a="nice", response_b="nasty", label="said")
    assert data.y.tolist() == [1, 0, 1]
    assert data.groups.tolist() == [0, 1, 2]
    swapped = read_preferences(NAMELESS, chosen="nasty", rejected="nice")
    assert swapped.X[0].tolist() == ["", "Five it is.", "It is four."]


def test_the_rest_of_a_form_is_found():
    rows = oriented("foo_chosen_x", "foo_rejected_x")
    for given in ({"chosen": "foo_chosen_x"}, {"rejected": "foo_rejected_x"}):
        data = read_preferences(rows, **given)
        assert data.X[0].tolist() == list(ROWS[0])
    rows = labelled("foo_1", "foo_2", label="winner", words=("foo_1", "foo_2"))
    for given in ({"response_a": "foo_1"}, {"response_b": "foo_2"}):
        assert read_preferences(rows, **given).y.tolist() == [1, 0, 1]
    turned = read_preferences(rows, response_b="foo_1")
    assert turned.X[0, 1:].tolist() == ["Five it is.", "It is four."]
    assert turned.y.tolist() == [0, 1, 0]
    turned = read_preferences(oriented(), rejected="chosen")
    assert turned.X[0, 1:].tolist() == ["Five it is.", "It is four."]
    rows = labelled("response_a", "response_b", label="said")
    assert read_preferences(rows, label="Said").y.tolist() == [1, 0, 1]
    both = [{**PAIR, "answer_a": "u", "answer_b": "v"}]
    assert read_preferences(both, response_a="answer_a").X.tolist() == [["p", "u", "v"]]


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"chosen": "nice"}, 'no column that is known to be rejected.*rejected="NAME"'),
        ({"response_a": "nice", "response_b": "nasty"}, r"The others are \['ask', 'said'\]"),
        ({"chosen": "nice", "label": "said"}, 'chosen="nice" and label="said" do not go together'),
        ({"chosen": "nice", "rejected": "nice"}, 'chosen="nice" and rejected="nice" name one'),
        ({"prompt": "aks"}, "no column 'aks', which prompt=\"aks\" names. Did you mean 'ask'"),
        ({"label": "said"}, "known to be response_a or response_b"),
    ],
)
def test_names_that_do_not_do_are_refused(given, match):
    with pytest.raises(ValueError, match=match):
        read_preferences(NAMELESS, **given)


def test_a_label_for_chosen_and_rejected_is_refused():
    with pytest.raises(ValueError, match='so that chosen is the better response and label="x" has'):
        read_preferences(oriented(x=1), label="x")


def test_named_columns_without_a_value_say_so():
    rows = [dict(row) for row in NAMELESS]
    rows[1]["nasty"] = None
    with pytest.raises(ValueError, match="record 1 has no nasty, which the rows before have"):
        read_preferences(rows, chosen="nice", rejected="nasty")
    with pytest.raises(ValueError, match='record 0 has no value in nasty, which rejected="nasty"'):
        read_preferences(rows[1:], chosen="nice", rejected="nasty")


@pytest.mark.parametrize(
    ("rows", "remedy"),
    [
        (labelled("respuesta_a", "respuesta_b"), 'response_a="respuesta_a" and response_b='),
        (oriented("respuesta buena good", "respuesta buena bad"), 'chosen="respuesta buena good"'),
        (labelled("question_1", "question_2"), 'response_a="question_1" and response_b='),
    ],
)
def test_pairs_of_unknown_names_are_suggested(rows, remedy):
    with pytest.raises(ValueError, match="no columns that are known to hold two resp") as caught:
        read_preferences(rows)
    assert remedy in str(caught.value)


@pytest.mark.parametrize("blank", ['{"chosen": null}\n', '{"prompt": null, "chosen": " "}\n'])
def test_rows_without_any_value_are_left_out_and_counted(blank, tmp_path):
    path = tmp_path / "data"
    row = '{"prompt": "Ask", "chosen": "Yes.", "rejected": "No."}\n'
    for content in ("prompt,chosen,rejected\nAsk,Yes.,No.\n,,\n , ,\n", row + blank * 2):
        path.write_text(content)
        data = read_preferences(path)
        assert (data.n, data.n_rows) == (1, 1)
        first = content.count("\n") - 1
        assert f"2 rows without any value, left out: line {first}, line {first + 1}." in data.notes
        assert read_mixed(str(path), Given(command=True)).pairs.notes == data.notes
    path.write_text("prompt,chosen,rejected\n,,\n")
    with pytest.raises(ValueError, match="no record"):
        read_preferences(path)


def test_empty_responses_are_counted(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("prompt,chosen,rejected\nAsk,Yes.,\nTell,No.,Perhaps.\n" + "More,, \n" * 3)
    assert read_preferences(path).notes == [
        "4 pairs with an empty response: line 2, line 4, line 5, ..."
    ]


def test_conventions_in_python_are_those_of_the_command_line():
    texts = {"prompt": "Ask", "response_a": "Yes.", "response_b": "No."}
    rows = [texts | {"winner": number} for number in (1, 2, 0)]
    spelled = ("1=a,2=b,0=tie", {"1": "a", "2": " B", "0": "tie"}, {1: 1, 2: 0, 0: 0.5})
    for convention in spelled:
        assert read_preferences(rows, convention=convention).y.tolist() == [1, 0, 0.5]
    assert read_preferences(rows, convention="scale_2_0").y.tolist() == [0.5, 1, 0]
    assert read_preferences(rows[:1], convention="probability").y.tolist() == [1]
    assert read_preferences(rows, convention="strength_second").y.tolist() == [0, 0, 0.5]
    with pytest.raises(ValueError, match=r'convention="probabilty" is no .*mean probability\?'):
        read_preferences(rows, convention="probabilty")
    with pytest.raises(ValueError, match=r'convention="1=x" has .x. as a meaning'):
        read_preferences(rows, convention="1=x")
    with pytest.raises(ValueError, match="'lower' is of scores"):
        read_preferences(rows, convention="lower")


TEXTS = {"prompt": "Ask", "response_a": "Yes.", "response_b": "No."}


def scored(column, *values):
    """Return rows of two responses with a column for each."""
    names = [column.format(side) for side in "ab"]
    return [TEXTS | dict(zip(names, pair, strict=True)) for pair in values]


@pytest.mark.parametrize(
    ("column", "words"),
    [("loser", ("B", "A", "tie")), ("worse", ("response_b", "response_a", "Tie")),
     ("worse_id", (2, 1, "tie")), ("losing model", ("model_b", "model_a", "both")),
     ("loser_index", ("1", "0", "tie"))],
)  # fmt: skip
def test_a_label_that_names_the_worse_response(column, words):
    data = read_preferences([TEXTS | {column: word} for word in words], label=column)
    assert data.y.tolist() == [1, 0, 0.5]


@pytest.mark.parametrize("column", ["helpful_{}", "votes for {}", "{} score", "model_{}_fluency"])
@pytest.mark.parametrize("side", ["a", "b"])
def test_what_is_said_of_one_response_is_compared_with_the_other(column, side):
    rows = scored(column, (3, 1), (0, 2), (1, 1))
    data = read_preferences(rows, label=column.format(side))
    assert ((data.y > 0.5).tolist(), data.y[2]) == ([True, False, False], 0.5)
    assert any("share of" in note or "the greater belongs" in note for note in data.notes)


def test_faults_of_both_responses_need_a_direction():
    rows = scored("error_{}", (3, 1), (0, 2))
    with pytest.raises(ValueError, match=r'error_b, which seems .*convention="lower"'):
        read_preferences(rows, label="error_b")
    assert read_preferences(rows, label="error_b", convention="lower").y.tolist() == [0, 1]
    assert read_preferences(rows, label="error_a", convention="higher").y.tolist() == [1, 0]
    rows = scored("score_{}", (3, 1), (0, 2))
    assert read_preferences(rows).y.tolist() == [1, 0]
    assert read_preferences(rows, convention="lower").y.tolist() == [0, 1]
    with pytest.raises(ValueError, match="helpful_a = 'good', which should be a number"):
        read_preferences(scored("helpful_{}", ("good", "bad")), label="helpful_a")


@pytest.mark.parametrize("rest", [{}, {"score": 3, "prompt": "Who?"}])
def test_a_label_that_names_a_column_says_how_to_read_it(rest):
    row = {"gpt": "an owl", "llama": "a crow", "winner": "llama", **rest}
    with pytest.raises(ValueError, match=r"winner = 'llama', which is the name of") as caught:
        read_preferences([row])
    given = dict(part.split("=") for part in re.findall(r'\w+="\w+"', str(caught.value)))
    named = {role: name.strip('"') for role, name in given.items()}
    assert named == {"response_a": "llama", "response_b": "gpt", "label": "winner"}
    data = read_preferences([row], **named)
    assert (data.X[0, 1:].tolist(), data.y.tolist()) == (["a crow", "an owl"], [1.0])


@pytest.mark.parametrize("name", ["swapped", "is_flipped", "order_reversed"])
def test_columns_that_may_turn_labels_are_told(name):
    row = {"prompt": "p", "response_a": "x", "response_b": "y", "winner": "a", name: True}
    assert any(
        note.startswith(f"{name} is not read: if it says") for note in read_preferences([row]).notes
    )
    oriented = {"prompt": "p", "chosen": "x", "rejected": "y", name: True}
    assert read_preferences([oriented]).notes == []
