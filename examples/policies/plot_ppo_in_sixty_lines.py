"""
PPO in sixty lines, on one page
===============================

PPO for a language model from the first line to the last, in NumPy alone: rollouts, shaped reward,
advantages, clipped surrogate, epochs of minibatches, Adam. No library hides a part of it, and the
answer is known: where reward and KL add over tokens, the best policy has a formula, against which
the run is held at each step.
"""

# %%
# The problem
# -----------
# The language model draws each of ``LENGTH`` tokens from one softmax, so its parameters are
# ``VOCABULARY`` logits. A document is worth the sum of ``token_reward`` over its tokens, less
# ``KL_COEF`` times its log-ratio to the reference model.

import matplotlib.pyplot as plt
import numpy as np

from sklearn_codex.exact import AdditiveObjective

VOCABULARY, LENGTH, KL_COEF = 50, 20, 0.5
rng = np.random.RandomState(0)
rank = np.arange(1, VOCABULARY + 1)
reference = np.log(1 / rank) - np.log((1 / rank).sum())  # Zipf's law
token_reward = 0.3 * rng.standard_normal(VOCABULARY)

# %%
# The algorithm
# -------------
# Arrays of what was drawn have the shape ``(N_DOCUMENTS, LENGTH)``, those of a minibatch are flat.

N_ITERATIONS, N_DOCUMENTS = 60, 256
N_EPOCHS, N_MINIBATCHES, CLIP_RANGE = 4, 4, 0.2
LEARNING_RATE, BETA_1, BETA_2, EPSILON = 0.03, 0.9, 0.999, 1e-8
VALUE_RATE, GAE_LAMBDA = 0.3, 0.95

logits = reference.copy()  # the policy begins as the reference
value = np.zeros(LENGTH)  # the critic: what is still to come at each position
first_moment, second_moment, n_steps = np.zeros(VOCABULARY), np.zeros(VOCABULARY), 0
policies, returns, approx_kls, clip_fractions = [], [], [], []

for iteration in range(N_ITERATIONS):
    # The learning rate falls to 0: steps of Adam keep their size, however small the gradient is.
    learning_rate = LEARNING_RATE * (1 - iteration / N_ITERATIONS)

    # Rollout: documents of the policy as it is, and the log-probabilities they were drawn with.
    log_prob = logits - np.log(np.exp(logits).sum())
    policies.append(log_prob)
    tokens = rng.choice(VOCABULARY, size=(N_DOCUMENTS, LENGTH), p=np.exp(log_prob))
    old_log_prob = log_prob[tokens]

    # Shaped reward: the KL to the reference is part of what is rewarded, token by token.
    reward = token_reward[tokens] - KL_COEF * (old_log_prob - reference[tokens])
    returns.append(reward.sum(axis=1).mean())

    # Advantages by GAE, from the last token to the first; the value after the last is 0.
    delta = reward + np.append(value[1:], 0.0) - value
    advantage = np.zeros((N_DOCUMENTS, LENGTH))
    running = np.zeros(N_DOCUMENTS)
    for position in reversed(range(LENGTH)):
        running = delta[:, position] + GAE_LAMBDA * running
        advantage[:, position] = running
    value += VALUE_RATE * advantage.mean(axis=0)  # towards the mean return

    approx_kl, clipped = [], []
    for _ in range(N_EPOCHS):
        order = rng.permutation(tokens.size)
        for batch in np.array_split(order, N_MINIBATCHES):
            y, A = tokens.ravel()[batch], advantage.ravel()[batch]
            log_prob = logits - np.log(np.exp(logits).sum())
            log_ratio = log_prob[y] - old_log_prob.ravel()[batch]
            ratio = np.exp(log_ratio)

            # Clipped surrogate: the mean of min(ratio A, clip(ratio, 1 - c, 1 + c) A). Where the
            # clipped one is less, it is constant and moves nothing.
            moves = np.where(A > 0, ratio < 1 + CLIP_RANGE, ratio > 1 - CLIP_RANGE)
            pull = moves * ratio * A / len(batch)
            # The gradient of log_prob[y] by the logits is 1 at y, less all probabilities.
            gradient = np.bincount(y, pull, VOCABULARY) - pull.sum() * np.exp(log_prob)

            # Adam, uphill.
            n_steps += 1
            first_moment = BETA_1 * first_moment + (1 - BETA_1) * gradient
            second_moment = BETA_2 * second_moment + (1 - BETA_2) * gradient**2
            mean = first_moment / (1 - BETA_1**n_steps)
            scale = np.sqrt(second_moment / (1 - BETA_2**n_steps))
            logits = logits + learning_rate * mean / (scale + EPSILON)

            approx_kl.append(np.mean(ratio - 1 - log_ratio))
            clipped.append(np.mean(~moves))

    approx_kls.append(np.mean(approx_kl))
    clip_fractions.append(np.mean(clipped))

