"""Rows from text with a header and a delimiter."""

import csv
import re
import reprlib
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any

from sklearn_codex._files.lines import find_first

Row = dict[str, Any]

_DELIMITERS = ",\t;|"
# Longer than any field a file can hold; the module's own limit of 128 kB is less than a transcript.
_MAX_FIELD = 2**31 - 1
_SAMPLE = 50
# A first line by which spreadsheets say what splits the others.
_SAID = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)


def parse_csv(lines: Iterator[str], place: str) -> Iterator[tuple[str, Row]]:
    """Generate the rows of CSV, as :func:`~sklearn_codex._files.rows.parse_rows`."""
    rows = _split_csv(lines, place)
    number, header = next(rows, (0, []))
    unnamed = [position for position, name in enumerate(header) if not name.strip()]
    for name in header:
        if header.count(name) > 1 and name.strip():
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
        if len(header) > 1 and [fields[0].removeprefix("\ufeff"), *fields[1:]] == header:
            raise ValueError(
                f"{where} is the header {header} again, as where files were joined. Take the line "
                "out."
            )
        row = dict(zip(header, fields, strict=True))
        if len(unnamed) > 1:  # such as spreadsheets write behind the last column
            _check_nothing(fields, unnamed, where)
            row = {name: value for name, value in row.items() if name.strip()}
        yield where, row


def _check_nothing(fields: list[str], unnamed: list[int], where: str) -> None:
    """Raise where one of several columns without a name holds something."""
    for position in unnamed:
        if fields[position].strip():
            raise ValueError(
                f"{where} has {reprlib.repr(fields[position])} in column {position + 1}, which has "
                f"no name, as {len(unnamed)} have none. Name it in the header, or drop it."
            )


def header_of(line: str) -> list[str]:
    """Return the names in a line that is the header of CSV, none where it cannot be one."""
    try:
        return _next_fields(csv.reader([line], delimiter=_first_delimiter(line))) or []
    except csv.Error:
        return []


def _split_csv(lines: Iterator[str], place: str) -> Iterator[tuple[int, list[str]]]:
    """Generate the line number and the fields of each row that is not blank, the header first."""
    number = 1
    sample = list(islice(lines, _SAMPLE))
    said = _SAID.fullmatch(find_first(iter(sample))[0].strip())
    delimiter = said[1] if said else _find_delimiter(sample, place)
    lines = chain(sample, lines)
    try:
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        while (fields := _next_fields(reader)) is not None:
            if fields and not said:
                yield number, fields
            said = None if fields else said
            number = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(
            f"{place}, line {number} begins a row that is not CSV: {error}. Is a double quote "
            "left open?"
        ) from error


def _find_delimiter(sample: list[str], place: str) -> str:
    """Return the delimiter that splits the header and the next rows alike, a comma if none does."""
    header, _ = find_first(iter(sample))
    lengths = {
        delimiter: n for delimiter in _DELIMITERS if (n := _count_fields(header, delimiter)) > 1
    }
    if len(lengths) < 2:
        return next(iter(lengths), ",")
    alike = {d: n for d, n in lengths.items() if _splits_alike(sample, d, n)} or lengths
    best = [delimiter for delimiter, n in alike.items() if n == max(alike.values())]
    if len(best) > 1 and alike is not lengths:
        one, other = (_fields_of(header, delimiter) for delimiter in best[:2])
        raise ValueError(
            f"{place} could be split by {best[0]!r}, into the columns {one}, or by {best[1]!r}, "
            f"into {other}. Put double quotes around names that hold a delimiter."
        )
    return best[0]


def _splits_alike(sample: list[str], delimiter: str, n: int) -> bool:
    reader = csv.reader(iter(sample), delimiter=delimiter, strict=True)
    try:
        while (fields := _next_fields(reader)) is not None:
            if fields and len(fields) != n:
                return False
    except csv.Error as error:
        # The sample may end within quotes; all other errors are those of the delimiter.
        return "unexpected end of data" in str(error) and len(sample) == _SAMPLE
    return True


def _first_delimiter(header: str) -> str:
    """Return the first of the delimiters that splits a header, a comma if none does."""
    return next((d for d in _DELIMITERS if _count_fields(header, d) > 1), ",")


def _count_fields(header: str, delimiter: str) -> int:
    return len(_fields_of(header, delimiter))


def _fields_of(header: str, delimiter: str) -> list[str]:
    return _next_fields(csv.reader([header], delimiter=delimiter)) or []


def _next_fields(reader: Iterator[list[str]]) -> list[str] | None:
    """Return the next row, None after the last."""
    # The limit is one for all readers of the process, and a generator may wait between two rows.
    limit = csv.field_size_limit(_MAX_FIELD)
    try:
        return next(reader, None)
    finally:
        csv.field_size_limit(limit)
