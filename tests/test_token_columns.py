"""Which token has which column: learned vocabularies and given ones."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from sklearn.exceptions import NotFittedError
from text_corpora import BUILT_IN, assert_canonical, corpora, has_tokens, quick, split_text

from sklearn_codex.text import TokenCounter


class TestColumns:
    @given(corpora, st.integers(1, 4), st.none() | st.integers(1, 5), st.none() | st.just("<unk>"))
    @example(["b a b"], 2, None, "<unk>")  # as often as it has to be
    @example(["b a b"], 1, 1, None)  # the last one by its name, the first one by its number
    @quick
    def test_pruning_follows_its_definition(self, corpus, min_count, max_features, unk_token):
        totals = Counter(token for text in corpus for token in text.split() if token != unk_token)
        ranked = sorted(totals, key=lambda token: (-totals[token], token))
        kept = sorted([t for t in ranked if totals[t] >= min_count][:max_features])
        specials = [unk_token] if unk_token else []
        options = {"min_count": min_count, "max_features": max_features}
        counter = TokenCounter("whitespace", unk_token=unk_token, **options)
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
            match=r"found no tokens in X: 2 documents.* tokenizer='script'\. Pass at",
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
