"""
What does a critic learn?
=========================

Over n-grams a token decides what comes after it, so a policy optimiser needs to know what a context
is worth: the reward, less the price of KL, that is still to come. PPO learns it from the documents
it draws, as a critic. Here the exact value of every context is known, and the critic can be held
against it while both the policy and the values change.
"""

# %%
# A problem whose values are known
# --------------------------------
# A model of code of order 3, refined on function bodies; a reward for n-grams, from simulated
# preferences; and documents that start where demonstrations do. ``kl_coef`` is far enough above the
# smallest at which length stays finite.

import matplotlib.pyplot as plt
import numpy as np

from sklearn_codex import (
    NGramCounter,
    NGramLM,
    PPOPolicyOptimizer,
    PreferenceRewardModel,
    RLHFPipeline,
    SFTRefiner,
)
from sklearn_codex.datasets import load_stdlib_code
from sklearn_codex.exact import NGramObjective, arc_reward

records = load_stdlib_code(n_modules=6, random_state=0).records
loop = RLHFPipeline(
    [
        ("pretrain", NGramLM(order=3)),
        ("sft", SFTRefiner()),
        ("reward", PreferenceRewardModel(C=0.3)),
    ],
    vectorizer=NGramCounter(3, tokenizer="code", min_count=2, min_ngram_count=2, eos_token="</s>"),
).fit(records)
policy = loop["sft"]
problem = NGramObjective.of_model(policy, arc_reward(policy, loop["reward"].coef_[0]))
problem = problem.having(kl_coef=1.5 * problem.smallest_safe_kl_coef())
print(f"kl_coef {problem.kl_coef:.2f}, {problem.trie.n_contexts} contexts")

# %%
# Learned values against exact ones
# ---------------------------------
# With ``warm_start`` a fit goes on, and ``training_state_`` holds the values of the critic. Each
# dot is a context, as large as it is often visited; contexts that are rarely visited follow the
# shorter ones that they end with. Soon the critic tells contexts apart, but is too low at all of
# them: since the documents that it learned from the policy has become better. As the policy comes
# to rest, the values catch up.

ppo = PPOPolicyOptimizer(n_rollouts=256, tol=0, warm_start=True, random_state=0)
figure, axes = plt.subplots(1, 3, figsize=(10, 3.7), sharex=True, sharey=True, layout="constrained")
n_iterations = 0
for ax, more in zip(axes, (1, 3, 8), strict=True):
    ppo.set_params(max_iter=more).fit_objective(problem)
    n_iterations += more
    learned = ppo.training_state_["values"]["values"]
    exact, visits = problem.context_values(ppo.backoff_model_.event_log_prob)
    often = np.argsort(visits)[-1500:]
    size = 300.0 * visits[often] / visits.max()
    ax.scatter(exact[often], learned[often], s=np.maximum(size, 1.0), alpha=0.4, linewidth=0)
    low, high = exact[often].min(), exact[often].max()
    ax.plot([low, high], [low, high], color="0.4", linewidth=1)
    ax.set_title(f"after {n_iterations} iterations" if n_iterations > 1 else "after 1 iteration")
    ax.set_xlabel("exact value")
axes[0].set_ylabel("value of the critic")
plt.show()

# %%
# Over training
# -------------
# How far the values are from the exact ones, root mean square by visits, and how far the policy
# still is from the best one.

history = ppo.history_[1:]
iteration = np.arange(1, len(history) + 1)
error = [row["critic/error"] for row in history]
gap = [row["objective/optimality_gap"] for row in history]
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
left.semilogy(iteration, error, marker="o")
left.set_xlabel("iteration")
left.set_ylabel("error of the critic\n(units of the objective)")
right.semilogy(iteration, gap, marker="o")
right.set_xlabel("iteration")
right.set_ylabel("distance to the best policy\n(J* - J)")
plt.show()

# %%
# The contexts that are worth most, and least, among those visited at least once in ten documents:

names = loop.vectorizer_.get_feature_names_out()
trie = problem.trie
often = np.flatnonzero((visits > 0.1) & (trie.arc_of_context >= 0))
for context in (*often[np.argsort(exact[often])][-4:][::-1], *often[np.argsort(exact[often])][:4]):
    name = names[trie.arc_of_context[context]]
    print(f"{name:20} exact {exact[context]:6.2f}, learned {learned[context]:6.2f}")
