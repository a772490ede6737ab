"""Lists that a cell holds as text: JSON, the repr of Python, that of numpy without commas."""

import ast
import json
import re
import warnings
from typing import Any

LITERAL_LIMIT = 4_000_000
"""Characters up to which text is tried as a literal of Python, which takes 100 times its size."""

_UNDECODABLE = (ValueError, SyntaxError, RecursionError, MemoryError, TypeError)

# A string is passed over as it is; what stands between strings is mended.
_NUMPY = re.compile(
    r"""
    (?P<string> '(?:[^'\\]|\\.)*+(?:'|\\?\Z) | "(?:[^"\\]|\\.)*+(?:"|\\?\Z) )
    | (?P<array> \barray\( )
    | (?P<end> ,\s*dtype=object\) )
    | (?P<nan> \bnan\b )
    """,
    re.VERBOSE | re.DOTALL,
)
_VALUE = re.compile(
    r"""
    ( '(?:[^'\\]|\\.)*+(?:'|\\?\Z) | "(?:[^"\\]|\\.)*+(?:"|\\?\Z) | None | [}\]] )
    (\s* (?=['"{\[N]))?
    """,
    re.VERBOSE | re.DOTALL,
)


_QUOTED = re.compile(r'\s*"(?:\\*")*\s*[\[{]')
_MOST_QUOTES = 5


class _RepeatedKey(Exception):
    """A key stands twice in an object of JSON, of which nobody knows which value counts."""


def decode_cell(text: str) -> Any:
    r"""Return the list or dict that a text holds, None where it holds none.

    Parameters
    ----------
    text : str
        A cell. JSON, a literal of Python of up to ``LITERAL_LIMIT`` characters, or an array of
        objects as numpy shows it, which is how ``to_csv`` of pandas writes one.

    Examples
    --------
    >>> from sklearn_codex._conversations.cells import decode_cell
    >>> decode_cell("[{'a': 'b'}\n {'a': None}]")
    [{'a': 'b'}, {'a': None}]
    >>> decode_cell("[see below]")
    """
    text = _unquote(text.strip())
    if text[:1] + text[-1:] not in ("[]", "{}"):
        return None
    try:
        return json.loads(text, object_pairs_hook=_as_dict)
    except _RepeatedKey:
        return None
    except _UNDECODABLE:
        pass
    if len(text) > LITERAL_LIMIT or not ("'" in text or '"' in text):
        return None
    try:
        with warnings.catch_warnings():  # of escapes that Python does not know
            warnings.simplefilter("ignore")
            return ast.literal_eval(_VALUE.sub(_add_comma, _NUMPY.sub(_mend, text)))
    except _UNDECODABLE:
        return None


def begins_quoted(text: str) -> bool:
    """Tell text that may be a list or dict as JSON, written as JSON once more, or more often."""
    return _QUOTED.match(text) is not None


def _unquote(text: str) -> str:
    """Return the JSON that is written as text within JSON."""
    for _ in range(_MOST_QUOTES):
        if not (text[-1:] == '"' and begins_quoted(text)):
            break
        try:
            inner = json.loads(text)
        except _UNDECODABLE:
            break
        text = inner.strip()
    return text


def as_turns(value: Any) -> list[str | None] | None:
    """Return a list of texts, one a turn, also where a cell holds it as text; else None.

    Parameters
    ----------
    value : object
        A list, tuple or array of str or None, or a text that holds one.

    Examples
    --------
    >>> from sklearn_codex._conversations.cells import as_turns
    >>> as_turns('["first", null]'), as_turns("['first' 'second']"), as_turns("[1]")
    (['first', None], ['first', 'second'], None)
    """
    if isinstance(value, str):
        value = decode_cell(value)
    if not is_sequence(value) or len(value) == 0:
        return None
    values = list(value)
    return values if all(item is None or isinstance(item, str) for item in values) else None


def is_sequence(value: Any) -> bool:
    """Tell lists, tuples and arrays of a dimension from other values."""
    return isinstance(value, (list, tuple)) or (
        hasattr(value, "tolist") and getattr(value, "ndim", 0) > 0
    )


def _as_dict(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON, in which no key stands twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _RepeatedKey
    return found


def _mend(match: re.Match) -> str:
    if match["string"]:
        return match[0]
    return {"array": "(", "end": ")", "nan": "None"}[match.lastgroup or ""]


def _add_comma(match: re.Match) -> str:
    return match[1] if match[2] is None else f"{match[1]}, "
