"""TokenCounter: back to text, counts as input, and as a part of scikit-learn."""

import pickle
import re

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
import sklearn
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline
from text_corpora import (
    BUILT_IN,
    assert_canonical,
    corpora,
    special_tokens,
    split_by_comma,
    thorough,
)

from sklearn_codex.text import TokenCounter


class TestBackToText:
    @pytest.mark.parametrize("tokenizer", BUILT_IN)
    @given(
        corpus=corpora,
        new=corpora,
        unk_token=st.none() | special_tokens,
        eos_token=st.none() | special_tokens,
        lowercase=st.booleans(),
        max_features=st.none() | st.integers(1, 3),
    )
    @thorough
    def test_decoded_counts_are_counted_the_same(self, tokenizer, corpus, new, **params):
        unk_token, eos_token = params["unk_token"], params["eos_token"]
        assume(unk_token is None or unk_token.lower() != (eos_token or "").lower())
        counter = TokenCounter(tokenizer, **params)
        try:
            counts = counter.fit_transform(corpus)
        except ValueError as error:
            assume(not re.search("no tokens", str(error)))
            raise
        for X in (counts, counter.transform(new)):
            assert (counter.transform(counter.decode(X)) != X).nnz == 0

    @pytest.mark.parametrize("container", [np.array, sp.csr_array, sp.csc_matrix, pd.DataFrame])
    @pytest.mark.parametrize("dtype", [np.int64, np.float32])
    def test_tokens_are_repeated_in_column_order_without_eos(self, container, dtype):
        counter = TokenCounter(eos_token="<eos>").fit(["b a"])
        X = container(np.array([[2, 1, 0, 1], [0, 5, 3, 0], [0, 0, 0, 0]], dtype=dtype))
        assert counter.inverse_transform(X) == [["<unk>", "<unk>", "b"], ["a", "a", "a"], []]
        assert counter.decode(X) == ["<unk> <unk> b", "a a a", ""]

    def test_duplicate_entries_are_added_up_first(self):
        X = sp.csr_array((np.array([0.5, 1.0, 0.5, 0.0]), [2, 0, 2, 1], [0, 4]), shape=(1, 3))
        assert TokenCounter().fit(["a b"]).inverse_transform(X) == [["<unk>", "b"]]
        assert X.nnz == 4

    def test_counts_pass_through_both_ways(self):
        counter = TokenCounter().fit([[1, 0]])
        counts = counter.inverse_transform([[0.5, 2]])
        assert_canonical(counts, (1, 2))
        np.testing.assert_array_equal(counts.toarray(), [[0.5, 2]])
        with pytest.raises(
            ValueError, match=r"on counts of 2 columns and has no .* Fit it on text"
        ):
            counter.decode([[1, 2]])

    @pytest.mark.parametrize("method", ["inverse_transform", "decode"])
    def test_no_counts(self, method):
        back = getattr(TokenCounter().fit(["a b"]), method)
        with pytest.raises(
            ValueError, match=r"needs non-negative integers, got 0\.5 in row 2, column 'a'\. Round"
        ):
            back([[1, 2, 3], [0, 0, 0], [0, 0.5, 0]])
        with pytest.raises(ValueError, match="Negative values in data passed to X in TokenCounter"):
            back([[1, -2, 3]])
        with pytest.raises(ValueError, match="contains infinity"):
            back([[1, np.inf, 3]])
        with pytest.raises(ValueError, match="X has 2 features, but TokenCounter is expecting 3"):
            back([[1, 2]])
        with pytest.raises(NotFittedError, match="TokenCounter instance is not fitted"):
            getattr(TokenCounter(), method)([[1]])


