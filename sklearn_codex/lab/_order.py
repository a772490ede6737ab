"""Whether it matters to an update which response of a batch comes first."""

from typing import Any

import numpy as np

from sklearn_codex.lab._called import call_update
from sklearn_codex.lab._expected import Sampling
from sklearn_codex.lab._problem import CandidateProblem, Update
from sklearn_codex.lab._table import Groups

# What differs by more, in shares of the greatest number, is no rounding.
_SAME = 1e-6
_N_SHUFFLES = 2


def as_it_is_listed(update: Update, problem: Any, sampling: Sampling) -> Any:
    """Return a problem that lists groups in each order where that matters to an update.

    What all orders of a group have in common is found from one of them. It has to be the same for
    responses at other places, which is tried at the reference, where the log-ratio is 0, at another
    policy, and at a third that this has become since it drew, where the ratio is not 1.
    """
    if not isinstance(problem, CandidateProblem) or sampling.n_samples is not None:
        return problem
    groups = problem.groups(problem.reference, sampling.group_size)
    rng = np.random.RandomState(0)
    near = rng.standard_normal((2, len(problem.reference)))
    first, second = (problem.normalize(problem.reference + row) for row in near)
    for now, drew in ((problem.reference, problem.reference), (first, first), (second, first)):
        out, is_policy = _at(update, problem, groups, now, drew)
        largest = float(np.abs(out).max())
        for _ in range(_N_SHUFFLES):
            order = np.argsort(rng.rand(*groups.rows.shape), axis=1)
            rows = np.take_along_axis(groups.rows, order, axis=1)
            shuffled = Groups(rows, groups.weights, groups.is_exact)
            found, _ = _at(update, problem, shuffled, now, drew)
            there = out if is_policy else np.take_along_axis(out, order[:, :, np.newaxis], axis=1)
            if np.abs(found - there).max() > _SAME * largest:
                return problem.in_order()
    return problem


def _at(update, problem, groups, now, drew):
    policies = np.tile(now, (len(groups.weights), 1))
    return call_update(update, problem.batch(groups, policies, drew))
