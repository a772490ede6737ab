"""Rewards of n-grams: how models count them, and where they add over the n-grams of a policy."""

import pickle
from collections import Counter

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline

from sklearn_codex import (
    AnnotatorRewardModel,
    BootstrapRewardEnsemble,
    NGramCounter,
    NGramFeatures,
    NGramLM,
    PairVectorizer,
    PlackettLuceModel,
    PreferenceRewardModel,
    PreferenceRewardModelCV,
    ResponseIds,
    TiePreferenceModel,
    TokenCounter,
    UnigramLM,
    load_model,
    save_model,
)
from sklearn_codex._policy.ngram_rewards import Linear, translate
from sklearn_codex._policy.problem import build_problem
from sklearn_codex._policy.rewards import DocumentReward
from sklearn_codex.exact import NGramObjective

END = "</s>"
OPTIONS = {"unk_token": None, "tokenizer": "whitespace"}


def draw_texts(seed, n=40, words="abc", longest=6):
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(list(words), rng.integers(1, longest))) for _ in range(n)]


def count_by_hand(text, names, end=None, before=None):
    """How often each n-gram, named by its tokens, occurs in a text."""
    begins = ["<s>"] if before is None else before
    line = [*begins, *text.split(), *([] if end is None else [end])]
    found = Counter(
        " ".join(line[start:stop])
        for stop in range(len(begins) + 1, len(line) + 1)
        for start in range(stop)
    )
    return [found[name] for name in names]


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


def prefers(texts, seed, weights, n=120, noise=1.0):
    """Pairs of texts, and which is preferred by the weights of n-grams."""
    rng = np.random.default_rng(seed)
    pairs = [tuple(texts[i] for i in row) for row in rng.integers(0, len(texts), (n, 2))]
    value = np.array(list(weights.values()))
    a, b = (
        np.array([count_by_hand(text, weights) for text in side]) @ value
        for side in zip(*pairs, strict=True)
    )
    return pairs, (a - b + noise * rng.logistic(size=len(pairs)) > 0).astype(int)


WEIGHTS = {"a b": 2.0, "c": -0.7, "<s> b": 1.3, "b c a": -1.5}
TEXTS = draw_texts(5, n=60)
PAIRS, LABELS = prefers(TEXTS, 0, WEIGHTS)


def numbers_of(counter, pairs):
    sides = [counter.transform(list(side)) for side in zip(*pairs, strict=True)]
    return sides[0] - sides[1], np.stack([side.toarray() for side in sides], axis=1)


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


# Where they add over the n-grams of a policy


@pytest.fixture(scope="module")
def policy():
    return NGramLM(3, vectorizer=NGramCounter(3, eos_token=END, **OPTIONS)).fit(TEXTS)


def problem_of(policy, source, *, names=True, rules=None, normalize=False, **settings):
    objective = NGramObjective.of_model(policy, **{"kl_coef": 0.7, "reward_coef": 0.2} | settings)
    trie = objective.trie
    known = policy.vectorizer_.get_feature_names_out()[: trie.n_tokens] if names else None
    rng = np.random.RandomState(0)
    return build_problem(
        objective, source, rng, names=known, rules=rules, normalize_reward=normalize, subject="PPO"
    )


def draw(problem, n=300, seed=1, log_prob=None):
    start = problem.start if log_prob is None else log_prob
    return problem.sample(start, n, np.random.RandomState(seed))


def sources(policy):
    own = {"a": NGramCounter(1, **OPTIONS), "b": NGramCounter(2, **OPTIONS)}
    yield "shared", FrozenEstimator(policy.vectorizer_)
    yield "shorter", own["b"]
    yield "tokens by n-grams", own["a"]
    yield "same order", NGramCounter(3, **OPTIONS)
    yield "with an end", NGramCounter(2, eos_token="<end>", **OPTIONS)
    yield "other order of tokens", NGramCounter(2, vocabulary=["c", "a", "b"], **OPTIONS)
    yield "tokens", TokenCounter("whitespace", unk_token=None)
    yield "tokens with an end", TokenCounter("whitespace", unk_token=None, eos_token=END)
    yield "one token unknown", NGramCounter(2, vocabulary=["a", "b"], tokenizer="whitespace")


