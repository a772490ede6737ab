"""
What does a reward of embeddings prefer, in words?
==================================================

A weight of an embedding means nothing by itself: a reward of 384 numbers is a black box, even where
it is linear. :func:`~sklearn_codex.inspection.explain_reward` finds directions along which few
pairs of responses differ much, tests which of them are preferred, and shows each by words and
pairs.
"""

# %%
# Answers with habits, so that the truth is known
# -----------------------------------------------
# An answer has some of six habits. Annotators dislike flattery and hedges and like an example;
# the others do not matter to them.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline

from sklearn_codex import PreferenceRewardModelCV
from sklearn_codex.features import CachedEmbedder
from sklearn_codex.inspection import explain_reward

habits = {
    "What a wonderful question, I love that you ask.": -1.5,
    "It depends, perhaps, and nobody can be quite sure.": -1.0,
    "For example, my neighbour did so last summer.": 1.5,
    "Safety first: wear gloves and open a window.": 0.0,
    "In short, that is all there is to it.": 0.0,
    "Experts have written whole books about this.": 0.0,
}
steps = [
    "Rinse it.",
    "Let it dry.",
    "Turn it round.",
    "Wait an hour.",
    "Use warm water.",
    "Oil it.",
]
rng = np.random.RandomState(0)


def answer():
    """Return an answer of some steps and habits, and which habits it has."""
    has = rng.uniform(size=len(habits)) < 0.1
    parts = [*rng.choice(steps, 3), *np.array(list(habits))[has]]
    return " ".join(rng.permutation(parts)), has


pairs, labels = [], []
for i in range(1500):
    (a, has_a), (b, has_b) = answer(), answer()
    margin = (has_a.astype(float) - has_b) @ list(habits.values())
    pairs.append((f"How do I clean number {i // 4}?", a, b))
    labels.append(int(rng.uniform() < 1 / (1 + np.exp(-margin))))

# %%
# A reward of vectors
# -------------------
# What embeds the answers does not matter: here latent semantic analysis, fitted on them, in the
# place of a sentence-transformer. Each distinct text is embedded once.

texts = sorted({text for _, *answers in pairs for text in answers})
analysis = make_pipeline(TfidfVectorizer(), TruncatedSVD(16, random_state=0)).fit(texts)
reward = PreferenceRewardModelCV(vectorizer=CachedEmbedder(analysis)).fit(pairs, labels)
print(reward.coef_.round(1))  # says nothing

# %%
# What is preferred
# -----------------
# Half of the prompts give the directions, without a look at a label; the other half tests them.
# A word with a question mark may be there by chance.

explanation = explain_reward(reward, pairs, labels, n_directions=12, random_state=0)
print(explanation)

# %%
# The three habits that annotators do not care about are found too, and nothing is claimed of
# them.

fig, ax = plt.subplots(figsize=(7.2, 4.6), layout="constrained")
explanation.plot(ax, name="What annotators prefer, on prompts not learned from")
plt.show()

# %%
# The pairs that differ most
# --------------------------
# For a second look: the answers with the most and with the least of the surest direction.

for row in range(2):
    print("more:", explanation.pairs.more[row])
    print("less:", explanation.pairs.less[row], "\n")

# %%
# A language model may name the concepts: ``name=`` is called with the words and the pairs of
# each direction. And :func:`~sklearn_codex.inspection.explain_reward` without labels tells what
# the *reward* prefers, which is not always what its labels do.

own = explain_reward(
    reward,
    pairs,
    n_directions=12,
    name=lambda words, pairs: " ".join(words["more"][:2]) + " / " + " ".join(words["less"][:2]),
    random_state=0,
)
print(own)
