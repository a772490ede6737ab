r"""How much of a reward words and form explain, on prompts that the regression has not seen.

With margins m of pairs and differences D of features, the regression minimises
:math:`|m - D w|^2 + \alpha |w|^2`, without an intercept, as the order of two responses means
nothing. :math:`\alpha` has the least error on prompts left out one by one, which needs no further
fit: with the hat matrix H and a prompt g, it is :math:`(I - H_{gg})^{-1} (m - H m)_g`.
"""

import numpy as np

from sklearn_codex.inspection._directions import judge_ratio

MAX_PAIRS = 2000
"""That the regression learns from: it decomposes a matrix of as many rows and columns."""
ALPHAS = 10.0 ** np.arange(-7, 4)
"""Penalties, as shares of the mean square of rows."""


def fit_ridge(gram, margin, groups, n_rows=None):
    """Return dual weights (n_pairs,) of the regression, its penalty chosen by group.

    Parameters
    ----------
    gram : ndarray of shape (n_pairs, n_pairs)
        Products of the rows of D.
    margin : ndarray of shape (n_pairs,)
        What is explained.
    groups : ndarray of int of shape (n_pairs,)
        Codes of groups.
    n_rows : float, default=None
        How many rows there are, where the roots of their weights are factors of D and of the
        margins; None means n_pairs.
    """
    size = float(np.trace(gram)) / (len(gram) if n_rows is None else n_rows)
    if not size > 0:
        return np.zeros(len(gram))
    values, basis = np.linalg.eigh(gram / size)
    values = np.maximum(values, 0.0)
    along = basis.T @ margin
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    errors = []
    for alpha in ALPHAS:
        left = alpha / (values + alpha)  # eigenvalues of I - H
        residual = basis @ (left * along)
        errors.append(
            sum(
                float(np.sum(np.linalg.solve(_block(basis, left, rows), residual[rows]) ** 2))
                for rows in members
            )
        )
    alpha = ALPHAS[int(np.argmin(errors))]
    return basis @ (along / (values + alpha)) / size


def _block(basis, eigenvalues, rows):
    part = basis[rows]
    return (part * eigenvalues) @ part.T


def predict_margins(features, margin, groups, train, test, weight):
    """Return margins of pairs that a regression on their features has not seen.

    Parameters
    ----------
    features : ndarray or sparse array of shape (n_pairs, V)
        Differences.
    margin, groups : ndarray of shape (n_pairs,)
        Of all pairs.
    train, test : ndarray of int
        Rows that are learned from, and rows that are predicted.
    weight : ndarray of shape (n_pairs,)
        What pairs weigh.
    """
    learned, mine = features[train], weight[train]
    root = np.sqrt(mine)
    gram = root[:, np.newaxis] * _product(learned, learned) * root
    dual = fit_ridge(gram, root * margin[train], groups[train], mine.sum())
    return _product(features[test], learned) @ (root * dual)


def _product(one, other):
    product = one @ other.T
    return product.toarray() if hasattr(product, "toarray") else product


def judge_share_explained(margin, predicted, groups, rng, weight):
    r"""Return the share of the squares of margins that predictions explain, with its interval.

    Pairs have weights w, (n_pairs,) as all the others.

    Returns
    -------
    share : dict
        :math:`1 - \sum w e^2 / \sum w m^2` as ``share``, at most 1 and below 0 where predictions
        are worse than none, and the ends ``low`` and ``high`` of its 95% interval, by group.
    """
    # A pair without a margin counts by its error.
    squares = np.maximum(margin**2, 1e-12 * np.average(margin**2, weights=weight))
    left = judge_ratio(weight * (margin - predicted) ** 2, weight * squares, groups, rng)
    return {
        "share": 1 - left["value"],
        "low": 1 - left["high"],
        "high": min(1.0, 1 - left["low"]),
    }
