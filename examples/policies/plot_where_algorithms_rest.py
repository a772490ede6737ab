"""
All algorithms, one problem
===========================

Where does each algorithm of RLHF come to rest, and how many documents does it take to get there?
One prompt, five responses of 1, 1, 2, 4 and 4 tokens, groups of four. First all batches that can be
drawn are listed, each as often as it comes, so that every step is the expected one. Then documents
are drawn.
"""

# %%
# The problem
# -----------

import matplotlib.pyplot as plt
import numpy as np

from sklearn_codex.lab import algorithms, check_algorithm, problems, rest_point, run_algorithm

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
# Where each rests
# ----------------

rests = {name: np.exp(rest_point(name, problem, group_size=GROUP_SIZE)) for name in chosen}
places = np.arange(len(best))
fig, ax = plt.subplots(figsize=(6.4, 4.6), layout="constrained")
ax.bar(places, np.exp(best), width=0.9, color="0.87", label="RLHF optimum")
ax.hlines(np.exp(reference), places - 0.45, places + 0.45, color="0.4", ls=":", label="reference")
for i, ((name, (label, _)), color) in enumerate(zip(chosen.items(), colors, strict=True)):
    beside = places + 0.13 * (i - 2.5)
    ax.plot(beside, rests[name], "osD^vP"[i], color=color, ms=6, label=label)
ax.set_xticks(
    places,
    [
        f"{r:+.2f}\n{n} token{'s' if n > 1 else ''}"
        for r, n in zip(problem.rewards, problem.lengths, strict=True)
    ],
)
ax.set(
    xlabel="reward of the response",
    ylabel="probability",
    title="Only two of six rest at the optimum",
)
fig.legend(loc="outside lower center", ncols=2)
plt.show()

# %%
# By documents drawn
# ------------------
# The same steps, from batches of 128 documents. Dashed is how far the place of rest is from the
# optimum, as the equation says: there a run ends, give or take the noise of its batches, which the
# documents of a batch and the length of a step decide.

N_DOCUMENTS, SEEDS = 25_600, range(3)
drawn = {
    name: [
        run_algorithm(
            name, problem, n_documents=N_DOCUMENTS, group_size=GROUP_SIZE, n_groups=32,
            learning_rate=rate, natural=True, random_state=seed,
        )
        for seed in SEEDS
    ]
    for name, (_, rate) in chosen.items()
}  # fmt: skip
print(f"{'':32}ends at   rests at   (distance to the optimum)")
for name, (label, _) in chosen.items():
    end = np.median([np.median(run.gaps[-50:]) for run in drawn[name]])
    at_rest = problem.objective.gap(np.log(np.maximum(rests[name], 1e-300)))
    print(f"{label:32}{end:.0e}     {at_rest:.0e}")

# %%

FLOOR = 1e-12  # below, all is rounding
fig, axes = plt.subplots(2, 3, figsize=(8.4, 5.4), sharex=True, sharey=True, layout="constrained")
for (name, (label, _)), color, ax in zip(chosen.items(), colors, axes.flat, strict=True):
    for run in drawn[name]:
        ax.loglog(run.documents[1:], np.maximum(run.gaps[1:], FLOOR), color=color, alpha=0.7, lw=1)
    at_rest = problem.objective.gap(np.log(np.maximum(rests[name], 1e-300)))
    ax.axhline(max(at_rest, FLOOR), color="0.3", ls="--", lw=1)
    ax.set_title(label, fontsize=9)
    ax.grid(alpha=0.3)
axes[0, 0].set_ylim(FLOOR / 3, 3)
fig.supxlabel("documents drawn")
fig.supylabel("distance to the optimum J* - J")
plt.show()

# %%
# Leave one out goes down to rounding, as its advantages are 0 at the optimum whatever is drawn.
# GRPO with the KL in the reward stays above it by the noise that its deviation blows up again. The
# others come to their own places, and more documents do not help.
#
# The same questions of an algorithm of your own, in one call
# ------------------------------------------------------------

print(check_algorithm("grpo_corrected", problem))
