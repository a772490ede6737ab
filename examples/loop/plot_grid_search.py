"""
Grid search over the whole loop
===============================

One indexable X holds corpus, demonstrations and preferences, so ``GridSearchCV`` searches over the
parameters of any stage. With ``memory`` the stages above the one that changes are fitted once a
fold.
"""

# %%
# The records and the loop
# ------------------------

import tempfile

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import GridSearchCV

from sklearn_codex import (
    PPOPolicyOptimizer,
    PreferenceRewardModel,
    RLHFPipeline,
    SFTRefiner,
    TokenCounter,
    UnigramLM,
)
from sklearn_codex.datasets import load_stdlib_code
from sklearn_codex.model_selection import RecordKFold

records = load_stdlib_code(n_modules=10).records
kinds = ["text", "completion", "chosen"]
print({kind: sum(kind in record for record in records) for kind in kinds})

# %%
# Searching
# ---------
# The score of the loop is minus its objective, alpha L_SFT + beta L_RLHF + gamma Omega, on the rows
# of the fold. ``RecordKFold`` keeps every kind of record in every fold and a prompt on one side.

with tempfile.TemporaryDirectory() as cache:
    loop = RLHFPipeline(
        [
            ("pretrain", UnigramLM(smoothing=0.1)),
            ("sft", SFTRefiner()),
            ("reward", PreferenceRewardModel(C=0.3)),
            ("policy", PPOPolicyOptimizer(sft_coef=1.0, random_state=0)),
        ],
        vectorizer=TokenCounter("code", min_count=2),
        memory=cache,
    )
    search = GridSearchCV(
        loop,
        {"sft__prior_strength": [100, 1000, 10_000], "policy__kl_coef": [1.0, 3.0]},
        cv=RecordKFold(3, shuffle=True, random_state=0),
    ).fit(records)

for parameters, mean, deviation in zip(
    search.cv_results_["params"],
    search.cv_results_["mean_test_score"],
    search.cv_results_["std_test_score"],
    strict=True,
):
    print(f"{mean:8.3f} +- {deviation:.3f}  {parameters}")
print("best:", search.best_params_)

# %%
# A search on one part of the loop
# --------------------------------
# Objectives with different ``kl_coef`` are different scales. To choose the strength of the prior
# alone, score what it is for: the likelihood of demonstrations not seen.


def completion_log_likelihood(estimator, X, y=None):
    """Log-likelihood per token of the demonstrations in X after fine-tuning."""
    completions = [record["completion"] for record in X if "completion" in record]
    return estimator.named_steps_.sft.score(completions)


search = GridSearchCV(
    loop[:2].set_params(memory=None),
    {"sft__prior_strength": np.geomspace(10, 100_000, 5)},
    scoring=completion_log_likelihood,
    cv=RecordKFold(3, shuffle=True, random_state=0),
).fit(records)
for strength, mean in zip(
    search.cv_results_["param_sft__prior_strength"],
    search.cv_results_["mean_test_score"],
    strict=True,
):
    print(f"prior_strength {strength:>9,.0f}: {mean:.3f} nats per token")

# %%

fig, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
ax.errorbar(
    search.cv_results_["param_sft__prior_strength"].astype(float),
    search.cv_results_["mean_test_score"],
    yerr=search.cv_results_["std_test_score"],
    color="#0072B2",
    marker="o",
    capsize=4,
)
ax.axvline(search.best_params_["sft__prior_strength"], color="#D55E00", linestyle="--")
ax.set(
    xscale="log",
    xlabel="prior_strength (tokens)",
    ylabel="log-likelihood of completions\n(nats per token, 3 folds)",
    title="The prior the search chooses",
)
ax.grid(alpha=0.3)
plt.show()
