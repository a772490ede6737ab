"""Rows of one response each, which are compared within their prompt."""

import re
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from itertools import combinations
from typing import Any, ClassVar

from sklearn_codex._checks.frames import is_missing
from sklearn_codex._conversations.messages import as_messages
from sklearn_codex._conversations.split import prompt_text
from sklearn_codex._conversations.transcripts import parse_transcript
from sklearn_codex._labels.desirable import says_desirable
from sklearn_codex._labels.scores import names_fault
from sklearn_codex._layouts.base import Columns, Comparison, Layout, fold, fold_all
from sklearn_codex._layouts.cells import as_number, as_responses, decode
from sklearn_codex._layouts.columns import find_annotator
from sklearn_codex._layouts.given import PAIR_ROLES, Given
from sklearn_codex._layouts.guess import counts_rows
from sklearn_codex._layouts.merged import Rated, key_of, merge_rows, place_of, same_text
from sklearn_codex._layouts.pairs import find_pairs, pair_in
from sklearn_codex._layouts.prompts import PromptColumns, find_prompt
from sklearn_codex._layouts.ranking import (
    Candidate,
    better_first,
    check_size,
    counted,
    oriented_form,
    plural,
)
from sklearn_codex._layouts.scores import (
    Score,
    asks_for_columns,
    names_aspect,
    names_score,
    pick_score,
    score_of,
)
from sklearn_codex._layouts.words import name_tokens

Row = Mapping[str, Any]
RESPONSE = (
    "completion", "response", "answer", "output", "generation", "reply", "continuation",
    "summary", "model_output", "model_response", "model_answer", "response_text", "solution",
    "generated_text", "bot_response", "bot_reply", "bot_message", "assistant_response",
    "assistant_message", "ai_response", "llm_response", "chatbot_response", "assistant", "text",
    "messages", "conversation", "conversations"
)  # fmt: skip
"""Names of the column of the one response, the first one that a row has."""
DESIRABLE = (
    "label", "labels", "kto_tag", "desirable", "is_desirable", "thumbs_up", "thumbs", "feedback",
    "is_chosen", "chosen", "is_preferred", "preferred", "is_selected", "selected", "is_accepted",
    "accepted", "is_good", "good", "liked", "like", "upvoted", "is_correct", "preference",
    "is_best", "best", "binary_label", "human_label", "is_winner", "winner", "is_better", "won"
)  # fmt: skip
"""Names of the column that says whether the one response is desirable."""


