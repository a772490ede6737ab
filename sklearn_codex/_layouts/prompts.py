"""Where the prompt of a row is: the one column, or several that belong together."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from sklearn_codex._checks.frames import is_missing
from sklearn_codex._conversations.messages import Message, as_messages
from sklearn_codex._layouts.base import Columns, fold
from sklearn_codex._layouts.given import Given

PROMPTS = ("prompt", "instruction", "question", "query", "history", "input", "context",
           "user_prompt", "problem", "messages", "conversation", "conversations")  # fmt: skip
"""Names under which the prompt is found, the first one that a row has."""


class PromptColumns(NamedTuple):
    """The columns, as they are in the file, that make the prompt; "" for one there is not.

    ``main`` is what is asked, ``extra`` what it is asked about, ``history`` the turns before, and
    ``system`` what stands before all of them.
    """

    main: str = ""
    extra: str = ""
    history: str = ""
    system: str = ""

    @property
    def used(self) -> frozenset[str]:
        """The columns."""
        return frozenset(self) - {""}

    def read(self, row: Mapping[str, Any]) -> Any:
        """Return the prompt of a row: None, the value of its one column, or messages."""
        values = [row.get(name) if name else None for name in self]
        main, extra, history, system = (None if _is_blank(value) else value for value in values)
        if isinstance(main, str) and isinstance(extra, str):
            main = f"{main}\n{extra}"
        elif main is None:
            main = extra
        if history is None and system is None:
            return main
        messages = [Message("system", system)] if system is not None else []
        messages += as_messages(history, self.history, "") or [] if history is not None else []
        messages += as_messages(main, self.main, "") or [Message("user", str(main or ""))]
        return messages


def _is_blank(value: Any) -> bool:
    return is_missing(value) or (isinstance(value, str) and not value.strip())


def find_prompt(columns: Columns, given: Given, where: str) -> PromptColumns:
    """Return the columns of the prompt; none of them where no name tells."""
    if given.prompt is not None:
        return PromptColumns(columns[fold(given.prompt)])
    found = [columns[name] for name in PROMPTS if name in columns]
    if not found:
        return PromptColumns()
    extra = columns.get("input", "") if "instruction" in columns else ""
    return PromptColumns(
        found[0],
        extra if extra != found[0] else "",
        columns.get("history", "") if found[0] != columns.get("history") else "",
        columns.get("system", ""),
    )
