"""Rows of several responses, and columns that say which is the better one and which the worse."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from sklearn_codex._checks.frames import is_missing
from sklearn_codex._layouts.base import Columns, Comparison, Form, Layout
from sklearn_codex._layouts.best import (
    POINTERS,
    BestLayout,
    Choice,
    Row,
    find_responses,
    named_in,
)
from sklearn_codex._layouts.given import Given
from sklearn_codex._layouts.prompts import PromptColumns, find_prompt
from sklearn_codex._layouts.ranking import check_size
from sklearn_codex._layouts.scores import asks_for_columns
from sklearn_codex._layouts.words import ORIENTED, name_tokens, replace


class PointedLayout(BestLayout):
    """Several responses, of which two columns name the better and the worse one of a pair.

    They name them by number, by letter, by the column or by the text.

    Parameters
    ----------
    name, prompt, columns, given
        As in :class:`BestLayout`.
    better, worse : str
        The columns that name the two.
    """

    def __init__(
        self,
        name: str,
        prompt: PromptColumns,
        columns: list[str],
        better: str,
        worse: str,
        given: Given,
    ):
        super().__init__(name, prompt, columns, better, given)
        self.used |= {worse}
        self.worse = worse

    def covers(self, other: Layout) -> bool:
        """Return whether both read the same columns."""
        return isinstance(other, PointedLayout) and self.used == other.used

    def read(self, row: Row, where: str) -> Iterable[Comparison]:
        """Keep a row: what its numbers count from shows in all rows together."""
        responses = self.responses(row, where)
        check_size(len(responses), where)
        for column in (self.label, self.worse):
            label = row.get(column)
            if is_missing(label) or label == "":
                raise ValueError(f"{where} has no {column}. Fill it in, or leave the row out.")
            self.choices.append(Choice(where, row, responses, label, column))
        return ()

    def finish(self) -> Iterator[Comparison]:
        """Generate the pair of each row, in the order in which the row has the two."""
        if not self.choices:
            return
        base = self.find_base()
        for better, worse in zip(self.choices[::2], self.choices[1::2], strict=True):
            at = self.position(better, base), self.position(worse, base)
            if at[0] == at[1]:
                raise ValueError(
                    f"{better.where} has {better.column} = {better.label!r:.60} and {worse.column} "
                    f"= {worse.label!r:.60}, which is one response. Correct it, or leave the row "
                    "out."
                )
            names, texts = list(better.responses), list(better.responses.values())
            first, second = sorted(at)
            yield Comparison(
                Form(names[first], names[second]),
                better.where,
                self.prompt.read(better.row, better.where),
                texts[first],
                texts[second],
                float(at[0] == first),
                row=better.row,
            )
        counted = f", counted from {base}" if base is not None else ""
        self.notes.append(
            f"{self.label} and {self.worse} say which response is the better one and which the "
            f"worse{counted}."
        )


def find_pointed(columns: Columns, row: Row, given: Given, where: str) -> Layout | None:
    """Return the layout of rows whose chosen and rejected, say, name two of their responses.

    Raises
    ------
    ValueError
        If they can be texts as well.
    """
    if asks_for_columns(given) or given.label is not None:
        return None
    names = find_responses(columns, row)
    rest = {name: column for name, column in columns.items() if column not in names}
    pairs = _pairs_of_pointers(rest) if names else []
    if len(pairs) != 1:
        return None
    better, worse = pairs[0]
    prompt_of = {name: column for name, column in rest.items() if column not in pairs[0]}
    layout = PointedLayout(
        "several responses, the better and the worse",
        find_prompt(prompt_of, given, where, row),
        names,
        better,
        worse,
        given,
    )
    responses = layout.responses(row, where)
    if not responses:
        return None
    choices = [Choice(where, row, responses, row[name], name) for name in pairs[0]]
    if not all(map(_is_short, choices)) or not all(_points(choice) for choice in choices):
        return None
    texts = [choice.label in responses.values() for choice in choices]
    if all(texts):
        _refuse_both(choices, given)
        return None
    return layout


def _pairs_of_pointers(columns: Columns) -> list[tuple[str, str]]:
    """Return columns for the better and the worse, called so and, perhaps, index or id."""
    of_tokens = {tuple(name_tokens(column)): column for column in columns.values()}
    found = []
    there = {token for tokens in of_tokens for token in tokens}
    for one, other in (pair for pair in ORIENTED if there.issuperset(pair[0] + pair[1])):
        for tokens, column in of_tokens.items():
            for counterpart, rest in replace(list(tokens), one, other):
                if counterpart in of_tokens and POINTERS.issuperset(rest):
                    found.append((column, of_tokens[counterpart]))
    return list(dict.fromkeys(found))


def _is_short(choice: Choice) -> bool:
    return len(str(choice.label).strip()) <= max(len(name) for name in choice.responses) + 2


def _points(choice: Choice) -> bool:
    """Return whether a label names a response of its row by a number or otherwise."""
    return named_in(choice) is not None or is_number_of(choice)


def is_number_of(choice: Choice) -> bool:
    """Return whether a label is a number that a response of its row can have."""
    text = str(choice.label).strip()
    number = text.removesuffix(".0")
    return number.isdecimal() and int(number) <= len(choice.responses)


def _refuse_both(choices: list[Choice], given: Given) -> None:
    """Raise where numbers stand among the responses, which they can name or be."""
    one, other = choices
    texts = list(one.responses.values())
    if not all(map(is_number_of, choices)):
        return
    at = int(float(str(one.label)))
    if at >= len(texts) or texts[at] == one.label:
        return
    raise ValueError(
        f"{one.where} has {one.column} = {one.label!r}, which can be the text {one.label!r}, or "
        f"the number of {list(one.responses)[at]}, {texts[at]!r:.60}. Say "
        f"{given.say('chosen', one.column)} and {given.say('rejected', other.column)} for texts; "
        "write the texts for numbers."
    )


FINDERS: tuple[Callable[[Columns, Any, Given, str], Layout | None], ...] = (find_pointed,)
