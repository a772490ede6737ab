"""What DPO of policies over n-grams is given: text, counts, prompts, weights, what it refuses."""

import copy

import numpy as np
import pytest
from ngram_pairs import (
    LABELS,
    PAIRS,
    PROMPTED,
    PROMPTS,
    assert_same_bits,
    differences,
    model_on,
    random_pairs,
)
from ngram_policy_problems import TEXTS, frozen, language_model
from ngram_problems import random_trie
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit
from sklearn import config_context
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import cross_val_score

from sklearn_codex import (
    DPOPolicyOptimizer,
    NGramCounter,
    NGramLM,
    UnigramLM,
)
from sklearn_codex._ngrams.backoff import BackoffModel
from sklearn_codex.exact._ngram_search import moved


def test_text_equals_differences():
    by_text = DPOPolicyOptimizer(frozen(), kl_coef=0.5).fit(PAIRS, LABELS)
    counter = language_model().vectorizer_
    a, b = (counter.transform([pair[side] for pair in PAIRS]) for side in (0, 1))
    by_counts = DPOPolicyOptimizer(frozen(), kl_coef=0.5).fit(a - b, LABELS)
    assert_allclose(by_counts.token_reward_, by_text.token_reward_, atol=1e-9)
    assert_allclose(by_counts.margin(a - b), by_text.margin(PAIRS), atol=1e-9)
    assert by_counts.score(a - b, LABELS) == pytest.approx(by_text.score(PAIRS, LABELS))
    vectors = np.stack([a.toarray(), b.toarray()], axis=1)
    by_vectors = DPOPolicyOptimizer(frozen(), kl_coef=0.5).fit(vectors, LABELS)
    assert_allclose(by_vectors.token_reward_, by_text.token_reward_, atol=1e-9)


def test_responses_are_read_after_their_prompts():
    in_rows = DPOPolicyOptimizer(frozen(), kl_coef=0.5).fit(PROMPTED, LABELS)
    counter = language_model().vectorizer_
    a, b = (counter.transform_after(PROMPTS, [pair[side] for pair in PAIRS]) for side in (0, 1))
    beside = DPOPolicyOptimizer(frozen(), kl_coef=0.5).fit(PAIRS, LABELS, prompts=PROMPTS)
    counted = DPOPolicyOptimizer(frozen(), kl_coef=0.5).fit(a - b, LABELS, prompts=PROMPTS)
    assert_same_bits(beside, in_rows)
    assert_allclose(counted.token_reward_, in_rows.token_reward_, atol=1e-9)
    assert counted.kl_ == pytest.approx(in_rows.kl_, rel=1e-8)
    assert_array_equal(counted._initial, in_rows._initial)
    assert counted.sample(5, random_state=0) == in_rows.sample(5, random_state=0)
    assert_allclose(in_rows.margin(PROMPTED), counted.margin(a - b), atol=1e-9)
    after = in_rows.reward([a for a, _ in PAIRS], prompts=PROMPTS)
    after -= in_rows.reward([b for _, b in PAIRS], prompts=PROMPTS)
    assert_allclose(after, in_rows.margin(PROMPTED), atol=1e-9)
    alone = DPOPolicyOptimizer(frozen(), kl_coef=0.5).fit(PAIRS, LABELS)
    assert np.abs(alone.token_reward_ - in_rows.token_reward_).max() > 0.01
    # A prompt without words is the start of a document.
    empty = DPOPolicyOptimizer(frozen(), kl_coef=0.5).fit(PAIRS, LABELS, prompts=[""] * 6)
    assert_allclose(empty.token_reward_, alone.token_reward_, atol=1e-12)


