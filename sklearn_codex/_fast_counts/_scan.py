"""Where the tokens of a text start and end, found on its utf-8 bytes.

The rules know three kinds of characters: blanks, word characters and others. A token is a run of
word characters, or one other character. (To the rule "whitespace" all that is no blank is a word
character.) Kinds are found by comparing all bytes at once; those of characters outside ASCII come
from a table of all code points that :mod:`re` filled, so what a word is remains its business.

The rule "code" then corrects few places. Operators of two or three characters are looked up by
pairs of bytes; where several overlap ("===="), the ones a scan from the left takes are those
reached from the first by jumps to the next without overlap. A number is done if it is all digits,
or "0x" and hexadecimal digits, and touches no full stop; or if it is digits and one full stop, and
touches nothing but a sign before it. Around any other, the run of word characters and ".+-" is
split by the regular expression of the rule, all such runs of a chunk in one call. No token extends
over the border of such a run, so this is exact. What holds a special token is split in the same
way, from blank to blank.
"""

import re
from collections.abc import Callable, Iterable
from functools import cache

import numpy as np

from sklearn_codex._fast_counts._arrays import (
    count_before,
    find_few,
    joined_ranges,
    words_at_any_byte,
)

__all__ = ["PADDING", "Chunk", "find_tokens"]

Splitter = Callable[[str], Iterable[str]]

_WORD, _BLANK, _DECIMAL = 1, 2, 4
_OPERATORS_OF_TWO = [
    *(first + "=" for first in "-+*/%&|^@:=!<>"), "->", "**", "//", "<<", ">>",
]  # fmt: skip
_OPERATORS_OF_THREE = ["**=", "//=", "<<=", ">>=", "..."]
_ZERO, _SMALL_X, _FULL_STOP, _PLUS, _MINUS = b"0x.+-"
_ONES = np.uint64(0x0101010101010101)
PADDING = "\n" * 9
_N_GROUPS = 256  # of the texts of a chunk, which are joined first to know which are ASCII.


class Chunk:
    """Consecutive texts as bytes.

    Parameters
    ----------
    texts : list of str
    lengths : ndarray of int64 (as many,)
    part : slice
        Which of them, without a step.
    lowercase : bool

    Attributes
    ----------
    data : bytes
        A newline, then each text in utf-8 and a newline, then padding to read 8 bytes anywhere.
    bytes : ndarray of uint8 (n_bytes,)
        A view of `data`.
    text_ends : ndarray of int64 (n_texts,)
        Position of the newline after each text.
    is_ascii : bool
    """

    def __init__(self, texts: list[str], lengths: np.ndarray, part: slice, lowercase: bool):
        lengths = lengths[part].copy()
        lines = [""]
        size = len(lengths) // _N_GROUPS + 1
        for start in range(0, len(lengths), size):
            group = texts[part.start + start : min(part.start + start + size, part.stop)]
            line = "\n".join(group)
            if not line.isascii():
                group = [
                    text if text.isascii() else _spell_as_latin_1(text, lowercase) for text in group
                ]
                line = "\n".join(group)
                lengths[start : start + size] = list(map(len, group))
            lines.append(line)
        joined = "\n".join([*lines, PADDING[1:]])
        self.is_ascii = joined.isascii()
        self.text_ends = np.cumsum(lengths + 1)
        data = joined.encode("latin-1")
        # bytes.lower leaves the texts outside ASCII alone: they are in lower case already.
        self.data = data.lower() if lowercase else data
        self.bytes = np.frombuffer(self.data, np.uint8)


def _spell_as_latin_1(text, lowercase):
    """Write utf-8 as Latin-1: it is joined and encoded by copying, and its length is in bytes."""
    text = text.lower() if lowercase else text
    return text.encode("utf-8", "surrogatepass").decode("latin-1")


