"""``sklearn-codex reward``: the reward of each response in a file."""

import argparse

from sklearn_codex.cli._inputs import read_texts
from sklearn_codex.cli._options import (
    STANDARD,
    check_new,
    new_command,
    open_model,
    write_out,
)
from sklearn_codex.report._json import json_text


def add_parser(commands) -> None:
    """Add the command."""
    parser = new_command(
        commands,
        "reward",
        run,
        summary="score the responses in a file",
        description=(
            "Write JSON lines with the reward and the text of each response, in the order of the "
            "file. Only differences of rewards mean something: they are log-odds of preference."
        ),
        examples=(
            "  sklearn-codex reward model.skops responses.txt\n"
            "  sklearn-codex reward model.skops outputs.csv --column answer --out scored.jsonl\n"
            "  echo 'I am sorry.' | sklearn-codex reward model.skops -"
        ),
    )
    parser.add_argument("model", metavar="MODEL", help="model file of fit or demo")
    parser.add_argument(
        "texts", metavar="TEXTS", help="responses, a line each, or records; - is standard input"
    )
    parser.add_argument("--column", metavar="NAME", help="column of the responses in records")
    parser.add_argument("--out", default=STANDARD, metavar="FILE", help="file (default: -)")
    parser.add_argument("--force", action="store_true", help="replace an existing file")


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    inputs = [("MODEL", arguments.model), ("TEXTS", arguments.texts)]
    check_new(arguments, [("--out", arguments.out)], inputs)
    model = open_model(arguments.model)
    if not hasattr(model, "reward"):
        raise ValueError(
            f"{arguments.model} has no reward model. Fit records that have preferences."
        )
    texts = read_texts(arguments.texts, arguments.column)
    rows = zip(model.reward(texts).tolist(), texts, strict=True)
    lines = [json_text({"reward": reward, "text": text}) for reward, text in rows]
    write_out(arguments, "\n".join(lines) + "\n")
    return 0
