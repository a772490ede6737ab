"""Data frames of any library are told and read alike."""

import ast
import importlib.util
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone

import sklearn_codex
from sklearn_codex import (
    PreferenceRewardModel,
    TokenCounter,
    UnigramLM,
    balance_positions,
    make_rlhf_pipeline,
    read_preferences,
)
from sklearn_codex._checks.frames import (
    column_names,
    column_values,
    holds_numbers,
    is_frame,
    is_missing,
    repeated_names,
    replace_columns,
    row_dicts,
)
from sklearn_codex._data.records import check_records, is_records
from sklearn_codex.health import check_preferences
from sklearn_codex.labels import orient_pairs

LIBRARIES = {"pandas": pd.DataFrame, "polars": pl.DataFrame}
if importlib.util.find_spec("pyarrow"):
    import pyarrow as pa

    LIBRARIES["pyarrow"] = pa.table
    LIBRARIES["pandas on pyarrow"] = lambda columns: pd.DataFrame(columns).convert_dtypes(
        dtype_backend="pyarrow"
    )
every_library = pytest.mark.parametrize("library", LIBRARIES)

PAIRS = {
    "prompt": ["p", "p", "q", "r"],
    "response_a": ["yes please", "no", "sure thing", "never"],
    "response_b": ["never", "sure please", "no", "yes"],
    "label": [1, 0, 1, 0],
}
TWICE = pd.DataFrame([[1, 2, "x"]], columns=["a", "a", "b"])


def test_only_one_module_asks_for_frames():
    root = Path(sklearn_codex.__file__).parent
    importing = {
        str(path.relative_to(root))
        for path in root.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
        if name.split(".")[0] in {"narwhals", "pandas", "polars", "pyarrow"}
    }
    assert importing == {"_checks/frames.py"}


@every_library
def test_frames_are_told(library):
    assert is_frame(LIBRARIES[library]({"a": [1]}))


@pytest.mark.parametrize(
    "X",
    [[1], ("a",), {"a": [1]}, "a", None, np.ones((1, 1)), pd.Series([1]), pl.Series([1]),
     pd.Index([1]), pl.LazyFrame({"a": [1]})],
)  # fmt: skip
def test_other_things_are_no_frames(X):
    assert not is_frame(X)


@every_library
def test_columns_and_rows_are_objects_of_python(library):
    columns = {
        "n": [1, 2],
        "x": [0.5, 1.5],
        "is": [True, False],
        "text": ["a", "b"],
        "messages": [[{"role": "user", "content": "hi"}], []],
        "when": [datetime(2020, 1, 1), datetime(2021, 1, 1)],
    }
    frame = LIBRARIES[library](columns)
    assert column_names(frame) == list(columns)
    for name, values in columns.items():
        read = column_values(frame, name)
        if name == "messages":
            read = list(map(list, read))  # arrays of pandas on pyarrow
        assert read == values
        assert all(isinstance(value, type(values[0])) for value in read)
    rows = row_dicts(frame)
    assert [row["text"] for row in rows] == columns["text"]
    assert [list(row) for row in rows] == [list(columns)] * 2
    assert row_dicts(LIBRARIES[library]({"a": []})) == []


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (pd.DataFrame({"a": ["x", None]}, dtype=object), ["x", None]),
        (pd.DataFrame({"a": ["x", np.nan]}, dtype="str"), ["x", np.nan]),
        (pd.DataFrame({"a": ["x", None]}, dtype="string"), ["x", pd.NA]),
        (pd.DataFrame({"a": pd.Categorical(["x", None])}), ["x", np.nan]),
        (pd.DataFrame({"a": pd.array([1, None], dtype="Int64")}), [1, pd.NA]),
        (pd.DataFrame({"a": pd.to_datetime(["2020", None])}), [pd.Timestamp("2020"), pd.NaT]),
        (pl.DataFrame({"a": ["x", None]}), ["x", None]),
        (pl.DataFrame({"a": pl.Series(["x", None], dtype=pl.Categorical)}), ["x", None]),
    ],
)
def test_missing_values_are_as_the_library_has_them(frame, expected):
    value, missing = column_values(frame, "a")
    assert value == expected[0]
    assert type(missing) is type(expected[1])


MISSING = [
    None, np.nan, np.float32("nan"), np.longdouble("nan"), pd.NA, pd.NaT,
    np.datetime64("NaT"), np.timedelta64("NaT"),
]  # fmt: skip
PRESENT = [
    "", "nan", b"", 0, 0.0, np.inf, False, [], [np.nan], {}, np.array([np.nan, 1.0]), 10**400,
    pd.Timestamp(0), np.datetime64("2020"), complex("nan"),
]  # fmt: skip


def test_missing_values_are_told():
    assert all(map(is_missing, MISSING))
    assert not any(map(is_missing, PRESENT))


@pytest.mark.parametrize(
    "names",
    [[0, 1], ["a", 0], ["a", ("b", "c")], pd.MultiIndex.from_tuples([("a", "b"), ("a", "c")])],
)
def test_names_are_as_they_are(names):
    frame = pd.DataFrame([[1, 2]], columns=names)
    assert column_names(frame) == list(names)
    assert repeated_names(frame) == []
    assert holds_numbers(frame)


