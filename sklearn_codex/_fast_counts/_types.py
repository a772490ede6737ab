"""Which tokens are the same: keys of 64 bits, and grouping without sorting.

A token of at most 7 bytes is its key: its bytes and its length. One of at most 15 bytes is its
first 8 and the key of the others. The key of both, and that of a longer token, is a hash of its
spelling; the spellings of tokens that share a key are then compared, so a clash is found, and
resolved by a dict. The constants of the hash differ between processes, so that no text can be made
to clash. They decide neither the order nor the value of anything returned.

Equal keys are grouped by a table of positions: every token writes its own position into the slot
of its key, and reads who remained there. Those that find another key try again with other slots.
"""

import os
from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from sklearn_codex._fast_counts._arrays import find_few, joined_ranges, words_at_any_byte

__all__ = [
    "FIRST_BYTES", "NEWLINE_BEHIND", "LongTokens", "MiddleTokens", "ShortTokens", "Slots",
    "TokensOfAKind", "count_words", "distinct", "first_types", "gather", "gather_long",
    "gather_middle", "gather_short", "parts",
]  # fmt: skip

_MULTIPLIERS = np.frombuffer(os.urandom(128), np.uint64) | np.uint64(1)
_INVERSE = np.uint64(pow(int(_MULTIPLIERS[1]), -1, 2**64))
_NEWLINE = ord("\n")
_PART_SIZE = 1 << 15

