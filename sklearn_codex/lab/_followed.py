"""An update as it comes, made sure of and followed to its rest."""

from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from sklearn_codex._categorical import FloatArray
from sklearn_codex.lab._called import call_update
from sklearn_codex.lab._expected import (
    GONE,
    MOST_STEPS,
    Sampling,
    expected_move,
    find_rest,
    greatest_within,
)
from sklearn_codex.lab._order import as_it_is_listed
from sklearn_codex.lab._problem import Update
from sklearn_codex.lab._table import beside

# What is one thing for the same batch twice, in shares of the greatest move.
_SAME = 1e-6


def check_repeats(update: Update, problem: Any, sampling: Sampling) -> None:
    """Raise ValueError where an update is not the same for the same batches.

    At the reference and beside it, as what is 0 there may be at random elsewhere.
    """
    for policy in (problem.reference, beside(problem)):
        once, again = (expected_move(update, problem, policy, sampling) for _ in range(2))
        if np.abs(once.mean - again.mean).max() > _SAME * np.abs(once.mean).max():
            raise ValueError(
                "An update should be a function of its batch, but gave something else for the same "
                "batches a second time. Keep random numbers and state, as of an optimiser, out of "
                "it."
            )


def in_units(update: Update, problem: Any, sampling: Sampling) -> Sampling:
    """Return how an algorithm is run with its gradients divided by the size they have.

    A learning rate is free, so that none of them is great or small.
    """
    greatest = 0.0
    for policy in (problem.reference, beside(problem)):
        rng = check_random_state(sampling.random_state) if sampling.n_samples else None
        groups = problem.groups(policy, sampling.group_size, sampling.n_samples, rng)
        policies = np.tile(policy, (len(groups.weights), 1))
        out, is_policy = call_update(update, problem.batch(groups, policies, policy))
        if is_policy:
            return sampling
        greatest = max(greatest, float(np.abs(out).max()))
    if greatest == 0:
        return sampling
    return replace(sampling, unit=float(np.ldexp(1.0, int(np.frexp(greatest)[1]) - 1)))


def rest_of(update: Update, problem: Any, sampling: Sampling) -> FloatArray:
    """Return the policy (n_rows,) at which an update rests, ``-inf`` where all mass is lost.

    Raises
    ------
    ValueError
        If there is none, or the update is no function of its batch.
    """
    sampling = in_units(update, problem, sampling)
    check_repeats(update, problem, sampling)
    problem = as_it_is_listed(update, problem, sampling)
    rest = find_rest(update, problem, sampling)
    if not rest.is_found:
        raise ValueError(
            f"The algorithm was followed for at most {MOST_STEPS} steps, to no rest: a logit "
            f"still moves by {rest.residual:.1g} of the most at the start, per unit of "
            "probability. Use a greater kl_coef, or another problem."
        )
    left = rest.log_prob >= greatest_within(problem, rest.log_prob) - GONE
    return problem.normalize(np.where(left, rest.log_prob, -np.inf))
