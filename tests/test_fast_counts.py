"""The fast route from text to counts, held against the dict route and the standard library."""

import os
import re
import subprocess
import sys
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer

from sklearn_codex._fast_counts import (
    FastCounts,
    _arrays,
    _counting,
    _rows,
    _scan,
    _types,
    sort_strings,
)
from sklearn_codex._text import tokenizers as _tokenizers
from sklearn_codex._text.tokenizers import BUILT_IN, FAST, DictCounts, build_splitter, split_texts
from sklearn_codex.text import TokenCounter

quick = settings(deadline=None, max_examples=100, suppress_health_check=list(HealthCheck))
thorough = settings(quick, max_examples=150)

BLANKS = "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2009\u2028\u2029\u202f\u205f\u3000"
ODD = [
    "\x00", "a\x00", "\x00a", "abcdefgh\x00", "abcdefgh", "abcdefg", "abcdefg\x00", "\x07", "\x7f",
    "\ud800", "\udfff", "\ud83d\ude00", "e\u0301", "\u0301", "👩\u200d💻", "\u200b", "\ufeff", "İ",
    "I", "\u0131", "ΑΣ", "Σ", "ß", "K", "²", "½", "٣٤", "٣.٤", "5٣", "日本語", "。", "«",
    "—", "\U0010ffff",
]  # fmt: skip
CODE = [
    "=", "==", "===", "====", "=====", "<<=", ">>>=", "**=", "***=", "//==", "->", "-->", "->=",
    "...", "....", ".....", "..", ".", "!=", ":=", "::=", "+=", "+-", "-+=", "0", "07", "1_000",
    "1__0", "12345678", "123456789012", "0x", "0xff", "0Xg", "0xfg", "0xffffff", "0xfffffff",
    "0b1", "0b12", "0o7", "1.5e-3", "1e", "1e5", "1e+", "1.e-5j", ".5", "5.", "1..2", "2j", "x1",
    "_1", "1_", "0.5.5", "v1.2-3", "1.5-=2", "1.5->", "1-1", "1.-.5", "a.b", "\"", "'", "#", "(",
]  # fmt: skip
LONG = ["x" * 16, "x" * 17, "x" * 24, "x" * 25, "x" * 5_000, "x" * 4_999 + "y", "y" * 5_000]
SPECIAL = ["<unk>", "<eos>", "<UNK>", "unk", "UNK", "chunk", "<unk", "unk>", "[unk]"]
fragments = st.sampled_from([*BLANKS, *ODD, *CODE, *LONG, *SPECIAL])
texts = st.one_of(
    st.text(st.characters(), max_size=20),
    st.text(st.characters(max_codepoint=127), max_size=40),
    st.lists(fragments, max_size=30).map("".join),
    st.lists(fragments, max_size=30).map(" ".join),
)
corpora = st.lists(texts, max_size=8)
chunk_sizes = st.sampled_from([1, 2, 7, 30, 10**6])
literals = st.lists(
    st.one_of(
        st.sampled_from([*SPECIAL, "=", "**", "1", "0x", "x=1", ".", "1.5", "İ", "\ud800", "。"]),
        st.text(st.characters(), min_size=1, max_size=3).filter(lambda t: t.split() == [t]),
    ),
    max_size=3,
)


def assert_same_counts(left, right):
    assert left.shape == right.shape
    assert (left != right).nnz == 0
    assert left.nnz == right.nnz


def assert_equal_to_dict_route(corpus, rule, *, lowercase=False, special=(), **params):
    split = build_splitter(rule, special)
    expected = DictCounts(split_texts(corpus, split, lowercase=lowercase))
    found = FastCounts.of_texts(
        corpus, rule, split, literals=special, lowercase=lowercase, **params
    )
    assert found.types.tolist() == expected.types.tolist()
    assert found.totals.tolist() == expected.totals.tolist()
    n = len(expected.types)
    counts = found.assign(np.arange(n), max(n, 1))
    counts.check_format()
    fresh = type(counts)((counts.data, counts.indices, counts.indptr), shape=counts.shape)
    assert fresh.has_canonical_format
    assert counts.data.all()
    assert counts.dtype == np.float64
    if n:
        assert_same_counts(counts, expected.assign(np.arange(n), n))


class TestEqualToDictRoute:
    @pytest.mark.parametrize("rule", FAST)
    @given(corpus=corpora, lowercase=st.booleans(), chunk_size=chunk_sizes)
    @example(["a\x00 a", "", BLANKS, "\n", "\x85"], False, 1)
    @example(["İI ΑΣ ΑΣ.Σ", "K"], True, 10**6)
    @example(
        ["abcdefg\x00 abcdefg abcdefgh\x00\x00 abcdefgh\x00 abcdefgh a\x00\x00 a\x00 a"], False, 1
    )
    @example(["abcdefgh\x00 abcdefgh\x01 abcdefgh abcdefgh\x7f abcdefgh\ud800"], False, 1)
    @example(["x" * 5_000 + " " + "x" * 4_999 + "y"], False, 10**6)
    @thorough
    def test_any_text(self, rule, corpus, lowercase, chunk_size):
        assert_equal_to_dict_route(corpus, rule, lowercase=lowercase, chunk_size=chunk_size)

    @pytest.mark.parametrize("rule", ["code", "word"])
    @given(corpus=corpora, special=literals, lowercase=st.booleans(), chunk_size=chunk_sizes)
    @example(["1<unk>2 1.5<unk> <unk>.5"], ["<unk>"], False, 10**6)
    @example(["UNKNOWN UNK aUNK UNK1 UNK."], ["UNK"], False, 10**6)
    @thorough
    def test_special_tokens(self, rule, corpus, special, lowercase, chunk_size):
        assert_equal_to_dict_route(
            corpus, rule, lowercase=lowercase, special=special, chunk_size=chunk_size
        )

    @given(st.lists(st.sampled_from(CODE), min_size=1, max_size=12).map("".join))
    @settings(quick, max_examples=300)
    def test_operators_and_numbers(self, text):
        assert_equal_to_dict_route([text], "code")

    def test_all_pairs_and_triples_of_operator_characters(self):
        characters = "-+*/%&|^@:=!<>.~?0a_ "
        runs = ["".join(run) for n in (2, 3, 4) for run in product(characters, repeat=n)]
        assert_equal_to_dict_route(runs, "code")

    def test_all_short_runs_of_number_characters(self):
        runs = ["".join(run) for n in (5, 6) for run in product("1.+-e ", repeat=n)]
        assert_equal_to_dict_route(runs, "code")
        assert_equal_to_dict_route([run.replace("e", "٣") for run in runs], "code")

    @pytest.mark.parametrize("rule", FAST)
    def test_code_points(self, rule):
        codes = {*range(0x3400), *range(0xD7F0, 0xE010), *range(0xFE00, 0x10000)}
        every = list(map(chr, sorted({*codes, *range(0x3400, 0x110000, 101)})))
        assert_equal_to_dict_route([f"a{c}1{c}" for c in every], rule)
        assert_equal_to_dict_route(["".join(every), " ".join(every)], rule)
        assert_equal_to_dict_route([" ".join(every)], rule, lowercase=True)

    @pytest.mark.parametrize("rule", FAST)
    @pytest.mark.parametrize("chunk_size", [1 << 10, 1 << 14, _counting.CHUNK_SIZE])
    def test_the_source_of_this_package(self, rule, chunk_size):
        rooms = (_counting, _rows, _scan, _types, _tokenizers, re, os, subprocess)
        files = [Path(room.__file__).read_text(encoding="utf-8") for room in rooms]
        for corpus in (files, "\n".join(files).split("\n\n"), "\n".join(files).split("\n")):
            assert_equal_to_dict_route(corpus, rule, chunk_size=chunk_size)

    @pytest.mark.parametrize("rule", FAST)
    def test_no_text(self, rule):
        for corpus in ([], [""], ["", " \n"]):
            found = FastCounts.of_texts(corpus, rule, build_splitter(rule, ()))
            assert found.types.tolist() == found.totals.tolist() == []
            assert found.assign(np.array([], int), 3).toarray().tolist() == [[0.0] * 3] * len(
                corpus
            )


class TestEqualToStandardLibrary:
    @given(corpora, chunk_sizes)
    @quick
    def test_whitespace_is_str_split(self, corpus, chunk_size):
        found = FastCounts.of_texts(corpus, "whitespace", str.split, chunk_size=chunk_size)
        tokens = [token for text in corpus for token in text.split()]
        assert found.types.tolist() == sorted(set(tokens))
        assert found.totals.tolist() == [tokens.count(name) for name in found.types]

    @pytest.mark.parametrize("rule", ["code", "word"])
    @given(corpora, chunk_sizes)
    @quick
    def test_patterns_are_found_as_by_re(self, rule, corpus, chunk_size):
        findall = build_splitter(rule, ())
        found = FastCounts.of_texts(corpus, rule, findall, chunk_size=chunk_size)
        tokens = [token for text in corpus for token in findall(text)]
        assert found.types.tolist() == sorted(set(tokens))
        assert found.totals.tolist() == [tokens.count(name) for name in found.types]

    @given(corpora)
    @quick
    def test_count_vectorizer(self, corpus):
        reference = CountVectorizer(token_pattern=r"\w+|[^\w\s]", lowercase=False)
        try:
            expected = reference.fit_transform(corpus)
        except ValueError:
            return
        found = FastCounts.of_texts(corpus, "word", build_splitter("word", ()))
        assert found.types.tolist() == reference.get_feature_names_out().tolist()
        assert_same_counts(found.assign(np.arange(len(found.types)), len(found.types)), expected)


