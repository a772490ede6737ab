import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_codex._data.pairs import (
    DifferenceDesign,
    PairDesign,
    balance_positions,
    read_pairs,
    read_responses,
)
from sklearn_codex._data.text_pairs import check_text_pairs
from sklearn_codex._data.vectorizers import token_names
from sklearn_codex._solve.precision import toarray
from sklearn_codex.text import TokenCounter

PAIRS = [("a b", "b"), ("b", ""), ("c c a", "a b"), ("b", "b")]
TRIPLES = [("p", *pair) for pair in PAIRS]


class Reader(BaseEstimator):
    pass


def read(X, vectorizer=None):
    return read_pairs(Reader(), X, reset=True, vectorizer=vectorizer).design


def as_text(X):
    return check_text_pairs(X, subject="Reader")


@pytest.mark.parametrize(
    "X",
    [
        PAIRS,
        [list(pair) for pair in PAIRS],
        np.array(PAIRS),
        np.array(PAIRS, dtype=object),
        pd.Series(PAIRS),
        pd.DataFrame(PAIRS, columns=["response_a", "response_b"]),
        pl.DataFrame(PAIRS, schema=["response_a", "response_b"], orient="row"),
        pd.DataFrame(PAIRS, columns=["response_a", "response_b"]).assign(label=1)[
            ["label", "response_b", "response_a"]
        ],
    ],
    ids=["tuples", "lists", "str", "object", "series", "pandas", "polars", "reordered"],
)
def test_all_forms_of_text_pairs_are_one(X):
    pairs = as_text(X)
    assert pairs.prompts is None
    assert list(zip(pairs.responses_a, pairs.responses_b, strict=True)) == PAIRS


@pytest.mark.parametrize(
    "X",
    [
        TRIPLES,
        np.array(TRIPLES, dtype=object),
        pl.DataFrame(TRIPLES, schema=["prompt", "response_a", "response_b"], orient="row"),
        pd.DataFrame(TRIPLES, columns=["prompt", "response_a", "response_b"]),
    ],
)
def test_prompt_comes_first(X):
    pairs = as_text(X)
    assert pairs.prompts == ["p"] * 4
    assert list(zip(pairs.responses_a, pairs.responses_b, strict=True)) == PAIRS


@pytest.mark.parametrize(
    "X",
    [
        [[1.0, 2.0], [3.0, 4.0]],
        np.ones((2, 3)),
        np.ones((2, 3), dtype=object),
        sparse.eye_array(3, format="csr"),
        pd.DataFrame({"a": [1, 2], "b": [0.5, 1]}),
        pd.DataFrame({"a": [1, 2]}, dtype=object),
        pl.DataFrame({"a": [1, 2], "b": [0.5, 1]}),
        [1.0, 2.0],
        [],
        5,
    ],
)
def test_anything_else_is_left_to_numeric_validation(X):
    assert as_text(X) is None


