"""Preference pairs from files and frames, whatever their columns are called."""

import reprlib
from collections.abc import Hashable, Iterable, Mapping
from contextlib import suppress
from numbers import Real
from typing import Any, cast

import numpy as np
from sklearn.utils import Bunch
from sklearn.utils._param_validation import StrOptions, validate_params

from sklearn_codex._categorical import IntArray
from sklearn_codex._checks.frames import is_missing
from sklearn_codex._checks.probabilities import check_soft_labels
from sklearn_codex._data.records import (
    count_shared,
    flatten,
    is_conversation,
    read_record,
)
from sklearn_codex._files.rows import Row
from sklearn_codex._files.tables import open_rows
from sklearn_codex._plain import plain
from sklearn_codex.labels import LABEL_CONVENTIONS

ALIASES: Mapping[str, tuple[str, ...]] = {
    "prompt": ("prompt", "instruction", "question", "query", "history"),
    "chosen": ("chosen", "chosen_response", "preferred"),
    "rejected": ("rejected", "rejected_response", "dispreferred"),
    "response_a": (
        "response_a", "output_a", "answer_a", "completion_a", "conversation_a", "human_ref_A"
    ),
    "response_b": (
        "response_b", "output_b", "answer_b", "completion_b", "conversation_b", "human_ref_B"
    ),
    "label": ("label", "labels", "winner", "preference"),
}  # fmt: skip
"""The names under which a column is found."""

ORIENTED = ("chosen", "rejected")
LABELLED = ("response_a", "response_b", "label")
SUBJECT = "read_preferences"

_CONVENTIONS = cast("Mapping[str, Mapping[Any, float]]", LABEL_CONVENTIONS)
_NAMES = {**_CONVENTIONS["names"], **_CONVENTIONS["arena"]}
_TURN = "\n\nAssistant:"


