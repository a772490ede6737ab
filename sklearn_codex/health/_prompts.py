"""Prompts that are nearly the same."""

import math

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from sklearn.feature_extraction.text import HashingVectorizer

from sklearn_codex._categorical import IntArray
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


def check_prompts(data: PreferenceData):
    """Find prompts that differ only in form, or share most of their wording.

    Returns
    -------
    findings : list of Finding
    tables : dict
        ``near_duplicates``, one row for each two prompts: a ``row`` and an ``other`` row that have
        them, their ``similarity`` (1 where they differ in case, spaces and punctuation only).
        ``groups`` (n_pairs,): the groups to split by, those of similar prompts joined.
    """
    if data.prompts is None:
        return [find("no prompts", "skipped")], {"near_duplicates": None, "groups": data.groups}
    distinct = code(" ".join(p.split()) or i for i, p in enumerate(data.prompts))
    has_prompt = np.array([bool(prompt.strip()) for prompt in data.prompts])
    first = first_rows(distinct)
    first = first[has_prompt[first]]
    one, other, similarity = find_similar([data.prompts[row] for row in first])
    found = Table(row=first[one], other=first[other], similarity=similarity)
    groups = _join(data.groups, found)
    equal = similarity == 1
    without = np.flatnonzero(~has_prompt)
    findings = [
        *_tell_without(data, without),
        _judge_spelling(found.row[equal]),
        _judge_wording(found.row[~equal], data.groups, groups),
    ]
    return findings, {"near_duplicates": found, "groups": groups}


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
    found = {(int(leader[c]), i): 1.0 for i, c in enumerate(same) if leader[c] != i}
    vectorizer = HashingVectorizer(
        ngram_range=(3, 3), token_pattern=r"\S+", binary=True, norm=None, alternate_sign=False
    )
    shingles = sparse.csr_array(vectorizer.transform([words[i] for i in leader]))
    rarity = np.bincount(shingles.indices, minlength=shingles.shape[1])
    sets = [
        shingles.indices[start:end]
        for start, end in zip(shingles.indptr[:-1], shingles.indptr[1:], strict=True)
    ]
    blocks: dict[int, list[int]] = {}
    for j, members in enumerate(sets):
        if members.size < MIN_SHINGLES:
            continue
        n_prefix = members.size - math.ceil(SIMILARITY * members.size) + 1
        order = np.lexsort((members, rarity[members]))
        # A sequence that is in no other text leads nowhere.
        prefix = [m for m in members[order[:n_prefix]].tolist() if rarity[m] > 1]
        for i in _candidates(blocks, prefix):
            if not SIMILARITY <= sets[i].size / members.size <= 1 / SIMILARITY:
                continue
            shared = np.intersect1d(sets[i], members, assume_unique=True).size
            index = shared / (sets[i].size + members.size - shared)
            if index >= SIMILARITY:
                found[int(leader[i]), int(leader[j])] = index
        for shingle in prefix:
            blocks.setdefault(shingle, []).append(j)
    pairs = sorted(found, key=lambda pair: (-found[pair], pair))
    one, other = np.array(pairs, dtype=np.intp).reshape(-1, 2).T
    return one, other, np.array([found[pair] for pair in pairs])


def _candidates(blocks, prefix) -> list[int]:
    members = (blocks.get(shingle, ()) for shingle in prefix)
    return sorted({i for block in members if len(block) <= MAX_BLOCK for i in block})


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
