"""Fits, controllers and samples at the ends of what floats hold: right, or a clear error."""

from decimal import Decimal, localcontext
from fractions import Fraction
from math import comb

import numpy as np
import pytest
from additive_problems import linear_reward
from numpy.testing import assert_allclose
from sklearn.frozen import FrozenEstimator

from sklearn_codex import (
    AnnotatorRewardModel,
    DPOPolicyOptimizer,
    ExactPolicyOptimizer,
    PlackettLuceModel,
    PPOPolicyOptimizer,
    PreferenceRewardModel,
    PreferenceRewardModelCV,
    TiePreferenceModel,
    UnigramLM,
)
from sklearn_codex._categorical import close_kl, exp_rest, log_mass, reference_kl, root_mean_square
from sklearn_codex.datasets import make_preferences
from sklearn_codex.exact import (
    AdditiveObjective,
    EosObjective,
    NGramObjective,
    arc_reward,
    best_of_n,
    best_of_n_frontier,
    best_of_n_kl_bound,
    bigram_model,
    expected_max,
)
from sklearn_codex.features import preference_features
from sklearn_codex.kl_control import AdaptiveKLController, FixedKLController
from sklearn_codex.metrics import length_audit, preference_accuracy, win_rate

PAIRS = make_preferences(60, n_features=4, random_state=0)


