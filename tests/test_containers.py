"""The same rows in every container, compression and table are read the same."""

import gzip
import json
import os
import subprocess
import sys
import threading
import zipfile

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet
import pytest
from data_files import (
    COMPRESSIONS,
    CONTAINERS,
    FOLDERS,
    TABLES,
    TEXT_ONLY,
    container_bytes,
    write_container,
)

from sklearn_codex._files.rows import read_rows
from sklearn_codex._files.tables import open_rows
from sklearn_codex.cli._inputs import read_texts
from sklearn_codex.datasets import read_batches, read_preferences

# What would be lost by a reader that splits at other breaks, other delimiters, or by quotes.
FLAT = [
    {
        "prompt": f"ask {i}\u2028é",
        "chosen": f'a, "b"; {i}|\tc\nd\x85',
        "rejected": f"\U0001f469 {i}",
    }
    for i in range(5)
]
NESTED = [
    {
        "prompt": f"ask {i}",
        "chosen": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": f"yes {i}"}],
        "rejected": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "no"}],
        "n": i,
        "margin": None if i == 3 else i / 2,
    }
    for i in range(5)
]
ROWS = {"flat": FLAT, "nested": NESTED, "one": FLAT[:1], "one nested": NESTED[:1]}


def values_of(rows):
    return [dict(row) for _, row in rows]


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("container", [*CONTAINERS, *FOLDERS])
def test_files_hold_the_rows_that_were_written(container, compression, tmp_path):
    if container.startswith("dataset") and compression != "none":
        return  # `datasets` packs nothing
    if container == "zip of shards" and "zip" in compression.split("gzip")[-1]:
        return  # one archive in another is no file that people have
    for name, rows in ROWS.items():
        if not (container in TEXT_ONLY and "nested" in name):
            source = write_container(rows, tmp_path / name, container, compression)
            assert values_of(read_rows(source, "It")) == rows


@pytest.mark.parametrize("table", TABLES)
def test_tables_hold_the_rows_that_they_were_made_of(table):
    for name, rows in ROWS.items():
        found, place, source = open_rows(TABLES[table](rows), "It")
        assert place == f"It: {source}"
        if not ("nested" in name and table in ("pandas", "dict of one frame")):  # None becomes NaN
            assert values_of(found) == rows


@pytest.mark.parametrize("container", [*CONTAINERS, *FOLDERS])
def test_every_reader_reads_every_container(container, tmp_path):
    source = write_container(FLAT, tmp_path / "data", container, "none")
    chosen = [row["chosen"] for row in FLAT]
    assert [row for _, row in read_rows(source, "It")] == FLAT
    assert read_texts(str(source), "chosen") == chosen
    assert [text for batch in read_batches(source, "chosen") for text in batch] == chosen
    data = read_preferences(source)
    assert data.X[::2, 1].tolist() == chosen[::2]
    assert data.source == str(source)


WHERE = {
    "json lines": "line 3",
    "json lines, crlf": "line 3",
    "json list": "record 2",
    "json under a key": "record 2",
    "json by column": "record 2",
    "json by column and row": "record 2",
    "json by row and column": "record 2",
    "json split": "record 2",
    "json objects, indented": "line 11",
    "csv": "line 6",  # each row takes two lines
    "parquet": "row 2",
    "arrow file": "row 2",
    "arrow stream": "row 2",
    "feather": "row 2",
    "folder": "part-0.jsonl, line 3",
    "folders": "b0/part-0.jsonl, line 3",
    "dataset": "data-00000-of-00002.arrow, row 2",
    "dataset dict": "train/data-00000-of-00002.arrow, row 2",
    "pattern": "part-0.jsonl, line 3",
    "zip of shards": "part-0.jsonl, line 3",
}


@pytest.mark.parametrize("container", WHERE)
def test_rows_know_where_they_stand(container, tmp_path):
    source = write_container(FLAT, tmp_path / "data", container)
    where = [where for where, _ in read_rows(source, "It")]
    assert where[2] == f"It, {WHERE[container]}"
    assert len(set(where)) == len(FLAT)


