"""
The four estimators, one after the other
========================================

Pretrain, refine, learn a reward and optimise: each stage of the RLHF loop is an ordinary
scikit-learn estimator, and the optimum that PPO looks for is known.
"""

# %%
# Pretraining: a unigram language model
# -------------------------------------
# A document is its token counts, a language model one distribution over the vocabulary. ``score``
# is the mean log-likelihood per token, so it compares between documents and folds.

import matplotlib.pyplot as plt
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GroupKFold, cross_val_score

from sklearn_codex import (
    PPOPolicyOptimizer,
    PreferenceRewardModel,
    SFTRefiner,
    TokenCounter,
    UnigramLM,
)
from sklearn_codex.datasets import load_stdlib_code
from sklearn_codex.inspection import TokenShiftDisplay
from sklearn_codex.rules import BannedTokens

data = load_stdlib_code(n_modules=20)
corpus = [record["text"] for record in data.corpus]

counter = FrozenEstimator(TokenCounter("code", min_count=2).fit(corpus))
base = UnigramLM(smoothing=0.1, vectorizer=counter).fit(corpus)
print(f"{len(base.token_log_prob_)} tokens, perplexity {base.perplexity(corpus):.0f}")
print("most probable next token:", base.predict(["def f(x):"])[0])

# %%
# Supervised fine-tuning
# ----------------------
# The base model enters as a Dirichlet prior worth ``prior_strength`` tokens. A fitted model that
# enters another estimator is frozen, so that cross-validation keeps its fit.

completions = [record["completion"] for record in data.demonstrations]
refiner = SFTRefiner(FrozenEstimator(base), prior_strength=2000)
scores = cross_val_score(refiner, completions, cv=3)
print(f"log-likelihood per token of function bodies: {base.score(completions):.3f} before,")
print(f"{scores.mean():.3f} after, on bodies not seen")
refined = refiner.fit(completions)

# %%
# A reward from preferences
# -------------------------
# Bradley-Terry on pairs of a real and a flawed body (the labels are simulated). Pairs go in as
# text, and folds keep the pairs of one prompt together.

pairs, labels, prompts = [], [], []
for i, record in enumerate(data.preferences):
    chosen_first = i % 2
    sides = (record["chosen"], record["rejected"])
    pairs.append((record["prompt"], *(sides if chosen_first else sides[::-1])))
    labels.append(chosen_first)
    prompts.append(record["prompt"])

reward = PreferenceRewardModel(C=0.3, vectorizer=counter)
scores = cross_val_score(reward, pairs, labels, groups=prompts, cv=GroupKFold(3))
print(f"accuracy on prompts never seen: {scores.mean():.2f}")
reward.fit(pairs, labels)
print("reward of 'return x':", reward.reward(["return x"]).round(2))
print("reward of 'eval(x)': ", reward.reward(["eval(x)"]).round(2))

# %%
# Policy optimisation
# -------------------
# PPO draws documents, scores them and moves; the gap to the best policy there is is exact.

policy = PPOPolicyOptimizer(
    FrozenEstimator(refined),
    FrozenEstimator(reward),
    rules=[BannedTokens(["eval", "exec"], name="unsafe_code")],
    random_state=0,
).fit(completions)
print(f"{policy.n_iter_} iterations, expected reward {policy.expected_reward_:.2f}")
print(f"KL to the reference {policy.kl_:.2f} nats, gap to the optimum {policy.optimality_gap_:.4f}")
for token, log_ratio, _ in policy.token_shift(5).risen:
    print(f"  rose: {token!r:10} by {log_ratio:+.2f} nats")

# %%
# What the policy does more and less than the model it began from:

TokenShiftDisplay.from_estimator(policy)
plt.show()
