"""Rows of JSON lines, JSON and CSV files, each with the line it stands on."""

import csv
import gzip
import json
import os
import reprlib
import stat
import zlib
from collections.abc import Iterable, Iterator
from io import BufferedReader
from itertools import chain
from os import PathLike
from pathlib import Path
from typing import Any

from sklearn_codex._plain import plain

Row = dict[str, Any]

_GZIP_MAGIC = b"\x1f\x8b"
_UTF8_BOM = b"\xef\xbb\xbf"
_DELIMITERS = ",\t;"
# Longer than any field a file can hold; the module's own limit of 128 kB is less than a transcript.
_MAX_FIELD = 2**31 - 1


def read_rows(path: str | PathLike, *, subject: str) -> Iterator[tuple[str, Row]]:
    """Generate the rows of a file, one at a time.

    Parameters
    ----------
    path : str or path-like
        A file of JSON lines, a JSON list of records, or CSV with a header, gzipped or not. What it
        is shows in its first bytes, not in its name.
    subject : str
        Who asks; error messages start with it.

    Yields
    ------
    where : str
        Who asks, the file, and the line (from 1) on which the row begins, for error messages; for
        a JSON list, the record (from 0).
    row : dict
        Values by column; str all of them in CSV.

    Raises
    ------
    OSError
        If the file cannot be opened.
    ValueError
        If it has no row, is not UTF-8, ends within its gzipped data, or a row cannot be parsed.
    """
    place = f"{subject}: {plain(Path(path).name)}"
    lines = read_lines(path, place)
    skipped = []
    for line in lines:
        skipped.append(line)
        if line.strip():
            break
    else:
        raise ValueError(f"{place} is empty. A file of records has at least one.")
    start = skipped[-1].lstrip()[0]
    lines = chain(skipped, lines)
    parse = {"{": _parse_json_lines, "[": _parse_json_list}.get(start, parse_csv)
    yield from parse(lines, place)


def read_lines(path: str | PathLike, place: str) -> Iterator[str]:
    """Generate the decoded lines of a file, gzipped or not, with their ends; errors name it."""
    with open(path, "rb") as file:
        _check_ends(file, place)
        is_gzip = file.peek(2)[:2] == _GZIP_MAGIC  # a pipe cannot be read twice
        yield from _read_lines(gzip.GzipFile(fileobj=file) if is_gzip else file, place)


def _check_ends(file: BufferedReader, place: str) -> None:
    """Raise for what may never end, such as /dev/zero; pipes, terminals and /dev/null do."""
    mode = os.fstat(file.fileno()).st_mode
    if not (stat.S_ISCHR(mode) or stat.S_ISBLK(mode)):
        return
    if not file.isatty() and not os.path.samestat(os.fstat(file.fileno()), os.stat(os.devnull)):
        raise ValueError(f"{place} is a device. Name a file, a pipe or standard input.")


def _read_lines(stream: Iterable[bytes], place: str) -> Iterator[str]:
    """Generate the decoded lines of a stream, with their ends."""
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


def _parse_json_lines(lines: Iterable[str], place: str) -> Iterator[tuple[str, Row]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{place}, line {number}"
        try:
            row = json.loads(line, object_pairs_hook=_check_object)
        except (ValueError, RecursionError) as error:
            raise ValueError(
                f"{where} is not one JSON record: {error}. It begins with "
                f"{reprlib.repr(line)}. JSON lines have one whole record on each line."
            ) from error
        if not isinstance(row, dict):
            raise ValueError(
                f"{where} should be a JSON record with named columns, got {reprlib.repr(row)}."
            )
        yield where, row


def _parse_json_list(lines: Iterable[str], place: str) -> Iterator[tuple[str, Row]]:
    try:
        rows = json.loads("".join(lines), object_pairs_hook=_check_object)
    except json.JSONDecodeError as error:
        raise ValueError(f"{place}, line {error.lineno} is not JSON: {error.msg}.") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{place} is not JSON: {error}.") from error
    for position, row in enumerate(rows):
        where = f"{place}, record {position}"
        if not isinstance(row, dict):
            raise ValueError(
                f"{where} should be a JSON record with named columns, got {reprlib.repr(row)}."
            )
        yield where, row


def _check_object(pairs: list[tuple[str, Any]]) -> Row:
    """Return the pairs of a JSON object as a dict, refusing a name that stands twice."""
    row = dict(pairs)
    if len(row) < len(pairs):
        names = [name for name, _ in pairs]
        name = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {name!r} stands twice in one record")
    return row


def parse_csv(lines: Iterable[str], place: str) -> Iterator[tuple[str, Row]]:
    """Generate the rows of CSV, as ``read_rows``."""
    rows = _split_csv(lines, place)
    _, header = next(rows)
    for name in header:
        if header.count(name) > 1:
            raise ValueError(
                f"{place}, line 1 should name each column once, got {name!r} "
                f"{header.count(name)} times in {header}. Rename or drop one."
            )
    for number, fields in rows:
        where = f"{place}, line {number}"
        if len(fields) != len(header):
            raise ValueError(
                f"{where} should have {len(header)} fields, as the header {header}, got "
                f"{len(fields)}: {reprlib.repr(fields)}. A field that holds a delimiter, a quote "
                "or a line end stands in double quotes."
            )
        yield where, dict(zip(header, fields, strict=True))


def _split_csv(lines: Iterable[str], place: str) -> Iterator[tuple[int, list[str]]]:
    """Generate the line number and the fields of each row that is not blank, the header first."""
    lines = iter(lines)
    blank = []
    for header in lines:
        if header.strip():
            break
        blank.append(header)
    number = 1
    try:
        delimiters = [d for d in _DELIMITERS if len(next(csv.reader([header], delimiter=d))) > 1]
        delimiter = delimiters[0] if delimiters else ","
        reader = csv.reader(chain(blank, [header], lines), delimiter=delimiter, strict=True)
        while (fields := _next_fields(reader)) is not None:
            if fields:
                yield number, fields
            number = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(
            f"{place}, line {number} begins a row that is not CSV: {error}. Is a double quote "
            "left open?"
        ) from error


def _next_fields(reader: Iterator[list[str]]) -> list[str] | None:
    """Return the next row, None after the last."""
    # The limit is one for all readers of the process, and a generator may wait between two rows.
    limit = csv.field_size_limit(_MAX_FIELD)
    try:
        return next(reader, None)
    finally:
        csv.field_size_limit(limit)
