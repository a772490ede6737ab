"""Labels that are planted the wrong way round, and labels that are not.

    python benchmarks/wrong_labels.py [seeds] [sets]
    python benchmarks/wrong_labels.py innocent [data sets a kind] [prompts x pairs, ...]

The first plants flips in labels and looks for them by the margins of three models of other prompts:
length alone, tf-idf with LogisticRegression, and what check_preferences takes ("checks"), the
preset or words. The second has no wrong label, and counts in how many data sets some are claimed.
"""

import gzip
import json
import os
import sys
import time
import warnings
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy.special import expit
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold

from sklearn_codex._reward.preset_design import preset_design
from sklearn_codex.datasets import make_preferences
from sklearn_codex.exceptions import RareTokensWarning
from sklearn_codex.health import check_preferences
from sklearn_codex.health._check import run_checks

DATA = Path(os.environ.get("SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))
RATES = (0.0, 0.02, 0.05, 0.1)
SETS = ("pandalm", "simulated", "words and length", "more simulated")
SIZES = ((60, 5), (160, 5))  # prompts, pairs of each, where no label is wrong
WORDS = np.array([f"{'abcdefghij'[i % 10] * (1 + i % 7)}{i}" for i in range(200)])
KINDS = ("bradley-terry", "sharp", "saturating", "saturating margin", "length", "length sign",
         "heteroscedastic", "some careless", "some guess", "hard prompts")  # fmt: skip


def load(name, seed):
    """Return pairs of text and hard labels of a set, None where it is missing."""
    if name in ("simulated", "more simulated"):
        n_prompts = 160 if name == "simulated" else 480
        data = make_preferences(
            5 * n_prompts,
            n_prompts=n_prompts,
            temperature=0.3,
            n_features=100,
            text=True,
            random_state=seed,
        )
        return data.X, data.y
    if name == "words and length":
        return simulate("bradley-terry", 160, 5, seed, length=1.0)
    path = DATA / f"{name}.jsonl.gz"
    if not path.exists():
        print(f"{name} is skipped: {path} is missing.")
        return None
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    rows = [row for row in rows if row["label"] in (0, 1)]
    columns = ("prompt", "response_a", "response_b")
    X = np.array([[row[name] for name in columns] for row in rows], dtype=object)
    return X, np.array([row["label"] for row in rows], dtype=float)


def simulate(kind, n_prompts, each, seed, length=0.0):
    """Return pairs of random words and labels that follow some rule, none of them flipped."""
    rng = np.random.RandomState(seed)
    n = n_prompts * each
    weights = np.random.RandomState(5).normal(size=len(WORDS))
    chance = 1 / np.arange(1, len(WORDS) + 1)
    weights -= weights @ chance / chance.sum()
    texts = [
        rng.choice(len(WORDS), 3 + rng.poisson(20 * np.exp(rng.normal(0, 0.6))),
                   p=chance / chance.sum())
        for _ in range(2 * n)
    ]  # fmt: skip
    reward = np.array([weights[words].sum() for words in texts])
    a, b = reward.reshape(2, n) / np.std(reward[:n] - reward[n:])
    long = np.array([len(words) for words in texts]).reshape(2, n)
    log_ratio = np.log(long[0] / long[1])
    prompt = np.repeat(np.arange(n_prompts), each)
    log_odds = {
        "bradley-terry": lambda: 3 * (a - b) + length * 3 * log_ratio,
        "sharp": lambda: 8 * (a - b),
        "saturating": lambda: 3 * (np.tanh(2 * a) - np.tanh(2 * b)),
        "saturating margin": lambda: 2 * np.tanh(2 * (a - b)),
        "length": lambda: 3 * log_ratio,
        "length sign": lambda: 2 * np.sign(log_ratio),
        "heteroscedastic": lambda: 4 * (a - b) / np.exp(rng.normal(size=n)),
        "some careless": lambda: 6 * (a - b) * np.where(rng.uniform(size=n) < 0.7, 1, 0.2),
        "some guess": lambda: 6 * (a - b) * (rng.uniform(size=n) < 0.8),
        "hard prompts": lambda: 6 * (a - b) * (rng.uniform(size=n_prompts) < 0.8)[prompt],
    }[kind]()
    y = (rng.uniform(size=n) < expit(log_odds)).astype(float)
    written = [" ".join(WORDS[words]) for words in texts]
    X = [
        [f"{WORDS[p % len(WORDS)]} number {p}", written[i], written[n + i]]
        for i, p in enumerate(prompt)
    ]
    return np.array(X, dtype=object), y


def margins_of(name, X, y, seed):
    """Return cross-fitted margins of a model that users write by hand."""
    if name == "length":
        length = np.array([[len(a), len(b)] for _, a, b in X], dtype=float)
        D = np.column_stack([length[:, 0] - length[:, 1], np.log1p(length) @ [1, -1]])
        D /= D.std(axis=0)
    elif name == "tf-idf":
        features = TfidfVectorizer(min_df=2).fit_transform(np.concatenate([X[:, 1], X[:, 2]]))
        D = features[: len(y)] - features[len(y) :]
    margins = np.zeros(len(y))
    folds = GroupKFold(5, shuffle=True, random_state=seed)
    for train, test in folds.split(D, y, X[:, 0].astype(str)):
        model = LogisticRegression(fit_intercept=False).fit(D[train], y[train])
        margins[test] = model.decision_function(D[test])
    return margins


@lru_cache(maxsize=1)
def read(name, seed):
    """Return pairs, labels and the preset's differences of a set, which no planted flip changes."""
    data = load(name, seed)
    if data is None:
        return None
    rows = {}
    a, b = (
        np.array([rows.setdefault((row[0], row[side]), len(rows)) for row in data[0]])
        for side in (1, 2)
    )
    return *data, preset_design(np.array(list(rows), dtype=object), a, b).design


def plant(name, rate, seed):
    """Return, by model, the precision of the first and the area, and what is claimed."""
    data = read(name, seed if name in SETS[1:] else 0)
    if data is None:
        return None
    X, y, preset = data
    flipped = np.zeros(len(y), dtype=bool)
    rng = np.random.RandomState(seed)
    flipped[rng.choice(len(y), round(rate * len(y)), replace=False)] = True
    y = np.where(flipped, 1 - y, y)
    # As check_preferences, of features made once.
    report = run_checks(X, y, random_state=seed, preset=lambda: preset)
    table, found = report.wrong_labels, report.predictability
    score = {model: -(2 * y - 1) * margins_of(model, X, y, seed) for model in ("length", "tf-idf")}
    score["checks"] = np.zeros(len(y))
    score["checks"][table.row] = np.arange(len(y), 0, -1)
    ranks = {}
    if rate:
        for model, values in score.items():
            first = flipped[np.argsort(-values, kind="stable")]
            ranks[model] = [*(first[:n].mean() for n in (10, 25, 100)),
                            roc_auc_score(flipped, values)]  # fmt: skip
    flagged = table.row[table.flagged]
    claims = [found.flip_rate, found.flip_low, found.flip_high, flagged.size,
              flipped[flagged].sum(), found.flip_low <= rate <= found.flip_high]  # fmt: skip
    return ranks, claims


def measure_planted(n_seeds, names):
    """Print how the models rank and what is claimed."""
    for name in names:
        by_seed = [[plant(name, rate, seed) for rate in RATES] for seed in range(n_seeds)]
        for rate, runs in zip(RATES, zip(*by_seed, strict=True), strict=True):
            if None in runs:
                break
            claims = np.mean([claims for _, claims in runs], axis=0)
            print(f"{name}, {100 * rate:g} % planted: rate {claims[0]:.3f}, interval "
                  f"{claims[1]:.3f} to {claims[2]:.3f}, holds the planted {claims[5]:.2f}; flagged "
                  f"{claims[3]:.1f}, planted of these {claims[4]:.1f}", flush=True)  # fmt: skip
            for model in runs[0][0]:
                mean = np.mean([ranks[model] for ranks, _ in runs], axis=0)
                print(f"    {model:8} first 10 {mean[0]:.2f}, 25 {mean[1]:.2f}, 100 {mean[2]:.2f}, "
                      f"area {mean[3]:.3f}", flush=True)  # fmt: skip


def measure_innocent(n_sets, sizes):
    """Print in how many data sets without a wrong label some are claimed."""
    print(f"{n_sets} data sets a kind and size, none with a wrong label: share with some claimed")
    for kind in KINDS:
        claimed, judged = [], []
        for n_prompts, each in sizes:
            reports = [
                check_preferences(*simulate(kind, n_prompts, each, seed), random_state=seed)
                for seed in range(n_sets)
            ]
            claimed.append(np.mean([report.wrong_labels.flagged.any() for report in reports]))
            judged.append(np.mean([report.predictability.is_predictable for report in reports]))
        shares = ", ".join(
            f"{size[0]} x {size[1]}: {share:.3f} (judged {known:.2f})"
            for size, share, known in zip(sizes, claimed, judged, strict=True)
        )
        print(f"{kind:20} {shares}", flush=True)


def main():
    """Measure what is asked for."""
    warnings.simplefilter("ignore", RareTokensWarning)
    start = time.perf_counter()
    if sys.argv[1:2] == ["innocent"]:
        given = [tuple(map(int, name.split("x"))) for name in sys.argv[3:]]
        measure_innocent(int(sys.argv[2]) if len(sys.argv) > 2 else 20, given or SIZES)
    else:
        measure_planted(int(sys.argv[1]) if len(sys.argv) > 1 else 5, sys.argv[2:] or SETS)
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
