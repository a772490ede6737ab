"""From a file to its bytes: unpacked, whatever its first bytes say that it is packed by."""

import bz2
import codecs
import gzip
import lzma
import os
import shutil
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedReader, RawIOBase
from os import PathLike
from typing import Any, BinaryIO, NamedTuple, cast

from sklearn_codex._files.extra import import_extra
from sklearn_codex._files.kinds import HEAD, encoding_of, packing_of
from sklearn_codex._files.members import data_members, open_zip

MAX_UNPACKED = 2 * 2**30
"""Bytes that may come out of a packed file, unless the environment says otherwise."""
VARIABLE = "SKLEARN_CODEX_MAX_UNPACKED"
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_MAX_DEPTH = 2
_BUFFER = 2**17
# A block of zstandard of four bytes can hold 128 kB, so that 2 kB are 64 MB at most.
_ZSTD_INPUT = 2**11
_DAMAGE = (EOFError, OSError, zlib.error, lzma.LZMAError, ValueError, RuntimeError, struct.error,
           NotImplementedError, MemoryError, KeyError, zipfile.BadZipFile)  # fmt: skip


class UnreadableError(Exception):
    """What stands in the way of the next bytes; who knows the line says after which."""


class Part(NamedTuple):
    """The bytes of a file, or of one of several that are read together.

    Parameters
    ----------
    place : str
        What errors call it.
    head : bytes
        Its first bytes, which the stream has still.
    stream : BufferedReader
        All bytes.
    is_plain : bool
        Whether the stream is a file on the disk as it is, which can be read at any place.
    """

    place: str
    head: bytes
    stream: BufferedReader
    is_plain: bool


def max_unpacked() -> int:
    """Return how many bytes may come out of a packed file.

    Raises
    ------
    ValueError
        If the variable of the environment is no number of bytes.
    """
    word = os.environ.get(VARIABLE, "").strip()
    if not word:
        return MAX_UNPACKED
    number, unit = word.upper().removesuffix("B").removesuffix("I"), ""
    if number[-1:] in _UNITS:
        number, unit = number[:-1], number[-1:]
    try:
        limit = int(float(number) * _UNITS[unit])
    except (ValueError, OverflowError):
        limit = 0
    if limit < 1:
        raise ValueError(
            f"The variable {VARIABLE} of the environment should be a number of bytes, such as 8G, "
            f"got {word!r}."
        )
    return limit


