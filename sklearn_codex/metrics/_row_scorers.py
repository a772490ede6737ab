"""Scorers that need to know more of a row than the model says: its subset, lengths, its ranking."""

from collections.abc import Callable

import numpy as np
from sklearn.utils.validation import _num_samples

from sklearn_codex._checks.frames import column_names, column_values, is_frame
from sklearn_codex._checks.groups import encode_groups
from sklearn_codex._checks.numbers import check_weight
from sklearn_codex.metrics._checks import check_length, drop_weightless
from sklearn_codex.metrics._length import length_audit
from sklearn_codex.metrics._preferences import scored_pairs
from sklearn_codex.metrics._slices import best_of_n_accuracy, sectioned_accuracy


def read_rows(X, of, name):
    """Return what a column of X, or a function of X, says of each row (n,)."""
    values = np.asarray(of(X) if callable(of) else X[of])
    check_length(values, _num_samples(X), name)
    return values


def length_difference_of_pairs(X):
    """Return by how many characters response A of text pairs is longer (n_pairs,)."""
    names = ("response_a", "response_b")
    if is_frame(X) and set(names) <= set(column_names(X)):
        pairs = zip(*(column_values(X, name) for name in names), strict=True)
    else:
        rows = X if hasattr(X, "dtype") else np.array([list(row) for row in X], dtype=object)
        if rows.ndim != 2 or rows.dtype.kind not in "OU":
            raise ValueError(
                "Lengths are known of pairs of text. For feature differences pass "
                "length_difference=, a function of X, such as lambda X: X.sum(axis=1)."
            )
        pairs = zip(rows[:, -2], rows[:, -1], strict=True)
    return np.array([len(a) - len(b) for a, b in pairs], dtype=np.float64)


def _prompts(X):
    rows = np.asarray(X, dtype=object)
    if rows.ndim != 2 or rows.shape[1] != 2 or not isinstance(rows[0, 0], str):
        raise ValueError(
            "Which responses compete is known of rows (prompt, response). For others pass groups=, "
            "a function of X or the name of a column."
        )
    return rows[:, 0]


def _margins(estimator, X):
    for method in ("decision_function", "predict_margin"):
        if hasattr(estimator, method):
            margin = np.asarray(getattr(estimator, method)(X))
            if margin.ndim == 1:  # of two classes, not the confidence in each of three
                return margin
    return estimator.predict_proba(X)[:, 1] - 0.5


def warn_if_scored(estimator, X):
    """Let an estimator say that a score of X measures memory; scorers call it once it predicted X.

    A model of this package that remembers the prompts of its fit has the method
    ``_warn_if_scored(X)``, which warns where they are those of other rows of X. Others have none.
    """
    warn = getattr(estimator, "_warn_if_scored", None)
    if warn is not None:
        warn(X)


class RowScorer:
    """A scorer ``(estimator, X, y, sample_weight=None) -> float``, with what it was told."""

    def __init__(self, name: str, function: Callable, options: dict):
        self.name = name
        self.function = function
        self.options = options

    def __call__(self, estimator, X, y, sample_weight=None):
        """Return the score of a fitted estimator."""
        score = self.function(estimator, X, y, sample_weight=sample_weight, **self.options)
        warn_if_scored(estimator, X)
        return score

    def __repr__(self):
        told = "".join(f", {name}={value!r}" for name, value in self.options.items())
        return f"get_preference_scorer({self.name!r}{told})"


def score_sections(
    estimator, X, y, *, subset, sections=None, weights=None, sample_weight=None, pos_label=None
):
    """Return the overall number of ``sectioned_accuracy``; each subset is a section if None."""
    margin = _margins(estimator, X)
    points, _, _ = scored_pairs(
        y, margin, sample_weight, ties="half", harden=False, pos_label=pos_label
    )
    subset = read_rows(X, subset, "subset")
    if sections is None:
        sections = {name: [name] for name in dict.fromkeys(subset.tolist())}
    else:  # a fold need not have pairs of every section
        present = set(subset.tolist())
        named = {k: {v} if isinstance(v, str) else set(v) for k, v in sections.items()}
        sections = {k: v for k, v in named.items() if present & v}
        weights = weights and {k: v for k, v in weights.items() if k in sections}
    result = sectioned_accuracy(points, subset, sections, weights, sample_weight=sample_weight)
    return result.overall


