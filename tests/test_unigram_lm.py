"""Pretraining against MultinomialNB, against its formula, and by simulation of its samples."""

import numpy as np
import pytest
from assertions import (
    assert_frequencies_agree,
    assert_is_document_term_matrix,
    assert_is_log_distribution,
    assert_same_distribution,
)
from contract import RecordingCallback, assert_balanced
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.naive_bayes import MultinomialNB

from sklearn_codex import TokenCounter, UnigramLM

TEXTS = ["the cat sat", "the dog sat on the cat", "a dog", "on on on the mat"]


@pytest.fixture
def rng():
    return np.random.RandomState(0)


@pytest.fixture
def counts(rng):
    return rng.poisson(0.7, size=(30, 12)).astype(float)


def model_of(prob, document_length=1):
    """A model with exactly these probabilities."""
    model = UnigramLM(smoothing=0).fit(np.asarray([prob]) * document_length)
    assert model.document_length_ == document_length
    return model


@pytest.mark.parametrize("smoothing", [1.0, 0.01, 3, 0])
@pytest.mark.parametrize("weighted", [False, True])
def test_equals_multinomial_naive_bayes_of_one_class(counts, rng, smoothing, weighted):
    weight = rng.rand(30) if weighted else None
    model = UnigramLM(smoothing).fit(counts, sample_weight=weight)
    bayes = MultinomialNB(alpha=smoothing)
    with np.errstate(all="ignore"):
        bayes.fit(counts, np.zeros(30), sample_weight=weight)
    assert_allclose(model.token_log_prob_, bayes.feature_log_prob_[0], rtol=1e-12)
    assert_is_log_distribution(model.token_log_prob_, 12)


def test_is_the_documented_formula():
    model = UnigramLM(smoothing=0.5).fit([[2, 0, 1], [0, 0, 1]])
    assert_allclose(np.exp(model.token_log_prob_), np.array([2.5, 0.5, 2.5]) / (4 + 0.5 * 3))
    assert_array_equal(model.token_count_, [2, 0, 2])
    assert (model.n_tokens_, model.n_documents_, model.document_length_) == (4, 2, 2)


def test_without_smoothing_what_was_not_seen_cannot_be():
    model = UnigramLM(smoothing=0).fit([[3, 0, 1]])
    assert_allclose(np.exp(model.token_log_prob_), [0.75, 0, 0.25])
    assert_allclose(model.score_samples([[0, 1, 1], [1, 0, 1]]), [-np.inf, np.log(3 / 16)])
    assert model.perplexity([[0, 1, 1]]) == np.inf
    assert model.score([[1, 0, 0], [0, 1, 0]], sample_weight=[1, 0]) == model.score([[1, 0, 0]])


def test_no_token_at_all_is_refused():
    with pytest.raises(ValueError, match="UnigramLM with smoothing=0 needs at least one token"):
        UnigramLM(smoothing=0).fit([[0, 0]])
    model = UnigramLM().fit([[0, 0]])
    assert_allclose(np.exp(model.token_log_prob_), [0.5, 0.5])
    assert model.document_length_ == 1
    for method in (model.score, model.perplexity):
        with pytest.raises(
            ValueError, match=r"at least one token .* got 2 document\(s\) with none"
        ):
            method([[0, 0], [0, 0]])


@pytest.mark.parametrize("smoothing", [-1, np.inf, np.nan, "1"])
def test_smoothing_is_validated(smoothing):
    with pytest.raises(ValueError, match="The 'smoothing' parameter of UnigramLM must be"):
        UnigramLM(smoothing).fit([[1]])


@settings(deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 9), min_size=3, max_size=3), min_size=1, max_size=12),
    st.lists(st.integers(0, 12), max_size=4),
)
def test_partial_fit_on_any_batches_equals_one_fit(rows, cuts):
    rows = np.array(rows, dtype=float)
    model = UnigramLM()
    for batch in np.split(rows, sorted(cut for cut in cuts if cut <= len(rows))):
        if len(batch):
            model.partial_fit(batch)
    whole = UnigramLM().fit(rows)
    assert_array_equal(model.token_log_prob_, whole.token_log_prob_)
    assert model.document_length_ == whole.document_length_


