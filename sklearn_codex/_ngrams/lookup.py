"""Where keys are among others: by a table of slots, or by searching; n-grams among those known."""

from typing import Any

import numpy as np

from sklearn_codex._ngrams.table import Ints

__all__ = ["KeyTable", "find_keys", "find_ngrams"]

# Odd numbers without a pattern; a key goes to the slot of the first that is free.
_MULTIPLIERS = np.array(
    [
        *(0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93),
        *(0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53),
    ],
    np.uint64,
)


def find_keys(keys: Ints, wanted: Ints) -> Ints:
    """Return where each wanted key is among ascending ones; -1 where it is not."""
    at = np.searchsorted(keys, wanted)
    at[at == len(keys)] = 0
    return np.where(keys[at] == wanted, at, -1) if len(keys) else np.full(len(wanted), -1)


class KeyTable:
    """Does :func:`find_keys` for many keys, a few times faster once it is made.

    Parameters
    ----------
    keys : ndarray of int64 (n,)
        Ascending, at least one.
    """

    def __init__(self, keys: Ints):
        self._keys = keys
        n_bits = (2 * len(keys)).bit_length()
        self._shift = np.uint64(64 - n_bits)
        self._slots = np.full(1 << n_bits, -1, np.int32)
        self._n_rounds = 0
        pending = np.arange(len(keys), dtype=np.int32)
        for multiplier in _MULTIPLIERS:
            slot = self._slot_of(keys[pending], multiplier)
            is_free = self._slots[slot] < 0
            # Of several, the last one remains.
            self._slots[slot[is_free]] = pending[is_free]
            pending = pending[self._slots[slot] != pending]
            self._n_rounds += 1
            if not len(pending):
                break
        self._has_rest = len(pending) > 0

    def _slot_of(self, keys, multiplier):
        slot = keys.view(np.uint64) * multiplier
        slot >>= self._shift
        return slot.view(np.int64)

    def find(self, wanted: Ints) -> Ints:
        """Return where each wanted key (m,) of int64 is; -1 where it is not."""
        found = self._slots.take(self._slot_of(wanted, _MULTIPLIERS[0]))
        # A slot that is free says that there is no such key; -1 reads the last one in vain.
        pending = np.flatnonzero((self._keys.take(found) != wanted) & (found >= 0))
        for multiplier in _MULTIPLIERS[1 : self._n_rounds]:
            rest = wanted[pending]
            at = self._slots.take(self._slot_of(rest, multiplier))
            found[pending] = at
            pending = pending[(self._keys.take(at) != rest) & (at >= 0)]
        if len(pending):
            found[pending] = find_keys(self._keys, wanted[pending]) if self._has_rest else -1
        return found


def find_ngrams(trie: Any, ngrams: Ints) -> Ints:
    """Return the arcs (n,) of a trie that n-grams are; -1 where one is none.

    Parameters
    ----------
    trie : Trie
        The n-grams that are known.
    ngrams : ndarray of int (n, k)
        Their tokens, behind -1 where they are shorter, -2 being the start of a document. One with
        any other number below 0 is none.
    """
    contexts = np.zeros(len(ngrams), np.int32)
    arcs = np.full(len(ngrams), -1, np.int32)
    for tokens in ngrams.T:
        contexts[tokens < -1] = -1
        contexts[tokens == -2] = trie.start
        at = np.flatnonzero((tokens >= 0) & (contexts >= 0))
        arcs[tokens != -1] = -1
        arcs[at] = trie.find(contexts[at], tokens[at])
        contexts[at] = trie.context_of_arc[arcs[at]]
    return arcs
