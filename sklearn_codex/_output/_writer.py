"""Files as they are written: whole or not at all, and several together.

A file is written under a name of its own beside its target, and takes the target's place when it is
complete. What is no regular file, such as a device or a pipe, is written through.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import IO

from sklearn_codex._output._commit import commit
from sklearn_codex._output._file import Output
from sklearn_codex._output._paths import StrPath, same_file

CHOOSE_OR_OVERWRITE = "Choose another path or pass overwrite=True."


@contextmanager
def new_file(
    path: StrPath, *, overwrite: bool, subject: str, remedy: str = CHOOSE_OR_OVERWRITE
) -> Iterator[IO[bytes]]:
    """Yield a file to write to, which takes its place when the block ends without an error.

    Parameters
    ----------
    path : str or path-like
        Where the file is to be. Of a symbolic link the target is replaced, and the link stays. What
        is no regular file is written through when the block has ended, and never replaced.
    overwrite : bool
        Whether an existing regular file may be replaced. Its mode is kept.
    subject : str
        Who writes; error messages start with it.
    remedy : str
        What to do where the file exists and may not be replaced.

    Yields
    ------
    file : binary file
        Can be read, written and sought.

    Raises
    ------
    FileExistsError
        If a regular file exists and ``overwrite`` is false, also where it came to be meanwhile.
    OSError
        If the file cannot be written. The message names ``path`` as it was given; what was there
        before is still there.
    """
    output = Output(path, overwrite=overwrite, subject=subject, remedy=remedy)
    together = _TOGETHER.get()
    try:
        output.open(together.folder if together else None)
        yield output.file
        output.finish()
        if together is None:
            commit([output])
        else:
            together.outputs.append(output)
    except BaseException:
        output.discard()
        raise


def write_text(
    path: StrPath, text: str, *, overwrite: bool, subject: str, remedy: str = CHOOSE_OR_OVERWRITE
) -> None:
    """Write a text as UTF-8, lone surrogates as escapes; otherwise as :func:`new_file`."""
    with new_file(path, overwrite=overwrite, subject=subject, remedy=remedy) as file:
        file.write(text.encode("utf-8", errors="backslashreplace"))


@contextmanager
def written_together(folder: StrPath | None = None, *, stale: tuple[str, ...] = ()):
    """Let the files that are written in the block take their places together when it ends.

    Where one of them cannot, or the block raises, everything is as it was before. At no time does
    an old file stand beside a new one: of the old ones the last goes first, of the new ones the
    first comes first and takes the place of its own in one step. Whatever leads to the others is
    written last, and is there only while all of a set is, though a process be killed.

    Parameters
    ----------
    folder : str or path-like, default=None
        Folder of the files, which comes into being with them if there is none.
    stale : tuple of str
        Names of files in it that are removed unless they are written: those that an earlier run
        may have left.
    """
    together = _Together(None if folder is None else Path(folder), stale)
    token = _TOGETHER.set(together)
    try:
        yield
        commit(together.outputs, together.stale_files())
    finally:
        _TOGETHER.reset(token)
        for output in together.outputs:
            output.discard()


def check_outputs(
    outputs: Mapping[str, StrPath],
    inputs: Mapping[str, StrPath] | None = None,
    *,
    overwrite: bool,
    remedy: str = CHOOSE_OR_OVERWRITE,
) -> None:
    """Raise at once where files could not be written later, or would replace each other.

    Parameters
    ----------
    outputs : mapping of str to path
        By the name of the parameter or option that names it.
    inputs : mapping of str to path
        Files that are read, by what names them.
    overwrite, remedy
        As for :func:`new_file`.

    Raises
    ------
    ValueError
        If two outputs are one file, or an output is an input, perhaps by other paths.
    OSError
        As for :func:`new_file`.
    """
    seen = dict(inputs or {})
    for name, path in outputs.items():
        output = Output(path, overwrite=overwrite, subject=name, remedy=remedy)
        if not output.is_device:
            _check_other_file(output, seen)
        output.check()
        seen[name] = path


def check_folder(
    folder: StrPath,
    names: Iterable[str],
    inputs: Mapping[str, StrPath] | None = None,
    *,
    overwrite: bool,
    subject: str,
    remedy: str,
) -> None:
    """Raise at once where the files of a folder could not be written later; as ``check_outputs``.

    Parameters
    ----------
    folder : str or path-like
        Folder of the files; there need not be one yet.
    names : iterable of str
        Names of the files in it.
    overwrite : bool
        Whether there may be such a folder.
    subject, remedy : str
        What names the folder, and what to do where there is one.

    Raises
    ------
    FileExistsError
        If the folder exists and ``overwrite`` is false.
    """
    folder = Path(folder)
    if os.path.lexists(folder) and not os.path.isdir(folder):
        raise NotADirectoryError(
            f"{subject} cannot write into {str(folder)!r}: it is a file. Name a folder."
        )
    if folder.exists() and not overwrite:
        raise FileExistsError(f"The folder {str(folder)!r} exists. {remedy}")
    for name in names:
        output = Output(folder / name, overwrite=overwrite, subject=subject, remedy=remedy)
        _check_other_file(output, inputs or {})
        output.check(folder)


def _check_other_file(output: Output, seen: Mapping[str, StrPath]) -> None:
    for other, path in seen.items():
        if same_file(output.path, path):
            raise ValueError(
                f"{output.subject} is to write {output.path!r}, which is the file of {other} too. "
                "Choose another path for one of them."
            )


class _Together:
    """Files that wait for each other."""

    def __init__(self, folder: Path | None, stale: tuple[str, ...]):
        self.folder = folder
        self.stale = stale
        self.outputs: list[Output] = []

    def stale_files(self) -> list[str]:
        if self.folder is None:
            return []
        written = {output.target for output in self.outputs}
        paths = [os.path.join(os.path.realpath(self.folder), name) for name in self.stale]
        return [
            path for path in paths if os.path.realpath(path) not in written and os.path.isfile(path)
        ]


_TOGETHER: ContextVar[_Together | None] = ContextVar("written_together", default=None)
