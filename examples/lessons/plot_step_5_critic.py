"""
Step 5: a critic, and all of it is PPO
======================================

So far a response was one choice. In a text each word is one, and it decides what comes after it.
Which of twenty words deserves the reward of the text? A critic answers: it learns what is still to
come after each word, and a word is worth what came out better than that. With the ratios and the
clip of the step before this is PPO, and here the critic has work to do.
"""

# %%
# Texts of a bigram model
# -----------------------
# Four words and an end. ``reference[s, t]`` is the log-probability of ``t`` after ``s``, where the
# last row is the start of a text and the last column its end; ``pay[s, t]`` is the reward of that
# step. What a policy is worth is the solution of a linear system: the value of ``s`` is the pay,
# less the price of the KL, plus the value of what follows. The best policy solves the same with the
# best ``t`` in place of the usual one, softly.

import matplotlib.pyplot as plt
import numpy as np
from scipy.special import log_softmax, logsumexp

from sklearn_codex.lab import check_algorithm, gae_advantage, shape_rewards

WORDS, KL_COEF = 4, 0.5
START = END = WORDS
rng = np.random.RandomState(3)
reference = np.log(0.93 * rng.dirichlet(np.full(WORDS, 2.0), WORDS + 1))
reference = np.column_stack([reference, np.full(WORDS + 1, np.log(0.07))])
reference[START] = log_softmax(np.append(reference[START, :WORDS], -np.inf))  # no empty text
pay = 0.4 * rng.standard_normal((WORDS + 1, WORDS + 1)) - 0.1


def worth(log_prob):
    """Return what is still to come (WORDS + 1,) after each word, and at the start."""
    with np.errstate(invalid="ignore"):
        price = np.where(np.isinf(log_prob), 0.0, KL_COEF * (log_prob - reference))
    prob = np.exp(log_prob)
    follows = np.column_stack([prob[:, :WORDS], np.zeros(WORDS + 1)])
    return np.linalg.solve(np.eye(WORDS + 1) - follows, (prob * (pay - price)).sum(axis=1))


best_worth = np.zeros(WORDS + 1)
for _ in range(500):
    scores = reference + (pay + np.append(best_worth[:WORDS], 0.0)) / KL_COEF
    best_worth = KL_COEF * logsumexp(scores, axis=1)
best = log_softmax(scores, axis=1)
print(f"J of the reference {worth(reference)[START]:+.3f}")
print(f"J of the optimum   {worth(best)[START]:+.3f}, {best_worth[START]:+.3f} in another way")

# %%
# Texts that are drawn
# --------------------
# Arrays have a row for each text and a column for each place; after the end comes padding.


def draw(log_prob, n_texts, rng):
    """Return the word before each place, the one at it, and which places hold one."""
    before, words, masks = [np.full(n_texts, START)], [], []
    cumulative = np.cumsum(np.exp(log_prob), axis=1)
    going = np.ones(n_texts, dtype=bool)
    while going.any():
        uniform = rng.uniform(size=(n_texts, 1))
        word = np.minimum((cumulative[before[-1]] < uniform).sum(axis=1), END)
        words.append(np.where(going, word, END))
        masks.append(going)
        going = going & (word != END)
        before.append(np.where(going, word, START))
    return np.array(before[:-1]).T, np.array(words).T, np.array(masks).T


# %%
# Three advantages
# ----------------
# *The text* credits each word with the whole text, less the mean of the others: step 3. *What
# follows* leaves out what was paid before the word, which the word had no part in. *A critic* is a
# value for each word, learned as the mean of what came after it. Generalised advantage estimation
# (GAE) adds up what came out better than the critic said, each place further on counting
# ``GAE_LAMBDA`` of the one before.

GAE_LAMBDA, VALUE_RATE = 0.9, 0.5


def of_the_text(shaped, before, mask, values):
    total = shaped.sum(axis=1, keepdims=True)
    return np.where(mask, total - (total.sum() - total) / (len(total) - 1), 0.0)


def of_what_follows(shaped, before, mask, values):
    to_come = np.flip(np.cumsum(np.flip(shaped, axis=1), axis=1), axis=1)
    return np.where(mask, to_come - shaped.sum() / len(shaped), 0.0)


def of_a_critic(shaped, before, mask, values):
    value = np.where(mask, values[before], 0.0)
    following = np.append(value[:, 1:], np.zeros((len(value), 1)), axis=1)
    delta = shaped + following - value
    advantage = np.zeros_like(shaped)
    running = np.zeros(len(shaped))
    for place in reversed(range(shaped.shape[1])):
        running = delta[:, place] + GAE_LAMBDA * running
        advantage[:, place] = running
    visits = np.bincount(before[mask], minlength=WORDS + 1)
    errors = np.bincount(before[mask], advantage[mask], WORDS + 1)
    values += VALUE_RATE * errors / np.maximum(visits, 1)
    return np.where(mask, advantage, 0.0)


# %%
# The loop
# --------
# Draw texts, put the price of the KL into the reward, find advantages, and take ``N_EPOCHS`` steps
# along the clipped surrogate of step 4. With the critic that is PPO.

N_TEXTS, N_EPOCHS, CLIP_RANGE, RATE = 32, 4, 0.2, 1.0


