"""Training that goes on, is watched and judged: warm starts, held-out documents, best iterates."""

import pickle

import numpy as np
import pytest
from additive_problems import LinearCallable, ZipfProblem, linear_reward, total_variation
from numpy.testing import assert_allclose, assert_array_equal
from policy_problems import TEXTS, Saturating, fitted, optimizer, small_problem
from scipy.special import log_softmax
from sklearn.base import clone
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge

from sklearn_codex import (
    ExactPolicyOptimizer,
    PPOPolicyOptimizer,
    RLHFPipeline,
    UnigramLM,
    load_model,
    save_model,
)
from sklearn_codex.kl_control import AdaptiveKLController
from sklearn_codex.rules import BannedTokens, TokenBudget

K = 6


def through_skops(model, tmp_path):
    save_model(model, tmp_path / "half.skops")
    return load_model(tmp_path / "half.skops")


def through_pickle(model, tmp_path):
    return pickle.loads(pickle.dumps(model))


def as_it_is(model, tmp_path):
    return model


SETTINGS = {
    "natural": {},
    "adam": {"optimizer": "adam", "lr_schedule": "constant"},
    "controller": {"kl_controller": AdaptiveKLController(target=2.0, horizon=2000)},
    "one pass": {"n_epochs": 1, "n_minibatches": 1, "credit": "sequence"},
    "many minibatches": {"n_epochs": 3, "n_minibatches": 5, "credit": "sequence"},
    "penalty": {"rules": BannedTokens([1], penalty=2.0)},
    "learned price": {"rules": TokenBudget([1, 2], budget=1, max_rate=0.2)},
    "best": {"select_by": "objective/kl", "optimizer": "adam", "lr_schedule": "constant"},
}


def assert_same_training(one, other):
    assert_array_equal(one.token_log_prob_, other.token_log_prob_)
    assert one.history_ == other.history_
    assert one.n_sequences_ == other.n_sequences_
    assert one.n_iter_ == other.n_iter_
    for name in ("objective_", "kl_coef_", "optimality_gap_", "rule_prices_"):
        assert getattr(one, name) == getattr(other, name)


@pytest.mark.parametrize("carry", [as_it_is, through_pickle, through_skops])
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_k_and_k_iterations_are_2k_bit_for_bit(settings, carry, tmp_path):
    problem = ZipfProblem(30, 0)
    whole = fitted(problem, tol=0, max_iter=2 * K, **settings)
    half = optimizer(problem, random_state=0, tol=0, max_iter=K, warm_start=True, **settings)
    first = half.fit(problem.X).token_log_prob_.copy()
    half = carry(half, tmp_path)
    assert_same_training(half.fit(problem.X), whole)
    if "select_by" not in settings:
        assert np.any(first != half.token_log_prob_)


def test_a_state_with_a_seed_in_it_as_first_versions_wrote_it_is_understood():
    problem = ZipfProblem(30, 0)
    settings = {
        "tol": 0,
        "max_iter": K,
        "warm_start": True,
        "rules": TokenBudget([1], max_rate=0.2),
    }
    model = optimizer(problem, random_state=0, **settings).fit(problem.X)
    assert "seed" not in model.training_state_
    state = dict(vars(model))
    state["training_state_"] = model.training_state_ | {"seed": state.pop("_seed")}
    old = optimizer(problem)
    old.__setstate__(state)
    assert "seed" not in old.training_state_
    assert old.evaluate() == model.evaluate()
    assert_same_training(old.fit(problem.X), model.fit(problem.X))
    # Where the seed was all there was.
    exact = ExactPolicyOptimizer(problem.policy, problem.reward_model, random_state=0)
    exact.fit(problem.X)
    state = dict(vars(exact))
    state["training_state_"] = {"seed": state.pop("_seed")}
    old = ExactPolicyOptimizer()
    old.__setstate__(state)
    assert vars(old).keys() == vars(exact).keys()
    assert old.evaluate() == exact.evaluate()


def test_k_and_k_iterations_of_a_callable_reward():
    problem = small_problem(Saturating())
    whole = fitted(problem, tol=0, max_iter=60)
    parts = optimizer(problem, random_state=0, tol=0, max_iter=30, warm_start=True)
    assert_same_training(parts.fit(problem.X).fit(problem.X), whole)
    assert parts.history_[-1]["lr"] < parts.history_[1]["lr"]


