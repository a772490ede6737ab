"""Batches of texts from files, for models that learn from streams."""

import reprlib
from collections.abc import Iterable, Iterator
from numbers import Integral
from os import PathLike
from pathlib import Path
from typing import Any

from sklearn.utils._param_validation import Interval, StrOptions, validate_params

from sklearn_codex._files.folders import find_files
from sklearn_codex._files.lines import place_of, read_lines, without_end
from sklearn_codex._files.rows import Row, read_rows

SUBJECT = "read_batches"


@validate_params(
    {
        "paths": [str, PathLike, "array-like", Iterable],
        "columns": [str, tuple, list, None],
        "document": [StrOptions({"line", "file"})],
        "batch_chars": [Interval(Integral, 1, None, closed="left")],
    },
    prefer_skip_nested_validation=True,
)
def read_batches(paths, columns=None, *, document="line", batch_chars=2**22):
    r"""Generate batches of texts from files, so that no more than a batch is in memory.

    For ``partial_fit`` of :class:`~sklearn_codex.TokenCounter`, :class:`~sklearn_codex.UnigramLM`,
    :class:`~sklearn_codex.SFTRefiner` and :class:`~sklearn_codex.PreferenceRewardModel`.

    Parameters
    ----------
    paths : path or iterable of paths
        Files, read in this order; a batch may begin in one and end in the next. Packed by gzip,
        bzip2, xz, zstandard or zip or not; a folder or a pattern stands for its files.
    columns : str or sequence of str, default=None
        Columns of records in JSON, CSV with a header, Parquet or Arrow. None reads the files as
        plain text.
    document : {"line", "file"}, default="line"
        What a document of plain text is: a line, without its end, or a file. Blank ones are left
        out.
    batch_chars : int, default=2**22
        A batch ends with the row that brings it to this many characters; what is no str counts as
        it is printed.

    Yields
    ------
    batch : list of str, or tuple of lists
        Documents, or the values of one column; with a sequence of columns a list for each, of which
        labels in JSON lines keep their type.

    Raises
    ------
    OSError
        If a file cannot be opened: of any of them, before the first is read.
    TypeError
        If one of the paths is none.
    ValueError
        If no column is named, a file is not UTF-8, a record cannot be parsed or lacks a column, a
        file of records is empty, or no file has a row.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from sklearn_codex import UnigramLM, TokenCounter
    >>> from sklearn_codex.datasets import read_batches
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> for number in range(3):
    ...     _ = (folder / f"{number}.txt").write_text(f"the cat sat\nline {number}\n")
    >>> paths = sorted(folder.glob("*.txt"))
    >>> counter = TokenCounter()
    >>> for texts in read_batches(paths, batch_chars=20):
    ...     counter = counter.partial_fit(texts)
    >>> counter.get_feature_names_out().tolist()
    ['<unk>', '0', '1', '2', 'cat', 'line', 'sat', 'the']
    """
    paths = [paths] if isinstance(paths, str | PathLike) else list(paths)
    names = (columns,) if isinstance(columns, str) else columns
    if names is not None and not len(names):
        raise ValueError(
            f"{SUBJECT} needs the name of a column at least, got columns={columns!r}. Pass names, "
            "or None to read plain text."
        )
    for path in paths:
        if not isinstance(path, str | PathLike):
            raise TypeError(
                f"{SUBJECT} reads files, got a {type(path).__name__} among the paths: "
                f"{reprlib.repr(path)}. Pass the path of each as a str or a Path."
            )
        # Now, and not after hours, when the turn of the last one comes.
        if not Path(path).is_fifo() and find_files(path, place_of(path, SUBJECT)) is None:
            open(path, "rb").close()  # but for a pipe, which can be opened once only
    if names is None:
        rows = _read_documents(paths, document)
    elif document == "file":
        raise ValueError(
            f"{SUBJECT} got columns={columns!r} and document='file': columns are those of records. "
            "Leave one of them out."
        )
    else:
        rows = _read_columns(paths, names)
    batches = _cut(rows, batch_chars)
    return (batch if isinstance(columns, tuple | list) else batch[0] for batch in batches)


def _read_documents(paths: Iterable, document: str) -> Iterator[tuple[str]]:
    for path in paths:
        lines = read_lines(path, place_of(path, SUBJECT))
        if document == "file":
            texts = iter(["".join(lines)])
        else:
            texts = map(without_end, lines)
        yield from ((text,) for text in texts if text.strip())


def _read_columns(paths: Iterable, names: Iterable[str]) -> Iterator[tuple]:
    for path in paths:
        for where, row in read_rows(path, place_of(path, SUBJECT)):
            yield tuple(_pick(row, name, where) for name in names)


def _pick(row: Row, name: str, where: str) -> Any:
    if name not in row:
        raise ValueError(f"{where} has no column {name!r}. It has {list(row)}.")
    return row[name]


def _cut(rows: Iterable[tuple], batch_chars: int) -> Iterator[tuple[list, ...]]:
    """Generate batches of rows, column by column."""
    batch: list[tuple] = []
    n_chars, n_batches = 0, 0
    for row in rows:
        batch.append(row)
        n_chars += sum(len(str(value)) for value in row)
        if n_chars >= batch_chars:
            yield tuple(map(list, zip(*batch, strict=True)))
            batch, n_chars, n_batches = [], 0, n_batches + 1
    if batch:
        yield tuple(map(list, zip(*batch, strict=True)))
    elif not n_batches:
        raise ValueError(f"{SUBJECT} found no row in the files. Pass files with at least one.")
