"""What the checks found, as tables and as text."""

import textwrap
from html import escape
from typing import Any, Literal, NamedTuple

import numpy as np
from sklearn.utils import Bunch

from sklearn_codex._categorical import IntArray
from sklearn_codex._checks.frames import as_frame
from sklearn_codex._checks.options import check_option
from sklearn_codex._plain import show_controls
from sklearn_codex._tables import Table, as_columns, as_plain
from sklearn_codex.health._words import SECTIONS, count

Status = Literal["look", "note", "ok", "skipped"]

WIDTH = 92
N_ROWS_SHOWN = 8
MARKS: dict[Status, str] = {"look": "!", "note": "-", "ok": "ok", "skipped": "?"}
LEGEND = "!  look at it    -  good to know    ok  checked, nothing found    ?  not checked"
NO_ROWS: IntArray = np.zeros(0, dtype=np.intp)
SECTION_OF = {kind: section for section, kinds in SECTIONS.items() for kind in kinds}


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
    kind : str
        What it is about, such as "contradictions".
    facts : dict
        The numbers and names that the text is made of.
    found : str
        The part of the text that says what was found, without a full stop.
    """

    section: str
    status: Status
    text: str
    rows: IntArray = NO_ROWS
    table: str = ""
    kind: str = ""
    facts: dict[str, Any] = {}
    found: str = ""

    @property
    def leads_to_rows(self) -> bool:
        """Whether the text ends with a colon, and the rows belong behind it."""
        return self.kind in ("unlikely labels", "labels not judged")


def find(kind: str, status: Status, rows: IntArray = NO_ROWS, table: str = "", **facts) -> Finding:
    """Return a finding of a kind, in the words that ``_words`` has for its facts.

    Where nothing is found, there are no details to name a table of.
    """
    section = SECTION_OF[kind]
    found, meaning = SECTIONS[section][kind](**facts)
    text = f"{found}. {meaning}" if meaning else f"{found}."
    if not rows.size and status in ("ok", "skipped"):
        table = ""
    return Finding(section, status, text, rows, table, kind, facts, found)


class PreferenceReport(Bunch):
    """Tables and findings of ``check_preferences``; ``print`` it to read it.

    A notebook shows the findings as a table. ``to_frame`` returns them, or a table of the report by
    its name, as a data frame, ``to_dict`` all of it as plain values.
    """

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

    def _repr_html_(self):
        head = "".join(
            f'<th style="text-align:left">{name}</th>' for name in ("", "found", "pairs")
        )
        rows = "".join(_html_row(finding) for finding in self.findings)
        return (
            f"<p><b>{escape(self._title())}</b></p><table><thead><tr>{head}</tr></thead>"
            f"<tbody>{rows}</tbody></table>"
        )

    def to_frame(self, name="findings"):
        """Return the findings, or a table of the report, as a data frame.

        Parameters
        ----------
        name : str, default="findings"
            "findings", or the name of a table, such as "duplicates" or "wrong_labels".

        Returns
        -------
        frame : pandas.DataFrame, or dict of list
            The latter where pandas is not installed.

        Raises
        ------
        ValueError
            If the report has no table of that name, or could not make it.
        """
        tables = [key for key, value in self.items() if isinstance(value, Table)]
        check_option(name, ["findings", *tables], "the name of a table", subject="to_frame")
        if name != "findings":
            return as_frame(self[name])
        return as_frame(as_columns([_plain_finding(finding) for finding in self.findings]))

    def to_dict(self):
        """Return findings, tables and sizes as numbers, text and lists, which JSON can hold."""
        findings = [_plain_finding(finding) for finding in self.findings]
        return as_plain({**self, "findings": findings})

    def _title(self):
        n_look = sum(finding.status == "look" for finding in self.findings)
        things = count(n_look, "thing") if n_look else "nothing"
        return f"Preferences: {count(self.sizes.n_pairs, 'pair')}, {things} to look at"


def _html_row(finding: Finding) -> str:
    rows = name_rows(finding.rows, begins=False) if finding.rows.size else ""
    weight = "bold" if finding.status == "look" else "normal"
    return (
        f'<tr><td style="text-align:left">{MARKS[finding.status]}</td>'
        f'<td style="text-align:left;font-weight:{weight}">'
        f"{escape(show_controls(finding.text))}</td>"
        f'<td style="text-align:left">{rows}</td></tr>'
    )


def _plain_finding(finding: Finding) -> dict[str, Any]:
    return {
        "section": finding.section,
        "kind": finding.kind,
        "status": finding.status,
        "text": finding.text,
        "n_rows": int(finding.rows.size),
        "rows": finding.rows.tolist(),
    }


def _write(finding: Finding) -> list[str]:
    text = finding.text
    if finding.rows.size:
        text += f" {name_rows(finding.rows, begins=not finding.leads_to_rows)}"
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


def name_rows(rows: IntArray, *, begins: bool) -> str:
    """Return the first rows in words, at the beginning of a sentence or within one."""
    distinct = list(dict.fromkeys(rows.tolist()))
    shown = ", ".join(map(str, distinct[:N_ROWS_SHOWN]))
    rest = ", ..." if len(distinct) > N_ROWS_SHOWN else ""
    name = "Row" if begins else "row"
    return f"{name}{'s' if len(distinct) > 1 else ''} {shown}{rest}"
