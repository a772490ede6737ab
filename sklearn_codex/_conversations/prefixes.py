r"""Text without marks of roles whose responses begin with the prompt: where that ends.

A row alone does not tell a prompt from words with which two responses happen to begin. Whole files
do: where in nearly all rows both responses begin with the prompt of the row, or share text that
ends with the same words in all rows, such as "\n\nTL;DR:".
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from statistics import median

from sklearn_codex._conversations.template import write_response
from sklearn_codex._conversations.transcripts import parse

LONG = 16
"""A prompt of this many characters is no greeting that two answers return."""

NEARLY_ALL = 0.95
"""The part of rows that a rule of a file holds in."""

FEWEST = 8
"""Rows from which a rule of a file is inferred."""

_REMAINDER = 40  # characters that answers of one marker share after it, in half of the rows
_LONGEST = 60  # characters of a marker
_SAMPLE = 1000  # rows in which markers are looked for
_MARK = re.compile(r"[:\uff1a>\]]|(?<=\S)\n")


def cut_prefix(
    prompt: str, first: str, second: str, *, is_sure: bool = False
) -> tuple[str, str] | None:
    r"""Return both responses without the prompt with which they begin, None where they do not.

    Nor is it cut off where nothing would be left of a response, or it ends within a word of one.

    Parameters
    ----------
    prompt, first, second : str
        Blanks around the prompt and before the responses do not count.
    is_sure : bool, default=False
        Whether the responses of the file are known to repeat their prompts; else a prompt of fewer
        than ``LONG`` characters has to end a line or a question.

    Examples
    --------
    >>> from sklearn_codex._conversations.prefixes import cut_prefix
    >>> cut_prefix("2 + 2?", "2 + 2? 4", "2 + 2? 5")
    ('4', '5')
    >>> cut_prefix("Hello", "Hello! How are you?", "Hello, what now?")
    """
    asked = prompt.strip()
    first, second = first.lstrip(), second.lstrip()
    if not (first.startswith(asked) and second.startswith(asked)):
        return None
    rests = first[len(asked) :], second[len(asked) :]
    if not all(rest.strip() for rest in rests):
        return None
    is_known = is_sure or len(asked) >= LONG or asked.endswith(("?", ":", "\uff1f", "\uff1a"))
    if not is_known and not all(rest.lstrip(" \t").startswith("\n") for rest in rests):
        return None
    if not is_sure and any(_splits_word(asked, rest) for rest in rests):
        return None
    return _answer(rests[0]), _answer(rests[1])


def _answer(rest: str) -> str:
    """Return what follows a prompt, without the mark of the assistant."""
    parsed = parse(rest)
    if parsed is not None and parsed[1][0].role == "assistant":
        return write_response(parsed[1])
    return rest.strip()


def _splits_word(asked: str, rest: str) -> bool:
    """Tell whether a border is within a word of a script with blanks."""
    return asked[-1].isalnum() and rest[0].isalnum() and max(asked[-1], rest[0]) < "\u0e00"


def repeats_prompt(
    prompts: Sequence[str | None], firsts: Sequence[str], seconds: Sequence[str]
) -> bool:
    """Tell whether in nearly all rows, of which there are enough, both responses begin with the
    prompt.

    Parameters
    ----------
    prompts : sequence of str or None of length n_rows
    firsts, seconds : sequence of str of length n_rows
    """  # noqa: D205
    rows = [
        cut_prefix(prompt, first, second, is_sure=True) is not None
        for prompt, first, second in zip(prompts, firsts, seconds, strict=True)
        if prompt is not None and prompt.strip()
    ]
    return len(rows) >= FEWEST and sum(rows) >= NEARLY_ALL * len(rows)


def shared_prefix_marker(
    firsts: Sequence[str], seconds: Sequence[str], *, fewest: int = FEWEST
) -> list[int] | None:
    r"""Return where in each row the prompt ends that both responses begin with.

    Both responses of nearly all rows begin with the same text, different from row to row, that
    holds the same marker near its end: words before a colon, a bracket or the end of a line, such
    as "\n\nTL;DR:" or "### Response:\n".

    Parameters
    ----------
    firsts, seconds : sequence of str of length n_rows
        The responses, without a prompt column.
    fewest : int, default=FEWEST
        Rows with different responses from which on it is a rule.

    Returns
    -------
    cuts : list of int of length n_rows or None
        The characters of both responses of a row that are its prompt, 0 in the few rows without the
        marker. None where there is no marker, or are fewer rows with different responses:
        responses that only begin with the same words have no prompt that anybody could tell.

    Examples
    --------
    >>> from sklearn_codex._conversations.prefixes import shared_prefix_marker
    >>> posts = [f"Post {i}: it rained.\n\nTL;DR:" for i in range(9)]
    >>> cuts = shared_prefix_marker([p + " Wet." for p in posts], [p + " Dry." for p in posts])
    >>> cuts == [len(post) for post in posts]
    True
    """
    pairs = list(zip(firsts, seconds, strict=True))
    differ = [row for row, (one, other) in enumerate(pairs) if one.strip() != other.strip()]
    if len(differ) < fewest:
        return None
    sample = [_shared_start(*pairs[row]) for row in differ[:: 1 + len(differ) // _SAMPLE]]
    markers = _common_markers(sample)
    shared = [_shared_start(one, other) for one, other in pairs] if markers else []
    for marker in markers:
        cuts = [_last_end(marker, text) for text in shared]
        if _is_rule(marker, [cuts[row] for row in differ], [shared[row] for row in differ]):
            return cuts
    return None


def _shared_start(one: str, other: str) -> str:
    """Return what two texts begin with, found by halving, as comparing by characters is slow."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return one[:low]


def _common_markers(texts: Sequence[str]) -> list[str]:
    """Return the markers that nearly all texts hold, those nearest to the end of texts first."""
    found = [dict(_markers(text)) for text in texts]
    counts = Counter(marker for row in found for marker in row)
    rests = {
        marker: median(
            len(text) - row[marker] for text, row in zip(texts, found, strict=True) if marker in row
        )
        for marker, n in counts.items()
        if n >= NEARLY_ALL * len(texts)
    }
    return sorted(rests, key=lambda marker: (rests[marker], -len(marker)))


def _markers(text: str) -> Iterator[tuple[str, int]]:
    """Yield each text that may be a marker, the line up to its mark or the last word of it, and
    where it ends.
    """  # noqa: D205
    for mark in _MARK.finditer(text):
        begin = text.rfind("\n", 0, mark.start()) + 1
        line = text[max(begin, mark.end() - 2 * _LONGEST) : mark.end()]
        word = line.split()[-1] + line[len(line.rstrip()) :] if line.strip() else ""
        for words in (line.lstrip(), word):
            if 2 <= len(words.strip()) <= _LONGEST:
                yield words, mark.end()


def _last_end(marker: str, text: str) -> int:
    """Return where a marker last ends in a text that does not begin within a word, 0 if nowhere."""
    start = text.rfind(marker)
    while start > 0 and not text[start - 1].isspace():
        start = text.rfind(marker, 0, start)
    return start + len(marker) if start >= 0 else 0


def _is_rule(marker: str, cuts: Sequence[int], texts: Sequence[str]) -> bool:
    """Tell whether a marker ends different prompts in nearly all rows, near what differs."""
    held = [(text, cut) for text, cut in zip(texts, cuts, strict=True) if cut]
    starts = {text[: cut - len(marker)].strip() for text, cut in held}
    return (
        len(held) >= NEARLY_ALL * len(texts)
        and len(starts - {""}) >= 2
        and median(len(text) - cut for text, cut in held) <= _REMAINDER
    )
