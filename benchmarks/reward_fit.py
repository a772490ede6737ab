"""Processor time and peak memory of a reward fit, against LogisticRegression at equal objective.

    python benchmarks/reward_fit.py                    # a quarter of an hour and more
    python benchmarks/reward_fit.py --quick            # part of the pairs, fast solvers: a minute
    python benchmarks/reward_fit.py --cases hard:1 --solvers lbfgs
    python benchmarks/reward_fit.py --simulated        # text drawn at random, of the same shape

The data are the word counts of `alpaca_eval` beside the repository; where it is missing, simulated
text. Every solver gets counts that are ready. Ours holds each distinct response once, with indices
of pairs; LogisticRegression gets the differences, and soft labels the only way it can take them, as
two copies of a pair with fractional weights. Both are given the loosest `tol` of a grid that
brings one and the same objective, computed here, within 1e-6 of its least value. Those
that do not within `--cap` seconds are named with the gap they reached. Counting is timed apart.
"""

import argparse
import gzip
import json
import time
import warnings
from pathlib import Path

import measure
import numpy as np
from scipy import sparse
from scipy.special import expit
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from sklearn_codex import PreferenceRewardModel, TokenCounter

DATA = Path(__file__).parents[2] / "shared" / "data" / "alpaca_eval.jsonl.gz"
GAP = 1e-6
WORDS = r"(?u)\w+|[^\w\s]"  # what TokenCounter("word") splits by
TOLS = [mantissa * 10.0**exponent for exponent in range(-1, -9, -1) for mantissa in (3, 1)]
STRIDE = 2  # grid points from one tolerance tried to the next, before those between are tried
LONG = 8  # seconds; a longer fit is timed once
OURS = "PreferenceRewardModel"
SOLVERS = ("lbfgs", "newton-cg", "liblinear", "newton-cholesky", "sag", "saga")
QUICK_SOLVERS = ("lbfgs", "newton-cg")
STOCHASTIC = ("sag", "saga")
CASES = ("soft:0.001", "soft:1", "hard:0.001", "hard:1")
QUICK_PAIRS = 2000


class Counted(TransformerMixin, BaseEstimator):
    """Stands for a vectorizer whose work is done: gives back the counts of the responses."""

    def __init__(self, counts=None):
        self.counts = counts

    def fit(self, texts, y=None):
        return self

    def transform(self, texts):
        assert len(texts) == self.counts.shape[0]
        return self.counts

    def fit_transform(self, texts, y=None):
        return self.transform(texts)

    def __sklearn_clone__(self):
        return self


def simulate_texts(n_prompts=805, n_rivals=10, n_words=60_000):
    """Pairs of one reference and its rivals a prompt, of Zipf's words, labelled by a reward."""
    rng = np.random.RandomState(0)
    share = 1 / np.arange(8, n_words + 8)
    words = np.array([f"w{i}" for i in range(n_words)])
    worth = rng.normal(0, 0.05, n_words)

    def write():
        n = max(5, int(rng.lognormal(5, 0.8)))
        chosen = rng.choice(n_words, n, p=share / share.sum())
        return " ".join(words[chosen]), worth[chosen].sum()

    pairs, margin = [], []
    for _ in range(n_prompts):
        reference, worth_of_reference = write()
        for _ in range(n_rivals):
            rival, worth_of_rival = write()
            pairs.append((reference, rival))
            margin.append(worth_of_reference - worth_of_rival)
    prompts = np.repeat(np.arange(n_prompts), n_rivals)
    return np.array(pairs, dtype=object), expit(np.array(margin)), prompts


def load(arguments):
    """Return pairs of text (n_pairs, 2), soft labels and prompts (n_pairs,)."""
    if arguments.simulated or not DATA.exists():
        pairs, label, prompts = simulate_texts()
    else:
        with gzip.open(DATA, "rt", encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines]
        pairs = np.array([(row["response_a"], row["response_b"]) for row in rows], dtype=object)
        label = np.array([row["label"] for row in rows])
        prompts = np.array([row["prompt"] for row in rows], dtype=object)
    n = QUICK_PAIRS if arguments.quick else len(pairs)
    return pairs[:n], label[:n], prompts[:n]


class Problem:
    """One fit: pairs and counts as each side wants them, and the objective that judges both."""

    def __init__(self, pairs, label, case):
        kind, C = case.split(":")
        kept = slice(None) if kind == "soft" else label != 0.5
        self.pairs, self.C = pairs[kept], float(C)
        self.y = label[kept] if kind == "soft" else (label[kept] > 0.5).astype(float)
        responses = dict.fromkeys([*self.pairs[:, 0], *self.pairs[:, 1]])
        place = {text: i for i, text in enumerate(responses)}
        self.counts = TokenCounter("word", unk_token=None).fit_transform(list(responses))
        a, b = ([place[text] for text in column] for column in self.pairs.T)
        self.differences = self.counts[a] - self.counts[b]
        self.copies, self.labels = self.differences, self.y
        self.weights = None
        if kind == "soft":
            weights = np.concatenate([self.y, 1 - self.y])
            kept = weights > 0
            self.weights = weights[kept]
            self.labels = np.repeat([1.0, 0.0], len(self.y))[kept]
            self.copies = sparse.csr_array(sparse.vstack([self.differences] * 2))[kept]

    def objective(self, coef):
        """C times the log-loss plus the penalty, by the textbook."""
        margin = self.differences @ coef
        losses = self.y * np.logaddexp(0, -margin) + (1 - self.y) * np.logaddexp(0, margin)
        return self.C * losses.sum() + 0.5 * coef @ coef

    def fit(self, method, tol, max_iter=100_000):
        """Return the weights (V,) that a method finds."""
        if method == OURS:
            model = PreferenceRewardModel(
                self.C, vectorizer=Counted(self.counts), tol=tol, max_iter=max_iter
            )
            return model.fit(self.pairs, self.y).coef_[0]
        model = LogisticRegression(
            C=self.C, fit_intercept=False, solver=method, tol=tol, max_iter=max_iter, random_state=0
        )
        return model.fit(self.copies, self.labels, sample_weight=self.weights).coef_[0]


