"""Documents and seconds until PPO reaches a share of the exact optimum, against PPO elsewhere.

    python benchmarks/policy.py                     # all, half an hour
    python benchmarks/policy.py --tokens 100 --quick

One problem for all: a Zipf reference over V tokens, documents of 20 tokens, normal token rewards,
1% of the tokens bad, kl_coef 1. The share is (J - J(ref)) / (J* - J(ref)), always computed
exactly. "Whole-sequence" is told the reward of whole documents only, as the peers are, and not that
it adds over tokens; "per-token" is the default where a reward is known to add. The peers get the
best of three learning rates in each column, ours has one default. Seconds are those of the
processor, one thread, from before the first document is drawn: what comes before (checks, tensors,
networks) counts for none.
"""

import argparse
import os
import statistics
import time

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import warnings

import numpy as np
from scipy.special import log_softmax
from sklearn.frozen import FrozenEstimator

from sklearn_codex import PPOPolicyOptimizer, UnigramLM
from sklearn_codex.exact import AdditiveObjective

LENGTH = 20
LEVELS = (0.90, 0.95, 0.99, 0.999)
# A fit takes some milliseconds, so what else the machine does is averaged over a few.
TIMED_FITS = 5
LEARNING_RATES = (0.003, 0.01, 0.03)


