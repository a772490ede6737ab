"""The command line: ``sklearn-codex COMMAND``, one function a command."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from sklearn_codex import __version__


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
        message = " ".join(str(error).split())
        print(f"sklearn-codex: {message or type(error).__name__}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sklearn-codex",
        description="The whole RLHF loop as scikit-learn estimators.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_demo(commands)
    return parser


def _add_demo(commands) -> None:
    parser = commands.add_parser(
        "demo",
        help="run the whole loop on the code of the Python standard library",
        description=(
            "Pretrain on the standard library of this Python, refine on its documented functions, "
            "learn a reward from simulated preferences between real and flawed code, optimise the "
            "policy with PPO, and hold every figure against the exact optimum."
        ),
        epilog=(
            "examples:\n"
            "  sklearn-codex demo                      the whole loop, under a minute\n"
            "  sklearn-codex demo --modules 20         a small slice, a few seconds\n"
            "  sklearn-codex demo --seed 1 --out run1  another draw, in another folder"
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("codex-demo"),
        metavar="DIR",
        help="folder for model.skops and figures.json (default: %(default)s)",
    )
    parser.add_argument(
        "--force", action="store_true", help="replace these files in an existing folder"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="reproduces every figure (default: %(default)s)"
    )
    parser.add_argument(
        "--modules",
        type=int,
        default=150,
        metavar="N",
        help="modules of the standard library to read (default: %(default)s)",
    )
    parser.add_argument("--no-progress", action="store_true", help="show no progress bars")
    parser.add_argument("--debug", action="store_true", help="show tracebacks of errors")
    parser.set_defaults(run=_run_demo)


def _run_demo(arguments: argparse.Namespace) -> int:
    from sklearn_codex.report.demo import run_demo

    run_demo(
        arguments.out,
        force=arguments.force,
        seed=arguments.seed,
        n_modules=arguments.modules,
        progress=not arguments.no_progress,
    )
    return 0
