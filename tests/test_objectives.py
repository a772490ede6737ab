"""The interface of objectives: a new family of policies is one class, and no other change."""

import re
from pathlib import Path

import numpy as np
import pytest
from additive_problems import LinearCallable, linear_reward, random_policy
from numpy.testing import assert_allclose
from scipy.special import logsumexp, softmax
from sklearn.frozen import FrozenEstimator

import sklearn_codex
from sklearn_codex import (
    ExactPolicyOptimizer,
    PPOPolicyOptimizer,
    RLOOPolicyOptimizer,
    UnigramLM,
)
from sklearn_codex._ngrams.trie import Trie
from sklearn_codex._policy.problem import build_problem, unigram_objective
from sklearn_codex.exact import (
    AdditiveObjective,
    CandidateObjective,
    EosObjective,
    NGramObjective,
)
from sklearn_codex.rules import BannedTokens

# Seven candidate responses of three prompts, which come up this often.
PROMPTS = np.array([0, 0, 1, 1, 1, 2, 2])
SHARES = np.array([0.5, 0.3, 0.2])
REFERENCE = np.log(SHARES[PROMPTS] * [0.7, 0.3, 0.2, 0.5, 0.3, 0.9, 0.1])
REWARD = np.array([0.0, 1.0, 2.0, 0.0, 1.5, 0.0, 3.0])


class OnCandidates:
    """Makes an optimiser of documents of independent tokens one of candidates."""

    def _build_objective(self):
        reference, no_reward = self.reference_log_prob_, np.zeros(len(PROMPTS))
        return CandidateObjective(reference, no_reward, PROMPTS, self.kl_coef, self.reward_coef)


class CandidatePPO(OnCandidates, PPOPolicyOptimizer):
    pass


class CandidateRLOO(OnCandidates, RLOOPolicyOptimizer):
    pass


class CandidateExact(OnCandidates, ExactPolicyOptimizer):
    pass


def fitted(optimizer, reward=None, **settings):
    policy = UnigramLM(smoothing=0).fit(np.exp(REFERENCE)[np.newaxis])
    model = optimizer(
        FrozenEstimator(policy),
        linear_reward(REWARD) if reward is None else reward,
        response_length=1,
        random_state=0,
        **settings,
    )
    return model.fit(np.ones((1, len(PROMPTS))))


def best_candidates(kl_coef, cost=0.0):
    """The best policy, one prompt after the other."""
    exponent = REFERENCE + REWARD / kl_coef - cost
    per_prompt = [softmax(exponent[prompt == PROMPTS]) for prompt in range(3)]
    return np.log(SHARES[PROMPTS] * np.concatenate(per_prompt))


@pytest.mark.parametrize("kl_coef", [0.5, 2.0])
@pytest.mark.parametrize("known", [True, False], ids=["linear", "function"])
@pytest.mark.parametrize("optimizer", [CandidatePPO, CandidateRLOO])
def test_optimizers_find_the_optimum_of_a_family_that_they_do_not_know(optimizer, known, kl_coef):
    reward = linear_reward(REWARD) if known else LinearCallable(REWARD)
    model = fitted(optimizer, reward, kl_coef=kl_coef)
    best = best_candidates(kl_coef)
    assert_allclose(model.optimal_log_prob_, best, rtol=1e-6)
    first = model.history_[0]["objective/optimality_gap"]
    assert 0 <= model.optimality_gap_ <= 1e-3 * first
    assert_allclose(np.exp(model.token_log_prob_), np.exp(best), atol=0.02)
    assert_allclose(np.bincount(PROMPTS, np.exp(model.token_log_prob_)), SHARES)
    assert model.expected_length_ == model.document_length_ == 1
    assert model.max_length_ is None


def test_the_exact_optimizer_knows_the_frontier_of_a_family_that_it_does_not_know():
    model = fitted(CandidateExact, kl_coef=0.7)
    assert_allclose(model.token_log_prob_, best_candidates(0.7))
    frontier = model.frontier()
    within = REWARD - (np.bincount(PROMPTS, np.exp(REFERENCE) * REWARD) / SHARES)[PROMPTS]
    spread = np.sqrt(np.exp(REFERENCE) @ within**2)
    assert_allclose(frontier.kl_coef, spread * np.geomspace(100.0, 0.01, 50))
    by_hand = [np.exp(best_candidates(kl_coef)) @ REWARD for kl_coef in frontier.kl_coef]
    assert_allclose(frontier.expected_reward, by_hand)


