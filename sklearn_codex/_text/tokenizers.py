"""Tokenizers, built in or of the user, and which way their tokens are counted."""

import re
import reprlib
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import scipy.sparse as sp

from sklearn_codex._fast_counts import (
    FastCounts,
    HashClash,
    TokenNumbers,
    end_lines,
    number_texts,
    sort_strings,
)
from sklearn_codex._text.scripts import build_script_splitter, has_unspaced

__all__ = [
    "BUILT_IN", "FAST", "DictCounts", "build_splitter", "count_tokens", "number_tokens",
    "rule_in_a_row", "split_texts",
]  # fmt: skip

# Texts of fewer characters are counted faster by a dict.
_MIN_FAST_SIZE = {"whitespace": 64_000, "word": 16_000, "code": 16_000, "callable": 128_000}
_BATCH_SIZE = 1 << 12  # Tokens to hold as str at a time, as many as fit the cache.

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
# Rules that know the scripts without blanks, and what they are for any other text.
_BY_SCRIPT = {"script": "whitespace", "script-word": "word"}
# The same without pairs, which repeat characters and are no sequence; for who counts n-grams.
_IN_A_ROW = {rule: f"{rule}, in a row" for rule in _BY_SCRIPT}
FAST = ("whitespace", *_PATTERNS)  # what bytes are split by
BUILT_IN = (*_BY_SCRIPT, *FAST)
_BY_SCRIPT |= {row: _BY_SCRIPT[rule] for rule, row in _IN_A_ROW.items()}


def rule_in_a_row(tokenizer: Any) -> Any:
    """Return the rule of a tokenizer whose tokens are a sequence: each character in one of them."""
    return _IN_A_ROW.get(tokenizer, tokenizer) if isinstance(tokenizer, str) else tokenizer


def is_in_a_row(rule: Any) -> bool:
    """Return whether a rule knows scripts without blanks, and its tokens are a sequence."""
    return rule in _IN_A_ROW.values()


def build_splitter(rule: str, literals: Iterable[str]) -> Callable[[str], list[str]]:
    """Build a built-in tokenizer.

    Parameters
    ----------
    rule : {"script", "script-word", "whitespace", "code", "word"}
        Or what :func:`rule_in_a_row` makes of it.
    literals : iterable of str
        Special tokens: each is one token wherever a token may start, the longest that matches.

    Returns
    -------
    split : callable: str -> list of str
    """
    if rule in _BY_SCRIPT:
        literals = list(literals)
        base = build_splitter(_BY_SCRIPT[rule], literals)
        return build_script_splitter(base, literals, pairs=rule not in _IN_A_ROW.values())
    if rule == "whitespace":
        return str.split
    longest_first = sorted(literals, key=len, reverse=True)
    # Without the lookahead "UNK" would cut the identifier "UNKNOWN" in two.
    specials = [re.sub(r"(?<=\w)$", r"(?!\\w)", re.escape(literal)) for literal in longest_first]
    return re.compile("|".join([*specials, _PATTERNS[rule]])).findall


def split_texts(
    texts: Sequence[str],
    tokenizer: Callable[[str], Any],
    *,
    lowercase: bool = False,
    subject: str = "TokenCounter",
) -> Iterator[tuple[list[str], list[int]]]:
    """Split texts, so many at a time that their tokens fit the cache.

    Parameters
    ----------
    texts : sequence of str (n_documents,)
    tokenizer : callable: str -> iterable of str
        It is called once for each text.
    lowercase : bool, default=False
    subject : str, default="TokenCounter"
        Whose tokenizer it is, for messages.

    Yields
    ------
    tokens : list of str (n_tokens,)
        Those of consecutive texts.
    ends : list of int (n_texts,)
        How many of them are those of a text and of the ones before.

    Raises
    ------
    TypeError
        If the tokenizer returns anything but an iterable of str.
    """
    tokens: list[str] = []
    ends: list[int] = []
    done = 0
    for text in texts:
        found = tokenizer(text.lower() if lowercase else text)
        # Not +=, which an array of tokens takes for a sum.
        tokens.extend(found if type(found) is list else _check_iterable(found, text, subject))
        ends.append(len(tokens))
        if len(tokens) >= _BATCH_SIZE or len(ends) >= _BATCH_SIZE:
            yield _check_tokens(tokens, ends, texts[done : done + len(ends)], subject), ends
            done += len(ends)
            tokens, ends = [], []
    yield _check_tokens(tokens, ends, texts[done:], subject), ends


def _check_iterable(tokens, text, subject):
    if isinstance(tokens, Iterable) and not isinstance(tokens, (str, bytes)):
        return tokens
    raise _wrong_tokens(tokens, text, subject)


def _check_tokens(tokens, ends, texts, subject):
    """Check that tokens are str; those of a subclass become plain ones."""
    if set(map(type, tokens)) <= {str}:
        return tokens
    for (start, end), text in zip(pairwise([0, *ends]), texts, strict=True):
        if not all(isinstance(token, str) for token in tokens[start:end]):
            raise _wrong_tokens(tokens[start:end], text, subject)
    return list(map(str.__str__, tokens))


def _wrong_tokens(tokens, text, subject):
    return TypeError(
        f"The tokenizer of {subject} must return an iterable of str, such as "
        f"a list, got {reprlib.repr(tokens)} for the text {reprlib.repr(text)}."
    )


