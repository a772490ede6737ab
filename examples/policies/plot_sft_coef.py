"""
Keeping what was demonstrated: the effect of ``sft_coef``
=========================================================

Optimising a reward moves a policy away from its demonstrations. ``sft_coef`` puts their
cross-entropy into the objective. The optimum with that term is exact too, so the whole trade-off is
one curve.
"""

# %%
# The loop up to the policy, on code of the standard library
# ----------------------------------------------------------
# The preferences are simulated: a real function body against the same body with a flaw.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.frozen import FrozenEstimator

from sklearn_codex import (
    PPOPolicyOptimizer,
    PreferenceRewardModel,
    SFTRefiner,
    TokenCounter,
    UnigramLM,
    balance_positions,
)
from sklearn_codex.datasets import load_stdlib_code
from sklearn_codex.exact import AdditiveObjective

data = load_stdlib_code(n_modules=15)
corpus = [record["text"] for record in data.corpus]
completions = [record["completion"] for record in data.demonstrations]
pairs, labels = balance_positions(
    [(record["chosen"], record["rejected"]) for record in data.preferences], random_state=0
)

counter = FrozenEstimator(TokenCounter("code", min_count=3).fit(corpus))
base = UnigramLM(vectorizer=counter).fit(corpus)
refined = SFTRefiner(FrozenEstimator(base)).fit(completions)
reward = PreferenceRewardModel(C=0.1, vectorizer=counter).fit(pairs, labels)

# %%
# PPO at a few values, the exact optimum at many
# ----------------------------------------------


def optimise(sft_coef):
    return PPOPolicyOptimizer(
        FrozenEstimator(refined), FrozenEstimator(reward), sft_coef=sft_coef, random_state=0
    ).fit(completions)


chosen = [1, 10, 100, 1000]
runs = [optimise(sft_coef) for sft_coef in chosen]
for sft_coef, run in zip(chosen, runs, strict=True):
    print(
        f"sft_coef {sft_coef:5}: expected reward {run.expected_reward_:6.2f}, KL {run.kl_:6.2f}, "
        f"J* - J {run.optimality_gap_:.4f}"
    )

first = runs[0]
sft_coefs = np.geomspace(0.1, 10_000, 60)
losses, rewards = [], []
for sft_coef in sft_coefs:
    problem = AdditiveObjective(
        first.reference_log_prob_,
        first.token_reward_,
        length=first.response_length_,
        sft_coef=sft_coef,
        frequencies=first.frequencies_,
    )
    best = problem.optimum()
    losses.append(problem.sft_loss(best))
    rewards.append(problem.expected_reward(best))

# %%

fig, (top, bottom) = plt.subplots(2, sharex=True, figsize=(6.4, 5.4), layout="constrained")
top.semilogx(sft_coefs, rewards, color="#0072B2", label="optimum (exact)")
top.semilogx(chosen, [run.expected_reward_ for run in runs], "o", color="#D55E00", label="PPO")
top.set(
    ylabel="expected reward\n(nats per document)", title="Reward is given up for the demonstrations"
)
top.legend()
bottom.semilogx(sft_coefs, losses, color="#0072B2")
bottom.semilogx(chosen, [run.evaluate().sft_loss for run in runs], "o", color="#D55E00")
bottom.axhline(-refined.score(completions), color="0.4", ls=":", label="before optimisation")
bottom.set(xlabel="sft_coef", ylabel="cross-entropy of the\ndemonstrations (nats per token)")
bottom.legend(loc="lower left")
for ax in (top, bottom):
    ax.grid(alpha=0.3)
plt.show()

# %%
# The two terms are on different scales: the reward is per document, the cross-entropy per token. So
# ``sft_coef`` starts to matter when it is about as large as a document is long.

print(f"tokens of a document: {first.response_length_}")