def find_tolerance(problem, method, least, cap):
    """Return the loosest tolerance that reaches the least objective, or a word why there is none.

    A fit cannot be stopped by the clock: after one that took more than half the cap none that
    takes longer is tried.
    """
    size = problem.differences.shape[1]
    if method == "newton-cholesky" and size > 10_000:
        return f"not run: a Hessian of {8 * size**2 / 1e9:.0f} GB"
    if method in STOCHASTIC:
        return _run_stochastic(problem, method, least, cap)

    def attempt(place):
        start = time.process_time()
        gap = problem.objective(problem.fit(method, TOLS[place])) / least - 1
        return gap, time.process_time() - start

    loose, enough = -1, STRIDE
    while True:
        gap, seconds = attempt(enough)
        if gap <= GAP:
            break
        if seconds > cap / 2 or enough + STRIDE >= len(TOLS):
            return f"not reached: {gap:.0e} after {seconds:.0f} s"
        loose, enough = enough, enough + STRIDE
    while enough - loose > 1:
        middle = (loose + enough) // 2
        loose, enough = (loose, middle) if attempt(middle)[0] <= GAP else (middle, enough)
    return TOLS[enough]


def _run_stochastic(problem, method, least, cap):
    """Give a stochastic solver as many passes as a third of the cap has time for."""
    cap /= 3
    start = time.process_time()
    problem.fit(method, 0.0, max_iter=5)
    n_passes = max(5, int(5 * cap / (time.process_time() - start)))
    start = time.process_time()
    gap = problem.objective(problem.fit(method, 0.0, max_iter=n_passes)) / least - 1
    seconds = time.process_time() - start
    reached = "reached, tol unknown" if gap <= GAP else "not reached"
    return f"{reached}: {gap:.0e} after {seconds:.0f} s"


def run_case(arguments, problem, case):
    """Print the rows of one case."""
    least = problem.objective(problem.fit(OURS, 1e-11))
    tols = {
        method: find_tolerance(problem, method, least, arguments.cap)
        for method in (OURS, *arguments.solvers)
    }
    fits = {
        method: lambda method=method, tol=tol: problem.fit(method, tol)
        for method, tol in tols.items()
        if isinstance(tol, float)
    }
    seconds, coefs = measure.take_turns(fits, arguments.rounds, long=LONG)
    for method, tol in tols.items():
        if method not in fits:
            measure.print_row(case, method, "-", "-", tol, "-", "-")
            continue
        gap = problem.objective(coefs[method]) / least - 1
        options = ["--peak-of", method, "--cases", case, "--tol", tol]
        options += ["--simulated"] * arguments.simulated + ["--quick"] * arguments.quick
        measure.print_row(
            case,
            method,
            f"{tol:.0e}",
            f"{gap:.0e}",
            f"{seconds[method]:.2f} s",
            f"{seconds[method] / seconds[OURS]:.1f}x",
            measure.show_memory(measure.peak_in_child(*options)),
        )


def run_counting(pairs, n_rounds):
    """Print the time of counting, once a distinct response or once a response of a pair."""
    responses = list(dict.fromkeys(pairs.ravel()))
    column = list(pairs.ravel())
    seconds, _ = measure.take_turns(
        {
            "ours": counting(TokenCounter("word", unk_token=None), responses),
            "peer": counting(CountVectorizer(lowercase=False, token_pattern=WORDS), column),
        },
        n_rounds,
    )
    print(
        f"\nCounting apart: TokenCounter('word'), {len(responses)} distinct responses, "
        f"{seconds['ours']:.2f} s; CountVectorizer, {len(column)} responses of pairs, "
        f"{seconds['peer']:.2f} s, {seconds['peer'] / seconds['ours']:.1f}x."
    )


def counting(vectorizer, texts):
    """Return a function that counts texts anew."""
    return lambda: vectorizer.fit_transform(texts)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="2,000 pairs, one round, two solvers")
    parser.add_argument("--simulated", action="store_true", help="text drawn at random")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=CASES, help="labels and C")
    parser.add_argument("--solvers", nargs="+", choices=SOLVERS)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--cap", type=float, default=60, help="seconds a fit may take")
    parser.add_argument("--peak-of", choices=(OURS, *SOLVERS), help=argparse.SUPPRESS)
    parser.add_argument("--tol", type=float, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.solvers = arguments.solvers or (QUICK_SOLVERS if arguments.quick else SOLVERS)
    arguments.rounds = arguments.rounds or (1 if arguments.quick else 3)
    return arguments


def main():
    warnings.simplefilter("ignore", ConvergenceWarning)
    arguments = parse_arguments()
    pairs, label, _ = load(arguments)
    if arguments.peak_of:
        problem = Problem(pairs, label, arguments.cases[0])
        print(measure.peak_of(lambda: problem.fit(arguments.peak_of, arguments.tol)))
        return
    if not arguments.simulated and not DATA.exists():
        print(f"There is no {DATA.name} in {DATA.parent}: simulated text instead.\n")
    measure.print_header("labels:C", "solver", "tol", "gap", "seconds", "of ours", "peak memory")
    for case in arguments.cases:
        run_case(arguments, Problem(pairs, label, case), case)
    run_counting(pairs, arguments.rounds)


if __name__ == "__main__":
    main()