@pytest.mark.parametrize("name", [name for name, _ in sources(NGramLM().fit(TEXTS))])
def test_rewards_of_events_are_the_reward_of_the_text(policy, name):
    # All bigrams and trigrams of three tokens, so that the policy knows each n-gram of the model.
    everything = [" ".join([x, y, z, x]) for x in "abc" for y in "abc" for z in "abc"]
    everything += list("abc") + [f"{x} {y}" for x in "abc" for y in "abc"]
    policy = NGramLM(3, vectorizer=policy.vectorizer).fit(TEXTS + everything)
    vectorizer = dict(sources(policy))[name]
    model = PreferenceRewardModel(vectorizer=vectorizer).fit(PAIRS, LABELS)
    problem = problem_of(policy, FrozenEstimator(model))
    assert problem.adds_reward
    trie = problem.objective.trie
    assert not problem.reward.token_reward[trie.n_arcs :].any()
    for log_prob in (None, problem.objective.having(kl_coef=3.0).optimum()):
        rollouts = draw(problem, log_prob=log_prob)
        expected = model.reward(rollouts.texts)
        summed = rollouts.sum_over_tokens(problem.reward.token_reward) + problem.reward.offset
        assert_allclose(summed, expected, atol=1e-10)
        assert_allclose(problem.reward(rollouts), expected, atol=1e-10)


def with_weights(weights, texts, order=3, **options):
    """A reward model of texts whose n-grams have the weights given."""
    model = PreferenceRewardModel(vectorizer=NGramCounter(order, **OPTIONS | options))
    pairs = list(zip(texts[::2], texts[1::2], strict=True))
    model.fit(pairs, np.full(len(pairs), 0.4))
    names = model.vectorizer_.get_feature_names_out().tolist()
    model.coef_ = np.array([[weights.get(name, 0.0) for name in names]])
    assert weights.keys() <= set(names)
    return model


def test_reward_of_each_arc_by_hand():
    policy = NGramLM(3, vectorizer=NGramCounter(3, eos_token=END, **OPTIONS))
    policy.fit(["a b a", "b b", "a b b"])
    model = with_weights({"b": 0.5, "a b": 2.0, "<s> a b": -0.25, "<s> b": 4.0}, ["a b", "b a b b"])
    problem = problem_of(policy, model)
    names = policy.vectorizer_.get_feature_names_out()
    rewards = zip(names, problem.reward.token_reward, strict=True)
    assert {name: pytest.approx(value) for name, value in rewards if value} == {
        "b": 0.5,
        "a b": 2.5,
        "b b": 0.5,
        "<s> a b": 2.25,
        "<s> b": 4.5,
        "<s> b b": 0.5,
        "a b b": 0.5,
    }
    assert problem.reward.offset == 0.0