def find_tokens(
    chunk: Chunk, rule: str, split: Splitter, literals: Iterable[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find the tokens of a chunk.

    Parameters
    ----------
    chunk : Chunk
    rule : {"whitespace", "word", "code"}
    split : callable: str -> iterable of str
        The rule in full, special tokens included.
    literals : iterable of str
        The special tokens, unless the rule is "whitespace", to which they are words.

    Returns
    -------
    first : ndarray of int64 (n_tokens,)
        Position of the first byte of each, ascending.
    lengths : ndarray of int64 (n_tokens,)
        In bytes.
    starts : ndarray of int64 (n_texts + 1,)
        Where the tokens of each text start, and where those of the last end.
    """
    blank = _among(chunk.bytes, 9, 13)
    blank |= _among(chunk.bytes, 28, 32)
    if rule == "whitespace":
        if not chunk.is_ascii:
            _mark_blanks(chunk.bytes, blank)
        return _between(chunk, blank)
    start = _find_starts(chunk, rule, split, literals, blank)
    last = start[1:] | blank[1:]
    np.greater(last, blank[:-1], out=last)
    first = np.flatnonzero(start[:-1])
    lengths = np.flatnonzero(last)
    lengths -= first
    lengths += 1
    return first, lengths, _find_text_starts(chunk, start, first)


def _between(chunk, blank):
    """Do :func:`find_tokens` where tokens are what stands between blanks."""
    start = np.greater(blank[:-1], blank[1:])  # One position too early, which decides nothing.
    n_tokens, n_blanks = np.count_nonzero(start), np.count_nonzero(blank)
    if n_blanks > 2 * n_tokens:
        edges = np.flatnonzero(blank[1:] != blank[:-1])
        edges += 1
        first = edges[::2].copy()
        return first, edges[1::2] - first, _find_text_starts(chunk, start, first)
    # Most blanks are alone, and fewer than edges.
    blanks = np.flatnonzero(blank)
    lengths = np.diff(blanks)
    lengths -= 1
    first = blanks[:-1]
    if n_tokens < len(first):
        kept = np.flatnonzero(lengths)
        first, lengths = first.take(kept), lengths.take(kept)
    return first + 1, lengths, _find_text_starts(chunk, start, first)


def _find_text_starts(chunk, start, first):
    """Find the index of the first token of each text, and that behind the last."""
    if len(chunk.text_ends) * 128 < len(start):
        return np.append(0, np.searchsorted(first, chunk.text_ends))
    return np.append(0, count_before(start, chunk.text_ends))


def _among(values, low, high):
    """Compare without a second pass: below `low`, the difference wraps around."""
    return (values - values.dtype.type(low)) <= values.dtype.type(high - low)


def _find_starts(chunk, rule, split, literals, blank):
    """Mark the first byte of each token; complete `blank` by blanks outside ASCII."""
    text = chunk.bytes
    digit = _among(text, ord("0"), ord("9"))
    word = _among(text | np.uint8(32), ord("a"), ord("z"))
    word |= digit
    word |= text == ord("_")
    if chunk.is_ascii:
        start = _starts_by_kind(word, blank)
    else:
        inner = _mark_characters(text, word, blank, digit)
        start = _starts_by_kind(word, blank)
        start[inner] = False
    if rule == "code":
        _merge_operators(text, start)
        _split_numbers(chunk, start, word, digit, split)
    for literal in literals:
        pattern = re.compile(re.escape(literal.encode("utf-8", "surrogatepass")))
        found = [match.start() for match in pattern.finditer(chunk.data)]
        if found:
            runs = _runs_around((~blank).tobytes(), np.array(found))
            _split_runs(chunk, start, *runs, split)
    return start


def _starts_by_kind(word, blank):
    start = ~blank
    inside = word[1:] & word[:-1]
    np.greater(start[1:], inside, out=start[1:])
    return start


@cache
def _code_point_kinds() -> np.ndarray:
    """Kinds of all code points, as bits (0x110000,)."""
    every = np.arange(0x110000, dtype="<u4").tobytes().decode("utf-32-le", "surrogatepass")
    kinds = np.zeros(len(every), np.uint8)
    for pattern, kind in ((r"\w+", _WORD), (r"\s+", _BLANK), (r"\d+", _DECIMAL)):
        for match in re.finditer(pattern, every):
            kinds[match.start() : match.end()] |= np.uint8(kind)
    return kinds


def _characters_outside_ascii(text):
    """Positions, numbers of bytes and kinds."""
    position = find_few(text >= 0xC0)
    lead = text[position].astype(np.int64)
    size = 2 + (lead >= 0xE0) + (lead >= 0xF0)
    code = lead & (0x7F >> size)
    for offset in (1, 2, 3):
        longer = code << 6
        longer |= text[position + offset] & 0x3F
        code = np.where(size > offset, longer, code)
    return position, size, _code_point_kinds()[code]


def _mark_blanks(text, blank):
    position, size, kind = _characters_outside_ascii(text)
    is_blank = (kind & _BLANK) > 0
    blank[joined_ranges(position[is_blank], size[is_blank])] = True


def _mark_characters(text, word, blank, digit):
    """Mark all bytes of words and blanks, the first of decimals; find inner bytes of others."""
    position, size, kind = _characters_outside_ascii(text)
    digit[position[(kind & _DECIMAL) > 0]] = True
    word |= text >= 0x80
    other = (kind & _WORD) == 0
    position, size, kind = position[other], size[other], kind[other]
    word[joined_ranges(position, size)] = False
    is_blank = (kind & _BLANK) > 0
    blank[joined_ranges(position[is_blank], size[is_blank])] = True
    return joined_ranges(position + 1, size - 1)


@cache
def _operator_tables() -> tuple[np.ndarray, np.ndarray]:
    """By pair of bytes: the length of the operator they are, or 1; a third byte that extends it."""
    lengths, thirds = np.ones(1 << 16, np.int64), np.zeros(1 << 16, np.uint8)
    for operator in _OPERATORS_OF_TWO:
        lengths[int.from_bytes(operator.encode(), "big")] = 2
    for operator in _OPERATORS_OF_THREE:
        thirds[int.from_bytes(operator[:2].encode(), "big")] = ord(operator[2])
    return lengths, thirds


def _merge_operators(text, start):
    """Unmark the second and third byte of operators."""
    now, after = text[:-1], text[1:]
    candidate = now == after
    candidate &= now > ord(")")  # No operator starts with two brackets, quotes or number signs.
    candidate |= after == ord("=")
    candidate |= (now == ord("-")) & (after == ord(">"))
    candidate &= start[:-1]
    candidate &= start[1:]
    position = find_few(candidate)
    lengths, thirds = _operator_tables()
    pair = text[position].astype(np.int64) << 8
    pair |= text[position + 1]
    third = thirds[pair]
    length = np.where((third > 0) & (third == text[position + 2]), 3, lengths[pair])
    kept = np.flatnonzero(length > 1)
    position, length = _leftmost(position[kept], length[kept])
    start[position + 1] = False
    start[position[length == 3] + 2] = False


def _leftmost(position, length):
    """Of operators that may overlap, keep the ones that a scan from the left takes."""
    n = len(position)
    end = position + length
    after = np.append(position, [np.iinfo(np.int64).max] * 2)
    n_covered = (after[1:-1] < end).astype(np.int64)
    n_covered += after[2:] < end
    if not n_covered.any():
        return position, length
    # The node n stands for the end of the text.
    jump = np.minimum(np.append(np.arange(1, n + 1) + n_covered, n), n)
    covered = np.zeros(n + 2, bool)
    covered[1:-1] = n_covered > 0
    covered[2:] |= n_covered > 1
    taken = ~covered[: n + 1]
    n_taken = -1
    # Every round doubles the length of the jumps.
    while n_taken != (n_taken := int(np.count_nonzero(taken))):
        taken[jump[taken]] = True
        jump = jump[jump]
    return position[taken[:n]], length[taken[:n]]


def _split_numbers(chunk, start, word, digit, split):
    text = chunk.bytes
    position = find_few(start & digit)
    position = position[~_is_plain_number(chunk, word, position)]
    if not len(position):
        return
    zone = word | (text == _FULL_STOP)
    zone |= text == _PLUS
    zone |= text == _MINUS
    position = position[~_merge_fractions(chunk, start, zone, position)]
    if not len(position):
        return
    first, end = _runs_around(zone.tobytes(), position)
    # The last sign may start "+=" or "->".
    final = text[end - 1]
    _split_runs(chunk, start, first, end - ((final == _PLUS) | (final == _MINUS)), split)


def _is_plain_number(chunk, word, position):
    """Tell runs of less than 8 word bytes that are digits, or "0x" and hexadecimal digits."""
    value = words_at_any_byte(chunk.data)[position]
    outside = words_at_any_byte(word.view(np.uint8))[position] ^ _ONES
    behind = outside & (~outside + np.uint64(1))  # the lowest bit of the byte behind the run
    inside = behind - np.uint64(1)
    touches = (value & behind * np.uint64(0xFF)) == behind * np.uint64(_FULL_STOP)
    touches |= chunk.bytes[position - 1] == _FULL_STOP
    value = (value & inside) | (_ONES * np.uint64(_ZERO) & ~inside)
    plain = _all_bytes(_bytes_among(value, "0", "9"), value)
    rest = np.flatnonzero(~plain)
    if len(rest):
        value = value[rest]
        prefix = np.uint64(0xFFFF)
        small = value | _ONES * np.uint64(32)
        is_hex = (small & prefix) == (_SMALL_X << 8 | _ZERO)
        is_hex &= inside[rest] > prefix
        small |= prefix
        small ^= prefix ^ np.uint64(_ZERO << 8 | _ZERO)
        is_hex &= _all_bytes(_bytes_among(small, "0", "9") | _bytes_among(small, "a", "f"), value)
        plain[rest] = is_hex
    return plain & ~touches & (behind > 0)


def _merge_fractions(chunk, start, zone, position):
    """Make one token of each run of less than 8 bytes that is digits and a full stop among them.

    A sign may stand before it. Returns which positions are done (n,).
    """
    value = words_at_any_byte(chunk.data)[position]
    outside = words_at_any_byte(zone.view(np.uint8))[position] ^ _ONES
    behind = outside & (~outside + np.uint64(1))
    inside = behind - np.uint64(1)
    value = (value & inside) | (_ONES * np.uint64(_ZERO) & ~inside)
    stops = _bytes_among(value, ".", ".") & (_ONES * np.uint64(0x80)) & ~value
    done = _all_bytes(_bytes_among(value, "0", "9") | stops, value)
    done &= (stops > 0) & (stops & (stops - np.uint64(1)) == 0) & (behind > 0)
    before = chunk.bytes[position - 1]
    signed = ((before == _PLUS) | (before == _MINUS)) & ~zone[position - 2]
    done &= signed | ~zone[position - 1]
    found = position[done]
    n_bytes = ((inside[done] & _ONES) * _ONES >> np.uint64(56)).view(np.int64)
    start[joined_ranges(found + 1, n_bytes - 1)] = False
    # The digits behind a full stop are done as well.
    ends = np.zeros(len(position), np.int64)
    ends[done] = found + n_bytes
    done[1:] |= position[1:] < ends[:-1]
    return done


def _bytes_among(values, low, high):
    """Set the highest bit of each of 8 bytes that is among ASCII characters, if it is ASCII."""
    above = values + _ONES * np.uint64(0x80 - ord(low))
    return above & ~(values + _ONES * np.uint64(0x7F - ord(high)))


def _all_bytes(marks, values):
    highest = _ONES * np.uint64(0x80)
    return (marks & ~values & highest) == highest


def _runs_around(zone: bytes, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First positions and ends of the runs of non-zeros that hold some of the positions given.

    Few are asked for, so to search from each takes less time than to look at all bytes.
    """
    first, ends = [], [0]
    for position in positions.tolist():
        if position >= ends[-1]:
            first.append(zone.rfind(0, 0, position) + 1)
            ends.append(zone.find(0, position))
    return np.array(first), np.array(ends[1:])


def _split_runs(chunk, start, first, end, split):
    """Mark the starts of tokens in some runs anew."""
    runs = [chunk.data[i:j] for i, j in zip(first.tolist(), end.tolist(), strict=True)]
    tokens = split(b" ".join(runs).decode("utf-8", "surrogatepass"))
    lines = "\n".join([*tokens, ""]).encode("utf-8", "surrogatepass")
    token_ends = np.flatnonzero(np.frombuffer(lines, np.uint8) == ord("\n"))
    token_ends -= np.arange(len(token_ends))  # (n_tokens,) as if runs and tokens touched
    token_starts = np.append(0, token_ends[:-1])
    sizes = end - first
    run_ends = np.cumsum(sizes)
    run = np.searchsorted(run_ends, token_starts, side="right")
    start[joined_ranges(first, sizes)] = False
    start[token_starts + (end - run_ends)[run]] = True
