"""Preferences as commands read them: whatever has them, in the terms of the command line."""

import argparse
import shlex
from collections.abc import Hashable, Iterable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from sklearn.utils import Bunch

from sklearn_codex._checks.frames import is_missing
from sklearn_codex._data.records import (
    FORMS,
    WEIGHT,
    check_form,
    present_columns,
    read_record,
)
from sklearn_codex._files.lines import find_first, read_lines
from sklearn_codex._files.rows import header_of, read_rows
from sklearn_codex._layouts import trees
from sklearn_codex._layouts.base import fold, fold_all
from sklearn_codex._layouts.given import Given, given_of
from sklearn_codex._layouts.pairs import find_pairs
from sklearn_codex._layouts.ranking import plural
from sklearn_codex._layouts.reader import PairReader, is_blank
from sklearn_codex._layouts.registry import FINDERS, find_layout
from sklearn_codex.cli._inputs import COLUMNS, place_of_argument, read_texts, texts_of
from sklearn_codex.cli._options import readable
from sklearn_codex.datasets._readers import read_given
from sklearn_codex.report._terminal import tell

Row = Mapping[str, Any]
Placed = tuple[str, Row]

_TEXT, _COMPLETION = ("text",), ("completion",)
# Lists of responses are rankings here, or for rerank; responses with a label are compared.
_FORMS = [form for form, kind in FORMS.items() if kind not in ("candidates", "unpaired")]
_NO_RECORD = "has a header and no record. Name a file with one at least."
_KINDS = "A text has the column text, a demonstration completion (and prompt)."


class Mixed(NamedTuple):
    """What a file of records of all kinds has.

    Attributes
    ----------
    records : list of dict
        The texts and demonstrations.
    pairs : Bunch or None
        The preferences, as of ``read_preferences``; None where there are none.
    n_blank : int, default=0
        Rows without any value that were left out, where there are no preferences to tell of them.
    """

    records: list[dict]
    pairs: Bunch | None
    n_blank: int = 0


def read_pairs(argument: str, given: Given) -> Bunch:
    """Return the preferences of a file, as ``read_preferences``; ``-`` is standard input."""
    with readable(argument) as path:
        return read_given(path, given, "", place=place_of_argument(argument))


def read_mixed(argument: str, given: Given) -> Mixed:
    """Return the records of a file: texts, demonstrations, and preferences of any layout.

    Raises
    ------
    ValueError
        If a row is none of them, or could be two. The message has the line.
    """
    place = place_of_argument(argument)
    with readable(argument) as path:
        records, preferences, blank = _split_kinds(read_rows(path, place), given, place)
    if not preferences:
        return Mixed(records, None, len(blank))
    pairs = PairReader(given, place).read(preferences + blank, source=argument)  # counts them
    return Mixed(records, pairs)


def read_demonstrations(argument: str) -> Mixed:
    """Return the records of a file that has demonstrations, perhaps texts, and no preferences."""
    place = place_of_argument(argument)
    records, n_blank = [], 0
    with readable(argument) as path:
        for where, row in read_rows(path, place):
            if is_blank(row):
                n_blank += 1
                continue
            form = _form_of(row, Given(command=True), where, is_told=True)
            if form is None:
                raise ValueError(
                    f"{where} is no demonstration, which has completion (and prompt), and no "
                    f"label: it has {list(row)}. Preferences are for --preferences."
                )
            records.append(_read_record(row, form, where))
    if not records:
        raise ValueError(f"{place} {_NO_RECORD}")
    return Mixed(records, None, n_blank)


def _split_kinds(
    rows: Iterable[Placed], given: Given, place: str
) -> tuple[list[dict], list[Placed], list[Placed]]:
    """Return texts and demonstrations, then, with their places, preferences and blank rows."""
    records, preferences, blank = [], [], []
    # Rows with something in the same columns are of the same kind, so it is found once.
    forms: dict[tuple[str, ...], tuple[str, ...] | None] = {}
    for where, row in rows:
        if is_blank(row):
            blank.append((where, row))
            continue
        names = tuple(name for name in row if _has_value(row[name]))
        if names not in forms:
            forms[names] = _form_of(row, given, where)
            if forms[names] is None and not given.names_pair:
                _check_layout(row, given, where)
        form = forms[names]
        if form is None:
            preferences.append((where, row))
        else:
            records.append(_read_record(row, form, where))
    if not records and not preferences:
        raise ValueError(f"{place} {_NO_RECORD}")
    return records, preferences, blank


def _present(row: Row) -> dict[str, Any]:
    """Return the columns of records in which a row has something."""
    return {name: value for name, value in present_columns(row).items() if _has_value(value)}


def _has_value(value: Any) -> bool:
    """Whether a cell is neither missing nor empty, which is the same in CSV."""
    return not is_missing(value) and not (isinstance(value, str) and value == "")


