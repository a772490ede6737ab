"""Accuracy by part of the pairs: slices, weighted sections, best of n."""

from collections.abc import Mapping, Sequence, Set
from numbers import Integral

import numpy as np
from sklearn.utils import Bunch
from sklearn.utils._param_validation import Interval, StrOptions, validate_params

from sklearn_codex._checks.frames import is_missing
from sklearn_codex._checks.groups import check_groups as check_group_of_each
from sklearn_codex._checks.groups import check_hashable
from sklearn_codex._checks.numbers import as_floats, check_weight
from sklearn_codex._checks.probabilities import as_array, check_soft_labels
from sklearn_codex._tables import Table
from sklearn_codex.metrics._checks import (
    ANY_LABEL,
    ARRAY,
    OPTIONAL_ARRAY,
    check_groups,
    check_length,
    check_scores,
)
from sklearn_codex.metrics._intervals import FORMULA_PARAMS, share_interval, warn_without_effect
from sklearn_codex.metrics._preferences import scored_pairs

_MOST_BINS = 2**20

# More levels than this are a number somebody forgot to bin.
MAX_LEVELS = 100


@validate_params(
    {"values": ARRAY, "n_bins": [Interval(Integral, 1, None, closed="left")], "name": [str]},
    prefer_skip_nested_validation=True,
)
def quantile_slices(values, n_bins=4, *, name="value"):
    """Cut pairs into bins of about equal size by a number, such as length difference or margin.

    Parameters
    ----------
    values : array-like of shape (n_pairs,)
        A number for each pair: differences of length, ``abs(margin)``, and so on.
    n_bins : int, default=4
        Number of bins; equal values share a bin, so there may be fewer.
    name : str, default="value"
        What the number is called.

    Returns
    -------
    slices : dict of str to ndarray of bool of shape (n_pairs,)
        Which pairs are in each bin, in increasing order, for :func:`accuracy_by_slice`. The names
        give the borders; each belongs to the bin below it.

    Examples
    --------
    >>> from sklearn_codex.metrics import quantile_slices
    >>> {name: mask.tolist() for name, mask in quantile_slices([5, 1, 9, 3], 2).items()}
    {'value [1, 4]': [False, True, False, True], 'value (4, 9]': [True, False, True, False]}
    """
    values = check_scores(values, None, name="values")
    if not len(values):
        raise ValueError("quantile_slices got no values. Pass at least one.")
    if n_bins > _MOST_BINS:
        raise ValueError(
            f"quantile_slices got n_bins={n_bins} for {len(values)} values, more than "
            f"{_MOST_BINS:,}. Take fewer."
        )
    edges = np.unique(np.quantile(values, np.linspace(0, 1, n_bins + 1)))
    bins = np.searchsorted(edges[1:-1], values)  # (n_pairs,)
    borders = edges if len(edges) > 1 else np.repeat(edges, 2)
    slices = {}
    for position in range(len(borders) - 1):
        bracket = "(" if position else "["
        low, high = borders[position : position + 2]
        slices[f"{name} {bracket}{low:g}, {high:g}]"] = bins == position
    return slices


