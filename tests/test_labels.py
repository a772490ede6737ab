import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from scipy.optimize import minimize
from scipy.special import expit, log_expit
from sklearn.linear_model import LogisticRegression

from sklearn_codex.labels import (
    LABEL_CONVENTIONS,
    convert_labels,
    expand_soft_labels,
    grades_to_soft_labels,
    orient_pairs,
    votes_to_soft_labels,
)

PAIRS = [("p", "x", "y"), ("q", "u", "v"), ("r", "s", "t")]
FRAME = {"response_a": ["x", "u", "s"], "response_b": ["y", "v", "t"], "model_a": [1, 2, 3]}
CONTAINERS = {
    "list": lambda: PAIRS,
    "array": lambda: np.array(PAIRS, dtype=object),
    "pandas": lambda: pd.DataFrame(PAIRS),
    "polars": lambda: pl.DataFrame(PAIRS, orient="row"),
    "dense": lambda: np.arange(9.0).reshape(3, 3),
    "csr": lambda: sparse.csr_array(np.arange(9.0).reshape(3, 3)),
    "coo": lambda: sparse.coo_array(np.arange(9.0).reshape(3, 3)),
}


def rows_of(X):
    if sparse.issparse(X):
        X = X.toarray()
    return [list(row) for row in (X.rows() if isinstance(X, pl.DataFrame) else np.asarray(X))]


@pytest.mark.parametrize("kind", CONTAINERS)
def test_rows_of_any_container(kind):
    X = CONTAINERS[kind]()
    rows = expand_soft_labels(X, [1, 0.5, 0], groups=["g", "h", "h"], sample_weight=[1, 4, 2])
    assert rows.index.tolist() == [0, 1, 1, 2]
    assert rows.y.tolist() == [1, 1, 0, 0]
    assert rows.sample_weight.tolist() == [1, 2, 2, 2]
    assert list(rows.groups) == ["g", "h", "h", "h"]
    assert rows_of(rows.X) == [rows_of(X)[i] for i in rows.index]
    if kind != "coo":
        assert type(rows.X) is type(X)


@given(
    st.lists(st.tuples(st.floats(0, 1), st.sampled_from([0.0, 0.5, 3.0])), min_size=1).filter(
        lambda pairs: sum(weight for _, weight in pairs) > 0
    )
)
def test_every_pair_keeps_its_weight_and_its_label(pairs):
    label, weight = map(np.array, zip(*pairs, strict=True))
    rows = expand_soft_labels(np.arange(len(pairs)), label, sample_weight=weight)
    n = len(pairs)
    np.testing.assert_allclose(np.bincount(rows.index, rows.sample_weight, n), weight)
    won = np.bincount(rows.index, rows.sample_weight * rows.y, n)
    np.testing.assert_allclose(won, weight * label, atol=1e-12)
    assert (rows.sample_weight > 0).all()
    assert set(rows.y) <= {0, 1}
    assert (np.diff(rows.index) >= 0).all()


def test_the_two_rows_of_a_pair_share_a_group():
    rows = expand_soft_labels([[1.0], [2.0]], [0.5, 0.3])
    assert rows.groups.tolist() == rows.index.tolist() == [0, 0, 1, 1]


def test_a_fit_on_the_rows_is_the_fit_on_soft_labels():
    rng = np.random.RandomState(0)
    X = rng.normal(size=(80, 3))
    label = expit(X @ [1.0, -1, 0.5] + rng.normal(size=80))
    rows = expand_soft_labels(X, label)
    model = LogisticRegression(C=0.5, fit_intercept=False, tol=1e-10)
    model.fit(rows.X, rows.y, rows.sample_weight)

    def loss(w):
        margin = X @ w
        return w @ w / 2 - 0.5 * (label @ log_expit(margin) + (1 - label) @ log_expit(-margin))

    np.testing.assert_allclose(model.coef_[0], minimize(loss, np.zeros(3), tol=1e-12).x, atol=1e-5)


