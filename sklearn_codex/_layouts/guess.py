"""Which options a caller may want where the names of columns, such as of other languages, tell
nothing: guessed by what the columns hold, and said in one go.
"""  # noqa: D205

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from sklearn_codex._labels.sides import read_sides
from sklearn_codex._labels.words import read_words
from sklearn_codex._layouts.cells import as_number, is_conversation
from sklearn_codex._layouts.given import Given
from sklearn_codex._layouts.prompts import names_prompt
from sklearn_codex._layouts.verdicts import of_both
from sklearn_codex._layouts.words import (
    COUNTED,
    LABELS,
    WINS,
    is_list,
    is_scalar,
    is_textlike,
    name_tokens,
)

_LABEL = 40
"""Characters that a label has at most."""
_SAYS = frozenset(
    ("a", "b", "1", "2", "0", "0.0", "1.0", "tie", "first", "second", "left", "right")
)
_NUMBERS = frozenset(("id", "index", "idx", "no", "row", "uid", "uuid"))


def say_guess(row: Mapping[str, Any], given: Given) -> str:
    """Return a sentence on the options that a row may need, "" where there is nothing to guess.

    Parameters
    ----------
    row : mapping
        The first row, in which no name is known. Of two columns of texts they are the responses;
        of three the first is the prompt.
    given : Given
        In whose terms; what it says already is said again, as all is needed.
    """
    rest = [name for name in texts_of(row) if not names_prompt(name)]
    if len(rest) not in (2, 3):
        return ""
    first, second = rest[-2:]
    others = [name for name in map(str, row) if name not in rest and not names_prompt(name)]
    if others:
        return f" By what they hold it may be {say_all(row, given, first, second)}."
    told = say_all(row, given, first, second, oriented=True)
    return f" If {first} is the better and {second} the worse response, say {told}."


def say_all(
    row: Mapping[str, Any],
    given: Given,
    first: str,
    second: str,
    *,
    oriented: bool = False,
    label: str = "",
) -> str:
    """Return the options for two responses, their label and the prompt, one after another.

    Parameters
    ----------
    row, given
        As in :func:`say_guess`.
    first, second : str
        The columns of the responses.
    oriented : bool, default=False
        Whether the first is the better one, so that there is no label.
    label : str, default=""
        The column of the label; "" guesses it, and NAME stands for one that cannot be guessed.
    """
    roles = ("chosen", "rejected") if oriented else ("response_a", "response_b")
    pair = list(zip(roles, (first, second), strict=True))
    label = label or label_of(row, first, second)
    label = label or (measured_of(row, first, second) or ("NAME",))[0]
    labels = [] if oriented else [("label", label)]
    prompts = [name for name in texts_of(row) if name not in (first, second)]
    prompt = [("prompt", prompts[0])] if len(prompts) == 1 else []
    said = [*prompt, *pair, *labels] if given.command else [*pair, *labels, *prompt]
    words = [given.say(role, getattr(given, role) or name) for role, name in said]
    return " ".join(words) if given.command else " and ".join([words[0], ", ".join(words[1:])])


def texts_of(row: Mapping[str, Any]) -> list[str]:
    """Return the columns that hold a text of several words, or a conversation."""
    return [str(name) for name, value in row.items() if _is_long(value)]


def _is_long(value: Any) -> bool:
    if isinstance(value, str):
        text = value.strip()
        return len(text.split()) > 2 or len(text) > _LABEL or (len(text) > 8 and not text.isascii())
    return is_textlike(value) and is_list(value) and is_conversation(value)


def label_of(row: Mapping[str, Any], first: str, second: str) -> str:
    """Return the column that looks as a label of two responses does, "" if none does."""
    names = {first.casefold(), second.casefold()}
    rest = [
        name
        for name in map(str, row)
        if name not in (first, second) and is_scalar(row[name]) and not counts_rows(name)
    ]
    columns = {name: name for name in rest}
    rest = [name for name in rest if of_both(name, first, second, columns) is None]
    sides = read_sides(first, second)
    told = [
        name
        for name in rest
        if str(row[name]).strip(" []").casefold() in _SAYS | names
        or (isinstance(row[name], str) and read_words(row[name], sides) is not None)
    ]
    told = told or _lone_number(row, rest)
    return min(told, key=lambda name: _WORDS.isdisjoint(name_tokens(name)), default="")


_WORDS = frozenset((*LABELS, *WINS, "which", "vote")) - {"comparison"}
"""Words in the names of labels."""


def _lone_number(row: Mapping[str, Any], names: list[str]) -> list[str]:
    numbers = [name for name in names if is_number(row[name])]
    return numbers if len(numbers) == 1 else []


def is_number(value: Any) -> bool:
    """Return whether a cell holds a number, such as 4.5 or "90%"."""
    value = value.strip().removesuffix("%") if isinstance(value, str) else value
    with suppress(ValueError):
        return not isinstance(value, bool) and as_number(value, "", "") is not None
    return False


def measured_of(row: Mapping[str, Any], first: str, second: str) -> tuple[str, str] | None:
    """Return two columns with a number of each response, such as loss_a and loss_b."""
    columns = {str(name): str(name) for name in row if name not in (first, second)}
    both = (of_both(name, first, second, columns) for name in columns if is_number(row[name]))
    return next((pair for pair in both if pair and is_number(row[pair[1]])), None)


def counts_rows(name: str) -> bool:
    """Return whether a name such as question_id or n_turns says that it is no label."""
    tokens = name_tokens(name)
    counted = tokens[-1:] and tokens[-1] in _NUMBERS
    return bool(counted or not COUNTED.isdisjoint(tokens)) and _WORDS.isdisjoint(tokens)
