"""Which pairs would teach more."""

import numpy as np
from scipy import sparse
from scipy.special import expit
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_random_state

from sklearn_codex import RewardUncertainty, most_informative_pairs
from sklearn_codex.model_selection._budget import FEWEST_PROMPTS, N_FOLDS
from sklearn_codex.model_selection._budget_informative import compare_choices
from sklearn_codex.report._audit_data import LARGE, fit_differences

MAX_CANDIDATES = 5000
MAX_LISTED = 2_000_000
"""More pairs of responses to one prompt than this are not listed; of these pairs are drawn."""
N_TO_LABEL = 100


def pairs_to_label(data, reward):
    """Return the pairs whose labels would teach the reward of token counts most, best first.

    Pairs not compared yet where a prompt has such, else all.
    """
    first, second = uncompared_pairs(data)
    are_new = len(first) > 0
    if not are_new:
        first, second = data.a, data.b
    kept = _draw(len(first), data.seed)
    first, second = first[kept], second[kept]
    D = sparse.csr_array(data.counts[first] - data.counts[second])
    # The sandwich tells how far weights may be off; what a label would tell is asked of the
    # posterior, which also doubts tokens that few pairs differ in.
    posterior = RewardUncertainty(FrozenEstimator(reward.estimator_), kind="laplace")
    fit_differences(posterior, data, data.words)
    chosen = most_informative_pairs(posterior, D, n=N_TO_LABEL)
    margin, std = posterior.predict_margin(D[chosen], return_std=True)
    information = 0.5 * np.log1p(expit(margin) * expit(-margin) * std**2)
    rows = [
        _show(data, first[i], second[i], None if are_new else kept[i], expit(m))
        | {"information": float(nats)}
        for i, m, nats in zip(chosen, margin, information, strict=True)
    ]
    has_prompts = any(prompt.strip() for prompt in data.responses[:, 0])
    return {
        "are_new": are_new,
        "has_prompts": has_prompts,
        "rows": rows,
        "tried": _try_out(data, reward.estimator_),
    }


def _try_out(data, model):
    """Return what pairs that are chosen so bring over others, None where it is not tried.

    As by ``label_budget(informative=True)``, of as many pairs as are listed at most.
    """
    if len(data.y) > LARGE or len(data.decided_groups) < FEWEST_PROMPTS:
        return None
    rng = check_random_state(data.seed)
    options = {"n_folds": N_FOLDS, "n_repeats": 1, "rng": rng, "most": N_TO_LABEL}
    return compare_choices(model, data.words, data.y, data.groups, **options)


def _show(data, first, second, row, probability):
    """Return the texts of two responses; of a pair of the file as ``AuditData.pair`` has them."""
    if row is None:
        return {
            "prompt": data.responses[first, 0],
            "response_a": data.responses[first, 1],
            "response_b": data.responses[second, 1],
            "probability": float(probability),
        }
    pair = data.pair(row)
    del pair["label"]
    return {**pair, "probability": data.named_probability(row, probability)}


def _draw(n, seed):
    """Return at most ``MAX_CANDIDATES`` of n positions, in order."""
    if n <= MAX_CANDIDATES:
        return np.arange(n)
    return np.sort(check_random_state(seed).choice(n, MAX_CANDIDATES, replace=False))


def uncompared_pairs(data):
    """Return pairs of responses to one prompt that no row compares: all, or some of very many."""
    members: dict[str, list[int]] = {}
    for position, prompt in enumerate(data.responses[:, 0]):
        if prompt:
            members.setdefault(prompt, []).append(position)
    sizes = np.array([len(positions) for positions in members.values()], dtype=np.int64)
    numbers = sizes * (sizes - 1) // 2
    if numbers.sum() <= MAX_LISTED:
        parts = [np.array(positions)[np.array(np.triu_indices(len(positions), 1))]
                 for positions in members.values()]  # fmt: skip
        first, second = np.concatenate([np.empty((2, 0), dtype=np.intp), *parts], axis=1)
    else:
        first, second = _draw_pairs(list(members.values()), numbers, data.seed)
    a, b = data.compared_pairs
    low, high = np.minimum(a, b), np.maximum(a, b)
    n = len(data.responses)
    is_new = ~np.isin(first * n + second, low * n + high)
    return first[is_new], second[is_new]


def _draw_pairs(members, numbers, seed):
    """Return some pairs of members of one list, each of all pairs with the same probability."""
    rng = check_random_state(seed)
    drawn = rng.choice(len(members), 4 * MAX_CANDIDATES, p=numbers / numbers.sum())
    sizes = np.array([len(positions) for positions in members])
    one = (rng.uniform(size=len(drawn)) * sizes[drawn]).astype(np.intp)
    steps = 1 + (rng.uniform(size=len(drawn)) * (sizes[drawn] - 1)).astype(np.intp)
    other = (one + steps) % sizes[drawn]
    starts = (np.cumsum(sizes) - sizes)[drawn]
    pairs = np.concatenate(members)[np.sort([starts + one, starts + other], axis=0)]
    return np.unique(pairs, axis=1)
