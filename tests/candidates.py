"""Policies and an objective over candidates of three prompts, and what people say of them."""

import numpy as np
from scipy import sparse

from sklearn_codex._policy.candidate_tilt import CandidateTilt
from sklearn_codex.exact import CandidateObjective

PROMPTS = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2])
# Preferences, and judgements of single ones.
PAIRS = np.array([(0, 1), (1, 2), (0, 2), (3, 4), (5, 6), (7, 8), (6, 8), (5, 7), (6, 5)])
PREFERRED = np.array([1, 0, 1, 1, 0, 1, 0, 0, 1])
JUDGED = np.array([0, 1, 2, 2, 3, 4, 4, 5, 6, 7, 8, 8, 6])
JUDGEMENTS = np.array([1, 0, 1, 0, 1, 0, 1, 0, 1, 1, 0, 1, 0])


def stated(seed=0, *, log_linear=False, kl_coef=0.6, **fields):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(9, 2)) if log_linear else None
    reward = rng.normal(size=9) if features is None else features @ rng.normal(size=2)
    reference = np.log(rng.dirichlet(np.ones(9)))
    return CandidateObjective(
        reference, reward, PROMPTS, kl_coef=kl_coef, features=features, **fields
    )


ASKED = np.array([1, 0, 0, 2, 1, 1, 0, 2])
TILTS = ("table", "dense", "sparse")


def random_tilt(kind, seed):
    """A tilt with a candidate that is banned, weights, slopes and a direction."""
    rng = np.random.default_rng(seed)
    reference = rng.normal(size=len(ASKED))
    reference[4] = -np.inf  # banned
    features = None if kind == "table" else rng.normal(size=(len(ASKED), 3))
    if kind == "sparse":
        features = sparse.csr_array(np.where(features > 0, features, 0.0))
    tilt = CandidateTilt(ASKED, reference, 0.3, features)
    weights, direction = rng.normal(size=(2, tilt.n_weights))
    return tilt, weights, rng.normal(size=len(ASKED)), direction
