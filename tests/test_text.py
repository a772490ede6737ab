import io
import pickle
import re
import string
import token
import tokenize
from collections import Counter
from importlib import resources

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline

from sklearn_codex._data.tokenizers import build_splitter
from sklearn_codex.text import TokenCounter, check_texts

quick = settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.too_slow])
thorough = settings(quick, max_examples=200)

BUILT_IN = ["whitespace", "code", "word"]
OPERATORS = sorted(op for op in token.EXACT_TOKEN_TYPES if len(op) > 1)
WORD = r"\w+|[^\w\s]"

# Blanks of str.split that are easy to forget, characters that change length in lower case, a lone
# surrogate, a combining mark, and what looks like a number or a special token but is none.
FRAGMENTS = [
    *OPERATORS, *"\x00\x1c\x85\u2028\u00a0\ufeff \n\t", "İ", "ß", "Σ", "ΑΣ", "e\u0301", "²", "٣٤",
    "\ud800", "👩\u200d💻", "\u200d", "<unk>", "<eos>", "<UNK>", "unk", "chunk", "<unk", "0xff",
    "0x", "1_000", "1__0", "1.5e-3", "1e", ".5", "5.", "1..2", "2j", "x1", "_", "naïve", "don't",
    "'", '"', "#",
]  # fmt: skip
texts = st.one_of(
    st.text(st.characters(), max_size=30),
    st.lists(st.sampled_from(FRAGMENTS), max_size=25).map("".join),
    st.lists(st.sampled_from(FRAGMENTS), max_size=25).map(" ".join),
)
corpora = st.lists(texts, min_size=1, max_size=6)
special_tokens = st.one_of(
    st.sampled_from(["<unk>", "unk", "UNK", "[UNK]", "=", "**", "1", "0x", "x=1", "<", "İ"]),
    st.text(st.characters(), min_size=1, max_size=4).filter(lambda text: text.split() == [text]),
)


def split_text(text, tokenizer, **params):
    """Tokens in the order of the text, which counts have lost."""
    return build_splitter(tokenizer, TokenCounter(**params)._special_literals())(text)


def split_by_comma(text):
    return (part for part in text.split(","))


def assert_canonical(counts, shape):
    assert isinstance(counts, sp.csr_array)
    assert counts.shape == shape
    assert counts.dtype == np.float64
    assert counts.indices.dtype == counts.indptr.dtype == np.int32
    fresh = sp.csr_array((counts.data, counts.indices, counts.indptr), shape=shape)
    assert fresh.has_canonical_format  # recomputed, not the flag the result brings along
    assert counts.data.all()


def has_tokens(corpus, tokenizer="whitespace", **params):
    return any(split_text(text, tokenizer, **params) for text in corpus)


