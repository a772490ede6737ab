"""Documents that are cut and lose much by it: what is best, and when training may stop."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator

from sklearn_codex import (
    ExactPolicyOptimizer,
    NGramCounter,
    NGramLM,
    PPOPolicyOptimizer,
    RLOOPolicyOptimizer,
    TokenCounter,
    UnigramLM,
)
from sklearn_codex.exact import NGramObjective, arc_reward
from sklearn_codex.rules import BannedTokens

TEXTS = ["a b c", "b a", "c a b", "a a b", "b c", "c", "a b a b"]
REWARDS = np.array([text.split().count("a") - 0.3 * len(text.split()) for text in TEXTS])
COUNTER = NGramCounter(2, tokenizer="whitespace", eos_token="</s>")
MODEL = NGramLM(2, vectorizer=COUNTER).fit(TEXTS)


def cut_problem(missing, **settings):
    reward = arc_reward(MODEL, {"a": 0.5, "a b": -0.4, "c": 0.2})
    settings = {"max_length": 5, "kl_coef": 0.8} | settings
    return NGramObjective.of_model(MODEL, reward, missing_eos_penalty=missing, **settings)


def climbed(problem, seed):
    """The value of the best policy that L-BFGS of scipy finds from a random place."""
    n_weights = problem.trie.n_arcs + problem.trie.n_contexts - 1

    def policy(logits):
        change = np.append(logits, np.zeros(problem.trie.n_events - n_weights))
        return problem.moved(problem.start, change)

    def loss(logits):
        return -problem.value(policy(logits)), -problem.gradient(policy(logits))[:n_weights]

    start = 2.0 * np.random.RandomState(seed).randn(n_weights)
    return -minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 400}).fun


@pytest.mark.parametrize("penalty", [3.0, 30.0, 1e3, 1e6])
def test_optimum_where_cut_documents_lose_much(penalty):
    # Ways up that begin elsewhere may end at documents that end at once.
    problem = cut_problem(penalty)
    value = problem.value(problem.optimum())
    others = [climbed(problem, seed) for seed in range(4)]
    assert value >= max(others) - 0.02
    at_once = problem.moved(problem.start, 50.0 * problem.of_tokens(COUNTS_OF_END))
    assert value > problem.value(at_once) + 0.5
    assert value <= problem.optimal_value()


COUNTS_OF_END = np.eye(MODEL.trie_.n_tokens)[MODEL.trie_.eos]


def test_optimum_falls_with_what_cut_documents_lose():
    # J of any policy does, so that of the best does.
    values = [cut_problem(m).value(cut_problem(m).optimum()) for m in np.geomspace(1.0, 1e8, 9)]
    assert np.all(np.diff(values) < 1e-3)
    # Beyond all measure the best hardly changes: no document of it is cut.
    assert_allclose(values[-1], values[-3], atol=0.02)


def test_a_search_that_runs_out_of_steps_says_so(monkeypatch):
    reached = [cut_problem(30.0).optimum()]  # and no warning
    monkeypatch.setattr("sklearn_codex.exact._ngram_ascent._MOST_STEPS", 4)
    problem = cut_problem(30.0)
    match = r"max_length=5, missing_eos_penalty=30 and kl_coef=0\.8 ran out of steps .* gain 0\."
    for search in (problem.optimum, problem.best_found):  # the second from what the first found
        with pytest.warns(ConvergenceWarning, match=match) as caught:
            reached.append(search())
        assert caught[0].filename == __file__
    full, *short = map(problem.value, reached)
    assert short[0] == short[1]
    assert short[0] < full < short[0] + problem.gap(reached[1])


def test_a_fit_whose_search_runs_out_of_steps_says_so_once(monkeypatch):
    """Searches at prices that are only tried say nothing."""
    monkeypatch.setattr("sklearn_codex.exact._ngram_ascent._MOST_STEPS", 4)
    policy = ExactPolicyOptimizer(
        FrozenEstimator(MODEL),
        max_length=5,
        missing_eos_penalty=3.0,
        rules=[BannedTokens(["b"], max_rate=0.2)],
    )
    with pytest.warns(ConvergenceWarning, match="ran out of steps") as caught:
        policy.fit(TEXTS, REWARDS)
    assert [warning.filename for warning in caught] == [__file__]
    assert policy.rule_prices_["banned_tokens"] > 0


def test_what_is_lost_may_be_beyond_what_floats_resolve():
    value = cut_problem(1e15).value(cut_problem(1e15).optimum())
    assert value >= cut_problem(1e8).value(cut_problem(1e8).optimum()) - 0.1


def test_documents_that_cannot_end_and_are_all_cut():
    rule = BannedTokens(["</s>"], hard=True)
    policy = ExactPolicyOptimizer(
        FrozenEstimator(MODEL), max_length=4, rules=[rule], random_state=0
    )
    policy.fit(TEXTS, REWARDS)
    assert policy.expected_length_ == pytest.approx(4.0)
    assert policy.rule_rates_["banned_tokens"] == 0
    assert all(len(text.split()) == 4 for text in policy.sample(50, 0))
    # Up to the position it is the best of all.
    assert 0 <= policy.optimality_gap_ < 0.05
    banned = np.where(cut_problem(0.0).of_tokens(COUNTS_OF_END) > 0, np.inf, 0.0)
    problem = cut_problem(0.0, penalty=banned, max_length=60)
    far = problem.time_dependent_optimum().log_prob[20]
    arcs = slice(problem.trie.n_arcs)
    assert_allclose(np.exp(problem.infinite_horizon_optimum()[arcs]), np.exp(far[arcs]), atol=1e-6)


def test_only_policies_that_sum_to_one_are_drawn_from():
    problem = cut_problem(0.0)
    wrong = problem.start - np.where(problem.of_tokens(COUNTS_OF_END) > 0, 1.0, 0.0)
    by_position = problem.time_dependent_optimum().log_prob
    by_position[3] = wrong
    for policy in (wrong, by_position):
        with pytest.raises(ValueError, match="probabilities of the next token that sum to 1 after"):
            problem.sample(policy, 3, np.random.RandomState(0))


@pytest.mark.filterwarnings("ignore::sklearn_codex.exact.LengthExplosionWarning")
def test_a_large_reward_coef_is_weighed_against_kl_coef():
    policy = ExactPolicyOptimizer(FrozenEstimator(MODEL), reward_coef=1e300)
    with pytest.raises(ValueError, match=r"nats at reward_coef=1e\+300, as"):
        policy.fit(TEXTS, REWARDS)


@pytest.mark.parametrize("penalty", [1e4, 1e6])
@pytest.mark.parametrize("optimizer", [PPOPolicyOptimizer, RLOOPolicyOptimizer])
def test_training_does_not_stop_because_the_start_was_bad(optimizer, penalty):
    # The start is so bad that a thousandth of its distance is far from the optimum.
    policy = optimizer(
        FrozenEstimator(MODEL),
        max_length=5,
        missing_eos_penalty=penalty,
        random_state=0,
        max_iter=30,
    )
    with pytest.warns(ConvergenceWarning, match="stopped at max_iter=30 before it was within tol"):
        policy.fit(TEXTS, REWARDS)
    assert policy.n_iter_ == 30


def test_training_goes_on_until_the_exact_gradient_is_small():
    policy = PPOPolicyOptimizer(
        FrozenEstimator(MODEL), max_length=5, missing_eos_penalty=1.0, random_state=0, max_iter=200
    ).fit(TEXTS, REWARDS)
    assert policy.n_iter_ < 200
    best = ExactPolicyOptimizer(FrozenEstimator(MODEL), max_length=5, missing_eos_penalty=1.0)
    best.fit(TEXTS, REWARDS)
    assert best.objective_ - 2e-3 < policy.objective_ <= best.objective_ + 1e-9


@pytest.mark.parametrize("optimizer", [PPOPolicyOptimizer, RLOOPolicyOptimizer])
def test_the_greatest_penalty_of_cut_documents_is_within_floats(optimizer):
    settings = {"max_length": 5, "kl_coef": 3.0, "max_iter": 2, "tol": 0, "random_state": 0}
    policy = optimizer(FrozenEstimator(MODEL), missing_eos_penalty=1e100, **settings)
    policy.fit(TEXTS, REWARDS)
    assert policy.objective_ > policy.history_[0]["objective/value"]
    policy.set_params(missing_eos_penalty=1e308)
    with pytest.raises(ValueError, match=r"'missing_eos_penalty' .* range \[0\.0, 1e\+100\]"):
        policy.fit(TEXTS, REWARDS)
    with pytest.raises(ValueError, match=r"needs a missing_eos_penalty of at most 1e\+100, got 1e"):
        cut_problem(1e101)


@pytest.mark.parametrize("of_ngrams", [True, False])
def test_vast_logged_rewards_are_learned_in_their_own_unit(of_ngrams):
    vectorizer = None if of_ngrams else TokenCounter(eos_token="<eos>")
    model = MODEL if of_ngrams else UnigramLM(vectorizer=vectorizer).fit(TEXTS)
    unit = 2.0**600
    fits = [
        ExactPolicyOptimizer(FrozenEstimator(model), kl_coef=3.0 * size).fit(TEXTS, size * REWARDS)
        for size in (1.0, unit)
    ]
    assert_allclose(fits[1].objective_, unit * fits[0].objective_, rtol=1e-9)
    assert_allclose(fits[1].kl_, fits[0].kl_, rtol=1e-9)
