"""Rewards of documents that end, given as functions: which add, and what is then known."""

import warnings
from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.frozen import FrozenEstimator

from sklearn_codex import (
    NGramCounter,
    NGramLM,
    PPOPolicyOptimizer,
    RLOOPolicyOptimizer,
    TokenCounter,
    UnigramLM,
)
from sklearn_codex._policy.ending_additivity import find_values_where_documents_end
from sklearn_codex._policy.problem import PolicyProblem
from sklearn_codex.exact import (
    EosObjective,
    LengthExplosionWarning,
    NGramObjective,
    arc_reward,
)
from sklearn_codex.rules import BannedTokens

RNG = np.random.RandomState(0)
TEXTS = [" ".join(RNG.choice(list("abcd"), RNG.randint(1, 6))) for _ in range(40)]
OPTIONS = {"tokenizer": "whitespace", "unk_token": None, "eos_token": "</s>"}
NGRAMS = NGramLM(2, vectorizer=NGramCounter(2, **OPTIONS)).fit(TEXTS)
TOKENS = UnigramLM(vectorizer=TokenCounter(**OPTIONS)).fit(TEXTS)
KL_COEF = 4.0


def of_words(function):
    return lambda texts: np.array([float(function(text.split())) for text in texts])


def pairs(words):
    return list(pairwise(words))


def fitted(policy, reward, optimizer=PPOPolicyOptimizer, **settings):
    """A policy after one step, so that something is left to gain."""
    settings = {"kl_coef": KL_COEF, "tol": 0, "max_iter": 1, "random_state": 0} | settings
    return optimizer(FrozenEstimator(policy), reward, **settings).fit(TEXTS)


def known(weights, **settings):
    reward = arc_reward(NGRAMS, weights)
    return NGramObjective.of_model(NGRAMS, reward, kl_coef=KL_COEF, **settings)


ADDITIVE = {
    "constant": (lambda texts: np.full(len(texts), 7.0), {}, 7.0),
    "affine": (of_words(lambda words: 2 + 3 * words.count("a")), {"a": 3.0}, 2.0),
    "of tokens": (
        of_words(lambda words: words.count("b") - 0.4 * len(words)),
        {"a": -0.4, "b": 0.6, "c": -0.4, "d": -0.4},
        0.0,
    ),
    "of pairs": (
        of_words(lambda words: 1 + pairs(words).count(("a", "b")) - 0.3 * words.count("c")),
        {"a b": 1.0, "c": -0.3},
        1.0,
    ),
    "first token": (of_words(lambda words: words[:1] == ["a"]), {"<s> a": 1.0}, 0.0),
}


@pytest.mark.parametrize("max_length", [None, 6])
@pytest.mark.parametrize("name", ADDITIVE)
def test_the_gap_of_what_adds_is_that_of_its_weights(name, max_length):
    reward, weights, offset = ADDITIVE[name]
    policy = fitted(NGRAMS, reward, max_length=max_length)
    objective = known(weights, max_length=max_length)
    log_prob = policy.backoff_model_.event_log_prob
    assert policy.optimality_gap_se_ == 0
    assert_allclose(policy.optimality_gap_, objective.gap(log_prob), rtol=1e-6, atol=1e-12)
    assert (policy.optimality_gap_ > 1e-6) == bool(weights)
    assert policy.max_length_ == max_length
    assert_allclose(policy.expected_reward_, objective.expected_reward(log_prob) + offset)
    if max_length is None:
        assert objective.gap(policy.optimal_log_prob_) == pytest.approx(0.0, abs=1e-12)


def test_a_cut_far_beyond_the_documents_drawn_hides_no_reward():
    """What those have in common that end by themselves is no reward of their end."""
    policy = fitted(NGRAMS, ADDITIVE["affine"][0], max_length=40)
    gap = known({"a": 3.0}, max_length=40).gap(policy.backoff_model_.event_log_prob)
    assert_allclose((policy.optimality_gap_, policy.optimality_gap_se_), (gap, 0.0), rtol=1e-6)


@pytest.mark.parametrize("name", ["constant", "affine", "of tokens"])
def test_single_tokens_that_end(name):
    reward, weights, offset = ADDITIVE[name]
    policy = fitted(TOKENS, reward, RLOOPolicyOptimizer, kl_coef=5.0)
    words = TOKENS.vectorizer_.get_feature_names_out()
    values = np.array([weights.get(word, 0.0) for word in words])
    log_prob, eos = TOKENS.token_log_prob_, list(words).index("</s>")
    objective = EosObjective(log_prob, values, eos, kl_coef=5.0)
    assert_allclose(policy.token_reward_, values, atol=1e-9)
    gap = objective.gap(policy.token_log_prob_)
    assert_allclose(policy.optimality_gap_, gap, rtol=1e-6, atol=1e-12)
    assert_allclose(
        policy.expected_reward_, offset + objective.expected_reward(policy.token_log_prob_)
    )


