"""Rows from one object that holds all of them: by columns, by rows, or in a list under a key."""

import reprlib
from collections.abc import Iterator, Mapping
from typing import Any

from sklearn_codex._files.foreign import check_answer

Row = dict[str, Any]

_WRAPPERS = (
    "data", "rows", "records", "examples", "items", "instances", "entries", "results", "samples",
    "pairs", "preferences", "comparisons", "dataset", "train", "test", "validation",
)  # fmt: skip
"""Keys that hold the rows where others, such as those of a header, hold lists too."""
_OF_ROWS = (
    "prompt", "instruction", "question", "chosen", "rejected", "response_a", "answer_a",
    "output_a", "conversation_a",
)  # fmt: skip
"""Names of which objects in a list under any key have one where they are the rows."""
SPLITS = ("train", "test", "validation", "valid", "dev", "eval")
_OF_VIEWER = {"row_idx", "row", "truncated_cells"}
_OF_MESSAGE = (("role", "content"), ("role", "parts"), ("from", "value"))


def rows_of_document(value: Row, place: str, where: str) -> Iterator[tuple[str, Row]]:
    """Generate the rows of an object that is all of a file.

    Parameters
    ----------
    value : dict
        One of: values by column, in lists of one length; the same as pandas writes it, by column
        and row or by row and column or split in columns and data; an object with one list of
        objects; a record.
    place : str
        What the caller calls the file.
    where : str
        Where the object stands, for a record.

    Yields
    ------
    where : str
        The place and the record (from 0), or ``where``.
    row : dict
        Values by column.

    Raises
    ------
    ValueError
        If there are several lists of objects, columns of different lengths, or it could be read as
        a record and as columns.
    """
    rows = find_rows(value, place)
    if rows is None:
        check_answer(value, place)
        yield where, value
        return
    for position, row in enumerate(rows):
        here = f"{place}, record {position}"
        if not isinstance(row, dict):
            raise ValueError(
                f"{here} should be a JSON record with named columns, got {reprlib.repr(row)}."
            )
        yield here, row


def find_rows(value: Row, place: str) -> Any:
    """Return an iterable of the rows in an object, None where it is one itself."""
    if not value:
        return None
    columns = value.get("columns")
    if isinstance(columns, list) and isinstance(value.get("data"), list):
        return _of_split(columns, value["data"], place)
    if all(isinstance(cell, dict) for cell in value.values()):
        return _of_indexes(value, place)
    key = None if _are_columns(value) else _find_list(value, place)
    if key is not None:
        return _of_viewer(value[key], place)
    if all(isinstance(cell, list) for cell in value.values()) and not any(
        _is_conversation(cell) for cell in value.values()
    ):
        return _rows_of_columns(value, place)
    return None


def _are_columns(value: Row) -> bool:
    """Whether lists of one length are columns whatever their names: beside objects stand lists.

    No header of a file has those, but tasks with their annotations do.
    """
    if not all(isinstance(cells, list) for cells in value.values()):
        return False
    return len({len(cells) for cells in value.values()}) == 1 and any(
        cells and all(isinstance(cell, list) for cell in cells) for cells in value.values()
    )


def _rows_of_columns(columns: Mapping[str, list], place: str) -> Iterator[Row]:
    """Return the rows of lists of one length, by name."""
    lengths = {name: len(cells) for name, cells in columns.items()}
    first = next(iter(lengths))
    for name, length in lengths.items():
        if length != lengths[first]:
            raise ValueError(
                f"{place} holds columns of different lengths: {lengths[first]} values in "
                f"{first!r} and {length} in {name!r}. Write the rows one by one, as JSON lines."
            )
    names = list(columns)
    return (dict(zip(names, cells, strict=True)) for cells in zip(*columns.values(), strict=True))


def _of_split(columns: list, data: list, place: str) -> Iterator[Row]:
    for name in columns:
        if not isinstance(name, str) or columns.count(name) > 1:
            raise ValueError(
                f"{place} should name each column once by a text, got {reprlib.repr(name)} in "
                f"{reprlib.repr(columns)}."
            )
    for position, cells in enumerate(data):
        if not isinstance(cells, list) or len(cells) != len(columns):
            raise ValueError(
                f"{place}, record {position} should have {len(columns)} values, one for each of "
                f"{reprlib.repr(columns)}, got {reprlib.repr(cells)}."
            )
        yield dict(zip(columns, cells, strict=True))


