"""``sklearn-codex rerank``: candidate responses, the best of each prompt first."""

import argparse

from sklearn_codex.cli._options import STANDARD, check_new, new_command, open_reader, write_out
from sklearn_codex.report._json import json_text
from sklearn_codex.report._terminal import tell


def add_parser(commands) -> None:
    """Add the command."""
    parser = new_command(
        commands,
        "rerank",
        run,
        summary="order the candidate responses of prompts, the best first",
        description=(
            "Write JSON lines, one a prompt, with its responses from the best to the worst by a "
            "reward model, their rewards (scores), the probability of each to be preferred to all "
            "others (p_best), and whether it is within the error of the model of the best (tied). "
            "With --kl-coef, --target-kl or --logprobs also the probability of each under the best "
            "policy that is so near the reference, and this order, as with a saved policy, which "
            "keeps its rules."
        ),
        examples=(
            "  sklearn-codex rerank reward.skops candidates.jsonl\n"
            "  sklearn-codex rerank reward.skops outputs.csv --prompt task --response answer\n"
            "  sklearn-codex rerank reward.skops candidates.jsonl --target-kl 0.5 \\\n"
            "      --logprobs logprobs --out ranked.jsonl"
        ),
    )
    parser.add_argument("model", metavar="MODEL", help="model file of fit or demo")
    parser.add_argument(
        "candidates",
        metavar="CANDIDATES",
        help="rows of a prompt and a list of responses, or of a prompt and one response; - is "
        "standard input",
    )
    _add_weight(parser)
    parser.add_argument("--out", default=STANDARD, metavar="FILE", help="file (default: -)")
    parser.add_argument("--force", action="store_true", help="replace an existing file")
    _add_columns(parser)


def _add_weight(parser) -> None:
    """Add what says how far the policy goes from the reference."""
    weight = parser.add_mutually_exclusive_group()
    weight.add_argument(
        "--kl-coef", type=float, metavar="N", help="weight of the KL to the reference, per nat"
    )
    weight.add_argument(
        "--target-kl", type=float, metavar="NATS", help="mean KL to the reference that is wanted"
    )


def _add_columns(parser) -> None:
    """Add what says which columns have the candidates."""
    group = parser.add_argument_group(
        "columns of candidates",
        "Found by their names where they are not named here; case does not matter.",
    )
    for option, what in (
        ("--prompt", "column of the prompt"),
        ("--response", "column of the responses, a list or one a row"),
        ("--by", "column of what belongs together, where that is not the prompt"),
        (
            "--logprobs",
            "column of log-probabilities under the reference; without it the candidates of a "
            "prompt are as probable as each other, as where they were drawn from it",
        ),
    ):
        group.add_argument(option, metavar="COLUMN", help=what)


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from sklearn_codex.cli._candidates import rank_candidates, read_candidates_of

    inputs = [("MODEL", arguments.model), ("CANDIDATES", arguments.candidates)]
    check_new(arguments, [("--out", arguments.out)], inputs)
    model = open_reader(arguments.model)
    read = read_candidates_of(arguments)
    rows, lines = rank_candidates(model, read, arguments)
    write_out(arguments, "".join(json_text(row) + "\n" for row in rows))
    for line in lines:
        tell(line)
    return 0
