"""The one door for numbers: sparse matrices whose index arrays are checked before anything reads.

scipy trusts the index arrays of a sparse matrix, as its compiled loops do, so one that points
outside reads or writes memory that is not its own. Whatever takes a matrix from outside takes it
through :func:`check_numbers`, :func:`validate_numbers` or :func:`check_sparse`. None of them
changes what it is given, which may be read-only or mapped from a file.
"""

import reprlib
from collections.abc import Callable
from itertools import chain
from typing import Any, TypeGuard

import numpy as np
import scipy.sparse as sp
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

from sklearn_codex._checks.frames import is_frame, repeated_names

_REMEDY = "Build it anew, as scipy.sparse.coo_array((values, (rows, columns)), shape=shape)."


def check_numbers(
    X: Any, *, subject: str, name: str = "X", texts: Any = None, per_item: int = 1, **checks: Any
) -> Any:
    """Return the matrix X as float64: dense, or a csr_array if it is sparse.

    Parameters
    ----------
    X : array-like, sparse matrix or data frame of shape (n_rows, n_columns)
    subject : str
        Who asks; error messages name it.
    name : str, default="X"
        What the matrix is called.
    texts : sequence of str (n_rows,), default=None
        What rows were made of, by which errors call them.
    per_item : int, default=1
        Rows that an item of X is, by which errors count them: 2 of pairs of vectors.
    **checks : dict
        Further arguments of :func:`sklearn.utils.check_array`.

    Raises
    ------
    ValueError
        If X is not a matrix of finite numbers, or the index arrays of a sparse one are not right.
    """
    X = check_sparse(X, subject=subject, name=name) if sp.issparse(X) else check_frame(X, subject)
    checks = {"accept_sparse": "csr", "dtype": np.float64, "estimator": subject, **checks}
    try:
        with np.errstate(invalid="ignore"):  # of a sum of great numbers, by which it finds NaN
            return check_array(X, input_name=name, **checks)
    except ValueError as error:
        raise _with_place(error, X, texts, per_item, subject) from None


def validate_numbers(estimator: Any, X: Any, *, reset: bool, **checks: Any) -> Any:
    """Return the matrix X of an estimator, as :func:`check_numbers`, and set or meet its columns.

    Parameters
    ----------
    estimator : estimator
        Its ``n_features_in_`` and ``feature_names_in_`` are set, or X is checked against them.
    X : array-like, sparse matrix or data frame of shape (n_rows, n_columns)
    reset : bool
        Whether this call defines the columns.
    **checks : dict
        Further arguments of :func:`sklearn.utils.check_array`.
    """
    subject = type(estimator).__name__
    X = check_sparse(X, subject=subject) if sp.issparse(X) else check_frame(X, subject)
    checks = {"accept_sparse": "csr", "dtype": np.float64, **checks}
    try:
        return validate_data(estimator, X, reset=reset, **checks)
    except ValueError as error:
        raise _with_place(error, X, None, 1, subject) from None


def _with_place(error: ValueError, X: Any, texts: Any, per_item: int, subject: str) -> ValueError:
    """Return an error that says where a number is not finite, or is none; others as they are."""
    said = str(error).splitlines()[0]
    if said.startswith("setting an array element with a sequence"):
        return ValueError(
            f"{subject} needs a matrix, rows of numbers of one length, got {type(X).__name__} of "
            "rows that differ in length or whose entries are sequences. Where they have one shape, "
            "numpy.stack(list(X)) makes them a matrix."
        )
    if said.startswith("Expected 2D array, got 1D array"):
        return ValueError(
            f"{subject} expected a 2-D matrix of numbers, got a 1-D {type(X).__name__}: "
            f"{reprlib.repr(X)}. Reshape your data: numpy.reshape(X, (1, -1)) is one row, "
            "numpy.reshape(X, (-1, 1)) one column. Text is a list of str."
        )
    if "contains NaN" not in said and "contains infinity" not in said:
        return error
    try:
        rows, n_rows = _rows_not_finite(X)
    except (TypeError, ValueError):
        return error
    if not len(rows):  # too large for a narrower float
        return error
    row = int(rows[0])
    first = f"row {row}" if per_item == 1 else f"X[{row // per_item}, {row % per_item}]"
    if texts is not None:
        first = f"that of {texts[row]!r:.60}"
    return ValueError(
        f"{said.rstrip('.')}: {len(rows)} of {n_rows} rows have numbers that are not finite, the "
        f"first {first}. Leave them out, or fill them in."
    )


