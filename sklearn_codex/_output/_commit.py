"""Files take their places: one at once, several so that no two sets are ever mixed."""

import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from sklearn_codex._output._file import Output
from sklearn_codex._output._temporary import beside, lock_folders, sync_folder


def commit(outputs: list[Output], stale: Sequence[str] = ()) -> None:
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


def _commit_set(outputs: list[Output], stale: Sequence[str]) -> None:
    """Give files their places so that at no time an old one stands beside a new one.

    All old ones but that of the first output go, the last first; then the first output replaces its
    own in one step, and the others come. A process that is killed between two steps leaves some
    files of one set, and the last of a set only where all of it is.
    """
    undo: list[Callable[[], object]] = []
    backups: list[str] = []
    regular = [output for output in outputs if output.is_regular]
    try:
        for output in reversed(regular[1:]):
            if output.overwrite:
                with output.named_errors():
                    _set_aside(output.target, undo, backups)
        for path in stale:
            _set_aside(path, undo, backups)
        for output in regular:
            _put_with_undo(output, undo, backups)
        for output in outputs[len(regular) :]:
            output.put()
    except BaseException:
        for step in reversed(undo):
            with suppress(OSError):
                step()
        raise
    finally:
        for backup in backups:
            with suppress(OSError):
                os.unlink(backup)


def _set_aside(path: str, undo: list, backups: list[str]) -> None:
    """Take the file of a path away, if there is one, and note what brings it back."""
    if os.path.lexists(path) and not os.path.isdir(path):
        backup = beside(path)
        backups.append(backup)
        undo.append(partial(os.rename, backup, path))
        with suppress(FileNotFoundError):
            os.rename(path, backup)


def _put_with_undo(output: Output, undo: list, backups: list[str]) -> None:
    """Give a file its place, and note what brings back what was there."""
    target, backup = output.target, None
    if os.path.lexists(target):
        backup = beside(target)
        backups.append(backup)
        with output.named_errors():
            try:
                os.link(target, backup)
            except OSError:  # a file system without links
                shutil.copy2(target, backup)
    missing = [target]
    while not os.path.lexists(parent := os.path.dirname(missing[-1])):
        missing.append(parent)
    undo += [partial(os.rmdir, folder) for folder in reversed(missing[1:])]
    assert output.temporary is not None
    undo.append(partial(_take_back, output.temporary, target, backup))
    output.put()


def _take_back(temporary: str, target: str, backup: str | None) -> None:
    """Undo that a file has got its place, if it has: an interrupt may have come before that."""
    if os.path.lexists(temporary) and not os.path.samefile(temporary, target):
        return
    if backup is None:
        os.unlink(target)
    else:
        os.replace(backup, target)
