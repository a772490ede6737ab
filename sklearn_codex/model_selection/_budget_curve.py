r"""The curve of errors by the number of prompts, and how far it may be off.

The error of a model of n prompts is taken to be :math:`a + b n^{-c}` with b not negative and a at
least a floor. Three sizes tell little of c, so it is not estimated: every draw of the bootstrap
takes one from ``EXPONENTS``, which makes the interval wider the farther it looks.
"""

from typing import NamedTuple

import numpy as np

from sklearn_codex._categorical import FloatArray
from sklearn_codex._verdicts import CROSS_FITTED, LEVEL

EXPONENTS = (0.15, 0.3, 0.5, 0.75, 1.0)
N_DRAWS = 1000


class CurveErrors(NamedTuple):
    """Errors of models of several sizes on prompts that they were not fitted on.

    Parameters
    ----------
    n_prompts : ndarray of shape (n_sizes,)
        Learned from, ascending.
    totals : ndarray of shape (n_repeats, n_sizes, n_prompts)
        Sum of the errors of the pairs of each prompt.
    weights : ndarray of shape (n_prompts,)
        Of the prompts: their number of pairs.
    """

    n_prompts: FloatArray
    totals: FloatArray
    weights: FloatArray

    def mean(self) -> FloatArray:
        """Return the error at each size (n_sizes,)."""
        return self.totals.mean(axis=0).sum(axis=1) / self.weights.sum()


def fit_curve(n_prompts, errors, weights, exponents, floor: float):
    """Return a and b (n_curves,) of the curves of errors (n_curves, n_sizes), by least squares."""
    x = np.asarray(n_prompts, dtype=float) ** -np.asarray(exponents)[:, np.newaxis]
    w = np.asarray(weights) / np.sum(weights)
    mean_x, mean_y = x @ w, errors @ w
    deviation = x - mean_x[:, np.newaxis]
    slope = np.sum(w * deviation * (errors - mean_y[:, np.newaxis]), axis=1)
    slope = np.maximum(slope / np.sum(w * deviation**2, axis=1), 0.0)
    a = mean_y - slope * mean_x
    below = a < floor
    through = np.maximum(np.sum(w * x * (errors - floor), axis=1) / np.sum(w * x**2, axis=1), 0.0)
    return np.where(below, floor, a), np.where(below, through, slope)


class Prediction(NamedTuple):
    """Errors at targets with intervals, and by how much they are below that at the first target.

    All of shape (n_targets,).
    """

    value: FloatArray
    low: FloatArray
    high: FloatArray
    gain: FloatArray
    gain_low: FloatArray
    gain_high: FloatArray


def predict_errors(curve: CurveErrors, targets, *, floor: float, n_test: int | None, rng):
    """Return the Prediction at targets (n_targets,), numbers of prompts.

    Whole prompts and repeats are drawn with replacement. Deviations are multiplied by the root of
    ``CROSS_FITTED``, as each two prompts are used twice. With ``n_test`` the interval is of the
    error that as many other prompts show.
    """
    targets = np.asarray(targets, dtype=float)
    n_repeats, _, n = curve.totals.shape
    prompts = rng.multinomial(n, np.full(n, 1 / n), size=N_DRAWS)
    repeats = rng.multinomial(n_repeats, np.full(n_repeats, 1 / n_repeats), size=N_DRAWS)
    per_repeat = np.tensordot(prompts, curve.totals, axes=([1], [2]))
    errors = np.einsum("drs,dr->ds", per_repeat, repeats / n_repeats)
    errors /= np.maximum(prompts @ curve.weights, 1e-12)[:, np.newaxis]
    exponents = rng.choice(EXPONENTS, N_DRAWS)
    drawn = _at(curve.n_prompts, errors, exponents, targets, floor)
    known = np.tile(curve.mean(), (len(EXPONENTS), 1))
    value = _at(curve.n_prompts, known, np.array(EXPONENTS), targets, floor).mean(axis=0)
    wider = np.sqrt(CROSS_FITTED)
    gain = value[0] - value
    gained = wider * (drawn[:, :1] - drawn - gain)
    deviation = wider * (drawn - value)
    if n_test is not None:
        deviation = deviation + rng.normal(size=(N_DRAWS, 1)) * _spread(curve) / np.sqrt(n_test)
    ends = [LEVEL / 2, 1 - LEVEL / 2]
    low, high = value + np.quantile(deviation, ends, axis=0)
    gain_low, gain_high = gain + np.quantile(gained, ends, axis=0)
    return Prediction(value, np.maximum(low, 0.0 if n_test else floor), high, gain,
                      gain_low, gain_high)  # fmt: skip


def _at(n_prompts, errors, exponents, targets, floor):
    # The largest model says most of what a larger one does.
    a, b = fit_curve(n_prompts, errors, n_prompts, exponents, floor)
    return a[:, np.newaxis] + b[:, np.newaxis] * targets ** -exponents[:, np.newaxis]


def _spread(curve: CurveErrors) -> float:
    """Return the standard deviation of the error by prompt, of the largest model."""
    totals = curve.totals[:, -1].mean(axis=0)
    mean = totals.sum() / curve.weights.sum()
    return float(np.std(totals - mean * curve.weights) / curve.weights.mean())
