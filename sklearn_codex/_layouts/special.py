"""Published layouts of one pair a row whose responses are no two columns."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

from sklearn_codex._checks.frames import is_missing
from sklearn_codex._conversations.cells import decode_cell
from sklearn_codex._conversations.messages import as_messages
from sklearn_codex._conversations.roles import Message
from sklearn_codex._conversations.template import join_input
from sklearn_codex._layouts.base import Columns, Comparison, Form, Layout
from sklearn_codex._layouts.columns import ColumnsLayout
from sklearn_codex._layouts.given import Given
from sklearn_codex._layouts.pairs import find_pairs
from sklearn_codex._layouts.prompts import CONVERSATIONS, PromptColumns, find_prompt, unwrap
from sklearn_codex._layouts.tallies import as_number
from sklearn_codex._layouts.words import is_list


def decode(value: Any) -> Any:
    """Return a value as lists and dicts, also where a cell holds them as text."""
    if isinstance(value, str):
        value = decode_cell(value)
    return list(value) if is_list(value) else value


def _texts_of(value: Any, names: Iterable[str]) -> list[str | None] | None:
    """Return the texts of a dict by names, None where it is none or one of them is no text."""
    if not isinstance(value, Mapping):
        return None
    texts = [None if is_missing(value.get(name)) else value[name] for name in names]
    return texts if all(text is None or isinstance(text, str) for text in texts) else None


class SummariesLayout(Layout):
    """Comparisons of summaries: a post in ``info``, two ``summaries``, and the index of one."""

    def __init__(self, columns: Columns):
        names = [columns[name] for name in ("info", "summaries", "choice")]
        annotator = columns.get("worker", "")
        super().__init__("OpenAI TL;DR", frozenset(names) | ({annotator} - {""}))
        self.info, self.summaries, choice = names
        self.annotator = annotator
        self.form = Form(f"{self.summaries}[0]", f"{self.summaries}[1]", choice, "index")

    def read(self, row: Mapping[str, Any], where: str) -> Iterable[Comparison]:
        """Return the one comparison of a row."""
        info, summaries = decode(row[self.info]), decode(row[self.summaries])
        texts = _texts_of(info, ("title", "post", "article"))
        if texts is None or not isinstance(summaries, list) or len(summaries) != 2:
            raise ValueError(
                f"{where} should have a post as {self.info} and two as {self.summaries}, got "
                f"{row[self.info]!r:.60} and {row[self.summaries]!r:.60}. Leave the row out."
            )
        title, post, article = texts
        body = article if post is None else post
        prompt = body if title is None else join_input(title, body)
        first, second = map(unwrap, summaries)
        annotator = row.get(self.annotator)
        label = row[self.form.label]
        yield Comparison(self.form, where, prompt, first, second, label, annotator=annotator)


def _find_summaries(columns: Columns, row, given: Given, where: str) -> Layout | None:
    if not {"info", "summaries", "choice"} <= columns.keys():
        return None
    return SummariesLayout(columns)


class BenchLayout(ColumnsLayout):
    """Judgments of one turn each, beside conversations of all turns, which are cut after it."""

    def compare(self, row: Mapping[str, Any], where: str, label: Any) -> Comparison:
        """Return the comparison of a row, its conversations cut after the turn that is judged."""
        cut = {}
        turn = _number_of_turn(row[self.turn], self.turn, where)
        for name in (self.form.first, self.form.second):
            turns = as_messages(row[name], name, where)
            cut[name] = row[name] if turns is None else turns[: 2 * turn]
        return super().compare({**row, **cut}, where, label)

    turn = "turn"


def _number_of_turn(value: Any, name: str, where: str) -> int:
    with suppress(TypeError, ValueError, OverflowError):
        if int(value) == float(value) >= 1:
            return int(value)
    raise ValueError(
        f"{where} has {name} = {value!r:.60}, which should be the number of the turn that was "
        "judged, from 1. Correct it, or leave the row out."
    )


def _find_bench(columns: Columns, row, given: Given, where: str) -> Layout | None:
    needed = {"conversation_a", "conversation_b", "winner", "judge", "turn", "question_id"}
    if not needed <= columns.keys() or "anony" in columns or "language" in columns:
        return None
    form = Form(columns["conversation_a"], columns["conversation_b"], columns["winner"], "arena")
    layout = BenchLayout("MT-bench judgments", PromptColumns(), form, None, columns["judge"])
    layout.turn = columns["turn"]
    layout.notes.append(f"Conversations are cut after {columns['turn']}, which was judged.")
    return layout


class AnsweredLayout(Layout):
    """Messages that end with the chosen answer, beside the rejected one."""

    def __init__(self, messages: str, rejected: str, prompt: PromptColumns):
        super().__init__("ms-swift", frozenset((messages, rejected)) | prompt.used)
        self.messages, self.prompt = messages, prompt
        self.form = Form(messages, rejected, oriented=True)

    def read(self, row: Mapping[str, Any], where: str) -> Iterable[Comparison]:
        """Return the one comparison of a row."""
        chosen = as_messages(row[self.messages], self.messages, where)
        if not chosen or chosen[-1].role != "assistant":
            raise ValueError(
                f"{where} should have messages as {self.messages} of which the last is the chosen "
                "answer of the assistant. Leave the row out."
            )
        system = row.get(self.prompt.system) if self.prompt.system else None
        before = [Message("system", system)] if isinstance(system, str) and system else []
        rejected: Any = row[self.form.second]
        turns = as_messages(rejected, self.form.second, where)
        if turns is None:
            turns = [Message("assistant", rejected)]
        first, second = before + chosen, before + turns
        if len(turns) == 1:
            second = [*first[:-1], *turns]
        yield Comparison(self.form, where, None, first, second)


def _find_answered(columns: Columns, row, given: Given, where: str) -> Layout | None:
    rejected = next((n for n in ("rejected_messages", "rejected_response") if n in columns), None)
    has = [name for name in CONVERSATIONS if name in columns]
    if rejected is None or not has or find_pairs(columns, row):
        return None
    system = columns.get("system", "")
    return AnsweredLayout(columns[has[0]], columns[rejected], PromptColumns(system=system))


def _find_response(columns: Columns, row, given: Given, where: str) -> Layout | None:
    """Return the layout of a response and the one that was rejected for it."""
    if not {"response", "rejected_response"} <= columns.keys() or find_pairs(columns, row):
        return None
    form = Form(columns["response"], columns["rejected_response"], oriented=True)
    rest = {
        name: column for name, column in columns.items() if column not in (form.first, form.second)
    }
    return ColumnsLayout("ms-swift", find_prompt(rest, given, where, row), form)


class SortLayout(Layout):
    """Turns of the user and of the assistant in lists of their own, and two responses to sort."""

    def __init__(self, columns: Columns):
        self.asked, self.said, self.responses, self.sort = (
            columns.get(name, "") for name in ("src", "tgt", "response", "sort")
        )
        names = frozenset((self.asked, self.said, self.responses, self.sort)) - {""}
        super().__init__("PaddleNLP", names)
        self.form = Form(f"{self.responses}[0]", f"{self.responses}[1]")
        self.notes.append(f"The response with the greater {self.sort} is the better one.")

    def read(self, row: Mapping[str, Any], where: str) -> Iterable[Comparison]:
        """Return the one comparison of a row."""
        asked, responses, sort = (
            decode(row[name]) for name in (self.asked, self.responses, self.sort)
        )
        said = (decode(row.get(self.said)) if self.said else None) or []
        asked = [asked] if isinstance(asked, str) else asked
        if not all(isinstance(value, list) for value in (asked, said, responses, sort)) or (
            (len(responses), len(sort)) != (2, 2)
            or len(said) + 1 != len(asked)
            or not all(isinstance(text, str) for text in (*asked, *said))
        ):
            raise ValueError(
                f"{where} should have two texts as {self.responses}, two numbers as {self.sort}, "
                f"and one text fewer as {self.said or 'tgt'} than as {self.asked}. Leave the row "
                "out."
            )
        turns = [Message("user", asked[0])]
        for answer, text in zip(said, asked[1:], strict=True):
            turns += [Message("assistant", answer), Message("user", text)]
        one, two = (as_number({self.sort: value}, self.sort, where) for value in sort)
        label = 0.5 if one == two else float(one > two)
        first, second = responses
        yield Comparison(self.form, where, turns, first, second, label)


def _find_sort(columns: Columns, row, given: Given, where: str) -> Layout | None:
    return SortLayout(columns) if {"src", "response", "sort"} <= columns.keys() else None


FINDERS: tuple[Callable[[Columns, Mapping[str, Any], Given, str], Layout | None], ...] = (
    _find_summaries,
    _find_bench,
    _find_answered,
    _find_response,
    _find_sort,
)