class TestAssign:
    @given(st.data(), corpora.filter(len), chunk_sizes, st.booleans())
    @quick
    def test_columns_may_be_shared_left_out_and_ended(self, data, corpus, chunk_size, with_end):
        split = build_splitter("word", ())
        expected = DictCounts(split_texts(corpus, split))
        n = len(expected.types)
        columns = data.draw(st.lists(st.integers(-1, 4), min_size=n, max_size=n).map(np.array))
        end_column = 2 if with_end else None
        found = FastCounts.of_texts(corpus, "word", split, chunk_size=chunk_size)
        assert_same_counts(
            found.assign(columns.astype(int), 5, end_column=end_column),
            expected.assign(columns.astype(int), 5, end_column=end_column),
        )

    def test_a_long_text_is_cut_at_blanks_only(self):
        corpus = ["ab " * 200 + "x" * 300 + "\u2003" + "1.5e-3 " * 50, "", "a", "b" * 1_000]
        assert_equal_to_dict_route(corpus, "code", chunk_size=10)
        found = FastCounts.of_texts(corpus, "code", build_splitter("code", ()), chunk_size=10)
        n = len(found.types)
        counts = found.assign(np.arange(n), n + 1, end_column=n)
        assert counts[:, [n]].toarray().ravel().tolist() == [1.0] * 4

    @pytest.mark.parametrize("n_tokens", [10, 1_000])
    def test_types_merged_again_and_again(self, monkeypatch, n_tokens):
        monkeypatch.setattr(_counting, "N_WAITING", 1)
        rng = np.random.default_rng(0)
        words = [f"{'long' * (i % 5)}{i}" for i in range(500)]
        corpus = [" ".join(rng.choice(words, n_tokens)) for _ in range(50)]
        assert_equal_to_dict_route(corpus, "whitespace", chunk_size=200)


class TestClashes:
    """What cannot be told apart by its key is told apart by its bytes."""

    @pytest.mark.parametrize("rule", FAST)
    @given(corpus=corpora, chunk_size=chunk_sizes)
    @quick
    def test_one_hash_for_all(self, rule, corpus, chunk_size):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_types, "_hash", lambda words, at, ends: np.full_like(at, 8, "u8"))
            patch.setattr(_types, "_hash_pairs", lambda heads, tails: np.full_like(heads, 8))
            assert_equal_to_dict_route(corpus, rule, chunk_size=chunk_size)

    @pytest.mark.parametrize("chunk_size", [1, 10**6])
    def test_hash_of_few_bits(self, monkeypatch, chunk_size):
        def weaken(strong):
            return lambda *args: (strong(*args) & np.uint64(0xF0)) | np.uint64(8)

        for name in ("_hash", "_hash_pairs"):
            monkeypatch.setattr(_types, name, weaken(getattr(_types, name)))
        corpus = [
            f"token-number-{i} token-number-{i % 10}\x00 token{i:04} number{i % 10:03}\x00"
            for i in range(300)
        ]
        assert_equal_to_dict_route(corpus, "whitespace", chunk_size=chunk_size)

    @pytest.mark.parametrize("chunk_size", [1, 10**6])
    def test_same_slot_for_all(self, monkeypatch, chunk_size):
        monkeypatch.setattr(_types, "_MULTIPLIERS", np.zeros(16, np.uint64))
        corpus = [f"a{i} b{i % 7} token-number-{i % 20} {i}" for i in range(100)] * 2
        for rule in FAST:
            assert_equal_to_dict_route(corpus, rule, chunk_size=chunk_size)

    @given(st.lists(st.integers(0, 30), min_size=1, max_size=200), st.booleans())
    @quick
    def test_last_equal(self, values, weak):
        keys = np.array(values, np.uint64)
        last = {value: position for position, value in enumerate(values)}
        with pytest.MonkeyPatch.context() as patch:
            if weak:
                patch.setattr(_types, "_MULTIPLIERS", np.zeros(16, np.uint64))
            found = _types.Slots().last_equal(keys)
        assert found.tolist() == [last[value] for value in values]


