"""Sizes, prompts that are nearly the same, and prompts on both sides of a split."""

import math
import re

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.utils import Bunch

from sklearn_codex._categorical import IntArray
from sklearn_codex._checks.groups import check_groups, encode_groups
from sklearn_codex._tables import Table
from sklearn_codex.health._data import PreferenceData, code, first_rows
from sklearn_codex.health._report import Finding, count, percent, points

SECTION = "Prompts"

SIMILARITY = 0.5
"""Prompts are similar if they share this part of all sequences of three words they have."""
MIN_SHINGLES = 8
"""A prompt of fewer sequences is compared as a whole only: a short question that differs in one
word is another question."""
MAX_BLOCK = 500
"""A sequence that stands in more prompts than this is no ground to compare them."""
FEW_PROMPTS = 30


def check_sizes(data: PreferenceData):
    """Count pairs, prompts and responses.

    Returns
    -------
    findings : list of Finding
    tables : dict
        ``sizes``: ``n_pairs``, ``n_groups`` (prompts, unless groups are given; None without
        either), ``pairs_per_group`` (n_groups,), ``n_responses`` (None where X is a matrix).
    """
    n_pairs = len(data)
    per_group = None if data.groups is None else np.bincount(data.groups)
    sizes = Bunch(
        n_pairs=n_pairs,
        n_groups=None if per_group is None else per_group.size,
        pairs_per_group=per_group,
        n_responses=len(data.responses) if data.is_text else None,
    )
    text = count(n_pairs, "pair")
    if per_group is not None:
        text += f" of {count(per_group.size, data.unit)}"
        low, middle, high = per_group.min(), np.median(per_group), per_group.max()
        each = f"{low}" if low == high else f"{low} to {high} (median {middle:g})"
        text += f", {each} of each"
    text += f", {len(data.responses):,} different responses." if data.is_text else "."
    findings = [Finding("Size", "note", text)]
    if per_group is None:
        text = "There are no prompts and no groups, so pairs are taken to be independent."
        findings.append(Finding("Size", "note", text))
    findings.append(_judge_size(data.unit, n_pairs, np.unique(data.units).size))
    return findings, {"sizes": sizes}


def _judge_size(unit, n_pairs, n_groups) -> Finding:
    """Tell how well an accuracy can be known: as from independent pairs, or from one per group."""
    low, high = (1.96 * 0.5 / math.sqrt(n) for n in (n_pairs, n_groups))
    width = points(high) if points(low) == points(high) else f"{points(low)} to {points(high)}"
    text = (
        f"Cross-validated on all of it, an accuracy is known to about ±{width} points (95%); "
        "smaller differences between models may be chance."
    )
    if n_groups == 1:  # there is nothing to cross-validate by
        text = "How a model does elsewhere cannot be measured:"
    if n_groups < FEW_PROMPTS:
        text += f" {count(n_groups, unit)} can say little about others."
        return Finding("Size", "look", text)
    return Finding("Size", "note", text)


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
        text = Finding(SECTION, "skipped", "Similar prompts are not looked for: X has no prompts.")
        return [text], {"near_duplicates": None, "groups": data.groups}
    distinct = code(" ".join(p.split()) or i for i, p in enumerate(data.prompts))
    first = first_rows(distinct)
    one, other, similarity = find_similar([data.prompts[row] for row in first])
    found = Table(row=first[one], other=first[other], similarity=similarity)
    groups = _join(data.groups, found)
    equal = similarity == 1
    findings = [_judge_form(found.row[equal]), _judge_wording(found, data.groups, groups)]
    return findings, {"near_duplicates": found, "groups": groups}


def find_similar(texts: list[str]) -> tuple[IntArray, IntArray, np.ndarray]:
    """Return the similar ones of distinct texts, as indices i < j and their similarity.

    Texts that are equal but for case, spaces and punctuation have similarity 1. Of the others it
    is the Jaccard index of their sets of three words in a row. Two such sets with an index of at
    least t, one of n sequences, have one of its n - ceil(t n) + 1 rarest in common, so only texts
    that do are compared. That finds all, but for sequences in more than MAX_BLOCK texts.
    """
    plain = [" ".join(re.findall(r"\w+", text.casefold())) or text for text in texts]
    same = code(plain)
    leader = first_rows(same)
    found = {(int(leader[c]), i): 1.0 for i, c in enumerate(same) if leader[c] != i}
    vectorizer = HashingVectorizer(
        ngram_range=(3, 3), token_pattern=r"\w+", binary=True, norm=None, alternate_sign=False
    )
    shingles = sparse.csr_array(vectorizer.transform([plain[i] for i in leader]))
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


