import pickle
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse

from sklearn_codex import ResponseIds
from sklearn_codex.datasets import make_preferences, read_preferences
from sklearn_codex.health import check_preferences
from sklearn_codex.health._prompts import SIMILARITY, find_similar
from sklearn_codex.health._responses import find_limit

SHARED = Path(__file__).parents[2] / "shared" / "data"
TABLES = [
    "duplicates",
    "contradictions",
    "identical",
    "empty",
    "truncated",
    "cycles",
    "near_duplicates",
    "prompt_leaks",
]


def simulate(n_pairs=400, n_prompts=80, **params):
    return make_preferences(n_pairs, n_prompts=n_prompts, text=True, random_state=0, **params)


def check(data, **params):
    params.setdefault("random_state", 0)
    return check_preferences(data.X, data.y, **params)


def to_look_at(report):
    return [finding.text for finding in report.findings if finding.status == "look"]


def rows_of(report):
    """Return the rows of each table that is not empty."""
    tables = {name: report[name] for name in TABLES if report[name] is not None}
    return {name: table.row.tolist() for name, table in tables.items() if table.row.size}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("params", [{}, {"temperature": 0.3}, {"n_features": 300}])
def test_clean_data_has_no_finding(params, seed):
    data = make_preferences(400, n_prompts=80, text=True, random_state=seed, **params)
    report = check(data, split=data.groups % 4 == 0)
    assert to_look_at(report) == []
    assert rows_of(report) == {}
    assert not report.wrong_labels.flagged.any()
    assert str(report).splitlines()[0] == "Preferences: 400 pairs, nothing to look at"


def test_sizes():
    report = check(simulate(100, n_prompts=30))
    assert report.sizes.n_pairs == 100
    assert report.sizes.n_groups == 30
    assert report.sizes.pairs_per_group.tolist() == [4] * 10 + [3] * 20
    assert report.sizes.n_responses == 200
    assert "100 pairs of 30 prompts, 3 to 4 (median 3) of each, 200 different responses" in str(
        report
    )


def test_duplicates():
    data = simulate()
    data.X[10], data.y[10] = data.X[3], data.y[3]
    data.X[20], data.y[20] = data.X[4][[0, 2, 1]], 1 - data.y[4]
    report = check(data)
    assert rows_of(report) == {"duplicates": [10, 20]}
    assert report.duplicates.first.tolist() == [3, 4]
    assert report.duplicates.swapped.tolist() == [False, True]
    (text,) = to_look_at(report)
    assert text.startswith("2 pairs (0.5%) repeat an earlier one, 1 of them with A and B exchanged")


def test_contradictions():
    data = simulate()
    data.X[10], data.y[10] = data.X[3], 1 - data.y[3]
    data.X[20], data.y[20] = data.X[4][[0, 2, 1]], data.y[4]
    report = check(data)
    assert rows_of(report) == {"contradictions": [3, 4, 10, 20]}
    assert report.contradictions.first.tolist() == [3, 4, 3, 4]
    label = report.contradictions.label  # of the pair as in its first row
    assert (label[:2] + label[2:]).tolist() == [1.0, 1.0]
    (text,) = to_look_at(report)
    assert text.startswith("4 pairs have opposite labels on 2 comparisons")


def test_same_responses_to_another_prompt_are_another_pair():
    data = simulate()
    data.X[10, 1:], data.y[10] = data.X[3, 1:], 1 - data.y[3]
    assert rows_of(check(data)) == {}


def test_identical_and_empty_responses():
    data = simulate()
    data.X[5, 1] = data.X[5, 2]
    data.X[[7, 9], [2, 1]] = "", " \n"
    report = check(data)
    assert rows_of(report) == {"identical": [5], "empty": [7, 9]}
    assert report.empty.side.tolist() == ["B", "A"]
    texts = to_look_at(report)
    assert texts[0].startswith(
        "1 pair (0.2%) has two identical responses, with a preference, which"
    )
    assert texts[1].startswith("2 responses are empty")


