"""Lists as CSV that a spreadsheet shows and does not run."""

import csv
import io
import re

# What a spreadsheet takes for a formula, also behind what it drops: blanks, marks of the beginning
# of a text, quotes.
_RUNS = re.compile(
    "[\\s\\x00-\\x1f\ufeff\u200b-\u200f\u2060\"']*[=+\\-@\uff1d\uff0b\uff0d\uff20]|[\\t\\r\\n]"
)
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?%?\s*", re.ASCII)
QUOTED = "quoted"


def as_csv(rows):
    """Return rows as CSV.

    Text that a spreadsheet would run as a formula begins with an apostrophe, which is not part of
    it; the last column names the columns of the row for which that is so.

    Parameters
    ----------
    rows : list of dict
        Values by column; a row that lacks a column of another has nothing there.

    Returns
    -------
    content : str
    """
    file = io.StringIO(newline="")
    names = dict.fromkeys(name for row in rows for name in row)
    writer = csv.DictWriter(file, fieldnames=[*names, QUOTED])
    writer.writeheader()
    for row in rows:
        quoted = [name for name, value in row.items() if _would_run(value)]
        changed = {name: f"'{row[name]}" for name in quoted}
        writer.writerow({**row, **changed, QUOTED: " ".join(quoted)})
    return file.getvalue()


def _would_run(value):
    return isinstance(value, str) and bool(_RUNS.match(value)) and not _NUMBER.fullmatch(value)
