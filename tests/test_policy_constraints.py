"""Rules that must hold: outright bans, and chance constraints whose price is found or learned."""

import numpy as np
import pytest
from additive_problems import LENGTH, LinearCallable, ZipfProblem, total_variation
from numpy.testing import assert_allclose, assert_array_equal
from policy_problems import TEXTS, fitted, optimizer
from scipy.stats import binom
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator

from sklearn_codex import ExactPolicyOptimizer, PPOPolicyOptimizer, UnigramLM
from sklearn_codex._policy.problem import build_problem, unigram_objective
from sklearn_codex.exact import AdditiveObjective, chance_constrained_optimum
from sklearn_codex.kl_control import AdaptiveKLController
from sklearn_codex.rules import BannedTokens, Pattern, Rule, TokenBudget

BANNED = [1, 2, 7]


def rate_of_any(log_prob, tokens, length=LENGTH):
    return 1 - (1 - np.exp(log_prob[tokens]).sum()) ** length


def recording_reward(weights, batches):
    """A reward that keeps the documents it is given."""

    class Recording(LinearCallable):
        def __call__(self, counts):
            batches.append(counts)
            return super().__call__(counts)

    return Recording(weights)


# Outright bans


@pytest.mark.parametrize("settings", [{}, {"credit": "sequence"}, {"optimizer": "adam"}], ids=str)
def test_a_banned_token_is_never_drawn_on_any_path(settings):
    problem = ZipfProblem(30, 0)
    problem.weights[BANNED] = 5.0
    batches = []
    reward = recording_reward(problem.weights, batches)
    rules = BannedTokens(BANNED, hard=True)
    model = fitted(problem, rules=rules, max_iter=5, tol=0)
    learned = fitted(problem, rules=rules, max_iter=5, tol=0, reward_model=reward)
    for policy in (model, learned):
        assert np.all(np.isneginf(policy.predict_log_proba(problem.X)[0, BANNED]))
        assert policy.sample(5000, random_state=0).tocsc()[:, BANNED].nnz == 0
        assert policy.predict(problem.X)[0] not in BANNED
        assert policy.rule_rates_["banned_tokens"] == 0
        assert all(record["rules/banned_tokens/rate"] == 0 for record in policy.history_)
        for log_prob in (policy.token_log_prob_, policy.reference_log_prob_):
            assert_allclose(np.exp(log_prob).sum(), 1.0)
        banned_document = np.eye(30)[BANNED]
        assert np.all(np.isneginf(policy.score_samples(banned_document)))
    assert batches
    assert sum(counts.tocsc()[:, BANNED].nnz for counts in batches) == 0


@pytest.mark.parametrize("credit", ["token", "sequence"])
def test_a_ban_reaches_the_constrained_optimum_and_is_priced_in_nats(credit):
    problem = ZipfProblem(50, 0)
    rules = BannedTokens(BANNED, hard=True)
    model = fitted(problem, rules=rules, credit=credit, tol=0, max_iter=200)
    banned = np.isin(np.arange(50), BANNED)
    exponent = np.where(banned, -np.inf, problem.reference_log_prob + problem.weights)
    best = exponent - np.log(np.exp(exponent).sum())
    assert_allclose(np.exp(model.optimal_log_prob_), np.exp(best), atol=1e-14)
    assert total_variation(model.token_log_prob_, best) < 1e-6
    # Of the whole KL, -log P(safe) a token is what the ban alone costs.
    safe_prob = np.exp(problem.reference_log_prob[~banned]).sum()
    safe = problem.reference_log_prob - np.log(safe_prob)
    prob = np.exp(model.token_log_prob_[~banned])
    beyond = LENGTH * prob @ (model.token_log_prob_ - safe)[~banned]
    assert_allclose(model.kl_, beyond - LENGTH * np.log(safe_prob), rtol=1e-10)
    assert model.penalty_ == 0
    still = fitted(problem, rules=rules, reward_coef=0.0, tol=0, max_iter=3)
    assert_allclose(still.kl_, -LENGTH * np.log(safe_prob), rtol=1e-10)
    assert_allclose(still.history_[0]["objective/kl_exact"], still.kl_, rtol=1e-10)
    assert model.objective_ < fitted(problem, credit=credit).objective_