def test_margins_and_scores_are_read_after_prompts_given_beside():
    fitted = DPOPolicyOptimizer(frozen(), kl_coef=0.5).fit(PAIRS, LABELS, prompts=PROMPTS)
    weight = np.array([1.0, 2.0, 0.5, 3.0, 1.0, 0.2])
    margin = fitted.margin(PAIRS, prompts=PROMPTS)
    assert_allclose(margin, fitted.margin(PROMPTED), atol=1e-12)
    by_hand = fitted.reward([a for a, _ in PAIRS], prompts=PROMPTS)
    by_hand -= fitted.reward([b for _, b in PAIRS], prompts=PROMPTS)
    assert_allclose(margin, by_hand, atol=1e-9)
    lean = 2 * np.array(LABELS) - 1
    assert fitted.history_[-1]["margin"] == pytest.approx(np.mean(lean * margin))
    score = fitted.score(PAIRS, LABELS, sample_weight=weight, prompts=PROMPTS)
    by_hand = np.average(np.log(expit(lean * margin)), weights=weight)
    assert score == pytest.approx(by_hand)
    assert score == pytest.approx(fitted.score(PROMPTED, LABELS, sample_weight=weight))
    with pytest.warns(UserWarning, match="was fitted with prompts, but .* got 6 pairs without"):
        forgotten = fitted.score(PAIRS, LABELS)
    assert forgotten == fitted.score(PAIRS, LABELS, prompts=[""] * 6)
    assert abs(forgotten - fitted.score(PROMPTED, LABELS)) > 1e-3
    with pytest.raises(ValueError, match="got prompts twice"):
        fitted.margin(PROMPTED, prompts=PROMPTS)


def test_cross_validation_hands_prompts_to_fit_and_score():
    search = {"cv": 2, "error_score": "raise"}
    plain = DPOPolicyOptimizer(frozen(), kl_coef=0.5)
    expected = cross_val_score(plain, PROMPTED * 2, LABELS * 2, **search)
    with config_context(enable_metadata_routing=True):
        asking = plain.set_fit_request(prompts=True).set_score_request(prompts=True)
        params = {"prompts": PROMPTS * 2}
        found = cross_val_score(asking, PAIRS * 2, LABELS * 2, params=params, **search)
    assert_allclose(found, expected, rtol=1e-9)


def test_prompts_make_no_difference_to_single_tokens():
    policy = FrozenEstimator(UnigramLM().fit(TEXTS))
    plain = DPOPolicyOptimizer(policy).fit(PAIRS, LABELS)
    for given in (
        DPOPolicyOptimizer(policy).fit(PROMPTED, LABELS),
        DPOPolicyOptimizer(policy).fit(PAIRS, LABELS, prompts=PROMPTS),
    ):
        assert_array_equal(given.token_log_prob_, plain.token_log_prob_)
        rewards = given.reward(["a b", "c"], prompts=["d", ""])
        assert_array_equal(rewards, plain.reward(["a b", "c"]))


def test_of_order_one_it_is_that_of_single_tokens():
    tokens = UnigramLM(vectorizer=NGramCounter(1)).fit(TEXTS)
    ngrams = NGramLM(1, smoothing=1.0, vectorizer=NGramCounter(1)).fit(TEXTS)
    one, other = (
        DPOPolicyOptimizer(FrozenEstimator(m)).fit(PAIRS, LABELS) for m in (tokens, ngrams)
    )
    assert_allclose(other.token_log_prob_, one.token_log_prob_, rtol=1e-10)
    assert other.kl_ == pytest.approx(one.kl_, rel=1e-9)
    # Counted in n-grams of a higher order, it is reduced to tokens.
    counted = DPOPolicyOptimizer(frozen(1, eos=None, counted=3)).fit(PAIRS, LABELS)
    plain = DPOPolicyOptimizer(FrozenEstimator(
        NGramLM(1, vectorizer=NGramCounter(1)).fit(TEXTS))).fit(PAIRS, LABELS)  # fmt: skip
    assert_allclose(counted.arc_log_prob_, plain.token_log_prob_, rtol=1e-8)
    assert_allclose(counted.margin(PAIRS), plain.margin(PAIRS), rtol=1e-8)


def test_a_policy_of_lower_order_than_its_counts():
    lower = DPOPolicyOptimizer(frozen(2, counted=3), kl_coef=0.5).fit(PROMPTED, LABELS)
    plain = DPOPolicyOptimizer(frozen(2), kl_coef=0.5).fit(PROMPTED, LABELS)
    assert lower.trie_.order == 2
    assert_allclose(lower.arc_log_prob_, plain.arc_log_prob_, rtol=1e-7)
    assert_allclose(lower.margin(PROMPTED), plain.margin(PROMPTED), rtol=1e-7)
    assert_allclose(lower.kl_, plain.kl_, rtol=1e-7)
    assert_allclose(lower.reward(TEXTS), plain.reward(TEXTS), atol=1e-8)
    assert lower.coef_.shape == (1, lower.n_features_in_)


