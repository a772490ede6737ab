"""Whether preferences without a penalty have a best reward, by linear programming."""

from typing import Any

import numpy as np
from scipy import sparse
from scipy.optimize import linprog
from scipy.sparse.linalg import LinearOperator, lsqr

from sklearn_codex._categorical import FloatArray

# More entries of pairs than this are not examined: it would take longer than the fit.
MOST_ENTRIES = 200_000
# Residuals of HiGHS, and how far inside, relative to the greatest weight of a pair.
_EXACT, _INSIDE = 1e-10, 1e-8
# Weights that change no margin: how little, of what is left of random ones, by how many steps.
_STILL, _NONE, _MOST_STEPS = 1e-9, 1e-6, 2000


def has_best_weights(design: Any, target: FloatArray, weight: FloatArray) -> bool | None:
    r"""Return whether the log-loss of margins that are linear in weights has a minimum.

    Parameters
    ----------
    design : PairDesign or DifferenceDesign of shape (n_pairs, n_weights)
        D, what margins are made of; a constant added to margins changes nothing.
    target : ndarray of shape (n_pairs,)
        p, out of [0, 1] where labels are corrected for noise.
    weight : ndarray of shape (n_pairs,)
        s, weights of pairs.

    Returns
    -------
    has_best : bool or None
        None where there are too many entries to tell.

    Notes
    -----
    The slope of a pair's loss by its margin is :math:`s (q - p)`, q being the probability that A is
    preferred, which takes all values between 0 and 1 but these. So, by Fenchel duality, there is a
    minimum if and only if some q, all strictly inside, give the gradient :math:`D' s (q - p) = 0`.
    Where there is none, either some direction makes no margin worse and one better for ever, as
    where pairs are separable, in part or all, or the loss falls without bound.
    """
    counted = weight > 0
    n_entries = np.prod(design.shape) if design.is_dense else design.n_entries
    if n_entries > MOST_ENTRIES:
        return None
    pull: Any = sparse.diags_array(weight) @ sparse.csr_array(design.differences)
    pull = sparse.csr_array(pull)[counted]
    greatest = abs(pull).max()
    if greatest == 0:
        return True
    pull /= greatest
    p, n_pairs = target[counted], pull.shape[0]
    one: Any = sparse.csr_array(np.ones((n_pairs, 1)))
    eye: Any = sparse.eye_array(n_pairs)
    inside: Any = sparse.vstack([sparse.hstack([-eye, one]), sparse.hstack([eye, one])])
    balance: Any = sparse.hstack([pull.T, sparse.csr_array((pull.shape[1], 1))])
    # Greatest t with t <= q <= 1 - t and pull' (q - p) = 0.
    found: Any = linprog(
        np.append(np.zeros(n_pairs), -1.0),
        A_ub=inside,
        b_ub=np.append(np.zeros(n_pairs), np.ones(n_pairs)),
        A_eq=balance,
        b_eq=pull.T @ p,
        bounds=[*[(0, 1)] * n_pairs, (0, 0.5)],
        method="highs",
        options={
            "primal_feasibility_tolerance": _EXACT,
            "dual_feasibility_tolerance": _EXACT,
        },
    )
    return bool(found.status == 0 and -found.fun > _INSIDE)


def other_best(design: Any, weight: FloatArray) -> FloatArray | None:
    """Return weights (n_weights,) of size 1 that change no margin, None where there are none.

    Parameters
    ----------
    design : PairDesign or DifferenceDesign of shape (n_pairs, n_weights)
        What margins are made of.
    weight : ndarray of shape (n_pairs,)
        Weights of pairs.
    """
    counts = (weight > 0).astype(np.float64)
    margins = LinearOperator(
        design.shape,
        matvec=lambda weights: counts * design.matvec(np.ravel(weights)),
        rmatvec=lambda slopes: design.rmatvec(counts * np.ravel(slopes)),
        dtype=np.float64,
    )
    some = np.random.RandomState(0).standard_normal(design.shape[1])
    moved = margins.matvec(some)
    left = some - lsqr(margins, moved, atol=1e-14, btol=1e-14, iter_lim=_MOST_STEPS)[0]
    size = float(np.abs(left).max())
    is_still = np.linalg.norm(margins.matvec(left)) <= _STILL * np.linalg.norm(moved)
    return left / size if size > _NONE and is_still else None
