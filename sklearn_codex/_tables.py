"""Results that print as a table, and tables as data frames."""

import math
from collections.abc import Mapping

import numpy as np
from sklearn.utils import Bunch


class Table(Bunch):
    """Columns of equal length, by name; prints aligned, and ``pandas.DataFrame(table)`` is a frame.

    Examples
    --------
    >>> from sklearn_codex.metrics import quantile_slices, accuracy_by_slice
    >>> slices = quantile_slices([1, 2, 3, 4], 2, name="gap")
    >>> table = accuracy_by_slice([1, 0, 1, 1], [-1.0, -1.0, 2.0, 3.0], slices)
    >>> print(table)
    slice         n  accuracy    low   high
    all           4     0.750  0.301  0.954
    gap [1, 2.5]  2     0.500  0.095  0.905
    gap (2.5, 4]  2     1.000  0.342  1.000
    """

    def __str__(self):
        columns = [_format_column(name, values) for name, values in self.items()]
        return "\n".join("  ".join(cells).rstrip() for cells in zip(*columns, strict=True))


def _format_column(name, values):
    """Return the name and the cells of a column, all of one width."""
    values = np.asarray(values)
    is_text = values.dtype.kind not in "biuf"
    cells = [name]
    cells += [f"{value:.3f}" if values.dtype.kind == "f" else str(value) for value in values]
    width = max(map(len, cells))
    return [cell.ljust(width) if is_text else cell.rjust(width) for cell in cells]


def as_columns(rows):
    """Return rows (list of dict) as a dict of lists; what a row lacks is None."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def as_plain(value):
    """Return a value without arrays and without numbers that JSON does not have."""
    if isinstance(value, Mapping):
        return {str(name): as_plain(part) for name, part in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return as_plain(value.tolist())
    if isinstance(value, list | tuple):
        return [as_plain(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
