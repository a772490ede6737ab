"""Files that are read together: a folder, what a pattern finds, a zip archive of several."""

import errno
import glob
import json
import os
from collections.abc import Iterator
from itertools import pairwise
from os import PathLike
from pathlib import Path

from sklearn_codex._files.members import check_splits, is_data, split_of
from sklearn_codex._files.unpack import Part, open_file
from sklearn_codex._plain import plain

_PATTERN = set("*?[")


def open_parts(source: str | PathLike, place: str) -> Iterator[Part]:
    """Generate the parts of a file, a folder, or of the files that a pattern finds.

    Parameters
    ----------
    source : str or path-like
        A file, perhaps packed; a folder, of which all files of data are read, sorted by name, those
        of its folders too; a folder that ``datasets`` has saved; or a pattern such as
        "part-*.jsonl.gz".
    place : str
        What the caller calls it.

    Yields
    ------
    part : Part
        To be read before the next is asked for. Of several files its place is that of all with the
        name of the file after it.

    Raises
    ------
    OSError
        If a file cannot be opened, or a pattern finds none.
    ValueError
        If there is no file of data in a folder, or files of several splits.
    """
    files = find_files(source, place)
    if files is None:
        yield from open_file(source, place)
        return
    for name, path in files:
        yield from open_file(path, f"{place}, {name}")


def find_files(source: str | PathLike, place: str) -> list[tuple[str, str]] | None:
    """Return the names and paths of the files that a folder or pattern stands for, or None."""
    path = os.fspath(source)
    if os.path.isdir(path):
        return _files_of_folder(path, place)
    if isinstance(path, str) and _PATTERN & set(path) and not os.path.lexists(path):
        return _files_of_pattern(path, place)
    return None


def is_there(source: str | PathLike) -> bool:
    """Whether there is a file, a folder, or a file that a pattern finds."""
    path = os.fspath(source)
    return os.path.exists(path) or bool(_PATTERN & set(path) and glob.glob(path, recursive=True))


def _files_of_pattern(pattern: str, place: str) -> list[tuple[str, str]]:
    found = sorted(glob.glob(pattern, recursive=True))
    files = [path for path in found if os.path.isfile(path) and is_data(os.path.basename(path))]
    if not files:
        raise FileNotFoundError(errno.ENOENT, "No file of data is found by this pattern", pattern)
    names = [os.path.basename(path) for path in files]
    if len(set(names)) < len(names):  # of several folders
        names = files
    return list(zip(map(plain, names), files, strict=True))


def _files_of_folder(folder: str, place: str) -> list[tuple[str, str]]:
    if os.path.isfile(os.path.join(folder, "dataset_dict.json")):
        return _files_of_splits(folder, place)
    if os.path.isfile(os.path.join(folder, "state.json")):
        return _files_of_dataset(folder, place)
    found = []
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = os.path.join(root, name)
            found.append((Path(path).relative_to(folder).as_posix(), path))
    files = sorted((name, path) for name, path in found if is_data(name))
    if not files:
        seen = ", ".join(sorted(plain(name) for name, _ in found)[:5]) or "no file at all"
        raise ValueError(f"{place} is a folder without a file of data: it holds {seen}.")
    names = [name for name, _ in files]
    check_splits(names, place, lambda split: _path_of(split, folder, files))
    return [(plain(name), path) for name, path in files]


def _path_of(split: str, folder: str, files: list[tuple[str, str]]) -> str:
    """Return the folder, the pattern or the file that stands for one split and nothing else."""
    wanted = {path for name, path in files if split_of(name) == split}
    inside = {path for name, path in files if name.startswith(f"{split}/")}
    ways = [os.path.join(folder, way, f"*{split}*") for way in ("", "*", "**")]
    found = [os.path.join(folder, split)] if inside == wanted else []
    found += [way for way in ways if {*glob.glob(way, recursive=True)} == wanted]
    return plain(found[0] if found else min(wanted))


def _files_of_splits(folder: str, place: str) -> list[tuple[str, str]]:
    """Return the files of a ``DatasetDict`` that has one split."""
    splits = _load_metadata(folder, "dataset_dict.json", "splits", place)
    if len(splits) != 1:
        names = ", ".join(plain(split) for split in splits) or "none"
        first = plain(splits[0]) if splits else "train"
        raise ValueError(
            f"{place} is a folder of several splits: {names}. Name the folder of one, such as "
            f"{plain(folder).rstrip('/')}/{first}; or pass data[{first!r}] of what is loaded."
        )
    split = str(splits[0])
    files = _files_of_dataset(os.path.join(folder, split), place)
    return [(f"{plain(split)}/{name}", path) for name, path in files]


def _files_of_dataset(folder: str, place: str) -> list[tuple[str, str]]:
    """Return the files of a ``Dataset`` in its own order."""
    if _load_metadata(folder, "state.json", "_indices_data_files", place):
        raise ValueError(
            f"{place} holds a selection of rows beside the data. Save it anew: "
            "data.flatten_indices().save_to_disk(folder)."
        )
    entries = _load_metadata(folder, "state.json", "_data_files", place)
    names = []
    for entry in entries:
        name = entry.get("filename") if isinstance(entry, dict) else None
        if not isinstance(name, str) or os.path.basename(name) != name:
            raise ValueError(
                f"{place}: state.json names {plain(repr(name))} as a file of data, which is none "
                "of its folder. Save the dataset anew."
            )
        names.append(name)
    if not names:
        raise ValueError(f"{place} is a folder of a dataset without a file of data.")
    for name, after in pairwise(sorted(names)):
        if name == after:
            raise ValueError(f"{place}: state.json names {plain(name)} twice. Save it anew.")
    return [(plain(name), os.path.join(folder, name)) for name in names]


def _load_metadata(folder: str, name: str, key: str, place: str) -> list:
    path = os.path.join(folder, name)
    try:
        with open(path, encoding="utf-8") as file:
            values = json.loads(file.read(2**24)).get(key) or []
        if not isinstance(values, list):
            raise TypeError(f"{key} is no list")
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{place}: {name} in the folder is damaged ({plain(error)}). Save the dataset anew."
        ) from error
    return values
