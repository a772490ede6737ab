"""The comparisons a fit has seen, in as few rows as they can be told in, and their design."""

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from scipy import sparse

from sklearn_codex._categorical import BoolArray, FloatArray, IntArray
from sklearn_codex._checks.matrices import as_csr, is_sparse
from sklearn_codex._ratings.inputs import Comparisons
from sklearn_codex._solve.precision import HeldRows

# What votes have beside the comparisons.
_OWN = ("target", "bad", "weight", "count", "group")


@dataclass(frozen=True)
class Votes:
    """Comparisons with their outcomes; equal ones are one row.

    Attributes
    ----------
    rows : Comparisons
        What is compared.
    target : ndarray of shape (n,)
        1 where A is preferred, 0 where B, 0.5 for a tie, or between for soft labels.
    bad : ndarray of bool of shape (n,)
        Whether both are said to be bad, which is half a vote for each, or an outcome.
    weight : ndarray of shape (n,)
        Weight of each of the comparisons of a row.
    count : ndarray of shape (n,)
        How many comparisons a row stands for.
    group : ndarray of int of shape (n,) or (n, 2), or None
        Code of the group, such as the voter; two of two ways; None where each comparison is its
        own.
    """

    rows: Comparisons
    target: FloatArray
    bad: BoolArray
    weight: FloatArray
    count: FloatArray
    group: IntArray | None

    def state(self) -> dict[str, Any]:
        """Return the votes as arrays by name, which a model file may hold."""
        held = {entry.name: getattr(self.rows, entry.name) for entry in fields(Comparisons)}
        if self.rows.differences is not None:
            held["differences"] = HeldRows(self.rows.differences)
        return {**held, **{name: getattr(self, name) for name in _OWN}}

    @classmethod
    def of_state(cls, state: dict[str, Any]) -> "Votes":
        """Return the votes of their arrays by name."""
        rows = {entry.name: state[entry.name] for entry in fields(Comparisons)}
        if rows["differences"] is not None:
            rows["differences"] = rows["differences"].matrix()
        return cls(Comparisons(**rows), *(state[name] for name in _OWN))

    @property
    def total(self) -> FloatArray:
        """Weight of all comparisons of each row (n,)."""
        return self.weight * self.count

    def take(self, index) -> "Votes":
        """Return some of the rows."""
        taken: dict[str, Any] = {}
        for entry in fields(self.rows):
            value = getattr(self.rows, entry.name)
            taken[entry.name] = None if value is None else value[index]
        own: dict[str, Any] = {name: getattr(self, name) for name in _OWN}
        kept: dict[str, Any] = {
            name: None if part is None else part[index] for name, part in own.items()
        }
        return Votes(Comparisons(**taken), **kept)

    def gathered(self) -> "Votes":
        """Return the same with equal comparisons of a group in one row, where names are all."""
        rows = self.rows
        if rows.a is None or rows.b is None or rows.style.shape[1] or rows.topics.shape[1]:
            return self
        key = np.zeros(rows.n_rows, dtype=np.int64)
        parts = [rows.a, rows.b, _codes(self.target), self.bad, _codes(self.weight)]
        for part in parts if self.group is None else [*parts, *np.atleast_2d(self.group.T)]:
            key = key * (int(part.max(initial=0)) + 1) + part
            if key.max(initial=0) > 2**31:
                key = np.unique(key, return_inverse=True)[1].reshape(-1).astype(np.int64)
        _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
        count = np.bincount(inverse.reshape(-1), self.count).astype(np.float64)
        return replace(self.take(first), count=count)

    def expanded(self) -> "Votes":
        """Return the same with a row for each comparison, where each is its own group."""
        if self.group is not None or (self.count == 1).all():
            return self
        index = np.repeat(np.arange(len(self.count)), self.count.astype(np.intp))
        return replace(self.take(index), count=np.ones(len(index)))

    def joined(self, other: "Votes") -> "Votes":
        """Return the comparisons of both."""
        parts: dict[str, Any] = {}
        for entry in fields(Comparisons):
            one, two = getattr(self.rows, entry.name), getattr(other.rows, entry.name)
            parts[entry.name] = None if one is None else _stack(one, two)
        for name in _OWN:
            own = getattr(self, name), getattr(other, name)
            parts[name] = None if own[0] is None else np.concatenate(own)
        rows = Comparisons(**{entry.name: parts.pop(entry.name) for entry in fields(Comparisons)})
        return Votes(rows, **parts)


