"""Rows that have their columns within a column, and those of tools for labelling."""

from abc import abstractmethod
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import Any

from sklearn_codex._checks.frames import is_missing
from sklearn_codex._layouts.base import Columns, Comparison, Layout, fold, fold_all
from sklearn_codex._layouts.cells import as_number, decode, present
from sklearn_codex._layouts.given import Given
from sklearn_codex._layouts.pairs import find_pairs, pair_in
from sklearn_codex._layouts.ranked import names_responses
from sklearn_codex._layouts.ranking import counted
from sklearn_codex._layouts.scores import text_key

Row = Mapping[str, Any]
Find = Callable[[Columns, Row, Given, str], Layout | None]
_WRAPPERS = ("data", "record", "row", "example", "sample", "item", "input", "inputs", "fields",
             "content", "info", "task", "payload")  # fmt: skip


class NestedLayout(Layout):
    """Rows out of which one or several others are made, which have a layout of their own.

    Parameters
    ----------
    name : str
        As in :class:`Layout`; that of the rows within is added to it.
    used : frozenset of str
        The columns in which these rows are.
    given : Given
        What the caller says.
    find : callable
        Returns the layout of a row, as ``find_layout``, or None.
    """

    def __init__(self, name: str, used: frozenset[str], given: Given, find: Find):
        super().__init__(name, used)
        self.given, self.find = given, find
        self.layouts: list[Layout] = []
        self.n_without = self.n_discarded = self.n_several = 0
        self._layout_of: dict[tuple[str, ...], Layout] = {}
        self._own_name = name

    @abstractmethod
    def unfold(self, row: Row, where: str) -> Iterable[tuple[dict[str, Any], Any]]:
        """Return the rows that are in a row, each with who gave its label."""

    def covers(self, other: Layout) -> bool:
        """Return whether both are the same kind of nested rows."""
        return type(self) is type(other) and self._own_name == getattr(other, "_own_name", None)

    def read(self, row: Row, where: str) -> Iterator[Comparison]:
        """Generate the pairs of the rows within."""
        found = list(self.unfold(row, where))
        self.n_without += not found
        self.n_several += len(found) > 1
        for inner, annotator in found:
            layout = self._find_layout(inner, where)
            self.used |= layout.used & row.keys()  # what stands beside the rows within
            for comparison in layout.read(inner, where):
                passed = self._pass_on(comparison, inner, layout, annotator)
                yield passed._replace(weight=passed.weight / len(found))

    def _find_layout(self, row: dict[str, Any], where: str) -> Layout:
        key = tuple(name for name in row if not is_missing(row[name]))
        if key not in self._layout_of:
            columns = fold_all(key)
            layout = self.find(columns, row, self.given, where)
            if layout is None:
                raise ValueError(
                    f"{where} has no preference. Within {', '.join(sorted(self.used))} it has "
                    f"{list(key)}. A row needs either chosen and rejected, or response_a, "
                    "response_b and label."
                )
            layout = next((known for known in self.layouts if known.covers(layout)), layout)
            if layout not in self.layouts:
                self.layouts.append(layout)
                self.name = f"{self._own_name}: " + ", ".join(each.name for each in self.layouts)
            self._layout_of[key] = layout
        return self._layout_of[key]

    def _pass_on(
        self, comparison: Comparison, row: Row, layout: Layout, annotator: Any
    ) -> Comparison:
        row = row if comparison.row is None else comparison.row
        others = {name: value for name, value in row.items() if name not in layout.used}
        who = annotator if comparison.annotator is None else comparison.annotator
        return comparison._replace(row=others, annotator=who)

    def finish(self) -> Iterator[Comparison]:
        """Generate the pairs that only all rows together make."""
        for layout in self.layouts:
            for comparison in layout.finish():
                yield self._pass_on(comparison, {}, layout, None)
            self.notes.extend(layout.notes)
        self.notes.extend(
            counted(
                ("With several annotators, whose pairs weigh 1 together", self.n_several, "row"),
                ("Left out, discarded or not submitted", self.n_discarded, "answer"),
                ("Without an answer, so without a pair", self.n_without, "row"),
            )
        )


