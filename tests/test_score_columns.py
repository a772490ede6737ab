"""Scores as labels, and scores beside labels: whether they agree."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklearn_codex._labels.scores import (
    as_scores,
    compare_scores,
    find_score_columns,
    resolve_scores,
    words_of,
)

LETTERS = ("response_a", "response_b")
FROM_1 = ("output_1", "output_2")
ORIENTED = ("chosen", "rejected")


def line(row):
    return f"line {row + 2}"


def find(names, responses):
    return find_score_columns(names, *responses, oriented=responses == ORIENTED)


def compare(columns, probability, responses):
    first, second = responses
    oriented = responses == ORIENTED
    return compare_scores(columns, probability, first=first, second=second, oriented=oriented)


def test_the_greater_score_is_better():
    resolved = resolve_scores([1, "2.0", -1], [2, 2, -3], line, columns=("s1", "s2"))
    assert resolved.probability.tolist() == [0, 0.5, 1]
    assert (resolved.weight, resolved.convention) == (None, "scores")
    assert resolved.read_as == "the greater of s1 and s2 is better, equal ones are a tie"


@given(st.lists(st.tuples(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9)), min_size=1))
def test_scores_that_change_place_change_the_label(scores):
    one, other = map(list, zip(*scores, strict=True))
    there, back = resolve_scores(one, other, line), resolve_scores(other, one, line)
    np.testing.assert_array_equal(there.probability, 1 - back.probability)
    assert (there.probability[np.greater(one, other)] == 1).all()


@pytest.mark.parametrize("value", [None, "", "high", float("nan"), float("inf"), [1]])
def test_scores_that_are_no_numbers(value):
    with pytest.raises(ValueError, match=r"line 3: rating_b = .* is no number, but the better"):
        resolve_scores([1, 2], [2, value], line, columns=("rating_a", "rating_b"))


def test_values_as_scores():
    values = [1, "2.5", True, None, "x", [1], np.float32(0.5), 10**400]
    expected = [1, 2.5, 1, np.nan, np.nan, np.nan, 0.5, np.inf]
    np.testing.assert_array_equal(as_scores(values), expected)


@pytest.mark.parametrize(
    ("names", "responses", "expected"),
    [
        (["score_chosen", "score_rejected"], ORIENTED, [("score_chosen", "score_rejected", False)]),
        (["rejected_score", "chosen_score"], ORIENTED, [("chosen_score", "rejected_score", False)]),
        (["chosen-rating", "x", "rejected-rating"], ORIENTED,
         [("chosen-rating", "rejected-rating", False)]),
        (["chosen_avg_rating", "rejected_avg_rating"], ORIENTED,
         [("chosen_avg_rating", "rejected_avg_rating", False)]),
        (["reward_w", "reward_l"], ORIENTED, [("reward_w", "reward_l", False)]),
        (["rewardChosen", "rewardRejected"], ORIENTED, [("rewardChosen", "rewardRejected", False)]),
        (["chosen_score", "reject_score"], LETTERS, [("chosen_score", "reject_score", False)]),
        (["margin"], ORIENTED, [("margin", None, False)]),
        (["score_diff", "time_diff"], ORIENTED, [("score_diff", None, False)]),
        (["score_A", "score_B"], LETTERS, [("score_A", "score_B", True)]),
        (["b_rating", "a_rating"], LETTERS, [("a_rating", "b_rating", True)]),
        (["model_a_score", "model_b_score"], FROM_1, [("model_a_score", "model_b_score", True)]),
        (["rating_2", "rating_1"], FROM_1, [("rating_1", "rating_2", True)]),
        (["score_b", "score_a"], LETTERS[::-1], [("score_b", "score_a", True)]),
        # What does not belong to the two responses, or is no score.
        (["rating_1", "rating_2", "rating_3"], FROM_1, []),
        (["rating_1", "rating_2"], LETTERS, []),
        (["score_a", "score_b"], ORIENTED, []),
        (["margin"], LETTERS, []),
        (["tokens_chosen", "tokens_rejected"], ORIENTED, []),
        (["chosen_id", "rejected_id"], ORIENTED, []),
        (["loss_score_chosen", "loss_score_rejected"], ORIENTED, []),
        (["score_chosen", "rating_rejected"], ORIENTED, []),
        (["score"], ORIENTED, []),
    ],
)  # fmt: skip
def test_which_columns_are_scores(names, responses, expected):
    assert find(names, responses) == expected


def test_scores_under_the_names_that_the_responses_have():
    found = find_score_columns(["score_good", "score_bad"], "good", "bad", oriented=True)
    assert found == [("score_good", "score_bad", False)]


@pytest.mark.parametrize("layout", ["oriented", "labelled", "margin"])
@pytest.mark.parametrize("write", [float, str])
def test_planted_contradictions_are_counted(layout, write):
    rng = np.random.RandomState(0)
    n = 1200
    planted = np.sort(rng.choice(n, n // 4, replace=False))
    low, high = rng.uniform(size=n), rng.uniform(1, 2, size=n)
    low[planted], high[planted] = high[planted], low[planted]
    probability = rng.randint(2, size=n).astype(float)
    if layout == "oriented":
        columns = {"score_chosen": list(map(write, high)), "score_rejected": list(map(write, low))}
        (finding,) = compare(columns, np.ones(n), ORIENTED)
        fact = "score_chosen is lower than score_rejected"
    elif layout == "labelled":
        first = np.where(probability == 1, high, low)
        columns = {
            "score_a": list(map(write, first)),
            "score_b": list(map(write, high + low - first)),
        }
        (finding,) = compare(columns, probability, LETTERS)
        fact = "the preferred response has the lower of score_a and score_b"
    else:
        (finding,) = compare({"margin": list(map(write, high - low))}, np.ones(n), ORIENTED)
        fact = "margin is negative"
    assert finding.contradicting.tolist() == planted.tolist()
    assert (finding.n_compared, finding.n_equal) == (n, 0)
    assert words_of(finding, line) == f"{fact} in 25 % of 1,200 pairs (first: {line(planted[0])})"


def test_only_pairs_with_a_preference_and_both_scores_are_compared():
    columns = {"score_a": [1, 1, None, 1, "x", 2], "score_b": [2, 2, 2, 1, 2, 1]}
    probability = np.array([1, 0.5, 1, 0.9, 1, 0.7])
    (finding,) = compare(columns, probability, LETTERS)
    assert (finding.n_compared, finding.n_equal) == (3, 1)
    assert finding.contradicting.tolist() == [0]
    assert words_of(finding, line).endswith("in 33 % of 3 pairs (first: line 2)")


@pytest.mark.parametrize("empty", [{}, {"score_a": [None], "score_b": [1]}, {"margin": ["x"]}])
def test_nothing_to_compare(empty):
    assert compare(empty, np.ones(1), LETTERS) == []
    assert compare(empty, np.ones(1), ORIENTED) == []


def test_few_and_no_contradictions_in_words():
    margins = np.ones(1000)
    (finding,) = compare({"margin": margins}, np.ones(1000), ORIENTED)
    assert words_of(finding, line) == "margin is negative in none of 1,000 pairs"
    margins[7] = -1
    (finding,) = compare({"margin": margins}, np.ones(1000), ORIENTED)
    assert words_of(finding, line) == "margin is negative in 1 of 1,000 pairs (first: line 9)"


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 2)), min_size=1))
def test_each_pair_is_counted_once(rows):
    one, other, label = map(np.array, zip(*rows, strict=True))
    findings = compare({"score_a": one, "score_b": other}, label / 2, LETTERS)
    decided = label != 1
    if not decided.any():
        assert findings == []
        return
    (finding,) = findings
    agree = decided & (((one > other) & (label == 2)) | ((one < other) & (label == 0)))
    assert finding.n_compared == decided.sum()
    assert finding.n_equal == (decided & (one == other)).sum()
    assert len(finding.contradicting) == finding.n_compared - finding.n_equal - agree.sum()