def test_bans_of_words():
    model = PPOPolicyOptimizer(
        reward_model=lambda texts: [text.split().count("cat") for text in texts],
        rules=[BannedTokens(["cat", "unheard"], hard=True), Pattern("dog", penalty=0.5)],
        random_state=0,
    ).fit(TEXTS)
    assert "cat" not in " ".join(model.sample(2000, random_state=0)).split()
    assert model.rule_rates_["banned_tokens"] == 0
    assert 0 < model.rule_rates_["pattern"] < 1


def test_bans_that_cannot_be_kept_are_refused():
    problem = ZipfProblem(10, 0)

    class Hard(TokenBudget):
        hard = True

    with pytest.raises(ValueError, match=r"hard rule 'token_budget' \(Hard\).*no policy of indep"):
        fitted(problem, rules=Hard([1]))
    with pytest.raises(ValueError, match=r"no policy keeps the hard rules \['banned_tokens'\], "):
        fitted(problem, rules=BannedTokens(range(10), hard=True))
    with pytest.raises(ValueError, match=r"demonstrations that use tokens the hard rule 'banned"):
        fitted(problem, rules=BannedTokens([0], hard=True), sft_coef=1.0)
    with pytest.raises(ValueError, match=r"hard=True and max_rate=0.1.*never violated"):
        fitted(problem, rules=BannedTokens([0], hard=True, max_rate=0.1))


# Chance constraints that add over tokens


@pytest.mark.parametrize("max_rate", [1e-3, 0.05, 0.3])
@pytest.mark.parametrize("kl_coef", [0.7, 2.0])
def test_an_additive_chance_constraint_has_the_price_of_the_exact_optimum(max_rate, kl_coef):
    problem = ZipfProblem(50, 0)
    problem.weights[BANNED] = 1.0
    rules = BannedTokens(BANNED, max_rate=max_rate)
    # With this seed the rarest banned token, of which six are drawn in all, is drawn in time.
    model = fitted(problem, 1, rules=rules, kl_coef=kl_coef, tol=0, max_iter=150)
    exact = chance_constrained_optimum(problem.objective(kl_coef=kl_coef), BANNED, max_rate)
    assert total_variation(model.optimal_log_prob_, exact.log_prob) < 1e-9
    assert total_variation(model.token_log_prob_, exact.log_prob) < 1e-6
    rate = rate_of_any(model.optimal_log_prob_, BANNED)
    assert max_rate * (1 - 1e-6) < rate <= max_rate
    price = model.rule_prices_["banned_tokens"]
    assert_allclose(price, exact.multipliers[0] / kl_coef, rtol=1e-6)
    assert_allclose(model.history_[-1]["rules/banned_tokens/rate"], rate, rtol=1e-3)
    assert model.history_[-1]["rules/banned_tokens/price"] == price


def test_a_chance_constraint_that_is_kept_anyway_costs_nothing():
    problem = ZipfProblem(50, 0)
    free = fitted(problem)
    held = fitted(problem, rules=BannedTokens([1], max_rate=0.99))
    assert held.rule_prices_ == {"banned_tokens": 0.0}
    assert_array_equal(held.token_log_prob_, free.token_log_prob_)


