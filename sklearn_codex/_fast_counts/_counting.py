"""From texts to the counts of their types, chunk by chunk."""

import re
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import scipy.sparse as sp

from sklearn_codex._fast_counts._rows import (
    Block,
    Entries,
    build_matrix,
    count_pairs,
    join_entries,
)
from sklearn_codex._fast_counts._scan import Chunk, Splitter, find_tokens
from sklearn_codex._fast_counts._types import (
    Slots,
    Types,
    distinct_types,
    join_types,
    long_types,
    one_byte_types,
    short_types,
    sorted_names,
    words_at_any_byte,
)

__all__ = ["FastCounts"]

CHUNK_SIZE = 1 << 19  # Characters; what is computed from them stays in the cache of a core.
N_WAITING = 1 << 17  # Types of chunks that may wait to be told from those of other chunks.
N_ONE_BYTE = 128  # Types of one byte come first, numbered by their byte.
MANY_TOKENS = 64  # In texts of more tokens, some occur again so often that counting them pays.


class FastCounts:
    """Count the tokens of texts by a built-in rule.

    Parameters
    ----------
    texts : sequence of str (n_documents,)
    rule : {"whitespace", "word", "code"}
    split : callable: str -> iterable of str
        The rule in full, for what bytes alone do not decide.
    literals : iterable of str, default=()
        The special tokens `split` knows.
    lowercase : bool, default=False
    chunk_size : int, default=CHUNK_SIZE
        Characters to work on at a time. The result does not depend on it.

    Attributes
    ----------
    types : ndarray of str objects (n_types,)
        The distinct tokens, by code point.
    totals : ndarray of int64 (n_types,)
        How often each occurs.
    """

    def __init__(
        self,
        texts: Sequence[str],
        rule: str,
        split: Splitter,
        *,
        literals: Iterable[str] = (),
        lowercase: bool = False,
        chunk_size: int = CHUNK_SIZE,
    ):
        self._n_documents = len(texts)
        literals = [] if rule == "whitespace" else list(literals)
        lengths = np.fromiter(map(len, texts), np.int64, len(texts))
        texts, lengths, self._owners = _cut_long_texts(texts, lengths, 4 * chunk_size)
        self._blocks: list[Block] = []
        self._ids: list[np.ndarray] = []  # Numbers in the corpus of the types of each block.
        corpus = _CorpusTypes()
        for part in _split_evenly(lengths, chunk_size):
            chunk = Chunk(texts[part], lengths[part], lowercase)
            found = find_tokens(chunk, rule, split, literals)
            block, types = _count_chunk(chunk, *found, corpus.slots)
            self._blocks.append(block)
            self._ids += corpus.add(types, block)
        self._ids += corpus.merge()
        totals = corpus.totals
        counted = np.flatnonzero(totals)
        counted_types = corpus.types.select(counted)
        del corpus  # The most memory is taken when the names are made.
        self.types, order = sorted_names(counted_types)
        self._order = counted[order]  # (n_types,)
        self._n_ids = len(totals)
        self.totals = totals[self._order].astype(np.int64)

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
        column_of = np.zeros(self._n_ids, np.int64)
        column_of[self._order] = columns
        blocks, ids = self._blocks, self._ids
        self._blocks, self._ids = [], []
        one_byte = np.arange(N_ONE_BYTE)
        columns_of_blocks = [column_of[np.append(one_byte, of_block)] for of_block in ids]
        owners = np.arange(self._n_documents) if self._owners is None else self._owners
        has_end = np.diff(owners, prepend=-1) > 0
        counts = build_matrix(
            blocks, columns_of_blocks, n_columns, end_column=end_column, has_end=has_end
        )
        if self._owners is None:
            return counts
        dtype = counts.indptr.dtype
        places = (owners.astype(dtype), np.arange(len(owners), dtype=dtype))
        shape = (self._n_documents, len(owners))
        adder = sp.csr_array((np.ones(len(owners)), places), shape=shape)
        counts = sp.csr_array(adder @ counts)
        counts.sort_indices()
        return counts


