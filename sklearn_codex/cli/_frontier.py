"""``sklearn-codex frontier``: the most reward that a KL can buy."""

import argparse

from sklearn_codex.cli._options import STANDARD, check_new, new_command, open_model, write_out
from sklearn_codex.report._json import json_text


def add_parser(commands) -> None:
    """Add the command."""
    parser = new_command(
        commands,
        "frontier",
        run,
        summary="the exact KL-reward frontier of a model, as CSV",
        description=(
            "The best expected reward at each KL from the reference, in nats a document, and the "
            "kl_coef that leads there. No policy lies above it. Where a model of n-grams has "
            "rules, as the price of length in the demo, what is greatest is the reward less what "
            "they cost in the fit, a column of its own. At order 1 PPO's rules are left out."
        ),
        examples=(
            "  sklearn-codex frontier model.skops\n"
            "  sklearn-codex frontier model.skops --points 10 --json\n"
            "  sklearn-codex frontier model.skops --out frontier.csv"
        ),
    )
    parser.add_argument("model", metavar="MODEL", help="model file of fit or demo")
    parser.add_argument(
        "--points", type=int, default=50, metavar="N", help="at most so many (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="JSON columns instead of CSV")
    parser.add_argument("--out", default=STANDARD, metavar="FILE", help="file (default: -)")
    parser.add_argument("--force", action="store_true", help="replace an existing file")


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from sklearn_codex.cli._models import frontier_of

    check_new(arguments, [("--out", arguments.out)], [("MODEL", arguments.model)])
    if arguments.points < 2:
        raise ValueError(f"--points is at least 2, got {arguments.points}.")
    columns = frontier_of(open_model(arguments.model), arguments.points)
    if arguments.json:
        content = json_text(columns, indent=2) + "\n"
    else:
        rows = zip(*columns.values(), strict=True)
        lines = [",".join(columns), *(",".join(f"{value:.8g}" for value in row) for row in rows)]
        content = "\n".join(lines) + "\n"
    write_out(arguments, content)
    return 0
