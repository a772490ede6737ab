"""The same pairs in every layout, in every container and compression: what comes in at the door."""

import json
from collections.abc import Callable
from typing import NamedTuple

from data_files import COMPRESSIONS, CONTAINERS, FOLDERS, TABLES, TEXT_ONLY, write_container
from layout_rows import Pair
from preference_layouts import LAYOUTS
from ranked_layouts import WRITERS


class Door(NamedTuple):
    """A layout as the tests of this module see it.

    Parameters
    ----------
    write : callable
        From pairs (prompt, first, second, label) to rows.
    called : str
        How the name that a report gives begins.
    oriented : bool
        Whether the better response of a pair is known by its place, so that no tie can be written.
    ties : bool
    """

    write: Callable[[list[Pair]], list[dict]]
    called: str
    oriented: bool
    ties: bool


def _ranked(write):
    def rows(pairs):
        return write([(p, *((a, b) if y == 1 else (b, a))) for p, a, b, y in pairs])

    return rows


DOORS = {
    name: Door(entry.write, entry.called, entry.oriented, entry.ties and not entry.oriented)
    for name, entry in LAYOUTS.items()
} | {
    name: Door(
        _ranked(write),
        "two responses and their scores" if name.startswith("numbered") else name,
        not name.startswith("numbered"),
        False,
    )
    for name, write in WRITERS.items()
}
"""Layouts, those of one pair a row and the others."""

FILES = [
    (container, compression)
    for container in (*CONTAINERS, *FOLDERS)
    for compression in COMPRESSIONS
    # What `datasets` saves is not packed, and people have no archive within an archive.
    if not (container.startswith("dataset") and compression != "none")
    and not (container == "zip of shards" and "zip" in compression.split("gzip")[-1])
]
"""Containers with a compression that they can have."""


def as_text(rows):
    """Return rows whose lists and dicts are written as JSON, for files that hold text alone."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return [{name: _cell(row.get(name)) for name in names} for row in rows]


def _cell(value):
    return json.dumps(value) if isinstance(value, list | dict) else value


def write_door(rows, path, container="json lines", compression="none"):
    """Write rows to a file, and return what a reader is to be given."""
    rows = as_text(rows) if container in TEXT_ONLY else rows
    return write_container(rows, path, container, compression)


def make_table(rows, table):
    """Return rows as a table in memory."""
    return TABLES[table](rows)
