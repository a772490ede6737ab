"""
Split preference data by prompt
===============================

Pairs of one prompt share their responses. If some of them are in the training folds and others in
the test fold, a model that remembers responses looks far better than it is.
"""

# %%
# The data
# --------
# Simulated: several responses to a prompt are compared with each other, and nothing but the
# responses themselves tells which is better. There is nothing to learn for new prompts, so an
# honest accuracy is one half. ``fetch_pandalm`` brings labels by people, on which the same is seen.

import warnings
from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import GroupKFold, KFold, cross_val_score

from sklearn_codex import PreferenceRewardModel

rng = np.random.RandomState(0)
X, y, groups = [], [], []
for prompt in range(100):
    words = [rng.randint(3000, size=rng.randint(20, 41)) for _ in range(5)]
    responses = [" ".join(f"w{word}" for word in row) for row in words]
    quality = rng.standard_normal(5)
    for a, b in combinations(range(5), 2):
        X.append((responses[a], responses[b]))
        y.append(int(quality[a] > quality[b]))
        groups.append(prompt)
y = np.array(y)
print(f"{len(X)} pairs on {len(set(groups))} prompts")

# %%
# Two ways to cross-validate
# --------------------------

# The package warns of a split that leaks; here the leak is meant.
warnings.filterwarnings("ignore", message=".*the score measures memory")
model = PreferenceRewardModel(C=0.01)
leaking = cross_val_score(model, X, y, cv=KFold(5, shuffle=True, random_state=0))
honest = cross_val_score(model, X, y, groups=groups, cv=GroupKFold(5))
print(f"pairs drawn at random:  accuracy {leaking.mean():.2f} +- {leaking.std():.2f}")
print(f"prompts kept together:  accuracy {honest.mean():.2f} +- {honest.std():.2f}")

# %%
# The control: a rule that cannot remember responses
# --------------------------------------------------
# Length alone hardly changes between the two: what the first figure adds is memory.

length = np.array([[len(a.split()) - len(b.split())] for a, b in X], dtype=float)
leaking_length = cross_val_score(model, length, y, cv=KFold(5, shuffle=True, random_state=0))
honest_length = cross_val_score(model, length, y, groups=groups, cv=GroupKFold(5))
print(f"length only, at random: accuracy {leaking_length.mean():.2f}")
print(f"length only, by prompt: accuracy {honest_length.mean():.2f}")

# %%

fig, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
names = ["words", "length only"]
for shift, name, color, hatch, scores in (
    (-0.2, "pairs drawn at random", "#D55E00", "//", (leaking, leaking_length)),
    (0.2, "prompts kept together", "#0072B2", "", (honest, honest_length)),
):
    ax.bar(
        np.arange(2) + shift,
        [score.mean() for score in scores],
        0.38,
        yerr=[score.std() for score in scores],
        color=color,
        hatch=hatch,
        edgecolor="white",
        capsize=4,
        label=name,
    )
ax.axhline(0.5, color="0.3", linestyle=":", label="a coin")
ax.set_xticks(np.arange(2), names)
ax.set(ylabel="accuracy (5 folds, one deviation)", title="What a random split adds is memory")
ax.set_ylim(0, 1.05)
ax.legend(loc="upper right", fontsize="small")
plt.show()
