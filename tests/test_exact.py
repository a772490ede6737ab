import numpy as np
import pytest
from additive_problems import random_objective, random_policy, total_variation
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize
from scipy.special import log_softmax, logsumexp

from sklearn_codex.exact import AdditiveObjective, kl_coef_for_kl, kl_reward_frontier

KINDS = [
    {"demonstrations": demonstrations, "penalised": penalised, "zeros": zeros}
    for demonstrations in (False, True)
    for penalised in (False, True)
    for zeros in (False, True)
]
SEEDS = st.integers(0, 2**32 - 1)
proved = settings(deadline=None, max_examples=60, derandomize=True)


def written_out_value(objective, log_prob):
    """J term by term over the tokens that the policy can produce, as the docstring defines it."""
    value = 0.0
    for t in np.flatnonzero(np.exp(log_prob) > 0):
        kl = log_prob[t] - objective.reference_log_prob[t]
        penalty = 0.0 if objective.penalty is None else objective.penalty[t]
        score = objective.reward_coef * objective.token_reward[t]
        score -= objective.kl_coef * (kl + penalty)
        value += objective.length * np.exp(log_prob[t]) * score
        if objective.sft_coef:
            value += objective.sft_coef * objective.frequencies[t] * log_prob[t]
    return value


def numerical_optimum(objective):
    """The maximum over the logits of the support, by a general-purpose optimiser."""
    inside = np.isfinite(objective.reference_log_prob)

    def policy(logits):
        log_prob = np.full(len(inside), -np.inf)
        log_prob[inside] = log_softmax(logits)
        return log_prob

    found = minimize(
        lambda logits: -written_out_value(objective, policy(logits)),
        objective.reference_log_prob[inside],
        method="L-BFGS-B",
        jac="3-point",
        options={"ftol": 1e-15, "gtol": 1e-9, "maxiter": 1000},
    )
    return policy(found.x)


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_optimum_is_that_of_a_general_purpose_optimiser(kind, seed):
    objective = random_objective(seed, **kind)
    best, found = objective.optimum(), numerical_optimum(objective)
    assert_allclose(np.exp(best).sum(), 1.0, rtol=1e-12)
    assert_array_equal(np.isneginf(best), np.isneginf(objective.reference_log_prob))
    assert total_variation(best, found) < 1e-4
    value, found_value = (written_out_value(objective, policy) for policy in (best, found))
    assert value >= found_value - 1e-12 * max(1.0, abs(found_value))
    assert_allclose(value, found_value, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("kind", KINDS, ids=str)
@given(seed=SEEDS)
@proved
def test_value_gap_and_scores_of_random_policies(kind, seed):
    objective = random_objective(seed, **kind)
    inside = np.isfinite(objective.reference_log_prob)
    rng = np.random.default_rng(seed)
    log_prob = np.full(len(inside), -np.inf)
    log_prob[inside] = random_policy(inside.sum(), rng, spread=3.0)
    best = objective.optimum()
    assert_allclose(objective.value(log_prob), written_out_value(objective, log_prob), rtol=1e-9)
    gap = objective.gap(log_prob)
    assert gap >= 0
    assert_allclose(gap, objective.value(best) - objective.value(log_prob), rtol=1e-7, atol=1e-9)
    assert objective.gap(best) == 0
    scores = objective.token_scores(best)[inside]
    scale = max(1.0, np.abs(scores).max())
    assert np.ptp(scores) < 1e-9 * scale


@given(seed=SEEDS, penalised=st.booleans())
@proved
def test_best_value_is_the_log_partition_function(seed, penalised):
    objective = random_objective(seed, penalised=penalised)
    penalty = 0.0 if objective.penalty is None else objective.penalty
    tilted = objective.reference_log_prob - penalty
    tilted = tilted + objective.reward_coef * objective.token_reward / objective.kl_coef
    assert_allclose(
        objective.value(objective.optimum()),
        objective.length * objective.kl_coef * logsumexp(tilted),
        rtol=1e-10,
        atol=1e-10,
    )


def test_penalty_beside_an_entropy_bonus_by_hand():
    # A temperature of 1 + 3, of which the KL is a quarter: so is what a penalty does to the odds.
    penalty = np.array([0.0, 4 * np.log(3.0)])
    objective = AdditiveObjective(
        np.log([0.5, 0.5]), np.zeros(2), length=2, kl_coef=1.0, entropy_coef=3.0, penalty=penalty
    )
    assert_allclose(np.exp(objective.optimum()), [0.75, 0.25])
    # As the objective says: the KL and the penalty of two tokens, and their entropy.
    p, q = 0.75, 0.25
    entropy = -p * np.log(p) - q * np.log(q)
    value = 2 * (-(np.log(2.0) - entropy) - q * penalty[1] + 3.0 * entropy)
    assert_allclose(objective.value(objective.optimum()), value)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind["zeros"]], ids=str)
