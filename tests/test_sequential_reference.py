from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.frozen import FrozenEstimator

from sklearn_codex import UnigramLM
from sklearn_codex.sequential import BigramReference
from sklearn_codex.sequential._reference import token_sequences
from sklearn_codex.text import TokenCounter

TEXTS = [
    "The cat sat on the mat",
    "the dog sat , and <eos> the CAT ran",
    "",
    "x **= 1.5e-3 <unk> y",
    "the mat",
]


def counted(sequences, n_columns, prior_strength, smoothing, eos=None):
    """The formulas of the estimate, one pair of tokens at a time."""
    pairs = Counter(pair for tokens in sequences for pair in pairwise(tokens))
    firsts = Counter(tokens[0] for tokens in sequences if tokens)
    totals = Counter(token for tokens in sequences for token in tokens)
    size = sum(totals.values()) + smoothing * n_columns
    unigram = np.array([(totals[t] + smoothing) / size for t in range(n_columns)])

    def row(count):
        total = sum(count(t) for t in range(n_columns)) + prior_strength
        if not total:
            return unigram
        return [(count(t) + prior_strength * unigram[t]) / total for t in range(n_columns)]

    rows = np.array([row(lambda t, s=s: pairs[s, t]) for s in range(n_columns)])
    if eos is not None:
        rows[eos] = np.eye(n_columns)[eos]
    return rows, np.array(row(lambda t: firsts[t]))


@pytest.mark.parametrize("prior_strength", [0, 0.5, 100])
@pytest.mark.parametrize("smoothing", [0, 1.0])
@pytest.mark.parametrize("eos", [None, 1])
def test_probabilities_are_shrunken_shares(prior_strength, smoothing, eos):
    rng = np.random.default_rng(0)
    sequences = [rng.integers(0, 6, size).tolist() for size in (9, 4, 1, 0, 7)]
    settings = {"prior_strength": prior_strength, "smoothing": smoothing, "eos": eos}
    reference = BigramReference.from_sequences(sequences, 7, **settings)
    rows, initial = counted(sequences, 7, prior_strength, smoothing, eos)
    assert sp.issparse(reference.transition)
    assert reference.transition.nnz <= sum(map(len, sequences)) + 1
    assert_allclose(reference.toarray(), rows, rtol=1e-13)
    assert_allclose(reference.initial, initial, rtol=1e-13)
    assert reference.names is None


@pytest.mark.parametrize("tokenizer", ["whitespace", "code", "word", str.split])
@pytest.mark.parametrize("lowercase", [False, True])
@pytest.mark.parametrize("special", [("<unk>", None), (None, None), ("<UNK>", "<eos>")], ids=str)
@pytest.mark.parametrize("max_features", [None, 4])
def test_sequences_are_what_is_counted(tokenizer, lowercase, special, max_features):
    unk, eos = special
    counter = TokenCounter(
        tokenizer, lowercase=lowercase, unk_token=unk, eos_token=eos, max_features=max_features
    ).fit(TEXTS)
    texts = [*TEXTS, "never seen the mat <unk> <UNK> UNKNOWN"]
    sequences = list(token_sequences(counter, texts, subject="test"))
    counts = [np.bincount(tokens, minlength=counter.n_features_in_) for tokens in sequences]
    assert_array_equal(counts, counter.transform(texts).toarray())
    if eos is not None:
        assert all(tokens[-1] == counter.eos_index_ for tokens in sequences)


def test_sequences_keep_the_order():
    counter = TokenCounter(unk_token=None).fit(["a b c"])
    texts = ["b a c a", "", "c x b"] * 5000  # more than are split at a time
    sequences = [tokens.tolist() for tokens in token_sequences(counter, texts, subject="test")]
    assert sequences == [[1, 0, 2, 0], [], [2, 1]] * 5000


def test_from_texts_is_from_sequences():
    counter = TokenCounter("word", lowercase=True).fit(TEXTS)
    reference = BigramReference.from_texts(TEXTS, prior_strength=2.0, vectorizer=counter)
    sequences = list(token_sequences(counter, TEXTS, subject="test"))
    expected = BigramReference.from_sequences(sequences, counter.n_features_in_, prior_strength=2.0)
    assert_array_equal(reference.toarray(), expected.toarray())
    assert_array_equal(reference.initial, expected.initial)
    assert_array_equal(reference.names, counter.get_feature_names_out())
    unigram = UnigramLM(vectorizer=counter).fit([text for text in TEXTS if text])
    assert_allclose(np.log(reference.unigram), unigram.token_log_prob_, rtol=1e-13)


