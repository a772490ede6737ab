"""What a caller says about the columns, in the terms of Python or of the command line."""

import argparse
import json
import shlex
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from typing import Any

from sklearn_codex._labels.conventions import (
    MEANINGS,
    SCORE_CONVENTIONS,
    convention_names,
    is_convention,
)
from sklearn_codex._labels.conventions import fold as fold_label
from sklearn_codex._layouts.base import fold
from sklearn_codex._plain import did_you_mean

PAIR_ROLES = ("chosen", "rejected", "response_a", "response_b", "label")
ROLES = ("prompt", *PAIR_ROLES, "response", "weight", "annotator", "groups")
DROP = "drop"
"""What a label means in a convention where its rows are to be left out."""
OPTIONS = {"response_a": "response-a", "response_b": "response-b", "groups": "by"}


@dataclass(frozen=True)
class Given:
    """Names of columns in their roles, None where the reader is to find them.

    Parameters
    ----------
    prompt, chosen, rejected, response_a, response_b, label, weight, annotator, groups : str or None
        Columns as the caller names them; case, blanks and hyphens do not matter.
    response : str or None
        The column of the one response of a row.
    labels : tuple of str
        The columns of the labels of several people, which ``label`` as a list names.
    convention : str, mapping or None
        How labels are written; a label may mean "drop", which :func:`part_dropped` takes out.
    dropped : frozenset, default=frozenset()
        Labels, folded, whose rows are left out.
    command : bool, default=False
        Whether errors say ``--label winner`` instead of ``label="winner"``.
    """

    prompt: str | None = None
    chosen: str | None = None
    rejected: str | None = None
    response_a: str | None = None
    response_b: str | None = None
    label: str | None = None
    response: str | None = None
    weight: str | None = None
    annotator: str | None = None
    groups: str | None = None
    convention: str | Mapping[Any, Any] | None = None
    dropped: frozenset = frozenset()
    command: bool = False
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Part a list of labels from the name of one."""
        if not isinstance(self.label, (list, tuple)):
            return
        names = list(self.label)
        if not names or not all(isinstance(name, str) for name in names):
            raise TypeError(
                f"label is the name of a column or a list of such names, got {self.label!r}. Name "
                "the columns of the labels."
            )
        object.__setattr__(self, "label", names[0] if len(names) == 1 else None)
        object.__setattr__(self, "labels", tuple(names) if len(names) > 1 else ())

    def part_labels(self, columns: Mapping[str, str]) -> "Given":
        """Return the same with the labels of several columns, "ann,bob", where there are such.

        Parameters
        ----------
        columns : mapping of str to str
            The columns of a row, by their folded names.
        """
        if not self.command or self.label is None or fold(self.label) in columns:
            return self
        names = tuple(name.strip() for name in self.label.split(","))
        if len(names) < 2 or not all(fold(name) in columns for name in names):
            return self
        return replace(self, label=None, labels=names)

    def columns(self) -> dict[str, str]:
        """Return the columns that are named, by role."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        return {role: values[role] for role in ROLES if values[role] is not None}

    def said(self) -> list[tuple[str, Any]]:
        """Return all that the caller says: roles with their columns, and the convention."""
        rest: list[tuple[str, Any]] = [("label", list(self.labels))] if self.labels else []
        rest += [] if self.convention is None else [("convention", self.convention)]
        return [*self.columns().items(), *rest]

    @property
    def names_pair(self) -> bool:
        """Whether a column of a response or of the label is named."""
        named = self.columns().keys()
        return bool(self.labels) or not named.isdisjoint((*PAIR_ROLES, "response"))

    @property
    def names_responses(self) -> bool:
        """Whether a column of a response is named; a layout may have the label that is named."""
        return not self.columns().keys().isdisjoint(PAIR_ROLES[:-1])

    def say(self, role: str, value: Any) -> str:
        """Return how the caller says that a role is in a column, or labels in a convention."""
        if not self.command:
            return f'{role}="{value}"' if isinstance(value, str) else f"{role}={value!r}"
        if isinstance(value, list):
            value = ",".join(value)
        word = value if isinstance(value, str) else write_convention(value)
        # An argument that begins with a hyphen would be taken for an option.
        between = "=" if word.startswith("-") else " "
        return f"--{OPTIONS.get(role, role)}{between}{shlex.quote(word)}"


