"""Dask collections: which they are, their partitions, and tree sums over them.

What is learned by sums (token counts, gradients, Hessian products) is learned from the partitions
of a dask bag or array where they are. A task is a function of a partition and of small arguments
and leaves nothing behind, so one that is lost with its worker is computed again. Nothing here
imports dask before a collection has come, which brings it along.
"""

import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial, reduce, wraps
from numbers import Number
from operator import add
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted, column_or_1d

# Results of this many tasks are combined by one: few enough to be held, enough for a flat tree.
FAN_IN = 8


def is_collection(X: Any) -> bool:
    """Return whether X is a dask collection of any kind."""
    return hasattr(type(X), "__dask_graph__")


def _is_array(X):
    # Of the type: a delayed object says yes to any name.
    return hasattr(type(X), "rechunk")


def holds_text(X: Any) -> bool:
    """Return whether a dask collection is of text: a bag, or an array of other than numbers."""
    return not (_is_array(X) and X.dtype.kind in "biufc")


def stand_in(X: Any, *, subject: str) -> np.ndarray:
    """Return a row of zeros that has the columns of a dask array of numbers, to check these by.

    Raises
    ------
    ValueError
        If dask does not know how many columns there are.
    """
    if np.isnan(X.shape[1:]).any():
        raise ValueError(
            f"{subject} needs a dask array whose number of columns is known, got one of shape "
            f"{X.shape}. Call X.compute_chunk_sizes() first, or give da.from_delayed the shape. "
            "How many rows there are need not be known."
        )
    return np.zeros((1, *X.shape[1:]))


def split(X: Any, *, subject: str) -> list:
    """Return the partitions of a dask bag or array, blocks of whole rows, as delayed objects.

    Raises
    ------
    TypeError
        If X is another collection of dask.
    """
    if _is_array(X):
        axes = range(1, X.ndim)
        whole = X.rechunk(dict.fromkeys(axes, -1)) if any(X.numblocks[i] > 1 for i in axes) else X
        return whole.to_delayed().ravel().tolist()
    if hasattr(type(X), "pluck"):
        return X.to_delayed()
    raise TypeError(
        f"{subject} takes dask bags and arrays, got a dask {type(X).__name__}. Pass a bag of "
        "texts (series.to_bag()), a bag of tuples (frame.to_bag()), or an array of numbers "
        "(frame.to_dask_array())."
    )


def split_rows(X: Any, *, subject: str, **columns: Any) -> tuple[list, ...]:
    """Return the partitions of X, and what belongs to the rows of each, such as labels or weights.

    Parameters
    ----------
    X : dask bag or array
    subject : str
        Who asks, for messages.
    **columns : dask bags or arrays, array-likes of shape (n_rows,), numbers or None
        By name. A collection needs the partitions of X; an array in memory is cut to them, for
        which the rows of a bag are counted; a number or None goes to every partition.

    Returns
    -------
    parts, *pieces : lists of length n_partitions
    """
    parts = split(X, subject=subject)
    lengths: list[int] = []
    pieces: list[list] = []
    for name, values in columns.items():
        if values is None or isinstance(values, Number):
            pieces.append([values] * len(parts))
        elif is_collection(values):
            pieces.append(_split_alike(values, X, len(parts), name, subject))
        else:
            values = column_or_1d(values)
            lengths = lengths or _row_counts(X, parts)
            if len(values) != sum(lengths):
                raise ValueError(
                    f"{subject} got {len(values)} values of {name} for {sum(lengths)} rows of X. "
                    "Pass one for each row."
                )
            pieces.append(np.split(values, np.cumsum(lengths)[:-1]))
    return parts, *pieces


def _split_alike(values, X, n_parts, name, subject):
    if _is_array(X) and _is_array(values) and values.shape == X.shape[:1]:
        values = values.rechunk((X.chunks[0],))
    pieces = split(values, subject=subject)
    if len(pieces) != n_parts:
        raise ValueError(
            f"{subject} got {name} of {len(pieces)} partitions for X of {n_parts}. Make both from "
            f"one collection, such as rows.pluck(0) and rows.pluck(1), or pass {name} as an array "
            "in memory."
        )
    return pieces


def _row_counts(X, parts):
    """Return the number of rows of each partition, by a pass over the data if need be."""
    if _is_array(X) and not np.isnan(X.chunks[0]).any():
        return list(X.chunks[0])
    from dask import delayed

    return list(_compute(*[delayed(_count_rows, pure=False)(part) for part in parts]))


def _count_rows(part):
    return part.shape[0] if hasattr(part, "shape") else sum(1 for _ in part)


def _load(part):
    """Return the rows of a partition: an array as it is, the items of a bag as a list."""
    return part if hasattr(part, "shape") or part is None else list(part)


def _compute(*delayed):
    import dask

    with _large_graphs():
        return dask.compute(*delayed)


def _large_graphs():
    """Keep dask from warning of graphs above 10 MB as if they held data: they hold models, O(V)."""
    import dask

    if "distributed" not in sys.modules:  # whose import inside would lose its configuration
        return nullcontext()
    return dask.config.set({"distributed.admin.large-graph-warning-threshold": "4GiB"})


def _as_node(function):
    """Make a function one node of the graph: what is bound to it is sent once, not per task."""
    from dask import delayed

    return delayed(function, pure=False, traverse=False)


