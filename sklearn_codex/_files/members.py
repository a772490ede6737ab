"""Files among others, in a zip archive or a folder: which hold data."""

import re
import zipfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import PurePosixPath
from typing import BinaryIO

from sklearn_codex._plain import plain

_METADATA = re.compile(
    r"(readme|license|licence|notice|citation|changelog|dataset_infos?|dataset_dict|state"
    r"|_success|_metadata|_common_metadata|sha256sums|md5sums|index)(\.\w+)?"
    # What trainers write beside data: settings, the tokenizer, weights.
    r"|((generation_|adapter_|tokenizer_|preprocessor_)?config|trainer_state|tokenizer|vocab"
    r"|special_tokens_map|added_tokens|(all|train|eval)_results|.*\.safetensors\.index)\.json"
    r"|merges\.txt|training_args\.bin"
    r"|.*\.(md|rst|py|pyc|lock|ya?ml|toml|sha256|md5|safetensors|pth?)",
    re.IGNORECASE,
)
_OF_ZIP = {
    "xl/workbook.xml": ("an Excel workbook", "save the sheet as CSV"),
    "xl/workbook.bin": ("an Excel workbook", "save the sheet as CSV"),
    "Index/Document.iwa": ("a document of Numbers or Pages", "save the sheet as CSV"),
    "ppt/presentation.xml": ("a PowerPoint document", "name the file of the data"),
    "META-INF/container.xml": ("an e-book", "name the file of the data"),
    "word/document.xml": ("a Word document", "save it as text"),
    "META-INF/MANIFEST.MF": ("a Java archive", "name the file of the data"),
    "content.xml": ("an OpenDocument file", "save the sheet as CSV"),
    "schema.json": ("a model file of skops", "name the file of the data"),
}


def is_data(path: str) -> bool:
    """Whether a file of a folder holds data, and is neither hidden nor describes others."""
    parts = PurePosixPath(path).parts
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
    return not hidden and not _METADATA.fullmatch(parts[-1])


_SPLIT = re.compile(r"(?:^|[^a-z])(train|test|valid|validation|dev|eval|val)(?=[^a-z]|$)")


def check_splits(names: list[str], place: str, remedy: Callable[[str], str]) -> None:
    """Raise where files that would be read together are of several splits.

    Parameters
    ----------
    names : list of str
        Names of the files, with their folders.
    place : str
        What the caller calls all of them.
    remedy : callable
        From a split to what a caller would name instead.
    """
    splits: dict[str, str] = {}
    for name in names:
        splits.setdefault(split_of(name), name)
    if len(splits) > 1 and (named := sorted(split for split in splits if split)):
        shown = ", ".join(splits.values())
        raise ValueError(
            f"{place} holds several splits, {shown}: read together, pairs of the test would be "
            f"learned from. Name one, such as {remedy(named[-1])}."
        )


def split_of(name: str) -> str:
    """Return the split that the name of a file, with its folders, tells; "" if none."""
    words = _SPLIT.findall(name.lower())
    return words[-1] if words else ""


def open_zip(file: BinaryIO, place: str) -> zipfile.ZipFile:
    """Return an archive, whose members hold data.

    Raises
    ------
    ValueError
        If it is damaged, or a document of another kind that is a zip archive inside.
    """
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError, EOFError) as error:
        raise ValueError(
            f"{place}: the zip data are cut off or damaged ({plain(error)}). Get the file again."
        ) from error
    names = set(archive.namelist())
    for name, (kind, remedy) in _OF_ZIP.items():
        if name in names:
            raise ValueError(f"{place} is {kind}, no file of records or texts: {remedy}.")
    if any(name.endswith(".npy") for name in names):
        raise ValueError(
            f"{place} holds arrays of numpy, no records or texts: write its rows as JSON lines."
        )
    if any(name.endswith("data.pkl") for name in names):
        raise ValueError(
            f"{place} is a file of PyTorch, which could run any code when it is read: write its "
            "rows as JSON lines where it was made."
        )
    return archive


def data_members(archive: zipfile.ZipFile, place: str) -> list[tuple[str, zipfile.ZipInfo]]:
    """Return the members of an archive that hold data, by name.

    Raises
    ------
    ValueError
        If there is none, or two have one name.
    """
    found = [info for info in archive.infolist() if not info.is_dir()]
    members = sorted(
        ((plain(info.filename), info) for info in found if is_data(info.filename)),
        key=lambda member: member[0],
    )
    if not members:
        names = ", ".join(sorted(plain(info.filename) for info in found)[:5]) or "nothing"
        raise ValueError(f"{place} is a zip archive without a file of data: it holds {names}.")
    inside = [name for name, _ in members]
    for name, other in pairwise(inside):
        if name == other:
            raise ValueError(f"{place} holds the file {name} twice. Leave one in the archive.")
    check_splits(inside, place, lambda split: f"the file of {split}, unpacked")
    return members
