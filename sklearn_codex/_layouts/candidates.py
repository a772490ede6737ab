"""Files of candidates: a prompt with a list of responses, or with one response a row."""

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from sklearn_codex._checks.frames import is_missing
from sklearn_codex._conversations.split import prompt_text, split_pair
from sklearn_codex._layouts.base import Columns, fold, fold_all
from sklearn_codex._layouts.cells import as_number, as_responses, decode, is_conversation
from sklearn_codex._layouts.given import Given
from sklearn_codex._layouts.prompts import PromptColumns, find_prompt
from sklearn_codex._layouts.ranked import PROMPTS, as_items, names_responses
from sklearn_codex._layouts.reader import is_blank
from sklearn_codex._layouts.scores import text_key
from sklearn_codex._layouts.words import is_textlike
from sklearn_codex._plain import did_you_mean

Row = Mapping[str, Any]


class Candidates(NamedTuple):
    """Candidate responses of prompts, one entry a response.

    Attributes
    ----------
    prompts, responses : list of str
        Texts; "" where a list of responses has no prompt.
    groups : list of int
        Which candidates are of one prompt, from 0 in the order in which prompts appear.
    numbers : dict of list of float
        Numbers of each, such as scores, by what they are called.
    is_list : bool
        Whether rows hold lists of responses.
    layout : str
        What the file was read as.
    n_rows, n_blank : int
        Rows with something in them, and without.
    """

    prompts: list[str]
    responses: list[str]
    groups: list[int]
    numbers: dict[str, list[float]]
    is_list: bool
    layout: str
    n_rows: int
    n_blank: int


class _Columns(NamedTuple):
    """Where a row has its prompt and its responses, and whether these are a list."""

    response: str
    is_list: bool
    prompt: PromptColumns


def read_candidates(
    rows: Iterable[tuple[str, Row]],
    given: Given,
    *,
    response: str | None = None,
    numbers: Mapping[str, str | Sequence[str]] | None = None,
    place: str,
) -> Candidates:
    """Return the candidates of rows.

    Parameters
    ----------
    rows : iterable of (str, mapping)
        Rows with where they stand.
    given : Given
        Of which ``prompt`` and ``groups`` are used.
    response : str, default=None
        Column of the responses; None means that it is found.
    numbers : mapping, default=None
        Columns of numbers, by what they are called: one that has to be there, or names of which the
        first that the first row has is taken.
    place : str
        What errors call the file.

    Raises
    ------
    ValueError
        If a row has no responses, could have them in two columns, or nothing says which rows
        belong together.
    """
    reader = _Reader(given, response, numbers or {})
    n_rows = n_blank = 0
    for where, row in rows:
        if is_blank(row):
            n_blank += 1
            continue
        n_rows += 1
        reader.read(row, where)
    if not n_rows:
        raise ValueError(f"{place} has a header and no record. Pass at least one.")
    return Candidates(
        prompts=reader.prompts,
        responses=reader.responses,
        groups=reader.groups,
        numbers=reader.numbers,
        is_list=bool(reader.is_list),
        layout="a list of responses" if reader.is_list else "one response a row",
        n_rows=n_rows,
        n_blank=n_blank,
    )


