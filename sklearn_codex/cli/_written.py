"""Pairs as ``convert`` writes them: rows or columns that are read back as the same pairs."""

from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np
from sklearn.utils import Bunch

from sklearn_codex._layouts.base import fold, fold_all
from sklearn_codex._layouts.given import Given
from sklearn_codex._layouts.reader import PairReader
from sklearn_codex._layouts.registry import find_layout
from sklearn_codex._layouts.written import ANNOTATOR, ORIENTED, OWN, PAIR, WEIGHT
from sklearn_codex.report._json import json_text

# What names the columns that the file had besides.
OTHER = "other_"
_DEEPEST = 20
"""Lists and objects within one another: of more some readers of Parquet do not read the schema."""


def make_rows(pairs: Bunch, *, others: bool = True) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Return pairs as rows with a label, and the names of columns that had to be renamed.

    Parameters
    ----------
    pairs : Bunch
        As of ``read_preferences``.
    others : bool, default=True
        Whether the columns that were not read come along.
    """
    columns: dict[str, Sequence] = {
        "prompt": [prompt or None for prompt in pairs.X[:, 0]],
        "response_a": pairs.X[:, 1].tolist(),
        "response_b": pairs.X[:, 2].tolist(),
        "label": pairs.y.tolist(),
        **_own_columns(pairs),
    }
    columns = {name: values for name, values in columns.items() if _is_any(values)}
    names = _name_others(columns, pairs.columns) if others else {}
    columns |= {names[name]: values for name, values in pairs.columns.items() if name in names}
    rows = [
        {name: as_plain(value) for name, value in zip(columns, values, strict=True)}
        for values in zip(*columns.values(), strict=True)
    ]
    renamed = {name: written for name, written in names.items() if name != written}
    return [{n: v for n, v in row.items() if v is not None} for row in rows], renamed


def _is_any(values: Sequence) -> bool:
    return any(value is not None for value in values)


def _own_columns(pairs: Bunch) -> dict[str, Sequence]:
    """Return what a row tells beside the pair, where it tells something."""
    weighted, annotated = bool((pairs.sample_weight != 1).any()), _is_any(pairs.annotator)
    if not (weighted or annotated or pairs.oriented.any()):
        return {}
    own: dict[str, Sequence] = {ORIENTED: pairs.oriented.tolist()}
    if weighted:
        own[WEIGHT] = pairs.sample_weight.tolist()
    if annotated:
        own[ANNOTATOR] = pairs.annotator.tolist()
    return own


def _name_others(base: Mapping[str, Sequence], others: Mapping[str, Any]) -> dict[str, str]:
    """Return the name under which each other column is written.

    It is its own, but where that would make a reader take the file for something else.
    """
    taken = {*PAIR, *OWN}
    row = {name: next(v for v in values if v is not None) for name, values in base.items()}
    found = _reading(row)
    names: dict[str, str] = {}
    for name, values in others.items():
        cell = next((value for value in values if value is not None), None)
        written = name
        while fold(written) in taken or _reading({**row, written: cell}) != found:
            written = f"{OTHER}{written}"
        names[name] = written
        row[written] = cell
        taken.add(fold(written))
    return names


def _reading(row: Mapping[str, Any]) -> tuple:
    """Return as what a row would be read."""
    try:
        layout = find_layout(fold_all(row), row, Given(), "")
    except (TypeError, ValueError):
        return ()
    return type(layout), layout.used


def make_chosen(
    pairs: Bunch, place: str, *, drop_ties: bool, harden: bool
) -> tuple[list[dict[str, Any]], int, int]:
    """Return pairs as rows of chosen and rejected, the ties left out and the labels rounded.

    Raises
    ------
    ValueError
        If there are ties or soft labels, and nothing says what to do with them.
    """
    tie = pairs.y == 0.5
    soft = ~tie & (pairs.y > 0) & (pairs.y < 1)
    for which, allowed, what, option in (
        (tie, drop_ties, "ties", "--drop-ties to leave them out"),
        (soft, harden, "soft labels", "--harden to write the likelier response as chosen"),
    ):
        if which.any() and not allowed:
            first = int(np.flatnonzero(which)[0])
            raise ValueError(
                f"{place}, {pairs.where[first]} has the label {pairs.y[first]:g}, one of "
                f"{int(which.sum())} {what}, for which chosen and rejected have no place. Pass "
                f"{option}, or --to pairs, which keeps them."
            )
    weighted = bool((pairs.sample_weight[~tie] != 1).any())
    rows = []
    for row in np.flatnonzero(~tie):
        prompt, a, b = pairs.X[row]
        chosen, rejected = (a, b) if pairs.y[row] > 0.5 else (b, a)
        rows.append(
            {
                **({"prompt": prompt} if prompt else {}),
                "chosen": chosen,
                "rejected": rejected,
                **({WEIGHT: float(pairs.sample_weight[row])} if weighted else {}),
            }
        )
    if not rows:
        raise ValueError(f"{place} has ties only, of which no pair is left to write.")
    return rows, int(tie.sum()), int(soft.sum())


def say_changed(rows: list[dict[str, Any]], pairs: Bunch, kept: np.ndarray) -> str:
    """Return a sentence, after a blank, on pairs that rows are not read back as; "" for none.

    Parameters
    ----------
    rows : list of dict
        The rows of these pairs.
    pairs : Bunch
        The pairs.
    kept : ndarray of bool of shape (n_pairs,)
        Which of them are in the rows.
    """
    try:
        again = PairReader(Given(command=True), "it").read(
            ((f"it, row {position}", row) for position, row in enumerate(rows)), source=""
        )
    except (TypeError, ValueError) as error:
        return f" It cannot be read back as it is: {error}"
    one, other = _preferred_first(again.X, again.y), _preferred_first(pairs.X[kept], pairs.y[kept])
    changed = np.flatnonzero((one != other).any(axis=1))
    if not len(changed):
        return ""
    where = pairs.where[np.flatnonzero(kept)[changed[0]]]
    return (
        f" {len(changed):,} of them are read back with other texts, the first that of {where}, "
        "such as a response that begins with its prompt."
    )


def _preferred_first(X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return pairs (n, 3) with the likelier response before the other one."""
    return np.where((y < 0.5)[:, np.newaxis], X[:, [0, 2, 1]], X)