def test_policy_gradient_of_the_scores_is_the_gradient_of_the_value(kind):
    objective = random_objective(4, **kind)
    n_columns = len(objective.token_reward)
    logits = random_policy(n_columns, np.random.default_rng(0))
    prob, scores = np.exp(logits), objective.token_scores(logits)
    step = 1e-5 * np.eye(n_columns)
    differences = [
        (objective.value(log_softmax(logits + h)) - objective.value(log_softmax(logits - h))) / 2e-5
        for h in step
    ]
    assert_allclose(
        objective.length * prob * (scores - prob @ scores), differences, rtol=1e-5, atol=1e-7
    )


@given(seed=SEEDS, shift=st.floats(-50, 50), factor=st.floats(0.01, 100))
@proved
def test_invariances_of_the_optimum(seed, shift, factor):
    def optimum(**changed):
        return random_objective(seed, demonstrations=True, penalised=True, **changed).optimum()

    objective = random_objective(seed, demonstrations=True, penalised=True)
    best = objective.optimum()
    order = np.random.default_rng(seed).permutation(len(best))
    permuted = AdditiveObjective(
        objective.reference_log_prob[order],
        objective.token_reward[order] + shift,
        length=objective.length,
        kl_coef=objective.kl_coef,
        reward_coef=objective.reward_coef,
        penalty=objective.penalty[order],
        sft_coef=objective.sft_coef,
        frequencies=objective.frequencies[order],
    )
    assert_allclose(permuted.optimum(), best[order], rtol=1e-8, atol=1e-9)
    scaled = optimum(
        kl_coef=factor * objective.kl_coef,
        reward_coef=factor * objective.reward_coef,
        sft_coef=factor * objective.sft_coef,
    )
    assert_allclose(scaled, best, rtol=1e-9, atol=1e-9)


def test_limits_of_the_weights():
    dear = random_objective(1, demonstrations=True, penalised=False, kl_coef=1e9)
    assert total_variation(dear.optimum(), dear.reference_log_prob) < 1e-7
    cheap = random_objective(1, kl_coef=1e-4, reward_coef=1.0)
    assert np.argmax(cheap.optimum()) == np.argmax(cheap.token_reward)
    assert np.exp(cheap.optimum().max()) == 1.0
    shown = random_objective(1, demonstrations=True, sft_coef=1e9)
    assert 0.5 * np.abs(np.exp(shown.optimum()) - shown.frequencies).sum() < 1e-6


@pytest.mark.parametrize("sft_coef", [1e-300, 1e-20, 1e-17, 1e-16])
@pytest.mark.parametrize("seed", range(20))
def test_a_negligible_sft_coef_changes_nothing(seed, sft_coef):
    objective = random_objective(seed, demonstrations=True, sft_coef=sft_coef)
    without = random_objective(seed, demonstrations=True, sft_coef=0.0)
    assert total_variation(objective.optimum(), without.optimum()) < 1e-13


@pytest.mark.parametrize("kl_coef", [1e-4, 1.0, 1e4])
@pytest.mark.parametrize("sft_coef", [0.0, 1e-3, 1.0, 1e3])
def test_large_vocabulary_and_extreme_weights(kl_coef, sft_coef):
    rng = np.random.default_rng(0)
    n_columns = 20_000
    objective = AdditiveObjective(
        random_policy(n_columns, rng),
        rng.standard_normal(n_columns),
        length=20,
        kl_coef=kl_coef,
        sft_coef=sft_coef,
        frequencies=rng.multinomial(500, np.full(n_columns, 1 / n_columns)) / 500,
    )
    best = objective.optimum()
    assert np.all(np.isfinite(best))
    assert_allclose(np.exp(best).sum(), 1.0, rtol=1e-10)
    scores = objective.token_scores(best)
    assert np.ptp(scores) < 1e-8 * max(1.0, np.abs(scores).max())
    assert objective.gap(best) == 0