def test_one_response_in_many_pairs():
    data = simulate()
    for n, is_found in ((79, False), (80, True)):
        data.X[:n, 2] = "I cannot help with that."
        texts = [text for text in to_look_at(check(data)) if text.startswith("One response")]
        assert bool(texts) == is_found
    rows = np.flatnonzero(data.X[:, 2] == "I cannot help with that.")
    share = f"{100 * np.mean(1 - data.y[rows]):.0f}% of their labels are for it"
    assert "stands in 80 pairs (20%) of 80 prompts" in texts[0]
    assert share in texts[0]
    X, y = tournament([1, 1, 1])  # each response of a prompt in two of three pairs
    assert not any("One response" in text for text in to_look_at(check_preferences(X, y)))


def as_prose(words):
    """Write words as sentences of eight, such that they end with a full stop."""
    lines = [words[i : i + 8] for i in range(0, len(words), 8)]
    return "\n".join(" ".join(line) + "." for line in lines)


def test_truncated_responses():
    data = simulate(document_length=100)
    for row, column in np.ndindex(400, 2):
        data.X[row, column + 1] = as_prose(data.X[row, column + 1].split())
    assert rows_of(check(data)) == {}
    data.X[5, 1] = " ".join(data.X[5, 1].split()[:62])  # six words after the last full stop
    data.X[6, 2] += "\n```python\ndef"
    data.X[7, 2] += "\n```python\nf()\n```"
    report = check(data)
    assert rows_of(report) == {"truncated": [5, 6]}
    assert report.truncated.side.tolist() == ["A", "B"]
    assert report.truncated.reason.tolist() == ["within a sentence", "with an open code block"]


def test_text_without_punctuation_is_not_cut_off():
    assert rows_of(check(simulate(document_length=100))) == {}


def test_limit_of_length():
    data = simulate(document_length=60)
    limit = 66  # words; about one response in four would be as long
    cut = []
    for row, column in np.ndindex(400, 2):
        words = data.X[row, column + 1].split()
        data.X[row, column + 1] = " ".join(words[:limit])
        if len(words) >= limit:
            cut.append(row)
    report = check(data)
    assert rows_of(report) == {"truncated": cut}
    assert set(report.truncated.reason) == {"at the longest length, 66 words"}
    assert find_limit(np.full(100, 80)).size == 0  # a fixed length is no limit
    assert find_limit(np.repeat([10, 20], 50)).size == 0  # nor is a short one


def test_ties_and_soft_labels():
    data = simulate()
    y = data.y.astype(float)
    y[[2, 3, 4]] = 0.5, 0.25, 0.5
    report = check_preferences(data.X, y, random_state=0)
    assert report.ties.row.tolist() == [2, 3, 4]
    assert report.ties.label.tolist() == [0.5, 0.25, 0.5]
    assert "2 ties (0.5%), 1 soft label." in str(report)
    assert sorted(report.wrong_labels.row) == [i for i in range(400) if i not in (2, 4)]


def test_position():
    data = simulate(1000, position_bias=2.0)
    report = check(data)
    share = np.mean(data.y)
    assert report.position.share == share
    assert report.position.low < share < report.position.high
    (text,) = to_look_at(report)
    assert text.startswith("A is preferred in ")


def test_one_class():
    data = simulate(500)
    chosen_first = np.where(data.y[:, None] == 1, data.X, data.X[:, [0, 2, 1]])
    report = check_preferences(chosen_first, np.ones(500), random_state=0)
    (text,) = to_look_at(report)
    assert text.startswith("A is preferred in every pair")
    # In another order these are the same preferences.
    assert report.predictability.accuracy == check(data).predictability.accuracy


def test_length():
    data = simulate(1000, length_bias=0.5, coef=np.zeros(50))
    length = check(data).length
    longer = data.lengths[:, 0] > data.lengths[:, 1]
    differ = data.lengths[:, 0] != data.lengths[:, 1]
    assert length.n_pairs == differ.sum()
    assert length.share == pytest.approx(np.mean((longer == data.y)[differ]))
    assert length.p_value < 1e-3


def tournament(labels, prompt="p"):
    """Return all pairs of a few responses to a prompt, and whether the first one wins."""
    return [[prompt, a, b] for a, b in combinations("abcd"[: 3 + (len(labels) > 3)], 2)], labels


