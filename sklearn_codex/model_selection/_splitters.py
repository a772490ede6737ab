"""Splitters that know records: every kind on each side, a prompt on one side only."""

import warnings
from numbers import Integral, Real

import numpy as np
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils import _safe_indexing, check_random_state
from sklearn.utils._param_validation import Interval, validate_params

from sklearn_codex._categorical import IntArray
from sklearn_codex._data.records import KINDS, Records, check_records

__all__ = ["RecordKFold", "record_train_test_split"]


class RecordKFold(BaseCrossValidator):
    """K-fold for records: every kind in every fold, a prompt in one fold only.

    Plain ``KFold`` can leave a fold without preferences, and puts the demonstration and the
    preferences of one prompt on both sides, so that a held-out score is too good.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds, at least 2.
    shuffle : bool, default=False
        Whether to take the prompts in random order; else the folds depend on X alone.
    random_state : int, RandomState instance or None, default=None
        Source of that order. Give an int for folds that can be repeated.

    See Also
    --------
    record_train_test_split : One split into two sides.
    sklearn.model_selection.StratifiedGroupKFold : Balances classes over groups, without the
        promise that each class is in each fold.

    Notes
    -----
    The rows of one prompt are a group, whatever their kinds; prompts that differ by blanks only are
    one prompt; a corpus text and a record without a prompt are groups of their own. Groups are
    dealt in rounds of `n_splits`, one to each fold, larger groups to smaller folds. The rounds of
    groups that hold demonstrations and preferences come first; those with demonstrations alone and
    those with preferences alone both fill up the last round of these, so that the groups of either
    kind are complete rounds but for the last one. Hence a kind is in every fold as soon as it has
    `n_splits` groups, and its numbers of groups in two folds differ by at most one.

    Examples
    --------
    >>> from sklearn_codex.model_selection import RecordKFold
    >>> records = [{"text": "a"}, {"text": "b"}]
    >>> records += [{"prompt": p, "completion": "c"} for p in ("p", "q")]
    >>> records += [{"prompt": p, "chosen": "c", "rejected": "d"} for p in ("q", "p")]
    >>> for train, test in RecordKFold(2).split(records):
    ...     print(train, test)
    [1 3 4] [0 2 5]
    [0 2 5] [1 3 4]
    """

    def __init__(self, n_splits=5, *, shuffle=False, random_state=None):
        if not isinstance(n_splits, Integral) or n_splits < 2:
            raise ValueError(f"RecordKFold needs n_splits, an int of at least 2, got {n_splits!r}.")
        if not isinstance(shuffle, bool):
            raise TypeError(f"RecordKFold needs shuffle to be True or False, got {shuffle!r}.")
        if not shuffle and random_state is not None:
            raise ValueError(
                f"RecordKFold got random_state={random_state!r}, which has no effect with "
                "shuffle=False. Leave it at None, or set shuffle=True."
            )
        self.n_splits = n_splits
        self.shuffle = shuffle
        self.random_state = random_state

    def split(self, X, y=None, groups=None):
        """Generate the positions of the records of each side.

        Parameters
        ----------
        X : list of dict, array of dict, or DataFrame of length n_records
            Records.
        y : None
            Ignored, present for the scikit-learn API.
        groups : None
            Ignored: the prompts are the groups.

        Yields
        ------
        train : ndarray of int of shape (n_train,)
            Ascending positions of training records.
        test : ndarray of int of shape (n_test,)
            Ascending positions of the fold.

        Raises
        ------
        ValueError
            If a kind of record that X holds has fewer prompts than there are folds.
        """
        if groups is not None:
            warnings.warn(
                "RecordKFold ignores groups: the prompts of the records are the groups.",
                UserWarning,
                stacklevel=2,
            )
        fold = self._assign_folds(check_records(X, subject=type(self).__name__))
        for index in range(self.n_splits):
            yield np.flatnonzero(fold != index), np.flatnonzero(fold == index)

    def get_n_splits(self, X=None, y=None, groups=None):
        """Return the number of folds.

        Parameters
        ----------
        X, y, groups : object
            Ignored, present for the scikit-learn API.

        Returns
        -------
        n_splits : int
        """
        return self.n_splits

    def _assign_folds(self, records: Records) -> IntArray:
        """Return the fold (n_records,) of each record."""
        group = _group_by_prompt(records)
        _check_groups(records, group, int(self.n_splits), f"RecordKFold(n_splits={self.n_splits})")
        size = np.bincount(group)
        both, demonstration, preference, corpus = _sort_groups(records, group)
        rng = check_random_state(self.random_state) if self.shuffle else None
        fold = np.empty(len(size), dtype=np.intp)
        load = np.zeros(self.n_splits)
        begun = _deal(both, size, fold, load, begun=(), rng=rng)
        _deal(demonstration, size, fold, load, begun=begun, rng=rng)
        _deal(preference, size, fold, load, begun=begun, rng=rng)
        _deal(corpus, size, fold, load, begun=(), rng=rng)
        return fold[group]