def test_scores_are_finite_where_probabilities_underflow():
    objective = AdditiveObjective(
        np.log([0.5, 0.3, 0.2]),
        np.array([0.0, 1.0, 2.0]),
        penalty=np.array([0.0, 0.0, 2000.0]),
        sft_coef=1.0,
        frequencies=np.array([0.4, 0.6, 0.0]),
    )
    best = objective.optimum()
    assert np.exp(best[2]) == 0
    assert_allclose(np.ptp(objective.token_scores(best)), 0.0, atol=1e-9)
    lost = log_softmax([-2000.0, 0.0, 0.0])
    assert objective.token_scores(lost)[0] == np.inf


def test_a_policy_that_cannot_produce_the_demonstrations_is_infinitely_far():
    objective = random_objective(2, demonstrations=True)
    log_prob = objective.optimum()
    log_prob[np.argmax(objective.frequencies)] = -np.inf
    assert objective.gap(log_prob) == np.inf
    outside = random_objective(2, zeros=True)
    uniform = np.full(len(outside.token_reward), -np.log(len(outside.token_reward)))
    assert outside.gap(uniform) == np.inf
    assert outside.value(uniform) == -np.inf


def test_objective_names_what_is_wrong():
    reference, weights = np.log([0.5, 0.5, 0.0], where=[True, True, False], out=None), np.zeros(3)
    reference[2] = -np.inf
    with pytest.raises(ValueError, match=r"token_reward of shape \(3,\).*got shape \(1,\)"):
        AdditiveObjective(np.log(np.full(3, 1 / 3)), np.zeros(1))
    with pytest.raises(ValueError, match=r"kl_coef > 0, got 0"):
        AdditiveObjective(reference, weights, kl_coef=0)
    with pytest.raises(ValueError, match=r"sft_coef=2 needs the token frequencies"):
        AdditiveObjective(reference, weights, sft_coef=2)
    with pytest.raises(ValueError, match=r"demonstrations use token 2, which the reference"):
        AdditiveObjective(reference, weights, sft_coef=2, frequencies=np.array([0, 0.5, 0.5]))


def test_an_objective_made_of_another_is_checked_where_it_is_new():
    problem = AdditiveObjective(np.log([0.5, 0.3, 0.2]), np.array([0.0, 1.0, 2.0]), kl_coef=0.7)
    other = problem.having(token_reward=[1, 2, 4], kl_coef=2)
    expected = AdditiveObjective(problem.reference_log_prob, np.array([1.0, 2.0, 4.0]), kl_coef=2.0)
    assert other.token_reward.dtype == np.float64
    assert repr(other) == repr(expected)
    assert_array_equal(other.optimum(), expected.optimum())
    assert problem.token_reward[0] == 0.0
    assert problem.kl_coef == 0.7
    for wrong, message in (
        ({"kl_coef": -1}, "kl_coef"),
        ({"token_reward": [1.0]}, "token_reward"),
        ({"reference_log_prob": np.log([0.5, 0.5])}, "token_reward"),
        ({"penalty": np.full(3, np.inf)}, "Ban fewer"),
    ):
        with pytest.raises(ValueError, match=message):
            problem.having(**wrong)
    with pytest.raises(TypeError, match="AdditiveObjective has no 'kl', only reference_log_prob,"):
        problem.having(kl=1.0)


def test_a_policy_is_checked_once_and_each_time_that_it_is_given():
    problem = AdditiveObjective(np.log([0.5, 0.3, 0.2]), np.array([0.0, 1.0, 2.0]))
    policy = np.log([0.2, 0.3, 0.5])
    assert problem.value(policy) == problem.value(policy.tolist())
    policy[0] = np.nan
    for method in (problem.value, problem.kl, problem.gap):
        with pytest.raises(ValueError, match="without nan, got nan"):
            method(policy)
    policy[0] = np.log(0.2)
    assert np.isfinite(problem.gap(policy))


