import csv
import io
import json
from collections import Counter

import numpy as np
import pytest
from ranked_layouts import PAIRS, WRITERS, as_set, read

from sklearn_codex._layouts.ranking import MOST_RESPONSES

WANTED = sorted((*pair, 1.0) for pair in PAIRS)


def as_csv(rows, write=json.dumps):
    """Return rows as a file of commas has them: lists and dicts written as text."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [
        {k: write(v) if isinstance(v, (list, dict)) else v for k, v in row.items()} for row in rows
    ]
    file = io.StringIO()
    writer = csv.DictWriter(file, names)
    writer.writeheader()
    writer.writerows(cells)
    return list(csv.DictReader(io.StringIO(file.getvalue())))


def as_arrays(value):
    """Return a value as Parquet gives it: arrays, and dicts with all keys."""
    if isinstance(value, list):
        found = np.empty(len(value), dtype=object)
        for position, entry in enumerate(value):
            found[position] = as_arrays(entry)
        return found
    if isinstance(value, dict):
        return {key: as_arrays(entry) for key, entry in value.items()} | {"unused": None}
    return value


@pytest.mark.parametrize("name", WRITERS)
def test_layouts_hold_the_same_pairs(name):
    data = read(WRITERS[name](PAIRS))
    assert as_set(data) == WANTED
    # Two numbered columns say which response was the first.
    assert data.oriented.all() == (not name.startswith("numbered"))
    assert set(data.y) == {0.0, 1.0}


@pytest.mark.parametrize("name", WRITERS)
def test_layouts_are_named(name):
    if not name.startswith("numbered"):
        assert read(WRITERS[name](PAIRS)).layout.startswith(name)


@pytest.mark.parametrize("write", [json.dumps, repr])
@pytest.mark.parametrize("name", WRITERS)
def test_layouts_hold_the_same_pairs_in_cells_of_text(name, write):
    if name == "lists of texts in chosen and rejected":  # or one response in brackets each
        with pytest.raises(ValueError, match="can mean two things: one response in a list"):
            read(as_csv(WRITERS[name](PAIRS), write))
        return
    assert as_set(read(as_csv(WRITERS[name](PAIRS), write))) == WANTED


@pytest.mark.parametrize("name", WRITERS)
def test_layouts_hold_the_same_pairs_in_arrays(name):
    rows = [{k: as_arrays(v) for k, v in row.items()} for row in WRITERS[name](PAIRS)]
    assert as_set(read(rows)) == WANTED


@pytest.mark.parametrize("name", WRITERS)
def test_other_columns_and_other_cases_do_not_matter(name):
    rows = WRITERS[name](PAIRS)
    rows = [{k.title(): v for k, v in row.items()} | {"topic": "t"} for row in rows]
    data = read(rows)
    assert as_set(data) == WANTED
    assert data.columns["topic"].tolist() == ["t"] * len(PAIRS)


ROWS_OF_FOUR = {
    "items": {
        "answers": [
            {"answer": "a", "rank": 2},
            {"answer": "b", "rank": 1},
            {"answer": "c", "rank": 3},
            {"answer": "d", "rank": 3},
        ]
    },
    "parallel": {"responses": list("abcd"), "ratings": [4, 5, 1, 1]},
    "numbered": {f"response_{number}": text for number, text in enumerate("abcd")}
    | {f"score_{number}": score for number, score in enumerate((4, 5, 1, 1))},
}


@pytest.mark.parametrize("row", ROWS_OF_FOUR.values(), ids=ROWS_OF_FOUR)
def test_a_ranking_becomes_its_pairs_which_weigh_one_together(row):
    data = read([{"prompt": "p"} | row, {"prompt": "q"} | row])
    assert data.n == 12
    assert data.n_rows == 2
    assert data.sample_weight.sum() == pytest.approx(2)
    assert Counter(data.y[data.y == 0.5]) == {0.5: 2}
    better = {(a, b) for _, a, b, _ in as_set(data)}
    assert better == {("b", "a"), ("b", "c"), ("b", "d"), ("a", "c"), ("a", "d")}
    assert "2 rows of 4 responses became 12 pairs; those of one row weigh 1 together." in data.notes
    assert "Ties, of equal ratings: 2 pairs." in data.notes


def test_responses_without_a_rating_are_counted():
    rows = [
        {"prompt": "p", "responses": ["a", "b", "c"], "ratings": [1, None, 2]},
        {"prompt": "q", "responses": ["a", "b"], "ratings": ["N/A", 3]},
    ]
    data = read(rows)
    assert as_set(data) == [("p", "c", "a", 1.0)]
    assert "Left out, without a rating: 2 responses." in data.notes
    assert "Without two responses to compare, so without a pair: 1 row." in data.notes


def test_rows_with_other_columns_are_counted_together():
    rows = [
        {"prompt": "p", "responses": ["a", "b", "c"], "ratings": [1, 3, 2], "note": None},
        {"prompt": "q", "responses": ["a", "b", "c"], "ratings": [1, 3, 2], "note": "n"},
    ]
    notes = read(rows).notes
    assert notes.count("Of ratings the greatest is the best.") == 1
    assert "2 rows of 3 responses became 6 pairs; those of one row weigh 1 together." in notes


def ultrafeedback_row(*scores):
    completions = [
        {
            "response": text,
            "overall_score": overall,
            "annotations": {"honesty": {"Rating": f"{one}"}, "helpfulness": {"Rating": f"{two}"}},
        }
        for text, overall, one, two in zip("abc", *scores, strict=False)
    ]
    return {"instruction": "p", "completions": completions}


@pytest.mark.parametrize(
    ("label", "best"),
    [
        (None, "b"),
        ("completions.overall_score", "a"),
        ("completions.honesty", "c"),
        ("Completions.helpfulness", "b"),
    ],
)
def test_ultrafeedback_takes_the_mean_of_the_aspects_or_what_is_asked_for(label, best):
    data = read([ultrafeedback_row((9, 1, 2), (1, 2, 4), (2, 5, 1))], label=label)
    wins = Counter(a for _, a, b, _ in as_set(data))
    assert wins.most_common(1)[0] == (best, 2)
    assert any("overall_score" in note for note in data.notes)


def test_ultrafeedback_is_read_by_one_scale_a_row():
    rows = [
        {"instruction": "p", "completions": [
            {"response": "a", "overall_score": 9},
            {"response": "b", "fine-grained_score": 2.0},
            {"response": "c", "fine-grained_score": 3.0},
        ]},
        {"instruction": "q", "completions": [
            {"response": "a", "overall_score": 9},
            {"response": "b", "overall_score": 1},
        ]},
    ]  # fmt: skip
    data = read(rows)
    assert as_set(data) == [("p", "c", "b", 1.0), ("q", "a", "b", 1.0)]
    assert "Left out, without a rating: 1 response." in data.notes
    assert "Read by overall_score, for want of another: 1 row." in data.notes


def test_a_score_that_is_asked_for_in_vain_is_refused():
    with pytest.raises(ValueError, match=r"line 1 has nothing that says which response in compl"):
        read([ultrafeedback_row((9, 1, 2), (1, 2, 4), (2, 5, 1))], label="completions.charm")


def test_two_scores_are_an_error_that_names_both():
    answers = [{"text": text, "score": 1, "reward": 2} for text in "ab"]
    with pytest.raises(ValueError, match=r'label="answers.score" or label="answers.reward"'):
        read([{"prompt": "p", "answers": answers}])
    row = {"prompt": "p", "answers": ["a", "b"], "scores": [1, 2], "rewards": [1, 2]}
    with pytest.raises(ValueError, match=r"--label scores or --label rewards"):
        read([row], command=True)


def test_one_of_two_scores_can_be_asked_for():
    row = {"prompt": "p", "answers": ["a", "b"], "scores": [1, 2], "rewards": [2, 1]}
    assert as_set(read([row], label="rewards")) == [("p", "a", "b", 1.0)]
    assert as_set(read([row], label="scores")) == [("p", "b", "a", 1.0)]


def test_lists_of_unequal_length_are_refused():
    row = {"prompt": "p", "responses": ["a", "b", "c"], "ratings": [1, 2]}
    with pytest.raises(ValueError, match="line 1 has 3 in responses and 2 in ratings"):
        read([row])


def test_what_is_no_number_is_refused():
    row = {"prompt": "p", "answers": [{"text": "a", "score": "good"}, {"text": "b", "score": 1}]}
    with pytest.raises(ValueError, match=r"line 1 has answers\[0\].score = 'good'.*no number"):
        read([row])


def test_too_many_responses_are_refused_with_their_number():
    texts = [str(number) for number in range(MOST_RESPONSES + 1)]
    with pytest.raises(ValueError, match="201 responses of one prompt, 20,100 pairs"):
        read([{"prompt": "p", "responses": texts, "scores": list(range(len(texts)))}])


def test_responses_by_model_are_matched_by_model():
    row = {"prompt": "p", "responses": {"m": "a", "k": "b"}, "scores": {"k": 1, "m": 0}}
    assert as_set(read([row])) == [("p", "b", "a", 1.0)]


def test_a_list_for_each_key_is_a_list_of_responses():
    answers = {"text": ["a", "b"], "score": [1, 5], "a_id": ["x", "y"]}
    data = read([{"title": "Why?", "selftext": "", "answers": answers}])
    assert data.layout == "ELI5"
    assert as_set(data) == [("Why?", "b", "a", 1.0)]


def test_each_better_text_is_paired_with_each_worse_one():
    row = {"prompt": "p", "chosen": ["a", "A"], "rejected": ["b", "c", "d"]}
    data = read([row])
    assert {(a, b) for _, a, b, _ in as_set(data)} == {(a, b) for a in "aA" for b in "bcd"}
    assert data.sample_weight.sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("more", "n", "name"),
    [
        ({"num_correct": 1, "total_completions": 4, "subset": "s", "id": "1"}, 1, "reward-bench 2"),
        ({"domain": "chat", "id": 1}, 3, "RM-Bench"),
    ],
)
def test_benchmarks_of_lists_have_their_names(more, n, name):
    row = {"prompt": "p", "chosen": list("abc"[:n]), "rejected": list("xyz")} | more
    assert read([row]).layout == name


def test_a_list_of_messages_is_one_response():
    say = lambda text: [{"role": "assistant", "content": text}]  # noqa: E731
    data = read([{"prompt": "p", "chosen": say("a"), "rejected": say("b")}])
    assert as_set(data) == [("p", "a", "b", 1.0)]
    rows = [{"prompt": "p", "chosen": [say("a")], "rejected": [say("b"), say("c")]}]
    assert as_set(read(rows)) == [("p", "a", "b", 0.5), ("p", "a", "c", 0.5)]


def test_an_answer_in_json_beside_text_stays_text():
    data = read([{"prompt": "p", "chosen": '["a"]', "rejected": "none"}])
    assert as_set(data) == [("p", '["a"]', "none", 1.0)]


BEST = {
    "from 0": ([2, 0], "abc", ["c", "a"]),
    "from 1": ([3, 1], "abc", ["c", "a"]),
    "letters": (["B", "c"], "abc", ["b", "c"]),
    "texts": (["yes", "no"], ["yes", "no", "so"], ["yes", "no"]),
}


@pytest.mark.parametrize("case", BEST)
def test_the_best_is_paired_with_each_other_one(case):
    labels, texts, best = BEST[case]
    rows = [{"prompt": f"p{k}", "responses": list(texts), "best": v} for k, v in enumerate(labels)]
    data = read(rows)
    assert data.n == 4
    assert data.sample_weight.tolist() == [0.5] * 4
    assert [a for _, a, _, _ in as_set(data)] == [best[0]] * 2 + [best[1]] * 2


def test_a_number_that_may_count_from_0_or_from_1_is_an_error_with_both_readings():
    rows = [{"prompt": "p", "responses": ["a", "b", "c"], "best_index": k} for k in (1, 2)]
    with pytest.raises(
        ValueError, match=r"line 1 has best_index = 1, which is responses\[1\] .* responses\[0\]"
    ):
        read(rows)
    assert {a for _, a, _, _ in as_set(read(rows, convention="index"))} == {"b", "c"}
    assert {a for _, a, _, _ in as_set(read(rows, convention="one_two"))} == {"a", "b"}


def test_numbers_that_count_from_0_and_from_1_are_an_error_with_both_rows():
    rows = [{"prompt": "p", "responses": ["a", "b", "c"], "best_index": k} for k in (0, 3)]
    with pytest.raises(ValueError, match=r"line 1 has best_index = 0.*line 2 has best_index = 3"):
        read(rows)


def test_the_best_of_numbered_columns():
    row = {"prompt": "p", "response_a": "x", "response_b": "y", "response_c": "z", "winner": "b"}
    assert {(a, b) for _, a, b, _ in as_set(read([row]))} == {("y", "x"), ("y", "z")}


def test_an_unknown_best_is_refused():
    row = {"prompt": "p", "responses": ["a", "b", "c"], "best": "Q"}
    with pytest.raises(ValueError, match="line 1 has best = 'Q', which is none of its 3 responses"):
        read([row])


def test_labels_of_two_responses_in_a_list_are_read_as_labels_of_columns():
    rows = [{"prompt": "p", "responses": ["a", "b"], "label": label} for label in ("A", "tie")]
    data = read(rows)
    assert data.y.tolist() == [1.0, 0.5]
    assert not data.oriented.any()
    with pytest.raises(ValueError, match="label = 1 can mean two things"):
        read([{"prompt": "p", "responses": ["a", "b"], "label": 1}])


def test_llama_factory_has_the_better_output_first():
    data = read([{"instruction": "p", "input": "", "output": ["a", "b"]}])
    assert as_set(data) == [("p", "a", "b", 1.0)]


@pytest.mark.parametrize(
    ("row", "pairs"),
    [
        ({"winner": "x", "losers": ["y", "z"]}, {("x", "y"), ("x", "z")}),
        ({"best_response": "x", "other_responses": ["y", "z"]}, {("x", "y"), ("x", "z")}),
        ({"positives": ["x", "y"], "negatives": ["z"]}, {("x", "z"), ("y", "z")}),
        ({"foo": ["x", "y"], "human_scores": [2, 1]}, {("x", "y")}),
        ({"responses": "['x' 'y']", "ratings": "[1. 2.]"}, {("y", "x")}),
        ({"responses": {"m": "x", "k": "y"}, "ranking": ["k", "m"]}, {("y", "x")}),
        ({"m": "x", "k": "y", "ranking": ["k", "m"]}, {("y", "x")}),
        (
            {"responses": [{"role": "assistant", "content": c} for c in "xy"], "scores": [1, 2]},
            {("y", "x")},
        ),
        (
            {
                "candidates": [
                    {"text": c, "scores": {"overall": v}} for c, v in (("x", 1), ("y", 2))
                ]
            },
            {("y", "x")},
        ),
    ],
)
def test_layouts_that_are_not_named(row, pairs):
    assert {(a, b) for _, a, b, _ in as_set(read([{"prompt": "p"} | row]))} == pairs


def test_answers_to_compare_with_are_not_the_pair():
    row = ultrafeedback_row((1, 2), (3, 4), (3, 4))
    row |= {"correct_answers": ["None"], "incorrect_answers": ["None"]}
    data = read([row])
    assert as_set(data) == [("p", "b", "a", 1.0)]
    assert data.columns["correct_answers"].tolist() == [["None"]]


@pytest.mark.parametrize(
    "row",
    [
        {"responses": ["x", "y"]},
        {"responses": ["x", "y"], "toxicity_scores": [1, 2]},
        {"answers": [{"text": "x"}, {"text": "y"}]},
        {"answers": [{"text": "x", "complexity": 1}, {"text": "y", "complexity": 2}]},
    ],
)
def test_responses_of_which_nothing_says_which_is_better_are_refused(row):
    with pytest.raises(ValueError, match=r"line 1 has 2 responses in \w+, and nothing that says"):
        read([{"prompt": "p"} | row])


@pytest.mark.parametrize(
    ("better", "worse", "pointers"),
    [
        (0, 1, ("chosen", "rejected")),
        ("0", "1", ("chosen", "rejected")),
        (1.0, 0.0, ("chosen", "rejected")),
        ("2", "0", ("chosen_idx", "rejected_idx")),
        (1, 3, ("chosen_id", "rejected_id")),
        ("A", "B", ("best", "worst")),
        ("response_c", "Response A", ("winner", "loser")),
    ],
)
def test_chosen_and_rejected_may_name_responses(better, worse, pointers):
    names, texts = ("response_a", "response_b", "response_c"), ("One.", "Two.", "Three.")
    rows = [{"prompt": "p", **dict(zip(names, texts, strict=True))}]
    if not isinstance(better, str) or better.isdecimal():
        rows.append({"prompt": "p", "responses": list(texts)})
    base = 1 if 3 in (better, worse) else 0
    places = {"A": 0, "B": 1, "response_c": 2, "Response A": 0}
    at = [places.get(said, int(said) - base if said not in places else 0)
          for said in (better, worse)]  # fmt: skip
    for row in rows:
        data = read([row | dict(zip(pointers, (better, worse), strict=True))])
        assert as_set(data) == [("p", texts[at[0]], texts[at[1]], 1.0)]
        assert not data.oriented.any()
        assert f"{pointers[0]} and {pointers[1]} say which" in data.notes[0]


def test_numbers_that_count_from_nothing_known_or_are_texts_are_told():
    row = {"prompt": "p", "responses": ["One.", "Two.", "Three."]}
    pointed = row | {"chosen": 1, "rejected": 2}
    with pytest.raises(ValueError, match=r"counted from 0 and .* counted from 1"):
        read([pointed])
    for convention, expected in (("index", ("Two.", "Three.")), ("one_two", ("One.", "Two."))):
        assert as_set(read([pointed], convention=convention)) == [("p", *expected, 1.0)]
    with pytest.raises(ValueError, match="which is one response"):
        read([row | {"chosen": 0, "rejected": 0}])
    numbers = {"prompt": "p", "responses": ["4", "1", "0"], "chosen": "0", "rejected": "1"}
    with pytest.raises(ValueError, match=r"can be the text '0', or the number of responses\[0\]"):
        read([numbers])
    assert as_set(read([numbers], chosen="chosen", rejected="rejected")) == [("p", "0", "1", 1.0)]
    texts = {"prompt": "p", "response_a": "One.", "response_b": "Two."}
    assert as_set(read([texts | {"chosen": "One.", "rejected": "Two."}])) == [
        ("p", "One.", "Two.", 1.0)
    ]
