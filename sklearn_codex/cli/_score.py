"""``sklearn-codex score``: how good a model is on new records."""

import argparse

from sklearn_codex.cli._options import (
    STANDARD,
    add_columns,
    check_new,
    new_command,
    open_reader,
    write_out,
)
from sklearn_codex.report._json import json_text


def add_parser(commands) -> None:
    """Add the command."""
    parser = new_command(
        commands,
        "score",
        run,
        summary="figures of a model on new records, as JSON",
        description=(
            "Perplexity of texts or completions, the parts of the objective, and accuracy, "
            "log-loss and AUC of preferences: what model and records allow. A tie is half a point, "
            "a soft label the share of points it says, and pairs weigh what the data say."
        ),
        examples=(
            "  sklearn-codex score model.skops held_out.jsonl\n"
            "  sklearn-codex score model.skops --texts lines.txt\n"
            "  sklearn-codex score model.skops --preferences prefs.jsonl.gz --out figures.json"
        ),
    )
    parser.add_argument("model", metavar="MODEL", help="model file of fit or demo")
    parser.add_argument(
        "records",
        nargs="?",
        metavar="RECORDS",
        help="records of all kinds, as for fit; - is standard input",
    )
    parser.add_argument("--texts", metavar="FILE", help="texts, a line each, or records")
    parser.add_argument("--preferences", metavar="FILE", help="pairs, as for audit")
    parser.add_argument("--out", default=STANDARD, metavar="FILE", help="JSON file (default: -)")
    parser.add_argument("--force", action="store_true", help="replace an existing file")
    add_columns(parser, by="column of what belongs together; the figures count the groups")


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from sklearn_codex.cli._models import score_model
    from sklearn_codex.cli._preferences import Inputs

    inputs = [
        ("MODEL", arguments.model),
        ("RECORDS", arguments.records),
        ("--texts", arguments.texts),
        ("--preferences", arguments.preferences),
    ]
    check_new(arguments, [("--out", arguments.out)], inputs)
    model = open_reader(arguments.model)
    read = Inputs(arguments)
    if arguments.records is not None:
        read.add_records(arguments.records)
    if arguments.texts is not None:
        read.add_texts(arguments.texts)
    if arguments.preferences is not None:
        read.add_pairs(arguments.preferences)
    read.check("score needs records. Name a file, or --texts, or --preferences.")
    figures = {**score_model(model, read.records), "read_as": read.read_as}
    write_out(arguments, json_text(figures, indent=2) + "\n")
    read.tell()
    return 0
