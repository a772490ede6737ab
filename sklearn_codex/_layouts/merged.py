"""Two rows of one response each, made the one row of a pair."""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from sklearn_codex._checks.frames import is_missing
from sklearn_codex._layouts.base import fold
from sklearn_codex._layouts.cells import decode
from sklearn_codex._layouts.given import Given

Row = Mapping[str, Any]


class Rated(NamedTuple):
    """A row of one response: where it is, its prompt and response, and how good that is."""

    where: str
    row: Row
    prompt: Any
    response: Any
    goodness: float


def place_of(where: str) -> str:
    """Return a place without the file, which the other place of the pair has."""
    return where.rsplit(", ", 1)[-1].rsplit(": ", 1)[-1]


def same_text(one: Any, other: Any) -> bool:
    """Return whether two responses are one, but for blanks."""
    if isinstance(one, str) and isinstance(other, str):
        return one.strip() == other.strip()
    return key_of(one) == key_of(other)


def key_of(prompt: Any) -> str:
    """Return what equal prompts share: blanks do not matter."""
    prompt = decode(prompt)
    if isinstance(prompt, str):
        return " ".join(prompt.split())
    return json.dumps(
        prompt,
        sort_keys=True,
        default=lambda value: decode(value) if hasattr(value, "tolist") else str(value),
    )


def merge_rows(
    better: Rated, worse: Rated, used: frozenset[str], named: Mapping[str, str], given: Given
) -> dict[str, Any]:
    """Return the columns of a pair of rows: what they share, and what they differ in twice.

    Raises
    ------
    ValueError
        If they differ in a column that the caller named, such as that of weights.
    """
    merged: dict[str, Any] = {}
    for name in dict.fromkeys([*better.row, *worse.row]):
        if name in used:
            continue
        one, other = better.row.get(name), worse.row.get(name)
        if _equal(one, other):
            merged[name] = one
        elif (role := named.get(fold(name))) is not None:
            raise ValueError(
                f"{better.where} and {place_of(worse.where)} are one pair, of which "
                f"{given.say(role, name)} is {one!r:.40} and {other!r:.40}. Write the same in both "
                "rows."
            )
        else:
            merged[f"{name}_better"], merged[f"{name}_worse"] = one, other
    return merged


def _equal(one: Any, other: Any) -> bool:
    if is_missing(one) and is_missing(other):
        return True
    with suppress(ValueError, TypeError):
        return bool(one == other)
    return key_of(one) == key_of(other)