class _Reader:
    """Collects candidates from rows, all of them of one form."""

    def __init__(self, given: Given, response: str | None, numbers: Mapping):
        self.given, self.response, self.wanted = given, response, numbers
        self.is_list: bool | None = None
        self.prompts: list[str] = []
        self.responses: list[str] = []
        self.groups: list[int] = []
        self.numbers: dict[str, list[float]] = {}
        self._columns: dict[str, str] | None = None  # of numbers
        self._codes: dict[Hashable, int] = {}
        self._prompt_of: dict[int, str] = {}
        self._n_lists = 0

    def read(self, row: Row, where: str) -> None:
        """Add the candidates of a row."""
        columns = fold_all(name for name in row if not is_missing(row[name]))
        found = self._find(columns, row, where)
        if self.is_list not in (None, found.is_list):
            kinds = ("one response", "a list of responses")[:: 1 if found.is_list else -1]
            raise ValueError(
                f"{where} has {kinds[1]} in {found.response}, where the rows before have "
                f"{kinds[0]}. Write all rows in one way."
            )
        self.is_list = found.is_list
        name = found.response
        values = _responses_of(row[name], name, where) if found.is_list else [row[name]]
        prompt = found.prompt.read(row, where)
        columns_said = ("the prompt", name, name)
        texts = [split_pair(prompt, v, v, columns_said, where).first for v in values]
        asked = "" if prompt is None else prompt_text(prompt, "the prompt", where)
        code = self._code(asked, row, columns, where)
        asked = self._one_prompt(code, asked, where)
        self.prompts += [asked] * len(texts)
        self.responses += texts
        self.groups += [code] * len(texts)
        for role, column in self._find_numbers(columns, row).items():
            found_numbers = self._read_numbers(role, column, row, len(texts), where)
            self.numbers.setdefault(role, []).extend(found_numbers)

    def _find(self, columns: Columns, row: Row, where: str) -> _Columns:
        """Return the columns of a row."""
        response = self._named(columns, row, where) or self._guess(columns, row, where)
        self._check_prompt(row, response[0], where)
        rest = {name: kept for name, kept in columns.items() if kept != response[0]}
        return _Columns(*response, find_prompt(rest, self.given, where, row))

    def _check_prompt(self, row: Row, response: str, where: str) -> None:
        """Raise where the caller names a column of the prompt that there is not."""
        prompt = self.given.prompt
        if prompt is None:
            return
        if fold(prompt) == fold(response):
            raise ValueError(
                f"{where} has {response}, which is said to be the column both of the prompt and of "
                "the responses. Name another for one of them."
            )
        if fold(prompt) not in fold_all(row):
            raise ValueError(
                f"{where} has nothing in the column {prompt!r} of the prompt."
                f"{did_you_mean(prompt, map(str, row))} It has {list(row)}."
            )

    def _named(self, columns: Columns, row: Row, where: str) -> tuple[str, bool] | None:
        """Return the column that the caller names, and whether it has a list."""
        if self.response is None:
            return None
        column = columns.get(fold(self.response))
        if column is None:
            raise ValueError(
                f"{where} has nothing in the column {self.response!r} of the responses."
                f"{did_you_mean(self.response, map(str, row))} It has {list(row)}."
            )
        return column, _is_list(row[column])

    def _guess(self, columns: Columns, row: Row, where: str) -> tuple[str, bool]:
        """Return the one column that has responses by its name, and whether it has a list."""
        asked = PROMPTS | ({fold(self.given.prompt)} if self.given.prompt else set())
        named = {
            name: column
            for name, column in columns.items()
            if names_responses(name) and name not in asked and is_textlike(row[column])
        }
        lists = [column for column in named.values() if _is_list(row[column])]
        single = [column for column in named.values() if column not in lists]
        if len(lists) + len(single) == 1:
            return (*lists, *single)[0], bool(lists)
        option = self.given.say("response", (*lists, *single, "NAME")[0])
        if not lists and not single:
            raise ValueError(
                f"{where} has no column that is named as one of responses; it has {list(row)}. Say "
                f"which has them, a list or one a row: {option}. Responses in several columns "
                "become a list in one first."
            )
        kinds = [f"{column} (a list)" for column in lists] + single
        raise ValueError(
            f"{where} has responses in several columns: {', '.join(kinds)}. Say which are the "
            f"candidates: {option}. Two columns of a pair are for reward and audit."
        )

    def _code(self, prompt: str, row: Row, columns: Columns, where: str) -> int:
        """Return the number of the prompt of a row."""
        key: Hashable = " ".join(prompt.split())
        if self.given.groups is not None:
            column = columns.get(fold(self.given.groups))
            if column is None:
                raise ValueError(
                    f"{where} has nothing in the column {self.given.groups!r}, which says what "
                    "belongs together. Every row needs it."
                    f"{did_you_mean(self.given.groups, map(str, row))} It has {list(row)}."
                )
            key = repr(row[column])
        elif self.is_list:
            self._n_lists += 1
            key = self._n_lists
        elif not key:
            raise ValueError(
                f"{where} has one response and no prompt, so that nothing says which rows belong "
                f"together. Name the column of the prompt, {self.given.say('prompt', 'NAME')}, or "
                f"of what they share, {self.given.say('groups', 'NAME')}."
            )
        return self._codes.setdefault(key, len(self._codes))

    def _one_prompt(self, code: int, prompt: str, where: str) -> str:
        """Return the prompt of a group as its first row writes it."""
        first = self._prompt_of.setdefault(code, prompt)
        if first.split() != prompt.split():
            raise ValueError(
                f"{where} has the prompt {prompt!r:.60}, and rows before it of the same "
                f"{self.given.groups} have {first!r:.60}. Candidates have one prompt. Leave out "
                f"{self.given.say('groups', str(self.given.groups))}."
            )
        return first

    def _find_numbers(self, columns: Columns, row: Row) -> dict[str, str]:
        """Return the columns of numbers, as the first row has them."""
        if self._columns is None:
            self._columns = {}
            for role, names in self.wanted.items():
                if isinstance(names, str):
                    self._columns[role] = names
                    continue
                for name in names:
                    # A list of responses has a list of scores; a single one is of the prompt.
                    if name in columns and self.is_list == isinstance(
                        decode(row[columns[name]]), list
                    ):
                        self._columns.setdefault(role, columns[name])
        return self._columns

    def _read_numbers(self, role: str, column: str, row: Row, n: int, where: str) -> list[float]:
        """Return the numbers of the responses of a row."""
        name = fold_all(row).get(fold(column))
        if name is None:
            raise ValueError(
                f"{where} has no column {column!r} of {role}."
                f"{did_you_mean(column, map(str, row))} It has {list(row)}."
            )
        values = decode(row[name])
        values = values if isinstance(values, list) else [values]
        if len(values) != n:
            raise ValueError(
                f"{where} has {n} responses and {len(values)} values in {name}. Write as many of "
                "the one as of the other."
            )
        is_banned = [role == "logprobs" and _is_minus_infinity(value) for value in values]
        numbers = [
            -math.inf if banned else as_number(value, name, where)
            for value, banned in zip(values, is_banned, strict=True)
        ]
        if None in numbers:
            raise ValueError(f"{where} has no number in {name} for each response. Fill it in.")
        return [number for number in numbers if number is not None]


def _is_minus_infinity(value: Any) -> bool:
    """Whether a log-probability says that a response is never chosen."""
    with suppress(TypeError, ValueError):
        return float(value) == -math.inf
    return False


def _is_list(value: Any) -> bool:
    """Whether a cell holds several responses, not one text or conversation."""
    decoded = decode(value)
    if is_conversation(decoded):
        return False
    items = as_items(value)
    if items is not None and not isinstance(decoded, Mapping):
        return not items or text_key(items[0]) is not None
    return as_responses(value) is not None


def _responses_of(value: Any, name: str, where: str) -> list:
    """Return the responses of a cell that holds a list of them."""
    items = as_items(value)
    if items:
        keys = [text_key(item) for item in items]
        responses = [
            None if key is None else item[key] for key, item in zip(keys, items, strict=True)
        ]
    else:
        responses = as_responses(value) or []
    if not responses:
        raise ValueError(f"{where} has no response in {name}, an empty list. Leave the row out.")
    for position, response in enumerate(responses):
        if is_missing(response):
            raise ValueError(
                f"{where} has no text in {name}[{position}]. Leave it out of the list."
            )
    return responses
