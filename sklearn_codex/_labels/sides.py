"""How the columns of two responses are told apart: response_a and response_b by a and b."""

import re
from functools import lru_cache
from typing import NamedTuple

_CAMEL = re.compile(r"([a-z0-9])([A-Z])")
# Letters of scripts that write words without blanks are tokens apart from others: "回答A".
_TOKENS = re.compile(r"[⺀-\U0003ffff]+|[^\W\d_⺀-\U0003ffff]+|\d+")
_STYLES = {
    ("a", "b"): "letters", ("0", "1"): "from 0", ("1", "2"): "from 1",
    ("first", "second"): "positions", ("left", "right"): "positions",
}  # fmt: skip
_SPELLED = {"zero": "0", "one": "1", "two": "2"}


class Sides(NamedTuple):
    """The columns of two responses.

    Attributes
    ----------
    first, second : str
        Their names.
    markers : tuple of str
        What tells the names apart, folded: ("a", "b") of response_a and response_b.
    shared : frozenset of str
        What both names have: "response".
    style : str
        "letters", "from 0", "from 1", "positions" (first and second, left and right), or "other".
    turned : bool
        Whether the first has the later marker, such as b.
    """

    first: str
    second: str
    markers: tuple[str, str]
    shared: frozenset[str]
    style: str
    turned: bool


def split_camel(name: str) -> str:
    """Return a name with a blank where small letters end and a capital begins."""
    return _CAMEL.sub(r"\1 \2", name)


def tokens_of(name: str) -> list[str]:
    """Return the words and numbers of a name: "modelA_score2" has model, a, score, 2."""
    tokens = _TOKENS.findall(split_camel(name))
    return [str(int(token)) if token.isdecimal() else token.casefold() for token in tokens]


def compare_names(one: str, other: str) -> tuple[tuple[str, str], list[str]]:
    """Return what tells two names apart, and the words that both have around it."""
    left, right = tokens_of(one), tokens_of(other)
    start = 0
    while start < min(len(left), len(right)) and left[start] == right[start]:
        start += 1
    end = 0
    while end < min(len(left), len(right)) - start and left[-1 - end] == right[-1 - end]:
        end += 1
    shared = left[:start] + left[len(left) - end :]
    return (
        "".join(left[start : len(left) - end]),
        "".join(right[start : len(right) - end]),
    ), shared


@lru_cache(maxsize=1024)
def read_sides(first: str, second: str) -> Sides:
    """Return how two columns are told apart."""
    markers, shared = compare_names(first, second)
    markers = (_SPELLED.get(markers[0], markers[0]), _SPELLED.get(markers[1], markers[1]))
    style = _STYLES.get(markers) or _STYLES.get(markers[::-1]) or "other"
    turned = style != "other" and markers not in _STYLES
    return Sides(first, second, markers, frozenset(shared), style, turned)
