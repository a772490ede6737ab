"""Records, the input of ``RLHFPipeline``: what a row holds decides which kind of record it is."""

import reprlib
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from numbers import Real
from typing import Any, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from sklearn_codex._categorical import FloatArray, IntArray
from sklearn_codex._checks.frames import (
    column_names,
    column_values,
    is_frame,
    is_missing,
    repeated_names,
)
from sklearn_codex._checks.rows import check_rows
from sklearn_codex._conversations.messages import as_messages
from sklearn_codex._conversations.prefixes import cut_prefix
from sklearn_codex._conversations.split import is_plain, split_pair
from sklearn_codex._conversations.template import write_prompt, write_response
from sklearn_codex._data.candidate_records import (
    LOG_PROBS,
    RESPONSES,
    SCORES,
    CandidateArrays,
    Candidates,
    as_float,
    read_candidates,
    stack_candidates,
)
from sklearn_codex._stage import RecordKind

KINDS: tuple[RecordKind, ...] = get_args(RecordKind)

FORMS: Mapping[tuple[str, ...], RecordKind] = {
    ("text",): "corpus",
    ("completion",): "demonstration",
    ("chosen", "rejected"): "preference",
    ("response_a", "response_b", "label"): "preference",
    (RESPONSES,): "candidates",
    ("completion", "label"): "unpaired",
}
"""The columns that make a record, and the kind they make it."""

TEXT_COLUMNS = tuple(dict.fromkeys(name for form in FORMS for name in form if name != "label"))
_UNPAIRED = ("completion", "label")
_USUAL = ("corpus", "demonstration", "preference")
WEIGHT = "sample_weight"
COLUMNS = ("prompt", *TEXT_COLUMNS, "label", SCORES, LOG_PROBS, WEIGHT)

COLUMNS_OF_KIND: Mapping[RecordKind, str] = {
    "corpus": "text",
    "demonstration": "completion (and prompt, optional)",
    "preference": "chosen, rejected or response_a, response_b, label (and prompt, optional)",
    "candidates": "responses (and prompt, scores, logprobs, optional)",
    "unpaired": "completion, label (and prompt, optional)",
}


class Record(NamedTuple):
    """One record with its text flattened.

    ``other`` belongs to a preference, ``label`` to what is unpaired, too. Of candidates
    ``text`` is the first.
    """

    kind: RecordKind
    prompt: str | None
    text: str
    other: str | None = None
    label: float = -1.0
    weight: float = 1.0
    candidates: Candidates | None = None


@dataclass(frozen=True)
class Records:
    """Checked records, one entry a row in each field.

    Parameters
    ----------
    kind : ndarray of str of shape (n_records,)
        "corpus", "demonstration", "preference", "candidates" or "unpaired".
    prompt : list of str or None of length n_records
        The prompt, where the record has one that is not blank.
    text : list of str of length n_records
        The document: the text of a corpus record, the completion of a demonstration or of an
        unpaired record, response A of a preference, the first candidate.
    other : list of str or None of length n_records
        Response B of a preference.
    label : ndarray of float of shape (n_records,)
        Probability that A is preferred, or that what is unpaired is desirable: 1, 0, 0.5 for a tie,
        or between; -1 for other kinds.
    weight : ndarray of float of shape (n_records,)
        What each record weighs, 1 where it does not say.
    candidates : list of Candidates or None of length n_records
        The responses of candidates.
    """

    kind: NDArray[np.str_]
    prompt: list[str | None]
    text: list[str]
    other: list[str | None]
    label: FloatArray
    weight: FloatArray
    candidates: list[Candidates | None]

    def __len__(self) -> int:
        return len(self.text)

    def rows(self, kind: RecordKind) -> IntArray:
        """Return the positions (n_of_kind,) of the records of one kind, ascending."""
        return np.flatnonzero(self.kind == kind)

    def labels(self, rows: IntArray) -> NDArray[Any]:
        """Return the labels (n,) of rows that have one, as classes where all are 1 or 0."""
        label = self.label[rows]
        return label if ((label > 0) & (label < 1)).any() else label.astype(np.intp)

    def some(self, rows: IntArray, *, other: bool = False) -> tuple[list[str], list[str | None]]:
        """Return the texts (n,) of rows, or responses B of these, and their prompts."""
        texts: list[Any] = self.other if other else self.text
        return [texts[row] for row in rows], [self.prompt[row] for row in rows]

    def documents(self) -> list[str]:
        """Return one document a record: its text, completion or likelier preferred response.

        Of a tie it is response A: a record has one document, and neither response is the better.

        Raises
        ------
        ValueError
            If there are candidates, which are several documents.
        """
        several = self.rows("candidates")
        if several.size:
            raise ValueError(
                f"Record {several[0]} holds candidates, and no single document. Pass its "
                f"{RESPONSES} as texts, or leave it out."
            )
        return [
            other if 0 <= label < 0.5 and other is not None else text
            for text, other, label in zip(self.text, self.other, self.label, strict=True)
        ]

    def describe(self) -> str:
        """Return how many records there are of each kind, in words."""
        numbers = {kind: len(self.rows(kind)) for kind in KINDS}
        return ", ".join(f"{n} {kind}" for kind, n in numbers.items() if n or kind in _USUAL)

    def all_texts(self) -> list[str]:
        """Return all documents there are: those of ``text``, then ``other``, then candidates."""
        others = [other for other in self.other if other is not None]
        rest = [own.responses[1:] for own in self.candidates if own is not None]
        return [*self.text, *others, *chain.from_iterable(rest)]

    def all_prompts(self) -> list[str | None]:
        """Return the prompt of each of :meth:`all_texts`, None where it has none."""
        pairs = zip(self.prompt, self.other, strict=True)
        others = [prompt for prompt, other in pairs if other is not None]
        own = zip(self.prompt, self.candidates, strict=True)
        rest = [[prompt] * (len(found.responses) - 1) for prompt, found in own if found is not None]
        return [*self.prompt, *others, *chain.from_iterable(rest)]

    def candidate_arrays(self, *, subject: str) -> CandidateArrays:
        """Return the candidates as rows; of all records that have any, one at least."""
        rows = self.rows("candidates")
        own = [found for found in self.candidates if found is not None]
        return stack_candidates([self.prompt[row] for row in rows], own, rows, subject=subject)


