"""``sklearn-codex convert``: preferences of any layout in one that others read."""

import argparse
import sys

from sklearn_codex._output import is_terminal, new_file
from sklearn_codex.cli._options import (
    REMEDY,
    STANDARD,
    add_columns,
    check_new,
    new_command,
    write_out,
)
from sklearn_codex.report._terminal import standard_output, tell

_FORMS = ("trl", "pairs", "parquet")


def add_parser(commands) -> None:
    """Add the command."""
    parser = new_command(
        commands,
        "convert",
        run,
        summary="write preferences of any layout in another one",
        description=(
            "Read preferences as audit does, and write what was read. trl is JSON lines of prompt, "
            "chosen and rejected; pairs is JSON lines with prompt, response_a, response_b and "
            "label, the probability that the first is preferred, and parquet the same as Parquet. "
            "Pairs have the weights, the annotators and the other columns too, and a column that "
            "tells whether the file had chosen and rejected. How the file was read goes to "
            "standard error."
        ),
        examples=(
            "  sklearn-codex convert arena.parquet --to pairs --out pairs.jsonl\n"
            "  sklearn-codex convert votes.csv --label vote --convention 1=a,2=b,0=tie \\\n"
            "      --to trl --drop-ties --out dpo.jsonl\n"
            "  zcat prefs.jsonl.gz | sklearn-codex convert - --to parquet --out prefs.parquet"
        ),
    )
    parser.add_argument(
        "prefs", metavar="FILE", help="preferences, as for audit; - is standard input"
    )
    parser.add_argument("--to", required=True, choices=_FORMS, help="what to write")
    parser.add_argument("--out", default=STANDARD, metavar="FILE", help="file (default: -)")
    parser.add_argument("--force", action="store_true", help="replace an existing file")
    parser.add_argument(
        "--drop-ties", action="store_true", help="leave out ties, which trl cannot say"
    )
    parser.add_argument(
        "--harden",
        action="store_true",
        help="write soft labels, which trl cannot say, as the likelier preference",
    )
    parser.add_argument(
        "--pairs-only", action="store_true", help="leave out the columns that were not read"
    )
    add_columns(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from sklearn_codex._layouts.given import given_of
    from sklearn_codex.cli._preferences import read_pairs, say_pairs

    _check_flags(arguments)
    check_new(arguments, [("--out", arguments.out)], [("FILE", arguments.prefs)])
    pairs = read_pairs(arguments.prefs, given_of(arguments))
    write = _write_chosen if arguments.to == "trl" else _write_pairs
    n_pairs, words = write(arguments, pairs)
    tell(say_pairs(arguments.prefs, pairs))
    tell(f"sklearn-codex: wrote {'1 pair' if n_pairs == 1 else f'{n_pairs:,} pairs'}.{words}")
    return 0


def _check_flags(arguments) -> None:
    for option, form in (("drop_ties", "trl"), ("harden", "trl")):
        if getattr(arguments, option) and arguments.to != form:
            raise ValueError(
                f"--{option.replace('_', '-')} is for --to {form}: {arguments.to} keeps ties and "
                "soft labels. Leave it out."
            )
    is_binary = arguments.to == "parquet"
    on_terminal = arguments.out != STANDARD and is_terminal(arguments.out)
    if is_binary and (on_terminal or (arguments.out == STANDARD and sys.stdout.isatty())):
        raise ValueError("Parquet cannot go to a terminal. Name a file with --out.")


def _write_chosen(arguments, pairs) -> tuple[int, str]:
    """Write pairs as chosen and rejected; return how many, and what to say of it."""
    from sklearn_codex.cli._inputs import place_of_argument
    from sklearn_codex.cli._written import as_lines, make_chosen, say_changed

    rows, n_ties, n_soft = make_chosen(
        pairs,
        place_of_argument(arguments.prefs),
        drop_ties=arguments.drop_ties,
        harden=arguments.harden,
    )
    changed = say_changed(rows, pairs, pairs.y != 0.5)
    write_out(arguments, as_lines(rows))
    left_out = f" {n_ties:,} ties were left out." if n_ties else ""
    rounded = f" {n_soft:,} soft labels were rounded." if n_soft else ""
    others = (
        f" Columns that trl does not have: {', '.join(pairs.columns)}." if pairs.columns else ""
    )
    return len(rows), left_out + rounded + others + changed


def _write_pairs(arguments, pairs) -> tuple[int, str]:
    """Write pairs with their labels; return how many, and what to say of it."""
    from sklearn_codex.cli._written import as_lines, as_parquet, make_rows, say_changed

    rows, renamed = make_rows(pairs, others=not arguments.pairs_only)
    words = "".join(
        f" The column {name} is written as {written}, since it would be read as part of the pair."
        for name, written in renamed.items()
    )
    changed = say_changed(rows, pairs, pairs.y >= 0)
    if arguments.to == "pairs":
        write_out(arguments, as_lines(rows))
    else:
        content, as_json = as_parquet(rows)
        _write_bytes(arguments, content)
        words += "".join(f" The column {name} is written as JSON." for name in as_json)
    return len(rows), words + changed


def _write_bytes(arguments, content: bytes) -> None:
    if arguments.out == STANDARD:
        with standard_output():
            sys.stdout.buffer.write(content)
            sys.stdout.flush()
        return
    with new_file(arguments.out, overwrite=arguments.force, subject="--out", remedy=REMEDY) as file:
        file.write(content)
