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
class Section:
    """A question, its answer in a sentence or two, and what that rests on."""

    question: str
    answer: str
    blocks: list[TableBlock | Chart | Findings | Examples | Note]
