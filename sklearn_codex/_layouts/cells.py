"""What the cells of a row hold: lists and numbers, also where a table has them written as text."""

import math
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from sklearn_codex._checks.frames import is_missing
from sklearn_codex._conversations.cells import decode_cell
from sklearn_codex._labels.numbers import written_number

_NUMBERS = re.compile(
    r"\s*\[\s*(?:[-+]?\d+\.?\d*(?:e[-+]?\d+)?|nan)(?:\s+(?:[-+]?\d+\.?\d*(?:e[-+]?\d+)?|nan))*\s*\]\s*"
)
_ORDINAL = re.compile(r"\s*(\d+)(?:st|nd|rd|th)\s*", re.IGNORECASE)
_NO_NUMBER = frozenset(("", "n/a", "na", "nan", "none", "null", "-"))


def decode(value: Any) -> Any:
    """Return a cell as lists and dicts where it is an array, or has them written as text."""
    if isinstance(value, str):
        found = decode_cell(value)
        if found is None and _NUMBERS.fullmatch(value):  # as NumPy writes numbers
            return [float(number) for number in value.strip("[] \n").split()]
        return value if found is None else found
    if isinstance(value, tuple):
        return list(value)
    if hasattr(value, "tolist") and not isinstance(value, (bytes, Mapping)):
        return value.tolist()
    return value


def present(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys that have a value: tables fill up the others with None."""
    return {str(key): entry for key, entry in value.items() if not is_missing(entry)}


def is_conversation(value: Any) -> bool:
    """Return whether a list is one conversation, of messages, and not several texts."""
    return isinstance(value, list) and any(
        isinstance(entry, Mapping)
        and ({"role", "content"} <= entry.keys() or {"from", "value"} <= entry.keys())
        for entry in value
    )


def as_responses(value: Any) -> list | None:
    """Return a list of texts, or of conversations, that a cell holds; None if it is another thing.

    A list of messages is one conversation, so it is none.
    """
    value = decode(value)
    if not isinstance(value, list) or is_conversation(value):
        return None
    items = [decode(item) if not isinstance(item, str) else item for item in value]
    if all(isinstance(item, str) or is_missing(item) or is_conversation(item) for item in items):
        return items
    return None


def as_number(value: Any, name: str, where: str) -> float | None:
    """Return a number, None where there is none.

    Raises
    ------
    ValueError
        If it is something else.
    """
    if is_missing(value) or (isinstance(value, str) and value.strip().casefold() in _NO_NUMBER):
        return None
    if isinstance(value, str) and (ordinal := _ORDINAL.fullmatch(value)):
        return float(ordinal[1])
    with suppress(TypeError, ValueError, OverflowError):
        number = written_number(value) if isinstance(value, str) else float(value)
        if math.isfinite(number):
            return number
    raise ValueError(
        f"{where} has {name} = {value!r:.60}, which is no number. Write a number, or leave the "
        "response out."
    )
