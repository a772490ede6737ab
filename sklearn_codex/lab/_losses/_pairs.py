"""What losses of pairs read and return."""

import numpy as np
from numpy.typing import ArrayLike

from sklearn_codex._categorical import FloatArray

# Loss of each pair, and its derivatives by the log-probabilities of chosen and rejected response.
PairLoss = tuple[FloatArray, FloatArray, FloatArray]


def log_ratios(
    policy_chosen_logps: ArrayLike,
    policy_rejected_logps: ArrayLike,
    ref_chosen_logps: ArrayLike,
    ref_rejected_logps: ArrayLike,
) -> FloatArray:
    """Return by how many nats (...,) more than the reference a policy prefers what won."""
    arrays = (policy_chosen_logps, policy_rejected_logps, ref_chosen_logps, ref_rejected_logps)
    chosen, rejected, ref_chosen, ref_rejected = (np.asarray(a, dtype=np.float64) for a in arrays)
    return (chosen - ref_chosen) - (rejected - ref_rejected)


def softplus(x: FloatArray) -> FloatArray:
    """Return log(1 + exp(x)), which is -log sigmoid(-x)."""
    return np.logaddexp(0.0, x)
