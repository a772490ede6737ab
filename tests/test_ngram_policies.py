"""Optimised policies over n-grams: what comes in, the optimum, and language models that go on."""

import pickle

import numpy as np
import pytest
from ngram_policy_problems import (
    REWARDS,
    TEXTS,
    WORDS,
    frozen,
    language_model,
    token_reward_model,
    z_score,
)
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import chisquare
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge

from sklearn_codex import (
    BestOfNSampler,
    ExactPolicyOptimizer,
    NGramCounter,
    NGramLM,
    SFTRefiner,
    TokenCounter,
    UnigramLM,
)
from sklearn_codex.exact import LengthExplosionWarning, NGramObjective


@pytest.fixture(scope="module")
def policy():
    model = ExactPolicyOptimizer(frozen(), kl_coef=0.7, reward_coef=1.5, random_state=0)
    return model.fit(TEXTS, REWARDS)


def objective_of(policy, **settings):
    """The problem of a fitted optimiser, stated by hand."""
    return NGramObjective.of_model(
        language_model(),
        policy.token_reward_,
        kl_coef=policy.kl_coef,
        reward_coef=policy.reward_coef,
        **settings,
    )


# The optimum


def test_optimum_is_that_of_the_objective(policy):
    objective = objective_of(policy)
    best = objective.optimum()
    assert_allclose(policy.backoff_model_.event_log_prob, best, rtol=1e-9, atol=1e-9)
    assert_array_equal(policy.optimal_log_prob_, policy.backoff_model_.event_log_prob)
    assert_array_equal(policy.reference_log_prob_, language_model().backoff_model_.event_log_prob)
    constant = 1.5 * policy.reward_model_.intercept_
    assert_allclose(policy.objective_, objective.optimal_value() + constant, rtol=1e-10)
    assert abs(policy.optimality_gap_) < 1e-12
    assert policy.optimality_gap_se_ == 0
    assert_allclose(policy.kl_, objective.kl(best), rtol=1e-9)
    assert_allclose(policy.entropy_, objective.entropy(best), rtol=1e-9)
    assert_allclose(policy.expected_length_, objective.expected_length(best), rtol=1e-9)
    assert policy.document_length_ == round(policy.expected_length_)
    assert policy.max_length_ is policy.response_length_ is None
    reward = policy.objective_ + 0.7 * policy.kl_
    assert_allclose(1.5 * policy.expected_reward_, reward, rtol=1e-9)
    assert not hasattr(policy, "token_log_prob_")


def test_every_other_policy_is_worse_by_its_divergence(policy):
    objective, reference = objective_of(policy), language_model()
    for other in (reference, language_model(2, counted=3), policy.backoff_model_):
        found = policy.evaluate(other)
        model = getattr(other, "backoff_model_", other).on(policy.trie_)
        assert_allclose(
            policy.objective_ - found.objective, objective.gap(model.event_log_prob), atol=1e-9
        )
        assert_allclose(found.kl, objective.kl(model.event_log_prob), atol=1e-9)
    assert_allclose(policy.evaluate(reference).kl, 0.0, atol=1e-12)
    assert policy.evaluate().objective == pytest.approx(policy.objective_, rel=1e-12)


def test_order_1_is_the_code_of_single_tokens():
    counter = TokenCounter(eos_token="<eos>")
    unigram = UnigramLM(smoothing=0.5, vectorizer=counter).fit(TEXTS)
    single = NGramLM(1, smoothing=0.5, vectorizer=NGramCounter(1, eos_token="<eos>")).fit(TEXTS)
    settings = {"reward_model": FrozenEstimator(token_reward_model()), "kl_coef": 0.7}
    of_tokens = ExactPolicyOptimizer(FrozenEstimator(unigram), **settings).fit(TEXTS)
    same = ExactPolicyOptimizer(FrozenEstimator(single), **settings).fit(TEXTS)
    assert_allclose(same.token_log_prob_, of_tokens.token_log_prob_, rtol=1e-13)
    assert not hasattr(same, "backoff_model_")
    read = NGramLM(1, smoothing=0.5, vectorizer=NGramCounter(3, eos_token="<eos>")).fit(TEXTS)
    of_events = ExactPolicyOptimizer(FrozenEstimator(read), **settings).fit(TEXTS)
    assert of_events.trie_.order == 1
    names = ("objective_", "kl_", "entropy_", "expected_reward_", "expected_length_")
    for name in names:
        assert_allclose(getattr(of_events, name), getattr(of_tokens, name), rtol=1e-9)
    root = of_events.backoff_model_.root_log_prob
    assert_allclose(root, of_tokens.token_log_prob_, rtol=1e-9)
    assert_allclose(of_events.score_samples(TEXTS), of_tokens.score_samples(TEXTS), rtol=1e-9)