def _audit(estimator, X, y, length_difference, sample_weight, pos_label):
    if length_difference is None:
        difference = length_difference_of_pairs(X)
    else:
        difference = read_rows(X, length_difference, "length_difference")
    margin = _margins(estimator, X)
    return length_audit(y, margin, difference, sample_weight=sample_weight, pos_label=pos_label)


def score_shorter_preferred(
    estimator, X, y, *, length_difference=None, sample_weight=None, pos_label=None
):
    """Return ``accuracy_shorter_preferred`` of ``length_audit``."""
    audit = _audit(estimator, X, y, length_difference, sample_weight, pos_label)
    return audit.accuracy_shorter_preferred


def score_length_correlation(
    estimator, X, y, *, length_difference=None, sample_weight=None, pos_label=None
):
    """Return less the absolute ``margin_length_correlation`` of ``length_audit``."""
    audit = _audit(estimator, X, y, length_difference, sample_weight, pos_label)
    return -abs(audit.margin_length_correlation)


def score_best_of_n(estimator, X, y, *, groups=None, sample_weight=None):
    """Return ``best_of_n_accuracy`` of rewards, the best being those of the greatest y.

    The weight of a group is the mean of those of its responses.
    """
    codes = _prompts(X) if groups is None else read_rows(X, groups, "groups")
    codes = encode_groups(codes, len(codes), unit="response")
    reward, gold = np.asarray(estimator.reward(X)), np.asarray(y, dtype=np.float64)
    order = np.argsort(codes, kind="stable")
    sizes = np.bincount(codes)
    place = np.arange(len(codes)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    scores, best, weight = np.full((3, len(sizes), sizes.max()), np.nan)
    scores[codes[order], place] = reward[order]
    best[codes[order], place] = gold[order]
    if sample_weight is None:
        return best_of_n_accuracy(scores, best)
    weight[codes[order], place] = np.asarray(sample_weight)[order]
    return best_of_n_accuracy(scores, best, sample_weight=np.nanmean(weight, axis=1))


def score_outcomes(estimator, X, y, *, sample_weight=None):
    """Return the mean log-probability of labels, a tie being an outcome of its own.

    It is -inf where a pair that counts is a tie and the model knows none.
    """
    log_proba = estimator.predict_log_proba(X)
    y = np.asarray(y)
    check_length(y, len(log_proba), "y")
    places = {label: place for place, label in enumerate(estimator.classes_.tolist())}
    unknown = sorted(set(y.tolist()) - {0.5, "tie", *places}, key=str)
    if unknown:
        raise ValueError(
            f"The scorer 'neg_outcome_log_loss' got the labels {unknown} in y, but the model knows "
            f"{estimator.classes_.tolist()}. Write labels as in fit."
        )
    impossible = np.full(len(y), -np.inf)
    columns = [places.get(label, -1) for label in y.tolist()]
    chosen = np.column_stack([log_proba, impossible])[np.arange(len(y)), columns]
    weight, chosen = drop_weightless(check_weight(sample_weight, impossible), chosen)
    return float(np.average(chosen, weights=weight))


ROW_SCORERS: dict[str, Callable[..., float]] = {
    "sectioned_accuracy": score_sections,
    "shorter_preferred_accuracy": score_shorter_preferred,
    "neg_length_correlation": score_length_correlation,
    "best_of_n_accuracy": score_best_of_n,
    "neg_outcome_log_loss": score_outcomes,
}
"""Functions ``(estimator, X, y, *, sample_weight, ...) -> float`` by the names of their scorers."""
