"""Which columns hold two responses, told by the words that their names differ in."""

import difflib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from sklearn_codex._layouts.base import Columns, fold_all
from sklearn_codex._layouts.cells import decode, present
from sklearn_codex._layouts.words import (
    BESIDE,
    LABELLED,
    NEXT,
    ORIENTED,
    RESPONSES,
    is_textlike,
    name_tokens,
    replace,
    singular,
)

_BARE = {("a",), ("left",), ("first",)}
"""Words of two responses that columns may be called by alone, where there is a label."""


class PairNames(NamedTuple):
    """The columns of two responses, as they are in the file."""

    first: str
    second: str
    oriented: bool


class Lone(NamedTuple):
    """A column that holds one of two responses, while the other is not found.

    ``words`` are what the names of the other could be; ``close`` is a column that is nearly called
    so.
    """

    name: str
    words: list[str]
    close: str | None


def find_pairs(
    columns: Columns,
    row: Mapping[str, Any] | None = None,
    *,
    named: str | None = None,
    series: bool = True,
) -> list[PairNames]:
    """Return the pairs of columns whose names differ in one of the words for two responses.

    Parameters
    ----------
    columns : mapping
    row : mapping, default=None
        A row; columns whose values in it are neither text nor messages are no responses.
    named : str, default=None
        A column that is one of the two, whatever it is called.
    series : bool, default=True
        Whether two of three responses or more, such as response_a, response_b and response_c, are
        a pair too.
    """
    pairs = pairs_of_names(tuple(columns.values()), named, series)
    if named is not None:
        return [pair for pair in pairs if named in pair[:2]]
    texts = [pair for pair in pairs if row is None or all(is_textlike(row[c]) for c in pair[:2])]
    return texts or [pair for pair in pairs if pair[:2] == ("chosen", "rejected")]


@lru_cache(maxsize=4096)
def pairs_of_names(names: tuple[str, ...], named: str | None, series: bool) -> list[PairNames]:
    """Return the pairs of columns by their names alone, which finders of one row ask for again."""
    of_tokens = {tuple(name_tokens(name)): name for name in names}
    found: dict[frozenset[str], PairNames] = {}
    for one, other, oriented in _words_in({token for tokens in of_tokens for token in tokens}):
        for tokens, column in of_tokens.items():
            for counterpart, rest in replace(list(tokens), one, other):
                match = of_tokens.get(counterpart)
                if match is None or match == column:
                    continue
                pair = PairNames(column, match, oriented)
                known = named in (column, match)
                if (known or _holds_responses(rest, one, oriented)) and (
                    oriented
                    or series
                    or not _goes_on(counterpart, rest, other[0], one[0], of_tokens)
                ):
                    found.setdefault(frozenset((column, match)), pair)
    return list(found.values())


def _words_in(tokens: set[str]):
    """Generate the words for two responses, and whether the first is better, that names have."""
    for one, other, oriented in _words():
        if tokens.issuperset(one) and tokens.issuperset(other):
            yield one, other, oriented


def _words():
    for pairs, oriented in ((ORIENTED, True), (LABELLED, False)):
        for one, other in pairs:
            yield one, other, oriented


def _holds_responses(rest: tuple[str, ...], words: tuple[str, ...], oriented: bool) -> bool:
    if not rest:
        return (oriented and words != ("w",)) or words in _BARE
    # As papers call them, and the whole of what the other two columns have only the end of.
    if (words == ("w",) and rest == ("y",)) or (oriented and rest == ("full",)):
        return True
    words_of_rest = [singular(token) for token in rest]
    return any(token in RESPONSES for token in words_of_rest) and all(
        token in RESPONSES | BESIDE for token in words_of_rest
    )


def _goes_on(tokens, rest, word: str, first: str, of_tokens) -> bool:
    """Return whether there is a third response, such as response_c."""
    at = next(i for i, token in enumerate(tokens) if token == word)
    others = {("a", "b"): ("c",), ("1", "2"): ("0", "3"), ("0", "1"): ("2",)}
    words = others.get((first, word), (NEXT.get(word, ""),))
    return any((*tokens[:at], other, *tokens[at + 1 :]) in of_tokens for other in words)


def pair_in(value: Any) -> dict[str, Any] | None:
    """Return a cell of two responses by their names, {"chosen": ..., "rejected": ...}; else None.

    Numbers become names: {"1": ..., "2": ...} has response_1 and response_2.
    """
    inner = decode(value)
    if not isinstance(inner, Mapping):
        return None
    inner = present(inner)
    inner = {f"response_{key}" if key.isdecimal() else key: inner[key] for key in inner}
    pairs = find_pairs(fold_all(inner), inner)
    is_pair = any(all(is_textlike(inner[name]) for name in pair[:2]) for pair in pairs)
    return inner if is_pair else None


def find_series(columns: Columns) -> list[str]:
    """Return columns of three responses or more, such as response_a, response_b and response_c."""
    stems: dict[tuple[tuple[str, ...], str], list[str]] = {}
    for column in columns.values():
        tokens = name_tokens(column)
        for at, token in enumerate(tokens):
            if token.isdecimal() or (len(token) == 1 and token.isascii()):
                rest = (*tokens[:at], *tokens[at + 1 :])
                if _holds_responses(rest, (token,), False):
                    kind = "number" if token.isdecimal() else "letter"
                    stems.setdefault((rest, kind), []).append(column)
    return max((names for names in stems.values() if len(names) > 2), key=len, default=[])


def find_lone(columns: Columns) -> Lone | None:
    """Return a column that holds one of two responses, where no column holds the other."""
    names = {"_".join(name_tokens(column)): column for column in columns.values()}
    lone = None
    for one, other, oriented in _words():
        for words, others in ((one, other), (other, one)):
            for column in columns.values():
                for counterpart, rest in replace(name_tokens(column), words, others):
                    if not (_holds_responses(rest, one, oriented) and (oriented or rest)):
                        continue
                    wanted = "_".join(counterpart)
                    close = difflib.get_close_matches(wanted, set(names) - {_own(column)}, 1, 0.75)
                    if close:
                        return Lone(column, [wanted], names[close[0]])
                    lone = lone or Lone(column, [], None)
                    if lone.name == column:
                        lone.words.append(wanted)
    return lone


def _own(column: str) -> str:
    return "_".join(name_tokens(column))
