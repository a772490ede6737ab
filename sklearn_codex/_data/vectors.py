"""Responses given as vectors: the one place that tells arrays, ids and columns of vectors.

Each of them becomes :class:`ResponseIds`, rows of a table of features, so nothing after this knows
which it was.
"""

import reprlib
from collections.abc import Hashable, Sequence
from hashlib import blake2b
from numbers import Number, Real
from typing import Any

import numpy as np

from sklearn_codex._checks.frames import (
    column_names,
    column_values,
    first_values,
    is_frame,
    is_missing,
)
from sklearn_codex._checks.matrices import as_csr, check_numbers, is_sparse, refuse_masked
from sklearn_codex._data.lengths import pairs_alone
from sklearn_codex._data.rows import FLOATS

PAIR_COLUMNS = ("prompt", "response_a", "response_b")
ORIENTED_COLUMNS = ("prompt", "chosen", "rejected")


class ResponseIds:
    """Responses by their ids in a table of features, each response of which is held once.

    What it stands for is the array ``features[ids]``, of shape (n, d) for the ids of responses
    (n,), (n, 2, d) for those of pairs (n, 2), and (n, k, d) for those of k candidates (n, k), and
    it goes wherever such an array goes: into ``fit``, ``predict``, ``score`` and ``reward`` of the
    models of pairs and rankings, ``cross_val_score`` and ``GridSearchCV``. The array itself is
    never made.

    Parameters
    ----------
    ids : array-like of int of shape (n,), (n, 2) or (n, k)
        Rows of ``features``, from 0.
    features : array-like or sparse matrix of shape (m, d)
        A vector a response, such as its embedding. It is not copied where it is an array of
        float64, float32 or float16, in memory or on disk (``np.load(path, mmap_mode="r")``), or a
        csr_array.

    Attributes
    ----------
    ids : ndarray of int of shape (n,), (n, 2) or (n, k)
        The rows.
    features : ndarray or csr_array of shape (m, d)
        The table.
    shape : tuple of int
        That of ``features[ids]``.

    Raises
    ------
    TypeError
        If ids are not integers.
    ValueError
        If an id is no row of the table, or the table has entries that are not finite.

    Notes
    -----
    The table is a part of the data, not a parameter of ``fit`` or of an estimator. A parameter of
    ``fit`` would not reach ``predict``, and a search that splits rows would split the table too
    where it happens to have as many rows as there are pairs; a parameter of an estimator would be
    copied by every ``clone``, once for each candidate and fold. A part of the data is split by its
    ids, all parts share one table, and every method that takes X takes it.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_codex import PreferenceRewardModel, ResponseIds
    >>> embeddings = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])  # of 3 responses
    >>> pairs = ResponseIds([[0, 1], [1, 2], [2, 1], [1, 0]], features=embeddings)
    >>> pairs.shape
    (4, 2, 2)
    >>> model = PreferenceRewardModel().fit(pairs, [1, 0, 1, 0])
    >>> candidates = ResponseIds([[0, 1], [2, 0]], features=embeddings)
    >>> model.reward(candidates).round(2).tolist()
    [[0.96, -0.41], [0.55, 0.96]]
    """

    def __init__(self, ids, features):
        subject = type(self).__name__
        features = check_numbers(features, subject=subject, name="features", dtype=FLOATS)
        self.features = as_csr(features) if is_sparse(features) else features
        self.ids = _check_ids(ids, len_of(self.features), subject)

    @classmethod
    def _of(cls, ids, features):
        """Return those of ids and a table that were checked."""
        made = cls.__new__(cls)
        made.ids, made.features = ids, features
        return made

    @property
    def shape(self):
        """That of ``features[ids]``."""
        return (*self.ids.shape, self.features.shape[1])

    @property
    def ndim(self):
        """The number of dimensions of ``features[ids]``."""
        return self.ids.ndim + 1

    @property
    def dtype(self):
        """That of the features."""
        return self.features.dtype

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, key):
        """Return some of the rows, over the same table; a single response as its features (d,)."""
        key = key[:-1] if isinstance(key, tuple) and key and key[-1] is Ellipsis else key
        ids = self.ids[key]
        if np.ndim(ids) == 0:
            return self.features[int(ids)]
        return self.with_ids(ids)

    def with_ids(self, ids):
        """Return other responses of the same table.

        Parameters
        ----------
        ids : ndarray of int
            Rows of ``features``.

        Returns
        -------
        responses : ResponseIds
        """
        ids = _check_ids(ids, len_of(self.features), type(self).__name__)
        return self._of(ids, self.features)

    def __array__(self, dtype=None, copy=None):
        """Return the array ``features[ids]``, which takes the room that this spares."""
        flat = self.features[self.ids.ravel()]
        made = (flat.toarray() if is_sparse(flat) else np.asarray(flat)).reshape(self.shape)
        return made if dtype is None else made.astype(dtype, copy=False)

    def __repr__(self):
        return (
            f"{type(self).__name__}(ids of shape {self.ids.shape}, features of shape "
            f"{self.features.shape}, {self.features.dtype})"
        )