@validate_params(
    {
        "path_or_frame": "no_validation",
        **{name: [str, None] for name in (*ALIASES, "groups")},
        "convention": [StrOptions(set(LABEL_CONVENTIONS)), Mapping, None],
    },
    prefer_skip_nested_validation=True,
)
def read_preferences(
    path_or_frame,
    *,
    prompt=None,
    chosen=None,
    rejected=None,
    response_a=None,
    response_b=None,
    label=None,
    convention=None,
    groups=None,
):
    r"""Read preference pairs from a file or a frame into arrays.

    Parameters
    ----------
    path_or_frame : str, path-like, DataFrame (pandas, polars, pyarrow), or list of dict
        JSON lines, a JSON list of records or CSV with a header line, gzipped or not, in UTF-8: what
        a file is shows in its first bytes, not in its name. Or a table that has been read already.
    prompt : str, default=None
        Column of the prompt, which a table need not have. None looks for the names in Notes, for
        this and the next five.
    chosen, rejected : str, default=None
        Columns of the preferred response and of the other one.
    response_a, response_b, label : str, default=None
        Columns of two responses and of what is preferred, instead of `chosen` and `rejected`.
    convention : str or mapping, default=None
        How labels are written: a key of :data:`sklearn_codex.labels.LABEL_CONVENTIONS`, such as
        "one_two" where 1 or 2 is the better response, or a mapping of each value to the probability
        that A is preferred. None means the labels in Notes.
    groups : str, default=None
        Column of the groups, such as the task that several prompts ask for. None means the prompt.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object with the attributes:

        X : ndarray of shape (n_pairs, 3)
            Prompt, response A and response B, an object array of str. "" where there is no prompt.
        y : ndarray of shape (n_pairs,)
            Probability that A is preferred: 1, 0, 0.5 for a tie, or a soft label between.
        groups : ndarray of shape (n_pairs,)
            Index of the group of each pair, for `groups=` of a splitter. Prompts that differ in
            blanks only are one group; a pair without a prompt is its own.
        n : int
            Number of pairs.
        columns : dict of ndarray of shape (n_pairs,)
            The other columns: numbers where all values are, else objects, None where a row has
            none. Values from CSV are str.
        source : str
            The path, or the type of the table.

    Raises
    ------
    OSError
        If the file cannot be opened.
    TypeError
        If a column of text holds something else.
    ValueError
        If a row has no preference, two of them, or a label of unknown meaning, if the file is
        empty or damaged. The message has the line. No row is ever left out.

    See Also
    --------
    sklearn_codex.health.check_preferences : Tells whether the data are fit to learn from.
    sklearn_codex.datasets.fetch_hh_rlhf : Published preferences.
    sklearn_codex.datasets.fetch_pandalm : Published preferences.

    Notes
    -----
    Names under which columns are found, the first one that a row has; one more name for the same
    column is an error unless the first of the list is there:

    ============  =============================================================================
    prompt        prompt, instruction, question, query, history
    chosen        chosen, chosen_response, preferred
    rejected      rejected, rejected_response, dispreferred
    response_a    response_a, output_a, answer_a, completion_a, conversation_a, human_ref_A
    response_b    response_b, output_b, answer_b, completion_b, conversation_b, human_ref_B
    label         label, labels, winner, preference
    ============  =============================================================================

    A label is a number in [0, 1], the probability that A is preferred, or, in upper or lower case,
    the name of the column of response A, "a" or "model_a", the same for B, or "tie", "tie
    (bothbad)" or "both_bad".

    Of `chosen` and `rejected`, the first pair gets the chosen response as A, the second as B, and
    so on in turn, so that both classes occur; the Bradley-Terry model is antisymmetric, so the
    orientation does not change what is learned.

    Conversations, lists of `{"role": ..., "content": ...}`, become the contents of their messages
    joined by a newline. Without a prompt, the messages with which both responses begin are the
    prompt; so is, where both responses are transcripts as in HH-RLHF, what they share up to and
    with the last "\n\nAssistant:". With a prompt, conversations that repeat it are cut.

    Examples
    --------
    >>> from sklearn_codex.datasets import read_preferences
    >>> data = read_preferences(
    ...     [
    ...         {"prompt": "2 + 2?", "chosen": "4", "rejected": "5", "source": "web"},
    ...         {"prompt": "2 + 2?", "chosen": "four", "rejected": "five", "source": "book"},
    ...     ]
    ... )
    >>> data.X.tolist()
    [['2 + 2?', '4', '5'], ['2 + 2?', 'five', 'four']]
    >>> data.y, data.groups, data.columns["source"].tolist()
    (array([1., 0.]), array([0, 0]), ['web', 'book'])
    """
    given = {
        "prompt": prompt,
        "chosen": chosen,
        "rejected": rejected,
        "response_a": response_a,
        "response_b": response_b,
        "label": label,
    }
    rows, _, source = open_rows(path_or_frame, SUBJECT)
    reader = RowReader(given, convention, groups)
    return reader.read(rows, source=source)


