"""Files of one pair a row whose columns say by their names, or by the caller, what they hold."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from sklearn_codex._layouts.base import Columns, Comparison, Form, Layout, fold
from sklearn_codex._layouts.given import PAIR_ROLES, Given
from sklearn_codex._layouts.prompts import PromptColumns, find_prompt

# Words for the one and the other response, the better one first where one is.
ORIENTED = (
    ("chosen", "rejected"),
    ("preferred", "dispreferred"),
    ("preferred", "rejected"),
    ("accepted", "rejected"),
    ("winner", "loser"),
    ("winning", "losing"),
    ("win", "lose"),
    ("better", "worse"),
    ("best", "worst"),
    ("good", "bad"),
    ("positive", "negative"),
    ("pos", "neg"),
)
LABELLED = (("a", "b"), ("1", "2"), ("0", "1"), ("left", "right"), ("first", "second"))
# What columns of responses are called beside those words.
RESPONSES = frozenset(
    "response answer output completion conversation text generation reply candidate summary "
    "solution human_ref model_response model_answer model_output assistant code continuation "
    "hypothesis translation sample".split()
)
LABELS = ("label", "labels", "winner", "preference", "preferred", "choice", "better", "judgment",
          "judgement", "verdict", "vote", "better_response", "preferred_response", "overall_preference",
          "better_response_id", "preference_strength")  # fmt: skip


class PairNames(NamedTuple):
    """The columns of two responses, as they are in the file."""

    first: str
    second: str
    oriented: bool


def find_pairs(columns: Columns) -> list[PairNames]:
    """Return the pairs of columns whose names differ in one of the words for two responses."""
    found: dict[tuple[str, str], PairNames] = {}
    for words, oriented in [*((w, True) for w in ORIENTED), *((w, False) for w in LABELLED)]:
        for name in columns:
            for other in _counterparts(name, *words):
                if other in columns and _holds_responses(name, words[0], oriented):
                    pair = PairNames(columns[name], columns[other], oriented)
                    found.setdefault((name, other), pair)
    return list(found.values())


def _counterparts(name: str, word: str, other: str) -> Iterator[str]:
    """Generate a folded name with one word in place of another, such as response_b."""
    parts = re.split(r"(_|(?<=[a-z])(?=[0-9]))", name)
    for position, part in enumerate(parts):
        if part == word:
            yield "".join([*parts[:position], other, *parts[position + 1 :]])


def _holds_responses(name: str, word: str, oriented: bool) -> bool:
    rest = "_".join(part for part in re.split(r"_|(?<=[a-z])(?=[0-9])", name) if part != word)
    rest = rest.removesuffix("s")
    return rest in RESPONSES or (rest == "" and (oriented or word == "a"))


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
    """

    def __init__(self, name: str, prompt: PromptColumns, form: Form):
        names = {form.first, form.second, form.label} - {""}
        super().__init__(name, prompt.used | names)
        self.prompt, self.form = prompt, form

    def read(self, row: Mapping[str, Any], where: str) -> Iterator[Comparison]:
        """Return the one comparison of a row."""
        form = self.form
        label = row[form.label] if form.label else 1.0
        yield Comparison(
            form, where, self.prompt.read(row), row[form.first], row[form.second], label
        )


def find_columns(columns: Columns, given: Given, where: str) -> ColumnsLayout | None:
    """Return the layout that the names of the columns, or the caller, tell; None if they do not.

    Raises
    ------
    ValueError
        If they tell several.
    """
    forms = [_given_form(columns, given, where)] if given.names_pair else _found_forms(columns)
    if not forms:
        return None
    if len(forms) > 1:
        raise ValueError(_several(forms, given, where))
    form = forms[0]
    taken = {fold(name) for name in (form.first, form.second, form.label)}
    rest = {name: column for name, column in columns.items() if name not in taken}
    return ColumnsLayout(_name_of(form), find_prompt(rest, given, where), form)


def _found_forms(columns: Columns) -> list[Form]:
    forms = [
        Form(pair.first, pair.second, oriented=True)
        for pair in find_pairs(columns)
        if pair.oriented
    ]
    labels = [columns[name] for name in LABELS if name in columns]
    for pair in find_pairs(columns):
        if not pair.oriented:
            forms += [Form(pair.first, pair.second, label) for label in labels[:1]]
    return forms


def _given_form(columns: Columns, given: Given, where: str) -> Form:
    named = {role: columns[fold(name)] for role, name in given.columns().items() if role in PAIR_ROLES}
    oriented = {"chosen", "rejected"} & named.keys()
    labelled = {"response_a", "response_b", "label"} & named.keys()
    if oriented and labelled:
        raise ValueError(
            f"{where} has chosen and rejected, or two responses and a label: say either "
            f"{given.say('chosen', 'NAME')} and {given.say('rejected', 'NAME')}, or "
            f"{given.say('response_a', 'NAME')}, {given.say('response_b', 'NAME')} and "
            f"{given.say('label', 'NAME')}."
        )
    roles = ("chosen", "rejected") if oriented else ("response_a", "response_b", "label")
    rest = {name: column for name, column in columns.items() if column not in named.values()}
    for form in _found_forms(rest | {fold(name): name for name in named.values()}):
        values = (form.first, form.second, form.label)[: len(roles)]
        if form.oriented == bool(oriented):
            named = dict(zip(roles, values, strict=True)) | named
            break
    missing = [role for role in roles if role not in named]
    if missing:
        raise ValueError(
            f"{where} has no column for {' and '.join(missing)}. It has {list(columns.values())}. "
            f"Say which it is: {given.say(missing[0], 'NAME')}."
        )
    return Form(named[roles[0]], named[roles[1]], named.get("label", ""), oriented=bool(oriented))


def _several(forms: list[Form], given: Given, where: str) -> str:
    one, other = forms[:2]
    return (
        f"{where} has two kinds of preference: {_describe(one)}, and {_describe(other)}. Say which "
        f"is meant: {_remedy(one, given)} or {_remedy(other, given)}."
    )


def _describe(form: Form) -> str:
    return f"{form.first} and {form.second}" + (f" with {form.label}" if form.label else "")


def _remedy(form: Form, given: Given) -> str:
    role = "chosen" if form.oriented else "response_a"
    return given.say(role, form.first)


def _name_of(form: Form) -> str:
    return "chosen and rejected" if form.oriented else "two responses and a label"
