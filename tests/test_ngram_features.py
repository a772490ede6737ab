"""N-grams as features, and models of preferences that are linear in them."""

import pickle

import numpy as np
import pytest
from ngram_texts import (
    END,
    LABELS,
    OPTIONS,
    PAIRS,
    TEXTS,
    count_by_hand,
    draw_texts,
    numbers_of,
    prefers,
)
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from sklearn_codex import (
    AnnotatorRewardModel,
    BootstrapRewardEnsemble,
    NGramCounter,
    NGramFeatures,
    PairVectorizer,
    PlackettLuceModel,
    PreferenceRewardModel,
    PreferenceRewardModelCV,
    ResponseIds,
    RewardUncertainty,
    TiePreferenceModel,
    TokenCounter,
    UnigramLM,
    load_model,
    save_model,
)

# N-grams as features


@pytest.mark.parametrize("end", [None, END])
@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_features_are_the_occurrences_of_ngrams(order, end):
    texts, others = draw_texts(order), draw_texts(order + 10, words="abcd")
    options = {"min_ngram_count": 2, "unk_token": "<unk>", "eos_token": end}
    features = NGramFeatures(order, tokenizer="whitespace", **options)
    counts = features.fit_transform(texts)
    names = features.get_feature_names_out()
    assert len(names) == counts.shape[1] == features.n_features_in_
    assert_array_equal(counts.toarray(), [count_by_hand(text, names, end) for text in texts])
    known = [text.replace("d", "<unk>") for text in others]
    expected = [count_by_hand(text, names, end) for text in known]
    assert_array_equal(features.transform(others).toarray(), expected)
    streamed = NGramFeatures(order, tokenizer="whitespace", **options)
    streamed.partial_fit(texts[:15]).partial_fit(texts[15:])
    assert_array_equal(streamed.transform(others).toarray(), expected)


def test_features_of_events_are_those_of_text():
    counter = NGramCounter(3, eos_token=END, **OPTIONS).fit(draw_texts(0))
    features, texts = NGramFeatures.of_counter(counter), draw_texts(1)
    events, counts = counter.transform(texts), features.transform(texts)
    assert events.shape[1] > counts.shape[1] == features.n_features_in_
    assert_array_equal(features.transform(events).toarray(), counts.toarray())
    assert_array_equal(features.transform(counts).toarray(), counts.toarray())
    assert_array_equal(features.count_ngrams(-events.toarray()), -counts.toarray())
    assert features.inverse_transform(counts) == counter.inverse_transform(events)
    assert counter.n_features_in_ == events.shape[1]
    with pytest.raises(ValueError, match="Negative values"):
        features.transform(-events)
    with pytest.raises(ValueError, match=f"expecting {counts.shape[1]} features"):
        features.transform(events[:, :-1])


def test_features_after_a_prompt_have_ngrams_that_begin_in_it():
    features = NGramFeatures(3, eos_token=END, **OPTIONS).fit(["a b c", "b c a", "c a b"])
    names = features.get_feature_names_out()
    counts = features.transform_after(["a b", ""], ["c a", "a"])
    expected = [
        count_by_hand("c a", names, END, before=["<s>", "a", "b"]),
        count_by_hand("a", names, END),
    ]
    assert_array_equal(counts.toarray(), expected)


def test_a_model_of_order_one_and_one_fitted_on_counts_count_tokens():
    texts = draw_texts(0)
    one = NGramFeatures(1, **OPTIONS).fit(texts)
    expected = TokenCounter("whitespace", unk_token=None).fit_transform(texts)
    assert_array_equal(one.transform(texts).toarray(), expected.toarray())
    assert_array_equal(NGramFeatures().fit_transform(np.eye(3)).toarray(), np.eye(3))


def test_features_are_no_events_to_a_language_model():
    features = NGramFeatures(2, **OPTIONS)
    model = UnigramLM(vectorizer=features).fit(draw_texts(0))
    assert len(model.token_log_prob_) == model.vectorizer_.n_features_in_


