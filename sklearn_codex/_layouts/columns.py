"""Files of one pair a row whose columns say by their names, or by the caller, what they hold."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from sklearn_codex._checks.frames import is_missing
from sklearn_codex._conversations.cells import as_turns
from sklearn_codex._conversations.messages import as_messages
from sklearn_codex._conversations.roles import Message
from sklearn_codex._conversations.transcripts import parse_transcript
from sklearn_codex._conversations.turns import part_system
from sklearn_codex._labels.conventions import fold as fold_label
from sklearn_codex._labels.resolve import resolve_labels
from sklearn_codex._labels.sides import read_sides
from sklearn_codex._labels.words import read_words
from sklearn_codex._layouts.base import Columns, Comparison, Form, Layout, fold
from sklearn_codex._layouts.given import Given
from sklearn_codex._layouts.pairs import find_pairs
from sklearn_codex._layouts.prompts import CONVERSATIONS, PromptColumns, find_prompt, unwrap
from sklearn_codex._layouts.ranking import plural
from sklearn_codex._layouts.verdicts import Verdict, model_columns, vote_columns, votes_in
from sklearn_codex._layouts.words import LABELS, PEOPLE, RESPONSES, is_list, is_scalar, name_tokens
from sklearn_codex.labels import votes_to_soft_labels

__all__ = ["LABELS", "RESPONSES", "ColumnsLayout", "VotesLayout", "find_pairs", "make_layout"]

TEXT_LABEL = 20
"""Characters from which on a label can be the text of a response, and is no name of one."""


class ColumnsLayout(Layout):
    """One pair a row.

    Parameters
    ----------
    name : str
        As in :class:`Layout`.
    prompt : PromptColumns
        Where the prompt is.
    form : Form
        The columns of the responses and of the label.
    verdict : Verdict, default=None
        What tells which response is better, where it is no column of labels.
    annotator : str, default=""
        Column of who gave the label.
    models : tuple of str, default=None
        Columns that name the models of the two responses, by which a label may name one.
    """

    def __init__(
        self,
        name: str,
        prompt: PromptColumns,
        form: Form,
        verdict: Verdict | None = None,
        annotator: str = "",
        models: tuple[str, str] | None = None,
    ):
        names = {form.first, form.second, form.label, annotator} - {""}
        super().__init__(name, prompt.used | names | set(verdict.columns if verdict else ()))
        self.prompt, self.form, self.verdict = prompt, form, verdict
        self.annotator, self.models = annotator, models
        self.n_answered = 0
        notes = [prompt.describe(), verdict.note if verdict else ""]
        if annotator:
            notes.append(f"Each row is the label of one person or judge, whom {annotator} names.")
        self.notes += filter(None, notes)

    def read(self, row: Mapping[str, Any], where: str) -> Iterable[Comparison]:
        """Return the one comparison of a row."""
        compared = self.compare(row, where, self._label(row, where))
        bad = self.verdict is not None and self.verdict.says_both_bad(row)
        yield compared._replace(both_bad=bad)

    def compare(self, row: Mapping[str, Any], where: str, label: Any) -> Comparison:
        """Return the comparison of a row that has this label."""
        prompt = self.prompt.read(row, where)
        first, second = (unwrap(row[name]) for name in (self.form.first, self.form.second))
        prompt, first, second = self._as_turns(prompt, first, second, where)
        if self.prompt.main and fold(self.prompt.main) in CONVERSATIONS:
            prompt = self._without_answer(prompt, (first, second), where)
        if self.prompt.system and not self.prompt.main:
            first, second = (self._after_system(row, value, where) for value in (first, second))
        annotator = row.get(self.annotator) if self.annotator else None
        return Comparison(self.form, where, prompt, first, second, label, annotator=annotator)

    def _label(self, row: Mapping[str, Any], where: str) -> Any:
        if self.verdict is not None and self.verdict.read is not None:
            return self.verdict.read(row, where)
        if not self.form.label:
            return 1.0
        label = row[self.form.label]
        if isinstance(label, str) and label.strip():
            for names in (self.models, self._texts(label)):
                if names is not None and (side := self._side_named(label, names, row, where)):
                    return side
        return label

    def _side_named(self, label: str, names: tuple[str, str], row, where: str) -> str | None:
        """Return the response of which a label is the model or the text, None if it is of none."""
        sides = self.form.first, self.form.second
        values = [row.get(name) for name in names]
        if label not in values:
            values = [_alike(value) for value in values]
        named = [value in (label, _alike(label)) for value in values]
        if not any(named):
            return None
        verdict = read_words(label, read_sides(*sides))
        said = None if verdict is None else verdict.probability
        if all(named):
            if said is not None or names == sides:
                return None
            raise ValueError(
                f"{where} has {self.form.label} = {label!r}, and so have {names[0]} and "
                f"{names[1]}, so that nothing tells which is better. Write {sides[0]} or "
                f"{sides[1]}, or leave the row out."
            )
        side, other = sides if named[0] else sides[::-1]
        if said is not None and said != named[0]:
            raise ValueError(
                f"{where}: {self.form.label} = {label!r} can mean two things: that {other} is "
                f"better, as {label!r} names it, or that {side} is, as {label!r} stands in "
                f"{names[not named[0]]}. Write {sides[0]} or {sides[1]}."
            )
        return side

    def _texts(self, label: str) -> tuple[str, str] | None:
        return (self.form.first, self.form.second) if len(label) > TEXT_LABEL else None

    def _as_turns(self, prompt: Any, first: Any, second: Any, where: str) -> tuple[Any, Any, Any]:
        """Return conversations of a prompt and two responses that are lists, one text a turn."""
        asked = as_turns(prompt)
        if asked is None:
            return prompt, first, second
        one, two = as_turns(first), as_turns(second)
        if one is None or two is None:
            is_text = len(asked) == 1 and is_list(prompt)
            return asked[0] if is_text else prompt, first, second
        if not len(asked) == len(one) == len(two):
            names = (self.prompt.main, self.form.first, self.form.second)
            sizes = ", ".join(
                f"{len(turns)} as {name}"
                for name, turns in zip(names, (asked, one, two), strict=True)
            )
            raise ValueError(
                f"{where} has lists of different lengths, {sizes}. Each turn needs a text in all "
                "three; leave the row out."
            )
        if len(asked) == 1:
            return asked[0], one[0] or "", two[0] or ""
        return None, _interleave(asked, one), _interleave(asked, two)

    def _without_answer(self, prompt: Any, responses: tuple[Any, Any], where: str) -> Any:
        """Return turns without a last one that is one of the responses."""
        turns = None if prompt is None else as_messages(prompt, self.prompt.main, where)
        if not turns or turns[-1].role != "assistant":
            return prompt
        for value in responses:
            messages = as_messages(value, "a response", where)
            text = value if messages is None else messages[-1].content if messages else ""
            if str(text).strip() == turns[-1].content.strip():
                return turns[:-1]
        self.n_answered += 1
        return turns

    def finish(self) -> Iterable[Comparison]:
        """Note prompts that end as no prompt does."""
        if self.n_answered:
            self.notes.append(
                f"{self.n_answered} prompts in {self.prompt.main} end with an answer that is "
                "neither response, and keep it."
            )
        return ()

    def _after_system(self, row: Mapping[str, Any], value: Any, where: str) -> Any:
        system = row.get(self.prompt.system)
        turns = as_messages(value, self.form.first, where)
        if not turns or turns[0].role == "system" or not isinstance(system, str) or not system:
            return value
        return [Message("system", system), *turns]


def _alike(value: Any) -> Any:
    return " ".join(value.split()).casefold() if isinstance(value, str) else value


def _interleave(asked: list, said: list) -> list[Message]:
    return [
        Message(role, text or "")
        for turn in zip(asked, said, strict=True)
        for role, text in zip(("user", "assistant"), turn, strict=True)
    ]


class VotesLayout(ColumnsLayout):
    """One pair a row with the votes of several people, whose mean is the label.

    What votes mean shows in all of them together, so that rows wait for the last one.
    """

    across_rows = True
    reads_convention = True

    def __init__(self, *args, given: Given, convention: str | None = None, **kwargs):
        super().__init__(*args, **kwargs)
        self.given, self.convention = given, convention
        self._rows: list[tuple[Mapping[str, Any], str, list]] = []
        self.n_dropped = 0

    def covers(self, other: Layout) -> bool:
        """Return whether both read votes on the same two responses."""
        return isinstance(other, VotesLayout) and self.form == other.form

    def read(self, row: Mapping[str, Any], where: str) -> Iterable[Comparison]:
        """Keep a row and its votes."""
        names = self.verdict.columns if self.verdict else ()
        if len(names) == 1:
            votes = list((votes_in(row.get(names[0])) or {}).values())
        else:
            if not self.given.labels:
                found = vote_columns([str(name) for name in row], self.form.first, self.form.second)
                names = tuple(found) or names
            self.used |= set(names)
            votes = [row[name] for name in names if name in row and not is_missing(row[name])]
            votes = [vote for vote in votes if not (isinstance(vote, str) and not vote.strip())]
        if not votes:
            raise ValueError(f"{where} has no vote in {', '.join(names)}. Leave the row out.")
        cast = [vote for vote in votes if fold_label(vote) not in self.given.dropped]
        if cast:
            self._rows.append((row, where, cast))
        else:
            self.n_dropped += 1
        return ()

    def finish(self) -> Iterator[Comparison]:
        """Return the comparisons of all rows."""
        yield from super().finish()
        if self.n_dropped:
            self.notes.append(
                f"{plural(self.n_dropped, 'row')} left out, as the convention drops all its votes."
            )
        if not self._rows:
            return
        flat = [(vote, where) for _, where, votes in self._rows for vote in votes]
        resolved = resolve_labels(
            [vote for vote, _ in flat],
            [where for _, where in flat],
            column=self.verdict.columns[0] if self.verdict else "",
            first=self.form.first,
            second=self.form.second,
            convention=self.given.convention,
            usual=self.convention,
            say=self.given.say,
        )
        self.notes.append(f'Votes were read as "{resolved.convention}".')
        matrix = np.full((len(self._rows), max(len(votes) for *_, votes in self._rows)), np.nan)
        start = 0
        for position, (*_, votes) in enumerate(self._rows):
            matrix[position, : len(votes)] = resolved.probability[start : start + len(votes)]
            start += len(votes)
        labels = votes_to_soft_labels(matrix).label
        for (row, where, _), label in zip(self._rows, labels.tolist(), strict=True):
            yield self.compare(row, where, label)._replace(row=row)


def make_layout(
    name: str,
    columns: Columns,
    row: Mapping[str, Any],
    given: Given,
    where: str,
    form: Form,
    verdict: Verdict | None = None,
    prompt: PromptColumns | None = None,
) -> ColumnsLayout:
    """Return the layout of a form: with its prompt, its annotator and the names of its models.

    Parameters
    ----------
    name : str
    columns, row, given, where
        As a finder takes them.
    form : Form
    verdict : Verdict, default=None
        What tells which response is better; None for a column of labels.
    prompt : PromptColumns, default=None
        None looks for it.
    """
    taken = {form.first, form.second, form.label, *(verdict.columns if verdict else ())}
    if given.prompt is not None and fold(given.prompt) in map(fold, taken - {""}):
        raise ValueError(
            f"{where} has a response or the label in the column that "
            f"{given.say('prompt', given.prompt)} names. Name the column of the prompt, or leave "
            "it out."
        )
    others = {fold(name) for name in (given.weight, given.annotator) if name is not None}
    rest = {
        key: column for key, column in columns.items() if column not in taken and key not in others
    }
    if given.prompt is not None or prompt is None:
        prompt = find_prompt(rest, given, where, row, whole=_is_whole(row, form, where))
    annotator = "" if given.annotator or form.oriented else find_annotator(rest, row)
    args = (name, prompt, form, verdict, annotator, model_columns(form.first, form.second, rest))
    if verdict is not None and verdict.kind == "votes":
        return VotesLayout(*args, given=given, convention=form.convention)
    return ColumnsLayout(*args)


def _is_whole(row: Mapping[str, Any], form: Form, where: str) -> bool:
    """Return whether both responses are conversations from their first turn on.

    Transcripts are if they begin with one question: an answer may have marks of turns in it.
    """
    one, two = (_turns_in(row[name], name, where) for name in (form.first, form.second))
    if one is None or two is None:
        return False
    if not (one[1] or two[1]):
        return True
    return part_system(one[0])[1][:1] == part_system(two[0])[1][:1]


def _turns_in(value: Any, name: str, where: str) -> tuple[list[Message], bool] | None:
    """Return the turns of a conversation, and whether it is a transcript; None of an answer."""
    turns, is_text = None, isinstance(value, str)
    if is_list(value) or (is_text and value.lstrip()[:1] in ("[", "{")):
        turns = as_messages(value, name, where) if as_turns(value) is None else None
    is_text = is_text and turns is None
    turns = parse_transcript(value) if is_text else turns
    if not turns or len(turns) < 2 or turns[0].role not in ("system", "user"):
        return None
    return turns, is_text


def find_annotator(columns: Columns, row: Mapping[str, Any]) -> str:
    """Return the column of who gave the label, "" if there is none or several."""
    found = [
        column
        for column in columns.values()
        if (tokens := set(name_tokens(column))) & PEOPLE
        and tokens <= PEOPLE | {"id", "name", "answer", "data"}
        and is_scalar(row[column])
    ]
    return found[0] if len(found) == 1 else ""
