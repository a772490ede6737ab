"""Hostile and odd values, and odd forms of good ones."""

import datetime
import decimal
import fractions
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import scipy.sparse as sp
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from sklearn_codex import TokenCounter, UnigramLM

NUMBERS = (
    *(np.nan, np.inf, -np.inf, 1e300, -1e300, 1e150, 1e-320, -1e-9, 0.0, -0.0, 0.5, 1.0, 2.0),
    *(-1, 0, 1, 2, 3, 7, 10**30, -(10**30), -(2**63), True, False),
)

# Values that are wrong almost everywhere, made anew for each case.
FOREIGN: tuple[Callable[[], Any], ...] = (
    *(lambda number=number: number for number in NUMBERS),
    lambda: None,
    lambda: "",
    lambda: "x",
    lambda: "auto",
    lambda: "\ud800",
    lambda: "a " * 50_000,
    lambda: b"bytes",
    lambda: bytearray(b"ab"),
    list,
    dict,
    tuple,
    set,
    lambda: {"a": 1},
    lambda: [None],
    lambda: [[]],
    lambda: [[1], [1, 2]],
    lambda: [[1, 2], [3, 4]],
    lambda: ["a", None, 3],
    lambda: [np.nan],
    lambda: object(),
    lambda: lambda *_: np.nan,
    lambda: lambda X, *_: np.full(np.shape(X)[0] if np.ndim(X) else 1, np.nan),
    lambda: 1 + 2j,
    lambda: np.float32(0.5),
    lambda: np.int64(3),
    lambda: np.str_("word"),
    lambda: np.array(1.5),
    lambda: np.array([]),
    lambda: np.zeros((0, 3)),
    lambda: np.zeros((3, 0)),
    lambda: np.zeros((2, 2, 2)),
    lambda: np.array([1, "a", None], dtype=object),
    lambda: np.array([b"a", b"b"]),
    lambda: np.array([1 + 1j, 2]),
    lambda: np.array(["2020-01-01", "NaT"], dtype="datetime64[D]"),
    lambda: np.datetime64("NaT"),
    lambda: datetime.date(2020, 1, 1),
    lambda: fractions.Fraction(1, 3),
    lambda: decimal.Decimal("0.5"),
    lambda: decimal.Decimal("NaN"),
    lambda: pd.NA,
    lambda: pd.NaT,
    lambda: pd.Series([1.0, None]),
    lambda: pd.DataFrame({"a": [1, 2], "b": ["x", None]}),
    lambda: pd.DataFrame([[1, 2], [3, 4]], columns=["a", "a"]),
    lambda: pd.DataFrame(),
    lambda: pl.Series([1.0, None]),
    lambda: pl.DataFrame({"a": [1, 2]}),
    lambda: sp.csr_array((2, 2)),
    lambda: sp.coo_array(np.array([1.0, 2.0])),
    lambda: np.ma.masked_array([1.0, 2.0], mask=[True, False]),
    lambda: (i for i in range(3)),
    lambda: range(3),
    lambda: UnigramLM(),
    lambda: UnigramLM,
    lambda: FrozenEstimator(UnigramLM()),
    lambda: FrozenEstimator(TokenCounter().fit(["zzz yyy"])),
    lambda: LogisticRegression(),
)

STRINGS = (
    *("", " ", "\t\n", "\0", "\ud800", "a\udfff b", "\u202eevil", "\x1b[31mred", "é\u0301", "😀"),
    *("nan", "None", "a " * 20_000, "x" * 100_000, "<unk>", "<eos>", "0", "1.5", "'; DROP"),
)


def foreign(rng: np.random.RandomState) -> Any:
    """Return a value of any kind."""
    return FOREIGN[rng.randint(len(FOREIGN))]()


def mutate(rng: np.random.RandomState, value: Any) -> Any:
    """Return an odd or broken form of a good value, or one of any kind."""
    if rng.rand() < 0.25:
        return foreign(rng)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return _mutate(rng, value)
    except Exception:  # numpy, pandas or polars cannot hold such a form
        return foreign(rng)


