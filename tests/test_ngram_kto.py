"""KTO of policies of n-grams: its rest point by definition, prompts, ends, pipelines and files."""

import numpy as np
import pytest
from assertions import assert_same_distribution
from numpy.testing import assert_allclose
from scipy.special import expit
from sklearn.frozen import FrozenEstimator

from sklearn_codex import (
    KTOPolicyOptimizer,
    NGramCounter,
    NGramLM,
    RLHFPipeline,
    UnigramLM,
    load_model,
    save_model,
)
from sklearn_codex._policy.ngram_tilt import NGramTilt

WORDS = ["the", "a", "cat", "dog", "sat", "ran", "on", "mat"]
_RNG = np.random.default_rng(7)
TEXTS = [" ".join(_RNG.choice(WORDS, _RNG.integers(3, 7))) for _ in range(50)]
GOOD = np.array(["the cat" in text or "sat on" in text or "a dog" in text for text in TEXTS])
PROMPTS = ["say the" if number % 2 else "ask a" for number in range(50)]
WEIGHT = _RNG.exponential(size=50)


def base_of(order=2, eos=None):
    return FrozenEstimator(NGramLM(order, vectorizer=NGramCounter(order, eos_token=eos)).fit(TEXTS))


@pytest.mark.parametrize("eos", [None, "<eos>"])
def test_it_rests_by_the_definition(eos):
    base, b, C = base_of(eos=eos), 0.5, 0.7
    fitted = KTOPolicyOptimizer(base, kl_coef=b, C=C, desirable_weight=3.0)
    fitted.fit(TEXTS, GOOD, WEIGHT)
    ratio = fitted.score_samples(TEXTS) - base.score_samples(TEXTS)
    assert_allclose(fitted.reward(TEXTS), b * ratio, atol=1e-9)
    assert_allclose(fitted.reference_point_, b * fitted.kl_)
    drawn = fitted.sample(4000, random_state=0)
    log_ratio = fitted.score_samples(drawn) - base.score_samples(drawn)
    assert abs(log_ratio.mean() - fitted.kl_) < 5 * log_ratio.std() / np.sqrt(len(drawn))
    # The gradient at a tilt of this policy, by differences of the loss at this reference point.
    counts = fitted.vectorizer_.transform(TEXTS)
    tilt = NGramTilt(fitted._trie, fitted.reference_log_prob_, b)

    def loss(weights):
        u = counts @ tilt.at(weights).reward - fitted.reference_point_
        losses = np.where(GOOD, 3.0 * expit(-u), expit(u))
        return WEIGHT @ losses + 0.5 / C * weights @ weights

    # At a rest point the weights are C times the pull on them.
    u = fitted.margin(TEXTS)
    slopes = WEIGHT * np.where(GOOD, -3.0, 1.0) * expit(u) * expit(-u)
    weights = -C * self_vjp(tilt, fitted, counts.T @ slopes)
    assert_allclose(tilt.at(weights).reward, fitted.token_reward_, atol=1e-5)
    for seed in range(3):
        direction = np.random.default_rng(seed).standard_normal(len(weights))
        slope = (loss(weights + 1e-5 * direction) - loss(weights - 1e-5 * direction)) / 2e-5
        assert abs(slope) < 1e-5


def self_vjp(tilt, fitted, slopes):
    """The gradient of slopes times the reward at a fitted policy, a tilt of 0 of itself."""
    return NGramTilt(tilt.trie, fitted._backoff.event_log_prob, tilt.kl_coef).at(
        np.zeros(tilt.n_weights)
    ).vjp(slopes)  # fmt: skip


def test_order_one_is_the_policy_of_tokens():
    tokens = UnigramLM(vectorizer=NGramCounter(1)).fit(TEXTS)
    one = KTOPolicyOptimizer(FrozenEstimator(tokens), kl_coef=0.7).fit(TEXTS, GOOD)
    model = NGramLM(1, vectorizer=NGramCounter(1), smoothing=1.0).fit(TEXTS)
    other = KTOPolicyOptimizer(FrozenEstimator(model), kl_coef=0.7).fit(TEXTS, GOOD)
    assert_allclose(one.reference_log_prob_, other.reference_log_prob_)
    assert_allclose(one.token_log_prob_, other.token_log_prob_, atol=1e-8)


def test_prompts_are_what_documents_go_on_from():
    base = base_of()
    fitted = KTOPolicyOptimizer(base, kl_coef=0.5).fit(TEXTS, GOOD, prompts=PROMPTS)
    counts = base.vectorizer_.transform_after(PROMPTS, TEXTS)
    from_counts = KTOPolicyOptimizer(base, kl_coef=0.5).fit(counts, GOOD, prompts=PROMPTS)
    assert_allclose(from_counts.token_reward_, fitted.token_reward_, atol=1e-8)
    assert_allclose(fitted.reward(TEXTS, prompts=PROMPTS), fitted.reward(counts))
    assert_allclose(fitted.score(TEXTS, GOOD, prompts=PROMPTS), fitted.score(counts, GOOD))
    drawn = fitted.sample(1000, random_state=0, prompts=["say the", "ask a"])
    before = np.repeat(["say the", "ask a"], 1000).tolist()
    both = base.vectorizer_.transform_after(before, drawn)
    ratio = fitted.reward(both) / 0.5
    assert abs(ratio.mean() - fitted.kl_) < 5 * ratio.std() / np.sqrt(len(ratio))
    with pytest.raises(ValueError, match="a prompt, a str, for each of 50 documents, got 2"):
        KTOPolicyOptimizer(base).fit(TEXTS, GOOD, prompts=["a", "b"])


def test_a_pipeline_of_ngrams_reads_prompts():
    rows = [{"text": text} for text in TEXTS] + [
        {"prompt": prompt, "completion": text, "label": bool(good)}
        for prompt, text, good in zip(PROMPTS, TEXTS, GOOD, strict=True)
    ]
    loop = RLHFPipeline([("lm", NGramLM(2)), ("kto", KTOPolicyOptimizer(kl_coef=0.5))]).fit(rows)
    by_hand = KTOPolicyOptimizer(FrozenEstimator(loop["lm"]), kl_coef=0.5)
    by_hand.fit(TEXTS, GOOD, prompts=PROMPTS)
    assert_allclose(loop["kto"].token_reward_, by_hand.token_reward_, atol=1e-8)
    assert np.isfinite(loop.score(rows))


def test_a_file_keeps_it(tmp_path):
    pytest.importorskip("skops")
    fitted = KTOPolicyOptimizer(base_of(), kl_coef=0.5).fit(TEXTS, GOOD)
    save_model(fitted, tmp_path / "kto.skops")
    loaded = load_model(tmp_path / "kto.skops")
    assert_allclose(loaded.margin(TEXTS), fitted.margin(TEXTS))
    assert_same_distribution(loaded._backoff.root_log_prob, fitted._backoff.root_log_prob)
