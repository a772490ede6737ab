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


def between(figure, to, of, digits=3):
    """Return a difference of two figures as what a reader subtracts, who sees so many digits."""
    return figure | {"value": round(to["value"], digits) - round(of["value"], digits)}


def shown_gains(audit):
    """Return gains in accuracy by the name of their verdict, each as ``between`` its two figures.

    So a gain is one figure wherever it stands, and that of the table above it.
    """
    prediction, curve = audit["prediction"], audit["learning_curve"]
    if prediction is None:
        return {}
    of = {name: figures["accuracy"] for name, figures in prediction["models"].items()}
    ends = of[prediction["beyond_length"]], of["length only"]
    gains = {"beyond length": between(prediction["gain_over_length"], *ends)}
    if curve is not None:
        *_, half, whole = curve["points"]
        gains["more labels"] = between(curve["last_doubling"], whole, half)
    return gains


def turned(figure):
    """Return a difference, with its interval, the other way round."""
    return {"value": -figure["value"], "low": -figure["high"], "high": -figure["low"]}