def test_frontier_is_of_optima(policy):
    frontier = policy.frontier([2.0, 0.7])
    for place, kl_coef in enumerate([2.0, 0.7]):
        objective = objective_of(policy).having(kl_coef=kl_coef)
        assert_allclose(frontier.kl[place], objective.kl(objective.optimum()), rtol=1e-9)
    assert_allclose(frontier.objective[1], policy.objective_, rtol=1e-10)
    assert_allclose(frontier.expected_reward[1], policy.expected_reward_, rtol=1e-10)
    assert policy.frontier().kl_coef.shape == (50,)


# What comes in


def test_logged_rewards_are_learned_on_cumulative_counts(policy):
    model, trie = language_model(), language_model().trie_
    events = model.vectorizer_.transform(TEXTS)
    ridge = Ridge(tol=1e-10).fit(events @ trie.cumulative, REWARDS)
    assert_allclose(policy.reward_model_.predict(events), ridge.predict(events @ trie.cumulative))
    names = model.vectorizer_.get_feature_names_out()[: trie.n_arcs].tolist()
    weight = dict(zip(names, ridge.coef_, strict=True))
    assert_allclose(
        policy.token_reward_[names.index("<s> a b")],
        weight["b"] + weight["a b"] + weight["<s> a b"],
    )
    assert not policy.token_reward_[trie.n_arcs :].any()
    # Held out, what an n-gram earns is predicted better than by its tokens.
    tokens = events[:, : trie.n_arcs] @ trie.token_map[: trie.n_arcs]
    train, test = slice(0, 60), slice(60, None)
    errors = [
        np.square(Ridge().fit(counts[train], REWARDS[train]).predict(counts[test]) - REWARDS[test])
        for counts in (events @ trie.cumulative, tokens)
    ]
    assert errors[0].mean() < 0.5 * errors[1].mean()


@pytest.mark.parametrize("kind", [ExactPolicyOptimizer, BestOfNSampler])
def test_text_equals_counts(kind):
    counts = language_model().vectorizer_.transform(TEXTS)
    models = [kind(frozen(), random_state=0).fit(X, REWARDS) for X in (TEXTS, counts)]
    one, other = models
    assert_array_equal(one.arc_log_prob_, other.arc_log_prob_)
    assert_array_equal(one.backoff_log_weight_, other.backoff_log_weight_)
    assert_array_equal(one.score_samples(TEXTS), other.score_samples(counts))
    assert_array_equal(one.predict(TEXTS), other.predict(counts))
    assert one.sample(3, random_state=0) == other.sample(3, random_state=0)
    assert one.score(TEXTS) == other.score(counts)
    assert one.score(TEXTS, REWARDS) == other.score(counts, REWARDS)


def test_without_a_policy_it_pretrains_one():
    counter = NGramCounter(2, eos_token="<eos>")
    found = ExactPolicyOptimizer(vectorizer=counter, kl_coef=2.0).fit(TEXTS, REWARDS)
    expected = NGramLM(2, vectorizer=counter).fit(TEXTS).backoff_model_.event_log_prob
    assert_allclose(found.reference_log_prob_, expected, rtol=1e-14)


