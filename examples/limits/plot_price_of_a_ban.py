"""
What a safety rule costs: the price of a ban in nats
====================================================

A rule is a price: each violation costs ``penalty`` nats of KL. Two questions have exact answers:
how often is the rule still broken, and how much of the objective does obedience cost?
"""

# %%
# A reward with an exploit
# ------------------------
# Two tokens of 200 must not be used, but the learned reward likes them: here their weights are set
# by hand. Columns stand for tokens, so the rule is given columns.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.frozen import FrozenEstimator

from sklearn_codex import PPOPolicyOptimizer, PreferenceRewardModel, UnigramLM
from sklearn_codex.datasets import make_preferences
from sklearn_codex.exact import AdditiveObjective
from sklearn_codex.rules import BannedTokens

LENGTH, KL_COEF, BANNED = 20, 1.0, [20, 60]
data = make_preferences(2000, n_features=200, document_length=LENGTH, random_state=0)
coef = data.coef.copy()
coef[BANNED] = 1.5
data = make_preferences(4000, n_features=200, coef=coef, document_length=LENGTH, random_state=0)
reward = PreferenceRewardModel(C=0.3).fit(data.X, data.y)
corpus = np.random.RandomState(0).multinomial(LENGTH, data.token_prob, size=2000)
reference = UnigramLM().fit(corpus)

# %%
# The exact answer at every price
# -------------------------------
# With a share q of banned tokens in the unpenalised optimum, a price of c nats leaves the share
# :math:`q e^{-c} / (1 - q (1 - e^{-c}))`, and costs :math:`-b L \log(1 - q (1 - e^{-c}))` of the
# objective, with b = ``kl_coef`` and L tokens a document. Forbidding the tokens altogether costs
# exactly :math:`-b \log P(\text{no banned token})` under the unpenalised optimum, and no more.


def problem_at(penalty):
    prices = np.zeros(200)
    prices[BANNED] = penalty
    return AdditiveObjective(
        reference.token_log_prob_,
        reward.coef_[0],
        length=LENGTH,
        kl_coef=KL_COEF,
        penalty=prices,
    )


def rate(log_prob):
    """Share of documents that have a banned token."""
    return -np.expm1(LENGTH * np.log1p(-np.exp(log_prob[BANNED]).sum()))


free = problem_at(0.0)
free_optimum = free.optimum()
penalties = np.linspace(0, 12, 61)
problems = [problem_at(penalty) for penalty in penalties]
rates = np.array([rate(problem.optimum()) for problem in problems])
costs = np.array(
    [free.value(free_optimum) - problem.value(problem.optimum()) for problem in problems]
)
ban = -KL_COEF * np.log1p(-rate(free_optimum))
print(f"documents with a banned token: {rate(reference.token_log_prob_):.1%} in the reference,")
print(f"{rates[0]:.1%} after optimisation without a rule, {rates[-1]:.1e} at 12 nats")
print(f"cost of a complete ban: {ban:.3f}; of a price of 5 nats: {costs[25]:.3f}")

# %%
# PPO with the rule
# -----------------

chosen = [1.0, 3.0, 5.0, 8.0]
runs = [
    PPOPolicyOptimizer(
        FrozenEstimator(reference),
        FrozenEstimator(reward),
        kl_coef=KL_COEF,
        rules=BannedTokens(BANNED, penalty=penalty),
        random_state=0,
    ).fit(corpus)
    for penalty in chosen
]

# %%

fig, (top, bottom) = plt.subplots(2, sharex=True, figsize=(6.4, 5.4), layout="constrained")
top.semilogy(penalties, 100 * rates, color="#0072B2", label="optimum (exact)")
top.semilogy(
    chosen,
    [100 * run.rule_rates_["banned_tokens"] for run in runs],
    "o",
    color="#D55E00",
    label="PPO",
)
top.axhline(100 * rate(reference.token_log_prob_), color="0.4", ls=":", label="reference policy")
top.set(ylabel="documents that break\nthe rule (%)", title="Each nat divides the odds by e")
top.legend()
bottom.plot(penalties, costs, color="#0072B2")
bottom.plot(
    chosen, [free.value(free_optimum) - run.objective_ for run in runs], "o", color="#D55E00"
)
bottom.axhline(ban, color="#009E73", ls="--", label="complete ban")
bottom.set(
    xlabel="penalty (nats per violation)", ylabel="loss of the objective\n(nats per document)"
)
bottom.legend(loc="lower right")
for ax in (top, bottom):
    ax.grid(alpha=0.3)
plt.show()

# %%
# After a few nats almost all of the price of a ban has been paid, so there is little reason for a
# low penalty. PPO stops when its objective is within ``tol`` of the best. A violation as rare as
# that hardly counts in the objective any more, so its share can still be off by a factor; here it
# is below the optimum's, since PPO starts from the reference with the price already applied.