def _judge_form(rows) -> Finding:
    if not rows.size:
        return Finding(SECTION, "ok", "No two prompts differ in case, spaces or punctuation only.")
    text = (
        f"{count(rows.size, 'prompt')} {'is' if rows.size == 1 else 'are'} the same as another but "
        "for case, spaces and punctuation. A split by prompt puts the two on different sides: pass "
        "groups=report.groups."
    )
    return Finding(SECTION, "look", text, rows, "near_duplicates")


def _judge_wording(found, groups, joined) -> Finding:
    similar = found.similarity < 1
    share = f"{100 * SIMILARITY:.0f}%"
    if not similar.any():
        text = f"No two prompts share {share} or more of their wording."
        return Finding(SECTION, "ok", text)
    rows = found.row[similar]
    text = (
        f"{rows.size:,} times two prompts share {share} or more of their wording, as those of one "
        "task or one template do. If they are one task, a split by prompt is too easy "
        f"on a model: report.groups joins them, {groups.max() + 1:,} groups into "
        f"{joined.max() + 1:,}."
    )
    return Finding(SECTION, "note", text, rows, "near_duplicates")


def check_split(data: PreferenceData, split, joined):
    """Find prompts that stand in more than one part of a split.

    Returns
    -------
    findings : list of Finding
    tables : dict
        ``prompt_leaks``, one row for each pair of such a prompt: ``row``, ``group`` (of joined
        prompts), ``part``, and whether the prompt is ``exact`` on both sides, not only similar.
    """
    if split is None:
        text = "Whether prompts stand in training and in test data is not checked: pass split=."
        return [Finding(SECTION, "skipped", text)], {"prompt_leaks": None}
    parts = check_groups(split, len(data), name="split")
    if data.groups is None:
        text = "The split is not checked: there are no prompts and no groups."
        return [Finding(SECTION, "skipped", text)], {"prompt_leaks": None}
    part = encode_groups(parts, len(data), name="split")
    exact, similar = _straddles(data.groups, part), _straddles(joined, part)
    rows = np.flatnonzero(exact | similar)
    leaks = Table(row=rows, group=joined[rows], part=parts[rows], exact=exact[rows])
    if part.max() == 0:
        text = f"The split has one part only, {parts[0]!r}."
        return [Finding(SECTION, "skipped", text)], {"prompt_leaks": leaks}
    return _judge_split(data, exact, similar & ~exact), {"prompt_leaks": leaks}


def _straddles(groups, part) -> np.ndarray:
    """Tell of each pair (n_pairs,) whether its group stands in more than one part."""
    present = sparse.coo_array((np.ones(len(groups)), (groups, part))).tocsr()
    return (np.diff(present.indptr) > 1)[groups]


def _judge_split(data, exact, similar) -> list[Finding]:
    unit = data.unit
    if not (exact.any() or similar.any()):
        return [Finding(SECTION, "ok", f"No {unit} stands in two parts of the split.")]
    findings = []
    if exact.any():
        n = np.unique(data.groups[exact]).size
        text = (
            f"{count(n, unit)} {'stands' if n == 1 else 'stand'} in two parts of the split, with "
            f"{count(int(exact.sum()), 'pair')} ({percent(float(exact.mean()))}). What was learned "
            "by heart there counts as skill here: split by prompt, as GroupKFold does."
        )
        findings.append(Finding(SECTION, "look", text, np.flatnonzero(exact), "prompt_leaks"))
    if similar.any():
        n = np.unique(data.groups[similar]).size
        text = (
            f"{count(n, unit)} more {'has' if n == 1 else 'have'} a similar prompt in another part "
            "of the split. Split by report.groups."
        )
        findings.append(Finding(SECTION, "look", text, np.flatnonzero(similar), "prompt_leaks"))
    return findings
