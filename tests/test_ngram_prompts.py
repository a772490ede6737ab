"""Methods that read documents after prompts; what an empty document is to a model of n-grams."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.frozen import FrozenEstimator

from sklearn_codex import (
    ExactPolicyOptimizer,
    NGramCounter,
    NGramLM,
    PreferenceRewardModel,
    SFTRefiner,
    TokenCounter,
    UnigramLM,
)

TEXTS = ["the cat sat", "the dog sat on the cat", "a dog sat on the mat"] * 2
PROMPTS = ["the cat", "a", ""]
AFTER = ["sat on", "dog", "the mat"]


def fitted(eos="</s>", order=3):
    return NGramLM(order, vectorizer=NGramCounter(order, eos_token=eos)).fit(TEXTS)


def models():
    model = fitted()
    refined = SFTRefiner(FrozenEstimator(model), prior_strength=3).fit(AFTER, prompts=PROMPTS)
    reward = np.arange(len(TEXTS), dtype=float)
    policy = ExactPolicyOptimizer(FrozenEstimator(refined), kl_coef=30.0).fit(TEXTS, reward)
    return {"lm": model, "sft": refined, "policy": policy}


MODELS = models()


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_likelihoods_after_prompts_are_those_of_whole_documents_less_the_prompts(model):
    whole = [f"{prompt} {text}".strip() for prompt, text in zip(PROMPTS, AFTER, strict=True)]
    alone = model.score_samples(AFTER, prompts=PROMPTS)
    # Token by token, each after all that is before it.
    names = model.vectorizer_.get_feature_names_out()[: model.backoff_model_.trie.n_tokens].tolist()
    for text, prompt, found in zip(whole, PROMPTS, alone, strict=True):
        tokens, log_prob = [*text.split(), "</s>"], 0.0
        for place in range(len(prompt.split()), len(tokens)):
            following = model.predict_log_proba([" ".join(tokens[:place])])
            log_prob += following[0, names.index(tokens[place])]
        assert found == pytest.approx(log_prob, rel=1e-12)
    n_tokens = sum(len(text.split()) + 1 for text in AFTER)
    mean = alone.sum() / n_tokens
    assert model.perplexity(AFTER, prompts=PROMPTS) == pytest.approx(np.exp(-mean), rel=1e-12)
    weight = np.array([2.0, 0.5, 1.0])
    weighed = (weight @ alone) / (weight @ [3.0, 2.0, 3.0])
    perplexity = model.perplexity(AFTER, weight, prompts=PROMPTS)
    assert perplexity == pytest.approx(np.exp(-weighed), rel=1e-12)
    if not isinstance(model, ExactPolicyOptimizer):
        assert model.score(AFTER, prompts=PROMPTS) == pytest.approx(mean, rel=1e-12)
    assert_array_equal(model.predict(AFTER, prompts=PROMPTS), model.predict(whole))
    assert_allclose(
        model.predict_log_proba(AFTER, prompts=PROMPTS), model.predict_log_proba(whole), rtol=1e-12
    )
    assert_allclose(model.score_samples(AFTER, prompts=[""] * 3), model.score_samples(AFTER))


@pytest.mark.parametrize("eos", [None, "</s>"])
def test_what_a_document_begins_with_can_be_read(eos):
    model = fitted(eos)
    first = np.exp(model.predict_log_proba(["", "  ", "the"]))
    assert_allclose(first.sum(axis=1), 1.0)
    assert_array_equal(first[0], first[1])
    drawn = model.sample(4000, random_state=0, prompts=[""])
    share = np.mean([text.startswith("the ") for text in drawn])
    names = model.vectorizer_.get_feature_names_out().tolist()
    assert first[0, names.index("the")] == pytest.approx(share, abs=0.035)
    assert model.predict([""]).tolist() == ["the"]
    # After a prompt that is all there is.
    assert_array_equal(model.predict(["", ""], prompts=["a dog", ""]), ["sat", "the"])


def test_a_document_without_a_token_is_told_what_helps():
    model = fitted(None)
    for call in (model.score_samples, model.fit, model.perplexity):
        with pytest.raises(ValueError, match=r"without a token, .* or count with eos_token set"):
            call(["a", ""])
    dropping = UnigramLM(vectorizer=TokenCounter(unk_token=None)).fit(["a b"])
    with pytest.raises(ValueError, match="count with unk_token or eos_token set"):
        dropping.score_samples(["z"])
    with pytest.raises(ValueError, match="or count with eos_token set"):
        dropping.score_samples([" "])


def test_prompts_make_no_difference_to_single_tokens():
    for model in (fitted(order=1), SFTRefiner(FrozenEstimator(UnigramLM().fit(TEXTS))).fit(AFTER)):
        assert_array_equal(model.score_samples(AFTER, prompts=PROMPTS), model.score_samples(AFTER))
        assert_array_equal(model.predict(AFTER, prompts=PROMPTS), model.predict(AFTER))
        with pytest.raises(ValueError, match="needs a prompt, a str, for each of 3 documents"):
            model.perplexity(AFTER, prompts=["a"])


@pytest.mark.parametrize("prompts", [[1], [], np.array([1, 2]), [None], (3.5,)], ids=repr)
def test_prompts_that_are_no_texts_are_told(prompts):
    model = MODELS["lm"]
    policy = ExactPolicyOptimizer(FrozenEstimator(model), kl_coef=30.0)
    told = r"should be texts, a sequence of str, or counts of shape|expected X|got 0 documents"
    for call in (
        lambda: model.sample(prompts=prompts),
        lambda: policy.fit(TEXTS, np.arange(6.0), prompts=prompts),
    ):
        with pytest.raises((ValueError, TypeError), match=rf"prompts of .*({told})"):
            call()
    with pytest.raises((ValueError, TypeError), match="prompt"):
        model.score_samples(AFTER, prompts=prompts)


def test_the_expected_reward_is_that_of_texts_after_their_prompts():
    model = MODELS["lm"]
    pairs = [("sat on", "dog sat"), ("dog sat", "cat"), ("the mat", "the cat"), ("mat", "sat")]
    vectorizer = FrozenEstimator(model.vectorizer_)
    rewards = PreferenceRewardModel(C=3.0, vectorizer=vectorizer).fit(pairs, [1, 0, 1, 0])
    policy = ExactPolicyOptimizer(FrozenEstimator(model), FrozenEstimator(rewards), kl_coef=5.0)
    policy.fit(TEXTS, prompts=["the dog sat"])
    n = 4000
    drawn = policy.sample(n, random_state=0, prompts=["the dog sat"])
    after = rewards.reward(drawn, prompts=["the dog sat"] * n)
    error = after.std() / np.sqrt(n)
    assert after.mean() == pytest.approx(policy.expected_reward_, abs=4 * error)
    assert abs(rewards.reward(drawn).mean() - policy.expected_reward_) > 8 * error
    with pytest.raises(ValueError, match="needs a prompt, a str, for each"):
        rewards.reward(drawn, prompts=["a"])
    plain = PreferenceRewardModel().fit(pairs, [1, 0, 1, 0])
    assert_array_equal(plain.reward(AFTER, prompts=PROMPTS), plain.reward(AFTER))
