"""Counts of n-grams from text: what the counter learns, and that all ways to it agree."""

import re
from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse as sp
from assertions import assert_is_document_term_matrix
from hypothesis import given
from sklearn.base import clone
from text_corpora import corpora, has_tokens, quick

from sklearn_codex import NGramCounter, TokenCounter, UnigramLM
from sklearn_codex._fast_counts import FastCounts
from sklearn_codex._text.tokenizers import DictCounts, build_splitter, rule_in_a_row, split_texts

TEXTS = ["a b a c", "a a b", "c", "b a b a d", ""]
OPTIONS = [
    {},
    {"min_ngram_count": 2},
    {"max_ngrams": 4},
    {"min_count": 2},
    {"eos_token": "</s>"},
    {"min_count": 2, "min_ngram_count": 2, "eos_token": "</s>"},
    {"unk_token": None},
    {"vocabulary": ["b", "a"]},
]


def assert_same(counts, others):
    assert counts.shape == others.shape
    assert (counts != others).nnz == 0


@pytest.mark.parametrize("order", [1, 2, 3, 5])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_all_ways_to_the_counts_agree(order, options):
    counter = NGramCounter(order, **options)
    counts = counter.fit_transform(TEXTS)
    assert_is_document_term_matrix(counts, (5, counter.n_features_in_))
    assert_same(counter.transform(TEXTS), counts)
    assert_same(clone(counter).fit(TEXTS).transform(TEXTS), counts)
    if options != {"unk_token": None}:
        stream = clone(counter).partial_fit(TEXTS[:2]).partial_fit(TEXTS[2:])
        assert_same(stream.transform(TEXTS), counts)
        names = stream.get_feature_names_out().tolist()
        assert names == counter.get_feature_names_out().tolist()


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_tokens_are_those_of_a_token_counter(options):
    options = {name: value for name, value in options.items() if "ngram" not in name}
    tokens = TokenCounter(**options)
    counts = tokens.fit_transform(TEXTS)
    assert_same(NGramCounter(1, **options).fit_transform(TEXTS), counts)
    counter = NGramCounter(3, **options)
    events = counter.fit_transform(TEXTS)
    names = tokens.get_feature_names_out().tolist()
    assert counter.get_feature_names_out()[: len(names)].tolist() == names
    assert counter.inverse_transform(events) == tokens.inverse_transform(counts)
    n_ngrams = counter.trie_.n_arcs
    np.testing.assert_array_equal(events[:, :n_ngrams].sum(axis=1), counts.sum(axis=1))


def test_columns_by_name():
    counter = NGramCounter(2, unk_token=None, eos_token="</s>").fit(["a b", "a a b"])
    assert counter.get_feature_names_out().tolist() == [
        *("</s>", "a", "b", "a a", "a b", "b </s>", "<s> a"),
        *("a  (backed off)", "b  (backed off)", "<s>  (backed off)"),
        *("a  (end)", "b  (end)", "<s>  (end)"),
    ]
    row = counter.transform(["b b"]).toarray()[0]
    names = counter.get_feature_names_out()
    assert {name: count for name, count in zip(names, row, strict=True) if count} == {
        "b": 2,
        "b </s>": 1,
        "<s>  (backed off)": 1,
        "b  (backed off)": 1,
        "b  (end)": 1,
    }


def test_order_counts():
    counter = NGramCounter(2).fit(["a b", "b a"])
    assert (counter.transform(["a b"]) != counter.transform(["b a"])).nnz > 0


def test_what_follows_a_prompt():
    counter = NGramCounter(3, eos_token="</s>").fit(["a b c", "b c a"])
    names = counter.get_feature_names_out()
    after = counter.transform_after(["a b"], ["c"]).toarray()[0]
    found = {name: count for name, count in zip(names, after, strict=True) if count}
    assert found == {"a b c": 1, "b c </s>": 1, "b c  (end)": 1}
    assert_same(counter.transform_after([""], ["a b c"]), counter.transform(["a b c"]))
    with pytest.raises(ValueError, match="as many prompts as texts"):
        counter.transform_after(["a", "b"], ["c"])


