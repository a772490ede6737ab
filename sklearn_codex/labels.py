"""Labels as they come, turned into weighted pairs of two classes.

Names, votes and grades become one probability a pair, that A is preferred, and a weight. Estimators
that know only two classes then get a pair as two rows that share its weight: there is never a third
class, and a pair weighs 1 in total however its label came.
"""

from collections.abc import Mapping
from numbers import Real

import numpy as np
from scipy import sparse
from scipy.special import expit
from sklearn.utils import Bunch, _safe_indexing, check_consistent_length, indexable
from sklearn.utils._param_validation import Interval, StrOptions, validate_params
from sklearn.utils.validation import _num_samples

from sklearn_codex._checks.frames import (
    column_names,
    column_values,
    is_frame,
    is_missing,
    replace_columns,
)
from sklearn_codex._checks.groups import check_hashable
from sklearn_codex._checks.matrices import check_frame, check_numbers, check_sparse
from sklearn_codex._checks.numbers import check_sample_weight
from sklearn_codex._checks.probabilities import as_array, check_soft_labels
from sklearn_codex._labels.column import find_distinct
from sklearn_codex._labels.conventions import (
    LABEL_CONVENTIONS,
    NUMBER_CONVENTIONS,
    convention_names,
    find_convention,
    fold,
    weigh,
)
from sklearn_codex._text.inputs import as_objects

__all__ = [
    "LABEL_CONVENTIONS",
    "NUMBER_CONVENTIONS",
    "convert_labels",
    "expand_soft_labels",
    "grades_to_soft_labels",
    "orient_pairs",
    "votes_to_soft_labels",
]


@validate_params(
    {
        "labels": ["array-like"],
        "convention": [str, Mapping],
    },
    prefer_skip_nested_validation=True,
)
def convert_labels(labels, convention="names"):
    """Turn labels written in some convention into probabilities that A is preferred.

    Parameters
    ----------
    labels : array-like of shape (n_pairs,) or (n_pairs, n_annotators)
        Labels, or votes; None and NaN stay missing (NaN) in votes.
    convention : str or mapping, default="names"
        The name of a convention, see Notes, or what each label means, in [0, 1]. Case and blanks
        around do not matter in str, and 1, "1", "1.0" and True are the same label.

    Returns
    -------
    probability : ndarray of float of the shape of ``labels``

    Raises
    ------
    ValueError
        If a label is not in the convention, or is missing where there is one a pair.

    See Also
    --------
    grades_to_soft_labels : Strengths as weights as well.

    Notes
    -----
    Conventions of a few labels are ``LABEL_CONVENTIONS``:

    ================== =========================================================================
    "names"            "a", "b", and "c" or "tie" for a tie; also "[[A]]", "A>B", "A>>B", "A=B"
    "arena"            "model_a", "model_b", "tie", "tie (bothbad)", "both_bad", as Chatbot Arena
    "one_two"          1 where A is better, 2 where B is, 0 for a tie, as PandaLM
    "index"            0 where A is better, 1 where B is
    "index_ties"       the same, and 2 for a tie
    "sign"             1 where A is better, -1 where B is, 0 for a tie
    "sign_second"      -1 where A is better, 1 where B is, 0 for a tie
    "boolean"          true where A is better
    "boolean_second"   true where B is better
    "positions"        "first" and "second", "left" and "right", and words for ties
    ================== =========================================================================

    Those of numbers are ``NUMBER_CONVENTIONS``, with the label of n:

    ====================== ===================================================================
    "probability"          n, in [0, 1]
    "probability_second"   1 - n
    "percent"              n / 100
    "percent_second"       1 - n / 100
    "one_to_two"           2 - n, for n in [1, 2], and 0.5 for n = 0
    "strength"             1 where n > 0, 0 where n < 0, 0.5 for n = 0
    "strength_second"      the same of -n, as HelpSteer 3
    "scale_1_5"            1 where n < 3, 0 where n > 3, 0.5 for n = 3; of any two whole numbers,
                           of which the first is the end for A: "scale_5_1" is the reverse
    ====================== ===================================================================

    Examples
    --------
    >>> from sklearn_codex.labels import convert_labels
    >>> convert_labels(["A", "b", "tie"]).tolist()
    [1.0, 0.0, 0.5]
    >>> convert_labels([[1, 2, None], [0, 1, 1]], "one_two").tolist()
    [[1.0, 0.0, nan], [0.5, 1.0, 1.0]]
    >>> convert_labels([-3, 1, 0], "strength_second").tolist()
    [1.0, 0.0, 0.5]
    """
    found = find_convention(convention)
    labels = as_objects(labels)
    check_hashable(labels.ravel(), "labels")
    if labels.ndim not in (1, 2):
        raise ValueError(
            f"labels should have shape (n_pairs,) or (n_pairs, n_annotators), got {labels.shape}."
        )
    distinct, codes = find_distinct(labels.ravel().tolist())
    probability = found.read([fold(label) for label in distinct])[0]
    known = ~np.isnan(probability)
    if labels.ndim == 2:
        known |= np.array([is_missing(label) for label in distinct], dtype=bool)
    unknown = np.flatnonzero(~known)
    if len(unknown):
        place = np.unravel_index(int(np.argmax(codes == unknown[0])), labels.shape)
        where = tuple(map(int, place)) if labels.ndim == 2 else int(place[0])
        name = found.name or "the mapping given"
        raise ValueError(
            f"Label {distinct[unknown[0]]!r} at {where} is not in {name}: {found.known}. Choose "
            f"another convention of {', '.join(convention_names())}, pass a mapping, or drop the "
            "pair."
        )
    return probability[codes].reshape(labels.shape)


