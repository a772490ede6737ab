"""Training below the smallest safe kl_coef: said early, soon over, and as far as it says."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from ngram_policy_problems import REWARDS, TEXTS, frozen
from numpy.testing import assert_allclose
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator

from sklearn_codex import (
    ExactPolicyOptimizer,
    GRPOPolicyOptimizer,
    PPOPolicyOptimizer,
    RLOOPolicyOptimizer,
    TokenCounter,
    UnigramLM,
)
from sklearn_codex._policy.local_gap import slope_gains
from sklearn_codex._policy.rest_schedule import RestSchedule
from sklearn_codex._policy.settings import Settings, resolve_settings
from sklearn_codex.exact import LengthExplosionWarning

MOST_TOKENS = 65_536


def reference(order):
    if order > 1:
        return frozen(order)
    return FrozenEstimator(UnigramLM(vectorizer=TokenCounter(eos_token="<eos>")).fit(TEXTS))


def rewards_of(order):
    # Without contexts no token pays for itself but "b", which is in what n-grams are paid for.
    return REWARDS if order > 1 else np.array([text.count("b") * 1.0 for text in TEXTS])


def below_safe(order, factor):
    """Return the reference, rewards and a kl_coef that is a share of the smallest safe one."""
    policy, rewards = reference(order), rewards_of(order)
    far = ExactPolicyOptimizer(policy, kl_coef=1e3).fit(TEXTS, rewards)
    return policy, rewards, factor * far._build_problem().objective._safe_kl_coef()


@pytest.mark.parametrize(
    ("optimizer", "order", "factor"),
    [
        (PPOPolicyOptimizer, 1, 0.5), (RLOOPolicyOptimizer, 1, 0.9), (PPOPolicyOptimizer, 2, 0.4),
        (RLOOPolicyOptimizer, 2, 0.9), (PPOPolicyOptimizer, 3, 0.4),
    ],
)  # fmt: skip
def test_training_below_the_safe_kl_coef_finds_the_best_that_is_cut(optimizer, order, factor):
    policy, rewards, kl_coef = below_safe(order, factor)
    with pytest.warns(LengthExplosionWarning, match="Documents are cut at 200 tokens instead"):
        best = ExactPolicyOptimizer(policy, kl_coef=kl_coef).fit(TEXTS, rewards)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trained = optimizer(policy, kl_coef=kl_coef, random_state=0).fit(TEXTS, rewards)
    # It says so once, and gets as far as the exact ascent does, or says that it stopped before.
    categories = [warning.category for warning in caught]
    assert categories in ([LengthExplosionWarning], [LengthExplosionWarning, ConvergenceWarning])
    least = 0.995 if ConvergenceWarning not in categories else 0.97
    assert all("as the last ones gained no more" in str(w.message) for w in caught[1:])
    start = trained.history_[0]["objective/value"]
    assert trained.max_length_ == best.max_length_ == 200
    assert best.objective_ + 1e-9 >= trained.objective_
    assert trained.objective_ - start >= least * (best.objective_ - start)
    # What it says is left is an upper bound, that of its own policy.
    objective = trained._build_problem(warn=False).objective
    assert objective.length_explodes
    gap = objective.gap(trained._policy_log_prob)
    assert trained.optimality_gap_ == pytest.approx(gap, rel=1e-9)
    assert trained.objective_ + gap >= best.objective_ - 1e-9


def test_each_record_has_the_gap_that_looks_at_each_position():
    policy, rewards, kl_coef = below_safe(2, 0.4)
    seen = []

    class Watched(PPOPolicyOptimizer):
        def _make_trainer(self, *given):
            self.trainer = super()._make_trainer(*given)
            return self.trainer

        def _make_schedule(self, trainer):
            goes_on = super()._make_schedule(trainer)

            def watched():
                seen.append((trainer.log_prob, trainer.rollouts.lengths.sum()))
                return goes_on()

            return watched

    with pytest.warns(LengthExplosionWarning, match="Documents are cut at 200 tokens"):
        watched = Watched(policy, kl_coef=kl_coef, random_state=0).fit(TEXTS, rewards)
    objective = watched._build_problem(warn=False).objective
    for (log_prob, _), row in zip(seen, watched.history_[1:], strict=True):
        assert_allclose(row["objective/optimality_gap"], objective.gap(log_prob), rtol=1e-9)
    # Batches keep to some number of tokens, though documents become thirty times as long.
    first, last = watched.history_[0]["objective/length"], watched.history_[-1]["objective/length"]
    assert last > 30 * first
    assert max(n_tokens for _, n_tokens in seen) < 1.3 * MOST_TOKENS
    assert watched.training_state_["n_rollouts"] < 500


@pytest.mark.parametrize("settings", [{}, {"n_rollouts": 200}, {"max_length": 200}])
def test_what_is_safe_is_trained_as_ever(settings):
    policy, rewards, safe = below_safe(2, 1.0)
    trained = PPOPolicyOptimizer(
        policy, kl_coef=1.3 * safe, random_state=0, max_iter=3, tol=1e-9, **settings
    )
    with pytest.warns(ConvergenceWarning, match="stopped at max_iter=3"):
        trained.fit(TEXTS, rewards)
    problem = trained._build_problem(warn=False)
    trainer = trained._make_trainer(problem, _resolved(trained, problem), None)
    assert not problem.explodes
    assert not trainer.settings.shrinks


def test_batches_that_are_given_stay_as_large():
    policy, rewards, kl_coef = below_safe(2, 0.7)
    with pytest.warns(LengthExplosionWarning, match="Documents are cut at 200 tokens"):
        trained = PPOPolicyOptimizer(
            policy, kl_coef=kl_coef, n_rollouts=400, max_iter=12, tol=0, random_state=0
        ).fit(TEXTS, rewards)
    assert trained.training_state_["n_rollouts"] == 400
    assert trained.n_sequences_ - 400 * 13 < 10


def _resolved(optimizer, problem):
    return resolve_settings(optimizer.get_params(deep=False), problem, subject="It")


def test_sizes_of_batches():
    settings = Settings(n_rollouts=4000, n_minibatches=4, shrinks=True)
    assert settings.n_shrunk(6.0) == 4000
    assert settings.n_shrunk(200.0) == MOST_TOKENS // 200
    assert settings.n_shrunk(1e6) == 64
    assert settings.n_grown(6.0) == 4000
    assert Settings(n_rollouts=2000).n_grown(16.0) == 4000
    assert Settings(n_rollouts=2000).n_grown(17.0) == 2000


def test_training_with_demonstrations_goes_on_where_length_explodes():
    policy, rewards, kl_coef = below_safe(2, 0.8)
    with pytest.warns(LengthExplosionWarning, match="Documents are cut at 200 tokens"):
        trained = PPOPolicyOptimizer(
            policy, kl_coef=kl_coef, sft_coef=0.5, random_state=0, max_iter=12, tol=0
        ).fit(TEXTS, rewards)
    objective = trained._build_problem(warn=False).objective
    assert trained.optimality_gap_ == pytest.approx(objective.gap(trained._policy_log_prob))
    assert 0 < trained.optimality_gap_ < trained.history_[0]["objective/optimality_gap"]


def test_training_that_goes_on_later_has_the_batches_it_had():
    policy, rewards, kl_coef = below_safe(2, 0.5)
    given = {"kl_coef": kl_coef, "random_state": 0}
    whole = PPOPolicyOptimizer(policy, max_iter=6, **given)
    part = PPOPolicyOptimizer(policy, max_iter=3, warm_start=True, **given)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole.fit(TEXTS, rewards)
        part.fit(TEXTS, rewards).fit(TEXTS, rewards)
    assert [row["objective/value"] for row in whole.history_] == [
        row["objective/value"] for row in part.history_
    ]


def test_groups_stay_whole_where_batches_shrink():
    policy, rewards, kl_coef = below_safe(2, 0.4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trained = GRPOPolicyOptimizer(
            policy, kl_coef=kl_coef, kl_in="reward", scale_rewards="none", max_iter=15,
            random_state=0,
        ).fit(TEXTS, rewards)  # fmt: skip
    assert trained.training_state_["n_rollouts"] % 8 == 0
    assert trained.history_[-1]["objective/length"] * trained.training_state_["n_rollouts"] < (
        1.3 * MOST_TOKENS
    )


def test_groups_that_hover_where_length_explodes_stop_soon_and_say_so():
    policy, rewards, kl_coef = below_safe(2, 0.9)
    trained = GRPOPolicyOptimizer(
        policy, kl_coef=kl_coef, kl_in="reward", max_length=40, n_rollouts=40, random_state=0
    )
    with pytest.warns(ConvergenceWarning, match="as the last ones gained no more, before it was"):
        trained.fit(TEXTS, rewards)
    assert trained.n_iter_ < 120
    # It hovers: the exact value is where it was twenty iterations before.
    values = [row["objective/value"] for row in trained.history_]
    first, last = np.mean(values[-40:-20]), np.mean(values[-20:])
    assert abs(last - first) < 0.05 * np.ptp(values)


@pytest.mark.parametrize(
    ("drift", "noise", "schedule", "stays"),
    [
        (0.0, 0.0, "adaptive", True), (0.1, 0.0, "adaptive", False), (0.0, 0.3, "adaptive", False),
        (0.0, 0.3, "constant", True), (0.1, 0.3, "constant", False),
    ],
)  # fmt: skip
def test_what_it_is_to_stay(drift, noise, schedule, stays):
    row = (
        drift * np.arange(41) + noise * (-1.0) ** (np.arange(41) // 2) + 0.02 * (np.arange(41) > 20)
    )
    trainer = SimpleNamespace(
        history=[{"objective/value": v, "objective/kl_exact": 2 * v} for v in row],
        problem=SimpleNamespace(temperature=0.5),
        settings=SimpleNamespace(schedule=schedule),
        update=SimpleNamespace(decay_start=None),
    )
    rest = RestSchedule.__new__(RestSchedule)
    rest._trainer, rest._window, rest.enough = trainer, 20, lambda: 1e-9 if noise else 0.03
    assert rest._stays() is stays
    # Batches that disagreed long enough are enough.
    trainer.update.decay_start = 40
    assert rest._stays()


def test_training_of_cut_documents_stops_where_nothing_is_left_of_what_it_can_reach():
    policy, rewards, kl_coef = below_safe(2, 3.0)
    given = {"kl_coef": kl_coef, "max_length": 3}
    best = ExactPolicyOptimizer(policy, **given).fit(TEXTS, rewards)
    trained = PPOPolicyOptimizer(policy, optimizer="adam", random_state=0, **given)
    trained.fit(TEXTS, rewards)
    # No policy of its family gets as near the best that sees positions as would be enough.
    start = trained.history_[0]
    assert best.optimality_gap_ > 5e-3 * start["objective/optimality_gap"]
    assert trained.n_iter_ < 100
    assert best.objective_ - trained.objective_ < 1e-3 * (
        trained.objective_ - start["objective/value"]
    )


def test_a_warning_of_cut_documents_tells_what_is_left_that_can_be_reached():
    policy, rewards, kl_coef = below_safe(2, 3.0)
    given = {"kl_coef": kl_coef, "max_length": 3, "random_state": 0}
    short = PPOPolicyOptimizer(policy, optimizer="adam", max_iter=1, **given)
    with pytest.warns(ConvergenceWarning, match="It is a bound that need not get to 0") as caught:
        short.fit(TEXTS, rewards)
    left = slope_gains(short._build_problem(warn=False), short._policy_log_prob)
    assert f": {left:.2g} is left to gain near it." in str(caught[0].message)
    assert 0 < left < short.optimality_gap_


def test_documents_are_cut_where_the_best_are_too_long_to_be_drawn():
    policy, rewards, kl_coef = below_safe(2, 1.0001)
    best = ExactPolicyOptimizer(policy, kl_coef=kl_coef).fit(TEXTS, rewards)
    assert best.max_length_ is None
    assert best.expected_length_ > 5000
    said = f"{best.expected_length_:.3g} tokens long on average, more than can be drawn. Length "
    safe = best._build_problem(warn=False).objective.smallest_safe_kl_coef()
    said += f"explodes at {safe:.6g}: raise kl_coef further .*Documents are cut at 200 tokens"
    trained = RLOOPolicyOptimizer(policy, kl_coef=kl_coef, random_state=0, tol=0, max_iter=1)
    with pytest.warns(LengthExplosionWarning, match=said.replace("+", r"\+")):
        trained.fit(TEXTS, rewards)
    assert trained.max_length_ == 200
    assert trained._build_problem(warn=False).explodes
