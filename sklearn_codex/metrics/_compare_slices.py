"""Which parts of the pairs differ from the rest: accuracy, log-loss, length and ties by slice."""

from collections.abc import Mapping
from numbers import Integral, Real
from typing import NamedTuple

import numpy as np
from sklearn.utils import Bunch
from sklearn.utils._param_validation import Interval, validate_params

from sklearn_codex._checks.frames import is_missing
from sklearn_codex._checks.groups import check_hashable
from sklearn_codex._checks.numbers import check_weight
from sklearn_codex._checks.probabilities import as_array, check_soft_labels
from sklearn_codex._tables import Table
from sklearn_codex._verdicts import CROSS_FITTED, GIVEN, LEVEL, judge_mean
from sklearn_codex.metrics._checks import (
    ANY_LABEL,
    ARRAY,
    OPTIONAL_ARRAY,
    check_groups,
    check_length,
    check_scores,
)
from sklearn_codex.metrics._slice_tests import adjust_for_many, judge_difference
from sklearn_codex.metrics._slices import _slice_masks

MIN_PAIRS = 20
MIN_GROUPS = 10
TESTED = ("accuracy", "longer_wins", "ties")
MEASURES = ("accuracy", "log_loss", "longer_wins", "ties")


class Slice(NamedTuple):
    """A part of the pairs and what it is held against.

    Parameters
    ----------
    name : str
        What it is called.
    inside, outside : ndarray of bool of shape (n_pairs,)
        The part and the rest, which may leave out pairs of which it is not known.
    """

    name: str
    inside: np.ndarray
    outside: np.ndarray


class Measure(NamedTuple):
    """A number of each pair whose mean is asked for.

    Parameters
    ----------
    values : ndarray of shape (n_pairs,)
        Finite where ``counts``.
    counts : ndarray of bool of shape (n_pairs,)
        Pairs that have it.
    bounds : tuple of float
        What it is between.
    inflation : float
        Of its variance, 2 where a cross-fitted model has a part in it.
    """

    values: np.ndarray
    counts: np.ndarray
    bounds: tuple[float, float]
    inflation: float

    def mean(self, rows, weight):
        """Return the mean over some of the rows, one of which has it at least."""
        rows = rows & self.counts
        return float(np.average(self.values[rows], weights=weight[rows]))

    def judge(self, rows, groups, weight):
        """Return the mean over some of the rows with its interval, None without a row."""
        rows = rows & self.counts
        if not rows.any():
            return None
        return judge_mean(
            self.values[rows],
            groups[rows],
            null=self.mean(rows, weight),
            bounds=self.bounds,
            inflation=self.inflation,
            weights=weight[rows],
        )

    def compare(self, part, groups, weight, min_pairs, min_groups):
        """Return the test of a slice against the rest, None where one of the two is too small."""
        inside, outside = part.inside & self.counts, part.outside & self.counts
        for rows in (inside, outside):
            if rows.sum() < min_pairs or count_equal(groups[rows], weight[rows]) < min_groups:
                return None
        rows = inside | outside
        reach = self.bounds[1] - self.bounds[0]
        return judge_difference(
            self.values[rows],
            inside[rows],
            groups[rows],
            bounds=(-reach, reach),
            inflation=self.inflation,
            weights=weight[rows],
        )


def count_equal(groups, weight):
    """Return as how many groups of one weight the groups of some pairs count; without a pair, 0."""
    if not np.any(weight > 0):
        return 0.0
    code = np.unique(groups, return_inverse=True)[1].reshape(-1)
    sizes = np.bincount(code, weight / np.max(weight))
    return float(sizes.sum() ** 2 / np.sum(sizes**2))


def measures_of(y, margin, length_difference, counted, *, inflation):
    """Return what is asked of each slice, by name, without what needs something that is None.

    Parameters
    ----------
    y : ndarray of shape (n_pairs,)
        Probability that A is preferred.
    margin, length_difference : ndarray of shape (n_pairs,) or None
        Log-odds of A by a model, and by how much A is longer.
    counted : ndarray of bool of shape (n_pairs,)
        Pairs that weigh more than 0.
    inflation : float
        Of the variance of what depends on the margins.
    """
    found = {}
    decided = counted & (y != 0.5)
    lean = np.sign(y - 0.5)
    if margin is not None:
        credit = 0.5 + 0.5 * lean * np.sign(margin)
        loss = np.full(len(y), np.inf)
        finite = np.isfinite(margin)
        m = np.where(finite, margin, 0.0)
        loss[finite] = (y * np.logaddexp(0, -m) + (1 - y) * np.logaddexp(0, m))[finite]
        found["accuracy"] = Measure(credit, decided, (0.0, 1.0), inflation)
        found["log_loss"] = Measure(loss, counted & finite, (0.0, np.inf), inflation)
    if length_difference is not None:
        won = 0.5 + 0.5 * lean * np.sign(length_difference)
        differs = decided & (length_difference != 0)
        found["longer_wins"] = Measure(won, differs, (0.0, 1.0), GIVEN)
    found["ties"] = Measure((y == 0.5).astype(float), counted, (0.0, 1.0), GIVEN)
    return found


