"""Vocabularies: how often each type, a distinct token, occurs, and which of them get a column."""

import json
import reprlib
import warnings
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Set
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from sklearn_codex._checks.numbers import MOST_TOKENS
from sklearn_codex.exceptions import RareTokensWarning

_FEWEST_TOKENS = 300  # Fewer may be different by chance.


class TypeTotals(NamedTuple):
    """Types and their totals, a sufficient statistic that adds up over parts of a corpus.

    Attributes
    ----------
    types : ndarray of str objects (n_types,)
        The distinct tokens, by code point.
    totals : ndarray of int64 (n_types,)
        How often each occurs.
    """

    types: np.ndarray
    totals: np.ndarray


def join_totals(parts: Iterable[TypeTotals]) -> TypeTotals:
    """Return the totals of a corpus from those of its parts; their order makes no difference."""
    joined: dict[str, int] = {}
    for types, totals in parts:
        pairs = zip(types.tolist(), totals.tolist(), strict=True)
        if joined:
            for token, total in pairs:
                joined[token] = joined.get(token, 0) + total
        else:
            joined = dict(pairs)
    names = sorted(joined)
    types = np.empty(len(names), dtype=object)
    types[:] = names
    totals = np.fromiter(map(joined.__getitem__, names), np.int64, len(names))
    return TypeTotals(types, totals)


def warn_of_rare_tokens(counted: Any, *, subject: str) -> None:
    """Warn where more than two thirds of the tokens of a corpus, not too few, occur once.

    Single punctuation marks are left out. English needs about 50 one-line texts to fall below.

    Parameters
    ----------
    counted : TypeTotals, or counts with these two attributes
    subject : str
        Who counted them, for the message.
    """
    is_rare = counted.totals == 1
    n_once, n_tokens = int(is_rare.sum()), int(counted.totals.sum())
    # With all punctuation left out the share may double, as every second token may be a mark.
    if n_tokens < _FEWEST_TOKENS or 3 * n_once <= n_tokens:
        return
    is_mark = np.array([len(token) == 1 and not token.isalnum() for token in counted.types])
    n_tokens -= int(counted.totals[is_mark].sum())
    n_once -= int((is_rare & is_mark).sum())
    if n_tokens < _FEWEST_TOKENS or 3 * n_once <= 2 * n_tokens:
        return
    warnings.warn(
        f"{subject} found {n_tokens:,} tokens without punctuation, {n_once:,} of which occur only "
        "once: from such counts next to nothing can be learned. Scripts that put no blanks between "
        'words, such as Chinese, need tokenizer="script" or "script-word"; other text one that '
        'splits more, such as "word", or a function of your own.',
        RareTokensWarning,
        stacklevel=2,
    )


def find_types(types: np.ndarray, wanted: Iterable[str]) -> list[int]:
    """Return the positions of those wanted that are among sorted types."""
    found = [(int(np.searchsorted(types, token)), token) for token in wanted]
    return [index for index, token in found if index < len(types) and types[index] == token]


def check_special_tokens(
    unk_token: str | None, eos_token: str | None, *, lowercase: bool, subject: str
) -> None:
    """Check that special tokens can stand in a text and can be told from each other."""
    tokens = [token for token in (unk_token, eos_token) if token is not None]
    if any(token.split() != [token] for token in tokens):
        rule = "not be empty or hold blanks"
    elif len({token.lower() if lowercase else token for token in tokens}) < len(tokens):
        rule = "differ from each other" + " in lower case" * lowercase
    else:
        return
    raise ValueError(
        f"The special tokens of {subject} must {rule}, got unk_token={unk_token!r} and "
        f"eos_token={eos_token!r}. Rename one, or set it to None."
    )


def name_columns(
    counted: Any,
    special: list[str],
    *,
    min_count: int,
    max_features: int | None,
    without: Collection[str],
    may_be_empty: bool,
    subject: str,
) -> tuple[np.ndarray, np.ndarray]:
    """Learn a vocabulary: special tokens, then the types that get a column of their own.

    Parameters
    ----------
    counted : TypeTotals, or counts with these two attributes
    special : list of str
    min_count, max_features
        As in :class:`~sklearn_codex.TokenCounter`.
    without : collection of str
        Types that get no column of their own.
    may_be_empty : bool
        Whether special tokens will do.
    subject : str
        Whose vocabulary it is, for messages.

    Returns
    -------
    names : ndarray of str objects (n_columns,)
    kept : ndarray of int64 (n_kept,)
        The index of each type that got a column, in their order.
    """
    kept = _choose_types(counted, min_count, max_features, without)
    if not len(kept) and not may_be_empty:
        raise ValueError(
            f"{subject} has no tokens left: of {len(counted.types)} distinct tokens none is "
            f"counted min_count={min_count} times. Lower min_count, or set unk_token."
        )
    # Strings are not touched without need: where they are many, each is a cache miss.
    rest = counted.types if len(kept) == len(counted.types) else counted.types[kept]
    return np.append(np.array(special, dtype=object), rest) if special else rest, kept


