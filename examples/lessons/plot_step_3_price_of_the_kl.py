"""
Step 3: a price for the KL
==========================

What stops a policy at the right place? A price for leaving the reference. It is put into the
reward, response by response, and with that every advantage is 0 at the best policy, and so is the
noise.
"""

# %%
# The problem of the steps before
# -------------------------------

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np

from sklearn_codex.lab import check_algorithm, problems, run_algorithm

plain = problems["lengths"]()
graded = plain.objective.having(token_reward=plain.rewards + 3.0)
problem = replace(plain, objective=graded, name="graded")

# %%
# The KL in the reward
# --------------------
# KL(pi || ref) is the mean of log(pi / ref) over responses of the policy, so each response pays b
# times its own log-ratio. It is a number like the reward: no gradient goes through it.


def shaped(batch):
    """Return the reward of each response, less what it pays for its log-ratio."""
    log_ratio = (batch.old_log_prob - batch.ref_log_prob) * batch.response_mask
    return (batch.token_level_rewards - batch.kl_coef * log_ratio).sum(axis=1)


def reinforce(log_prob, batch):
    score = shaped(batch)
    return -score[:, np.newaxis] * batch.response_mask / len(score)


def leave_one_out(log_prob, batch):
    score = shaped(batch)
    others = (score.sum() - score) / (len(score) - 1)
    return -(score - others)[:, np.newaxis] * batch.response_mask / len(score)


# %%
# Measure: does it rest at the optimum?
# -------------------------------------
# ``check_algorithm`` lists all groups, follows the expected step until it is 0, and compares.

FEW = {"group_size": 3, "group_sizes": (2,), "learning_rates": (), "more_epochs": ()}
check = check_algorithm(leave_one_out, problem, **FEW)
print(check)
assert check.passed

# %%
# Measure: the distance by documents drawn
# ----------------------------------------
# At the best policy r - b log(pi / ref) is the same for every response. So with a baseline all
# advantages are 0 there, whatever is drawn, and a step of constant size arrives. A *natural* step
# divides by the probabilities; all logits then near their place at one rate, not the rare ones
# last.

ways = {
    "REINFORCE": (reinforce, {"learning_rate": 0.5}),
    "leave one out": (leave_one_out, {"learning_rate": 2.0}),
    "leave one out, natural steps": (leave_one_out, {"learning_rate": 0.3, "natural": True}),
}
runs = {
    label: [
        run_algorithm(update, problem, n_documents=9_600, random_state=seed, **options)
        for seed in range(3)
    ]
    for label, (update, options) in ways.items()
}
for label, of_seeds in runs.items():
    print(f"{label:30}{np.median([run.gaps[-1] for run in of_seeds]):.0e}")

# %%

fig, ax = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
for (label, of_seeds), color in zip(runs.items(), ("#D55E00", "#0072B2", "#009E73"), strict=True):
    for i, run in enumerate(of_seeds):
        shown = label if i == 0 else None
        gaps = np.maximum(run.gaps[1:], 1e-16)
        ax.loglog(run.documents[1:], gaps, color=color, alpha=0.7, label=shown)
ax.set(
    xlabel="documents drawn",
    ylabel="distance to the optimum J* - J",
    title="Without a baseline it hovers, with one it arrives",
    ylim=(3e-17, 5),
)
ax.legend(loc="lower left")
ax.grid(alpha=0.3)
plt.show()

# %%
# Exercise
# --------
# GRPO puts the KL into the loss instead: it takes ``own_mean`` of step 2 as advantage and adds b
# times the gradient of k2, which is ``log_prob - batch.ref_log_prob``. Write ``kl_in_loss`` and
# check it. It rests elsewhere: at which ``kl_coef``, and why? Mend it by one factor.

# %%

# Solution


def kl_in_loss(log_prob, batch, factor=1.0):
    score = batch.token_level_rewards.sum(axis=1)
    advantage = (score - score.mean())[:, np.newaxis]
    slope = factor * batch.kl_coef * (log_prob - batch.ref_log_prob)
    return (slope - advantage) * batch.response_mask / len(score)


def mended(log_prob, batch):
    # The mean holds the response itself, so the reward counts (G - 1) / G and the KL counts whole.
    return kl_in_loss(log_prob, batch, factor=(len(batch) - 1) / len(batch))


biased = check_algorithm(kl_in_loss, problem, **FEW)
right = check_algorithm(mended, problem, **FEW)
assert not biased.passed
assert right.passed

# %%
# The result, by the size of the group:

print("group  kl_coef it rests at  mended")
for one, other in zip(biased.settings, right.settings, strict=True):
    print(f"{one.group_size:5}  {one.kl_coef:19.3f}  {other.kl_coef:6.3f}")

# %%
# The problem asks for 0.5 and gets 0.5 G / (G - 1). In the reward there is nothing to mend: reward
# and KL are shortened alike.
#
# So far each document is used once.
# :ref:`Step 4 <sphx_glr_auto_examples_lessons_plot_step_4_epochs.py>` uses it more often.
