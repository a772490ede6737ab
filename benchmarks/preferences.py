"""How well rewards learned from text predict preferences on prompts never seen.

Six recipes that people write by hand, and the preset ``vectorizer="preference"``, on the real
preference data beside the repository. Raw text goes in, folds keep prompts together, and C is
chosen inside each training fold, by prompt as well. Soft labels enter all fits as they are.

    python benchmarks/preferences.py                    # all files
    python benchmarks/preferences.py --files pandalm    # one of them
    python benchmarks/preferences.py --files mine.jsonl # your own, in a form that `audit` reads
    python benchmarks/preferences.py --leakage          # with prompts on both sides, to compare
"""

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from scipy.special import expit
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.model_selection import GroupKFold, KFold
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sklearn_codex import (
    PreferenceRewardModel,
    PreferenceRewardModelCV,
    balance_positions,
    read_preferences,
)

DATA = Path(__file__).parents[2] / "shared" / "data"
FILES = ["pandalm", "rmbench_code", "alpaca_eval"]
PRESET = "preset"
CS = np.logspace(-3, 2, 11)


def log_length(texts):
    return np.log1p([[len(text)] for text in texts])


def length_only():
    return make_pipeline(FunctionTransformer(log_length), StandardScaler())


RECIPES = {
    "majority": lambda: None,
    "length only": length_only,
    "word counts": CountVectorizer,
    "tf-idf": lambda: TfidfVectorizer(sublinear_tf=True),
    "words 1-2 + length": lambda: FeatureUnion(
        [("words", TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)), ("l", length_only())]
    ),
    "characters 3-5": lambda: TfidfVectorizer(
        analyzer="char", ngram_range=(3, 5), sublinear_tf=True, min_df=2
    ),
    PRESET: lambda: "preference",
}


def load(name):
    """Return the pairs (n, 3), labels and prompts of a file; None, saying so, where it is not."""
    path = DATA / f"{name}.jsonl.gz"
    path = path if path.exists() else Path(name)
    if not path.exists():
        print(f"{name}: there is no {path.name} in {path.parent}, skipped")
        return None
    data = read_preferences(path)
    X, y = data.X, data.y
    if len(np.unique(y)) == 1:  # columns chosen and rejected
        X, y = balance_positions(X if y[0] == 1 else X[:, [0, 2, 1]], random_state=0)
    return X, np.asarray(y, dtype=np.float64), data.groups


def predict_fold(recipe, data, train, test):
    """Return the margins of the held-out pairs of a fold and the C chosen on the others."""
    X, y, _ = data
    if recipe == "majority":
        rate = y[train].mean()
        return np.full(len(test), np.log(rate / (1 - rate))), np.nan
    model = PreferenceRewardModelCV(Cs=CS, vectorizer=RECIPES[recipe](), patience=3)
    model.fit(X[train], y[train])
    return model.decision_function(X[test]), model.C_


def losses(y, margin):
    """Return the log-loss of each pair against its soft label, in nats."""
    probability = expit(margin)
    return -(y * np.log(probability) + (1 - y) * np.log1p(-probability))


def points(y, margin):
    """Return 1 where the preferred response is predicted, half for ties of label or margin."""
    return 0.5 + 0.5 * np.sign(y - 0.5) * np.sign(margin)


def cluster_error(values, groups):
    """Return the standard error of a mean of pairs that are alike within a prompt."""
    sums = pd.Series(values - values.mean()).groupby(np.asarray(groups)).sum()
    return np.sqrt((sums**2).sum() * len(sums) / (len(sums) - 1)) / len(values)


def run_file(name, data, recipes, n_jobs):
    X, y, prompts = data
    folds = list(GroupKFold(5, shuffle=True, random_state=0).split(X, groups=prompts))
    print(f"\n{name}: {len(y)} pairs, {len(np.unique(prompts))} prompts\n")
    print("| recipe | accuracy | SE | log-loss | SE | C | seconds |")
    print("|---|---|---|---|---|---|---|")
    results = {}
    for recipe in recipes:
        start = time.perf_counter()
        parts = Parallel(n_jobs=n_jobs)(
            delayed(predict_fold)(recipe, data, train, test) for train, test in folds
        )
        seconds = time.perf_counter() - start
        margin = np.empty(len(y))
        for (_, test), (part, _) in zip(folds, parts, strict=True):
            margin[test] = part
        loss, right = losses(y, margin), points(y, margin)
        results[recipe] = loss, right
        Cs = " ".join(f"{C:.2g}" for _, C in parts)
        print(
            f"| {recipe} | {right.mean():.3f} | {cluster_error(right, prompts):.3f} "
            f"| {loss.mean():.3f} | {cluster_error(loss, prompts):.3f} | {Cs} | {seconds:.0f} |",
            flush=True,
        )
    compare(results, prompts)


def compare(results, prompts):
    """Print the preset against the best of the others, pair by pair."""
    if PRESET not in results or len(results) < 2:
        return
    others = [recipe for recipe in results if recipe != PRESET]
    for position, what, best_of in ((0, "log-loss", min), (1, "accuracy", max)):
        best = best_of(others, key=lambda recipe: results[recipe][position].mean())
        difference = results[PRESET][position] - results[best][position]
        print(
            f"\npreset less the best {what} ({best}): {difference.mean():+.4f}, "
            f"SE {cluster_error(difference, prompts):.4f}",
            flush=True,
        )


def accuracy(recipe, data, folds):
    """Return the accuracy with C = 1, or 0.01 for counts."""
    X, y, _ = data
    model = PreferenceRewardModel(
        C=0.01 if recipe == "word counts" else 1.0, vectorizer=RECIPES[recipe](), tol=1e-4
    )
    right = np.empty(len(y))
    for train, test in folds:
        model.fit(X[train], y[train])
        right[test] = points(y[test], model.decision_function(X[test]))
    return right.mean()


def run_leakage(name, data, recipes, n_jobs):
    """Print accuracies with prompts on one side of a split, and with pairs drawn at random."""
    print(f"\n{name}\n\n| recipe | by prompt | pairs at random | leakage |\n|---|---|---|---|")
    X, _, prompts = data
    grouped = list(GroupKFold(5, shuffle=True, random_state=0).split(X, groups=prompts))
    mixed = list(KFold(5, shuffle=True, random_state=0).split(X))
    shown = [recipe for recipe in recipes if recipe != "majority"]
    both = Parallel(n_jobs=n_jobs)(
        delayed(accuracy)(recipe, data, folds) for recipe in shown for folds in (grouped, mixed)
    )
    for recipe, honest, leaking in zip(shown, both[::2], both[1::2], strict=True):
        print(f"| {recipe} | {honest:.3f} | {leaking:.3f} | {leaking - honest:+.3f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--files", nargs="+", default=FILES, metavar="FILE")
    parser.add_argument("--recipes", nargs="+", choices=list(RECIPES), default=list(RECIPES))
    parser.add_argument("--leakage", action="store_true")
    parser.add_argument("--n-jobs", type=int, default=1)
    arguments = parser.parse_args()
    run = run_leakage if arguments.leakage else run_file
    for name in arguments.files:
        data = load(name)
        if data is not None:
            run(name, data, arguments.recipes, arguments.n_jobs)


if __name__ == "__main__":
    main()
