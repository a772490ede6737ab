"""What files of a known layout usually mean by their labels, and labels that say otherwise."""

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