class WrappedLayout(NestedLayout):
    """Rows whose columns are all within one column."""

    def __init__(self, column: str, given: Given, find: Find):
        super().__init__("rows within a column", frozenset({column}), given, find)
        self.column = column
        self.notes.append(f"What {column} holds was read as columns.")

    def covers(self, other: Layout) -> bool:
        """Return whether both have rows within the same column."""
        return isinstance(other, WrappedLayout) and self.column == other.column

    def unfold(self, row: Row, where: str) -> Iterable[tuple[dict[str, Any], Any]]:
        """Return the row within, with the other columns."""
        inner = pair_in(row[self.column]) or decode(row[self.column])
        if not isinstance(inner, Mapping):
            raise ValueError(
                f"{where} has {self.column} = {inner!r:.60}, where other rows have columns. Write "
                "such a row."
            )
        return [(_spread(_merge(row, inner, {self.column})), None)]


class SpreadLayout(NestedLayout):
    """Rows whose responses are dicts of a text and, say, its score, as columns of their own."""

    def __init__(self, columns: Iterable[str], given: Given, find: Find):
        super().__init__("responses with what belongs to each", frozenset(columns), given, find)

    def unfold(self, row: Row, where: str) -> Iterable[tuple[dict[str, Any], Any]]:
        """Return the row with a column for each key of a response."""
        return [(_spread(row), None)]


def _spread(row: Row) -> dict[str, Any]:
    """Return a row in which {"a": {"text": "Yes", "score": 3}} is "a": "Yes" and "a_score": 3."""
    found: dict[str, Any] = {}
    names = {name for pair in find_pairs(fold_all(row), row) for name in pair[:2]}
    for name, value in row.items():
        inner = _said_of(value) if name in names else None
        key = None if inner is None else text_key(inner)
        if inner is None or key is None:
            found[name] = value
        else:
            found[name] = inner[key]
            found |= {f"{name}_{other}": v for other, v in inner.items() if other != key}
    return found


def _said_of(value: Any) -> dict[str, Any] | None:
    """Return a response that is a dict of its text and more, None for another value."""
    inner = decode(value)
    if not isinstance(inner, Mapping) or "role" in inner or "from" in inner:
        return None
    return present(inner) if text_key(present(inner)) is not None else None


def _merge(row: Row, inner: Row, used: Iterable[str]) -> dict[str, Any]:
    """Return what is within a row and what is beside it, whose names are told apart."""
    taken = set(fold_all(inner))
    beside = {
        f"{name} outside" if fold(name) in taken else str(name): value
        for name, value in row.items()
        if name not in used
    }
    return present(inner) | beside


class ArgillaLayout(NestedLayout):
    """Records of Argilla: fields, and what each annotator answered to each question."""

    def __init__(self, used: frozenset[str], given: Given, find: Find):
        super().__init__("Argilla", used, given, find)

    def unfold(self, row: Row, where: str) -> Iterable[tuple[dict[str, Any], Any]]:
        """Return a row for each annotator: the fields and the answers."""
        answers: dict[Any, dict[str, Any]] = {}
        names = fold_all(row)
        fields, used = decode(row.get(names.get("fields", ""))), set()
        found: Iterable[_Answer]
        if isinstance(fields, Mapping) and "responses" in names:
            used = {names["fields"], names["responses"]}
            found = _answers_of_record(decode(row.get(names["responses"])), "responses", where)
        else:
            fields = {}
            used = _questions(row)
            found = [answer for name in used for answer in _answers_of_column(name, row, where)]
        for who, question, value, status in found:
            if status is not None and fold(status) != "submitted":
                self.n_discarded += 1
            elif not is_missing(value):
                answers.setdefault(who, {})[question] = _as_order(decode(value), where)
        used |= {str(name) for name in row if _is_beside(fold(name))}
        shared = _merge(row, fields, used)
        known = set(fold_all(shared))
        return [(shared | _as_label(given, known), who) for who, given in answers.items()]


_Answer = tuple[Any, str, Any, Any]
"""Who answered, the question, the answer, and its status."""


def _as_label(answers: dict[str, Any], names: set[str]) -> dict[str, Any]:
    """Return answers, the one that names a field as a preference whatever was asked."""
    naming = [key for key, answer in answers.items() if fold(answer) in names]
    if len(naming) != 1:
        return answers
    return {"preference" if key in naming else key: answer for key, answer in answers.items()}


def _is_beside(name: str) -> bool:
    """Return whether a column is about answers, and no answer."""
    return name in ("suggestions", "vectors") or "suggestion" in name or ".responses." in name