@pytest.mark.parametrize(
    ("table", "unit"),
    [
        ("list", "record"),
        ("generator", "record"),
        ("polars", "row"),
        ("polars query", "row"),
        ("pyarrow", "row"),
    ],
)
def test_rows_of_tables_know_where_they_stand(table, unit):
    rows, place, name = open_rows(TABLES[table](FLAT), "It")
    assert [where.removeprefix(f"{place}, ") for where, _ in rows] == [
        f"{unit} {i}" for i in range(5)
    ]
    assert name == type(TABLES[table](FLAT)).__name__


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
@pytest.mark.parametrize("container", ["json lines", "json list", "csv", "parquet", "arrow file",
                                       "arrow stream", "feather"])  # fmt: skip
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_pipes_are_read_once(container, compression, tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    content = container_bytes(FLAT, container, compression)

    def write():
        with path.open("wb", buffering=0) as pipe:
            for cut in range(0, len(content), 7):  # as a slow program writes
                pipe.write(content[cut : cut + 7])

    thread = threading.Thread(target=write)
    thread.start()
    rows = values_of(read_rows(path, "It"))
    thread.join()
    assert rows == FLAT


@pytest.mark.parametrize(("container", "compression"), [("parquet", "none"), ("json lines", "zip"),
                                                        ("csv", "zstandard")])  # fmt: skip
def test_commands_read_standard_input(container, compression, tmp_path):
    run = subprocess.run(
        [sys.executable, "-m", "sklearn_codex", "fit", "-", "--out", "model.skops",
         "--min-count", "1", "--test-size", "0"],
        input=container_bytes(FLAT, container, compression),
        capture_output=True, cwd=tmp_path, check=True,
    )  # fmt: skip
    assert json.loads(run.stdout)["n_train"] == 5


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_lines_of_text_are_packed_too(compression, tmp_path):
    path = tmp_path / "texts"
    path.write_bytes(COMPRESSIONS[compression]("one\u2028a\x85\r\n\ntwo\v\f".encode()))
    assert read_texts(str(path)) == ["one\u2028a\x85", "two\v\f"]
    assert list(read_batches(path)) == [["one\u2028a\x85", "two\v\f"]]


def test_a_column_of_text_is_found_in_tables(tmp_path):
    source = write_container([{"response": "a"}, {"response": "b"}], tmp_path / "x", "parquet")
    assert read_texts(str(source)) == ["a", "b"]


def test_what_datasets_holds_and_saves(tmp_path):
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    data = datasets.Dataset.from_list(NESTED)
    assert values_of(open_rows(data, "It")[0]) == NESTED
    mixed = data.select([3, 1]).with_format("numpy")
    assert values_of(open_rows(mixed, "It")[0]) == [NESTED[3], NESTED[1]]
    assert values_of(open_rows(data.to_iterable_dataset(), "It")[0]) == NESTED
    mixed.save_to_disk(tmp_path / "mixed")
    assert values_of(read_rows(tmp_path / "mixed", "It")) == [NESTED[3], NESTED[1]]
    one = datasets.DatasetDict({"train": data})
    one.save_to_disk(tmp_path / "one")
    assert values_of(open_rows(one, "It")[0]) == NESTED
    assert values_of(read_rows(tmp_path / "one", "It")) == NESTED
    two = datasets.DatasetDict({"train": data, "test": mixed})
    two.save_to_disk(tmp_path / "two")
    with pytest.raises(
        ValueError, match=r"DatasetDict of several splits: 'train', 'test'\. .*\['t"
    ):
        list(open_rows(two, "It")[0])
    with pytest.raises(
        ValueError, match=r"It is a folder of several splits: train, test\. .*/train"
    ):
        list(read_rows(tmp_path / "two", "It"))
    assert len(list(read_rows(tmp_path / "two" / "test", "It"))) == 2


def test_pictures_stay_as_they_are_stored():
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"chosen": datasets.Value("string"), "seen": datasets.Image()})
    row = {"chosen": "a", "seen": {"bytes": b"no picture", "path": None}}
    data = datasets.Dataset.from_list([row], features=features)
    assert values_of(open_rows(data, "It")[0]) == [row]


