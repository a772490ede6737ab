"""What a caller says about the columns, in the terms of Python or of the command line."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

PAIR_ROLES = ("chosen", "rejected", "response_a", "response_b", "label")
ROLES = ("prompt", *PAIR_ROLES, "weight", "annotator", "groups")
OPTIONS = {"response_a": "response-a", "response_b": "response-b", "groups": "by"}


@dataclass(frozen=True)
class Given:
    """Names of columns in their roles, None where the reader is to find them.

    Parameters
    ----------
    prompt, chosen, rejected, response_a, response_b, label, weight, annotator, groups : str or None
        Columns as the caller names them; case, blanks and hyphens do not matter.
    convention : str, mapping or None
        How labels are written.
    command : bool, default=False
        Whether errors say ``--label winner`` instead of ``label="winner"``.
    """

    prompt: str | None = None
    chosen: str | None = None
    rejected: str | None = None
    response_a: str | None = None
    response_b: str | None = None
    label: str | None = None
    weight: str | None = None
    annotator: str | None = None
    groups: str | None = None
    convention: str | Mapping[Any, float] | None = None
    command: bool = False

    def columns(self) -> dict[str, str]:
        """Return the columns that are named, by role."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        return {role: values[role] for role in ROLES if values[role] is not None}

    @property
    def names_pair(self) -> bool:
        """Whether a column of a response or of the label is named."""
        return not self.columns().keys().isdisjoint(PAIR_ROLES)

    @property
    def names_responses(self) -> bool:
        """Whether a column of a response is named; a layout may have the label that is named."""
        return not self.columns().keys().isdisjoint(PAIR_ROLES[:-1])

    def say(self, role: str, value: str) -> str:
        """Return how the caller says that a role is in a column, or labels in a convention."""
        if self.command:
            return f"--{OPTIONS.get(role, role)} {_quote(value)}"
        return f'{role}="{value}"'


def _quote(value: str) -> str:
    return f"'{value}'" if set(value) - _PLAIN else value


_PLAIN = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.")
