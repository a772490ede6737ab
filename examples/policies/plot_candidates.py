"""
Choosing among real responses
=============================

A reward is used first to choose: among drafts of a language model, or the answers of several
models. The best policy over such candidates is exact, and so is the price of trusting a reward too
far.
"""

# %%
# Prompts with their candidates
# -----------------------------
# Each of 300 prompts has 16 responses, known by features; one of these is length. People like
# responses that are right, and a little longer than usual, but not very long ones. A linear reward
# that is learned from ratings of usual responses likes length, and knows no end of it.

import matplotlib.pyplot as plt
import numpy as np
from sklearn import config_context
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold

from sklearn_codex import CandidatePolicy

rng = np.random.RandomState(0)
n_prompts, n_candidates, n_features = 300, 16, 10
weights = rng.standard_normal(n_features) / np.sqrt(n_features)


def draw(n, spread):
    """Features of responses, the first of which is length, and what people think of them."""
    X = rng.standard_normal((n, n_features))
    length = X[:, 0] = spread * X[:, 0]
    return X, X[:, 1:] @ weights[1:] + length - 0.5 * length**2


X, gold = draw(n_prompts * n_candidates, spread=1.5)
prompts = np.repeat(np.arange(n_prompts), n_candidates)
rated, liked = draw(300, spread=0.5)
proxy = FrozenEstimator(Ridge().fit(rated, liked + rng.standard_normal(300)))

# %%
# The frontier, and best of n below it
# ------------------------------------
# No policy has more of the learned reward at the same KL; keeping the best of n draws has a little
# less. The gold reward that comes with it rises, and falls again.

policy = CandidatePolicy(proxy).fit(X, groups=prompts)
frontier = policy.frontier(X, gold, groups=prompts)
best_of_n = policy.best_of_n(X, groups=prompts, ns=[1, 2, 4, 8, 16])
at = int(np.argmax(frontier.gold_reward))
print(f"Greatest gold reward: {frontier.gold_reward[at]:.2f} at {frontier.kl[at]:.2f} nats")

# %%
# How far to go, by prompts held out
# ----------------------------------
# With gold rewards of some prompts a search finds ``kl_coef``: ``score`` is the gold reward that is
# expected under the policy. Groups keep each prompt on one side.

with config_context(enable_metadata_routing=True):
    search = GridSearchCV(
        CandidatePolicy(proxy), {"kl_coef": np.geomspace(0.1, 10, 17)}, cv=GroupKFold(5)
    ).fit(X, gold, groups=prompts)
found = search.best_estimator_
print(f"kl_coef {found.kl_coef:.2f}: {found.kl_:.2f} nats from the reference")

# %%

fig, ax = plt.subplots()
ax.plot(frontier.kl, frontier.expected_reward, label="frontier of the learned reward")
ax.plot(best_of_n.kl, best_of_n.expected_reward, "s", label="best of n = 1, 2, 4, 8, 16")
ax.plot(frontier.kl, frontier.gold_reward, label="gold reward on the frontier")
ax.axvline(found.kl_, color="gray", linestyle=":", label="found by prompts held out")
ax.set(xlabel="KL from the reference (nats)", ylabel="expected reward")
ax.legend()
plt.show()
