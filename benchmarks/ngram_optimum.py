"""Processor time of the exact optimum over n-gram policies of the standard library's text.

    python benchmarks/ngram_optimum.py                 # 400,000 and 1.1 million arcs, two minutes
    python benchmarks/ngram_optimum.py --quick         # 20 files

Kneser-Ney models of order 3 and 5 of a part of the text, cut into functions, with random rewards of
tokens and of bigrams, and a price of each token. Compared is the plain way to the same equation:
sweeps z <- K z + ends until nothing changes by more than 1e-10 of it. What both find is checked to
be the same, and what is found to solve the equation.
"""

import argparse
import re

import measure
import numpy as np

from sklearn_codex._ngrams.smoothing import kneser_ney
from sklearn_codex._ngrams.trie import build_trie
from sklearn_codex.exact import NGramObjective, arc_reward

N_TOKENS = 620_000
REWARD, PRICE = 0.1, 0.1  # spread of rewards, and what every token costs
QUICK_FILES = 20
TOKEN, BEGINS = re.compile(r"\w+|[^\w\s]"), re.compile(r"\n(?=def |class |@)")
LONGEST = 400
UNKNOWN, END = 0, 1
SWEEP_TOL, MOST_SWEEPS = 1e-10, 20_000


def read_documents(n_files, n_tokens):
    """Return ids of functions, where each starts, and the size of the vocabulary."""
    documents, total = [], 0
    for text in measure.read_library(n_files):
        for part in BEGINS.split(text):
            documents.append(TOKEN.findall(part)[:LONGEST])
            total += len(documents[-1])
        if total >= n_tokens:
            break
    seen, often = set(), set()
    for document in documents:
        for token in document:
            (often if token in seen else seen).add(token)
    numbers = {token: number + 2 for number, token in enumerate(sorted(often))}
    rows = [[*(numbers.get(token, UNKNOWN) for token in row), END] for row in documents]
    starts = np.cumsum([0, *map(len, rows)])
    return np.array([number for row in rows for number in row]), starts, len(numbers) + 2


def build(ids, starts, n_tokens, order):
    """Return the problem of one order."""
    trie = build_trie(ids, starts, n_tokens, order=order, eos=END)
    events = np.asarray(trie.events(ids, starts).sum(axis=0)).ravel()
    model, _ = kneser_ney(trie, events)
    rng = np.random.default_rng(0)
    reward = np.zeros(trie.n_arcs)
    n_short = int(trie.indptr[np.searchsorted(trie.context_length, 2)])
    reward[:n_short] = REWARD * rng.normal(size=n_short)
    reward[:n_tokens] -= PRICE
    return NGramObjective.of_model(model, arc_reward(trie, reward))


def fresh(problem):
    """Return the same problem with nothing known of it yet."""
    return NGramObjective(
        problem.reference_log_prob, problem.token_reward, problem.trie, problem.kl_coef
    )


def sweep(problem):
    """Return log z (C,) by plain sweeps, and how many they were."""
    operator = problem.kernel.operator(np.zeros(problem.trie.n_contexts))
    worth = np.zeros(problem.trie.n_contexts)
    n_sweeps, change = 0, np.inf
    while change > SWEEP_TOL and n_sweeps < MOST_SWEEPS:
        n_sweeps += 1
        before, worth = worth, operator.dot(worth) + operator.ends
        change = np.abs(worth - before).max() / worth.max()
    return np.log(worth), n_sweeps


def report(problem, order, n_rounds):
    policy = problem.start
    methods = {
        "optimum": lambda: fresh(problem).optimum(),
        "gap of a policy": lambda: fresh(problem).gap(policy),
        "gradient": lambda: fresh(problem).gradient(policy),
        "sweeps": lambda: sweep(problem),
    }
    seconds, results = measure.take_turns(methods, n_rounds, long=20.0)
    swept, n_sweeps = results["sweeps"]
    kernel, found = problem.kernel, problem.values(results["optimum"]) / problem.temperature
    residual = np.abs(kernel.log_sums(kernel.after(found)) - found).max()
    rows = np.abs(problem.policy_model(results["optimum"]).total_prob() - 1.0).max()
    assert residual < 1e-10
    assert rows < 1e-12
    assert np.abs(found - swept).max() < 1e-5
    trie = problem.trie
    print(
        f"| {order} | {trie.n_arcs:,} | {trie.n_contexts:,} | {seconds['optimum']:.2f} | "
        f"{seconds['gap of a policy']:.2f} | {seconds['gradient']:.2f} | {residual:.0e} | "
        f"{seconds['sweeps']:.1f} ({n_sweeps:,}) |",
        flush=True,
    )


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_FILES} files, one round")
    parser.add_argument("--orders", nargs="+", type=int, default=[3, 5])
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    n_files = QUICK_FILES if arguments.quick else None
    ids, starts, n_tokens = read_documents(n_files, N_TOKENS)
    print(f"{len(ids):,} tokens, {n_tokens:,} of a kind, {len(starts) - 1:,} documents")
    print("| order | arcs | contexts | optimum, s | gap, s | gradient, s | residual | sweeps, s |")
    print("|---|---|---|---|---|---|---|---|")
    for order in arguments.orders:
        report(
            build(ids, starts, n_tokens, order), order, 1 if arguments.quick else arguments.rounds
        )


if __name__ == "__main__":
    main()
