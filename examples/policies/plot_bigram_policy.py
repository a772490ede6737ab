"""
A policy that sees the last token
=================================

To a unigram policy every token is the first. Once a policy sees the last token, a token is also
worth what it leads to, and at the end of a document that is nothing. The optimum is still known
exactly, so it can be told what simpler policies lose.
"""

# %%
# From real code to a bigram reference
# ------------------------------------
# Which token follows which, from functions of the standard library, and a reward for each token,
# from simulated preferences between real and degraded functions.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.frozen import FrozenEstimator

from sklearn_codex import (
    NGramCounter,
    NGramLM,
    PreferenceRewardModel,
    TokenCounter,
    balance_positions,
)
from sklearn_codex.datasets import load_stdlib_code
from sklearn_codex.exact import NGramObjective, arc_reward

data = load_stdlib_code(n_modules=60, random_state=0)
documents = [record["completion"] for record in data.demonstrations]
tokens = TokenCounter("code", max_features=199).fit(documents)
names = tokens.get_feature_names_out()
counter = NGramCounter(2, tokenizer="code", vocabulary=names)
reference = NGramLM(2, smoothing="dirichlet", prior_strength=10.0, vectorizer=counter)
reference.fit(documents)
X, y = balance_positions(
    [(record["chosen"], record["rejected"]) for record in data.preferences], random_state=0
)
token_reward = PreferenceRewardModel(vectorizer=FrozenEstimator(tokens)).fit(X, y).coef_[0]

LENGTH = 20
reward = arc_reward(reference, token_reward)
problem = NGramObjective.of_model(reference, reward, max_length=LENGTH, kl_coef=1.0)
best, unchanged = problem.time_dependent_optimum().log_prob, problem.start
for name, policy in (("reference", unchanged), ("optimum", best)):
    nats = problem.kl(policy)
    print(f"{name}: J = {problem.value(policy):.2f}, {nats:.2f} nats from the reference")
    for text in problem.sample(policy, 2, np.random.RandomState(0), names=names).texts:
        print("    ", text)

# %%
# How close to the optimum?
# -------------------------
# Three policies are the same at every position: the *myopic* one looks at the reward of the next
# token alone, that of the *infinite horizon* is optimal far from the end of a long document, and
# the last is the best that natural-gradient steps find.

simple = {
    "myopic": problem.moved(unchanged, reward / problem.kl_coef),
    "infinite horizon": problem.infinite_horizon_optimum(),
    "best without position": problem.optimum(),
}


def lost(policy, objective=problem):
    """Return the share of the possible improvement that is missing."""
    return objective.gap(policy) / objective.gap(unchanged)


for name, policy in simple.items():
    print(f"{name:22}: {1 - lost(policy):.2%} of the improvement from reference to optimum")

# %%
# What a token is worth beyond its own reward
# -------------------------------------------
# What may follow a token is the objective still to come in its context, under the optimum, shown
# below relative to a mean token. Above it is what policies that do not know the position lose in
# shorter and longer documents.

to_come = problem.state_values(best)[1:, problem.trie.context_of_arc[: len(names)]]
to_come = np.vstack([to_come, np.zeros(len(names))])
to_come -= to_come @ problem.marginals(best).mean(axis=0)[:, np.newaxis]

lengths = [2, 5, 10, 20, 40, 80]
fig, (top, bottom) = plt.subplots(2, 1, figsize=(6.4, 7.2), layout="constrained")
for (name, policy), color in zip(list(simple.items())[:2], ["#D55E00", "#0072B2"], strict=True):
    shares = [lost(policy, problem.having(max_length=length)) for length in lengths]
    top.loglog(lengths, shares, "o-", color=color, label=name)
top.axhline(1.0, color="0.4", lw=0.8)
top.set(
    xlabel="tokens of a document",
    ylabel="share of the possible improvement lost",
    title=f"{len(names)} tokens, policies that do not know the position",
    xticks=lengths,
    xticklabels=lengths,
)
top.minorticks_off()
top.legend()
top.grid(alpha=0.3)

positions = np.arange(1, LENGTH + 1)
shown = [(")", "#009E73"), ("else", "#0072B2"), ("return", "#CC79A7"), (".", "#D55E00")]
for name, color in shown:
    column = names.tolist().index(name)
    label = f"{name}   (own reward {token_reward[column]:+.1f})"
    bottom.plot(positions, to_come[:, column], "o-", ms=3, color=color, label=label)
bottom.axhline(0, color="0.4", lw=0.8)
bottom.set(
    xlabel="position in the document",
    ylabel="worth of what follows",
    xticks=[1, 5, 10, 15, 20],
    title="At the end only the own reward counts",
)
bottom.legend(loc="center left", bbox_to_anchor=(0.0, 0.6), ncols=2, fontsize="small")
bottom.grid(alpha=0.3)
plt.show()

# %%
# A closing bracket pays nothing, but what follows it does; a dot pays well and is followed by names
# that do not. Both are the same until a few tokens before the end. That is why the policy of the
# infinite horizon loses little and less the longer documents are, the myopic one much, and why
# neither is optimal: only a policy that knows the position is.
