"""Temporary files that take the place of others, and what dead processes have left of them."""

import errno
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress

try:
    import fcntl
except ImportError:  # a system on which an open file cannot be removed, so that no lock is needed
    fcntl = None  # type: ignore[assignment]

CAN_LOCK = fcntl is not None
_TEMPORARY = re.compile(r"\.sklearn-codex-[0-9a-f]{16}\.part")


def clear_leftovers(folder: str) -> None:
    """Remove the temporary files of this package in a folder whose processes have ended."""
    with suppress(OSError), _while_nobody_renames(folder), os.scandir(folder) as entries:
        for entry in entries:
            if is_temporary(entry.name) and entry.is_file(follow_symlinks=False):
                with suppress(OSError):
                    _unlink_if_dead(entry.path)


def is_temporary(name: str) -> bool:
    """Whether a name is one of ``beside``."""
    return _TEMPORARY.fullmatch(name) is not None


@contextmanager
def _while_nobody_renames(folder: str) -> Iterator[None]:
    """Raise where another process has the folder locked: it may have to put old files back."""
    if fcntl is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _unlink_if_dead(path: str) -> None:
    if fcntl is None:
        os.unlink(path)
        return
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    try:
        # A process holds the lock as long as it lives.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(path)
    finally:
        os.close(descriptor)


def open_temporary(folder: str, mode: int) -> tuple[str, int]:
    """Return the path and the descriptor of a new file, locked while this process lives."""
    while True:
        path = beside(os.path.join(folder, ""))
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        descriptor = os.open(path, flags, mode)
        if fcntl is None:
            return path, descriptor
        with suppress(OSError):  # a file system without locks, where nobody else gets one either
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return path, descriptor
        os.close(descriptor)  # somebody took it for a leftover before it was locked


@contextmanager
def lock_folders(folders: Iterable[str]) -> Iterator[None]:
    """Keep other processes out of the same block with one of these folders, where it can be."""
    with ExitStack() as stack:
        for folder in sorted(folders):  # all in the same order, so that none wait for each other
            with suppress(OSError):
                descriptor = os.open(folder, os.O_RDONLY)
                stack.callback(os.close, descriptor)
                if fcntl is not None:
                    fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


def beside(path: str) -> str:
    """Return a new name in the folder of a path, of the form of ``_TEMPORARY``."""
    return os.path.join(os.path.dirname(path), f".sklearn-codex-{secrets.token_hex(8)}.part")


def keep_owner_and_mode(descriptor: int, old: os.stat_result) -> None:
    new = os.fstat(descriptor)
    if hasattr(os, "fchown") and (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
        with suppress(OSError):
            os.fchown(descriptor, old.st_uid, old.st_gid)
    if hasattr(os, "fchmod"):
        os.fchmod(descriptor, stat.S_IMODE(old.st_mode))


def sync(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):  # nothing to wait for
            raise


def sync_folder(folder: str) -> None:
    """Make the new names last through a power cut, where the system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