class TestCountInput:
    X = np.array([[1, 0, 2], [0, 3, 0]])

    @pytest.mark.parametrize(
        "container",
        [np.asarray, np.ndarray.tolist, sp.csr_array, sp.csr_matrix, sp.csc_array, sp.coo_array,
         pd.DataFrame, lambda X: pd.DataFrame(X).astype("Sparse[int64]"),
         lambda X: X.astype(object), lambda X: X.astype(np.float32)],
    )  # fmt: skip
    def test_counts_pass_through(self, container):
        X = container(self.X)
        counter = TokenCounter()
        for counts in (counter.fit_transform(X), counter.transform(X)):
            assert_canonical(counts, (2, 3))
            np.testing.assert_array_equal(counts.toarray(), self.X)
        assert counter.vocabulary_ is counter.unk_index_ is counter.eos_index_ is None
        assert counter.get_feature_names_out().tolist() == ["x0", "x1", "x2"]

    @pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
    def test_names_come_from_the_columns(self, frame):
        X = frame({"a": [1, 0], "b": [0, 3]})
        counter = TokenCounter().fit(X)
        assert counter.get_feature_names_out().tolist() == ["a", "b"]
        np.testing.assert_array_equal(counter.transform(X).toarray(), [[1, 0], [0, 3]])

    def test_messy_matrix_is_tidied_and_left_alone(self):
        indices = np.array([2, 0, 1, 2], dtype=np.int32)
        indptr = np.array([0, 4], dtype=np.int32)
        X = sp.csr_array((np.array([1.0, 2.0, 0.0, 4.0]), indices, indptr), shape=(1, 3))
        before = X.copy()
        counts = TokenCounter().fit_transform(X)
        assert_canonical(counts, (1, 3))
        np.testing.assert_array_equal(counts.toarray(), [[2.0, 0.0, 5.0]])
        for name in ("data", "indices", "indptr"):
            np.testing.assert_array_equal(getattr(X, name), getattr(before, name))

    @pytest.mark.parametrize(
        "params",
        [{"min_count": 2}, {"max_features": 5}, {"eos_token": "<eos>"}, {"vocabulary": ["a"]}],
    )  # fmt: skip
    def test_text_options_have_nothing_to_act_on(self, params):
        ((name, value),) = params.items()
        with pytest.raises(
            ValueError, match=rf"given counts as X .* text only: .*{re.escape(f'{name}={value!r}')}"
        ):
            TokenCounter(**params).fit(self.X)

    @pytest.mark.parametrize(
        ("X", "match"),
        [
            ([[1, -1]], "Negative values in data passed to X in TokenCounter"),
            ([[1, np.nan]], "Input X contains NaN"),
            ([[1, np.inf]], "Input X contains infinity"),
            ([1, 2], "expected a 2-D matrix of numbers, got a 1-D list"),
            (np.zeros((0, 2)), r"Found array with 0 sample\(s\)"),
            (np.zeros((2, 0)), r"Found array with 0 feature\(s\)"),
            (np.zeros((1, 1, 1)), "Found array with dim 3"),
        ],
    )
    def test_what_scikit_learn_refuses(self, X, match):
        with pytest.raises(ValueError, match=match):
            TokenCounter().fit(X)

    def test_text_after_counts(self):
        counter = TokenCounter().fit(self.X)
        with pytest.raises(
            ValueError, match=r"fitted on counts and has no vocabulary, got text: 'a b'.* 3 columns"
        ):
            counter.transform(["a b"])

    def test_counts_after_text(self):
        counter = TokenCounter().fit(["a b c"])
        np.testing.assert_array_equal(counter.transform([[1, 2, 0, 0]]).toarray(), [[1, 2, 0, 0]])
        with pytest.raises(
            ValueError, match="X has 1 features, but TokenCounter is expecting 4 features as input"
        ):
            counter.transform([[1]])
        with pytest.raises(ValueError, match="Negative values in data passed to X"):
            counter.transform([[1, 0, 0, -1]])

    @pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
    def test_frame_of_counts_after_text(self, frame):
        counter = TokenCounter().fit(["a b"])
        X = frame({"<unk>": [0.0], "a": [1.0], "b": [2.0]})
        np.testing.assert_array_equal(counter.transform(X).toarray(), [[0, 1, 2]])
        with pytest.raises(ValueError, match=r"order of get_feature_names_out\(\), .*Reorder them"):
            counter.transform(X[["<unk>", "b", "a"]])

    def test_refit_forgets(self):
        counter = TokenCounter().fit(pd.DataFrame({"a": [1], "b": [2]}))
        counter.fit(["x"])
        assert counter.get_feature_names_out().tolist() == ["<unk>", "x"]
        np.testing.assert_array_equal(counter.transform([[1, 2]]).toarray(), [[1, 2]])
        counter.fit([[1, 2, 3]])
        assert counter.vocabulary_ is None
        assert counter.get_feature_names_out().tolist() == ["x0", "x1", "x2"]


class TestScikitLearn:
    @pytest.mark.parametrize("tokenizer", [*BUILT_IN, split_by_comma])
    def test_pickle_and_clone(self, tokenizer):
        counter = TokenCounter(tokenizer, eos_token="<eos>").fit(["x = 1", "y"])
        again = pickle.loads(pickle.dumps(counter))
        assert again.vocabulary_ == counter.vocabulary_
        X = ["x == 1 z", "y <unk>"]
        assert (again.transform(X) != counter.transform(X)).nnz == 0
        fresh = clone(counter)
        assert fresh.get_params() == counter.get_params()
        assert not hasattr(fresh, "vocabulary_")

    def test_parameters_are_left_alone(self):
        vocabulary = {"b": 1, "a": 0}
        counter = TokenCounter(vocabulary=vocabulary).fit(["a"])
        assert counter.vocabulary is vocabulary
        assert vocabulary == {"b": 1, "a": 0}
        assert counter.vocabulary_ is not vocabulary

    def test_inside_a_pipeline(self):
        model = make_pipeline(TokenCounter("word"), MultinomialNB())
        model.fit(["good, good", "bad!", "good", "bad bad"], [1, 0, 1, 0])
        assert model.predict(["good", "bad bad bad"]).tolist() == [1, 0]
        assert model[:-1].get_feature_names_out().tolist() == ["<unk>", "!", ",", "bad", "good"]

    def test_counts_are_sparse_whatever_output_is_set(self):
        assert not hasattr(TokenCounter(), "set_output")  # as HashingVectorizer
        with sklearn.config_context(transform_output="pandas"):
            assert TokenCounter().fit_transform(["a"]).format == "csr"

    def test_names_given_for_count_columns(self):
        counter = TokenCounter().fit([[1, 2]])
        assert counter.get_feature_names_out(["a", "b"]).tolist() == ["a", "b"]
        with pytest.raises(ValueError, match="input_features should have length equal"):
            counter.get_feature_names_out(["a"])
        with pytest.raises(NotFittedError, match="TokenCounter instance is not fitted"):
            TokenCounter().get_feature_names_out()

    def test_tags(self):
        tags = TokenCounter().__sklearn_tags__().input_tags
        assert (tags.two_d_array, tags.sparse, tags.positive_only) == (True, True, True)
        assert (tags.one_d_array, tags.string) == (False, False)
