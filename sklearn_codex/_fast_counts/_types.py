"""Which tokens are the same: keys of 64 bits, grouping without sorting, order and names of types.

A token of at most 7 bytes is its key: its bytes and its length. The key of a longer one is a hash
of its spelling; the spellings of tokens that share a key are then compared, so a clash is found,
and resolved by a dict. The constants of the hash differ between processes, so that no text can be
made to clash. They decide neither the order nor the value of anything returned.

Equal keys are grouped by a table of positions: every token writes its own position into the slot
of its key, and reads who remained there. Those that find another key try again with other slots.
"""

import os
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

__all__ = [
    "LongTokens", "ShortTokens", "Slots", "distinct", "gather_long", "gather_short",
    "joined_ranges", "no_long_types", "one_byte_types", "sort_by_spelling",
    "sorted_names", "words_at_any_byte",
]  # fmt: skip

_MULTIPLIERS = np.frombuffer(os.urandom(128), np.uint64) | np.uint64(1)
_INVERSE = np.uint64(pow(int(_MULTIPLIERS[1]), -1, 2**64))
_NEWLINE = ord("\n")
_PART_SIZE = 1 << 15

# To keep 0, ..., 8 of the bytes of a word: the lowest ones, or the highest. A newline behind them.
_FIRST_BYTES = np.array([2 ** (8 * n) - 1 for n in range(9)], np.uint64)
_LEADING_BYTES = _FIRST_BYTES.byteswap()
_NEWLINE_BEHIND = np.array([_NEWLINE << (8 * n) for n in range(8)], np.uint64)


def words_at_any_byte(buffer) -> np.ndarray:
    """View the 8 bytes from each position on as an integer, the first byte lowest (n - 7,)."""
    return np.ndarray((len(buffer) - 7,), "<u8", buffer, strides=(1,))


