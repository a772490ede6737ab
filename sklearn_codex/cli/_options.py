"""What commands have in common: their options and their files."""

import argparse
import shutil
import sys
import tempfile
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from sklearn_codex._output import check_outputs, is_terminal, write_text
from sklearn_codex._plain import show_controls
from sklearn_codex.report._terminal import show

STANDARD = "-"
REMEDY = "Choose another one, or pass --force to replace it."

Named = Sequence[tuple[str, str | None]]


def new_command(
    commands, name: str, run, *, summary: str, description: str, examples: str
) -> argparse.ArgumentParser:
    """Add a command and return its parser; every command has ``--debug``.

    Of a parser's defaults ``check`` is called with what was parsed, and may end with its error;
    ``begin`` is called with it before the work and before what takes long to import.
    """
    parser = commands.add_parser(
        name,
        help=summary,
        description=textwrap.fill(description, min(shutil.get_terminal_size().columns - 2, 98)),
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--debug", action="store_true", help="show tracebacks of errors")
    parser.set_defaults(run=run, check=_nothing, begin=_nothing)
    return parser


def _nothing(arguments: argparse.Namespace) -> None:
    """Do nothing, as most commands."""


def add_folder(parser: argparse.ArgumentParser, what: str, **kind: Any) -> None:
    """Add ``--out``, a folder that a command fills, and ``--force``."""
    parser.add_argument("--out", metavar="DIR", help=what, **kind)
    parser.add_argument(
        "--force",
        action="store_true",
        help="write to any existing folder, and replace there what is called so",
    )


def add_seed(parser: argparse.ArgumentParser) -> None:
    """Add ``--seed``."""
    parser.add_argument(
        "--seed",
        type=_seed,
        default=0,
        help="the same seed gives the same output (default: %(default)s)",
    )


def _seed(word: str) -> int:
    if not word.isdecimal() or int(word) >= 2**32:
        raise argparse.ArgumentTypeError(f"a seed is an integer from 0 to 2**32 - 1, got {word!r}")
    return int(word)


_COLUMNS = {
    "--prompt": "column of the prompt",
    "--chosen": "column of the preferred response",
    "--rejected": "column of the other response",
    "--response-a": "column of the first of two responses",
    "--response-b": "column of the second",
    "--label": (
        "column of which of the two is preferred, or of how good one is; several, with commas "
        "between them, where several people have one each"
    ),
    "--response": "column of the response where a row has one, compared within its prompt",
    "--convention": (
        "how labels are written: a name, such as one_two or index, or what each label means, such "
        "as 1=a,2=b,0=tie"
    ),
    "--weight": "column of what a pair weighs",
    "--annotator": "column of who gave the label",
    "--by": "column of what belongs together, such as the task of several prompts",
}


def add_columns(
    parser: argparse.ArgumentParser,
    aliases_of_by: Sequence[str] = (),
    *,
    without: Sequence[str] = (),
    **helps: str,
) -> None:
    """Add the options that say what the columns of preferences are.

    Parameters
    ----------
    parser : ArgumentParser
        Of a command that reads preferences.
    aliases_of_by : sequence of str
        Other names of ``--by``.
    without : sequence of str
        Options that the command does not have.
    **helps : str
        What an option is for in this command, by its name, where that is something of its own.
    """
    group = parser.add_argument_group(
        "columns of preferences",
        "Found by their names where they are not named here; case does not matter.",
    )
    for option, what in _COLUMNS.items():
        if option in without:
            continue
        names = (option, *aliases_of_by) if option == "--by" else (option,)
        metavar = "NAME_OR_PAIRS" if option == "--convention" else "COLUMN"
        what = helps.get(option.lstrip("-").replace("-", "_"), what)
        group.add_argument(*names, metavar=metavar, help=what)


@contextmanager
def readable(path: str, *, twice: bool = False) -> Iterator[str]:
    """Yield the path of a file, of a copy of standard input for ``-``.

    Of a pipe too where it is to be read twice, which it cannot.
    """
    if path != STANDARD and not (twice and Path(path).is_fifo()):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / ("standard input" if path == STANDARD else "pipe")
        with ExitStack() as stack, copy.open("wb") as file:
            source = sys.stdin.buffer
            if path != STANDARD:
                source = stack.enter_context(open(path, "rb"))
            shutil.copyfileobj(source, file, 2**20)
        yield str(copy)


def open_model(path: str):
    """Return the model of a file, which has to be one of this package."""
    from sklearn_codex import load_model

    model = load_model(path)
    if not type(model).__module__.startswith("sklearn_codex."):
        raise ValueError(
            f"{path} holds a {type(model).__name__}, no model of sklearn-codex. Make one with fit, "
            "demo or sklearn_codex.save_model."
        )
    return model


def open_reader(path: str):
    """Return the model of a file, which has to read text."""
    from sklearn_codex.cli._models import reads_vectors

    model = open_model(path)
    if reads_vectors(model):
        raise ValueError(
            f"{path} was fitted on vectors, such as those of fit --embeddings, and reads no text. "
            "Fit a model on the text, or give it the vectors of responses in Python: "
            "sklearn_codex.load_model(path).reward(vectors)."
        )
    return model


def check_new(arguments: argparse.Namespace, outputs: Named, inputs: Named = ()) -> None:
    """Raise at once where an output cannot be written later, or is another output or an input.

    Parameters
    ----------
    arguments : Namespace
        Has ``force``.
    outputs, inputs : sequence of (str, str or None)
        What names each file on the command line, and its path; None is no file.
    """
    standard = {STANDARD: "/dev/stdout"}
    seen = {name: {STANDARD: "/dev/stdin"}.get(path, path) for name, path in inputs if path}
    seen |= {
        f"{name} {path}, {part}": file
        for name, path in inputs
        if path
        for part, file in _files_in(path)
    }
    seen |= {name: standard[path] for name, path in outputs if path in standard}
    check_outputs(
        {name: path for name, path in outputs if path is not None and path not in standard},
        seen,
        overwrite=arguments.force,
        remedy=REMEDY,
    )


def _files_in(path: str) -> list[tuple[str, str]]:
    """Return the names and paths of what a folder or a pattern stands for."""
    from sklearn_codex._files.folders import find_files

    with suppress(OSError, ValueError):  # which reading says
        return find_files(path, path) or []
    return []


def write_out(arguments: argparse.Namespace, content: str, option: str = "out") -> None:
    """Write to the file that an option names, whole or not at all; ``-`` is standard output."""
    path = getattr(arguments, option)
    if path == STANDARD:
        show(content)
    else:
        if is_terminal(path):  # such as /dev/tty
            content = show_controls(content)
        write_text(path, content, overwrite=arguments.force, subject=f"--{option}", remedy=REMEDY)