class OneResponseLayout(Layout):
    """One response a row, compared with the others of its prompt.

    Parameters
    ----------
    name : str
        As in :class:`Layout`.
    prompt : PromptColumns
        Where the prompt is; a response that is a conversation has it itself.
    response, label : str
        The columns of the response and of what says how good it is.
    given : Given
        What the caller says.
    annotator : str, default=""
        The column of who rated a response: only what one person said is compared.
    """

    across_rows = True
    alone: ClassVar[str]
    """What to say of prompts that have no pair."""

    def __init__(
        self,
        name: str,
        prompt: PromptColumns,
        response: str,
        label: str,
        given: Given,
        annotator: str = "",
    ):
        own = {annotator} - {""} if given.annotator is None else set()
        super().__init__(name, prompt.used | {response, label} | own)
        self.prompt, self.response, self.label, self.given = prompt, response, label, given
        self.annotator, self.user = annotator, ""
        self.rows: dict[Any, list[Rated]] = {}
        self.named = {fold(name): role for role, name in given.columns().items()}
        self.notes += filter(None, [prompt.describe()])
        self.n_same = self.n_pairs = self.n_paired = self.n_ties = self.n_alone = 0

    def covers(self, other: Layout) -> bool:
        """Return whether both read the same columns, of which a row may lack an optional one."""
        return type(self) is type(other) and self.used == other.used

    @abstractmethod
    def goodness(self, value: Any, where: str) -> float:
        """Return how good a response is by its label, the greater the better."""

    @abstractmethod
    def pairs_of(self, rated: list[Rated]) -> Iterator[tuple[Rated, Rated]]:
        """Generate the rows of a prompt that are compared."""

    @abstractmethod
    def weight_of(self, rated: list[Rated]) -> float:
        """Return what the pairs of a prompt weigh together."""

    def read(self, row: Row, where: str) -> Iterable[Comparison]:
        """Keep a row until all others of its prompt are known."""
        for column in (self.response, self.label):
            if is_missing(row.get(column)):
                raise ValueError(f"{where} has no {column}. Fill it in, or leave the row out.")
        good = self.goodness(row[self.label], where)
        prompt, response = self._split(row, where)
        key: Hashable = None
        if prompt is not None:
            key = key_of(prompt_text(prompt, self.prompt.main or self.response, where))
        if prompt is None and self.given.groups is not None:
            key = key_of(_value_of(row, self.given.groups))
        if key is None:
            raise ValueError(self._no_prompt(where))
        if self.annotator:
            key = (key, str(row.get(self.annotator)))
        self.rows.setdefault(key, []).append(Rated(where, row, prompt, response, good))
        return ()

    def _no_prompt(self, where: str) -> str:
        return (
            f"{where} is unpaired, one response ({self.response}) with {self.label}, and has no "
            "prompt within which responses could be compared. Say which column has it, "
            f"{self.given.say('prompt', 'NAME')}, or which tells the responses of one prompt, "
            f"{self.given.say('groups', 'NAME')}."
        )

    def _split(self, row: Row, where: str) -> tuple[Any, Any]:
        """Return the prompt and the response, out of one conversation where there is one only."""
        prompt, response = self.prompt.read(row, where), row[self.response]
        if prompt is None and (turns := _turns_of(response, self.response, where)):
            if turns[-1].role == "assistant" and len(turns) > 1:
                return turns[:-1], turns[-1:]
            raise ValueError(
                f"{where} has a conversation in {self.response} that does not end with an answer "
                "of the assistant to someone. Write prompt and answer, or leave the row out."
            )
        return prompt, response

    def finish(self) -> Iterator[Comparison]:
        """Generate the pairs within each prompt."""
        paired = set()
        if self.user and not self.annotator:
            self._part_by_user()
        for key, rated in self.rows.items():
            check_size(len(rated), rated[0].where)
            pairs = list(self.pairs_of(rated))
            kept = [
                (one, other) for one, other in pairs if not same_text(one.response, other.response)
            ]
            self.n_same += len(pairs) - len(kept)
            self.n_alone += not pairs
            if kept:
                paired.add(key[0] if self.annotator else key)
            for one, other in kept:
                yield self._compare(one, other, self.weight_of(rated) / len(kept))
        self.n_paired = len(paired)
        if self.rows:
            self.notes.extend(self.summary())

    def _part_by_user(self) -> None:
        """Compare within what one user rated, where several rated some of the same prompt."""
        parted: dict[Any, list[Rated]] = {}
        for key, rated in self.rows.items():
            for one in rated:
                parted.setdefault((key, str(one.row.get(self.user))), []).append(one)
        n_users = Counter(key for key, _ in parted)
        if any(n_users[key] > 1 and len(rated) > 1 for (key, _), rated in parted.items()):
            self.rows, self.annotator = parted, self.user

    def _compare(self, one: Rated, other: Rated, weight: float) -> Comparison:
        candidates = (Candidate("", entry, entry.goodness) for entry in (one, other))
        first, second, label = better_first(*candidates)
        better, worse = first.response, second.response
        self.n_pairs += 1
        self.n_ties += label == 0.5
        return Comparison(
            oriented_form(self.response, self.response),
            f"{better.where} with {place_of(worse.where)}",
            better.prompt,
            better.response,
            worse.response,
            label,
            weight,
            better.row.get(self.annotator) if self.annotator else None,
            row=merge_rows(better, worse, self.used, self.named, self.given),
        )

    def summary(self) -> list[str]:
        """Return what to say of how rows became pairs."""
        n_rows = sum(map(len, self.rows.values()))
        notes = [
            f"{plural(n_rows, 'row')} of one response each became {plural(self.n_pairs, 'pair')} "
            f"within {plural(self.n_paired, 'prompt')}, weighted so that no response counts for "
            "more than one pair."
        ]
        if self.annotator:
            notes.append(
                f"Responses are compared within what one rater said, whom {self.annotator} names."
            )
        return notes + counted(
            ("Ties, of equal ratings", self.n_ties, "pair"),
            ("Left out, of a response with itself, which rows repeat", self.n_same, "pair"),
            (self.alone, self.n_alone, "prompt"),
        )

    def unpaired(self, lack: str) -> list[str]:
        """Return what to say of a file in which no prompt has a pair."""
        n_rows = sum(map(len, self.rows.values()))
        each = f"no one of {self.annotator} rated" if self.annotator else "no prompt has"
        remedy = "write both under the same prompt"
        if self.annotator:
            remedy += f" and {self.annotator}, leave {self.annotator} out to compare what they said"
        return [
            f"Its {plural(n_rows, 'row')} are unpaired, one response each with {self.label}, and "
            f"{each} {lack}. A pair takes two responses to one prompt: {remedy}, or collect "
            "comparisons."
        ]


