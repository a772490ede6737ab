"""What stands on both sides of a split: pairs, prompts and long responses."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from sklearn_codex._files.folders import is_there
from sklearn_codex._plain import did_you_mean, plain
from sklearn_codex.health._data import check_data
from sklearn_codex.health._prompts import check_prompts
from sklearn_codex.report._audit_data import name_texts
from sklearn_codex.report._audit_reading import name_of, read_pairs

N_ROWS = 100
# Two prompts may well have a short answer in common.
MIN_CHARACTERS = 40


def find_leaks(pairs, split, joined, given):
    """Return what of the smaller parts of a split stands in another part too.

    Parameters
    ----------
    pairs : Bunch
        As from :func:`sklearn_codex.datasets.read_preferences`.
    split : str, path-like or None
        Column of the data that names the part of each pair, or else a file of held-out pairs.
        None means the column ``split``, if there is one that names several parts.
    joined : ndarray of shape (n_pairs,) or None
        Groups of the pairs, similar prompts joined.
    given : Given
        What the caller says of columns. Groups of it are of the data, not of a file of held-out
        pairs.

    Returns
    -------
    leaks : dict or None
        ``parts``, each with ``name``, ``n_pairs`` and ``n_leaking``; ``kinds``, the number of pairs
        of each kind of leak; ``n_held_out`` and ``n_leaking`` pairs of all parts but the largest;
        ``rows``, at most 100 of these, the worst first, each with a pair of another part that it
        repeats; ``has_prompts``, whether any pair has one. None without a split.

    Raises
    ------
    ValueError
        If ``split`` is neither a column nor a file, or the column has gaps or one part only.
    """
    if split is None and not _names_parts(pairs.columns.get("split")):
        return None
    name = "split" if split is None else str(split)
    if name in pairs.columns:
        part = _read_column(pairs, name)
        main = max(part.tolist(), key=part.tolist().count)
        together = "similar prompt" if given.groups is None else "same group"
        return _compare([pairs], part, joined, main, together)
    if not is_there(name):
        names = f"{sorted(pairs.columns)}" if pairs.columns else "none but those of the pairs"
        raise ValueError(
            f"{plain(name_of(pairs))}: {given.say('split', name)} is neither a column of the data "
            f"nor a file.{did_you_mean(name, pairs.columns)} The columns are {names}; or name a "
            "file of held-out pairs."
        )
    held_out = read_pairs(name, replace(given, weight=None, annotator=None, groups=None))
    parts = _part_names(pairs.source, held_out.source)
    part = np.repeat(np.array(parts, dtype=object), [pairs.n, held_out.n])
    # Prompts that are similar are looked for over both; nothing else is, once more.
    X, y = (np.concatenate([pairs[name], held_out[name]]) for name in ("X", "y"))
    joined = check_prompts(check_data(X, y, None, subject="audit_preferences"))[1]["groups"]
    return _compare([pairs, held_out], part, joined, parts[0], "similar prompt")


def _names_parts(values):
    return values is not None and not _gaps(values).size and len(set(values)) > 1


def _gaps(values):
    return np.flatnonzero([value is None or value == "" for value in values])


def _read_column(pairs, name):
    values, place = pairs.columns[name], plain(name_of(pairs))
    gaps = _gaps(values)
    if gaps.size:
        raise ValueError(
            f"{place}, {pairs.where[gaps[0]]}: the column {name!r} of the split has no value. "
            "Every pair needs one."
        )
    part = np.array([str(value) for value in values], dtype=object)
    if len(set(part)) < 2:
        raise ValueError(
            f"{place}: the column {name!r} of the split has one part only, {part[0]!r}. Name a "
            "column with several, or a file of held-out pairs."
        )
    return part


def _part_names(source, other):
    names = Path(source).name, Path(other).name
    return names if names[0] != names[1] else (names[0], f"{names[1]} (held out)")


def _compare(sources, part, joined, main, together):
    X = np.concatenate([pairs.X for pairs in sources])
    keys = _keys(X, joined, together)
    kind = np.full(len(X), "", dtype=object)
    other = np.full(len(X), -1)
    shown = [(pairs, row) for pairs in sources for row in range(pairs.n)]
    for name, of_rows in keys.items():
        found = _find_elsewhere(of_rows, part)
        new = (kind == "") & (found >= 0)
        kind[new], other[new] = name, found[new]
    held_out = part != main
    leaking = np.flatnonzero(held_out & (kind != ""))
    kinds = list(keys)
    order = leaking[np.argsort([kinds.index(name) for name in kind[leaking]], kind="stable")]
    return {
        "parts": [
            {"name": name, "n_pairs": n, "n_leaking": int(((part == name) & (kind != "")).sum())}
            for name, n in Counter(part.tolist()).most_common()
        ],
        "kinds": {name: int((kind[leaking] == name).sum()) for name in kinds},
        "n_held_out": int(held_out.sum()),
        "n_leaking": len(leaking),
        "has_prompts": any(prompt.strip() for prompt in X[:, 0]),
        "rows": [_row(shown, part, kind[i], i, other[i]) for i in order[:N_ROWS]],
    }


def _keys(X, joined, together):
    """Return what rows of other parts must not share with each row, the worst kind first."""
    n = len(X)
    folded = [_fold(prompt) for prompt, _, _ in X]
    return {
        "same pair": [[(folded[i], *sorted(X[i][1:]))] for i in range(n)],
        "same prompt": [[folded[i]] if folded[i] else [] for i in range(n)],
        together: [[] if joined is None else [joined[i]] for i in range(n)],
        "same response": [[t for t in X[i][1:] if len(t) >= MIN_CHARACTERS] for i in range(n)],
    }


def _fold(prompt):
    return " ".join(prompt.split())


def _find_elsewhere(keys, part):
    """Return the first row (n_pairs,) of another part that has a key of a row, -1 without one."""
    first: dict[object, dict[str, int]] = {}
    for i, of_row in enumerate(keys):
        for key in of_row:
            first.setdefault(key, {}).setdefault(part[i], i)
    found = np.full(len(part), -1)
    for i, of_row in enumerate(keys):
        rows = [j for key in of_row for name, j in first[key].items() if name != part[i]]
        if rows:
            found[i] = rows[0]
    return found


def _row(shown, part, kind, i, j):
    one, other = name_texts(*shown[i]), name_texts(*shown[j])
    return {
        "where": shown[i][0].where[shown[i][1]],
        "row": shown[i][1],
        "part": part[i],
        "kind": kind,
        "other_where": shown[j][0].where[shown[j][1]],
        "other_row": shown[j][1],
        "other_part": part[j],
        **one,
        **{f"other_{name}": text for name, text in other.items()},
    }