def test_saved_features_count_alike(tmp_path):
    features = NGramFeatures(2, eos_token=END).fit(draw_texts(0))
    model = PreferenceRewardModel(vectorizer=NGramCounter(2)).fit(
        [("a b", "b a"), ("a", "b")], [1, 0]
    )
    for name, one in {"features": features, "model": model}.items():
        save_model(one, tmp_path / name)
        for same in (load_model(tmp_path / name), pickle.loads(pickle.dumps(one))):
            method = "transform" if name == "features" else "reward"
            got, expected = (getattr(each, method)(draw_texts(1)) for each in (same, one))
            assert_array_equal(
                sparse.csr_array(got).toarray(), sparse.csr_array(expected).toarray()
            )


# Reward models of n-grams


def fitted_rewards(vectorizer, X):
    """Models of preferences that read pairs, and how they are fitted on them."""
    rng = np.random.default_rng(1)
    annotators = rng.choice(["ann", "bob"], len(LABELS))
    ties = np.where(rng.random(len(LABELS)) < 0.2, 0.5, LABELS)
    yield PreferenceRewardModel(vectorizer=vectorizer).fit(X, LABELS)
    yield PreferenceRewardModelCV(Cs=3, cv=2, vectorizer=vectorizer).fit(X, LABELS)
    yield AnnotatorRewardModel(vectorizer=vectorizer).fit(X, LABELS, annotators=annotators)
    yield TiePreferenceModel(vectorizer=vectorizer).fit(X, ties)
    base = PreferenceRewardModel(vectorizer=vectorizer)
    yield BootstrapRewardEnsemble(base, n_estimators=3, random_state=0).fit(X, LABELS)


@pytest.mark.filterwarnings("ignore::sklearn_codex.exceptions.LeakageWarning")
def test_counts_are_the_same_as_text_to_every_model_of_pairs():
    frozen = FrozenEstimator(NGramCounter(3, eos_token=END, **OPTIONS).fit(TEXTS))
    differences, vectors = numbers_of(frozen, PAIRS)
    events = frozen.transform(TEXTS)
    by_text = list(fitted_rewards(frozen, PAIRS))
    for X in (differences, vectors, differences.toarray().tolist()):
        for model, other in zip(fitted_rewards(frozen, X), by_text, strict=True):
            assert isinstance(model.vectorizer_.estimator, NGramFeatures)
            assert_allclose(model.coef_, other.coef_, atol=1e-8)
            for documents in (TEXTS, events, events.toarray()):
                assert_allclose(model.reward(documents), other.reward(TEXTS), atol=1e-8)
            for pairs in (PAIRS, differences, vectors):
                assert_allclose(model.predict_proba(pairs), other.predict_proba(PAIRS), atol=1e-8)
    table = ResponseIds(np.arange(240).reshape(-1, 2), vectors.reshape(240, -1))
    model = PreferenceRewardModel(vectorizer=frozen).fit(table, LABELS)
    assert_allclose(model.coef_, by_text[0].coef_, atol=1e-8)


def test_weights_are_those_of_a_regression_on_occurrences():
    model = PreferenceRewardModel(0.5, vectorizer=NGramCounter(3, **OPTIONS)).fit(PAIRS, LABELS)
    names = model.vectorizer_.get_feature_names_out()
    assert "<s> b" in names
    sides = [np.array([count_by_hand(t, names) for t in side]) for side in zip(*PAIRS, strict=True)]
    regression = LogisticRegression(C=0.5, fit_intercept=False, tol=1e-10, max_iter=5000)
    regression.fit(sides[0] - sides[1], LABELS)
    assert_allclose(model.coef_, regression.coef_, atol=1e-5)
    assert model.top_features(1).in_favor[0][0] == "a b"
    assert_allclose(
        PairVectorizer(NGramCounter(3, **OPTIONS)).fit_transform(PAIRS).toarray(),
        sides[0] - sides[1],
    )


def test_rankings_are_read_alike():
    frozen = FrozenEstimator(NGramCounter(3, **OPTIONS).fit(TEXTS))
    rng = np.random.default_rng(0)
    groups, ranks = (
        np.repeat(np.arange(20), 3),
        np.concatenate([rng.permutation(3) for _ in range(20)]),
    )
    by_text = PlackettLuceModel(vectorizer=frozen).fit(TEXTS, ranks, groups=groups)
    by_events = PlackettLuceModel(vectorizer=frozen).fit(
        frozen.transform(TEXTS), ranks, groups=groups
    )
    assert by_text.coef_.shape[1] == by_text.vectorizer_.estimator.trie_.n_arcs
    assert_allclose(by_events.coef_, by_text.coef_, atol=1e-8)