def test_expand_errors():
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        expand_soft_labels([[1], [2]], [1])
    with pytest.raises(ValueError, match=r"y should be the probability.* but y\[0\] is 2"):
        expand_soft_labels([[1]], [2])
    with pytest.raises(ValueError, match="Negative values"):
        expand_soft_labels([[1]], [1], sample_weight=[-1])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        expand_soft_labels([[1]], [1], groups=["g", "h"])


@pytest.mark.parametrize(
    ("convention", "labels"),
    [
        ("names", ["a", "B", " Tie "]),
        ("arena", ["model_a", "model_b", "tie (bothbad)"]),
        ("one_two", [1, 2, 0]),
        ("one_two", np.array([1.0, 2.0, 0.0])),
        ("sign", pd.Series([1, -1, 0])),
        ({"left": 1, "right": 0, "same": 0.5}, ["LEFT", "right", "same"]),
    ],
)
def test_conventions(convention, labels):
    assert convert_labels(labels, convention).tolist() == [1.0, 0.0, 0.5]


def test_index_convention_has_no_tie():
    assert convert_labels([0, 1], "index").tolist() == [1.0, 0.0]
    with pytest.raises(ValueError, match=r"Label 2 at 1 is not in index: 0, 1\."):
        convert_labels([0, 2], "index")


def test_missing_votes_stay_missing_but_missing_labels_are_an_error():
    votes = [["a", None], ["b", np.nan], ["b", pd.NA]]
    assert np.isnan(convert_labels(votes)[:, 1]).all()
    with pytest.raises(ValueError, match="Label None at 1 is not in names"):
        convert_labels(["a", None])


def test_convention_errors():
    with pytest.raises(ValueError, match=r"Label 'd' at 0 is not in names: 'a', 'b', 'tie', 'c'"):
        convert_labels(["d"])
    with pytest.raises(ValueError, match=r"convention\[0\] is 2"):
        convert_labels(["a"], {"a": 2})
    with pytest.raises(ValueError, match="no convention 'unknown'"):
        convert_labels(["a"], "unknown")
    with pytest.raises(ValueError, match=r"got \(1, 1, 1\)"):
        convert_labels([[["a"]]])
    assert all(set(meaning.values()) <= {0, 0.5, 1} for meaning in LABEL_CONVENTIONS.values())


def test_votes():
    votes = [[1, 1, 0], [0.5, np.nan, 1], [0, np.nan, np.nan]]
    result = votes_to_soft_labels(votes)
    np.testing.assert_allclose(result.label, [2 / 3, 3 / 4, 0])
    assert result.n_votes.tolist() == [3, 2, 1]
    assert result.sample_weight.tolist() == [1, 1, 1]
    by_votes = votes_to_soft_labels(votes, weight="votes")
    assert by_votes.sample_weight.tolist() == [1.5, 1, 0.5]
    prior = votes_to_soft_labels(votes, prior_votes=2)
    np.testing.assert_allclose(prior.label, [3 / 5, 2.5 / 4, 1 / 3])


def test_votes_may_be_objects_with_none():
    votes = np.array([[1, None], [pd.NA, 0]], dtype=object)
    assert votes_to_soft_labels(votes).label.tolist() == [1, 0]


def test_rows_of_votes_weigh_what_the_votes_do():
    votes = np.array([[1, 1, 0], [0, 1, np.nan]])
    result = votes_to_soft_labels(votes, weight="votes")
    rows = expand_soft_labels([[0], [1]], result.label, sample_weight=result.sample_weight)
    # Five votes over two pairs: each vote weighs 2 / 5.
    np.testing.assert_allclose(rows.sample_weight, np.array([2, 1, 1, 1]) * 2 / 5)


def test_vote_errors():
    with pytest.raises(ValueError, match="1 pairs have no vote, the first at position 1"):
        votes_to_soft_labels([[1, 0], [np.nan, np.nan]])
    with pytest.raises(ValueError, match=r"votes\[1\] is 2"):
        votes_to_soft_labels([[1, 2]])
    with pytest.raises(ValueError, match=r"votes .*but got text, such as 'a'"):
        votes_to_soft_labels([["a", "b"]])
    with pytest.raises(ValueError, match=r"\(n_pairs, n_annotators\), got \(2,\)"):
        votes_to_soft_labels([1, 0])