def _value_of(row: Row, column: str) -> Any:
    return next((row[name] for name in row if fold(name) == fold(column)), None)


def _turns_of(value: Any, column: str, where: str) -> list | None:
    turns = as_messages(value, column, where)
    return parse_transcript(value) if turns is None and isinstance(value, str) else turns


class KTOLayout(OneResponseLayout):
    """Responses that are desirable or not: each desirable one is paired with each other one."""

    alone = "Without both a desirable and an undesirable response, so without a pair"

    def __init__(self, *args: Any, score: Score | None = None):
        super().__init__(*args)
        self.score = score
        self.turned = score is not None and score.sign < 0
        which = "undesirable" if self.turned else "desirable"
        self.notes.append(f"{self.label} says whether a response is {which}.")

    def goodness(self, value: Any, where: str) -> float:
        """Return 1.0 for desirable, 0.0 for undesirable."""
        desirable = says_desirable(value)
        if desirable is not None:
            return float(desirable != self.turned)
        raise ValueError(
            f"{where} has {self.label} = {value!r:.60}, which is neither desirable (true, 1) nor "
            "undesirable (false, 0). If the greater number is the better, say "
            f"{self.given.say('label', self.label)}; else write true or false."
        )

    def pairs_of(self, rated: list[Rated]) -> Iterator[tuple[Rated, Rated]]:
        """Generate each desirable response with each undesirable one."""
        worse = [one for one in rated if not one.goodness]
        return ((one, other) for one in rated if one.goodness for other in worse)

    def weight_of(self, rated: list[Rated]) -> float:
        """Return how many disjoint pairs there are."""
        n_better = sum(bool(one.goodness) for one in rated)
        return float(min(n_better, len(rated) - n_better))

    def summary(self) -> list[str]:
        """Return what to say of how rows became pairs."""
        if not self.n_paired:
            notes = self.unpaired("both a desirable and an undesirable response")
            return [
                *notes,
                "KTOPolicyOptimizer learns from such responses without pairs, in an RLHFPipeline "
                "as records of prompt, completion and label.",
            ]
        return super().summary()


class ScoredLayout(OneResponseLayout):
    """Responses with a score each: all those of a prompt are paired."""

    alone = "With one response only, so without a pair"

    def __init__(
        self,
        name: str,
        prompt: PromptColumns,
        response: str,
        score: Score,
        given: Given,
        annotator: str = "",
    ):
        super().__init__(name, prompt, response, score.name, given, annotator)
        self.score = score
        self.notes.append(score.rule)

    def goodness(self, value: Any, where: str) -> float:
        """Return the score, the negative of a rank."""
        number = as_number(value, self.label, where)
        if number is None:
            raise ValueError(
                f"{where} has {self.label} = {value!r}. Write a number, or leave the row out."
            )
        return self.score.sign * number

    def pairs_of(self, rated: list[Rated]) -> Iterator[tuple[Rated, Rated]]:
        """Generate all pairs."""
        return combinations(rated, 2)

    def weight_of(self, rated: list[Rated]) -> float:
        """Return how many disjoint pairs there are, as if an odd one had half of one more."""
        return len(rated) / 2

    def summary(self) -> list[str]:
        """Return what to say of how rows became pairs."""
        if not self.n_paired:
            return self.unpaired("two different responses")
        return super().summary()


HELPSTEER = frozenset(("helpfulness", "correctness", "coherence", "complexity", "verbosity"))


def find_unpaired(columns: Columns, row: Row, given: Given, where: str) -> Layout | None:
    """Return the layout of rows with one response each and what says how good it is."""
    # Also columns without a value here: a row that lacks its label is refused by the layout.
    names = fold_all(row)
    response = _response_in(names, row, given, where)
    if response is None:
        return None
    rest = {name: column for name, column in names.items() if column != response}
    labels = [rest[name] for name in DESIRABLE if name in rest]
    label = next((name for name in labels if says_desirable(row[name]) is not None), None)
    found = _score_of(rest, row, given, where) if given.label or label is None else None
    label = label or next(iter(labels), None)  # missing, or of another kind, which is refused
    truth = None
    if given.label is not None and found is not None and _is_truth(row[found.name]):
        label, truth, found = found.name, found, None
    if found is None and (label is None or given.label not in (None, label)):
        return None
    rest.pop(fold(found.name if found else label))
    annotator = rest.get(fold(given.annotator or "")) or find_annotator(rest, row)
    prompt = find_prompt(rest, given, where, row)
    if response in prompt.used:
        prompt = PromptColumns()
    layout: OneResponseLayout
    if found is None:
        args = (prompt, response, str(label), given, annotator)
        layout = KTOLayout("unpaired responses, desirable or not", *args, score=truth)
    elif names.keys() >= HELPSTEER and found.name == names["helpfulness"]:
        layout = _helpsteer(prompt, response, found, given, names, annotator)
    else:
        called = f"responses with {found.name}, one a row"
        layout = ScoredLayout(called, prompt, response, found, given, annotator)
    users = [rest[name] for name in _USERS if name in rest and rest[name] not in prompt.used]
    layout.user = users[0] if users else ""
    return layout