def test_optimum_is_the_tilt_of_each_document_by_its_reward(policy):
    model = PreferenceRewardModel(vectorizer=FrozenEstimator(policy.vectorizer_)).fit(PAIRS, LABELS)
    problem = problem_of(policy, model)
    objective, best = problem.objective, problem.objective.optimum()
    texts = draw_texts(9)
    events = policy.vectorizer_.transform(texts)
    tilt = policy.score_samples(texts) + 0.2 / 0.7 * model.reward(texts)
    assert_allclose(events @ best, tilt - objective.value(best) / 0.7, atol=1e-9)
    assert objective.gap(best) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_what_adds_is_told_from_what_does_not(seed):
    """Random weights, vocabularies and policies: either what documents have, or nothing."""
    rng = np.random.default_rng(seed)
    words = "abcd"[: rng.integers(2, 5)]
    texts, others = draw_texts(seed, n=30, words=words), draw_texts(seed + 50, n=12, words=words)
    counter = NGramCounter(int(rng.integers(1, 4)), eos_token=END, **OPTIONS)
    policy = NGramLM(counter.order, vectorizer=counter).fit(texts)
    known = set(policy.vectorizer_.get_feature_names_out()[: policy.trie_.n_arcs])
    order = int(rng.integers(1, 4))
    model = with_weights({}, others, order=order)
    names = model.vectorizer_.get_feature_names_out()
    for share in (0.1, 0.3, 1.0):
        model.coef_ = rng.normal(size=(1, len(names))) * (rng.random(len(names)) < share)
        used = {name for name, weight in zip(names, model.coef_[0], strict=True) if weight}
        problem = problem_of(policy, model, reward_coef=0.01)
        missing = {name for name in used - known if " " in name}
        assert problem.adds_reward == (not missing)
        rollouts = draw(problem)
        assert_allclose(problem.reward(rollouts), model.reward(rollouts.texts))
        if problem.adds_reward:
            assert problem.reward.explains(rollouts)
        else:
            assert not problem.objective.token_reward.any()


def test_an_ngram_without_weight_may_be_unknown():
    policy = NGramLM(2, vectorizer=NGramCounter(2, eos_token=END, **OPTIONS)).fit(["a b", "b"])
    model = with_weights({"a b": 1.0}, ["a b", "b a b a"])
    assert "b a b" in model.vectorizer_.get_feature_names_out()
    assert problem_of(policy, model).adds_reward
    assert not problem_of(policy, with_weights({"b a": 1e-6}, ["a b", "b a b"])).adds_reward


def test_all_spellings_of_an_ngram_have_to_be_known():
    options = {"vocabulary": ["a"], "unk_token": "<unk>"}
    model = with_weights({"a <unk>": 1.0}, ["a b", "a c b"], order=2, **options)
    counter = NGramCounter(2, eos_token=END, **OPTIONS)
    some = NGramLM(2, vectorizer=counter).fit(["a b", "c b"])
    problem = problem_of(some, model)
    assert not problem.adds_reward
    weights = Linear(model.coef_[0], 0.0)
    # Whatever the few documents tried happen to have.
    known = {"goes_on": False, "is_cut": False}
    assert translate(weights, model.vectorizer_, draw(problem), **known) is None
    everything = NGramLM(2, vectorizer=counter).fit(["a b", "a c", "c b"])
    problem = problem_of(everything, model)
    rollouts = draw(problem)
    assert problem.adds_reward
    assert problem.reward.explains(rollouts)
    assert_allclose(
        problem.reward(rollouts), [t.count("a b") + t.count("a c") for t in rollouts.texts]
    )


def test_dropped_tokens_make_neighbours_that_no_policy_sees(policy):
    model = with_weights({"a b": 1.0}, ["a b", "b a"], vocabulary=["a", "b"], order=2)
    assert model.reward(["a c b"]) == 1.0
    problem = problem_of(policy, model)
    rollouts = draw(problem)
    assert not problem.adds_reward
    assert_allclose(problem.reward(rollouts), model.reward(rollouts.texts))
    of_tokens = with_weights({"a": 1.0}, ["a b", "b a"], vocabulary=["a", "b"], order=2)
    assert problem_of(policy, of_tokens).adds_reward


