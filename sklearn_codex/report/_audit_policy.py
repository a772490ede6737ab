"""What a policy would learn from the preferences."""

import numpy as np
from scipy import sparse
from sklearn.utils import check_random_state

from sklearn_codex import PreferenceRewardModel, UnigramLM
from sklearn_codex.exact import (
    AdditiveObjective,
    kl_coef_for_kl,
    kl_reward_frontier,
    smallest_safe_kl_coef,
)
from sklearn_codex.overoptimization import overoptimization_curve
from sklearn_codex.report._audit_data import TOL, fit_differences

N_SPLITS = 5
N_SHIFTED = 8
N_POINTS = 40
KL_BUDGETS = (1.0, 5.0, 20.0)
MIN_GROUPS_GOLD = 20


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
    return fit_differences(PreferenceRewardModel(C=2 * C, tol=TOL), data, D, rows)


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
        # A policy that can only choose among tokens of one reward stays where it is, at a KL of 0.
        "tokens_differ": bool(frontier.kl[-1] > 0),
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
    """Return what the reward of one half of the prompts gains by that of the other half.

    Gold is of the same class as the proxy, a sum over words, and differs by which prompts were
    labelled: ``cautious_share`` is what the noise of these leaves of the promised gain, no more.
    """
    if data.n_groups < MIN_GROUPS_GOLD or not np.ptp(weights) > 0:
        return None
    kl_coefs = _kl_coefs(weights)
    curves = [
        overoptimization_curve(reference, proxy, gold, kl_coefs=kl_coefs, random_state=data.seed)
        for both in halves
        for proxy, gold in (both, both[::-1])
    ]
    if min(curve.kl[0] for curve in curves) <= 0:  # tokens of one reward, in some half
        return None
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
