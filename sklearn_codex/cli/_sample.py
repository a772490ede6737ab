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
from sklearn_codex.report._terminal import tell


def add_parser(commands) -> None:
    """Add the command."""
    parser = new_command(
        commands,
        "sample",
        run,
        summary="draw documents from a model",
        description=(
            "Draw documents from the last policy of a model, or from a stage. Those of a model of "
            "order 1 are bags of words; others (fit --order) go on from prompts, N documents for "
            "each prompt in turn, with the prompt and a tab before each where there are several. "
            "Standard output shows control characters as marks; --json and --out FILE keep them."
        ),
        examples=(
            "  sklearn-codex sample model.skops -n 5\n"
            "  sklearn-codex sample model.skops --stage sft --json > samples.jsonl\n"
            '  sklearn-codex sample model.skops -n 1 --prompt "def size(self):"\n'
            "  sklearn-codex sample model.skops --prompts held_out.jsonl --json"
        ),
    )
    _add_options(parser)


def _add_options(parser) -> None:
    parser.add_argument("model", metavar="MODEL", help="model file of fit or demo")
    parser.add_argument(
        "-n",
        type=int,
        default=5,
        metavar="N",
        help="documents, for each prompt if there are prompts (default: %(default)s)",
    )
    parser.add_argument(
        "--prompt",
        action="append",
        default=[],
        metavar="TEXT",
        help="what documents go on from; repeat it for several",
    )
    parser.add_argument(
        "--prompts",
        metavar="FILE",
        help=(
            "prompts, a line each, or records with prompt, or with text where none has prompt; "
            "- is standard input"
        ),
    )
    parser.add_argument("--stage", metavar="NAME", help="stage to draw from (default: the last)")
    parser.add_argument("--json", action="store_true", help='JSON lines with "text", and "prompt"')
    parser.add_argument("--out", default=STANDARD, metavar="FILE", help="file (default: -)")
    parser.add_argument("--force", action="store_true", help="replace an existing file")
    add_seed(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from sklearn_codex.cli._models import last_policy, stages_of

    inputs = [("MODEL", arguments.model), ("--prompts", arguments.prompts)]
    check_new(arguments, [("--out", arguments.out)], inputs)
    if arguments.n < 1:
        raise ValueError(f"-n is a number of documents, at least 1, got {arguments.n}.")
    model = open_model(arguments.model)
    stages = stages_of(model)
    if arguments.stage is not None and arguments.stage not in stages:
        raise ValueError(f"There is no stage {arguments.stage!r}; there are {list(stages)}.")
    policy = last_policy(model) if arguments.stage is None else stages[arguments.stage]
    if not hasattr(policy, "sample"):
        raise ValueError("A reward model writes nothing: fit texts or demonstrations too.")
    prompts = _read_prompts(arguments, policy)
    texts = _draw(model, policy, arguments, prompts)
    rows = [{"text": text} for text in texts]
    if prompts:
        each = [prompt for prompt in prompts for _ in range(arguments.n)]
        rows = [{"prompt": one, **row} for one, row in zip(each, rows, strict=True)]
    if arguments.json:
        lines = [json_text(row) for row in rows]
    else:
        shown = ("prompt", "text") if len(prompts) > 1 else ("text",)
        lines = ["\t".join(" ".join(row[name].split()) for name in shown) for row in rows]
    write_out(arguments, "\n".join(lines) + "\n")
    n_empty = sum(not row["text"] for row in rows)
    if n_empty and not arguments.json:
        tell(f"Documents without a token, whose lines have no text: {n_empty} of {len(rows)}.")
    return 0


def _read_prompts(arguments, policy) -> list[str]:
    from sklearn_codex.cli._inputs import read_prompts
    from sklearn_codex.cli._models import order_of

    prompts = list(arguments.prompt)
    if arguments.prompts is not None:
        read, n_without = read_prompts(arguments.prompts)
        prompts += read
        if n_without:
            tell(f"Records without prompt, left out: {n_without} of {n_without + len(read)}.")
    if prompts and order_of(policy) == 1:
        raise ValueError(
            f"A {type(policy).__name__} of order 1 writes the same after every prompt. Leave out "
            "--prompt and --prompts, or fit a model with --order 2 or more."
        )
    return prompts


def _draw(model, policy, arguments, prompts) -> list[str]:
    given = {"prompts": prompts} if prompts else {}
    documents = policy.sample(arguments.n, random_state=arguments.seed, **given)
    if len(documents) and isinstance(documents[0], str):
        return list(documents)
    raise ValueError(
        f"This {type(model).__name__} was fitted on counts and knows no words to write with."
    )