def test_a_frozen_vectorizer_is_used_as_it_is():
    frozen = FrozenEstimator(TokenCounter().fit(["a b c d"]))
    reference = BigramReference.from_texts(["a b a b e"], prior_strength=0, vectorizer=frozen)
    assert reference.names.tolist() == ["<unk>", "a", "b", "c", "d"]
    assert_allclose(reference.toarray()[2], [0.5, 0.5, 0.0, 0.0, 0.0])


def test_an_end_is_followed_by_nothing():
    reference = BigramReference.from_texts(
        ["a b", "a", ""], prior_strength=0, vectorizer=TokenCounter(eos_token="<eos>")
    )
    assert reference.names.tolist() == ["<unk>", "<eos>", "a", "b"]
    assert_array_equal(reference.toarray()[1], [0, 1, 0, 0])
    assert_allclose(reference.toarray()[2], [0, 0.5, 0, 0.5])
    assert_allclose(reference.initial, [0, 1 / 3, 2 / 3, 0])


def test_what_texts_have_to_be():
    with pytest.raises(TypeError, match=r"needs the texts themselves, got counts.*from_sequences"):
        BigramReference.from_texts(np.eye(3))
    with pytest.raises(TypeError, match="needs a TokenCounter as vectorizer, got CountVectorizer"):
        BigramReference.from_texts(["some text"], vectorizer=CountVectorizer())
    with pytest.raises(TypeError, match="expected X to be a 1-D sequence of str"):
        BigramReference.from_texts("some text")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prior_strength": -1}, "finite prior_strength >= 0, got -1"),
        ({"prior_strength": np.inf}, "finite prior_strength >= 0, got inf"),
        ({"sequences": [[0, 1], [0.5, 1.7]]}, "which are integers, got .*0.5.* of type float64"),
        ({"sequences": [["a", "b"]]}, "got .*'a'.* of type <U1. Use from_texts for texts"),
        ({"smoothing": np.nan}, "smoothing >= 0, got nan"),
        ({"sequences": [[0, 3]]}, "columns from 0 to n_columns - 1 = 2, got 3.*Leave unknown"),
        ({"sequences": [[-1]]}, "n_columns - 1 = 2, got -1"),
        ({"sequences": [[], []]}, "at least one token, got only empty documents"),
        ({"eos": 3}, "eos, a column from 0 to 2, got 3"),
    ],
)
def test_what_from_sequences_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        BigramReference.from_sequences(**({"sequences": [[0, 1]], "n_columns": 3} | arguments))


ROWS, HALF = np.full((2, 2), 0.5), np.array([0.5, 0.5])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"transition": ROWS[:1]}, r"transition of shape \(2, 2\).*got shape \(1, 2\)"),
        ({"initial": []}, "at least 1, got shape"),
        ({"initial": [0.5, 0.4]}, "initial to sum to 1, got 0.9. Divide it by its sum"),
        ({"transition": [[0.5, 0.5], [0.5, 0.6]]}, "row 1 of transition to sum to 1, got 1.1"),
        ({"transition": np.log(ROWS)}, "none negative or NaN, got -0.69.* in transition. Pass exp"),
        ({"transition": sp.csr_array([[2.0, -1.0], [0, 1]])}, "got -1 in transition"),
        ({"initial": [0.5, np.nan]}, "got nan in initial"),
        ({"backoff": HALF}, "backoff and unigram together, got backoff and unigram=None"),
        ({"unigram": HALF}, "together, got unigram and backoff=None"),
        ({"backoff": HALF, "unigram": HALF}, "row 0 of transition, its backoff included, .*1.5"),
        ({"backoff": HALF, "unigram": [1.0]}, r"unigram of shape \(2,\).*got shape \(1,\)"),
        ({"backoff": HALF, "unigram": [0.5, 0.6]}, "unigram to sum to 1, got 1.1"),
    ],
)
def test_what_a_reference_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        BigramReference(**({"transition": ROWS, "initial": HALF} | arguments))


def test_rows_of_single_precision_have_a_remedy():
    rows = np.random.default_rng(0).random((300, 300)).astype(np.float32)
    rows /= rows.sum(axis=1, keepdims=True)
    initial = np.full(300, 1 / 300)
    with pytest.raises(ValueError, match=r"Divide it by its sum, in float64"):
        BigramReference(rows, initial)
    rows = rows.astype(np.float64)
    rows /= rows.sum(axis=1, keepdims=True)
    assert_allclose(BigramReference(rows, initial).toarray(), rows)


def test_dense_rows_may_back_off_too():
    reference = BigramReference(0.4 * np.eye(2), HALF, backoff=[0.6, 0.6], unigram=[0.25, 0.75])
    assert_allclose(reference.toarray(), [[0.55, 0.45], [0.15, 0.85]])