def _questions(row: Row) -> set[str]:
    """Return the columns in which answers are."""
    return {
        str(name)
        for name in row
        if fold(name).endswith(".responses") or _are_answers(decode(row[name]))
    }


def _are_answers(value: Any) -> bool:
    if isinstance(value, list):
        value = next((decode(entry) for entry in value), None)
    return isinstance(value, Mapping) and "value" in value and not _BY.isdisjoint(value)


_BY = frozenset(("user_id", "status"))


def _dicts(value: Any, name: str, where: str) -> list[Mapping[str, Any]]:
    """Return a list of dicts that a cell holds, none where it is empty."""
    value = [] if is_missing(value) else decode(value)
    value = [decode(entry) for entry in value] if isinstance(value, list) else None
    if value is None or not all(isinstance(entry, Mapping) for entry in value):
        raise ValueError(
            f"{where} has {name} that is no list of answers, each a dict. Correct it, or leave the "
            "row out."
        )
    return value


def _who(person: Any, position: int) -> Any:
    """Return who answered, as what can be a key; the position where nobody is named."""
    if isinstance(person, Mapping):
        person = next((person[key] for key in ("email", "username", "id") if key in person), None)
    return (
        position if is_missing(person) else person if isinstance(person, Hashable) else str(person)
    )


def _answers_of_column(name: str, row: Row, where: str) -> Iterator[_Answer]:
    """Generate who answered, the question, the answer and its status, of one question's column."""
    value = decode(row[name])
    if fold(name).endswith(".responses"):
        users, states = (decode(row.get(f"{name}.{what}")) for what in ("users", "status"))
        for position, answer in enumerate(value if isinstance(value, list) else []):
            who, status = (
                entries[position] if isinstance(entries, list) and position < len(entries) else None
                for entries in (users, states)
            )
            yield _who(who, position), name.rsplit(".", 1)[0], answer, status
        return
    if isinstance(value, Mapping):  # a list for each key
        lists = {key: decode(entry) for key, entry in value.items()}
        sizes = [len(entry) for entry in lists.values() if isinstance(entry, list)]
        value = [
            {key: entry[position] for key, entry in lists.items() if isinstance(entry, list)}
            for position in range(min(sizes, default=0))
        ]
    for position, answer in enumerate(_dicts(value, name, where)):
        who = _who(answer.get("user_id"), position)
        yield who, name, answer.get("value"), answer.get("status")


def _answers_of_record(responses: Any, name: str, where: str) -> Iterator[_Answer]:
    """Generate the same of a record, which has answers by question, or by annotator."""
    if isinstance(responses, Mapping):
        for question, answers in present(responses).items():
            for position, answer in enumerate(_dicts(answers, f"{name}.{question}", where)):
                who = _who(answer.get("user_id"), position)
                yield who, question, answer.get("value"), answer.get("status")
        return
    for position, response in enumerate(_dicts(responses, name, where)):
        who = _who(response.get("user_id"), position)
        values = decode(response.get("values"))
        if not isinstance(values, Mapping) or not present(values):
            yield who, "", None, response.get("status") or "empty"
            continue
        for question, answer in present(values).items():
            value = answer.get("value") if isinstance(answer, Mapping) else answer
            yield who, question, value, response.get("status")


def _as_order(value: Any, where: str) -> Any:
    """Return an answer; ranks of responses become the list of them, equals in one place."""
    if isinstance(value, Mapping) and {"rank", "value"} <= value.keys():
        ranks, named = decode(value["rank"]), decode(value["value"])
        if isinstance(ranks, list) and isinstance(named, list) and len(ranks) == len(named):
            pairs = zip(ranks, named, strict=True)
            value = [{"rank": rank, "value": name} for rank, name in pairs]
    if not isinstance(value, list) or not all(isinstance(entry, Mapping) for entry in value):
        return value
    places: dict[float, list] = {}
    for entry in value:
        rank = as_number(entry.get("rank"), "rank", where)
        if rank is None:
            return None
        places.setdefault(rank, []).append(entry.get("value"))
    return [places[rank] for rank in sorted(places)]


