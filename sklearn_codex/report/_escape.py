"""Text from anybody's data as pages and tables show it."""

from html import escape

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