def train(advantage_of, n_texts, seed):
    rng = np.random.RandomState(seed)
    logits, values = reference.copy(), np.zeros(WORDS + 1)
    gaps = [best_worth[START] - worth(reference)[START]]
    for _ in range(n_texts // N_TEXTS):
        log_prob = log_softmax(logits, axis=1)
        before, words, mask = draw(log_prob, N_TEXTS, rng)
        drew = log_prob[before, words]
        with np.errstate(invalid="ignore"):
            shaped = pay[before, words] - KL_COEF * (drew - reference[before, words])
        shaped = np.where(mask, shaped, 0.0)
        s, t = before[mask], words[mask]
        A, old = advantage_of(shaped, before, mask, values)[mask], drew[mask]
        for _ in range(N_EPOCHS):
            log_prob = log_softmax(logits, axis=1)
            ratio = np.exp(log_prob[s, t] - old)
            moves = np.where(A > 0, ratio < 1 + CLIP_RANGE, ratio > 1 - CLIP_RANGE)
            pull = moves * ratio * A / N_TEXTS
            gradient = np.zeros_like(logits)
            np.add.at(gradient, (s, t), pull)
            gradient -= np.bincount(s, pull, WORDS + 1)[:, np.newaxis] * np.exp(log_prob)
            logits = logits + RATE * gradient
        gaps.append(best_worth[START] - worth(log_softmax(logits, axis=1))[START])
    return np.array(gaps), values


# %%
# Measure: the distance by documents drawn
# ----------------------------------------

N_DOCUMENTS, SEEDS = 3_200, range(3)
ways = {
    "the text (step 4)": of_the_text,
    "what follows": of_what_follows,
    "a critic, GAE: PPO": of_a_critic,
}
runs = {label: [train(way, N_DOCUMENTS, seed) for seed in SEEDS] for label, way in ways.items()}
shares = {
    label: np.median([gaps / gaps[0] for gaps, _ in of_seeds], axis=0)
    for label, of_seeds in runs.items()
}
print(f"{'':20} documents to 1 % of the distance   share left at the end")
for label, share in shares.items():
    near = np.flatnonzero(share < 0.01)
    first = f"{N_TEXTS * near[0]:,}" if len(near) else "never"
    print(f"{label:20} {first:>33}   {share[-1]:.0e}")

# %%

fig, ax = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
for (label, share), color in zip(shares.items(), ("#E69F00", "#D55E00", "#0072B2"), strict=True):
    documents = N_TEXTS * np.arange(len(share))
    ax.loglog(documents[1:], np.maximum(share[1:], 1e-12), color=color, label=label)
ax.set(
    xlabel="documents drawn",
    ylabel="share of the distance to the optimum",
    title="A critic needs fewer documents",
)
ax.legend(loc="lower left")
ax.grid(alpha=0.3)
plt.show()

# %%
# *The text* arrives, as its advantages are all 0 at the optimum, but each word has to be told from
# all the others of its text first. *What follows* is fairer to each word and gets near sooner. But
# what is to come differs from place to place, also at the optimum, and one mean cannot take that
# off: it hovers. A value for each word can.
#
# Measure: is the critic right?
# -----------------------------
# It was learned from what was drawn, while the policy moved. Here is what it says, and the exact
# values of the last policy, which ends near the best.

learned = np.array([values for _, values in runs["a critic, GAE: PPO"]])
print("critic, mean of 3", learned.mean(axis=0).round(2))
print("exact, of the best", best_worth.round(2))
assert shares["a critic, GAE: PPO"][-1] < 1e-4

# %%
# Exercise
# --------
# GAE trusts the critic the more, the smaller its ``lam`` is. Is the expected step still right, with
# a perfect critic and with one that says 0 everywhere, at ``lam`` of 1 and of 0.5? Write
# ``with_critic(is_perfect, lam)``, which returns an update, from
# :func:`~sklearn_codex.lab.shape_rewards` and :func:`~sklearn_codex.lab.gae_advantage`, and check
# it on the problem ``"bigram"``. A batch has the ``values`` of a perfect critic.

# %%

# Solution


def with_critic(is_perfect, lam):
    def update(log_prob, batch):
        given = (batch.old_log_prob, batch.ref_log_prob, batch.response_mask, batch.kl_coef)
        rewards = shape_rewards(batch.token_level_rewards, *given)
        values = batch.values if is_perfect else np.zeros_like(batch.values)
        advantages, _ = gae_advantage(rewards, values, batch.response_mask, lam=lam)
        return -advantages / len(batch)

    return update


ONE_SETTING = {"group_size": 1, "group_sizes": (), "learning_rates": (), "more_epochs": ()}
checks = {
    (is_perfect, lam): check_algorithm(with_critic(is_perfect, lam), "bigram", **ONE_SETTING)
    for is_perfect in (True, False)
    for lam in (1.0, 0.5)
}
assert [check.passed for check in checks.values()] == [True, True, True, False]

# %%
# The result:

for (is_perfect, lam), check in checks.items():
    critic = "perfect" if is_perfect else "0"
    print(f"critic {critic:8} lam {lam}  noise {check.noise:6.1f}  {check.verdict}")

# %%
# With ``lam=1`` a wrong critic costs noise only. With less it is believed, and a wrong one moves
# the place of rest. While a critic is being learned it is wrong, which is why ``lam`` is near 1.
#
# The same from the first line to the last, with Adam and minibatches:
# :ref:`sphx_glr_auto_examples_policies_plot_ppo_in_sixty_lines.py`. For text, and any order of
# n-grams: :class:`~sklearn_codex.PPOPolicyOptimizer`. What becomes of other algorithms:
# :ref:`sphx_glr_auto_examples_policies_plot_where_algorithms_rest.py`.