def test_partial_fit_on_text_equals_one_fit():
    frozen = FrozenEstimator(TokenCounter().fit(TEXTS))
    fixed = TokenCounter(vocabulary=["a", "cat", "dog", "mat", "on", "sat", "the"])
    for vectorizer in (frozen, fixed):
        model = UnigramLM(vectorizer=vectorizer)
        for text in TEXTS:
            model.partial_fit([text])
        whole = UnigramLM(vectorizer=vectorizer).fit(TEXTS)
        assert_same_distribution(model.token_log_prob_, whole.token_log_prob_, rtol=0)


def test_partial_fit_keeps_the_vocabulary_of_the_first_call():
    model = UnigramLM().partial_fit(["a b"]).partial_fit(["a zebra"])
    assert_array_equal(model.vectorizer_.get_feature_names_out(), ["<unk>", "a", "b"])
    assert_array_equal(model.token_count_, [1, 2, 1])


def test_fit_forgets_what_was_seen_and_partial_fit_does_not(counts):
    model = UnigramLM().fit(counts[:20])
    model.partial_fit(counts[20:])
    assert_allclose(model.token_count_, counts.sum(axis=0))
    model.fit(counts[:5])
    assert_array_equal(model.token_count_, counts[:5].sum(axis=0))
    assert model.n_documents_ == 5


def test_weight_is_repetition(counts, rng):
    weight = rng.randint(0, 4, size=30)
    repeated = np.repeat(counts, weight, axis=0)
    weighted = UnigramLM().fit(counts, sample_weight=weight)
    expected = UnigramLM().fit(repeated)
    assert_same_distribution(weighted.token_log_prob_, expected.token_log_prob_)
    assert weighted.n_documents_ == expected.n_documents_
    assert weighted.document_length_ == expected.document_length_
    for method in ("score", "perplexity"):
        value = getattr(weighted, method)(counts, sample_weight=weight)
        assert_allclose(value, getattr(expected, method)(repeated), rtol=1e-12)


@pytest.mark.parametrize("method", ["fit", "partial_fit", "score"])
def test_weights_are_validated(counts, method):
    call = getattr(UnigramLM().fit(counts), method)
    with pytest.raises(ValueError, match="Negative values in data passed to `sample_weight`"):
        call(counts, sample_weight=-np.ones(30))
    with pytest.raises(ValueError, match=r"sample_weight.shape == \(3,\), expected \(30,\)"):
        call(counts, sample_weight=np.ones(3))


def test_likelihood_is_that_of_the_sequence_of_tokens():
    model = UnigramLM().fit(TEXTS)
    column = {name: i for i, name in enumerate(model.vectorizer_.get_feature_names_out())}
    text = "the bird sat on the mat"
    tokens = [model.token_log_prob_[column.get(word, 0)] for word in text.split()]
    assert_allclose(model.score_samples([text]), [sum(tokens)], rtol=1e-12)
    assert_allclose(model.score([text]), np.mean(tokens), rtol=1e-12)
    assert_allclose(model.perplexity([text]), np.exp(-np.mean(tokens)), rtol=1e-12)


def test_score_is_per_token_not_per_document():
    model = UnigramLM().fit(TEXTS)
    lengths = [len(text.split()) for text in TEXTS]
    expected = model.score_samples(TEXTS).sum() / sum(lengths)
    assert_allclose(model.score(TEXTS), expected, rtol=1e-12)
    assert_allclose(np.log(model.perplexity(TEXTS)), -expected, rtol=1e-12)


def test_perplexity_of_the_uniform_model_is_the_size_of_the_vocabulary():
    model = UnigramLM().fit(np.ones((1, 37)))
    assert_allclose(model.perplexity(np.eye(37)[:5]), 37)


def test_prediction_is_the_most_probable_token_by_name_or_column():
    assert_array_equal(UnigramLM().fit(["b a b"]).predict(["x", "y"]), ["b", "b"])
    assert_array_equal(UnigramLM().fit(["b a"]).predict(["x"]), ["a"])
    assert_array_equal(UnigramLM().fit([[1, 5, 5]]).predict(np.ones((2, 3))), [1, 1])