@validate_params(
    {
        "y_true": ARRAY,
        "margin": ARRAY,
        "slices": [Mapping, "array-like"],
        "sample_weight": OPTIONAL_ARRAY,
        "ties": [StrOptions({"half", "exclude"})],
        "harden": ["boolean"],
        "pos_label": ANY_LABEL,
        **FORMULA_PARAMS,
    },
    prefer_skip_nested_validation=True,
)
def accuracy_by_slice(
    y_true,
    margin,
    slices,
    *,
    groups=None,
    sample_weight=None,
    ties="half",
    harden=False,
    pos_label=None,
    confidence_level=0.95,
    n_resamples="deprecated",
    random_state="deprecated",
):
    """Accuracy of all pairs and of parts of them, each with an interval.

    Parameters
    ----------
    y_true : array-like of shape (n_pairs,)
        Probability that A is preferred: 1, 0, 0.5 for a tie, or a soft label between.
    margin : array-like of shape (n_pairs,)
        Reward margins r(A) - r(B); 0 is a tie of the model.
    slices : mapping of str to array-like of shape (n_pairs,), or array-like of shape (n_pairs,)
        Boolean values are one slice. Other values (subsets, categories) are one slice for each
        level; None and NaN are in no slice. Numbers are cut with :func:`quantile_slices`, whose
        mappings join with ``|``. Slices may overlap.
    groups : array-like of shape (n_pairs,), default=None
        Prompt of each pair. None: pairs are independent.
    sample_weight : array-like of shape (n_pairs,), default=None
        Weights of pairs.
    ties : {"half", "exclude"}, default="half"
        As in :func:`preference_accuracy`.
    harden : bool, default=False
        As in :func:`preference_accuracy`.
    pos_label : label, default=None
        The class of ``y_true`` that means A is preferred. None: ``y_true`` holds probabilities.
    confidence_level : float, default=0.95
        Coverage aimed at, in each row by itself.
    n_resamples, random_state : object
        Have no effect, as intervals are formulas.

        .. deprecated:: 0.2
            Leave them out; they will be removed.

    Returns
    -------
    table : Table
        One row a slice, the first one for all pairs, with the columns ``slice`` (names), ``n``
        (pairs), ``accuracy``, ``low`` and ``high``. The interval is that of
        :func:`win_rate`. A slice in one group is as uncertain as one pair; an empty slice has NaN.
        Of a slice in fewer than 5 groups intervals cover less often than they say.

    Raises
    ------
    ValueError
        If a slice has not one value a pair, or too many levels.

    Examples
    --------
    >>> from sklearn_codex.metrics import accuracy_by_slice
    >>> table = accuracy_by_slice(
    ...     [1, 0, 1, 1], [0.5, -2.0, -0.1, 3.0], {"topic": ["code", "code", "chat", "chat"]}
    ... )
    >>> print(table)
    slice         n  accuracy    low   high
    all           4     0.750  0.301  0.954
    topic=chat    2     0.500  0.095  0.905
    topic=code    2     1.000  0.342  1.000
    """
    warn_without_effect("accuracy_by_slice", n_resamples=n_resamples, random_state=random_state)
    credits, weight, counts = scored_pairs(
        y_true, margin, sample_weight, ties=ties, harden=harden, pos_label=pos_label
    )
    masks = {"all": np.full(len(credits), True), **_slice_masks(slices, len(credits))}
    codes = None if groups is None else check_groups(groups, len(credits))[0]
    rows = []
    for mask in masks.values():
        kept = mask & counts & (weight > 0)
        interval = share_interval(
            credits[kept],
            weight[kept],
            None if codes is None else codes[kept],
            confidence_level=confidence_level,
        )
        rows.append((int(kept.sum()), *interval))
    n, accuracy, low, high = map(np.array, zip(*rows, strict=True))
    return Table(slice=list(masks), n=n, accuracy=accuracy, low=low, high=high)


def _slice_masks(slices, n_pairs):
    """Return names and masks (n_pairs,) of slices."""
    if not isinstance(slices, Mapping):
        return _level_masks("", as_array(slices, name="slices"), n_pairs)
    masks = {}
    for name, values in slices.items():
        values = as_array(values, name=f"slices[{name!r}]")
        if values.dtype.kind == "b":
            check_length(values, n_pairs, f"slices[{name!r}]")
            masks[str(name)] = values
        else:
            masks |= _level_masks(str(name), values, n_pairs)
    return masks


def _level_masks(name, values, n_pairs):
    subject = f"slices[{name!r}]" if name else "slices"
    if values.ndim != 1:
        raise ValueError(f"{subject} should have shape (n_pairs,), got {values.shape}.")
    check_length(values, n_pairs, subject)
    levels = {value for value in values.tolist() if not is_missing(value)}
    if len(levels) > MAX_LEVELS:
        raise ValueError(
            f"{subject} has {len(levels)} levels, more than {MAX_LEVELS}. Cut numbers into bins "
            "with quantile_slices."
        )
    try:
        ordered = sorted(levels)
    except TypeError:
        ordered = sorted(levels, key=str)
    position = {level: index for index, level in enumerate(ordered)}
    codes = np.array([-1 if is_missing(value) else position[value] for value in values.tolist()])
    return {
        (f"{name}={level}" if name else str(level)): codes == index
        for level, index in position.items()
    }


