"""From texts to the numbers of their tokens in a vocabulary that is known."""

from collections.abc import Iterable

import numpy as np

from sklearn_codex._fast_counts._arrays import find_few, words_at_any_byte
from sklearn_codex._fast_counts._counting import Tokens, end_lines, tokens_of_texts
from sklearn_codex._fast_counts._scan import Chunk, Splitter
from sklearn_codex._fast_counts._tables import KeyTable
from sklearn_codex._fast_counts._types import gather_long, gather_middle, gather_short

__all__ = ["HashClash", "TokenNumbers", "number_texts"]

CHUNK_SIZE = 1 << 18  # Characters: what is computed from them stays in the inner cache of a core.
# Up to 7 bytes of a short token, or so much of a hash, and below that the length of it, or one of
# these.
_N_BYTES, _N_KIND = np.uint64(8), np.uint64(4)
_MIDDLE, _LONG = np.uint64(8), np.uint64(9)
_N_BITS = 60


class HashClash(ValueError):
    """Two names have the same hash."""


class TokenNumbers:
    """Finds the numbers of tokens by their bytes.

    Parameters
    ----------
    names : list of str (n,)
        Distinct tokens.
    numbers : ndarray of int (n,)
        The number of each.
    rest : int
        The number of all other tokens.

    Raises
    ------
    HashClash
        If two names have one hash, so that none can be found by it.
    """

    def __init__(self, names: list[str], numbers: np.ndarray, rest: int):
        lengths = np.fromiter(map(len, names), np.int64, len(names))
        chunk = Chunk(names, lengths, slice(0, len(names)), lowercase=False)
        first = np.append(1, chunk.text_ends + 1)[:-1]
        keys, self._middle, self._long = _read(chunk.data, first, chunk.text_ends - first)
        if len(np.unique(keys)) < len(keys):
            raise HashClash("Two of the names of a vocabulary have the same hash.")
        self._numbers = np.append(numbers, rest).astype(np.int32)
        self._table = KeyTable(keys, _N_BITS)
        # Where the spelling of each longer name is.
        self._place = np.zeros(len(names), np.int32)
        for where, _ in (self._middle, self._long):
            self._place[where] = np.arange(len(where), dtype=np.int32)

    def find(self, tokens: Tokens) -> np.ndarray:
        """Return the numbers of tokens (n,), as int32."""
        data, first, lengths, _ = tokens
        keys, middle, long = _read(data, first, lengths)
        found = self._table.find(keys)
        self._forget_others(found, middle, self._middle)
        self._forget_others(found, long, self._long)
        return self._numbers.take(found)  # of -1 the last

    def _forget_others(self, found, asked, known):
        """Have as not found (n,) what is another token of the same hash."""
        (where, tokens), (_, names) = asked, known
        of_asked = found.take(where)
        at = np.flatnonzero(of_asked >= 0)
        place = self._place.take(of_asked.take(at))
        wrong = at[~tokens.is_like(at, names, place)]
        found[where[wrong]] = -1


def _read(data, first, lengths):
    """Return the keys of tokens (n,); and which are of middle length, or long, with these."""
    text_words = words_at_any_byte(data)
    sizes = np.minimum(lengths, 16).astype(np.uint8)
    keys = gather_short(text_words, first, np.minimum(sizes, 7).astype(np.int64)).keys
    kind = keys & np.uint64(7)
    keys >>= _N_BYTES
    keys <<= _N_KIND
    keys |= kind
    kinds = []
    for where, gather, mark in (
        (find_few((sizes - np.uint8(8)) < 8), gather_middle, _MIDDLE),
        (find_few(sizes == 16), gather_long, _LONG),
    ):
        tokens = gather(text_words, first.take(where), lengths.take(where))
        keys[where] = (tokens.keys >> _N_BYTES << _N_KIND) | mark
        kinds.append((where, tokens))
    return keys, *kinds


def number_texts(
    texts: list[str],
    rule: str,
    split: Splitter,
    known: TokenNumbers,
    *,
    end: int | None,
    literals: Iterable[str] = (),
    lowercase: bool = False,
    chunk_size: int = CHUNK_SIZE,
) -> tuple[np.ndarray, np.ndarray]:
    """Write texts as the numbers of their tokens.

    Parameters
    ----------
    texts, rule, split, literals, lowercase, chunk_size
        As of :meth:`FastCounts.of_texts`.
    known : TokenNumbers
        Tokens whose number is below 0 are left out.
    end : int or None
        A number to stand at the end of each document.

    Returns
    -------
    ids, starts
        As of :meth:`FastCounts.line_up`.
    """
    chunks, owners = tokens_of_texts(
        texts, rule, split, literals=literals, lowercase=lowercase, chunk_size=chunk_size
    )
    lines, lengths = [], []
    for tokens in chunks:
        lines.append(known.find(tokens))
        lengths.append(np.diff(tokens.starts))
    of_documents = np.concatenate(lengths)
    if owners is not None:
        of_documents = np.bincount(owners, of_documents).astype(np.int64)
    return end_lines(np.concatenate(lines), of_documents, end)