def _codes(values):
    """Return the code (n,) of each value."""
    if len(values) and (values == values[0]).all():
        return np.zeros(len(values), dtype=np.intp)
    return np.unique(values, return_inverse=True)[1].reshape(-1)


def _stack(one, two):
    if is_sparse(one) or is_sparse(two):
        return sparse.csr_array(sparse.vstack([sparse.csr_array(one), sparse.csr_array(two)]))
    return np.concatenate([one, two])


def make_design(
    rows: Comparisons,
    n_models: int,
    topics: FloatArray,
    *,
    position: bool,
    of_level: bool = False,
):
    """Return what is multiplied to weights of models, of their topics, of style and of position.

    Parameters
    ----------
    rows : Comparisons
    n_models : int
        M.
    topics : ndarray of shape (n, q)
        Features of prompts, less their means.
    position : bool
        Whether there is a column of ones at the end.
    of_level : bool, default=False
        Whether to return what makes the mean rating of the two models in place of the difference,
        in which style and position have no part.

    Returns
    -------
    design : csr_array or ndarray of shape (n, M + M * q + k + 1)
    """
    n = rows.n_rows
    others = [rows.style] if rows.style.shape[1] else []
    others += [np.ones((n, 1))] if position else []
    others = [np.zeros_like(columns) for columns in others] if of_level else others
    if rows.a is None or rows.b is None:
        blocks = [rows.differences, *others]
        if not others:
            return rows.differences
        if not is_sparse(rows.differences):
            return np.hstack(blocks)
        return sparse.csr_array(sparse.hstack([sparse.csr_array(block) for block in blocks]))
    factors = np.column_stack([np.ones(n), topics])  # (n, 1 + q)
    # Columns of models first, then q columns of topics for each model.
    starts = np.array([0, *(n_models + np.arange(topics.shape[1]))])
    steps = np.array([1, *np.full(topics.shape[1], topics.shape[1])])
    sides = []
    signs = (0.5, 0.5) if of_level else (1.0, -1.0)
    for codes, sign in zip((rows.a, rows.b), signs, strict=True):
        known = (codes >= 0)[:, np.newaxis]
        columns = starts + steps * np.maximum(codes, 0)[:, np.newaxis]
        sides.append((columns, sign * factors * known))
    indices = np.hstack([columns for columns, _ in sides])
    data = np.hstack([values for _, values in sides])
    n_entries = indices.shape[1]
    shape = (n, n_models * (1 + topics.shape[1]))
    own = sparse.csr_array(
        (data.ravel(), indices.ravel(), np.arange(0, n * n_entries + 1, n_entries)), shape=shape
    )
    if not others:
        return own
    return sparse.csr_array(sparse.hstack([own, *(sparse.csr_array(block) for block in others)]))


def ends_of(rows: Comparisons) -> tuple[IntArray, IntArray] | None:
    """Return the two models of each row, (n,) each; None where rows are other differences."""
    if rows.a is not None and rows.b is not None:
        return rows.a, rows.b
    matrix = as_csr(rows.differences)
    if not (np.diff(matrix.indptr) == 2).all():
        return None
    values = matrix.data.reshape(-1, 2)
    if not (np.abs(values) == 1).all() or values.sum(axis=1).any():
        return None
    columns = matrix.indices.reshape(-1, 2).astype(np.intp)
    is_first = values[:, 0] > 0
    first, second = columns.T
    return np.where(is_first, first, second), np.where(is_first, second, first)
