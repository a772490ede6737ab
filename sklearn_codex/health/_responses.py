"""Responses that are equal, empty or cut off."""

import re

import numpy as np

from sklearn_codex._categorical import IntArray
from sklearn_codex._tables import Table
from sklearn_codex._text.scripts import find_words, has_unspaced
from sklearn_codex.health._data import PreferenceData
from sklearn_codex.health._endings import ends_on_answer
from sklearn_codex.health._report import Finding, find

LONG = 200
"""A response of fewer characters is not judged by how it ends."""
SHARE_OF_ENDINGS = 0.8
"""Only where this share of the long responses ends like a sentence or a block is the rest odd."""
PILE, PILE_RATIO = 5, 3
"""A limit of length holds at least so many responses, and so many times those of any length just
below it."""

EVERYWHERE, FEWEST_PROMPTS = 0.2, 10
"""One response in this share of the pairs, and in so many prompts, is one to look at."""

# With those of full width, and the comma of lists in Chinese and Japanese.
_GO_ON, _STOPS = ",;-\uff0c\u3001\uff1b", ".!?:\u2026\u3002\uff01\uff1f\uff1a"
_NO_PROSE = re.compile(r"[#|={}\[\]<>]|//")


def check_responses(data: PreferenceData):
    """Find pairs of identical, empty or truncated responses.

    Returns
    -------
    findings : list of Finding
    tables : dict
        ``identical``: ``row``. ``empty``: ``row``, ``side``. ``truncated``: ``row``, ``side``,
        ``reason``. The last two are None where X is a matrix.
    """
    rows = np.flatnonzero(data.identical)
    tables = {"identical": Table(row=rows), "empty": None, "truncated": None}
    findings = [_judge_identical(data, rows)]
    if not data.is_text:
        return [*findings, find("no responses", "skipped")], tables
    is_empty = np.array([not text.strip() for text in data.responses])
    tables["empty"] = Table(**_locate(data, is_empty))
    reasons = find_truncated(data.responses, _prompts_of(data))
    found = _locate(data, reasons != "")
    response = np.where(found["side"] == "A", data.a[found["row"]], data.b[found["row"]])
    tables["truncated"] = Table(**found, reason=reasons[response])
    findings.append(_judge_empty(tables["empty"]))
    findings.append(_judge_truncated(data, tables["truncated"]))
    findings += _find_everywhere(data)
    return findings, tables


def _find_everywhere(data) -> list[Finding]:
    """Find one response, such as a refusal, that stands in a great part of the pairs."""
    n_responses = len(data.responses)
    pairs_of = np.bincount(data.a, minlength=n_responses) + np.bincount(
        data.b[~data.identical], minlength=n_responses
    )
    most = int(pairs_of.argmax())
    rows = np.flatnonzero((data.a == most) | (data.b == most))
    n_prompts = np.unique(data.context[rows]).size
    is_blank = not data.responses[most].strip()  # these are told as empty
    if is_blank or n_prompts < FEWEST_PROMPTS or rows.size < EVERYWHERE * len(data):
        return []
    for_it = np.where(data.a == most, data.y, 1 - data.y)[rows]
    fact = find(
        "everywhere",
        "look",
        rows,
        n_pairs=rows.size,
        share=rows.size / len(data),
        n_prompts=n_prompts,
        share_for=float(for_it.mean()),
        unit=data.context_unit,
    )
    return [fact]


def _prompts_of(data) -> list[str] | None:
    """Return the first prompt that each response (n_responses,) answers, None without prompts."""
    if data.prompts is None:
        return None
    prompts = [""] * len(data.responses)
    for prompt, a, b in reversed(list(zip(data.prompts, data.a, data.b, strict=True))):
        prompts[a] = prompts[b] = prompt
    return prompts


