"""
Split preference data by prompt
===============================

Pairs of one prompt share their responses. If some of them are in the training folds and others in
the test fold, a model that remembers responses looks far better than it is.
"""

# %%
# The data
# --------
# Human preferences of the PandaLM test set are used where the file is present; otherwise pairs
# are simulated, in which several responses to a prompt are compared with each other and nothing
# but the responses themselves tells which is better: there is nothing to learn for new prompts.

import gzip
import json
import warnings
from itertools import combinations
from pathlib import Path

import numpy as np
from sklearn.model_selection import GroupKFold, KFold, cross_val_score

from sklearn_codex import PreferenceRewardModel

path = Path("..", "shared", "data", "pandalm.jsonl.gz")
if path.is_file():
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    rows = [row for row in rows if row["label"] != 0.5]
    X = [(row["response_a"], row["response_b"]) for row in rows]
    y = np.array([int(row["label"]) for row in rows])
    groups = [row["prompt"] for row in rows]
    print(f"PandaLM: {len(X)} pairs on {len(set(groups))} prompts, labelled by people")
else:
    rng = np.random.RandomState(0)
    X, y, groups = [], [], []
    for prompt in range(100):
        words = rng.randint(3000, size=(5, 30))
        responses = [" ".join(f"w{word}" for word in row) for row in words]
        quality = rng.standard_normal(5)
        for a, b in combinations(range(5), 2):
            X.append((responses[a], responses[b]))
            y.append(int(quality[a] > quality[b]))
            groups.append(prompt)
    y = np.array(y)
    print(f"simulated: {len(X)} pairs on {len(set(groups))} prompts")

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
leaking = cross_val_score(model, length, y, cv=KFold(5, shuffle=True, random_state=0))
honest = cross_val_score(model, length, y, groups=groups, cv=GroupKFold(5))
print(f"length only, at random: accuracy {leaking.mean():.2f}")
print(f"length only, by prompt: accuracy {honest.mean():.2f}")
