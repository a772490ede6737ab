"""Text from anybody's data, made safe to show: controls become visible marks."""

import re

# Controls of terminals and pages, and marks that turn the order of the text around them.
_CONTROL = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
    "\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"
)


def show_controls(value):
    """Return text with a visible mark for each control but tab and newline."""
    value = str(value).replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROL.sub(_mark, value)


def plain(value):
    """Return text on one line, without controls."""
    return " ".join(show_controls(value).split())


def shorten(value, limit):
    """Return the beginning of a text, and how much is left out."""
    if len(value) <= limit:
        return value
    return f"{value[:limit].rstrip()} … ({len(value) - limit:,} more characters)"


def _mark(match):
    code = ord(match[0])
    return chr(0x2400 + code) if code < 0x20 else f"[U+{code:04X}]"