class Problem:
    """A policy optimisation whose optimum is known."""

    def __init__(self, n_tokens, seed):
        rng = np.random.RandomState(seed)
        prob = 1.0 / np.arange(1, n_tokens + 1)
        self.reference = np.log(prob / prob.sum())
        self.weights = rng.standard_normal(n_tokens)
        self.weights[rng.permutation(n_tokens)[: max(1, n_tokens // 100)]] = -3.0
        self.objective = AdditiveObjective(self.reference, self.weights, length=LENGTH)
        self.whole = self.objective.gap(self.reference)

    def share(self, log_prob):
        return 1.0 - self.objective.gap(log_prob) / self.whole


class Clock:
    """Processor seconds since the start, without those spent on measuring."""

    def __init__(self):
        self._start, self._paused = time.process_time(), 0.0

    def measure(self, function, *arguments):
        seconds = time.process_time() - self._start - self._paused
        before = time.process_time()
        result = function(*arguments)
        self._paused += time.process_time() - before
        return seconds, result


class _Callback:
    """The parts of a scikit-learn callback that neither of the two below needs."""

    def setup(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass


class Watch(_Callback):
    """Notes the documents drawn and the share reached after each iteration."""

    def __init__(self, problem):
        self.problem, self.rows = problem, []

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        if fitted_estimator is None:
            return False
        share = self.problem.share(fitted_estimator.token_log_prob_)
        self.rows.append((fitted_estimator.history_[-1]["episode"], share))
        return share >= LEVELS[-1]


class Stopwatch(_Callback):
    """Notes the processor seconds since training began, after each iteration.

    It asks for no copy of the estimator, which a fit without callbacks would not make either.
    """

    def setup(self, estimator, context):
        self.seconds, self._start = [], time.process_time()

    def on_fit_task_end(self, estimator, context):
        self.seconds.append(time.process_time() - self._start)


class SequenceReward:
    """The reward of whole documents, which does not tell that it adds over tokens."""

    def __init__(self, weights):
        self.weights = weights

    def __call__(self, counts):
        return counts @ self.weights


class TokenReward(SequenceReward):
    """The same reward as a linear model of counts."""

    def __init__(self, weights):
        super().__init__(weights)
        self.coef_ = weights
        self.n_features_in_ = len(weights)

    def reward(self, counts):
        return counts @ self.weights


def fit_ours(problem, seed, credit, callback, max_iter):
    n_tokens = len(problem.reference)
    base = UnigramLM(smoothing=0).fit(np.exp(problem.reference)[np.newaxis])
    reward = TokenReward if credit == "token" else SequenceReward
    policy = PPOPolicyOptimizer(
        FrozenEstimator(base), reward(problem.weights), response_length=LENGTH, tol=0,
        n_epochs=1, n_minibatches=1, max_iter=max_iter, random_state=seed,
    ).set_callbacks(callback)  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        policy.fit(np.full((1, n_tokens), LENGTH / n_tokens))


def run_ours(problem, seed, credit):
    """Return rows of seconds, documents and share: the same iterates, watched and then timed."""
    watch = Watch(problem)
    fit_ours(problem, seed, credit, watch, max_iter=2000)
    timings = []
    for _ in range(TIMED_FITS):
        stopwatch = Stopwatch()
        fit_ours(problem, seed, credit, stopwatch, max_iter=len(watch.rows))
        timings.append(stopwatch.seconds[: len(watch.rows)])
    seconds = np.median(timings, axis=0).tolist()
    return [(time, *row) for time, row in zip(seconds, watch.rows, strict=True)]


def run_torch(problem, seed, learning_rate, *, limit, n_rollouts=256, n_epochs=4, n_minibatches=4):
    """PPO as CleanRL writes it: Adam on logits, a reward on the last token, centred advantages."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    reference = torch.tensor(problem.reference)
    weights = torch.tensor(problem.weights)
    logits = torch.nn.Parameter(reference.clone())
    optimizer = torch.optim.Adam([logits], lr=learning_rate, eps=1e-5)
    clock, rows, n_documents = Clock(), [], 0
    while True:
        with torch.no_grad():
            policy = torch.distributions.Categorical(logits=logits)
            actions = policy.sample((n_rollouts, LENGTH))
            old = policy.log_prob(actions)
            log_ratio = (old - torch.log_softmax(reference, 0)[actions]).sum(1)
            shaped = weights[actions].sum(1) - log_ratio
            advantages = (shaped - shaped.mean())[:, None].expand(-1, LENGTH)
        for _ in range(n_epochs):
            for chosen in torch.randperm(n_rollouts).chunk(n_minibatches):
                new = torch.distributions.Categorical(logits=logits).log_prob(actions[chosen])
                ratio, advantage = (new - old[chosen]).exp(), advantages[chosen]
                surrogate = torch.min(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage)
                optimizer.zero_grad()
                (-surrogate.mean()).backward()
                optimizer.step()
        n_documents += n_rollouts
        log_prob = log_softmax(logits.detach().numpy())
        seconds, share = clock.measure(problem.share, log_prob)
        rows.append((seconds, n_documents, share))
        if share >= LEVELS[-1] or seconds > limit:
            return rows


def run_stable_baselines(problem, seed, learning_rate, *, limit, n_envs=256):
    """Stable-Baselines3's PPO on an environment with one state and a shaped terminal reward."""
    import torch
    from stable_baselines3 import PPO
    from stable_baselines_problem import Documents, Follow, logits_of

    torch.set_num_threads(1)
    environment = Documents(problem, LENGTH, n_envs)
    model = PPO(
        "MlpPolicy", environment, learning_rate=learning_rate, n_steps=LENGTH, n_epochs=4,
        batch_size=n_envs * LENGTH // 4, gamma=1.0, gae_lambda=1.0, ent_coef=0.0, seed=seed,
        policy_kwargs={"net_arch": []}, device="cpu",
    )  # fmt: skip
    with torch.no_grad():
        model.policy.action_net.weight.zero_()
        model.policy.action_net.bias.copy_(torch.tensor(problem.reference, dtype=torch.float32))
    clock, rows = Clock(), []

    def note(n_steps):
        environment.log_policy = log_softmax(logits_of(model))
        seconds, share = clock.measure(problem.share, environment.log_policy)
        rows.append((seconds, n_steps // LENGTH, share))
        return share >= LEVELS[-1] or seconds > limit

    model.learn(10**9, callback=Follow(note))
    return rows


def first_reach(rows):
    """Return (seconds, documents) at which each level was first reached, None where it was not."""
    return [next(((s, n) for s, n, share in rows if share >= level), None) for level in LEVELS]


def median_reach(runs):
    """Return the median over runs of seconds and documents at each level; None if any missed it."""
    table = []
    for column in zip(*map(first_reach, runs), strict=True):
        if any(cell is None for cell in column):
            table.append(None)
        else:
            table.append(tuple(statistics.median(values) for values in zip(*column, strict=True)))
    return table


def best_reach(tables):
    """Return the fastest cell of each column over learning rates."""
    return [
        min((cell for cell in column if cell is not None), default=None)
        for column in zip(*tables, strict=True)
    ]


def show(name, table, yardsticks=(), last_share=None):
    """Print a line of seconds, documents and multiples of the seconds of other tables."""
    cells = []
    for cell, *others in zip(table, *yardsticks, strict=True):
        if cell is None:
            cells.append("never")
        else:
            ratios = [cell[0] / other[0] for other in others if other is not None]
            ratios = [f"{ratio:.{1 if ratio < 10 else 0}f}x" for ratio in ratios]
            ratio = f" ({', '.join(ratios)})" if ratios else ""
            cells.append(f"{cell[0]:.4f} s / {cell[1]:,.0f}{ratio}")
    end = "" if last_share is None else f"  (ends at {last_share:.4f})"
    print(f"{name:34}" + "".join(f"{cell:>34}" for cell in cells) + end, flush=True)


def compare(n_tokens, *, seeds, limit, peers):
    """Run everything on each problem in turn, so that all meet the same load, and show medians."""
    credits = ("sequence", "token")
    ours = {credit: [] for credit in credits}
    others = {(name, rate): [] for name, _ in peers for rate in LEARNING_RATES}
    # The first run of a process pays for imports and for first touches of memory.
    run_ours(Problem(n_tokens, 0), 0, "sequence")
    for seed in range(seeds):
        problem = Problem(n_tokens, seed)
        for credit in credits:
            ours[credit].append(run_ours(problem, seed, credit))
        for name, run in peers:
            for rate in LEARNING_RATES:
                others[name, rate].append(run(problem, seed, rate, limit=limit))
    print(
        f"\nV = {n_tokens:,}: seconds / documents to a share of the optimum "
        "(against our whole-sequence reward, against our per-token credit)"
    )
    print(" " * 34 + "".join(f"{100 * level:>32.4g} %" for level in LEVELS))
    tables = [median_reach(ours[credit]) for credit in credits]
    show("ours, whole-sequence reward", tables[0])
    show("ours, per-token credit", tables[1])
    for name, _ in peers:
        runs = [others[name, rate] for rate in LEARNING_RATES]
        last_share = max(rows[-1][2] for run in runs for rows in run)
        show(name, best_reach(map(median_reach, runs)), tables, last_share)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tokens", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument(
        "--limit", type=float, default=40.0, help="seconds a run of a peer may take"
    )
    parser.add_argument("--quick", action="store_true", help="3 seeds, 10 seconds a run")
    arguments = parser.parse_args()
    seeds, limit = (3, 10.0) if arguments.quick else (arguments.seeds, arguments.limit)
    peers = []
    for name, module, run in (
        ("PPO in torch, CleanRL style", "torch", run_torch),
        ("Stable-Baselines3 PPO", "stable_baselines3", run_stable_baselines),
    ):
        try:
            __import__(module)
        except ImportError:
            print(f"{name}: left out, {module} is not installed "
                  "(pip install -r benchmarks/requirements.txt)")  # fmt: skip
        else:
            peers.append((name, run))
    for n_tokens in arguments.tokens:
        compare(n_tokens, seeds=seeds, limit=limit, peers=peers)


if __name__ == "__main__":
    main()
