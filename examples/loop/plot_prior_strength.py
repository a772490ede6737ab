"""
How much to trust the pretrained model: ``prior_strength``
==========================================================

Fine-tuning treats the pretrained model as a prior worth ``prior_strength`` tokens. Too weak, and a
few demonstrations are learned by heart; too strong, and they are ignored. Held-out perplexity finds
the place between.
"""

# %%
# Function bodies of the standard library
# ---------------------------------------

import matplotlib.pyplot as plt
import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import train_test_split

from sklearn_codex import SFTRefiner, TokenCounter, UnigramLM
from sklearn_codex.datasets import load_stdlib_code

data = load_stdlib_code(n_modules=50)
corpus = [record["text"] for record in data.corpus]
counter = FrozenEstimator(TokenCounter("code", min_count=2).fit(corpus))
base = UnigramLM(vectorizer=counter).fit(corpus)
train, test = train_test_split(
    [record["completion"] for record in data.demonstrations], test_size=0.3, random_state=0
)
print(f"{len(corpus)} documents, {len(train)} demonstrations, {len(test)} held out")

# %%
# Perplexity on demonstrations not seen
# -------------------------------------
# ``partial_fit`` is not needed: a fit is one pass of counting, so the whole grid takes a moment.

strengths = np.geomspace(10, 1e6, 31)
sizes = [10, 50, len(train)]
curves = {}
for size in sizes:
    curves[size] = [
        SFTRefiner(FrozenEstimator(base), prior_strength=strength)
        .fit(train[:size])
        .perplexity(test)
        for strength in strengths
    ]
    best = int(np.argmin(curves[size]))
    print(
        f"{size:4} demonstrations: best prior_strength {strengths[best]:8,.0f}, "
        f"perplexity {curves[size][best]:.0f}"
    )
print(f"pretrained model alone: perplexity {base.perplexity(test):.0f}")

# %%

fig, ax = plt.subplots(figsize=(6.4, 4.4), layout="constrained")
styles = [("#D55E00", "-."), ("#E69F00", "--"), ("#0072B2", "-")]
for (size, curve), (color, line) in zip(curves.items(), styles, strict=True):
    ax.semilogx(strengths, curve, line, color=color, label=f"{size} demonstrations")
    best = int(np.argmin(curve))
    ax.plot(strengths[best], curve[best], "o", color=color)
ax.axhline(base.perplexity(test), color="0.4", ls=":", label="pretrained model alone")
ax.set(
    xlabel="prior_strength (tokens)",
    ylabel="perplexity on held-out function bodies",
    title="The best prior is a matter of how much was demonstrated",
    ylim=(None, 2 * base.perplexity(test)),
)
ax.legend()
ax.grid(alpha=0.3)
plt.show()
