"""What contexts that no document gets to say nothing of: gaps, lengths, values and training."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from ngram_problems import random_problem

from sklearn_codex import ExactPolicyOptimizer, PPOPolicyOptimizer, RLOOPolicyOptimizer
from sklearn_codex._policy.sampled_optimizer import _is_close_to_optimum
from sklearn_codex.exact import NGramObjective, bigram_model

# Tokens a, b and the end. "b" follows "b" only, and ends no more often than it leaks.
START = (0.6, 0.0, 0.4)


def leaking(leak, *, start=START, into=0.0, kl_coef=3.0):
    rows = [[0.5 - into, into, 0.5], [0.0, 1.0 - leak, leak], [0.0, 0.0, 1.0]]
    model = bigram_model(rows, start, eos=2)
    trie = model.trie
    reward = np.zeros(trie.n_events)
    reward[: trie.n_arcs] = np.array([1.0, 0.5, 0.0])[trie.arc_token]
    return NGramObjective.of_model(model, reward, kl_coef=kl_coef)


def best_value():
    """J* of documents of "a" alone, by hand."""
    tilt = np.exp(1.0 / 3.0)
    return 3.0 * np.log(0.4 + 0.6 * tilt * 0.5 / (1.0 - 0.5 * tilt))


# Where 1e-18 of documents never end, that is rounding to J and to the gap alike.
UNREACHED = [(leak, START) for leak in (1e-3, 1e-12, 0.0)] + [(0.0, (0.6, 1e-18, 0.4))]


@pytest.mark.parametrize(("leak", "start"), UNREACHED, ids=str)
def test_contexts_that_no_document_gets_to_change_nothing(leak, start):
    problem = leaking(leak, start=start)
    best = best_value()
    assert problem.optimal_value() == pytest.approx(best, rel=1e-12)
    assert problem.value(problem.start) == pytest.approx(1.2, rel=1e-11)
    assert problem.gap(problem.start) == pytest.approx(best - 1.2, rel=1e-10)
    assert problem.expected_length(problem.start) == pytest.approx(2.2, rel=1e-11)
    # Each "a" is worth 1 and followed by one more half of the time.
    values = problem.values(problem.start)
    assert values[problem.trie.first_context] == pytest.approx(1.2, rel=1e-11)
    assert np.isfinite(values).all()
    assert np.abs(values).max() < 10.0


@pytest.mark.parametrize("share", [1e-9, 1e-13])
def test_documents_that_never_end_are_infinitely_bad_for_all_or_for_none(share):
    problem = leaking(0.0, start=(0.6, share, 0.4 - share))
    is_endless = share > 1e-12
    assert (problem.value(problem.start) == -np.inf) == is_endless
    assert (problem.gap(problem.start) == np.inf) == is_endless
    assert (problem.expected_length(problem.start) == np.inf) == is_endless
    # What the best policy misses of the reference is no more than it was.
    assert problem.kl(problem.optimum()) == pytest.approx(
        leaking(0.0).kl(leaking(0.0).optimum()), rel=1e-8
    )


def test_a_gap_has_no_rounding_of_a_flow_that_is_used_up():
    """All tokens are arcs of "a" and of the start, so that nothing is left for the root."""
    rows = [[0.5, 0.0, 0.5], [0.0, 0.999, 0.001], [0.0, 0.0, 1.0]]
    for seed in range(20):
        rng = np.random.default_rng(seed)
        rows[0][::2] = rng.dirichlet(np.ones(2)).tolist()
        begin = rng.dirichlet(np.ones(2))
        model = bigram_model(rows, [begin[0], 0.0, begin[1]], eos=2)
        problem = NGramObjective.of_model(model, kl_coef=1.0)
        flow = problem.flow(problem.start)
        assert flow.usage.any()
        assert not flow.usage[: problem.trie.n_tokens].any()


@pytest.mark.parametrize(
    "optimizer",
    [PPOPolicyOptimizer(gae_lambda=0.0), PPOPolicyOptimizer(), RLOOPolicyOptimizer()],
    ids=["ppo0", "ppo", "rloo"],
)
@pytest.mark.parametrize(("leak", "start"), UNREACHED[1::2], ids=str)
def test_training_ends_near_the_optimum_whatever_is_never_drawn(optimizer, leak, start):
    problem = leaking(leak, start=start)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = optimizer.set_params(random_state=0).fit_objective(problem)
    assert found.n_iter_ > 1
    assert found.optimality_gap_ < 2e-3 * problem.gap(problem.start)
    assert found.optimality_gap_ == pytest.approx(best_value() - found.objective_, rel=1e-6)


@pytest.mark.parametrize(("gap", "start_gap"), [(np.inf, np.inf), (np.nan, 1.0), (0.5, np.inf)])
def test_what_is_infinitely_far_is_never_near(gap, start_gap):
    trainer = SimpleNamespace(
        problem=SimpleNamespace(
            objective=SimpleNamespace(missing_eos_penalty=0.0), tracks_prices=False
        ),
        history=[{"objective/optimality_gap": gap}],
        settings=SimpleNamespace(tol=1e-3),
        start_gap=start_gap,
        negligible_gap=lambda: np.inf if gap == np.inf else 1e-12,
    )
    assert not _is_close_to_optimum(trainer)


@pytest.mark.parametrize("leak", [1e-5, 1e-8, 1e-10])
def test_the_smallest_safe_kl_coef_is_found_however_rarely_documents_end(leak):
    """The weight of one more "b" is (1 - leak) exp(.5 / kl_coef)."""
    problem = leaking(leak, start=(0.5, 0.1, 0.4))
    safe = problem.smallest_safe_kl_coef()
    assert safe == pytest.approx(-0.5 / np.log1p(-leak), rel=1e-4)
    assert f"Set kl_coef above {safe:.6g}" in problem.explain_explosion("It")


def test_an_explosion_that_no_kl_coef_helps_is_told_so():
    problem = leaking(1e-14, start=(0.5, 0.1, 0.4))
    assert problem.smallest_safe_kl_coef() == np.inf
    told = problem.explain_explosion("It")
    assert "No kl_coef helps" in told
    assert "inf" not in told
    assert "set max_length" in told


@pytest.mark.parametrize("optimizer", [PPOPolicyOptimizer(), ExactPolicyOptimizer()])
def test_penalties_that_no_rule_can_charge_are_refused_with_what_to_do(optimizer):
    problem = random_problem(5, n_tokens=6, eos=5)
    told = "takes a finite penalty of arcs.*off the reward"
    with pytest.raises(ValueError, match=told):
        optimizer.fit_objective(problem)
    reward, penalty = problem.token_reward.copy(), problem.penalty.copy()
    others = slice(problem.trie.n_arcs, None)
    reward[others] -= problem.kl_coef * penalty[others] / problem.reward_coef
    penalty[others] = 0.0
    same = problem.having(token_reward=reward, penalty=penalty)
    found = optimizer.fit_objective(same)
    assert found.objective_ == pytest.approx(problem.optimal_value(), abs=5e-3)
