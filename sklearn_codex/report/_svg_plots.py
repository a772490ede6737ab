"""Dots with intervals, and histograms, as inline SVG; a pointer on a mark shows its numbers."""

import math

from sklearn_codex.report._escape import html
from sklearn_codex.report._svg import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    log_ticks,
    tick_labels,
    ticks_of,
)

NAMES = 262
ROW, ROW_TOP, ROW_BOTTOM = 30, 10, 56
MOST_NAME = 24
HEADROOM = 1.15


def interval_plot(plot):
    """Return dots with intervals under each other, around a null, as an SVG element.

    Parameters
    ----------
    plot : Intervals
        Rows of finite numbers, one at least.
    """
    ends = [end for row in plot.rows for end in (row.low, row.high)]
    low, high = min([plot.null, *ends]), max([plot.null, *ends])
    ticks = ticks_of(low, high)
    low, high = min(ticks[0], low), max(ticks[-1], high)
    width = WIDTH - NAMES - RIGHT
    bottom = ROW_TOP + ROW * len(plot.rows)

    def x(value):
        return NAMES + (value - low) / ((high - low) or 1.0) * width

    parts = [
        f'<svg viewBox="0 0 {WIDTH} {bottom + ROW_BOTTOM}" role="img" '
        f'aria-label="{html(plot.title)}">',
        f"<title>{html(plot.title)}</title><desc>{html(plot.meaning)}</desc>",
    ]
    for tick, label in zip(ticks, tick_labels(ticks), strict=True):
        parts.append(f'<line class="grid" x1="{x(tick):.1f}" x2="{x(tick):.1f}" '
                     f'y1="{ROW_TOP}" y2="{bottom}"/>'
                     f'<text x="{x(tick):.1f}" y="{bottom + 20}" text-anchor="middle">'
                     f"{label}</text>")  # fmt: skip
    parts.append(f'<line class="mark" x1="{x(plot.null):.1f}" x2="{x(plot.null):.1f}" '
                 f'y1="{ROW_TOP}" y2="{bottom}"/>')  # fmt: skip
    parts += [_row(row, plot.null, ROW_TOP + ROW * (i + 0.5), x) for i, row in enumerate(plot.rows)]
    middle = NAMES + width / 2
    parts.append(
        f'<text class="label" x="{middle:.1f}" y="{bottom + 44}" text-anchor="middle">'
        f"{html(plot.x_label)}</text></svg>"
    )
    return "".join(parts)


def _row(row, null, y, x):
    side = "s0" if row.value >= null else "s1"
    name = row.name if len(row.name) <= MOST_NAME else f"{row.name[: MOST_NAME - 1]}…"
    sure = "" if row.is_sure else " unsure"
    return (
        f'<g class="row{sure}"><title>{html(f"{row.name}: {row.shown}")}</title>'
        f'<rect class="hover" x="0" y="{y - ROW / 2:.1f}" width="{WIDTH}" height="{ROW}"/>'
        f'<text x="{NAMES - 12}" y="{y + 5:.1f}" text-anchor="end">{html(name)}</text>'
        f'<line class="range {side}" x1="{x(row.low):.1f}" x2="{x(row.high):.1f}" '
        f'y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<circle class="dot {side}" cx="{x(row.value):.1f}" cy="{y:.1f}" r="5"/></g>'
    )


def histogram(plot):
    """Return counts between edges as an SVG element, one series as bars, more as steps.

    Parameters
    ----------
    plot : Histogram
        Edges that rise, and counts between them.
    """
    edges = [math.log1p(edge) for edge in plot.edges] if plot.log_x else plot.edges
    low, high = edges[0], edges[-1]
    most = max(max(counts) for _, counts in plot.series) or 1
    y_ticks = [tick for tick in ticks_of(0, most) if tick == int(tick)]
    # Names of marks stand above the bars.
    top = max(y_ticks[-1], most * (HEADROOM if plot.marks else 1))

    def x(value):
        value = math.log1p(value) if plot.log_x else value
        return LEFT + (value - low) / ((high - low) or 1.0) * (WIDTH - LEFT - RIGHT)

    def y(value):
        return HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html(plot.title)}">',
        f"<title>{html(plot.title)}</title><desc>{html(plot.meaning)}</desc>",
        *_frame(plot, y_ticks, x, y),
    ]
    for i, (_, counts) in enumerate(plot.series):
        parts += _bars(i, plot.edges, counts, x, y) if len(plot.series) == 1 else [
            _steps(i, plot.edges, counts, x, y)
        ]  # fmt: skip
    if len(plot.series) > 1:
        parts += _columns(plot, x, y)
    for value, name in plot.marks:
        parts.append(
            f'<line class="mark" x1="{x(value):.1f}" x2="{x(value):.1f}" y1="{TOP}" '
            f'y2="{HEIGHT - BOTTOM}"/><text x="{x(value) + 6:.1f}" y="{TOP + 12}">'
            f"{html(name)}</text>"
        )
    return "".join([*parts, "</svg>"])


def _frame(plot, y_ticks, x, y):
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = []
    for tick in y_ticks:
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>'
            f'<text x="{LEFT - 8}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:,.0f}</text>'
        )
    first, last = plot.edges[0], plot.edges[-1]
    ticks = log_ticks(max(first, 1.0), last) if plot.log_x else ticks_of(first, last)
    labels = tick_labels(ticks, log=plot.log_x)
    for tick, label in zip(ticks, labels, strict=True):
        if not first <= tick <= last:
            continue
        parts.append(
            f'<line class="grid" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{bottom}" '
            f'y2="{bottom + 5}"/><text x="{x(tick):.1f}" y="{bottom + 22}" '
            f'text-anchor="middle">{label}</text>'
        )
    middle, height = (LEFT + right) / 2, (TOP + bottom) / 2
    parts.append(
        f'<text class="label" x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">'
        f'{html(plot.x_label)}</text><text class="label" '
        f'transform="translate(20 {height}) rotate(-90)" text-anchor="middle">'
        f"{html(plot.y_label)}</text>"
    )
    return parts


def _between(low, high):
    return f"{low:,.3g} to {high:,.3g}"


def _bars(i, edges, counts, x, y):
    parts = []
    for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True):
        side = "s0" if low + high >= 0 else "s1"
        parts.append(
            f'<rect class="bar {side}" x="{x(low):.1f}" y="{y(count):.1f}" '
            f'width="{max(x(high) - x(low) - 1, 0.5):.1f}" height="{y(0) - y(count):.1f}">'
            f"<title>{html(f'{_between(low, high)}: {count:,}')}</title></rect>"
        )
    return parts


def _steps(i, edges, counts, x, y):
    points = [(x(edges[0]), y(0))]
    for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True):
        points += [(x(low), y(count)), (x(high), y(count))]
    points.append((x(edges[-1]), y(0)))
    path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
    return (
        f'<polygon class="band s{i}" points="{path}"/><polyline class="line s{i}" points="{path}"/>'
    )


def _columns(plot, x, y):
    """Return what a pointer over each bin shows."""
    parts = []
    for k, (low, high) in enumerate(zip(plot.edges[:-1], plot.edges[1:], strict=True)):
        counts = ", ".join(f"{name} {values[k]:,}" for name, values in plot.series)
        parts.append(
            f'<rect class="hover" x="{x(low):.1f}" y="{TOP}" '
            f'width="{max(x(high) - x(low), 0.5):.1f}" height="{HEIGHT - BOTTOM - TOP}">'
            f"<title>{html(f'{_between(low, high)}: {counts}')}</title></rect>"
        )
    return parts
