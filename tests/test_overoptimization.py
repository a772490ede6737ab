"""Gold reward along the optimisation of a proxy: where it falls, and a remedy."""

import pickle

import numpy as np
import pytest
from additive_problems import LinearCallable, linear_reward
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

from sklearn_codex import (
    ExactPolicyOptimizer,
    PPOPolicyOptimizer,
    PreferenceRewardModel,
    TokenCounter,
    UnigramLM,
)
from sklearn_codex._rollouts import sample_rollouts
from sklearn_codex.exact import AdditiveObjective, EosObjective
from sklearn_codex.overoptimization import (
    ConservativeReward,
    overoptimization_curve,
    training_curve,
)

LENGTH = 20
N_TOKENS = 200


class RepetitionCost:
    """Token rewards less a cost for each pair of equal tokens of a document; a closed form."""

    def __init__(self, weights, cost):
        self.weights, self.cost = weights, cost

    def reward(self, counts):
        counts = counts.toarray() if hasattr(counts, "toarray") else counts
        return counts @ self.weights - self.cost * (counts * (counts - 1) / 2).sum(axis=1)

    def expected_reward(self, log_prob, length):
        prob = np.exp(log_prob)
        pairs = length * (length - 1) / 2
        return length * prob @ self.weights - self.cost * pairs * prob @ prob


class Simulation:
    """A near-uniform reference, normal token rewards, and preferences labelled by any reward."""

    def __init__(self, seed, n_tokens=N_TOKENS):
        rng = np.random.RandomState(seed)
        self.prob = rng.dirichlet(np.full(n_tokens, 5.0))
        self.weights = rng.standard_normal(n_tokens)
        self.reference = UnigramLM(smoothing=0).fit(LENGTH * self.prob[np.newaxis])
        self.log_prob = self.reference.token_log_prob_

    def preferences(self, reward, n_pairs, seed):
        rng = np.random.RandomState(seed)
        a, b = (
            sample_rollouts(self.log_prob, n_pairs, rng, length=LENGTH).counts for _ in range(2)
        )
        margin = reward(a) - reward(b)
        return a - b, (rng.random_sample(n_pairs) < expit(margin)).astype(int)

    def curve(self, proxy, gold, **settings):
        return overoptimization_curve(self.reference, proxy, gold, **settings)


def fit_reward(X, y, C=0.1):
    return PreferenceRewardModel(C=C).fit(X, y)


@pytest.fixture(scope="module")
def simulation():
    return Simulation(0)


@pytest.fixture(scope="module")
def repetition(simulation):
    """A gold reward with a cost of repetition that no count model sees, and preferences by it."""
    gold = RepetitionCost(simulation.weights, cost=0.5)
    return gold, *simulation.preferences(gold.reward, 2000, seed=1)


def test_gold_rises_then_falls_where_the_true_proxy_misses_a_feature(simulation):
    gold = RepetitionCost(simulation.weights, cost=0.5)
    curve = simulation.curve(linear_reward(simulation.weights), gold)
    assert curve.peak.is_interior
    assert (np.diff(curve.proxy_reward) > 0).all()
    peak = np.argmax(curve.gold_reward)
    assert (np.diff(curve.gold_reward[: peak + 1]) > 0).all()
    assert (np.diff(curve.gold_reward[peak:]) < 0).all()
    assert curve.peak.gold_reward > curve.gold_reward[0] + 1
    assert curve.fall > 50
    assert curve.fall_se == 0


def test_gold_rises_then_falls_where_a_learned_proxy_misses_a_feature(simulation, repetition):
    gold, X, y = repetition
    rng = np.random.RandomState(0)
    samples = [rng.randint(len(y), size=len(y)) for _ in range(8)]
    curve = simulation.curve(
        fit_reward(X, y), gold, bootstrap=[fit_reward(X[rows], y[rows]) for rows in samples]
    )
    assert curve.peak.is_interior
    assert curve.peak.gold_reward > curve.gold_reward[0] + 1
    assert curve.fall > 20
    low, high = curve.bootstrap.peak_kl_interval
    assert 0 < low < high < curve.kl[-1]
    assert curve.bootstrap.peak_kl.shape == (8,)
    # Eight are too few for 2.5% at each end, so the interval has all of them.
    assert (low, high) == (curve.bootstrap.peak_kl.min(), curve.bootstrap.peak_kl.max())
    lower, upper = curve.bootstrap.gold_interval
    assert curve.bootstrap.gold_reward.shape == (8, len(curve.kl))
    known = ~np.isnan(lower)
    assert known.sum() > 40
    assert (lower[known] <= upper[known]).all()


