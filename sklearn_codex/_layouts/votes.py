"""Two responses a row and the votes of several people: counted, or listed one by one."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from sklearn_codex._checks.frames import is_missing
from sklearn_codex._layouts.base import Columns, Comparison, Form, Layout, fold
from sklearn_codex._layouts.cells import as_number, decode, present
from sklearn_codex._layouts.columns import LABELS, PairNames, find_pairs
from sklearn_codex._layouts.given import Given
from sklearn_codex._layouts.prompts import PromptColumns, find_prompt
from sklearn_codex._layouts.ranking import counted, plural
from sklearn_codex._layouts.scores import asks_for_columns

Row = Mapping[str, Any]
_VOTES = frozenset(("vote", "votes", "wins", "win_count", "num_votes", "n_votes", "vote_count",
                    "votes_for", "num_preferred", "n_preferred"))  # fmt: skip
_TIES = ("votes_tie", "tie_votes", "votes_ties", "ties", "n_ties", "num_ties", "votes_equal")
_LISTS = ("annotations", "votes", "judgments", "judgements", "labels", "ratings", "preferences",
          "individual_preference", "annotator_votes", "evaluations")  # fmt: skip
_WHO = ("annotator", "annotator_id", "worker", "worker_id", "user", "user_id", "rater", "rater_id",
        "judge", "completed_by")  # fmt: skip
_WHAT = (*LABELS, "value", "rating", "score", "answer")


class CountsLayout(Layout):
    """Two responses and how many voted for each: the share of the first is the label."""

    def __init__(
        self,
        prompt: PromptColumns,
        pair: PairNames,
        votes: tuple[str, str],
        ties: str,
        given: Given,
    ):
        names = {pair.first, pair.second, *votes, ties} - {""}
        super().__init__("two responses with counts of votes", prompt.used | names)
        self.prompt, self.votes, self.ties = prompt, votes, ties
        self.form = Form(pair.first, pair.second)
        self.n_without = 0
        self.notes.append(
            f"The share of {votes[0]} in all votes{', ties as half of one,' if ties else ''} is "
            "the label. A row weighs 1 whatever the number of its votes; if they should count, say "
            f"{given.say('weight', 'NAME')} with a column of how many there are."
        )

    def read(self, row: Row, where: str) -> Iterator[Comparison]:
        """Generate the pair of a row, none where nobody voted."""
        first, second, ties = (
            (as_number(row.get(name), name, where) or 0.0) if name else 0.0
            for name in (*self.votes, self.ties)
        )
        if min(first, second, ties) < 0:
            raise ValueError(
                f"{where} has {first:g} and {second:g} votes. Numbers of votes are not negative."
            )
        total = first + second + ties
        if not total:
            self.n_without += 1
            return
        form = self.form
        share = (first + ties / 2) / total
        prompt = self.prompt.read(row)
        yield Comparison(form, where, prompt, row[form.first], row[form.second], share)

    def covers(self, other: Layout) -> bool:
        """Return whether both read the same columns."""
        return isinstance(other, CountsLayout) and self.used == other.used

    def finish(self) -> Iterable[Comparison]:
        """Note how many rows have no vote."""
        self.notes.extend(counted(("Without a vote, so without a pair", self.n_without, "row")))
        return ()


class VotesLayout(Layout):
    """Two responses and a list of votes, of which each is a pair of its own.

    Parameters
    ----------
    prompt : PromptColumns
    pair : PairNames
        The columns of the responses.
    column : str
        The column of the list: labels, or dicts of a label and who gave it; or a dict of labels by
        who gave them.
    """

    def __init__(self, prompt: PromptColumns, pair: PairNames, column: str):
        super().__init__(
            "two responses with the votes of several",
            prompt.used | {pair.first, pair.second, column},
        )
        self.prompt, self.pair, self.column = prompt, pair, column
        self.n_rows = self.n_votes = self.n_without = 0

    def covers(self, other: Layout) -> bool:
        """Return whether both read the same columns."""
        return isinstance(other, VotesLayout) and self.used == other.used

    def read(self, row: Row, where: str) -> Iterator[Comparison]:
        """Generate a pair a vote."""
        prompt = self.prompt.read(row)
        votes = list(self._votes(decode(row[self.column]), where))
        self.n_rows += 1
        self.n_votes += len(votes)
        self.n_without += not votes
        for key, label, who in votes:
            form = Form(self.pair.first, self.pair.second, key)
            first, second = row[form.first], row[form.second]
            yield Comparison(form, where, prompt, first, second, label, annotator=who)

    def _votes(self, value: Any, where: str) -> Iterator[tuple[str, Any, Any]]:
        """Generate what the label is called, the label, and who gave it."""
        if isinstance(value, Mapping):
            yield from ((self.column, vote, who) for who, vote in present(value).items())
            return
        if not isinstance(value, list):
            raise ValueError(
                f"{where} has {self.column} = {value!r:.60}, where other rows have a list of votes."
                " Write such a list, also of one vote."
            )
        for position, vote in enumerate(value):
            if is_missing(vote):
                continue
            if not isinstance(vote, Mapping):
                yield self.column, vote, None
                continue
            names = {fold(key): key for key in present(vote)}
            key = next((names[name] for name in _WHAT if name in names), None)
            if key is None:
                raise ValueError(
                    f"{where} has no label in {self.column}[{position}], which has {list(vote)}. "
                    'Write it under "label".'
                )
            who = next((vote[names[name]] for name in _WHO if name in names), None)
            yield f"{self.column}.{key}", vote[key], who

    def finish(self) -> Iterable[Comparison]:
        """Note how votes became pairs."""
        votes, rows = plural(self.n_votes, "vote"), plural(self.n_rows, "row")
        self.notes.append(f"Each of {votes} of {rows} in {self.column} became a pair of weight 1.")
        self.notes.extend(counted(("Without a vote, so without a pair", self.n_without, "row")))
        return ()


def find_votes(columns: Columns, row: Row, given: Given, where: str) -> Layout | None:
    """Return the layout of rows of two responses with votes, counted or one by one."""
    if asks_for_columns(given) or given.label is not None:
        return None
    pairs = [pair for pair in find_pairs(columns) if not pair.oriented]
    labels = [columns[name] for name in LABELS if name in columns]
    if len(pairs) != 1 or len(labels) > 1:
        return None
    pair = pairs[0]
    rest = {name: column for name, column in columns.items() if column not in pair[:2]}
    counts = None if labels else _find_counts(rest, pair)
    if counts is not None:
        ties = next((rest[name] for name in _TIES if name in rest), "")
        for name in (*counts, ties):
            rest.pop(fold(name), None)
        return CountsLayout(find_prompt(rest, given, where), pair, counts, ties, given)
    lists = labels or [rest[name] for name in _LISTS if name in rest]
    column = lists[0] if lists else None
    if column is None or not _are_votes(decode(row[column])):
        return None
    rest.pop(fold(column))
    return VotesLayout(find_prompt(rest, given, where), pair, column)


def _are_votes(value: Any) -> bool:
    if isinstance(value, Mapping):
        return bool(value)
    if not isinstance(value, list) or not value:
        return False
    if isinstance(value[0], Mapping):
        return not {fold(key) for key in value[0]}.isdisjoint(_WHAT)
    return isinstance(value[0], (str, int, float))


def _find_counts(columns: Columns, pair: PairNames) -> tuple[str, str] | None:
    """Return the columns of the votes for the first and for the second response."""
    one, other = _markers(fold(pair.first), fold(pair.second))
    for name, column in columns.items():
        words = re.split(r"_|(?<=[a-z])(?=[0-9])", name)
        if one not in words or "_".join(word for word in words if word != one) not in _VOTES:
            continue
        second = re.sub(rf"(?<![a-z0-9]){one}(?![a-z0-9])", other, name)
        second = second if second != name else name.replace(one, other)
        if second in columns and second != name:
            return column, columns[second]
    return None


def _markers(first: str, second: str) -> tuple[str, str]:
    """Return the words in which the names of two columns differ."""
    parts = (re.split(r"_|(?<=[a-z])(?=[0-9])", name) for name in (first, second))
    return next((one, other) for one, other in zip(*parts, strict=True) if one != other)


FINDERS: tuple[Callable, ...] = (find_votes,)