class RowReader:
    """Turns rows into pairs; it holds what a call was told about the columns.

    Parameters
    ----------
    given : mapping of str to str or None
        Name of the column in each role of ``ALIASES``, None where it is to be found.
    convention : str, mapping or None
        How labels are written; None for numbers in [0, 1] and the usual names.
    groups : str or None
        Column of the groups; None for the prompt.
    """

    def __init__(self, given, convention=None, groups=None):
        self.given = {role: given.get(role) for role in ALIASES}
        self.meanings = None if convention is None else _check_convention(convention)
        self.groups = groups
        # Rows of the same columns have the same roles, so these are found once.
        self._roles: dict[tuple[str, ...], dict[str, str]] = {}

    def read(self, rows: Iterable[tuple[str, Mapping]], *, source: str) -> Bunch:
        """Return the pairs of all rows, as ``read_preferences`` does."""
        texts: dict[str, str] = {}  # one object for each distinct text
        pairs: list[list[str]] = []
        labels: list[float] = []
        keys: list[Hashable] = []
        others: dict[str, list] = {}
        n_chosen = 0
        for position, (where, row) in enumerate(rows):
            present = {str(name): row[name] for name in row if not is_missing(row[name])}
            roles = self._find_roles(present, row, where)
            pair, label = self._read_pair(present, roles, where, swap=n_chosen % 2 == 1)
            n_chosen += "chosen" in roles
            pairs.append([texts.setdefault(text, text) for text in pair])
            labels.append(label)
            keys.append(self._key(pair[0], present, position, where))
            _add_others(others, row, set(roles.values()), position)
        if not pairs:
            raise ValueError(
                f"{SUBJECT}: {plain(source)} has a header and no record. Pass at least one."
            )
        return Bunch(
            X=np.array(pairs, dtype=object),
            y=np.array(labels),
            groups=_code(keys),
            n=len(pairs),
            columns={name: _as_array(values, len(pairs)) for name, values in others.items()},
            source=source,
        )

    def _find_roles(self, present, row, where) -> dict[str, str]:
        """Return the name of the column in each role that the row has."""
        key = tuple(present)
        if key not in self._roles:
            self._check_given(row, where)
            roles = {role: self._find_column(role, present, where) for role in ALIASES}
            self._roles[key] = self._check_form(
                {role: name for role, name in roles.items() if name in present}, row, where
            )
        return self._roles[key]

    def _check_given(self, row, where):
        for name in (*self.given.values(), self.groups):
            if name is not None and name not in row:
                raise ValueError(f"{where} has no column {name!r}. It has {list(row)}.")

    def _find_column(self, role, present, where):
        if self.given[role] is not None:
            return self.given[role]
        found = [name for name in ALIASES[role] if name in present]
        if len(found) > 1 and found[0] != role:
            raise ValueError(
                f"{where} has more than one column that may be the {role}: {found}. Say which, "
                f"such as {role}={found[0]!r}."
            )
        return found[0] if found else None

    def _check_form(self, roles, row, where) -> dict[str, str]:
        """Leave the roles of one form, oriented or labelled, with the prompt where there is one."""
        forms = [ORIENTED, LABELLED]
        named = [form for form in forms if any(self.given[role] is not None for role in form)]
        if len(named) == 1:
            forms = named
        touched = [form for form in forms if any(role in roles for role in form)]
        if len(touched) == 1 and all(role in roles for role in touched[0]):
            return {role: roles[role] for role in ("prompt", *touched[0]) if role in roles}
        seen = [name for name in row if not is_missing(row[name])]
        if len(touched) == 1:
            missing = [self.given[role] or role for role in touched[0] if role not in roles]
            problem = f"has no {' and no '.join(missing)}"
        else:
            problem = "has no preference" if not touched else "has two kinds of preference"
        raise ValueError(
            f"{where} {problem}. It has {seen}. A row needs either chosen and rejected, or "
            "response_a, response_b and label. Say which columns these are where they have other "
            'names, or where a row has columns of both, such as chosen="good", rejected="bad".'
        )

    def _read_pair(self, present, roles, where, *, swap):
        """Return (prompt, response A, response B) and the probability that A is preferred."""
        fields = {role: present[name] for role, name in roles.items()}
        form = ORIENTED if "chosen" in fields else LABELLED
        label = None
        if form is LABELLED:
            label = self._parse_label(fields["label"], roles, where)
            fields["label"] = 1
        fields = _split_prompt(fields, form[0], form[1], where)
        record = read_record(fields, form, where, swap=swap)
        pair = (record.prompt or "", record.text, record.other or "")
        return pair, float(record.label) if label is None else label

    def _parse_label(self, value, roles, where) -> float:
        """Return the probability that A is preferred."""
        label = _fold(value)
        if self.meanings is not None:
            if label in self.meanings:
                return self.meanings[label]
            known = f"one of the convention, {list(self.meanings)}"
        else:
            if isinstance(label, float) and 0 <= label <= 1:
                return label
            names = {roles["response_a"].casefold(): 1.0, roles["response_b"].casefold(): 0.0}
            if label in names or label in _NAMES:
                return {**_NAMES, **names}[label]
            known = 'the probability that A is preferred, from 0 to 1, or "a", "b" or "tie"'
        raise ValueError(
            f"{where} has {roles['label']} = {reprlib.repr(value)}. A label is {known}. Say what "
            'others mean, such as convention={1: 1, 2: 0, "same": 0.5} where 1 is the first '
            "response and 2 the second."
        )

    def _key(self, prompt, present, position, where) -> Hashable:
        """Return what rows of one group share."""
        if self.groups is None:
            return " ".join(prompt.split()) or position
        if self.groups not in present:
            raise ValueError(
                f"{where} has no value in the column of the groups, {self.groups!r}. Every pair "
                "needs one."
            )
        value = present[self.groups]
        return value if isinstance(value, Hashable) else repr(value)


