"""The command line: ``sklearn-codex COMMAND``, one module a command."""

import argparse
import sys
from collections.abc import Sequence

from sklearn_codex import __version__
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

_COMMANDS = (_audit, _fit, _score, _sample, _reward, _frontier, _info, _demo)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Parameters
    ----------
    argv : sequence of str, default=None
        The words after the program's name; None means those of this process.

    Returns
    -------
    code : int
        0 on success, 1 on an error (told in one line, with a traceback only under ``--debug``),
        2 on a wrong command line, 130 when interrupted.
    """
    try:
        arguments = _parser().parse_args(argv)
    except SystemExit as stop:
        return int(stop.code or 0)
    try:
        return arguments.run(arguments)
    except KeyboardInterrupt:
        print("sklearn-codex: interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        if arguments.debug:
            raise
        print(f"sklearn-codex: {_tell(error)}", file=sys.stderr)
        return 1


def _tell(error: Exception) -> str:
    """Return an error in one line."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}."
    return " ".join(str(error).split()) or type(error).__name__


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sklearn-codex",
        description="The whole RLHF loop as scikit-learn estimators.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in _COMMANDS:
        command.add_parser(commands)
    return parser
