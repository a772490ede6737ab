"""Sparse matrices of counts, from what is to be counted."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from scipy import sparse

from sklearn_codex._ngrams.table import Ints

__all__ = ["count_pairs", "stack_rows"]


def count_pairs(
    rows: Sequence[Ints], columns: Sequence[Ints], shape: tuple[int, int]
) -> sparse.csr_array:
    """Return the matrix that counts pairs of rows and columns, given in parts."""
    n_bits = int(shape[1]).bit_length()
    # Narrow numbers are sorted in less than half the time.
    wide: Any = np.uint32 if int(shape[0]) << n_bits < 1 << 32 else np.int64
    pairs: Ints = np.concatenate(rows, dtype=wide, casting="unsafe")
    low = wide(n_bits)
    pairs <<= low
    pairs |= np.concatenate(columns, dtype=wide, casting="unsafe")
    pairs.sort()
    is_new = np.ones(len(pairs), bool)
    np.not_equal(pairs[1:], pairs[:-1], out=is_new[1:])
    first = np.flatnonzero(is_new)
    pairs = pairs[first]
    dtype = sparse.get_index_dtype(maxval=max(len(pairs), *shape))
    indptr = np.zeros(shape[0] + 1, dtype)
    np.cumsum(np.bincount(pairs >> low, minlength=shape[0]), out=indptr[1:])
    pairs &= (wide(1) << low) - wide(1)
    indices = pairs.astype(dtype)
    counts = np.diff(first, append=len(is_new)).astype(np.float64)
    return sparse.csr_array((counts, indices, indptr), shape=shape)


def stack_rows(parts: Iterable[sparse.csr_array]) -> sparse.csr_array:
    """Put matrices below each other."""
    parts = list(parts)
    return parts[0] if len(parts) == 1 else sparse.csr_array(sparse.vstack(parts, format="csr"))
