"""What became of fuzzed cases: a result, a clear error, or something else."""

import signal
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sklearn

import sklearn_codex

# An error is ours to word where our code raises it, or scikit-learn's checks do on our behalf.
_ROOMS = tuple(str(Path(package.__file__).parent) for package in (sklearn_codex, sklearn))
_CLEAR_TYPES = (ValueError, TypeError, OSError, ImportError)
# numpy says which seeds there are, for every random_state of scikit-learn.
_SEEDING = "_legacy_seeding"
_SHORTEST_MESSAGE = 15


class TookTooLongError(BaseException):
    """A case that did not end; no handler of ``Exception`` swallows it."""


def is_clear_error(error: BaseException) -> bool:
    """Whether an error was raised on purpose, as a kind users expect, and says something."""
    frames = traceback.extract_tb(error.__traceback__)
    return (
        isinstance(error, _CLEAR_TYPES)
        and not isinstance(error, UnicodeError)
        and len(str(error)) >= _SHORTEST_MESSAGE
        and bool(frames)
        and (frames[-1].filename.startswith(_ROOMS) or frames[-1].name.endswith(_SEEDING))
    )


def is_worded(error: BaseException) -> bool:
    """Whether an error is clear, and our code says it by a ``raise`` of its own.

    What numpy's compiled functions raise when they are called has the frame of the caller last, as
    if the caller had worded it.
    """
    if not is_clear_error(error):
        return False
    place = traceback.extract_tb(error.__traceback__)[-1]
    is_ours = place.filename.startswith(_ROOMS[0])
    return not is_ours or (place.line or "raise").startswith("raise")


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise in a block that takes longer (main thread of a system that has SIGALRM).

    Of the processor, which others may keep busy; of what waits for something, ten times as long.
    """

    def stop(*_):
        raise TookTooLongError(f"no end after {seconds:g} s")

    timers = {
        signal.ITIMER_PROF: (signal.SIGPROF, seconds),
        signal.ITIMER_REAL: (signal.SIGALRM, 10 * seconds),
    }
    before = {number: signal.signal(number, stop) for number, _ in timers.values()}
    for timer, (_, longest) in timers.items():
        signal.setitimer(timer, longest)
    try:
        yield
    finally:
        for timer in timers:
            signal.setitimer(timer, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


@dataclass
class Outcomes:
    """Counts of a run, and what is neither a result nor a clear error, described."""

    results: int = 0
    clear_errors: int = 0
    others: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return self.results + self.clear_errors + len(self.others)

    def try_case(
        self,
        description: str,
        call: Callable[[], Any],
        *,
        check: Callable[[Any], None] = lambda result: None,
        is_clear: Callable[[BaseException], bool] = is_clear_error,
        seconds: float = 30.0,
    ) -> None:
        """Run a case. ``check(result)`` raises AssertionError where a result is wrong."""
        try:
            with time_limit(seconds), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                check(call())
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:
            if is_clear(error):
                self.clear_errors += 1
            else:
                self.others.append(f"{description}: {_describe(error)}")
        else:
            self.results += 1


def _describe(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}: {str(error)[:300]!r}"
