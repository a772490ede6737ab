"""To how many digits an update is computed, told from what it gives at points on a line."""

from collections.abc import Callable
from math import comb

import numpy as np

from sklearn_codex._categorical import FloatArray
from sklearn_codex.lab._table import Table

# Lines, nats to their first points and between those, and an order of differences, of which what is
# smooth has none.
_N_LINES, _AWAY, _STEP, _ORDER = 5, 0.05, 0.001, 6
# From where on it is no rounding of floats of 32 bits, nor a curve.
_SEEN = 1e-6


def rounding_of(
    force_at: Callable[[FloatArray], FloatArray], problem: Table, rest: FloatArray
) -> float:
    r"""Return the standard deviation of what rounding adds to a force, 0 if that is none.

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
    another, a line from there stays on its side. The greatest of all forces counts, and the median
    of several lines. Jumps that are closer to each other than the points are taken for rounding.

    References
    ----------
    .. [1] Moré, J. J. and Wild, S. M. (2011). Estimating computational noise. SIAM Journal on
       Scientific Computing, 33(3), 1292-1314.
    """
    places = np.arange(len(problem.reference))
    found = []
    for line in range(_N_LINES):
        away = np.cos((2 * line + 1) * (places + 1.0))
        steps = _AWAY + _STEP * np.arange(_ORDER + 1)
        forces = np.stack([force_at(problem.normalize(rest + step * away)) for step in steps])
        last = np.diff(forces, n=_ORDER, axis=0)[0]
        found.append(float(np.abs(last).max() / np.sqrt(comb(2 * _ORDER, _ORDER))))
    # Where all points give the same number nothing is seen of how it is rounded.
    seen = [sigma for sigma in found if sigma > 0]
    rounding = float(np.median(seen)) if seen else 0.0
    return rounding if rounding > _SEEN else 0.0