def test_chance_constraints_are_priced_in_a_family_that_has_no_dual():
    model = fitted(CandidateExact, rules=BannedTokens([2, 6], max_rate=0.25))
    price = model.rule_prices_["banned_tokens"]
    assert price > 0
    assert_allclose(model.token_log_prob_, best_candidates(1.0, price * np.isin(range(7), [2, 6])))
    assert_allclose(model.rule_rates_["banned_tokens"], 0.25, rtol=1e-6)
    banned = fitted(CandidateExact, rules=BannedTokens([2, 6], hard=True))
    assert_allclose(np.bincount(PROMPTS, np.exp(banned.token_log_prob_)), SHARES)
    assert_allclose(np.exp(banned.token_log_prob_[[2, 5, 6]]), [0.0, 0.2, 0.0])


class WithoutDual(AdditiveObjective):
    """The same without a budget of tokens that stands for a chance of documents."""

    def chance_budget(self, max_rate):
        return None


def test_prices_that_are_searched_are_those_of_the_dual():
    reference = random_policy(8, np.random.default_rng(0))
    rules = [("a", BannedTokens([1, 2], max_rate=0.1)), ("b", BannedTokens([2, 3], max_rate=0.2))]
    prices = [
        [
            rule.price
            for rule in build_problem(
                objective(reference, np.zeros(8), length=5, kl_coef=0.6),
                linear_reward(np.linspace(2.0, -1.0, 8)),
                np.random.RandomState(0),
                names=None,
                rules=rules,
                normalize_reward=False,
                subject="S",
            ).rules
        ]
        for objective in (AdditiveObjective, WithoutDual)
    ]
    assert min(prices[0]) > 0
    assert_allclose(*prices, rtol=1e-5)


# What objectives say of documents is what documents say.


def objectives():
    rng = np.random.default_rng(3)
    reference, reward = random_policy(7, rng), rng.standard_normal(7) - 0.5
    cost = rng.exponential(size=7)
    common = {"kl_coef": 0.8, "reward_coef": 1.3, "penalty": cost}
    return {
        "fixed length": AdditiveObjective(reference, reward, length=4, **common),
        "entropy": AdditiveObjective(reference, reward, length=4, entropy_coef=0.3, **common),
        "ends itself": EosObjective(reference, reward, 2, **common),
        "is cut": EosObjective(
            reference, reward, 2, max_length=6, missing_eos_penalty=0.7, **common
        ),
        "n-grams": NGramObjective(reference, reward, Trie.of_root(7, eos=2), **common),
        "candidates": CandidateObjective(REFERENCE, REWARD, PROMPTS, **common),
    }


def policy_of(objective):
    """Some policy of the family, neither its start nor its optimum."""
    rng = np.random.default_rng(4)
    return objective.having(token_reward=0.5 * rng.standard_normal(7)).optimum()


@pytest.mark.parametrize("kind", objectives())
def test_an_objective_says_of_documents_what_documents_say(kind):
    objective = objectives()[kind]
    policy, rng = policy_of(objective), np.random.RandomState(0)
    drawn = objective.sample(policy, 100_000, rng)
    values, others = np.random.default_rng(5).standard_normal((2, 7))
    marked = np.array([False, True, False, False, True, False, False])
    sums, counts = drawn.sum_over_tokens(values), drawn.sum_over_tokens(marked.astype(float))
    shaped = drawn.sum_over_tokens(objective.token_scores(policy))
    shaped -= objective.missing_eos_penalty * ~drawn.ended
    for said, seen in [
        (objective.expected_length(policy), drawn.lengths),
        (objective.expected_sum(policy, values), sums),
        (objective.rate_of_any(policy, marked), counts > 0),
        (objective.missing_eos_rate(policy), ~drawn.ended),
        (objective.value(policy), shaped),
    ]:
        assert abs(said - np.mean(seen)) <= 4.5 * np.std(seen) / np.sqrt(len(drawn)) + 1e-9
    moments = objective.moments(policy, values)
    if moments is not None:
        assert_allclose(moments, (sums.mean(), sums.std()), atol=0.03)
    covariance = objective.covariance(policy, values, others)
    if not np.isnan(covariance):
        sampled = np.cov(sums, drawn.sum_over_tokens(others))[0, 1]
        assert_allclose(covariance, sampled, rtol=0.05, atol=0.02)


