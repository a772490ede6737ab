"""Where trainers of TRL have to rest on a table: expected updates in numpy, from formulas.

Nothing here is TRL's code. Trainers that generate: the expected gradient by each logit is a sum
over answers and, within a group, over multisets of answers; logits move by it, each divided by how
probable it is, until they rest. Trainers on pairs: the loss of the very records is minimised.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, log_expit

STD_FLOOR = 1e-4  # what TRL adds to a standard deviation
MOST_SWEEPS, TOLERANCE = 60_000, 1e-9


def conditional(problem, log_prob):
    """Return the log-probability (n_rows,) of each answer given its prompt."""
    shares = np.log(problem.prompt_prob)[problem.prompts]
    return log_prob - shares


def group_advantages(prob, reward, size, scale):
    """Return the expected advantage (n,) of each answer in a group that holds it.

    Groups are ``size`` draws from ``prob`` (n,), enumerated as multisets. ``scale`` is "none",
    "group" (divide by the standard deviation of the group, with size - 1) or "batch" (by that of
    all rewards, of a batch without end).
    """
    mean = prob @ reward
    if scale != "group":
        spread = math.sqrt(prob @ (reward - mean) ** 2) + STD_FLOOR if scale == "batch" else 1.0
        return (reward - mean) * (size - 1) / size / spread
    n = len(prob)
    groups = np.array(list(itertools.combinations_with_replacement(range(n), size)))
    counts = (groups[:, :, None] == np.arange(n)).sum(axis=1)
    ways = math.factorial(size) / np.array(
        [[math.factorial(c) for c in row] for row in counts]
    ).prod(1)
    chance = ways * np.prod(prob**counts, axis=1)
    rewards = reward[groups]
    spread = rewards.std(axis=1, ddof=1)
    scaled = (reward - rewards.mean(axis=1, keepdims=True)) / (spread + STD_FLOOR)[:, None]
    weight = chance[:, None] * counts / size
    return (weight * scaled).sum(axis=0) / weight.sum(axis=0)


def group_rest(task, *, size, beta, scale, per_token, kl, gain=1.0):
    """Return the policy (n_rows,) at which GRPO's expected update rests.

    ``per_token``: each answer counts 1 / its tokens. ``kl``: how the k3 of a token is
    differentiated: "token" (times the ratio of the token), "sequence" (times that of all tokens to
    the power 1 / length), or "none" (not corrected). ``gain``: what multiplies the advantage.
    """
    problem, table = task.objective, task.reference.copy()
    reward, lengths, paths = problem.token_reward, task.lengths, task.paths
    rows = np.concatenate([np.full(len(path), row) for row, path in enumerate(paths)])
    states, tokens = np.concatenate(paths).T
    used = np.zeros(table.shape, bool)
    used[states, tokens] = True
    for _ in range(MOST_SWEEPS):
        log_step = table[states, tokens]
        own = np.bincount(rows, log_step)
        prob = np.exp(own)
        advantage = np.empty(len(prob))
        for prompt in range(len(problem.prompt_prob)):
            at = problem.prompts == prompt
            advantage[at] = gain * group_advantages(
                prob[at] / prob[at].sum(), reward[at], size, scale
            )
        delta = task.reference[states, tokens] - log_step
        pull = -delta if kl == "token" else -np.expm1(delta)
        if kl == "sequence":
            k3 = np.bincount(rows, np.expm1(delta) - delta) / lengths
            pull = pull + k3[rows]
        weight = 1.0 / lengths if per_token else np.ones(len(lengths))
        push = (weight * prob)[rows] * (advantage[rows] - beta * pull)
        total, mass = np.zeros(table.shape), np.zeros(table.shape)
        np.add.at(total, (states, tokens), push)
        np.add.at(mass, (states, tokens), prob[rows])
        f = np.divide(total, mass, out=np.zeros_like(total), where=mass > 0)
        shares = np.where(used, np.exp(table), 0.0)
        f -= (shares * f).sum(axis=1, keepdims=True)
        step = np.where(used, np.clip(0.2 * f / beta, -0.05, 0.05), 0.0)
        table = table + step
        table -= np.log(np.exp(table).sum(axis=1, keepdims=True))
        if np.abs(step).max() < TOLERANCE:
            break
    return task.read_policy(table)


def online_ipo_rest(task, beta):
    """Return the policy (n_rows,) at which online DPO with the loss "ipo" rests."""
    problem = task.objective
    reference = conditional(problem, problem.start)
    own = reference.copy()
    same = problem.prompts[:, None] == problem.prompts
    better = np.sign(problem.token_reward[:, None] - problem.token_reward)
    for _ in range(MOST_SWEEPS):
        shift = own - reference
        # The gradient of (better * (u - v) - 1 / (2 beta))^2 by u, for pairs that differ.
        error = (shift[:, None] - shift) - better / (2 * beta)
        f = -(same * np.exp(own) * error * (better != 0)).sum(axis=1)
        step = 0.1 * f
        own = own + step
        own -= np.log(np.bincount(problem.prompts, np.exp(own)))[problem.prompts]
        if np.abs(step).max() < TOLERANCE:
            break
    return problem.moved(own, np.zeros(len(own)))


def pair_counts(task, records):
    """Return how often (n_rows, n_rows) each answer was chosen over each."""
    counts = np.zeros((len(task.answers),) * 2)
    for record in records:
        prompt = record["prompt"]
        rows = [task.row(prompt, record[key]) for key in ("chosen", "rejected")]
        counts[tuple(rows)] += 1
    return counts


def label_counts(task, records):
    """Return how often (2, n_rows) each answer was undesirable and desirable."""
    counts = np.zeros((2, len(task.answers)))
    for record in records:
        counts[int(record["label"]), task.row(record["prompt"], record["completion"])] += 1
    return counts


@dataclass
class Pairs:
    """Answers compared: arrays of one entry a record, and what is the same for all."""

    u: np.ndarray  # log-ratio of the chosen answer to the reference
    v: np.ndarray  # that of the rejected one
    lu: np.ndarray  # log-probability of the chosen answer
    lv: np.ndarray
    m: np.ndarray  # tokens of the chosen answer
    n: np.ndarray
    mean: float  # tokens of a chosen answer, mean over records
    b: float  # beta


# Losses of pairs, each from its paper. EPS is label_smoothing, where it is used.
EPS = 0.1


def _exo(x):
    q, low = expit(x), expit(-x)
    return q * (log_expit(x) - np.log(1 - EPS)) + low * (log_expit(-x) - np.log(EPS))


def _robust(x):
    return (-(1 - EPS) * log_expit(x) + EPS * log_expit(-x)) / (1 - 2 * EPS)


def _discopop(x, tau=0.05):
    blend = expit(x / tau)
    return -log_expit(x) * (1 - blend) + np.exp(-x) * blend


def _log_odds(log_prob):
    return log_prob - np.log(-np.expm1(np.minimum(log_prob, -1e-12)))


PAIR_LOSSES = {
    "sigmoid": lambda p: -log_expit(p.b * (p.u - p.v)),
    "hinge": lambda p: np.maximum(0, 1 - p.b * (p.u - p.v)),
    "ipo": lambda p: (p.u / p.m - p.v / p.n - 1 / (2 * p.b)) ** 2,
    "exo_pair": lambda p: _exo(p.b * (p.u - p.v)),
    "nca_pair": lambda p: (
        -log_expit(p.b * p.u) - (log_expit(-p.b * p.u) + log_expit(-p.b * p.v)) / 2
    ),
    "robust": lambda p: _robust(p.b * (p.u - p.v)),
    "bco_pair": lambda p: -log_expit(p.b * p.u) - log_expit(-p.b * p.v),
    "sppo_hard": lambda p: (p.u - 0.5 / p.b) ** 2 + (p.v + 0.5 / p.b) ** 2,
    "apo_zero": lambda p: expit(-p.b * p.u) + expit(p.b * p.v),
    "apo_down": lambda p: expit(p.b * p.u) + expit(-p.b * (p.u - p.v)),
    "sigmoid_norm": lambda p: -log_expit(p.b * (p.u / p.m - p.v / p.n)),
    "discopop": lambda p: _discopop(p.b * (p.u - p.v)),
    # Of whole batches: the quantiles of one distribution less those of the other.
    "aot": lambda p: -log_expit(p.b * (np.sort(p.lu - p.lv) - np.sort(p.lu - p.u - p.lv + p.v))),
    "aot_unpaired": lambda p: -log_expit(p.b * (np.sort(p.u) - np.sort(p.v))),
    "sft": lambda p: -p.lu / p.mean,
    "cpo_sigmoid": lambda p: -log_expit(p.b * (p.lu - p.lv)) - p.lu / p.mean,
    "cpo_hinge": lambda p: np.maximum(0, 1 - p.b * (p.lu - p.lv)) - p.lu / p.mean,
    "cpo_ipo": lambda p: (p.lu / p.m - p.lv / p.n - 1 / (2 * p.b)) ** 2 - p.lu / p.mean,
    "simpo": lambda p: -log_expit(p.b * (p.lu / p.m - p.lv / p.n)),
    "orpo": lambda p: (
        -p.b * log_expit(_log_odds(p.lu / p.m) - _log_odds(p.lv / p.n)) - p.lu / p.mean
    ),
}


def pair_loss(task, counts, name, beta, log_prob):
    """Return the mean loss of records at a policy (n_rows,)."""
    problem = task.objective
    own = conditional(problem, log_prob)
    shift = own - conditional(problem, problem.start)
    chosen, rejected = np.nonzero(counts)
    times = counts[chosen, rejected].astype(int)
    chosen, rejected = np.repeat(chosen, times), np.repeat(rejected, times)
    lengths = task.lengths[chosen]
    pairs = Pairs(
        shift[chosen], shift[rejected], own[chosen], own[rejected],
        lengths, task.lengths[rejected], lengths.mean(), beta,
    )  # fmt: skip
    return float(PAIR_LOSSES[name](pairs).mean())


def kto_loss(task, counts, beta, log_prob):
    """Return the mean loss of unpaired records at a policy (n_rows,), with z0 at 0."""
    problem = task.objective
    shift = conditional(problem, log_prob) - conditional(problem, problem.start)
    losses = counts[1] * expit(-beta * shift) + counts[0] * expit(beta * shift)
    return float(losses.sum() / counts.sum())


def minimise(task, loss, bound=30.0):
    """Return the policy (n_rows,) of the least loss that is found, and whether there is one.

    Logits are kept within ``bound`` nats of the reference. There is none where an answer could be
    less probable still, by 3 nats, at no cost. The first start is the reference, the second the
    best policy.
    """
    problem = task.objective
    n_rows = len(problem.start)

    def at(change):
        return loss(problem.moved(problem.start, change))

    best = min(
        (
            minimize(at, start, method="L-BFGS-B", bounds=[(-bound, bound)] * n_rows,
                     options={"maxiter": 5_000, "maxfun": 200_000, "ftol": 1e-15, "gtol": 1e-9})
            for start in (np.zeros(n_rows), problem.token_reward / problem.kl_coef)
        ),
        key=lambda found: found.fun,
    )  # fmt: skip
    rests = all(at(best.x - 3.0 * row) > best.fun for row in np.eye(n_rows))
    return problem.moved(problem.start, best.x), rests