policies.append(logits - np.log(np.exp(logits).sum()))

# %%
# The run against the optimum
# ---------------------------
# J is the expected return. The best policy is proportional to
# ``np.exp(reference + token_reward / KL_COEF)``; :class:`~sklearn_codex.exact.AdditiveObjective`
# knows it, and the exact J, KL and distance to the optimum of every policy on the way.

problem = AdditiveObjective(reference, token_reward, length=LENGTH, kl_coef=KL_COEF)
best = problem.optimum()
gaps = np.array([problem.gap(log_prob) for log_prob in policies])
print("iteration    J         J* - J    KL       approx_kl  clip_fraction")
for i in range(0, N_ITERATIONS, 10):
    print(
        f"{i:9}    {problem.value(policies[i]):.6f}  {gaps[i]:.1e}   {problem.kl(policies[i]):.4f}"
        f"   {approx_kls[i]:.1e}    {clip_fractions[i]:.3f}"
    )
print(f"{N_ITERATIONS:9}    {problem.value(policies[-1]):.6f}  {gaps[-1]:.1e}   ", end="")
print(f"{problem.kl(policies[-1]):.4f}")
print(f"  optimum    {problem.value(best):.6f}  0         {problem.kl(best):.4f}")
assert gaps[-1] < 1e-6  # of a nat

# %%

fig, axes = plt.subplot_mosaic(
    [["value", "value"], ["gap", "kl"]], figsize=(6.4, 5.4), layout="constrained"
)
top, left, right = axes.values()
top.axhline(problem.value(best), color="#D55E00", ls="--", label="optimum")
top.plot([problem.value(log_prob) for log_prob in policies], color="#0072B2", label="exact")
top.plot(returns, ".", color="#E69F00", label=f"mean of {N_DOCUMENTS} documents")
top.set(ylabel="J (nats)", title="What is maximised")
left.semilogy(gaps, color="#0072B2")
left.set(ylabel="J* - J (nats)", title="Distance to the optimum")
right.axhline(problem.kl(best), color="#D55E00", ls="--", label="optimum")
right.plot([problem.kl(log_prob) for log_prob in policies], color="#0072B2", label="exact")
right.set(ylabel="KL to the reference (nats)", title="What it costs")
for ax in (top, left, right):
    ax.set_xlabel("iteration")
    ax.grid(alpha=0.3)
top.legend(loc="center right")
right.legend(loc="center right")
plt.show()

# %%
# The run ends less than a millionth of a nat from the optimum, and its last batches scatter less
# than its first: at the optimum the shaped reward of every document is the same, so all advantages
# are 0, whatever is drawn. Dividing advantages by their standard deviation, as many do, takes that
# away: :ref:`sphx_glr_auto_examples_policies_plot_distance_to_optimum.py` shows what follows.
#
# :class:`~sklearn_codex.PPOPolicyOptimizer` does this for text and any reward: in sums over the
# vocabulary, not token by token, and with natural steps unless ``optimizer="adam"``. To hold an
# implementation of your own against the optimum: :doc:`/check_your_algorithm`.