class TestTokenizers:
    @given(corpora)
    @quick
    def test_whitespace_counts_equal_count_vectorizer(self, corpus):
        assume(has_tokens(corpus))
        reference = CountVectorizer(analyzer=str.split)
        expected = reference.fit_transform(corpus).toarray()
        counter = TokenCounter(unk_token=None)
        counts = counter.fit_transform(corpus)
        assert counter.vocabulary_ == reference.vocabulary_
        np.testing.assert_array_equal(counts.toarray(), expected)
        assert_canonical(counts, expected.shape)

    @given(corpora)
    @quick
    def test_word_counts_equal_regular_expression(self, corpus):
        assume(has_tokens(corpus, "word"))
        reference = CountVectorizer(token_pattern=WORD, lowercase=False)
        expected = reference.fit_transform(corpus).toarray()
        counter = TokenCounter("word", unk_token=None)
        np.testing.assert_array_equal(counter.fit_transform(corpus).toarray(), expected)
        assert counter.vocabulary_ == reference.vocabulary_

    @given(st.text("".join(sorted({c for op in OPERATORS for c in op})), max_size=12))
    @example("**=->:=!=//=...")
    @example("<<==>>===....")
    @quick
    def test_code_takes_the_longest_operator(self, text):
        expected, rest = [], text
        while rest:
            match = max((op for op in OPERATORS if rest.startswith(op)), key=len, default=rest[0])
            expected.append(match)
            rest = rest[len(match) :]
        assert split_text(text, "code") == expected

    @given(
        st.lists(
            st.one_of(
                st.integers(0, 10**30).map(str),
                st.integers(0).map(hex),
                st.integers(0).map(bin),
                st.integers(0).map(oct),
                st.integers(1000).map("{:_}".format),
                st.floats(0, allow_infinity=False).map(repr),
                st.floats(0, allow_infinity=False).map("{:.3E}".format),
                st.sampled_from(["1.", ".5", "1.e5", "0XFF_ff", "0B1", "0O17", "1_0.0_1e1_0J"]),
                st.sampled_from(list(token.EXACT_TOKEN_TYPES)),
                st.text(string.ascii_letters + string.digits + "_éλж日", min_size=1).filter(
                    str.isidentifier
                ),
            ),
            max_size=15,
        )
    )
    @quick
    def test_code_splits_what_python_calls_a_token(self, tokens):
        assert split_text(" ".join(tokens), "code") == tokens

    @pytest.mark.parametrize("module", ["heapq", "textwrap", "statistics", "ast", "fractions"])
    def test_code_agrees_with_python_tokenizer_on_real_code(self, module):
        source = resources.files("collections").parent / f"{module}.py"
        lines = source.read_text(encoding="utf-8")
        kinds = {tokenize.NAME, tokenize.NUMBER, tokenize.OP}
        # Strings and comments are left out; tokens that touch in the source touch here, too.
        expected, code, end = [], io.StringIO(), None
        for item in tokenize.generate_tokens(io.StringIO(lines).readline):
            kept = item.type in kinds
            code.write(" " * (item.start != end or not kept))
            if kept:
                expected.append(item.string)
                code.write(item.string)
            end = item.end
        assert len(expected) > 1000
        assert split_text(code.getvalue(), "code") == expected

    @pytest.mark.parametrize(
        ("text", "tokens"),
        [
            ("x**=1.5e-3", ["x", "**=", "1.5e-3"]),
            ("def f(a: int=0xff) -> str: ...",
             ["def", "f", "(", "a", ":", "int", "=", "0xff", ")", "->", "str", ":", "..."]),
            ("10px 0x 1e 1__0", ["10", "px", "0", "x", "1", "e", "1", "__0"]),
            ("1..real 3.14.15", ["1.", ".", "real", "3.14", ".15"]),
            ("s = 'a\"b'", ["s", "=", "'", "a", '"', "b", "'"]),
            ("naïve_日本 ²x ٣٤", ["naïve_日本", "²x", "٣٤"]),
            ("👍🏽 $x?", ["👍", "🏽", "$", "x", "?"]),
        ],
    )  # fmt: skip
    def test_code_examples(self, text, tokens):
        assert split_text(text, "code") == tokens

    @pytest.mark.parametrize("tokenizer", ["code", "word"])
    @given(text=texts, unk=special_tokens, eos=special_tokens, lowercase=st.booleans())
    @thorough
    def test_no_character_is_lost(self, tokenizer, text, unk, eos, lowercase):
        params = {"unk_token": unk, "eos_token": eos, "lowercase": lowercase}
        tokens = split_text(text, tokenizer, **params)
        assert "".join(tokens) == "".join(text.split())

    @pytest.mark.parametrize("tokenizer", BUILT_IN)
    @given(text=texts, unk=special_tokens | st.none(), eos=special_tokens | st.none())
    @thorough
    def test_joined_tokens_split_into_the_same_tokens(self, tokenizer, text, unk, eos):
        tokens = split_text(text, tokenizer, unk_token=unk, eos_token=eos)
        assert split_text(" ".join(tokens), tokenizer, unk_token=unk, eos_token=eos) == tokens

    @pytest.mark.parametrize("tokenizer", BUILT_IN)
    @given(corpus=corpora)
    @quick
    def test_lowercase_is_lowercasing_first(self, tokenizer, corpus):
        assume(has_tokens(corpus, tokenizer))
        lowered = [text.lower() for text in corpus]
        counter = TokenCounter(tokenizer, lowercase=True)
        expected = TokenCounter(tokenizer).fit(lowered)
        counts = counter.fit_transform(corpus)
        assert counter.vocabulary_ == expected.vocabulary_
        assert (counts != expected.transform(lowered)).nnz == 0

    def test_lowercase_turkish_i_is_that_of_str(self):
        counter = TokenCounter(lowercase=True, unk_token=None).fit(["İI"])
        assert list(counter.vocabulary_) == ["i\u0307i"]

    def test_callable_may_return_any_iterable(self):
        counter = TokenCounter(split_by_comma).fit(["a b,c", "c,c"])
        assert list(counter.vocabulary_) == ["<unk>", "a b", "c"]
        np.testing.assert_array_equal(
            counter.transform(["a b,c,d,<unk>"]).toarray(), [[2.0, 1.0, 1.0]]
        )

    @pytest.mark.parametrize(
        ("tokenizer", "got"),
        [(str.lower, "'a b'"), (len, "3"), (str.encode, "b'A B'"),
         (lambda _: ["a", 1], r"\['a', 1\]"), (lambda _: [["a"]], r"\[\['a'\]\]")],
    )  # fmt: skip
    def test_callable_that_returns_no_tokens(self, tokenizer, got):
        with pytest.raises(
            TypeError,
            match=rf"tokenizer of TokenCounter must return .* got {got} for the text 'A B'",
        ):
            TokenCounter(tokenizer).fit(["A B"])

    @pytest.mark.parametrize("tokenizer", BUILT_IN)
    def test_long_token(self, tokenizer):
        token = "x" * 5_000
        counter = TokenCounter(tokenizer).fit([f"{token} {token}y"])
        assert list(counter.vocabulary_) == ["<unk>", token, f"{token}y"]