def test_circle():
    X, y = tournament([1, 0, 1])  # a > b > c > a
    report = check_preferences(X, y)
    assert report.cycles.row.tolist() == [0]
    assert report.cycles.n_in_cycle.tolist() == [3]
    assert report.cycles.n_circular.tolist() == [1]
    assert report.cycles.n_triples.tolist() == [1]
    assert "1 of 1 triples of responses (100%; labels by coin" in " ".join(str(report).split())


def test_no_circle():
    X, y = tournament([1, 1, 1])  # a > b > c
    report = check_preferences([*X, *X[:1], *X[:1]], [*y, 0.5, 0.5])
    assert report.cycles.row.size == 0
    # A pair that is labelled both ways is a contradiction, not a circle.
    report = check_preferences([*X, *X[:1]], [*y, 0])
    assert report.cycles.row.size == 0


def test_circles_are_counted_as_by_hand():
    rng = np.random.RandomState(0)
    X, y, expected = [], [], []
    for prompt in range(20):
        pairs, labels = tournament(rng.randint(2, size=6).tolist(), f"p{prompt}")
        beats = {
            (a, b) if label else (b, a) for (_, a, b), label in zip(pairs, labels, strict=True)
        }
        n_circular = sum(
            ((a, b) in beats) == ((b, c) in beats) == ((c, a) in beats)
            for a, b, c in combinations("abcd", 3)
        )
        X, y, expected = X + pairs, y + labels, [*expected, n_circular]
    cycles = check_preferences(X, y).cycles
    found = dict(zip(cycles.row, cycles.n_circular, strict=True))
    assert [found.get(6 * prompt, 0) for prompt in range(20)] == expected
    assert set(cycles.n_triples) == {4}


def test_components():
    X = [("p", "a", "b"), ("p", "c", "d"), ("p", "d", "e"), ("q", "a", "x"), ("q", "x", "y")]
    report = check_preferences(X, [1, 0, 1, 0, 1])
    assert report.components.row.tolist() == [0]
    assert report.components.n_responses.tolist() == [5]
    assert report.components.n_components.tolist() == [2]
    assert report.n_parts == 2  # a b x y, and c d e
    assert "In 1 of 2 prompts the responses fall apart" in str(report)


def test_split():
    data = simulate()
    split = np.where(data.groups < 60, "train", "test")
    split[7] = "test"
    report = check(data, split=split)
    rows = np.flatnonzero(data.groups == data.groups[7])
    assert rows_of(report) == {"prompt_leaks": rows.tolist()}
    assert report.prompt_leaks.part.tolist() == split[rows].tolist()
    assert report.prompt_leaks.exact.all()
    (text,) = to_look_at(report)
    assert text.startswith("1 prompt stands in two parts of the split, with 5 pairs (1.2%)")
    again = check(data, split=split == "test")
    assert again.prompt_leaks.row.tolist() == rows.tolist()


def test_similar_prompts():
    data = simulate()
    question = "write a function that returns the sum of all even numbers in a list of numbers"
    first = np.flatnonzero(data.groups == 3)
    data.X[first, 0] = question
    equal, similar = np.flatnonzero(data.groups == 5), np.flatnonzero(data.groups == 9)
    data.X[equal, 0] = question.capitalize().replace(" all ", "  all ") + "?"
    data.X[similar, 0] = question + " please, in Python"
    data.X[data.groups == 11, 0] = "write a story about a function that gave everything up for love"
    report = check(data, split=data.groups == 5)
    found = report.near_duplicates
    assert found.row.tolist() == [3, 3]
    assert found.other.tolist() == [5, 9]
    assert found.similarity[0] == 1
    assert 0.5 < found.similarity[1] < 1
    joined = [np.unique(report.groups[rows]).tolist() for rows in (first, equal, similar)]
    assert joined[0] == joined[1] == joined[2]
    assert np.unique(report.groups).size == 78
    # The split tears the joined group apart, though no prompt stands on both sides.
    assert report.prompt_leaks.row.tolist() == sorted([*first, *equal, *similar])
    assert not report.prompt_leaks.exact.any()
    texts = to_look_at(report)
    assert texts[0].startswith("1 prompt is the same as another but for case")
    assert texts[1].startswith("3 prompts more have a similar prompt in another part of the split")


