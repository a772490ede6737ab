"""A file on its way to its place: written beside it, or kept until it is written through."""

import errno
import io
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from sklearn_codex._output._paths import StrPath, follow_links
from sklearn_codex._output._temporary import (
    CAN_LOCK,
    clear_leftovers,
    keep_owner_and_mode,
    open_temporary,
    sync,
)

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


class Output:
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
            elif self._own_descriptor is None and not _may_write(self.target):
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


def _may_write(path: str) -> bool:
    """Return whether a file may be written, or is gone, as while another process replaces it."""
    # It may come back between two looks.
    return any(os.access(path, os.W_OK) or not os.path.lexists(path) for _ in range(3))


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