def fit(model, X, **params):
    y = PAIRS.y.astype(float)
    if isinstance(model, PlackettLuceModel):
        return model.fit(X, np.arange(60) % 3, groups=np.arange(60) // 3, **params)
    if isinstance(model, AnnotatorRewardModel):
        return model.fit(X, y, annotators=np.arange(60) % 3, **params)
    if isinstance(model, TiePreferenceModel):
        y[::5] = 0.5
    return model.fit(X, y, **params)


@pytest.mark.parametrize("exponent", [-400, -100, 100, 400])
@pytest.mark.parametrize("model", [PreferenceRewardModel, TiePreferenceModel, AnnotatorRewardModel])
def test_scaled_features_have_coefficients_scaled_the_other_way(model, exponent):
    # With a power of two, and C that makes the penalty weigh the same, to the last digits.
    factor = 2.0**exponent
    plain = fit(model(C=2.0), PAIRS.X)
    scaled = fit(model(C=2.0 / factor**2), factor * PAIRS.X)
    assert_allclose(factor * scaled.coef_, plain.coef_, rtol=1e-6)


@pytest.mark.parametrize("factor", [1e-300, 1e-200, 1e200, 1e300])
@pytest.mark.parametrize(
    "model",
    [
        PreferenceRewardModel,
        PreferenceRewardModelCV,
        PlackettLuceModel,
        AnnotatorRewardModel,
        DPOPolicyOptimizer,
    ],
)
def test_features_beyond_squares_are_refused_not_ignored(model, factor):
    with (
        np.errstate(over="ignore", invalid="ignore"),
        pytest.raises(ValueError, match=r"The fit leaves the range of floats: .*Scale the feat"),
    ):
        fit(model(), factor * PAIRS.X)


@pytest.mark.parametrize("weight", [1e-300, 1e-120, 1e120, 1e300])
def test_weights_beyond_squares_are_refused_everywhere(weight):
    weights, label = np.full(60, weight), PAIRS.y.astype(float)
    message = r"sample_weight should have a greatest value from 1e-100 to 1e\+100, .*Divide"
    texts = ["a b"] * 30 + ["b"] * 30
    for call in (
        lambda: fit(PreferenceRewardModel(), PAIRS.X, sample_weight=weights),
        lambda: fit(TiePreferenceModel(), PAIRS.X, sample_weight=weights),
        lambda: UnigramLM().fit(texts, sample_weight=weights),
        lambda: preference_accuracy(label, PAIRS.margin, sample_weight=weights),
        lambda: win_rate(label, sample_weight=weights),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    weights[0] = 1.0
    if weight < 1:
        preference_accuracy(label, PAIRS.margin, sample_weight=weights)


@pytest.mark.parametrize("factor", [1e-300, 1e-160, 1e160, 1e300])
def test_length_audits_do_not_depend_on_units(factor):
    length = (PAIRS.lengths[:, 0] - PAIRS.lengths[:, 1]).astype(float)
    label, margin = PAIRS.y.astype(float), PAIRS.margin + 0.1 * length
    plain = length_audit(label, margin, length)
    other = length_audit(label, factor * margin, factor * length)
    assert_allclose(factor * other.length_coef, plain.length_coef, rtol=1e-9)
    assert_allclose(other.length_scale, factor * plain.length_scale, rtol=1e-12)
    assert_allclose(other.margin_length_correlation, plain.margin_length_correlation, rtol=1e-12)


@pytest.mark.parametrize("count", [1e308, 1.7e308])
def test_counts_whose_sum_is_no_float_are_refused(count):
    vast = np.full((2, 2), count)
    model = UnigramLM()
    message = r"UnigramLM got counts of .* whose sum is beyond the range of floats\. Divide"
    for call in (model.fit, UnigramLM().fit([[1.0, 1.0]]).score):
        with np.errstate(over="ignore"), pytest.raises(ValueError, match=message):
            call(vast)
    started = UnigramLM().partial_fit([[count, 0.0]])
    with pytest.raises(ValueError, match=message):
        started.partial_fit([[count, 0.0]])
    assert started.n_tokens_ == count
    assert_allclose(np.exp(UnigramLM().fit(vast / 1e10).token_log_prob_), 0.5)


COUNTS = np.array([[3.0, 1.0, 0.0], [1.0, 2.0, 2.0]])


@pytest.mark.parametrize("factor", [1e-150, 1e-20, 1e20, 1e150, 1e200])
@pytest.mark.parametrize(
    "optimizer", [ExactPolicyOptimizer(), PPOPolicyOptimizer(max_iter=5, n_rollouts=64, tol=0)]
)
def test_normalised_rewards_of_any_scale_have_one_policy(optimizer, factor):
    def policy(scale):
        reward = FrozenEstimator(linear_reward(scale * np.array([1.0, -0.5, 2.0])))
        optimizer.set_params(reward_model=reward, normalize_reward=True, random_state=0)
        fitted = optimizer.fit(COUNTS)
        return np.exp(fitted.token_log_prob_), fitted.reward_scale_

    (plain, unit), (scaled, its_unit) = policy(1.0), policy(factor)
    assert_allclose(its_unit, factor * unit, rtol=1e-12)
    assert_allclose(scaled.sum(), 1.0, rtol=1e-12)
    assert_allclose(scaled, plain, rtol=1e-6)


def test_evaluations_need_a_number_of_samples():
    reward = FrozenEstimator(linear_reward(np.ones(3)))
    policy = ExactPolicyOptimizer(reward_model=reward).fit(COUNTS)
    for wrong in (0, -1, 2.5, np.nan, "9"):
        with pytest.raises(ValueError, match=r"evaluate needs n_samples >= 1, an integer, got "):
            policy.evaluate(n_samples=wrong)


@pytest.mark.parametrize("n", [1, 2, 7, 20])
def test_expected_max_is_that_of_rational_numbers(n):
    samples = np.random.RandomState(0).standard_normal(20)
    total = comb(20, n)
    exact = sum(
        Fraction(float(value)) * comb(i, n - 1) for i, value in enumerate(np.sort(samples))
    ) / Fraction(total)
    for scale in (2.0**-900, 1.0, 2.0**1000):
        mean, error = expected_max(scale * samples, n)
        assert_allclose(mean, scale * float(exact), rtol=1e-12)
        expected = scale * expected_max(samples, n)[1]
        assert_allclose(error, expected, rtol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 10, 10**6, 10**18, 2**63, 10**300])
def test_the_bound_of_best_of_n_has_its_digits(n):
    with localcontext(prec=60):
        bound = Decimal(n).ln() - Decimal(n - 1) / Decimal(n)
    assert_allclose(best_of_n_kl_bound(n), float(bound), rtol=1e-14)
    result = best_of_n(np.log([0.5, 0.3, 0.2]), [0.0, 1.0, 2.0], n)
    assert_allclose(np.exp(result.log_prob).sum(), 1.0, rtol=1e-12)
    assert result.kl <= result.kl_bound + 1e-15
    if n > 1000:
        assert_allclose(result.expected_reward, 2.0)
        assert_allclose(result.kl, -np.log(0.2), rtol=1e-12)


@pytest.mark.parametrize("n", [0, -1, 2.0, np.nan, np.inf, "2", None, 10**400, np.float32(2)])
def test_best_of_n_needs_a_whole_number(n):
    for call in (
        lambda: best_of_n(np.log([0.5, 0.5]), [0.0, 1.0], n),
        lambda: best_of_n_kl_bound(n),
        lambda: best_of_n_kl_bound([3, n]),
        lambda: expected_max([0.0, 1.0, 2.0], n),
        lambda: best_of_n_frontier([0.0, 1.0, 2.0], [n]),
    ):
        with pytest.raises(ValueError, match=r"needs n, an integer number of draws >= 1, got "):
            call()


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_best_of_n_needs_rewards_that_add(wrong):
    with pytest.raises(ValueError, match=rf"needs finite samples .*got {wrong} at position 1"):
        expected_max([0.0, wrong, 1.0], 2)
    with pytest.raises(ValueError, match=rf"needs finite rewards .*got {wrong} at position 1"):
        best_of_n(np.log([0.5, 0.5]), [0.0, wrong], 2)
    with pytest.raises(ValueError, match=r"1-D array of at least 1 samples .* got shape \(0,\)"):
        expected_max([], 1)
    assert_allclose(expected_max([0.0, 1.0], np.int64(1))[0], 0.5)


@pytest.mark.parametrize(
    "wrong",
    [{"kl_coef": np.nan}, {"kl_coef": 0.0}, {"kl_coef": np.inf}, {"kl": np.nan}, {"kl": -1.0},
     {"n_documents": 0}, {"n_documents": np.nan}, {"n_documents": 2.5}],
)  # fmt: skip
def test_controllers_refuse_what_is_no_number(wrong):
    step = {"kl_coef": 1.0, "kl": 2.0, "n_documents": 10} | wrong
    with pytest.raises(ValueError, match=r"next_coef needs .*, got "):
        AdaptiveKLController().next_coef(**step)
    if "kl_coef" in wrong:
        with pytest.raises(ValueError, match=r"FixedKLController.next_coef needs a finite kl_coef"):
            FixedKLController().next_coef(**step)


@pytest.mark.parametrize("name", ["target", "horizon"])
@pytest.mark.parametrize("wrong", [0, -1.0, np.nan, np.inf, "1", None, 10**400])
def test_controllers_check_their_parameters_before_a_step(name, wrong):
    controller = AdaptiveKLController().set_params(**{name: wrong})
    with pytest.raises(ValueError, match=rf"AdaptiveKLController needs a finite {name} > 0"):
        controller.next_coef(1.0, kl=2.0, n_documents=10)


def test_controllers_take_any_real_number():
    step = {"kl_coef": 1.0, "kl": 2.0, "n_documents": 10}
    expected = AdaptiveKLController(0.5, horizon=0.25).next_coef(**step)
    for half, quarter in ((Fraction(1, 2), Fraction(1, 4)), (np.array(0.5), np.array(0.25))):
        assert AdaptiveKLController(half, horizon=quarter).next_coef(**step) == expected


def test_controllers_stay_within_floats():
    fast = AdaptiveKLController(target=1.0, horizon=5e-324)
    assert fast.next_coef(1.0, kl=1.0, n_documents=10) == 1.0
    assert 0 < fast.next_coef(1e-320, kl=0.0, n_documents=10**9) < 1e-300
    assert fast.next_coef(1e300, kl=np.inf, n_documents=10**9) == np.finfo(float).max
    assert AdaptiveKLController(horizon=100).next_coef(1.0, kl=np.inf, n_documents=100) == 1.2


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_pairs": 10**12}, r"more tokens in memory at once than the limit"),
        ({"document_length": 1e300}, r"documents of 1e300 tokens"),
        ({"n_features": 10**9}, r"'n_features' parameter .* range \[1, 10000000\]"),
        ({"n_features": 10**7}, r"numbers in a dense matrix\. Pass sparse=True"),
        ({"temperature": 5e-324}, r"margins that are floats, got .*Raise the temperature"),
        ({"length_bias": 1e308, "coef": np.full(50, -1e308)}, r"that are floats, got (nan|-inf)"),
    ],
)
def test_simulated_preferences_name_what_does_not_fit(params, message):
    with pytest.raises(ValueError, match=message):
        make_preferences(**params)


