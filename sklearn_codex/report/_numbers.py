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