def check_records(X: Any, *, subject: str) -> Records:
    """Validate records and tell their kinds.

    Parameters
    ----------
    X : list of dict, array of dict, or DataFrame (pandas, polars, pyarrow) of length n_records
        Records. None, NaN and ``pandas.NA`` mean that the row does not have the column, so that
        one table can hold all kinds. Columns of other names are ignored.
    subject : str
        Who asks; error messages start with it.

    Returns
    -------
    records : Records
        Text and conversations flattened to str. A conversation, messages ``{"role": ...,
        "content": ...}`` or of another kind, or a transcript, becomes one text: the only turn of
        a prompt and the first of a response are their content, other turns have their role, as
        "User: ...", and a blank line between them. Where a preference has no prompt, the turns
        with which both responses begin are its prompt; responses that repeat their prompt are
        cut; the turns before the last answer of a completion are its prompt. Of ``chosen`` and
        ``rejected`` the first such pair gets the chosen response as A, the second as B, and so on
        in turn, so that both classes occur; where all labels given are the same, every second pair
        is exchanged for the same reason. The Bradley-Terry model is antisymmetric, so the
        orientation does not change what is learned.

    Raises
    ------
    TypeError
        If X is no sequence of records, or a column holds neither text nor messages.
    ValueError
        If X is empty, a row is of no kind or of several, a label is outside [0, 1] or, beside
        judged completions, None, or a weight is negative.

    Warns
    -----
    UserWarning
        If a table has completions with a label and others without.

    Examples
    --------
    >>> from sklearn_codex._data.records import check_records
    >>> records = check_records(
    ...     [{"text": "a b"}, {"prompt": "p", "completion": "c"}], subject="RLHFPipeline"
    ... )
    >>> records.kind.tolist(), records.text
    (['corpus', 'demonstration'], ['a b', 'c'])
    """
    rows = check_rows(X, subject)
    plain_records = _read_plain_rows(rows)
    if plain_records is not None:
        return plain_records
    checked, n_chosen = [], 0
    for position, row in enumerate(rows):
        where = f"{subject}: record {position}"
        present = present_columns(row)
        form = check_form(present, row, where)
        checked.append(read_record(present, form, where, swap=n_chosen % 2 == 1))
        n_chosen += form == ("chosen", "rejected")
    _refuse_lost_judgements(rows, checked, subject, is_table=is_frame(X))
    checked = _balance(checked)
    return Records(
        kind=np.array([record.kind for record in checked]),
        prompt=[record.prompt for record in checked],
        text=[record.text for record in checked],
        other=[record.other for record in checked],
        label=np.array([record.label for record in checked], dtype=np.float64),
        weight=np.array([record.weight for record in checked], dtype=np.float64),
        candidates=[record.candidates for record in checked],
    )


