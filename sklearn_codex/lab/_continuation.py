"""Equations of a rest point, solved from where the answer is known."""

from collections.abc import Callable

import numpy as np
from scipy.optimize import root

from sklearn_codex._categorical import FloatArray
from sklearn_codex.lab._table import Table

_FARTHEST, _N_STEPS = 64.0, 12
_TOLERANCE = 1e-9


class NoSolution(ValueError):
    """Raised where an equation of a rest point finds no solution near the reference."""


def solve_from_reference(
    solve: Callable[[FloatArray, float], FloatArray], table: Table, kl_coef: float
) -> FloatArray:
    """Return the policy (n_rows,) that an equation maps to itself.

    Parameters
    ----------
    solve : callable
        Policy and weight of the KL to the policy that the equation makes of it.
    table : Table
        Whose reference is the answer where the KL weighs much; the answer is followed from there.
    kl_coef : float
        Weight asked for.

    Raises
    ------
    NoSolution
        If it finds none.
    """
    log_prob = table.reference

    def off(logits: FloatArray, coef: float) -> FloatArray:
        return logits - solve(table.normalize(logits), coef)

    for coef in kl_coef * np.geomspace(_FARTHEST, 1.0, _N_STEPS):
        log_prob = table.normalize(root(off, log_prob, args=(float(coef),), tol=1e-13).x)
    residual = float(np.abs(log_prob - solve(log_prob, kl_coef)).max())
    if not residual <= _TOLERANCE:
        raise NoSolution(
            f"The equation of the rest point has no solution near the reference at a KL of weight "
            f"{kl_coef:g}, the best is {residual:.1g} nats off. Use a greater kl_coef."
        )
    return log_prob