def _form_of(
    row: Row, given: Given, where: str, *, is_told: bool = False
) -> tuple[str, ...] | None:
    """Return the columns that make a row a text or a demonstration, None for a preference.

    Raises
    ------
    ValueError
        If it can be several, and the caller has not told which.
    """
    given = given.part_labels(fold_all(row))
    named = {fold(name) for name in (*given.columns().values(), *given.labels) if given.names_pair}
    if named & {fold(name) for name in row}:
        return None
    present = _present(row)
    whole = [form for form in _FORMS if all(name in present for name in form)]
    if len(whole) > 1:
        check_form(present, row, where)  # says that it is of several kinds
    if not whole or whole[0] not in (_TEXT, _COMPLETION) or "label" in present:
        return None
    columns = fold_all(name for name in row if _has_value(row[name]))
    # Not rankings: a text may have a score.
    for find in () if is_told else (*FINDERS, *trees.FINDERS):
        layout = find(columns, row, given, where)
        if layout is not None:
            kind = FORMS[whole[0]]
            raise ValueError(
                f"{where} can be a {kind} record, with the column {whole[0][0]}, and a preference, "
                f"in the layout {layout.name}. Say which: {_OPTION_OF_KIND[kind]} FILE or "
                "--preferences FILE."
            )
    return whole[0]


_OPTION_OF_KIND = {"corpus": "--corpus", "demonstration": "--demonstrations"}


def _read_record(row: Row, form: tuple[str, ...], where: str) -> dict:
    """Return a text or a demonstration with its text flat."""
    present = _present(row)
    if isinstance(present.get(WEIGHT), str):  # as all values of CSV are
        with suppress(ValueError):
            present = {**present, WEIGHT: float(present[WEIGHT])}
    record = read_record(present, form, where, swap=False)
    if not record.text.strip():
        raise ValueError(f"{where} has nothing in {form[0]}. Leave the row out.")
    prompt = {"prompt": record.prompt} if record.prompt and form == _COMPLETION else {}
    weight = {WEIGHT: record.weight} if record.weight != 1 else {}
    return {**prompt, form[0]: record.text, **weight}


def _check_layout(row: Row, given: Given, where: str) -> None:
    """Raise where the columns of a row are of no layout, saying what else a row can be."""
    columns = fold_all(name for name in row if not is_missing(row[name]))
    try:
        find_layout(columns, row, given, where)
    except ValueError as error:
        raise ValueError(f"{error} {_KINDS}") from error


def read_responses(argument: str, column: str | None, given: Given) -> list[str] | Bunch:
    """Return the texts of a file, or its pairs where that is what it has.

    They are pairs where the caller names a column of pairs; or else where the first record has a
    preference, and none of the columns that texts have.
    """
    place = place_of_argument(argument)
    with readable(argument, twice=True) as path:
        if column is None and not given.said():
            if not _has_pairs(path, place):
                return texts_of(path, place)
        elif column is not None:
            if given.said():
                raise ValueError(
                    f"--column {shlex.quote(column)} names the texts of a file, and "
                    f"{given.say(*given.said()[0])} tells something of pairs. Leave one out."
                )
            return texts_of(path, place, column)
        return read_given(path, given, "", place=place)


def _has_pairs(path: str, place: str) -> bool:
    """Whether the first record of a file is a preference; a line of text is none."""
    given = Given(command=True)
    try:
        where, row = next(read_rows(path, place), ("", {}))
    except ValueError:
        if _has_header_of_pairs(path, place):
            raise  # its first row is damaged
        return False
    if not row:
        return _has_header_of_pairs(path, place)
    names = [name for name in row if not is_missing(row[name])]
    if set(names) & set(COLUMNS):
        return False
    try:
        find_layout(fold_all(names), row, given, where)
    except ValueError:
        return False
    return True


def as_records(pairs: Bunch) -> list[dict]:
    """Return pairs as records, ties and soft labels as they are."""
    return [
        {
            **({"prompt": prompt} if prompt else {}),
            "response_a": a,
            "response_b": b,
            "label": float(label),
            **({WEIGHT: float(weight)} if weight != 1 else {}),
        }
        for (prompt, a, b), label, weight in zip(pairs.X, pairs.y, pairs.sample_weight, strict=True)
    ]


def _has_header_of_pairs(path: str, place: str) -> bool:
    first, _ = find_first(read_lines(path, place))
    return bool(find_pairs(fold_all(header_of(first))))


def texts_of_pairs(pairs: Bunch) -> list[dict[str, Any]]:
    """Return pairs as they are in a file: as chosen and rejected, or with a label."""
    rows = []
    for (prompt, a, b), label, oriented in zip(pairs.X, pairs.y, pairs.oriented, strict=True):
        asked = {"prompt": prompt} if prompt else {}
        if oriented:
            chosen, rejected = (a, b) if label >= 0.5 else (b, a)
            rows.append({**asked, "chosen": chosen, "rejected": rejected})
        else:
            rows.append({**asked, "response_a": a, "response_b": b, "label": float(label)})
    return rows


