"""What documents of a policy tell of its distance to the best, against enumeration and by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from policy_problems import Normalised, Saturating

from sklearn_codex._policy.additivity import find_token_values, recognise
from sklearn_codex._policy.certificate import gain_over, tilt_gap
from sklearn_codex._policy.local_gap import (
    Drift,
    left_to_gain,
    scaled_gradient,
    substitution_gains,
)
from sklearn_codex._policy.priced_rule import PricedRule
from sklearn_codex._policy.prices import LearnedPrice
from sklearn_codex._policy.problem import build_problem, unigram_objective
from sklearn_codex._policy.updates import DualUpdate
from sklearn_codex._rollouts import Rollouts
from sklearn_codex.exact import AdditiveObjective, EnumeratedObjective
from sklearn_codex.rules import BannedTokens, TokenBudget

REFERENCE = np.log([0.35, 0.25, 0.2, 0.15, 0.05])
LENGTH, KL_COEF = 3, 0.7
OTHER = np.log([0.2, 0.1, 0.4, 0.2, 0.1])


def problem_of(reward, rules=None, reference=REFERENCE, kl_coef=KL_COEF, length=LENGTH):
    return build_problem(
        unigram_objective(reference, length=length, kl_coef=kl_coef),
        reward,
        np.random.RandomState(0),
        names=None,
        rules=rules,
        normalize_reward=False,
        subject="S",
    )


def enumerated(reward, kl_coef=KL_COEF):
    return EnumeratedObjective(REFERENCE, reward, LENGTH, kl_coef)


# The gradient and what is left to gain


def test_scaled_gradient_by_hand():
    objective = unigram_objective(np.log([0.5, 0.5]), length=1, kl_coef=2.0)
    problem = SimpleNamespace(temperature=2.0, objective=objective)
    rollouts = Rollouts(np.array([0, 0, 1]), np.array([1, 1, 1]), 2)
    shaped = np.array([1.0, 2.0, 6.0])
    # Centred and over n - 1 they are -1, -0.5 and 1.5; the unit is sqrt(2 * 2 * 1 * 0.5).
    scaled = scaled_gradient(problem, np.log([0.5, 0.5]), rollouts, shaped)
    assert_allclose(scaled, np.array([-1.5, 1.5]) / np.sqrt(2.0))


def test_drift_by_hand():
    drift = Drift()
    drift.add(np.array([1.0, 0.0]), 3, np.array([0.0, 6.0]))
    drift.add(np.array([2.0, 1.0]), 1, np.array([4.0, 2.0]))
    # The only pair: u . v = 2, whatever the weights; w_k w_l (u . v)^2 = 12, W = 16 - 10 = 6.
    gap, error = drift.gap()
    assert_allclose(gap, 2.0)
    assert_allclose(error, np.sqrt(2 * 12 / 6))
    assert_allclose(drift.noise(), (9 * 1 + 1 * 5) / 16)
    assert_allclose(drift.mean_place(), [1.0, 5.0])
    assert (drift.n, drift.n_documents) == (2, 4)


def test_drift_is_unbiased_and_its_error_is_honest():
    rng = np.random.default_rng(0)
    gaps, beyond = {0.0: [], 0.3: []}, 0
    for _ in range(400):
        for size, found in gaps.items():
            drift = Drift()
            for _ in range(24):
                drift.add(size + rng.standard_normal(10) * np.arange(10), 1, np.zeros(10))
            gap, error = drift.gap()
            found.append(gap)
            beyond += size == 0 and gap > 2.0 * error
    for size, found in gaps.items():
        assert abs(np.mean(found) - 10 * size**2) < 4 * np.std(found) / np.sqrt(400)
    assert beyond <= 0.07 * 400


def test_drift_looks_at_the_later_batches_and_goes_on_from_its_state():
    drift, places = Drift(), []
    for k in range(200):
        drift.add(np.array([1.0 / (1 + k)]), 1, np.array([float(k)]))
        assert (k + 1) / 3 <= drift.n <= k + 1
        places.append(float(k))
    assert_allclose(drift.mean_place(), np.mean(places[-drift.n :]))
    other = Drift()
    other.restore(drift.state())
    for one in (drift, other):
        one.add(np.array([0.5]), 2, np.array([1.0]))
    assert drift.gap() == other.gap()


@pytest.mark.parametrize("reward", [Saturating(), Normalised()], ids=["saturating", "normalised"])
def test_what_is_left_to_gain_is_that_of_the_exact_gradient(reward):
    problem, exact = problem_of(reward), enumerated(reward)
    gradient = exact.gradient(OTHER)
    expected = np.sum(gradient**2 / (2 * KL_COEF * LENGTH * np.exp(OTHER)))
    gap, error, n_documents = left_to_gain(problem, OTHER, expected, np.random.RandomState(0))
    assert n_documents >= 20 * 1024
    assert abs(gap - expected) < 4 * max(error, 0.02 * expected)
    best = exact.optimum().log_prob
    gap, error, _ = left_to_gain(problem, best, 1e-4, np.random.RandomState(1))
    assert abs(gap) < 3 * error
    assert error < 1e-2


def drawn(*documents):
    """Documents of equal length, drawn by nobody."""
    return Rollouts(np.ravel(documents), np.full(len(documents), len(documents[0])), 3)


def test_what_a_token_is_worth_in_two_documents_by_hand():
    values = np.array([0.0, 1.0, 3.0])
    problem = SimpleNamespace(
        sample=lambda log_prob, n_documents, rng: drawn([1, 1], [2, 1]),
        assess=lambda log_prob, rollouts: SimpleNamespace(
            shaped=rollouts.sum_over_tokens(values) ** 2
        ),
    )
    # Of 4 and 16, with token 0 in the first place of one and the second of the other, 1 and 9.
    gains, errors = substitution_gains(problem, None, np.array([0]), 2, None)
    assert_allclose(gains, [-5.0])
    assert_allclose(errors, [2.0])


def test_certificate_against_the_tilt_by_hand():
    shaped = np.tile([0.0, 2.0 * np.log(3.0)], 32)
    problem = SimpleNamespace(
        temperature=2.0,
        sample=lambda log_prob, n_documents, rng: drawn(*np.tile([[0], [1]], (32, 1))),
        assess=lambda log_prob, rollouts: SimpleNamespace(shaped=shaped, reward=shaped),
    )
    gap, error = tilt_gap(problem, np.log([0.5, 0.5, 1e-9]), [], 64, None)
    # Weights of 1 and 3: as good as 64 * 4 / 5 documents.
    assert_allclose(gap, 2.0 * np.log(2.0) - np.log(3.0))
    spread = 2.0 * np.sqrt(1 / 51.2 - 1 / 64)
    assert_allclose(error, np.hypot(spread, np.log(3.0) / np.sqrt(63)))


def test_gain_over_another_policy_by_hand():
    own, other = np.log([0.75, 0.25, 1e-9]), np.log([0.25, 0.75, 1e-9])
    rests = iter([np.array([1.0, 0.0, 3.0, 0.0]), np.zeros(4)])
    problem = SimpleNamespace(
        objective=SimpleNamespace(value=lambda log_prob: 5.0 if log_prob is own else 4.0),
        sample=lambda log_prob, n_documents, rng: drawn([0], [1], [0], [1]),
        assess=lambda log_prob, rollouts: SimpleNamespace(rest=next(rests)),
    )
    gain, error = gain_over(problem, own, other, 4, None)
    # Twice tanh(log(3) / 2) is 1, and the mean of all is 1/2: 1/2, 1/2, 5/2, 1/2 and -1/2, 1/2, ...
    assert_allclose(gain, 1.0 + 0.5)
    assert_allclose(error, np.sqrt((1.0 + 1 / 3) / 4) / 2)


@pytest.mark.parametrize("reward", [Saturating(), Normalised()], ids=["saturating", "normalised"])
def test_what_a_token_is_worth_by_substitution(reward):
    problem, exact = problem_of(reward), enumerated(reward)
    tokens = np.array([4, 0])
    gains, errors = substitution_gains(problem, OTHER, tokens, 4000, np.random.RandomState(0))
    values = exact.token_values(OTHER) - KL_COEF * (OTHER - REFERENCE)
    expected = values - np.exp(OTHER) @ values
    assert np.all(np.abs(gains - expected[tokens]) < 4 * errors)
    assert np.all(errors < 0.1)


@pytest.mark.parametrize("sft_coef", [0.0, 2.0])
def test_an_update_can_be_moved_to_any_policy(sft_coef):
    objective = AdditiveObjective(
        REFERENCE,
        np.zeros(5),
        length=LENGTH,
        kl_coef=KL_COEF,
        penalty=np.array([0, 1.0, 0, 0, 3.0]),
        sft_coef=sft_coef,
        frequencies=np.array([0.5, 0.3, 0.2, 0, 0]),
    )
    update = DualUpdate(
        objective, batch_size=4, learning_rate=0.5, damping=1.0, n_epochs=1, n_minibatches=1,
        target_kl=None,
    )  # fmt: skip
    update.move_to(OTHER)
    assert_allclose(update.policy(), OTHER, atol=1e-12)


# The certificate and the gain


@pytest.mark.parametrize("reward", [Saturating(), Normalised()], ids=["saturating", "normalised"])
@pytest.mark.parametrize("others", [[], [REFERENCE, np.log(np.full(5, 0.2))]], ids=len)
def test_certificate_against_the_tilt_by_enumeration(reward, others):
    problem, exact = problem_of(reward), enumerated(reward)
    gap, error = tilt_gap(problem, OTHER, others, 4000, np.random.RandomState(0))
    assert 0 < error < 0.3
    assert abs(gap - exact.gap_to_tilt(OTHER)) < 4 * error


def test_certificate_sees_what_other_policies_draw():
    # The policy never draws the token that pays; the even one does.
    reward = lambda counts: 8.0 * (counts[:, [4]].toarray().ravel() > 1)  # noqa: E731
    policy = np.log([0.5, 0.3, 0.1, 0.1 - 1e-5, 1e-5])
    problem, exact = problem_of(reward), enumerated(lambda c: 8.0 * (c[:, 4] > 1))
    blind = problem.certificate(
        policy, problem.assess(policy, problem.sample(policy, 4000, np.random.RandomState(0)))
    )
    assert blind[0] + 3 * blind[1] < 0.5
    even = np.log(np.full(5, 0.2))
    gap, error = tilt_gap(problem, policy, [even], 4000, np.random.RandomState(0))
    assert abs(gap - exact.gap_to_tilt(policy)) < 4 * error


def test_certificate_says_so_where_it_does_not_know():
    constant = problem_of(lambda counts: np.zeros(counts.shape[0]))
    assert np.all(np.isnan(tilt_gap(constant, OTHER, [], 500, np.random.RandomState(0))))
    # One document in thousands would be best by far: those drawn do not tell how many there are.
    rare = problem_of(lambda c: 60.0 * (c[:, [4]].toarray().ravel() == 3), kl_coef=1.0)
    gap, error = tilt_gap(rare, REFERENCE, [], 20_000, np.random.RandomState(0))
    assert np.isnan(gap)
    assert np.isnan(error)


@pytest.mark.parametrize("distance", [1.0, 1e-3])
def test_gain_over_another_policy_however_near(distance):
    reward = Saturating()
    problem, exact = problem_of(reward), enumerated(reward)
    near = REFERENCE + distance * (OTHER - REFERENCE)
    near = near - np.log(np.exp(near).sum())
    gain, error = gain_over(problem, near, REFERENCE, 4000, np.random.RandomState(0))
    expected = exact.value(near) - exact.value(REFERENCE)
    assert abs(gain - expected) < 4 * error
    assert error < 0.2 * distance


# Whether something adds over tokens


def test_values_of_tokens_are_found_where_they_explain_all_documents():
    weights = np.array([0.5, -1.0, 2.0, 0.0, 3.0])
    problem = problem_of(lambda counts: counts @ weights)
    found = find_token_values(problem.reward, problem, np.random.RandomState(0))
    assert_allclose(found, weights, atol=1e-12)
    shifted = problem_of(lambda counts: counts @ weights + 6.0)
    found = find_token_values(shifted.reward, shifted, np.random.RandomState(0))
    assert_allclose(found, weights + 6.0 / LENGTH, atol=1e-12)
    known = recognise(problem, np.random.RandomState(0), tracks_prices=True)
    assert known.is_additive
    assert known.is_tested
    expected = AdditiveObjective(REFERENCE, weights, length=LENGTH, kl_coef=KL_COEF).optimum()
    assert_allclose(known.objective.optimum(), expected, atol=1e-12)


@pytest.mark.parametrize(
    "reward",
    [
        Saturating(),
        Normalised(),
        lambda counts: np.minimum(counts @ np.arange(5.0), 11.5),
        lambda counts: 2.0 * (counts[:, [1]].toarray().ravel() == 3),
        lambda counts: counts @ np.arange(5.0) + 1e-3 * (counts[:, [4]].toarray().ravel() > 1),
    ],
    ids=["saturating", "normalised", "capped", "all the same", "almost"],
)
def test_values_of_tokens_are_not_found_where_a_document_speaks_against(reward):
    problem = problem_of(reward)
    assert find_token_values(problem.reward, problem, np.random.RandomState(0)) is None
    assert recognise(problem, np.random.RandomState(0), tracks_prices=True) is problem


def test_tokens_that_cannot_occur_are_not_tried():
    seen = []

    def reward(counts):
        seen.append(counts.tocsc()[:, [1]].nnz)
        return counts @ np.arange(5.0)

    problem = problem_of(reward, rules=BannedTokens([1], hard=True))
    recognise(problem, np.random.RandomState(0), tracks_prices=True)
    assert len(seen) > 4
    assert sum(seen) == 0


def test_a_budget_of_none_is_a_set_of_tokens_and_others_are_not():
    rules = [
        TokenBudget([1, 2], budget=0, max_rate=0.1, name="none"),
        TokenBudget([3], budget=1, max_rate=0.1, name="one"),
        TokenBudget([4], budget=0, penalty=0.7, name="priced"),
    ]
    problem = problem_of(Saturating(), rules)
    known = recognise(problem, np.random.RandomState(0), tracks_prices=True)
    assert_array_equal(known.rules[0].token_violations, [0, 1, 1, 0, 0])
    assert known.rules[0].is_tracked
    assert known.rules[1].is_learned
    assert_array_equal(known.rules[2].token_violations, [0, 0, 0, 0, 1])
    assert_allclose(known.objective.penalty, [0, 0, 0, 0, 0.7])


# Prices


def test_price_of_a_document_by_hand():
    rule = BannedTokens([0], max_rate=0.05)
    priced = PricedRule("b", rule, np.array([1.0, 0, 0, 0]), 5.4759, is_tracked=True)
    p = 1 - 0.95**0.2
    log_prob = np.log([p, *[(1 - p) / 3] * 3])
    assert_allclose(priced.reported_price(log_prob, 5), 5.4759 / (1 - p) ** 4)
    # The same step of p changes the expected violations by 5 dp, the share by 5 (1 - p)^4 dp.
    step = 1e-7
    share = (1 - (1 - p - step) ** 5) - (1 - (1 - p) ** 5)
    assert_allclose(priced.reported_price(log_prob, 5) * share, 5.4759 * 5 * step, rtol=1e-5)


def test_learned_price_by_hand():
    price = LearnedPrice(0.1)
    price.see(np.array([2.0, 0, 0, 0, 0, 1.0, 0, 0, 0, 0]))
    # A rate of 0.2, twice what is allowed; half a document of ten is added to both.
    assert_allclose(price.multiplier, 0.25 * np.log(0.25 / 0.15))
    assert_allclose(price.price, price.multiplier / 0.8)
    assert price.price < 0.25
    assert price.amount_price == 0.0
    price.see(np.full(10, 3.0))
    # None is without a violation, so the whole price lies on violations.
    assert price.price == 0.0
    assert_allclose(price.amount_price, price.multiplier / 3.0)
    again = LearnedPrice.of(price.state())
    for one in (price, again):
        one.see(np.zeros(10))
    assert price.state() == again.state()


def test_second_step_of_a_learned_price_by_hand():
    price = LearnedPrice(0.1)
    price.see(np.repeat([1.0, 0.0], [2, 8]))
    first = price.multiplier
    price.see(np.repeat([1.0, 0.0], [4, 6]))
    # The rate is the mean of both, half a document counts half, and the step shrinks by a root.
    error = np.log((0.3 + 0.025) / (0.1 + 0.025))
    assert_allclose(price.multiplier - first, 0.25 / np.sqrt(1 + 1 / 10) * error)
    # It follows by a quarter of a nat. Six documents are without a violation, of eight that should
    # be, so that a quarter lies on the 0.4 violations.
    assert_allclose(price.price, 0.75 * (first / 0.8 + 0.25))
    assert_allclose(price.amount_price, 0.25 * price.multiplier / 0.4)


def price_after(*multipliers):
    """A price for a rate of 0.1 that learned these multipliers."""
    price = LearnedPrice(0.1)
    price.see(np.zeros(10))
    return LearnedPrice.of(price.state() | {"_trail": list(multipliers)})


@pytest.mark.parametrize(
    ("before", "after", "rests"),
    [(1.0, 1.1, True), (1.0, 1.2, False), (1.2, 1.0, False), (0.0, 0.05, True), (0.0, 0.06, False)],
)
def test_a_price_rests_where_it_moved_by_a_tenth_or_by_little(before, after, rests):
    # The third and the fourth quarter of eight batches.
    trail = [9.0, 9.0, 9.0, 9.0, before - 0.01, before + 0.01, after - 0.02, after + 0.02]
    assert price_after(*trail).has_come_to_rest() is rests
    assert not price_after(after, after, after).has_come_to_rest()


def test_a_settled_price_is_the_mean_of_the_later_half():
    price = price_after(9.0, 9.0, 1.0, 3.0)
    price.settle()
    assert price.multiplier == 2.0
    assert_allclose((price.price, price.amount_price), (2.0 / 0.9, 0.0))


def test_learned_price_comes_to_rest_at_the_rate_it_has_to_keep():
    # Documents whose log odds of a violation fall by the price.
    rng = np.random.default_rng(0)
    for odds in (0.2, 3.0, 50.0):
        price = LearnedPrice(0.1)
        for _ in range(300):
            rate = odds * np.exp(-price.price) / (1 + odds * np.exp(-price.price))
            price.see((rng.random(300) < rate).astype(float))
        expected = np.log(odds / (0.1 / 0.9))
        assert_allclose(price.price, expected, rtol=0.15)
        assert price.has_come_to_rest()
        price.settle()
        assert_allclose(price.price, expected, rtol=0.08)
        before = price.multiplier
        price.settle()
        assert price.multiplier == before
