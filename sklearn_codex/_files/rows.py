"""From files to rows: JSON, CSV, Parquet or Arrow, each row with where it stands."""

import reprlib
from collections import Counter
from collections.abc import Iterator
from os import PathLike

from sklearn_codex._files.arrow import read_table_part
from sklearn_codex._files.csv_rows import Row, header_of, parse_csv
from sklearn_codex._files.folders import open_parts
from sklearn_codex._files.foreign import check_foreign
from sklearn_codex._files.json_rows import parse_json_lines, parse_json_list
from sklearn_codex._files.kinds import TABLES, TEXT, UTF8_BOM, kind_of
from sklearn_codex._files.lines import decode_lines, decode_pieces, find_first, text_lines
from sklearn_codex._files.unpack import Part

__all__ = ["Row", "header_of", "parse_rows", "read_part", "read_rows"]


def read_rows(source: str | PathLike, place: str) -> Iterator[tuple[str, Row]]:
    """Generate the rows of a file, a folder, or the files that a pattern finds, one at a time.

    Parameters
    ----------
    source : str or path-like
        As for :func:`~sklearn_codex._files.folders.open_parts`. JSON lines, a JSON list of records,
        one JSON object that holds all, CSV with a header, Parquet, Arrow or Feather, packed by
        gzip, bzip2, xz, zstandard or zip or not, as the first bytes tell.
    place : str
        What the caller calls it; error messages start with it.

    Yields
    ------
    where : str
        The place and the line (from 1) on which the row begins; for a JSON list or columns the
        record, for Parquet and Arrow the row (both from 0). Of several files, the name of the file
        stands between.
    row : dict
        Values by column; str all of them in CSV.

    Raises
    ------
    OSError
        If a file cannot be opened.
    ImportError
        If a file needs a package of the extra ``io`` that is not installed.
    ValueError
        If there is no row, or one that cannot be read; if files that are read together are of
        several kinds, or have other columns.
    """
    together = _Together(place)
    for part in open_parts(source, place):
        kind = together.add(part)
        for where, row in read_part(part):
            together.count(where, row)
            yield where, row
        together.end(kind)
    together.check_any()


def read_part(part: Part) -> Iterator[tuple[str, Row]]:
    """Generate the rows of one file, as :func:`read_rows`."""
    kind = kind_of(part.head, part.place)
    if kind in TABLES:
        return read_table_part(part, kind)
    check_foreign(part.head, part.place)
    if _first_mark(part) == b"[":
        return parse_json_list(decode_pieces(part.stream, part.place), part.place)
    return parse_rows(decode_lines(part.stream, part.place), part.place)


def parse_rows(lines: Iterator[str], place: str) -> Iterator[tuple[str, Row]]:
    """Generate rows from the lines of a file, one at a time.

    Parameters
    ----------
    lines : iterator of str
        JSON lines, a JSON list of records, or CSV with a header: the first character that is not
        blank tells which. CSV has commas, tabs, semicolons or bars, whichever of these splits its
        header and the rows alike.
    place : str
        What the caller calls the file; error messages start with it.

    Yields
    ------
    where : str
        As :func:`read_rows`.
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
    mark = first.lstrip()[0]
    if mark == "{":
        yield from parse_json_lines(lines, place)
    elif mark == "[":
        yield from parse_json_list(lines, place)
    else:
        yield from parse_csv(text_lines(lines, place), place)


def _first_mark(part: Part) -> bytes:
    return part.head.removeprefix(UTF8_BOM).lstrip()[:1]


def kind_of_rows(part: Part) -> str:
    """Return what a file is among those that are read together."""
    kind = kind_of(part.head, part.place)
    if kind != TEXT:
        return TABLES[kind]
    return "JSON" if _first_mark(part) in (b"[", b"{") else "CSV"


def _held_in(part: Part, kind: str) -> str:
    """Return what a file without a record holds instead."""
    if kind in TABLES.values():
        return f"is {kind} of no row"
    text = part.head.removeprefix(UTF8_BOM).decode("utf-8", "replace").strip()
    if kind == "JSON":
        return f"holds {reprlib.repr(text)} and no record"
    return f"has a header and no record: all that it holds is {reprlib.repr(text)}"


class _Together:
    """Files that are read together have to be of one kind and have the same columns.

    JSON may leave out what a record does not have; a column is another one where each record of one
    file has it and none of another.
    """

    def __init__(self, place: str):
        self.place = place
        self._first: tuple[str, str] | None = None  # place and kind
        self._counts: Counter[tuple] = Counter()
        self._where, self._here = "", ""
        self._always: set = set()
        self._ever: set = set()
        self._has_any = False
        self._held: list[str] = []  # what files hold, as long as there is no row

    def add(self, part: Part) -> str:
        """Begin a file and return its kind."""
        if not part.head and self.place != part.place:
            raise ValueError(f"{part.place} is empty, among other files of data. Take it out.")
        kind = kind_of_rows(part)
        if self._first is None:
            self._first = part.place, kind
        elif kind != self._first[1]:
            raise ValueError(
                f"{part.place} is {kind} and {self._name(self._first[0])} {self._first[1]}. Files "
                "that are read together are of one kind. Name those that are meant."
            )
        self._counts, self._where, self._here = Counter(), "", part.place
        self._held.append(_held_in(part, kind))
        return kind

    def count(self, where: str, row: Row) -> None:
        """Remember the columns of a row."""
        self._where, self._has_any = self._where or where, True
        self._counts[tuple(row)] += 1

    def end(self, kind: str) -> None:
        """Compare the columns of a file with those of the first."""
        if not self._counts:
            return
        layouts = list(map(set, self._counts))
        always, ever = set.intersection(*layouts), set.union(*layouts)
        if not self._ever:
            self._always, self._ever = always, ever
            return
        assert self._first is not None
        first = self._name(self._first[0])
        if missing := sorted(map(str, self._always - ever)):
            problem = f"has no column {missing[0]!r}, which {first} has"
        elif added := sorted(map(str, always - self._ever)):
            problem = f"has a column {added[0]!r}, which {first} has not"
        else:
            return
        raise ValueError(
            f"{self._where} {problem}. Files that are read together have the same columns. Name "
            "those that belong together."
        )

    def check_any(self) -> None:
        """Raise where there is no row in any of the files."""
        if self._has_any:
            return
        held = self._held[0]
        if len(self._held) > 1:
            held = f"holds {len(self._held)} files and no record in any of them"
        raise ValueError(f"{self.place} {held}. Pass at least one.")

    def _name(self, place: str) -> str:
        return place.removeprefix(f"{self.place}, ")