class LabelStudioLayout(NestedLayout):
    """Tasks of Label Studio: data, and the results of each annotation."""

    def __init__(self, used: frozenset[str], given: Given, find: Find):
        super().__init__("Label Studio", used, given, find)

    def unfold(self, row: Row, where: str) -> Iterable[tuple[dict[str, Any], Any]]:
        """Return a row for each annotation."""
        names = fold_all(row)
        data, answered = decode(row.get(names["data"])), row.get(names["annotations"])
        if not isinstance(data, Mapping):
            raise ValueError(f"{where} has {names['data']} = {data!r:.60}. Write what was shown.")
        beside = {name for name in row if fold(name) in _OF_TASKS}
        shared = _merge(row, data, {*self.used, *beside})
        pairs = [pair for pair in find_pairs(fold_all(data)) if not pair.oriented]
        sides = dict(zip(("left", "right"), pairs[0][:2], strict=True)) if pairs else {}
        found = []
        for position, annotation in enumerate(_dicts(answered, names["annotations"], where)):
            answers: dict[str, Any] = {}
            for result in _dicts(annotation.get("result"), "result", where):
                answers |= _read_result(result, sides, where)
            if annotation.get("was_cancelled") or not answers:
                self.n_discarded += 1
            else:
                found.append((shared | answers, _who(annotation.get("completed_by"), position)))
        return found


_OF_TASKS = frozenset(("predictions", "drafts", "meta", "created_at", "updated_at", "file_upload",
                       "inner_id", "total_annotations", "cancelled_annotations",
                       "total_predictions", "comment_count", "unresolved_comment_count",
                       "last_comment_updated_at", "comment_authors", "updated_by",
                       "project"))  # fmt: skip


def _read_result(result: Row, sides: Mapping[str, str], where: str) -> dict[str, Any]:
    """Return an answer by the name of the column that it makes."""
    value = decode(result.get("value"))
    value = value if isinstance(value, Mapping) else {}
    name = str(result.get("from_name") or "preference")
    selected = value.get("selected")
    if not is_missing(selected):
        side = fold(selected)
        if side in ("none", "equal", "both", "tie"):
            return {"preference": "tie"}
        if side not in sides:
            raise ValueError(
                f"{where} selects {selected!r:.40}, but its data have no pair of columns such as "
                "answer1 and answer2. Add them, or leave the row out."
            )
        return {"preference": sides[side]}
    for key in ("choices", "rating", "number", "taxonomy"):
        if not is_missing(value.get(key)):
            answer = decode(value[key])
            is_one = isinstance(answer, list) and len(answer) == 1
            return {name: answer[0] if is_one else answer}
    return {}


def find_exported(
    columns: Columns, row: Row, given: Given, where: str, find: Find
) -> NestedLayout | None:
    """Return the layout of rows of a tool for labelling."""
    known: tuple[tuple[str, str, type], ...] = (
        ("data", "annotations", LabelStudioLayout),
        ("fields", "responses", ArgillaLayout),
    )
    for shown, answers, layout in known:
        if {shown, answers} <= columns.keys() and isinstance(decode(row[columns[shown]]), Mapping):
            return layout(frozenset({columns[shown], columns[answers]}), given, find)
    questions = _questions({name: row[name] for name in columns.values()})
    return ArgillaLayout(frozenset(questions), given, find) if questions else None


def find_wrapped(
    columns: Columns, row: Row, given: Given, where: str, find: Find
) -> NestedLayout | None:
    """Return the layout of rows whose columns are within one of their columns."""
    for name in (*_WRAPPERS, *(name for name in columns if _names_pair(name))):
        if name not in columns:
            continue
        inner = pair_in(row[columns[name]])
        inner = decode(row[columns[name]]) if inner is None and name in _WRAPPERS else inner
        if not isinstance(inner, Mapping):
            continue
        flat = _spread(_merge(row, inner, {columns[name]}))
        if find(fold_all(present(flat)), flat, given, where) is not None:
            return WrappedLayout(columns[name], given, find)
    rich = [column for column in columns.values() if _said_of(row[column]) is not None]
    flat = _spread({name: row[name] for name in columns.values()})
    if rich and find(fold_all(present(flat)), flat, given, where) is not None:
        return SpreadLayout(rich, given, find)
    return None


_PAIRS = frozenset(("pair", "pairs", "preference", "preferences", "comparison", "texts"))


def _names_pair(name: str) -> bool:
    """Return whether a folded name can be that of a column with two responses in it."""
    return names_responses(name) or not _PAIRS.isdisjoint(name.split("_"))