def len_of(matrix: Any) -> int:
    """Return the number of rows of a matrix, which may be sparse."""
    return int(matrix.shape[0])


def _check_ids(ids, n_rows, subject):
    try:
        ids = np.asarray(ids)
    except ValueError:
        raise ValueError(
            f"{subject} needs as many ids in each row, got rows of different lengths: "
            f"{reprlib.repr(ids)}."
        ) from None
    if ids.dtype.kind not in "iu":
        raise TypeError(
            f"{subject} needs ids of integers, rows of features from 0, got {ids.dtype}: "
            f"{reprlib.repr(ids.tolist())}. Without a table, pass the vectors themselves."
        )
    if ids.ndim not in (1, 2) or 0 in ids.shape:
        raise ValueError(
            f"{subject} needs ids of shape (n,) for responses, (n, 2) for pairs or (n, k) for "
            f"candidates, at least one, got {ids.shape}."
        )
    outside = ids[(ids < 0) | (ids >= n_rows)]
    if outside.size:
        raise ValueError(
            f"{subject} got the id {outside[0]}, but features have the rows 0 to {n_rows - 1}. "
            "Count ids from 0."
        )
    return ids.astype(np.intp, copy=False)


def _is_vector(value: Any) -> bool:
    """Return whether a cell is a vector, an array, list or tuple of numbers, some maybe missing."""
    if isinstance(value, np.ndarray) and value.dtype.kind != "O":
        return value.ndim == 1 and value.dtype.kind in "biuf"
    is_list = isinstance(value, (list, tuple)) or getattr(value, "ndim", 0) == 1
    return is_list and any(isinstance(number, Number) for number in value)


def _first(values: Any) -> Any:
    """Return the first item of a sequence, None if it is none, or empty."""
    if isinstance(values, np.ndarray):
        return values[0] if values.ndim and len(values) else None
    is_sequence = isinstance(values, Sequence) and not isinstance(values, (str, bytes))
    return values[0] if is_sequence and len(values) else None


def _vector_columns(X: Any, columns: tuple[str, str, str]) -> list | None:
    """Return the two columns of a data frame if the first cell of one is a vector."""
    names = [str(name) for name in column_names(X)]
    if any(names.count(name) != 1 for name in columns[1:]):
        return None
    first = first_values(X, columns[1:])
    if not any(map(_is_vector, first)):
        return None
    return [column_values(X, name) for name in columns[1:]]


def holds_vectors(X: Any, columns: tuple[str, str, str] = PAIR_COLUMNS) -> bool:
    """Return whether X is pairs, or candidates, of vectors, told by its shape and its first cells.

    That is :class:`ResponseIds`, numbers in 3-D, rows of vectors, or a data frame whose columns of
    the two responses hold vectors.
    """
    X = pairs_alone(X)
    if isinstance(X, ResponseIds):
        return True
    if is_frame(X):
        return _vector_columns(X, columns) is not None
    if getattr(getattr(X, "dtype", None), "kind", "O") in "biufc":
        return getattr(X, "ndim", 0) == 3
    row = _first(X)
    return isinstance(row, (list, tuple, np.ndarray)) and any(map(_is_vector, row))


def as_response_ids(
    X: Any, *, subject: str, columns: tuple[str, str, str] = PAIR_COLUMNS
) -> ResponseIds:
    """Return what :func:`holds_vectors` as ids, over a table that shares its memory if it can."""
    X = pairs_alone(X)
    if isinstance(X, ResponseIds):
        return X
    refuse_masked(X, subject)
    if is_frame(X):
        X = list(zip(*(_vector_columns(X, columns) or []), strict=True))
    vectors = X if hasattr(X, "dtype") and X.dtype.kind != "O" else _stack(X, subject)
    vectors = np.asarray(vectors) if type(vectors) is not np.memmap else vectors
    n, k, n_features = vectors.shape
    if not (n and k and n_features):
        raise ValueError(
            f"{subject} got vectors of shape {vectors.shape} in X. Pass at least one, (n_pairs, 2, "
            "n_features)."
        )
    rows = vectors.reshape(n * k, n_features)
    table = check_numbers(rows, subject=subject, per_item=k, dtype=FLOATS)
    return ResponseIds._of(np.arange(n * k).reshape(n, k), table)