@given(st.lists(st.booleans() | st.just(False), max_size=100))
@quick
def test_masks_are_read_by_words(values):
    mask = np.array(values, bool)
    assert _arrays.find_few(mask).tolist() == [i for i, value in enumerate(values) if value]
    positions = np.arange(len(values))
    padded = np.append(mask, np.zeros(8, bool))
    expected = [sum(values[:position]) for position in positions]
    assert _arrays.count_before(padded, positions).tolist() == expected


@given(st.lists(texts, max_size=30, unique=True))
@example(["", "\n", "\x00", "abcdefg", "abcdefg\x00", "abcdefgh\n", "abcdefgh\x00", "abcdefgh"])
@thorough
def test_strings_are_sorted_by_code_point(strings):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_counting, "MANY_STRINGS", 0)
        order = sort_strings(strings)
    assert [strings[index] for index in order.tolist()] == sorted(strings)


class TestDeterminism:
    def test_processes_with_other_constants_agree(self):
        program = """if True:
            import hashlib, re
            from pathlib import Path
            from sklearn_codex import text
            from sklearn_codex._text import tokenizers as _tokenizers
            from sklearn_codex._fast_counts import _types
            _tokenizers._MIN_FAST_SIZE = dict.fromkeys(_tokenizers._MIN_FAST_SIZE, 0)
            corpus = Path(re.__file__).read_text(encoding="utf-8").split("\\n")
            digest = hashlib.sha256()
            for rule in _tokenizers.FAST:
                counter = text.TokenCounter(rule, eos_token="<eos>", min_count=2)
                counts = counter.fit_transform(corpus)
                digest.update("\\n".join(counter.vocabulary_).encode())
                for part in (counts.data, counts.indices, counts.indptr):
                    digest.update(part.tobytes())
            print(digest.hexdigest(), _types._MULTIPLIERS[0])
        """
        runs = [
            subprocess.run(
                [sys.executable, "-c", program], check=True, capture_output=True, text=True
            ).stdout.split()
            for _ in range(2)
        ]
        assert runs[0][0] == runs[1][0]
        assert runs[0][1] != runs[1][1]

    @pytest.mark.parametrize("rule", FAST)
    def test_chunks_decide_nothing(self, rule):
        corpus = [f"x{i % 13} += 0x{i:x} * {i / 7} # {'é' * (i % 9)} <unk>" for i in range(400)]
        split = build_splitter(rule, ["<unk>"])
        results = []
        for chunk_size in (1, 100, 5_000, 10**6):
            found = FastCounts.of_texts(
                corpus, rule, split, literals=["<unk>"], chunk_size=chunk_size
            )
            totals = found.totals
            counts = found.assign(np.arange(len(found.types)), len(found.types))
            parts = (totals, counts.data, counts.indices, counts.indptr)
            results.append(("\n".join(found.types), *(part.tobytes() for part in parts)))
        assert results == [results[0]] * 4


@pytest.mark.parametrize("rule", BUILT_IN)
@given(
    corpus=corpora.filter(len),
    new=corpora.filter(len),
    unk_token=st.sampled_from([None, "<unk>", "UNK", "="]),
    eos_token=st.sampled_from([None, "<eos>", "x"]),
    lowercase=st.booleans(),
    min_count=st.integers(1, 3),
    max_features=st.none() | st.integers(1, 5),
    vocabulary=st.none() | st.just(["x", "==", "<unk>", "1.5e-3", "日本語", "x" * 5_000]),
)
@thorough
def test_token_counter_cannot_tell_the_routes_apart(rule, corpus, new, vocabulary, **params):
    if vocabulary is not None:
        params |= {"min_count": 1, "max_features": None, "vocabulary": vocabulary}
    outcomes = []
    for size in (0, 10**9):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_tokenizers, "_MIN_FAST_SIZE", dict.fromkeys([*FAST, "callable"], size))
            counter = TokenCounter(rule, **params)
            try:
                trained = counter.fit_transform(corpus)
            except ValueError as error:
                outcomes.append(str(error))
                continue
            outcomes.append((list(counter.vocabulary_.items()), trained, counter.transform(new)))
    fast, by_dict = outcomes
    if isinstance(fast, str):
        assert fast == by_dict
        return
    assert fast[0] == by_dict[0]
    assert_same_counts(fast[1], by_dict[1])
    assert_same_counts(fast[2], by_dict[2])
    assert fast[1].indices.dtype == by_dict[1].indices.dtype


