"""Whether it matters to an update which response of a batch comes first."""

from typing import Any

import numpy as np

from sklearn_codex.lab._expected import Sampling, call_update
from sklearn_codex.lab._problem import CandidateProblem, Update
from sklearn_codex.lab._table import Groups

# What differs by more, in shares of the greatest number, is no rounding.
_SAME = 1e-6
_N_SHUFFLES = 2


def as_it_is_listed(update: Update, problem: Any, sampling: Sampling) -> Any:
    """Return a problem that lists groups in each order where that matters to an update.

    What all orders of a group have in common is found from one of them. It has to be the same for
    responses at other places, which is tried at the reference.
    """
    if not isinstance(problem, CandidateProblem) or sampling.n_samples is not None:
        return problem
    groups = problem.groups(problem.reference, sampling.group_size)
    out, is_policy = _at_reference(update, problem, groups)
    largest = float(np.abs(out).max())
    rng = np.random.RandomState(0)
    for _ in range(_N_SHUFFLES):
        order = np.argsort(rng.rand(*groups.rows.shape), axis=1)
        rows = np.take_along_axis(groups.rows, order, axis=1)
        found, _ = _at_reference(update, problem, Groups(rows, groups.weights, groups.is_exact))
        expected = out if is_policy else np.take_along_axis(out, order[:, :, np.newaxis], axis=1)
        if np.abs(found - expected).max() > _SAME * largest:
            return problem.in_order()
    return problem


def _at_reference(update, problem, groups):
    policies = np.tile(problem.reference, (len(groups.weights), 1))
    return call_update(update, problem.batch(groups, policies, problem.reference))
