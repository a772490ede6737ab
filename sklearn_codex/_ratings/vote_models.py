"""How votes follow from margins: a tie is half a vote, or an outcome, and so is "both bad".

One interface for all: what is fitted, what is predicted, and the moments of standard errors.
"""

from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from scipy.special import expit, log_expit

from sklearn_codex._categorical import FloatArray, IntArray
from sklearn_codex._data.designs import DifferenceDesign
from sklearn_codex._ratings.both_bad import BothBadLoss
from sklearn_codex._ratings.labels import BAD, BOTH_BAD, HALF
from sklearn_codex._ratings.uncertainty import Moments, make_moments
from sklearn_codex._ratings.votes import Votes
from sklearn_codex._reward.bradley_terry import BradleyTerryLoss, fit_weights
from sklearn_codex._reward.tie_losses import TIE, TIE_LOSSES
from sklearn_codex._solve.newton import FitState, minimise

TIES = (HALF, *TIE_LOSSES, BOTH_BAD)
# Ties where there are none in the data: the limit of each model.
NO_TIES = {"davidson": -np.inf, "rao-kupper": 0.0, BOTH_BAD: -np.inf}


class OutcomeParameters(NamedTuple):
    """Parameters of outcomes beside margins.

    Parameters
    ----------
    log_tie : float or None
        Logarithm of the parameter of ties; None where ties are halves.
    log_bad : float or None
        Of the odds that both are bad; None where that is no outcome.
    """

    log_tie: float | None
    log_bad: float | None


def kinds_of(votes: Votes) -> Any:
    """Return the outcomes (n,) as B, TIE, A and BAD."""
    return np.where(votes.bad, BAD, np.rint(2 * votes.target).astype(np.intp))


def fit_outcomes(
    ties: str, votes: Votes, design: Any, level: Any, penalty: FloatArray, **settings: Any
) -> tuple[FitState, FloatArray, OutcomeParameters]:
    """Return the state of the solver, the weights (V,) and the parameters of outcomes.

    Parameters
    ----------
    ties : str
        One of ``TIES``.
    votes : Votes
    design, level : csr_array or ndarray of shape (n, V)
        What makes margins, and the level of the two models; that is used for "both-bad" only.
    penalty : ndarray of shape (V,)
    settings : dict
        ``tol`` and ``max_iter``.
    """
    outcome, weight = kinds_of(votes), votes.total
    if ties == BOTH_BAD and (outcome == BAD).any():
        loss: Any = BothBadLoss(design, level, outcome, weight, penalty=penalty)
        state = minimise(loss, loss.start(), **settings)
        *weights, log_tie, log_bad = state.point.weights
        return state, np.array(weights), OutcomeParameters(float(log_tie), float(log_bad))
    log_bad = -np.inf if ties == BOTH_BAD else None
    margins = DifferenceDesign(design)
    if ties == HALF or not (outcome == TIE).any():
        loss = BradleyTerryLoss(margins, votes.target, weight, penalty=penalty)
        state = fit_weights(loss, **settings)
        return state, state.point.weights, OutcomeParameters(NO_TIES.get(ties), log_bad)
    loss = TIE_LOSSES[_as_tie_loss(ties)](margins, outcome, weight, penalty=penalty)
    share = float(np.average(outcome == TIE, weights=weight))
    start = np.append(np.zeros(design.shape[1]), loss.initial_tie(share))
    state = minimise(loss, start, **settings)
    *weights, log_tie = state.point.weights
    return state, np.array(weights), OutcomeParameters(float(log_tie), log_bad)


def _as_tie_loss(ties):
    """Return the model of ties that is left where no vote is that both are bad."""
    return "davidson" if ties == BOTH_BAD else ties


def log_prob(
    ties: str, margin: FloatArray, level: FloatArray, outcomes: OutcomeParameters
) -> FloatArray:
    """Return log P of B, tie, A and both bad (n, 4); of ties as halves those of A and B."""
    nothing = np.full(len(margin), -np.inf)
    if ties == BOTH_BAD and outcomes.log_bad is not None:
        return BothBadLoss.log_prob(margin, outcomes.log_tie, outcomes.log_bad - level)
    if outcomes.log_tie is None:
        return np.column_stack([log_expit(-margin), nothing, log_expit(margin), nothing])
    found = TIE_LOSSES[ties].log_prob(margin, outcomes.log_tie)
    return np.column_stack([found, nothing])


def find_moments(
    ties: str,
    votes: Votes,
    design: Any,
    level: Any,
    weights: FloatArray,
    outcomes: OutcomeParameters,
    code: IntArray,
) -> Moments:
    """Return the moments of all votes, with the parameters of outcomes as the last columns.

    Parameters
    ----------
    ties, votes, design, level
        As for ``fit_outcomes``.
    weights : ndarray of shape (V,)
    outcomes : Outcomes
    code : ndarray of int of shape (n,) or (n, 2)
        Group of each vote.
    """
    design, margin = sparse.csr_array(design), design @ weights
    n, target, outcome = len(margin), votes.target, kinds_of(votes)
    one, none = sparse.csr_array(np.ones((n, 1))), sparse.csr_array((n, 1))
    empty = sparse.csr_array(design.shape)
    if outcomes.log_bad is not None and np.isfinite(outcomes.log_bad):
        parts = [[design, none, none], [empty, one, none], [-1.0 * level, none, one]]
        bad_loss = BothBadLoss(design, level, outcome, votes.total, penalty=0.0)
        whole = np.concatenate([weights, np.array(outcomes, dtype=np.float64)])
        predictors = bad_loss.predictors(whole)
        first = bad_loss.first_derivatives(predictors)
        second = bad_loss.second_derivatives(predictors)
    elif outcomes.log_tie is None or outcomes.log_tie == NO_TIES[ties]:
        parts = [[design]]
        first = ((1 - target) * expit(margin) - target * expit(-margin))[np.newaxis]
        second = (expit(margin) * expit(-margin))[np.newaxis, np.newaxis]
    else:
        parts = [[design, none], [empty, one]]
        loss = TIE_LOSSES[_as_tie_loss(ties)](DifferenceDesign(design), outcome, votes.total)
        first = np.stack(loss.first_derivatives(margin, outcomes.log_tie))
        by_margin, cross, by_tie = loss.second_derivatives(margin, outcomes.log_tie)
        second = np.array([[by_margin, cross], [cross, by_tie]])
    designs = [sparse.csr_array(sparse.hstack(part)) for part in parts]
    return make_moments(designs, votes.total * first, votes.total * second, code)