def test_models_of_counts_have_the_columns_of_the_policy(policy):
    trie = policy.trie_
    rng = np.random.default_rng(0)
    events = policy.vectorizer_.transform(TEXTS)
    values = rng.normal(size=trie.n_events)
    values[trie.n_arcs + trie.n_contexts - 1 :] = 0.0
    model = Ridge().fit(events, np.zeros(len(TEXTS)))
    model.coef_, model.intercept_ = values, 0.25
    for names in (True, False):
        problem = problem_of(policy, model, names=names)
        assert_allclose(problem.reward.token_reward, values, atol=1e-12)
        assert problem.reward.offset == pytest.approx(0.25)
        rollouts = draw(problem)
        assert_allclose(problem.reward(rollouts), rollouts.events @ values + 0.25)
    model.coef_ = np.append(values[:-1], 1.0)
    assert not problem_of(policy, model).adds_reward  # where documents end is no arc
    counts = NGramFeatures.of_counter(policy.vectorizer_).transform(TEXTS)
    model.fit(counts, rng.normal(size=len(TEXTS)))
    problem = problem_of(policy, model)
    expected = trie.cumulative @ model.coef_
    assert_allclose(problem.reward.token_reward, expected, atol=1e-12)
    assert_allclose(problem.reward(rollouts), model.predict(rollouts.events @ trie.cumulative))
    of_tokens = Ridge().fit(counts[:, : trie.n_tokens], rng.normal(size=len(TEXTS)))
    problem = problem_of(policy, of_tokens)
    got = problem.reward.token_reward[: trie.n_arcs]
    assert_allclose(got, of_tokens.coef_[trie.arc_token], atol=1e-14)
    with pytest.raises(ValueError, match=r"PPO has a policy of 4 columns, but its .* 7 in number"):
        problem_of(policy, Ridge().fit(np.eye(7), np.zeros(7)))


def test_columns_named_otherwise_are_told(policy):
    pandas = pytest.importorskip("pandas")
    names = policy.vectorizer_.get_feature_names_out()
    frame = pandas.DataFrame(policy.vectorizer_.transform(TEXTS).toarray(), columns=names)
    reward = np.arange(len(TEXTS), dtype=float)
    problem = problem_of(policy, Ridge().fit(frame, reward))
    assert problem.reward._columns == "events"
    with pytest.raises(ValueError, match="whose columns are"):
        problem_of(policy, Ridge().fit(frame[names[::-1]], reward))


def test_what_is_no_sum_of_known_ngrams_goes_by_whole_documents(policy):
    by_text = make_pipeline(NGramFeatures(2, **OPTIONS), Ridge())
    by_text.fit(TEXTS, [len(text) for text in TEXTS])
    bigrams = CountVectorizer(ngram_range=(1, 2), token_pattern=r"\S+")
    other = PreferenceRewardModel(vectorizer=bigrams).fit(PAIRS, LABELS)
    for source, expected in (
        (by_text, by_text.predict),
        (other, other.reward),
        (lambda texts: [text.count("a b") for text in texts],) * 2,
    ):
        problem = problem_of(policy, source)
        rollouts = draw(problem)
        assert not problem.adds_reward
        assert_allclose(problem.reward(rollouts), expected(rollouts.texts))


def test_documents_after_a_prompt(policy):
    trie = policy.trie_
    *_, contexts = trie.walk(*policy.vectorizer_._ids_of(["b a", "c a"]))  # with an end each
    initial = np.zeros(trie.n_contexts)
    initial[contexts] = 0.5
    shared = PreferenceRewardModel(vectorizer=FrozenEstimator(policy.vectorizer_))
    shared.fit(PAIRS, LABELS)
    problem = problem_of(policy, shared, initial=initial)
    rollouts = draw(problem)
    counted = shared.vectorizer_.estimator
    prompts = [
        "b a" if context == contexts[0] else "c a" for context in rollouts.contexts[rollouts.starts]
    ]
    counts = counted.transform_after(prompts, rollouts.texts)
    assert problem.adds_reward
    assert problem.reward.explains(rollouts)
    assert_allclose(problem.reward(rollouts), shared.reward(counts), atol=1e-10)
    own = with_weights({"b": 1.0, "a b": 2.0}, TEXTS)
    problem = problem_of(policy, own, initial=initial)
    assert not problem.adds_reward
    assert_allclose(problem.reward(rollouts), own.reward(rollouts.texts))
    assert problem_of(policy, with_weights({"b": 1.0}, TEXTS), initial=initial).adds_reward
    reward = DocumentReward(own, rollouts, subject="Asker")  # the probe tells as much
    assert reward.token_reward is None


