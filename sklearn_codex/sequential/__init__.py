"""Policies that see the last token, with the exact answer known.

Everywhere else in this package a policy is one distribution over tokens. Here the reference is a
bigram model and documents have a fixed length: the smallest setting in which a token is worth what
it leads to, so that policy and value depend on the state and on the time left. Regularised by KL
it is a linearly solvable Markov decision problem, and PPO can be held against its optimum.
"""

from sklearn_codex.sequential._objective import BigramObjective
from sklearn_codex.sequential._ppo import optimize_bigram_policy
from sklearn_codex.sequential._reference import BigramReference

__all__ = ["BigramObjective", "BigramReference", "optimize_bigram_policy"]