def _mutate(rng, value):
    if sp.issparse(value):
        return _mutate_sparse(rng, value)
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return _mutate_array(rng, value)
    if isinstance(value, pd.DataFrame):
        return _mutate_frame(rng, value)
    if isinstance(value, (list, np.ndarray)) and len(value):
        return _mutate_list(rng, list(value))
    if isinstance(value, dict) and value:
        return _mutate_dict(rng, value)
    if isinstance(value, str):
        return STRINGS[rng.randint(len(STRINGS))]
    if isinstance(value, (bool, int, float, np.generic)):
        return NUMBERS[rng.randint(len(NUMBERS))]
    return foreign(rng)


def _pick(rng, options):
    return options[rng.randint(len(options))]()


def _with_entry(rng, array, entry):
    array = array.copy()
    if array.size:
        array.flat[rng.randint(array.size)] = entry
    return array


def _read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def _as_objects(rng, array):
    values = array.astype(object)
    if values.size and rng.rand() < 0.7:
        odd = (None, "a", np.nan, [1, 2], b"x", {}, pd.NA, 10**30, True, (1,))
        values.flat[rng.randint(values.size)] = odd[rng.randint(len(odd))]
    return values


def _mutate_array(rng, array):
    floats = array.astype(float)
    number = float(NUMBERS[rng.randint(len(NUMBERS))])
    return _pick(rng, (
        *[lambda: _with_entry(rng, floats, number)] * 6,
        lambda: np.full_like(floats, number),
        lambda: floats * number,
        lambda: floats * 0,
        lambda: floats[:1],
        lambda: floats[:0],
        lambda: floats[:-1],
        lambda: floats[::-1],
        lambda: np.concatenate([floats, floats]),
        lambda: floats[:, :-1] if floats.ndim > 1 else floats[:, None],
        lambda: floats[:, :0] if floats.ndim > 1 else floats[None, :],
        lambda: floats[..., None],
        lambda: floats.ravel(),
        lambda: floats.T,
        lambda: array.tolist(),
        lambda: _read_only(array),
        lambda: array.astype(np.float32),
        lambda: array.astype(np.float16),
        lambda: array.astype(">f8"),
        lambda: array.astype(np.longdouble),
        lambda: array.astype(int),
        lambda: array > 0,
        lambda: array.astype(str),
        lambda: array.astype("S"),
        lambda: array.astype(complex),
        lambda: _as_objects(rng, array),
        lambda: _as_objects(rng, array).tolist(),
        lambda: np.ma.masked_array(floats, mask=floats > floats.mean() if floats.size else False),
        lambda: np.asmatrix(floats) if floats.ndim < 3 else floats,
        lambda: pd.DataFrame(floats) if floats.ndim == 2 else pd.Series(floats.ravel()),
        lambda: pl.DataFrame(floats) if floats.ndim == 2 else pl.Series(floats.ravel()),
        lambda: _frame_of_odd_names(rng, floats),
        lambda: sp.csr_array(floats) if floats.ndim == 2 else sp.coo_array(floats),
        lambda: _mutate_sparse(rng, sp.csr_array(floats)) if floats.ndim == 2 else floats,
    ))  # fmt: skip


def _frame_of_odd_names(rng, array):
    if array.ndim != 2:
        return pd.Series(array.ravel(), name=("a", 1))
    n = array.shape[1]
    names = _pick(rng, (
        lambda: ["a"] * n,
        lambda: [0] * n,
        lambda: ["a", 1, *range(10)][:n],
        lambda: [None, *range(10)][:n],
        lambda: [np.nan] * n,
        lambda: [("a", i) for i in range(n)],
        lambda: [f"c{i}" for i in range(n)],
        lambda: ["response_a", "response_b", "prompt", *map(str, range(10))][:n],
    ))  # fmt: skip
    frame = pd.DataFrame(array, columns=names)
    return frame.astype({}) if rng.rand() < 0.5 else frame.astype("Float64")


def _mutate_frame(rng, frame):
    columns = list(frame.columns)
    return _pick(rng, (
        lambda: frame.set_axis([columns[0]] * len(columns), axis=1),
        lambda: pd.concat([frame, frame], axis=1),
        lambda: frame.iloc[:0],
        lambda: frame.iloc[:1],
        lambda: frame.drop(columns=columns[0]),
        lambda: frame.assign(**{str(columns[-1]): None}),
        lambda: frame.assign(**{str(columns[-1]): 3}),
        lambda: frame.set_axis([*range(len(columns))], axis=1),
        lambda: frame.set_axis([None, *columns[1:]], axis=1),
        lambda: frame[columns[::-1]],
        lambda: frame.astype("string" if frame.dtypes.iloc[0].kind == "O" else "category"),
        lambda: frame.astype("category"),
        lambda: frame.where(frame.index > frame.index[0], axis=0),
        lambda: frame.to_numpy(),
        lambda: pl.DataFrame({str(c): frame[c].tolist() for c in columns}),
        lambda: frame.set_index(columns[0]),
        lambda: frame.to_dict("list"),
        lambda: frame.to_dict("records"),
    ))  # fmt: skip


