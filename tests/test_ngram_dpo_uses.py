"""A policy that DPO learned over n-grams, as a model among models: files, pipelines, relatives."""

import copy
import pickle

import contract
import numpy as np
import pytest
from ngram_pairs import LABELS, PAIRS, PROMPTED, PROMPTS, assert_same_bits
from ngram_policy_problems import TEXTS, frozen, language_model
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV

from sklearn_codex import (
    DPOPolicyOptimizer,
    NGramCounter,
    NGramLM,
    RLHFPipeline,
    SFTRefiner,
    UnigramLM,
    load_model,
    save_model,
)
from sklearn_codex._persistence.fitted import check_fitted


def test_it_is_a_model_of_n_grams(tmp_path):
    fitted = DPOPolicyOptimizer(frozen(), kl_coef=0.5).fit(PAIRS, LABELS)
    assert_allclose(np.exp(fitted.predict_log_proba(["a b", ""])).sum(axis=1), 1.0)
    read = NGramLM.from_arpa(fitted.to_arpa(tmp_path / "m.arpa") and tmp_path / "m.arpa")
    assert_allclose(read.score_samples(TEXTS), fitted.score_samples(TEXTS), atol=1e-6)
    again = DPOPolicyOptimizer(FrozenEstimator(fitted)).fit(PAIRS, LABELS)
    assert_array_equal(again.reference_log_prob_, fitted.backoff_model_.event_log_prob)
    refined = SFTRefiner(FrozenEstimator(fitted), prior_strength=5).fit(["a b"] * 9)
    assert refined.perplexity(["a b"]) < fitted.perplexity(["a b"])
    assert fitted.perplexity(["a b"], prompts=["c"]) > 1
    # Of either kind, one after the other.
    kind = clone(fitted).set_params(policy=FrozenEstimator(UnigramLM().fit(TEXTS)))
    kind.fit(PAIRS, LABELS)
    assert not hasattr(kind, "_backoff")
    assert_array_equal(kind.set_params(policy=frozen()).fit(PAIRS, LABELS).coef_, fitted.coef_)
    assert not hasattr(kind, "token_log_prob_")


def test_pickles_and_model_files(tmp_path):
    fitted = DPOPolicyOptimizer(frozen(2, counted=3), kl_coef=0.5).fit(PROMPTED, LABELS)
    assert_same_bits(pickle.loads(pickle.dumps(fitted)), fitted)
    save_model(fitted, tmp_path / "dpo.skops")
    loaded = load_model(tmp_path / "dpo.skops")
    assert_same_bits(loaded, fitted)
    assert loaded.sample(3, random_state=0) == fitted.sample(3, random_state=0)
    for name, value, message in [
        ("token_reward_", fitted.token_reward_[1:], "token_reward_ of its DPOPolicyOptimizer"),
        ("_trie", language_model().trie_, "has not the n-grams of its policy"),
        ("_initial", np.ones(3), "do not start in its contexts"),
    ]:
        broken = copy.copy(fitted)
        setattr(broken, name, value)
        with pytest.raises(ValueError, match=message):
            check_fitted(broken)
    broken = copy.copy(fitted)
    del broken.token_reward_
    with pytest.raises(ValueError, match="has no attribute token_reward_"):
        check_fitted(broken)


def test_callbacks_see_models_of_n_grams():
    callback = contract.RecordingCallback()
    DPOPolicyOptimizer(frozen()).set_callbacks(callback).fit(PAIRS, LABELS)
    contract.assert_balanced(callback)


RECORDS = [
    *({"text": text} for text in TEXTS),
    *({"prompt": "a", "completion": text} for text in TEXTS[:5]),
    *(
        {"prompt": prompt, "chosen": pair[1 - label], "rejected": pair[label]}
        for prompt, pair, label in zip(PROMPTS, PAIRS, LABELS, strict=True)
    ),
]


def make_loop(**params):
    stages = [("pretrain", NGramLM()), ("sft", SFTRefiner(prior_strength=20.0))]
    stages.append(("policy", DPOPolicyOptimizer(kl_coef=0.5)))
    return RLHFPipeline(stages, vectorizer=NGramCounter(3, eos_token="</s>"), **params)


def test_a_stage_of_the_loop_at_order_three():
    loop = make_loop().fit(RECORDS)
    policy = loop["policy"]
    assert policy.trie_.order == 3
    by_hand = DPOPolicyOptimizer(FrozenEstimator(loop["sft"]), kl_coef=0.5)
    chosen = [(row["prompt"], row["chosen"], row["rejected"]) for row in RECORDS if "chosen" in row]
    turned = [row if i % 2 else (row[0], row[2], row[1]) for i, row in enumerate(chosen)]
    by_hand.fit(turned, [i % 2 for i in range(len(turned))])
    assert_allclose(policy.arc_log_prob_, by_hand.arc_log_prob_, atol=1e-7)
    assert policy.kl_ == pytest.approx(by_hand.kl_, rel=1e-7)
    assert len(loop.sample(2, 0, prompts=["a", "b a"])) == 4
    assert loop.sample(4, 0) == policy.sample(4, 0)
    assert np.isfinite(loop.score(RECORDS))


def test_a_search_over_the_loop():
    grid = {"policy__kl_coef": [0.3, 3.0], "pretrain__order": [1, 3]}
    search = GridSearchCV(make_loop(), grid, cv=2, error_score="raise").fit(RECORDS * 2)
    assert len(set(search.cv_results_["mean_test_score"])) == 4


@pytest.mark.parametrize("loss", ["hinge", "simpo", "cpo", "orpo"])
def test_its_relatives_learn_policies_of_n_grams(loss):
    fitted = DPOPolicyOptimizer(frozen(), loss=loss, kl_coef=0.6, C=2.0).fit(PROMPTED, LABELS)
    assert_allclose(np.exp(fitted.predict_log_proba(["a", "c b"])).sum(axis=1), 1.0)
    likelihoods, lengths = (
        np.array([measure(side) for side in (0, 1)])
        for measure in (
            lambda side: fitted.score_samples([pair[side] for pair in PAIRS], prompts=PROMPTS),
            lambda side: [len(pair[side].split()) + 1 for pair in PAIRS],
        )
    )
    before = [
        language_model().score_samples([pair[side] for pair in PAIRS], prompts=PROMPTS)
        for side in (0, 1)
    ]
    means = likelihoods / lengths
    odds = means - np.log1p(-np.exp(means))
    margins = {
        "hinge": 0.6 * (likelihoods - before),
        "simpo": 0.6 * means,
        "cpo": 0.6 * likelihoods,
        "orpo": odds,
    }[loss]
    found = fitted.margin(PROMPTED)
    assert_allclose(found, margins[0] - margins[1], atol=1e-8)
    assert ((found > 0) == np.array(LABELS, bool)).mean() > 0.6
