"""Rows from what a caller holds already: records, frames, queries, tables, datasets."""

import sys
from collections.abc import Iterator, Mapping
from os import PathLike, fspath
from typing import Any

from sklearn_codex._checks.frames import collect_query, is_frame, is_query, with_index
from sklearn_codex._checks.rows import check_rows
from sklearn_codex._files.arrow import rows_of_table
from sklearn_codex._files.documents import SPLITS, find_rows
from sklearn_codex._files.lines import place_of
from sklearn_codex._files.rows import read_rows
from sklearn_codex._plain import plain

Rows = Iterator[tuple[str, Mapping]]

_BATCH = 512


def open_rows(source: Any, subject: str) -> tuple[Rows, str, str]:
    """Return the rows of a file or of a table, its place, and its name.

    Parameters
    ----------
    source : str, path-like, or a table
        As for :func:`~sklearn_codex._files.rows.read_rows`; or records (a list of dicts, or any
        iterable of them), a dict of columns, a data frame or query of any library that narwhals
        knows, a table of pyarrow, a ``datasets.Dataset``, or a ``DatasetDict`` of one split.
    subject : str
        Who asks; error messages start with it. "" where they start with the path or the type.

    Returns
    -------
    rows : iterator of (str, mapping)
        Where each row stands, which is the place and, after ", ", the line, record or row; and its
        values by column.
    place : str
        What errors call the source.
    name : str
        The path, or the type of the table.

    Raises
    ------
    OSError, ImportError, TypeError, ValueError
        As the rows are taken, where they cannot be read.
    """
    if isinstance(source, str | PathLike):
        place = place_of(source, subject) if subject else plain(fspath(source))
        return read_rows(source, place), place, str(fspath(source))
    name = type(source).__name__
    place = f"{subject}: {name}" if subject else name
    return map(_name_as_text, _rows_of(source, subject, place)), place, name


def _name_as_text(entry: tuple[str, Mapping]) -> tuple[str, Mapping]:
    """Return where a row is and the row, whose columns have text as names.

    The levels of a name such as ("response", "a") are joined, as response_a.
    """
    where, row = entry
    if all(isinstance(name, str) for name in row):
        return entry
    named: dict[str, Any] = {}
    for name, value in row.items():
        levels = name if isinstance(name, tuple) else (name,)
        text = "_".join(str(level) for level in levels if str(level))
        if text in named:
            raise ValueError(f"{where} has two columns that are called {text!r}. Rename one.")
        named[text] = value
    return where, named


def _rows_of(source: Any, subject: str, place: str) -> Rows:
    if _is_of(source, "datasets", "DatasetDict", "IterableDatasetDict") or _holds_tables(source):
        source = _one_split(source, subject)
    if _is_of(source, "datasets", "Dataset"):
        yield from _rows_of_dataset(source, place)
    elif _is_of(source, "pyarrow", "Table", "RecordBatch", "RecordBatchReader", "Dataset"):
        batches = source.to_batches() if hasattr(source, "to_batches") else source
        if type(source).__name__ == "RecordBatch":
            batches = [source]
        yield from rows_of_table(batches, source.schema, place)
    elif (rows := _rows_of_dict(source, place)) is not None:
        for position, row in enumerate(check_rows(list(rows), subject)):
            yield f"{place}, record {position}", row
    elif _is_iterable(source):
        yield from _rows_of_iterable(source, subject, place)
    else:
        yield from _rows_of_container(source, subject, place)


def _rows_of_container(source: Any, subject: str, place: str) -> Rows:
    frame = collect_query(source)
    unit = "row" if is_frame(frame) else "record"
    if _is_of(frame, "pyarrow", "Table"):  # as a query becomes
        yield from rows_of_table(frame.to_batches(), frame.schema, place)
        return
    for position, row in enumerate(check_rows(with_index(frame), subject)):
        yield f"{place}, {unit} {position}", row


def _is_of(source: Any, package: str, *names: str) -> bool:
    """Whether an object is of a class of a package, which is not imported for that."""
    if package not in sys.modules:
        return False
    return any(
        cls.__name__ in names and cls.__module__.partition(".")[0] == package
        for cls in type(source).__mro__
    )


def _holds_tables(source: Any) -> bool:
    """Whether a dict is of tables by split, as a ``DatasetDict`` is."""
    if not isinstance(source, Mapping) or not source:
        return False
    if len(source) > 1 and all(name in SPLITS for name in source):
        return True
    return all(is_frame(table) or _is_of(table, "datasets", "Dataset") for table in source.values())


def _one_split(source: Mapping, subject: str) -> Any:
    if len(source) != 1:
        names = ", ".join(map(repr, source)) or "none"
        first = next(iter(source), "train")
        raise ValueError(
            f"{subject} got a {type(source).__name__} of several splits: {names}. Pass one, such "
            f"as data[{first!r}]."
        )
    return next(iter(source.values()))


def _rows_of_dict(source: Any, place: str) -> Any:
    """Return the rows of a dict that holds them as a JSON object does, None where it does not."""
    if not isinstance(source, Mapping) or not all(isinstance(name, str) for name in source):
        return None
    return find_rows({name: _as_list(cells) for name, cells in source.items()}, place)


def _as_list(cells: Any) -> Any:
    """Return a column of any kind as a list, and what is none as it is."""
    if isinstance(cells, tuple):
        return list(cells)
    return cells.tolist() if getattr(cells, "ndim", 0) == 1 else cells


def _rows_of_dataset(source: Any, place: str) -> Rows:
    """Generate the rows of a ``datasets.Dataset``; pictures and sound stay as they are stored."""
    tables = source.with_format("arrow").iter(batch_size=_BATCH)
    batches = (batch for table in tables for batch in table.to_batches())
    schema = source.data.schema if source.data is not None else source.features.arrow_schema
    yield from rows_of_table(batches, schema, place)


def _is_iterable(source: Any) -> bool:
    """Whether records come one by one, from a generator or a stream."""
    if isinstance(source, str | bytes | Mapping) or hasattr(source, "__len__"):
        return False
    return hasattr(source, "__iter__") and not is_query(source)


def _rows_of_iterable(source: Any, subject: str, place: str) -> Rows:
    position = -1
    for position, row in enumerate(source):
        (checked,) = check_rows([row], subject, first=position)
        yield f"{place}, record {position}", checked
    if position < 0:
        raise ValueError(f"{subject} got 0 records. Pass at least one.")
