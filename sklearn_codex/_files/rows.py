"""From lines of text to rows: JSON lines, a JSON list, or CSV, each row with where it stands."""

import csv
import json
import reprlib
from collections.abc import Iterable, Iterator
from os import PathLike
from typing import Any

from sklearn_codex._files.lines import find_first, read_lines

Row = dict[str, Any]

_DELIMITERS = ",\t;"
# Longer than any field a file can hold; the module's own limit of 128 kB is less than a transcript.
_MAX_FIELD = 2**31 - 1


def read_rows(path: str | PathLike, place: str) -> Iterator[tuple[str, Row]]:
    """Generate the rows of a file, as :func:`parse_rows` of its lines.

    Raises
    ------
    OSError
        If the file cannot be opened.
    ValueError
        If it has no row, is not UTF-8, ends within its gzipped data, or a row cannot be parsed.
    """
    return parse_rows(read_lines(path, place), place)


def parse_rows(lines: Iterator[str], place: str) -> Iterator[tuple[str, Row]]:
    """Generate rows from the lines of a file, one at a time.

    Parameters
    ----------
    lines : iterator of str
        JSON lines, a JSON list of records, or CSV with a header: the first character that is not
        blank tells which. CSV has commas, tabs or semicolons, whichever of these splits its header.
    place : str
        What the caller calls the file; error messages start with it.

    Yields
    ------
    where : str
        The place, and the line (from 1) on which the row begins, for error messages; for a JSON
        list, the record (from 0).
    row : dict
        Values by column; str all of them in CSV.

    Raises
    ------
    ValueError
        If there is no line, or a row cannot be parsed.
    """
    first, lines = find_first(lines)
    if not first:
        raise ValueError(f"{place} is empty. A file of records has at least one.")
    parse = {"{": _parse_json_lines, "[": _parse_json_list}.get(first.lstrip()[0], _parse_csv)
    yield from parse(lines, place)


def header_of(line: str) -> list[str]:
    """Return the names in a line that is the header of CSV, none where it cannot be one."""
    try:
        return _next_fields(csv.reader([line], delimiter=_find_delimiter(line))) or []
    except csv.Error:
        return []


def _parse_json_lines(lines: Iterable[str], place: str) -> Iterator[tuple[str, Row]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{place}, line {number}"
        try:
            row = json.loads(line, object_pairs_hook=_check_object)
        except (ValueError, RecursionError) as error:
            raise ValueError(
                f"{where} is not one JSON record: {_problem(error)}. It begins with "
                f"{reprlib.repr(line)}. JSON lines have one whole record on each line."
            ) from error
        if not isinstance(row, dict):
            raise ValueError(
                f"{where} should be a JSON record with named columns, got {reprlib.repr(row)}."
            )
        yield where, row


def _problem(error: Exception) -> str:
    """Return what is wrong with one line of JSON; the error itself would call it line 1."""
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} (character {error.pos + 1})"
    return str(error)


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


def _parse_csv(lines: Iterator[str], place: str) -> Iterator[tuple[str, Row]]:
    rows = _split_csv(lines, place)
    number, header = next(rows)
    for name in header:
        if header.count(name) > 1:
            raise ValueError(
                f"{place}, line {number} should name each column once, got {name!r} "
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


def _split_csv(lines: Iterator[str], place: str) -> Iterator[tuple[int, list[str]]]:
    """Generate the line number and the fields of each row that is not blank, the header first."""
    number = 1
    header, lines = find_first(lines)
    try:
        reader = csv.reader(lines, delimiter=_find_delimiter(header), strict=True)
        while (fields := _next_fields(reader)) is not None:
            if fields:
                yield number, fields
            number = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(
            f"{place}, line {number} begins a row that is not CSV: {error}. Is a double quote "
            "left open?"
        ) from error


def _find_delimiter(header: str) -> str:
    """Return the first of the delimiters that splits a header, a comma if none does."""
    for delimiter in _DELIMITERS:
        if len(_next_fields(csv.reader([header], delimiter=delimiter)) or ()) > 1:
            return delimiter
    return ","


def _next_fields(reader: Iterator[list[str]]) -> list[str] | None:
    """Return the next row, None after the last."""
    # The limit is one for all readers of the process, and a generator may wait between two rows.
    limit = csv.field_size_limit(_MAX_FIELD)
    try:
        return next(reader, None)
    finally:
        csv.field_size_limit(limit)