def as_plain(value: Any) -> Any:
    """Return a value in types that JSON has."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(name): as_plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_plain(part) for part in value]
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return str(value)


def as_lines(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return rows as JSON lines."""
    return "".join(json_text(row) + "\n" for row in rows)


def as_parquet(rows: list[dict[str, Any]]) -> tuple[bytes, list[str]]:
    """Return rows as the bytes of a Parquet file, and the columns that are JSON in it.

    Raises
    ------
    ImportError
        If pyarrow is not installed.
    ValueError
        If a text holds what is no character.
    """
    pa, parquet = _import_pyarrow()
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns, as_json = {}, []
    for name in names:
        values = [row.get(name) for row in rows]
        try:
            columns[name] = pa.array(values)
            if not _fits_parquet(columns[name].type):
                raise pa.ArrowInvalid("of a type that Parquet does not hold, or not give back")
        except (pa.ArrowException, OverflowError, TypeError):  # of several types
            columns[name] = pa.array([None if v is None else json_text(v) for v in values])
            as_json.append(name)
        except UnicodeEncodeError as error:
            raise ValueError(
                f"The column {name} has a text with half a surrogate pair (character "
                f"{error.start + 1}), which Parquet cannot hold. Write it by --to pairs."
            ) from error
    sink = pa.BufferOutputStream()
    parquet.write_table(pa.table(columns), sink)
    return sink.getvalue().to_pybytes(), as_json


def _fits_parquet(kind: Any, depth: int = 1) -> bool:
    """Whether Parquet holds values of a type of Arrow: no object without fields, none too deep.

    Parameters
    ----------
    kind : pyarrow.DataType
    depth : int, default=1
        How many lists and objects they stand in, and one.
    """
    is_struct = import_module("pyarrow.types").is_struct
    if depth > _DEEPEST or (is_struct(kind) and not kind.num_fields):
        return False
    return all(_fits_parquet(kind.field(i).type, depth + 1) for i in range(kind.num_fields))


def _import_pyarrow():
    try:
        return import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as error:
        raise ImportError(
            f"--to parquet needs pyarrow, which cannot be imported ({error}). Install it: "
            'pip install "sklearn-codex[io]". Or write JSON lines by --to pairs.'
        ) from error
