"""A Bunch of data that shows what it holds in a few lines, not all of it."""

from collections.abc import Mapping, Sized
from html import escape
from typing import Any

from sklearn.utils import Bunch

from sklearn_codex._plain import plain

_LONGEST = 60  # characters of a value that is shown as it is
_NAMES = 8  # names of a mapping that are shown


class DataBunch(Bunch):
    """A :class:`~sklearn.utils.Bunch` whose ``repr`` is short, also in a notebook."""

    def __repr__(self) -> str:
        rows = "".join(f"\n    {_cut(plain(name))}: {describe(self[name])}," for name in self)
        return f"Bunch({rows}\n)" if rows else "Bunch()"

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><th style="text-align: left">{escape(_cut(plain(name)))}</th>'
            f'<td style="text-align: left">{escape(describe(self[name]))}</td></tr>'
            for name in self
        )
        return f"<table><caption>Bunch</caption><tbody>{rows}</tbody></table>"


def describe(value: Any) -> str:
    """Return what a value is, in one short line: its text where that is short, else its size."""
    if value is None or isinstance(value, (bool, int, float)):
        return repr(value)
    kind = type(value).__name__
    if isinstance(value, str):
        text = plain(value)
        whole = len(text) <= _LONGEST
        return repr(text) if whole else f"{text[:_LONGEST].rstrip()!r}... ({len(value):,} chars)"
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        if value.shape == ():
            return repr(value.item())
        return f"{kind} of shape {tuple(value.shape)}, {value.dtype}"
    if isinstance(value, Mapping):
        names = [_cut(plain(str(name))) for name in value]
        shown = _NAMES
        while shown > 1 and len(", ".join(names[:shown])) > _LONGEST:
            shown -= 1
        more = f" and {len(names) - shown:,} more" if len(names) > shown else ""
        return f"{kind} of {', '.join(names[:shown])}{more}" if names else f"empty {kind}"
    if isinstance(value, Sized):
        text = plain(repr(value)) if len(value) <= _NAMES else ""
        return text if 0 < len(text) <= _LONGEST else f"{kind} of {len(value):,}"
    return _cut(plain(repr(value)))


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST].rstrip()}..."
