"""What all displays draw with: axes, colours, line styles."""

from sklearn_codex._checks.numbers import as_floats

# Okabe and Ito's palette, which colour-blind readers can tell apart.
BLUE, ORANGE, GREEN, PINK = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
PALETTE = (BLUE, ORANGE, GREEN, PINK, "#E69F00", "#56B4E9", "#000000")
GREY = "0.45"
LINE_STYLES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")

# An attribute that marks the lines of displays, so that the next display on the same axes takes
# another style. Not the gid of matplotlib: that becomes an id in SVG, where it has to be unique.
_MARK = "_sklearn_codex_display"


def check_matplotlib(caller):
    """Raise where matplotlib is missing, naming the extra that brings it."""
    try:
        import matplotlib  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":  # but something that matplotlib imports
            raise
        raise ImportError(
            f"{caller} needs matplotlib, which is not installed. Install it with "
            "pip install 'sklearn-codex[plot]'."
        ) from error


def check_axes(ax, caller, *, height=None):
    """Return the axes given, or those of a new figure, of a height in inches where one is given."""
    check_matplotlib(caller)
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    size = None if height is None else (plt.rcParams["figure.figsize"][0], height)
    return plt.subplots(figsize=size, layout="constrained")[1]


def count_marked(ax):
    """Return how many lines of displays there are on the axes."""
    return sum(hasattr(line, _MARK) for line in ax.lines)


def line_style(ax, *, marker=False, **defaults):
    """Return the style of the next display on these axes: another colour and another dash."""
    position = count_marked(ax)
    style: dict[str, object] = {
        "color": PALETTE[position % len(PALETTE)],
        "linestyle": LINE_STYLES[position % len(LINE_STYLES)],
    }
    if marker:
        style |= {"marker": MARKERS[position % len(MARKERS)], "markersize": 5.0}
    return style | defaults


def mark_line(line):
    """Mark the line of a display, for the next one to be told apart; return it."""
    setattr(line, _MARK, True)
    return line


def merge_style(defaults, given, artist="Line2D"):
    """Return keywords of an artist: the defaults, overridden by what the user gave, aliases too."""
    from matplotlib import cbook, lines, patches

    kind = lines.Line2D if artist == "Line2D" else patches.Patch
    return {**defaults, **cbook.normalize_kwargs(given, kind)}


def finish(ax, *, legend=True, **labels):
    """Set labels, draw a light grid, and a legend where there is something to tell apart."""
    ax.set(**labels)
    ax.grid(alpha=0.3)
    ax.set_axisbelow(True)
    if legend and ax.get_legend_handles_labels()[1]:
        ax.legend(fontsize="small")


def check_equal_lengths(subject, **arrays):
    """Return arrays as one-dimensional floats of one length, in the order given."""
    checked = {name: as_floats(values, name, subject=subject) for name, values in arrays.items()}
    shapes = {name: values.shape for name, values in checked.items()}
    if len(set(shapes.values())) > 1 or len(next(iter(shapes.values()))) != 1:
        raise ValueError(f"{subject} needs 1-D arrays of one length, got the shapes {shapes}.")
    return list(checked.values())
