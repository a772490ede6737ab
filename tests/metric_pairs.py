"""Simulated pairs with margins, and the metrics of margins and of probabilities."""

import numpy as np
from scipy.special import expit

from sklearn_codex.metrics import (
    expected_calibration_error,
    preference_accuracy,
    preference_auc,
    preference_brier_loss,
    preference_log_loss,
    reliability_table,
)

MARGIN_METRICS = [preference_accuracy, preference_auc]
PROBABILITY_METRICS = [
    preference_log_loss,
    preference_brier_loss,
    reliability_table,
    expected_calibration_error,
]


def simulate(n=400, seed=0, *, soft=False):
    """Labels, margins and weights; some margins are 0 and some repeat."""
    rng = np.random.RandomState(seed)
    margin = np.round(rng.normal(size=n), 1)
    prob = expit(margin + rng.normal(size=n))
    label = prob if soft else (rng.uniform(size=n) < prob).astype(float)
    return label, margin, rng.uniform(0.1, 3, n)
