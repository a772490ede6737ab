"""Votes on models as ``rate`` reads them: the names of models stand where responses would."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils import Bunch

from sklearn_codex._checks.frames import is_missing
from sklearn_codex._files.rows import read_rows
from sklearn_codex._layouts.base import fold, fold_all
from sklearn_codex._layouts.cells import decode
from sklearn_codex._layouts.given import Given, given_of
from sklearn_codex._plain import did_you_mean, plain
from sklearn_codex.cli._inputs import place_of_argument
from sklearn_codex.cli._options import readable
from sklearn_codex.datasets._readers import read_given

# Names of the columns of two models; in the last four the first is the better one.
SIDES = (
    ("model_a", "model_b"),
    ("model_1", "model_2"),
    ("model1", "model2"),
    ("generator_1", "generator_2"),
    ("system_a", "system_b"),
    ("chosen_model", "rejected_model"),
    ("model_chosen", "model_rejected"),
    ("winner_model", "loser_model"),
    ("winner", "loser"),
)
ORDERED = SIDES[5:]
LENGTH = "length"
MOST_TOPICS = 30
_FIRST_ROWS = 20


@dataclass(frozen=True)
class GivenModels(Given):
    """What the caller says, where the responses that are read are the names of models."""

    def say(self, role: str, value: Any) -> str:
        """Return how the caller says that a role is in a column."""
        names = {"response_a": "model-a", "chosen": "model-a"}
        names |= {"response_b": "model-b", "rejected": "model-b"}
        said = super().say(role, value)
        return said.replace(f"--{role.replace('_', '-')}", f"--{names.get(role, role)}", 1)


class ModelVotes(NamedTuple):
    """Votes on pairs of models.

    Attributes
    ----------
    models : ndarray of shape (n, 2)
        Names.
    style : ndarray of shape (n, k)
        Differences of style, A less B.
    topics : ndarray of shape (n, q)
        1 for the topic of the prompt, 0 for the others.
    y, bad, weight : ndarray of shape (n,)
        Probability that A is preferred, whether both are said to be bad, and what a vote weighs.
    groups : ndarray of shape (n,) or (n, 2)
        What stands together, in one way or in two.
    units : list of str
        What a group is, of each way.
    topic_names : list of str
        The q topics.
    pairs : Bunch
        The pairs as they were read.
    notes : list of str
        What was done beside.
    """

    models: np.ndarray
    style: np.ndarray
    topics: np.ndarray
    y: np.ndarray
    bad: np.ndarray
    weight: np.ndarray
    groups: np.ndarray
    units: list[str]
    topic_names: list[str]
    pairs: Bunch
    notes: list[str]


def read_votes(arguments) -> ModelVotes:
    """Return the votes of the file of the arguments."""
    place = place_of_argument(arguments.votes_file)
    with readable(arguments.votes_file, twice=True) as path:
        names = list(dict.fromkeys(_names_of(path, place)))
        given = _given_models(arguments, names, place)
        pairs = read_given(path, given, "", place=place)
    index, y, bad, voters, notes = _take_votes(arguments, pairs, place)
    models = pairs.X[index, 1:]
    kept = models[:, 0] != models[:, 1]
    if not kept.any():
        raise ValueError(f"{place} has no vote on two models. Name the columns with --model-a.")
    if n_same := int(np.sum(~kept)):
        votes = "1 vote on a model against itself was" if n_same == 1 else (
            f"{n_same:,} votes on a model against itself were"
        )  # fmt: skip
        notes.append(f"{votes} left out.")
    if bad.any() and arguments.ties != "both-bad":
        notes.append(
            f"{int(bad.sum()):,} of the ties say that both are bad; --ties both-bad makes that an "
            "outcome of its own."
        )
    style = _read_style(arguments.style, pairs, place)[index]
    topics, topic_names = _read_topics(arguments.topics, pairs, place)
    if arguments.by is None:
        groups, units = _find_groups(pairs, index, voters, kept, notes)
    else:
        groups, units = _read_groups(arguments, pairs, index, voters, place)
        _check_several(groups[kept], units, place)
    weight = pairs.sample_weight[index]
    of_votes: dict[str, Any] = {
        "models": models,
        "style": style,
        "topics": topics[index],
        "y": y,
        "bad": bad,
        "weight": weight,
        "groups": groups,
    }
    of_kept = {name: part[kept] for name, part in of_votes.items()}
    return ModelVotes(**of_kept, units=units, topic_names=topic_names, pairs=pairs, notes=notes)


def _find_groups(pairs: Bunch, index, voters, kept, notes: list[str]):
    """Return what stands together (n,) where no one says it, and what a group is.

    The first of annotators, prompts and votes of which there are several.
    """
    ways = [(pairs.groups[index], "prompt" if pairs.roles["prompt"] else "row")]
    if voters is not None:
        ways.insert(0, (voters, "annotator"))
    one = []
    for groups, unit in ways:
        if len(set(groups[kept].tolist())) > 1:
            break
        one.append(f"one {unit}")
    else:
        groups, unit = np.arange(len(index)), "vote"
    if one:
        notes.append(
            f"All votes are of {' and '.join(one)}, so that nothing tells how others differ: "
            f"intervals are by {unit}, and hold for no other."
        )
    return groups, [unit]


def _read_groups(arguments, pairs: Bunch, index, voters, place: str):
    """Return what ``--by`` says stands together, (n,) or two ways (n, 2), and what a group is."""
    ways = _ways_of(arguments.by)
    if len(ways) == 1:
        return pairs.groups[index], ways
    groups = [_way(name, arguments, pairs, index, voters, place) for name in ways]
    return np.column_stack(groups), ways


def _check_several(groups, units: list[str], place: str) -> None:
    """Raise where all votes are in one group of a way."""
    for way, unit in zip(groups.reshape(len(groups), -1).T, units, strict=True):
        if len(set(way.tolist())) < 2:
            raise ValueError(
                f"--by {plain(unit)} needs several groups, since intervals ask how they differ, "
                f"but {place} has one for all votes. Name another column, or leave --by out."
            )


def _ways_of(by: str) -> list[str]:
    """Return the one or two names of ``--by``."""
    ways = [name.strip() for name in by.split(",")]
    if len(ways) > 2 or not all(ways):
        raise ValueError(
            f"--by takes one column, or two by a comma, such as prompt,annotator, got {plain(by)}."
        )
    return ways


def _way(name: str, arguments, pairs: Bunch, index, voters, place: str) -> np.ndarray:
    """Return what stands together (n,) by one of two ways, of which some columns were read."""
    folded = fold_all(pairs.columns)
    if voters is not None and (
        fold(name) == "annotator" or name in (arguments.annotator, *pairs.roles["others"])
    ):
        return voters
    if fold(name) in folded:
        return np.array([f"{value}" for value in pairs.columns[folded[fold(name)]]])[index]
    if name in pairs.roles["prompt"] or (fold(name) == "prompt" and pairs.roles["prompt"]):
        return pairs.groups[index]
    return _column(pairs, name, "--by", place)


def _names_of(path: str, place: str) -> Iterator[str]:
    """Yield the columns of the first rows."""
    for _, row in islice(read_rows(path, place), _FIRST_ROWS):
        yield from map(str, row)


def _given_models(arguments, names: list[str], place: str) -> GivenModels:
    """Return what the caller says, with the columns of the two models."""
    said = given_of(arguments)
    if said.groups is not None and len(_ways_of(said.groups)) > 1:
        said = replace(said, groups=None)  # which are read beside
    values = {entry.name: getattr(said, entry.name) for entry in fields(said)}
    first, second = _sides_of(arguments, names, place)
    is_ordered = (fold(first), fold(second)) in ORDERED and said.label is None
    roles = ("chosen", "rejected") if is_ordered else ("response_a", "response_b")
    return GivenModels(**{**values, **dict(zip(roles, (first, second), strict=True))})


def _sides_of(arguments, names: list[str], place: str) -> tuple[str, str]:
    """Return the columns of the two models."""
    folded = fold_all(names)
    told = (arguments.model_a, arguments.model_b)
    if any(name is not None for name in told):
        for option, name in zip(("--model-a", "--model-b"), told, strict=True):
            if name is None:
                raise ValueError(f"{option} is missing: the two models stand in two columns.")
            if fold(name) not in folded:
                raise ValueError(
                    f"{place} has no column {plain(name)} of {option}."
                    f"{did_you_mean(name, names)} It has {names}."
                )
        return folded[fold(told[0])], folded[fold(told[1])]
    found = [pair for pair in SIDES if set(pair) <= set(folded)]
    if len(found) != 1:
        what = "no columns" if not found else f"{' and '.join(', '.join(p) for p in found)} as"
        raise ValueError(
            f"{place} has {what} that name two models, such as model_a and model_b: it has "
            f"{names}. Name them with --model-a and --model-b."
        )
    return folded[found[0][0]], folded[found[0][1]]


def _take_votes(arguments, pairs: Bunch, place: str):
    """Return the pair (n,) of each vote, what it says, who gave it or None, and notes.

    A pair is a vote, unless a column has lists of votes. What it says is the probability that A is
    preferred, and whether both are bad.
    """
    voters = None
    if any(value is not None for value in pairs.annotator):
        voters = np.fromiter(map(_no_list, pairs.annotator), dtype=object, count=pairs.n)
    if arguments.votes is None:
        if voters is not None and any(isinstance(value, tuple) for value in voters):
            raise ValueError(
                f"{place} has lists in --annotator {plain(arguments.annotator)}, and one label a "
                "row. Name the column of the votes, in the same order, with --votes."
            )
        return np.arange(pairs.n), pairs.y, pairs.both_bad, _named(voters), _tell_lists(pairs)
    column = _column(pairs, arguments.votes, "--votes", place)
    index, said, who = [], [], []
    for row, cell in enumerate(column):
        votes = decode(cell)
        if not isinstance(votes, list):
            raise ValueError(
                f"{place}, {pairs.where[row]} has {votes!r:.40} in --votes "
                f"{plain(arguments.votes)}, where a list of votes should be."
            )
        names = [None] * len(votes) if voters is None else voters[row]
        if not isinstance(names, (list, tuple)) or len(names) != len(votes):
            raise ValueError(
                f"{place}, {pairs.where[row]} has {len(votes)} votes and not as many names in "
                f"--annotator {plain(arguments.annotator)}. Each vote needs who gave it."
            )
        index += [row] * len(votes)
        said += [_read_vote(vote, place, pairs.where[row]) for vote in votes]
        who += list(names)
    note = f"{len(said):,} votes of the lists in {plain(arguments.votes)}; the label is not used."
    named = None if voters is None else _named(np.array(who, dtype=object))
    y, bad = (np.array(part) for part in zip(*said, strict=True)) if said else (np.zeros(0),) * 2
    return np.array(index, dtype=np.intp), y, bad.astype(bool), named, [note]


def _tell_lists(pairs: Bunch) -> list[str]:
    """Say so where a column seems to have the votes that a label is made of."""
    lists = {}
    for name, values in pairs.columns.items():
        cells = [decode(value) for value in values[:_FIRST_ROWS]]
        if all(isinstance(cell, list) and cell for cell in cells):
            lists[name] = cells
    votes = [name for name, cells in lists.items() if all(map(_are_votes, cells))]
    if len(votes) != 1:
        return []
    sizes = list(map(len, lists[votes[0]]))
    who = [name for name in lists if name not in votes and list(map(len, lists[name])) == sizes]
    beside = f" --annotator {plain(who[0])}" if len(who) == 1 else ""
    return [
        f"{plain(votes[0])} has lists of votes, of which the label is one figure: with --votes "
        f"{plain(votes[0])}{beside} each counts by itself."
    ]


def _are_votes(cell: list) -> bool:
    """Return whether a list is of votes, as ``_read_vote`` reads them."""
    try:
        return bool([_read_vote(vote, "", "") for vote in cell])
    except ValueError:
        return False


def _no_list(value):
    """Return who gave a label; of a list, a tuple."""
    value = decode(value)
    return tuple(value) if isinstance(value, list) else value


def _named(voters):
    """Return who gave each vote, one of his own for each that has no name; None without any."""
    if voters is None:
        return None
    return np.array(
        [f"no one {i}" if is_missing(v) else f"{v}" for i, v in enumerate(voters.tolist())],
        dtype=object,
    )


def _read_vote(vote, place, where) -> tuple[float, bool]:
    """Return a vote of a list: the probability that A is preferred, and whether both are bad."""
    from sklearn_codex._ratings.labels import KIND_WITHOUT_BAD, read_vote

    word = read_vote(vote)
    if word is not None:
        return KIND_WITHOUT_BAD[word] / 2, word == "both_bad"
    if isinstance(vote, (int, float)) and 0 <= vote <= 1:
        return float(vote), False
    raise ValueError(
        f"{place}, {where} has the vote {vote!r:.40}, which is neither a number from 0 (B) to 1 "
        "(A) nor one of a, b, tie. Write it so."
    )


def _column(pairs: Bunch, name: str, option: str, place: str) -> np.ndarray:
    """Return a column that is no part of the pairs."""
    folded = fold_all(pairs.columns)
    if fold(name) not in folded:
        raise ValueError(
            f"{place} has no column {plain(name)} of {option}.{did_you_mean(name, pairs.columns)} "
            f"Beside what was read it has {list(pairs.columns)}."
        )
    return pairs.columns[folded[fold(name)]]


def _read_style(names: str | None, pairs: Bunch, place: str) -> np.ndarray:
    """Return the differences of style (n_pairs, k) that ``--style`` names."""
    names_of_style = [] if names is None else [name.strip() for name in names.split(",")]
    if names_of_style and np.any(pairs.oriented):
        raise ValueError(
            f"--style needs to know which model is A, but {place} says only which is better. Name "
            "the columns of A and B with --model-a, --model-b and --label."
        )
    columns = [_style_of(name, pairs, place) for name in names_of_style]
    return np.column_stack(columns) if columns else np.zeros((pairs.n, 0))


def _style_of(name: str, pairs: Bunch, place: str) -> np.ndarray:
    """Return a difference of style (n_pairs,): a column, or that of two, of A and of B."""
    folded = fold_all(pairs.columns)
    if name == LENGTH and fold(name) not in folded and "length_a" not in folded:
        sides = [_column(pairs, f"response_{side}", "--style length", place) for side in "ab"]
        a, b = (np.array([np.log1p(len(str(text))) for text in side]) for side in sides)
        return a - b
    both = [folded.get(fold(f"{name}_{side}")) for side in "ab"]
    if fold(name) in folded or None in both:
        return _as_numbers(_column(pairs, name, "--style", place), name, pairs, place)
    a, b = (_as_numbers(pairs.columns[side], str(side), pairs, place) for side in both)
    return a - b


def _read_topics(name: str | None, pairs: Bunch, place: str) -> tuple[np.ndarray, list[str]]:
    """Return the topic of each pair as one of columns (n_pairs, q), and their names."""
    if name is None:
        return np.zeros((pairs.n, 0)), []
    column = _column(pairs, name, "--topics", place).tolist()
    missing = [row for row, value in enumerate(column) if is_missing(value)]
    if missing:
        raise ValueError(
            f"{place}, {pairs.where[missing[0]]} has no value in --topics {plain(name)}. Fill it, "
            "or leave the row out."
        )
    names, codes = np.unique([f"{value}" for value in column], return_inverse=True)
    if not 2 <= len(names) <= MOST_TOPICS:
        raise ValueError(
            f"--topics {plain(name)} should have from 2 to {MOST_TOPICS} topics of prompts, but "
            f"has {len(names):,}. Name a column of kinds."
        )
    return np.eye(len(names))[codes.reshape(-1)], names.tolist()


def _as_numbers(values, name: str, pairs: Mapping, place: str) -> np.ndarray:
    numbers = np.empty(len(values))
    for row, value in enumerate(values.tolist()):
        try:
            numbers[row] = float(value)
        except (TypeError, ValueError):
            numbers[row] = np.nan
        if not np.isfinite(numbers[row]):
            raise ValueError(
                f"{place}, {pairs['where'][row]} has {value!r:.40} in --style {plain(name)}, which "
                "takes numbers. Fill it, or leave the row out."
            )
    return numbers