def judge_slices(slices, measures, groups, weight, *, level, min_pairs, min_groups):
    """Return figures of slices, tests against the rest, adjusted all together, and what is small.

    Parameters
    ----------
    slices : list of Slice
        May overlap.
    measures : dict of str to Measure
        As from ``measures_of``.
    groups, weight : ndarray of shape (n_pairs,)
        Codes of groups, and weights of pairs.
    level : float
        Of the false discovery rate.
    min_pairs, min_groups : int
        A slice with fewer has no figures; a test needs so many of its measure on both sides.

    Returns
    -------
    rows : list of dict
        Of the slices that are large enough: ``slice``, ``n_pairs``, ``n_groups``, the judged mean
        of each measure (None without a pair that has it) and ``tests``, which have the fields of a
        ``Judgement``, the means ``inside`` and ``outside``, the ``adjusted`` p-value and whether
        the slice ``differs``.
    too_small : list of dict
        The others: ``slice``, ``n_pairs`` and ``n_groups``.
    """
    rows, too_small = [], []
    for part in slices:
        inside = part.inside & (weight > 0)
        size = {
            "slice": part.name,
            "n_pairs": int(inside.sum()),
            "n_groups": len(np.unique(groups[inside])),
        }
        if size["n_pairs"] < min_pairs or count_equal(groups[inside], weight[inside]) < min_groups:
            too_small.append(size)
            continue
        row = {**size, "tests": {}}
        for name, measure in measures.items():
            row[name] = measure.judge(inside, groups, weight)
            if name not in TESTED:
                continue
            test = measure.compare(part, groups, weight, min_pairs, min_groups)
            if test is not None:
                row["tests"][name] = {
                    **test._asdict(),
                    "inside": row[name].value,
                    "outside": measure.mean(part.outside, weight),
                }
        rows.append(row)
    tests = [test for row in rows for test in row["tests"].values()]
    for test, adjusted in zip(
        tests, adjust_for_many([test["p_value"] for test in tests]).tolist(), strict=True
    ):
        test["adjusted"], test["differs"] = adjusted, adjusted <= level
    return rows, too_small


@validate_params(
    {"first": ARRAY, "second": ARRAY, "name": [str]},
    prefer_skip_nested_validation=True,
)
def side_slices(first, second, *, name="side"):
    """Turn what each response of a pair is, such as who wrote it, into slices of pairs.

    Parameters
    ----------
    first, second : array-like of shape (n_pairs,)
        A value of response A and one of response B: model, style, source. None and NaN are
        unknown.
    name : str, default="side"
        What the value is called.

    Returns
    -------
    slices : dict of str to ndarray of bool of shape (n_pairs,)
        For each value the pairs in which *either* response has it, so that most pairs are in two
        slices, and last the pairs in which both have the same, for :func:`compare_slices` and
        :func:`accuracy_by_slice`.

    Examples
    --------
    >>> from sklearn_codex.metrics import side_slices
    >>> slices = side_slices(["x", "y", "x"], ["y", "z", "x"], name="model")
    >>> {name: mask.tolist() for name, mask in slices.items()}  # doctest: +NORMALIZE_WHITESPACE
    {'model=x': [True, False, True], 'model=y': [True, True, False],
     'model=z': [False, True, False], 'same model': [False, False, True]}
    """
    sides = [as_array(values, name=side) for values, side in ((first, "first"), (second, "second"))]
    for values, side in zip(sides, ("first", "second"), strict=True):
        if values.ndim != 1:
            raise ValueError(f"{side} should have shape (n_pairs,), got {values.shape}.")
    check_length(sides[1], len(sides[0]), "second")
    levels = _side_levels(sides, name)
    codes = [np.array([levels.get(v, -1) for v in values.tolist()], np.intp) for values in sides]
    a, b = codes
    slices = {f"{name}={level}": (a == code) | (b == code) for level, code in levels.items()}
    return slices | {f"same {name}": (a == b) & (a >= 0)}


