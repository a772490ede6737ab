"""How well the choice of C does on few pairs, against C = 1 and against a coin.

Features of the preset, made once for all pairs of a file, and turned so that there are no more of
words and characters than pairs, which changes no margin; of each file, draws of 100 and of 200
pairs from one half of its prompts, judged on the pairs of the other half. "prior" is the default of
``PreferenceRewardModelCV``, "score" the greatest held-out score alone, ``prior_scale=None``. One
process, minutes.

    python benchmarks/choose_c.py                              # files beside the repository
    python benchmarks/choose_c.py --files pandalm --draws 5
"""

import argparse

import measure  # noqa: F401  before numpy: one thread
import numpy as np
from preferences import FILES, load, losses
from scipy import sparse
from sklearn.compose import ColumnTransformer
from sklearn.frozen import FrozenEstimator

from sklearn_codex import PairVectorizer, PreferenceRewardModel, PreferenceRewardModelCV
from sklearn_codex.features import preference_features

SIZES = (100, 200)
MOST_PAIRS = 1500
BLOCK_SCALES = {"form": [0.2, 1.0]}  # those that vectorizer="preference" tries
TOLERANCE = 0.003


def draw(data, rng):
    """Return whole prompts in random order up to about ``MOST_PAIRS`` pairs."""
    X, y, prompts = data
    kept = np.isin(prompts, _first_prompts(prompts, rng))
    swap = rng.uniform(size=kept.sum()) < 0.5  # labels of a reference are all of one side
    X, y = X[kept].copy(), y[kept]
    X[swap, 1:] = X[swap, :0:-1]
    return X, np.where(swap, 1 - y, y), np.asarray(prompts)[kept]


def _first_prompts(prompts, rng):
    names, counts = np.unique(prompts, return_counts=True)
    order = rng.permutation(len(names))
    return names[order[np.cumsum(counts[order]) <= MOST_PAIRS]]


def turn(rows):
    """Return a sparse block (n, V) in as few dense columns as its rows differ in, at most n.

    A penalty that is the same for all columns of a block knows only the products of its rows.
    """
    values, vectors = np.linalg.eigh((rows @ rows.T).toarray())
    kept = values > 1e-12 * values[-1]
    return vectors[:, kept] * np.sqrt(values[kept])


def join(parts):
    """Return blocks by name side by side, and a transformer that knows them."""
    ends = np.cumsum([0, *(part.shape[1] for part in parts.values())])
    columns = [
        (name, "passthrough", slice(*ends[place : place + 2])) for place, name in enumerate(parts)
    ]
    joined = np.hstack(list(parts.values()))
    return joined, FrozenEstimator(ColumnTransformer(columns).fit(joined))


def judge(data, differences, vectorizer, size, n_draws):
    """Return the mean loss of each choice in each draw (n_draws,)."""
    _, y, prompts = data
    models = {
        "C = 1": PreferenceRewardModel(tol=1e-5, vectorizer=vectorizer),
        "score": PreferenceRewardModelCV(
            prior_scale=None, tol=1e-5, vectorizer=vectorizer, block_scales=BLOCK_SCALES
        ),
        "prior": PreferenceRewardModelCV(
            tol=1e-5, vectorizer=vectorizer, block_scales=BLOCK_SCALES
        ),
    }
    found = {name: [] for name in models}
    for seed in range(n_draws):
        rng = np.random.RandomState(seed)
        names = rng.permutation(np.unique(prompts))
        half = np.isin(prompts, names[: len(names) // 2])
        train = rng.choice(np.flatnonzero(half), min(size, half.sum()), replace=False)
        for name, model in models.items():
            groups = {"groups": prompts[train]} if name != "C = 1" else {}
            model.fit(differences[train], y[train], **groups)
            margin = model.decision_function(differences[~half])
            found[name].append(losses(y[~half], margin).mean())
    return {name: np.array(values) for name, values in found.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", nargs="+", default=[*FILES, "llmfao"])
    parser.add_argument("--draws", type=int, default=20)
    arguments = parser.parse_args()
    print(
        "| file | pairs | C = 1 | score, less C = 1 | prior, less C = 1 | SE | prior, less a coin |"
    )
    print("|---|---|---|---|---|---|---|")
    for file in arguments.files:
        data = load(file)
        if data is None:
            continue
        data = draw(data, np.random.RandomState(0))
        reader = PairVectorizer(preference_features())
        differences = reader.fit_transform(data[0])
        form = reader.vectorizer_.output_indices_["form"]
        others = np.delete(np.arange(differences.shape[1]), form)
        differences = sparse.csr_array(differences)
        parts = {"rest": turn(differences[:, others]), "form": differences[:, form].toarray()}
        differences, vectorizer = join(parts)
        for size in SIZES:
            found = judge(data, differences, vectorizer, size, arguments.draws)
            fixed = found["C = 1"]
            gain = found["prior"] - fixed
            error = gain.std(ddof=1) / np.sqrt(len(gain)) if len(gain) > 1 else np.nan
            is_fine = gain.mean() <= TOLERANCE and found["prior"].mean() <= np.log(2)
            mark = "" if is_fine else " (too much)"
            print(
                f"| {file} | {size} | {fixed.mean():.4f} | {(found['score'] - fixed).mean():+.4f} "
                f"| {gain.mean():+.4f}{mark} | {error:.4f} "
                f"| {(found['prior']).mean() - np.log(2):+.4f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