@validate_params(
    {
        "X": "no_validation",
        "test_size": [Interval(Real, 0, 1, closed="neither")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def record_train_test_split(X, *, test_size=0.25, random_state=None):
    """Split records by prompt into two sides that each hold every kind.

    Parameters
    ----------
    X : list of dict, array of dict, or DataFrame of length n_records
        Records.
    test_size : float, default=0.25
        Share of the prompts (of the texts, for the corpus) that goes to the test side, of each
        kind, rounded so that neither side is left without one. Between 0 and 1.
    random_state : int, RandomState instance or None, default=None
        Source of the draw. Give an int for a split that can be repeated.

    Returns
    -------
    train, test : same type as X, list for a tuple
        Records of the two sides, in the order they had.

    Raises
    ------
    ValueError
        If a kind of record that X holds has a single prompt.

    Examples
    --------
    >>> from sklearn_codex.model_selection import record_train_test_split
    >>> records = [{"prompt": p, "completion": "c"} for p in "abcd"]
    >>> train, test = record_train_test_split(records, random_state=0)
    >>> len(train), len(test)
    (3, 1)
    """
    records = check_records(X, subject="record_train_test_split")
    group = _group_by_prompt(records)
    _check_groups(records, group, 2, "record_train_test_split")
    rng = check_random_state(random_state)
    sorts = [rng.permutation(groups) for groups in _sort_groups(records, group)]
    both, demonstration, preference, corpus = (len(groups) for groups in sorts)
    n_both = _share(test_size, both, 0, alone=not (demonstration and preference))
    n_test = (
        n_both,
        _share(test_size, demonstration, both, n_both),
        _share(test_size, preference, both, n_both),
        _share(test_size, corpus),
    )
    drawn = np.concatenate([groups[:n] for groups, n in zip(sorts, n_test, strict=True)])
    is_test = np.isin(group, drawn)
    train, test = np.flatnonzero(~is_test), np.flatnonzero(is_test)
    return _safe_indexing(X, train), _safe_indexing(X, test)


def _share(test_size, n_groups, n_both=0, n_both_test=0, *, alone=True):
    """Return how many of some groups go to the test side.

    With the `n_both` groups of two kinds, of which `n_both_test` go there, they are all groups of
    one kind; `alone` says that neither side may be left without one of them.
    """
    total = n_groups + n_both
    wanted = round(test_size * total)
    if alone and total:
        wanted = min(max(wanted, 1), total - 1)
    return min(max(wanted - n_both_test, 0), n_groups)


def _group_by_prompt(records: Records) -> IntArray:
    """Return the group (n_records,) of each record: its prompt, or itself."""
    keys: dict[object, int] = {}
    group = np.empty(len(records), dtype=np.intp)
    for position, (kind, prompt) in enumerate(zip(records.kind, records.prompt, strict=True)):
        key: object = position
        if prompt is not None and kind != "corpus":
            key = " ".join(prompt.split())
        group[position] = keys.setdefault(key, len(keys))
    return group


def _check_groups(records: Records, group: IntArray, n_sides: int, subject: str) -> None:
    """Raise where a kind has fewer groups than there are sides that need one."""
    for kind in KINDS:
        rows = records.rows(kind)
        n_groups = len(np.unique(group[rows]))
        if 0 < n_groups < n_sides:
            unit = "texts" if kind == "corpus" else "different prompts"
            raise ValueError(
                f"{subject} keeps every kind of record on each side, so it needs at least "
                f"{n_sides} {unit} of each kind, got {n_groups} in {len(rows)} {kind} records. "
                f"Use fewer folds, or add {kind} records."
            )


def _sort_groups(records: Records, group: IntArray) -> tuple[IntArray, ...]:
    """Return the groups that hold demonstrations and preferences, either alone, or corpus."""
    demonstration = np.unique(group[records.rows("demonstration")])
    preference = np.unique(group[records.rows("preference")])
    return (
        np.intersect1d(demonstration, preference),
        np.setdiff1d(demonstration, preference),
        np.setdiff1d(preference, demonstration),
        np.unique(group[records.rows("corpus")]),
    )


def _deal(groups, size, fold, load, *, begun, rng):
    """Deal groups to folds in rounds, one to each fold, and return the folds of the last round.

    Parameters
    ----------
    groups : ndarray of int
        Groups to deal.
    size : ndarray of int of shape (n_all_groups,)
        Records in each group.
    fold : ndarray of int of shape (n_all_groups,)
        Fold of each group; written here.
    load : ndarray of shape (n_folds,)
        Records in each fold; written here.
    begun : collection of int
        Folds that have had their group of the first round.
    rng : RandomState or None
        Order of groups of equal size; None keeps the order they have.

    Returns
    -------
    begun : set of int
        Folds that have had their group of the last round.
    """
    if rng is not None:
        groups = rng.permutation(groups)
    groups = groups[np.argsort(-size[groups], kind="stable")]
    begun = set(begun)
    while len(groups):
        if len(begun) == len(load):
            begun = set()
        waiting = np.array([index for index in range(len(load)) if index not in begun])
        waiting = waiting[np.argsort(load[waiting], kind="stable")][: len(groups)]
        dealt, groups = groups[: len(waiting)], groups[len(waiting) :]
        fold[dealt] = waiting
        load[waiting] += size[dealt]
        begun.update(waiting.tolist())
    return begun
