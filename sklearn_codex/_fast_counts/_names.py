"""The order of types by code point, and their names."""

from itertools import count

import numpy as np
import scipy.sparse as sp

from sklearn_codex._fast_counts._arrays import joined_ranges
from sklearn_codex._fast_counts._types import (
    FIRST_BYTES,
    NEWLINE_BEHIND,
    LongTokens,
    MiddleTokens,
    ShortTokens,
    count_words,
    parts,
)

__all__ = ["sort_by_spelling", "sorted_names"]

_LEADING_BYTES = FIRST_BYTES.byteswap()


def sorted_names(
    short: ShortTokens, middle: MiddleTokens, long: LongTokens
) -> tuple[np.ndarray, np.ndarray]:
    """Decode types and sort them by code point.

    Returns
    -------
    names : ndarray of str objects (n,)
    order : ndarray of int64 (n,)
        `names[i]` is the type `order[i]`, those of `long` being behind those of `middle`, and
        these behind those of `short`.
    """
    long = LongTokens.join([middle.as_long(), long])
    order = sort_by_spelling(short, long)
    lengths = np.append(short.lengths, long.lengths)
    words = np.append(short.words | NEWLINE_BEHIND[short.lengths], long.words)
    text = _spell(words, lengths, order)
    del words
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


def _spell(words, lengths, order):
    """Write types in an order given, as utf-8, each with a newline behind."""
    n_words = count_words(lengths)
    starts = np.cumsum(n_words) - n_words

    def gather(part):
        types = order[part]
        return words.take(joined_ranges(starts[types], n_words[types])).tobytes()

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


def sort_by_spelling(short: ShortTokens, long: LongTokens) -> np.ndarray:
    """Sort by bytes, which in utf-8 is by code point: by the first 2, by 6 more, ties by more."""
    at = long.ends - count_words(long.lengths)
    words = np.append(short.words, long.words[at]).byteswap()
    n = len(words)
    # In a matrix of one row, sorting by column is counting.
    prefix = (words >> np.uint64(48)).astype(np.int32)
    row = sp.csr_array((np.arange(n), prefix, [0, n]), shape=(1, 1 << 16)).tocsc()
    columns = (words[row.data] & FIRST_BYTES[6]).view(np.int64)
    order, borders = _sort_groups(row.data, columns, row.indptr)
    lengths = np.append(short.lengths, long.lengths)
    first_word = np.append(np.zeros(len(short.keys), np.int64), at)
    tied, group_starts = _find_ties(borders)
    for depth in count(1):
        if not len(tied):
            break
        indices = order[tied]
        n_left = lengths[indices] - 8 * depth
        if n_left.max() <= 0:  # What is still tied differs by NULs at the end.
            order[tied] = _sort_groups(indices, n_left, group_starts)[0]
            break
        key = long.words.take(first_word[indices] + depth, mode="clip").byteswap()
        key &= _LEADING_BYTES[np.clip(n_left, 0, 8)]
        order[tied], borders = _sort_groups(indices, _signed(key), group_starts)
        kept, group_starts = _find_ties(borders)
        tied = tied[kept]
    return order


def _signed(keys):
    return (keys ^ np.uint64(1 << 63)).view(np.int64)


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
