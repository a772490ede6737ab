"""Numbers as people write them: with a decimal comma, or as stars."""

import re
from collections.abc import Sequence
from typing import Any

# "1,234" can be a thousand and more, or one and a bit.
_COMMA = re.compile(r"\s*[-+]?(?:0,\d+|\d+,(?:\d{1,2}|\d{4,}))\s*")
_STARS = re.compile("\\s*(?:[★⭐🌟]\ufe0f?)*☆*\\s*")

# "0,1" and "1,2" may be two labels; of two responses nobody has the number 3.
_SURELY = re.compile(r"\s*[-+]?(?:0,[3-9]|0,\d{2,}|\d+,(?:\d{2}|\d{4,}))\s*")


def with_decimal_commas(labels: Sequence[Any]) -> dict[int, float]:
    """Return which labels of a column are numbers with a decimal comma, where one surely is."""
    texts = {i: label for i, label in enumerate(labels) if isinstance(label, str)}
    if not any(_SURELY.fullmatch(text) for text in texts.values()):
        return {}
    return {i: written_number(text) for i, text in texts.items() if _COMMA.fullmatch(text)}


def written_number(text: str) -> float:
    """Return the number that a text is.

    Parameters
    ----------
    text : str
        Digits, with a point or a comma before the decimals; or stars, filled ones counted.

    Raises
    ------
    ValueError
        If it is none, or could be two, as 1,234 is.

    Examples
    --------
    >>> from sklearn_codex._labels.numbers import written_number
    >>> written_number("0,75"), written_number("★★★☆☆")
    (0.75, 3.0)
    """
    if _COMMA.fullmatch(text):
        return float(text.replace(",", "."))
    if text.strip() and _STARS.fullmatch(text):
        return float(sum(text.count(star) for star in "★⭐🌟"))
    return float(text)