def test_what_is_made_of_models_reads_counts_too():
    frozen = FrozenEstimator(NGramCounter(3, eos_token=END, **OPTIONS).fit(TEXTS))
    differences, _ = numbers_of(frozen, PAIRS)
    base = PreferenceRewardModel(vectorizer=frozen).fit(differences, LABELS)
    ensemble = BootstrapRewardEnsemble(base, n_estimators=3, random_state=0)
    ensemble.fit(differences, LABELS)
    by_text, by_counts = (
        RewardUncertainty(FrozenEstimator(base)).fit(X, LABELS) for X in (PAIRS, differences)
    )
    names = frozen.get_feature_names_out()[: base.n_features_in_]
    assert_array_equal(base.vectorizer_.get_feature_names_out(), names)
    for X in (PAIRS, differences):
        errors = [one.predict_margin(X, return_std=True)[1] for one in (by_text, by_counts)]
        assert_allclose(errors[0], errors[1], rtol=1e-7)
    for model in (ensemble, ensemble.conservative_reward(1.0), by_counts):
        assert_allclose(model.reward(frozen.transform(TEXTS)), model.reward(TEXTS))


@pytest.mark.parametrize("control_length", [False, True])
def test_partitions_of_counts_and_of_text_are_read_alike(control_length):
    bags, arrays = pytest.importorskip("dask.bag"), pytest.importorskip("dask.array")
    frozen = FrozenEstimator(NGramCounter(2, **OPTIONS).fit(TEXTS))
    differences, _ = numbers_of(frozen, PAIRS)
    model = PreferenceRewardModel(vectorizer=frozen, control_length=control_length)
    whole = model.fit(differences, LABELS).coef_
    lengths = model.length_scale_
    X = arrays.from_array(differences.toarray(), chunks=(50, -1))
    model.fit(X, arrays.from_array(LABELS, chunks=50))
    assert_allclose(model.coef_, whole, atol=1e-6)
    assert model.length_scale_ == (None if lengths is None else pytest.approx(lengths))
    bag = bags.from_sequence(PAIRS, partition_size=50)
    labels = bags.from_sequence(LABELS.tolist(), partition_size=50)
    learned = PreferenceRewardModel(vectorizer=NGramCounter(2, **OPTIONS)).fit(bag, labels)
    expected = PreferenceRewardModel(vectorizer=NGramCounter(2, **OPTIONS)).fit(PAIRS, LABELS)
    assert_allclose(learned.reward(TEXTS), expected.reward(TEXTS), atol=1e-6)


def test_length_of_counts_is_that_of_tokens():
    frozen = FrozenEstimator(NGramCounter(3, **OPTIONS).fit(TEXTS))
    differences, _ = numbers_of(frozen, PAIRS)
    model = PreferenceRewardModel(vectorizer=frozen, control_length=True).fit(differences, LABELS)
    longer = np.array([len(a.split()) - len(b.split()) for a, b in PAIRS])
    assert model.length_scale_ == pytest.approx(np.sqrt(np.mean(longer**2)))


def test_ngrams_predict_better_than_tokens_and_than_events():
    weights = {"a b": 2.0, "b a": -2.0, "c": 0.3}
    texts = draw_texts(0, n=800, words="abcdef", longest=10)
    trained, labels = prefers(texts[:400], 1, weights, n=500, noise=0.5)
    held_out, truth = prefers(texts[400:], 2, weights, n=3000, noise=0.5)
    counter = NGramCounter(3, **OPTIONS)
    of_tokens = PreferenceRewardModel(0.3).fit(trained, labels).score(held_out, truth)
    of_ngrams = PreferenceRewardModel(0.3, vectorizer=counter).fit(trained, labels)
    counter.fit(texts[:400])
    raw = LogisticRegression(C=0.3, fit_intercept=False, max_iter=1000)
    raw.fit(numbers_of(counter, trained)[0], labels)
    of_events = raw.score(numbers_of(counter, held_out)[0], truth)
    assert of_ngrams.score(held_out, truth) > max(of_tokens, of_events) + 0.02