def given_of(arguments: argparse.Namespace) -> Given:
    """Return what the arguments of a command say; options that it does not have say nothing.

    Raises
    ------
    ValueError
        If ``--convention`` is neither a name nor pairs of a label and its meaning.
    """
    columns: dict[str, Any] = {
        role: getattr(arguments, OPTIONS.get(role, role).replace("-", "_"), None) for role in ROLES
    }
    for role, name in columns.items():
        if name is not None and not name.strip():
            raise ValueError(
                f"--{OPTIONS.get(role, role)} is the name of a column, got {name!r}. Leave it out "
                "to have it found."
            )
    convention = getattr(arguments, "convention", None)
    return Given(
        **columns,
        convention=None if convention is None else read_convention(convention),
        command=True,
    )


def part_dropped(given: Given) -> Given:
    """Return the same with the labels whose rows are to be left out apart from the convention."""
    if not isinstance(given.convention, Mapping):
        return given
    dropped = {label for label, meaning in given.convention.items() if _is_drop(meaning)}
    if not dropped:
        return given
    kept = {label: meaning for label, meaning in given.convention.items() if label not in dropped}
    return replace(given, convention=kept or None, dropped=frozenset(map(fold_label, dropped)))


def _is_drop(meaning: Any) -> bool:
    return isinstance(meaning, str) and meaning.strip().casefold() == DROP


def read_convention(word: str, *, command: bool = True) -> str | dict[str, float | str]:
    """Return the convention that a word names or spells out.

    Parameters
    ----------
    word : str
        The name of a convention, or pairs such as ``1=a,2=b,0=tie`` or ``yes:1,no:0``, each of a
        label and what it means: a, b, tie, the probability that the first response is preferred,
        or drop, which leaves its rows out.
        A JSON object of such pairs can have labels with commas.
    command : bool, default=True
        Whether it is one of the command line.

    Raises
    ------
    ValueError
        If it is neither.
    """
    if is_convention(word.strip().casefold()):
        return word.strip().casefold()
    said = f"--convention {shlex.quote(word)}" if command else f'convention="{word}"'
    pairs = (_read_object if word.lstrip().startswith("{") else _read_pairs)(word, said)
    meanings: dict[str, float | str] = {}
    for label, meaning in pairs:
        value = _read_meaning(meaning, said)
        if meanings.setdefault(label, value) != value:
            raise ValueError(f"{said} has two meanings of the label {label!r}. Leave one.")
    return meanings


def _read_object(word: str, said: str) -> list[tuple[str, str]]:
    """Return the pairs of a JSON object, which can have labels with commas."""
    try:
        return [(label, str(meaning)) for label, meaning in json.loads(word).items()]
    except ValueError as error:
        raise ValueError(f"{said} is no JSON object: {error}. {_EXPECTED}") from error


def _read_pairs(word: str, said: str) -> list[tuple[str, str]]:
    if not set("=:") & set(word):
        raise ValueError(
            f"{said} is no convention."
            f"{did_you_mean(word, [*convention_names(), *SCORE_CONVENTIONS])} {_EXPECTED}"
        )
    pairs = []
    for pair in word.split(","):
        cut = max(pair.rfind("="), pair.rfind(":"))
        if cut < 0 or not pair[:cut].strip():
            raise ValueError(
                f"{said} has {pair.strip()!r}, which is no label with its meaning. {_EXPECTED}"
            )
        pairs.append((pair[:cut].strip(), pair[cut + 1 :].strip()))
    return pairs


def write_convention(meanings: Mapping[Any, float | str]) -> str:
    """Return what :func:`read_convention` reads as these meanings."""
    words: dict[Any, str] = {value: word for word, value in MEANINGS.items()}
    pairs = [
        (str(label), value if _is_drop(value) else float(value))
        for label, value in meanings.items()
    ]
    if any("," in label or label != label.strip() or not label for label, _ in pairs):
        return json.dumps(dict(pairs), ensure_ascii=False)
    return ",".join(f"{label}={words.get(value, value)}" for label, value in pairs)


def _read_meaning(meaning: str, said: str) -> float | str:
    if _is_drop(meaning):
        return DROP
    with suppress(KeyError):
        return MEANINGS[meaning.casefold()]
    with suppress(ValueError):
        if 0 <= float(meaning) <= 1:
            return float(meaning)
    raise ValueError(
        f"{said} has {meaning!r} as a meaning. A label means a, b, tie, "
        "or a number from 0 to 1, the probability that the first response is preferred; or drop, "
        "which leaves its rows out."
    )


_EXPECTED = (
    f"It is a name, one of {', '.join([*convention_names(), *SCORE_CONVENTIONS])}, or what "
    "each label means, such as 1=a,2=b,0=tie."
)
