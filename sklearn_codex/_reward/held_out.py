"""Margins of pairs that a Bradley-Terry model has not seen, all folds on one design."""

import numpy as np

from sklearn_codex._categorical import FloatArray
from sklearn_codex._data.designs import DifferenceDesign, as_columns
from sklearn_codex._reward.bradley_terry import BradleyTerryLoss, fit_weights
from sklearn_codex._solve.newton import warn_unless_converged

MAX_ITER = 100


def as_design(pairs):
    """Return feature differences (n_pairs, V) as a design that many folds are fitted on."""
    if hasattr(pairs, "matvec"):
        return pairs
    return as_columns(DifferenceDesign(pairs))


def margins_without(
    design, target: FloatArray, rows, held_out, *, C: float, tol: float, weight=None
) -> FloatArray:
    """Return the margins (n_held_out,) of some pairs by a model of others.

    The weights are those of ``PreferenceRewardModel(C=C, tol=tol)``, whose pairs may be turned in
    any way. Start at zero: another fit has seen labels that are held out here.

    Parameters
    ----------
    design : PairDesign or DifferenceDesign of shape (n_pairs, V)
        Of all pairs.
    target : ndarray of shape (n_pairs,)
        Probability that A is preferred.
    rows, held_out : ndarray of int
        Positions of the pairs to learn from and of those that are asked for.
    weight : ndarray of shape (n_pairs,), default=None
        Of pairs; None means 1.

    Warns
    -----
    ConvergenceWarning
        If 100 steps were not enough.
    """
    weight = np.ones(len(target)) if weight is None else weight
    # Of most pairs a part is a copy and hardly quicker; a pair that weighs nothing is none.
    if is_part := 2 * len(rows) < len(target):
        part, target, kept = design.take(rows), target[rows], weight[rows]
    else:
        part, kept = design, np.zeros(len(target))
        kept[rows] = weight[rows]
    state = fit_weights(BradleyTerryLoss(part, target, kept, C=C), tol=tol, max_iter=MAX_ITER)
    warn_unless_converged(state, subject="A model of the other pairs")
    point = state.point
    margins = design.matvec(point.weights) if is_part else point.margins
    return margins[held_out]
