"""The files of the demo: its own are replaced by the next demo, those of others never."""

import json
import os
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path

from sklearn_codex import __version__
from sklearn_codex._output import check_folder, new_file, written_together

MODEL, FIGURES, PICTURE = "model.skops", "figures.json", "frontier.png"
PREFERENCES, HELD_OUT = "preferences.jsonl", "held_out.jsonl"
# What was written, so that it is known again. The last, whose digest nothing can hold.
MANIFEST = "made_by_demo.json"
FILES = (MODEL, FIGURES, PICTURE, PREFERENCES, HELD_OUT, MANIFEST)
_MAKER = "sklearn-codex demo"
_CHOOSE = "Choose another one with --out, or pass --force to replace"


def check_out(out: Path, *, force: bool) -> frozenset[str]:
    """Raise at once where the files could not be written; return the names of those to replace.

    Raises
    ------
    FileExistsError
        If ``force`` is false, and the folder holds files and no demo, or a file with the name of
        one of the demo's that is not as a demo left it.
    """
    there = {name for name in FILES if os.path.lexists(out / name)}
    own = _own_files(out)
    foreign = sorted(there - own)
    if own and foreign and not force:
        raise FileExistsError(
            f"--out cannot write {str(out / foreign[0])!r}: the file was not made by the demo, or "
            f"was changed since. {_CHOOSE} it."
        )
    check_folder(
        out,
        FILES,
        overwrite=force or bool(own) or (out.is_dir() and not any(out.iterdir())),
        subject="--out",
        remedy=f"{_CHOOSE} the demo's files in it.",
    )
    return frozenset(there if force else own)


def _own_files(out: Path) -> set[str]:
    """Return the names of the files that are as a demo left them; none without its manifest."""
    try:
        made = json.loads((out / MANIFEST).read_bytes())
        digests = made["files"] if made["made_by"] == _MAKER else {}
    except (OSError, ValueError, LookupError, TypeError):
        return set()
    if not isinstance(digests, dict):
        return set()
    same = {name for name in FILES if name in digests and _digest_of(out / name) == digests[name]}
    return same | {MANIFEST}


def _digest_of(path: Path) -> str | None:
    try:
        return _digest(path.read_bytes())
    except OSError:
        return None


def _digest(content: bytes) -> str:
    return blake2b(content, digest_size=16).hexdigest()


def write_files(out: Path, contents: Mapping[str, bytes], replaced: frozenset[str]) -> None:
    """Write files by their names, all or none.

    Parameters
    ----------
    out : Path
        The folder, which there need not be.
    contents : mapping of str to bytes
        Some of ``FILES``, without the manifest.
    replaced : set of str
        Names of the files that may be replaced. Those that are not written are removed: they would
        be taken for files of this demo.
    """
    made = {
        "made_by": _MAKER,
        "version": __version__,
        "files": {name: _digest(content) for name, content in contents.items()},
    }
    manifest = (json.dumps(made, indent=2) + "\n").encode()
    with written_together(out, stale=tuple(replaced)):
        for name, content in {**contents, MANIFEST: manifest}.items():
            may_replace = name in replaced
            remedy = f"{_CHOOSE} it."
            path = out / name
            with new_file(path, overwrite=may_replace, subject="--out", remedy=remedy) as file:
                file.write(content)