@pytest.mark.parametrize(
    ("document", "rows"),
    [
        ({"a": [1, 2], "b": ["x", "y"]}, [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]),
        ({"a": {"0": 1, "5": 2}}, [{"a": 1}, {"a": 2}]),
        ({"3": {"a": 1}, "4": {"a": 2}}, [{"a": 1}, {"a": 2}]),
        ({"columns": ["a"], "index": [0], "data": [[1]]}, [{"a": 1}]),
        ({"schema": {"fields": [{"name": "a"}]}, "data": [{"a": 1}]}, [{"a": 1}]),
        ({"version": "1", "data": [{"a": 1}]}, [{"a": 1}]),
        ({"battles": [{"a": 1}, {"a": 2}]}, [{"a": 1}, {"a": 2}]),
        ({"name": "mine", "tags": ["x"], "battles": [{"chosen": "a"}]}, [{"chosen": "a"}]),
        (
            {"features": [{"name": "a"}], "rows": [{"row_idx": 0, "row": {"a": 1},
             "truncated_cells": []}]}, [{"a": 1}],
        ),
        # records
        ({"a": "x", "b": ["y", "z"]}, None),
        ({"prompt": "x", "completions": [{"text": "y", "rating": 1}]}, None),
        ({"chosen": NESTED[0]["chosen"], "rejected": NESTED[0]["rejected"]}, None),
        ({"chosen": NESTED[0]["chosen"], "rejected": NESTED[0]["rejected"][:1]}, None),
        ({"chosen": [{"role": "assistant", "content": "a"}]}, None),
        ({"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}, None),
        ({"a": {"text": "x"}, "b": {"text": "y"}}, None),
        ({"a": [1, 2], "b": {}}, None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("indent", [None, 2])
def test_one_object_holds_rows_or_is_one(document, rows, indent, tmp_path):
    path = tmp_path / "data"
    path.write_text(json.dumps(document, indent=indent))
    found = list(read_rows(path, "It"))
    assert values_of(found) == ([document] if rows is None else rows)
    unit = "line 1" if rows is None else "record 0"
    assert found[0][0] == f"It, {unit}"


MESSAGES = [{"role": "assistant", "content": "a"}, {"role": "assistant", "content": "b"}]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"a": [1, 2], "b": [1]}, r"different lengths: 2 values in 'a' and 1 in 'b'"),
        ({"a": {"0": 1}, "b": {"1": 1}}, r"'a' and 'b' differ in row '0'"),
        (
            {"train": [{"a": 1}], "test": [{"a": 2}]},
            r"several lists of records, under 'train', 'te",
        ),
        ({"one": [{"a": 1}], "two": [{"a": 2}]}, r"several lists of records, under 'one', 'two'"),
        (
            {"chosen": MESSAGES, "rejected": MESSAGES},
            r"could be one record, .* or 2 records of one",
        ),
        ({"columns": ["a", "a"], "data": [[1, 2]]}, r"name each column once by a text, got 'a'"),
        ({"columns": ["a"], "data": [[1], [2, 3]]}, r"It, record 1 should have 1 values"),
        ({"data": [{"a": 1}, 3]}, r"It, line 1 has no"),
        (
            {"rows": [{"row_idx": 0, "row": {"a": 1}, "truncated_cells": ["a"]}]},
            r"It, record 0 was cut by the viewer it comes from, in \['a'\]",
        ),
    ],
)
def test_objects_that_could_be_two_things_are_told(document, message, tmp_path):
    path = tmp_path / "data"
    path.write_text(json.dumps(document))
    if "line 1 has no" in message:  # a record, in which no pair is found
        with pytest.raises(ValueError, match="has no preference"):
            read_preferences(path)
    else:
        with pytest.raises(ValueError, match=message):
            list(read_rows(path, "It"))


def test_the_delimiter_splits_header_and_rows_alike(tmp_path):
    path = tmp_path / "data"
    path.write_text("prompt\tchosen, best\trejected\na, b\tc\td, e\n")
    assert values_of(read_rows(path, "It")) == [
        {"prompt": "a, b", "chosen, best": "c", "rejected": "d, e"}
    ]
    path.write_text("a,b;c\n1,2;3\n")
    with pytest.raises(ValueError, match=r"by ',', into .*\['a', 'b;c'\], or by ';', into \['a,b'"):
        list(read_rows(path, "It"))
    path.write_text("a,b|c\n1,2\n3,4\n")
    assert values_of(read_rows(path, "It"))[0] == {"a": "1", "b|c": "2"}


SHARDS = {
    "kinds": ({"a": '{"x": 1}\n', "b": "x\n1\n"}, r"It, b is CSV and a JSON\. Files .* one kind"),
    "missing": (
        {"a": '{"x": 1, "y": 2}\n', "b": '\n{"x": 1}\n'},
        r"It, b, line 2 has no column 'y', which a has",
    ),
    "added": ({"a": "x\n1\n", "b": "x,y\n1,2\n"}, r"It, b, line 2 has a column 'y', which a has n"),
    "empty": ({"a": "x\n1\n", "b": ""}, r"It, b is empty"),
    "splits": (
        {"train-0.jsonl": "{}", "test-0.jsonl": "{}"},
        r"It holds several splits, test-0.jsonl, train-0.jsonl: .* such as .*/\*train\*",
    ),
    "folders of splits": (
        {"train/a": "{}", "validation/a": "{}"},
        r"It holds several splits, train/a, validation/a: .*/validation",
    ),
    "nothing": ({"README.md": "x", ".a": "x"}, r"It is a folder without .*: it holds \.a, README"),
}


@pytest.mark.parametrize("case", SHARDS)
def test_files_that_do_not_belong_together_are_told(case, tmp_path):
    files, message = SHARDS[case]
    for name, content in files.items():
        path = tmp_path / "folder" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    with pytest.raises(ValueError, match=message):
        list(read_rows(tmp_path / "folder", "It"))
    if case != "nothing" and case != "folders of splits":
        with zipfile.ZipFile(tmp_path / "zip", "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        with pytest.raises(ValueError, match=message.partition(" such as")[0]):
            list(read_rows(tmp_path / "zip", "It"))


def test_json_may_leave_out_what_some_records_lack(tmp_path):
    (tmp_path / "a").write_text('{"x": 1, "note": "n"}\n{"x": 2}\n')
    (tmp_path / "b").write_text('{"x": 3}\n')
    assert len(list(read_rows(tmp_path, "It"))) == 3


def test_shards_may_be_packed_differently(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"x": 1}\n')
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(b'{"x": 2}\n'))
    assert values_of(read_rows(tmp_path, "It")) == [{"x": 1}, {"x": 2}]


def test_patterns(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b.jsonl", "a.jsonl", "[c].jsonl"):
        (tmp_path / name).write_text(json.dumps({"chosen": name, "rejected": "r"}) + "\n")
    assert [row["chosen"] for _, row in read_rows("[ab].jsonl", "It")] == ["a.jsonl", "b.jsonl"]
    assert [row["chosen"] for _, row in read_rows("[c].jsonl", "It")] == ["[c].jsonl"]  # its name
    with pytest.raises(FileNotFoundError, match="No file of data is found by this pattern: 'x"):
        read_preferences("x*.jsonl")


@pytest.mark.parametrize("package", ["pyarrow", "zstandard"])
def test_without_the_extra_errors_name_it(package, tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.setitem(sys.modules, name, None)
    container = "parquet" if package == "pyarrow" else "csv"
    compression = "none" if package == "pyarrow" else "zstandard"
    (tmp_path / "data").write_bytes(container_bytes(FLAT, container, compression))
    with pytest.raises(
        ImportError, match=rf'data is .*{package} .*pip install "sklearn-codex\[io\]"'
    ):
        read_preferences(tmp_path / "data")


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ({"train": pd.DataFrame(FLAT), "test": pd.DataFrame(FLAT)}, ValueError, r"data\['train'\]"),
        ({"train": FLAT, "test": FLAT}, ValueError, r"a dict of several splits: 'train', 'test'"),
        ({"a": [1], "b": [1, 2]}, ValueError, "columns of different lengths"),
        ({"a": 1}, TypeError, "got a dict"),
        (iter([{"a": 1}, 3]), TypeError, r"X\[1\] is a int: 3"),
        (iter([]), ValueError, "got 0 records"),
        (3, TypeError, "got a int"),
        (pa.table([[1], [2]], names=["a", "a"]), ValueError, "name each column once, got 'a' 2 ti"),
        (pa.table({"x": pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"])}),
         ValueError, "got 'a' 2 times within 'x'"),
        (pl.LazyFrame({"a": [1]}).select(pl.col("no")), Exception, "no"),
    ],
)  # fmt: skip
def test_tables_that_cannot_be_read_are_told(source, error, message):
    with pytest.raises(error, match=message):
        list(open_rows(source, "It")[0])


def test_columns_that_stand_twice_in_parquet_are_told(tmp_path):
    table = pa.table([["a"], ["b"]], names=["chosen", "chosen"])
    pa.parquet.write_table(table, tmp_path / "data")
    with pytest.raises(ValueError, match="data should name each column once, got 'chosen' 2 times"):
        read_preferences(tmp_path / "data")


def test_columns_that_are_called_data_are_columns_beside_lists(tmp_path):
    rows = [
        {"data": {"prompt": f"ask {i}"}, "annotations": [{"result": []}], "id": i} for i in range(3)
    ]
    for container in ("json by column", "json by column, indented"):
        source = write_container(rows, tmp_path / "data", container)
        assert values_of(read_rows(source, "It")) == rows
    (tmp_path / "data").write_text(json.dumps({"data": rows, "models": ["a", "b", "c"]}))
    assert values_of(read_rows(tmp_path / "data", "It")) == rows


def test_one_record_with_a_list_of_objects_is_no_list_of_records(tmp_path):
    row = {"id": 1, "data": {"prompt": "ask"}, "annotations": [{"result": []}]}
    (tmp_path / "data").write_text(json.dumps(row) + "\n")
    assert values_of(read_rows(tmp_path / "data", "It")) == [row]
    held = {"about": {"by": "me"}, "battles": [{"prompt": "p", "chosen": "a", "rejected": "b"}]}
    (tmp_path / "data").write_text(json.dumps(held))
    assert values_of(read_rows(tmp_path / "data", "It")) == held["battles"]
