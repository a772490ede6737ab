"""The policy of n-grams that is refit to the best of n: how far it goes, and how it is found."""

import numpy as np
import pytest
from ngram_policy_problems import REWARDS, TEXTS, frozen, language_model
from numpy.testing import assert_allclose
from sklearn.frozen import FrozenEstimator

from sklearn_codex import BestOfNSampler, NGramCounter, NGramLM
from sklearn_codex._policy.best_of_n_sampler import _chances
from sklearn_codex._policy.ngram_refit import EventLikelihood
from sklearn_codex._policy.ngram_tilt import NGramTilt


@pytest.fixture(scope="module")
def many():
    """A model of some thousand n-grams, and texts with rewards for a third of the words."""
    rng = np.random.default_rng(0)
    chance = 1.0 / np.arange(1, 201)
    words = rng.choice(200, (200, 10), p=chance / chance.sum())
    texts = [" ".join(f"w{word}" for word in row) for row in words]
    model = NGramLM(3, vectorizer=NGramCounter(3, eos_token="</s>")).fit(texts)
    return FrozenEstimator(model), texts, (words % 3 == 0).sum(axis=1).astype(float)


def test_a_policy_of_many_n_grams_is_not_farther_than_best_of_n(many):
    policy, texts, rewards = many
    chosen = BestOfNSampler(policy, kl_coef=3.0, n=4, random_state=0).fit(texts, rewards)
    assert chosen.prior_strength_ > 1.0
    assert chosen.kl_ < chosen.kl_bound_
    reference = chosen.evaluate(chosen.reference_log_prob_)
    assert chosen.expected_reward_ > reference.expected_reward
    weak = BestOfNSampler(policy, kl_coef=3.0, n=4, prior_strength=1.0, random_state=0)
    told = (
        r"BestOfNSampler: the refit policy has a KL of kl_=[\d.]+ nats .* best of n=4 .* "
        r"kl_bound_=0\.636: .* Raise prior_strength, which is 1, or 'auto', or n_rollouts, which is"
    )
    with pytest.warns(UserWarning, match=told):
        weak.fit(texts, rewards)
    assert weak.objective_ < chosen.objective_
    assert weak.best_of_n_reward_ == chosen.best_of_n_reward_


def test_winners_have_a_token_for_each_n_gram(many):
    policy, texts, rewards = many
    n_ngrams = policy.estimator.trie_.n_arcs
    sampler = BestOfNSampler(policy, kl_coef=3.0, n=16, random_state=0).fit(texts, rewards)
    length = sampler.evaluate(sampler.reference_log_prob_).length
    assert sampler.n_sequences_ - 2 == int(16 * n_ngrams / length) > 4096
    # What no one can add over tokens may be dear to ask.
    asked = BestOfNSampler(policy, lambda documents: np.ones(len(documents)), random_state=0)
    assert asked.fit(texts).n_sequences_ - 4096 == 4096


def test_the_strength_of_the_prior_makes_winners_that_were_held_out_likeliest(many):
    policy, texts, rewards = many
    sampler = BestOfNSampler(policy, kl_coef=3.0, n=4, n_rollouts=2000, random_state=1).fit(
        texts, rewards
    )
    problem = sampler._build_problem()
    rng = np.random.RandomState([sampler._seed, 2])
    rollouts = problem.objective.sample(problem.start, 2000, rng, names=problem.names)
    weights = 500 * _chances(problem.reward(rollouts), 4)
    seen, held_out = (rollouts.events[own::2].T @ weights[own::2] for own in (0, 1))
    strengths = [1.0, 10.0, 100.0, 1e3, 1e4, 1e5]
    gains = []
    for strength in strengths:
        refit = sampler._family.refined(problem.start, seen, strength)
        gains.append(held_out[held_out > 0] @ (refit - problem.start)[held_out > 0])
    assert sampler.prior_strength_ == strengths[int(np.argmax(gains))]


def test_a_strength_that_is_given_is_taken():
    sampler = BestOfNSampler(frozen(), n=4, prior_strength=3, random_state=0)
    assert sampler.fit(TEXTS, REWARDS).prior_strength_ == 3.0
    assert BestOfNSampler(random_state=0).fit(TEXTS, REWARDS).prior_strength_ == 1.0
    with pytest.raises(ValueError, match=r"'prior_strength' parameter of BestOfNSampler"):
        sampler.set_params(prior_strength="best").fit(TEXTS, REWARDS)


def test_weights_are_scaled_by_uses_which_bound_the_curvature():
    model = language_model().backoff_model_
    trie = model.trie
    tilt = NGramTilt(trie, model.event_log_prob, 1.0)
    visits = np.random.default_rng(0).uniform(1.0, 5.0, trie.n_contexts)
    # Each visit draws a token by an arc of the context or, backing off, of a shorter one.
    events, uses, curvature = np.zeros(trie.n_events), np.zeros(trie.n_arcs), np.zeros(trie.n_arcs)
    for context in range(trie.n_contexts):
        chances = np.zeros(trie.n_arcs)
        for token, prob in enumerate(np.exp(model.next_log_prob(np.array([context]))[0])):
            at = context
            while not (
                own := np.flatnonzero((trie.arc_context == at) & (trie.arc_token == token))
            ).size:
                events[trie.n_arcs + at - 1] += visits[context] * prob
                at = trie.suffix[at]
            arc = own[0]
            events[arc] += visits[context] * prob
            while arc >= 0:
                chances[arc] += prob
                arc = trie.lower[arc]
        uses += visits[context] * chances
        curvature += visits[context] * chances * (1.0 - chances)
    loss = EventLikelihood(tilt, events)
    assert_allclose(loss.scale() ** 2, uses, rtol=1e-9)
    zero = np.zeros(trie.n_arcs)
    diagonal = [loss.hessian_product(zero, unit) @ unit for unit in np.eye(trie.n_arcs)]
    assert_allclose(diagonal, curvature, rtol=1e-9)
