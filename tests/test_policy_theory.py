"""What the theory of the clipped surrogate and of the natural step says of whole runs."""

import numpy as np
import pytest
from additive_problems import ZipfProblem, total_variation
from policy_problems import fitted

from sklearn_codex.rules import BannedTokens


def distance(model):
    return total_variation(model.token_log_prob_, model.optimal_log_prob_)


@pytest.mark.slow
def test_a_clipped_surrogate_that_is_solved_stops_short_of_the_optimum():
    # Solving each batch's surrogate moves all ratios to the ends of the band, however small the
    # advantages are: a distance of about a quarter of the clip range remains. That is why the step
    # is divided among the passes of a batch.
    problem = ZipfProblem(50, 0)
    settings = {
        "credit": "sequence", "critic": False, "n_rollouts": 2000, "n_minibatches": 1,
        "target_kl": None, "tol": 0, "max_iter": 60,
    }  # fmt: skip
    solved = fitted(problem, n_epochs=64, learning_rate=64 * 0.5, clip_range=0.2, **settings)
    assert 0.02 < distance(solved) < 0.08
    narrow = fitted(problem, n_epochs=64, learning_rate=64 * 0.5, clip_range=0.05, **settings)
    assert 0.1 < distance(narrow) / distance(solved) < 0.5
    for n_epochs in (1, 4):
        assert distance(fitted(problem, n_epochs=n_epochs, **settings)) < 1e-8


@pytest.mark.parametrize("credit", ["token", "sequence"])
def test_converges_to_rounding(credit):
    for seed in range(3):
        model = fitted(
            ZipfProblem(50, seed), seed, credit=credit, n_rollouts=256, tol=0, max_iter=200
        )
        assert distance(model) < 1e-8
        assert model.optimality_gap_ < 1e-9


@pytest.mark.parametrize("credit", ["token", "sequence"])
def test_a_hard_penalty_is_met_from_the_first_step(credit):
    for seed in range(3):
        problem = ZipfProblem(1000, seed)
        unsafe = np.arange(0, 1000, 100)
        rules = BannedTokens(unsafe.tolist(), penalty=100.0)
        model = fitted(problem, seed, rules=rules, credit=credit, tol=1e-4)
        penalty = np.zeros(1000)
        penalty[unsafe] = 100.0
        objective = problem.objective(penalty=penalty)
        # Far from the optimum only for the penalty; measured from where the rest begins.
        start = np.where(penalty > 0, -np.inf, problem.reference_log_prob)
        start -= np.logaddexp.reduce(start)
        assert objective.gap(model.token_log_prob_) < 2e-4 * objective.gap(start)
        # Never drawn, so what they would earn is not learned; their price is known.
        exact = np.exp(objective.optimum()[unsafe]).sum()
        assert np.exp(model.token_log_prob_[unsafe]).sum() <= 10 * exact < 1e-40


@pytest.mark.slow
@pytest.mark.parametrize("kl_coef", [0.1, 0.2])
def test_the_trust_region_leads_far_from_the_reference_without_a_collapse(kl_coef):
    for seed in range(4):
        problem = ZipfProblem(1000, seed)
        model = fitted(problem, seed, kl_coef=kl_coef, credit="sequence")
        assert model.kl_ > 30
        assert problem.share_of_optimum(model) > 0.998
