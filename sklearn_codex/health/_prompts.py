"""Prompts that are nearly the same, and conversations that continue one another."""

from array import array

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from sklearn_codex._categorical import IntArray
from sklearn_codex._conversations.transcripts import parse_transcript
from sklearn_codex._fast_counts._arrays import joined_ranges
from sklearn_codex._tables import Table
from sklearn_codex._text.scripts import find_words
from sklearn_codex.health._data import PreferenceData, code, first_rows
from sklearn_codex.health._report import Finding, find

SIMILARITY = 0.5
"""Prompts are similar if they share this part of all sequences of three words they have."""
MIN_SHINGLES = 8
"""A prompt of fewer sequences is compared as a whole only: a short question that differs in one
word is another question."""
MAX_BLOCK = 500
"""A sequence that stands in more prompts than this is no ground to compare them."""

FEWEST_WORDS = 3
"""Conversations that begin with fewer words than this, such as a greeting, need not be one."""
MOST_COMPARED = 200_000
"""Pairs of prompts that are compared at one time."""


def check_prompts(data: PreferenceData):
    """Find prompts that differ only in form, share most of their wording, or continue another.

    Returns
    -------
    findings : list of Finding
    tables : dict
        ``near_duplicates``, one row for each two prompts: a ``row`` and an ``other`` row that have
        them, their ``similarity`` (1 where they differ in case, spaces and punctuation only).
        ``groups`` (n_pairs,): the groups to split by, those of similar prompts joined.
    """
    if data.prompts is None:
        return [find("no prompts", "skipped")], {
            "near_duplicates": None,
            "continued": None,
            "groups": data.groups,
        }
    distinct = code(" ".join(p.split()) or i for i, p in enumerate(data.prompts))
    has_prompt = np.array([bool(prompt.strip()) for prompt in data.prompts])
    first = first_rows(distinct)
    first = first[has_prompt[first]]
    texts = [data.prompts[row] for row in first]
    one, other, similarity = find_similar(texts)
    found = Table(row=first[one], other=first[other], similarity=similarity)
    beginning, continuing = find_continued(texts)
    continued = Table(row=first[beginning], other=first[continuing])
    joined_alike = _join(data.groups, found)
    groups = _join(joined_alike, continued)
    equal = similarity == 1
    without = np.flatnonzero(~has_prompt)
    findings = [
        *_tell_without(data, without),
        _judge_spelling(found.row[equal]),
        _judge_wording(found.row[~equal], data.groups, joined_alike),
        *_judge_continued(continued.other, joined_alike, groups),
    ]
    return findings, {"near_duplicates": found, "continued": continued, "groups": groups}


def find_similar(texts: list[str]) -> tuple[IntArray, IntArray, np.ndarray]:
    """Return the similar ones of distinct texts, as indices i < j and their similarity.

    Texts that are equal but for case, spaces and punctuation have similarity 1. Of the others it
    is the Jaccard index of their sets of three words in a row. Two such sets with an index of at
    least t, one of n sequences, have one of its n - ceil(t n) + 1 rarest in common, so only texts
    that do are compared. That finds all, but for sequences in more than MAX_BLOCK texts.
    """
    words = [" ".join(find_words(text.casefold())) for text in texts]
    plain = [of_text or text for of_text, text in zip(words, texts, strict=True)]
    same = code(plain)
    leader = first_rows(same)
    equal = np.flatnonzero(leader[same] != np.arange(len(texts)))
    shingles, sizes = _find_shingles([words[i] for i in leader])
    parts = [(leader[same[equal]], equal, np.ones(len(equal)))]
    for i, j in _candidates(shingles, sizes):
        shared = shingles[i].multiply(shingles[j]).sum(axis=1)
        index = shared / (sizes[i] + sizes[j] - shared)
        alike = index >= SIMILARITY
        parts.append((leader[i[alike]], leader[j[alike]], index[alike]))
    one, other, similarity = (np.concatenate(part) for part in zip(*parts, strict=True))
    order = np.lexsort((other, one, -similarity))
    return one[order], other[order], similarity[order]


def find_continued(texts: list[str]) -> tuple[IntArray, IntArray]:
    """Return the texts that are the beginning of another, and those that continue them.

    A conversation continues the longest text whose turns are its own first turns, but for case,
    spaces and punctuation; a text without roles is one turn of a user. The beginning has a turn of
    a user, and FEWEST_WORDS words or more.
    """
    conversations = [parse_transcript(text) for text in texts]
    if not any(turns and len(turns) > 1 for turns in conversations):
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    keys = [
        tuple((turn.role or "user", _plain(turn.content)) for turn in turns)
        if turns
        else (("user", _plain(text)),)
        for turns, text in zip(conversations, texts, strict=True)
    ]
    first: dict[tuple, int] = {}
    for i, key in enumerate(keys):
        if any(role == "user" for role, _ in key) and _n_words(key) >= FEWEST_WORDS:
            first.setdefault(key, i)
    pairs = []
    for i, key in enumerate(keys):
        known = (first.get(key[:n]) for n in range(len(key) - 1, 0, -1))
        beginning = next((j for j in known if j is not None), None)
        if beginning is not None:
            pairs.append((beginning, i))
    found = np.array(pairs, dtype=np.intp).reshape(-1, 2)
    return found[:, 0], found[:, 1]