def find_truncated(responses: list[str], prompts: list[str] | None = None) -> np.ndarray:
    """Return why each response (n_responses,) looks cut off, "" where it does not.

    One that ends on an answer that its prompt demands does not.
    """
    reasons = np.full(len(responses), "", dtype=object)
    for unit in ("characters", "words"):
        lengths = np.array(
            [len(text) if unit == "characters" else len(text.split()) for text in responses]
        )
        at_limit = find_limit(lengths)
        reasons[at_limit] = f"at the longest length, {lengths.max():,} {unit}"
    is_long = np.array([len(text) >= LONG for text in responses])
    stops = np.array([_stops_short(text) for text in responses])
    for position in np.flatnonzero(is_long & stops).tolist():
        prompt = "" if prompts is None else prompts[position]
        stops[position] = not ends_on_answer(responses[position], prompt)
    if is_long.any() and np.mean(~stops[is_long]) >= SHARE_OF_ENDINGS:
        reasons[is_long & stops & (reasons == "")] = "within a sentence"
    for position, text in enumerate(responses):
        if text.count("```") % 2:
            reasons[position] = "with an open code block"
    return reasons


def find_limit(lengths: IntArray) -> IntArray:
    """Return the responses that pile up at the greatest length, none if they do not pile up.

    Without a limit the longest lengths are the rarest; with one, all that would be longer are
    there. Needs a length of 50 or more, which at most half of the responses have.
    """
    longest = int(lengths.max())
    at_limit = np.flatnonzero(lengths == longest)
    if longest < 50 or at_limit.size < PILE or at_limit.size > len(lengths) / 2:
        return at_limit[:0]
    below = lengths[(lengths < longest) & (lengths >= 0.9 * longest)]
    most = np.bincount(below).max() if below.size else 0
    return at_limit if at_limit.size >= PILE_RATIO * most else at_limit[:0]


def _stops_short(text: str) -> bool:
    """Tell whether a text ends on a word or a comma in a line of prose, below a line that does not.

    Verse, signatures, lists, tables, tags and code end so by right.
    """
    end = text.rstrip()[-1:]  # of the last line too; of most texts it is all that has to be seen
    if not (end.isalnum() or (end and end in _GO_ON)):
        return False
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    last, above = lines[-1], lines[-2] if len(lines) > 1 else "."
    if _is_short(last) or last[0] in "-*+•>" or last[0].isdigit() or _NO_PROSE.search(last):
        return False
    return above[-1] in _STOPS


def _is_short(line: str) -> bool:
    """Tell whether a line has too few words to be a sentence; two characters make a word."""
    return len(find_words(line)) < 8 if has_unspaced(line) else len(line.split()) < 4


def _locate(data, chosen):
    """Return the rows and sides in which the chosen (n_responses,) of the responses stand."""
    in_a, in_b = np.flatnonzero(chosen[data.a]), np.flatnonzero(chosen[data.b])
    rows = np.concatenate([in_a, in_b])
    sides = np.repeat(["A", "B"], [in_a.size, in_b.size])
    order = np.argsort(rows, kind="stable")
    return {"row": rows[order], "side": sides[order]}


def _judge_identical(data, rows) -> Finding:
    n = rows.size
    return find(
        "identical",
        "look" if n else "ok",
        rows,
        "identical",
        n=n,
        share=n / len(data),
        n_decided=int((data.decided & data.identical).sum()),
        is_text=data.is_text,
    )


def _judge_empty(found) -> Finding:
    n = found.row.size
    return find("empty", "look" if n else "ok", np.unique(found.row), "empty", n=n)


def _judge_truncated(data, found) -> Finding:
    n = found.row.size
    reasons, numbers = np.unique(found.reason.astype(str), return_counts=True)
    return find(
        "truncated",
        "look" if n else "ok",
        np.unique(found.row),
        "truncated",
        n=n,
        share=n / (2 * len(data)),
        reasons=dict(zip(reasons.tolist(), numbers.tolist(), strict=True)),
    )
