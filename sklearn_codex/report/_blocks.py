"""What a report is made of; the terminal and the page each draw these in their own way."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class TableBlock:
    """Rows under a header, and what they mean for a decision."""

    header: tuple[str, ...]
    rows: list[tuple]
    meaning: str = ""
    title: str = ""


@dataclass(frozen=True)
class Series:
    """One line of a chart; ``low`` and ``high`` are the edges of a band."""

    name: str
    x: list[float]
    y: list[float]
    low: list[float] | None = None
    high: list[float] | None = None
    dashed: bool = False
    dots: bool = False


@dataclass(frozen=True)
class Chart:
    """Lines over one axis, what they mean, and a table that says the same in a few numbers."""

    title: str
    x_label: str
    y_label: str
    series: list[Series]
    meaning: str
    table: TableBlock
    log_x: bool = False
    marks: list[tuple[float, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Findings:
    """Lines with a status: "look", "note", "ok" or "skipped"."""

    items: list[tuple[str, str]]
    meaning: str = ""


@dataclass(frozen=True)
class Examples:
    """Texts under labels, shown as they are: each is a title and its labelled texts."""

    items: list[tuple[str, list[tuple[str, str]]]]
    meaning: str = ""
    title: str = ""
    file: str = ""  # that has the whole list, beside the page


@dataclass(frozen=True)
class Note:
    """A sentence, such as why there is no figure."""

    text: str


@dataclass(frozen=True)
class Box:
    """What has to be read before anything else."""

    text: str


@dataclass(frozen=True)
class Facts:
    """Names, each with its lines."""

    items: list[tuple[str, list[str]]]


@dataclass(frozen=True)
class Task:
    """What to do, of how many rows (0 where it is not of rows), what it changes, and where.

    Parameters
    ----------
    verdict : {"raises", "lowers", "not shown", "not tested"}
        On what it changes.
    """

    action: str
    n_rows: int = 0
    effect: str = ""
    where: str = ""
    verdict: str = "not tested"
    numbers: str = ""


@dataclass(frozen=True)
class Decision:
    """The verdict on all of it, its colour, its one reason, and what to do."""

    verdict: str
    tone: str
    reason: str
    tasks: list[Task]


@dataclass(frozen=True)
class Interval:
    """A name with a figure and its interval; ``is_sure`` where it is beyond chance."""

    name: str
    value: float
    low: float
    high: float
    is_sure: bool
    shown: str


@dataclass(frozen=True)
class Intervals:
    """Dots with intervals along one axis, around a null, and a table that says the same."""

    title: str
    x_label: str
    rows: list[Interval]
    meaning: str
    table: TableBlock
    null: float = 0.0
    sides: tuple[str, str] = ("against", "in favour")


@dataclass(frozen=True)
class Histogram:
    """Counts between edges, of one or more series, what they mean, and a table of the same."""

    title: str
    x_label: str
    y_label: str
    edges: list[float]
    series: list[tuple[str, list[int]]]
    meaning: str
    table: TableBlock
    log_x: bool = False
    marks: list[tuple[float, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Section:
    """A question, its answer in a sentence or two, and what that rests on.

    ``word``, ``tone`` and ``line`` are the answer in a word, its colour and a few more words,
    ``name`` is what the question is called where there is no room for it, and ``rests_on`` has the
    names of the verdicts behind it.
    """

    question: str
    answer: str
    blocks: list
    word: str = ""
    tone: str = "plain"
    name: str = ""
    line: str = ""
    rests_on: tuple[str, ...] = ()
