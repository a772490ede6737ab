"""Rows of several responses and which of them is the best."""

import string
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from sklearn_codex._checks.frames import is_missing
from sklearn_codex._layouts.base import Columns, Comparison, Form, Layout, fold
from sklearn_codex._layouts.cells import as_responses, decode, is_conversation
from sklearn_codex._layouts.choices import cross_pairs
from sklearn_codex._layouts.given import Given
from sklearn_codex._layouts.numbered import numbered_responses
from sklearn_codex._layouts.pairs import find_pairs
from sklearn_codex._layouts.prompts import PromptColumns, find_prompt
from sklearn_codex._layouts.ranked import as_items, as_named, names_responses
from sklearn_codex._layouts.ranking import Candidate, check_size, counted
from sklearn_codex._layouts.scores import asks_for_columns, text_key
from sklearn_codex._layouts.words import LABELS

Row = Mapping[str, Any]
BEST = frozenset((
    "best", "better", "chosen", "preferred", "winner", "winning", "selected", "accepted", "top"
))  # fmt: skip
POINTERS = frozenset((
    "index", "idx", "id", "response", "answer", "completion", "output", "candidate", "choice",
    "number"
))  # fmt: skip


class Choice(NamedTuple):
    """What one row says of its responses."""

    where: str
    row: Row
    responses: dict[str, Any]  # what each is called, and the response
    label: Any
    column: str  # that of the label


class BestLayout(Layout):
    """Several responses and which is the best, of which the best is paired with each other one.

    Whether numbers count from 0 or from 1 shows only in all rows together: none of them is 0, or
    none of them is the number of responses.

    Parameters
    ----------
    name, prompt
        As in :class:`RankingLayout`.
    columns : list of str
        The column of the list of responses, or one column a response.
    label : str
        The column that says which is the best.
    given : Given
        What the caller says; its convention "index" counts from 0, "one_two" from 1.
    """

    across_rows = True
    reads_convention = True

    def __init__(
        self, name: str, prompt: PromptColumns, columns: list[str], label: str, given: Given
    ):
        super().__init__(name, prompt.used | {*columns, label})
        self.prompt, self.columns, self.label, self.given = prompt, columns, label, given
        self.choices: list[Choice] = []
        self.notes += filter(None, [prompt.describe()])

    def covers(self, other: Layout) -> bool:
        """Return whether both read the same columns."""
        return isinstance(other, BestLayout) and self.used == other.used

    def read(self, row: Row, where: str) -> Iterable[Comparison]:
        """Return the pair of two responses; those of more are known when all rows are."""
        responses = self.responses(row, where)
        check_size(len(responses), where)
        label = row.get(self.label)
        if is_missing(label):
            raise ValueError(f"{where} has no {self.label}. Fill it in, or leave the row out.")
        if len(responses) == 2 and fold(self.label) in LABELS:
            (first, one), (second, other) = responses.items()
            form = Form(first, second, self.label)
            return [Comparison(form, where, self.prompt.read(row, where), one, other, label)]
        self.choices.append(Choice(where, row, responses, label, self.label))
        return ()

    def responses(self, row: Row, where: str) -> dict[str, Any]:
        """Return the responses of a row by what each is called."""
        if len(self.columns) > 1:
            found = {name: row.get(name) for name in self.columns}
            while found and is_missing(list(found.values())[-1]):
                found.popitem()
            return found
        column = self.columns[0]
        items = as_items(row[column]) or []
        if items and all(text_key(item) for item in items):
            return {f"{column}[{k}]": item[text_key(item)] for k, item in enumerate(items)}
        entries = as_named(row[column], column)
        if entries is None:
            raise ValueError(
                f"{where} has {column} = {row[column]!r:.60}, where other rows have a list of "
                "responses. Write such a list, also in this row."
            )
        return {f"{column}{key}": text for key, text in entries.items()}

    def finish(self) -> Iterator[Comparison]:
        """Generate the pairs of the best of each row and the others, which weigh 1 together."""
        if not self.choices:
            return
        base = self.find_base()
        n_alone = 0
        for choice in self.choices:
            best = self.position(choice, base)
            n_alone += len(choice.responses) < 2
            candidates = [
                Candidate(name, text, float(position == best))
                for position, (name, text) in enumerate(choice.responses.items())
                if not is_missing(text)
            ]
            for pair in cross_pairs(
                candidates, self.prompt.read(choice.row, choice.where), choice.where
            ):
                yield pair._replace(row=choice.row)
        self.notes.append(
            f"{self.label} says which response of a row is the best"
            + (f", counted from {base}" if base is not None else "")
            + "; it is paired with each other one, and the pairs of a row weigh 1 together."
        )
        self.notes.extend(counted(("Of one response, so without a pair", n_alone, "row")))

    def find_base(self) -> int | None:
        """Return what numbers count from; None if there are none."""
        numbered = [choice for choice in self.choices if named_in(choice) is None]
        if not numbered:
            return None
        for choice in numbered:
            self._check_number(choice)
        if self.given.convention in ("index", "one_two"):
            return int(self.given.convention == "one_two")
        from_0 = next((c for c in numbered if _number(c.label) == 0), None)
        from_1 = next((c for c in numbered if _number(c.label) == len(c.responses)), None)
        if from_0 is not None and from_1 is not None:
            raise ValueError(
                f"{from_0.where} has {from_0.column} = 0, so that it counts from 0, but "
                f"{from_1.where} has {from_1.column} = {from_1.label!r} of {len(from_1.responses)} "
                "responses, so that it counts from 1. Correct one of them."
            )
        if from_0 is None and from_1 is None:
            one = numbered[0]
            number, names = _number(one.label), list(one.responses)
            raise ValueError(
                f"{one.where} has {one.column} = {one.label!r}, which is {names[number]} counted "
                f"from 0 and {names[number - 1]} counted from 1; no row tells which. Say "
                f"{self.given.say('convention', 'index')} for the one, "
                f"{self.given.say('convention', 'one_two')} for the other."
            )
        return 0 if from_1 is None else 1

    def _check_number(self, choice: Choice) -> None:
        if not 0 <= _number(choice.label) <= len(choice.responses):
            raise ValueError(
                f"{choice.where} has {choice.column} = {choice.label!r:.60}, which is none of its "
                f"{len(choice.responses)} responses. Write a number, a letter, or the response "
                "itself."
            )

    def position(self, choice: Choice, base: int | None) -> int:
        """Return which of its responses a label means."""
        named = named_in(choice)
        position = _number(choice.label) - (base or 0) if named is None else named
        if 0 <= position < len(choice.responses):
            return position
        raise ValueError(
            f"{choice.where} has {choice.column} = {choice.label!r:.60} of {len(choice.responses)} "
            f"responses, where other rows count from {base}. Correct it."
        )