def test_going_on_stops_where_one_run_stops():
    problem = ZipfProblem(50, 0)
    settings = {"tol": 1e-6, "credit": "sequence", "rules": BannedTokens([3], penalty=4.0)}
    whole = fitted(problem, **settings)
    parts = optimizer(problem, random_state=0, max_iter=7, warm_start=True, **settings)
    with pytest.warns(ConvergenceWarning, match="max_iter=7"):
        parts.fit(problem.X)
    assert_same_training(parts.set_params(max_iter=500).fit(problem.X), whole)


def test_without_warm_start_training_begins_anew():
    problem = ZipfProblem(30, 0)
    model = fitted(problem, tol=0, max_iter=5)
    before = model.token_log_prob_
    assert_array_equal(model.fit(problem.X).token_log_prob_, before)
    assert model.n_iter_ == 5
    warm = model.set_params(warm_start=True)
    assert not hasattr(clone(warm), "training_state_")
    assert clone(warm).fit(problem.X).n_iter_ == 5
    assert warm.fit(problem.X).n_iter_ == 10


def test_a_new_kl_coef_is_taken_over():
    problem = ZipfProblem(30, 0)
    model = fitted(problem, warm_start=True)
    model.set_params(kl_coef=0.5, tol=1e-8, max_iter=300).fit(problem.X)
    assert model.kl_coef_ == model.history_[-1]["objective/kl_coef"] == 0.5
    best = problem.objective(kl_coef=0.5).optimum()
    assert total_variation(model.token_log_prob_, best) < 1e-3


def test_going_on_needs_the_same_tokens_and_optimizer():
    rewards = [1.0, -1.0, 0.0, 2.0, -2.0]
    model = PPOPolicyOptimizer(random_state=0, warm_start=True, tol=0, max_iter=2)
    model.fit(TEXTS, rewards)
    with pytest.raises(ValueError, match=r"warm_start=True goes on from a policy of 12 tokens"):
        clone(model).fit(TEXTS, rewards).fit(["some other words", "than before"], [0.0, 1.0])
    renamed = [text.replace("cat", "cow") for text in TEXTS]
    with pytest.raises(ValueError, match=r"12 tokens, but got documents that make 12 tokens or"):
        clone(model).fit(TEXTS, rewards).fit(renamed, rewards)
    with pytest.raises(ValueError, match=r"same kind of optimizer.*for AdamUpdate"):
        model.set_params(optimizer="adam").fit(TEXTS, rewards)


# Evaluation during training


def test_held_out_documents_are_scored_by_their_likelihood():
    problem = ZipfProblem(30, 0)
    X_val = np.random.RandomState(0).poisson(1.0, size=(7, 30)) + 1.0
    model = optimizer(problem, random_state=0).fit(problem.X, X_val=X_val)
    scores = [record["eval/score"] for record in model.history_]
    n = X_val.sum(axis=0)
    assert_allclose(scores[-1], n @ model.token_log_prob_ / n.sum(), rtol=1e-12)
    assert_allclose(scores[0], n @ model.reference_log_prob_ / n.sum(), rtol=1e-12)
    assert_allclose(scores[-1], -np.log(model.perplexity(X_val)), rtol=1e-12)
    assert "eval/score" not in fitted(problem).history_[0]
    without_tokens = np.zeros((2, 30))
    with pytest.raises(ValueError, match=r"with X_val needs demonstrations of at least one token"):
        optimizer(problem).fit(problem.X, X_val=without_tokens)


@pytest.mark.parametrize("additive", [True, False])
def test_gold_reward_is_recorded_along_training(additive):
    problem = ZipfProblem(30, 0)
    gold = np.random.RandomState(1).standard_normal(30)
    source = FrozenEstimator(linear_reward(gold)) if additive else LinearCallable(gold)
    model = fitted(problem, gold_reward=source, n_rollouts=2048)
    for record, log_prob in ((model.history_[0], model.reference_log_prob_),
                             (model.history_[-1], model.token_log_prob_)):  # fmt: skip
        prob = np.exp(log_prob)
        exact = 20 * prob @ gold
        std = np.sqrt(20 * (prob @ gold**2 - (prob @ gold) ** 2))
        error = 1e-9 if additive else 4 * std / np.sqrt(2048)
        assert abs(record["gold/score"] - exact) < error


