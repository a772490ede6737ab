"""Which options a caller may want where the names of columns, such as of other languages, tell
nothing: guessed by what the columns hold, and said in one go.
"""  # noqa: D205

from collections.abc import Mapping
from typing import Any

from sklearn_codex._layouts.base import fold
from sklearn_codex._layouts.given import Given
from sklearn_codex._layouts.prompts import ASKED
from sklearn_codex._layouts.words import is_list, is_scalar, is_textlike

_LABEL = 40
"""Characters that a label has at most."""
_SAYS = frozenset(
    ("a", "b", "1", "2", "0", "0.0", "1.0", "tie", "first", "second", "left", "right")
)
_NUMBERS = frozenset(("id", "index", "idx", "n", "no", "row"))
"""What numbers rows, and is a label last of all."""


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
    rest = [name for name in _texts_of(row) if fold(name) not in ASKED]
    if len(rest) not in (2, 3):
        return ""
    first, second = rest[-2:]
    others = [name for name in map(str, row) if name not in rest and fold(name) not in ASKED]
    if others:
        return f" By what they hold it may be {say_all(row, given, first, second)}."
    told = say_all(row, given, first, second, oriented=True)
    return f" If {first} is the better and {second} the worse response, say {told}."


def say_all(
    row: Mapping[str, Any], given: Given, first: str, second: str, *, oriented: bool = False
) -> str:
    """Return the options for two responses, their label and the prompt, one after another.

    Parameters
    ----------
    row, given
        As in :func:`say_guess`.
    first, second : str
        The columns of the responses.
    oriented : bool, default=False
        Whether the first is the better one, so that there is no label. NAME stands for a label
        that cannot be guessed.
    """
    roles = ("chosen", "rejected") if oriented else ("response_a", "response_b")
    pair = list(zip(roles, (first, second), strict=True))
    labels = [] if oriented else [("label", label_of(row, first, second) or "NAME")]
    prompts = [name for name in _texts_of(row) if name not in (first, second)]
    prompt = [("prompt", prompts[0])] if len(prompts) == 1 else []
    said = [*prompt, *pair, *labels] if given.command else [*pair, *labels, *prompt]
    words = [given.say(role, getattr(given, role) or name) for role, name in said]
    return " ".join(words) if given.command else " and ".join([words[0], ", ".join(words[1:])])


def _texts_of(row: Mapping[str, Any]) -> list[str]:
    return [str(name) for name, value in row.items() if _is_long(value)]


def _is_long(value: Any) -> bool:
    """Whether a value is a text of several words, or a conversation."""
    if isinstance(value, str):
        text = value.strip()
        return len(text.split()) > 2 or len(text) > _LABEL or (len(text) > 8 and not text.isascii())
    return is_textlike(value) and is_list(value)


def label_of(row: Mapping[str, Any], first: str, second: str) -> str:
    """Return the column that looks as a label of two responses does, "" if none does."""
    names = {first.casefold(), second.casefold()}
    found = [
        name
        for name in map(str, row)
        if name not in (first, second)
        and is_scalar(row.get(name))
        and str(row[name]).strip(" []").casefold() in _SAYS | names
    ]
    return min(found, key=lambda name: fold(name) in _NUMBERS, default="")