def _number(label: Any) -> int:
    """Return a whole number, -1 for what is none."""
    with suppress(TypeError, ValueError, OverflowError):
        if not isinstance(label, bool) and float(label) == int(float(label)):
            return int(float(label))
    return -1


def named_in(choice: Choice) -> int | None:
    """Return the position of the response that a label names by letter, key, column or text."""
    label = decode(choice.label) if not isinstance(choice.label, str) else choice.label
    texts = list(choice.responses.values())
    if _number(label) >= 0:
        return None
    if texts.count(label) == 1:
        return texts.index(label)
    said = fold(label)
    names = [fold(name) for name in choice.responses]
    for known in (names, [name.split("[")[-1].removesuffix("]") for name in names]):
        if known.count(said) == 1:
            return known.index(said)
    letter = said.split("_")[-1].strip(".()[]")
    if len(letter) == 1 and letter in string.ascii_lowercase[: len(texts)]:
        return string.ascii_lowercase.index(letter)
    return None


def _names_best(name: str) -> bool:
    words = set(name.split("_"))
    return name in LABELS or (not words.isdisjoint(BEST) and words <= BEST | POINTERS)


def find_best(columns: Columns, row: Row, given: Given, where: str) -> Layout | None:
    """Return the layout of rows with several responses and which is the best."""
    if asks_for_columns(given) or any(pair.oriented for pair in find_pairs(columns)):
        return None
    names = find_responses(columns, row)
    if not names or len(names) == 2:
        return None
    rest = {name: column for name, column in columns.items() if column not in names}
    labels = [column for name, column in rest.items() if _names_best(name)]
    if given.label is not None:
        labels = [columns[fold(given.label)]] if fold(given.label) in rest else []
    labels = [label for label in labels if not isinstance(decode(row[label]), (list, dict))]
    if not labels:
        return None
    if len(labels) > 1:
        raise ValueError(
            f"{where} says in several columns which response is the best: {labels}. Say which is "
            f"meant: {given.say('label', labels[0])} or {given.say('label', labels[1])}."
        )
    rest.pop(fold(labels[0]))
    prompt = find_prompt(rest, given, where, row)
    return BestLayout("several responses and the best", prompt, names, labels[0], given)


def find_responses(columns: Columns, row: Row) -> list[str]:
    """Return the column of a list of responses, or the columns of one each."""
    for name, column in columns.items():
        if names_responses(name) and (texts := texts_in(row[column])) and len(texts) > 1:
            return [column]
    return list(numbered_responses(row).values())


def texts_in(value: Any) -> list | None:
    """Return the responses in a cell that holds several, None if it does not."""
    value = decode(value)
    items = None if is_conversation(value) else as_items(value)
    if items and all(text_key(item) for item in items):
        return [item[text_key(item)] for item in items]
    if isinstance(value, Mapping):
        texts = list(value.values())
        return texts if all(isinstance(text, str) for text in texts) else None
    return as_responses(value)


FINDERS: tuple[Callable, ...] = (find_best,)
