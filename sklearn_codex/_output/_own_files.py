"""Files of a folder that one command makes: its own are replaced by its next run, others never."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from sklearn_codex._output._paths import StrPath
from sklearn_codex._output._temporary import is_temporary
from sklearn_codex._output._writer import check_folder, new_file, written_together

_CHOOSE = "Choose another one with --out, or pass --force to replace"


@dataclass(frozen=True)
class OwnFiles:
    """What a command writes into the folder of its option ``--out``.

    A manifest beside the files holds their digests. It is put before them and goes after them, so
    that it is true of whatever is there at any time.

    Parameters
    ----------
    maker : str
        The command, such as "demo"; the manifest is called after it.
    files : tuple of str
        Names of what it may write, without the manifest. What leads to the others is the last: it
        is there only while all of a set is.
    version : str
        Of the package, for whoever reads the manifest.
    """

    maker: str
    files: tuple[str, ...]
    version: str

    @property
    def manifest(self) -> str:
        """Name of the file that tells what was written."""
        return f"made_by_{self.maker}.json"

    @property
    def names(self) -> tuple[str, ...]:
        """All names, in the order in which the files take their places."""
        return (self.manifest, *self.files)

    @property
    def _mark(self) -> str:
        return f"sklearn-codex {self.maker}"

    def check(
        self, out: StrPath, inputs: Mapping[str, StrPath] | None = None, *, force: bool
    ) -> frozenset[str]:
        """Raise at once where the files could not be written; return the names of those to replace.

        Parameters
        ----------
        out : path-like
            The folder, which there need not be.
        inputs : mapping of str to path, default=None
            Files that are read, by what names them; none of them may be replaced.
        force : bool
            Whether any folder will do, and what is called as one of the files is replaced.

        Raises
        ------
        FileExistsError
            If `force` is false, and the folder holds files and none of this command, or a file with
            one of the names that is not as the command left it.
        """
        out = Path(out)
        there = {name for name in self.names if os.path.lexists(out / name)}
        own = self._own(out)
        foreign = sorted(there - own)
        if own and foreign and not force:
            raise FileExistsError(
                f"--out cannot write {str(out / foreign[0])!r}: the file was not made by the "
                f"{self.maker}, or was changed since. {_CHOOSE} it."
            )
        check_folder(
            out,
            self.names,
            inputs,
            overwrite=force or bool(own) or _is_empty(out),
            subject="--out",
            remedy=f"{_CHOOSE} the {self.maker}'s files in it.",
        )
        return frozenset(there if force else own)

    def _own(self, out: Path) -> set[str]:
        """Return the names of the files that are as a run left them; none without a manifest."""
        try:
            made = json.loads((out / self.manifest).read_bytes())
            digests = made["files"] if made["made_by"] == self._mark else {}
        except (OSError, ValueError, LookupError, TypeError):
            return set()
        if not isinstance(digests, dict):
            return set()
        same = {
            name
            for name in self.files
            if name in digests and _digest_of(out / name) == digests[name]
        }
        return same | {self.manifest}

    def write(self, out: StrPath, contents: Mapping[str, bytes], replaced: frozenset[str]) -> None:
        """Write files by their names, all or none.

        Parameters
        ----------
        out : path-like
            The folder, which there need not be.
        contents : mapping of str to bytes
            Some of `files`.
        replaced : set of str
            As of `check`. Those that are not written are removed: they would be taken for files of
            this run.
        """
        out = Path(out)
        made = {
            "made_by": self._mark,
            "version": self.version,
            "files": {name: _digest(content) for name, content in contents.items()},
        }
        contents = {**contents, self.manifest: (json.dumps(made, indent=2) + "\n").encode()}
        with written_together(out, stale=tuple(replaced)):
            for name in sorted(contents, key=self.names.index):
                may_replace = name in replaced
                remedy = f"{_CHOOSE} it."
                path = out / name
                with new_file(path, overwrite=may_replace, subject="--out", remedy=remedy) as file:
                    file.write(contents[name])


def _is_empty(folder: Path) -> bool:
    """Whether a folder holds nothing but what dead or living processes have not finished."""
    return folder.is_dir() and all(map(is_temporary, os.listdir(folder)))


def _digest_of(path: Path) -> str | None:
    try:
        return _digest(path.read_bytes())
    except OSError:
        return None


def _digest(content: bytes) -> str:
    return blake2b(content, digest_size=16).hexdigest()