@given(st.lists(st.sampled_from([-3, -1, 0, 1, 2]), min_size=1), st.sampled_from([0.5, 10.0]))
def test_grades_weigh_one_on_average_in_any_unit(grades, unit):
    result = grades_to_soft_labels(np.array(grades) * unit)
    assert result.sample_weight.mean() == pytest.approx(1)
    np.testing.assert_array_equal(result.label, 0.5 + np.sign(grades) / 2)
    other = grades_to_soft_labels(grades)
    np.testing.assert_allclose(result.sample_weight, other.sample_weight)


def test_grades_by_name_and_as_log_odds():
    scale = {"a much": 3, "a": 1, "b": -1}
    by_name = grades_to_soft_labels(["a much", "a", "b", "b"], scale)
    assert by_name.sample_weight.tolist() == [2, 2 / 3, 2 / 3, 2 / 3]
    log_odds = grades_to_soft_labels([2, 0, -1], method="probability")
    np.testing.assert_allclose(log_odds.label, expit([2, 0, -1]))
    assert log_odds.sample_weight.tolist() == [1, 1, 1]


def test_grade_errors():
    with pytest.raises(ValueError, match=r"The grades \['c'\] are not in scale, which has \['a'\]"):
        grades_to_soft_labels(["a", "c"], {"a": 1})
    with pytest.raises(ValueError, match="grades should be numbers, got 'a'"):
        grades_to_soft_labels(["a"])
    with pytest.raises(ValueError, match="that of pair 1 is not"):
        grades_to_soft_labels([1, np.inf])
    with pytest.raises(ValueError, match=r"got \(0,\)"):
        grades_to_soft_labels([])


LABELS = [0, 0.5, 0.8]


@pytest.mark.parametrize("X", [PAIRS, [list(row) for row in PAIRS], np.array(PAIRS)])
def test_orient_text(X):
    pairs = orient_pairs(X, LABELS)
    assert rows_of(pairs.X) == [["p", "y", "x"], ["q", "u", "v"], ["r", "s", "t"]]
    assert pairs.y.tolist() == [1, 0.5, 0.8]
    assert pairs.swapped.tolist() == [True, False, False]
    assert X[0][1] == "x", "the input is left alone"


@pytest.mark.parametrize(
    "X", [[(1.0, 2.0), (3, 4), (5, 6)], sparse.csr_array([[1, 2], [3, 4], [5, 6]])]
)
def test_orient_differences(X):
    assert rows_of(orient_pairs(X, LABELS).X) == [[-1, -2], [3, 4], [5, 6]]


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_orient_frame(frame):
    X = frame({**FRAME, "model_b": [4, 5, 6], "prompt": ["p", "q", "r"], "index_a": [0, 0, 0]})
    pairs = orient_pairs(X, LABELS).X
    assert list(pairs.columns) == list(X.columns)
    assert list(pairs["response_a"]) == ["y", "u", "s"]
    assert list(pairs["response_b"]) == ["x", "v", "t"]
    assert list(pairs["model_a"]) == [4, 2, 3]
    assert list(pairs["index_a"]) == [0, 0, 0], "it has no twin"
    assert type(pairs) is type(X)


def test_orienting_twice_changes_nothing_more():
    once = orient_pairs(PAIRS, LABELS)
    twice = orient_pairs(once.X, once.y)
    assert not twice.swapped.any()
    assert rows_of(twice.X) == rows_of(once.X)


def test_orient_errors():
    with pytest.raises(ValueError, match="3 pairs in X and 2 labels in y"):
        orient_pairs(PAIRS, [1, 0])
    with pytest.raises(ValueError, match="no columns such as response_a and response_b"):
        orient_pairs(pd.DataFrame({"chosen": ["x"], "rejected": ["y"]}), [1])
    with pytest.raises(ValueError, match=r"got shape \(1, 4\)"):
        orient_pairs([("p", "q", "r", "s")], [1])
