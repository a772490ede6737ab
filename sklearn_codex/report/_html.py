"""Reports as one HTML page that needs nothing but itself."""

import base64
import hashlib
from importlib.resources import files
from string import Template

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
    Section,
    TableBlock,
)
from sklearn_codex.report._escape import html as text
from sklearn_codex.report._numbers import equal_digits, is_number
from sklearn_codex.report._responses import draw_response, draw_two, preview
from sklearn_codex.report._svg import line_chart
from sklearn_codex.report._svg_plots import histogram, interval_plot

STATUS = {
    "look": ("!", "look at it"),
    "note": ("-", "good to know"),
    "ok": ("✓", "nothing found"),
    "skipped": ("?", "not checked"),
}


def page(title, subtitle, sections, footer, top=(), *, glossary="", lists=()):
    """Return a whole page.

    Parameters
    ----------
    title, subtitle, footer : str
        Plain text.
    sections : list of Section
        What is shown, in order.
    top : list of blocks, default=()
        What stands before the answers; a decision stands before all of it.
    glossary : str, default=""
        A line below the answers.
    lists : collection of str, default=()
        Names of the files beside the page, which are linked to.

    Returns
    -------
    html : str
        Its one script is allowed by its hash, nothing else is.
    """
    style, script = map(_read, ("report.css", "report.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    decision = [block for block in top if isinstance(block, Decision)]
    rest = [block for block in top if not isinstance(block, Decision)]
    draw = _Drawer(lists)
    return _PAGE.substitute(
        title=text(title),
        subtitle=text(subtitle),
        style=style,
        script=script,
        digest=digest,
        contents=_contents(sections),
        answers="".join(_answer(i, section) for i, section in enumerate(sections, start=1)),
        glossary=f'<p class="glossary">{text(glossary)}</p>' if glossary else "",
        decision="".join(map(_decision, decision)),
        top="".join(map(draw, rest)),
        body="".join(_section(i, section, draw) for i, section in enumerate(sections, start=1)),
        footer=text(footer),
    )


def _read(name):
    return files("sklearn_codex.report").joinpath(name).read_text(encoding="utf-8")


_PAGE = Template(
    """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; \
style-src 'unsafe-inline'; script-src 'sha256-$digest'">
<title>$title</title>
<style>
$style</style>
</head>
<body>
<nav class="contents" aria-label="Contents"><ol>$contents</ol></nav>
<main>
<header><h1 dir="auto">$title</h1><p>$subtitle</p></header>
$decision
$top
<nav class="answers" aria-label="Answers"><ol>$answers</ol></nav>
$glossary
$body
<footer>$footer</footer>
</main>
<script>$script</script>
</body>
</html>
"""
)


def _said(sentence):
    """Return a sentence of the report, in which no number is torn from its per cent."""
    return text(sentence).replace(" %", "\N{NO-BREAK SPACE}%")


def _pill(word, tone):
    return f'<span class="pill is-{tone}">{text(word)}</span>' if word else ""


def _contents(sections):
    return '<li><a href="#top">Verdict</a></li>' + "".join(
        f'<li><a href="#s{i}">{text(section.name or section.question)}</a>'
        f"{_pill(section.word, section.tone)}</li>"
        for i, section in enumerate(sections, start=1)
    )


def _answer(i, section):
    return (
        f'<li>{_pill(section.word, section.tone)}<div><a href="#s{i}">{text(section.question)}</a>'
        f"<p>{_said(section.answer)}</p></div></li>"
    )


def _decision(block):
    tasks = ""
    if block.tasks:
        rows = "".join(
            f"<tr><td><bdi>{text(task.action)}</bdi><br>"
            f'<span class="where"><bdi>{text(task.where)}</bdi></span></td>'
            f'<td class="n"><bdi>{f"{task.n_rows:,}" if task.n_rows else ""}</bdi></td>'
            f'<td class="is-{task.verdict.replace(" ", "-")}">'
            f"<bdi>{_said(task.effect)}</bdi></td></tr>"
            for task in block.tasks
        )
        tasks = (
            '<div class="scroll" tabindex="0"><table class="tasks"><thead><tr>'
            '<th scope="col">To do</th><th scope="col" class="n">pairs</th>'
            '<th scope="col">accuracy without them</th></tr></thead>'
            f"<tbody>{rows}</tbody></table></div>"
        )
    return (
        f'<div id="top" class="decision is-{block.tone}">'
        f'<p class="verdict">{text(block.verdict)}</p>'
        f"<p>{_said(block.reason)}</p>{tasks}</div>"
    )


def _section(i, section: Section, draw):
    blocks = "".join(draw(block) for block in section.blocks)
    return (
        f'<section id="s{i}"><h2>{text(section.question)} {_pill(section.word, section.tone)}</h2>'
        f'<p class="answer">{_said(section.answer)}</p>{blocks}</section>'
    )


class _Drawer:
    """Draws blocks; knows which files lie beside the page."""

    def __init__(self, lists):
        self._lists = lists

    def __call__(self, block):
        draw = {
            TableBlock: _table,
            Chart: _chart,
            Findings: _findings,
            Examples: self._examples,
            Note: _note,
            Box: _box,
            Facts: _facts,
            Intervals: _intervals,
            Histogram: _histogram,
        }
        return draw[type(block)](block)

    def _examples(self, block):
        link = ""
        if block.file in self._lists:
            link = f'<p class="list"><a href="{text(block.file)}">{text(block.file)}</a></p>'
        items = "".join(_example(i, *item) for i, item in enumerate(block.items))
        return (
            f"{_title(block.title)}{_meaning(block.meaning)}{link}"
            f'<div class="examples">{items}</div>'
        )


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
    return f'<p class="meaning">{_said(sentence)}</p>' if sentence else ""


def _title(title):
    return f"<h3>{text(title)}</h3>" if title else ""


# Columns past which a table may take the empty margin.
WIDE = 5


def _table(block):
    rows = equal_digits(block.rows)
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
    wide = " wide" if len(block.header) > WIDE else ""
    return (
        f'{_title(block.title)}<div class="scroll{wide}" tabindex="0"><table><thead><tr>{head}</tr>'
        f"</thead><tbody>{body}</tbody></table></div>{_meaning(block.meaning)}"
    )


def _cell(value):
    # Neither an interval nor a small p is torn apart on a narrow screen.
    shown = text(value, limit=200).replace(", ", ",\N{NO-BREAK SPACE}")
    return shown.replace("&lt; ", "&lt;\N{NO-BREAK SPACE}")


def _chart(block):
    legend = "".join(
        f'<span class="key s{i}{" dashed" * series.dashed}">{text(series.name)}</span>'
        for i, series in enumerate(block.series)
    )
    return _figure(block, line_chart(block), legend)


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


def _intervals(block):
    names = [name for name in block.sides if name]
    legend = "".join(
        f'<span class="key s{1 - i}">{text(name)}</span>' for i, name in enumerate(names)
    )
    return _figure(block, interval_plot(block), legend)


def _histogram(block):
    legend = ""
    if len(block.series) > 1:
        legend = "".join(
            f'<span class="key s{i}">{text(name)}</span>'
            for i, (name, _) in enumerate(block.series)
        )
    return _figure(block, histogram(block), legend)


def _figure(block, picture, legend):
    numbers = f"<details><summary>The numbers</summary>{_table(block.table)}</details>"
    return (
        f"<figure>{_title(block.title)}{picture}<figcaption>{legend}</figcaption>"
        f"</figure>{_meaning(block.meaning)}{numbers}"
    )


SIDES = (
    ("Chosen", "Rejected"),
    ("A", "B"),
    ("Preferred", "Not preferred"),
    ("One", "The other"),
)


def _example(position, title, texts):
    """Return an item that opens, its two responses beside each other."""
    is_open = " open" if position == 0 else ""
    parts, left = [], list(texts)
    while left:
        labels = tuple(label for label, _ in left[:2])
        two = any(_is_pair(labels, sides) for sides in SIDES)
        parts.append(_two(left[:2]) if two else _one(*left[0]))
        left = left[2 if two else 1 :]
    begins = next((value for label, value in texts if value.strip()), "")
    shown = f' <span class="preview">{text(preview(begins))}</span>' if begins else ""
    return (
        f'<details{is_open}><summary dir="auto">{text(title)}{shown}</summary>'
        f"{''.join(parts)}</details>"
    )


def _is_pair(labels, sides):
    """Whether labels are those of two responses, also of another part of a split."""
    return len(labels) == 2 and all(
        label == side or label.startswith(f"{side} in ")
        for label, side in zip(labels, sides, strict=True)
    )


def _one(label, value):
    return f'<dl><dt dir="auto">{text(label)}</dt><dd dir="auto">{draw_response(value)}</dd></dl>'


def _two(texts):
    (one, a), (other, b) = texts
    columns = "".join(
        f'<dl><dt dir="auto">{text(label)}</dt><dd dir="auto">{shown}</dd></dl>'
        for label, shown in zip((one, other), draw_two(a, b), strict=True)
    )
    return f'<div class="two">{columns}</div>'