@pytest.mark.parametrize("kind", objectives())
def test_what_an_objective_says_of_its_optimum_holds(kind):
    objective = objectives()[kind]
    best, other = objective.optimum(), policy_of(objective)
    assert objective.gap(best) <= 1e-12
    assert_allclose(objective.gap(other), objective.value(best) - objective.value(other))
    drawn = objective.sample(best, 1000, np.random.RandomState(0))
    shaped = drawn.sum_over_tokens(objective.token_scores(best))
    shaped -= objective.missing_eos_penalty * ~drawn.ended
    assert (np.std(shaped) > 1e-6) == objective.is_noisy
    lengths = drawn.lengths
    assert objective.longest is None or lengths.max() <= objective.longest
    assert objective.length is None or np.all(lengths == objective.length)
    own = objective.token_scores(best)[drawn.tokens]
    advantages = objective.token_advantages(
        best, drawn, objective.token_scores(best), shaped.mean()
    )
    assert objective.scores_are_advantages == np.allclose(advantages, own, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", objectives())
def test_advantages_of_tokens_are_a_gradient_of_the_objective(kind):
    # Of the policies (1 - e) pi + e pi', along the direction pi' - pi.
    objective = objectives()[kind]
    policy, target = policy_of(objective), objective.optimum()
    drawn = objective.sample(policy, 200_000, np.random.RandomState(1))
    scores = objective.token_scores(policy)
    shaped = drawn.sum_over_tokens(scores) - objective.missing_eos_penalty * ~drawn.ended
    advantages = objective.token_advantages(policy, drawn, scores, shaped.mean())
    direction = np.expm1(target - policy)
    weight = np.add.reduceat(advantages * direction[drawn.tokens], drawn.starts)
    step = 1e-4
    ahead, behind = (
        objective.value(logsumexp([policy + np.log1p(-e), target + np.log(abs(e))], axis=0,
                                  b=[[1.0], [np.sign(e)]]))
        for e in (step, -step)
    )  # fmt: skip
    slope = (ahead - behind) / (2 * step)
    assert abs(weight.mean() - slope) <= 5 * weight.std() / np.sqrt(len(drawn)) + 1e-3 * abs(slope)


@pytest.mark.parametrize(
    ("kind", "max_length", "longest"),
    [("is cut", 3, 3), ("is cut", 50, 6), ("ends itself", 5, 5), ("fixed length", 2, 4)],
)
def test_documents_are_cut_at_the_smaller_maximal_length(kind, max_length, longest):
    objective = objectives()[kind]
    rng = np.random.RandomState(0)
    drawn = objective.sample(policy_of(objective), 5000, rng, max_length=max_length)
    assert drawn.lengths.max() == longest


def test_objectives_of_unigrams_are_what_their_parameters_ask_for():
    reference = np.log([0.5, 0.3, 0.2])
    fixed = unigram_objective(reference, length=3, entropy_coef=0.5, kl_coef=2.0)
    assert (fixed.length, fixed.temperature, fixed.longest) == (3, 2.5, 3)
    ends = unigram_objective(reference, eos=1, max_length=9, missing_eos_penalty=2.0)
    assert (ends.eos, ends.length, ends.longest, ends.missing_eos_penalty) == (1, None, 9, 2.0)
    assert unigram_objective(reference, eos=1).longest is None


def test_nobody_but_validation_asks_of_what_kind_an_objective_is():
    root = Path(sklearn_codex.__file__).parent
    asking = [
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        for _ in re.findall(r"isinstance\([^)]*Objective", path.read_text(encoding="utf-8"))
    ]
    # What is given to DPO, to constrained_optimum and chance_constrained_optimum, and to a table.
    validating = ["_policy/candidate_family.py", *["exact/_constrained.py"] * 2, "lab/_table.py"]
    assert sorted(asking) == validating