@validate_params(
    {
        "correct": ARRAY,
        "subset": ARRAY,
        "sections": [Mapping],
        "weights": [Mapping, None],
        "sample_weight": OPTIONAL_ARRAY,
    },
    prefer_skip_nested_validation=True,
)
def sectioned_accuracy(correct, subset, sections, weights=None, *, sample_weight=None):
    r"""Accuracy as benchmarks of reward models report it: subsets, sections, one overall number.

    Parameters
    ----------
    correct : array-like of shape (n_pairs,)
        1 where the model is right, 0 where it is wrong, or points between.
    subset : array-like of shape (n_pairs,)
        Name of the subset that each pair is from.
    sections : mapping of str to sequence
        The subsets of each section.
    weights : mapping of str to float, default=None
        Weights of sections; those not named, or all with None, weigh 1.
    sample_weight : array-like of shape (n_pairs,), default=None
        Weights of pairs, where a subset is to count as more or fewer pairs than it has.

    Returns
    -------
    result : Bunch
        ``overall`` (float), ``sections`` (Table with the columns ``section``, ``n``, ``accuracy``,
        ``weight``) and ``subsets`` (Table with ``subset``, ``section``, ``n``, ``accuracy``).

    Raises
    ------
    ValueError
        If a pair's subset is in no section, a section has no pair, a subset is in two sections, or
        a weight names no section or is negative.

    Notes
    -----
    Within a section pairs count alike, whatever their subset; over sections means are averaged
    [1]_. With the pairs S_k of section k and its weight w_k,

    .. math::
        \text{overall} = \frac{1}{\sum_k w_k} \sum_k w_k
        \frac{\sum_{i \in S_k} s_i c_i}{\sum_{i \in S_k} s_i}.

    References
    ----------
    .. [1] Lambert, N. et al. (2024). "RewardBench: evaluating reward models for language modeling."
       arXiv:2403.13787.

    Examples
    --------
    >>> from sklearn_codex.metrics import sectioned_accuracy
    >>> result = sectioned_accuracy(
    ...     [1, 1, 0, 1, 0],
    ...     ["easy", "hard", "hard", "java", "java"],
    ...     {"chat": ["easy", "hard"], "code": ["java"]},
    ... )
    >>> print(result.sections)
    section  n  accuracy  weight
    chat     3     0.667   1.000
    code     2     0.500   1.000
    >>> round(result.overall, 3)
    0.583
    """
    correct = check_soft_labels(correct, name="correct")
    subset = check_group_of_each(subset, len(correct), name="subset")
    weight = check_weight(sample_weight, correct)
    section_of = _section_of_subsets(subset, sections)
    section = np.array([section_of[name] for name in subset.tolist()], dtype=object)
    section_weight = _section_weights(sections, weights)
    by_section = _means_by(section, list(sections), correct, weight)
    by_subset = _means_by(subset, [name for name in section_of if name in subset], correct, weight)
    overall = float(np.average(by_section.accuracy, weights=section_weight))
    return Bunch(
        overall=overall,
        sections=Table(section=by_section.pop("level"), **by_section, weight=section_weight),
        subsets=Table(
            subset=by_subset.level,
            section=[section_of[name] for name in by_subset.level],
            n=by_subset.n,
            accuracy=by_subset.accuracy,
        ),
    )


def _section_of_subsets(subset, sections):
    section_of: dict[object, object] = {}
    for section, names in sections.items():
        is_list = isinstance(names, (str, Sequence, Set, np.ndarray))
        if not is_list or getattr(names, "ndim", 1) == 0:
            raise ValueError(
                f"sections should map each section to a list of subsets, but that of {section!r} "
                f"is a {type(names).__name__}: {names!r:.60}."
            )
        check_hashable([names] if isinstance(names, str) else names, f"sections[{section!r}]")
        for name in [names] if isinstance(names, str) else names:
            if name in section_of:
                raise ValueError(
                    f"Subset {name!r} is in the sections {section_of[name]!r} and {section!r}; it "
                    "should be in one."
                )
            section_of[name] = section
    unknown = sorted(set(subset.tolist()) - set(section_of), key=str)
    if unknown:
        raise ValueError(f"The subsets {unknown} are in no section. Add them to sections.")
    return section_of


def _section_weights(sections, weights):
    """Return the weight (n_sections,) of each section."""
    weights = {} if weights is None else weights
    unknown = [name for name in weights if name not in sections]
    if unknown:
        raise ValueError(f"weights name {unknown}, but the sections are {list(sections)}.")
    values = as_floats(
        [weights.get(name, 1.0) for name in sections], "weights", subject="sectioned_accuracy"
    )
    if not ((values >= 0) & np.isfinite(values)).all() or not values.any():
        raise ValueError(
            "weights of sections should be finite, non-negative and not all 0, got "
            f"{dict(weights)}."
        )
    return values


