"""The audit in the terminal."""

from sklearn_codex._plain import plain
from sklearn_codex.report._blocks import (
    Box,
    Chart,
    Decision,
    Examples,
    Facts,
    Findings,
    Histogram,
    Intervals,
    Note,
    TableBlock,
)
from sklearn_codex.report._escape import shorten
from sklearn_codex.report._html import STATUS

N_EXAMPLES = 3
MAX_CELL = 90


def print_sections(console, sections, top=()):
    """Show sections on a console, charts as tables, of examples the first few.

    Parameters
    ----------
    console : Console
        Where.
    sections : list of Section
        In order.
    top : list of blocks, default=()
        What stands before them.
    """
    for block in top:
        _print(console, block)
    for section in sections:
        console.title(section.question)
        console.lead(section.answer)
        for block in section.blocks:
            _print(console, block)


def print_short(console, lines):
    """Show an audit in a few lines, as from ``short_lines``."""
    for kind, line in lines:
        console.short(line, kind)


def _print(console, block):
    draw = {
        Note: lambda console, block: console.line(block.text),
        Box: lambda console, block: console.box(block.text),
        Facts: lambda console, block: console.facts(block.items),
        Decision: _decision,
        Findings: _findings,
        Chart: _figure,
        Histogram: _figure,
        Intervals: _figure,
        Examples: _examples,
        TableBlock: _table,
    }
    draw[type(block)](console, block)


def _decision(console, block):
    console.heading(block.verdict)
    console.lead(block.reason)
    for task in block.tasks:
        console.item("-", _say(task))


def _findings(console, block):
    for status, line in block.items:
        console.item(STATUS[status][0], line, strong=status == "look")
    console.note(block.meaning)


def _figure(console, block):
    console.heading(block.title)
    console.table(block.table.header, [tuple(map(_cell, row)) for row in block.table.rows])
    console.note(block.meaning)


def _examples(console, block):
    console.heading(block.title)
    for title, texts in block.items[:N_EXAMPLES]:
        console.lead(title)
        for label, value in texts:
            console.sample(f"  {label}", plain(value) or "(empty)")
    console.note(block.meaning)


def _table(console, block):
    console.heading(block.title)
    console.table(block.header, [tuple(map(_cell, row)) for row in block.rows])
    console.note(block.meaning)


def _say(task):
    rows = f" ({task.n_rows:,})" if task.n_rows else ""
    effect = f", accuracy without them: {task.effect}" if task.effect else ""
    return f"{task.action}{rows}{effect}. {task.where}"


def _cell(value):
    return shorten(plain(value), MAX_CELL) if isinstance(value, str) else value
