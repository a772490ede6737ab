"""Line charts as inline SVG, coloured by the style sheet of the page around them."""

import math

from sklearn_codex.report._escape import html
from sklearn_codex.report._numbers import equal_digits

WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 84, 30, 16, 60
N_TICKS = 5


def line_chart(chart):
    """Return a chart as an SVG element.

    Parameters
    ----------
    chart : Chart
        Series of finite numbers; ``log_x`` needs positive ones.

    Returns
    -------
    svg : str
        One ``<svg>`` element. Lines have the classes ``s0``, ``s1``, ...; the page gives them
        colours. Title and description are read by screen readers.
    """
    axes = _Axes(chart)
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html(chart.title)}">',
        f"<title>{html(chart.title)}</title><desc>{html(chart.meaning)}</desc>",
        *_grid(chart, axes),
        *_marks(chart, axes),
    ]
    for i, series in enumerate(chart.series):
        parts += _draw_series(i, series, axes)
    return "".join([*parts, "</svg>"])


class _Axes:
    """Where numbers stand on the page."""

    def __init__(self, chart):
        xs = [x for series in chart.series for x in series.x]
        ys = [
            y
            for series in chart.series
            for part in (series.y, series.low, series.high)
            if part is not None
            for y in part
        ]
        self.log_x = chart.log_x
        if self.log_x:
            self.x_ticks = log_ticks(min(xs), max(xs))
            self.x_range = min(xs), max(xs)
        else:
            self.x_ticks = ticks_of(min(xs), max(xs))
            self.x_range = min(xs[0], *self.x_ticks, *xs), max(*self.x_ticks, *xs)
        self.y_ticks = ticks_of(min(ys), max(ys))
        self.y_range = min(*self.y_ticks, *ys), max(*self.y_ticks, *ys)

    def x(self, value):
        low, high = self.x_range
        if self.log_x:
            low, high, value = math.log(low), math.log(high), math.log(value)
        share = (value - low) / ((high - low) or 1.0)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, value):
        low, high = self.y_range
        share = (value - low) / ((high - low) or 1.0)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def ticks_of(low, high):
    """Return round numbers that enclose a range."""
    span = (high - low) or abs(high) or 1.0
    raw = span / N_TICKS
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(i * step, 12) for i in range(first, last + 1)]


def log_ticks(low, high):
    """Return powers of ten inside a range, with 2 and 5 where they are few."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1,) if len(powers) > 4 else (1, 2, 5)
    return [f * 10.0**p for p in powers for f in factors if low <= f * 10.0**p <= high]


def tick_labels(ticks, log=False):
    """Return numbers beside an axis, of equally many digits where they are equally far apart."""
    if log:
        return [f"{tick:,g}" for tick in ticks]
    return [label for (label,) in equal_digits([(tick,) for tick in ticks])]


def _grid(chart, axes):
    parts = []
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    for tick, label in zip(axes.y_ticks, tick_labels(axes.y_ticks), strict=True):
        y = axes.y(tick)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{label}</text>')
    for tick, label in zip(axes.x_ticks, tick_labels(axes.x_ticks, axes.log_x), strict=True):
        x = axes.x(tick)
        parts.append(
            f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{bottom}" y2="{bottom + 5}"/>'
        )
        parts.append(f'<text x="{x:.1f}" y="{bottom + 24}" text-anchor="middle">{label}</text>')
    middle = (LEFT + right) / 2
    parts.append(
        f'<text class="label" x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">'
        f"{html(chart.x_label)}</text>"
    )
    height = (TOP + bottom) / 2
    parts.append(
        f'<text class="label" transform="translate(20 {height}) rotate(-90)" '
        f'text-anchor="middle">{html(chart.y_label)}</text>'
    )
    return parts


def _marks(chart, axes):
    parts = []
    for value, name in chart.marks:
        x = axes.x(value)
        anchor, shift = ("end", -6) if x > WIDTH / 2 else ("start", 6)
        parts.append(
            f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
            f'<text x="{x + shift:.1f}" y="{TOP + 12}" text-anchor="{anchor}">{html(name)}</text>'
        )
    return parts


def _draw_series(i, series, axes):
    points = [(axes.x(x), axes.y(y)) for x, y in zip(series.x, series.y, strict=True)]
    parts = []
    if series.low is not None and series.high is not None:
        edge = [(axes.x(x), axes.y(y)) for x, y in zip(series.x, series.low, strict=True)]
        edge += [(axes.x(x), axes.y(y)) for x, y in zip(series.x, series.high, strict=True)][::-1]
        parts.append(f'<polygon class="band s{i}" points="{_join(edge)}"/>')
    dashed = ' stroke-dasharray="7 5"' if series.dashed else ""
    parts.append(f'<polyline class="line s{i}"{dashed} points="{_join(points)}"/>')
    # Points of a line without dots are there for the pointer only.
    kind = "dot" if series.dots else "hover"
    for position, (x, y) in enumerate(points):
        shown = html(_say(series, position))
        parts.append(
            f'<circle class="{kind} s{i}" cx="{x:.1f}" cy="{y:.1f}" r="{4 if series.dots else 7}">'
            f"<title>{shown}</title></circle>"
        )
    return parts


def _say(series, i):
    """Return a point in numbers."""
    shown = f"{series.name}: {series.y[i]:.4g} at {series.x[i]:,.4g}"
    if series.low is None or series.high is None:
        return shown
    return f"{shown} ({series.low[i]:.4g} to {series.high[i]:.4g})"


def _join(points):
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
