"""Published layouts of one pair a row: what their columns are called and what their labels mean.

An entry says what the names of columns do not: which of several labels counts, and how it is
written, as the data are documented. What has no entry is read by the names of its columns.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sklearn_codex._layouts import accepted, special
from sklearn_codex._layouts.base import Columns, Form, Layout, fold
from sklearn_codex._layouts.columns import make_layout
from sklearn_codex._layouts.given import Given
from sklearn_codex._layouts.prompts import PromptColumns
from sklearn_codex._layouts.verdicts import Verdict, find_verdicts


@dataclass(frozen=True)
class Known:
    """One layout.

    Parameters
    ----------
    name : str
        What the report calls it.
    first, second : str
        The columns of the two responses, folded as all columns here.
    labels : mapping of str to str
        The columns of labels and how they are written, that which counts first; the others where a
        caller names them. Empty where the first response is the better one, or where one-hot
        columns, votes or scores tell.
    beside : tuple of str
        More columns by which the layout is known; "a|b" for one of two.
    prompt : tuple of str
        The columns of the prompt, main and extra, where they are not found by their names.
    votes : str
        How votes are written, where several people have a column each.
    note : str
        What a reader should know, in one sentence.
    is_all : bool
        Whether there is no other column.
    """

    name: str
    first: str = "chosen"
    second: str = "rejected"
    labels: Mapping[str, str] = field(default_factory=dict)
    beside: tuple[str, ...] = ()
    prompt: tuple[str, ...] = ()
    votes: str = ""
    note: str = ""
    is_all: bool = False

    def matches(self, columns: Columns) -> bool:
        """Return whether a row with these columns has the layout."""
        needed = [self.first, self.second, *list(self.labels)[:1], *self.beside, *self.prompt[:1]]
        if self.is_all and len(columns) != len(needed):
            return False
        return all(any(name in columns for name in entry.split("|")) for entry in needed)

    @property
    def oriented(self) -> bool:
        """Whether the first response is the better one."""
        return self.first in ("chosen", "chosen_response", "preferred_output", "response_j")


KNOWN = (
    Known(
        "PKU-SafeRLHF",
        "response_0",
        "response_1",
        {"better_response_id": "index", "safer_response_id": "index"},
    ),
    Known("SHP", "human_ref_a", "human_ref_b", {"labels": "probability"}, ("history",)),
    Known(
        "HelpSteer2 preference",
        "response_1",
        "response_2",
        {"preference_strength": "strength_second"},
    ),
    Known(
        "HelpSteer3",
        "response1",
        "response2",
        {"overall_preference": "strength_second"},
        ("context",),
    ),
    Known(
        "AlpacaEval",
        "output_1",
        "output_2",
        {"preference": "one_to_two"},
        ("instruction", "generator_1", "generator_2"),
    ),
    Known(
        "AlpacaFarm",
        "output_1",
        "output_2",
        {"preference": "one_to_two", "raw_preference": "one_to_two"},
        ("instruction",),
    ),
    Known("LLMBar", "output_1", "output_2", {"label": "one_two"}, ("input",)),
    Known("OffsetBias", "output_1", "output_2", {"label": "one_two"}, ("instruction",)),
    Known(
        "PandaLM",
        "response1",
        "response2",
        beside=("instruction", "annotator1", "annotator2"),
        votes="one_two",
    ),
    Known("JudgeLM", "answer1_body", "answer2_body", beside=("question_body", "score")),
    Known(
        "Prometheus preference",
        "orig_response_a",
        "orig_response_b",
        {"orig_preference": "names"},
        prompt=("orig_instruction",),
    ),
    Known("WebGPT", "answer_0", "answer_1", beside=("question", "score_0", "score_1")),
    Known(
        "Chatbot Arena",
        "conversation_a",
        "conversation_b",
        {"winner": "arena"},
        ("full_conversation",),
        note="full_conversation, which has the turns before in a session, is not used; "
        "{by} keeps the pairs of a session together.",
    ),
    Known("Chatbot Arena", "conversation_a", "conversation_b", {"winner": "arena"}, ("model_a",)),
    Known(
        "Chatbot Arena",
        "response_a",
        "response_b",
        beside=("prompt", "winner_model_a", "winner_model_b"),
    ),
    Known(
        "Chatbot Arena",
        "conversation_a",
        "conversation_b",
        beside=("winner_model_a", "winner_model_b"),
    ),
    Known("Stack Exchange paired", "response_j", "response_k", beside=("question",)),
    Known("OpenAI preferences", "preferred_output", "non_preferred_output", beside=("input",)),
    Known("UltraFeedback", beside=("score_chosen|chosen_rating", "prompt")),
    Known("Skywork", beside=("source",), is_all=True),
    Known("RLHFlow", beside=("chosen_score", "rejected_score")),
    Known("UltraInteract", beside=("trajectory",)),
    Known("Argilla", beside=("rating_chosen", "rating_rejected")),
    Known("Tulu preference mixture", beside=("chosen_model", "rejected_model", "source")),
    Known("Argilla", "chosen_response", "rejected_response", beside=("instruction",)),
    Known("LLaMA-Factory sharegpt", beside=("conversations",)),
    Known("LLaMA-Factory alpaca", beside=("instruction", "input")),
    Known("axolotl", beside=("messages",)),
    Known("Orca DPO", beside=("question", "system")),
)
"""The layouts, each before any whose columns it has as well."""


def find_known(columns: Columns, row: Mapping[str, Any], given: Given, where: str) -> Layout | None:
    """Return the layout of a row that has the columns of a known one, else None."""
    if given.label is None:
        for find in (*special.FINDERS, *accepted.FINDERS):
            layout = find(columns, row, given, where)
            if layout is not None:
                return layout
    for known in KNOWN:
        if known.matches(columns):
            return _make(known, columns, row, given, where)
    return None


def _make(known: Known, columns: Columns, row, given: Given, where: str) -> Layout | None:
    """Return a known layout, None where the caller names a label that it does not have."""
    label = next(iter(known.labels), "")
    if given.label is not None:
        label = fold(given.label)
        if label not in known.labels:
            return None
    first, second = columns[known.first], columns[known.second]
    verdict = None
    form = Form(first, second, columns.get(label, ""), known.labels.get(label), known.oriented)
    if not label and not known.oriented:
        verdict = _verdict_of(known, first, second, columns, row)
        if verdict is None:
            return None
        form = Form(first, second, convention=known.votes or None)
    prompt = None
    if known.prompt:
        main, extra = (*known.prompt, "")[:2]
        prompt = PromptColumns(columns.get(main, ""), columns.get(extra, ""))
    layout = make_layout(known.name, columns, row, given, where, form, verdict, prompt)
    layout.notes += _notes(known, label, columns, given)
    return layout


def _verdict_of(known: Known, first, second, columns, row) -> Verdict | None:
    beside = {column for name, column in columns.items() if name in known.beside}
    found = find_verdicts(first, second, columns, row)
    return next((verdict for verdict in found if beside & set(verdict.columns)), None)


def _notes(known: Known, label: str, columns: Columns, given: Given) -> list[str]:
    notes = (
        [known.note.format(by=given.say("groups", "evaluation_session_id"))] if known.note else []
    )
    for other in known.labels:
        if other != label and other in columns:
            notes.append(
                f"The label is {columns[label]}. There is another, {columns[other]}, for "
                f"{given.say('label', columns[other])}."
            )
    return notes
