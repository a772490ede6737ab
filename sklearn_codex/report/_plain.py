"""Text from anybody's data as pages, tables and JSON show it."""

import json
import math
from html import escape

from sklearn_codex._plain import plain as plain
from sklearn_codex._plain import show_controls


def shorten(value, limit):
    """Return the beginning of a text, and how much is left out."""
    if len(value) <= limit:
        return value
    return f"{value[:limit].rstrip()} … ({len(value) - limit:,} more characters)"


def html(value, *, limit=None):
    """Return any text as safe HTML: markup is shown, controls become visible marks."""
    value = str(value)
    return escape(show_controls(value if limit is None else shorten(value, limit)))


def json_text(value, indent=None):
    """Return a value as JSON in printable ASCII, so that it can be shown and means the same."""
    text = json.dumps(finite(value), indent=indent, allow_nan=False)
    return text.replace("\x7f", "\\u007f")


def finite(value):
    """Return figures with None for what is no finite number, which JSON does not have."""
    if isinstance(value, dict):
        return {name: finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