# To keep 0, ..., 8 of the bytes of a word: the lowest ones. A newline behind them.
FIRST_BYTES = np.array([2 ** (8 * n) - 1 for n in range(9)], np.uint64)
NEWLINE_BEHIND = np.array([_NEWLINE << (8 * n) for n in range(8)], np.uint64)


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

    def group_equal(self, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Do :func:`distinct` for keys of int64 (n,)."""
        return _number(self.last_equal(keys.view(np.uint64)))


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


class MiddleTokens(NamedTuple):
    """Tokens of 8 to 15 bytes.

    Attributes
    ----------
    keys : ndarray of uint64 (n,)
        Hashes.
    heads : ndarray of uint64 (n,)
        The first 8 bytes of each, the first lowest.
    tails : ndarray of uint64 (n,)
        The others, as keys of :class:`ShortTokens`.
    """

    keys: np.ndarray
    heads: np.ndarray
    tails: np.ndarray

    def select(self, kept: np.ndarray) -> "MiddleTokens":
        return MiddleTokens(self.keys[kept], self.heads[kept], self.tails[kept])

    @staticmethod
    def join(parts: Sequence["MiddleTokens"]) -> "MiddleTokens":
        return MiddleTokens(*map(np.concatenate, zip(*parts, strict=True)))

    def last_equal(self, slots: Slots) -> np.ndarray:
        last = slots.last_equal(self.keys)
        if np.array_equal(self.heads.take(last), self.heads) and np.array_equal(
            self.tails.take(last), self.tails
        ):
            return last
        return _last_equal(list(zip(self.heads.tolist(), self.tails.tolist(), strict=True)))

    def is_like(self, at: np.ndarray, others: "MiddleTokens", places: np.ndarray) -> np.ndarray:
        """Return whether tokens at (n,) are spelled as others at places (n,)."""
        is_like = self.heads.take(at) == others.heads.take(places)
        is_like &= self.tails.take(at) == others.tails.take(places)
        return is_like

    def as_long(self) -> "LongTokens":
        tails = ShortTokens(self.tails)
        n_rest = tails.lengths
        words = np.stack([self.heads, tails.words | NEWLINE_BEHIND[n_rest]], axis=1).ravel()
        return LongTokens(self.keys, n_rest + 8, np.arange(2, len(words) + 1, 2), words)


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
        words = self.words[np.repeat(is_kept, count_words(self.lengths))]
        lengths = self.lengths[kept]
        return LongTokens(self.keys[kept], lengths, np.cumsum(count_words(lengths)), words)

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

    def is_like(self, at: np.ndarray, others: "LongTokens", places: np.ndarray) -> np.ndarray:
        """Return whether tokens at (n,) are spelled as others at places (n,)."""
        is_like = self.lengths.take(at) == others.lengths.take(places)
        same = np.flatnonzero(is_like)
        at, places = at[same], places[same]
        n_words = count_words(self.lengths.take(at))
        own = self.words.take(joined_ranges(self.ends.take(at) - n_words, n_words))
        their = others.words.take(joined_ranges(others.ends.take(places) - n_words, n_words))
        if not np.array_equal(own, their):
            differs = np.flatnonzero(own != their)
            of_word = np.repeat(np.arange(len(same)), n_words)
            is_like[same[of_word[differs]]] = False
        return is_like

    def _are_spelled_alike(self, others):
        if not np.array_equal(self.lengths.take(others), self.lengths):
            return False
        moves, n_words = self.ends.take(others) - self.ends, count_words(self.lengths)
        start = 0
        for part in parts(len(self.keys)):
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
        return _last_equal(spellings)


TokensOfAKind = ShortTokens | MiddleTokens | LongTokens


def _last_equal(spellings):
    """Return for each the position of the last one that is equal, as int32 (n,)."""
    last = {spelling: position for position, spelling in enumerate(spellings)}
    return np.array([last[spelling] for spelling in spellings], np.int32)


def parts(n: int) -> Iterator[slice]:
    """Cut `range(n)` to parts of which what is computed stays in the cache."""
    return (slice(start, start + _PART_SIZE) for start in range(0, n, _PART_SIZE))


def count_words(lengths: np.ndarray) -> np.ndarray:
    """Count the words of long tokens, each with a newline behind."""
    return (lengths + 8) >> 3


def _unused_bits(lengths):
    return ((8 - lengths) << 3).view(np.uint64)


def first_types() -> tuple[ShortTokens, MiddleTokens, LongTokens]:
    """All ASCII characters as tokens, and none of the other kinds."""
    text = np.append(np.arange(128, dtype=np.uint8), np.zeros(7, np.uint8))
    text_words = words_at_any_byte(text)
    none = np.empty(0, np.int64)
    return (
        gather_short(text_words, np.arange(128), np.ones(128, np.int64)),
        gather_middle(text_words, none, none),
        gather_long(text_words, none, none),
    )


def gather(
    text_words: np.ndarray, first: np.ndarray, lengths: np.ndarray
) -> Iterator[tuple[np.ndarray, TokensOfAKind]]:
    """Gather tokens of other than one byte: the short, the middle and the long ones.

    Yields
    ------
    where : ndarray of int64 (n,)
        Those of a kind, by their index.
    tokens : ShortTokens, MiddleTokens or LongTokens (n,)
    """
    sizes = np.minimum(lengths, 16).astype(np.uint8)
    finders = (
        (np.flatnonzero(((sizes ^ 1) - np.uint8(1)) < 7), gather_short),  # 0, 2, ..., 7 bytes
        (find_few((sizes - np.uint8(8)) < 8), gather_middle),
        (find_few(sizes == 16), gather_long),
    )
    for where, of_kind in finders:
        yield where, of_kind(text_words, first.take(where), lengths.take(where))


def gather_short(text_words: np.ndarray, first: np.ndarray, lengths: np.ndarray) -> ShortTokens:
    """Gather tokens of at most 7 bytes."""
    keys = text_words[first]
    keys <<= _unused_bits(lengths)
    keys |= lengths.view(np.uint64)
    return ShortTokens(keys)


def gather_middle(text_words: np.ndarray, first: np.ndarray, lengths: np.ndarray) -> MiddleTokens:
    """Gather tokens of 8 to 15 bytes."""
    heads = text_words[first]
    tails = gather_short(text_words, first + 8, lengths - 8).keys
    return MiddleTokens(_hash_pairs(heads, tails), heads, tails)


def _hash_pairs(heads, tails):
    keys = heads * _MULTIPLIERS[0]
    keys ^= keys >> np.uint64(32)
    keys *= _MULTIPLIERS[2]
    keys += tails * _MULTIPLIERS[3]
    return keys


def gather_long(text_words: np.ndarray, first: np.ndarray, lengths: np.ndarray) -> LongTokens:
    """Gather tokens of 8 bytes and more."""
    n_words = count_words(lengths)
    ends = np.cumsum(n_words)
    at = ends - n_words
    position = np.repeat(first - 8 * at, n_words)
    position += np.arange(0, 8 * len(position), 8)
    words = text_words[position]
    n_last = lengths & 7
    words[ends - 1] = (words[ends - 1] & FIRST_BYTES[n_last]) | NEWLINE_BEHIND[n_last]
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


def distinct(tokens: TokensOfAKind, slots: Slots) -> tuple[np.ndarray, np.ndarray]:
    """Group equal tokens.

    Returns
    -------
    kept : ndarray of int64 (n_types,)
        Of each distinct token the last index, ascending.
    types : ndarray of int32 (n,)
        For each token the index in `kept` of its like.
    """
    return _number(tokens.last_equal(slots))


def _number(last):
    """Return the positions that are their own last ones, and for all the index in them."""
    kept = find_few(last == np.arange(len(last), dtype=np.int32))
    numbers = np.empty(len(last), np.int32)
    numbers[kept] = np.arange(len(kept), dtype=np.int32)
    return kept, numbers.take(last)
