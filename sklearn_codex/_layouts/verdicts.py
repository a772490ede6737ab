"""What tells which of two responses is better: a label, one-hot columns, votes or scores."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sklearn_codex._checks.frames import is_missing
from sklearn_codex._conversations.cells import decode_cell
from sklearn_codex._labels.onehot import onehot_meanings
from sklearn_codex._labels.sides import Sides, read_sides
from sklearn_codex._labels.words import says_both_bad
from sklearn_codex._layouts.base import Columns, fold
from sklearn_codex._layouts.tallies import (
    CellCounts,
    Counts,
    OneHot,
    Scores,
    counts_in,
    list_of,
    mark_of,
)
from sklearn_codex._layouts.words import (
    CHANCES,
    LABELS,
    LISTS_OF_VOTES,
    OF_MODELS,
    PEOPLE,
    SCORES,
    TIES,
    VOTES,
    WEAK_LABELS,
    WINS,
    WORSE_LABELS,
    is_list,
    is_scalar,
    name_tokens,
    replace,
)

RANKS = frozenset(("rank", "ranking"))
Direction = Callable[[str], float]


@dataclass(frozen=True)
class Verdict:
    """Where a file says which of two responses is better.

    Parameters
    ----------
    columns : tuple of str
        The columns.
    kind : {"label", "one-hot", "votes", "counts", "scores"}
        What they hold.
    read : callable, default=None
        From a row and where it is to the probability that the first response is preferred; None
        for labels and votes, whose meaning shows in all rows together.
    note : str, default=""
        What a reader should know of it.
    bad : tuple of str, default=()
        Those of one-hot columns that say that both responses are bad, which is a tie.
    """

    columns: tuple[str, ...]
    kind: str = "label"
    read: Callable[[Mapping[str, Any], str], float] | None = None
    note: str = ""
    bad: tuple[str, ...] = ()

    def says_both_bad(self, row: Mapping[str, Any]) -> bool:
        """Return whether a row, which has been read, says that both responses are bad."""
        return any(mark_of(row.get(name)) == 1 for name in self.bad)


def find_verdicts(
    first: str, second: str, columns: Columns, row: Mapping[str, Any]
) -> list[Verdict]:
    """Return what may tell the better of two responses, the kinds that say it most plainly first.

    Of several of one kind none is better than another, so all of them are returned.
    """
    rest = {name: column for name, column in columns.items() if column not in (first, second)}
    onehot = _find_onehot(first, second, rest) or _find_marks(first, second, rest, row)
    taken = {column for verdict in onehot for column in verdict.columns}
    single = {name: column for name, column in rest.items() if column not in taken}
    return (
        _find_labels(first, second, single, row)
        or onehot
        or _find_votes(first, second, rest, row)
        or _find_scores(first, second, rest, row)
    )


def verdict_with(
    label: str, first: str, second: str, columns: Columns, row: Mapping[str, Any], score: Direction
) -> Verdict:
    """Return what tells the better of two responses, of which the caller names a column.

    That of one of the responses says nothing without that of the other: votes_a without votes_b.

    Parameters
    ----------
    label : str
        The column.
    first, second, columns, row
        As in :func:`find_verdicts`.
    score : callable
        From the name of a column of scores to 1, or -1 where the smaller is the better.
    """
    rest = {name: column for name, column in columns.items() if column not in (first, second)}
    for verdict in _find_onehot(first, second, rest):
        if label in verdict.columns:
            return verdict
    for verdict in _find_cell_counts(first, second, {label: label}, row):
        return verdict
    both = of_both(label, first, second, rest)
    if both is None:
        return Verdict((label,))
    sign = score(label)
    return Verdict(both, "scores", Scores(both, sign), _say_scores(*both, sign))


def of_both(label: str, first: str, second: str, columns: Columns) -> tuple[str, str] | None:
    """Return the columns that say the same of each response; None if one says it of both.

    They are told apart as the responses are, score_a and score_b, or have their names, of
    responses gpt-4o and ours gpt-4o_score and ours_score.
    """
    tokens = name_tokens(label)
    if not _ABOUT_BOTH.isdisjoint(tokens):
        return None
    named = {tuple(name_tokens(column)): column for column in columns.values()}
    one, two = read_sides(first, second).markers
    for pair in (((one,), (two,)), (tuple(name_tokens(first)), tuple(name_tokens(second)))):
        for at, (own, other) in enumerate((pair, pair[::-1])):
            twins = [counterpart for counterpart, _ in replace(tokens, own, other)]
            if len(twins) == 1 and twins[0] in named and not set(other) & set(tokens) - {*own}:
                both = label, named[twins[0]]
                return both if at == 0 else both[::-1]
    return None


_ABOUT_BOTH = frozenset((*LABELS, *PEOPLE, *WINS, "vote", "annotation"))
"""Words for what is said of both responses: preference_1 may be what the first of some said."""


def _find_labels(first, second, columns: Columns, row) -> list[Verdict]:
    found = [column for name, column in columns.items() if name.split(".")[-1] in LABELS]
    texts = [row[name] for name in (first, second) if isinstance(row[name], str)]
    found = [name for name in found if is_scalar(row[name]) or row[name] in texts]
    if not found:
        found = [
            column
            for column in columns.values()
            if is_scalar(row[column]) and _speaks_of_one(column, first, second)
        ]
    for names in (WORSE_LABELS, WEAK_LABELS):
        if not found:
            found = [columns[name] for name in columns if name in names]
            found = [column for column in found if is_scalar(row[column])]
    return [Verdict((column,)) for column in found]


def _speaks_of_one(column: str, first: str, second: str) -> bool:
    """Return whether a column such as a_is_better says whether one response is preferred."""
    sides = read_sides(first, second)
    tokens = name_tokens(column)
    named = [token for token in tokens if token in sides.markers]
    beside = {"model", "is", "over", "than", "that", *sides.markers, *sides.shared}
    return (
        bool(named)
        and set(tokens) <= WINS | CHANCES | beside
        and not ((WINS | CHANCES).isdisjoint(tokens))
    )


def _find_onehot(first, second, columns: Columns) -> list[Verdict]:
    sides = read_sides(first, second)
    beside = {"label", "is", "n", "num", "number", "for", "of"}
    stems = _stems_of(columns, sides, WINS | VOTES | beside)
    ties = stems.pop(frozenset(), [])
    ties = [column for column in ties if not TIES.isdisjoint(name_tokens(column))]
    found = []
    for stem, names in stems.items():
        names = names if any(set(name_tokens(name)) & TIES for name in names) else names + ties
        if not VOTES.isdisjoint(stem):
            found += _as_counts(names, sides)
        elif meanings := onehot_meanings(names, first, second):
            read = OneHot(tuple(meanings), tuple(meanings.values()), first, second)
            bad = tuple(filter(says_both_bad, names))
            found.append(Verdict(tuple(names), "one-hot", read, bad=bad))
    return found


def _stems_of(columns: Columns, sides: Sides, allowed) -> dict[frozenset[str], list[str]]:
    """Return the columns that speak of one side or of a tie, by what else their names say."""
    stems: dict[frozenset[str], list[str]] = {}
    for column in columns.values():
        tokens = set(name_tokens(column))
        how = {"good", "bad", "are"} if tokens & TIES else set()
        stem = frozenset(tokens - {*sides.markers} - TIES - how - {"model", *sides.shared})
        if tokens & {*sides.markers, *TIES} and stem <= allowed:
            stems.setdefault(stem, []).append(column)
    return stems


_MARKS = frozenset((*LABELS, "vote"))
_OF_MARKS = _MARKS | {
    "answer",
    "is",
    "human",
    "user",
    "soft",
    "hard",
    "gold",
    "gt",
    "final",
    "overall",
}


def _find_marks(first, second, columns: Columns, row) -> list[Verdict]:
    """Return the columns that have a mark for each response, such as label_0 and label_1.

    Of three such columns, label_1 to label_3, each is what one person said.
    """
    sides = read_sides(first, second)
    voted = vote_columns(columns.values(), first, second)
    found = []
    for stem, names in _stems_of(columns, sides, _OF_MARKS).items():
        of_side = [[name for name in names if m in name_tokens(name)] for m in sides.markers]
        ties = [name for name in names if not TIES.isdisjoint(name_tokens(name))]
        names = [*of_side[0], *of_side[1], *ties]
        is_pair = [len(side) for side in of_side] == [1, 1] and len({*names}) == len(names)
        if stem.isdisjoint(_MARKS) or not is_pair or not {*voted}.isdisjoint(names):
            continue
        if all(mark_of(row[name]) is not None for name in names):
            meanings = (1.0, 0.0, *[0.5] * len(ties))
            note = f"{' and '.join(names)} say of each response how far it is the better one."
            read = OneHot(tuple(names), meanings, first, second, is_sure=False)
            found.append(Verdict(tuple(names), "one-hot", read, note))
    return found


def _as_counts(names: list[str], sides) -> list[Verdict]:
    of_side = [[name for name in names if m in name_tokens(name)] for m in sides.markers]
    ties = [name for name in names if not TIES.isdisjoint(name_tokens(name))]
    if [len(side) for side in of_side] != [1, 1]:
        return []
    one, two = of_side[0][0], of_side[1][0]
    read = Counts(one, two, tuple(ties))
    note = f"The label is the share of {one} among all votes."
    return [Verdict((one, two, *ties), "counts", read, note)]


def _find_scores(first, second, columns: Columns, row) -> list[Verdict]:
    sides = read_sides(first, second)
    found: dict[tuple[str, ...], dict[str, str]] = {}
    for column in columns.values():
        tokens = name_tokens(column)
        named = [token for token in tokens if token in sides.markers]
        stem = tuple(token for token in tokens if token not in (*named, *sides.shared, "model"))
        if len(named) == 1 and len(stem) == 1 and stem[0] in SCORES | RANKS:
            found.setdefault(stem, {})[named[0]] = column
    pairs = [
        Verdict((one, two), "scores", Scores((one, two), -1.0 if stem[0] in RANKS else 1.0),
                _say_scores(one, two, -1.0 if stem[0] in RANKS else 1.0))
        for stem, names in found.items()
        if (one := names.get(sides.markers[0])) and (two := names.get(sides.markers[1]))
    ]  # fmt: skip
    lists = [column for name, column in columns.items() if name in SCORES]
    for column in lists:
        values = list_of(row[column])
        if values is not None and len(values) == 2 and not pairs:
            note = f"The response with the greater of the two numbers of {column} is the better."
            pairs.append(Verdict((column,), "scores", Scores((column,)), note))
    return pairs


def _say_scores(one: str, two: str, sign: float) -> str:
    which = "smaller" if sign < 0 else "greater"
    return (
        f"There is no label: of {one} and {two} the {which} belongs to the better response, and "
        "equal ones are a tie."
    )


def _find_votes(first, second, columns: Columns, row) -> list[Verdict]:
    names = vote_columns(columns.values(), first, second)
    names = [name for name in names if is_scalar(row[name])]
    note = "Each label is the mean of the votes of a row"
    if len(names) > 1:
        return [Verdict(tuple(names), "votes", note=f"{note}: {', '.join(names)}.")]
    # Of what annotators hold, {"A": 1, "B": 0} is what the persons A and B said.
    cells = {n: c for n, c in columns.items() if _counts(c) or n in LABELS}
    return _find_cell_counts(first, second, cells, row) or [
        Verdict((column,), "votes", note=f"{note}, {column}.")
        for name, column in columns.items()
        if name in LISTS_OF_VOTES and votes_in(row[column]) is not None
    ]


def _find_cell_counts(first, second, columns: Columns, row) -> list[Verdict]:
    """Return the columns whose cells count the votes for each response."""
    sides = read_sides(first, second)
    return [
        Verdict(
            (column,),
            "counts",
            CellCounts(column, sides, _counts(column)),
            f"The label is the share of {first} among all votes in {column}.",
        )
        for column in columns.values()
        if counts_in(row[column], sides) is not None
    ]


def _counts(name: str) -> bool:
    """Return whether a name says that it holds counts."""
    return not (VOTES | {"vote"}).isdisjoint(name_tokens(name))


def vote_columns(names, first: str, second: str) -> list[str]:
    """Return the columns that hold a vote of one person each, such as annotator1 and annotator2.

    Of columns such as vote_1 and vote_2 beside response_1 and response_2 nothing tells whether
    these are two votes, or one for each response: they are none.
    """
    markers = set(read_sides(first, second).markers)
    stems: dict[tuple[str, ...], dict[str, str]] = {}
    for name in names:
        tokens = name_tokens(name)
        numbers = [token for token in tokens if token.isdecimal()]
        if len(numbers) == 1:
            stem = tuple(token for token in tokens if token not in numbers)
            stems.setdefault(stem, {})[numbers[0]] = name
    found = []
    for stem, of_number in stems.items():
        people = any(token in PEOPLE for token in stem)
        known = bool(stem) and set(stem) <= PEOPLE | {*LABELS} | VOTES | {
            "annotation",
            "human",
            "vote",
        }
        if known and (people or (len(of_number) > 2 or not markers & of_number.keys())):
            found.append(list(of_number.values()))
    return max(found, key=len) if found else []


def votes_in(value: Any) -> dict[str, Any] | None:
    """Return who voted and how, of a cell that holds a list or a dict of votes; else None."""
    if isinstance(value, str):
        value = decode_cell(value)
    if isinstance(value, Mapping):
        votes = {str(key): vote for key, vote in value.items() if not is_missing(vote)}
    elif is_list(value):
        items = [item.tolist() if hasattr(item, "tolist") else item for item in value]
        votes = {str(number): item for number, item in enumerate(items) if not _is_none(item)}
    else:
        return None
    votes = {who: _vote_of(vote) for who, vote in votes.items()}
    if not votes or not all(is_scalar(vote) and vote is not None for vote in votes.values()):
        return None
    return votes


def _is_none(item: Any) -> bool:
    return not is_list(item) and is_missing(item)


_VOTE_KEYS = ("value", "vote", "label", "preference", "winner", "choice", "score", "judgment")


def _vote_of(vote: Any) -> Any:
    """Return the vote in a dict that says more, such as who gave it."""
    if not isinstance(vote, Mapping):
        return vote
    found = {fold(key): entry for key, entry in vote.items() if not is_missing(entry)}
    return next((found[key] for key in _VOTE_KEYS if key in found), None)


def model_columns(first: str, second: str, columns: Columns) -> tuple[str, str] | None:
    """Return the columns that name the models of two responses, such as model_a and model_b."""
    markers = read_sides(first, second).markers
    found: Iterator[list[str]] = (
        [
            column
            for column in columns.values()
            if marker in (tokens := name_tokens(column)) and set(tokens) - {marker} <= OF_MODELS
            and "id" not in tokens
        ]
        for marker in markers
    )  # fmt: skip
    one, two = found
    return (one[0], two[0]) if len(one) == 1 and len(two) == 1 else None
