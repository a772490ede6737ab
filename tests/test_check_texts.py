"""What is taken for texts, in which containers, and what is refused."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from text_corpora import quick

from sklearn_codex.text import TokenCounter, check_texts

CONTAINERS = {
    "list": list,
    "tuple": tuple,
    "object array": lambda x: np.array(x, dtype=object),
    "str array": np.array,
    "pandas str": pd.Series,
    "pandas object": lambda x: pd.Series(x, dtype=object, index=range(7, 7 + len(x))),
    "pandas category": lambda x: pd.Series(x, dtype="category"),
    "pandas index": pd.Index,
    "polars": pl.Series,
    "np.str_": lambda x: [np.str_(text) for text in x],
}

if hasattr(np.dtypes, "StringDType"):
    CONTAINERS["numpy StringDType"] = lambda x: np.array(x, dtype=np.dtypes.StringDType())


class TestCheckTexts:
    @pytest.mark.parametrize("container", CONTAINERS.values(), ids=CONTAINERS)
    def test_containers_of_text(self, container):
        documents = ["b a", "", "日本 👍 a"]
        texts = check_texts(container(documents), subject="Model")
        assert type(texts) is list
        assert texts == documents
        assert all(isinstance(text, str) for text in texts)
        counter = TokenCounter().fit(container(documents))
        assert counter.vocabulary_ == {"<unk>": 0, "a": 1, "b": 2, "日本": 3, "👍": 4}

    @given(st.lists(st.text(st.characters()), min_size=1))
    @quick
    def test_no_text_is_changed(self, documents):
        assert check_texts(documents, subject="Model") == documents
        assert check_texts(np.array(documents, dtype=object), subject="Model") == documents

    @pytest.mark.parametrize(
        "X",
        [[[1, 2], [3, 4]], [[1.5]], ((1, 2),), [np.array([1, 2])], np.eye(2), np.eye(2, dtype=bool),
         sp.eye_array(2), sp.csr_matrix((2, 2)), pd.DataFrame({"a": [1]}), pl.DataFrame({"a": [1]}),
         pd.DataFrame({"a": pd.array([1], dtype="Int64")}), np.array([[1, 2]], dtype=object),
         [1, 2], np.array([1, 2]), pd.Series([1.0]), np.zeros((0, 3)), [[]]],
    )  # fmt: skip
    def test_counts_are_left_to_scikit_learn(self, X):
        assert check_texts(X, subject="Model") is None

    @pytest.mark.parametrize(
        ("X", "match"),
        [
            ("a b", "got a str: 'a b'. Pass a list of the documents"),
            (b"a b", "got a bytes: b'a b'"),
            (np.array("a b"), "got a ndarray: array"),
            ({"a", "b"}, "got a set"),
            ({"a": 1}, "got a dict"),
            ({"a": 1}.keys(), "got a dict_keys"),
            ((text for text in ["a"]), "got a generator"),
            (None, "got a NoneType: None"),
            (3, "got a int: 3"),
            (["a", 3], r"but X\[1\] is 3, of type int. .*every document must be a str"),
            ([3, "a"], r"but X\[0\] is 3, of type int"),
            (["a", None], r"but X\[1\] is None, of type NoneType. Drop missing documents"),
            (["a", float("nan")], r"but X\[1\] is nan, of type float"),
            (["a", np.nan, None], r"but X\[1\] is nan, of type float"),
            (["a", b"b"], r"but X\[1\] is b'b', of type bytes. .*decode bytes"),
            (["a", ["b"]], r"but X\[1\] is \['b'\], of type list. .*join tokens by a space"),
            ([["a"], ["b", "c"]], r"but X\[0\] is \['a'\], of type list"),
            ([b"a"], r"but X\[0\] is b'a', of type bytes"),
            ([None], r"but X\[0\] is None, of type NoneType"),
            ([1, None], r"but X\[0\] is 1, of type int"),
            ([{"text": "a"}], r"but X\[0\] is {'text': 'a'}, of type dict"),
            (np.array([b"a"]), r"but X\[0\] is b'a', of type bytes"),
            (pd.Series(["a", None]), r"but X\[1\] is (nan|None), of type"),
            (pd.Series(["a", pd.NA], dtype="string"), r"but X\[1\] is <NA>, of type NAType"),
            (pl.Series(["a", None]), r"but X\[1\] is None, of type NoneType"),
            ([["a", "b"]], "got strings in 2-D, such as 'a'. Pass one column of texts"),
            ([["1", "2"]], "got strings in 2-D, such as '1'"),
            ([[1, "b"]], "got strings in 2-D, such as 'b'"),
            (np.array([["a"]]), "got strings in 2-D, such as 'a'"),
            (np.array([[b"a"]]), "got strings in 2-D, such as b'a'"),
            (np.array([[1, "a"]], dtype=object), "got strings in 2-D, such as 'a'"),
            (pd.DataFrame({"n": [1], "text": ["a"]}), "got strings in 2-D, such as 'a'"),
            (pd.DataFrame({"text": pd.Categorical(["a"])}), "got strings in 2-D, such as 'a'"),
            (pl.DataFrame({"n": [1], "text": ["a"]}), "got strings in 2-D, such as 'a'"),
        ],
    )  # fmt: skip
    def test_neither_text_nor_counts(self, X, match):
        with pytest.raises(
            TypeError, match=rf"^Model expected X to be a 1-D sequence of str or .*, {match}"
        ):
            check_texts(X, subject="Model")

    @pytest.mark.parametrize("X", [[], (), pd.Series([], dtype=str), np.array([], dtype=object)])
    def test_no_documents(self, X):
        with pytest.raises(ValueError, match=r"^Model got 0 documents in X\. Pass at least one"):
            check_texts(X, subject="Model")

    @pytest.mark.parametrize("method", ["fit", "fit_transform", "transform"])
    def test_every_method_asks(self, method):
        call = getattr(TokenCounter().fit(["a"]), method)
        with pytest.raises(TypeError, match=r"^TokenCounter expected X .* but X\[1\] is None"):
            call(["a", None])
        with pytest.raises(TypeError, match=r"^TokenCounter expected X .* got a str: 'a'"):
            call("a")