class PlainTwin(str):
    """A str that says it is equal to any other."""

    __slots__ = ()

    def __eq__(self, other):
        return True

    def __hash__(self):
        return 0


class TestTokensOfTheUser:
    """Any str may be a token: empty, with newlines, of a subclass."""

    @given(
        st.lists(st.lists(texts | st.just(""), max_size=9), max_size=8),
        st.integers(1, 9),
        chunk_sizes,
    )
    @example([["", "\n", "\n\n"], [], ["\x00", "", "\n"], [""]], 1, 7)
    @example([["abcdefgh\n", "abcdefgh", "abcdefgh\n\n", "\nabcdefgh\x00", "é\n", "é"]], 9, 1)
    @thorough
    def test_both_routes_count_what_python_counts(self, documents, batch_size, chunk_size):
        documents = {str(number): tokens for number, tokens in enumerate(documents)}
        every = [token for tokens in documents.values() for token in tokens]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_tokenizers, "_BATCH_SIZE", batch_size)
            counted = [
                route(split_texts(list(documents), documents.__getitem__))
                for route in (partial(FastCounts.of_tokens, chunk_size=chunk_size), DictCounts)
            ]
        names = sorted(set(every))
        for found in counted:
            assert found.types.tolist() == names
            assert found.totals.tolist() == [every.count(name) for name in names]
            counts = found.assign(np.arange(len(names)), max(len(names), 1)).toarray()
            expected = [[tokens.count(name) for name in names] for tokens in documents.values()]
            assert counts[:, : len(names)].tolist() == expected

    @pytest.mark.parametrize("batch_size", [1, 5, 10**6])
    @pytest.mark.parametrize("size", [0, 10**9])
    def test_subclasses_become_str_in_both_routes(self, monkeypatch, size, batch_size):
        monkeypatch.setattr(_tokenizers, "_BATCH_SIZE", batch_size)
        monkeypatch.setattr(_tokenizers, "_MIN_FAST_SIZE", {"callable": size})
        counter = TokenCounter(lambda text: map(PlainTwin, text.split("-")), lowercase=True)
        counts = counter.fit_transform(["A-b", "", "b-b", "c"])
        assert list(counter.vocabulary_) == ["<unk>", "", "a", "b", "c"]
        assert set(map(type, counter.vocabulary_)) == {str}
        assert counts[:, 1:].toarray().tolist() == [
            [0.0, 1.0, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 2.0, 0.0], [0.0, 0.0, 0.0, 1.0]
        ]  # fmt: skip

    @pytest.mark.parametrize("batch_size", [1, 10**6])
    @pytest.mark.parametrize("size", [0, 10**9])
    @pytest.mark.parametrize(
        ("wrong", "got"), [("b", "'b'"), (["x", 1], r"\['x', 1\]"), (None, "None"), (b"b", "b'b'")]
    )
    def test_what_is_no_token_is_named_with_its_text(
        self, monkeypatch, wrong, got, size, batch_size
    ):
        monkeypatch.setattr(_tokenizers, "_BATCH_SIZE", batch_size)
        monkeypatch.setattr(_tokenizers, "_MIN_FAST_SIZE", {"callable": size})
        results = {"A": ["x", "y"], "B": wrong, "C": ["z"]}
        with pytest.raises(TypeError, match=f"iterable of str, .* got {got} for the text 'B'"):
            TokenCounter(results.__getitem__).fit(["A", "B", "C"])

    def test_each_text_is_split_once(self):
        seen = []

        def split(text):
            seen.append(text)
            return [text, "\n"]

        corpus = [f"{number:05}" for number in range(15_000)] * 2
        TokenCounter(split).fit_transform(corpus)
        assert seen == corpus


def test_large_text_takes_the_fast_route():
    corpus = ["some text "] * 20_000
    for tokenizer in (*BUILT_IN, str.split):
        assert isinstance(TokenCounter(tokenizer)._count_types(corpus), FastCounts)
        assert isinstance(TokenCounter(tokenizer)._count_types(corpus[:10]), DictCounts)


def test_vocabulary_is_built_when_asked_for_and_forgotten_when_fitted_again():
    counter = TokenCounter().fit(["b a"])
    assert "vocabulary_" not in vars(counter)
    assert counter.vocabulary_ == {"<unk>": 0, "a": 1, "b": 2}
    assert counter.vocabulary_ is counter.vocabulary_
    assert counter.fit(["c"]).vocabulary_ == {"<unk>": 0, "c": 1}
    assert counter.fit([[1.0, 2.0]]).vocabulary_ is None
    assert counter.fit(["d"]).vocabulary_ == {"<unk>": 0, "d": 1}