@pytest.mark.parametrize("x", [1e-300, 1e-120, 1e-9, 1e-3, 0.00999, 0.0101, 1.0, 30.0])
def test_what_is_left_of_an_exponential_has_its_digits(x):
    with localcontext(prec=700):
        for value in (x, -x):
            expected = float(Decimal(value).exp() - 1 - Decimal(value))
            assert_allclose(exp_rest(np.array([value]))[0], expected, rtol=1e-13, atol=0)


def test_divergences_of_neighbours_have_their_digits():
    log_q = np.log([0.25, 0.25, 0.5])
    for epsilon in (1e-12, 1e-6, 1e-2):
        shift = np.array([epsilon, -epsilon, 0.0])
        with localcontext(prec=60):
            # 1/4 (e^a a + e^-a -a), of distributions that sum to one but for a^2 / 4
            a = Decimal(epsilon)
            p = [a.exp() / 4, (-a).exp() / 4, Decimal("0.5")]
            expected = float(p[0] * a - p[1] * a - sum(p) + 1)
        # What log q adds to the shift is rounded to 1e-16.
        assert_allclose(close_kl(log_q + shift, log_q), expected, rtol=1e-15 / epsilon)
    banned = np.array([np.log(0.5), np.log(0.25), -np.inf])
    mass = log_mass(banned)
    assert_allclose(mass, np.log(0.75), rtol=1e-15)
    assert_allclose(reference_kl(banned - mass, banned, mass), -np.log(0.75), rtol=1e-15)
    assert reference_kl(log_q, log_q, log_mass(log_q)) == 0.0
    assert np.isinf(reference_kl(log_q, banned, mass))


