r"""From bytes to lines of text: decoded, and split where the bytes have "\n"."""

import codecs
import shlex
from collections.abc import Iterator
from io import BufferedReader
from itertools import chain
from os import PathLike, fspath
from pathlib import Path

from sklearn_codex._files.folders import open_parts
from sklearn_codex._files.kinds import TEXT, UTF8_BOM, kind_of
from sklearn_codex._files.unpack import UnreadableError, max_record, raise_limit_to
from sklearn_codex._plain import plain

_CHUNK = 2**18
_PIECE = 2**22  # of a line that is longer


def place_of(path: str | PathLike, subject: str) -> str:
    """Return how errors of a function call a file.

    Raises
    ------
    TypeError
        If it is no path.
    """
    if not isinstance(path, str | PathLike):
        raise TypeError(
            f"{subject} needs a path, a str or a pathlib.Path, got a {type(path).__name__}: "
            f"{path!r:.60}."
        )
    name = Path(path).name
    says_little = name.isdecimal() or not name.strip("*")  # such as /dev/fd/63 and folder/*
    return f"{subject}: {plain(fspath(path) if says_little else name)}"


def decode_lines(stream: BufferedReader, place: str) -> Iterator[str]:
    r"""Generate the lines of a stream, decoded from UTF-8, with their ends.

    A line ends with "\n", and with nothing else: other breaks, such as U+2028, are part of it, and
    so are the "\r" of "\r\n". A byte order mark before the first is left out.

    Raises
    ------
    ValueError
        If a line is not UTF-8, has a byte 0, or is longer than the limit; if the stream ends within
        packed data.
    """
    number, limit = 0, max_record()
    try:
        while line := stream.readline(_PIECE):
            if len(line) == _PIECE:
                line += _rest_of_line(stream, line, limit)
            if number == 0:
                line = line.removeprefix(UTF8_BOM)
            if b"\0" in line:
                raise ValueError(
                    f"{place}, line {number + 1} has a byte 0 at position {line.index(0)}, which "
                    "no text has. Is it damaged, or another kind of file? Get the file again."
                )
            text = line.decode("utf-8")
            number += 1
            yield text
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{place}, line {number + 1} is not UTF-8: byte {error.object[error.start]:#04x} at "
            f"position {error.start}. {_to_utf8(place)}"
        ) from error
    except UnreadableError as error:
        raise ValueError(f"{place}, after line {number}: {error}") from error


def _rest_of_line(stream: BufferedReader, line: bytes, limit: int) -> bytes:
    """Return the rest of a long line, which is not put together where it is too long."""
    pieces, n = [line], len(line)
    while not pieces[-1].endswith(b"\n") and (piece := stream.readline(_PIECE)):
        pieces.append(piece)
        n += len(piece)
        if n > limit:
            raise UnreadableError(
                f"the next one is longer than {limit:,} bytes, a quarter of what may be unpacked. "
                + raise_limit_to(16 * limit)
            )
    return b"".join(pieces[1:])


def _to_utf8(place: str) -> str:
    """Return how to write a file as UTF-8: by CP1252, which has the letters of Latin-1 and more."""
    name = place.split(": ", 1)[-1]
    file = "FILE" if name == "standard input" else shlex.quote(name)
    return f"Save the file as UTF-8, e.g. iconv -f CP1252 -t UTF-8 {file} > NEW."


def decode_pieces(stream: BufferedReader, place: str) -> Iterator[str]:
    """Generate the text of a stream in pieces of any length, for what does not go by lines.

    Raises
    ------
    ValueError
        As :func:`decode_lines`.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    number, is_first = 0, True
    try:
        while data := stream.read1(_CHUNK):
            if is_first and len(data) >= len(UTF8_BOM):
                data, is_first = data.removeprefix(UTF8_BOM), False
            text = decoder.decode(data)
            number += data.count(b"\n")
            yield text
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        line = number + 1 + error.object.count(b"\n", 0, error.start)
        raise ValueError(
            f"{place}, line {line} is not UTF-8: byte {error.object[error.start]:#04x}. "
            f"{_to_utf8(place)}"
        ) from error
    except UnreadableError as error:
        raise ValueError(f"{place}, after line {number}: {error}") from error


def read_lines(path: str | PathLike, place: str) -> Iterator[str]:
    r"""Generate the lines of a file of text, or of several, as :func:`decode_lines`.

    Raises
    ------
    OSError
        If the file cannot be opened.
    ValueError
        If it is no text; if all its lines end with "\r" alone.
    """
    for part in open_parts(path, place):
        kind = kind_of(part.head, part.place)
        if kind != TEXT:
            raise ValueError(
                f"{part.place} is {kind}, whose rows have columns, and no text of lines. Name the "
                "column of the texts."
            )
        yield from text_lines(decode_lines(part.stream, part.place), part.place)


def text_lines(lines: Iterator[str], place: str) -> Iterator[str]:
    r"""Generate lines, raising where a text of several has no "\n" at all and "\r" instead."""
    first = next(lines, "")
    if "\r" in first.rstrip("\r\n") and not first.endswith("\n"):
        raise ValueError(
            f"{place}, line 1 has {first.count(chr(13))} carriage returns and the file no newline: "
            "its lines end as those of old computers do. Convert it: tr '\\r' '\\n' < FILE > NEW."
        )
    return chain([first] if first else [], lines)


def without_end(line: str) -> str:
    r"""Return a line without its "\n" or "\r\n"."""
    return line.removesuffix("\n").removesuffix("\r") if line.endswith("\n") else line


def find_first(lines: Iterator[str]) -> tuple[str, Iterator[str]]:
    """Return the first line that is not blank, "" if there is none, and all lines once more."""
    seen = []
    for line in lines:
        seen.append(line)
        if line.strip():
            return line, chain(seen, lines)
    return "", iter(seen)