def test_sampled_gold_agrees_with_its_closed_form(simulation, repetition):
    gold, X, y = repetition
    proxy = fit_reward(X, y)
    kl_coefs = [2.0, 0.5, 0.2, 0.1]
    exact = simulation.curve(proxy, gold, kl_coefs=kl_coefs)
    sampled = simulation.curve(proxy, gold.reward, kl_coefs=kl_coefs, random_state=0)
    error = np.abs(sampled.gold_reward - exact.gold_reward)
    assert (error < 4 * sampled.gold_reward_se).all()
    assert_allclose(sampled.covariance, exact.covariance, rtol=0.2, atol=0.5)
    assert_array_equal(sampled.kl, exact.kl)


@pytest.mark.parametrize("learned", [False, True])
def test_independent_noise_alone_does_not_make_gold_fall(learned):
    """In expectation: the mean over simulations never falls by more than its standard error."""
    curves = []
    for seed in range(30):
        simulation = Simulation(seed, n_tokens=60)
        gold = linear_reward(simulation.weights)
        if learned:
            reward = LinearCallable(simulation.weights)
            proxy = fit_reward(*simulation.preferences(reward, 300, seed))
        else:
            noise = np.random.RandomState(1000 + seed).standard_normal(60)
            proxy = linear_reward(simulation.weights + noise)
        curve = simulation.curve(proxy, gold)
        # The proxy's own scale, so that points of different simulations are alike.
        curves.append(curve.gold_reward)
    gold = np.array(curves)  # (n_simulations, n_points)
    assert gold[:, -1].mean() > gold[:, 0].mean() + 10
    fall = gold[:, :-1] - gold[:, [-1]]
    se = fall.std(axis=0, ddof=1) / np.sqrt(len(fall))
    assert (fall.mean(axis=0) <= 3 * se).all()


def blind_annotators(simulation, n_annotators=8):
    """Harmful tokens, each of which half of the annotators take for the best there is."""
    rng = np.random.RandomState(7)
    harmful = np.arange(len(simulation.weights)) % 10 == 0
    gold = np.where(harmful, -3.0, simulation.weights)
    seen = [
        np.where(harmful & (rng.random_sample(len(gold)) < 0.5), 6.0, gold)
        for _ in range(n_annotators)
    ]
    return gold, seen


@pytest.fixture(scope="module")
def ensemble():
    simulation = Simulation(3, n_tokens=60)
    gold, seen = blind_annotators(simulation)
    models = [
        fit_reward(*simulation.preferences(LinearCallable(weights), 1500, seed), C=1.0)
        for seed, weights in enumerate(seen)
    ]
    return simulation, linear_reward(gold), models


def test_a_conservative_ensemble_reduces_the_fall(ensemble):
    simulation, gold, models = ensemble
    mean = simulation.curve(ConservativeReward(models, k=0.0), gold)
    careful = simulation.curve(ConservativeReward(models, k=1.0, by="token"), gold)
    single = simulation.curve(models[0], gold)
    assert single.fall > 50
    assert mean.fall > 50
    assert careful.fall < 0.1 * mean.fall
    assert careful.peak.gold_reward > mean.peak.gold_reward


def test_the_conservative_reward_of_documents_reduces_the_fall_of_a_run(ensemble):
    simulation, gold, models = ensemble
    policy, X = FrozenEstimator(simulation.reference), np.full((1, 60), LENGTH / 60)
    curves = [
        training_curve(
            PPOPolicyOptimizer(
                policy, ConservativeReward(models, k=k), gold_reward=gold, kl_coef=0.2,
                credit="sequence", n_rollouts=512, max_iter=80, tol=0, random_state=0,
            ).fit(X)
        )
        for k in (0.0, 2.0)
    ]  # fmt: skip
    plain, careful = curves
    assert plain.fall > 5
    assert careful.fall < 0.5 * plain.fall
    assert careful.gold_reward[-1] > plain.gold_reward[-1] + 5


