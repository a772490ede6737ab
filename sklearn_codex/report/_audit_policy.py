"""What is preferred, what a policy would learn from it, and which pairs would teach more."""

from itertools import combinations

import numpy as np
from scipy import sparse
from scipy.special import expit
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_random_state

from sklearn_codex import (
    PreferenceRewardModel,
    RewardUncertainty,
    UnigramLM,
    most_informative_pairs,
)
from sklearn_codex._verdicts import LEVEL, judge_columns
from sklearn_codex.exact import (
    AdditiveObjective,
    kl_coef_for_kl,
    kl_reward_frontier,
    smallest_safe_kl_coef,
)
from sklearn_codex.overoptimization import overoptimization_curve
from sklearn_codex.report._audit_data import TOL, fit_differences, turn_pairs

N_SPLITS = 5
N_SHOWN = 12
N_SHIFTED = 8
N_FLIPS = 999
N_POINTS = 40
KL_BUDGETS = (1.0, 5.0, 20.0)
MIN_GROUPS_GOLD = 20
MAX_CANDIDATES = 5000
N_TO_LABEL = 100


def fit_reward(data, D, C):
    """Return the reward of all pairs, with intervals that know that pairs share prompts."""
    model = RewardUncertainty(PreferenceRewardModel(C=C), kind="sandwich")
    return fit_differences(model, D, data.y, groups=data.groups)


