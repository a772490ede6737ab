"""What the checks found, as tables and as text."""

import textwrap
from typing import Literal, NamedTuple

import numpy as np
from sklearn.utils import Bunch

from sklearn_codex._categorical import IntArray

Status = Literal["look", "note", "ok", "skipped"]

WIDTH = 92
N_ROWS_SHOWN = 8
MARKS: dict[Status, str] = {"look": "!", "note": "-", "ok": "ok", "skipped": "?"}
LEGEND = "!  look at it    -  good to know    ok  checked, nothing found    ?  not checked"
NO_ROWS: IntArray = np.zeros(0, dtype=np.intp)


class Finding(NamedTuple):
    """One line of a report.

    Parameters
    ----------
    section : str
        Heading it stands under.
    status : {"look", "note", "ok", "skipped"}
        Something to look at, a fact, checked and nothing found, or not checked.
    text : str
        What was found and what it means.
    rows : ndarray of int
        The pairs it is about, worst first where they have an order.
    table : str
        Attribute of the report that has the details, "" if none.
    """

    section: str
    status: Status
    text: str
    rows: IntArray = NO_ROWS
    table: str = ""


class PreferenceReport(Bunch):
    """Tables and findings of ``check_preferences``; ``print`` it to read it."""

    def __str__(self):
        lines = [self._title(), "=" * WIDTH]
        section = None
        for finding in self.findings:
            if finding.section != section:
                section = finding.section
                lines += ["", section]
            lines += _write(finding)
        return "\n".join([*lines, "", LEGEND])

    __repr__ = __str__

    def _title(self):
        n_look = sum(finding.status == "look" for finding in self.findings)
        things = count(n_look, "thing") if n_look else "nothing"
        return f"Preferences: {count(self.sizes.n_pairs, 'pair')}, {things} to look at"


def _write(finding: Finding) -> list[str]:
    text = finding.text
    if finding.rows.size:
        rows = name_rows(finding.rows)
        text += " " + (rows.lower() if text.endswith(":") else rows)
        if finding.table and finding.rows.size > N_ROWS_SHOWN:
            text += f" (all: report.{finding.table})"
        text += "."
    mark = f"  {MARKS[finding.status]:<4}"
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=mark,
        subsequent_indent=" " * len(mark),
        break_on_hyphens=False,
        break_long_words=False,
    )


def name_rows(rows: IntArray) -> str:
    """Return the first rows in words."""
    distinct = list(dict.fromkeys(rows.tolist()))
    shown = ", ".join(map(str, distinct[:N_ROWS_SHOWN]))
    rest = ", ..." if len(distinct) > N_ROWS_SHOWN else ""
    return f"Row{'s' if len(distinct) > 1 else ''} {shown}{rest}"


def count(n: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun."""
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def percent(share: float) -> str:
    """Return a share in percent, with a digit after the point where it is small."""
    return f"{100 * share:.1f}%" if share < 0.1 else f"{100 * share:.0f}%"


def points(share: float) -> str:
    """Return the half width of an interval of a share, in percentage points."""
    return f"{100 * share:.0f}" if share >= 0.01 else f"{100 * share:.1f}"