def test_names_that_stand_twice_are_told():
    assert column_names(TWICE) == ["a", "a", "b"]
    assert repeated_names(TWICE) == ["a"]
    assert column_values(TWICE, "b") == ["x"]
    with pytest.raises(ValueError, match=r"Several columns are called 'a'. Rename or drop"):
        column_values(TWICE, "a")
    texts = pd.DataFrame([["x", "y"]], columns=["text", "text"])
    assert is_records(texts)
    with pytest.raises(ValueError, match=r"got a DataFrame with 2 columns of the name 'text'"):
        check_records(texts, subject="It")


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (pd.DataFrame({"a": [1], "b": [0.5], "c": [True], "d": [1j]}), True),
        (pd.DataFrame({"a": pd.array([1, None], dtype="Int64")}), True),
        (pd.DataFrame({"a": [0, 1]}).astype("Sparse[int64]"), True),
        (pd.DataFrame(), True),
        (TWICE[["a"]], True),
        (TWICE, False),
        (pd.DataFrame({"a": [1], "b": ["x"]}), False),
        (pd.DataFrame({"a": [1]}, dtype=object), False),
        (pd.DataFrame({"a": pd.Categorical([1])}), False),
        (pd.DataFrame({"a": pd.to_datetime(["2020"])}), False),
        (pl.DataFrame({"a": [1], "b": [0.5], "c": [True]}), True),
        (pl.DataFrame({"a": [1], "b": ["x"]}), False),
        (pl.DataFrame({"a": [None]}), False),
        (pl.DataFrame({"a": pl.Series([1], dtype=pl.Object)}), False),
    ],
)
def test_numbers_are_told_by_the_types_of_columns(frame, expected):
    assert holds_numbers(frame) == expected


@every_library
def test_columns_are_replaced_in_a_frame_of_the_same_kind(library):
    frame = LIBRARIES[library]({"a": ["x", "y"], "b": ["z", "w"], "n": [1, 2]})
    replaced = replace_columns(frame, {"b": ["u", None]})
    assert type(replaced) is type(frame)
    assert column_names(replaced) == ["a", "b", "n"]
    assert column_values(replaced, "a") == ["x", "y"]
    assert column_values(replaced, "b")[0] == "u"
    assert pd.isna(column_values(replaced, "b")[1])
    assert column_values(frame, "b") == ["z", "w"]


def test_an_index_stays():
    frame = pd.DataFrame({"x_a": ["a", "b"], "x_b": ["c", "d"]}, index=[5, 5])
    oriented = orient_pairs(frame, [0, 1]).X
    assert oriented.index.tolist() == [5, 5]
    assert oriented.to_numpy().tolist() == [["c", "a"], ["b", "d"]]


@every_library
def test_frames_of_pairs_fit_as_rows_do(library):
    frame, y = LIBRARIES[library](PAIRS), PAIRS["label"]
    rows = list(zip(*(PAIRS[name] for name in list(PAIRS)[:3]), strict=True))
    model = PreferenceRewardModel().fit(rows, y)
    assert np.array_equal(clone(model).fit(frame, y).coef_, model.coef_)
    assert np.array_equal(model.predict_margin(frame), model.predict_margin(rows))
    data = read_preferences(frame)
    assert data.X.tolist() == list(map(list, rows))
    assert data.y.tolist() == y
    assert str(check_preferences(frame, y)) == str(check_preferences(rows, y))
    assert (
        column_values(orient_pairs(frame, y).X, "response_a")
        == orient_pairs(rows, y).X[:, 1].tolist()
    )
    loop = make_rlhf_pipeline(PreferenceRewardModel())
    records = [dict(zip(PAIRS, row, strict=True)) for row in zip(*PAIRS.values(), strict=True)]
    coef = clone(loop).fit(records)[0].coef_
    assert np.array_equal(clone(loop).fit(frame)[0].coef_, coef)


@every_library
def test_frames_of_numbers_name_their_columns(library):
    counts = {"one": [1.0, 0.0, 2.0], "two": [0.0, 3.0, 1.0]}
    frame = LIBRARIES[library](counts)
    model = UnigramLM().fit(frame)
    assert model.feature_names_in_.tolist() == list(counts)
    matrix = np.column_stack(list(counts.values()))
    assert np.array_equal(model.token_log_prob_, UnigramLM().fit(matrix).token_log_prob_)
    assert TokenCounter().fit(frame).get_feature_names_out().tolist() == list(counts)


@every_library
def test_columns_of_texts_are_texts(library):
    series = LIBRARIES[library](PAIRS)["response_a"]
    counter = TokenCounter().fit(series)
    expected = TokenCounter().fit(PAIRS["response_a"]).get_feature_names_out()
    assert counter.get_feature_names_out().tolist() == expected.tolist()


LAZY_DOORS = {
    "TokenCounter": lambda X: TokenCounter().fit(X),
    "UnigramLM": lambda X: UnigramLM().fit(X),
    "PreferenceRewardModel": lambda X: PreferenceRewardModel().fit(X, PAIRS["label"]),
    "RLHFPipeline": lambda X: make_rlhf_pipeline(UnigramLM()).fit(X),
    "balance_positions": balance_positions,
    "orient_pairs": lambda X: orient_pairs(X, PAIRS["label"]),
    "check_preferences": lambda X: check_preferences(X, PAIRS["label"]),
}


@pytest.mark.parametrize("subject", LAZY_DOORS)
@pytest.mark.parametrize("columns", [PAIRS, {"a": [1, 2, 3, 4]}], ids=["text", "numbers"])
def test_queries_are_told(subject, columns):
    with pytest.raises(
        TypeError,
        match=rf"^{subject} needs its data in memory, got a LazyFrame, which is a query\. "
        r"Pass X\.collect\(\)\.",
    ):
        LAZY_DOORS[subject](pl.LazyFrame(columns))


def test_data_in_memory_are_no_query():
    for X in (TWICE, pl.DataFrame({"a": [1]})):
        assert is_frame(X, "It")
    for X in (pd.Series([1]), pl.Series(["a"]), [1], "a", None, np.ones(1)):
        assert not is_frame(X, "It")
