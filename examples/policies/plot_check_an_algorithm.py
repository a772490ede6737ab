"""
Checking an algorithm against the exact optimum
===============================================

A loss that looks right can have the wrong optimum. Four ways to put the KL into policy gradient
are written down here in a line each, and held against the optimum that they should reach. All
expectations are exact, so nothing that is seen is noise.
"""

# %%
# The problem and its answer
# --------------------------

import matplotlib.pyplot as plt
import numpy as np
from scipy.special import log_softmax

from sklearn_codex.exact import AdditiveObjective

KL_COEF, STEP, N_STEPS = 0.5, 0.015, 2000
rng = np.random.RandomState(0)
rank = np.arange(1, 51)
reference = np.log(1 / rank) - np.log((1 / rank).sum())
token_reward = 0.3 * rng.standard_normal(50)
problem = AdditiveObjective(reference, token_reward, length=20, kl_coef=KL_COEF)
print(f"J of the reference {problem.value(reference):.3f}")
print(f"J of the optimum   {problem.value(problem.optimum()):.3f}")

# %%
# Four updates
# ------------
# Each function returns the advantage (V,) of every token; the policy is moved along the natural
# gradient, which for a softmax is the centred advantage itself. Here d is log(pi / ref).
#
# - *k1 in the reward*: d is part of what is rewarded. Right.
# - *k1 in the loss*: d is differentiated at samples that are held fixed. Its expected gradient is
#   zero, so the KL is ignored.
# - *k3 in the loss*: exp(-d) - 1 + d, differentiated. Its expected gradient is that of the reverse
#   divergence, KL(ref || pi).
# - *divided by the standard deviation*, with the KL in the loss: the reward is rescaled, the KL is
#   not, so the optimum is that of another ``kl_coef``.


def k1_in_the_reward(log_prob):
    return token_reward - KL_COEF * (log_prob - reference)


def k1_in_the_loss(log_prob):
    return token_reward


def k3_in_the_loss(log_prob):
    return token_reward + KL_COEF * np.exp(reference - log_prob)


def whitened_reward_and_kl_loss(log_prob):
    prob = np.exp(log_prob)
    deviation = np.sqrt(20 * (prob @ token_reward**2 - (prob @ token_reward) ** 2))
    return token_reward / deviation - KL_COEF * (log_prob - reference)


def train(advantage):
    """Return the distance to the optimum after each step, and the last policy."""
    log_prob, gaps = reference.copy(), []
    for _ in range(N_STEPS):
        gaps.append(problem.gap(log_prob))
        score = advantage(log_prob)
        step = STEP * (score - np.exp(log_prob) @ score)
        log_prob = log_softmax(log_prob + np.clip(step, -0.5, 0.5))
    return np.array(gaps), log_prob


algorithms = {
    "k1 in the reward": k1_in_the_reward,
    "k1 in the loss": k1_in_the_loss,
    "k3 in the loss": k3_in_the_loss,
    "reward / std, KL in the loss": whitened_reward_and_kl_loss,
}
results = {label: train(advantage) for label, advantage in algorithms.items()}
for label, (gaps, log_prob) in results.items():
    print(
        f"{label:30} J* - J {gaps[-1]:8.1e}, KL {problem.kl(log_prob):6.2f}, "
        f"expected reward {problem.expected_reward(log_prob):5.2f}"
    )
best = problem.optimum()
print(
    f"{'optimum':30} J* - J {0:8.1e}, KL {problem.kl(best):6.2f}, "
    f"expected reward {problem.expected_reward(best):5.2f}"
)

# %%

fig, ax = plt.subplots(figsize=(6.4, 4.4), layout="constrained")
styles = [("#0072B2", "-"), ("#D55E00", "--"), ("#E69F00", "-."), ("#009E73", ":")]
for (label, (gaps, _)), (color, line) in zip(results.items(), styles, strict=True):
    ax.semilogy(np.maximum(gaps, 1e-14), line, color=color, lw=2, label=label)
ax.set(
    xlabel="step",
    ylabel="distance to the optimum J* - J (nats)",
    title="Three of four losses stop somewhere else",
    ylim=(1e-12, 1e3),
)
fig.legend(loc="outside lower center", ncols=2)
ax.grid(alpha=0.3)
plt.show()

# %%
# The reward alone would not have told: "k1 in the loss" has the greatest reward of all. The
# distance to the optimum does, and so does the expected reward *at the same KL*, on the frontier.
#
# That run even comes close to the optimum on its way, after 1 / (KL_COEF * STEP) steps: a natural
# gradient without KL moves along the frontier, so stopping it early acts as a KL term. Elsewhere
# nobody knows when to stop.
