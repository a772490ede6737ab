"""
How many labels does a reward model need?
=========================================

A learning curve on held-out prompts, against the ceiling that label noise sets. Nobody predicts
noise: where the annotators themselves are right in 80 % of pairs, 80 % is a perfect reward model.
"""

# %%
# Pairs with a known truth
# ------------------------

import matplotlib.pyplot as plt
import numpy as np

from sklearn_codex import PreferenceRewardModel
from sklearn_codex.datasets import make_preferences

FLIP_RATE = 0.05
data = make_preferences(20_000, n_features=400, flip_rate=FLIP_RATE, sparse=True, random_state=0)
train, test = slice(0, 16_000), slice(16_000, None)

# %%
# The ceiling: the better of P and 1 - P, on average. With a share e of labels flipped it is never
# above 1 - e.

recorded = (1 - FLIP_RATE) * data.probability + FLIP_RATE * (1 - data.probability)
ceiling = np.maximum(recorded, 1 - recorded)[test].mean()
print(f"no rule can be right on more than {ceiling:.3f} of these labels")

# %%
# Accuracy on pairs not seen, for three strengths of the penalty
# --------------------------------------------------------------

sizes = np.geomspace(125, 16_000, 8).astype(int)
curves = {
    C: [
        PreferenceRewardModel(C=C)
        .fit(data.X[:size], data.y[:size])
        .score(data.X[test], data.y[test])
        for size in sizes
    ]
    for C in (0.001, 0.03, 1.0)
}
for C, scores in curves.items():
    print(f"C = {C:5}: " + " ".join(f"{score:.3f}" for score in scores))

# %%

fig, ax = plt.subplots(figsize=(6.4, 4.4), layout="constrained")
styles = [("#E69F00", "s--"), ("#0072B2", "o-"), ("#D55E00", "^-.")]
for (C, scores), (color, style) in zip(curves.items(), styles, strict=True):
    ax.semilogx(sizes, scores, style, color=color, label=f"C = {C:g}")
ax.axhline(ceiling, color="0.4", ls=":", label="ceiling set by the annotators")
ax.set(
    xlabel="labelled pairs",
    ylabel="accuracy on pairs not seen",
    title="400 tokens, 5 % of the labels flipped",
)
ax.legend()
ax.grid(alpha=0.3)
plt.show()

# %%
# If the curve still rises at its right end, more labels help. If it is flat well below what
# annotators agree on among themselves, other features are needed, not more labels.
