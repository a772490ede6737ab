"""How often each n-gram occurs, a statistic that adds up over the parts of a corpus."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sklearn_codex._fast_counts import Slots

__all__ = ["Ints", "Level", "NGramTable", "count_ngrams", "join_tables", "part_documents"]

Ints: TypeAlias = NDArray[np.integer[Any]]

CHUNK_SIZE = 1 << 16  # Tokens; what is computed from them stays in the cache of a core.


class Level(NamedTuple):
    """The n-grams of one length.

    Attributes
    ----------
    keys : ndarray of int64 (n_ngrams,)
        Ascending: ``prefix * V + token``, the prefix being the index of the n-gram without its last
        token on the level below. Of two tokens it is the first, or V at the start of a document.
    counts : ndarray of int64 (n_ngrams,)
    lower : ndarray of int (n_ngrams,) or None, default=None
        Index of each without its first token on the level below, where it is known already. None
        also on the first level, where it is the last token.
    """

    keys: Ints
    counts: Ints
    lower: Ints | None = None


@dataclass(frozen=True)
class NGramTable:
    """N-grams and their counts.

    Attributes
    ----------
    n_tokens : int
        V; token t is the n-gram t of one token.
    levels : tuple of Level
        The n-grams of 2 tokens, of 3, and so on.
    """

    n_tokens: int
    levels: tuple[Level, ...]

    def select(self, kept: list[np.ndarray]) -> "NGramTable":
        """Return the n-grams kept, by a mask for each level; the prefixes of all are kept."""
        levels: list[Level] = []
        renumbered = None
        for level, mask in zip(self.levels, kept, strict=True):
            keys = level.keys[mask]
            lower = None if level.lower is None else level.lower[mask]
            if renumbered is not None:
                prefix, token = np.divmod(keys, self.n_tokens)
                keys = renumbered[prefix] * self.n_tokens + token
                lower = None if lower is None else renumbered[lower]
            renumbered = np.cumsum(mask) - 1
            levels.append(Level(keys, level.counts[mask], lower))
        return NGramTable(self.n_tokens, tuple(levels))

    def frequent(self, *, min_count: int = 1, max_ngrams: int | None = None) -> list[np.ndarray]:
        """Return which n-grams of two tokens or more occur often, by a mask for each level.

        What is part of an n-gram occurs as often as it or more, so the parts of all are kept.

        Parameters
        ----------
        min_count : int, default=1
            Those that occur less often go.
        max_ngrams : int or None, default=None
            This many stay, the most frequent; of equally frequent ones the shorter, then those that
            come first by their tokens.
        """
        kept = [level.counts >= min_count for level in self.levels]
        sizes = [len(level.counts) for level in self.levels]
        if max_ngrams is None or sum(sizes) <= max_ngrams:
            return kept
        counts = np.concatenate([level.counts for level in self.levels])
        most = np.zeros(len(counts), bool)
        most[np.argsort(-counts, kind="stable")[:max_ngrams]] = True
        parts = np.split(most, np.cumsum(sizes)[:-1])
        return [frequent & part for frequent, part in zip(kept, parts, strict=True)]

    def prune(self, *, min_count: int = 1, max_ngrams: int | None = None) -> "NGramTable":
        """Return the n-grams that occur often, as :meth:`frequent` says."""
        return self.select(self.frequent(min_count=min_count, max_ngrams=max_ngrams))


class _Part(NamedTuple):
    """The n-grams of one length in a part of a corpus: in any order, numbered within the part."""

    prefix: Ints
    token: Ints
    counts: Ints
    lower: Ints | None


def count_ngrams(
    ids: Ints, starts: Ints, n_tokens: int, order: int, *, chunk_size: int = CHUNK_SIZE
) -> tuple[NGramTable, Ints]:
    """Count the n-grams of documents.

    Parameters
    ----------
    ids : ndarray of int (n,)
        The tokens of all documents, one document after the other.
    starts : ndarray of int (n_documents + 1,)
        Where the tokens of each document start, and where those of the last end.
    n_tokens : int
        V.
    order : int
        Tokens of the longest n-grams. One of k tokens at the start of a document has k - 1 and
        the start itself.
    chunk_size : int, default=CHUNK_SIZE
        Tokens to work on at a time, documents being whole. The result does not depend on it.

    Returns
    -------
    table : NGramTable
    arcs : ndarray of int32 (n,)
        The longest n-gram that ends at each token, as an arc of the trie of the table.
    """
    arcs = np.array(ids, np.int32)
    if order == 1:
        return NGramTable(n_tokens, ()), arcs
    slots = Slots()
    chunks, places = [], []
    for first, end in part_documents(starts, chunk_size):
        place = slice(starts[first], starts[end])
        own = starts[first : end + 1] - starts[first]
        parts, arcs[place] = _count_chunk(ids[place], own, n_tokens, order, slots)
        chunks.append(parts)
        places.append(place)
    levels, numbers = _join(chunks, n_tokens)
    offsets = n_tokens + np.cumsum([0, *(len(level.keys) for level in levels)])
    for chunk, place in enumerate(places):
        arc_of = [of_level[chunk] + off for of_level, off in zip(numbers, offsets, strict=False)]
        arcs[place] = np.concatenate(arc_of)[arcs[place]]
    return NGramTable(n_tokens, levels), arcs


def part_documents(starts: Ints, size: int) -> Iterator[tuple[int, int]]:
    """Yield the first and the last document, exclusive, of parts of about so many tokens."""
    first, n_documents = 0, len(starts) - 1
    while first < n_documents:
        end = int(np.searchsorted(starts, starts[first] + size, side="right")) - 1
        end = min(max(end, first + 1), n_documents)
        yield first, end
        first = end


def _count_chunk(ids, starts, n_tokens, order, slots):
    """Return the parts (order - 1) of a chunk, and the longest n-gram at each token (n,).

    The latter are numbered through the parts.
    """
    first = starts[:-1][np.diff(starts) > 0]
    prefix = np.empty(len(ids), np.int64)
    prefix[1:] = ids[:-1]
    prefix[first] = n_tokens
    # `ending` has the n-grams of the level below that end at each token.
    kept, ending = slots.group_equal(prefix * n_tokens + ids)
    longest = ending.copy()
    counts = np.bincount(ending, minlength=len(kept))
    parts = [_Part(prefix[kept], ids[kept], counts, None)]
    offset, last = len(kept), np.int64(len(ids) - 1)
    at, numbers = np.arange(len(ids)), ending
    for _ in range(order - 2):
        # The n-gram that ends at a token is the prefix of what ends at the next one.
        goes_on = slice(None, np.searchsorted(at, last))
        prefix[:] = -1
        prefix[at[goes_on] + 1] = numbers[goes_on]
        prefix[first] = -1
        at = np.flatnonzero(prefix >= 0)
        of_end, token = prefix.take(at), ids.take(at)
        kept, numbers = slots.group_equal(of_end * n_tokens + token)
        counts = np.bincount(numbers, minlength=len(kept))
        parts.append(_Part(of_end[kept], token[kept], counts, ending.take(at[kept])))
        ending[at] = numbers
        longest[at] = numbers + offset
        offset += len(kept)
    return parts, longest


def join_tables(
    tables: Sequence[NGramTable],
    *,
    columns: Sequence[Ints] | None = None,
    n_tokens: int | None = None,
) -> NGramTable:
    """Return the table of a corpus from those of its parts, all of one order.

    Parameters
    ----------
    tables : sequence of NGramTable
    columns : sequence of ndarray of int (V,) or None, default=None
        For each table what its tokens are in the joined one. Tokens may become the same one.
    n_tokens : int or None, default=None
        V of the joined one, None if that of the tables.
    """
    parts = [
        [
            _Part(*np.divmod(level.keys, table.n_tokens), level.counts, level.lower)
            for level in table.levels
        ]
        for table in tables
    ]
    n_tokens = tables[0].n_tokens if n_tokens is None else n_tokens
    levels, _ = _join(parts, n_tokens, columns)
    return NGramTable(n_tokens, levels)


def _join(chunks, n_tokens, columns=None):
    """Return the levels of chunks, and by level and chunk the number of each n-gram of a part."""
    # Of the level below, the numbers in what is joined; a token is its own, V the start.
    below = None if columns is None else [np.append(column, n_tokens) for column in columns]
    n_below = n_tokens + 1
    levels: list[Level] = []
    numbers = []
    for parts in zip(*chunks, strict=True):
        prefix, token = [part.prefix for part in parts], [part.token for part in parts]
        if below is not None:
            prefix = [number[of] for number, of in zip(below, prefix, strict=True)]
        if columns is not None:
            token = [column[of] for column, of in zip(columns, token, strict=True)]
        keys, ranks = _rank(np.concatenate(prefix), np.concatenate(token), n_below, n_tokens)
        counts = np.bincount(ranks, np.concatenate([part.counts for part in parts]), len(keys))
        of_parts = np.split(ranks, np.cumsum([len(part.token) for part in parts])[:-1])
        lower = _join_lower(parts, below, of_parts, len(keys)) if levels else None
        levels.append(Level(keys, counts.astype(np.int64), lower))
        below = of_parts
        numbers.append(below)
        n_below = len(keys)
    return tuple(levels), numbers


def _join_lower(parts, below, numbers, n_keys):
    """Return `lower` of a level from those of its parts, if all know them."""
    if any(part.lower is None for part in parts):
        return None
    lower = np.empty(n_keys, np.int32)
    for part, of_below, of_part in zip(parts, below, numbers, strict=True):
        lower[of_part] = of_below[part.lower]
    return lower


def _rank(prefix, token, n_prefixes, n_tokens):
    """Return the distinct keys of pairs (n,), ascending, and for each pair the index of its key."""
    keys = prefix.astype(np.int64) * n_tokens + token
    n_bits = len(keys).bit_length()
    if (int(n_prefixes) * int(n_tokens)).bit_length() + n_bits < 64:
        # To sort numbers is several times as quick as to find their order: the place goes with it.
        keys <<= np.int64(n_bits)
        keys |= np.arange(len(keys))
        keys.sort()
        order = keys & ((1 << n_bits) - 1)
        keys >>= np.int64(n_bits)
    else:
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
    is_new = np.ones(len(keys), bool)
    np.not_equal(keys[1:], keys[:-1], out=is_new[1:])
    ranks = np.empty(len(keys), np.int32)
    ranks[order] = np.cumsum(is_new, dtype=np.int32) - np.int32(1)
    return keys[is_new], ranks
