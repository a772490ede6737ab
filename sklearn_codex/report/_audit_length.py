"""How far labels and models follow length."""

import warnings

import numpy as np
from sklearn.frozen import FrozenEstimator

from sklearn_codex import PreferenceRewardModel
from sklearn_codex._verdicts import judge_share
from sklearn_codex.exceptions import SeparationWarning
from sklearn_codex.metrics import length_audit
from sklearn_codex.report._audit_data import TOL, fit_differences, weights_of
from sklearn_codex.report._audit_predict import accuracy, credits, gain_of_draws


def audit_length(data, draws, best, C, whole):
    """Return how far labels and the best model follow length, and the reward net of length.

    ``draws`` has the margins of each model by draw of the folds. How often the longer response wins
    is asked of the ``whole`` data, of which these may be a sample.
    """
    margin, length = draws[best].mean(axis=0), data.length_difference
    # One interval a question: those of the tests replace the resampled ones.
    audit = length_audit(data.y, margin, length, groups=data.groups, sample_weight=weights_of(data))
    figures = {name: _plain(value) for name, value in audit.items()}
    direction = np.sign(data.y - 0.5) * np.sign(length)
    of_model = accuracy(data, draws[best])
    net = _judge_net_of_length(data, draws["words"], C)
    return {
        **figures,
        "accuracy": of_model["value"],
        "accuracy_interval": _ends(of_model),
        **judge_longer(whole),
        "where_longer": _accuracy_where(data, draws[best], direction > 0),
        "where_shorter": _accuracy_where(data, draws[best], direction < 0),
        "words_net_of_length": net,
    }


def judge_longer(data):
    """Return how often the longer response wins where lengths differ, held against a coin."""
    rows = data.decided & (data.length_difference != 0)
    if not rows.any():
        return dict.fromkeys(("longer_wins", "longer_wins_test", "longer_wins_interval"))
    won = credits(data.y[rows], data.length_difference[rows])
    test = judge_share(won, data.groups[rows], weights=weights_of(data, rows))._asdict()
    return {
        "longer_wins": test["value"],
        "longer_wins_test": test,
        "longer_wins_interval": _ends(test),
    }


def _ends(test):
    return [test["low"], test["high"]]


def _accuracy_where(data, margin, rows):
    return accuracy(data, margin, rows) if (rows & data.decided).any() else None


def _judge_net_of_length(data, with_length, C):
    """Return the accuracy of word counts net of length, and its difference to that with length.

    None where length tells every label.
    """
    draws = np.full(with_length.shape, np.nan)
    counter = FrozenEstimator(data.counter_of_counts())  # by which the model knows its tokens
    for margin, folds in zip(draws, data.draws_of_folds, strict=True):
        for train, test in folds:
            model = PreferenceRewardModel(C=C, vectorizer=counter, control_length=True, tol=TOL)
            with warnings.catch_warnings():
                warnings.simplefilter("error", SeparationWarning)
                try:
                    fit_differences(model, data, data.words, train)
                except SeparationWarning:
                    return None
            margin[test] = model.reward_margin(data.words[test])
    change = gain_of_draws(data, draws, with_length)
    return {**accuracy(data, draws), "change": change}


def _plain(value):
    if isinstance(value, tuple):
        return [float(part) for part in value]
    return value if value is None or isinstance(value, int) else float(value)
