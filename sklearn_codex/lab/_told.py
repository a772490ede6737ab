"""Whether the best policy leaves enough of responses to tell algorithms by where they rest."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from sklearn_codex._categorical import FloatArray, IntArray
from sklearn_codex._plain import show_controls
from sklearn_codex.lab._problem import CandidateProblem
from sklearn_codex.lab._rest_rewards import tilt_to

# Nats below the most probable response at which a log-ratio says no more.
RARE = 24.0
# Nats of a target that is the reference itself.
SMALLEST_TILT = 1e-3
# Errors of so many tolerances are told.
_TOLERANCES = 3.0
# Nats of all log-ratios below which directions of the KL may be one.
_SMALL_TILT = 0.5
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
    if _hidden_beside(problem, wanted, tol):
        # A difference of rewards of this weight tilts by a nat.
        coefs = [problem.kl_coef * _size(problem, wanted)]
        words = "somewhat less, or with greater rewards"
    else:
        coefs = [problem.kl_coef * _STEP**step for step in range(1, _N_STEPS)]
        words = "somewhat more, or with smaller rewards"
    for coef in (float(f"{coef:.2g}") for coef in coefs):
        if coef in (0.0, problem.kl_coef):
            continue
        at_coef = problem.tilt((wanted - problem.reference) * (problem.kl_coef / coef))
        if not _blind(problem, at_coef, coef, tol):
            return f"Make it with a kl_coef of {coef:g} or {words}."
    if coefs == [0.0]:
        return "Make it with rewards that differ, and a kl_coef of their size."
    return "No other kl_coef does: make it with a reference that leaves more responses possible."


def _size(problem: Any, wanted: FloatArray) -> float:
    """Return the greatest difference of two log-ratios to the reference, in nats."""
    tilt = wanted - problem.reference
    kept = (kept_rows(problem, wanted, x)[0] for x in range(len(problem.shares)))
    return max(float(np.ptp(tilt[rows])) for rows in kept)


def _hidden_beside(problem: Any, wanted: FloatArray, tol: float) -> str:
    """Return which wrong KL rests at a policy beside the reference, nothing where none does.

    Half the KL is an error of the size itself. The other direction, KL(reference || policy), is the
    same to the first order.
    """
    size, error = _size(problem, wanted), 0.0
    left, before = (
        [len(kept_rows(problem, at, x)[0]) for x in range(len(problem.shares))]
        for at in (wanted, problem.reference)
    )
    if left != before or max(left) == 1:
        return ""
    if size <= _TOLERANCES * tol * SMALLEST_TILT:
        return "half the KL"
    if size > _SMALL_TILT or not isinstance(problem, CandidateProblem):
        return ""
    for prompt, share in enumerate(problem.shares):
        rows, best = kept_rows(problem, wanted, prompt)
        reference, tilt = problem.reference[rows], (wanted - problem.reference)[rows]
        other = tilt_to(reference, tilt, np.ones(len(rows)), share, "forward") - wanted[rows]
        error = max(error, float(np.abs(other - other[rows == best]).max()))
    return "KL(reference || policy)" * (error / max(size, SMALLEST_TILT) <= tol)


def error_of_half_kl(problem: CandidateProblem, policies: Sequence[FloatArray]) -> float:
    """Return the sine of the angle between the exact gradients of half the KL and of the whole.

    Over several policies (n_rows,) at once, as an update is compared with the whole.
    """
    half = replace(problem, objective=problem.objective.having(kl_coef=problem.kl_coef / 2))
    whole, halved = (
        np.concatenate([problem.centred(of.exact_gradient(at)) for at in policies])
        for of in (problem, half)
    )
    whole, halved = (x / max(np.linalg.norm(x), np.finfo(np.float64).tiny) for x in (whole, halved))
    return float(np.linalg.norm(halved - (halved @ whole) * whole))


def check_told_by_gradient(
    problem: CandidateProblem, policies: Sequence[FloatArray], tol: float
) -> None:
    """Raise ValueError where half the KL leaves the gradient as it is, whatever batches are drawn.

    It does where the KL is next to nothing of it, and where it is all: a factor is free.
    """
    few = _TOLERANCES * tol
    error = error_of_half_kl(problem, policies)
    if error > few:
        return
    remedy = "Make it with rewards that differ, and a kl_coef of their size."
    for step in sorted(range(-_N_STEPS, _N_STEPS), key=abs):
        coef = float(f"{problem.kl_coef * _STEP**step:.2g}")
        other = replace(problem, objective=problem.objective.having(kl_coef=coef))
        if error_of_half_kl(other, policies) > few:
            more = "more" if step > 0 else "less"
            remedy = (
                f"Make it with a kl_coef of {coef:g} or {more}, nearer the size of the rewards."
            )
            break
    raise ValueError(
        "check_algorithm needs a kl_coef at which the KL shows in the gradient, got problem "
        f'"{show_controls(str(problem.name))}" with kl_coef={problem.kl_coef:g}, of which half '
        f"would be an error of {error:.2g} in the gradient. {remedy}"
    )


def _blind(problem: Any, wanted: FloatArray, kl_coef: float, tol: float) -> str:
    """Return why not enough can be told from a policy, nothing where it can."""
    tilt = wanted - problem.reference
    half = problem.tilt(2 * tilt)
    kept = [kept_rows(problem, wanted, x)[0] for x in range(len(problem.shares))]
    possible = [kept_rows(problem, problem.reference, x)[0] for x in range(len(problem.shares))]
    size, few = _size(problem, wanted), _TOLERANCES * tol
    if not any(len(np.union1d(k, p)) > 1 for k, p in zip(kept, possible, strict=True)):
        return "has one response to each prompt, as nearly has the reference"
    hidden = _hidden_beside(problem, wanted, tol)
    if hidden:
        return (
            f"is the reference but for {size:.2g} nats, so that {hidden} would rest there as well"
        )
    for prompt, (rows, before) in enumerate(zip(kept, possible, strict=True)):
        if len(np.setdiff1d(before, rows)) == 0:
            continue
        of_prompt = problem.prompts == prompt
        apart = 0.5 * float(np.abs(np.exp(half) - np.exp(wanted))[of_prompt].sum())
        if max(apart, float(np.ptp(tilt[rows])) / max(size, SMALLEST_TILT)) <= few:
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
