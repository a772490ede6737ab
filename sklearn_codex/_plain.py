"""Text from anybody's data, made safe to show: what is not seen but acts becomes a visible mark."""

import difflib
import re
from collections.abc import Iterable
from dataclasses import fields
from typing import Any

# Controls of terminals and pages; marks that turn the order of the text around them or break its
# lines; what takes no space, but for the joiners that scripts and emoji are written with; what is
# no character.
_ACTS = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e"
    "\u2060-\u206f\ud800-\udfff\ufdd0-\ufdef\ufeff\ufff0-\ufffb\ufffe\uffff"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e00ff]"
)


def show_controls(value):
    """Return text with a visible mark for each control but tab and newline."""
    value = str(value).replace("\r\n", "\n").replace("\r", "\n")
    return _ACTS.sub(_mark, value)


def plain(value):
    """Return text on one line, without controls."""
    return " ".join(show_controls(value).split())


def show_fields(record: Any) -> str:
    """Return a dataclass as it is called, arrays by their shapes, without what is None."""
    shown = []
    for field in fields(record):
        value = getattr(record, field.name)
        shape = getattr(value, "shape", ())
        if value is not None:
            shown.append(f"{field.name}={f'<array of shape {shape}>' if shape else repr(value)}")
    return f"{type(record).__name__}({', '.join(shown)})"


def did_you_mean(word: str, known: Iterable[str], prefix: str = "") -> str:
    """Return a sentence with the known word that is closest, after a blank; "" if none is close.

    A prefix that all words have, and that says nothing of how close they are, is put before it.
    """
    folded = {name.casefold(): name for name in known}
    close = difflib.get_close_matches(word.casefold(), list(folded), 1, 0.61)
    return f" Did you mean {prefix}{folded[close[0]]}?" if close else ""


def _mark(match):
    code = ord(match[0])
    return chr(0x2400 + code) if code < 0x20 else f"[U+{code:04X}]"
