"""What the labelling tool Prodigy writes: options with ids, and which of them were accepted."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sklearn_codex._layouts.base import Columns, Comparison, Form, Layout, fold
from sklearn_codex._layouts.given import Given
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
        options = options if isinstance(options, list) else []
        ids = [option.get("id") for option in options if isinstance(option, Mapping)]
        is_known = isinstance(accept, list) and all(chosen in ids for chosen in accept)
        if (len(ids), len(options)) != (2, 2) or not accept or not is_known or ids[0] == ids[1]:
            raise ValueError(
                f"{where} should have two {self.options} and as {self.accept} the id of the better "
                f"one, got {accept!r:.60}. Leave the row out."
            )
        label = 0.5 if all(each in accept for each in ids) else float(accept[0] == ids[0])
        first, second = map(unwrap, options)
        yield Comparison(self.form, where, self.prompt.read(row, where), first, second, label)


def _find_choice(columns: Columns, row, given: Given, where: str) -> Layout | None:
    if not {"options", "accept"} <= columns.keys():
        return None
    options = decode(row[columns["options"]])
    if not isinstance(options, list) or not all(isinstance(option, Mapping) for option in options):
        return None
    rest = {name: c for name, c in columns.items() if fold(name) not in ("options", "accept")}
    prompt = find_prompt(rest, given, where, row)
    if not prompt.main and given.prompt is None:  # which is there also where it is one word
        prompt = prompt._replace(main=rest.get("text", ""))
    return ChoiceLayout(columns, prompt)


FINDERS: tuple[Callable[[Columns, Mapping[str, Any], Given, str], Layout | None], ...] = (
    _find_choice,
)
