"""``sklearn-codex fit``: a model file from records."""

import argparse

from sklearn_codex._output import is_terminal, written_together
from sklearn_codex._output._paths import same_file
from sklearn_codex._plain import plain
from sklearn_codex.cli._options import (
    STANDARD,
    add_columns,
    add_seed,
    check_new,
    new_command,
    write_out,
)
from sklearn_codex.report._json import json_text
from sklearn_codex.report._terminal import show

_KINDS = ("corpus", "demonstrations", "preferences")


def add_parser(commands) -> None:
    """Add the command."""
    parser = new_command(
        commands,
        "fit",
        run,
        summary="fit the loop on records and write a model file",
        description=(
            "Fit the stages that the records allow: texts a pretrained model, demonstrations "
            "(completion, perhaps prompt) a refined one, preferences (in any layout that audit "
            "reads, ties and soft labels too) a reward model, and with a reward and texts the "
            "exactly optimal policy. Figures of held-out prompts go to standard output as JSON."
        ),
        examples=(
            "  sklearn-codex fit records.jsonl --out model.skops\n"
            "  sklearn-codex fit --corpus books.txt --demonstrations sft.jsonl \\\n"
            "      --preferences prefs.jsonl.gz --out model.skops --figures figures.json\n"
            "  sklearn-codex fit votes.csv --label vote --convention 1=a,2=b,0=tie \\\n"
            "      --out model.skops\n"
            "  cat records.jsonl | sklearn-codex fit - --out model.skops --kl-coef 0.5"
        ),
    )
    parser.add_argument(
        "records",
        nargs="?",
        metavar="RECORDS",
        help="records of all kinds, each row a text (text), a demonstration (completion) or a "
        "preference; - is standard input",
    )
    parser.add_argument("--corpus", metavar="FILE", help="texts, a line each, or records")
    parser.add_argument("--demonstrations", metavar="FILE", help="records with completion")
    parser.add_argument("--preferences", metavar="FILE", help="pairs, as for audit")
    parser.add_argument("--out", required=True, metavar="MODEL", help="model file, *.skops")
    parser.add_argument(
        "--figures", default=STANDARD, metavar="FILE", help="file of the figures (default: -)"
    )
    parser.add_argument("--force", action="store_true", help="replace existing files")
    _add_parameters(parser)
    add_seed(parser)
    add_columns(parser, by="column of what is held out together, beside the prompt")


def _add_parameters(parser) -> None:
    parser.add_argument(
        "--tokenizer",
        choices=("script-word", "script", "word", "whitespace", "code"),
        default="script-word",
        help="how text is counted (default: %(default)s)",
    )
    for name, default, what in (
        ("--min-count", 2, "occurrences a token needs to be in the vocabulary"),
        ("--smoothing", 0.1, "additive smoothing of the pretrained model"),
        ("--prior-strength", 1000.0, "tokens the pretrained model weighs against demonstrations"),
        ("--C", 0.01, "inverse strength of the penalty of the reward"),
        ("--kl-coef", 1.0, "weight of the KL to the reference, per nat of a document"),
        ("--test-size", 0.25, "share of the prompts held out for the figures, 0 for none"),
    ):
        parser.add_argument(
            name,
            type=type(default),
            default=default,
            metavar="N",
            help=f"{what} (default: %(default)s)",
        )


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from sklearn_codex import save_model
    from sklearn_codex.cli._models import fit_pipeline
    from sklearn_codex.cli._preferences import Inputs

    if arguments.out == STANDARD or is_terminal(arguments.out):
        raise ValueError("A model file cannot go to standard output. Name it with --out.")
    outputs = [("--out", arguments.out), ("--figures", arguments.figures)]
    inputs = [("RECORDS", arguments.records)]
    inputs += [(f"--{name}", getattr(arguments, name)) for name in _KINDS]
    check_new(arguments, outputs, inputs)
    _check_twice(arguments.records, inputs[1:])
    read = Inputs(arguments)
    _read(arguments, read)
    pipeline, figures = fit_pipeline(
        read.records,
        read.keys,
        tokenizer=arguments.tokenizer,
        min_count=arguments.min_count,
        smoothing=arguments.smoothing,
        prior_strength=arguments.prior_strength,
        C=arguments.C,
        kl_coef=arguments.kl_coef,
        test_size=arguments.test_size,
        seed=arguments.seed,
    )
    figures["read_as"] = read.read_as
    with written_together():
        save_model(pipeline, arguments.out, overwrite=arguments.force)
        if arguments.figures != STANDARD:
            write_out(arguments, json_text(figures, indent=2) + "\n", "figures")
    read.tell()
    if arguments.figures == STANDARD:  # when the model is safe
        show(json_text(figures, indent=2) + "\n")
    return 0


def _check_twice(records, others) -> None:
    """Raise where a file of records of all kinds is given for one kind too, which counts twice."""
    for option, path in others:
        if records is not None and path is not None and same_file(records, path):
            raise ValueError(
                f"{option} {plain(path)} is the file of RECORDS too, whose rows would count twice. "
                "Leave one out."
            )


def _read(arguments, read) -> None:
    """Add the records of all files given to what was read."""
    if arguments.records is not None:
        read.add_records(arguments.records)
    if arguments.corpus is not None:
        read.add_texts(arguments.corpus)
    if arguments.demonstrations is not None:
        read.add_demonstrations(arguments.demonstrations)
    if arguments.preferences is not None:
        read.add_pairs(arguments.preferences)
    read.check(
        "fit needs records. Name a file of them, or --corpus, --demonstrations, --preferences."
    )
