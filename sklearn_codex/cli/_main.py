"""What the words of a command line do, and how it ends."""

import argparse
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from sklearn_codex import __version__
from sklearn_codex._plain import did_you_mean, plain
from sklearn_codex.cli import (
    _audit,
    _convert,
    _demo,
    _fit,
    _frontier,
    _info,
    _rate,
    _rerank,
    _reward,
    _sample,
    _score,
)
from sklearn_codex.cli._exit import INTERRUPTED, INTERRUPTED_CODE
from sklearn_codex.report._terminal import show, standard_output, tell, tell_lines

# scikit-learn's words for a parameter out of its range.
_PARAMETER = re.compile(
    r"The '(?P<name>\w+)' parameter of \w+ must be (?P<rule>.+)\. Got (?P<value>.+) instead\.", re.S
)
_COMMAND = "command"  # the argument
_COMMANDS = (
    _audit,
    _convert,
    _fit,
    _score,
    _sample,
    _reward,
    _rerank,
    _rate,
    _frontier,
    _info,
    _demo,
)


def run(argv: Sequence[str] | None, prepare: Callable[[str], None] = lambda command: None) -> int:
    """Run a command and return the exit code, as ``sklearn_codex.cli.main``.

    Parameters
    ----------
    argv : sequence of str or None
        The words after the program's name; None means those of this process.
    prepare : callable
        Called with the command when the words are understood, before the work.
    """
    try:
        arguments = _parser().parse_args(argv)
        arguments.check(arguments)
    except SystemExit as stop:
        return int(stop.code or 0)
    except OSError as error:  # of showing the help
        tell(f"sklearn-codex: {_word(error)}")
        return 1
    try:
        arguments.begin(arguments)
        prepare(getattr(arguments, _COMMAND))
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
        tell(f"sklearn-codex: {_name_option(_word(error), arguments)}")
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


def _name_option(message: str, arguments: argparse.Namespace) -> str:
    """Return what an error says with the option in place of the parameter that it became."""
    match = _PARAMETER.fullmatch(message)
    if match is None or not hasattr(arguments, match["name"]):
        return message
    option = f"--{match['name'].replace('_', '-')}"
    return f"{option} must be {match['rule']}, got {match['value']}."


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
    """A parser whose errors take one line, without controls, and say what may have been meant."""

    def parse_known_args(self, args=None, namespace=None):
        words = sys.argv[1:] if args is None else list(args)
        self._check_options(words)
        namespace, rest = super().parse_known_args(words, namespace)
        if rest:
            what = "unknown option" if rest[0].startswith("-") else "unexpected argument"
            self.error(f"{what} {rest[0]}.")
        return namespace, rest

    def _check_options(self, words):
        """End with an error where an option is unknown, before others are found to be missing."""
        known = self._option_string_actions
        for word in words:
            if word == "--" or (self._subparsers is not None and not word.startswith("-")):
                return  # what follows is for others
            name = word.partition("=")[0]
            is_option = word.startswith("--") and " " not in word
            if is_option and not any(option.startswith(name) for option in known):
                bare = [option[2:] for option in known if option.startswith("--")]
                self.error(f"unknown option {name}.{did_you_mean(name[2:], bare, prefix='--')}")

    def _check_value(self, action, value):
        if action.choices is None or value in action.choices:
            return
        known = list(map(str, action.choices))
        name = "command" if action.dest == _COMMAND else action.option_strings[-1]
        self.error(
            f"unknown {name} {value}.{did_you_mean(str(value), known)} There are: "
            f"{', '.join(known)}."
        )

    def error(self, message):
        if "expected one argument" in message:
            message += ". One that begins with - is written after =, as in --option=-1"
        end = "" if message.endswith((".", "?")) else "."
        tell(f"{self.prog}: error: {message}{end} See {self.prog} --help.")
        raise SystemExit(2)

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
    commands = parser.add_subparsers(
        title="commands", required=True, metavar="COMMAND", dest=_COMMAND
    )
    for command in _COMMANDS:
        command.add_parser(commands)
    return parser