def test_a_model_of_lower_order_than_its_columns():
    lower = language_model(2, counted=3)
    found = ExactPolicyOptimizer(FrozenEstimator(lower), kl_coef=0.7).fit(TEXTS, REWARDS)
    assert found.trie_.order == 2
    assert found.n_features_in_ == lower.n_features_in_ > found.trie_.n_events
    same = ExactPolicyOptimizer(frozen(2), kl_coef=0.7).fit(TEXTS, REWARDS)
    assert_allclose(found.objective_, same.objective_, rtol=1e-10)
    assert_allclose(found.score_samples(TEXTS), same.score_samples(TEXTS), rtol=1e-10)
    assert_allclose(found.score(TEXTS, REWARDS), same.score(TEXTS, REWARDS), rtol=1e-10)


def test_refined_models_come_in():
    refined = SFTRefiner(frozen(), prior_strength=5.0).fit(TEXTS[:20])
    found = ExactPolicyOptimizer(FrozenEstimator(refined), kl_coef=0.7).fit(TEXTS, REWARDS)
    assert_array_equal(found.reference_log_prob_, refined.backoff_model_.event_log_prob)


# Prompts


def test_documents_start_after_prompts():
    model = language_model()
    prompts = ["a b", "d c a b", "c", ""]
    found = ExactPolicyOptimizer(frozen(), FrozenEstimator(token_reward_model()), kl_coef=0.7).fit(
        TEXTS, prompts=prompts
    )
    names = model.trie_.spell(model.vectorizer_.get_feature_names_out())[1]
    initial = np.zeros(len(names))
    for context in ("a b", "a b", "<s> c", "<s>"):
        initial[names.index(context)] += 0.25
    objective = NGramObjective.of_model(model, found.token_reward_, kl_coef=0.7, initial=initial)
    assert_allclose(found.objective_, objective.optimal_value() + _offset(found), rtol=1e-9)
    assert_allclose(found.kl_, objective.kl(objective.optimum()), rtol=1e-9)
    begin = ExactPolicyOptimizer(frozen(), FrozenEstimator(token_reward_model()), kl_coef=0.7)
    # The best policy is one for all starts, but its figures are of where documents start.
    assert_allclose(begin.fit(TEXTS).arc_log_prob_, found.arc_log_prob_, rtol=1e-9, atol=1e-9)
    assert abs(begin.objective_ - found.objective_) > 1e-3
    by_counts = ExactPolicyOptimizer(
        frozen(), FrozenEstimator(token_reward_model()), kl_coef=0.7
    ).fit(TEXTS, prompts=model.vectorizer_.transform(prompts))
    assert by_counts.objective_ == found.objective_


def _offset(policy):
    return policy.reward_coef * policy.reward_model_.intercept_


def test_prompts_make_no_difference_to_single_tokens():
    models = [
        ExactPolicyOptimizer(vectorizer=TokenCounter(eos_token="<eos>")).fit(
            TEXTS, REWARDS, prompts=prompts
        )
        for prompts in (None, ["a"] * len(TEXTS), ["b", "c d"])
    ]
    for other in models[1:]:
        assert_array_equal(models[0].token_log_prob_, other.token_log_prob_)
        assert models[0].sample(2, 0) == other.sample(2, 0, prompts=["b"])


def test_as_many_prompts_as_texts_are_what_they_follow():
    prompts = [WORDS[i % 3] for i in range(len(TEXTS))]
    found = ExactPolicyOptimizer(frozen(), kl_coef=2.0).fit(TEXTS, REWARDS, prompts=prompts)
    counter = language_model().vectorizer_
    counts = counter.transform_after(prompts, TEXTS)
    same = ExactPolicyOptimizer(frozen(), kl_coef=2.0).fit(
        counts, REWARDS, prompts=counter.transform(prompts)
    )
    assert_array_equal(found.arc_log_prob_, same.arc_log_prob_)
    assert found.objective_ == same.objective_
    assert found.score(TEXTS, REWARDS, prompts=prompts) == same.score(counts, REWARDS)
    assert found.score(TEXTS, REWARDS) != same.score(counts, REWARDS)


