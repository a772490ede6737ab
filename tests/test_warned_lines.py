"""Warnings of a fit name the line that asked for it, whatever calls lie between."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from sklearn_codex import (
    ExactPolicyOptimizer,
    GRPOPolicyOptimizer,
    PPOPolicyOptimizer,
    RLHFPipeline,
    RLOOPolicyOptimizer,
    TokenCounter,
)
from sklearn_codex.exact import CandidateObjective, LengthExplosionWarning
from sklearn_codex.rules import BannedTokens

TEXTS, REWARDS = ["good good bad", "bad fine", "good fine fine"], [1.0, -1.0, 1.0]
OPTIMISERS = [PPOPolicyOptimizer, RLOOPolicyOptimizer, GRPOPolicyOptimizer]
PROBLEM = CandidateObjective(
    np.log([0.6, 0.3, 0.1]), np.array([0.0, 1.0, 0.5]), np.array([0, 0, 0]), kl_coef=0.5
)
AT_MAX_ITER = "stopped at max_iter=1"


def squared_goods(documents):
    return [text.split().count("good") ** 2 for text in documents]


def lines_of(category, words, call):
    """Return where warnings of a kind say that they come from, in (file, line)."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    return [
        (one.filename, one.lineno)
        for one in caught
        if issubclass(one.category, category) and words in str(one.message)
    ]


def here(call):
    """Return where the one line of a function stands."""
    return [(__file__, call.__code__.co_firstlineno + 1)]


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_fit_that_ran_out_of_iterations(optimiser):
    policy = optimiser(max_iter=1, n_rollouts=8, random_state=0)

    def fit():
        policy.fit(TEXTS, REWARDS)

    assert lines_of(ConvergenceWarning, AT_MAX_ITER, fit) == here(fit)


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_fit_objective_that_ran_out_of_iterations(optimiser):
    policy = optimiser(max_iter=1, n_rollouts=8, random_state=0)

    def fit():
        policy.fit_objective(PROBLEM)

    assert lines_of(ConvergenceWarning, AT_MAX_ITER, fit) == here(fit)


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_pipeline_whose_policy_ran_out_of_iterations(optimiser):
    policy = optimiser(reward_model=squared_goods, max_iter=1, n_rollouts=8, random_state=0)
    pipeline = RLHFPipeline([("policy", policy)])
    records = [{"text": text} for text in TEXTS]

    def fit():
        pipeline.fit(records)

    assert lines_of(ConvergenceWarning, AT_MAX_ITER, fit) == here(fit)


@pytest.mark.parametrize("optimiser", [*OPTIMISERS, ExactPolicyOptimizer])
def test_fit_of_documents_that_become_longer_and_longer(optimiser):
    limits = {} if optimiser is ExactPolicyOptimizer else {"max_iter": 1, "n_rollouts": 8}
    policy = optimiser(
        vectorizer=TokenCounter(eos_token="<eos>"), kl_coef=0.01, random_state=0, **limits
    )

    def fit():
        policy.fit(TEXTS, REWARDS)

    assert lines_of(LengthExplosionWarning, "", fit) == here(fit)


def test_fit_that_gained_nothing_and_rule_that_is_not_kept():
    policy = PPOPolicyOptimizer(
        reward_model=lambda documents: np.zeros(len(documents)),
        rules=[BannedTokens(["bad"], max_rate=0.01)],
        max_iter=1,
        n_rollouts=8,
        random_state=0,
    )

    def fit():
        policy.fit(TEXTS)

    assert set(lines_of(ConvergenceWarning, "", fit)) == set(here(fit))