def _check_convention(convention) -> dict[Any, float]:
    """Return what each label means, folded."""
    named = _CONVENTIONS[convention] if isinstance(convention, str) else convention
    meanings = check_soft_labels(list(named.values()), name="The meaning of a label in convention")
    return dict(zip(map(_fold, named), meanings.tolist(), strict=True))


def _fold(label) -> Any:
    """Return a label so that 1, True, "1" and "1.0" are the same, and "Tie" and "tie"."""
    try:
        return float(label)
    except OverflowError:
        return float("inf") if label > 0 else -float("inf")
    except (TypeError, ValueError):
        return label.strip().casefold() if isinstance(label, str) else repr(label)


def _split_prompt(fields, first, second, where) -> dict[str, Any]:
    """Take the prompt out of two responses that both begin with it."""
    one, other = fields[first], fields[second]
    if is_conversation(one) and is_conversation(other) and "prompt" in fields:
        n_shared = count_shared(one, other)
        shared = one[:n_shared]
        prompt = flatten(fields["prompt"], "prompt", where)
        # A system message may stand before the messages that repeat the prompt.
        if any(flatten(shared[i:], first, where) == prompt for i in range(n_shared)):
            return {"prompt": shared, first: one[n_shared:], second: other[n_shared:]} | {
                role: fields[role] for role in fields if role == "label"
            }
    if isinstance(one, str) and isinstance(other, str) and "prompt" not in fields:
        cut = _find_cut(one, other)
        if cut:
            return {
                "prompt": one[:cut].strip(),
                **fields,
                first: one[cut:].strip(),
                second: other[cut:].strip(),
            }
    return fields


def _find_cut(one: str, other: str) -> int:
    """Return where the last turn begins up to which two transcripts are equal, 0 if none."""
    cut = 0
    while True:
        start = one.find(_TURN, cut)
        end = start + len(_TURN)
        if start < 0 or one[cut:end] != other[cut:end]:
            return cut
        cut = end


def _add_others(others: dict[str, list], row: Row | Mapping, used: set[str], position: int):
    """Append the values of the columns that are not used, filling up rows that had none."""
    for name in row:
        if str(name) not in used:
            values = others.setdefault(str(name), [])
            values.extend([None] * (position - len(values)))
            values.append(None if is_missing(row[name]) else row[name])


def _as_array(values: list, n: int) -> np.ndarray:
    """Return a column as numbers where all values are, else as objects."""
    values.extend([None] * (n - len(values)))
    if all(isinstance(value, (Real, np.bool_)) for value in values):
        with suppress(OverflowError):  # no float is as large as an int can be
            return np.array(values)
    column = np.empty(n, dtype=object)
    for row, value in enumerate(values):  # not at once: lists of one length would be an array
        column[row] = value
    return column


def _code(keys: list[Hashable]) -> IntArray:
    """Return the index (n,) of each key in the order in which they first occur."""
    index: dict[Hashable, int] = {}
    return np.array([index.setdefault(key, len(index)) for key in keys], dtype=np.intp)