@pytest.mark.parametrize(
    ("X", "error", "match"),
    [
        ("a b", TypeError, r"Reader expected X to be pairs.*got one text: 'a b'"),
        (["a", "b"], TypeError, r"X\[0\] is one text: 'a'.*reward\(documents\)"),
        (pd.Series(["a", "b"]), TypeError, r"X\[0\] is one text"),
        ([{"chosen": "a"}], TypeError, r"X\[0\] is a dict with keys \['chosen'\].*DataFrame"),
        ([("a", "b"), ("a", None)], TypeError, r"every response_b.*pair 1 is None, of type None"),
        ([("a", "b"), (3, "a")], TypeError, r"every response_a of X.*pair 1 is 3, of type int"),
        ([(np.nan, "a", "b")], TypeError, r"every prompt of X.*pair 0 is nan, of type float"),
        ([(b"a", b"b")], TypeError, r"is b'a', of type bytes.*decode"),
        ([("a", "b"), ("a", "b", "c")], ValueError, r"X\[1\] is \('a', 'b', 'c'\), while X\[0\]"),
        ([("a", "b"), 3], ValueError, r"X\[1\] is 3, while X\[0\] is \('a', 'b'\)"),
        ([("a",), ("b",)], ValueError, "got text in 1 columns"),
        ([("a", "b", "c", "d")], ValueError, "got text in 4 columns"),
        (np.array([[["a"], ["b"]]], dtype=object), ValueError, "got text in 3-D"),
        (iter([("a", "b")]), TypeError, "got a list_iterator: .* Pass a list of the rows"),
        ({"content": "a"}, TypeError, r"got a dict: {'content': 'a'}. Pass a list of the rows"),
        (None, TypeError, "got a NoneType: None. Pass a list of the rows"),
        (
            pd.DataFrame({"response_a": ["a", "b"], "response_b": ["c", None]}),
            TypeError,
            "every response_b of X .* pair 1 is",
        ),
        (
            pl.DataFrame({"response_a": [None, "b"], "response_b": ["c", "d"]}),
            TypeError,
            "every response_a of X .* pair 0 is None",
        ),
        (
            pd.DataFrame({"chosen": ["a"], "rejected": ["b"]}),
            ValueError,
            r"\['chosen', 'rejected'\]. .*X, y = balance_positions\(X\)",
        ),
        (
            pl.DataFrame({"x": ["a"], "y": ["b"]}),
            ValueError,
            r"\['x', 'y'\]. Rename the columns .* 'response_a' and 'response_b'",
        ),
        (pd.DataFrame({"response_a": [], "response_b": []}), ValueError, "got 0 pairs"),
        (
            pd.DataFrame([["a", "b", "c"]] * 2, columns=["response_a", "response_a", "response_b"]),
            ValueError,
            "2 columns 'response_a'. Rename or drop all but one",
        ),
    ],
)
def test_errors_name_the_place_and_the_remedy(X, error, match):
    with pytest.raises(error, match=match):
        as_text(X)


def test_unique_responses_are_counted_once():
    seen = []

    def record(texts):
        seen.append(list(texts))
        return texts

    design = read(PAIRS, make_pipeline(FunctionTransformer(record), TokenCounter(unk_token=None)))
    assert all(texts == ["a b", "b", "c c a", ""] for texts in seen)
    assert design.features.shape == (4, 3)
    assert_array_equal(design.a, [0, 1, 2, 1])
    assert_array_equal(design.b, [1, 3, 0, 1])
    assert_array_equal(
        toarray(design[:]), [[1, 0, 0], [0, 1, 0], [0, -1, 2], [0, 0, 0]]
    )  # columns a, b, c


@pytest.mark.parametrize("dense", [False, True])
def test_operator_on_unique_responses_is_the_difference_matrix(dense, monkeypatch):
    monkeypatch.setattr("sklearn_codex._data.designs.CHUNK_PAIRS", 7)
    rng = np.random.RandomState(0)
    features = rng.poisson(0.5, size=(20, 30)).astype(float)
    a, b = rng.randint(20, size=(2, 50))
    design = PairDesign(features if dense else sparse.csr_array(features), a, b)
    matrix = features[a] - features[b]
    explicit = DifferenceDesign(matrix if dense else sparse.csr_array(matrix))
    w, r, h = rng.randn(30), rng.randn(50), rng.rand(50)
    assert design.shape == explicit.shape == matrix.shape
    assert_array_equal(toarray(design[:]), matrix)
    assert_array_equal(toarray(explicit[:]), matrix)
    for operator in (design, explicit):
        assert_allclose(operator.matvec(w), matrix @ w, atol=1e-12)
        assert_allclose(operator.rmatvec(r), matrix.T @ r, atol=1e-12)
        assert_allclose(operator.column_squares(h), (matrix**2).T @ h, rtol=1e-12)


@pytest.mark.parametrize(
    "vectorizer",
    [
        TfidfVectorizer(sublinear_tf=True, token_pattern=r"\S+"),
        HashingVectorizer(n_features=32),
        TokenCounter(eos_token="<eos>"),
        make_pipeline(
            TokenCounter(), FunctionTransformer(lambda X: X.toarray(), accept_sparse=True)
        ),
    ],
)
def test_any_transformer_of_text_gives_the_features(vectorizer):
    texts_a, texts_b = zip(*PAIRS, strict=True)
    reader = Reader()
    design = read_pairs(reader, PAIRS, reset=True, vectorizer=vectorizer).design
    phi = reader.vectorizer_.transform
    expected = phi(list(texts_a)) - phi(list(texts_b))
    expected = expected.toarray() if sparse.issparse(expected) else expected
    assert_allclose(toarray(design[:]), expected)
    assert reader.n_features_in_ == expected.shape[1]


