"""PPO of policies over n-grams against the exact optimum, over a grid.

    python benchmarks/ngram_ppo.py                     # half an hour to an hour
    python benchmarks/ngram_ppo.py --tokens 20 --seeds 2

Kneser-Ney models of order 2 and 3 of random Markov text with Zipf frequencies, 15 tokens of text
for each of the vocabulary. Three in ten n-grams, of any length, have a reward N(0, 1), and every
token a price that is just high enough for length to stay finite, and documents below 60 tokens.

One line for each order, vocabulary size V and ``kl_coef``, over seeds: n-grams, and nats of KL to
the optimum; for each ``gae_lambda`` the smallest share of the way from the reference to the optimum
at the end, J - J(reference) over J* - J(reference), and the most documents and seconds. Everything
else is at its default. No value above the optimum is let pass.
"""

import argparse
import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import time
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from sklearn_codex import PPOPolicyOptimizer
from sklearn_codex._ngrams.smoothing import kneser_ney
from sklearn_codex._ngrams.trie import build_trie
from sklearn_codex.exact import NGramObjective, arc_reward

ORDERS, TOKENS, KL_COEFS, LAMBDAS = (2, 3), (20, 200, 2000), (0.1, 0.3, 1.0, 3.0), (0.0, 0.9, 1.0)
LENGTH, TEXT_PER_TOKEN, LEAST_TEXT = 12, 15, 2000
N_SUCCESSORS, ANY_TOKEN = 30, 0.1
REWARDED = 0.3
PRICES, LONGEST = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0), 60.0


def markov_text(n_tokens, rng):
    """Return ids of documents that end with token 0, and where each starts."""
    n_words = n_tokens - 1
    zipf = 1.0 / np.arange(1, n_words + 1)
    zipf /= zipf.sum()
    n_next = min(n_words, N_SUCCESSORS)
    successors = np.array(
        [rng.choice(n_words, n_next, replace=False, p=zipf) for _ in range(n_words)]
    )
    ends = np.cumsum(rng.dirichlet(np.full(n_next, 0.5), n_words), axis=1)
    lengths = rng.geometric(1 / LENGTH, max(LEAST_TEXT, TEXT_PER_TOKEN * n_tokens) // LENGTH)
    ids, starts = [], [0]
    for length in lengths:
        word = rng.choice(n_words, p=zipf)
        for _ in range(length):
            ids.append(word + 1)
            chosen = min(int(np.searchsorted(ends[word], rng.random())), n_next - 1)
            anew = rng.random() < ANY_TOKEN
            word = rng.choice(n_words, p=zipf) if anew else successors[word, chosen]
        ids.append(0)
        starts.append(len(ids))
    return np.array(ids), np.array(starts)


def make_problem(seed, n_tokens, order, kl_coef):
    """Return the problem of a seed."""
    rng = np.random.default_rng([seed, n_tokens, order])
    ids, starts = markov_text(n_tokens, rng)
    trie = build_trie(ids, starts, n_tokens, order=order, eos=0)
    model, _ = kneser_ney(trie, np.asarray(trie.events(ids, starts).sum(axis=0)).ravel())
    rewards = rng.normal(size=trie.n_arcs) * (rng.random(trie.n_arcs) < REWARDED)
    for price in PRICES:
        priced = rewards.copy()
        priced[1:n_tokens] -= price
        problem = NGramObjective.of_model(model, arc_reward(trie, priced), kl_coef=kl_coef)
        try:
            if problem.expected_length(problem.optimum()) < LONGEST:
                return problem
        except ValueError:  # length explodes, or all but does
            continue
    raise RuntimeError(f"No price keeps documents of seed {seed} short.")


def run(problem, seed, gae_lambda):
    """Return share of the way, documents and seconds of one fit."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        start = time.process_time()
        policy = PPOPolicyOptimizer(gae_lambda=gae_lambda, random_state=seed)
        policy.fit_objective(problem)
        seconds = time.process_time() - start
    best = problem.optimal_value()
    highest = max(row["objective/value"] for row in policy.history_)
    assert highest <= best + 1e-9 * max(1.0, abs(best))
    share = 1.0 - policy.optimality_gap_ / problem.gap(problem.start)
    return share, policy.n_sequences_, seconds


def report(order, n_tokens, kl_coef, seeds, lambdas):
    problems = [make_problem(seed, n_tokens, order, kl_coef) for seed in range(seeds)]
    n_arcs = np.mean([problem.trie.n_arcs for problem in problems])
    kl = np.mean([problem.kl(problem.optimum()) for problem in problems])
    cells = [str(order), f"{n_tokens:,}", f"{kl_coef:g}", f"{n_arcs:,.0f}", f"{kl:.1f}"]
    for gae_lambda in lambdas:
        found = [run(problem, seed, gae_lambda) for seed, problem in enumerate(problems)]
        shares, documents, seconds = zip(*found, strict=True)
        cells.append(f"{min(shares):.2%}, {max(documents):,}, {max(seconds):.0f} s")
    print("| " + " | ".join(cells) + " |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--orders", type=int, nargs="+", default=ORDERS)
    parser.add_argument("--tokens", type=int, nargs="+", default=TOKENS)
    parser.add_argument("--kl-coefs", type=float, nargs="+", default=KL_COEFS)
    parser.add_argument("--lambdas", type=float, nargs="+", default=LAMBDAS)
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    heads = [f"gae_lambda {gae_lambda:g}" for gae_lambda in arguments.lambdas]
    print("| order | V | kl_coef | n-grams | KL, nats | " + " | ".join(heads) + " |")
    print("|" + "---|" * (5 + len(heads)))
    for order in arguments.orders:
        for n_tokens in arguments.tokens:
            for kl_coef in arguments.kl_coefs:
                report(order, n_tokens, kl_coef, arguments.seeds, arguments.lambdas)


if __name__ == "__main__":
    main()