class TestColumns:
    @given(corpora, st.integers(1, 4), st.none() | st.integers(1, 5), st.none() | st.just("<unk>"))
    @quick
    def test_pruning_follows_its_definition(self, corpus, min_count, max_features, unk_token):
        totals = Counter(token for text in corpus for token in text.split() if token != unk_token)
        ranked = sorted(totals, key=lambda token: (-totals[token], token))
        kept = sorted([t for t in ranked if totals[t] >= min_count][:max_features])
        specials = [unk_token] if unk_token else []
        counter = TokenCounter(min_count=min_count, max_features=max_features, unk_token=unk_token)
        assume(has_tokens(corpus) and (kept or unk_token))
        counts = counter.fit_transform(corpus)
        assert counter.get_feature_names_out().tolist() == specials + kept
        for text, row in zip(corpus, counts.toarray(), strict=True):
            expected = Counter(token if token in kept else unk_token for token in text.split())
            assert row.tolist() == [expected[name] for name in specials + kept]

    @pytest.mark.parametrize("tokenizer", BUILT_IN)
    @given(corpus=corpora, new=corpora, max_features=st.none() | st.integers(1, 3))
    @quick
    def test_every_token_is_counted_once(self, tokenizer, corpus, new, max_features):
        params = {"eos_token": "<eos>"}
        assume(has_tokens(corpus, tokenizer, **params))
        counter = TokenCounter(tokenizer, max_features=max_features, **params)
        trained = counter.fit_transform(corpus)
        assert (trained != counter.transform(corpus)).nnz == 0
        for documents, counts in ((corpus, trained), (new, counter.transform(new))):
            n_tokens = [len(split_text(text, tokenizer, **params)) for text in documents]
            np.testing.assert_array_equal(counts.sum(axis=1), np.add(n_tokens, 1))
            np.testing.assert_array_equal(counts[:, [1]].toarray(), np.ones((len(documents), 1)))
            assert_canonical(counts, (len(documents), len(counter.vocabulary_)))

    def test_specials_come_first_then_code_points(self):
        counter = TokenCounter(eos_token="</s>").fit(["b é a Z \U0001f600 \ufb01 0 !"])
        names = ["<unk>", "</s>", "!", "0", "Z", "a", "b", "é", "\ufb01", "\U0001f600"]
        assert counter.get_feature_names_out().tolist() == names
        assert counter.vocabulary_ == {name: column for column, name in enumerate(names)}
        assert list(counter.vocabulary_) == names
        assert (counter.unk_index_, counter.eos_index_, counter.n_features_in_) == (0, 1, 10)

    @pytest.mark.parametrize("tokenizer", BUILT_IN)
    def test_special_tokens_in_the_text(self, tokenizer):
        counter = TokenCounter(tokenizer, eos_token="<eos>").fit(["a <unk> b <eos> <eos>", "a"])
        assert list(counter.vocabulary_) == ["<unk>", "<eos>", "a", "b"]
        expected = [[3.0, 1.0, 1.0, 1.0], [0.0, 1.0, 1.0, 0.0]]
        np.testing.assert_array_equal(
            counter.transform(["a <unk> b <eos> <eos>", "a"]).toarray(), expected
        )
        dropping = TokenCounter(tokenizer, unk_token=None, eos_token="<eos>").fit(["a <eos> b"])
        np.testing.assert_array_equal(
            dropping.transform(["a <eos> <eos> c", ""]).toarray(),
            [[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]],
        )

    def test_special_token_glued_to_others(self):
        assert split_text("x<unk>y<eos>=", "code", eos_token="<eos>") == [
            "x", "<unk>", "y", "<eos>", "=",
        ]  # fmt: skip
        assert split_text("UNKNOWN UNK aUNK UNK1", "code", unk_token="UNK") == [
            "UNKNOWN", "UNK", "aUNK", "UNK1",
        ]  # fmt: skip
        assert split_text("x<unk>y", "whitespace") == ["x<unk>y"]
        assert (
            split_text("<unk><unk>", "word", unk_token="<unk", eos_token="<unk>") == ["<unk>"] * 2
        )

    @pytest.mark.parametrize("tokenizer", BUILT_IN)
    def test_lowercase_knows_special_tokens_in_any_case(self, tokenizer):
        counter = TokenCounter(tokenizer, lowercase=True, unk_token="[UNK]", eos_token="[Eos]")
        counts = counter.fit_transform(["A [UNK] [unk] [EOS] b"])
        assert list(counter.vocabulary_) == ["[UNK]", "[Eos]", "a", "b"]
        np.testing.assert_array_equal(counts.toarray(), [[3.0, 1.0, 1.0, 1.0]])

    def test_dropped_tokens_leave_empty_rows(self):
        counts = TokenCounter(unk_token=None).fit(["a"]).transform(["b", "", "a a"])
        np.testing.assert_array_equal(counts.toarray(), [[0.0], [0.0], [2.0]])
        assert counts.nnz == 1

    def test_all_tokens_pruned(self):
        counter = TokenCounter(min_count=3).fit(["a b", "a"])
        np.testing.assert_array_equal(counter.transform(["a b c"]).toarray(), [[3.0]])
        for eos_token in (None, "<eos>"):
            with pytest.raises(
                ValueError, match=r"no tokens left: of 2 distinct tokens none .* min_count=3 times"
            ):
                TokenCounter(min_count=3, unk_token=None, eos_token=eos_token).fit(["a b", "a"])

    @pytest.mark.parametrize("params", [{}, {"eos_token": "<eos>"}, {"vocabulary": ["a"]}])
    def test_corpus_without_a_token(self, params):
        with pytest.raises(
            ValueError,
            match=r"found no tokens in X: 2 documents.* tokenizer='whitespace'\. Pass at",
        ):
            TokenCounter(**params).fit(["", " \x1c\x85\u2028"])

    @pytest.mark.parametrize(
        ("params", "match"),
        [
            ({"unk_token": ""}, "must not be empty or hold blanks, got unk_token=''"),
            ({"eos_token": "a b"}, "must not be empty or hold blanks, .* eos_token='a b'"),
            ({"eos_token": "<unk>"}, "must differ from each other, got .* eos_token='<unk>'"),
            (
                {"eos_token": "<UNK>", "lowercase": True},
                "must differ from each other in lower case",
            ),
        ],
    )
    def test_unusable_special_tokens(self, params, match):
        for X in (["a"], [[1.0]]):
            with pytest.raises(ValueError, match=f"special tokens of TokenCounter {match}"):
                TokenCounter(**params).fit(X)

    @pytest.mark.parametrize(
        "params", [{"tokenizer": "bpe"}, {"min_count": 0}, {"max_features": 0},
                   {"lowercase": "yes"}, {"unk_token": 0}, {"eos_token": b"e"},
                   {"vocabulary": "abc"}, {"vocabulary": 3}, {"vocabulary": iter(["a"])}],
    )  # fmt: skip
    def test_parameter_constraints(self, params):
        (name,) = params
        for method in ("fit", "fit_transform"):
            with pytest.raises(ValueError, match=f"The '{name}' parameter of TokenCounter must be"):
                getattr(TokenCounter(**params), method)(["a"])


