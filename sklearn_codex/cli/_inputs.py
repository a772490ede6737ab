"""What commands read: texts, from files or standard input; and what errors call a file."""

from collections.abc import Iterator, Sequence

from sklearn_codex._files.folders import open_parts
from sklearn_codex._files.foreign import check_foreign
from sklearn_codex._files.kinds import TEXT, kind_of
from sklearn_codex._files.lines import decode_lines, find_first, text_lines, without_end
from sklearn_codex._files.rows import header_of, parse_rows, read_part
from sklearn_codex._files.unpack import Part
from sklearn_codex._layouts.base import fold, fold_all
from sklearn_codex._layouts.pairs import find_pairs
from sklearn_codex._plain import did_you_mean, plain
from sklearn_codex.cli._options import STANDARD, readable

COLUMNS = ("text", "completion", "response", "output")


def place_of_argument(argument: str) -> str:
    """Return how errors call the file of an argument."""
    return "standard input" if argument == STANDARD else plain(argument)


def read_texts(
    argument: str, column: str | None = None, *, columns: Sequence[str] = COLUMNS
) -> list[str]:
    """Return the texts of a file: a column of its records, or its lines.

    Parameters
    ----------
    argument : str
        Path of a file or folder, pattern, or ``-`` for standard input. JSON records, Parquet,
        Arrow, or CSV whose header has the column, are records; anything else is one text a line,
        blank lines left out.
    column : str, default=None
        Name of the column; None looks for those of ``columns``.
    columns : sequence of str, default=("text", "completion", "response", "output")
        Names that a column of texts has by itself.
    """
    with readable(argument) as path:
        return texts_of(path, place_of_argument(argument), column, columns=columns)


def texts_of(
    path: str, place: str, column: str | None = None, *, columns: Sequence[str] = COLUMNS
) -> list[str]:
    """Return the texts of a file, as :func:`read_texts`."""
    wanted = columns if column is None else (column,)
    return [text for _, text in _all_texts_of(path, place, column, wanted)]


def read_prompts(argument: str) -> tuple[list[str], int]:
    """Return the prompts of a file, and how many records were left out as they have none.

    Parameters
    ----------
    argument : str
        As of :func:`read_texts`. Where any record has ``prompt``, prompts are that column; where
        none has, they are ``text``.
    """
    with readable(argument) as path:
        found = _all_texts_of(path, place_of_argument(argument), None, ("prompt", "text"))
    prompts = [text for name, text in found if name == "prompt"]
    return (prompts, len(found) - len(prompts)) if prompts else ([text for _, text in found], 0)


def _all_texts_of(path, place, column, wanted):
    texts = [named for part in open_parts(path, place) for named in _texts_of(part, column, wanted)]
    if not texts:
        raise ValueError(f"{place} is empty: one text a line is needed.")
    return texts


def _texts_of(
    part: Part, column: str | None, wanted: Sequence[str]
) -> Iterator[tuple[str | None, str]]:
    """Generate the texts of one file, each with its column; None of a line."""
    if kind_of(part.head, part.place) != TEXT or part.head.lstrip()[:1] == b"[":
        rows = read_part(part)
    else:
        first, lines = find_first(text_lines(decode_lines(part.stream, part.place), part.place))
        if column is None and _is_text(first, wanted):
            yield from ((None, without_end(line)) for line in lines if line.strip())
            return
        check_foreign(part.head, part.place)
        rows = parse_rows(lines, part.place)
    for where, row in rows:
        yield _pick_text(row, column, wanted, where)


def _is_text(line: str, columns: Sequence[str]) -> bool:
    """Whether a first line is a text, and does not begin records."""
    return line.lstrip()[:1] not in ("{", "[") and not set(header_of(line)) & set(columns)


def _pick_text(row: dict, column: str | None, wanted: Sequence[str], where: str) -> tuple[str, str]:
    name = next((name for name in wanted if name in row), None)
    if name is None and column is not None:
        name = fold_all(row).get(fold(column))
    if name is None or not isinstance(row.get(name), str):
        if column is None and find_pairs(fold_all(row)):
            raise ValueError(
                f"{where} is a preference, with {list(row)}, and no text as the rows before it. "
                "Put preferences into a file of their own, which reward reads as pairs, and fit "
                "and score by --preferences; or score the file whole, as records of all kinds."
            )
        known = f"one of {', '.join(wanted)}" if column is None else f"--column {column}"
        meant = "" if column is None or name is not None else did_you_mean(column, map(str, row))
        remedy = (
            "Say which column has it: --column NAME" if column is None else "Name another column"
        )
        raise ValueError(
            f"{where} has no text in {known}.{meant} It has {list(row)}. {remedy}, or pass plain "
            "text, one a line."
        )
    return name, row[name]
