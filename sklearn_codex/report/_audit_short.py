"""An audit in a few lines: the verdict, the answers and what to do."""

import textwrap

from sklearn_codex._plain import plain
from sklearn_codex.report._audit_decision_words import UNCHANGED
from sklearn_codex.report._audit_units import Units
from sklearn_codex.report._escape import html
from sklearn_codex.report._plural import count

WIDTH = 80
MOST_REASON = 3
MOST_TASKS = 5
NAME, WORD = 13, 13
ACTION, ROWS, CHANGED = 42, 7, 12
COLOURS = {
    "good": "#00794f",
    "warn": "#a85400",
    "bad": "#b3261e",
    "open": "#5b4b9a",
    "plain": "#57606a",
}
CHANGES = {"raises": "rises", "lowers": "falls", "not shown": "not shown", "not tested": ""}


def short_lines(audit, sections, decision, width=WIDTH):
    """Return the audit as (kind, text) of at most 22 lines, none longer than the width.

    Parameters
    ----------
    audit : dict
        Of which it is told what was read.
    sections : list of Section
        With their answers in a word and a line.
    decision : Decision
        The verdict.
    width : int, default=80
        In characters.

    Returns
    -------
    lines : list of (str, str)
        The kind is the tone of the verdict, of an answer, or "text".
    """
    lines = [(f"verdict {decision.tone}", decision.verdict.upper())]
    lines += [("text", line) for line in _wrap(decision.reason, width, MOST_REASON)]
    lines += [("text", ""), ("soft", _cut(what_was_read(audit), width)), ("text", "")]
    for section in sections:
        head = f"{section.name:<{NAME}}{section.word:<{WORD}}"
        lines.append((section.tone, head + _cut(section.line, width - len(head))))
    if decision.tasks:
        head = f"{'To do':<{ACTION}}{'pairs':>{ROWS}}  accuracy without"
        lines += [("text", ""), ("bold", head)]
        is_long = len(decision.tasks) > MOST_TASKS
        shown = decision.tasks[: MOST_TASKS - is_long]
        lines += [("text", _cut(_task(task), width)) for task in shown]
        rest = len(decision.tasks) - len(shown)
        if rest:
            lines.append(("soft", f"  and {rest} more in the report"))
    return lines


def what_was_read(audit):
    """Return the file, its size and the date, in one line."""
    sizes, units = audit["sizes"], Units.of(audit)
    known = units.count(sizes["n_groups"]) if units.are_known else "no prompts"
    date = f", {audit['date'][:10]}" if audit.get("date") else ""
    return f"{plain(audit['source'])}: {count(sizes['n_pairs'], 'pair')}, {known}{date}"


def _task(task):
    rows = f"{task.n_rows:,}" if task.n_rows else ""
    action = _cut(plain(task.action), ACTION - 1)
    known = "no change" if task.effect == UNCHANGED else CHANGES[task.verdict]
    changed = f"{known:<{CHANGED}}{task.numbers}"
    return f"{action:<{ACTION}}{rows:>{ROWS}}  {changed}".rstrip()


def _wrap(text, width, most):
    lines = textwrap.wrap(plain(text), width, break_on_hyphens=False)
    if len(lines) > most:
        lines = [*lines[: most - 1], _cut(" ".join(lines[most - 1 :]), width)]
    return lines


def _cut(text, width):
    return text if len(text) <= width else f"{text[: width - 1].rstrip()}…"


def short_text(audit, sections, decision):
    """Return the audit in a few lines of plain text."""
    return "\n".join(line for _, line in short_lines(audit, sections, decision))


def short_html(audit, sections, decision):
    """Return the verdict, the answers and what to do as HTML for a notebook, with its own style."""
    answers = "".join(
        '<tr><td style="text-align:left;white-space:nowrap">'
        f"{_pill(section.word, section.tone)}</td>"
        f'<td style="text-align:left"><b>{html(section.question)}</b><br>{html(section.answer)}'
        "</td></tr>"
        for section in sections
    )
    return (
        '<div style="max-width:52em;line-height:1.45">'
        f'<p style="font-size:1.25em;margin:0 0 .3em">{_pill(decision.verdict, decision.tone)}</p>'
        f'<p style="margin:0 0 .3em">{html(decision.reason)}</p>'
        f'<p style="margin:0 0 .8em;opacity:.75">{html(what_was_read(audit))}</p>'
        f"<table><tbody>{answers}</tbody></table>{_tasks(decision.tasks)}"
        '<p style="opacity:.75">The whole page: <code>audit.to_html("report.html")</code>; '
        "tables: <code>audit.frames</code>.</p></div>"
    )


def _pill(word, tone):
    return (
        f'<span style="display:inline-block;padding:.05em .6em;border-radius:.8em;color:#fff;'
        f'background:{COLOURS[tone]}">{html(word)}</span>'
    )


def _tasks(tasks):
    if not tasks:
        return ""
    rows = "".join(
        f'<tr><td style="text-align:left">{html(task.action)}</td>'
        f"<td>{f'{task.n_rows:,}' if task.n_rows else ''}</td>"
        f'<td style="text-align:left">{html(task.effect)}</td></tr>'
        for task in tasks
    )
    return (
        '<table><thead><tr><th style="text-align:left">To do</th><th>pairs</th>'
        '<th style="text-align:left">accuracy without them</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )
