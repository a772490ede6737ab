"""Arguments that are one of a few words."""

from collections.abc import Iterable
from typing import Any

from sklearn.utils._param_validation import InvalidParameterError

from sklearn_codex._checks.numbers import shown


def check_option(value: Any, options: Iterable[str | None], name: str, *, subject: str) -> Any:
    """Return an argument that is one of a few words, or None where that is one of them.

    Parameters
    ----------
    value : str or None
    options : iterable of str or None
        What is valid.
    name : str
        What it is called.
    subject : str
        Who asks.

    Raises
    ------
    InvalidParameterError
        If it is anything else, an array or a frame too; both a ValueError and a TypeError.
    """
    options = list(options)
    if (value is None or isinstance(value, str)) and value in options:
        return value
    words = ", ".join(repr(option) for option in options)
    raise InvalidParameterError(f"{subject} needs {name}, one of {words}, got {shown(value)}.")
