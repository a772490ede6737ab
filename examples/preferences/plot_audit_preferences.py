"""
Audit preferences before they are used
======================================

Are they clean, can they be predicted on prompts never seen, and is it only length? The data are
made up and come with the package.
"""

# %%
# The audit
# ---------
# One command, here from Python: ``sklearn-codex audit --example``. It also writes a page,
# ``report.html``.

import tempfile

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import GroupKFold

from sklearn_codex import PreferenceRewardModel
from sklearn_codex.cli import main
from sklearn_codex.datasets import load_example_preferences
from sklearn_codex.inspection import (
    LengthBiasDisplay,
    PromptLearningCurveDisplay,
    RewardCalibrationDisplay,
)

with tempfile.TemporaryDirectory() as folder:
    main(["audit", "--example", "--out", f"{folder}/audit", "--no-progress"])

# %%
# The same questions, one by one
# ------------------------------
# Margins of a model of other prompts: nothing is judged that was learned from.

data = load_example_preferences()
model = PreferenceRewardModel(C=0.1)
margins = np.empty(data.n)
for train, test in GroupKFold(5).split(data.X, data.y, data.groups):
    margins[test] = model.fit(data.X[train], data.y[train]).predict_margin(data.X[test])
decided = data.y != 0.5
right = (margins > 0) == (data.y > 0.5)
print(f"right on {right[decided].mean():.2f} of the pairs of prompts never seen")

# %%
# Would more labels help, is it only length, and does 80 % mean 80 %? Bars are intervals of 95 %.

fig, axes = plt.subplot_mosaic(
    [["labels", "labels"], ["length", "calibration"]], figsize=(7.2, 6.4), layout="constrained"
)
top, left, right = axes.values()
PromptLearningCurveDisplay.from_estimator(
    model, data.X, data.y, groups=data.groups, random_state=0, score_type="test", ax=top
)
length = np.array([len(a) - len(b) for _, a, b in data.X])
LengthBiasDisplay.from_predictions(data.y, margins, length, groups=data.groups, n_bins=4, ax=left)
RewardCalibrationDisplay.from_predictions(
    data.y, 1 / (1 + np.exp(-margins)), n_bins=5, show_counts=False, ax=right
)
top.set_title("Would more labels help?")
left.set_title("Is it only length?")
right.set_title("Does 80 % mean 80 %?")
plt.show()
