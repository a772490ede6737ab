"""How texts are split: the tokenizers, against their definitions."""

import io
import string
import token
import tokenize
from importlib import resources

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer
from text_corpora import (
    BUILT_IN,
    OPERATORS,
    assert_canonical,
    corpora,
    has_tokens,
    quick,
    special_tokens,
    split_by_comma,
    split_text,
    texts,
    thorough,
)

from sklearn_codex.text import TokenCounter

WORD = r"\w+|[^\w\s]"


class TestTokenizers:
    @given(corpora)
    @quick
    def test_whitespace_counts_equal_count_vectorizer(self, corpus):
        assume(has_tokens(corpus))
        reference = CountVectorizer(analyzer=str.split)
        expected = reference.fit_transform(corpus).toarray()
        counter = TokenCounter("whitespace", unk_token=None)
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
