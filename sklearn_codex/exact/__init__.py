"""Exact answers: the optimum, the gap to it and the KL-reward frontier.

What neural systems only estimate is computed here, so that every run can be held against it.
"""

from sklearn_codex.exact._additive import AdditiveObjective
from sklearn_codex.exact._frontier import kl_coef_for_kl, kl_reward_frontier

__all__ = ["AdditiveObjective", "kl_coef_for_kl", "kl_reward_frontier"]