_USERS = ("user_id", "userid", "user", "username", "participant_id", "participant", "subject_id")
"""Names of who used a model, and perhaps rated what it said."""


def _response_in(names: Columns, row: Row, given: Given, where: str) -> str | None:
    """Return the column of the one response of a row, None where there is none."""
    if given.response is not None:
        _check_alone(given)
        named = names[fold(given.response)]
        if is_missing(row[named]):
            raise ValueError(f"{where} has no {named}. Fill it in, or leave the row out.")
        return named
    response = next((names[name] for name in RESPONSE if name in names), None)
    if asks_for_columns(given) or response is None or find_pairs(names):
        return None
    if as_responses(row[response]) is not None and not isinstance(row[response], str):
        return None
    return None if pair_in(row[response]) is not None else response


def _check_alone(given: Given) -> None:
    """Raise where the caller names the one response of a row and one of two."""
    other = next((role for role in PAIR_ROLES[:-1] if role in given.columns()), None)
    if other is not None or given.labels:
        role, name = (other, given.columns()[other]) if other else ("label", list(given.labels))
        raise ValueError(
            f"{given.say('response', str(given.response))} and {given.say(role, name)} do not go "
            "together: the one names the one response of a row, the other is of two. Leave one out."
        )


def explain_one(columns: Columns, row: Row, given: Given, where: str) -> str | None:
    """Return why one response is no preference; None if there is no single response."""
    response = next((columns[name] for name in RESPONSE[:-4] if name in columns), None)
    if given.response is not None:
        response = columns.get(fold(given.response))
    elif response is None or find_pairs(columns) or given.names_pair:
        return None
    marks = [
        column
        for column in row
        if columns.get(fold(column)) == column and _marks(row[column]) and not counts_rows(column)
    ]
    marks.sort(key=lambda name: names_fault(name_tokens(name)))  # what may be good is first
    known = f" If {marks[0]} does, say {given.say('label', marks[0])}" if marks else ""
    if marks and names_fault(name_tokens(marks[0])):
        known += f" and {given.say('convention', 'lower')}, the smaller being the better"
    known += "." if marks else ""
    return (
        f"{where} has no preference: one response, {response}, and nothing that says how good it "
        f"is.{known} It has {list(columns.values())}. A row needs either chosen and rejected, or "
        "two responses and a label, or one response and a rating or a label of true or false."
    )


def _marks(value: Any) -> bool:
    if isinstance(value, (bool, int, float)):
        return True
    return isinstance(value, str) and re.fullmatch(r"-?\d{1,9}(\.\d{0,9})?", value) is not None


def _helpsteer(prompt, response, found, given, names, annotator) -> ScoredLayout:
    layout = ScoredLayout("HelpSteer", prompt, response, found, given, annotator)
    layout.notes.append(
        "The other ratings are not used; to compare by another one say "
        f"{given.say('label', names['correctness'])}, for example."
    )
    return layout


def _is_truth(value: Any) -> bool:
    """Return whether a value can only be a yes or a no, and no number."""
    return says_desirable(value) is not None and str(value).strip("-.01 ") != ""


def _score_of(rest: Columns, row: Row, given: Given, where: str) -> Score | None:
    if given.label is not None:
        column = rest.get(fold(given.label))
        return score_of(column, given, where) if column is not None else None
    if rest.keys() >= HELPSTEER:
        return score_of(rest["helpfulness"], given, where)
    scores = [name for name in rest.values() if names_score(name) or names_aspect(name)]
    scores = [name for name in scores if not isinstance(decode(row[name]), (list, dict))]
    return pick_score(scores, given, where)


FINDERS: tuple[Callable, ...] = (find_unpaired,)
