"""Group 5-fold cross-validation of a reward model from raw text, against the same by hand.

    python benchmarks/group_cv.py                  # alpaca_eval beside the repository, minutes
    python benchmarks/group_cv.py --quick          # part of the pairs, one round
    python benchmarks/group_cv.py --simulated      # text drawn at random, of the same shape

By hand is the pipeline of scikit-learn that a user would write: a step that counts both responses
by CountVectorizer and takes the difference, and LogisticRegression, in `cross_val_score` with
GroupKFold. It counts the text again in every fold, for the fit and for the score. Ours is

- `cross_val_score(PreferenceRewardModel(), pairs)`, which does so too, each distinct response once;
- the same on `PairVectorizer().fit_transform(pairs)`, which counts once for all folds;
- `PreferenceRewardModelCV(Cs=[C])`, which does it inside.

All have the same word counts, hard labels and C; the scores of all folds are checked to be the
same, up to the tolerance of the solvers. Figures are medians of processor time, by turns. Memory is
the peak in a process of its own, above that of the text.
"""

import argparse
import warnings

import measure
import numpy as np
from reward_fit import DATA, WORDS, load
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline

from sklearn_codex import (
    PairVectorizer,
    PreferenceRewardModel,
    PreferenceRewardModelCV,
    TokenCounter,
)

C = 0.01
# With these, scores of folds agree to SAME; folds of PreferenceRewardModelCV end at tol=1e-3.
TOL, PEER_TOL, SAME = 1e-4, 1e-5, 1e-3
# Not the log-loss, which scikit-learn clips and the class does not: one pair is told wrong by far.
SCORE = "neg_brier_score"
RULE = "word"


class CountDifference(TransformerMixin, BaseEstimator):
    """What a user writes: counts of A less counts of B."""

    def fit(self, X, y=None):
        self.counter_ = CountVectorizer(lowercase=False, token_pattern=WORDS)
        self.counter_.fit([text for pair in X for text in pair])
        return self

    def transform(self, X):
        first, second = (self.counter_.transform(column) for column in X.T)
        return sparse.csr_array(first - second, dtype=np.float64)


def by_hand(pairs, y, groups):
    model = make_pipeline(
        CountDifference(),
        LogisticRegression(C=C, fit_intercept=False, tol=PEER_TOL, max_iter=10_000),
    )
    return cross_val_score(model, pairs, y, groups=groups, cv=GroupKFold(5), scoring=SCORE)


def plain(pairs, y, groups):
    model = PreferenceRewardModel(C, vectorizer=TokenCounter(RULE), tol=TOL)
    return cross_val_score(model, pairs, y, groups=groups, cv=GroupKFold(5), scoring=SCORE)


def counted_once(pairs, y, groups):
    differences = PairVectorizer(TokenCounter(RULE)).fit_transform(pairs)
    model = PreferenceRewardModel(C, tol=TOL)
    return cross_val_score(model, differences, y, groups=groups, cv=GroupKFold(5), scoring=SCORE)


def own_search(pairs, y, groups):
    # Its last fit, on all pairs, is beyond what the others do.
    model = PreferenceRewardModelCV(
        [C], vectorizer=TokenCounter(RULE), scoring=SCORE, cv=GroupKFold(5), tol=TOL
    )
    return model.fit(pairs, y, groups=groups).scores_[:, 0]


METHODS = {
    "by hand: CountVectorizer, LogisticRegression": by_hand,
    "cross_val_score(PreferenceRewardModel)": plain,
    "PairVectorizer, then cross_val_score": counted_once,
    "PreferenceRewardModelCV": own_search,
}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="2,000 pairs, one round")
    parser.add_argument("--simulated", action="store_true", help="text drawn at random")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--peak-of", choices=list(METHODS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.rounds = arguments.rounds or (1 if arguments.quick else 3)
    return arguments


def main():
    warnings.simplefilter("error")
    arguments = parse_arguments()
    pairs, label, groups = load(arguments)
    kept = label != 0.5
    data = pairs[kept], (label[kept] > 0.5).astype(int), groups[kept]
    if arguments.peak_of:
        print(measure.peak_of(lambda: METHODS[arguments.peak_of](*data)))
        return
    if not arguments.simulated and not DATA.exists():
        print(f"There is no {DATA.name} in {DATA.parent}: simulated text instead.\n")
    seconds, scores = measure.take_turns(
        {name: lambda run=run: run(*data) for name, run in METHODS.items()}, arguments.rounds
    )
    first = next(iter(seconds))
    measure.print_header(
        "how", "seconds", "times faster than by hand", "Brier score", "peak memory"
    )
    for name in METHODS:
        assert np.abs(scores[name] - scores[first]).max() < SAME
        options = ["--peak-of", name, *["--quick"] * arguments.quick]
        options += ["--simulated"] * arguments.simulated
        measure.print_row(
            name,
            f"{seconds[name]:.2f} s",
            f"{seconds[first] / seconds[name]:.1f}x",
            f"{-scores[name].mean():.4f}",
            measure.show_memory(measure.peak_in_child(*options)),
        )


if __name__ == "__main__":
    main()
