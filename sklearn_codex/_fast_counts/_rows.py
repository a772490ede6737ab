"""Counts of a chunk of texts, and the matrix of all chunks."""

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from sklearn_codex._fast_counts._arrays import find_few

__all__ = ["Block", "build_matrix", "count_rows"]


class Block(NamedTuple):
    """Counts of a chunk, whose texts and types are numbered from 0.

    Attributes
    ----------
    n_types : int
    starts : ndarray of int (n_rows + 1,)
        Where the entries of each row start, and where the last ends.
    types : ndarray of int (n_entries,)
        In any order within a row.
    counts : ndarray of int (n_entries,) or None
        None if each is one; then a type may occur in a row again.
    """

    n_types: int
    starts: np.ndarray
    types: np.ndarray
    counts: np.ndarray | None

    def compress(self) -> "Block":
        """Take no more bytes than the numbers need."""
        counts = self.counts
        if counts is not None:
            counts = counts.astype(np.min_scalar_type(counts.max(initial=0)))
        types = self.types.astype(np.min_scalar_type(self.n_types), copy=False)
        return Block(self.n_types, self.starts.astype(np.int32), types, counts)


def count_rows(block: Block) -> Block:
    """Count each type of each row in a table of all pairs, unless most of that would be empty."""
    n_types, starts, types, _ = block
    row_starts = np.arange(len(starts)) * n_types
    if row_starts[-1] > 4 * len(types):
        return block
    pairs = np.repeat(row_starts[:-1], np.diff(starts))
    pairs += types
    counts = np.bincount(pairs)
    found = find_few(counts != 0)
    starts = np.searchsorted(found, row_starts)
    found_types = found - np.repeat(row_starts[:-1], np.diff(starts))
    return Block(n_types, starts, found_types, counts[found])


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
    bound = sum(len(block.types) for block in blocks) + len(has_end)
    dtype = sp.get_index_dtype(maxval=max(bound, n_columns))
    # Pages never written take no memory, so the bound may be generous.
    data, indices = np.empty(bound), np.empty(bound, dtype)
    indptr = np.zeros(len(has_end) + 1, dtype)
    numbering = _Numbering(n_columns)
    n_entries, row = 0, 0
    blocks.reverse()
    columns.reverse()
    while blocks:
        block, columns_of_types = blocks.pop(), columns.pop()
        end_row = row + len(block.starts) - 1
        ends = None if end_column is None else (end_column, has_end[row:end_row])
        present, rows = _sort_rows(block, columns_of_types, ends, numbering)
        n_before, n_entries = n_entries, n_entries + len(rows.data)
        data[n_before:n_entries] = rows.data
        present.astype(dtype).take(rows.indices, out=indices[n_before:n_entries], mode="clip")
        indptr[row + 1 : end_row + 1] = rows.indptr[1:] + dtype(n_before)
        row = end_row
    return sp.csr_array((data[:n_entries], indices[:n_entries], indptr), (len(has_end), n_columns))


class _Numbering:
    """Numbers the columns that occur in a block, so that the others cost next to nothing."""

    def __init__(self, n_columns: int):
        self._is_used = np.zeros(n_columns + 1, bool)  # The last stands for -1.
        self._numbers = np.empty(n_columns + 1, np.int32)

    def number(self, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the distinct columns, ascending, and for all the index in them; -1 stays."""
        self._is_used[columns] = True
        self._is_used[-1] = False
        present = find_few(self._is_used).astype(np.int32)
        self._is_used[present] = False
        self._numbers[present] = np.arange(len(present), dtype=np.int32)
        self._numbers[-1] = -1
        return present, self._numbers[columns]


def _sort_rows(block, columns, ends, numbering):
    """Sort each row of a block by column without comparing any, and add up what is in one.

    Turned to columns and back to rows, entries are in order.

    Returns
    -------
    present : ndarray of int32 (n_present,)
        The columns that occur, ascending.
    rows : csr_array (n_rows, n_present)
    """
    end_column, has_end = (-1, None) if ends is None else ends
    present, numbers_of_types = numbering.number(np.append(columns, end_column))
    _, starts, types, counts = block
    numbers = numbers_of_types.take(types)
    if counts is None:  # No sum is more than the number of tokens of its row, and its end.
        counts = np.ones(len(types), np.min_scalar_type(np.diff(starts).max(initial=0) + 1))
    else:
        counts = counts.astype(np.int32)
    if columns.min(initial=0) < 0:
        is_kept = numbers >= 0
        starts = np.append(np.int32(0), np.cumsum(is_kept, dtype=np.int32))[starts]
        numbers, counts = numbers[is_kept], counts[is_kept]
    if has_end is not None:
        at = starts[1:][has_end]
        numbers = np.insert(numbers, at, numbers_of_types[-1])
        counts = np.insert(counts, at, 1)
        starts[1:] += np.cumsum(has_end, dtype=np.int32)
    by_row = sp.csr_array((counts, numbers, starts), shape=(len(starts) - 1, len(present)))
    by_column = by_row.tocsc()
    by_column.sum_duplicates()
    return present, by_column.tocsr()
