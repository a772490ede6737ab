"""How well preferences are predicted on prompts never seen, and how far that is length."""

import warnings

import numpy as np
from scipy.special import expit
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from sklearn_codex import PreferenceRewardModel, PreferenceRewardModelCV
from sklearn_codex.metrics import (
    annotator_accuracy,
    expected_calibration_error,
    length_audit,
    paired_cluster_bootstrap,
    preference_auc,
    reliability_table,
    win_rate,
)
from sklearn_codex.report._audit_data import LARGE, TOL, cross_fit, fit_differences

N_RESAMPLES = 2000
N_RESAMPLES_AUC = 1000
N_BINS = 10
MIN_PAIRS_CALIBRATION = 200
MIN_GROUPS_CURVE = 40
CS_OF_COUNTS = (1e-4, 1e-3, 1e-2, 1e-1)
MODELS = ("length only", "words", "preset")


def choose_C(data):
    """Return the penalty of token counts, by cross-validation that keeps groups together."""
    search = PreferenceRewardModelCV(Cs=CS_OF_COUNTS, cv=3, tol=TOL)
    return fit_differences(search, data.words, data.y, groups=data.groups).C_


def credits(y, margin):
    """Return 1 where the margin has the sign of the label, 0 where not, half for a tie of it."""
    return 0.5 + 0.5 * np.sign(y - 0.5) * np.sign(margin)


def losses(y, margin):
    """Return the log-loss of each pair in nats."""
    return y * np.logaddexp(0, -margin) + (1 - y) * np.logaddexp(0, margin)


def accuracy(data, margin, rows=None):
    """Return the accuracy on pairs that are no tie, with its interval."""
    rows = data.decided if rows is None else rows & data.decided
    result = win_rate(
        credits(data.y[rows], margin[rows]),
        data.groups[rows],
        n_resamples=N_RESAMPLES,
        random_state=data.seed,
    )
    return {"value": result.win_rate, "low": result.low, "high": result.high}


def gain(data, metric, other, rows):
    """Return the mean difference of two metrics on some pairs, with its interval."""
    result = paired_cluster_bootstrap(
        metric[rows],
        other[rows],
        data.groups[rows],
        n_resamples=N_RESAMPLES,
        random_state=data.seed,
    )
    return {"value": float(result.difference), "low": float(result.low), "high": float(result.high)}


def judge(data, margin):
    """Return accuracy, log-loss and AUC of margins of groups never seen, with 95% intervals."""
    loss = losses(data.y, margin)
    everything = np.ones(len(loss), dtype=bool)
    return {
        "accuracy": accuracy(data, margin),
        "log_loss": gain(data, loss, np.zeros_like(loss), everything),
        "auc": _auc(data, margin),
    }


def _auc(data, margin):
    """Return the area, each pair in both orders, so that it does not depend on which is A."""
    y, score = np.concatenate([data.y, 1 - data.y]), np.concatenate([margin, -margin])
    rank = np.unique(score, return_inverse=True)[1].reshape(-1)
    rng = check_random_state(data.seed)
    draws = []
    for _ in range(N_RESAMPLES_AUC):
        drawn = np.bincount(rng.randint(data.n_groups, size=data.n_groups), minlength=data.n_groups)
        draws.append(ranked_auc(y, rank, np.tile(drawn[data.groups], 2)))
    low, high = np.nanquantile(draws, [0.025, 0.975])
    return {"value": preference_auc(y, score), "low": float(low), "high": float(high)}


def ranked_auc(y, rank, weight):
    """Return what ``preference_auc`` does of margins given by their ranks from 0, in one pass.

    NaN where no pair has a weight, or all have one class.
    """
    preferred, other = np.bincount(rank, weight * y), np.bincount(rank, weight * (1 - y))
    below = np.cumsum(other) - other / 2
    area = preferred.sum() * other.sum()
    return float(preferred @ below / area) if area > 0 else float("nan")


def predict(data, step):
    """Return the figures of each model, and the held-out margins of each."""
    C = choose_C(data)
    margins = {}
    step("length only")
    margins["length only"] = cross_fit(data, data.length)
    step("words")
    margins["words"] = cross_fit(data, data.words, make=lambda: PreferenceRewardModel(C=C, tol=TOL))
    step("features")
    _ = data.preset
    step("preset")
    margins["preset"] = cross_fit(data, data.preset)
    figures = {name: judge(data, margins[name]) for name in MODELS}
    best = min(MODELS, key=lambda name: figures[name]["log_loss"]["value"])
    margin = margins[best]
    return {
        "models": figures,
        "C_of_words": C,
        "best": best,
        "gain_over_length": gain(
            data,
            credits(data.y, margin),
            credits(data.y, margins["length only"]),
            data.decided,
        ),
        "calibration": calibrate(data, margin),
    }, margins