@quick
@given(corpora)
def test_any_texts(corpus):
    for tokenizer in ("whitespace", "code", "script"):
        if not has_tokens(corpus, "whitespace"):
            continue
        counter = NGramCounter(3, tokenizer=tokenizer, eos_token="</s>")
        counts = counter.fit_transform(corpus)
        assert_same(counter.transform(corpus), counts)
        assert_same(counter.transform(corpus[::-1]), counts[::-1])
        # Of scripts without blanks, characters without the pairs that overlap them.
        row = build_splitter(rule_in_a_row(tokenizer), ["<unk>", "</s>"])
        tokens = TokenCounter(row, eos_token="</s>").fit_transform(corpus)
        assert_same(sp.csr_array(counts @ counter.trie_.token_map), tokens)


@pytest.mark.parametrize("rule", ["whitespace", "code", "word"])
@pytest.mark.parametrize("chunk_size", [1, 40, 1 << 20])
def test_tokens_in_order_by_both_kernels(rule, chunk_size):
    texts = ["x = 1.5\nif x:\n  pass", "", "é ß 我 <unk> x", "long_identifier_name " * 9]
    split = build_splitter(rule, ["<unk>"])
    fast = FastCounts.of_texts(
        texts, rule, split, literals=["<unk>"], in_order=True, chunk_size=chunk_size
    )
    slow = DictCounts(split_texts(texts, split), in_order=True)
    for counted in (fast, slow):
        types = counted.types
        columns = np.arange(len(types))
        columns[types == "x"] = -1
        ids, starts = counted.line_up(columns, end_column=len(types))
        names = np.append(types, "END")
        lines = [names[ids[start:end]].tolist() for start, end in pairwise(starts)]
        assert lines == [[t for t in split(text) if t != "x"] + ["END"] for text in texts]


def test_large_text_goes_the_same_way_as_small(monkeypatch):
    rng = np.random.RandomState(0)
    words = np.array([f"word{i}" for i in range(300)])
    texts = [" ".join(words[rng.zipf(1.5, 200) % 300]) for _ in range(100)]
    counter = NGramCounter(3, tokenizer="whitespace", min_count=2, eos_token="</s>")
    large = counter.fit_transform(texts)
    monkeypatch.setattr("sklearn_codex._text.tokenizers._MIN_FAST_SIZE", {"whitespace": 1 << 40})
    small = clone(counter).fit_transform(texts)
    assert_same(large, small)


def test_fitted_on_counts_it_counts_tokens():
    counter = NGramCounter(3).fit(np.eye(3))
    assert (counter.order_, counter.trie_, counter.n_features_in_) == (1, None, 3)
    assert_same(counter.transform(np.eye(3)), sp.csr_array(np.eye(3)))


def test_a_fit_on_counts_forgets_the_ngrams():
    counter = NGramCounter(3).fit(TEXTS).fit(np.eye(3))
    assert counter.get_feature_names_out().tolist() == ["x0", "x1", "x2"]


@pytest.mark.parametrize("options", [{"min_ngram_count": 2}, {"max_ngrams": 3}])
def test_options_of_text_have_nothing_to_do_in_counts(options):
    with pytest.raises(ValueError, match=re.escape("options that act on text only")):
        NGramCounter(**options).fit(np.eye(3))


def test_a_stream_cannot_drop_tokens_that_later_batches_decide_on():
    counter = NGramCounter(unk_token=None, min_count=2)
    with pytest.raises(ValueError, match="Set unk_token"):
        counter.partial_fit(["a b a"])


def test_counts_of_ngrams_have_no_text():
    counter = NGramCounter(2).fit(TEXTS)
    with pytest.raises(ValueError, match="of order 2 cannot decode counts"):
        counter.decode(counter.transform(TEXTS))
    one = NGramCounter(1).fit(TEXTS)
    assert one.decode(one.transform(["a b"])) == ["a b"]


def test_models_of_single_tokens_refuse_ngrams():
    with pytest.raises(ValueError, match=r"UnigramLM is a model of single tokens.*of 2 tokens"):
        UnigramLM(vectorizer=NGramCounter(2)).fit(TEXTS[:4])
    model = UnigramLM(vectorizer=NGramCounter(1)).fit(TEXTS[:4])
    np.testing.assert_array_equal(model.token_log_prob_, UnigramLM().fit(TEXTS[:4]).token_log_prob_)
