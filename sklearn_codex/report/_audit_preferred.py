"""What is preferred: tokens, form, and pairs that show it."""

from typing import Any

import numpy as np
from scipy import sparse
from scipy.special import expit
from scipy.stats import norm
from sklearn.utils import check_random_state

from sklearn_codex import PreferenceRewardModel, RewardUncertainty
from sklearn_codex._verdicts import LEVEL, judge_columns
from sklearn_codex.report._audit_data import fit_differences, weights_of

N_SHOWN = 12
N_FLIPS = 999


def fit_reward(data, D, C):
    """Return the reward of all pairs, with intervals that know that pairs share prompts."""
    model = RewardUncertainty(PreferenceRewardModel(C=C), kind="sandwich")
    return fit_differences(model, data, D, groups=data.groups)


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

    A weight is beyond chance if its interval is without 0 and, tested together with all others,
    preferred responses have more, or less, of its column. Both have to hold, so where the interval
    has 0 the p-value is the greater one, that of the weight by itself.
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
    own = 2 * norm.sf(np.abs(table.coef) / np.where(table.std > 0, table.std, np.inf))
    p_value = np.where(sure, p_value, np.maximum(p_value, np.maximum(own, LEVEL)))
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
    weight = weights_of(data)
    lean = data.y - 0.5 if weight is None else weight * (data.y - 0.5)
    of_group = sparse.csr_array(
        (lean, (data.groups, np.arange(len(lean)))), shape=(data.n_groups, len(lean))
    )
    return (of_group @ sparse.csr_array(D)).toarray()


def example_pairs(data, margin, n=3):
    """Return the pairs that the model, not having seen them, is most right about."""
    agree = np.where(data.decided, np.sign(data.y - 0.5) * margin, -np.inf)
    found: list[dict[str, Any]] = []
    seen = set()
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
                "where": data.where[row],
                "row": int(data.row_numbers[row]),
                "is_chosen": bool(data.oriented[row]),
                "prompt": prompt,
                "chosen": chosen,
                "rejected": rejected,
                "probability": probability,
            }
        )
    return found