@pytest.mark.parametrize("factor", [1e-320, 1e-200, 1.0, 1e200, 1e307])
def test_root_mean_squares_scale(factor):
    found = root_mean_square(factor * np.array([3.0, -4.0, 0.0]), np.array([1.0, 1.0, 2.0]))
    assert_allclose(found, factor * 2.5, rtol=1e-3 if factor < 1e-300 else 1e-15)
    assert root_mean_square(np.zeros(3), np.ones(3)) == 0.0


@pytest.mark.parametrize("name", ["word_weight", "character_weight", "form_weight"])
@pytest.mark.parametrize("wrong", [-1.0, np.nan, np.inf, "1", None])
def test_weights_of_features_are_numbers(name, wrong):
    with pytest.raises(ValueError, match=rf"preference_features needs a finite {name} >= 0, got "):
        preference_features(**{name: wrong})


@pytest.mark.parametrize("scale", [1e-150, 1.0, 1e16, 1e150])
def test_rewards_of_any_scale_leave_distributions(scale):
    reference, rng = np.log([0.5, 0.3, 0.2]), np.random.default_rng(0)
    for _ in range(5):
        reward = scale * rng.standard_normal(3)
        reward[2] = reward[1]
        ends = EosObjective(reference, reward, 0, max_length=4, missing_eos_penalty=1.0)
        for log_prob in (
            AdditiveObjective(reference, reward, length=4).optimum(),
            ends.optimum(),
            *ends.time_dependent_optimum().log_prob,
            EosObjective(reference, -np.abs(reward), 0).optimum(),
        ):
            assert_allclose(np.exp(log_prob).sum(), 1.0, rtol=1e-12)
        initial = np.exp(reference)
        dense = bigram_model(np.tile(initial, (3, 1)), initial)
        sparse = bigram_model(np.array([[0.5, 0.5, 0], [0, 0.5, 0.5], [0.5, 0, 0.5]]), initial)
        for model in (dense, sparse):
            moves = arc_reward(model, reward)
            bigrams = NGramObjective.of_model(model, moves, max_length=3)
            for move in (moves, arc_reward(model, reward[::-1])):
                policy = bigrams.moved(bigrams.start, move)
                rows = np.exp(bigrams.policy_model(policy).next_log_prob(np.arange(5)))
                assert_allclose(rows.sum(axis=1), 1.0, rtol=1e-12)
                assert_allclose(bigrams.marginals(policy).sum(axis=1), 1.0, rtol=1e-12)
        best = NGramObjective.of_model(dense, arc_reward(dense, reward), max_length=3)
        best = best.policy_model(best.time_dependent_optimum().log_prob[2])
        assert_allclose(np.exp(best.next_log_prob(np.arange(5))).sum(axis=1), 1.0, rtol=1e-12)