def _side_levels(sides, name):
    """Return the code of each value of two sides (n_pairs,) but those missing, sorted."""
    for values, side in zip(sides, ("first", "second"), strict=True):
        check_hashable(values.tolist(), side)
    values = {value for side in sides for value in side.tolist() if not is_missing(value)}
    levels = sorted(values, key=lambda level: (isinstance(level, str), str(level)))
    texts: dict[str, object] = {}
    for level in levels:
        other = texts.setdefault(str(level), level)
        if other is not level:
            raise ValueError(
                f"side_slices got {other!r:.60} and {level!r:.60}, which are different values that "
                f"would both be called '{name}={level}'. Write them alike, or by names that differ."
            )
    return {level: code for code, level in enumerate(levels)}


@validate_params(
    {
        "y_true": ARRAY,
        "margin": OPTIONAL_ARRAY,
        "slices": [Mapping, "array-like"],
        "groups": OPTIONAL_ARRAY,
        "length_difference": OPTIONAL_ARRAY,
        "sample_weight": OPTIONAL_ARRAY,
        "cross_fitted": ["boolean"],
        "level": [Interval(Real, 0, 1, closed="neither")],
        "min_pairs": [Interval(Integral, 1, None, closed="left")],
        "min_groups": [Interval(Integral, 1, None, closed="left")],
        "pos_label": ANY_LABEL,
    },
    prefer_skip_nested_validation=True,
)
def compare_slices(
    y_true,
    margin,
    slices,
    *,
    groups=None,
    length_difference=None,
    sample_weight=None,
    cross_fitted=False,
    level=LEVEL,
    min_pairs=MIN_PAIRS,
    min_groups=MIN_GROUPS,
    pos_label=None,
):
    r"""Tell which parts of the pairs differ from the rest, and which only seem to.

    Parameters
    ----------
    y_true : array-like of shape (n_pairs,)
        Probability that A is preferred: 1, 0, 0.5 for a tie, or a soft label between.
    margin : array-like of shape (n_pairs,) or None
        Log-odds r(A) - r(B) of a model that did not see the labels, or with ``cross_fitted`` not
        those of the group. None: labels are compared, and no model.
    slices : mapping of str to array-like of shape (n_pairs,), or array-like of shape (n_pairs,)
        As in :func:`accuracy_by_slice`: boolean values are one slice, others one for each level.
        Pairs with None or NaN are in no slice of theirs and in no rest. Numbers are cut with
        :func:`quantile_slices`; what each side has, with :func:`side_slices`.
    groups : array-like of shape (n_pairs,), default=None
        Prompt of each pair. None: pairs are independent.
    length_difference : array-like of shape (n_pairs,), default=None
        By how much A is longer than B, to ask how often the longer response wins.
    sample_weight : array-like of shape (n_pairs,), default=None
        Weights of pairs.
    cross_fitted : bool, default=False
        Whether margins are of models that learned from other groups of the same pairs, which makes
        them depend on each other: variances are then doubled.
    level : float, default=0.05
        Of the false discovery rate.
    min_pairs : int, default=20
        Slices with fewer have no figures, and measures that fewer pairs have no test.
    min_groups : int, default=10
        The same of groups. Groups whose pairs weigh n count as :math:`(\sum n)^2 / \sum n^2` groups
        of one weight, since a slice that is nearly one prompt tells of this prompt.
    pos_label : label, default=None
        The class of ``y_true`` that means A is preferred. None: ``y_true`` holds probabilities.

    Returns
    -------
    result : Bunch
        ``table`` (Table, the first row for all pairs): ``slice``, ``n_pairs``, ``n_groups``, and
        of each measure its mean and the ends of its 95% interval, ``accuracy``, ``accuracy_low``,
        ``accuracy_high`` (pairs that are no tie), ``log_loss``... (nats), ``longer_wins``... (pairs
        that are no tie and differ in length), ``ties``...; NaN where no pair has it.
        ``tests`` (Table): ``slice``, ``measure`` (accuracy, longer_wins or ties), the means
        ``inside`` and ``outside``, their ``difference``, the ends ``low`` and ``high`` of its 95%
        interval, ``p_value``, ``adjusted`` (for all tests of the table) and ``differs``.
        ``too_small`` (Table): ``slice``, ``n_pairs``, ``n_groups``. ``level`` (float).

    Raises
    ------
    ValueError
        If something has not one value a pair, or a slice too many levels.

    See Also
    --------
    accuracy_by_slice : The accuracies alone, without a test.

    Notes
    -----
    A slice is held against the pairs that are not in it. With values v of pairs, :math:`\bar v`
    their mean and :math:`a_i` one over the number of pairs of the slice, and minus one over that
    of the rest, the difference of means is :math:`D = \sum_i a_i (v_i - \bar v)`. With
    :math:`u_g` the sum over the pairs of a group, :math:`D / \sqrt{\kappa V}` is held against the
    normal law, :math:`\kappa` being 2 for ``cross_fitted`` margins and else 1, and

    .. math::
        V = \max\Bigl(\sum_g u_g^2,\; \sum_i a_i^2 (v_i - \bar v)^2,\;
        s^2 \bigl[(1 - \rho) \sum_i a_i^2 + \rho \sum_g \bigl(\sum_{i \in g} a_i\bigr)^2\bigr]
        \Bigr),

    s² being the variance of all values and :math:`\rho`, 0 or more, their correlation within
    groups: what is seen in a small slice alone may be far too little. The adjusted p-values are
    those of Benjamini and Hochberg [1]_: of the differences that are reported, a share of at most
    ``level`` is expected to be none, and if there is none at all, no more than that share of the
    data sets has one reported. Log-loss has no test, as the accuracy decides.

    References
    ----------
    .. [1] Benjamini, Y. and Hochberg, Y. (1995). "Controlling the false discovery rate: a practical
       and powerful approach to multiple testing." Journal of the Royal Statistical Society B 57(1),
       289-300.

    Examples
    --------
    >>> from sklearn_codex.metrics import compare_slices
    >>> y, margin = [1, 0] * 60, [1.0, -1.0] * 30 + [1.0, 1.0] * 30
    >>> kind = ["easy"] * 60 + ["hard"] * 60
    >>> result = compare_slices(y, margin, {"kind": kind})
    >>> result.table.slice, result.table.accuracy.tolist()
    (['all', 'kind=easy', 'kind=hard'], [0.75, 1.0, 0.5])
    >>> result.tests.measure, result.tests.differs.tolist()
    (['accuracy', 'ties', 'accuracy', 'ties'], [True, False, True, False])
    """
    y = check_soft_labels(y_true, name="y_true", pos_label=pos_label)
    weight = check_weight(sample_weight, y)
    margin = None if margin is None else check_scores(margin, len(y))
    if length_difference is not None:
        length_difference = check_scores(length_difference, len(y), name="length_difference")
    codes = check_groups(groups, len(y))[0]
    measures = measures_of(
        y,
        margin,
        length_difference,
        weight > 0,
        inflation=CROSS_FITTED if cross_fitted else GIVEN,
    )
    parts = [
        Slice(name, mask, known & ~mask) for name, mask, known in _masks_and_known(slices, len(y))
    ]
    sizes = {"level": level, "min_pairs": int(min_pairs), "min_groups": int(min_groups)}
    rows, too_small = judge_slices(parts, measures, codes, weight, **sizes)
    return Bunch(
        table=_table([_all(measures, codes, weight), *rows], measures),
        tests=_tests(rows),
        too_small=Table(
            slice=[row["slice"] for row in too_small],
            n_pairs=np.array([row["n_pairs"] for row in too_small], dtype=int),
            n_groups=np.array([row["n_groups"] for row in too_small], dtype=int),
        ),
        level=float(level),
    )