def test_a_constant_is_at_its_optimum_from_the_start():
    policy = fitted(NGRAMS, ADDITIVE["constant"][0], tol=1e-3, max_iter=50)
    assert policy.n_iter_ <= 1
    assert policy.optimality_gap_ == pytest.approx(0.0, abs=1e-12)


def test_counts_show_the_end_and_cut_documents_do_not_have_it():
    counts = TOKENS.vectorizer_.transform(TEXTS)
    names = list(TOKENS.vectorizer_.get_feature_names_out())
    policy = UnigramLM(vectorizer=FrozenEstimator(TOKENS.vectorizer_)).fit(counts)
    weights = np.array([0.3 * (name == "</s>") + 0.5 * (name == "a") for name in names])
    policy = fitted(TOKENS, of_words(lambda words: 0.5 * words.count("a")), max_length=3)
    assert_allclose(policy.token_reward_[names.index("</s>")], 0.0, atol=1e-9)
    # Unnamed columns come as counts, with that of the end where a document ended.
    stated = EosObjective(
        TOKENS.token_log_prob_, np.zeros(len(names)), names.index("</s>"), kl_coef=1.0, max_length=3
    )

    class Judged(PPOPolicyOptimizer):
        def _prepare(self, X, y, **given):
            prepared = super()._prepare(X, y, **given)
            self.reward_model_ = lambda counts: counts @ weights
            return prepared

    judged = Judged(random_state=0, tol=0, max_iter=1).fit_objective(stated)
    assert_allclose(judged.token_reward_, weights, atol=1e-9)


NOT_ADDITIVE = {
    "max": lambda words: max(map("abcd".index, words), default=0),
    "product": lambda words: 0.1 * words.count("a") * words.count("b"),
    "square of the length": lambda words: 0.01 * len(words) ** 2,
    "saturating": lambda words: min(words.count("a"), 5),
    "mean": lambda words: words.count("a") / max(len(words), 1),
    "three in a row": lambda words: "a b a" in " ".join(words),
    "long ones": lambda words: 0.1 * len(words) * (len(words) > 12),
    "long ones of all": lambda words: 0.1 * (len(words) > 30 and len(set(words)) == 4),
    "almost": lambda words: words.count("a") + 1e-4 * (words.count("b") > 2),
    "parity": lambda words: len(words) % 2,
    "beside a vast ban": lambda words: ("c c" in " ".join(words)) - 1e9 * words.count("d"),
    "beside a vast constant": lambda words: 1e9 + ("c c" in " ".join(words)),
}


@pytest.mark.parametrize("policy", [NGRAMS, TOKENS], ids=["ngrams", "tokens"])
@pytest.mark.parametrize("name", NOT_ADDITIVE)
def test_what_does_not_add_is_not_taken_for_it(name, policy):
    policy = fitted(policy, of_words(NOT_ADDITIVE[name]))
    assert policy.token_reward_ is None
    assert policy.optimal_log_prob_ is None
    assert policy.max_length_ == 200
    assert policy.optimality_gap_se_ != 0


@pytest.mark.parametrize("name", ["of pairs", "first token"])
def test_single_tokens_do_not_see_the_token_before(name):
    assert fitted(TOKENS, ADDITIVE[name][0]).token_reward_ is None


def test_documents_that_never_end_are_not_said_to_be_cut():
    endless = NGramLM(2, vectorizer=NGramCounter(2, tokenizer="whitespace")).fit(TEXTS)
    with warnings.catch_warnings():
        warnings.simplefilter("error", LengthExplosionWarning)
        fitted(endless, of_words(lambda words: -0.3 * words.count("a")))


def test_the_empty_document_speaks_against_tokens():
    reward = of_words(lambda words: words.count("a") + 0.1 * (not words))
    assert fitted(TOKENS, reward).token_reward_ is None


