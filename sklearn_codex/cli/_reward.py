"""``sklearn-codex reward``: the reward of each response in a file."""

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
from sklearn_codex.report._terminal import tell


def add_parser(commands) -> None:
    """Add the command."""
    parser = new_command(
        commands,
        "reward",
        run,
        summary="score the responses in a file",
        description=(
            "Write JSON lines with the reward and the text of each response, in the order of the "
            "file; of a file of preferences, the rewards of both responses of each pair. Only "
            "differences of rewards mean something: they are log-odds of preference."
        ),
        examples=(
            "  sklearn-codex reward model.skops responses.txt\n"
            "  sklearn-codex reward model.skops outputs.csv --column answer --out scored.jsonl\n"
            "  sklearn-codex reward model.skops prefs.csv --chosen good --rejected bad\n"
            "  echo 'I am sorry.' | sklearn-codex reward model.skops -"
        ),
    )
    parser.add_argument("model", metavar="MODEL", help="model file of fit or demo")
    parser.add_argument(
        "texts",
        metavar="TEXTS",
        help="responses, a line each, or records, or preferences as for audit; - is standard input",
    )
    parser.add_argument("--column", metavar="NAME", help="column of the texts in records")
    parser.add_argument("--out", default=STANDARD, metavar="FILE", help="file (default: -)")
    parser.add_argument("--force", action="store_true", help="replace an existing file")
    add_columns(
        parser,
        weight="column of what a pair weighs, written with its rewards",
        annotator="column of who gave the label, written with the rewards",
        by="column of what belongs together, of which a number is written with the rewards",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from sklearn_codex._layouts.given import given_of
    from sklearn_codex.cli._preferences import read_responses, say_pairs

    inputs = [("MODEL", arguments.model), ("TEXTS", arguments.texts)]
    check_new(arguments, [("--out", arguments.out)], inputs)
    model = open_reader(arguments.model)
    if not hasattr(model, "reward"):
        raise ValueError(
            f"{arguments.model} has no reward model. Fit records that have preferences."
        )
    read = read_responses(arguments.texts, arguments.column, given_of(arguments))
    rows = _of_texts(model, read) if isinstance(read, list) else _of_pairs(model, read, arguments)
    write_out(arguments, "".join(json_text(row) + "\n" for row in rows))
    if not isinstance(read, list):
        tell(say_pairs(arguments.texts, read))
    return 0


def _of_texts(model, texts) -> list[dict]:
    rewards = model.reward(texts).tolist()
    return [{"reward": reward, "text": text} for reward, text in zip(rewards, texts, strict=True)]


def _of_pairs(model, pairs, arguments) -> list[dict]:
    """Return the rewards of both responses of each pair, which are called as in the file."""
    from sklearn_codex._pipeline.counting import documents_after_prompts
    from sklearn_codex.cli._preferences import texts_of_pairs
    from sklearn_codex.cli._written import as_plain

    prompts, *sides = (pairs.X[:, column].tolist() for column in range(3))
    first, second = (
        model.reward(documents_after_prompts(model, texts, prompts)).tolist() for texts in sides
    )
    rows = []
    for row, texts in enumerate(texts_of_pairs(pairs)):
        a, b = first[row], second[row]
        if "chosen" in texts:
            a, b = (a, b) if pairs.y[row] >= 0.5 else (b, a)
            rewards = {"reward_chosen": a, "reward_rejected": b}
        else:
            rewards = {"reward_a": a, "reward_b": b}
        if arguments.weight is not None:
            texts["sample_weight"] = float(pairs.sample_weight[row])
        if arguments.annotator is not None:
            texts["annotator"] = as_plain(pairs.annotator[row])
        if arguments.by is not None:
            texts["group"] = int(pairs.groups[row])
        rows.append({**rewards, **texts})
    return rows
