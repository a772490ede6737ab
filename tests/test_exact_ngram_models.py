"""Objectives of n-gram models as they are fitted, and rewards of n-grams by their names."""

import numpy as np
import pytest
from sklearn.frozen import FrozenEstimator

from sklearn_codex import NGramCounter, NGramLM, SFTRefiner, UnigramLM
from sklearn_codex.exact import NGramObjective, arc_reward

TEXTS = ["a b", "c b c", "c a c", "b c a"]


@pytest.fixture(scope="module")
def model():
    counter = NGramCounter(order=3, unk_token=None, eos_token="</s>")
    return NGramLM(vectorizer=counter).fit(TEXTS)


def test_optimum_is_the_tilted_model_document_by_document(model):
    reward = arc_reward(model, {"a b": 0.7, "c": -0.4, "<s> c": 0.3})
    problem = NGramObjective.of_model(model, reward, kl_coef=1.5)
    events = model.vectorizer_.transform([*TEXTS, "", "b b a b", "c c c a b"])
    n_rewards = 0.7 * np.array([1, 0, 0, 0, 0, 1, 1]) - 0.4 * np.array([0, 2, 2, 1, 0, 0, 3])
    n_rewards += 0.3 * np.array([0, 1, 1, 0, 0, 0, 1])  # begins with c
    best = events @ problem.optimum()
    tilted = model.score_samples(events) + n_rewards / 1.5
    optimal_value = problem.value(problem.optimum())
    np.testing.assert_allclose(best, tilted - optimal_value / 1.5, rtol=1e-10)


def test_refined_and_frozen_models_are_models(model):
    refined = SFTRefiner(FrozenEstimator(model), prior_strength=2.0).fit(["a b", "a b"])
    for one in (refined, FrozenEstimator(refined)):
        problem = NGramObjective.of_model(one, arc_reward(one, {"b": 0.1}), kl_coef=2.0)
        np.testing.assert_array_equal(
            problem.reference_log_prob, refined.backoff_model_.event_log_prob
        )
        assert problem.trie is refined.trie_


def test_what_is_no_ngram_is_told(model):
    with pytest.raises(ValueError, match="got 'b a b', which is no n-gram of the model, of 3"):
        arc_reward(model, {"b a b": 1.0})
    with pytest.raises(ValueError, match="needs a finite reward of 'b', got nan"):
        arc_reward(model, {"b": np.nan})
    counts = NGramLM().fit([[1, 2], [0, 3]])
    with pytest.raises(ValueError, match="fitted on counts without names"):
        arc_reward(counts, {"b": 1.0})
    for nothing in (UnigramLM().fit(TEXTS), None):
        with pytest.raises(TypeError, match="needs a fitted model of n-grams"):
            NGramObjective.of_model(nothing)