def _refuse_lost_judgements(rows, checked, subject, *, is_table):
    """Raise where a row among judged ones names a label and has none, which has two readings.

    A table has the columns of all its rows, so there it is no more than a warning.
    """
    kinds = [record.kind for record in checked]
    n_judged = kinds.count("unpaired")
    lost = [
        position
        for position, kind in enumerate(kinds)
        if n_judged and kind == "demonstration" and "label" in rows[position]
    ]
    if not lost:
        return
    seen = (
        f"{len(lost)} of the records with a completion have no value as label, the first record "
        f"{lost[0]}, beside {n_judged} that have one"
    )
    judged = "Where a judgement is missing there, drop these records"
    if is_table:
        warnings.warn(
            f"{subject} takes completions without a label for demonstrations, to be learned as "
            f"they are: {seen}. {judged}. Where they are demonstrations, all is well; dicts "
            "without the key 'label' say so.",
            UserWarning,
            stacklevel=3,
        )
        return
    raise ValueError(
        f"{subject}: {seen}. {judged}, or give it: true, false, or a probability between. Where "
        "they are demonstrations, to be learned as they are, leave the key 'label' out of them."
    )


def present_columns(row: Mapping) -> dict[str, Any]:
    """Return what a row holds of the columns that make a record."""
    return {name: row[name] for name in COLUMNS if name in row and not is_missing(row[name])}


@lru_cache(maxsize=256)
def _form_of_columns(names: tuple) -> tuple[str, ...] | None:
    """Return the form of rows with these columns, None where one of them has to be absent."""
    touched = _touched(names)
    if len(touched) == 1 and all(name in names for name in touched[0]) and WEIGHT not in names:
        return touched[0]
    return None


def _touched(names: Collection) -> list[tuple[str, ...]]:
    """Return the forms of which there are columns, a label being that of a completion first."""
    is_labelled = all(name in names for name in _UNPAIRED)
    own = [name for name in names if not (is_labelled and name == "label")]
    touched = [form for form in FORMS if form != _UNPAIRED and any(name in own for name in form)]
    return [_UNPAIRED if is_labelled and form == ("completion",) else form for form in touched]


def _read_plain_rows(rows: Sequence[Mapping]) -> Records | None:
    """Return the records of rows that all have only what they need, as str; else None.

    Most data are such, and a search checks all of it again for every candidate: so it is read
    column by column, which takes a third of the time.
    """
    columns = [tuple(row) for row in rows]
    forms = {names: _form_of_columns(names) for names in set(columns)}
    if any(form is None or {"label", RESPONSES} & {*form} for form in forms.values()):
        return None
    prompt = [
        row["prompt"] if "prompt" in names else "" for row, names in zip(rows, columns, strict=True)
    ]
    form_of_row = [forms[names] or () for names in columns]
    text = [row[form[0]] for row, form in zip(rows, form_of_row, strict=True)]
    kind = np.array([FORMS[form] for form in form_of_row])
    label = np.full(len(rows), -1.0)
    other: list[str | None] = [None] * len(rows)
    preferences = np.flatnonzero(kind == "preference").tolist()
    rejected = [rows[row]["rejected"] for row in preferences]
    if not all(set(map(type, values)) <= {str} for values in (prompt, text, rejected)):
        return None
    answers = [text[row] for row in np.flatnonzero(kind != "corpus").tolist()]
    if not all(map(is_plain, chain(prompt, answers, rejected))):
        return None
    for turn, row in enumerate(preferences):
        pair = text[row], rejected[turn]
        if prompt[row].strip():
            pair = cut_prefix(prompt[row], *pair) or pair
        text[row], other[row] = pair[::-1] if turn % 2 == 1 else pair
    label[preferences[0::2]], label[preferences[1::2]] = 1, 0
    shown = [value if value.strip() else None for value in prompt]
    n_rows = len(rows)
    return Records(kind, shown, text, other, label, np.ones(n_rows), [None] * n_rows)


