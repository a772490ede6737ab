"""How well the people, or models, who label the same pairs agree."""

import warnings

import numpy as np
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.utils import Bunch
from sklearn.utils._param_validation import validate_params

from sklearn_codex._checks.frames import is_missing
from sklearn_codex._checks.groups import check_hashable
from sklearn_codex._checks.probabilities import as_array
from sklearn_codex._tables import Table
from sklearn_codex.metrics._checks import ARRAY, OPTIONAL_ARRAY
from sklearn_codex.metrics._intervals import LEVEL_PARAM, share_interval


@validate_params({"votes": ARRAY}, prefer_skip_nested_validation=True)
def count_votes(votes):
    """Count the votes of each pair by category.

    Parameters
    ----------
    votes : array-like of shape (n_pairs, n_annotators)
        What each annotator says of each pair: categories of any kind, such as 1, 0, 0.5 or "a",
        "b", "tie"; None or NaN where there is no vote.

    Returns
    -------
    result : Bunch
        ``counts`` (ndarray of int of shape (n_pairs, n_categories)) and ``categories`` (a list, in
        the order of the columns).

    Raises
    ------
    ValueError
        If votes are not a table, or there is none.

    Examples
    --------
    >>> from sklearn_codex.metrics import count_votes
    >>> result = count_votes([["a", "a", "b"], ["tie", None, "b"]])
    >>> result.categories, result.counts.tolist()
    (['a', 'b', 'tie'], [[2, 1, 0], [0, 1, 1]])
    """
    codes, categories = _encode_votes(votes)
    columns = np.arange(len(categories))
    return Bunch(counts=(codes[:, :, np.newaxis] == columns).sum(axis=1), categories=categories)


def _encode_votes(votes):
    """Return votes as columns (n_pairs, n_annotators), -1 where missing, and the categories."""
    votes = as_array(votes, name="votes")
    if votes.ndim != 2 or 0 in votes.shape:
        raise ValueError(
            f"votes should have shape (n_pairs, n_annotators), got {votes.shape}. A missing vote "
            "is None or NaN."
        )
    flat = votes.ravel().tolist()
    check_hashable(flat, "votes")
    given = {vote for vote in flat if not is_missing(vote)}
    if not given:
        raise ValueError("votes hold no vote: all are missing.")
    try:
        categories = sorted(given)
    except TypeError:
        categories = sorted(given, key=str)
    position = {category: column for column, category in enumerate(categories)}
    codes = np.array([-1 if is_missing(vote) else position[vote] for vote in flat])
    return codes.reshape(votes.shape), categories


@validate_params({"counts": ARRAY}, prefer_skip_nested_validation=True)
def fleiss_kappa(counts):
    r"""Fleiss' kappa: agreement of several annotators beyond what chance would give.

    Parameters
    ----------
    counts : array-like of shape (n_pairs, n_categories)
        Votes of each pair by category, see :func:`count_votes`. Pairs may have different numbers of
        votes; those with fewer than two are left out.

    Returns
    -------
    kappa : float
        1 is perfect agreement, 0 that of chance; NaN, with a warning, where all votes are for one
        category.

    Raises
    ------
    ValueError
        If counts are not whole and non-negative, or no pair has two votes.

    Warns
    -----
    UndefinedMetricWarning
        If all votes are for one category.

    Notes
    -----
    With n_ij votes for category j on pair i and n_i in all [1]_,

    .. math::
        \kappa = \frac{\bar P - P_e}{1 - P_e}, \quad
        \bar P = \frac{1}{N} \sum_i \frac{\sum_j n_{ij} (n_{ij} - 1)}{n_i (n_i - 1)}, \quad
        P_e = \sum_j \Bigl(\frac{\sum_i n_{ij}}{\sum_i n_i}\Bigr)^2:

    the probability that two votes drawn from one pair agree, against that of two votes drawn from
    all. Fleiss has n_i equal; where they are not, each pair counts once in the first and each vote
    once in the second.

    References
    ----------
    .. [1] Fleiss, J. L. (1971). "Measuring nominal scale agreement among many raters."
       Psychological Bulletin 76(5), 378-382.

    Examples
    --------
    >>> from sklearn_codex.metrics import count_votes, fleiss_kappa
    >>> votes = [[1, 1, 1], [0, 0, 0], [1, 1, 0], [0, 0.5, 0]]
    >>> round(fleiss_kappa(count_votes(votes).counts), 3)
    0.415
    """
    counts = as_array(getattr(counts, "counts", counts), name="counts")
    if counts.dtype.kind not in "biuf":
        raise ValueError(
            f"counts should be numbers of votes, got {counts.dtype}. Votes become counts by "
            "count_votes(votes).counts."
        )
    counts = counts.astype(np.float64)
    if counts.ndim != 2 or not ((counts >= 0) & (counts == np.round(counts))).all():
        raise ValueError(
            "counts should be whole, non-negative numbers of votes of shape (n_pairs, "
            f"n_categories), got shape {counts.shape}. Votes become counts by count_votes."
        )
    counts = counts[counts.sum(axis=1) >= 2]
    if len(counts) == 0:
        raise ValueError("No pair has two votes, so there is no agreement to measure.")
    n_votes = counts.sum(axis=1)
    observed = np.mean((counts * (counts - 1)).sum(axis=1) / (n_votes * (n_votes - 1)))
    expected = np.sum((counts.sum(axis=0) / counts.sum()) ** 2)
    if expected == 1:
        return _undefined_kappa()
    return float((observed - expected) / (1 - expected))


def _undefined_kappa():
    warnings.warn(
        "Kappa is not defined where all votes are for one category: NaN is returned.",
        UndefinedMetricWarning,
        stacklevel=3,
    )
    return float("nan")