def _stack(X, subject):
    """Return rows of vectors (n, k, d) as an array, or say which vector has another length."""
    size, n_features = len(X[0]), next(len(cell) for cell in X[0] if _is_vector(cell))
    vectors = []
    for place, row in enumerate(X):
        is_row = isinstance(row, (list, tuple, np.ndarray)) and len(row) == size
        if not is_row or not all(_is_vector(cell) and len(cell) == n_features for cell in row):
            raise ValueError(
                f"{subject} expected every row of X to be {size} vectors of {n_features} numbers, "
                f"as the first, but X[{place}] is {reprlib.repr(row)}. Give all responses the same "
                "features."
            )
        vectors.append([_as_numbers(cell, place, subject) for cell in row])
    return np.array(vectors)


def _as_numbers(cell, place, subject):
    """Return a vector as an array of numbers, or say where it is none."""
    values = np.asarray(cell)
    if values.dtype.kind == "O" and all(isinstance(value, Real) for value in values.flat):
        values = values.astype(np.float64)
    if values.dtype.kind not in "biuf" or values.ndim != 1:
        raise ValueError(
            f"{subject} expected vectors of numbers in X[{place}], got {reprlib.repr(cell)}. Drop "
            "pairs with a missing number."
        )
    return values


def prompted_vectors(X: Any, *, subject: str) -> tuple[list[str], list[str], list[str]] | None:
    """Return prompts, and hashes of both vectors, of pairs in a data frame that has prompts.

    Prompts are texts, or ids of prompts, such as numbers, as text.
    """
    prompt, *sides = PAIR_COLUMNS
    if not is_frame(X) or prompt not in map(str, column_names(X)) or not holds_vectors(X):
        return None
    prompts = [
        _name_prompt(value, place, subject) for place, value in enumerate(column_values(X, prompt))
    ]
    first, second = ([_hash(cell) for cell in column_values(X, name)] for name in sides)
    return prompts, first, second


def _name_prompt(value, place, subject):
    """Return a prompt, or the id of one as text, equal ids as equal texts; a missing one raises."""
    if isinstance(value, str):
        return value
    if is_missing(value) or not isinstance(value, Hashable):
        raise TypeError(
            f"{subject} expected every prompt of X to be a str, or an id that tells prompts apart, "
            f"but that of pair {place} is {reprlib.repr(value)}, of type {type(value).__name__}. "
            "Drop pairs with a missing prompt, or leave the column out to have none."
        )
    if isinstance(value, Real) and float(value).is_integer():
        return str(int(value))  # 3 and 3.0 are one prompt
    return repr(value.item() if isinstance(value, np.generic) else value)


def name_vectors(X: Any, *, subject: str) -> tuple[list[str], list[str]] | None:
    """Return names of both vectors of each pair, equal vectors alike; None where there are none."""
    if not holds_vectors(X):
        return None
    given = check_pairs_of(as_response_ids(X, subject=subject), subject=subject)
    used, place = np.unique(given.ids, return_inverse=True)
    table = given.features
    if is_sparse(table):
        names = [f"row {row}".rjust(64) for row in used.tolist()]
    else:
        names = [_hash(table[row]) for row in used.tolist()]
    first, second = ([names[i] for i in side] for side in place.reshape(given.ids.shape).T.tolist())
    return first, second


def _hash(vector: Any) -> str:
    return blake2b(np.asarray(vector, dtype=np.float64).tobytes(), digest_size=32).hexdigest()


def holds_column_of_vectors(X: Any) -> bool:
    """Return whether X is a column of objects, such as one of a data frame, that are vectors."""
    kind = getattr(getattr(X, "dtype", None), "kind", None)
    is_column = getattr(X, "ndim", 0) == 1 and kind == "O" and len(X) > 0
    return is_column and _is_vector(np.asarray(X, dtype=object)[0])


def stack_column(X: Any, *, subject: str) -> Any:
    """Return what :func:`holds_column_of_vectors` as a matrix (n, V), anything else as it is."""
    if not holds_column_of_vectors(X):
        return X
    return _stack([[vector] for vector in np.asarray(X, dtype=object)], subject)[:, 0]


def check_pairs_of(responses: ResponseIds, *, subject: str) -> ResponseIds:
    """Return responses if they are pairs, or raise."""
    if responses.ids.ndim != 2 or responses.ids.shape[1] != 2:
        raise ValueError(
            f"{subject} expected X to be pairs of vectors of shape (n_pairs, 2, n_features), got "
            f"{responses.shape}. Single responses and candidates are for reward."
        )
    return responses
