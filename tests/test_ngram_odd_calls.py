"""Odd calls of models and policies of n-grams: too many documents, names, ends, prompts."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.frozen import FrozenEstimator

from sklearn_codex import ExactPolicyOptimizer, NGramCounter, NGramLM, PPOPolicyOptimizer
from sklearn_codex.exact import arc_reward
from sklearn_codex.rules import BannedNGrams

TEXTS = ["a b c", "b a", "c a b", "a a b", "b c", "c", "a b a b"]
REWARDS = np.array([text.split().count("a") - 0.3 * len(text.split()) for text in TEXTS])
COUNTER = NGramCounter(2, tokenizer="whitespace", eos_token="</s>")
MODEL = NGramLM(2, vectorizer=COUNTER).fit(TEXTS)


def test_more_documents_than_memory_holds_are_refused_before_they_are_drawn():
    with pytest.raises(ValueError, match="Drawing 60,000,000 documents until they end would hold"):
        MODEL.sample(60_000_000, 0)


def test_tokens_are_counted_while_documents_are_drawn(monkeypatch):
    monkeypatch.setattr("sklearn_codex._checks.numbers.MOST_TOKENS", 1000)
    assert len(MODEL.sample(200, 0)) == 200
    with pytest.raises(ValueError, match=r"at least 1,\d+ tokens .* limit of 1,000\. Draw fewer"):
        MODEL.sample(500, 0)


def test_a_few_documents_that_tell_the_length_change_no_draws(monkeypatch):
    texts = MODEL.sample(50, 0)
    monkeypatch.setattr("sklearn_codex._ngrams.backoff._MANY", 20)
    monkeypatch.setattr("sklearn_codex._ngrams.backoff._FEW", 10)
    assert MODEL.sample(50, 0) == texts


def test_warm_start_names_the_other_policy():
    policy = PPOPolicyOptimizer(
        FrozenEstimator(MODEL), warm_start=True, max_iter=2, tol=0, random_state=0
    ).fit(TEXTS, REWARDS)
    n_before, longer = MODEL.n_features_in_, NGramCounter(3, tokenizer="whitespace")
    policy.policy = FrozenEstimator(NGramLM(3, vectorizer=longer).fit(TEXTS))
    message = f"of {n_before} columns of n-grams, but got a policy of .* the policy that it began"
    with pytest.raises(ValueError, match=message):
        policy.fit(TEXTS, REWARDS)


def test_names_of_several_ngrams_have_no_reward():
    counter = NGramCounter(2, tokenizer=lambda text: text.split("|"), unk_token=None)
    model = NGramLM(2, vectorizer=counter).fit(["a b|a|b|c", "c|a"])
    assert arc_reward(model, {"c": 1.0}).sum() > 0
    with pytest.raises(ValueError, match=r"'a b', which is the name of several n-grams .* columns"):
        arc_reward(model, {"a b": 1.0})


def test_ends_are_of_documents_of_policies_and_not_of_texts():
    rule = BannedNGrams(["b </s>"])
    policy = ExactPolicyOptimizer(FrozenEstimator(MODEL), rules=[rule], kl_coef=100.0)
    policy.fit(TEXTS, REWARDS)
    drawn = [text.split()[-1:] == ["b"] for text in policy.sample(2000, 0)]
    assert policy.rule_rates_["banned_ngrams"] == pytest.approx(np.mean(drawn), abs=0.02)
    assert_array_equal(rule(TEXTS), 0.0)


def test_text_and_counts_after_as_many_prompts():
    # Text is counted after its own prompt; counts are what they are.
    prompts = ["c a", "b", "", "a b", "c", "b b", "a"]
    vectorizer = MODEL.vectorizer_
    after = vectorizer.transform_after(prompts, TEXTS)

    def fitted(X):
        policy = ExactPolicyOptimizer(FrozenEstimator(MODEL))
        return policy.fit(X, REWARDS, prompts=prompts).arc_log_prob_

    assert_array_equal(fitted(TEXTS), fitted(after))
    assert np.abs(fitted(TEXTS) - fitted(vectorizer.transform(TEXTS))).max() > 1e-3
