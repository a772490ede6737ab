"""Where integers are among known ones, by tables of slots that do not hold them whole."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["KeyTable", "find_keys"]

_Ints: TypeAlias = NDArray[np.integer[Any]]

# Odd numbers without a pattern, one for each table in turn.
_MULTIPLIERS = (
    *(0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93),
    *(0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53),
)
_N_BITS = 64


def find_keys(keys: _Ints, wanted: _Ints) -> _Ints:
    """Return where each wanted key is among ascending ones; -1 where it is not."""
    at = np.searchsorted(keys, wanted)
    at[at == len(keys)] = 0
    return np.where(keys[at] == wanted, at, -1) if len(keys) else np.full(len(wanted), -1)


class _Slots:
    """A table of keys that met no other one in their slot.

    A key times an odd number, modulo a power of two, is another number that says which key it was.
    Its highest bits are the slot, and only the others need to be kept there, beside the place of
    the key plus one: 0 is a slot that is free. So a look is at one number.
    """

    def __init__(self, multiplier: int, n_bits: int, n_keys: int, n_places: int):
        n_slots = n_keys + n_keys // 2 + 1
        n_high = min(n_bits, 32)
        # As many of the lowest bits as tell the numbers of one slot apart, which are in a row.
        n_rest = max(n_bits - n_slots.bit_length() + 1, 0)
        n_place = n_places.bit_length()
        self.is_narrow = n_rest + n_place <= _N_BITS
        self._multiplier = np.uint64(multiplier >> (_N_BITS - n_bits) | 1)
        self._mask = np.uint64((1 << n_bits) - 1)
        self._low, self._high = np.uint64(n_bits - n_high), np.uint64(n_high)
        self._n_slots, self._rest_mask = np.uint64(n_slots), np.uint64((1 << n_rest) - 1)
        dtype = np.uint32 if n_rest + n_place <= 32 else np.uint64
        self._n_place, self._place_mask = dtype(n_place), dtype((1 << n_place) - 1)
        self.slots = np.zeros(n_slots if self.is_narrow else 0, dtype)

    def place(self, keys, places):
        """Put places (n,) into the slots of keys (n,); return which of them have theirs."""
        at, words = self._locate(keys)
        words |= (places + 1).astype(words.dtype)
        # Of several, the last one remains.
        self.slots[at] = words
        return self.slots[at] == words

    def look(self, keys):
        """Return the places (n,) in the slots of keys (n,), and where they are of others."""
        at, words = self._locate(keys)
        found = self.slots.take(at)
        words ^= found
        places = found & self._place_mask
        others = np.flatnonzero((words > self._place_mask) & (places > 0))
        places = places.astype(np.int32)
        places -= np.int32(1)
        return places, others

    def _locate(self, keys):
        """Return the slots (n,) of keys (n,), and what is kept there, without a place."""
        mixed = keys.view(np.uint64) * self._multiplier
        mixed &= self._mask
        at = mixed >> self._low
        at *= self._n_slots
        at >>= self._high
        mixed &= self._rest_mask
        words = mixed.astype(self.slots.dtype, copy=False)
        words <<= self._n_place
        return at.view(np.int64), words


class KeyTable:
    """Does :func:`find_keys` for many keys, a few times faster once it is made.

    What finds its slot taken goes to a table after the first, which is smaller, and so on. All of
    them have two slots a key, or a few more, of 4 or 8 bytes.

    Parameters
    ----------
    keys : ndarray of int64 or uint64 (n,)
        Distinct.
    n_bits : int, default=64
        All keys, and those that will be wanted, are at least 0 and less than ``2 ** n_bits``.
    """

    def __init__(self, keys: _Ints, n_bits: int = _N_BITS):
        self._tables: list[_Slots] = []
        pending = np.arange(len(keys), dtype=np.int32)
        for multiplier in _MULTIPLIERS:
            table = _Slots(multiplier, n_bits, len(pending), len(keys))
            if not table.is_narrow:
                break
            pending = pending[~table.place(keys[pending], pending)]
            self._tables.append(table)
            if not len(pending):
                break
        order = np.argsort(keys[pending])
        self._rest, self._rest_index = keys[pending[order]], pending[order]

    @property
    def nbytes(self) -> int:
        """Bytes of all that it holds."""
        tables = sum(table.slots.nbytes for table in self._tables)
        return tables + self._rest.nbytes + self._rest_index.nbytes

    def find(self, wanted: _Ints) -> _Ints:
        """Return where each wanted key (m,) is, as int32; -1 where it is not."""
        if not self._tables:  # as many keys of as many bits do not fit
            return np.append(self._rest_index, np.int32(-1))[find_keys(self._rest, wanted)]
        found, pending = self._tables[0].look(wanted)
        for table in self._tables[1:]:
            if not len(pending):
                return found
            found[pending], others = table.look(wanted.take(pending))
            pending = pending.take(others)
        if len(pending):
            at = find_keys(self._rest, wanted.take(pending))
            found[pending] = np.append(self._rest_index, np.int32(-1))[at]
        return found
