"""Which tokens an update leaves out of the gradient, whatever policy it is shown."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from sklearn_codex._categorical import FloatArray
from sklearn_codex.lab._called import call_update
from sklearn_codex.lab._expected import Sampling
from sklearn_codex.lab._problem import CandidateProblem, Update

# Nats of a token that are none, so that it is sure and its gradient moves nothing.
_SURE = 1e-9
# What is no gradient, in shares of the greatest.
_NONE = 1e-12


def share_untrained(
    update: Update, problem: Any, sampling: Sampling, policies: Sequence[FloatArray]
) -> float:
    """Return the share of uncertain tokens that have no gradient in any batch, at any policy.

    A rest point does not show them: where all others of a prompt are trained, they go by the sum of
    its probabilities. One policy more is the reference turned round, at which another response is
    the most probable, as a baseline may be the score of that, which leaves it alone by right.

    Parameters
    ----------
    update : callable
    problem : CandidateProblem or PreferenceProblem
    sampling : Sampling
    policies : list of ndarray of shape (n_rows,)
        Where it is called, beside that one.

    Returns
    -------
    share : float
        0 where it returns policies, and on preferences, whose tokens have no gradient of their own.
    """
    if not isinstance(problem, CandidateProblem):
        return 0.0
    greatest = np.zeros(problem.tokens.shape)
    for policy in (*policies, problem.normalize(-problem.reference)):
        groups = problem.groups(policy, sampling.group_size)
        at_each = np.tile(policy, (len(groups.weights), 1))
        out, is_policy = call_update(update, problem.batch(groups, at_each, policy))
        if is_policy:
            return 0.0
        np.maximum.at(greatest, groups.rows, np.abs(out))
    uncertain = problem.mask & (problem.token_log_prob(problem.reference) < -_SURE)
    if not uncertain.any():
        return 0.0
    return float((greatest[uncertain] <= _NONE * greatest.max()).mean())
