"""Files as they are written: whole or not at all, and several together.

A file is written under a name of its own beside its target, and takes the target's place when it is
complete. What is no regular file, such as a device or a pipe, is written through.
"""

import errno
import io
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import IO, Any

from sklearn_codex._output._paths import StrPath, follow_links, same_file
from sklearn_codex._output._temporary import (
    CAN_LOCK,
    beside,
    clear_leftovers,
    keep_owner_and_mode,
    lock_folders,
    open_temporary,
    sync,
    sync_folder,
)

CHOOSE_OR_OVERWRITE = "Choose another path or pass overwrite=True."
_REASONS = {
    errno.EISDIR: "it is a folder. Name a file.",
    errno.EACCES: "permission is denied. Choose a place in which you may write.",
    errno.EPERM: "permission is denied. Choose a place in which you may write.",
    errno.EROFS: "the file system is read-only. Choose a place in which you may write.",
    errno.ENOSPC: "no space is left on the device. Free some, or choose another place.",
    getattr(
        errno, "EDQUOT", -1
    ): "your quota of space is used up. Free some, or choose another place.",
    errno.EFBIG: "it is larger than a file may be here. Choose another place.",
    errno.ENAMETOOLONG: "the name is too long. Choose a shorter one.",
    errno.ELOOP: "its symbolic links lead in a circle. Choose another path.",
}


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
    output = _Output(path, overwrite=overwrite, subject=subject, remedy=remedy)
    together = _TOGETHER.get()
    try:
        output.open(together.folder if together else None)
        yield output.file
        output.finish()
        if together is None:
            _commit([output])
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

    Where one of them cannot, or the block raises, everything is as it was before.

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
        _commit(together.outputs, together.stale_files())
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
        output = _Output(path, overwrite=overwrite, subject=name, remedy=remedy)
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
        output = _Output(folder / name, overwrite=overwrite, subject=subject, remedy=remedy)
        _check_other_file(output, inputs or {})
        output.check(folder)


def _check_other_file(output: "_Output", seen: Mapping[str, StrPath]) -> None:
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
        self.outputs: list[_Output] = []

    def stale_files(self) -> list[str]:
        if self.folder is None:
            return []
        written = {output.target for output in self.outputs}
        paths = [os.path.join(os.path.realpath(self.folder), name) for name in self.stale]
        return [
            path for path in paths if os.path.realpath(path) not in written and os.path.isfile(path)
        ]


_TOGETHER: ContextVar[_Together | None] = ContextVar("written_together", default=None)


