"""As what a file was read, and whether it says which pairs belong together."""

from dataclasses import replace
from os import PathLike
from pathlib import Path

import numpy as np
from sklearn.utils import Bunch

from sklearn_codex._layouts.base import fold
from sklearn_codex._layouts.given import Given
from sklearn_codex._layouts.unused import prompt_notes, same_start_note
from sklearn_codex.datasets._readers import read_given
from sklearn_codex.report._audit_places import first_number, unit_of
from sklearn_codex.report._plural import count

MAX_NAMED = 8


def read_pairs(source, given, place=None):
    """Return the pairs of a path, a table or what ``read_preferences`` returned.

    Errors begin with the path of the file, or with the place that is given for it.
    """
    if isinstance(source, Bunch):
        return source
    subject = "" if isinstance(source, (str, PathLike)) else "audit"
    return read_given(source, given, subject, place=place)


def check_given(given, groups):
    """Return what the caller says of columns, with the groups that are said beside it."""
    given = Given(command=True) if given is None else given
    return given if groups is None else replace(given, groups=groups)


def describe_source(pairs, given, split=None, ceiling=None):
    """Return as what the pairs were ``read``, and what is known of their ``prompts``."""
    named = [fold(name) for name in given.columns().values()]
    looked_at = [name for name in pairs.columns if fold(name) in named]
    looked_at += [name for found in pairs.scores for name in (found.better, found.worse)]
    looked_at += ["split" if split is None else str(split), ceiling and ceiling["column"]]
    reading = describe_reading(pairs, looked_at)
    prompts = describe_prompts(pairs, given, reading)
    if prompts["warning"] is not None:
        told = prompt_notes(pairs.X[:, 0].tolist(), pairs.columns, given)
        told += [note for note in reading["notes"] if note in prompts["warning"]]
        reading["notes"] = [note for note in reading["notes"] if note not in told]
    return {"read": reading, "prompts": prompts}


def describe_reading(pairs, looked_at=()):
    """Return as what the pairs were read.

    Parameters
    ----------
    pairs : Bunch
        As from :func:`sklearn_codex.datasets.read_preferences`.
    looked_at : collection of str, default=()
        Columns that are no part of a pair and that the audit looks at.

    Returns
    -------
    reading : dict
        The ``layout``; ``n_rows`` of the file and what each is a ``unit`` of, counted from
        ``first`` (None if that is not known); ``n_pairs``; ``n_oriented`` of them, of which the
        file does not tell which response was shown first; the sum of their ``weight``, None where
        each pair weighs 1; the ``columns`` by what they hold; those ``looked_at`` beside them; the
        ``unused`` ones; ``notes``.
    """
    where = pairs.where.tolist()
    roles = pairs.get("roles") or {}
    used = {name for names in roles.values() for name in names}
    is_even = bool(np.all(pairs.sample_weight == 1))
    return {
        "layout": pairs.layout,
        "n_rows": int(pairs.n_rows),
        "unit": unit_of(where),
        "first": first_number(where),
        "n_pairs": int(pairs.n),
        "n_oriented": int(np.sum(pairs.oriented)),
        "weight": None if is_even else float(np.sum(pairs.sample_weight)),
        "columns": roles,
        "looked_at": [name for name in pairs.columns if name in looked_at],
        "unused": [name for name in pairs.columns if name not in (*looked_at, *used)],
        "notes": list(pairs.notes),
    }


def describe_prompts(pairs, given, reading):
    """Return which pairs have a prompt, what is kept together, and what to do if it is nothing.

    Returns
    -------
    prompts : dict
        ``n_pairs_without`` a prompt; what is ``kept_together``, the pairs of a "prompt", of a
        "group" or of nothing but the "pair" itself; the ``column`` of the groups; the
        ``text_columns`` that are not used; a ``warning`` in words, None where nothing is amiss.
    """
    n_without = sum(not prompt.strip() for prompt in pairs.X[:, 0])
    kept = "prompt" if n_without < pairs.n else "pair"
    if given.groups is not None:
        kept = "group"
    texts = [name for name in reading["unused"] if _holds_text(pairs.columns[name])]
    warning = None
    if n_without:
        warning = _warn(pairs, given, n_without, reading["unused"], texts)
    return {
        "n_pairs_without": n_without,
        "kept_together": kept,
        "column": given.groups,
        "text_columns": texts,
        "warning": warning,
    }


def _warn(pairs, given, n_without, unused, texts):
    if given.groups is not None:
        which = "No prompt was found"
        if n_without < pairs.n:
            which = f"A prompt was found for {count(pairs.n - n_without, 'pair')} only"
        return f"{which}; pairs with one value of {given.groups!r} are kept together."
    if n_without < pairs.n:
        return (
            f"{count(n_without, 'pair')} of {pairs.n:,} {'has' if n_without == 1 else 'have'} no "
            "prompt, and each is taken to be a prompt of its own: if some of them share one, all "
            "figures on data not seen are too good."
        )
    return (
        "No prompt was found, so nothing tells which pairs belong together. All figures on pairs "
        "that a model has not seen can be far too good: pairs of one prompt may stand on both "
        f"sides. {_remedy(pairs, given, unused, texts)}"
    )


def _same_start(pairs, given):
    if any(pairs.X[:, 0]):
        return ""
    return same_start_note(pairs.X[:, 1].tolist(), pairs.X[:, 2].tolist(), given)


def _remedy(pairs, given, unused, texts):
    likely = [name for name in texts if name in pairs.unused_text] or texts
    prompt = max(likely, key=lambda name: _length(pairs.columns[name]), default=None)
    repeating = [name for name in unused if name != prompt and _repeats(pairs.columns[name])]
    repeating.sort(key=lambda name: name not in pairs.unused_keys)
    if prompt is None and not repeating:
        return _same_start(pairs, given) or (
            "Every column is in use: add one with the prompt, or with the number of the prompt, "
            f"and say {given.say('prompt', 'NAME')} or {given.say('groups', 'NAME')}."
        )
    if prompt is None:
        return (
            f"No unused column holds text. If one says which pairs belong together, as "
            f"{repeating[0]!r} may, say {given.say('groups', repeating[0])}."
        )
    names = ", ".join(map(repr, texts[:MAX_NAMED])) + (", …" if len(texts) > MAX_NAMED else "")
    return (
        f"Unused columns that hold text: {names}. If one is the prompt, say "
        f"{given.say('prompt', prompt)}; if one says which pairs belong together, say "
        f"{given.say('groups', (repeating or [prompt])[0])}."
    )


def _holds_text(values):
    """Whether a column holds words: text that is no number, or messages."""
    present = [value for value in values.tolist() if value is not None]
    return bool(present) and all(map(_is_text, present))


def _is_text(value):
    if isinstance(value, list):
        return bool(value) and all(isinstance(part, dict) for part in value)
    return isinstance(value, str) and any(map(str.isalpha, value)) and not _is_number(value)


def _is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True


def _length(values):
    return float(np.median([len(str(value)) for value in values.tolist() if value is not None]))


def _repeats(values):
    """Whether a column may say which pairs belong together: several values, some of them twice."""
    present = [repr(value) for value in values.tolist() if value is not None]
    return len(present) == len(values) and 1 < len(set(present)) < len(present)


def name_of(pairs):
    """Return the name of the file of pairs, or the type of the table."""
    return Path(pairs.source).name