def test_first_tokens_sampled_are_those_after_prompts(policy):
    # Chi-square at level 1e-4 for each of two prompts.
    names = policy.vectorizer_.get_feature_names_out()
    for prompt in ("a", "c d"):
        drawn = policy.sample(4000, random_state=1, prompts=[prompt])
        first = [text.split()[0] if text else "<eos>" for text in drawn]
        expected = np.exp(policy.predict_log_proba([prompt])[0])
        counts = np.array([first.count(name) for name in names[: len(expected)]])
        assert chisquare(counts, 4000 * expected / expected.sum()).pvalue > 1e-4


def test_samples_start_as_those_of_the_fit(policy):
    # Lengths within 4 standard errors; those of documents from the start are far from it.
    settings = {"kl_coef": 0.7, "reward_coef": 1.5}
    found = ExactPolicyOptimizer(frozen(), **settings).fit(TEXTS, REWARDS, prompts=["a b", "c"])
    lengths = [[len(text.split()) + 1] for text in found.sample(4000, random_state=3)]
    assert abs(z_score(lengths, found.expected_length_)[0]) < 4
    assert abs(z_score(lengths, policy.expected_length_)[0]) > 20


# Language models


def test_sampled_n_grams_are_as_frequent_as_expected(policy):
    # Two-sided at 4.5 standard errors, 7e-6 each, of those expected 20 times or more.
    texts = policy.sample(4000, random_state=0)
    assert len(texts) == 4000
    drawn = policy.vectorizer_.transform([text for text in texts if text])
    expected = objective_of(policy).occurrences(policy._policy_log_prob)
    n_empty = texts.count("")
    n_arcs = policy.trie_.n_arcs
    counts = np.vstack([drawn.toarray(), np.zeros((n_empty, drawn.shape[1]))])[:, :n_arcs]
    # An empty document is its end alone, which a counter refuses to count.
    names = policy.vectorizer_.get_feature_names_out()[:n_arcs].tolist()
    counts[len(counts) - n_empty :, names.index("<eos>")] = 1.0
    often = 4000 * expected[:n_arcs] >= 20
    assert often.sum() > 30
    assert np.abs(z_score(counts[:, often], expected[:n_arcs][often])).max() < 4.5


def test_log_likelihoods_are_those_of_arcs_and_back_offs(policy):
    walk = policy.backoff_model_.log_prob_of
    context, total = policy.trie_.first_context, 0.0
    names = policy.vectorizer_.get_feature_names_out().tolist()
    for word in ["b", "d", "a", "<eos>"]:
        token = np.array([names.index(word)])
        total += walk(np.array([context]), token)[0]
        arc, here = -1, context
        while arc < 0:
            arc = policy.trie_.find(np.array([here]), token)[0]
            here = policy.trie_.suffix[here]
        context = policy.trie_.next[arc]
    assert_allclose(policy.score_samples(["b d a"]), total, rtol=1e-12)
    assert_allclose(policy.perplexity(["b d a"]), np.exp(-total / 4), rtol=1e-12)


def test_arpa_files_go_round(policy, tmp_path):
    policy.to_arpa(tmp_path / "policy.arpa")
    read = NGramLM.from_arpa(tmp_path / "policy.arpa")
    assert_allclose(read.score_samples(TEXTS), policy.score_samples(TEXTS), atol=1e-7)


def test_a_policy_is_the_reference_of_the_next(policy):
    following = ExactPolicyOptimizer(FrozenEstimator(policy), kl_coef=0.7, reward_coef=1.5)
    following.fit(TEXTS, REWARDS)
    assert_array_equal(following.reference_log_prob_, policy._policy_log_prob)
    # Tilting twice is tilting once at half the price, from the same reference.
    once = ExactPolicyOptimizer(frozen(), kl_coef=0.35, reward_coef=1.5).fit(TEXTS, REWARDS)
    assert_allclose(following.score_samples(TEXTS), once.score_samples(TEXTS), rtol=1e-8)
    copy = clone(following).fit(TEXTS, REWARDS)
    assert_array_equal(copy.arc_log_prob_, following.arc_log_prob_)
    again = pickle.loads(pickle.dumps(following))
    assert_array_equal(again.score_samples(TEXTS), following.score_samples(TEXTS))
    assert again.evaluate().objective == following.evaluate().objective
    refined = SFTRefiner(FrozenEstimator(policy), prior_strength=3.0).fit(TEXTS[:5])
    assert refined.score(TEXTS[:5]) > policy._mean_log_likelihood(TEXTS[:5], None)