def test_several_chance_constraints_hold_at_the_best_policy_that_keeps_them():
    problem = ZipfProblem(30, 1)
    first, second = [1, 2, 3], [3, 4, 5, 6]
    rules = [
        BannedTokens(first, max_rate=0.05, name="first"),
        BannedTokens(second, max_rate=0.2, name="second"),
        BannedTokens([9], penalty=0.7, name="priced"),
    ]
    model = fitted(problem, rules=rules)
    best, objective = model.optimal_log_prob_, problem.objective(penalty=0.7 * np.eye(30)[9])
    rates = [rate_of_any(best, tokens) for tokens in (first, second)]
    assert_allclose(rates, [0.05, 0.2], rtol=1e-6)
    assert rates[0] <= 0.05
    assert rates[1] <= 0.2
    assert model.rule_prices_["priced"] == 0.7
    # Stationarity: log-odds to the unconstrained tilt fall by the prices of what a token violates.
    shift = best - objective.optimum()
    shift -= shift[0]
    prices = [model.rule_prices_[name] for name in ("first", "second")]
    expected = -np.array([[1, 0], [1, 1], [0, 1], [0, 0]]) @ prices
    assert_allclose(shift[[1, 3, 4, 20]], expected, rtol=1e-7, atol=1e-12)
    # No policy nearby that keeps both rates is better.
    rng = np.random.default_rng(0)
    for _ in range(200):
        other = best + 0.02 * rng.standard_normal(30)
        other -= np.log(np.exp(other).sum())
        if rate_of_any(other, first) <= 0.05 and rate_of_any(other, second) <= 0.2:
            assert objective.value(other) <= objective.value(best) + 1e-9


def best_within_a_rate(kl_coef):
    problem = ZipfProblem(30, 1)
    rules = [BannedTokens([int(np.argmax(problem.weights))], max_rate=0.05)]
    best = ExactPolicyOptimizer(problem.policy, problem.reward_model, rules=rules, kl_coef=kl_coef)
    return best.fit(problem.X)


@pytest.mark.parametrize("kl_coef", [1.0, 1e-4, 1e-8, 1e-10])
def test_vast_prices_keep_rates_and_do_not_ban(kl_coef):
    model = best_within_a_rate(kl_coef)
    rate = model.rule_rates_["banned_tokens"]
    assert rate <= 0.05
    assert_allclose(rate, 0.05, rtol=1e-3)


def test_where_kl_coef_is_below_the_rounding_of_rewards_no_price_is_found():
    with pytest.raises(ValueError, match=r"finds no price that keeps a budget.*Raise kl_coef"):
        best_within_a_rate(1e-20)


def test_a_chance_constraint_follows_a_moving_kl_coef():
    problem = ZipfProblem(50, 0)
    problem.weights[BANNED] = 2.0
    model = fitted(
        problem,
        rules=BannedTokens(BANNED, max_rate=0.1),
        kl_controller=AdaptiveKLController(target=4.0, horizon=2000),
        tol=0,
        max_iter=250,
    )
    assert_allclose(model.kl_, 4.0, rtol=1e-3)
    assert_allclose(rate_of_any(model.token_log_prob_, BANNED), 0.1, rtol=1e-3)
    assert model.history_[0]["rules/banned_tokens/price"] != model.rule_prices_["banned_tokens"]
    assert_allclose(model.evaluate().objective, model.objective_)


def test_a_chance_constraint_that_no_policy_keeps_is_refused():
    problem = ZipfProblem(10, 0)
    with pytest.raises(ValueError, match=r"no policy keeps rule 'banned_tokens' \(max_rate=0.1\)"):
        fitted(problem, rules=BannedTokens(range(10), max_rate=0.1))
    # Its price would be learned, and would rise for ever.
    problem.reward_model = LinearCallable(problem.weights)
    with pytest.raises(ValueError, match=r"no policy keeps rule 'banned_tokens' \(max_rate=0.1\)"):
        fitted(problem, rules=BannedTokens(range(10), max_rate=0.1))


def test_weights_of_violations_do_not_matter_to_a_chance_constraint():
    class Weighted(Rule):
        penalty, name = 0.0, "banned_tokens"

        def __init__(self, factor, max_rate=0.05):
            self.factor = factor
            self.max_rate = max_rate

        def token_violations(self, names, n_columns):
            return self.factor * np.isin(np.arange(n_columns), BANNED) * np.arange(n_columns)

    problem = ZipfProblem(50, 0)
    plain = fitted(problem, rules=BannedTokens(BANNED, max_rate=0.05))
    weighted = fitted(problem, rules=Weighted(3.0))
    assert_array_equal(weighted.token_log_prob_, plain.token_log_prob_)


