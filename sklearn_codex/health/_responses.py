"""Responses that are equal, empty or cut off."""

import re

import numpy as np

from sklearn_codex._categorical import IntArray
from sklearn_codex._tables import Table
from sklearn_codex.health._data import PreferenceData
from sklearn_codex.health._report import Finding, count, percent

SECTION = "Responses"

LONG = 200
"""A response of fewer characters is not judged by how it ends."""
SHARE_OF_ENDINGS = 0.8
"""Only where this share of the long responses ends like a sentence or a block is the rest odd."""
PILE, PILE_RATIO = 5, 3
"""A limit of length holds at least so many responses, and so many times those of any length just
below it."""

EVERYWHERE, FEWEST_PROMPTS = 0.2, 10
"""One response in this share of the pairs, and in so many prompts, is one to look at."""

_NO_PROSE = re.compile(r"[#|={}\[\]<>]|//")
_NOT_CHECKED = "Responses are not checked: X holds feature differences, no text."


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
        return [*findings, Finding(SECTION, "skipped", _NOT_CHECKED)], tables
    is_empty = np.array([not text.strip() for text in data.responses])
    tables["empty"] = Table(**_locate(data, is_empty))
    reasons = find_truncated(data.responses)
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
    text = (
        f"One response stands in {count(rows.size, 'pair')} ({percent(rows.size / len(data))}) of "
        f"{n_prompts:,} {data.unit}s, and {percent(float(for_it.mean()))} of their labels are for "
        "it. What is learned may be no more than how to tell this one."
    )
    return [Finding(SECTION, "look", text, rows)]


def find_truncated(responses: list[str]) -> np.ndarray:
    """Return why each response (n_responses,) looks cut off, "" where it does not."""
    reasons = np.full(len(responses), "", dtype=object)
    for unit in ("characters", "words"):
        lengths = np.array(
            [len(text) if unit == "characters" else len(text.split()) for text in responses]
        )
        at_limit = find_limit(lengths)
        reasons[at_limit] = f"at the longest length, {lengths.max():,} {unit}"
    is_long = np.array([len(text) >= LONG for text in responses])
    stops = np.array([_stops_short(text) for text in responses])
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
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return False
    last, above = lines[-1], lines[-2] if len(lines) > 1 else "."
    if len(last.split()) < 4 or last[0] in "-*+•>" or last[0].isdigit() or _NO_PROSE.search(last):
        return False
    return (last[-1].isalnum() or last[-1] in ",;-") and above[-1] in ".!?:…。"


def _locate(data, chosen):
    """Return the rows and sides in which the chosen (n_responses,) of the responses stand."""
    in_a, in_b = np.flatnonzero(chosen[data.a]), np.flatnonzero(chosen[data.b])
    rows = np.concatenate([in_a, in_b])
    sides = np.repeat(["A", "B"], [in_a.size, in_b.size])
    order = np.argsort(rows, kind="stable")
    return {"row": rows[order], "side": sides[order]}


def _judge_identical(data, rows) -> Finding:
    if not rows.size:
        return Finding(SECTION, "ok", "No pair compares a response with itself.")
    n_decided = int((data.decided & data.identical).sum())
    what = "two identical responses" if data.is_text else "a difference of 0 in all features"
    text = f"{count(rows.size, 'pair')} ({percent(rows.size / len(data))}) "
    text += f"{'has' if rows.size == 1 else 'have'} {what}"
    if n_decided:
        text += f", {n_decided:,} of them with a preference, which can only be noise"
    text += ". They teach nothing: drop them."
    return Finding(SECTION, "look", text, rows, "identical")


def _judge_empty(found) -> Finding:
    if not found.row.size:
        return Finding(SECTION, "ok", "No response is empty.")
    n = count(found.row.size, "response")
    text = f"{n} {'is' if found.row.size == 1 else 'are'} empty. Was an answer lost?"
    return Finding(SECTION, "look", text, np.unique(found.row), "empty")


def _judge_truncated(data, found) -> Finding:
    if not found.row.size:
        return Finding(SECTION, "ok", "No response looks cut off.")
    reasons, numbers = np.unique(found.reason.astype(str), return_counts=True)
    kinds = ", ".join(f"{reason} ({n:,})" for reason, n in zip(reasons, numbers, strict=True))
    share = found.row.size / (2 * len(data))
    text = (
        f"{count(found.row.size, 'response')} ({percent(share)}) may be cut off, ending {kinds}. "
        "A model may learn the cut instead of the preference."
    )
    return Finding(SECTION, "look", text, np.unique(found.row), "truncated")
