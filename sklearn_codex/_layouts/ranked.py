"""Rows of several responses with ratings or ranks, each of which becomes its pairs."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sklearn_codex._checks.frames import is_missing
from sklearn_codex._layouts.base import Columns, Comparison, Layout, fold, fold_all
from sklearn_codex._layouts.cells import as_number, as_responses, decode, is_conversation, present
from sklearn_codex._layouts.given import Given
from sklearn_codex._layouts.numbered import find_numbered, has_pair
from sklearn_codex._layouts.prompts import ASKED, CONVERSATIONS, HISTORY, PromptColumns, find_prompt
from sklearn_codex._layouts.ranking import Candidate, RankingLayout, counted
from sklearn_codex._layouts.scores import (
    Score,
    asks_for_columns,
    names_aspect,
    names_score,
    pick_score,
    singular,
    text_key,
)
from sklearn_codex._layouts.words import RESPONSES

Row = Mapping[str, Any]
PROMPTS = frozenset((*ASKED, *CONVERSATIONS, *HISTORY))
ASPECTS = ("instruction_following", "honesty", "truthfulness", "helpfulness")
_MORE = RESPONSES | {"option", "choice", "comment", "result", "hypothese", "item", "summarie",
                     "replie"}  # fmt: skip


def names_responses(name: str) -> bool:
    """Return whether a folded name says that it holds responses."""
    return singular(name.split("_")[-1]) in _MORE


def as_items(value: Any) -> list[dict] | None:
    """Return the responses of a cell with what belongs to each; None if it has no such list.

    Tables may have them as one list for each key.
    """
    value = decode(value)
    if isinstance(value, Mapping):
        lists = {str(key): decode(entry) for key, entry in value.items()}
        sizes = {len(entry) if isinstance(entry, list) else -1 for entry in lists.values()}
        if len(sizes) != 1 or -1 in sizes or text_key(lists) is None:
            return None
        value = [
            dict(zip(lists, entry, strict=True)) for entry in zip(*lists.values(), strict=True)
        ]
    if not isinstance(value, list):
        return None
    items = [decode(item) for item in value]
    return [_flatten(item) for item in items] if _are_dicts(items) else None


def _are_dicts(items: list) -> bool:
    return all(isinstance(item, Mapping) for item in items)


def _flatten(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries of a response that have a value, and those of a dict of its scores."""
    found: dict[str, Any] = {}
    for key, value in present(item).items():
        inner = decode(value) if names_score(key) else None
        if isinstance(inner, Mapping):
            found |= {f"{key}.{name}": score for name, score in present(inner).items()}
        else:
            found[key] = value
    return found


class ItemsLayout(RankingLayout):
    """One column with a list of responses, each with its text and its score.

    Parameters
    ----------
    name, prompt
        As in :class:`RankingLayout`.
    column : str
        The column of the list.
    given : Given
        What the caller says, of which the label is the score.
    score : str, default=""
        The key of the score, "" where it is to be found in the first row that has responses.
    """

    def __init__(
        self, name: str, prompt: PromptColumns, column: str, given: Given, score: str = ""
    ):
        super().__init__(name, prompt, {column})
        self.column, self.given, self.key = column, given, score
        self.score: Score | None = None

    def find_score(self, items: list[dict], where: str) -> Score:
        """Return the score that the keys of responses tell."""
        keys = list(dict.fromkeys(key for item in items for key in item))
        names = [self.key] if self.key and self.given.label is None else keys
        score = pick_score(names, self.given, where, self.column)
        if score is None:
            raise ValueError(
                f"{where} has nothing that says which response in {self.column} is better: they "
                f"have {keys}. Give each a rating, or say which of these it is: "
                f"{self.given.say('label', self.column + '.NAME')}."
            )
        return score

    def goodness(self, item: Mapping, score: Score, where: str, place: str) -> float | None:
        """Return how good a response is, the greater the better; None where nothing says so."""
        number = as_number(item.get(score.name), f"{place}.{score.name}", where)
        return None if number is None else score.sign * number

    def candidates(self, row: Row, where: str) -> list[Candidate | None]:
        """Return the responses of the list."""
        items = as_items(row[self.column])
        if items is None:
            raise ValueError(
                f"{where} has {self.column} = {row[self.column]!r:.60}, where other rows have a "
                "list of responses. Write such a list, also in this row."
            )
        if items and self.score is None:
            self.score = self.find_score(items, where)
            self.notes.append(self.score.rule)
        found: list[Candidate | None] = []
        for position, item in enumerate(items):
            place = f"{self.column}[{position}]"
            key = text_key(item)
            if key is None:
                raise ValueError(
                    f"{where} has no text in {place}, which has {list(item)}. Write it under "
                    '"response".'
                )
            assert self.score is not None
            good = self.goodness(item, self.score, where, place)
            found.append(None if good is None else Candidate(place, item[key], good))
        return found