def fit_halves(data, D, C):
    """Return pairs of models (n_splits, 2) of random halves of the prompts, one against the other.

    What one learns and the other, of other prompts, does not confirm is chance.
    """
    rng = check_random_state(data.seed)
    halves = []
    for _ in range(N_SPLITS):
        side = np.zeros(data.n_groups, dtype=bool)
        side[rng.permutation(data.n_groups)[: data.n_groups // 2]] = True
        in_side = side[data.groups]
        halves.append([_fit_half(data, D, C, rows) for rows in (in_side, ~in_side)])
    return halves


def _fit_half(data, D, C, rows):
    # Half the pairs with twice the C: the same penalty a pair as in the whole.
    rows = np.flatnonzero(rows)
    return fit_differences(PreferenceRewardModel(C=2 * C, tol=TOL), D[rows], data.y[rows])


def describe_tokens(data, reward):
    """Return the tokens that are surely preferred or not, each with an interval."""
    n_pairs = np.diff(sparse.csc_array(data.words).indptr)
    return _sure_weights(data, data.words, reward, data.tokens, n_pairs)


def describe_form(data):
    """Return the properties of form that are surely preferred or not, each with an interval."""
    D, names = data.form
    moves = np.abs(D).max(axis=0) > 1e-9
    if not moves.any():
        return {**dict.fromkeys(("n_sure", "n_certain", "n_candidates"), 0), "p_value": 1.0} | {
            side: [] for side in ("for", "against")
        }
    D, names = D[:, moves], names[moves]
    n_pairs = (np.abs(D) > 1e-9).sum(axis=0)
    return _sure_weights(data, D, fit_reward(data, D, 1.0), names, n_pairs)


def _sure_weights(data, D, reward, names, n_pairs):
    """Return the weights whose interval is without 0, and which of them are beyond chance.

    A weight is beyond chance if, tested together with all others, preferred responses have more, or
    less, of its column.
    """
    table = reward.coef_interval()
    candidates = n_pairs >= 10
    sure = candidates & ((table.low > 0) | (table.high < 0))
    p_value = np.ones(len(sure))
    if candidates.any():
        totals = coin_totals(data, D[:, candidates])
        tested = judge_columns(totals, rng=check_random_state(data.seed), n_flips=N_FLIPS)
        p_value[candidates] = np.where(
            tested.sign == np.sign(table.coef[candidates]), tested.p_value, 1.0
        )
    certain = sure & (p_value < LEVEL)
    order = np.lexsort((-np.abs(table.coef), ~certain))

    def rows(side):
        columns = [i for i in order if sure[i] and table.coef[i] * side > 0][:N_SHOWN]
        return [
            {
                "name": str(names[i]),
                "weight": float(table.coef[i]),
                "low": float(table.low[i]),
                "high": float(table.high[i]),
                "n_pairs": int(n_pairs[i]),
                "p_value": float(p_value[i]),
                "is_certain": bool(certain[i]),
            }
            for i in sorted(columns, key=lambda i: -abs(table.coef[i]))
        ]

    return {
        "for": rows(1),
        "against": rows(-1),
        "n_sure": int(sure.sum()),
        "n_certain": int(certain.sum()),
        "n_candidates": int(candidates.sum()),
        "p_value": float(p_value.min(initial=1.0)),
    }


def coin_totals(data, D):
    """Return how much more of each column the preferred responses of a group have.

    Shape (n_groups, n_columns). From labels that are coins, each row has mean 0 and either sign
    with equal probability.
    """
    lean = data.y - 0.5
    of_group = sparse.csr_array(
        (lean, (data.groups, np.arange(len(lean)))), shape=(data.n_groups, len(lean))
    )
    return (of_group @ sparse.csr_array(D)).toarray()


def example_pairs(data, margin, n=3):
    """Return the pairs that the model, not having seen them, is most right about."""
    agree = np.where(data.decided, np.sign(data.y - 0.5) * margin, -np.inf)
    found, seen = [], set()
    for row in np.argsort(-agree, kind="stable"):
        if agree[row] <= 0 or len(found) == n:
            break
        if data.groups[row] in seen:
            continue
        seen.add(data.groups[row])
        prompt, a, b = data.X[row]
        chosen, rejected = (a, b) if data.y[row] > 0.5 else (b, a)
        probability = float(expit(agree[row]))
        found.append(
            {
                "row": int(row),
                "prompt": prompt,
                "chosen": chosen,
                "rejected": rejected,
                "probability": probability,
            }
        )
    return found


def fit_reference(data, reference=None):
    """Return a language model of the reference texts; without them, of the responses."""
    counts = data.counts
    if reference is not None:
        counts = sparse.csr_array(data.counter.transform(reference))
    return UnigramLM(smoothing=0.1).fit(counts)


def optimise(data, reward, halves, reference):
    """Return what a policy would learn: frontier, tokens, safe KL weight and over-optimisation."""
    log_prob, weights = reference.token_log_prob_, reward.coef_[0]
    length = max(1, round(float(reference.document_length_)))
    start = float(length * np.exp(log_prob) @ weights)
    frontier = kl_reward_frontier(log_prob, weights, length=length, kl_coefs=_kl_coefs(weights))
    return {
        "length": length,
        "frontier": {
            "kl_coef": frontier.kl_coef.tolist(),
            "kl": frontier.kl.tolist(),
            "gain": (frontier.expected_reward - start).tolist(),
        },
        "budgets": [
            budget
            for kl in KL_BUDGETS
            if (budget := _at_budget(data, log_prob, weights, length, kl)) is not None
        ],
        "safe_kl_coef": _safe_kl_coef(log_prob, weights, length),
        "gold": gold_against_proxy(data, weights, halves, reference),
    }


def _kl_coefs(weights):
    scale = float(np.abs(weights).max()) or 1.0
    return scale * np.geomspace(30.0, 0.03, N_POINTS)


def _at_budget(data, log_prob, weights, length, kl):
    """Return the tokens that rise and fall the most at a KL, None where it cannot be reached."""
    try:
        kl_coef = kl_coef_for_kl(log_prob, weights, kl, length=length)
    except ValueError:
        return None
    best = AdditiveObjective(log_prob, weights, length=length, kl_coef=kl_coef).optimum()
    before, after = np.exp(log_prob), np.exp(best)
    order = np.argsort(before - after, kind="stable")

    def rows(columns):
        return [
            {
                "token": str(data.tokens[i]),
                "before": float(length * before[i]),
                "after": float(length * after[i]),
            }
            for i in columns[:N_SHIFTED]
        ]

    return {
        "kl": kl,
        "kl_coef": kl_coef,
        "gain": float(length * (after - before) @ weights),
        "risen": rows(order),
        "fallen": rows(order[::-1]),
    }


def _safe_kl_coef(log_prob, weights, length):
    """Return the least safe ``kl_coef`` where documents of this mean length end by themselves."""
    stop = 1.0 / (1.0 + length)
    with_end = np.append(log_prob + np.log1p(-stop), np.log(stop))
    # Both responses of a pair end once, so that a pair says nothing of the end itself.
    return float(smallest_safe_kl_coef(with_end, np.append(weights, 0.0), eos=len(log_prob)))


def gold_against_proxy(data, weights, halves, reference):
    """Return what the reward of one half of the prompts gains by that of the other half."""
    if data.n_groups < MIN_GROUPS_GOLD or not np.ptp(weights) > 0:
        return None
    kl_coefs = _kl_coefs(weights)
    curves = [
        overoptimization_curve(reference, proxy, gold, kl_coefs=kl_coefs, random_state=data.seed)
        for both in halves
        for proxy, gold in (both, both[::-1])
    ]
    end = min(curve.kl[-1] for curve in curves)
    grid = np.geomspace(max(curve.kl[0] for curve in curves), end, N_POINTS)

    def gains(name):
        return np.array(
            [np.interp(grid, curve.kl, curve[name] - curve[name][0]) for curve in curves]
        )

    gold, proxy = gains("gold_reward"), gains("proxy_reward")
    mean = gold.mean(axis=0)
    best, cautious = _last_best(mean), _last_best(gold.min(axis=0))
    return {
        "kl": grid.tolist(),
        "proxy": proxy.mean(axis=0).tolist(),
        "gold": mean.tolist(),
        "gold_low": gold.min(axis=0).tolist(),
        "gold_high": gold.max(axis=0).tolist(),
        "peak_kl": float(grid[best]),
        "peak_gold": float(mean[best]),
        "peak_proxy": float(proxy.mean(axis=0)[best]),
        "peaks": sorted(float(curve.peak.kl) for curve in curves),
        # Whether it falls after that.
        "is_interior": best < len(grid) - 1,
        "cautious_kl": float(grid[cautious]),
        "cautious_gold": float(gold[:, cautious].min()),
        "cautious_share": float(mean[cautious] / max(proxy.mean(axis=0)[cautious], 1e-12)),
        "is_cautious_interior": cautious < len(grid) - 1,
    }


def _last_best(gain):
    """Return the last point that has the greatest gain, but for rounding: after it, gains fall."""
    return int(np.flatnonzero(gain >= gain.max() - 1e-9 * np.abs(gain).max())[-1])


def pairs_to_label(data, reward):
    """Return the pairs whose labels would teach the reward of token counts most, best first.

    Pairs not compared yet where a prompt has such, else all.
    """
    first, second = _uncompared_pairs(data)
    are_new = len(first) > 0
    if not are_new:
        first, second = data.a, data.b
    kept = _draw(len(first), data.seed)
    first, second = first[kept], second[kept]
    D = sparse.csr_array(data.counts[first] - data.counts[second])
    # The sandwich tells how far weights may be off; what a label would tell is asked of the
    # posterior, which also doubts tokens that few pairs differ in.
    posterior = RewardUncertainty(FrozenEstimator(reward.model_), kind="laplace")
    posterior.fit(*turn_pairs(data.words, data.y))
    chosen = most_informative_pairs(posterior, D, n=N_TO_LABEL)
    margin, std = posterior.predict_margin(D[chosen], return_std=True)
    information = 0.5 * np.log1p(expit(margin) * expit(-margin) * std**2)
    rows = [
        {
            "prompt": data.responses[first[i], 0],
            "response_a": data.responses[first[i], 1],
            "response_b": data.responses[second[i], 1],
            "probability": float(expit(m)),
            "information": float(nats),
        }
        for i, m, nats in zip(chosen, margin, information, strict=True)
    ]
    return {"are_new": are_new, "rows": rows}


def _draw(n, seed):
    """Return at most ``MAX_CANDIDATES`` of n positions, in order."""
    if n <= MAX_CANDIDATES:
        return np.arange(n)
    return np.sort(check_random_state(seed).choice(n, MAX_CANDIDATES, replace=False))


def _uncompared_pairs(data):
    """Return pairs of responses to one prompt that no row compares."""
    compared = set(zip(data.a.tolist(), data.b.tolist(), strict=True))
    members: dict[str, set[int]] = {}
    for position, prompt in enumerate(data.responses[:, 0]):
        if prompt:
            members.setdefault(prompt, set()).add(position)
    found = [
        pair
        for responses in members.values()
        for pair in combinations(sorted(responses), 2)
        if pair not in compared and pair[::-1] not in compared
    ]
    first, second = np.array(found, dtype=np.intp).reshape(-1, 2).T
    return first, second
