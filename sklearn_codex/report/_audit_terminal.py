"""The audit in the terminal."""

from sklearn_codex._plain import plain
from sklearn_codex.report._blocks import Box, Chart, Examples, Facts, Findings, Note, TableBlock
from sklearn_codex.report._escape import shorten
from sklearn_codex.report._html import STATUS

N_EXAMPLES = 3
MAX_CELL = 60


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


def _print(console, block):
    if isinstance(block, Note):
        console.line(block.text)
    elif isinstance(block, Box):
        console.box(block.text)
    elif isinstance(block, Facts):
        console.facts(block.items)
    elif isinstance(block, Findings):
        for status, line in block.items:
            console.item(STATUS[status][0], line, strong=status == "look")
        console.note(block.meaning)
    elif isinstance(block, Chart):
        console.heading(block.title)
        console.table(block.table.header, block.table.rows)
        console.note(block.meaning)
    elif isinstance(block, Examples):
        console.heading(block.title)
        for title, texts in block.items[:N_EXAMPLES]:
            console.lead(title)
            for label, value in texts:
                console.sample(f"  {label}", plain(value) or "(empty)")
        console.note(block.meaning)
    elif isinstance(block, TableBlock):
        console.heading(block.title)
        console.table(block.header, [tuple(map(_cell, row)) for row in block.rows])
        console.note(block.meaning)


def _cell(value):
    return shorten(plain(value), MAX_CELL) if isinstance(value, str) else value
