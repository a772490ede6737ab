"""Files of every layout, container and compression, with values, records and bytes changed.

Each is a result, or an error of one line that names the file.
"""

import io
import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

from fuzz.hostile_files import ODD_VALUES, PAIRS, _damage, change_records, make_records
from fuzz.outcomes import Outcomes, is_clear_error
from sklearn_codex import read_preferences
from sklearn_codex.cli import main
from sklearn_codex.datasets import read_batches

sys.path.append(str(Path(__file__).parents[1] / "tests"))  # which share how the files are written

from data_files import COMPRESSIONS, CONTAINERS, FOLDERS, write_container
from door import DOORS
from layout_rows import PAIRS as PAIRS_OF_LAYOUTS

_FILES = [(container, compression) for container in CONTAINERS for compression in COMPRESSIONS]
_NAME = "data.x"
_NAMES = (_NAME, "part-*", "no row in the files")  # of a pattern, of all files that were given


def run(n_cases: int, seed: int) -> Outcomes:
    """Try files, each container and compression in turn."""
    outcomes = Outcomes()
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as name:
        for i in range(n_cases):
            folder = Path(name) / str(i)
            folder.mkdir()
            what, source = _write(rng, folder, i)
            reader = _READERS[rng.integers(len(_READERS))]
            outcomes.try_case(
                f"case {i}, {reader.__name__} of {what}",
                lambda reader=reader, source=source: reader(source),
                is_clear=_is_one_line,
            )
            shutil.rmtree(folder)
    return outcomes


def _is_one_line(error: BaseException) -> bool:
    text = str(error)
    return is_clear_error(error) and "\n" not in text and any(name in text for name in _NAMES)


def _write(rng: np.random.Generator, folder: Path, i: int) -> tuple[str, Path | str]:
    """Write a file or folder and damage it; return what it is and what to read."""
    rows = _make_rows(rng)
    path = folder / _NAME
    if i % 8 == 0:
        container = FOLDERS[rng.integers(len(FOLDERS))]
        compression = "none" if container.startswith("dataset") else "gzip"
        source = _write_held(rows, path, container, compression)
        _damage_file(rng, folder)
        return f"{container}, {rows!r:.200}", source
    container, compression = _FILES[i % len(_FILES)]
    source = _write_held(rows, path, container, "none")
    data = path.read_bytes()
    if rng.integers(3) == 0:  # only values and records are changed, so that layouts are read
        path.write_bytes(COMPRESSIONS[compression](data))
        return f"{container} in {compression}, {rows!r:.300}", source
    if rng.integers(2):
        data = _damage(rng, data)
    data = COMPRESSIONS[compression](data)
    if rng.integers(2):
        data = data[:4] + _damage(rng, data[4:])
    path.write_bytes(data)
    return f"{container} in {compression}, {data[:200]!r}", source


def _write_held(
    rows: list[dict[str, Any]], path: Path, container: str, compression: str
) -> Path | str:
    """Write rows, as plain text where a container cannot hold the values."""
    try:
        return write_container(rows, path, container, compression)
    except Exception:
        if path.is_dir():
            shutil.rmtree(path)
    rows = [{_ascii(name): _ascii(value) for name, value in row.items()} for row in rows]
    return write_container(rows, path, container, compression)


def _ascii(value: Any) -> str:
    text = f"{value!r:.9999}" if isinstance(value, list | dict) else f"{value}"[:9999]
    return text.encode("ascii", "replace").decode()


def _make_rows(rng: np.random.Generator) -> list[dict[str, Any]]:
    """Return rows with the same names, some of which hold what is odd."""
    records = make_records(rng, PAIRS)
    if rng.integers(3):
        door = list(DOORS.values())[rng.integers(len(DOORS))]
        records = [_change_within(rng, row) for row in door.write(PAIRS_OF_LAYOUTS)]
    records = change_records(rng, records)
    rows = [row for row in records if isinstance(row, dict)]
    names = list(dict.fromkeys(str(name) for row in rows for name in row)) or ["chosen"]
    by_name = [{str(name): value for name, value in row.items()} for row in rows]
    return [{name: row.get(name) for name in names} for row in by_name or [{}]]


def _change_within(rng: np.random.Generator, value: Any) -> Any:
    """Return a value in which, now and then, something deep within is odd or gone."""
    if rng.integers(60) == 0:
        return ODD_VALUES[rng.integers(len(ODD_VALUES))] if not isinstance(value, dict) else {}
    if isinstance(value, dict):
        return {name: _change_within(rng, held) for name, held in value.items()}
    if isinstance(value, list):
        return [_change_within(rng, held) for held in value]
    return value


def _damage_file(rng: np.random.Generator, folder: Path) -> None:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    file = files[rng.integers(len(files))]
    what = rng.integers(4)
    if what == 0:
        file.unlink()
    elif what == 1:
        file.write_bytes(rng.bytes(int(rng.integers(60))))
    elif what == 2:
        data = file.read_bytes()
        file.write_bytes(data[:4] + _damage(rng, data[4:]))


def _read_pairs(source: Path | str) -> Any:
    return read_preferences(source)


def _read_column(source: Path | str) -> Any:
    return list(read_batches(source, "chosen"))


def _read_lines(source: Path | str) -> Any:
    return list(read_batches(source))


def _run_command(source: Path | str) -> Any:
    told = io.StringIO()
    words = ["audit", str(source), "--json", "--no-progress", "--split", "no column"]
    with redirect_stdout(io.StringIO()), redirect_stderr(told):
        code = main(words)
    assert code == 1, f"exit status {code}"
    assert told.getvalue().count("\n") == 1, told.getvalue()
    return told.getvalue()


_READERS: list[Callable[[Path | str], Any]] = [
    _read_pairs, _read_pairs, _read_column, _read_lines, _run_command,
]  # fmt: skip