class UltraFeedbackLayout(ItemsLayout):
    """UltraFeedback with all completions.

    Of its scores the mean of the four aspects is taken: the overall score, which a model wrote
    after them, is known to be wrong in places. Only a row without any of the former is read by the
    latter, since they are not on one scale.
    """

    n_overall = 0

    def find_score(self, items: list[dict], where: str) -> Score:
        """Return the mean of the aspects, unless another is asked for."""
        if self.given.label is None:
            return Score("fine-grained_score", 1.0)
        score = pick_score([*items[0], *ASPECTS], self.given, where, self.column)
        return score or super().find_score(items, where)

    def candidates(self, row: Row, where: str) -> list[Candidate | None]:
        """Return the completions, by their overall scores where a row has no others."""
        found = super().candidates(row, where)
        if self.given.label is None and found and not any(found):
            finer, self.score = self.score, Score("overall_score", 1.0)
            found = super().candidates(row, where)
            self.score = finer
            self.n_overall += any(found)
        return found

    def goodness(self, item: Mapping, score: Score, where: str, place: str) -> float | None:
        """Return the score, from the aspects where it is not written down."""
        if score.name in item:
            return super().goodness(item, score, where, place)
        if score.name not in (*ASPECTS, "fine-grained_score"):
            return None
        aspects = decode(item.get("annotations"))
        aspects = aspects if isinstance(aspects, Mapping) else {}
        wanted = [score.name] if score.name in ASPECTS else ASPECTS
        found = {name: decode(aspects.get(name)) for name in wanted}
        ratings = [
            as_number(aspect.get("Rating"), f"{place}.{name}", where)
            for name, aspect in found.items()
            if isinstance(aspect, Mapping)
        ]
        known = [rating for rating in ratings if rating is not None]
        return sum(known) / len(known) if known else None

    def finish(self) -> Iterable[Comparison]:
        """Note how many rows have an overall score only."""
        self.notes.extend(
            counted(("Read by overall_score, for want of another", self.n_overall, "row"))
        )
        return super().finish()


class ParallelLayout(RankingLayout):
    """A column with a list of responses, and one with the list of their scores.

    Either may be a dict, such as one of models, instead.
    """

    def __init__(self, name: str, prompt: PromptColumns, columns: tuple[str, str], score: Score):
        super().__init__(name, prompt, columns, score.rule)
        self.columns, self.score = columns, score

    def candidates(self, row: Row, where: str) -> list[Candidate | None]:
        """Return the responses with their scores."""
        texts, scores = (as_named(row[name], name) for name in self.columns)
        if texts is None or scores is None or texts.keys() != scores.keys():
            one, other = self.columns
            raise ValueError(
                f"{where} has {_count(texts)} in {one} and {_count(scores)} in {other}. Write as "
                "many of the one as of the other."
            )
        found: list[Candidate | None] = []
        for key, text in texts.items():
            good = as_number(scores[key], f"{self.columns[1]}{key}", where)
            if good is None or is_missing(text):
                found.append(None)
            else:
                found.append(Candidate(f"{self.columns[0]}{key}", text, self.score.sign * good))
        return found


def as_named(value: Any, name: str) -> dict[str, Any] | None:
    """Return the entries of a list or dict by what follows the name of the column: "[0]"."""
    value = decode(value)
    if isinstance(value, Mapping):
        return {f"[{key}]": entry for key, entry in present(value).items()}
    if isinstance(value, list):
        return {f"[{position}]": entry for position, entry in enumerate(value)}
    return None


def _count(entries: dict | None) -> str:
    return "no list" if entries is None else f"{len(entries)}"


def find_items(columns: Columns, row: Row, given: Given, where: str) -> Layout | None:
    """Return the layout of rows with one list of responses, each with its score."""
    if asks_for_columns(given) or has_pair(columns, row):
        return None
    named = [name for name in columns if names_responses(name)]
    others = [name for name in columns if name not in named and name not in PROMPTS]
    for name in named + others:
        column = columns[name]
        items = as_items(row[column])
        if items is None or not (items or name in named):
            continue
        keys = {key for item in items for key in item}
        scored = any(names_score(key) or names_aspect(key) for key in keys)
        if items and not ((scored and text_key(items[0])) or "annotations" in keys or given.label):
            continue
        rest = {other: kept for other, kept in columns.items() if other != name}
        return _known_items(columns, column, keys, find_prompt(rest, given, where, row), given)
    return None