def _call_on_rows(function, part, *others):
    rows, values = _load(part), [_load_values(other) for other in others]
    if _count_rows(rows):
        return function(rows, *values)
    for value in values:
        if value is not None and not isinstance(value, Number) and _count_rows(value):
            raise ValueError(
                f"A partition of X has 0 rows and {_count_rows(value)} labels, weights or other "
                "values of rows. Make both from one collection, such as rows.pluck(0) and "
                "rows.pluck(1)."
            )
    return None


def _load_values(values):
    return values if values is None or isinstance(values, Number) else _load(values)


def keep_partitions(function: Callable, *columns: Sequence) -> list:
    """Return delayed results of a function of each partition, kept where the partitions are.

    On a cluster they are held by the workers, and computed again from their partitions where a
    worker is lost; without one dask holds them in this process. A partition without rows gives
    None.
    """
    import dask

    call = _as_node(partial(_call_on_rows, function))
    results = [call(*row) for row in zip(*columns, strict=True)]
    with _large_graphs():
        return list(dask.persist(*results))


def sum_tuples(results: Sequence[tuple]) -> tuple:
    """Return the sums of tuples, member by member."""
    return tuple(reduce(add, members) for members in zip(*results, strict=True))


def reduce_partitions(
    function: Callable, *columns: Sequence, combine: Callable[[list], Any] = sum_tuples
) -> Any:
    """Return the combined results of a function of each partition, by tree reduction.

    Parameters
    ----------
    function : callable
        Called with the rows of a partition and what belongs to them. Not called where there are no
        rows.
    *columns : sequences of length n_partitions
        Partitions, and what belongs to each.
    combine : callable, default=sum_tuples
        Turns a list of results into one. The tree depends on the number of partitions alone, so
        the result is the same bits wherever the tasks ran.

    Returns
    -------
    result : object or None
        None if no partition has rows.
    """
    call = _as_node(partial(_call_on_rows, function))
    return _reduce([call(*row) for row in zip(*columns, strict=True)], combine)


def reduce_kept(function: Callable, kept: Sequence, *, combine: Callable = sum_tuples) -> Any:
    """Return the combined results of a function of each object of :func:`keep_partitions`."""
    call = _as_node(partial(_call_on_object, function))
    return _reduce([call(thing) for thing in kept], combine)


def _call_on_object(function, thing):
    return None if thing is None else function(thing)


def _reduce(results, combine):
    merge = _as_node(partial(_merge, combine))
    while len(results) > 1:
        results = [merge(results[at : at + FAN_IN]) for at in range(0, len(results), FAN_IN)]
    return _compute(results[0])[0]


def _merge(combine, results):
    present = [result for result in results if result is not None]
    return combine(present) if present else None


def make_bag(function: Callable, X: Any, *, subject: str) -> Any:
    """Return a dask bag of the lists that a function makes of each partition's rows."""
    import dask.bag as db

    call = _as_node(partial(_map_rows, function, []))
    return db.from_delayed([call(part) for part in split(X, subject=subject)])


def map_partitions(function: Callable, X: Any, *, empty: Any, subject: str) -> Any:
    """Return a dask array of a function of each partition, computed when it is asked for.

    Parameters
    ----------
    function : callable
        Turns the rows of a partition into as many rows of an array.
    X : dask bag or array
    empty : ndarray or csr_array of shape (0,) or (0, n_columns)
        What no rows give.
    subject : str
        Who asks, for messages.

    Returns
    -------
    rows : dask array of shape (n_rows,) or (n_rows, n_columns)
        With the chunks of X where they are known; those of a bag never are.
    """
    import dask.array as da

    parts = split(X, subject=subject)
    lengths = X.chunks[0] if _is_array(X) else [np.nan] * len(parts)
    call = _as_node(partial(_map_rows, function, empty))
    blocks = [
        da.from_delayed(call(part), shape=(length, *empty.shape[1:]), meta=empty)
        for part, length in zip(parts, lengths, strict=True)
    ]
    return da.concatenate(blocks)


def _map_rows(function, empty, part):
    result = _call_on_rows(function, part)
    return empty if result is None else result


def _no_numbers(_):
    return np.empty(0)


def on_dask(other: Callable) -> Callable:
    """Make a method of rows another function, with the same arguments, for a dask collection."""

    def decorate(method):
        @wraps(method)
        def call(self, X, *args, **kwargs):
            return (other if is_collection(X) else method)(self, X, *args, **kwargs)

        return call

    return decorate


def lazy_on_dask(
    empty: Callable[[Any], Any] = _no_numbers, *, of_each_vector: bool = False
) -> Callable:
    """Make a method of rows return, for a dask collection, a dask array of its partitions' results.

    Parameters
    ----------
    empty : callable, default=one that returns an array of shape (0,) and float64
        Given the fitted estimator, returns what the method would for no rows.
    of_each_vector : bool, default=False
        Whether rows of k vectors, a dask array (n_rows, k, V), have k numbers each.
    """

    def decorate(method):
        def lazy(self, X):
            check_is_fitted(self)
            no_rows = empty(self)
            if of_each_vector and getattr(X, "ndim", 0) == 3:
                no_rows = np.empty((0, X.shape[1]))
            return map_partitions(
                partial(method, self), X, empty=no_rows, subject=type(self).__name__
            )

        return on_dask(lazy)(method)

    return decorate


def reader_of(estimator: Any, *names: str) -> Any:
    """Return an estimator with the same parameters and some attributes: what tasks read data with.

    It leaves behind all that reading does not need, such as callbacks, which do not travel.
    """
    reader = type(estimator)(**estimator.get_params(deep=False))
    known = vars(estimator)
    vars(reader).update({name: known[name] for name in names if name in known})
    return reader