def _means_by(labels, levels, values, weight):
    """Return n and the weighted mean of the values with each label."""
    n, means = [], []
    for level in levels:
        rows = (labels == level) & (weight > 0)
        if not rows.any():
            raise ValueError(f"{level!r} has no pair of positive weight. Leave it out.")
        n.append(int(rows.sum()))
        means.append(float(np.average(values[rows], weights=weight[rows])))
    return Bunch(level=levels, n=np.array(n), accuracy=np.array(means))


@validate_params(
    {
        "scores": ARRAY,
        "best": ["array-like", Integral],
        "sample_weight": OPTIONAL_ARRAY,
    },
    prefer_skip_nested_validation=True,
)
def best_of_n_accuracy(scores, best=0, *, sample_weight=None):
    r"""Share of prompts whose best response has the greatest score, shared among ties.

    Parameters
    ----------
    scores : array-like of shape (n_prompts, k)
        Rewards of the k responses to each prompt; NaN where there are fewer.
    best : int, or array-like of shape (n_prompts,) or (n_prompts, k), default=0
        Which response is the best: one column for all prompts, one for each, or gold scores of all
        responses, the greatest of which, possibly several, are best.
    sample_weight : array-like of shape (n_prompts,), default=None
        Weights of prompts.

    Returns
    -------
    accuracy : float
        In [0, 1]; chance has 1 / k.

    Raises
    ------
    ValueError
        If a column does not exist, or a prompt has no score, or its best response has none.

    Notes
    -----
    A prompt gives the share of its top-scored responses that are among the best ones [1]_: with t
    responses tied at the top, one of them the best, 1 / t.

    References
    ----------
    .. [1] Malik, S. et al. (2025). "RewardBench 2: advancing reward model evaluation."
       arXiv:2506.01937.

    Examples
    --------
    >>> from sklearn_codex.metrics import best_of_n_accuracy
    >>> best_of_n_accuracy([[3.0, 1.0, 2.0], [1.0, 1.0, 0.0], [0.0, 2.0, 1.0]])
    0.5
    """
    scores = as_floats(scores, "scores", subject="best_of_n_accuracy")
    if scores.ndim != 2 or 0 in scores.shape:
        raise ValueError(f"scores should have shape (n_prompts, k), got {scores.shape}.")
    present = ~np.isnan(scores)  # (n_prompts, k)
    without = np.flatnonzero(~present.any(axis=1))
    if len(without):
        raise ValueError(f"Prompt {without[0]} has no score: all are NaN. Drop it.")
    weight = check_weight(sample_weight, scores)
    top = _at_maximum(np.where(present, scores, -np.inf)) & present
    is_best = _best_responses(as_array(best, name="best"), scores.shape)
    missing = np.flatnonzero(~(is_best & present).any(axis=1))
    if len(missing):
        raise ValueError(f"The best response of prompt {missing[0]} has no score. Drop the prompt.")
    credits = (top & is_best).sum(axis=1) / top.sum(axis=1)
    return float(np.average(credits, weights=weight))


def _at_maximum(scores):
    return scores == scores.max(axis=1, keepdims=True)


def _best_responses(best, shape):
    """Return which responses (n_prompts, k) are the best."""
    n_prompts, k = shape
    if best.ndim == 2:
        if best.shape != shape:
            raise ValueError(f"Gold scores should have the shape of scores, {shape}: {best.shape}.")
        best = as_floats(best, "best", subject="best_of_n_accuracy")
        gold = np.where(np.isnan(best), -np.inf, best)
        return _at_maximum(gold)
    if best.ndim > 2 or best.dtype.kind not in "iu":
        raise ValueError(
            "best should be a column, a column for each prompt, or gold scores of shape "
            f"(n_prompts, k), got shape {best.shape} of dtype {best.dtype}."
        )
    if best.ndim == 1:
        check_length(best, n_prompts, "best")
    if (best < 0).any() or (best >= k).any():
        raise ValueError(f"best should name columns from 0 to {k - 1}, got {best.tolist()!r}.")
    return np.arange(k) == np.broadcast_to(best, n_prompts)[:, np.newaxis]
