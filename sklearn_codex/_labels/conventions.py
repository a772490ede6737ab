"""How labels are written: conventions with a name, and what a label means in each of them."""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from difflib import get_close_matches
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklearn_codex._checks.probabilities import check_soft_labels
from sklearn_codex._labels.numbers import written_number

Floats = NDArray[np.float64]


def _write_names() -> dict[Any, float]:
    """Return letters alone, in the brackets of a judge, and compared by a sign."""
    table = {"a": 1.0, "b": 0.0, "tie": 0.5, "c": 0.5}
    for one, other, better in (("a", "b", 1.0), ("b", "a", 0.0)):
        for sign in (">", ">>", "≻"):
            table[f"{one}{sign}{other}"] = better
        for sign in ("<", "<<", "≺"):
            table[f"{one}{sign}{other}"] = 1 - better
        table[f"{one}={other}"] = 0.5
    return table | {f"[[{name}]]": value for name, value in table.items()}


YES = ("yes", "y", "t", "ja", "oui", "si", "sí", "sì", "sim", "да", "是", "はい")
NO = ("no", "n", "f", "nein", "non", "nee", "nej", "não", "nao", "нет", "否", "いいえ")
_TRUE, _FALSE = [True, *YES], [False, *NO]

LABEL_CONVENTIONS: dict[str, dict[Any, float]] = {
    "names": _write_names(),
    "arena": {
        "model_a": 1.0,
        "model_b": 0.0,
        "tie": 0.5,
        "tie (bothbad)": 0.5,
        "both_bad": 0.5,
        "bothbad": 0.5,
    },
    "one_two": {1: 1.0, 2: 0.0, 0: 0.5},
    "index": {0: 1.0, 1: 0.0},
    "index_ties": {0: 1.0, 1: 0.0, 2: 0.5},
    "sign": {1: 1.0, -1: 0.0, 0: 0.5},
    "sign_second": {1: 0.0, -1: 1.0, 0: 0.5},
    "boolean": dict([*((label, 1.0) for label in _TRUE), *((label, 0.0) for label in _FALSE)]),
    "boolean_second": dict(
        [*((label, 0.0) for label in _TRUE), *((label, 1.0) for label in _FALSE)]
    ),
    "positions": {
        "first": 1.0,
        "second": 0.0,
        "left": 1.0,
        "right": 0.0,
        "1st": 1.0,
        "2nd": 0.0,
        "tie": 0.5,
        "equal": 0.5,
        "same": 0.5,
        "both": 0.5,
        "neither": 0.5,
    },
}
"""Conventions of a few labels: what each label means, as the probability that A is preferred.

The notes of :func:`convert_labels` have them in words."""

NUMBER_CONVENTIONS: dict[str, str] = {
    "probability": "a number from 0 to 1, the probability that A is preferred",
    "probability_second": "a number from 0 to 1, the probability that B is preferred",
    "percent": "a number from 0 to 100, the percentage that prefers A",
    "percent_second": "a number from 0 to 100, the percentage that prefers B",
    "one_to_two": "a number from 1 (A is better) to 2 (B is better), 0 being a tie too",
    "strength": "a number, by how much A is better; B is where it is negative",
    "strength_second": "a number, by how much B is better; A is where it is negative",
}
"""Conventions of numbers, and what a number means in each.

Beside these there is "scale_1_5" with any two whole numbers: a scale between them, the first being
the end at which A is better, so that "scale_5_1" is the reverse of it. Strengths and scales give a
label of 1, 0 or 0.5, and weights as :func:`grades_to_soft_labels` does."""

SCORE_CONVENTIONS: dict[str, str] = {
    "higher": "scores, of which the greater is the better response's",
    "lower": "scores, of which the smaller is the better response's",
}
"""Conventions of scores that each response has."""

MEANINGS = {"a": 1.0, "b": 0.0, "tie": 0.5}
"""Words for what a label can mean in a mapping."""

_NUMERAL = frozenset("0123456789+-.★⭐🌟")
_SCALE = re.compile(r"scale_(\d{1,4})_(\d{1,4})")
_GREATER = re.compile("[<>≻≺]")
_SIGNS = re.compile(r"\s*([<>=≻≺~≈]+)\s*")


class Convention(NamedTuple):
    """What labels mean.

    Attributes
    ----------
    name : str
        Its key, or "" for a mapping.
    read : callable
        From folded labels to their probabilities that A is preferred, NaN where a label is unknown,
        and their strengths, or None where all count alike.
    known : str
        The labels that it has, in words.
    """

    name: str
    read: Callable[[Sequence[Any]], tuple[Floats, Floats | None]]
    known: str


def is_convention(name: Any) -> bool:
    """Return whether a convention has this name."""
    return isinstance(name, str) and (
        name in LABEL_CONVENTIONS
        or name in NUMBER_CONVENTIONS
        or name in SCORE_CONVENTIONS
        or _read_scale(name) is not None
    )


def convention_names() -> list[str]:
    """Return the names of all conventions, one scale among them as an example."""
    return [*LABEL_CONVENTIONS, *NUMBER_CONVENTIONS, "scale_1_5"]


