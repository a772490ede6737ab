"""How far PPO ends from the best policy where the reward or a rule does not add, and what it says.

    python benchmarks/policy_trust.py                  # 200 problems, some minutes
    python benchmarks/policy_trust.py --problems 40 --seed 1000 --kind saturating pairwise

Small problems of many kinds, whose best unigram policy is found by listing all documents and
climbing from many starts, and larger ones whose optimum has a formula. The share is
(J - J(start)) / (J* - J(start)); with a chance constraint J is that of reward and KL, the share is
1 - (J* - J) / |J* - J(start)|, and 0 where the rate is beyond ``max_rate`` by more than three
standard errors of 4,096 documents and a twentieth of it. "Silent" is a fit that ended below 99.9%
(99%) without a warning, "wolf" one with a warning that had reached 99.9%. A bound is wrong where
``optimality_gap_`` and three standard errors are less than the distance to the best policy; nan,
"not known", is counted apart.
"""

import argparse
import os
import time
import warnings
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np
from scipy.optimize import brentq, minimize
from scipy.special import log_softmax
from scipy.stats import binom
from sklearn.frozen import FrozenEstimator

from sklearn_codex import PPOPolicyOptimizer, UnigramLM
from sklearn_codex.exact import (
    AdditiveObjective,
    EnumeratedObjective,
    chance_budget,
    chance_constrained_optimum,
)
from sklearn_codex.rules import BannedTokens, TokenBudget

# Vocabulary and length, so that there are some thousand documents at most.
SMALL = [(3, 10), (4, 10), (5, 5), (5, 10), (6, 5), (6, 8), (10, 4), (20, 3), (50, 2), (8, 1)]


@dataclass
class TrustProblem:
    """A problem with its best policy; ``value`` gives J of any."""

    kind: str
    reference: np.ndarray
    length: int
    kl_coef: float
    reward: Any
    best: float
    value: Any
    rules: Any = None
    rate: Any = None  # of a policy, where there is a chance constraint
    max_rate: float = 1.0

    def fit(self, seed, **settings):
        prob = np.exp(self.reference)[np.newaxis]
        return PPOPolicyOptimizer(
            FrozenEstimator(UnigramLM(smoothing=0).fit(prob)), self.reward,
            response_length=self.length, kl_coef=self.kl_coef, rules=self.rules,
            random_state=seed, **settings,
        ).fit(prob)  # fmt: skip

    def distance(self, model):
        return self.best - self.value(model.token_log_prob_)

    def share(self, model):
        start = self.value(self.reference)
        whole = abs(self.best - start)
        if self.rate is not None:
            noise = 3.0 * np.sqrt(self.max_rate * (1 - self.max_rate) / 4096)
            if self.rate(model.token_log_prob_) > 1.05 * self.max_rate + noise:
                return 0.0
        return 1.0 - self.distance(model) / whole if whole > 1e-12 else 1.0


def dense(counts):
    return counts.toarray() if hasattr(counts, "toarray") else counts


def best_product(problem, rng, n_starts=25):
    """The best unigram policy by a general-purpose optimiser from many starts."""
    n_columns = len(problem.reference_log_prob)
    starts = [problem.reference_log_prob, np.zeros(n_columns), problem.tilt_marginals]
    starts += list(np.log(rng.dirichlet(np.full(n_columns, 0.3), n_starts) + 1e-9))
    starts += list(10.0 * np.eye(n_columns)[:20])
    found = -np.inf
    for start in starts:
        result = minimize(
            lambda x: (-problem.value(log_softmax(x)), -problem.gradient(log_softmax(x))),
            np.maximum(start, -30.0), jac=True, method="L-BFGS-B", options={"maxiter": 300},
        )  # fmt: skip
        found = max(found, -result.fun)
    return max(found, problem.optimum(n_starts=3, max_iter=2000).value)


