"""Rows from JSON: a record on each line, a list of records, columns, or an object around one list.

Values that do not go by lines are read one after the other, so that a long list needs no more
memory than its longest record.
"""

import json
import re
import reprlib
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from sklearn_codex._files.documents import rows_of_document
from sklearn_codex._files.foreign import why_not_json
from sklearn_codex._files.unpack import max_record, raise_limit_to

Row = dict[str, Any]

_PIECE = 2**20
_BLANKS = re.compile(r"[ \t\n\r]*")
# What is cut off is told at its end, or at most as far before as a name such as -Infinity is long.
_NEAR = 16
_DEEPEST = 100
"""Lists and objects within one another; nobody's data have as many."""


def parse_json_lines(lines: Iterator[str], place: str) -> Iterator[tuple[str, Row]]:
    """Generate the records of JSON lines, or of objects that take several lines each.

    Parameters
    ----------
    lines : iterator of str
        Lines of which the first that is not blank begins with "{".
    place : str
        What the caller calls the file.

    Yields
    ------
    where : str
        Place and line.
    row : dict
        Values by name.

    Raises
    ------
    ValueError
        If a line is not one record, a name stands twice in an object, or text in it is none.
    """
    numbered = _not_blank(lines)
    number, line = next(numbered)
    if line.rstrip()[-1:] in "{[,:":
        yield from _parse_objects(chain([line], lines), place, number)
        return
    row = _load_line(line, f"{place}, line {number}")
    second = next(numbered, None)
    if second is None:
        yield from rows_of_document(row, place, f"{place}, line {number}")
        return
    yield f"{place}, line {number}", row
    for number, line in chain([second], numbered):
        where = f"{place}, line {number}"
        yield where, _load_line(line, where)


def _not_blank(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    return ((number, line) for number, line in enumerate(lines, start=1) if line.strip())


def _load_line(line: str, where: str) -> Row:
    try:
        row = _DECODER.decode(line)
        _check_value(row, line)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{where} is not one JSON record: {_problem(error)}. It begins with "
            f"{reprlib.repr(line)}. {_remedy(line, error)}"
        ) from error
    return _check_record(row, where)


def _problem(error: Exception) -> str:
    """Return what is wrong with one line of JSON; the error itself would call it line 1."""
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} (character {error.pos + 1})"
    if "integer string conversion" in str(error):
        return "an integer has more than 4300 digits"
    return str(error)


def _remedy(line: str, error: Exception) -> str:
    if "\r" in line.rstrip("\r\n"):
        return (
            "Lines end with a newline; this one has carriage returns, with which old computers "
            "end them. Convert it: tr '\\r' '\\n' < FILE > NEW."
        )
    if isinstance(error, json.JSONDecodeError) and (why := why_not_json(line, error.pos)):
        return why
    return "JSON lines have one whole record on each line."


def _check_record(row: Any, where: str) -> Row:
    if not isinstance(row, dict):
        raise ValueError(
            f"{where} should be a JSON record with named columns, got {reprlib.repr(row)}. Write "
            'each as an object, such as {"prompt": ..., "chosen": ..., "rejected": ...}.'
        )
    return row


def _check_object(pairs: list[tuple[str, Any]]) -> Row:
    """Return the pairs of a JSON object as a dict, refusing a name that stands twice."""
    row = dict(pairs)
    if len(row) < len(pairs):
        names = [name for name, _ in pairs]
        name = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {name!r} stands twice in one record")
    return row


_DECODER = json.JSONDecoder(object_pairs_hook=_check_object)


def _check_value(value: Any, text: str) -> None:
    """Raise where a value that was read from a text holds what later steps cannot take."""
    if _may_be_cut(text):
        _check_texts(value)
    if text.count("[") + text.count("{") > _DEEPEST:
        _check_depth(value)


def _check_depth(value: Any) -> None:
    """Raise where lists and objects stand within one another without end."""
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > _DEEPEST:
            raise ValueError(
                f"lists or objects stand more than {_DEEPEST} deep within one another. Write what "
                "is so deep as text, or leave it out"
            )
        held = [list(part.values()) if isinstance(part, dict) else part for part in level]
        level = [inner for part in held for inner in part if isinstance(inner, (dict, list))]


def _may_be_cut(text: str) -> bool:
    r"""Whether there are escapes such as "\ud83d", half of a character each."""
    return "\\u" in text and ("\\ud" in text or "\\uD" in text)