@validate_params(
    {
        "votes": ["array-like"],
        "weight": [StrOptions({"pair", "votes"})],
        "prior_votes": [Interval(Real, 0, None, closed="left")],
    },
    prefer_skip_nested_validation=True,
)
def votes_to_soft_labels(votes, *, weight="pair", prior_votes=0.0):
    r"""Turn the votes of several annotators into one soft label and one weight a pair.

    Parameters
    ----------
    votes : array-like of shape (n_pairs, n_annotators)
        Each vote in [0, 1]: 1 is for A, 0 for B, 0.5 a tie; NaN where there is no vote. Votes
        written otherwise come from :func:`convert_labels`.
    weight : {"pair", "votes"}, default="pair"
        Every pair weighs 1, or in proportion to its votes, 1 on average.
    prior_votes : float, default=0.0
        Votes, split equally, that every pair is thought to have had before: 1 keeps the label of a
        unanimous pair away from certainty.

    Returns
    -------
    result : Bunch
        ``label`` and ``sample_weight`` (floats of shape (n_pairs,)), ``n_votes`` (ints).

    Raises
    ------
    ValueError
        If a vote is outside [0, 1], or a pair has none.

    Notes
    -----
    With n votes v and c prior votes, the label is :math:`(\sum v + c / 2) / (n + c)`, the posterior
    mean under a Beta(c / 2, c / 2) prior.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_codex.labels import votes_to_soft_labels
    >>> result = votes_to_soft_labels([[1, 1, 0, 0.5], [0, np.nan, np.nan, np.nan]])
    >>> result.label.tolist(), result.n_votes.tolist()
    ([0.625, 0.0], [4, 1])
    """
    votes, prior_votes = as_array(votes, name="votes"), float(prior_votes)
    if votes.ndim != 2 or 0 in votes.shape:
        raise ValueError(f"votes should have shape (n_pairs, n_annotators), got {votes.shape}.")
    given = np.array([not is_missing(vote) for vote in votes.ravel().tolist()]).reshape(votes.shape)
    without = np.flatnonzero(~given.any(axis=1))
    if len(without):
        raise ValueError(
            f"{len(without)} pairs have no vote, the first at position {without[0]}. Drop them."
        )
    values = np.zeros(votes.shape)
    values[given] = check_soft_labels(votes[given], name="votes")
    n_votes = given.sum(axis=1)
    label = (values.sum(axis=1) + prior_votes / 2) / (n_votes + prior_votes)
    sample_weight = np.ones(len(votes)) if weight == "pair" else n_votes / n_votes.mean()
    return Bunch(label=label, sample_weight=sample_weight, n_votes=n_votes)