class _CorpusTypes:
    """The distinct types of all chunks so far, and their totals.

    The types of chunks wait until there are as many as are known: so each is moved a few times
    only, however long the corpus.
    """

    def __init__(self):
        self.slots = Slots()
        self.types = one_byte_types()
        self.totals = np.zeros(N_ONE_BYTE)
        self._waiting: list[Types] = []
        self._totals: list[np.ndarray] = []
        self._n_waiting = 0

    def add(self, types: Types, block: Block) -> list[np.ndarray]:
        """Take the types of a block; if they are merged, return what `merge` does."""
        totals = np.bincount(block.entries.types, block.entries.counts, block.n_types)
        self.totals[:N_ONE_BYTE] += totals[:N_ONE_BYTE]
        self._waiting.append(types)
        self._totals.append(totals[N_ONE_BYTE:])
        self._n_waiting += len(types.keys)
        return self.merge() if self._n_waiting > max(N_WAITING, len(self.totals)) else []

    def merge(self) -> list[np.ndarray]:
        """Return for each chunk that waited the numbers of its types in the corpus."""
        n_known = len(self.totals)
        ends = np.cumsum([len(types.keys) for types in self._waiting])
        every = join_types([*self._waiting, self.types])
        self._waiting.clear()
        kept, ids = distinct_types(every, self.slots)
        # The last of its like is kept, so all known types are. They keep their numbers.
        ids += n_known
        ids[ids >= len(kept)] -= len(kept)
        self.types = join_types([self.types, every.select(kept[: len(kept) - n_known])])
        self.totals = np.bincount(ids, np.concatenate([*self._totals, self.totals]))
        self._totals, self._n_waiting = [], 0
        return np.split(ids, ends)[:-1]


def _cut_long_texts(texts, lengths, limit):
    """Cut texts at blanks, since what does not fit the cache takes longer and much memory.

    Returns
    -------
    texts : sequence of str (n_texts,)
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


def _count_chunk(chunk, single, first, end, slots) -> tuple[Block, Types]:
    """Count the tokens of a chunk; its types of more than one byte come after N_ONE_BYTE."""
    types, ids = _group_tokens(chunk, first, end, slots)
    n_rows, n_types = len(chunk.text_ends), N_ONE_BYTE + len(types.keys)
    single_rows, rows = _rows_of(chunk, single, first)
    if len(single) + len(first) > MANY_TOKENS * n_rows:
        one_byte = count_pairs(single_rows, chunk.bytes[single], N_ONE_BYTE, slots)
        others = count_pairs(rows, ids, n_types, slots)
    else:
        one_byte = Entries(single_rows, chunk.bytes[single], None)
        others = Entries(rows, ids, None)
    entries = join_entries([one_byte, others], n_rows, n_types)
    return Block(n_rows, n_types, entries), types


def _group_tokens(chunk, first, end, slots):
    """Find the distinct tokens of two bytes or more, and the type of each, from N_ONE_BYTE."""
    text_words = words_at_any_byte(chunk.data)
    lengths = end - first
    is_long = lengths > 7
    long, short = np.flatnonzero(is_long), np.flatnonzero(~is_long)
    short_tokens = short_types(text_words, first[short], lengths[short])
    kept_short, short_ids = distinct_types(short_tokens, slots)
    long_tokens = long_types(text_words, first[long], lengths[long])
    kept_long, long_ids = distinct_types(long_tokens, slots)
    ids = np.empty(len(first), np.int32)
    short_ids += N_ONE_BYTE
    ids[short] = short_ids
    long_ids += N_ONE_BYTE + len(kept_short)
    ids[long] = long_ids
    types = join_types([short_tokens.select(kept_short), long_tokens.select(kept_long)])
    return types, ids


def _rows_of(chunk, *tokens):
    """Rows of tokens given by their positions."""
    n_rows = len(chunk.text_ends)
    if 64 * n_rows > len(chunk.data):
        is_end = np.zeros(len(chunk.data), bool)
        is_end[chunk.text_ends] = True
        rows = np.cumsum(is_end, dtype=np.int32)
        return [rows[positions] for positions in tokens]
    n_before = [np.searchsorted(positions, chunk.text_ends) for positions in tokens]
    return [np.repeat(np.arange(n_rows, dtype=np.int32), np.diff(n, prepend=0)) for n in n_before]
