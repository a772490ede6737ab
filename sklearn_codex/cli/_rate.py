"""``sklearn-codex rate``: ratings of models from votes on their responses."""

import argparse
import math

from sklearn_codex.cli._options import add_columns, add_seed, check_new, new_command, write_out

_FORMS = (".csv", ".json")
_NO_RESPONSES = ("--chosen", "--rejected", "--response-a", "--response-b", "--response")


def add_parser(commands) -> None:
    """Add the command."""
    parser = new_command(
        commands,
        "rate",
        run,
        summary="ratings of models from votes, with intervals and ranks",
        description=(
            "Read votes on pairs of models, in any layout that audit reads, also without the "
            "responses, and rate the models. Intervals take the votes of one annotator, or of one "
            "prompt where annotators have no names, as dependent; so does --by for another "
            "column. Ranks hold for all models together."
        ),
        examples=(
            "  sklearn-codex rate arena.csv                      model_a, model_b and winner\n"
            "  sklearn-codex rate votes.jsonl --ties davidson --scale elo --anchor gpt-4=1200\n"
            "  sklearn-codex rate votes.jsonl --by prompt --style length --out ratings.csv\n"
            "  sklearn-codex rate crowd.jsonl --votes votes --annotator workers"
        ),
    )
    parser.add_argument(
        "votes_file", metavar="FILE", help="votes, as preferences for audit; - is standard input"
    )
    parser.add_argument("--model-a", metavar="COLUMN", help="column of the first model")
    parser.add_argument("--model-b", metavar="COLUMN", help="column of the second model")
    parser.add_argument(
        "--votes",
        metavar="COLUMN",
        help="column of lists of votes, with those of --annotator in the same order",
    )
    parser.add_argument(
        "--ties",
        choices=("half", "davidson", "rao-kupper"),
        default="half",
        help="a tie as half a vote for each, or as an outcome (default: %(default)s)",
    )
    parser.add_argument(
        "--style",
        metavar="COLUMNS",
        help="differences of style to rate net of, A less B, by commas: a column, x for x_a less "
        "x_b, or length, the logarithm of characters",
    )
    parser.add_argument(
        "--position", action="store_true", help="rate net of which response is shown first"
    )
    parser.add_argument(
        "--scale", choices=("nats", "elo"), default="nats", help="units (default: %(default)s)"
    )
    parser.add_argument(
        "--anchor", metavar="MODEL=RATING", help="a model that has this rating in these units"
    )
    parser.add_argument(
        "--level",
        type=float,
        default=0.95,
        metavar="N",
        help="confidence level of intervals and ranks (default: %(default)s)",
    )
    parser.add_argument("--out", metavar="FILE", help="file of the ratings, *.csv or *.json")
    parser.add_argument("--force", action="store_true", help="replace an existing file")
    add_seed(parser)
    add_columns(
        parser,
        without=_NO_RESPONSES,
        by="column of what depends on each other (default: the annotator, else the prompt)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    _check(arguments)
    check_new(arguments, [("--out", arguments.out)], [("FILE", arguments.votes_file)])
    from sklearn_codex.cli._preferences import say_pairs
    from sklearn_codex.cli._rate_votes import read_votes
    from sklearn_codex.report._terminal import show, tell

    votes = read_votes(arguments)
    model = _fit(arguments, votes)
    anchor = _read_anchor(arguments, model)
    table = model.table(scale=arguments.scale, anchor=anchor)
    if arguments.out is not None:
        write_out(arguments, _written(arguments, votes, model, table))
    notes = "".join(f" {note}" for note in votes.notes)
    tell(say_pairs(arguments.votes_file, votes.pairs) + notes)
    show(_shown(arguments, votes, model, table))
    return 0


def _check(arguments) -> None:
    if not 0 < arguments.level < 1:
        raise ValueError(f"--level must be between 0 and 1, such as 0.95, got {arguments.level}.")
    if arguments.out is not None and not arguments.out.endswith(_FORMS):
        raise ValueError(f"--out must end with .csv or .json, got {arguments.out}.")


def _fit(arguments, votes):
    """Return the fitted ratings."""
    import numpy as np

    from sklearn_codex import ModelRatings

    soft = np.flatnonzero(~np.isin(votes.y, (0, 0.5, 1)))
    if arguments.ties != "half" and len(soft):
        raise ValueError(
            f"--ties {arguments.ties} takes votes for A, for B and ties, but {len(soft):,} labels "
            f"are between, the first {votes.y[soft[0]]:g}. Use --ties half, or name the single "
            "votes with --votes."
        )
    model = ModelRatings(
        arguments.ties,
        position_bias=arguments.position,
        confidence_level=arguments.level,
        random_state=arguments.seed,
    )
    rows = np.empty((len(votes.y), 2 + votes.style.shape[1]), dtype=object)
    rows[:, :2] = votes.models
    rows[:, 2:] = votes.style
    return model.fit(rows, votes.y, sample_weight=votes.weight, groups=votes.groups)


def _read_anchor(arguments, model):
    """Return the model and the rating of ``--anchor``; None without."""
    if arguments.anchor is None:
        return None
    name, _, value = arguments.anchor.rpartition("=")
    try:
        rating = float(value)
    except ValueError:
        name = ""
    if not name or not math.isfinite(rating):
        raise ValueError(
            f"--anchor must be a model and its rating, such as gpt-4=1000, got {arguments.anchor}."
        )
    model._place_of(name)
    return name, rating


def _shown(arguments, votes, model, table) -> str:
    """Return the ratings as they are shown."""
    n_ties = int((votes.y == 0.5).sum())
    unit = f"groups of {votes.unit}" if votes.unit == arguments.by else f"{votes.unit}s"
    lines = [
        f"{len(model.models_):,} models, {len(votes.y):,} votes, {n_ties / len(votes.y):.0%} ties "
        f"({model.ties}). {model.n_groups_:,} {unit}. Ratings in {arguments.scale}, intervals of "
        f"one at {arguments.level:.0%}; ranks hold for all together."
    ]
    if model.tie_parameter_ is not None:
        lines.append(f"Parameter of ties: {model.tie_parameter_:.3f}.")
    if model.position_bias:
        lines.append(f"Log-odds of the first of two equal responses: {model.position_bias_:.3f}.")
    if arguments.style is not None:
        names = [name.strip() for name in arguments.style.split(",")]
        said = [f"{n} {b:.3f}" for n, b in zip(names, model.style_coef_, strict=True)]
        lines.append(f"Log-odds of style, a unit: {', '.join(said)}.")
    return "\n".join([*lines, "", *_table_lines(arguments, table)]) + "\n"


def _table_lines(arguments, table) -> list[str]:
    """Return the lines of the table: names cut, ratings of equal digits."""
    digits = 0 if arguments.scale == "elo" else 2
    rows = [["model", "rating", "interval", "ranks", "votes"]]
    for row in _rows_of(table):
        low, high = (f"{row[side]:.{digits}f}" for side in ("low", "high"))
        rows.append(
            [
                f"{' '.join(row['model'].split()):.40}",
                f"{row['rating']:.{digits}f}",
                f"{low} to {high}",
                f"{row['rank_low']}-{row['rank_high']}",
                f"{row['n']:,g}",
            ]
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


def _rows_of(table) -> list[dict]:
    """Return the rows of a table as plain values."""
    columns = {name: values.tolist() for name, values in table.items()}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _written(arguments, votes, model, table) -> str:
    """Return what ``--out`` holds."""
    from sklearn_codex.report._csv import as_csv
    from sklearn_codex.report._json import json_text

    rows = _rows_of(table)
    if arguments.out.endswith(".csv"):
        return as_csv(rows)
    figures = {
        "ratings": rows,
        "scale": arguments.scale,
        "level": arguments.level,
        "ties": model.ties,
        "tie_parameter": model.tie_parameter_,
        "position_bias": model.position_bias_ if model.position_bias else None,
        "style": [float(value) for value in model.style_coef_],
        "n_votes": len(votes.y),
        "n_groups": model.n_groups_,
        "groups": votes.unit,
        "read_as": votes.pairs.layout,
    }
    return json_text(figures, indent=2) + "\n"