@validate_params(
    {
        "grades": ["array-like"],
        "scale": [Mapping, None],
        "method": [StrOptions({"weight", "probability"})],
    },
    prefer_skip_nested_validation=True,
)
def grades_to_soft_labels(grades, scale=None, *, method="weight"):
    r"""Turn graded preferences ("much better", "slightly better") into labels and weights.

    Parameters
    ----------
    grades : array-like of shape (n_pairs,)
        By how much A is better: positive for A, negative for B, 0 for a tie; or names of grades.
        Where a positive grade means B, as in some data, pass ``-grades``.
    scale : mapping of grade to float, default=None
        The number that each grade stands for, such as ``{"a_much": 3, "a": 1, "tie": 0, "b": -1}``.
        None: grades are these numbers.
    method : {"weight", "probability"}, default="weight"
        A grade is how much the pair counts, or the log-odds that A is preferred.

    Returns
    -------
    result : Bunch
        ``label`` and ``sample_weight``, floats of shape (n_pairs,).

    Raises
    ------
    ValueError
        If a grade is not in the scale, or is not a finite number.

    Notes
    -----
    Of grades g, with ``method="weight"`` the label is 1, 0 or 0.5 and a decided pair weighs
    :math:`|g|` over the mean of :math:`|g|` on decided pairs; ties weigh 1, so the mean weight is 1
    in any unit of the scale. With ``method="probability"`` the label is :math:`\sigma(g)` and all
    weights are 1.

    Examples
    --------
    >>> from sklearn_codex.labels import grades_to_soft_labels
    >>> scale = {"much better": 3, "better": 1, "same": 0, "worse": -1, "much worse": -3}
    >>> result = grades_to_soft_labels(["much better", "same", "worse"], scale)
    >>> result.label.tolist(), result.sample_weight.tolist()
    ([1.0, 0.5, 0.0], [1.5, 1.0, 0.5])
    """
    values = _grade_values(grades, scale)
    if method == "probability":
        return Bunch(label=expit(values), sample_weight=np.ones(len(values)))
    return Bunch(label=0.5 + 0.5 * np.sign(values), sample_weight=weigh(np.abs(values)))


def _grade_values(grades, scale):
    """Return the number (n_pairs,) that each grade stands for."""
    grades = as_array(grades, name="grades")
    if grades.ndim != 1 or len(grades) == 0:
        raise ValueError(f"grades should have shape (n_pairs,), got {grades.shape}.")
    if scale is not None:
        unknown = sorted({grade for grade in grades.tolist() if grade not in scale}, key=str)
        if unknown:
            raise ValueError(f"The grades {unknown} are not in scale, which has {list(scale)}.")
        grades = np.array([scale[grade] for grade in grades.tolist()])
    try:
        values = grades.astype(np.float64)
    except (TypeError, ValueError):
        raise ValueError(
            f"grades should be numbers, got {grades.tolist()[0]!r}. Give their numbers as scale."
        ) from None
    if not np.isfinite(values).all():
        position = np.flatnonzero(~np.isfinite(values))[0]
        raise ValueError(f"grades should be finite, but that of pair {position} is not. Drop it.")
    return values


def expand_soft_labels(X, y, *, sample_weight=None, groups=None):
    """Turn pairs with soft labels into weighted rows of two classes.

    A pair with probability p that A is preferred becomes a row of class 1 with weight p and a row
    of class 0 with weight 1 - p, times its own weight; a row without weight is left out. A tie is
    two rows of half weight, a hard label one row as before. For classifiers that take no soft
    labels.

    Parameters
    ----------
    X : array-like, sparse matrix, list or data frame of shape (n_pairs, ...)
        Pairs, in any form that scikit-learn can index.
    y : array-like of shape (n_pairs,)
        Probability that A is preferred: 1, 0, 0.5 for a tie, or between.
    sample_weight : array-like of shape (n_pairs,), default=None
        Weights of pairs; None means 1.
    groups : array-like of shape (n_pairs,), default=None
        Prompt of each pair.

    Returns
    -------
    rows : Bunch
        ``X``, ``y`` (1 or 0), ``sample_weight``, ``groups`` and ``index`` (the pair of each row),
        in the order of the pairs. The two rows of a pair must not be separated by a split: where
        ``groups`` are not given they are ``index``, which keeps them together.

    Raises
    ------
    ValueError
        If lengths differ, a label is outside [0, 1], or a weight is negative.

    See Also
    --------
    votes_to_soft_labels : Soft labels from several annotators.

    Notes
    -----
    The weights of the rows of a pair add up to its own, so a penalised fit has the objective it has
    with soft labels in its loss. Metrics of :mod:`sklearn_codex.metrics` take soft labels as they
    are, and agree with scikit-learn's on these rows.

    Examples
    --------
    >>> from sklearn_codex.labels import expand_soft_labels
    >>> rows = expand_soft_labels([("x", "y"), ("u", "v"), ("s", "t")], [1, 0.25, 0.5])
    >>> rows.y.tolist(), rows.sample_weight.tolist(), rows.index.tolist()
    ([1, 1, 0, 1, 0], [1.0, 0.25, 0.75, 0.5, 0.5], [0, 1, 1, 2, 2])
    """
    label = check_soft_labels(y, name="y")
    (X,) = indexable(check_sparse(X, subject="expand_soft_labels") if sparse.issparse(X) else X)
    check_consistent_length(X, label, sample_weight, groups)
    weight = check_sample_weight(sample_weight, label, dtype=np.float64, ensure_non_negative=True)
    row_weight = (weight[:, np.newaxis] * np.column_stack([label, 1 - label])).ravel()
    kept = np.flatnonzero(row_weight > 0)
    index = kept // 2
    return Bunch(
        X=_safe_indexing(X, index),
        y=1 - kept % 2,
        sample_weight=row_weight[kept],
        groups=index if groups is None else _safe_indexing(groups, index),
        index=index,
    )


