"""Helpers to write pairs in the layouts of files: made-up pairs, messages, and what is expected."""

from collections.abc import Callable
from typing import NamedTuple

PAIRS = [
    ("Name a bird.\nOf the north.", "The puffin, a small one.", "A herring of the sea.", 1.0),
    ("Name a bird.\nOf the north.", "Some fish.", "The puffin, a small one.", 0.0),
    ("How warm is the moon?", "Cold at night, hot by day.", "As warm as tea.", 1.0),
    ("Write one line about rain.", "Rain is wet.", "It drums upon the roof.", 0.0),
    ("How warm is the moon?", "Nobody has asked it.", "As warm as milk.", 0.0),
    ("Write one line about rain.", "Drops fall.", "It pours again.", 1.0),
]
TIE = ("How warm is the moon?", "It depends.", "That depends.", 0.5)

Pair = tuple[str, str, str, float]


class Entry(NamedTuple):
    """A layout of the table.

    Parameters
    ----------
    called : str
        What ``data.layout`` is.
    write : callable
        From pairs (prompt, first, second, label) to rows.
    oriented : bool, default=False
        Whether rows have no position: the better response is always in the same column.
    ties : bool, default=True
        Whether a tie can be written; never where it is oriented.
    options : dict, default=None
        Arguments of ``read_preferences`` without which the file is refused.
    """

    called: str
    write: Callable[[list[Pair]], list[dict]]
    oriented: bool = False
    ties: bool = True
    options: dict | None = None

    @property
    def pairs(self) -> list[Pair]:
        """The pairs that it can hold."""
        return [*PAIRS, TIE] if self.ties and not self.oriented else PAIRS

    def rows(self) -> list[dict]:
        """Return the rows of those pairs."""
        return self.write(self.pairs)


def normalize(X, y, groups):
    """Return what pairs say, whichever response comes first and however groups are numbered."""
    pairs = []
    for (prompt, first, second), label, group in zip(X, y, groups, strict=True):
        sides = [(first, float(label)), (second, 1 - float(label))]
        sides.sort(key=lambda side: (-side[1], side[0]))
        pairs.append((prompt, sides[0][0], sides[1][0], sides[0][1], int(group)))
    return pairs


def expected(pairs):
    """Return what the pairs that were written say, in the terms of ``normalize``."""
    numbers: dict[str, int] = {}
    groups = [numbers.setdefault(prompt, len(numbers)) for prompt, *_ in pairs]
    return normalize([pair[:3] for pair in pairs], [pair[3] for pair in pairs], groups)


def user(text):
    """Return a message of the user."""
    return {"role": "user", "content": text}


def assistant(text):
    """Return a message of the assistant."""
    return {"role": "assistant", "content": text}


def talk(prompt, response):
    """Return a conversation of one turn."""
    return [user(prompt), assistant(response)]


def transcript(prompt, response):
    """Return a conversation as HH-RLHF has it."""
    return f"\n\nHuman: {prompt}\n\nAssistant: {response}"


def split_input(prompt):
    """Return an instruction and its input, perhaps blank."""
    instruction, _, given = prompt.partition("\n")
    return {"instruction": instruction, "input": given}


def better_first(write):
    """Return a writer of rows from one of (prompt, better, worse, number of the row)."""
    return lambda pairs: [
        write(prompt, *((a, b) if label == 1 else (b, a)), i)
        for i, (prompt, a, b, label) in enumerate(pairs)
    ]


def each(write):
    """Return a writer of rows from one of (prompt, first, second, label)."""
    return lambda pairs: [write(*pair) for pair in pairs]


def pick(first, second, tie=None):
    """Return how a label is written, as a function of the probability of the first."""
    return lambda label: {1.0: first, 0.0: second, 0.5: tie}[label]
