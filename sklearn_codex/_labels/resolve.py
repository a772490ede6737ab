"""What a whole column of labels means: each distinct label once, one convention for all of them."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from sklearn_codex._labels.column import LabelColumn, Say, Where, say_in_python
from sklearn_codex._labels.conventions import (
    LABEL_CONVENTIONS,
    NO,
    YES,
    Convention,
    Floats,
    as_numbers,
    find_convention,
    weigh,
)
from sklearn_codex._labels.infer import names_worse, possible_conventions, side_in_name
from sklearn_codex._labels.messages import (
    Reading,
    ambiguous,
    describe,
    mixed,
    uncounted,
    unknown_in,
    unknown_number,
    unknown_word,
)
from sklearn_codex._labels.sides import read_sides
from sklearn_codex._labels.words import Verdict, read_words

_TRUTH = dict.fromkeys(YES, 1.0) | dict.fromkeys(NO, 0.0)
# Conventions that name sides as the columns are marked: of columns b and a, "a" is the second.
_OF_STYLE: dict[str, set[str]] = {
    "letters": {"names", "arena"},
    "from 0": {"index", "index_ties"},
    "from 1": {"one_two", "one_to_two"},
    "positions": {"positions"},
    "other": set(),
}


class Resolved(NamedTuple):
    """Labels, read.

    Attributes
    ----------
    probability : ndarray of shape (n,)
        That the first response is preferred.
    weight : ndarray of shape (n,) or None
        Weights by strength, 1 on average; None where all pairs count alike.
    convention : str
        The name of the convention, such as "index"; "words" where labels say it in words, "given"
        for a mapping.
    read_as : str
        The same for a report: ``choice read as "index": 0 means response_0, ...``.
    """

    probability: Floats
    weight: Floats | None
    convention: str
    read_as: str


def resolve_labels(
    values: Sequence[Any],
    wheres: Where,
    *,
    column: str,
    first: str,
    second: str,
    convention: str | Mapping | None = None,
    usual: str | None = None,
    say: Say = say_in_python,
) -> Resolved:
    """Return what a column of labels means.

    Parameters
    ----------
    values : sequence of shape (n,)
        The labels, at least one.
    wheres : sequence of str (n,), or callable
        Where each stands, such as "prefs.csv, line 2", or a function of the row that says it.
    column : str
        Its name.
    first, second : str
        The names of the columns of the two responses.
    convention : str or mapping, default=None
        What labels mean; None: what they must mean, if they can mean but one thing.
    usual : str, default=None
        The convention of the files that have such columns, followed where none is given, unless
        labels that should count from 1 could as well count from 0.
    say : callable, default=say_in_python
        From the name of an option and its value to what the caller writes.

    Returns
    -------
    resolved : Resolved

    Raises
    ------
    ValueError
        If a label is missing or unknown, or labels can mean two things.
    """
    decimal_commas = not isinstance(convention, Mapping)  # which has the labels as they are
    sides = read_sides(first, second)
    labels = LabelColumn(values, wheres, column, sides, say, decimal_commas=decimal_commas)
    labels.refuse_some_percentages()
    if convention is None and usual is not None and not _may_count_from_zero(usual, labels):
        convention = usual
    reading = _infer(labels) if convention is None else _follow(convention, labels)
    strength = np.where(reading.probability == 0.5, 0.0, reading.strength)
    decided = np.unique(strength[strength > 0])
    weighted = len(decided) > 1
    return Resolved(
        reading.probability[labels.codes],
        weigh(strength[labels.codes]) if weighted else None,
        reading.convention,
        describe(reading, labels, weighted=weighted),
    )


def _may_count_from_zero(usual: str, labels: LabelColumn) -> bool:
    """Return whether the numbers of a convention of 1 and 2 have something below 1 and no 2."""
    numbers = as_numbers(labels.folded)
    counts_from_one = usual in ("one_two", "one_to_two")
    return counts_from_one and bool((numbers < 1).any() and not (numbers > 1).any())


def _follow(convention: str | Mapping, labels: LabelColumn) -> Reading:
    """Read labels by the convention that the caller gives."""
    found = find_convention(convention)
    reading = _read_by(found, labels)
    unknown = np.flatnonzero(np.isnan(reading.probability)).tolist()
    labels.refuse_missing(unknown)
    for i in unknown:  # beside numbers there may be words for a tie
        verdict = _read_word(labels, i) if found.name else None
        if verdict is None or verdict.probability is None:
            raise unknown_in(found, labels, i)
        turned = names_worse(labels.name, labels.sides)
        reading.probability[i] = 1 - verdict.probability if turned else verdict.probability
        reading.strength[i] = 1.0
    return reading


def _read_by(convention: Convention, labels: LabelColumn) -> Reading:
    probability, strength = convention.read(labels.folded)
    name = convention.name or "given"
    if labels.sides.turned and name in _OF_STYLE[labels.sides.style]:
        probability = 1 - probability
    if name != "given" and names_worse(labels.name, labels.sides):
        probability = 1 - probability
    return Reading(name, probability, np.ones(len(probability)) if strength is None else strength)


def _infer(labels: LabelColumn) -> Reading:
    """Return the one thing that labels can mean."""
    labels.refuse_missing(range(len(labels.labels)))
    booleans = _read_truth(labels)
    numbers = as_numbers(labels.folded)
    is_number = ~np.isnan(numbers)
    words = _read_words(labels)
    if not is_number.any():
        return words
    names = possible_conventions(
        numbers[is_number],
        labels.name,
        labels.sides,
        booleans=booleans,
        lettered=bool(np.isin(words.probability, (0, 1)).any()),
    )
    if labels.percentages:
        said = side_in_name(labels.name, labels.sides)
        in_range = bool(((numbers >= 0) & (numbers <= 100))[is_number].all())
        names = ["percent", "percent_second"] if in_range else []
        names = names if said is None else names[: int(said)] or names[1:]
    if names_worse(labels.name, labels.sides):  # which names a response and is no probability
        names = [name for name in names if name in LABEL_CONVENTIONS and "boolean" not in name]
    if not names:
        largest = np.nanargmax(np.abs(numbers))
        raise unknown_number(labels, int(largest))
    readings = [_read_by(find_convention(name), labels) for name in names]
    readings = [
        Reading(
            reading.convention,
            np.where(is_number, reading.probability, words.probability),
            np.where(is_number, reading.strength, 1.0),
        )
        for reading in readings
    ]
    error = ambiguous(readings, labels)
    if error is not None:
        sided = np.flatnonzero(np.isin(words.probability, (0, 1)))
        if len(sided) and not np.isin(numbers[is_number], (0, 1)).all():
            raise mixed(labels, int(is_number.argmax()), int(sided[0]))
        raise error
    return readings[0]


def _read_truth(labels: LabelColumn) -> bool:
    """Return whether all labels say true or false; where they do, fold yes and no to 1 and 0."""
    known = {"true", "false", *_TRUTH}
    for label in labels.labels:
        is_word = isinstance(label, str) and label.strip().casefold() in known
        if not (is_word or isinstance(label, (bool, np.bool_))):
            return False
    labels.folded = [_TRUTH[label] if isinstance(label, str) else label for label in labels.folded]
    return True


def _read_word(labels: LabelColumn, i: int) -> Verdict | None:
    label = labels.labels[i]
    return read_words(label, labels.sides) if isinstance(label, str) else None


def _read_words(labels: LabelColumn) -> Reading:
    """Return what labels that are words mean, NaN for numbers."""
    counted = labels.sides.style.startswith("from")
    said: dict[int, Verdict] = {}
    for i, label in enumerate(labels.folded):
        if isinstance(label, str):
            verdict = _read_word(labels, i)
            if verdict is None or (counted and verdict.number is not None):
                raise unknown_word(labels, i)
            said[i] = verdict
    probability = np.full(len(labels.labels), np.nan)
    strength = np.zeros(len(labels.labels))
    numbered = _number_meanings(labels, said)
    for i, verdict in said.items():
        probability[i] = numbered[i] if verdict.probability is None else verdict.probability
        strength[i] = verdict.strength
    if names_worse(labels.name, labels.sides):
        probability = 1 - probability
    # Where steps are named, "better" is the one between "slightly better" and "much better".
    plain_step = 2.0 if (strength > 0).any() else 1.0
    return Reading("words", probability, np.where(strength > 0, strength, plain_step))


def _number_meanings(labels: LabelColumn, said: dict[int, Verdict]) -> dict[int, float]:
    """Return what "model_1" and "model_2" mean, which count from 1 where there is a 2."""
    numbers = {i: verdict.number for i, verdict in said.items() if verdict.number is not None}
    if not numbers:
        return {}
    lowest, highest = min(numbers.values()), max(numbers.values())
    i = next(iter(numbers))
    if lowest == highest == 1:
        raise uncounted(labels, i)
    if highest - lowest > 1:
        raise unknown_word(labels, i)
    start = 1 if highest == 2 else 0
    return {i: float(number == start) for i, number in numbers.items()}
