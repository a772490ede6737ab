"""Two responses a row and a list of votes that says who gave each."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from sklearn_codex._checks.frames import is_missing
from sklearn_codex._layouts.base import Columns, Comparison, Form, Layout, fold
from sklearn_codex._layouts.cells import decode, present
from sklearn_codex._layouts.given import Given
from sklearn_codex._layouts.pairs import PairNames, find_pairs
from sklearn_codex._layouts.prompts import PromptColumns, find_prompt
from sklearn_codex._layouts.ranking import counted, plural
from sklearn_codex._layouts.scores import asks_for_columns
from sklearn_codex._layouts.words import LABELS, LISTS_OF_VOTES

Row = Mapping[str, Any]
_WHO = ("annotator", "annotator_id", "worker", "worker_id", "user", "user_id", "rater", "rater_id",
        "judge", "completed_by")  # fmt: skip
_WHAT = (*LABELS, "value", "rating", "score", "answer")


class NamedVotesLayout(Layout):
    """Two responses and a list of votes, of which each is a pair of its own.

    Parameters
    ----------
    prompt : PromptColumns
    pair : PairNames
        The columns of the responses.
    column : str
        The column of the list, of dicts of a label and who gave it.
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
        return isinstance(other, NamedVotesLayout) and self.used == other.used

    def read(self, row: Row, where: str) -> Iterator[Comparison]:
        """Generate a pair a vote."""
        prompt = self.prompt.read(row, where)
        votes = list(self._votes(decode(row[self.column]), where))
        self.n_rows += 1
        self.n_votes += len(votes)
        self.n_without += not votes
        for key, label, who in votes:
            form = Form(self.pair.first, self.pair.second, key)
            first, second = row[form.first], row[form.second]
            yield Comparison(form, where, prompt, first, second, label, 1 / len(votes), who)

    def _votes(self, value: Any, where: str) -> Iterator[tuple[str, Any, Any]]:
        """Generate what the label is called, the label, and who gave it."""
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
        self.notes.append(
            f"{votes} of {rows} in {self.column} became a pair each; those of one row weigh 1 "
            "together."
        )
        self.notes.extend(counted(("Without a vote, so without a pair", self.n_without, "row")))
        return ()


def find_votes(columns: Columns, row: Row, given: Given, where: str) -> Layout | None:
    """Return the layout of rows of two responses with a list of votes that says who gave each."""
    if asks_for_columns(given) or given.label is not None:
        return None
    pairs = [pair for pair in find_pairs(columns, row) if not pair.oriented]
    labels = [columns[name] for name in (*LABELS, *LISTS_OF_VOTES) if name in columns]
    labels = [column for column in dict.fromkeys(labels) if column not in pairs[:1]]
    if len(pairs) != 1 or len(labels) != 1 or not _say_who(decode(row[labels[0]])):
        return None
    pair, column = pairs[0], labels[0]
    used = (*pair[:2], column)
    rest = {name: kept for name, kept in columns.items() if kept not in used}
    return NamedVotesLayout(find_prompt(rest, given, where, row), pair, column)


def _say_who(value: Any) -> bool:
    """Return whether votes name who gave them."""
    if not isinstance(value, list) or not value or not isinstance(value[0], Mapping):
        return False
    names = {fold(key) for key in present(value[0])}
    return not names.isdisjoint(_WHAT) and not names.isdisjoint(_WHO)


FINDERS: tuple[Callable, ...] = (find_votes,)
