"""To how many digits an update is computed, told from what it gives at points on a line."""

from collections.abc import Callable
from math import comb

import numpy as np

from sklearn_codex._categorical import FloatArray
from sklearn_codex.lab._table import Table

# Lines, nats to the first point and to each after it, and the order of differences, which what is
# smooth has none of.
_N_LINES, _STEP, _ORDER = 3, 0.005, 6
# From where on it is no rounding of floats.
_SEEN = 1e-9


def rounding_of(
    force_at: Callable[[FloatArray], FloatArray], problem: Table, rest: FloatArray
) -> float:
    r"""Return the standard deviation of what rounding adds to a force, 0 where it is that of floats.

    Parameters
    ----------
    force_at : callable
        Policy (n_rows,) to forces (n_rows,).
    problem : CandidateProblem or PreferenceProblem
    rest : ndarray of shape (n_rows,)
        The policy near which it is asked for.

    Notes
    -----
    Differences of order k of independent errors have the variance
    :math:`\sigma^2 (2k)! / (k!)^2`, while those of a smooth function at points h apart fall with
    :math:`h^k` [1]_. Lines lead away from the rest, as where an update jumps from one side of it to
    another, a line from there stays on its side. The greatest of all forces counts, and the least
    of several lines, since what is rounded is so everywhere.

    References
    ----------
    .. [1] Moré, J. J. and Wild, S. M. (2011). Estimating computational noise. SIAM Journal on
       Scientific Computing, 33(3), 1292-1314.
    """
    places = np.arange(len(problem.reference))
    found = []
    for line in range(_N_LINES):
        away = np.cos((2 * line + 1) * (places + 1.0))
        steps = _STEP * np.arange(4, 5 + _ORDER)
        forces = np.stack([force_at(problem.normalize(rest + step * away)) for step in steps])
        last = np.diff(forces, n=_ORDER, axis=0)[0]
        found.append(float(np.abs(last).max() / np.sqrt(comb(2 * _ORDER, _ORDER))))
    # Where all points give the same number nothing is seen of how it is rounded.
    rounding = min((sigma for sigma in found if sigma > 0), default=0.0)
    return rounding if rounding > _SEEN else 0.0
