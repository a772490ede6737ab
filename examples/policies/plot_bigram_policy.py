"""
A policy that sees the last token
=================================

To a unigram policy every token is the first. Once a policy sees the last token, a token is also
worth what it leads to, and at the end of a document that is nothing. The optimum is still known
exactly, so PPO with a critic and GAE can be held against it.
"""

# %%
# From real code to a bigram reference
# ------------------------------------
# Which token follows which, from functions of the standard library, and a reward for each token,
# from simulated preferences between real and degraded functions.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.frozen import FrozenEstimator

from sklearn_codex import PreferenceRewardModel, TokenCounter, balance_positions
from sklearn_codex.datasets import load_stdlib_code
from sklearn_codex.sequential import BigramObjective, BigramReference, optimize_bigram_policy

data = load_stdlib_code(n_modules=60, random_state=0)
reference = BigramReference.from_texts(
    [record["completion"] for record in data.demonstrations],
    vectorizer=TokenCounter("code", max_features=199),
)
X, y = balance_positions(
    [(record["chosen"], record["rejected"]) for record in data.preferences], random_state=0
)
reward = PreferenceRewardModel(vectorizer=FrozenEstimator(reference.vectorizer)).fit(X, y)

LENGTH = 20
problem = BigramObjective(reference, reward.coef_[0], LENGTH, kl_coef=1.0)
best, unchanged = problem.optimum(), np.zeros(reference.n_columns)
for name, tilt in (("reference", unchanged), ("optimum", best)):
    print(f"{name}: J = {problem.value(tilt):.2f}, {problem.kl(tilt):.2f} nats from the reference")
    for document in reference.names[problem.sample(tilt, 2, random_state=0)]:
        print("    ", *document)

# %%
# How close to the optimum?
# -------------------------
# Two tilts of the reference are the same at every position: the *myopic* one looks at the reward of
# the next token alone, the *stationary* one is optimal far from the end of a long document. PPO
# learns a tilt for each position, with either of two critics.


def lost(gap):
    """Return the share of the possible improvement that is missing."""
    return gap / problem.gap(unchanged)


runs = {
    critic: optimize_bigram_policy(problem, critic=critic, max_iter=60, tol=0, random_state=0)
    for critic in ("normalizer", "table")
}
simple = {"myopic tilt": problem.myopic_tilt(), "stationary tilt": problem.stationary_tilt()}
for name, gap in [
    *((name, problem.gap(tilt)) for name, tilt in simple.items()),
    *((f"PPO, critic={name!r}", run.gap) for name, run in runs.items()),
]:
    print(f"{name:24}: {1 - lost(gap):.4%} of the improvement from reference to optimum")

# %%
# What a token is worth beyond its own reward
# -------------------------------------------
# The optimal tilt of a token is its reward over ``kl_coef`` plus what may follow it, shown here
# relative to a mean token of the optimum.

foresight = best - problem.myopic_tilt()
foresight -= foresight @ problem.marginals(best).mean(axis=0)[:, np.newaxis]

fig, (top, bottom) = plt.subplots(2, 1, figsize=(6.4, 7.2), layout="constrained")
for (critic, run), (color, line) in zip(
    runs.items(), [("#0072B2", "-"), ("#56B4E9", "--")], strict=True
):
    shares = [lost(record["objective/optimality_gap"]) for record in run.history]
    top.semilogy(shares, line, color=color, label=f"PPO, critic={critic!r}")
for (name, tilt), color in zip(simple.items(), ["#D55E00", "#A66E00"], strict=True):
    share = lost(problem.gap(tilt))
    top.axhline(share, color=color, ls=":")
    top.annotate(
        f"{name}: {share:.1%}",
        (1.0, share),
        xytext=(-4, 3),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        ha="right",
        color=color,
    )
top.set(
    xlabel=f"PPO iteration ({runs['table'].history[1]['episode']} documents each)",
    ylabel="share of the possible improvement lost",
    title=f"{reference.n_columns} tokens, documents of {LENGTH}",
)
top.legend(loc="lower left")
top.grid(alpha=0.3)

names, positions = reference.names.tolist(), np.arange(1, LENGTH + 1)
tokens = [(")", "#009E73"), ("else", "#0072B2"), ("return", "#CC79A7"), (".", "#D55E00")]
for name, color in tokens:
    column = names.index(name)
    own = problem.token_reward[column]
    label = f"{name}   (own reward {own:+.1f})"
    bottom.plot(positions, foresight[:, column], "o-", ms=3, color=color, label=label)
bottom.axhline(0, color="0.4", lw=0.8)
bottom.set(
    xlabel="position in the document",
    ylabel="worth of what follows (nats)",
    xticks=[1, 5, 10, 15, 20],
    title="At the end only the own reward counts",
)
bottom.legend(loc="center left", bbox_to_anchor=(0.0, 0.6), ncols=2, fontsize="small")
bottom.grid(alpha=0.3)
plt.show()

# %%
# A closing bracket pays nothing, but what follows it does; a dot pays well and is followed by names
# that do not. Both are the same until a few tokens before the end. That is why the stationary tilt
# loses little and the myopic one much, and why neither is optimal: only a policy that knows the
# position is.
#
# With ``critic="normalizer"`` PPO reads the values of states off the policy itself. At the optimum
# these are exact also for states it never met, so that no sampling noise is left and the distance
# keeps falling, at last as fast as rare tokens are met. A table has to meet each state at each
# position to learn its value, and hovers.
