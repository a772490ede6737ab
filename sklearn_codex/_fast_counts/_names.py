"""The order of types by code point, and their names."""

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from sklearn_codex._fast_counts._arrays import joined_ranges
from sklearn_codex._fast_counts._types import (
    FIRST_BYTES,
    NEWLINE_BEHIND,
    LongTokens,
    ShortTokens,
    count_words,
    parts,
)

__all__ = ["Spellings", "sort_by_spelling", "sorted_names", "spell"]

_LEADING_BYTES = FIRST_BYTES.byteswap()


class Spellings(NamedTuple):
    """The bytes of tokens of all kinds.

    Attributes
    ----------
    words : ndarray of uint64 (n_words,)
        As of :class:`LongTokens`, short tokens being of one word.
    starts : ndarray of int64 (n,)
        Index in `words` of the first word of each.
    lengths : ndarray of int64 (n,)
        In bytes.
    """

    words: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray


def spell(short: ShortTokens, *others: LongTokens) -> Spellings:
    """Bring the spellings of tokens together, in the order given."""
    lengths = np.concatenate([short.lengths, *(tokens.lengths for tokens in others)])
    first = short.words
    first |= NEWLINE_BEHIND[short.lengths]
    words = np.concatenate([first, *(tokens.words for tokens in others)])
    n_words = count_words(lengths)
    return Spellings(words, np.cumsum(n_words) - n_words, lengths)


def sorted_names(spellings: Spellings) -> tuple[np.ndarray, np.ndarray]:
    """Decode types and sort them by code point.

    Returns
    -------
    names : ndarray of str objects (n,)
    order : ndarray of int (n,)
        `names[i]` is the type `order[i]`.
    """
    order = sort_by_spelling(spellings)
    text = _write(spellings, order)
    lengths = spellings.lengths
    # As Latin-1, a text is decoded by copying; few names need more than that.
    lines = text.decode("latin-1")
    names = lines.split("\n")
    del names[-1]
    if len(names) != len(order):  # Some hold a newline.
        ends = np.cumsum(lengths[order] + 1).tolist()
        names = [lines[i : j - 1] for i, j in zip([0, *ends], ends, strict=False)]
    del lines
    if not text.isascii():
        outside = np.flatnonzero(np.frombuffer(text, np.uint8) >= 0x80)
        wide = np.searchsorted(np.cumsum(lengths[order] + 1), outside, side="right")
        for position in wide[np.diff(wide, prepend=-1) > 0].tolist():
            names[position] = names[position].encode("latin-1").decode("utf-8", "surrogatepass")
    del text
    return np.fromiter(names, object, len(names)), order


def _write(spellings, order):
    """Write types in an order given, as utf-8, each with a newline behind."""
    words, starts, lengths = spellings

    def gather(part):
        types = order[part]
        return words.take(joined_ranges(starts[types], count_words(lengths[types]))).tobytes()

    text = b"".join(gather(part).translate(None, b"\0") for part in parts(len(order)))
    if len(text) == lengths.sum() + len(lengths):
        return text
    lines = []
    for part in parts(len(order)):  # Some zeros are characters.
        ends = lengths[order[part]] + 1
        kinds = np.stack([ends, -ends & 7], axis=1)
        is_text = np.repeat(np.tile([True, False], len(ends)), kinds.ravel())
        lines.append(np.frombuffer(gather(part), np.uint8)[is_text].tobytes())
    return b"".join(lines)


def sort_by_spelling(spellings: Spellings) -> np.ndarray:
    """Sort by bytes, which in utf-8 is by code point: by the first 2, by 6 more, ties by more."""
    words, starts, lengths = spellings
    n = len(starts)
    keys = _read_keys(words, starts, lengths)
    prefix = (keys >> np.uint64(48)).astype(np.int32)
    # In a matrix of one row, sorting by column is counting.
    numbers = np.arange(n, dtype=sp.get_index_dtype(maxval=n))
    row = sp.csr_array((numbers, prefix, [0, n]), shape=(1, 1 << 16)).tocsc()
    keys = keys.take(row.data)
    keys &= FIRST_BYTES[6]
    order, borders = _sort_groups(row.data, keys.view(np.int64), row.indptr)
    tied, group_starts = _find_ties(borders)
    depth = 0
    while len(tied):
        depth += 1
        indices = order[tied]
        n_left = lengths[indices]
        n_left -= 8 * depth
        if n_left.max() <= 0:  # What is still tied differs by NULs at the end.
            order[tied] = _sort_groups(indices, n_left, group_starts)[0]
            break
        keys = _read_keys(words, starts[indices] + depth, n_left)
        keys ^= np.uint64(1 << 63)  # For the order of signed integers.
        order[tied], borders = _sort_groups(indices, keys.view(np.int64), group_starts)
        kept, group_starts = _find_ties(borders)
        tied = tied[kept]
    return order


def _read_keys(words, at, n_left):
    """Read words with the first byte highest, and nothing of what is behind the token."""
    keys = words.take(at, mode="clip").byteswap(inplace=True)
    keys &= _LEADING_BYTES.take(n_left, mode="clip")
    return keys


def _sort_groups(indices, columns, starts):
    """Sort within groups, taking them for the rows of a matrix.

    Returns
    -------
    indices : ndarray (n,)
    borders : ndarray of bool (n + 1,)
        Whether one is told from the one before: by its column, or as the first of a group.
    """
    shape = (len(starts) - 1, np.iinfo(np.int64).max)
    rows = sp.csr_array((indices, columns, starts), shape=shape)
    rows.sort_indices()
    borders = np.ones(len(columns) + 1, bool)
    np.not_equal(rows.indices[1:], rows.indices[:-1], out=borders[1:-1])
    borders[starts] = True
    return rows.data, borders


def _find_ties(borders):
    """Find what is not told from a neighbour, and where among that the groups of like start."""
    tied = np.flatnonzero(~(borders[1:] & borders[:-1]))
    starts = np.flatnonzero(borders[tied])
    return tied, np.append(starts, len(tied))