def max_record() -> int:
    """Return how many bytes or characters a line, or a record of JSON, may have."""
    return max(max_unpacked() // 4, 1)


def raise_limit_to(n: int) -> str:
    """Return the remedy where a limit is too low."""
    return f"If that is meant, set the variable {VARIABLE}={-(-n // 2**30)}G of the environment."


def open_file(path: str | PathLike, place: str) -> Iterator[Part]:
    """Generate the parts of a file: one, but for a zip archive of several.

    Each is to be read before the next is asked for. A pipe is read once.

    Raises
    ------
    OSError
        If the file cannot be opened.
    ValueError
        If it is a device that may never end, or packed in a way that is not read.
    """
    with cast("BufferedReader", open(path, "rb", buffering=_BUFFER)) as file:
        mode = os.fstat(file.fileno()).st_mode
        _check_ends(file, mode, place)
        if stat.S_ISREG(mode):
            yield from _unpack(file, place, 0)
        else:
            yield from _unpack(_buffered(file.raw.read, "pipe", None), place, 0)


def _check_ends(file: BinaryIO, mode: int, place: str) -> None:
    """Raise for what may never end, such as /dev/zero; pipes, terminals and /dev/null do."""
    if not (stat.S_ISCHR(mode) or stat.S_ISBLK(mode)):
        return
    if not file.isatty() and not os.path.samestat(os.fstat(file.fileno()), os.stat(os.devnull)):
        raise ValueError(f"{place} is a device. Name a file, a pipe or standard input.")


def _unpack(stream: BufferedReader, place: str, depth: int) -> Iterator[Part]:
    """Generate the parts of a stream that is packed ``depth`` times already."""
    head = _head(stream, place)
    packing = packing_of(head)
    if packing is None:
        encoding = encoding_of(head)
        if encoding is not None:
            stream = _in_utf8(stream, encoding)
            head = _head(stream, place)
        yield Part(place, head, stream, depth == 0 and stream.seekable())
        return
    if depth == _MAX_DEPTH:
        raise ValueError(
            f"{place} is packed more than {_MAX_DEPTH} times, by {packing} at last. Unpack it "
            "first."
        )
    if packing == "zip":
        yield from _unpack_zip(stream, place, depth)
        return
    read = _OPENERS[packing](stream, place)
    yield from _unpack(_buffered(read, packing, _Budget(packing)), place, depth + 1)


def _head(stream: BufferedReader, place: str) -> bytes:
    try:
        return stream.peek(HEAD)[:HEAD]
    except UnreadableError as error:
        raise ValueError(f"{place}: {error}") from error


def _unpack_zip(stream: BufferedReader, place: str, depth: int) -> Iterator[Part]:
    if stream.seekable():
        yield from _unpack_members(stream, place, depth)
    else:
        with spooled(stream, place) as file:
            yield from _unpack_members(file, place, depth)


def _unpack_members(file: BinaryIO, place: str, depth: int) -> Iterator[Part]:
    with open_zip(file, place) as archive:
        members = data_members(archive, place)
        budget = _Budget("zip")
        for name, info in members:
            inside = place if len(members) == 1 else f"{place}, {name}"
            try:
                member = archive.open(info)
            except _DAMAGE as error:
                raise ValueError(f"{inside}: {_damage('zip', error)}") from error
            with member:
                read = cast("Any", member).read1
                yield from _unpack(_buffered(read, "zip", budget), inside, depth + 1)


@contextmanager
def spooled(stream: BufferedReader, place: str) -> Iterator[Any]:
    """Yield a temporary file with what a stream holds, to be read at any place."""
    with tempfile.TemporaryFile(buffering=_BUFFER) as file:
        try:
            shutil.copyfileobj(stream, file, 2**20)
        except UnreadableError as error:
            raise ValueError(f"{place}: {error}") from error
        file.seek(0)
        yield file


class _Budget:
    """Counts the bytes that come out of what is packed, up to the limit."""

    def __init__(self, packing: str):
        self.packing, self.n, self.limit = packing, 0, max_unpacked()

    def spend(self, n: int) -> None:
        self.n += n
        if self.n > self.limit:
            raise UnreadableError(
                f"more than {self.limit:,} bytes come out of the {self.packing} data, the limit "
                "of what is unpacked, which keeps a small file from filling the memory. "
                + raise_limit_to(4 * self.limit)
            )


class _Bytes(RawIOBase):
    """Bytes as a function gives them, counted; damage becomes an ``UnreadableError``."""

    def __init__(self, read: Callable[[int], bytes], packing: str, budget: _Budget | None):
        self._read, self._packing, self._budget = read, packing, budget
        self._problem: UnreadableError | None = None
        self._begun = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        """Fill a buffer, of the first bytes as far as ``HEAD``, so that they can be looked at."""
        wanted = 1 if self._begun else min(HEAD, len(buffer))
        self._begun = True
        n = 0
        while n < wanted and self._problem is None:
            try:
                data = self._next(len(buffer) - n)
            except UnreadableError as error:  # after what has been read
                self._problem = error
                break
            if not data:
                return n
            buffer[n : n + len(data)] = data
            n += len(data)
        if not n and self._problem is not None:
            raise self._problem
        return n

    def _next(self, size: int) -> bytes:
        try:
            data = self._read(size)
        except UnreadableError:
            raise
        except _DAMAGE as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise UnreadableError(_damage(self._packing, error)) from error
        if self._budget is not None:
            self._budget.spend(len(data))
        return data


def _damage(packing: str, error: Exception) -> str:
    first = (str(error) or type(error).__name__).strip().partition("\n")[0].rstrip(".")
    if isinstance(error, RuntimeError) and "password" in first:
        return "it is encrypted. Unpack it first."
    if isinstance(error, NotImplementedError):
        return f"the {packing} data cannot be unpacked ({first}). Unpack it first."
    name = {"gzip": "gzipped"}.get(packing, packing)
    return f"the {name} data are cut off or damaged ({first}). Get the file again."


def _buffered(read: Any, packing: str, budget: _Budget | None) -> BufferedReader:
    return BufferedReader(_Bytes(read, packing, budget), _BUFFER)


def _read_gzip(stream: BufferedReader, place: str) -> Callable[[int], bytes]:
    return gzip.GzipFile(fileobj=stream).read1


def _read_bzip2(stream: BufferedReader, place: str) -> Callable[[int], bytes]:
    return bz2.BZ2File(stream).read1


def _read_xz(stream: BufferedReader, place: str) -> Callable[[int], bytes]:
    return lzma.LZMAFile(stream).read1


def _read_zstandard(stream: BufferedReader, place: str) -> Callable[[int], bytes]:
    """Return what reads frames of zstandard.

    The package's own stream ends without a word where a frame is cut off; this one tells.
    """
    zstandard = import_extra("zstandard", place, "packed by zstandard")
    rest, pending = bytearray(), b""
    frame: Any = None

    def read(size: int) -> bytes:
        nonlocal frame, pending
        while not rest:
            pending = pending or stream.read1(_ZSTD_INPUT)
            if not pending:
                if frame is not None:
                    raise EOFError("it ends within a frame")
                return b""
            if frame is None:
                frame = zstandard.ZstdDecompressor(max_window_size=2**31).decompressobj()
            try:
                rest.extend(frame.decompress(pending))
            except zstandard.ZstdError as error:
                raise EOFError(str(error)) from error
            pending = frame.unused_data if frame.eof else b""
            if frame.eof:
                frame = None
        data = bytes(rest[:size])
        del rest[:size]
        return data

    return read


_OPENERS: dict[str, Callable[[BufferedReader, str], Callable[[int], bytes]]] = {
    "gzip": _read_gzip,
    "bzip2": _read_bzip2,
    "xz": _read_xz,
    "lzma": _read_xz,
    "zstandard": _read_zstandard,
}


def _in_utf8(stream: BufferedReader, encoding: str) -> BufferedReader:
    """Return a stream in UTF-8, of what a byte order mark says to be UTF-16 or UTF-32."""
    decoder = codecs.getincrementaldecoder(encoding)()
    rest = bytearray()
    at_end = False

    def read(size: int) -> bytes:
        nonlocal at_end
        while not rest and not at_end:
            data = stream.read(2**15)
            at_end = not data
            try:
                rest.extend(decoder.decode(data, final=at_end).encode("utf-8"))
            except UnicodeDecodeError as error:
                raise UnreadableError(
                    f"what begins as {encoding.upper()} is not ({error.reason}). Save it as UTF-8."
                ) from error
        data = bytes(rest[:size])
        del rest[:size]
        return data

    return _buffered(read, encoding, None)
