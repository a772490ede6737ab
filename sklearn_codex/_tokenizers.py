"""The built-in tokenizers as regular expressions, and counts of any tokens by a dict."""

import re
import reprlib
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

__all__ = ["BUILT_IN", "DictCounts", "build_splitter", "call_tokenizer", "count_types"]

_DIGITS = r"\d(?:_?\d)*"
_NUMBER = (
    r"0[xX](?:_?[0-9a-fA-F])+|0[bB](?:_?[01])+|0[oO](?:_?[0-7])+"
    rf"|(?:{_DIGITS}(?:\.(?:{_DIGITS})?)?|\.{_DIGITS})(?:[eE][+-]?{_DIGITS})?[jJ]?"
)
_OPERATOR = r"\.\.\.|(?:\*\*|//|>>|<<)=?|->|[-+*/%&|^@:=!<>]="
# Without lookaround a token matches in full wherever it stands, so splitting the joined tokens of
# a text gives the same tokens again.
_PATTERNS = {
    "code": rf"[^\W\d]\w*|{_NUMBER}|{_OPERATOR}|\S",
    "word": r"\w+|[^\w\s]",
}
BUILT_IN = ("whitespace", *_PATTERNS)


def build_splitter(rule: str, literals: Iterable[str]) -> Callable[[str], list[str]]:
    """Build a built-in tokenizer.

    Parameters
    ----------
    rule : {"whitespace", "code", "word"}
    literals : iterable of str
        Special tokens: each is one token wherever a token may start, the longest that matches.

    Returns
    -------
    split : callable: str -> list of str
    """
    if rule == "whitespace":
        return str.split
    longest_first = sorted(literals, key=len, reverse=True)
    # Without the lookahead "UNK" would cut the identifier "UNKNOWN" in two.
    specials = [re.sub(r"(?<=\w)$", r"(?!\\w)", re.escape(literal)) for literal in longest_first]
    return re.compile("|".join([*specials, _PATTERNS[rule]])).findall


def call_tokenizer(tokenizer: Callable[[str], Any], text: str, *, subject: str) -> list[str]:
    """Call a tokenizer of the user and check that it returns tokens."""
    tokens = tokenizer(text)
    valid = isinstance(tokens, Iterable) and not isinstance(tokens, (str, bytes))
    tokens = list(tokens) if valid else tokens
    if not valid or not all(isinstance(token, str) for token in tokens):
        raise TypeError(
            f"The tokenizer of {subject} must return an iterable of str, such as "
            f"a list, got {reprlib.repr(tokens)} for the text {reprlib.repr(text)}."
        )
    return tokens


def count_types(documents: Iterable[Iterable[str]]) -> tuple[list[str], sp.csr_array]:
    """Count the tokens of each document: the types as they first occur, counts (n, n_types)."""
    type_index: defaultdict[str, int] = defaultdict()
    type_index.default_factory = type_index.__len__
    indices, indptr = array("q"), array("q", [0])
    for tokens in documents:
        indices.extend(map(type_index.__getitem__, tokens))
        indptr.append(len(indices))
    # Solvers that take 32-bit indices only refuse any other, however small the matrix.
    index_dtype = sp.get_index_dtype(maxval=len(indices))
    counts = sp.csr_array(
        (np.ones(len(indices)), np.asarray(indices, index_dtype), np.asarray(indptr, index_dtype)),
        shape=(len(indptr) - 1, len(type_index)),
    )
    counts.sum_duplicates()
    return list(type_index), counts


class DictCounts:
    """Count tokens by a dict, whatever splits the texts.

    Parameters
    ----------
    texts : sequence of str (n_documents,)
    split : callable: str -> iterable of str
    lowercase : bool, default=False

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
        split: Callable[[str], Iterable[str]],
        *,
        lowercase: bool = False,
    ):
        documents = (split(text.lower()) for text in texts) if lowercase else map(split, texts)
        types, self._counts = count_types(documents)
        self._order = sorted(range(len(types)), key=types.__getitem__)  # (n_types,)
        self.types = np.array([types[index] for index in self._order], dtype=object)
        self.totals = self._counts.sum(axis=0)[self._order].astype(np.int64)

    def assign(
        self, columns: np.ndarray, n_columns: int, *, end_column: int | None = None
    ) -> sp.csr_array:
        """Bring the counts to columns.

        Parameters
        ----------
        columns : ndarray of int (n_types,)
            Column of each type, negative to leave it out. Counts in one column are added up.
        n_columns : int
        end_column : int or None, default=None
            A column to count one more in each row.

        Returns
        -------
        counts : csr_array of float64 (n_documents, n_columns)
            Canonical.
        """
        dtype = self._counts.indices.dtype
        index = np.empty(len(columns), dtype)
        index[self._order] = columns
        kept = np.flatnonzero(index >= 0).astype(dtype)
        shape = (len(index), n_columns)
        selector = sp.csr_array((np.ones(len(kept)), (kept, index[kept])), shape=shape)
        counts = sp.csr_array(self._counts @ selector)  # (n, n_columns)
        counts.sort_indices()
        if end_column is None:
            return counts
        n = counts.shape[0]
        rows = np.arange(n + 1, dtype=dtype)
        ends = sp.csr_array((np.ones(n), np.full(n, end_column, dtype), rows), shape=counts.shape)
        return counts + ends