def _of_indexes(value: Row, place: str) -> Any:
    """Return the rows of objects in an object, where the keys of one of them are numbers."""
    if all(key.isdecimal() for key in value):
        return value.values()
    if not all(cells and all(key.isdecimal() for key in cells) for cells in value.values()):
        return None
    first = next(iter(value))
    for name, cells in value.items():
        if list(cells) != list(value[first]):
            odd = sorted(set(cells) ^ set(value[first]), key=int) or list(cells)
            raise ValueError(
                f"{place} should have the same rows in each column, but {first!r} and {name!r} "
                f"differ in row {odd[0]!r}. Write the rows one by one, as JSON lines."
            )
    return _rows_of_columns({name: list(cells.values()) for name, cells in value.items()}, place)


def _find_list(value: Row, place: str) -> str | None:
    """Return the key of the one list of objects, None where there is none or it is of messages."""
    keys = [key for key, cells in value.items() if _is_list_of_objects(cells)]
    rows = [key for key in keys if not _is_of_messages(value[key])]
    if not rows:
        if len(keys) == len(value):
            _check_messages(value, place)
        return None
    named = [key for key in rows if key in _WRAPPERS]
    splits = [key for key in rows if key in SPLITS]
    wrapped = [key for key in rows if any(set(_OF_ROWS) & set(row) for row in value[key])]
    if max(len(splits), len(wrapped)) > 1 or (len(named) != 1 < len(rows) == len(value)):
        raise ValueError(
            f"{place} holds several lists of records, under {', '.join(map(repr, rows))}. Write "
            f"the one that is meant to a file of its own, e.g. jq '.{rows[0]}' FILE > NEW."
        )
    if len(value) == 1:
        return rows[0]
    if len(named) == 1:
        return named[0]
    # Beside lists, objects and texts a list of objects is a cell, such as of completions with
    # ratings or of annotations of a task.
    others = [cells for key, cells in value.items() if key != rows[0]]
    if len(rows) == 1 and all(
        isinstance(cells, list) and len(cells) == len(value[rows[0]]) for cells in others
    ):
        return None  # columns, of which one has an object in each row
    if len(rows) > 1 or any(isinstance(cells, str | list | dict) for cells in others):
        return wrapped[0] if len(wrapped) == 1 else None
    return rows[0]


def _is_list_of_objects(cells: Any) -> bool:
    return isinstance(cells, list) and bool(cells) and all(isinstance(cell, dict) for cell in cells)


def _is_of_messages(cells: list[Row]) -> bool:
    return all(any(set(names) <= set(cell) for names in _OF_MESSAGE) for cell in cells)


def _is_conversation(cells: list) -> bool:
    """Whether a list is of messages by several, or is one message."""
    if not _is_list_of_objects(cells) or not _is_of_messages(cells):
        return False
    return len(cells) == 1 or len({repr(cell.get("role", cell.get("from"))) for cell in cells}) > 1


def _check_messages(value: Row, place: str) -> None:
    """Raise where lists of messages could be conversations, or columns of one message a row."""
    roles = [[cell.get("role", cell.get("from")) for cell in cells] for cells in value.values()]
    if all(len(of_column) > 1 and len(set(map(repr, of_column))) == 1 for of_column in roles):
        name, cells = next(iter(value.items()))
        raise ValueError(
            f"{place} could be one record, whose {name!r} is a conversation of {len(cells)} "
            f"messages, or {len(cells)} records of one message each: {reprlib.repr(cells)}. Write "
            "the records one by one, as JSON lines or in a list."
        )


def _of_viewer(rows: list[Row], place: str) -> Any:
    """Return rows without what the viewer of a hub puts around each."""
    if not all(set(row) == _OF_VIEWER and isinstance(row["row"], dict) for row in rows):
        return rows
    for position, row in enumerate(rows):
        if row["truncated_cells"]:
            raise ValueError(
                f"{place}, record {position} was cut by the viewer it comes from, in "
                f"{row['truncated_cells']}. Get the data themselves."
            )
    return (row["row"] for row in rows)