def _rows_not_finite(X: Any) -> tuple[np.ndarray, int]:
    """Return the rows of X with a number that is not finite, and how many rows there are."""
    if is_sparse(X):
        entries = X.tocoo()
        return np.unique(entries.row[~np.isfinite(entries.data)]), entries.shape[0]
    values = np.asarray(X, dtype=np.float64)
    return np.flatnonzero(~np.isfinite(values).all(axis=1)), len(values)


def is_sparse(X: Any) -> TypeGuard[sp.csr_array]:
    """Tell whether a matrix that was checked is sparse, a csr_array or what is made of one."""
    return bool(sp.issparse(X))


def check_frame(X: Any, subject: str) -> Any:
    """Return X, or raise where it is a query, or a data frame with two columns of one name."""
    refuse_masked(X, subject)
    repeated = repeated_names(X) if is_frame(X, subject) else []
    if repeated:
        raise ValueError(
            f"{subject} needs a data frame whose columns have names of their own, got several "
            f"called {repeated[0]!r}. Rename or drop all but one, or pass X.to_numpy()."
        )
    return X


def refuse_masked(X: Any, subject: str | None, *, name: str = "X") -> None:
    """Raise where a masked array has entries that do not count, which nothing here leaves out."""
    if isinstance(X, np.ma.MaskedArray) and np.ma.getmaskarray(X).any():
        got = f"{name} is" if subject is None else f"{subject} got"
        given = "a masked array" if subject is None else f"a masked array as {name}"
        raise ValueError(
            f"{got} {given} with {np.ma.count_masked(X)} masked values, "
            "which would count as any other. Drop their rows, or fill them with "
            f"{name}.filled(value)."
        )


def as_csr(X: Any) -> sp.csr_array:
    """Return X as a canonical float64 CSR array without stored zeros, X itself left as it was.

    A sparse X was checked before. It is shared where it is canonical already.
    """
    counts = sp.csr_array(X, dtype=np.float64)
    if not counts.has_canonical_format or not counts.data.all():
        counts = counts.copy() if sp.issparse(X) else counts
        counts.sum_duplicates()
        counts.eliminate_zeros()
    return counts


def check_sparse(X: Any, *, subject: str, name: str = "X") -> sp.csr_array:
    """Return a sparse matrix of any format as a float64 CSR array, its index arrays checked.

    Parameters
    ----------
    X : sparse matrix or sparse array of shape (n_rows, n_columns)
        It is not changed; the result may share its arrays.
    subject : str
        Who asks; error messages name it.
    name : str, default="X"
        What the matrix is called.

    Returns
    -------
    matrix : csr_array of shape (n_rows, n_columns), float64
        Entries may be unsorted, repeated (they add up), zero or not finite.

    Raises
    ------
    ValueError
        If an index points outside the matrix, arrays do not fit together or are no integers, or
        the values are not real numbers.
    """
    kind = X.format.upper()
    if X.ndim != 2:
        raise ValueError(
            f"{subject} expected {name} to be a 2-D matrix, got a sparse {kind} array of shape "
            f"{X.shape}. Reshape it."
        )
    try:
        return _TO_CSR[X.format](X)
    except _MalformedError as error:
        problem = str(error)
    except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
        problem = f"{type(error).__name__}: {error}"
    raise ValueError(
        f"{subject} got a malformed sparse {kind} matrix of shape {X.shape} as {name}: {problem}. "
        f"{_REMEDY}"
    )


class _MalformedError(Exception):
    """What is wrong with a sparse matrix."""


