"""Data frames of any library that narwhals knows: pandas, polars, pyarrow and others.

narwhals comes with scikit-learn. No other room asks which library a frame is of.
"""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
from narwhals.exceptions import DuplicateError
from sklearn import config_context

_OTHERS = (np.ndarray, list, tuple)  # told at once
# For what reads what transformers make: transform_output is about what a user reads.
as_arrays = config_context(transform_output="default")

_FLOATS_AND_TIMES = (float, np.floating, np.datetime64, np.timedelta64)


def is_frame(X: Any, subject: str | None = None) -> bool:
    """Return whether X is a data frame in memory.

    Where a subject asks, a query, such as a LazyFrame, is a TypeError: it holds no data yet.
    """
    if isinstance(X, _OTHERS):
        return False
    if nw.dependencies.is_into_dataframe(X):
        return True
    if subject is not None and isinstance(nw.from_native(X, pass_through=True), nw.LazyFrame):
        _refuse_query(X, subject)
    return False


def _refuse_query(X, subject):
    remedy = "X.collect()"
    if not (nw.dependencies.is_polars_lazyframe(X) or isinstance(X, nw.LazyFrame)):
        remedy = "narwhals.from_native(X).collect().to_native()"
    raise TypeError(
        f"{subject} needs its data in memory, got a {type(X).__name__}, which is a query. Pass "
        f"{remedy}."
    )


def collect_query(X: Any) -> Any:
    """Return the data of a query, such as a LazyFrame, and anything else as it is."""
    if isinstance(X, (*_OTHERS, Mapping)) or nw.dependencies.is_into_dataframe(X):
        return X
    frame = nw.from_native(X, pass_through=True)
    return frame.collect().to_native() if isinstance(frame, nw.LazyFrame) else X


def is_query(X: Any) -> bool:
    """Return whether X is a query, which has columns and holds no data yet."""
    return isinstance(nw.from_native(X, pass_through=True), nw.LazyFrame)


def column_names(X: Any) -> list:
    """Return the names of the columns of a frame, which may stand twice and be no str."""
    try:
        return list(nw.from_native(X, eager_only=True).columns)
    except DuplicateError:  # of such a frame narwhals says nothing else
        return list(X.column_names if nw.dependencies.is_pyarrow_table(X) else X.columns)


def repeated_names(X: Any) -> list:
    """Return the names that several columns of a frame have."""
    return [name for name, n in Counter(column_names(X)).items() if n > 1]


def column_values(X: Any, name: Hashable) -> list:
    """Return the values of a column, whose name stands once, as objects of Python.

    A missing one is as the library has it: None, NaN, pandas.NA or pandas.NaT.
    """
    column = X[name]
    if is_frame(column):  # of pandas, with all columns of the name
        raise ValueError(f"Several columns are called {name!r}. Rename or drop all but one.")
    return nw.from_native(column, series_only=True).to_list()


def first_values(X: Any, names: Sequence[Hashable]) -> list:
    """Return the first value of each column of some names, which stand once; [] of no rows."""
    if not len(X):
        return []
    return [nw.from_native(X[name], series_only=True).head(1).to_list()[0] for name in names]


def with_index(X: Any) -> Any:
    """Return a frame of pandas with the levels of its index that have names as columns.

    Anything else is returned as it is.
    """
    if not nw.dependencies.is_pandas_dataframe(X):
        return X
    names = [name for name in X.index.names if name is not None and name not in X.columns]
    return X.reset_index(level=names) if names else X


def is_missing(value: Any) -> bool:
    """Return whether a value stands for none: None, NaN, pandas.NA, or NaT of pandas or numpy."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    # Of these, what is missing does not equal itself.
    return isinstance(value, _FLOATS_AND_TIMES) and bool(value != value)


def row_dicts(X: Any) -> list[Mapping]:
    """Return the rows of a frame, whose names stand once each, as dicts."""
    return nw.from_native(X, eager_only=True).rows(named=True)


def holds_numbers(X: Any) -> bool:
    """Return whether all columns of a frame are of numbers or booleans, by their types.

    A column of objects may hold numbers as well.
    """
    if nw.dependencies.is_pandas_like_dataframe(X):  # whose types tell at once, sparse ones too
        return all(dtype.kind in "biufc" for dtype in X.dtypes)
    types = nw.from_native(X, eager_only=True).schema.dtypes()
    return all(dtype.is_numeric() or dtype == nw.Boolean for dtype in types)


def replace_columns(X: Any, columns: Mapping[str, list]) -> Any:
    """Return a frame of the same library, some of its columns having other values."""
    frame = nw.from_native(X, eager_only=True)
    replaced = [
        nw.new_series(name, values, backend=frame.implementation)
        for name, values in columns.items()
    ]
    return frame.with_columns(*replaced).to_native()


def as_frame(columns):
    """Return columns as a pandas DataFrame, or as a dict of lists where pandas is not installed."""
    columns = {
        name: values.tolist() if isinstance(values, np.ndarray) else list(values)
        for name, values in columns.items()
    }
    try:
        import pandas as pd
    except ModuleNotFoundError as error:
        if str(error.name).partition(".")[0] != "pandas":  # but something that pandas imports
            raise
        return columns
    return pd.DataFrame(columns)
