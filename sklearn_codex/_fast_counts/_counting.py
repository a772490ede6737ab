"""From texts to the counts of their types, chunk by chunk."""

import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import accumulate
from typing import Any, NamedTuple, Self

import numpy as np
import scipy.sparse as sp

from sklearn_codex._fast_counts._arrays import words_at_any_byte
from sklearn_codex._fast_counts._names import sort_by_spelling, sorted_names, spell
from sklearn_codex._fast_counts._rows import Block, build_matrix, count_rows
from sklearn_codex._fast_counts._scan import PADDING, Chunk, Splitter, find_tokens
from sklearn_codex._fast_counts._types import (
    Slots,
    TokensOfAKind,
    distinct,
    first_types,
    gather,
    gather_long,
    gather_short,
)

__all__ = ["FastCounts", "Tokens", "end_lines", "sort_strings", "tokens_of_texts"]

CHUNK_SIZE = 1 << 20  # Characters; what is computed from them stays in the cache of a core.
N_WAITING = 1 << 19  # Types of chunks that may wait to be told from those of other chunks.
MANY_STRINGS = 2_000  # Fewer are sorted faster one by one.
N_ONE_BYTE = 128  # Types of one byte come first, numbered by their byte.


class Tokens(NamedTuple):
    """The tokens of a chunk.

    Attributes
    ----------
    data : bytes
        As of a :class:`Chunk`.
    first : ndarray of int64 (n_tokens,)
        Position of the first byte of each, ascending.
    lengths : ndarray of int64 (n_tokens,)
        In bytes.
    starts : ndarray of int64 (n_texts + 1,)
        Where the tokens of each text start, and where those of the last end.
    """

    data: bytes
    first: np.ndarray
    lengths: np.ndarray
    starts: np.ndarray


