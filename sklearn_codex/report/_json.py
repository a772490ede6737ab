"""Figures as JSON."""

import json
import math


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
