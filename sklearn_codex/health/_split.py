"""Prompts on both sides of a split."""

import numpy as np
from scipy import sparse

from sklearn_codex._checks.groups import check_groups, encode_groups
from sklearn_codex._tables import Table
from sklearn_codex.health._data import PreferenceData
from sklearn_codex.health._report import Finding, find


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
        return [find("no split", "skipped")], {"prompt_leaks": None}
    parts = check_groups(split, len(data), name="split")
    if data.groups is None:
        return [find("split without groups", "skipped")], {"prompt_leaks": None}
    part = encode_groups(parts, len(data), name="split")
    exact, similar = _straddles(data.groups, part), _straddles(joined, part)
    rows = np.flatnonzero(exact | similar)
    leaks = Table(row=rows, group=joined[rows], part=parts[rows], exact=exact[rows])
    if part.max() == 0:
        return [find("one part", "skipped", part=parts[0])], {"prompt_leaks": leaks}
    return _judge_split(data, exact, similar & ~exact), {"prompt_leaks": leaks}


def _straddles(groups, part) -> np.ndarray:
    """Tell of each pair (n_pairs,) whether its group stands in more than one part."""
    present = sparse.coo_array((np.ones(len(groups)), (groups, part))).tocsr()
    return (np.diff(present.indptr) > 1)[groups]


def _judge_split(data, exact, similar) -> list[Finding]:
    findings = []
    if exact.any() or not similar.any():
        findings.append(
            find(
                "split",
                "look" if exact.any() else "ok",
                np.flatnonzero(exact),
                "prompt_leaks",
                n=np.unique(data.groups[exact]).size,
                n_pairs=int(exact.sum()),
                share=float(exact.mean()),
                unit=data.unit,
            )
        )
    if similar.any():
        rows, n = np.flatnonzero(similar), np.unique(data.groups[similar]).size
        findings.append(find("similar in split", "look", rows, "prompt_leaks", n=n, unit=data.unit))
    return findings