class _Output:
    """A file on its way to its place.

    Attributes
    ----------
    file : binary file
        What is written to.
    target : str
        The path that is replaced, past all symbolic links.
    home : str
        Folder of the temporary file, once there is one.
    """

    def __init__(self, path: StrPath, *, overwrite: bool, subject: str, remedy: str):
        self.path = os.fsdecode(path)
        self.overwrite = overwrite
        self.subject = subject
        self.remedy = remedy
        self.file: IO[bytes] = _Spool()
        self.temporary: str | None = None
        self._descriptor: int | None = None
        self.home = ""
        with self.named_errors():
            self.target, self._own_descriptor = follow_links(self.path)
            self.old = _stat(self.target if self._own_descriptor is None else self.path)

    @contextmanager
    def named_errors(self) -> Iterator[None]:
        """Tell the errors of the system in terms of the path that was given."""
        try:
            yield
        except OSError as error:
            if error.errno is None:  # it is worded already
                raise
            raise self._name_error(error) from error
        except ValueError as error:
            raise ValueError(
                f"{self.subject} cannot write {self.path!r}: it is no path ({error})."
            ) from error

    def _name_error(self, error: OSError) -> OSError:
        """Return an error of the same type that says what could not be written, and why."""
        missing = os.path.dirname(self.path) or os.curdir
        if os.path.isdir(missing):  # but the path is a link that leads elsewhere
            missing = os.path.dirname(os.path.realpath(self.path))
        if error.errno == errno.ENOENT:
            reason = f"there is no folder {missing!r}. Make it, or choose another path."
        elif error.errno == errno.ENOTDIR:
            reason = f"{missing!r} is no folder. Choose another path."
        else:
            reason = _REASONS.get(error.errno or 0, f"{error.strerror or error}.")
        named = type(error)(f"{self.subject} cannot write {self.path!r}: {reason}")
        named.errno = error.errno
        return named

    @property
    def is_regular(self) -> bool:
        """Whether the file is, or will be, one that is replaced."""
        return self._own_descriptor is None and (self.old is None or stat.S_ISREG(self.old.st_mode))

    @property
    def is_device(self) -> bool:
        """Whether several outputs may go there, as to the null device."""
        return self.old is not None and stat.S_ISCHR(self.old.st_mode)

    def check(self, folder: Path | None = None) -> str:
        """Return the folder of the temporary file; raise where the file cannot be written."""
        with self.named_errors():
            home = os.path.dirname(self.target)
            if folder is not None and home == os.path.realpath(folder):
                while not os.path.lexists(home):  # it is made when the file is complete
                    home = os.path.dirname(home)
            if self.old is None:
                _check_name(self.target, home)
            elif stat.S_ISDIR(self.old.st_mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            elif stat.S_ISBLK(self.old.st_mode):
                raise OSError(errno.EINVAL, "it is a disk, and would lose what it holds")
            elif self.is_regular and not self.overwrite:
                self._refuse()
            elif not os.access(self.target, os.W_OK) and self._own_descriptor is None:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            if self.is_regular and not os.access(home, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return home

    def _refuse(self):
        raise FileExistsError(
            f"{self.subject} does not replace the existing file {self.path!r}. {self.remedy}"
        )

    def open(self, folder: Path | None) -> None:
        """Open the temporary file."""
        self.home = home = self.check(folder)
        if not self.is_regular:
            return  # what comes is kept in memory until it is complete
        clear_leftovers(home)
        mode = 0o666 if self.old is None else 0o600
        with self.named_errors():
            self.temporary, self._descriptor = open_temporary(home, mode)
            if self.old is not None:
                keep_owner_and_mode(self._descriptor, self.old)
            raw = _NamedRaw(self._descriptor, self.named_errors)
        self.file = io.BufferedRandom(raw)

    def finish(self) -> None:
        """Bring everything that was written to the disk."""
        if self._descriptor is not None:
            if not self.file.closed:
                self.file.close()  # the descriptor stays, and with it the lock
            with self.named_errors():
                sync(self._descriptor)

    def put(self) -> None:
        """Give the file its place."""
        with self.named_errors():
            if not self.is_regular:
                self._write_through()
                return
            assert self.temporary is not None
            os.makedirs(os.path.dirname(self.target), exist_ok=True)
            if not CAN_LOCK:
                self._release()  # an open file cannot be renamed there
            if self.overwrite:
                os.replace(self.temporary, self.target)
            else:
                self._put_new()
            self.temporary = None
        self._release()

    def _put_new(self):
        """Give the file its place unless somebody else has taken it."""
        assert self.temporary is not None
        try:
            os.link(self.temporary, self.target)
        except FileExistsError:
            self._refuse()
        except OSError:  # a file system without links
            if os.path.lexists(self.target):
                self._refuse()
            os.replace(self.temporary, self.target)
        else:
            os.unlink(self.temporary)

    def _write_through(self):
        assert isinstance(self.file, _Spool)
        if self._own_descriptor is None:
            descriptor = os.open(self.path, os.O_WRONLY)
        else:
            descriptor = os.dup(self._own_descriptor)
        with suppress(BrokenPipeError), open(descriptor, "wb", buffering=0) as through:
            rest = self.file.getbuffer()
            while rest:
                rest = rest[through.write(rest) or 0 :]

    def discard(self) -> None:
        """Leave nothing of a file that has not got its place."""
        if self._descriptor is not None:
            with suppress(OSError):
                self.file.close()
        if not CAN_LOCK:
            self._release()
        if self.temporary is not None:
            with suppress(OSError):
                os.unlink(self.temporary)
            self.temporary = None
        self._release()

    def _release(self):
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class _Spool(io.BytesIO):
    """Keeps what is written until it is complete, whatever its writer closes."""

    def close(self):
        pass


class _NamedRaw(io.FileIO):
    """A file whose errors name the path that was given; closing it leaves the descriptor open."""

    def __init__(self, descriptor: int, named_errors: Callable[[], Any]):
        super().__init__(descriptor, "r+b", closefd=False)
        self._named_errors = named_errors

    def write(self, data):
        with self._named_errors():
            return super().write(data)

    def truncate(self, size=None):
        with self._named_errors():
            return super().truncate(size)


def _commit(outputs: list[_Output], stale: Sequence[str] = ()) -> None:
    """Give files their places and remove stale ones, all of it or nothing."""
    # What is written through cannot be taken back, so it comes last.
    outputs = sorted(outputs, key=lambda output: not output.is_regular)
    if len(outputs) == 1 and not stale:
        outputs[0].put()
    else:
        # Of processes that write the same set at once, one is the last with all of it.
        with lock_folders({output.home for output in outputs if output.is_regular}):
            _commit_set(outputs, stale)
    for home in {os.path.dirname(output.target) for output in outputs if output.is_regular}:
        sync_folder(home)


def _commit_set(outputs: list[_Output], stale: Sequence[str]) -> None:
    undo: list[Callable[[], object]] = []
    backups: list[str] = []
    try:
        for output in outputs:
            if output.is_regular:
                _put_with_undo(output, undo, backups)
            else:
                output.put()
        for path in stale:
            backup = beside(path)
            with suppress(FileNotFoundError):
                os.rename(path, backup)
                undo.append(partial(os.rename, backup, path))
                backups.append(backup)
    except BaseException:
        for step in reversed(undo):
            with suppress(OSError):
                step()
        raise
    finally:
        for backup in backups:
            with suppress(OSError):
                os.unlink(backup)


def _put_with_undo(output: _Output, undo: list, backups: list[str]) -> None:
    """Give a file its place, and note what brings back what was there."""
    target = output.target
    if os.path.lexists(target):
        backup = beside(target)
        backups.append(backup)
        with output.named_errors():
            try:
                os.link(target, backup)
            except OSError:  # a file system without links
                shutil.copy2(target, backup)
        output.put()
        undo.append(partial(os.replace, backup, target))
        return
    missing = [target]
    while not os.path.lexists(parent := os.path.dirname(missing[-1])):
        missing.append(parent)
    undo += [partial(os.rmdir, folder) for folder in reversed(missing[1:])]
    output.put()
    undo.append(partial(os.unlink, target))


def _check_name(target: str, home: str) -> None:
    """Raise the error that the system has for the name of a file that is not there."""
    os.stat(home)
    with suppress(FileNotFoundError):
        os.stat(os.path.join(home, os.path.basename(target)))


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None
