"""PPO of policies over n-grams against the exact optimum, over a grid, and against PPO in torch.

    python benchmarks/ngram_ppo.py                     # ten minutes
    python benchmarks/ngram_ppo.py --tokens 20 --seeds 2
    python benchmarks/ngram_ppo.py --peer --tokens 20 200 --orders 2 --kl-coefs 1 --seeds 3

Kneser-Ney models of order 2 and 3 of random Markov text with Zipf frequencies, 15 tokens of text
for each of the vocabulary. Three in ten n-grams, of any length, have a reward N(0, 1), and every
token a price that is just high enough for length to stay finite, and documents below 60 tokens.

One line for each order, vocabulary size V and ``kl_coef``, over seeds: n-grams, and nats of KL to
the optimum; for each ``gae_lambda`` the smallest share of the way from the reference to the optimum
at the end, J - J(reference) over J* - J(reference), and the most documents and seconds. Everything
else is at its default. No value above the optimum is let pass.

With ``--peer``, instead: processor seconds and documents until 90 to 99.9 % of the way, against PPO
as CleanRL writes it, whose policy is a table of logits of all tokens after each context, and its
critic one of a value a context. It starts at the reference, and has the same reward of each token
less its price in KL. It gets the best of some learning rates and sizes of batches in each column,
ours has one default. Shares of the way of the peer are looked at after 5 % more documents each
time, on no clock.
"""

import argparse
import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import time
import warnings
from itertools import product

import numpy as np
import policy
from scipy import sparse
from scipy.sparse.linalg import splu
from sklearn.exceptions import ConvergenceWarning

from sklearn_codex import PPOPolicyOptimizer
from sklearn_codex._ngrams.backoff import BackoffModel
from sklearn_codex._ngrams.smoothing import kneser_ney
from sklearn_codex._ngrams.trie import build_trie
from sklearn_codex.exact import NGramObjective, arc_reward
from sklearn_codex.exact._ngram_flow import split_events

ORDERS, TOKENS, KL_COEFS, LAMBDAS = (2, 3), (20, 200, 2000), (0.1, 0.3, 1.0, 3.0), (0.0, 0.9, 1.0)
LENGTH, TEXT_PER_TOKEN, LEAST_TEXT = 12, 15, 2000
N_SUCCESSORS, ANY_TOKEN = 30, 0.1
REWARDED = 0.3
PRICES, LONGEST = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0), 60.0
# Of PPO in torch: what it may choose from, and what it has.
LEARNING_RATES, ROLLOUTS = (0.01, 0.03, 0.1, 0.3), (256, 1024)
GAE_LAMBDA, LONGEST_DRAWN = 0.95, 1000


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


