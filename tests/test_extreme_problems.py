"""Exact problems with vast, tiny and tied numbers: a distribution, the best one, or a clear error.

Independent answers are computed with 60 decimal digits.
"""

from dataclasses import replace
from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.special import log_softmax, logsumexp

from sklearn_codex._rollouts import sample_rollouts
from sklearn_codex.exact import (
    AdditiveObjective,
    EnumeratedObjective,
    EosObjective,
    LengthExplosionError,
    NGramObjective,
    arc_reward,
    ban_tokens,
    bigram_model,
    chance_budget,
    constrained_optimum,
    enumerate_counts,
    kl_coef_for_kl,
    kl_reward_frontier,
    smallest_safe_kl_coef,
)

derandomised = settings(derandomize=True, max_examples=60, deadline=None)


@st.composite
def problems(draw, *, masked=True, demonstrations=True):
    """References, rewards and kl_coef of any scale, often with ties; settings as a dict."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_columns = draw(st.integers(1, 6))
    reference = log_softmax(
        rng.standard_normal(n_columns) * draw(st.sampled_from([0.1, 1.0, 40.0]))
    )
    if masked and n_columns > 2 and draw(st.booleans()):
        reference[0] = -np.inf
    exponent = draw(st.integers(-300, 300))
    reward = rng.standard_normal(n_columns) * 10.0**exponent
    if draw(st.booleans()):
        reward[-1] = reward.max()
        reward[n_columns // 2] = reward.max()
    # From what leaves one token to what leaves the reference.
    kl_coef = 10.0 ** draw(st.integers(max(exponent - 290, -300), min(exponent + 290, 300)))
    settings = {"length": draw(st.sampled_from([1, 7, 10**6])), "kl_coef": kl_coef}
    if demonstrations and draw(st.booleans()):
        frequencies = rng.dirichlet(np.ones(n_columns))
        frequencies[np.isneginf(reference)] = 0.0
        settings["frequencies"] = frequencies / frequencies.sum()
        settings["sft_coef"] = kl_coef * 10.0 ** draw(st.integers(-8, 8))
    return reference, reward, settings


def assert_is_distribution(log_prob, reference):
    assert not np.isnan(log_prob).any()
    assert abs(np.exp(log_prob).sum() - 1.0) < 1e-9
    assert np.isneginf(log_prob[np.isneginf(reference)]).all()


def random_policies(reference, rng, n=6):
    for _ in range(n):
        policy = np.where(np.isfinite(reference), rng.standard_normal(len(reference)) * 3, -np.inf)
        yield log_softmax(policy)


@derandomised
@given(problems())
def test_the_optimum_is_a_distribution_that_no_policy_beats(problem):
    reference, reward, settings = problem
    objective = AdditiveObjective(reference, reward, **settings)
    best = objective.optimum()
    assert_is_distribution(best, reference)
    assert np.isfinite(best[np.isfinite(reference)]).all()
    value = objective.value(best)
    for policy in [*random_policies(reference, np.random.default_rng(0)), log_softmax(reference)]:
        other, gap = objective.value(policy), objective.gap(policy)
        scale = abs(value) + abs(other) + 1e-3 * settings["kl_coef"] * settings["length"]
        assert other <= value + 1e-12 * scale
        assert gap >= 0
        assert_allclose(gap, value - other, rtol=1e-9, atol=1e-9 * scale)


def exact_tilt(reference, reward, kl_coef):
    """Return ref exp(w / b) / Z as decimals, of the floats as they are, and KL from reference."""
    prob = [Decimal(0) if np.isneginf(r) else Decimal(float(r)).exp() for r in reference]
    inside = [p > 0 for p in prob]
    total = sum(prob)
    # Logarithms of probabilities that are rounded sum to nearly 1; the reference is meant to.
    prob = [p / total for p in prob]
    top = max(Decimal(float(w)) for w, i in zip(reward, inside, strict=True) if i)
    tilt = [(Decimal(float(w)) - top) / Decimal(float(kl_coef)) for w in reward]
    weight = [
        p * max(t, Decimal(-10_000)).exp() if i else Decimal(0)
        for p, t, i in zip(prob, tilt, inside, strict=True)
    ]
    norm = sum(weight)
    policy = [w / norm for w in weight]
    kl = sum(q * (q / p).ln() for q, p in zip(policy, prob, strict=True) if q > 0)
    return policy, kl


@derandomised
@given(problems(masked=False, demonstrations=False))
def test_the_optimum_has_the_digits_of_sixty(problem):
    reference, reward, settings = problem
    with localcontext(prec=60):
        policy, _ = exact_tilt(reference, reward, settings["kl_coef"])
        expected = np.array([float(p) for p in policy])
    best = np.exp(AdditiveObjective(reference, reward, **settings).optimum())
    # The argument of an exponential has an error of its last digit.
    assert_allclose(best, expected, rtol=1e-12, atol=1e-300)


@derandomised
@given(problems(demonstrations=False), st.sampled_from([1e-12, 1e-6, 0.1, 0.5, 0.99, 1 - 1e-9]))
def test_kl_targets_are_hit_to_rounding(problem, share):
    reference, reward, settings = problem
    length, possible = settings["length"], np.isfinite(reference)
    floor = -length * float(logsumexp(reference[possible])) if not possible.all() else 0.0
    best = possible & (reward == reward[possible].max())
    ceiling = -length * float(logsumexp(reference[best]))
    target = floor + share * (ceiling - floor)
    if (reward[possible] == reward[possible][0]).all() or not floor < target < ceiling:
        with pytest.raises(ValueError, match=r"target_kl should be above .* and below .*, got"):
            kl_coef_for_kl(reference, reward, max(target, 1e-3), length=length)
        return
    kl_coef = kl_coef_for_kl(reference, reward, target, length=length)
    with localcontext(prec=60):
        _, kl = exact_tilt(reference, reward, kl_coef)
        found = length * float(kl) + floor
    assert_allclose(found, target, rtol=1e-9, atol=1e-12 * floor)


@pytest.mark.parametrize("target", [1e-300, 1e-100, 1e-30, 1e-10, np.log(2) - 1e-15])
def test_kl_targets_next_to_their_limits_are_hit(target):
    reference, reward = np.log([0.5, 0.5]), np.array([0.0, 1.0])
    kl_coef = kl_coef_for_kl(reference, reward, target)
    with localcontext(prec=700):
        _, kl = exact_tilt(reference, reward, kl_coef)
        assert_allclose(float(kl), target, rtol=1e-11)


@pytest.mark.parametrize("target", [0.1, -1.0, 0.0, 2.0, np.nan, np.inf, -np.inf, None, "1"])
def test_a_kl_below_the_floor_of_banned_tokens_ends_with_its_name(target):
    reference = np.array([np.log(0.4), np.log(0.3), -np.inf])
    message = r"above 0.356675, the nats that the tokens banned .* and below 1.20397, .*got "
    with pytest.raises(ValueError, match=message):
        kl_coef_for_kl(reference, np.array([1.0, 2.0, 3.0]), target)
    kl_coef = kl_coef_for_kl(reference, np.array([1.0, 2.0, 3.0]), 0.5)
    objective = AdditiveObjective(reference, np.array([1.0, 2.0, 3.0]), kl_coef=kl_coef)
    assert_allclose(objective.kl(objective.optimum()), 0.5, rtol=1e-12)


@pytest.mark.parametrize(
    ("reference", "reward"),
    [([0.0], [1.0]), ([np.log(0.5)] * 2, [3.0, 3.0]), ([np.log(0.5), -np.inf], [1.0, 2.0])],
)
def test_where_rewards_ask_for_nothing_no_kl_is_reached(reference, reward):
    with pytest.raises(ValueError, match=r"as all possible tokens have the same reward, got 0\.5"):
        kl_coef_for_kl(np.array(reference), np.array(reward), 0.5)


@derandomised
@given(problems(demonstrations=False))
def test_the_frontier_rises(problem):
    reference, reward, settings = problem
    grid = None if np.ptp(reward) < 1e290 else [settings["kl_coef"]]
    points = kl_reward_frontier(reference, reward, length=settings["length"], kl_coefs=grid)
    assert np.isfinite(points.kl).all()
    assert (np.diff(points.kl) >= -1e-12 * points.kl[1:]).all()
    scale = np.abs(points.expected_reward).max()
    assert (np.diff(points.expected_reward) >= -1e-12 * scale).all()


@derandomised
@given(problems(), st.sampled_from([2.0**-332, 2.0**-30, 2.0**30, 2.0**332]))
def test_scaling_all_coefficients_changes_nothing(problem, factor):
    reference, reward, settings = problem
    if not all(1e-200 < abs(x) < 1e200 for x in (np.abs(reward).max(), settings["kl_coef"])):
        return
    objective = AdditiveObjective(reference, reward, **settings)
    scaled = {name: factor * settings.get(name, 0.0) for name in ("kl_coef", "sft_coef")}
    other = AdditiveObjective(reference, factor * reward, **(settings | scaled))
    assert_allclose(np.exp(other.optimum()), np.exp(objective.optimum()), rtol=1e-9, atol=1e-300)
    by_weight = AdditiveObjective(reference, reward, reward_coef=factor, **(settings | scaled))
    assert_allclose(
        np.exp(by_weight.optimum()), np.exp(objective.optimum()), rtol=1e-9, atol=1e-300
    )


@pytest.mark.parametrize("kl_coef", [1e-300, 1e-20, 1.0, 1e20])
@pytest.mark.parametrize("shift", [-(2.0**40), 2.0**40])
def test_a_constant_on_all_rewards_changes_nothing(kl_coef, shift):
    reference = np.log([0.2, 0.3, 0.4, 0.1])
    reward = np.array([3.0, 3.0, 1.0, -2.0])  # integers, whose sums are exact
    first = AdditiveObjective(reference, reward, kl_coef=kl_coef).optimum()
    second = AdditiveObjective(reference, reward + shift, kl_coef=kl_coef).optimum()
    assert_allclose(first, second, rtol=1e-14)


TIED = np.array([0.7, 0.2, 0.7])
PROB = np.array([0.2, 0.5, 0.3])


@pytest.mark.parametrize("kl_coef", [1e-20, 1e-100, 1e-280])
def test_equally_good_tokens_keep_the_shares_of_the_reference(kl_coef):
    expected = np.array([0.4, 0.0, 0.6])
    reference = np.log(PROB)
    additive = AdditiveObjective(reference, TIED, kl_coef=kl_coef, length=3)
    assert_allclose(np.exp(additive.optimum()), expected, rtol=1e-12)
    penalised = replace(additive, penalty=np.log([2.0, 1.0, 1.0]))
    assert_allclose(np.exp(penalised.optimum()), [0.25, 0.0, 0.75], rtol=1e-12)
    # A ban through a budget leaves the tie of the others.
    best = np.array([*TIED, 0.9])
    wider = AdditiveObjective(np.log([*(0.5 * PROB), 0.5]), best, kl_coef=kl_coef)
    banned = constrained_optimum(wider, costs=[0, 0, 0, 1], budgets=0.0)
    assert_allclose(np.exp(banned.log_prob), [*expected, 0.0], rtol=1e-12)
    # Documents that end by themselves and are cut, as none of them wants to end.
    ends = EosObjective(
        np.log([*(0.5 * PROB), 0.5]), np.array([*TIED, 0.0]), 3, kl_coef, max_length=5
    )
    assert_allclose(np.exp(ends.optimum()), [*expected, 0.0], rtol=1e-12)
    by_position = ends.time_dependent_optimum()
    assert_allclose(np.exp(by_position.log_prob), np.tile([*expected, 0.0], (5, 1)), rtol=1e-12)
    assert_allclose(by_position.value, 3.5, rtol=1e-12)
    enumerated = EnumeratedObjective(reference, lambda counts: counts @ TIED, 3, kl_coef)
    assert_allclose(np.exp(enumerated.tilt_marginals), expected, rtol=1e-12)
    assert_allclose(enumerated.tilt_value, 2.1, rtol=1e-12)
    # Products of any shares of tied tokens are worth the same.
    assert_allclose(enumerated.optimum(n_starts=1, max_iter=50).value, 2.1, rtol=1e-12)


@pytest.mark.parametrize("kl_coef", [1e-20, 1e-100, 1e-280])
@pytest.mark.parametrize("sft_coef", [0.1, 10.0])
def test_demonstrations_decide_where_the_divergence_weighs_nothing(kl_coef, sft_coef):
    # Without KL, pi = a f / (lambda + d) with the distance d of a reward from the best, and what
    # is left goes to the best token that no demonstration has.
    distance, frequencies = np.array([1.0, 2.0, 0.0]), np.array([0.75, 0.25, 0.0])
    best = AdditiveObjective(
        np.log([0.3, 0.3, 0.4]), -distance, 1, kl_coef, sft_coef=sft_coef, frequencies=frequencies
    ).optimum()
    low, high = 0.0, 100.0
    while high - low > 1e-13 * high:
        middle = 0.5 * (low + high)
        demonstrated = sft_coef * frequencies[:2] / (middle + distance[:2])
        low, high = (middle, high) if demonstrated.sum() > 1 else (low, middle)
    expected = sft_coef * frequencies[:2] / (high + distance[:2])
    assert_allclose(np.exp(best[:2]), expected, rtol=1e-9)
    assert_allclose(np.exp(best[2]), 1 - expected.sum(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("backoff", [False, True])
@pytest.mark.parametrize("kl_coef", [1e-300, 1e-18, 0.5, 1e18])
def test_bigram_policies_keep_the_reference_where_paths_are_tied(kl_coef, backoff):
    # All paths of three tokens, with rational probabilities and rewards: brute force.
    transition = np.array([[0.25, 0.5, 0.25], [0.5, 0.25, 0.25], [0.125, 0.375, 0.5]])
    initial, reward = np.array([0.25, 0.5, 0.25]), np.array([2.0, 2.0, 1.0])
    model = bigram_model(transition, initial)
    if backoff:
        unigram = np.array([0.25, 0.25, 0.5])
        model = bigram_model(0.5 * transition, initial, backoff=np.full(3, 0.5), unigram=unigram)
        transition = 0.5 * transition + 0.5 * unigram
    problem = NGramObjective.of_model(
        model, arc_reward(model, reward), max_length=3, kl_coef=kl_coef
    )
    marginals = np.zeros((3, 3))
    with localcontext(prec=60):
        for path in product(range(3), repeat=3):
            prob = initial[path[0]] * transition[path[0], path[1]] * transition[path[1], path[2]]
            below = (Decimal(float(reward[list(path)].sum())) - 6) / Decimal(kl_coef)
            weight = float(Decimal(prob) * max(below, Decimal(-10_000)).exp())
            for position, token in enumerate(path):
                marginals[position, token] += weight
    marginals /= marginals[0].sum()
    best = problem.time_dependent_optimum().log_prob
    assert_allclose(problem.marginals(best), marginals, rtol=1e-12, atol=1e-300)
    assert_allclose(problem.value(best), problem.optimal_value(), rtol=1e-12)
    assert problem.gap(best) <= 1e-12 * kl_coef
    assert problem.value(problem.start) <= problem.optimal_value() * (1 + 1e-12)


def test_bigram_policies_say_where_floats_cannot_tell_values_apart():
    stuck = bigram_model(
        np.array([[0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]), [0.4, 0.3, 0.3]
    )
    reward = arc_reward(stuck, [1.0, 1.0, 0.0])
    problem = NGramObjective.of_model(stuck, reward, max_length=5, kl_coef=1e-20)
    with pytest.raises(
        ValueError, match=r"kl_coef=1e-20 has contexts whose values differ by .*Raise"
    ):
        problem.time_dependent_optimum()
    assert np.isfinite(problem.having(kl_coef=1e-9).optimal_value())


@st.composite
def eos_problems(draw):
    reference, reward, settings = draw(problems())
    eos = draw(st.integers(0, len(reference) - 1))
    if np.isneginf(reference[eos]):
        eos = len(reference) - 1
    settings = {name: value for name, value in settings.items() if name != "length"}
    settings["max_length"] = draw(st.sampled_from([None, 1, 2, 20]))
    if settings["max_length"] is None:
        reward = -np.abs(reward)
    return reference, reward, eos, settings


@settings(derandomised, max_examples=25)
@given(eos_problems())
def test_documents_that_end_by_themselves_have_a_best_policy_too(problem):
    reference, reward, eos, settings = problem
    objective = EosObjective(reference, reward, eos, **settings)
    try:
        best = objective.optimum()
    except LengthExplosionError:
        assert settings["max_length"] is None
        return
    assert_is_distribution(best, reference)
    value = objective.value(best)
    for policy in random_policies(reference, np.random.default_rng(0)):
        other = objective.value(policy)
        scale = abs(value) + abs(other) + settings["kl_coef"]
        assert other <= value + 1e-9 * scale
        assert objective.gap(policy) >= 0


@pytest.mark.parametrize("factor", [1e-290, 1e-150, 1e-5, 1e5, 1e150, 1e280])
def test_the_smallest_safe_kl_coef_scales_with_the_rewards(factor):
    reference, reward = np.log([0.7, 0.2, 0.1]), np.array([0.1, 0.2, 5.0])
    safe = smallest_safe_kl_coef(reference, reward, 2)
    assert_allclose(smallest_safe_kl_coef(reference, factor * reward, 2), factor * safe, rtol=1e-12)
    # Of an end as rare as this, only the complement has digits.
    rare = np.array([-0.0, -60.0])
    found = smallest_safe_kl_coef(rare, np.array([factor, 0.0]), 1)
    assert_allclose(found, factor / np.log1p(np.exp(-60.0)), rtol=1e-9)


def test_budgets_that_exclude_each_other_are_refused():
    problem = AdditiveObjective(np.log([0.4, 0.3, 0.3]), np.zeros(3))
    with pytest.raises(ValueError, match=r"no policy keeps budget 1, 0: the smallest .* is 0\.5"):
        constrained_optimum(problem, [[2.0, 1.0, 0.0], [2.0, 0.0, 0.5]], [0.0, 0.0])
    with pytest.raises(ValueError, match="no budget that is nan or -inf"):
        constrained_optimum(problem, [1.0, 0.0, 0.0], -np.inf)
    with pytest.raises(ValueError, match=r"costs whose greatest is between .*got 1e\+300"):
        constrained_optimum(problem, [1e300, 0.0, 0.0], 1.0)
    # 0.1 + 0.2 is not 0.3, so no price makes these two tokens equal.
    tied = AdditiveObjective(np.log([0.5, 0.5]), np.array([0.1 + 0.2, 0.3]), kl_coef=1e-300)
    with pytest.raises(ValueError, match=r"finds no price that keeps a budget.*Raise kl_coef"):
        constrained_optimum(tied, [3.0, 0.0], 0.5)
    met = constrained_optimum(replace(tied, kl_coef=1e-10), [3.0, 0.0], 0.5)
    assert_allclose(met.costs, 0.5, rtol=1e-5)


ONE = {"reference_log_prob": np.log([0.5, 0.5]), "token_reward": np.zeros(2)}
OBJECTIVES = {
    AdditiveObjective: {**ONE, "length": 2},
    EosObjective: {**ONE, "eos": 1},
    EnumeratedObjective: {
        "reference_log_prob": ONE["reference_log_prob"], "reward": lambda x: x[:, 0], "length": 2
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", OBJECTIVES, ids=lambda kind: kind.__name__)
def test_objectives_refuse_what_is_no_number(kind):
    given = OBJECTIVES[kind]
    names = [n for n in kind.__dataclass_fields__ if n.endswith("_coef") or n == "length"]
    for name in {*names} - ({"length"} if kind is EosObjective else set()):
        for wrong in (np.nan, np.inf, -np.inf, "1", None, 1j, [1.0], 10**400, Decimal(1)):
            with pytest.raises(ValueError, match=rf"{kind.__name__} needs .*{name}.*, got "):
                kind(**(given | {name: wrong}))
    for name in {"token_reward", "penalty", "frequencies"} & {*kind.__dataclass_fields__}:
        for wrong in (np.array([0.0, np.nan]), np.array([0.0, -np.inf]), np.zeros(3), "ab"):
            with pytest.raises(ValueError, match=rf"{kind.__name__} needs "):
                kind(**(given | {name: wrong}))
    if "length" in names:
        for wrong in (0, -1, 2.0):
            with pytest.raises(ValueError, match=rf"length >= 1, an integer, got {wrong}"):
                kind(**(given | {"length": wrong}))
    for fine in (True, np.float32(1), np.int8(1), Fraction(1, 1), np.array(1.0)):
        objective = kind(**(given | {"kl_coef": fine}))
        assert objective.kl_coef == 1.0
        assert isinstance(objective.kl_coef, float)
        assert np.isfinite(objective.value(log_softmax(np.zeros(2)))) or kind is EosObjective


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ([0.5, 0.5], "at most 0, got 0.5 at position 0. Pass np.log"),
        ([np.nan, 0.0], "got nan at position 0"),
        ([-np.inf, -np.inf], "got -inf for each of 2 tokens"),
        ([[0.0]], r"shape \(V,\)"),
        ([], r"shape \(V,\)"),
        (["a", "b"], "an array of numbers, got list"),
    ],
)
def test_references_are_logarithms_of_probabilities(wrong, message):
    for function in (
        lambda r: AdditiveObjective(r, np.zeros(len(r))),
        lambda r: EosObjective(r, np.zeros(len(r)), 0),
        lambda r: ban_tokens(r, [0]),
        lambda r: smallest_safe_kl_coef(r, np.zeros(len(r)), 0),
    ):
        with pytest.raises(ValueError, match=message):
            function(wrong)
    unnormalised = AdditiveObjective(np.array([-0.1, -0.1]), np.zeros(2))
    with pytest.raises(ValueError, match=r"not sum to more than 1, got .* sum to 1\.80967"):
        unnormalised.kl(np.log([0.5, 0.5]))


def test_coefficients_whose_ratio_is_no_float_are_refused():
    with pytest.raises(ValueError, match=r"cannot weigh 2e\+200, times 1, against kl_coef=1e-200"):
        AdditiveObjective(
            ONE["reference_log_prob"], np.array([1e200, -1e200]), kl_coef=1e-200
        ).optimum()
    with pytest.raises(ValueError, match=r"finite kl_coef \+ entropy_coef, got 1e\+308"):
        AdditiveObjective(**ONE, kl_coef=1e308, entropy_coef=1e308)
    with pytest.raises(ValueError, match=r"sum to 1, got 5\. Divide counts"):
        AdditiveObjective(**ONE, sft_coef=1.0, frequencies=np.array([2.0, 3.0]))
    with pytest.raises(ValueError, match="max_length from 1 to 10000000, got 1000000000000"):
        EosObjective(**ONE, eos=0, max_length=10**12)
    for wrong in (np.nan, 0, -1, 2.5, None):
        with pytest.raises(ValueError, match="chance_budget needs length >= 1, an integer"):
            chance_budget(0.1, wrong)
    with pytest.raises(ValueError, match="max_probability from 0 to 1, got nan"):
        chance_budget(np.nan, 3)
    for kl_coefs in ([np.nan], [0.0], [np.inf], [[1.0]], "a"):
        with pytest.raises(ValueError, match=r"kl_coef"):
            kl_reward_frontier(**ONE, kl_coefs=kl_coefs)


@pytest.mark.parametrize("wrong", [np.zeros(3), [0.0, np.nan], 0.0, None, "a", [10**400, 0]])
def test_what_is_asked_of_a_policy_needs_its_log_probabilities(wrong):
    for objective, names in (
        (AdditiveObjective(**ONE), "value gap kl entropy token_scores expected_reward"),
        (EosObjective(**ONE, eos=0), "value gap kl expected_length missing_eos_rate"),
        (enumerated(), "value kl gradient mean_field_step gap_to_tilt token_values"),
    ):
        for name in names.split():
            with pytest.raises(ValueError, match=rf"{type(objective).__name__} needs log_prob, "):
                getattr(objective, name)(wrong)
    for name in ("value", "gap", "kl", "marginals", "state_values", "gradient_by_position"):
        with pytest.raises(ValueError, match=r"NGramObjective needs log_prob, "):
            getattr(bigrams(), name)(wrong)


def bigrams():
    model = bigram_model(np.full((2, 2), 0.5), np.full(2, 0.5))
    return NGramObjective.of_model(model, max_length=2)


def enumerated():
    return EnumeratedObjective(**OBJECTIVES[EnumeratedObjective])


@pytest.mark.parametrize("n", [0, -1, 2.5, np.nan, 10**12])
def test_what_would_be_drawn_or_listed_is_checked_first(n):
    with pytest.raises(ValueError, match="max_length from 1 to 10000000"):
        bigrams().having(max_length=n)
    with pytest.raises(ValueError, match=r"integers n_columns >= 1|would list far too many"):
        enumerate_counts(n, 10**9)
    with pytest.raises(ValueError, match=r"n_starts from 0 to 100000|needs max_iter >= 1"):
        enumerated().optimum(n_starts=n, max_iter=0)


@pytest.mark.parametrize("number", [np.int8(3), np.uint8(3), np.int64(3), True, np.array(3)])
def test_small_integer_types_do_not_overflow(number):
    problem = AdditiveObjective(**ONE, length=number)
    assert problem.length == int(number)
    assert isinstance(problem.length, int)
    wide = np.int8(100)
    rollouts = sample_rollouts(
        ONE["reference_log_prob"], wide, np.random.RandomState(0), length=wide
    )
    assert len(rollouts.tokens) == 10_000