def joined_ranges(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Concatenate `arange(start, start + length)` of all pairs."""
    ends = np.cumsum(lengths)
    positions = np.repeat(starts - (ends - lengths), lengths)
    positions += np.arange(len(positions))
    return positions


class Slots:
    """A table of slots, used again and again."""

    def __init__(self):
        self._slots = np.empty(0, np.int32)

    def last_equal(self, keys: np.ndarray) -> np.ndarray:
        """Return for each key the position of the last one that is equal, as int32 (n,)."""
        n = len(keys)
        n_bits = max(n.bit_length(), 4)
        if len(self._slots) < 1 << n_bits:
            self._slots = np.empty(1 << n_bits, np.int32)
        slots, shift = self._slots, np.uint64(64 - n_bits)
        slot = keys * _MULTIPLIERS[4]
        slot >>= shift
        slot = slot.view(np.int64)
        # Where an index occurs again, numpy keeps the last value assigned.
        slots[slot] = np.arange(n, dtype=np.int32)
        last = slots[slot]
        pending = np.flatnonzero(keys.take(last) != keys)
        for multiplier in _MULTIPLIERS[5:]:
            if not len(pending):
                return last
            rest = keys[pending]
            slot = (rest * multiplier >> shift).view(np.int64)
            slots[slot] = pending
            found = slots[slot]
            last[pending] = found
            pending = pending[keys[found] != rest]
        _, index, inverse = np.unique(keys[pending][::-1], return_index=True, return_inverse=True)
        last[pending] = pending[::-1][index[inverse]][::-1]
        return last


class ShortTokens(NamedTuple):
    """Tokens of at most 7 bytes.

    Attributes
    ----------
    keys : ndarray of uint64 (n,)
        From the highest byte down: the last byte of the token, ..., the first, zeros, its length.
    """

    keys: np.ndarray

    def select(self, kept: np.ndarray) -> "ShortTokens":
        return ShortTokens(self.keys[kept])

    @staticmethod
    def join(parts: Sequence["ShortTokens"]) -> "ShortTokens":
        return ShortTokens(np.concatenate([part.keys for part in parts]))

    def last_equal(self, slots: Slots) -> np.ndarray:
        return slots.last_equal(self.keys)

    @property
    def lengths(self) -> np.ndarray:
        return (self.keys & np.uint64(0xFF)).view(np.int64)

    @property
    def words(self) -> np.ndarray:
        """The bytes of each token, the first lowest (n,)."""
        return self.keys >> _unused_bits(self.lengths)


class LongTokens(NamedTuple):
    """Tokens of 8 bytes or more.

    Attributes
    ----------
    keys : ndarray of uint64 (n,)
        Hashes.
    lengths : ndarray of int64 (n,)
        In bytes.
    ends : ndarray of int64 (n,)
        Index in `words` of the word behind those of the token.
    words : ndarray of uint64 (n_words,)
        The spelling of all tokens, one after the other: each with a newline behind, and zeros to
        fill the last of its words.
    """

    keys: np.ndarray
    lengths: np.ndarray
    ends: np.ndarray
    words: np.ndarray

    def select(self, kept: np.ndarray) -> "LongTokens":
        """Keep some tokens, by ascending index."""
        is_kept = np.zeros(len(self.keys), bool)
        is_kept[kept] = True
        words = self.words[np.repeat(is_kept, _count_words(self.lengths))]
        lengths = self.lengths[kept]
        return LongTokens(self.keys[kept], lengths, np.cumsum(_count_words(lengths)), words)

    @staticmethod
    def join(parts: Sequence["LongTokens"]) -> "LongTokens":
        offsets = np.cumsum([0, *(len(part.words) for part in parts[:-1])])
        return LongTokens(
            np.concatenate([part.keys for part in parts]),
            np.concatenate([part.lengths for part in parts]),
            np.concatenate([part.ends + n for part, n in zip(parts, offsets, strict=True)]),
            np.concatenate([part.words for part in parts]),
        )

    def last_equal(self, slots: Slots) -> np.ndarray:
        last = slots.last_equal(self.keys)
        return last if self._are_spelled_alike(last) else self._last_equal_spelling()

    def _are_spelled_alike(self, others):
        if not np.array_equal(self.lengths.take(others), self.lengths):
            return False
        moves, n_words = self.ends.take(others) - self.ends, _count_words(self.lengths)
        start = 0
        for part in _parts(len(self.keys)):  # What is small enough stays in the cache.
            index = np.repeat(moves[part], n_words[part])
            end = start + len(index)
            index += np.arange(start, end)
            if not np.array_equal(self.words.take(index), self.words[start:end]):
                return False
            start = end
        return True

    def _last_equal_spelling(self):
        """Do by a dict what keys that clash cannot do."""
        ends = self.ends.tolist()
        spellings = [
            self.words[start:end].tobytes()
            for start, end in zip([0, *ends[:-1]], ends, strict=True)
        ]
        last = {spelling: position for position, spelling in enumerate(spellings)}
        return np.array([last[spelling] for spelling in spellings], np.int32)


def _parts(n):
    return (slice(start, start + _PART_SIZE) for start in range(0, n, _PART_SIZE))


def _count_words(lengths):
    """Words of long tokens and the newlines behind."""
    return (lengths + 8) >> 3


def _unused_bits(lengths):
    return ((8 - lengths) << 3).view(np.uint64)


def one_byte_types() -> ShortTokens:
    """All ASCII characters, as tokens."""
    text = np.append(np.arange(128, dtype=np.uint8), np.zeros(7, np.uint8))
    return gather_short(words_at_any_byte(text), np.arange(128), np.ones(128, np.int64))


def no_long_types() -> LongTokens:
    return gather_long(np.empty(0, np.uint64), np.empty(0, np.int64), np.empty(0, np.int64))


def gather_short(text_words: np.ndarray, first: np.ndarray, lengths: np.ndarray) -> ShortTokens:
    """Gather tokens of at most 7 bytes."""
    keys = text_words[first]
    keys <<= _unused_bits(lengths)
    keys |= lengths.view(np.uint64)
    return ShortTokens(keys)


def gather_long(text_words: np.ndarray, first: np.ndarray, lengths: np.ndarray) -> LongTokens:
    """Gather tokens of 8 bytes and more."""
    n_words = _count_words(lengths)
    ends = np.cumsum(n_words)
    at = ends - n_words
    position = np.repeat(first - 8 * at, n_words)
    position += np.arange(0, 8 * len(position), 8)
    words = text_words[position]
    n_last = lengths & 7
    words[ends - 1] = (words[ends - 1] & _FIRST_BYTES[n_last]) | _NEWLINE_BEHIND[n_last]
    return LongTokens(_hash(words, at, ends), lengths, ends, words)


@cache
def _powers(n_bits):
    n = 1 << n_bits
    bases = np.full((n, 2), [_MULTIPLIERS[1], _INVERSE])
    return np.ascontiguousarray(np.cumprod(bases, axis=0).T)


def _hash(words, at, ends):
    """Hash each spelling: the sum of its words, each by a power of a constant."""
    mixed = words * _MULTIPLIERS[0]
    mixed ^= mixed >> np.uint64(32)
    powers, inverses = _powers(len(words).bit_length())
    mixed *= powers[: len(words)]
    sums = np.append(np.uint64(0), np.cumsum(mixed))
    keys = sums[ends] - sums[at]
    # The powers go on from token to token: divide by the one before the first word.
    keys *= inverses.take(at)
    keys ^= keys >> np.uint64(32)
    keys *= _MULTIPLIERS[2]
    return keys


def distinct(tokens: ShortTokens | LongTokens, slots: Slots) -> tuple[np.ndarray, np.ndarray]:
    """Group equal tokens.

    Returns
    -------
    kept : ndarray of int64 (n_types,)
        Of each distinct token the last index, ascending.
    types : ndarray of int32 (n,)
        For each token the index in `kept` of its like.
    """
    last = tokens.last_equal(slots)
    kept = np.flatnonzero(last == np.arange(len(last), dtype=np.int32))
    numbers = np.empty(len(last), np.int32)
    numbers[kept] = np.arange(len(kept), dtype=np.int32)
    return kept, numbers.take(last)


def sorted_names(short: ShortTokens, long: LongTokens) -> tuple[np.ndarray, np.ndarray]:
    """Decode types and sort them by code point.

    Returns
    -------
    names : ndarray of str objects (n,)
    order : ndarray of int64 (n,)
        `names[i]` is the type `order[i]`, those of `long` being behind those of `short`.
    """
    order = sort_by_spelling(short, long)
    text = _spell(short, long, order)
    # As Latin-1, a text is decoded by copying; few names need more than that.
    lines = text.decode("latin-1")
    names = lines.split("\n")
    del names[-1]
    ends = np.cumsum(np.append(short.lengths, long.lengths)[order] + 1)
    if len(names) != len(order):  # Some hold a newline.
        stops = ends.tolist()
        names = [lines[i : j - 1] for i, j in zip([0, *stops], stops, strict=False)]
    del lines
    if not text.isascii():
        outside = np.flatnonzero(np.frombuffer(text, np.uint8) >= 0x80)
        wide = np.searchsorted(ends, outside, side="right")
        for position in wide[np.diff(wide, prepend=-1) > 0].tolist():
            names[position] = names[position].encode("latin-1").decode("utf-8", "surrogatepass")
    del text
    return np.fromiter(names, object, len(names)), order


def _spell(short, long, order):
    """Write types in an order given, as utf-8, each with a newline behind."""
    n_short = len(short.keys)
    words = np.append(short.words | _NEWLINE_BEHIND[short.lengths], long.words)
    n_words = np.append(np.ones(n_short, np.int64), _count_words(long.lengths))
    starts = np.append(np.arange(n_short), n_short + long.ends - n_words[n_short:])
    lengths = np.append(short.lengths, long.lengths)
    lines = []
    for part in _parts(len(order)):
        types = order[part]
        sizes = n_words[types]
        spelled = words.take(joined_ranges(starts[types], sizes)).tobytes()
        text = spelled.translate(None, b"\0")
        if len(text) != lengths[types].sum() + len(types):  # Some zeros are characters.
            ends = lengths[types] + 1
            kinds = np.stack([ends, 8 * sizes - ends], axis=1)
            is_text = np.repeat(np.tile([True, False], len(types)), kinds.ravel())
            text = np.frombuffer(spelled, np.uint8)[is_text].tobytes()
        lines.append(text)
    return b"".join(lines)


def sort_by_spelling(short, long):
    """Sort by bytes, which in utf-8 is by code point: by the first 2, by 6 more, ties by more."""
    at = long.ends - _count_words(long.lengths)
    words = np.append(short.words, long.words[at]).byteswap()
    n = len(words)
    # In a matrix of one row, sorting by column is counting.
    prefix = (words >> np.uint64(48)).astype(np.int32)
    row = sp.csr_array((np.arange(n), prefix, [0, n]), shape=(1, 1 << 16)).tocsc()
    columns = (words[row.data] & _FIRST_BYTES[6]).view(np.int64)
    order, borders = _sort_groups(row.data, columns, row.indptr)
    rest = np.append(short.lengths, long.lengths) - 8
    next_word = np.append(np.zeros(len(short.keys), np.int64), at + 1)
    tied, group_starts = _find_ties(borders)
    while len(tied):
        indices = order[tied]
        n_left = rest[indices]
        if n_left.max() <= 0:  # What is still tied differs by NULs at the end.
            order[tied] = _sort_groups(indices, n_left, group_starts)[0]
            break
        key = long.words.take(next_word[indices], mode="clip").byteswap()
        key &= _LEADING_BYTES[np.clip(n_left, 0, 8)]
        order[tied], borders = _sort_groups(indices, _signed(key), group_starts)
        rest -= 8
        next_word += 1
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