def fit(problem, seed, gae_lambda, callbacks=()):
    """Return the policy of a fit, all but the decay of advantages at its default."""
    estimator = PPOPolicyOptimizer(gae_lambda=gae_lambda, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return estimator.set_callbacks(*callbacks).fit_objective(problem)


def run(problem, seed, gae_lambda):
    """Return share of the way, documents and seconds of one fit."""
    start = time.process_time()
    fitted = fit(problem, seed, gae_lambda)
    seconds = time.process_time() - start
    best = problem.optimal_value()
    highest = max(row["objective/value"] for row in fitted.history_)
    assert highest <= best + 1e-9 * max(1.0, abs(best))
    share = 1.0 - fitted.optimality_gap_ / problem.gap(problem.start)
    return share, fitted.n_sequences_, seconds


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


# PPO in torch


class Tables:
    """A problem written out, one row a context and one column a token, and shares of the way."""

    def __init__(self, problem):
        self.problem, trie = problem, problem.trie
        contexts = np.arange(trie.n_contexts)

        def written(of_arcs, of_backoffs):
            return BackoffModel(trie, of_arcs, of_backoffs).next_log_prob(contexts)

        def of_events(events):
            return written(*split_events(trie, np.where(np.isfinite(events), events, 0.0)))

        arcs = written(np.arange(trie.n_arcs, dtype=float), np.zeros(trie.n_contexts))
        self.following = trie.next[arcs.astype(int)]  # (C, V), -1 after the end
        self.reference = of_events(problem.reference_log_prob)
        self.reward = problem.reward_coef * of_events(problem.token_reward)
        self.best = of_events(problem.optimum())
        self.whole = problem.gap(problem.start)

    def share(self, log_prob):
        """Return the share of the way of a policy (C, V), by its exact visits to contexts."""
        prob, n = np.exp(log_prob), len(log_prob)
        rows, columns = np.nonzero(self.following >= 0)
        where = (self.following[rows, columns], rows)
        steps = sparse.coo_array((prob[rows, columns], where), shape=(n, n)).tocsc()
        visits = splu(sparse.eye_array(n, format="csc") - steps).solve(self.problem.initial)
        if visits.min() < -1e-9:  # documents that never end
            return -np.inf
        divergence = visits @ (prob * (log_prob - self.best)).sum(axis=1)
        return 1.0 - self.problem.temperature * divergence / self.whole


class TorchPPO:
    """PPO as CleanRL writes it: Adam, generalised advantages, normalised, a clipped surrogate."""

    def __init__(self, tables, seed, learning_rate):
        import torch

        torch.set_num_threads(1)
        torch.manual_seed(seed)
        self.torch, self.kl_coef = torch, tables.problem.kl_coef
        self.reference, self.reward = torch.tensor(tables.reference), torch.tensor(tables.reward)
        self.following = torch.tensor(tables.following, dtype=torch.long)
        self.begins = torch.tensor(tables.problem.initial)
        self.logits = torch.nn.Parameter(self.reference.clone())
        self.critic = torch.nn.Parameter(torch.zeros(len(self.reference), dtype=torch.float64))
        parameters = [self.logits, self.critic]
        self.optimizer = torch.optim.Adam(parameters, lr=learning_rate, eps=1e-5)

    def log_prob(self):
        """Return the policy (C, V)."""
        return self.torch.log_softmax(self.logits.detach(), 1).numpy()

    def draw(self, prob, n_rollouts):
        """Return, token by token, documents that go on, their contexts and their next tokens."""
        torch, steps = self.torch, []
        contexts = torch.multinomial(self.begins, n_rollouts, replacement=True)
        alive = torch.arange(n_rollouts)
        while len(alive) and len(steps) < LONGEST_DRAWN:
            actions = torch.multinomial(prob[contexts], 1)[:, 0]
            steps.append((alive, contexts, actions))
            after = self.following[contexts, actions]
            alive, contexts = alive[after >= 0], after[after >= 0]
        return steps

    def advantages(self, steps, scores, n_rollouts):
        """Return generalised advantages (n_tokens,), in the order of the steps."""
        torch, critic, found = self.torch, self.critic, []
        carried = torch.zeros(n_rollouts, dtype=torch.float64)
        for number, at, token in reversed(steps):
            after = self.following[at, token]
            to_come = torch.where(after >= 0, critic[after], 0.0)
            surprise = scores[at, token] + to_come - critic[at]
            carried[number] = surprise + GAE_LAMBDA * carried[number]
            found.append(carried[number])
        return torch.cat(found[::-1])

    def batch(self, n_rollouts):
        """Return contexts, tokens, advantages, returns and log-probabilities of tokens drawn."""
        torch = self.torch
        with torch.no_grad():
            log_prob = torch.log_softmax(self.logits, 1)
            steps = self.draw(log_prob.exp(), n_rollouts)
            scores = self.reward - self.kl_coef * (log_prob - self.reference)
            advantages = self.advantages(steps, scores, n_rollouts)
            contexts, actions = (torch.cat([step[part] for step in steps]) for part in (1, 2))
            returns = advantages + self.critic[contexts]
            return contexts, actions, advantages, returns, log_prob[contexts, actions]

    def iterate(self, n_rollouts, n_epochs=4, n_minibatches=4):
        """Draw a batch and take the epochs over it."""
        torch = self.torch
        contexts, actions, advantages, returns, old = self.batch(n_rollouts)
        for _ in range(n_epochs):
            for chosen in torch.randperm(len(actions)).chunk(n_minibatches):
                at = contexts[chosen]
                new = torch.log_softmax(self.logits[at], 1).gather(1, actions[chosen, None])[:, 0]
                ratio, advantage = (new - old[chosen]).exp(), advantages[chosen]
                advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
                surrogate = torch.min(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage)
                missing = (self.critic[at] - returns[chosen]).square().mean()
                self.optimizer.zero_grad()
                (0.5 * missing - surrogate.mean()).backward()
                self.optimizer.step()


def run_torch(tables, seed, learning_rate, *, limit, n_rollouts):
    """Return rows of seconds, documents and share of the way of the peer."""
    peer = TorchPPO(tables, seed, learning_rate)
    clock, rows, n_documents, look = policy.Clock(), [], 0, 0.0
    while True:
        peer.iterate(n_rollouts)
        n_documents += n_rollouts
        if n_documents < look:
            continue
        look = 1.05 * n_documents
        seconds, share = clock.measure(lambda: tables.share(peer.log_prob()))
        rows.append((seconds, n_documents, share))
        if share >= policy.LEVELS[-1] or seconds > limit:
            return rows


def run_ours(problem, seed):
    """Return rows of seconds, documents and share of a fit at its defaults."""
    stopwatch = policy.Stopwatch()
    fitted = fit(problem, seed, PPOPolicyOptimizer().gae_lambda, [stopwatch])
    whole = problem.gap(problem.start)
    history = fitted.history_[1:]
    shares = [1.0 - row["objective/optimality_gap"] / whole for row in history]
    documents = [row["episode"] for row in history]
    return list(zip(stopwatch.seconds[: len(history)], documents, shares, strict=True))


def compare(order, n_tokens, kl_coef, seeds, limit):
    """Run both on each problem in turn, and print medians of seconds and documents."""
    ours, theirs = [], {}
    for seed in range(seeds):
        problem = make_problem(seed, n_tokens, order, kl_coef)
        ours.append(run_ours(problem, seed))
        tables = Tables(problem)
        for rate, n_rollouts in product(LEARNING_RATES, ROLLOUTS):
            rows = run_torch(tables, seed, rate, limit=limit, n_rollouts=n_rollouts)
            theirs.setdefault((rate, n_rollouts), []).append(rows)
    n_arcs, n_contexts = problem.trie.n_arcs, problem.trie.n_contexts
    print(
        f"\norder {order}, V = {n_tokens:,}, kl_coef {kl_coef:g}, {n_arcs:,} n-grams, "
        f"{n_contexts:,} contexts: seconds / documents to a share of the way (of our seconds)"
    )
    print(" " * 34 + "".join(f"{100 * level:>32.4g} %" for level in policy.LEVELS))
    own = policy.median_reach(ours)
    policy.show("ours", own)
    last = max(rows[-1][2] for runs in theirs.values() for rows in runs)
    best = policy.best_reach(map(policy.median_reach, theirs.values()))
    policy.show("PPO in torch, CleanRL style", best, [own], last)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--orders", type=int, nargs="+", default=ORDERS)
    parser.add_argument("--tokens", type=int, nargs="+", default=TOKENS)
    parser.add_argument("--kl-coefs", type=float, nargs="+", default=KL_COEFS)
    parser.add_argument("--lambdas", type=float, nargs="+", default=LAMBDAS)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--peer", action="store_true", help="compare with PPO in torch")
    parser.add_argument("--limit", type=float, default=40.0, help="seconds of a run of the peer")
    arguments = parser.parse_args()
    if arguments.peer:
        cells = product(arguments.orders, arguments.tokens, arguments.kl_coefs)
        for order, n_tokens, kl_coef in cells:
            compare(order, n_tokens, kl_coef, arguments.seeds, arguments.limit)
        return
    heads = [f"gae_lambda {gae_lambda:g}" for gae_lambda in arguments.lambdas]
    print("| order | V | kl_coef | n-grams | KL, nats | " + " | ".join(heads) + " |")
    print("|" + "---|" * (5 + len(heads)))
    for order in arguments.orders:
        for n_tokens in arguments.tokens:
            for kl_coef in arguments.kl_coefs:
                report(order, n_tokens, kl_coef, arguments.seeds, arguments.lambdas)


if __name__ == "__main__":
    main()
