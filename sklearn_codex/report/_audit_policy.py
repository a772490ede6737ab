"""What is preferred, what a policy would learn from it, and which pairs would teach more."""

import numpy as np
from scipy import sparse
from scipy.special import expit
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
N_SHOWN = 12
N_SHIFTED = 8
N_POINTS = 40
KL_BUDGETS = (1.0, 5.0, 20.0)
MIN_GROUPS_GOLD = 20
MAX_CANDIDATES = 20_000
N_TO_LABEL = 100


class Halves:
    """One model of token counts, and models of random halves of the prompts.

    Halves are drawn without replacement, so the mean square of a half's weight about that of the
    whole estimates its sampling variance (McCarthy, 1969).
    """

    def __init__(self, data, D, C):
        self.model = fit_differences(PreferenceRewardModel(C=C, tol=TOL), D, data.y)
        rng = check_random_state(data.seed)
        self.pairs = []
        for _ in range(N_SPLITS):
            side = np.zeros(data.n_groups, dtype=bool)
            side[rng.permutation(data.n_groups)[: data.n_groups // 2]] = True
            in_side = side[data.groups]
            self.pairs.append([_fit_half(data, D, C, rows) for rows in (in_side, ~in_side)])
        self.deviations = np.array(
            [model.coef_[0] - self.model.coef_[0] for both in self.pairs for model in both]
        )

    @property
    def weights(self):
        """Weights (V,) of the model of all pairs."""
        return self.model.coef_[0]

    @property
    def standard_errors(self):
        """Standard errors (V,) of the weights."""
        return np.sqrt((self.deviations**2).mean(axis=0))


def _fit_half(data, D, C, rows):
    # Half the pairs with twice the C: the same penalty a pair as in the whole.
    rows = np.flatnonzero(rows)
    return fit_differences(PreferenceRewardModel(C=2 * C, tol=TOL), D[rows], data.y[rows])


def describe_tokens(data, halves):
    """Return the tokens that are surely preferred or not, each with an interval."""
    n_pairs = np.diff(sparse.csc_array(data.words).indptr)
    return _sure_weights(halves, data.tokens, n_pairs, n_pairs >= 10)


def describe_form(data, step):
    """Return the properties of form that are surely preferred or not, each with an interval."""
    step("form")
    D, names = data.form
    moves = np.abs(D).max(axis=0) > 1e-9
    halves = Halves(data, D[:, moves], C=1.0)
    n_pairs = (np.abs(D[:, moves]) > 1e-9).sum(axis=0)
    return _sure_weights(halves, names[moves], n_pairs, n_pairs >= 10)


def _sure_weights(halves, names, n_pairs, candidates):
    weight, error = halves.weights, halves.standard_errors
    sure = candidates & (np.abs(weight) > 1.96 * error) & (error > 0)
    order = np.argsort(-weight, kind="stable")

    def rows(columns):
        return [
            {
                "name": str(names[i]),
                "weight": float(weight[i]),
                "low": float(weight[i] - 1.96 * error[i]),
                "high": float(weight[i] + 1.96 * error[i]),
                "n_pairs": int(n_pairs[i]),
            }
            for i in columns[:N_SHOWN]
        ]

    return {
        "for": rows([i for i in order if sure[i] and weight[i] > 0]),
        "against": rows([i for i in order[::-1] if sure[i] and weight[i] < 0]),
        "n_sure": int(sure.sum()),
        "n_candidates": int(candidates.sum()),
    }


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


def optimise(data, halves, reference):
    """Return what a policy would learn: frontier, tokens, safe KL weight and over-optimisation."""
    log_prob, weights = reference.token_log_prob_, halves.weights
    length = max(1, round(float(reference.document_length_)))
    start = float(length * np.exp(log_prob) @ weights)
    frontier = kl_reward_frontier(
        log_prob, weights, length=length, kl_coefs=_kl_coefs(data, weights)
    )
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
        "gold": gold_against_proxy(data, halves, reference),
    }


def _kl_coefs(data, weights):
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


def gold_against_proxy(data, halves, reference):
    """Return what the reward of one half of the prompts gains by that of the other half."""
    if data.n_groups < MIN_GROUPS_GOLD or not np.ptp(halves.weights) > 0:
        return None
    kl_coefs = _kl_coefs(data, halves.weights)
    curves = [
        overoptimization_curve(reference, proxy, gold, kl_coefs=kl_coefs, random_state=data.seed)
        for both in halves.pairs
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
    best, cautious = int(mean.argmax()), int(gold.min(axis=0).argmax())
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
        "is_interior": bool(best < len(grid) - 1),
        "cautious_kl": float(grid[cautious]),
        "cautious_gold": float(gold[:, cautious].min()),
        "cautious_share": float(mean[cautious] / max(proxy.mean(axis=0)[cautious], 1e-12)),
        "is_cautious_interior": bool(cautious < len(grid) - 1),
    }


def pairs_to_label(data, halves):
    """Return the pairs whose labels would teach the reward of token counts most.

    The first of each prompt only; pairs not compared yet where a prompt has such, else all.
    """
    first, second, group = _uncompared_pairs(data)
    are_new = len(first) > 0
    if not are_new:
        first, second, group = data.a, data.b, data.groups
    D = sparse.csr_array(data.counts[first] - data.counts[second])
    margin = D @ halves.weights
    variance = ((D @ halves.deviations.T) ** 2).mean(axis=1)
    probability = expit(margin)
    information = 0.5 * np.log1p(probability * (1 - probability) * variance)
    found, seen = [], set()
    for i in np.argsort(-information, kind="stable"):
        if group[i] in seen or len(found) == N_TO_LABEL:
            continue
        seen.add(group[i])
        prompt, a = data.responses[first[i]]
        found.append(
            {
                "prompt": prompt,
                "response_a": a,
                "response_b": data.responses[second[i], 1],
                "probability": float(probability[i]),
                "information": float(information[i]),
            }
        )
    return {"are_new": are_new, "rows": found}


def _uncompared_pairs(data):
    """Return pairs of responses to one prompt that no row compares, at most 20,000."""
    compared = set(zip(data.a.tolist(), data.b.tolist(), strict=True))
    members: dict[str, dict[int, int]] = {}
    for a, b, group in zip(data.a.tolist(), data.b.tolist(), data.groups.tolist(), strict=True):
        prompt = data.responses[a, 0]
        if prompt:
            members.setdefault(prompt, {}).update({a: group, b: group})
    found = []
    for responses in members.values():
        numbers = sorted(responses)
        for position, a in enumerate(numbers):
            for b in numbers[position + 1 :]:
                if (a, b) not in compared and (b, a) not in compared:
                    found.append((a, b, responses[a]))
        if len(found) > MAX_CANDIDATES:
            break
    columns = np.array(found[:MAX_CANDIDATES], dtype=np.intp).reshape(-1, 3)
    return columns[:, 0], columns[:, 1], columns[:, 2]