def _known_items(columns, column, keys, prompt, given) -> Layout:
    if fold(column) == "completions" and {"annotations", "overall_score"} & keys:
        layout: ItemsLayout = UltraFeedbackLayout("UltraFeedback", prompt, column, given)
        layout.notes.append(
            "fine-grained_score, the mean of the four aspects, is taken; for the overall score say "
            f"{given.say('label', column + '.overall_score')}."
        )
        return layout
    if fold(column) == "answers" and {"answer", "model", "rank"} <= keys:
        return ItemsLayout("Nectar", prompt, column, given, "rank")
    if fold(column) == "answers" and "pm_score" in keys:
        return ItemsLayout("Stack Exchange preferences", prompt, column, given, "pm_score")
    if {"title", "selftext"} <= columns.keys() and not given.prompt:
        prompt = PromptColumns(columns["title"], columns["selftext"])
        return ItemsLayout("ELI5", prompt, column, given)
    return ItemsLayout(f"a list of responses with scores in {column}", prompt, column, given)


def find_parallel(columns: Columns, row: Row, given: Given, where: str) -> Layout | None:
    """Return the layout of rows with a list of responses and a list of scores."""
    if asks_for_columns(given) or has_pair(columns, row):
        return None
    texts = find_texts(columns, row) or _lists_of_text(columns, row)
    if not texts:
        return None
    # As the row has them: the columns come the last one first.
    numbers = [
        column for column in row if _is_among(column, columns) and _holds_numbers(row[column])
    ]
    score = pick_score(numbers, given, where)
    if score is None or (
        not names_score(score.name) and not (given.label or names_aspect(score.name))
    ):
        return None
    if fold(score.name) in ("ranking", "rankings"):
        return None  # either the rank of each, or the order of all
    column = texts[0]
    if len(texts) > 1:
        raise ValueError(
            f"{where} has several lists of responses: {texts}. Keep the one that "
            f"{score.name} belongs to."
        )
    rest = {other: kept for other, kept in columns.items() if other != fold(column)}
    known = {"generations": "distilabel", "generation": "distilabel"}.get(fold(column))
    called = known or f"a list of responses with {score.name}"
    return ParallelLayout(called, find_prompt(rest, given, where, row), (column, score.name), score)


def _is_among(column: Any, columns: Columns) -> bool:
    return columns.get(fold(column)) == column


def _lists_of_text(columns: Columns, row: Row) -> list[str]:
    """Return the one column with a list of texts whatever its name; none if there are several."""
    found = [name for name in columns.values() if len(as_responses(row[name]) or ()) > 1]
    return found if len(found) == 1 and fold(found[0]) not in PROMPTS else []


def find_texts(columns: Columns, row: Row) -> list[str]:
    """Return the columns with lists of responses."""
    names = [fold(name) for name in row]
    return [columns[n] for n in names if n in columns and _holds_texts(n, row[columns[n]])]


def _holds_texts(name: str, value: Any) -> bool:
    if not names_responses(name):
        return False
    value = decode(value)
    if isinstance(value, Mapping):
        return bool(value) and all(isinstance(text, str) for text in present(value).values())
    return as_responses(value) is not None or _are_answers(value)


def _are_answers(value: Any) -> bool:
    """Return whether a list has several messages, all of them of the assistant."""
    return (
        is_conversation(value)
        and len(value) > 1
        and all(isinstance(turn, Mapping) and turn.get("role") == "assistant" for turn in value)
    )


def _holds_numbers(value: Any) -> bool:
    entries = as_named(value, "")
    if entries is None:
        return False
    try:
        for entry in entries.values():
            as_number(entry, "", "")
    except ValueError:
        return False
    return True


ITEMS: tuple[Callable, ...] = (find_items,)
"""Told by the values, so that they are tried before what is told by names."""
FINDERS: tuple[Callable, ...] = (find_parallel, find_numbered)


def explain_lists(columns: Columns, row: Row, given: Given, where: str) -> str | None:
    """Return why responses in a list are no preference; None if there is no such list."""
    for name, column in fold_all(row).items():
        if columns.get(name) != column:
            continue
        if not names_responses(name) or name in PROMPTS:
            continue
        value = decode(row[column])
        items = None if is_conversation(value) else as_items(value)
        n = len(items) if items is not None else len(as_responses(value) or ())
        if n > 1:
            within = f" They have {list(items[0])}." if items else ""
            key = f"{column}.NAME" if items else "NAME"
            return (
                f"{where} has {n} responses in {column}, and nothing that says which is better."
                f"{within} Give them ratings or ranks, or say what has them: "
                f"{given.say('label', key)}. If the best is the first, call the column "
                "ranked_responses."
            )
    return None
