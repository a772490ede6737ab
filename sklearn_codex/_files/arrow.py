"""Rows from Parquet, Arrow and tables of pyarrow, a batch at a time, as objects of Python."""

import os
from collections.abc import Iterator
from typing import Any

from sklearn_codex._files.extra import import_extra
from sklearn_codex._files.kinds import ARROW_STREAM, PARQUET
from sklearn_codex._files.unpack import Part, UnreadableError, max_unpacked, raise_limit_to, spooled
from sklearn_codex._plain import plain

Row = dict[str, Any]

_BATCH = 512  # rows: a few megabytes of long conversations


def read_table_part(part: Part, kind: str) -> Iterator[tuple[str, Row]]:
    """Generate the rows of a file that pyarrow reads.

    Parameters
    ----------
    part : Part
        The file.
    kind : str
        Which of ``TABLES`` it is.

    Yields
    ------
    where : str
        Place and row, from 0.
    row : dict
        Values by column.

    Raises
    ------
    ImportError
        If pyarrow is not installed.
    ValueError
        If the file is damaged, a column stands twice, or it is larger than the limit.
    """
    pa = import_extra("pyarrow", part.place, kind)
    if part.is_plain or kind == ARROW_STREAM:
        yield from _read_table(pa, part.stream, part.place, kind)
    else:
        with spooled(part.stream, part.place) as file:
            yield from _read_table(pa, file, part.place, kind)


def _read_table(pa, file, place: str, kind: str) -> Iterator[tuple[str, Row]]:
    batches = _batches_of(file, place, kind)
    schema = _taken(pa, batches, place, kind, 0)
    limit = max_unpacked()
    if file.seekable():  # what is not packed may be as large as it is
        limit = max(limit, os.fstat(file.fileno()).st_size)
    try:
        check_schema(schema, place)
    except UnicodeDecodeError as error:  # of a name
        raise ValueError(_say_damage(place, kind, 0, error)) from error
    n, n_bytes = 0, 0
    while (batch := _taken(pa, batches, place, kind, n)) is not None:
        n_bytes += _size_of(pa, batch)
        if n_bytes > limit:
            raise ValueError(
                f"{place}: more than {limit:,} bytes come out of its first {n + len(batch):,} "
                f"rows, the limit of what is unpacked. {raise_limit_to(4 * limit)}"
            )
        yield from _rows_of_batch(pa, batch, place, kind, n)
        n += len(batch)


def _size_of(pa, batch) -> int:
    try:
        return batch.nbytes
    except pa.ArrowTypeError:  # of views of strings, which older releases do not count
        return 0


def _taken(pa, batches: Iterator, place: str, kind: str, n: int) -> Any:
    """Return the next of the batches, None after the last."""
    try:
        return next(batches, None)
    except UnreadableError as error:
        where = f"{place}, after row {n - 1}" if n else place
        raise ValueError(f"{where}: {error}") from error
    except _damage(pa) as error:
        raise ValueError(_say_damage(place, kind, n, error)) from error


def _damage(pa) -> tuple[type[BaseException], ...]:
    return (
        pa.ArrowException, OSError, ValueError, MemoryError, OverflowError, KeyError, IndexError,
        RecursionError, TypeError, AttributeError, NotImplementedError, EOFError,
    )  # fmt: skip


def _say_damage(place: str, kind: str, n: int, error: BaseException) -> str:
    first = plain((str(error) or type(error).__name__).strip().partition("\n")[0])[:200].rstrip(".")
    where = f"{place}, after row {n - 1}" if n else place
    name = kind.removeprefix("an ")
    return f"{where}: the {name} data are cut off or damaged ({first}). Get the file again."


def _batches_of(file, place: str, kind: str) -> Iterator:
    """Generate the schema of a file and its batches; any error comes from within."""
    if kind == PARQUET:
        parquet = import_extra("pyarrow.parquet", place, kind)
        table = parquet.ParquetFile(file)
        yield table.schema_arrow
        yield from table.iter_batches(batch_size=_BATCH, use_threads=False)
        return
    ipc = import_extra("pyarrow.ipc", place, kind)
    if kind == ARROW_STREAM:
        with ipc.open_stream(file) as reader:
            yield reader.schema
            yield from _validated(reader)
        return
    with ipc.open_file(file) as reader:
        yield reader.schema
        yield from _validated(reader.get_batch(i) for i in range(reader.num_record_batches))


def _validated(batches) -> Iterator:
    """Generate batches whose offsets and indices lead where there is something."""
    for batch in batches:
        batch.validate(full=True)
        for start in range(0, len(batch), _BATCH):
            yield batch.slice(start, _BATCH)


def _rows_of_batch(pa, batch, place: str, kind: str, n: int) -> Iterator[tuple[str, Row]]:
    try:
        rows = batch.to_pylist()
    except _damage(pa) as error:
        raise ValueError(_say_damage(place, kind, n, error)) from error
    for position, row in enumerate(rows, start=n):
        yield f"{place}, row {position}", row


def rows_of_table(batches, schema, place: str) -> Iterator[tuple[str, Row]]:
    """Generate the rows of batches that a caller holds in memory.

    Raises
    ------
    ValueError
        If a column stands twice, or a value cannot be taken out.
    """
    pa = import_extra("pyarrow", place, "a table")
    check_schema(schema, place)
    n = 0
    for batch in batches:
        for start in range(0, len(batch), _BATCH):
            yield from _rows_of_batch(pa, batch.slice(start, _BATCH), place, "Arrow", n)
            n += min(_BATCH, len(batch) - start)


def check_schema(schema, place: str) -> None:
    """Raise where two columns, or two fields of a column, have one name."""
    waiting: list[tuple[Any, str]] = [(schema, "")]
    while waiting:
        fields, inside = waiting.pop()
        fields = list(fields)
        names = [field.name for field in fields]
        for name in names:
            if names.count(name) > 1:
                within = f" within {inside!r}" if inside else ""
                raise ValueError(
                    f"{place} should name each column once, got {name!r} {names.count(name)} times"
                    f"{within}. Rename or drop one."
                )
        for field in fields:
            kind = field.type
            path = f"{inside}.{field.name}" if inside else field.name
            waiting += [(_fields_of(kind), path)] if kind.num_fields else []


def _fields_of(kind) -> list:
    return [kind.field(i) for i in range(kind.num_fields)]
