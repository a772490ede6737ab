"""``sklearn-codex audit``: what preference data are good for."""

import argparse
import csv
from functools import partial
from pathlib import Path

from sklearn_codex.cli._options import (
    STANDARD,
    add_columns,
    add_folder,
    add_seed,
    new_command,
    readable,
)
from sklearn_codex.report._audit_limits import MAX_PAIRS
from sklearn_codex.report._terminal import tell

_DEFAULT_OUT = "codex-audit"
_EXAMPLE = "the example"


def add_parser(commands) -> None:
    """Add the command."""
    parser = new_command(
        commands,
        "audit",
        run,
        summary="what preference data are good for, in one page",
        description=(
            "Read preference pairs and answer: is it clean, is it predictable on prompts never "
            "seen, is it only length, what is preferred, what would a policy learn from it, which "
            "labels to check and which pairs to label next. A verdict, the answers and what to do "
            "are shown here; one page, report.html, has what they rest on, with the figures "
            "(audit.json) and the lists (CSV) beside it."
        ),
        examples=(
            "  sklearn-codex audit --example                 made-up pairs, to see what it says\n"
            "  sklearn-codex audit prefs.jsonl.gz            answers, and codex-audit/report.html\n"
            "  sklearn-codex audit prefs.csv --by task   pairs of one task are kept together\n"
            "  sklearn-codex audit votes.csv --response-a left --response-b right --label vote \\\n"
            "      --convention 1=a,2=b,0=tie\n"
            "  sklearn-codex audit train.jsonl --split test.jsonl   what stands in both\n"
            "  sklearn-codex audit prefs.jsonl --slices source,model_a   which kinds differ\n"
            "  sklearn-codex audit prefs.jsonl --embeddings prefs.npy   do vectors predict more\n"
            "  sklearn-codex audit prefs.jsonl --reference sft.jsonl --out report1\n"
            "  cat prefs.jsonl | sklearn-codex audit - --json > audit.json"
        ),
    )
    _add_pairs(parser)
    _add_beside(parser)
    _add_report(parser)
    add_columns(
        parser,
        ["--groups"],
        by="column of what must not be torn apart (default: the prompts, similar ones joined)",
    )
    parser.set_defaults(check=partial(_check, parser))


def _add_pairs(parser) -> None:
    """Add the pairs, and how they are parted."""
    parser.add_argument(
        "prefs",
        metavar="PREFS",
        nargs="?",
        help="file of preferences, such as JSON lines or CSV with prompt, chosen, rejected, or "
        "response_a, response_b, label; - is standard input",
    )
    parser.add_argument(
        "--example",
        action="store_true",
        help="audit 300 made-up pairs that come with the package, instead of PREFS",
    )
    parser.add_argument(
        "--split",
        metavar="COLUMN_OR_FILE",
        help="column that names the part of each pair, such as train and test, or a file of "
        "held-out pairs: what stands on both sides? (default: the column split, if there is one)",
    )
    parser.add_argument(
        "--slices",
        metavar="COLUMN,...",
        help="columns whose values cut the pairs into kinds that are compared: is one predicted "
        "worse? One of two columns of the two sides, such as model_a, stands for both (default: "
        "columns of 2 to 20 values)",
    )


def _add_beside(parser) -> None:
    """Add what stands beside the pairs, and how many of them models learn from."""
    parser.add_argument(
        "--reference",
        metavar="TEXTS",
        help="texts the policy writes before RLHF: lines or records (default: the responses)",
    )
    parser.add_argument(
        "--embeddings",
        metavar="FILE.npy",
        help="vectors of the responses, floats of shape (pairs, 2, d) or (2 pairs, d), in the "
        "order in which the file has the two responses: chosen before rejected, or A before B. "
        "Do they predict where words fail, alone and beside them?",
    )
    parser.add_argument(
        "--max-pairs",
        type=_number_of_pairs,
        default=MAX_PAIRS,
        metavar="N",
        help="of more pairs, models learn from about N drawn by prompt, checks are of all; "
        "0 means all pairs (default: %(default)s)",
    )


def _add_report(parser) -> None:
    """Add where the report goes, and what is shown of it."""
    add_folder(
        parser,
        f"folder for the report (default: {_DEFAULT_OUT}, or none with --json); files of an "
        "earlier audit in it are replaced",
    )
    parser.add_argument(
        "--full", action="store_true", help="show all that is on the page, not the answers alone"
    )
    parser.add_argument("--open", action="store_true", help="open the page in a browser")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    add_seed(parser)
    parser.add_argument("--no-progress", action="store_true", help="show no progress bar")


def _number_of_pairs(word: str) -> int:
    if not word.isdecimal():
        raise argparse.ArgumentTypeError(f"a number of pairs is an integer >= 0, got {word!r}")
    return int(word)


def _check(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """End with a word on a wrong command line unless it names one source."""
    if arguments.prefs is None and not arguments.example:
        parser.error("the following arguments are required: PREFS, or --example to try it")
    if arguments.prefs is not None and arguments.example:
        parser.error(f"--example stands in place of PREFS, got {arguments.prefs} too")


def _example() -> str:
    """Return the path of the example, and say where it is."""
    from sklearn_codex.datasets._example import example_path

    path = str(example_path())
    tell(f"sklearn-codex: the example has made-up pairs with simulated labels: {path}")
    return path


def _names_of(word: str | None) -> list[str] | None:
    """Return the columns of ``--slices``, None where they are to be found."""
    if word is None:
        return None
    # As a row of CSV, where a name that has a comma stands in quotes.
    names = [name.strip() for name in next(csv.reader([word], skipinitialspace=True)) or [""]]
    if not all(names):
        raise ValueError(
            f"--slices has names of columns with commas between them, got {word!r}, in which one "
            "is empty. Leave it out to have columns of few values found."
        )
    return names


def _name_of(prefs: str | None) -> str | None:
    """Return what the report calls what has no name of its own, None for a file."""
    if prefs is None:
        return _EXAMPLE
    if prefs == STANDARD:
        return "standard input"
    return "a pipe" if Path(prefs).is_fifo() else None


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from sklearn_codex._layouts.given import given_of
    from sklearn_codex.cli._inputs import read_texts
    from sklearn_codex.report._audit_run import run_audit

    out = arguments.out
    if out is None and not arguments.json:
        out = _DEFAULT_OUT
    prefs = _example() if arguments.example else arguments.prefs
    inputs = {
        "PREFS": prefs,
        "--split": arguments.split,
        "--reference": arguments.reference,
        "--embeddings": arguments.embeddings,
    }
    reference = None if arguments.reference is None else read_texts(arguments.reference)
    with readable(prefs) as path:
        run_audit(
            path,
            name=_name_of(arguments.prefs),
            given=given_of(arguments),
            split=arguments.split,
            slices=_names_of(arguments.slices),
            reference=reference,
            embeddings=arguments.embeddings,
            max_pairs=arguments.max_pairs,
            inputs={name: path for name, path in inputs.items() if path not in (None, STANDARD)},
            out=out,
            force=arguments.force,
            as_json=arguments.json,
            full=arguments.full,
            open_page=arguments.open,
            seed=arguments.seed,
            progress=not arguments.no_progress,
        )
    return 0
