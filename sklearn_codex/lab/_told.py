"""Whether the best policy leaves enough of responses to tell algorithms by where they rest."""

from typing import Any

import numpy as np

from sklearn_codex._categorical import FloatArray, IntArray
from sklearn_codex._plain import show_controls

# Nats below the most probable response at which a log-ratio says no more.
RARE = 24.0
# Nats of a target that is the reference itself.
SMALLEST_TILT = 1e-3
# Errors of so many tolerances are told.
_TOLERANCES = 3.0
# Steps and range in which a weight of the KL is sought that would do.
_STEP, _N_STEPS = 1.1, 200


def kept_rows(problem: Any, log_prob: FloatArray, prompt: int) -> tuple[IntArray, int]:
    """Return the rows of a prompt whose log-ratios count at a policy, and the most probable one."""
    rows = np.flatnonzero(problem.prompts == prompt)
    best = rows[np.argmax(log_prob[rows])]
    return rows[log_prob[rows] >= log_prob[best] - RARE], int(best)


def check_told(problem: Any, wanted: FloatArray, tol: float) -> None:
    """Raise ValueError where an update with half the KL, or one by lengths, would rest there too.

    Parameters
    ----------
    problem : CandidateProblem or PreferenceProblem
    wanted : ndarray of shape (n_rows,)
        Its best policy.
    tol : float
        What is allowed for a distance and an error of log-ratios.
    """
    why = _blind(problem, wanted, problem.kl_coef, tol)
    if not why:
        return
    name = show_controls(str(problem.name))
    raise ValueError(
        f"check_algorithm needs a kl_coef at which wrong algorithms rest elsewhere, got problem "
        f'"{name}" with kl_coef={problem.kl_coef:g}, whose best policy {why}. '
        f"{_remedy(problem, wanted, tol)}"
    )


def _remedy(problem: Any, wanted: FloatArray, tol: float) -> str:
    """Return which weight of the KL would do, in words."""
    for step in range(1, _N_STEPS):
        coef = float(f"{problem.kl_coef * _STEP**step:.2g}")
        at_coef = problem.tilt((wanted - problem.reference) * problem.kl_coef / coef)
        if coef > problem.kl_coef and not _blind(problem, at_coef, coef, tol):
            return f"Make it with a kl_coef of {coef:g} or somewhat more, or with smaller rewards."
    return "No other kl_coef does: make it with a reference that leaves more responses possible."


def _blind(problem: Any, wanted: FloatArray, kl_coef: float, tol: float) -> str:
    """Return why not enough can be told from a policy, nothing where it can."""
    tilt = wanted - problem.reference
    half = problem.tilt(2 * tilt)
    kept = [kept_rows(problem, wanted, x)[0] for x in range(len(problem.shares))]
    possible = [kept_rows(problem, problem.reference, x)[0] for x in range(len(problem.shares))]
    size = max(max(float(np.ptp(tilt[rows])) for rows in kept), SMALLEST_TILT)
    few = _TOLERANCES * tol
    if not any(len(np.union1d(k, p)) > 1 for k, p in zip(kept, possible, strict=True)):
        return "has one response to each prompt, as nearly has the reference"
    for prompt, (rows, before) in enumerate(zip(kept, possible, strict=True)):
        if len(np.setdiff1d(before, rows)) == 0:
            continue
        of_prompt = problem.prompts == prompt
        apart = 0.5 * float(np.abs(np.exp(half) - np.exp(wanted))[of_prompt].sum())
        if max(apart, float(np.ptp(tilt[rows])) / size) <= few:
            left = "one response" if len(rows) == 1 else f"{len(rows)} responses of one reward"
            return (
                f"leaves {left} of prompt {prompt} and of all others less than e**-{RARE:g} of "
                "that, so that half the KL, or none, would rest there as well"
            )
    return _without_lengths(problem, wanted, kept, possible, few)


def _without_lengths(problem: Any, wanted: FloatArray, kept: Any, possible: Any, few: float) -> str:
    """Return which lengths are not there to tell a bias by, nothing where all are.

    Both ends count: the shortest has most padding, the longest has most tokens. Where all but the
    best response are rare, its advantage is 0 whatever its length does, so another has to be long.
    """
    told = []
    for rows in kept:
        best = rows[np.argmax(wanted[rows])]
        rest = -np.expm1(wanted[best] - np.log(problem.shares[problem.prompts[best]]))
        told.append(rows[rows != best] if rest <= few else rows)
    of_kept, of_told, of_all = (
        problem.lengths[np.concatenate(rows)] for rows in (kept, told, possible)
    )
    shortest, longest = int(of_all.min()), int(of_all.max())
    for length, is_there in (
        (longest, (of_told >= longest).any()),
        (shortest, (of_kept <= shortest).any()),
    ):
        if shortest < longest and not is_there:
            return (
                f"leaves responses of {length} token{'s' * (length > 1)}, but for one that takes "
                f"all, less than e**-{RARE:g} of the best one, so that what an algorithm does by "
                "the length would not show"
            )
    return ""