def test_documents_that_are_cut_do_not_end(policy):
    weights = {"a <end>": 1.0, "<end>": 0.5, "a b": 0.25}
    model = with_weights(weights, TEXTS, eos_token="<end>")
    problem = problem_of(policy, model)
    assert problem.adds_reward
    assert problem.reward.offset == pytest.approx(0.5)
    assert not problem_of(policy, model, max_length=3).adds_reward
    model = with_weights({"<end>": 0.5, "a b": 0.25}, TEXTS, eos_token="<end>")
    problem = problem_of(policy, model, max_length=3)
    rollouts = draw(problem)
    assert problem.adds_reward
    assert not rollouts.ended.all()
    assert problem.reward.explains(rollouts)
    shared = PreferenceRewardModel(vectorizer=FrozenEstimator(policy.vectorizer_))
    problem = problem_of(policy, shared.fit(PAIRS, LABELS), max_length=3)
    rollouts = draw(problem)
    assert problem.adds_reward
    assert problem.reward.explains(rollouts)
    endless = NGramLM(3, vectorizer=NGramCounter(3, **OPTIONS)).fit(TEXTS)
    with_end = with_weights(weights, TEXTS, eos_token="<end>")
    assert not problem_of(endless, with_end, max_length=3).adds_reward
    assert problem_of(endless, model, max_length=3).adds_reward


def test_a_model_that_is_linear_up_to_a_rare_ngram_is_tried_where_it_matters(policy):
    class Deceiver(PreferenceRewardModel):
        """Linear in n-grams, but for documents that a better policy draws."""

        def reward(self, X):
            value = super().reward(X)
            if isinstance(X, list):
                value = value + [float(text.count("c b c") > 0) for text in X]
            return value

    rare = NGramLM(3, vectorizer=policy.vectorizer).fit(["a b", "b a", "a"] * 40 + ["c b c"])
    model = with_weights({"c": 3.0, "c b c": 3.0}, TEXTS)
    assert problem_of(rare, model, reward_coef=2.0).adds_reward
    model.__class__ = Deceiver
    assert not problem_of(rare, model, reward_coef=2.0).adds_reward


def test_normalised_reward_has_mean_zero_and_deviation_one(policy):
    shared = PreferenceRewardModel(vectorizer=FrozenEstimator(policy.vectorizer_))
    shared.fit(PAIRS, LABELS)
    problem = problem_of(policy, shared, normalize=True, reward_coef=0.4)
    rewards = shared.reward(draw(problem, 40_000).texts)
    assert problem.reward_mean == pytest.approx(rewards.mean(), abs=4 * rewards.std() / 200)
    assert 0.4 / problem.objective.reward_coef == pytest.approx(rewards.std(), rel=0.03)
    start = problem.start
    exact = problem.objective.expected_reward(start)
    assert problem.reward_mean == pytest.approx(exact)
    mean, deviation = problem.objective.moments(start, problem.objective.token_reward)
    assert (mean, 0.4 / deviation) == pytest.approx((exact, problem.objective.reward_coef))
    assessed = problem.assess(start, draw(problem))
    value = problem.evaluate(start, draw(problem), assessed).objective
    assert value == pytest.approx(0.0, abs=1e-12)  # no KL, and the mean is taken off
    cut = problem_of(policy, shared, normalize=True, max_length=3)
    rewards = cut.reward(draw(cut, 40_000))
    assert cut.reward_mean == pytest.approx(rewards.mean(), abs=0.1 * rewards.std())


def test_offset_is_part_of_what_is_expected(policy):
    model = with_weights({"<end>": 0.5, "a b": 0.25}, TEXTS, eos_token="<end>")
    problem = problem_of(policy, model)
    assessed = problem.assess(problem.start, draw(problem, 20_000))
    parts = problem.evaluate(problem.start, draw(problem), assessed)
    assert parts.expected_reward == pytest.approx(assessed.reward.mean(), abs=0.02)
    assert parts.expected_reward > 0.5