def test_columns_are_defined_once():
    reader = Reader()
    read_pairs(reader, PAIRS, reset=True)
    held_out = read_pairs(reader, [("z z", "a")], reset=False).design
    names = list(reader.vectorizer_.get_feature_names_out())
    assert_array_equal(toarray(held_out[:])[0], [2 * (n == "<unk>") - (n == "a") for n in names])
    assert_array_equal(
        toarray(read_pairs(reader, held_out[:], reset=False).design[:]), toarray(held_out[:])
    )
    with pytest.raises(ValueError, match="X has 3 features, but Reader is expecting 4 features"):
        read_pairs(reader, np.ones((2, 3)), reset=False)


def test_differences_are_not_changed_and_text_needs_words():
    X = sparse.csr_array(np.array([[1.0, 0.0, -1.0]]))
    X.data[0] = 0.0  # a stored zero
    reader = Reader()
    design = read_pairs(reader, X, reset=True).design
    assert (design.differences.nnz, X.nnz) == (1, 2)
    with pytest.raises(ValueError, match=r"fitted on feature differences.*3 columns.*Frozen"):
        read_pairs(reader, PAIRS, reset=False)


def test_frozen_vectorizer_is_used_as_it_is_and_names_columns():
    counter = TokenCounter(unk_token=None).fit(["a b c d"])
    frozen = FrozenEstimator(counter)
    reader = Reader()
    assert read_pairs(reader, PAIRS, reset=True, vectorizer=frozen).design.shape == (4, 4)
    assert reader.vectorizer_.estimator is counter
    read_pairs(reader, np.ones((2, 4)), reset=True, vectorizer=frozen)
    assert list(token_names(reader)) == ["a", "b", "c", "d"]
    with pytest.raises(ValueError, match=r"3 columns.*frozen vectorizer knows 4"):
        read_pairs(reader, np.ones((2, 3)), reset=True, vectorizer=frozen)


def test_vectorizer_that_gives_no_numbers_is_named():
    with pytest.raises(ValueError, match="X to Reader, once vectorized, contains NaN"):
        read(PAIRS, FunctionTransformer(lambda texts: np.full((len(texts), 2), np.nan)))


def test_single_responses_may_be_empty_and_features_negative():
    reader = Reader()
    read_pairs(reader, PAIRS, reset=True)
    assert_array_equal(read_responses(reader, ["", "a"]).design[:].sum(axis=1), [0, 1])
    assert_array_equal(read_responses(reader, [[-1.0, 0, 0, 2]]).design[:], [[-1, 0, 0, 2]])


@pytest.mark.parametrize("with_prompt", [False, True])
@pytest.mark.parametrize("kind", ["tuples", "pandas", "polars"])
def test_balance_positions_swaps_half_of_the_text_pairs(kind, with_prompt):
    rows = [(f"p{i}", f"good {i}", f"bad {i}")[not with_prompt :] for i in range(9)]
    names = ["prompt", "chosen", "rejected"][not with_prompt :]
    X = {
        "tuples": rows,
        "pandas": pd.DataFrame(rows, columns=names),
        "polars": pl.DataFrame(rows, schema=names, orient="row"),
    }[kind]
    balanced, y = balance_positions(X, random_state=0)
    assert y.sum() == 5
    for row, (*prompt, first, second), label in zip(rows, balanced.tolist(), y, strict=True):
        assert row == (*prompt, *((first, second) if label else (second, first)))
    again, y_again = balance_positions(X, random_state=0)
    assert_array_equal(balanced, again)
    assert_array_equal(y, y_again)


@pytest.mark.parametrize("container", [np.array, sparse.csr_array, sparse.csr_matrix])
def test_balance_positions_turns_the_sign_of_differences(container):
    X = container(np.arange(12.0).reshape(6, 2))
    balanced, y = balance_positions(X, random_state=1)
    dense = balanced.toarray() if sparse.issparse(X) else balanced
    assert sorted(y) == [0, 0, 0, 1, 1, 1]
    assert_array_equal(dense, np.where(y[:, None] == 1, 1, -1) * np.arange(12.0).reshape(6, 2))


def test_balance_positions_errors():
    with pytest.raises(ValueError, match=r"at least 2 pairs.*got 1"):
        balance_positions([("a", "b")])
    with pytest.raises(ValueError, match="'chosen' and 'rejected'"):
        balance_positions(pd.DataFrame({"response_a": ["a"], "response_b": ["b"]}))
