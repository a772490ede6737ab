"""
All algorithms, one problem
===========================

Where does each algorithm of RLHF come to rest, if nothing it does is noise? One prompt, five
responses of 1, 1, 2, 4 and 4 tokens, groups of four. All batches that can be drawn are listed, each
as often as it comes, so that every step is the expected one.
"""

# %%
# The problem
# -----------

import matplotlib.pyplot as plt
import numpy as np

from sklearn_codex.lab import algorithms, check_algorithm, problems, rest_point

problem = problems["lengths"]()
reference, best = problem.reference, problem.objective.optimum()
print("tokens    ", problem.lengths)
print("reward    ", problem.rewards.round(2))
print("reference ", np.exp(reference).round(2))
print("RLHF best ", np.exp(best).round(2))

# %%
# Expected steps
# --------------
# An algorithm is a function of log-probabilities and a batch. Here it is called with all batches at
# once, and its gradient by the log-probabilities of tokens becomes one by logits. A step divides by
# the probability, the natural gradient, and is bounded.

GROUP_SIZE, N_STEPS = 4, 120


def train(update, rate):
    log_prob, gaps = reference, []
    for _ in range(N_STEPS):
        gaps.append(problem.objective.gap(log_prob))
        groups = problem.groups(log_prob, GROUP_SIZE)
        policies = np.tile(log_prob, (len(groups.rows), 1))
        batch = problem.batch(groups, policies, log_prob)
        _, gradient = update(batch.log_prob, batch)
        ascent = -groups.weights @ problem.logit_gradient(groups, policies, gradient)
        step = rate * ascent / np.exp(log_prob)
        log_prob = problem.normalize(log_prob + np.clip(step, -0.5, 0.5))
    return np.array(gaps), log_prob


chosen = {
    "rloo": ("RLOO, KL in the reward", 0.2),
    "grpo_kl_in_reward": ("GRPO, KL in the reward", 0.2),
    "dr_grpo": ("Dr. GRPO, KL in the loss", 0.8),
    "grpo_corrected": ("GRPO, weighted KL in the loss", 0.4),
    "grpo": ("GRPO, k3 in the loss", 0.4),
    "dr_grpo_k1_in_loss": ("Dr. GRPO, k1 in the loss", 0.8),
}
runs = {name: train(algorithms[name], rate) for name, (_, rate) in chosen.items()}
print(f"{'':32}rests at                       as predicted to")
for name, (label, _) in chosen.items():
    probability = np.exp(runs[name][1])
    apart = np.abs(probability - np.exp(rest_point(name, problem, group_size=GROUP_SIZE))).max()
    print(f"{label:32}{probability.round(2)!s:31}{apart:.0e}")

# %%

fig, ax = plt.subplots(figsize=(6.4, 4.8), layout="constrained")
colors = ["#0072B2", "#56B4E9", "#009E73", "#E69F00", "#D55E00", "#CC79A7"]
lines = ["-", "--", "-.", ":", "-", "--"]
for (name, (label, _)), color, line in zip(chosen.items(), colors, lines, strict=True):
    ax.semilogy(np.maximum(runs[name][0], 1e-12), line, color=color, lw=2, label=label)
ax.set(
    xlabel="expected step",
    ylabel="distance to the optimum J* - J",
    title="With the KL in the loss they stop elsewhere",
    ylim=(1e-11, 3),
)
fig.legend(loc="outside lower center", ncols=2)
ax.grid(alpha=0.3)
plt.show()

# %%
# GRPO with the KL in the reward rests at the right place, too, but does not get there quietly: its
# advantages are divided by their deviation, so they do not get small near the optimum, and a step
# of fixed size jumps over it again and again. Lines that end flat have come to another policy,
# which an equation predicts.
#
# The same questions of an algorithm of your own, in one call
# ------------------------------------------------------------

print(check_algorithm("grpo_corrected", problem))