def orient_pairs(X, y):
    """Exchange the responses of pairs so that the preferred one comes first.

    Parameters
    ----------
    X : array-like of shape (n_pairs, 2) or (n_pairs, 3), data frame, or matrix (n_pairs, V)
        Rows ``(response_a, response_b)`` or ``(prompt, response_a, response_b)``; a data frame
        (pandas, polars, pyarrow), where all columns that end in ``_a`` change place with those that
        end in ``_b``; or feature differences phi(A) - phi(B), dense or sparse, which change their
        sign.
    y : array-like of shape (n_pairs,)
        Probability that A is preferred: 1, 0, 0.5 for a tie, or between.

    Returns
    -------
    pairs : Bunch
        ``X`` (of the kind given; rows of text become an array of objects), ``y`` (at least 0.5) and
        ``swapped`` (bool), all of length n_pairs. Ties stay as they are.

    Raises
    ------
    ValueError
        If lengths differ, a label is outside [0, 1], or X has no two responses to exchange.

    Notes
    -----
    For exports as chosen and rejected, and to find pairs that are labelled both ways. A classifier
    cannot be fitted on the result, which has but one class.

    Examples
    --------
    >>> from sklearn_codex.labels import orient_pairs
    >>> pairs = orient_pairs([("q", "bad", "good"), ("q", "fine", "poor")], [0.1, 1])
    >>> pairs.X.tolist(), pairs.y.tolist(), pairs.swapped.tolist()
    ([['q', 'good', 'bad'], ['q', 'fine', 'poor']], [0.9, 1.0], [True, False])
    """
    label = check_soft_labels(y, name="y")
    check_frame(X, "orient_pairs")
    if _num_samples(X) != len(label):
        raise ValueError(f"There are {_num_samples(X)} pairs in X and {len(label)} labels in y.")
    swapped = label < 0.5
    return Bunch(X=_swap(X, swapped), y=np.maximum(label, 1 - label), swapped=swapped)


def _swap(X, swapped):
    """Return pairs with the responses of some exchanged."""
    if is_frame(X):
        return _swap_columns(X, swapped)
    sign = np.where(swapped, -1.0, 1.0)
    if sparse.issparse(X):
        return sparse.diags_array(sign).tocsr() @ check_sparse(X, subject="orient_pairs")
    values = np.asarray(X) if hasattr(X, "dtype") else as_objects(X)
    if values.ndim == 2 and all(isinstance(value, (int, float)) for value in values[0].tolist()):
        return sign[:, np.newaxis] * check_numbers(values, subject="orient_pairs")
    if values.ndim != 2 or values.shape[1] not in (2, 3):
        raise ValueError(
            "X should have rows (response_a, response_b) or (prompt, response_a, response_b), or "
            f"be a matrix of feature differences, got shape {values.shape}."
        )
    values = values.copy()
    values[swapped, -2:] = values[swapped, :-3:-1]
    return values


def _swap_columns(X, swapped):
    """Return a data frame with ``*_a`` and ``*_b`` exchanged in some rows."""
    names = column_names(X)
    stems = [
        name[:-2]
        for name in names
        if isinstance(name, str) and name.endswith("_a") and f"{name[:-2]}_b" in names
    ]
    if not stems:
        raise ValueError(f"X has no columns such as response_a and response_b, got {names}.")
    columns = {}
    for stem in stems:
        first, second = (column_values(X, f"{stem}_{side}") for side in "ab")
        both = list(zip(first, second, swapped, strict=True))
        columns[f"{stem}_a"] = [b if swap else a for a, b, swap in both]
        columns[f"{stem}_b"] = [a if swap else b for a, b, swap in both]
    return replace_columns(X, columns)
