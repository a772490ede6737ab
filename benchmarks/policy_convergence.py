"""Documents until PPO with a whole-sequence reward is near the exact optimum, over a grid.

    python benchmarks/policy_convergence.py             # about five minutes
    python benchmarks/policy_convergence.py --tokens 10 100 --seeds 3

One line for each vocabulary size V and ``kl_coef``, over seeds: the most documents drawn, in
multiples of V, until 99% and 99.9% of the way from the reference to the optimum are reached; the
smallest share of it at the end; whether any iterate was above the optimum; and the total variation
to the optimal policy. Everything is at its default but ``credit="sequence"``: the trainer uses
rewards of whole documents only. The problems are those of ``policy.py``.
"""

import argparse
import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

from dataclasses import replace

import numpy as np
from policy import LENGTH, Problem, TokenReward
from sklearn.frozen import FrozenEstimator

from sklearn_codex import PPOPolicyOptimizer, UnigramLM

KL_COEFS = (0.1, 0.3, 1.0, 3.0)


def documents_to(history, gap):
    """Return the documents drawn when the distance to the optimum was first this small."""
    rows = [row for row in history if row["objective/optimality_gap"] <= gap]
    return rows[0]["episode"] if rows else float("inf")


def run(n_tokens, kl_coef, seed):
    """Return a row of figures of one fit."""
    problem = Problem(n_tokens, seed)
    objective = replace(problem.objective, kl_coef=kl_coef)
    base = UnigramLM(smoothing=0).fit(np.exp(problem.reference)[np.newaxis])
    policy = PPOPolicyOptimizer(
        FrozenEstimator(base), TokenReward(problem.weights), response_length=LENGTH,
        kl_coef=kl_coef, credit="sequence", random_state=seed,
    ).fit(np.full((1, n_tokens), LENGTH / n_tokens))  # fmt: skip
    whole = objective.gap(problem.reference)
    best = objective.value(objective.optimum())
    above = max(row["objective/value"] for row in policy.history_) - best
    return (
        documents_to(policy.history_, 0.01 * whole) / n_tokens,
        documents_to(policy.history_, 0.001 * whole) / n_tokens,
        1.0 - objective.gap(policy.token_log_prob_) / whole,
        above > 1e-12 * abs(best),
        0.5 * np.abs(np.exp(policy.token_log_prob_) - np.exp(objective.optimum())).sum(),
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tokens", type=int, nargs="+", default=[10, 100, 1000, 10_000])
    parser.add_argument("--seeds", type=int, default=10)
    arguments = parser.parse_args()
    print(f"{'V':>7} {'kl_coef':>8} {'to 99%':>9} {'to 99.9%':>9} {'share':>9} above  variation")
    for n_tokens in arguments.tokens:
        for kl_coef in KL_COEFS:
            rows = np.array([run(n_tokens, kl_coef, seed) for seed in range(arguments.seeds)])
            near, nearer, _, above, variation = rows.max(axis=0)
            print(
                f"{n_tokens:7,} {kl_coef:8g} {near:7.1f} V {nearer:7.1f} V "
                f"{rows[:, 2].min():9.5f} {'YES' if above else 'no':>5} {variation:10.4f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