# Chance constraints whose price is learned


@pytest.mark.parametrize("max_rate", [0.1, 0.3])
def test_the_learned_price_of_a_budget_keeps_its_rate(max_rate):
    for seed in range(2):
        problem = ZipfProblem(50, seed)
        frequent = np.argsort(problem.objective().optimum())[-3:]
        rules = TokenBudget(frequent, budget=4, max_rate=max_rate)
        model = fitted(problem, seed, rules=rules, tol=0, max_iter=200)
        p = np.exp(model.token_log_prob_[frequent]).sum()
        free = np.exp(problem.objective().optimum()[frequent]).sum()
        assert binom(LENGTH, free).sf(4) > 2 * max_rate
        # The rate is steered by batches of 256 documents.
        assert binom(LENGTH, p).sf(4) < max_rate + 3 * np.sqrt(max_rate * (1 - max_rate) / 256)
        assert binom(LENGTH, p).sf(4) > 0.5 * max_rate
        prices = [record["rules/token_budget/price"] for record in model.history_]
        assert prices[0] == 0
        assert min(prices) >= 0
        assert model.rule_prices_ == {"token_budget": prices[-1]}
        assert type(prices[-1]) is float


def test_a_learned_constraint_that_is_not_kept_is_told():
    problem, rules = ZipfProblem(10, 0), TokenBudget(range(10), max_rate=0.1)
    message = r"100.0% of the documents.*'token_budget', whose max_rate is 0.1.*Increase max_iter"
    with pytest.warns(ConvergenceWarning, match=message):
        fitted(problem, rules=rules, max_iter=10)
    fitted(problem, rules=rules, max_iter=10, tol=0)


def test_the_learned_price_of_a_kept_rule_stays_zero():
    problem = ZipfProblem(50, 0)
    model = fitted(problem, rules=TokenBudget([1], budget=15, max_rate=0.5), tol=0, max_iter=20)
    assert model.rule_prices_ == {"token_budget": 0.0}
    assert model.penalty_ == 0


def test_the_learned_price_of_a_pattern_and_of_a_callable_reward_with_banned_words():
    def reward(texts):
        return [2.0 * ("cat" in text) for text in texts]

    for rule in (Pattern(r"\bcat\b", max_rate=0.2), BannedTokens(["cat"], max_rate=0.2)):
        model = PPOPolicyOptimizer(
            reward_model=reward, rules=[("no cats", rule)], random_state=0, tol=0, max_iter=150
        ).fit(TEXTS)
        p = np.exp(model.token_log_prob_[model.vectorizer_.vocabulary_["cat"]])
        rate = 1 - (1 - p) ** model.response_length_
        assert 0.1 < rate < 0.2 + 3 * np.sqrt(0.16 / 256)
        assert model.rule_prices_["no cats"] > 0
        assert abs(model.rule_rates_["no cats"] - rate) < 4 * 0.5 / np.sqrt(4096)
        assert model.history_[-1]["rules/no cats/rate"] < model.history_[5]["rules/no cats/rate"]


@pytest.mark.slow
@pytest.mark.parametrize("max_rate", [0.05, 0.2])
def test_the_learned_price_is_near_the_exact_one(max_rate):
    for seed in range(3):
        problem = ZipfProblem(50, 1)
        exact = chance_constrained_optimum(problem.objective(), BANNED, max_rate)
        problem.reward_model = LinearCallable(problem.weights)
        rules = BannedTokens(BANNED, max_rate=max_rate)
        model = fitted(problem, seed, rules=rules, tol=0, max_iter=200)
        # A price of documents, not of tokens: d(rate of documents) / d(expected violations).
        p = 1 - (1 - max_rate) ** (1 / LENGTH)
        expected = exact.multipliers[0] / (1 - p) ** (LENGTH - 1)
        prices = [record["rules/banned_tokens/price"] for record in model.history_]
        assert_allclose(prices[-1], expected, rtol=0.15)
        assert_allclose(np.mean(prices[100:]), expected, rtol=0.05)


