"""Counts of a chunk of texts, and the matrix of all chunks."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from sklearn_codex._fast_counts._types import Slots

__all__ = ["Block", "Entries", "build_matrix", "count_pairs", "join_entries"]


class Entries(NamedTuple):
    """Counts by row and type, in any order; a pair may occur again.

    Attributes
    ----------
    rows, types : ndarray of int (n_entries,)
    counts : ndarray of int (n_entries,) or None
        None if each is one.
    """

    rows: np.ndarray
    types: np.ndarray
    counts: np.ndarray | None


class Block(NamedTuple):
    """Counts of a chunk, whose texts and types are numbered from 0."""

    n_rows: int
    n_types: int
    entries: Entries


def count_pairs(rows: np.ndarray, types: np.ndarray, n_types: int, slots: Slots) -> Entries:
    """Count each pair of row and type: in a table of all pairs, or by grouping."""
    n_bits = n_types.bit_length()
    pairs = rows.astype(np.int64)
    pairs <<= n_bits
    pairs |= types
    if len(pairs) and (int(rows[-1]) + 1) << n_bits <= 2 * len(pairs):
        counts = np.bincount(pairs)
        found = pairs = np.flatnonzero(counts)
    else:
        counts = np.bincount(slots.last_equal(pairs.view(np.uint64)))
        found = np.flatnonzero(counts)
        pairs = pairs[found]
    return Entries(pairs >> n_bits, pairs & ((1 << n_bits) - 1), counts[found])


def join_entries(parts: Sequence[Entries], n_rows: int, n_types: int) -> Entries:
    """Put entries together, all counted or none, in no more bytes than their numbers need."""
    rows = _join_small([part.rows for part in parts], n_rows)
    types = _join_small([part.types for part in parts], n_types)
    counts = [part.counts for part in parts if part.counts is not None]
    if not counts:
        return Entries(rows, types, None)
    return Entries(rows, types, _join_small(counts, max(n.max(initial=0) for n in counts)))


def _join_small(parts, bound):
    dtype = np.min_scalar_type(bound)
    return np.concatenate([values.astype(dtype) for values in parts])


def build_matrix(
    blocks: list[Block],
    columns: list[np.ndarray],
    n_columns: int,
    *,
    end_column: int | None,
    has_end: np.ndarray,
) -> sp.csr_array:
    """Build the matrix of the counts of all blocks, which are used up on the way.

    Parameters
    ----------
    blocks : list of Block
    columns : list of ndarray of int (n_types of the block,)
        Column of each type, -1 to leave it out.
    n_columns : int
    end_column : int or None
        A column to count one more in some rows.
    has_end : ndarray of bool (n_rows,)
        These rows.

    Returns
    -------
    counts : csr_array of float64 (n_rows, n_columns)
        Canonical.
    """
    bound = sum(len(block.entries.rows) for block in blocks) + len(has_end)
    dtype = sp.get_index_dtype(maxval=max(bound, n_columns))
    # Pages never written take no memory, so the bound may be generous.
    data, indices = np.empty(bound), np.empty(bound, dtype)
    indptr = np.zeros(len(has_end) + 1, dtype)
    n_entries, row = 0, 0
    blocks.reverse()
    columns.reverse()
    while blocks:
        block = blocks.pop()
        end_row = row + block.n_rows
        ends = np.flatnonzero(has_end[row:end_row] if end_column is not None else [])
        ends_at = -1 if end_column is None else end_column
        counts, where, starts = _sort_entries(block, columns.pop(), n_columns, ends, ends_at)
        n_before, n_entries = n_entries, n_entries + len(counts)
        data[n_before:n_entries], indices[n_before:n_entries] = counts, where
        indptr[row + 1 : end_row + 1] = starts[1:] + dtype(n_before)
        row = end_row
    return sp.csr_array((data[:n_entries], indices[:n_entries], indptr), (len(has_end), n_columns))


def _sort_entries(block, columns, n_columns, ends, end_column):
    """Sort the entries of a block by row and column, without comparing any.

    Turned to rows and back, entries are put in order twice. Columns are numbered among those of
    the block for that, so that the others cost next to nothing.
    """
    used = np.zeros(n_columns + 1, bool)  # The last stands for -1.
    used[columns] = True
    used[end_column] = True
    present = np.flatnonzero(used[:-1]).astype(np.int32)
    number = np.full(n_columns + 1, -1, np.int32)
    number[present] = np.arange(len(present), dtype=np.int32)
    rows, types, counts = block.entries
    numbers = number[columns][types]
    counts = np.ones(len(rows), np.int32) if counts is None else counts.astype(np.int32)
    if used[-1] and columns.min() < 0:
        kept = np.flatnonzero(numbers >= 0)
        rows, numbers, counts = rows[kept], numbers[kept], counts[kept]
    if len(ends):
        rows = np.append(rows, ends)
        numbers = np.append(numbers, np.full(len(ends), number[end_column]))
        counts = np.append(counts, np.ones(len(ends), np.int32))
    by_column = sp.coo_array(
        (counts, (numbers, rows.astype(np.int32))), shape=(len(present), block.n_rows)
    ).tocsr()
    by_row = by_column.T.tocsr()
    return by_row.data, present[by_row.indices], by_row.indptr