def group_keys(pairs: Bunch, given: Given) -> list[Hashable]:
    """Return what each pair shares with others by ``--by``, None for all without it."""
    if given.groups is None:
        return [None] * pairs.n
    for name, values in pairs.columns.items():
        if fold(name) == fold(given.groups):  # the same in another file
            return [str(value) for value in values]
    return [(pairs.source, int(group)) for group in pairs.groups]


class Inputs:
    """All that a command has read: records, and what each file was read as.

    Parameters
    ----------
    arguments : Namespace
        Says what the columns of preferences are.

    Attributes
    ----------
    records : list of dict
        The records of all files.
    keys : list of hashable
        What each record shares with others by ``--by``, None for nothing.
    read_as : dict of dict
        What each file was read as, by its name.
    """

    def __init__(self, arguments: argparse.Namespace):
        self.given = given_of(arguments)
        self.records: list[dict] = []
        self.keys: list[Hashable] = []
        self.read_as: dict[str, dict] = {}
        self._has_pairs = False
        self._lines: list[str] = []

    def add_records(self, argument: str) -> None:
        """Add a file of all kinds."""
        self._add(argument, read_mixed(argument, self.given))

    def add_demonstrations(self, argument: str) -> None:
        """Add a file that has no preferences."""
        self._add(argument, read_demonstrations(argument))

    def add_texts(self, argument: str) -> None:
        """Add a file of texts, a line or a record each."""
        self._add(argument, Mixed([{"text": text} for text in read_texts(argument)], None))

    def add_pairs(self, argument: str) -> None:
        """Add a file of preferences."""
        self._add(argument, Mixed([], read_pairs(argument, self.given)))

    def _add(self, argument: str, mixed: Mixed) -> None:
        self.records += mixed.records
        self.keys += [None] * len(mixed.records)
        if mixed.pairs is not None:
            self._has_pairs = True
            self.records += as_records(mixed.pairs)
            self.keys += group_keys(mixed.pairs, self.given)
        place, counts = place_of_argument(argument), _count_records(mixed)
        self.read_as[place] = {
            **counts,
            **({"n_blank": mixed.n_blank} if mixed.n_blank else {}),
            **({} if mixed.pairs is None else describe_pairs(mixed.pairs)),
        }
        if counts:
            words = [f"{n:,} {name.removeprefix('n_')}" for name, n in counts.items()]
            blank = f" {plural(mixed.n_blank, 'row')} without any value, left out."
            self._lines.append(
                f"sklearn-codex: {place} read as: {', '.join(words)}.{blank * (mixed.n_blank > 0)}"
            )
        if mixed.pairs is not None:
            self._lines.append(say_pairs(argument, mixed.pairs))

    def tell(self) -> None:
        """Say on standard error what was read, once nothing can fail: an error is one line."""
        for line in self._lines:
            tell(line)

    def check(self, needs: str) -> None:
        """Raise where nothing was read, or no preferences of which the caller says something."""
        if not self.records:
            raise ValueError(needs)
        said = self.given.said()
        if not self._has_pairs and said:
            raise ValueError(
                f"{', '.join(self.read_as)} has no preferences, of which "
                f"{self.given.say(*said[0])} tells something. Leave it out. {_KINDS}"
            )


def describe_pairs(pairs: Bunch) -> dict:
    """Return what pairs were read as, for figures."""
    annotators = {str(name) for name in pairs.annotator if name is not None}
    return {
        "layout": pairs.layout,
        "n_rows": pairs.n_rows,
        "n_pairs": pairs.n,
        "n_ties": int((pairs.y == 0.5).sum()),
        "n_groups": len(set(pairs.groups.tolist())),
        **({"n_annotators": len(annotators)} if annotators else {}),
        "notes": list(pairs.notes),
    }


def say_pairs(argument: str, pairs: Bunch) -> str:
    """Return a line on what pairs were read as."""
    rows = "1 row" if pairs.n_rows == 1 else f"{pairs.n_rows:,} rows"
    n_pairs = "1 pair" if pairs.n == 1 else f"{pairs.n:,} pairs"
    notes = "".join(f" {note}" for note in pairs.notes)
    return (
        f"sklearn-codex: {place_of_argument(argument)} read as: {pairs.layout}; {rows}, {n_pairs}."
        f"{notes}"
    )


def _count_records(mixed: Mixed) -> dict[str, int]:
    """Return how many texts and demonstrations there are, where there are some."""
    texts = sum("text" in record for record in mixed.records)
    counts = {"n_texts": texts, "n_demonstrations": len(mixed.records) - texts}
    return {name: n for name, n in counts.items() if n}
