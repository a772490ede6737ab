"""From responses in an order to the pairs of them, and what these weigh.

What one row compares weighs 1, however many pairs it becomes: the pairs of one ranking are not
independent, and a row of 9 responses would count as 36 rows of two otherwise. Of a file with one
response a row, each row weighs at most a half, so that no response counts for more than one pair.
"""

from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import combinations
from typing import Any, NamedTuple

from sklearn_codex._layouts.base import Comparison, Form, Layout
from sklearn_codex._layouts.prompts import PromptColumns

MOST_RESPONSES = 200
"""How many responses are compared with each other; there are 19,900 pairs of them."""


class Candidate(NamedTuple):
    """A response, what it is called in messages, and how good it is: the greater, the better."""

    name: str
    response: Any
    goodness: float


@lru_cache(maxsize=4096)
def oriented_form(better: str, worse: str) -> Form:
    """Return the form of pairs of which the first is preferred, or as good."""
    return Form(better, worse, oriented=True)


def better_first(one: Candidate, other: Candidate) -> tuple[Candidate, Candidate, float]:
    """Return two candidates, the better one first, and the label of the pair."""
    if one.goodness == other.goodness:
        return one, other, 0.5
    return (one, other, 1.0) if one.goodness > other.goodness else (other, one, 1.0)


def rank_pairs(
    candidates: Sequence[Candidate], prompt: Any, where: str, total: float = 1.0
) -> Iterator[Comparison]:
    """Generate the pairs of all candidates, which weigh ``total`` together.

    Raises
    ------
    ValueError
        If there are too many.
    """
    check_size(len(candidates), where)
    pairs = list(combinations(candidates, 2))
    for one, other in pairs:
        better, worse, label = better_first(one, other)
        yield Comparison(
            oriented_form(better.name, worse.name),
            where,
            prompt,
            better.response,
            worse.response,
            label,
            total / len(pairs),
        )


def check_size(n: int, where: str) -> None:
    """Raise where there are too many responses for all pairs of them."""
    if n > MOST_RESPONSES:
        raise ValueError(
            f"{where} has {n:,} responses of one prompt, {n * (n - 1) // 2:,} pairs. At most "
            f"{MOST_RESPONSES:,} are compared with each other: leave some out, or write the pairs."
        )


def plural(n: int, one: str, many: str = "") -> str:
    """Return a count and what is counted."""
    if one[-1] == "y":
        many = many or f"{one[:-1]}ies"
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def counted(*counts: tuple[str, int, str]) -> list[str]:
    """Return a sentence for each count that is not 0, of what, how many, and their unit."""
    return [f"{what}: {plural(n, unit)}." for what, n, unit in counts if n]


class RankingLayout(Layout):
    """Rows of several responses each, in an order.

    Parameters
    ----------
    name : str
        As in :class:`Layout`.
    prompt : PromptColumns
        Where the prompt is.
    used : iterable of str
        The other columns that are read.
    rule : str, default=""
        A sentence for the report, on what the order is taken from.
    """

    def __init__(self, name: str, prompt: PromptColumns, used: Iterable[str], rule: str = ""):
        super().__init__(name, prompt.used | frozenset(used))
        self.prompt = prompt
        self.sizes: Counter[int] = Counter()
        self.n_pairs = self.n_ties = self.n_unrated = 0
        self.notes += filter(None, (prompt.describe(), rule))

    @abstractmethod
    def candidates(self, row: Mapping[str, Any], where: str) -> list[Candidate | None]:
        """Return the responses of a row, None for one of which nothing says how good it is."""

    def compare(self, candidates: list[Candidate], prompt: Any, where: str) -> Iterable[Comparison]:
        """Return the pairs of the responses of a row."""
        return rank_pairs(candidates, prompt, where)

    def covers(self, other: Layout) -> bool:
        """Return whether both read the same columns, so that their rows are counted together."""
        return (
            type(self) is type(other)
            and isinstance(other, RankingLayout)
            and (self.name, self.used) == (other.name, other.used)
        )

    def read(self, row: Mapping[str, Any], where: str) -> Iterator[Comparison]:
        """Return the pairs of a row."""
        everyone = self.candidates(row, where)
        rated = [candidate for candidate in everyone if candidate is not None]
        self.n_unrated += len(everyone) - len(rated)
        n_before = self.n_pairs
        for comparison in self.compare(rated, self.prompt.read(row, where), where):
            self.n_pairs += 1
            self.n_ties += comparison.label == 0.5
            yield comparison
        self.sizes[len(rated) if self.n_pairs > n_before else 0] += 1

    def finish(self) -> Iterable[Comparison]:
        """Note how rows became pairs."""
        sizes = sorted(size for size in self.sizes if size)
        n_rows = sum(self.sizes[size] for size in sizes)
        if sizes and sizes[-1] > 2:
            span = f"{sizes[0]}" if sizes[0] == sizes[-1] else f"{sizes[0]} to {sizes[-1]}"
            rows, pairs = plural(n_rows, "row"), plural(self.n_pairs, "pair")
            self.notes.append(
                f"{rows} of {span} responses became {pairs}; those of one row weigh 1 together."
            )
        self.notes.extend(
            counted(
                ("Ties, of equal ratings", self.n_ties, "pair"),
                ("Left out, without a rating", self.n_unrated, "response"),
                ("Without two responses to compare, so without a pair", self.sizes[0], "row"),
            )
        )
        return ()
