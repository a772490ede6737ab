"""Runs of characters, or of words, in texts, counted as numbers rather than as strings.

A run of up to n of them becomes one integer to the base of the size of the alphabet, or of the
vocabulary, a digit each. Sorted, these are in the order of the strings, so that columns are those
of scikit-learn.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from scipy import sparse

__all__ = ["count_ngrams", "count_word_ngrams"]

# As scikit-learn does before it takes characters.
_BLANKS = re.compile(r"\s\s+")
_CHUNK_SIZE = 200_000  # characters or words
_N_CODE_POINTS = 0x110000
_MOST = 2**63 - 1
_MOST_KEPT = 2**24
"""Runs of texts, 12 bytes each, that are kept for the second pass; more are sorted again."""


def count_ngrams(
    texts: Sequence[str],
    low: int,
    high: int,
    min_df: int,
    advance: Callable[[float], object] = lambda share: None,
):
    """Return how often each text has each run of ``low`` to ``high`` characters.

    The counts are those of ``CountVectorizer(analyzer="char", ngram_range=(low, high),
    min_df=min_df)``, computed in a third of the time and without its names.

    Parameters
    ----------
    texts : sequence of str
        One or more; they are put in lower case.
    low, high : int
        The shortest and the longest runs.
    min_df : int
        Runs in fewer texts are left out.
    advance : callable
        Called with the share that is done.

    Returns
    -------
    counts : csr_array of int of shape (n_texts, n_runs) or None
        Sorted, in the smallest type that holds them; None where the alphabet is too large for a run
        to be one integer.
    """
    texts = [_BLANKS.sub(" ", text.lower()) for text in texts]
    lengths = [len(text) for text in texts]
    seen = np.zeros(_N_CODE_POINTS, dtype=bool)
    for start, stop in _borders(lengths):
        seen[_code_points(texts[start:stop])] = True
    digit = np.cumsum(seen)  # of the alphabet, from 1; 0 is the end of a shorter run

    def read(start, stop):
        return digit[_code_points(texts[start:stop])]

    return _count_runs(_Chunks(read, lengths, int(digit[-1]) + 1, low, high), min_df, advance)


def count_word_ngrams(
    texts: Sequence[str],
    split: Callable[[str], list[str]],
    low: int,
    high: int,
    min_df: int,
    advance: Callable[[float], object] = lambda share: None,
):
    """Return how often each text has each run of ``low`` to ``high`` words.

    The counts are those of ``CountVectorizer(tokenizer=split, ngram_range=(low, high),
    min_df=min_df)``, as long as no word holds a character that is sorted before a blank beside
    others, computed in a third of the time and without its names.

    Parameters
    ----------
    texts, low, high, min_df, advance
        As for :func:`count_ngrams`.
    split : callable
        Returns the words of a text in lower case.

    Returns
    -------
    counts : csr_array of int of shape (n_texts, n_runs) or None
        As of :func:`count_ngrams`.
    """
    code: defaultdict[str, int] = defaultdict()
    code.default_factory = code.__len__
    codes = [np.array([code[word] for word in split(text.lower())], np.int32) for text in texts]
    rank = np.empty(len(code), dtype=np.int64)
    rank[[code[word] for word in sorted(code)]] = np.arange(1, len(code) + 1)

    def read(start, stop):
        return rank[np.concatenate(codes[start:stop])]

    lengths = [len(of_text) for of_text in codes]
    return _count_runs(_Chunks(read, lengths, len(code) + 1, low, high), min_df, advance)


def _count_runs(chunks, min_df, advance):
    """Return the counts (n_texts, n_runs), None where a run is not one integer."""
    if not chunks.are_exact:
        return None
    n_texts = len(chunks.lengths)
    runs, n_texts_with = _count_texts(chunks)
    kept = n_texts_with >= min_df
    runs, n_entries = runs[kept], int(n_texts_with[kept].sum())
    columns = np.empty(n_entries, dtype=np.int32)
    counts = np.empty(n_entries, dtype=np.uint16)
    ends = [0]
    for of_texts, numbers in chunks:
        advance(0.4 + 0.6 * (len(ends) - 1) / n_texts)
        if numbers.size and numbers.max() > np.iinfo(counts.dtype).max:
            counts = counts.astype(np.int32)
        found = np.concatenate(of_texts)
        column = np.minimum(np.searchsorted(runs, found), max(len(runs) - 1, 0))
        is_known = runs[column] == found if len(runs) else np.zeros(len(found), dtype=bool)
        n_known = np.concatenate([[0], np.cumsum(is_known)])
        start = ends[-1]
        columns[start : start + n_known[-1]] = column[is_known]
        counts[start : start + n_known[-1]] = numbers[is_known]
        ends += (start + n_known[np.cumsum([len(part) for part in of_texts])]).tolist()
    return sparse.csr_array((counts, columns, np.array(ends)), shape=(n_texts, len(runs)))


def _borders(lengths) -> Iterator[tuple[int, int]]:
    """Yield where chunks of texts of these lengths begin and end."""
    start = n = 0
    for i, length in enumerate(lengths):
        n += length
        if n >= _CHUNK_SIZE:
            yield start, i + 1
            start, n = i + 1, 0
    if start < len(lengths):
        yield start, len(lengths)


class _Chunks:
    """Some texts at a time: the runs of each, sorted, and how often it has each of them.

    Parameters
    ----------
    read : callable
        Returns the digits, from 1, of texts ``start`` to ``stop``.
    lengths : list of int
        How many each text has.
    base : int
        Above all digits.
    low, high : int
        The shortest and the longest runs.
    """

    def __init__(self, read, lengths, base, low, high):
        self._read, self._base, self._low, self._high = read, base, low, high
        self.lengths = lengths
        self.are_exact = base**high <= _MOST
        self._kept: list[tuple] = []
        self._n_kept = 0

    def __iter__(self):
        for n_chunk, (start, stop) in enumerate(_borders(self.lengths)):
            if n_chunk < len(self._kept):
                yield self._kept[n_chunk]
                continue
            made = _sort_each(self._runs(self._read(start, stop)), self.lengths[start:stop])
            if n_chunk == len(self._kept) and self._n_kept + len(made[1]) <= _MOST_KEPT:
                self._kept.append(made)
                self._n_kept += len(made[1])
            yield made

    def _runs(self, digits):
        """Return (size, integers of the runs of that size from each place), across borders too."""
        value, runs = digits, []
        for size in range(2, self._high + 1):
            value = value[:-1] * self._base + digits[size - 1 :]
            if size >= self._low:
                runs.append((size, value * self._base ** (self._high - size)))
        return [(1, digits * self._base ** (self._high - 1))] * (self._low == 1) + runs


def _code_points(texts):
    return np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)


def _sort_each(runs, lengths):
    """Return the distinct runs of each text, sorted, and how often each occurs, of all texts."""
    found, numbers, start = [], [], 0
    for length in lengths:
        parts = [values[start : max(start, start + length - size + 1)] for size, values in runs]
        of_text = np.concatenate(parts)
        of_text.sort()
        is_border = np.ones(len(of_text) + (len(of_text) > 0), dtype=bool)
        np.not_equal(of_text[1:], of_text[:-1], out=is_border[1:-1])
        borders = np.flatnonzero(is_border)
        found.append(of_text[borders[:-1]])
        numbers.append(borders[1:] - borders[:-1])
        start += length
    return found, np.concatenate(numbers).astype(np.int32)


def _count_texts(chunks):
    """Return all runs, sorted, and the number of texts that have each."""
    known = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    waiting: list[tuple] = []
    for of_texts, _ in chunks:
        waiting.append(np.unique(np.concatenate(of_texts), return_counts=True))
        if sum(len(runs) for runs, _ in waiting) > len(known[0]):
            known, waiting = _add_up([known, *waiting]), []
    return _add_up([known, *waiting])


def _add_up(parts):
    """Return the distinct runs of some counts, sorted, and their sums."""
    runs = np.concatenate([part[0] for part in parts])
    numbers = np.concatenate([part[1] for part in parts])
    order = np.argsort(runs, kind="stable")
    runs, numbers = runs[order], numbers[order]
    first = np.flatnonzero(np.concatenate([[True], runs[1:] != runs[:-1]]))[: len(runs)]
    return runs[first], np.add.reduceat(numbers, first) if len(first) else numbers