def _from_compressed(X):
    """Take CSR, CSC and BSR."""
    block = X.data.shape[1:] if X.format == "bsr" else (1, 1)
    if X.format == "bsr" and (len(block) != 2 or 0 in block):
        raise _MalformedError(f"its data has shape {X.data.shape}, not (n_blocks, height, width)")
    if X.shape[0] % block[0] or X.shape[1] % block[1]:
        raise _MalformedError(f"blocks of {block} do not divide it")
    n_rows, n_columns = X.shape[0] // block[0], X.shape[1] // block[1]
    n_major, n_minor = (n_columns, n_rows) if X.format == "csc" else (n_rows, n_columns)
    data = _check_values(X.data, ndim=3 if X.format == "bsr" else 1)
    indices = _check_indices("indices", X.indices, len(data), n_minor)
    indptr = _check_indices("indptr", X.indptr, n_major + 1, len(data) + 1)
    ends = (int(indptr[0]), int(indptr[-1]))
    if ends != (0, len(data)):
        raise _MalformedError(
            f"indptr begins with {ends[0]} and ends with {ends[1]}, not with 0 and the number of "
            f"entries, {len(data)}"
        )
    falls = np.flatnonzero(indptr[1:] < indptr[:-1])
    if falls.size:
        at = falls[0]
        raise _MalformedError(
            f"indptr falls from {indptr[at]} to {indptr[at + 1]} at position {at + 1}"
        )
    make = {"csr": sp.csr_array, "csc": sp.csc_array, "bsr": sp.bsr_array}[X.format]
    return make((data, indices, indptr), shape=X.shape).tocsr()


def _from_coordinates(X):
    """Take COO, and what becomes it without a look at positions: DOK."""
    coo = X.tocoo()
    data = _check_values(coo.data)
    rows, columns = (
        _check_indices(what, values, len(data), size)
        for what, values, size in zip(("row", "col"), (coo.row, coo.col), X.shape, strict=True)
    )
    return sp.coo_array((data, (rows, columns)), shape=X.shape).tocsr()


def _from_diagonals(X):
    data, offsets = np.asarray(X.data), np.asarray(X.offsets)
    if offsets.dtype.kind not in "iu":
        raise _MalformedError(f"its offsets are of dtype {offsets.dtype}, not integers")
    diagonals = sp.dia_array((_check_values(data, ndim=2), offsets), shape=X.shape)
    return _from_coordinates(diagonals)


def _from_lists(X):
    """Take LIL, without scipy's compiled loops, which trust its lists to be of one length."""
    lengths = [len(columns) for columns in X.rows]
    if len(lengths) != X.shape[0] or lengths != [len(values) for values in X.data]:
        raise _MalformedError("its rows and its data are not lists of the same lengths, one a row")
    data = _check_values(np.array(list(chain.from_iterable(X.data)), dtype=X.dtype))
    columns = np.array(list(chain.from_iterable(X.rows)) or [], dtype=None if any(lengths) else int)
    indices = _check_indices("rows", columns, len(data), X.shape[1])
    return sp.csr_array((data, indices, np.cumsum([0, *lengths])), shape=X.shape)


_TO_CSR: dict[str, Callable[[Any], sp.csr_array]] = {
    "csr": _from_compressed,
    "csc": _from_compressed,
    "bsr": _from_compressed,
    "coo": _from_coordinates,
    "dok": _from_coordinates,
    "dia": _from_diagonals,
    "lil": _from_lists,
}


def _check_values(values, ndim=1):
    """Return the values of entries as float64, of any byte order."""
    values = np.asarray(values)
    if values.ndim != ndim:
        raise _MalformedError(f"its data has {values.ndim} dimensions, not {ndim}")
    if values.dtype.kind == "c":
        raise _MalformedError("Complex data not supported, its data is complex")
    if values.dtype.kind not in "biuf":
        raise _MalformedError(f"its data is of dtype {values.dtype}, not of numbers")
    return values.astype(np.float64, copy=False)


def _check_indices(what, values, n, end):
    """Return positions (n,), integers from 0 to ``end - 1``."""
    indices = np.asarray(values)
    if indices.dtype.kind not in "iu":
        raise _MalformedError(f"{what} is of dtype {indices.dtype}, not of integers")
    if indices.shape != (n,):
        raise _MalformedError(f"{what} has shape {indices.shape}, not {(n,)}")
    if n and not (indices.min() >= 0 and indices.max() < end):
        at = np.flatnonzero((indices < 0) | (indices >= end))[0]
        raise _MalformedError(
            f"{what}[{at}] is {indices[at]}, which is not between 0 and {end - 1}"
        )
    return indices
