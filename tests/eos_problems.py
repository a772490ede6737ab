"""Problems whose documents end by themselves, shared by the tests of their optimum."""

from dataclasses import replace

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

from sklearn_codex.exact import EosObjective, smallest_safe_kl_coef

EOS = 1


def random_problem(seed, *, max_length=None, demonstrations=False, n_columns=4, **changed):
    """A problem whose documents end by themselves, safe if there is no maximal length."""
    rng = np.random.default_rng(seed)
    parameters = {
        "kl_coef": float(rng.uniform(0.3, 2.0)),
        "reward_coef": float(rng.uniform(0.2, 2.0)),
        "penalty": rng.exponential(size=n_columns) * rng.integers(0, 2, n_columns),
        "max_length": max_length,
    }
    if max_length is not None:
        parameters["missing_eos_penalty"] = float(rng.choice([0.0, 1.0, 5.0]))
    if demonstrations:
        parameters["sft_coef"] = float(rng.choice([0.3, 3.0]))
        parameters["frequencies"] = rng.dirichlet(np.ones(n_columns))
    parameters |= changed
    reference = log_softmax(rng.normal(size=n_columns))
    reward = rng.normal(size=n_columns) * rng.choice([0.3, 2.0])
    problem = EosObjective(reference, reward, EOS, **parameters)
    if max_length is None and problem.length_explodes:
        safe = smallest_safe_kl_coef(
            reference, reward, EOS, reward_coef=problem.reward_coef, penalty=problem.penalty
        )
        problem = replace(problem, kl_coef=1.1 * safe)
    return problem


def random_policy(problem, seed, spread=1.5):
    rng = np.random.default_rng([seed, 1])
    return log_softmax(spread * rng.normal(size=len(problem.reference_log_prob)))


def numerical_optimum(problem, n_starts=6):
    """The best value that a general-purpose optimiser finds over the logits."""
    rng = np.random.default_rng(0)
    starts = [problem.reference_log_prob]
    starts += [2.0 * rng.normal(size=len(starts[0])) for _ in range(n_starts - 1)]
    return max(
        -minimize(lambda logits: -problem.value(log_softmax(logits)), start, method="BFGS").fun
        for start in starts
    )
