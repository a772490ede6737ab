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
from typing import NamedTuple

import numpy as np

__all__ = ["Slots", "Types", "distinct_types", "join_types", "sorted_names", "words_at_any_byte"]

_MULTIPLIERS = np.frombuffer(os.urandom(128), np.uint64) | np.uint64(1)
_INVERSE = np.uint64(pow(int(_MULTIPLIERS[1]), -1, 2**64))
_LONG = np.uint64(8)  # The low half byte of a long key; that of a short one is its length.


# To keep 0, ..., 8 of the bytes of a word: the lowest ones, or the highest.
_FIRST_BYTES = np.array([2 ** (8 * n) - 1 for n in range(9)], np.uint64)
_LEADING_BYTES = _FIRST_BYTES.byteswap()


def words_at_any_byte(buffer) -> np.ndarray:
    """View the 8 bytes from each position on as an integer, the first byte lowest (n - 7,)."""
    return np.ndarray((len(buffer) - 7,), "<u8", buffer, strides=(1,))


def joined_ranges(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Concatenate `arange(start, start + length)` of all pairs."""
    ends = np.cumsum(lengths)
    positions = np.repeat(starts - (ends - lengths), lengths)
    positions += np.arange(len(positions))
    return positions


class Types(NamedTuple):
    """Tokens and how they are spelled.

    Attributes
    ----------
    keys : ndarray of uint64 (n,)
        A token of at most 7 bytes is spelled by its key.
    lengths : ndarray of int64 (n,)
        In bytes.
    at : ndarray of int64 (n,)
        Index in `words` of the first word of a longer token.
    words : ndarray of uint64 (n_words,)
        The spelling of the longer tokens, one after the other: 8 bytes a word, zeros behind.
    """

    keys: np.ndarray
    lengths: np.ndarray
    at: np.ndarray
    words: np.ndarray

    def select(self, kept: np.ndarray) -> "Types":
        """Keep some tokens, by ascending index."""
        is_kept = np.zeros(len(self.keys), bool)
        is_kept[kept] = True
        words = self.words[np.repeat(is_kept, _count_words(self.lengths))]
        lengths = self.lengths[kept]
        n_words = _count_words(lengths)
        return Types(self.keys[kept], lengths, np.cumsum(n_words) - n_words, words)


def _count_words(lengths):
    return np.where(lengths > 7, (lengths + 7) >> 3, 0)


def _unused_bits(lengths):
    return ((8 - lengths) << 3).view(np.uint64)


def one_byte_types() -> Types:
    """All ASCII characters, as tokens."""
    text = np.append(np.arange(128, dtype=np.uint8), np.zeros(7, np.uint8))
    return short_types(words_at_any_byte(text), np.arange(128), np.ones(128, np.int64))


def short_types(text_words: np.ndarray, first: np.ndarray, lengths: np.ndarray) -> Types:
    """Gather tokens of at most 7 bytes."""
    keys = text_words[first]
    keys <<= _unused_bits(lengths)
    keys |= lengths.view(np.uint64)
    return Types(keys, lengths, np.zeros(len(keys), np.int64), np.empty(0, np.uint64))


def long_types(text_words: np.ndarray, first: np.ndarray, lengths: np.ndarray) -> Types:
    """Gather tokens of 8 bytes and more."""
    n_words = (lengths + 7) >> 3
    ends = np.cumsum(n_words)
    at = ends - n_words
    position = _word_positions(first, at, n_words)
    words = text_words[position]
    words[ends - 1] &= _FIRST_BYTES[((lengths - 1) & 7) + 1]
    return Types(_hash(words, at, ends, lengths), lengths, at, words)


def _word_positions(first, at, n_words):
    """Positions of the words of tokens, given those of their first ones."""
    position = np.repeat(first - 8 * at, n_words)
    position += np.arange(0, 8 * len(position), 8)
    return position


def _hash(words, at, ends, lengths):
    """Hash each spelling: the sum of its words, each by a power of a constant."""
    mixed = words * _MULTIPLIERS[0]
    mixed ^= mixed >> np.uint64(32)
    mixed *= np.cumprod(np.full(len(words), _MULTIPLIERS[1]))
    sums = np.append(np.uint64(0), np.cumsum(mixed))
    keys = sums[ends] - sums[at]
    # The powers go on from token to token: divide by the one before the first word.
    keys *= np.cumprod(np.full(len(words) + 1, _INVERSE))[at]
    keys += lengths.view(np.uint64) * _MULTIPLIERS[2]
    keys *= _MULTIPLIERS[3]
    keys ^= keys >> np.uint64(32)
    return (keys << np.uint64(4)) | _LONG


def join_types(parts: Sequence[Types]) -> Types:
    offsets = np.cumsum([0, *(len(part.words) for part in parts[:-1])])
    return Types(
        np.concatenate([part.keys for part in parts]),
        np.concatenate([part.lengths for part in parts]),
        np.concatenate([part.at + offset for part, offset in zip(parts, offsets, strict=True)]),
        np.concatenate([part.words for part in parts]),
    )


class Slots:
    """A table of slots, used again and again."""

    def __init__(self):
        self._slots = np.empty(0, np.int32)

    def last_equal(self, keys: np.ndarray) -> np.ndarray:
        """Return for each key the position of the last one that is equal (n,)."""
        n = len(keys)
        n_bits = max(n.bit_length(), 4)
        if len(self._slots) < 1 << n_bits:
            self._slots = np.empty(1 << n_bits, np.int32)
        slots, shift = self._slots, np.uint64(64 - n_bits)
        slot = (keys * _MULTIPLIERS[4] >> shift).view(np.int64)
        # Where an index occurs again, numpy keeps the last value assigned.
        slots[slot] = np.arange(n, dtype=np.int32)
        last = slots[slot]
        pending = np.flatnonzero(keys[last] != keys)
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


def distinct_types(tokens: Types, slots: Slots) -> tuple[np.ndarray, np.ndarray]:
    """Group equal tokens.

    Returns
    -------
    kept : ndarray of int64 (n_types,)
        Of each distinct token the last index, ascending.
    types : ndarray of int32 (n,)
        For each token the index in `kept` of its like.
    """
    last = slots.last_equal(tokens.keys)
    if len(tokens.words) and not _are_spelled_alike(tokens, last):
        last = _last_equal_spelling(tokens)
    kept = np.flatnonzero(last == np.arange(len(last), dtype=np.int32))
    numbers = np.empty(len(last), np.int32)
    numbers[kept] = np.arange(len(kept), dtype=np.int32)
    return kept, numbers[last]


def _are_spelled_alike(tokens, last):
    if not np.array_equal(tokens.lengths[last], tokens.lengths):
        return False
    is_copy = last != np.arange(len(last), dtype=np.int32)
    is_copy &= tokens.lengths > 7
    copies = np.flatnonzero(is_copy)
    n_words = (tokens.lengths[copies] + 7) >> 3
    at = tokens.at[copies]
    index = joined_ranges(at, n_words)
    words = tokens.words[index]
    index += np.repeat(tokens.at[last[copies]] - at, n_words)
    return np.array_equal(words, tokens.words[index])


def _last_equal_spelling(tokens):
    """Do by a dict what keys that clash cannot do."""
    n_words = _count_words(tokens.lengths)
    columns = (tokens.keys, tokens.lengths, tokens.at, tokens.at + n_words)
    spellings = [
        (key, length, tokens.words[at:end].tobytes())
        for key, length, at, end in zip(*(column.tolist() for column in columns), strict=True)
    ]
    last = {spelling: position for position, spelling in enumerate(spellings)}
    return np.array([last[spelling] for spelling in spellings], np.int32)


def sorted_names(types: Types) -> tuple[np.ndarray, np.ndarray]:
    """Decode types and sort them by code point.

    Returns
    -------
    names : ndarray of str objects (n,)
    order : ndarray of int64 (n,)
        `names[i]` is the type `order[i]`.
    """
    order = _sort(types)
    text = _spell(types, order)
    wide = np.flatnonzero(text >= 0x80)
    # As Latin-1, a text is decoded by copying; few names need more than that.
    text = str(text, "latin-1")
    names = text.split("\n")[:-1]
    del text
    if len(wide):
        ends = np.cumsum(types.lengths[order] + 1)
        for position in np.unique(np.searchsorted(ends, wide, side="right")).tolist():
            names[position] = names[position].encode("latin-1").decode("utf-8", "surrogatepass")
    return np.array(names, dtype=object), order


def _spell(types, order):
    """Write types in an order given, as utf-8, each followed by a newline."""
    lengths = types.lengths[order]
    ends = np.cumsum(lengths + 1)
    text = np.empty((int(ends[-1]) if len(ends) else 0) + 8, np.uint8)
    n_words = (lengths + 7) >> 3
    word_ends = np.cumsum(n_words)
    at = word_ends - n_words
    position = _word_positions(ends - lengths - 1, at, n_words)
    index = joined_ranges(types.at[order], n_words)
    short = np.flatnonzero(lengths < 8)
    words = np.append(types.words, np.uint64(0)).take(index, mode="clip")
    words[at[short]] = types.keys[order[short]] >> _unused_bits(lengths[short])
    # Written in order: what a word spills over the next type, the next overwrites.
    words_at_any_byte(text)[position] = words
    text[ends - 1] = ord("\n")
    return text[:-8]


def _sort(types):
    """Sort by bytes, which in utf-8 is by code point: by the first 8, then the ties by more."""
    words = types.keys >> _unused_bits(np.minimum(types.lengths, 8))
    long = np.flatnonzero(types.lengths > 7)
    words[long] = types.words[types.at[long]]
    key = words.byteswap()
    order = np.argsort(key, kind="stable")
    tied, group = _find_ties(key[order])
    indices = order[tied]
    rest, position = types.lengths[indices] - 8, types.at[indices] * 8 + 8
    words = words_at_any_byte(np.append(types.words, np.uint64(0)).view(np.uint8))
    while len(tied):
        if rest.max() <= 0:  # What is still tied differs by NULs at the end.
            order[tied] = indices[np.lexsort((rest, group))]
            break
        # Beside the number of the tie, there is room for some of the next 8 bytes.
        n_bytes = min((64 - int(group[-1]).bit_length()) // 8, 7)
        key = words[np.where(rest > 0, position, 0)].byteswap()
        key &= _LEADING_BYTES[np.clip(rest, 0, n_bytes)]
        key >>= np.uint64(64 - 8 * n_bytes)
        key |= group.view(np.uint64) << np.uint64(8 * n_bytes)
        permutation = np.argsort(key, kind="stable")
        order[tied] = indices[permutation]
        kept, group = _find_ties(key[permutation])
        tied, permutation = tied[kept], permutation[kept]
        indices = indices[permutation]
        rest, position = rest[permutation] - n_bytes, position[permutation] + n_bytes
    return order


def _find_ties(key):
    """Positions of sorted keys that are equal to a neighbour, and the number of their tie."""
    same = key[1:] == key[:-1]
    tied = np.append(same, False)
    tied[1:] |= same
    kept = np.flatnonzero(tied)
    key = key[kept]
    return kept, np.cumsum(np.append(False, key[1:] != key[:-1])[: len(key)])