def test_prompts_of_exactly_half_their_wording_are_similar():
    # 8 sequences of three words, all of them among the 16 of the other.
    words = [f"w{i}" for i in range(18)]
    one, other, similarity = find_similar([" ".join(words[:10]), " ".join(words)])
    assert (one.tolist(), other.tolist(), similarity.tolist()) == ([0], [1], [0.5])
    longer = [" ".join(words[:10]), " ".join([*words, "w18"])]
    assert not find_similar(longer)[0].size


@pytest.mark.parametrize(("n_below", "found"), [(1, True), (2, True), (3, False)])
def test_a_limit_holds_three_times_as_many_as_a_length_just_below(n_below, found):
    lengths = np.array([100] * 6 + [90] * n_below + [89] * 4 + [20] * 6)
    assert find_limit(lengths).tolist() == (list(range(6)) if found else [])


@pytest.mark.parametrize(
    ("longest", "n_longest", "found"), [(50, 5, True), (49, 5, False), (50, 4, False)]
)
def test_a_limit_is_of_fifty_and_holds_five(longest, n_longest, found):
    lengths = np.array([longest] * n_longest + [10] * 5)
    assert len(find_limit(lengths)) == (n_longest if found else 0)


def test_similar_texts_are_those_of_all_comparisons():
    rng = np.random.RandomState(0)
    texts = [" ".join(rng.choice(list("abcde"), 30)) for _ in range(20)]
    for text in texts[:10]:
        words = text.split()
        for n in (2, 5, 8):
            texts.append(" ".join(words[:-n] + rng.choice(list("vwxyz"), n).tolist()))
    sets = []
    for text in texts:
        words = text.split()
        sets.append(set(zip(words, words[1:], words[2:], strict=False)))
    expected = {
        (i, j)
        for i, j in combinations(range(len(texts)), 2)
        if len(sets[i] & sets[j]) >= SIMILARITY * len(sets[i] | sets[j])
    }
    one, other, _ = find_similar(texts)
    assert set(zip(one.tolist(), other.tolist(), strict=True)) == expected
    assert len(expected) >= 20


def test_small_data_make_no_claim():
    data = simulate(60, n_prompts=12)
    report = check(data)
    assert report.wrong_labels is None
    assert "Single labels are not judged: that takes 100 decided pairs of 10 prompts" in str(report)
    (text,) = to_look_at(report)
    assert "12 prompts can say little about others" in text
    report = check_preferences([("p", "a", "b")], [1])
    assert report.position is None
    assert report.length is None


def test_feature_differences():
    data = make_preferences(400, n_prompts=80, random_state=0)
    data.X[10], data.y[10] = -data.X[3], data.y[3]
    data.X[20], data.y[20] = -data.X[4], 1 - data.y[4]
    data.X[30] = 0
    data.groups[[10, 20]] = data.groups[[3, 4]]
    dense = check(data, groups=data.groups)
    assert dense.contradictions.row.tolist() == [3, 10]
    assert dense.duplicates.row.tolist() == [20]
    assert dense.identical.row.tolist() == [30]
    assert dense.sizes.n_groups == 80
    for name in ("empty", "truncated", "cycles", "components", "near_duplicates", "length"):
        assert dense[name] is None
    data.X = sparse.csr_array(data.X)
    assert str(check(data, groups=data.groups)) == str(dense)
    alone = check(data)
    assert alone.sizes.n_groups is None
    assert "There are no prompts and no groups" in str(alone)


def test_forms_of_pairs():
    data = simulate(200, n_prompts=40)
    columns = ["prompt", "response_a", "response_b"]
    expected = str(check(data))
    for X in (
        data.X.tolist(),
        pd.DataFrame(data.X, columns=columns),
        pl.DataFrame(data.X.tolist(), schema=columns, orient="row"),
    ):
        assert str(check_preferences(X, list(data.y), random_state=0)) == expected
    without = check_preferences(data.X[:, 1:], data.y, random_state=0)
    assert without.groups is None
    assert check_preferences(data.X[:, 1:], data.y, data.groups).sizes.n_groups == 40
    blank = data.X.copy()
    blank[:, 0] = ""
    assert str(check_preferences(blank, data.y, random_state=0)) == str(without)


