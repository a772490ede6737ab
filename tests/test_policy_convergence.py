"""PPO against the optimum: exact where the reward adds over tokens, else by enumeration."""

import numpy as np
import pytest
from additive_problems import LinearCallable, ZipfProblem, linear_reward, total_variation
from numpy.testing import assert_allclose, assert_array_equal
from policy_problems import (
    Enumeration,
    Normalised,
    Saturating,
    fitted,
    optimizer,
    small_problem,
)
from sklearn.frozen import FrozenEstimator

from sklearn_codex import PPOPolicyOptimizer, UnigramLM
from sklearn_codex.exact import AdditiveObjective


class Gaps:
    """A callback that notes the documents drawn and the exact gap after each iteration."""

    def __init__(self, objective):
        self.objective, self.rows = objective, []

    def setup(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        if fitted_estimator is not None:
            drawn = fitted_estimator.history_[-1]["episode"]
            self.rows.append((drawn, self.objective.gap(fitted_estimator.token_log_prob_)))

    def teardown(self, estimator, context):
        pass

    def documents_to(self, share, whole):
        return next(drawn for drawn, gap in self.rows if gap <= (1 - share) * whole)


@pytest.mark.parametrize(("n_columns", "distance"), [(50, 1e-3), (1000, 2e-3)])
def test_default_settings_come_to_rest_at_the_optimum(n_columns, distance):
    for seed in range(5):
        problem = ZipfProblem(n_columns, seed)
        model = fitted(problem, seed)
        assert problem.share_of_optimum(model) > 0.9995
        assert total_variation(model.token_log_prob_, model.optimal_log_prob_) < distance


@pytest.mark.parametrize("n_columns", [50, 1000])
@pytest.mark.parametrize("kind", ["regressor", "callable"])
def test_default_settings_reach_the_optimum(n_columns, kind):
    shares = []
    for seed in range(10):
        problem = ZipfProblem(n_columns, seed)
        if kind == "callable":
            problem.reward_model = LinearCallable(problem.weights)
        shares.append(problem.share_of_optimum(fitted(problem, seed)))
    assert np.sum(np.array(shares) > 0.99) >= 9
    assert np.sum(np.array(shares) > 0.998) >= 9
    assert max(shares) <= 1


def documents_to(model, share, whole):
    """Return the documents drawn when the policy first had this share of the optimum."""
    return next(
        record["episode"]
        for record in model.history_
        if record["objective/optimality_gap"] <= (1 - share) * whole
    )


# Documents drawn are those of benchmarks/policy_convergence.py.
@pytest.mark.slow
@pytest.mark.parametrize("kl_coef", [0.1, 0.3, 1.0, 3.0])
@pytest.mark.parametrize("credit", ["token", "sequence"])
@pytest.mark.parametrize("n_columns", [10, 100, 1000, 10_000])
def test_convergence_over_kl_coef_and_credit(kl_coef, credit, n_columns):
    for seed in range(10 if n_columns < 10_000 else 2):
        problem = ZipfProblem(n_columns, seed)
        model = fitted(problem, seed, kl_coef=kl_coef, credit=credit)
        objective = problem.objective(kl_coef=kl_coef)
        # The rule it stops by is no looser, and the gap it stops by is exact.
        assert problem.share_of_optimum(model) >= 0.999
        assert_allclose(model.optimality_gap_, objective.gap(model.token_log_prob_), rtol=1e-9)
        assert_allclose(model.objective_, objective.value(model.token_log_prob_), rtol=1e-9)
        best = objective.value(objective.optimum())
        values = np.array([record["objective/value"] for record in model.history_])
        assert np.all(values <= best + 1e-12 * abs(best))
        if credit == "sequence":
            whole = objective.gap(problem.reference_log_prob)
            assert documents_to(model, 0.99, whole) <= 10 * n_columns
            assert documents_to(model, 0.999, whole) <= 20 * n_columns


@pytest.mark.parametrize("credit", ["token", "sequence"])
@pytest.mark.parametrize(("length", "kl_coef"), [(1, 0.1), (3, 0.1), (3, 1.0), (200, 0.1)])
def test_short_and_long_documents_reach_the_optimum_too(credit, length, kl_coef):
    # With batches counted in documents, or steps in nats of a document alone, the policy of short
    # ones collapses on the tokens it happened to see: it ends two thirds of the way at length 1.
    problem = ZipfProblem(1000, 0)
    model = fitted(problem, credit=credit, kl_coef=kl_coef, response_length=length)
    objective = AdditiveObjective(
        problem.reference_log_prob, problem.weights, length=length, kl_coef=kl_coef
    )
    start = objective.gap(problem.reference_log_prob)
    assert 1 - objective.gap(model.token_log_prob_) / start >= 0.999


@pytest.mark.parametrize("credit", ["token", "sequence"])
@pytest.mark.parametrize("batches", [1, 2])
def test_without_tol_it_converges_to_the_optimum_itself(credit, batches):
    for seed in range(3):
        problem = ZipfProblem(50, seed)
        model = fitted(
            problem,
            seed,
            tol=0,
            n_epochs=batches,
            n_minibatches=batches,
            max_iter=200,
            credit=credit,
        )
        assert model.n_iter_ == 200
        assert total_variation(model.token_log_prob_, model.optimal_log_prob_) < 1e-6
        assert_allclose(model.optimal_log_prob_, problem.objective().optimum())


@pytest.mark.parametrize("kl_coef", [0.1, 1.0])
def test_documents_drawn_where_nobody_says_that_the_reward_adds(kl_coef):
    # The batch for noisy rewards is 256 documents; this one has no noise, which we know.
    for seed in range(3):
        problem = ZipfProblem(100, seed)
        problem.reward_model = LinearCallable(problem.weights)
        watched = Gaps(problem.objective(kl_coef=kl_coef))
        model = optimizer(problem, random_state=seed, kl_coef=kl_coef, n_rollouts=25)
        model.set_callbacks(watched).fit(problem.X)
        whole = watched.objective.gap(problem.reference_log_prob)
        drawn = {share: watched.documents_to(share, whole) for share in (0.99, 0.999)}
        assert drawn[0.99] <= 10 * 100
        assert drawn[0.999] <= 20 * 100


@pytest.mark.slow
@pytest.mark.parametrize("kl_coef", [0.1, 0.3, 1.0, 3.0])
@pytest.mark.parametrize("n_columns", [10, 100, 1000, 10_000])
def test_textbook_form_reaches_98_percent(kl_coef, n_columns):
    for seed in range({1000: 3, 10_000: 1}.get(n_columns, 10)):
        problem = ZipfProblem(n_columns, seed)
        model = fitted(
            problem,
            seed,
            kl_coef=kl_coef,
            optimizer="adam",
            n_epochs=4,
            n_minibatches=4,
            max_iter=150,
            tol=0.005,
        )
        assert 0.98 <= problem.share_of_optimum(model) <= 1


@pytest.mark.parametrize("kl_coef", [1e-4, 1e4])
@pytest.mark.parametrize("credit", ["token", "sequence"])
def test_extreme_kl_coef(kl_coef, credit):
    problem = ZipfProblem(50, 0)
    model = fitted(problem, kl_coef=kl_coef, credit=credit)
    assert problem.share_of_optimum(model) >= 0.999


def test_scaling_all_rewards_and_kl_coef_changes_nothing():
    problem = ZipfProblem(50, 1)
    runs = []
    for factor in (1.0, 1e-9, 1e9):
        reward = FrozenEstimator(linear_reward(factor * problem.weights))
        for credit in ("token", "sequence"):
            model = fitted(problem, reward_model=reward, kl_coef=factor, credit=credit)
            runs.append((model.n_iter_, np.exp(model.token_log_prob_)))
    for i in range(2):
        for n_iter, prob in runs[i::2]:
            assert n_iter == runs[i][0]
            assert_allclose(prob, runs[i][1], atol=1e-9)


@pytest.mark.parametrize(
    "settings",
    [
        {"reward_coef": 0.0},
        {"reward_model": FrozenEstimator(linear_reward(np.full(50, 1e6 / 3)))},
        {"reward_model": LinearCallable(np.full(50, 0.1))},
    ],
    ids=["no weight", "constant", "constant callable"],
)
@pytest.mark.parametrize("optimizer", ["natural", "adam"])
def test_nothing_to_gain_leaves_the_reference(settings, optimizer):
    model = fitted(ZipfProblem(50, 0), optimizer=optimizer, max_iter=20, **settings)
    assert total_variation(model.token_log_prob_, model.reference_log_prob_) < 1e-6
    assert model.optimality_gap_ < 1e-9


def test_a_reward_for_rare_documents_is_waited_for():
    prob = np.array([[0.4, 0.3, 0.2, 0.0995, 0.0005]])
    policy = FrozenEstimator(UnigramLM(smoothing=0).fit(prob))
    missed = 0
    for seed in range(5):
        model = PPOPolicyOptimizer(
            policy,
            lambda counts: 20.0 * (counts[:, [4]].toarray().ravel() > 0),
            response_length=5,
            max_iter=300,
            random_state=seed,
        ).fit(prob)
        missed += model.history_[0]["objective/scores"] == 0
        assert model.expected_reward_ > 10
    # It takes a first batch without a reward to show it.
    assert missed >= 2


def test_tokens_outside_the_reference_stay_outside():
    problem = ZipfProblem(30, 0)
    prob = np.exp(problem.reference_log_prob)
    prob[::3] = 0.0
    problem.policy = FrozenEstimator(UnigramLM(smoothing=0).fit(prob[np.newaxis]))
    for settings in ({}, {"credit": "sequence"}, {"optimizer": "adam"}):
        model = fitted(problem, **settings)
        assert_array_equal(np.isneginf(model.token_log_prob_), prob == 0)
        assert total_variation(model.token_log_prob_, model.optimal_log_prob_) < 0.05


@pytest.mark.parametrize("reward", [Saturating(), Normalised()], ids=["saturating", "normalised"])
@pytest.mark.parametrize("kl_coef", [1.0, 3.0])
def test_other_rewards_reach_the_best_policy_by_enumeration(reward, kl_coef):
    problem = small_problem(reward)
    model = fitted(problem, n_rollouts=1024, kl_coef=kl_coef, tol=1e-4, max_iter=2000)
    everything = Enumeration(model.reference_log_prob_, 3, reward, kl_coef)
    best = everything.best_policy()
    start = everything.value(model.reference_log_prob_)
    true_gap = everything.value(best) - everything.value(model.token_log_prob_)
    assert -1e-9 < true_gap < 2e-3 * (everything.value(best) - start)
    assert total_variation(model.token_log_prob_, best) < 0.015
    assert model.optimal_log_prob_ is None
    assert model.token_reward_ is None


@pytest.mark.parametrize("reward", [Saturating(), Normalised()], ids=["saturating", "normalised"])
@pytest.mark.parametrize("n_rollouts", [2, 3, 16])
# So few documents need not prove the last thousandth; who goes on is there by then.
@pytest.mark.filterwarnings("ignore:.*stopped at max_iter=1500 before it was within")
def test_a_few_documents_are_no_reason_to_stop_early(reward, n_rollouts):
    everything = None
    for seed in range(3):
        problem = small_problem(reward)
        model = fitted(problem, seed, n_rollouts=n_rollouts, n_minibatches=1, max_iter=1500)
        everything = everything or Enumeration(model.reference_log_prob_, 3, reward, 1.0)
        best = everything.value(everything.best_policy())
        start = everything.value(model.reference_log_prob_)
        assert everything.value(model.token_log_prob_) > start + 0.95 * (best - start)


@pytest.mark.parametrize("reward", [Saturating(), Normalised()], ids=["saturating", "normalised"])
@pytest.mark.parametrize("max_iter", [1, 3, 30])
def test_certificate_bounds_the_gap_and_estimates_the_best_over_documents(reward, max_iter):
    model = fitted(small_problem(reward), tol=0, max_iter=max_iter)
    everything = Enumeration(model.reference_log_prob_, 3, reward, 1.0)
    value = everything.value(model.token_log_prob_)
    error = model.optimality_gap_se_
    assert 0 < error < 0.2
    assert model.optimality_gap_ >= everything.value(everything.best_policy()) - value - 3 * error
    assert abs(model.optimality_gap_ - (everything.best_value_over_documents() - value)) < 4 * error
    assert abs(model.objective_ - value) < 4 * 0.5 * np.ptp(everything.reward) / np.sqrt(4096)


def test_rate_falls_where_only_noise_is_left_also_without_tol():
    model = fitted(small_problem(Normalised()), tol=0, max_iter=150)
    rates = np.array([record["lr"] for record in model.history_[1:]])
    assert np.all(np.diff(rates) <= 0)
    assert rates[-1] < 0.2 * rates[0]


def test_dear_kl_is_no_reason_to_run_out_of_iterations():
    problem = ZipfProblem(50, 0)
    problem.reward_model = LinearCallable(problem.weights)
    for seed in range(3):
        model = fitted(problem, seed, kl_coef=100.0)
        assert model.n_iter_ < 100
        assert problem.share_of_optimum(model) > 0.99