def test_a_fit_of_another_family_forgets_the_one_before():
    model = ExactPolicyOptimizer(frozen(), kl_coef=2.0).fit(TEXTS, REWARDS)
    model.set_params(policy=None, vectorizer=TokenCounter(eos_token="<eos>")).fit(TEXTS, REWARDS)
    assert not hasattr(model, "backoff_model_")
    fresh = clone(model).fit(TEXTS, REWARDS)
    assert_array_equal(model.token_log_prob_, fresh.token_log_prob_)
    model.set_params(policy=frozen(), vectorizer=None).fit(TEXTS, REWARDS)
    assert not hasattr(model, "token_log_prob_")


# Lengths


def test_documents_without_an_end_have_a_length():
    found = ExactPolicyOptimizer(
        frozen(eos=None), kl_coef=0.7, response_length=5, random_state=0
    ).fit(TEXTS, REWARDS)
    assert found.response_length_ == found.document_length_ == 5
    assert found.max_length_ is found.optimal_log_prob_ is None
    assert {len(text.split()) for text in found.sample(20, 0)} == {5}
    objective = NGramObjective.of_model(
        language_model(eos=None), found.token_reward_, kl_coef=0.7, max_length=5
    )
    assert_allclose(found.optimality_gap_, objective.gap(found._policy_log_prob), atol=1e-10)
    assert_allclose(
        found.objective_ + found.optimality_gap_, objective.optimal_value() + _offset(found)
    )
    assert found.objective_ > found.evaluate(language_model(eos=None)).objective
    by_default = ExactPolicyOptimizer(frozen(eos=None)).fit(TEXTS, REWARDS)
    n_tokens = sum(len(text.split()) for text in TEXTS)
    assert by_default.response_length_ == round(n_tokens / len(TEXTS))


def test_documents_that_are_cut():
    settings = {"max_length": 4, "missing_eos_penalty": 0.8, "kl_coef": 0.7}
    found = ExactPolicyOptimizer(frozen(), **settings).fit(TEXTS, REWARDS)
    assert found.max_length_ == 4
    assert found.optimal_log_prob_ is None
    objective = NGramObjective.of_model(language_model(), found.token_reward_, **settings)
    assert_allclose(found.objective_, objective.value(found._policy_log_prob) + _offset(found))
    assert found.optimality_gap_ >= 0
    assert max(len(text.split()) for text in found.sample(50, 0)) <= 4
    with pytest.raises(ValueError, match=r"documents are not cut .* of at most 4 tokens"):
        found.frontier([1.0])


def test_where_length_explodes_documents_are_cut():
    model = ExactPolicyOptimizer(frozen(), lambda texts: [3.0 * len(t.split()) for t in texts])
    with pytest.raises(ValueError, match="cannot be told of a reward without weights"):
        model.fit(TEXTS)
    names = language_model().vectorizer_.get_feature_names_out()[:6]
    longer = Ridge(alpha=1e-12).fit(np.eye(6), np.where(names == "a", 3.0, 0.0))
    with pytest.warns(LengthExplosionWarning, match="smallest safe value.*cut at 200 tokens"):
        model = ExactPolicyOptimizer(frozen(), FrozenEstimator(longer)).fit(TEXTS)
    assert model.max_length_ == 200
    assert model.expected_length_ > 150


def test_entropy_counts_where_documents_end():
    found = ExactPolicyOptimizer(frozen(), kl_coef=0.7, entropy_coef=0.4).fit(TEXTS, REWARDS)
    objective = NGramObjective.of_model(
        language_model(), found.token_reward_, kl_coef=0.7, entropy_coef=0.4
    )
    assert_allclose(found.objective_, objective.optimal_value() + _offset(found), rtol=1e-9)
