"""How long `check_preferences` takes, beside one cross-fit of the model that people write by hand.

The peer is five folds by prompt of LogisticRegression on differences of tf-idf, from the same text:
of words, and of the words and runs of characters that the preset has, which is one of the two
cross-fits that `check_preferences` makes beside all its other checks.

    python benchmarks/health_time.py                   # all files
    python benchmarks/health_time.py --files pandalm   # one of them
"""

import argparse
import warnings

import numpy as np
from measure import print_header, print_row, take_turns  # first: it pins threads
from preferences import FILES, load
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict

from sklearn_codex.features import preference_features
from sklearn_codex.health import check_preferences

CHECKS = "check_preferences"
N_FOLDS = 5


def words():
    return [TfidfVectorizer(sublinear_tf=True)]


def words_and_characters():
    return [part for name, part, _ in preference_features().transformers if name != "form"]


PEERS = {"tf-idf of words": words, "tf-idf of words and characters": words_and_characters}


def differences_of(X, make):
    """Return features of A less those of B (n_pairs, V), each response vectorized once."""
    texts, rows = np.unique(X[:, 1:].astype(str), return_inverse=True)
    a, b = rows.reshape(-1, 2).T
    features = sparse.csr_array(sparse.hstack([part.fit_transform(texts) for part in make()]))
    return features[a] - features[b]


def cross_fit(X, y, groups, make):
    """Return log-odds (n_pairs,) by LogisticRegression on pairs of other prompts."""
    D, target = differences_of(X, make), y > 0.5
    model = LogisticRegression(C=1.0, fit_intercept=False, max_iter=1000)
    folds = GroupKFold(N_FOLDS, shuffle=True, random_state=0)
    options = {"groups": groups, "cv": folds, "method": "decision_function"}
    return cross_val_predict(model, D, target, **options)


def accuracy(y, margin):
    decided = y != 0.5
    return np.mean((margin > 0)[decided] == (y > 0.5)[decided])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--files", nargs="+", default=FILES, metavar="FILE")
    parser.add_argument("--peers", nargs="+", choices=list(PEERS), default=list(PEERS))
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    print_header("file", "method", "accuracy", "seconds", "check_preferences is")
    for name in arguments.files:
        data = load(name)
        if data is None:
            continue
        X, y, groups = data
        methods = {CHECKS: lambda X=X, y=y: check_preferences(X, y, random_state=0)} | {
            peer: lambda X=X, y=y, groups=groups, make=PEERS[peer]: cross_fit(X, y, groups, make)
            for peer in arguments.peers
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            seconds, results = take_turns(methods, arguments.rounds, long=60.0)
        for method, result in results.items():
            found = result.predictability.accuracy if method == CHECKS else accuracy(y, result)
            ratio = "-" if method == CHECKS else f"{seconds[CHECKS] / seconds[method]:.2f}x"
            label = f"{name}, {len(y):,} pairs"
            print_row(label, method, f"{found:.3f}", f"{seconds[method]:.2f}", ratio)


if __name__ == "__main__":
    main()
