"""What commands have in common: their options and their files."""

import argparse
import os
import shutil
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STANDARD = "-"


def new_command(
    commands, name: str, run, *, summary: str, description: str, examples: str
) -> argparse.ArgumentParser:
    """Add a command and return its parser; every command has ``--debug``."""
    parser = commands.add_parser(
        name,
        help=summary,
        description=textwrap.fill(description, min(shutil.get_terminal_size().columns - 2, 98)),
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--debug", action="store_true", help="show tracebacks of errors")
    parser.set_defaults(run=run)
    return parser


def add_seed(parser: argparse.ArgumentParser) -> None:
    """Add ``--seed``."""
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        help="the same seed gives the same output (default: %(default)s)",
    )


@contextmanager
def readable(path: str) -> Iterator[str]:
    """Yield the path of a file, of a copy of standard input for ``-``."""
    if path != STANDARD:
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "standard input"
        copy.write_bytes(sys.stdin.buffer.read())
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


def check_new(path: str, *, force: bool) -> None:
    """Raise where a file exists that may not be replaced."""
    if path != STANDARD and Path(path).exists() and not force:
        raise FileExistsError(
            f"The file {path!r} exists. Choose another one, or pass --force to replace it."
        )


def write_text(path: str, content: str) -> None:
    """Write a file whole or not at all; ``-`` is standard output."""
    if path == STANDARD:
        sys.stdout.write(content)
        return
    partial = Path(path + ".part")
    partial.write_text(content, encoding="utf-8", errors="backslashreplace")
    os.replace(partial, path)