class FastCounts:
    """Count the tokens of documents: `of_texts` by a built-in rule, `of_tokens` split already.

    Parameters
    ----------
    chunks : iterable of Tokens
    owners : ndarray of int64 (n_texts,) or None, default=None
        The document each text of the chunks was cut from, ascending; None if none was cut.
    in_order : bool, default=False
        Whether to keep the tokens in their order, for `line_up`.

    Attributes
    ----------
    types : ndarray of str objects (n_types,)
        The distinct tokens, by code point.
    """

    @classmethod
    def of_texts(
        cls,
        texts: list[str],
        rule: str,
        split: Splitter,
        *,
        literals: Iterable[str] = (),
        lowercase: bool = False,
        in_order: bool = False,
        chunk_size: int = CHUNK_SIZE,
    ) -> Self:
        """Count the tokens of texts by a built-in rule.

        Parameters
        ----------
        texts : list of str (n_documents,)
        rule : {"whitespace", "word", "code"}
        split : callable: str -> iterable of str
            The rule in full, for what bytes alone do not decide.
        literals : iterable of str, default=()
            The special tokens `split` knows.
        lowercase : bool, default=False
        in_order : bool, default=False
            As of the class.
        chunk_size : int, default=CHUNK_SIZE
            Characters to work on at a time. The result does not depend on it.
        """
        chunks, owners = tokens_of_texts(
            texts, rule, split, literals=literals, lowercase=lowercase, chunk_size=chunk_size
        )
        return cls(chunks, owners, in_order=in_order)

    @classmethod
    def of_tokens(
        cls,
        batches: Iterable[tuple[list[str], list[int]]],
        *,
        in_order: bool = False,
        chunk_size: int = CHUNK_SIZE,
    ) -> Self:
        """Count the tokens of documents.

        Parameters
        ----------
        batches : iterable of (tokens, ends)
            The tokens of consecutive documents, and for each document how many of them are those
            of it and of the ones before. A token may be any str, empty or with newlines.
        in_order : bool, default=False
            As of the class.
        chunk_size : int, default=CHUNK_SIZE
            Bytes to work on at a time. The result does not depend on it.
        """
        return cls(_join_batches(batches, chunk_size), in_order=in_order)

    def __init__(
        self,
        chunks: Iterable[Tokens],
        owners: np.ndarray | None = None,
        *,
        in_order: bool = False,
    ):
        self._owners = owners
        self._blocks, is_counted, tables = _count_chunks(chunks, in_order)
        ends = np.cumsum([len(table.types.keys) for table in tables])
        self._ids = [  # Numbers in the corpus of the types of each block.
            np.concatenate([np.arange(N_ONE_BYTE), short, ends[0] + middle, ends[1] + long])
            for short, middle, long in zip(*(table.ids for table in tables), strict=True)
        ]
        self._n_ids = ends[-1]
        counted = np.append(np.flatnonzero(is_counted), np.arange(N_ONE_BYTE, ends[0]))
        short, middle, long = (table.types for table in tables)
        spellings = spell(short.select(counted), middle.as_long(), long)
        del tables, short, middle, long  # The most memory is taken when the names are made.
        self.types, order = sorted_names(spellings)
        self._order = np.append(counted, np.arange(ends[0], ends[-1]))[order]  # (n_types,)

    @cached_property
    def totals(self) -> np.ndarray:
        """How often each type occurs (n_types,); to be asked for before `assign` takes it all."""
        totals = np.zeros(self._n_ids, np.int64)
        for block, ids in zip(self._blocks, self._ids, strict=True):
            totals[ids] += np.bincount(block.types, block.counts, block.n_types).astype(np.int64)
        return totals[self._order]

    def assign(
        self, columns: np.ndarray, n_columns: int, *, end_column: int | None = None
    ) -> sp.csr_array:
        """Bring the counts to columns. Possible once: memory is given back on the way.

        Parameters
        ----------
        columns : ndarray of int (n_types,)
            Column of each type, -1 to leave it out. Counts in one column are added up.
        n_columns : int
        end_column : int or None, default=None
            A column to count one more in each row.

        Returns
        -------
        counts : csr_array of float64 (n_documents, n_columns)
            Canonical.
        """
        blocks, columns_of_blocks = self._take_blocks(columns)
        owners = self._owners
        if owners is None:
            owners = np.arange(sum(len(block.starts) - 1 for block in blocks))
        has_end = np.diff(owners, prepend=-1) > 0
        counts = build_matrix(
            blocks, columns_of_blocks, n_columns, end_column=end_column, has_end=has_end
        )
        if self._owners is None:
            return counts
        dtype = counts.indptr.dtype
        places = (owners.astype(dtype), np.arange(len(owners), dtype=dtype))
        shape = (owners[-1] + 1, len(owners))
        adder = sp.csr_array((np.ones(len(owners)), places), shape=shape)
        counts = sp.csr_array(adder @ counts)
        counts.sort_indices()
        return counts

    def line_up(
        self, columns: np.ndarray, *, end_column: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Write the columns of tokens in their order. Possible once, as `assign`.

        Parameters
        ----------
        columns : ndarray of int (n_types,)
            Column of each type, -1 to leave it out.
        end_column : int or None, default=None
            A column to stand at the end of each document.

        Returns
        -------
        ids : ndarray of int32 (n,)
            The tokens of all documents, one document after the other.
        starts : ndarray of int64 (n_documents + 1,)
            Where those of each document start, and where those of the last end.
        """
        blocks, columns_of_blocks = self._take_blocks(columns.astype(np.int32))
        lines = [
            of_types.take(block.types)
            for block, of_types in zip(blocks, columns_of_blocks, strict=True)
        ]
        lengths = np.concatenate([np.diff(block.starts) for block in blocks])
        ids = np.concatenate(lines)
        return end_lines(ids, self._join_cut(lengths), end_column)

    def _join_cut(self, lengths):
        """Return the tokens (n_documents,) of documents from those of their texts (n_texts,)."""
        if self._owners is None:
            return lengths
        return np.bincount(self._owners, lengths).astype(np.int64)

    def _take_blocks(self, columns):
        """Return the blocks, which are given up, and for each the columns of its types."""
        column_of = np.zeros(self._n_ids, columns.dtype)
        column_of[self._order] = columns
        blocks, ids = self._blocks, self._ids
        del self._blocks, self._ids
        return blocks, [column_of[of_block] for of_block in ids]


def end_lines(
    ids: np.ndarray, lengths: np.ndarray, end_column: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Leave out tokens of column -1, and write one at the end of each document.

    Parameters
    ----------
    ids : ndarray of int (n,)
        Tokens of all documents, one document after the other.
    lengths : ndarray of int (n_documents,)
        How many each document has.
    end_column : int or None

    Returns
    -------
    ids, starts
        As `FastCounts.line_up` returns them.
    """
    starts = np.append(0, np.cumsum(lengths, dtype=np.int64))
    is_kept = ids >= 0
    if not is_kept.all():
        starts = np.append(0, np.cumsum(is_kept))[starts]
        ids = ids[is_kept]
    if end_column is None:
        return ids, starts
    starts += np.arange(len(starts))
    ended = np.full(starts[-1], end_column, ids.dtype)
    is_token = np.ones(len(ended), bool)
    is_token[starts[1:] - 1] = False
    ended[is_token] = ids
    return ended, starts


class _HashTable:
    """The distinct types of one kind of all chunks so far.

    The types of chunks wait until there are as many as are known: so each is moved a few times
    only, however long the corpus.

    Attributes
    ----------
    types : ShortTokens, MiddleTokens or LongTokens (n_types,)
    ids : list of ndarray
        For each chunk the index in `types` of each of its types, once they are merged.
    """

    def __init__(self, types: TokensOfAKind, slots: Slots):
        self._slots = slots
        self.types: Any = types
        self.ids: list[np.ndarray] = []
        self._waiting: list = []
        self._n_waiting = 0

    def add(self, types: TokensOfAKind) -> None:
        """Take the types of a chunk."""
        self._waiting.append(types)
        self._n_waiting += len(types.keys)
        if self._n_waiting > max(N_WAITING, len(self.types.keys)):
            self.merge()

    def merge(self) -> None:
        """Tell the types that wait from those known."""
        n_known = len(self.types.keys)
        ends = np.cumsum([len(types.keys) for types in self._waiting])
        every = self.types.join([*self._waiting, self.types])
        self._waiting.clear()
        kept, ids = distinct(every, self._slots)
        # The last of its like is kept, so all known types are. They keep their numbers.
        ids += n_known
        ids[ids >= len(kept)] -= len(kept)
        new = every.select(kept[: len(kept) - n_known])
        del every
        self.types = self.types.join([self.types, new])
        self.ids += np.split(ids, ends)[:-1]
        self._n_waiting = 0


def sort_strings(texts: list[str]) -> np.ndarray:
    """Return the order of strings by code point, as int64 (n,)."""
    n = len(texts)
    if n < MANY_STRINGS:
        return np.array(sorted(range(n), key=texts.__getitem__), np.int64)
    lengths = np.fromiter(map(len, texts), np.int64, n)
    chunk = Chunk(texts, lengths, slice(0, n), lowercase=False)
    first = np.append(1, chunk.text_ends[:-1] + 1)
    lengths = chunk.text_ends - first
    text_words = words_at_any_byte(chunk.data)
    short, long = np.flatnonzero(lengths < 8), np.flatnonzero(lengths > 7)
    spellings = spell(
        gather_short(text_words, first[short], lengths[short]),
        gather_long(text_words, first[long], lengths[long]),
    )
    return np.append(short, long)[sort_by_spelling(spellings)]


def tokens_of_texts(
    texts: list[str],
    rule: str,
    split: Splitter,
    *,
    literals: Iterable[str],
    lowercase: bool,
    chunk_size: int,
) -> tuple[Iterator[Tokens], np.ndarray | None]:
    """Return the tokens of chunks of texts, and their owners; all is as of :class:`FastCounts`."""
    literals = [] if rule == "whitespace" else list(literals)
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    texts, lengths, owners = _cut_long_texts(texts, lengths, 4 * chunk_size)
    parts = _split_evenly(lengths, chunk_size)
    chunks = (Chunk(texts, lengths, part, lowercase) for part in parts)
    return (
        Tokens(chunk.data, *find_tokens(chunk, rule, split, literals)) for chunk in chunks
    ), owners


def _cut_long_texts(texts, lengths, limit):
    """Cut texts at blanks, since what does not fit the cache takes longer and much memory.

    Returns
    -------
    texts : list of str (n_texts,)
    lengths : ndarray of int64 (n_texts,)
    owners : ndarray of int64 (n_texts,) or None
        The text each was cut from; None if there was nothing to cut.
    """
    long = np.flatnonzero(lengths > limit).tolist()
    if not long:
        return texts, lengths, None
    blank = re.compile(r"\s")
    pieces: list[str] = []
    owners: list[int] = []
    done = 0
    for position in long:
        pieces += texts[done:position]
        owners += range(done, position)
        text, start = texts[position], 0
        while start < len(text):
            found = blank.search(text, start + limit)
            end = found.end() if found else len(text)
            pieces.append(text[start:end])
            owners.append(position)
            start = end
        done = position + 1
    pieces += texts[done:]
    owners += range(done, len(texts))
    return pieces, np.fromiter(map(len, pieces), np.int64, len(pieces)), np.array(owners)


def _split_evenly(lengths: np.ndarray, size: int) -> Iterator[slice]:
    ends = np.cumsum(lengths + 1)
    start, before = 0, 0
    while start < len(ends):
        end = max(start + 1, int(np.searchsorted(ends, before + size, side="right")))
        yield slice(start, end)
        start, before = end, ends[end - 1]


def _join_batches(batches, size) -> Iterator[Tokens]:
    """Join batches of tokens to chunks, each batch to bytes while its `str` are in the cache."""
    group, n_bytes = [], 0
    for tokens, ends in batches:
        lines, line_ends = _spell_lines(tokens)
        group.append((lines, line_ends, np.array(ends, np.int64)))
        n_bytes += len(lines)
        if n_bytes >= size:
            yield _join_lines(*zip(*group, strict=True))
            group, n_bytes = [], 0
    if group:
        yield _join_lines(*zip(*group, strict=True))


def _spell_lines(tokens):
    """Write each token and a newline behind; return the bytes and the positions of the newlines."""
    text = "\n".join(tokens) + "\n" * bool(tokens)
    lines = text.encode("utf-8", "surrogatepass")
    ends = np.flatnonzero(np.frombuffer(lines, np.uint8) == ord("\n"))
    if len(ends) > len(tokens):  # Some hold a newline.
        sizes = [len(token.encode("utf-8", "surrogatepass")) + 1 for token in tokens]
        ends = np.cumsum(sizes) - 1
    return lines, ends


def _join_lines(lines, line_ends, ends) -> Tokens:
    data = b"".join([b"\n", *lines, PADDING.encode()])
    newlines = _join_shifted(line_ends, map(len, lines), start=1)
    first = np.append(1, newlines + 1)[:-1]
    return Tokens(
        data, first, newlines - first, np.append(0, _join_shifted(ends, map(len, line_ends)))
    )


def _join_shifted(parts, sizes, start=0):
    """Concatenate positions in parts of a whole as positions in the whole."""
    offsets = accumulate(sizes, initial=start)
    return np.concatenate([part + offset for part, offset in zip(parts, offsets, strict=False)])


def _count_chunks(chunks, in_order) -> tuple[list[Block], np.ndarray, list[_HashTable]]:
    """Count the tokens of all chunks.

    Returns
    -------
    blocks : list of Block
    is_counted : ndarray of bool (N_ONE_BYTE,)
        The types of one byte that occur.
    tables : list of _HashTable
        Those of the short types (all of one byte included), of the middle and of the long ones.
    """
    blocks: list[Block] = []
    is_counted = np.zeros(N_ONE_BYTE, bool)
    slots = Slots()
    tables = [_HashTable(types, slots) for types in first_types()]
    for tokens in chunks:
        block, kinds = _count_chunk(tokens, slots)
        block = (block if in_order else count_rows(block)).compress()
        blocks.append(block)
        is_known = np.append(is_counted, np.ones(block.n_types - N_ONE_BYTE, bool))
        if not is_known.take(block.types).all():
            is_known[block.types] = True
            is_counted = is_known[:N_ONE_BYTE]
        for table, types in zip(tables, kinds, strict=True):
            table.add(types)
    for table in tables:
        table.merge()
    return blocks, is_counted, tables


def _count_chunk(tokens, slots) -> tuple[Block, list[TokensOfAKind]]:
    """Give the types of a chunk numbers, those of one byte first, then the other kinds."""
    data, first, lengths, starts = tokens
    kinds, numbered = [], []
    n_types = N_ONE_BYTE
    for where, of_kind in gather(words_at_any_byte(data), first, lengths):
        kept, numbers = distinct(of_kind, slots)
        numbers += n_types
        n_types += len(kept)
        kinds.append(of_kind.select(kept))
        numbered.append((where, numbers))
    ids = np.frombuffer(data, np.uint8).take(first).astype(np.min_scalar_type(n_types))
    for where, numbers in numbered:
        ids[where] = numbers
    return Block(n_types, starts, ids, None), kinds