def test_a_pair_of_many_tokens_is_not_missed():
    words = [f"w{i}" for i in range(1500)]
    rng = np.random.RandomState(1)
    texts = [" ".join(rng.choice(words, 8)) for _ in range(400)]
    model = NGramLM(2, vectorizer=NGramCounter(2, **OPTIONS)).fit(texts)
    first, second = texts[0].split()[:2]
    reward = of_words(lambda words: words.count("w1") + pairs(words).count((first, second)))
    known = arc_reward(model, {"w1": 1.0, f"{first} {second}": 1.0})
    policy = fitted(model, reward)
    log_prob = policy.backoff_model_.event_log_prob
    gap = NGramObjective.of_model(model, known, kl_coef=KL_COEF).gap(log_prob)
    assert_allclose(policy.optimality_gap_, gap, rtol=1e-5)


def test_ngrams_that_the_policy_writes_by_backing_off_do_not_add():
    model = NGramLM(2, vectorizer=NGramCounter(2, **OPTIONS)).fit(["a b", "b a", "a c a", "c"])
    spelled = set(model.trie_.spell(np.array(model.vectorizer_._names))[0])
    assert not spelled & {"b b", "b c", "c b", "c c"}
    reward = of_words(lambda words: pairs(words).count(("b", "b")))
    assert fitted(model, reward).token_reward_ is None
    # Each b is the first token, or behind an a, a b or a c: what is left of them all adds.
    reward = of_words(lambda words: sum(pairs(words).count((one, "b")) for one in "bc"))
    policy = fitted(model, reward)
    known = arc_reward(model, {"b": 1.0, "a b": -1.0, "<s> b": -1.0})
    objective = NGramObjective.of_model(model, known, kl_coef=KL_COEF)
    gap = objective.gap(policy.backoff_model_.event_log_prob)
    assert_allclose(policy.optimality_gap_, gap, rtol=1e-6)


def test_documents_of_many_lengths_are_tried_and_none_that_cannot_be():
    seen = []

    def reward(texts):
        seen.extend(text.split() for text in texts)
        return np.ones(len(texts))

    fitted(NGRAMS, reward, rules=BannedTokens(["d"], hard=True))
    lengths = {len(words) for words in seen}
    assert {0, 1, 2, 3, 40} <= lengths
    assert not any("d" in words for words in seen)
    seen.clear()
    fitted(NGRAMS, reward, max_length=3)
    assert {len(words) for words in seen} == {0, 1, 2, 3}


def test_documents_of_better_policies_are_tried():
    objective = EosObjective(
        np.log([0.3, 0.2, 0.5]), np.zeros(3), 2, kl_coef=0.5, reward_coef=1.5, max_length=30
    )
    weights, drawn = np.array([0.2, -0.4, 0.1]), []

    class Recorded(PolicyProblem):
        def sample(self, log_prob, *given, **settings):
            drawn.append(log_prob)
            return super().sample(log_prob, *given, **settings)

    found = find_values_where_documents_end(
        lambda rollouts: rollouts.sum_over_tokens(weights) + 7.0,
        Recorded(objective, None),
        np.random.RandomState(0),
    )
    assert_allclose(found.weights, weights, atol=1e-9)
    assert found.offset == pytest.approx(7.0)
    # Half way and all the way to the best next token, which is worth three nats a unit of reward.
    expected = [np.array([0.3, 0.2, 0.5]) * np.exp(share * 3 * weights) for share in (0, 0.5, 1)]
    assert_allclose(np.exp(drawn), [prob / prob.sum() for prob in expected])


def test_rewards_that_pay_for_length_are_cut_as_those_of_models():
    with pytest.warns(LengthExplosionWarning, match=r"no optimum at kl_coef=0\.1.*cut at 200 tok"):
        policy = fitted(NGRAMS, of_words(len), kl_coef=0.1)
    assert policy.max_length_ == 200
    assert policy.optimality_gap_se_ == 0


class Turncoat:
    """A reward that adds until it has been asked so often, and then that of pairs far apart."""

    def __init__(self, n_calls):
        self.n_calls = n_calls

    def __call__(self, texts):
        self.n_calls -= 1
        return of_words(lambda words: words.count("a") * (self.n_calls > 0 or "b" in words))(texts)


def count_calls(reward):
    calls = []
    fitted(NGRAMS, lambda texts: calls.append(len(texts)) or reward(texts))
    return len(calls)


@pytest.mark.parametrize("n_last", [1, 3])
def test_a_document_that_contradicts_ends_the_belief_and_documents_are_cut(n_last):
    reward = of_words(lambda words: words.count("a"))
    policy = fitted(NGRAMS, Turncoat(count_calls(reward) + 1 - n_last))
    assert policy.token_reward_ is None
    assert policy.optimal_log_prob_ is None
    assert policy.max_length_ == 200
    assert policy.optimality_gap_se_ > 0
    assert policy.training_state_["contradicted"]