# What rules of users return


class Returns(Rule):
    def __init__(self, returned, token_returned=None, penalty=1.0, name="mine"):
        self.returned = returned
        self.token_returned = token_returned
        self.penalty = penalty
        self.name = name

    def violations(self, rollouts):
        return self.returned(rollouts)

    def token_violations(self, names, n_columns):
        return None if self.token_returned is None else self.token_returned(n_columns)


@pytest.mark.parametrize(
    ("returned", "error", "message"),
    [
        (
            lambda rollouts: np.zeros(3),
            ValueError,
            r"Rule 'mine' should return one finite .* \(3,\)",
        ),
        (lambda rollouts: -np.ones(len(rollouts)), ValueError, r"penalty >= 0 .* with -1\.0"),
        (
            lambda rollouts: np.full(len(rollouts), np.nan),
            ValueError,
            r"each of 256 doc.* with nan",
        ),
        (
            lambda rollouts: ["a"] * len(rollouts),
            TypeError,
            r"Rule 'mine' should return one number",
        ),
    ],
)
def test_violations_of_users_are_checked(returned, error, message):
    problem = ZipfProblem(10, 0)
    with pytest.raises(error, match=message):
        fitted(problem, rules=Returns(returned))


def test_token_violations_of_users_are_checked():
    problem = ZipfProblem(10, 0)
    for returned, message in (
        (lambda n: np.zeros(n - 1), r"'mine' \(token_violations\).*each of 10 tokens.*\(9,\)"),
        (lambda n: np.full(n, np.inf), r"token_violations.* with inf"),
        (lambda n: -np.ones(n), r"token_violations.* with -1\.0"),
    ):
        with pytest.raises(ValueError, match=message):
            fitted(problem, rules=Returns(None, returned))


def test_a_pattern_that_is_none_names_its_rule():
    model = PPOPolicyOptimizer(reward_model=lambda texts: np.zeros(len(texts)), random_state=0)
    with pytest.raises(ValueError, match=r"Rule 'bad' has the pattern '\(', which is no regular"):
        model.set_params(rules=Pattern("(", name="bad")).fit(TEXTS)


def test_prices_are_found_for_demonstrations_too():
    reference, weights = np.log([0.4, 0.3, 0.2, 0.1]), np.array([0.0, 1.0, 2.0, 0.5])
    frequencies = np.array([0.4, 0.4, 0.1, 0.1])
    policy = UnigramLM(smoothing=0).fit(np.exp(reference)[np.newaxis])
    problem = build_problem(
        unigram_objective(policy.token_log_prob_, length=3, sft_coef=1.0, frequencies=frequencies),
        lambda counts: counts @ weights,
        np.random.RandomState(0),
        names=None,
        rules=BannedTokens([2], max_rate=0.1),
        normalize_reward=False,
        subject="S",
    )
    # A function does not tell that it adds, so the price is learned.
    assert problem.rules[0].is_learned
    model = optimizer(
        ZipfProblem(10, 0), rules=BannedTokens([2], max_rate=0.01), sft_coef=2.0, random_state=0
    )
    X = np.random.RandomState(0).poisson(1.0, size=(9, 10)) + 1.0
    model.fit(X)
    objective = AdditiveObjective(
        model.reference_log_prob_,
        model.token_reward_,
        length=model.response_length_,
        sft_coef=2.0,
        frequencies=model.frequencies_,
    )
    exact = chance_constrained_optimum(objective, [2], 0.01)
    assert total_variation(model.optimal_log_prob_, exact.log_prob) < 1e-8


def test_a_frozen_policy_with_bans_is_a_reference_like_any_other():
    problem = ZipfProblem(20, 0)
    first = fitted(problem, rules=BannedTokens([1], hard=True))
    second = fitted(problem, policy=FrozenEstimator(first))
    assert np.isneginf(second.token_log_prob_[1])
    assert second.kl_ > 0