def additive_pair(seed=0):
    rng = np.random.RandomState(seed)
    simulation = Simulation(seed, n_tokens=30)
    gold = simulation.weights * 0.3 + rng.standard_normal(30)
    return simulation, linear_reward(simulation.weights), linear_reward(gold)


@pytest.mark.parametrize("seed", [3, 4, 6, 9, 12])  # where gold falls by more than 3
def test_gold_peaks_where_its_covariance_with_the_proxy_is_zero(seed):
    simulation, proxy, gold = additive_pair(seed)
    curve = simulation.curve(proxy, gold)
    assert curve.peak.is_interior
    problem = AdditiveObjective(
        simulation.log_prob, proxy.coef_, length=LENGTH, kl_coef=curve.peak.kl_coef
    )
    best = problem.optimum()
    assert abs(problem.covariance(best, proxy.coef_, gold.coef_)) < 1e-6
    fine = simulation.curve(proxy, gold, kl_coefs=curve.peak.kl_coef * np.geomspace(0.99, 1.01, 41))
    assert fine.gold_reward.max() <= curve.peak.gold_reward + 1e-9
    assert_allclose(problem.kl(best), curve.peak.kl)


def test_covariance_is_the_slope_of_gold():
    simulation, proxy, gold = additive_pair()
    b, step = np.array([2.0, 0.7, 0.2]), 1e-5
    curve = simulation.curve(proxy, gold, kl_coefs=b)
    ahead, behind = (
        simulation.curve(proxy, gold, kl_coefs=1 / (1 / b + sign * step)) for sign in (1, -1)
    )
    slope = (ahead.gold_reward - behind.gold_reward) / (2 * step)
    assert_allclose(curve.covariance, slope, rtol=1e-5, atol=1e-6)
    closed = RepetitionCost(gold.coef_, cost=0.0)
    assert_allclose(
        simulation.curve(proxy, closed, kl_coefs=b).covariance, slope, rtol=1e-4, atol=1e-5
    )


def test_covariance_where_documents_end_by_themselves():
    rng = np.random.RandomState(0)
    prob = np.array([0.4, 0.25, 0.15, 0.2])
    proxy, gold = rng.standard_normal((2, 4)) * 0.3
    step = 1e-5
    golds = []
    for inverse in (0.5 - step, 0.5, 0.5 + step):
        objective = EosObjective(np.log(prob), proxy, eos=3, kl_coef=1.0 / inverse)
        best = objective.optimum()
        golds.append(objective.expected_length(best) * np.exp(best) @ gold)
        if inverse == 0.5:
            covariance = objective.covariance(best, proxy, gold)
            draws = sample_rollouts(best, 200_000, rng, length=10_000, eos=3)
    assert_allclose(covariance, (golds[2] - golds[0]) / (2 * step), rtol=1e-5)
    sampled = np.cov(draws.sum_over_tokens(proxy), draws.sum_over_tokens(gold))[0, 1]
    assert_allclose(covariance, sampled, rtol=0.05)


def test_text_with_an_end_of_sequence_token():
    texts = ["good bad fine", "fine", "bad bad good fine"]
    counter = TokenCounter(eos_token="<eos>").fit(texts)
    reference = UnigramLM(vectorizer=FrozenEstimator(counter)).fit(texts)
    weights = np.linspace(-0.5, 0.5, len(counter.get_feature_names_out()))
    proxy = linear_reward(weights)
    curve = overoptimization_curve(
        reference, proxy, lambda documents: [len(set(d.split())) for d in documents],
        n_samples=200, random_state=0,
    )  # fmt: skip
    assert np.isfinite(curve.gold_reward).all()
    assert (curve.gold_reward_se > 0).all()
    cut = overoptimization_curve(reference, proxy, proxy, max_length=10, kl_coefs=[1.0, 0.5])
    assert np.isnan(cut.covariance).all()
    assert_allclose(cut.gold_reward, cut.proxy_reward)
    with pytest.raises(ValueError, match="takes response_length where the vocabulary has no end"):
        overoptimization_curve(reference, proxy, proxy, response_length=3)


