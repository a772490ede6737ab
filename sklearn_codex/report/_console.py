"""Titles, tables and lines in the terminal."""

import unicodedata
from itertools import zip_longest
from textwrap import wrap
from typing import Literal

from sklearn_codex._plain import plain, show_controls
from sklearn_codex.report._numbers import is_number, number
from sklearn_codex.report._terminal import standard_output

STYLES = {
    "verdict good": "bold green",
    "verdict warn": "bold yellow",
    "verdict bad": "bold red",
    "verdict open": "bold magenta",
    "good": "green",
    "warn": "yellow",
    "bad": "red",
    "open": "magenta",
    "soft": "dim",
    "bold": "bold",
}


def rich_console(**options):
    """Return a console of rich, or say how to install it where it is missing."""
    try:
        from rich.console import Console as RichConsole
    except ModuleNotFoundError as error:
        if str(error.name).partition(".")[0] != "rich":  # but something that rich imports
            raise
        raise ImportError(
            "The command line needs the library rich. Install it with: "
            "pip install 'sklearn-codex[progress,io]'"
        ) from None

    class PatientConsole(RichConsole):
        def on_broken_pipe(self):  # rich would end the process
            raise

    return PatientConsole(**options)


class Console:
    """Titles, tables and lines on standard output, drawn by rich; controls in them are marks."""

    def __init__(self):
        self._console = rich_console(highlight=False, emoji=False)

    def _print(self, *drawn, **options):
        with standard_output():
            self._console.print(*drawn, **options)

    def _say(self, text, **options):
        self._print(show_controls(text), markup=False, **options)

    def title(self, title, subtitle=""):
        """Begin a section."""
        from rich.text import Text

        self._print()
        title, subtitle = map(show_controls, (title, subtitle))
        self._print(Text.assemble((title, "bold"), "  ", (subtitle, "dim")))

    def table(self, header, rows):
        """Show rows under a header, numbers to the right."""
        from rich import box
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="")
        rows = [tuple(map(_cell, row)) for row in rows]
        for i, name in enumerate(header):
            are_numbers = all(is_number(row[i]) for row in rows)
            justify: Literal["left", "right"] = "right" if are_numbers else "left"
            table.add_column(Text(show_controls(name)), justify=justify, overflow="fold")
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        self._print(table)

    def note(self, text):
        """Explain a table in a sentence, if there is one to say."""
        if text:
            self._say(text, style="dim")

    def lead(self, text):
        """Say something in full."""
        self._say(text)

    def short(self, text, kind):
        """Show a line that is not broken, in the style of its kind."""
        if text:
            self._say(text, style=STYLES.get(kind, ""), no_wrap=True, overflow="ellipsis")
        else:
            self._print()

    def heading(self, text):
        """Begin a part of a section, if it has a name."""
        if text:
            self._print()
            self._say(text, style="bold")

    def item(self, mark, text, *, strong=False):
        """Show a line of a list."""
        from rich.table import Table
        from rich.text import Text

        grid = Table.grid(padding=(0, 1))
        mark = Text(f" {mark}", style="bold red" if strong else "bold")
        grid.add_row(mark, Text(show_controls(text)))
        self._print(grid)

    def box(self, text):
        """Show what has to be read first."""
        from rich import box
        from rich.panel import Panel
        from rich.text import Text

        self._print()
        self._print(Panel(Text(show_controls(text)), box=box.HORIZONTALS, border_style="bold red"))

    def facts(self, items):
        """Show names, each with its lines beside it."""
        from rich.table import Table
        from rich.text import Text

        grid = Table.grid(padding=(0, 2))
        grid.add_column(no_wrap=True)
        grid.add_column(overflow="fold")
        for name, lines in items:
            for position, line in enumerate(lines):
                shown = Text(show_controls("" if position else name), style="dim")
                grid.add_row(shown, Text(show_controls(line)))
        self._print(grid)

    def sample(self, label, text):
        """Show the beginning of a text on one line."""
        from rich.text import Text

        label, text = f"{plain(label)}  ", plain(text)
        line = Text.assemble((label, "bold"), text)
        line.truncate(self._console.width, overflow="ellipsis")
        n_shown = len(line.plain) - 1
        if line.plain != label + text and n_shown > len(label):
            cut = behind_marks(text, n_shown - len(label))
            line = Text.assemble((label, "bold"), f"{text[:cut]}…")
        self._print(line, no_wrap=True)

    def beside(self, texts, *, n_lines):
        """Show the beginnings of texts, a dict by their names, in columns of one width."""
        from rich.table import Table
        from rich.text import Text

        gap = 3
        width = max(8, (self._console.width - gap * (len(texts) - 1)) // len(texts))
        grid = Table.grid(padding=(0, gap))
        for _ in texts:
            grid.add_column(width=width, no_wrap=True)
        columns = []
        for name, text in texts.items():
            lines = wrap(plain(text), width, max_lines=n_lines, placeholder=" …")
            columns.append([Text(name, style="bold"), *map(Text, lines)])
        for row in zip_longest(*columns, fillvalue=Text()):
            grid.add_row(*row)
        self._print(grid)

    def line(self, text):
        """Show one line."""
        self._print()
        self._say(text)


def behind_marks(text, position):
    """Return where the marks without width end that belong to the character before a position."""
    while position < len(text) and unicodedata.category(text[position]) in ("Mn", "Me"):
        position += 1
    return position


def _cell(value):
    return show_controls(value) if isinstance(value, str) else number(value)
