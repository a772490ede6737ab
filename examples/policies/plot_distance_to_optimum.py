"""
Distance to the optimum, iteration by iteration
===============================================

Training curves of neural RLHF show a reward that rises. Here the distance to the best policy is
known, so a logarithmic axis tells a run that converges from one that hovers.
"""

# %%
# Three ways to make a PPO step
# -----------------------------
# - ``optimizer="natural"`` with the reward of each token credited to that token: possible because
#   reward and KL add over tokens;
# - the same with one reward per document, as with a neural reward model;
# - ``optimizer="adam"``: Adam on the logits, whitened advantages, the textbook form.
#
# With ``tol=0`` each run takes all its iterations.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.frozen import FrozenEstimator

from sklearn_codex import PPOPolicyOptimizer, PreferenceRewardModel, UnigramLM
from sklearn_codex.datasets import make_preferences

LENGTH, N_FEATURES, N_SEEDS = 20, 300, 3
data = make_preferences(4000, n_features=N_FEATURES, document_length=LENGTH, random_state=0)
reward = PreferenceRewardModel(C=0.1).fit(data.X, data.y)
corpus = np.random.RandomState(0).multinomial(LENGTH, data.token_prob, size=2000)
reference = UnigramLM().fit(corpus)

settings = {
    "natural, token credit": {"credit": "token"},
    "natural, sequence credit": {"credit": "sequence"},
    "Adam, sequence credit": {"optimizer": "adam", "credit": "sequence"},
}
histories = {
    label: [
        PPOPolicyOptimizer(
            FrozenEstimator(reference),
            FrozenEstimator(reward),
            kl_coef=0.4,
            n_rollouts=256,
            max_iter=100,
            tol=0,
            random_state=seed,
            **options,
        )
        .fit(corpus)
        .history_
        for seed in range(N_SEEDS)
    ]
    for label, options in settings.items()
}

for label, runs in histories.items():
    final = np.median([history[-1]["objective/optimality_gap"] for history in runs])
    print(f"{label:26}: J* - J = {final:.1e} after {runs[0][-1]['episode']:,} documents")

# %%

fig, ax = plt.subplots(figsize=(6.4, 4.4), layout="constrained")
styles = [("#0072B2", "-"), ("#E69F00", "--"), ("#D55E00", "-.")]
for (label, runs), (color, line) in zip(histories.items(), styles, strict=True):
    for seed, history in enumerate(runs):
        ax.semilogy(
            [record["iteration"] for record in history],
            np.maximum([record["objective/optimality_gap"] for record in history], 1e-13),
            line,
            color=color,
            alpha=0.8,
            label=label if seed == 0 else None,
        )
ax.set(
    xlabel="iteration (256 documents each)",
    ylabel="distance to the optimum J* - J (nats)",
    title=f"Vocabulary of {N_FEATURES}, {LENGTH} tokens a document, {N_SEEDS} seeds",
)
fig.legend(loc="outside lower center", ncols=2)
ax.grid(alpha=0.3)
plt.show()

# %%
# The shaped reward is constant at the optimum of an additive reward, so the sampled gradient has no
# variance there and a natural step of constant size keeps converging, down to rounding (drawn as
# 1e-13). Dividing advantages by their standard deviation, as the textbook form does, blows the last
# noise up again: that run hardly improves until its learning rate has fallen.