def find_convention(convention: str | Mapping) -> Convention:
    """Return the convention of a name, or that of a mapping of labels to probabilities.

    Raises
    ------
    ValueError
        If there is none of that name, a meaning is outside [0, 1], or a mapping has two meanings
        for labels that are the same.
    """
    if not isinstance(convention, str):
        return _read_mapping(convention)
    if convention in LABEL_CONVENTIONS:
        return _of_table(convention, LABEL_CONVENTIONS[convention])
    ends = _read_scale(convention)
    if ends is not None:
        known = f"the numbers from {min(ends)} to {max(ends)}"
        return Convention(convention, lambda labels: _on_scale(labels, *ends), known)
    if convention in NUMBER_CONVENTIONS:
        known = NUMBER_CONVENTIONS[convention].split(",")[0]
        return Convention(convention, _NUMBERS[convention], known)
    if convention in SCORE_CONVENTIONS:
        raise ValueError(
            f"The convention {convention!r} is of {SCORE_CONVENTIONS[convention]}, but there are "
            "labels of pairs. Say what these mean, or leave the convention out."
        )
    close = get_close_matches(convention, convention_names(), n=1)
    hint = f'Did you mean "{close[0]}"? ' if close else ""
    raise ValueError(
        f"There is no convention {convention!r}. {hint}There are {', '.join(convention_names())} "
        "(with any two numbers), and mappings of each label to the probability that A is preferred."
    )


def fold(label: Any) -> float | str:
    """Return a label so that 1, True, "1", "1.0" and "true" are the same, and " Tie" and "tie"."""
    if type(label) is float:
        return label
    if isinstance(label, str):
        text = " ".join(label.split()).casefold()
        if text in ("true", "false"):
            return float(text == "true")
        if text[:1] in _NUMERAL and "_" not in text and "," not in text:
            with suppress(ValueError):
                return written_number(text.removesuffix("%"))
        return _SIGNS.sub(r"\1", text)
    try:
        return float(label)
    except OverflowError:
        return float("inf") if label > 0 else -float("inf")
    except (TypeError, ValueError):
        return repr(label)


def as_numbers(labels: Sequence[Any]) -> Floats:
    """Return folded labels as numbers, NaN for words."""
    return np.array([label if isinstance(label, float) else np.nan for label in labels], float)


def weigh(strength: Floats) -> Floats:
    """Return the weights of pairs of which 0 or more is known by how much one is better.

    A decided pair weighs its strength over the mean of the decided, a tie 1.
    """
    decided = strength > 0
    weight = np.ones(len(strength))
    if decided.any():
        known = strength[decided]
        with np.errstate(over="ignore"):
            mean = known.mean()
        if not np.isfinite(mean):  # the sum of vast numbers has no bounds
            known = known / known.max()
            mean = known.mean()
        weight[decided] = known / mean
    return weight


def show(label: Any) -> str:
    """Return a label as a message shows it: whole numbers without a point."""
    if isinstance(label, float) and label.is_integer() and abs(label) < 1e15:
        return str(int(label))
    return repr(label)


def _of_table(name: str, table: Mapping) -> Convention:
    meaning = {fold(label): float(value) for label, value in table.items()}
    # "a>>b" is stronger than "a>b"; other tables have no signs.
    strength = {
        label: float(max(1, len(_GREATER.findall(label)))) if isinstance(label, str) else 1.0
        for label in meaning
    }
    labels = [show(label) for label in table]
    known = ", ".join(labels[:6]) + (", ..." if len(labels) > 6 else "")

    def read(folded):
        probability = np.array([meaning.get(label, np.nan) for label in folded], float)
        return probability, np.array([strength.get(label, 1.0) for label in folded])

    return Convention(name, read, known)


def _read_mapping(mapping: Mapping) -> Convention:
    if not mapping:
        raise ValueError("convention should have a meaning for each label, got an empty mapping.")
    meanings = [
        MEANINGS.get(value.strip().casefold(), value) if isinstance(value, str) else value
        for value in mapping.values()
    ]
    values = check_soft_labels(meanings, name="The meaning of a label in convention")
    meaning: dict[Any, float] = {}
    for label, value in zip(mapping, values.tolist(), strict=True):
        if meaning.setdefault(fold(label), value) != value:
            raise ValueError(
                f"convention has two meanings of the label {label!r}, written in two ways. Leave "
                "one."
            )
    return _of_table("", dict(zip(mapping, values.tolist(), strict=True)))


def _read_scale(name: str) -> tuple[int, int] | None:
    """Return the two ends of a scale, that at which A is better first."""
    match = _SCALE.fullmatch(name)
    if match is None or int(match[1]) == int(match[2]):
        return None
    return int(match[1]), int(match[2])


def _on_scale(labels, best, worst) -> tuple[Floats, Floats]:
    values = as_numbers(labels)
    values[~((values >= min(best, worst)) & (values <= max(best, worst)))] = np.nan
    return _by_strength(((best + worst) / 2 - values) * np.sign(worst - best))


def _by_strength(grades: Floats) -> tuple[Floats, Floats]:
    grades = np.where(np.isfinite(grades), grades, np.nan)
    return 0.5 + 0.5 * np.sign(grades), np.abs(grades)


def _between(labels, low, high) -> Floats:
    """Return where numbers are between 0 at one end and 1 at the other, NaN outside."""
    share = (as_numbers(labels) - low) / (high - low)
    return np.where((share >= 0) & (share <= 1), share + 0.0, np.nan)  # no -0


def _one_to_two(labels) -> tuple[Floats, None]:
    probability = _between(labels, 2, 1)
    probability[as_numbers(labels) == 0] = 0.5
    return probability, None


_NUMBERS: dict[str, Callable[[Sequence[Any]], tuple[Floats, Floats | None]]] = {
    "probability": lambda labels: (_between(labels, 0, 1), None),
    "probability_second": lambda labels: (_between(labels, 1, 0), None),
    "percent": lambda labels: (_between(labels, 0, 100), None),
    "percent_second": lambda labels: (_between(labels, 100, 0), None),
    "one_to_two": _one_to_two,
    "strength": lambda labels: _by_strength(as_numbers(labels)),
    "strength_second": lambda labels: _by_strength(-as_numbers(labels)),
}
