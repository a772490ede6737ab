"""
Step 4: several epochs, ratios and a clip
=========================================

Documents are what costs. So take several steps on each batch. After the first the policy is another
than the one that drew, which a ratio makes up for, and a clip says how far that may go.
"""

# %%
# Three ways to use a batch again
# -------------------------------
# The advantage is that of step 3. *Again* takes the same gradient each time. *A ratio* weighs each
# token by pi / pi_old: the surrogate pi / pi_old A. *Ratio and clip* takes the smaller of that and
# of the same with a ratio between 0.8 and 1.2, the clipped surrogate.

import matplotlib.pyplot as plt
import numpy as np

from sklearn_codex.lab import check_algorithm, ppo_loss, problems, run_algorithm

problem = problems["lengths"]()


def advantage_of(batch):
    log_ratio = (batch.old_log_prob - batch.ref_log_prob) * batch.response_mask
    score = (batch.token_level_rewards - batch.kl_coef * log_ratio).sum(axis=1)
    others = (score.sum() - score) / (len(score) - 1)
    return (score - others)[:, np.newaxis] * batch.response_mask


def again(log_prob, batch):
    return -advantage_of(batch) / len(batch)


def with_ratio(log_prob, batch):
    return -np.exp(log_prob - batch.old_log_prob) * advantage_of(batch) / len(batch)


def with_clip(log_prob, batch):
    given = (batch.old_log_prob, log_prob, advantage_of(batch), batch.response_mask)
    return ppo_loss(*given, "seq-mean-token-sum", clip_ratio=0.2)[1]


# %%
# Measure: the distance by documents drawn
# ----------------------------------------
# Batches of 16 documents, one step each, or eight steps of the same size. Eight are as good as
# eight batches as long as they do not go too far on what 16 documents say.

ways = {
    "one epoch": (again, 1),
    "again, 8 epochs": (again, 8),
    "ratio, 8 epochs": (with_ratio, 8),
    "ratio and clip, 8 epochs": (with_clip, 8),
}
runs = {
    label: [
        run_algorithm(
            update, problem, n_documents=480, n_groups=4, learning_rate=1.5, epochs=epochs,
            random_state=seed,
        )
        for seed in range(3)
    ]
    for label, (update, epochs) in ways.items()
}  # fmt: skip
print(f"{'':26}distance after 64, 240, 480 documents (median)")
for label, of_seeds in runs.items():
    after = np.median([run.gaps[[4, 15, 30]] for run in of_seeds], axis=0)
    print(f"{label:26}{after[0]:.1e}  {after[1]:.1e}  {after[2]:.1e}")

# %%

fig, ax = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
colors = ("0.5", "#D55E00", "#E69F00", "#0072B2")
for (label, of_seeds), color in zip(runs.items(), colors, strict=True):
    gaps = np.median([run.gaps for run in of_seeds], axis=0)
    ax.loglog(of_seeds[0].documents[1:], np.maximum(gaps[1:], 1e-16), color=color, label=label)
ax.set(
    xlabel="documents drawn",
    ylabel="distance to the optimum J* - J, median of 3",
    title="A clip keeps the ratio from running away",
)
ax.legend(loc="lower left")
ax.grid(alpha=0.3)
plt.show()

# %%
# A ratio alone runs away: where it grows its gradient grows with it, whatever 16 documents can
# tell. The clip ends that. The same gradient again and again does as well here, in these runs:
# nothing bounds it, but it does not grow either.
#
# Measure: does it still rest at the optimum?
# -------------------------------------------
# With one epoch every ratio is 1, so that the three are one, and right. With eight the expected
# step is another one. It still ends at the optimum: with the price of the KL in the reward all
# advantages are 0 there, whatever multiplies them. On three responses, in groups of two:

ONE_SETTING = {"group_sizes": (), "learning_rates": (), "more_epochs": ()}
print("way                        epochs  verdict")
for label, (update, epochs) in list(ways.items())[1:]:
    for n in (1, epochs):
        check = check_algorithm(
            update, "one-token", group_size=2, epochs=n, learning_rate=0.3, **ONE_SETTING
        )
        print(f"{label:26}{n:7}  {check.verdict}")

# %%
# Exercise
# --------
# ``check_algorithm`` cannot see a wrong clip: its first step is the same. So write the gradient of
# the clipped surrogate by hand, ``clipped(old, new, A)`` of arrays of one shape, and hold it
# against :func:`~sklearn_codex.lab.ppo_loss` on numbers at random. When is it 0?

# %%

# Solution


def clipped(old, new, A, clip=0.2):
    """Return the derivative of min(ratio A, clip(ratio) A) by the log-probabilities."""
    ratio = np.exp(new - old)
    # The clipped one is a constant, so nothing moves where it is the smaller of the two: a good
    # token is not raised further, and a bad one not lowered further.
    moves = np.where(A > 0, ratio < 1 + clip, ratio > 1 - clip)
    return np.where(moves, ratio * A, 0.0)


rng = np.random.RandomState(0)
old, new = -rng.exponential(size=(2, 50, 4))
A = rng.standard_normal((50, 4))
_, gradient = ppo_loss(old, new, A, np.ones((50, 4), dtype=bool), "seq-mean-token-sum")
mine = -clipped(old, new, A) / 50
assert np.allclose(mine, gradient)

# %%
# The result:

print(f"greatest difference {np.abs(mine - gradient).max():.0e}, {(mine == 0).mean():.0%} are 0")

# %%
# What is left of PPO is its critic:
# :ref:`step 5 <sphx_glr_auto_examples_lessons_plot_step_5_critic.py>`.
