"""Numbers as tables show them."""

import math


def number(value, digits=4):
    """Return a number as a reader wants it: thousands apart, four significant digits."""
    if isinstance(value, str):
        return value
    if not math.isfinite(value):
        return str(value)
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


def is_number(cell):
    """Tell whether a cell begins as a number does, so that it stands to the right."""
    return cell.replace(",", "").replace("+", "").lstrip("-").replace(".", "", 1)[:1].isdigit()


def equal_digits(rows, digits=4):
    """Return rows of text, the numbers of a column with equally many digits after the point.

    Parameters
    ----------
    rows : list of tuple
        Numbers and text; a column that has both keeps what each number needs.
    digits : int, default=4
        Significant ones, of the smallest number.
    """
    columns = []
    for cells in zip(*rows, strict=True):
        shown = [number(cell, digits) for cell in cells]
        if _are_close(cells):
            places = max(len(cell.partition(".")[2]) for cell in shown)
            shown = [f"{cell:,.{places}f}" for cell in cells]
        columns.append(shown)
    return [list(row) for row in zip(*columns, strict=True)]


def _are_close(cells):
    """Whether all cells are numbers of a like size, not all of them whole."""
    if any(isinstance(cell, str) or not math.isfinite(cell) for cell in cells):
        return False
    if all(cell == int(cell) for cell in cells):
        return False
    return all(cell == 0 or 1e-3 <= abs(cell) < 1e3 for cell in cells)
