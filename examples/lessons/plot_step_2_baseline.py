"""
Step 2: a baseline
==================

Whatever is added to all rewards adds noise and nothing else. So take off what is the same for all:
the mean reward of the other responses to the same prompt. That is RLOO, leave one out.
"""

# %%
# Rewards as people give them
# ---------------------------
# The problem of :ref:`step 1 <sphx_glr_auto_examples_lessons_plot_step_1_reinforce.py>`, with all
# rewards greater by 3. The best policy is the same.

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np

from sklearn_codex.lab import problems, run_algorithm

plain = problems["lengths"]()
graded = plain.objective.having(token_reward=plain.rewards + 3.0)
problem = replace(plain, objective=graded, name="graded")
print("reward", problem.rewards.round(2))
print("best  ", np.exp(problem.objective.optimum()).round(2))
assert np.allclose(problem.objective.optimum(), plain.objective.optimum())

# %%
# Leave one out
# -------------
# A batch is a group of responses to one prompt. The mean of the *others* knows nothing of the
# response itself, so taking it off changes no expected step.


def reinforce(log_prob, batch):
    score = batch.token_level_rewards.sum(axis=1)
    return -score[:, np.newaxis] * batch.response_mask / len(score)


def leave_one_out(log_prob, batch):
    score = batch.token_level_rewards.sum(axis=1)
    others = (score.sum() - score) / (len(score) - 1)
    return -(score - others)[:, np.newaxis] * batch.response_mask / len(score)


# %%
# Measure: the same step, with less noise
# ---------------------------------------
# The noise is the variance of the step of one batch over the squared expected step. A group of G
# responses costs G documents, so what a document is good for is told by G times the noise.


def expected_step(update, group_size):
    """Return the expected step in logits at the reference, and its noise, from all groups."""
    groups = problem.groups(problem.reference, group_size)
    policies = np.tile(problem.reference, (len(groups.rows), 1))
    batches = problem.batch(groups, policies, problem.reference)
    each = [batches.at(i) for i in range(len(groups.rows))]
    gradient = np.stack([update(batch.log_prob, batch) for batch in each])
    steps = -problem.logit_gradient(groups, policies, gradient)
    mean = groups.weights @ steps
    return mean, groups.weights @ ((steps - mean) ** 2).sum(axis=1) / (mean @ mean)


print("group  REINFORCE  leave one out     (noise of a document)")
for size in (2, 4, 8):
    step, noise = expected_step(reinforce, size)
    same_step, less_noise = expected_step(leave_one_out, size)
    print(f"{size:5}  {size * noise:9.1f}  {size * less_noise:13.1f}")
    assert np.allclose(step, same_step)

# %%
# Measure: the distance by documents drawn
# ----------------------------------------

labels = {"REINFORCE": reinforce, "leave one out": leave_one_out}
runs = {
    label: [
        run_algorithm(update, problem, n_documents=3_200, learning_rate=1.0, random_state=seed)
        for seed in range(5)
    ]
    for label, update in labels.items()
}
for label, of_seeds in runs.items():
    nearest = [run.gaps.min() for run in of_seeds]
    print(f"{label:14} comes as near as {np.median(nearest):.2f} and ends at", end=" ")
    print(np.array([run.gaps[-1] for run in of_seeds]).round(2))

# %%

fig, ax = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
for (label, of_seeds), color in zip(runs.items(), ("#D55E00", "#0072B2"), strict=True):
    for i, run in enumerate(of_seeds):
        shown = label if i == 0 else None
        ax.loglog(run.documents[1:], run.gaps[1:], color=color, alpha=0.7, label=shown)
ax.set(
    xlabel="documents drawn",
    ylabel="distance to the optimum J* - J",
    title="Without a baseline each seed goes its own way",
)
ax.legend()
ax.grid(alpha=0.3)
plt.show()

# %%
# With less noise the first steps agree, and the fault of step 1 is seen the better: all runs go by
# the optimum, towards the response with the greatest reward alone.
#
# Exercise
# --------
# GRPO takes off the mean of the *whole* group, which holds the response itself. Write ``own_mean``,
# the same as ``leave_one_out`` but for that. Is its expected step still right? Guess a formula in
# the group size, and test it.

# %%

# Solution


def own_mean(log_prob, batch):
    score = batch.token_level_rewards.sum(axis=1)
    return -(score - score.mean())[:, np.newaxis] * batch.response_mask / len(score)


factors = {}
for size in (2, 4, 8):
    step, right = expected_step(own_mean, size)[0], expected_step(leave_one_out, size)[0]
    factors[size] = step @ right / (right @ right)
    assert np.allclose(step, (size - 1) / size * right)

# %%
# The result:

print({size: round(float(factor), 6) for size, factor in factors.items()})

# %%
# The direction is right, and the length (G - 1) / G of what it should be. Harmless, as a learning
# rate is free? Not once something else is in the loss that is not shortened:
# :ref:`step 3 <sphx_glr_auto_examples_lessons_plot_step_3_price_of_the_kl.py>`.