def count_tokens(
    texts: list[str],
    tokenizer: str | Callable[[str], Any],
    *,
    literals: Iterable[str] = (),
    lowercase: bool = False,
    in_order: bool = False,
    subject: str = "TokenCounter",
) -> "FastCounts | DictCounts":
    """Count the tokens of each text, in the faster of two ways.

    Parameters
    ----------
    texts : list of str (n_documents,)
    tokenizer : {"script", "script-word", "whitespace", "code", "word"} or callable
        A callable: str -> iterable of str.
    literals : iterable of str, default=()
        The special tokens, which built-in tokenizers keep whole.
    lowercase : bool, default=False
    in_order : bool, default=False
        Whether to keep the tokens in their order.
    subject : str, default="TokenCounter"
        Whose tokenizer it is, for messages.

    Returns
    -------
    counts : FastCounts or DictCounts
        With the same attributes and methods `assign`, and `line_up` for tokens in order.
    """
    texts, rule, split = _choose_rule(texts, tokenizer, literals, lowercase=lowercase)
    is_large = _are_longer(texts, _MIN_FAST_SIZE[rule])
    if is_large and rule != "callable":
        return FastCounts.of_texts(
            texts, rule, split, literals=literals, lowercase=lowercase, in_order=in_order
        )
    batches = split_texts(texts, split, lowercase=lowercase, subject=subject)
    return (FastCounts.of_tokens if is_large else DictCounts)(batches, in_order=in_order)


def number_tokens(
    texts: list[str],
    tokenizer: str | Callable[[str], Any],
    known: Callable[[], TokenNumbers],
    *,
    end: int | None,
    least: int,
    literals: Iterable[str] = (),
    lowercase: bool = False,
) -> tuple[np.ndarray, np.ndarray] | None:
    """Write texts as the numbers of their tokens, where bytes tell these; None elsewhere.

    Parameters
    ----------
    texts, tokenizer, literals, lowercase
        As of :func:`count_tokens`.
    known : callable
        Returns the numbers of tokens, which take their time to be made.
    end : int or None
        A number to stand at the end of each document.
    least : int
        Characters of texts from which on that is worth it.

    Returns
    -------
    ids, starts
        As `line_up` of counts returns them.
    """
    texts, rule, split = _choose_rule(texts, tokenizer, literals, lowercase=lowercase)
    if rule == "callable" or not _are_longer(texts, max(least, _MIN_FAST_SIZE[rule])):
        return None
    try:
        return number_texts(
            texts, rule, split, known(), end=end, literals=literals, lowercase=lowercase
        )
    except HashClash:
        return None


def _choose_rule(texts, tokenizer, literals, *, lowercase):
    """Return texts, a rule that knows nothing of scripts, and what splits by it."""
    rule = tokenizer if isinstance(tokenizer, str) else "callable"
    split = build_splitter(rule, literals) if isinstance(tokenizer, str) else tokenizer
    if rule in _BY_SCRIPT:
        texts, rule = _without_scripts(texts, rule, split, lowercase=lowercase)
        split = build_splitter(rule, literals) if rule != "callable" else split
    return texts, rule, split


def _are_longer(texts, size):
    """Return whether texts have so many characters or more."""
    return any(total >= size for total in accumulate(map(len, texts)))


def _without_scripts(texts, rule, split, *, lowercase):
    """Return texts and a rule that knows nothing of scripts, for equal counts.

    Blanks between the tokens of a text make it one to be split at blanks, so that one Chinese text
    does not slow down all others. There is no such way to write words.
    """
    if all(map(str.isascii, texts)) or not any(map(has_unspaced, texts)):
        return texts, _BY_SCRIPT[rule]
    if _BY_SCRIPT[rule] == "word":
        return texts, "callable"
    return [
        " ".join(split(text.lower() if lowercase else text)) if has_unspaced(text) else text
        for text in texts
    ], "whitespace"


def _number_types(batches):
    """Return types as they first occur, those of all tokens, and where documents start."""
    type_index: defaultdict[str, int] = defaultdict()
    type_index.default_factory = type_index.__len__
    indices, indptr = array("q"), array("q", [0])
    for tokens, ends in batches:
        n_before = len(indices)
        # An array grows slower by single numbers than a list does.
        found = np.array(list(map(type_index.__getitem__, tokens)), np.int64)
        indices.frombytes(found.tobytes())
        indptr.frombytes((np.array(ends, np.int64) + n_before).tobytes())
    return list(type_index), np.asarray(indices, np.int64), np.asarray(indptr, np.int64)


class DictCounts:
    """Count tokens by a dict, which is faster where they are few.

    Parameters
    ----------
    batches : iterable of (tokens, ends)
        As from :func:`split_texts`.
    in_order : bool, default=False
        Whether to keep the tokens in their order, for `line_up`.

    Attributes
    ----------
    types : ndarray of str objects (n_types,)
        The distinct tokens, by code point.
    totals : ndarray of int64 (n_types,)
        How often each occurs.
    """

    def __init__(self, batches: Iterable[tuple[list[str], list[int]]], *, in_order: bool = False):
        types, ids, starts = _number_types(batches)
        self._line = (ids, starts) if in_order else None
        # Solvers that take 32-bit indices only refuse any other, however small the matrix.
        dtype = sp.get_index_dtype(maxval=len(ids))
        self._counts = sp.csr_array(
            (np.ones(len(ids)), ids.astype(dtype), starts.astype(dtype)),
            shape=(len(starts) - 1, len(types)),
        )
        self._counts.sum_duplicates()
        self._order = sort_strings(types)  # (n_types,)
        self.types = np.array([types[index] for index in self._order.tolist()], dtype=object)
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

    def line_up(
        self, columns: np.ndarray, *, end_column: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Write the columns of tokens in their order, as `FastCounts.line_up`."""
        if self._line is None:
            raise ValueError("These tokens were counted, not kept in order.")
        ids, starts = self._line
        index = np.empty(len(columns), np.int32)
        index[self._order] = columns
        return end_lines(index[ids], np.diff(starts), end_column)
