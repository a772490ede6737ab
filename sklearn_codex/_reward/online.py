"""A Gaussian in the place of pairs that are gone: the loss of a batch of a stream, and its summary.

After a batch the past is kept as a quadratic around the weights it led to, which is Newton's method
with one step a batch where batches are large, and assumed-density filtering where they are small.
"""

from typing import Any

import numpy as np

from sklearn_codex._categorical import FloatArray
from sklearn_codex._reward.bradley_terry import BradleyTerryLoss

# Up to this many weights the summary is a matrix, beyond it the diagonal.
MAX_DENSE = 128


class StreamLoss(BradleyTerryLoss):
    r"""Bradley-Terry log-loss of a batch, and a Gaussian prior that sums up what came before.

    Parameters
    ----------
    design, target, sample_weight, C
        As in :class:`BradleyTerryLoss`.
    mean : ndarray of shape (V,)
        Weights before the batch.
    precision : ndarray of shape (V,) or (V, V)
        Diagonal or matrix Q of the quadratic.

    Notes
    -----
    .. math::
        f(w) = C \sum_i s_i [-p_i \log \sigma(m_i) - (1 - p_i) \log \sigma(-m_i)]
               + \tfrac{1}{2} (w - \mu)' Q (w - \mu)

    With :math:`\mu = 0` and Q the identity it is the loss of a fit.
    """

    def __init__(self, design, target, sample_weight=None, *, C, mean, precision):
        super().__init__(design, target, sample_weight, C=C)
        self.mean = mean
        self.precision = precision
        self.penalty = precision if precision.ndim == 1 else np.diag(precision)

    def _pull(self, direction: FloatArray) -> FloatArray:
        """Return Q d (V,)."""
        if self.precision.ndim == 1:
            return self.precision * direction
        return self.precision @ direction

    def value(self, weights, margins):
        """Return f(w)."""
        away = weights - self.mean
        data = float(np.sum(self.pair_weight * self.pair_losses(margins)))
        return data + 0.5 * float(np.sum(away * self._pull(away)))

    def gradient(self, weights, margins):
        """Return the gradient of f (V,)."""
        origin = np.zeros_like(weights)
        return super().gradient(origin, margins) + self._pull(weights - self.mean)

    def hessian_product(self, curvature, direction):
        """Return H d (V,) and, computed on the way, D d (n_pairs,)."""
        moved = self.design.matvec(direction)
        return self.design.rmatvec(curvature * moved) + self._pull(direction), moved


def initial_precision(penalty: FloatArray) -> FloatArray:
    """Return the precision (V,) or (V, V) before any batch, whose diagonal is the penalty."""
    return np.diag(penalty) if len(penalty) <= MAX_DENSE else penalty


def precision_after(
    loss: BradleyTerryLoss, margins: FloatArray, precision: FloatArray
) -> FloatArray:
    """Return a precision, (V,) or (V, V), with the curvature of a batch at its optimum added."""
    curvature = loss.curvature(margins)
    if precision.ndim == 1:
        return precision + loss.design.column_squares(curvature)
    design: Any = loss.design  # one of ours, which have more than the loss asks for
    return precision + design.gram(curvature)