def shape(rng):
    n_columns, length = SMALL[rng.integers(len(SMALL))]
    prob = 1.0 / np.arange(1, n_columns + 1)
    if rng.random() < 0.3:
        prob = rng.dirichlet(np.ones(n_columns)) + 1e-3
    return np.log(prob / prob.sum()), length, float(10 ** rng.uniform(-1.5, 0.5))


def enumerated(kind, reward):
    """A maker of problems whose reward is made by ``reward(rng, n_columns, length)``."""

    def make(rng):
        reference, length, kl_coef = shape(rng)
        score = reward(rng, len(reference), length)
        exact = EnumeratedObjective(reference, score, length, kl_coef)
        best = best_product(exact, rng)
        return TrustProblem(kind, reference, length, kl_coef, score, best, exact.value)

    return make


def saturating(rng, n_columns, length):
    weights = rng.normal(size=n_columns) * (rng.random(n_columns) < 0.6)
    cap = rng.integers(1, 3)
    return lambda counts: np.minimum(dense(counts), cap) @ weights


def occurrence(rng, n_columns, length):
    token = rng.integers(n_columns)
    return lambda counts: 2.0 * (dense(counts)[:, token] > 0)


def pairwise(rng, n_columns, length):
    weights = rng.normal(size=(n_columns, n_columns)) / length
    return lambda counts: np.einsum("ni,ij,nj->n", dense(counts), weights, dense(counts))


def all_same(rng, n_columns, length):
    bonus = rng.uniform(1.0, 4.0)
    return lambda counts: bonus * (dense(counts).max(axis=1) == length)


def normalised(rng, n_columns, length):
    weights, idf = rng.normal(size=n_columns), 1.0 + rng.exponential(size=n_columns)

    def reward(counts):
        weighted = dense(counts) * idf
        return 4.0 * (weighted @ weights) / np.linalg.norm(weighted, axis=1)

    return reward


def threshold(rng, n_columns, length):
    weights = rng.normal(size=n_columns)
    level = rng.uniform(0.0, 1.0) * length * weights.std()
    return lambda counts: 2.0 * (dense(counts) @ weights > level)


def additive(rng, n_columns, length):
    weights = rng.normal(size=n_columns) * 10 ** rng.uniform(-2, 0.5)
    return lambda counts: counts @ weights


