"""Checks of what metrics are given: scores, probabilities, weights, groups."""

import numpy as np

from sklearn_codex._checks.groups import check_groups as check_group_of_each
from sklearn_codex._checks.numbers import as_floats

# Shared by the declarations of all metrics; scikit-learn checks every parameter they name.
ANY_LABEL = "no_validation"
ARRAY = ["array-like"]
OPTIONAL_ARRAY = ["array-like", None]


def check_length(values, n_pairs, name):
    """Raise unless there is one value a pair."""
    if len(values) != n_pairs:
        raise ValueError(
            f"{name} should have one value a pair: there are {n_pairs} pairs, got {len(values)} "
            "values."
        )


def check_scores(scores, n_pairs, *, name="margin"):
    """Return scores (n_pairs,) as floats; infinite ones are allowed, NaN is not."""
    scores = as_floats(scores, name, subject="A metric")
    if scores.ndim == 2 and scores.shape[1] == 1:
        scores = scores[:, 0]
    if scores.ndim != 1:
        raise ValueError(f"{name} should have shape (n_pairs,), got {scores.shape}.")
    if n_pairs is not None:
        check_length(scores, n_pairs, name)
    missing = np.flatnonzero(np.isnan(scores))
    if len(missing):
        raise ValueError(
            f"{name} should hold a number for each pair, but {len(missing)} are NaN, the first at "
            f"position {missing[0]}. Drop these pairs."
        )
    return scores


def check_probability(probability, n_pairs, *, name="y_prob"):
    """Return P(A preferred) (n_pairs,), also from the two columns of ``predict_proba``."""
    probability = as_floats(probability, name, subject="A metric")
    if probability.ndim == 2 and probability.shape[1] == 2:
        probability = probability[:, 1]
    probability = check_scores(probability, n_pairs, name=name)
    wrong = np.flatnonzero((probability < 0) | (probability > 1))
    if len(wrong):
        raise ValueError(
            f"{name} should hold probabilities in [0, 1], but {name}[{wrong[0]}] is "
            f"{probability[wrong[0]]:g}. Margins become probabilities by scipy.special.expit."
        )
    return probability


def check_groups(groups, n_pairs):
    """Return the group of each pair as an index (n_pairs,), and the number of groups.

    Without groups, every pair is a group of its own.
    """
    if groups is None:
        return np.arange(n_pairs), n_pairs
    groups = check_group_of_each(groups, n_pairs).tolist()
    position: dict[object, int] = {}
    codes = np.array([position.setdefault(group, len(position)) for group in groups])
    return codes, len(position)


def drop_weightless(weight, *columns):
    """Return the weights above 0 and, of each column (n_pairs,) or None, what belongs to them."""
    counts = weight > 0
    return weight[counts], *(None if column is None else column[counts] for column in columns)