def test_groups_that_are_not_the_prompts():
    data = simulate()
    report = check(data, groups=data.groups // 2)
    assert report.sizes.n_groups == 40
    assert "400 pairs of 40 groups" in str(report)


def test_report_is_a_bunch_of_tables():
    data = simulate(flip_rate=0.1)
    report = check(data)
    assert list(pd.DataFrame(report.wrong_labels)) == [
        "row",
        "label",
        "probability",
        "p_wrong",
        "flagged",
    ]
    assert str(report.duplicates) == "row  first  swapped"
    assert str(pickle.loads(pickle.dumps(report))) == str(report) == repr(report)
    assert max(map(len, str(report).splitlines())) <= 92
    again = check(data)
    np.testing.assert_array_equal(again.wrong_labels.row, report.wrong_labels.row)
    np.testing.assert_array_equal(again.wrong_labels.p_wrong, report.wrong_labels.p_wrong)


@pytest.mark.parametrize(
    ("X", "y", "params", "error", "match"),
    [
        ([("p", "a", "b")], [2], {}, ValueError, r"y\[0\] is 2"),
        ([("p", "a", "b")], ["a"], {}, ValueError, "got text, such as 'a'"),
        (
            [("p", "a", "b")],
            [1, 0],
            {},
            ValueError,
            "inconsistent numbers of samples",
        ),
        ([("p", "a", "b")], [1], {"groups": [1, 2]}, ValueError, "there are 1 pairs, got 2"),
        (
            [("p", "a", "b")],
            [1],
            {"split": [1, 2]},
            ValueError,
            "split should have one value a pair: there are 1",
        ),
        ([("p", "a", None)], [1], {}, TypeError, "every response_b of X to be a str"),
        (["a"], [1], {}, TypeError, "check_preferences expected X to be pairs"),
        (
            [("p", "a", "b")],
            [1],
            {"model": 3},
            ValueError,
            "'model' parameter of check_preferences",
        ),
    ],
)
def test_errors(X, y, params, error, match):
    with pytest.raises(error, match=match):
        check_preferences(X, y, **params)


@pytest.mark.parametrize("name", ["pandalm", "rmbench_code", "alpaca_eval"])
def test_published_preferences(name):
    path = SHARED / f"{name}.jsonl.gz"
    if not path.exists():
        pytest.skip(f"{path.name} is not on this machine")
    data = read_preferences(path)
    report = check(data)
    assert report.sizes.n_pairs == data.n
    if name == "rmbench_code":  # one task in six programming languages
        assert np.unique(report.groups).size < 150
    if name == "pandalm":
        assert report.empty.row.size == 54
        assert report.ties.row.size == 105


@pytest.mark.parametrize("form", ["array", "ids", "narrow"])
def test_pairs_of_vectors_are_their_differences(form):
    rng = np.random.RandomState(0)
    vectors = rng.standard_normal((120, 2, 3)).astype(np.float16 if form == "narrow" else float)
    vectors[5] = vectors[4, ::-1]  # a pair twice, with A and B exchanged,
    vectors[7, 0] = vectors[7, 1]  # and one of a response with itself
    y = (vectors[:, 0, 0] > vectors[:, 1, 0]).astype(int)
    y[5] = y[4]
    X = ResponseIds(np.arange(240).reshape(120, 2), vectors.reshape(240, 3))
    report = check_preferences(X if form == "ids" else vectors, y, random_state=0)
    wide = vectors.astype(float)
    expected = check_preferences(wide[:, 0] - wide[:, 1], y, random_state=0)
    assert str(report) == str(expected)
    assert report.contradictions.row.tolist() == [4, 5]
    assert report.identical.row.tolist() == [7]
    with pytest.raises(ValueError, match=r"pairs of vectors of shape \(n_pairs, 2, n_features\)"):
        check_preferences(vectors[:, [0, 1, 1]], y)


def test_vectors_in_a_frame_have_their_prompts():
    vectors = np.random.RandomState(0).standard_normal((60, 2, 3))
    prompts = np.repeat([f"p {i}" for i in range(20)], 3)
    y = np.resize([0, 1], 60)
    frame = pd.DataFrame({"prompt": prompts})
    frame["response_a"], frame["response_b"] = list(vectors[:, 0]), list(vectors[:, 1])
    assert str(check_preferences(frame, y)) == str(check_preferences(vectors, y, prompts))
