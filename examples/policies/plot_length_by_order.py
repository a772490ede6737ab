"""
Length explosion at a higher order
==================================

Where documents end by themselves, a reward that pays for most tokens pays for length. The KL holds
against it, unless ``kl_coef`` is below a smallest safe value: then no document is long enough and
no policy is best. A policy that sees the tokens before has ways to go on that cost it little, so
here a policy of order 3 needs a larger one than a policy of order 1.
"""

# %%
# One loop for each order
# -----------------------
# A model of code, refined on function bodies, and a reward from simulated preferences, over n-grams
# of one to four tokens.

import matplotlib.pyplot as plt
import numpy as np

from sklearn_codex import NGramCounter, NGramLM, PreferenceRewardModel, RLHFPipeline, SFTRefiner
from sklearn_codex.datasets import load_stdlib_code
from sklearn_codex.exact import NGramObjective, arc_reward

records = load_stdlib_code(n_modules=12, random_state=0).records
problems = {}
for order in (1, 2, 3, 4):
    loop = RLHFPipeline(
        [
            ("pretrain", NGramLM(order)),
            ("sft", SFTRefiner()),
            ("reward", PreferenceRewardModel(C=0.1)),
        ],
        vectorizer=NGramCounter(
            order, tokenizer="code", min_count=2, min_ngram_count=2, eos_token="</s>"
        ),
    ).fit(records)
    trie, policy = loop["pretrain"].trie_, loop["sft"]
    log_prob = policy.token_log_prob_ if order == 1 else policy.backoff_model_.event_log_prob
    problems[order] = NGramObjective(log_prob, arc_reward(trie, loop["reward"].coef_[0]), trie)

# %%
# The smallest safe ``kl_coef``
# -----------------------------
# Whether length explodes is a question of the spectral radius of one equation a context: below 1,
# what a longer document gains is less than what it costs.

safe = {order: problem.smallest_safe_kl_coef() for order, problem in problems.items()}
for order, problem in problems.items():
    length = problem.expected_length(problem.start)
    paid = problem.expected_reward(problem.start) / length
    print(
        f"order {order}: smallest safe kl_coef {safe[order]:5.2f}; the reference has {length:.0f} "
        f"tokens a document, and the reward pays {paid:.3f} for one"
    )

# %%
# Length on the way there
# -----------------------
# Long before length explodes documents grow: at twice the smallest safe value those of order 3 have
# already about twice the length of the reference's.

figure, ax = plt.subplots(figsize=(7.5, 4.5), layout="constrained")
for order, problem in problems.items():
    kl_coefs = safe[order] * (1.0 + np.geomspace(0.01, 9.0, 12))
    at = [problem.having(kl_coef=float(kl_coef)) for kl_coef in kl_coefs]
    lengths = [one.expected_length(one.optimum()) for one in at]
    (line,) = ax.loglog(kl_coefs, lengths, marker="o", markersize=3.5, label=f"order {order}")
    ax.axvline(safe[order], color=line.get_color(), linestyle=":", linewidth=1)
ticks = [6, 8, 10, 20, 40, 60]
ax.set_xticks(ticks, labels=[str(tick) for tick in ticks])
ax.xaxis.set_minor_formatter("")
ax.set_xlabel("kl_coef (dotted: the smallest that is safe)")
ax.set_ylabel("Expected length of the best policy\n(tokens)")
ax.legend()
plt.show()

# %%
# What helps is a larger ``kl_coef``, a price of length, as a rule that counts every token, or
# ``max_length``; see :doc:`/guide/ngrams`.