def test_the_points_are_those_of_exact_fits():
    simulation, proxy, gold = additive_pair()
    curve = simulation.curve(proxy, gold, kl_coefs=[0.5], response_length=7)
    fitted = ExactPolicyOptimizer(
        FrozenEstimator(simulation.reference), proxy, kl_coef=0.5, response_length=7
    ).fit(np.ones((1, 30)))
    assert_allclose(curve.kl, fitted.kl_)
    assert_allclose(curve.proxy_reward, fitted.expected_reward_)
    assert_allclose(curve.gold_reward, 7 * np.exp(fitted.token_log_prob_) @ gold.coef_)


def test_same_seed_same_bits():
    simulation, proxy, gold = additive_pair()
    one, other = (
        simulation.curve(
            proxy, LinearCallable(gold.coef_), kl_coefs=[1.0, 0.3], n_samples=50, random_state=4
        )
        for _ in range(2)
    )
    assert_array_equal(one.gold_reward, other.gold_reward)
    assert (one.gold_reward_se > 0).all()


def test_standard_error_of_the_fall_is_that_of_both_its_ends():
    simulation, proxy, gold = additive_pair(12)
    curve = simulation.curve(
        proxy, LinearCallable(gold.coef_), n_samples=50, kl_coefs=[20.0, 2.0, 0.5], random_state=0
    )
    best = int(np.argmax(curve.gold_reward))
    assert best == 1
    assert curve.fall == curve.gold_reward[best] - curve.gold_reward[-1]
    ends = curve.gold_reward_se[[best, -1]]
    assert_allclose(curve.fall_se, np.sqrt((ends**2).sum()))
    assert ends.min() > 0.5 * ends.max()


def test_the_middle_three_fifths_of_four_refits_reach_from_least_to_greatest():
    # Of four, each of the five parts around and between them holds a fifth.
    simulation, proxy, gold = additive_pair(12)
    others = [linear_reward(share * proxy.coef_ + gold.coef_) for share in (0.0, 1.0, 2.0, 4.0)]
    curve = simulation.curve(
        proxy, gold, bootstrap=others, confidence=0.6, kl_coefs=[20.0, 5.0, 2.0]
    )
    golds, peaks = curve.bootstrap.gold_reward, curve.bootstrap.peak_kl
    known = ~np.isnan(golds).any(axis=0)
    assert known.any()
    ends = np.array([golds.min(axis=0), golds.max(axis=0)])
    assert_allclose(curve.bootstrap.gold_interval[:, known], ends[:, known])
    assert np.ptp(peaks) > 0
    assert_allclose(curve.bootstrap.peak_kl_interval, [peaks.min(), peaks.max()])


def test_a_gold_reward_that_never_falls_has_no_peak_inside():
    simulation, proxy, _ = additive_pair()
    indifferent = linear_reward(np.zeros(30))
    curve = simulation.curve(proxy, indifferent)
    assert curve.fall == 0
    assert not curve.peak.is_interior
    assert simulation.curve(proxy, linear_reward(-proxy.coef_)).peak.is_interior


def test_training_curve_reads_the_history():
    simulation, proxy, gold = additive_pair()
    fitted = PPOPolicyOptimizer(
        FrozenEstimator(simulation.reference), proxy, gold_reward=gold, kl_coef=0.1,
        max_iter=30, tol=0, random_state=0,
    ).fit(np.full((1, 30), LENGTH / 30))  # fmt: skip
    curve = training_curve(FrozenEstimator(fitted))
    assert curve.kl.shape == (31,)
    assert_allclose(curve.kl[-1], fitted.kl_)
    assert_allclose(curve.proxy_reward[-1], fitted.expected_reward_)
    assert curve.peak.gold_reward == curve.gold_reward.max()
    assert_allclose(curve.fall, curve.gold_reward.max() - curve.gold_reward[-1])
    with pytest.raises(ValueError, match="whose history_ has 'gold/score', got a PPOPolicy"):
        training_curve(PPOPolicyOptimizer(random_state=0, max_iter=2, tol=0).fit(np.eye(2), [0, 1]))


def test_a_proxy_that_does_not_add_is_refused_with_a_remedy():
    simulation, proxy, gold = additive_pair()
    with pytest.raises(ValueError, match=r"needs a proxy that adds over tokens.*training_curve"):
        simulation.curve(LinearCallable(proxy.coef_), gold)


