"""Directions of vectors along which few pairs differ much, and what goes along with them."""

import warnings
from typing import NamedTuple

import numpy as np
from sklearn.decomposition import FastICA
from sklearn.exceptions import ConvergenceWarning

from sklearn_codex._categorical import FloatArray
from sklearn_codex._verdicts import LEVEL, judge_columns
from sklearn_codex.metrics._grouped_mean import GroupedMean, interval_and_p_value

CLIP = 3.0
"""Greatest score of a pair, in standard deviations, so that no strange pair decides."""
PAIRS_PER_DIRECTION = 5
MAX_ITER = 500
N_FLIPS = 999
N_RESAMPLES = 9999
# Singular values below this share of the greatest are rounding errors.
NO_VARIANCE = 1e-6


def find_directions(differences, n_directions, rng, weight=None):
    """Return directions (n_directions, d) along which differences (n_pairs, d) are sparse.

    Independent components of the differences and their negatives, so that neither which response
    is A nor a mean has a part in it. There are fewer where vectors have fewer dimensions, or there
    are not 5 pairs for each. A score along a direction is a product with it. With a ``weight``
    (n_pairs,) of 2 a pair counts as one that is there twice.
    """
    weight = np.ones(len(differences)) if weight is None else weight / weight.mean()
    root = np.sqrt(weight)[:, np.newaxis]
    scale = np.sqrt(np.mean((root * differences) ** 2))
    if not scale > 0:
        return np.zeros((0, differences.shape[1]))
    both = np.concatenate([differences, -differences]) / scale
    size = np.linalg.svd(root * both[: len(differences)], compute_uv=False)
    rank = int(np.sum(size > NO_VARIANCE * size[0]))
    n = min(n_directions, rank, max(1, len(differences) // PAIRS_PER_DIRECTION))
    settings = {"max_iter": MAX_ITER, "tol": 1e-3, "random_state": rng}
    with warnings.catch_warnings():
        # Any direction is one that may be tested; the last step of the search is none of a kind.
        warnings.simplefilter("ignore", ConvergenceWarning)
        if np.ptp(weight) == 0:
            components = FastICA(n, whiten="unit-variance", **settings).fit(both).components_
        else:
            components = _weighted_components(both, np.tile(weight, 2), n, settings)
    return components / scale


def _weighted_components(rows, weight, n, settings):
    """Return independent components (n, d) of rows (m, d) whose weights have the mean 1.

    The search itself takes no weights, but rows that are white, and the means of a contrast over
    them: both are weighted here.
    """
    basis, size, _ = np.linalg.svd((np.sqrt(weight)[:, np.newaxis] * rows).T, full_matrices=False)
    basis *= np.sign(basis[0])
    whiten = (basis / size).T[:n] * np.sqrt(len(rows))

    def contrast(scores):
        value = np.tanh(scores)
        return weight * value, np.mean(weight * (1 - value**2), axis=-1)

    model = FastICA(whiten=False, fun=contrast, **settings).fit(rows @ whiten.T)
    components = model.components_ @ whiten
    return (
        components
        / np.sqrt(np.average((rows @ components.T) ** 2, axis=0, weights=weight))[:, np.newaxis]
    )


class Scores(NamedTuple):
    """Scores of pairs along directions, one standard deviation of the learning half being 1."""

    learned: FloatArray
    tested: FloatArray


def score_pairs(differences, learning, directions, weight) -> Scores:
    """Return clipped scores of the pairs that directions were learned on, and of the others.

    ``learning`` is a mask, ``weight`` what pairs weigh, both (n_pairs,).
    """
    scores = differences @ directions.T
    scores /= np.sqrt(np.average(scores[learning] ** 2, axis=0, weights=weight[learning]))
    scores = np.clip(scores, -CLIP, CLIP)
    return Scores(scores[learning], scores[~learning])


def slopes(scores, target, weight):
    """Return by how much a target (n_pairs,) rises with each score (n_pairs, k), through 0."""
    squares = np.sum(weight[:, np.newaxis] * scores**2, axis=0)
    return (weight * target) @ scores / np.maximum(squares, 1e-300)


def without(columns, nuisances, weight):
    """Return columns (n_pairs, k) less what nuisances (n_pairs, m) tell of them linearly."""
    root = np.sqrt(weight)[:, np.newaxis]
    return columns - nuisances @ np.linalg.lstsq(root * nuisances, root * columns, rcond=None)[0]


def judge_ratio(numerator, weight, groups, rng):
    r"""Return the ratio of two sums over pairs, how sure it is, and its p-value, by group.

    Parameters
    ----------
    numerator, weight : ndarray of shape (n_pairs,)
        With weight s² and numerator s t the ratio is the slope of t over s through 0; weights are
        not negative, and where one is 0 so is the numerator.
    groups : ndarray of int of shape (n_pairs,)
        What may depend on each other.
    rng : RandomState
        Draws subsets of groups.

    Returns
    -------
    ratio : dict
        ``value``, ``std`` by the jackknife, ``low`` and ``high`` (95%) and the ``p_value`` of 0, as
        of :func:`~sklearn_codex.metrics.paired_cluster_bootstrap` for the mean of numerator over
        weight. Of fewer than two groups nothing is known.
    """
    counts = weight > 0
    codes = np.unique(groups[counts], return_inverse=True)[1].reshape(-1)
    if not counts.any() or not codes.any():
        value = float(numerator.sum() / weight.sum()) if counts.any() else 0.0
        return {"value": value, "std": np.nan, "low": -np.inf, "high": np.inf, "p_value": 1.0}
    result = GroupedMean(numerator[counts] / weight[counts], weight[counts], codes)
    low, high, p_value = interval_and_p_value(
        result, 1 - LEVEL, result.subset_means(N_RESAMPLES, rng)
    )
    return {
        "value": result.mean,
        "std": result.standard_error,
        "low": float(low),
        "high": float(high),
        "p_value": float(p_value),
    }


def words_along(score, words, groups, rng, weight=None):
    """Return how words go along with a direction.

    Parameters
    ----------
    score : ndarray of shape (n_pairs,)
        Along the direction.
    words : csr_array of shape (n_pairs, V)
        1 where A alone has the word, -1 where B alone has it.
    groups : ndarray of int of shape (n_pairs,)
        Codes of groups, from 0, each of them there.
    rng : RandomState
        Draws flips.
    weight : ndarray of shape (n_pairs,), default=None
        What pairs weigh; None means the same.

    Returns
    -------
    correlation : ndarray of shape (V,)
        Without centring, as neither side is first.
    p_value : ndarray of shape (V,)
        Adjusted for all words, by random signs of groups.
    """
    n_groups = int(groups.max()) + 1
    totals = np.zeros((n_groups, words.shape[1]))
    weight = np.ones(len(score)) if weight is None else weight
    weighted = words.multiply((weight * score)[:, np.newaxis]).tocoo()
    np.add.at(totals, (groups[weighted.coords[0]], weighted.coords[1]), weighted.data)
    squares = weight @ words.multiply(words)
    size = np.sqrt(np.sum(weight * score**2) * squares)
    correlation = np.divide(totals.sum(axis=0), size, out=np.zeros(len(size)), where=size > 0)
    return correlation, judge_columns(totals, rng=rng, n_flips=N_FLIPS).p_value


def choose_words(correlation, p_value, names, n_words, level=LEVEL):
    """Return the words that differ most along a direction: lists of dict, more and less.

    Words that are told from chance come first, then the strongest.
    """
    sure = p_value <= level
    order = np.lexsort((-np.abs(correlation), ~sure))
    sides = []
    for side in (1, -1):
        columns = [i for i in order if side * correlation[i] > 0][:n_words]
        sides.append(
            [
                {
                    "word": str(names[i]),
                    "correlation": float(correlation[i]),
                    "p_value": float(p_value[i]),
                    "is_sure": bool(sure[i]),
                }
                for i in columns
            ]
        )
    return sides


def farthest_pairs(score, groups, n_pairs):
    """Return the rows that differ most along a direction, at most one a group."""
    rows: list[int] = []
    seen = set()
    for row in np.argsort(-np.abs(score), kind="stable").tolist():
        if len(rows) == n_pairs or not score[row]:
            break
        if groups[row] not in seen:
            seen.add(groups[row])
            rows.append(row)
    return rows
