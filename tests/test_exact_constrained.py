import numpy as np
import pytest
from additive_problems import random_objective
from assertions import assert_is_log_distribution
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize
from scipy.special import log_softmax

from sklearn_codex._rollouts import sample_rollouts
from sklearn_codex.exact import (
    AdditiveObjective,
    ban_tokens,
    chance_budget,
    chance_constrained_optimum,
    constrained_optimum,
)

SEEDS = st.integers(0, 2**32 - 1)
proved = settings(deadline=None, max_examples=40, derandomize=True)
KINDS = [
    {"demonstrations": demonstrations, "penalised": demonstrations, "zeros": not demonstrations}
    for demonstrations in (False, True)
]


def random_constraints(objective, n_constraints, seed, margin=0.05):
    """Costs, and budgets that some policy keeps with a margin."""
    rng = np.random.default_rng([seed, 2])
    possible = np.isfinite(objective.reference_log_prob)
    costs = rng.normal(size=(n_constraints, len(possible)))
    keeps = np.where(possible, rng.exponential(size=len(possible)), 0.0)
    budgets = objective.length * (costs @ (keeps / keeps.sum()) + margin)
    return costs, budgets


def slsqp_value(objective, costs, budgets):
    """The best value that a general-purpose constrained optimiser finds over the logits."""
    possible = np.isfinite(objective.reference_log_prob)

    def policy(logits):
        log_prob = np.full(len(possible), -np.inf)
        log_prob[possible] = log_softmax(logits)
        return log_prob

    def slack(logits):
        return budgets - objective.length * (costs @ np.exp(policy(logits)))

    found = []
    for start in (objective.reference_log_prob[possible], np.zeros(possible.sum())):
        result = minimize(
            lambda logits: -objective.value(policy(logits)),
            start,
            method="SLSQP",
            constraints=[{"type": "ineq", "fun": slack}],
            options={"ftol": 1e-13, "maxiter": 1000},
        )
        if slack(result.x).min() > -1e-7:
            found.append(-result.fun)
    return max(found)


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("n_constraints", [1, 2, 3])
@pytest.mark.parametrize("seed", range(3))
def test_optimum_is_that_of_a_general_purpose_optimiser(kind, n_constraints, seed):
    objective = random_objective(seed, **kind)
    costs, budgets = random_constraints(objective, n_constraints, seed)
    result = constrained_optimum(objective, costs, budgets)
    assert_is_log_distribution(result.log_prob)
    assert_allclose(result.value, slsqp_value(objective, costs, budgets), rtol=1e-5, atol=1e-5)
    assert_allclose(result.value, objective.value(result.log_prob), rtol=1e-12)
    assert_allclose(
        result.loss, objective.value(objective.optimum()) - result.value, rtol=1e-8, atol=1e-11
    )


@pytest.mark.parametrize("kind", KINDS, ids=str)
@given(seed=SEEDS, n_constraints=st.integers(1, 3), margin=st.sampled_from([0.01, 0.1, 1.0]))
@proved
def test_conditions_of_optimality_hold(kind, seed, n_constraints, margin):
    """Karush-Kuhn-Tucker: they are sufficient, since the problem is concave."""
    objective = random_objective(seed, **kind)
    costs, budgets = random_constraints(objective, n_constraints, seed, margin)
    result = constrained_optimum(objective, costs, budgets)
    assert np.all(result.multipliers >= 0)
    expected = objective.length * (costs @ np.exp(result.log_prob))
    assert_allclose(result.costs, expected, rtol=1e-12, atol=1e-12)
    slack = budgets - result.costs
    assert slack.min() >= -1e-9
    assert_allclose(result.multipliers * slack, 0.0, atol=1e-7)
    scores = objective.token_scores(result.log_prob) - result.multipliers @ costs
    possible = np.isfinite(result.log_prob)
    assert_allclose(scores[possible], scores[possible][0], rtol=1e-6, atol=1e-8)


@given(SEEDS, st.integers(1, 3))
@proved
def test_no_policy_within_the_budgets_is_better(seed, n_constraints):
    objective = random_objective(seed)
    costs, budgets = random_constraints(objective, n_constraints, seed)
    best = constrained_optimum(objective, costs, budgets).value
    rng = np.random.default_rng([seed, 3])
    for _ in range(20):
        policy = log_softmax(objective.exponent + rng.exponential() * rng.normal(size=len(costs.T)))
        if np.all(objective.length * (costs @ np.exp(policy)) <= budgets):
            assert objective.value(policy) <= best + 1e-9