def test_without_a_policy_it_starts_from_the_uniform_one():
    fitted = DPOPolicyOptimizer(vectorizer=NGramCounter(2), kl_coef=0.5).fit(PROMPTED, LABELS)
    uniform = BackoffModel.uniform(fitted.trie_).event_log_prob
    assert_array_equal(fitted.reference_log_prob_, uniform)
    lengths = [len(text.split()) for pair in PAIRS for text in pair]
    assert fitted.document_length_ == round(np.mean(lengths))
    margin = fitted.margin(PROMPTED)
    assert_array_equal(margin > 0, np.array(LABELS) == 1)


def test_weights_are_repetitions():
    weight = np.array([1.0, 2.0, 1.0, 3.0, 1.0, 1.0])
    rows = np.repeat(np.arange(6), weight.astype(int))
    weighed = DPOPolicyOptimizer(frozen()).fit(PAIRS, LABELS, sample_weight=weight)
    again = DPOPolicyOptimizer(frozen()).fit([PAIRS[i] for i in rows], [LABELS[i] for i in rows])
    assert_allclose(weighed.token_reward_, again.token_reward_, atol=1e-9)


def test_what_is_learned_of_a_token_holds_where_it_was_never_seen():
    # b is better after a: so it is after d, though less.
    fitted = DPOPolicyOptimizer(frozen(2), C=10.0).fit([("a b", "a c"), ("a c", "a b")], [1, 0])
    b = fitted.vectorizer_.vocabulary_["b"]
    gain = fitted.predict_log_proba(["a", "d"])[:, b]
    gain -= language_model(2).predict_log_proba(["a", "d"])[:, b]
    assert gain[0] > gain[1] > 0.05


# What it refuses


def test_errors():
    optimizer = DPOPolicyOptimizer(frozen())
    with pytest.raises(ValueError, match="got prompts twice"):
        optimizer.fit(PROMPTED, LABELS, prompts=PROMPTS)
    with pytest.raises(ValueError, match="a prompt, a str, for each of 6 pairs, got 5"):
        optimizer.fit(PAIRS, LABELS, prompts=PROMPTS[1:])
    with pytest.raises(ValueError, match="got counts of 4 columns, but its frozen"):
        optimizer.fit(np.eye(4), [1, 0, 1, 0])
    with pytest.raises(ValueError, match="response_length=3, but the vocabulary has an end"):
        clone(optimizer).set_params(response_length=3).fit(PAIRS, LABELS)
    others = FrozenEstimator(NGramCounter(2).fit(TEXTS[:4]))
    with pytest.raises(ValueError, match="Count them with the vectorizer of the policy"):
        clone(optimizer).set_params(vectorizer=others).fit(PAIRS, LABELS)


def test_n_grams_that_the_reference_cannot_produce_are_named():
    model = copy.deepcopy(language_model(2))
    names = model.vectorizer_.get_feature_names_out().tolist()
    trie, arc = model.trie_, names.index("a b")
    log_prob = model.backoff_model_.event_log_prob
    change = np.zeros(trie.n_events)
    change[arc] = -np.inf
    model._backoff = BackoffModel.of_events(trie, moved(trie, log_prob, change))
    with pytest.raises(ValueError, match=r"in 1 n-gram\(s\) which .* such as 'a b', so"):
        DPOPolicyOptimizer(FrozenEstimator(model)).fit(PAIRS, LABELS)
    fine = [("b a", "c a"), ("c", "b a")]
    fitted = DPOPolicyOptimizer(FrozenEstimator(model)).fit(fine, [1, 0])
    assert np.isneginf(fitted.arc_log_prob_[arc])
    assert fitted.token_reward_[arc] == 0.0


def test_a_policy_that_hardly_ends_has_no_length():
    trie = random_trie(0)
    change = np.where(trie.arc_token == trie.eos, -40.0, 0.0)
    change = np.append(change, np.zeros(trie.n_events - trie.n_arcs))
    reference = moved(trie, BackoffModel.uniform(trie).event_log_prob, change)
    fitted = DPOPolicyOptimizer(model_on(trie, reference)).fit(
        differences(trie, random_pairs(trie, 0)), [0, 1] * 4
    )
    assert fitted.expected_length_ == fitted.kl_ == fitted.optimality_gap_ == np.inf
    assert fitted.document_length_ == 10_000
    assert fitted.sample(2, random_state=0, max_length=50).shape == (2, trie.n_tokens)
