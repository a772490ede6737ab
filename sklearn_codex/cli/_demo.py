"""``sklearn-codex demo``: the whole loop on real code."""

import argparse
from pathlib import Path

from sklearn_codex.cli._options import add_seed, new_command


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
            "policy with PPO, and hold every figure against the exact optimum."
        ),
        examples=(
            "  sklearn-codex demo                      the whole loop, under a minute\n"
            "  sklearn-codex demo --modules 20         a small slice, a few seconds\n"
            "  sklearn-codex demo --seed 1 --out run1  another draw, in another folder"
        ),
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
    add_seed(parser)
    parser.add_argument(
        "--modules",
        type=int,
        default=150,
        metavar="N",
        help="modules of the standard library to read (default: %(default)s)",
    )
    parser.add_argument("--no-progress", action="store_true", help="show no progress bars")


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from sklearn_codex.cli._demo_run import run_demo

    run_demo(
        arguments.out,
        force=arguments.force,
        seed=arguments.seed,
        n_modules=arguments.modules,
        progress=not arguments.no_progress,
    )
    return 0