def _plain(text: str) -> str:
    return " ".join(find_words(text.casefold())) or text


def _n_words(key) -> int:
    return sum(len(content.split()) for _, content in key)


def _find_shingles(texts: list[str]) -> tuple[sparse.csr_array, IntArray]:
    """Return which text has which sequence of three words, and how many different ones each has.

    Columns are the sequences of more than one text, as the others lead nowhere.
    """
    number: dict[str, int] = {}
    lengths = np.zeros(len(texts), dtype=np.intp)
    flat = array("q")
    for i, text in enumerate(texts):
        tokens = text.split()
        lengths[i] = len(tokens)
        flat.extend([number.setdefault(token, len(number)) for token in tokens])
    # Beyond two million words these may clash, with a probability that is no matter.
    word, base = np.array(flat, dtype=np.uint64), np.uint64(len(number) + 1)
    key = (word[:-2] * base + word[1:-1]) * base + word[2:]
    row = np.repeat(np.arange(len(texts)), lengths)
    within = row[:-2] == row[2:]
    row, column = row[:-2][within], np.unique(key[within], return_inverse=True)[1].reshape(-1)
    n_columns = int(column.max(initial=-1)) + 1
    row, column = np.divmod(np.unique(row * n_columns + column), max(n_columns, 1))
    sizes = np.bincount(row, minlength=len(texts))
    is_shared = (np.bincount(column, minlength=n_columns) > 1)[column]
    entries = np.ones(int(is_shared.sum())), (row[is_shared], column[is_shared])
    return sparse.csr_array(entries, shape=(len(texts), n_columns)), sizes


def _candidates(shingles, sizes):
    """Yield pairs of texts i < j, as two arrays, that have a rare sequence in common."""
    row, column = _find_prefixes(shingles, sizes)
    by_column = np.lexsort((row, column))
    starts = np.searchsorted(column[by_column], column)
    n_before = np.empty(len(row), dtype=np.intp)  # earlier texts with the same sequence
    n_before[by_column] = np.arange(len(row))
    n_before -= starts
    n_before[n_before > MAX_BLOCK] = 0
    ends = np.cumsum(n_before)
    first = 0
    while first < len(row):
        most = (ends[first - 1] if first else 0) + MOST_COMPARED
        last = min(int(np.searchsorted(ends, most)), len(row) - 1)
        last = int(np.searchsorted(row, row[last], side="right"))  # all of a text at one time
        chunk = slice(first, last)
        i = row[by_column[joined_ranges(starts[chunk], n_before[chunk])]]
        j = np.repeat(row[chunk], n_before[chunk])
        alike = (sizes[i] >= SIMILARITY * sizes[j]) & (sizes[j] >= SIMILARITY * sizes[i])
        j, i = np.divmod(np.unique(j[alike] * len(sizes) + i[alike]), len(sizes))
        yield i, j
        first = last


def _find_prefixes(shingles, sizes):
    """Return texts, rising, with those of their rarest sequences that similar ones share."""
    row = np.repeat(np.arange(len(sizes)), np.diff(shingles.indptr))
    rarity = np.bincount(shingles.indices, minlength=shingles.shape[1])[shingles.indices]
    order = np.lexsort((shingles.indices, rarity, row))
    # The rarest of all are those of one text only, which are no columns.
    n_alone = sizes - np.diff(shingles.indptr)
    rank = n_alone[row] + np.arange(len(row)) - shingles.indptr[row]
    n_prefix = sizes - np.ceil(SIMILARITY * sizes).astype(np.intp) + 1
    kept = (rank < n_prefix[row]) & (sizes[row] >= MIN_SHINGLES)
    return row[kept], shingles.indices[order][kept]


def _join(groups, found) -> IntArray:
    """Return the groups (n_pairs,) with those that hold similar prompts joined."""
    n_groups = groups.max() + 1
    edges = (np.ones(found.row.size), (groups[found.row], groups[found.other]))
    _, joined = connected_components(sparse.coo_array(edges, shape=(n_groups, n_groups)), False)
    return code(joined[groups].tolist())


def _tell_without(data, rows) -> list[Finding]:
    """Say how many pairs have no prompt, where others do."""
    if not rows.size:
        return []
    return [find("some prompts", "look", rows, n=rows.size, n_pairs=len(data), unit=data.unit)]


def _judge_spelling(rows) -> Finding:
    return find("spelling", "look" if rows.size else "ok", rows, "near_duplicates", n=rows.size)


def _judge_wording(rows, groups, joined) -> Finding:
    return find(
        "wording",
        "note" if rows.size else "ok",
        rows,
        "near_duplicates",
        n=rows.size,
        share=SIMILARITY,
        n_groups=int(groups.max()) + 1,
        n_joined=int(joined.max()) + 1,
    )


def _judge_continued(rows, before, after) -> list[Finding]:
    """Tell of conversations that continue another prompt, nothing where there are none."""
    if not rows.size:
        return []
    n_groups, n_joined = int(before.max()) + 1, int(after.max()) + 1
    return [
        find(
            "continued", "note", rows, "continued",
            n=rows.size, n_groups=n_groups, n_joined=n_joined,
        )
    ]  # fmt: skip
