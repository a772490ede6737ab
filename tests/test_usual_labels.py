"""What files of a known layout usually mean by their labels, and labels that say otherwise."""

import pytest

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
        with pytest.raises(ValueError, match='can mean two things.*"index".*"probability"'):
            read_preferences(rows_of(column, values, **{prompt: "p"}))
    assert read_preferences(rows_of(column, (1, 2), **{prompt: "p"})).y.tolist() == [1, 0]
    assert read_preferences(rows_of(column, (0, 2), **{prompt: "p"})).y.tolist() == [0.5, 0]


@pytest.mark.parametrize("column", ["preference_strength", "overall_preference"])
def test_strengths_that_could_be_numbers_of_responses_are_refused(column):
    """All-positive strengths of 1 and 2 are shown in both readings."""
    rows = [{"prompt": "p", "response_a": "u", "response_b": "v", column: n} for n in (1, 2)]
    with pytest.raises(ValueError, match='two things.*"one_two".*"strength'):
        read_preferences(rows)
    assert read_preferences(rows, label=column, convention={1: 1, 2: 0}).y.tolist() == [1, 0]
