"""What moves a preference and is no property of a response: its place, and its length."""

import numpy as np

from sklearn_codex._categorical import FloatArray, root_mean_square


def length_scale(difference: FloatArray, weight: FloatArray) -> float:
    """Return the root mean square of length differences; 1 where all are 0."""
    scale = root_mean_square(difference, weight)
    return scale if scale > 0 else 1.0


def length_columns(difference: FloatArray, scale: float) -> FloatArray:
    """Return the columns d and tanh(d) of scaled length differences (n_pairs, 2)."""
    scaled = difference / scale
    return np.column_stack([scaled, np.tanh(scaled)])