def test_next_token_log_probabilities_sum_to_one_and_cannot_be_written(counts):
    log_proba = UnigramLM().fit(counts).predict_log_proba(counts[:4])
    assert log_proba.shape == (4, 12)
    assert_is_log_distribution(log_proba)
    with pytest.raises(ValueError, match="read-only"):
        log_proba[0, 0] = 0


def test_samples_have_the_mean_length_and_the_same_bits_for_a_seed():
    model = UnigramLM().fit(TEXTS)
    assert model.document_length_ == 4
    texts = model.sample(50, random_state=0)
    assert {len(text.split()) for text in texts} == {4}
    assert texts == model.sample(50, random_state=0)
    assert texts == model.sample(50, random_state=np.random.RandomState(0))
    assert texts != model.sample(50, random_state=1)


def test_sampled_frequencies_agree_with_the_model(rng):
    prob = rng.dirichlet(np.ones(20)) + 0.005
    model = model_of(prob / prob.sum(), document_length=50)
    drawn = model.sample(2000, random_state=0)
    assert_is_document_term_matrix(drawn, (2000, 20))
    assert_array_equal(drawn.sum(axis=1), np.full(2000, 50))
    assert_frequencies_agree(drawn.sum(axis=0), np.exp(model.token_log_prob_))


def test_model_fitted_on_its_samples_is_the_model():
    model = UnigramLM().fit(TEXTS)
    again = UnigramLM(vectorizer=FrozenEstimator(model.vectorizer_))
    again.fit(model.sample(50_000, random_state=0))
    assert_allclose(np.exp(again.token_log_prob_), np.exp(model.token_log_prob_), atol=0.005)


def test_lengths_are_geometric_where_documents_have_an_end():
    counter = TokenCounter(unk_token=None, eos_token="<eos>")
    model = UnigramLM(smoothing=0, vectorizer=counter).fit(["a a b"])
    texts = model.sample(40_000, random_state=0)
    assert not any("<eos>" in text for text in texts)
    words = np.array([len(text.split()) for text in texts])
    longest = 20
    ends = 0.25 * 0.75 ** np.arange(longest)  # the end is one token of four
    assert_frequencies_agree(
        np.bincount(np.minimum(words, longest), minlength=longest + 1), [*ends, 0.75**longest]
    )
    assert_frequencies_agree(
        [sum(text.split().count(name) for text in texts) for name in "ab"], [2 / 3, 1 / 3]
    )


def test_documents_without_an_end_are_cut():
    counter = TokenCounter(unk_token=None, eos_token="<eos>")
    model = UnigramLM(smoothing=0, vectorizer=counter).fit(["a " * 1000])
    words = [len(text.split()) for text in model.sample(200, random_state=0, max_length=3)]
    assert max(words) == 3


@pytest.mark.parametrize("value", [0, -1, 2.5, None])
@pytest.mark.parametrize("name", ["n_samples", "max_length"])
def test_sizes_of_samples_are_validated(name, value):
    with pytest.raises(ValueError, match=f"{name} should be an integer of at least 1, got {value}"):
        UnigramLM().fit([[1, 2]]).sample(**{name: value})


def test_smoothing_is_found_by_a_search_on_raw_text():
    texts = TEXTS * 3
    search = GridSearchCV(UnigramLM(), {"smoothing": [0.01, 1.0, 1000.0]}, cv=3).fit(texts)
    assert search.best_params_["smoothing"] != 1000.0
    expected = cross_val_score(UnigramLM(search.best_params_["smoothing"]), texts, cv=3).mean()
    assert_allclose(search.best_score_, expected)


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_callbacks_see_one_task_begin_and_end(method):
    callback = RecordingCallback()
    getattr(UnigramLM().set_callbacks(callback), method)(TEXTS)
    assert [event for event, *_ in callback.events] == ["setup", "begin", "end", "teardown"]
    assert callback.named("begin") == [["UnigramLM", method]]
    assert_balanced(callback)
