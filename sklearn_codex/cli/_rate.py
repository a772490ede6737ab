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
            "column, or for two at once. Ranks hold for all models together."
        ),
        examples=(
            "  sklearn-codex rate arena.csv                      model_a, model_b and winner\n"
            "  sklearn-codex rate votes.jsonl --ties davidson --scale elo --anchor gpt-4=1200\n"
            "  sklearn-codex rate votes.jsonl --by prompt --style length --out ratings.csv\n"
            "  sklearn-codex rate crowd.jsonl --votes votes --annotator workers --by prompt,workers"
        ),
    )
    _add_votes(parser)
    _add_ratings(parser)
    parser.add_argument("--out", metavar="FILE", help="file of the ratings, *.csv or *.json")
    parser.add_argument("--force", action="store_true", help="replace an existing file")
    add_seed(parser)
    add_columns(
        parser,
        without=_NO_RESPONSES,
        by="column of what depends on each other, or two by a comma, such as prompt,annotator "
        "(default: the annotator, else the prompt)",
    )


def _add_votes(parser) -> None:
    """Add what says where the votes are."""
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


def _add_ratings(parser) -> None:
    """Add what says how votes become ratings."""
    parser.add_argument(
        "--ties",
        choices=("half", "davidson", "rao-kupper", "both-bad"),
        default="half",
        help="a tie as half a vote for each, or as an outcome, and with both-bad also votes that "
        "both are bad (default: %(default)s)",
    )
    parser.add_argument(
        "--style",
        metavar="COLUMNS",
        help="differences of style to rate net of, A less B, by commas: a column, x for x_a less "
        "x_b, or length, the logarithm of characters",
    )
    parser.add_argument(
        "--topics",
        metavar="COLUMN",
        help="kinds of prompt, by each of which models are rated too",
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
    if arguments.ties == "both-bad" and not votes.bad.any():
        raise ValueError(
            "--ties both-bad takes votes that both are bad, such as 'tie (bothbad)', and there are "
            "none. Use --ties davidson."
        )
    first_topic = 2 + votes.style.shape[1]
    topics = list(range(first_topic, first_topic + votes.topics.shape[1]))
    model = ModelRatings(
        arguments.ties,
        topics=topics or None,
        position_bias=arguments.position,
        confidence_level=arguments.level,
        random_state=arguments.seed,
    )
    rows = np.empty((len(votes.y), first_topic + len(topics)), dtype=object)
    rows[:, :2] = votes.models
    rows[:, 2:first_topic] = votes.style
    rows[:, first_topic:] = votes.topics
    y = votes.y
    if arguments.ties == "both-bad":
        y = np.array(["b", "tie", "a"], dtype=object)[np.rint(2 * y).astype(int)]
        y[votes.bad] = "both_bad"
    return model.fit(rows, y, sample_weight=votes.weight, groups=votes.groups)


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
    n = len(votes.y)
    ties = f"{int((votes.y == 0.5).sum()) / n:.0%} ties ({model.ties})"
    lines = [
        f"{len(model.models_):,} models, {n:,} votes, {ties}. {_say_groups(arguments, votes)}.",
        f"Ratings in {arguments.scale}, intervals of one at {arguments.level:.0%}; ranks hold for "
        "all together.",
    ]
    lines += _outcome_lines(model)
    if model.position_bias:
        lines.append(f"Log-odds of the first of two equal responses: {model.position_bias_:.3f}.")
    if arguments.style is not None:
        names = [name.strip() for name in arguments.style.split(",")]
        said = [f"{n} {b:.3f}" for n, b in zip(names, model.style_coef_, strict=True)]
        lines.append(f"Log-odds of style, a unit: {', '.join(said)}.")
    lines += ["", *_table_lines(arguments, table)]
    if votes.topic_names:
        lines += ["", *_topic_lines(arguments, votes, model)]
    return "\n".join(lines) + "\n"


def _outcome_lines(model) -> list[str]:
    """Return what is said of ties, and of both bad, where they are outcomes."""
    import numpy as np

    from sklearn_codex._ratings.vote_models import OutcomeParameters, log_prob

    level = np.zeros(1)  # two models of mean rating
    parameters = OutcomeParameters(model._log_tie, model._log_bad)
    _, tie, _, bad = np.exp(log_prob(model.ties, level, level, parameters)[0])
    lines = []
    if model.tie_parameter_ is not None:
        lines.append(
            f"Parameter of ties: {model.tie_parameter_:.3f}, {tie:.0%} of votes on two models of "
            "mean rating."
        )
    if model.both_bad_odds_ is not None:
        lines.append(
            f"Odds that both are bad against a win of one: {model.both_bad_odds_:.3f}, {bad:.0%} "
            "of votes on such two."
        )
    return lines


def _say_groups(arguments, votes) -> str:
    """Return how many groups there are, of each way."""
    groups = votes.groups.reshape(len(votes.y), -1).T
    counts = [f"{len(set(way.tolist())):,}" for way in groups]
    if arguments.by is not None:
        ways = [f"{n} of {unit}" for n, unit in zip(counts, votes.units, strict=True)]
        return f"Groups: {', '.join(ways)}"
    said = f"{counts[0]} {votes.units[0]}s"
    if votes.units == ["annotator"] and votes.pairs.roles["prompt"]:
        said += "; for votes on one prompt as dependent too, --by prompt,annotator"
    return said


def _by_topic(arguments, votes, model) -> dict[str, dict[str, float]]:
    """Return the rating of each model by each topic, in the units asked for, the best first."""
    import numpy as np

    from sklearn_codex._ratings.reports import SCALES

    unit, middle = SCALES[arguments.scale]
    ratings = middle + unit * model.topic_ratings(np.eye(len(votes.topic_names)))
    names = [str(name) for name in model.models_.tolist()]
    return {
        topic: {names[i]: float(row[i]) for i in np.argsort(-row, kind="stable")}
        for topic, row in zip(votes.topic_names, ratings, strict=True)
    }


def _topic_lines(arguments, votes, model) -> list[str]:
    """Return the best models of each topic."""
    digits = 0 if arguments.scale == "elo" else 2
    lines = [f"The best by {arguments.topics}, shrunk to the ratings above, without intervals:"]
    for topic, ratings in _by_topic(arguments, votes, model).items():
        best = [f"{_short(name)} {value:.{digits}f}" for name, value in [*ratings.items()][:3]]
        lines.append(f"  {_short(topic)}: {', '.join(best)}")
    return lines


def _short(name: str) -> str:
    """Return a name in one line of at most 40 characters."""
    return f"{' '.join(name.split()):.40}"


def _table_lines(arguments, table) -> list[str]:
    """Return the lines of the table: names cut, ratings of equal digits."""
    digits = 0 if arguments.scale == "elo" else 2
    rows = [["model", "rating", "interval", "ranks", "votes"]]
    for row in _rows_of(table):
        low, high = (f"{row[side]:.{digits}f}" for side in ("low", "high"))
        rows.append(
            [
                _short(row["model"]),
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
    from sklearn_codex._plain import show_controls
    from sklearn_codex.report._csv import as_csv
    from sklearn_codex.report._json import json_text

    rows = _rows_of(table)
    if arguments.out.endswith(".csv"):
        return as_csv([row | {"model": show_controls(row["model"])} for row in rows])
    figures = {
        "ratings": rows,
        "scale": arguments.scale,
        "level": arguments.level,
        "ties": model.ties,
        "tie_parameter": model.tie_parameter_,
        "both_bad_odds": model.both_bad_odds_,
        "topics": _by_topic(arguments, votes, model) if votes.topic_names else None,
        "position_bias": model.position_bias_ if model.position_bias else None,
        "style": [float(value) for value in model.style_coef_],
        "n_votes": len(votes.y),
        "n_groups": model.n_groups_,
        "groups": ", ".join(votes.units),
        "read_as": votes.pairs.layout,
    }
    return json_text(figures, indent=2) + "\n"