def _odd_item(rng, item):
    if isinstance(item, str) and rng.rand() < 0.6:
        return STRINGS[rng.randint(len(STRINGS))]
    if isinstance(item, (list, tuple)) and len(item) and rng.rand() < 0.7:
        return type(item)(_mutate_list(rng, list(item)) or [])
    if isinstance(item, dict) and item and rng.rand() < 0.8:
        return _mutate_dict(rng, item)
    return foreign(rng)


def _mutate_list(rng, values):
    at = rng.randint(len(values))
    odd = lambda: _odd_item(rng, values[at])  # noqa: E731
    items = np.empty(len(values), dtype=object)
    items[:] = values
    return _pick(rng, (
        *[lambda: [*values[:at], odd(), *values[at + 1 :]]] * 6,
        lambda: values[:0],
        lambda: values[:1],
        lambda: values[:-1],
        lambda: values * 2,
        lambda: [values[0]] * len(values),
        lambda: tuple(values),
        lambda: set(map(str, values)),
        lambda: iter(values),
        lambda: dict(enumerate(values)),
        lambda: items,
        lambda: items[:, None],
        lambda: _read_only(items),
        lambda: pd.Series(values),
        lambda: pd.Series(values, index=[5] * len(values)),
        lambda: pd.DataFrame(values),
        lambda: pl.Series(list(map(str, values))),
        lambda: [values],
        lambda: [[value] for value in values],
        lambda: list(map(str, values)),
        lambda: [str(value).encode("utf-8", "replace") for value in values],
        lambda: np.array(list(map(str, values))),
        lambda: list(range(len(values))),
        lambda: [None] * len(values),
    ))  # fmt: skip


def _mutate_dict(rng, value):
    key = list(value)[rng.randint(len(value))]
    return _pick(rng, (
        lambda: {**value, key: foreign(rng)},
        lambda: {**value, key: mutate(rng, value[key])},
        lambda: {name: entry for name, entry in value.items() if name != key},
        lambda: {**value, "extra": foreign(rng)},
        lambda: {**value, 3: "a"},
        lambda: {str(name).upper(): entry for name, entry in value.items()},
    ))  # fmt: skip


def _mutate_sparse(rng, matrix):
    X = sp.csr_array(matrix)
    if rng.rand() < 0.4:
        form = ("csr", "csc", "coo", "bsr", "dia", "dok", "lil")[rng.randint(7)]
        return X.asformat(form) if rng.rand() < 0.5 else sp.csr_matrix(X).asformat(form)
    form = ("csr", "csc", "coo", "lil", "bsr")[rng.randint(5)]
    X = X.copy().asformat(form)
    if X.nnz == 0:
        return X
    if form == "coo":
        X.row[0] = rng.choice([-1, 10**8])
        return X
    if form == "lil":
        X.rows[0] = [10**6]
        return X
    names = ("data", "indices", "indptr")
    name = names[rng.randint(3)]
    array = getattr(X, name)
    at = rng.randint(len(array))
    changed = _pick(rng, (
        *[lambda: _with_entry(rng, array, _pick_index(rng))] * 4,
        lambda: array[:-1],
        lambda: array[::-1].copy(),
        lambda: np.append(array, array[:1], axis=0),
        lambda: array * np.nan,
        lambda: array.astype(object),
        lambda: array.astype(float),
        lambda: array.astype(np.int64),
        lambda: array.astype(np.uint8),
        lambda: array[None] if name != "indptr" else array[:0],
        lambda: array[:at],
        lambda: _read_only(array),
    ))  # fmt: skip
    setattr(X, name, changed)
    repr(X)  # what cannot even be shown is no message of ours
    return X


def _pick_index(rng):
    return (-1, 10**8, 5, 100, -(2**31), 2**31 - 1)[rng.randint(6)]
