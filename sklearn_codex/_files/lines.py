r"""From bytes to lines of text: unpacked, decoded, and split where the bytes have "\n"."""

import gzip
import os
import stat
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BufferedIOBase, BufferedReader
from itertools import chain
from os import PathLike
from pathlib import Path

from sklearn_codex._plain import plain

_GZIP_MAGIC = b"\x1f\x8b"
_UTF8_BOM = b"\xef\xbb\xbf"


def place_of(path: str | PathLike, subject: str) -> str:
    """Return how errors of a function call a file."""
    return f"{subject}: {plain(Path(path).name)}"


@contextmanager
def open_bytes(path: str | PathLike, place: str) -> Iterator[BufferedIOBase]:
    """Open a file, unpacked if it is gzipped, which its first bytes tell; a pipe is read once.

    Raises
    ------
    OSError
        If the file cannot be opened.
    ValueError
        If it is a device that may never end.
    """
    with open(path, "rb") as file:
        _check_ends(file, place)
        if file.peek(2)[:2] == _GZIP_MAGIC:
            yield gzip.GzipFile(fileobj=file)
        else:
            yield file


def _check_ends(file: BufferedReader, place: str) -> None:
    """Raise for what may never end, such as /dev/zero; pipes, terminals and /dev/null do."""
    mode = os.fstat(file.fileno()).st_mode
    if not (stat.S_ISCHR(mode) or stat.S_ISBLK(mode)):
        return
    if not file.isatty() and not os.path.samestat(os.fstat(file.fileno()), os.stat(os.devnull)):
        raise ValueError(f"{place} is a device. Name a file, a pipe or standard input.")


def decode_lines(stream: Iterable[bytes], place: str) -> Iterator[str]:
    r"""Generate the lines of a stream, decoded from UTF-8, with their ends.

    A line ends with "\n", and with nothing else: other breaks, such as U+2028, are part of it, and
    so are the "\r" of "\r\n". A byte order mark before the first is left out.

    Raises
    ------
    ValueError
        If a line is not UTF-8, or the stream ends within its gzipped data.
    """
    number = 0
    try:
        for number, line in enumerate(stream, start=1):
            if number == 1:
                line = line.removeprefix(_UTF8_BOM)
            yield line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{place}, line {number} is not UTF-8: byte {error.object[error.start]:#04x} at "
            f"position {error.start}. Save the file as UTF-8, or read it by "
            "pandas.read_csv(path, encoding=...)."
        ) from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(
            f"{place}, after line {number}: the gzipped data are cut off or damaged ({error}). "
            "Get the file again."
        ) from error


def read_lines(path: str | PathLike, place: str) -> Iterator[str]:
    """Generate the lines of a file, as :func:`decode_lines` of :func:`open_bytes`."""
    with open_bytes(path, place) as stream:
        yield from decode_lines(stream, place)


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