def _masks_and_known(slices, n_pairs):
    """Return the name and mask of each slice, and of which pairs it is known whether they are."""
    found = []
    for name, values in slices.items() if isinstance(slices, Mapping) else [("", slices)]:
        masks = _slice_masks({name: values} if name else values, n_pairs)
        values = as_array(values, name="slices").tolist()
        known = np.array([not is_missing(value) for value in values], dtype=bool)
        found += [(title, mask, known) for title, mask in masks.items()]
    return found


def _all(measures, groups, weight):
    rows = weight > 0
    return {
        "slice": "all",
        "n_pairs": int(rows.sum()),
        "n_groups": len(np.unique(groups[rows])),
        **{name: measure.judge(rows, groups, weight) for name, measure in measures.items()},
    }


def _table(rows, measures):
    columns = {
        "slice": [row["slice"] for row in rows],
        "n_pairs": np.array([row["n_pairs"] for row in rows]),
        "n_groups": np.array([row["n_groups"] for row in rows]),
    }
    for name in measures:
        for title, end in ((name, "value"), (f"{name}_low", "low"), (f"{name}_high", "high")):
            ends = [np.nan if row[name] is None else getattr(row[name], end) for row in rows]
            columns[title] = np.array(ends, dtype=float)
    return Table(**columns)


def _tests(rows):
    tests = [(row["slice"], name, test) for row in rows for name, test in row["tests"].items()]
    numbers = {
        title: np.array([test[key] for _, _, test in tests], dtype=float)
        for title, key in (
            ("inside", "inside"),
            ("outside", "outside"),
            ("difference", "value"),
            ("low", "low"),
            ("high", "high"),
            ("p_value", "p_value"),
            ("adjusted", "adjusted"),
        )
    }
    return Table(
        slice=[title for title, _, _ in tests],
        measure=[name for _, name, _ in tests],
        **numbers,
        differs=np.array([test["differs"] for _, _, test in tests], dtype=bool),
    )
