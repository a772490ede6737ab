"""Responses as a page shows them: two beside each other, what differs marked, code in its font."""

import re
from difflib import SequenceMatcher
from itertools import pairwise

from sklearn_codex.report._escape import html

MAX_CHARACTERS = 1200
MOST_WORDS = 400
"""Of longer texts only the words that one of them lacks are marked, which takes no time."""
LEAST_IN_COMMON = 0.2
"""Of texts with less in common nothing is marked: it would be all of them."""
_WORDS = re.compile(r"\s+|\w+|[^\w\s]")
_FENCE = re.compile(r"(```[^\n]*\n.*?(?:\n```|\Z))", re.DOTALL)
_CODE_LINE = re.compile(
    r"\s*(def |class |import |from \w+ import |return\b|for .*:$|if .*:$|while .*:$|else:|"
    r"elif .*:$|#include|public |private |function |const |let |var |fn |SELECT |@\w+)|"
    r".*[;{}]\s*$|\s{4,}\S"
)
Mark = list[tuple[str, bool]]


def draw_response(text):
    """Return a response as HTML."""
    shown, rest = _cut(text)
    return _draw([(shown, False)], rest) if text.strip() else "<em>(empty)</em>"


def draw_two(one, other):
    """Return two responses as HTML, the words that differ in ``<ins>`` elements.

    Parameters
    ----------
    one, other : str
        Anybody's text.

    Returns
    -------
    html : tuple of str
        Of both.
    """
    (a, rest_a), (b, rest_b) = _cut(one), _cut(other)
    left, right = _differences(_WORDS.findall(a), _WORDS.findall(b))
    if min(_share_in_common(left), _share_in_common(right)) < LEAST_IN_COMMON:
        left, right = [(a, False)], [(b, False)]
    return (
        _draw(left, rest_a) if one.strip() else "<em>(empty)</em>",
        _draw(right, rest_b) if other.strip() else "<em>(empty)</em>",
    )


def preview(text, limit=70):
    """Return the beginning of a text on one line."""
    line = " ".join(text.split())
    return line if len(line) <= limit else f"{line[:limit].rstrip()}…"


def _cut(text):
    """Return the beginning of a text, and how many characters are left out."""
    if len(text) <= MAX_CHARACTERS:
        return text, 0
    shown = text[:MAX_CHARACTERS].rstrip()
    return shown, len(text) - len(shown)


def _differences(a: list[str], b: list[str]) -> tuple[Mark, Mark]:
    """Return the words of two texts in runs, and whether each differs."""
    if len(a) + len(b) > 2 * MOST_WORDS:
        seen_a, seen_b = set(a), set(b)
        return _runs([(word, word not in seen_b) for word in a]), _runs(
            [(word, word not in seen_a) for word in b]
        )
    left: Mark = []
    right: Mark = []
    for kind, a1, a2, b1, b2 in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        left.append(("".join(a[a1:a2]), kind != "equal"))
        right.append(("".join(b[b1:b2]), kind != "equal"))
    return _runs(left), _runs(right)


def _share_in_common(runs: Mark):
    """Return the share of the characters, blanks aside, that are not marked."""
    sizes = [(len("".join(run.split())), differs) for run, differs in runs]
    return sum(n for n, differs in sizes if not differs) / max(sum(n for n, _ in sizes), 1)


def _runs(words: Mark) -> Mark:
    """Return words of one kind joined; a blank between two that differ does too."""
    runs: Mark = []
    for word, differs in words:
        if not word:
            continue
        if runs and runs[-1][1] == differs:
            runs[-1] = (runs[-1][0] + word, differs)
        else:
            runs.append((word, differs))
    return runs


def _draw(runs: Mark, rest):
    """Return runs as HTML, code of the whole text in its font."""
    text = "".join(run for run, _ in runs)
    ends = _code_spans(text)
    parts, position = [], 0
    for run, differs in runs:
        for piece, is_code in _split(run, position, ends):
            shown = html(piece)
            if differs and piece.strip():
                shown = f"<ins>{shown}</ins>"
            parts.append(f"<code>{shown}</code>" if is_code else shown)
        position += len(run)
    if rest:
        parts.append(f" … ({rest:,} more characters)")
    return "".join(parts)


def _code_spans(text):
    """Return the (start, end) of code: what is fenced, or all of what looks like code."""
    fenced = [match.span() for match in _FENCE.finditer(text)]
    if fenced:
        return fenced
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) > 1 and 2 * sum(map(bool, map(_CODE_LINE.match, lines))) >= len(lines):
        return [(0, len(text))]
    return []


def _split(run, start, spans):
    """Return the pieces of a run that begins at a position, and whether each is code."""
    cuts = {0, len(run)}
    for span in spans:
        cuts |= {end - start for end in span if 0 < end - start < len(run)}
    edges = sorted(cuts)
    return [
        (run[a:b], any(low <= start + a < high for low, high in spans)) for a, b in pairwise(edges)
    ]