def test_multiplier_is_the_worth_of_the_budget():
    objective = random_objective(3, length=5)
    costs, budgets = random_constraints(objective, 2, 1)
    result = constrained_optimum(objective, costs, budgets)
    assert result.multipliers.max() > 0.1
    for j in range(2):
        step = 1e-4 * (np.arange(2) == j)
        slope = (
            constrained_optimum(objective, costs, budgets + step).value
            - constrained_optimum(objective, costs, budgets - step).value
        )
        assert_allclose(slope / 2e-4, result.multipliers[j], rtol=1e-5, atol=1e-6)


def test_slack_budgets_change_nothing():
    objective = random_objective(0)
    free = objective.optimum()
    costs = np.random.default_rng(0).normal(size=(3, len(free)))
    spent = objective.length * (costs @ np.exp(free))
    result = constrained_optimum(objective, costs, [spent[0] + 1e-6, spent[1] + 1, np.inf])
    assert_array_equal(result.multipliers, 0.0)
    assert_allclose(result.log_prob, free, rtol=1e-12)
    assert result.loss <= 1e-15


def test_constant_cost_never_binds():
    objective = random_objective(1, length=3)
    ones = np.ones(len(objective.token_reward))
    for budget in (3.0, 4.0):
        result = constrained_optimum(objective, ones, budget)
        assert_array_equal(result.multipliers, 0.0)
        assert_allclose(result.log_prob, objective.optimum(), rtol=1e-12)


def test_least_budget_bans_what_costs_more():
    objective = AdditiveObjective(
        np.log([0.4, 0.3, 0.2, 0.1]), np.array([0.0, 1.0, 2.0, 3.0]), length=10
    )
    costs = [0.1, 0.1, 0.5, 0.2]
    result = constrained_optimum(objective, costs, 1.0)
    expected = objective.exponent.copy()
    expected[2:] = -np.inf
    assert_allclose(result.log_prob, log_softmax(expected), rtol=1e-12)
    assert_array_equal(result.multipliers, np.inf)
    # Just above it, the solution is next to that one.
    near = constrained_optimum(objective, costs, 1.0 + 1e-9)
    assert_allclose(np.exp(near.log_prob), np.exp(result.log_prob), atol=1e-8)
    assert near.costs <= 1.0 + 1e-9 + 1e-14
    # With a second budget, over the tokens that are left.
    both = constrained_optimum(objective, [costs, [0.0, 1.0, 0.0, 0.0]], [1.0, 4.0])
    assert_allclose(np.exp(both.log_prob), [0.6, 0.4, 0.0, 0.0], atol=1e-12)
    assert both.multipliers[0] == np.inf
    assert 0 < both.multipliers[1] < np.inf


def test_infeasible_budgets_name_the_smallest_feasible_ones():
    objective = AdditiveObjective(np.log([0.5, 0.3, 0.2]), np.zeros(3), length=4)
    with pytest.raises(ValueError, match=r"budget 0, 0\.7: the smallest feasible .* is 0\.8\."):
        constrained_optimum(objective, [0.5, 0.2, 0.3], 0.7)
    unreachable = AdditiveObjective(np.array([np.log(0.5), -np.inf, np.log(0.5)]), np.zeros(3))
    with pytest.raises(ValueError, match=r"is 0\.3\. Raise the budget"):
        constrained_optimum(unreachable, [0.5, 0.2, 0.3], 0.25)
    # P(0) + P(1) <= 0.4 and P(2) + P(1) <= 0.4 leave one fifth too little.
    costs = np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]])
    with pytest.raises(ValueError, match=r"not all together .* are above \[2\.0, 2\.0\]"):
        constrained_optimum(objective, costs, [1.6, 1.6])
    result = constrained_optimum(objective, costs, [2.001, 2.001])
    assert np.all(result.costs <= 2.001 + 1e-9)


@pytest.mark.parametrize(
    ("costs", "budgets", "message"),
    [
        (np.ones(4), 1.0, r"got shapes \(1, 4\) and \(1,\) with V=3"),
        (np.ones((2, 3)), 1.0, r"got shapes \(2, 3\) and \(1,\) with V=3"),
        ([1.0, np.inf, 0.0], 1.0, "finite costs"),
        (np.ones(3), np.nan, "no budget that is nan"),
    ],
)
def test_invalid_constraints_say_what_is_wrong(costs, budgets, message):
    with pytest.raises(ValueError, match=message):
        constrained_optimum(AdditiveObjective(np.log([0.5, 0.3, 0.2]), np.zeros(3)), costs, budgets)


@given(SEEDS, st.floats(1e-9, 1.0))
@proved
def test_chance_constraint_rescales_the_set(seed, max_probability):
    """The closed form: the tilt inside and outside the set, with the largest share allowed."""
    objective = random_objective(seed)
    n_columns = len(objective.token_reward)
    inside = np.arange(n_columns) < n_columns // 2
    result = chance_constrained_optimum(objective, np.flatnonzero(inside), max_probability)
    allowed = 1 - (1 - max_probability) ** (1 / objective.length)
    assert_allclose(chance_budget(max_probability, objective.length) / objective.length, allowed,
                    rtol=1e-6)  # fmt: skip
    allowed = chance_budget(max_probability, objective.length) / objective.length
    tilt = np.exp(objective.optimum())
    share = min(allowed, tilt[inside].sum())
    expected = np.where(
        inside, share * tilt / tilt[inside].sum(), (1 - share) * tilt / tilt[~inside].sum()
    )
    assert_allclose(np.exp(result.log_prob), expected, rtol=1e-9, atol=1e-300)
    assert result.probability <= max_probability * (1 + 1e-9)


def test_chance_constraint_holds_for_simulated_documents():
    objective = random_objective(4, length=6)
    result = chance_constrained_optimum(objective, [0, 2], 0.2)
    assert_allclose(result.probability, 0.2, rtol=1e-9)
    drawn = sample_rollouts(result.log_prob, 50_000, np.random.RandomState(0), length=6)
    has_any = drawn.sum_over_tokens(np.isin(np.arange(drawn.n_columns), [0, 2]) * 1.0) > 0
    assert abs(has_any.mean() - 0.2) < 4 * np.sqrt(0.2 * 0.8 / 50_000)


def test_chance_of_nothing_is_a_ban_and_of_one_no_constraint():
    objective = random_objective(5)
    banned = np.zeros(len(objective.token_reward), dtype=bool)
    banned[[1, 3]] = True
    result = chance_constrained_optimum(objective, banned, 0.0)
    assert result.probability == 0.0
    assert_array_equal(np.isneginf(result.log_prob), banned)
    safe = ban_tokens(objective.optimum(), banned)
    assert_allclose(result.log_prob[~banned], safe.log_prob[~banned], rtol=1e-10)
    free = chance_constrained_optimum(objective, banned, 1.0)
    assert_allclose(free.log_prob, objective.optimum(), rtol=1e-12)
    with pytest.raises(ValueError, match=r"from 0 to 1, got 1\.5"):
        chance_budget(1.5, 3)


@given(SEEDS)
@proved
def test_ban_costs_the_logarithm_of_the_safe_share(seed):
    rng = np.random.default_rng(seed)
    reference = log_softmax(3 * rng.normal(size=12))
    banned = rng.permutation(12)[:5]
    result = ban_tokens(reference, banned)
    assert_is_log_distribution(result.log_prob)
    assert np.isneginf(result.log_prob[banned]).all()
    safe = np.setdiff1d(np.arange(12), banned)
    assert_allclose(result.nats_per_token, -np.log(np.exp(reference[safe]).sum()), rtol=1e-9)
    objective = AdditiveObjective(reference, np.zeros(12), length=7)
    assert_allclose(objective.kl(result.log_prob), 7 * result.nats_per_token, rtol=1e-9, atol=1e-12)
    for _ in range(10):
        other = np.full(12, -np.inf)
        other[safe] = log_softmax(result.log_prob[safe] + rng.normal(size=7))
        assert objective.kl(other) >= objective.kl(result.log_prob) - 1e-12


def test_ban_of_very_rare_tokens_has_a_price():
    reference = np.array([np.log1p(-1e-30), np.log(1e-30)])
    assert_allclose(ban_tokens(reference, [1]).nats_per_token, 1e-30, rtol=1e-12)
    assert ban_tokens(reference, []).nats_per_token == 0.0


def test_banned_tokens_are_never_drawn():
    result = ban_tokens(np.log([0.2, 0.5, 0.3]), [1])
    drawn = sample_rollouts(result.log_prob, 2000, np.random.RandomState(0), length=5)
    assert 1 not in drawn.tokens


@pytest.mark.parametrize(
    ("banned", "message"),
    [
        ([0, 2], "leaves nothing: all 2 tokens"),
        ([3], r"integers from 0 to 2.*got \[3\]"),
        ([-1], r"integers from 0 to 2.*got \[-1\]"),
        ([True, False], r"boolean mask of shape \(3,\)"),
        ([0.5], "integers from 0 to 2"),
    ],
)
def test_invalid_bans_say_what_is_wrong(banned, message):
    with pytest.raises(ValueError, match=message):
        ban_tokens(np.array([np.log(0.5), -np.inf, np.log(0.5)]), banned)
