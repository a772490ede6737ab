"""How often each n-gram occurs, a statistic that adds up over the parts of a corpus."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Ints", "Level", "NGramTable", "count_ngrams", "join_tables"]

Ints: TypeAlias = NDArray[np.integer[Any]]


class Level(NamedTuple):
    """The n-grams of one length.

    Attributes
    ----------
    keys : ndarray of int64 (n_ngrams,)
        Ascending: ``prefix * V + token``, the prefix being the index of the n-gram without its last
        token on the level below. Of two tokens it is the first, or V at the start of a document.
    counts : ndarray of int64 (n_ngrams,)
    """

    keys: Ints
    counts: Ints


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
            if renumbered is not None:
                prefix, token = np.divmod(keys, self.n_tokens)
                keys = renumbered[prefix] * self.n_tokens + token
            renumbered = np.cumsum(mask) - 1
            levels.append(Level(keys, level.counts[mask]))
        return NGramTable(self.n_tokens, tuple(levels))

    def prune(self, *, min_count: int = 1, max_ngrams: int | None = None) -> "NGramTable":
        """Return the n-grams of two tokens or more that occur often.

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
        if max_ngrams is not None and sum(sizes) > max_ngrams:
            counts = np.concatenate([level.counts for level in self.levels])
            first = np.argsort(-counts, kind="stable")[:max_ngrams]
            mask = np.zeros(len(counts), bool)
            mask[first] = True
            parts = np.split(mask, np.cumsum(sizes)[:-1])
            kept = [frequent & part for frequent, part in zip(kept, parts, strict=True)]
        return self if all(mask.all() for mask in kept) else self.select(kept)


def count_ngrams(ids: Ints, starts: Ints, n_tokens: int, order: int) -> NGramTable:
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
    """
    levels = []
    first = starts[:-1][np.diff(starts) > 0]
    prefix = np.empty(len(ids), np.int64)
    prefix[1:] = ids[:-1]
    prefix[first] = n_tokens
    for _ in range(order - 1):
        at = np.flatnonzero(prefix >= 0)
        keys = prefix[at] * n_tokens + ids[at]
        keys, numbers, counts = np.unique(keys, return_inverse=True, return_counts=True)
        levels.append(Level(keys, counts))
        # The n-gram that ends at a token is the prefix of what ends at the next one.
        at += 1
        prefix[:] = -1
        if len(at) and at[-1] == len(ids):
            at, numbers = at[:-1], numbers[:-1]
        prefix[at] = numbers
        prefix[first] = -1
    return NGramTable(n_tokens, tuple(levels))


def join_tables(
    tables: Iterable[NGramTable],
    *,
    columns: Iterable[Ints] | None = None,
    n_tokens: int | None = None,
) -> NGramTable:
    """Return the table of a corpus from those of its parts, all of one order.

    Parameters
    ----------
    tables : iterable of NGramTable
    columns : iterable of ndarray of int (V,) or None, default=None
        For each table what its tokens are in the joined one. Tokens may become the same one.
    n_tokens : int or None, default=None
        V of the joined one, None if that of the tables.
    """
    tables = list(tables)
    n_tokens = tables[0].n_tokens if n_tokens is None else n_tokens
    columns = [np.arange(t.n_tokens) for t in tables] if columns is None else list(columns)
    # Of the level below, the number in the joined table; a token is its own, V the start.
    numbers = [np.append(column, n_tokens) for column in columns]
    levels = []
    for depth in range(len(tables[0].levels)):
        parts = []
        for table, column, prefixes in zip(tables, columns, numbers, strict=True):
            prefix, token = np.divmod(table.levels[depth].keys, table.n_tokens)
            parts.append(prefixes[prefix] * n_tokens + column[token])
        keys, inverse = np.unique(np.concatenate(parts), return_inverse=True)
        every = np.concatenate([table.levels[depth].counts for table in tables])
        counts = np.bincount(inverse, every, len(keys)).astype(np.int64)
        levels.append(Level(keys, counts))
        numbers = np.split(inverse, np.cumsum([len(part) for part in parts])[:-1])
    return NGramTable(n_tokens, tuple(levels))