def calibrate(data, margin):
    """Return the calibration curve, None for a data set too small."""
    if len(data.y) < MIN_PAIRS_CALIBRATION:
        return None
    # In both orders, so that the curve is one of "the response the model prefers".
    y, prob = np.concatenate([data.y, 1 - data.y]), expit(np.concatenate([margin, -margin]))
    kept = prob >= 0.5
    table = reliability_table(y[kept], prob[kept], n_bins=N_BINS, strategy="quantile")
    return {
        "predicted": table.predicted.tolist(),
        "observed": table.observed.tolist(),
        "standard_error": table.standard_error.tolist(),
        "n": table.n.tolist(),
        "error": expected_calibration_error(y, prob, n_bins=N_BINS, strategy="quantile"),
    }


def learn(data, margin_of_all, D, make):
    """Return accuracy by the number of prompts learned from, None for a data set too small."""
    if data.n_groups < MIN_GROUPS_CURVE:
        return None
    folds = data.folds[: 2 if len(data.y) > LARGE else 3]
    rows = np.isin(np.arange(len(data.y)), np.concatenate([test for _, test in folds]))
    n_train = data.n_groups * (1 - 1 / len(data.folds))
    points, last = [], None
    for share in (0.125, 0.25, 0.5):
        last = cross_fit(data, D, make=make, folds=folds, choose=_Share(data, share))
        points.append({"n_groups": round(share * n_train), **accuracy(data, last, rows)})
    points.append({"n_groups": round(n_train), **accuracy(data, margin_of_all, rows)})
    return {
        "points": points,
        "last_doubling": gain(
            data,
            credits(data.y, margin_of_all),
            credits(data.y, np.nan_to_num(last)),
            rows & data.decided,
        ),
    }


class _Share:
    """Chooses the rows of a share of the groups of a training side; larger shares hold smaller."""

    def __init__(self, data, share):
        self._groups, self._share = data.groups, share
        self._order = check_random_state(data.seed).permutation(data.decided_groups)

    def __call__(self, train):
        here = self._order[np.isin(self._order, self._groups[train])]
        kept = here[: max(2, round(self._share * len(here)))]
        return train[np.isin(self._groups[train], kept)]


def human_ceiling(columns):
    """Return how often one annotator agrees with the others, None without several of them."""
    for name, values in columns.items():
        votes = [value for value in values if isinstance(value, (list, tuple))]
        if len(votes) < len(values) or not len(values) or len(votes[0]) < 3:
            continue
        if any(len(vote) != len(votes[0]) for vote in votes):
            continue
        table = annotator_accuracy(votes)
        return {
            "column": name,
            "n_annotators": len(votes[0]),
            "agreement": float(np.average(table.accuracy, weights=table.n)),
            "by_annotator": np.asarray(table.accuracy).tolist(),
        }
    return None


def audit_length(data, margins, best, C):
    """Return how far labels and the best model follow length, and the reward net of length."""
    audit = length_audit(
        data.y,
        margins[best],
        data.length_difference,
        groups=data.groups,
        random_state=data.seed,
    )
    figures = {name: _plain(value) for name, value in audit.items()}
    return {**figures, "words_net_of_length": _judge_net_of_length(data, C)}


def _judge_net_of_length(data, C):
    """Return the accuracy of word counts net of length, None where length tells every label."""
    margin = np.full(len(data.y), np.nan)
    for train, test in data.folds:
        model = PreferenceRewardModel(C=C, control_length=True, tol=TOL)
        with warnings.catch_warnings():
            warnings.filterwarnings("error", ".*tell every label.*", ConvergenceWarning)
            try:
                fit_differences(model, data.words[train], data.y[train])
            except ConvergenceWarning:
                return None
        margin[test] = model.reward_margin(data.words[test])
    return accuracy(data, margin)


def _plain(value):
    if isinstance(value, tuple):
        return [float(part) for part in value]
    return value if value is None or isinstance(value, int) else float(value)


def maker(name, C):
    """Return what gives unfitted models of a kind."""
    return lambda: PreferenceRewardModel(C=C if name == "words" else 1.0, tol=TOL)