@given(seed=SEEDS)
@proved
def test_frontier_is_monotone_concave_and_never_exceeded(seed):
    rng = np.random.default_rng(seed)
    n_columns, length = int(rng.integers(3, 15)), int(rng.integers(1, 9))
    reference, weights = random_policy(n_columns, rng), rng.standard_normal(n_columns)
    points = kl_reward_frontier(reference, weights, length=length)
    assert np.all(np.diff(points.kl_coef) < 0)
    distinct = np.diff(points.kl) > 1e-9
    assert np.all(np.diff(points.kl) > -1e-12)
    slopes = np.diff(points.expected_reward)[distinct] / np.diff(points.kl)[distinct]
    # A chord's slope lies between those at its ends, which are kl_coef: monotone and concave.
    assert np.all(slopes <= points.kl_coef[:-1][distinct] * (1 + 1e-5))
    assert np.all(slopes >= points.kl_coef[1:][distinct] * (1 - 1e-5))
    objective = AdditiveObjective(reference, weights, length=length)
    other = random_policy(n_columns, rng)
    try:
        kl_coef = kl_coef_for_kl(reference, weights, objective.kl(other), length=length)
    except ValueError:
        return
    best = AdditiveObjective(reference, weights, length=length, kl_coef=kl_coef).optimum()
    assert objective.expected_reward(other) <= objective.expected_reward(best) + 1e-9


def test_slope_and_curvature_of_the_frontier():
    rng = np.random.default_rng(3)
    reference, weights, length, b = random_policy(9, rng), rng.standard_normal(9), 6, 0.7
    near = kl_reward_frontier(
        reference, weights, length=length, kl_coefs=[b * (1 + 1e-5), b * (1 - 1e-5)]
    )
    slope = np.diff(near.expected_reward) / np.diff(near.kl)
    assert_allclose(slope, b, rtol=1e-4)
    objective = AdditiveObjective(reference, weights, length=length, kl_coef=b)
    prob = np.exp(objective.optimum())
    variance = length * (prob @ weights**2 - (prob @ weights) ** 2)
    assert_allclose(np.diff(near.expected_reward) / np.diff(1 / near.kl_coef), variance, rtol=1e-4)
    best = objective.optimum()
    backward = length * np.exp(reference) @ (reference - best)
    gain = objective.expected_reward(best) - objective.expected_reward(reference)
    assert_allclose(gain, b * (objective.kl(best) + backward), rtol=1e-10)


@given(seed=SEEDS, kl_coef=st.floats(0.05, 50))
@proved
def test_kl_coef_for_kl_is_the_inverse(seed, kl_coef):
    rng = np.random.default_rng(seed)
    reference, weights = random_policy(8, rng), rng.standard_normal(8)
    objective = AdditiveObjective(reference, weights, length=5, kl_coef=kl_coef)
    kl = objective.kl(objective.optimum())
    largest = -5 * reference[np.argmax(weights)]
    if 1e-9 < kl < largest - 1e-3:
        found = kl_coef_for_kl(reference, weights, kl, length=5)
        assert_allclose(found, kl_coef, rtol=1e-5)


def test_default_frontier_begins_and_ends_at_shares_of_the_spread():
    # Rewards of 1 and 4 with probabilities 1/5 and 4/5 have a mean of 3.4 and a deviation of 1.2.
    frontier = kl_reward_frontier(np.log([0.2, 0.8]), np.array([1.0, 4.0]))
    assert_allclose(frontier.kl_coef[[0, -1]], [120.0, 0.012])


def test_frontier_of_a_constant_reward_is_the_reference():
    reference = np.log([0.2, 0.8])
    points = kl_reward_frontier(reference, np.array([3.0, 3.0]), length=2)
    assert_allclose(points.kl, 0.0, atol=1e-12)
    assert_allclose(points.expected_reward, 6.0)
    with pytest.raises(ValueError, match=r"target_kl should be above 0 and below"):
        kl_coef_for_kl(reference, np.array([3.0, 3.0]), 0.1)


@pytest.mark.parametrize("target_kl", [0.0, -1.0, 2 * np.log(5), 10.0, np.nan])
def test_kl_coef_for_kl_refuses_a_kl_that_no_optimum_has(target_kl):
    with pytest.raises(ValueError, match=rf"below 3.21888.*got {target_kl}"):
        kl_coef_for_kl(np.log([0.2, 0.8]), np.array([1.0, 0.0]), target_kl, length=2)