def budget(rng):
    """An additive reward with a priced budget of some tokens."""
    reference, length, kl_coef = shape(rng)
    weights = rng.normal(size=len(reference))
    tokens = rng.choice(len(reference), 2, replace=False)
    allowed, penalty = int(rng.integers(0, max(1, length // 2))), rng.uniform(0.5, 5.0)

    def shaped(counts):
        over = np.maximum(counts[:, tokens].sum(axis=1) - allowed, 0.0)
        return counts @ weights - kl_coef * penalty * over

    exact = EnumeratedObjective(reference, shaped, length, kl_coef)
    rules = TokenBudget(tokens.tolist(), budget=allowed, penalty=penalty)
    best = best_product(exact, rng)
    reward = lambda counts: counts @ weights  # noqa: E731
    return TrustProblem(
        "budget", reference, length, kl_coef, reward, best, exact.value, rules
    )  # fmt: skip


def large_additive(rng):
    n_columns = int(rng.choice([100, 300, 1000]))
    prob = 1.0 / np.arange(1, n_columns + 1)
    reference, weights = np.log(prob / prob.sum()), rng.normal(size=n_columns)
    kl_coef, length = float(10 ** rng.uniform(-1.5, 0.5)), int(rng.choice([5, 20, 100]))
    exact = AdditiveObjective(reference, weights, length=length, kl_coef=kl_coef)
    reward = lambda counts: counts @ weights  # noqa: E731
    best = exact.value(exact.optimum())
    return TrustProblem("large_additive", reference, length, kl_coef, reward, best, exact.value)


def _constrained_shape(rng):
    n_columns, length = int(rng.integers(3, 30)), int(rng.choice([1, 2, 5, 10, 50, 200]))
    reference = np.log(rng.dirichlet(np.full(n_columns, 2.0)) + 1e-3)
    reference = log_softmax(reference)
    kl_coef, max_rate = float(10 ** rng.uniform(-1.5, 0.5)), float(10 ** rng.uniform(-3, -0.3))
    tokens = rng.choice(n_columns, rng.integers(1, max(2, n_columns // 4)), replace=False)
    # An unconstrained rate from a little to all but one.
    target = rng.choice([0.01, 0.3, 0.7, 0.9, 0.99, 0.9999])
    wanted = chance_budget(target, length) / length
    weights = rng.normal(size=n_columns) * kl_coef
    mass = np.exp(reference + weights / kl_coef)
    odds = mass[tokens].sum() / (mass.sum() - mass[tokens].sum())
    weights[tokens] += kl_coef * (np.log(wanted / (1 - wanted)) - np.log(odds))
    return reference, weights, length, kl_coef, max_rate, tokens


def banned_rate(rng):
    """A chance constraint on tokens, where the reward does not say that it adds."""
    reference, weights, length, kl_coef, max_rate, tokens = _constrained_shape(rng)
    exact = AdditiveObjective(reference, weights, length=length, kl_coef=kl_coef)
    best = chance_constrained_optimum(exact, tokens, max_rate).value

    def rate(log_prob):
        return float(-np.expm1(length * np.log1p(-min(np.exp(log_prob[tokens]).sum(), 1 - 1e-16))))

    rules = BannedTokens(tokens.tolist(), max_rate=max_rate)
    reward = lambda counts: counts @ weights  # noqa: E731
    return TrustProblem(
        "banned_rate", reference, length, kl_coef, reward, best, exact.value, rules, rate, max_rate
    )


def budget_rate(rng):
    """A chance constraint on a budget of tokens, which adds for no one."""
    reference, weights, length, kl_coef, max_rate, tokens = _constrained_shape(rng)
    allowed = int(rng.integers(0, max(1, min(4, length))))
    exact = AdditiveObjective(reference, weights, length=length, kl_coef=kl_coef)
    free = np.exp(exact.optimum()[tokens]).sum()
    if binom(length, free).sf(allowed) > max_rate:
        most = brentq(lambda p: binom(length, p).sf(allowed) - max_rate, 1e-12, 1 - 1e-12)
        # The best policy of a given share of these tokens is tilted within and without.
        best = chance_constrained_optimum(exact, tokens, -np.expm1(length * np.log1p(-most))).value
    else:
        best = exact.value(exact.optimum())

    def rate(log_prob):
        return float(binom(length, min(np.exp(log_prob[tokens]).sum(), 1.0)).sf(allowed))

    rules = TokenBudget(tokens.tolist(), budget=allowed, max_rate=max_rate)
    reward = lambda counts: counts @ weights  # noqa: E731
    return TrustProblem(
        "budget_rate", reference, length, kl_coef, reward, best, exact.value, rules, rate, max_rate
    )


def saturating_rate(rng):
    """A chance constraint on a token that a saturating reward pays for."""
    reference, length, kl_coef = shape(rng)
    n_columns = len(reference)
    score = saturating(rng, n_columns, length)
    token, max_rate = int(rng.integers(n_columns)), float(10 ** rng.uniform(-2, -0.3))
    exact = EnumeratedObjective(reference, score, length, kl_coef)
    most, others = chance_budget(max_rate, length) / length, np.arange(n_columns) != token

    def policy(x):
        log_prob = np.empty(n_columns)
        share = most / (1.0 + np.exp(-x[0]))  # at most so much
        log_prob[token] = np.log(share)
        log_prob[others] = log_softmax(x[1:]) + np.log1p(-share)
        return log_prob

    best = -np.inf
    for i in range(8):
        start = np.concatenate([[2.0], reference[others]]) + (i > 0) * rng.normal(size=n_columns)
        result = minimize(lambda x: -exact.value(policy(x)), start, method="L-BFGS-B")
        best = max(best, -result.fun)

    def rate(log_prob):
        return float(-np.expm1(length * np.log1p(-min(np.exp(log_prob[token]), 1 - 1e-16))))

    rules = BannedTokens([token], max_rate=max_rate)
    return TrustProblem(
        "saturating_rate", reference, length, kl_coef, score, best, exact.value, rules, rate,
        max_rate,
    )  # fmt: skip


MAKERS = {
    "saturating": enumerated("saturating", saturating),
    "occurrence": enumerated("occurrence", occurrence),
    "pairwise": enumerated("pairwise", pairwise),
    "all_same": enumerated("all_same", all_same),
    "normalised": enumerated("normalised", normalised),
    "threshold": enumerated("threshold", threshold),
    "additive": enumerated("additive", additive),
    "budget": budget,
    "large_additive": large_additive,
    "banned_rate": banned_rate,
    "budget_rate": budget_rate,
    "saturating_rate": saturating_rate,
}


def judge(problem, seed, **settings):
    """Fit; return a row of figures."""
    begin = time.process_time()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = problem.fit(seed, **settings)
    seconds = time.process_time() - begin
    gap, error, distance = model.optimality_gap_, model.optimality_gap_se_, problem.distance(model)
    rounding = 1e-9 * (1.0 + abs(problem.best))
    return {
        "share": problem.share(model),
        "warned": bool(caught),
        "unknown": bool(np.isnan(gap)),
        # With a chance constraint the bound is one of the priced objective.
        "wrong": problem.rate is None and bool(gap + 3.0 * error < distance - rounding),
        "iterations": model.n_iter_,
        "documents": model.n_sequences_,
        "seconds": seconds,
    }


def line(name, rows):
    share = np.array([row["share"] for row in rows])
    warned = np.array([row["warned"] for row in rows])
    median = {key: np.median([row[key] for row in rows]) for key in ("iterations", "documents")}
    return (
        f"{name:16} {len(rows):4} {np.mean((share < 0.999) & ~warned):9.1%} "
        f"{np.mean((share < 0.99) & ~warned):8.1%} {np.mean((share >= 0.999) & warned):7.1%} "
        f"{np.mean(share >= 0.999):8.1%} {share.min():9.4f} "
        f"{min([*share[~warned], 1.0]):9.4f} {np.mean([row['wrong'] for row in rows]):7.1%} "
        f"{np.mean([row['unknown'] for row in rows]):7.1%} {median['iterations']:6.0f} "
        f"{median['documents']:9.0f} {np.median([row['seconds'] for row in rows]):7.2f}"
    )


HEADER = (
    f"{'kind':16} {'fits':>4} {'silent':>9} {'below 99':>8} {'wolf':>7} {'reached':>8} "
    f"{'worst':>9} {'w. silent':>9} {'wrong':>7} {'nan':>7} {'iter':>6} {'documents':>9} {'s':>7}"
)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--problems", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0, help="of the first problem")
    parser.add_argument("--kind", nargs="+", default=list(MAKERS), choices=list(MAKERS))
    parser.add_argument("--verbose", action="store_true")
    arguments = parser.parse_args()
    found = defaultdict(list)
    for i in range(arguments.problems):
        seed, kind = arguments.seed + i, arguments.kind[i % len(arguments.kind)]
        problem = MAKERS[kind](np.random.default_rng(seed))
        row = judge(problem, seed)
        found[kind].append(row)
        if arguments.verbose and (row["share"] < 0.999 or row["warned"] or row["wrong"]):
            print(
                f"{kind} seed {seed}: V={len(problem.reference)} L={problem.length} "
                f"kl_coef={problem.kl_coef:.3g}",
                {key: round(float(value), 5) for key, value in row.items()},
                flush=True,
            )
    print(HEADER)
    for kind, rows in found.items():
        print(line(kind, rows))
    print(line("all", [row for rows in found.values() for row in rows]))


if __name__ == "__main__":
    main()
