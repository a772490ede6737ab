"""Splitters that know records: every kind on each side, a prompt on one side only."""

import warnings
from itertools import combinations
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils import _safe_indexing, check_random_state
from sklearn.utils._param_validation import Interval, validate_params

from sklearn_codex._categorical import IntArray
from sklearn_codex._data.records import KINDS, Records, check_records
from sklearn_codex._stage import RecordKind

__all__ = ["RecordKFold", "record_train_test_split"]

Kinds = tuple[RecordKind, ...]

# The kinds that a group can hold: those of which records have prompts, and texts.
_PROMPTED: Kinds = ("demonstration", "preference", "candidates", "unpaired")
_SORTS: list[Kinds] = [
    *(kinds for n in (4, 3, 2, 1) for kinds in combinations(_PROMPTED, n)),
    ("corpus",),
]


class RecordKFold(BaseCrossValidator):
    """K-fold for records: every kind in every fold, a prompt in one fold only.

    Plain ``KFold`` can leave a fold without preferences, and puts the demonstration, the
    preferences and all else of one prompt on both sides, so that a held-out score is too
    good.

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
    dealt one after the other, those of most kinds first, larger ones before smaller, each to the
    fold that has the fewest groups of its kinds, of these to the one with the fewest records. Hence
    a kind is in every fold as soon as it has `n_splits` groups, and its numbers of groups in two
    folds differ by at most one. Where demonstrations, preferences and others share prompts two
    by two there may be no such folds; if one is without a kind, that is an error.

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
            If a kind of record that X holds has fewer prompts than there are folds, or shares them
            with others so that it is not in every fold.
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
        rng = check_random_state(self.random_state) if self.shuffle else None
        fold = _deal(_sort_groups(records, group), size, int(self.n_splits), rng)[group]
        _check_sides(records, fold, int(self.n_splits), f"RecordKFold(n_splits={self.n_splits})")
        return fold


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
        If a kind of record that X holds has a single prompt, or shares its prompts with others so
        that it is not on both sides.

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
    sorts = [(kinds, rng.permutation(groups)) for kinds, groups in _sort_groups(records, group)]
    drawn = [groups[:n] for (_, groups), n in zip(sorts, _share(sorts, test_size), strict=True)]
    is_test = np.isin(group, np.concatenate(drawn))
    _check_sides(records, is_test, 2, "record_train_test_split")
    train, test = np.flatnonzero(~is_test), np.flatnonzero(is_test)
    return _safe_indexing(X, train), _safe_indexing(X, test)


def _share(sorts: list[tuple[Kinds, IntArray]], test_size: float) -> list[int]:
    """Return how many groups of each sort go to the test side.

    Neither side shall be without a kind, and what the last sort of a kind gets makes its share
    right. A sort of several kinds leaves to later ones what these can still do.
    """
    total = dict.fromkeys(KINDS, 0)
    for kinds, groups in sorts:
        for kind in kinds:
            total[kind] += len(groups)
    rest, taken, shares = dict(total), dict.fromkeys(KINDS, 0), []
    for kinds, groups in sorts:
        for kind in kinds:
            rest[kind] -= len(groups)
        n = round(test_size * len(groups))
        if len(kinds) == 1:
            n = round(test_size * total[kinds[0]]) - taken[kinds[0]]
        n = min(n, *(total[kind] - 1 - taken[kind] for kind in kinds))
        n = max(n, *(1 - taken[kind] - rest[kind] for kind in kinds))
        shares.append(min(max(n, 0), len(groups)))
        for kind in kinds:
            taken[kind] += shares[-1]
    return shares


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


def _check_sides(records: Records, side: NDArray[Any], n_sides: int, subject: str) -> None:
    """Raise where a side is without a kind, though each has groups enough."""
    for kind in KINDS:
        rows = records.rows(kind)
        if rows.size and len(np.unique(side[rows])) < n_sides:
            raise ValueError(
                f"{subject} keeps every kind of record on each side, but {kind} records share "
                "their prompts with records of other kinds so that one side has none. Use fewer "
                f"folds or another random_state, or add {kind} records of other prompts."
            )


def _sort_groups(records: Records, group: IntArray) -> list[tuple[Kinds, IntArray]]:
    """Return the groups by the kinds that they hold, those of most kinds first, corpus last."""
    holds = np.array([np.isin(np.arange(group.max() + 1), group[records.rows(k)]) for k in KINDS])
    sorts = []
    for kinds in _SORTS:
        groups = np.flatnonzero((holds == np.isin(KINDS, kinds)[:, np.newaxis]).all(axis=0))
        if groups.size:
            sorts.append((kinds, groups))
    return sorts


def _deal(
    sorts: list[tuple[Kinds, IntArray]],
    size: IntArray,
    n_folds: int,
    rng: np.random.RandomState | None,
) -> IntArray:
    """Return the fold (n_groups,) of each group.

    Parameters
    ----------
    sorts : list of (kinds, groups)
        Groups by the kinds that they hold, in the order in which they are dealt.
    size : ndarray of int of shape (n_groups,)
        Records in each group.
    n_folds : int
        How many folds.
    rng : RandomState or None
        Order of groups of equal size; None keeps the order they have.
    """
    fold = np.empty(len(size), dtype=np.intp)
    load = np.zeros(n_folds)
    has = {kind: np.zeros(n_folds, dtype=np.intp) for kind in KINDS}
    for kinds, groups in sorts:
        if rng is not None:
            groups = rng.permutation(groups)
        for own in groups[np.argsort(-size[groups], kind="stable")].tolist():
            held = np.sum([has[kind] for kind in kinds], axis=0)
            chosen = np.lexsort((load, held))[0]
            fold[own] = chosen
            load[chosen] += size[own]
            for kind in kinds:
                has[kind][chosen] += 1
    return fold
