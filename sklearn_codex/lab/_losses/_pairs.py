"""What losses of pairs read and return."""

import numpy as np
from numpy.typing import ArrayLike

from sklearn_codex._categorical import FloatArray
from sklearn_codex._checks.numbers import check_number
from sklearn_codex.lab._numbers import read_numbers

# Loss of each pair, and its derivatives by the log-probabilities of chosen and rejected response.
PairLoss = tuple[FloatArray, FloatArray, FloatArray]


def read_pairs_of(subject: str, beta: float, **values: ArrayLike) -> list[FloatArray]:
    """Return what a loss of pairs is given as arrays of one shape, one number a pair.

    Raises
    ------
    ValueError
        If their shapes differ, or beta is no positive number; 0 is allowed where it is a weight.
    """
    beta = check_number(beta, "beta", subject=subject)
    arrays = [read_numbers(value, name, subject) for name, value in values.items()]
    shapes = [array.shape for array in arrays]
    if len(set(shapes)) > 1:
        raise ValueError(
            f"{subject} needs {', '.join(values)} of one shape, a number a pair, got "
            f"{', '.join(map(str, shapes))}. Sum log-probabilities over the tokens of a response."
        )
    if not 0 <= beta < np.inf or (beta == 0 and subject != "orpo_loss"):
        raise ValueError(f"{subject} needs a finite beta > 0, got {beta}.")
    return arrays


def log_ratios(
    subject: str,
    beta: float,
    policy_chosen_logps: ArrayLike,
    policy_rejected_logps: ArrayLike,
    ref_chosen_logps: ArrayLike,
    ref_rejected_logps: ArrayLike,
) -> FloatArray:
    """Return by how many nats (...,) more than the reference a policy prefers what won."""
    chosen, rejected, ref_chosen, ref_rejected = read_pairs_of(
        subject,
        beta,
        policy_chosen_logps=policy_chosen_logps,
        policy_rejected_logps=policy_rejected_logps,
        ref_chosen_logps=ref_chosen_logps,
        ref_rejected_logps=ref_rejected_logps,
    )
    return (chosen - ref_chosen) - (rejected - ref_rejected)


def softplus(x: FloatArray) -> FloatArray:
    """Return log(1 + exp(x)), which is -log sigmoid(-x)."""
    return np.logaddexp(0.0, x)
