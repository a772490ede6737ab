"""
The KL-reward frontier, and where PPO lands on it
=================================================

For every distance from the reference policy there is a greatest expected reward. That curve, the
KL-reward frontier, is exact here: no algorithm gets above it, and how far below it a run ends is
how much the run left on the table.
"""

# %%
# A reward learned from preferences
# ---------------------------------
# The pairs are simulated. A reward in this package has a natural scale: a difference of 1 is one
# nat of log-odds that an annotator prefers the better document.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.frozen import FrozenEstimator

from sklearn_codex import PPOPolicyOptimizer, PreferenceRewardModel, UnigramLM
from sklearn_codex.datasets import make_preferences
from sklearn_codex.exact import best_of_n_frontier, kl_reward_frontier

LENGTH = 20
data = make_preferences(4000, n_features=300, document_length=LENGTH, random_state=0)
reward = PreferenceRewardModel(C=0.1).fit(data.X, data.y)
corpus = np.random.RandomState(0).multinomial(LENGTH, data.token_prob, size=2000)
reference = UnigramLM().fit(corpus)

# %%
# The frontier
# ------------
# One optimum for each ``kl_coef``. Its slope at a point is the ``kl_coef`` of that point: what one
# more nat of KL still buys.

frontier = kl_reward_frontier(
    reference.token_log_prob_,
    reward.coef_[0],
    length=LENGTH,
    kl_coefs=np.geomspace(0.1, 30, 60),
)

# %%
# PPO at several ``kl_coef``
# --------------------------

kl_coefs = [0.15, 0.25, 0.4, 0.7, 1.5]
runs = [
    PPOPolicyOptimizer(
        FrozenEstimator(reference), FrozenEstimator(reward), kl_coef=kl_coef, random_state=0
    ).fit(corpus)
    for kl_coef in kl_coefs
]
for kl_coef, run in zip(kl_coefs, runs, strict=True):
    print(
        f"kl_coef {kl_coef:4.2f}: KL {run.kl_:5.2f} nats, expected reward "
        f"{run.expected_reward_:5.2f}, J* - J {run.optimality_gap_:.4f}"
    )

# %%
# Best of n
# ---------
# Drawing n documents from the reference and keeping the best needs no training. Where rewards
# differ, its KL is log n - (n - 1) / n; its expected reward is estimated from many documents.

rewards = reward.reward(reference.sample(50_000, random_state=0))
best_of_n = best_of_n_frontier(rewards, [2, 4, 16, 64, 256])

# %%

fig, ax = plt.subplots(figsize=(6.4, 4.4), layout="constrained")
ax.plot(frontier.kl, frontier.expected_reward, color="#0072B2", label="frontier (exact)")
ax.plot(
    [run.kl_ for run in runs],
    [run.expected_reward_ for run in runs],
    "o",
    color="#D55E00",
    label="PPO, at its kl_coef",
)
for kl_coef, run in zip(kl_coefs, runs, strict=True):
    ax.annotate(
        f"{kl_coef:g}",
        (run.kl_, run.expected_reward_),
        xytext=(-6, 4),
        textcoords="offset points",
        ha="right",
        color="#A34700",
    )
ax.plot(
    best_of_n.kl_bound,
    best_of_n.expected_reward,
    "s",
    color="#009E73",
    mfc="none",
    label="best of n",
)
for n, kl, value in zip(best_of_n.n, best_of_n.kl_bound, best_of_n.expected_reward, strict=True):
    ax.annotate(
        f"n = {n}", (kl, value), xytext=(7, -9), textcoords="offset points", color="#00664B"
    )
ax.set(
    xlabel="KL to the reference (nats per document)",
    ylabel="expected reward (nats per document)",
    title="No policy lies above the frontier",
    xlim=(-1.5, None),
)
ax.legend(loc="lower right")
ax.grid(alpha=0.3)
plt.show()

# %%
# PPO lies on the curve. Best of n lies under it: it tilts whole documents by their rank, not by
# their reward. It also cannot go far, since its KL grows with the logarithm of n only.
