"""What labelling tools write: a task with its two responses, and what people answered."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sklearn_codex._checks.frames import is_missing
from sklearn_codex._layouts.base import Columns, Comparison, Form, Layout, fold
from sklearn_codex._layouts.given import Given
from sklearn_codex._layouts.pairs import PairNames, find_pairs
from sklearn_codex._layouts.prompts import PromptColumns, find_prompt, unwrap
from sklearn_codex._layouts.special import decode


class ChoiceLayout(Layout):
    """Two options with ids, and the list of the ids that a person accepted."""

    def __init__(self, columns: Columns, prompt: PromptColumns):
        self.options, self.accept = columns["options"], columns["accept"]
        self.prompt = prompt
        super().__init__("Prodigy", frozenset((self.options, self.accept)) | prompt.used)
        self.form = Form(f"{self.options}[0]", f"{self.options}[1]")

    def read(self, row: Mapping[str, Any], where: str) -> Iterable[Comparison]:
        """Return the one comparison of a row."""
        options, accept = decode(row[self.options]), decode(row[self.accept])
        ids = [option.get("id") for option in options] if isinstance(options, list) else []
        if len(ids) != 2 or not isinstance(accept, list) or not accept or set(accept) - set(ids):
            raise ValueError(
                f"{where} should have two {self.options} and as {self.accept} the id of the better "
                f"one, got {accept!r:.60}. Leave the row out."
            )
        label = 0.5 if len(set(accept)) == 2 else float(accept[0] == ids[0])
        first, second = map(unwrap, options)
        yield Comparison(self.form, where, self.prompt.read(row, where), first, second, label)


def _find_choice(columns: Columns, row, given: Given, where: str) -> Layout | None:
    if not {"options", "accept"} <= columns.keys():
        return None
    options = decode(row[columns["options"]])
    if not isinstance(options, list) or not all(isinstance(option, Mapping) for option in options):
        return None
    rest = {name: c for name, c in columns.items() if fold(name) not in ("options", "accept")}
    return ChoiceLayout(columns, find_prompt(rest, given, where, row))


class TaskLayout(Layout):
    """A task under ``data``, and under ``annotations`` what each person answered."""

    def __init__(self, columns: Columns, pair: PairNames, prompt: PromptColumns):
        self.data, self.annotations = columns["data"], columns["annotations"]
        super().__init__("Label Studio", frozenset((self.data, self.annotations)))
        self.prompt = prompt
        self.form = Form(pair.first, pair.second, self.annotations)
        self.n_cancelled = 0
        self.notes.append("Each answer of a person is a pair.")

    def read(self, row: Mapping[str, Any], where: str) -> Iterable[Comparison]:
        """Generate a comparison of each answer."""
        data, annotations = decode(row[self.data]), decode(row[self.annotations])
        names = (self.form.first, self.form.second)
        if not isinstance(data, Mapping) or any(is_missing(data.get(name)) for name in names):
            raise ValueError(
                f"{where} should have {' and '.join(names)} in {self.data}, got {data!r:.60}. "
                "Leave the task out."
            )
        for number, annotation in enumerate(annotations or []):
            if annotation.get("was_cancelled"):
                self.n_cancelled += 1
                continue
            place = f"{where}, {self.annotations}[{number}]"
            person = annotation.get("completed_by")
            if isinstance(person, Mapping):
                person = next((person[key] for key in ("email", "id") if key in person), None)
            prompt = self.prompt.read(data, where)
            label = self._answer(annotation, place)
            first, second = (unwrap(data[name]) for name in names)
            yield Comparison(
                self.form, place, prompt, first, second, label, annotator=person,
                row={**row, **{key: data[key] for key in data if key not in self._read()}},
            )  # fmt: skip

    def _read(self) -> frozenset[str]:
        return self.prompt.used | {self.form.first, self.form.second}

    def _answer(self, annotation: Mapping, where: str) -> Any:
        answers = []
        for result in annotation.get("result") or []:
            value = result.get("value") or {}
            for key in ("selected", "choices", "rating"):
                found = value.get(key)
                if not is_missing(found) and key != "rating":
                    answers += found if isinstance(found, list) else [found]
        if len(answers) != 1:
            raise ValueError(
                f"{where} has {len(answers)} answers that say which response is better, {answers}. "
                "Leave one."
            )
        return answers[0]

    def finish(self) -> Iterable[Comparison]:
        """Say what was left out."""
        if self.n_cancelled:
            self.notes.append(f"{self.n_cancelled} answers that were cancelled are left out.")
        return ()


def _find_task(columns: Columns, row, given: Given, where: str) -> Layout | None:
    if not {"data", "annotations"} <= columns.keys():
        return None
    data = decode(row[columns["data"]])
    if not isinstance(data, Mapping):
        return None
    names = {fold(name): str(name) for name in data if not is_missing(data[name])}
    pairs = [pair for pair in find_pairs(names, data) if not pair.oriented]
    if len(pairs) != 1:
        return None
    rest = {name: column for name, column in names.items() if column not in pairs[0][:2]}
    return TaskLayout(columns, pairs[0], find_prompt(rest, given, where, data))


FINDERS: tuple[Callable[[Columns, Mapping[str, Any], Given, str], Layout | None], ...] = (
    _find_choice,
    _find_task,
)
