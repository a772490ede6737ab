"""
Over-optimisation: when more reward is worse
============================================

A learned reward is a proxy. Pushed far enough, it keeps rising while what it stands for falls. Here
the true ("gold") reward is known, so the turning point can be seen, and compared with the number of
labels.
"""

# %%
# A gold reward that the proxy cannot express
# -------------------------------------------
# The simulated annotator adds up the weights of tokens, but dislikes repetition: each pair of equal
# tokens in a document costs ``REPETITION``. A reward linear in token counts cannot say that. Around
# the reference policy repetition is rare, so the proxy looks fine there.

import matplotlib.pyplot as plt
import numpy as np
from scipy.special import expit
from sklearn.frozen import FrozenEstimator

from sklearn_codex import PPOPolicyOptimizer, PreferenceRewardModel, UnigramLM
from sklearn_codex.exact import AdditiveObjective, kl_coef_for_kl

N_TOKENS, LENGTH, REPETITION = 500, 20, 1.5
rng = np.random.RandomState(0)
rank = np.arange(1, N_TOKENS + 1)
token_prob = (rank + 20.0) ** -1.0
token_prob /= token_prob.sum()
weights = rng.standard_normal(N_TOKENS)
reference = UnigramLM().fit(rng.multinomial(LENGTH, token_prob, size=5000))


def gold_reward(counts):
    """Gold reward (n_documents,) of documents given as counts."""
    return counts @ weights - REPETITION * (counts * (counts - 1) / 2).sum(axis=1)


def expected_gold(log_prob):
    """Exact expectation of the gold reward under a unigram policy."""
    prob = np.exp(log_prob)
    return LENGTH * prob @ weights - REPETITION * LENGTH * (LENGTH - 1) / 2 * prob @ prob


# %%
# Two proxies, from few labels and from many
# ------------------------------------------


def learn_proxy(n_pairs):
    a, b = rng.multinomial(LENGTH, token_prob, size=(2, n_pairs))
    prefers_a = rng.uniform(size=n_pairs) < expit(gold_reward(a) - gold_reward(b))
    return PreferenceRewardModel(C=1.0).fit(a - b, prefers_a.astype(int))


proxies = {1000: learn_proxy(1000), 8000: learn_proxy(8000)}


def sweep(proxy):
    """Exact KL, proxy and gold reward of the optimum at many ``kl_coef``, from the reference."""
    token_reward, start = proxy.coef_[0], reference.token_log_prob_
    rows = []
    for kl_coef in np.geomspace(30, 0.1, 120):
        problem = AdditiveObjective(start, token_reward, length=LENGTH, kl_coef=kl_coef)
        best = problem.optimum()
        rows.append(
            (
                problem.kl(best),
                problem.expected_reward(best) - problem.expected_reward(start),
                expected_gold(best) - expected_gold(start),
            )
        )
    return np.array(rows).T


sweeps = {n_pairs: sweep(proxy) for n_pairs, proxy in proxies.items()}
for n_pairs, (kl, proxy, gold) in sweeps.items():
    peak = int(np.argmax(gold))
    print(
        f"{n_pairs:6} pairs: gold peaks at {gold[peak]:+.1f} at a KL of {kl[peak]:.0f} nats, "
        f"where the proxy says {proxy[peak]:+.1f}; at {kl[-1]:.0f} nats gold is {gold[-1]:+.1f}"
    )

# %%
# PPO, stopped at the peak and far beyond
# ---------------------------------------

proxy = proxies[8000]
kl, _, gold = sweeps[8000]
targets = [kl[int(np.argmax(gold))] / 4, kl[int(np.argmax(gold))], 60.0]
runs = []
for target in targets:
    kl_coef = kl_coef_for_kl(reference.token_log_prob_, proxy.coef_[0], target, length=LENGTH)
    run = PPOPolicyOptimizer(
        FrozenEstimator(reference),
        FrozenEstimator(proxy),
        kl_coef=kl_coef,
        response_length=LENGTH,
        random_state=0,
    ).fit(np.ones((1, N_TOKENS)))
    gain = expected_gold(run.token_log_prob_) - expected_gold(reference.token_log_prob_)
    runs.append((run.kl_, gain))
    print(f"PPO with kl_coef {kl_coef:.2f}: KL {run.kl_:.1f}, gold {gain:+.1f}")

# %%

fig, axes = plt.subplots(1, 2, sharey=True, figsize=(6.8, 4.6), layout="constrained")
for ax, (n_pairs, (kl, proxy_gain, gold_gain)) in zip(axes, sweeps.items(), strict=True):
    ax.plot(kl, proxy_gain, "--", color="#D55E00", label="proxy (what is optimised)")
    ax.plot(kl, gold_gain, color="#0072B2", label="gold (what was meant)")
    peak = int(np.argmax(gold_gain))
    ax.plot(kl[peak], gold_gain[peak], "^", color="#0072B2", ms=9, label="peak of gold")
    ax.set(xlabel="KL to the reference\n(nats per document)", title=f"{n_pairs:,} labelled pairs")
    ax.axhline(0, color="0.6", lw=0.8)
    ax.grid(alpha=0.3)
axes[1].plot(
    [x for x, _ in runs],
    [y for _, y in runs],
    "o",
    color="#009E73",
    label="PPO, gold",
)
axes[0].set_ylabel("gain over the reference (nats per document)")
handles, labels = axes[1].get_legend_handles_labels()
fig.legend(handles, labels, loc="outside lower center", ncols=2)
bound = 1.1 * max(gains.max() for _, gains, _ in sweeps.values())
axes[0].set_ylim(-bound, bound)
plt.show()

# %%
# The proxy never stops rising. More labels move the peak out and up, but do not remove it: the
# proxy misses a feature, and no number of labels repairs that. Nor would an ensemble of such models
# notice, since all of them miss the same thing. What does notice is a small set of fresh labels on
# documents drawn from the optimised policy.
