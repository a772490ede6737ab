"""``sklearn-codex sample``: documents drawn from a model."""

import argparse

from sklearn_codex.cli._options import (
    STANDARD,
    add_seed,
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
        "sample",
        run,
        summary="draw documents from a model",
        description=(
            "Draw documents from the last policy of a model, or from a stage. They are bags of "
            "words: a unigram model knows no order. Standard output shows control characters as "
            "marks; --json and --out FILE keep them."
        ),
        examples=(
            "  sklearn-codex sample model.skops -n 5\n"
            "  sklearn-codex sample model.skops --stage sft --json > samples.jsonl"
        ),
    )
    parser.add_argument("model", metavar="MODEL", help="model file of fit or demo")
    parser.add_argument(
        "-n", type=int, default=5, metavar="N", help="documents (default: %(default)s)"
    )
    parser.add_argument("--stage", metavar="NAME", help="stage to draw from (default: the last)")
    parser.add_argument("--json", action="store_true", help='JSON lines with a column "text"')
    parser.add_argument("--out", default=STANDARD, metavar="FILE", help="file (default: -)")
    parser.add_argument("--force", action="store_true", help="replace an existing file")
    add_seed(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from sklearn_codex.cli._models import last_policy, stages_of

    check_new(arguments, [("--out", arguments.out)], [("MODEL", arguments.model)])
    if arguments.n < 1:
        raise ValueError(f"-n is a number of documents, at least 1, got {arguments.n}.")
    model = open_model(arguments.model)
    stages = stages_of(model)
    if arguments.stage is not None and arguments.stage not in stages:
        raise ValueError(f"There is no stage {arguments.stage!r}; there are {list(stages)}.")
    policy = last_policy(model) if arguments.stage is None else stages[arguments.stage]
    if not hasattr(policy, "sample"):
        raise ValueError("A reward model writes nothing: fit texts or demonstrations too.")
    texts = _draw(model, policy, arguments.n, arguments.seed)
    lines = [
        json_text({"text": text}) if arguments.json else " ".join(text.split()) for text in texts
    ]
    write_out(arguments, "\n".join(lines) + "\n")
    return 0


def _draw(model, policy, n, seed) -> list[str]:
    documents = policy.sample(n, random_state=seed)
    if len(documents) and isinstance(documents[0], str):
        return list(documents)
    raise ValueError(
        f"This {type(model).__name__} was fitted on counts and knows no words to write with."
    )