def is_records(X: Any) -> bool:
    """Tell records from documents, which are text or counts.

    A data frame of counts may name a column "text", so a frame holds records where such a column
    holds something else than numbers.
    """
    if is_frame(X):
        if not set(repeated_names(X)).isdisjoint(TEXT_COLUMNS):
            return True  # and refused, when they are read
        names = set(column_names(X)).intersection(TEXT_COLUMNS)
        return any(
            not (is_missing(value) or isinstance(value, Real))
            for name in names
            for value in column_values(X, name)
        )
    if isinstance(X, np.ndarray):
        return X.ndim == 1 and X.size > 0 and isinstance(X[0], Mapping)
    return isinstance(X, Sequence) and len(X) > 0 and isinstance(X[0], Mapping)


def check_form(present, row, where) -> tuple[str, ...]:
    """Return the one form of record whose columns the row has, all of them."""
    touched = _touched(present)
    if len(touched) == 1 and all(name in present for name in touched[0]):
        return touched[0]
    seen = [name for name in row if not is_missing(row[name])]
    needs = "; ".join(f"{kind}: {columns}" for kind, columns in COLUMNS_OF_KIND.items())
    problem = "of no kind" if len(touched) < 1 else "of several kinds"
    if len(touched) == 1:
        missing = [name for name in touched[0] if name not in present]
        problem = f"an incomplete {FORMS[touched[0]]}, without {', '.join(missing)}"
    raise ValueError(
        f"{where} is {problem}. It has {seen}. Each record has the columns of exactly one kind "
        f"({needs}); leave the others out."
    )


def read_record(present, form, where, *, swap) -> Record:
    """Return the record of a row whose form is known."""
    kind = FORMS[form]
    weight = _check_weight(present[WEIGHT], where) if WEIGHT in present else 1.0
    if kind == "corpus":
        return Record(kind, None, flatten(present["text"], "text", where), weight=weight)
    if kind == "candidates":
        prompt, candidates = read_candidates(present, where)
        text = candidates.responses[0]
        return Record(kind, _or_none(prompt), text, weight=weight, candidates=candidates)
    is_alone = kind in ("demonstration", "unpaired")
    first = form[0]
    second = first if is_alone else form[1]
    split = split_pair(
        present.get("prompt"),
        present[first],
        present[second],
        ("prompt", first, second),
        where,
        repeats=None if is_alone else False,
    )
    label = _check_label(present["label"], where, kind) if "label" in form else 1.0
    if is_alone:
        label = label if kind == "unpaired" else -1.0
        return Record(kind, _or_none(split.prompt), split.first, label=label, weight=weight)
    text, other = split.first, split.second
    if form == ("chosen", "rejected") and swap:
        text, other, label = other, text, 0.0
    return Record(kind, _or_none(split.prompt), text, other, label, weight)


def _balance(records: list[Record]) -> list[Record]:
    """Exchange the responses of every second preference where all have the same label."""
    rows = [row for row, record in enumerate(records) if record.kind == "preference"]
    if len({records[row].label for row in rows}) == 1:
        for row in rows[1::2]:
            record = records[row]
            records[row] = record._replace(
                text=record.other or "", other=record.text, label=1 - record.label
            )
    return records


def _or_none(prompt: str | None) -> str | None:
    """Return a prompt, None where it is blank."""
    return prompt if prompt is not None and prompt.strip() else None


def flatten(value, column, where) -> str:
    """Return text as it is, and a conversation as text with the roles of its turns."""
    if isinstance(value, str):
        return value
    messages = as_messages(value, column, where)
    if not messages:
        raise TypeError(
            f"{where} should have text or messages [{{'role': ..., 'content': ...}}] as {column}, "
            f"got a {type(value).__name__}: {reprlib.repr(value)}. Make it text, or leave the "
            "column out."
        )
    return write_prompt(messages) if len(messages) > 1 else write_response(messages)


def _check_label(label, where, kind) -> float:
    """Return a label as the probability that A is preferred, or that a response is desirable."""
    value = as_float(label)
    if 0 <= value <= 1:
        return value
    if kind == "unpaired":
        raise ValueError(
            f"{where} has a completion with a label, so it should be true or 1 (desirable), false "
            f"or 0 (undesirable) or a probability between, got {reprlib.repr(label)}. Leave the "
            "label out where the completion is a demonstration."
        )
    raise ValueError(
        f"{where} should have label 1 (response_a preferred), 0 (response_b preferred), 0.5 (a "
        f"tie) or a probability between, got {reprlib.repr(label)}."
    )


def _check_weight(weight, where) -> float:
    """Return what a record weighs."""
    value = as_float(weight)
    if 0 <= value < np.inf:
        return value
    raise ValueError(
        f"{where} should have a number of at least 0 as {WEIGHT}, got {reprlib.repr(weight)}."
    )
