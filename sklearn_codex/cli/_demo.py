"""``sklearn-codex demo``: the whole loop on real code."""

import argparse
import shutil
import textwrap
from pathlib import Path

from sklearn_codex.cli._options import add_folder, add_seed, new_command
from sklearn_codex.report._terminal import show

_HIGHEST_ORDER = 9
_OF = {False: "of words", True: "of words in order"}


def add_parser(commands) -> None:
    """Add the command."""
    parser = new_command(
        commands,
        "demo",
        run,
        summary="run the whole loop on the code of the Python standard library",
        description=(
            "Pretrain on the standard library of this Python, refine on its documented functions, "
            "learn a reward from simulated preferences between real and flawed code, optimise the "
            "policy with PPO, and hold every figure against the exact optimum. The models see the "
            "words before each word, and end with what they write behind functions that they have "
            "not seen."
        ),
        examples=(
            "  sklearn-codex demo                      the whole loop\n"
            "  sklearn-codex demo --modules 20         a small slice, which is quicker\n"
            "  sklearn-codex demo --order 1            bags of words, which are quicker still\n"
            "  sklearn-codex demo --seed 1 --out run1  another draw, in another folder"
        ),
    )
    add_folder(
        parser,
        "folder for the model, figures, picture and data (default: %(default)s); files of an "
        "earlier demo in it are replaced",
        type=Path,
        default=Path("codex-demo"),
    )
    add_seed(parser)
    _add_sizes(parser)
    parser.add_argument("--no-progress", action="store_true", help="show no progress bars")
    parser.set_defaults(begin=_begin)


def _add_sizes(parser) -> None:
    """Add how much is read, and how many words the models see."""
    parser.add_argument(
        "--modules",
        type=int,
        default=150,
        metavar="N",
        help="modules of the standard library to read (default: %(default)s)",
    )
    parser.add_argument(
        "--order",
        type=_order,
        default=3,
        metavar="N",
        help="words of the longest n-grams of the models; 1 is no order of words (default: "
        "%(default)s)",
    )


def _order(word: str) -> int:
    if not word.isdecimal() or not 1 <= int(word) <= _HIGHEST_ORDER:
        raise argparse.ArgumentTypeError(
            f"an order is an integer from 1 to {_HIGHEST_ORDER}, got {word!r}"
        )
    return int(word)


def _begin(arguments: argparse.Namespace) -> None:
    """Check the folder, and say at once what is going to happen: imports take their time."""
    from sklearn_codex.cli._demo_files import DEMO

    DEMO.check(arguments.out, force=arguments.force)
    width = min(shutil.get_terminal_size().columns - 2, 98)
    lines = [
        "The whole RLHF loop, on the code of this Python's standard library and simulated "
        "preferences:",
        f"  M0  pretrain a model {_OF[arguments.order > 1]} on code and docstrings",
        "  M1  refine it on documented functions",
        "  R   learn a reward from pairs of a real and a flawed function",
        "  M2  optimise the policy with PPO, and hold it against the exact optimum",
        f"Nothing is downloaded. Results go to {arguments.out}; {arguments.modules} modules are "
        "read, fewer (--modules) are quicker.",
    ]
    show("".join(textwrap.fill(line, width, subsequent_indent="") + "\n" for line in lines))


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from sklearn_codex.cli._demo_run import run_demo

    run_demo(
        arguments.out,
        force=arguments.force,
        seed=arguments.seed,
        n_modules=arguments.modules,
        order=arguments.order,
        progress=not arguments.no_progress,
    )
    return 0
