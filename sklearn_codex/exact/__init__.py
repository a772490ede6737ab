"""Exact answers: the optimum, the gap to it and the KL-reward frontier.

What neural systems only estimate is computed here, so that every run can be held against it.
"""

from sklearn_codex.exact._additive import AdditiveObjective
from sklearn_codex.exact._best_of_n import (
    best_of_n,
    best_of_n_frontier,
    best_of_n_kl_bound,
    expected_max,
)
from sklearn_codex.exact._candidates import CandidateObjective
from sklearn_codex.exact._chance import chance_budget
from sklearn_codex.exact._constrained import (
    ban_tokens,
    chance_constrained_optimum,
    constrained_optimum,
)
from sklearn_codex.exact._enumeration import EnumeratedObjective, enumerate_counts
from sklearn_codex.exact._eos import EosObjective
from sklearn_codex.exact._eos_length import (
    LengthExplosionError,
    LengthExplosionWarning,
    smallest_safe_kl_coef,
)
from sklearn_codex.exact._frontier import kl_coef_for_kl, kl_reward_frontier
from sklearn_codex.exact._ngram import NGramObjective
from sklearn_codex.exact._ngram_models import arc_reward, bigram_model

__all__ = [
    "AdditiveObjective",
    "CandidateObjective",
    "EnumeratedObjective",
    "EosObjective",
    "LengthExplosionError",
    "LengthExplosionWarning",
    "NGramObjective",
    "arc_reward",
    "ban_tokens",
    "best_of_n",
    "best_of_n_frontier",
    "best_of_n_kl_bound",
    "bigram_model",
    "chance_budget",
    "chance_constrained_optimum",
    "constrained_optimum",
    "enumerate_counts",
    "expected_max",
    "kl_coef_for_kl",
    "kl_reward_frontier",
    "smallest_safe_kl_coef",
]
