"""What a layout is, and what it makes of rows."""

import string
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, ClassVar, NamedTuple

Columns = Mapping[str, str]
"""The columns that a row has a value in: the folded name, and the name as it is."""


@dataclass(frozen=True)
class Form:
    """What all comparisons of one layout have in common.

    Parameters
    ----------
    first, second : str
        What the two responses are called where a row is shown or refused: their columns.
    label : str, default=""
        Column of the label; "" where the layout says itself which response is preferred.
    convention : str, default=None
        How labels are written in this layout; None where it is to be inferred from the column.
    oriented : bool, default=False
        Whether the first response is the preferred one of every pair, or as good as the second, so
        that nothing tells which was shown first.
    """

    first: str
    second: str
    label: str = ""
    convention: str | None = None
    oriented: bool = False


class Comparison(NamedTuple):
    """Two responses as a row has them: no text is read and no label understood yet.

    ``prompt``, ``first`` and ``second`` are text, messages, or either of them written as text.
    ``label`` is a value of the column of the form, or the probability that the first is preferred
    where the form has no such column.
    """

    form: Form
    where: str
    prompt: Any
    first: Any
    second: Any
    label: Any = 1.0
    weight: float = 1.0
    annotator: Any = None
    row: Mapping[str, Any] | None = None
    """The row whose other columns belong to the pair, if it is not the one that was fed."""
    both_bad: bool = False
    """Whether columns that are no label say that both responses are bad."""


@dataclass
class Layout(ABC):
    """A way in which files have preferences, made for the rows of one set of columns.

    Parameters
    ----------
    name : str
        What the report says the file was read as, such as "HH-RLHF".
    used : frozenset of str
        Names, as they are in the file, of the columns that are read; the others are passed on.
    notes : list of str
        What a reader should know of how rows became pairs, such as that each ranking became its
        pairs, a sentence each. Filled while rows are read.
    """

    across_rows: ClassVar[bool] = False
    """Whether one object has to see all rows, whatever columns they have a value in."""

    reads_convention: ClassVar[bool] = False
    """Whether it understands labels itself, so that a convention has a meaning without a column of
    labels in its form."""

    name: str
    used: frozenset[str]
    notes: list[str] = field(default_factory=list)

    @abstractmethod
    def read(self, row: Mapping[str, Any], where: str) -> Iterable[Comparison]:
        """Return the comparisons that a row completes, perhaps none.

        Raises
        ------
        ValueError, TypeError
            If the row cannot be read; the message begins with ``where``.
        """

    def covers(self, other: "Layout") -> bool:
        """Return whether this object reads the rows that another one was made for."""
        return self.across_rows and type(self) is type(other)

    def finish(self) -> Iterable[Comparison]:
        """Return the comparisons that only all rows together make."""
        return ()


def fold(name: Any) -> str:
    """Return the name of a column so that "Response A", "response-a" and "response_a" are one."""
    name = str(name)
    return _fold(name) if len(name) <= _LONGEST_NAME else _fold.__wrapped__(name)


_LONGEST_NAME = 100
"""Characters up to which a name is kept: rows have the same ones again, and texts are none."""


_UNSEEN = string.whitespace + "\ufeff\u200b"
"""What may stand around a name and is not seen, such as a byte order mark."""


@lru_cache(maxsize=8192)
def _fold(name: str) -> str:
    return "_".join(name.strip(_UNSEEN).casefold().replace("-", " ").replace("_", " ").split())


def fold_all(names: Iterable[Any]) -> dict[str, str]:
    """Return names by what they are folded, the first of several that are one."""
    found: dict[str, str] = {}
    for name in names:
        found.setdefault(fold(name), str(name))
    return found