@validate_params(
    {"votes": ARRAY, "names": OPTIONAL_ARRAY, **LEVEL_PARAM}, prefer_skip_nested_validation=True
)
def annotator_accuracy(votes, *, names=None, confidence_level=0.95):
    """Agreement of each annotator with the consensus of the others.

    Parameters
    ----------
    votes : array-like of shape (n_pairs, n_annotators)
        What each annotator says of each pair: categories of any kind; None or NaN where there is no
        vote.
    names : array-like of shape (n_annotators,), default=None
        Names of the annotators; None numbers them from 0.
    confidence_level : float, default=0.95
        Coverage aimed at.

    Returns
    -------
    table : Table
        One row an annotator, with the columns ``annotator``, ``n`` (pairs that count),
        ``accuracy``, and ``low`` and ``high`` of Wilson's interval; NaN where n is 0.

    Raises
    ------
    ValueError
        If votes are not a table, or there is none.

    See Also
    --------
    pairwise_agreement : Agreement of annotators two by two.

    Notes
    -----
    The consensus of a pair is the category with most votes of the *others*, so that nobody agrees
    with himself. Pairs where the others have no vote, or where two categories lead, do not count.
    Intervals take pairs as independent.

    Examples
    --------
    >>> from sklearn_codex.metrics import annotator_accuracy
    >>> votes = [["a", "a", "a"], ["b", "b", "a"], ["b", "b", "tie"], ["a", "a", None]]
    >>> print(annotator_accuracy(votes))
    annotator  n  accuracy    low   high
            0  2     1.000  0.342  1.000
            1  2     1.000  0.342  1.000
            2  3     0.333  0.061  0.792
    """
    codes, categories = _encode_votes(votes)
    counts = count_votes(votes).counts
    n_annotators = codes.shape[1]
    names = np.arange(n_annotators) if names is None else as_array(names, name="names")
    if names.shape != (n_annotators,):
        raise ValueError(
            f"names should name {n_annotators} annotators, got {names.size} in shape {names.shape}."
        )
    rows = []
    for votes_of_one in codes.T:
        others = counts - (votes_of_one[:, np.newaxis] == np.arange(len(categories)))
        most = others.max(axis=1)
        is_clear = (most > 0) & ((others == most[:, np.newaxis]).sum(axis=1) == 1)
        kept = is_clear & (votes_of_one >= 0)
        agrees = (votes_of_one[kept] == others[kept].argmax(axis=1)).astype(np.float64)
        interval = share_interval(agrees, np.ones(len(agrees)), confidence_level=confidence_level)
        rows.append((len(agrees), *interval))
    n, accuracy, low, high = map(np.array, zip(*rows, strict=True))
    return Table(annotator=names, n=n, accuracy=accuracy, low=low, high=high)


@validate_params({"votes": ARRAY}, prefer_skip_nested_validation=True)
def pairwise_agreement(votes):
    r"""Agreement and Cohen's kappa of annotators two by two.

    Parameters
    ----------
    votes : array-like of shape (n_pairs, n_annotators)
        What each annotator says of each pair: categories of any kind; None or NaN where there is no
        vote.

    Returns
    -------
    result : Bunch
        ``agreement``, ``kappa`` and ``n``, of shape (n_annotators, n_annotators): the share of the
        pairs labelled by both on which they agree, Cohen's kappa, and the number of such pairs; NaN
        where not defined, and on the diagonal of the first two. ``mean_agreement`` and
        ``mean_kappa``: means over the annotators two by two, where defined.

    Raises
    ------
    ValueError
        If votes are not a table, or there is none.

    Notes
    -----
    .. math::
        \kappa = \frac{P_o - \sum_j a_j b_j}{1 - \sum_j a_j b_j}

    with the agreement P_o and the shares a, b of category j among the votes of each [1]_.

    References
    ----------
    .. [1] Cohen, J. (1960). "A coefficient of agreement for nominal scales." Educational and
       Psychological Measurement 20(1), 37-46.

    Examples
    --------
    >>> from sklearn_codex.metrics import pairwise_agreement
    >>> result = pairwise_agreement([["a", "a"], ["b", "b"], ["b", "a"], ["a", "a"]])
    >>> result.mean_agreement, result.mean_kappa
    (0.75, 0.5)
    """
    codes, categories = _encode_votes(votes)
    n_annotators = codes.shape[1]
    shape = (n_annotators, n_annotators)
    agreement, kappa, n = np.full(shape, np.nan), np.full(shape, np.nan), np.zeros(shape, int)
    for i in range(n_annotators):
        n[i, i] = (codes[:, i] >= 0).sum()
        for j in range(i):
            both = (codes[:, i] >= 0) & (codes[:, j] >= 0)
            n[i, j] = n[j, i] = both.sum()
            observed, chance = _observed_and_chance(codes[both, i], codes[both, j], len(categories))
            agreement[i, j] = agreement[j, i] = observed
            kappa[i, j] = kappa[j, i] = (observed - chance) / (1 - chance) if chance < 1 else np.nan
    return Bunch(
        agreement=agreement,
        kappa=kappa,
        n=n,
        mean_agreement=_mean_defined(agreement),
        mean_kappa=_mean_defined(kappa),
    )


def _observed_and_chance(first, second, n_categories):
    """Return the share of equal votes, and that expected of independent ones."""
    if len(first) == 0:
        return np.nan, np.nan
    shares = [np.bincount(votes, minlength=n_categories) / len(votes) for votes in (first, second)]
    return float(np.mean(first == second)), float(shares[0] @ shares[1])


def _mean_defined(values):
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")
