"""What the words of a command line do, and how it ends."""

import argparse
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from sklearn_codex import __version__
from sklearn_codex._plain import plain
from sklearn_codex.cli import (
    _audit,
    _demo,
    _fit,
    _frontier,
    _info,
    _reward,
    _sample,
    _score,
)
from sklearn_codex.cli._exit import INTERRUPTED, INTERRUPTED_CODE
from sklearn_codex.report._terminal import show, standard_output, tell, tell_lines

_COMMANDS = (_audit, _fit, _score, _sample, _reward, _frontier, _info, _demo)


def run(argv: Sequence[str] | None, prepare: Callable[[], None] = lambda: None) -> int:
    """Run a command and return the exit code, as ``sklearn_codex.cli.main``.

    Parameters
    ----------
    argv : sequence of str or None
        The words after the program's name; None means those of this process.
    prepare : callable
        Called when the words are understood, before the work.
    """
    try:
        arguments = _parser().parse_args(argv)
    except SystemExit as stop:
        return int(stop.code or 0)
    except OSError as error:  # of showing the help
        tell(f"sklearn-codex: {_word(error)}")
        return 1
    try:
        prepare()
        with _plain_warnings():
            code = arguments.run(arguments)
            with standard_output():
                sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        tell(INTERRUPTED)
        return INTERRUPTED_CODE
    except Exception as error:
        if _was_interrupted(error):
            tell(INTERRUPTED)
            return INTERRUPTED_CODE
        if arguments.debug:
            raise
        tell(f"sklearn-codex: {_word(error)}")
        return 1


def _was_interrupted(error: BaseException | None) -> bool:
    """Whether an error came of an interrupt that a library took for one of its own."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False


def _word(error: Exception) -> str:
    """Return what an error says."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}."
    return str(error) or type(error).__name__


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """Show each warning as a line."""

    def word(message, category, filename, lineno, line=None):
        return f"sklearn-codex: {category.__name__}: {plain(message)}\n"

    previous, warnings.formatwarning = warnings.formatwarning, word
    try:
        yield
    finally:
        warnings.formatwarning = previous


class _Parser(argparse.ArgumentParser):
    """A parser that repeats what was typed, such as names of files, without controls."""

    def _print_message(self, message, file=None):
        if file is sys.stdout:
            show(message)
        else:
            tell_lines(message)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="sklearn-codex",
        description="The whole RLHF loop as scikit-learn estimators.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in _COMMANDS:
        command.add_parser(commands)
    return parser
