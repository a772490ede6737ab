"""Which tokens an update leaves out of the gradient, whatever policy it is shown."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from sklearn_codex._categorical import BoolArray, FloatArray
from sklearn_codex.lab._called import call_update
from sklearn_codex.lab._expected import Sampling
from sklearn_codex.lab._problem import CandidateProblem, Update

# Nats of a token that are none, so that it is sure and its gradient moves nothing.
_SURE = 1e-9
# What is no gradient, in shares of the greatest, of a batch or of its response.
_NONE = 1e-12
# Nats by which a token is made rare, beside those that all rewards are worth, and at most.
_RARER, _RAREST = 2.0, 300.0


def share_untrained(
    update: Update, problem: Any, sampling: Sampling, policies: Sequence[FloatArray]
) -> float:
    """Return the share of uncertain tokens that are left out of the gradient.

    Such a token has none in any batch, at any policy, or none in all batches whose longest response
    has some length, though others of its response do, as where a mask is shifted after a batch was
    cut. A rest point does not show them: where all others of a prompt are trained, they go by the
    sum of its probabilities.

    An update may leave a response alone by right, as the best of its batch, or a token that got no
    advantage. So each token that seems left out is made rare as well, and the other responses. And
    a token that no other response of a batch reaches may have nothing to be compared with: such a
    batch does not count, unless one that is alone like that has a gradient somewhere.

    Parameters
    ----------
    update : callable
    problem : CandidateProblem or PreferenceProblem
    sampling : Sampling
    policies : list of ndarray of shape (n_rows,)
        Where it is called, beside those and the reference turned round.

    Returns
    -------
    share : float
        0 where it returns policies, and on preferences, whose tokens have no gradient of their own.
    """
    uncertain = _uncertain(problem)
    if not uncertain.any():
        return 0.0
    seen = _Seen(problem)
    for policy in (*policies, problem.normalize(-problem.reference)):
        if not seen.look(update, sampling, policy):
            return 0.0
    for row, place in np.argwhere(seen.left_out() & uncertain):
        for policy in _rare(problem, row, place):
            if seen.left_out()[row, place]:
                seen.look(update, sampling, policy)
    return float(seen.left_out()[uncertain].mean())


def _uncertain(problem: Any) -> BoolArray:
    if not isinstance(problem, CandidateProblem):
        return np.zeros(1, dtype=bool)
    return problem.mask & (problem.token_log_prob(problem.reference) < -_SURE)


def _rare(problem: CandidateProblem, row: int, place: int) -> list[FloatArray]:
    """Return the reference with a token made rare, and with all other responses made rare."""
    with np.errstate(over="ignore", divide="ignore"):
        worth = np.ptp(problem.rewards) / problem.kl_coef
    nats = min(_RARER + worth, _RAREST)
    of_prompt, with_it = problem.begins[row, [0, place + 1]]
    rare = (with_it, of_prompt & (np.arange(len(of_prompt)) != row))
    return [problem.normalize(problem.reference - nats * rows) for rows in rare]


class _Seen:
    """The greatest gradient of each token in shares of its response's, by the longest of a batch.

    Attributes
    ----------
    problem : CandidateProblem
    greatest : ndarray of shape (n_tokens + 1, n_rows, n_tokens)
        By the length of the longest response.
    compared : ndarray of bool of the same shape
        Whether there was a batch in which the response had a gradient, and another had the place.
    trained : ndarray of bool of the same shape
        Whether there was one in which the response had a gradient.
    trains_alone : bool
        Whether a token at a place that no other response of a batch had got a gradient.
    """

    def __init__(self, problem: CandidateProblem) -> None:
        self.problem = problem
        shape = (problem.tokens.shape[1] + 1, *problem.tokens.shape)
        self.greatest, self.trains_alone = np.zeros(shape), False
        self.compared, self.trained = np.zeros((2, *shape), dtype=bool)

    def look(self, update: Update, sampling: Sampling, policy: FloatArray) -> bool:
        """Call an update for all batches of a policy, and return whether it gives gradients."""
        problem = self.problem
        groups = problem.groups(policy, sampling.group_size)
        at_each = np.tile(policy, (len(groups.weights), 1))
        out, is_policy = call_update(update, problem.batch(groups, at_each, policy))
        if is_policy:
            return False
        rows, size = groups.rows, np.abs(out)
        of_response = size.max(axis=2, keepdims=True)
        has_some = of_response > _NONE * size.max()
        share = np.where(has_some, size / np.where(has_some, of_response, 1.0), 0.0)
        reached, named = problem.mask[rows], rows[:, :, np.newaxis]
        first = np.where(reached, named, len(problem.tokens)).min(axis=1, keepdims=True)
        others = np.where(reached, named, -1).max(axis=1, keepdims=True) > first
        at = (problem.lengths[rows].max(axis=1)[:, np.newaxis], rows)
        np.maximum.at(self.greatest, at, share)
        np.logical_or.at(self.compared, at, has_some & others)
        np.logical_or.at(self.trained, at, has_some)
        self.trains_alone |= bool((share > _NONE)[reached & ~others].any())
        return True

    def left_out(self) -> BoolArray:
        """Return which tokens (n_rows, n_tokens) are left out, those that are sure among them."""
        none = self.greatest <= _NONE
        judged = self.trained if self.trains_alone else self.compared
        return none.all(axis=0) | (none & judged).any(axis=0)
