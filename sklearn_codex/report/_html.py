"""Reports as one HTML page that needs nothing but itself."""

from importlib.resources import files
from string import Template

from sklearn_codex.report._blocks import (
    Box,
    Chart,
    Examples,
    Facts,
    Findings,
    Note,
    Section,
    TableBlock,
)
from sklearn_codex.report._escape import html as text
from sklearn_codex.report._numbers import is_number, number
from sklearn_codex.report._svg import line_chart

MAX_CHARACTERS = 1200
STATUS = {
    "look": ("!", "look at it"),
    "note": ("-", "good to know"),
    "ok": ("✓", "nothing found"),
    "skipped": ("?", "not checked"),
}


def page(title, subtitle, sections, footer, top=()):
    """Return a whole page.

    Parameters
    ----------
    title, subtitle, footer : str
        Plain text.
    sections : list of Section
        What is shown, in order.
    top : list of blocks, default=()
        What stands before the answers.

    Returns
    -------
    html : str
    """
    style = files("sklearn_codex.report").joinpath("report.css").read_text(encoding="utf-8")
    contents = "".join(
        f'<li><a href="#s{i}">{text(section.question)}</a><p>{text(section.answer)}</p></li>'
        for i, section in enumerate(sections, start=1)
    )
    return _PAGE.substitute(
        title=text(title),
        subtitle=text(subtitle),
        style=style,
        contents=contents,
        top="".join(map(_draw, top)),
        body="".join(_section(i, section) for i, section in enumerate(sections, start=1)),
        footer=text(footer),
    )


_PAGE = Template(
    """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>$title</title>
<style>
$style</style>
</head>
<body>
<main>
<header><h1 dir="auto">$title</h1><p>$subtitle</p></header>
$top
<nav aria-label="Answers"><ol>$contents</ol></nav>
$body
<footer>$footer</footer>
</main>
</body>
</html>
"""
)


def _section(i, section: Section):
    blocks = "".join(_draw(block) for block in section.blocks)
    return (
        f'<section id="s{i}"><h2>{text(section.question)}</h2>'
        f'<p class="answer">{text(section.answer)}</p>{blocks}</section>'
    )


def _draw(block):
    draw = {
        TableBlock: _table,
        Chart: _chart,
        Findings: _findings,
        Examples: _examples,
        Note: _note,
        Box: _box,
        Facts: _facts,
    }
    return draw[type(block)](block)


def _note(block):
    return f'<p class="note">{text(block.text)}</p>'


def _box(block):
    return f'<p class="box" role="alert">{text(block.text)}</p>'


def _facts(block):
    items = "".join(
        f"<dt>{text(name)}</dt><dd>{'<br>'.join(map(text, lines))}</dd>"
        for name, lines in block.items
    )
    return f'<dl class="facts">{items}</dl>'


def _meaning(sentence):
    return f'<p class="meaning">{text(sentence)}</p>' if sentence else ""


def _title(title):
    return f"<h3>{text(title)}</h3>" if title else ""


def _table(block):
    rows = [[cell if isinstance(cell, str) else number(cell) for cell in row] for row in block.rows]
    kinds = [
        ' class="n"' if all(is_number(row[i]) for row in rows) else ""
        for i in range(len(block.header))
    ]
    head = "".join(
        f'<th scope="col"{kind}>{text(name)}</th>'
        for name, kind in zip(block.header, kinds, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(
            f"<td{kind}><bdi>{_cell(cell)}</bdi></td>"
            for cell, kind in zip(row, kinds, strict=True)
        )
        + "</tr>"
        for row in rows
    )
    return (
        f'{_title(block.title)}<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr>'
        f"</thead><tbody>{body}</tbody></table></div>{_meaning(block.meaning)}"
    )


def _cell(value):
    # An interval is not torn apart on a narrow screen.
    return text(value, limit=200).replace(", ", ",\N{NO-BREAK SPACE}")


def _chart(block):
    legend = "".join(
        f'<span class="key s{i}{" dashed" * series.dashed}">{text(series.name)}</span>'
        for i, series in enumerate(block.series)
    )
    numbers = f"<details><summary>The numbers</summary>{_table(block.table)}</details>"
    return (
        f"<figure>{_title(block.title)}{line_chart(block)}<figcaption>{legend}</figcaption>"
        f"</figure>{_meaning(block.meaning)}{numbers}"
    )


def _findings(block):
    items = "".join(
        f'<li class="is-{status}"><span class="status" title="{STATUS[status][1]}">'
        f"{STATUS[status][0]}</span><bdi>{text(line)}</bdi></li>"
        for status, line in block.items
    )
    legend = "  ".join(f"{mark} {name}" for mark, name in STATUS.values())
    return (
        f'<ul class="findings">{items}</ul><p class="legend">{text(legend)}</p>'
        f"{_meaning(block.meaning)}"
    )


def _examples(block):
    parts = []
    for position, (title, texts) in enumerate(block.items):
        is_open = " open" if position == 0 else ""
        inside = "".join(
            f'<dt dir="auto">{text(label)}</dt><dd dir="auto">{_shown(value)}</dd>'
            for label, value in texts
        )
        parts.append(
            f'<details{is_open}><summary dir="auto">{text(title)}</summary>'
            f"<dl>{inside}</dl></details>"
        )
    return f"{_title(block.title)}{_meaning(block.meaning)}{''.join(parts)}"


def _shown(value):
    return text(value, limit=MAX_CHARACTERS) if value.strip() else "<em>(empty)</em>"