def _choose_types(counted, min_count, max_features, without):
    is_kept = np.ones(len(counted.types), bool) if min_count == 1 else counted.totals >= min_count
    is_kept[find_types(counted.types, without)] = False
    kept = np.flatnonzero(is_kept)
    if max_features is not None:
        most_frequent = np.argsort(-counted.totals[kept], kind="stable")
        kept = np.sort(kept[most_frequent[:max_features]])
    return kept


def check_vocabulary(
    given: Any,
    special: Iterable[str],
    *,
    min_count: int,
    max_features: int | None,
    subject: str,
) -> list[str]:
    """Return the names of the columns of a fixed vocabulary, special tokens at its end."""
    name = f"The vocabulary of {subject}"
    if min_count != 1 or max_features is not None:
        raise ValueError(
            f"{name} is fixed, so min_count={min_count} and max_features={max_features} have "
            "nothing to choose. Leave them at 1 and None."
        )
    if isinstance(given, Set):
        raise TypeError(
            f"{name} must have an order, got a {type(given).__name__}. Pass a sorted list."
        )
    if getattr(given, "ndim", 1) == 0:
        raise TypeError(f"{name} must be a list of tokens, got an array without a dimension.")
    tokens = list(given)
    for token in tokens:
        if not isinstance(token, str):
            raise TypeError(f"{name} must hold str only, got the token {token!r}.")
    if isinstance(given, Mapping):
        if set(given.values()) != set(range(len(tokens))):
            raise ValueError(
                f"{name} must map its {len(tokens)} tokens to the columns 0 to "
                f"{len(tokens) - 1}, each once, got {reprlib.repr(list(given.values()))}. "
                "Pass the tokens alone, in order, to have them numbered."
            )
        tokens.sort(key=given.__getitem__)
    if not tokens:
        raise ValueError(f"{name} is empty. Pass at least one token, or None to learn it.")
    token, n_times = Counter(tokens).most_common(1)[0]
    if n_times > 1:
        raise ValueError(f"{name} must hold each token once, got {token!r} {n_times} times.")
    return list(dict.fromkeys([*map(str, tokens), *special]))


def repeat_names(
    counts: sp.csr_array, names: np.ndarray, *, without: int | None, subject: str
) -> list[list[str]]:
    """Return for each row of counts the names of its columns, each as often as counted.

    Parameters
    ----------
    counts : csr_array of float64 (n_documents, n_columns)
    names : ndarray of str objects (n_columns,)
    without : int or None
        A column to leave out.
    subject : str
        Who asks, for messages.
    """
    broken = np.flatnonzero(counts.data != np.floor(counts.data))
    if len(broken):
        row = np.searchsorted(counts.indptr, broken[0], side="right") - 1
        raise ValueError(
            f"{subject} needs non-negative integers, got {counts.data[broken[0]]} in row {row}, "
            f"column {names[counts.indices[broken[0]]]!r}. Round the counts first."
        )
    if counts.data.sum() > MOST_TOKENS:
        raise ValueError(
            f"{subject} would write {counts.data.sum():g} tokens, more than the limit of "
            f"{MOST_TOKENS:,}. Pass fewer documents at a time."
        )
    repeats = counts.data.astype(np.intp)
    if without is not None:
        repeats[counts.indices == without] = 0
    tokens = np.repeat(names[counts.indices], repeats).tolist()
    ends = np.concatenate([[0], np.cumsum(repeats)])[counts.indptr].tolist()  # (n + 1,)
    return [tokens[start:end] for start, end in pairwise(ends)]


def pack_tokens(tokens: list[str]) -> str:
    """Write tokens as one string, so that model files stay small."""
    # As bytes in latin-1: JSON, here and in model files, would join two lone surrogates.
    packed = json.dumps(tokens, ensure_ascii=False)
    return packed.encode("utf-8", "surrogatepass").decode("latin-1")


def unpack_tokens(packed: str) -> list[str]:
    """Return the tokens of :func:`pack_tokens`."""
    return json.loads(packed.encode("latin-1").decode("utf-8", "surrogatepass"))
