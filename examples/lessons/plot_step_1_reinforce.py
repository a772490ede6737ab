"""
Step 1: REINFORCE
=================

The oldest policy gradient, in three lines. Its expected step is exactly right, which is measured
here and not believed. Then it is followed past the best policy, which shows what is missing.
"""

# %%
# A problem whose answer is known
# -------------------------------
# One prompt and five responses of 1 to 4 tokens. A policy gives each a probability and starts as
# the reference. What is wanted is a high reward near the reference: maximise J = E[r] - b KL. Here
# every policy can be written down, so the best one, and how far any other is from it, is known.

import matplotlib.pyplot as plt
import numpy as np

from sklearn_codex.lab import check_algorithm, problems, run_algorithm

problem = problems["lengths"]()
reference, best = problem.reference, problem.objective.optimum()
print("tokens   ", problem.lengths)
print("reward   ", problem.rewards.round(2))
print("reference", np.exp(reference).round(2))
print("best     ", np.exp(best).round(2))
print(f"J* - J of the reference {problem.objective.gap(reference):.3f}")

# %%
# The step
# --------
# A response was drawn and got a reward. Make it more likely, by as much as the reward says: the
# loss is -r log(pi). An update gets the log-probabilities of tokens and a batch, one row a response
# and one column a token, and returns the gradient of its loss by these log-probabilities. Padding,
# where ``response_mask`` is False, gets none.


def reinforce(log_prob, batch):
    score = batch.token_level_rewards.sum(axis=1)
    return -score[:, np.newaxis] * batch.response_mask / len(score)


# %%
# Measure: is the step right?
# ---------------------------
# Nobody has to draw to find out. There are five batches of one response; list them all, with their
# probabilities, and add up. The exact gradient of E[r] by logits is pi (r - E[r]).


def expected_step(update, log_prob, group_size=1):
    """Return the expected step in logits, and its noise: the variance over the squared mean."""
    groups = problem.groups(log_prob, group_size)
    policies = np.tile(log_prob, (len(groups.rows), 1))
    batches = problem.batch(groups, policies, log_prob)
    each = [batches.at(i) for i in range(len(groups.rows))]
    gradient = np.stack([update(batch.log_prob, batch) for batch in each])
    steps = -problem.logit_gradient(groups, policies, gradient)
    mean = groups.weights @ steps
    return mean, groups.weights @ ((steps - mean) ** 2).sum(axis=1) / (mean @ mean)


prob = np.exp(reference)
exact = prob * (problem.rewards - prob @ problem.rewards)
step, noise = expected_step(reinforce, reference)
print("exact gradient", exact.round(4))
print("expected step ", step.round(4))
print(f"noise of one response: {noise:.1f} times the squared step")
assert np.allclose(step, exact)

# %%
# Measure: where does it go?
# --------------------------
# Now draw, 64 documents a step, and look at the exact distance to the best policy after each.

runs = [
    run_algorithm(reinforce, problem, n_documents=6_400, learning_rate=2.0, random_state=seed)
    for seed in range(3)
]
ONE_SETTING = {"group_size": 1, "group_sizes": (), "learning_rates": (), "more_epochs": ()}
check = check_algorithm(reinforce, problem, **ONE_SETTING)
print(check.verdict)

# %%

fig, ax = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
for run in runs:
    ax.loglog(run.documents[1:], run.gaps[1:], color="#0072B2", alpha=0.8)
ax.axhline(runs[0].gaps[0], color="0.5", ls="--", label="reference")
ax.set(
    xlabel="documents drawn",
    ylabel="distance to the optimum J* - J",
    title="REINFORCE passes the optimum and goes on",
)
ax.legend()
ax.grid(alpha=0.3)
plt.show()

# %%
# The step is right, and the goal is not: nothing in it knows of the KL, so that in the end one
# response is left. Step 3 mends that. First the noise.
#
# Exercise
# --------
# Rewards come from people, who may grade from 1 to 5 or from -2 to 2. Write ``graded``, REINFORCE
# on rewards that are all greater by 3. What does that do to the expected step, and what to its
# noise?

# %%

# Solution


def graded(log_prob, batch):
    score = batch.token_level_rewards.sum(axis=1) + 3.0
    return -score[:, np.newaxis] * batch.response_mask / len(score)


graded_step, graded_noise = expected_step(graded, reference)
assert np.allclose(graded_step, exact)

# %%
# The result:

print(f"greatest change of the expected step: {np.abs(graded_step - step).max():.0e}")
print(f"noise: {noise:.1f} before, {graded_noise:.0f} with the 3")

# %%
# The expected step is the same, as probabilities sum to 1 whatever is added. The noise is not:
# every response is pushed up by about 3, and only the differences between pushes are of use.
# :ref:`Step 2 <sphx_glr_auto_examples_lessons_plot_step_2_baseline.py>` takes it away.
