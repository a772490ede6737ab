"""Figures of the audit as a reader wants them."""

from sklearn_codex._plain import plain
from sklearn_codex._verdicts import digits_to_tell

NAMES = {
    "length only": "length only",
    "words": "word counts",
    "preset": "words, letters and form",
    "embeddings": "embeddings",
    "embeddings and preset": "embeddings beside words, letters and form",
}
RARE = {"<unk>": "(rare words)"}
TOO_FEW = "The data are too few to say."


def listed(names, most=12):
    """Return the first of some names, which may be anybody's."""
    shown = ", ".join(map(plain, names[:most]))
    return f"{shown} and {len(names) - most:,} more" if len(names) > most else shown


def percent(share, digits=0):
    """Return a share in percent."""
    return f"{100 * share:.{digits}f} %"


def percent_of_few(share):
    """Return a share in percent, with a digit after the point where it is small."""
    return percent(share) if share >= 0.1 or share == 0 else f"{100 * share:.1f} %"


def interval(figure, digits=3):
    """Return a figure with its 95% interval; what is not finite is unknown.

    Where the figure is held against a null, digits are enough to see whether that is inside.
    """
    ends = figure["low"], figure["high"]
    if figure.get("null") is not None and None not in ends:
        digits = digits_to_tell(*ends, figure["null"], digits)
    value, low, high = (
        "unknown" if figure[name] is None else f"{figure[name]:.{digits}f}"
        for name in ("value", "low", "high")
    )
    return f"{value} [{low}, {high}]"


def within(figure):
    """Return a share in percent with its interval, which shows whether it holds one half."""
    ends = figure["low"], figure["high"]
    digits = digits_to_tell(*ends, 0.5, 2) - 2
    value, low, high = (percent(share, digits) for share in (figure["value"], *ends))
    return f"{value} ({low} to {high})"


def points(share):
    """Return a difference of shares in points, with its sign."""
    return f"{100 * share:+.1f}"


def change(figure):
    """Return a difference of shares in points with its interval."""
    return f"{points(figure['value'])} points ({points(figure['low'])} to {points(figure['high'])})"


def turned(figure):
    """Return a difference, with its interval, the other way round."""
    return {"value": -figure["value"], "low": -figure["high"], "high": -figure["low"]}