class TestFixedVocabulary:
    @pytest.mark.parametrize(
        "vocabulary",
        [["b", "a"], ("b", "a"), {"b": 0, "a": 1}, {"a": 1, "b": 0}, {"a": np.int64(1), "b": 0},
         np.array(["b", "a"]), np.array(["b", "a"], dtype=object), pd.Series(["b", "a"])],
    )  # fmt: skip
    def test_columns_given_are_kept_and_specials_appended(self, vocabulary):
        counter = TokenCounter(vocabulary=vocabulary, eos_token="<eos>").fit(["c"])
        assert list(counter.vocabulary_.items()) == [("b", 0), ("a", 1), ("<unk>", 2), ("<eos>", 3)]
        assert (counter.unk_index_, counter.eos_index_) == (2, 3)
        np.testing.assert_array_equal(
            counter.transform(["a c b a <eos>"]).toarray(), [[1.0, 2.0, 2.0, 1.0]]
        )

    def test_specials_given_keep_their_place(self):
        counter = TokenCounter(vocabulary=["a", "<eos>", "b", "<unk>"], eos_token="<eos>").fit(
            ["a"]
        )
        assert (counter.unk_index_, counter.eos_index_) == (3, 1)
        np.testing.assert_array_equal(
            counter.transform(["b z <eos>", ""]).toarray(), [[0.0, 1.0, 1.0, 2.0], [0, 1, 0, 0]]
        )

    def test_a_learned_vocabulary_is_a_fixed_one(self):
        corpus = ["x += 1", "y -= 1 <eos>"]
        learned = TokenCounter("code", eos_token="<eos>").fit(corpus)
        for vocabulary in (learned.vocabulary_, learned.get_feature_names_out()):
            fixed = TokenCounter("code", eos_token="<eos>", vocabulary=vocabulary).fit(["z"])
            assert fixed.vocabulary_ == learned.vocabulary_
            assert (fixed.transform(corpus) != learned.transform(corpus)).nnz == 0

    @pytest.mark.parametrize(
        ("vocabulary", "error", "match"),
        [
            ({"a": 0, "b": 2}, ValueError, r"2 tokens to the columns 0 to 1, .* got \[0, 2\]"),
            ({"a": 0, "b": 0}, ValueError, r"each once, got \[0, 0\]\. Pass the tokens alone"),
            ({"a": 1, "b": 2}, ValueError, r"each once, got \[1, 2\]"),
            ({"a": "0"}, ValueError, r"each once, got \['0'\]"),
            (["a", "b", "a"], ValueError, "hold each token once, got 'a' 2 times"),
            ([], ValueError, "is empty. Pass at least one token"),
            ({}, ValueError, "is empty. Pass at least one token"),
            (["a", 1], TypeError, "hold str only, got the token 1"),
            ({1: 0}, TypeError, "hold str only, got the token 1"),
            ([["a"]], TypeError, r"hold str only, got the token \['a'\]"),
            ({"b", "a"}, TypeError, "have an order, got a set. Pass a sorted list"),
        ],
    )
    def test_unusable_vocabulary(self, vocabulary, error, match):
        with pytest.raises(error, match=f"The vocabulary of TokenCounter .*{match}"):
            TokenCounter(vocabulary=vocabulary).fit(["a"])

    @pytest.mark.parametrize("params", [{"min_count": 2}, {"max_features": 1}])
    def test_nothing_left_to_choose(self, params):
        with pytest.raises(ValueError, match=r"is fixed, so min_count=\d and max_features=.* have"):
            TokenCounter(vocabulary=["a"], **params).fit(["a"])

    def test_fit_is_still_required(self):
        with pytest.raises(NotFittedError, match="TokenCounter instance is not fitted"):
            TokenCounter(vocabulary=["a"]).transform(["a"])


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
            ([1, 2], "Expected 2D array, got 1D array"),
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

    def test_pandas_output_is_refused_by_scikit_learn(self):
        counter = TokenCounter().set_output(transform="pandas")
        with pytest.raises(ValueError, match="transformer outputs a scipy sparse matrix"):
            counter.fit_transform(["a"])

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
