"""Standard errors of the figures of a policy that come from documents, against many fits' worth."""

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator

from sklearn_codex import (
    BestOfNSampler,
    ExactPolicyOptimizer,
    NGramCounter,
    NGramLM,
    PPOPolicyOptimizer,
    UnigramLM,
)
from sklearn_codex.rules import BannedTokens, Pattern

TEXTS = ["a b", "b a a", "c a", "a", "b c c a"] * 4


def saturating(texts):
    """A reward that does not add over tokens."""
    return np.array([min(text.split().count("a"), 2.0) for text in texts])


@pytest.fixture(scope="module")
def model():
    return NGramLM(2, vectorizer=NGramCounter(2, eos_token="</s>")).fit(TEXTS)


@pytest.mark.parametrize("rules", [None, [Pattern("a b", penalty=0.7)]], ids=["", "rule"])
def test_errors_are_those_of_documents_drawn_again(model, rules):
    settings = {"kl_coef": 0.8, "reward_coef": 2.5, "rules": rules, "max_length": 12}
    policy = PPOPolicyOptimizer(
        FrozenEstimator(model), saturating, max_iter=3, tol=0, random_state=0, **settings
    ).fit(TEXTS)
    drawn = [policy.evaluate(n_samples=300, random_state=seed) for seed in range(300)]
    for name in ("objective", "expected_reward"):
        spread = np.std([parts[name] for parts in drawn], ddof=1)
        errors = np.array([parts[name + "_se"] for parts in drawn])
        # A standard deviation of 300 has an error of 1 / sqrt(600), 4 %.
        assert np.sqrt(np.mean(errors**2)) == pytest.approx(spread, rel=0.18)
    parts = drawn[0]
    if rules is None:
        assert parts.objective_se == pytest.approx(2.5 * parts.expected_reward_se, rel=1e-9)
    assert 0 < policy.expected_reward_se_ < parts.expected_reward_se
    assert 0 < policy.objective_se_ < parts.objective_se
    assert np.isnan(policy.evaluate(n_samples=1).objective_se)


def test_exact_figures_have_no_error(model):
    rewards = np.arange(len(TEXTS), dtype=float)
    policy = ExactPolicyOptimizer(kl_coef=9.0).fit(TEXTS, rewards)
    assert policy.objective_se_ == policy.expected_reward_se_ == 0.0
    parts = policy.evaluate()
    assert parts.objective_se == parts.expected_reward_se == 0.0
    # A reward that adds, with a rule that does not: only J is sampled.
    rule = Pattern("a b", penalty=0.7)
    ppo = PPOPolicyOptimizer(rules=rule, max_iter=2, tol=0, random_state=0).fit(TEXTS, rewards)
    assert ppo.expected_reward_se_ == 0.0
    assert ppo.objective_se_ > 0
    refit = BestOfNSampler(FrozenEstimator(model), saturating, random_state=0).fit(TEXTS)
    assert refit.expected_reward_se_ > 0


def test_what_a_hard_rule_bans_has_no_price():
    model = UnigramLM().fit(TEXTS)
    for kind, settings in (
        (ExactPolicyOptimizer, {}),
        (PPOPolicyOptimizer, {"max_iter": 2, "tol": 0, "random_state": 0}),
    ):
        rules = [BannedTokens(["c"], hard=True), BannedTokens(["b"], penalty=0.5, name="b")]
        policy = kind(FrozenEstimator(model), rules=rules, **settings)
        policy = policy.fit(TEXTS, np.arange(len(TEXTS), dtype=float))
        assert policy.rule_prices_ == {"banned_tokens": np.inf, "b": 0.5}
        assert np.isfinite(policy.penalty_)
        assert policy.evaluate().objective == pytest.approx(policy.objective_)


def test_objectives_show_shapes_of_arrays(model):
    shown = repr(ExactPolicyOptimizer(kl_coef=9.0).fit(TEXTS, range(20))._build_problem().objective)
    assert shown.startswith("AdditiveObjective(reference_log_prob=<array of shape (4,)>, ")
    assert "kl_coef=9.0" in shown
    assert "penalty" not in shown
    assert repr(model.backoff_model_.trie) == "<Trie of order 2: 5 tokens, 16 n-grams>"
    shown = repr(model.backoff_model_)
    assert shown.startswith("BackoffModel(trie=<Trie of order 2: 5 tokens, 16 n-grams>, arc_log_")


def test_rounding_is_no_gain(model):
    # What documents tried show to be no constant, and documents drawn do not.
    def reward(texts):
        return [1.0 - (len(words) > 15 and len(set(words)) == 1) for words in map(str.split, texts)]

    policy = PPOPolicyOptimizer(FrozenEstimator(model), reward, max_iter=1, random_state=0)
    with (
        pytest.warns(ConvergenceWarning, match="gained 0 over the policy it began with"),
        pytest.warns(ConvergenceWarning, match=r"It gained 0, and 0 \+- \S+ is left near it"),
    ):
        policy.fit(TEXTS)
    assert policy.objective_ == policy.expected_reward_ == 1.0
    assert policy.objective_se_ == 0.0
    # Documents that were never drawn may have another reward.
    assert np.isnan(policy.optimality_gap_)