def _check_texts(value: Any) -> None:
    """Raise where half of a character stands alone, which no text has."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += value
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, str):
            try:
                value.encode("utf-8")
            except UnicodeEncodeError as error:
                raise ValueError(
                    f"the escape \\u{ord(value[error.start]):04x} is half of a character, as where "
                    f"text was cut within an emoji, in {reprlib.repr(value)}"
                ) from None


def parse_json_list(pieces: Iterable[str], place: str) -> Iterator[tuple[str, Row]]:
    """Generate the records of a list, in which a record begins and ends anywhere in the pieces.

    Parameters
    ----------
    pieces : iterable of str
        Text that begins with "[" after blanks.
    place : str
        What the caller calls the file.

    Yields
    ------
    where : str
        Place and position of the record, from 0.
    row : dict
        Values by name.
    """
    values = _Values(pieces, place)
    for position, row in enumerate(values.of_list()):
        where = f"{place}, record {position}"
        yield where, _check_record(row, where)


def _parse_objects(lines: Iterable[str], place: str, number: int) -> Iterator[tuple[str, Row]]:
    """Generate objects that stand one after the other, of several lines each."""
    values = _Values(lines, place, line=number)
    first_line, first = values.line, values.next_value()
    where = f"{place}, line {first_line}"
    if not values.skip_blanks():
        yield from rows_of_document(_check_record(first, where), place, where)
        return
    yield where, _check_record(first, where)
    while values.skip_blanks():
        where = f"{place}, line {values.line}"
        yield where, _check_record(values.next_value(), where)


class _Values:
    """Values of JSON from text that comes in pieces.

    Parameters
    ----------
    pieces : iterable of str
        The text.
    place : str
        What the caller calls the file.
    line : int
        Number of the first line.
    """

    def __init__(self, pieces: Iterable[str], place: str, line: int = 1):
        self.place, self.line = place, line
        self._pieces = iter(pieces)
        self._text, self._start = "", 0
        self._before = ""  # what stood before the text
        self._limit = max_record()

    def of_list(self) -> Iterator[Any]:
        """Generate the values of a list, after which there is nothing else."""
        self.skip_blanks()
        self._step(1)  # the bracket
        mark = self.skip_blanks()
        if mark == "]":
            self._step(1)
        while mark != "]":
            yield self.next_value()
            mark = self.skip_blanks()
            if mark not in (",", "]"):
                self._fail("Expecting ',' delimiter" if mark else "the list is not closed")
            self._step(1)
            if mark == ",":
                mark = self.skip_blanks()
                if mark == "]":
                    self._fail("Illegal trailing comma before the end of the list")
        if self.skip_blanks():
            self._fail("Extra data after the list")

    def skip_blanks(self) -> str:
        """Move to the next character that is not blank, and return it; "" at the end."""
        while True:
            blanks = _BLANKS.match(self._text, self._start)
            self._step(blanks.end() - self._start if blanks else 0)
            if self._start < len(self._text):
                return self._text[self._start]
            if not self._read_more(1):
                return ""

    def next_value(self) -> Any:
        """Return the value that begins here, which has been skipped to."""
        n = _PIECE
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._start)
            except json.JSONDecodeError as error:
                length = error.pos - self._start
                if self._is_cut(error) and self._read_more(n):
                    n *= 2
                    continue
                self._step(length)
                self._fail(error.msg, error)
            except (ValueError, RecursionError) as error:
                self._fail(_problem(error), error)
            # A number may go on.
            if end == len(self._text) and self._text[-1] not in '}]"' and self._read_more(n):
                continue
            try:
                _check_value(value, self._text[self._start : end])
            except ValueError as error:
                self._fail(str(error), error)
            self._step(end - self._start)
            return value

    def _is_cut(self, error: json.JSONDecodeError) -> bool:
        """Whether an error may come of text that is not read yet."""
        return (
            error.msg.startswith("Unterminated string")
            or error.pos >= len(self._text.rstrip()) - _NEAR
        )

    def _step(self, n: int) -> None:
        self.line += self._text.count("\n", self._start, self._start + n)
        self._start += n

    def _read_more(self, n: int) -> bool:
        """Add n characters or more to the text, and return whether there were any."""
        self._before = (self._before + self._text[max(0, self._start - _NEAR) : self._start])[
            -_NEAR:
        ]
        self._text, self._start = self._text[self._start :], 0
        if len(self._text) > self._limit:
            raise ValueError(
                f"{self.place}, line {self.line} begins a record of more than {self._limit:,} "
                f"characters, a quarter of what may be unpacked. {raise_limit_to(16 * self._limit)}"
            )
        new = []
        while n > 0 and (piece := next(self._pieces, "")):
            new.append(piece)
            n -= len(piece)
        self._text += "".join(new)
        return bool(new)

    def _fail(self, problem: str, error: Exception | None = None) -> None:
        before = self._before + self._text[: self._start]
        why = why_not_json(before + self._text[self._start :], len(before))
        told = f"{self.place}, line {self.line} is not JSON: {problem}. {why}".rstrip()
        raise ValueError(told) from error
