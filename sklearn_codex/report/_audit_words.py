"""Figures of the audit as a reader wants them."""

from sklearn_codex._plain import plain

NAMES = {
    "length only": "length only",
    "words": "word counts",
    "preset": "words, letters and form",
}
RARE = {"<unk>": "(rare words)"}
TOO_FEW = "The data are too few to say."


def listed(names, most=12):
    """Return the first of some names, which may be anybody's."""
    shown = ", ".join(map(plain, names[:most]))
    return f"{shown} and {len(names) - most:,} more" if len(names) > most else shown


def percent(share):
    """Return a share in percent."""
    return f"{100 * share:.0f} %"


def percent_of_few(share):
    """Return a share in percent, with a digit after the point where it is small."""
    return percent(share) if share >= 0.1 or share == 0 else f"{100 * share:.1f} %"


def interval(figure, digits=3):
    """Return a figure with its 95% interval; what is not finite is unknown."""
    value, low, high = (
        "unknown" if figure[name] is None else f"{figure[name]:.{digits}f}"
        for name in ("value", "low", "high")
    )
    return f"{value} [{low}, {high}]"


def within(figure):
    """Return a share in percent with its interval."""
    return f"{percent(figure['value'])} ({percent(figure['low'])} to {percent(figure['high'])})"


def points(share):
    """Return a difference of shares in points, with its sign."""
    return f"{100 * share:+.1f}"


def change(figure):
    """Return a difference of shares in points with its interval."""
    return f"{points(figure['value'])} points ({points(figure['low'])} to {points(figure['high'])})"


def turned(figure):
    """Return a difference, with its interval, the other way round."""
    return {"value": -figure["value"], "low": -figure["high"], "high": -figure["low"]}
