"""Documents scored token by token: the same numbers as from counts, whatever finds the tokens."""

import math
import pickle

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.frozen import FrozenEstimator

from sklearn_codex import NGramCounter, NGramLM
from sklearn_codex._fast_counts import (
    HashClash,
    KeyTable,
    TokenNumbers,
    _tables,
    _types,
    find_keys,
    number_texts,
)
from sklearn_codex._ngrams import scoring
from sklearn_codex._ngrams.backoff import BackoffModel
from sklearn_codex._ngrams.scoring import score_documents, score_events
from sklearn_codex._ngrams.smoothing import kneser_ney
from sklearn_codex._ngrams.trie import build_trie
from sklearn_codex._text import tokenizers
from sklearn_codex._text.tokenizers import DictCounts, build_splitter, split_texts

quick = settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))

PIECES = [
    "a", "bc", "b", "1.5e-3", "==", "\n", " ", "  ", "\t", "é", "日本", "\x00", "a\x00", "<unk>",
    "</s>", "<UNK>", "sixteen_letters_", "sixteen_letters_x", "eightlet", "eightlet\x00",
    "fifteen_letters", "twenty_four_letters_long", "\ud800", "x" * 40,
]  # fmt: skip
corpora = st.lists(st.lists(st.sampled_from(PIECES), max_size=25).map("".join), max_size=6)


