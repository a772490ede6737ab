"""Where paths lead."""

import errno
import os
import stat
from contextlib import suppress

StrPath = str | os.PathLike[str]


def follow_links(path: str) -> tuple[str, int | None]:
    """Return where a path leads, and the descriptor if it is one that this process has open.

    A link such as /dev/stdout leads to what is open already: a file by that name would be another.
    """
    step = os.path.join(os.getcwd(), path)  # as it is: "link/.." is not where the link stands
    for _ in range(40):
        folder, name = os.path.split(step)
        if name.isdigit() and os.path.realpath(folder) in _descriptor_folders():
            return step, int(name)
        if not os.path.islink(step):
            break
        step = os.path.join(folder, os.readlink(step))
    else:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    return os.path.join(os.path.realpath(folder), name), None


def _descriptor_folders() -> set[str]:
    return {os.path.realpath(f"/proc/{os.getpid()}/fd"), "/dev/fd"}


def is_terminal(path: StrPath) -> bool:
    """Whether what is written to a path is shown on a terminal."""
    with suppress(OSError, ValueError):
        if stat.S_ISCHR(os.stat(path).st_mode):
            descriptor = os.open(path, os.O_WRONLY | getattr(os, "O_NOCTTY", 0))
            try:
                return os.isatty(descriptor)
            finally:
                os.close(descriptor)
    return False


def same_file(one: StrPath, other: StrPath) -> bool:
    """Whether two paths are, or will be, one file."""
    with suppress(OSError):
        if follow_links(os.fspath(one))[0] == follow_links(os.fspath(other))[0]:
            return True
    with suppress(OSError):
        return os.path.samefile(one, other)
    return False
