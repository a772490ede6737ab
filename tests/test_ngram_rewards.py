"""Where rewards of n-grams add over the n-grams of a policy, and where they do not."""

import numpy as np
import pytest
from ngram_texts import END, LABELS, OPTIONS, PAIRS, TEXTS, draw_texts
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_codex import (
    NGramCounter,
    NGramFeatures,
    NGramLM,
    PreferenceRewardModel,
    TokenCounter,
    load_model,
    make_rlhf_pipeline,
    save_model,
)
from sklearn_codex._policy.ngram_rewards import Linear, translate
from sklearn_codex._policy.problem import build_problem
from sklearn_codex._policy.rewards import DocumentReward
from sklearn_codex.exact import NGramObjective


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


def test_length_adds(policy):
    def lengths(texts):
        return np.array([[len(text.split())] for text in texts])

    model = PreferenceRewardModel(vectorizer=FunctionTransformer(lengths)).fit(PAIRS, LABELS)
    problem = problem_of(policy, model)
    expected = np.where(policy.trie_.next < 0, 0.0, model.coef_[0, 0])
    assert_allclose(problem.reward.token_reward[: policy.trie_.n_arcs], expected, atol=1e-12)


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


def test_a_loop_of_ngrams_rewards_ngrams(tmp_path):
    records = [{"text": text} for text in TEXTS]
    for i, ((a, b), label) in enumerate(zip(PAIRS, LABELS, strict=True)):
        chosen, rejected = (a, b) if label else (b, a)
        if a != b:
            records.append({"prompt": f"p{i}", "chosen": chosen, "rejected": rejected})
    counter = NGramCounter(3, eos_token=END, **OPTIONS)
    loop = make_rlhf_pipeline(NGramLM(3), PreferenceRewardModel(), vectorizer=counter).fit(records)
    policy, reward = (model for _, model in loop.steps_)
    assert reward.coef_.shape[1] == policy.trie_.n_arcs
    problem = problem_of(policy, reward, reward_coef=0.1)
    rollouts = draw(problem)
    assert problem.adds_reward
    summed = rollouts.sum_over_tokens(problem.reward.token_reward)
    assert_allclose(summed, reward.reward(rollouts.texts), atol=1e-10)
    save_model(loop, tmp_path / "loop")
    (_, same) = (model for _, model in load_model(tmp_path / "loop").steps_)
    assert_array_equal(same.reward(TEXTS), reward.reward(TEXTS))