@pytest.mark.parametrize("n_bits", [3, 17, 32, 33, 47, 60, 63])
@pytest.mark.parametrize("n_keys", [0, 1, 6, 3_000])
def test_a_table_holds_keys_of_so_many_bits(n_keys, n_bits):
    rng = np.random.RandomState(n_keys)
    n_keys = min(n_keys, 1 << n_bits)
    # Half of them in a row, which a bad mixing would put beside each other.
    keys = np.unique(np.append(np.arange(n_keys // 2), rng.randint(0, 1 << n_bits, n_keys)))
    near = keys[rng.randint(len(keys), size=50)] ^ 1 if len(keys) else keys
    wanted = np.concatenate([rng.randint(0, 1 << n_bits, 500), keys, near])
    assert_array_equal(KeyTable(keys, n_bits).find(wanted), find_keys(keys, wanted))


def test_keys_that_meet_in_every_table_are_searched_for(monkeypatch):
    monkeypatch.setattr(_tables, "_MULTIPLIERS", _tables._MULTIPLIERS[:1])
    keys = np.unique(np.random.RandomState(0).randint(0, 1 << 14, 5_000))
    table = KeyTable(keys, 14)
    assert len(table._rest) > 100
    wanted = np.arange(1 << 14)
    assert_array_equal(table.find(wanted), find_keys(keys, wanted))


def test_a_table_takes_two_slots_a_key_or_little_more():
    n_contexts, n_tokens = 30_000, 5_000
    keys = np.unique(np.random.RandomState(1).randint(0, n_contexts * n_tokens, 60_000))
    # Of 28 bits 16 tell the slot: with the 16 of a place those left take four bytes.
    assert KeyTable(keys, 28).nbytes < (1.5 * 4 + 0.6 * 8) * len(keys)


def number(texts, rule, names, *, rest, end=None, lowercase=False, literals=(), chunk_size=64):
    known = TokenNumbers(names, np.arange(len(names)) + 1, rest)
    return number_texts(
        texts, rule, build_splitter(rule, literals), known, end=end, literals=literals,
        lowercase=lowercase, chunk_size=chunk_size,
    )  # fmt: skip


@quick
@given(
    corpora,
    st.lists(st.sampled_from(["a", "bc", *PIECES[10:]]), unique=True),
    st.sampled_from(["whitespace", "word", "code"]),
    st.sampled_from([0, -1]),
    st.sampled_from([None, 99]),
    st.booleans(),
    st.sampled_from([1, 9, 10**6]),
)
def test_numbers_of_tokens_are_those_of_a_dict(texts, names, rule, rest, end, lowercase, size):
    literals = ["<unk>"]
    split = build_splitter(rule, literals)
    names = [name for name in names if name not in literals]
    number_of = {name: column for column, name in enumerate(names, 1)}
    counted = DictCounts(split_texts(texts, split, lowercase=lowercase), in_order=True)
    columns = np.array([number_of.get(name, rest) for name in counted.types], int)
    if not texts:
        return
    expected = counted.line_up(columns, end_column=end)
    found = number(
        texts, rule, names, rest=rest, end=end, lowercase=lowercase, literals=literals,
        chunk_size=size,
    )  # fmt: skip
    for own, their in zip(found, expected, strict=True):
        assert_array_equal(own, their)


def test_one_hash_of_all_finds_no_wrong_token(monkeypatch):
    def same(heads, *_):
        return np.zeros(len(heads), np.uint64)

    def same_of_long(words, at, ends):
        return np.zeros(len(at), np.uint64)

    monkeypatch.setattr(_types, "_hash_pairs", same)
    monkeypatch.setattr(_types, "_hash", same_of_long)
    names = ["sixteen_letters_", "eightlet"]
    texts = ["eightlet eightlex eightletx sixteen_letters_ sixteen_letterx_ twenty_four_letters_"]
    ids, _ = number(texts, "whitespace", names, rest=0)
    assert_array_equal(ids, [2, 0, 0, 1, 0, 0])
    with pytest.raises(HashClash, match="same hash"):
        number(texts, "whitespace", [*names, "eightlex"], rest=0)
    # Then tokens are counted as ever.
    counter = NGramCounter(2, tokenizer="whitespace").fit([*texts, "a b"])
    expected = counter.transform(texts * 2_000)
    monkeypatch.setattr(tokenizers, "_MIN_FAST_SIZE", dict.fromkeys(tokenizers._MIN_FAST_SIZE, 1))
    assert (counter.transform(texts * 2_000) != expected).nnz == 0


def random_documents(rng, n_documents, n_tokens, *, eos):
    lengths = rng.randint(0, 30, n_documents)
    lengths[0] = 200
    documents = [[*rng.randint(n_tokens - 1, size=n).tolist(), eos] for n in lengths]
    starts = np.append(0, np.cumsum([len(document) for document in documents]))
    return np.concatenate(documents), starts


@pytest.mark.parametrize("fewest", [1, 20, 10**6])
@pytest.mark.parametrize("order", [1, 2, 3, 5])
@pytest.mark.parametrize("block", [50, 10**6])
def test_documents_are_scored_as_their_events(monkeypatch, fewest, order, block):
    monkeypatch.setattr(scoring, "_FEWEST", fewest)
    monkeypatch.setattr(scoring, "_BLOCK", block)
    rng = np.random.RandomState(order)
    ids, starts = random_documents(rng, 60, 12, eos=11)
    trie = build_trie(ids, starts, 12, order=order, eos=11)
    model, _ = kneser_ney(trie, np.asarray(trie.events(ids, starts).sum(axis=0)))
    asked, starts = random_documents(rng, 70, 12, eos=11)
    asked[starts[5] : starts[6] - 1] = 3
    contexts = rng.randint(trie.n_contexts, size=70)
    for before in (None, contexts):
        found = score_documents(model, asked, starts, before)
        events = trie.events(asked, starts, before)
        assert_array_equal(found, score_events(model, events))  # to the last bit
        many = sparse.vstack([events] * 20, format="csr")
        assert events.nnz < many.nnz > trie.n_events
        assert_array_equal(score_events(model, many), np.tile(found, 20))
        assert_allclose(found, events @ model.event_log_prob, rtol=1e-13)


def test_a_score_is_a_sum_by_hand():
    # After "a" comes "b" with 3/4; anything else gets half of its share of all tokens.
    trie = build_trie(np.array([0, 1]), np.array([0, 2]), 3, order=2)
    log_prob = np.log([0.5, 0.3, 0.2, 0.75, 0.6])
    after_a, at_start = trie.context_of_arc[0], trie.start
    weights = np.zeros(3)
    weights[[after_a, at_start]] = np.log([0.5, 0.7])
    assert (trie.find(np.array([after_a, at_start]), np.array([1, 0])) >= 0).all()
    arcs = trie.find(np.array([after_a, at_start]), np.array([1, 0]))
    log_prob[arcs] = np.log([0.75, 0.6])
    model = BackoffModel(trie, log_prob, weights)
    ids, starts = np.array([0, 1, 2, 0, 0, 2]), np.array([0, 2, 2, 4, 6])
    expected = np.log([0.6 * 0.75, 1.0, (0.7 * 0.2) * 0.5, 0.6 * (0.5 * 0.2)])
    assert_allclose(score_documents(model, ids, starts), expected, rtol=1e-14)


def test_what_is_impossible_is_minus_infinity_and_nothing_else_is():
    trie = build_trie(np.array([0, 1]), np.array([0, 2]), 3, order=2)
    model = BackoffModel(trie, np.full(trie.n_arcs, -1.0), np.full(3, -np.inf))
    ids, starts = np.array([0, 1, 0, 2]), np.array([0, 2, 4])
    assert_array_equal(score_documents(model, ids, starts), [-2.0, -np.inf])
    assert_array_equal(score_events(model, trie.events(ids, starts)), [-2.0, -np.inf])


def test_sums_of_parts_do_not_depend_on_their_order():
    rng = np.random.RandomState(0)
    log_prob = np.log(rng.random_sample(100_000) ** 9)
    high, low = scoring._part(log_prob)
    assert_allclose(high + low, log_prob, rtol=0, atol=2.0**-52)
    order = rng.permutation(len(log_prob))
    for part in (high, low):
        assert part.sum() == part[order].cumsum()[-1] == math.fsum(part)
    assert_allclose(high.sum() + low.sum(), math.fsum(log_prob), rtol=1e-15)


CODE = ["def f(x):\n    return x + 1", "x = f(2)\n", "for x in y: print(x, 'eightletters')"]


@pytest.mark.parametrize("tokenizer", ["code", "whitespace", "script"])
@pytest.mark.parametrize("unk_token", [None, "<unk>"])
@pytest.mark.filterwarnings("ignore:NGramLM leaves out:UserWarning")  # told of elsewhere
def test_long_text_is_scored_as_short_text_and_as_counts(tokenizer, unk_token):
    texts = [*CODE * 1_000, "", "x unknown_to_the_vocabulary eightletterz </s> y"]
    counter = NGramCounter(
        3, tokenizer=tokenizer, eos_token="</s>", unk_token=unk_token, min_ngram_count=2
    ).fit(CODE * 2 + ["x y y"])
    model = NGramLM(3, vectorizer=FrozenEstimator(counter)).fit(CODE)
    short = np.array([model.score_samples([text])[0] for text in [*CODE, *texts[-2:]]])
    assert "_token_numbers" not in vars(counter)
    found = model.score_samples(texts)
    assert "_token_numbers" in vars(counter)
    assert_array_equal(found, np.append(np.tile(short[:3], 1_000), short[3:]))
    counts = counter.transform(texts)
    assert_array_equal(found, model.score_samples(counts))
    weight = np.random.RandomState(3).random_sample(len(texts))
    assert model.score(texts, sample_weight=weight) == model.score(counts, sample_weight=weight)
    total = counts.T @ weight
    mean = total @ model._backoff.event_log_prob / total[: counter.trie_.n_arcs].sum()
    assert_allclose(model.score(texts, sample_weight=weight), mean, rtol=1e-12)
    assert model.perplexity(texts) == model.perplexity(counts)
    prompts = [*texts[1:], "x ="]
    after = counter.transform_after(prompts, texts)
    assert_array_equal(model.score_samples(texts, prompts=prompts), model.score_samples(after))
    # What finds tokens is not part of the model.
    again = pickle.loads(pickle.dumps(model))
    assert "_token_numbers" not in vars(again.vectorizer_.estimator)
    assert_array_equal(again.score_samples(texts), found)


def test_a_model_of_lower_order_scores_text_as_counts():
    counter = NGramCounter(4, eos_token="</s>").fit(CODE)
    model = NGramLM(2, vectorizer=FrozenEstimator(counter)).fit(CODE)
    asked = ["x = f(2) in y:", "def f(x): print(x)"]
    assert_array_equal(model.score_samples(asked), model.score_samples(counter.transform(asked)))


def test_a_new_fit_forgets_the_numbers_of_tokens():
    counter = NGramCounter(2, tokenizer="whitespace").fit(["a b"])
    long = ["b c a " * 20_000]
    assert counter.transform(long)[:, [counter.vocabulary_["a"]]].sum() == 20_000
    counter.fit(["c d"])
    assert counter.transform(long)[:, [counter.vocabulary_["c"]]].sum() == 20_000
    assert counter.transform(long)[:, [counter.unk_index_]].sum() == 40_000


@pytest.mark.parametrize(
    ("weight", "kept"), [(None, np.uint8), ([300, 1, 1], np.uint16), ([0.5, 1, 1], np.float64)]
)
def test_counts_are_kept_narrow_and_read_as_floats(weight, kept):
    counter = NGramCounter(3, eos_token="</s>").fit(CODE)
    model = NGramLM(3, vectorizer=FrozenEstimator(counter)).fit(CODE, sample_weight=weight)
    assert vars(model)["event_count_"].dtype == kept
    expected = counter.transform(CODE).T @ (np.ones(3) if weight is None else np.array(weight))
    assert model.event_count_.dtype == np.float64
    assert_array_equal(model.event_count_, expected)
    # Of integers the array is a copy: that nobody writes to it in vain, nobody may.
    with pytest.raises(ValueError, match="read-only"):
        model.event_count_[0] = 5.0
    assert_array_equal(model.event_count_, expected)
    twice = model.partial_fit(CODE, sample_weight=weight)
    assert_array_equal(twice.event_count_, 2 * expected)
    once = NGramLM(3, vectorizer=FrozenEstimator(counter)).fit(CODE[:1])
    with pytest.raises(AttributeError, match="no attribute 'event_count_'"):
        _ = NGramLM().event_count_
    # Models of older versions have floats.
    vars(once)["event_count_"] = once.event_count_
    assert_array_equal(once.partial_fit(CODE[1:]).event_count_, counter.transform(CODE).sum(axis=0))


def test_an_empty_vocabulary_knows_no_token():
    known = TokenNumbers([], np.zeros(0, int), 7)
    ids, starts = number_texts(["a b", "c"], "whitespace", str.split, known, end=None)
    assert_array_equal(ids, [7, 7, 7])
    assert_array_equal(starts, [0, 2, 3])