def test_the_best_iterate_is_kept():
    problem = ZipfProblem(50, 0)
    # A gold reward that likes half of what the reward likes, and hates repetition of the rest.
    gold = np.where(np.arange(50) % 2, problem.weights, -problem.weights)

    class Gold(LinearCallable):
        def __call__(self, counts):
            squares = counts.power(2) if hasattr(counts, "power") else counts**2
            return counts @ self.weights - 0.5 * squares.sum(axis=1)

    settings = {"kl_coef": 0.3, "tol": 0, "max_iter": 40, "gold_reward": Gold(gold)}
    last = fitted(problem, **settings)
    best = fitted(problem, select_by="gold/score", **settings)
    assert best.history_ == last.history_
    scores = np.array([record["gold/score"] for record in best.history_])
    place = int(scores.argmax())
    assert scores[place] - scores[-1] > 0
    assert best.kl_ == best.history_[place]["objective/kl_exact"]
    assert best.objective_ == best.history_[place]["objective/value"]
    assert last.kl_ == best.history_[-1]["objective/kl_exact"]


def test_the_reference_can_be_the_best_iterate():
    problem = ZipfProblem(30, 0)
    gold = FrozenEstimator(linear_reward(-problem.weights))
    rules = BannedTokens([0], penalty=1.0)
    model = fitted(problem, gold_reward=gold, select_by="gold/score", rules=rules)
    assert_array_equal(model.token_log_prob_, model.reference_log_prob_)
    assert model.kl_ == 0


@pytest.mark.parametrize("key", ["gold/score", "objective/valu"])
def test_a_key_that_is_not_recorded_is_refused_before_training(key):
    class Counting(LinearCallable):
        n_calls = 0

        def __call__(self, counts):
            self.n_calls += 1
            return super().__call__(counts)

    problem = ZipfProblem(30, 0)
    problem.reward_model = Counting(problem.weights)
    with pytest.raises(ValueError, match=rf"select_by='{key}'.*does not record.*objective/value"):
        fitted(problem, select_by=key)
    # What told that it adds over tokens, and the first batch.
    assert problem.reward_model.n_calls < 10


# Callbacks of scikit-learn


def test_scoring_monitor_sees_the_objective_of_each_iteration():
    X = np.random.RandomState(0).poisson(1.0, size=(30, 6)) + 1.0
    y = X @ np.arange(6.0)
    scores = {
        "off_policy": lambda estimator, X, y: estimator.score(X, y),
        "objective": lambda estimator, X, y: estimator.score(X),
    }
    monitor = ScoringMonitor(scoring=scores)
    model = PPOPolicyOptimizer(random_state=0, tol=0, max_iter=4).set_callbacks(monitor)
    model.fit(X, y)
    rows = monitor.get_logs().data
    values = [record["objective/value"] for record in model.history_[1:]]
    assert [row["objective"] for row in rows] == values
    assert rows[-1]["off_policy"] == model.score(X, y) != rows[0]["off_policy"]


def test_a_refit_shows_callbacks_nothing_of_the_earlier_fit():
    problem = ZipfProblem(30, 0)
    seen = []

    class Spy:
        max_propagation_depth = None

        def setup(self, estimator, context): ...
        def teardown(self, estimator, context): ...
        def on_fit_task_begin(self, estimator, context): ...

        def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
            if fitted_estimator is not None:
                seen.append(fitted_estimator)

    model = fitted(problem, tol=0, max_iter=20)
    model.set_params(max_iter=1).set_callbacks(Spy()).fit(problem.X)
    assert len(seen) == 1
    for name in ("objective_", "kl_", "n_iter_", "optimality_gap_", "expected_reward_"):
        assert getattr(seen[0], name) == getattr(model, name)
    assert_allclose(seen[0].evaluate().objective, seen[0].objective_)


def test_progress_bar_of_an_optimiser_and_of_the_whole_loop():
    rewards = Ridge().fit(UnigramLM().fit(TEXTS).vectorizer_.transform(TEXTS), np.arange(5.0))
    policy = PPOPolicyOptimizer(random_state=0, tol=0, max_iter=2)
    policy.set_callbacks(ProgressBar()).fit(TEXTS, np.arange(5.0))
    assert policy.n_iter_ == 2
    records = [{"text": text} for text in TEXTS]
    loop = RLHFPipeline(
        [
            ("pretrain", UnigramLM()),
            ("policy", PPOPolicyOptimizer(None, FrozenEstimator(rewards), tol=0, max_iter=2)),
        ]
    )
    loop.set_callbacks(ProgressBar()).fit(records)
    assert loop["policy"].n_iter_ == 2
    assert_allclose(np.exp(loop["policy"].token_log_prob_).sum(), 1.0)
    assert log_softmax(loop["policy"].token_log_prob_).shape == (12,)