@pytest.mark.parametrize("wrong", [{"confidence": 1.0}, {"n_samples": 1}, {"response_length": 0}])
def test_parameters_are_checked(wrong):
    simulation, proxy, gold = additive_pair()
    with pytest.raises(ValueError, match=f"The '{next(iter(wrong))}' parameter of overoptim"):
        simulation.curve(proxy, gold, **wrong)


@pytest.fixture
def two_models():
    X = np.array([[1.0, -1.0, 0.0], [0.0, 1.0, -1.0], [-1.0, 0.0, 1.0], [1.0, 0.0, 1.0]])
    return [PreferenceRewardModel(C=C).fit(X, [1, 0, 1, 0]) for C in (0.1, 5.0)]


def test_conservative_rewards_by_their_formulas(two_models):
    X = np.random.RandomState(0).poisson(2.0, (10, 3)) + 0.0
    rewards = np.array([model.reward(X) for model in two_models])
    by_document = ConservativeReward(two_models, k=1.5).reward(X)
    assert_allclose(by_document, rewards.mean(axis=0) - 1.5 * rewards.std(axis=0, ddof=1))
    careful = ConservativeReward(two_models, k=1.5, by="token")
    weights = np.array([model.coef_[0] for model in two_models])
    assert_allclose(careful.coef_[0], weights.mean(axis=0) - 1.5 * weights.std(axis=0, ddof=1))
    assert_allclose(careful.reward(X), X @ careful.coef_[0])
    assert (careful.reward(X) <= by_document + 1e-12).all()
    loaded = pickle.loads(pickle.dumps(careful))
    assert_array_equal(loaded.reward(X), careful.reward(X))


def test_conservative_reward_adds_where_it_says_so(two_models):
    assert hasattr(ConservativeReward(two_models, k=0.0), "coef_")
    assert not hasattr(ConservativeReward(two_models, k=1.0), "coef_")
    reference = FrozenEstimator(UnigramLM().fit(np.full((1, 3), 4.0)))
    for settings, adds in (({"k": 0.0}, True), ({"by": "token"}, True), ({}, False)):
        reward = ConservativeReward(two_models, **settings)
        fit = PPOPolicyOptimizer(reference, reward, random_state=0, max_iter=3, tol=0)
        assert (fit.fit(np.full((1, 3), 2.0)).token_reward_ is not None) == adds


def test_conservative_reward_of_models_with_other_vocabularies_takes_text():
    pairs = [("good", "bad"), ("bad", "good"), ("fine good", "bad"), ("bad", "fine")]
    models = [
        PreferenceRewardModel().fit(pairs[:2], [1, 0]),
        PreferenceRewardModel().fit(pairs, [1, 0, 1, 0]),
    ]
    reward = ConservativeReward(models)
    assert reward.n_features_in_ is None
    assert reward.vectorizer_ is None
    texts = ["good fine", "bad"]
    rewards = np.array([model.reward(texts) for model in models])
    assert_allclose(reward.reward(texts), rewards.mean(axis=0) - rewards.std(axis=0, ddof=1))
    fitted = PPOPolicyOptimizer(reward_model=reward, random_state=0, max_iter=2, tol=0).fit(texts)
    assert fitted.token_reward_ is None


def test_conservative_reward_of_plain_linear_models():
    models = [linear_reward([1.0, 0.0]), linear_reward([3.0, 1.0])]
    for model in models:
        model.reward = model.predict
    X = np.eye(2)
    careful = ConservativeReward(models, by="token")
    assert_allclose(careful.reward(X), [2 - np.sqrt(2), 0.5 - np.sqrt(0.5)])


def test_conservative_reward_survives_clone(two_models):
    reward = ConservativeReward([FrozenEstimator(model) for model in two_models], k=2.0)
    X = np.eye(3)
    assert_array_equal(clone(reward).reward(X), reward.reward(X))


@pytest.mark.parametrize("wrong", [{"k": -1.0}, {"by": "word"}])
def test_conservative_reward_errors(two_models, wrong):
    with pytest.raises(ValueError, match="needs at least two models, k >= 0 and by="):
        ConservativeReward(two_models, **wrong).reward(np.eye(3))
    with pytest.raises(ValueError, match=r"got 1 model\(s\)"):
        ConservativeReward(two_models[:1]).reward(np.eye(3))
